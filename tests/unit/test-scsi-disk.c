/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsi-hd's commands: what they answer, what they refuse, and that data gets where it belongs.
 */
#include "scsi-fixture.h"

#define BLOCKS 4096u

typedef struct DiskFx {
    Fx fx;
    MemDisk *mem;
    Task t;
    uint8_t data[1 << 16];
} DiskFx;

static void setup(DiskFx *d, const char *node, const char *device)
{
    g_autofree char *text = g_strconcat("mem,node-name=d0,", node, NULL);
    g_autofree char *dev = g_strconcat("scsi-hd,drive=d0,", device, NULL);

    *d = (DiskFx){ .t = { .data = d->data, .size = sizeof(d->data) } };
    fx_init(&d->fx, "hba,id=h");
    d->mem = fx_node(&d->fx, text);
    fx_add(&d->fx, dev);
    fx_attach(&d->fx);
    fx_clear_ua(&d->fx, 0, 0);
}

static void teardown(DiskFx *d)
{
    fx_fini(&d->fx);
}

#define RUN(d, ...) task_run(&(d)->fx, &(d)->t, 0, 0, CDB(__VA_ARGS__))

static void test_inquiry(void)
{
    DiskFx d;

    setup(&d, "size=2M", "serial=abc");
    RUN(&d, 0x12, 0, 0, 0, 36, 0);
    assert_good(&d.t);
    g_assert_cmpuint(d.t.req.total, ==, 36);
    g_assert_cmpmem(d.data + 8, 28, "QEMU    QEMU HARDDISK   2.5+", 28);
    g_assert_cmphex(d.data[0], ==, 0);
    g_assert_cmphex(d.data[1], ==, 0);
    g_assert_cmphex(d.data[2], ==, 5);
    g_assert_cmphex(d.data[3], ==, 0x12);
    g_assert_cmphex(d.data[4], ==, 31);
    g_assert_cmphex(d.data[7], ==, 0x32);

    /* a longer allocation is padded with zeros, a shorter one cuts */
    memset(d.data, 0xee, 256);
    RUN(&d, 0x12, 0, 0, 0, 96, 0);
    g_assert_cmpuint(d.t.req.moved, ==, 96);
    g_assert_cmphex(d.data[36], ==, 0);
    g_assert_cmphex(d.data[95], ==, 0);
    RUN(&d, 0x12, 0, 0, 0, 5, 0);
    g_assert_cmpuint(d.t.req.moved, ==, 5);
    RUN(&d, 0x12, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    g_assert_cmpuint(d.t.n_ready, ==, 0);

    RUN(&d, 0x12, 0, 0x80, 0, 36, 0); /* a page without EVPD */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x12, 2, 0, 0, 36, 0); /* CMDDT */
    assert_sense(&d.t, 5, 0x24, 0);
    teardown(&d);
}

static void test_vpd(void)
{
    static const uint8_t list[] = { 0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
    static const uint8_t ident[] = {
        0, 0x83, 0, 40, 2, 0, 0, 8, 's', 'e', 'r', 'i', 'a', 'l', '-', '1', 1, 3, 0, 8, 0x50, 1,
        2, 3, 4, 5, 6, 7, 0x61, 0x93, 0, 8, 0x50, 7, 7, 7, 7, 7, 7, 7, 0x61, 0x94, 0, 4, 0, 0, 0, 3,
    };
    DiskFx d;

    setup(&d, "size=2M,discard=unmap,can-discard=on",
          "serial=serial-1,wwn=0x5001020304050607,port_wwn=0x5007070707070707,port_index=3,"
          "rotation_rate=1,opt_io_size=64K,max_unmap_size=1048576,max_io_size=1048576");
    RUN(&d, 0x12, 1, 0, 0, 255, 0);
    g_assert_cmpmem(d.data, sizeof(list), list, sizeof(list));
    RUN(&d, 0x12, 1, 0x80, 0, 255, 0);
    g_assert_cmpmem(d.data, 12, "\0\x80\0\x08serial-1", 12);
    RUN(&d, 0x12, 1, 0x83, 0, 255, 0);
    g_assert_cmpuint(d.data[3], ==, sizeof(ident) - 4);
    g_assert_cmpmem(d.data + 4, sizeof(ident) - 4, ident + 4, sizeof(ident) - 4);
    RUN(&d, 0x12, 1, 0xb0, 0, 64, 0);
    g_assert_cmpuint(get_be16(d.data + 2), ==, 0x3c);
    g_assert_cmpuint(d.data[4], ==, 1);
    g_assert_cmpuint(get_be32(d.data + 8), ==, 2048);
    g_assert_cmpuint(get_be32(d.data + 12), ==, 128);
    g_assert_cmpuint(get_be32(d.data + 20), ==, 2048);
    g_assert_cmpuint(get_be32(d.data + 24), ==, 255);
    g_assert_cmpuint(get_be32(d.data + 28), ==, 8);
    g_assert_cmpuint(get_be64(d.data + 36), ==, 2048);
    RUN(&d, 0x12, 1, 0xb1, 0, 64, 0);
    g_assert_cmpuint(get_be16(d.data + 4), ==, 1);
    RUN(&d, 0x12, 1, 0xb2, 0, 64, 0);
    g_assert_cmphex(d.data[5], ==, 0xe0);
    g_assert_cmphex(d.data[6], ==, 2);
    RUN(&d, 0x12, 1, 0x84, 0, 64, 0);
    assert_sense(&d.t, 5, 0x24, 0);
    teardown(&d);

    setup(&d, "size=2M", "lun=0"); /* neither serial nor discard */
    RUN(&d, 0x12, 1, 0, 0, 255, 0);
    g_assert_cmpmem(d.data, 9, "\0\0\0\x05\0\x83\xb0\xb1\xb2", 9);
    RUN(&d, 0x12, 1, 0x80, 0, 255, 0);
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x12, 1, 0x83, 0, 255, 0);
    g_assert_cmpmem(d.data + 2, 8, "\0\x06\2\0\0\2d0", 8); /* the node's name */
    RUN(&d, 0x12, 1, 0xb0, 0, 64, 0);
    g_assert_cmpuint(get_be32(d.data + 8), ==, 4194303);
    g_assert_cmpuint(get_be32(d.data + 20), ==, 0);
    RUN(&d, 0x12, 1, 0xb2, 0, 64, 0);
    g_assert_cmphex(d.data[5], ==, 0);
    teardown(&d);
}

