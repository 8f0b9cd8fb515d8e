/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remote machine's PCI host: memory and I/O cycles by absolute bus address, as mpqemu sends
 * them, onto the BARs of the root bus. The addresses are those the guest wrote into the BARs
 * through config space, the only way a remote learns them, so decoding is by the function's own
 * config bytes. An address that no BAR claims is a master abort: all ones, and nothing written.
 *
 * A size that no bus cycle has never gets as far as decoding. On the machine's thread.
 */
#include "remote/machine.h"
#include <inttypes.h>

static bool decode(RemoteMachine *m, const char *what, uint64_t addr, unsigned size, bool memory,
                   PciDev **dev, unsigned *bar, uint64_t *off)
{
    bool sized = size == 1 || size == 2 || size == 4 || size == 8;

    if (sized && pci_bus_decode(&m->bus, addr, size, memory, dev, bar, off)) {
        return true;
    }
    machine_error(m, "%s %s of %u bytes at 0x%" PRIx64 " ignored: %s", memory ? "memory" : "I/O",
                  what, size, addr, sized ? "no BAR there" : "odd size");
    return false;
}

uint64_t machine_bus_read(RemoteMachine *m, uint64_t addr, unsigned size, bool memory)
{
    PciDev *dev;
    unsigned bar;
    uint64_t off;

    if (!decode(m, "read", addr, size, memory, &dev, &bar, &off)) {
        return UINT64_MAX;
    }
    counter_add(&m->counters.bar_reads[bar], 1);
    return pci_bar_read(dev, bar, off, size);
}

bool machine_bus_write(RemoteMachine *m, uint64_t addr, uint64_t value, unsigned size, bool memory)
{
    PciDev *dev;
    unsigned bar;
    uint64_t off;

    if (!decode(m, "write", addr, size, memory, &dev, &bar, &off)) {
        return false;
    }
    counter_add(&m->counters.bar_writes[bar], 1);
    pci_bar_write(dev, bar, off, value, size);
    return true;
}
