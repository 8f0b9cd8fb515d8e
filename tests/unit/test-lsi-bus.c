/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LSI with disks: nexus, phases, firmware quirks, disconnection and reselection, phase
 * mismatch, messages, aborts and resets with I/O in flight.
 *
 * Two initiators: the script that SeaBIOS and OVMF share (fact sheet 5.2; its quirks have their
 * numbers in the test names), and a small one that dispatches on phases as Linux' does.
 */
#include "lsi-harness.h"

#include <string.h>

enum {
    M_MSG_OUT = LT_TABLE,
    M_CDB = LT_TABLE + 0x40,
    M_STATUS = LT_TABLE + 0x80,
    M_MSG_IN = LT_TABLE + 0x90,
    M_DSA = LT_TABLE + 0x100,
};

/* Ends of the dispatching script. */
enum { V_COMPLETE = 0xc0, V_DISCONNECTED, V_RESELECTED, V_SIGP, V_EXTENDED, V_REJECT, V_BAD };

typedef struct Dispatch {
    uint32_t start, phases, reselect, after_ext;
} Dispatch;

static void put_cdb(LsiTest *t, const uint8_t *cdb, unsigned len)
{
    memset(t->ram + M_CDB, 0, 32);
    memcpy(t->ram + M_CDB, cdb, len);
}

static void put_rw10(LsiTest *t, uint8_t op, uint32_t lba, uint16_t blocks)
{
    uint8_t cdb[10] = { op, 0, lba >> 24, lba >> 16, lba >> 8, lba, 0, blocks >> 8, blocks };

    put_cdb(t, cdb, sizeof(cdb));
}

static void expect_blocks(LsiTest *t, unsigned disk, uint32_t lba, unsigned blocks)
{
    for (unsigned i = 0; i < blocks * 512; i++) {
        g_assert_cmphex(t->ram[LT_DATA + i], ==, lt_pattern(disk, lba + i / 512));
    }
}

/* ---- the firmware's script ---- */

typedef struct Firmware {
    unsigned id, data_phase, data_len, cmd_len, last_len;
} Firmware;

static void firmware(LsiTest *t, Firmware f)
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

/* As firmware polls it: any SIST bit is a failure, DSTAT.SIR success. */
static void firmware_good(LsiTest *t, Firmware f)
{
    firmware(t, f);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, 0);
    g_assert_cmphex(lt_r8(t, LSI_SIST1), ==, 0);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
    g_assert_cmphex(t->ram[M_MSG_IN], ==, 0);
}

/* The unit attention of power-on, reported to REQUEST SENSE. */
static void firmware_sense(LsiTest *t, unsigned id, uint8_t key, uint8_t asc, uint8_t ascq)
{
    static const uint8_t cdb[6] = { 0x03, 0, 0, 0, 18 };

    put_cdb(t, cdb, 6);
    firmware_good(t, (Firmware){ .id = id, .data_phase = PHASE_DATA_IN, .data_len = 18 });
    g_assert_cmphex(t->ram[LT_DATA + 2] & 0xf, ==, key);
    g_assert_cmphex(t->ram[LT_DATA + 12], ==, asc);
    g_assert_cmphex(t->ram[LT_DATA + 13], ==, ascq);
}

static LsiTest *lt_new_ready(const char *model, unsigned disks)
{
    LsiTest *t = lt_new(model, disks);

    for (unsigned d = 0; d < disks; d++) {
        firmware_sense(t, d, 0x06, 0x29, 0x00);
    }
    return t;
}

/* Q2, Q3, Q6, Q8 and Q11's neighbours: select without ATN, padded CDB, nothing acknowledged, SCID 0
 * selecting target 0, timers and masks never set; two commands after one another. */
static void test_firmware_read(void)
{
    static const char *const models[] = { "lsi53c895a", "lsi53c810" };

    for (unsigned m = 0; m < 2; m++) {
        LsiTest *t = lt_new_ready(models[m], 2);
        for (unsigned i = 0; i < 4; i++) {
            put_rw10(t, 0x28, 5 + i, 4);
            firmware_good(t,
                          (Firmware){ .id = i & 1, .data_phase = PHASE_DATA_IN, .data_len = 2048 });
            expect_blocks(t, i & 1, 5 + i, 4);
        }
        g_assert_cmpuint(t->irqs, ==, 0);
        lt_free(t);
    }
}

static void test_firmware_write(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    memset(t->ram + LT_DATA, 0xa5, 1024);
    put_rw10(t, 0x2a, 100, 2);
    firmware_good(t, (Firmware){ .data_phase = PHASE_DATA_OUT, .data_len = 1024 });
    g_assert_cmphex(lt_image_byte(t, 0, 100 * 512 - 1), ==, lt_pattern(0, 99));
    g_assert_cmphex(lt_image_byte(t, 0, 100 * 512), ==, 0xa5);
    g_assert_cmphex(lt_image_byte(t, 0, 102 * 512 - 1), ==, 0xa5);
    g_assert_cmphex(lt_image_byte(t, 0, 102 * 512), ==, lt_pattern(0, 102));
    lt_free(t);
}

