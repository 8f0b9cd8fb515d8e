/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy's end of a connection, whatever is spoken on it: see ProxyWire. A request is sent with
 * one call and its reply waited for with poll(), on the thread that runs the guest: a register
 * access is over when the device has made it, as on a bus. remote/link.c is the other shape of
 * this, for a side that must never wait; here a few exact reads are all there is to do.
 *
 * A reply of mpqemu carries nothing that says what it answers, so it is told by its position (in
 * vfio-user, its id must be the one of that position), and a remote that was too slow still owes
 * its reply. `owed` counts these: that many frames are discarded before the next one is taken for
 * an answer, which keeps the two sides in step for as long as the remote does answer everything in
 * the end. What can't be told apart ends the connection: a frame that is no reply, more frames than
 * requests, and a fourth reply owed: by then a guest has waited four time-outs long, and the rest
 * of its accesses should fail at once.
 *
 * Between requests the loop watches the socket: late replies are taken off, a reply that nobody
 * asked for is a wrong frame, and a hang-up is noticed although no guest touches the device.
 * proxy_link_ask() makes use of that: its reply is owed from the start, and a request that comes
 * before it simply waits for one frame more. So the heartbeat never holds up a vCPU.
 *
 * Sending can wait, too: for room in the socket of a remote that doesn't read. A message cut off
 * by that time-out can't be taken back, so the connection ends.
 */
#include "proxy-link.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/trace.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define NS_PER_MS INT64_C(1000000)

/* --- the connection --- */

void proxy_link_init(ProxyLink *link, Loop *loop, const char *name, unsigned timeout_ms,
                     const ProxyWire *wire, const ProxyLinkOps *ops, void *opaque)
{
    *link = (ProxyLink){
        .loop = loop,
        .name = name,
        .wire = wire,
        .ops = ops,
        .opaque = opaque,
        .timeout_ms = timeout_ms,
        .fd = -1,
    };
}

void proxy_link_close(ProxyLink *link)
{
    if (link->fd < 0) {
        return;
    }
    loop_fd_del(&link->watch);
    fd_clear(&link->fd);
    link->have = 0;
    link->owed = 0;
    link->stuck = false;
}

static void lose(ProxyLink *link, const char *why)
{
    proxy_link_close(link);
    link->ops->lost(link->opaque, why);
}

static void lose_errno(ProxyLink *link, int err)
{
    if (err == EPIPE || err == ECONNRESET) {
        lose(link, "the remote has hung up");
    } else {
        lose(link, g_intern_string(g_strerror(err)));
    }
}

/* A reply did not come in time. */
static void report_stuck(ProxyLink *link, const char *what)
{
    if (!link->stuck && !link->quiet) {
        link->stuck = true;
        log_line(link->name, "the remote does not answer %s within %u ms", what, link->timeout_ms);
    }
}

static void settle(ProxyLink *link)
{
    if (link->owed == 0 && link->stuck) {
        link->stuck = false;
        log_line(link->name, "the remote answers again; %" PRIu64 " late replies discarded so far",
                 link->late);
    }
}

/* --- waiting --- */

static int64_t deadline_of(const ProxyLink *link)
{
    return loop_now_ns() + link->timeout_ms * NS_PER_MS;
}

/* True: events, or a condition that the next system call will report. False: the time is over. */
static bool wait_for(const ProxyLink *link, short events, int64_t deadline_ns)
{
    for (;;) {
        struct pollfd ready = { .fd = link->fd, .events = events };
        int64_t left = deadline_ns - loop_now_ns();
        int n = poll(&ready, 1, left > 0 ? (left + NS_PER_MS - 1) / NS_PER_MS : 0);

        if (n >= 0 || errno != EINTR) {
            return n != 0;
        }
    }
}

/* --- receiving --- */

/* Takes a whole reply off the head of the buffer: 1, and 0 if there is none yet, -1 if what is
 * there is no reply. */
static int take_reply(ProxyLink *link, ProxyReply *reply)
{
    size_t len;

    if (link->have < PROXY_LINK_HEADER) {
        return 0;
    }
    if (!link->wire->get_header(link->in, link->reply_id, reply)) {
        return -1;
    }
    len = PROXY_LINK_HEADER + reply->len;
    g_assert(len <= sizeof(link->in));
    if (link->have < len) {
        return 0;
    }
    memset(reply->payload, 0, sizeof(reply->payload));
    memcpy(reply->payload, link->in + PROXY_LINK_HEADER, MIN(reply->len, sizeof(reply->payload)));
    link->reply_id++;
    link->have -= len;
    memmove(link->in, link->in + len, link->have);
    return 1;
}

/* What is in the socket now, as far as there is room. False: the connection was lost. Descriptors
 * that come along are dropped by the kernel, as no room is given for them. */
