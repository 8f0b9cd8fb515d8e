/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks behind the adapter, as its drivers see them: commands, data, sense, many commands at once.
 * Most commands go both ways, by firmware's polled script and by the dispatching driver.
 *
 * Where the distribution's device answers otherwise, the test says so.
 */
#include "machine.h"

#include "hw/scsi/scsi-cdb.h"
#include <string.h>

#define BLOCK 512u

/* ---- commands ---- */

static QLsiJob job_of(QLsi *l, unsigned id, const uint8_t *cdb, QLsiDir dir, uint32_t len)
{
    QLsiJob job = { .id = id, .cdb_len = scsi_cdb_len(cdb[0]), .dir = dir, .len = len };

    memcpy(job.cdb, cdb, job.cdb_len);
    if (len) {
        job.addr = qlsi_buffer(l, len);
        qtest_mem_set(l->q, job.addr, 0xee, len);
    }
    return job;
}

static QLsiJob rw_job(QLsi *l, unsigned id, uint8_t opcode, uint64_t lba, unsigned blocks)
{
    uint8_t cdb[16] = { opcode };
    /* The odd ones write: 0A, 2A, 8A, AA. */
    QLsiDir dir = opcode & 2 ? QLSI_OUT : QLSI_IN;

    switch (scsi_cdb_len(opcode)) {
    case 6:
        put_be24(cdb + 1, lba);
        cdb[4] = blocks;
        break;
    case 10:
        put_be32(cdb + 2, lba);
        put_be16(cdb + 7, blocks);
        break;
    case 12:
        put_be32(cdb + 2, lba);
        put_be32(cdb + 6, blocks);
        break;
    default:
        put_be64(cdb + 2, lba);
        put_be32(cdb + 10, blocks);
        break;
    }
    return job_of(l, id, cdb, dir, blocks * BLOCK);
}

/* Another driver starts by a soft reset. QEMU's resets the disks by it, which the chip's does not
 * (895A manual, ISTAT.SRST: SCSI RST is not asserted): their unit attention is taken here. */
static void change_driver(Machine *m, bool polled)
{
    const QLsiMode mode = m->lsi->mode;

    if (!machine_is_qemus(m) || mode == QLSI_RESET || (mode == QLSI_POLLED) == polled) {
        return;
    }
    for (unsigned d = 0; d < m->disks; d++) {
        QLsiJob job = { .id = d, .cdb = { SCSI_TEST_UNIT_READY }, .cdb_len = 6 };
        if (polled) {
            qlsi_poll(m->lsi, &job);
        } else {
            qlsi_run(m->lsi, &job);
        }
    }
}

static void run(Machine *m, QLsiJob *job, bool polled)
{
    change_driver(m, polled);
    if (polled) {
        qlsi_poll(m->lsi, job);
    } else {
        qlsi_run(m->lsi, job);
    }
}

/* A data-in command that ends with GOOD; what it brought. */
static void expect_data(Machine *m, const uint8_t *cdb, bool polled, uint8_t *data, uint32_t len)
{
    QLsiJob job = job_of(m->lsi, 0, cdb, QLSI_IN, len);

    run(m, &job, polled);
    g_assert_cmphex(job.status, ==, 0);
    qtest_mem_read(m->q, job.addr, data, len);
}

static void expect_sense(Machine *m, unsigned id, uint8_t key, uint8_t asc, uint8_t ascq)
{
    static const uint8_t cdb[6] = { SCSI_REQUEST_SENSE, 0, 0, 0, 18 };
    QLsiJob job = job_of(m->lsi, id, cdb, QLSI_IN, 18);
    uint8_t sense[18];

    run(m, &job, m->lsi->mode == QLSI_POLLED);
    g_assert_cmphex(job.status, ==, 0);
    qtest_mem_read(m->q, job.addr, sense, sizeof(sense));
    g_assert_cmphex(sense[0] & 0x7f, ==, 0x70);
    g_assert_cmphex(sense[2] & 0xf, ==, key);
    g_assert_cmphex(sense[12], ==, asc);
    g_assert_cmphex(sense[13], ==, ascq);
}

