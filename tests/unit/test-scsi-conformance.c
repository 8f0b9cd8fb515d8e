/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A list of what SPC-4, SBC-3 and MMC-5 ask for, one row a demand: a CDB with its parameter list,
 * and the status, sense, length and fields that must follow. Plus sweeps over every data-in command
 * for its allocation length, over every reserved bit that the usage map calls not looked at, and
 * over all opcodes and lengths with a hostile initiator.
 */
#include "scsi-fixture.h"

typedef struct Field {
    uint16_t at;
    uint8_t width; /* bytes; 0: end of the list */
    uint64_t value;
} Field;

typedef struct Row {
    const char *demand;
    uint8_t cdb[16];
    uint16_t status; /* or key, asc and ascq as 0xKAACC in sense */
    uint32_t sense;
    int32_t total; /* bytes of the data phase */
    Field fields[4];
    uint8_t out[32]; /* parameter list */
} Row;

#define GOOD .status = SCSI_GOOD
#define SENSE(k, a, q) .status = SCSI_CHECK_CONDITION, .sense = (k) << 16 | (a) << 8 | (q)
#define BAD_FIELD SENSE(5, 0x24, 0)
#define BAD_LBA SENSE(5, 0x21, 0)
#define BAD_PARAM SENSE(5, 0x26, 0)
#define BAD_LEN SENSE(5, 0x1a, 0)

