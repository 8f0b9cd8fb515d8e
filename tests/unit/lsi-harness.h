/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An LSI in a test: the device with disks on its bus, a megabyte of guest memory and a loop that
 * the test turns. Registers go through the BAR door, scripts into guest memory or script RAM.
 */
#ifndef TESTS_UNIT_LSI_HARNESS_H
#define TESTS_UNIT_LSI_HARNESS_H

#include "hw/pci/pci.h"
#include "hw/scsi/lsi-internal.h"
#include "tests/qtest/lsi-script.h" /* instructions */

#define LT_RAM_SIZE (1u << 20)
#define LT_SCRIPT 0x1000u
#define LT_TABLE 0x4000u
#define LT_DATA 0x10000u
#define LT_BAR_IO 0xc000u
#define LT_BAR_REGS 0xfe000000u
#define LT_BAR_RAM 0xfe002000u
#define LT_DISK_BLOCKS 4096u

typedef struct LsiTest {
    Loop *loop;
    GuestMemory *mem;
    PciHost host;
    uint8_t *ram; /* GPA 0 */
    DeviceTree *tree;
    BlockGraph *blocks;
    PciDev *pci;
    Lsi *s;
    bool irq;
    unsigned irqs; /* 0->1 changes */
    uint32_t pc;   /* lt_emit()'s */
    const char *model;
    char *dir;
    unsigned n_disks;
} LsiTest;

/* model: "lsi53c895a" or "lsi53c810"; disks with ids 0.., each LT_DISK_BLOCKS blocks, block n of
 * disk d filled with lt_pattern(d, n). Bus master, I/O and memory enabled, BARs programmed. */
LsiTest *lt_new(const char *model, unsigned disks);
void lt_free(LsiTest *t);
uint8_t lt_pattern(unsigned disk, uint64_t block);
/* One byte of a disk's image file. */
/* Changes a disk's image file. */
void lt_image_put(LsiTest *t, unsigned disk, uint64_t off, const void *data, size_t len);
uint8_t lt_image_byte(LsiTest *t, unsigned disk, uint64_t off);

uint8_t lt_r8(LsiTest *t, unsigned off);
uint32_t lt_r32(LsiTest *t, unsigned off);
void lt_w8(LsiTest *t, unsigned off, uint8_t v);
void lt_w32(LsiTest *t, unsigned off, uint32_t v);
void lt_put32(LsiTest *t, uint32_t gpa, uint32_t v);
uint32_t lt_get32(LsiTest *t, uint32_t gpa);

/* Assembling at t->pc, which lt_org() sets; two dwords, and one. */
void lt_org(LsiTest *t, uint32_t gpa);
uint32_t lt_emit(LsiTest *t, uint32_t a, uint32_t b); /* returns the instruction's address */
void lt_emit1(LsiTest *t, uint32_t a);

/* Writes DSP and turns the loop until an interrupt status is set or the script waits for the CPU
 * (WAIT RESELECT with nothing in flight); fails the test after 10 s. */
void lt_start(LsiTest *t, uint32_t dsp);
void lt_wait_stop(LsiTest *t);
/* lt_start() and lt_wait_stop(). */
void lt_run(LsiTest *t, uint32_t dsp);
/* Turns the loop until cond() holds; fails after 10 s. */
void lt_until(LsiTest *t, bool (*cond)(LsiTest *t));
/* Such a condition: no command is alive, nor waited for since it was cancelled. */
bool lt_no_tasks(LsiTest *t);
/* A few turns without waiting. */
void lt_turns(LsiTest *t, unsigned n);
/* Keeps reads and writes of all disks back, or lets them go on. */
void lt_hold(bool on);
/* The first bytes of each image can be had without waiting (none by default), and how often some
 * have been since. */
void lt_at_hand(uint64_t end);
unsigned lt_reads_now(void);
/* Drains the device as a disconnection does: what was alive is cancelled, nothing is in flight. */
void lt_settle(LsiTest *t);

/* The state, with the device standing still; loading it, into a device at power-on. */
GByteArray *lt_save(LsiTest *t);
bool lt_load(LsiTest *t, const GByteArray *state, GError **errp);
/* Another device at power-on, in the same guest with the same disks. */
void lt_replug(LsiTest *t);
/* ... that goes on where the old one was. */
void lt_reborn(LsiTest *t);

/* lt_run() that must end in INT vector. */
void lt_run_int(LsiTest *t, uint32_t dsp, uint32_t vector);

#endif
