/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small PCI function for tests of what is above it: BAR 0 16 bytes of I/O, BAR 1 4 KiB of
 * memory; both are plain storage that takes 1 to 4 bytes at a time and records its accesses.
 * Register 8 of BAR 0 is the interrupt level; a write to register 12 defers work that adds one to
 * register 12. drain() is idle at once, or when the test says so.
 */
#ifndef TESTS_FAKE_PCI_H
#define TESTS_FAKE_PCI_H

#include "hw/pci/pci.h"
#include <string.h>

#define FAKE_IO_SIZE 16
#define FAKE_MEM_SIZE 4096
#define FAKE_REG_IRQ 8
#define FAKE_REG_WORK 12

typedef struct FakePci {
    PciDev pci;
    uint8_t io[FAKE_IO_SIZE], ram[FAKE_MEM_SIZE];
    GString *log; /* "r0+4/2 w1+10/4 " */
    LoopWork work;
    LoopWork idle_work;
    void (*idle)(void *);
    void *idle_opaque;
    bool hold_drain; /* the test calls fake_idle() */
    bool refuse_attach;
    unsigned resets, drains;
} FakePci;

static inline uint64_t fake_get(FakePci *fake, unsigned bar, uint8_t *at, uint64_t off,
                                unsigned size)
{
    uint32_t value = 0;

    g_assert_cmpuint(size, <=, 4);
    g_assert_cmpuint(off % size, ==, 0);
    memcpy(&value, at + off, size);
    g_string_append_printf(fake->log, "r%u+%u/%u ", bar, (unsigned)off, size);
    return value;
}

static inline void fake_put(FakePci *fake, unsigned bar, uint8_t *at, uint64_t off, uint64_t value,
                            unsigned size)
{
    g_assert_cmpuint(size, <=, 4);
    g_assert_cmpuint(off % size, ==, 0);
    g_assert_cmpuint(value >> (8 * size), ==, 0);
    memcpy(at + off, &value, size);
    g_string_append_printf(fake->log, "w%u+%u/%u ", bar, (unsigned)off, size);
}

static inline uint64_t fake_io_read(PciDev *pci, uint64_t off, unsigned size)
{
    FakePci *fake = (FakePci *)pci;

    return fake_get(fake, 0, fake->io, off, size);
}

static inline void fake_io_write(PciDev *pci, uint64_t off, uint64_t value, unsigned size)
{
    FakePci *fake = (FakePci *)pci;

    fake_put(fake, 0, fake->io, off, value, size);
    if (off == FAKE_REG_IRQ) {
        pci_irq_set(pci, value & 1);
    } else if (off == FAKE_REG_WORK) {
        loop_defer(&fake->work);
    }
}

static inline uint64_t fake_mem_read(PciDev *pci, uint64_t off, unsigned size)
{
    FakePci *fake = (FakePci *)pci;

    return fake_get(fake, 1, fake->ram, off, size);
}

static inline void fake_mem_write(PciDev *pci, uint64_t off, uint64_t value, unsigned size)
{
    FakePci *fake = (FakePci *)pci;

    fake_put(fake, 1, fake->ram, off, value, size);
}

static inline void fake_work(void *opaque)
{
    FakePci *fake = opaque;

    fake->io[FAKE_REG_WORK]++;
}

static inline void fake_idle(void *opaque)
{
    FakePci *fake = opaque;

    fake->idle(fake->idle_opaque);
}

static inline bool fake_attach(PciDev *pci, GError **errp)
{
    FakePci *fake = (FakePci *)pci;

    if (fake->refuse_attach) {
        g_set_error(errp, g_quark_from_static_string("test"), 0, "refused");
        return false;
    }
    loop_work_init(&fake->work, pci->loop, fake_work, fake);
    loop_work_init(&fake->idle_work, pci->loop, fake_idle, fake);
    return true;
}

static inline void fake_detach(PciDev *pci G_GNUC_UNUSED)
{
}

static inline void fake_drain(PciDev *pci, void (*idle)(void *), void *opaque)
{
    FakePci *fake = (FakePci *)pci;

    fake->drains++;
    fake->idle = idle;
    fake->idle_opaque = opaque;
    if (!fake->hold_drain) {
        loop_defer(&fake->idle_work);
    }
}

static inline void fake_reset(PciDev *pci)
{
    FakePci *fake = (FakePci *)pci;

    fake->resets++;
    memset(fake->io, 0, sizeof(fake->io));
    loop_work_cancel(&fake->work);
}

static const PciBar fake_bars[] = {
    { .kind = PCI_BAR_IO,
      .size = FAKE_IO_SIZE,
      .min = 1,
      .max = 4,
      .read = fake_io_read,
      .write = fake_io_write },
    { .kind = PCI_BAR_MEM32,
      .size = FAKE_MEM_SIZE,
      .min = 1,
      .max = 4,
      .read = fake_mem_read,
      .write = fake_mem_write },
    { .kind = PCI_BAR_NONE },
};

static const PciDevOps fake_ops = {
    .vendor = 0x1234,
    .device = 0x5678,
    .subsys_vendor = 0x9abc,
    .subsys = 0xdef0,
    .class_code = 0x010203,
    .revision = 4,
    .int_pin = 1,
    .bars = fake_bars,
    .attach = fake_attach,
    .detach = fake_detach,
    .drain = fake_drain,
    .reset = fake_reset,
};

static inline FakePci *fake_new(void)
{
    FakePci *fake = g_new0(FakePci, 1);

    pci_dev_init(&fake->pci, NULL, &fake_ops, NULL);
    fake->log = g_string_new(NULL);
    return fake;
}

static inline void fake_free(FakePci *fake)
{
    g_string_free(fake->log, TRUE);
    g_free(fake);
}

#endif
