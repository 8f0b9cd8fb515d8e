/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP on removable media: the trays of CD drives and what is in them. All of it is done by the
 * drive (hw/scsi/scsi-cd.c), on its thread.
 *
 * blockdev-change-medium opens an image by itself, as -drive does. Such a node is closed again by
 * the command that takes it out of its drive; one that blockdev-add has made stays.
 *
 * Main thread but where said.
 */
#include "monitor/call.h"
#include "hw/scsi/scsi-disk.h"
#include "monitor/commands.h"
#include "util/error.h"
#include <string.h>

/* --- types --- */

/* clang-format off */

#define DRIVE_MEMBERS                                                                              \
    QMP_OPTIONAL("device", qmp_str, "id of a -drive; one of the two is given"),                    \
        QMP_OPTIONAL("id", qmp_str, "id of the CD drive")
#define FORCE_MEMBER QMP_OPTIONAL("force", qmp_bool, "also if the guest has locked the tray")

static QMP_STRUCT(open_args, "q_obj_blockdev-open-tray-arg", DRIVE_MEMBERS, FORCE_MEMBER);
static QMP_STRUCT(close_args, "q_obj_blockdev-close-tray-arg", DRIVE_MEMBERS);
static QMP_STRUCT(remove_args, "q_obj_blockdev-remove-medium-arg",
    QMP_MEMBER("id", qmp_str, "id of the CD drive"));
static QMP_STRUCT(insert_args, "q_obj_blockdev-insert-medium-arg",
    QMP_MEMBER("id", qmp_str, "id of the CD drive"),
    QMP_MEMBER("node-name", qmp_str, NULL));
static QMP_CHOICE(mode_type, "BlockdevChangeReadOnlyMode", "retain", "read-only", "read-write");
static QMP_STRUCT(change_args, "q_obj_blockdev-change-medium-arg",
    DRIVE_MEMBERS,
    FORCE_MEMBER,
    QMP_MEMBER("filename", qmp_str, NULL),
    QMP_OPTIONAL("format", qmp_str, "default: found out, or raw"),
    QMP_OPTIONAL("read-only-mode", mode_type, "without effect: a CD is read only"));

static QMP_STRUCT(tray_data, "q_obj_DEVICE_TRAY_MOVED-arg",
    QMP_MEMBER("device", qmp_str, "id of a -drive, or empty"),
    QMP_MEMBER("id", qmp_str, "id or QOM path of the CD drive"),
    QMP_MEMBER("tray-open", qmp_bool, NULL));
/* clang-format on */

/* --- what a command does to a drive --- */

typedef struct Change Change;
struct Change {
    Device *dev;
    CallPart *part;
    bool force;
    char *node; /* name, or NULL */
    bool ours;  /* node was opened for this */
    bool (*act)(Change *change, GError **errp);
    bool later; /* act() has begun what change_done() ends */
};

static void change_done(void *opaque, bool ok)
{
    Change *change = opaque;

    if (!ok) {
        error_set(&change->part->error, "The medium of '%s' could not be changed",
                  device_name(change->dev));
    }
    call_done(change->part);
}

static bool act_open(Change *change, GError **errp)
{
    return scsi_cd_eject(change->dev, change->force, errp);
}

static bool act_close(Change *change, GError **errp)
{
    return scsi_cd_load(change->dev, errp);
}

static bool act_remove(Change *change, GError **errp)
{
    change->later = true;
    return scsi_cd_remove(change->dev, change_done, change, errp);
}

static bool act_eject(Change *change, GError **errp)
{
    return act_open(change, errp) && act_remove(change, errp);
}

static bool act_insert(Change *change, GError **errp)
{
    change->later = true;
    return scsi_cd_insert(change->dev, change->node, change_done, change, errp);
}

static bool act_change(Change *change, GError **errp)
{
    change->later = true;
    return scsi_cd_change_medium(change->dev, change->node, change->force, change_done, change,
                                 errp);
}

/* The drive's thread. */
static void run_change(CallPart *part)
{
    Change *change = part->data;

    change->part = part;
    if (!change->act(change, &part->error) || !change->later) {
        call_done(part);
    }
}

/* Closes what change-medium has opened and no drive has any more; while a query refers to nodes,
 * the next change does. */
static void close_media(Monitor *monitor)
{
    for (unsigned i = monitor->media->len; i > 0 && !monitor->node_queries; i--) {
        const char *name = g_ptr_array_index(monitor->media, i - 1);

        if (block_del(monitor->config.blocks, name, NULL)) {
            g_ptr_array_remove_index(monitor->media, i - 1);
        }
    }
}

static void change_over(QmpRequest *req, const GPtrArray *parts)
{
    CallPart *part = g_ptr_array_index(parts, 0);

    close_media(req->monitor);
    if (part->error) {
        qmp_error_take(req, g_steal_pointer(&part->error));
    } else {
        qmp_return(req, NULL);
    }
}

static void change_free(void *opaque)
{
    Change *change = opaque;

    g_free(change->node);
    g_free(change);
}

/* --- which drive --- */

/* The device that has the -drive of that id; the drives' media are their threads' affair, but not
 * what they were given at first. */
