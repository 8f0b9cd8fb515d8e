/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link's inside, for the files that it consists of. */
#ifndef REMOTE_LINK_INT_H
#define REMOTE_LINK_INT_H

#include "remote/link.h"

/* What the receive buffer has between long frames. */
#define LINK_BUF_SIZE 4096

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

/* --- link.c --- */

/* Watches for what can be acted on in this state. */
void link_watch(Link *link);

/* --- link-send.c --- */

/* What the socket takes of the queue now. */
void link_flush(Link *link);
void link_drop_queue(Link *link);

/* --- link-receive.c --- */

void link_set_room(Link *link, size_t room);
/* True when there is a whole frame at buf[at], of `size` bytes. False: not now, or the link has
 * ended. */
bool link_receive_frame(Link *link);
/* The frame at buf[at] has been handled, and will not be looked at again. */
void link_next_frame(Link *link);
/* Takes off the socket what has been received by looking at it. */
void link_take_peeked(Link *link);

#endif
