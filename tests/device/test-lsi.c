/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The adapter itself: config space, registers, scripts without a target, interrupts, messages.
 *
 * Where QEMU's device differs from the chip, the test says so. There are more such registers than
 * are worth naming: what is tested for all is what drivers look at.
 */
#include "machine.h"

#include <string.h>

#define SCRIPT QLSI_TEST_SCRIPT
#define TABLE (QLSI_TEST_SCRIPT + 0x10000)

enum {
    M_MSG_OUT = TABLE,
    M_CDB = TABLE + 0x40,
    M_STATUS = TABLE + 0x80,
    M_MSG_IN = TABLE + 0x90,
    M_DATA = TABLE + 0x1000,
};

/* ---- config space ---- */

static uint32_t size_bar(Machine *m, unsigned bar)
{
    const unsigned reg = PCI_BAR0 + 4 * bar, devfn = m->lsi->devfn;
    const uint32_t old = qpci_read(m->q, devfn, reg, 4);
    uint32_t mask;

    qpci_write(m->q, devfn, reg, UINT32_MAX, 4);
    mask = qpci_read(m->q, devfn, reg, 4);
    qpci_write(m->q, devfn, reg, old, 4);
    g_assert_cmphex(qpci_read(m->q, devfn, reg, 4), ==, old);
    return mask;
}

static void test_ids(Machine *m)
{
    const unsigned devfn = m->lsi->devfn;

    g_assert_cmphex(qpci_read(m->q, devfn, PCI_VENDOR_ID, 4), ==, 0x00121000);
    g_assert_cmphex(qpci_read(m->q, devfn, PCI_CLASS_DEVICE, 2), ==, 0x0100);
    g_assert_cmphex(qpci_read(m->q, devfn, PCI_HEADER_TYPE, 1), ==, 0);
    g_assert_cmphex(qpci_read(m->q, devfn, PCI_SUBSYS_ID, 2), ==, 0x1000);
    g_assert_cmphex(qpci_read(m->q, devfn, PCI_INT_PIN, 1), ==, 1);
    /* Read-only, and what the guest may keep there. */
    qpci_write(m->q, devfn, PCI_VENDOR_ID, 0, 4);
    g_assert_cmphex(qpci_read(m->q, devfn, PCI_VENDOR_ID, 4), ==, 0x00121000);
    qpci_write(m->q, devfn, PCI_INT_LINE, 0x5a, 1);
    g_assert_cmphex(qpci_read(m->q, devfn, PCI_INT_LINE, 1), ==, 0x5a);
}

static void test_bars(Machine *m)
{
    static const uint32_t masks[] = { 0xffffff01, 0xfffffc00, 0xffffe000, 0, 0, 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(masks); i++) {
        g_assert_cmphex(size_bar(m, i), ==, masks[i]);
    }
    qlsi_w32(m->lsi, LSI_SCRATCHA, 0x12345678); /* works after that, through both windows */
    m->lsi->by_port = true;
    g_assert_cmphex(qlsi_r32(m->lsi, LSI_SCRATCHA), ==, 0x12345678);
}

/* Moved, closed, opened. */
static void test_bar_decode(Machine *m)
{
    QLsi *l = m->lsi;
    const uint32_t elsewhere = 0xfd000000;

    qlsi_w32(l, LSI_SCRATCHA, 0xcafe1234);
    qpci_write(m->q, l->devfn, PCI_BAR0 + 4, elsewhere, 4);
    g_assert_cmphex(qtest_read(m->q, elsewhere + LSI_SCRATCHA, 4), ==, 0xcafe1234);
    g_assert_cmphex(qtest_read(m->q, QLSI_BAR_REGS + LSI_SCRATCHA, 4), !=, 0xcafe1234);
    qpci_write(m->q, l->devfn, PCI_COMMAND, PCI_COMMAND_IO, 2);
    g_assert_cmphex(qtest_read(m->q, elsewhere + LSI_SCRATCHA, 4), !=, 0xcafe1234);
    g_assert_cmphex(qtest_in(m->q, QLSI_BAR_IO + LSI_SCRATCHA, 4), ==, 0xcafe1234);
    qpci_write(m->q, l->devfn, PCI_COMMAND, 0, 2);
    g_assert_cmphex(qtest_in(m->q, QLSI_BAR_IO + LSI_SCRATCHA, 4), ==, 0xffffffff);
    qlsi_enable(l);
    g_assert_cmphex(qlsi_r32(l, LSI_SCRATCHA), ==, 0xcafe1234);
}

