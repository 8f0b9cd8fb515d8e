/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SCRIPTS without a target: every instruction class, illegal ones, bus faults, self-access. */
#include "lsi-harness.h"

#include <string.h>

static void expect_stop(LsiTest *t, uint8_t dstat)
{
    lt_run(t, LT_SCRIPT);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | dstat);
    lt_org(t, LT_SCRIPT);
}

/* ---- register instructions ---- */

static void test_alu(void)
{
    static const struct {
        uint8_t alu, a, data, carry_in, result, carry_out;
    } rows[] = {
        { A_LOAD, 0x12, 0x34, 1, 0x34, 1 }, { A_OR, 0x12, 0x81, 1, 0x93, 1 },
        { A_XOR, 0xff, 0x0f, 0, 0xf0, 0 },  { A_AND, 0xf3, 0x3f, 1, 0x33, 1 },
        { A_SHL, 0x81, 0, 1, 0x03, 1 },     { A_SHL, 0x41, 0, 0, 0x82, 0 },
        { A_SHR, 0x81, 0, 1, 0xc0, 1 },     { A_SHR, 0x80, 0, 0, 0x40, 0 },
        { A_ADD, 0xf0, 0x20, 1, 0x10, 1 },  { A_ADD, 0x10, 0x20, 1, 0x30, 0 },
        { A_ADDC, 0xff, 0x00, 1, 0x00, 1 }, { A_ADDC, 0x10, 0x20, 1, 0x31, 0 },
    };
    LsiTest *t = lt_new("lsi53c895a", 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (unsigned op = 5; op <= 7; op++) {
            unsigned reg = LSI_SCRATCHA + 1;
            t->s->st.reg[LSI_SFBR] = op == 5 ? rows[i].a : 0x77;
            lt_w8(t, reg, op == 5 ? 0x77 : rows[i].a);
            lt_org(t, LT_SCRIPT);
            lt_emit(t, rows[i].carry_in ? I_SET(I_CARRY) : I_CLEAR(I_CARRY), 0);
            lt_emit(t, I_REG(op, rows[i].alu, reg, rows[i].data), 0);
            lt_emit(t, I_INT, i);
            lt_run_int(t, LT_SCRIPT, i);
            g_assert_cmphex(op == 6 ? lt_r8(t, LSI_SFBR) : lt_r8(t, reg), ==, rows[i].result);
            g_assert_cmpint(t->s->st.carry, ==, rows[i].carry_out);
        }
    }
    lt_free(t);
}

/* Bit 23: SFBR instead of data8; bit 7 is A7 of the register; SFBR itself may be written. */
static void test_register_forms(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_emit(t, I_REG_TO_SFBR(A_LOAD, LSI_SFBR, 0x21), 0);
    lt_emit(t, I_REG_REG(A_ADD, LSI_MMRS, 0) | 1u << 23, 0);
    lt_emit(t, I_REG_REG(A_SHL, LSI_SFBR, 0), 0);
    lt_emit(t, I_INT, 1);
    lt_w8(t, LSI_MMRS, 0x40);
    lt_run_int(t, LT_SCRIPT, 1);
    g_assert_cmphex(lt_r8(t, LSI_MMRS), ==, 0x61);
    g_assert_cmphex(lt_r8(t, LSI_SFBR), ==, 0x42);
    lt_free(t);
}

/* ---- transfer control ---- */

