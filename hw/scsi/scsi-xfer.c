/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O half of a disk command: memory, block requests, their errors, cancelling, draining.
 *
 * A command owns up to two chunks, so that the medium works on one while the adapter moves the
 * other. Chunks come from the block layer's recycled buffers; what all units of a bus hold is
 * counted, and past SCSI_BUFFER_SOFT_LIMIT commands go on with one small chunk. They are never
 * made to wait for memory: the one that waits might be the one that holds the bus.
 *
 * A command ends by xfer_good(), xfer_fail() or cancellation; the struct and its memory live on
 * until the last block request is back, then the request is finished. So each request is finished
 * once, and a buffer is never given back under the kernel's hands.
 *
 * rerror= and werror= are done here. A request that stops the guest is kept with its memory and
 * made again later; a failed one has changed nothing that would matter then. Without a monitor
 * that could continue the guest, stop and enospc report.
 *
 * On the loop's thread.
 */
#include "scsi-xfer.h"

#include <errno.h>
#include <string.h>

#include "scsi-internal.h"
#include "util/trace.h"

ScsiSense xfer_sense(int res, bool write)
{
    switch (-res) {
    case ENOSPC:
        return (ScsiSense){ SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED, 0x07 };
    case EROFS:
    case EACCES:
    case EPERM:
        return (ScsiSense){ SCSI_KEY_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED, 0 };
    case ENOMEDIUM:
        return (ScsiSense){ SCSI_KEY_NOT_READY, SCSI_ASC_NO_MEDIUM, 0 };
    case ENOMEM:
    case EAGAIN:
    case ECANCELED:
        return (ScsiSense){ SCSI_KEY_ABORTED_COMMAND, 0, 0 };
    default:
        return (ScsiSense){ SCSI_KEY_MEDIUM_ERROR,
                            write ? SCSI_ASC_WRITE_ERROR : SCSI_ASC_READ_ERROR, 0 };
    }
}

Xfer *xfer_new(ScsiDisk *disk, ScsiReq *req, const XferKind *kind)
{
    Xfer *xfer = g_new0(Xfer, 1);

    xfer->kind = kind;
    xfer->disk = disk;
    xfer->req = req;
    xfer->part[0].xfer = xfer;
    xfer->part[1].xfer = xfer;
    req->priv = xfer;
    return xfer;
}

XferPart *xfer_find(Xfer *xfer, XferState state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(xfer->part); i++) {
        if (xfer->part[i].state == state) {
            return &xfer->part[i];
        }
    }
    return NULL;
}

bool xfer_is_busy(Xfer *xfer)
{
    return xfer_find(xfer, XFER_BUSY) || xfer_find(xfer, XFER_KEPT);
}

bool xfer_may_spare(const Xfer *xfer)
{
    const ScsiBus *bus = xfer->req->bus;

    return bus->buffered < SCSI_BUFFER_SOFT_LIMIT && !scsi_bus_is_still(bus);
}

static bool take(Xfer *xfer, XferPart *part, uint64_t offset, size_t len)
{
    part->offset = offset;
    part->len = len;
    part->buf = block_buffer_get(xfer->disk->node, part->len);
    if (!part->buf) {
        xfer_fail(xfer, xfer_sense(-ENOMEM, false));
        return false;
    }
    xfer->req->bus->buffered += part->len;
    return true;
}

bool xfer_take(Xfer *xfer, XferPart *part)
{
    return xfer_take_max(xfer, part, xfer_may_spare(xfer) ? XFER_CHUNK_MAX : XFER_CHUNK_SMALL);
}

bool xfer_take_max(Xfer *xfer, XferPart *part, size_t max)
{
    size_t len = MIN(xfer->total - xfer->asked, max);

    if (!take(xfer, part, xfer->asked, len)) {
        return false;
    }
    xfer->asked += len;
    return true;
}

bool xfer_take_like(Xfer *xfer, XferPart *part, const XferPart *like)
{
    return take(xfer, part, like->offset, like->len);
}

void xfer_drop(XferPart *part)
{
    if (part->buf) {
        block_buffer_put(part->xfer->disk->node, part->buf, part->len);
        part->xfer->req->bus->buffered -= part->len;
        part->buf = NULL;
    }
    part->state = XFER_FREE;
}