/* ---- registers ---- */

static void test_reset_values(Machine *m)
{
    static const struct {
        uint8_t off, val, qemus;
    } rows[] = {
        /* QEMU's reports other values for what no driver relies on. */
        { LSI_SCNTL0, 0xc0, 0xc0 }, { LSI_SCNTL1, 0x00, 0x00 }, { LSI_SCNTL2, 0x00, 0x00 },
        { LSI_SCID, 0x00, 0x07 },   { LSI_SBCL, 0x00, 0x00 },   { LSI_DSTAT, 0x80, 0x80 },
        { LSI_SSTAT0, 0x00, 0x00 }, { LSI_ISTAT0, 0x00, 0x00 }, { LSI_ISTAT1, 0x00, 0x00 },
        { LSI_CTEST1, 0xf0, 0x00 }, { LSI_DCMD, 0x40, 0x40 },   { LSI_MACNTL, 0xf0, 0x0f },
        { LSI_GPCNTL, 0x0f, 0x0f }, { LSI_STEST0, 0x03, 0xff }, { LSI_STEST4, 0xe0, 0xe0 },
        { LSI_CCNTL0, 0x00, 0x00 }, { LSI_CCNTL1, 0x00, 0x00 }, { LSI_SBDL, 0x00, 0x00 },
        { LSI_SIST0, 0x00, 0x00 },  { LSI_SIST1, 0x00, 0x00 },  { LSI_DIEN, 0x00, 0x00 },
        { LSI_SIEN0, 0x00, 0x00 },  { LSI_SIEN1, 0x00, 0x00 },  { LSI_MBOX1, 0x00, 0x00 },
    };

    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
            uint8_t val = machine_is_qemus(m) ? rows[i].qemus : rows[i].val;
            g_test_message("register %02x", rows[i].off);
            g_assert_cmphex(qlsi_r8(m->lsi, rows[i].off), ==, val);
        }
        qlsi_w8(m->lsi, LSI_SIEN0, 0x8f); /* and as much after a reset */
        qlsi_w8(m->lsi, LSI_CCNTL0, 0x80);
        qlsi_w8(m->lsi, LSI_DIEN, 0x7d);
        qlsi_soft_reset(m->lsi);
    }
}

/* Linux' register test: DSTAT to SSTAT2 must not read back what was written. */
static void test_read_only(Machine *m)
{
    qlsi_w32(m->lsi, LSI_DSTAT, UINT32_MAX);
    g_assert_cmphex(qlsi_r32(m->lsi, LSI_DSTAT), !=, UINT32_MAX);
}

/* Each width through both windows. */
static void test_widths(Machine *m)
{
    QLsi *l = m->lsi;

    for (unsigned by_port = 0; by_port < 2; by_port++) {
        l->by_port = by_port;
        for (unsigned off = LSI_SCRATCHC; off < LSI_SCRATCHC + 16; off += 4) {
            qlsi_w32(l, off, 0x01020304u * (off & 0xf) + 0x10305070);
        }
        for (unsigned off = LSI_SCRATCHC; off < LSI_SCRATCHC + 16; off++) {
            uint32_t dword = 0x01020304u * (off & 0xc) + 0x10305070;
            g_assert_cmphex(qlsi_r8(l, off), ==, dword >> 8 * (off & 3) & 0xff);
            qlsi_w8(l, off, off);
            g_assert_cmphex(qlsi_r8(l, off), ==, off);
        }
        g_assert_cmphex(qlsi_r32(l, LSI_SCRATCHC), ==, 0x63626160);
    }
    qtest_write(m->q, QLSI_BAR_REGS + LSI_SCRATCHC + 2, 0xabcd, 2);
    g_assert_cmphex(qtest_in(m->q, QLSI_BAR_IO + LSI_SCRATCHC + 2, 2), ==, 0xabcd);
    g_assert_cmphex(qlsi_r32(l, LSI_SCRATCHC), ==, 0xabcd6160);
}

