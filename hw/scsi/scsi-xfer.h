/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command's I/O on its block node: at most two block requests with a chunk of memory each. Made
 * by a command's handler, gone with xfer_good() or xfer_fail(), or when it was cancelled, always
 * after its last block request is back.
 */
#ifndef HW_SCSI_SCSI_XFER_H
#define HW_SCSI_SCSI_XFER_H

#include "scsi-disk-internal.h"

#define XFER_CHUNK_MAX (256u << 10)
#define XFER_DIRECT_MIN (128u << 10) /* a READ of less is not worth the look */
#define XFER_CHUNK_SMALL (32u << 10) /* where memory in flight is past its limit */

G_STATIC_ASSERT(DISK_BLOCK_MAX <= XFER_CHUNK_SMALL);

typedef struct Xfer Xfer;

typedef enum XferState {
    XFER_FREE,  /* no memory */
    XFER_BUSY,  /* a block request is in flight */
    XFER_FULL,  /* read from the medium, not shown to the adapter yet */
    XFER_SHOWN, /* the adapter's window */
    XFER_BAD,   /* its read failed */
    XFER_KEPT,  /* its block request failed, and is made again on scsi_bus_resume() */
} XferState;

typedef struct XferPart {
    BlockReq io;
    struct iovec iov;
    Xfer *xfer;
    XferState state;
    uint8_t *buf;
    uint64_t offset; /* in the data phase */
    size_t len;
    ScsiSense sense; /* XFER_BAD */
} XferPart;

typedef struct XferKind {
    /* The data of this part has been moved by the adapter; NULL: of scsi_req_direct(). */
    void (*moved)(Xfer *xfer, XferPart *part);
    /* part's block request is back: part->io.res, 0 where an error is to be ignored. The state is
     * what comes next for it: XFER_FREE if the memory is not needed any more. */
    void (*io_done)(Xfer *xfer, XferPart *part);
} XferKind;

struct Xfer {
    const XferKind *kind;
    ScsiDisk *disk;
    ScsiReq *req;
    uint64_t start; /* bytes on the node */
    uint64_t total; /* bytes of this command */
    uint64_t asked; /* of them, given to parts so far */
    uint32_t flags; /* of block requests */
    unsigned next;  /* UNMAP: descriptor */
    uint64_t direct_at; /* READ: where scsi_req_direct() began */
    bool at_hand; /* READ: the medium's data seems to be in memory, so go without chunks */
    bool ended, cancelled;
    ScsiSense sense; /* once ended; key 0: GOOD */
    bool writes, compares; /* VERIFY and its kin */
    bool info_valid;
    uint32_t info; /* for the sense data */
    XferPart part[2];
};

Xfer *xfer_new(ScsiDisk *disk, ScsiReq *req, const XferKind *kind);
/* A part in the given state, or NULL. */
XferPart *xfer_find(Xfer *xfer, XferState state);
/* Is a block request in flight, or kept for later? */
bool xfer_is_busy(Xfer *xfer);
/* Memory for the next bytes of total (one must be left); sets offset and len. False if there is
 * none: the command has failed, and xfer may be gone. */
bool xfer_take(Xfer *xfer, XferPart *part);
/* Memory for as many bytes as like has, at the same offset; for the rest as xfer_take(). */
bool xfer_take_like(Xfer *xfer, XferPart *part, const XferPart *like);
/* As xfer_take(), at most max bytes. */
bool xfer_take_max(Xfer *xfer, XferPart *part, size_t max);
/* Gives the memory back. */
void xfer_drop(XferPart *part);
/* May memory be used that the command could do without? */
bool xfer_may_spare(const Xfer *xfer);
/* part->buf is the data; offset on the node in bytes. */
void xfer_submit(XferPart *part, BlockOp op, uint64_t offset, uint64_t bytes, uint32_t flags);
/* Shows part to the adapter. */
void xfer_show(XferPart *part);
/* The end of the command; xfer must not be used any more. */
void xfer_good(Xfer *xfer);
void xfer_fail(Xfer *xfer, ScsiSense sense);
/* ... with an INFORMATION field in the sense data. */
void xfer_fail_info(Xfer *xfer, ScsiSense sense, uint32_t info);
/* Fails all commands of disk that have begun; each ends when its I/O is back. */
void xfer_fail_all(ScsiDisk *disk, ScsiSense sense);
/* What an -errno of the block layer is to the initiator. */
ScsiSense xfer_sense(int res, bool write);

/* scsi-disk-rw.c: a command's I/O on range, nothing begun yet. */
Xfer *disk_rw_begin(ScsiDisk *disk, ScsiReq *req, const XferKind *kind, DiskRange range);

/* For ScsiDevOps. */
size_t disk_read_direct(ScsiDev *dev, ScsiReq *req, const struct iovec *iov, unsigned niov);
void xfer_more(ScsiDev *dev, ScsiReq *req);
void xfer_cancel(ScsiDev *dev, ScsiReq *req);
void xfer_resume_req(ScsiReq *req);
void xfer_resume(ScsiDev *dev);
void xfer_drain(ScsiDev *dev, void (*idle)(void *), void *opaque);

#endif
