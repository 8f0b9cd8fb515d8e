/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI bus and its task sets: who answers, in which order commands run, unit attention and
 * sense data.
 */
#include "scsi-bus-fixture.h"

/* ---- set-up ---- */

static void expect_error(Fx *fx, const char *text, const char *want)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(fx_device(fx, text, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, want)) {
        g_error("%s: '%s' does not have '%s'", text, err->message, want);
    }
}

static void test_plug_errors(void)
{
    Fx fx;

    fx_init(&fx, "hba,id=h,max-id=8");
    fx_node(&fx, "mem,node-name=a,size=1M");
    fx_node(&fx, "mem,node-name=b,size=1M");
    expect_error(&fx, "scsi-hd", "drive property not set");
    expect_error(&fx, "scsi-hd,drive=x", "Property 'scsi-hd.drive' can't find value 'x'");
    expect_error(&fx, "scsi-cd,drive=x", "Property 'scsi-cd.drive' can't find value 'x'");
    expect_error(&fx, "scsi-hd,drive=a,scsi-id=8", "bad scsi device id: 8");
    expect_error(&fx, "scsi-hd,drive=a,scsi-id=-2", "bad scsi device id: -2");
    expect_error(&fx, "scsi-hd,drive=a,scsi-id=7", "adapter's own");
    expect_error(&fx, "scsi-hd,drive=a,lun=8", "bad scsi device lun: 8");
    expect_error(&fx, "scsi-hd,drive=a,channel=1", "bad scsi channel id: 1");
    expect_error(&fx, "scsi-hd,drive=a,logical_block_size=1000", "logical_block_size");
    expect_error(&fx, "scsi-hd,drive=a,logical_block_size=256", "logical_block_size");
    expect_error(&fx, "scsi-hd,drive=a,logical_block_size=64K", "logical_block_size");
    expect_error(&fx, "scsi-hd,drive=a,physical_block_size=4M", "physical_block_size");
    expect_error(&fx, "scsi-hd,drive=a,logical_block_size=4096,physical_block_size=512",
                 "logical_block_size > physical_block_size");
    expect_error(&fx, "scsi-hd,drive=a,discard_granularity=1000", "discard_granularity");
    expect_error(&fx, "scsi-hd,drive=a,rerror=foo", "rerror");
    expect_error(&fx, "scsi-hd,drive=a,nonsense=1", "nonsense");
    g_assert_null(block_find(fx.graph, "a")->users);
    fx_add(&fx, "scsi-hd,id=one,drive=a,scsi-id=2");
    expect_error(&fx, "scsi-hd,drive=b,scsi-id=2", "already used by 'one'");
    expect_error(&fx, "scsi-hd,drive=a", "Drive 'a' is already in use");
    expect_error(&fx, "scsi-hd,drive=a,share-rw=on", "Drive 'a' is already in use");
    fx_add(&fx, "scsi-hd,drive=b,share-rw=on");
    expect_error(&fx, "scsi-hd,drive=b", "Drive 'b' is already in use");
    fx_add(&fx, "scsi-hd,drive=b,share-rw=on");
    fx_attach(&fx);
    fx_fini(&fx);
}

/* The first free id, not the adapter's; full at last. */
static void test_auto_id(void)
{
    Fx fx;

    fx_init(&fx, "hba,id=h");
    for (unsigned i = 0; i < 15; i++) {
        Device *dev = fx_add(&fx, "scsi-cd");
        ScsiDev *unit = dev->state;

        g_assert_cmpint(unit->id, ==, (int)(i < 7 ? i : i + 1));
        g_assert_cmpint(unit->lun, ==, 0);
        g_assert_true(scsi_bus_has_target(fx.bus, (unsigned)unit->id));
    }
    expect_error(&fx, "scsi-cd", "no free target");
    g_assert_false(scsi_bus_has_target(fx.bus, 7));
    g_assert_false(scsi_bus_has_target(fx.bus, 16));
    g_assert_false(scsi_bus_has_target(fx.bus, 255));
    fx_add(&fx, "scsi-cd,scsi-id=3,lun=7");
    fx_attach(&fx);
    fx_fini(&fx);
}

/* ---- who answers ---- */

static void test_missing_lun(void)
{
    BusFx b;
    uint8_t data[256];
    Task t = { .data = data, .size = sizeof(data) };

    setup(&b);
    task_run(&b.fx, &t, 1, 3, CDB(0x12, 0, 0, 0, 36, 0));
    assert_good(&t);
    g_assert_cmphex(data[0], ==, 0x7f);
    task_run(&b.fx, &t, 1, 3, CDB(0x03, 0, 0, 0, 18, 0));
    assert_good(&t);
    g_assert_cmphex(data[0], ==, 0x70);
    g_assert_cmphex(data[2], ==, 5);
    g_assert_cmphex(data[12], ==, 0x25);
    task_run(&b.fx, &t, 1, 3, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&t, 5, 0x25, 0);
    task_run(&b.fx, &t, 1, 200, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    assert_sense(&t, 5, 0x25, 0);
    task_run(&b.fx, &t, 1, 3, CDB(0x12));
    assert_sense(&t, 5, 0x25, 0);
    task_run(&b.fx, &t, 1, 3, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0));
    assert_good(&t);
    g_assert_cmpuint(get_be32(data), ==, 8);
    teardown(&b);
}