static void test_script_ram(Machine *m)
{
    uint8_t out[8192], in[8192];

    for (unsigned i = 0; i < sizeof(out); i++) {
        out[i] = i * 13 + (i >> 8);
    }
    qtest_mem_write(m->q, QLSI_BAR_RAM, out, sizeof(out));
    qtest_mem_read(m->q, QLSI_BAR_RAM, in, sizeof(in));
    g_assert_cmpmem(in, sizeof(in), out, sizeof(out));
    g_assert_cmphex(qtest_read(m->q, QLSI_BAR_RAM + 0x102, 2), ==, out[0x102] | out[0x103] << 8);
    qlsi_soft_reset(m->lsi);
    g_assert_cmphex(qtest_read(m->q, QLSI_BAR_RAM + 0x1fff, 1), ==, out[0x1fff]);
}

static void test_soft_reset(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_w8(l, LSI_SCNTL3, 0x07);
    qlsi_w8(l, LSI_DIEN, 0x7d);
    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_INT, 0x11);
    qlsi_w32(l, LSI_DSP, SCRIPT);
    qlsi_wait_istat(l, ISTAT0_DIP);
    g_assert_true(qtest_wait_irq(m->q, QLSI_IRQ, true, 10000));
    qlsi_soft_reset(l);
    g_assert_cmphex(qlsi_r8(l, LSI_ISTAT0), ==, 0);
    if (!machine_is_qemus(m)) { /* which leaves the line up until something else happens */
        g_assert_true(qtest_wait_irq(m->q, QLSI_IRQ, false, 10000));
    }
    g_assert_cmphex(qlsi_r8(l, LSI_SCNTL3), ==, 0);
    g_assert_cmphex(qlsi_r8(l, LSI_DIEN), ==, 0);
    g_assert_cmphex(qpci_read(m->q, l->devfn, PCI_BAR0 + 4, 4), ==, QLSI_BAR_REGS);
    qlsi_run_int(l, SCRIPT, 0x11); /* usable at once, SRST never cleared (fact sheet 5.2, Q1) */
}

/* ---- scripts ---- */

static void test_int(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_NOP, 0);
    qlsi_emit(l, I_INT, 0xabcd);
    qlsi_run_int(l, SCRIPT, 0xabcd);
    g_assert_cmphex(qlsi_r32(l, LSI_DSP), ==, SCRIPT + 16);
    /* Q11: by bytes through the I/O window, started by the last one. */
    l->by_port = true;
    for (unsigned i = 0; i < 4; i++) {
        qlsi_w8(l, LSI_DSP + i, SCRIPT >> 8 * i & 0xff);
    }
    qlsi_wait_istat(l, ISTAT0_DIP);
    g_assert_cmphex(qlsi_r8(l, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
}

/* Linux' snooptest (fact sheet 5.1), from guest memory and from script RAM. */
static void test_snooptest(Machine *m)
{
    const uint32_t where[] = { SCRIPT, QLSI_BAR_RAM };
    QLsi *l = m->lsi;

    for (unsigned i = 0; i < G_N_ELEMENTS(where); i++) {
        qtest_write(m->q, TABLE, 1, 4);
        qlsi_w32(l, LSI_TEMP, 2);
        qlsi_w32(l, LSI_DSA, TABLE);
        qlsi_org(l, where[i]);
        qlsi_emit(l, I_LOAD(LSI_SCRATCHA, 4) | I_DSA, 0);
        qlsi_emit(l, I_STORE(LSI_TEMP, 4) | I_DSA, 0);
        qlsi_emit(l, I_LOAD(LSI_TEMP, 4) | I_DSA, 0);
        qlsi_emit(l, I_INT, 0x63);
        qlsi_run_int(l, where[i], 0x63);
        g_assert_cmphex(qlsi_r32(l, LSI_DSP), ==, where[i] + 32);
        g_assert_cmphex(qtest_read(m->q, TABLE, 4), ==, 2);
        g_assert_cmphex(qlsi_r32(l, LSI_SCRATCHA), ==, 1);
        g_assert_cmphex(qlsi_r32(l, LSI_TEMP), ==, 2);
    }
}

static void test_load_store(Machine *m)
{
    QLsi *l = m->lsi;

    qtest_write(m->q, TABLE, 0x44332211, 4);
    qtest_write(m->q, TABLE + 8, 0, 8);
    qlsi_w32(l, LSI_DSA, TABLE + 0x100);
    qlsi_w32(l, LSI_SCRATCHA, 0);
    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_LOAD(LSI_SCRATCHA + 1, 1), TABLE + 1);
    qlsi_emit(l, I_LOAD(LSI_SCRATCHA + 2, 2), TABLE + 2);
    qlsi_emit(l, I_STORE(LSI_SCRATCHA, 4) | I_DSA, 0x00ffff08); /* DSA - f8 */
    qlsi_emit(l, I_MEMMOVE(4), TABLE + 8);
    qlsi_emit1(l, TABLE + 12);
    qlsi_emit(l, I_INT, 1);
    qlsi_run_int(l, SCRIPT, 1);
    g_assert_cmphex(qlsi_r32(l, LSI_SCRATCHA), ==, 0x44332200);
    g_assert_cmphex(qtest_read(m->q, TABLE + 8, 8), ==, UINT64_C(0x4433220044332200));
}