static void test_conditions(void)
{
    static const struct {
        uint32_t insn;
        uint8_t sfbr, phase, carry;
        bool taken;
    } rows[] = {
        { I_JUMP, 0, 0, 0, true },
        { I_NOP, 0, 0, 0, false },
        { I_JUMP | C_DATA(0x5a, 0), 0x5a, 0, 0, true },
        { I_JUMP | C_DATA(0x5a, 0), 0x5b, 0, 0, false },
        { I_JUMP | C_DATA(0x5a, 0x01), 0x5b, 0, 0, true },
        { (I_JUMP | C_DATA(0x5a, 0)) ^ C_NOT, 0x5b, 0, 0, true },
        { I_JUMP | C_IF(3), 0, 3, 0, true },
        { I_JUMP | C_IF(3), 0, 7, 0, false },
        { (I_JUMP | C_IF(3)) ^ C_NOT, 0, 7, 0, true },
        { I_JUMP | C_IF(3) | C_DATA(1, 0), 1, 3, 0, true },
        { I_JUMP | C_IF(3) | C_DATA(1, 0), 1, 2, 0, false },
        /* both compares, "false": both must be false (895A manual, 5.5) */
        { (I_JUMP | C_IF(3) | C_DATA(1, 0)) ^ C_NOT, 2, 2, 0, true },
        { (I_JUMP | C_IF(3) | C_DATA(1, 0)) ^ C_NOT, 1, 2, 0, false },
        { I_JUMP | C_CARRY, 0, 0, 1, true },
        { I_JUMP | C_CARRY, 0, 0, 0, false },
        { (I_JUMP | C_CARRY) ^ C_NOT, 0, 0, 0, true },
    };
    LsiTest *t = lt_new("lsi53c895a", 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        lt_org(t, LT_SCRIPT);
        lt_emit(t, rows[i].insn, LT_SCRIPT + 16);
        lt_emit(t, I_INT, 0x100 + i);
        lt_emit(t, I_INT, 0x200 + i);
        t->s->st.reg[LSI_SFBR] = rows[i].sfbr;
        t->s->st.phase = rows[i].phase;
        t->s->st.carry = rows[i].carry;
        lt_run_int(t, LT_SCRIPT, (rows[i].taken ? 0x200 : 0x100) + i);
    }
    lt_free(t);
}

static void test_call_return_relative(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_emit(t, I_JUMP | I_RELATIVE, 8); /* over the next one */
    lt_emit(t, I_INT, 0xbad);
    lt_emit(t, I_CALL, LT_SCRIPT + 0x100);
    lt_emit(t, I_JUMP | I_RELATIVE, 0xffffffu & (uint32_t)-0x18); /* back: 24 bits, signed */
    lt_org(t, LT_SCRIPT + 0x100);
    lt_emit(t, I_REG_REG(A_ADD, LSI_SCRATCHA, 1), 0);
    lt_emit(t, I_RETURN, 0);
    lt_org(t, LT_SCRIPT + 0x08);
    lt_emit(t, I_INT, 0x33);
    lt_run_int(t, LT_SCRIPT, 0x33);
    g_assert_cmphex(lt_r8(t, LSI_SCRATCHA), ==, 1);
    g_assert_cmphex(lt_r32(t, LSI_TEMP), ==, LT_SCRIPT + 0x18);
    lt_free(t);
}

/* ---- load, store, memory move ---- */

/* Linux' snooptest: relative LOAD and STORE, DSP behind the INT. */
static void test_snooptest(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_put32(t, LT_TABLE + 8, 1);
    lt_emit(t, I_LOAD(LSI_SCRATCHA, 4) | I_DSA, 8);
    lt_emit(t, I_STORE(LSI_TEMP, 4) | I_DSA, 8);
    lt_emit(t, I_LOAD(LSI_TEMP, 4) | I_DSA, 8);
    lt_emit(t, I_INT, 0x63);
    lt_w32(t, LSI_TEMP, 2);
    lt_w32(t, LSI_DSA, LT_TABLE);
    lt_run_int(t, LT_SCRIPT, 0x63);
    g_assert_cmphex(lt_r32(t, LSI_DSP), ==, LT_SCRIPT + 32);
    g_assert_cmphex(lt_r32(t, LSI_SCRATCHA), ==, 1);
    g_assert_cmphex(lt_r32(t, LSI_TEMP), ==, 2);
    g_assert_cmphex(lt_get32(t, LT_TABLE + 8), ==, 2);
    lt_free(t);
}

/* Each size at each alignment; what crosses a dword or differs in alignment is illegal. */
static void test_load_store_alignment(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    for (unsigned n = 0; n <= 7; n++) {
        for (unsigned reg = 0; reg < 4; reg++) {
            for (unsigned at = 0; at < 4; at++) {
                bool legal = n >= 1 && n <= 4 && reg == at && at + n <= 4;
                lt_org(t, LT_SCRIPT);
                lt_put32(t, LT_DATA, 0x44332211);
                lt_w32(t, LSI_SCRATCHB, 0);
                lt_emit(t, I_LOAD(LSI_SCRATCHB + reg, n), LT_DATA + at);
                lt_emit(t, I_INT, 0);
                expect_stop(t, legal ? DSTAT_SIR : DSTAT_IID);
                if (legal) {
                    uint32_t mask = (n == 4 ? ~0u : (1u << 8 * n) - 1) << 8 * at;
                    g_assert_cmphex(lt_r32(t, LSI_SCRATCHB), ==, 0x44332211 & mask);
                }
            }
        }
    }
    lt_emit(t, I_LOAD(LSI_SFBR, 1), LT_DATA); /* forbidden */
    expect_stop(t, DSTAT_IID);
    lt_emit(t, I_LOAD(LSI_SDID - 2, 4), LT_DATA); /* SCID..GPREG, not SFBR */
    lt_emit(t, I_INT, 0);
    expect_stop(t, DSTAT_SIR);
    lt_free(t);
}

