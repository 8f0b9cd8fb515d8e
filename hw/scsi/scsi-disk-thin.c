/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYNCHRONIZE CACHE, UNMAP and WRITE SAME (SBC-3 5.18, 5.28, 5.45): commands whose work on the
 * medium has no data phase of its own.
 *
 * UNMAP takes its descriptor list whole, checks all of it, then discards one range after the
 * other. WRITE SAME takes one block: zeros (or NDOB) become one WRITE ZEROES that may deallocate
 * if UNMAP is set, other patterns are repeated in a chunk and written piece by piece.
 *
 * UNMAP and the UNMAP bit exist only on a unit whose node can discard.
 */
#include "scsi-xfer.h"

#include <errno.h>
#include <string.h>

#define UNMAP_HEADER 8
#define UNMAP_DESCRIPTOR 16
#define SAME_NDOB 0x01
#define SAME_UNMAP 0x08
#define SAME_ANCHOR 0x10
#define SAME_PROTECT 0xe0

/* ---- one request, then GOOD ---- */

static void single_io_done(Xfer *xfer, XferPart *part)
{
    if (part->io.res < 0) {
        xfer_fail(xfer, xfer_sense(part->io.res, true));
    } else {
        xfer_good(xfer);
    }
}

static const XferKind single_kind = { .io_done = single_io_done };

void disk_flush(ScsiDisk *disk, ScsiReq *req)
{
    Xfer *xfer;

    if (disk_read_only(disk)) {
        scsi_req_good(req);
        return;
    }
    xfer = xfer_new(disk, req, &single_kind);
    xfer_submit(&xfer->part[0], BLOCK_FLUSH, 0, 0, 0);
}

void disk_cmd_synchronize_cache(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    bool long_cdb = req->cdb[0] == SCSI_SYNCHRONIZE_CACHE_16;
    uint64_t lba = long_cdb ? get_be64(req->cdb + 2) : get_be32(req->cdb + 2);
    uint64_t n = long_cdb ? get_be32(req->cdb + 10) : get_be16(req->cdb + 7);

    if (disk_check_range(disk, req, lba, n)) {
        disk_flush(disk, req);
    }
}

/* ---- UNMAP ---- */

static unsigned unmap_count(const ScsiReq *req)
{
    return MIN(get_be16(req->mem + 2), req->mem_len - UNMAP_HEADER) / UNMAP_DESCRIPTOR;
}

static const uint8_t *unmap_descriptor(const ScsiReq *req, unsigned i)
{
    return req->mem + UNMAP_HEADER + (size_t)i * UNMAP_DESCRIPTOR;
}

static void unmap_next(Xfer *xfer, XferPart *part)
{
    uint64_t bs = xfer->disk->block_size;
    unsigned count = unmap_count(xfer->req);

    while (xfer->next < count) {
        const uint8_t *d = unmap_descriptor(xfer->req, xfer->next++);

        if (get_be32(d + 8)) {
            xfer_submit(part, BLOCK_DISCARD, get_be64(d) * bs, get_be32(d + 8) * bs, 0);
            return;
        }
    }
    xfer_good(xfer);
}

static void unmap_io_done(Xfer *xfer, XferPart *part)
{
    int res = part->io.res;

    if (res < 0 && res != -EOPNOTSUPP) { /* a hint: the host's file system may not know it */
        xfer_fail(xfer, xfer_sense(res, true));
    } else {
        unmap_next(xfer, part);
    }
}

static const XferKind unmap_kind = { .io_done = unmap_io_done };

static bool unmap_check(const ScsiDisk *disk, ScsiReq *req)
{
    unsigned count = unmap_count(req);
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        const uint8_t *d = unmap_descriptor(req, i);

        if (!disk_check_range(disk, req, get_be64(d), get_be32(d + 8))) {
            return false;
        }
        sum += get_be32(d + 8);
    }
    if (count > DISK_UNMAP_DESCRIPTORS || sum > disk->max_unmap_size / disk->block_size) {
        scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_PARAM, 0);
        return false;
    }
    return true;
}

