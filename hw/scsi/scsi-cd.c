/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device type scsi-cd: a read-only drive with a tray (MMC-5), 2048-byte blocks. What it answers
 * is in scsi-cd-cmds.c; here are its command table, its tray and its medium.
 *
 * Without drive= the drive is empty: commands that need the medium end with 02/3A/00. Ejecting
 * opens the tray (02/3A/02); loading brings the medium back, with the unit attention 06/28/00 and a
 * media event for GET EVENT STATUS NOTIFICATION.
 *
 * The operator changes the medium from outside: the tray opens, whatever was being read fails with
 * 02/3A/02, and when the last block request of the old node is back, the new one is taken and the
 * tray closed. A guest that has locked the tray is asked first, by an external event that a driver
 * answers with an eject, unless the operator forces it.
 */
#include "hw/scsi/scsi-disk.h"

#include "scsi-cd-internal.h"
#include "scsi-internal.h"
#include "scsi-xfer.h"
#include "util/error.h"
#include "util/log.h"

static const ScsiCmdTable cd_cmd_table;

/* ---- tray and medium, from outside ---- */

static void tray_open(ScsiDisk *disk)
{
    static const ScsiSense removed = { SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM, 2 };

    if (!disk->tray_open && disk->node) {
        disk->event = DISK_EVENT_REMOVED;
    }
    disk_set_tray(disk, true);
    xfer_fail_all(disk, removed);
}

static void tray_close(ScsiDisk *disk)
{
    disk_set_tray(disk, false);
    if (disk->node) {
        disk->event = DISK_EVENT_NEW;
        scsi_unit_attention(&disk->scsi, SCSI_ASC_MEDIUM_CHANGED, 0);
    }
}

static bool check_lock(ScsiDisk *disk, bool force, GError **errp)
{
    if (disk->changing) {
        return error_set(errp, "The medium of '%s' is being changed", device_name(disk->scsi.dev));
    }
    if (disk->locked && !disk->tray_open && !force) {
        disk->event = DISK_EVENT_EJECT_REQUEST;
        return error_set(errp, "Device '%s' is locked; the guest has been asked to eject it",
                         device_name(disk->scsi.dev));
    }
    return true;
}

bool scsi_cd_eject(Device *dev, bool force, GError **errp)
{
    if (!check_lock(dev->state, force, errp)) {
        return false;
    }
    tray_open(dev->state);
    return true;
}

bool scsi_cd_load(Device *dev, GError **errp)
{
    ScsiDisk *disk = dev->state;

    if (!check_lock(disk, true, errp)) {
        return false;
    }
    if (disk->tray_open) {
        tray_close(disk);
    }
    return true;
}

/* Nothing of the old node is in use any more. */
static bool take_next(ScsiDisk *disk)
{
    BlockNode *next = disk->next_node;
    g_autoptr(GError) err = NULL;
    bool ok = !next || block_attach(next, disk->scsi.bus->loop, &err);

    if (!ok) {
        log_line(device_name(disk->scsi.dev), "%s", err->message);
        disk_drop_claim(next, g_steal_pointer(&disk->next_user));
        next = NULL;
    }
    if (disk->node) {
        block_detach(disk->node);
        disk_release_node(disk);
    }
    disk_settle_node(disk, next, g_steal_pointer(&disk->next_user));
    if (disk->close_tray) {
        tray_close(disk);
    }
    return ok;
}

static void change_end(ScsiDisk *disk, bool ok)
{
    void (*changed)(void *, bool) = disk->changed;

    disk->changing = false;
    disk->next_node = NULL;
    changed(disk->changed_opaque, ok);
}

/* Comes again when the last request is back, and when a drain is over. The guest may have closed
 * the tray in between. */
static void change_step(void *opaque)
{
    ScsiDisk *disk = opaque;

    if (!disk->scsi.bus->draining) {
        tray_open(disk);
        if (disk->in_flight == 0) {
            change_end(disk, take_next(disk));
        }
    }
}

static void cd_drained(ScsiDev *dev)
{
    if (disk_of(dev)->changing) {
        loop_defer(&disk_of(dev)->change_work);
    }
}

static bool change_begin(ScsiDisk *disk, const char *name, ScsiCdDone *done, void *opaque,
                         GError **errp)
{
    Device *dev = disk->scsi.dev;
    BlockNode *node = name ? block_find(dev->blocks, name) : NULL;

    if (name && !node) {
        return error_set(errp, "Cannot find a block node '%s'", name);
    }
    if (node) {
        disk->next_user = disk_claim_node(disk, dev, node, errp);
        if (!disk->next_user) {
            return false;
        }
    }
    disk->changing = true;
    disk->next_node = node;
    disk->changed = done;
    disk->changed_opaque = opaque;
    loop_work_init(&disk->change_work, disk->scsi.bus->loop, change_step, disk);
    loop_defer(&disk->change_work);
    return true;
}