static void test_capacity(void)
{
    DiskFx d;

    setup(&d, "size=2M", "physical_block_size=4096");
    RUN(&d, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    g_assert_cmpuint(get_be32(d.data), ==, BLOCKS - 1);
    g_assert_cmpuint(get_be32(d.data + 4), ==, 512);
    RUN(&d, 0x25, 0, 0, 0, 0, 1, 0, 0, 0, 0); /* an LBA without PMI */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x25, 0, 0, 0, 0, 1, 0, 0, 1, 0);
    assert_good(&d.t);
    RUN(&d, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
    assert_good(&d.t);
    g_assert_cmpuint(d.t.req.total, ==, 32);
    g_assert_cmpuint(get_be64(d.data), ==, BLOCKS - 1);
    g_assert_cmpuint(get_be32(d.data + 8), ==, 512);
    g_assert_cmphex(d.data[13], ==, 3);
    g_assert_cmphex(d.data[14], ==, 0);
    RUN(&d, 0x9e, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0); /* no such service action */
    assert_sense(&d.t, 5, 0x24, 0);
    teardown(&d);

    setup(&d, "size=1000K,discard=unmap,can-discard=on", "logical_block_size=4096");
    RUN(&d, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
    g_assert_cmpuint(get_be64(d.data), ==, 249);
    g_assert_cmpuint(get_be32(d.data + 8), ==, 4096);
    g_assert_cmphex(d.data[14], ==, 0x80);
    teardown(&d);
}

/* The CDBs of Linux and SeaBIOS. */
static void test_mode_sense(void)
{
    DiskFx d;

    setup(&d, "size=2M", "dpofua=on");
    RUN(&d, 0x1a, 0, 0x3f, 0, 4, 0);
    assert_good(&d.t);
    g_assert_cmpuint(d.t.req.total, ==, 4);
    g_assert_cmphex(d.data[0], ==, 4 + 8 + 12 + 24 + 32 + 20 + 12 - 1);
    g_assert_cmphex(d.data[2], ==, 0x10);
    g_assert_cmphex(d.data[3], ==, 8);
    RUN(&d, 0x1a, 0, 8, 0, 0x20, 0);
    g_assert_cmpuint(get_be32(d.data + 4), ==, BLOCKS);
    g_assert_cmpuint(get_be24(d.data + 9), ==, 512);
    g_assert_cmpmem(d.data + 12, 3, "\x08\x12\x04", 3); /* WCE */
    RUN(&d, 0x5a, 8, 4, 0, 0, 0, 0, 0, 27, 0); /* SeaBIOS */
    g_assert_cmpuint(d.t.req.total, ==, 27);
    g_assert_cmpuint(get_be16(d.data), ==, 30);
    g_assert_cmpuint(get_be16(d.data + 6), ==, 0);
    g_assert_cmpmem(d.data + 8, 2, "\x04\x16", 2);
    g_assert_cmpuint(get_be24(d.data + 10), ==, 4); /* 4096 / (16 * 63) */
    g_assert_cmpuint(d.data[13], ==, 16);
    RUN(&d, 0x1a, 8, 0x3f, 0xff, 255, 0);
    g_assert_cmphex(d.data[4], ==, 1);
    g_assert_cmphex(d.data[4 + 12], ==, 4);
    g_assert_cmphex(d.data[4 + 12 + 24], ==, 5);
    RUN(&d, 0x1a, 8, 0x48, 0, 255, 0); /* changeable: nothing */
    g_assert_cmpmem(d.data + 4, 4, "\x08\x12\0\0", 4);
    RUN(&d, 0x1a, 0, 0xc8, 0, 255, 0);
    assert_sense(&d.t, 5, 0x39, 0);
    RUN(&d, 0x1a, 0, 0x2a, 0, 255, 0);
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x1a, 0, 8, 1, 255, 0); /* a subpage */
    assert_sense(&d.t, 5, 0x24, 0);
    teardown(&d);

    setup(&d, "size=2M,ro=on", "write-cache=off");
    RUN(&d, 0x1a, 8, 8, 0, 255, 0);
    g_assert_cmphex(d.data[2], ==, 0x80); /* WP */
    g_assert_cmphex(d.data[6], ==, 0);
    teardown(&d);
}

/* ---- data ---- */

static void fill_random(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        p[i] = (uint8_t)g_test_rand_int();
    }
}

