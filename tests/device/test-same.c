/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest must not notice the proxy: one random sequence of accesses, from a fixed seed, to the
 * device in the stock profile and to the one behind the proxy, in either protocol. Every value read
 * must be the same, and the interrupt line must come to the same level.
 *
 * Left out is what starts a clock or SCRIPTS at a random address, since the answers then depend on
 * when they are asked for. Scripts and commands that end are in: their end is waited for.
 */
#include "machine.h"

#include <string.h>

#define STEPS 6000u
#define SEED 0x5eed0b0bu

typedef struct Run {
    Machine *m;
    uint32_t rng;
    GArray *log; /* Entry */
} Run;

typedef struct Entry {
    uint64_t value;
    uint32_t step, what; /* what: kind << 24 | size << 16 | offset */
} Entry;

enum { KIND_PORT = 1, KIND_REGS, KIND_RAM, KIND_CONFIG, KIND_SCRIPT, KIND_COMMAND };

/* Marsaglia's xorshift32. */
static uint32_t pick(Run *r, uint32_t below)
{
    r->rng ^= r->rng << 13;
    r->rng ^= r->rng >> 17;
    r->rng ^= r->rng << 5;
    return (uint64_t)r->rng * below >> 32;
}

static void note(Run *r, uint32_t step, unsigned kind, unsigned size, unsigned off, uint64_t value)
{
    Entry e = { value, step, kind << 24 | size << 16 | off };

    g_array_append_val(r->log, e);
}

/* Registers that start SCRIPTS or a timer. */
static bool starts_something(unsigned off, unsigned size)
{
    static const uint8_t regs[] = { LSI_DSP + 3, LSI_DCNTL, LSI_STIME0, LSI_STIME1 };

    for (unsigned i = 0; i < sizeof(regs); i++) {
        if ((off & 0xff) <= regs[i] && (off & 0xff) + size > regs[i]) {
            return true;
        }
    }
    return false;
}

static void step_registers(Run *r, uint32_t step)
{
    const bool port = pick(r, 2), write = pick(r, 2);
    const unsigned size = 1u << pick(r, port ? 3 : 4);
    const unsigned off = pick(r, (port ? 256 : 1024) - size + 1);
    const uint64_t value = (uint64_t)pick(r, UINT32_MAX) << 32 | pick(r, UINT32_MAX);
    QTest *q = r->m->q;

    if (write && starts_something(off, size)) {
        return;
    }
    if (port && write) {
        qtest_out(q, QLSI_BAR_IO + off, value, size);
    } else if (port) {
        note(r, step, KIND_PORT, size, off, qtest_in(q, QLSI_BAR_IO + off, size));
    } else if (write) {
        qtest_write(q, QLSI_BAR_REGS + off, value, size);
    } else {
        note(r, step, KIND_REGS, size, off, qtest_read(q, QLSI_BAR_REGS + off, size));
    }
}

static void step_ram(Run *r, uint32_t step)
{
    const unsigned size = 1u << pick(r, 4), off = pick(r, 64 - size + 1) + 128 * pick(r, 64);
    const uint64_t value = (uint64_t)pick(r, UINT32_MAX) << 32 | pick(r, UINT32_MAX);

    if (pick(r, 2)) {
        qtest_write(r->m->q, QLSI_BAR_RAM + off, value, size);
    } else {
        note(r, step, KIND_RAM, size, off, qtest_read(r->m->q, QLSI_BAR_RAM + off, size));
    }
}

/* All of it is read; what is written leaves the BARs where they are. */
static void step_config(Run *r, uint32_t step)
{
    static const uint8_t writable[] = { PCI_VENDOR_ID,
                                        PCI_STATUS,
                                        PCI_CLASS_PROG,
                                        PCI_CACHE_LINE,
                                        PCI_HEADER_TYPE,
                                        PCI_SUBSYS_VENDOR,
                                        PCI_ROM_BAR,
                                        PCI_CAP_PTR,
                                        PCI_INT_LINE,
                                        0x40,
                                        0x44,
                                        0x48,
                                        0xfc };
    const unsigned size = 1u << pick(r, 3), devfn = r->m->lsi->devfn;
    const uint32_t value = pick(r, UINT32_MAX);

    if (pick(r, 8) == 0) {
        const unsigned command = PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER;
        qpci_write(r->m->q, devfn, PCI_COMMAND, command | (value & PCI_COMMAND_INTX_OFF), 2);
    } else if (pick(r, 3) == 0) {
        qpci_write(r->m->q, devfn, writable[pick(r, sizeof(writable))], value, MIN(size, 2));
    } else {
        const unsigned off = pick(r, 256 / size) * size;
        note(r, step, KIND_CONFIG, size, off, qpci_read(r->m->q, devfn, off, size));
    }
}

