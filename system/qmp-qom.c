/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qom-list and qom-get: the tree of named things, as far as tools look for it in a QEMU.
 *
 *   /machine                           type and name of the machine
 *   /machine/peripheral/ID             a device; its properties are those of its type
 *   /machine/peripheral/ID/ID.0        the bus that it offers
 *   /machine/peripheral-anon           devices without an id are not told apart
 *   /objects/ID                        an object
 *   /chardevs/ID                       a chardev
 *
 * A path without a slash in front is the last part of one of these, as in QEMU. Values are those
 * that were given, or the defaults: properties don't change while a device lives.
 *
 * Main thread.
 */
#include "monitor/commands.h"
#include "system/machine.h"
#include "system/monitors.h"
#include <string.h>

static QMP_STRUCT(path_args, "q_obj_qom-list-arg", QMP_MEMBER("path", qmp_str, NULL));
static QMP_STRUCT(get_args, "q_obj_qom-get-arg", QMP_MEMBER("path", qmp_str, NULL),
                  QMP_MEMBER("property", qmp_str, NULL));
static QMP_STRUCT(property_type, "QomPropertyInfo", QMP_MEMBER("name", qmp_str, NULL),
                  QMP_MEMBER("type", qmp_str, "child<TYPE>: another node below this one"));
static QMP_LIST(properties_type, "[QomPropertyInfo]", property_type);

/* What a path leads to: one of these. */
typedef struct Node {
    enum { NODE_NONE, NODE_CONTAINER, NODE_MACHINE, NODE_DEVICE, NODE_BUS, NODE_OBJECT } kind;
    const struct Container *container;
    const Device *dev;
    const Bus *bus;
    const Object *obj;
} Node;

/* --- lists --- */

static void add(json_t *list, const char *name, const char *type)
{
    json_array_append_new(list, json_pack("{s:s, s:s}", "name", name, "type", type));
}

static void add_child(json_t *list, const char *name, const char *type)
{
    g_autofree char *child = g_strdup_printf("child<%s>", type);

    add(list, name, child);
}

static void list_devices(const System *sys, json_t *list)
{
    for (unsigned i = 0; i < sys->devices->devices->len; i++) {
        const Device *dev = g_ptr_array_index(sys->devices->devices, i);

        if (dev->id) {
            add_child(list, dev->id, dev->type->name);
        }
    }
}

static void list_objects(const System *sys, json_t *list)
{
    for (unsigned i = 0; i < sys->objects->objects->len; i++) {
        const Object *obj = g_ptr_array_index(sys->objects->objects, i);

        add_child(list, obj->id, obj->type->name);
    }
}

static void list_chardevs(const System *sys, json_t *list)
{
    for (unsigned i = 0; i < sys->chardevs->len; i++) {
        const Chardev *chardev = g_ptr_array_index(sys->chardevs, i);

        add_child(list, chardev->id, "chardev");
    }
}

static void list_nothing(const System *sys G_GNUC_UNUSED, json_t *list G_GNUC_UNUSED)
{
}

static void list_root(const System *sys, json_t *list)
{
    g_autofree char *machine = g_strdup_printf("%s-machine", sys->machine->name);

    add_child(list, "machine", machine);
    add_child(list, "objects", "container");
    add_child(list, "chardevs", "container");
}

static const struct Container {
    const char *path;
    void (*list)(const System *sys, json_t *list);
} containers[] = {
    { "/", list_root },
    { "/objects", list_objects },
    { "/chardevs", list_chardevs },
    { "/machine/peripheral", list_devices },
    { "/machine/peripheral-anon", list_nothing },
};

static void list_props(json_t *list, const OptDesc *props)
{
    for (const OptDesc *desc = props; desc->type != OPT_END; desc++) {
        add(list, desc->name, opt_type_name(desc));
    }
}

static void list_device(json_t *list, const Device *dev)
{
    add(list, "parent_bus", "link<bus>");
    add(list, "realized", "bool");
    list_props(list, dev->type->props);
    if (dev->child) {
        add_child(list, dev->child->name, dev->child->kind);
    }
}

static void list_machine(const System *sys, json_t *list)
{
    list_props(list, sys->machine->props);
    add_child(list, "peripheral", "container");
    add_child(list, "peripheral-anon", "container");
}

/* --- paths --- */

static Node settle_node(Node node)
{
    node.kind = node.dev ? NODE_DEVICE : node.obj ? NODE_OBJECT : node.bus ? NODE_BUS : NODE_NONE;
    return node;
}

static Node find_name(const System *sys, const char *name)
{
    Node node = { .kind = NODE_NONE };

    node.dev = device_find(sys->devices, name);
    node.obj = object_find(sys->objects, name);
    node.bus = bus_find(sys->devices, name);
    return settle_node(node);
}

