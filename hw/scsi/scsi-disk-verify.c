/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VERIFY, WRITE AND VERIFY and COMPARE AND WRITE (SBC-3 5.2, 5.29 to 5.32, 5.42 to 5.44).
 *
 * BYTCHK says what verifying is: 0 reads the medium and throws away, 1 compares it with as much
 * data from the initiator, 3 compares each block with the one block that is sent. WRITE AND VERIFY
 * writes a chunk past every cache, reads it back into a second chunk, and compares for BYTCHK 1.
 *
 * COMPARE AND WRITE takes both halves of its data first, compares the first half with the medium
 * and, if all is equal, writes the second one. The task set runs it alone (scsi-task.c), so no
 * other command of this unit comes between. A miscompare is reported as 0E/1D/00, with the offset
 * of the first byte that differs as COMPARE AND WRITE wants it.
 */
#include "scsi-xfer.h"

#include <string.h>

#define BYTCHK(cdb) ((cdb)[1] >> 1 & 3)
#define CAW_BYTES_MAX (128u << 10)
#define CAW_PROTECT 0xe0

enum { CHECK_MEDIUM = 0, CHECK_BYTES = 1 };

static const ScsiSense miscompare = { SCSI_KEY_MISCOMPARE, SCSI_ASC_MISCOMPARE, 0 };

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t i = 0;

    if (memcmp(a, b, len) == 0) {
        return len;
    }
    while (a[i] == b[i]) {
        i++;
    }
    return i;
}

static void check_fetch(Xfer *xfer, XferPart *part)
{
    xfer_submit(part, BLOCK_READ, xfer->start + part->offset, part->len, 0);
}

/* ---- with data from the initiator: part 0 has it, part 1 what is on the medium ---- */

static void check_offer(Xfer *xfer)
{
    if (xfer->asked == xfer->total) {
        xfer_good(xfer);
    } else if (xfer_take(xfer, &xfer->part[0])) {
        xfer_show(&xfer->part[0]);
    }
}

static void check_read_back(Xfer *xfer, XferPart *data)
{
    XferPart *medium = &xfer->part[1];

    if (!xfer->compares) {
        check_fetch(xfer, data);
        return;
    }
    data->state = XFER_FULL;
    if (xfer_take_like(xfer, medium, data)) {
        check_fetch(xfer, medium);
    }
}

static void check_moved(Xfer *xfer, XferPart *part)
{
    if (xfer->writes) {
        xfer_submit(part, BLOCK_WRITE, xfer->start + part->offset, part->len, BLOCK_FUA);
    } else {
        check_read_back(xfer, part);
    }
}

static void check_io_done(Xfer *xfer, XferPart *part)
{
    bool equal;

    if (part->io.res < 0) {
        xfer_fail(xfer, xfer_sense(part->io.res, part->io.op == BLOCK_WRITE));
    } else if (part->io.op == BLOCK_WRITE) {
        check_read_back(xfer, part);
    } else {
        equal = !xfer->compares || memcmp(xfer->part[0].buf, part->buf, part->len) == 0;
        xfer_drop(&xfer->part[0]);
        xfer_drop(&xfer->part[1]);
        if (equal) {
            check_offer(xfer);
        } else {
            xfer_fail(xfer, miscompare);
        }
    }
}

static const XferKind check_kind = { .moved = check_moved, .io_done = check_io_done };

static void check_begin(ScsiDisk *disk, ScsiReq *req, DiskRange range, bool writes, bool compares)
{
    Xfer *xfer = disk_rw_begin(disk, req, &check_kind, range);

    xfer->writes = writes;
    xfer->compares = compares;
    scsi_req_data(req, SCSI_DIR_OUT, xfer->total);
    check_offer(xfer);
}

/* ---- without data, or with one block that all are compared with ---- */

static void scan_next(Xfer *xfer, XferPart *part)
{
    if (xfer->asked == xfer->total) {
        xfer_good(xfer);
    } else if (xfer_take(xfer, part)) {
        check_fetch(xfer, part);
    }
}

static bool scan_equal(const Xfer *xfer, const XferPart *part)
{
    size_t bs = xfer->disk->block_size;

    for (size_t at = 0; xfer->compares && at < part->len; at += bs) {
        if (memcmp(part->buf + at, xfer->req->mem, bs) != 0) {
            return false;
        }
    }
    return true;
}

