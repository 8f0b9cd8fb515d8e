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
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

const SandboxCalls fd_sandbox = {
    .module = "fd",
    .calls = (const SandboxCall[]){ { .name = "close" },
                                    { .name = "fcntl", .args = { SANDBOX_EQUALS(1, F_GETFD) } },
                                    { .name = "fcntl", .args = { SANDBOX_EQUALS(1, F_SETFD) } },
                                    { .name = "fcntl", .args = { SANDBOX_EQUALS(1, F_GETFL) } },
                                    { .name = "fcntl", .args = { SANDBOX_EQUALS(1, F_SETFL) } },
                                    { .name = "fstat" },
                                    { .name = "sendmsg" },
                                    { .name = NULL } },
};

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

int fd_stat(int fd, struct stat *st)
{
    return syscall(SYS_fstat, fd, st);
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

ssize_t fd_send(int sock, const struct iovec *iov, unsigned niov, const int *fds, unsigned nfds,
                int flags)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FD_SEND_MAX)];
    } control;
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = niov };
    ssize_t ret;

    g_assert(nfds <= FD_SEND_MAX);
    if (nfds > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        memset(&control, 0, msg.msg_controllen);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        memcpy(CMSG_DATA(&control.align), fds, sizeof(int) * nfds);
    }
    do {
        ret = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
    } while (ret < 0 && errno == EINTR);
    return ret < 0 ? -errno : ret;
}