static void test_q4_test_unit_ready(void)
{
    static const uint8_t cdb[6] = { 0 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    put_cdb(t, cdb, 6);
    firmware_good(t, (Firmware){ 0 });
    lt_free(t);
}

/* OVMF sends 32 bytes of command and asks two bytes for COMMAND COMPLETE. */
static void test_q5_short_message(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned i = 0; i < 3; i++) {
        put_rw10(t, 0x28, 9, 1);
        firmware_good(
            t, (Firmware){
                   .data_phase = PHASE_DATA_IN, .data_len = 512, .cmd_len = 32, .last_len = 2 });
        expect_blocks(t, 0, 9, 1);
    }
    lt_free(t);
}

/* A failed command leaves its nexus behind; the next SELECT starts anew, at every phase. */
static void test_q7_abandon(void)
{
    static const uint8_t tur[6] = { 0 };
    LsiTest *t = lt_new("lsi53c895a", 1);

    put_rw10(t, 0x28, 0, 1);
    firmware(t, (Firmware){ .data_phase = PHASE_DATA_IN, .data_len = 512 });
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_MA); /* CHECK CONDITION instead of data */
    firmware_sense(t, 0, 0x06, 0x29, 0x00);
    put_rw10(t, 0x28, 0, 2); /* more data than is moved: stopped in DATA IN */
    firmware(t, (Firmware){ .data_phase = PHASE_DATA_IN, .data_len = 512 });
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_MA);
    put_cdb(t, tur, 6);
    firmware_good(t, (Firmware){ 0 });
    lt_settle(t);
    g_assert_cmpuint(t->s->n_tasks, ==, 0);
    lt_free(t);
}

/* Nobody there: STO although STIME0, SIEN and SCID are 0, and nothing is left behind. */
static void test_q8_absent(void)
{
    static const uint8_t tur[6] = { 0 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    put_cdb(t, tur, 6);
    for (unsigned id = 1; id < 16; id++) {
        firmware(t, (Firmware){ .id = id });
        g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, 0);
        g_assert_cmphex(lt_r8(t, LSI_SIST1), ==, SIST1_STO);
        g_assert_cmphex(lt_r32(t, LSI_DSP), ==, LT_SCRIPT + 16);
    }
    firmware_good(t, (Firmware){ 0 });
    lt_free(t);
}

/* Linux looks at DSP: what lies between SELECT and the first instruction that needs the target is
 * executed, and the stop is behind that one. */
static void test_absent_dsp(void)
{
    LsiTest *t = lt_new("lsi53c895a", 1);

    lt_put32(t, LT_DATA, 0x1234);
    lt_emit(t, I_SELECT_ATN(5), 0);
    lt_emit(t, I_LOAD(LSI_SCRATCHA, 4), LT_DATA);
    lt_emit(t, (I_JUMP | C_WHEN(PHASE_MSG_OUT)) ^ C_NOT, 0);
    lt_run(t, LT_SCRIPT);
    g_assert_cmphex(lt_r8(t, LSI_SIST1), ==, SIST1_STO);
    g_assert_cmphex(lt_r32(t, LSI_DSP), ==, LT_SCRIPT + 24);
    g_assert_cmphex(lt_r32(t, LSI_SCRATCHA), ==, 0x1234);
    lt_free(t);
}

static void test_q10_inquiry(void)
{
    static const uint8_t cdb[6] = { 0x12, 0, 0, 0, 36 };
    LsiTest *t = lt_new("lsi53c895a", 1);

    put_cdb(t, cdb, 6);
    firmware_good(t, (Firmware){ .data_phase = PHASE_DATA_IN, .data_len = 36 });
    g_assert_cmphex(t->ram[LT_DATA], ==, 0);
    g_assert_cmpmem(t->ram + LT_DATA + 8, 8, "QEMU    ", 8);
    lt_free(t);
}

static void test_q12_csbc(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    uint32_t before = lt_r32(t, LSI_CSBC);

    put_rw10(t, 0x28, 0, 3);
    firmware_good(t, (Firmware){ .data_phase = PHASE_DATA_IN, .data_len = 1536 });
    g_assert_cmpuint(lt_r32(t, LSI_CSBC) - before, ==, 1536); /* data bytes only */
    lt_free(t);
}

/* ---- the dispatching script ---- */

static Dispatch dispatch(LsiTest *t, unsigned id, unsigned msg_len, unsigned cdb_len)
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
    return (Dispatch){ LT_SCRIPT, phases, resel, phases };
}