static void scan_io_done(Xfer *xfer, XferPart *part)
{
    int res = part->io.res;
    bool equal = res < 0 || scan_equal(xfer, part);

    xfer_drop(part);
    if (res < 0) {
        xfer_fail(xfer, xfer_sense(res, false));
    } else if (!equal) {
        xfer_fail(xfer, miscompare);
    } else {
        scan_next(xfer, part);
    }
}

static const XferKind scan_kind = { .io_done = scan_io_done };

static void scan_begin(ScsiDisk *disk, ScsiReq *req, DiskRange range, bool compares)
{
    Xfer *xfer = disk_rw_begin(disk, req, &scan_kind, range);

    xfer->compares = compares;
    scan_next(xfer, &xfer->part[0]);
}

static void same_block_params(ScsiDev *dev, ScsiReq *req)
{
    DiskRange range;

    if (disk_rw_check(disk_of(dev), req, &range)) {
        scan_begin(disk_of(dev), req, range, true);
    }
}

void disk_cmd_verify(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    DiskRange range;

    if (BYTCHK(req->cdb) == 2) {
        scsi_bad_field(req);
        return;
    }
    if (!disk_rw_check(disk, req, &range)) {
        return;
    }
    switch (BYTCHK(req->cdb)) {
    case CHECK_MEDIUM:
        scan_begin(disk, req, range, false);
        break;
    case CHECK_BYTES:
        check_begin(disk, req, range, false, true);
        break;
    default:
        scsi_req_params(req, disk->block_size, same_block_params);
    }
}

void disk_cmd_write_and_verify(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    unsigned check = BYTCHK(req->cdb);
    DiskRange range;

    if (check > CHECK_BYTES) {
        scsi_bad_field(req);
    } else if (disk_rw_check(disk, req, &range)) {
        check_begin(disk, req, range, true, check == CHECK_BYTES);
    }
}

/* ---- COMPARE AND WRITE: req->mem has what is expected, then what is to be written ---- */

static void caw_next(Xfer *xfer, XferPart *part)
{
    if (xfer->asked == xfer->total && xfer->writes) {
        xfer_good(xfer);
        return;
    }
    if (xfer->asked == xfer->total) {
        xfer->writes = true;
        xfer->asked = 0;
    }
    if (!xfer_take(xfer, part)) {
        return;
    }
    if (xfer->writes) {
        memcpy(part->buf, xfer->req->mem + xfer->total + part->offset, part->len);
        xfer_submit(part, BLOCK_WRITE, xfer->start + part->offset, part->len, xfer->flags);
    } else {
        check_fetch(xfer, part);
    }
}

static void caw_io_done(Xfer *xfer, XferPart *part)
{
    int res = part->io.res;
    size_t same = part->len;

    if (res >= 0 && !xfer->writes) {
        same = first_difference(part->buf, xfer->req->mem + part->offset, part->len);
    }
    xfer_drop(part);
    if (res < 0) {
        xfer_fail(xfer, xfer_sense(res, xfer->writes));
    } else if (same < part->len) {
        xfer_fail_info(xfer, miscompare, (uint32_t)(part->offset + same));
    } else {
        caw_next(xfer, part);
    }
}

static const XferKind caw_kind = { .io_done = caw_io_done };

static DiskRange caw_range(const ScsiReq *req)
{
    return (DiskRange){ get_be64(req->cdb + 2), req->cdb[13] };
}

static void caw_params(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    Xfer *xfer = disk_rw_begin(disk, req, &caw_kind, caw_range(req));

    xfer->flags = disk_rw_flags(disk, req);
    caw_next(xfer, &xfer->part[0]);
}

uint8_t disk_caw_max(const ScsiDisk *disk)
{
    return (uint8_t)MIN(CAW_BYTES_MAX / disk->block_size, UINT8_MAX);
}

void disk_cmd_compare_and_write(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    DiskRange range = caw_range(req);

    if ((req->cdb[1] & CAW_PROTECT) || range.n > disk_caw_max(disk)) {
        scsi_bad_field(req);
    } else if (!disk_check_range(disk, req, range.lba, range.n)) {
        return;
    } else if (range.n == 0) {
        scsi_req_good(req);
    } else {
        scsi_req_params(req, 2 * range.n * disk->block_size, caw_params);
    }
}
