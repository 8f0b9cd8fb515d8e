/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loop with polling: what it does without the kernel, and what it must not forget meanwhile.
 * The window is opened to a second, which no test uses up.
 */
#include "loop-window.h"
#include "util/fd.h"
#include "util/loop.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WINDOW_NS INT64_C(1000000000)

typedef struct Fixture {
    Loop *loop;
    LoopPoll poll;
    unsigned calls;
    unsigned due; /* the call that finds something, and all behind it */
    unsigned found;
    LoopWork work; /* deferred by each find */
    unsigned worked;
    LoopFd watch;
    int fd;
    unsigned events;
    LoopPost post;
} Fixture;

static bool on_poll(void *opaque)
{
    Fixture *f = opaque;

    if (++f->calls < f->due) {
        return false;
    }
    f->found++;
    loop_defer(&f->work);
    return true;
}

static void on_work(void *opaque)
{
    ((Fixture *)opaque)->worked++;
}

static void on_event(void *opaque, uint32_t events G_GNUC_UNUSED)
{
    Fixture *f = opaque;
    uint64_t count;

    g_assert_cmpint(read(f->fd, &count, sizeof(count)), ==, sizeof(count));
    f->events++;
}

static void ring(Fixture *f)
{
    uint64_t one = 1;

    g_assert_cmpint(write(f->fd, &one, sizeof(one)), ==, sizeof(one));
}

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->loop = loop_new("test", NULL);
    f->due = G_MAXUINT;
    f->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop_work_init(&f->work, f->loop, on_work, f);
    g_assert_cmpint(loop_fd_add(f->loop, &f->watch, f->fd, EPOLLIN, on_event, f), ==, 0);
    loop_poll_add(f->loop, &f->poll, on_poll, f);
}

static void open_window(Fixture *f)
{
    loop_open_window(f->loop, WINDOW_NS);
    f->calls = 0;
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    loop_poll_del(&f->poll);
    loop_fd_del(&f->watch);
    fd_clear(&f->fd);
    loop_free(f->loop);
}

/* Without polling, and with it as long as it has not paid, nothing is looked at. */
static void test_off(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->due = 1;
    loop_turn(f->loop, 1);
    loop_set_polling(f->loop, WINDOW_NS, 2, 2);
    loop_turn(f->loop, 1);
    g_assert_cmpuint(f->calls, ==, 0);
}

static void test_found(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    open_window(f);
    f->due = 5;
    g_assert_true(loop_turn(f->loop, -1));
    g_assert_cmpuint(f->calls, ==, 5);
    g_assert_cmpuint(f->found, ==, 1);
    g_assert_cmpuint(f->worked, ==, 1);
}

/* A turn that has work doesn't wait, so it doesn't look either. */
static void test_busy(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    open_window(f);
    loop_defer(&f->work);
    loop_turn(f->loop, -1);
    g_assert_cmpuint(f->worked, ==, 1);
    g_assert_cmpuint(f->calls, ==, 0);
}

/* A source that always has something doesn't starve the descriptors. */
static void test_fair(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    open_window(f);
    f->due = 1;
    ring(f);
    for (unsigned turns = 0; f->events == 0; turns++) {
        g_assert_cmpuint(turns, <, 16);
        loop_turn(f->loop, -1);
    }
    g_assert_cmpuint(f->found, >, 0);
}

static void on_timer(void *opaque)
{
    ((Fixture *)opaque)->worked++;
}

static void test_timer(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    LoopTimer timer;

    open_window(f);
    loop_timer_init(&timer, f->loop, on_timer, f);
    loop_timer_arm(&timer, loop_now_ns() + 1000000);
    while (f->worked == 0) {
        loop_turn(f->loop, -1);
    }
    g_assert_cmpint(loop_now_ns() - timer.deadline_ns, <, WINDOW_NS);
}