/* One CDB of any of the four lengths. */
static size_t make_rw(uint8_t cdb[16], bool write, unsigned form, uint32_t lba, uint32_t n)
{
    static const uint8_t ops[2][4] = { { 0x08, 0x28, 0xa8, 0x88 }, { 0x0a, 0x2a, 0xaa, 0x8a } };

    memset(cdb, 0, 16);
    cdb[0] = ops[write][form];
    switch (form) {
    case 0:
        put_be24(cdb + 1, lba);
        cdb[4] = (uint8_t)n;
        return 6;
    case 1:
        put_be32(cdb + 2, lba);
        put_be16(cdb + 7, (uint16_t)n);
        return 10;
    case 2:
        put_be32(cdb + 2, lba);
        put_be32(cdb + 6, n);
        return 12;
    default:
        put_be64(cdb + 2, lba);
        put_be32(cdb + 10, n);
        return 16;
    }
}

static void random_io(DiskFx *d, uint8_t *model, uint8_t *buf)
{
    unsigned form = (unsigned)g_test_rand_int_range(0, 4);
    uint32_t n = (uint32_t)g_test_rand_int_range(1, form == 0 ? 256 : 2000);
    uint32_t lba = (uint32_t)g_test_rand_int_range(0, (gint32)(BLOCKS - n));
    bool write = g_test_rand_int() & 1;
    uint8_t cdb[16];
    Task t = { .data = buf, .size = n * 512 };

    t.step = g_test_rand_bit() ? 0 : (size_t)g_test_rand_int_range(1, 70000);
    t.stay = g_test_rand_bit();
    if (write) {
        fill_random(buf, n * 512);
        memcpy(model + lba * 512, buf, n * 512);
    }
    task_run(&d->fx, &t, 0, 0, cdb, make_rw(cdb, write, form, lba, n));
    assert_good(&t);
    g_assert_cmpuint(t.req.moved, ==, n * 512);
    g_assert_cmpmem(write ? d->mem->data + lba * 512 : buf, n * 512, model + lba * 512, n * 512);
}

static void test_random_io(void)
{
    g_autofree uint8_t *model = g_malloc0(BLOCKS * 512);
    g_autofree uint8_t *buf = g_malloc(2000 * 512);
    DiskFx d;

    setup(&d, "size=2M", "lun=0");
    fill_random(model, BLOCKS * 512);
    memcpy(d.mem->data, model, BLOCKS * 512);
    for (unsigned i = 0; i < 150; i++) {
        random_io(&d, model, buf);
    }
    g_assert_cmpmem(d.mem->data, BLOCKS * 512, model, BLOCKS * 512);
    g_assert_cmpuint(d.mem->max_bytes, <=, 256 << 10);
    g_assert_cmpuint(d.mem->fua, ==, 0);
    teardown(&d);
}

/* While the adapter holds one chunk, exactly one more is fetched. */
static void test_read_ahead_bound(void)
{
    DiskFx d;
    uint8_t cdb[16];
    Task t = { .limit = 1 };

    setup(&d, "size=2M", "lun=0");
    task_submit(&d.fx, &t, 0, 0, cdb, make_rw(cdb, false, 1, 0, 4096));
    fx_settle(&d.fx);
    g_assert_cmpuint(t.req.moved, ==, 1);
    g_assert_cmpuint(d.mem->count[BLOCK_READ], ==, 2);
    t.limit = 256 << 10;
    while (task_move(&t)) {
    }
    fx_settle(&d.fx);
    g_assert_cmpuint(d.mem->count[BLOCK_READ], ==, 3);
    scsi_cancel(&t.req);
    fx_settle(&d.fx);
    g_assert_cmpuint(t.n_done, ==, 1);
    g_assert_true(t.req.cancelled);
    teardown(&d);
}

