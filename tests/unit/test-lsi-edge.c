/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Edges of the LSI: what has broken other models of it, by the id under which it is known (fact
 * sheet section 7.1), and rules of the manual that no common driver depends on.
 */
#include "lsi-harness.h"

#include <string.h>

enum {
    M_MSG_OUT = LT_TABLE,
    M_CDB = LT_TABLE + 0x40,
    M_BYTES = LT_TABLE + 0x80,
    M_TABLE = LT_TABLE + 0x100,
};

static void put_read(LsiTest *t, uint32_t lba, uint16_t blocks)
{
    uint8_t cdb[10] = { 0x28, 0, 0, 0, lba >> 8, lba, 0, blocks >> 8, blocks };

    memset(t->ram + M_CDB, 0, 16);
    memcpy(t->ram + M_CDB, cdb, sizeof(cdb));
}

static void put_msg(LsiTest *t, const uint8_t *msg, unsigned len)
{
    memcpy(t->ram + M_MSG_OUT, msg, len);
}

/* SELECT with messages; a CDB of 10 bytes behind them if there is to be one. */
static void emit_select(LsiTest *t, unsigned n_msg, bool cdb)
{
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, n_msg), M_MSG_OUT);
    if (cdb) {
        lt_emit(t, I_MOVE(PHASE_COMMAND, 10), M_CDB);
    }
}

/* Reads with tags 1 to n, kept on the medium. */
static void in_flight(LsiTest *t, unsigned n)
{
    lt_hold(true);
    put_read(t, 3, 2);
    for (unsigned tag = 1; tag <= n; tag++) {
        put_msg(t, (const uint8_t[]){ 0xc0, 0x20, tag }, 3);
        emit_select(t, 3, true);
        lt_emit(t, I_MOVE(PHASE_MSG_IN, 2), M_BYTES); /* SAVE DATA POINTER, DISCONNECT */
        lt_emit(t, I_CLEAR(I_ACK), 0);
        lt_emit(t, I_WAIT_DISC, 0);
        lt_emit(t, I_INT, tag);
        lt_run_int(t, LT_SCRIPT, tag);
    }
    g_assert_cmpuint(t->s->n_tasks, ==, n);
}

/* A whole command, after power-on's unit attention has been told. */
static void works(LsiTest *t)
{
    lt_hold(false);
    for (unsigned i = 0; i < 2; i++) {
        put_read(t, 7, 1);
        put_msg(t, (const uint8_t[]){ 0x80 }, 1);
        emit_select(t, 1, true);
        lt_emit(t, I_JUMP | C_WHEN(PHASE_STATUS), LT_SCRIPT + 48);
        lt_emit(t, I_MOVE(PHASE_DATA_IN, 512), LT_DATA);
        lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_BYTES);
        lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_BYTES + 1);
        lt_emit(t, I_CLEAR(I_ACK), 0);
        lt_emit(t, I_WAIT_DISC, 0);
        lt_emit(t, I_INT, 0x600d);
        lt_run(t, LT_SCRIPT);
        g_assert_cmphex(lt_r8(t, LSI_SIST0) & ~SIST0_RSL, ==, 0);
        g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
        g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 0x600d);
    }
    g_assert_cmphex(t->ram[M_BYTES], ==, SCSI_GOOD);
    g_assert_cmphex(t->ram[LT_DATA + 511], ==, lt_pattern(0, 7));
}

static LsiTest *new_working(const char *model)
{
    LsiTest *t = lt_new(model, 1);

    works(t);
    return t;
}

/* ---- reentrancy and lifetime ---- */

enum { S_STOPPED, S_RUNNING, S_RESELECT, S_DISCONNECT, S_PHASE, S_MOVE, N_STATES };

static void go_to(LsiTest *t, unsigned state)
{
    static const LsiRun runs[N_STATES] = { LSI_STOPPED,         LSI_RUNNING,    LSI_WAIT_RESELECT,
                                           LSI_WAIT_DISCONNECT, LSI_WAIT_PHASE, LSI_WAIT_MOVE };

    in_flight(t, 2);
    put_read(t, 9, 1);
    put_msg(t, (const uint8_t[]){ 0x80 }, 1);
    emit_select(t, 1, true);
    switch (state) {
    case S_STOPPED:
        lt_emit(t, I_INT, 5);
        break;
    case S_RUNNING:
        lt_emit(t, I_JUMP, t->pc);
        break;
    case S_RESELECT:
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_WAIT_RESEL, LT_SCRIPT);
        break;
    case S_DISCONNECT:
        lt_emit(t, I_WAIT_DISC, 0);
        break;
    case S_PHASE:
        lt_emit(t, I_JUMP | C_WHEN(PHASE_DATA_IN), 0);
        break;
    default:
        lt_emit(t, I_MOVE(PHASE_DATA_IN, 512), LT_DATA);
    }
    lt_start(t, LT_SCRIPT);
    lt_turns(t, 4);
    g_assert_cmpint(t->s->st.run, ==, runs[state]);
}

