/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board: what a PCI function of this tree needs to live in a machine of its own, and no more.
 * One section of RAM from address 0 up, below a PCI hole that begins at 3 GiB at the latest; a
 * root bus with the two bridges and what was added; ports (pc-ports.c); interrupts (pc-irq.c).
 *
 * RAM is a memfd that can't shrink or grow, so that it can be handed to a remote process by the
 * proxy object. Devices here reach it by the same GuestMemory as in a remote process, mapped from
 * that file; the CPU's view, the memory map, uses that mapping, too.
 *
 * A CPU's access to memory goes to the memory map where that has something, else to the BAR that
 * decodes it, else to nobody. A PCI address is thus covered by RAM, as the chip set would have it.
 *
 * Reset and stop drain every device first; both may wait for the same drain. The bridges have
 * nothing that could be drained, and are no devices in this sense.
 *
 * Built and freed on the main thread, else all on the board's.
 */
#include "hw/i386/pc.h"
#include "hw/i386/pc-internal.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PC_NAME "pc"
#define PC_RAM_MAX (UINT64_C(3) << 30) /* the PCI hole begins there */

static void serial_irq(void *opaque, bool level)
{
    Pc *pc = opaque;

    pc->serial_irq = level;
    pc_irq_update(pc);
}

/* --- set-up --- */

static int make_ram(uint64_t size, GError **errp)
{
    AUTO_FD fd = memfd_create("pc.ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        error_set(errp, "can't make %" G_GUINT64_FORMAT " bytes of memory for the guest: %s", size,
                  g_strerror(errno));
        return -1;
    }
    return fd_steal(&fd);
}

static bool map_ram(Pc *pc, GError **errp)
{
    GuestMap map = { .size = pc->ram_size };
    MemorySection section = { .size = pc->ram_size, .kind = MEMORY_RAM };
    size_t len = pc->ram_size;

    pc->ram_fd = make_ram(pc->ram_size, errp);
    if (pc->ram_fd < 0) {
        return false;
    }
    map.fd = pc->ram_fd;
    if (!guest_memory_map(pc->mem, &map, errp)) {
        return false;
    }
    section.fd = pc->ram_fd;
    section.host = guest_memory_ptr(pc->mem, 0, &len, true, NULL);
    return memory_map_add(pc->map, &section);
}

static bool check_ram_size(uint64_t size, GError **errp)
{
    uint64_t page = sysconf(_SC_PAGESIZE);

    if (size == 0 || size > PC_RAM_MAX || size % page) {
        return error_set(errp,
                         "memory size must be a multiple of %" G_GUINT64_FORMAT
                         " bytes, at most 3 GiB, not %" G_GUINT64_FORMAT " bytes",
                         page, size);
    }
    return true;
}

static void on_drained(void *opaque);
static void board_reset(Pc *pc);

Pc *pc_new(Loop *loop, const PcConfig *config, GError **errp)
{
    Pc *pc;

    if (!check_ram_size(config->ram_size, errp)) {
        return NULL;
    }
    pc = g_new0(Pc, 1);
    pc->loop = loop;
    pc->ram_fd = -1;
    pc->ram_size = config->ram_size;
    pc->map = memory_map_new();
    pc->mem = guest_memory_new(PC_NAME);
    pc->devices = g_ptr_array_new();
    pc->host = (PciHost){
        .ops = &pc_pci_host_ops, .opaque = pc, .loop = loop, .mem = pc->mem, .map = pc->map
    };
    loop_work_init(&pc->drained, loop, on_drained, pc);
    pc_irq_init(pc);
    pc_host_bridge_init(pc);
    pc_isa_bridge_init(pc);
    pc_serial_init(&pc->serial, loop, config->serial_in, config->serial_out, serial_irq, pc);
    pc_output_init(&pc->debug, loop, config->debug_out, NULL, NULL);
    board_reset(pc);
    if (!map_ram(pc, errp)) {
        pc_free(pc);
        return NULL;
    }
    return pc;
}

void pc_free(Pc *pc)
{
    if (!pc) {
        return;
    }
    g_assert(!pc->draining);
    for (unsigned i = pc->devices->len; i > 0; i--) {
        PciDev *dev = g_ptr_array_index(pc->devices, i - 1);

        pci_dev_detach(dev);
        pci_bus_unplug(&pc->bus, dev);
    }
    g_ptr_array_free(pc->devices, TRUE);
    loop_work_cancel(&pc->drained);
    pc_serial_fini(&pc->serial);
    pc_output_fini(&pc->debug);
    memory_map_free(pc->map);
    guest_memory_free(pc->mem);
    fd_clear(&pc->ram_fd);
    g_free(pc);
}

bool pc_add_device(Pc *pc, PciDev *dev, int devfn, GError **errp)
{
    if (dev->loop) {
        return error_set(errp, "device '%s' is in use already", pci_dev_name(dev));
    }
    if (!pci_bus_plug(&pc->bus, dev, devfn)) {
        if (devfn < 0) {
            return error_set(errp, "there is no free PCI slot for device '%s'", pci_dev_name(dev));
        }
        return error_set(errp, "PCI address %02x.%x is not free for device '%s'", devfn >> 3,
                         devfn & 7, pci_dev_name(dev));
    }
    if (!pci_dev_attach(dev, &pc->host, errp)) {
        pci_bus_unplug(&pc->bus, dev);
        return false;
    }
    g_ptr_array_add(pc->devices, dev);
    return true;
}

