/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wire structs of the multi-process ("mpqemu") protocol, as QEMU 7.2 and 11.1 speak it: host byte
 * order, x86-64 padding. One UNIX stream socket per PCI function; the proxy (VMM) asks, the
 * remote answers; no handshake.
 */
#ifndef REMOTE_MPQEMU_PROTO_H
#define REMOTE_MPQEMU_PROTO_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

typedef enum MpqCmd {
    MPQ_SYNC_SYSMEM = 0,  /* 1..8 descriptors, no reply */
    MPQ_RET = 1,          /* the only reply */
    MPQ_PCI_CFGWRITE = 2,
    MPQ_PCI_CFGREAD = 3,
    MPQ_BAR_WRITE = 4,
    MPQ_BAR_READ = 5,
    MPQ_SET_IRQFD = 6,    /* 2 descriptors (interrupt, resample), no reply */
    MPQ_DEVICE_RESET = 7,
    MPQ_CMDS
} MpqCmd;

typedef struct MpqHeader {
    int32_t cmd;
    uint32_t pad; /* ignored */
    uint64_t size; /* of the payload */
} MpqHeader;

#define MPQ_MAX_REGIONS 8
#define MPQ_MAX_PAYLOAD 192

typedef struct MpqSysmem {
    uint64_t gpa[MPQ_MAX_REGIONS];
    uint64_t size[MPQ_MAX_REGIONS];
    int64_t offset[MPQ_MAX_REGIONS];
} MpqSysmem;

typedef struct MpqCfg {
    uint32_t addr;
    uint32_t value;
    int32_t len;
} MpqCfg;

typedef struct MpqBar {
    uint64_t addr; /* absolute guest address */
    uint64_t value;
    uint32_t size;
    uint8_t memory; /* 1 MMIO, 0 port I/O */
    uint8_t pad[3];
} MpqBar;

typedef struct MpqRet {
    MpqHeader header;
    uint64_t value;
} MpqRet;

static_assert(sizeof(MpqHeader) == 16 && offsetof(MpqHeader, size) == 8, "mpqemu header");
static_assert(sizeof(MpqSysmem) == MPQ_MAX_PAYLOAD, "SYNC_SYSMEM");
static_assert(sizeof(MpqCfg) == 12, "PCI_CFG*");
static_assert(sizeof(MpqBar) == 24 && offsetof(MpqBar, memory) == 20, "BAR_*");
static_assert(sizeof(MpqRet) == 24, "RET");

#endif
