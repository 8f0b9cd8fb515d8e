/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The properties of scsi-hd and scsi-cd: each has its effect, seen by the initiator where it is one
 * for the initiator, and a value that makes no sense is refused by its name.
 */
#include "scsi-fixture.h"

#define B0 0x12, 1, 0xb0, 0, 255, 0
#define B1 0x12, 1, 0xb1, 0, 255, 0
#define STD 0x12, 0, 0, 0, 36, 0
#define ID 0x12, 1, 0x83, 0, 255, 0
#define RC16 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0
#define THIN "size=4M,can-discard=on,discard=unmap"

/* len bytes of the answer to cdb, from offset at on. */
static const struct Prop {
    const char *name, *node, *device;
    uint8_t cdb[16], cdb_len;
    unsigned at, len;
    const char *want;
} props[] = {
    { "vendor", "size=1M", "vendor=ACME", { STD }, 6, 8, 8, "ACME    " },
    { "vendor-default", "size=1M", "lun=0", { STD }, 6, 8, 8, "QEMU    " },
    { "vendor-long", "size=1M", "vendor=ABCDEFGHIJ", { STD }, 6, 8, 9, "ABCDEFGHQ" },
    { "product", "size=1M", "product=Anvil", { STD }, 6, 16, 16, "Anvil           " },
    { "product-default", "size=1M", "lun=0", { STD }, 6, 16, 16, "QEMU HARDDISK   " },
    { "ver", "size=1M", "ver=9.z", { STD }, 6, 32, 4, "9.z " },
    { "ver-default", "size=1M", "lun=0", { STD }, 6, 32, 4, "2.5+" },
    { "scsi_version", "size=1M", "scsi_version=3", { STD }, 6, 2, 1, "\3" },
    { "removable", "size=1M", "removable=on", { STD }, 6, 1, 1, "\x80" },
    { "serial", "size=1M", "serial=S123", { 0x12, 1, 0x80, 0, 64, 0 }, 6, 3, 5, "\4S123" },
    { "device_id", "size=1M", "device_id=me", { ID }, 6, 4, 6, "\2\0\0\2me" },
    { "device_id-by-serial", "size=1M", "serial=xyz", { ID }, 6, 4, 7, "\2\0\0\3xyz" },
    { "wwn",
      "size=1M",
      "device_id=,wwn=0x5000c50015ea71ac",
      { ID },
      6,
      4,
      12,
      "\1\3\0\x08\x50\0\xc5\0\x15\xea\x71\xac" },
    { "port_wwn",
      "size=1M",
      "device_id=,port_wwn=0x5000c50015ea71ad",
      { ID },
      6,
      4,
      12,
      "\x61\x93\0\x08\x50\0\xc5\0\x15\xea\x71\xad" },
    { "port_index", "size=1M", "device_id=,port_index=3", { ID }, 6, 4, 8, "\x61\x94\0\4\0\0\0\3" },
    { "rotation_rate", "size=1M", "rotation_rate=7200", { B1 }, 6, 4, 2, "\x1c\x20" },
    { "rotation_rate-ssd", "size=1M", "rotation_rate=1", { B1 }, 6, 4, 2, "\0\1" },
    { "dpofua", "size=1M", "dpofua=on", { 0x1a, 8, 8, 0, 64, 0 }, 6, 2, 1, "\x10" },
    { "dpofua-off", "size=1M", "dpofua=off", { 0x1a, 8, 8, 0, 64, 0 }, 6, 2, 1, "\0" },
    { "write-cache", "size=1M", "write-cache=on", { 0x1a, 8, 8, 0, 64, 0 }, 6, 6, 1, "\4" },
    { "write-cache-off", "size=1M", "write-cache=off", { 0x1a, 8, 8, 0, 64, 0 }, 6, 6, 1, "\0" },
    { "logical_block_size",
      "size=1M",
      "logical_block_size=4096",
      { 0x25 },
      10,
      0,
      8,
      "\0\0\0\xff\0\0\x10\0" },
    { "physical_block_size", "size=1M", "physical_block_size=4096", { RC16 }, 16, 13, 1, "\3" },
    { "min_io_size", "size=1M", "min_io_size=4096", { B0 }, 6, 6, 2, "\0\x08" },
    { "opt_io_size", "size=1M", "opt_io_size=1M", { B0 }, 6, 12, 4, "\0\0\x08\0" },
    { "max_io_size", "size=1M", "max_io_size=65536", { B0 }, 6, 8, 4, "\0\0\0\x80" },
    { "max_unmap_size", THIN, "max_unmap_size=65536", { B0 }, 6, 20, 4, "\0\0\0\x80" },
    { "discard_granularity", THIN, "discard_granularity=8k", { B0 }, 6, 28, 4, "\0\0\0\x10" },
    { "discard_granularity-0", THIN, "discard_granularity=0", { RC16 }, 16, 14, 1, "\0" },
    { "discard_granularity-default", THIN, "lun=0", { RC16 }, 16, 14, 1, "\x80" },
    { "geometry",
      "size=1M",
      "cyls=77,heads=5,secs=9",
      { 0x1a, 8, 4, 0, 64, 0 },
      6,
      6,
      4,
      "\0\0\x4d\5" },
    { "geometry-flexible",
      "size=1M",
      "cyls=77,heads=5,secs=9",
      { 0x1a, 8, 5, 0, 64, 0 },
      6,
      8,
      6,
      "\5\x09\2\0\0\x4d" },
    { "exceptions-page", "size=1M", "lun=0", { 0x1a, 8, 0x1c, 0, 64, 0 }, 6, 4, 3, "\x1c\x0a\x08" },
};

