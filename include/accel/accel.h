/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who drives a board: -accel qtest (a test's line protocol) or -accel kvm (a vCPU). There is no TCG
 * in this tree.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include "hw/i386/pc.h"

typedef struct Accel Accel;

typedef struct AccelOptions {
    int qtest_fd;    /* connected stream socket or -1; taken */
    bool qtest_log;  /* -qtest-log: the conversation to stderr */
    const char *kernel; /* -kernel: a multiboot or PVH ELF, or NULL */
    const char *append;
} AccelOptions;

typedef struct AccelType {
    const char *name; /* -accel */
    const char *desc;
    /* Main thread, before the board's thread runs: takes the board's sink. */
    Accel *(*create)(Pc *pc, const AccelOptions *options, void (*ended)(void *opaque, int code),
                     void *opaque, GError **errp);
    /* Main thread: the board's loop runs now. ended() comes once, on any thread, when the guest or
     * the tester has finished; code is the exit status. */
    void (*start)(Accel *accel);
    /* Main thread, once, after start() and while the board's loop runs: ended() follows if it has
     * not come yet. A vCPU's thread is gone on return. */
    void (*stop)(Accel *accel);
    /* Main thread; the board's loop runs no more. Before start(), or after stop(). */
    void (*destroy)(Accel *accel);
} AccelType;

extern const AccelType accel_qtest_type;
extern const AccelType accel_kvm_type;

#endif
