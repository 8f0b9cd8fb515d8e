/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What scsi-generic and scsi-block share: a SCSI device of the host, to which the guest's commands
 * go by SG_IO (scsi-sg.c), answers, status and sense data as they come. drive= is a host_device
 * node.
 *
 * scsi-block is for disks: READ and WRITE go through the block layer, with its engines, rerror= and
 * werror=, everything else as above. Realize asks the device what it is and how large its blocks
 * are, since lengths of transfers follow from that; a tape's do not, so tapes are refused.
 *
 * A command with data out fetches all of it first, one with data in shows what the device gave: a
 * residual makes the data phase shorter. Only commands of a list are let through (scsi-sg-cdb.c).
 * One that was cancelled while the device has it ends when the device is through with it, after
 * io_timeout= at the latest. The unit attentions of our bus come in front of the device's own.
 *
 * On the loop's thread, but for realize and what scsi-sg.c says.
 */
#include "scsi-passthrough.h"

#include <errno.h>
#include <string.h>

#include "scsi-internal.h"
#include "scsi-xfer.h"
#include "util/error.h"
#include "util/trace.h"

#define TRANSFER_MAX (4u << 20) /* in memory, for one command */
#define PROBE_TIMEOUT_MS 10000
#define DID_TIME_OUT 3
#define STATUS_MASK 0x3e

typedef struct GenericCmd {
    SgReq sg;
    Passthrough *g;
    ScsiReq *req;
    uint8_t *data; /* IN: ours; OUT: req->mem */
    bool cancelled;
} GenericCmd;

static Passthrough *generic_of(ScsiDev *dev)
{
    return (Passthrough *)dev; /* its first member */
}

/* ---- a command's end ---- */

static void end_sense(ScsiReq *req, const GenericCmd *cmd)
{
    const uint8_t *s = cmd->sg.sense;
    size_t len = MIN(cmd->sg.hdr.sb_len_wr, SG_SENSE_MAX);
    bool descriptors = (s[0] & 0x7e) == 0x72;

    if (len < 8) {
        scsi_req_check(req, SCSI_KEY_HARDWARE_ERROR, SCSI_ASC_TARGET_FAILURE, 0);
        return;
    }
    req->sense_data = g_memdup2(s, len);
    req->sense_len = len;
    if (descriptors) {
        scsi_req_check(req, s[1] & 0x0f, s[2], s[3]);
    } else {
        scsi_req_check(req, s[2] & 0x0f, len > 12 ? s[12] : 0, len > 13 ? s[13] : 0);
    }
}

static void end_data_in(ScsiReq *req, GenericCmd *cmd)
{
    size_t resid = (size_t)CLAMP(cmd->sg.hdr.resid, 0, (int)cmd->sg.hdr.dxfer_len);
    size_t len = cmd->sg.hdr.dxfer_len - resid;

    if (len == 0) {
        scsi_req_good(req);
        return;
    }
    req->mem = g_steal_pointer(&cmd->data);
    req->mem_len = len;
    scsi_req_data(req, SCSI_DIR_IN, len);
    scsi_req_chunk(req, req->mem, len);
}

static void cmd_finish(ScsiReq *req, GenericCmd *cmd)
{
    const sg_io_hdr_t *hdr = &cmd->sg.hdr;
    uint8_t status = hdr->status & STATUS_MASK;

    if (cmd->cancelled) {
        scsi_req_good(req);
    } else if (cmd->sg.res == -ENOMEM || cmd->sg.res == -EAGAIN) {
        scsi_req_check(req, SCSI_KEY_ABORTED_COMMAND, 0, 0);
    } else if (cmd->sg.res < 0) {
        scsi_req_check(req, SCSI_KEY_HARDWARE_ERROR, SCSI_ASC_TARGET_FAILURE, 0);
    } else if (status == SCSI_CHECK_CONDITION) {
        end_sense(req, cmd);
    } else if (status != SCSI_GOOD) {
        scsi_req_finish(req, status);
    } else if (hdr->host_status) { /* 2E/02: command timeout during processing */
        scsi_req_check(req, SCSI_KEY_ABORTED_COMMAND, hdr->host_status == DID_TIME_OUT ? 0x2e : 0,
                       hdr->host_status == DID_TIME_OUT ? 0x02 : 0);
    } else if (hdr->dxfer_direction == SG_DXFER_FROM_DEV) {
        end_data_in(req, cmd);
    } else {
        scsi_req_good(req);
    }
}

static void cmd_end(GenericCmd *cmd)
{
    Passthrough *g = cmd->g;
    ScsiReq *req = cmd->req;

    req->priv = NULL;
    cmd_finish(req, cmd);
    g_free(cmd->data);
    g_free(cmd);
    g->disk.in_flight--;
    disk_io_back(&g->disk);
}

static void sg_done(SgReq *sg)
{
    GenericCmd *cmd = (GenericCmd *)sg;

    trace(SCSI, "%s: SG_IO %02x: %d, status %02x, host %04x, residual %d",
          device_name(cmd->g->disk.scsi.dev), sg->cdb[0], sg->res, sg->hdr.status,
          sg->hdr.host_status, sg->hdr.resid);
    cmd_end(cmd);
}