/* 4096 blocks of 512 bytes, thin. */
static const Row disk_rows[] = {
    { "SPC-4 TEST UNIT READY", { 0x00 }, GOOD },
    { "SPC-4 INQUIRY: type, version", { 0x12, 0, 0, 0, 36 }, GOOD, .total = 36,
      .fields = { { 0, 1, 0 }, { 2, 1, 5 }, { 4, 1, 31 }, { 7, 1, 0x32 } } },
    { "SPC-4 page code without EVPD", { 0x12, 0, 0x80, 0, 36 }, BAD_FIELD },
    { "SPC-4 unknown page", { 0x12, 1, 0x7f, 0, 36 }, BAD_FIELD },
    { "SPC-4 page 00 ascends", { 0x12, 1, 0, 0, 10 }, GOOD, .total = 10,
      .fields = { { 3, 1, 6 }, { 4, 4, 0x008083b0 }, { 8, 2, 0xb1b2 } } },
    { "SBC-3 block limits: WSNZ, COMPARE AND WRITE", { 0x12, 1, 0xb0, 0, 64 }, GOOD,
      .total = 64, .fields = { { 2, 2, 0x3c }, { 4, 1, 1 }, { 5, 1, 255 } } },
    { "SBC-3 characteristics", { 0x12, 1, 0xb1, 0, 64 }, GOOD, .total = 64,
      .fields = { { 2, 2, 0x3c } } },
    { "SBC-3 thin", { 0x12, 1, 0xb2, 0, 8 }, GOOD, .total = 8,
      .fields = { { 5, 1, 0xe0 }, { 6, 1, 2 } } },
    { "SPC-4 REQUEST SENSE without sense", { 0x03, 0, 0, 0, 18 }, GOOD, .total = 18,
      .fields = { { 0, 1, 0x70 }, { 2, 1, 0 }, { 7, 1, 10 }, { 12, 2, 0 } } },
    { "SPC-4 DESC", { 0x03, 1, 0, 0, 8 }, GOOD, .total = 8, .fields = { { 0, 1, 0x72 } } },
    { "SPC-4 SELECT REPORT reserved", { 0xa0, 0, 3, [9] = 16 }, BAD_FIELD },
    { "SPC-4 REPORT LUNS", { 0xa0, [9] = 16 }, GOOD, .total = 16,
      .fields = { { 0, 4, 8 }, { 8, 8, 0 } } },
    { "SPC-4 NACA", { 0x00, 0, 0, 0, 0, 4 }, BAD_FIELD },
    { "SBC-3 READ CAPACITY(10)", { 0x25 }, GOOD, .total = 8,
      .fields = { { 0, 4, 4095 }, { 4, 4, 512 } } },
    { "SBC-3 LBA without PMI", { 0x25, 0, 0, 0, 0, 1 }, BAD_FIELD },
    { "SBC-3 READ CAPACITY(16): LBPME", { 0x9e, 0x10, [13] = 32 }, GOOD, .total = 32,
      .fields = { { 0, 8, 4095 }, { 8, 4, 512 }, { 14, 1, 0x80 } } },
    { "SBC-3 cut", { 0x9e, 0x10, [13] = 12 }, GOOD, .total = 12 },
    { "SPC-4 unknown service action", { 0x9e, 0x1f, [13] = 32 }, BAD_FIELD },
    { "SBC-3 GET LBA STATUS", { 0x9e, 0x12, [9] = 1, [13] = 24 }, GOOD, .total = 24,
      .fields = { { 0, 4, 20 }, { 8, 8, 1 }, { 16, 4, 4095 } } },
    { "SBC-3 past the end", { 0x9e, 0x12, [8] = 0x10, [13] = 24 }, BAD_LBA },
    { "SBC-3 READ(6), last block", { 0x08, 0, 0x0f, 0xff, 1 }, GOOD, .total = 512 },
    { "SBC-3 READ(6), 0 is 256", { 0x08, 0, 0, 0, 0 }, GOOD, .total = 131072 },
    { "SBC-3 READ(10), nothing", { 0x28, 0, 0, 0, 0x10, 0 }, GOOD, .total = 0 },
    { "SBC-3 READ(10), LBA past the end", { 0x28, 0, 0, 0, 0x10, 1 }, BAD_LBA },
    { "SBC-3 READ(10), runs over", { 0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 2 }, BAD_LBA },
    { "SBC-3 RDPROTECT without protection", { 0x28, 0x20, [8] = 1 }, BAD_FIELD },
    { "SBC-3 READ(12)", { 0xa8, [9] = 3 }, GOOD, .total = 1536 },
    { "SBC-3 READ(16)", { 0x88, [13] = 3 }, GOOD, .total = 1536 },
    { "SBC-3 LBA of 64 bits", { 0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     [13] = 1 }, BAD_LBA },
    { "SBC-3 WRITE(10)", { 0x2a, [8] = 1 }, GOOD, .total = 512 },
    { "SBC-3 WRITE(10) with FUA", { 0x2a, 8, [8] = 1 }, GOOD, .total = 512 },
    { "SBC-3 WRPROTECT", { 0x2a, 0x60, [8] = 1 }, BAD_FIELD },
    { "SBC-3 WRITE AND VERIFY(10)", { 0x2e, 0, [8] = 2 }, GOOD, .total = 1024 },
    { "SBC-3 VERIFY(10) moves nothing", { 0x2f, 0, [7] = 0x10 }, GOOD, .total = 0 },
    { "SBC-3 BYTCHK 2 reserved", { 0x2f, 4, [8] = 1 }, BAD_FIELD },
    { "SBC-3 COMPARE AND WRITE of nothing", { 0x89 }, GOOD, .total = 0 },
    { "SBC-3 miscompare", { 0x89, [9] = 100, [13] = 1 }, SENSE(0xe, 0x1d, 0), .total = 1024,
      .out = { 1 } },
    { "SBC-3 SYNCHRONIZE CACHE(10), all", { 0x35 }, GOOD },
    { "SBC-3 past the end", { 0x35, 0, 0, 0, 0x10, 1 }, BAD_LBA },
    { "SBC-3 SYNCHRONIZE CACHE(16), IMMED", { 0x91, 2 }, GOOD },
    { "SBC-3 UNMAP of nothing", { 0x42 }, GOOD, .total = 0 },
    { "SBC-3 ANCHOR without anchors", { 0x42, 1, [8] = 24 }, BAD_FIELD },
    { "SBC-3 shorter than its header", { 0x42, [8] = 7 }, BAD_LEN },
    { "SBC-3 header alone", { 0x42, [8] = 8 }, GOOD, .total = 8, .out = { 0, 6 } },
    { "SBC-3 one block", { 0x42, [8] = 24 }, GOOD, .total = 24,
      .out = { 0, 22, 0, 16, [15] = 1, [19] = 1 } },
    { "SBC-3 past the end", { 0x42, [8] = 24 }, BAD_LBA, .total = 24,
      .out = { 0, 22, 0, 16, [14] = 0x10, [19] = 1 } },
    { "SBC-3 WRITE SAME(10) of 0 blocks with WSNZ", { 0x41 }, BAD_FIELD },
    { "SBC-3 WRITE SAME(10)", { 0x41, [8] = 9 }, GOOD, .total = 512 },
    { "SBC-3 WRITE SAME(16), UNMAP", { 0x93, 8, [13] = 9 }, GOOD, .total = 512 },
    { "SBC-3 NDOB moves nothing", { 0x93, 1, [13] = 9 }, GOOD, .total = 0 },
    { "SBC-3 ANCHOR", { 0x93, 0x18, [13] = 9 }, BAD_FIELD },
    { "SBC-3 runs over", { 0x93, 0, [8] = 0x0f, [9] = 0xff, [13] = 2 }, BAD_LBA },
    { "SPC-4 MODE SENSE(6), all pages", { 0x1a, 0, 0x3f, 0, 4 }, GOOD, .total = 4,
      .fields = { { 2, 2, 0x0008 } } },
    { "SPC-4 MODE SENSE(10), DBD", { 0x5a, 8, 8, [8] = 28 }, GOOD, .total = 28,
      .fields = { { 0, 2, 26 }, { 6, 2, 0 }, { 8, 2, 0x0812 } } },
    { "SPC-4 saved values", { 0x1a, 0, 0xff, 0, 4 }, SENSE(5, 0x39, 0) },
    { "SPC-4 unknown page", { 0x1a, 0, 0x3e, 0, 4 }, BAD_FIELD },
    { "SPC-4 MODE SELECT(6) without PF", { 0x15, 0, 0, 0, 4 }, BAD_FIELD },
    { "SPC-4 SP", { 0x15, 0x11, 0, 0, 4 }, BAD_FIELD },
    { "SPC-4 half a header", { 0x15, 0x10, 0, 0, 3 }, BAD_LEN },
    { "SPC-4 header alone", { 0x15, 0x10, 0, 0, 4 }, GOOD, .total = 4 },
    { "SPC-4 descriptor cut", { 0x55, 0x10, [8] = 12 }, BAD_LEN, .total = 12,
      .out = { [7] = 8 } },
    { "SPC-4 unknown page", { 0x15, 0x10, 0, 0, 8 }, BAD_PARAM, .total = 8,
      .out = { [4] = 0x3e, [5] = 2 } },
    { "SPC-4 LOG SENSE, list", { 0x4d, 0, 0x40, [8] = 9 }, GOOD, .total = 9,
      .fields = { { 2, 2, 5 }, { 4, 4, 0x00020305 }, { 8, 1, 0x2f } } },
    { "SPC-4 unknown page", { 0x4d, 0, 0x7e, [8] = 6 }, BAD_FIELD },
    { "SPC-4 READ BUFFER, echo descriptor", { 0x3c, 0x0b, [8] = 4 }, SENSE(5, 0x20, 0) },
    { "SPC-4 WRITE BUFFER, echo", { 0x3b, 0x0a, [8] = 4 }, SENSE(5, 0x20, 0) },
    { "SPC-4 READ KEYS", { 0x5e, 0, [8] = 8 }, GOOD, .total = 8, .fields = { { 4, 4, 0 } } },
    { "SPC-4 unknown service action", { 0x5e, 0x1f, [8] = 8 }, BAD_FIELD },
    { "SPC-4 list length", { 0x5f, 0, [8] = 23 }, BAD_LEN },
    { "SPC-4 not registered", { 0x5f, 1, 1, [8] = 24 }, .status = SCSI_RESERVATION_CONFLICT,
      .total = 24 },
    { "SPC-4 one opcode", { 0xa3, 0x0c, 1, 0x2a, [9] = 14 }, GOOD, .total = 14,
      .fields = { { 0, 4, 0x0003000a }, { 4, 2, 0x2af8 } } },
    { "SPC-4 unknown opcode", { 0xa3, 0x0c, 1, 0x99, [9] = 4 }, GOOD, .total = 4,
      .fields = { { 1, 1, 1 } } },
    { "SPC-4 reporting options", { 0xa3, 0x0c, 4, 0x2a, [9] = 14 }, BAD_FIELD },
    { "SBC-3 START STOP UNIT, start", { 0x1b, 0, 0, 0, 1 }, GOOD },
    { "SBC-3 no tray", { 0x1b, 0, 0, 0, 3 }, BAD_FIELD },
    { "SBC-3 power condition reserved", { 0x1b, 0, 0, 0, 0x40 }, BAD_FIELD },
    { "SPC-4 unknown opcode", { 0xc0 }, SENSE(5, 0x20, 0) },
    { "SPC-4 variable length", { 0x7f, 0, 0, 0, 0, 0, 0, 8 }, SENSE(5, 0x20, 0) },
};

