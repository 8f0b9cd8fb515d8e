/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See lsi-initiator.h. Both scripts are assembled anew for each command, at LT_SCRIPT; the
 * dispatching one has a block of 0x40 bytes for each phase and message, so that addresses are known
 * beforehand.
 */
#include "lsi-initiator.h"

#include <string.h>

void li_put_cdb(LsiTest *t, const uint8_t *cdb, unsigned len)
{
    memset(t->ram + M_CDB, 0, 32);
    memcpy(t->ram + M_CDB, cdb, len);
}

void li_put_rw10(LsiTest *t, uint8_t op, uint32_t lba, uint16_t blocks)
{
    uint8_t cdb[10] = { op, 0, lba >> 24, lba >> 16, lba >> 8, lba, 0, blocks >> 8, blocks };

    li_put_cdb(t, cdb, sizeof(cdb));
}

void li_expect_blocks(LsiTest *t, unsigned disk, uint32_t lba, unsigned blocks)
{
    for (unsigned i = 0; i < blocks * 512; i++) {
        g_assert_cmphex(t->ram[LT_DATA + i], ==, lt_pattern(disk, lba + i / 512));
    }
}

void li_firmware(LsiTest *t, Firmware f)
{
    t->ram[M_MSG_OUT] = 0x80;
    t->ram[M_STATUS] = 0xee;
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT(f.id), 0);
    lt_emit(t, I_CHMOV(PHASE_MSG_OUT, 1), M_MSG_OUT);
    lt_emit(t, I_CHMOV(PHASE_COMMAND, f.cmd_len ? f.cmd_len : 16), M_CDB);
    lt_emit(t, (I_JUMP | C_IF(PHASE_MSG_IN) | I_RELATIVE) ^ C_NOT, 0x18);
    lt_emit(t, I_CHMOV(PHASE_MSG_IN, 2), M_MSG_IN);
    lt_emit(t, I_WAIT_RESEL, 0);
    lt_emit(t, I_CHMOV(PHASE_MSG_IN, 2), M_MSG_IN);
    if (f.data_len) {
        lt_emit(t, I_CHMOV(f.data_phase, f.data_len), LT_DATA);
    } else {
        lt_emit(t, 0, 0);
    }
    lt_emit(t, I_CHMOV(PHASE_STATUS, 1), M_STATUS);
    lt_emit(t, I_CHMOV(PHASE_MSG_IN, f.last_len ? f.last_len : 1), M_MSG_IN);
    lt_emit(t, I_INT, 0);
    lt_start(t, LT_SCRIPT);
    lt_wait_stop(t);
}

void li_firmware_good(LsiTest *t, Firmware f)
{
    li_firmware(t, f);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, 0);
    g_assert_cmphex(lt_r8(t, LSI_SIST1), ==, 0);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
    g_assert_cmphex(t->ram[M_MSG_IN], ==, 0);
}

void li_firmware_sense(LsiTest *t, unsigned id, uint8_t key, uint8_t asc, uint8_t ascq)
{
    static const uint8_t cdb[6] = { 0x03, 0, 0, 0, 18 };

    li_put_cdb(t, cdb, 6);
    li_firmware_good(t, (Firmware){ .id = id, .data_phase = PHASE_DATA_IN, .data_len = 18 });
    g_assert_cmphex(t->ram[LT_DATA + 2] & 0xf, ==, key);
    g_assert_cmphex(t->ram[LT_DATA + 12], ==, asc);
    g_assert_cmphex(t->ram[LT_DATA + 13], ==, ascq);
}

LsiTest *lt_new_ready(const char *model, unsigned disks)
{
    LsiTest *t = lt_new(model, disks);

    for (unsigned d = 0; d < disks; d++) {
        li_firmware_sense(t, d, 0x06, 0x29, 0x00);
    }
    return t;
}

void li_put_msg(LsiTest *t, const uint8_t *msg, unsigned len)
{
    memcpy(t->ram + M_MSG_OUT, msg, len);
}

void li_put_table(LsiTest *t, uint32_t dsa, uint32_t addr, uint32_t len1, uint32_t len2)
{
    lt_put32(t, dsa, len1);
    lt_put32(t, dsa + 4, addr);
    lt_put32(t, dsa + 8, len2);
    lt_put32(t, dsa + 12, addr + len1);
    lt_w32(t, LSI_DSA, dsa);
}

