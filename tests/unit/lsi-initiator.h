/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two initiators for tests of the LSI: the script that SeaBIOS and OVMF share (fact sheet 5.2), and
 * a small one that dispatches on phases as Linux' does.
 */
#ifndef TESTS_UNIT_LSI_INITIATOR_H
#define TESTS_UNIT_LSI_INITIATOR_H

#include "lsi-harness.h"

/* Where both have what they send and receive; data is at LT_DATA. */
enum {
    M_MSG_OUT = LT_TABLE,
    M_CDB = LT_TABLE + 0x40,
    M_STATUS = LT_TABLE + 0x80,
    M_MSG_IN = LT_TABLE + 0x90,
    M_DSA = LT_TABLE + 0x100,
};

void li_put_cdb(LsiTest *t, const uint8_t *cdb, unsigned len);
/* READ(10) or WRITE(10). */
void li_put_rw10(LsiTest *t, uint8_t op, uint32_t lba, uint16_t blocks);
/* What has been read to LT_DATA are these blocks. */
void li_expect_blocks(LsiTest *t, unsigned disk, uint32_t lba, unsigned blocks);

/* ---- pieces of a script ---- */

/* Begins a script at LT_SCRIPT: SELECT, IDENTIFY without the right to disconnect, CDB. */
void li_emit_command(LsiTest *t, unsigned id, unsigned cdb_len);
/* Status, COMMAND COMPLETE, bus free, INT. */
void li_emit_end(LsiTest *t, uint32_t vector);
/* TEST UNIT READY until power-on's unit attention is told. */
void li_no_attention(LsiTest *t, unsigned id);

/* ---- the firmware's script ---- */

/* cmd_len 0: 16, as SeaBIOS; last_len 0: one byte for COMMAND COMPLETE. */
typedef struct Firmware {
    unsigned id, data_phase, data_len, cmd_len, last_len;
} Firmware;

/* Runs the script until it stops, however it does. */
void li_firmware(LsiTest *t, Firmware f);
/* ... and it must end well. As firmware polls it: any SIST bit is a failure, DSTAT.SIR success. */
void li_firmware_good(LsiTest *t, Firmware f);
/* REQUEST SENSE finds this. */
void li_firmware_sense(LsiTest *t, unsigned id, uint8_t key, uint8_t asc, uint8_t ascq);
/* lt_new(), with the unit attention of power-on taken from each disk. */
LsiTest *lt_new_ready(const char *model, unsigned disks);

/* ---- the dispatching script ---- */

/* Its ends, as vectors of INT. */
enum { V_COMPLETE = 0xc0, V_DISCONNECTED, V_RESELECTED, V_SIGP, V_EXTENDED, V_REJECT, V_BAD };

/* Where to enter it: with a command; with a target connected; to wait for one. */
typedef struct Dispatch {
    uint32_t start, phases, reselect;
} Dispatch;

void li_put_msg(LsiTest *t, const uint8_t *msg, unsigned len);
/* Data goes to or comes from addr in two pieces; DSA is set. */
void li_put_table(LsiTest *t, uint32_t dsa, uint32_t addr, uint32_t len1, uint32_t len2);
Dispatch li_dispatch(LsiTest *t, unsigned id, unsigned msg_len, unsigned cdb_len);
/* The INT that has stopped it, and nothing else may have but RSL beside it. */
uint32_t li_vector(LsiTest *t);
/* Runs from dsp through disconnections until the command completes. */
void li_run_to_complete(LsiTest *t, const Dispatch *d, uint32_t dsp);
/* Puts n tagged commands in flight on LUN 0 of target 0 and leaves them there: lt_hold() is on. */
void li_put_in_flight(LsiTest *t, unsigned n);

#endif
