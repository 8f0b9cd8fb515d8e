/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An LSI that is given everything at once: a machine with targets of all sorts, and a program of
 * steps for it, each one a byte of what to do and its operands. Operands that the input has not are
 * 0, so that every row of bytes is a program.
 */
#ifndef TESTS_FUZZ_LSI_MACHINE_H
#define TESTS_FUZZ_LSI_MACHINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum LsiStep {
    STEP_REG_WRITE, /* u8 offset, u8 size, u32 value */
    STEP_REG_READ,  /* u8 offset, u8 size */
    STEP_MEMORY,    /* address, u8 dwords, u32 each */
    STEP_INSN,      /* u32 first dword, address; at the script's end */
    STEP_START,     /* u8 instruction of the script, or the script RAM's */
    STEP_TURNS,     /* u8 */
    STEP_COMMAND,   /* u8 target, u8 lun, u8 flags, u8 messages, u8 length, CDB */
    STEP_HOLD,      /* u8: I/O is kept, or goes on, or fails */
    STEP_CONFIG,    /* u8 offset, u8 value */
    STEP_RESET,     /* u8 how */
    STEP_STATE,     /* u8: saved; then restored, or goes on */
    STEP_MEDIUM,    /* u8: the CD's tray */
    N_STEPS
} LsiStep;

/* The first byte says which model. */
void lsi_program_run(const uint8_t *data, size_t size);

/* What is chosen more often than by chance. */
typedef enum LsiProfile { PROFILE_REGS, PROFILE_SCRIPTS, PROFILE_CDBS, N_PROFILES } LsiProfile;
extern const char *const lsi_profile_names[N_PROFILES];
GByteArray *lsi_program_random(GRand *rnd, LsiProfile profile);

#endif