static bool fill(ProxyLink *link)
{
    ssize_t n;

    do {
        n = recv(link->fd, link->in + link->have, sizeof(link->in) - link->have, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        link->have += n;
    } else if (n == 0) {
        lose(link, "the remote has hung up");
    } else if (errno != EAGAIN) {
        lose_errno(link, errno);
    }
    return link->fd >= 0;
}

/* 1: the next reply. 0: not in time. -1: the connection was lost. */
static int next_reply(ProxyLink *link, int64_t deadline_ns, ProxyReply *reply)
{
    for (;;) {
        int ret = take_reply(link, reply);

        if (ret < 0) {
            lose(link, "the remote sent something that is no reply");
        }
        if (ret != 0) {
            return ret;
        }
        if (!wait_for(link, POLLIN, deadline_ns)) {
            return 0;
        }
        if (!fill(link)) {
            return -1;
        }
    }
}

/* A reply that nobody waits for any more. */
static void discard(ProxyLink *link)
{
    link->owed--;
    if (link->stuck) {
        link->late++;
    }
}

static void on_readable(void *opaque, uint32_t events G_GNUC_UNUSED)
{
    ProxyLink *link = opaque;
    ProxyReply reply;
    int ret = 0;

    if (!fill(link)) {
        return;
    }
    while (link->owed > 0 && (ret = take_reply(link, &reply)) == 1) {
        discard(link);
        if (link->owed == 0 && link->have == 0) {
            settle(link);
            link->ops->answered(link->opaque, &reply);
            return;
        }
    }
    if (ret < 0) {
        lose(link, "the remote sent something that is no reply");
    } else if (link->owed == 0 && link->have > 0) {
        lose(link, "the remote sent a reply that nobody asked for");
    }
}

/* --- sending --- */

static bool send_message(ProxyLink *link, const ProxyMessage *message, bool wants_reply,
                         int64_t deadline_ns)
{
    uint8_t bytes[PROXY_LINK_HEADER + PROXY_LINK_PAYLOAD];
    size_t len = PROXY_LINK_HEADER + message->size;
    unsigned nfds = message->nfds;

    g_assert(nfds <= PROXY_LINK_FDS && message->size <= PROXY_LINK_PAYLOAD);
    link->wire->put_header(bytes, message, link->id, wants_reply);
    link->id += wants_reply;
    if (message->size > 0) {
        memcpy(bytes + PROXY_LINK_HEADER, message->payload, message->size);
    }
    for (size_t at = 0; link->fd >= 0 && at < len;) {
        const struct iovec iov = { .iov_base = bytes + at, .iov_len = len - at };
        ssize_t sent = fd_send(link->fd, &iov, 1, message->fds, nfds, MSG_DONTWAIT);

        if (sent >= 0) {
            at += sent;
            nfds = 0;
        } else if (sent != -EAGAIN) {
            lose_errno(link, -sent);
        } else if (!wait_for(link, POLLOUT, deadline_ns)) {
            lose(link, "the remote does not read its requests");
        }
    }
    return link->fd >= 0;
}

/* --- for the device --- */

int proxy_link_open(ProxyLink *link, int fd)
{
    int ret;

    g_assert(link->fd < 0);
    ret = loop_fd_add(link->loop, &link->watch, fd, EPOLLIN, on_readable, link);
    if (ret < 0) {
        fd_clear(&fd);
        return ret;
    }
    link->fd = fd;
    link->id = link->reply_id = 0;
    return 0;
}

bool proxy_link_post(ProxyLink *link, const ProxyMessage *message)
{
    bool ok = send_message(link, message, false, deadline_of(link));

    trace(LINK, "%s: %s%s", link->name, link->wire->command_name(message->cmd),
          ok ? "" : " not sent");
    return ok;
}

bool proxy_link_request(ProxyLink *link, const ProxyMessage *message, ProxyReply *reply)
{
    const char *what = link->wire->command_name(message->cmd);
    int64_t deadline_ns = deadline_of(link);
    bool own = false;
    int ret = 1;

    if (!send_message(link, message, true, deadline_ns)) {
        return false;
    }
    link->requests++;
    while (!own && (ret = next_reply(link, deadline_ns, reply)) == 1) {
        own = link->owed == 0;
        if (!own) {
            discard(link);
        }
    }
    if (ret == 1 && link->have > 0) {
        lose(link, "the remote sent a reply that nobody asked for");
        ret = -1;
    }
    if (ret == 1) {
        settle(link);
        trace(LINK, "%s: %s -> %d, %zu bytes", link->name, what, reply->error, reply->len);
        return true;
    }
    if (ret == 0) {
        report_stuck(link, what);
        link->asked_ns = loop_now_ns();
        if (++link->owed > PROXY_LINK_OWED_MAX) {
            lose(link, "the remote owes too many replies");
        }
    }
    return false;
}

bool proxy_link_ask(ProxyLink *link, const ProxyMessage *message)
{
    bool ok = send_message(link, message, true, deadline_of(link));

    trace(LINK, "%s: %s%s", link->name, link->wire->command_name(message->cmd),
          ok ? "" : " not sent");
    if (ok) {
        link->owed++;
        link->asked_ns = loop_now_ns();
    }
    return ok;
}

void proxy_link_check(ProxyLink *link)
{
    if (link->owed > 0 && loop_now_ns() - link->asked_ns > link->timeout_ms * NS_PER_MS) {
        report_stuck(link, "an idle read");
    }
}
