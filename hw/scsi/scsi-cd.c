/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device type scsi-cd: a read-only drive with a tray (MMC-5), 2048-byte blocks. The medium is
 * one track in one session: a CD-ROM, or a DVD-ROM if it is longer than a CD can be.
 *
 * Without drive= the drive is empty: commands that need the medium end with 02/3A/00. Ejecting
 * opens the tray (02/3A/02); loading brings the same medium back, with the unit attention 06/28/00
 * and a media event for GET EVENT STATUS NOTIFICATION.
 */
#include "hw/scsi/scsi-disk.h"

#include <string.h>

#include "scsi-disk-internal.h"
#include "scsi-xfer.h"

#define FRAMES_PER_SECOND 75
#define LEAD_IN_FRAMES 150
#define CD_MAX_BLOCKS (80u * 60 * FRAMES_PER_SECOND)
#define LEAD_OUT 0xaa
#define DATA_TRACK 0x14 /* ADR 1: position; control 4: data, copying prohibited */

enum { PROFILE_NONE = 0, PROFILE_CD_ROM = 0x08, PROFILE_DVD_ROM = 0x10 };

static const ScsiCmdTable cd_cmd_table;

/* ---- READ TOC/PMA/ATIP (MMC-5 6.26) ---- */

static void put_address(uint8_t *out, uint64_t lba, bool msf)
{
    uint64_t frames = lba + LEAD_IN_FRAMES;

    if (!msf) {
        put_be32(out, (uint32_t)lba);
        return;
    }
    out[0] = 0;
    out[1] = (uint8_t)(frames / FRAMES_PER_SECOND / 60);
    out[2] = (uint8_t)(frames / FRAMES_PER_SECOND % 60);
    out[3] = (uint8_t)(frames % FRAMES_PER_SECOND);
}

static size_t put_track(uint8_t *out, uint8_t track, uint64_t lba, bool msf)
{
    out[1] = DATA_TRACK;
    out[2] = track;
    put_address(out + 4, lba, msf);
    return 8;
}

static void toc_tracks(const ScsiDisk *disk, ScsiReq *req, bool msf)
{
    uint8_t out[4 + 2 * 8] = { 0 }, first = req->cdb[6];
    size_t len = 4;

    if (first > 1 && first != LEAD_OUT) {
        scsi_bad_field(req);
        return;
    }
    if (first <= 1) {
        len += put_track(out + len, 1, 0, msf);
    }
    len += put_track(out + len, LEAD_OUT, disk->blocks, msf);
    put_be16(out, (uint16_t)(len - 2));
    out[2] = out[3] = 1; /* first and last track */
    scsi_req_reply(req, out, len, get_be16(req->cdb + 7));
}

static void toc_sessions(ScsiReq *req, bool msf)
{
    uint8_t out[4 + 8] = { 0 };

    put_be16(out, sizeof(out) - 2);
    out[2] = out[3] = 1; /* first and last complete session */
    put_track(out + 4, 1, 0, msf);
    scsi_req_reply(req, out, sizeof(out), get_be16(req->cdb + 7));
}

static void cd_read_toc(ScsiDev *dev, ScsiReq *req)
{
    bool msf = req->cdb[1] & 2;
    unsigned format = req->cdb[2] & 0x0f;

    if (format == 0) {
        format = req->cdb[9] >> 6; /* where SFF-8020i drives looked for it */
    }
    switch (format) {
    case 0:
        toc_tracks(disk_of(dev), req, msf);
        break;
    case 1:
        toc_sessions(req, msf);
        break;
    default:
        scsi_bad_field(req);
    }
}

/* ---- GET CONFIGURATION (MMC-5 6.6, features 5.3) ---- */

