/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers of the LSI: reset values, masks, side effects, interrupts and resets. */
#include "lsi-harness.h"

#include <string.h>

/* A register, or neighbours that are alike: what a read gives after power-on or a reset, after
 * 0xff was written, and after 0 was. */
typedef struct RegRow {
    uint8_t off, n;
    uint8_t reset, ones, zeros;
    uint8_t late; /* bits that read 0 on the 53C810 and 810A */
} RegRow;

#define SAME(off_, n_, val, late_)                                                                 \
    {                                                                                              \
        .off = (off_), .n = (n_), .reset = (val), .ones = (val), .zeros = (val), .late = (late_)   \
    }
#define STORED(off_, n_, bits, late_)                                                              \
    {                                                                                              \
        .off = (off_), .n = (n_), .ones = (bits), .late = (late_)                                  \
    }

/* In ascending order; what is left out reads 0 whatever is written. */
static const RegRow reg_rows[] = {
    { LSI_SCNTL0, 1, 0xc0, 0xfb, 0x00, 0 },
    STORED(LSI_SCNTL1, 1, 0xef, 0), /* CON shows the connection */
    STORED(LSI_SCNTL2, 1, 0xf6, 0), /* WSS and WSR are written to be cleared */
    STORED(LSI_SCNTL3, 1, 0xff, 0x88),
    STORED(LSI_SCID, 1, 0x6f, 0x08),
    STORED(LSI_SXFER, 1, 0xff, 0x10),
    STORED(LSI_SDID, 1, 0x0f, 0x08),
    { LSI_GPREG, 1, 0x7f, 0x7f, 0x6f, 0 }, /* 3-0 are inputs */
    SAME(LSI_SFBR, 1, 0, 0),
    STORED(LSI_SOCL, 1, 0xff, 0),
    SAME(LSI_SSID, 2, 0, 0), /* and SBCL */
    SAME(LSI_DSTAT, 1, 0x80, 0),
    SAME(LSI_SSTAT0, 2, 0, 0), /* and SSTAT1 */
    SAME(LSI_SSTAT2, 1, 0x02, 0),
    STORED(LSI_DSA, 4, 0xff, 0),
    SAME(LSI_ISTAT0, 1, 0, 0), /* 0xff has SRST */
    STORED(LSI_ISTAT1, 1, 0x01, 0xff),
    STORED(LSI_MBOX0, 2, 0xff, 0xff),
    { LSI_CTEST0, 1, 0xff, 0xff, 0x00, 0 },
    SAME(LSI_CTEST1, 1, 0xf0, 0),
    { LSI_CTEST2, 1, 0x31, 0x39, 0x31, 0 },
    STORED(LSI_CTEST3, 1, 0x03, 0),
    STORED(LSI_TEMP, 4, 0xff, 0),
    SAME(LSI_DFIFO, 1, 0, 0),
    STORED(LSI_CTEST4, 1, 0xff, 0),
    STORED(LSI_CTEST5, 1, 0x3c, 0),
    STORED(LSI_CTEST6, 1, 0xff, 0),
    STORED(LSI_DBC, 3, 0xff, 0),
    { LSI_DCMD, 1, 0x40, 0xff, 0x00, 0 },
    STORED(LSI_DNAD, 4, 0xff, 0),
    STORED(LSI_DSP, 4, 0xff, 0),
    STORED(LSI_DSPS, 4, 0xff, 0),
    STORED(LSI_SCRATCHA, 4, 0xff, 0),
    STORED(LSI_DMODE, 1, 0xff, 0),
    STORED(LSI_DIEN, 1, 0x7f, 0),
    STORED(LSI_SBR, 1, 0xff, 0),
    STORED(LSI_DCNTL, 1, 0xfb, 0), /* STD clears itself */
    SAME(LSI_ADDER, 4, 0, 0),
    STORED(LSI_SIEN0, 1, 0xff, 0),
    STORED(LSI_SIEN1, 1, 0x17, 0x10),
    SAME(LSI_SIST0, 2, 0, 0), /* and SIST1 */
    STORED(LSI_SLPAR, 1, 0xff, 0),
    STORED(LSI_SWIDE, 1, 0xff, 0xff),
    { LSI_MACNTL, 1, 0xf0, 0xff, 0xf0, 0xf0 },
    { LSI_GPCNTL, 1, 0x0f, 0xff, 0x00, 0 },
    STORED(LSI_STIME0, 1, 0xff, 0),
    STORED(LSI_STIME1, 1, 0x7f, 0),
    STORED(LSI_RESPID0, 1, 0xff, 0),
    STORED(LSI_RESPID1, 1, 0xff, 0xff),
    SAME(LSI_STEST0, 1, 0x03, 0),
    STORED(LSI_STEST1, 1, 0xcf, 0x0c),
    STORED(LSI_STEST2, 1, 0xbf, 0),    /* ROF clears itself */
    STORED(LSI_STEST3, 1, 0xfd, 0x08), /* CSF clears itself */
    SAME(LSI_SIDL, 2, 0, 0),
    SAME(LSI_STEST4, 1, 0xe0, 0xff),
    STORED(LSI_SODL, 1, 0xff, 0),
    STORED(LSI_SODL + 1, 1, 0xff, 0xff),
    STORED(LSI_CCNTL0, 1, 0xf3, 0xff),
    STORED(LSI_CCNTL1, 1, 0x8f, 0xff),
    SAME(LSI_SBDL, 2, 0, 0),
    STORED(LSI_SCRATCHB, 4, 0xff, 0),
    STORED(LSI_SCRATCHC, 0xa0 - 0x60, 0xff, 0xff),
    STORED(LSI_MMRS, 0xbc - 0xa0, 0xff, 0xff),
    STORED(LSI_PMJAD1, 0xd8 - 0xc0, 0xff, 0xff),
    SAME(LSI_SBC, 3, 0, 0),
    STORED(LSI_CSBC, 4, 0xff, 0xff),
};

