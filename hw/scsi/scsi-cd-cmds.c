/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What scsi-cd answers beside what it shares with disks (MMC-5 section 6): READ CD, table of
 * contents, configuration, events, disc, track and DVD structure.
 *
 * The medium is one data track in one session: a CD-ROM, or a DVD-ROM if it is longer than a CD can
 * be. An image has the user data of mode 1 sectors and nothing else, so READ CD gives that or, if
 * nothing is asked for, nothing; sync, headers, error correction and all other sector types are
 * 05/64/00, subchannels 05/24/00.
 */
#include "scsi-cd-internal.h"

#include <string.h>

#define FRAMES_PER_SECOND 75
#define LEAD_IN_FRAMES 150
#define CD_MAX_BLOCKS (80u * 60 * FRAMES_PER_SECOND)
#define LEAD_OUT 0xaa
#define DVD_FIRST_SECTOR 0x30000u
#define DVD_LAYER_BLOCKS 2295104u /* 4.7 GB */
#define DATA_TRACK 0x14 /* ADR 1: position; control 4: data, copying prohibited */

enum { PROFILE_NONE = 0, PROFILE_CD_ROM = 0x08, PROFILE_DVD_ROM = 0x10 };

/* ---- READ TOC/PMA/ATIP (MMC-5 6.26) ---- */

static void put_address(uint8_t *out, uint64_t lba, bool msf)
{
    uint64_t frames = lba + LEAD_IN_FRAMES;

    if (!msf) {
        put_be32(out, (uint32_t)lba);
        return;
    }
    out[0] = 0;
    out[1] = (uint8_t)MIN(frames / FRAMES_PER_SECOND / 60, UINT8_MAX); /* a DVD goes beyond */
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

/* Q subchannel of the lead-in: first and last track, lead-out, the track; only in MSF. */
static void toc_full(const ScsiDisk *disk, ScsiReq *req)
{
    static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };
    uint8_t out[4 + 4 * 11] = { 0 };

    if (req->cdb[6] > 1) { /* session to begin with */
        scsi_bad_field(req);
        return;
    }
    put_be16(out, sizeof(out) - 2);
    out[2] = out[3] = 1; /* first and last session */
    for (unsigned i = 0; i < G_N_ELEMENTS(points); i++) {
        uint8_t *p = out + 4 + 11 * i, msf[4];

        p[0] = 1; /* session */
        p[1] = DATA_TRACK;
        p[3] = points[i];
        p[8] = 1; /* track number, for A0 and A1 */
        if (points[i] == 0xa2 || points[i] == 1) {
            put_address(msf, points[i] == 1 ? 0 : disk->blocks, true);
            memcpy(p + 8, msf + 1, 3);
        }
    }
    scsi_req_reply(req, out, sizeof(out), get_be16(req->cdb + 7));
}

void cd_read_toc(ScsiDev *dev, ScsiReq *req)
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
    case 2:
        toc_full(disk_of(dev), req);
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
    { 0x0002, 0x07, 4, 0, { 0 } }, /* morphing: by GET EVENT STATUS, polled */
    { 0x0003, 0x0b, 4, 0, { 0x29, 0, 0, 0 } },          /* tray; ejects; locks */
    { 0x0010, 0x00, 8, 0, { 0, 0, 8, 0, 0, 1, 0, 0 } }, /* random readable: 2048, 1 block */
    { 0x001d, 0x00, 0, PROFILE_CD_ROM, { 0 } }, /* multi-read */
    { 0x001e, 0x08, 4, PROFILE_CD_ROM, { 0 } },
    { 0x001f, 0x08, 4, PROFILE_DVD_ROM, { 0 } },
    { 0x0100, 0x03, 0, 0, { 0 } }, /* power management */
    { 0x0105, 0x07, 4, 0, { 0 } }, /* time-out */
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

void cd_get_configuration(ScsiDev *dev, ScsiReq *req)
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

void cd_get_event_status(ScsiDev *dev, ScsiReq *req)
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

