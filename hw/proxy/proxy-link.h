/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy's channel to its remote: requests and their replies, matched by position, over one
 * UNIX stream socket. On the board's thread (the main thread before that runs).
 */
#ifndef HW_PROXY_PROXY_LINK_H
#define HW_PROXY_PROXY_LINK_H

#include "util/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Replies that may be owed; one more closes the connection. */
#define PROXY_LINK_OWED_MAX 3
/* What can be sent: a header and a payload, and descriptors with it. */
#define PROXY_LINK_HEADER 16
#define PROXY_LINK_PAYLOAD 192
#define PROXY_LINK_FDS 8
/* The largest reply, and how much of its payload is handed on. */
#define PROXY_LINK_FRAME 4096
#define PROXY_REPLY_MAX 64

typedef struct ProxyMessage {
    unsigned cmd;
    const void *payload;
    size_t size;
    const int *fds; /* stay the caller's */
    unsigned nfds;
} ProxyMessage;

typedef struct ProxyReply {
    int error;                        /* errno; 0: none */
    size_t len;                       /* of the payload, which may be longer than what is here */
    uint8_t payload[PROXY_REPLY_MAX]; /* zero after its end */
} ProxyReply;

/* Headers of a protocol. id counts the requests of a connection, for protocols that have such a
 * field. */
typedef struct ProxyWire {
    const char *(*command_name)(unsigned cmd);
    void (*put_header)(void *to, const ProxyMessage *message, uint16_t id, bool wants_reply);
    /* Fills in error and len. False: this is no reply to id. */
    bool (*get_header)(const void *from, uint16_t id, ProxyReply *reply);
} ProxyWire;

typedef struct ProxyLinkOps {
    /* The connection has ended and is closed; why is static or interned. May come from within any
     * function that uses the link but proxy_link_close(). */
    void (*lost)(void *opaque, const char *why);
    /* The last reply that was owed has come, outside of a request: the one of
     * proxy_link_ask(). From the loop. */
    void (*answered)(void *opaque, const ProxyReply *reply);
} ProxyLinkOps;

typedef struct ProxyLink {
    Loop *loop;
    const char *name; /* of the device, for the log */
    const ProxyWire *wire;
    const ProxyLinkOps *ops;
    void *opaque;
    unsigned timeout_ms;
    int fd; /* owned; -1: not connected */
    LoopFd watch;
    uint8_t in[PROXY_LINK_FRAME]; /* of replies that are not taken yet */
    size_t have;
    uint16_t id, reply_id;   /* of the next request, and of the next reply */
    unsigned owed;           /* replies that must come before the next request's own */
    int64_t asked_ns;        /* when the youngest of them was asked for */
    bool stuck;              /* a time-out was reported, and something is owed since */
    bool quiet;              /* nothing is logged: whoever set this tells by itself */
    uint64_t requests, late; /* counters */
} ProxyLink;

/* name: must stay valid. */
void proxy_link_init(ProxyLink *link, Loop *loop, const char *name, unsigned timeout_ms,
                     const ProxyWire *wire, const ProxyLinkOps *ops, void *opaque);
/* Takes fd. 0, or -errno if it can't be watched; it is closed then. */
int proxy_link_open(ProxyLink *link, int fd);
/* Closes the connection, without a word. No-op if there is none. */
void proxy_link_close(ProxyLink *link);
static inline bool proxy_link_is_open(const ProxyLink *link)
{
    return link->fd >= 0;
}

/* A message without a reply. False: it was not sent, and the connection is closed or was before. */
bool proxy_link_post(ProxyLink *link, const ProxyMessage *message);
/* A message and its reply. False: there is no reply in time (logged once for each silence), or the
 * connection is closed. */
bool proxy_link_request(ProxyLink *link, const ProxyMessage *message, ProxyReply *reply);
/* A request whose reply is not waited for: answered() follows, unless a request comes first. */
bool proxy_link_ask(ProxyLink *link, const ProxyMessage *message);
/* From a timer: reports a reply of proxy_link_ask() that is overdue. */
void proxy_link_check(ProxyLink *link);

#endif
