/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy's channel to its remote: requests and their replies, matched by position, over one
 * UNIX stream socket. On the board's thread (the main thread before that runs).
 */
#ifndef HW_PROXY_PROXY_LINK_H
#define HW_PROXY_PROXY_LINK_H

#include "remote/mpqemu-proto.h"
#include "util/loop.h"

/* Replies that may be owed; one more closes the connection. */
#define PROXY_LINK_OWED_MAX 3

typedef struct ProxyLinkOps {
    /* The connection has ended and is closed; why is static or interned. May come from within any
     * function that uses the link but proxy_link_close(). */
    void (*lost)(void *opaque, const char *why);
    /* The last reply that was owed has come, outside of a request: the one of
     * proxy_link_ask(). From the loop. */
    void (*answered)(void *opaque, uint64_t value);
} ProxyLinkOps;

typedef struct ProxyLink {
    Loop *loop;
    const char *name; /* of the device, for the log */
    const ProxyLinkOps *ops;
    void *opaque;
    unsigned timeout_ms;
    int fd; /* owned; -1: not connected */
    LoopFd watch;
    uint8_t in[(PROXY_LINK_OWED_MAX + 2) * sizeof(MpqRet)]; /* of replies that are not whole yet */
    size_t have;
    unsigned owed;           /* replies that must come before the next request's own */
    int64_t asked_ns;        /* when the youngest of them was asked for */
    bool stuck;              /* a time-out was reported, and something is owed since */
    bool quiet;              /* nothing is logged: whoever set this tells by itself */
    uint64_t requests, late; /* counters */
} ProxyLink;

/* name: must stay valid. */
void proxy_link_init(ProxyLink *link, Loop *loop, const char *name, unsigned timeout_ms,
                     const ProxyLinkOps *ops, void *opaque);
/* Takes fd. 0, or -errno if it can't be watched; it is closed then. */
int proxy_link_open(ProxyLink *link, int fd);
/* Closes the connection, without a word. No-op if there is none. */
void proxy_link_close(ProxyLink *link);
static inline bool proxy_link_is_open(const ProxyLink *link)
{
    return link->fd >= 0;
}

/* A message without a reply. fds stay the caller's. False: it was not sent, and the connection is
 * closed or was before. */
bool proxy_link_post(ProxyLink *link, MpqCmd cmd, const void *payload, size_t size, const int *fds,
                     unsigned nfds);
/* A message and its reply. False: there is no reply in time (logged once for each silence), or the
 * connection is closed; *value is all ones then. */
bool proxy_link_request(ProxyLink *link, MpqCmd cmd, const void *payload, size_t size,
                        uint64_t *value);
/* A request whose reply is not waited for: answered() follows, unless a request comes first. */
bool proxy_link_ask(ProxyLink *link, MpqCmd cmd, const void *payload, size_t size);
/* From a timer: reports a reply of proxy_link_ask() that is overdue. */
void proxy_link_check(ProxyLink *link);

/* Config space, len 1, 2 or 4: requests as above. A value of all ones, 64 bits, is the remote's way
 * to refuse an access, and false here. */
bool proxy_link_cfg_read(ProxyLink *link, unsigned addr, unsigned len, uint32_t *value);
bool proxy_link_cfg_write(ProxyLink *link, unsigned addr, uint32_t value, unsigned len);

#endif
