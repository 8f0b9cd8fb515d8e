/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop of a thread: epoll for descriptors and as the only place that sleeps, an eventfd
 * to be woken by other threads, a sorted list of timers that gives the sleep its length.
 *
 * A turn takes one batch of events from the kernel and keeps it in the Loop while it is being
 * dispatched, so that loop_fd_del() can strike out what has not been delivered yet.
 *
 * Work is in one of three queues. `deferred` runs at the end of the turn or in
 * loop_run_deferred(). `yielded` is what must not run before the next turn; when that turn begins
 * it becomes `resumed`, and joins `deferred` only after the descriptors, since otherwise a
 * loop_run_deferred() between two frames would run it too early. What is over the bound of one
 * run is yielded, so the descriptors come first again. The loop sleeps only if all are empty.
 *
 * Posts are a stack that is pushed by compare-and-swap and taken as a whole by the loop, which
 * reverses it: that keeps the order of the pushes. Only the push that finds the stack empty has to
 * write to the eventfd. `users` counts threads that are inside of loop_post() or loop_quit(): a
 * post may run, end the loop's thread and bring loop_free() while its poster has not written to
 * the eventfd yet.
 *
 * Submit hooks run at the end of a turn; loop_run() and loop_turn() also run them once before
 * their first wait, for what was queued before.
 */
#include "util/loop.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/trace.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH_MAX 64
#define DEFERRED_MAX 1024 /* items of one run, as util/loop.h says */
#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

const SandboxCalls loop_sandbox = {
    .module = "loop",
    .calls = (const SandboxCall[]){ { .name = "epoll_ctl" },
                                    { .name = "epoll_pwait2" },
                                    { .name = "epoll_wait" },
                                    { .name = "poll" },
                                    { .name = "read" },
                                    { .name = "write" },
                                    { .name = NULL } },
};

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

    WorkQueue deferred, yielded, resumed;
    LoopTimer *timers; /* by deadline */
    LoopTimer *due;    /* taken from timers, being run */
    LoopHook *hooks;
    LoopHook *next_hook; /* while they are being run */

    _Atomic(LoopPost *) posts; /* newest first */
    atomic_bool quit;
    atomic_uint users;
};

typedef struct Call {
    LoopPost post;
    LoopFn *fn;
    void *opaque;
    sem_t done;
} Call;

static void queue_init(WorkQueue *queue)
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

/* Everything of `from`, in its order, to the end of `to`. */
static void queue_join(WorkQueue *to, WorkQueue *from)
{
    if (!from->first) {
        return;
    }
    *to->end = from->first;
    from->first->prev = to->end;
    to->end = from->end;
    queue_init(from);
}

static void work_unlink(LoopWork *work)
{
    Loop *loop = work->loop;

    *work->prev = work->next;
    if (work->next) {
        work->next->prev = work->prev;
    } else if (loop->deferred.end == &work->next) {
        loop->deferred.end = work->prev;
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
    while (loop->deferred.first && budget--) {
        LoopWork *work = loop->deferred.first;

        work_unlink(work);
        loop->ran = true;
        work->fn(work->opaque);
    }
    loop->in_deferred = false;
    queue_join(&loop->yielded, &loop->deferred);
}

int64_t loop_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
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
static void run_timers(Loop *loop)
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

int loop_fd_add(Loop *loop, LoopFd *w, int fd, uint32_t events, LoopFdFn *fn, void *opaque)
{
    struct epoll_event ev = { .events = events, .data.ptr = w };

    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        return -errno;
    }
    *w = (LoopFd){ .loop = loop, .fd = fd, .events = events, .fn = fn, .opaque = opaque };
    loop->n_fds++;
    return 0;
}

void loop_fd_set(LoopFd *w, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = w };
    int ret;

    if (w->events == events) {
        return;
    }
    ret = epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev);
    g_assert(ret == 0); /* fails only for a descriptor that was closed before loop_fd_del() */
    w->events = events;
}

void loop_fd_del(LoopFd *w)
{
    Loop *loop = w->loop;
    int ret;

    if (!loop) {
        return;
    }
    ret = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    g_assert(ret == 0); /* as above: the kernel would go on reporting a dangling w */
    for (int i = 0; i < loop->batch_len; i++) {
        if (loop->batch[i].data.ptr == w) {
            loop->batch[i].data.ptr = NULL;
        }
    }
    loop->n_fds--;
    w->loop = NULL;
}

