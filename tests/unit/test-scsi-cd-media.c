/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scsi-cd: READ CD and what tells of the disc, and changes of the medium from outside. */
#include "scsi-fixture.h"

typedef struct CdFx {
    Fx fx;
    Device *dev;
    MemDisk *mem, *other;
    Task t;
    uint8_t data[8192];
    unsigned n_changed;
    bool ok;
} CdFx;

static void setup(CdFx *c, const char *size)
{
    g_autofree char *text = g_strconcat("mem,node-name=d,size=", size, NULL);

    *c = (CdFx){ .t = { .data = c->data, .size = sizeof(c->data) } };
    fx_init(&c->fx, "hba,id=h");
    c->mem = fx_node(&c->fx, text);
    c->other = fx_node(&c->fx, "mem,node-name=other,size=2M");
    c->dev = fx_add(&c->fx, "scsi-cd,id=cd,drive=d");
    fx_attach(&c->fx);
    fx_clear_ua(&c->fx, 0, 0);
    for (unsigned i = 0; i < 512; i++) {
        c->mem->data[i * 2048] = (uint8_t)i;
        c->other->data[i * 2048] = (uint8_t)~i;
    }
}

static void teardown(CdFx *c)
{
    fx_fini(&c->fx);
}

/* ---- READ CD ---- */

static void test_read_cd(void)
{
    CdFx c;

    setup(&c, "1M");
    RUN(&c, 0xbe, 0, 0, 0, 0, 9, 0, 0, 3, 0x10, 0, 0);
    assert_good(&c.t);
    g_assert_cmpuint(c.t.req.moved, ==, 3 * 2048);
    g_assert_cmphex(c.data[0], ==, 9);
    g_assert_cmphex(c.data[2 * 2048], ==, 11);
    RUN(&c, 0xbe, 0, 0, 0, 0, 9, 0, 0, 3, 0, 0, 0); /* nothing of the sectors */
    assert_good(&c.t);
    g_assert_cmpuint(c.t.n_ready, ==, 0);
    RUN(&c, 0xbe, 0, 0, 0, 0, 9, 0, 0, 0, 0x10, 0, 0);
    assert_good(&c.t);
    for (unsigned type = 0; type < 8; type++) {
        RUN(&c, 0xbe, (uint8_t)(type << 2), 0, 0, 0, 0, 0, 0, 1, 0x10, 0, 0);
        if (type == 0 || type == 2) {
            assert_good(&c.t);
        } else {
            assert_sense(&c.t, 5, 0x64, 0);
        }
    }
    for (unsigned parts = 0; parts < 256; parts++) {
        RUN(&c, 0xbe, 0, 0, 0, 0, 0, 0, 0, 1, (uint8_t)parts, 0, 0);
        if (parts & 1) {
            assert_sense(&c.t, 5, 0x24, 0);
        } else if (parts & 0xee) {
            assert_sense(&c.t, 5, 0x64, 0);
        } else {
            assert_good(&c.t);
        }
    }
    RUN(&c, 0xbe, 0, 0, 0, 0, 0, 0, 0, 1, 0x10, 1, 0); /* subchannel */
    assert_sense(&c.t, 5, 0x24, 0);
    RUN(&c, 0xbe, 0, 0, 0, 1, 0xff, 0, 0, 2, 0x10, 0, 0); /* 511 and 512 of 512 */
    assert_sense(&c.t, 5, 0x21, 0);
    RUN(&c, 0xb9, 0, 0, 0, 2, 5, 0, 2, 7, 0x10, 0, 0); /* 00:02:05 to 00:02:07 */
    assert_good(&c.t);
    g_assert_cmpuint(c.t.req.moved, ==, 2 * 2048);
    g_assert_cmphex(c.data[0], ==, 5);
    RUN(&c, 0xb9, 0, 0, 0, 1, 74, 0, 2, 7, 0x10, 0, 0); /* in the lead-in */
    assert_sense(&c.t, 5, 0x24, 0);
    RUN(&c, 0xb9, 0, 0, 0, 2, 75, 0, 4, 7, 0x10, 0, 0); /* no such frame */
    assert_sense(&c.t, 5, 0x24, 0);
    RUN(&c, 0xb9, 0, 0, 0, 2, 7, 0, 2, 5, 0x10, 0, 0); /* ends before it begins */
    assert_sense(&c.t, 5, 0x24, 0);
    teardown(&c);
}