/* The row that says what is at off; one of zeros where none does. */
static RegRow reg_row(unsigned off, bool late)
{
    RegRow row = { 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(reg_rows); i++) {
        if (off >= reg_rows[i].off && off < reg_rows[i].off + reg_rows[i].n) {
            row = reg_rows[i];
        }
    }
    if (!late) {
        row.reset &= ~row.late;
        row.ones &= ~row.late;
        row.zeros &= ~row.late;
    }
    return row;
}

static void check_reg(LsiTest *t, unsigned off, uint8_t want, const char *when)
{
    uint8_t got = lt_r8(t, off);

    if (got != want) {
        g_error("%s: register %02x %s: %02x, not %02x", t->model, off, when, got, want);
    }
}

static void test_bits(const void *model)
{
    bool late = g_str_equal(model, "lsi53c895a");
    unsigned end = late ? LSI_REGS : 0x80;
    LsiTest *t = lt_new(model, 0);

    for (unsigned off = 0; off < end; off++) {
        check_reg(t, off, reg_row(off, late).reset, "at power-on");
    }
    for (unsigned off = 0; off < end; off++) {
        RegRow row = reg_row(off, late);

        lt_w8(t, off, 0xff);
        check_reg(t, off, row.ones, "after ff");
        lt_w8(t, off, 0);
        check_reg(t, off, row.zeros, "after 00");
        lt_w8(t, off, 0xff);
        lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
        for (unsigned i = 0; i < end; i++) {
            check_reg(t, i, reg_row(i, late).reset, "after a soft reset");
        }
    }
    lt_free(t);
}