/* The unit attention of power-on, out of the way. */
static void make_ready(Machine *m)
{
    for (unsigned d = 0; d < m->disks; d++) {
        static const uint8_t cdb[6] = { SCSI_TEST_UNIT_READY };
        QLsiJob job = job_of(m->lsi, d, cdb, QLSI_NONE, 0);

        qlsi_run(m->lsi, &job);
        g_assert_cmphex(job.status, ==, 2);
        expect_sense(m, d, SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_RESET, 0);
        qlsi_run(m->lsi, &job);
        g_assert_cmphex(job.status, ==, 0);
    }
}

static void expect_pattern(Machine *m, const QLsiJob *job, uint64_t lba)
{
    g_autofree uint8_t *data = g_malloc(job->len);

    qtest_mem_read(m->q, job->addr, data, job->len);
    for (uint32_t i = 0; i < job->len; i++) {
        if (data[i] != machine_pattern(job->id, lba + i / BLOCK)) {
            g_error("byte %u of LBA %" G_GUINT64_FORMAT " is %02x", i, lba, data[i]);
        }
    }
}

/* ---- what a unit says of itself ---- */

static void test_unit_attention(Machine *m)
{
    static const uint8_t tur[6] = { SCSI_TEST_UNIT_READY };
    static const uint8_t inquiry[6] = { SCSI_INQUIRY, 0, 0, 0, 36 };
    uint8_t data[36];
    QLsiJob job = job_of(m->lsi, 0, tur, QLSI_NONE, 0);

    expect_data(m, inquiry, false, data, sizeof(data)); /* does not take it */
    qlsi_run(m->lsi, &job);
    g_assert_cmphex(job.status, ==, 2);
    expect_sense(m, 0, SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_RESET, 0);
    qlsi_run(m->lsi, &job);
    g_assert_cmphex(job.status, ==, 0);
    expect_sense(m, 0, SCSI_KEY_NONE, 0, 0);
    qlsi_bus_reset(m->lsi);
    qlsi_run(m->lsi, &job);
    g_assert_cmphex(job.status, ==, 2);
    /* SPC-4 6.35 distinguishes 29/02, bus reset; QEMU's says 29/00 for any. */
    expect_sense(m, 0, SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_RESET, machine_is_qemus(m) ? 0 : 2);
}

static void test_test_unit_ready(Machine *m)
{
    static const uint8_t cdb[6] = { SCSI_TEST_UNIT_READY };
    QLsiJob job = job_of(m->lsi, 0, cdb, QLSI_NONE, 0);

    make_ready(m);
    for (unsigned i = 0; i < 6; i++) {
        run(m, &job, i & 1);
        g_assert_cmphex(job.status, ==, 0);
    }
}

static void test_inquiry(Machine *m)
{
    static const uint8_t cdb[6] = { SCSI_INQUIRY, 0, 0, 0, 36 };
    static const uint8_t serial[6] = { SCSI_INQUIRY, 1, 0x80, 0, 36 };
    uint8_t data[36];

    for (unsigned polled = 0; polled < 2; polled++) {
        expect_data(m, cdb, polled, data, sizeof(data));
        g_assert_cmphex(data[0], ==, 0); /* a disk, there */
        g_assert_cmphex(data[2], >=, 5); /* SPC-3 */
        g_assert_cmphex(data[3] & 0xf, ==, 2);
        g_assert_cmphex(data[7] & 2, ==, 2); /* CMDQUE */
        g_assert_cmpmem(data + 8, 8, "QEMU    ", 8);
        g_assert_cmpmem(data + 16, 16, "QEMU HARDDISK   ", 16);
    }
    memset(data, 0, sizeof(data));
    expect_data(m, serial, false, data, sizeof(data));
    g_assert_cmphex(data[1], ==, 0x80);
    g_assert_cmpuint(data[3], ==, 3);
    g_assert_cmpmem(data + 4, 3, "SN0", 3);
}