/* ---- about the disc ---- */

static void test_full_toc(void)
{
    static const uint8_t want[] = {
        0, 46, 1, 1,
        1, 0x14, 0, 0xa0, 0, 0, 0, 0, 1, 0, 0,
        1, 0x14, 0, 0xa1, 0, 0, 0, 0, 1, 0, 0,
        1, 0x14, 0, 0xa2, 0, 0, 0, 0, 0, 8, 62,
        1, 0x14, 0, 0x01, 0, 0, 0, 0, 0, 2, 0,
    };
    CdFx c;

    setup(&c, "1M");
    RUN(&c, 0x43, 2, 2, 0, 0, 0, 0, 1, 0, 0);
    assert_good(&c.t);
    g_assert_cmpmem(c.data, sizeof(want), want, sizeof(want));
    RUN(&c, 0x43, 2, 2, 0, 0, 0, 2, 1, 0, 0); /* from session 2 on */
    assert_sense(&c.t, 5, 0x24, 0);
    RUN(&c, 0x43, 2, 5, 0, 0, 0, 0, 1, 0, 0); /* CD-TEXT */
    assert_sense(&c.t, 5, 0x24, 0);
    RUN(&c, 0xbb, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0); /* SET CD SPEED */
    assert_good(&c.t);
    teardown(&c);
}

static void test_dvd_structure(void)
{
    CdFx c;

    setup(&c, "1M");
    RUN(&c, 0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4, 0, 0);
    assert_sense(&c.t, 5, 0x30, 2); /* a CD */
    teardown(&c);

    setup(&c, "4G");
    RUN(&c, 0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4, 0, 0);
    assert_good(&c.t);
    g_assert_cmpuint(c.t.req.total, ==, 2052);
    g_assert_cmpmem(c.data, 8, "\x08\x02\0\0\x01\x0f\x01\0", 8);
    g_assert_cmphex(get_be24(c.data + 9), ==, 0x30000);
    g_assert_cmphex(get_be24(c.data + 13), ==, 0x30000 + (2u << 20) - 1);
    RUN(&c, 0xad, 0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 0);
    assert_good(&c.t);
    g_assert_cmpmem(c.data, 8, "\0\x06\0\0\0\0\0\0", 8);
    RUN(&c, 0xad, 0, 0, 0, 0, 0, 0, 0xff, 0, 16, 0, 0);
    g_assert_cmpmem(c.data, 16, "\0\x0e\0\0\0\x40\x08\x02\x01\x40\0\x06\x04\x40\x08\x02", 16);
    RUN(&c, 0xad, 0, 0, 0, 0, 0, 1, 0, 0, 16, 0, 0); /* layer 1 */
    assert_sense(&c.t, 5, 0x24, 0);
    RUN(&c, 0xad, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0); /* Blu-ray */
    assert_sense(&c.t, 5, 0x24, 0);
    RUN(&c, 0xad, 0, 0, 0, 0, 0, 0, 2, 0, 16, 0, 0);
    assert_sense(&c.t, 5, 0x24, 0);
    teardown(&c);
}

/* ---- the operator ---- */

static void changed(void *opaque, bool ok)
{
    CdFx *c = opaque;

    c->n_changed++;
    c->ok = ok;
}

static unsigned read_event(CdFx *c)
{
    Task t = { .data = c->data, .size = sizeof(c->data) };

    task_run(&c->fx, &t, 0, 0, CDB(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0));
    assert_good(&t);
    return c->data[4];
}

