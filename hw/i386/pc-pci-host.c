/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI host bridge, as an i440FX (Intel 290549) has it: configuration mechanism 1 (PCI Local
 * Bus 3.0, 3.2.2.3.2) and its own function 00:00.0.
 *
 * A dword at port 0xcf8 selects enable bit, bus, device, function and register; 0xcfc to 0xcff are
 * the selected register's four bytes, in accesses of one, two and four that don't cross its end.
 * There is one bus: another's number, or a function that isn't there, reads all ones.
 *
 * The function itself has no registers beyond the header here: RAM, ROM shadowing and AGP of the
 * chip are not what this board is for.
 */
#include "hw/i386/pc-internal.h"

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_BUS(address) (((address) >> 16) & 0xff)
#define ADDRESS_DEVFN(address) (((address) >> 8) & 0xff)
#define ADDRESS_REGISTER(address) ((address)&0xfc)

/* 3.2.3: memory and bus master are always on; 3.2.4: medium DEVSEL timing, fast back-to-back */
#define I440FX_COMMAND 0x0006
#define I440FX_STATUS 0x0280

static const PciBar no_bars[] = { { .kind = PCI_BAR_NONE } };

static void host_bridge_reset(PciDev *dev G_GNUC_UNUSED)
{
}

/* A part of the board: never attached, never drained. */
static const PciDevOps host_bridge_ops = {
    .vendor = 0x8086,
    .device = 0x1237,
    .revision = 0x02,
    .class_code = 0x060000,
    .bars = no_bars,
    .reset = host_bridge_reset,
};

void pc_host_bridge_init(Pc *pc)
{
    PciDev *dev = &pc->host_bridge;

    pci_dev_init(dev, NULL, &host_bridge_ops, NULL);
    dev->config[PCI_COMMAND] = I440FX_COMMAND;
    dev->wmask[PCI_COMMAND] = 0;
    dev->config[PCI_STATUS] = I440FX_STATUS & 0xff;
    dev->config[PCI_STATUS + 1] = I440FX_STATUS >> 8;
    dev->w1cmask[PCI_STATUS + 1] = 0; /* it sees no errors */
    pci_bus_plug(&pc->bus, dev, 0);
}

/* The selected function, or NULL. */
static PciDev *selected(const Pc *pc)
{
    if (!(pc->config_address & ADDRESS_ENABLE) || ADDRESS_BUS(pc->config_address) != 0) {
        return NULL;
    }
    return pc->bus.dev[ADDRESS_DEVFN(pc->config_address)];
}

uint32_t pc_config_read(Pc *pc, unsigned byte, unsigned size)
{
    PciDev *dev = selected(pc);

    return dev ? pci_cfg_read(dev, ADDRESS_REGISTER(pc->config_address) + byte, size) : UINT32_MAX;
}

void pc_config_write(Pc *pc, unsigned byte, uint32_t value, unsigned size)
{
    PciDev *dev = selected(pc);

    if (dev) {
        pci_cfg_write(dev, ADDRESS_REGISTER(pc->config_address) + byte, value, size);
    }
}
