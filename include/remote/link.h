/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A framed message stream with descriptors over one connected UNIX stream socket. Non-blocking
 * for the loop; descriptors belong to the frame whose first byte they came with.
 *
 * A peer that stops reading: what it doesn't take is queued up to max_queue bytes; beyond that
 * the link ends. While anything is queued no further frame is read.
 */
#ifndef REMOTE_LINK_H
#define REMOTE_LINK_H

#include "util/fd.h"
#include "util/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Link Link;

typedef struct LinkProto {
    size_t header_size;
    size_t max_frame; /* header included; what the receive buffer may grow to */
    size_t max_queue; /* bytes of unsent replies before the peer counts as stuck */
    /* Whole frame's size from its header, or 0 if framing is lost: *why then says it in words
     * (static or interned), and the link ends. */
    size_t (*frame_size)(void *opaque, const uint8_t *header, const char **why);
    /* Is this header's frame of a kind that may have descriptors? Asked only when descriptors came
     * along with several frames. */
    bool (*takes_fds)(void *opaque, const uint8_t *header);
    /* One whole frame. Descriptors not taken from fds are closed after it. Deferred work of the
     * loop runs between two frames. May call link_hold(), link_send(), link_close(). */
    void (*frame)(void *opaque, const uint8_t *frame, size_t len, FdSet *fds);
    /* The link has ended: why is NULL for an orderly end of file between two frames, else says
     * what happened. Comes once, from the loop. link_free() may be called in it. */
    void (*ended)(void *opaque, const char *why);
} LinkProto;

/* Takes fd (a connected SOCK_STREAM socket; made non-blocking). Starts reading in the next turn.
 * NULL: errno says why (fd is closed then as well). */
Link *link_new(Loop *loop, int fd, const LinkProto *proto, void *opaque);
/* Closes the socket and all descriptors; no callback any more. */
void link_free(Link *link);

/* Queues or sends len bytes; fds (may be NULL) stay the caller's. Must not be called after
 * ended(). If the peer is gone or stuck, ended() follows from the loop. */
void link_send(Link *link, const void *buf, size_t len, const int *fds, unsigned nfds);
/* Ends the link as if the peer had broken framing; ended(why) follows from the loop. */
void link_close(Link *link, const char *why);

/* An answer is owed and will come later: no further frame is read until link_release(). Holds
 * count. */
void link_hold(Link *link);
void link_release(Link *link);

/* What was received of the frame in work, *len bytes (0: none). For ended() to say where it was. */
const uint8_t *link_partial(const Link *link, size_t *len);

/* The peer has closed its end (what it sent before may still be there to be read), or the link is
 * ending. */
bool link_hung_up(const Link *link);

/* Handles every frame that is in the socket now, until it would block, the link is held or ends
 * (or, with a peer that floods, a few thousand frames).
 * For events that must not overtake the messages sent before them (resample). Not from frame(). */
void link_drain(Link *link);

extern const SandboxCalls link_sandbox;

#endif
