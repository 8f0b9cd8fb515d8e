/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loop's inside, for the files that it consists of. */
#ifndef UTIL_LOOP_INT_H
#define UTIL_LOOP_INT_H

#include "util/burst.h"
#include "util/loop.h"
#include "util/poll-window.h"
#include <stdatomic.h>
#include <sys/epoll.h>

#define BATCH_MAX 64

typedef struct WorkQueue {
    LoopWork *first;
    LoopWork **end; /* where the next one is hung in */
} WorkQueue;

struct Loop {
    char *name;
    int epoll_fd;
    int wake_fd;
    bool no_pwait2; /* kernel before 5.11, or a filter that doesn't know the call */
    bool in_turn;
    bool in_deferred;
    bool ran; /* a callback ran in this turn */
    unsigned n_fds;

    struct epoll_event batch[BATCH_MAX]; /* data.ptr: LoopFd, NULL when struck out or done */
    int batch_len;

    WorkQueue deferred, last, yielded, resumed;
    LoopTimer *timers; /* by deadline */
    LoopTimer *due;    /* taken from timers, being run */
    LoopHook *hooks;
    LoopHook *next_hook; /* while they are being run */

    LoopPoll *polls;
    LoopPoll *next_poll; /* while they are being asked */
    PollWindow window;
    Burst burst;
    unsigned n_at_disk; /* requests, see loop_at_disk() */
    unsigned unwatched; /* turns in a row that did without the kernel's list of events */

    int64_t woke_ns;    /* when the last wait was over; 0: there was none */
    int64_t slowest_ns; /* from there to the next one */

    _Atomic(LoopPost *) posts; /* newest first */
    atomic_bool quit;
    atomic_uint users;
};

void work_queue_init(WorkQueue *queue);
/* Everything of `from`, in its order, to the end of `to`. */
void work_queue_join(WorkQueue *to, WorkQueue *from);
/* Expired ones. */
void loop_run_timers(Loop *loop);
/* Looks for events, but no longer than the window, and limit (-1: none). True: something came.
 * A post or loop_quit() ends it, too: it rings in a moment, if it has not yet. */
bool loop_look(Loop *loop, int64_t begin, int64_t limit);
/* Before the submit hooks: looks for more to be submitted, where that pays. True: there is
 * something to be submitted that was asked about. */
bool loop_gather(Loop *loop);

#endif
