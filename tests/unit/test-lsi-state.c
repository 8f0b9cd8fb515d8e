/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Save and restore of the LSI. Each scenario runs twice: as it is, and with the device replaced by
 * a new one that is given the old one's state, wherever the scenario says so. Guest memory,
 * registers, interrupts and disks must come out the same. Then the loader, with streams that are
 * not what lsi_save() wrote.
 */
#include "hw/scsi/lsi.h"
#include "lsi-harness.h"

#include <string.h>

enum {
    M_MSG_OUT = LT_TABLE,
    M_CDB = LT_TABLE + 0x40,
    M_STATUS = LT_TABLE + 0x80,
    M_MSG_IN = LT_TABLE + 0x90,
    M_FLAG = LT_TABLE + 0xa0,
};

/* What is done where a scenario may be interrupted. */
typedef struct Cut {
    bool reborn;
    unsigned n;
} Cut;

static void cut(LsiTest *t, Cut *c, LsiRun run)
{
    g_assert_cmpint(t->s->st.run, ==, run);
    c->n++;
    if (c->reborn) {
        lt_reborn(t);
        g_assert_cmpint(t->s->st.run, ==, run);
    }
}

typedef void Scenario(LsiTest *t, Cut *c, unsigned arg);

typedef struct Result {
    GByteArray *ram;
    uint8_t reg[LSI_REGS];
    uint8_t run, carry, connected, phase;
    bool irq;
    unsigned irqs, cuts;
    char *disks;
} Result;

static Result result_of(const char *model, Scenario *fn, unsigned arg, bool reborn)
{
    LsiTest *t = lt_new(model, 2);
    Cut c = { .reborn = reborn };
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    Result r = { 0 };

    fn(t, &c, arg);
    r.cuts = c.n;
    r.ram = g_byte_array_append(g_byte_array_new(), t->ram, LT_RAM_SIZE);
    memcpy(r.reg, t->s->st.reg, sizeof(r.reg));
    r.run = t->s->st.run;
    r.carry = t->s->st.carry;
    r.connected = t->s->st.connected;
    r.phase = t->s->st.phase;
    r.irq = t->irq;
    r.irqs = t->irqs;
    lt_settle(t);
    for (unsigned d = 0; d < 2; d++) {
        g_autofree char *path = g_strdup_printf("%s/disk%u", t->dir, d), *data = NULL;
        gsize len;

        g_assert_true(g_file_get_contents(path, &data, &len, NULL));
        g_checksum_update(sum, (guchar *)data, len);
    }
    r.disks = g_strdup(g_checksum_get_string(sum));
    lt_free(t);
    return r;
}

static void result_free(Result *r)
{
    g_byte_array_unref(r->ram);
    g_free(r->disks);
}

static void same(const char *model, Scenario *fn, unsigned arg)
{
    Result a = result_of(model, fn, arg, false), b = result_of(model, fn, arg, true);

    g_assert_cmpuint(a.cuts, >, 0);
    g_assert_cmpuint(a.cuts, ==, b.cuts);
    for (unsigned i = 0; i < LSI_REGS; i++) {
        if (a.reg[i] != b.reg[i]) {
            g_error("register %02x: %02x without, %02x with restoring", i, a.reg[i], b.reg[i]);
        }
    }
    for (unsigned i = 0; i < LT_RAM_SIZE; i++) {
        if (a.ram->data[i] != b.ram->data[i]) {
            g_error("memory at %x: %02x without, %02x with restoring", i, a.ram->data[i],
                    b.ram->data[i]);
        }
    }
    g_assert_cmpuint(a.run, ==, b.run);
    g_assert_cmpuint(a.carry, ==, b.carry);
    g_assert_cmpuint(a.connected, ==, b.connected);
    g_assert_cmpuint(a.phase, ==, b.phase);
    g_assert_cmpint(a.irq, ==, b.irq);
    g_assert_cmpuint(a.irqs, ==, b.irqs);
    g_assert_cmpstr(a.disks, ==, b.disks);
    result_free(&a);
    result_free(&b);
}

/* ---- pieces of scripts ---- */

static void put_cdb(LsiTest *t, const uint8_t *cdb, unsigned len)
{
    memset(t->ram + M_CDB, 0, 16);
    memcpy(t->ram + M_CDB, cdb, len);
}

static void put_rw10(LsiTest *t, uint8_t op, uint32_t lba, uint16_t blocks)
{
    uint8_t cdb[10] = { op, 0, lba >> 24, lba >> 16, lba >> 8, lba, 0, blocks >> 8, blocks };

    put_cdb(t, cdb, sizeof(cdb));
}

