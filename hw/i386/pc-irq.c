/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From interrupt pins to GSIs. A function's INTA# to INTD# go to the lines PIRQA# to PIRQD#, one
 * slot's shifted by one against its neighbour's, as on i440FX boards: PIRQ (slot + pin - 1) mod 4,
 * pins counted from 0. The ISA bridge routes each PIRQ to an ISA interrupt or to none; the serial
 * port's is fixed. A GSI is up while any of its sources is: they are reckoned anew after each
 * change, and the sink is told of the GSIs that have another level than it knows.
 *
 * A function may hand over an irqfd with its resample descriptor instead of calling set_irq(); the
 * sink takes it for the GSI that the pin is routed to. While that is none it waits here, and after
 * a change of the routing it is bound where it belongs now.
 *
 * On the board's thread.
 */
#include "hw/i386/pc-internal.h"
#include "util/trace.h"
#include <errno.h>

#define FUNCTIONS 8 /* of a slot */

static int devfn_of(const Pc *pc, const PciDev *dev)
{
    for (unsigned devfn = 0; devfn < pc->bus.end; devfn++) {
        if (pc->bus.dev[devfn] == dev) {
            return devfn;
        }
    }
    return -1;
}

/* A function that has not said which pin it uses gets INTA#. */
static unsigned pirq_of(const Pc *pc, unsigned devfn)
{
    unsigned pin = pc->bus.dev[devfn]->config[PCI_INT_PIN];

    return (devfn / FUNCTIONS + (pin ? pin - 1 : 0) - 1) % PC_PIRQS;
}

static uint32_t gsi_levels(const Pc *pc)
{
    uint32_t levels = pc->serial_irq ? 1u << PC_SERIAL_GSI : 0;

    for (unsigned devfn = 0; devfn < pc->bus.end; devfn++) {
        int gsi = pc->intx[devfn] ? pc_pirq_gsi(pc, pirq_of(pc, devfn)) : -1;

        if (gsi >= 0) {
            levels |= 1u << gsi;
        }
    }
    return levels;
}

void pc_irq_update(Pc *pc)
{
    uint32_t levels = gsi_levels(pc);
    uint32_t changed = levels ^ pc->gsis;

    pc->gsis = levels;
    for (unsigned gsi = 0; gsi < PC_GSIS; gsi++) {
        if (changed & (1u << gsi)) {
            trace(IRQ, "GSI %u: %d", gsi, !!(levels & (1u << gsi)));
            if (pc->sink.set_gsi) {
                pc->sink.set_gsi(pc->sink.opaque, gsi, levels & (1u << gsi));
            }
        }
    }
}

static void set_irq(void *opaque, PciDev *dev, bool level)
{
    Pc *pc = opaque;
    int devfn = devfn_of(pc, dev);

    if (devfn >= 0) {
        pc->intx[devfn] = level;
        pc_irq_update(pc);
    }
}

/* --- irqfds --- */

static int bind_at(Pc *pc, PcIrqfd *b, int gsi)
{
    int ret = 0;

    if (b->gsi >= 0) {
        pc->sink.bind_irqfd(pc->sink.opaque, -1, b->irqfd, b->resamplefd);
        b->gsi = -1;
    }
    if (gsi >= 0) {
        ret = pc->sink.bind_irqfd(pc->sink.opaque, gsi, b->irqfd, b->resamplefd);
    }
    if (gsi >= 0 && ret == 0) {
        b->gsi = gsi;
    }
    return ret;
}

static int bind_irqfd(void *opaque, PciDev *dev, int irqfd, int resamplefd)
{
    Pc *pc = opaque;
    int devfn = devfn_of(pc, dev);
    int ret;

    if (devfn < 0) {
        return -ENODEV;
    }
    PcIrqfd *b = &pc->irqfd[devfn];
    if (b->irqfd >= 0) {
        bind_at(pc, b, -1);
        b->irqfd = -1;
    }
    if (irqfd < 0) {
        return 0;
    }
    if (!pc->sink.bind_irqfd) {
        return -ENOTSUP;
    }
    *b = (PcIrqfd){ .irqfd = irqfd, .resamplefd = resamplefd, .gsi = -1 };
    ret = bind_at(pc, b, pc_pirq_gsi(pc, pirq_of(pc, devfn)));
    if (ret < 0) {
        b->irqfd = -1;
    }
    return ret;
}

void pc_irq_rebind(Pc *pc)
{
    for (unsigned devfn = 0; devfn < pc->bus.end; devfn++) {
        PcIrqfd *b = &pc->irqfd[devfn];
        int gsi, ret;

        if (b->irqfd < 0) {
            continue;
        }
        gsi = pc_pirq_gsi(pc, pirq_of(pc, devfn));
        if (gsi == b->gsi) {
            continue;
        }
        ret = bind_at(pc, b, gsi);
        if (ret < 0) {
            log_limited(&pc->limit, pci_dev_name(pc->bus.dev[devfn]),
                        "interrupt descriptor refused for GSI %d: %s", gsi, g_strerror(-ret));
        }
    }
}

void pc_irq_init(Pc *pc)
{
    for (unsigned devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
        pc->irqfd[devfn] = (PcIrqfd){ .irqfd = -1, .resamplefd = -1, .gsi = -1 };
    }
}

const PciHostOps pc_pci_host_ops = { .set_irq = set_irq, .bind_irqfd = bind_irqfd };
