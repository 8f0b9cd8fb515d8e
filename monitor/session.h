/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session, for what speaks over it: qmp.c and hmp.c. Main thread. */
#ifndef MONITOR_SESSION_H
#define MONITOR_SESSION_H

#include "json-door.h"
#include "monitor/monitor.h"

#define SESSION_FDS_MAX 16

typedef struct SessionKind {
    /* A client has come. */
    void (*opened)(MonitorSession *session);
    /* Takes bytes up to the end of one command at most; returns how many. */
    size_t (*input)(MonitorSession *session, const uint8_t *bytes, size_t len);
    void (*closed)(MonitorSession *session);
} SessionKind;

struct MonitorSession {
    Monitor *monitor;
    const SessionKind *kind;
    char *label;
    bool pretty;
    void (*on_closed)(void *opaque);
    void *opaque;
    /* the client */
    int in, out; /* -1: none */
    bool owned;
    bool socket;                          /* descriptors can come with the bytes */
    unsigned watch_in, watch_out, ending; /* GSource ids; 0: none */
    uint64_t client;   /* counts clients: an answer for an earlier one is dropped */
    GByteArray *input; /* received, and not looked at yet */
    GByteArray *output;
    bool eof;
    int fds[SESSION_FDS_MAX]; /* received, in order */
    unsigned n_fds;
    bool busy; /* a command is under way: no further one is looked at */
    /* control mode */
    JsonDoor door;
    bool negotiated;
    json_t *id; /* of the command under way, or NULL */
    /* readline mode */
    GString *line;
};

extern const SessionKind qmp_session_kind, hmp_session_kind;

/* Queues bytes; a client that lets too many come together is cut off. */
void session_send(MonitorSession *session, const char *bytes, size_t len);
/* The command under way has been answered: goes on with what was received meanwhile. */
void session_done(MonitorSession *session);
/* monitor.c: something that was under way has ended. */
void monitor_tell_idle(Monitor *monitor);
void monitor_session_free(MonitorSession *session);
/* For QMP sessions. */
void qmp_session_event(MonitorSession *session, const json_t *event);

#endif
