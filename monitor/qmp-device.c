/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP on devices: what there is to be had, adding and removing.
 *
 * A device is added on the main thread as at start; if its bus is one that a connection's thread
 * runs already, the thread takes it in then. Until that is over, and from the moment that a device
 * is to go, it is marked as leaving, so that no query touches it.
 *
 *   device_add:  realize ─► [plug, on the thread] ─► answer
 *   device_del:  answer ─► [unplug, on the thread: its I/O ends] ─► unrealize ─► DEVICE_DELETED
 *
 * An adapter that an object serves can't be removed: its guest has it. One that nobody serves goes
 * with what is on its bus.
 *
 * Main thread but where said.
 */
#include "monitor/call.h"
#include "monitor/commands.h"
#include "notify.h"
#include "util/main-post.h"
#include <string.h>

/* --- types --- */

/* clang-format off */

static const QmpType device_add_args = {
    .kind = QMP_OBJECT,
    .name = "q_obj_device_add-arg",
    .members = QMP_MEMBERS(QMP_MEMBER("driver", qmp_str, "see `-device help`"),
                           QMP_OPTIONAL("bus", qmp_str, "default: the newest of its kind"),
                           QMP_OPTIONAL("id", qmp_str, NULL)),
    .open = true,
};
static QMP_STRUCT(device_del_args, "q_obj_device_del-arg",
    QMP_MEMBER("id", qmp_str, "id or QOM path"));

static QMP_STRUCT(typename_args, "q_obj_device-list-properties-arg",
    QMP_MEMBER("typename", qmp_str, "a driver"));
static QMP_STRUCT(property_type, "ObjectPropertyInfo",
    QMP_MEMBER("name", qmp_str, NULL),
    QMP_MEMBER("type", qmp_str, NULL),
    QMP_OPTIONAL("description", qmp_str, NULL),
    QMP_OPTIONAL("default-value", qmp_any, NULL));
static QMP_LIST(properties_type, "[ObjectPropertyInfo]", property_type);

static QMP_STRUCT(list_types_args, "q_obj_qom-list-types-arg",
    QMP_OPTIONAL("implements", qmp_str, "only those of this type or below it"),
    QMP_OPTIONAL("abstract", qmp_bool, "abstract types, too; there are none"));
static QMP_STRUCT(type_info_type, "ObjectTypeInfo",
    QMP_MEMBER("name", qmp_str, NULL),
    QMP_OPTIONAL("abstract", qmp_bool, NULL),
    QMP_OPTIONAL("parent", qmp_str, NULL));
static QMP_LIST(type_infos_type, "[ObjectTypeInfo]", type_info_type);

static QMP_STRUCT(deleted_data, "q_obj_DEVICE_DELETED-arg",
    QMP_OPTIONAL("device", qmp_str, "its id"),
    QMP_MEMBER("path", qmp_str, "its QOM path"));
/* clang-format on */

/* --- what there is to be had --- */

static json_t *default_value(const OptDesc *desc)
{
    switch (desc->type) {
    case OPT_STRING:
        return NULL;
    case OPT_BOOL:
        return json_boolean(desc->def);
    case OPT_TRI:
        return json_string(desc->def < 0 ? "auto" : desc->def ? "on" : "off");
    case OPT_ENUM:
        return desc->def < 0 ? NULL : json_string(desc->names[desc->def]);
    default:
        return json_integer(desc->def);
    }
}