/* 512 blocks of 2048 bytes. */
static const Row cd_rows[] = {
    { "MMC-5 TEST UNIT READY", { 0x00 }, GOOD },
    { "SPC-4 INQUIRY: CD, removable", { 0x12, 0, 0, 0, 36 }, GOOD, .total = 36,
      .fields = { { 0, 2, 0x0580 } } },
    { "MMC-5 READ CAPACITY", { 0x25 }, GOOD, .total = 8,
      .fields = { { 0, 4, 511 }, { 4, 4, 2048 } } },
    { "MMC-5 READ(10)", { 0x28, [5] = 1, [8] = 1 }, GOOD, .total = 2048 },
    { "MMC-5 READ(12), past the end", { 0xa8, [4] = 2, [9] = 1 }, BAD_LBA },
    { "MMC-5 READ CD, user data", { 0xbe, [8] = 1, [9] = 0x10 }, GOOD, .total = 2048 },
    { "MMC-5 READ CD, no data", { 0xbe, [8] = 1 }, GOOD, .total = 0 },
    { "MMC-5 CD-DA", { 0xbe, 4, [8] = 1, [9] = 0x10 }, SENSE(5, 0x64, 0) },
    { "MMC-5 raw", { 0xbe, [8] = 1, [9] = 0xf8 }, SENSE(5, 0x64, 0) },
    { "MMC-5 READ TOC", { 0x43, [8] = 20 }, GOOD, .total = 20,
      .fields = { { 0, 4, 0x00120101 }, { 6, 1, 1 }, { 14, 1, 0xaa }, { 16, 4, 512 } } },
    { "MMC-5 format reserved", { 0x43, 0, 6, [8] = 20 }, BAD_FIELD },
    { "MMC-5 GET CONFIGURATION, profile", { 0x46, 2, [8] = 8 }, GOOD, .total = 8,
      .fields = { { 6, 2, 8 } } },
    { "MMC-5 GET EVENT STATUS", { 0x4a, 1, 0, 0, 0x10, [8] = 8 }, GOOD, .total = 8,
      .fields = { { 0, 4, 0x00060410 }, { 5, 1, 2 } } },
    { "MMC-5 no class that we have", { 0x4a, 1, 0, 0, 0x02, [8] = 8 }, GOOD, .total = 8,
      .fields = { { 0, 4, 0x00028010 } } },
    { "MMC-5 asynchronous", { 0x4a, 0, 0, 0, 0x10, [8] = 8 }, BAD_FIELD },
    { "MMC-5 READ DISC INFORMATION", { 0x51, [8] = 34 }, GOOD, .total = 34,
      .fields = { { 0, 4, 0x00200e01 } } },
    { "MMC-5 READ TRACK INFORMATION", { 0x52, 1, [5] = 1, [8] = 36 }, GOOD, .total = 36,
      .fields = { { 0, 4, 0x00220101 }, { 24, 4, 512 } } },
    { "MMC-5 no such track", { 0x52, 1, [5] = 2, [8] = 36 }, BAD_FIELD },
    { "MMC-5 MECHANISM STATUS", { 0xbd, [9] = 8 }, GOOD, .total = 8 },
    { "MMC-5 READ DVD STRUCTURE of a CD", { 0xad, [9] = 8 }, SENSE(5, 0x30, 2) },
    { "MMC-5 SET CD SPEED", { 0xbb, 0, 0xff, 0xff }, GOOD },
    { "MMC-5 page 2A", { 0x5a, 0, 0x2a, [8] = 30 }, GOOD, .total = 30,
      .fields = { { 6, 2, 0 }, { 8, 3, 0x2a143b } } },
    { "WRITE(10) to a CD", { 0x2a, [8] = 1 }, SENSE(5, 0x20, 0) },
};