/* SELECT, IDENTIFY without the right to disconnect, and a CDB of len bytes. */
static void emit_command(LsiTest *t, unsigned id, unsigned len)
{
    t->ram[M_MSG_OUT] = 0x80;
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(id), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT);
    lt_emit(t, I_MOVE(PHASE_COMMAND, len), M_CDB);
}

static void emit_end(LsiTest *t, uint32_t vector)
{
    lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_STATUS);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN);
    lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, vector);
}

/* A command without data, to its end: power-on's unit attention is told. */
static void no_attention(LsiTest *t, unsigned id)
{
    static const uint8_t tur[6] = { 0 };

    put_cdb(t, tur, sizeof(tur));
    emit_command(t, id, 6);
    emit_end(t, 0xaa);
    lt_run_int(t, LT_SCRIPT, 0xaa);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_CHECK_CONDITION);
    lt_run_int(t, LT_SCRIPT, 0xaa);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
}

static void wait_run(LsiTest *t, LsiRun run)
{
    for (unsigned i = 0; t->s->st.run != run; i++) {
        g_assert_cmpuint(i, <, 1000);
        loop_turn(t->loop, 1);
    }
}

/* ---- scenarios ---- */

static void masks(LsiTest *t)
{
    lt_w8(t, LSI_DIEN, 0x7f);
    lt_w8(t, LSI_SIEN0, SIST0_MA | SIST0_UDC | SIST0_RST);
    lt_w8(t, LSI_SIEN1, SIST1_STO | SIST1_GEN | SIST1_HTH);
    lt_w8(t, LSI_SCID, 0x47);
}

/* arg: phase that is waited for, while a read is held back. */
static void wait_move(LsiTest *t, Cut *c, unsigned arg)
{
    no_attention(t, 0);
    masks(t);
    put_rw10(t, 0x28, 9, 2);
    lt_hold(true);
    emit_command(t, 0, 10);
    lt_emit(t, I_MOVE(arg, arg == PHASE_DATA_IN ? 1024 : 3), LT_DATA);
    emit_end(t, 0x11);
    lt_start(t, LT_SCRIPT);
    wait_run(t, LSI_WAIT_MOVE);
    cut(t, c, LSI_WAIT_MOVE);
    lt_hold(false);
    lt_wait_stop(t);
    if (arg == PHASE_DATA_IN) {
        g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 0x11);
        g_assert_cmphex(t->ram[LT_DATA + 1023], ==, lt_pattern(0, 10));
    } else {
        g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_MA);
        g_assert_cmphex(lt_r32(t, LSI_DBC) & 0xffffff, ==, 3);
    }
}

/* Waits in its data phase for memory, with two chunks written and two on their way. */
static void wait_write(LsiTest *t, Cut *c, unsigned arg G_GNUC_UNUSED)
{
    no_attention(t, 1);
    masks(t);
    for (unsigned i = 0; i < 768 * 1024; i++) {
        t->ram[LT_DATA + i] = (uint8_t)(i * 7 + (i >> 9));
    }
    put_rw10(t, 0x2a, 100, 1536);
    lt_hold(true);
    emit_command(t, 1, 10);
    lt_emit(t, I_MOVE(PHASE_DATA_OUT, 768 * 1024), LT_DATA);
    emit_end(t, 0x12);
    lt_start(t, LT_SCRIPT);
    wait_run(t, LSI_WAIT_MOVE);
    lt_turns(t, 5);
    g_assert_cmpuint(t->s->current->req.moved, ==, 512 * 1024);
    cut(t, c, LSI_WAIT_MOVE);
    lt_hold(false);
    lt_wait_stop(t);
    g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 0x12);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
    lt_settle(t);
    g_assert_cmphex(lt_image_byte(t, 1, 100 * 512 + 768 * 1024 - 1), ==,
                    t->ram[LT_DATA + 768 * 1024 - 1]);
}