bool scsi_cd_change_medium(Device *dev, const char *name, bool force, ScsiCdDone *done,
                           void *opaque, GError **errp)
{
    ScsiDisk *disk = dev->state;

    if (!check_lock(disk, force, errp)) {
        return false;
    }
    disk->close_tray = true;
    return change_begin(disk, name, done, opaque, errp);
}

static bool check_open(ScsiDisk *disk, GError **errp)
{
    return check_lock(disk, true, errp) &&
           (disk->tray_open ||
            error_set(errp, "Tray of device '%s' is not open", device_name(disk->scsi.dev)));
}

bool scsi_cd_insert(Device *dev, const char *name, ScsiCdDone *done, void *opaque, GError **errp)
{
    ScsiDisk *disk = dev->state;

    if (!check_open(disk, errp)) {
        return false;
    }
    if (disk->node) {
        return error_set(errp, "There already is a medium in device '%s'", device_name(dev));
    }
    disk->close_tray = false;
    return change_begin(disk, name, done, opaque, errp);
}

bool scsi_cd_remove(Device *dev, ScsiCdDone *done, void *opaque, GError **errp)
{
    ScsiDisk *disk = dev->state;

    disk->close_tray = false;
    return check_open(disk, errp) && change_begin(disk, NULL, done, opaque, errp);
}

static void cd_detach(ScsiDev *dev)
{
    ScsiDisk *disk = disk_of(dev);

    if (disk->changing) {
        loop_work_cancel(&disk->change_work);
        disk_drop_claim(disk->next_node, g_steal_pointer(&disk->next_user));
        change_end(disk, false);
    }
    disk_detach(dev);
}

/* ---- table and type ---- */

static void cd_report_opcodes(ScsiDev *dev, ScsiReq *req)
{
    scsi_report_opcodes(&cd_cmd_table, dev, req);
}

#define ALWAYS SCSI_CMD_ALWAYS
#define MEDIUM SCSI_CMD_MEDIUM
#define LBA4 0xff, 0xff, 0xff, 0xff

