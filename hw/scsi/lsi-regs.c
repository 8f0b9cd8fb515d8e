/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operating registers (895A manual, chapter 4; reset values there and in the drivers that
 * check them). One table says for each byte its reset value, its writable bits and, where reading
 * or writing does more than that, the function that does it. A wide access acts as its bytes in
 * ascending order, so a dword written to DSP starts SCRIPTS once, on the last byte.
 *
 * Unknown offsets and reserved bits read 0 and ignore writes. On the 53C810 the file has 128 bytes,
 * seen twice; registers and bits that came later, or that only a wide bus has, do not exist there.
 *
 * Called by the CPU through the BAR door, and by SCRIPTS (register instructions, load, store and
 * moves to the own window). Nothing here runs SCRIPTS: starting them is deferred.
 */
#include "hw/scsi/lsi-internal.h"

#include <string.h>

typedef struct LsiReg {
    uint8_t reset;
    uint8_t wmask; /* bits that a write stores */
    uint8_t own;   /* further bits that the chip itself stores */
    uint8_t late;  /* bits that a 53C810 lacks: they came later, or belong to the wide bus */
    uint8_t (*read)(Lsi *s, unsigned off);
    /* After the writable bits have been stored; val is what was written. */
    void (*write)(Lsi *s, unsigned off, uint8_t val, uint8_t old);
} LsiReg;

/* ---- read side effects ---- */

static uint8_t read_scntl1(Lsi *s, unsigned off)
{
    return (s->st.reg[off] & ~SCNTL1_CON) | (s->st.connected ? SCNTL1_CON : 0);
}

/* Inputs read 1: an EEPROM that is not there gives no ACK. Outputs read what was written. */
static uint8_t read_gpreg(Lsi *s, unsigned off)
{
    uint8_t inputs = s->st.reg[LSI_GPCNTL] & 0x1f;

    return 0x60 | (s->st.reg[off] & ~inputs & 0x1f) | inputs;
}

/* The live control lines: HP-UX takes 0 during a nexus for a target that has gone. */
static uint8_t read_sbcl(Lsi *s, unsigned off G_GNUC_UNUSED)
{
    const LsiState *st = &s->st;

    if (st->reg[LSI_STEST2] & STEST2_SLB) {
        return st->reg[LSI_SOCL];
    }
    if (!st->connected) {
        return 0;
    }
    return SOCL_BSY | (st->req ? SOCL_REQ : 0) | (st->reg[LSI_SOCL] & (SOCL_ACK | SOCL_ATN)) |
           st->phase;
}

/* The data lines, which only loopback shows at a standstill. */
static uint8_t read_sbdl(Lsi *s, unsigned off)
{
    return (s->st.reg[LSI_STEST2] & STEST2_SLB) ? s->st.reg[off - LSI_SBDL + LSI_SODL] : 0;
}

static uint8_t read_dstat(Lsi *s, unsigned off G_GNUC_UNUSED)
{
    return lsi_dstat_read(s);
}

static uint8_t read_sstat0(Lsi *s, unsigned off G_GNUC_UNUSED)
{
    return s->st.rst ? SSTAT0_RST : 0;
}

static uint8_t read_sstat1(Lsi *s, unsigned off G_GNUC_UNUSED)
{
    return s->st.phase;
}

/* LDSC: last disconnect; up while unconnected, and until the first block move after. */
static uint8_t read_sstat2(Lsi *s, unsigned off)
{
    return s->st.connected ? s->st.reg[off] : SSTAT2_LDSC;
}

static uint8_t read_istat0(Lsi *s, unsigned off G_GNUC_UNUSED)
{
    return lsi_istat0(s);
}

static uint8_t read_istat1(Lsi *s, unsigned off)
{
    return s->st.reg[off] | (s->st.run != LSI_STOPPED ? ISTAT1_SRUN : 0);
}

/* Reading returns SIGP and clears it, for the CPU and for SCRIPTS alike. */
static uint8_t read_ctest2(Lsi *s, unsigned off)
{
    uint8_t v = s->st.reg[off] | CTEST2_DACK;

    if (s->st.reg[LSI_ISTAT0] & ISTAT0_SIGP) {
        v |= CTEST2_SIGP;
    }
    if (s->pci.config[PCI_COMMAND] & PCI_COMMAND_IO) {
        v |= CTEST2_CIO;
    }
    if (s->pci.config[PCI_COMMAND] & PCI_COMMAND_MEM) {
        v |= CTEST2_CM;
    }
    s->st.reg[LSI_ISTAT0] &= ~ISTAT0_SIGP;
    return v;
}

/* There is no DMA FIFO: BO equals DBC, so drivers find no bytes left in it. */
static uint8_t read_dfifo(Lsi *s, unsigned off G_GNUC_UNUSED)
{
    return s->st.reg[LSI_DBC];
}