static void test_report_luns(void)
{
    uint8_t data[128];
    Task t = { .data = data, .size = sizeof(data) };
    Fx fx;

    fx_init(&fx, "hba,id=h");
    fx_add(&fx, "scsi-cd,scsi-id=2,lun=0");
    fx_add(&fx, "scsi-cd,scsi-id=2,lun=5");
    fx_add(&fx, "scsi-cd,scsi-id=3,lun=1");
    fx_attach(&fx);
    task_run(&fx, &t, 2, 0, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0));
    assert_good(&t);
    g_assert_cmpuint(get_be32(data), ==, 16);
    g_assert_cmpuint(data[9], ==, 0);
    g_assert_cmpuint(data[17], ==, 5);
    task_run(&fx, &t, 2, 0, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0)); /* SeaBIOS */
    g_assert_cmpuint(t.req.total, ==, 16);
    g_assert_cmpuint(get_be32(data), ==, 16);
    task_run(&fx, &t, 2, 0, CDB(0xa0, 0, 1, 0, 0, 0, 0, 0, 0, 64, 0, 0));
    g_assert_cmpuint(get_be32(data), ==, 0);
    task_run(&fx, &t, 2, 0, CDB(0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 64, 0, 0));
    assert_sense(&t, 5, 0x24, 0);
    fx_fini(&fx);
}

/* ---- unit attention and sense data ---- */

static void test_unit_attention(void)
{
    BusFx b;
    Task t = { 0 };
    ScsiDev *unit;

    setup(&b);
    unit = device_find(b.fx.tree, "disk")->state;
    scsi_unit_attention(unit, 0x2a, 9);
    scsi_unit_attention(unit, 0x3f, 0x0e);
    scsi_unit_attention(unit, 0x2a, 9); /* once is enough */
    task_run(&b.fx, &t, 1, 0, CDB(0x12, 0, 0, 0, 36, 0));
    assert_good(&t);
    task_run(&b.fx, &t, 1, 0, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0));
    assert_good(&t);
    task_run(&b.fx, &t, 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    assert_sense(&t, 6, 0x2a, 9);
    task_run(&b.fx, &t, 1, 0, CDB(0xff, 0, 0, 0, 0, 0)); /* before "unknown opcode" */
    assert_sense(&t, 6, 0x3f, 0x0e);
    task_run(&b.fx, &t, 1, 0, CDB(0, 0, 0, 0, 0, 0));
    assert_good(&t);

    scsi_unit_attention(unit, 0x2a, 9);
    read_sense(&b, 6, 0x2a, 9); /* REQUEST SENSE reports it, and that was it */
    read_sense(&b, 0, 0, 0);

    for (uint8_t i = 0; i < 10; i++) { /* more than there is room for */
        scsi_unit_attention(unit, 0x2a, i);
    }
    task_run(&b.fx, &t, 1, 0, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&t, 6, 0x2a, 0);
    scsi_reset_bus(b.fx.bus, 2); /* implies all the others */
    task_run(&b.fx, &t, 1, 0, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&t, 6, 0x29, 2);
    task_run(&b.fx, &t, 1, 0, CDB(0, 0, 0, 0, 0, 0));
    assert_good(&t);
    scsi_reset_target(b.fx.bus, 1, 3);
    task_run(&b.fx, &t, 1, 0, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&t, 6, 0x29, 3);
    scsi_bus_power_on(b.fx.bus);
    task_run(&b.fx, &t, 1, 0, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&t, 6, 0x29, 0);
    teardown(&b);
}

