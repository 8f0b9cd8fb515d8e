/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that are the same for every logical unit (REQUEST SENSE, REPORT LUNS), and the
 * stand-in that answers for LUNs that do not exist.
 *
 * Parallel SCSI has no autosense: sense data of a command that failed stays with the unit until
 * REQUEST SENSE fetches it or another command comes (scsi-task.c); without any, REQUEST SENSE
 * reports, and by that clears, the oldest unit attention.
 *
 * A missing LUN selects like any other, since selection is the target's; INQUIRY then says
 * "peripheral qualifier 3", REQUEST SENSE reports 05/25/00 with status GOOD, REPORT LUNS works,
 * and everything else is 05/25/00 (SPC-4 6.4.1, 6.29, 6.21). Guests scan that way.
 */
#include "scsi-cmd.h"

#include "scsi-internal.h"

#define INQUIRY_NO_UNIT 0x7f /* qualifier 3, type 1Fh */

void scsi_sense_fixed(uint8_t out[SCSI_SENSE_LEN], const ScsiSense *sense)
{
    for (unsigned i = 0; i < SCSI_SENSE_LEN; i++) {
        out[i] = 0;
    }
    out[0] = 0x70;
    out[2] = sense->key;
    out[7] = SCSI_SENSE_LEN - 8;
    out[12] = sense->asc;
    out[13] = sense->ascq;
}

/* Descriptor format (SPC-4 4.5.2). */
static size_t sense_descriptors(uint8_t *out, const ScsiSense *sense, const uint32_t *info)
{
    out[0] = 0x72;
    out[1] = sense->key;
    out[2] = sense->asc;
    out[3] = sense->ascq;
    if (!info) {
        return 8;
    }
    out[7] = 12;
    out[8] = 0; /* INFORMATION */
    out[9] = 10;
    out[10] = 0x80; /* VALID */
    put_be32(out + 16, *info);
    return 20;
}

static void reply_sense(ScsiReq *req, const ScsiSense *sense, const uint32_t *info)
{
    uint8_t out[20] = { 0 };
    size_t len = SCSI_SENSE_LEN;

    if (req->cdb[1] & 1) { /* DESC */
        len = sense_descriptors(out, sense, info);
    } else {
        scsi_sense_fixed(out, sense);
        if (info) {
            out[0] |= 0x80; /* VALID */
            put_be32(out + 3, *info);
        }
    }
    scsi_req_reply(req, out, len, req->cdb[4]);
}

void scsi_cmd_request_sense(ScsiDev *dev, ScsiReq *req)
{
    ScsiSense sense = dev->sense;
    bool has_info = dev->sense_info_valid;
    uint32_t info = dev->sense_info;
    g_autofree uint8_t *data = g_steal_pointer(&dev->sense_data);

    scsi_allegiance_end(dev);
    if (data) {
        scsi_req_reply(req, data, dev->sense_len, req->cdb[4]);
        return;
    }
    if (sense.key == 0 && sense.asc == 0) {
        scsi_take_attention(dev, &sense);
    }
    reply_sense(req, &sense, has_info ? &info : NULL);
}

void scsi_cmd_report_luns(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
{
    uint8_t out[8 + 8 * SCSI_MAX_LUN] = { 0 };
    size_t len = 8;

    if (req->cdb[2] > 2) { /* SELECT REPORT: all, well-known only, both */
        scsi_bad_field(req);
        return;
    }
    for (unsigned lun = 0; lun < SCSI_MAX_LUN && req->cdb[2] != 1; lun++) {
        if (req->target < SCSI_MAX_ID && req->bus->units[req->target][lun]) {
            out[len + 1] = (uint8_t)lun;
            len += 8;
        }
    }
    put_be32(out, (uint32_t)(len - 8));
    scsi_req_reply(req, out, len, get_be32(req->cdb + 6));
}

void scsi_cmd_noop(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
{
    scsi_req_good(req);
}

/* ---- the stand-in ---- */

static void absent_inquiry(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
{
    static const uint8_t out[36] = { [0] = INQUIRY_NO_UNIT, [2] = 5, [3] = 2, [4] = 36 - 5 };

    if ((req->cdb[1] & 1) || req->cdb[2]) {
        scsi_bad_field(req);
        return;
    }
    scsi_req_reply(req, out, sizeof(out), get_be16(req->cdb + 3));
}

static void absent_request_sense(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
{
    static const ScsiSense no_lun = { SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_NO_LUN, 0 };

    reply_sense(req, &no_lun, NULL);
}

static void absent_start(ScsiDev *dev, ScsiReq *req)
{
    static const ScsiCmd cmds[] = {
        { .op = SCSI_INQUIRY, .len = 6, .run = absent_inquiry },
        { .op = SCSI_REQUEST_SENSE, .len = 6, .run = absent_request_sense },
        { .op = SCSI_REPORT_LUNS, .len = 12, .run = scsi_cmd_report_luns },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cmds); i++) {
        if (req->cdb[0] == cmds[i].op && req->cdb_len >= cmds[i].len) {
            cmds[i].run(dev, req);
            return;
        }
    }
    scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_NO_LUN, 0);
}

const ScsiDevOps scsi_absent_ops = { .pdt = 0x1f, .start = absent_start };
