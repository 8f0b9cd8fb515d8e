/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See libqos-lsi.h.
 *
 * The dispatching driver: each tag has a table in guest memory (DSA points to it while its nexus is
 * connected) and the script is the same for all. It stops with an INT for whatever the driver has
 * to know: completed, disconnected, reselected, woken by SIGP. Data is moved by one table entry,
 * whose count the script clears when it is through; a mismatch before that stops with M/A, and the
 * driver writes what is left into the entry, so that it is a saved data pointer as well.
 *
 * The next thing to do is decided when the script has stopped: select for a job that has not been
 * started, else wait for a reselection if any is out. A job that comes during that wait is
 * announced by SIGP.
 */
#include "libqos-lsi.h"

#include <string.h>

#define DEADLINE_MS 30000u

/* ---- PCI ---- */

static void config_address(QTest *q, unsigned devfn, unsigned reg)
{
    qtest_out(q, 0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc), 4);
}

uint32_t qpci_read(QTest *q, unsigned devfn, unsigned reg, unsigned size)
{
    config_address(q, devfn, reg);
    return qtest_in(q, 0xcfc + (reg & 3), size);
}

void qpci_write(QTest *q, unsigned devfn, unsigned reg, uint32_t value, unsigned size)
{
    config_address(q, devfn, reg);
    qtest_out(q, 0xcfc + (reg & 3), value, size);
}

int qpci_find(QTest *q, uint16_t vendor, uint16_t device)
{
    for (unsigned devfn = 0; devfn < 256; devfn += 8) {
        uint32_t ids = qpci_read(q, devfn, PCI_VENDOR_ID, 4);
        if (ids == (vendor | (uint32_t)device << 16)) {
            return devfn;
        }
    }
    return -1;
}

/* All four PIRQ lines to one ISA line: the PIIX3's PIRQRC registers. */
static void route_interrupts(QTest *q)
{
    int isa = qpci_find(q, 0x8086, 0x7000);

    g_assert_cmpint(isa, >=, 0);
    qpci_write(q, isa, 0x60, QLSI_IRQ * 0x01010101u, 4);
}

/* ---- the adapter ---- */

void qlsi_enable(QLsi *l)
{
    static const uint32_t bars[] = { QLSI_BAR_IO, QLSI_BAR_REGS, QLSI_BAR_RAM };

    for (unsigned i = 0; i < G_N_ELEMENTS(bars); i++) {
        qpci_write(l->q, l->devfn, PCI_BAR0 + 4 * i, bars[i], 4);
    }
    qpci_write(l->q, l->devfn, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER,
               2);
    route_interrupts(l->q);
}

QLsi *qlsi_new(QTest *q)
{
    int devfn = qpci_find(q, 0x1000, 0x0012);
    QLsi *l = g_new0(QLsi, 1);

    g_assert_cmpint(devfn, >=, 0);
    l->q = q;
    l->devfn = devfn;
    l->buffer_end = QLSI_DATA;
    l->pc = QLSI_TEST_SCRIPT;
    qlsi_enable(l);
    qtest_intercept_irqs(q, "ioapic");
    return l;
}

void qlsi_free(QLsi *l)
{
    g_free(l);
}

static uint32_t read_reg(QLsi *l, unsigned off, unsigned size)
{
    return l->by_port ? qtest_in(l->q, QLSI_BAR_IO + off, size)
                      : qtest_read(l->q, QLSI_BAR_REGS + off, size);
}

static void write_reg(QLsi *l, unsigned off, uint32_t value, unsigned size)
{
    if (l->by_port) {
        qtest_out(l->q, QLSI_BAR_IO + off, value, size);
    } else {
        qtest_write(l->q, QLSI_BAR_REGS + off, value, size);
    }
}

uint8_t qlsi_r8(QLsi *l, unsigned off)
{
    return read_reg(l, off, 1);
}

uint32_t qlsi_r32(QLsi *l, unsigned off)
{
    return read_reg(l, off, 4);
}

void qlsi_w8(QLsi *l, unsigned off, uint8_t value)
{
    write_reg(l, off, value, 1);
}

