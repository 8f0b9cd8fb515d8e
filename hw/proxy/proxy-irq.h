/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy's interrupt line: the pair of eventfds that a remote signals on, and who takes them.
 * On the board's thread (the main thread before that runs).
 */
#ifndef HW_PROXY_PROXY_IRQ_H
#define HW_PROXY_PROXY_IRQ_H

#include "hw/pci/pci.h"

typedef struct ProxyIrq {
    PciDev *pci;
    int irqfd, resamplefd; /* owned; -1: none */
    bool host_takes_it;    /* PciHostOps.bind_irqfd did */
    LoopFd watch;          /* on irqfd, unless the host has taken it */
} ProxyIrq;

/* Makes the eventfds, and hands them to the host pci is attached to or watches them itself. */
bool proxy_irq_init(ProxyIrq *irq, PciDev *pci, GError **errp);
/* No-op on one that was only zeroed. */
void proxy_irq_fini(ProxyIrq *irq);
/* After a guest's access: is it to be asked what the remote's line is now? Then
 * proxy_irq_level() gets the answer. */
bool proxy_irq_asks(ProxyIrq *irq);
void proxy_irq_level(ProxyIrq *irq, bool level);
/* The remote is in its power-on state, or gone: the line is down, what it signalled is history. */
void proxy_irq_clear(ProxyIrq *irq);

#endif