/* A script that computes and moves a little, with interrupts on or off. */
static void step_script(Run *r, uint32_t step)
{
    QLsi *l = r->m->lsi;
    const uint32_t data = QLSI_TEST_SCRIPT + 0x1000;

    qlsi_soft_reset(l);
    qlsi_w8(l, LSI_DIEN, pick(r, 2) ? 0x7d : 0);
    qtest_write(l->q, data, pick(r, UINT32_MAX), 4);
    qlsi_org(l, QLSI_TEST_SCRIPT);
    qlsi_emit(l, I_LOAD(LSI_SCRATCHA, 4), data);
    qlsi_emit(l, I_REG_REG(pick(r, 8), LSI_SCRATCHA + pick(r, 4), pick(r, 256)), 0);
    qlsi_emit(l, I_STORE(LSI_SCRATCHA, 4), pick(r, 2) ? data + 4 : QLSI_BAR_RAM);
    qlsi_emit(l, pick(r, 4) ? I_INT : 0xa0000000, pick(r, UINT32_MAX));
    qlsi_w32(l, LSI_DSP, QLSI_TEST_SCRIPT);
    note(r, step, KIND_SCRIPT, 0, 0, qlsi_wait_istat(l, ISTAT0_DIP | ISTAT0_SIP));
    for (unsigned off = 0; off < 256; off += 4) {
        note(r, step, KIND_SCRIPT, 4, off, qlsi_r32(l, off));
    }
    note(r, step, KIND_SCRIPT, 4, 256, qtest_read(l->q, data + 4, 4));
}

static void step_command(Run *r, uint32_t step)
{
    static const struct {
        uint8_t cdb[10], cdb_len;
        uint16_t len;
    } commands[] = {
        { { 0x00 }, 6, 0 },                     /* TEST UNIT READY */
        { { 0x03, [4] = 18 }, 6, 18 },          /* REQUEST SENSE */
        { { 0x12, [4] = 36 }, 6, 36 },          /* INQUIRY */
        { { 0x25 }, 10, 8 },                    /* READ CAPACITY */
        { { 0x28, [8] = 1 }, 10, 512 },         /* READ(10) */
        { { 0x28, 0, 255, [8] = 1 }, 10, 512 }, /* and where nothing is */
    };
    const unsigned n = pick(r, G_N_ELEMENTS(commands));
    QLsi *l = r->m->lsi;
    QLsiJob job = { .id = pick(r, 3), .cdb_len = commands[n].cdb_len, .len = commands[n].len };
    uint8_t data[512];

    memcpy(job.cdb, commands[n].cdb, sizeof(commands[n].cdb));
    job.addr = QLSI_DATA;
    job.dir = job.len ? QLSI_IN : QLSI_NONE;
    qtest_mem_set(l->q, job.addr, 0, sizeof(data));
    qlsi_soft_reset(l);
    qlsi_poll(l, &job);
    note(r, step, KIND_COMMAND, job.cdb[0], job.id, job.status);
    qtest_mem_read(l->q, job.addr, data, sizeof(data));
    for (unsigned i = 0; i < sizeof(data); i++) {
        note(r, step, KIND_COMMAND, 0, i, data[i]);
    }
}

/* The pin, as config space tells it, is where the board has it; behind the proxy it may take a
 * moment. */
static void check_line(Run *r)
{
    const uint32_t command = qpci_read(r->m->q, r->m->lsi->devfn, PCI_COMMAND, 4);
    const bool level = command >> 16 & PCI_STATUS_INTX && !(command & PCI_COMMAND_INTX_OFF);

    g_assert_true(qtest_wait_irq(r->m->q, QLSI_IRQ, level, 10000));
}

static GArray *record(Way way)
{
    Run r = { .rng = SEED, .m = machine_start(way, 2, NULL) };

    r.log = g_array_new(FALSE, FALSE, sizeof(Entry));
    r.m->lsi = qlsi_new(r.m->q);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t what = pick(&r, 100);
        if (what < 60) {
            step_registers(&r, step);
        } else if (what < 75) {
            step_ram(&r, step);
        } else if (what < 97) {
            step_config(&r, step);
        } else if (what < 99) {
            step_script(&r, step);
        } else {
            step_command(&r, step);
        }
        if (step % 16 == 0) {
            check_line(&r);
        }
    }
    machine_stop(r.m);
    return r.log;
}

static void test_same(gconstpointer data)
{
    const Way way = GPOINTER_TO_INT(data);
    const char *missing = machine_missing(way);
    g_autoptr(GArray) local = NULL;
    g_autoptr(GArray) proxied = NULL;

    if (missing) {
        g_test_skip(missing);
        return;
    }
    local = record(WAY_LOCAL);
    proxied = record(way);
    g_assert_cmpuint(local->len, ==, proxied->len);
    for (unsigned i = 0; i < local->len; i++) {
        const Entry *a = &g_array_index(local, Entry, i), *b = &g_array_index(proxied, Entry, i);
        if (memcmp(a, b, sizeof(*a)) != 0) {
            g_error("step %u, %08x: %" G_GINT64_MODIFIER "x here, %" G_GINT64_MODIFIER
                    "x behind the proxy",
                    a->step, a->what, a->value, b->value);
        }
    }
    g_test_message("%u values", local->len);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/same/random", GINT_TO_POINTER(WAY_PROXY), test_same);
    g_test_add_data_func("/same/random-vfio-user", GINT_TO_POINTER(WAY_VFIO_USER), test_same);
    return g_test_run();
}