static void test_arithmetic(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_w32(l, LSI_SCRATCHA, 0x000000ff);
    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_CLEAR(I_CARRY), 0);
    qlsi_emit(l, I_REG_REG(A_ADD, LSI_SCRATCHA, 1), 0);
    qlsi_emit(l, I_REG_REG(A_ADDC, LSI_SCRATCHA + 1, 0), 0);
    qlsi_emit(l, I_REG_REG(A_OR, LSI_SCRATCHA + 2, 0xa5), 0);
    qlsi_emit(l, I_REG_REG(A_AND, LSI_SCRATCHA + 2, 0x0f), 0);
    qlsi_emit(l, I_REG_REG(A_XOR, LSI_SCRATCHA + 2, 0xff), 0);
    qlsi_emit(l, I_REG_TO_SFBR(A_OR, LSI_SCRATCHA + 2, 0), 0);
    qlsi_emit(l, I_SFBR_TO_REG(A_ADD, LSI_SCRATCHA + 3, 1), 0);
    qlsi_emit(l, I_JUMP | C_DATA(0xfa, 0), SCRIPT + 0x80);
    qlsi_emit(l, I_INT, 1);
    qlsi_org(l, SCRIPT + 0x80);
    qlsi_emit(l, 0x88880000u, 0x18); /* CALL, relative: to +0xa0 */
    qlsi_emit(l, I_INT, 2);
    qlsi_org(l, SCRIPT + 0xa0);
    qlsi_emit(l, I_RETURN, 0);
    qlsi_run_int(l, SCRIPT, 2);
    g_assert_cmphex(qlsi_r32(l, LSI_SCRATCHA), ==, 0xfbfa0100);
}

/* An illegal instruction and one where nothing is: the script stops and says why. QEMU's runs on,
 * as it does without bus mastering. */
