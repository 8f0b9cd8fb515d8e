/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the LSI that disconnect, with everything done by the script: each has a table with
 * entries for data, messages, CDB, status and selection, and its bytes behind them.
 */
#ifndef TESTS_UNIT_LSI_TASKS_H
#define TESTS_UNIT_LSI_TASKS_H

#include "lsi-initiator.h"

#define N_TASKS 6
#define TASK_DSA(tag) (0x5000u + 0x100u * (tag))
enum { T_DATA, T_MSG = 8, T_CDB = 16, T_STATUS = 24, T_SELECT = 32, T_BYTES = 0x40 };

/* Interrupts as a driver has them. */
void tasks_unmask(LsiTest *t);
/* attr: the tag's message. Reads or writes 8 blocks. */
void tasks_put(LsiTest *t, unsigned tag, unsigned id, uint8_t attr, uint8_t op, uint32_t lba);
/* The script for n tasks with tags 1 to n. Its INT 0xf0 tells of a disconnection, 0xe0 of a
 * completion; the CPU begins tasks at next[tag], and returned is where it waits for others. */
uint32_t tasks_emit(LsiTest *t, unsigned n, uint32_t *next);
/* The INT that has stopped it. */
uint32_t tasks_vector(LsiTest *t);
/* Starts N_TASKS with I/O held back: reads are on the medium, what is behind the ORDERED one
 * waits, and all have disconnected. Returns as tasks_emit(). */
uint32_t tasks_start(LsiTest *t);
/* They all have completed, with the right data; then what depends on their order is wiped. */
void tasks_check(LsiTest *t);

#endif
