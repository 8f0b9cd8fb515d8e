/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsi-hd's data: that it gets where it belongs in pieces of any size, errors of the medium,
 * write caching, UNMAP and WRITE SAME.
 */
#include "scsi-fixture.h"

#define BLOCKS 4096u

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

    disk_setup(&d, "size=2M", "lun=0");
    fill_random(model, BLOCKS * 512);
    memcpy(d.mem->data, model, BLOCKS * 512);
    for (unsigned i = 0; i < 150; i++) {
        random_io(&d, model, buf);
    }
    g_assert_cmpmem(d.mem->data, BLOCKS * 512, model, BLOCKS * 512);
    g_assert_cmpuint(d.mem->max_bytes, <=, 256 << 10);
    g_assert_cmpuint(d.mem->fua, ==, 0);
    disk_teardown(&d);
}

/* While the adapter holds one chunk, exactly one more is fetched. */
static void test_read_ahead_bound(void)
{
    DiskFx d;
    uint8_t cdb[16];
    Task t = { .limit = 1 };

    disk_setup(&d, "size=2M", "lun=0");
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
    disk_teardown(&d);
}

/* 256 large reads at once: bounded memory, and all of them come to their end. */
static void test_memory_bound(void)
{
    g_autofree Task *t = g_new0(Task, 256);
    DiskFx d;
    uint8_t cdb[16];
    size_t len = make_rw(cdb, false, 1, 0, 4096);
    uint64_t asked = 0;

    disk_setup(&d, "size=2M", "lun=0");
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
    disk_teardown(&d);
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

    disk_setup(&d, "size=2M", "lun=0");
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
    disk_teardown(&d);
}

static void test_write_cache(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M", "lun=0");
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
    disk_teardown(&d);

    disk_setup(&d, "size=2M", "write-cache=off");
    RUN(&d, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    g_assert_cmpuint(d.mem->fua, ==, 1);
    disk_teardown(&d);
}

/* GOOD is not said before the last write is back. */
static void test_write_status_waits(void)
{
    DiskFx d;
    uint8_t cdb[16];

    disk_setup(&d, "size=2M", "lun=0");
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
    disk_teardown(&d);
}

static void test_verify(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M", "lun=0");
    RUN(&d, 0x2f, 0, 0, 0, 0, 0, 0, 0x10, 0, 0); /* all 4096 blocks */
    assert_good(&d.t);
    g_assert_cmpuint(d.t.n_ready, ==, 0);
    g_assert_cmpuint(d.mem->count[BLOCK_READ], ==, 8);
    d.mem->fail[BLOCK_READ] = -EIO;
    d.mem->fail_at = 100 * 512;
    RUN(&d, 0xaf, 0, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0);
    assert_sense(&d.t, 3, 0x11, 0);
    RUN(&d, 0x8f, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0); /* BYTCHK 2 */
    assert_sense(&d.t, 5, 0x24, 0);
    disk_teardown(&d);
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

    disk_setup(&d, "size=2M", "lun=0");
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
    disk_teardown(&d);

    disk_setup(&d, "size=2M", "rerror=ignore,werror=ignore");
    d.mem->fail[BLOCK_READ] = d.mem->fail[BLOCK_WRITE] = -EIO;
    RUN(&d, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_good(&d.t);
    memset(d.data, 0xee, 512);
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_good(&d.t);
    g_assert_cmphex(d.data[0] | d.data[511], ==, 0); /* not the recycled buffer's old bytes */
    disk_teardown(&d);
}

/* The first write fails while the adapter fills the second chunk. */
static void test_write_fails_early(void)
{
    DiskFx d;
    uint8_t cdb[16];

    disk_setup(&d, "size=2M", "lun=0");
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
    disk_teardown(&d);
}

/* The status waits for a second write that is in flight when the first one fails. */
static void test_write_fails_beside_another(void)
{
    DiskFx d;
    uint8_t cdb[16];

    disk_setup(&d, "size=2M", "lun=0");
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
    disk_teardown(&d);
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

    disk_setup(&d, "size=2M,ro=on", "lun=0");
    for (unsigned i = 0; i < G_N_ELEMENTS(writes); i++) {
        task_run(&d.fx, &d.t, 0, 0, writes[i], 16);
        assert_sense(&d.t, 7, 0x27, 0);
    }
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_good(&d.t);
    RUN(&d, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    disk_teardown(&d);
}

static void test_empty_image(void)
{
    DiskFx d;

    disk_setup(&d, "size=0", "lun=0");
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
    disk_teardown(&d);
}

/* ---- UNMAP, WRITE SAME ---- */

static void test_unmap(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M,discard=unmap,can-discard=on", "max_unmap_size=65536");
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
    disk_teardown(&d);

    disk_setup(&d, "size=2M", "lun=0");
    RUN(&d, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0);
    assert_sense(&d.t, 5, 0x20, 0);
    disk_teardown(&d);
}

static void test_write_same(void)
{
    DiskFx d;

    disk_setup(&d, "size=8M,discard=unmap,can-discard=on", "logical_block_size=4096");
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
    disk_teardown(&d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-io/random-io", test_random_io);
    g_test_add_func("/scsi-io/read-ahead-bound", test_read_ahead_bound);
    g_test_add_func("/scsi-io/memory-bound", test_memory_bound);
    g_test_add_func("/scsi-io/lba-edges", test_lba_edges);
    g_test_add_func("/scsi-io/write-cache", test_write_cache);
    g_test_add_func("/scsi-io/write-status-waits", test_write_status_waits);
    g_test_add_func("/scsi-io/verify", test_verify);
    g_test_add_func("/scsi-io/failing-medium", test_failing_medium);
    g_test_add_func("/scsi-io/write-fails-early", test_write_fails_early);
    g_test_add_func("/scsi-io/write-fails-beside-another", test_write_fails_beside_another);
    g_test_add_func("/scsi-io/read-only", test_read_only);
    g_test_add_func("/scsi-io/empty-image", test_empty_image);
    g_test_add_func("/scsi-io/unmap", test_unmap);
    g_test_add_func("/scsi-io/write-same", test_write_same);
    return g_test_run();
}
