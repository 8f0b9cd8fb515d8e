/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses as the LSI's bus master emits them. SCRIPTS, tables and data live in guest memory, in
 * the script RAM (BAR 2) or in the chip's own registers (BAR 1, and BAR 0 in I/O space): drivers of
 * the 53C810 move memory to and from the registers, Linux keeps queue pointers in script RAM.
 *
 * The own windows (their bases are kept, since each instruction's fetch asks for them) are tested
 * first and served without the bus: script RAM is a plain array, a register byte goes through the
 * same functions as the CPU's access, which only set state and never run SCRIPTS (lsi_run() is the
 * one executor and looks at the state after each instruction). Whatever else is no guest memory is
 * a master abort: -EFAULT, DSTAT.BF.
 */
#include "hw/scsi/lsi-internal.h"

#include <errno.h>
#include <string.h>

void lsi_windows_update(Lsi *s)
{
    for (unsigned bar = 0; bar < LSI_BARS; bar++) {
        LsiWindow *w = &s->window[bar];
        bool on = pci_bus_master(&s->pci) && pci_bar_base(&s->pci, bar, &w->base);

        w->size = on ? pci_bar_size(&s->pci, bar) : 0;
    }
}

/* As pci_bar_contains(), of every instruction's fetch. */
static inline bool in_window(const Lsi *s, unsigned bar, uint64_t addr, uint64_t *off, size_t *len)
{
    const LsiWindow *w = &s->window[bar];

    *off = addr - w->base;
    if (*off >= w->size) {
        return false;
    }
    *len = MIN(*len, w->size - *off);
    return true;
}

static void lsi_self_read(Lsi *s, uint64_t off, uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        buf[i] = lsi_reg_read(&s->pci, off + i, 1);
    }
}

/* Stops early when a register byte resets the chip or ends the script. */
static void lsi_self_write(Lsi *s, uint64_t off, const uint8_t *buf, size_t len)
{
    uint64_t epoch = s->epoch;

    for (size_t i = 0; i < len && s->epoch == epoch; i++) {
        lsi_reg_write(&s->pci, off + i, buf[i], 1);
    }
}

int lsi_mem_read(Lsi *s, uint64_t addr, void *buf, size_t len)
{
    uint8_t *p = buf;
    uint64_t off;

    if (!pci_bus_master(&s->pci)) {
        return -EPERM;
    }
    while (len) {
        size_t n = len;
        if (in_window(s, LSI_BAR_RAM, addr, &off, &n)) {
            memcpy(p, s->st.ram + off, n);
        } else if (in_window(s, LSI_BAR_REGS, addr, &off, &n)) {
            lsi_self_read(s, off, p, n);
        } else {
            return pci_dma_read(&s->pci, addr, p, len);
        }
        addr += n;
        p += n;
        len -= n;
    }
    return 0;
}

int lsi_mem_write(Lsi *s, uint64_t addr, const void *buf, size_t len)
{
    const uint8_t *p = buf;
    uint64_t off;

    if (!pci_bus_master(&s->pci)) {
        return -EPERM;
    }
    while (len) {
        size_t n = len;
        if (in_window(s, LSI_BAR_RAM, addr, &off, &n)) {
            memcpy(s->st.ram + off, p, n);
        } else if (in_window(s, LSI_BAR_REGS, addr, &off, &n)) {
            lsi_self_write(s, off, p, n);
        } else {
            return pci_dma_write(&s->pci, addr, p, len);
        }
        addr += n;
        p += n;
        len -= n;
    }
    return 0;
}

static bool is_own(const Lsi *s, uint64_t addr, size_t *len)
{
    uint64_t off;

    return in_window(s, LSI_BAR_RAM, addr, &off, len) ||
           in_window(s, LSI_BAR_REGS, addr, &off, len);
}

void *lsi_mem_ptr(Lsi *s, uint64_t addr, size_t *len)
{
    size_t own = *len;

    return is_own(s, addr, &own) ? NULL : pci_dma_ptr(&s->pci, addr, len);
}

bool lsi_mem_peek(Lsi *s, uint64_t addr, void *buf, size_t len)
{
    const uint8_t *ram = lsi_ram_at(s, addr, len);

    if (ram) {
        memcpy(buf, ram, len);
        return true;
    }
    return !is_own(s, addr, &len) && pci_dma_read(&s->pci, addr, buf, len) == 0;
}

int lsi_io_read(Lsi *s, uint32_t addr, void *buf, size_t len)
{
    uint64_t off;
    size_t n = len;

    if (!pci_bus_master(&s->pci)) {
        return -EPERM;
    }
    if (!in_window(s, LSI_BAR_IO, addr, &off, &n) || n < len) {
        return -EFAULT;
    }
    lsi_self_read(s, off, buf, len);
    return 0;
}

int lsi_io_write(Lsi *s, uint32_t addr, const void *buf, size_t len)
{
    uint64_t off;
    size_t n = len;

    if (!pci_bus_master(&s->pci)) {
        return -EPERM;
    }
    if (!in_window(s, LSI_BAR_IO, addr, &off, &n) || n < len) {
        return -EFAULT;
    }
    lsi_self_write(s, off, buf, len);
    return 0;
}

bool lsi_fetch32(Lsi *s, uint64_t addr, uint32_t *val)
{
    uint8_t b[4];

    if (lsi_mem_read(s, addr, b, sizeof(b))) {
        lsi_dma_irq(s, DSTAT_BF);
        return false;
    }
    *val = lsi_le32(b);
    return true;
}
