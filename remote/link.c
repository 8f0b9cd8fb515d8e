/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The framed stream. Receiving is a state machine over one buffer: the header, then as many bytes
 * as the protocol says it announces, never a byte more than the frame: what a recvmsg() brings
 * along in descriptors then belongs to this frame, and what follows stays in the socket, where a
 * peer that is owed an answer feels it. A look at what waits (MSG_PEEK) tells the sizes beforehand,
 * so that each of a row of frames is received whole, by one call.
 *
 * After a frame without an answer the next one is tried at once, as such frames come in rows;
 * after one with an answer the peer is about to do something else, so the loop's wait serves as
 * well as an attempt that would find nothing. Deferred work runs in between in both cases.
 *
 * The buffer grows with what has arrived, never with what a header announces, so that a frame costs
 * its peer the bytes; after a long one it shrinks again.
 *
 * Sending goes to the socket directly; what it doesn't take is queued with duplicates of its
 * descriptors, and the link waits for room instead of for frames. So a peer that doesn't read
 * isn't read from either, and what is queued for it stays bounded.
 *
 * States: reading -> (held or choked, back and forth) -> ending -> ended. A peer that is gone may
 * have left frames behind in the socket. They are handled up to the end of file, and what is sent
 * meanwhile goes nowhere (`deaf`). While held, the socket is not watched for that: level-triggered
 * EPOLLHUP can't be masked, and would make the loop spin.
 *
 * On one loop's thread.
 */
#include "remote/link.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Frames of one wakeup, so that timers and completions get their turn. */
#define FRAMES_PER_TURN 64
/* Of one link_drain(): more than a socket holds, and an end for a peer that never stops. */
#define FRAMES_PER_DRAIN 4096
/* What the receive buffer has between long frames. */
#define BUF_SIZE 4096
/* Of the bytes that wait, this many are looked at: a row of short frames. */
#define LOOK_SIZE 1024

typedef struct Chunk {
    size_t len, sent;
    int fd[FDSET_MAX]; /* duplicates, sent with the first byte */
    unsigned nfds;
    uint8_t data[];
} Chunk;

struct Link {
    Loop *loop;
    int fd;
    const LinkProto *proto;
    void *opaque;
    LoopFd watch;
    LoopWork end; /* calls ended() */

    uint8_t *buf; /* the frame being received */
    size_t room;  /* bytes of buf */
    size_t have;  /* bytes of the frame */
    size_t need;  /* its size, or the header's until that is complete */
    bool in_body; /* header is complete */
    FdSet fds;
    bool fds_lost; /* more came than fit, or than the kernel could hand over */
    size_t look_at, look_len; /* of look that is still in the socket, up to the frame in work */
    uint8_t look[LOOK_SIZE];

    GQueue queue;  /* Chunk * */
    size_t queued; /* bytes not sent yet; 0: the queue is empty */

    unsigned holds;
    bool handling; /* in handle_frames() */
    bool answered; /* something was sent for the current frame */
    bool deaf;     /* the peer no longer takes anything */
    bool ending;
    const char *why;
};

/* --- ending --- */

static void run_ended(void *opaque)
{
    Link *link = opaque;

    link->proto->ended(link->opaque, link->why);
}

/* ended() may free the link, so it waits for handle_frames() to be left. */
static void end(Link *link, const char *why)
{
    if (link->ending) {
        return;
    }
    link->ending = true;
    link->why = why;
    loop_fd_del(&link->watch);
    if (!link->handling) {
        loop_defer(&link->end);
    }
}

void link_close(Link *link, const char *why)
{
    end(link, why);
}

/* Watches for what can be acted on in this state. */
static void watch_update(Link *link);

/* --- sending --- */

static void chunk_free(void *opaque)
{
    Chunk *chunk = opaque;

    for (unsigned i = 0; i < chunk->nfds; i++) {
        fd_clear(&chunk->fd[i]);
    }
    g_free(chunk);
}

static void queue_clear(Link *link)
{
    g_queue_clear_full(&link->queue, chunk_free);
    link->queued = 0;
}

static ssize_t send_some(int sock, const uint8_t *data, size_t len, const int *fds, unsigned nfds)
{
    struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

    return fd_send(sock, &iov, 1, fds, nfds, MSG_DONTWAIT);
}

/* Sending has failed for good. */
static void send_failed(Link *link, int err)
{
    queue_clear(link);
    if (err == EPIPE || err == ECONNRESET) {
        link->deaf = true;
    } else {
        end(link, g_intern_string(g_strerror(err)));
    }
}

