/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VERIFY, WRITE AND VERIFY and COMPARE AND WRITE: what is compared with what, and what differs. */
#include "scsi-fixture.h"

#define BLOCKS 4096u
#define BYTES (BLOCKS * 512u)

typedef struct VerifyFx {
    DiskFx d;
    uint8_t *buf; /* as large as the disk */
} VerifyFx;

static void setup(VerifyFx *v)
{
    disk_setup(&v->d, "size=2M", "lun=0");
    v->buf = g_malloc(BYTES);
    fill_random(v->d.mem->data, BYTES);
    memcpy(v->buf, v->d.mem->data, BYTES);
    v->d.t.data = v->buf;
    v->d.t.size = BYTES;
}

static void teardown(VerifyFx *v)
{
    disk_teardown(&v->d);
    g_free(v->buf);
}

/* op in its 10-, 12- and 16-byte form. */
static void run_form(VerifyFx *v, unsigned form, uint8_t op, uint8_t bits, uint32_t lba, uint16_t n)
{
    static const uint8_t group[] = { 0x20, 0xa0, 0x80 };
    uint8_t cdb[16] = { (uint8_t)(group[form] | (op & 0x1f)), bits };

    if (form == 0) {
        put_be32(cdb + 2, lba);
        put_be16(cdb + 7, n);
    } else if (form == 1) {
        put_be32(cdb + 2, lba);
        put_be32(cdb + 6, n);
    } else {
        put_be64(cdb + 2, lba);
        put_be32(cdb + 10, n);
    }
    task_run(&v->d.fx, &v->d.t, 0, 0, cdb, scsi_cdb_len(cdb[0]));
}

static void test_verify_bytes(void)
{
    VerifyFx v;

    setup(&v);
    for (unsigned form = 0; form < 3; form++) {
        v.d.t.step = form == 1 ? 777 : 0;
        run_form(&v, form, 0x2f, 2, 0, BLOCKS); /* more than a chunk */
        assert_good(&v.d.t);
        g_assert_cmpuint(v.d.t.req.moved, ==, BYTES);
        for (unsigned k = 0; k < 3; k++) {
            uint32_t at = k == 0 ? 0 : k == 1 ? 300000 : BYTES - 1;

            v.d.mem->data[at] ^= 1;
            run_form(&v, form, 0x2f, 2, 0, BLOCKS);
            assert_sense(&v.d.t, 0xe, 0x1d, 0);
            v.d.mem->data[at] ^= 1;
        }
        run_form(&v, form, 0x2f, 2, BLOCKS - 1, 2);
        assert_sense(&v.d.t, 5, 0x21, 0);
        run_form(&v, form, 0x2f, 2, BLOCKS, 0);
        assert_good(&v.d.t);
        g_assert_cmpuint(v.d.t.req.moved, ==, 0);
        run_form(&v, form, 0x2f, 4, 0, 0); /* BYTCHK 2 is no value, whatever the length */
        assert_sense(&v.d.t, 5, 0x24, 0);
        run_form(&v, form, 0x2f, 0x20, 0, 1); /* VRPROTECT */
        assert_sense(&v.d.t, 5, 0x24, 0);
    }
    g_assert_cmpuint(v.d.mem->count[BLOCK_WRITE], ==, 0);
    v.d.mem->fail[BLOCK_READ] = -EIO;
    v.d.mem->fail_at = 1 << 20;
    run_form(&v, 0, 0x2f, 2, 0, BLOCKS);
    assert_sense(&v.d.t, 3, 0x11, 0);
    teardown(&v);
}

static void test_verify_same_block(void)
{
    VerifyFx v;

    setup(&v);
    for (unsigned i = 0; i < 1000; i++) {
        memcpy(v.d.mem->data + (5 + i) * 512, v.buf, 512);
    }
    for (unsigned form = 0; form < 3; form++) {
        run_form(&v, form, 0x2f, 6, 5, 1000);
        assert_good(&v.d.t);
        g_assert_cmpuint(v.d.t.req.moved, ==, 512);
        run_form(&v, form, 0x2f, 6, 5, 1001);
        assert_sense(&v.d.t, 0xe, 0x1d, 0);
        run_form(&v, form, 0x2f, 6, 4, 1);
        assert_sense(&v.d.t, 0xe, 0x1d, 0);
        run_form(&v, form, 0x2f, 6, 0, 0);
        assert_good(&v.d.t);
        g_assert_cmpuint(v.d.t.req.moved, ==, 0);
    }
    teardown(&v);
}

static void test_write_and_verify(void)
{
    VerifyFx v;

    setup(&v);
    for (unsigned form = 0; form < 3; form++) {
        for (unsigned check = 0; check < 2; check++) {
            unsigned fua = v.d.mem->fua;

            fill_random(v.buf, 600 * 512);
            run_form(&v, form, 0x2e, (uint8_t)(check << 1), 10, 600);
            assert_good(&v.d.t);
            g_assert_cmpmem(v.d.mem->data + 5120, 600 * 512, v.buf, 600 * 512);
            g_assert_cmpuint(v.d.mem->fua, ==, fua + 2);
        }
        run_form(&v, form, 0x2e, 6, 10, 1);
        assert_sense(&v.d.t, 5, 0x24, 0);
        run_form(&v, form, 0x2e, 0, BLOCKS, 1);
        assert_sense(&v.d.t, 5, 0x21, 0);
    }
    v.d.mem->fail[BLOCK_READ] = -EIO;
    run_form(&v, 0, 0x2e, 0, 10, 1);
    assert_sense(&v.d.t, 3, 0x11, 0);
    v.d.mem->fail[BLOCK_WRITE] = -ENOSPC;
    run_form(&v, 0, 0x2e, 2, 10, 1);
    assert_sense(&v.d.t, 7, 0x27, 7);
    teardown(&v);
}