static uint64_t get_be(const uint8_t *p, unsigned width)
{
    uint64_t v = 0;

    while (width--) {
        v = v << 8 | *p++;
    }
    return v;
}

static void run_row(DiskFx *d, const Row *row)
{
    unsigned len = scsi_cdb_len(row->cdb[0]);

    g_test_message("%s", row->demand);
    memset(d->data, 0, 4096);
    memcpy(d->data, row->out, sizeof(row->out));
    task_run(&d->fx, &d->t, 0, 0, row->cdb, len ? len : 16);
    g_assert_cmphex(d->t.req.status, ==, row->status);
    if (row->status == SCSI_CHECK_CONDITION) {
        assert_sense(&d->t, row->sense >> 16, row->sense >> 8 & 0xff, row->sense & 0xff);
    }
    g_assert_cmpint(d->t.req.total, ==, row->total);
    g_assert_cmpint(d->t.req.moved, ==, row->total);
    for (unsigned i = 0; i < G_N_ELEMENTS(row->fields) && row->fields[i].width; i++) {
        const Field *f = &row->fields[i];

        g_assert_cmphex(get_be(d->data + f->at, f->width), ==, f->value);
    }
    task_run(&d->fx, &d->t, 0, 0, CDB(0x03, 0, 0, 0, 18, 0));
}

