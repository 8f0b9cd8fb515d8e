/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The line on its two eventfds, and the descriptors that a peer should not have sent.
 */
#include "remote/iohub.h"
#include "loop-window.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

typedef struct Fixture {
    Loop *loop;
    IoHub hub;
    int irqfd, resamplefd; /* the peer's side */
} Fixture;

static int dup_fd(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->loop = loop_new("test", NULL);
    iohub_init(&f->hub, f->loop);
    f->irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->resamplefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert_cmpint(iohub_bind(&f->hub, dup_fd(f->irqfd), dup_fd(f->resamplefd)), ==, 0);
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    iohub_fini(&f->hub);
    fd_clear(&f->irqfd);
    fd_clear(&f->resamplefd);
    loop_free(f->loop);
}

/* What the counter had; 0 if nothing. */
static uint64_t take(int fd)
{
    uint64_t n = 0;

    return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void put(int fd, uint64_t n)
{
    g_assert_cmpint(write(fd, &n, sizeof(n)), ==, sizeof(n));
}

static void settle(Fixture *f)
{
    unsigned turns = 0;

    while (loop_turn(f->loop, 0)) {
        g_assert_cmpuint(++turns, <, 1000); /* a busy loop */
    }
}

static void test_edges(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
    iohub_set_level(&f->hub, false);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
}

static void test_resample(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    put(f->resamplefd, 1);
    settle(f);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    put(f->resamplefd, 3);
    settle(f);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    g_assert_cmpuint(take(f->resamplefd), ==, 0);
    iohub_set_level(&f->hub, false);
    put(f->resamplefd, 1);
    settle(f);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
}

static void lower(void *opaque)
{
    iohub_set_level(&((Fixture *)opaque)->hub, false);
}

static void test_before_resample(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->hub.before_resample = lower;
    f->hub.opaque = f;
    iohub_set_level(&f->hub, true);
    take(f->irqfd);
    put(f->resamplefd, 1);
    settle(f);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
}

static void test_mask(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    iohub_mask(&f->hub, true);
    iohub_set_level(&f->hub, true);
    put(f->resamplefd, 1);
    settle(f);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
    iohub_mask(&f->hub, false);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    iohub_mask(&f->hub, true);
    iohub_set_level(&f->hub, false);
    iohub_mask(&f->hub, false);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
}

static void test_rebind(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    iohub_set_level(&f->hub, true);
    take(f->irqfd);
    g_assert_cmpint(iohub_bind(&f->hub, dup_fd(irqfd), dup_fd(resamplefd)), ==, 0);
    g_assert_cmpuint(take(irqfd), ==, 1); /* the line was up */
    put(f->resamplefd, 1);
    settle(f);
    g_assert_cmpuint(take(irqfd), ==, 0);
    put(resamplefd, 1);
    settle(f);
    g_assert_cmpuint(take(irqfd), ==, 1);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
    iohub_unbind(&f->hub);
    iohub_set_level(&f->hub, false);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(irqfd), ==, 0);
}

/* ---- an EOI while the loop has not looked at its descriptors ---- */

/* It is of the last interrupt, so it does not signal this one again, nor does this one wait. */
static void check_late_eoi(Fixture *f)
{
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    iohub_set_level(&f->hub, false);
    put(f->resamplefd, 1);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    settle(f);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
}

static void test_late_eoi(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    check_late_eoi(f);
}

static void automask(Fixture *f)
{
    const int fd = dup_fd(f->irqfd);

    iohub_unbind(&f->hub);
    iohub_set_count(&f->hub, IOHUB_INTX, 1);
    g_assert_cmpint(iohub_set_vectors(&f->hub, IOHUB_INTX, 0, 1, &fd), ==, 0);
    g_assert_cmpint(iohub_set_resample(&f->hub, dup_fd(f->resamplefd)), ==, 0);
}

static void test_automask(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    automask(f);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    iohub_set_level(&f->hub, false);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
    put(f->resamplefd, 1);
    settle(f);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
}

static void wait_again(Fixture *f)
{
    while (loop_timer_armed(&f->hub.again)) {
        loop_turn(f->loop, -1);
    }
}

/* By a message, with the line up: the handler is on its way to lower it. */
static void test_early_unmask(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    automask(f);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    iohub_mask(&f->hub, false);
    iohub_set_level(&f->hub, false);
    wait_again(f);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
}

/* And if it doesn't, there is one more interrupt. */
static void test_not_lowered(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    automask(f);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    iohub_mask(&f->hub, false);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
    wait_again(f);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    settle(f);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
    iohub_mask(&f->hub, false);
    iohub_unbind(&f->hub);
    g_assert_false(loop_timer_armed(&f->hub.again));
}

/* What could not be signalled does not wait. */
static void test_unmask(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    automask(f);
    iohub_mask(&f->hub, true);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 0);
    iohub_mask(&f->hub, false);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
}

static void test_automask_late_eoi(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    automask(f);
    check_late_eoi(f);
}

