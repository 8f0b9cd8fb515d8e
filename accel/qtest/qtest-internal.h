/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tester's connection, inside.
 *
 *   qtest.c            the accelerator: socket, lines in and out, interrupt lines, the end
 *   qtest-commands.c   one table of commands
 */
#ifndef ACCEL_QTEST_QTEST_INTERNAL_H
#define ACCEL_QTEST_QTEST_INTERNAL_H

#include "accel/accel.h"

/* Bytes that one command moves; hexadecimal is the widest form of them. */
#define QTEST_DATA_MAX (1u << 20)
#define QTEST_LINE_MAX (2 * QTEST_DATA_MAX + 128)

struct Accel {
    Pc *pc;
    void (*ended)(void *opaque, int code);
    void *opaque;
    int fd; /* -1: nobody is connected */
    bool log;
    int64_t started_ns; /* for the log */
    LoopFd watch;
    LoopPost stop;

    GString *in;    /* what no command was made of yet */
    size_t scanned; /* of it, without a newline */
    bool skipping;  /* the rest of an overlong line */
    GString *out;   /* not taken by the socket yet */
    bool in_command, over;
    bool exiting; /* the guest has ended, with exit_code; its command's reply is still due */
    int exit_code;

    /* Bit per GSI. An interception starts from all low, as QEMU's does. */
    bool intercepting;
    uint32_t board;    /* the board's levels */
    uint32_t injected; /* the tester's, OR-ed to them */
    uint32_t levels;   /* of either, since the interception */
    uint32_t told;     /* as of the last IRQ line */

    int64_t clock_ns; /* virtual: no device lives by it */
};

/* ---- qtest.c ---- */
/* Queues one line. */
void qtest_put(Accel *a, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* Tells the changes of lines, if anybody wants to know. */
void qtest_irq_intercept(Accel *a);
void qtest_irq_inject(Accel *a, unsigned gsi, bool level);

/* ---- qtest-commands.c ---- */
/* Executes one line (writable, zero-terminated, without its newline) and queues its reply. */
void qtest_command(Accel *a, char *line);

#endif
