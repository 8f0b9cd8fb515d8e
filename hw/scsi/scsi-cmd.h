/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command table of a kind of logical unit: the one description of what it understands, which
 * both the decoder and REPORT SUPPORTED OPERATION CODES go by.
 */
#ifndef HW_SCSI_SCSI_CMD_H
#define HW_SCSI_SCSI_CMD_H

#include "hw/scsi/scsi.h"
#include "hw/scsi/scsi-cdb.h"

enum {
    SCSI_CMD_ALWAYS = 1u << 0, /* runs even with a unit attention pending, and leaves it there */
    SCSI_CMD_MEDIUM = 1u << 1, /* needs a medium */
    SCSI_CMD_WRITE = 1u << 2,  /* refused on a read-only medium */
    SCSI_CMD_SA = 1u << 3,     /* one service action (byte 1, bits 4-0) of its opcode */
    SCSI_CMD_THIN = 1u << 4,   /* only on a unit that can discard */
};

typedef struct ScsiCmd {
    uint8_t op, sa, len; /* len: bytes of the CDB */
    uint8_t flags;
    const char *name;
    void (*run)(ScsiDev *dev, ScsiReq *req);
    /* CDB usage data (SPC-4 6.35.3) from byte 1 on: the bits that are looked at */
    uint8_t usage[SCSI_CDB_MAX - 1];
} ScsiCmd;

typedef struct ScsiCmdTable {
    const ScsiCmd *cmds; /* often used ones first: searched from the front */
    unsigned n;
    /* Flags of commands that this unit does not have (SCSI_CMD_THIN) or can't run now. */
    unsigned (*hidden)(const ScsiDev *dev);
    /* False and sense: no medium, or a read-only one for flags with SCSI_CMD_WRITE. */
    bool (*ready)(ScsiDev *dev, unsigned flags, ScsiSense *sense);
} ScsiCmdTable;

/* A unit's start(): finds the command, does the checks that are common to all, runs it. */
void scsi_cmd_run(const ScsiCmdTable *table, ScsiDev *dev, ScsiReq *req);

/* 05/24/00 */
void scsi_bad_field(ScsiReq *req);

/* ---- handlers that every kind of unit has (scsi-core-cmds.c) ---- */

void scsi_cmd_request_sense(ScsiDev *dev, ScsiReq *req);
void scsi_cmd_report_luns(ScsiDev *dev, ScsiReq *req);
/* Nothing to do: GOOD. */
void scsi_cmd_noop(ScsiDev *dev, ScsiReq *req);
/* MAINTENANCE IN, REPORT SUPPORTED OPERATION CODES for the given table. */
void scsi_report_opcodes(const ScsiCmdTable *table, ScsiDev *dev, ScsiReq *req);
/* Fixed format sense data (SPC-4 4.5.3), current error. */
void scsi_sense_fixed(uint8_t out[SCSI_SENSE_LEN], const ScsiSense *sense);

#endif
