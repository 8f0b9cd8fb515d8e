/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes corpus files out of real sessions: preloaded into a program, it writes what comes (or,
 * with FUZZ_SENT set, what goes) through UNIX sockets by recvmsg() and sendmsg() into files of
 * $FUZZ_RECORD, as steps of fuzz.h. A new file begins with each socketpair() and accept4(), and is
 * cut off after some kilobytes. Into the remote, behind a client:
 *
 *   cc -shared -fPIC -D_GNU_SOURCE -o record.so tests/fuzz/record.c
 *   FUZZ_RECORD=DIR LD_PRELOAD=./record.so qemu-system-x86_64-remote ...
 *
 * and with FUZZ_SENT=1 into a unit test.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 12000

ssize_t recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t sendmsg(int fd, const struct msghdr *msg, int flags);
int socketpair(int domain, int type, int protocol, int sv[2]);
int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);

static char path[512]; /* opened for each step: who counts descriptors must not notice */
static int number;

static void next_file(void)
{
    if (getenv("FUZZ_RECORD")) {
        snprintf(path, sizeof(path), "%s/%d-%03d", getenv("FUZZ_RECORD"), (int)getpid(), number++);
    }
}

/* Kinds of fuzz.h: a file is RAM, what has no type is an eventfd. */
static unsigned describe_fds(const struct msghdr *msg)
{
    unsigned n = 0, kind = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)msg, c)) {
        struct stat st;
        int fd;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        n += (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        kind = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 0 : 1;
    }
    return (n > 15 ? 15 : n) | kind << 4;
}

static void record(const struct msghdr *msg, ssize_t len)
{
    unsigned char head[3] = { 0, len, len >> 8 };
    struct stat st;
    int file;

    if (!path[0]) { /* an inherited socket */
        next_file();
    }
    if (!path[0] || len <= 0 || len > 0xffff || (stat(path, &st) == 0 && st.st_size > FILE_MAX)) {
        return;
    }
    head[0] = describe_fds(msg);
    file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_APPEND, 0644);
    if (write(file, head, sizeof(head)) < 0 || write(file, msg->msg_iov[0].iov_base, len) < 0) {
        _exit(1);
    }
    close(file);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    ssize_t (*real)(int, struct msghdr *, int) = dlsym(RTLD_NEXT, "recvmsg");
    ssize_t ret = real(fd, msg, flags);

    int error = errno;

    if (!getenv("FUZZ_SENT")) {
        record(msg, ret);
    }
    errno = error;
    return ret;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");

    /* The servers' own answers are not what is wanted, and have MSG_DONTWAIT. */
    if (getenv("FUZZ_SENT") && !(flags & MSG_DONTWAIT)) {
        record(msg, msg->msg_iov[0].iov_len);
    }
    return real(fd, msg, flags);
}

int socketpair(int domain, int type, int protocol, int sv[2])
{
    int (*real)(int, int, int, int *) = dlsym(RTLD_NEXT, "socketpair");

    next_file();
    return real(domain, type, protocol, sv);
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    int (*real)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
    int ret = real(fd, addr, len, flags);

    if (ret >= 0) {
        next_file();
    }
    return ret;
}