/* Reading twice gives the same, but for the four registers where a read clears. */
static void test_read_effects(const void *model)
{
    LsiTest *t = lt_new(model, 0);

    lt_emit(t, I_INT, 1);
    lt_run(t, LT_SCRIPT);
    lt_w8(t, LSI_SCNTL1, SCNTL1_RST); /* SIST0.RST */
    lt_w8(t, LSI_ISTAT0, ISTAT0_SIGP);
    t->s->st.reg[LSI_SIST1] |= SIST1_GEN;
    for (unsigned off = 0; off < LSI_REGS; off++) {
        unsigned reg = off & t->s->model->reg_mask;
        bool clears = off == reg && (reg == LSI_DSTAT || reg == LSI_CTEST2 || reg == LSI_SIST0 ||
                                     reg == LSI_SIST1);
        g_autofree LsiState *before = g_memdup2(&t->s->st, sizeof(t->s->st));

        lt_r8(t, off);
        if (!memcmp(before, &t->s->st, sizeof(*before)) == clears) {
            g_error("register %02x: a read %s", off, clears ? "clears nothing" : "has an effect");
        }
    }
    lt_free(t);
}

/* Every offset of the 1 KiB window in every width, with all values: nothing but SRST, RST and DSP
 * does anything, and those are harmless. */
static void test_all_offsets(void)
{
    static const unsigned widths[] = { 1, 2, 4, 8 };
    static const uint64_t values[] = { 0, UINT64_MAX, UINT64_C(0x5a5a5a5a5a5a5a5a) };
    static const char *const models[] = { "lsi53c895a", "lsi53c810" };

    for (unsigned m = 0; m < 2; m++) {
        LsiTest *t = lt_new(models[m], 1);
        for (unsigned w = 0; w < 4; w++) {
            for (unsigned off = 0; off < pci_bar_size(t->pci, 1); off++) {
                for (unsigned v = 0; v < 3; v++) {
                    pci_bar_write(t->pci, off & 256 ? 1 : 0, off & 255, values[v], widths[w]);
                    pci_bar_write(t->pci, 1, off, values[v], widths[w]);
                    pci_bar_read(t->pci, 1, off, widths[w]);
                }
                lt_turns(t, 2);
            }
        }
        lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_INT, 0x77);
        lt_run_int(t, LT_SCRIPT, 0x77);
        lt_free(t);
    }
}

static void test_bytewise_dsp(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    /* Q11: firmware writes DSP by bytes through the I/O window; the last one starts. */
    lt_emit(t, I_INT, 0xabcd);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpint(t->s->st.run, ==, LSI_STOPPED);
        pci_bar_write(t->pci, 0, LSI_DSP + i, LT_SCRIPT >> (8 * i) & 0xff, 1);
    }
    lt_wait_stop(t);
    g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 0xabcd);
    g_assert_cmphex(lt_r32(t, LSI_DSP), ==, LT_SCRIPT + 8);
    lt_free(t);
}

static void test_man_std(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_emit(t, I_INT, 1);
    lt_emit(t, I_INT, 2);
    lt_w8(t, LSI_DMODE, DMODE_MAN);
    lt_w32(t, LSI_DSP, LT_SCRIPT);
    lt_turns(t, 3);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE);
    lt_w8(t, LSI_DCNTL, DCNTL_STD | 1);
    lt_wait_stop(t);
    g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 1);
    g_assert_cmphex(lt_r8(t, LSI_DCNTL), ==, 1); /* STD clears itself */
    lt_w8(t, LSI_DCNTL, DCNTL_STD | 1);          /* goes on behind the INT */
    lt_wait_stop(t);
    g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 2);
    lt_free(t);
}

static void test_single_step(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_emit(t, I_NOP, 0);
    lt_emit(t, I_NOP, 0);
    lt_w8(t, LSI_DCNTL, DCNTL_SSM);
    lt_run(t, LT_SCRIPT);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SSI);
    g_assert_cmphex(lt_r32(t, LSI_DSP), ==, LT_SCRIPT + 8);
    lt_free(t);
}

static void test_dstat(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_emit(t, I_INT, 0x11);
    lt_w8(t, LSI_DIEN, 0xff);
    g_assert_false(t->irq); /* DFE never interrupts, even enabled */
    lt_run(t, LT_SCRIPT);
    g_assert_true(t->irq);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, ISTAT0_DIP);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
    g_assert_false(t->irq);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, 0);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE);
    g_assert_cmpuint(t->irqs, ==, 1);
    lt_free(t);
}