static const ScsiCmd cd_cmds[] = {
    { SCSI_READ_10, 0, 10, MEDIUM, "READ(10)", disk_cmd_read,
      { 0xf8, LBA4, 0, 0xff, 0xff, 4 } },
    { SCSI_READ_12, 0, 12, MEDIUM, "READ(12)", disk_cmd_read, { 0xf8, LBA4, LBA4, 0, 4 } },
    { SCSI_TEST_UNIT_READY, 0, 6, 0, "TEST UNIT READY", disk_cmd_test_unit_ready,
      { 0, 0, 0, 0, 4 } },
    { SCSI_GET_EVENT_STATUS, 0, 10, ALWAYS, "GET EVENT STATUS NOTIFICATION", cd_get_event_status,
      { 1, 0, 0, 0xff, 0, 0, 0xff, 0xff, 4 } },
    { SCSI_REQUEST_SENSE, 0, 6, ALWAYS, "REQUEST SENSE", scsi_cmd_request_sense,
      { 1, 0, 0, 0xff, 4 } },
    { SCSI_INQUIRY, 0, 6, ALWAYS, "INQUIRY", disk_cmd_inquiry, { 3, 0xff, 0xff, 0xff, 4 } },
    { SCSI_REPORT_LUNS, 0, 12, ALWAYS, "REPORT LUNS", scsi_cmd_report_luns,
      { 0, 0xff, 0, 0, 0, LBA4, 0, 4 } },
    { SCSI_GET_CONFIGURATION, 0, 10, ALWAYS, "GET CONFIGURATION", cd_get_configuration,
      { 3, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 4 } },
    { SCSI_READ_CD, 0, 12, MEDIUM, "READ CD", cd_read_cd,
      { 0x1e, LBA4, 0xff, 0xff, 0xff, 0xf9, 7, 4 } },
    { SCSI_READ_CD_MSF, 0, 12, MEDIUM, "READ CD MSF", cd_read_cd,
      { 0x1e, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf9, 7, 4 } },
    { SCSI_READ_DVD_STRUCTURE, 0, 12, MEDIUM, "READ DVD STRUCTURE", cd_read_dvd_structure,
      { 0x0f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 4 } },
    { SCSI_SET_CD_SPEED, 0, 12, 0, "SET CD SPEED", scsi_cmd_noop,
      { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4 } },
    { SCSI_READ_CAPACITY_10, 0, 10, MEDIUM, "READ CAPACITY", disk_cmd_read_capacity_10,
      { 0, LBA4, 0, 0, 1, 4 } },
    { SCSI_READ_TOC, 0, 10, MEDIUM, "READ TOC/PMA/ATIP", cd_read_toc,
      { 2, 0x0f, 0, 0, 0, 0xff, 0xff, 0xff, 0xc4 } },
    { SCSI_READ_DISC_INFORMATION, 0, 10, MEDIUM, "READ DISC INFORMATION",
      cd_read_disc_information, { 7, 0, 0, 0, 0, 0, 0xff, 0xff, 4 } },
    { SCSI_READ_TRACK_INFORMATION, 0, 10, MEDIUM, "READ TRACK INFORMATION",
      cd_read_track_information, { 3, LBA4, 0, 0xff, 0xff, 4 } },
    { SCSI_MODE_SENSE_6, 0, 6, 0, "MODE SENSE(6)", disk_cmd_mode_sense,
      { 8, 0xff, 0xff, 0xff, 4 } },
    { SCSI_MODE_SENSE_10, 0, 10, 0, "MODE SENSE(10)", disk_cmd_mode_sense,
      { 8, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 4 } },
    { SCSI_MODE_SELECT_6, 0, 6, 0, "MODE SELECT(6)", disk_cmd_mode_select,
      { 0x11, 0, 0, 0xff, 4 } },
    { SCSI_MODE_SELECT_10, 0, 10, 0, "MODE SELECT(10)", disk_cmd_mode_select,
      { 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 4 } },
    { SCSI_START_STOP_UNIT, 0, 6, 0, "START STOP UNIT", disk_cmd_start_stop,
      { 1, 0, 0, 0xf7, 4 } },
    { SCSI_PREVENT_ALLOW, 0, 6, 0, "PREVENT ALLOW MEDIUM REMOVAL", disk_cmd_prevent_allow,
      { 0, 0, 0, 1, 4 } },
    { SCSI_MECHANISM_STATUS, 0, 12, ALWAYS, "MECHANISM STATUS", cd_mechanism_status,
      { 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 4 } },
    { SCSI_RESERVE_6, 0, 6, 0, "RESERVE(6)", disk_cmd_reserve, { 0x1f, 0, 0, 0, 4 } },
    { SCSI_RELEASE_6, 0, 6, 0, "RELEASE(6)", disk_cmd_release, { 0x1f, 0, 0, 0, 4 } },
    { SCSI_RESERVE_10, 0, 10, 0, "RESERVE(10)", disk_cmd_reserve,
      { 0x1f, 0, 0, 0, 0, 0, 0, 0, 4 } },
    { SCSI_RELEASE_10, 0, 10, 0, "RELEASE(10)", disk_cmd_release,
      { 0x1f, 0, 0, 0, 0, 0, 0, 0, 4 } },
    { SCSI_SEEK_10, 0, 10, MEDIUM, "SEEK(10)", disk_cmd_seek, { 0, LBA4, 0, 0, 0, 4 } },
    { SCSI_MAINTENANCE_IN, 0x0c, 12, SCSI_CMD_SA, "REPORT SUPPORTED OPERATION CODES",
      cd_report_opcodes, { 0x1f, 0x87, 0xff, 0xff, 0xff, LBA4, 0, 4 } },
};

static const ScsiCmdTable cd_cmd_table = {
    .cmds = cd_cmds,
    .n = G_N_ELEMENTS(cd_cmds),
    .ready = disk_is_ready,
};

static const ScsiDevOps cd_ops = {
    .pdt = 5,
    .attach = disk_attach,
    .detach = cd_detach,
    .start = disk_start,
    .read = disk_read_direct,
    .more = xfer_more,
    .cancel = xfer_cancel,
    .reset = disk_reset,
    .save = disk_save,
    .load = disk_load,
    .drain = xfer_drain,
    .resume = xfer_resume,
    .drained = cd_drained,
};

static const OptDesc cd_props[] = {
    DISK_COMMON_PROPS("QEMU CD-ROM"),
    DISK_PROP("quirk_mode_page_apple_vendor", OPT_BOOL, ignored_bool),
    DISK_PROP("quirk_mode_page_truncated", OPT_BOOL, ignored_bool),
    DISK_PROP("quirk_mode_page_vendor_specific_apple", OPT_BOOL, ignored_bool),
    DISK_PROP("quirk_mode_sense_rom_use_dbd", OPT_BOOL, ignored_bool),
    { .type = OPT_END },
};

static bool cd_realize(Device *dev, GError **errp)
{
    ScsiDisk *disk = dev->state;

    disk->removable = true;
    return disk_realize(dev, &cd_ops, &cd_cmd_table, errp);
}

const DeviceType scsi_cd_type = {
    .name = "scsi-cd",
    .desc = "virtual SCSI CD-ROM drive",
    .bus_kind = BUS_SCSI,
    .props = cd_props,
    .size = sizeof(ScsiDisk),
    .realize = cd_realize,
    .unrealize = disk_unrealize,
    .plug = scsi_dev_hot_plug,
    .unplug = scsi_dev_hot_unplug,
};