static void test_illegal(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_org(l, SCRIPT);
    qlsi_emit(l, 0xa0000000, 0); /* transfer control, reserved operation */
    qlsi_w32(l, LSI_DSP, SCRIPT);
    qlsi_wait_istat(l, ISTAT0_DIP);
    g_assert_cmphex(qlsi_r8(l, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_IID);
    qlsi_w32(l, LSI_DSP, 0xe0000000);
    qlsi_wait_istat(l, ISTAT0_DIP);
    g_assert_cmphex(qlsi_r8(l, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_BF);
}

/* CVE-2019-12068: a script without end hurts only itself. */
static void test_endless(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_JUMP, SCRIPT);
    qlsi_w32(l, LSI_DSP, SCRIPT);
    for (unsigned i = 0; i < 50; i++) {
        qlsi_w32(l, LSI_SCRATCHA, i);
        g_assert_cmphex(qlsi_r32(l, LSI_SCRATCHA), ==, i);
    }
    g_assert_cmphex(qlsi_r8(l, LSI_ISTAT1) & ISTAT1_SRUN, ==, ISTAT1_SRUN);
    qlsi_w8(l, LSI_ISTAT0, ISTAT0_ABRT);
    qlsi_wait_istat(l, ISTAT0_DIP);
    qlsi_w8(l, LSI_ISTAT0, 0);
    g_assert_cmphex(qlsi_r8(l, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_ABRT);
    qlsi_emit(l, I_INT, 5);
    qlsi_run_int(l, SCRIPT + 8, 5);
}

/* Bus mastering off: no DMA, not even of the script. */
static void test_no_master(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_INT, 3);
    qpci_write(m->q, l->devfn, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEM, 2);
    qlsi_w32(l, LSI_DSP, SCRIPT);
    qlsi_wait_istat(l, ISTAT0_DIP);
    g_assert_cmphex(qlsi_r8(l, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_BF);
    qlsi_enable(l);
    qlsi_run_int(l, SCRIPT, 3);
}

static void test_selection_timeout(Machine *m)
{
    QLsi *l = m->lsi;

    qtest_write(m->q, TABLE, 0x1234, 4);
    qlsi_w8(l, LSI_SIEN1, SIST1_STO);
    for (unsigned id = 1; id < 16; id++) {
        if (id == 7 && machine_is_qemus(m)) {
            continue; /* its own, as SCID starts */
        }
        qlsi_org(l, SCRIPT);
        qlsi_emit(l, I_SELECT_ATN(id), SCRIPT + 0x100);
        qlsi_emit(l, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT);
        qlsi_emit(l, I_INT, 1);
        qlsi_w32(l, LSI_DSP, SCRIPT);
        qlsi_wait_istat(l, ISTAT0_SIP);
        g_assert_true(qtest_wait_irq(m->q, QLSI_IRQ, true, 10000));
        g_assert_cmphex(qlsi_r8(l, LSI_SIST0), ==, 0);
        g_assert_cmphex(qlsi_r8(l, LSI_SIST1), ==, SIST1_STO);
        g_assert_true(qtest_wait_irq(m->q, QLSI_IRQ, false, 10000));
        g_assert_cmphex(qlsi_r8(l, LSI_ISTAT0) & ISTAT0_CON, ==, 0);
    }
}

static void test_bus_reset(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_w8(l, LSI_SIEN0, SIST0_RST);
    qlsi_w8(l, LSI_SCNTL1, SCNTL1_RST);
    g_assert_true(qtest_wait_irq(m->q, QLSI_IRQ, true, 10000));
    g_assert_cmphex(qlsi_r8(l, LSI_SSTAT0) & SSTAT0_RST, ==, SSTAT0_RST);
    g_assert_cmphex(qlsi_r8(l, LSI_SIST0), ==, SIST0_RST);
    g_assert_cmphex(qlsi_r8(l, LSI_SIST0), ==, 0); /* an edge, not a level */
    g_assert_true(qtest_wait_irq(m->q, QLSI_IRQ, false, 10000));
    qlsi_w8(l, LSI_SCNTL1, 0);
    g_assert_cmphex(qlsi_r8(l, LSI_SSTAT0) & SSTAT0_RST, ==, 0);
}

/* ---- interrupts ---- */

static void expect_irq(Machine *m, bool level)
{
    g_assert_true(qtest_wait_irq(m->q, QLSI_IRQ, level, 10000));
}

static void test_irq_dstat(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_INT, 0x11);
    for (unsigned i = 1; i <= 4; i++) {
        qlsi_w8(l, LSI_DIEN, DSTAT_SIR);
        qlsi_w32(l, LSI_DSP, SCRIPT);
        expect_irq(m, true);
        g_assert_cmphex(qlsi_r8(l, LSI_ISTAT0), ==, ISTAT0_DIP);
        expect_irq(m, true); /* a level: another register does not take it away */
        g_assert_cmphex(qlsi_r8(l, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
        expect_irq(m, false);
        g_assert_cmphex(qlsi_r8(l, LSI_ISTAT0), ==, 0);
        g_assert_cmpuint(qtest_irq_raised(m->q, QLSI_IRQ), >=, i);
    }
}

/* Masked: the status is there, the line is not; unmasked later, it rises. */
static void test_irq_masked(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_INT, 0x11);
    qlsi_w32(l, LSI_DSP, SCRIPT);
    qlsi_wait_istat(l, ISTAT0_DIP);
    g_assert_cmpuint(qtest_irq_raised(m->q, QLSI_IRQ), ==, 0);
    qlsi_w8(l, LSI_DIEN, DSTAT_SIR);
    if (machine_is_qemus(
            m)) { /* looks at the mask when something happens, not when it is written */
        qlsi_r8(l, LSI_DSTAT);
        return;
    }
    expect_irq(m, true);
    qlsi_r8(l, LSI_DSTAT);
    expect_irq(m, false);
}

/* INTFLY goes on; the line stays up until INTF has been written back. */
static void test_intfly(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_INTFLY, 0);
    qlsi_emit(l, I_LOAD(LSI_SCRATCHA, 4), TABLE);
    qlsi_emit(l, I_INT, 7);
    qtest_write(m->q, TABLE, 0x77, 4);
    qlsi_w32(l, LSI_DSP, SCRIPT); /* INT is masked, INTFLY can't be */
    expect_irq(m, true);
    qlsi_wait_istat(l, ISTAT0_DIP);
    g_assert_cmphex(qlsi_r32(l, LSI_SCRATCHA), ==, 0x77);
    g_assert_cmphex(qlsi_r8(l, LSI_ISTAT0), ==, ISTAT0_INTF | ISTAT0_DIP);
    qlsi_w8(l, LSI_ISTAT0, 0);
    g_assert_cmphex(qlsi_r8(l, LSI_ISTAT0) & ISTAT0_INTF, ==, ISTAT0_INTF);
    qlsi_r8(l, LSI_DSTAT);
    g_assert_true(qtest_wait_irq(m->q, QLSI_IRQ, true, 10000));
    qlsi_w8(l, LSI_ISTAT0, ISTAT0_INTF);
    if (machine_is_qemus(m)) { /* where reading DSTAT clears nothing while INTF is up */
        qlsi_r8(l, LSI_DSTAT);
    }
    expect_irq(m, false);
    g_assert_cmphex(qlsi_r8(l, LSI_ISTAT0), ==, 0);
}

/* PCI's own mask of INTx. */
static void test_intx_disable(Machine *m)
{
    const uint16_t on = PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER;
    QLsi *l = m->lsi;

    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_INT, 0x11);
    qlsi_w8(l, LSI_DIEN, DSTAT_SIR);
    qpci_write(m->q, l->devfn, PCI_COMMAND, on | PCI_COMMAND_INTX_OFF, 2);
    qlsi_w32(l, LSI_DSP, SCRIPT);
    qlsi_wait_istat(l, ISTAT0_DIP);
    g_assert_cmphex(qpci_read(m->q, l->devfn, PCI_STATUS, 2) & PCI_STATUS_INTX, ==,
                    PCI_STATUS_INTX);
    g_assert_cmpuint(qtest_irq_raised(m->q, QLSI_IRQ), ==, 0);
    qpci_write(m->q, l->devfn, PCI_COMMAND, on, 2);
    expect_irq(m, true);
    qlsi_r8(l, LSI_DSTAT);
    expect_irq(m, false);
    g_assert_cmphex(qpci_read(m->q, l->devfn, PCI_STATUS, 2) & PCI_STATUS_INTX, ==, 0);
}

