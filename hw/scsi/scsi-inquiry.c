/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INQUIRY: standard data and vital product data pages 00, 80, 83, B0, B1, B2 (SPC-4 6.4 and 7.8,
 * SBC-3 6.6). Vendor and product are "QEMU" and "QEMU HARDDISK" or "QEMU CD-ROM" unless set:
 * SeaBIOS and guests' udev rules look at them. Linux's domain validation compares the standard
 * data byte for byte with what it read at first, so they depend on properties alone.
 *
 * Synchronous and wide transfer are offered as wide as the bus is, command queuing always.
 */
#include "scsi-disk-internal.h"

#include <string.h>

#include "scsi-internal.h"

#define STANDARD_LEN 36
#define PAGE_MAX 256

static void put_text(uint8_t *at, size_t width, const char *text)
{
    size_t len = MIN(strlen(text), width);

    memset(at, ' ', width);
    memcpy(at, text, len);
}

static void inquiry_standard(ScsiDisk *disk, ScsiReq *req)
{
    uint8_t out[STANDARD_LEN] = { 0 };

    out[0] = disk->scsi.ops->pdt;
    out[1] = disk->removable ? 0x80 : 0;
    out[2] = (uint8_t)disk->scsi_version;
    out[3] = 0x10 | 2; /* HiSup; response data format 2 */
    out[4] = STANDARD_LEN - 5;
    out[7] = 0x10 | 0x02; /* Sync, CmdQue */
    if (disk->scsi.bus->max_id > 8) {
        out[7] |= 0x20; /* WBus16 */
    }
    put_text(out + 8, 8, disk->vendor);
    put_text(out + 16, 16, disk->product);
    put_text(out + 32, 4, disk->ver);
    scsi_req_reply(req, out, sizeof(out), get_be16(req->cdb + 3));
}

/* ---- vital product data: each returns the page's length without its header ---- */

static size_t vpd_serial(const ScsiDisk *disk, uint8_t *out)
{
    size_t len;

    if (!disk->serial) {
        return 0;
    }
    len = MIN(strlen(disk->serial), DISK_SERIAL_MAX);
    memcpy(out, disk->serial, len);
    return len;
}

static size_t put_designator(uint8_t *out, uint8_t code_set, uint8_t type, const void *id,
                             size_t len)
{
    out[0] = code_set;
    out[1] = type;
    out[2] = 0;
    out[3] = (uint8_t)len;
    memcpy(out + 4, id, len);
    return 4 + len;
}

static size_t vpd_identification(const ScsiDisk *disk, uint8_t *out)
{
    enum { BINARY = 1, ASCII = 2, VENDOR = 0, NAA = 3, RELATIVE_PORT = 4, OF_PORT = 0x10 };
    size_t len = 0, id_len = disk->device_id ? strlen(disk->device_id) : 0;
    uint8_t number[8] = { 0 };

    if (id_len) {
        len += put_designator(out, ASCII, VENDOR, disk->device_id, MIN(id_len, 128));
    }
    if (disk->wwn) {
        put_be64(number, disk->wwn);
        len += put_designator(out + len, BINARY, NAA, number, 8);
    }
    if (disk->port_wwn) {
        put_be64(number, disk->port_wwn);
        len += put_designator(out + len, 0x60 | BINARY, 0x80 | OF_PORT | NAA, number, 8);
    }
    if (disk->port_index) {
        put_be32(number, disk->port_index);
        len += put_designator(out + len, 0x60 | BINARY, 0x80 | OF_PORT | RELATIVE_PORT, number, 4);
    }
    return len;
}

static uint32_t in_blocks(const ScsiDisk *disk, uint64_t bytes)
{
    return (uint32_t)MIN(bytes / disk->block_size, UINT32_MAX);
}

static size_t vpd_block_limits(const ScsiDisk *disk, uint8_t *out)
{
    uint8_t *page = out - 4; /* offsets as in SBC-3 table 174 */

    page[4] = 1; /* WSNZ */
    page[5] = disk_caw_max(disk);
    put_be16(page + 6, (uint16_t)MIN(in_blocks(disk, disk->min_io_size), UINT16_MAX));
    put_be32(page + 8, (uint32_t)disk->max_blocks);
    put_be32(page + 12, in_blocks(disk, disk->opt_io_size));
    if (disk->thin) {
        put_be32(page + 20, in_blocks(disk, disk->max_unmap_size));
        put_be32(page + 24, DISK_UNMAP_DESCRIPTORS);
        put_be32(page + 28, in_blocks(disk, disk->discard_granularity));
    }
    put_be64(page + 36, in_blocks(disk, disk->max_unmap_size));
    return 0x3c;
}

static size_t vpd_characteristics(const ScsiDisk *disk, uint8_t *out)
{
    put_be16(out, disk->rotation_rate);
    return 0x3c;
}

static size_t vpd_provisioning(const ScsiDisk *disk, uint8_t *out)
{
    if (disk->thin) {
        out[1] = 0x80 | 0x40 | 0x20; /* LBPU, LBPWS, LBPWS10 */
        out[2] = 2;                  /* thin */
    }
    return 4;
}

typedef struct VpdPage {
    uint8_t code;
    bool disk_only;
    size_t (*fill)(const ScsiDisk *disk, uint8_t *out);
} VpdPage;

static const VpdPage vpd_pages[] = {
    { 0x80, false, vpd_serial },
    { 0x83, false, vpd_identification },
    { 0xb0, true, vpd_block_limits },
    { 0xb1, true, vpd_characteristics },
    { 0xb2, true, vpd_provisioning },
};

static bool vpd_has(const ScsiDisk *disk, const VpdPage *page)
{
    return !(page->disk_only && disk->cd) && !(page->code == 0x80 && !disk->serial);
}

static bool vpd_fill(const ScsiDisk *disk, uint8_t code, uint8_t *out, size_t *len)
{
    *len = 0;
    if (code == 0) {
        out[(*len)++] = 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(vpd_pages); i++) {
        if (!vpd_has(disk, &vpd_pages[i])) {
            continue;
        }
        if (code == 0) {
            out[(*len)++] = vpd_pages[i].code;
        } else if (code == vpd_pages[i].code) {
            *len = vpd_pages[i].fill(disk, out);
            return true;
        }
    }
    return code == 0;
}

static void inquiry_vpd(ScsiDisk *disk, ScsiReq *req)
{
    uint8_t out[4 + PAGE_MAX] = { 0 };
    size_t len;

    if (!vpd_fill(disk, req->cdb[2], out + 4, &len)) {
        scsi_bad_field(req);
        return;
    }
    out[0] = disk->scsi.ops->pdt;
    out[1] = req->cdb[2];
    put_be16(out + 2, (uint16_t)len);
    scsi_req_reply(req, out, 4 + len, get_be16(req->cdb + 3));
}

void disk_cmd_inquiry(ScsiDev *dev, ScsiReq *req)
{
    bool evpd = req->cdb[1] & 1;

    if ((req->cdb[1] & 2) || (!evpd && req->cdb[2])) { /* CMDDT; a page code without EVPD */
        scsi_bad_field(req);
    } else if (evpd) {
        inquiry_vpd(disk_of(dev), req);
    } else {
        inquiry_standard(disk_of(dev), req);
    }
}