static void enqueue(Link *link, const uint8_t *data, size_t len, const int *fds, unsigned nfds)
{
    Chunk *chunk;

    if (len > link->proto->max_queue - link->queued) {
        queue_clear(link);
        end(link, "the peer does not read its answers");
        return;
    }
    chunk = g_malloc(sizeof(*chunk) + len);
    *chunk = (Chunk){ .len = len };
    memcpy(chunk->data, data, len);
    g_queue_push_tail(&link->queue, chunk);
    link->queued += len;
    for (unsigned i = 0; i < nfds; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

        if (fd < 0) {
            send_failed(link, errno);
            return;
        }
        chunk->fd[chunk->nfds++] = fd;
    }
    watch_update(link);
}

void link_send(Link *link, const void *buf, size_t len, const int *fds, unsigned nfds)
{
    const uint8_t *data = buf;
    ssize_t ret = 0;

    g_assert(len > 0 && nfds <= FDSET_MAX);
    link->answered = true;
    if (link->ending || link->deaf) {
        return;
    }
    if (link->queued == 0) {
        ret = send_some(link->fd, data, len, fds, nfds);
    }
    if (ret < 0 && ret != -EAGAIN) {
        send_failed(link, -ret);
        return;
    }
    if (ret > 0) {
        data += ret;
        len -= ret;
        nfds = 0;
    }
    if (len > 0) {
        enqueue(link, data, len, fds, nfds);
    }
}

static void flush_queue(Link *link)
{
    Chunk *chunk;

    while ((chunk = g_queue_peek_head(&link->queue))) {
        ssize_t ret = send_some(link->fd, chunk->data + chunk->sent, chunk->len - chunk->sent,
                                chunk->fd, chunk->sent == 0 ? chunk->nfds : 0);

        if (ret == -EAGAIN) {
            return;
        }
        if (ret < 0) {
            send_failed(link, -ret);
            return;
        }
        chunk->sent += ret;
        link->queued -= ret;
        if (chunk->sent == chunk->len) {
            chunk_free(g_queue_pop_head(&link->queue));
        }
    }
}

/* --- receiving --- */

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

static void set_room(Link *link, size_t room)
{
    link->room = MIN(room, link->proto->max_frame);
    link->buf = g_realloc(link->buf, link->room);
}

/* Bytes received, 0 at the end of file, or -errno. */
static ssize_t receive_some(Link *link)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FDSET_MAX)];
    } control;
    if (link->have == link->room) {
        set_room(link, 2 * link->room);
    }
    struct iovec iov = { .iov_base = link->buf + link->have,
                         .iov_len = MIN(link->need, link->room) - link->have };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t ret;

    do {
        ret = recvmsg(link->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (ret < 0 && errno == EINTR);
    if (ret < 0) {
        return errno == ECONNRESET ? 0 : -errno; /* it closed with answers unread */
    }
    take_fds(link, &msg);
    return ret;
}

/* Before a frame: how long will it be? Only a hint: its header is looked at again when it is here,
 * and whatever is wrong with it, or with the socket, comes to light then. False: nothing waits. */
static bool look_ahead(Link *link)
{
    size_t header = link->proto->header_size, size;
    const char *why;
    ssize_t n;

    if (link->look_len - link->look_at < header) {
        link->look_at = 0;
        do {
            n = recv(link->fd, link->look, sizeof(link->look), MSG_PEEK | MSG_DONTWAIT);
        } while (n < 0 && errno == EINTR);
        link->look_len = MAX(n, 0);
        if (n < 0 && errno == EAGAIN) {
            return false;
        }
    }
    if (link->look_len - link->look_at >= header) {
        size = link->proto->frame_size(link->opaque, link->look + link->look_at, &why);
        link->need = size > header && size <= link->proto->max_frame ? size : header;
    }
    return true;
}

/* A frame has left the socket. */
static void look_past(Link *link, size_t size)
{
    if (size <= link->look_len - link->look_at) {
        link->look_at += size;
    } else {
        link->look_at = link->look_len = 0;
    }
}

static void receive_failed(Link *link, ssize_t ret)
{
    if (ret < 0) {
        end(link, g_intern_string(g_strerror(-ret)));
    } else if (link->have >= link->proto->header_size) {
        end(link, "end of file inside the message");
    } else {
        end(link, link->have > 0 ? "end of file inside the header" : NULL);
    }
}

/* The header is complete: how long is the frame? */
static bool start_body(Link *link)
{
    const char *why = "malformed header";
    size_t size = link->proto->frame_size(link->opaque, link->buf, &why);

    if (size < link->proto->header_size || size > link->proto->max_frame) {
        end(link, why);
        return false;
    }
    link->in_body = true;
    link->need = size;
    return true;
}

/* All that was asked for is there. False: go on receiving, or the link has ended. */
static bool part_complete(Link *link)
{
    if (!link->in_body && !start_body(link)) {
        return false;
    }
    if (link->fds_lost) { /* known earlier, but the message has its name only now */
        end(link, "more descriptors than can be received");
        return false;
    }
    return link->have == link->need;
}

/* True when buf holds a whole frame. */
static bool receive_frame(Link *link)
{
    if (link->have == 0 && !look_ahead(link)) {
        return false;
    }
    for (;;) {
        ssize_t ret = receive_some(link);

        if (ret == -EAGAIN) {
            return false;
        }
        if (ret <= 0) {
            receive_failed(link, ret);
            return false;
        }
        link->have += ret;
        if (link->have == link->need && part_complete(link)) {
            return true;
        }
        if (link->ending) {
            return false;
        }
    }
}

static bool may_read(const Link *link)
{
    return !link->ending && link->holds == 0 && link->queued == 0;
}

static void handle_frame(Link *link)
{
    link->answered = false;
    link->proto->frame(link->opaque, link->buf, link->have, &link->fds);
    fdset_clear(&link->fds);
    if (!link->ending) { /* else link_partial() tells what it ended in */
        look_past(link, link->have);
        link->have = 0;
        link->need = link->proto->header_size;
        link->in_body = false;
        if (link->room > BUF_SIZE) {
            set_room(link, BUF_SIZE);
        }
    }
}

/* Frames until there is none, or (unless all) one was answered or max were handled. */
static void handle_frames(Link *link, unsigned max, bool all)
{
    link->handling = true;
    for (unsigned n = 0; n < max && may_read(link) && receive_frame(link); n++) {
        handle_frame(link);
        if (link->answered && !all) {
            break; /* deferred work runs when this callback is left */
        }
        loop_run_deferred(link->loop);
    }
    link->handling = false;
    if (link->ending) {
        loop_defer(&link->end);
    }
}

void link_drain(Link *link)
{
    if (!link->handling) {
        handle_frames(link, FRAMES_PER_DRAIN, true);
    }
}

/* --- the loop's side --- */

static void on_events(void *opaque, uint32_t events)
{
    Link *link = opaque;

    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        flush_queue(link);
    }
    if (may_read(link)) {
        handle_frames(link, FRAMES_PER_TURN, false);
    }
    if (!link->ending) {
        watch_update(link);
    }
}

