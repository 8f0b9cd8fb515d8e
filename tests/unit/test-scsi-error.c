/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rerror= and werror=: what is reported, ignored, or kept until the guest goes on. */
#include "scsi-fixture.h"

#define BYTES (2u << 20)

typedef struct StopFx {
    DiskFx d;
    unsigned n_stop, n_told[3];
    bool write;
    int error;
} StopFx;

static void on_error(void *opaque, ScsiDev *dev, const ScsiIoError *error)
{
    StopFx *s = opaque;

    g_assert_nonnull(dev);
    s->n_told[error->action]++;
    if (error->action == SCSI_ERROR_STOP) {
        s->n_stop++;
        s->write = error->write;
        s->error = error->error;
    }
}

static void on_tray(void *opaque G_GNUC_UNUSED, ScsiDev *dev G_GNUC_UNUSED, bool open G_GNUC_UNUSED)
{
    g_assert_not_reached();
}

static const ScsiBusWatch watch = { .error = on_error, .tray = on_tray };

static void setup(StopFx *s, const char *device, bool monitor)
{
    *s = (StopFx){ 0 };
    disk_setup(&s->d, "size=2M,discard=unmap,can-discard=on", device);
    if (monitor) {
        scsi_bus_watch(s->d.fx.bus, &watch, s, NULL);
    }
}

static void teardown(StopFx *s)
{
    disk_teardown(&s->d);
}

enum { REPORTS = SCSI_ERROR_REPORT, IGNORES = SCSI_ERROR_IGNORE, STOPS = SCSI_ERROR_STOP };

static void assert_io_status(const StopFx *s, const char *want)
{
    ScsiDiskInfo info;

    scsi_disk_info(s->d.disk, &info);
    g_assert_cmpstr(info.io_status, ==, want);
}

static void test_policies(void)
{
    static const struct {
        const char *device;
        int read_eio, write_eio, write_enospc; /* with a monitor */
    } rows[] = {
        { "lun=0", REPORTS, REPORTS, STOPS },
        { "rerror=auto,werror=auto", REPORTS, REPORTS, STOPS },
        { "rerror=report,werror=report", REPORTS, REPORTS, REPORTS },
        { "rerror=ignore,werror=ignore", IGNORES, IGNORES, IGNORES },
        { "rerror=stop,werror=stop", STOPS, STOPS, STOPS },
        { "rerror=enospc,werror=enospc", REPORTS, REPORTS, STOPS },
        { "rerror=stop,werror=ignore", STOPS, IGNORES, IGNORES },
    };
    StopFx s;

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(rows); i++) {
        bool monitor = i & 1;
        int want[3] = { rows[i / 2].read_eio, rows[i / 2].write_eio, rows[i / 2].write_enospc };

        const char *calm =
            rows[i / 2].read_eio == STOPS || rows[i / 2].write_enospc == STOPS ? "ok" : NULL;

        setup(&s, rows[i / 2].device, monitor);
        for (unsigned k = 0; k < 3; k++) {
            uint8_t cdb[10] = { k == 0 ? 0x28 : 0x2a, [8] = 1 };
            unsigned stops = s.n_stop;

            s.d.mem->fail[k == 0 ? BLOCK_READ : BLOCK_WRITE] = k == 2 ? -ENOSPC : -EIO;
            task_submit(&s.d.fx, &s.d.t, 0, 0, cdb, sizeof(cdb));
            fx_settle(&s.d.fx);
            if (monitor && want[k] == STOPS) {
                g_assert_cmpuint(s.n_stop, ==, stops + 1);
                g_assert_cmpint(s.write, ==, k > 0);
                g_assert_cmpint(s.error, ==, k == 2 ? ENOSPC : EIO);
                g_assert_cmpuint(s.d.t.n_done, ==, 0);
                assert_io_status(&s, k == 2 ? "nospace" : "failed");
                s.d.mem->fail[k == 0 ? BLOCK_READ : BLOCK_WRITE] = 0;
                scsi_bus_resume(s.d.fx.bus);
                fx_settle(&s.d.fx);
                assert_good(&s.d.t);
            } else {
                g_assert_cmpuint(s.n_stop, ==, stops);
                g_assert_cmphex(s.d.t.req.status, ==,
                                want[k] == IGNORES ? SCSI_GOOD : SCSI_CHECK_CONDITION);
            }
            g_assert_cmpuint(s.d.t.n_done, ==, 1);
            assert_io_status(&s, calm);
        }
        teardown(&s);
    }
}