static void test_read_capacity(Machine *m)
{
    static const uint8_t cdb10[10] = { SCSI_READ_CAPACITY_10 };
    static const uint8_t cdb16[16] = { SCSI_SERVICE_ACTION_IN_16, 0x10, [13] = 32 };
    uint8_t data[32];

    make_ready(m);
    for (unsigned polled = 0; polled < 2; polled++) {
        expect_data(m, cdb10, polled, data, 8);
        g_assert_cmpuint(get_be32(data), ==, DISK_BLOCKS - 1);
        g_assert_cmpuint(get_be32(data + 4), ==, BLOCK);
        expect_data(m, cdb16, polled, data, 32);
        g_assert_cmpuint(get_be64(data), ==, DISK_BLOCKS - 1);
        g_assert_cmpuint(get_be32(data + 8), ==, BLOCK);
    }
}

static void test_mode_sense(Machine *m)
{
    static const uint8_t caching[6] = { SCSI_MODE_SENSE_6, 8, 8, 0, 24 };
    static const uint8_t geometry[10] = { SCSI_MODE_SENSE_10, 8, 4, [8] = 32 };
    uint8_t data[32];

    make_ready(m);
    expect_data(m, caching, false, data, 24);
    g_assert_cmpuint(data[0], ==, 23);      /* bytes that follow */
    g_assert_cmphex(data[2] & 0x80, ==, 0); /* not write protected */
    g_assert_cmpuint(data[3], ==, 0);       /* DBD: no block descriptor */
    g_assert_cmphex(data[4] & 0x3f, ==, 8);
    g_assert_cmphex(data[6] & 4, ==, 4); /* WCE */
    expect_data(m, geometry, false, data, 32);
    g_assert_cmphex(data[8] & 0x3f, ==, 4);
    g_assert_cmpuint(get_be24(data + 10), >, 0);
    g_assert_cmpuint(data[13], >, 0);
}

static void test_report_luns(Machine *m)
{
    static const uint8_t cdb[12] = { SCSI_REPORT_LUNS, [9] = 16 };
    uint8_t data[16];

    for (unsigned polled = 0; polled < 2; polled++) {
        expect_data(m, cdb, polled, data, sizeof(data));
        g_assert_cmpuint(get_be32(data), ==, 8);
        g_assert_cmpuint(get_be64(data + 8), ==, 0);
    }
}

static void test_absent_lun(Machine *m)
{
    static const uint8_t inquiry[6] = { SCSI_INQUIRY, 0, 0, 0, 36 }, tur[6] = { 0 };
    QLsiJob job = job_of(m->lsi, 0, inquiry, QLSI_IN, 36);
    QLsiJob job2 = job_of(m->lsi, 0, tur, QLSI_NONE, 0);

    job.lun = job2.lun = 3;
    qlsi_run(m->lsi, &job);
    g_assert_cmphex(job.status, ==, 0);
    g_assert_cmphex(qtest_read(m->q, job.addr, 1), ==, 0x7f);
    qlsi_run(m->lsi, &job2);
    g_assert_cmphex(job2.status, ==, 2);
}

static void test_absent_target(Machine *m)
{
    static const uint8_t cdb[6] = { SCSI_TEST_UNIT_READY };

    for (unsigned i = 0; i < 8; i++) {
        QLsiJob job = job_of(m->lsi, 2 + i / 2, cdb, QLSI_NONE, 0);
        run(m, &job, i & 1);
        g_assert_cmphex(job.status, ==, QLSI_NO_TARGET);
    }
    make_ready(m);
}

/* ---- blocks ---- */

static void test_read(Machine *m)
{
    static const uint8_t opcodes[] = { SCSI_READ_6, SCSI_READ_10, SCSI_READ_12, SCSI_READ_16 };

    make_ready(m);
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(opcodes); i++) {
        const uint64_t lba = i * 1000 + 1;
        QLsiJob job = rw_job(m->lsi, 0, opcodes[i / 2], lba, 3 + i);
        run(m, &job, i & 1);
        g_assert_cmphex(job.status, ==, 0);
        g_assert_cmpuint(job.left, ==, 0);
        expect_pattern(m, &job, lba);
    }
}