static void put_table(LsiTest *t, uint32_t dsa, uint32_t addr, uint32_t len1, uint32_t len2)
{
    lt_put32(t, dsa, len1);
    lt_put32(t, dsa + 4, addr);
    lt_put32(t, dsa + 8, len2);
    lt_put32(t, dsa + 12, addr + len1);
    lt_w32(t, LSI_DSA, dsa);
}

static void put_msg(LsiTest *t, const uint8_t *msg, unsigned len)
{
    memcpy(t->ram + M_MSG_OUT, msg, len);
}

static uint32_t vector(LsiTest *t)
{
    uint8_t sist0 = lt_r8(t, LSI_SIST0), sist1 = lt_r8(t, LSI_SIST1), dstat = lt_r8(t, LSI_DSTAT);

    g_assert_cmphex(sist0 & ~SIST0_RSL, ==, 0);
    g_assert_cmphex(sist1, ==, 0);
    g_assert_cmphex(dstat, ==, DSTAT_DFE | DSTAT_SIR);
    return lt_r32(t, LSI_DSPS);
}

/* Runs from dsp through disconnections until the command completes. */
static void run_to_complete(LsiTest *t, const Dispatch *d, uint32_t dsp)
{
    for (;;) {
        lt_run(t, dsp);
        switch (vector(t)) {
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

static void test_tagged_read_write(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 0x5c };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    Dispatch d = dispatch(t, 0, sizeof(msg), 10);

    put_msg(t, msg, sizeof(msg));
    put_table(t, M_DSA, LT_DATA, 1000, 1048);
    memset(t->ram + LT_DATA, 0x3c, 2048);
    put_rw10(t, 0x2a, 40, 4);
    run_to_complete(t, &d, d.start);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
    memset(t->ram + LT_DATA, 0, 2048);
    put_rw10(t, 0x28, 39, 4);
    run_to_complete(t, &d, d.start);
    g_assert_cmphex(t->ram[LT_DATA], ==, lt_pattern(0, 39));
    g_assert_cmphex(t->ram[LT_DATA + 512], ==, 0x3c);
    g_assert_cmphex(t->ram[LT_DATA + 2047], ==, 0x3c);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, 0); /* no UDC */
    lt_free(t);
}

/* The reselection: SSID, IDENTIFY, tag in SIDL, and RSL posted without stopping anything. */
static void test_reselect(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 0x77 };
    LsiTest *t = lt_new_ready("lsi53c895a", 2);
    Dispatch d = dispatch(t, 1, sizeof(msg), 10);

    put_msg(t, msg, sizeof(msg));
    put_table(t, M_DSA, LT_DATA, 512, 512);
    put_rw10(t, 0x28, 11, 2);
    lt_hold(true);
    lt_run(t, d.start);
    g_assert_cmphex(vector(t), ==, V_DISCONNECTED);
    g_assert_cmphex(lt_r8(t, LSI_SCNTL1) & SCNTL1_CON, ==, 0);
    lt_start(t, d.reselect);
    lt_turns(t, 5);
    g_assert_cmpint(t->s->st.run, ==, LSI_WAIT_RESELECT);
    lt_hold(false);
    lt_wait_stop(t);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_RSL);
    g_assert_cmphex(vector(t), ==, V_RESELECTED);
    g_assert_cmphex(lt_r8(t, LSI_SSID), ==, 0x81);
    g_assert_cmphex(t->ram[M_MSG_IN], ==, 0x80);
    g_assert_cmphex(t->ram[M_MSG_IN + 1], ==, 0x20);
    g_assert_cmphex(t->ram[M_MSG_IN + 2], ==, 0x77);
    g_assert_cmphex(lt_r8(t, LSI_SIDL), ==, 0x77);
    g_assert_cmphex(lt_r8(t, LSI_SCNTL2) & SCNTL2_SDU, ==, SCNTL2_SDU);
    run_to_complete(t, &d, d.phases);
    expect_blocks(t, 1, 11, 2);
    lt_free(t);
}

/* SIGP while commands are out: WAIT RESELECT takes its alternate, and nothing is lost. */
static void test_sigp_while_waiting(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 0x01 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    Dispatch d = dispatch(t, 0, sizeof(msg), 10);

    put_msg(t, msg, sizeof(msg));
    put_table(t, M_DSA, LT_DATA, 512, 512);
    put_rw10(t, 0x28, 20, 2);
    lt_hold(true);
    lt_run(t, d.start);
    g_assert_cmphex(vector(t), ==, V_DISCONNECTED);
    lt_start(t, d.reselect);
    lt_turns(t, 3);
    lt_w8(t, LSI_ISTAT0, ISTAT0_SIGP);
    lt_wait_stop(t);
    g_assert_cmphex(vector(t), ==, V_SIGP);
    lt_w8(t, LSI_ISTAT0, 0);
    lt_hold(false);
    run_to_complete(t, &d, d.reselect);
    expect_blocks(t, 0, 20, 2);
    lt_free(t);
}