static void test_memory_move(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    for (unsigned i = 0; i < 9000; i++) {
        t->ram[LT_DATA + 1 + i] = i * 7;
    }
    lt_emit(t, I_MEMMOVE(9000), LT_DATA + 1);
    lt_emit1(t, LT_DATA + 0x8001);
    lt_emit(t, I_INT, 5);
    lt_run_int(t, LT_SCRIPT, 5);
    g_assert_cmpmem(t->ram + LT_DATA + 1, 9000, t->ram + LT_DATA + 0x8001, 9000);
    lt_free(t);
}

/* Linux' cache test as the 810 runs it: TEMP is the variable, and the moves must not touch it. */
static void test_snooptest_810(void)
{
    LsiTest *t = lt_new("lsi53c810", 0);

    lt_put32(t, LT_TABLE, 1);
    lt_emit(t, I_MEMMOVE(4), LT_TABLE);
    lt_emit1(t, LT_BAR_REGS + LSI_SCRATCHA);
    lt_emit(t, I_MEMMOVE(4), LT_BAR_REGS + LSI_TEMP);
    lt_emit1(t, LT_TABLE);
    lt_emit(t, I_MEMMOVE(4), LT_TABLE);
    lt_emit1(t, LT_BAR_REGS + LSI_TEMP);
    lt_emit(t, I_INT, 0x63);
    lt_w32(t, LSI_TEMP, 2);
    lt_run_int(t, LT_SCRIPT, 0x63);
    g_assert_cmphex(lt_r32(t, LSI_SCRATCHA), ==, 1);
    g_assert_cmphex(lt_r32(t, LSI_TEMP), ==, 2);
    g_assert_cmphex(lt_get32(t, LT_TABLE), ==, 2);
    lt_free(t);
}

/* The 810's firmware reads and writes the chip's own registers by MEMORY MOVE, in memory space
 * and, for Windows 98, in I/O space. */
static void test_memory_move_self(void)
{
    static const char *const models[] = { "lsi53c810", "lsi53c895a" };

    for (unsigned m = 0; m < 2; m++) {
        LsiTest *t = lt_new(models[m], 0);
        lt_put32(t, LT_DATA, 0x11223344);
        lt_emit(t, I_MEMMOVE(4), LT_DATA);
        lt_emit1(t, LT_BAR_REGS + LSI_SCRATCHA);
        lt_emit(t, I_MEMMOVE(4), LT_BAR_REGS + LSI_SCRATCHA);
        lt_emit1(t, LT_DATA + 4);
        lt_emit(t, I_REG_REG(A_LOAD, LSI_DMODE, DMODE_SIOM), 0);
        lt_emit(t, I_MEMMOVE(4), LT_BAR_IO + LSI_SCRATCHA);
        lt_emit1(t, LT_DATA + 8);
        lt_emit(t, I_INT, 6);
        lt_run_int(t, LT_SCRIPT, 6);
        g_assert_cmphex(lt_get32(t, LT_DATA + 4), ==, 0x11223344);
        g_assert_cmphex(lt_get32(t, LT_DATA + 8), ==, 0x11223344);
        lt_free(t);
    }
}

/* Script RAM as program, table and data; Linux keeps queue pointers there. */
static void test_script_ram(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_org(t, LT_BAR_RAM + 0x1000);
    lt_emit(t, I_LOAD(LSI_SCRATCHA, 4), LT_BAR_RAM + 0x20);
    lt_emit(t, I_REG_REG(A_ADD, LSI_SCRATCHA, 1), 0);
    lt_emit(t, I_STORE(LSI_SCRATCHA, 4), LT_BAR_RAM + 0x24);
    lt_emit(t, I_INT, 7);
    lt_put32(t, LT_BAR_RAM + 0x20, 0xa0);
    lt_run_int(t, LT_BAR_RAM + 0x1000, 7);
    g_assert_cmphex(pci_bar_read(t->pci, 2, 0x24, 4), ==, 0xa1);
    lt_free(t);
}

