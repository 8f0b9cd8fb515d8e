/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands to a SCSI device of the host by SG_IO, from a thread of their own. */
#ifndef HW_SCSI_SCSI_SG_H
#define HW_SCSI_SCSI_SG_H

#include <scsi/sg.h>

#include "hw/scsi/scsi.h"
#include "util/loop.h"

#define SG_SENSE_MAX 252

/* ioctl(fd, SG_IO, hdr): 0 or -errno. Tests have their own. Any thread. */
typedef int SgIoFn(int fd, sg_io_hdr_t *hdr);
int sg_io(int fd, sg_io_hdr_t *hdr);

typedef struct SgReq {
    sg_io_hdr_t hdr; /* cmdp, sbp, interface_id are filled in by sg_submit() */
    uint8_t cdb[SCSI_CDB_MAX];
    uint8_t sense[SG_SENSE_MAX];
    void (*done)(struct SgReq *req); /* from the loop, once */
    int res;                         /* at done: 0 or -errno; what the device says is in hdr */
    LoopPost post;
    struct SgReq *next;
} SgReq;

typedef struct SgWorker SgWorker;

/* fd stays the caller's. */
SgWorker *sg_worker_new(Loop *loop, int fd, SgIoFn *io, GError **errp);
void sg_worker_free(SgWorker *worker); /* nothing in flight */
void sg_submit(SgWorker *worker, SgReq *req);
/* True: it had not been begun; done does not come. */
bool sg_cancel(SgWorker *worker, SgReq *req);

/* What a CDB moves. */
typedef struct SgTransfer {
    ScsiDir dir;
    uint64_t bytes;
} SgTransfer;

/* scsi-sg-cdb.c. False: not a command that is let through. */
bool sg_cdb_decode(const uint8_t *cdb, uint8_t pdt, uint32_t block_size, SgTransfer *transfer);

#endif
