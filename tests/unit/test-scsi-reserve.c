/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reservations of both kinds, LOG SENSE, GET LBA STATUS, START STOP UNIT's power conditions. */
#include "scsi-fixture.h"

enum { REG, RES, REL, CLR, PRE, PRA, RII };

#define KEY UINT64_C(0x1122334455667788)
#define OTHER UINT64_C(0x1)

static void pr_out(DiskFx *d, uint8_t sa, uint8_t type, uint64_t key, uint64_t sa_key)
{
    memset(d->data, 0, 24);
    put_be64(d->data, key);
    put_be64(d->data + 8, sa_key);
    RUN(d, 0x5f, sa, type, 0, 0, 0, 0, 0, 24, 0);
}

static void expect(DiskFx *d, uint8_t status, uint8_t sa, uint8_t type, uint64_t key,
                   uint64_t sa_key)
{
    pr_out(d, sa, type, key, sa_key);
    g_assert_cmphex(d->t.req.status, ==, status);
}

static uint32_t read_keys(DiskFx *d, uint64_t *key)
{
    RUN(d, 0x5e, 0, 0, 0, 0, 0, 0, 1, 0, 0);
    assert_good(&d->t);
    *key = get_be32(d->data + 4) ? get_be64(d->data + 8) : 0;
    return get_be32(d->data);
}

static unsigned read_type(DiskFx *d, uint64_t key)
{
    RUN(d, 0x5e, 1, 0, 0, 0, 0, 0, 1, 0, 0);
    assert_good(&d->t);
    if (!get_be32(d->data + 4)) {
        return 0;
    }
    g_assert_cmpuint(get_be32(d->data + 4), ==, 16);
    g_assert_cmphex(get_be64(d->data + 8), ==, key);
    return d->data[21];
}

static void test_register(void)
{
    DiskFx d;
    uint64_t key;

    disk_setup(&d, "size=2M", "lun=0");
    g_assert_cmpuint(read_keys(&d, &key), ==, 0);
    g_assert_cmphex(key, ==, 0);
    expect(&d, SCSI_RESERVATION_CONFLICT, RES, 1, KEY, 0); /* not registered */
    expect(&d, SCSI_RESERVATION_CONFLICT, REG, 0, KEY, KEY);
    expect(&d, SCSI_GOOD, REG, 0, 0, 0); /* nothing to take back */
    g_assert_cmpuint(read_keys(&d, &key), ==, 0);
    expect(&d, SCSI_GOOD, REG, 0, 0, KEY);
    g_assert_cmpuint(read_keys(&d, &key), ==, 1);
    g_assert_cmphex(key, ==, KEY);
    expect(&d, SCSI_RESERVATION_CONFLICT, REG, 0, 0, OTHER);
    expect(&d, SCSI_RESERVATION_CONFLICT, REG, 0, OTHER, OTHER);
    expect(&d, SCSI_GOOD, REG, 0, KEY, OTHER);
    expect(&d, SCSI_GOOD, RII, 0, 0x77, KEY);
    g_assert_cmpuint(read_keys(&d, &key), ==, 3);
    g_assert_cmphex(key, ==, KEY);
    RUN(&d, 0x5e, 3, 0, 0, 0, 0, 0, 1, 0, 0); /* full status */
    assert_good(&d.t);
    g_assert_cmpuint(get_be32(d.data + 4), ==, 48);
    g_assert_cmphex(get_be64(d.data + 8), ==, KEY);
    g_assert_cmphex(d.data[32], ==, 1);
    g_assert_cmpuint(get_be16(d.data + 34), ==, 7); /* the adapter's id */
    RUN(&d, 0x5e, 2, 0, 0, 0, 0, 0, 1, 0, 0);
    g_assert_cmpmem(d.data, 8, "\0\x08\x10\x80\xea\x01\0\0", 8);
    expect(&d, SCSI_GOOD, REG, 0, KEY, 0);
    g_assert_cmpuint(read_keys(&d, &key), ==, 4);
    g_assert_cmphex(key, ==, 0);
    disk_teardown(&d);
}

