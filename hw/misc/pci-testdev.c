/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-pci-testdev: a function that does on command what devices do, for tests of everything around
 * a device: INTA#, MSI and MSI-X vectors, DMA of a dword, deferred work. No shipped profile has it.
 *
 * DMA is done at once, from within the register access: guest memory is mapped, so nothing waits.
 * On the machine's thread.
 */
#include "hw/misc/pci-testdev.h"
#include "hw/pci/msi.h"
#include <errno.h>

typedef struct TestDev {
    PciDev pci;
    PciMsi msi;
    PciMsix msix;
    uint32_t dma_lo, dma_hi, dma_error, count, pending_count, scratch;
    LoopWork count_work;
    LoopWork idle_work;
    LoopFn *idle;
    void *idle_opaque;
} TestDev;

static void add_count(void *opaque)
{
    TestDev *s = opaque;

    s->count += s->pending_count;
    s->pending_count = 0;
}

static uint64_t dma_addr(const TestDev *s)
{
    return (uint64_t)s->dma_hi << 32 | s->dma_lo;
}

static uint64_t regs_read(PciDev *pci, uint64_t off, unsigned size G_GNUC_UNUSED)
{
    TestDev *s = (TestDev *)pci;
    uint32_t value = 0;

    switch (off) {
    case TESTDEV_ID:
        return TESTDEV_ID_VALUE;
    case TESTDEV_INTX:
        return pci->irq_level;
    case TESTDEV_DMA_LO:
        return s->dma_lo;
    case TESTDEV_DMA_HI:
        return s->dma_hi;
    case TESTDEV_DMA_DATA:
        s->dma_error = -pci_dma_read(pci, dma_addr(s), &value, sizeof(value));
        return value;
    case TESTDEV_DMA_ERROR:
        return s->dma_error;
    case TESTDEV_COUNT:
        return s->count;
    case TESTDEV_SCRATCH:
        return s->scratch;
    default:
        return 0;
    }
}

static void regs_write(PciDev *pci, uint64_t off, uint64_t value, unsigned size G_GNUC_UNUSED)
{
    TestDev *s = (TestDev *)pci;
    uint32_t data = value;

    switch (off) {
    case TESTDEV_INTX:
        pci_irq_set(pci, value & 1);
        break;
    case TESTDEV_MSI:
        pci_msi_notify(&s->msi, value);
        break;
    case TESTDEV_MSIX:
        pci_msix_notify(&s->msix, value);
        break;
    case TESTDEV_DMA_LO:
        s->dma_lo = value;
        break;
    case TESTDEV_DMA_HI:
        s->dma_hi = value;
        break;
    case TESTDEV_DMA_DATA:
        s->dma_error = -pci_dma_write(pci, dma_addr(s), &data, sizeof(data));
        break;
    case TESTDEV_COUNT:
        s->pending_count += value;
        loop_defer(&s->count_work);
        break;
    case TESTDEV_SCRATCH:
        s->scratch = value;
        break;
    default:
        break;
    }
}

static uint64_t table_read(PciDev *pci, uint64_t off, unsigned size)
{
    uint64_t value;

    pci_msix_bar_read(&((TestDev *)pci)->msix, off, size, &value);
    return value;
}

static void table_write(PciDev *pci, uint64_t off, uint64_t value, unsigned size)
{
    pci_msix_bar_write(&((TestDev *)pci)->msix, off, value, size);
}

static void cfg_write(PciDev *pci, unsigned addr G_GNUC_UNUSED, uint32_t value G_GNUC_UNUSED,
                      unsigned len G_GNUC_UNUSED)
{
    TestDev *s = (TestDev *)pci;

    pci_msi_written(&s->msi);
    pci_msix_written(&s->msix);
}

static void on_idle(void *opaque)
{
    TestDev *s = opaque;

    s->idle(s->idle_opaque);
}

static bool attach(PciDev *pci, GError **errp G_GNUC_UNUSED)
{
    TestDev *s = (TestDev *)pci;

    loop_work_init(&s->count_work, pci->loop, add_count, s);
    loop_work_init(&s->idle_work, pci->loop, on_idle, s);
    return true;
}

static void detach(PciDev *pci)
{
    loop_work_cancel(&((TestDev *)pci)->count_work);
}

static void drain(PciDev *pci, LoopFn *idle, void *opaque)
{
    TestDev *s = (TestDev *)pci;

    loop_work_cancel(&s->count_work);
    s->idle = idle;
    s->idle_opaque = opaque;
    loop_defer(&s->idle_work);
}

static void reset(PciDev *pci)
{
    TestDev *s = (TestDev *)pci;

    s->dma_lo = s->dma_hi = s->dma_error = s->count = s->pending_count = s->scratch = 0;
    pci_msix_reset(&s->msix);
    pci_msi_written(&s->msi);
}

static const PciBar bars[] = {
    { .kind = PCI_BAR_MEM32,
      .size = TESTDEV_BAR_SIZE,
      .min = 4,
      .max = 4,
      .read = regs_read,
      .write = regs_write },
    { .kind = PCI_BAR_MEM32,
      .size = TESTDEV_BAR_SIZE,
      .min = 1,
      .max = 8,
      .read = table_read,
      .write = table_write },
    { .kind = PCI_BAR_NONE },
};

static const PciDevOps ops = {
    .vendor = 0x1b36, /* Red Hat's, with the id that QEMU's documentation leaves to test devices */
    .device = 0x0005,
    .class_code = 0x00ff00,
    .int_pin = 1,
    .bars = bars,
    .attach = attach,
    .detach = detach,
    .drain = drain,
    .reset = reset,
    .cfg_write = cfg_write,
};

static bool realize(Device *dev, GError **errp)
{
    TestDev *s = dev->state;

    if (!pci_dev_init(&s->pci, dev, &ops, errp)) {
        return false;
    }
    pci_msi_init(&s->msi, &s->pci, 0x50, TESTDEV_VECTORS);
    pci_msix_init(&s->msix, &s->pci, 0x70, TESTDEV_VECTORS, 1, 0, TESTDEV_PBA);
    return true;
}

static void unrealize(Device *dev)
{
    pci_msix_fini(&((TestDev *)dev->state)->msix);
}

static const OptDesc props[] = { PCI_DEV_PROPS, { .type = OPT_END } };

const DeviceType pci_testdev_type = {
    .name = "x-pci-testdev",
    .desc = "PCI function for tests",
    .bus_kind = BUS_PCI,
    .props = props,
    .size = sizeof(TestDev),
    .realize = realize,
    .unrealize = unrealize,
};
