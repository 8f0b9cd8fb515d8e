/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What scsi-hd and scsi-cd have in common: properties, the block node, medium state.
 *
 * realize (main thread) checks the properties against each other, takes the node and plugs the
 * unit into its bus; attach hands the node to the loop that runs everything later. A node that one
 * device has is refused to others, unless all of them have share-rw=on. A node that was asked to
 * be read-only makes a write-protected disk; one that only turned out so is refused.
 *
 * An image whose size is no multiple of the block size loses its tail; one smaller than a block
 * has 0 blocks and reports "not ready" where a last block is asked for.
 */
#include "hw/scsi/scsi-disk.h"

#include <string.h>

#include "scsi-disk-internal.h"
#include "scsi-internal.h"
#include "util/error.h"
#include "util/log.h"

#define BLOCK_SIZE_MIN 512u
#define PHYSICAL_MAX (2u << 20)
#define DISCARD_DEFAULT 4096u
#define CD_BLOCK_SIZE 2048u

const char *const disk_on_error_names[] = { "auto", "report", "ignore", "enospc", "stop", NULL };

bool disk_has_medium(const ScsiDisk *disk)
{
    return disk->node && !disk->tray_open;
}

void disk_set_tray(ScsiDisk *disk, bool open)
{
    const ScsiBus *bus = disk->scsi.bus;

    if (disk->tray_open != open) {
        disk->tray_open = open;
        if (bus->watch) {
            bus->watch->tray(bus->watch_opaque, &disk->scsi, open);
        }
    }
}

bool disk_read_only(const ScsiDisk *disk)
{
    return disk->cd || !disk->node || disk->node->read_only;
}

bool disk_is_ready(ScsiDev *dev, unsigned flags, ScsiSense *sense)
{
    const ScsiDisk *disk = disk_of(dev);

    if ((flags & SCSI_CMD_MEDIUM) && !disk_has_medium(disk)) {
        *sense = (ScsiSense){ SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM, disk->tray_open ? 2 : 0 };
        return false;
    }
    if ((flags & SCSI_CMD_WRITE) && disk_read_only(disk)) {
        *sense = (ScsiSense){ SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED, 0 };
        return false;
    }
    return true;
}

bool disk_check_range(const ScsiDisk *disk, ScsiReq *req, uint64_t lba, uint64_t n)
{
    if (lba <= disk->blocks && n <= disk->blocks - lba) {
        return true;
    }
    scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE, 0);
    return false;
}

void disk_start(ScsiDev *dev, ScsiReq *req)
{
    scsi_cmd_run(disk_of(dev)->table, dev, req);
}

void disk_reset(ScsiDev *dev)
{
    ScsiDisk *disk = disk_of(dev);

    disk->locked = false;
    disk->reserved.legacy = false;
    disk->wce = disk->wce_default;
}

void disk_save(const ScsiDev *dev, GByteArray *out)
{
    const ScsiDisk *disk = (const ScsiDisk *)dev;
    const DiskReservation *r = &disk->reserved;

    stream_put(out, disk->wce, 1);
    stream_put(out, disk->tray_open, 1);
    stream_put(out, disk->locked, 1);
    stream_put(out, disk->event, 1);
    stream_put(out, r->legacy, 1);
    stream_put(out, r->registered, 1);
    stream_put(out, r->key, 8);
    stream_put(out, r->type, 1);
    stream_put(out, r->generation, 4);
    for (unsigned i = 0; i < DISK_COUNTERS; i++) {
        stream_put(out, disk->counter[i].bytes, 8);
        stream_put(out, disk->counter[i].errors, 8);
    }
}

void disk_load(ScsiDev *dev, StreamIn *in, bool apply)
{
    ScsiDisk *disk = disk_of(dev);
    bool wce = stream_get(in, "write cache", 1, !disk->cd);
    bool tray_open = stream_get(in, "tray", 1, disk->cd || disk->removable);
    bool locked = stream_get(in, "lock", 1, 1);
    uint8_t event = (uint8_t)stream_get(in, "media event", 1, DISK_EVENT_REMOVED);
    DiskCounter counter[DISK_COUNTERS];
    DiskReservation r = { 0 };

    r.legacy = stream_get(in, "reservation", 1, 1);
    r.registered = stream_get(in, "registration", 1, 1);
    r.key = stream_get(in, "reservation key", 8, r.registered ? UINT64_MAX : 0);
    r.type = (uint8_t)stream_get(in, "reservation type", 1, r.registered ? 8 : 0);
    r.generation = (uint32_t)stream_get(in, "reservation generation", 4, UINT32_MAX);
    for (unsigned i = 0; i < DISK_COUNTERS; i++) {
        counter[i].bytes = stream_get(in, "bytes", 8, UINT64_MAX);
        counter[i].errors = stream_get(in, "errors", 8, UINT64_MAX);
    }
    if (apply) {
        memcpy(disk->counter, counter, sizeof(counter));
        disk->wce = wce;
        disk->tray_open = tray_open;
        disk->locked = locked;
        disk->event = event;
        disk->reserved = r;
    }
}