/* With a window of a second it looks millions of times, for what a sleep costs not so often. */
static void test_at_disk(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    open_window(f);
    ring(f);
    loop_at_disk(f->loop, 2);
    loop_at_disk(f->loop, -1);
    loop_turn(f->loop, -1);
    g_assert_cmpuint(f->events, ==, 1);
    g_assert_cmpuint(f->calls, >, 0);
    g_assert_cmpuint(f->calls, <, 10000);
    loop_at_disk(f->loop, -1);
    f->calls = 0;
    f->due = 10000;
    loop_turn(f->loop, -1);
    g_assert_cmpuint(f->found, ==, 1);
}

static void on_post(void *opaque)
{
    ((Fixture *)opaque)->worked++;
}

static void *post_thread(void *opaque)
{
    Fixture *f = opaque;

    loop_post(f->loop, &f->post);
    return NULL;
}

/* Of another thread, while the loop looks. */
static void test_post(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GThread *thread;

    open_window(f);
    f->post = (LoopPost){ .fn = on_post, .opaque = f };
    thread = g_thread_new("poster", post_thread, f);
    while (f->worked == 0) {
        g_assert_true(loop_turn(f->loop, -1));
    }
    g_thread_join(thread);
}

static bool del_self(void *opaque)
{
    Fixture *f = opaque;

    loop_poll_del(&f->poll);
    return true;
}

static void test_del(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    open_window(f);
    f->poll.fn = del_self;
    g_assert_true(loop_turn(f->loop, -1));
    g_assert_false(loop_turn(f->loop, 1));
    g_assert_cmpuint(f->calls, ==, 0);
}

typedef struct Slow {
    Fixture *f;
    LoopTimer timer;
    LoopWork quit;
} Slow;

#define SLOW_NS INT64_C(20000000)

static void on_quit(void *opaque)
{
    loop_quit(((Slow *)opaque)->f->loop);
}

static void work_for_long(void *opaque)
{
    Slow *s = opaque;
    int64_t begin = loop_now_ns();

    while (loop_now_ns() - begin < SLOW_NS) {
    }
    loop_yield(&s->quit);
}

static bool find_for_long(void *opaque)
{
    Slow *s = opaque;

    loop_poll_del(&s->f->poll);
    work_for_long(s);
    return true;
}

static void slow_init(Slow *s, Fixture *f, LoopFn *fn)
{
    *s = (Slow){ .f = f };
    loop_work_init(&s->quit, f->loop, on_quit, s);
    loop_timer_init(&s->timer, f->loop, fn, s);
}

static void test_slow_turn(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    Slow s;

    slow_init(&s, f, work_for_long);
    loop_timer_arm(&s.timer, loop_now_ns() + 1);
    loop_run(f->loop);
    g_assert_cmpint(loop_slowest_turn_ns(f->loop), >=, SLOW_NS);
    loop_forget_slowest_turn(f->loop);
    g_assert_cmpint(loop_slowest_turn_ns(f->loop), ==, 0);
}

/* What a look finds is handled in it, and is work, too. */
static void test_slow_find(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    Slow s;

    slow_init(&s, f, work_for_long);
    open_window(f);
    loop_forget_slowest_turn(f->loop);
    f->poll.fn = find_for_long;
    f->poll.opaque = &s;
    loop_run(f->loop);
    g_assert_cmpint(loop_slowest_turn_ns(f->loop), >=, SLOW_NS);
}

/* Whether waiting is counted: each of several waits would have to be disturbed to look like it. */
static void check_wait(Fixture *f)
{
    unsigned tries = 20;
    Slow s;

    slow_init(&s, f, on_quit);
    do {
        loop_forget_slowest_turn(f->loop);
        loop_timer_arm(&s.timer, loop_now_ns() + SLOW_NS);
        while (loop_timer_armed(&s.timer)) {
            loop_turn(f->loop, -1);
        }
        loop_turn(f->loop, 0);
    } while (loop_slowest_turn_ns(f->loop) >= SLOW_NS && --tries);
    g_assert_cmpuint(tries, >, 0);
}