static uint8_t read_ctest5(Lsi *s, unsigned off)
{
    return (s->st.reg[off] & ~0x03) | (s->st.reg[LSI_DBC + 1] & 0x03);
}

/* With CTEST2.PCICIE the scratch registers show the base addresses of BAR 1 and 2. */
static uint8_t read_scratch(Lsi *s, unsigned off)
{
    if (s->st.reg[LSI_CTEST2] & CTEST2_PCICIE) {
        unsigned bar = off < LSI_SCRATCHB ? PCI_BAR0 + 4 : PCI_BAR0 + 8;
        return s->pci.config[bar + (off & 3)];
    }
    return s->st.reg[off];
}

/* SIST0 and SIST1: a byte read clears that byte only. */
static uint8_t read_sist(Lsi *s, unsigned off)
{
    uint8_t v = s->st.reg[off];

    s->st.reg[off] = 0;
    lsi_irq_update(s);
    return v;
}

/* ---- write side effects ---- */

static void write_scntl1(Lsi *s, unsigned off G_GNUC_UNUSED, uint8_t val, uint8_t old)
{
    s->st.rst = !!(val & SCNTL1_RST);
    if ((val & SCNTL1_RST) && !(old & SCNTL1_RST)) {
        lsi_bus_reset(s);
    }
}

/* WSS and WSR are cleared by writing 1, and never set: every byte is moved exactly. */
static void write_scntl2(Lsi *s, unsigned off, uint8_t val, uint8_t old)
{
    s->st.reg[off] = (val & ~(SCNTL2_WSS | SCNTL2_WSR)) | (old & ~val & (SCNTL2_WSS | SCNTL2_WSR));
}

static void write_socl(Lsi *s, unsigned off G_GNUC_UNUSED, uint8_t val, uint8_t old)
{
    if ((old & SOCL_ACK) && !(val & SOCL_ACK)) {
        lsi_bus_release_ack(s);
    }
}

static void write_istat0(Lsi *s, unsigned off, uint8_t val, uint8_t old)
{
    /* A pulse, and alone: firmware never clears SRST (quirk Q1), and other bits of a write that
     * resets would act on half a reset. */
    if (val & ISTAT0_SRST) {
        lsi_soft_reset(s);
        return;
    }
    old &= ~(ISTAT0_ABRT | ISTAT0_SIGP | ISTAT0_SEM);
    if (val & ISTAT0_INTF) {
        old &= ~ISTAT0_INTF;
    }
    s->st.reg[off] = old | (val & (ISTAT0_ABRT | ISTAT0_SIGP | ISTAT0_SEM));
    if ((val & ISTAT0_ABRT) && !(s->st.reg[LSI_DSTAT] & DSTAT_ABRT)) {
        lsi_dma_irq(s, DSTAT_ABRT);
    }
    if (val & ISTAT0_SIGP) {
        lsi_scripts_wake(s);
    }
    lsi_irq_update(s);
}

#define ISTAT0_OWN (ISTAT0_ABRT | ISTAT0_SIGP | ISTAT0_SEM | ISTAT0_INTF)

static void write_irq_mask(Lsi *s, unsigned off G_GNUC_UNUSED, uint8_t val G_GNUC_UNUSED,
                           uint8_t old G_GNUC_UNUSED)
{
    lsi_irq_update(s);
}

static void write_dsp3(Lsi *s, unsigned off G_GNUC_UNUSED, uint8_t val G_GNUC_UNUSED,
                       uint8_t old G_GNUC_UNUSED)
{
    if (!(s->st.reg[LSI_DMODE] & DMODE_MAN)) {
        lsi_scripts_start(s);
    }
}

static void write_dcntl(Lsi *s, unsigned off, uint8_t val, uint8_t old G_GNUC_UNUSED)
{
    s->st.reg[off] = val & ~DCNTL_STD;
    if (val & DCNTL_STD) {
        lsi_scripts_start(s);
    }
    lsi_irq_update(s);
}

static void write_stime1(Lsi *s, unsigned off G_GNUC_UNUSED, uint8_t val G_GNUC_UNUSED,
                         uint8_t old G_GNUC_UNUSED)
{
    lsi_gen_timer_set(s);
}

#define RW(reset_)                                                                                 \
    {                                                                                              \
        .reset = (reset_), .wmask = 0xff                                                           \
    }
/* All of it came after the 53C810. */
#define LATE(wmask_)                                                                               \
    {                                                                                              \
        .wmask = (wmask_), .late = 0xff                                                            \
    }
#define RO(reset_)                                                                                 \
    {                                                                                              \
        .reset = (reset_)                                                                          \
    }