/* Q9: nothing enabled, no INTA# activity, whatever happens. */
static void test_q9_masked(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_emit(t, I_INT, 0x11);
    lt_run(t, LT_SCRIPT);
    lt_w8(t, LSI_SCNTL1, SCNTL1_RST);
    lt_w8(t, LSI_SCNTL1, 0);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, ISTAT0_DIP | ISTAT0_SIP);
    g_assert_cmpuint(t->irqs, ==, 0);
    /* Enabling with something pending raises the pin at once. */
    lt_w8(t, LSI_DIEN, DSTAT_SIR);
    g_assert_true(t->irq);
    lt_w8(t, LSI_DCNTL, DCNTL_IRQD);
    g_assert_false(t->irq);
    lt_w8(t, LSI_DCNTL, 0);
    g_assert_true(t->irq);
    lt_w8(t, LSI_ISTAT1, ISTAT1_SI);
    g_assert_true(t->irq); /* only new ones are held back */
    lt_free(t);
}

static void test_intfly(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_emit(t, I_INTFLY, 0);
    lt_emit(t, I_REG_REG(A_LOAD, LSI_SCRATCHA, 0x42), 0);
    lt_emit(t, I_WAIT_RESEL, 0);
    lt_run(t, LT_SCRIPT);
    g_assert_true(t->irq);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, ISTAT0_INTF);
    g_assert_cmphex(lt_r8(t, LSI_SCRATCHA), ==, 0x42); /* kept running */
    lt_w8(t, LSI_ISTAT0, ISTAT0_SEM);                  /* INTF is not cleared by writing 0 */
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, ISTAT0_INTF | ISTAT0_SEM);
    lt_w8(t, LSI_ISTAT0, ISTAT0_INTF);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, 0);
    g_assert_false(t->irq);
    lt_free(t);
}

static void test_sigp(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);
    uint32_t alt;

    lt_org(t, LT_SCRIPT + 0x100);
    alt = lt_emit(t, I_REG_TO_SFBR(A_AND, LSI_CTEST2, CTEST2_SIGP), 0);
    lt_emit(t, I_INT, 0x51);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_WAIT_RESEL, alt);
    lt_run(t, LT_SCRIPT);
    g_assert_cmpint(t->s->st.run, ==, LSI_WAIT_RESELECT);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT1), ==, ISTAT1_SRUN);
    lt_w8(t, LSI_ISTAT0, ISTAT0_SIGP);
    lt_wait_stop(t);
    g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 0x51);
    g_assert_cmphex(lt_r8(t, LSI_SFBR), ==, CTEST2_SIGP);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0) & ISTAT0_SIGP, ==, 0); /* the read cleared it */
    /* Already set when WAIT RESELECT comes: HP-UX hung where this was not looked at. */
    lt_r8(t, LSI_DSTAT);
    lt_w8(t, LSI_ISTAT0, ISTAT0_SIGP);
    lt_run_int(t, LT_SCRIPT, 0x51);
    lt_free(t);
}

static void test_abrt(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_emit(t, I_WAIT_RESEL, 0);
    lt_run(t, LT_SCRIPT);
    lt_w8(t, LSI_ISTAT0, ISTAT0_ABRT);
    g_assert_cmpint(t->s->st.run, ==, LSI_STOPPED);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_ABRT);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, ISTAT0_ABRT | ISTAT0_DIP); /* fires again */
    lt_w8(t, LSI_ISTAT0, 0);
    lt_r8(t, LSI_DSTAT);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, 0);
    lt_free(t);
}

/* Q1: SRST is a pulse; other bits of that write are ignored, in every state. */
static void test_q1_srst(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    for (unsigned v = 0; v < 256; v++) {
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_WAIT_RESEL, 0);
        lt_run(t, LT_SCRIPT);
        lt_w8(t, LSI_ISTAT0, v | ISTAT0_SRST);
        g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, 0);
        g_assert_cmphex(lt_r8(t, LSI_ISTAT1), ==, 0);
        g_assert_cmphex(lt_r8(t, LSI_MBOX1), ==, 0);
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_INT, v);
        lt_run_int(t, LT_SCRIPT, v);
    }
    lt_free(t);
}

