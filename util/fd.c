/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors with an owner. They come in with messages (FdSet) and by number on the command line,
 * and each has one place that closes it: the variable or set that holds it. Taking it leaves -1
 * behind, so that closing twice, which would hit a stranger's descriptor, can't be written by
 * accident. Any thread.
 */
#include "util/fd.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

void fd_clear(int *fd)
{
    int saved_errno = errno;

    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
    errno = saved_errno;
}

int fdset_take(FdSet *set, unsigned i)
{
    return i < set->n ? fd_steal(&set->fd[i]) : -1;
}

void fdset_clear(FdSet *set)
{
    for (unsigned i = 0; i < set->n; i++) {
        fd_clear(&set->fd[i]);
    }
    set->n = 0;
}

static int change_flag(int fd, int get, int set, int flag, bool on)
{
    int flags = fcntl(fd, get);

    if (flags < 0) {
        return -errno;
    }
    if (!!(flags & flag) == on) {
        return 0;
    }
    return fcntl(fd, set, on ? flags | flag : flags & ~flag) < 0 ? -errno : 0;
}

int fd_set_nonblock(int fd, bool on)
{
    return change_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_set_cloexec(int fd, bool on)
{
    return change_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int fd_from_string(const char *text, GError **errp)
{
    guint64 number;

    if (!g_ascii_string_to_unsigned(text, 10, 0, INT_MAX, &number, NULL)) {
        error_set(errp, "'%s' is not a file descriptor number", text);
        return -1;
    }
    if (fd_set_cloexec(number, true) < 0) {
        error_set(errp, "file descriptor %d is not open", (int)number);
        return -1;
    }
    return number;
}
