/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One device test, five ways: a PC with a 53C895A and disks, driven by qtest.
 *
 *   local      this tree's stock profile, the device in it
 *   proxy      this tree's stock profile with x-pci-proxy-dev, the device in this tree's remote
 *   vfio-user  the same two, speaking vfio-user
 *   reference  the distribution's QEMU, its own lsi53c895a
 *   foreign    this tree's stock profile with x-pci-proxy-dev, the device in the distribution's
 *              QEMU with -machine x-remote
 *
 * Programs: $QEMU_STOCK, $QEMU_REMOTE, $QEMU_VM (default: qemu-system-x86_64 of the PATH). A way
 * whose programs are not there is skipped with the reason.
 */
#ifndef TESTS_DEVICE_MACHINE_H
#define TESTS_DEVICE_MACHINE_H

#include "tests/qtest/libqos-lsi.h"

#define MACHINE_DISKS_MAX 3
#define DISK_BLOCKS 8192u /* of 512 bytes */

typedef enum Way { WAY_LOCAL, WAY_PROXY, WAY_VFIO_USER, WAY_REFERENCE, WAY_FOREIGN, WAYS } Way;
/* All of it is this tree's. */
#define WAYS_OURS (1 << WAY_LOCAL | 1 << WAY_PROXY | 1 << WAY_VFIO_USER)

#define MACHINE_QCOW2 (1 << WAYS) /* images are qcow2, made and read by qemu-img */

/* Where a machine is another than usual. */
typedef struct MachineOptions {
    bool qcow2;
    const char *drive; /* ",option=value..." for each -drive, or NULL */
    bool log;          /* a remote of this tree writes one: see machine_log() */
} MachineOptions;

typedef struct Machine {
    Way way;
    MachineOptions options;
    QTest *q;
    QLsi *lsi;
    unsigned disks;
    char *dir;
    pid_t remote; /* 0: none */
} Machine;

typedef void MachineFn(Machine *m);

typedef struct MachineTest {
    const char *name; /* "group/what"; the way comes in front */
    MachineFn *fn;
    unsigned disks; /* scsi-ids from 0 */
    unsigned ways;  /* 0: all; else a bit per Way; and MACHINE_QCOW2 */
} MachineTest;

/* Adds "/WAY/NAME" for each way of each test; the list is ended by a NULL name and must stay. Each
 * case has a machine of its own. */
void machine_add_tests(const MachineTest *tests);

/* NULL, or why this way can't be gone. */
const char *machine_missing(Way way);
/* The machine alone, without the driver (m->lsi is NULL). options: NULL, or copied but for the
 * text, which must stay. */
Machine *machine_start(Way way, unsigned disks, const MachineOptions *options);
/* Ends the driver and the programs, which must end by status 0; the images stay until
 * machine_stop(). */
void machine_end(Machine *m);
void machine_stop(Machine *m);
/* What the remote has logged. */
char *machine_log(const Machine *m);

/* The device is QEMU's model, not this tree's: a test states where that one differs. */
static inline bool machine_is_qemus(const Machine *m)
{
    return m->way == WAY_REFERENCE || m->way == WAY_FOREIGN;
}
static inline bool machine_is_proxied(const Machine *m)
{
    return m->way == WAY_PROXY || m->way == WAY_VFIO_USER || m->way == WAY_FOREIGN;
}

/* What block of disk is filled with at the start. */
uint8_t machine_pattern(unsigned disk, uint64_t block);
/* Blocks of the image file, as they are on the host after a flush. */
void machine_image_read(Machine *m, unsigned disk, uint64_t block, void *buf, unsigned blocks);

#endif