void qlsi_w32(QLsi *l, unsigned off, uint32_t value)
{
    write_reg(l, off, value, 4);
}

void qlsi_soft_reset(QLsi *l)
{
    qlsi_w8(l, LSI_ISTAT0, ISTAT0_SRST);
    qlsi_w8(l, LSI_ISTAT0, 0);
    l->mode = QLSI_RESET;
    l->current = NULL;
    l->waiting = false;
    memset(l->job, 0, sizeof(l->job));
}

void qlsi_bus_reset(QLsi *l)
{
    qlsi_soft_reset(l);
    qlsi_w8(l, LSI_SCNTL1, SCNTL1_RST);
    qlsi_w8(l, LSI_SCNTL1, 0);
    qlsi_wait_istat(l, ISTAT0_SIP);
    g_assert_cmphex(qlsi_r8(l, LSI_SIST0) & SIST0_RST, ==, SIST0_RST);
    qlsi_r8(l, LSI_SIST1);
    qlsi_r8(l, LSI_DSTAT);
}

uint32_t qlsi_buffer(QLsi *l, uint32_t len)
{
    uint32_t addr = l->buffer_end;

    l->buffer_end += (len + 0xfff) & ~0xfffu;
    g_assert_cmpuint(l->buffer_end, <=, QLSI_DATA_END);
    return addr;
}

/* ---- scripts ---- */

void qlsi_org(QLsi *l, uint32_t addr)
{
    l->pc = addr;
}

void qlsi_emit1(QLsi *l, uint32_t a)
{
    qtest_write(l->q, l->pc, a, 4);
    l->pc += 4;
}

uint32_t qlsi_emit(QLsi *l, uint32_t a, uint32_t b)
{
    uint32_t at = l->pc;

    qlsi_emit1(l, a);
    qlsi_emit1(l, b);
    return at;
}

uint8_t qlsi_wait_istat(QLsi *l, uint8_t bits)
{
    int64_t deadline = g_get_monotonic_time() + DEADLINE_MS * 1000;
    uint8_t istat;

    for (unsigned n = 0; !((istat = qlsi_r8(l, LSI_ISTAT0)) & bits); n++) {
        if (g_get_monotonic_time() > deadline) {
            g_error("the script is still at %08x", qlsi_r32(l, LSI_DSP));
        }
        g_usleep(n < 20 ? 0 : 200);
    }
    return istat;
}

