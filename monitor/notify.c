/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events that arise on devices' threads: I/O errors, and trays that move.
 *
 * A SCSI bus calls back on its thread; what there is to be told is copied and goes to the main
 * loop, which sends the event. A guest can make its trays move and its I/O fail as often as it
 * likes, and neither the main thread nor a client that reads at leisure may suffer from that: a bus
 * tells EVENTS_MAX in a second, and the rest is dropped. What stops the machine comes once until it
 * goes on, and always.
 *
 * With a monitor there is somebody who can let a stopped machine go on. So rerror=stop and
 * werror=stop (and the default for ENOSPC) stop, as in QEMU: all machines of the process, as they
 * are one VM's.
 */
#include "notify.h"
#include "hw/scsi/scsi-disk.h"
#include "hw/scsi/scsi.h"
#include "monitor/commands.h"
#include "util/loop.h"
#include "util/main-post.h"
#include <errno.h>
#include <string.h>

#define EVENTS_MAX 20
#define EVENTS_NS 1000000000

typedef struct Watch {
    Monitor *monitor;
    /* the bus's thread */
    int64_t since;
    unsigned told;
} Watch;

typedef struct Notice {
    Monitor *monitor;
    const char *event;
    json_t *data;
    bool stops;
} Notice;

static void notice_main(void *opaque)
{
    Notice *notice = opaque;

    monitor_event(notice->monitor, notice->event, notice->data);
    if (notice->stops) {
        monitor_stop_on_error(notice->monitor);
    }
    g_free(notice);
}

static void tell(Watch *watch, const char *event, json_t *data, bool stops)
{
    Notice *notice = g_new0(Notice, 1);

    notice->monitor = watch->monitor;
    notice->event = event;
    notice->data = data;
    notice->stops = stops;
    main_post(notice_main, notice);
}

static bool may_tell(Watch *watch)
{
    int64_t now = loop_now_ns();

    if (now - watch->since > EVENTS_NS) {
        watch->since = now;
        watch->told = 0;
    }
    return watch->told++ < EVENTS_MAX;
}

static json_t *device_data(const Device *dev, const ScsiDiskInfo *disk)
{
    return json_pack("{s:s, s:s}", "device", disk->drive, "id", device_name(dev));
}

static void on_error(void *opaque, ScsiDev *dev, const ScsiIoError *error)
{
    static const char *const actions[] = {
        [SCSI_ERROR_REPORT] = "report",
        [SCSI_ERROR_IGNORE] = "ignore",
        [SCSI_ERROR_STOP] = "stop",
    };
    Watch *watch = opaque;
    bool stops = error->action == SCSI_ERROR_STOP;
    ScsiDiskInfo disk;
    json_t *data;

    if (!stops && !may_tell(watch)) {
        return;
    }
    scsi_disk_info(dev->dev, &disk);
    data = device_data(dev->dev, &disk);
    if (disk.node) {
        json_object_set_new(data, "node-name", json_string(disk.node->name));
    }
    json_object_set_new(data, "operation", json_string(error->write ? "write" : "read"));
    json_object_set_new(data, "action", json_string(actions[error->action]));
    json_object_set_new(data, "nospace", json_boolean(error->error == ENOSPC));
    json_object_set_new(data, "reason", json_string(g_strerror(error->error)));
    tell(watch, "BLOCK_IO_ERROR", data, stops);
}

static void on_tray(void *opaque, ScsiDev *dev, bool open)
{
    Watch *watch = opaque;

    ScsiDiskInfo disk;
    json_t *data;

    if (may_tell(watch)) {
        scsi_disk_info(dev->dev, &disk);
        data = device_data(dev->dev, &disk);
        json_object_set_new(data, "tray-open", json_boolean(open));
        tell(watch, "DEVICE_TRAY_MOVED", data, false);
    }
}

static const ScsiBusWatch bus_watch = { .error = on_error, .tray = on_tray };

void monitor_watch_device(Monitor *monitor, Device *dev)
{
    Watch *watch;

    if (!monitor->watches || !dev->child || strcmp(dev->child->kind, BUS_SCSI) != 0) {
        return;
    }
    watch = g_new0(Watch, 1);
    watch->monitor = monitor;
    scsi_bus_watch(dev->child->impl, &bus_watch, watch, g_free);
}
