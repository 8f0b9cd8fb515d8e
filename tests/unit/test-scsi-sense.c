/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contingent allegiance: commands that fail while another one's sense data has not been fetched.
 * Whatever the initiator does or leaves undone, every command comes to its end.
 */
#include "scsi-fixture.h"

/* Commands that fail in different ways as soon as they start. */
static const uint8_t bad_opcode[6] = { 0xff };
static const uint8_t bad_lba[10] = { 0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0 };
static const uint8_t bad_field[6] = { 0x12, 2 };

static void setup(DiskFx *d)
{
    disk_setup(d, "size=2M", "lun=0");
}

static void expect_sense(DiskFx *d, uint8_t key, uint8_t asc)
{
    uint8_t data[18];
    Task t = { .data = data, .size = sizeof(data) };

    task_run(&d->fx, &t, 0, 0, CDB(0x03, 0, 0, 0, 18, 0));
    assert_good(&t);
    g_assert_cmphex(data[2], ==, key);
    g_assert_cmphex(data[12], ==, asc);
}

static ScsiDev *unit_of(DiskFx *d)
{
    return ((Device *)g_ptr_array_index(d->fx.tree->devices, 1))->state;
}

/* One whose status has been sent, and three behind it. */
static void fail_all(DiskFx *d, Task t[4])
{
    task_submit(&d->fx, &t[0], 0, 0, bad_opcode, 6);
    task_submit(&d->fx, &t[1], 0, 0, bad_lba, 10);
    task_submit(&d->fx, &t[2], 0, 0, bad_field, 6);
    task_submit(&d->fx, &t[3], 0, 0, bad_opcode, 6);
    fx_settle(&d->fx);
    g_assert_cmpuint(t[0].n_done, ==, 1);
    g_assert_cmpuint(t[1].n_done + t[2].n_done + t[3].n_done, ==, 0);
}

static void test_fetched(void)
{
    static const uint8_t asc[] = { 0x20, 0x21, 0x24, 0x20 };
    Task t[4] = { 0 };
    DiskFx d;

    setup(&d);
    fail_all(&d, t);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpuint(t[i].n_done, ==, 1);
        assert_sense(&t[i], 5, asc[i], 0);
        if (i < 3) {
            g_assert_cmpuint(t[i + 1].n_done, ==, 0);
        }
        expect_sense(&d, 5, asc[i]);
    }
    expect_sense(&d, 0, 0);
    g_assert_cmpuint(unit_of(&d)->n_parked, ==, 0);
    disk_teardown(&d);
}

/* An initiator that never asks. */
static void test_given_up(void)
{
    Task t[4] = { 0 }, next = { 0 };
    DiskFx d;

    setup(&d);
    fail_all(&d, t);
    for (unsigned i = 1; i < 4; i++) {
        task_run(&d.fx, &next, 0, 0, CDB(0, 0, 0, 0, 0, 0));
        assert_good(&next);
        g_assert_cmpuint(t[i].n_done, ==, 1);
    }
    /* and commands that fail let each other go on */
    fail_all(&d, t);
    for (unsigned i = 1; i < 4; i++) {
        task_submit(&d.fx, &next, 0, 0, bad_opcode, 6);
        fx_settle(&d.fx);
        g_assert_cmpuint(t[i].n_done, ==, 1);
        scsi_cancel(&next.req);
        fx_settle(&d.fx);
        g_assert_cmpuint(next.n_done, ==, 1);
    }
    expect_sense(&d, 5, 0x20);
    disk_teardown(&d);
}