/* Linux' bus check: RST held reads as SSTAT0.RST, all lines quiet; the interrupt comes once. */
static void test_bus_reset(void)
{
    LsiTest *t = lt_new("lsi53c895a", 1);

    lt_w8(t, LSI_SCNTL1, SCNTL1_RST);
    g_assert_cmphex(lt_r8(t, LSI_SSTAT0), ==, SSTAT0_RST);
    g_assert_cmphex(lt_r8(t, LSI_SBCL), ==, 0);
    g_assert_cmphex(lt_r8(t, LSI_SBDL), ==, 0);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_RST);
    lt_w8(t, LSI_SCNTL1, SCNTL1_RST | 0x80); /* held: an edge, not a level */
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, 0);
    lt_w8(t, LSI_SCNTL1, 0);
    g_assert_cmphex(lt_r8(t, LSI_SSTAT0), ==, 0);
    lt_free(t);
}

/* RST and STO pending together: each byte clears its own half, a word both. */
static void pend_rst_and_sto(LsiTest *t)
{
    lt_w8(t, LSI_SCNTL1, SCNTL1_RST);
    lt_w8(t, LSI_SCNTL1, 0);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT(3), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), LT_DATA);
    lt_run(t, LT_SCRIPT);
}

static void test_sist_bytes(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    pend_rst_and_sto(t);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_RST);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, ISTAT0_SIP); /* STO is still there */
    g_assert_cmphex(lt_r8(t, LSI_SIST1), ==, SIST1_STO);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, 0);
    lt_w8(t, LSI_SIEN0, 0x8f);
    pend_rst_and_sto(t);
    g_assert_true(t->irq);
    g_assert_cmphex(pci_bar_read(t->pci, 1, LSI_SIST0, 2), ==, SIST0_RST | SIST1_STO << 8);
    g_assert_false(t->irq);
    lt_free(t);
}

static bool gen_fired(LsiTest *t)
{
    return t->s->st.reg[LSI_SIST1] & SIST1_GEN;
}

static void test_gen_timer(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_emit(t, I_WAIT_RESEL, 0);
    lt_run(t, LT_SCRIPT);
    lt_w8(t, LSI_STIME1, 4); /* 1 ms */
    lt_until(t, gen_fired);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0), ==, 0); /* not fatal where not enabled */
    g_assert_cmpint(t->s->st.run, ==, LSI_WAIT_RESELECT);
    g_assert_cmphex(lt_r8(t, LSI_SIST1), ==, SIST1_GEN);
    lt_w8(t, LSI_SIEN1, SIST1_GEN);
    lt_w8(t, LSI_STIME1, 0);
    lt_w8(t, LSI_STIME1, 1);
    lt_wait_stop(t);
    lt_until(t, gen_fired);
    g_assert_true(t->irq);
    g_assert_cmpint(t->s->st.run, ==, LSI_STOPPED);
    lt_w8(t, LSI_STIME1, 0x0f);
    lt_w8(t, LSI_STIME1, 0);
    g_assert_false(loop_timer_armed(&t->s->gen_timer));
    lt_free(t);
}

static void test_pcicie(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_w32(t, LSI_SCRATCHA, 0x12345678);
    lt_w8(t, LSI_CTEST2, CTEST2_PCICIE);
    g_assert_cmphex(lt_r32(t, LSI_SCRATCHA), ==, LT_BAR_REGS);
    g_assert_cmphex(lt_r32(t, LSI_SCRATCHB), ==, LT_BAR_RAM);
    lt_w8(t, LSI_CTEST2, 0);
    g_assert_cmphex(lt_r32(t, LSI_SCRATCHA), ==, 0x12345678);
    lt_free(t);
}

