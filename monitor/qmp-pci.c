/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-pci: each PCI function as its guest has programmed it. Functions of different connections
 * are different guests' affairs, so each is alone on its bus, at the place where the remote sees
 * it: slot 0. The VMM decides where its guest sees it.
 *
 * A function's config space belongs to its thread, which copies it.
 */
#include "monitor/call.h"
#include "hw/pci/pci.h"
#include "monitor/commands.h"
#include <string.h>

/* --- types --- */

/* clang-format off */

static QMP_STRUCT(region_type, "PciMemoryRegion",
    QMP_MEMBER("bar", qmp_int, NULL),
    QMP_MEMBER("type", qmp_str, "io or memory"),
    QMP_MEMBER("address", qmp_int, "-1: none"),
    QMP_MEMBER("size", qmp_int, "bytes"),
    QMP_OPTIONAL("prefetch", qmp_bool, NULL),
    QMP_OPTIONAL("mem_type_64", qmp_bool, NULL));
static QMP_LIST(regions_type, "[PciMemoryRegion]", region_type);
static QMP_STRUCT(class_type, "PciDeviceClass",
    QMP_OPTIONAL("desc", qmp_str, NULL),
    QMP_MEMBER("class", qmp_int, NULL));
static QMP_STRUCT(id_type, "PciDeviceId",
    QMP_MEMBER("device", qmp_int, NULL),
    QMP_MEMBER("vendor", qmp_int, NULL),
    QMP_OPTIONAL("subsystem", qmp_int, NULL),
    QMP_OPTIONAL("subsystem-vendor", qmp_int, NULL));
static QMP_STRUCT(device_type, "PciDeviceInfo",
    QMP_MEMBER("bus", qmp_int, NULL),
    QMP_MEMBER("slot", qmp_int, NULL),
    QMP_MEMBER("function", qmp_int, NULL),
    QMP_MEMBER("class_info", class_type, NULL),
    QMP_MEMBER("id", id_type, NULL),
    QMP_OPTIONAL("irq", qmp_int, "as the guest's firmware has set it"),
    QMP_MEMBER("irq_pin", qmp_int, "1: INTA"),
    QMP_MEMBER("qdev_id", qmp_str, NULL),
    QMP_MEMBER("regions", regions_type, NULL));
static QMP_LIST(devices_type, "[PciDeviceInfo]", device_type);
static QMP_STRUCT(bus_type, "PciInfo",
    QMP_MEMBER("bus", qmp_int, NULL),
    QMP_MEMBER("devices", devices_type, NULL));
static QMP_LIST(buses_type, "[PciInfo]", bus_type);
/* clang-format on */

/* --- the query --- */

typedef struct PciCopy {
    PciDev *pci;
    char *id;
    uint8_t config[PCI_CONFIG_SIZE];
    struct {
        PciBarKind kind;
        uint32_t size;
        bool mapped;
        uint64_t base;
    } bar[PCI_NUM_BARS];
} PciCopy;

static void run_copy(CallPart *part)
{
    PciCopy *copy = part->data;
    PciDev *pci = copy->pci;

    memcpy(copy->config, pci->config, sizeof(copy->config));
    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        copy->bar[i].size = pci_bar_size(pci, i);
        if (copy->bar[i].size) {
            copy->bar[i].kind = pci->bars[i].kind;
            copy->bar[i].mapped = pci_bar_base(pci, i, &copy->bar[i].base);
        }
    }
    call_done(part);
}

static uint16_t word(const PciCopy *copy, unsigned at)
{
    return copy->config[at] | copy->config[at + 1] << 8;
}

static json_t *regions_json(const PciCopy *copy)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        bool io = copy->bar[i].kind == PCI_BAR_IO;
        json_int_t address = copy->bar[i].mapped ? (json_int_t)copy->bar[i].base : -1;
        json_t *region;

        if (!copy->bar[i].size) {
            continue;
        }
        region = json_pack("{s:i, s:I, s:I, s:s}", "bar", i, "size", (json_int_t)copy->bar[i].size,
                           "address", address, "type", io ? "io" : "memory");
        if (!io) {
            json_object_set_new(region, "prefetch", json_false());
            json_object_set_new(region, "mem_type_64", json_false());
        }
        json_array_append_new(list, region);
    }
    return list;
}

static json_t *function_json(const PciCopy *copy)
{
    uint16_t class = word(copy, PCI_CLASS_DEVICE);
    json_t *class_info = json_pack("{s:i}", "class", class);

    if (class == 0x0100) {
        json_object_set_new(class_info, "desc", json_string("SCSI controller"));
    }
    return json_pack("{s:i, s:i, s:i, s:o, s:{s:i, s:i, s:i, s:i}, s:i, s:i, s:s, s:o}", "bus", 0,
                     "slot", 0, "function", 0, "class_info", class_info, "id", "device",
                     word(copy, PCI_DEVICE_ID), "vendor", word(copy, PCI_VENDOR_ID), "subsystem",
                     word(copy, PCI_SUBSYS_ID), "subsystem-vendor", word(copy, PCI_SUBSYS_VENDOR),
                     "irq", copy->config[PCI_INT_LINE], "irq_pin", copy->config[PCI_INT_PIN],
                     "qdev_id", copy->id, "regions", regions_json(copy));
}

static void copied(QmpRequest *req, const GPtrArray *parts)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < parts->len; i++) {
        const CallPart *part = g_ptr_array_index(parts, i);

        json_array_append_new(
            list, json_pack("{s:i, s:[o]}", "bus", i, "devices", function_json(part->data)));
    }
    qmp_return(req, list);
}

static void copy_free(void *opaque)
{
    PciCopy *copy = opaque;

    g_free(copy->id);
    g_free(copy);
}

static void do_query_pci(QmpRequest *req)
{
    static const CallKind kind = { .run = run_copy, .finish = copied, .release = copy_free };
    const GPtrArray *devices = req->monitor->config.devices->devices;
    MonitorCall *call = call_new(req, &kind);

    for (unsigned i = 0; i < devices->len; i++) {
        const Device *dev = g_ptr_array_index(devices, i);
        PciCopy *copy;

        if (dev->leaving || strcmp(dev->type->bus_kind, BUS_PCI) != 0) {
            continue;
        }
        copy = g_new0(PciCopy, 1);
        copy->pci = dev->state;
        copy->id = g_strdup(dev->id ? dev->id : "");
        call_add(call, monitor_device_loop(dev), copy);
    }
    call_start(call);
}

/* clang-format off */
const QmpCommand qmp_pci_commands[] = {
    { .name = "query-pci", .ret = &buses_type, .when = QMP_ALWAYS, .run = do_query_pci,
      .help = "The PCI functions, as their guests have programmed them." },
    { .name = NULL }
};
/* clang-format on */
