/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver for the remote 53C895A, as an operating system's is: the dispatching script of
 * tests/qtest/lsi-script.h runs in script RAM by itself, each command is a task in a ring and one
 * write of SIGP, and INTFLY says that something has completed. An interrupt costs what Linux'
 * sym53c8xx spends: read ISTAT0, acknowledge INTF, read it again. Whatever else happens ends the
 * program with a line that says so.
 */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#include "bench-link.h"
#include "tests/qtest/lsi-script.h"

enum {
    DRIVER_DATA = 0x100000,  /* guest address of the first task's buffer */
    DRIVER_BUFFER = 1048576, /* bytes of each */
    DRIVER_RAM = DRIVER_DATA + LSI_SCRIPT_TASKS * DRIVER_BUFFER,
};

typedef struct BenchDriver {
    BenchLink link;
    LsiScript script;
    unsigned head; /* of the ring: where the next command goes */
    bool busy[LSI_SCRIPT_TASKS];
    unsigned mismatches;
} BenchDriver;

typedef struct BenchCommand {
    uint8_t cdb[16];
    unsigned cdb_len;
    bool in;
    uint32_t len;      /* of data, into or from the task's buffer */
    unsigned segments; /* that the data is in; len is a multiple */
} BenchCommand;

/* Connects, loads and starts the script, and waits until the disk at SCSI id 0 is ready. */
void bench_driver_start(BenchDriver *d, const BenchLinkOps *ops, int sock);

/* Starts a command as this task, which must be free. */
void bench_driver_submit(BenchDriver *d, unsigned index, const BenchCommand *command);

/* Waits for an interrupt and puts the indices of what has completed with GOOD into done[]; returns
 * how many, which may be 0. */
unsigned bench_driver_wait(BenchDriver *d, unsigned done[LSI_SCRIPT_TASKS]);

/* One command by itself; returns the SCSI status. */
uint8_t bench_driver_run(BenchDriver *d, const BenchCommand *command);

uint8_t *bench_driver_buffer(BenchDriver *d, unsigned index);

/* READ CAPACITY(16). */
uint64_t bench_driver_blocks(BenchDriver *d);

#endif