void xfer_show(XferPart *part)
{
    part->state = XFER_SHOWN;
    scsi_req_chunk(part->xfer->req, part->buf, part->len);
}

/* Everything is back: the one place where a command with I/O finishes. */
static void xfer_release(Xfer *xfer)
{
    ScsiReq *req = xfer->req;
    ScsiSense sense = xfer->sense;
    bool cancelled = xfer->cancelled;

    for (unsigned i = 0; i < G_N_ELEMENTS(xfer->part); i++) {
        xfer_drop(&xfer->part[i]);
    }
    req->priv = NULL;
    req->info_valid = xfer->info_valid;
    req->info = xfer->info;
    g_free(xfer);
    if (cancelled || sense.key == SCSI_KEY_NONE) {
        scsi_req_good(req);
    } else {
        scsi_req_check(req, sense.key, sense.asc, sense.ascq);
    }
}

static void xfer_end(Xfer *xfer)
{
    if (!xfer_find(xfer, XFER_BUSY)) {
        xfer_release(xfer);
    }
}

void xfer_good(Xfer *xfer)
{
    xfer_fail(xfer, (ScsiSense){ 0 });
}

void xfer_fail(Xfer *xfer, ScsiSense sense)
{
    scsi_req_hide(xfer->req);
    xfer->sense = sense;
    xfer->ended = true;
    xfer_end(xfer);
}

void xfer_fail_info(Xfer *xfer, ScsiSense sense, uint32_t info)
{
    xfer->info_valid = true;
    xfer->info = info;
    xfer_fail(xfer, sense);
}

void xfer_fail_all(ScsiDisk *disk, ScsiSense sense)
{
    for (ScsiReq *req = disk->scsi.tasks; req; req = req->next) {
        Xfer *xfer = req->priv;

        if (xfer && !xfer->ended && !xfer->cancelled) {
            xfer_fail(xfer, sense);
        }
    }
}

static int error_policy(const ScsiDisk *disk, const BlockReq *io)
{
    int policy = io->op == BLOCK_READ ? disk->rerror : disk->werror;

    if (policy == ON_ERROR_AUTO) {
        policy = io->op == BLOCK_READ ? ON_ERROR_REPORT : ON_ERROR_ENOSPC;
    }
    if (policy == ON_ERROR_ENOSPC) {
        policy = io->res == -ENOSPC ? ON_ERROR_STOP : ON_ERROR_REPORT;
    }
    return policy;
}

static void tell_error(ScsiDev *dev, const BlockReq *io, ScsiErrorAction action)
{
    const ScsiBusWatch *watch = dev->bus->watch;
    ScsiIoError error = { .action = action, .write = io->op != BLOCK_READ, .error = -io->res };

    if (watch) {
        watch->error(dev->bus->watch_opaque, dev, &error);
    }
}

/* True: the request is kept until the guest goes on. */
static bool keeps(XferPart *part)
{
    ScsiDev *dev = &part->xfer->disk->scsi;
    const BlockReq *io = &part->io;
    bool advice = io->op == BLOCK_DISCARD && io->res == -EOPNOTSUPP;

    if (io->res >= 0 || advice || !dev->bus->watch ||
        error_policy(disk_of(dev), io) != ON_ERROR_STOP) {
        return false;
    }
    part->state = XFER_KEPT;
    if (disk_of(dev)->io_status == DISK_IO_OK) { /* the first one has stopped the guest */
        disk_of(dev)->io_status = io->res == -ENOSPC ? DISK_IO_NO_SPACE : DISK_IO_FAILED;
    }
    tell_error(dev, io, SCSI_ERROR_STOP);
    return true;
}

static void settle_error(XferPart *part)
{
    ScsiDisk *disk = part->xfer->disk;
    BlockReq *io = &part->io;
    bool ignore = error_policy(disk, io) == ON_ERROR_IGNORE;

    if (io->res >= 0) {
        return;
    }
    if (io->op != BLOCK_DISCARD || io->res != -EOPNOTSUPP) {
        tell_error(&disk->scsi, io, ignore ? SCSI_ERROR_IGNORE : SCSI_ERROR_REPORT);
    }
    trace(SCSI, "%s: I/O error %d, op %d at %" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT,
          device_name(disk->scsi.dev), -io->res, io->op, io->offset, io->bytes);
    if (ignore) {
        if (io->op == BLOCK_READ) {
            memset(part->buf, 0, part->len); /* not what the buffer held for someone else */
        }
        io->res = 0;
    }
}

