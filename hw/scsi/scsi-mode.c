/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MODE SENSE and MODE SELECT(6) and (10) (SPC-4 6.9 to 6.12, 7.5): a header, for disks a block
 * descriptor, and pages.
 *
 * The pages are a table in ascending order; page 3F of MODE SENSE walks all of it. A disk's write
 * cache can be switched (WCE); all else is as it is. Saved values do not exist (05/39/00, and SP is
 * refused), so a reset brings the defaults back.
 *
 * MODE SELECT takes the whole parameter list first and checks all of it before anything changes. A
 * page must have exactly the length that MODE SENSE gives it, and differ in changeable bits only.
 * Switching the cache off flushes what is in it.
 *
 * Page 04 gives legacy geometry: SeaBIOS asks for it on disks whose vendor is QEMU.
 */
#include "scsi-disk-internal.h"

#define PC_CHANGEABLE 1
#define PC_DEFAULT 2
#define PC_SAVED 3
#define PAGE_CACHING 0x08
#define PAGE_ALL 0x3f
#define SUBPAGE_ALL 0xff
#define SPF 0x40 /* a subpage's header */
#define PAGE_MAX 64
#define ROOM 256 /* all pages and headers together are below it */
#define DESCRIPTOR_LEN 8
#define WCE 0x04

#define SELECT_PF 0x10
#define SELECT_SP 0x01
#define LONGLBA 0x01

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
    p[2] = disk->wce ? WCE : 0;
}

/* SPC-4 7.5.8 */
static void page_control(const ScsiDisk *disk G_GNUC_UNUSED, uint8_t *p)
{
    p[3] = 0x10; /* unrestricted reordering of SIMPLE tasks */
}

/* SPC-4 7.5.13: none is ever reported but by LOG SENSE, method 0. */
static void page_exceptions(const ScsiDisk *disk G_GNUC_UNUSED, uint8_t *p)
{
    p[2] = 0x08; /* DEXCPT */
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
    /* Byte 2, which has all that a disk's MODE SELECT may change. */
    uint8_t changeable;
    void (*fill)(const ScsiDisk *disk, uint8_t *p);
} ModePage;

static const ModePage mode_pages[] = {
    { 0x01, 10, 6, false, 0, page_error_recovery },
    { 0x04, 22, 0, false, 0, page_rigid_geometry },
    { 0x05, 30, 0, false, 0, page_flexible },
    { PAGE_CACHING, 18, 18, false, WCE, page_caching },
    { 0x0a, 10, 10, false, 0, page_control },
    { 0x1c, 10, 0, false, 0, page_exceptions },
    { 0x2a, 20, 20, true, 0, page_cd_capabilities },
};

/* Without the header's two bytes; 0: the unit does not have it. */
static uint8_t page_len(const ScsiDisk *disk, const ModePage *page)
{
    return disk->cd ? page->cd_len : page->cd_only ? 0 : page->len;
}

static uint8_t changeable(const ScsiDisk *disk, const ModePage *page)
{
    return disk->cd ? 0 : page->changeable;
}

static size_t put_page(const ScsiDisk *disk, const ModePage *page, uint8_t pc, uint8_t *out)
{
    uint8_t len = page_len(disk, page);

    if (len == 0) {
        return 0;
    }
    out[0] = page->code;
    out[1] = len;
    if (pc == PC_CHANGEABLE) {
        out[2] = changeable(disk, page);
    } else {
        page->fill(disk, out);
    }
    if (pc == PC_DEFAULT && page->code == PAGE_CACHING) {
        out[2] = disk->wce_default ? WCE : 0;
    }
    return 2u + len;
}

static size_t put_pages(const ScsiDisk *disk, uint8_t code, uint8_t pc, uint8_t *out)
{
    size_t at = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(mode_pages); i++) {
        if (code == PAGE_ALL || code == mode_pages[i].code) {
            at += put_page(disk, &mode_pages[i], pc, out + at);
        }
    }
    return at;
}

