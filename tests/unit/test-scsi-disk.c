/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scsi-hd's commands: what they answer and what they refuse. Data is test-scsi-io's. */
#include "scsi-fixture.h"

#define BLOCKS 4096u

static void test_inquiry(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M", "serial=abc");
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
    disk_teardown(&d);
}

static void test_vpd(void)
{
    static const uint8_t list[] = { 0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
    static const uint8_t ident[] = {
        0, 0x83, 0, 40, 2, 0, 0, 8, 's', 'e', 'r', 'i', 'a', 'l', '-', '1', 1, 3, 0, 8, 0x50, 1,
        2, 3, 4, 5, 6, 7, 0x61, 0x93, 0, 8, 0x50, 7, 7, 7, 7, 7, 7, 7, 0x61, 0x94, 0, 4, 0, 0, 0, 3,
    };
    DiskFx d;

    disk_setup(&d, "size=2M,discard=unmap,can-discard=on",
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
    disk_teardown(&d);

    disk_setup(&d, "size=2M", "lun=0"); /* neither serial nor discard */
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
    disk_teardown(&d);
}

static void test_capacity(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M", "physical_block_size=4096");
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
    disk_teardown(&d);

    disk_setup(&d, "size=1000K,discard=unmap,can-discard=on", "logical_block_size=4096");
    RUN(&d, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
    g_assert_cmpuint(get_be64(d.data), ==, 249);
    g_assert_cmpuint(get_be32(d.data + 8), ==, 4096);
    g_assert_cmphex(d.data[14], ==, 0x80);
    disk_teardown(&d);
}

/* The CDBs of Linux and SeaBIOS. */
static void resize_done(BlockReq *req)
{
    g_assert_cmpint(req->res, ==, 0);
}

static void test_resized(void)
{
    DiskFx d;
    BlockReq req = { .op = BLOCK_RESIZE, .bytes = 512 << 10, .done = resize_done };

    disk_setup(&d, "size=1M", "lun=0");
    block_submit(block_find(d.fx.graph, "d0"), &req);
    fx_settle(&d.fx);
    RUN(&d, 0, 0, 0, 0, 0, 0);
    assert_sense(&d.t, 6, 0x2a, 9);
    RUN(&d, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_good(&d.t);
    g_assert_cmpuint(get_be32(d.data), ==, 1023);
    RUN(&d, 0x28, 0, 0, 0, 4, 0, 0, 0, 1, 0);
    assert_sense(&d.t, 5, 0x21, 0);
    disk_teardown(&d);
}

static void test_mode_sense(void)
{
    DiskFx d;

    disk_setup(&d, "size=2M", "dpofua=on");
    RUN(&d, 0x1a, 0, 0x3f, 0, 4, 0);
    assert_good(&d.t);
    g_assert_cmpuint(d.t.req.total, ==, 4);
    g_assert_cmphex(d.data[0], ==, 4 + 8 + 12 + 24 + 32 + 20 + 12 + 12 - 1);
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
    RUN(&d, 0x1a, 8, 0x48, 0, 255, 0); /* changeable: WCE */
    g_assert_cmpmem(d.data + 4, 4, "\x08\x12\x04\0", 4);
    RUN(&d, 0x1a, 0, 0xc8, 0, 255, 0);
    assert_sense(&d.t, 5, 0x39, 0);
    RUN(&d, 0x1a, 0, 0x2a, 0, 255, 0);
    assert_sense(&d.t, 5, 0x24, 0);
    RUN(&d, 0x1a, 0, 8, 1, 255, 0); /* a subpage */
    assert_sense(&d.t, 5, 0x24, 0);
    disk_teardown(&d);

    disk_setup(&d, "size=2M,ro=on", "write-cache=off");
    RUN(&d, 0x1a, 8, 8, 0, 255, 0);
    g_assert_cmphex(d.data[2], ==, 0x80); /* WP */
    g_assert_cmphex(d.data[6], ==, 0);
    disk_teardown(&d);
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

    disk_setup(&d, "size=2M", "serial=x");
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
    disk_teardown(&d);
}

/* REPORT SUPPORTED OPERATION CODES agrees with the decoder on every opcode. */
static void test_report_opcodes(void)
{
    DiskFx d;
    uint8_t known[256] = { 0 };

    disk_setup(&d, "size=2M", "lun=0");
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
    disk_teardown(&d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-disk/inquiry", test_inquiry);
    g_test_add_func("/scsi-disk/vpd", test_vpd);
    g_test_add_func("/scsi-disk/capacity", test_capacity);
    g_test_add_func("/scsi-disk/resized", test_resized);
    g_test_add_func("/scsi-disk/mode-sense", test_mode_sense);
    g_test_add_func("/scsi-disk/cdb-sweep", test_sweep);
    g_test_add_func("/scsi-disk/alloc-sweep", test_alloc_sweep);
    g_test_add_func("/scsi-disk/report-opcodes", test_report_opcodes);
    return g_test_run();
}
