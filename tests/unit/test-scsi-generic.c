/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsi-generic and scsi-block on a fake SG_IO: what the device is asked, what becomes of its
 * answers, and cancelling while it has the command. On a device of the host (scsi_debug) where
 * SCSI_GENERIC_DEVICE names one.
 */
#include <pthread.h>
#include <unistd.h>

#include "hw/scsi/scsi-passthrough.h"
#include "scsi-fixture.h"

#include "block/drivers.h"

/* What the device does next; guarded by the mutex, as the worker reads it. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool hold;
    uint8_t pdt, status;
    uint16_t host_status;
    int res, resid;
    uint8_t sense[32], sense_len;
    unsigned n; /* commands so far */
    uint8_t cdb[16], cdb_len, out[512];
    int dir;
    unsigned len, timeout;
} dev_ = { .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static void answer(sg_io_hdr_t *hdr)
{
    uint8_t *data = hdr->dxferp;

    if (hdr->dxfer_direction == SG_DXFER_TO_DEV) {
        memcpy(dev_.out, data, MIN(hdr->dxfer_len, sizeof(dev_.out)));
    } else if (hdr->dxfer_direction == SG_DXFER_FROM_DEV) {
        for (unsigned i = 0; i < hdr->dxfer_len; i++) {
            data[i] = (uint8_t)(i * 3);
        }
        if (hdr->cmdp[0] == 0x12) {
            data[0] = dev_.pdt;
        } else if (hdr->cmdp[0] == 0x25) {
            put_be32(data, 4095);
            put_be32(data + 4, dev_.pdt == 5 ? 2048 : 512);
        }
    }
    hdr->status = dev_.status;
    hdr->host_status = dev_.host_status;
    hdr->resid = dev_.resid;
    hdr->sb_len_wr = dev_.sense_len;
    memcpy(hdr->sbp, dev_.sense, dev_.sense_len);
}

static int fake_sg(int fd G_GNUC_UNUSED, sg_io_hdr_t *hdr)
{
    int res;

    pthread_mutex_lock(&dev_.mutex);
    dev_.n++;
    memcpy(dev_.cdb, hdr->cmdp, hdr->cmd_len);
    dev_.cdb_len = hdr->cmd_len;
    dev_.dir = hdr->dxfer_direction;
    dev_.len = hdr->dxfer_len;
    dev_.timeout = hdr->timeout;
    pthread_cond_broadcast(&dev_.cond);
    while (dev_.hold) {
        pthread_cond_wait(&dev_.cond, &dev_.mutex);
    }
    answer(hdr);
    res = dev_.res;
    pthread_mutex_unlock(&dev_.mutex);
    return res;
}

static void dev_let_go(void)
{
    pthread_mutex_lock(&dev_.mutex);
    dev_.hold = false;
    pthread_cond_broadcast(&dev_.cond);
    pthread_mutex_unlock(&dev_.mutex);
}

static void dev_wait_for(unsigned n)
{
    pthread_mutex_lock(&dev_.mutex);
    while (dev_.n < n) {
        pthread_cond_wait(&dev_.cond, &dev_.mutex);
    }
    pthread_mutex_unlock(&dev_.mutex);
}

static bool fake_generic(Device *dev, GError **errp)
{
    return passthrough_realize(dev, false, fake_sg, errp);
}

static bool fake_block(Device *dev, GError **errp)
{
    return passthrough_realize(dev, true, fake_sg, errp);
}

static DeviceType generic, block;

static void dev_reset(uint8_t pdt)
{
    dev_.hold = false;
    dev_.pdt = pdt;
    dev_.status = dev_.sense_len = 0;
    dev_.host_status = 0;
    dev_.res = dev_.resid = 0;
    dev_.n = 0;
}

static void init(DiskFx *d)
{
    static const DeviceType *const types[] = { &hba_type, &generic, &block, NULL };

    generic = scsi_generic_type;
    generic.realize = fake_generic;
    block = scsi_block_type;
    block.realize = fake_block;
    *d = (DiskFx){ .t = { .data = d->data, .size = sizeof(d->data) } };
    fx_init_types(&d->fx, "hba,id=h", types);
    d->mem = fx_node(&d->fx, "mem,node-name=d,size=2M");
}

static void setup(DiskFx *d, const char *type, uint8_t pdt)
{
    dev_reset(pdt);
    init(d);
    fx_add(&d->fx, type);
    fx_attach(&d->fx);
    fx_clear_ua(&d->fx, 0, 0);
    dev_.n = 0;
}

/* Turns the loop until the task is done; the worker answers when it likes. */
static void wait_done(DiskFx *d, Task *t)
{
    int64_t end = loop_now_ns() + 20 * INT64_C(1000000000);

    while (!t->n_done && loop_now_ns() < end) {
        loop_turn(d->fx.loop, 100);
    }
    g_assert_cmpuint(t->n_done, ==, 1);
    g_assert_false(t->req.cancelled);
}

static void run(DiskFx *d, const uint8_t *cdb, size_t len)
{
    task_submit(&d->fx, &d->t, 0, 0, cdb, len);
    wait_done(d, &d->t);
}

static void test_pass(void)
{
    DiskFx d;

    setup(&d, "scsi-generic,drive=d,io_timeout=7", 0);
    run(&d, CDB(0, 0, 0, 0, 0, 0));
    assert_good(&d.t);
    g_assert_cmpint(dev_.dir, ==, SG_DXFER_NONE);
    g_assert_cmpuint(dev_.timeout, ==, 7000);
    run(&d, CDB(0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0));
    assert_good(&d.t);
    g_assert_cmpint(dev_.dir, ==, SG_DXFER_FROM_DEV);
    g_assert_cmpuint(dev_.len, ==, 1024);
    g_assert_cmpuint(dev_.cdb_len, ==, 10);
    g_assert_cmpuint(dev_.cdb[5], ==, 5);
    g_assert_cmpuint(d.t.req.moved, ==, 1024);
    g_assert_cmphex(d.data[7], ==, 21);
    memset(d.data, 0x5a, 512);
    run(&d, CDB(0x0a, 0, 0, 0, 1, 0));
    assert_good(&d.t);
    g_assert_cmpint(dev_.dir, ==, SG_DXFER_TO_DEV);
    g_assert_cmphex(dev_.out[511], ==, 0x5a);
    g_assert_cmpuint(d.mem->count[BLOCK_READ] + d.mem->count[BLOCK_WRITE], ==, 0);
    dev_.resid = 30; /* of 36 */
    run(&d, CDB(0x12, 0, 0, 0, 36, 0));
    assert_good(&d.t);
    g_assert_cmpuint(d.t.req.total, ==, 6);
    dev_.resid = 36;
    run(&d, CDB(0x12, 0, 0, 0, 36, 0));
    assert_good(&d.t);
    g_assert_cmpuint(d.t.req.total, ==, 0);
    dev_.resid = INT_MIN;
    run(&d, CDB(0x12, 0, 0, 0, 36, 0));
    g_assert_cmpuint(d.t.req.total, ==, 36);
    disk_teardown(&d);
}

static void test_refused(void)
{
    static const uint8_t ops[] = { 0x04, 0x3b, 0x48, 0x7f, 0x83, 0x85, 0xc0, 0x46, 0xbe };
    DiskFx d;

    setup(&d, "scsi-generic,drive=d", 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        run(&d, CDB(ops[i], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
        assert_sense(&d.t, 5, 0x20, 0);
    }
    run(&d, CDB(0x28, 0, 0)); /* cut */
    assert_sense(&d.t, 5, 0x24, 0);
    run(&d, CDB(0xa8, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0)); /* 2 TiB of memory */
    assert_sense(&d.t, 5, 0x24, 0);
    g_assert_cmpuint(dev_.n, ==, 0);
    disk_teardown(&d);
}

static void test_errors(void)
{
    static const uint8_t fixed[20] = { 0xf0, 0, 3,    0, 0, 1,    2, 12, 0, 0, 0,
                                       0,    0x11, 4, 0, 0x80, 1 };
    static const uint8_t desc[8] = { 0x72, 4, 0x44, 9 };
    DiskFx d;

    setup(&d, "scsi-generic,drive=d", 0);
    dev_.status = SCSI_CHECK_CONDITION;
    memcpy(dev_.sense, fixed, sizeof(fixed));
    dev_.sense_len = sizeof(fixed);
    run(&d, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    assert_sense(&d.t, 3, 0x11, 4);
    run(&d, CDB(0x03, 0, 0, 0, 20, 0)); /* byte for byte */
    assert_good(&d.t);
    g_assert_cmpmem(d.data, 20, fixed, 20);
    memcpy(dev_.sense, desc, sizeof(desc));
    dev_.sense_len = sizeof(desc);
    run(&d, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&d.t, 4, 0x44, 9);
    dev_.sense_len = 0; /* none, and never read out of bounds */
    run(&d, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&d.t, 4, 0x44, 0);
    dev_.status = SCSI_RESERVATION_CONFLICT;
    run(&d, CDB(0, 0, 0, 0, 0, 0));
    g_assert_cmphex(d.t.req.status, ==, SCSI_RESERVATION_CONFLICT);
    dev_.status = 0;
    dev_.host_status = 3;
    run(&d, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&d.t, 0xb, 0x2e, 2);
    dev_.host_status = 0;
    dev_.res = -EIO;
    run(&d, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&d.t, 4, 0x44, 0);
    dev_.res = -ENOMEM;
    run(&d, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&d.t, 0xb, 0, 0);
    disk_teardown(&d);
}

/* In the queue, at the device, with data out half given and data in half taken. */
static void test_cancel(void)
{
    Task a = { 0 }, b = { 0 }, out = { .limit = 100 }, in = { .limit = 100 };
    DiskFx d;

    setup(&d, "scsi-generic,drive=d", 0);
    task_submit(&d.fx, &in, 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    while (in.req.moved < 100) {
        loop_turn(d.fx.loop, 100);
    }
    dev_.n = 0;
    dev_.hold = true;
    task_submit(&d.fx, &out, 0, 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    task_submit(&d.fx, &a, 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    task_submit(&d.fx, &b, 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    fx_settle(&d.fx);
    dev_wait_for(1);
    scsi_reset_bus(d.fx.bus, 2);
    fx_settle(&d.fx);
    g_assert_cmpuint(a.n_done, ==, 0);
    g_assert_cmpuint(b.n_done + in.n_done + out.n_done, ==, 3);
    dev_let_go();
    while (!a.n_done) {
        loop_turn(d.fx.loop, 100);
    }
    g_assert_true(a.req.cancelled && b.req.cancelled && in.req.cancelled && out.req.cancelled);
    g_assert_cmpuint(dev_.n, ==, 1);
    disk_teardown(&d);
}

static void count_idle(void *opaque)
{
    (*(unsigned *)opaque)++;
}

static void test_drain(void)
{
    unsigned idle = 0;
    DiskFx d;

    setup(&d, "scsi-generic,drive=d", 0);
    dev_.hold = true;
    task_submit(&d.fx, &d.t, 0, 0, CDB(0, 0, 0, 0, 0, 0));
    dev_wait_for(1);
    scsi_bus_drain(d.fx.bus, count_idle, &idle);
    fx_settle(&d.fx);
    g_assert_cmpuint(idle, ==, 0);
    dev_let_go();
    wait_done(&d, &d.t);
    fx_settle(&d.fx);
    g_assert_cmpuint(idle, ==, 1);
    disk_teardown(&d);
}

static void test_block(void)
{
    DiskFx d;

    setup(&d, "scsi-block,drive=d", 0);
    d.mem->data[5 * 512] = 0x77;
    run(&d, CDB(0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0));
    assert_good(&d.t);
    g_assert_cmphex(d.data[0], ==, 0x77);
    run(&d, CDB(0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0));
    assert_good(&d.t);
    g_assert_cmphex(d.mem->data[9 * 512], ==, 0x77);
    g_assert_cmpuint(dev_.n, ==, 0);
    run(&d, CDB(0x12, 0, 0, 0, 36, 0));
    g_assert_cmpuint(dev_.n, ==, 1);
    d.mem->fail[BLOCK_READ] = -EIO;
    run(&d, CDB(0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0));
    assert_sense(&d.t, 3, 0x11, 0);
    run(&d, CDB(0x03, 0, 0, 0, 18, 0));
    g_assert_cmphex(d.data[2], ==, 3);
    g_assert_cmpuint(dev_.n, ==, 1);
    disk_teardown(&d);
}

static void expect_error(DiskFx *d, const char *text, const char *want)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(fx_device(&d->fx, text, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, want));
}

static void test_realize(void)
{
    DiskFx d;

    init(&d);
    dev_reset(1);
    expect_error(&d, "scsi-generic,drive=d", "is a tape");
    dev_reset(5);
    expect_error(&d, "scsi-block,drive=d", "is not a disk");
    dev_reset(0x7f);
    expect_error(&d, "scsi-generic,drive=d", "no device behind");
    dev_reset(0);
    dev_.res = -ENOTTY;
    expect_error(&d, "scsi-generic,drive=d", "does not answer SCSI commands");
    dev_reset(0);
    expect_error(&d, "scsi-generic", "drive property not set");
    expect_error(&d, "scsi-generic,drive=x", "can't find value 'x'");
    fx_attach(&d.fx);
    disk_teardown(&d);
}

static void test_real(void)
{
    const char *path = g_getenv("SCSI_GENERIC_DEVICE");

    if (!path || access(path, R_OK | W_OK) < 0) {
        g_test_skip("SCSI_GENERIC_DEVICE names no scsi_debug device that can be opened");
        return;
    }
    g_test_message("%s", path);
    {
        static const BlockDriver *const drivers[] = { &block_host_device_driver, NULL };
        static const BlockEngineType *const engines[] = { &block_engine_threads, NULL };
        static const DeviceType *const types[] = { &hba_type, &scsi_generic_type, NULL };
        g_autofree char *text = g_strconcat("host_device,node-name=d,filename=", path, NULL);
        g_autoptr(Opts) opts = opts_parse(text, "driver", NULL);
        DiskFx d = { .t = { .data = d.data, .size = sizeof(d.data) } };

        fx_init_types(&d.fx, "hba,id=h", types);
        device_tree_free(d.fx.tree);
        block_graph_free(d.fx.graph);
        d.fx.graph = block_graph_new(drivers, engines);
        d.fx.tree = device_tree_new(types, d.fx.graph);
        d.fx.bus = fx_device(&d.fx, "hba,id=h", NULL)->child->impl;
        g_assert_nonnull(block_open(d.fx.graph, opts, NULL));
        fx_add(&d.fx, "scsi-generic,drive=d");
        fx_attach(&d.fx);
        fx_clear_ua(&d.fx, 0, 0);
        run(&d, CDB(0x12, 0, 0, 0, 36, 0));
        assert_good(&d.t);
        g_assert_cmpuint(d.t.req.total, >=, 36);
        run(&d, CDB(0xff, 0, 0, 0, 0, 0));
        assert_sense(&d.t, 5, 0x20, 0);
        disk_teardown(&d);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-generic/pass", test_pass);
    g_test_add_func("/scsi-generic/refused", test_refused);
    g_test_add_func("/scsi-generic/errors", test_errors);
    g_test_add_func("/scsi-generic/cancel", test_cancel);
    g_test_add_func("/scsi-generic/drain", test_drain);
    g_test_add_func("/scsi-generic/block", test_block);
    g_test_add_func("/scsi-generic/realize", test_realize);
    g_test_add_func("/scsi-generic/real", test_real);
    return g_test_run();
}
