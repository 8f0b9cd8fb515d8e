/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a command does on devices' threads. A call has parts, each for one loop; when all of them
 * are back, the command is answered.
 */
#ifndef MONITOR_CALL_H
#define MONITOR_CALL_H

#include "monitor/monitor.h"
#include "util/loop.h"

typedef struct MonitorCall MonitorCall;

typedef struct CallPart {
    MonitorCall *call;
    Loop *loop;
    void *data;    /* the command's, for this part */
    GError *error; /* set by run() or what follows it; NULL: none */
    LoopPost post;
    int state;
} CallPart;

typedef struct CallKind {
    /* On the part's loop, and not blocking there. call_done() ends the part, from within or later,
     * on the same thread. */
    void (*run)(CallPart *part);
    /* Main thread: every part is back. Answers req. Not called if it came too late: then req has
     * been answered 'busy'. */
    void (*finish)(QmpRequest *req, const GPtrArray *parts);
    /* Main thread: part->data goes; may be NULL. */
    void (*release)(void *data);
} CallKind;

/* Main thread. */
MonitorCall *call_new(QmpRequest *req, const CallKind *kind);
/* Takes data. loop NULL: there is no thread, and run() runs on main. */
void call_add(MonitorCall *call, Loop *loop, void *data);
/* A query that isn't back in 1 s is answered 'busy', and so is a command that changes something,
 * which is called off then if it has not begun; else its end is awaited. */
void call_start(MonitorCall *call);

/* The part's thread. */
void call_done(CallPart *part);

/* /machine/peripheral/ID; the caller frees it. */
char *monitor_device_path(const Device *dev);
/* The loop that dev, and all that is on it or beside it, belongs to; NULL: the main thread's. */
Loop *monitor_device_loop(const Device *dev);

#endif
