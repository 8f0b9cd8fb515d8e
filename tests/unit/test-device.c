/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device tree with made-up types: an adapter on PCI that offers a SCSI bus, a disk on SCSI,
 * and a card whose realize can be told to fail. Names, defaults and messages are the stock's.
 */
#include "hw/core/device.h"
#include "util/error.h"
#include <string.h>

typedef struct Adapter {
    bool fail;
    char *label;
} Adapter;

typedef struct Disk {
    uint8_t lun;
    char *serial;
} Disk;

typedef struct Fixture {
    DeviceTree *tree;
} Fixture;

static GString *events; /* "+name -name ..." of realize and unrealize */

static bool adapter_realize(Device *dev, GError **errp)
{
    Adapter *adapter = dev->state;

    g_assert_nonnull(dev->bus);
    g_assert_nonnull(dev->child);
    g_assert_false(dev->realized);
    if (adapter->fail) {
        return error_set(errp, "%s refuses", device_name(dev));
    }
    dev->child->impl = adapter;
    g_string_append_printf(events, "+%s ", device_name(dev));
    return true;
}

static bool disk_realize(Device *dev, G_GNUC_UNUSED GError **errp)
{
    g_assert_null(dev->child);
    g_assert_true(dev->bus->impl == dev->bus->owner->state);
    g_string_append_printf(events, "+%s ", device_name(dev));
    return true;
}

static void fake_unrealize(Device *dev)
{
    g_assert_true(dev->realized);
    g_string_append_printf(events, "-%s ", device_name(dev));
}

static const OptDesc adapter_props[] = {
    { .name = "fail", .type = OPT_BOOL, .offset = offsetof(Adapter, fail) },
    { .name = "label", .type = OPT_STRING, .offset = offsetof(Adapter, label), .def_str = "none" },
    { .type = OPT_END },
};

static const OptDesc disk_props[] = {
    { .name = "lun", .type = OPT_U8, .offset = offsetof(Disk, lun), .max = 7 },
    { .name = "serial", .type = OPT_STRING, .offset = offsetof(Disk, serial) },
    { .type = OPT_END },
};

static const DeviceType adapter_type = {
    .name = "lsi53c895a",
    .alias = "lsi",
    .desc = "fake adapter",
    .bus_kind = BUS_PCI,
    .child_kind = BUS_SCSI,
    .props = adapter_props,
    .size = sizeof(Adapter),
    .realize = adapter_realize,
    .unrealize = fake_unrealize,
};

static const DeviceType disk_type = {
    .name = "scsi-hd",
    .desc = "fake disk",
    .bus_kind = BUS_SCSI,
    .props = disk_props,
    .size = sizeof(Disk),
    .realize = disk_realize,
    .unrealize = fake_unrealize,
};

static const DeviceType *const types[] = { &adapter_type, &disk_type, NULL };

static void setup(Fixture *f, G_GNUC_UNUSED const void *data)
{
    events = g_string_new(NULL);
    f->tree = device_tree_new(types, (BlockGraph *)events);
}

static void teardown(Fixture *f, G_GNUC_UNUSED const void *data)
{
    device_tree_free(f->tree);
    g_string_free(events, true);
}

static Device *add(Fixture *f, const char *text)
{
    g_autoptr(Opts) opts = opts_parse(text, "driver", NULL);
    g_autoptr(GError) err = NULL;
    Device *dev = device_new(f->tree, opts, &err);

    g_assert_no_error(err);
    g_assert_nonnull(dev);
    g_assert_true(dev->realized);
    return dev;
}

static void refuse(Fixture *f, const char *text, const char *message)
{
    g_autoptr(Opts) opts = opts_parse(text, "driver", NULL);
    g_autoptr(GError) err = NULL;
    unsigned devices = f->tree->devices->len;
    unsigned buses = f->tree->buses->len;

    g_assert_null(device_new(f->tree, opts, &err));
    g_assert_error(err, SETUP_ERROR, 0);
    g_assert_cmpstr(err->message, ==, message);
    g_assert_cmpuint(f->tree->devices->len, ==, devices);
    g_assert_cmpuint(f->tree->buses->len, ==, buses);
}

static void test_root(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Bus *root = bus_find(f->tree, "remote-pci");

    g_assert_nonnull(root);
    g_assert_cmpstr(root->kind, ==, BUS_PCI);
    g_assert_null(root->owner);
    g_assert_true(bus_find(f->tree, "pci.0") == root);
    g_assert_null(bus_find(f->tree, "pci"));
    g_assert_true(add(f, "lsi53c895a,bus=pci.0")->bus == root);
    g_assert_true(add(f, "lsi53c895a,bus=remote-pci")->bus == root);
    g_assert_cmpuint(root->children->len, ==, 2);
}

static void test_types(Fixture *f, G_GNUC_UNUSED const void *data)
{
    g_assert_true(device_type_find(f->tree, "lsi53c895a") == &adapter_type);
    g_assert_true(device_type_find(f->tree, "lsi") == &adapter_type);
    g_assert_null(device_type_find(f->tree, "ls"));
    refuse(f, "foo", "'foo' is not a valid device model name");
    refuse(f, "id=x", "Parameter 'driver' is missing");
}