/* FIFO bookkeeping: (BO - DBC) is 0 whatever DBC holds; CLF and FLF clear themselves. */
static void test_fifo(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_w32(t, LSI_DBC, 0x00000357);
    g_assert_cmphex(lt_r8(t, LSI_DFIFO), ==, 0x57);
    g_assert_cmphex(lt_r8(t, LSI_CTEST5) & 3, ==, 3);
    lt_w8(t, LSI_CTEST3, 0x0d);
    g_assert_cmphex(lt_r8(t, LSI_CTEST3), ==, 0x01);
    lt_w8(t, LSI_STEST3, 0x82);
    g_assert_cmphex(lt_r8(t, LSI_STEST3), ==, 0x80);
    lt_free(t);
}

/* The plain 810: 128 registers seen twice, no script RAM, none of the later registers. */
static void test_810(void)
{
    LsiTest *t = lt_new("lsi53c810", 0);

    g_assert_cmphex(pci_cfg_read(t->pci, PCI_VENDOR_ID, 4), ==, 0x00011000);
    g_assert_cmphex(pci_cfg_read(t->pci, PCI_REVISION, 1), ==, 0);
    g_assert_cmphex(pci_cfg_read(t->pci, PCI_CAP_PTR, 1), ==, 0);
    g_assert_cmpuint(pci_bar_size(t->pci, 2), ==, 0);
    lt_w32(t, 0x80 + LSI_SCRATCHA, 0xcafe0001);
    g_assert_cmphex(lt_r32(t, LSI_SCRATCHA), ==, 0xcafe0001);
    lt_w8(t, LSI_MBOX1, 0x55);
    g_assert_cmphex(lt_r8(t, LSI_MBOX1), ==, 0);
    g_assert_cmphex(lt_r8(t, LSI_STEST4), ==, 0);
    lt_w8(t, 0x60, 0x55);
    g_assert_cmphex(lt_r8(t, 0x60), ==, 0);
    lt_free(t);
}

/* The 810A differs by its revision and by LOAD and STORE. */
static void test_810a(void)
{
    LsiTest *t = lt_new("lsi53c810a", 0);

    g_assert_cmphex(pci_cfg_read(t->pci, PCI_VENDOR_ID, 4), ==, 0x00011000);
    g_assert_cmphex(pci_cfg_read(t->pci, PCI_REVISION, 1), ==, 0x12);
    lt_put32(t, LT_DATA, 0x810a);
    lt_emit(t, I_LOAD(LSI_SCRATCHA, 4), LT_DATA);
    lt_emit(t, I_INT, 1);
    lt_run_int(t, LT_SCRIPT, 1);
    g_assert_cmphex(lt_r32(t, LSI_SCRATCHA), ==, 0x810a);
    lt_free(t);
}

/* Loopback (STEST2.SLB): what the chip drives, it sees. */
static void test_loopback(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    lt_w8(t, LSI_SOCL, 0x2f);
    lt_w8(t, LSI_SODL, 0xa5);
    lt_w8(t, LSI_SODL + 1, 0x3c);
    g_assert_cmphex(lt_r8(t, LSI_SBCL), ==, 0);
    lt_w8(t, LSI_STEST2, STEST2_SLB);
    g_assert_cmphex(lt_r8(t, LSI_SBCL), ==, 0x2f);
    g_assert_cmphex(lt_r8(t, LSI_SBDL), ==, 0xa5);
    g_assert_cmphex(lt_r8(t, LSI_SBDL + 1), ==, 0x3c);
    lt_free(t);
}

static bool hth_fired(LsiTest *t)
{
    return t->s->st.reg[LSI_SIST1] & SIST1_HTH;
}