/* A command without data that takes time brings firmware's script out of step with QEMU's device:
 * there, SYNCHRONIZE CACHE goes by the other driver only. */
static void test_write(Machine *m)
{
    static const uint8_t opcodes[] = { SCSI_WRITE_6, SCSI_WRITE_10, SCSI_WRITE_12, SCSI_WRITE_16 };
    static const uint8_t flush[10] = { SCSI_SYNCHRONIZE_CACHE_10 };
    QLsiJob sync = job_of(m->lsi, 0, flush, QLSI_NONE, 0);
    uint8_t data[16 * BLOCK], image[18 * BLOCK];

    make_ready(m);
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(opcodes); i++) {
        const unsigned blocks = 1 + 2 * i, lba = 100 + i * 100;
        QLsiJob job = rw_job(m->lsi, 0, opcodes[i / 2], lba, blocks);
        for (unsigned b = 0; b < blocks * BLOCK; b++) {
            data[b] = i * 31 + b * 7 + b / BLOCK;
        }
        qtest_mem_write(m->q, job.addr, data, blocks * BLOCK);
        run(m, &job, i & 1);
        g_assert_cmphex(job.status, ==, 0);
        run(m, &sync, i & 1 && !machine_is_qemus(m));
        g_assert_cmphex(sync.status, ==, 0);
        machine_image_read(m, 0, lba - 1, image, blocks + 2);
        g_assert_cmphex(image[BLOCK - 1], ==, machine_pattern(0, lba - 1));
        g_assert_cmpmem(image + BLOCK, blocks * BLOCK, data, blocks * BLOCK);
        g_assert_cmphex(image[(blocks + 1) * BLOCK], ==, machine_pattern(0, lba + blocks));
    }
}

/* Larger than any buffer on the way, and READ(6)'s 0, which is 256 blocks. */
static void test_large(Machine *m)
{
    QLsiJob job, job6;

    make_ready(m);
    job = rw_job(m->lsi, 0, SCSI_READ_10, 17, 2000);
    qlsi_run(m->lsi, &job);
    g_assert_cmphex(job.status, ==, 0);
    g_assert_cmpuint(job.left, ==, 0);
    expect_pattern(m, &job, 17);
    job6 = rw_job(m->lsi, 0, SCSI_READ_6, 5, 256);
    job6.cdb[4] = 0;
    run(m, &job6, true);
    g_assert_cmphex(job6.status, ==, 0);
    expect_pattern(m, &job6, 5);
}

static void test_large_write(Machine *m)
{
    const unsigned blocks = 1500;
    QLsiJob out, in;
    g_autofree uint8_t *image = g_malloc(blocks * BLOCK);

    make_ready(m);
    out = rw_job(m->lsi, 0, SCSI_WRITE_10, 64, blocks);
    qtest_mem_set(m->q, out.addr, 0x6d, out.len);
    qtest_write(m->q, out.addr + out.len - 1, 0x77, 1);
    qlsi_run(m->lsi, &out);
    g_assert_cmphex(out.status, ==, 0);
    in = rw_job(m->lsi, 0, SCSI_READ_10, 64, blocks);
    qlsi_run(m->lsi, &in);
    g_assert_cmphex(in.status, ==, 0);
    qtest_mem_read(m->q, in.addr, image, in.len);
    for (unsigned i = 0; i < in.len - 1; i++) {
        g_assert_cmphex(image[i], ==, 0x6d);
    }
    g_assert_cmphex(image[in.len - 1], ==, 0x77);
}

/* ---- errors ---- */

static void test_lba_range(Machine *m)
{
    static const struct {
        uint8_t opcode;
        uint64_t lba;
        unsigned blocks;
    } rows[] = {
        { SCSI_READ_10, DISK_BLOCKS, 1 },        { SCSI_READ_10, DISK_BLOCKS - 1, 2 },
        { SCSI_WRITE_10, UINT32_MAX, 1 },        { SCSI_READ_16, UINT64_MAX, 1 },
        { SCSI_WRITE_16, UINT64_C(1) << 55, 2 },
    };
    uint8_t image[BLOCK];

    make_ready(m);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        QLsiJob job = rw_job(m->lsi, 0, rows[i].opcode, rows[i].lba, rows[i].blocks);
        qlsi_run(m->lsi, &job);
        g_assert_cmphex(job.status, ==, 2);
        g_assert_cmpuint(job.left, ==, job.len);
        expect_sense(m, 0, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE, 0);
        expect_sense(m, 0, SCSI_KEY_NONE, 0, 0); /* given once */
    }
    machine_image_read(m, 0, DISK_BLOCKS - 1, image, 1);
    g_assert_cmphex(image[0], ==, machine_pattern(0, DISK_BLOCKS - 1));
}

