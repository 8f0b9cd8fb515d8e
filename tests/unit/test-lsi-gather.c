/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long READs whose data is at hand: a run of block moves is foreseen, and the target reads straight
 * into guest memory. Whatever the run is made of, and wherever what is at hand ends, each byte must
 * be where its move says, and none where it does not.
 *
 * The first 32 KiB of a command come by a chunk in any case.
 */
#include "lsi-harness.h"

#include <string.h>

#define BLOCKS 512u
#define BYTES (BLOCKS * 512u)
#define FIRST (32u << 10)
#define UNTOUCHED 0xd7

enum {
    M_MSG_OUT = LT_TABLE,
    M_CDB = LT_TABLE + 0x40,
    M_STATUS = LT_TABLE + 0x80,
    M_MSG_IN = LT_TABLE + 0x90,
    M_DSA = LT_TABLE + 0x100,
    V_END = 0xe0,
    V_BETWEEN,
};

typedef struct Run {
    unsigned n;
    struct {
        uint32_t addr, len;
    } piece[200];
} Run;

static void add(Run *run, uint32_t addr, uint32_t len)
{
    run->piece[run->n].addr = addr;
    run->piece[run->n++].len = len;
}

/* n pieces of odd lengths with gaps, the last one lowest. */
static Run scattered(unsigned n)
{
    uint32_t at = LT_DATA + n * 64 + BYTES, left = BYTES;
    Run run = { 0 };

    while (run.n < n) {
        uint32_t len = run.n + 1 < n ? (BYTES / n) ^ (run.n % 5) : left;

        at -= len + 33;
        add(&run, at, len);
        left -= len;
    }
    return run;
}

static void emit_begin(LsiTest *t)
{
    static const uint8_t cdb[10] = { 0x28, [7] = BLOCKS >> 8, [8] = BLOCKS & 0xff };

    t->ram[M_MSG_OUT] = 0x80;
    t->ram[M_STATUS] = 0xee;
    memset(t->ram + M_CDB, 0, 16);
    memcpy(t->ram + M_CDB, cdb, sizeof(cdb));
    memset(t->ram + LT_DATA, UNTOUCHED, LT_RAM_SIZE - LT_DATA);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT(0), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT);
    lt_emit(t, I_MOVE(PHASE_COMMAND, 10), M_CDB);
}

static void emit_run(LsiTest *t, const Run *run, bool table)
{
    lt_w32(t, LSI_DSA, M_DSA);
    for (unsigned i = 0; i < run->n; i++) {
        if (table) {
            lt_put32(t, M_DSA + 8 * i, run->piece[i].len);
            lt_put32(t, M_DSA + 8 * i + 4, run->piece[i].addr);
            lt_emit(t, I_CHMOV_TBL(PHASE_DATA_IN), 8 * i);
        } else {
            lt_emit(t, I_MOVE(PHASE_DATA_IN, run->piece[i].len), run->piece[i].addr);
        }
    }
}

static void emit_end(LsiTest *t)
{
    lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_STATUS);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, V_END);
}

static void expect_good(LsiTest *t)
{
    g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, V_END);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
}

/* The command's bytes where run says; everything else is as it was. */
static void expect_run(LsiTest *t, const Run *run)
{
    g_autofree uint8_t *wanted = g_malloc(LT_RAM_SIZE);
    uint32_t pos = 0;

    memset(wanted, UNTOUCHED, LT_RAM_SIZE);
    for (unsigned i = 0; i < run->n; i++) {
        for (uint32_t j = 0; j < run->piece[i].len; j++, pos++) {
            wanted[run->piece[i].addr + j] = lt_pattern(0, pos / 512);
        }
    }
    g_assert_cmpuint(pos, ==, BYTES);
    g_assert_cmpmem(t->ram + LT_DATA, LT_RAM_SIZE - LT_DATA, wanted + LT_DATA,
                    LT_RAM_SIZE - LT_DATA);
}

/* Past the unit attention of power-on. */
static LsiTest *new_ready(const char *model)
{
    LsiTest *t = lt_new(model, 1);

    lt_at_hand(0);
    emit_begin(t);
    t->ram[M_CDB] = 0x03; /* REQUEST SENSE */
    memset(t->ram + M_CDB + 1, 0, 9);
    t->ram[M_CDB + 4] = 18;
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 18), LT_DATA);
    emit_end(t);
    lt_run_int(t, LT_SCRIPT, V_END);
    return t;
}

