/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NBD driver's three files: nbd.c (driver, requests), nbd-connection.c, nbd-address.c. */
#ifndef BLOCK_NBD_INTERNAL_H
#define BLOCK_NBD_INTERNAL_H

#include "block/block.h"
#include "block/tls-creds.h"
#include "util/log.h"
#include <libnbd.h>
#include <sys/socket.h>

typedef struct NbdState NbdState;

typedef enum NbdPhase {
    NBD_IDLE,       /* no connection, and no loop on which to get one */
    NBD_CONNECTING, /* libnbd is about it, for at most NBD_CONNECT_NS */
    NBD_READY,
    NBD_WAITING, /* for the next attempt */
} NbdPhase;

#define NBD_CONNECT_NS INT64_C(10000000000)

/* What the server says about the export. */
typedef struct NbdExport {
    uint64_t size;      /* bytes, any number */
    uint32_t min_block; /* power of 2 */
    uint32_t max_block; /* of the data of one request, a multiple of min_block */
    bool read_only, can_flush, can_fua, can_trim, can_zero;
    bool can_status; /* block status of "base:allocation" */
} NbdExport;

typedef struct NbdAddress {
    struct sockaddr_storage addr;
    socklen_t len;
} NbdAddress;

struct NbdState {
    /* options */
    int type; /* NbdServerType, -1: by host or path */
    char *server_host, *server_port, *server_path, *server_str;
    char *host, *port, *path; /* the same, in the older spelling */
    char *export_name;
    char *tls_creds;
    uint32_t reconnect_delay, open_timeout, stall_timeout; /* s */
    /* settled at open */
    BlockNode *node;
    const BlockTlsCreds *creds;
    GArray *addresses; /* of NbdAddress: inet without X.509 */
    int fd;            /* server.type=fd, until it is used; else -1 */
    NbdExport export;  /* as the node has it */
    /* connection */
    struct nbd_handle *handle;
    NbdPhase phase;
    unsigned n_attempts; /* since the connection was lost; chooses the address, too */
    char *why;           /* it was lost, or an attempt failed */
    bool gave_up;        /* reconnect-delay is over: requests fail until there is a connection */
    Loop *loop;          /* NULL while the node is detached */
    LoopPoll poll;       /* for answers, while the loop looks instead of sleeping */
    LoopFd watch;        /* on a duplicate: libnbd closes its own when it likes */
    uint64_t watch_ino;  /* which socket that is */
    LoopTimer retry;     /* WAITING: next attempt; CONNECTING: its end */
    LoopTimer give_up;
    LoopTimer stall;
    bool heard; /* the socket was ready since the stall timer was set */
    LogLimit limit;
    /* requests: lists of NbdRequest by their link */
    GQueue waiting;  /* not sent */
    GQueue sent;     /* libnbd has them */
    GQueue answered; /* libnbd is through with them */
    uint64_t sent_bytes;
};

typedef enum NbdServerType { NBD_INET, NBD_UNIX, NBD_FD } NbdServerType;

/* --- nbd-address.c --- */

/* Is the server named, and only once? Looks its name up. Main thread: may take as long as the
 * resolver does. */
bool nbd_address_settle(NbdState *s, GError **errp);
void nbd_address_clear(NbdState *s);
/* "nbd:..." or a URI, as it stands behind file=; sets the driver's options in opts. */
bool nbd_parse_filename(const char *filename, Opts *opts, GError **errp);
/* For the log: "unix:/path" or "host:port". Caller frees. */
char *nbd_address_text(const NbdState *s);

/* --- nbd-connection.c --- */

/* Main thread: connects within open-timeout, and fills in s->export. */
bool nbd_connect_now(NbdState *s, GError **errp);
/* From now on the loop's thread looks after the connection. */
void nbd_connection_attach(NbdState *s, Loop *loop);
void nbd_connection_detach(NbdState *s);
void nbd_connection_close(NbdState *s);
/* After any call of libnbd that may have moved the connection: takes note of its end or of its
 * being ready, gives answers out, sends what waits. Not from a callback of libnbd. */
void nbd_connection_settle(NbdState *s);
/* Ends the connection for a reason; s->sent and s->answered are to be sent again, if at all. */
void nbd_connection_drop(NbdState *s, const char *why);
/* The first request since nothing was on its way. */
void nbd_connection_expect(NbdState *s);

/* --- nbd.c, for nbd-connection.c --- */

/* Hands on what was answered; with `dead` whatever the end of the connection has cut off is sent
 * again. */
void nbd_requests_reap(NbdState *s, bool dead);
/* Sends what is waiting. */
void nbd_requests_pump(NbdState *s);
/* Those libnbd had go back, in front of what waits. */
void nbd_requests_recall(NbdState *s);
/* All that waits fails with -EIO. */
void nbd_requests_fail(NbdState *s);

#endif
