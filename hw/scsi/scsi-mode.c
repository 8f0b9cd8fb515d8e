/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MODE SENSE(6) and (10) (SPC-4 6.11, 7.5): a header, for disks a block descriptor, and pages.
 *
 * The pages are a table in ascending order; page 3F walks all of it. Current and default values
 * are the same; nothing is changeable, since there is no MODE SELECT, so the page of changeable
 * bits is all zeros. Saved values do not exist (05/39/00).
 *
 * Page 04 gives legacy geometry: SeaBIOS asks for it on disks whose vendor is QEMU.
 */
#include "scsi-disk-internal.h"

#define PC_CHANGEABLE 1
#define PC_SAVED 3
#define PAGE_ALL 0x3f
#define SUBPAGE_ALL 0xff
#define ROOM 256 /* all pages and headers together are below it */

#define DEFAULT_HEADS 16
#define DEFAULT_SECS 63
#define RPM 7200

typedef struct Geometry {
    uint32_t cyls, heads, secs;
} Geometry;

static Geometry disk_geometry(const ScsiDisk *disk)
{
    Geometry g = { disk->cyls, disk->heads ? disk->heads : DEFAULT_HEADS,
                   disk->secs ? disk->secs : DEFAULT_SECS };

    if (!g.cyls) {
        g.cyls = (uint32_t)MIN(disk->blocks / ((uint64_t)g.heads * g.secs), 0xffffff);
        g.cyls = MAX(g.cyls, 1);
    }
    return g;
}

/* SBC-3 6.4.7, MMC-5 7.3 */
static void page_error_recovery(const ScsiDisk *disk, uint8_t *p)
{
    p[2] = 0x80; /* AWRE */
    if (disk->cd) {
        p[3] = 0x20; /* read retries */
    }
}

/* SBC-2 6.3.9 */
static void page_rigid_geometry(const ScsiDisk *disk, uint8_t *p)
{
    Geometry g = disk_geometry(disk);

    put_be24(p + 2, g.cyls);
    p[5] = (uint8_t)g.heads;
    put_be24(p + 6, g.cyls);  /* no write precompensation, */
    put_be24(p + 9, g.cyls);  /* no reduced write current */
    put_be16(p + 12, 200);    /* step rate, 100 ns */
    put_be24(p + 14, 0xffffff); /* landing zone */
    put_be16(p + 20, RPM);
}

/* SBC-2 6.3.6 */
static void page_flexible(const ScsiDisk *disk, uint8_t *p)
{
    Geometry g = disk_geometry(disk);

    put_be16(p + 2, 5000); /* transfer rate, kbit/s */
    p[4] = (uint8_t)g.heads;
    p[5] = (uint8_t)g.secs;
    put_be16(p + 6, (uint16_t)MIN(disk->block_size, UINT16_MAX));
    put_be16(p + 8, (uint16_t)MIN(g.cyls, UINT16_MAX));
    put_be16(p + 28, RPM);
}

/* SBC-3 6.4.5 */
static void page_caching(const ScsiDisk *disk, uint8_t *p)
{
    p[2] = disk->wce ? 0x04 : 0;
}

/* SPC-4 7.5.8 */
static void page_control(const ScsiDisk *disk G_GNUC_UNUSED, uint8_t *p)
{
    p[3] = 0x10; /* unrestricted reordering of SIMPLE tasks */
}

/* MMC-3 6.3.11 */
static void page_cd_capabilities(const ScsiDisk *disk, uint8_t *p)
{
    p[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM */
    p[4] = 0x70; /* multi-session, mode 2 form 1 and 2 */
    p[6] = 0x20 | 0x08 | 0x01 | (disk->locked ? 0x02 : 0); /* tray; ejects; can be locked */
    put_be16(p + 8, 50 * 176);  /* kB/s: 50x */
    put_be16(p + 10, 2);        /* volume levels */
    put_be16(p + 12, 2048);     /* KiB of buffer */
    put_be16(p + 14, 50 * 176);
}

typedef struct ModePage {
    uint8_t code, len; /* len: without the two bytes of header */
    uint8_t cd_len;    /* for a CD; 0: has none */
    bool cd_only;
    void (*fill)(const ScsiDisk *disk, uint8_t *p);
} ModePage;

static const ModePage mode_pages[] = {
    { 0x01, 10, 6, false, page_error_recovery },
    { 0x04, 22, 0, false, page_rigid_geometry },
    { 0x05, 30, 0, false, page_flexible },
    { 0x08, 18, 18, false, page_caching },
    { 0x0a, 10, 10, false, page_control },
    { 0x2a, 20, 20, true, page_cd_capabilities },
};

static size_t put_pages(const ScsiDisk *disk, uint8_t code, uint8_t pc, uint8_t *out)
{
    size_t at = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(mode_pages); i++) {
        const ModePage *page = &mode_pages[i];
        uint8_t len = disk->cd ? page->cd_len : page->cd_only ? 0 : page->len;

        if (len == 0 || (code != PAGE_ALL && code != page->code)) {
            continue;
        }
        out[at] = page->code;
        out[at + 1] = len;
        if (pc != PC_CHANGEABLE) {
            page->fill(disk, out + at);
        }
        at += 2u + len;
    }
    return at;
}

/* Short LBA mode parameter block descriptor (SBC-3 6.4.2.2). */
static size_t put_block_descriptor(const ScsiDisk *disk, uint8_t *out)
{
    put_be32(out, (uint32_t)MIN(disk->blocks, UINT32_MAX));
    put_be24(out + 5, disk->block_size);
    return 8;
}

static uint8_t device_specific(const ScsiDisk *disk)
{
    if (disk->cd) {
        return 0;
    }
    return (disk_read_only(disk) ? 0x80 : 0) | (disk->dpofua ? 0x10 : 0);
}

void disk_cmd_mode_sense(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    bool ten = req->cdb[0] == SCSI_MODE_SENSE_10;
    uint8_t code = req->cdb[2] & 0x3f, pc = req->cdb[2] >> 6;
    uint8_t out[ROOM] = { 0 };
    size_t head = ten ? 8 : 4, desc = 0, pages;

    if (pc == PC_SAVED) {
        scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_NO_SAVING, 0);
        return;
    }
    if (!disk->cd && !(req->cdb[1] & 8)) { /* DBD */
        desc = put_block_descriptor(disk, out + head);
    }
    pages = put_pages(disk, code, pc, out + head + desc);
    if (pages == 0 || (req->cdb[3] && !(req->cdb[3] == SUBPAGE_ALL && code == PAGE_ALL))) {
        scsi_bad_field(req);
        return;
    }
    if (ten) {
        put_be16(out, (uint16_t)(head + desc + pages - 2));
        out[3] = device_specific(disk);
        put_be16(out + 6, (uint16_t)desc);
    } else {
        out[0] = (uint8_t)(head + desc + pages - 1);
        out[2] = device_specific(disk);
        out[3] = (uint8_t)desc;
    }
    scsi_req_reply(req, out, head + desc + pages, ten ? get_be16(req->cdb + 7) : req->cdb[4]);
}