static void test_reserve(void)
{
    static const uint8_t types[] = { 1, 3, 5, 6, 7, 8 };
    DiskFx d;
    uint64_t key;

    disk_setup(&d, "size=2M", "lun=0");
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        uint8_t type = types[i], next = types[(i + 1) % G_N_ELEMENTS(types)];
        uint64_t holder = type >= 7 ? 0 : KEY;

        expect(&d, SCSI_GOOD, RII, 0, 0, KEY);
        expect(&d, SCSI_RESERVATION_CONFLICT, RES, type, OTHER, 0);
        expect(&d, SCSI_GOOD, REL, type, KEY, 0); /* nothing to release */
        expect(&d, SCSI_GOOD, RES, type, KEY, 0);
        expect(&d, SCSI_GOOD, RES, type, KEY, 0);
        expect(&d, SCSI_RESERVATION_CONFLICT, RES, next, KEY, 0);
        g_assert_cmpuint(read_type(&d, holder), ==, type);
        RUN(&d, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
        assert_good(&d.t);
        pr_out(&d, REL, next, KEY, 0);
        assert_sense(&d.t, 5, 0x26, 4);
        scsi_reset_bus(d.fx.bus, 2); /* it outlives that */
        fx_settle(&d.fx);
        RUN(&d, 0, 0, 0, 0, 0, 0);
        g_assert_cmpuint(read_type(&d, holder), ==, type);
        expect(&d, SCSI_GOOD, REL, type, KEY, 0);
        g_assert_cmpuint(read_type(&d, 0), ==, 0);
        expect(&d, SCSI_GOOD, RES, type, KEY, 0);
        expect(&d, SCSI_GOOD, i & 1 ? REG : CLR, 0, KEY, 0); /* the reservation goes along */
        g_assert_cmpuint(read_type(&d, 0), ==, 0);
        read_keys(&d, &key);
        g_assert_cmphex(key, ==, 0);
    }
    expect(&d, SCSI_GOOD, RII, 0, 0, KEY);
    expect(&d, SCSI_GOOD, RES, 3, KEY, 0);
    scsi_bus_power_on(d.fx.bus);
    fx_settle(&d.fx);
    RUN(&d, 0, 0, 0, 0, 0, 0);
    g_assert_cmpuint(read_keys(&d, &key), ==, 0);
    g_assert_cmpuint(read_type(&d, 0), ==, 0);
    disk_teardown(&d);
}

static void test_preempt(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M", "lun=0");
    expect(&d, SCSI_RESERVATION_CONFLICT, PRE, 1, KEY, KEY);
    expect(&d, SCSI_GOOD, REG, 0, 0, KEY);
    expect(&d, SCSI_RESERVATION_CONFLICT, PRE, 1, KEY, OTHER);
    pr_out(&d, PRE, 1, KEY, 0);
    assert_sense(&d.t, 5, 0x26, 0);
    expect(&d, SCSI_GOOD, PRE, 1, KEY, KEY); /* no reservation is made */
    g_assert_cmpuint(read_type(&d, 0), ==, 0);
    expect(&d, SCSI_GOOD, RES, 1, KEY, 0);
    expect(&d, SCSI_GOOD, PRA, 5, KEY, KEY);
    g_assert_cmpuint(read_type(&d, KEY), ==, 5);
    expect(&d, SCSI_GOOD, REL, 5, KEY, 0);
    expect(&d, SCSI_GOOD, RES, 7, KEY, 0);
    expect(&d, SCSI_GOOD, PRE, 1, KEY, KEY); /* removes other registrations only */
    g_assert_cmpuint(read_type(&d, 0), ==, 7);
    expect(&d, SCSI_GOOD, PRE, 6, KEY, 0);
    g_assert_cmpuint(read_type(&d, KEY), ==, 6);
    disk_teardown(&d);
}

static void test_bad_reserve(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M", "lun=0");
    expect(&d, SCSI_GOOD, REG, 0, 0, KEY);
    for (unsigned type = 0; type < 256; type++) {
        bool known = type == 1 || type == 3 || (type >= 5 && type <= 8);

        pr_out(&d, RES, (uint8_t)type, KEY, 0);
        if (known) {
            assert_good(&d.t);
            expect(&d, SCSI_GOOD, REL, (uint8_t)type, KEY, 0);
        } else {
            assert_sense(&d.t, 5, 0x24, 0);
        }
    }
    for (unsigned flags = 1; flags < 16; flags++) {
        memset(d.data, 0, 24);
        put_be64(d.data, KEY);
        put_be64(d.data + 8, KEY);
        d.data[20] = (uint8_t)flags; /* APTPL, ALL_TG_PT, SPEC_I_PT */
        RUN(&d, 0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0);
        if (flags & 0x0d) {
            assert_sense(&d.t, 5, 0x26, 0);
        } else {
            assert_good(&d.t);
        }
    }
    for (unsigned len = 0; len < 64; len++) {
        RUN(&d, 0x5f, 3, 0, 0, 0, 0, 0, 0, (uint8_t)len, 0);
        if (len != 24) {
            assert_sense(&d.t, 5, 0x1a, 0);
        }
    }
    RUN(&d, 0x5f, 3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0);
    assert_sense(&d.t, 5, 0x1a, 0);
    RUN(&d, 0x5f, 7, 0, 0, 0, 0, 0, 0, 24, 0); /* REGISTER AND MOVE */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x5e, 4, 0, 0, 0, 0, 0, 0, 24, 0);
    assert_sense(&d.t, 5, 0x24, 0);
    disk_teardown(&d);
}