/* A pending reselection loses to some selections, then SELECT takes its alternate. */
static void test_reselect_races_select(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 0x02 }, tur[6] = { 0 };
    LsiTest *t = lt_new_ready("lsi53c895a", 2);
    Dispatch d = dispatch(t, 0, sizeof(msg), 10);
    unsigned won = 0;

    lt_w8(t, LSI_SCID, 0x47);
    put_msg(t, msg, sizeof(msg));
    put_table(t, M_DSA, LT_DATA, 512, 512);
    put_rw10(t, 0x28, 30, 2);
    lt_hold(true);
    lt_run(t, d.start);
    g_assert_cmphex(vector(t), ==, V_DISCONNECTED);
    lt_hold(false);
    while (g_queue_is_empty(&t->s->resel)) {
        loop_turn(t->loop, 100);
    }
    put_cdb(t, tur, 6);
    d = dispatch(t, 1, sizeof(msg), 6); /* the alternate is WAIT RESELECT, which falls through */
    for (;; won++) {
        lt_run(t, d.start);
        if (vector(t) == V_RESELECTED) {
            break;
        }
        g_assert_cmpuint(won, <, 100);
    }
    g_assert_cmpuint(won, >, 0);
    g_assert_cmphex(lt_r8(t, LSI_SSID), ==, 0x80);
    put_table(t, M_DSA, LT_DATA, 512, 512);
    run_to_complete(t, &d, d.phases);
    expect_blocks(t, 0, 30, 2);
    lt_free(t);
}

/* Without DiscPriv the target holds the bus. */
static void test_no_disc_priv(void)
{
    static const uint8_t msg[] = { 0x80 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    Dispatch d = dispatch(t, 0, sizeof(msg), 10);

    put_msg(t, msg, sizeof(msg));
    for (unsigned i = 0; i < 20; i++) {
        put_table(t, M_DSA, LT_DATA, 512, 512);
        put_rw10(t, 0x28, i, 2);
        lt_run(t, d.start);
        g_assert_cmphex(vector(t), ==, V_COMPLETE);
        expect_blocks(t, 0, i, 2);
    }
    lt_free(t);
}

/* Many tagged commands on two targets at once, each served exactly once. */
static void test_many_tags(void)
{
    enum { N = 128 };
    LsiTest *t = lt_new_ready("lsi53c895a", 2);
    unsigned done = 0, issued = 0;
    uint8_t seen[N] = { 0 };
    uint32_t dsp;
    int tag = -1;

    while (done < N) {
        Dispatch d = dispatch(t, issued & 1, 3, 10);
        if (tag < 0 && issued < N) {
            const uint8_t msg[] = { 0xc0, 0x20, issued };
            tag = issued++;
            put_msg(t, msg, 3);
            put_rw10(t, 0x28, tag, 1);
            dsp = d.start;
        } else {
            dsp = tag < 0 ? d.reselect : d.phases;
        }
        put_table(t, M_DSA, LT_DATA + 512 * MAX(tag, 0), 256, 256);
        lt_run(t, dsp);
        switch (vector(t)) {
        case V_COMPLETE:
            g_assert_cmpuint(seen[tag]++, ==, 0);
            g_assert_cmphex(t->ram[LT_DATA + 512 * tag], ==, lt_pattern(tag & 1, tag));
            g_assert_cmphex(t->ram[LT_DATA + 512 * tag + 511], ==, lt_pattern(tag & 1, tag));
            done++;
            tag = -1;
            break;
        case V_DISCONNECTED:
            tag = -1;
            break;
        case V_RESELECTED: /* also where SELECT lost to it: then that command is to be repeated */
            if (dsp == d.start) {
                issued--;
            }
            tag = lt_r8(t, LSI_SIDL);
            g_assert_cmphex(lt_r8(t, LSI_SSID) & 0xf, ==, tag & 1);
            break;
        default:
            g_assert_not_reached();
        }
    }
    lt_free(t);
}

/* Two tagged commands fail at depth two: each REQUEST SENSE finds what its own command left, though
 * the second was on its way before the status of the first was told. */
static void test_sense_at_depth(void)
{
    enum { N = 2 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    unsigned failed = 0;
    uint32_t dsp = 0;

    for (unsigned i = 0; i < N; i++) {
        const uint8_t msg[] = { 0xc0, 0x20, i };
        Dispatch d = dispatch(t, 0, 3, 10);
        put_msg(t, msg, 3);
        put_table(t, M_DSA, LT_DATA, 256, 256);
        put_rw10(t, 0x28, i ? LT_DISK_BLOCKS : 3, 1); /* the second one is out of range */
        lt_hold(i == 0);
        lt_run(t, d.start);
        if (vector(t) == V_COMPLETE) {
            g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_CHECK_CONDITION);
            failed++;
        } else {
            dsp = d.reselect;
        }
    }
    g_assert_cmpuint(failed, ==, 1);
    firmware_sense(t, 0, 0x05, 0x21, 0x00);
    lt_hold(false);
    Dispatch d = dispatch(t, 0, 3, 10);
    put_table(t, M_DSA, LT_DATA, 256, 256);
    run_to_complete(t, &d, dsp);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
    expect_blocks(t, 0, 3, 1);
    lt_free(t);
}

/* ---- phase mismatch ---- */

/* The target has 512 bytes, the tables want 256 + 1000. */
static void run_short(LsiTest *t, uint8_t ccntl0)
{
    static const uint8_t msg[] = { 0x80 };
    Dispatch d = dispatch(t, 0, 1, 10);

    put_msg(t, msg, 1);
    put_table(t, M_DSA, LT_DATA, 256, 1000);
    lt_put32(t, M_DSA + 8, 1000 | 0xab000000u);
    put_rw10(t, 0x28, 1, 1);
    lt_w8(t, LSI_CCNTL0, ccntl0);
    lt_w32(t, LSI_PMJAD1, LT_SCRIPT + 0x400);
    lt_w32(t, LSI_PMJAD2, LT_SCRIPT + 0x500);
    lt_org(t, LT_SCRIPT + 0x400);
    lt_emit(t, I_INT, 0x91);
    lt_org(t, LT_SCRIPT + 0x500);
    lt_emit(t, I_INT, 0x92);
    lt_run(t, d.start);
}

static void test_pmj(void)
{
    const uint32_t insn = LT_SCRIPT + 0x888; /* the second CHMOV */
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    run_short(t, CCNTL0_ENPMJ);
    g_assert_cmphex(vector(t), ==, 0x91);
    g_assert_cmphex(lt_r32(t, LSI_RBC), ==, 744 | 0xab000000u);
    g_assert_cmphex(lt_r32(t, LSI_UA), ==, LT_DATA + 512);
    g_assert_cmphex(lt_r32(t, LSI_IA), ==, insn);
    g_assert_cmphex(lt_r32(t, LSI_ESA), ==, M_DSA + 8);
    g_assert_cmphex(lt_r32(t, LSI_SBC) & 0xffffff, ==, 256);
    run_short(t, CCNTL0_ENPMJ | CCNTL0_PMJCTL); /* by direction: input takes the second */
    g_assert_cmphex(vector(t), ==, 0x92);
    expect_blocks(t, 0, 1, 1);
    lt_free(t);
}

static void test_ma_interrupt(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    run_short(t, 0);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_MA);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE);
    g_assert_cmphex(lt_r32(t, LSI_DSP), ==, LT_SCRIPT + 0x890);
    g_assert_cmphex(lt_r32(t, LSI_DBC), ==, 744 | 0x11000000u); /* DCMD is the opcode's */
    g_assert_cmphex(lt_r32(t, LSI_DNAD), ==, LT_DATA + 512);
    g_assert_cmphex(lt_r8(t, LSI_SSTAT1) & 7, ==, PHASE_STATUS);
    lt_free(t);
}

