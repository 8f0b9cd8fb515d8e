/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An LSI in a test: the device with disks on its bus, a megabyte of guest memory and a loop that
 * the test turns. Registers go through the BAR door, scripts into guest memory or script RAM.
 */
#ifndef TESTS_UNIT_LSI_HARNESS_H
#define TESTS_UNIT_LSI_HARNESS_H

#include "hw/pci/pci.h"
#include "hw/scsi/lsi-internal.h"

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
/* A few turns without waiting. */
void lt_turns(LsiTest *t, unsigned n);
/* Keeps reads and writes of all disks back, or lets them go on. */
void lt_hold(bool on);
/* Nothing is in flight any more. */
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

/* ---- instructions ---- */
#define I_MOVE(phase, n) (0x08000000u | (uint32_t)(phase) << 24 | (n))
#define I_CHMOV(phase, n) ((uint32_t)(phase) << 24 | (n))
#define I_MOVE_TBL(phase) (0x18000000u | (uint32_t)(phase) << 24)
#define I_CHMOV_TBL(phase) (0x10000000u | (uint32_t)(phase) << 24)
#define I_MOVE_IND(phase, n) (0x28000000u | (uint32_t)(phase) << 24 | (n))
#define I_SELECT(id) (0x40000000u | (uint32_t)(id) << 16)
#define I_SELECT_ATN(id) (0x41000000u | (uint32_t)(id) << 16)
#define I_SELECT_TBL_ATN(off) (0x43000000u | ((off)&0xffffffu))
#define I_WAIT_DISC 0x48000000u
#define I_WAIT_RESEL 0x50000000u
#define I_SET(bits) (0x58000000u | (bits))
#define I_CLEAR(bits) (0x60000000u | (bits))
#define I_ACK 0x40u
#define I_ATN 0x08u
#define I_CARRY 0x400u
enum { A_LOAD, A_SHL, A_OR, A_XOR, A_AND, A_SHR, A_ADD, A_ADDC };
#define I_REG(op, alu, reg, data)                                                                  \
    (0x40000000u | (op) << 27 | (uint32_t)(alu) << 24 | ((reg)&0x7f) << 16 | ((reg)&0x80) |        \
     (data) << 8)
#define I_SFBR_TO_REG(alu, reg, data) I_REG(5u, alu, reg, data)
#define I_REG_TO_SFBR(alu, reg, data) I_REG(6u, alu, reg, data)
#define I_REG_REG(alu, reg, data) I_REG(7u, alu, reg, data)
#define I_JUMP 0x80080000u
#define I_CALL 0x88080000u
#define I_RETURN 0x90080000u
#define I_INT 0x98080000u
#define I_INTFLY 0x98180000u
#define I_NOP 0x80000000u
#define C_WHEN(phase) (0x00030000u | (uint32_t)(phase) << 24) /* or-ed to I_JUMP etc. */
#define C_IF(phase) (0x00020000u | (uint32_t)(phase) << 24)
#define C_DATA(val, mask) (0x00040000u | (mask) << 8 | (val))
#define C_CARRY 0x00200000u
#define C_NOT 0x00080000u /* xor-ed: branch when false */
#define I_RELATIVE 0x00800000u
#define I_MEMMOVE(n) (0xc0000000u | (n))
#define I_LOAD(reg, n) (0xe1000000u | (uint32_t)(reg) << 16 | (n))
#define I_STORE(reg, n) (0xe0000000u | (uint32_t)(reg) << 16 | (n))
#define I_DSA 0x10000000u

#endif