/* Stopped in the middle of the data phase after arg bytes, which are in no block's end. */
static void mid_data(LsiTest *t, unsigned op, unsigned phase, Cut *c, unsigned arg)
{
    uint32_t stop;

    no_attention(t, 0);
    masks(t);
    if (phase == PHASE_DATA_OUT) {
        for (unsigned i = 0; i < 600 * 1024; i++) {
            t->ram[LT_DATA + i] = (uint8_t)(i * 5 + (i >> 8));
        }
    }
    put_rw10(t, op, 50, 1200);
    emit_command(t, 0, 10);
    lt_emit(t, I_MOVE(phase, arg), LT_DATA);
    stop = lt_emit(t, I_INT, 0x13);
    lt_emit(t, I_MOVE(phase, 600 * 1024 - arg), LT_DATA + arg);
    emit_end(t, 0x14);
    lt_run_int(t, LT_SCRIPT, 0x13);
    cut(t, c, LSI_STOPPED);
    lt_run_int(t, stop + 8, 0x14);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
    if (phase == PHASE_DATA_IN) {
        g_assert_cmphex(t->ram[LT_DATA + 600 * 1024 - 1], ==, lt_pattern(0, 1249));
    }
    lt_settle(t);
}

static void mid_read(LsiTest *t, Cut *c, unsigned arg)
{
    mid_data(t, 0x28, PHASE_DATA_IN, c, arg);
}

static void mid_write(LsiTest *t, Cut *c, unsigned arg)
{
    mid_data(t, 0x2a, PHASE_DATA_OUT, c, arg);
}

/* A parameter list of which arg bytes have been sent. */
static void mid_params(LsiTest *t, Cut *c, unsigned arg)
{
    static const uint8_t cdb[6] = { 0x15, 0x10, 0, 0, 24 };
    static const uint8_t list[24] = { 0, 0, 0, 0, 0x08, 0x12, 0x00 };
    uint32_t stop;

    no_attention(t, 0);
    masks(t);
    put_cdb(t, cdb, sizeof(cdb));
    memcpy(t->ram + LT_DATA, list, sizeof(list));
    emit_command(t, 0, 6);
    lt_emit(t, I_MOVE(PHASE_DATA_OUT, arg), LT_DATA);
    stop = lt_emit(t, I_INT, 0x15);
    lt_emit(t, I_MOVE(PHASE_DATA_OUT, 24 - arg), LT_DATA + arg);
    emit_end(t, 0x16);
    lt_run_int(t, LT_SCRIPT, 0x15);
    cut(t, c, LSI_STOPPED);
    lt_run_int(t, stop + 8, 0x16);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
}

static void emit_sense(LsiTest *t, unsigned first)
{
    static const uint8_t cdb[6] = { 0x03, 0, 0, 0, 18 };

    put_cdb(t, cdb, sizeof(cdb));
    emit_command(t, 0, 6);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, first), LT_DATA);
    lt_emit(t, I_INT, 0x17);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 18 - first), LT_DATA + first);
    emit_end(t, 0x18);
}

/* Sense data: before it is asked for, and when arg bytes of it have been taken. */
static void sense(LsiTest *t, Cut *c, unsigned arg)
{
    no_attention(t, 0);
    masks(t);
    put_rw10(t, 0x28, LT_DISK_BLOCKS, 1);
    emit_command(t, 0, 10);
    emit_end(t, 0x19);
    lt_run_int(t, LT_SCRIPT, 0x19);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_CHECK_CONDITION);
    cut(t, c, LSI_STOPPED);
    emit_sense(t, arg);
    lt_run_int(t, LT_SCRIPT, 0x17);
    cut(t, c, LSI_STOPPED);
    lt_run_int(t, LT_SCRIPT + 40, 0x18);
    g_assert_cmphex(t->ram[LT_DATA + 2], ==, 0x05);
    g_assert_cmphex(t->ram[LT_DATA + 12], ==, 0x21);
}

static void attention(LsiTest *t, Cut *c, unsigned arg G_GNUC_UNUSED)
{
    no_attention(t, 1);
    cut(t, c, LSI_STOPPED); /* target 0 has its own still, target 1 not */
    no_attention(t, 0);
    emit_command(t, 1, 6);
    emit_end(t, 0x1a);
    lt_run_int(t, LT_SCRIPT, 0x1a);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
}