static void test_eject(void)
{
    CdFx c;
    GError *err = NULL;

    setup(&c, "1M");
    RUN(&c, 0x1e, 0, 0, 0, 1, 0);
    g_assert_false(scsi_cd_eject(c.dev, false, &err));
    g_assert_nonnull(strstr(err->message, "'cd' is locked"));
    g_clear_error(&err);
    g_assert_cmpuint(read_event(&c), ==, 1); /* eject request */
    RUN(&c, 0, 0, 0, 0, 0, 0);
    assert_good(&c.t);
    g_assert_true(scsi_cd_eject(c.dev, true, NULL));
    g_assert_cmpuint(read_event(&c), ==, 3);
    RUN(&c, 0, 0, 0, 0, 0, 0);
    assert_sense(&c.t, 2, 0x3a, 2);
    g_assert_true(scsi_cd_eject(c.dev, false, NULL)); /* it is open */
    g_assert_cmpuint(read_event(&c), ==, 0);
    g_assert_true(scsi_cd_load(c.dev, NULL));
    g_assert_cmpuint(read_event(&c), ==, 2);
    RUN(&c, 0, 0, 0, 0, 0, 0);
    assert_sense(&c.t, 6, 0x28, 0);
    g_assert_true(scsi_cd_load(c.dev, NULL));
    RUN(&c, 0, 0, 0, 0, 0, 0);
    assert_good(&c.t);
    teardown(&c);
}