/* Short LBA mode parameter block descriptor (SBC-3 6.4.2.2). */
static size_t put_block_descriptor(const ScsiDisk *disk, uint8_t *out)
{
    put_be32(out, (uint32_t)MIN(disk->blocks, UINT32_MAX));
    put_be24(out + 5, disk->block_size);
    return DESCRIPTOR_LEN;
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

/* ---- MODE SELECT ---- */

static void bad_param(ScsiReq *req)
{
    scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_PARAM, 0);
}

static void bad_length(ScsiReq *req)
{
    scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_PARAM_LIST_LENGTH, 0);
}

/* No other block size, and no other number of blocks: 0 and all ones mean "as it is". */
static bool descriptor_fits(const ScsiDisk *disk, const uint8_t *p)
{
    uint8_t now[DESCRIPTOR_LEN] = { 0 };
    uint32_t n = get_be32(p);

    put_block_descriptor(disk, now);
    return get_be24(p + 5) == disk->block_size && (n == 0 || n == UINT32_MAX || n == get_be32(now));
}

static const ModePage *page_find(const ScsiDisk *disk, uint8_t code)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(mode_pages); i++) {
        if (mode_pages[i].code == code && page_len(disk, &mode_pages[i])) {
            return &mode_pages[i];
        }
    }
    return NULL;
}

/* p, all of it received, is page with nothing changed but what may be. */
static bool page_fits(const ScsiDisk *disk, const ModePage *page, const uint8_t *p)
{
    uint8_t now[PAGE_MAX] = { 0 };
    size_t len = put_page(disk, page, 0, now);

    for (size_t i = 2; i < len; i++) {
        uint8_t may = i == 2 ? changeable(disk, page) : 0;

        if ((now[i] ^ p[i]) & ~may) {
            return false;
        }
    }
    return true;
}

/* False: the request is finished. *wce is what the pages ask for. */
static bool select_pages(const ScsiDisk *disk, ScsiReq *req, size_t at, bool *wce)
{
    while (at < req->mem_len) {
        const uint8_t *p = req->mem + at;
        size_t left = req->mem_len - at;
        const ModePage *page = page_find(disk, p[0] & 0x3f);

        if ((p[0] & SPF) || !page || (left > 1 && p[1] != page_len(disk, page))) {
            bad_param(req);
            return false;
        }
        if (left < 2u + page_len(disk, page)) {
            bad_length(req);
            return false;
        }
        if (!page_fits(disk, page, p)) {
            bad_param(req);
            return false;
        }
        if (page->code == PAGE_CACHING) {
            *wce = p[2] & WCE;
        }
        at += 2u + p[1];
    }
    return true;
}

static void select_params(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    bool ten = req->cdb[0] == SCSI_MODE_SELECT_10, wce = disk->wce, flush;
    size_t head = ten ? 8 : 4, desc = ten ? get_be16(req->mem + 6) : req->mem[3];

    if ((desc != 0 && desc != DESCRIPTOR_LEN) || (ten && (req->mem[4] & LONGLBA))) {
        bad_param(req);
        return;
    }
    if (req->mem_len < head + desc) {
        bad_length(req);
        return;
    }
    if (desc && !descriptor_fits(disk, req->mem + head)) {
        bad_param(req);
        return;
    }
    if (!select_pages(disk, req, head + desc, &wce)) {
        return;
    }
    flush = disk->wce && !wce;
    disk->wce = wce;
    if (flush) {
        disk_flush(disk, req);
    } else {
        scsi_req_good(req);
    }
}

void disk_cmd_mode_select(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
{
    bool ten = req->cdb[0] == SCSI_MODE_SELECT_10;
    size_t len = ten ? get_be16(req->cdb + 7) : req->cdb[4];

    /* Pages without PF are in a vendor's own format. */
    if ((req->cdb[1] & SELECT_SP) || !(req->cdb[1] & SELECT_PF)) {
        scsi_bad_field(req);
    } else if (len == 0) {
        scsi_req_good(req);
    } else if (len < (ten ? 8u : 4u)) {
        bad_length(req);
    } else {
        scsi_req_params(req, len, select_params);
    }
}
