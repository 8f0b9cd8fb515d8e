/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See lsi-tasks.h. Selection, messages, CDB and data come by the task's table; a reselected task is
 * found by the tag in SIDL, which is the second byte of its DSA but for an offset.
 */
#include "lsi-tasks.h"

#include <string.h>

static void put_entry(LsiTest *t, unsigned tag, unsigned at, uint32_t len, uint32_t addr)
{
    lt_put32(t, TASK_DSA(tag) + at, len);
    lt_put32(t, TASK_DSA(tag) + at + 4, addr);
}

void tasks_unmask(LsiTest *t)
{
    lt_w8(t, LSI_DIEN, 0x7f);
    lt_w8(t, LSI_SIEN0, SIST0_MA | SIST0_UDC | SIST0_RST);
    lt_w8(t, LSI_SIEN1, SIST1_STO | SIST1_GEN | SIST1_HTH);
    lt_w8(t, LSI_SCID, 0x47);
}

void tasks_put(LsiTest *t, unsigned tag, unsigned id, uint8_t attr, uint8_t op, uint32_t lba)
{
    uint32_t bytes = TASK_DSA(tag) + T_BYTES, data = LT_DATA + 0x1000 * tag;
    uint8_t cdb[10] = { op, 0, 0, 0, lba >> 8, lba, 0, 0, 8 };
    uint8_t msg[3] = { 0xc0, attr, tag };

    put_entry(t, tag, T_DATA, 4096, data);
    put_entry(t, tag, T_MSG, 3, bytes);
    put_entry(t, tag, T_CDB, 10, bytes + 16);
    put_entry(t, tag, T_STATUS, 1, bytes + 32);
    put_entry(t, tag, T_SELECT, id << 16, 0);
    memcpy(t->ram + bytes, msg, sizeof(msg));
    memcpy(t->ram + bytes + 16, cdb, sizeof(cdb));
    t->ram[bytes + 32] = 0xee;
    if (op == 0x2a) {
        memset(t->ram + data, 0x90 + tag, 4096);
    }
}

uint32_t tasks_emit(LsiTest *t, unsigned n, uint32_t *next)
{
    const uint32_t base = LT_SCRIPT + 0x800, phases = base, cmd = base + 0x40, in = base + 0x80,
                   out = base + 0xc0, status = base + 0x100, msg = base + 0x140, sdp = base + 0x180,
                   disc = base + 0x1c0, complete = base + 0x200, resel = base + 0x240;

    for (unsigned tag = 1; tag <= n; tag++) {
        next[tag] = LT_SCRIPT + 0x20 * (tag - 1);
        lt_org(t, next[tag]);
        lt_emit(t, I_REG_REG(A_LOAD, LSI_DSA + 1, 0x50 + tag), 0);
        lt_emit(t, I_SELECT_TBL_ATN(T_SELECT), resel);
        lt_emit(t, I_MOVE_TBL(PHASE_MSG_OUT), T_MSG);
        lt_emit(t, I_JUMP, phases);
    }
    lt_org(t, phases);
    lt_emit(t, I_JUMP | C_WHEN(PHASE_COMMAND), cmd);
    lt_emit(t, I_JUMP | C_IF(PHASE_DATA_IN), in);
    lt_emit(t, I_JUMP | C_IF(PHASE_DATA_OUT), out);
    lt_emit(t, I_JUMP | C_IF(PHASE_STATUS), status);
    lt_emit(t, I_JUMP | C_IF(PHASE_MSG_IN), msg);
    lt_emit(t, I_INT, 0xbad);
    lt_org(t, cmd);
    lt_emit(t, I_MOVE_TBL(PHASE_COMMAND), T_CDB);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, in);
    lt_emit(t, I_MOVE_TBL(PHASE_DATA_IN), T_DATA);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, out);
    lt_emit(t, I_MOVE_TBL(PHASE_DATA_OUT), T_DATA);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, status);
    lt_emit(t, I_MOVE_TBL(PHASE_STATUS), T_STATUS);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, msg);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN);
    lt_emit(t, I_JUMP | C_DATA(0x00, 0), complete);
    lt_emit(t, I_JUMP | C_DATA(0x02, 0), sdp);
    lt_emit(t, I_JUMP | C_DATA(0x04, 0), disc);
    lt_emit(t, I_INT, 0xbad);
    lt_org(t, sdp);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, disc);
    lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, 0xf0);
    lt_org(t, complete);
    lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, 0xe0);
    lt_org(t, resel);
    lt_emit(t, I_WAIT_RESEL, LT_SCRIPT + 0x7f8);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 2), M_MSG_IN + 1);
    lt_emit(t, I_REG_TO_SFBR(A_OR, LSI_SIDL, 0), 0);
    lt_emit(t, I_SFBR_TO_REG(A_ADD, LSI_DSA + 1, 0x50), 0);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_JUMP, phases);
    lt_org(t, LT_SCRIPT + 0x7f8);
    lt_emit(t, I_INT, 0xbad);
    return resel;
}

uint32_t tasks_vector(LsiTest *t)
{
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
    return lt_r32(t, LSI_DSPS);
}

uint32_t tasks_start(LsiTest *t)
{
    uint32_t next[N_TASKS + 1], resel;

    li_no_attention(t, 0);
    li_no_attention(t, 1);
    tasks_unmask(t);
    lt_w32(t, LSI_DSA, 0x5000);
    tasks_put(t, 1, 0, 0x20, 0x28, 10);
    tasks_put(t, 2, 1, 0x20, 0x28, 20);
    tasks_put(t, 3, 0, 0x22, 0x28, 30);
    tasks_put(t, 4, 0, 0x20, 0x2a, 10);
    tasks_put(t, 5, 1, 0x21, 0x28, 40);
    tasks_put(t, 6, 0, 0x20, 0x28, 60);
    resel = tasks_emit(t, N_TASKS, next);
    lt_hold(true);
    for (unsigned tag = 1; tag <= N_TASKS; tag++) {
        lt_run(t, next[tag]);
        g_assert_cmphex(tasks_vector(t), ==, 0xf0);
    }
    return resel;
}

void tasks_check(LsiTest *t)
{
    for (unsigned tag = 1; tag <= N_TASKS; tag++) {
        g_assert_cmphex(t->ram[TASK_DSA(tag) + T_BYTES + 32], ==, SCSI_GOOD);
    }
    g_assert_cmphex(t->ram[LT_DATA + 0x1000], ==, lt_pattern(0, 10));
    g_assert_cmphex(t->ram[LT_DATA + 0x3fff], ==, lt_pattern(0, 37));
    g_assert_cmphex(t->ram[LT_DATA + 0x5000], ==, lt_pattern(1, 40));
    g_assert_cmphex(t->ram[LT_DATA + 0x6fff], ==, lt_pattern(0, 67));
    memset(t->ram + M_MSG_IN, 0, 4); /* of whichever came last */
    lt_w32(t, LSI_DSA, 0);
    lt_w8(t, LSI_SCRATCHA, 0);
    t->s->st.reg[LSI_SDID] = t->s->st.reg[LSI_SSID] = t->s->st.reg[LSI_SIDL] = 0;
}