/* ---- a command's begin ---- */

static void cmd_submit(Passthrough *g, ScsiReq *req, ScsiDir dir, uint8_t *data, size_t len)
{
    GenericCmd *cmd = g_new0(GenericCmd, 1);
    unsigned cdb_len = scsi_cdb_len(req->cdb[0]);

    cmd->g = g;
    cmd->req = req;
    cmd->data = dir == SCSI_DIR_IN ? data : NULL;
    cmd->sg.done = sg_done;
    memcpy(cmd->sg.cdb, req->cdb, sizeof(cmd->sg.cdb));
    cmd->sg.hdr = (sg_io_hdr_t){
        .dxfer_direction = dir == SCSI_DIR_IN    ? SG_DXFER_FROM_DEV
                           : dir == SCSI_DIR_OUT ? SG_DXFER_TO_DEV
                                                 : SG_DXFER_NONE,
        .cmd_len = (uint8_t)cdb_len,
        .dxferp = data,
        .dxfer_len = (unsigned)len,
        .timeout = g->io_timeout * 1000,
    };
    req->priv = cmd;
    g->disk.in_flight++;
    sg_submit(g->worker, &cmd->sg);
}

static void generic_params(ScsiDev *dev, ScsiReq *req)
{
    cmd_submit(generic_of(dev), req, SCSI_DIR_OUT, req->mem, req->mem_len);
}

static void generic_run(Passthrough *g, ScsiReq *req)
{
    SgTransfer transfer;
    uint8_t *data;

    if (!sg_cdb_decode(req->cdb, g->pdt, g->disk.block_size, &transfer)) {
        scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE, 0);
    } else if (req->cdb_len < scsi_cdb_len(req->cdb[0]) || transfer.bytes > TRANSFER_MAX) {
        scsi_bad_field(req);
    } else if (transfer.dir == SCSI_DIR_OUT) {
        scsi_req_params(req, transfer.bytes, generic_params);
    } else if (transfer.dir == SCSI_DIR_IN) {
        data = g_try_malloc0(transfer.bytes);
        if (data) {
            cmd_submit(g, req, SCSI_DIR_IN, data, transfer.bytes);
        } else {
            scsi_req_check(req, SCSI_KEY_ABORTED_COMMAND, 0, 0);
        }
    } else {
        cmd_submit(g, req, SCSI_DIR_NONE, NULL, 0);
    }
}

/* ---- scsi-block: reads and writes by the block layer ---- */

#define READS SCSI_CMD_MEDIUM
#define WRITES (SCSI_CMD_MEDIUM | SCSI_CMD_WRITE)

static const ScsiCmd block_cmds[] = {
    { SCSI_READ_10, 0, 10, READS, "READ(10)", disk_cmd_read, { 0 } },
    { SCSI_WRITE_10, 0, 10, WRITES, "WRITE(10)", disk_cmd_write, { 0 } },
    { SCSI_READ_16, 0, 16, READS, "READ(16)", disk_cmd_read, { 0 } },
    { SCSI_WRITE_16, 0, 16, WRITES, "WRITE(16)", disk_cmd_write, { 0 } },
    { SCSI_READ_12, 0, 12, READS, "READ(12)", disk_cmd_read, { 0 } },
    { SCSI_WRITE_12, 0, 12, WRITES, "WRITE(12)", disk_cmd_write, { 0 } },
    { SCSI_READ_6, 0, 6, READS, "READ(6)", disk_cmd_read, { 0 } },
    { SCSI_WRITE_6, 0, 6, WRITES, "WRITE(6)", disk_cmd_write, { 0 } },
};

static const ScsiCmdTable block_table = {
    .cmds = block_cmds,
    .n = G_N_ELEMENTS(block_cmds),
    .ready = disk_is_ready,
};

static bool by_block_layer(const Passthrough *g, const ScsiReq *req)
{
    for (unsigned i = 0; g->block && i < G_N_ELEMENTS(block_cmds); i++) {
        if (block_cmds[i].op == req->cdb[0]) {
            return true;
        }
    }
    return false;
}

/* ---- ScsiDevOps ---- */

static bool leaves_attention(uint8_t op)
{
    return op == SCSI_INQUIRY || op == SCSI_REPORT_LUNS || op == SCSI_REQUEST_SENSE;
}

static void generic_start(ScsiDev *dev, ScsiReq *req)
{
    Passthrough *g = generic_of(dev);
    ScsiSense sense;

    if (by_block_layer(g, req)) {
        scsi_cmd_run(&block_table, dev, req);
    } else if (!leaves_attention(req->cdb[0]) && scsi_take_attention(dev, &sense)) {
        scsi_req_check(req, sense.key, sense.asc, sense.ascq);
    } else if (req->cdb[0] == SCSI_REPORT_LUNS) { /* LUNs of our bus */
        scsi_cmd_report_luns(dev, req);
    } else if (req->cdb[0] == SCSI_REQUEST_SENSE && (dev->allegiance || dev->n_ua)) {
        scsi_cmd_request_sense(dev, req);
    } else {
        generic_run(g, req);
    }
}

