/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCRIPTS for the 53C895A: instructions, and the script of an operating system's driver as small as
 * it goes: tagged commands that disconnect, a table for each (DSA points to it while its nexus is
 * connected), dispatching on phases, up to 96 data segments whose progress is saved in the table.
 *
 * It comes in two styles. In the stepping one it stops with an INT for whatever its driver may
 * want to see; in the queueing one it does by itself what Linux' does: it takes commands from a
 * ring in guest memory when SIGP wakes it, finds a reselected command by its tag, marks what has
 * completed in the table and says so by INTFLY.
 *
 * It is made as words for a given address and knows nothing of how they get there, so every driver
 * in these tests can use it.
 */
#ifndef TESTS_QTEST_LSI_SCRIPT_H
#define TESTS_QTEST_LSI_SCRIPT_H

#include "hw/scsi/lsi-internal.h" /* names of registers and bits */

#include <assert.h>

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

/* ---- the dispatching script ---- */

#define LSI_SCRIPT_TASKS 64
#define LSI_SCRIPT_SEGMENTS 96

/* Tables of count and address, as block moves take them. */
typedef struct LsiTableEntry {
    uint32_t count, addr;
} LsiTableEntry;

/* A command, in guest memory. */
typedef struct LsiScriptTask {
    uint32_t go; /* queueing: LSI_SCRIPT_SELECT; of the idle task LSI_SCRIPT_RESELECT */
    uint32_t select;
    LsiTableEntry msg_out, cdb, status;
    uint32_t data_at; /* where data goes on; the script's `overrun` when all has been moved */
    uint32_t done;    /* queueing: not 0 once it has completed */
    uint8_t msg_out_bytes[8];
    uint8_t cdb_bytes[16];
    uint8_t status_byte;
    uint8_t pad[191];
    LsiTableEntry segment[LSI_SCRIPT_SEGMENTS]; /* the last ones are used */
} LsiScriptTask;
static_assert(sizeof(LsiScriptTask) == 1024,
              "a tag is a multiple of 256 bytes away from the first one");

/* A place of the queueing style's ring. A place whose task is the idle one ends the ring. */
typedef struct LsiScriptSlot {
    uint32_t task, next; /* guest addresses */
} LsiScriptSlot;

/* What the script keeps in guest memory. */
typedef struct LsiScriptVars {
    uint32_t slot;  /* the next one to look at */
    uint32_t tasks; /* the address of task 0 */
    uint8_t msg_in[8];
} LsiScriptVars;

/* What INT stops with. Only the first two are there when queueing. */
enum {
    LSI_SCRIPT_BAD = 0xc0, /* a phase or message that nobody can expect */
    LSI_SCRIPT_MORE,       /* the target wants more data than there is */
    LSI_SCRIPT_COMPLETE,
    LSI_SCRIPT_DISCONNECTED,
    LSI_SCRIPT_RESELECTED,
    LSI_SCRIPT_SIGP,
};

/* Entries, from the script's address on. */
enum {
    LSI_SCRIPT_NEXT = 0x000,   /* queueing: start here */
    LSI_SCRIPT_SELECT = 0x040, /* DSA is set: select its target */
    LSI_SCRIPT_PHASES = 0x080, /* go on with the connected nexus, whose table DSA has */
    LSI_SCRIPT_RESELECT = 0x0c0,
    LSI_SCRIPT_OVERRUN = 0x140,
    LSI_SCRIPT_IN = 0x400, /* one move for each segment */
    LSI_SCRIPT_OUT = 0x800,
    LSI_SCRIPT_SIZE = 0xc00,
};

typedef struct LsiScript {
    uint32_t base;  /* bus address: guest memory or script RAM */
    uint32_t vars;  /* guest address of LsiScriptVars */
    uint32_t tasks; /* guest address of LSI_SCRIPT_TASKS tasks, a multiple of 64 KiB */
    bool queueing;
} LsiScript;

/* Writes all of the script's LSI_SCRIPT_SIZE / 4 words. */
void lsi_script_build(const LsiScript *script, uint32_t *words);

/* The script needs this in SCRATCHB. */
static inline uint32_t lsi_script_scratchb(const LsiScript *script)
{
    return script->base + LSI_SCRIPT_OVERRUN;
}

static inline uint32_t lsi_script_task(const LsiScript *script, unsigned index)
{
    return script->tasks + index * (uint32_t)sizeof(LsiScriptTask);
}

/* The tag by which the script finds the task again. */
static inline uint8_t lsi_script_tag(unsigned index)
{
    return index * (sizeof(LsiScriptTask) / 256);
}

/* Where data begins for so many segments, into LsiScriptTask.data_at. */
static inline uint32_t lsi_script_data(const LsiScript *script, bool in, unsigned segments)
{
    return script->base + (in ? LSI_SCRIPT_IN : LSI_SCRIPT_OUT) +
           8 * (LSI_SCRIPT_SEGMENTS - segments);
}

/* A task without data but for its CDB and status byte; `identify` is the message's byte. Without
 * DiscPriv (bit 6) there is no tag. */
void lsi_script_task_init(const LsiScript *script, LsiScriptTask *task, unsigned index, unsigned id,
                          uint8_t identify, unsigned cdb_len);

/* A phase mismatch at the move before dsp, which has left so many bytes: writes into the task what
 * the script needs to go on at LSI_SCRIPT_PHASES. False: that was no data move. */
bool lsi_script_mismatch(const LsiScript *script, LsiScriptTask *task, uint32_t dsp, uint32_t left);

/* Bytes of the task's segments that have not been moved. */
uint32_t lsi_script_left(const LsiScript *script, const LsiScriptTask *task);

#endif