/* 64807c84e8: SRST with whatever other bits acts alone; all values, in each state. */
static void test_istat(void)
{
    LsiTest *t = new_working("lsi53c895a");

    for (unsigned state = 0; state < N_STATES; state++) {
        for (unsigned v = 0; v < 256; v++) {
            go_to(t, state);
            lt_w8(t, LSI_ISTAT0, v);
            if (v & ISTAT0_SRST) {
                g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, 0);
                g_assert_cmpint(t->s->st.run, ==, LSI_STOPPED);
            } else if (v & ISTAT0_ABRT) {
                g_assert_cmpint(t->s->st.run, ==, LSI_STOPPED);
                g_assert_cmphex(lt_r8(t, LSI_ISTAT0) & ISTAT0_DIP, ==, ISTAT0_DIP);
            } else {
                g_assert_cmphex(lt_r8(t, LSI_ISTAT0) & (ISTAT0_SIGP | ISTAT0_SEM), ==,
                                v & (ISTAT0_SIGP | ISTAT0_SEM));
            }
            lt_turns(t, 2);
            lt_hold(false);
            lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
            lt_settle(t);
        }
    }
    works(t);
    lt_free(t);
}

/* CVE-2024-6519: SCRIPTS that write the registers which start, stop and reset SCRIPTS, by STORE and
 * by MEMORY MOVE, with commands in flight and one connected. */
static void test_reentry(void)
{
    static const struct {
        uint8_t reg, val;
    } writes[] = {
        { LSI_ISTAT0, ISTAT0_SRST }, { LSI_ISTAT0, ISTAT0_ABRT },
        { LSI_ISTAT0, ISTAT0_SIGP }, { LSI_SCNTL1, SCNTL1_RST },
        { LSI_DSP + 3, 0 },          { LSI_DCNTL, DCNTL_STD },
        { LSI_DCNTL, DCNTL_SSM },    { LSI_SOCL, 0 },
        { LSI_STEST3, 0x82 },        { LSI_SCNTL0, 0xff },
        { LSI_SIEN0, 0xff },
    };
    LsiTest *t = new_working("lsi53c895a");

    for (unsigned i = 0; i < G_N_ELEMENTS(writes); i++) {
        for (unsigned how = 0; how < 3; how++) {
            in_flight(t, 3);
            t->ram[LT_DATA + 0x100 + writes[i].reg % 4] = writes[i].val;
            put_msg(t, (const uint8_t[]){ 0x80 }, 1);
            emit_select(t, 1, true);
            if (how == 0) {
                lt_emit(t, I_REG_REG(A_LOAD, writes[i].reg, writes[i].val), 0);
            } else if (how == 1) {
                lt_emit(t, I_REG_REG(A_LOAD, LSI_SCRATCHA + writes[i].reg % 4, writes[i].val), 0);
                lt_emit(t, I_STORE(LSI_SCRATCHA + writes[i].reg % 4, 1),
                        LT_BAR_REGS + writes[i].reg);
            } else {
                lt_emit(t, I_MEMMOVE(1), LT_DATA + 0x100 + writes[i].reg % 4);
                lt_emit1(t, LT_BAR_REGS + writes[i].reg);
            }
            lt_emit(t, I_MOVE(PHASE_DATA_IN, 512), LT_DATA);
            lt_emit(t, I_INT, 1);
            lt_start(t, LT_SCRIPT);
            lt_turns(t, 4);
            g_assert_false(t->s->executing);
            lt_hold(false);
            lt_turns(t, 10);
            lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
            lt_w8(t, LSI_SCNTL1, 0);
            lt_settle(t);
            works(t);
        }
    }
    lt_free(t);
}