static void cd_setup(DiskFx *d)
{
    *d = (DiskFx){ .t = { .data = d->data, .size = sizeof(d->data) } };
    fx_init(&d->fx, "hba,id=h");
    d->mem = fx_node(&d->fx, "mem,node-name=d,size=1M");
    fx_add(&d->fx, "scsi-cd,drive=d");
    fx_attach(&d->fx);
    fx_clear_ua(&d->fx, 0, 0);
}

static void hd_setup(DiskFx *d)
{
    disk_setup(d, "size=2M,discard=unmap,can-discard=on", "serial=abc");
}

static void test_disk(void)
{
    DiskFx d;

    hd_setup(&d);
    for (unsigned i = 0; i < G_N_ELEMENTS(disk_rows); i++) {
        run_row(&d, &disk_rows[i]);
    }
    disk_teardown(&d);
}

static void test_cd(void)
{
    DiskFx d;

    cd_setup(&d);
    for (unsigned i = 0; i < G_N_ELEMENTS(cd_rows); i++) {
        run_row(&d, &cd_rows[i]);
    }
    disk_teardown(&d);
}

/* ---- sweeps ---- */

/* Every command with an allocation length, and where it is. */
typedef struct AllocRow {
    uint8_t cdb[16];
    uint8_t at, width;
} AllocRow;

static const AllocRow disk_allocs[] = {
    { { 0x12 }, 3, 2 },          { { 0x12, 1, 0x00 }, 3, 2 }, { { 0x12, 1, 0x80 }, 3, 2 },
    { { 0x12, 1, 0x83 }, 3, 2 }, { { 0x12, 1, 0xb0 }, 3, 2 }, { { 0x12, 1, 0xb1 }, 3, 2 },
    { { 0x12, 1, 0xb2 }, 3, 2 }, { { 0x03 }, 4, 1 },          { { 0x03, 1 }, 4, 1 },
    { { 0x1a, 0, 0x3f }, 4, 1 }, { { 0x5a, 0, 0x3f }, 7, 2 }, { { 0x4d, 0, 0x40 }, 7, 2 },
    { { 0x4d, 0, 0x6f }, 7, 2 }, { { 0x5e, 0 }, 7, 2 },       { { 0x5e, 1 }, 7, 2 },
    { { 0x5e, 2 }, 7, 2 },       { { 0x5e, 3 }, 7, 2 },       { { 0x9e, 0x10 }, 10, 4 },
    { { 0x9e, 0x12 }, 10, 4 },   { { 0xa0 }, 6, 4 },          { { 0xa3, 0x0c }, 6, 4 },
    { { 0xa3, 0x0c, 0x80 }, 6, 4 }, { { 0xa3, 0x0c, 1, 0x28 }, 6, 4 },
};