/* Set by the chip, not by a write. */
#define CHIP(bits)                                                                                 \
    {                                                                                              \
        .own = (bits)                                                                              \
    }

/* clang-format off: it does not know ranges */
static const LsiReg lsi_regs[LSI_REGS] = {
    [LSI_SCNTL0] = { .reset = 0xc0, .wmask = 0xfb },
    [LSI_SCNTL1] = { .wmask = 0xef, .read = read_scntl1, .write = write_scntl1 },
    [LSI_SCNTL2] = { .wmask = 0xff, .write = write_scntl2 },
    [LSI_SCNTL3] = { .wmask = 0xff, .late = 0x88 }, /* ULTRA, EWS */
    [LSI_SCID] = { .wmask = 0x6f, .late = 0x08 },
    [LSI_SXFER] = { .wmask = 0xff, .late = 0x10 },
    [LSI_SDID] = { .wmask = 0x0f, .late = 0x08 },
    [LSI_GPREG] = { .reset = 0x7f, .wmask = 0x1f, .read = read_gpreg },
    [LSI_SFBR] = CHIP(0xff), /* SCRIPTS write it, the CPU does not */
    [LSI_SOCL] = { .wmask = 0xff, .write = write_socl },
    [LSI_SSID] = { .own = 0x8f, .late = 0x08 },
    [LSI_SBCL] = { .read = read_sbcl },
    [LSI_DSTAT] = { .own = 0x7d, .read = read_dstat },
    [LSI_SSTAT0] = { .read = read_sstat0 },
    [LSI_SSTAT1] = { .read = read_sstat1 },
    [LSI_SSTAT2] = { .own = SSTAT2_LDSC, .read = read_sstat2 },
    [LSI_DSA ... LSI_DSA + 3] = RW(0),
    [LSI_ISTAT0] = { .own = ISTAT0_OWN, .read = read_istat0, .write = write_istat0 },
    [LSI_ISTAT1] = { .wmask = ISTAT1_SI, .late = 0xff,
                     .read = read_istat1, .write = write_irq_mask },
    [LSI_MBOX0 ... LSI_MBOX1] = LATE(0xff),
    [LSI_CTEST0] = RW(0xff),
    [LSI_CTEST1] = RO(0xf0),
    [LSI_CTEST2] = { .wmask = CTEST2_PCICIE, .read = read_ctest2 },
    [LSI_CTEST3] = { .wmask = 0x03 }, /* FLF and CLF clear themselves */
    [LSI_TEMP ... LSI_TEMP + 3] = RW(0),
    [LSI_DFIFO] = { .read = read_dfifo },
    [LSI_CTEST4] = RW(0),
    [LSI_CTEST5] = { .wmask = 0x3c, .read = read_ctest5 },
    [LSI_CTEST6] = RW(0),
    [LSI_DBC ... LSI_DBC + 2] = RW(0),
    [LSI_DCMD] = RW(0x40),
    [LSI_DNAD ... LSI_DNAD + 3] = RW(0),
    [LSI_DSP ... LSI_DSP + 2] = RW(0),
    [LSI_DSP + 3] = { .wmask = 0xff, .write = write_dsp3 },
    [LSI_DSPS ... LSI_DSPS + 3] = RW(0),
    [LSI_SCRATCHA ... LSI_SCRATCHA + 3] = { .wmask = 0xff, .read = read_scratch },
    [LSI_DMODE] = RW(0),
    [LSI_DIEN] = { .wmask = 0x7f, .write = write_irq_mask },
    [LSI_SBR] = RW(0),
    [LSI_DCNTL] = { .wmask = 0xff, .write = write_dcntl },
    [LSI_ADDER ... LSI_ADDER + 3] = RO(0),
    [LSI_SIEN0] = { .wmask = 0xff, .write = write_irq_mask },
    [LSI_SIEN1] = { .wmask = 0x17, .late = SIST1_SBMC, .write = write_irq_mask },
    [LSI_SIST0] = { .own = 0xff, .read = read_sist },
    [LSI_SIST1] = { .own = 0x17, .late = SIST1_SBMC, .read = read_sist },
    [LSI_SLPAR] = RW(0),
    [LSI_SWIDE] = LATE(0xff),
    [LSI_MACNTL] = { .wmask = 0x0f }, /* the chip's type above */
    [LSI_GPCNTL] = RW(0x0f),
    [LSI_STIME0] = RW(0),
    [LSI_STIME1] = { .wmask = 0x7f, .write = write_stime1 },
    [LSI_RESPID0] = RW(0),
    [LSI_RESPID1] = LATE(0xff),
    [LSI_STEST0] = RO(0x03),
    [LSI_STEST1] = { .wmask = 0xcf, .late = 0x0c }, /* QEN, QSEL: the clock is not multiplied */
    [LSI_STEST2] = { .wmask = 0xbf },               /* ROF clears itself */
    [LSI_STEST3] = { .wmask = 0xfd, .late = 0x08 }, /* CSF clears itself; S16 */
    [LSI_SIDL] = CHIP(0xff),
    /* LVD, frequency locked: NetBSD waits for LOCK */
    [LSI_STEST4] = { .reset = 0xe0, .late = 0xff },
    [LSI_SODL] = RW(0),
    [LSI_SODL + 1] = LATE(0xff),
    [LSI_CCNTL0] = LATE(0xf3),
    [LSI_CCNTL1] = LATE(0x8f),
    [LSI_SBDL] = { .read = read_sbdl },
    [LSI_SBDL + 1] = { .late = 0xff, .read = read_sbdl },
    [LSI_SCRATCHB ... LSI_SCRATCHB + 3] = { .wmask = 0xff, .read = read_scratch },
    [LSI_SCRATCHC ... LSI_MMRS - 1] = LATE(0xff),
    [LSI_MMRS ... LSI_DNAD64 + 3] = LATE(0xff),
    [LSI_PMJAD1 ... LSI_PMJAD2 + 3] = LATE(0xff),
    [LSI_RBC ... LSI_UA + 3] = LATE(0xff),
    [LSI_ESA ... LSI_IA + 3] = LATE(0xff),
    [LSI_SBC ... LSI_SBC + 2] = { .own = 0xff, .late = 0xff },
    [LSI_CSBC ... LSI_CSBC + 3] = LATE(0xff),
};
/* clang-format on */