static Device *find_by_drive(const DeviceTree *tree, const char *id)
{
    for (unsigned i = 0; i < tree->devices->len; i++) {
        Device *dev = g_ptr_array_index(tree->devices, i);

        if (strcmp(dev->type->bus_kind, BUS_SCSI) == 0 &&
            g_strcmp0(scsi_disk_drive(dev), id) == 0) {
            return dev;
        }
    }
    return NULL;
}

/* The CD drive that a command names, or NULL and an answer. */
static Device *named_drive(QmpRequest *req)
{
    const DeviceTree *tree = req->monitor->config.devices;
    const char *device = qmp_arg_str(req, "device");
    const char *id = qmp_arg_str(req, "id");
    const char *name = device ? device : id;
    Device *dev;

    if (!device == !id) {
        qmp_error(req, QMP_GENERIC, "Need exactly one of 'device' and 'id'");
        return NULL;
    }
    dev = device ? find_by_drive(tree, device) : device_find(tree, id);
    if (!dev || dev->leaving || strcmp(dev->type->bus_kind, BUS_SCSI) != 0) {
        qmp_error(req, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", name);
        return NULL;
    }
    if (dev->type != &scsi_cd_type) {
        qmp_error(req, QMP_GENERIC, "Device '%s' is not removable", name);
        return NULL;
    }
    if (!monitor_device_loop(dev)) {
        qmp_error(req, QMP_GENERIC, "Device '%s' is on an adapter that no object serves", name);
        return NULL;
    }
    return dev;
}

static Change *change_new(QmpRequest *req, Device *dev, bool (*act)(Change *change, GError **errp))
{
    Change *change = g_new0(Change, 1);

    change->dev = dev;
    change->act = act;
    change->force = qmp_arg_bool(req, "force", false);
    change->node = g_strdup(qmp_arg_str(req, "node-name"));
    return change;
}

static void change_start(QmpRequest *req, Change *change)
{
    static const CallKind kind = { .run = run_change,
                                   .finish = change_over,
                                   .release = change_free };
    MonitorCall *call = call_new(req, &kind);

    call_add(call, monitor_device_loop(change->dev), change);
    call_start(call);
}

static void do_change(QmpRequest *req, bool (*act)(Change *change, GError **errp))
{
    Device *dev = named_drive(req);

    if (dev) {
        change_start(req, change_new(req, dev, act));
    }
}

/* --- commands --- */

static void do_open_tray(QmpRequest *req)
{
    do_change(req, act_open);
}

static void do_close_tray(QmpRequest *req)
{
    do_change(req, act_close);
}

static void do_remove_medium(QmpRequest *req)
{
    do_change(req, act_remove);
}

static void do_insert_medium(QmpRequest *req)
{
    do_change(req, act_insert);
}

static void do_eject(QmpRequest *req)
{
    do_change(req, act_eject);
}

/* Opens the image; its name, the caller's, or NULL. */
static char *open_image(QmpRequest *req, GError **errp)
{
    const char *format = qmp_arg_str(req, "format");
    g_autoptr(Opts) opts = opts_new();
    BlockNode *node;

    opts_set(opts, "file", qmp_arg_str(req, "filename"));
    opts_set(opts, "read-only", "on");
    if (format) {
        opts_set(opts, "format", format);
    }
    node = block_open_drive(req->monitor->config.blocks, opts, errp);
    if (!node) {
        return NULL;
    }
    g_ptr_array_add(req->monitor->media, g_strdup(node->name));
    return g_strdup(node->name);
}

static void do_change_medium(QmpRequest *req)
{
    Device *dev = named_drive(req);
    GError *err = NULL;
    Change *change;
    char *node;

    if (!dev) {
        return;
    }
    node = open_image(req, &err);
    if (!node) {
        qmp_error_take(req, err);
        return;
    }
    change = change_new(req, dev, act_change);
    change->node = node;
    change_start(req, change);
}

/* clang-format off */
const QmpCommand qmp_medium_commands[] = {
    { .name = "eject", .args = &open_args, .when = QMP_READY, .changes = true, .run = do_eject,
      .help = "Opens the tray and takes the medium out. A guest that has locked the tray is asked "
              "first." },
    { .name = "blockdev-open-tray", .args = &open_args, .when = QMP_READY, .changes = true,
      .run = do_open_tray,
      .help = "Opens the tray; a guest that has locked it is asked first." },
    { .name = "blockdev-close-tray", .args = &close_args, .when = QMP_READY, .changes = true,
      .run = do_close_tray, .help = "Closes the tray." },
    { .name = "blockdev-remove-medium", .args = &remove_args, .when = QMP_READY, .changes = true,
      .run = do_remove_medium, .help = "Takes the medium out of an open tray." },
    { .name = "blockdev-insert-medium", .args = &insert_args, .when = QMP_READY, .changes = true,
      .run = do_insert_medium, .help = "Puts a node into an open tray that is empty." },
    { .name = "blockdev-change-medium", .args = &change_args, .when = QMP_READY, .changes = true,
      .run = do_change_medium,
      .help = "Opens an image and puts it into a CD drive: opens the tray, takes out what is in "
              "it, and closes it. With the sandbox on, the file is given as `/dev/fdset/N`." },
    { .name = NULL }
};

const QmpEvent qmp_medium_events[] = {
    { .name = "DEVICE_TRAY_MOVED", .data = &tray_data,
      .help = "The tray of a CD drive has opened or closed, by its guest or a command. Not more "
              "than 20 of these in a second are told." },
    { .name = NULL }
};
/* clang-format on */
