/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop of a thread: epoll for descriptors and as the only place that sleeps, an eventfd
 * to be woken by other threads, a sorted list of timers that gives the sleep its length.
 *
 * A turn takes one batch of events from the kernel and keeps it in the Loop while it is being
 * dispatched, so that loop_fd_del() can strike out what has not been delivered yet.
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
#include "loop-int.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/trace.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <semaphore.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
/* Turns in a row that polling may do without a look at the other descriptors. */
#define UNWATCHED_MAX 8

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

typedef struct Call {
    LoopPost post;
    LoopFn *fn;
    void *opaque;
    sem_t done;
} Call;

int64_t loop_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
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

void loop_hook_add(Loop *loop, LoopHook *hook, LoopFn *submit, LoopHeldFn *held, void *opaque)
{
    LoopHook **end = &loop->hooks;

    while (*end) {
        end = &(*end)->next;
    }
    *hook = (LoopHook){
        .loop = loop,
        .submit = submit,
        .held = held,
        .opaque = opaque,
        .prev = end,
    };
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

    if (loop->deferred.first || loop->last.first || loop->yielded.first || loop->resumed.first ||
        limit == 0) {
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

/* --- a turn --- */

static void count_turn(Loop *loop, int64_t now)
{
    if (loop->woke_ns && now - loop->woke_ns > loop->slowest_ns) {
        __atomic_store_n(&loop->slowest_ns, now - loop->woke_ns, __ATOMIC_RELAXED);
    }
}

int64_t loop_slowest_turn_ns(const Loop *loop)
{
    return __atomic_load_n(&loop->slowest_ns, __ATOMIC_RELAXED);
}

void loop_forget_slowest_turn(Loop *loop)
{
    __atomic_store_n(&loop->slowest_ns, 0, __ATOMIC_RELAXED);
}

/* Takes the batch and strikes the eventfd out of it; true if that had rung. */
static bool take_events(Loop *loop, int64_t ns)
{
    int n = wait_batch(loop, ns);

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

/* The clock is read as it would be for the window; what a look has found counts as work. */
static bool wait_events(Loop *loop, int64_t ns)
{
    int64_t begin = loop_now_ns(), end;
    bool found = false, rung = false, disk = loop->n_at_disk > 0;

    count_turn(loop, begin);
    if (ns == 0) {
        loop->woke_ns = begin;
        return take_events(loop, 0);
    }
    if (loop->window.ns > 0) {
        found = loop_look(loop, begin, ns);
    }
    if (!found || ++loop->unwatched > UNWATCHED_MAX) {
        loop->unwatched = 0;
        rung = take_events(loop, found ? 0 : ns);
    }
    end = loop_now_ns();
    if (!found) {
        loop->woke_ns = end;
    }
    if (loop->window.max_ns > 0) {
        poll_window_waited(&loop->window, disk, end - begin, found);
    }
    return rung;
}

static void submit(Loop *loop)
{
    bool some = loop->window.max_ns > 0 && loop_gather(loop);
    int64_t begin = some ? loop_now_ns() : 0;

    run_hooks(loop);
    if (some) {
        burst_submitted(&loop->burst, begin, loop_now_ns());
    }
}

static void turn(Loop *loop, int max_wait_ms)
{
    int64_t ns = wait_ns(loop, max_wait_ms);
    bool rung;

    g_assert(!loop->in_turn);
    loop->in_turn = true;
    loop->ran = false;
    work_queue_join(&loop->resumed, &loop->yielded);
    rung = wait_events(loop, ns);
    if (rung) {
        run_posts(loop);
    }
    loop_run_timers(loop);
    run_fds(loop);
    /* What was yielded came before what this turn has deferred. */
    work_queue_join(&loop->resumed, &loop->deferred);
    work_queue_join(&loop->deferred, &loop->resumed);
    loop_run_deferred(loop);
    submit(loop);
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
    work_queue_init(&loop->deferred);
    work_queue_init(&loop->last);
    work_queue_init(&loop->yielded);
    work_queue_init(&loop->resumed);
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
    g_assert(!loop->polls && !loop->n_at_disk);
    g_assert(!loop->deferred.first && !loop->last.first && !loop->yielded.first &&
             !loop->resumed.first);
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
