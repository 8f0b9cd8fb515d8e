/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The signals that end the process. Main thread but where said. */
#ifndef SYSTEM_SIGNALS_H
#define SYSTEM_SIGNALS_H

#include <glib.h>
#include <stdbool.h>

/* From the first signal to the end of the process, whatever hangs: the two seconds that are
 * promised, with some left for what the kernel has to do. */
#define SIGNALS_END_MS 1800

typedef struct SignalsOps {
    /* The first one has come. */
    void (*asked)(void *opaque);
    /* The time is up: leaves as little behind as can be. On a thread of its own, while main is
     * stuck or waits; it is the last thing that this process does. */
    void (*give_up)(void *opaque);
} SignalsOps;

typedef struct Signals {
    int fd, over_fd; /* -1: none; the latter tells the thread that there is nothing to wait for */
    GThread *thread;
    const SignalsOps *ops;
    void *opaque;
} Signals;

void signals_init(Signals *signals);
/* From here on SIGTERM, SIGINT and SIGHUP wait, and end nothing. */
bool signals_catch(Signals *signals, GError **errp);
/* Before the filter of system calls; asked comes from the main loop. */
bool signals_serve(Signals *signals, const SignalsOps *ops, void *opaque, GError **errp);
/* What hangs is behind us. */
void signals_fini(Signals *signals);

#endif