/* A medium that does not keep what is written. */
static void test_write_miscompare(void)
{
    VerifyFx v;
    uint8_t cdb[10] = { 0x2e, 2, [8] = 4 };

    setup(&v);
    v.d.mem->hold = true;
    task_submit(&v.d.fx, &v.d.t, 0, 0, cdb, sizeof(cdb));
    fx_settle(&v.d.fx);
    mem_release_one(v.d.mem, 0);
    v.d.mem->data[2047] ^= 0x80;
    fx_settle(&v.d.fx);
    mem_release_one(v.d.mem, 0);
    fx_settle(&v.d.fx);
    g_assert_cmpuint(v.d.t.n_done, ==, 1);
    assert_sense(&v.d.t, 0xe, 0x1d, 0);
    v.d.mem->hold = false;
    teardown(&v);
}

static void caw(VerifyFx *v, uint8_t bits, uint64_t lba, uint8_t n)
{
    uint8_t cdb[16] = { 0x89, bits, [13] = n };

    put_be64(cdb + 2, lba);
    task_run(&v->d.fx, &v->d.t, 0, 0, cdb, sizeof(cdb));
}

static void test_compare_and_write(void)
{
    VerifyFx v;
    uint8_t vpd[64], sense[20];
    Task t = { .data = vpd, .size = sizeof(vpd) };

    setup(&v);
    task_run(&v.d.fx, &t, 0, 0, CDB(0x12, 1, 0xb0, 0, 64, 0));
    g_assert_cmpuint(vpd[5], ==, 255);
    memcpy(v.buf, v.d.mem->data + 100 * 512, 255 * 512);
    fill_random(v.buf + 255 * 512, 255 * 512);
    caw(&v, 0, 100, 255);
    assert_good(&v.d.t);
    g_assert_cmpuint(v.d.t.req.moved, ==, 2 * 255 * 512);
    g_assert_cmpmem(v.d.mem->data + 100 * 512, 255 * 512, v.buf + 255 * 512, 255 * 512);
    g_assert_cmpuint(v.d.mem->fua, ==, 0);

    v.d.mem->count[BLOCK_WRITE] = 0;
    memcpy(v.buf, v.d.mem->data + 7 * 512, 2 * 512);
    v.buf[777] ^= 4;
    v.buf[800] ^= 4;
    caw(&v, 8, 7, 2);
    assert_sense(&v.d.t, 0xe, 0x1d, 0);
    g_assert_cmpuint(v.d.mem->count[BLOCK_WRITE], ==, 0);
    t = (Task){ .data = sense, .size = sizeof(sense) };
    task_run(&v.d.fx, &t, 0, 0, CDB(0x03, 0, 0, 0, 18, 0));
    g_assert_cmphex(sense[0], ==, 0xf0);
    g_assert_cmphex(sense[2], ==, 0xe);
    g_assert_cmpuint(get_be32(sense + 3), ==, 777);
    caw(&v, 8, 7, 2);
    task_run(&v.d.fx, &t, 0, 0, CDB(0x03, 1, 0, 0, 20, 0)); /* descriptors */
    g_assert_cmpmem(sense, 12, "\x72\x0e\x1d\0\0\0\0\x0c\0\x0a\x80\0", 12);
    g_assert_cmpuint(get_be64(sense + 12), ==, 777);
    task_run(&v.d.fx, &t, 0, 0, CDB(0x03, 0, 0, 0, 18, 0)); /* once */
    g_assert_cmphex(sense[0], ==, 0x70);

    v.buf[777] ^= 4;
    v.buf[800] ^= 4;
    caw(&v, 8, 7, 2);
    assert_good(&v.d.t);
    g_assert_cmpuint(v.d.mem->fua, ==, 1);
    caw(&v, 0, BLOCKS, 0);
    assert_good(&v.d.t);
    caw(&v, 0, BLOCKS - 1, 2);
    assert_sense(&v.d.t, 5, 0x21, 0);
    caw(&v, 0, UINT64_MAX, 2);
    assert_sense(&v.d.t, 5, 0x21, 0);
    caw(&v, 0x20, 0, 1);
    assert_sense(&v.d.t, 5, 0x24, 0);
    v.d.mem->fail[BLOCK_READ] = -EIO;
    caw(&v, 0, 7, 2);
    assert_sense(&v.d.t, 3, 0x11, 0);
    teardown(&v);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-verify/bytes", test_verify_bytes);
    g_test_add_func("/scsi-verify/same-block", test_verify_same_block);
    g_test_add_func("/scsi-verify/write-and-verify", test_write_and_verify);
    g_test_add_func("/scsi-verify/write-miscompare", test_write_miscompare);
    g_test_add_func("/scsi-verify/compare-and-write", test_compare_and_write);
    return g_test_run();
}