/* A second command fails on the medium, at a time of its own. */
static void test_medium(void)
{
    Task a = { .req.attr = SCSI_SIMPLE }, b = { .req.attr = SCSI_SIMPLE };
    Task good = { .req.attr = SCSI_SIMPLE };
    DiskFx d;

    setup(&d);
    d.mem->hold = true;
    d.mem->fail_at = 0;
    d.mem->fail[BLOCK_READ] = -EIO;
    task_submit(&d.fx, &a, 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    task_submit(&d.fx, &b, 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    task_submit(&d.fx, &good, 0, 0, CDB(0x28, 0, 0, 0, 0, 9, 0, 0, 1, 0));
    fx_settle(&d.fx);
    mem_release(d.mem);
    fx_settle(&d.fx);
    g_assert_cmpuint(a.n_done, ==, 1);
    g_assert_cmpuint(b.n_done, ==, 0);
    g_assert_cmpuint(good.n_done, ==, 1); /* that one waits for nothing */
    expect_sense(&d, 3, 0x11);
    g_assert_cmpuint(b.n_done, ==, 1);
    expect_sense(&d, 3, 0x11);
    d.mem->hold = false;
    disk_teardown(&d);
}

/* What is parked holds up neither REQUEST SENSE nor others, whatever its attribute. */
static void test_no_barrier(void)
{
    static const ScsiAttr attrs[] = { SCSI_UNTAGGED, SCSI_SIMPLE, SCSI_HEAD, SCSI_ORDERED };
    g_autofree uint8_t *zeros = g_malloc0(1024);

    for (unsigned i = 0; i < G_N_ELEMENTS(attrs); i++) {
        Task a = { 0 }, b = { .req.attr = attrs[i] }, c = { .req.attr = SCSI_ORDERED };
        Task caw = { .data = zeros, .size = 1024 };
        DiskFx d;

        setup(&d);
        task_submit(&d.fx, &a, 0, 0, bad_opcode, 6);
        task_submit(&d.fx, &b, 0, 0, bad_lba, 10);
        task_submit(&d.fx, &c, 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
        task_submit(&d.fx, &caw, 0, 0, CDB(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0));
        fx_settle(&d.fx);
        g_assert_cmpuint(a.n_done + b.n_done, ==, 1);
        g_assert_cmpuint(c.n_done + caw.n_done, ==, 2);
        expect_sense(&d, 5, a.n_done ? 0x20 : 0x21);
        g_assert_cmpuint(a.n_done + b.n_done, ==, 2);
        disk_teardown(&d);
    }
}

static void test_cancelled(void)
{
    for (unsigned how = 0; how < 5; how++) {
        Task t[4] = { 0 };
        DiskFx d;

        setup(&d);
        fail_all(&d, t);
        if (how == 0) {
            scsi_cancel(&t[1].req);
            scsi_cancel(&t[3].req);
        } else if (how == 1) {
            scsi_abort_lun(d.fx.bus, 0, 0);
        } else if (how == 2) {
            scsi_reset_target(d.fx.bus, 0, 3);
        } else if (how == 3) {
            scsi_reset_bus(d.fx.bus, 2);
        } else { /* let go on, and cancelled before it does */
            unit_of(&d)->status_due = false;
            task_submit(&d.fx, &t[0], 0, 0, CDB(0, 0, 0, 0, 0, 0));
            scsi_cancel(&t[1].req);
        }
        fx_settle(&d.fx);
        g_assert_cmpuint(t[1].n_done, ==, 1);
        g_assert_true(t[1].req.cancelled);
        if (how == 0) {
            g_assert_cmpuint(t[2].n_done, ==, 0);
            g_assert_cmpuint(t[3].n_done, ==, 1);
            expect_sense(&d, 5, 0x20);
            g_assert_cmpuint(t[2].n_done, ==, 1);
        } else if (how < 4) {
            g_assert_true(t[2].req.cancelled && t[3].req.cancelled);
        } else {
            g_assert_cmpuint(t[2].n_done, ==, 1);
            g_assert_cmpuint(t[3].n_done, ==, 0);
            expect_sense(&d, 5, 0x24);
            g_assert_cmpuint(t[3].n_done, ==, 1);
        }
        g_assert_cmpuint(unit_of(&d)->n_parked, ==, 0);
        g_assert_cmpuint(unit_of(&d)->n_tasks, ==, 0);
        disk_teardown(&d);
    }
}

/* A command that was on its way before the status reached the initiator. */
static void test_status_due(void)
{
    Task t = { 0 }, other = { 0 };
    DiskFx d;

    setup(&d);
    scsi_bus_tells_status(d.fx.bus);
    task_run(&d.fx, &t, 0, 0, bad_opcode, 6);
    task_run(&d.fx, &other, 0, 0, CDB(0, 0, 0, 0, 0, 0));
    assert_good(&other);
    scsi_status_sent(d.fx.bus, 0, 0);
    expect_sense(&d, 5, 0x20);
    task_run(&d.fx, &t, 0, 0, bad_opcode, 6);
    scsi_status_sent(d.fx.bus, 0, 0);
    task_run(&d.fx, &other, 0, 0, CDB(0, 0, 0, 0, 0, 0));
    expect_sense(&d, 0, 0);
    task_run(&d.fx, &t, 0, 0, bad_opcode, 6); /* a reset takes it along, sent or not */
    scsi_reset_bus(d.fx.bus, 2);
    fx_settle(&d.fx);
    expect_sense(&d, 6, 0x29);
    scsi_status_sent(d.fx.bus, 3, 0);
    scsi_status_sent(d.fx.bus, 200, 200);
    disk_teardown(&d);
}

/* Two LUNs, and two that are not there, know nothing of each other. */
static void test_units_apart(void)
{
    Task t[3] = { 0 };
    DiskFx d;

    setup(&d);
    task_submit(&d.fx, &t[0], 0, 1, CDB(0, 0, 0, 0, 0, 0));
    task_submit(&d.fx, &t[1], 3, 0, CDB(0, 0, 0, 0, 0, 0));
    task_submit(&d.fx, &t[2], 0, 0, bad_opcode, 6);
    fx_settle(&d.fx);
    g_assert_cmpuint(t[0].n_done + t[1].n_done + t[2].n_done, ==, 3);
    disk_teardown(&d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-sense/fetched", test_fetched);
    g_test_add_func("/scsi-sense/given-up", test_given_up);
    g_test_add_func("/scsi-sense/medium", test_medium);
    g_test_add_func("/scsi-sense/no-barrier", test_no_barrier);
    g_test_add_func("/scsi-sense/cancelled", test_cancelled);
    g_test_add_func("/scsi-sense/status-due", test_status_due);
    g_test_add_func("/scsi-sense/units-apart", test_units_apart);
    return g_test_run();
}
