/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy's interrupt line: the pair of eventfds that a remote signals on, and who takes them.
 * On the board's thread (the main thread before that runs).
 */
#ifndef HW_PROXY_PROXY_IRQ_H
#define HW_PROXY_PROXY_IRQ_H

#include "hw/pci/pci.h"

typedef struct ProxyIrqOps {
    /* The interrupt status bit of the remote's status register; false if there is no answer. */
    bool (*ask)(PciDev *pci, bool *level);
    /* NULL, or the line is masked in the remote from each signal until this. */
    void (*unmask)(PciDev *pci);
} ProxyIrqOps;

typedef struct ProxyIrq {
    PciDev *pci;
    const ProxyIrqOps *ops;
    int irqfd, resamplefd; /* owned; -1: none */
    bool host_takes_it;    /* PciHostOps.bind_irqfd did */
    LoopFd watch;          /* on irqfd, unless the host has taken it */
    bool status_shows_it;  /* the remote has the interrupt status bit: it was seen */
    bool resampled;        /* since the line was up last, or the guest was here */
    bool masked;           /* in the remote, as far as it has an unmask(): it has signalled */
} ProxyIrq;

/* Makes the eventfds, and hands them to the host pci is attached to or watches them itself. */
bool proxy_irq_init(ProxyIrq *irq, PciDev *pci, const ProxyIrqOps *ops, GError **errp);
/* No-op on one that was only zeroed. */
void proxy_irq_fini(ProxyIrq *irq);
/* After an access of the guest's that may have moved the line. */
void proxy_irq_settle(ProxyIrq *irq);
/* The remote is in its power-on state, or gone: the line is down, what it signalled is history. */
void proxy_irq_clear(ProxyIrq *irq);

#endif
