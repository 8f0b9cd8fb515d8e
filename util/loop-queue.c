/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a loop runs by itself: work and timers.
 *
 * Work is in one of several queues. `deferred` runs at the end of the turn or in
 * loop_run_deferred(). `yielded` is what must not run before the next turn; when that turn begins
 * it becomes `resumed`, and joins `deferred` only after the descriptors, since otherwise a
 * loop_run_deferred() between two frames would run it too early. What is over the bound of one
 * run is yielded, so the descriptors come first again. A fourth, `last`, gives one item at a time
 * when `deferred` is empty. The loop sleeps only if all are empty.
 *
 * Timers are a list sorted by deadline, which gives the sleep its length.
 */
#include "loop-int.h"

#define DEFERRED_MAX 1024 /* items of one run, as util/loop.h says */

void work_queue_init(WorkQueue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void queue_append(WorkQueue *queue, LoopWork *work)
{
    work->next = NULL;
    work->prev = queue->end;
    *queue->end = work;
    queue->end = &work->next;
}

void work_queue_join(WorkQueue *to, WorkQueue *from)
{
    if (!from->first) {
        return;
    }
    *to->end = from->first;
    from->first->prev = to->end;
    to->end = from->end;
    work_queue_init(from);
}

static void work_unlink(LoopWork *work)
{
    Loop *loop = work->loop;

    *work->prev = work->next;
    if (work->next) {
        work->next->prev = work->prev;
    } else if (loop->deferred.end == &work->next) {
        loop->deferred.end = work->prev;
    } else if (loop->last.end == &work->next) {
        loop->last.end = work->prev;
    } else if (loop->yielded.end == &work->next) {
        loop->yielded.end = work->prev;
    } else {
        loop->resumed.end = work->prev;
    }
    work->next = NULL;
    work->prev = NULL;
}

void loop_work_init(LoopWork *work, Loop *loop, LoopFn *fn, void *opaque)
{
    *work = (LoopWork){ .loop = loop, .fn = fn, .opaque = opaque };
}

void loop_defer(LoopWork *work)
{
    if (!work->prev) {
        queue_append(&work->loop->deferred, work);
    }
}

void loop_defer_last(LoopWork *work)
{
    if (!work->prev) {
        queue_append(&work->loop->last, work);
    }
}

void loop_yield(LoopWork *work)
{
    if (!work->prev) {
        queue_append(&work->loop->yielded, work);
    }
}

void loop_work_cancel(LoopWork *work)
{
    if (work->prev) {
        work_unlink(work);
    }
}

void loop_run_deferred(Loop *loop)
{
    unsigned budget = DEFERRED_MAX;

    g_assert(!loop->in_deferred);
    loop->in_deferred = true;
    while ((loop->deferred.first || loop->last.first) && budget--) {
        LoopWork *work = loop->deferred.first ? loop->deferred.first : loop->last.first;

        work_unlink(work);
        loop->ran = true;
        work->fn(work->opaque);
    }
    loop->in_deferred = false;
    work_queue_join(&loop->yielded, &loop->deferred);
    work_queue_join(&loop->yielded, &loop->last);
}

void loop_timer_init(LoopTimer *timer, Loop *loop, LoopFn *fn, void *opaque)
{
    *timer = (LoopTimer){ .loop = loop, .fn = fn, .opaque = opaque };
}

void loop_timer_disarm(LoopTimer *timer)
{
    if (!timer->prev) {
        return;
    }
    *timer->prev = timer->next;
    if (timer->next) {
        timer->next->prev = timer->prev;
    }
    timer->next = NULL;
    timer->prev = NULL;
}

void loop_timer_arm(LoopTimer *timer, int64_t deadline_ns)
{
    LoopTimer **at = &timer->loop->timers;

    loop_timer_disarm(timer);
    while (*at && (*at)->deadline_ns <= deadline_ns) {
        at = &(*at)->next;
    }
    timer->deadline_ns = deadline_ns;
    timer->next = *at;
    timer->prev = at;
    *at = timer;
    if (timer->next) {
        timer->next->prev = &timer->next;
    }
}

/* Sets the expired timers apart first: one that is armed again by its own function, for a time
 * that is past already, has to wait for the next turn. */
void loop_run_timers(Loop *loop)
{
    LoopTimer **end = &loop->timers;
    LoopTimer *rest;
    int64_t now;

    if (!loop->timers) {
        return;
    }
    now = loop_now_ns();
    while (*end && (*end)->deadline_ns <= now) {
        end = &(*end)->next;
    }
    rest = *end;
    if (rest == loop->timers) {
        return;
    }
    *end = NULL;
    loop->due = loop->timers;
    loop->due->prev = &loop->due;
    loop->timers = rest;
    if (rest) {
        rest->prev = &loop->timers;
    }
    while (loop->due) {
        LoopTimer *timer = loop->due;

        loop_timer_disarm(timer);
        loop->ran = true;
        timer->fn(timer->opaque);
    }
}