void pc_set_sink(Pc *pc, const PcSink *sink)
{
    pc->sink = *sink;
    /* What the one before had is gone with it. */
    for (unsigned devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
        pc->irqfd[devfn].gsi = -1;
    }
}

Loop *pc_loop(const Pc *pc)
{
    return pc->loop;
}

MemoryMap *pc_memory(const Pc *pc)
{
    return pc->map;
}

int pc_ram_fd(const Pc *pc)
{
    return pc->ram_fd;
}

uint64_t pc_ram_size(const Pc *pc)
{
    return pc->ram_size;
}

/* --- memory --- */

/* The widest access at addr that fits in len: whole, if the CPU has one of that width. */
static unsigned part_size(uint64_t addr, size_t len)
{
    unsigned size = 8;

    if (len == 1 || len == 2 || len == 4 || len == 8) {
        return len;
    }
    while (size > len || addr % size) {
        size /= 2;
    }
    return size;
}

static void bar_access_bytes(Pc *pc, uint64_t addr, uint8_t *p, unsigned size, bool write);

/* One access outside the memory map. Across the end of a BAR it is one of bytes. */
static void bar_access(Pc *pc, uint64_t addr, uint8_t *p, unsigned size, bool write)
{
    PciDev *dev;
    unsigned bar;
    uint64_t off, value = 0;

    if (!pci_bus_decode(&pc->bus, addr, size, true, &dev, &bar, &off)) {
        bar_access_bytes(pc, addr, p, size, write);
    } else if (write) {
        memcpy(&value, p, size);
        pci_bar_write(dev, bar, off, GUINT64_FROM_LE(value), size);
    } else {
        value = GUINT64_TO_LE(pci_bar_read(dev, bar, off, size));
        memcpy(p, &value, size);
    }
}

static void bar_access_bytes(Pc *pc, uint64_t addr, uint8_t *p, unsigned size, bool write)
{
    if (size == 1) {
        if (!write) {
            *p = 0xff;
        }
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        bar_access(pc, addr + i, p + i, 1, write);
    }
}

static void bus_access(Pc *pc, uint64_t addr, uint8_t *p, size_t len, bool write)
{
    while (len > 0) {
        unsigned size = part_size(addr, len);

        bar_access(pc, addr, p, size, write);
        addr += size;
        p += size;
        len -= size;
    }
}

void pc_mem_read(Pc *pc, uint64_t addr, void *buf, size_t len)
{
    uint8_t *p = buf;

    while (len > 0) {
        bool there;
        size_t n = memory_map_span(pc->map, addr, len, &there);

        if (there) {
            memory_map_read(pc->map, addr, p, n);
        } else {
            bus_access(pc, addr, p, n, false);
        }
        addr += n;
        p += n;
        len -= n;
    }
}

void pc_mem_write(Pc *pc, uint64_t addr, const void *buf, size_t len)
{
    const uint8_t *p = buf;

    while (len > 0) {
        bool there;
        size_t n = memory_map_span(pc->map, addr, len, &there);

        if (there) {
            memory_map_write(pc->map, addr, p, n);
        } else {
            bus_access(pc, addr, (uint8_t *)p, n, true);
        }
        addr += n;
        p += n;
        len -= n;
    }
}

/* --- reset and stop --- */

/* The board without its devices. */
static void board_reset(Pc *pc)
{
    pc->config_address = 0;
    pc->reset_control = 0;
    pci_dev_reset(&pc->host_bridge);
    pci_dev_reset(&pc->isa_bridge);
    pc_serial_reset(&pc->serial);
    pc_irq_rebind(pc);
    pc_irq_update(pc);
}

static void on_drained(void *opaque)
{
    Pc *pc = opaque;
    LoopFn *reset_done = g_steal_pointer(&pc->reset_done);
    LoopFn *stop_done = g_steal_pointer(&pc->stop_done);

    if (reset_done) {
        for (unsigned i = 0; i < pc->devices->len; i++) {
            pci_dev_reset(g_ptr_array_index(pc->devices, i));
        }
        board_reset(pc);
        reset_done(pc->reset_opaque);
    }
    if (stop_done) {
        stop_done(pc->stop_opaque);
    }
}

/* From the loop, and not from the last device's callback. */
static void one_idle(void *opaque)
{
    Pc *pc = opaque;

    g_assert(pc->draining > 0);
    if (--pc->draining == 0) {
        loop_defer(&pc->drained);
    }
}

static void drain(Pc *pc)
{
    if (pc->draining || loop_work_queued(&pc->drained)) {
        return;
    }
    pc->draining = pc->devices->len + 1;
    for (unsigned i = 0; i < pc->devices->len; i++) {
        PciDev *dev = g_ptr_array_index(pc->devices, i);

        dev->ops->drain(dev, one_idle, pc);
    }
    one_idle(pc);
}

void pc_reset(Pc *pc, LoopFn *done, void *opaque)
{
    g_assert(!pc->reset_done);
    pc->reset_done = done;
    pc->reset_opaque = opaque;
    drain(pc);
}

void pc_stop(Pc *pc, LoopFn *done, void *opaque)
{
    g_assert(!pc->stop_done);
    pc->stop_done = done;
    pc->stop_opaque = opaque;
    drain(pc);
}