/* JUMP WHEN, with the target busy; arg 1: with the handshake timer running. */
static void wait_phase(LsiTest *t, Cut *c, unsigned arg)
{
    uint32_t taken;

    no_attention(t, 0);
    masks(t);
    if (arg) {
        lt_w8(t, LSI_STIME0, 0x90); /* 32 ms */
    }
    put_rw10(t, 0x28, 7, 1);
    lt_hold(true);
    emit_command(t, 0, 10);
    taken = t->pc + 16;
    lt_emit(t, I_JUMP | C_WHEN(PHASE_DATA_IN), taken);
    lt_emit(t, I_INT, 0xbad);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 512), LT_DATA);
    emit_end(t, 0x1b);
    lt_start(t, LT_SCRIPT);
    wait_run(t, LSI_WAIT_PHASE);
    g_assert_cmpint(loop_timer_armed(&t->s->hth_timer), ==, arg != 0);
    cut(t, c, LSI_WAIT_PHASE);
    g_assert_cmpint(loop_timer_armed(&t->s->hth_timer), ==, arg != 0);
    if (arg) {
        lt_wait_stop(t);
        g_assert_cmphex(lt_r8(t, LSI_SIST1), ==, SIST1_HTH);
        lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
        return;
    }
    lt_hold(false);
    lt_wait_stop(t);
    g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 0x1b);
}

/* WAIT DISCONNECT of a target that has no reason to. */
static void wait_disconnect(LsiTest *t, Cut *c, unsigned arg G_GNUC_UNUSED)
{
    static const uint8_t tur[6] = { 0 };

    masks(t);
    put_cdb(t, tur, sizeof(tur));
    emit_command(t, 0, 6);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_start(t, LT_SCRIPT);
    wait_run(t, LSI_WAIT_DISCONNECT);
    lt_turns(t, 5);
    cut(t, c, LSI_WAIT_DISCONNECT);
    lt_turns(t, 5);
    lt_w8(t, LSI_ISTAT0, ISTAT0_ABRT);
    lt_w8(t, LSI_ISTAT0, 0);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_ABRT);
}

/* Stopped with interrupts pending, level up: two sources at once. */
static void stopped(LsiTest *t, Cut *c, unsigned arg G_GNUC_UNUSED)
{
    masks(t);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_INTFLY, 0);
    lt_emit(t, I_INT, 0x77);
    lt_start(t, LT_SCRIPT);
    wait_run(t, LSI_STOPPED);
    g_assert_true(t->irq);
    cut(t, c, LSI_STOPPED);
    g_assert_true(t->irq);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, ISTAT0_INTF | ISTAT0_DIP);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
    g_assert_true(t->irq);
    lt_w8(t, LSI_ISTAT0, ISTAT0_INTF);
    g_assert_false(t->irq);
    g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 0x77);
}

/* Between two slices of a script that spins until the CPU changes a word; in script RAM for arg. */
static void yielded(LsiTest *t, Cut *c, unsigned arg)
{
    uint32_t at = arg ? LT_BAR_RAM + 0x400 : LT_SCRIPT;

    masks(t);
    lt_put32(t, M_FLAG, 0);
    lt_org(t, at);
    lt_emit(t, I_SET(I_CARRY), 0);
    lt_emit(t, I_LOAD(LSI_SCRATCHA, 4), M_FLAG);
    lt_emit(t, I_REG_TO_SFBR(A_OR, LSI_SCRATCHA, 0), 0);
    lt_emit(t, I_JUMP | C_DATA(0, 0), at + 8);
    lt_emit(t, I_INT | C_CARRY, 0x78);
    lt_start(t, at);
    lt_turns(t, 3);
    cut(t, c, LSI_RUNNING);
    lt_turns(t, 3);
    cut(t, c, LSI_RUNNING);
    lt_put32(t, M_FLAG, 1);
    lt_wait_stop(t);
    g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 0x78);
}

static void gen_timer(LsiTest *t, Cut *c, unsigned arg G_GNUC_UNUSED)
{
    masks(t);
    lt_w8(t, LSI_STIME1, 0x08); /* 16 ms */
    cut(t, c, LSI_STOPPED);
    g_assert_true(loop_timer_armed(&t->s->gen_timer));
    while (!t->irq) {
        loop_turn(t->loop, 100);
    }
    g_assert_cmphex(lt_r8(t, LSI_SIST1), ==, SIST1_GEN);
}

/* SDTR cut after arg bytes of the message, and its answer after arg bytes, too. */
static void half_message(LsiTest *t, Cut *c, unsigned arg)
{
    static const uint8_t msg[] = { 0x80, 0x01, 3, 1, 0x32, 8 };
    uint32_t at[2];

    masks(t);
    memcpy(t->ram + M_MSG_OUT, msg, sizeof(msg));
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, arg + 1), M_MSG_OUT);
    at[0] = lt_emit(t, I_INT, 1) + 8;
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, sizeof(msg) - arg - 1), M_MSG_OUT + arg + 1);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, arg), M_MSG_IN);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    at[1] = lt_emit(t, I_INT, 2) + 8;
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 5 - arg), M_MSG_IN + arg);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, (I_INT | C_WHEN(PHASE_COMMAND)), 3);
    lt_run_int(t, LT_SCRIPT, 1);
    g_assert_true(lsi_msg_out_partial(t->s));
    cut(t, c, LSI_STOPPED);
    lt_run_int(t, at[0], 2);
    cut(t, c, LSI_STOPPED);
    lt_run_int(t, at[1], 3);
    g_assert_cmpmem(t->ram + M_MSG_IN, 5, msg + 1, 5);
    lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
}

