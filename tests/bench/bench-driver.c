/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See bench-driver.h. Guest memory: tasks, ring and variables below DRIVER_DATA, then a buffer for
 * each task. A place of the ring is written when the one behind it says "nothing yet".
 */
#include "bench-driver.h"

#include "bench-client.h"

#include <inttypes.h>
#include <string.h>

enum {
    TASKS = 0x10000,
    IDLE = 0x20000,
    VARS = 0x21000,
    RING = 0x22000,
    RING_SIZE = 2 * LSI_SCRIPT_TASKS,
    SCSI_GOOD_STATUS = 0,
    NO_STATUS = 0xee,
};

static LsiScriptTask *task_of(BenchDriver *d, unsigned index)
{
    return (LsiScriptTask *)(void *)(d->link.ram + lsi_script_task(&d->script, index));
}

static LsiScriptSlot *slot_of(BenchDriver *d, unsigned index)
{
    return (LsiScriptSlot *)(void *)(d->link.ram + RING +
                                     index % RING_SIZE * sizeof(LsiScriptSlot));
}

static void make_ring(BenchDriver *d)
{
    LsiScriptTask *idle = (LsiScriptTask *)(void *)(d->link.ram + IDLE);
    LsiScriptVars *vars = (LsiScriptVars *)(void *)(d->link.ram + VARS);

    idle->go = d->script.base + LSI_SCRIPT_RESELECT;
    *vars = (LsiScriptVars){ .slot = RING, .tasks = TASKS };
    for (unsigned i = 0; i < RING_SIZE; i++) {
        *slot_of(d, i) = (LsiScriptSlot){
            .task = IDLE,
            .next = RING + (i + 1) % RING_SIZE * (uint32_t)sizeof(LsiScriptSlot),
        };
    }
}

static void load_script(BenchDriver *d)
{
    uint32_t words[LSI_SCRIPT_SIZE / 4];

    lsi_script_build(&d->script, words);
    for (unsigned i = 0; i < LSI_SCRIPT_SIZE / 4; i++) {
        d->link.ops->bar_write(&d->link, BENCH_BAR_RAM, 4 * i, words[i], 4);
    }
}

static void start_chip(BenchDriver *d)
{
    static const struct {
        uint32_t reg, value;
    } set_up[] = {
        { LSI_ISTAT0, ISTAT0_SRST },
        { LSI_ISTAT0, 0 },
        { LSI_SCID, SCID_RRE | 7 },
        { LSI_RESPID0, 1 << 7 },
        { LSI_STIME0, 0x0c },
        { LSI_SIEN0, SIST0_MA | SIST0_SGE | SIST0_UDC | SIST0_RST | SIST0_PAR },
        { LSI_SIEN1, SIST1_STO },
        { LSI_DIEN, DSTAT_BF | DSTAT_ABRT | DSTAT_SIR | DSTAT_IID },
    };

    for (unsigned i = 0; i < sizeof(set_up) / sizeof(set_up[0]); i++) {
        bench_reg_write(&d->link, set_up[i].reg, set_up[i].value, 1);
    }
    bench_reg_write(&d->link, LSI_SCRATCHB, lsi_script_scratchb(&d->script), 4);
    bench_reg_write(&d->link, LSI_DSP, d->script.base + LSI_SCRIPT_NEXT, 4);
}

void bench_driver_start(BenchDriver *d, const BenchLinkOps *ops, int sock)
{
    const BenchCommand test_unit_ready = { .cdb_len = 6 };

    *d = (BenchDriver){
        .script = { .base = BENCH_RAM_BASE, .vars = VARS, .tasks = TASKS, .queueing = true },
    };
    bench_link_open(&d->link, ops, sock, DRIVER_RAM);
    make_ring(d);
    load_script(d);
    start_chip(d);
    /* The first command after a reset gets UNIT ATTENTION. */
    for (int tries = 0; bench_driver_run(d, &test_unit_ready) != SCSI_GOOD_STATUS; tries++) {
        if (tries == 5) {
            bench_die("the disk does not become ready");
        }
    }
}

uint8_t *bench_driver_buffer(BenchDriver *d, unsigned index)
{
    return d->link.ram + DRIVER_DATA + (size_t)index * DRIVER_BUFFER;
}

static void fill_task(BenchDriver *d, unsigned index, const BenchCommand *command)
{
    LsiScriptTask *task = task_of(d, index);
    uint32_t addr = DRIVER_DATA + index * (uint32_t)DRIVER_BUFFER;

    lsi_script_task_init(&d->script, task, index, 0, 0xc0, command->cdb_len);
    memcpy(task->cdb_bytes, command->cdb, sizeof(task->cdb_bytes));
    task->status_byte = NO_STATUS;
    if (!command->len) {
        return;
    }
    task->data_at = lsi_script_data(&d->script, command->in, command->segments);
    for (unsigned i = LSI_SCRIPT_SEGMENTS - command->segments; i < LSI_SCRIPT_SEGMENTS; i++) {
        task->segment[i] = (LsiTableEntry){ command->len / command->segments, addr };
        addr += task->segment[i].count;
    }
}

