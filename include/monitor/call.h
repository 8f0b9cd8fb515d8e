/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a command does on devices' threads. A call has parts, each for one loop; when all of them
 * are back, the command is answered. Its life and who owns a part when: monitor/call.c.
 */
#ifndef MONITOR_CALL_H
#define MONITOR_CALL_H

#include "monitor/monitor.h"
#include "util/loop.h"

typedef struct MonitorCall MonitorCall;

typedef struct CallPart {
    MonitorCall *call;
    Loop *loop;    /* NULL: main's */
    void *data;    /* the command's, for this part; read and written by whoever has the part */
    GError *error; /* set by run() or what follows it, for finish() to read; freed with the part */
    LoopPost post; /* the call's own, as is the rest */
    int state;
} CallPart;

typedef struct CallKind {
    /* On the part's loop, and not blocking there. call_done() ends the part, from within or later,
     * on the same thread. Not called for a part that was called off. */
    void (*run)(CallPart *part);
    /* Main thread: every part is back, in the order of call_add(). Answers req, with qmp_return()
     * or qmp_error(); looks at each part's error. Not called if it came too late: then req has been
     * answered 'busy' and is gone. */
    void (*finish)(QmpRequest *req, const GPtrArray *parts);
    /* Optional. Main thread, once for each part, also of a call that came too late: part->data
     * goes. */
    void (*release)(void *data);
} CallKind;

/* Main thread. For the command in req, which is answered by what follows call_start(), and not to
 * be touched after it; kind is static. */
MonitorCall *call_new(QmpRequest *req, const CallKind *kind);
/* Main thread, before call_start(). Takes data. loop NULL: there is no thread, and run() runs on
 * main. The loop must not end before the part is back: monitor_is_idle() tells. */
void call_add(MonitorCall *call, Loop *loop, void *data);
/* Main thread. Posts the parts; without one, finish() comes from within. The call frees itself. A
 * query that isn't back in 1 s is answered 'busy', and so is a command of one part that changes
 * something and has not begun, which is called off then; else its end is awaited. */
void call_start(MonitorCall *call);

/* The part's thread, once: it is main's from now on. */
void call_done(CallPart *part);

/* Main thread. /machine/peripheral/ID; the caller frees it. */
char *monitor_device_path(const Device *dev);
/* Main thread. The loop that dev, and all that is on it or beside it, belongs to; NULL: main's. */
Loop *monitor_device_loop(const Device *dev);

#endif