static void run_whole(LsiTest *t, const Run *run, bool table)
{
    emit_begin(t);
    emit_run(t, run, table);
    emit_end(t);
    lt_run_int(t, LT_SCRIPT, V_END);
    expect_good(t);
    expect_run(t, run);
}

static void test_runs(void)
{
    static const char *const models[] = { "lsi53c895a", "lsi53c810" };
    static const unsigned pieces[] = { 1, 2, 7, 64, 150 };

    for (unsigned m = 0; m < G_N_ELEMENTS(models); m++) {
        LsiTest *t = new_ready(models[m]);

        for (unsigned i = 0; i < 2 * G_N_ELEMENTS(pieces); i++) {
            Run run = scattered(pieces[i / 2]);

            lt_at_hand(UINT64_MAX);
            run_whole(t, &run, i & 1);
            /* the first chunk, the run; a second one where it's long */
            g_assert_cmpuint(lt_reads_now(), ==, pieces[i / 2] > LSI_PLACES_MAX ? 3 : 2);
        }
        lt_free(t);
    }
}

/* What is at hand ends within the run: in a piece, at the end of one, in the first chunk. */
static void test_ends(void)
{
    static const uint64_t ends[] = { 0, 1, FIRST - 1, FIRST, FIRST + 1, 100000, BYTES - 1, BYTES };
    LsiTest *t = new_ready("lsi53c895a");

    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) {
        Run run = scattered(16);

        lt_at_hand(ends[i]);
        run_whole(t, &run, true);
    }
    lt_free(t);
}

/* Data that is the table of the moves behind it. */
static void test_changes_its_table(void)
{
    const uint32_t entry[2] = { BYTES - FIRST - 8, LT_DATA + 0x50000 };
    LsiTest *t = new_ready("lsi53c895a");
    uint8_t old[8];
    Run run = { 0 };

    lt_at_hand(UINT64_MAX);
    for (unsigned i = 0; i < 8; i++) {
        old[i] = lt_image_byte(t, 0, FIRST + i);
    }
    lt_image_put(t, 0, FIRST, entry, sizeof(entry));
    add(&run, LT_DATA, FIRST);
    add(&run, M_DSA + 16, 8);
    add(&run, LT_DATA + 0x10000, BYTES - FIRST - 8);
    emit_begin(t);
    emit_run(t, &run, true);
    emit_end(t);
    lt_run_int(t, LT_SCRIPT, V_END);
    expect_good(t);
    for (uint32_t i = 0; i < entry[0]; i++) {
        g_assert_cmphex(t->ram[entry[1] + i], ==, lt_pattern(0, (FIRST + 8 + i) / 512));
    }
    lt_image_put(t, 0, FIRST, old, sizeof(old));
    lt_free(t);
}

/* Nothing of a later move is there when a chip that stops after each instruction stops. */
static void test_single_step(void)
{
    LsiTest *t = new_ready("lsi53c895a");
    bool seen = false;
    Run run = { 0 };

    lt_at_hand(UINT64_MAX);
    add(&run, LT_DATA, FIRST);
    add(&run, LT_DATA + FIRST, 4096);
    add(&run, LT_DATA + 0x20000, BYTES - FIRST - 4096);
    emit_begin(t);
    emit_run(t, &run, true);
    emit_end(t);
    lt_w8(t, LSI_DCNTL, DCNTL_SSM);
    lt_run(t, LT_SCRIPT);
    while (lt_r8(t, LSI_DSTAT) & DSTAT_SSI) {
        if (lt_r32(t, LSI_DSP) == LT_SCRIPT + 5 * 8) { /* behind the second one */
            seen = true;
            g_assert_cmphex(t->ram[LT_DATA + FIRST], ==, lt_pattern(0, FIRST / 512));
            g_assert_cmphex(t->ram[LT_DATA + 0x20000], ==, UNTOUCHED);
        }
        lt_w8(t, LSI_DCNTL, DCNTL_SSM | DCNTL_STD);
        lt_wait_stop(t);
    }
    g_assert_true(seen);
    expect_good(t);
    expect_run(t, &run);
    lt_w8(t, LSI_DCNTL, 0);
    lt_free(t);
}