static void test_bus_names(Fixture *f, G_GNUC_UNUSED const void *data)
{
    g_assert_cmpstr(add(f, "lsi")->child->name, ==, "scsi.0");
    g_assert_cmpstr(add(f, "lsi,id=l1")->child->name, ==, "l1.0");
    g_assert_cmpstr(add(f, "lsi")->child->name, ==, "scsi.1");
    refuse(f, "lsi,id=scsi", "Duplicate bus name 'scsi.0'");
    /* A device called pci takes the alias away from the root. */
    g_assert_true(add(f, "lsi,id=pci")->child == bus_find(f->tree, "pci.0"));
}

static void test_bus_default(Fixture *f, G_GNUC_UNUSED const void *data)
{
    refuse(f, "scsi-hd", "No 'SCSI' bus found for device 'scsi-hd'");
    add(f, "lsi,id=a");
    g_assert_cmpstr(add(f, "scsi-hd")->bus->name, ==, "a.0");
    add(f, "lsi,id=b");
    g_assert_cmpstr(add(f, "scsi-hd")->bus->name, ==, "b.0");
    g_assert_cmpstr(add(f, "scsi-hd,bus=a.0")->bus->name, ==, "a.0");
}

static void test_bus_refused(Fixture *f, G_GNUC_UNUSED const void *data)
{
    add(f, "lsi,id=a");
    refuse(f, "scsi-hd,bus=foo", "Bus 'foo' not found");
    refuse(f, "scsi-hd,bus=a", "Bus 'a' not found");
    refuse(f, "scsi-hd,bus=pci.0", "'pci.0' is a PCI bus; device 'scsi-hd' needs a SCSI bus");
    refuse(f, "lsi,bus=a.0", "'a.0' is a SCSI bus; device 'lsi53c895a' needs a PCI bus");
}

static void test_ids(Fixture *f, G_GNUC_UNUSED const void *data)
{
    static const char *const bad[] = { "", "9a", "-a", ".a", "a b", "a/b", "a\xc3\xa4", "a,b" };
    Device *dev = add(f, "lsi,id=a-Z.0_9");

    g_assert_true(device_find(f->tree, "a-Z.0_9") == dev);
    g_assert_null(device_find(f->tree, "a"));
    refuse(f, "lsi,id=a-Z.0_9", "Duplicate device ID 'a-Z.0_9'");
    refuse(f, "scsi-hd,id=a-Z.0_9", "Duplicate device ID 'a-Z.0_9'");
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *message =
            g_strdup_printf("Parameter 'id' expects a letter, then letters, digits, '-', '.' or "
                            "'_', not '%s'",
                            bad[i]);
        g_autoptr(Opts) opts = opts_parse("lsi", "driver", NULL);
        g_autoptr(GError) err = NULL;

        opts_set(opts, "id", bad[i]);
        g_assert_null(device_new(f->tree, opts, &err));
        g_assert_cmpstr(err->message, ==, message);
    }
}

static void test_names(Fixture *f, G_GNUC_UNUSED const void *data)
{
    g_assert_cmpstr(device_name(add(f, "lsi,id=l")), ==, "l");
    g_assert_cmpstr(device_name(add(f, "lsi")), ==, "lsi53c895a");
}

static void test_properties(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Device *lsi = add(f, "lsi");
    Device *hd = add(f, "scsi-hd,lun=5,serial=x,,y");
    Adapter *adapter = lsi->state;
    Disk *disk = hd->state;

    g_assert_cmpstr(adapter->label, ==, "none");
    g_assert_cmpuint(disk->lun, ==, 5);
    g_assert_cmpstr(disk->serial, ==, "x,y");
    g_assert_true(hd->blocks == f->tree->blocks);
    refuse(f, "lsi,foo=1", "Property 'lsi53c895a.foo' not found");
    refuse(f, "scsi-hd,lun=8", "Parameter 'lun' expects a number between 0 and 7, not '8'");
}

static void test_realize_refused(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Bus *root = bus_find(f->tree, "remote-pci");

    refuse(f, "lsi,id=a,fail=on,label=x", "a refuses");
    g_assert_cmpuint(root->children->len, ==, 0);
    g_assert_cmpstr(events->str, ==, "");
    /* id and bus name are free again */
    add(f, "lsi,id=a");
    refuse(f, "lsi,fail=on", "lsi53c895a refuses");
    g_assert_cmpstr(add(f, "lsi")->child->name, ==, "scsi.0");
}

static void test_free_order(Fixture *f, G_GNUC_UNUSED const void *data)
{
    add(f, "lsi,id=a");
    add(f, "lsi,id=b");
    add(f, "scsi-hd,id=d,bus=a.0");
    add(f, "scsi-hd,id=e,bus=b.0");
    device_tree_free(f->tree);
    f->tree = NULL;
    g_assert_cmpstr(events->str, ==, "+a +b +d +e -e -d -b -a ");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Fixture *f, const void *data);
    } tests[] = {
        { "/device/root", test_root },
        { "/device/types", test_types },
        { "/device/bus-names", test_bus_names },
        { "/device/bus-default", test_bus_default },
        { "/device/bus-refused", test_bus_refused },
        { "/device/ids", test_ids },
        { "/device/names", test_names },
        { "/device/properties", test_properties },
        { "/device/realize-refused", test_realize_refused },
        { "/device/free-order", test_free_order },
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].name, Fixture, NULL, setup, tests[i].fn, teardown);
    }
    return g_test_run();
}