static void test_bad_commands(Machine *m)
{
    static const struct {
        uint8_t cdb[16];
        uint8_t asc;
    } rows[] = {
        { { 0x02 }, SCSI_ASC_INVALID_OPCODE },
        { { 0xff }, SCSI_ASC_INVALID_OPCODE },
        { { SCSI_INQUIRY, 0, 0x80, 0, 36 }, SCSI_ASC_INVALID_FIELD },     /* page without EVPD */
        { { SCSI_INQUIRY, 1, 0xee, 0, 36 }, SCSI_ASC_INVALID_FIELD },     /* no such page */
        { { SCSI_MODE_SENSE_6, 0, 0x3d, 0, 36 }, SCSI_ASC_INVALID_FIELD } /* nor this one */
    };

    make_ready(m);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        QLsiJob job = job_of(m->lsi, 0, rows[i].cdb, QLSI_NONE, 0);
        memcpy(job.cdb, rows[i].cdb, sizeof(job.cdb));
        job.cdb_len = MAX(job.cdb_len, 6); /* FF is of no group */
        qlsi_run(m->lsi, &job);
        g_assert_cmphex(job.status, ==, 2);
        expect_sense(m, 0, SCSI_KEY_ILLEGAL_REQUEST, rows[i].asc, 0);
    }
}

/* The table is longer than the data: M/A with the rest in DBC. */
static void test_short_data(Machine *m)
{
    static const uint8_t cdb[6] = { SCSI_REQUEST_SENSE, 0, 0, 0, 18 };
    QLsiJob job, sense;

    make_ready(m);
    job = rw_job(m->lsi, 0, SCSI_READ_10, 9, 3);
    put_be16(job.cdb + 7, 2);
    qlsi_run(m->lsi, &job);
    g_assert_cmphex(job.status, ==, 0);
    g_assert_cmpuint(job.left, ==, BLOCK);
    g_assert_cmpuint(m->lsi->mismatches, >=, 1);
    g_assert_cmphex(qtest_read(m->q, job.addr + 2 * BLOCK - 1, 1), ==, machine_pattern(0, 10));
    g_assert_cmphex(qtest_read(m->q, job.addr + 2 * BLOCK, 1), ==, 0xee);
    job = rw_job(m->lsi, 0, SCSI_WRITE_10, 9, 3);
    put_be16(job.cdb + 7, 2);
    qlsi_run(m->lsi, &job);
    g_assert_cmphex(job.status, ==, 0);
    g_assert_cmpuint(job.left, ==, BLOCK);
    /* 18 bytes of sense into 64. */
    sense = job_of(m->lsi, 0, cdb, QLSI_IN, 64);
    qlsi_run(m->lsi, &sense);
    g_assert_cmphex(sense.status, ==, 0);
    g_assert_cmpuint(sense.left, ==, 64 - 18);
}

/* Firmware's script, ended by a mismatch, leaves its target in some phase; the next SELECT starts
 * anew (fact sheet 5.2, Q7). With QEMU's device it takes its alternate, address 0: it needs a reset
 * first. */
static void test_polled_mismatch(Machine *m)
{
    QLsiJob job;

    job = rw_job(m->lsi, 0, SCSI_READ_10, 0, 1);
    qlsi_poll(m->lsi, &job);
    g_assert_cmphex(job.status, ==, QLSI_MISMATCH); /* STATUS where data was expected */
    if (machine_is_qemus(m)) {
        qlsi_soft_reset(m->lsi);
        m->lsi->mode = QLSI_POLLED;
    }
    expect_sense(m, 0, SCSI_KEY_UNIT_ATTENTION, SCSI_ASC_RESET, 0);
    qlsi_poll(m->lsi, &job);
    g_assert_cmphex(job.status, ==, 0);
    expect_pattern(m, &job, 0);
}