/* The bits of a register that this model has. */
static uint8_t lsi_reg_bits(const Lsi *s, unsigned off)
{
    return s->model->has_895a_regs ? 0xff : (uint8_t)~lsi_regs[off].late;
}

static uint8_t lsi_reg_reset(const Lsi *s, unsigned off)
{
    return off == LSI_MACNTL ? s->model->chip_type : lsi_regs[off].reset & lsi_reg_bits(s, off);
}

void lsi_regs_reset(Lsi *s)
{
    for (unsigned i = 0; i < LSI_REGS; i++) {
        s->st.reg[i] = lsi_reg_reset(s, i);
    }
}

bool lsi_regs_valid(const Lsi *s, const uint8_t *reg)
{
    for (unsigned i = 0; i < LSI_REGS; i++) {
        uint8_t may = (lsi_regs[i].wmask | lsi_regs[i].own) & lsi_reg_bits(s, i);

        if ((reg[i] ^ lsi_reg_reset(s, i)) & ~may) {
            return false;
        }
    }
    return true;
}

uint8_t lsi_reg_read8(Lsi *s, unsigned off)
{
    const LsiReg *r = &lsi_regs[off];

    return (r->read ? r->read(s, off) : s->st.reg[off]) & lsi_reg_bits(s, off);
}

void lsi_reg_write8(Lsi *s, unsigned off, uint8_t val, bool by_script)
{
    const LsiReg *r = &lsi_regs[off];
    uint8_t old = s->st.reg[off], bits = lsi_reg_bits(s, off), mask = r->wmask & bits;

    if (off == LSI_SFBR && by_script) {
        s->st.reg[off] = val;
        return;
    }
    s->st.reg[off] = (old & ~mask) | (val & mask);
    if (r->write && bits) {
        r->write(s, off, val, old);
    }
}

uint64_t lsi_reg_read(PciDev *pci, uint64_t off, unsigned size)
{
    Lsi *s = (Lsi *)pci;
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++) {
        uint64_t o = off + i;
        if (o < LSI_REGS) {
            v |= (uint64_t)lsi_reg_read8(s, o & s->model->reg_mask) << (8 * i);
        }
    }
    trace(LSI, "read %02x/%u = %" G_GINT64_MODIFIER "x", (unsigned)off, size, v);
    return v;
}

void lsi_reg_write(PciDev *pci, uint64_t off, uint64_t val, unsigned size)
{
    Lsi *s = (Lsi *)pci;

    trace(LSI, "write %02x/%u = %" G_GINT64_MODIFIER "x", (unsigned)off, size, val);
    for (unsigned i = 0; i < size; i++) {
        uint64_t o = off + i;
        if (o < LSI_REGS) {
            lsi_reg_write8(s, o & s->model->reg_mask, val >> (8 * i), false);
        }
    }
}

uint64_t lsi_ram_read(PciDev *pci, uint64_t off, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, ((Lsi *)pci)->st.ram + off, size);
    return v;
}

void lsi_ram_write(PciDev *pci, uint64_t off, uint64_t val, unsigned size)
{
    memcpy(((Lsi *)pci)->st.ram + off, &val, size);
}