static unsigned cd_profile(const ScsiDisk *disk)
{
    if (!disk_has_medium(disk)) {
        return PROFILE_NONE;
    }
    return disk->blocks > CD_MAX_BLOCKS ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

typedef struct Feature {
    uint16_t code;
    uint8_t version; /* times 4, plus persistent (2) and current (1) */
    uint8_t len;
    uint8_t profile; /* current with this profile only; 0: always */
    uint8_t data[8];
} Feature;

static const Feature cd_features[] = {
    { 0x0000, 0x03, 8, 0, { 0, PROFILE_DVD_ROM, 0, 0, 0, PROFILE_CD_ROM, 0, 0 } },
    { 0x0001, 0x0b, 8, 0, { 0, 0, 0, 1, 1, 0, 0, 0 } }, /* core: SCSI; INQ2 */
    { 0x0003, 0x0b, 4, 0, { 0x29, 0, 0, 0 } },          /* tray; ejects; locks */
    { 0x0010, 0x00, 8, 0, { 0, 0, 8, 0, 0, 1, 0, 0 } }, /* random readable: 2048, 1 block */
    { 0x001e, 0x08, 4, PROFILE_CD_ROM, { 0 } },
    { 0x001f, 0x08, 4, PROFILE_DVD_ROM, { 0 } },
    { 0x0100, 0x03, 0, 0, { 0 } }, /* power management */
};

static size_t put_feature(const Feature *f, unsigned profile, uint8_t *out)
{
    put_be16(out, f->code);
    out[2] = f->version;
    out[3] = f->len;
    memcpy(out + 4, f->data, f->len);
    if (f->code == 0) {
        out[4 + 2] = profile == PROFILE_DVD_ROM;
        out[4 + 6] = profile == PROFILE_CD_ROM;
    } else if (profile && (f->profile == profile || f->code == 0x0010)) {
        out[2] |= 1;
    }
    return 4u + f->len;
}

static void cd_get_configuration(ScsiDev *dev, ScsiReq *req)
{
    enum { ALL = 0, CURRENT = 1, ONE = 2 };
    unsigned profile = cd_profile(disk_of(dev)), want = req->cdb[1] & 3;
    uint16_t start = get_be16(req->cdb + 2);
    uint8_t out[8 + G_N_ELEMENTS(cd_features) * 12] = { 0 };
    size_t len = 8;

    if (want > ONE) {
        scsi_bad_field(req);
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(cd_features); i++) {
        const Feature *f = &cd_features[i];

        if (f->code >= start && (want != ONE || f->code == start)) {
            size_t n = put_feature(f, profile, out + len);

            len += want != CURRENT || (out[len + 2] & 1) ? n : 0;
        }
    }
    memset(out + len, 0, sizeof(out) - len);
    put_be32(out, (uint32_t)(len - 4));
    put_be16(out + 6, (uint16_t)profile);
    scsi_req_reply(req, out, len, get_be16(req->cdb + 7));
}

/* ---- GET EVENT STATUS NOTIFICATION (MMC-5 6.7) ---- */

static void cd_get_event_status(ScsiDev *dev, ScsiReq *req)
{
    enum { POLLED = 1, MEDIA_CLASS = 4, NO_EVENT = 0x80 };
    ScsiDisk *disk = disk_of(dev);
    uint8_t out[8] = { 0 };
    size_t len = 4;

    if (!(req->cdb[1] & POLLED)) { /* asynchronous notification is not there */
        scsi_bad_field(req);
        return;
    }
    out[2] = NO_EVENT;
    out[3] = 1 << MEDIA_CLASS;
    if (req->cdb[4] & (1 << MEDIA_CLASS)) {
        out[2] = MEDIA_CLASS;
        out[4] = disk->event;
        out[5] = (disk->tray_open ? 1 : 0) | (disk_has_medium(disk) ? 2 : 0);
        len = 8;
        if (get_be16(req->cdb + 7) > 4) {
            disk->event = DISK_EVENT_NONE;
        }
    }
    put_be16(out, (uint16_t)(len - 2));
    scsi_req_reply(req, out, len, get_be16(req->cdb + 7));
}

/* ---- disc, track and mechanism ---- */

static void cd_read_disc_information(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
{
    static const uint8_t out[34] = {
        [1] = 32, [2] = 0x0e, /* last session complete, disc finalised */
        [3] = 1, [4] = 1, [5] = 1, [6] = 1, /* first track, sessions, tracks of the last session */
        [7] = 0x20, /* unrestricted use */
    };

    if (req->cdb[1] & 7) { /* resources, POW resources */
        scsi_bad_field(req);
        return;
    }
    scsi_req_reply(req, out, sizeof(out), get_be16(req->cdb + 7));
}

static void cd_read_track_information(ScsiDev *dev, ScsiReq *req)
{
    const ScsiDisk *disk = disk_of(dev);
    uint32_t at = get_be32(req->cdb + 2);
    unsigned kind = req->cdb[1] & 3; /* the address is an LBA, a track, a session */
    uint8_t out[36] = { 0 };

    if (kind == 3 || (kind == 0 && at >= disk->blocks) || (kind != 0 && at != 1)) {
        scsi_bad_field(req);
        return;
    }
    put_be16(out, sizeof(out) - 2);
    out[2] = out[3] = 1; /* track, session */
    out[5] = 0x04;       /* data track */
    out[6] = 0x01;       /* data mode 1 */
    put_be32(out + 24, (uint32_t)MIN(disk->blocks, UINT32_MAX));
    scsi_req_reply(req, out, sizeof(out), get_be16(req->cdb + 7));
}

static void cd_mechanism_status(ScsiDev *dev, ScsiReq *req)
{
    uint8_t out[8] = { 0 };

    out[1] = disk_of(dev)->tray_open ? 0x10 : 0;
    scsi_req_reply(req, out, sizeof(out), get_be16(req->cdb + 8));
}

static void cd_report_opcodes(ScsiDev *dev, ScsiReq *req)
{
    scsi_report_opcodes(&cd_cmd_table, dev, req);
}

/* ---- table and type ---- */

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
    .detach = disk_detach,
    .start = disk_start,
    .more = xfer_more,
    .cancel = xfer_cancel,
    .reset = disk_reset,
    .drain = xfer_drain,
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
};