static Node find_absolute(const System *sys, const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    Node node = { .kind = NODE_NONE };

    if (strcmp(folder, "/machine/peripheral") == 0) {
        node.dev = device_find(sys->devices, name);
    } else if (strcmp(folder, "/objects") == 0) {
        node.obj = object_find(sys->objects, name);
    } else if (g_str_has_prefix(folder, "/machine/peripheral/")) {
        node.bus = bus_find(sys->devices, name);
    }
    return settle_node(node);
}

static Node find_node(const System *sys, const char *path)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(containers); i++) {
        const char *own = containers[i].path;

        if (strcmp(own, path) == 0 || (own[1] && strcmp(own + 1, path) == 0)) {
            return (Node){ .kind = NODE_CONTAINER, .container = &containers[i] };
        }
    }
    if (strcmp(path, "/machine") == 0 || strcmp(path, "machine") == 0) {
        return (Node){ .kind = NODE_MACHINE };
    }
    return path[0] == '/' ? find_absolute(sys, path) : find_name(sys, path);
}

/* --- values --- */

static json_t *prop_json(const OptDesc *props, const void *base, const char *name)
{
    for (const OptDesc *desc = props; desc->type != OPT_END; desc++) {
        if (strcmp(desc->name, name) == 0) {
            return opt_value_json(desc, base);
        }
    }
    return NULL;
}

static json_t *bus_path_json(const Bus *bus)
{
    g_autofree char *path = NULL;

    if (!bus->owner) {
        return json_sprintf("/machine/%s", bus->name);
    }
    return json_sprintf("/machine/peripheral/%s/%s", device_name(bus->owner), bus->name);
}

static json_t *device_json(const Device *dev, const char *name)
{
    if (strcmp(name, "type") == 0) {
        return json_string(dev->type->name);
    }
    if (strcmp(name, "realized") == 0) {
        return json_boolean(dev->realized);
    }
    if (strcmp(name, "parent_bus") == 0) {
        return bus_path_json(dev->bus);
    }
    return prop_json(dev->type->props, dev->state, name);
}

static const char *node_type(const System *sys, const Node *node)
{
    switch (node->kind) {
    case NODE_MACHINE:
        return sys->machine->name;
    case NODE_DEVICE:
        return node->dev->type->name;
    case NODE_BUS:
        return node->bus->kind;
    case NODE_OBJECT:
        return node->obj->type->name;
    default:
        return "container";
    }
}

/* NULL: there is no such property. */
static json_t *node_json(const System *sys, const Node *node, const char *name)
{
    if (strcmp(name, "type") == 0) {
        return node->kind == NODE_MACHINE ? json_sprintf("%s-machine", sys->machine->name)
                                          : json_string(node_type(sys, node));
    }
    switch (node->kind) {
    case NODE_MACHINE:
        return prop_json(sys->machine->props, sys->machine_state, name);
    case NODE_DEVICE:
        return device_json(node->dev, name);
    case NODE_OBJECT:
        return prop_json(node->obj->type->props, node->obj->state, name);
    default:
        return NULL;
    }
}

/* --- commands --- */

static void do_list(QmpRequest *req)
{
    const System *sys = qmp_system(req);
    const char *path = qmp_arg_str(req, "path");
    Node node = find_node(sys, path);
    json_t *list;

    if (node.kind == NODE_NONE) {
        qmp_error(req, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", path);
        return;
    }
    list = json_array();
    add(list, "type", "string");
    switch (node.kind) {
    case NODE_CONTAINER:
        node.container->list(sys, list);
        break;
    case NODE_MACHINE:
        list_machine(sys, list);
        break;
    case NODE_DEVICE:
        list_device(list, node.dev);
        break;
    case NODE_OBJECT:
        list_props(list, node.obj->type->props);
        break;
    default:
        break;
    }
    qmp_return(req, list);
}

static void do_get(QmpRequest *req)
{
    const System *sys = qmp_system(req);
    const char *path = qmp_arg_str(req, "path");
    const char *name = qmp_arg_str(req, "property");
    Node node = find_node(sys, path);
    json_t *value;

    if (node.kind == NODE_NONE) {
        qmp_error(req, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", path);
        return;
    }
    value = node_json(sys, &node, name);
    if (value) {
        qmp_return(req, value);
    } else {
        qmp_error(req, QMP_GENERIC, "Property '%s.%s' not found", node_type(sys, &node), name);
    }
}

/* clang-format off */
const QmpCommand qmp_qom_commands[] = {
    { .name = "qom-list", .args = &path_args, .ret = &properties_type, .when = QMP_ALWAYS,
      .run = do_list, .help = "What there is below a path, and its properties." },
    { .name = "qom-get", .args = &get_args, .ret = &qmp_any, .when = QMP_ALWAYS, .run = do_get,
      .help = "The value of a property." },
    { .name = NULL }
};
/* clang-format on */
