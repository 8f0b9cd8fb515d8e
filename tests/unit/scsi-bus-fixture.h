/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk at target 1 on a bus, and what its sense data is.
 */
#ifndef TESTS_UNIT_SCSI_BUS_FIXTURE_H
#define TESTS_UNIT_SCSI_BUS_FIXTURE_H

#include "scsi-fixture.h"

typedef struct BusFx {
    Fx fx;
    MemDisk *mem;
} BusFx;

static void setup(BusFx *b)
{
    *b = (BusFx){ 0 };
    fx_init(&b->fx, "hba,id=h");
    b->mem = fx_node(&b->fx, "mem,node-name=d0,size=4M,discard=unmap,can-discard=on");
    fx_add(&b->fx, "scsi-hd,id=disk,drive=d0,scsi-id=1");
    fx_attach(&b->fx);
    fx_clear_ua(&b->fx, 1, 0);
}

static void teardown(BusFx *b)
{
    fx_fini(&b->fx);
}

static void read_sense(BusFx *b, uint8_t key, uint8_t asc, uint8_t ascq)
{
    uint8_t data[18];
    Task t = { .data = data, .size = sizeof(data) };

    task_run(&b->fx, &t, 1, 0, CDB(0x03, 0, 0, 0, 18, 0));
    assert_good(&t);
    g_assert_cmpuint(t.req.total, ==, 18);
    g_assert_cmphex(data[0], ==, 0x70);
    g_assert_cmphex(data[2], ==, key);
    g_assert_cmphex(data[7], ==, 10);
    g_assert_cmphex(data[12], ==, asc);
    g_assert_cmphex(data[13], ==, ascq);
}

#endif