static void warn_stop(const ScsiDev *dev, const char *name, int policy)
{
    if (policy == ON_ERROR_STOP && !dev->bus->watch) {
        log_line(device_name(dev->dev), "%s=stop: nothing here can stop the guest; acts as report",
                 name);
    }
}

bool disk_attach(ScsiDev *dev, Loop *loop, GError **errp)
{
    ScsiDisk *disk = disk_of(dev);

    warn_stop(dev, "rerror", disk->rerror);
    warn_stop(dev, "werror", disk->werror);
    return !disk->node || block_attach(disk->node, loop, errp);
}

void disk_detach(ScsiDev *dev)
{
    ScsiDisk *disk = disk_of(dev);

    if (disk->node) {
        block_detach(disk->node);
    }
}

/* ---- realize ---- */

/* On the loop's thread. The guest is told by a unit attention, a CD's by a change of medium alone
 * (SPC-4 table F.1 has 2A/09 for direct access devices). */
static void node_resized(void *opaque)
{
    ScsiDisk *disk = opaque;

    disk->blocks = disk->node->size / disk->block_size;
    if (!disk->cd) {
        scsi_unit_attention(&disk->scsi, SCSI_ASC_PARAM_CHANGED, 0x09);
    }
}

BlockUser *disk_claim_node(ScsiDisk *disk, const Device *dev, BlockNode *node, GError **errp)
{
    BlockUser *user = g_new0(BlockUser, 1);

    user->name = device_name(dev);
    user->shared = disk->share_rw;
    user->fixed_size = disk->cd;
    user->resized = node_resized;
    user->opaque = disk;
    if (!block_use(node, user, errp)) {
        g_clear_pointer(&user, g_free);
    }
    return user;
}

void disk_drop_claim(BlockNode *node, BlockUser *user)
{
    if (user) {
        block_unuse(node, user);
        g_free(user);
    }
}

void disk_release_node(ScsiDisk *disk)
{
    disk_drop_claim(disk->node, g_steal_pointer(&disk->user));
    disk->node = NULL;
}

static void release_empty(const ScsiDisk *disk, const Device *dev)
{
    if (disk->empty_drive) {
        block_empty_unuse(dev->blocks, disk->drive);
    }
}

static bool find_node(ScsiDisk *disk, Device *dev, BlockNode **node, GError **errp)
{
    *node = NULL;
    if (!disk->drive) {
        return disk->cd || error_set(errp, "drive property not set");
    }
    *node = block_find(dev->blocks, disk->drive);
    if (block_drive_is_empty(dev->blocks, disk->drive)) {
        return disk->cd || error_set(errp, "Device needs media, but drive is empty");
    }
    if (!*node) {
        return error_set(errp, "Property '%s.drive' can't find value '%s'", dev->type->name,
                         disk->drive);
    }
    if ((*node)->demoted && !disk->cd) {
        return error_set(errp, "Drive '%s' can't be written, and readonly=on was not given",
                         disk->drive);
    }
    return true;
}

static bool check_size(const char *name, uint64_t value, uint64_t max, GError **errp)
{
    if (value < BLOCK_SIZE_MIN || value > max || (value & (value - 1))) {
        return error_set(errp,
                         "Property '%s' expects a power of two between %u and %" G_GUINT64_FORMAT
                         ", not %" G_GUINT64_FORMAT,
                         name, BLOCK_SIZE_MIN, max, value);
    }
    return true;
}

static bool check_multiple(const ScsiDisk *disk, const char *name, uint64_t value, GError **errp)
{
    if (value % disk->logical_block_size) {
        return error_set(errp, "%s must be a multiple of logical_block_size", name);
    }
    return true;
}