static const AllocRow cd_allocs[] = {
    { { 0x12 }, 3, 2 },          { { 0x12, 1, 0x83 }, 3, 2 }, { { 0x43, 2, 0 }, 7, 2 },
    { { 0x43, 0, 1 }, 7, 2 },    { { 0x43, 2, 2 }, 7, 2 },    { { 0x46 }, 7, 2 },
    { { 0x4a, 1, 0, 0, 0x10 }, 7, 2 }, { { 0x51 }, 7, 2 },    { { 0x52, 1, 0, 0, 0, 1 }, 7, 2 },
    { { 0xbd }, 8, 2 },          { { 0x1a, 0, 0x3f }, 4, 1 }, { { 0x5a, 0, 0x3f }, 7, 2 },
    { { 0xa0 }, 6, 4 },          { { 0xa3, 0x0c }, 6, 4 },
};

/* The answer never exceeds the allocation, nor depends on it but for its end. */
static void sweep_alloc(DiskFx *d, const AllocRow *row)
{
    g_autofree uint8_t *all = g_malloc0(65536);
    uint64_t max = row->width == 4 ? UINT32_MAX : (1u << (8 * row->width)) - 1;
    uint64_t next;

    for (uint64_t alloc = max;; alloc = next) {
        uint8_t cdb[16], be[4];

        memcpy(cdb, row->cdb, sizeof(cdb));
        put_be32(be, (uint32_t)alloc);
        memcpy(cdb + row->at, be + 4 - row->width, row->width);
        memset(d->data, 0xee, 8192);
        task_run(&d->fx, &d->t, 0, 0, cdb, scsi_cdb_len(cdb[0]));
        assert_good(&d->t);
        g_assert_cmpuint(d->t.req.total, <=, MIN(alloc, 4096));
        g_assert_cmpuint(d->t.req.moved, ==, d->t.req.total);
        if (alloc == max) {
            memcpy(all, d->data, d->t.req.total);
        }
        g_assert_cmpmem(d->data, d->t.req.total, all, d->t.req.total);
        if (alloc == 0) {
            break;
        }
        next = alloc > 300 ? alloc / 2 : alloc - 1; /* each one below 300 */
    }
}

/* CVE-2011-3346 was an answer as long as the allocation length said. */
static void test_cve_2011_3346(void)
{
    DiskFx d;

    hd_setup(&d);
    for (unsigned i = 0; i < G_N_ELEMENTS(disk_allocs); i++) {
        sweep_alloc(&d, &disk_allocs[i]);
    }
    disk_teardown(&d);
    cd_setup(&d);
    for (unsigned i = 0; i < G_N_ELEMENTS(cd_allocs); i++) {
        sweep_alloc(&d, &cd_allocs[i]);
    }
    disk_teardown(&d);
}

/* CVE-2013-4344: as many LUNs as a target can have, by every LUN, also one that is not there. */
static void test_cve_2013_4344(void)
{
    uint8_t data[4096];
    Task t = { .data = data, .size = sizeof(data) };
    Fx fx;

    fx_init(&fx, "hba,id=h");
    for (unsigned id = 0; id < SCSI_MAX_ID; id++) {
        for (unsigned lun = 0; lun < SCSI_MAX_LUN && id != 7; lun++) {
            g_autofree char *text = g_strdup_printf("scsi-cd,scsi-id=%u,lun=%u", id, lun);

            fx_add(&fx, text);
        }
    }
    fx_attach(&fx);
    for (unsigned id = 0; id <= SCSI_MAX_ID; id++) {
        for (unsigned lun = 0; lun <= SCSI_MAX_LUN; lun += 4) {
            bool there = id < SCSI_MAX_ID && id != 7;

            task_run(&fx, &t, id, lun, CDB(0xa0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0));
            assert_good(&t);
            g_assert_cmpuint(get_be32(data), ==, there ? 8 * SCSI_MAX_LUN : 0);
            for (unsigned i = 0; there && i < SCSI_MAX_LUN; i++) {
                g_assert_cmphex(get_be64(data + 8 + 8 * i), ==, (uint64_t)i << 48);
            }
        }
    }
    fx_fini(&fx);
}