typedef struct Looks {
    LoopPoll poll;
    unsigned n;
} Looks;

static bool count_look(void *opaque)
{
    ((Looks *)opaque)->n++;
    return false;
}

/* With the line up it is seen while the loop looks for messages, which it does for a second. */
static void test_polled_eoi(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    Looks looks = { 0 };

    loop_open_window(f->loop, 1000000000);
    loop_poll_add(f->loop, &looks.poll, count_look, &looks);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    put(f->resamplefd, 1);
    loop_turn(f->loop, -1);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
    g_assert_cmpuint(looks.n, ==, 1);
    loop_poll_del(&looks.poll);
}

static void test_no_resamplefd(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmpint(iohub_bind(&f->hub, dup_fd(f->irqfd), -1), ==, 0);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
}

/* ---- bad descriptors ---- */

/* Full, and blocking: also when the peer takes the flag away again. */
static void test_full(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    put(f->irqfd, UINT64_MAX - 1);
    g_assert_cmpint(fd_set_nonblock(f->irqfd, false), ==, 0);
    iohub_set_level(&f->hub, true);
    put(f->resamplefd, 1);
    settle(f);
    g_assert_cmpuint(take(f->irqfd), ==, UINT64_MAX - 1);
    put(f->resamplefd, 1);
    settle(f);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
}

static void test_made_nonblocking(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC);
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC);

    g_assert_cmpint(iohub_bind(&f->hub, dup_fd(irqfd), dup_fd(resamplefd)), ==, 0);
    g_assert_true(fcntl(irqfd, F_GETFL) & O_NONBLOCK);
    g_assert_true(fcntl(resamplefd, F_GETFL) & O_NONBLOCK);
}

static void check_refused(Fixture *f, int irqfd, int resamplefd)
{
    g_assert_cmpint(iohub_bind(&f->hub, irqfd, resamplefd), <, 0);
    g_assert_cmpint(fcntl(irqfd, F_GETFD), ==, -1);
    g_assert_cmpint(fcntl(resamplefd, F_GETFD), ==, -1);
    g_assert_cmpint(f->hub.irqfd, ==, -1);
    g_assert_null(f->hub.watch.loop);
    iohub_set_level(&f->hub, false);
    iohub_set_level(&f->hub, true);
    settle(f);
}

static void test_refused(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "iohub-XXXXXX", NULL);
    int pipefd[2], sv[2];
    int file = mkstemp(path);

    g_assert_cmpint(pipe(pipefd), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), ==, 0);
    unlink(path);
    check_refused(f, pipefd[1], dup_fd(f->resamplefd));
    check_refused(f, dup_fd(f->irqfd), pipefd[0]);
    check_refused(f, sv[0], sv[1]);
    check_refused(f, dup_fd(file), file);
    check_refused(f, open("/dev/null", O_RDWR), open("/dev/zero", O_RDWR));
    check_refused(f, -1, dup_fd(f->resamplefd));
    check_refused(f, dup_fd(f->irqfd), dup_fd(f->irqfd)); /* would feed itself */
}

/* Other anonymous objects pass the check and must do no harm: never writable, or not by us. */
static void test_odd_objects(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ready = eventfd(1, EFD_CLOEXEC);
    struct epoll_event ev = { .events = EPOLLIN };
    struct itimerspec soon = { .it_value.tv_nsec = 1 };
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

    g_assert_cmpint(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ready, &ev), ==, 0);
    g_assert_cmpint(timerfd_settime(timer_fd, 0, &soon, NULL), ==, 0);
    iohub_bind(&f->hub, timer_fd, epoll_fd); /* readable for ever, and no read(2) */
    iohub_set_level(&f->hub, true);
    settle(f);
    iohub_set_level(&f->hub, false);
    iohub_set_level(&f->hub, true);
    settle(f);
    g_assert_cmpint(f->hub.resamplefd, ==, -1);
}

/* A semaphore gives one per read: 2^64 events from one write. */
static void test_semaphore(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);

    put(resamplefd, UINT64_MAX - 1);
    g_assert_cmpint(iohub_bind(&f->hub, dup_fd(f->irqfd), dup_fd(resamplefd)), ==, 0);
    settle(f);
    g_assert_cmpint(f->hub.resamplefd, ==, -1);
    iohub_set_level(&f->hub, true);
    g_assert_cmpuint(take(f->irqfd), ==, 1);
}

#define TEST(name) g_test_add("/iohub/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(edges);
    TEST(resample);
    TEST(before_resample);
    TEST(mask);
    TEST(rebind);
    TEST(late_eoi);
    TEST(automask);
    TEST(automask_late_eoi);
    TEST(early_unmask);
    TEST(not_lowered);
    TEST(unmask);
    TEST(polled_eoi);
    TEST(no_resamplefd);
    TEST(full);
    TEST(made_nonblocking);
    TEST(refused);
    TEST(odd_objects);
    TEST(semaphore);
    return g_test_run();
}