/* 8b09b7fe47: the end of a slice, ten thousand times over, leaves nothing behind. */
static void test_budget(void)
{
    LsiTest *t = new_working("lsi53c895a");

    lt_org(t, LT_BAR_RAM);
    lt_emit(t, I_JUMP, LT_BAR_RAM);
    lt_start(t, LT_BAR_RAM);
    lt_turns(t, 10000);
    g_assert_cmpint(t->s->st.run, ==, LSI_RUNNING);
    lt_w8(t, LSI_ISTAT0, ISTAT0_ABRT);
    lt_w8(t, LSI_ISTAT0, 0);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_ABRT);
    works(t);
    lt_free(t);
}

/* bfd6e7ae6a, d139fe9ad8: what is legal works: data, tables and pointers in script RAM, registers
 * as source and destination. */
static void test_legal_self_dma(void)
{
    LsiTest *t = new_working("lsi53c895a");

    put_read(t, 11, 1);
    put_msg(t, (const uint8_t[]){ 0x80 }, 1);
    emit_select(t, 1, true);
    lt_put32(t, LT_BAR_RAM + 0x800, 512); /* the table, too */
    lt_put32(t, LT_BAR_RAM + 0x804, LT_BAR_RAM + 0x1000);
    lt_w32(t, LSI_DSA, LT_BAR_RAM + 0x800);
    lt_emit(t, I_MOVE_TBL(PHASE_DATA_IN), 0);
    lt_emit(t, I_MEMMOVE(512), LT_BAR_RAM + 0x1000);
    lt_emit1(t, LT_DATA);
    lt_emit(t, I_MEMMOVE(4), LT_BAR_RAM + 0x1000);
    lt_emit1(t, LT_BAR_REGS + LSI_SCRATCHB);
    lt_emit(t, I_MEMMOVE(4), LT_BAR_REGS + LSI_SCRATCHB);
    lt_emit1(t, LT_BAR_RAM + 0x10);
    lt_emit(t, I_LOAD(LSI_SCRATCHA, 4), LT_BAR_RAM + 0x10);
    lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_BYTES);
    lt_emit(t, I_INT, 4);
    lt_run_int(t, LT_SCRIPT, 4);
    g_assert_cmphex(t->ram[LT_DATA + 511], ==, lt_pattern(0, 11));
    g_assert_cmphex(lt_r8(t, LSI_SCRATCHA + 3), ==, lt_pattern(0, 11));
    lt_free(t);
}

/* QEMU issue 3090: a script that tells the machine to take the adapter away. Ports are not for it
 * to reach, nor anybody else's registers. */
static void test_eject_3090(void)
{
    static const uint32_t ports[] = { 0xae08, 0xae00, 0xcf8, 0xcfc, 0xb2, 0x64, 0x604 };
    LsiTest *t = new_working("lsi53c895a");

    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++) {
        lt_w8(t, LSI_DMODE, DMODE_DIOM);
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_MEMMOVE(4), LT_DATA + ports[i] % 4);
        lt_emit1(t, ports[i]);
        lt_run(t, LT_SCRIPT);
        g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_BF);
    }
    lt_w8(t, LSI_DMODE, 0);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_STORE(LSI_SCRATCHA, 4), 0xfebf0000); /* where another function could be */
    lt_run(t, LT_SCRIPT);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_BF);
    works(t);
    lt_free(t);
}

/* 64d564094c, 6ac08101f9: the device goes away at each point of a command's life. */
static void test_gone_at_any_time(void)
{
    for (unsigned turns = 0; turns < 16; turns++) {
        LsiTest *t = new_working("lsi53c895a");

        in_flight(t, 2);
        put_read(t, 0, 100);
        put_msg(t, (const uint8_t[]){ 0x80 }, 1);
        emit_select(t, 1, true);
        lt_emit(t, I_MOVE(PHASE_DATA_IN, 100 * 512), LT_DATA);
        lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_BYTES);
        lt_start(t, LT_SCRIPT);
        lt_turns(t, turns / 2);
        lt_hold(!(turns & 1));
        lt_turns(t, turns / 2);
        lt_free(t); /* looks that no task is left */
    }
}

/* ---- messages ---- */

/* 5297a0fc65: all are cancelled, then one of them once more in the same MSG OUT. */
static void test_clear_then_abort(void)
{
    static const uint8_t first[] = { 0x0e, 0x06, 0x0c };

    for (unsigned i = 0; i < G_N_ELEMENTS(first); i++) {
        LsiTest *t = new_working("lsi53c895a");

        in_flight(t, 3);
        put_msg(t, (const uint8_t[]){ 0x80, 0x20, 2, first[i], 0x0d, 0x0d }, 6);
        emit_select(t, 6, false);
        lt_emit(t, I_WAIT_DISC, 0);
        lt_emit(t, I_INT, 7);
        lt_run_int(t, LT_SCRIPT, 7);
        g_assert_null(t->s->tasks);
        works(t);
        lt_free(t);
    }
}