/* Nobody at the id; between SELECT and the instruction that needs the target, in a script that has
 * not come to that yet. */
static void absent(LsiTest *t, Cut *c, unsigned arg G_GNUC_UNUSED)
{
    masks(t);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(5), 0);
    lt_emit(t, I_JUMP, LT_SCRIPT + 8);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT);
    lt_start(t, LT_SCRIPT);
    lt_turns(t, 2);
    g_assert_true(t->s->st.absent);
    cut(t, c, LSI_RUNNING);
    lt_put32(t, LT_SCRIPT + 8, I_NOP);
    lt_wait_stop(t);
    g_assert_cmphex(lt_r8(t, LSI_SIST1), ==, SIST1_STO);
    g_assert_cmphex(lt_r32(t, LSI_DSP), ==, LT_SCRIPT + 24);
}

/*
 * Commands that disconnect, with everything done by the script: DSA is 0x5000 + 0x100 * tag, and
 * has entries for data, messages, CDB, status and selection.
 */
#define TASK_DSA(tag) (0x5000u + 0x100u * (tag))
enum { T_DATA, T_MSG = 8, T_CDB = 16, T_STATUS = 24, T_SELECT = 32, T_BYTES = 0x40 };

static void put_entry(LsiTest *t, unsigned tag, unsigned at, uint32_t len, uint32_t addr)
{
    lt_put32(t, TASK_DSA(tag) + at, len);
    lt_put32(t, TASK_DSA(tag) + at + 4, addr);
}

static void put_task(LsiTest *t, unsigned tag, unsigned id, uint8_t attr, uint8_t op, uint32_t lba)
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

/* The script for n tasks with tags 1 to n. Its INT 0xf0 + tag tells of a disconnection, 0xe0 of a
 * completion; the CPU goes on at next[tag]. */
static uint32_t emit_tasks(LsiTest *t, unsigned n, uint32_t *next)
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

static uint32_t vector(LsiTest *t)
{
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
    return lt_r32(t, LSI_DSPS);
}

#define N_TASKS 6

/* Starts all of them with I/O held back: reads are on the medium, what is behind the ORDERED one
 * waits, and all have disconnected. */
static uint32_t start_tasks(LsiTest *t)
{
    uint32_t next[N_TASKS + 1], resel;

    no_attention(t, 0);
    no_attention(t, 1);
    masks(t);
    lt_w32(t, LSI_DSA, 0x5000);
    put_task(t, 1, 0, 0x20, 0x28, 10);
    put_task(t, 2, 1, 0x20, 0x28, 20);
    put_task(t, 3, 0, 0x22, 0x28, 30);
    put_task(t, 4, 0, 0x20, 0x2a, 10);
    put_task(t, 5, 1, 0x21, 0x28, 40);
    put_task(t, 6, 0, 0x20, 0x28, 60);
    resel = emit_tasks(t, N_TASKS, next);
    lt_hold(true);
    for (unsigned tag = 1; tag <= N_TASKS; tag++) {
        lt_run(t, next[tag]);
        g_assert_cmphex(vector(t), ==, 0xf0);
    }
    return resel;
}

static void check_tasks(LsiTest *t)
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

/* WAIT RESELECT with commands on the medium and in the queue; arg: how many come back before. */
static void wait_reselect(LsiTest *t, Cut *c, unsigned arg)
{
    uint32_t resel = start_tasks(t);

    for (unsigned done = 0; done < N_TASKS;) {
        lt_start(t, resel);
        if (done == arg) {
            lt_hold(true);
            for (unsigned i = 0; i < 20 && t->s->st.run != LSI_WAIT_RESELECT; i++) {
                lt_turns(t, 1);
            }
            if (!arg || t->s->st.run == LSI_WAIT_RESELECT) {
                cut(t, c, LSI_WAIT_RESELECT);
            }
        }
        lt_hold(false);
        lt_wait_stop(t);
        done += vector(t) == 0xe0;
    }
    check_tasks(t);
    c->n = 1; /* with others back before, it may have been too quick */
}