static void test_effect(gconstpointer data)
{
    const struct Prop *p = data;
    DiskFx d;

    disk_setup(&d, p->node, p->device);
    task_run(&d.fx, &d.t, 0, 0, p->cdb, p->cdb_len);
    assert_good(&d.t);
    g_assert_cmpmem(d.data + p->at, p->len, p->want, p->len);
    disk_teardown(&d);
}

/* scsi-id= and lun= are where it answers. */
static void test_address(void)
{
    Task t = { 0 };
    Fx fx;

    fx_init(&fx, "hba,id=h");
    fx_node(&fx, "mem,node-name=a,size=1M");
    fx_add(&fx, "scsi-hd,drive=a,channel=0,scsi-id=9,lun=4,bootindex=1");
    fx_attach(&fx);
    g_assert_true(scsi_bus_has_target(fx.bus, 9));
    g_assert_false(scsi_bus_has_target(fx.bus, 0));
    fx_clear_ua(&fx, 9, 4);
    task_run(&fx, &t, 9, 0, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&t, 5, 0x25, 0);
    fx_fini(&fx);
}

static void test_cd(void)
{
    static uint8_t data[64];
    Task t = { .data = data, .size = sizeof(data) };
    Fx fx;

    fx_init(&fx, "hba,id=h");
    fx_node(&fx, "mem,node-name=a,size=1M,ro=on,read-only=on");
    fx_add(&fx, "scsi-cd,drive=a,vendor=ACME,ver=1,serial=CD1,wwn=0x5000000000000001");
    fx_attach(&fx);
    fx_clear_ua(&fx, 0, 0);
    task_run(&fx, &t, 0, 0, CDB(STD));
    assert_good(&t);
    g_assert_cmpmem(data, 2, "\5\x80", 2);
    g_assert_cmpmem(data + 8, 28, "ACME    QEMU CD-ROM     1   ", 28);
    task_run(&fx, &t, 0, 0, CDB(0x12, 1, 0x80, 0, 64, 0));
    assert_good(&t);
    g_assert_cmpmem(data + 3, 4, "\3CD1", 4);
    fx_fini(&fx);
}

/* Text of an option, and what the message must have in it. */
static void test_refused(void)
{
    static const char *const bad[][2] = {
        { "logical_block_size=513", "logical_block_size" },
        { "logical_block_size=65536", "logical_block_size" },
        { "physical_block_size=100", "physical_block_size" },
        { "logical_block_size=4096,physical_block_size=512", "logical_block_size" },
        { "min_io_size=1000", "min_io_size" },
        { "opt_io_size=1000", "opt_io_size" },
        { "discard_granularity=1000", "discard_granularity" },
        { "scsi_version=8", "scsi_version" },
        { "rerror=perhaps", "rerror" },
        { "werror=perhaps", "werror" },
        { "wwn=yes", "wwn" },
        { "removable=maybe", "removable" },
        { "rotation_rate=70000", "rotation_rate" },
        { "scsi-id=7", "7" },
        { "scsi-id=16", "16" },
        { "lun=8", "8" },
        { "channel=1", "channel" },
        { "no_such=1", "no_such" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf("scsi-hd,drive=a,%s", bad[i][0]);
        g_autoptr(GError) err = NULL;
        Fx fx;

        fx_init(&fx, "hba,id=h");
        fx_node(&fx, "mem,node-name=a,size=1M");
        fx_attach(&fx);
        g_assert_null(fx_device(&fx, text, &err));
        if (!strstr(err->message, bad[i][1])) {
            g_error("%s: \"%s\"", bad[i][0], err->message);
        }
        fx_fini(&fx);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(props); i++) {
        g_autofree char *name = g_strdup_printf("/scsi-props/%s", props[i].name);

        g_test_add_data_func(name, &props[i], test_effect);
    }
    g_test_add_func("/scsi-props/address", test_address);
    g_test_add_func("/scsi-props/cd", test_cd);
    g_test_add_func("/scsi-props/refused", test_refused);
    return g_test_run();
}