/* 4494dec8c2: a second tag replaces the first, it is not ORed to it. */
static void test_tag_replaced(void)
{
    LsiTest *t = new_working("lsi53c895a");

    in_flight(t, 3);
    put_msg(t, (const uint8_t[]){ 0x80, 0x20, 2, 0x20, 1, 0x0d }, 6);
    emit_select(t, 6, false);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, 8);
    lt_run_int(t, LT_SCRIPT, 8);
    for (LsiTask *k = t->s->tasks; k; k = k->next) {
        g_assert_cmpuint(k->req.tag, !=, 1);
    }
    g_assert_nonnull(t->s->tasks);
    g_assert_nonnull(t->s->tasks->next);
    g_assert_null(t->s->tasks->next->next);
    lt_free(t);
}

/* The tag's kind is the task's attribute. */
static void test_attributes(void)
{
    static const ScsiAttr attrs[] = { SCSI_SIMPLE, SCSI_HEAD, SCSI_ORDERED };
    LsiTest *t = new_working("lsi53c895a");

    lt_hold(true);
    put_read(t, 3, 2);
    for (unsigned i = 0; i < G_N_ELEMENTS(attrs); i++) {
        put_msg(t, (const uint8_t[]){ 0xc0, 0x20 + i, 0x40 + i }, 3);
        emit_select(t, 3, true);
        lt_emit(t, I_MOVE(PHASE_MSG_IN, 2), M_BYTES);
        lt_emit(t, I_CLEAR(I_ACK), 0);
        lt_emit(t, I_WAIT_DISC, 0);
        lt_emit(t, I_INT, i);
        lt_run_int(t, LT_SCRIPT, i);
        g_assert_cmpint(t->s->tasks->req.attr, ==, attrs[i]);
        g_assert_cmpuint(t->s->tasks->req.tag, ==, 0x40 + i);
    }
    lt_free(t);
}

/* ---- the bus ---- */

static void expect_lines(LsiTest *t, uint8_t sbcl, uint8_t phase)
{
    g_assert_cmphex(lt_r8(t, LSI_SBCL), ==, sbcl);
    g_assert_cmphex(lt_r8(t, LSI_SSTAT1) & 7, ==, phase);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0) & ISTAT0_CON, ==, sbcl ? ISTAT0_CON : 0);
    g_assert_cmphex(lt_r8(t, LSI_SCNTL1) & SCNTL1_CON, ==, sbcl ? SCNTL1_CON : 0);
}

/* The control lines as HP-UX looks at them, step by step through a command. */
static void test_lines(void)
{
    enum { BSY_REQ = SOCL_BSY | SOCL_REQ };
    LsiTest *t = new_working("lsi53c895a");

    g_assert_cmphex(lt_r8(t, LSI_SBCL), ==, 0);
    put_read(t, 7, 1);
    put_msg(t, (const uint8_t[]){ 0x80 }, 1);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_INT, 1);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT);
    lt_emit(t, I_INT, 2);
    lt_emit(t, I_MOVE(PHASE_COMMAND, 10), M_CDB);
    lt_emit(t, I_INT | C_WHEN(PHASE_DATA_IN), 3);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 512), LT_DATA);
    lt_emit(t, I_INT | C_WHEN(PHASE_STATUS), 4);
    lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_BYTES);
    lt_emit(t, I_INT, 5);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_BYTES + 1);
    lt_emit(t, I_INT, 6);
    lt_run_int(t, LT_SCRIPT, 1);
    expect_lines(t, BSY_REQ | SOCL_ATN | PHASE_MSG_OUT, PHASE_MSG_OUT);
    g_assert_cmphex(lt_r8(t, LSI_SCNTL2) & SCNTL2_SDU, ==, SCNTL2_SDU);
    lt_run_int(t, LT_SCRIPT + 16, 2);
    expect_lines(t, BSY_REQ | PHASE_COMMAND, PHASE_COMMAND);
    lt_run_int(t, LT_SCRIPT + 32, 3);
    expect_lines(t, BSY_REQ | PHASE_DATA_IN, PHASE_DATA_IN);
    lt_run_int(t, LT_SCRIPT + 48, 4);
    expect_lines(t, BSY_REQ | PHASE_STATUS, PHASE_STATUS);
    lt_run_int(t, LT_SCRIPT + 64, 5);
    expect_lines(t, BSY_REQ | PHASE_MSG_IN, PHASE_MSG_IN);
    lt_run_int(t, LT_SCRIPT + 80, 6);
    expect_lines(t, 0, PHASE_MSG_IN); /* INT ends it, as firmware needs (quirk Q6) */
    lt_free(t);
}