/* Commands that came back while SCRIPTS were stopped wait for reselection. */
static void pending(LsiTest *t, Cut *c, unsigned arg G_GNUC_UNUSED)
{
    uint32_t resel = start_tasks(t);

    lt_hold(false);
    while (t->s->resel.length < 2) {
        loop_turn(t->loop, 100);
    }
    cut(t, c, LSI_STOPPED);
    for (unsigned done = 0; done < N_TASKS;) {
        lt_run(t, resel);
        done += vector(t) == 0xe0;
    }
    check_tasks(t);
}

/* Two failures of one unit: the second status waits for the first one's sense to be fetched. */
static void parked(LsiTest *t, Cut *c, unsigned arg G_GNUC_UNUSED)
{
    uint32_t next[N_TASKS + 1], resel;

    no_attention(t, 0);
    masks(t);
    lt_w32(t, LSI_DSA, 0x5000);
    put_task(t, 1, 0, 0x20, 0x28, 10);
    put_task(t, 2, 0, 0x22, 0x28, LT_DISK_BLOCKS + 1);
    put_task(t, 3, 0, 0x22, 0x28, LT_DISK_BLOCKS + 2);
    resel = emit_tasks(t, 3, next);
    lt_hold(true);
    for (unsigned tag = 1; tag <= 3; tag++) {
        lt_run(t, next[tag]);
        g_assert_cmphex(vector(t), ==, 0xf0);
    }
    lt_hold(false);
    for (unsigned done = 0; done < 2;) {
        lt_run(t, resel);
        done += vector(t) == 0xe0;
    }
    lt_turns(t, 5);
    cut(t, c, LSI_STOPPED);
    lt_turns(t, 5);
    g_assert_cmpuint(t->s->resel.length, ==, 0); /* parked */
    emit_sense(t, 9);
    lt_run_int(t, LT_SCRIPT, 0x17);
    lt_run_int(t, LT_SCRIPT + 40, 0x18);
    g_assert_cmphex(t->ram[LT_DATA + 12], ==, 0x21);
    lt_w32(t, LSI_DSA, 0x5000);
    lt_run(t, resel);
    g_assert_cmphex(vector(t), ==, 0xe0);
    for (unsigned tag = 2; tag <= 3; tag++) {
        g_assert_cmphex(t->ram[TASK_DSA(tag) + T_BYTES + 32], ==, SCSI_CHECK_CONDITION);
    }
}

static const struct Case {
    const char *name;
    Scenario *fn;
    unsigned args[8], n;
    bool old; /* also on the 53C810 */
} cases[] = {
    { "wait-move",
      wait_move,
      { PHASE_DATA_OUT, PHASE_DATA_IN, PHASE_COMMAND, PHASE_STATUS, PHASE_MSG_OUT, PHASE_MSG_IN },
      6,
      true },
    { "wait-write", wait_write, { 0 }, 1, true },
    { "wait-phase", wait_phase, { 0, 1 }, 2, true },
    { "wait-disconnect", wait_disconnect, { 0 }, 1, true },
    { "wait-reselect", wait_reselect, { 0, 1, 3, 5 }, 4, false },
    { "reselection-pending", pending, { 0 }, 1, false },
    { "stopped", stopped, { 0 }, 1, true },
    { "yielded", yielded, { 0, 1 }, 2, false },
    { "gen-timer", gen_timer, { 0 }, 1, true },
    { "half-message", half_message, { 1, 2, 3, 4 }, 4, true },
    { "absent", absent, { 0 }, 1, true },
    { "mid-read", mid_read, { 1, 1000, 262144, 262145, 400001 }, 5, true },
    { "mid-write", mid_write, { 1, 1000, 262144, 262145, 400001 }, 5, true },
    { "mid-params", mid_params, { 1, 4, 23 }, 3, true },
    { "sense", sense, { 1, 9, 17 }, 3, true },
    { "attention", attention, { 0 }, 1, true },
    { "parked", parked, { 0 }, 1, false },
};

static void test_case(gconstpointer data)
{
    const struct Case *c = data;

    for (unsigned i = 0; i < c->n; i++) {
        same("lsi53c895a", c->fn, c->args[i]);
    }
    if (c->old) {
        same("lsi53c810", c->fn, c->args[0]);
    }
}

/* ---- the loader ---- */

