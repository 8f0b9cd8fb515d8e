/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread's event loop: descriptors, timers, deferred work, posts from other threads, and
 * hooks that run once at the end of a turn (submission of a turn's I/O).
 *
 * A Loop belongs to the thread that runs it. Every function here must be called on that thread
 * (or before it starts), except loop_post(), loop_call(), loop_quit() and loop_slowest_turn_ns(),
 * which any thread may call. All callbacks run on the loop's thread. All structs are embedded in
 * the caller's own and must stay where they are while they are registered.
 *
 * One turn: wait for events (no longer than the next timer; not at all if work is queued; with
 * polling, sources may be looked at and handled first) -> posts -> expired timers -> descriptor
 * callbacks -> deferred work -> (with polling, sources may be looked at again) -> submit hooks.
 * Work deferred by any of them runs in the same turn; work yielded runs in the next one, after the
 * descriptors have been looked at.
 */
#ifndef UTIL_LOOP_H
#define UTIL_LOOP_H

#include "util/sandbox.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Loop Loop;
typedef void LoopFn(void *opaque);
/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR as epoll reports them. */
typedef void LoopFdFn(void *opaque, uint32_t events);

typedef struct LoopFd {
    Loop *loop; /* NULL while not registered */
    int fd;     /* not owned */
    uint32_t events;
    LoopFdFn *fn;
    void *opaque;
} LoopFd;

typedef struct LoopWork {
    Loop *loop;
    LoopFn *fn;
    void *opaque;
    struct LoopWork *next, **prev; /* prev is NULL while not queued */
} LoopWork;

typedef struct LoopTimer {
    Loop *loop;
    LoopFn *fn;
    void *opaque;
    int64_t deadline_ns;            /* CLOCK_MONOTONIC */
    struct LoopTimer *next, **prev; /* sorted by deadline; prev is NULL while not armed */
} LoopTimer;

typedef struct LoopPost {
    LoopFn *fn;
    void *opaque;
    struct LoopPost *next;
} LoopPost;

/* Requests that submit() would hand over now, and that may wait a moment for more of them; 0: there
 * are none; negative: there are some that must not wait. */
typedef int LoopHeldFn(void *opaque);

typedef struct LoopHook {
    Loop *loop;
    LoopFn *submit; /* once per turn, before the loop may sleep; must not block */
    LoopHeldFn *held;
    void *opaque;
    struct LoopHook *next, **prev;
} LoopHook;

typedef bool LoopPollFn(void *opaque);

typedef struct LoopPoll {
    Loop *loop;
    LoopPollFn *fn;
    void *opaque;
    struct LoopPoll *next, **prev; /* prev is NULL while not registered */
} LoopPoll;

/* name: for the thread and the log, copied. NULL and an error if the kernel gives no epoll or
 * eventfd descriptor. */
Loop *loop_new(const char *name, GError **errp);
/* Nothing may be registered, queued or posted any more. */
void loop_free(Loop *loop);
const char *loop_name(const Loop *loop);

/* Turns until loop_quit(). The turn in which loop_quit() is seen is finished, submit hooks
 * included. */
void loop_run(Loop *loop);
/* One turn; sleeps at most max_wait_ms (-1: no limit, 0: not at all). For tests. Returns true if
 * anything ran. */
bool loop_turn(Loop *loop, int max_wait_ms);
/* Any thread. */
void loop_quit(Loop *loop);

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t loop_now_ns(void);

/* Level-triggered. Registers fd for events (EPOLLHUP and EPOLLERR are always reported). Regular
 * files can't be watched: returns -EPERM as epoll does; otherwise 0 or another -errno. */
int loop_fd_add(Loop *loop, LoopFd *w, int fd, uint32_t events, LoopFdFn *fn, void *opaque);
/* Changes the mask; events 0 leaves only EPOLLHUP and EPOLLERR. */
void loop_fd_set(LoopFd *w, uint32_t events);
/* May be called from any callback, also its own; after it no callback of w comes any more, even
 * if its event is in the batch being dispatched. No-op while not registered. Call it before the
 * descriptor is closed. */
void loop_fd_del(LoopFd *w);

void loop_work_init(LoopWork *work, Loop *loop, LoopFn *fn, void *opaque);
/* Runs work's function in this turn, after the current callback, in order of deferral. No-op if
 * it is queued already. */
void loop_defer(LoopWork *work);
/* As loop_defer(), but when no deferred work is left, its own included: what can happen without the
 * kernel has happened then. Still before the submit hooks. */
void loop_defer_last(LoopWork *work);
/* As loop_defer(), but in the next turn, after descriptors, timers and posts have been served. */
void loop_yield(LoopWork *work);
void loop_work_cancel(LoopWork *work);
static inline bool loop_work_queued(const LoopWork *work)
{
    return work->prev != NULL;
}
/* Runs the work deferred so far, and what that defers (not what it yields), now: between two
 * frames of one socket. Bounded: past 1024 items the rest waits for the next turn. Must not be
 * called from deferred work. */
void loop_run_deferred(Loop *loop);

void loop_timer_init(LoopTimer *timer, Loop *loop, LoopFn *fn, void *opaque);
/* One shot; arms or re-arms. A deadline in the past fires in the next turn. */
void loop_timer_arm(LoopTimer *timer, int64_t deadline_ns);
void loop_timer_disarm(LoopTimer *timer);
static inline bool loop_timer_armed(const LoopTimer *timer)
{
    return timer->prev != NULL;
}

/* Any thread: runs post->fn(post->opaque) on the loop's thread, in the order of the posts. post
 * belongs to the loop until its function starts, and may be freed or posted again in it. */
void loop_post(Loop *loop, LoopPost *post);
/* Any thread but the loop's: posts fn and returns when it has run. */
void loop_call(Loop *loop, LoopFn *fn, void *opaque);

/* Before a sleep, the loop looks for events up to max_ns, as long as that pays (util/poll-window.h
 * says how the time is adapted). Off, max_ns 0, after loop_new(). Before it runs, or on its thread.
 */
void loop_set_polling(Loop *loop, int64_t max_ns, uint32_t grow, uint32_t shrink);
/* So many requests more, or less, are with a disk and will end by an event of this loop. While
 * there are any, the loop looks for no longer than a sleep costs. On its thread. */
void loop_at_disk(Loop *loop, int change);
/* A source of events to look at meanwhile, which has a descriptor registered all the same: fn
 * handles what there is, as its callback would, and returns false if that was nothing. It must not
 * block, and should be cheaper than a turn. */
void loop_poll_add(Loop *loop, LoopPoll *poll, LoopPollFn *fn, void *opaque);
/* From any callback. No-op while not registered. */
void loop_poll_del(LoopPoll *poll);

/* The longest that the loop has been at work from one wait to the next, in nanoseconds: descriptors
 * were not looked at meanwhile. Neither waiting nor looking for events counts, nor does the turn
 * under way. Since the loop began, or was told to forget it. Any thread may ask. */
int64_t loop_slowest_turn_ns(const Loop *loop);
void loop_forget_slowest_turn(Loop *loop);

/* held, which may be NULL, is asked in a loop that polls: where requests come in a row, one by one,
 * and a submission costs more than a look for the next, several are made one submission. */
void loop_hook_add(Loop *loop, LoopHook *hook, LoopFn *submit, LoopHeldFn *held, void *opaque);
void loop_hook_del(LoopHook *hook);

extern const SandboxCalls loop_sandbox;

#endif