/* Each command keeps what it was at, and its data is whole in the end. */
static void test_resume(void)
{
    static const struct {
        uint8_t cdb[16];
        uint8_t len;
        BlockOp op;
    } cmds[] = {
        { { 0x28, [7] = 0x10 }, 10, BLOCK_READ },
        { { 0x2a, [7] = 0x10 }, 10, BLOCK_WRITE },
        { { 0x2f, 2, [7] = 0x10 }, 10, BLOCK_READ },
        { { 0x2e, 2, [7] = 0x10 }, 10, BLOCK_WRITE },
        { { 0x2e, 2, [7] = 0x10 }, 10, BLOCK_READ },
        { { 0x35 }, 10, BLOCK_FLUSH },
        { { 0x93, 1, [13] = 8 }, 16, BLOCK_WRITE_ZEROES },
        { { 0x93, 0, [12] = 0x10 }, 16, BLOCK_WRITE },
    };
    g_autofree uint8_t *buf = g_malloc(BYTES);

    for (unsigned i = 0; i < G_N_ELEMENTS(cmds); i++) {
        for (uint64_t at = 0; at < BYTES; at += BYTES / 2 - 1) {
            Task t = { .data = buf, .size = BYTES };
            StopFx s;

            setup(&s, "rerror=stop,werror=stop", true);
            fill_random(s.d.mem->data, BYTES);
            memcpy(buf, s.d.mem->data, BYTES);
            s.d.mem->fail[cmds[i].op] = -ENOSPC;
            s.d.mem->fail_at = cmds[i].op == BLOCK_FLUSH ? UINT64_MAX : at;
            task_submit(&s.d.fx, &t, 0, 0, cmds[i].cdb, cmds[i].len);
            fx_settle(&s.d.fx);
            if (s.n_stop == 0) { /* it does not reach that far */
                g_assert_cmpuint(t.n_done, ==, 1);
                teardown(&s);
                continue;
            }
            g_assert_cmpuint(t.n_done, ==, 0);
            scsi_bus_resume(s.d.fx.bus); /* it fails again */
            fx_settle(&s.d.fx);
            g_assert_cmpuint(s.n_stop, ==, 2);
            g_assert_cmpuint(t.n_done, ==, 0);
            s.d.mem->fail[cmds[i].op] = 0;
            scsi_bus_resume(s.d.fx.bus);
            scsi_bus_resume(s.d.fx.bus);
            fx_settle(&s.d.fx);
            g_assert_cmpuint(t.n_done, ==, 1);
            assert_good(&t);
            if (t.req.total == BYTES) {
                g_assert_cmpmem(s.d.mem->data, BYTES, buf, BYTES);
            }
            teardown(&s);
        }
    }
}

static void count_idle(void *opaque)
{
    (*(unsigned *)opaque)++;
}

/* Kept commands can be cancelled, don't hold up a drain, and are not made again while one runs. */
static void test_kept(void)
{
    for (unsigned how = 0; how < 4; how++) {
        uint8_t cdb[10] = { 0x2a, [7] = 8 };
        unsigned idle = 0;
        StopFx s;

        setup(&s, "werror=stop", true);
        s.d.mem->fail[BLOCK_WRITE] = -EIO;
        task_submit(&s.d.fx, &s.d.t, 0, 0, cdb, sizeof(cdb));
        fx_settle(&s.d.fx);
        g_assert_cmpuint(s.n_stop, >=, 1);
        s.d.mem->fail[BLOCK_WRITE] = 0;
        if (how == 0) {
            scsi_cancel(&s.d.t.req);
        } else if (how == 1) {
            scsi_reset_bus(s.d.fx.bus, 2);
        } else {
            scsi_bus_drain(s.d.fx.bus, count_idle, &idle);
            if (how == 3) {
                scsi_bus_resume(s.d.fx.bus);
            }
        }
        fx_settle(&s.d.fx);
        g_assert_cmpuint(idle, ==, how >= 2);
        g_assert_cmpuint(s.d.t.n_done, ==, how != 2);
        if (how == 2) {
            scsi_bus_resume(s.d.fx.bus);
            fx_settle(&s.d.fx);
        }
        g_assert_cmpuint(s.d.t.n_done, ==, 1);
        g_assert_cmpint(s.d.t.req.cancelled, ==, how < 2);
        teardown(&s);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-error/policies", test_policies);
    g_test_add_func("/scsi-error/resume", test_resume);
    g_test_add_func("/scsi-error/kept", test_kept);
    return g_test_run();
}
