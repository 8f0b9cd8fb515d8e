/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cancelling, resets and draining on the SCSI bus with I/O in flight: each way at each point of
 * each kind of command.
 */
#include "scsi-bus-fixture.h"

/* ---- cancelling ---- */

/* A command, and how far it gets before it is cancelled. */
typedef struct Point {
    const char *name;
    uint8_t cdb[16];
    uint8_t cdb_len;
    bool hold;      /* the medium holds its requests back */
    bool no_settle; /* cancelled in the turn it was submitted in */
    unsigned one;   /* this many requests are let through, then it is cancelled */
    size_t limit;   /* bytes that the adapter moves */
    ScsiAttr attr;
} Point;

static const Point points[] = {
    { "submitted", { 0x28, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .no_settle = true },
    { "read in flight", { 0x28, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .hold = true },
    { "read window untouched, ahead in flight", { 0x28, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10,
      .hold = true, .one = 1, .limit = 1 },
    { "read window half used, ahead done", { 0x28, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .limit = 1000 },
    { "read second chunk", { 0x28, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .limit = (256 << 10) + 3 },
    { "write not filled", { 0x2a, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .no_settle = true },
    { "write half filled", { 0x2a, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .limit = 1000 },
    { "write in flight, second filled", { 0x2a, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .hold = true,
      .limit = (256 << 10) + 3 },
    { "two writes in flight", { 0x2a, 0, 0, 0, 0, 0, 0, 0x04, 0 }, 10, .hold = true },
    { "flush in flight", { 0x35 }, 10, .hold = true },
    { "verify in flight", { 0x2f, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .hold = true },
    { "verify second read", { 0x2f, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .hold = true, .one = 1 },
    { "verify's data half given", { 0x2f, 2, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .limit = 1000 },
    { "verify compares", { 0x2f, 2, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .hold = true },
    { "verify's block half given", { 0x2f, 6, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .limit = 100 },
    { "verify compares with a block", { 0x2f, 6, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .hold = true },
    { "write and verify writes", { 0x2e, 2, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .hold = true },
    { "write and verify compares", { 0x2e, 2, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .hold = true,
      .one = 1 },
    { "write and verify verifies", { 0x2e, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .hold = true,
      .one = 1 },
    { "compare and write, half given", { 0x89, 0, [13] = 8 }, 16, .limit = 4096 },
    { "compare and write compares", { 0x89, 0, [13] = 8 }, 16, .hold = true },
    { "answer half taken", { 0x12, 0, 0, 0, 36 }, 6, .limit = 5 },
    { "parameters half given", { 0x42, 0, 0, 0, 0, 0, 0, 0, 40 }, 10, .limit = 9 },
    { "unmap in flight", { 0x42, 0, 0, 0, 0, 0, 0, 0, 40 }, 10, .hold = true },
    { "unmap second range", { 0x42, 0, 0, 0, 0, 0, 0, 0, 40 }, 10, .hold = true, .one = 1 },
    { "write same zeros in flight", { 0x93, 1, [13] = 9 }, 16, .hold = true },
    { "write same pattern in flight", { 0x93, 0, [12] = 8 }, 16, .hold = true },
    { "finished, done on its way", { 0 }, 6, .no_settle = true },
    { "failed, done on its way", { 0xff }, 6, .no_settle = true },
    { "ordered, in flight", { 0x28, 0, 0, 0, 0, 0, 0, 0x10, 0 }, 10, .hold = true,
      .attr = SCSI_ORDERED },
};

typedef enum How { CANCEL, CANCEL_TWICE, ABORT_LUN, RESET_TARGET, RESET_BUS, POWER_ON, N_HOW } How;

static void do_cancel(BusFx *b, Task *t, How how)
{
    switch (how) {
    case CANCEL_TWICE:
        scsi_cancel(&t->req);
        scsi_cancel(&t->req);
        break;
    case ABORT_LUN:
        scsi_abort_lun(b->fx.bus, 1, 0);
        break;
    case RESET_TARGET:
        scsi_reset_target(b->fx.bus, 1, 3);
        break;
    case RESET_BUS:
        scsi_reset_bus(b->fx.bus, 2);
        scsi_reset_bus(b->fx.bus, 2);
        break;
    case POWER_ON:
        scsi_bus_power_on(b->fx.bus);
        break;
    default:
        scsi_cancel(&t->req);
    }
}

static void put_unmap_list(uint8_t *p)
{
    memset(p, 0, 64);
    put_be16(p, 6 + 32);
    put_be16(p + 2, 32);
    put_be32(p + 16, 8);
    put_be32(p + 12, 8);
    put_be32(p + 32, 8);
}

static void cancel_at(const Point *p, How how)
{
    g_autofree uint8_t *data = g_malloc(2 << 20);
    Task t = { .data = data, .size = 2 << 20, .limit = p->limit, .req.attr = p->attr };
    Task waiting = { .req.attr = SCSI_ORDERED }, after = { .req.attr = SCSI_SIMPLE };
    uint8_t cdb[16];
    BusFx b;
    size_t len;

    memset(data, 0x77, 2 << 20);
    if (p->cdb[0] == 0x42) {
        put_unmap_list(data);
    }
    memcpy(cdb, p->cdb, sizeof(cdb));
    setup(&b);
    b.mem->hold = p->hold;
    task_submit(&b.fx, &t, 1, 0, cdb, p->cdb_len);
    task_submit(&b.fx, &waiting, 1, 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    for (unsigned i = 0; !p->no_settle && i <= p->one; i++) {
        fx_settle(&b.fx);
        if (i < p->one) {
            mem_release_one(b.mem, 0);
        }
    }
    g_assert_cmpuint(t.n_done, ==, 0);
    do_cancel(&b, &t, how);
    g_assert_cmpuint(t.n_done, ==, 0);
    g_assert_null(scsi_req_window(&t.req, &len));
    g_assert_cmpuint(len, ==, 0);
    fx_settle(&b.fx);
    if (b.mem->held->len) { /* done() waits for the I/O, and so does everything that comes later */
        g_assert_cmpuint(t.n_done, ==, 0);
        task_submit(&b.fx, &after, 1, 0, CDB(0x00, 0, 0, 0, 0, 0));
        fx_settle(&b.fx);
        g_assert_cmpuint(after.n_done, ==, 0);
    }
    b.mem->hold = false;
    mem_release(b.mem);
    fx_settle(&b.fx);
    g_assert_cmpuint(t.n_done, ==, 1);
    g_assert_true(t.req.cancelled);
    g_assert_cmpuint(waiting.n_done, ==, 1);
    g_assert_cmpint(waiting.req.cancelled, ==, how >= ABORT_LUN);
    g_assert_cmpuint(((ScsiDev *)device_find(b.fx.tree, "disk")->state)->n_tasks, ==, 0);
    if (!after.n_done) {
        task_run(&b.fx, &after, 1, 0, CDB(0x00, 0, 0, 0, 0, 0));
    }
    if (how >= RESET_TARGET) {
        assert_sense(&after, 6, 0x29, how == RESET_TARGET ? 3 : how == RESET_BUS ? 2 : 0);
    } else {
        assert_good(&after);
    }
    teardown(&b);
}

static void test_cancel_matrix(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(points); i++) {
        for (How how = 0; how < N_HOW; how++) {
            g_test_message("%s, %d", points[i].name, how);
            cancel_at(&points[i], how);
        }
    }
}

/* What was cancelled leaves no sense data behind. */
static void test_cancel_no_sense(void)
{
    BusFx b;
    Task t = { 0 };

    setup(&b);
    task_submit(&b.fx, &t, 1, 0, CDB(0xff, 0, 0, 0, 0, 0));
    scsi_cancel(&t.req);
    fx_settle(&b.fx);
    g_assert_true(t.req.cancelled);
    read_sense(&b, 0, 0, 0);
    teardown(&b);
}

/* The retry of a write is not overtaken by the first try. */
static void test_retry_order(void)
{
    BusFx b;
    uint8_t old[512], new[512];
    Task t1 = { .data = old, .size = 512 }, t2 = { .data = new, .size = 512 };

    memset(old, 0x11, 512);
    memset(new, 0x22, 512);
    setup(&b);
    b.mem->hold = true;
    task_submit(&b.fx, &t1, 1, 0, CDB(0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0));
    fx_settle(&b.fx);
    scsi_cancel(&t1.req);
    task_submit(&b.fx, &t2, 1, 0, CDB(0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0));
    fx_settle(&b.fx);
    g_assert_cmpuint(b.mem->held->len, ==, 1);
    b.mem->hold = false;
    mem_release(b.mem);
    fx_settle(&b.fx);
    assert_good(&t2);
    g_assert_cmphex(b.mem->data[5 * 512], ==, 0x22);
    teardown(&b);
}

/* The stand-in for missing LUNs has tasks, too. */
/* COMPARE AND WRITE has the unit for itself, also against HEAD OF QUEUE. */
static void test_exclusive(void)
{
    static const ScsiAttr attrs[] = { SCSI_UNTAGGED, SCSI_SIMPLE, SCSI_HEAD, SCSI_ORDERED };
    BusFx b;

    for (unsigned i = 0; i < G_N_ELEMENTS(attrs); i++) {
        g_autofree uint8_t *zeros = g_malloc0(1024);
        Task before = { .req.attr = SCSI_SIMPLE }, head = { .req.attr = SCSI_HEAD };
        Task after = { .req.attr = SCSI_SIMPLE };
        Task caw = { .req.attr = attrs[i], .data = zeros, .size = 1024 };

        setup(&b);
        b.mem->hold = true;
        task_submit(&b.fx, &before, 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
        task_submit(&b.fx, &caw, 1, 0, CDB(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0));
        task_submit(&b.fx, &after, 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
        fx_settle(&b.fx);
        g_assert_cmpuint(b.mem->held->len, ==, 1); /* it waits for the read before it */
        mem_release_one(b.mem, 0);
        fx_settle(&b.fx);
        g_assert_cmpuint(before.n_done, ==, 1);
        g_assert_cmpuint(b.mem->held->len, ==, 1); /* it compares */
        task_submit(&b.fx, &head, 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
        fx_settle(&b.fx);
        g_assert_cmpuint(b.mem->held->len, ==, 1);
        mem_release_one(b.mem, 0);
        fx_settle(&b.fx);
        g_assert_cmpuint(b.mem->held->len, ==, 1); /* it writes */
        g_assert_cmpuint(b.mem->count[BLOCK_WRITE], ==, 1);
        mem_release_one(b.mem, 0);
        fx_settle(&b.fx);
        assert_good(&caw);
        g_assert_cmpuint(caw.order, ==, before.order + 1);
        b.mem->hold = false;
        mem_release(b.mem);
        fx_settle(&b.fx);
        g_assert_cmpuint(head.n_done + after.n_done, ==, 2);
        teardown(&b);
    }
}

static void test_cancel_absent(void)
{
    BusFx b;
    Task t[3] = { 0 };

    setup(&b);
    task_submit(&b.fx, &t[0], 1, 3, CDB(0x12, 0, 0, 0, 36, 0));
    task_submit(&b.fx, &t[1], 1, 4, CDB(0x12, 0, 0, 0, 36, 0));
    task_submit(&b.fx, &t[2], 2, 3, CDB(0x12, 0, 0, 0, 36, 0));
    scsi_abort_lun(b.fx.bus, 1, 3);
    fx_settle(&b.fx);
    g_assert_true(t[0].req.cancelled);
    g_assert_false(t[1].req.cancelled);
    g_assert_false(t[2].req.cancelled);
    for (unsigned i = 0; i < 3; i++) {
        task_submit(&b.fx, &t[i], 1 + (i == 2), 3 + (i == 1), CDB(0x12, 0, 0, 0, 36, 0));
    }
    scsi_reset_target(b.fx.bus, 1, 3);
    fx_settle(&b.fx);
    g_assert_true(t[0].req.cancelled && t[1].req.cancelled && !t[2].req.cancelled);
    task_submit(&b.fx, &t[0], 200, 200, CDB(0x12, 0, 0, 0, 36, 0));
    scsi_reset_bus(b.fx.bus, 2);
    fx_settle(&b.fx);
    g_assert_true(t[0].req.cancelled);
    teardown(&b);
}

/* ---- drain ---- */

static void count_idle(void *opaque)
{
    (*(unsigned *)opaque)++;
}

typedef struct DrainState {
    BusFx *b;
    Task *late;
    unsigned idle;
} DrainState;

/* At idle everything is flushed, nothing was read ahead, and what came late has not begun. */
static void check_idle(void *opaque)
{
    DrainState *d = opaque;

    d->idle++;
    g_assert_cmpuint(d->b->mem->count[BLOCK_FLUSH], ==, 1);
    g_assert_cmpuint(d->b->mem->count[BLOCK_READ], ==, 1);
    g_assert_false(d->late->req.started);
}

static void test_drain(void)
{
    BusFx b;
    unsigned idle = 0;
    Task w = { .req.attr = SCSI_SIMPLE }, r = { .req.attr = SCSI_SIMPLE, .limit = 1 };
    Task o = { .req.attr = SCSI_SIMPLE };
    DrainState state = { &b, &o, 0 };

    setup(&b);
    scsi_bus_drain(b.fx.bus, count_idle, &idle);
    g_assert_cmpuint(idle, ==, 0);
    fx_settle(&b.fx);
    g_assert_cmpuint(idle, ==, 1);

    b.mem->hold = true;
    task_submit(&b.fx, &w, 1, 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0x08, 0, 0));
    task_submit(&b.fx, &r, 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0x08, 0, 0));
    fx_settle(&b.fx);
    g_assert_cmpuint(b.mem->held->len, ==, 3);
    scsi_bus_drain(b.fx.bus, check_idle, &state);
    task_submit(&b.fx, &o, 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    for (unsigned i = 0; i < 2; i++) {
        fx_settle(&b.fx);
        g_assert_cmpuint(state.idle, ==, 0);
        mem_release_one(b.mem, 0);
    }
    fx_settle(&b.fx);
    g_assert_cmpuint(state.idle, ==, 0);
    b.mem->hold = false;
    mem_release(b.mem);
    fx_settle(&b.fx);
    g_assert_cmpuint(state.idle, ==, 1);
    g_assert_cmpuint(w.n_done, ==, 1);
    g_assert_cmpuint(o.n_done, ==, 1);

    r.limit = 0; /* goes on where it was */
    while (task_move(&r)) {
    }
    fx_settle(&b.fx);
    g_assert_cmpuint(r.n_done, ==, 1);
    assert_good(&r);
    teardown(&b);
}

/* done() of all that was cancelled comes before idle. */
static void test_drain_after_reset(void)
{
    BusFx b;
    unsigned idle = 0;
    Task t[4] = { 0 };

    setup(&b);
    b.mem->hold = true;
    task_submit(&b.fx, &t[0], 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0x08, 0, 0));
    task_submit(&b.fx, &t[1], 1, 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0x08, 0, 0));
    task_submit(&b.fx, &t[2], 1, 5, CDB(0x12, 0, 0, 0, 36, 0));
    t[3].req.attr = SCSI_ORDERED;
    task_submit(&b.fx, &t[3], 1, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0x08, 0, 0));
    while (loop_turn(b.fx.loop, 0)) {
    }
    scsi_reset_bus(b.fx.bus, 2);
    scsi_bus_drain(b.fx.bus, count_idle, &idle);
    b.mem->hold = false;
    while (!idle) {
        mem_release(b.mem);
        g_assert_true(loop_turn(b.fx.loop, 0));
    }
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpuint(t[i].n_done, ==, 1);
    }
    teardown(&b);
}

/* Units without a medium, and two on one node. */
static void test_drain_many(void)
{
    unsigned idle = 0;
    Fx fx;

    fx_init(&fx, "hba,id=h");
    fx_node(&fx, "mem,node-name=a,size=1M");
    fx_add(&fx, "scsi-cd");
    fx_add(&fx, "scsi-hd,drive=a,share-rw=on");
    fx_add(&fx, "scsi-hd,drive=a,share-rw=on");
    fx_add(&fx, "scsi-cd");
    fx_attach(&fx);
    scsi_bus_drain(fx.bus, count_idle, &idle);
    fx_settle(&fx);
    g_assert_cmpuint(idle, ==, 1);
    fx_fini(&fx);
}

/* Two adapters whose disks are one node, drained at the same time, with a write each in flight. */
static void test_drain_shared(void)
{
    unsigned idle[2] = { 0 };
    Task t[2] = { 0 };
    ScsiBus *bus[2];
    MemDisk *mem;
    Device *dev;
    Fx fx;

    fx_init(&fx, "hba,id=h");
    mem = fx_node(&fx, "mem,node-name=a,size=1M");
    fx_add(&fx, "scsi-hd,drive=a,bus=h.0,share-rw=on");
    dev = fx_add(&fx, "hba,id=g");
    fx_add(&fx, "scsi-hd,drive=a,bus=g.0,share-rw=on");
    bus[0] = fx.bus;
    bus[1] = dev->child->impl;
    for (unsigned i = 0; i < 2; i++) {
        fx.bus = bus[i];
        fx_attach(&fx);
        fx_clear_ua(&fx, 0, 0);
        task_submit(&fx, &t[i], 0, 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    }
    fx_settle(&fx);
    mem->hold = true;
    for (unsigned i = 0; i < 2; i++) {
        fx.bus = bus[i];
        task_submit(&fx, &t[i], 0, 0, CDB(0x2a, 0, 0, 0, 0, (uint8_t)i, 0, 0, 1, 0));
        fx_settle(&fx);
        scsi_bus_drain(bus[i], count_idle, &idle[i]);
    }
    fx_settle(&fx);
    g_assert_cmpuint(idle[0] + idle[1], ==, 0);
    mem->hold = false;
    mem_release(mem);
    fx_settle(&fx);
    g_assert_cmpuint(idle[0], ==, 1);
    g_assert_cmpuint(idle[1], ==, 1);
    g_assert_cmpuint(mem->count[BLOCK_FLUSH], >=, 1);
    scsi_bus_detach(bus[0]);
    fx.bus = bus[1];
    fx_fini(&fx);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-bus/cancel-matrix", test_cancel_matrix);
    g_test_add_func("/scsi-bus/cancel-no-sense", test_cancel_no_sense);
    g_test_add_func("/scsi-bus/retry-order", test_retry_order);
    g_test_add_func("/scsi-bus/exclusive", test_exclusive);
    g_test_add_func("/scsi-bus/cancel-absent", test_cancel_absent);
    g_test_add_func("/scsi-bus/drain", test_drain);
    g_test_add_func("/scsi-bus/drain-after-reset", test_drain_after_reset);
    g_test_add_func("/scsi-bus/drain-many", test_drain_many);
    g_test_add_func("/scsi-bus/drain-shared", test_drain_shared);
    return g_test_run();
}
