/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receiving takes what the socket has, up to the buffer's size, by one call: mostly a single frame,
 * or a row of short ones. A frame that was cut off is completed by calls that ask for no byte more
 * than it lacks. The buffer grows with what has arrived, never with what a header announces, so
 * that a frame costs its peer the bytes; after a long one it shrinks again.
 *
 * Taking a message off a UNIX socket wakes a sender that sleeps in recv(), as there is room again;
 * it finds nothing, and is woken a second time by the answer. So what comes first is only looked at
 * (MSG_PEEK), and taken off when its last frame has been handled, when the sender has its answer.
 * A byte out of band makes the socket readable and can't be looked at; a receive drops it.
 *
 * Descriptors belong to the frame whose first byte they were sent with. The kernel ends a
 * recvmsg() behind the piece that carries descriptors, and a piece is no more than one call of the
 * sender's: so they belong to the last frame that begins in what was received, unless the sender
 * put several frames into that call. Then it is the last one of a kind that takes descriptors; no
 * client sends two of those by one call, as their descriptors would come in one heap.
 *
 * On the loop's thread.
 */
#include "link-int.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Takes what was looked at off the socket. It has been received, descriptors included, so it goes
 * nowhere: nothing that a frame is made of changes. */
void link_take_peeked(Link *link)
{
    uint8_t scrap[LINK_BUF_SIZE];

    while (link->peeked > 0) {
        struct iovec iov = { .iov_base = scrap, .iov_len = MIN(link->peeked, sizeof(scrap)) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t ret = recvmsg(link->fd, &msg, MSG_DONTWAIT);

        if (ret > 0) {
            link->peeked -= ret;
        } else if (ret == 0 || errno != EINTR) {
            link->peeked = 0;
            link_close(link, ret < 0 ? g_intern_string(g_strerror(errno)) : "end of file");
        }
    }
}

/* Moves the descriptors of a received message into the frame's set. */
static void take_fds(Link *link, struct msghdr *msg)
{
    if (msg->msg_flags & MSG_CTRUNC) {
        link->fds_lost = true;
    }
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        unsigned n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (unsigned i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
            if (link->fds.n < FDSET_MAX) {
                link->fds.fd[link->fds.n++] = fd;
            } else {
                link->fds_lost = true;
                fd_clear(&fd);
            }
        }
    }
}

void link_set_room(Link *link, size_t room)
{
    link->room = MIN(room, MAX(link->proto->max_frame, LINK_BUF_SIZE));
    link->buf = g_realloc(link->buf, link->room);
}

/* Room for the rest of the frame in work, at most as much again as there is of it. */
static void make_room(Link *link, size_t lacks)
{
    if (link->at > 0) {
        memmove(link->buf, link->buf + link->at, link->have - link->at);
        link->have -= link->at;
        link->at = link->fds_at = 0;
    }
    if (link->have == link->room && lacks > 0) {
        link_set_room(link, 2 * link->room);
    }
}

/* Bytes received, at most len, 0 at the end of file, or -errno. */
static ssize_t receive_some(Link *link, size_t len, int flags)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FDSET_MAX)];
    } control;
    struct iovec iov = { .iov_base = link->buf + link->have,
                         .iov_len = MIN(len, link->room - link->have) };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t ret;

    do {
        ret = recvmsg(link->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
    } while (ret < 0 && errno == EINTR);
    if (ret < 0) {
        return errno == ECONNRESET ? 0 : -errno; /* it closed with answers unread */
    }
    take_fds(link, &msg);
    return ret;
}

/* The size of the frame that begins at buf[at], or 0: its header isn't complete, or makes no
 * sense (then *why says so). */
static size_t size_at(const Link *link, size_t at, const char **why)
{
    size_t size;

    *why = NULL;
    if (link->have - at < link->proto->header_size) {
        return 0;
    }
    *why = "malformed header";
    size = link->proto->frame_size(link->opaque, link->buf + at, why);
    if (size < link->proto->header_size || size > link->proto->max_frame) {
        return 0;
    }
    *why = NULL;
    return size;
}

/* Descriptors came with what is in the buffer, which was empty before: whose are they? */
static void find_owner(Link *link)
{
    size_t at = link->at, size;
    const char *why;

    link->fds_at = at;
    while (at < link->have && (size = size_at(link, at, &why)) > 0) {
        if (link->proto->takes_fds(link->opaque, link->buf + at)) {
            link->fds_at = at;
        }
        if (size >= link->have - at) {
            return;
        }
        at += size;
    }
    link->fds_at = at; /* the last one, of which there isn't enough to tell */
}

static void receive_failed(Link *link, ssize_t ret)
{
    size_t have = link->have - link->at;

    if (ret < 0) {
        link_close(link, g_intern_string(g_strerror(-ret)));
    } else if (have >= link->proto->header_size) {
        link_close(link, "end of file inside the message");
    } else {
        link_close(link, have > 0 ? "end of file inside the header" : NULL);
    }
}

/* Bytes that the frame in work lacks: of its header, or of the whole. */
static size_t frame_lacks(const Link *link)
{
    size_t need = link->size ? link->size : link->proto->header_size;
    size_t have = link->have - link->at;

    return need > have ? need - have : 0;
}

/* Into an empty buffer. */
static ssize_t receive_first(Link *link)
{
    ssize_t ret = receive_some(link, link->room, MSG_PEEK);

    if (ret > 0) {
        link->peeked = ret;
    } else if (ret == -EAGAIN && link->readable) {
        ret = receive_some(link, link->room, 0);
    }
    link->readable = false;
    return ret;
}

/* False: there is nothing to be had now, or the link has ended. */
static bool receive(Link *link)
{
    bool empty = link->have == link->at;
    ssize_t ret;

    link_take_peeked(link);
    if (link->ending) {
        return false;
    }
    make_room(link, frame_lacks(link));
    ret = empty ? receive_first(link) : receive_some(link, frame_lacks(link), 0);
    link->starved = ret == -EAGAIN;
    if (ret <= 0) {
        if (!link->starved) {
            receive_failed(link, ret);
        }
        return false;
    }
    link->have += ret;
    if (empty && (link->fds.n > 0 || link->fds_lost)) {
        find_owner(link);
    }
    return true;
}

/* True when there is a whole frame at buf[at]. */
bool link_receive_frame(Link *link)
{
    const char *why;

    for (;;) {
        if (link->size == 0) {
            link->size = size_at(link, link->at, &why);
            if (why) {
                link_close(link, why);
                return false;
            }
        }
        if (link->size > 0 && link->fds_lost && link->fds_at == link->at) {
            link_close(link, "more descriptors than can be received");
            return false;
        }
        if (link->size > 0 && frame_lacks(link) == 0) {
            return true;
        }
        if (!receive(link)) {
            return false;
        }
    }
}

/* The frame in work is done with. */
void link_next_frame(Link *link)
{
    link->at += link->size;
    link->size = 0;
    if (link->at == link->have) {
        link->at = link->have = link->fds_at = 0;
        if (link->room > LINK_BUF_SIZE) {
            link_set_room(link, LINK_BUF_SIZE);
        }
    }
}
