/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IOHUB: the interrupt lines of one machine onto eventfds. Level-triggered INTx: the irqfd is
 * signalled on each 0->1 change, when the resample descriptor fires with the line still up, and
 * when a new irqfd arrives with the line up. Not while masked (unmask re-evaluates).
 * On the machine's thread.
 */
#ifndef REMOTE_IOHUB_H
#define REMOTE_IOHUB_H

#include "util/loop.h"
#include <stdbool.h>

typedef struct IoHub {
    Loop *loop;
    int irqfd, resamplefd; /* owned; -1: none */
    LoopFd watch;          /* on resamplefd */
    bool level;
    bool masked;
    uint64_t signals; /* counter for query */
    /* Called before a resample event is acted on: posted deasserts come first. May be NULL. */
    LoopFn *before_resample;
    void *opaque;
} IoHub;

void iohub_init(IoHub *hub, Loop *loop);
void iohub_fini(IoHub *hub);
/* Takes both descriptors (resamplefd may be -1), closes the ones it had. A descriptor that cannot
 * be watched: -errno, both are closed and none is set. */
int iohub_bind(IoHub *hub, int irqfd, int resamplefd);
void iohub_unbind(IoHub *hub);
void iohub_set_level(IoHub *hub, bool level); /* of INTA# */
void iohub_mask(IoHub *hub, bool masked);

#endif