/* Command and message phases jump only with ENNDJ. */
static void test_enndj(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned enndj = 0; enndj < 2; enndj++) {
        t->ram[M_MSG_OUT] = 0x80;
        lt_w8(t, LSI_CCNTL0, CCNTL0_ENPMJ | (enndj ? CCNTL0_ENNDJ : 0));
        lt_w32(t, LSI_PMJAD1, LT_SCRIPT + 0x400);
        lt_org(t, LT_SCRIPT + 0x400);
        lt_emit(t, I_INT, 0x93);
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_SELECT_ATN(0), 0);
        lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT);
        lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_STATUS);
        lt_run(t, LT_SCRIPT);
        if (enndj) {
            g_assert_cmphex(vector(t), ==, 0x93);
        } else {
            g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_MA);
        }
    }
    lt_free(t);
}

/* 40-bit table addresses as Linux uses them, and 64-bit direct moves as Windows does. */
static void test_64bit(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    t->ram[M_MSG_OUT] = 0x80;
    put_rw10(t, 0x28, 3, 1);
    lt_w8(t, LSI_CCNTL1, CCNTL1_EN64TIBMV | CCNTL1_64TIMOD);
    put_table(t, M_DSA, LT_DATA, 256, 256);
    lt_put32(t, M_DSA + 8, 256 | 0x01000000u); /* 4 GiB and up: nothing there */
    Dispatch d = dispatch(t, 0, 1, 10);
    lt_run(t, d.start);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_BF);
    lt_w8(t, LSI_CCNTL1, CCNTL1_EN64DBMV);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT);
    lt_emit1(t, 0);
    lt_emit(t, I_MOVE(PHASE_COMMAND, 10), M_CDB);
    lt_emit1(t, 0);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 512), LT_DATA);
    lt_emit1(t, 0);
    lt_emit(t, I_INT, 0x64);
    lt_run_int(t, LT_SCRIPT, 0x64);
    expect_blocks(t, 0, 3, 1);
    lt_free(t);
}