/* A device with all sorts of things under way, saved. */
static GByteArray *rich_state(void)
{
    LsiTest *t = lt_new("lsi53c895a", 2);
    GByteArray *state;

    start_tasks(t);
    lt_hold(false);
    while (t->s->resel.length < 2) {
        loop_turn(t->loop, 100);
    }
    lt_hold(true);
    lt_w8(t, LSI_STIME1, 0x0f);
    put_rw10(t, 0x28, 5, 3);
    emit_command(t, 1, 10);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 100), LT_DATA);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 2000), LT_DATA);
    lt_start(t, LT_SCRIPT);
    lt_hold(false);
    lt_turns(t, 30);
    state = lt_save(t);
    lt_free(t);
    return state;
}

/* Whatever it has been told it is: it can be used, and reset. */
static void poke(LsiTest *t)
{
    lt_turns(t, 3);
    for (unsigned off = 0; off < 0x100; off += 4) {
        lt_r32(t, off);
    }
    lt_w8(t, LSI_ISTAT0, ISTAT0_SIGP);
    lt_turns(t, 3);
    lt_w8(t, LSI_SCNTL1, SCNTL1_RST);
    lt_settle(t);
    pci_dev_reset(t->pci);
    lt_settle(t);
}

/* A refusal leaves no trace. */
static bool try_load(LsiTest *t, const GByteArray *state)
{
    g_autoptr(GError) err = NULL;
    g_autofree LsiState *before = g_memdup2(&t->s->st, sizeof(LsiState));

    if (lt_load(t, state, &err)) {
        poke(t);
        return true;
    }
    g_assert_nonnull(err);
    g_assert_cmpmem(before, sizeof(*before), &t->s->st, sizeof(LsiState));
    g_assert_cmpuint(t->s->n_tasks, ==, 0);
    return false;
}

static bool in_ram(guint i)
{
    const guint ram = 6 + PCI_CONFIG_SIZE + LSI_REGS;

    return i >= ram + 16 && i < ram + LSI_RAM_SIZE - 16;
}

static void test_load_every_field(void)
{
    static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    g_autoptr(GByteArray) state = rich_state();
    LsiTest *t = lt_new("lsi53c895a", 2);
    unsigned good = 0, bad = 0;

    g_assert_true(try_load(t, state));
    for (guint i = 0; i < state->len; i++) {
        uint8_t was = state->data[i];

        for (unsigned v = 0; v <= G_N_ELEMENTS(values) && !in_ram(i); v++) {
            state->data[i] = v < G_N_ELEMENTS(values) ? values[v] : g_test_rand_int_range(0, 256);
            if (try_load(t, state)) {
                good++;
            } else {
                bad++;
            }
        }
        state->data[i] = was;
    }
    g_test_message("%u accepted, %u refused", good, bad);
    g_assert_cmpuint(good, >, 100);
    g_assert_cmpuint(bad, >, 100);
    lt_free(t);
}

static void test_load_random(void)
{
    g_autoptr(GByteArray) state = rich_state();
    g_autofree uint8_t *orig = g_memdup2(state->data, state->len);
    LsiTest *t = lt_new("lsi53c895a", 2);

    for (unsigned i = 0; i < 2000; i++) {
        for (unsigned n = g_test_rand_int_range(1, 12); n-- > 0;) {
            guint at;

            do {
                at = g_test_rand_int_range(0, state->len);
            } while (in_ram(at));
            state->data[at] =
                g_test_rand_bit() ? g_test_rand_int_range(0, 256) : g_test_rand_int_range(0, 4);
        }
        try_load(t, state);
        memcpy(state->data, orig, state->len);
    }
    lt_free(t);
}

static void test_load_truncated(void)
{
    g_autoptr(GByteArray) state = rich_state();
    LsiTest *t = lt_new("lsi53c895a", 2);

    for (guint len = 0; len < state->len; len++) {
        g_autofree uint8_t *part = g_memdup2(state->data, len ? len : 1);
        GByteArray cut_off = { .data = part, .len = len };

        if (!in_ram(len)) {
            g_assert_false(try_load(t, &cut_off));
        }
    }
    g_byte_array_append(state, (const guint8 *)"", 1);
    g_assert_false(try_load(t, state));
    lt_free(t);
}

