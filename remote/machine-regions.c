/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remote machine's function as VFIO numbers it: `describe`, and access by region and offset.
 *
 * Everything comes from the function itself: BARs from its table, the number of message vectors
 * from its capability list (PCI Local Bus 3.0, 6.8), whoever put the capabilities there. The list
 * is the device's, but a model's mistake must not make this loop, so it is walked with a bound.
 *
 * An access of any length is cut into what a bus can do. Where it begins and ends decides the
 * widths, as a memory controller does it: each part is naturally aligned. On the machine's thread.
 */
#include "remote/machine.h"
#include <string.h>

#define CAP_MIN 0x40
#define MSI_CONTROL 2
#define MSI_VECTORS_SHIFT 1 /* log2 of the vectors, 3 bits */
#define MSIX_CONTROL 2
#define MSIX_VECTORS 0x7ff /* less one */

/* --- describe --- */

static unsigned cap_find(const PciDev *pci, uint8_t id)
{
    unsigned at = pci->config[PCI_STATUS] & PCI_STATUS_CAPS ? pci->config[PCI_CAP_PTR] & ~3u : 0;

    for (unsigned n = 0; at >= CAP_MIN && n < PCI_CONFIG_SIZE / 4; n++) {
        if (pci->config[at] == id) {
            return at;
        }
        at = pci->config[at + 1] & ~3u;
    }
    return 0;
}

static uint16_t cap_control(const PciDev *pci, unsigned at)
{
    return pci->config[at] | pci->config[at + 1] << 8;
}

static void describe_bar(RemoteMachine *m, unsigned bar, MachineRegion *region)
{
    const PciDevOps *ops = m->dev->ops;

    region->size = pci_bar_size(m->dev, bar);
    if (region->size == 0) {
        return;
    }
    region->flags = MACHINE_READ | MACHINE_WRITE;
    if (ops->bar_map && ops->bar_map(m->dev, bar, &region->map)) {
        region->flags |= MACHINE_MMAP;
    }
}

static void describe_irqs(const PciDev *pci, MachineIrq *irq)
{
    unsigned msi = cap_find(pci, PCI_CAP_ID_MSI);
    unsigned msix = cap_find(pci, PCI_CAP_ID_MSIX);

    irq[IOHUB_INTX] = (MachineIrq){
        .count = pci->ops->int_pin ? 1 : 0,
        .flags = MACHINE_IRQ_MASKABLE | MACHINE_IRQ_AUTOMASKED,
    };
    if (msi) {
        irq[IOHUB_MSI].count =
            1u << MIN((cap_control(pci, msi + MSI_CONTROL) >> MSI_VECTORS_SHIFT) & 7, 5);
    }
    if (msix) {
        irq[IOHUB_MSIX].count = (cap_control(pci, msix + MSIX_CONTROL) & MSIX_VECTORS) + 1;
    }
    irq[IOHUB_ERR].count = 1;
    irq[IOHUB_REQ].count = 1;
}

void machine_describe(RemoteMachine *m, MachineDesc *desc)
{
    memset(desc, 0, sizeof(*desc));
    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        describe_bar(m, i, &desc->region[i]);
    }
    desc->region[MACHINE_REGION_CONFIG] =
        (MachineRegion){ .size = PCI_CONFIG_SIZE, .flags = MACHINE_READ | MACHINE_WRITE };
    describe_irqs(m->dev, desc->irq);
}

/* --- access --- */

static bool region_check(RemoteMachine *m, uint32_t region, uint64_t off, size_t len)
{
    uint64_t size = 0;

    if (region < PCI_NUM_BARS) {
        size = pci_bar_size(m->dev, region);
    } else if (region == MACHINE_REGION_CONFIG) {
        size = PCI_CONFIG_SIZE;
    }
    return len > 0 && off < size && len <= size - off;
}

/* The widest naturally aligned access that begins at off. */
static unsigned part_size(uint32_t region, uint64_t off, size_t len)
{
    unsigned size = region == MACHINE_REGION_CONFIG ? 4 : 8;

    while (size > len || off % size) {
        size /= 2;
    }
    return size;
}

bool machine_region_read(RemoteMachine *m, uint32_t region, uint64_t off, void *buf, size_t len)
{
    uint8_t *to = buf;

    if (!region_check(m, region, off, len)) {
        return false;
    }
    while (len > 0) {
        unsigned size = part_size(region, off, len);
        uint64_t value = region == MACHINE_REGION_CONFIG ? machine_cfg_read(m, off, size)
                                                         : machine_bar_read(m, region, off, size);

        memcpy(to, &value, size);
        to += size;
        off += size;
        len -= size;
    }
    return true;
}

bool machine_region_write(RemoteMachine *m, uint32_t region, uint64_t off, const void *buf,
                          size_t len)
{
    const uint8_t *from = buf;

    if (!region_check(m, region, off, len)) {
        return false;
    }
    while (len > 0) {
        unsigned size = part_size(region, off, len);
        uint64_t value = 0;

        memcpy(&value, from, size);
        if (region == MACHINE_REGION_CONFIG) {
            machine_cfg_write(m, off, value, size);
        } else {
            machine_bar_write(m, region, off, value, size);
        }
        from += size;
        off += size;
        len -= size;
    }
    return true;
}