static void run_fds(Loop *loop)
{
    for (int i = 0; i < loop->batch_len; i++) {
        LoopFd *w = loop->batch[i].data.ptr;
        uint32_t events = loop->batch[i].events;

        if (!w) {
            continue;
        }
        /* An earlier callback may have narrowed the mask meanwhile. */
        events &= w->events | EPOLLHUP | EPOLLERR;
        if (events) {
            loop->ran = true;
            w->fn(w->opaque, events);
        }
    }
    loop->batch_len = 0;
}

static void wake(Loop *loop)
{
    uint64_t one = 1;
    int saved_errno = errno;
    ssize_t ret;

    do {
        ret = write(loop->wake_fd, &one, sizeof(one));
    } while (ret < 0 && errno == EINTR);
    errno = saved_errno;
}

void loop_post(Loop *loop, LoopPost *post)
{
    LoopPost *head;

    atomic_fetch_add(&loop->users, 1);
    head = atomic_load(&loop->posts);
    do {
        post->next = head;
    } while (!atomic_compare_exchange_weak(&loop->posts, &head, post));
    if (!head) {
        wake(loop);
    }
    atomic_fetch_sub(&loop->users, 1);
}

static void call_run(void *opaque)
{
    Call *call = opaque;

    call->fn(call->opaque);
    sem_post(&call->done);
}

void loop_call(Loop *loop, LoopFn *fn, void *opaque)
{
    Call call = { .post = { .fn = call_run, .opaque = &call }, .fn = fn, .opaque = opaque };

    sem_init(&call.done, 0, 0);
    loop_post(loop, &call.post);
    while (sem_wait(&call.done) < 0) {
        g_assert(errno == EINTR);
    }
    sem_destroy(&call.done);
}

void loop_quit(Loop *loop)
{
    atomic_fetch_add(&loop->users, 1);
    atomic_store(&loop->quit, true);
    wake(loop);
    atomic_fetch_sub(&loop->users, 1);
}