/* CVE-2015-5158: every opcode, known or not, with every number of bytes received, with zeros and
 * with ones in the rest. */
static void sweep_lengths(void (*setup)(DiskFx *))
{
    static const uint8_t fills[] = { 0x00, 0xff, 0x01, 0x10 };
    DiskFx d;

    setup(&d);
    for (unsigned op = 0; op < 256; op++) {
        for (unsigned len = 0; len <= 32; len++) {
            for (unsigned i = 0; i < G_N_ELEMENTS(fills); i++) {
                uint8_t cdb[32];
                unsigned need = scsi_cdb_len((uint8_t)op);

                memset(cdb, fills[i], sizeof(cdb));
                cdb[0] = (uint8_t)op;
                d.t.limit = 4096;
                task_submit(&d.fx, &d.t, 0, 0, cdb, len);
                fx_settle(&d.fx);
                if (!d.t.n_done) {
                    scsi_cancel(&d.t.req);
                    fx_settle(&d.fx);
                }
                g_assert_cmpuint(d.t.n_done, ==, 1);
                if (need && len > 0 && len < need && !d.t.req.cancelled) {
                    g_assert_cmphex(d.t.req.status, ==, SCSI_CHECK_CONDITION);
                }
            }
        }
    }
    d.t.limit = 0;
    disk_teardown(&d);
}

static void test_cve_2015_5158(void)
{
    sweep_lengths(hd_setup);
    sweep_lengths(cd_setup);
}

/* Parameter lists of every command that takes one, cut at every byte, both by the CDB and by an
 * initiator that stops sending. */
static void test_truncated(void)
{
    static const struct {
        uint8_t cdb[16];
        uint8_t at, len; /* low byte of the list's length; 0: not in the CDB */
    } rows[] = {
        { { 0x15, 0x10, 0, 0, 0 }, 4, 64 }, { { 0x55, 0x10 }, 8, 64 }, { { 0x42 }, 8, 64 },
        { { 0x5f, 0x00 }, 8, 24 },          { { 0x5f, 0x06 }, 8, 24 }, { { 0x41, [8] = 1 }, 0, 64 },
        { { 0x93, [13] = 1 }, 0, 64 },      { { 0x2f, 2, [8] = 1 }, 0, 64 },
        { { 0x2f, 6, [8] = 1 }, 0, 64 },    { { 0x2e, 2, [8] = 1 }, 0, 64 },
        { { 0x89, [13] = 1 }, 0, 64 },      { { 0x2a, [8] = 1 }, 0, 64 },
    };
    DiskFx d;

    hd_setup(&d);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (unsigned len = 0; len <= rows[i].len; len++) {
            uint8_t cdb[16];

            memcpy(cdb, rows[i].cdb, sizeof(cdb));
            fill_random(d.data, 64);
            if (rows[i].at) {
                cdb[rows[i].at] = (uint8_t)len;
                task_run(&d.fx, &d.t, 0, 0, cdb, scsi_cdb_len(cdb[0]));
                cdb[rows[i].at] = rows[i].len;
            }
            if (len == 0) {
                continue;
            }
            d.t.limit = len;
            task_submit(&d.fx, &d.t, 0, 0, cdb, scsi_cdb_len(cdb[0]));
            fx_settle(&d.fx);
            if (!d.t.n_done) {
                scsi_cancel(&d.t.req);
                fx_settle(&d.fx);
            }
            g_assert_cmpuint(d.t.n_done, ==, 1);
            d.t.limit = 0;
        }
    }
    disk_teardown(&d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-conformance/disk", test_disk);
    g_test_add_func("/scsi-conformance/cd", test_cd);
    g_test_add_func("/scsi-conformance/CVE-2011-3346", test_cve_2011_3346);
    g_test_add_func("/scsi-conformance/CVE-2013-4344", test_cve_2013_4344);
    g_test_add_func("/scsi-conformance/CVE-2015-5158", test_cve_2015_5158);
    g_test_add_func("/scsi-conformance/truncated", test_truncated);
    return g_test_run();
}
