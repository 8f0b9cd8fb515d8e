/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stock profile's board: a small PC. RAM from a memfd, an i440FX-style PCI host bridge (ports
 * 0xcf8, 0xcfc), a PIIX3-style ISA bridge that routes PIRQA-D, a 16550 at 0x3f8, the debug port
 * 0xe9, isa-debug-exit at 0x501 (iobase=, iosize= of QEMU's device are fixed at these).
 *
 * The board has no CPU: an accelerator (accel/) drives it by the accesses below and takes its
 * interrupt lines. Everything runs on the board's thread, which runs the board's loop; a vCPU
 * thread comes in by loop_call().
 */
#ifndef HW_I386_PC_H
#define HW_I386_PC_H

#include "hw/core/memory-map.h"
#include "hw/pci/pci-bus.h"
#include "util/loop.h"

typedef struct Pc Pc;

#define PC_GSIS 24 /* 0-15 the ISA lines, also PIRQ's; 16-23 unused */

/* What an accelerator takes from the board. On the board's thread. */
typedef struct PcSink {
    /* A GSI's level has changed (wired OR of its sources). */
    void (*set_gsi)(void *opaque, unsigned gsi, bool level);
    /* Optional, as PciHostOps.bind_irqfd: on gsi now (routing may move it: called again, with
     * gsi -1 for the old one first). */
    int (*bind_irqfd)(void *opaque, int gsi, int irqfd, int resamplefd);
    /* The guest wrote isa-debug-exit (code = value << 1 | 1, as QEMU's exits), or asked for reset
     * or power-off. */
    void (*guest_exit)(void *opaque, int code);
    void *opaque;
} PcSink;

typedef struct PcConfig {
    uint64_t ram_size; /* bytes, page aligned, at most 3 GiB */
    int serial_in;     /* descriptors, not owned; -1: none */
    int serial_out;
    int debug_out; /* of port 0xe9 */
} PcConfig;

/* Main thread. loop stays the caller's. */
Pc *pc_new(Loop *loop, const PcConfig *config, GError **errp);
void pc_free(Pc *pc);
/* Main thread, before the board's thread runs: puts dev on the root bus and attaches it. devfn -1:
 * the first free slot. */
bool pc_add_device(Pc *pc, PciDev *dev, int devfn, GError **errp);
/* Main thread, before anything is driven, and before a device is added that brings an irqfd; an
 * empty one when what is behind the present one goes. */
void pc_set_sink(Pc *pc, const PcSink *sink);

Loop *pc_loop(const Pc *pc);
MemoryMap *pc_memory(const Pc *pc);
int pc_ram_fd(const Pc *pc); /* the memfd; RAM is one section, GPA = offset */
uint64_t pc_ram_size(const Pc *pc);

/* Port I/O, size 1, 2 or 4; nobody there: all ones / dropped. */
uint32_t pc_pio_read(Pc *pc, uint16_t port, unsigned size);
void pc_pio_write(Pc *pc, uint16_t port, uint32_t value, unsigned size);
/* Physical memory, MMIO and PCI BARs included. */
void pc_mem_read(Pc *pc, uint64_t addr, void *buf, size_t len);
void pc_mem_write(Pc *pc, uint64_t addr, const void *buf, size_t len);
/* Drains and resets every device and the board; done from the loop. */
void pc_reset(Pc *pc, LoopFn *done, void *opaque);
/* Drains every device (flush); done from the loop. */
void pc_stop(Pc *pc, LoopFn *done, void *opaque);

#endif