static void test_sigp(Machine *m)
{
    QLsi *l = m->lsi;

    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_WAIT_RESEL, SCRIPT + 0x40);
    qlsi_org(l, SCRIPT + 0x40);
    qlsi_emit(l, I_INT, 0x51);
    qlsi_w8(l, LSI_DIEN, DSTAT_SIR);
    for (unsigned before = 0; before < 2; before++) {
        if (before) { /* set already when the script comes to it */
            qlsi_w8(l, LSI_ISTAT0, ISTAT0_SIGP);
        }
        qlsi_w32(l, LSI_DSP, SCRIPT);
        if (!before) {
            g_assert_cmphex(qlsi_r8(l, LSI_ISTAT0), ==, 0);
            qlsi_w8(l, LSI_ISTAT0, ISTAT0_SIGP);
        }
        expect_irq(m, true);
        g_assert_cmphex(qlsi_r8(l, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
        g_assert_cmphex(qlsi_r32(l, LSI_DSPS), ==, 0x51);
        g_assert_cmphex(qlsi_r8(l, LSI_CTEST2) & CTEST2_SIGP, ==, CTEST2_SIGP);
        g_assert_cmphex(qlsi_r8(l, LSI_ISTAT0) & ISTAT0_SIGP, ==, 0);
        expect_irq(m, false);
    }
}

/* ---- messages ---- */

/* IDENTIFY and a negotiation. The chip's target answers in MESSAGE IN; QEMU's swallows the
 * message and goes to COMMAND, which is why Linux asks again with each command (fact sheet 4.4). */
static void test_negotiation(Machine *m)
{
    static const struct {
        uint8_t msg[10], len, answer[8];
    } rows[] = {
        { { 0x80, 1, 3, 1, 9, 63 }, 6, { 1, 3, 1, 10, 31 } },                   /* SDTR */
        { { 0x80, 1, 2, 3, 2 }, 5, { 1, 2, 3, 1 } },                            /* WDTR */
        { { 0x80, 1, 6, 4, 8, 0, 99, 1, 2 }, 9, { 1, 6, 4, 10, 0, 31, 1, 0 } }, /* PPR */
    };
    QLsi *l = m->lsi;
    uint8_t answer[8];

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        const unsigned n = rows[i].answer[1] + 2;
        qtest_mem_write(m->q, M_MSG_OUT, rows[i].msg, rows[i].len);
        qlsi_org(l, SCRIPT);
        qlsi_emit(l, I_SELECT_ATN(0), SCRIPT);
        qlsi_emit(l, I_MOVE(PHASE_MSG_OUT, rows[i].len), M_MSG_OUT);
        qlsi_emit(l, I_JUMP | C_WHEN(PHASE_MSG_IN), SCRIPT + 0x40);
        qlsi_emit(l, I_INT, 1);
        qlsi_org(l, SCRIPT + 0x40);
        for (unsigned b = 0; b < n; b++) {
            qlsi_emit(l, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN + b);
            qlsi_emit(l, I_CLEAR(I_ACK), 0);
        }
        qlsi_emit(l, I_JUMP | C_WHEN(PHASE_COMMAND), SCRIPT + 0x140);
        qlsi_emit(l, I_INT, 2);
        qlsi_org(l, SCRIPT + 0x140);
        qlsi_emit(l, I_INT, 3);
        if (machine_is_qemus(m)) {
            qlsi_run_int(l, SCRIPT, 1);
            g_assert_cmphex(qlsi_r8(l, LSI_SSTAT1) & 7, ==, PHASE_COMMAND);
        } else {
            qlsi_run_int(l, SCRIPT, 3);
            qtest_mem_read(m->q, M_MSG_IN, answer, n);
            g_assert_cmpmem(answer, n, rows[i].answer, n);
        }
        qlsi_soft_reset(l);
    }
}