void qlsi_run_int(QLsi *l, uint32_t dsp, uint32_t vector)
{
    uint8_t istat;

    qlsi_w32(l, LSI_DSP, dsp);
    istat = qlsi_wait_istat(l, ISTAT0_SIP | ISTAT0_DIP);
    if (istat & ISTAT0_SIP) {
        uint32_t at = qlsi_r32(l, LSI_DSP);
        uint8_t sist0 = qlsi_r8(l, LSI_SIST0);
        g_error("SIST0 %02x, SIST1 %02x at %08x, phase %u", sist0, qlsi_r8(l, LSI_SIST1), at,
                qlsi_r8(l, LSI_SSTAT1) & 7);
    }
    g_assert_cmphex(qlsi_r8(l, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
    g_assert_cmphex(qlsi_r32(l, LSI_DSPS), ==, vector);
}

/* ---- firmware's driver ---- */

enum {
    POLL_SCRIPT = QLSI_MEM,
    POLL_MSG_OUT = QLSI_MEM + 0x100,
    POLL_CDB = QLSI_MEM + 0x110,
    POLL_STATUS = QLSI_MEM + 0x120,
    POLL_MSG_IN = QLSI_MEM + 0x130,
};

static void emit_poll_script(QLsi *l, const QLsiJob *job)
{
    const uint32_t saved = l->pc;

    qlsi_org(l, POLL_SCRIPT);
    qlsi_emit(l, I_SELECT(job->id), 0);
    qlsi_emit(l, I_CHMOV(PHASE_MSG_OUT, 1), POLL_MSG_OUT);
    qlsi_emit(l, I_CHMOV(PHASE_COMMAND, 16), POLL_CDB);
    qlsi_emit(l, (I_JUMP | C_IF(PHASE_MSG_IN) | I_RELATIVE) ^ C_NOT, 0x18);
    qlsi_emit(l, I_CHMOV(PHASE_MSG_IN, 2), POLL_MSG_IN);
    qlsi_emit(l, I_WAIT_RESEL, 0);
    qlsi_emit(l, I_CHMOV(PHASE_MSG_IN, 2), POLL_MSG_IN);
    if (job->len) {
        qlsi_emit(l, I_CHMOV(job->dir == QLSI_IN ? PHASE_DATA_IN : PHASE_DATA_OUT, job->len),
                  job->addr);
    } else {
        qlsi_emit(l, 0, 0);
    }
    qlsi_emit(l, I_CHMOV(PHASE_STATUS, 1), POLL_STATUS);
    qlsi_emit(l, I_CHMOV(PHASE_MSG_IN, 1), POLL_MSG_IN);
    qlsi_emit(l, I_INT, 0);
    l->pc = saved;
}

void qlsi_poll(QLsi *l, QLsiJob *job)
{
    if (l->mode != QLSI_POLLED) {
        qlsi_soft_reset(l);
        l->mode = QLSI_POLLED;
    }
    qtest_write(l->q, POLL_MSG_OUT, 0x80 | job->lun, 1);
    qtest_mem_write(l->q, POLL_CDB, job->cdb, sizeof(job->cdb));
    qtest_write(l->q, POLL_STATUS, 0xee, 1);
    emit_poll_script(l, job);
    qlsi_w32(l, LSI_DSP, POLL_SCRIPT);
    qlsi_wait_istat(l, ISTAT0_SIP | ISTAT0_DIP);
    job->dstat = qlsi_r8(l, LSI_DSTAT) & ~DSTAT_DFE;
    job->sist0 = qlsi_r8(l, LSI_SIST0);
    job->sist1 = qlsi_r8(l, LSI_SIST1);
    job->done = true;
    if (job->sist1 & SIST1_STO) {
        job->status = QLSI_NO_TARGET;
    } else if (job->sist0 == SIST0_MA) {
        job->status = QLSI_MISMATCH;
    } else if (job->sist0 || job->sist1 || job->dstat != DSTAT_SIR) {
        job->status = QLSI_BUS_ERROR;
    } else {
        job->status = qtest_read(l->q, POLL_STATUS, 1);
    }
}

/* ---- the dispatching driver's script ---- */

enum { V_COMPLETE = 0xc0, V_DISCONNECTED, V_RESELECTED, V_SIGP, V_BAD };

/* Every block has its own 0x40 bytes, so that addresses are known beforehand. */
enum {
    S_START = QLSI_MEM + 0x1000,
    S_PHASES = S_START + 0x40,
    S_COMMAND = S_START + 0x80,
    S_IN = S_START + 0xc0,
    S_OUT = S_START + 0x100,
    S_STATUS = S_START + 0x140,
    S_MSG = S_START + 0x180,
    S_POINTERS = S_START + 0x1c0,
    S_DISCONNECT = S_START + 0x200,
    S_COMPLETE = S_START + 0x240,
    S_RESELECT = S_START + 0x280,
    S_SIGP = S_START + 0x2c0,
    MSG_IN = S_START + 0x300, /* where messages of targets go */
};

/* A tag's table. */
enum {
    T_SELECT = 0x00,
    T_MSG_OUT = 0x08,
    T_CDB = 0x10,
    T_DATA = 0x18,
    T_STATUS = 0x20,
    T_MSG_OUT_BYTES = 0x40,
    T_CDB_BYTES = 0x50,
    T_STATUS_BYTE = 0x60,
    T_SIZE = 0x80,
};

static uint32_t table(const QLsiJob *job)
{
    return QLSI_MEM + 0x4000 + job->tag * T_SIZE;
}

static void emit_phases(QLsi *l)
{
    qlsi_org(l, S_PHASES);
    qlsi_emit(l, I_JUMP | C_WHEN(PHASE_COMMAND), S_COMMAND);
    qlsi_emit(l, I_JUMP | C_IF(PHASE_DATA_IN), S_IN);
    qlsi_emit(l, I_JUMP | C_IF(PHASE_DATA_OUT), S_OUT);
    qlsi_emit(l, I_JUMP | C_IF(PHASE_STATUS), S_STATUS);
    qlsi_emit(l, I_JUMP | C_IF(PHASE_MSG_IN), S_MSG);
    qlsi_emit(l, I_INT, V_BAD);
    qlsi_org(l, S_COMMAND);
    qlsi_emit(l, I_MOVE_TBL(PHASE_COMMAND), T_CDB);
    qlsi_emit(l, I_JUMP, S_PHASES);
    qlsi_org(l, S_IN);
    qlsi_emit(l, I_CHMOV_TBL(PHASE_DATA_IN), T_DATA);
    qlsi_emit(l, I_STORE(LSI_SCRATCHB, 4) | I_DSA, T_DATA); /* none left */
    qlsi_emit(l, I_JUMP, S_PHASES);
    qlsi_org(l, S_OUT);
    qlsi_emit(l, I_CHMOV_TBL(PHASE_DATA_OUT), T_DATA);
    qlsi_emit(l, I_STORE(LSI_SCRATCHB, 4) | I_DSA, T_DATA);
    qlsi_emit(l, I_JUMP, S_PHASES);
    qlsi_org(l, S_STATUS);
    qlsi_emit(l, I_MOVE_TBL(PHASE_STATUS), T_STATUS);
    qlsi_emit(l, I_JUMP, S_PHASES);
}

static void emit_messages(QLsi *l)
{
    qlsi_org(l, S_MSG);
    qlsi_emit(l, I_MOVE(PHASE_MSG_IN, 1), MSG_IN);
    qlsi_emit(l, I_JUMP | C_DATA(0x00, 0), S_COMPLETE);
    qlsi_emit(l, I_JUMP | C_DATA(0x02, 0), S_POINTERS);
    qlsi_emit(l, I_JUMP | C_DATA(0x04, 0), S_DISCONNECT);
    qlsi_emit(l, I_INT, V_BAD);
    qlsi_org(l, S_POINTERS);
    qlsi_emit(l, I_CLEAR(I_ACK), 0);
    qlsi_emit(l, I_JUMP, S_PHASES);
    qlsi_org(l, S_DISCONNECT);
    qlsi_emit(l, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    qlsi_emit(l, I_CLEAR(I_ACK), 0);
    qlsi_emit(l, I_WAIT_DISC, 0);
    qlsi_emit(l, I_INT, V_DISCONNECTED);
    qlsi_org(l, S_COMPLETE);
    qlsi_emit(l, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    qlsi_emit(l, I_CLEAR(I_ACK | I_ATN), 0);
    qlsi_emit(l, I_WAIT_DISC, 0);
    qlsi_emit(l, I_INT, V_COMPLETE);
}

static void emit_dispatch(QLsi *l)
{
    const uint32_t saved = l->pc;

    qlsi_org(l, S_START);
    qlsi_emit(l, I_SELECT_TBL_ATN(T_SELECT), S_RESELECT);
    qlsi_emit(l, I_MOVE_TBL(PHASE_MSG_OUT), T_MSG_OUT);
    qlsi_emit(l, I_JUMP, S_PHASES);
    emit_phases(l);
    emit_messages(l);
    /* Each command that may disconnect has a tag. */
    qlsi_org(l, S_RESELECT);
    qlsi_emit(l, I_WAIT_RESEL, S_SIGP);
    qlsi_emit(l, I_MOVE(PHASE_MSG_IN, 1), MSG_IN);
    qlsi_emit(l, I_CLEAR(I_ACK), 0);
    qlsi_emit(l, I_MOVE(PHASE_MSG_IN, 2), MSG_IN + 1);
    qlsi_emit(l, I_CLEAR(I_ACK), 0);
    qlsi_emit(l, I_INT, V_RESELECTED);
    qlsi_org(l, S_SIGP);
    qlsi_emit(l, I_INT, V_SIGP);
    l->pc = saved;
}

static void start_dispatch(QLsi *l)
{
    qlsi_soft_reset(l);
    emit_dispatch(l);
    qlsi_w8(l, LSI_SCID, SCID_RRE | 7);
    qlsi_w8(l, LSI_RESPID0, 1 << 7);
    qlsi_w8(l, LSI_STIME0, 0x0c);
    qlsi_w8(l, LSI_SIEN0, SIST0_MA | SIST0_SGE | SIST0_UDC | SIST0_RST | SIST0_PAR);
    qlsi_w8(l, LSI_SIEN1, SIST1_STO);
    qlsi_w8(l, LSI_DIEN, DSTAT_BF | DSTAT_ABRT | DSTAT_SIR | DSTAT_IID);
    qlsi_w32(l, LSI_SCRATCHB, 0);
    l->mode = QLSI_INTERRUPTS;
}

/* ---- the dispatching driver ---- */

static void write_table(QLsi *l, const QLsiJob *job)
{
    const uint32_t base = table(job);
    const uint8_t identify = 0x80 | (job->no_disconnect ? 0 : 0x40) | job->lun;
    const uint8_t msg[] = { identify, 0x20, job->tag };
    const uint32_t entries[] = {
        job->id << 16,
        0,
        job->no_disconnect ? 1 : sizeof(msg),
        base + T_MSG_OUT_BYTES,
        job->cdb_len,
        base + T_CDB_BYTES,
        job->dir == QLSI_NONE ? 0 : job->len,
        job->addr,
        1,
        base + T_STATUS_BYTE,
    };
    uint8_t bytes[T_SIZE] = { 0 };

    for (unsigned i = 0; i < sizeof(entries); i++) {
        bytes[i] = entries[i / 4] >> 8 * (i % 4);
    }
    memcpy(bytes + T_MSG_OUT_BYTES, msg, sizeof(msg));
    memcpy(bytes + T_CDB_BYTES, job->cdb, sizeof(job->cdb));
    bytes[T_STATUS_BYTE] = 0xee;
    qtest_mem_write(l->q, base, bytes, sizeof(bytes));
}

/* The script has stopped: what next? */
static void go_on(QLsi *l)
{
    bool out = false;

    for (unsigned tag = 0; tag < QLSI_TAGS; tag++) {
        QLsiJob *job = l->job[tag];
        if (job && !job->started) {
            job->started = true;
            l->current = job;
            qlsi_w32(l, LSI_DSA, table(job));
            qlsi_w32(l, LSI_DSP, S_START);
            return;
        }
        out = out || job;
    }
    if (out) {
        l->waiting = true;
        qlsi_w32(l, LSI_DSP, S_RESELECT);
    }
}

void qlsi_submit(QLsi *l, QLsiJob *job)
{
    unsigned tag = 0;
    bool idle;

    if (l->mode != QLSI_INTERRUPTS) {
        start_dispatch(l);
    }
    while (tag < QLSI_TAGS && l->job[tag]) {
        tag++;
    }
    g_assert_cmpuint(tag, <, QLSI_TAGS);
    idle = !l->current && !l->waiting;
    job->tag = tag;
    job->done = job->started = false;
    l->job[tag] = job;
    write_table(l, job);
    if (idle) {
        go_on(l);
    } else if (l->waiting) {
        qlsi_w8(l, LSI_ISTAT0, ISTAT0_SIGP);
    }
}

static void finish(QLsi *l, unsigned status)
{
    QLsiJob *job = l->current;

    g_assert_nonnull(job);
    job->status = status;
    job->left = qtest_read(l->q, table(job) + T_DATA, 4);
    job->done = true;
    l->job[job->tag] = NULL;
    l->current = NULL;
}

static void reselected(QLsi *l)
{
    uint8_t msg[3], ssid = qlsi_r8(l, LSI_SSID);
    QLsiJob *job;

    if (l->current) { /* its SELECT has lost */
        l->current->started = false;
        l->lost_selections++;
    }
    l->reselections++;
    qtest_mem_read(l->q, MSG_IN, msg, sizeof(msg));
    g_assert_cmphex(msg[1], ==, 0x20);
    g_assert_cmpuint(msg[2], <, QLSI_TAGS);
    job = l->job[msg[2]];
    g_assert_true(job && job->started);
    g_assert_cmphex(ssid, ==, SSID_VAL | job->id);
    g_assert_cmphex(msg[0] & 0x87, ==, 0x80 | job->lun);
    l->current = job;
    qlsi_w32(l, LSI_DSA, table(job));
    qlsi_w32(l, LSI_DSP, S_PHASES);
}

static void handle_vector(QLsi *l)
{
    uint32_t vector = qlsi_r32(l, LSI_DSPS);

    switch (vector) {
    case V_COMPLETE:
        finish(l, qtest_read(l->q, table(l->current) + T_STATUS_BYTE, 1));
        break;
    case V_DISCONNECTED:
        l->disconnects++;
        l->current = NULL;
        break;
    case V_SIGP:
        g_assert_cmphex(qlsi_r8(l, LSI_CTEST2) & CTEST2_SIGP, ==, CTEST2_SIGP); /* cleared */
        break;
    case V_RESELECTED:
        reselected(l);
        return;
    default:
        g_error("the script stopped with %08x, phase %u", vector, qlsi_r8(l, LSI_SSTAT1) & 7);
    }
    go_on(l);
}

/* Another phase before the data was through: saves the pointer. */
static void mismatch(QLsi *l)
{
    uint32_t dbc = qlsi_r32(l, LSI_DBC);
    uint32_t phase = dbc >> 24 & 7, left = dbc & 0xffffff;
    QLsiJob *job = l->current;

    l->mismatches++;
    if (phase == PHASE_DATA_IN || phase == PHASE_DATA_OUT) {
        uint32_t entry = table(job) + T_DATA;
        qtest_write(l->q, entry, left, 4);
        qtest_write(l->q, entry + 4, job->addr + job->len - left, 4);
    }
    qlsi_w32(l, LSI_DSP, S_PHASES);
}

void qlsi_step(QLsi *l)
{
    uint8_t istat, sist0 = 0, sist1 = 0, dstat = 0;

    if (!qtest_wait_irq(l->q, QLSI_IRQ, true, DEADLINE_MS)) {
        g_error("no interrupt; ISTAT0 %02x, DSP %08x", qlsi_r8(l, LSI_ISTAT0),
                qlsi_r32(l, LSI_DSP));
    }
    l->interrupts++;
    while ((istat = qlsi_r8(l, LSI_ISTAT0)) & (ISTAT0_SIP | ISTAT0_DIP)) {
        if (istat & ISTAT0_SIP) {
            sist0 |= qlsi_r8(l, LSI_SIST0);
            sist1 |= qlsi_r8(l, LSI_SIST1);
        }
        if (istat & ISTAT0_DIP) {
            dstat |= qlsi_r8(l, LSI_DSTAT) & ~DSTAT_DFE;
        }
    }
    g_assert_true(qtest_wait_irq(l->q, QLSI_IRQ, false, DEADLINE_MS));
    sist0 &= ~SIST0_RSL; /* posted, and not asked for */
    l->waiting = false;
    if (sist0 == SIST0_MA && !sist1 && !dstat) {
        mismatch(l);
    } else if (dstat == DSTAT_SIR && !sist0 && !sist1) {
        handle_vector(l);
    } else if (!l->current) {
        g_error("SIST0 %02x, SIST1 %02x, DSTAT %02x without a nexus", sist0, sist1, dstat);
    } else {
        l->current->sist0 = sist0;
        l->current->sist1 = sist1;
        l->current->dstat = dstat;
        finish(l, sist1 == SIST1_STO && !sist0 && !dstat ? QLSI_NO_TARGET : QLSI_BUS_ERROR);
        go_on(l);
    }
}

void qlsi_serve(QLsi *l)
{
    while (l->current || l->waiting) {
        qlsi_step(l);
    }
}

void qlsi_run(QLsi *l, QLsiJob *job)
{
    qlsi_submit(l, job);
    qlsi_serve(l);
    g_assert_true(job->done);
}
