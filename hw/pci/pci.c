/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One conventional PCI function (PCI Local Bus 3.0, chapter 6): its 256 config bytes and its
 * interrupt pin. The BAR door is pci-bar.c.
 *
 * Config space is bytes with two masks: a write changes the bits in wmask, and clears those set
 * in it that are in w1cmask; everything else is read-only. That makes BAR sizing work by itself
 * (the address bits below a BAR's size are not writable) and an unimplemented BAR or reserved
 * register reads 0 whatever is written. Two things are more than storage: the interrupt status
 * bit, which follows the pin, and INTX_OFF, which cuts the pin off from the host.
 *
 * An I/O BAR implements all 32 address bits, not only the 16 that x86 has: the stock VMM takes
 * the two's complement of the 32-bit sizing value for the size.
 *
 * Set up by the device on the main thread; then all on the machine's thread, called by the verbs
 * (remote/machine.c) from above and by the device (interrupt, DMA) from below.
 */
#include "hw/pci/pci.h"
#include "pci-bytes.h"
#include "util/error.h"
#include "util/trace.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PCI_BAR_IO_FLAG 0x1u

/* PCI PM 1.1, 3.2: version 2, D1 and D2 supported; PMCSR's power state bits. */
#define PCI_PM_PMC 2
#define PCI_PM_PMC_VALUE 0x0602
#define PCI_PM_CTRL 4
#define PCI_PM_CTRL_STATE 0x03

/* --- set-up --- */

static void bar_init(PciDev *pci, unsigned i)
{
    const PciBar *bar = &pci->bars[i];
    unsigned at = PCI_BAR0 + 4 * i;

    g_assert(bar->size >= 16 && (bar->size & (bar->size - 1)) == 0);
    g_assert(bar->min >= 1 && bar->min <= bar->max && bar->max <= 8);
    pci->config[at] = bar->kind == PCI_BAR_IO ? PCI_BAR_IO_FLAG : 0;
    put32(&pci->wmask[at], ~(bar->size - 1));
}

static void set_bars(PciDev *pci, const PciBar *bars, unsigned n)
{
    pci->bars = bars;
    pci->n_bars = n;
    for (unsigned i = 0; i < n; i++) {
        if (bars[i].kind != PCI_BAR_NONE) {
            bar_init(pci, i);
        }
    }
}

/* "SLOT[.FUNCTION]", both hexadecimal. */
static bool parse_addr(PciDev *pci, GError **errp)
{
    unsigned long slot, function = 0;
    char *end = pci->addr;

    pci->devfn = -1;
    if (!pci->addr) {
        return true;
    }
    slot = g_ascii_isxdigit(*end) ? strtoul(end, &end, 16) : ULONG_MAX;
    if (*end == '.' && g_ascii_isxdigit(end[1])) {
        function = strtoul(end + 1, &end, 16);
    }
    if (slot >= 32 || function >= 8 || *end) {
        return error_set(errp, "Parameter 'addr' expects SLOT[.FUNCTION], up to 1f.7");
    }
    pci->devfn = slot << 3 | function;
    return true;
}

bool pci_dev_init(PciDev *pci, Device *dev, const PciDevOps *ops, GError **errp)
{
    uint8_t *config = pci->config;
    unsigned n_bars = 0;

    pci->dev = dev;
    pci->ops = ops;
    put16(config + PCI_VENDOR_ID, ops->vendor);
    put16(config + PCI_DEVICE_ID, ops->device);
    put16(config + PCI_SUBSYS_VENDOR, ops->subsys_vendor);
    put16(config + PCI_SUBSYS_ID, ops->subsys);
    config[PCI_REVISION] = ops->revision;
    config[PCI_CLASS_PROG] = ops->class_code;
    put16(config + PCI_CLASS_DEVICE, ops->class_code >> 8);
    config[PCI_INT_PIN] = ops->int_pin;

    put16(pci->wmask + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER |
                                        PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
                                        PCI_COMMAND_INTX_OFF);
    put16(pci->w1cmask + PCI_STATUS, PCI_STATUS_W1C);
    pci->wmask[PCI_CACHE_LINE] = 0xff;
    pci->wmask[PCI_LATENCY] = 0xff;
    pci->wmask[PCI_INT_LINE] = 0xff;

    while (n_bars < PCI_NUM_BARS && ops->bars[n_bars].kind != PCI_BAR_NONE) {
        n_bars++;
    }
    set_bars(pci, ops->bars, n_bars);
    return parse_addr(pci, errp);
}

void pci_dev_set_bars(PciDev *pci, const PciBar *bars)
{
    set_bars(pci, bars, PCI_NUM_BARS);
}

/* The list as this host can have it, the newest first. */
static void link_caps(PciDev *pci)
{
    bool messages = pci->host && pci->host->ops->signal;
    uint8_t head = 0;

    for (unsigned i = 0; i < pci->n_caps; i++) {
        if (messages || !pci->caps[i].messages) {
            pci->config[pci->caps[i].offset + 1] = head;
            head = pci->caps[i].offset;
        }
    }
    pci->config[PCI_CAP_PTR] = head;
    pci->config[PCI_STATUS] &= ~PCI_STATUS_CAPS;
    pci->config[PCI_STATUS] |= head ? PCI_STATUS_CAPS : 0;
}

void pci_add_capability(PciDev *pci, uint8_t id, uint8_t offset, uint8_t size)
{
    g_assert(offset >= 0x40 && offset % 4 == 0 && size >= 2 && offset + size <= PCI_CONFIG_SIZE);
    memset(pci->config + offset, 0, size);
    memset(pci->wmask + offset, 0, size);
    memset(pci->w1cmask + offset, 0, size);
    g_assert(pci->n_caps < G_N_ELEMENTS(pci->caps));
    pci->config[offset] = id;
    pci->caps[pci->n_caps++].offset = offset;
    link_caps(pci);
}

void pci_cap_needs_messages(PciDev *pci, uint8_t offset)
{
    for (unsigned i = 0; i < pci->n_caps; i++) {
        if (pci->caps[i].offset == offset) {
            pci->caps[i].messages = true;
        }
    }
    link_caps(pci);
}

void pci_add_pm_capability(PciDev *pci, uint8_t offset)
{
    pci_add_capability(pci, PCI_CAP_ID_PM, offset, PCI_PM_CAP_SIZE);
    put16(pci->config + offset + PCI_PM_PMC, PCI_PM_PMC_VALUE);
    pci->wmask[offset + PCI_PM_CTRL] = PCI_PM_CTRL_STATE;
}

static void set_host(PciDev *pci, const PciHost *host)
{
    pci->host = host;
    pci->loop = host ? host->loop : NULL;
    pci->mem = host ? host->mem : NULL;
    link_caps(pci);
}

bool pci_dev_attach(PciDev *pci, const PciHost *host, GError **errp)
{
    set_host(pci, host);
    if (pci->ops->attach(pci, errp)) {
        return true;
    }
    set_host(pci, NULL);
    return false;
}

void pci_dev_detach(PciDev *pci)
{
    pci->ops->detach(pci);
    set_host(pci, NULL);
}

/* --- interrupt --- */

static void irq_update(PciDev *pci)
{
    bool out = pci->irq_level && !(get16(pci->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF);

    if (out != pci->irq_out) {
        pci->irq_out = out;
        trace(IRQ, "%s: INTA# %d", pci_dev_name(pci), out);
        pci->host->ops->set_irq(pci->host->opaque, pci, out);
    }
}

void pci_irq_set(PciDev *pci, bool level)
{
    if (level == pci->irq_level) {
        return;
    }
    pci->irq_level = level;
    if (level) {
        pci->config[PCI_STATUS] |= PCI_STATUS_INTX;
    } else {
        pci->config[PCI_STATUS] &= ~PCI_STATUS_INTX;
    }
    irq_update(pci);
}

/* --- reset --- */

void pci_dev_reset(PciDev *pci)
{
    pci_irq_set(pci, false);
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
        pci->config[i] &= ~(pci->wmask[i] | pci->w1cmask[i]);
    }
    pci->ops->reset(pci);
}

/* --- config space --- */

uint32_t pci_cfg_read(PciDev *pci, unsigned addr, unsigned len)
{
    uint32_t value = 0;

    if (pci->ops->cfg_read) {
        return pci->ops->cfg_read(pci, addr, len);
    }
    for (unsigned i = 0; i < len; i++) {
        value |= (uint32_t)pci->config[addr + i] << (8 * i);
    }
    trace(PCI, "%s: config 0x%02x/%u -> 0x%x", pci_dev_name(pci), addr, len, value);
    return value;
}

void pci_cfg_write(PciDev *pci, unsigned addr, uint32_t value, unsigned len)
{
    trace(PCI, "%s: config 0x%02x/%u <- 0x%x", pci_dev_name(pci), addr, len, value);
    for (unsigned i = 0; i < len; i++) {
        unsigned at = addr + i;
        uint8_t byte = value >> (8 * i);

        pci->config[at] = (pci->config[at] & ~pci->wmask[at]) | (byte & pci->wmask[at]);
        pci->config[at] &= ~(byte & pci->w1cmask[at]);
    }
    irq_update(pci); /* INTX_OFF may have changed */
    if (pci->ops->cfg_write) {
        pci->ops->cfg_write(pci, addr, value, len);
    }
}

/* --- state --- */

void pci_dev_save(const PciDev *pci, GByteArray *out)
{
    g_byte_array_append(out, pci->config, PCI_CONFIG_SIZE);
}

/* Neither for the guest nor for the host to change: what the function is. */
static bool is_fixed(unsigned at)
{
    return at < PCI_COMMAND || (at >= PCI_REVISION && at < PCI_CACHE_LINE);
}

const uint8_t *pci_dev_check(const PciDev *pci, StreamIn *in)
{
    const uint8_t *config = stream_get_bytes(in, "config", PCI_CONFIG_SIZE);

    for (unsigned i = 0; config && i < PCI_CONFIG_SIZE; i++) {
        if (is_fixed(i) && config[i] != pci->config[i]) {
            stream_fail(in, "saved state is of a device %04x:%04x revision %02x, not of '%s'",
                        get16(config + PCI_VENDOR_ID), get16(config + PCI_DEVICE_ID),
                        config[PCI_REVISION], pci_dev_name(pci));
            return NULL;
        }
    }
    return config;
}

/* Through the guest's own door: what it can't write, the stream can't either. */
void pci_dev_load(PciDev *pci, const uint8_t *config)
{
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
        if (pci->wmask[i]) {
            pci_cfg_write(pci, i, config[i], 1);
        }
    }
}

/* --- DMA --- */

int pci_dma_read(PciDev *pci, uint64_t gpa, void *buf, size_t len)
{
    if (!pci_bus_master(pci)) {
        return -EPERM;
    }
    return guest_memory_read(pci->mem, gpa, buf, len);
}

int pci_dma_write(PciDev *pci, uint64_t gpa, const void *buf, size_t len)
{
    if (!pci_bus_master(pci)) {
        return -EPERM;
    }
    return guest_memory_write(pci->mem, gpa, buf, len);
}

void *pci_dma_ptr(PciDev *pci, uint64_t gpa, size_t *len)
{
    return pci_bus_master(pci) ? guest_memory_ptr(pci->mem, gpa, len, true, NULL) : NULL;
}