/* ABORT: bus free, and no trouble with it since SDU is off. */
static void test_abort_message(Machine *m)
{
    static const uint8_t msg[] = { 0x80, 0x06 };
    QLsi *l = m->lsi;

    qtest_mem_write(m->q, M_MSG_OUT, msg, sizeof(msg));
    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_SELECT_ATN(0), SCRIPT);
    qlsi_emit(l, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    qlsi_emit(l, I_MOVE(PHASE_MSG_OUT, sizeof(msg)), M_MSG_OUT);
    qlsi_emit(l, I_WAIT_DISC, 0);
    qlsi_emit(l, I_INT, 0x55);
    qlsi_run_int(l, SCRIPT, 0x55);
    g_assert_cmphex(qlsi_r8(l, LSI_ISTAT0) & ISTAT0_CON, ==, 0);
}

/* The target has 18 bytes, the script wants 512: with ENPMJ it jumps, and says where the move
 * stopped. QEMU's jumps only if the rest was being waited for, and interrupts otherwise. */
static void test_mismatch_jump(Machine *m)
{
    static const uint8_t sense[6] = { 0x03, 0, 0, 0, 18 };
    QLsi *l = m->lsi;

    qtest_write(m->q, M_MSG_OUT, 0x80, 1);
    qtest_mem_write(m->q, M_CDB, sense, sizeof(sense));
    qlsi_w8(l, LSI_CCNTL0, CCNTL0_ENPMJ);
    qlsi_w32(l, LSI_PMJAD1, SCRIPT + 0x100);
    qlsi_w32(l, LSI_PMJAD2, SCRIPT + 0x100);
    qlsi_org(l, SCRIPT + 0x100);
    qlsi_emit(l, I_INT, 0x91);
    qlsi_org(l, SCRIPT);
    qlsi_emit(l, I_SELECT_ATN(0), SCRIPT);
    qlsi_emit(l, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT);
    qlsi_emit(l, I_MOVE(PHASE_COMMAND, 6), M_CDB);
    qlsi_emit(l, I_MOVE(PHASE_DATA_IN, 512), M_DATA);
    qlsi_emit(l, I_INT, 1);
    qlsi_run_int(l, SCRIPT, 0x91);
    g_assert_cmphex(qlsi_r32(l, LSI_RBC) & 0xffffff, ==, 512 - 18);
    g_assert_cmphex(qlsi_r32(l, LSI_UA), ==, M_DATA + 18);
    g_assert_cmphex(qlsi_r32(l, LSI_IA), ==, SCRIPT + 24);
    g_assert_cmphex(qlsi_r8(l, LSI_SSTAT1) & 7, ==, PHASE_STATUS);
}