void cd_read_disc_information(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
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

void cd_read_track_information(ScsiDev *dev, ScsiReq *req)
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

void cd_mechanism_status(ScsiDev *dev, ScsiReq *req)
{
    uint8_t out[8] = { 0 };

    out[1] = disk_of(dev)->tray_open ? 0x10 : 0;
    scsi_req_reply(req, out, sizeof(out), get_be16(req->cdb + 8));
}

/* ---- READ DVD STRUCTURE (MMC-5 6.22) ---- */

/* Physical format information of layer 0. */
static size_t dvd_physical(const ScsiDisk *disk, uint8_t *out)
{
    bool dual = disk->blocks > DVD_LAYER_BLOCKS;
    uint64_t last = DVD_FIRST_SECTOR + disk->blocks - 1;

    out[0] = 0x01;                       /* DVD-ROM, version 1 */
    out[1] = 0x0f;                       /* 120 mm; no maximum rate */
    out[2] = (dual ? 0x20 : 0x00) | 0x01; /* layers; parallel track path; embossed */
    put_be24(out + 5, DVD_FIRST_SECTOR);
    put_be24(out + 9, (uint32_t)MIN(last, 0xffffff));
    return 2048;
}

/* No protection system, all regions. */
static size_t dvd_copyright(const ScsiDisk *disk G_GNUC_UNUSED, uint8_t *out G_GNUC_UNUSED)
{
    return 4;
}

static size_t dvd_manufacturing(const ScsiDisk *disk G_GNUC_UNUSED, uint8_t *out G_GNUC_UNUSED)
{
    return 2048;
}

typedef struct DvdStructure {
    uint8_t format;
    size_t (*fill)(const ScsiDisk *disk, uint8_t *out);
} DvdStructure;

static const DvdStructure dvd_structures[] = {
    { 0x00, dvd_physical },
    { 0x01, dvd_copyright },
    { 0x04, dvd_manufacturing },
};

/* Format FF: what there is, each with its length, readable. */
static size_t dvd_list(const ScsiDisk *disk, uint8_t *out)
{
    uint8_t ignored[2048];
    size_t len = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(dvd_structures); i++, len += 4) {
        out[len] = dvd_structures[i].format;
        out[len + 1] = 0x40; /* RDS */
        put_be16(out + len + 2, (uint16_t)(dvd_structures[i].fill(disk, ignored) + 2));
    }
    return len;
}

static size_t dvd_fill(const ScsiDisk *disk, uint8_t format, uint8_t *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(dvd_structures); i++) {
        if (dvd_structures[i].format == format) {
            return dvd_structures[i].fill(disk, out);
        }
    }
    return format == 0xff ? dvd_list(disk, out) : 0;
}

void cd_read_dvd_structure(ScsiDev *dev, ScsiReq *req)
{
    const ScsiDisk *disk = disk_of(dev);
    uint8_t out[4 + 2048] = { 0 };
    size_t len;

    if (cd_profile(disk) != PROFILE_DVD_ROM) {
        scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INCOMPATIBLE_MEDIUM, 0x02);
        return;
    }
    len = dvd_fill(disk, req->cdb[7], out + 4);
    if (len == 0 || (req->cdb[1] & 0x0f) || req->cdb[6]) { /* Blu-ray; another layer */
        scsi_bad_field(req);
        return;
    }
    put_be16(out, (uint16_t)(len + 2));
    scsi_req_reply(req, out, 4 + len, get_be16(req->cdb + 8));
}

/* ---- READ CD (MMC-5 6.19, 6.20) ---- */

/* False: no such minute, second and frame. */
static bool msf_to_lba(const uint8_t *msf, uint64_t *lba)
{
    uint64_t frames = (msf[0] * 60u + msf[1]) * FRAMES_PER_SECOND + msf[2];

    *lba = frames - LEAD_IN_FRAMES;
    return msf[1] < 60 && msf[2] < FRAMES_PER_SECOND && frames >= LEAD_IN_FRAMES;
}

static bool read_cd_range(const ScsiReq *req, DiskRange *range)
{
    uint64_t end;

    if (req->cdb[0] == SCSI_READ_CD) {
        *range = (DiskRange){ get_be32(req->cdb + 2), get_be24(req->cdb + 6) };
        return true;
    }
    if (!msf_to_lba(req->cdb + 3, &range->lba) || !msf_to_lba(req->cdb + 6, &end) ||
        end < range->lba) {
        return false;
    }
    range->n = (uint32_t)(end - range->lba);
    return true;
}

void cd_read_cd(ScsiDev *dev, ScsiReq *req)
{
    enum { ANY_TYPE = 0, MODE_1 = 2, USER_DATA = 0x10, RESERVED = 0x01 };
    ScsiDisk *disk = disk_of(dev);
    unsigned type = req->cdb[1] >> 2 & 7, parts = req->cdb[9];
    DiskRange range;

    if (!read_cd_range(req, &range) || (parts & RESERVED) || (req->cdb[10] & 7) ||
        range.n > disk->max_blocks) {
        scsi_bad_field(req);
    } else if (!disk_check_range(disk, req, range.lba, range.n)) {
        return;
    } else if ((type != ANY_TYPE && type != MODE_1) || (parts & ~USER_DATA)) {
        scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_ILLEGAL_MODE, 0);
    } else if (range.n == 0 || parts == 0) {
        scsi_req_good(req);
    } else {
        disk_read_range(disk, req, range);
    }
}