static void unmap_params(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    Xfer *xfer;

    if (unmap_check(disk, req)) {
        xfer = xfer_new(disk, req, &unmap_kind);
        unmap_next(xfer, &xfer->part[0]);
    }
}

void disk_cmd_unmap(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
{
    uint16_t len = get_be16(req->cdb + 7);

    if (req->cdb[1] & 1) { /* ANCHOR */
        scsi_bad_field(req);
    } else if (len == 0) {
        scsi_req_good(req);
    } else if (len < UNMAP_HEADER) {
        scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_PARAM_LIST_LENGTH, 0);
    } else {
        scsi_req_params(req, len, unmap_params);
    }
}

/* ---- WRITE SAME ---- */

typedef struct SameRange {
    uint64_t lba, n;
} SameRange;

static SameRange same_range(const ScsiReq *req)
{
    if (req->cdb[0] == SCSI_WRITE_SAME_16) {
        return (SameRange){ get_be64(req->cdb + 2), get_be32(req->cdb + 10) };
    }
    return (SameRange){ get_be32(req->cdb + 2), get_be16(req->cdb + 7) };
}

/* part 0 keeps one chunk full of the pattern and writes it again and again. */
static void pattern_next(Xfer *xfer, XferPart *part)
{
    uint64_t left = xfer->total - xfer->asked;

    if (left == 0) {
        xfer_good(xfer);
        return;
    }
    left = MIN(left, part->len);
    xfer_submit(part, BLOCK_WRITE, xfer->start + xfer->asked, left, xfer->flags);
    xfer->asked += left;
}

static void pattern_io_done(Xfer *xfer, XferPart *part)
{
    if (part->io.res < 0) {
        xfer_fail(xfer, xfer_sense(part->io.res, true));
    } else {
        pattern_next(xfer, part);
    }
}

static const XferKind pattern_kind = { .io_done = pattern_io_done };

static void same_pattern(ScsiDisk *disk, ScsiReq *req, SameRange range)
{
    Xfer *xfer = xfer_new(disk, req, &pattern_kind);
    XferPart *part = &xfer->part[0];

    xfer->start = range.lba * disk->block_size;
    xfer->total = range.n * disk->block_size;
    xfer->flags = disk->wce ? 0 : BLOCK_FUA;
    if (!xfer_take(xfer, part)) { /* whole blocks: DISK_BLOCK_MAX fits in the smallest chunk */
        return;
    }
    for (size_t at = 0; at < part->len; at += disk->block_size) {
        memcpy(part->buf + at, req->mem, disk->block_size);
    }
    xfer->asked = 0;
    pattern_next(xfer, part);
}

static void same_zeros(ScsiDisk *disk, ScsiReq *req, SameRange range)
{
    Xfer *xfer = xfer_new(disk, req, &single_kind);
    uint32_t flags = disk->wce ? 0 : BLOCK_FUA;

    flags |= req->cdb[1] & SAME_UNMAP ? BLOCK_MAY_UNMAP : 0;
    xfer_submit(&xfer->part[0], BLOCK_WRITE_ZEROES, range.lba * disk->block_size,
                range.n * disk->block_size, flags);
}

static bool is_zero(const uint8_t *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static void same_params(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    SameRange range = same_range(req);

    if (is_zero(req->mem, req->mem_len)) {
        same_zeros(disk, req, range);
    } else {
        same_pattern(disk, req, range);
    }
}

void disk_cmd_write_same(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    SameRange range = same_range(req);
    bool ndob = req->cdb[0] == SCSI_WRITE_SAME_16 && (req->cdb[1] & SAME_NDOB);

    /* WSNZ on the block limits page: a length of 0, "to the end", is refused */
    if ((req->cdb[1] & (SAME_PROTECT | SAME_ANCHOR)) || range.n == 0 ||
        ((req->cdb[1] & SAME_UNMAP) && !disk->thin) ||
        range.n > disk->max_unmap_size / disk->block_size) {
        scsi_bad_field(req);
    } else if (!disk_check_range(disk, req, range.lba, range.n)) {
        return;
    } else if (ndob) {
        same_zeros(disk, req, range);
    } else {
        scsi_req_params(req, disk->block_size, same_params);
    }
}
