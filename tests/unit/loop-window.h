/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loop whose polling window is wide open, for tests of what it finds without the kernel. */
#ifndef TESTS_LOOP_WINDOW_H
#define TESTS_LOOP_WINDOW_H

#include "util/loop.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct LoopBell {
    int fd;
    unsigned rung;
} LoopBell;

static inline void loop_bell_rings(void *opaque, uint32_t events G_GNUC_UNUSED)
{
    LoopBell *bell = opaque;
    uint64_t count;

    g_assert_cmpint(read(bell->fd, &count, sizeof(count)), ==, sizeof(count));
    bell->rung++;
}

/* Polling for window_ns before each sleep: waits that were over at once open the window, to all of
 * it by this factor. On the loop's thread, in two turns. */
static inline void loop_open_window(Loop *loop, int64_t window_ns)
{
    LoopBell bell = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    LoopFd watch = { 0 };
    uint64_t one = 1;

    loop_set_polling(loop, window_ns, G_MAXINT, 2);
    g_assert_cmpint(loop_fd_add(loop, &watch, bell.fd, EPOLLIN, loop_bell_rings, &bell), ==, 0);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(write(bell.fd, &one, sizeof(one)), ==, sizeof(one));
        loop_turn(loop, -1);
    }
    g_assert_cmpuint(bell.rung, ==, 2);
    loop_fd_del(&watch);
    close(bell.fd);
}

#endif
