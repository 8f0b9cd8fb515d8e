/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of devices and buses that the command line builds: the root PCI bus, adapters on it,
 * the buses they offer, and what sits on those. It is a set-up structure: once a device runs, its
 * instance knows its neighbours by itself and nobody walks the tree.
 *
 * device_new() resolves type, id and bus, makes the zeroed instance, moves the options into it and
 * calls the type's realize, which is the first to touch the outside world. A device enters the
 * tree last: if anything is refused, nothing refers to it yet.
 *
 * Names and defaults are those of the stock's remote machine, as an orchestrator's command line
 * depends on them: the root bus is remote-pci, the bus of a device is ID.0, or kind.N counted
 * over the devices without an id, and a device without bus= goes to the newest bus of its kind.
 *
 * Main thread only.
 */
#include "hw/core/device.h"
#include "util/error.h"
#include <string.h>

static Bus *bus_new(const char *kind, char *name, Device *owner)
{
    Bus *bus = g_new0(Bus, 1);

    bus->kind = kind;
    bus->name = name;
    bus->owner = owner;
    bus->children = g_ptr_array_new();
    return bus;
}

static void bus_free(void *opaque)
{
    Bus *bus = opaque;

    g_ptr_array_free(bus->children, true);
    g_free(bus->name);
    g_free(bus);
}

/* What unrealize or a refused realize leaves. */
static void device_free(Device *dev)
{
    opt_fields_clear(dev->type->props, dev->state);
    g_free(dev->state);
    g_free(dev->id);
    g_free(dev);
}

void device_del(DeviceTree *tree, Device *dev)
{
    g_ptr_array_remove(tree->devices, dev);
    g_ptr_array_remove(dev->bus->children, dev);
    dev->type->unrealize(dev);
    dev->realized = false;
    if (dev->child) {
        g_assert(dev->child->children->len == 0);
        g_ptr_array_remove(tree->buses, dev->child);
    }
    device_free(dev);
}

DeviceTree *device_tree_new(const DeviceType *const *types, BlockGraph *blocks)
{
    DeviceTree *tree = g_new0(DeviceTree, 1);

    for (const DeviceType *const *type = types; *type; type++) {
        g_assert((*type)->name && (*type)->desc && (*type)->bus_kind && (*type)->props);
        g_assert((*type)->size && (*type)->realize && (*type)->unrealize);
    }
    tree->types = types;
    tree->blocks = blocks;
    tree->devices = g_ptr_array_new();
    tree->buses = g_ptr_array_new_with_free_func(bus_free);
    g_ptr_array_add(tree->buses, bus_new(BUS_PCI, g_strdup(BUS_ROOT_NAME), NULL));
    return tree;
}

void device_tree_free(DeviceTree *tree)
{
    if (!tree) {
        return;
    }
    while (tree->devices->len) {
        device_del(tree, g_ptr_array_index(tree->devices, tree->devices->len - 1));
    }
    g_ptr_array_free(tree->devices, true);
    g_ptr_array_free(tree->buses, true);
    g_free(tree);
}

const DeviceType *device_type_find(const DeviceTree *tree, const char *name)
{
    for (const DeviceType *const *type = tree->types; *type; type++) {
        if (strcmp((*type)->name, name) == 0 || g_strcmp0((*type)->alias, name) == 0) {
            return *type;
        }
    }
    return NULL;
}

Device *device_find(const DeviceTree *tree, const char *id)
{
    for (unsigned i = 0; i < tree->devices->len; i++) {
        Device *dev = g_ptr_array_index(tree->devices, i);

        if (g_strcmp0(dev->id, id) == 0) {
            return dev;
        }
    }
    return NULL;
}

static Bus *find_bus_exact(const DeviceTree *tree, const char *name)
{
    for (unsigned i = 0; i < tree->buses->len; i++) {
        Bus *bus = g_ptr_array_index(tree->buses, i);

        if (strcmp(bus->name, name) == 0) {
            return bus;
        }
    }
    return NULL;
}

Bus *bus_find(const DeviceTree *tree, const char *name)
{
    Bus *bus = find_bus_exact(tree, name);

    /* The alias comes second, as a device may have the id "pci" and offer a bus. */
    if (!bus && strcmp(name, BUS_ROOT_ALIAS) == 0) {
        bus = g_ptr_array_index(tree->buses, 0);
    }
    return bus;
}

const char *device_name(const Device *dev)
{
    return dev->id ? dev->id : dev->type->name;
}

