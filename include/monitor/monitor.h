/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitors of the process: sessions, on which clients give commands, and what commands need.
 * Main thread.
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include "block/block.h"
#include "hw/core/device.h"
#include "monitor/schema.h"
#include "util/sandbox.h"

typedef struct Monitor Monitor;
typedef struct MonitorSession MonitorSession;
typedef struct MonitorFds MonitorFds; /* monitor/fds.h */
typedef struct HmpCommand HmpCommand; /* monitor/hmp.h */

/* QEMU's classes of errors. */
typedef enum QmpClass {
    QMP_GENERIC,
    QMP_COMMAND_NOT_FOUND,
    QMP_DEVICE_NOT_FOUND,
    QMP_DEVICE_NOT_ACTIVE,
} QmpClass;

typedef struct QmpError {
    QmpClass class;
    char *desc;
} QmpError;

/* One command in progress, from its arguments to the answer. Freed with the answer. */
struct QmpRequest {
    Monitor *monitor;
    MonitorSession *session; /* that it came over, or is answered for */
    const QmpCommand *command;
    json_t *args; /* owned; an object */
    /* Takes the answer: value (owned by the request; NULL: an error). Called once. */
    void (*done)(QmpRequest *req, json_t *value, const QmpError *error);
    void *opaque;
    /* the monitor's own */
    uint64_t client; /* of session, that asked */
    unsigned wait;   /* GSource id while it waits for another command's end */
    bool holds;      /* others wait for it */
};

#define MONITOR_PATIENCE_MS 1000

/* What a monitor is made for. */
typedef struct MonitorConfig {
    const char *program, *version;
    QmpSchema schema;
    const HmpCommand *const *hmp; /* groups as in QmpSchema; NULL: no HMP */
    DeviceTree *devices;
    BlockGraph *blocks;
    MonitorFds *fds; /* what clients pass goes there */
    /* Milliseconds until 'busy' is answered: by a command that waits for a device's thread, and by
     * one that waits for another one's end. 0: MONITOR_PATIENCE_MS. */
    unsigned answer_ms, wait_ms;
    /* No command that changes something is under way any more. */
    void (*idle)(void *opaque);
    void *opaque; /* for these, and for commands that know whose it is */
} MonitorConfig;

struct Monitor {
    MonitorConfig config;
    unsigned state;        /* QMP_RUNNING, QMP_STOPPED or QMP_ENDING */
    const char *run_state; /* of query-status */
    char *name;            /* -name, or NULL */
    GPtrArray *sessions;   /* MonitorSession *, owned */
    MonitorFds *fds;       /* config's */
    bool watches;
    GPtrArray *media;      /* char *: nodes that blockdev-change-medium has opened */
    bool changing;         /* a command that changes something is under way */
    GQueue waiting;        /* QmpRequest: wait for its end */
    unsigned node_queries; /* that refer to block nodes, on whatever thread: none may be closed */
    unsigned posted;       /* calls that have not come back from a device's thread */
};

/* config is copied; what it points to stays the caller's and outlives the monitor. */
Monitor *monitor_new(const MonitorConfig *config);
/* Nothing may be under way: see monitor_is_idle(). */
void monitor_free(Monitor *monitor);
bool monitor_is_idle(const Monitor *monitor);
/* When the devices of the command line are there, and before their threads are: events come from
 * them from now on, and I/O that fails can stop the machine. So it is with those that come
 * later. */
void monitor_watch(Monitor *monitor);
/* From now on every command but those for QMP_ENDING is refused. */
void monitor_end(Monitor *monitor);

/* Runs a command; args is taken, NULL: none. done() comes from within or later. */
void monitor_run(Monitor *monitor, MonitorSession *session, const QmpCommand *command, json_t *args,
                 void (*done)(QmpRequest *req, json_t *value, const QmpError *error), void *opaque);

/* Is the client that asked still there? */
bool monitor_request_wanted(const QmpRequest *req);
/* For commands that change something: others wait beyond the answer, until monitor_release(). */
void monitor_keep(QmpRequest *req);
void monitor_release(Monitor *monitor);
/* State and event; what it means for devices is the caller's. run_state: "paused", "io-error"; a
 * reset makes it "prelaunch". */
void monitor_set_stopped(Monitor *monitor, const char *run_state);
/* I/O has failed, and its disk is told to stop the machine for that. */
void monitor_stop_on_error(Monitor *monitor);
/* For commands: the answer. Frees req. value is taken; NULL: an empty object. */
void qmp_return(QmpRequest *req, json_t *value);
void qmp_error(QmpRequest *req, QmpClass class, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* Takes err. */
void qmp_error_take(QmpRequest *req, GError *err);
/* A member of the arguments; NULL, or def, if it isn't there. */
const char *qmp_arg_str(const QmpRequest *req, const char *name);
bool qmp_arg_bool(const QmpRequest *req, const char *name, bool def);
/* All the arguments as -device and its kin take them. NULL with an error. */
Opts *qmp_arg_opts(const QmpRequest *req, GError **errp);

/* Tells every session that has negotiated. name must be in the schema; data is taken; NULL: there
 * is none. */
void monitor_event(Monitor *monitor, const char *name, json_t *data);

extern const SandboxCalls monitor_sandbox;

/* --- sessions --- */

typedef enum MonitorMode { MONITOR_CONTROL, MONITOR_READLINE } MonitorMode;

/* label: of the chardev, copied. closed() comes when a client is gone; its descriptors have been
 * closed if they were the session's. */
MonitorSession *monitor_session_new(Monitor *monitor, const char *label, MonitorMode mode,
                                    bool pretty, void (*closed)(void *opaque), void *opaque);
/* A client; there must be none. in and out may be the same descriptor. owned: they are closed with
 * the client. */
void monitor_session_open(MonitorSession *session, int in, int out, bool owned);
bool monitor_session_is_open(const MonitorSession *session);
const char *monitor_session_label(const MonitorSession *session);
/* A descriptor that the client has sent; the caller's. -1: none. */
int monitor_session_take_fd(MonitorSession *session);

#endif