static LoopPost *take_posts(Loop *loop)
{
    LoopPost *newest = atomic_exchange(&loop->posts, NULL);
    LoopPost *oldest = NULL;

    while (newest) {
        LoopPost *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void run_posts(Loop *loop)
{
    uint64_t count;
    LoopPost *post;

    /* Emptied before the posts are taken: a push that comes in between rings again. */
    if (read(loop->wake_fd, &count, sizeof(count)) < 0) {
        g_assert(errno == EAGAIN || errno == EINTR);
    }
    post = take_posts(loop);
    while (post) {
        LoopPost *next = post->next;

        loop->ran = true;
        post->fn(post->opaque);
        post = next;
    }
}

void loop_hook_add(Loop *loop, LoopHook *hook, LoopFn *submit, void *opaque)
{
    LoopHook **end = &loop->hooks;

    while (*end) {
        end = &(*end)->next;
    }
    *hook = (LoopHook){ .loop = loop, .submit = submit, .opaque = opaque, .prev = end };
    *end = hook;
}

void loop_hook_del(LoopHook *hook)
{
    if (!hook->prev) {
        return;
    }
    if (hook->loop->next_hook == hook) {
        hook->loop->next_hook = hook->next;
    }
    *hook->prev = hook->next;
    if (hook->next) {
        hook->next->prev = hook->prev;
    }
    hook->next = NULL;
    hook->prev = NULL;
}

static void run_hooks(Loop *loop)
{
    LoopHook *hook = loop->hooks;

    while (hook) {
        loop->next_hook = hook->next;
        hook->submit(hook->opaque);
        hook = loop->next_hook;
    }
}

/* Nanoseconds to sleep at most: -1 is no limit. */
static int64_t wait_ns(const Loop *loop, int max_wait_ms)
{
    int64_t limit = max_wait_ms < 0 ? -1 : max_wait_ms * NS_PER_MS;

    if (loop->deferred.first || loop->yielded.first || loop->resumed.first || limit == 0) {
        return 0;
    }
    if (loop->timers) {
        int64_t now = loop_now_ns();
        int64_t deadline = loop->timers->deadline_ns;
        int64_t left = deadline <= now ? 0 : deadline - now;

        if (limit < 0 || left < limit) {
            limit = left;
        }
    }
    return limit;
}

static int wait_ms(int64_t ns)
{
    if (ns < 0) {
        return -1;
    }
    if (ns > INT_MAX * NS_PER_MS) {
        return INT_MAX;
    }
    return (ns + NS_PER_MS - 1) / NS_PER_MS; /* never before the deadline */
}

static int wait_batch(Loop *loop, int64_t ns)
{
    if (!loop->no_pwait2) {
        struct timespec ts = { .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC };
        int ret = epoll_pwait2(loop->epoll_fd, loop->batch, BATCH_MAX, ns < 0 ? NULL : &ts, NULL);

        if (ret >= 0 || (errno != ENOSYS && errno != EPERM)) {
            return ret;
        }
        loop->no_pwait2 = true;
    }
    return epoll_wait(loop->epoll_fd, loop->batch, BATCH_MAX, wait_ms(ns));
}

/* Takes the batch and strikes the eventfd out of it; true if that had rung. */
static bool wait_events(Loop *loop, int max_wait_ms)
{
    int n = wait_batch(loop, wait_ns(loop, max_wait_ms));

    if (n < 0) {
        g_assert(errno == EINTR);
        n = 0;
    }
    loop->batch_len = n;
    for (int i = 0; i < n; i++) {
        if (loop->batch[i].data.ptr == loop) {
            loop->batch[i].data.ptr = NULL;
            return true;
        }
    }
    return false;
}

static void turn(Loop *loop, int max_wait_ms)
{
    bool rung;

    g_assert(!loop->in_turn);
    loop->in_turn = true;
    loop->ran = false;
    rung = wait_events(loop, max_wait_ms);
    queue_join(&loop->resumed, &loop->yielded);
    if (rung) {
        run_posts(loop);
    }
    run_timers(loop);
    run_fds(loop);
    /* What was yielded came before what this turn has deferred. */
    queue_join(&loop->resumed, &loop->deferred);
    queue_join(&loop->deferred, &loop->resumed);
    loop_run_deferred(loop);
    run_hooks(loop);
    loop->in_turn = false;
}

bool loop_turn(Loop *loop, int max_wait_ms)
{
    run_hooks(loop);
    turn(loop, max_wait_ms);
    return loop->ran;
}

void loop_run(Loop *loop)
{
    trace(LOOP, "%s: running", loop->name);
    run_hooks(loop);
    do {
        turn(loop, -1);
    } while (!atomic_exchange(&loop->quit, false));
    trace(LOOP, "%s: ended", loop->name);
}

Loop *loop_new(const char *name, GError **errp)
{
    AUTO_FD epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    AUTO_FD wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = { .events = EPOLLIN };
    Loop *loop;

    if (epoll_fd < 0 || wake_fd < 0) {
        error_set(errp, "no event loop for '%s': %s", name, g_strerror(errno));
        return NULL;
    }
    loop = g_new0(Loop, 1);
    ev.data.ptr = loop;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &ev) < 0) {
        error_set(errp, "no event loop for '%s': %s", name, g_strerror(errno));
        g_free(loop);
        return NULL;
    }
    loop->name = g_strdup(name);
    loop->epoll_fd = fd_steal(&epoll_fd);
    loop->wake_fd = fd_steal(&wake_fd);
    queue_init(&loop->deferred);
    queue_init(&loop->yielded);
    queue_init(&loop->resumed);
    return loop;
}

void loop_free(Loop *loop)
{
    if (!loop) {
        return;
    }
    while (atomic_load(&loop->users)) {
        poll(NULL, 0, 1); /* as long as another thread's write to the eventfd */
    }
    g_assert(!loop->in_turn && loop->n_fds == 0 && !loop->timers && !loop->hooks);
    g_assert(!loop->deferred.first && !loop->yielded.first && !loop->resumed.first);
    g_assert(!atomic_load(&loop->posts));
    fd_clear(&loop->wake_fd);
    fd_clear(&loop->epoll_fd);
    g_free(loop->name);
    g_free(loop);
}

const char *loop_name(const Loop *loop)
{
    return loop->name;
}