/* Drivers patch a script while it runs: nothing decoded is kept. */
static void test_self_modifying(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_put32(t, LT_DATA, 0x99);
    lt_emit(t, I_MEMMOVE(4), LT_DATA);
    lt_emit1(t, LT_SCRIPT + 16); /* the INT's vector */
    lt_emit(t, I_INT, 0x11);
    lt_run_int(t, LT_SCRIPT, 0x99);
    lt_free(t);
}

/* A write to DSP from within only moves the program counter. */
static void test_self_dsp(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_put32(t, LT_DATA, LT_SCRIPT + 0x200);
    lt_emit(t, I_MEMMOVE(4), LT_DATA);
    lt_emit1(t, LT_BAR_REGS + LSI_DSP);
    lt_emit(t, I_INT, 0xbad);
    lt_org(t, LT_SCRIPT + 0x200);
    lt_emit(t, I_INT, 8);
    lt_run_int(t, LT_SCRIPT, 8);
    lt_free(t);
}

/* ---- what goes wrong ---- */

static void test_illegal(void)
{
    static const uint32_t rows[] = {
        0x30000010u,              /* block move, indirect and table */
        I_MOVE(PHASE_DATA_IN, 0), /* zero count */
        I_WAIT_DISC | 1u << 24,   /* bit 24 on an op that is no SELECT */
        I_CLEAR(I_ACK) | 1u << 24,
        I_SET(0x200),                    /* target mode */
        0xa0080000u,                     /* transfer control op 4 */
        I_JUMP | C_CARRY | C_DATA(0, 0), /* carry with compare */
        I_MEMMOVE(0),
        I_MEMMOVE(4) | 0, /* misaligned: see the second dword */
    };
    LsiTest *t = lt_new("lsi53c895a", 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        lt_emit(t, rows[i], LT_DATA + 1);
        lt_emit(t, LT_DATA + 2, 0);
        expect_stop(t, DSTAT_IID);
    }
    lt_emit(t, I_INT, 0);
    lt_run(t, LT_SCRIPT + 2); /* misaligned DSP */
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_IID);
    lt_free(t);
    t = lt_new("lsi53c810", 0);
    lt_emit(t, I_LOAD(LSI_SCRATCHA, 4), LT_DATA); /* the plain 810 has no LOAD */
    expect_stop(t, DSTAT_IID);
    lt_free(t);
}

static void test_bus_fault(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_run(t, 0x40000000); /* fetch from nowhere */
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_BF);
    lt_run(t, LT_RAM_SIZE - 4); /* second dword behind the end */
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_BF);
    lt_emit(t, I_LOAD(LSI_SCRATCHA, 4), 0x40000000);
    expect_stop(t, DSTAT_BF);
    lt_emit(t, I_STORE(LSI_SCRATCHA, 4), 0x40000000);
    expect_stop(t, DSTAT_BF);
    lt_emit(t, I_MEMMOVE(16), LT_RAM_SIZE - 8);
    lt_emit1(t, LT_DATA);
    expect_stop(t, DSTAT_BF);
    lt_emit(t, I_REG_REG(A_LOAD, LSI_DMODE, DMODE_DIOM), 0);
    lt_emit(t, I_MEMMOVE(4), LT_DATA);
    lt_emit1(t, 0x80); /* no I/O port of ours */
    expect_stop(t, DSTAT_BF);
    lt_emit(t, I_INT, 0);
    pci_cfg_write(t->pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEM, 2);
    expect_stop(t, DSTAT_BF); /* no bus master, no fetch */
    lt_free(t);
}

/* CVE-2019-12068: zero opcodes, NOPs, self-jumps and self-calls without end hurt only themselves:
 * the loop turns, ABRT and SRST work, and so does the next script. */
static void test_endless(void)
{
    static const uint32_t rows[][2] = {
        { 0, 0 }, { I_NOP, 0 }, { I_JUMP, LT_SCRIPT }, { I_CALL, LT_SCRIPT }, { I_RETURN, 0 },
    };
    LsiTest *t = lt_new("lsi53c895a", 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (uint32_t at = LT_SCRIPT; at < LT_RAM_SIZE; at += 8) {
            lt_put32(t, at, rows[i][0]);
            lt_put32(t, at + 4, rows[i][1]);
        }
        lt_w32(t, LSI_TEMP, LT_SCRIPT);
        lt_start(t, LT_SCRIPT);
        lt_turns(t, 20);
        g_assert_cmpint(t->s->st.run, ==, LSI_RUNNING);
        lt_w8(t, LSI_ISTAT0, ISTAT0_ABRT);
        g_assert_cmpint(t->s->st.run, ==, LSI_STOPPED);
        lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
        lt_turns(t, 2);
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_INT, i);
        lt_run_int(t, LT_SCRIPT, i);
    }
    lt_free(t);
}