static void test_change(void)
{
    CdFx c;
    GError *err = NULL;

    setup(&c, "1M");
    g_assert_false(scsi_cd_change_medium(c.dev, "nonsense", false, changed, &c, &err));
    g_assert_nonnull(strstr(err->message, "'nonsense'"));
    g_clear_error(&err);
    g_assert_false(scsi_cd_change_medium(c.dev, "d", false, changed, &c, &err));
    g_assert_nonnull(strstr(err->message, "already in use"));
    g_clear_error(&err);
    g_assert_true(scsi_cd_change_medium(c.dev, "other", false, changed, &c, NULL));
    g_assert_cmpuint(c.n_changed, ==, 0);
    g_assert_false(scsi_cd_change_medium(c.dev, NULL, false, changed, &c, &err));
    g_clear_error(&err);
    fx_settle(&c.fx);
    g_assert_cmpuint(c.n_changed, ==, 1);
    g_assert_true(c.ok);
    g_assert_null(block_find(c.fx.graph, "d")->users);
    g_assert_null(block_find(c.fx.graph, "d")->loop);
    g_assert_cmpuint(read_event(&c), ==, 2);
    RUN(&c, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_sense(&c.t, 6, 0x28, 0);
    RUN(&c, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    g_assert_cmpuint(get_be32(c.data), ==, 1023);
    RUN(&c, 0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0);
    g_assert_cmphex(c.data[0], ==, 0xfc);
    g_assert_true(scsi_cd_change_medium(c.dev, NULL, false, changed, &c, NULL));
    fx_settle(&c.fx);
    RUN(&c, 0, 0, 0, 0, 0, 0);
    assert_sense(&c.t, 2, 0x3a, 0);
    g_assert_cmpuint(read_event(&c), ==, 3);
    g_assert_true(scsi_cd_change_medium(c.dev, "d", false, changed, &c, NULL));
    fx_settle(&c.fx);
    RUN(&c, 0, 0, 0, 0, 0, 0);
    RUN(&c, 0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0);
    g_assert_cmphex(c.data[0], ==, 3);
    g_assert_true(scsi_cd_change_medium(c.dev, "other", false, changed, &c, NULL));
    g_assert_cmpuint(c.n_changed, ==, 3); /* the loop goes away before it is done */
    scsi_bus_detach(c.fx.bus);
    g_assert_cmpuint(c.n_changed, ==, 4);
    g_assert_false(c.ok);
    g_assert_null(block_find(c.fx.graph, "other")->users);
    teardown(&c);
}

/* The halves of a change, in a drive that begins without a medium. */
static void test_insert_remove(void)
{
    CdFx c;
    GError *err = NULL;

    setup(&c, "1M");
    g_assert_false(scsi_cd_remove(c.dev, changed, &c, &err));
    g_assert_nonnull(strstr(err->message, "'cd' is not open"));
    g_clear_error(&err);
    g_assert_false(scsi_cd_insert(c.dev, "other", changed, &c, &err));
    g_assert_nonnull(strstr(err->message, "'cd' is not open"));
    g_clear_error(&err);
    g_assert_true(scsi_cd_eject(c.dev, false, NULL));
    g_assert_false(scsi_cd_insert(c.dev, "other", changed, &c, &err));
    g_assert_nonnull(strstr(err->message, "already is a medium in device 'cd'"));
    g_clear_error(&err);
    for (unsigned i = 0; i < 2; i++) { /* the second time there is none */
        g_assert_true(scsi_cd_remove(c.dev, changed, &c, NULL));
        fx_settle(&c.fx);
        g_assert_cmpuint(c.n_changed, ==, i + 1);
        g_assert_true(c.ok);
        g_assert_null(block_find(c.fx.graph, "d")->users);
    }
    g_assert_true(block_del(c.fx.graph, "d", NULL));
    g_assert_false(scsi_cd_insert(c.dev, "d", changed, &c, &err));
    g_assert_nonnull(strstr(err->message, "'d'"));
    g_clear_error(&err);
    g_assert_true(scsi_cd_insert(c.dev, "other", changed, &c, NULL));
    fx_settle(&c.fx);
    g_assert_cmpuint(c.n_changed, ==, 3);
    g_assert_false(block_del(c.fx.graph, "other", &err));
    g_assert_nonnull(strstr(err->message, "device 'cd'"));
    g_clear_error(&err);
    RUN(&c, 0, 0, 0, 0, 0, 0);
    assert_sense(&c.t, 2, 0x3a, 2); /* the tray is still open */
    g_assert_true(scsi_cd_load(c.dev, NULL));
    RUN(&c, 0, 0, 0, 0, 0, 0);
    assert_sense(&c.t, 6, 0x28, 0);
    RUN(&c, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_good(&c.t);
    g_assert_cmpuint(get_be32(c.data), ==, 1023);
    teardown(&c);
}

static void count_idle(void *opaque)
{
    (*(unsigned *)opaque)++;
}

/* With commands at each stage: in flight, half moved, cancelled, and a drain beside it. */
static void test_change_with_io(void)
{
    for (unsigned drain = 0; drain < 2; drain++) {
        Task flight = { 0 }, half = { .limit = 100 }, gone = { 0 }, late = { 0 };
        unsigned idle = 0;
        size_t len;
        CdFx c;

        setup(&c, "1M");
        task_submit(&c.fx, &half, 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 1, 0, 0));
        fx_settle(&c.fx);
        g_assert_cmpuint(half.req.moved, ==, 100);
        c.mem->hold = true;
        task_submit(&c.fx, &flight, 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 1, 0, 0));
        task_submit(&c.fx, &gone, 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 1, 0, 0));
        fx_settle(&c.fx);
        scsi_cancel(&gone.req);
        if (drain) {
            scsi_bus_drain(c.fx.bus, count_idle, &idle);
        }
        g_assert_true(scsi_cd_change_medium(c.dev, "other", false, changed, &c, NULL));
        fx_settle(&c.fx);
        g_assert_cmpuint(c.n_changed, ==, 0);
        if (!drain) {
            g_assert_cmpuint(half.n_done, ==, 1);
            assert_sense(&half, 2, 0x3a, 2);
            g_assert_null(scsi_req_window(&half.req, &len));
        }
        task_submit(&c.fx, &late, 0, 0, CDB(0x1b, 0, 0, 0, 3, 0)); /* the guest closes the tray */
        fx_settle(&c.fx);
        c.mem->hold = false;
        mem_release(c.mem);
        fx_settle(&c.fx);
        g_assert_cmpuint(c.n_changed, ==, 1);
        g_assert_true(c.ok);
        task_run(&c.fx, &late, 0, 0, CDB(0x03, 0, 0, 0, 18, 0)); /* lets go what waits for it */
        task_run(&c.fx, &late, 0, 0, CDB(0x03, 0, 0, 0, 18, 0));
        g_assert_cmpuint(flight.n_done + half.n_done + gone.n_done, ==, 3);
        g_assert_true(gone.req.cancelled);
        g_assert_cmpuint(idle, ==, drain);
        g_assert_cmpuint(((ScsiDev *)c.dev->state)->n_tasks, ==, 0);
        teardown(&c);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-cd-media/read-cd", test_read_cd);
    g_test_add_func("/scsi-cd-media/full-toc", test_full_toc);
    g_test_add_func("/scsi-cd-media/dvd-structure", test_dvd_structure);
    g_test_add_func("/scsi-cd-media/eject", test_eject);
    g_test_add_func("/scsi-cd-media/change", test_change);
    g_test_add_func("/scsi-cd-media/insert-remove", test_insert_remove);
    g_test_add_func("/scsi-cd-media/change-with-io", test_change_with_io);
    return g_test_run();
}