static bool settle_block_size(ScsiDisk *disk, GError **errp)
{
    if (!disk->logical_block_size) {
        disk->logical_block_size = disk->cd ? CD_BLOCK_SIZE : BLOCK_SIZE_MIN;
    }
    if (!disk->physical_block_size) {
        disk->physical_block_size = disk->logical_block_size;
    }
    if (!check_size("logical_block_size", disk->logical_block_size, DISK_BLOCK_MAX, errp) ||
        !check_size("physical_block_size", disk->physical_block_size, PHYSICAL_MAX, errp)) {
        return false;
    }
    if (disk->logical_block_size > disk->physical_block_size) {
        return error_set(errp, "logical_block_size > physical_block_size not supported");
    }
    disk->block_size = (uint32_t)disk->logical_block_size;
    return true;
}

static bool settle_limits(ScsiDisk *disk, GError **errp)
{
    if (disk->discard_granularity == UINT32_MAX) {
        disk->discard_granularity = MAX(disk->block_size, DISCARD_DEFAULT);
    }
    if (!check_multiple(disk, "discard_granularity", disk->discard_granularity, errp) ||
        !check_multiple(disk, "min_io_size", disk->min_io_size, errp) ||
        !check_multiple(disk, "opt_io_size", disk->opt_io_size, errp)) {
        return false;
    }
    disk->max_blocks = CLAMP(disk->max_io_size / disk->block_size, 1, UINT32_MAX);
    return true;
}

void disk_settle_node(ScsiDisk *disk, BlockNode *node, BlockUser *user)
{
    disk->node = node;
    disk->user = user;
    disk->blocks = 0;
    if (!node) {
        return;
    }
    disk->blocks = node->size / disk->block_size;
    disk->wce_default = disk->write_cache < 0 ? node->write_cache : disk->write_cache;
    disk->wce_default &= !disk->cd; /* nothing can be in it */
    disk->wce = disk->wce_default;
    disk->thin = !disk->cd && node->can_discard && !node->read_only && disk->discard_granularity;
}

static void settle_device_id(ScsiDisk *disk)
{
    if (disk->device_id) {
        return;
    }
    if (disk->serial) {
        disk->device_id = g_strndup(disk->serial, 20);
    } else if (disk->node && !disk->node->auto_named) {
        disk->device_id = g_strdup(disk->drive);
    }
}

bool disk_realize(Device *dev, const ScsiDevOps *ops, const ScsiCmdTable *table, GError **errp)
{
    ScsiDisk *disk = dev->state;
    BlockUser *user = NULL;
    BlockNode *node;

    disk->table = table;
    disk->cd = ops->pdt == 5;
    if (!find_node(disk, dev, &node, errp) || !settle_block_size(disk, errp) ||
        !settle_limits(disk, errp)) {
        return false;
    }
    if (node) {
        user = disk_claim_node(disk, dev, node, errp);
        if (!user) {
            return false;
        }
    } else if (disk->drive && !block_empty_use(dev->blocks, disk->drive, errp)) {
        return false;
    }
    disk->empty_drive = !node && disk->drive;
    if (!scsi_dev_plug(&disk->scsi, dev, ops, errp)) {
        disk_drop_claim(node, user);
        release_empty(disk, dev);
        return false;
    }
    disk_settle_node(disk, node, user);
    settle_device_id(disk);
    return true;
}

void disk_unrealize(Device *dev)
{
    ScsiDisk *disk = dev->state;

    scsi_dev_unplug(&disk->scsi);
    disk_release_node(disk);
    release_empty(disk, dev);
}

/* Is there an error that would stop the guest? */
static bool disk_may_stop(const ScsiDisk *disk)
{
    return disk->scsi.dev->type != &scsi_generic_type &&
           (disk->rerror == ON_ERROR_STOP || disk->werror == ON_ERROR_STOP ||
            disk->werror == ON_ERROR_ENOSPC || disk->werror == ON_ERROR_AUTO);
}

void scsi_disk_info(const Device *dev, ScsiDiskInfo *info)
{
    const ScsiDisk *disk = dev->state;

    static const char *const statuses[] = {
        [DISK_IO_OK] = "ok",
        [DISK_IO_FAILED] = "failed",
        [DISK_IO_NO_SPACE] = "nospace",
    };

    *info = (ScsiDiskInfo){
        .io_status = disk_may_stop(disk) ? statuses[disk->io_status] : NULL,
        .removable = disk->removable,
        .tray_open = disk->tray_open,
        .locked = disk->locked,
        .node = disk->node,
        .drive = disk->empty_drive              ? disk->drive
                 : disk->node && disk->node->id ? disk->node->id
                                                : "",
    };
}

const char *scsi_disk_drive(const Device *dev)
{
    return ((const ScsiDisk *)dev->state)->drive;
}