/* The chip's own RAM, and then guest memory again. */
static void test_own_ram(void)
{
    LsiTest *t = new_ready("lsi53c895a");
    Run run = { 0 };

    lt_at_hand(UINT64_MAX);
    add(&run, LT_DATA, FIRST + 512);
    add(&run, LT_BAR_RAM, 4096);
    add(&run, LT_DATA + 0x20000, BYTES - FIRST - 512 - 4096);
    emit_begin(t);
    emit_run(t, &run, true);
    emit_end(t);
    lt_run_int(t, LT_SCRIPT, V_END);
    expect_good(t);
    for (uint32_t i = 0; i < 4096; i++) {
        g_assert_cmphex(t->s->st.ram[i], ==, lt_pattern(0, (FIRST + 512 + i) / 512));
    }
    for (uint32_t i = 0; i < run.piece[2].len; i++) {
        g_assert_cmphex(t->ram[LT_DATA + 0x20000 + i], ==,
                        lt_pattern(0, (FIRST + 512 + 4096 + i) / 512));
    }
    lt_free(t);
}

/* A move to where there is no memory is a bus fault, the second one and the first one alike. */
static void test_no_memory(void)
{
    LsiTest *t = new_ready("lsi53c895a");

    for (unsigned i = 0; i < 2; i++) {
        Run run = { 0 };

        lt_at_hand(UINT64_MAX);
        add(&run, LT_DATA, FIRST + 512 * i);
        add(&run, LT_RAM_SIZE - 4096, 8192);
        add(&run, LT_DATA + 0x20000, 4096);
        emit_begin(t);
        emit_run(t, &run, true);
        lt_start(t, LT_SCRIPT);
        lt_wait_stop(t);
        g_assert_cmphex(lt_r8(t, LSI_DSTAT) & DSTAT_BF, ==, DSTAT_BF);
        g_assert_cmphex(t->ram[LT_DATA + 0x20000], ==, UNTOUCHED);
        lt_w8(t, LSI_SCNTL1, SCNTL1_RST);
        lt_w8(t, LSI_SCNTL1, 0);
        lt_settle(t);
        lt_free(t);
        t = new_ready("lsi53c895a");
    }
    lt_free(t);
}

/* A script that stops between two moves: another device goes on from there. */
static void test_saved_within(void)
{
    const uint32_t second = FIRST + 10240 + 3;
    LsiTest *t = new_ready("lsi53c895a");
    Run run = { 0 }, rest = { 0 };
    uint32_t go_on;

    lt_at_hand(UINT64_MAX);
    add(&run, LT_DATA, second);
    add(&rest, LT_DATA + 0x20000, BYTES - second);
    emit_begin(t);
    emit_run(t, &run, false);
    lt_emit(t, I_INT, V_BETWEEN);
    go_on = t->pc;
    emit_run(t, &rest, false);
    emit_end(t);
    lt_run_int(t, LT_SCRIPT, V_BETWEEN);
    lt_reborn(t);
    lt_run_int(t, go_on, V_END);
    expect_good(t);
    add(&run, rest.piece[0].addr, rest.piece[0].len);
    expect_run(t, &run);
    lt_free(t);
}

/* The initiator gives up in the middle; the next command is served. */
static void test_reset_within(void)
{
    LsiTest *t = new_ready("lsi53c895a");
    Run run = { 0 }, all = scattered(3);

    lt_at_hand(UINT64_MAX);
    add(&run, LT_DATA, FIRST + 4096);
    emit_begin(t);
    emit_run(t, &run, true);
    lt_emit(t, I_INT, V_BETWEEN);
    lt_run_int(t, LT_SCRIPT, V_BETWEEN);
    lt_free(t); /* with a command in its data phase */
    t = new_ready("lsi53c895a");
    emit_begin(t);
    emit_run(t, &run, true);
    lt_emit(t, I_INT, V_BETWEEN);
    lt_run_int(t, LT_SCRIPT, V_BETWEEN);
    run_whole(t, &all, true); /* a selection while connected abandons the old nexus */
    lt_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lsi/gather/runs", test_runs);
    g_test_add_func("/lsi/gather/ends", test_ends);
    g_test_add_func("/lsi/gather/changes-its-table", test_changes_its_table);
    g_test_add_func("/lsi/gather/single-step", test_single_step);
    g_test_add_func("/lsi/gather/own-ram", test_own_ram);
    g_test_add_func("/lsi/gather/no-memory", test_no_memory);
    g_test_add_func("/lsi/gather/saved-within", test_saved_within);
    g_test_add_func("/lsi/gather/reset-within", test_reset_within);
    return g_test_run();
}
