/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * READ and WRITE (SBC-3 section 5) between the medium and the adapter's window.
 *
 * READ: a chunk is read and shown; while the adapter moves it out, the next one is read into the
 * second chunk. Where the node says at once that it has the first bytes of a long READ at hand (in
 * the page cache), the others are left where they are until the adapter says where they go, and are
 * then copied once; should they be gone by then, it goes on with chunks.
 *
 * WRITE: the adapter fills a chunk; while that is written, it fills the second. Status GOOD comes
 * when everything is written, and is on stable storage where FUA was given or the unit's write
 * cache is off.
 *
 * LBA and length are checked against the medium before any I/O, in blocks and without a sum that
 * can wrap; all later arithmetic is in bytes of the node and can't overflow.
 */
#include "scsi-xfer.h"

#include "scsi-internal.h"

#define RW_PROTECT 0xe0 /* RDPROTECT, WRPROTECT, VRPROTECT: no protection information here */
#define RW_FUA 0x08

static DiskRange rw_range(const uint8_t *cdb)
{
    switch (scsi_cdb_len(cdb[0])) {
    case 6: /* only here a length of 0 is 256 blocks */
        return (DiskRange){ get_be24(cdb + 1) & 0x1fffff, cdb[4] ? cdb[4] : 256 };
    case 10:
        return (DiskRange){ get_be32(cdb + 2), get_be16(cdb + 7) };
    case 12:
        return (DiskRange){ get_be32(cdb + 2), get_be32(cdb + 6) };
    default:
        return (DiskRange){ get_be64(cdb + 2), get_be32(cdb + 10) };
    }
}

bool disk_rw_check(const ScsiDisk *disk, ScsiReq *req, DiskRange *range)
{
    bool short_cdb = scsi_cdb_len(req->cdb[0]) == 6;

    *range = rw_range(req->cdb);
    if ((!short_cdb && (req->cdb[1] & RW_PROTECT)) || range->n > disk->max_blocks) {
        scsi_bad_field(req);
        return false;
    }
    if (!disk_check_range(disk, req, range->lba, range->n)) {
        return false;
    }
    if (range->n == 0) {
        scsi_req_good(req);
        return false;
    }
    return true;
}

Xfer *disk_rw_begin(ScsiDisk *disk, ScsiReq *req, const XferKind *kind, DiskRange range)
{
    Xfer *xfer = xfer_new(disk, req, kind);
    uint64_t restart = scsi_req_restart(req);

    xfer->start = range.lba * disk->block_size;
    xfer->total = (uint64_t)range.n * disk->block_size;
    if (restart && restart < xfer->total && restart % disk->block_size == 0) {
        xfer->asked = req->moved = restart; /* else what VERIFY has moved already stands */
    }
    return xfer;
}

uint32_t disk_rw_flags(const ScsiDisk *disk, const ScsiReq *req)
{
    bool fua = scsi_cdb_len(req->cdb[0]) != 6 && (req->cdb[1] & RW_FUA);

    return fua || !disk->wce ? BLOCK_FUA : 0;
}

static void rw_fetch(Xfer *xfer, XferPart *part)
{
    if (xfer_take(xfer, part)) {
        xfer_submit(part, BLOCK_READ, xfer->start + part->offset, part->len, 0);
    }
}

/* ---- READ ---- */

static void read_ahead(Xfer *xfer)
{
    XferPart *part = xfer_find(xfer, XFER_FREE);

    if (part && xfer->asked < xfer->total && xfer_may_spare(xfer)) {
        rw_fetch(xfer, part);
    }
}

/* Everything that has not been asked for yet is left to disk_read_direct(). */
static void read_offer(Xfer *xfer)
{
    size_t len = xfer->total - xfer->asked;

    xfer->direct_at = xfer->asked;
    xfer->asked = xfer->total;
    scsi_req_direct(xfer->req, len);
}

/* For LOG SENSE. */
static void read_count(Xfer *xfer, uint64_t bytes)
{
    xfer->disk->counter[DISK_READS].bytes += bytes;
}

size_t disk_read_direct(ScsiDev *dev, ScsiReq *req, const struct iovec *iov, unsigned niov)
{
    ScsiDisk *disk = disk_of(dev);
    Xfer *xfer = req->priv;
    size_t n = block_read_now(disk->node, xfer->start + req->moved, iov, niov);

    if (!n) {
        scsi_req_hide(req);
        read_count(xfer, req->moved - xfer->direct_at);
        xfer->at_hand = false;
        xfer->asked = req->moved;
        rw_fetch(xfer, xfer_find(xfer, XFER_FREE));
    }
    return n;
}

