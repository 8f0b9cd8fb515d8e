/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI bus is an array of functions by devfn. Decode asks each function's BARs in order of devfn
 * and BAR number; the first that contains the whole access has it (overlapping BARs are a mistake
 * of the guest; hardware would have both answer). Nothing is cached: a base is four config bytes,
 * and the remote machine has one function.
 *
 * Used by the remote machine's PCI host and by the stock profile's board, on the machine's thread;
 * plugging is set-up, on the main thread.
 */
#include "hw/pci/pci-bus.h"

#define FUNCTIONS 8 /* of a slot */

static int free_slot(const PciBus *bus)
{
    for (int devfn = 0; devfn < PCI_DEVFN_MAX; devfn += FUNCTIONS) {
        if (!bus->dev[devfn]) {
            return devfn;
        }
    }
    return -1;
}

bool pci_bus_plug(PciBus *bus, PciDev *dev, int devfn)
{
    if (devfn == -1) {
        devfn = free_slot(bus);
    }
    if (devfn < 0 || devfn >= PCI_DEVFN_MAX || bus->dev[devfn]) {
        return false;
    }
    bus->dev[devfn] = dev;
    bus->end = MAX(bus->end, (unsigned)devfn + 1);
    return true;
}

void pci_bus_unplug(PciBus *bus, PciDev *dev)
{
    for (unsigned devfn = 0; devfn < bus->end; devfn++) {
        if (bus->dev[devfn] == dev) {
            bus->dev[devfn] = NULL;
        }
    }
    while (bus->end > 0 && !bus->dev[bus->end - 1]) {
        bus->end--;
    }
}

static bool dev_decode(PciDev *dev, uint64_t addr, unsigned size, bool memory, unsigned *bar,
                       uint64_t *off)
{
    PciBarKind kind = memory ? PCI_BAR_MEM32 : PCI_BAR_IO;

    for (unsigned i = 0; i < dev->n_bars; i++) {
        size_t len = size;

        if (dev->bars[i].kind == kind && pci_bar_contains(dev, i, addr, off, &len) && len == size) {
            *bar = i;
            return true;
        }
    }
    return false;
}

bool pci_bus_decode(const PciBus *bus, uint64_t addr, unsigned size, bool memory, PciDev **dev,
                    unsigned *bar, uint64_t *off)
{
    for (unsigned devfn = 0; devfn < bus->end; devfn++) {
        if (bus->dev[devfn] && dev_decode(bus->dev[devfn], addr, size, memory, bar, off)) {
            *dev = bus->dev[devfn];
            return true;
        }
    }
    return false;
}