/* ---- messages ---- */

static void expect_answer(LsiTest *t, const char *model, const uint8_t *msg, unsigned len,
                          const uint8_t *answer)
{
    Dispatch d = dispatch(t, 0, len, 6);

    put_msg(t, msg, len);
    put_cdb(t, (const uint8_t[6]){ 0 }, 6);
    lt_run(t, d.start);
    g_assert_cmphex(vector(t), ==, V_EXTENDED);
    g_assert_cmphex(t->ram[M_MSG_IN + 1], ==, answer[1]);
    lt_org(t, LT_SCRIPT + 0x600);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, answer[1]), M_MSG_IN + 2);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_JUMP, d.phases);
    lt_run(t, LT_SCRIPT + 0x600);
    g_assert_cmphex(vector(t), ==, V_COMPLETE);
    g_test_message("%s", model);
    g_assert_cmpmem(t->ram + M_MSG_IN + 2, answer[1], answer + 2, answer[1]);
}

static void test_negotiation(void)
{
    static const uint8_t sdtr[] = { 0x80, 1, 3, 1, 9, 63 }, wdtr[] = { 0x80, 1, 2, 3, 2 },
                         ppr[] = { 0x80, 1, 6, 4, 8, 0, 99, 1, 2 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    expect_answer(t, "895a", sdtr, sizeof(sdtr), (const uint8_t[]){ 1, 3, 1, 10, 31 });
    expect_answer(t, "895a", wdtr, sizeof(wdtr), (const uint8_t[]){ 1, 2, 3, 1 });
    expect_answer(t, "895a", ppr, sizeof(ppr), (const uint8_t[]){ 1, 6, 4, 10, 0, 31, 1, 0 });
    lt_free(t);
    t = lt_new_ready("lsi53c810", 1);
    expect_answer(t, "810", sdtr, sizeof(sdtr), (const uint8_t[]){ 1, 3, 1, 25, 8 });
    expect_answer(t, "810", wdtr, sizeof(wdtr), (const uint8_t[]){ 1, 2, 3, 0 });
    lt_free(t);
}

/* Unknown messages are rejected, an unknown extended one swallowed whole, and the nexus goes on. */
static void test_reject(void)
{
    static const struct {
        uint8_t msg[8];
        unsigned len;
    } rows[] = {
        { { 0x80, 0x7f }, 2 },
        { { 0x80, 0x01, 0x04, 0x55, 1, 2, 3 }, 7 },
        { { 0x80, 0x01, 0x03, 0x03, 1, 2 }, 6 }, /* WDTR with SDTR's length */
    };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Dispatch d = dispatch(t, 0, rows[i].len, 6);
        put_msg(t, rows[i].msg, rows[i].len);
        put_cdb(t, (const uint8_t[6]){ 0 }, 6);
        lt_run(t, d.start);
        g_assert_cmphex(vector(t), ==, V_REJECT);
        lt_run(t, d.phases);
        g_assert_cmphex(vector(t), ==, V_COMPLETE);
    }
    lt_free(t);
}

/* One message over several block moves: the target stays in MSG OUT until it is whole. */
static void test_split_message(void)
{
    static const uint8_t msg[] = { 0x80, 1, 3, 1, 12, 16 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    Dispatch d = dispatch(t, 0, 1, 6);

    put_msg(t, msg, sizeof(msg));
    put_cdb(t, (const uint8_t[6]){ 0 }, 6);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 3), M_MSG_OUT);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 2), M_MSG_OUT + 3);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT + 5);
    lt_emit(t, I_JUMP, d.phases);
    lt_run(t, LT_SCRIPT);
    g_assert_cmphex(vector(t), ==, V_EXTENDED);
    lt_free(t);
}

/* Puts n tagged commands in flight on LUN 0 of target 0 and leaves them there: lt_hold() is on. */
static void put_in_flight(LsiTest *t, unsigned n)
{
    lt_hold(true);
    for (unsigned i = 0; i < n; i++) {
        const uint8_t msg[] = { 0xc0, 0x20, i };
        Dispatch d = dispatch(t, 0, 3, 10);
        put_msg(t, msg, 3);
        put_table(t, M_DSA, LT_DATA, 512, 512);
        put_rw10(t, i & 1 ? 0x2a : 0x28, i, 2);
        lt_run(t, d.start);
        lt_r8(t, LSI_DSTAT);
        lt_r8(t, LSI_SIST0);
    }
}

/* CVE-2022-0216 and commit 5297a0fc65's bug: any permutation of abort-type messages in one MSG OUT,
 * with none, one and many requests alive. Under ASan this is the use-after-free test. */