/* Handshake to handshake: the target keeps the initiator waiting for longer than it allows. */
static void test_hth_timer(void)
{
    LsiTest *t = lt_new("lsi53c895a", 1);

    lt_w8(t, LSI_SIEN1, SIST1_HTH);
    lt_w8(t, LSI_STIME0, 0x40); /* 1 ms */
    lt_put32(t, LT_DATA, 0x80);
    lt_put32(t, LT_DATA + 16, 0x28); /* READ(10) of one block */
    t->ram[LT_DATA + 24] = 1;
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), LT_DATA);
    lt_emit(t, I_MOVE(PHASE_COMMAND, 10), LT_DATA + 16);
    lt_emit(t, I_MOVE(PHASE_STATUS, 1), LT_DATA + 32); /* unit attention: first command */
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), LT_DATA + 33);
    lt_emit(t, I_INT, 1);
    lt_run_int(t, LT_SCRIPT, 1);
    lt_hold(true);
    lt_start(t, LT_SCRIPT);
    lt_until(t, hth_fired);
    g_assert_true(t->irq);
    g_assert_cmpint(t->s->st.run, ==, LSI_STOPPED);
    lt_free(t);
}

static void test_script_ram(void)
{
    LsiTest *t = lt_new("lsi53c895a", 0);

    for (unsigned size = 1; size <= 8; size *= 2) {
        pci_bar_write(t->pci, 2, 64 * size, UINT64_C(0x8877665544332211), size);
        g_assert_cmphex(pci_bar_read(t->pci, 2, 64 * size, 1), ==, 0x11);
        g_assert_cmphex(pci_bar_read(t->pci, 2, 64 * size + size - 1, 1), ==, 0x11 * size);
    }
    pci_bar_write(t->pci, 2, LSI_RAM_SIZE - 4, 0x52414944, 4);
    lt_w8(t, LSI_ISTAT0, ISTAT0_SRST); /* kept over a soft reset */
    g_assert_cmphex(pci_bar_read(t->pci, 2, LSI_RAM_SIZE - 4, 4), ==, 0x52414944);
    lt_settle(t);
    pci_dev_reset(t->pci);
    g_assert_cmphex(pci_bar_read(t->pci, 2, LSI_RAM_SIZE - 4, 4), ==, 0);
    lt_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/lsi/regs/bits-895a", "lsi53c895a", test_bits);
    g_test_add_data_func("/lsi/regs/bits-810", "lsi53c810", test_bits);
    g_test_add_data_func("/lsi/regs/bits-810a", "lsi53c810a", test_bits);
    g_test_add_data_func("/lsi/regs/read-effects", "lsi53c895a", test_read_effects);
    g_test_add_data_func("/lsi/regs/read-effects-810", "lsi53c810", test_read_effects);
    g_test_add_func("/lsi/regs/all-offsets", test_all_offsets);
    g_test_add_func("/lsi/regs/q11-bytewise-dsp", test_bytewise_dsp);
    g_test_add_func("/lsi/regs/man-std", test_man_std);
    g_test_add_func("/lsi/regs/single-step", test_single_step);
    g_test_add_func("/lsi/irq/dstat", test_dstat);
    g_test_add_func("/lsi/irq/q9-masked", test_q9_masked);
    g_test_add_func("/lsi/irq/intfly", test_intfly);
    g_test_add_func("/lsi/irq/sigp", test_sigp);
    g_test_add_func("/lsi/irq/abrt", test_abrt);
    g_test_add_func("/lsi/irq/sist-bytes", test_sist_bytes);
    g_test_add_func("/lsi/irq/gen-timer", test_gen_timer);
    g_test_add_func("/lsi/reset/q1-srst", test_q1_srst);
    g_test_add_func("/lsi/reset/bus", test_bus_reset);
    g_test_add_func("/lsi/regs/pcicie", test_pcicie);
    g_test_add_func("/lsi/regs/fifo", test_fifo);
    g_test_add_func("/lsi/regs/810", test_810);
    g_test_add_func("/lsi/regs/810a", test_810a);
    g_test_add_func("/lsi/regs/loopback", test_loopback);
    g_test_add_func("/lsi/irq/hth-timer", test_hth_timer);
    g_test_add_func("/lsi/regs/script-ram", test_script_ram);
    return g_test_run();
}