void disk_io_back(ScsiDisk *disk)
{
    void (*idle)(void *) = disk->idle;

    if (disk->in_flight == 0 && disk->changing) {
        loop_defer(&disk->change_work);
    }
    if (disk->in_flight > 0 || !idle) {
        return;
    }
    disk->idle = NULL;
    block_drain(disk->node, &disk->drain, idle, disk->idle_opaque);
}

/* For LOG SENSE: what another command than READ reads, it verifies. */
static void count_io(const Xfer *xfer, const BlockReq *io)
{
    bool reads = (xfer->req->cdb[0] & 0x1f) == SCSI_READ_6;
    unsigned kind = io->op != BLOCK_READ ? DISK_WRITES : reads ? DISK_READS : DISK_VERIFIES;
    DiskCounter *c = &xfer->disk->counter[kind];

    if (io->op == BLOCK_STATUS) {
        return;
    }
    if (io->res >= 0) {
        c->bytes += io->op == BLOCK_DISCARD ? 0 : io->bytes;
    } else if (io->res != -ECANCELED) {
        c->errors++;
    }
}

static void xfer_io_done(BlockReq *io)
{
    XferPart *part = (XferPart *)((char *)io - offsetof(XferPart, io));
    Xfer *xfer = part->xfer;
    ScsiDisk *disk = xfer->disk;

    disk->in_flight--;
    count_io(xfer, io);
    part->state = XFER_FREE;
    if (xfer->ended || xfer->cancelled) {
        xfer_end(xfer);
    } else if (!keeps(part)) {
        settle_error(part);
        xfer->kind->io_done(xfer, part);
    }
    disk_io_back(disk);
}

static void part_submit(XferPart *part)
{
    ScsiDisk *disk = part->xfer->disk;

    part->state = XFER_BUSY;
    disk->in_flight++;
    block_submit(disk->node, &part->io);
}

void xfer_submit(XferPart *part, BlockOp op, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    part->iov = (struct iovec){ .iov_base = part->buf, .iov_len = bytes };
    part->io = (BlockReq){
        .op = op,
        .flags = flags,
        .offset = offset,
        .bytes = bytes,
        .iov = part->buf ? &part->iov : NULL,
        .niov = part->buf ? 1 : 0,
        .done = xfer_io_done,
    };
    part_submit(part);
}

/* What fails once more comes back from the loop, so nothing is kept again meanwhile. */
void xfer_resume_req(ScsiReq *req)
{
    Xfer *xfer = req->priv;

    for (unsigned i = 0; xfer && i < G_N_ELEMENTS(xfer->part); i++) {
        if (xfer->part[i].state == XFER_KEPT) {
            part_submit(&xfer->part[i]);
        }
    }
}

void xfer_resume(ScsiDev *dev)
{
    disk_of(dev)->io_status = DISK_IO_OK;
    for (ScsiReq *req = dev->tasks; req; req = req->next) {
        xfer_resume_req(req);
    }
}

void xfer_more(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
{
    Xfer *xfer = req->priv;

    xfer->kind->moved(xfer, xfer_find(xfer, XFER_SHOWN));
}

void xfer_cancel(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
{
    Xfer *xfer = req->priv;

    xfer->cancelled = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(xfer->part); i++) {
        if (xfer->part[i].state == XFER_BUSY) {
            block_cancel(&xfer->part[i].io);
        }
    }
    xfer_end(xfer);
}

void xfer_drain(ScsiDev *dev, void (*idle)(void *), void *opaque)
{
    ScsiDisk *disk = disk_of(dev);

    if (!disk->node) {
        loop_work_init(&disk->idle_work, dev->bus->loop, idle, opaque);
        loop_defer(&disk->idle_work);
        return;
    }
    disk->idle = idle;
    disk->idle_opaque = opaque;
    disk_io_back(disk);
}
