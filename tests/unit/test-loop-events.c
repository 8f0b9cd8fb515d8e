/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop's descriptors and timers: what comes when, and what a callback may do to others of
 * its batch.
 */
#include "loop-fixture.h"
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void also_unwatch(Item *item)
{
    item_unwatch(item);
}

static void also_unwatch_other(Item *item)
{
    item_unwatch(item->other);
}

static void test_fd_add_refused(Fixture *f, G_GNUC_UNUSED const void *data)
{
    AUTO_FD file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    Item a;
    LoopFd again = { 0 };

    item_init(&a, f, 'a');
    g_assert_cmpint(loop_fd_add(f->loop, &a.watch, file, EPOLLIN, note_fd, &a), ==, -EPERM);
    g_assert_cmpint(loop_fd_add(f->loop, &a.watch, -1, EPOLLIN, note_fd, &a), ==, -EBADF);
    loop_fd_del(&a.watch);
    item_watch(&a);
    g_assert_cmpint(loop_fd_add(f->loop, &again, a.fd, EPOLLIN, note_fd, &a), ==, -EEXIST);
    loop_turn(f->loop, -1);
    expect(f, "a");
    item_unwatch(&a);
    loop_fd_del(&a.watch);
}

static void keep_events(void *opaque, uint32_t events)
{
    *(uint32_t *)opaque = events;
}

static void test_fd_events(Fixture *f, G_GNUC_UNUSED const void *data)
{
    uint32_t seen = 0;
    LoopFd watch;
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_cmpint(loop_fd_add(f->loop, &watch, pair[0], 0, keep_events, &seen), ==, 0);
    g_assert_cmpint(write(pair[1], "x", 1), ==, 1);
    g_assert_false(loop_turn(f->loop, 0));
    loop_fd_set(&watch, EPOLLIN);
    g_assert_true(loop_turn(f->loop, -1));
    g_assert_cmpuint(seen, ==, EPOLLIN);
    loop_fd_set(&watch, EPOLLIN | EPOLLOUT);
    g_assert_true(loop_turn(f->loop, -1));
    g_assert_cmpuint(seen, ==, EPOLLIN | EPOLLOUT);
    /* Level-triggered. */
    g_assert_true(loop_turn(f->loop, 0));
    loop_fd_set(&watch, 0);
    g_assert_false(loop_turn(f->loop, 0));
    fd_clear(&pair[1]);
    g_assert_true(loop_turn(f->loop, -1));
    g_assert_cmpuint(seen & EPOLLHUP, ==, EPOLLHUP);
    g_assert_cmpuint(seen & EPOLLIN, ==, 0);
    loop_fd_del(&watch);
    fd_clear(&pair[0]);
}

static void test_fd_del_self(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a;

    item_init(&a, f, 'a');
    item_watch(&a);
    a.also = also_unwatch;
    loop_turn(f->loop, -1);
    g_assert_false(loop_turn(f->loop, 0));
    expect(f, "a");
}

static void test_fd_del_other(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_watch(&a);
    item_watch(&b);
    a.also = also_unwatch_other;
    a.other = &b;
    b.also = also_unwatch_other;
    b.other = &a;
    loop_turn(f->loop, -1);
    /* Whichever came first; both were in the batch. */
    g_assert_cmpuint(a.count + b.count, ==, 1);
    g_string_truncate(f->log, 0);
    a.also = NULL;
    b.also = NULL;
    loop_turn(f->loop, -1);
    g_assert_cmpuint(a.count + b.count, ==, 2);
    item_unwatch(&a);
    item_unwatch(&b);
}

/* Closes the other's descriptor and watches another one with the same LoopFd, and most likely the
 * same number; the event of the old one must not be taken for the new one's. */
static void also_replace_other(Item *item)
{
    Item *other = item->other;

    item_unwatch(other);
    other->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert_cmpint(loop_fd_add(item->f->loop, &other->watch, other->fd, EPOLLIN, note_fd, other),
                    ==, 0);
    item->also = NULL;
    other->also = NULL;
}

static void test_fd_replace_in_batch(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_watch(&a);
    item_watch(&b);
    a.also = also_replace_other;
    a.other = &b;
    b.also = also_replace_other;
    b.other = &a;
    loop_turn(f->loop, -1);
    g_assert_cmpuint(a.count + b.count, ==, 1);
    item_unwatch(&a);
    item_unwatch(&b);
}

static void also_mute_other(Item *item)
{
    loop_fd_set(&item->other->watch, 0);
}

static void test_fd_mute_in_batch(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_watch(&a);
    item_watch(&b);
    a.also = also_mute_other;
    a.other = &b;
    b.also = also_mute_other;
    b.other = &a;
    loop_turn(f->loop, -1);
    g_assert_cmpuint(a.count + b.count, ==, 1);
    item_unwatch(&a);
    item_unwatch(&b);
}

