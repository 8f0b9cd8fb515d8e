/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection to a remote 53C895A, by either protocol, as the VM's half uses it: one system call
 * to each message, one answer awaited at a time. Guest memory is one memfd at address 0, the
 * interrupt an eventfd. Every access is counted.
 */
#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_BAR_REGS = 1, BENCH_BAR_RAM = 2 };
enum { BENCH_REGIONS_MAX = 7 };

/* Where the BARs are in the guest. */
#define BENCH_REGS_BASE 0xe0000000u
#define BENCH_RAM_BASE 0xe0002000u

typedef struct BenchLink BenchLink;

typedef struct BenchLinkOps {
    /* Negotiation; memory and interrupts are to be announced. */
    void (*open)(BenchLink *link);
    void (*map)(BenchLink *link, unsigned regions);
    void (*set_irq)(BenchLink *link);
    uint64_t (*cfg_read)(BenchLink *link, uint32_t addr, uint32_t size);
    void (*cfg_write)(BenchLink *link, uint32_t addr, uint32_t value, uint32_t size);
    uint64_t (*bar_read)(BenchLink *link, unsigned bar, uint32_t off, uint32_t size);
    void (*bar_write)(BenchLink *link, unsigned bar, uint32_t off, uint64_t value, uint32_t size);
} BenchLinkOps;

struct BenchLink {
    const BenchLinkOps *ops;
    int sock;
    uint16_t id; /* vfio-user: of the next message */
    int ram_fd;
    uint8_t *ram;
    size_t ram_size;
    int irq, resample;
    unsigned long reads, writes, irqs;
};

extern const BenchLinkOps bench_mpqemu_ops, bench_vfio_user_ops;

/* Takes the socket; the device is reset, enabled and has its memory and interrupt. */
void bench_link_open(BenchLink *link, const BenchLinkOps *ops, int sock, size_t ram_size);

/* The guest's memory announced anew, as so many regions side by side. */
void bench_link_map(BenchLink *link, unsigned regions);

uint64_t bench_reg_read(BenchLink *link, uint32_t reg, uint32_t size);
void bench_reg_write(BenchLink *link, uint32_t reg, uint64_t value, uint32_t size);

/* Waits for the interrupt. */
void bench_irq_wait(BenchLink *link);
/* The guest's EOI, at which KVM signals the other eventfd. */
void bench_irq_eoi(BenchLink *link);

#endif