/* ---- many at once ---- */

static void test_tagged_queue(Machine *m)
{
    enum { N = 48 };
    QLsiJob job[N];

    make_ready(m);
    for (unsigned i = 0; i < N; i++) {
        job[i] = rw_job(m->lsi, i % m->disks, SCSI_READ_10, i * 64, 8 + i % 5);
        qlsi_submit(m->lsi, &job[i]);
    }
    qlsi_serve(m->lsi);
    for (unsigned i = 0; i < N; i++) {
        g_assert_true(job[i].done);
        g_assert_cmphex(job[i].status, ==, 0);
        g_assert_cmpuint(job[i].left, ==, 0);
        expect_pattern(m, &job[i], i * 64);
    }
    g_test_message("%u interrupts, %u disconnections, %u lost selections", m->lsi->interrupts,
                   m->lsi->disconnects, m->lsi->lost_selections);
}

/* Writes to one disk, reads from another and commands in between, a new one for each that is done:
 * no more than eight at a time, so that SIGP comes into a running WAIT RESELECT, too. */
static void test_mixed_queue(Machine *m)
{
    enum { N = 96, DEPTH = 8 };
    static const uint8_t tur[6] = { SCSI_TEST_UNIT_READY };
    QLsi *l = m->lsi;
    QLsiJob job[N];
    unsigned issued = 0, done = 0;
    uint8_t image[4 * BLOCK];

    make_ready(m);
    while (done < N) {
        for (; issued < N && issued - done < DEPTH; issued++) {
            QLsiJob *j = &job[issued];
            if (issued % 3 == 0) {
                *j = rw_job(l, 0, SCSI_WRITE_10, issued * 8, 4);
                qtest_mem_set(m->q, j->addr, 0x80 | issued, j->len);
            } else if (issued % 3 == 1) {
                *j = rw_job(l, 1, SCSI_READ_16, issued * 8, 4);
            } else {
                *j = job_of(l, issued & 1, tur, QLSI_NONE, 0);
            }
            qlsi_submit(l, j);
        }
        qlsi_step(l);
        done = 0;
        for (unsigned i = 0; i < issued; i++) {
            done += job[i].done;
        }
    }
    for (unsigned i = 0; i < N; i++) {
        g_assert_cmphex(job[i].status, ==, 0);
        if (i % 3 == 0) {
            machine_image_read(m, 0, i * 8, image, 4);
            g_assert_cmphex(image[0], ==, 0x80 | i);
            g_assert_cmphex(image[4 * BLOCK - 1], ==, 0x80 | i);
        } else if (i % 3 == 1) {
            expect_pattern(m, &job[i], i * 8);
        }
    }
}

static void test_disconnect(Machine *m)
{
    static const uint8_t flush[10] = { SCSI_SYNCHRONIZE_CACHE_10 };
    const int64_t deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    QLsiJob job[3];

    make_ready(m);
    job[0] = rw_job(m->lsi, 0, SCSI_WRITE_10, 512, 128);
    job[1] = job_of(m->lsi, 0, flush, QLSI_NONE, 0);
    job[2] = rw_job(m->lsi, 1, SCSI_READ_10, 100, 128);
    /* The target may keep the bus where it is fast enough, but not each time. */
    for (unsigned i = 0; i < 8 || !m->lsi->disconnects; i++) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        for (unsigned n = 0; n < G_N_ELEMENTS(job); n++) {
            qlsi_submit(m->lsi, &job[n]);
        }
        qlsi_serve(m->lsi);
        for (unsigned n = 0; n < G_N_ELEMENTS(job); n++) {
            g_assert_cmphex(job[n].status, ==, 0);
        }
        expect_pattern(m, &job[2], 100);
    }
    g_test_message("%u disconnections", m->lsi->disconnects);
    g_assert_cmpuint(m->lsi->reselections, ==, m->lsi->disconnects);
}

