/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Phase mismatch at the LSI, by interrupt and by jump, and what is left of a move then; 64-bit
 * moves.
 */
#include "lsi-initiator.h"

/* The target has 512 bytes, the tables want 256 + 1000. */
static void run_short(LsiTest *t, uint8_t ccntl0)
{
    static const uint8_t msg[] = { 0x80 };
    Dispatch d = li_dispatch(t, 0, 1, 10);

    li_put_msg(t, msg, 1);
    li_put_table(t, M_DSA, LT_DATA, 256, 1000);
    lt_put32(t, M_DSA + 8, 1000 | 0xab000000u);
    li_put_rw10(t, 0x28, 1, 1);
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
    g_assert_cmphex(li_vector(t), ==, 0x91);
    g_assert_cmphex(lt_r32(t, LSI_RBC), ==, 744 | 0xab000000u);
    g_assert_cmphex(lt_r32(t, LSI_UA), ==, LT_DATA + 512);
    g_assert_cmphex(lt_r32(t, LSI_IA), ==, insn);
    g_assert_cmphex(lt_r32(t, LSI_ESA), ==, M_DSA + 8);
    g_assert_cmphex(lt_r32(t, LSI_SBC) & 0xffffff, ==, 256);
    run_short(t, CCNTL0_ENPMJ | CCNTL0_PMJCTL); /* by direction: input takes the second */
    g_assert_cmphex(li_vector(t), ==, 0x92);
    li_expect_blocks(t, 0, 1, 1);
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
            g_assert_cmphex(li_vector(t), ==, 0x93);
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
    li_put_rw10(t, 0x28, 3, 1);
    lt_w8(t, LSI_CCNTL1, CCNTL1_EN64TIBMV | CCNTL1_64TIMOD);
    li_put_table(t, M_DSA, LT_DATA, 256, 256);
    lt_put32(t, M_DSA + 8, 256 | 0x01000000u); /* 4 GiB and up: nothing there */
    Dispatch d = li_dispatch(t, 0, 1, 10);
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
    li_expect_blocks(t, 0, 3, 1);
    lt_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lsi/mismatch/pmj", test_pmj);
    g_test_add_func("/lsi/mismatch/interrupt", test_ma_interrupt);
    g_test_add_func("/lsi/mismatch/enndj", test_enndj);
    g_test_add_func("/lsi/mismatch/64bit", test_64bit);
    return g_test_run();
}
