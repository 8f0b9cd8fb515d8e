/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owned descriptors: each is closed once, by whoever has it. */
#include "util/fd.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int open_fd(void)
{
    int fd = eventfd(0, 0);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_clear(void)
{
    int fd = open_fd();
    int number = fd;

    errno = EXDEV;
    fd_clear(&fd);
    g_assert_cmpint(fd, ==, -1);
    g_assert_false(is_open(number));
    errno = EXDEV;
    fd_clear(&fd);
    g_assert_cmpint(errno, ==, EXDEV);
}

static void test_auto(void)
{
    int closed, kept;

    {
        AUTO_FD a = open_fd();
        AUTO_FD b = open_fd();

        closed = a;
        kept = fd_steal(&b);
        g_assert_cmpint(b, ==, -1);
    }
    g_assert_false(is_open(closed));
    g_assert_true(is_open(kept));
    fd_clear(&kept);
}

static void test_set(void)
{
    FdSet set = { .n = 3, .fd = { open_fd(), open_fd(), open_fd() } };
    int first = set.fd[0];
    int last = set.fd[2];
    int taken = fdset_take(&set, 1);

    g_assert_true(is_open(taken));
    g_assert_cmpint(fdset_take(&set, 1), ==, -1);
    g_assert_cmpint(fdset_take(&set, 3), ==, -1);
    g_assert_cmpint(fdset_take(&set, FDSET_MAX), ==, -1);
    fdset_clear(&set);
    g_assert_cmpuint(set.n, ==, 0);
    g_assert_false(is_open(first));
    g_assert_false(is_open(last));
    g_assert_true(is_open(taken));
    fdset_clear(&set);
    fd_clear(&taken);
}

static void test_flags(void)
{
    AUTO_FD fd = open_fd();

    g_assert_cmpint(fd_set_nonblock(fd, true), ==, 0);
    g_assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    g_assert_cmpint(fd_set_nonblock(fd, true), ==, 0);
    g_assert_cmpint(fd_set_nonblock(fd, false), ==, 0);
    g_assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    g_assert_cmpint(fd_set_cloexec(fd, true), ==, 0);
    g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    g_assert_cmpint(fd_set_cloexec(fd, false), ==, 0);
    g_assert_false(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    g_assert_cmpint(fd_set_nonblock(-1, true), ==, -EBADF);
    g_assert_cmpint(fd_set_cloexec(-1, true), ==, -EBADF);
}

static void test_from_string(void)
{
    AUTO_FD fd = open_fd();
    g_autofree char *text = g_strdup_printf("%d", fd);
    g_autoptr(GError) err = NULL;

    g_assert_cmpint(fd_from_string(text, &err), ==, fd);
    g_assert_no_error(err);
    g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void test_from_string_refused(void)
{
    static const char *const cases[] = { "",   "x",  "-1",  "+3",         " 3",
                                         "3 ", "3x", "0x3", "2147483648", "99999999999999999999" };
    g_autoptr(GError) err = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *message =
            g_strdup_printf("'%s' is not a file descriptor number", cases[i]);
        g_autoptr(GError) bad = NULL;

        g_assert_cmpint(fd_from_string(cases[i], &bad), ==, -1);
        g_assert_error(bad, SETUP_ERROR, 0);
        g_assert_cmpstr(bad->message, ==, message);
    }
    g_assert_cmpint(fd_from_string("2147483647", &err), ==, -1);
    g_assert_cmpstr(err->message, ==, "file descriptor 2147483647 is not open");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fd/clear", test_clear);
    g_test_add_func("/fd/auto", test_auto);
    g_test_add_func("/fd/set", test_set);
    g_test_add_func("/fd/flags", test_flags);
    g_test_add_func("/fd/from-string", test_from_string);
    g_test_add_func("/fd/from-string-refused", test_from_string_refused);
    return g_test_run();
}