static void test_abort_messages(void)
{
    static const uint8_t codes[] = { 0x06, 0x0d, 0x0e, 0x0c };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned perm = 0; perm < 256; perm++) {
        uint8_t msg[12] = { 0xc0, 0x20, perm % 5 };
        unsigned n = 3;
        put_in_flight(t, perm % 7);
        for (unsigned i = 0; i < 4; i++) {
            msg[n++] = codes[perm >> (2 * i) & 3];
            if (i == 1) {
                msg[n++] = 0x20;
                msg[n++] = perm % 3;
            }
        }
        put_msg(t, msg, n);
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_SELECT_ATN(0), 0);
        lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
        lt_emit(t, I_MOVE(PHASE_MSG_OUT, n), M_MSG_OUT);
        lt_emit(t, I_WAIT_DISC, 0);
        lt_emit(t, I_INT, 0x55);
        lt_run(t, LT_SCRIPT);
        g_assert_cmphex(vector(t), ==, 0x55);
        g_assert_cmphex(lt_r8(t, LSI_ISTAT0) & ISTAT0_CON, ==, 0);
        if (perm & 16) {
            lt_hold(false); /* some finish between, some stay with the next round */
            lt_turns(t, perm % 11);
        }
    }
    lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
    lt_free(t);
}

/* ABORT TAG of one of three: the other two complete. */
static void test_abort_tag(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 1, 0x0d };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    unsigned left;

    put_in_flight(t, 3);
    g_assert_cmpuint(t->s->n_tasks, ==, 3);
    left = 3;
    put_msg(t, msg, sizeof(msg));
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, sizeof(msg)), M_MSG_OUT);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, 0x56);
    lt_run_int(t, LT_SCRIPT, 0x56);
    for (LsiTask *k = t->s->tasks; k; k = k->next) {
        g_assert_cmpuint(k->req.tag, !=, 1);
        left--;
    }
    g_assert_cmpuint(left, ==, 1); /* the aborted one */
    lt_free(t);
}

/* Bus free with SDU still set is unexpected. */
static void test_udc(void)
{
    static const uint8_t msg[] = { 0x80, 0x06 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    put_msg(t, msg, sizeof(msg));
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 2), M_MSG_OUT);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_run(t, LT_SCRIPT);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_UDC);
    lt_free(t);
}

/* ---- trouble with I/O in flight ---- */

/* Issues 84, 305, 552: data moves with no command, after reset, disconnection and abort. */
static void test_move_without_nexus(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned phase = 0; phase < 8; phase++) {
        lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_MOVE(phase, 64), LT_DATA);
        lt_emit(t, I_INT, 1);
        lt_start(t, LT_SCRIPT);
        lt_turns(t, 3);
        g_assert_cmpint(t->s->st.run, ==, LSI_WAIT_MOVE); /* as on the chip: no REQ */
        lt_w8(t, LSI_ISTAT0, ISTAT0_ABRT);
        g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_ABRT);
    }
    lt_free(t);
}

/* Soft reset, bus reset and device reset after each number of turns of a running command; then
 * the disk still answers. The unit attention tells a bus reset from a soft one. */
static void test_reset_in_flight(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 9 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned how = 0; how < 3; how++) {
        for (unsigned turns = 0; turns < 12; turns++) {
            Dispatch d = dispatch(t, 0, 3, 10);
            put_msg(t, msg, 3);
            put_table(t, M_DSA, LT_DATA, 60000, 5536);
            put_rw10(t, turns & 1 ? 0x2a : 0x28, 0, 128);
            lt_start(t, d.start);
            lt_turns(t, turns);
            if (how == 0) {
                lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
            } else if (how == 1) {
                lt_w8(t, LSI_SCNTL1, SCNTL1_RST);
                lt_w8(t, LSI_SCNTL1, 0);
                g_assert_cmphex(lt_r8(t, LSI_SIST0) & SIST0_RST, ==, SIST0_RST);
                lt_r8(t, LSI_DSTAT);
            } else {
                lt_settle(t);
                pci_dev_reset(t->pci);
                pci_cfg_write(t->pci, PCI_BAR0 + 4, LT_BAR_REGS, 4);
                pci_cfg_write(t->pci, PCI_COMMAND, PCI_COMMAND_MEM | PCI_COMMAND_MASTER, 2);
            }
            firmware_sense(t, 0, how ? 0x06 : 0x00, how ? 0x29 : 0, how == 1 ? 0x02 : 0);
        }
    }
    lt_free(t);
}

