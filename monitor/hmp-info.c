/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `info`: the answers of QMP's queries as text. A formatter takes the answer apart by the names
 * that the query's type has, which the schema's check holds (tests run each).
 *
 * Main thread.
 */
#include "hw/pci/pci.h"
#include "monitor/commands.h"
#include "monitor/hmp.h"
#include <inttypes.h>
#include <string.h>

static const char *str(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

static json_int_t num(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static bool is(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

#define ADD(...) g_string_append_printf(out, __VA_ARGS__)
#define NUM "%" JSON_INTEGER_FORMAT

static void format_version(Monitor *monitor G_GNUC_UNUSED, const json_t *value, GString *out)
{
    const json_t *v = json_object_get(value, "qemu");

    ADD(NUM "." NUM "." NUM " (%s)\r\n", num(v, "major"), num(v, "minor"), num(v, "micro"),
        str(value, "package"));
}

static void format_name(Monitor *monitor G_GNUC_UNUSED, const json_t *value, GString *out)
{
    if (json_object_get(value, "name")) {
        ADD("%s\r\n", str(value, "name"));
    }
}

static void format_status(Monitor *monitor G_GNUC_UNUSED, const json_t *value, GString *out)
{
    bool reason = !is(value, "running") && strcmp(str(value, "status"), "paused") != 0;

    ADD("VM status: %s", is(value, "running") ? "running" : "paused");
    if (reason) {
        ADD(" (%s)", str(value, "status"));
    }
    ADD("\r\n");
}

static void format_chardev(Monitor *monitor G_GNUC_UNUSED, const json_t *value, GString *out)
{
    const json_t *item;
    size_t i;

    json_array_foreach((json_t *)value, i, item) {
        ADD("%s: filename=%s\r\n", str(item, "label"), str(item, "filename"));
    }
}

static const char *cache_text(const json_t *cache)
{
    if (is(cache, "no-flush")) {
        return "writeback, ignore flushes";
    }
    if (is(cache, "writeback")) {
        return is(cache, "direct") ? "writeback, direct" : "writeback";
    }
    return is(cache, "direct") ? "writethrough, direct" : "writethrough";
}

static void format_block(Monitor *monitor G_GNUC_UNUSED, const json_t *value, GString *out)
{
    const json_t *item;
    size_t i;

    json_array_foreach((json_t *)value, i, item) {
        const json_t *in = json_object_get(item, "inserted");
        const char *device = str(item, "device");
        const char *name = *device ? device : in ? str(in, "node-name") : str(item, "qdev");

        ADD("%s%s: ", i ? "\r\n" : "", name);
        if (in) {
            ADD("%s (%s%s)\r\n", str(in, "file"), str(in, "drv"),
                is(in, "ro") ? ", read-only" : "");
        } else {
            ADD("[not inserted]\r\n");
        }
        ADD("    Attached to:      %s\r\n", str(item, "qdev"));
        if (is(item, "removable")) {
            ADD("    Removable device: %slocked, tray %s\r\n", is(item, "locked") ? "" : "not ",
                is(item, "tray_open") ? "open" : "closed");
        }
        if (in) {
            ADD("    Cache mode:       %s\r\n", cache_text(json_object_get(in, "cache")));
        }
    }
}

static void format_blockstats(Monitor *monitor G_GNUC_UNUSED, const json_t *value, GString *out)
{
    static const char *const shown[] = {
        "rd_bytes",         "wr_bytes",         "rd_operations",    "wr_operations",
        "flush_operations", "wr_total_time_ns", "rd_total_time_ns", "flush_total_time_ns",
        "rd_merged",        "wr_merged",
    };
    const json_t *item;
    size_t i;

    json_array_foreach((json_t *)value, i, item) {
        ADD("%s:", str(item, "qdev"));
        for (unsigned k = 0; k < G_N_ELEMENTS(shown); k++) {
            ADD(" %s=" NUM, shown[k], num(json_object_get(item, "stats"), shown[k]));
        }
        ADD("\r\n");
    }
}

static void format_region(const json_t *region, GString *out)
{
    json_int_t address = num(region, "address");
    json_int_t end = address + num(region, "size") - 1;
    bool io = strcmp(str(region, "type"), "io") == 0;

    ADD("      BAR" NUM ": %s at ", num(region, "bar"), io ? "I/O" : "32 bit memory");
    if (address < 0) {
        ADD("none, " NUM " bytes\r\n", num(region, "size"));
    } else {
        ADD("0x%04" PRIx64 " [0x%04" PRIx64 "].\r\n", (int64_t)address, (int64_t)end);
    }
}

static void format_function(const json_t *dev, GString *out)
{
    const json_t *id = json_object_get(dev, "id");
    const json_t *class = json_object_get(dev, "class_info");
    const json_t *region;
    size_t i;

    ADD("  Bus " NUM ", device " NUM ", function " NUM ":\r\n", num(dev, "bus"), num(dev, "slot"),
        num(dev, "function"));
    if (json_object_get(class, "desc")) {
        ADD("    %s", str(class, "desc"));
    } else {
        ADD("    Class %04x", (unsigned)num(class, "class"));
    }
    ADD(": PCI device %04x:%04x\r\n", (unsigned)num(id, "vendor"), (unsigned)num(id, "device"));
    ADD("      PCI subsystem %04x:%04x\r\n", (unsigned)num(id, "subsystem-vendor"),
        (unsigned)num(id, "subsystem"));
    if (num(dev, "irq_pin")) {
        ADD("      IRQ " NUM ", pin %c\r\n", num(dev, "irq"), (int)('A' + num(dev, "irq_pin") - 1));
    }
    json_array_foreach(json_object_get(dev, "regions"), i, region) {
        format_region(region, out);
    }
    ADD("      id \"%s\"\r\n", str(dev, "qdev_id"));
}

static void format_pci(Monitor *monitor G_GNUC_UNUSED, const json_t *value, GString *out)
{
    const json_t *bus, *dev;
    size_t i, k;

    json_array_foreach((json_t *)value, i, bus) {
        json_array_foreach(json_object_get(bus, "devices"), k, dev) {
            format_function(dev, out);
        }
    }
}

static void format_remote(Monitor *monitor G_GNUC_UNUSED, const json_t *value, GString *out)
{
    const json_t *item, *sub;
    size_t i, k;

    json_array_foreach((json_t *)value, i, item) {
        ADD("%s: %s serves %s (%s), %s\r\n", str(item, "id"), str(item, "protocol"),
            str(item, "device"), str(item, "driver"), str(item, "state"));
        if (json_object_get(item, "peer-pid")) {
            ADD("    Client:       pid " NUM "\r\n", num(item, "peer-pid"));
        }
        json_array_foreach(json_object_get(item, "memory-regions"), k, sub) {
            ADD("    Memory:       0x%012" PRIx64 ", 0x%" PRIx64 " bytes\r\n",
                (int64_t)num(sub, "gpa"), (int64_t)num(sub, "size"));
        }
        json_array_foreach(json_object_get(item, "messages"), k, sub) {
            ADD("    Message:      %s " NUM "\r\n", str(sub, "name"), num(sub, "count"));
        }
        ADD("    Config space: " NUM " reads, " NUM " writes\r\n", num(item, "config-reads"),
            num(item, "config-writes"));
        json_array_foreach(json_object_get(item, "bars"), k, sub) {
            ADD("    BAR " NUM ":        " NUM " reads, " NUM " writes\r\n", num(sub, "bar"),
                num(sub, "reads"), num(sub, "writes"));
        }
        ADD("    Interrupts:   " NUM "\r\n", num(item, "interrupts"));
        ADD("    Slowest turn: %.3f ms\r\n", (double)num(item, "slowest-turn-ns") / 1e6);
        ADD("    Errors:       " NUM "%s%s\r\n", num(item, "errors"),
            json_object_get(item, "last-error") ? ", the last one: " : "", str(item, "last-error"));
    }
}

/* --- the tree of devices, as it was configured --- */

static void add_property(const OptDesc *desc, const void *state, unsigned indent, GString *out)
{
    json_t *value = opt_value_json(desc, state);
    char *text = json_dumps(value, JSON_ENCODE_ANY);

    ADD("%*s%s = %s\r\n", (int)indent, "", desc->name, text);
    free(text);
    json_decref(value);
}

static void add_bus(const Bus *bus, unsigned indent, GString *out);

static void add_device(const Device *dev, unsigned indent, GString *out)
{
    ADD("%*sdev: %s, id \"%s\"\r\n", (int)indent, "", dev->type->name, dev->id ? dev->id : "");
    for (const OptDesc *desc = dev->type->props; desc->type != OPT_END; desc++) {
        add_property(desc, dev->state, indent + 2, out);
    }
    if (dev->child) {
        add_bus(dev->child, indent + 2, out);
    }
}

static void add_bus(const Bus *bus, unsigned indent, GString *out)
{
    ADD("%*sbus: %s\r\n%*stype %s\r\n", (int)indent, "", bus->name, (int)indent + 2, "", bus->kind);
    for (unsigned i = 0; i < bus->children->len; i++) {
        add_device(g_ptr_array_index(bus->children, i), indent + 2, out);
    }
}

static void format_qtree(Monitor *monitor, const json_t *value G_GNUC_UNUSED, GString *out)
{
    add_bus(g_ptr_array_index(monitor->config.devices->buses, 0), 0, out);
}

/* clang-format off */
const HmpCommand hmp_info_commands[] = {
    { .name = "info block", .qmp = "query-block", .format = format_block,
      .help = "show the disks and what is in them" },
    { .name = "info blockstats", .qmp = "query-blockstats", .format = format_blockstats,
      .help = "show block device statistics" },
    { .name = "info chardev", .qmp = "query-chardev", .format = format_chardev,
      .help = "show the character devices" },
    { .name = "info name", .qmp = "query-name", .format = format_name,
      .help = "show the current VM name" },
    { .name = "info pci", .qmp = "query-pci", .format = format_pci, .help = "show PCI info" },
    { .name = "info qtree", .format = format_qtree, .help = "show device tree" },
    { .name = "info remote", .qmp = "query-remote", .format = format_remote,
      .help = "show the connections and what they have done" },
    { .name = "info status", .qmp = "query-status", .format = format_status,
      .help = "show whether devices run" },
    { .name = "info version", .qmp = "query-version", .format = format_version,
      .help = "show the version of this program" },
    { .name = NULL }
};
/* clang-format on */