static void test_sense_latch(void)
{
    BusFx b;
    Task t = { 0 }, slow = { .req.attr = SCSI_SIMPLE };

    setup(&b);
    task_run(&b.fx, &t, 1, 0, CDB(0xff, 0, 0, 0, 0, 0));
    assert_sense(&t, 5, 0x20, 0);
    task_run(&b.fx, &t, 1, 2, CDB(0, 0, 0, 0, 0, 0)); /* another LUN's failure is its own */
    read_sense(&b, 5, 0x20, 0);
    read_sense(&b, 0, 0, 0);

    task_run(&b.fx, &t, 1, 0, CDB(0xff, 0, 0, 0, 0, 0));
    task_run(&b.fx, &t, 1, 0, CDB(0, 0, 0, 0, 0, 0)); /* a new command clears it */
    read_sense(&b, 0, 0, 0);

    /* one that was there before and ends well does not */
    b.mem->hold = true;
    task_submit(&b.fx, &slow, 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    fx_settle(&b.fx);
    task_run(&b.fx, &t, 1, 0, CDB(0xff, 0, 0, 0, 0, 0));
    mem_release(b.mem);
    fx_settle(&b.fx);
    g_assert_cmpuint(slow.n_done, ==, 1);
    read_sense(&b, 5, 0x20, 0);
    teardown(&b);
}

/* ---- order ---- */

/* Two tasks with every pair of attributes; the first one's I/O is held back. Has the second one
 * started? */
static void test_order_matrix(void)
{
    static const bool starts[4][4] = {
        /* second: UNTAGGED, SIMPLE, HEAD, ORDERED */
        [SCSI_UNTAGGED] = { true, true, true, false },
        [SCSI_SIMPLE] = { true, true, true, false },
        [SCSI_HEAD] = { false, false, true, false },
        [SCSI_ORDERED] = { false, false, true, false },
    };
    BusFx b;

    setup(&b);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 4; j++) {
            Task t[2] = { { .req.attr = (ScsiAttr)i }, { .req.attr = (ScsiAttr)j } };

            b.mem->hold = true;
            task_submit(&b.fx, &t[0], 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
            task_submit(&b.fx, &t[1], 1, 0, CDB(0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0));
            fx_settle(&b.fx);
            g_assert_cmpuint(b.mem->held->len, ==, starts[i][j] ? 2 : 1);
            b.mem->hold = false;
            mem_release(b.mem);
            fx_settle(&b.fx);
            g_assert_cmpuint(t[0].n_done + t[1].n_done, ==, 2);
        }
    }
    teardown(&b);
}

/* S S O S H O S: everything in its place. */
static void test_order_mixed(void)
{
    static const ScsiAttr attrs[] = { SCSI_SIMPLE, SCSI_SIMPLE,  SCSI_ORDERED, SCSI_SIMPLE,
                                      SCSI_HEAD,   SCSI_ORDERED, SCSI_SIMPLE };
    Task t[G_N_ELEMENTS(attrs)] = { 0 };
    BusFx b;

    setup(&b);
    b.fx.order = 0;
    b.mem->hold = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        t[i].req.attr = attrs[i];
        task_submit(&b.fx, &t[i], 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    }
    fx_settle(&b.fx);
    g_assert_cmpuint(b.mem->held->len, ==, 3); /* S S H */
    mem_release_one(b.mem, 1);
    mem_release_one(b.mem, 0);
    fx_settle(&b.fx);
    g_assert_cmpuint(b.mem->held->len, ==, 1); /* H is in front of the first O */
    mem_release_one(b.mem, 0);
    fx_settle(&b.fx);
    g_assert_cmpuint(b.mem->held->len, ==, 1); /* O */
    b.mem->hold = false;
    mem_release(b.mem);
    fx_settle(&b.fx);
    g_assert_cmpuint(t[1].order, ==, 1);
    g_assert_cmpuint(t[0].order, ==, 2);
    g_assert_cmpuint(t[4].order, ==, 3);
    g_assert_cmpuint(t[2].order, ==, 4);
    g_assert_cmpuint(t[3].order, ==, 5);
    g_assert_cmpuint(t[5].order, ==, 6);
    g_assert_cmpuint(t[6].order, ==, 7);
    teardown(&b);
}

static void test_task_set_full(void)
{
    g_autofree Task *t = g_new0(Task, SCSI_MAX_TASKS + 1);
    BusFx b;

    setup(&b);
    b.mem->hold = true;
    for (unsigned i = 0; i <= SCSI_MAX_TASKS; i++) {
        t[i].req.attr = i & 1 ? SCSI_SIMPLE : SCSI_ORDERED;
        task_submit(&b.fx, &t[i], 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    }
    fx_settle(&b.fx);
    g_assert_cmpuint(t[SCSI_MAX_TASKS].n_done, ==, 1);
    g_assert_cmphex(t[SCSI_MAX_TASKS].req.status, ==, SCSI_TASK_SET_FULL);
    b.mem->hold = false;
    mem_release(b.mem);
    fx_settle(&b.fx);
    for (unsigned i = 0; i < SCSI_MAX_TASKS; i++) {
        g_assert_cmpuint(t[i].n_done, ==, 1);
        assert_good(&t[i]);
    }
    teardown(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-bus/plug-errors", test_plug_errors);
    g_test_add_func("/scsi-bus/auto-id", test_auto_id);
    g_test_add_func("/scsi-bus/missing-lun", test_missing_lun);
    g_test_add_func("/scsi-bus/report-luns", test_report_luns);
    g_test_add_func("/scsi-bus/unit-attention", test_unit_attention);
    g_test_add_func("/scsi-bus/sense-latch", test_sense_latch);
    g_test_add_func("/scsi-bus/order-matrix", test_order_matrix);
    g_test_add_func("/scsi-bus/order-mixed", test_order_mixed);
    g_test_add_func("/scsi-bus/task-set-full", test_task_set_full);
    return g_test_run();
}