/* ---- interrupts ---- */

/* A timer armed since then will fire in 125 us << (code - 1), 16 times that if scaled. */
static void expect_timer(const LoopTimer *timer, int64_t since, unsigned code, bool scaled)
{
    int64_t ns = (INT64_C(125000) << (code - 1)) * (scaled ? 16 : 1);

    g_assert_true(loop_timer_armed(timer));
    g_assert_cmpint(timer->deadline_ns, >=, since + ns);
    g_assert_cmpint(timer->deadline_ns, <=, loop_now_ns() + ns);
}

/* STIME0 and STIME1: all codes of GEN; those of HTH, which only runs while the target makes the
 * initiator wait. */
static void test_timer_codes(void)
{
    LsiTest *t = new_working("lsi53c895a");

    for (unsigned v = 1; v < 32; v++) {
        const unsigned code = v & 0x0f, scale = v & 0x10 ? STIME1_GENSF : 0;
        int64_t now = loop_now_ns();

        lt_w8(t, LSI_STIME1, 0);
        lt_w8(t, LSI_STIME1, code | scale);
        if (code) {
            expect_timer(&t->s->gen_timer, now, code, scale);
        } else {
            g_assert_false(loop_timer_armed(&t->s->gen_timer));
        }
    }
    lt_w8(t, LSI_STIME1, 0);
    lt_hold(true);
    for (unsigned scale = 0; scale < 2; scale++) {
        int64_t now = loop_now_ns();

        lt_w8(t, LSI_STIME0, 0xf0);
        lt_w8(t, LSI_STIME1, scale ? STIME1_HTHSF : 0);
        put_read(t, 9, 1);
        put_msg(t, (const uint8_t[]){ 0x80 }, 1);
        emit_select(t, 1, true);
        lt_emit(t, I_MOVE(PHASE_DATA_IN, 512), LT_DATA);
        g_assert_false(loop_timer_armed(&t->s->hth_timer));
        lt_start(t, LT_SCRIPT);
        lt_turns(t, 4);
        g_assert_cmpint(t->s->st.run, ==, LSI_WAIT_MOVE);
        expect_timer(&t->s->hth_timer, now, 0x0f, scale);
        lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
    }
    lt_free(t);
}

/* ISTAT1.SI holds back what is new; what is being served stays until it is. */
static void test_synchronous_disable(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_w8(t, LSI_DIEN, 0x7f);
    lt_emit(t, I_INT, 1);
    lt_run(t, LT_SCRIPT);
    g_assert_true(t->irq);
    lt_w8(t, LSI_ISTAT1, ISTAT1_SI);
    g_assert_true(t->irq);
    lt_r8(t, LSI_DSTAT);
    g_assert_false(t->irq);
    lt_run(t, LT_SCRIPT);
    g_assert_false(t->irq);
    lt_w8(t, LSI_ISTAT1, 0);
    g_assert_true(t->irq);
    lt_w8(t, LSI_DCNTL, DCNTL_IRQD); /* this one cuts off at once */
    g_assert_false(t->irq);
    lt_w8(t, LSI_DCNTL, 0); /* and lets it through as soon as it is cleared */
    g_assert_true(t->irq);
    lt_free(t);
}

/* ---- addresses of 64 bits ---- */

static void read_by_table(LsiTest *t, uint8_t top, uint32_t vector)
{
    put_read(t, 12, 1);
    put_msg(t, (const uint8_t[]){ 0x80 }, 1);
    emit_select(t, 1, true);
    lt_put32(t, M_TABLE, 512 | (uint32_t)top << 24);
    lt_put32(t, M_TABLE + 4, LT_DATA);
    lt_w32(t, LSI_DSA, M_TABLE);
    memset(t->ram + LT_DATA, 0, 512);
    lt_emit(t, I_MOVE_TBL(PHASE_DATA_IN), 0);
    lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_BYTES);
    lt_emit(t, I_INT, vector);
    lt_run(t, LT_SCRIPT);
}