void bench_driver_submit(BenchDriver *d, unsigned index, const BenchCommand *command)
{
    fill_task(d, index, command);
    d->busy[index] = true;
    slot_of(d, d->head + 1)->task = IDLE;
    __atomic_store_n(&slot_of(d, d->head)->task, lsi_script_task(&d->script, index),
                     __ATOMIC_RELEASE);
    d->head++;
    bench_reg_write(&d->link, LSI_ISTAT0, ISTAT0_SIGP, 1);
}

/* The chip has stopped; the only good reason is a move that the target has cut short. */
static void handle_stop(BenchDriver *d)
{
    uint64_t dstat = bench_reg_read(&d->link, LSI_DSTAT, 1) & ~(uint64_t)DSTAT_DFE;
    uint64_t sist0 = bench_reg_read(&d->link, LSI_SIST0, 1);
    uint64_t sist1 = bench_reg_read(&d->link, LSI_SIST1, 1);
    uint64_t dsp = bench_reg_read(&d->link, LSI_DSP, 4);
    uint64_t dsa = bench_reg_read(&d->link, LSI_DSA, 4);
    uint64_t left = bench_reg_read(&d->link, LSI_DBC, 4) & 0xffffff;
    LsiScriptTask *task = (LsiScriptTask *)(void *)(d->link.ram + dsa);

    if (dstat || sist1 || (sist0 & ~(uint64_t)SIST0_RSL) != SIST0_MA || dsa >= IDLE ||
        !lsi_script_mismatch(&d->script, task, (uint32_t)dsp, (uint32_t)left)) {
        bench_die("the script has stopped: DSTAT %02" PRIx64 " SIST %02" PRIx64 "%02" PRIx64
                  " DSP %08" PRIx64 " DSPS %08" PRIx64,
                  dstat, sist1, sist0, dsp, bench_reg_read(&d->link, LSI_DSPS, 4));
    }
    d->mismatches++;
    bench_reg_write(&d->link, LSI_DSP, d->script.base + LSI_SCRIPT_PHASES, 4);
}

static void handle_irq(BenchDriver *d)
{
    uint64_t istat = bench_reg_read(&d->link, LSI_ISTAT0, 1);

    if (istat & ISTAT0_INTF) {
        bench_reg_write(&d->link, LSI_ISTAT0, (istat & ISTAT0_SIGP) | ISTAT0_INTF, 1);
        istat |= bench_reg_read(&d->link, LSI_ISTAT0, 1);
    }
    if (istat & (ISTAT0_SIP | ISTAT0_DIP)) {
        handle_stop(d);
    }
    bench_irq_eoi(&d->link);
}

static unsigned collect(BenchDriver *d, unsigned done[LSI_SCRIPT_TASKS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < LSI_SCRIPT_TASKS; i++) {
        if (d->busy[i] && __atomic_load_n(&task_of(d, i)->done, __ATOMIC_ACQUIRE)) {
            d->busy[i] = false;
            done[n++] = i;
        }
    }
    return n;
}

unsigned bench_driver_wait(BenchDriver *d, unsigned done[LSI_SCRIPT_TASKS])
{
    unsigned n;

    bench_irq_wait(&d->link);
    handle_irq(d);
    n = collect(d, done);
    for (unsigned i = 0; i < n; i++) {
        const LsiScriptTask *task = task_of(d, done[i]);
        if (task->status_byte != SCSI_GOOD_STATUS || lsi_script_left(&d->script, task) != 0) {
            bench_die("a command ended with status %02x, %u bytes not moved", task->status_byte,
                      lsi_script_left(&d->script, task));
        }
    }
    return n;
}

uint8_t bench_driver_run(BenchDriver *d, const BenchCommand *command)
{
    unsigned done[LSI_SCRIPT_TASKS];

    bench_driver_submit(d, 0, command);
    do {
        bench_irq_wait(&d->link);
        handle_irq(d);
    } while (collect(d, done) == 0);
    return task_of(d, 0)->status_byte;
}

uint64_t bench_driver_blocks(BenchDriver *d)
{
    const BenchCommand command = {
        .cdb = { 0x9e, 0x10, [13] = 32 },
        .cdb_len = 16,
        .in = true,
        .len = 32,
        .segments = 1,
    };
    uint64_t last = 0;

    if (bench_driver_run(d, &command) != SCSI_GOOD_STATUS) {
        bench_die("READ CAPACITY failed");
    }
    for (unsigned i = 0; i < 8; i++) {
        last = last << 8 | bench_driver_buffer(d, 0)[i];
    }
    return last + 1;
}
