/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LSI driven by firmware: the quirks of the script that SeaBIOS and OVMF share (fact sheet 5.2)
 * have their numbers in the names of the cases.
 */
#include "lsi-initiator.h"

/* Q2, Q3, Q6, Q8 and Q11's neighbours: select without ATN, padded CDB, nothing acknowledged, SCID 0
 * selecting target 0, timers and masks never set; two commands after one another. */
static void test_firmware_read(void)
{
    static const char *const models[] = { "lsi53c895a", "lsi53c810" };

    for (unsigned m = 0; m < 2; m++) {
        LsiTest *t = lt_new_ready(models[m], 2);
        for (unsigned i = 0; i < 4; i++) {
            li_put_rw10(t, 0x28, 5 + i, 4);
            li_firmware_good(
                t, (Firmware){ .id = i & 1, .data_phase = PHASE_DATA_IN, .data_len = 2048 });
            li_expect_blocks(t, i & 1, 5 + i, 4);
        }
        g_assert_cmpuint(t->irqs, ==, 0);
        lt_free(t);
    }
}

static void test_firmware_write(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    memset(t->ram + LT_DATA, 0xa5, 1024);
    li_put_rw10(t, 0x2a, 100, 2);
    li_firmware_good(t, (Firmware){ .data_phase = PHASE_DATA_OUT, .data_len = 1024 });
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

    li_put_cdb(t, cdb, 6);
    li_firmware_good(t, (Firmware){ 0 });
    lt_free(t);
}

/* OVMF sends 32 bytes of command and asks two bytes for COMMAND COMPLETE. */
static void test_q5_short_message(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned i = 0; i < 3; i++) {
        li_put_rw10(t, 0x28, 9, 1);
        li_firmware_good(
            t, (Firmware){
                   .data_phase = PHASE_DATA_IN, .data_len = 512, .cmd_len = 32, .last_len = 2 });
        li_expect_blocks(t, 0, 9, 1);
    }
    lt_free(t);
}

/* A failed command leaves its nexus behind; the next SELECT starts anew, at every phase. */
static void test_q7_abandon(void)
{
    static const uint8_t tur[6] = { 0 };
    LsiTest *t = lt_new("lsi53c895a", 1);

    li_put_rw10(t, 0x28, 0, 1);
    li_firmware(t, (Firmware){ .data_phase = PHASE_DATA_IN, .data_len = 512 });
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_MA); /* CHECK CONDITION instead of data */
    li_firmware_sense(t, 0, 0x06, 0x29, 0x00);
    li_put_rw10(t, 0x28, 0, 2); /* more data than is moved: stopped in DATA IN */
    li_firmware(t, (Firmware){ .data_phase = PHASE_DATA_IN, .data_len = 512 });
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_MA);
    li_put_cdb(t, tur, 6);
    li_firmware_good(t, (Firmware){ 0 });
    lt_until(t, lt_no_tasks);
    lt_free(t);
}

/* Nobody there: STO although STIME0, SIEN and SCID are 0, and nothing is left behind. */
static void test_q8_absent(void)
{
    static const uint8_t tur[6] = { 0 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    li_put_cdb(t, tur, 6);
    for (unsigned id = 1; id < 16; id++) {
        li_firmware(t, (Firmware){ .id = id });
        g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, 0);
        g_assert_cmphex(lt_r8(t, LSI_SIST1), ==, SIST1_STO);
        g_assert_cmphex(lt_r32(t, LSI_DSP), ==, LT_SCRIPT + 16);
    }
    li_firmware_good(t, (Firmware){ 0 });
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

    li_put_cdb(t, cdb, 6);
    li_firmware_good(t, (Firmware){ .data_phase = PHASE_DATA_IN, .data_len = 36 });
    g_assert_cmphex(t->ram[LT_DATA], ==, 0);
    g_assert_cmpmem(t->ram + LT_DATA + 8, 8, "QEMU    ", 8);
    lt_free(t);
}

static void test_q12_csbc(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    uint32_t before = lt_r32(t, LSI_CSBC);

    li_put_rw10(t, 0x28, 0, 3);
    li_firmware_good(t, (Firmware){ .data_phase = PHASE_DATA_IN, .data_len = 1536 });
    g_assert_cmpuint(lt_r32(t, LSI_CSBC) - before, ==, 1536); /* data bytes only */
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
    return g_test_run();
}