Dispatch li_dispatch(LsiTest *t, unsigned id, unsigned msg_len, unsigned cdb_len)
{
    /* Addresses are known beforehand: every block has its own 0x40 bytes. */
    const uint32_t base = LT_SCRIPT + 0x800, phases = base, cmd = base + 0x40, in = base + 0x80,
                   out = base + 0xc0, status = base + 0x100, msg = base + 0x140, sdp = base + 0x180,
                   disc = base + 0x1c0, complete = base + 0x200, resel = base + 0x240,
                   tag = base + 0x280, ext = base + 0x2c0, reject = base + 0x300;

    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(id), resel);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, msg_len), M_MSG_OUT);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, phases);
    lt_emit(t, I_JUMP | C_WHEN(PHASE_COMMAND), cmd);
    lt_emit(t, I_JUMP | C_IF(PHASE_DATA_IN), in);
    lt_emit(t, I_JUMP | C_IF(PHASE_DATA_OUT), out);
    lt_emit(t, I_JUMP | C_IF(PHASE_STATUS), status);
    lt_emit(t, I_JUMP | C_IF(PHASE_MSG_IN), msg);
    lt_emit(t, I_INT, V_BAD);
    lt_org(t, cmd);
    lt_emit(t, I_MOVE(PHASE_COMMAND, cdb_len), M_CDB);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, in);
    lt_emit(t, I_CHMOV_TBL(PHASE_DATA_IN), 0);
    lt_emit(t, I_CHMOV_TBL(PHASE_DATA_IN), 8);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, out);
    lt_emit(t, I_CHMOV_TBL(PHASE_DATA_OUT), 0);
    lt_emit(t, I_CHMOV_TBL(PHASE_DATA_OUT), 8);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, status);
    lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_STATUS);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, msg);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN);
    lt_emit(t, I_JUMP | C_DATA(0x00, 0), complete);
    lt_emit(t, I_JUMP | C_DATA(0x02, 0), sdp);
    lt_emit(t, I_JUMP | C_DATA(0x04, 0), disc);
    lt_emit(t, I_JUMP | C_DATA(0x01, 0), ext);
    lt_emit(t, I_JUMP | C_DATA(0x07, 0), reject);
    lt_emit(t, I_INT, V_BAD);
    lt_org(t, sdp);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, disc);
    lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, V_DISCONNECTED);
    lt_org(t, complete);
    lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    lt_emit(t, I_CLEAR(I_ACK | I_ATN), 0);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, V_COMPLETE);
    lt_org(t, resel);
    lt_emit(t, I_WAIT_RESEL, tag + 0x20);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, (I_JUMP | C_WHEN(PHASE_MSG_IN)) ^ C_NOT, tag + 0x18);
    lt_emit(t, I_JUMP, tag);
    lt_org(t, tag);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 2), M_MSG_IN + 1);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_NOP, 0);
    lt_emit(t, I_INT, V_RESELECTED);
    lt_emit(t, I_INT, V_SIGP);
    lt_org(t, ext);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN + 1);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_INT, V_EXTENDED);
    lt_org(t, reject);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_INT, V_REJECT);
    return (Dispatch){ LT_SCRIPT, phases, resel };
}

uint32_t li_vector(LsiTest *t)
{
    uint8_t sist0 = lt_r8(t, LSI_SIST0), sist1 = lt_r8(t, LSI_SIST1), dstat = lt_r8(t, LSI_DSTAT);

    g_assert_cmphex(sist0 & ~SIST0_RSL, ==, 0);
    g_assert_cmphex(sist1, ==, 0);
    g_assert_cmphex(dstat, ==, DSTAT_DFE | DSTAT_SIR);
    return lt_r32(t, LSI_DSPS);
}

void li_run_to_complete(LsiTest *t, const Dispatch *d, uint32_t dsp)
{
    for (;;) {
        lt_run(t, dsp);
        switch (li_vector(t)) {
        case V_COMPLETE:
            return;
        case V_DISCONNECTED:
            g_assert_cmphex(lt_r8(t, LSI_ISTAT0) & ISTAT0_CON, ==, 0);
            dsp = d->reselect;
            break;
        case V_RESELECTED:
            g_assert_cmphex(lt_r8(t, LSI_SSID) & 0x80, ==, 0x80);
            dsp = d->phases;
            break;
        default:
            g_assert_not_reached();
        }
    }
}

void li_put_in_flight(LsiTest *t, unsigned n)
{
    lt_hold(true);
    for (unsigned i = 0; i < n; i++) {
        const uint8_t msg[] = { 0xc0, 0x20, i };
        Dispatch d = li_dispatch(t, 0, 3, 10);
        li_put_msg(t, msg, 3);
        li_put_table(t, M_DSA, LT_DATA, 512, 512);
        li_put_rw10(t, i & 1 ? 0x2a : 0x28, i, 2);
        lt_run(t, d.start);
        lt_r8(t, LSI_DSTAT);
        lt_r8(t, LSI_SIST0);
    }
}

void li_emit_command(LsiTest *t, unsigned id, unsigned len)
{
    t->ram[M_MSG_OUT] = 0x80;
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(id), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT);
    lt_emit(t, I_MOVE(PHASE_COMMAND, len), M_CDB);
}

void li_emit_end(LsiTest *t, uint32_t vector)
{
    lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_STATUS);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN);
    lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, vector);
}

void li_no_attention(LsiTest *t, unsigned id)
{
    static const uint8_t tur[6] = { 0 };

    li_put_cdb(t, tur, sizeof(tur));
    li_emit_command(t, id, 6);
    li_emit_end(t, 0xaa);
    lt_run_int(t, LT_SCRIPT, 0xaa);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_CHECK_CONDITION);
    lt_run_int(t, LT_SCRIPT, 0xaa);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
}