/* d459131ff5 and kin: data that lands in the own registers, resetting the chip in mid-transfer. */
static void test_data_into_self(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    memset(t->ram + LT_DATA, 0xff, 512);
    put_rw10(t, 0x2a, 7, 1);
    firmware_good(t, (Firmware){ .data_phase = PHASE_DATA_OUT, .data_len = 512 });
    for (unsigned off = 0; off < 256; off += 4) {
        put_in_flight(t, 3);
        put_rw10(t, 0x28, 7, 1);
        t->ram[M_MSG_OUT] = 0x80;
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_SELECT(0), 0);
        lt_emit(t, I_CHMOV(PHASE_MSG_OUT, 1), M_MSG_OUT);
        lt_emit(t, I_CHMOV(PHASE_COMMAND, 16), M_CDB);
        lt_emit(t, I_CHMOV(PHASE_DATA_IN, 512), LT_BAR_REGS + off);
        lt_emit(t, I_INT, 1);
        lt_start(t, LT_SCRIPT);
        lt_turns(t, 5);
        lt_hold(false);
        lt_turns(t, 30);
        lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
        lt_w8(t, LSI_SCNTL1, 0);
    }
    lt_settle(t);
    lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
    firmware(t, (Firmware){ 0 });
    lt_free(t);
}

/* MSG IN with no message (e497e6a557's read at index -1), in each state a script can reach. */
static void test_msg_in_without_message(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    t->ram[M_MSG_OUT] = 0x80;
    for (unsigned n = 1; n < 4; n++) {
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_SELECT_ATN(0), 0);
        lt_emit(t, I_MOVE(n & 1 ? PHASE_MSG_IN : PHASE_MSG_OUT, 1), M_MSG_OUT);
        lt_emit(t, I_MOVE(PHASE_MSG_IN, n), M_MSG_IN);
        lt_run(t, LT_SCRIPT);
        g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_MA);
    }
    lt_free(t);
}

/* The device is drained in mid-command, as on disconnect: what was written is there. */
static void test_drain_write(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 9 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    Dispatch d = dispatch(t, 0, 3, 10);

    put_msg(t, msg, 3);
    memset(t->ram + LT_DATA, 0xd7, 1024);
    put_table(t, M_DSA, LT_DATA, 512, 512);
    put_rw10(t, 0x2a, 200, 2);
    run_to_complete(t, &d, d.start);
    lt_settle(t);
    g_assert_cmphex(lt_image_byte(t, 0, 201 * 512 + 511), ==, 0xd7);
    lt_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lsi/firmware/q2-q3-q6-read", test_firmware_read);
    g_test_add_func("/lsi/firmware/write", test_firmware_write);
    g_test_add_func("/lsi/firmware/q4-test-unit-ready", test_q4_test_unit_ready);
    g_test_add_func("/lsi/firmware/q5-short-message", test_q5_short_message);
    g_test_add_func("/lsi/firmware/q7-abandon", test_q7_abandon);
    g_test_add_func("/lsi/firmware/q8-absent", test_q8_absent);
    g_test_add_func("/lsi/firmware/q10-inquiry", test_q10_inquiry);
    g_test_add_func("/lsi/firmware/q12-csbc", test_q12_csbc);
    g_test_add_func("/lsi/bus/absent-dsp", test_absent_dsp);
    g_test_add_func("/lsi/bus/tagged-read-write", test_tagged_read_write);
    g_test_add_func("/lsi/bus/reselect", test_reselect);
    g_test_add_func("/lsi/bus/sigp-while-waiting", test_sigp_while_waiting);
    g_test_add_func("/lsi/bus/reselect-races-select", test_reselect_races_select);
    g_test_add_func("/lsi/bus/no-disc-priv", test_no_disc_priv);
    g_test_add_func("/lsi/bus/many-tags", test_many_tags);
    g_test_add_func("/lsi/bus/udc", test_udc);
    g_test_add_func("/lsi/bus/sense-at-depth", test_sense_at_depth);
    g_test_add_func("/lsi/mismatch/pmj", test_pmj);
    g_test_add_func("/lsi/mismatch/interrupt", test_ma_interrupt);
    g_test_add_func("/lsi/mismatch/enndj", test_enndj);
    g_test_add_func("/lsi/mismatch/64bit", test_64bit);
    g_test_add_func("/lsi/msg/negotiation", test_negotiation);
    g_test_add_func("/lsi/msg/reject", test_reject);
    g_test_add_func("/lsi/msg/split", test_split_message);
    g_test_add_func("/lsi/msg/abort-cve-2022-0216", test_abort_messages);
    g_test_add_func("/lsi/msg/abort-tag", test_abort_tag);
    g_test_add_func("/lsi/trouble/move-without-nexus", test_move_without_nexus);
    g_test_add_func("/lsi/trouble/reset-in-flight", test_reset_in_flight);
    g_test_add_func("/lsi/trouble/data-into-self", test_data_into_self);
    g_test_add_func("/lsi/trouble/msg-in-without-message", test_msg_in_without_message);
    g_test_add_func("/lsi/trouble/drain-write", test_drain_write);
    return g_test_run();
}