static void do_list_properties(QmpRequest *req)
{
    const char *name = qmp_arg_str(req, "typename");
    const DeviceType *type = device_type_find(req->monitor->config.devices, name);
    json_t *list = json_array();

    if (!type) {
        json_decref(list);
        qmp_error(req, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", name);
        return;
    }
    for (const OptDesc *desc = type->props; desc->type != OPT_END; desc++) {
        json_t *info = json_pack("{s:s, s:s}", "name", desc->name, "type", opt_type_name(desc));
        json_t *value = default_value(desc);

        if (value) {
            json_object_set_new(info, "default-value", value);
        }
        if (desc->help) {
            json_object_set_new(info, "description", json_string(desc->help));
        }
        json_array_append_new(list, info);
    }
    qmp_return(req, list);
}

static const char *parent_name(const DeviceType *type)
{
    return strcmp(type->bus_kind, BUS_PCI) == 0 ? "pci-device" : "scsi-device";
}

static void do_list_types(QmpRequest *req)
{
    const char *implements = qmp_arg_str(req, "implements");
    json_t *list = json_array();

    for (unsigned i = 0; req->monitor->config.devices->types[i]; i++) {
        const DeviceType *type = req->monitor->config.devices->types[i];

        if (!implements || strcmp(implements, type->name) == 0 ||
            strcmp(implements, parent_name(type)) == 0 || strcmp(implements, "device") == 0 ||
            strcmp(implements, "object") == 0) {
            json_array_append_new(
                list, json_pack("{s:s, s:s}", "name", type->name, "parent", parent_name(type)));
        }
    }
    qmp_return(req, list);
}

/* --- values --- */

json_t *opt_value_json(const OptDesc *desc, const void *base)
{
    const void *field = (const char *)base + desc->offset;
    const char *text;
    int n;

    switch (desc->type) {
    case OPT_STRING:
        text = *(char *const *)field;
        return json_string(text ? text : "");
    case OPT_BOOL:
        return json_boolean(*(const bool *)field);
    case OPT_TRI:
        n = *(const int *)field;
        return json_string(n < 0 ? "auto" : n ? "on" : "off");
    case OPT_ENUM:
        n = *(const int *)field;
        return json_string(n < 0 ? "" : desc->names[n]);
    case OPT_U8:
        return json_integer(*(const uint8_t *)field);
    case OPT_U16:
        return json_integer(*(const uint16_t *)field);
    case OPT_U32:
        return json_integer(*(const uint32_t *)field);
    case OPT_I32:
        return json_integer(*(const int32_t *)field);
    case OPT_U64:
    case OPT_SIZE:
        return json_integer(*(const uint64_t *)field);
    case OPT_END:
        break;
    }
    g_assert_not_reached();
}

/* --- adding --- */

typedef struct Plug {
    DeviceTree *tree;
    Device *dev;
    bool plugged;
} Plug;

static void run_plug(CallPart *part)
{
    Plug *plug = part->data;

    plug->plugged = plug->dev->type->plug(plug->dev, &part->error);
    call_done(part);
}

static void plug_over(QmpRequest *req, const GPtrArray *parts)
{
    CallPart *part = g_ptr_array_index(parts, 0);

    if (part->error) {
        qmp_error_take(req, g_steal_pointer(&part->error));
    } else {
        qmp_return(req, NULL);
    }
}

/* Also of one that was called off. */
static void plug_release(void *opaque)
{
    Plug *plug = opaque;

    if (plug->plugged) {
        plug->dev->leaving = false;
    } else {
        device_del(plug->tree, plug->dev);
    }
    g_free(plug);
}

static void plug_start(QmpRequest *req, Device *dev)
{
    static const CallKind kind = { .run = run_plug, .finish = plug_over, .release = plug_release };
    MonitorCall *call = call_new(req, &kind);
    Plug *plug = g_new0(Plug, 1);

    dev->leaving = true;
    plug->tree = req->monitor->config.devices;
    plug->dev = dev;
    call_add(call, monitor_device_loop(dev), plug);
    call_start(call);
}

static void do_device_add(QmpRequest *req)
{
    const MonitorConfig *config = &req->monitor->config;
    GError *err = NULL;
    g_autoptr(Opts) opts = qmp_arg_opts(req, &err);
    Device *dev = opts ? device_new(config->devices, opts, &err) : NULL;

    if (!dev) {
        qmp_error_take(req, err);
        return;
    }
    monitor_watch_device(req->monitor, dev);
    if (monitor_device_loop(dev)) {
        plug_start(req, dev);
    } else {
        qmp_return(req, NULL);
    }
}

/* --- removing --- */

char *monitor_device_path(const Device *dev)
{
    return dev->id ? g_strdup_printf("/machine/peripheral/%s", dev->id)
                   : g_strdup_printf("/machine/peripheral-anon/%s", dev->type->name);
}

static void delete_now(Monitor *monitor, Device *dev)
{
    g_autofree char *path = monitor_device_path(dev);
    json_t *data = json_pack("{s:s}", "path", path);

    while (dev->child && dev->child->children->len > 0) {
        delete_now(monitor, g_ptr_array_index(dev->child->children, 0));
    }
    if (dev->id) {
        json_object_set_new(data, "device", json_string(dev->id));
    }
    device_del(monitor->config.devices, dev);
    monitor_event(monitor, "DEVICE_DELETED", data);
}

typedef struct Unplug {
    Monitor *monitor;
    Device *dev;
    LoopPost post;
} Unplug;

static void unplugged(void *opaque)
{
    Unplug *unplug = opaque;

    delete_now(unplug->monitor, unplug->dev);
    monitor_release(unplug->monitor);
    g_free(unplug);
}

/* The device's thread. */
static void gone_on_thread(void *opaque)
{
    main_post(unplugged, opaque);
}

static void unplug_on_thread(void *opaque)
{
    Unplug *unplug = opaque;

    unplug->dev->type->unplug(unplug->dev, gone_on_thread, unplug);
}

static void unplug_start(QmpRequest *req, Device *dev)
{
    Unplug *unplug = g_new0(Unplug, 1);

    dev->leaving = true;
    unplug->monitor = req->monitor;
    unplug->dev = dev;
    unplug->post = (LoopPost){ .fn = unplug_on_thread, .opaque = unplug };
    monitor_keep(req);
    qmp_return(req, NULL);
    loop_post(monitor_device_loop(dev), &unplug->post);
}

static const char *after_last_slash(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void do_device_del(QmpRequest *req)
{
    const char *id = qmp_arg_str(req, "id");
    Device *dev = device_find(req->monitor->config.devices, after_last_slash(id));

    if (!dev) {
        qmp_error(req, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", id);
    } else if (dev->leaving) {
        qmp_error(req, QMP_GENERIC, "Device '%s' is being removed or added", id);
    } else if (dev->bound) {
        qmp_error(req, QMP_GENERIC, "Device '%s' is served by object '%s': remove that first", id,
                  dev->bound);
    } else if (monitor_device_loop(dev)) {
        unplug_start(req, dev);
    } else {
        delete_now(req->monitor, dev);
        qmp_return(req, NULL);
    }
}

/* clang-format off */
const QmpCommand qmp_device_commands[] = {
    { .name = "device_add", .args = &device_add_args, .when = QMP_READY, .changes = true,
      .run = do_device_add,
      .help = "Adds a device as `-device` does, also to an adapter that runs. The other LUNs of a "
              "SCSI target then report that they have changed." },
    { .name = "device_del", .args = &device_del_args, .when = QMP_READY, .changes = true,
      .run = do_device_del,
      .help = "Removes a device; DEVICE_DELETED tells when it is gone. A disk's I/O is ended and "
              "flushed first. An adapter that an object serves can't be removed." },
    { .name = "device-list-properties", .args = &typename_args, .ret = &properties_type,
      .when = QMP_ALWAYS, .run = do_list_properties,
      .help = "The properties of a driver." },
    { .name = "qom-list-types", .args = &list_types_args, .ret = &type_infos_type,
      .when = QMP_ALWAYS, .run = do_list_types,
      .help = "The drivers." },
    { .name = NULL }
};

const QmpEvent qmp_device_events[] = {
    { .name = "DEVICE_DELETED", .data = &deleted_data, .help = "A device has been removed." },
    { .name = NULL }
};
/* clang-format on */