/* Without the privilege it never lets go. QEMU's device does, whatever IDENTIFY says. */
static void test_no_disconnect(Machine *m)
{
    unsigned disconnects;

    make_ready(m);
    disconnects = m->lsi->disconnects;
    for (unsigned i = 0; i < 8; i++) {
        QLsiJob job = rw_job(m->lsi, 0, SCSI_READ_10, i * 300, 64);
        job.no_disconnect = true;
        qlsi_run(m->lsi, &job);
        g_assert_cmphex(job.status, ==, 0);
        expect_pattern(m, &job, i * 300);
    }
    g_assert_cmpuint(m->lsi->disconnects, ==, disconnects);
}

/* ---- resets with commands out ---- */

static void test_reset_in_flight(Machine *m)
{
    enum { N = 12 };
    QLsiJob job[N], after;

    for (unsigned how = 0; how < 2; how++) {
        for (unsigned steps = 0; steps < 6; steps++) {
            qlsi_soft_reset(m->lsi);
            for (unsigned i = 0; i < N; i++) {
                job[i] = rw_job(m->lsi, 0, i & 1 ? SCSI_WRITE_10 : SCSI_READ_10, i * 8, 4);
                qtest_mem_set(m->q, job[i].addr, machine_pattern(0, i * 8), job[i].len);
                qlsi_submit(m->lsi, &job[i]);
            }
            for (unsigned i = 0; i < steps && (m->lsi->current || m->lsi->waiting); i++) {
                qlsi_step(m->lsi);
            }
            if (how) {
                qlsi_bus_reset(m->lsi);
            } else {
                qlsi_soft_reset(m->lsi);
            }
            after = rw_job(m->lsi, 0, SCSI_READ_10, 4000, 2);
            qlsi_run(m->lsi, &after);
            if (after.status == 2) { /* the reset's unit attention */
                qlsi_run(m->lsi, &after);
            }
            g_assert_cmphex(after.status, ==, 0);
            expect_pattern(m, &after, 4000);
        }
    }
}

static const MachineTest tests[] = {
    { "unit/attention", test_unit_attention, 1, 0 },
    { "unit/test-unit-ready", test_test_unit_ready, 1, 0 },
    { "unit/inquiry", test_inquiry, 1, 0 },
    { "unit/read-capacity", test_read_capacity, 1, 0 },
    { "unit/mode-sense", test_mode_sense, 1, 0 },
    { "unit/report-luns", test_report_luns, 1, 0 },
    { "unit/absent-lun", test_absent_lun, 1, 0 },
    { "unit/absent-target", test_absent_target, 2, 0 },
    { "blocks/read", test_read, 1, 0 },
    { "blocks/write", test_write, 1, 0 },
    { "blocks/large", test_large, 1, 0 },
    { "blocks/large-write", test_large_write, 1, 0 },
    { "errors/lba-range", test_lba_range, 1, 0 },
    { "errors/bad-commands", test_bad_commands, 1, 0 },
    { "errors/short-data", test_short_data, 1, 0 },
    { "errors/polled-mismatch", test_polled_mismatch, 1, 0 },
    { "queue/tags", test_tagged_queue, 3, 0 },
    { "queue/mixed", test_mixed_queue, 2, 0 },
    { "queue/disconnect", test_disconnect, 2, 0 },
    { "queue/no-disconnect", test_no_disconnect, 1, WAYS_OURS },
    { "reset/in-flight", test_reset_in_flight, 1, 0 },
    { "qcow2/read", test_read, 1, MACHINE_QCOW2 },
    { "qcow2/write", test_write, 1, MACHINE_QCOW2 },
    { "qcow2/large-write", test_large_write, 1, MACHINE_QCOW2 },
    { "qcow2/mixed", test_mixed_queue, 2, MACHINE_QCOW2 },
    { "qcow2/reset-in-flight", test_reset_in_flight, 1, MACHINE_QCOW2 },
    { NULL, NULL, 0, 0 },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_add_tests(tests);
    return g_test_run();
}