static void watch_update(Link *link)
{
    uint32_t events = 0;
    int ret = 0;

    if (link->ending) {
        return;
    }
    if (link->queued > 0) {
        events |= EPOLLOUT;
    } else if (link->holds == 0) {
        events |= EPOLLIN;
    }
    if (events == 0) {
        loop_fd_del(&link->watch);
    } else if (link->watch.loop) {
        loop_fd_set(&link->watch, events);
    } else {
        ret = loop_fd_add(link->loop, &link->watch, link->fd, events, on_events, link);
    }
    if (ret < 0) {
        end(link, g_intern_string(g_strerror(-ret)));
    }
}

void link_hold(Link *link)
{
    link->holds++;
    watch_update(link);
}

void link_release(Link *link)
{
    g_assert(link->holds > 0);
    link->holds--;
    watch_update(link);
}

bool link_hung_up(const Link *link)
{
    struct pollfd pfd = { .fd = link->fd, .events = POLLRDHUP };

    return link->ending || (poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLRDHUP | POLLHUP)));
}

const uint8_t *link_partial(const Link *link, size_t *len)
{
    *len = link->have;
    return link->buf;
}

/* --- birth and death --- */

/* 0 if fd is a connected UNIX stream socket, else an errno. */
static int check_socket(int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(int);
    int value = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len) < 0) {
        return errno;
    }
    if (value != SOCK_STREAM) {
        return EPROTOTYPE;
    }
    len = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &len) < 0) {
        return errno;
    }
    if (value != AF_UNIX) {
        return EAFNOSUPPORT;
    }
    len = sizeof(peer);
    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0) {
        return errno;
    }
    return -fd_set_nonblock(fd, true);
}

Link *link_new(Loop *loop, int fd, const LinkProto *proto, void *opaque)
{
    AUTO_FD sock = fd;
    int err = check_socket(sock);
    Link *link;

    g_assert(proto->header_size > 0 && proto->header_size <= MIN(proto->max_frame, BUF_SIZE));
    if (err != 0) {
        errno = err;
        return NULL;
    }
    link = g_new0(Link, 1);
    link->loop = loop;
    link->fd = sock;
    link->proto = proto;
    link->opaque = opaque;
    link->need = proto->header_size;
    g_queue_init(&link->queue);
    loop_work_init(&link->end, loop, run_ended, link);
    err = -loop_fd_add(loop, &link->watch, sock, EPOLLIN, on_events, link);
    if (err != 0) {
        g_free(link);
        errno = err;
        return NULL;
    }
    set_room(link, BUF_SIZE);
    fd_steal(&sock);
    return link;
}

void link_free(Link *link)
{
    if (!link) {
        return;
    }
    loop_work_cancel(&link->end);
    loop_fd_del(&link->watch);
    queue_clear(link);
    fdset_clear(&link->fds);
    fd_clear(&link->fd);
    g_free(link->buf);
    g_free(link);
}
