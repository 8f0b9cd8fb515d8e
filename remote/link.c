/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The framed stream: frames that have been received (link-receive.c) are handled here, in turns.
 *
 * After a frame without an answer the next one is tried at once, as such frames come in rows;
 * after one with an answer the peer is about to do something else, so the loop's wait serves as
 * well as an attempt that would find nothing. Deferred work runs in between in both cases.
 *
 * States: reading -> (held or choked, back and forth) -> ending -> ended. A peer that is gone may
 * have left frames behind in the socket. They are handled up to the end of file, and what is sent
 * meanwhile goes nowhere (`deaf`). While held, the socket is not watched for that: level-triggered
 * EPOLLHUP can't be masked, and would make the loop spin.
 *
 * On one loop's thread.
 */
#include "remote/link.h"
#include "link-int.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Frames of one wakeup, so that timers and completions get their turn. */
#define FRAMES_PER_TURN 64
/* Of one link_drain(): more than a socket holds, and an end for a peer that never stops. */
#define FRAMES_PER_DRAIN 4096

/* --- ending --- */

static void run_ended(void *opaque)
{
    Link *link = opaque;

    link->proto->ended(link->opaque, link->why);
}

/* ended() may free the link, so it waits for handle_frames() to be left. A socket that is closed
 * with bytes to be read is a connection reset to the peer. */
void link_close(Link *link, const char *why)
{
    if (link->ending) {
        return;
    }
    link->ending = true;
    link->why = why;
    link_take_peeked(link);
    loop_fd_del(&link->watch);
    if (!link->handling) {
        loop_defer(&link->end);
    }
}

static bool may_read(const Link *link)
{
    return !link->ending && link->holds == 0 && link->queued == 0;
}

static void handle_frame(Link *link)
{
    FdSet none = { 0 };
    FdSet *fds = link->fds_at == link->at ? &link->fds : &none;

    link->answered = false;
    link->proto->frame(link->opaque, link->buf + link->at, link->size, fds);
    fdset_clear(fds);
    if (link->at + link->size == link->have) {
        link_take_peeked(link);
    }
    if (!link->ending) { /* else link_partial() tells what it ended in */
        link_next_frame(link);
    }
}

/* Frames until there is none, or (unless all) one was answered or max were handled. False: there
 * was none. */
static bool handle_frames(Link *link, unsigned max, bool all)
{
    unsigned n = 0;

    link->handling = true;
    while (n < max && may_read(link) && link_receive_frame(link)) {
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
        link_watch(link);
    }
}

/* --- the loop's side --- */

static void on_events(void *opaque, uint32_t events)
{
    Link *link = opaque;

    link->readable = events & EPOLLIN;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        link_flush(link);
    }
    if (may_read(link)) {
        handle_frames(link, FRAMES_PER_TURN, false);
    }
    if (!link->ending) {
        link_watch(link);
    }
}

/* The loop looks here before it sleeps. A hang-up counts, too. */
static bool on_poll(void *opaque)
{
    Link *link = opaque;

    if (!may_read(link) || (!handle_frames(link, FRAMES_PER_TURN, false) && !link->ending)) {
        return false;
    }
    link_watch(link);
    return true;
}

/* Frames that were received before something kept them from being handled. */
static void on_more(void *opaque)
{
    on_events(opaque, 0);
}

void link_watch(Link *link)
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
        link_close(link, g_intern_string(g_strerror(-ret)));
    }
}

void link_hold(Link *link)
{
    link->holds++;
    link_watch(link);
}

void link_release(Link *link)
{
    g_assert(link->holds > 0);
    link->holds--;
    link_watch(link);
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

    g_assert(proto->header_size > 0 && proto->header_size <= MIN(proto->max_frame, LINK_BUF_SIZE));
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
    link_set_room(link, LINK_BUF_SIZE);
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
    link_drop_queue(link);
    fdset_clear(&link->fds);
    fd_clear(&link->fd);
    g_free(link->buf);
    g_free(link);
}
