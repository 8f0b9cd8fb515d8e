/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scsi-cd: the CDBs that Linux's sr and SeaBIOS send, an empty drive, and the tray. */
#include "scsi-fixture.h"

typedef struct CdFx {
    Fx fx;
    MemDisk *mem;
    Task t;
    uint8_t data[4096];
} CdFx;

static void setup(CdFx *c, const char *size)
{
    *c = (CdFx){ .t = { .data = c->data, .size = sizeof(c->data) } };
    fx_init(&c->fx, "hba,id=h,max-id=8");
    if (size) {
        g_autofree char *text = g_strconcat("mem,node-name=d,size=", size, NULL);

        c->mem = fx_node(&c->fx, text);
    }
    fx_add(&c->fx, size ? "scsi-cd,drive=d" : "scsi-cd");
    fx_attach(&c->fx);
    fx_clear_ua(&c->fx, 0, 0);
}

static void test_medium(void)
{
    CdFx c;

    setup(&c, "1M");
    for (unsigned i = 0; i < 1 << 20; i++) {
        c.mem->data[i] = (uint8_t)(i / 2048);
    }
    RUN(&c, 0x12, 0, 0, 0, 36, 0);
    g_assert_cmphex(c.data[0], ==, 5);
    g_assert_cmphex(c.data[1], ==, 0x80);
    g_assert_cmphex(c.data[7], ==, 0x12); /* a narrow bus */
    g_assert_cmpmem(c.data + 8, 28, "QEMU    QEMU CD-ROM     2.5+", 28);
    RUN(&c, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    g_assert_cmpuint(get_be32(c.data), ==, 511);
    g_assert_cmpuint(get_be32(c.data + 4), ==, 2048);
    RUN(&c, 0x28, 0, 0, 0, 1, 0x42, 0, 0, 2, 0);
    assert_good(&c.t);
    g_assert_cmpuint(c.t.req.moved, ==, 4096);
    g_assert_cmphex(c.data[0], ==, 0x42);
    g_assert_cmphex(c.data[4095], ==, 0x43);
    RUN(&c, 0xa8, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0);
    assert_sense(&c.t, 5, 0x21, 0);
    RUN(&c, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_sense(&c.t, 5, 0x20, 0);
    RUN(&c, 0x1a, 0, 0x2a, 0, 128, 0);
    assert_good(&c.t);
    g_assert_cmphex(c.data[3], ==, 0); /* no block descriptor */
    g_assert_cmpmem(c.data + 4, 3, "\x2a\x14\x3b", 3);
    RUN(&c, 0x51, 0, 0, 0, 0, 0, 0, 0, 2, 0);
    g_assert_cmpuint(get_be16(c.data), ==, 32);
    fx_fini(&c.fx);
}

static void test_toc(void)
{
    static const uint8_t lba[] = { 0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0,
                                   0, 0x14, 0xaa, 0, 0, 0, 2, 0 };
    static const uint8_t msf[] = { 0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 8, 62 };
    static const uint8_t sessions[] = { 0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0 };
    CdFx c;

    setup(&c, "1M");
    RUN(&c, 0x43, 0, 0, 0, 0, 0, 0, 0, 20, 0);
    g_assert_cmpmem(c.data, 20, lba, 20);
    RUN(&c, 0x43, 2, 0, 0, 0, 0, 0xaa, 0, 12, 0); /* 512 + 150 frames: 8 s, 62 frames */
    g_assert_cmpmem(c.data, 12, msf, 12);
    RUN(&c, 0x43, 0, 1, 0, 0, 0, 0, 0, 12, 0);
    g_assert_cmpmem(c.data, 12, sessions, 12);
    RUN(&c, 0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40); /* the format where old drives had it */
    g_assert_cmpmem(c.data, 12, sessions, 12);
    RUN(&c, 0x43, 0, 0, 0, 0, 0, 2, 0, 12, 0);
    assert_sense(&c.t, 5, 0x24, 0);
    fx_fini(&c.fx);
}

static void test_configuration(void)
{
    CdFx c;

    setup(&c, "1M");
    RUN(&c, 0x46, 0, 0, 0, 0, 0, 0, 1, 0, 0);
    assert_good(&c.t);
    g_assert_cmpuint(get_be16(c.data + 6), ==, 8);
    g_assert_cmpuint(get_be16(c.data + 8), ==, 0);
    g_assert_cmphex(c.data[8 + 4 + 6], ==, 1);
    RUN(&c, 0x46, 2, 0, 3, 0, 0, 0, 1, 0, 0); /* that feature only */
    g_assert_cmpuint(get_be32(c.data), ==, 4 + 8);
    g_assert_cmpuint(get_be16(c.data + 8), ==, 3);
    RUN(&c, 0x46, 2, 0, 0x28, 0, 0, 0, 1, 0, 0); /* one that is not there */
    g_assert_cmpuint(get_be32(c.data), ==, 4);
    RUN(&c, 0x46, 3, 0, 0, 0, 0, 0, 1, 0, 0);
    assert_sense(&c.t, 5, 0x24, 0);
    fx_fini(&c.fx);

    setup(&c, "900M");
    RUN(&c, 0x46, 1, 0, 0x1e, 0, 0, 0, 1, 0, 0); /* current ones from CD read on: DVD read */
    g_assert_cmpuint(get_be16(c.data + 6), ==, 0x10);
    g_assert_cmpuint(get_be16(c.data + 8), ==, 0x1f);
    fx_fini(&c.fx);
}

static void test_empty(void)
{
    static const uint8_t need_medium[] = { 0x00, 0x25, 0x28, 0xa8, 0x43, 0x51, 0x2b };
    CdFx c;

    setup(&c, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(need_medium); i++) {
        uint8_t cdb[12] = { need_medium[i], [8] = 1 };

        task_run(&c.fx, &c.t, 0, 0, cdb, sizeof(cdb));
        assert_sense(&c.t, 2, 0x3a, 0);
    }
    RUN(&c, 0x12, 0, 0, 0, 36, 0);
    assert_good(&c.t);
    RUN(&c, 0x1a, 0, 0x2a, 0, 128, 0);
    assert_good(&c.t);
    RUN(&c, 0x46, 0, 0, 0, 0, 0, 0, 1, 0, 0);
    assert_good(&c.t);
    g_assert_cmpuint(get_be16(c.data + 6), ==, 0);
    RUN(&c, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0);
    g_assert_cmpmem(c.data, 6, "\0\x06\x04\x10\0\0", 6);
    RUN(&c, 0x1b, 0, 0, 0, 0, 0);
    assert_good(&c.t);
    fx_fini(&c.fx);
}

static void test_tray(void)
{
    CdFx c;

    setup(&c, "1M");
    RUN(&c, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0);
    g_assert_cmpmem(c.data + 4, 2, "\0\x02", 2);
    RUN(&c, 0x1e, 0, 0, 0, 1, 0);
    RUN(&c, 0x1b, 0, 0, 0, 2, 0);
    assert_sense(&c.t, 5, 0x53, 2);
    RUN(&c, 0x1e, 0, 0, 0, 0, 0);
    RUN(&c, 0x1b, 0, 0, 0, 2, 0);
    assert_good(&c.t);
    RUN(&c, 0, 0, 0, 0, 0, 0);
    assert_sense(&c.t, 2, 0x3a, 2);
    RUN(&c, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0);
    g_assert_cmpmem(c.data + 4, 2, "\x03\x01", 2);
    RUN(&c, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0); /* told once */
    g_assert_cmpmem(c.data + 4, 2, "\0\x01", 2);
    RUN(&c, 0x1b, 0, 0, 0, 3, 0);
    assert_good(&c.t);
    RUN(&c, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0); /* does not wait for the unit attention */
    g_assert_cmpmem(c.data + 4, 2, "\x02\x02", 2);
    RUN(&c, 0, 0, 0, 0, 0, 0);
    assert_sense(&c.t, 6, 0x28, 0);
    RUN(&c, 0, 0, 0, 0, 0, 0);
    assert_good(&c.t);
    RUN(&c, 0x1e, 0, 0, 0, 1, 0);
    scsi_reset_bus(c.fx.bus, 2); /* unlocks */
    fx_settle(&c.fx);
    RUN(&c, 0, 0, 0, 0, 0, 0);
    RUN(&c, 0x1b, 0, 0, 0, 2, 0);
    assert_good(&c.t);
    RUN(&c, 0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8, 0); /* asynchronous */
    assert_sense(&c.t, 5, 0x24, 0);
    fx_fini(&c.fx);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-cd/medium", test_medium);
    g_test_add_func("/scsi-cd/toc", test_toc);
    g_test_add_func("/scsi-cd/configuration", test_configuration);
    g_test_add_func("/scsi-cd/empty", test_empty);
    g_test_add_func("/scsi-cd/tray", test_tray);
    return g_test_run();
}
