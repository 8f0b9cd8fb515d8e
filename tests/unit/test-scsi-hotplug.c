/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Units that come and go on a bus that runs, and a bus that is held. */
#include "scsi-fixture.h"

#define READY CDB(0, 0, 0, 0, 0, 0)
#define WRITE8 CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0)
#define READ8 CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0)

typedef struct HotFx {
    DiskFx d; /* LUN 0 of target 0 */
    MemDisk *mem;
    Device *dev; /* LUN 1 */
    Task t;
    uint8_t data[4096];
    unsigned n_gone, n_idle;
} HotFx;

static void on_gone(void *opaque)
{
    HotFx *hot = opaque;

    hot->n_gone++;
}

static void on_idle(void *opaque)
{
    HotFx *hot = opaque;

    hot->n_idle++;
}

static void plug(HotFx *hot, const char *text)
{
    hot->dev = fx_add(&hot->d.fx, text);
    g_assert_true(hot->dev->type->plug(hot->dev, NULL));
}

static void setup(HotFx *hot)
{
    *hot = (HotFx){ .t = { .data = hot->data, .size = sizeof(hot->data) } };
    disk_setup(&hot->d, "size=64K", "lun=0,scsi-id=0");
    hot->mem = fx_node(&hot->d.fx, "mem,node-name=d1,size=64K");
    plug(hot, "scsi-hd,drive=d1,scsi-id=0,lun=1");
    fx_clear_ua(&hot->d.fx, 0, 1);
    RUN(&hot->d, 0, 0, 0, 0, 0, 0);
    assert_sense(&hot->d.t, 6, 0x3f, 0x0e);
}

static void unplug(HotFx *hot)
{
    hot->dev->type->unplug(hot->dev, on_gone, hot);
}

static void delete (HotFx *hot)
{
    fx_settle(&hot->d.fx);
    g_assert_cmpuint(hot->n_gone, ==, 1);
    device_del(hot->d.fx.tree, hot->dev);
    g_assert_true(block_del(hot->d.fx.graph, "d1", NULL));
}

static void teardown(HotFx *hot)
{
    disk_teardown(&hot->d);
}

static void test_plug(void)
{
    HotFx hot;

    setup(&hot);
    task_run(&hot.d.fx, &hot.t, 0, 1, READ8);
    assert_good(&hot.t);
    RUN(&hot.d, 0, 0, 0, 0, 0, 0); /* told once */
    assert_good(&hot.d.t);
    teardown(&hot);
}

static void test_unplug_idle(void)
{
    HotFx hot;

    setup(&hot);
    unplug(&hot);
    g_assert_cmpuint(hot.n_gone, ==, 0); /* not from within */
    delete (&hot);
    RUN(&hot.d, 0, 0, 0, 0, 0, 0);
    assert_sense(&hot.d.t, 6, 0x3f, 0x0e);
    task_run(&hot.d.fx, &hot.t, 0, 1, READY);
    assert_sense(&hot.t, 5, 0x25, 0);
    teardown(&hot);
}

/* I/O on the medium is waited for, and flushed; the command ends as if the LUN did not exist. */
static void test_unplug_busy(void)
{
    HotFx hot;

    setup(&hot);
    hot.mem->hold = true;
    task_submit(&hot.d.fx, &hot.t, 0, 1, WRITE8);
    fx_settle(&hot.d.fx);
    g_assert_cmpuint(hot.mem->held->len, ==, 1);
    unplug(&hot);
    fx_settle(&hot.d.fx);
    g_assert_cmpuint(hot.n_gone + hot.t.n_done, ==, 0);
    mem_release(hot.mem);
    fx_settle(&hot.d.fx);
    g_assert_cmpuint(hot.t.n_done, ==, 1);
    g_assert_false(hot.t.req.cancelled);
    g_assert_cmphex(hot.t.req.status, ==, SCSI_CHECK_CONDITION);
    g_assert_cmpuint(hot.n_gone, ==, 0); /* the flush is held */
    g_assert_cmpuint(hot.mem->count[BLOCK_FLUSH], ==, 1);
    mem_release(hot.mem);
    delete (&hot);
    teardown(&hot);
}

/* Who cancels a command himself is not told a status. */
static void test_unplug_cancelled(void)
{
    HotFx hot;

    setup(&hot);
    hot.mem->hold = true;
    task_submit(&hot.d.fx, &hot.t, 0, 1, READ8);
    fx_settle(&hot.d.fx);
    unplug(&hot);
    scsi_cancel(&hot.t.req);
    mem_release(hot.mem);
    fx_settle(&hot.d.fx);
    g_assert_cmpuint(hot.t.n_done, ==, 1);
    g_assert_true(hot.t.req.cancelled);
    delete (&hot);
    teardown(&hot);
}

