/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ISA bridge 00:01.0, as a PIIX3 (Intel 290550) has it, for one purpose: config registers 0x60
 * to 0x63 (PIRQRC[A-D], 4.1.10) say which ISA interrupt each PCI interrupt line PIRQA# to PIRQD#
 * is, bits 3:0, or with bit 7 set that it is none. Out of reset they all are off; firmware, or
 * whoever is the first to drive the board, sets them.
 *
 * A write takes effect at once: what is asserted moves, and irqfds are bound anew (pc-irq.c).
 */
#include "hw/i386/pc-internal.h"
#include <stddef.h>
#include <string.h>

#define PIRQRC_IRQ 0x0f
#define PIRQRC_BITS (PIIX3_PIRQRC_OFF | PIRQRC_IRQ)
/* 4.1.3: I/O, memory and bus master are always on; 4.1.4: medium DEVSEL timing */
#define PIIX3_COMMAND 0x07
#define PIIX3_STATUS 0x0200
#define HEADER_MULTIFUNCTION 0x80

static const PciBar no_bars[] = { { .kind = PCI_BAR_NONE } };

static void isa_bridge_reset(PciDev *dev)
{
    for (unsigned pirq = 0; pirq < PC_PIRQS; pirq++) {
        dev->config[PIIX3_PIRQRC + pirq] = PIIX3_PIRQRC_OFF;
    }
}

static void isa_bridge_written(PciDev *dev, unsigned addr, uint32_t value G_GNUC_UNUSED,
                               unsigned len)
{
    Pc *pc = (Pc *)(void *)((char *)dev - offsetof(Pc, isa_bridge));

    if (addr < PIIX3_PIRQRC + PC_PIRQS && addr + len > PIIX3_PIRQRC) {
        pc_irq_rebind(pc);
        pc_irq_update(pc);
    }
}

/* A part of the board: never attached, never drained. */
static const PciDevOps isa_bridge_ops = {
    .vendor = 0x8086,
    .device = 0x7000,
    .class_code = 0x060100,
    .bars = no_bars,
    .reset = isa_bridge_reset,
    .cfg_write = isa_bridge_written,
};

void pc_isa_bridge_init(Pc *pc)
{
    PciDev *dev = &pc->isa_bridge;

    pci_dev_init(dev, NULL, &isa_bridge_ops, NULL);
    dev->config[PCI_COMMAND] = PIIX3_COMMAND;
    dev->wmask[PCI_COMMAND] = 0;
    dev->config[PCI_STATUS + 1] = PIIX3_STATUS >> 8;
    dev->w1cmask[PCI_STATUS + 1] = 0; /* it sees no errors */
    dev->config[PCI_HEADER_TYPE] = HEADER_MULTIFUNCTION;
    memset(dev->wmask + PIIX3_PIRQRC, PIRQRC_BITS, PC_PIRQS);
    pci_bus_plug(&pc->bus, dev, 1 << 3);
}

int pc_pirq_gsi(const Pc *pc, unsigned pirq)
{
    uint8_t route = pc->isa_bridge.config[PIIX3_PIRQRC + pirq];

    return route & PIIX3_PIRQRC_OFF ? -1 : route & PIRQRC_IRQ;
}