/* 256 large reads at once: bounded memory, and all of them come to their end. */
static void test_memory_bound(void)
{
    g_autofree Task *t = g_new0(Task, 256);
    DiskFx d;
    uint8_t cdb[16];
    size_t len = make_rw(cdb, false, 1, 0, 4096);
    uint64_t asked = 0;

    setup(&d, "size=2M", "lun=0");
    d.mem->hold = true;
    for (unsigned i = 0; i < 256; i++) {
        t[i].req.attr = SCSI_SIMPLE;
        task_submit(&d.fx, &t[i], 0, 0, cdb, len);
    }
    g_assert_cmpuint(d.mem->held->len, ==, 256);
    for (unsigned i = 0; i < 256; i++) {
        BlockReq *io = g_ptr_array_index(d.mem->held, i);

        asked += io->bytes;
    }
    g_assert_cmpuint(asked, <=, 32 << 20);
    d.mem->hold = false;
    mem_release(d.mem);
    fx_settle(&d.fx);
    for (unsigned i = 0; i < 256; i++) {
        g_assert_cmpuint(t[i].n_done, ==, 1);
        assert_good(&t[i]);
        g_assert_cmpuint(t[i].req.moved, ==, 2 << 20);
    }
    teardown(&d);
}

static void expect_rw(DiskFx *d, unsigned form, uint64_t lba, uint32_t n, bool good)
{
    uint8_t cdb[16];
    size_t len = make_rw(cdb, false, form, 0, n);

    if (form == 3) {
        put_be64(cdb + 2, lba);
    } else {
        put_be32(cdb + 2, (uint32_t)lba);
    }
    task_run(&d->fx, &d->t, 0, 0, cdb, len);
    if (good) {
        assert_good(&d->t);
        g_assert_cmpuint(d->t.req.moved, ==, n * 512u);
    } else {
        assert_sense(&d->t, 5, 0x21, 0);
        g_assert_cmpuint(d->t.n_ready, ==, 0);
    }
}

static void test_lba_edges(void)
{
    DiskFx d;
    unsigned reads;

    setup(&d, "size=2M", "lun=0");
    expect_rw(&d, 1, BLOCKS - 1, 1, true);
    expect_rw(&d, 3, BLOCKS - 2, 2, true);
    expect_rw(&d, 1, BLOCKS, 0, true);
    reads = d.mem->count[BLOCK_READ];
    expect_rw(&d, 1, BLOCKS + 1, 0, false);
    expect_rw(&d, 1, BLOCKS, 1, false);
    expect_rw(&d, 1, BLOCKS - 1, 2, false);
    expect_rw(&d, 2, 0xffffffff, 2, false);
    expect_rw(&d, 3, UINT64_MAX, 1, false);
    expect_rw(&d, 3, UINT64_MAX - 1, 2, false);
    expect_rw(&d, 3, UINT64_MAX / 512, 1, false);
    expect_rw(&d, 3, UINT64_C(1) << 55, 1, false);
    g_assert_cmpuint(d.mem->count[BLOCK_READ], ==, reads);
    RUN(&d, 0x08, 0, 0, 0, 0, 0); /* READ(6) of 0 is 256 blocks */
    g_assert_cmpuint(d.t.req.moved, ==, 256 * 512);
    RUN(&d, 0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0); /* RDPROTECT */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 4); /* NACA */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0); /* over the limit */
    assert_sense(&d.t, 5, 0x24, 0);
    teardown(&d);
}