static guint field_at(const GByteArray *state, const char *name)
{
    /* behind config, registers and RAM: run carry insn_addr fetch move(8 4 4 4 1 1 1) ... */
    guint at = 6 + PCI_CONFIG_SIZE + LSI_REGS + LSI_RAM_SIZE;
    static const struct {
        const char *name;
        guint off;
    } offsets[] = {
        { "run", 0 },         { "phase", 41 },      { "target", 44 },      { "after", 50 },
        { "msg_in_len", 67 }, { "msg_in_pos", 68 }, { "msg_out_len", 85 }, { "cdb_len", 103 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(offsets); i++) {
        if (!strcmp(offsets[i].name, name)) {
            g_assert_cmpuint(at + offsets[i].off, <, state->len);
            return at + offsets[i].off;
        }
    }
    g_assert_not_reached();
}

/* The fields that index something, each just past its limit; CVE-2018-18849 was the first. */
static void test_load_cve_2018_18849(void)
{
    static const struct {
        const char *name;
        uint8_t limit;
    } fields[] = {
        { "msg_in_len", LSI_MSG_IN_MAX },
        { "msg_in_pos", LSI_MSG_IN_MAX },
        { "msg_out_len", LSI_MSG_OUT_MAX },
        { "cdb_len", SCSI_CDB_MAX },
        { "run", LSI_WAIT_MOVE },
        { "phase", 7 },
        { "target", 15 },
        { "after", LSI_AFTER_ABORT },
    };
    g_autoptr(GByteArray) state = rich_state();
    LsiTest *t = lt_new("lsi53c895a", 2);

    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        guint at = field_at(state, fields[i].name);
        uint8_t was = state->data[at];

        g_assert_cmpuint(was, <=, fields[i].limit);
        for (unsigned v = fields[i].limit + 1; v < 256; v++) {
            g_autoptr(GError) err = NULL;

            state->data[at] = v;
            g_assert_false(lt_load(t, state, &err));
            g_assert_nonnull(strstr(err->message, fields[i].name));
        }
        state->data[at] = was;
    }
    g_assert_true(try_load(t, state));
    lt_free(t);
}

/* Another model, fewer or more disks. */
static void test_load_elsewhere(void)
{
    g_autoptr(GByteArray) state = rich_state();
    static const struct {
        const char *model, *says;
        unsigned disks;
    } others[] = {
        { "lsi53c810", "saved state is of a device 1000:0012", 2 },
        { "lsi53c895a", "has 2 units, the bus of 'lsi0' has 1", 1 },
        { "lsi53c895a", "has 2 units, the bus of 'lsi0' has 3", 3 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        LsiTest *t = lt_new(others[i].model, others[i].disks);
        g_autoptr(GError) err = NULL;

        g_assert_false(lt_load(t, state, &err));
        g_assert_nonnull(strstr(err->message, others[i].says));
        lt_free(t);
    }
}

/* What was saved and loaded is saved as the same bytes. */
static void test_round_trip(void)
{
    g_autoptr(GByteArray) state = rich_state(), again = NULL;
    LsiTest *t = lt_new("lsi53c895a", 2);
    g_autoptr(GError) err = NULL;
    const guint timers = 6 + PCI_CONFIG_SIZE + LSI_REGS + LSI_RAM_SIZE + 105;

    lt_load(t, state, &err);
    g_assert_no_error(err);
    again = lt_save(t);
    g_assert_cmpmem(state->data, timers, again->data, timers);
    lt_free(t);
}

/* A freeze that is not followed by anything: the device goes on. */
static void test_thaw(void)
{
    LsiTest *t = lt_new("lsi53c895a", 2);
    uint32_t resel = start_tasks(t);

    for (unsigned done = 0; done < N_TASKS;) {
        g_autoptr(GByteArray) state = NULL;

        lt_start(t, resel);
        state = lt_save(t);
        lt_turns(t, 3);
        lsi_thaw(t->pci);
        lt_hold(false);
        lt_wait_stop(t);
        done += vector(t) == 0xe0;
    }
    check_tasks(t);
    lt_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name = g_strdup_printf("/lsi/state/%s", cases[i].name);

        g_test_add_data_func(name, &cases[i], test_case);
    }
    g_test_add_func("/lsi/state/thaw", test_thaw);
    g_test_add_func("/lsi/state/round-trip", test_round_trip);
    g_test_add_func("/lsi/state/load-every-field", test_load_every_field);
    g_test_add_func("/lsi/state/load-random", test_load_random);
    g_test_add_func("/lsi/state/load-truncated", test_load_truncated);
    g_test_add_func("/lsi/state/load-cve-2018-18849", test_load_cve_2018_18849);
    g_test_add_func("/lsi/state/load-elsewhere", test_load_elsewhere);
    return g_test_run();
}
