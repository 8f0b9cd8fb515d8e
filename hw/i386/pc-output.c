/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes from the guest to a descriptor of the operator's: a file, a terminal, a pipe, a socket.
 *
 * A byte is written at once where the descriptor has room, so that nothing is lost when the
 * process ends right after it. Where it has none the board must not wait, as all devices are on
 * its thread: the byte is kept, and written when the loop says that there is room. The descriptor
 * is often shared with others (a shell's terminal), so it isn't made non-blocking; poll() is asked
 * before each write, and a write is small enough for what POLLOUT promises of a pipe.
 *
 * An end that nobody reads any more takes everything and keeps nothing.
 *
 * The descriptor is a duplicate, as the loop knows a descriptor once, and a socket is input, too.
 */
#include "hw/i386/pc-internal.h"
#include "util/fd.h"
#include "util/log.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* PIPE_BUF is the room that POLLOUT promises; a terminal has less, and takes it in pieces. */
#define WRITE_MAX 512

/* Writes what there is room for. False: there is none now. */
static bool output_write(PcOutput *out)
{
    struct pollfd room = { .fd = out->fd, .events = POLLOUT };
    ssize_t n;

    if (poll(&room, 1, 0) == 0) {
        return false;
    }
    n = write(out->fd, out->pending, MIN(out->n, WRITE_MAX));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n < 0) {
        log_line(NULL, "output of the guest is dropped from here on: %s", g_strerror(errno));
        loop_fd_del(&out->watch);
        fd_clear(&out->fd);
        out->n = 0;
        return true;
    }
    out->n -= n;
    memmove(out->pending, out->pending + n, out->n);
    return true;
}

static void output_ready(void *opaque, uint32_t events G_GNUC_UNUSED)
{
    PcOutput *out = opaque;

    output_write(out);
    if (out->n == 0) {
        loop_fd_del(&out->watch);
        if (out->drained) {
            out->drained(out->opaque);
        }
    }
}

void pc_output_init(PcOutput *out, Loop *loop, int fd, void (*drained)(void *), void *opaque)
{
    *out = (PcOutput){ .loop = loop, .fd = -1, .drained = drained, .opaque = opaque };
    if (fd >= 0) {
        out->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    if (fd >= 0 && out->fd < 0) {
        log_line(NULL, "output of the guest is dropped: %s", g_strerror(errno));
    }
}

void pc_output_fini(PcOutput *out)
{
    while (out->n > 0 && output_write(out)) {
        /* until it is all out, or would block */
    }
    loop_fd_del(&out->watch);
    fd_clear(&out->fd);
}

bool pc_output_put(PcOutput *out, uint8_t byte)
{
    if (out->fd < 0) {
        return true;
    }
    if (out->n == PC_OUTPUT_SIZE) {
        return false;
    }
    out->pending[out->n++] = byte;
    if (out->watch.loop || output_write(out)) {
        return true;
    }
    /* What epoll can't watch (a file) always has room, so this is worth the next put's attempt. */
    loop_fd_add(out->loop, &out->watch, out->fd, EPOLLOUT, output_ready, out);
    return true;
}
