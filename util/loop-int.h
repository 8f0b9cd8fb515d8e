/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loop's inside, for the two files that it consists of. */
#ifndef UTIL_LOOP_INT_H
#define UTIL_LOOP_INT_H

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

#endif
