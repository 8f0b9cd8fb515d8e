/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Save and restore of the LSI. Each scenario runs twice: as it is, and with the device replaced by
 * a new one that is given the old one's state, wherever the scenario says so. Guest memory,
 * registers, interrupts and disks must come out the same.
 */
#include "hw/scsi/lsi.h"
#include "lsi-tasks.h"

#include <string.h>

enum { M_FLAG = LT_TABLE + 0xa0 };

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

static void wait_run(LsiTest *t, LsiRun run)
{
    for (unsigned i = 0; t->s->st.run != run; i++) {
        g_assert_cmpuint(i, <, 1000);
        loop_turn(t->loop, 1);
    }
}

/* ---- scenarios ---- */

/* arg: phase that is waited for, while a read is held back. */
static void wait_move(LsiTest *t, Cut *c, unsigned arg)
{
    li_no_attention(t, 0);
    tasks_unmask(t);
    li_put_rw10(t, 0x28, 9, 2);
    lt_hold(true);
    li_emit_command(t, 0, 10);
    lt_emit(t, I_MOVE(arg, arg == PHASE_DATA_IN ? 1024 : 3), LT_DATA);
    li_emit_end(t, 0x11);
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
    li_no_attention(t, 1);
    tasks_unmask(t);
    for (unsigned i = 0; i < 768 * 1024; i++) {
        t->ram[LT_DATA + i] = (uint8_t)(i * 7 + (i >> 9));
    }
    li_put_rw10(t, 0x2a, 100, 1536);
    lt_hold(true);
    li_emit_command(t, 1, 10);
    lt_emit(t, I_MOVE(PHASE_DATA_OUT, 768 * 1024), LT_DATA);
    li_emit_end(t, 0x12);
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

    li_no_attention(t, 0);
    tasks_unmask(t);
    if (phase == PHASE_DATA_OUT) {
        for (unsigned i = 0; i < 600 * 1024; i++) {
            t->ram[LT_DATA + i] = (uint8_t)(i * 5 + (i >> 8));
        }
    }
    li_put_rw10(t, op, 50, 1200);
    li_emit_command(t, 0, 10);
    lt_emit(t, I_MOVE(phase, arg), LT_DATA);
    stop = lt_emit(t, I_INT, 0x13);
    lt_emit(t, I_MOVE(phase, 600 * 1024 - arg), LT_DATA + arg);
    li_emit_end(t, 0x14);
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

    li_no_attention(t, 0);
    tasks_unmask(t);
    li_put_cdb(t, cdb, sizeof(cdb));
    memcpy(t->ram + LT_DATA, list, sizeof(list));
    li_emit_command(t, 0, 6);
    lt_emit(t, I_MOVE(PHASE_DATA_OUT, arg), LT_DATA);
    stop = lt_emit(t, I_INT, 0x15);
    lt_emit(t, I_MOVE(PHASE_DATA_OUT, 24 - arg), LT_DATA + arg);
    li_emit_end(t, 0x16);
    lt_run_int(t, LT_SCRIPT, 0x15);
    cut(t, c, LSI_STOPPED);
    lt_run_int(t, stop + 8, 0x16);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
}

static void emit_sense(LsiTest *t, unsigned first)
{
    static const uint8_t cdb[6] = { 0x03, 0, 0, 0, 18 };

    li_put_cdb(t, cdb, sizeof(cdb));
    li_emit_command(t, 0, 6);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, first), LT_DATA);
    lt_emit(t, I_INT, 0x17);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 18 - first), LT_DATA + first);
    li_emit_end(t, 0x18);
}

/* Sense data: before it is asked for, and when arg bytes of it have been taken. */
static void sense(LsiTest *t, Cut *c, unsigned arg)
{
    li_no_attention(t, 0);
    tasks_unmask(t);
    li_put_rw10(t, 0x28, LT_DISK_BLOCKS, 1);
    li_emit_command(t, 0, 10);
    li_emit_end(t, 0x19);
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
    li_no_attention(t, 1);
    cut(t, c, LSI_STOPPED); /* target 0 has its own still, target 1 not */
    li_no_attention(t, 0);
    li_emit_command(t, 1, 6);
    li_emit_end(t, 0x1a);
    lt_run_int(t, LT_SCRIPT, 0x1a);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
}

/* JUMP WHEN, with the target busy; arg 1: with the handshake timer running. */
static void wait_phase(LsiTest *t, Cut *c, unsigned arg)
{
    uint32_t taken;

    li_no_attention(t, 0);
    tasks_unmask(t);
    if (arg) {
        lt_w8(t, LSI_STIME0, 0x90); /* 32 ms */
    }
    li_put_rw10(t, 0x28, 7, 1);
    lt_hold(true);
    li_emit_command(t, 0, 10);
    taken = t->pc + 16;
    lt_emit(t, I_JUMP | C_WHEN(PHASE_DATA_IN), taken);
    lt_emit(t, I_INT, 0xbad);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 512), LT_DATA);
    li_emit_end(t, 0x1b);
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

    tasks_unmask(t);
    li_put_cdb(t, tur, sizeof(tur));
    li_emit_command(t, 0, 6);
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
    tasks_unmask(t);
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

    tasks_unmask(t);
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
    tasks_unmask(t);
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

    tasks_unmask(t);
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
    tasks_unmask(t);
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

/* WAIT RESELECT with commands on the medium and in the queue; arg: how many come back before. */
static void wait_reselect(LsiTest *t, Cut *c, unsigned arg)
{
    uint32_t resel = tasks_start(t);

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
        done += tasks_vector(t) == 0xe0;
    }
    tasks_check(t);
    c->n = 1; /* with others back before, it may have been too quick */
}

/* Commands that came back while SCRIPTS were stopped wait for reselection. */
static void pending(LsiTest *t, Cut *c, unsigned arg G_GNUC_UNUSED)
{
    uint32_t resel = tasks_start(t);

    lt_hold(false);
    while (t->s->resel.length < 2) {
        loop_turn(t->loop, 100);
    }
    cut(t, c, LSI_STOPPED);
    for (unsigned done = 0; done < N_TASKS;) {
        lt_run(t, resel);
        done += tasks_vector(t) == 0xe0;
    }
    tasks_check(t);
}

/* Two failures of one unit: the second status waits for the first one's sense to be fetched. */
static void parked(LsiTest *t, Cut *c, unsigned arg G_GNUC_UNUSED)
{
    uint32_t next[N_TASKS + 1], resel;

    li_no_attention(t, 0);
    tasks_unmask(t);
    lt_w32(t, LSI_DSA, 0x5000);
    tasks_put(t, 1, 0, 0x20, 0x28, 10);
    tasks_put(t, 2, 0, 0x22, 0x28, LT_DISK_BLOCKS + 1);
    tasks_put(t, 3, 0, 0x22, 0x28, LT_DISK_BLOCKS + 2);
    resel = tasks_emit(t, 3, next);
    lt_hold(true);
    for (unsigned tag = 1; tag <= 3; tag++) {
        lt_run(t, next[tag]);
        g_assert_cmphex(tasks_vector(t), ==, 0xf0);
    }
    lt_hold(false);
    for (unsigned done = 0; done < 2;) {
        lt_run(t, resel);
        done += tasks_vector(t) == 0xe0;
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
    g_assert_cmphex(tasks_vector(t), ==, 0xe0);
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name = g_strdup_printf("/lsi/state/%s", cases[i].name);

        g_test_add_data_func(name, &cases[i], test_case);
    }
    return g_test_run();
}