static const MachineTest tests[] = {
    { "config/ids", test_ids, 0, 0 },
    { "config/bars", test_bars, 0, 0 },
    { "config/decode", test_bar_decode, 0, 0 },
    { "registers/reset-values", test_reset_values, 0, 0 },
    { "registers/read-only", test_read_only, 0, 0 },
    { "registers/widths", test_widths, 0, 0 },
    { "registers/script-ram", test_script_ram, 0, 0 },
    { "registers/soft-reset", test_soft_reset, 0, 0 },
    { "scripts/int", test_int, 0, 0 },
    { "scripts/snooptest", test_snooptest, 0, 0 },
    { "scripts/load-store", test_load_store, 0, 0 },
    { "scripts/arithmetic", test_arithmetic, 0, 0 },
    { "scripts/illegal", test_illegal, 0, WAYS_OURS },
    { "scripts/endless", test_endless, 0, 0 },
    { "scripts/no-master", test_no_master, 0, WAYS_OURS },
    { "scripts/selection-timeout", test_selection_timeout, 1, 0 },
    { "interrupts/bus-reset", test_bus_reset, 1, 0 },
    { "interrupts/dstat", test_irq_dstat, 0, 0 },
    { "interrupts/masked", test_irq_masked, 0, 0 },
    { "interrupts/intfly", test_intfly, 0, 0 },
    { "interrupts/intx-disable", test_intx_disable, 0, 0 },
    { "interrupts/sigp", test_sigp, 0, 0 },
    { "messages/negotiation", test_negotiation, 1, 0 },
    { "messages/abort", test_abort_message, 1, 0 },
    { "messages/mismatch-jump", test_mismatch_jump, 1, WAYS_OURS },
    { NULL, NULL, 0, 0 },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_add_tests(tests);
    return g_test_run();
}