/* The first bytes: a short chunk if it's there already. */
static void read_begin(Xfer *xfer)
{
    XferPart *part = &xfer->part[0];
    BlockNode *node = xfer->disk->node;

    if (xfer->total - xfer->asked < XFER_DIRECT_MIN || block_never_reads_now(node)) {
        rw_fetch(xfer, part);
        return;
    }
    if (!xfer_take_max(xfer, part, XFER_CHUNK_SMALL)) {
        return;
    }
    part->iov = (struct iovec){ .iov_base = part->buf, .iov_len = part->len };
    if (block_read_now(node, xfer->start + part->offset, &part->iov, 1) == part->len) {
        xfer->at_hand = true;
        read_count(xfer, part->len);
        xfer_show(part);
    } else {
        xfer->asked = part->offset;
        xfer_drop(part);
        rw_fetch(xfer, part);
    }
}

/* Nothing is shown: shows what comes next, or sees to it that it comes. */
static void read_next(Xfer *xfer)
{
    XferPart *full = xfer_find(xfer, XFER_FULL);
    XferPart *bad = xfer_find(xfer, XFER_BAD);

    if (full && full->offset == xfer->req->moved) {
        xfer_show(full);
        read_ahead(xfer);
    } else if (bad && bad->offset == xfer->req->moved) {
        xfer_fail(xfer, bad->sense);
    } else if (xfer->at_hand) {
        read_offer(xfer);
    } else if (!xfer_is_busy(xfer)) {
        rw_fetch(xfer, xfer_find(xfer, XFER_FREE));
    }
}

static void read_moved(Xfer *xfer, XferPart *part)
{
    if (part) {
        xfer_drop(part);
    } else {
        read_count(xfer, xfer->req->moved - xfer->direct_at);
    }
    if (xfer->req->moved == xfer->total) {
        xfer_good(xfer);
    } else {
        read_next(xfer);
    }
}

static void read_io_done(Xfer *xfer, XferPart *part)
{
    part->state = XFER_FULL;
    if (part->io.res < 0) {
        xfer_drop(part);
        part->state = XFER_BAD;
        part->sense = xfer_sense(part->io.res, false);
    }
    if (!xfer_find(xfer, XFER_SHOWN)) {
        read_next(xfer);
    }
}

static const XferKind read_kind = { .moved = read_moved, .io_done = read_io_done };

void disk_cmd_read(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    DiskRange range;

    if (disk_rw_check(disk, req, &range)) {
        disk_read_range(disk, req, range);
    }
}

void disk_read_range(ScsiDisk *disk, ScsiReq *req, DiskRange range)
{
    Xfer *xfer = disk_rw_begin(disk, req, &read_kind, range);

    scsi_req_data(req, SCSI_DIR_IN, xfer->total);
    read_begin(xfer);
}

/* ---- WRITE ---- */

static void write_offer(Xfer *xfer)
{
    XferPart *part = xfer_find(xfer, XFER_FREE);
    bool idle = !xfer_is_busy(xfer);

    if (part && xfer->asked < xfer->total && !xfer_find(xfer, XFER_SHOWN) &&
        (idle || xfer_may_spare(xfer)) && xfer_take(xfer, part)) {
        xfer_show(part);
    }
}

static void write_moved(Xfer *xfer, XferPart *part)
{
    xfer_submit(part, BLOCK_WRITE, xfer->start + part->offset, part->len, xfer->flags);
    write_offer(xfer);
}

static void write_io_done(Xfer *xfer, XferPart *part)
{
    int res = part->io.res;

    xfer_drop(part);
    if (res < 0) {
        xfer_fail(xfer, xfer_sense(res, true));
    } else if (xfer->req->moved == xfer->total && !xfer_is_busy(xfer)) {
        xfer_good(xfer);
    } else {
        write_offer(xfer);
    }
}

static const XferKind write_kind = { .moved = write_moved, .io_done = write_io_done };

void disk_cmd_write(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    DiskRange range;
    Xfer *xfer;

    if (disk_rw_check(disk, req, &range)) {
        xfer = disk_rw_begin(disk, req, &write_kind, range);
        xfer->flags = disk_rw_flags(disk, req);
        scsi_req_data(req, SCSI_DIR_OUT, xfer->total);
        write_offer(xfer);
    }
}