/* Letters, digits, '-', '.' and '_', the first one a letter. */
static bool id_well_formed(const char *id)
{
    if (!g_ascii_isalpha(id[0])) {
        return false;
    }
    while (g_ascii_isalnum(*id) || (*id && strchr("-._", *id))) {
        id++;
    }
    return !*id;
}

static bool check_id(const DeviceTree *tree, const char *id, GError **errp)
{
    if (!id) {
        return true;
    }
    if (!id_well_formed(id)) {
        return error_set(errp,
                         "Parameter 'id' expects a letter, then letters, digits, '-', '.' or '_', "
                         "not '%s'",
                         id);
    }
    if (device_find(tree, id)) {
        return error_set(errp, "Duplicate device ID '%s'", id);
    }
    return true;
}

static const DeviceType *find_type(const DeviceTree *tree, Opts *opts, GError **errp)
{
    const char *name = opts_get(opts, "driver");
    const DeviceType *type;

    if (!name) {
        error_set(errp, "Parameter 'driver' is missing");
        return NULL;
    }
    type = device_type_find(tree, name);
    if (!type) {
        error_set(errp, "'%s' is not a valid device model name", name);
    }
    return type;
}

static Bus *find_bus(const DeviceTree *tree, const DeviceType *type, const char *name,
                     GError **errp)
{
    Bus *bus;

    if (name) {
        bus = bus_find(tree, name);
        if (!bus) {
            error_set(errp, "Bus '%s' not found", name);
        } else if (strcmp(bus->kind, type->bus_kind) != 0) {
            error_set(errp, "'%s' is a %s bus; device '%s' needs a %s bus", name, bus->kind,
                      type->name, type->bus_kind);
            bus = NULL;
        }
        return bus;
    }
    for (unsigned i = tree->buses->len; i > 0; i--) {
        bus = g_ptr_array_index(tree->buses, i - 1);
        if (strcmp(bus->kind, type->bus_kind) == 0) {
            return bus;
        }
    }
    error_set(errp, "No '%s' bus found for device '%s'", type->bus_kind, type->name);
    return NULL;
}

static char *child_bus_name(const DeviceTree *tree, const char *id, const char *kind)
{
    g_autofree char *lower = g_ascii_strdown(kind, -1);
    char *name = NULL;
    unsigned n = 0;

    if (id) {
        return g_strdup_printf("%s.0", id);
    }
    do {
        g_free(name);
        name = g_strdup_printf("%s.%u", lower, n++);
    } while (find_bus_exact(tree, name));
    return name;
}

/* Makes dev->child, not in the tree yet; nothing to do if the type offers no bus. */
static bool make_child_bus(const DeviceTree *tree, Device *dev, GError **errp)
{
    char *name;

    if (!dev->type->child_kind) {
        return true;
    }
    name = child_bus_name(tree, dev->id, dev->type->child_kind);
    dev->child = bus_new(dev->type->child_kind, name, dev);
    if (dev->id && find_bus_exact(tree, name)) {
        return error_set(errp, "Duplicate bus name '%s'", name);
    }
    return true;
}

static bool set_properties(Device *dev, Opts *opts, GError **errp)
{
    g_autofree char *format = g_strdup_printf("Property '%s.%%s' not found", dev->type->name);

    return opt_fields_set(dev->type->props, dev->state, opts, errp) &&
           opts_check_used(opts, format, errp);
}

Device *device_new(DeviceTree *tree, Opts *opts, GError **errp)
{
    const char *id = opts_get(opts, "id");
    const char *bus_name = opts_get(opts, "bus");
    const DeviceType *type = find_type(tree, opts, errp);
    Bus *bus = type ? find_bus(tree, type, bus_name, errp) : NULL;
    Device *dev;

    if (!bus || !check_id(tree, id, errp)) {
        return NULL;
    }
    dev = g_new0(Device, 1);
    dev->type = type;
    dev->id = g_strdup(id);
    dev->bus = bus;
    dev->blocks = tree->blocks;
    dev->state = g_malloc0(type->size);
    opt_fields_default(type->props, dev->state);

    if (!set_properties(dev, opts, errp) || !make_child_bus(tree, dev, errp) ||
        !type->realize(dev, errp)) {
        g_clear_pointer(&dev->child, bus_free);
        device_free(dev);
        return NULL;
    }
    dev->realized = true;
    g_ptr_array_add(tree->devices, dev);
    g_ptr_array_add(bus->children, dev);
    if (dev->child) {
        g_ptr_array_add(tree->buses, dev->child);
    }
    return dev;
}
