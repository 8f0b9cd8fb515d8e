/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port I/O. A table of the board's own ports comes first, then the I/O BARs of the PCI bus; what
 * nobody has reads all ones.
 *
 * An access goes to its owner whole if the owner takes accesses of that width and it doesn't cross
 * the owner's end; else it is cut into bytes, as the ISA bridge does for 8-bit devices, and each
 * goes to whoever has that port. Port 0xcf9 lies within the configuration address register, which
 * is a dword's alone: a byte there is the reset control register (PIIX3, 4.2.8.1), whose bit 2
 * changing from 0 to 1 resets the machine.
 *
 * On the board's thread; the accelerator's vCPU or tester is the one who accesses.
 */
#include "hw/i386/pc-internal.h"

#define RESET_CPU 0x04
#define RESET_BITS 0x06
#define EXIT_AS_RESET 0

typedef struct PcPort {
    uint16_t port, count;
    uint8_t sizes; /* that it takes: a mask of 1, 2 and 4 */
    uint32_t (*read)(Pc *pc, unsigned off, unsigned size);
    void (*write)(Pc *pc, unsigned off, uint32_t value, unsigned size);
} PcPort;

static void guest_exit(Pc *pc, int code)
{
    if (pc->sink.guest_exit) {
        pc->sink.guest_exit(pc->sink.opaque, code);
    }
}

static uint32_t config_address_read(Pc *pc, unsigned off G_GNUC_UNUSED, unsigned size G_GNUC_UNUSED)
{
    return pc->config_address;
}

static void config_address_write(Pc *pc, unsigned off G_GNUC_UNUSED, uint32_t value,
                                 unsigned size G_GNUC_UNUSED)
{
    pc->config_address = value;
}

static uint32_t reset_read(Pc *pc, unsigned off G_GNUC_UNUSED, unsigned size G_GNUC_UNUSED)
{
    return pc->reset_control;
}

static void reset_write(Pc *pc, unsigned off G_GNUC_UNUSED, uint32_t value,
                        unsigned size G_GNUC_UNUSED)
{
    bool reset = value & ~pc->reset_control & RESET_CPU;

    pc->reset_control = value & RESET_BITS;
    if (reset) {
        guest_exit(pc, EXIT_AS_RESET);
    }
}

static uint32_t serial_read(Pc *pc, unsigned off, unsigned size G_GNUC_UNUSED)
{
    return pc_serial_read(&pc->serial, off);
}

static void serial_write(Pc *pc, unsigned off, uint32_t value, unsigned size G_GNUC_UNUSED)
{
    pc_serial_write(&pc->serial, off, value);
}

/* What the port reads tells a guest that there is somebody to talk to. */
static uint32_t debug_read(Pc *pc G_GNUC_UNUSED, unsigned off G_GNUC_UNUSED,
                           unsigned size G_GNUC_UNUSED)
{
    return PC_DEBUG_PORT;
}

static void debug_write(Pc *pc, unsigned off G_GNUC_UNUSED, uint32_t value,
                        unsigned size G_GNUC_UNUSED)
{
    if (!pc_output_put(&pc->debug, value)) {
        log_limited(&pc->limit, NULL, "output of the debug port is dropped: nobody takes it");
    }
}

static uint32_t exit_read(Pc *pc G_GNUC_UNUSED, unsigned off G_GNUC_UNUSED,
                          unsigned size G_GNUC_UNUSED)
{
    return 0;
}

static void exit_write(Pc *pc, unsigned off G_GNUC_UNUSED, uint32_t value,
                       unsigned size G_GNUC_UNUSED)
{
    guest_exit(pc, (value << 1 | 1) & 0xff);
}

/* The first that fits has it: the reset register is within the configuration address. */
static const PcPort ports[] = {
    { PC_DEBUG_PORT, 1, 1, debug_read, debug_write },
    { PC_SERIAL_PORT, 8, 1, serial_read, serial_write },
    { PC_EXIT_PORT, PC_EXIT_PORTS, 1 | 2 | 4, exit_read, exit_write },
    { PC_PORT_CFG_ADDRESS, 4, 4, config_address_read, config_address_write },
    { PC_RESET_PORT, 1, 1, reset_read, reset_write },
    { PC_PORT_CFG_DATA, 4, 1 | 2 | 4, pc_config_read, pc_config_write },
};

static const PcPort *find_port(uint16_t port, unsigned size)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++) {
        const PcPort *p = &ports[i];

        if ((p->sizes & size) && port >= p->port && port + size <= (unsigned)p->port + p->count) {
            return p;
        }
    }
    return NULL;
}

static uint32_t ones(unsigned size)
{
    return size == 4 ? UINT32_MAX : (1u << (8 * size)) - 1;
}

static bool size_ok(unsigned size)
{
    return size == 1 || size == 2 || size == 4;
}

uint32_t pc_pio_read(Pc *pc, uint16_t port, unsigned size)
{
    const PcPort *p = find_port(port, size);
    uint32_t value = 0;
    PciDev *dev;
    unsigned bar;
    uint64_t off;

    if (!size_ok(size)) {
        return UINT32_MAX;
    }
    if (p) {
        return p->read(pc, port - p->port, size) & ones(size);
    }
    if (pci_bus_decode(&pc->bus, port, size, false, &dev, &bar, &off)) {
        return pci_bar_read(dev, bar, off, size);
    }
    if (size == 1) {
        return ones(1);
    }
    for (unsigned i = 0; i < size; i++) {
        value |= pc_pio_read(pc, port + i, 1) << (8 * i);
    }
    return value;
}

void pc_pio_write(Pc *pc, uint16_t port, uint32_t value, unsigned size)
{
    const PcPort *p = find_port(port, size);
    PciDev *dev;
    unsigned bar;
    uint64_t off;

    if (!size_ok(size)) {
        return;
    }
    value &= ones(size);
    if (p) {
        p->write(pc, port - p->port, value, size);
    } else if (pci_bus_decode(&pc->bus, port, size, false, &dev, &bar, &off)) {
        pci_bar_write(dev, bar, off, value, size);
    } else if (size > 1) {
        for (unsigned i = 0; i < size; i++) {
            pc_pio_write(pc, port + i, (value >> (8 * i)) & 0xff, 1);
        }
    }
}
