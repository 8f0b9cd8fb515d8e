/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The framed stream. Receiving takes what the socket has, up to the buffer's size, by one call:
 * mostly a single frame, or a row of short ones. A frame that was cut off is completed by calls
 * that ask for no byte more than it lacks. The buffer grows with what has arrived, never with what
 * a header announces, so that a frame costs its peer the bytes; after a long one it shrinks again.
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
 * After a frame without an answer the next one is tried at once, as such frames come in rows;
 * after one with an answer the peer is about to do something else, so the loop's wait serves as
 * well as an attempt that would find nothing. Deferred work runs in between in both cases.
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
    LoopPoll poll;
    LoopWork end;   /* calls ended() */
    LoopTimer more; /* frames that are in buf already: no work, which can't run deferred work */

    uint8_t *buf;
    size_t room;     /* bytes of buf */
    size_t at, have; /* of buf: where the frame in work begins, and the end of what was received */
    size_t size;     /* of the frame in work; 0: its header isn't complete */
    size_t peeked;   /* bytes received that the socket still has */
    bool starved;    /* the socket had nothing to complete it with */
    bool readable;   /* the kernel says so, and nothing has been received since */
    FdSet fds;
    bool fds_lost; /* more came than fit, or than the kernel could hand over */
    size_t fds_at; /* where the frame begins that they belong to */

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

static void end(Link *link, const char *why);

/* Takes what was looked at off the socket. It has been received, descriptors included, so it goes
 * nowhere: nothing that a frame is made of changes. */
static void take_peeked(Link *link)
{
    uint8_t scrap[BUF_SIZE];

    while (link->peeked > 0) {
        struct iovec iov = { .iov_base = scrap, .iov_len = MIN(link->peeked, sizeof(scrap)) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t ret = recvmsg(link->fd, &msg, MSG_DONTWAIT);

        if (ret > 0) {
            link->peeked -= ret;
        } else if (ret == 0 || errno != EINTR) {
            link->peeked = 0;
            end(link, ret < 0 ? g_intern_string(g_strerror(errno)) : "end of file");
        }
    }
}

/* ended() may free the link, so it waits for handle_frames() to be left. A socket that is closed
 * with bytes to be read is a connection reset to the peer. */
static void end(Link *link, const char *why)
{
    if (link->ending) {
        return;
    }
    link->ending = true;
    link->why = why;
    take_peeked(link);
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
    link->room = MIN(room, MAX(link->proto->max_frame, BUF_SIZE));
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
        set_room(link, 2 * link->room);
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
        end(link, g_intern_string(g_strerror(-ret)));
    } else if (have >= link->proto->header_size) {
        end(link, "end of file inside the message");
    } else {
        end(link, have > 0 ? "end of file inside the header" : NULL);
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

    take_peeked(link);
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
static bool receive_frame(Link *link)
{
    const char *why;

    for (;;) {
        if (link->size == 0) {
            link->size = size_at(link, link->at, &why);
            if (why) {
                end(link, why);
                return false;
            }
        }
        if (link->size > 0 && link->fds_lost && link->fds_at == link->at) {
            end(link, "more descriptors than can be received");
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

static bool may_read(const Link *link)
{
    return !link->ending && link->holds == 0 && link->queued == 0;
}

/* The frame in work is done with. */
static void next_frame(Link *link)
{
    link->at += link->size;
    link->size = 0;
    if (link->at == link->have) {
        link->at = link->have = link->fds_at = 0;
        if (link->room > BUF_SIZE) {
            set_room(link, BUF_SIZE);
        }
    }
}

static void handle_frame(Link *link)
{
    FdSet none = { 0 };
    FdSet *fds = link->fds_at == link->at ? &link->fds : &none;

    link->answered = false;
    link->proto->frame(link->opaque, link->buf + link->at, link->size, fds);
    fdset_clear(fds);
    if (link->at + link->size == link->have) {
        take_peeked(link);
    }
    if (!link->ending) { /* else link_partial() tells what it ended in */
        next_frame(link);
    }
}

/* Frames until there is none, or (unless all) one was answered or max were handled. False: there
 * was none. */
static bool handle_frames(Link *link, unsigned max, bool all)
{
    unsigned n = 0;

    link->handling = true;
    while (n < max && may_read(link) && receive_frame(link)) {
        n++;
        handle_frame(link);
        if (link->answered && !all && link->have == 0) {
            break; /* deferred work runs when this callback is left */
        }
        loop_run_deferred(link->loop);
    }
    link->handling = false;
    if (link->ending) {
        loop_defer(&link->end);
    }
    return n > 0;
}

void link_drain(Link *link)
{
    if (!link->handling) {
        handle_frames(link, FRAMES_PER_DRAIN, true);
        watch_update(link);
    }
}

/* --- the loop's side --- */

static void on_events(void *opaque, uint32_t events)
{
    Link *link = opaque;

    link->readable = events & EPOLLIN;
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

/* The loop looks here before it sleeps. A hang-up counts, too. */
static bool on_poll(void *opaque)
{
    Link *link = opaque;

    if (!may_read(link) || (!handle_frames(link, FRAMES_PER_TURN, false) && !link->ending)) {
        return false;
    }
    watch_update(link);
    return true;
}

/* Frames that were received before something kept them from being handled. */
static void on_more(void *opaque)
{
    on_events(opaque, 0);
}

static void watch_update(Link *link)
{
    uint32_t events = 0;
    int ret = 0;

    if (link->ending) {
        return;
    }
    if (link->have > link->at && !link->starved && may_read(link)) {
        loop_timer_arm(&link->more, 0);
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
    *len = link->have - link->at;
    return link->buf + link->at;
}

/* --- birth and death --- */

const SandboxCalls link_sandbox = {
    .module = "link",
    .calls =
        (const SandboxCall[]){ { .name = "fcntl", .args = { SANDBOX_EQUALS(1, F_DUPFD_CLOEXEC) } },
                               { .name = "getsockopt" },
                               { .name = "poll" },
                               { .name = "recvmsg" },
                               { .name = NULL } },
};

/* 0 if fd is a connected UNIX stream socket, else an errno. */
static int check_socket(int fd)
{
    struct ucred peer;
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
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
        return errno;
    }
    if (peer.uid == (uid_t)-1) { /* nobody has ever been at the other end */
        return ENOTCONN;
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
    g_queue_init(&link->queue);
    loop_work_init(&link->end, loop, run_ended, link);
    loop_timer_init(&link->more, loop, on_more, link);
    err = -loop_fd_add(loop, &link->watch, sock, EPOLLIN, on_events, link);
    if (err != 0) {
        g_free(link);
        errno = err;
        return NULL;
    }
    loop_poll_add(loop, &link->poll, on_poll, link);
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
    loop_timer_disarm(&link->more);
    loop_poll_del(&link->poll);
    loop_fd_del(&link->watch);
    queue_clear(link);
    fdset_clear(&link->fds);
    fd_clear(&link->fd);
    g_free(link->buf);
    g_free(link);
}