/* Table moves with EN64TIBMV and an index: which register has the upper dword. */
static void test_table_index(void)
{
    static const uint8_t others[] = { LSI_MMRS, LSI_MMWS, LSI_SFS, LSI_DRS, LSI_SBMS, LSI_DBMS };
    LsiTest *t = new_working("lsi53c895a");

    lt_w8(t, LSI_CCNTL1, CCNTL1_EN64TIBMV);
    for (unsigned index = 0; index < 22; index++) {
        unsigned reg = index < 16 ? LSI_SCRATCHC + 4 * index : others[index - 16];

        read_by_table(t, index, 0x20 + index);
        g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
        g_assert_cmphex(t->ram[LT_DATA + 511], ==, lt_pattern(0, 12));
        if (reg != LSI_SFS && reg != LSI_DRS) { /* which would take instruction and table away */
            lt_w32(t, reg, 1);
            read_by_table(t, index, 0x20 + index);
            g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_BF);
            g_assert_cmphex(lt_r32(t, LSI_DNAD64), ==, 1);
            lt_w8(t, LSI_CCNTL1, CCNTL1_EN64TIBMV | CCNTL1_DDAC); /* no dual cycles: ignored */
            read_by_table(t, index, 0x20 + index);
            g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
            lt_w8(t, LSI_CCNTL1, CCNTL1_EN64TIBMV);
            lt_w32(t, reg, 0);
        }
    }
    for (unsigned index = 22; index < 32; index++) {
        read_by_table(t, index, 0);
        g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_IID);
    }
    lt_free(t);
}

/* The selectors of memory moves, loads and stores, pointers and fetches: each its own accesses. */
static void test_selectors(void)
{
    static const struct {
        uint8_t reg;
        uint32_t insn[3];
    } rows[] = {
        { LSI_MMRS, { I_MEMMOVE(4), LT_DATA, LT_DATA + 64 } },
        { LSI_MMWS, { I_MEMMOVE(4), LT_DATA, LT_DATA + 64 } },
        { LSI_MMRS, { I_LOAD(LSI_SCRATCHA, 4), LT_DATA, I_NOP } },
        { LSI_MMWS, { I_STORE(LSI_SCRATCHA, 4), LT_DATA, I_NOP } },
        { LSI_DRS, { I_LOAD(LSI_SCRATCHA, 4) | I_DSA, 0, I_NOP } },
        { LSI_DRS, { I_STORE(LSI_SCRATCHA, 4) | I_DSA, 0, I_NOP } },
        { LSI_SFS, { I_NOP, 0, I_NOP } },
    };
    LsiTest *t = lt_new("lsi53c895a", 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (unsigned upper = 0; upper < 2; upper++) {
            lt_w32(t, LSI_DSA, LT_DATA);
            lt_org(t, LT_SCRIPT);
            for (unsigned k = 0; k < 3; k++) {
                lt_emit1(t, rows[i].insn[k]);
            }
            if (rows[i].insn[2] == I_NOP) {
                lt_emit1(t, 0);
            }
            lt_emit(t, I_INT, 3);
            lt_w32(t, rows[i].reg, upper);
            lt_run(t, LT_SCRIPT);
            g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | (upper ? DSTAT_BF : DSTAT_SIR));
            lt_w32(t, rows[i].reg, 0);
        }
    }
    lt_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lsi/known/istat-64807c84e8", test_istat);
    g_test_add_func("/lsi/known/reentry-cve-2024-6519", test_reentry);
    g_test_add_func("/lsi/known/budget-8b09b7fe47", test_budget);
    g_test_add_func("/lsi/known/legal-self-dma-bfd6e7ae6a-d139fe9ad8", test_legal_self_dma);
    g_test_add_func("/lsi/known/eject-issue-3090", test_eject_3090);
    g_test_add_func("/lsi/known/gone-64d564094c-6ac08101f9", test_gone_at_any_time);
    g_test_add_func("/lsi/known/clear-then-abort-5297a0fc65", test_clear_then_abort);
    g_test_add_func("/lsi/known/tag-replaced-4494dec8c2", test_tag_replaced);
    g_test_add_func("/lsi/msg/attributes", test_attributes);
    g_test_add_func("/lsi/bus/lines", test_lines);
    g_test_add_func("/lsi/irq/timer-codes", test_timer_codes);
    g_test_add_func("/lsi/irq/synchronous-disable", test_synchronous_disable);
    g_test_add_func("/lsi/address/table-index", test_table_index);
    g_test_add_func("/lsi/address/selectors", test_selectors);
    return g_test_run();
}