static void test_wait_is_no_turn(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    check_wait(f);
    open_window(f);
    check_wait(f);
    g_assert_cmpuint(f->calls, >, 0);
}

/* Requests that come one by one, and what submits them. */
typedef struct Row {
    Fixture *f;
    LoopHook hook;
    unsigned came, held, most, submissions;
    unsigned limit;   /* of held */
    int64_t cost_ns;  /* of a submission */
    int64_t pause_ns; /* from there to the next request */
    int64_t due_ns;
} Row;

static void pass(int64_t ns)
{
    int64_t end = loop_now_ns() + ns;

    while (loop_now_ns() < end) {
    }
}

static bool one_comes(void *opaque)
{
    Row *row = opaque;

    if (loop_now_ns() < row->due_ns) {
        return false;
    }
    row->came++;
    row->held++;
    return true;
}

static int row_held(void *opaque)
{
    Row *row = opaque;

    return row->held >= row->limit ? -1 : (int)row->held;
}

static void row_submit(void *opaque)
{
    Row *row = opaque;

    if (row->held) {
        pass(row->cost_ns);
        row->most = MAX(row->most, row->held);
        row->submissions++;
        row->held = 0;
        row->due_ns = loop_now_ns() + row->pause_ns;
    }
}

static void row_begin(Row *row, Fixture *f)
{
    row->f = f;
    loop_hook_add(f->loop, &row->hook, row_submit, row_held, row);
    f->poll.fn = one_comes;
    f->poll.opaque = row;
}

/* A machine that is busy may let more time pass between two of them, so it is tried for long. */
static void test_gather(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    Row row = { .limit = 8, .cost_ns = 40000 };

    open_window(f);
    row_begin(&row, f);
    while (row.most < row.limit) {
        loop_turn(f->loop, -1);
        g_assert_cmpuint(row.submissions, <, 100000);
    }
    g_assert_cmpuint(row.most, ==, row.limit);
    g_assert_cmpuint(row.held, ==, 0);
    loop_hook_del(&row.hook);
}

/* Neither what comes later than a submission takes nor what comes without polling. */
static void test_gather_alone(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    Row row = { .limit = 8, .cost_ns = 1, .pause_ns = 1000000 };

    open_window(f);
    row_begin(&row, f);
    for (unsigned i = 0; i < 20; i++) {
        loop_turn(f->loop, -1);
    }
    g_assert_cmpuint(row.submissions, ==, 20);
    g_assert_cmpuint(row.most, ==, 1);
    loop_hook_del(&row.hook);
}

static void come_by_event(void *opaque, uint32_t events)
{
    Row *row = opaque;

    on_event(row->f, events);
    one_comes(row);
    ring(row->f);
}

static void test_gather_off(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    Row row = { .limit = 8, .cost_ns = 40000 };

    row_begin(&row, f);
    loop_fd_del(&f->watch);
    g_assert_cmpint(loop_fd_add(f->loop, &f->watch, f->fd, EPOLLIN, come_by_event, &row), ==, 0);
    ring(f);
    for (unsigned i = 0; i < 100; i++) {
        loop_turn(f->loop, -1);
    }
    g_assert_cmpuint(row.came, ==, 100);
    g_assert_cmpuint(row.most, ==, 1);
    loop_hook_del(&row.hook);
}

#define TEST(name) g_test_add("/loop-poll/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(off);
    TEST(found);
    TEST(busy);
    TEST(fair);
    TEST(timer);
    TEST(at_disk);
    TEST(post);
    TEST(del);
    TEST(slow_turn);
    TEST(slow_find);
    TEST(wait_is_no_turn);
    TEST(gather);
    TEST(gather_alone);
    TEST(gather_off);
    return g_test_run();
}
