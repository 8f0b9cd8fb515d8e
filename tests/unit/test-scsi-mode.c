/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MODE SELECT: what it changes, and every way in which a parameter list can be wrong. */
#include "scsi-fixture.h"

#define BLOCKS 4096u
#define PAGE_LEN 20 /* caching */

static void setup(DiskFx *d, const char *device)
{
    disk_setup(d, "size=2M", device);
}

static void select6(DiskFx *d, uint8_t len)
{
    RUN(d, 0x15, 0x10, 0, 0, len, 0);
}

/* The caching page as MODE SENSE gives it, behind a header of MODE SELECT(6). */
static size_t caching_list(DiskFx *d, bool descriptor)
{
    RUN(d, 0x1a, descriptor ? 0 : 8, 8, 0, 255, 0);
    assert_good(&d->t);
    d->data[0] = d->data[2] = 0;
    return d->data[3] + 4u + PAGE_LEN;
}

static uint8_t sense_wce(DiskFx *d, uint8_t pc)
{
    RUN(d, 0x1a, 8, (uint8_t)(pc << 6 | 8), 0, 255, 0);
    assert_good(&d->t);
    return d->data[6] & 4;
}

static unsigned fua_of_a_write(DiskFx *d)
{
    unsigned before = d->mem->fua;

    RUN(d, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_good(&d->t);
    return d->mem->fua - before;
}

static void test_wce(void)
{
    DiskFx d;
    size_t len;

    setup(&d, "lun=0");
    len = caching_list(&d, true);
    g_assert_cmpuint(len, ==, 4 + 8 + PAGE_LEN);
    select6(&d, (uint8_t)len); /* nothing changes */
    assert_good(&d.t);
    g_assert_cmpuint(d.mem->count[BLOCK_FLUSH], ==, 0);
    d.data[4 + 8 + 2] = 0;
    select6(&d, (uint8_t)len);
    assert_good(&d.t);
    g_assert_cmpuint(d.mem->count[BLOCK_FLUSH], ==, 1); /* what was in the cache */
    g_assert_cmpuint(fua_of_a_write(&d), ==, 1);
    g_assert_cmphex(sense_wce(&d, 0), ==, 0);
    g_assert_cmphex(sense_wce(&d, 1), ==, 4);
    g_assert_cmphex(sense_wce(&d, 2), ==, 4);

    len = caching_list(&d, false); /* and on again, by MODE SELECT(10), with PS set */
    memmove(d.data + 8, d.data + 4, PAGE_LEN);
    memset(d.data, 0, 8);
    d.data[8] |= 0x80;
    d.data[10] = 4;
    RUN(&d, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 8 + PAGE_LEN, 0);
    assert_good(&d.t);
    g_assert_cmpuint(d.mem->count[BLOCK_FLUSH], ==, 1);
    g_assert_cmpuint(fua_of_a_write(&d), ==, 0);

    len = caching_list(&d, false);
    d.data[4 + 2] = 0;
    select6(&d, (uint8_t)len);
    scsi_reset_bus(d.fx.bus, 2); /* nothing is saved */
    fx_settle(&d.fx);
    fx_settle(&d.fx);
    RUN(&d, 0, 0, 0, 0, 0, 0);
    g_assert_cmphex(sense_wce(&d, 0), ==, 4);

    len = caching_list(&d, false);
    d.data[4 + 2] = 0;
    d.mem->fail[BLOCK_FLUSH] = -EIO;
    select6(&d, (uint8_t)len);
    assert_sense(&d.t, 3, 0x0c, 0);
    d.mem->fail[BLOCK_FLUSH] = 0;
    disk_teardown(&d);

    setup(&d, "write-cache=off");
    g_assert_cmphex(sense_wce(&d, 2), ==, 0);
    disk_teardown(&d);
}

static void test_refused(void)
{
    DiskFx d;
    size_t len;

    setup(&d, "lun=0");
    RUN(&d, 0x15, 0x11, 0, 0, 24, 0); /* SP: nothing can be saved */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x15, 0, 0, 0, 24, 0); /* no PF */
    assert_sense(&d.t, 5, 0x24, 0);
    select6(&d, 0);
    assert_good(&d.t);
    RUN(&d, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    memset(d.data, 0, 64);
    select6(&d, 4); /* a header alone */
    assert_good(&d.t);
    for (unsigned i = 0; i < 256; i++) { /* lengths of descriptors that there are not */
        d.data[3] = (uint8_t)i;
        select6(&d, 4 + 8);
        if (i == 0) { /* bytes 4-11 are a page 00 then */
            assert_sense(&d.t, 5, 0x26, 0);
        } else if (i != 8) {
            assert_sense(&d.t, 5, 0x26, 0);
        }
    }
    memset(d.data, 0, 64);
    d.data[4] = 1; /* LONGLBA */
    RUN(&d, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 8, 0);
    assert_sense(&d.t, 5, 0x26, 0);

    for (unsigned i = 3; i < PAGE_LEN; i++) { /* each bit that can't be changed */
        for (unsigned bit = 0; bit < 8; bit++) {
            len = caching_list(&d, false);
            d.data[4 + i] ^= (uint8_t)(1 << bit);
            select6(&d, (uint8_t)len);
            assert_sense(&d.t, 5, 0x26, 0);
        }
    }
    len = caching_list(&d, false); /* what precedes a wrong page is not taken either */
    memcpy(d.data + len, d.data + 4, PAGE_LEN);
    d.data[4 + 2] = 0;
    d.data[len + 3] = 1;
    select6(&d, (uint8_t)(len + PAGE_LEN));
    assert_sense(&d.t, 5, 0x26, 0);
    g_assert_cmphex(sense_wce(&d, 0), ==, 4);
    disk_teardown(&d);
}

/* CVE-2021-3930: page 3F, "all pages", and every other code with every length. */
static void test_cve_2021_3930(void)
{
    static const char *const devices[] = { "lun=0", "lun=0,logical_block_size=4096" };
    DiskFx d;

    for (unsigned k = 0; k < G_N_ELEMENTS(devices); k++) {
        setup(&d, devices[k]);
        for (unsigned code = 0; code < 256; code++) {
            for (unsigned len = 0; len < 256; len++) {
                memset(d.data, 0, 260);
                d.data[4] = (uint8_t)code;
                d.data[5] = (uint8_t)len;
                select6(&d, (uint8_t)MIN(255, 6 + len));
                if ((code & 0x3f) == 0x3f || (code & 0x40)) {
                    assert_sense(&d.t, 5, 0x26, 0);
                } else if (d.t.req.status) {
                    g_assert_cmphex(d.t.req.sense.key, ==, 5);
                }
            }
        }
        disk_teardown(&d);
    }
}

/* QEMU issue 4051: a list that ends anywhere. */
static void test_issue_4051(void)
{
    DiskFx d;
    uint8_t list[8 + 8 + 108];
    size_t all;

    setup(&d, "lun=0");
    RUN(&d, 0x1a, 0, 0x3f, 0, 255, 0);
    all = d.data[0] + 1u;
    g_assert_cmpuint(all, <=, sizeof(list));
    memcpy(list, d.data, all);
    list[0] = list[2] = 0;
    for (size_t len = 0; len <= all; len++) {
        /* where a header, a descriptor or a page is complete */
        static const size_t whole[] = { 0, 12, 24, 48, 80, 100, 112, 124 };
        bool good = false;

        for (unsigned i = 0; i < G_N_ELEMENTS(whole); i++) {
            good |= whole[i] == len;
        }
        memcpy(d.data, list, all);
        memset(d.data + len, 0xff, 64);
        select6(&d, (uint8_t)len);
        if (good) {
            assert_good(&d.t);
        } else {
            assert_sense(&d.t, 5, 0x1a, 0);
        }
        /* the same from an initiator that promises more than it sends */
        if (len > 4) {
            uint8_t cdb[6] = { 0x15, 0x10, 0, 0, (uint8_t)all, 0 };

            d.t.limit = len;
            task_submit(&d.fx, &d.t, 0, 0, cdb, sizeof(cdb));
            fx_settle(&d.fx);
            if (len < all) {
                g_assert_cmpuint(d.t.n_done, ==, 0);
                scsi_cancel(&d.t.req);
                fx_settle(&d.fx);
            }
            g_assert_cmpuint(d.t.n_done, ==, 1);
            d.t.limit = 0;
        }
    }
    disk_teardown(&d);
}

/* CVE-2023-42467, QEMU issue 1112: block sizes that divide by zero or into odd pieces. */
static void test_cve_2023_42467(void)
{
    static const uint32_t sizes[] = { 0, 1, 256, 511, 513, 1024, 2048, 4096, 0xffffff };
    static const uint32_t counts[] = { 1, BLOCKS - 1, BLOCKS + 1, 0x7fffffff };
    DiskFx d;

    setup(&d, "lun=0");
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        memset(d.data, 0, 12);
        d.data[3] = 8;
        put_be24(d.data + 9, sizes[i]);
        select6(&d, 12);
        assert_sense(&d.t, 5, 0x26, 0);
        RUN(&d, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        g_assert_cmpuint(get_be32(d.data), ==, BLOCKS - 1);
        g_assert_cmpuint(get_be32(d.data + 4), ==, 512);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        memset(d.data, 0, 12);
        d.data[3] = 8;
        put_be32(d.data + 4, counts[i]);
        put_be24(d.data + 9, 512);
        select6(&d, 12);
        assert_sense(&d.t, 5, 0x26, 0);
    }
    put_be32(d.data + 4, UINT32_MAX);
    select6(&d, 12);
    assert_good(&d.t);
    put_be32(d.data + 4, BLOCKS);
    select6(&d, 12);
    assert_good(&d.t);
    disk_teardown(&d);
}

/* A CD changes nothing, and takes what it has. */
static void test_cd(void)
{
    Fx fx;
    uint8_t data[256] = { 0 };
    Task t = { .data = data, .size = sizeof(data) };

    fx_init(&fx, "hba,id=h");
    fx_node(&fx, "mem,node-name=d,size=1M");
    fx_add(&fx, "scsi-cd,drive=d");
    fx_attach(&fx);
    fx_clear_ua(&fx, 0, 0);
    data[3] = 8;
    put_be24(data + 9, 2048); /* as drivers do after reading XA sectors */
    task_run(&fx, &t, 0, 0, CDB(0x15, 0x10, 0, 0, 12, 0));
    assert_good(&t);
    put_be24(data + 9, 2336);
    task_run(&fx, &t, 0, 0, CDB(0x15, 0x10, 0, 0, 12, 0));
    assert_sense(&t, 5, 0x26, 0);
    task_run(&fx, &t, 0, 0, CDB(0x1a, 0, 8, 0, 255, 0));
    assert_good(&t);
    g_assert_cmphex(data[6], ==, 0); /* no write cache on a drive that can't write */
    data[0] = 0;
    data[6] = 4;
    task_run(&fx, &t, 0, 0, CDB(0x15, 0x10, 0, 0, 24, 0));
    assert_sense(&t, 5, 0x26, 0);
    fx_fini(&fx);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-mode/wce", test_wce);
    g_test_add_func("/scsi-mode/refused", test_refused);
    g_test_add_func("/scsi-mode/CVE-2021-3930", test_cve_2021_3930);
    g_test_add_func("/scsi-mode/issue-4051", test_issue_4051);
    g_test_add_func("/scsi-mode/CVE-2023-42467", test_cve_2023_42467);
    g_test_add_func("/scsi-mode/cd", test_cd);
    return g_test_run();
}
