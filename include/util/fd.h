/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owned file descriptors. -1 is "none" everywhere. */
#ifndef UTIL_FD_H
#define UTIL_FD_H

#include "util/sandbox.h"
#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* Closes *fd if it is one and sets it to -1. errno is kept. */
void fd_clear(int *fd);
/* Returns *fd and sets it to -1. */
static inline int fd_steal(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}
/* int variable that closes itself at the end of its scope. */
#define AUTO_FD __attribute__((cleanup(fd_clear))) int

/* Descriptors that came with one message. */
#define FDSET_MAX 32
typedef struct FdSet {
    unsigned n;
    int fd[FDSET_MAX]; /* taken ones are -1 */
} FdSet;

/* The caller owns the descriptor afterwards; -1 if there is no i-th or it was taken before. */
int fdset_take(FdSet *set, unsigned i);
/* Closes what was not taken and empties the set. */
void fdset_clear(FdSet *set);

/* One sendmsg() with nfds (at most FD_SEND_MAX) descriptors on the first byte; they stay the
 * caller's. flags: MSG_NOSIGNAL is added. Bytes sent, or -errno; EINTR is not among them. */
#define FD_SEND_MAX 253 /* the kernel's SCM_MAX_FD */
ssize_t fd_send(int sock, const struct iovec *iov, unsigned niov, const int *fds, unsigned nfds,
                int flags);

/* fstat(2), by a system call that can't be made to follow a name: the C library's may be one with
 * a path. 0, or -1 and errno. */
int fd_stat(int fd, struct stat *st);

/* 0 or -errno. */
int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);
/* A descriptor number given on the command line: parses it, checks that it is open, sets
 * FD_CLOEXEC. -1 with an error otherwise. */
int fd_from_string(const char *text, GError **errp);

extern const SandboxCalls fd_sandbox;

#endif
