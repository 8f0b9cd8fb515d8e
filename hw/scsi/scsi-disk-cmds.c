/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small commands that disk and CD share: TEST UNIT READY, READ CAPACITY(10), START STOP UNIT with
 * its tray, PREVENT ALLOW MEDIUM REMOVAL, SEEK (which checks the address and does nothing).
 *
 * The tray is a state of removable units: ejecting hides the medium, loading brings it back as a
 * changed one. STOP flushes the write cache, as a drive does before it spins down.
 */
#include "scsi-disk-internal.h"

#define START_POWER(bits) ((bits) >> 4)
#define POWER_KNOWN 0x0c8f /* START_VALID, ACTIVE, IDLE, STANDBY, LU_CONTROL, FORCE_* */
#define START_NO_FLUSH 0x04
#define START_LOEJ 0x02
#define START_START 0x01

void disk_cmd_test_unit_ready(ScsiDev *dev, ScsiReq *req)
{
    ScsiSense sense;

    if (disk_is_ready(dev, SCSI_CMD_MEDIUM, &sense)) {
        scsi_req_good(req);
    } else {
        scsi_req_check(req, sense.key, sense.asc, sense.ascq);
    }
}

/* PMI is 0 (then the LBA must be, too) or asks for the last block before a delay: the last. */
bool disk_capacity_check(const ScsiDisk *disk, ScsiReq *req, uint64_t lba, bool pmi)
{
    if (lba != 0 && !pmi) {
        scsi_bad_field(req);
        return false;
    }
    if (disk->blocks == 0) { /* there is no last block to name; 04/03: see to the medium */
        scsi_req_check(req, SCSI_KEY_NOT_READY, SCSI_ASC_NOT_READY, 0x03);
        return false;
    }
    return true;
}

void disk_cmd_read_capacity_10(ScsiDev *dev, ScsiReq *req)
{
    const ScsiDisk *disk = disk_of(dev);
    uint8_t out[8] = { 0 };

    if (disk_capacity_check(disk, req, get_be32(req->cdb + 2), req->cdb[8] & 1)) {
        put_be32(out, (uint32_t)MIN(disk->blocks - 1, UINT32_MAX));
        put_be32(out + 4, disk->block_size);
        scsi_req_reply(req, out, sizeof(out), sizeof(out));
    }
}

static void tray_move(ScsiDisk *disk, ScsiReq *req, bool load)
{
    if (!load && disk->locked && !disk->tray_open) {
        scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_REMOVAL_PREVENTED, 0x02);
        return;
    }
    if (load && disk->tray_open && disk->node) {
        scsi_unit_attention(&disk->scsi, SCSI_ASC_MEDIUM_CHANGED, 0);
        disk->event = DISK_EVENT_NEW;
    } else if (!load && !disk->tray_open) {
        disk->event = DISK_EVENT_REMOVED;
    }
    disk_set_tray(disk, !load);
    scsi_req_good(req);
}

void disk_cmd_start_stop(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    uint8_t bits = req->cdb[4];

    if (!(POWER_KNOWN >> START_POWER(bits) & 1)) {
        scsi_bad_field(req);
    } else if (START_POWER(bits)) { /* START and LOEJ are ignored then (SBC-3 5.25) */
        scsi_req_good(req);
    } else if (bits & START_LOEJ) {
        if (disk->removable) {
            tray_move(disk, req, bits & START_START);
        } else {
            scsi_bad_field(req);
        }
    } else if ((bits & (START_START | START_NO_FLUSH)) || !disk->node) {
        scsi_req_good(req);
    } else {
        disk_flush(disk, req);
    }
}

void disk_cmd_prevent_allow(ScsiDev *dev, ScsiReq *req)
{
    disk_of(dev)->locked = req->cdb[4] & 1;
    scsi_req_good(req);
}

void disk_cmd_seek(ScsiDev *dev, ScsiReq *req)
{
    uint64_t lba = req->cdb[0] == SCSI_SEEK_6 ? get_be24(req->cdb + 1) & 0x1fffff
                                              : get_be32(req->cdb + 2);

    if (disk_check_range(disk_of(dev), req, lba, 1)) {
        scsi_req_good(req);
    }
}