/* RESERVE of old beside the persistent kind. */
static void test_legacy(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M", "lun=0");
    RUN(&d, 0x16, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    RUN(&d, 0x5e, 0, 0, 0, 0, 0, 0, 1, 0, 0);
    g_assert_cmphex(d.t.req.status, ==, SCSI_RESERVATION_CONFLICT);
    expect(&d, SCSI_RESERVATION_CONFLICT, REG, 0, 0, KEY);
    RUN(&d, 0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    expect(&d, SCSI_GOOD, REG, 0, 0, KEY);
    RUN(&d, 0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0); /* CRH */
    assert_good(&d.t);
    expect(&d, SCSI_GOOD, REG, 0, KEY, 0);
    RUN(&d, 0x16, 0, 0, 0, 0, 0);
    scsi_reset_bus(d.fx.bus, 2);
    fx_settle(&d.fx);
    RUN(&d, 0, 0, 0, 0, 0, 0);
    expect(&d, SCSI_GOOD, REG, 0, 0, KEY);
    RUN(&d, 0x16, 0x10, 0, 0, 0, 0); /* for a third party */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x17, 1, 0, 0, 0, 0);
    assert_sense(&d.t, 5, 0x24, 0);
    disk_teardown(&d);
}

/* Bytes processed and uncorrected errors of a page of error counters. */
static void log_counters(DiskFx *d, uint8_t page, uint64_t bytes, uint64_t errors)
{
    uint8_t head[] = { page, 0, 0, 24, 0, 5, 2, 8 };

    RUN(d, 0x4d, 0, 0x40 | page, 0, 0, 0, 0, 0, 64, 0);
    assert_good(&d->t);
    g_assert_cmpmem(d->data, 8, head, 8);
    g_assert_cmpuint(get_be64(d->data + 8), ==, bytes);
    g_assert_cmpmem(d->data + 16, 4, "\0\6\2\10", 4);
    g_assert_cmpuint(get_be64(d->data + 20), ==, errors);
    RUN(d, 0x4d, 0, 0x40 | page, 0, 0, 0, 6, 0, 64, 0); /* from the second parameter on */
    assert_good(&d->t);
    g_assert_cmpuint(get_be16(d->data + 2), ==, 12);
    g_assert_cmpuint(get_be64(d->data + 8), ==, errors);
    RUN(d, 0x4d, 0, 0x40 | page, 0, 0, 0, 7, 0, 64, 0);
    assert_sense(&d->t, 5, 0x24, 0);
}

static void test_log_counters(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M", "lun=0");
    for (unsigned page = 2; page <= 5; page += page == 3 ? 2 : 1) {
        log_counters(&d, (uint8_t)page, 0, 0);
    }
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 0, 3, 0);
    RUN(&d, 0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0);
    RUN(&d, 0x2f, 0, 0, 0, 0, 0, 0, 0, 5, 0);
    RUN(&d, 0x2e, 0, 0, 0, 0, 0, 0, 0, 4, 0);
    d.mem->fail[BLOCK_READ] = d.mem->fail[BLOCK_WRITE] = -EIO;
    RUN(&d, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    RUN(&d, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    RUN(&d, 0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    log_counters(&d, 2, 6 * 512, 1);
    log_counters(&d, 3, 3 * 512, 1);
    log_counters(&d, 5, 9 * 512, 1);
    scsi_bus_power_on(d.fx.bus);
    fx_clear_ua(&d.fx, 0, 0);
    log_counters(&d, 2, 0, 0);
    disk_teardown(&d);
}

static void test_log_sense(void)
{
    static const uint8_t pages[] = { 0, 2, 3, 5, 0x2f };
    DiskFx d;

    disk_setup(&d, "size=2M", "lun=0");
    RUN(&d, 0x4d, 0, 0x40, 0, 0, 0, 0, 0, 64, 0);
    assert_good(&d.t);
    g_assert_cmpmem(d.data, 4, "\0\0\0\5", 4);
    g_assert_cmpmem(d.data + 4, 5, pages, 5);
    RUN(&d, 0x4d, 0, 0x40, 0xff, 0, 0, 0, 0, 64, 0); /* with their subpages */
    assert_good(&d.t);
    g_assert_cmpmem(d.data, 16, "\x40\xff\0\x0c\0\0\0\xff\2\0\3\0\5\0\x2f\0", 16);
    RUN(&d, 0x4d, 0, 0x6f, 0, 0, 0, 0, 0, 64, 0);
    assert_good(&d.t);
    g_assert_cmpmem(d.data, 12, "\x2f\0\0\x08\0\0\x03\x04\0\0\xff\0", 12);
    for (unsigned code = 1; code < 64; code++) {
        bool has = memchr(pages, (int)code, sizeof(pages)) != NULL;

        RUN(&d, 0x4d, 0, (uint8_t)code, has, 0, 0, 0, 0, 64, 0);
        assert_sense(&d.t, 5, 0x24, 0);
    }
    RUN(&d, 0x4d, 1, 0x40, 0, 0, 0, 0, 0, 64, 0); /* SP */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x4d, 2, 0x40, 0, 0, 0, 0, 0, 64, 0); /* PPC */
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x4d, 0, 0x6f, 0, 0, 0, 1, 0, 64, 0); /* behind the last parameter */
    assert_sense(&d.t, 5, 0x24, 0);
    disk_teardown(&d);
}

static void assert_lba_status(DiskFx *d, uint64_t lba, uint32_t n, uint8_t status)
{
    assert_good(&d->t);
    g_assert_cmpuint(get_be32(d->data), ==, 20);
    g_assert_cmpuint(get_be64(d->data + 8), ==, lba);
    g_assert_cmpuint(get_be32(d->data + 16), ==, n);
    g_assert_cmphex(d->data[20], ==, status);
}

static void test_lba_status(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M,discard=unmap,can-discard=on", "lun=0");
    RUN(&d, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0x0f, 0xff, 0, 0, 0, 64, 0, 0);
    assert_good(&d.t);
    g_assert_cmpuint(get_be32(d.data), ==, 20);
    g_assert_cmpuint(get_be64(d.data + 8), ==, 4095);
    g_assert_cmpuint(get_be32(d.data + 16), ==, 1);
    g_assert_cmphex(d.data[20], ==, 0);
    RUN(&d, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 64, 0, 0);
    assert_sense(&d.t, 5, 0x21, 0);
    disk_teardown(&d);
    disk_setup(&d, "size=2M,discard=unmap,can-discard=on,status=on", "lun=0");
    memset(d.mem->data + 8 * 512, 1, 16 * 512);
    RUN(&d, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0);
    assert_lba_status(&d, 0, 8, 1);
    RUN(&d, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 64, 0, 0);
    assert_lba_status(&d, 10, 14, 0);
    RUN(&d, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 64, 0, 0);
    assert_lba_status(&d, 24, 4096 - 24, 1);
    RUN(&d, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    d.mem->fail[BLOCK_STATUS] = -EIO;
    RUN(&d, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 64, 0, 0);
    assert_sense(&d.t, 3, 0x11, 0);
    disk_teardown(&d);
    disk_setup(&d, "size=2M", "lun=0"); /* not thin */
    RUN(&d, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0);
    assert_sense(&d.t, 5, 0x24, 0);
    disk_teardown(&d);
}

static void test_power_conditions(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M", "lun=0");
    for (unsigned i = 1; i < 16; i++) {
        bool known = i == 1 || i == 2 || i == 3 || i == 7 || i == 10 || i == 11;

        RUN(&d, 0x1b, 0, 0, 0, (uint8_t)(i << 4 | 2), 0); /* LOEJ is ignored */
        g_assert_cmphex(d.t.req.status, ==, known ? SCSI_GOOD : SCSI_CHECK_CONDITION);
    }
    g_assert_cmpuint(d.mem->count[BLOCK_FLUSH], ==, 0);
    disk_teardown(&d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-reserve/register", test_register);
    g_test_add_func("/scsi-reserve/reserve", test_reserve);
    g_test_add_func("/scsi-reserve/preempt", test_preempt);
    g_test_add_func("/scsi-reserve/refused", test_bad_reserve);
    g_test_add_func("/scsi-reserve/legacy", test_legacy);
    g_test_add_func("/scsi-reserve/log-sense", test_log_sense);
    g_test_add_func("/scsi-reserve/log-counters", test_log_counters);
    g_test_add_func("/scsi-reserve/lba-status", test_lba_status);
    g_test_add_func("/scsi-reserve/power-conditions", test_power_conditions);
    return g_test_run();
}