/* More than a batch: all get their turn. */
static void test_fd_many(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item items[150];

    for (unsigned i = 0; i < G_N_ELEMENTS(items); i++) {
        item_init(&items[i], f, 'a');
        item_watch(&items[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        loop_turn(f->loop, -1);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(items); i++) {
        g_assert_cmpuint(items[i].count, >=, 1);
        item_unwatch(&items[i]);
    }
}

/* Timers */

static void test_timer_order(Fixture *f, G_GNUC_UNUSED const void *data)
{
    int64_t now = loop_now_ns();
    Item a, b, c, d;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    item_init(&d, f, 'd');
    loop_timer_arm(&c.timer, now - 1);
    loop_timer_arm(&a.timer, now - 3);
    loop_timer_arm(&b.timer, now - 2);
    loop_timer_arm(&d.timer, now - 1);
    g_assert_true(loop_timer_armed(&a.timer));
    g_assert_true(loop_turn(f->loop, -1));
    expect(f, "abcd");
    g_assert_false(loop_timer_armed(&a.timer));
    g_assert_false(loop_turn(f->loop, 0));
}

static void test_timer_rearm(Fixture *f, G_GNUC_UNUSED const void *data)
{
    int64_t now = loop_now_ns();
    Item a, b;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    loop_timer_arm(&a.timer, now - 2);
    loop_timer_arm(&b.timer, now - 1);
    loop_timer_arm(&a.timer, now);
    loop_turn(f->loop, -1);
    expect(f, "ba");
    loop_timer_arm(&a.timer, INT64_MAX);
    loop_timer_arm(&b.timer, INT64_MIN);
    loop_turn(f->loop, -1);
    expect(f, "b");
    g_assert_false(loop_turn(f->loop, 1));
    loop_timer_disarm(&a.timer);
    loop_timer_disarm(&a.timer);
    g_assert_false(loop_timer_armed(&a.timer));
}

static void test_timer_disarm(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, c;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    loop_timer_arm(&c.timer, 3);
    loop_timer_arm(&b.timer, 2);
    loop_timer_arm(&a.timer, 1);
    loop_timer_disarm(&b.timer);
    loop_timer_disarm(&c.timer);
    loop_turn(f->loop, -1);
    expect(f, "a");
}

static void also_arm_self(Item *item)
{
    loop_timer_arm(&item->timer, 0);
}

static void test_timer_past_in_callback(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    a.also = also_arm_self;
    loop_timer_arm(&a.timer, 0);
    loop_timer_arm(&b.timer, 1);
    loop_turn(f->loop, -1);
    expect(f, "ab");
    loop_turn(f->loop, -1);
    expect(f, "a");
    loop_timer_disarm(&a.timer);
}

static void also_disarm_other(Item *item)
{
    loop_timer_disarm(&item->other->timer);
}

/* Both are due; the first takes the second away, in the middle and at the end of the list. */
static void test_timer_disarm_due(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, c;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    a.also = also_disarm_other;
    a.other = &b;
    loop_timer_arm(&a.timer, 1);
    loop_timer_arm(&b.timer, 2);
    loop_timer_arm(&c.timer, 3);
    loop_turn(f->loop, -1);
    expect(f, "ac");
    loop_timer_arm(&a.timer, 1);
    loop_timer_arm(&b.timer, 2);
    loop_turn(f->loop, -1);
    expect(f, "a");
}

static void check_timer_wait(Fixture *f)
{
    Item a;

    item_init(&a, f, 'a');
    for (int64_t ahead = 1; ahead < 3 * MS; ahead = ahead * 3 + 7) {
        int64_t deadline = loop_now_ns() + ahead;

        loop_timer_arm(&a.timer, deadline);
        /* In the first turn: a wait that ends too early would have to be repeated. */
        g_assert_true(loop_turn(f->loop, -1));
        g_assert_cmpint(loop_now_ns(), >=, deadline);
        expect(f, "a");
    }
    loop_timer_arm(&a.timer, loop_now_ns() + 3600 * 1000 * MS);
    g_assert_false(loop_turn(f->loop, 1));
    loop_timer_disarm(&a.timer);
}

static void test_timer_wait(Fixture *f, G_GNUC_UNUSED const void *data)
{
    check_timer_wait(f);
}

/* On a thread of its own, whose kernel seems to be older than epoll_pwait2. */
static void *old_kernel_thread(void *opaque)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { .len = G_N_ELEMENTS(code), .filter = code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) {
        return (void *)"no seccomp filter here";
    }
    check_timer_wait(opaque);
    return NULL;
}

static void test_timer_wait_old_kernel(Fixture *f, G_GNUC_UNUSED const void *data)
{
    const char *skipped = g_thread_join(g_thread_new("old", old_kernel_thread, f));

    if (skipped) {
        g_test_skip(skipped);
    }
}

static void test_max_wait(Fixture *f, G_GNUC_UNUSED const void *data)
{
    int64_t start = loop_now_ns();

    g_assert_false(loop_turn(f->loop, 2));
    g_assert_cmpint(loop_now_ns() - start, >=, 2 * MS);
}

/* Hooks */

int main(int argc, char **argv)
{
    static const Case cases[] = {
        { "/loop/fd-add-refused", test_fd_add_refused },
        { "/loop/fd-events", test_fd_events },
        { "/loop/fd-del-self", test_fd_del_self },
        { "/loop/fd-del-other", test_fd_del_other },
        { "/loop/fd-replace-in-batch", test_fd_replace_in_batch },
        { "/loop/fd-mute-in-batch", test_fd_mute_in_batch },
        { "/loop/fd-many", test_fd_many },
        { "/loop/timer-order", test_timer_order },
        { "/loop/timer-rearm", test_timer_rearm },
        { "/loop/timer-disarm", test_timer_disarm },
        { "/loop/timer-past-in-callback", test_timer_past_in_callback },
        { "/loop/timer-disarm-due", test_timer_disarm_due },
        { "/loop/timer-wait", test_timer_wait },
        { "/loop/timer-wait-old-kernel", test_timer_wait_old_kernel },
        { "/loop/max-wait", test_max_wait },
    };

    return run_cases(argc, argv, cases, G_N_ELEMENTS(cases));
}