static void generic_cancel(ScsiDev *dev, ScsiReq *req)
{
    Passthrough *g = generic_of(dev);
    GenericCmd *cmd = req->priv;

    if (by_block_layer(g, req)) {
        xfer_cancel(dev, req);
        return;
    }
    cmd->cancelled = true;
    if (sg_cancel(g->worker, &cmd->sg)) {
        cmd_end(cmd);
    }
}

/* Kept requests are the block layer's. */
static void generic_resume(ScsiDev *dev)
{
    for (ScsiReq *req = dev->tasks; req; req = req->next) {
        if (by_block_layer(generic_of(dev), req)) {
            xfer_resume_req(req);
        }
    }
}

static bool generic_attach(ScsiDev *dev, Loop *loop, GError **errp)
{
    Passthrough *g = generic_of(dev);

    if (!disk_attach(dev, loop, errp)) {
        return false;
    }
    g->worker = sg_worker_new(loop, block_host_fd(g->disk.node), g->io, errp);
    if (!g->worker) {
        disk_detach(dev);
        return false;
    }
    return true;
}

static void generic_detach(ScsiDev *dev)
{
    g_clear_pointer(&generic_of(dev)->worker, sg_worker_free);
    disk_detach(dev);
}

static const ScsiDevOps generic_ops = {
    .pdt = 0,
    .attach = generic_attach,
    .detach = generic_detach,
    .start = generic_start,
    .read = disk_read_direct,
    .more = xfer_more, /* only the block layer's commands come to that */
    .cancel = generic_cancel,
    .drain = xfer_drain,
    .resume = generic_resume,
};

/* ---- realize ---- */

/* A command with data in, on the main thread. True: it is GOOD. */
static bool probe(Passthrough *g, int fd, const uint8_t *cdb, uint8_t len, uint8_t *data,
                  size_t size)
{
    SgReq sg = { 0 };

    memcpy(sg.cdb, cdb, len);
    sg.hdr = (sg_io_hdr_t){
        .interface_id = 'S',
        .dxfer_direction = SG_DXFER_FROM_DEV,
        .cmd_len = len,
        .cmdp = sg.cdb,
        .sbp = sg.sense,
        .mx_sb_len = sizeof(sg.sense),
        .dxferp = data,
        .dxfer_len = (unsigned)size,
        .timeout = PROBE_TIMEOUT_MS,
    };
    return g->io(fd, &sg.hdr) == 0 && sg.hdr.status == 0 && sg.hdr.host_status == 0;
}

static uint32_t default_block_size(uint8_t pdt)
{
    return pdt == 5 ? 2048 : 512;
}

/* The first try may meet a unit attention, and a drive without a medium has no capacity. */
static uint32_t probe_block_size(Passthrough *g, int fd)
{
    static const uint8_t cdb[10] = { SCSI_READ_CAPACITY_10 };
    uint8_t data[8] = { 0 };

    for (unsigned i = 0; i < 3; i++) {
        if (probe(g, fd, cdb, sizeof(cdb), data, sizeof(data)) && get_be32(data + 4)) {
            return get_be32(data + 4);
        }
    }
    return default_block_size(g->pdt);
}

static bool probe_type(Passthrough *g, int fd, const char *type, GError **errp)
{
    static const uint8_t cdb[6] = { SCSI_INQUIRY, [4] = 36 };
    uint8_t data[36] = { 0 };

    if (!probe(g, fd, cdb, sizeof(cdb), data, sizeof(data))) {
        return error_set(errp, "%s: '%s' does not answer SCSI commands", type, g->disk.drive);
    }
    g->pdt = data[0] & 0x1f;
    if (data[0] >> 5) {
        return error_set(errp, "%s: there is no device behind '%s'", type, g->disk.drive);
    }
    if (g->block && g->pdt != 0) {
        return error_set(errp, "scsi-block: '%s' is not a disk; use scsi-generic", g->disk.drive);
    }
    if (g->pdt == 1) {
        return error_set(errp, "scsi-generic: '%s' is a tape, which is not supported",
                         g->disk.drive);
    }
    return true;
}

bool passthrough_realize(Device *dev, bool block, SgIoFn *io, GError **errp)
{
    Passthrough *g = dev->state;
    const BlockNode *node = g->disk.drive ? block_find(dev->blocks, g->disk.drive) : NULL;
    int fd = node ? block_host_fd(node) : -1;

    g->io = io;
    g->block = block;
    if (node && fd < 0) {
        return error_set(errp, "%s: drive '%s' is no device of the host", dev->type->name,
                         g->disk.drive);
    }
    if (node) {
        if (!probe_type(g, fd, dev->type->name, errp)) {
            return false;
        }
        g->disk.logical_block_size = probe_block_size(g, fd);
    }
    return disk_realize(dev, &generic_ops, &block_table, errp); /* also says what is missing */
}

/* device_id is no property here, and the device names itself. */
void passthrough_unrealize(Device *dev)
{
    Passthrough *g = dev->state;

    disk_unrealize(dev);
    g_clear_pointer(&g->disk.device_id, g_free);
}
