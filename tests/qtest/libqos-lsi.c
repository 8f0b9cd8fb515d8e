/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See libqos-lsi.h.
 *
 * The dispatching driver: the script of lsi-script.h in its stepping style, so the driver sees each
 * command completed, disconnected, reselected, and each SIGP. All data of a command is one segment.
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

/* ---- the dispatching driver ---- */

static const LsiScript script = {
    .base = QLSI_MEM + 0x1000,
    .vars = QLSI_MEM + 0x2000,
    .tasks = QLSI_MEM + 0x10000,
};
static_assert(QLSI_TAGS <= LSI_SCRIPT_TASKS, "each tag has a task");

static void emit_dispatch(QLsi *l)
{
    uint32_t words[LSI_SCRIPT_SIZE / 4];

    lsi_script_build(&script, words);
    qtest_mem_write(l->q, script.base, words, sizeof(words));
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
    qlsi_w32(l, LSI_SCRATCHB, lsi_script_scratchb(&script));
    l->mode = QLSI_INTERRUPTS;
}

static void write_task(QLsi *l, const QLsiJob *job)
{
    const uint8_t identify = 0x80 | (job->no_disconnect ? 0 : 0x40) | job->lun;
    LsiScriptTask task;

    lsi_script_task_init(&script, &task, job->tag, job->id, identify, job->cdb_len);
    memcpy(task.cdb_bytes, job->cdb, sizeof(job->cdb));
    task.status_byte = 0xee;
    if (job->dir != QLSI_NONE && job->len) {
        task.data_at = lsi_script_data(&script, job->dir == QLSI_IN, 1);
        task.segment[LSI_SCRIPT_SEGMENTS - 1] = (LsiTableEntry){ job->len, job->addr };
    }
    qtest_mem_write(l->q, lsi_script_task(&script, job->tag), &task, sizeof(task));
}

static LsiScriptTask read_task(QLsi *l, const QLsiJob *job)
{
    LsiScriptTask task;

    qtest_mem_read(l->q, lsi_script_task(&script, job->tag), &task, sizeof(task));
    return task;
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
            qlsi_w32(l, LSI_DSA, lsi_script_task(&script, job->tag));
            qlsi_w32(l, LSI_DSP, script.base + LSI_SCRIPT_SELECT);
            return;
        }
        out = out || job;
    }
    if (out) {
        l->waiting = true;
        qlsi_w32(l, LSI_DSP, script.base + LSI_SCRIPT_RESELECT);
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
    write_task(l, job);
    if (idle) {
        go_on(l);
    } else if (l->waiting) {
        qlsi_w8(l, LSI_ISTAT0, ISTAT0_SIGP);
    }
}

static void finish(QLsi *l, unsigned status)
{
    QLsiJob *job = l->current;
    LsiScriptTask task;

    g_assert_nonnull(job);
    task = read_task(l, job);
    job->status = status;
    job->left = lsi_script_left(&script, &task);
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
    qtest_mem_read(l->q, script.vars + offsetof(LsiScriptVars, msg_in), msg, sizeof(msg));
    g_assert_cmphex(msg[1], ==, 0x20);
    g_assert_cmpuint(msg[2], <=, lsi_script_tag(QLSI_TAGS - 1));
    job = l->job[msg[2] / lsi_script_tag(1)];
    g_assert_true(job && job->started);
    g_assert_cmphex(ssid, ==, SSID_VAL | job->id);
    g_assert_cmphex(msg[0] & 0x87, ==, 0x80 | job->lun);
    l->current = job;
    qlsi_w32(l, LSI_DSA, lsi_script_task(&script, job->tag));
    qlsi_w32(l, LSI_DSP, script.base + LSI_SCRIPT_PHASES);
}

static void handle_vector(QLsi *l)
{
    uint32_t vector = qlsi_r32(l, LSI_DSPS);

    switch (vector) {
    case LSI_SCRIPT_COMPLETE:
        finish(l, read_task(l, l->current).status_byte);
        break;
    case LSI_SCRIPT_DISCONNECTED:
        l->disconnects++;
        l->current = NULL;
        break;
    case LSI_SCRIPT_SIGP:
        g_assert_cmphex(qlsi_r8(l, LSI_CTEST2) & CTEST2_SIGP, ==, CTEST2_SIGP); /* cleared */
        break;
    case LSI_SCRIPT_RESELECTED:
        reselected(l);
        return;
    default:
        g_error("the script stopped with %08x, phase %u", vector, qlsi_r8(l, LSI_SSTAT1) & 7);
    }
    go_on(l);
}

/* Another phase before a move was through; of data, that leaves a saved pointer. */
static void mismatch(QLsi *l)
{
    const uint32_t left = qlsi_r32(l, LSI_DBC) & 0xffffff;
    LsiScriptTask task = read_task(l, l->current);

    l->mismatches++;
    if (lsi_script_mismatch(&script, &task, qlsi_r32(l, LSI_DSP), left)) {
        qtest_mem_write(l->q, lsi_script_task(&script, l->current->tag), &task, sizeof(task));
    }
    qlsi_w32(l, LSI_DSP, script.base + LSI_SCRIPT_PHASES);
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
