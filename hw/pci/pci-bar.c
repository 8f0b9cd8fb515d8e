/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The BAR door: every access to a device's registers passes here, whichever protocol or board it
 * comes from, so that a device's read and write see only what its PciBar promises: naturally
 * aligned, inside the BAR, of a width from min to max.
 *
 * Width rules, as the bus has them: a wider access is several in ascending order; an unaligned
 * one is bytes; a narrower read takes its bytes out of a min-wide one; a narrower write has no
 * byte enables to travel with and is dropped. Senseless ones (no such BAR, not 1, 2, 4 or 8 wide,
 * beyond the end) read all ones.
 *
 * Where a BAR is on the bus is also asked here: by the bus (pci-bus.c) for decoding, and by
 * devices that reach their own registers by DMA. On the machine's thread.
 */
#include "hw/pci/pci.h"
#include "util/trace.h"
#include <inttypes.h>

static uint64_t ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
}

static bool size_ok(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

/* NULL for a senseless access. */
static const PciBar *door(PciDev *pci, unsigned bar, uint64_t off, unsigned size, const char *what)
{
    const PciBar *b = bar < pci->n_bars ? &pci->bars[bar] : NULL;

    if (b && size_ok(size) && off < b->size && size <= b->size - off) {
        return b;
    }
    log_limited(&pci->limit, pci_dev_name(pci), "%s of %u bytes at BAR %u + 0x%" PRIx64 " ignored",
                what, size, bar, off);
    return NULL;
}

/* How an access of size at off is cut: the width of each part. */
static unsigned part_size(const PciBar *b, uint64_t off, unsigned size)
{
    if (off % size) {
        return 1;
    }
    return MIN(size, b->max);
}

static uint64_t read_part(PciDev *pci, const PciBar *b, uint64_t off, unsigned size)
{
    if (size < b->min) {
        unsigned skip = off % b->min;

        return (b->read(pci, off - skip, b->min) >> (8 * skip)) & ones(size);
    }
    return b->read(pci, off, size) & ones(size);
}

uint64_t pci_bar_read(PciDev *pci, unsigned bar, uint64_t off, unsigned size)
{
    const PciBar *b = door(pci, bar, off, size, "read");
    uint64_t value = 0;
    unsigned part;

    if (!b) {
        return ones(size);
    }
    part = part_size(b, off, size);
    for (unsigned i = 0; i < size; i += part) {
        value |= read_part(pci, b, off + i, part) << (8 * i);
    }
    trace(PCI, "%s: BAR %u + 0x%" PRIx64 "/%u -> 0x%" PRIx64, pci_dev_name(pci), bar, off, size,
          value);
    return value;
}

void pci_bar_write(PciDev *pci, unsigned bar, uint64_t off, uint64_t value, unsigned size)
{
    const PciBar *b = door(pci, bar, off, size, "write");
    unsigned part;

    if (!b) {
        return;
    }
    trace(PCI, "%s: BAR %u + 0x%" PRIx64 "/%u <- 0x%" PRIx64, pci_dev_name(pci), bar, off, size,
          value);
    part = part_size(b, off, size);
    if (part < b->min) {
        log_limited(&pci->limit, pci_dev_name(pci),
                    "write of %u bytes at BAR %u + 0x%" PRIx64 " ignored: too narrow", size, bar,
                    off);
        return;
    }
    for (unsigned i = 0; i < size; i += part) {
        b->write(pci, off + i, (value >> (8 * i)) & ones(part), part);
    }
}

uint32_t pci_bar_size(const PciDev *pci, unsigned bar)
{
    return bar < pci->n_bars ? pci->bars[bar].size : 0;
}

bool pci_bar_base(const PciDev *pci, unsigned bar, uint64_t *base)
{
    const uint8_t *p = &pci->config[PCI_BAR0 + 4 * bar];
    uint32_t value, mask;
    bool io;

    if (bar >= pci->n_bars) {
        return false;
    }
    io = pci->bars[bar].kind == PCI_BAR_IO;
    if (!(pci->config[PCI_COMMAND] & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEM))) {
        return false;
    }
    mask = ~(pci->bars[bar].size - 1);
    value = (p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24) & mask;
    if (value == 0 || value == mask) { /* unset, or being sized with all ones */
        return false;
    }
    *base = value;
    return true;
}

bool pci_bar_contains(const PciDev *pci, unsigned bar, uint64_t addr, uint64_t *off, size_t *len)
{
    uint64_t base;

    if (!pci_bar_base(pci, bar, &base) || addr < base || addr - base >= pci->bars[bar].size) {
        return false;
    }
    *off = addr - base;
    *len = MIN(*len, pci->bars[bar].size - *off);
    return true;
}
