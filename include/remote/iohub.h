/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IOHUB: the interrupts of one machine onto eventfds. On the machine's thread.
 *
 * INTx is level-triggered, with one of two handshakes:
 * - a pair of descriptors, bound by iohub_bind() (mpqemu; KVM's irqfd with resample): the irqfd is
 *   signalled on each 0->1 change, when the resample descriptor fires with the line still up, and
 *   when a new irqfd arrives with the line up. Not while masked (unmask re-evaluates).
 * - automasked, bound by iohub_set_vectors() (vfio-user): a signal masks the line until it is
 *   unmasked by iohub_mask() or by the resample descriptor; then it is evaluated anew, after a
 *   message with some delay.
 *
 * MSI, MSI-X and the two events of VFIO (error, request) are messages: a vector that is raised
 * signals its descriptor; one that has none stays pending, and signals when it gets one.
 */
#ifndef REMOTE_IOHUB_H
#define REMOTE_IOHUB_H

#include "util/loop.h"
#include <stdbool.h>

typedef enum IoIrq { IOHUB_INTX, IOHUB_MSI, IOHUB_MSIX, IOHUB_ERR, IOHUB_REQ, IOHUB_IRQS } IoIrq;

typedef struct IoVector {
    int fd; /* owned; -1: none */
    bool pending;
} IoVector;

typedef struct IoHub {
    Loop *loop;
    int irqfd, resamplefd; /* INTx; owned; -1: none */
    LoopFd watch;          /* on resamplefd; so is the next */
    LoopPoll poll;
    LoopTimer again; /* unmasked by a message with the line up */
    bool level;
    bool masked;
    bool automask;
    bool unacked;                  /* automask: signalled, and not unmasked since */
    bool news;                     /* unacked: the line has gone up again since */
    uint64_t signals;              /* sent and not taken back */
    IoVector *vectors[IOHUB_IRQS]; /* but INTx's */
    unsigned n_vectors[IOHUB_IRQS];
    /* Called before a resample event is acted on: posted deasserts come first. May be NULL. */
    LoopFn *before_resample;
    void *opaque;
} IoHub;

void iohub_init(IoHub *hub, Loop *loop);
void iohub_fini(IoHub *hub);
/* Takes both descriptors (resamplefd may be -1), closes the ones it had. A descriptor that cannot
 * be watched: -errno, both are closed and none is set. */
int iohub_bind(IoHub *hub, int irqfd, int resamplefd);
/* Drops every descriptor and pending bit, and unmasks. */
void iohub_unbind(IoHub *hub);
void iohub_set_level(IoHub *hub, bool level); /* of INTA# */
void iohub_mask(IoHub *hub, bool masked);

/* How many vectors an index has; those of INTx are 0 or 1. At set-up. */
void iohub_set_count(IoHub *hub, IoIrq irq, unsigned count);
/* Vectors start to start + n - 1, which exist, get these descriptors (-1: none); they are taken,
 * and those they replace are closed. INTx becomes automasked. A descriptor that is no eventfd, or
 * that is used for the other end of INTx: -EINVAL, and nothing has changed. */
int iohub_set_vectors(IoHub *hub, IoIrq irq, unsigned start, unsigned n, const int *fds);
/* Automasked INTx: takes fd (-1: none), which unmasks when it is signalled. 0 or -errno. */
int iohub_set_resample(IoHub *hub, int fd);
/* All of the index: no descriptors, nothing pending, not masked. */
void iohub_disable(IoHub *hub, IoIrq irq);
/* A message of the device. INTx: signals its descriptor whatever the line. */
void iohub_raise(IoHub *hub, IoIrq irq, unsigned vector);

extern const SandboxCalls iohub_sandbox;

#endif