/* CVE-2023-0330 and its kin: every DMA address pointed at the own BARs. */
static void test_self_access(void)
{
    static const uint32_t windows[] = { LT_BAR_REGS, LT_BAR_RAM, LT_BAR_RAM + LSI_RAM_SIZE - 4 };
    LsiTest *t = lt_new("lsi53c895a", 0);

    for (unsigned w = 0; w < G_N_ELEMENTS(windows); w++) {
        for (unsigned off = 0; off < 256; off += 4) {
            uint32_t at = windows[w] + (w == 2 ? 0 : off);
            lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
            lt_put32(t, LT_DATA, 0xffffffff); /* SRST, RST, STD, DSP: everything at once */
            lt_org(t, LT_SCRIPT);
            lt_emit(t, I_MEMMOVE(4), LT_DATA);
            lt_emit1(t, at);
            lt_emit(t, I_MEMMOVE(64), at);
            lt_emit1(t, LT_DATA + 64);
            lt_emit(t, I_INT, 1);
            lt_start(t, LT_SCRIPT);
            lt_turns(t, 4);
            lt_start(t, at); /* fetched from there */
            lt_turns(t, 4);
        }
    }
    lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_INT, 9);
    lt_run_int(t, LT_SCRIPT, 9);
    lt_free(t);
}

/* Random memory as script, fixed seed: the device must survive and stay usable. */
static void test_random(void)
{
    LsiTest *t = lt_new("lsi53c895a", 2);
    GRand *rnd = g_rand_new_with_seed(895);

    for (unsigned round = 0; round < 300; round++) {
        for (uint32_t at = LT_SCRIPT; at < LT_SCRIPT + 0x800; at += 8) {
            lt_put32(t, at, g_rand_int(rnd));
            lt_put32(t, at + 4,
                     g_rand_boolean(rnd) ? g_rand_int(rnd) % LT_RAM_SIZE
                                         : LT_BAR_REGS + g_rand_int(rnd) % 256);
        }
        lt_w32(t, LSI_DSA, g_rand_int_range(rnd, 0, LT_RAM_SIZE));
        lt_w8(t, LSI_CCNTL0, g_rand_int(rnd));
        lt_w8(t, LSI_CCNTL1, g_rand_int(rnd));
        for (unsigned i = 0; i < 20; i++) {
            lt_start(t, LT_SCRIPT + g_rand_int_range(rnd, 0, 0x100) * 8);
            lt_turns(t, 2);
            lt_w8(t, g_rand_int_range(rnd, 0, 256), g_rand_int(rnd));
        }
    }
    g_rand_free(rnd);
    lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_INT, 10);
    lt_run_int(t, LT_SCRIPT, 10);
    lt_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lsi/scripts/alu", test_alu);
    g_test_add_func("/lsi/scripts/register-forms", test_register_forms);
    g_test_add_func("/lsi/scripts/conditions", test_conditions);
    g_test_add_func("/lsi/scripts/call-return-relative", test_call_return_relative);
    g_test_add_func("/lsi/scripts/snooptest", test_snooptest);
    g_test_add_func("/lsi/scripts/load-store-alignment", test_load_store_alignment);
    g_test_add_func("/lsi/scripts/memory-move", test_memory_move);
    g_test_add_func("/lsi/scripts/memory-move-self", test_memory_move_self);
    g_test_add_func("/lsi/scripts/snooptest-810", test_snooptest_810);
    g_test_add_func("/lsi/scripts/script-ram", test_script_ram);
    g_test_add_func("/lsi/scripts/self-modifying", test_self_modifying);
    g_test_add_func("/lsi/scripts/self-dsp", test_self_dsp);
    g_test_add_func("/lsi/scripts/illegal", test_illegal);
    g_test_add_func("/lsi/scripts/bus-fault", test_bus_fault);
    g_test_add_func("/lsi/scripts/endless-cve-2019-12068", test_endless);
    g_test_add_func("/lsi/scripts/self-access-cve-2023-0330", test_self_access);
    g_test_add_func("/lsi/scripts/random", test_random);
    return g_test_run();
}