static void test_write_cache(void)
{
    DiskFx d;

    setup(&d, "size=2M", "lun=0");
    RUN(&d, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    g_assert_cmpuint(d.mem->fua, ==, 0);
    RUN(&d, 0x2a, 8, 0, 0, 0, 0, 0, 0, 1, 0); /* FUA */
    g_assert_cmpuint(d.mem->fua, ==, 1);
    g_assert_cmpuint(d.mem->count[BLOCK_FLUSH], ==, 0);
    RUN(&d, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    g_assert_cmpuint(d.mem->count[BLOCK_FLUSH], ==, 1);
    RUN(&d, 0x91, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0, 0, 0, 0, 0);
    assert_sense(&d.t, 5, 0x21, 0);
    RUN(&d, 0x1b, 0, 0, 0, 0, 0); /* STOP */
    g_assert_cmpuint(d.mem->count[BLOCK_FLUSH], ==, 2);
    RUN(&d, 0x1b, 0, 0, 0, 2, 0); /* no tray */
    assert_sense(&d.t, 5, 0x24, 0);
    d.mem->fail[BLOCK_FLUSH] = -EIO;
    RUN(&d, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_sense(&d.t, 3, 0x0c, 0);
    d.mem->fail[BLOCK_FLUSH] = 0;
    teardown(&d);

    setup(&d, "size=2M", "write-cache=off");
    RUN(&d, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    g_assert_cmpuint(d.mem->fua, ==, 1);
    teardown(&d);
}

/* GOOD is not said before the last write is back. */
static void test_write_status_waits(void)
{
    DiskFx d;
    uint8_t cdb[16];

    setup(&d, "size=2M", "lun=0");
    d.mem->hold = true;
    task_submit(&d.fx, &d.t, 0, 0, cdb, make_rw(cdb, true, 1, 0, 1024));
    fx_settle(&d.fx);
    g_assert_cmpuint(d.t.req.moved, ==, 512 * 1024);
    g_assert_cmpuint(d.mem->held->len, ==, 2);
    mem_release_one(d.mem, 1);
    fx_settle(&d.fx);
    g_assert_cmpuint(d.t.n_done, ==, 0);
    mem_release_one(d.mem, 0);
    fx_settle(&d.fx);
    g_assert_cmpuint(d.t.n_done, ==, 1);
    assert_good(&d.t);
    teardown(&d);
}

static void test_verify(void)
{
    DiskFx d;

    setup(&d, "size=2M", "lun=0");
    RUN(&d, 0x2f, 0, 0, 0, 0, 0, 0, 0x10, 0, 0); /* all 4096 blocks */
    assert_good(&d.t);
    g_assert_cmpuint(d.t.n_ready, ==, 0);
    g_assert_cmpuint(d.mem->count[BLOCK_READ], ==, 8);
    d.mem->fail[BLOCK_READ] = -EIO;
    d.mem->fail_at = 100 * 512;
    RUN(&d, 0xaf, 0, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0);
    assert_sense(&d.t, 3, 0x11, 0);
    RUN(&d, 0x8f, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0); /* BYTCHK */
    assert_sense(&d.t, 5, 0x24, 0);
    teardown(&d);
}

/* ---- errors of the medium ---- */

static void test_failing_medium(void)
{
    static const struct {
        int err;
        uint8_t key, asc, ascq;
    } writes[] = {
        { -EIO, 3, 0x0c, 0 },     { -ENOSPC, 7, 0x27, 7 }, { -EROFS, 7, 0x27, 0 },
        { -ENOMEDIUM, 2, 0x3a, 0 }, { -ENOMEM, 0xb, 0, 0 },  { -EFBIG, 3, 0x0c, 0 },
    };
    DiskFx d;

    setup(&d, "size=2M", "lun=0");
    for (unsigned i = 0; i < G_N_ELEMENTS(writes); i++) {
        d.mem->fail[BLOCK_WRITE] = writes[i].err;
        RUN(&d, 0x2a, 0, 0, 0, 0, 0, 0, 0x10, 0, 0);
        assert_sense(&d.t, writes[i].key, writes[i].asc, writes[i].ascq);
    }
    d.mem->fail[BLOCK_READ] = -EIO;
    d.mem->fail_at = (256 << 10) + 5; /* in the second chunk: the first one is still good */
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 8, 0, 0);
    assert_sense(&d.t, 3, 0x11, 0);
    g_assert_cmpuint(d.t.req.moved, ==, 256 << 10);
    d.mem->fail_at = 0;
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 8, 0, 0);
    assert_sense(&d.t, 3, 0x11, 0);
    g_assert_cmpuint(d.t.n_ready, ==, 0);
    teardown(&d);

    setup(&d, "size=2M", "rerror=ignore,werror=ignore");
    d.mem->fail[BLOCK_READ] = d.mem->fail[BLOCK_WRITE] = -EIO;
    RUN(&d, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_good(&d.t);
    memset(d.data, 0xee, 512);
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_good(&d.t);
    g_assert_cmphex(d.data[0] | d.data[511], ==, 0); /* not the recycled buffer's old bytes */
    teardown(&d);
}

/* The first write fails while the adapter fills the second chunk. */
static void test_write_fails_early(void)
{
    DiskFx d;
    uint8_t cdb[16];

    setup(&d, "size=2M", "lun=0");
    d.mem->hold = true;
    d.mem->fail[BLOCK_WRITE] = -EIO;
    d.mem->fail_at = 0;
    d.t.limit = (256 << 10) + 100;
    task_submit(&d.fx, &d.t, 0, 0, cdb, make_rw(cdb, true, 1, 0, 2048));
    fx_settle(&d.fx);
    g_assert_cmpuint(d.t.req.moved, ==, d.t.limit);
    mem_release(d.mem);
    fx_settle(&d.fx);
    g_assert_cmpuint(d.t.n_done, ==, 1);
    assert_sense(&d.t, 3, 0x0c, 0);
    g_assert_null(scsi_req_window(&d.t.req, &d.t.limit));
    teardown(&d);
}

/* A write failed while another one is in flight, and the adapter goes on moving data. */
static void test_write_fails_while_filling(void)
{
    DiskFx d;
    uint8_t cdb[16];

    setup(&d, "size=2M", "lun=0");
    d.mem->hold = true;
    d.mem->fail[BLOCK_WRITE] = -EIO;
    d.mem->fail_at = 0;
    task_submit(&d.fx, &d.t, 0, 0, cdb, make_rw(cdb, true, 1, 0, 2048));
    fx_settle(&d.fx);
    g_assert_cmpuint(d.mem->held->len, ==, 2);
    mem_release_one(d.mem, 0); /* fails; the second one is still out */
    fx_settle(&d.fx);
    g_assert_cmpuint(d.t.n_done, ==, 0);
    mem_release(d.mem);
    fx_settle(&d.fx);
    g_assert_cmpuint(d.t.n_done, ==, 1);
    assert_sense(&d.t, 3, 0x0c, 0);
    teardown(&d);
}

static void test_read_only(void)
{
    static const uint8_t writes[][16] = {
        { 0x0a, 0, 0, 0, 1 },
        { 0x2a, 0, 0, 0, 0, 0, 0, 0, 1 },
        { 0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
        { 0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
        { 0x41, 0, 0, 0, 0, 0, 0, 0, 1 },
        { 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
    };
    DiskFx d;

    setup(&d, "size=2M,ro=on", "lun=0");
    for (unsigned i = 0; i < G_N_ELEMENTS(writes); i++) {
        task_run(&d.fx, &d.t, 0, 0, writes[i], 16);
        assert_sense(&d.t, 7, 0x27, 0);
    }
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_good(&d.t);
    RUN(&d, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    teardown(&d);
}

static void test_empty_image(void)
{
    DiskFx d;

    setup(&d, "size=0", "lun=0");
    RUN(&d, 0, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    RUN(&d, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_sense(&d.t, 2, 4, 3);
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_sense(&d.t, 5, 0x21, 0);
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    RUN(&d, 0x1a, 0, 0x3f, 0, 255, 0);
    assert_good(&d.t);
    RUN(&d, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    teardown(&d);
}

/* ---- UNMAP, WRITE SAME ---- */

static void test_unmap(void)
{
    DiskFx d;

    setup(&d, "size=2M,discard=unmap,can-discard=on", "max_unmap_size=65536");
    memset(d.mem->data, 0x55, 2 << 20);
    memset(d.data, 0, 64);
    put_be16(d.data, 6 + 32);
    put_be16(d.data + 2, 32);
    put_be64(d.data + 8, 10);
    put_be32(d.data + 16, 2);
    put_be64(d.data + 24, BLOCKS - 1);
    put_be32(d.data + 32, 1);
    RUN(&d, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0);
    assert_good(&d.t);
    g_assert_cmpuint(d.mem->count[BLOCK_DISCARD], ==, 2);
    g_assert_cmphex(d.mem->data[10 * 512], ==, 0);
    g_assert_cmphex(d.mem->data[12 * 512], ==, 0x55);
    g_assert_cmphex(d.mem->data[(2 << 20) - 1], ==, 0);

    for (uint8_t len = 0; len < 40; len++) { /* every truncation point */
        RUN(&d, 0x42, 0, 0, 0, 0, 0, 0, 0, len, 0);
        if (len > 0 && len < 8) {
            assert_sense(&d.t, 5, 0x1a, 0);
        } else {
            assert_good(&d.t);
        }
    }
    put_be32(d.data + 32, 2); /* past the end: nothing is touched */
    d.mem->count[BLOCK_DISCARD] = 0;
    RUN(&d, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0);
    assert_sense(&d.t, 5, 0x21, 0);
    g_assert_cmpuint(d.mem->count[BLOCK_DISCARD], ==, 0);
    put_be64(d.data + 24, 0);
    put_be32(d.data + 32, 129); /* over max_unmap_size */
    RUN(&d, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0);
    assert_sense(&d.t, 5, 0x26, 0);
    RUN(&d, 0x42, 1, 0, 0, 0, 0, 0, 0, 40, 0); /* ANCHOR */
    assert_sense(&d.t, 5, 0x24, 0);
    teardown(&d);

    setup(&d, "size=2M", "lun=0");
    RUN(&d, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0);
    assert_sense(&d.t, 5, 0x20, 0);
    teardown(&d);
}

static void test_write_same(void)
{
    DiskFx d;

    setup(&d, "size=8M,discard=unmap,can-discard=on", "logical_block_size=4096");
    memset(d.mem->data, 0x55, 8 << 20);
    memset(d.data, 0, 4096);
    RUN(&d, 0x41, 8, 0, 0, 0, 1, 0, 0, 2, 0); /* zeros, UNMAP */
    assert_good(&d.t);
    g_assert_cmpuint(d.mem->count[BLOCK_WRITE_ZEROES], ==, 1);
    g_assert_cmpuint(d.mem->unmapped, ==, 1);
    g_assert_cmphex(d.mem->data[4095], ==, 0x55);
    g_assert_cmphex(d.mem->data[4096], ==, 0);
    g_assert_cmphex(d.mem->data[3 * 4096], ==, 0x55);
    RUN(&d, 0x93, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0); /* NDOB */
    assert_good(&d.t);
    g_assert_cmpuint(d.t.n_ready, ==, 0);
    g_assert_cmpuint(d.mem->unmapped, ==, 1);
    for (unsigned i = 0; i < 4096; i++) {
        d.data[i] = (uint8_t)(i * 7);
    }
    RUN(&d, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0x01, 0x2c, 0, 0); /* 300 blocks of a pattern */
    assert_good(&d.t);
    g_assert_cmpuint(d.mem->max_bytes, <=, 256 << 10);
    for (unsigned i = 0; i < 300; i++) {
        g_assert_cmpmem(d.mem->data + (8 + i) * 4096, 4096, d.data, 4096);
    }
    g_assert_cmphex(d.mem->data[308 * 4096 + 1], ==, 0x55);
    RUN(&d, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0); /* WSNZ */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x93, 0, 0, 0, 0, 0, 0, 0, 7, 255, 0, 0, 0, 2, 0, 0);
    assert_sense(&d.t, 5, 0x21, 0);
    teardown(&d);
}

/* ---- sweeps ---- */

/* All opcodes with all CDB lengths on every kind of unit: always exactly one done(), sense data
 * that says why, and no data beyond what was asked for. */
static void sweep(const char *node, const char *device)
{
    DiskFx d = { .t = { .data = d.data, .size = sizeof(d.data) } };

    fx_init(&d.fx, "hba,id=h");
    if (node) {
        d.mem = fx_node(&d.fx, node);
    }
    fx_add(&d.fx, device);
    fx_attach(&d.fx);
    fx_clear_ua(&d.fx, 0, 0);
    if (d.mem) {
        d.mem->fail[BLOCK_READ] = g_test_rand_bit() ? -EIO : 0;
    }
    for (unsigned op = 0; op < 256; op++) {
        for (unsigned len = 0; len <= 16; len++) {
            uint8_t cdb[16];
            unsigned need = scsi_cdb_len((uint8_t)op);

            fill_random(cdb, sizeof(cdb));
            cdb[0] = (uint8_t)op;
            cdb[15] = cdb[11] = cdb[9] = 0; /* no NACA */
            d.t.limit = 1 << 17;
            task_submit(&d.fx, &d.t, 0, (unsigned)g_test_rand_int_range(0, 2), cdb, len);
            fx_settle(&d.fx);
            if (!d.t.n_done) { /* more than the limit: give up as an initiator would */
                scsi_cancel(&d.t.req);
                fx_settle(&d.fx);
            }
            g_assert_cmpuint(d.t.n_done, ==, 1);
            if (len < need && len > 0 && !d.t.req.cancelled) {
                g_assert_cmphex(d.t.req.status, ==, SCSI_CHECK_CONDITION);
                g_assert_cmpuint(d.t.req.sense.key, !=, 0);
            }
        }
    }
    fx_fini(&d.fx);
}

static void test_sweep(void)
{
    for (unsigned i = 0; i < 3; i++) {
        sweep("mem,node-name=d,size=2M", "scsi-hd,drive=d");
        sweep("mem,node-name=d,size=2M,discard=unmap,can-discard=on",
              "scsi-hd,drive=d,logical_block_size=4096");
        sweep("mem,node-name=d,size=2M,ro=on", "scsi-hd,drive=d,removable=on");
        sweep("mem,node-name=d,size=0", "scsi-hd,drive=d");
        sweep("mem,node-name=d,size=2M", "scsi-cd,drive=d");
        sweep("mem,node-name=d,size=0", "scsi-cd,drive=d");
        sweep(NULL, "scsi-cd");
    }
}

/* Where each data-in command has its allocation length. */
static void test_alloc_sweep(void)
{
    static const struct {
        uint8_t cdb[12];
        uint8_t at, width, len;
    } cmds[] = {
        { { 0x12 }, 3, 2, 6 },       { { 0x12, 1, 0 }, 3, 2, 6 },  { { 0x12, 1, 0x83 }, 3, 2, 6 },
        { { 0x12, 1, 0xb0 }, 3, 2, 6 }, { { 0x03 }, 4, 1, 6 },     { { 0x1a, 0, 0x3f }, 4, 1, 6 },
        { { 0x5a, 0, 0x3f }, 7, 2, 10 }, { { 0xa0 }, 6, 4, 12 },   { { 0xa3, 0x0c }, 6, 4, 12 },
        { { 0xa3, 0x0c, 0x80 }, 6, 4, 12 },
    };
    static const uint32_t sizes[] = { 0, 1, 2, 3, 4, 5, 7, 8, 16, 17, 35, 36, 37, 64, 252, 255,
                                      256, 4095, 4096, 4097, 65535, 65536, 0x7fffffff, 0xffffffff };
    DiskFx d;

    setup(&d, "size=2M", "serial=x");
    for (unsigned i = 0; i < G_N_ELEMENTS(cmds); i++) {
        for (unsigned j = 0; j < G_N_ELEMENTS(sizes); j++) {
            uint8_t cdb[12], be[4];

            if (cmds[i].width < 4 && sizes[j] >> (8 * cmds[i].width)) {
                continue;
            }
            memcpy(cdb, cmds[i].cdb, sizeof(cdb));
            put_be32(be, sizes[j]);
            memcpy(cdb + cmds[i].at, be + 4 - cmds[i].width, cmds[i].width);
            task_run(&d.fx, &d.t, 0, 0, cdb, cmds[i].len);
            assert_good(&d.t);
            g_assert_cmpuint(d.t.req.moved, ==, d.t.req.total);
            g_assert_cmpuint(d.t.req.total, <=, sizes[j]);
            g_assert_cmpuint(d.t.req.total, >=, MIN(sizes[j], 4));
            g_assert_cmpuint(d.t.req.total, <=, 4096);
        }
    }
    teardown(&d);
}

/* REPORT SUPPORTED OPERATION CODES agrees with the decoder on every opcode. */
static void test_report_opcodes(void)
{
    DiskFx d;
    uint8_t known[256] = { 0 };

    setup(&d, "size=2M", "lun=0");
    RUN(&d, 0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0);
    assert_good(&d.t);
    for (unsigned i = 4; i < 4 + get_be32(d.data); i += 8) {
        known[d.data[i]] = d.data[i + 7];
        g_assert_cmpuint(d.data[i + 7], ==, scsi_cdb_len(d.data[i]));
    }
    g_assert_cmpuint(known[0x28], ==, 10);
    g_assert_cmpuint(known[0x42], ==, 0); /* no discard */
    for (unsigned op = 0; op < 256; op++) {
        uint8_t cdb[16] = { (uint8_t)op };

        cdb[1] = op == 0x9e ? 0x10 : op == 0xa3 ? 0x0c : 0;
        task_submit(&d.fx, &d.t, 0, 0, cdb, 16);
        fx_settle(&d.fx);
        g_assert_cmpuint(d.t.n_done, ==, 1);
        g_assert_cmpuint(known[op] == 0, ==, d.t.req.sense.asc == 0x20);
    }
    RUN(&d, 0xa3, 0x0c, 1, 0x28, 0, 0, 0, 0, 0, 64, 0, 0);
    g_assert_cmpmem(d.data, 14, "\0\x03\0\x0a\x28\xf8\xff\xff\xff\xff\0\xff\xff\x04", 14);
    RUN(&d, 0xa3, 0x0c, 1, 0x77, 0, 0, 0, 0, 0, 64, 0, 0);
    assert_good(&d.t);
    g_assert_cmphex(d.data[1], ==, 1);
    RUN(&d, 0xa3, 0x0c, 1, 0x9e, 0, 0, 0, 0, 0, 64, 0, 0); /* has service actions */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0xa3, 0x0c, 2, 0x28, 0, 0, 0, 0, 0, 64, 0, 0); /* has none */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0xa3, 0x0c, 2, 0x9e, 0, 0x10, 0, 0, 0, 64, 0, 0);
    g_assert_cmphex(d.data[1], ==, 3);
    g_assert_cmphex(d.data[5], ==, 0x10 | 0x1f);
    RUN(&d, 0xa3, 0x0c, 3, 0x9e, 1, 0x10, 0, 0, 0, 64, 0, 0);
    g_assert_cmphex(d.data[1], ==, 1);
    RUN(&d, 0xa3, 0x0c, 0x82, 0x9e, 0, 0x10, 0, 0, 0, 64, 0, 0);
    g_assert_cmphex(d.data[1], ==, 0x83);
    teardown(&d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-disk/inquiry", test_inquiry);
    g_test_add_func("/scsi-disk/vpd", test_vpd);
    g_test_add_func("/scsi-disk/capacity", test_capacity);
    g_test_add_func("/scsi-disk/mode-sense", test_mode_sense);
    g_test_add_func("/scsi-disk/random-io", test_random_io);
    g_test_add_func("/scsi-disk/read-ahead-bound", test_read_ahead_bound);
    g_test_add_func("/scsi-disk/memory-bound", test_memory_bound);
    g_test_add_func("/scsi-disk/lba-edges", test_lba_edges);
    g_test_add_func("/scsi-disk/write-cache", test_write_cache);
    g_test_add_func("/scsi-disk/write-status-waits", test_write_status_waits);
    g_test_add_func("/scsi-disk/verify", test_verify);
    g_test_add_func("/scsi-disk/failing-medium", test_failing_medium);
    g_test_add_func("/scsi-disk/write-fails-early", test_write_fails_early);
    g_test_add_func("/scsi-disk/write-fails-while-filling", test_write_fails_while_filling);
    g_test_add_func("/scsi-disk/read-only", test_read_only);
    g_test_add_func("/scsi-disk/empty-image", test_empty_image);
    g_test_add_func("/scsi-disk/unmap", test_unmap);
    g_test_add_func("/scsi-disk/write-same", test_write_same);
    g_test_add_func("/scsi-disk/cdb-sweep", test_sweep);
    g_test_add_func("/scsi-disk/alloc-sweep", test_alloc_sweep);
    g_test_add_func("/scsi-disk/report-opcodes", test_report_opcodes);
    return g_test_run();
}
