/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PCI bus: functions by devfn, and BAR decode by absolute address. Used by the remote machine's
 * PCI host and by the stock profile's board. */
#ifndef HW_PCI_PCI_BUS_H
#define HW_PCI_PCI_BUS_H

#include "hw/pci/pci.h"

#define PCI_DEVFN_MAX 256

typedef struct PciBus {
    PciDev *dev[PCI_DEVFN_MAX]; /* by devfn = slot << 3 | function; not owned */
    unsigned end;               /* behind the last devfn in use */
} PciBus;

/* False if devfn is taken or out of range. devfn -1: the first free slot, function 0. */
bool pci_bus_plug(PciBus *bus, PciDev *dev, int devfn);
void pci_bus_unplug(PciBus *bus, PciDev *dev);

/* The function and BAR that decode [addr, addr + size) in memory or I/O space. False: nobody does
 * (master abort: all ones). */
bool pci_bus_decode(const PciBus *bus, uint64_t addr, unsigned size, bool memory, PciDev **dev,
                    unsigned *bar, uint64_t *off);

#endif