/* Waiting, parked and kept commands all end. */
static void test_unplug_queue(void)
{
    Task t[6] = { 0 };
    HotFx hot;

    setup(&hot);
    task_run(&hot.d.fx, &hot.t, 0, 1, CDB(0xff, 0, 0, 0, 0, 0)); /* sense data waits */
    hot.mem->hold = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        t[i].data = hot.data;
        t[i].size = sizeof(hot.data);
        t[i].req.attr = i == 2 ? SCSI_ORDERED : SCSI_SIMPLE;
        t[i].req.tag = (uint16_t)i;
        if (i == 1) {
            task_submit(&hot.d.fx, &t[i], 0, 1, CDB(0xff, 0, 0, 0, 0, 0));
        } else {
            task_submit(&hot.d.fx, &t[i], 0, 1, READ8);
        }
    }
    fx_settle(&hot.d.fx);
    unplug(&hot);
    mem_release(hot.mem);
    hot.mem->hold = false;
    fx_settle(&hot.d.fx);
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        g_assert_cmpuint(t[i].n_done, ==, 1);
        g_assert_cmphex(t[i].req.status, ==, SCSI_CHECK_CONDITION);
    }
    delete (&hot);
    teardown(&hot);
}

/* A drain and a removal at the same time: both end, whoever began. */
static void test_unplug_and_drain(void)
{
    for (unsigned first = 0; first < 2; first++) {
        HotFx hot;

        setup(&hot);
        hot.mem->hold = true;
        task_submit(&hot.d.fx, &hot.t, 0, 1, WRITE8);
        fx_settle(&hot.d.fx);
        if (first == 0) {
            unplug(&hot);
            fx_settle(&hot.d.fx);
        }
        scsi_bus_drain(hot.d.fx.bus, on_idle, &hot);
        fx_settle(&hot.d.fx);
        if (first == 1) {
            unplug(&hot);
            fx_settle(&hot.d.fx);
        }
        g_assert_cmpuint(hot.n_gone + hot.n_idle, ==, 0);
        for (unsigned i = 0; i < 4; i++) { /* the write, flushes */
            mem_release(hot.mem);
            fx_settle(&hot.d.fx);
        }
        g_assert_cmpuint(hot.n_idle, ==, 1);
        delete (&hot);
        teardown(&hot);
    }
}

static void test_hold(void)
{
    HotFx hot;

    setup(&hot);
    scsi_bus_hold(hot.d.fx.bus, true);
    scsi_bus_drain(hot.d.fx.bus, on_idle, &hot);
    fx_settle(&hot.d.fx);
    g_assert_cmpuint(hot.n_idle, ==, 1);
    task_submit(&hot.d.fx, &hot.t, 0, 1, WRITE8);
    fx_settle(&hot.d.fx);
    g_assert_cmpuint(hot.t.n_done + hot.mem->count[BLOCK_WRITE], ==, 0);
    scsi_bus_drain(hot.d.fx.bus, on_idle, &hot); /* a reset meanwhile changes nothing */
    fx_settle(&hot.d.fx);
    g_assert_cmpuint(hot.n_idle, ==, 2);
    g_assert_cmpuint(hot.t.n_done, ==, 0);
    scsi_bus_hold(hot.d.fx.bus, false);
    fx_settle(&hot.d.fx);
    g_assert_cmpuint(hot.t.n_done, ==, 1);
    assert_good(&hot.t);
    teardown(&hot);
}

/* Letting go while a drain is under way: commands start after it. */
static void test_hold_ends_in_drain(void)
{
    HotFx hot;

    setup(&hot);
    hot.mem->hold = true;
    task_submit(&hot.d.fx, &hot.d.t, 0, 1, WRITE8);
    fx_settle(&hot.d.fx);
    scsi_bus_hold(hot.d.fx.bus, true);
    scsi_bus_drain(hot.d.fx.bus, on_idle, &hot);
    task_submit(&hot.d.fx, &hot.t, 0, 1, READ8);
    fx_settle(&hot.d.fx);
    scsi_bus_hold(hot.d.fx.bus, false);
    fx_settle(&hot.d.fx);
    g_assert_cmpuint(hot.n_idle + hot.mem->count[BLOCK_READ], ==, 0);
    hot.mem->hold = false;
    mem_release(hot.mem);
    fx_settle(&hot.d.fx);
    g_assert_cmpuint(hot.n_idle, ==, 1);
    g_assert_cmpuint(hot.t.n_done + hot.d.t.n_done, ==, 2);
    teardown(&hot);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-hotplug/plug", test_plug);
    g_test_add_func("/scsi-hotplug/unplug-idle", test_unplug_idle);
    g_test_add_func("/scsi-hotplug/unplug-busy", test_unplug_busy);
    g_test_add_func("/scsi-hotplug/unplug-cancelled", test_unplug_cancelled);
    g_test_add_func("/scsi-hotplug/unplug-queue", test_unplug_queue);
    g_test_add_func("/scsi-hotplug/unplug-and-drain", test_unplug_and_drain);
    g_test_add_func("/scsi-hotplug/hold", test_hold);
    g_test_add_func("/scsi-hotplug/hold-ends-in-drain", test_hold_ends_in_drain);
    return g_test_run();
}
