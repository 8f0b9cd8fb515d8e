/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device type scsi-hd (SPC-4, SBC-3): its command table and properties. Each row of the table
 * says all there is to know about a command; see scsi-cmd.h.
 *
 * REZERO UNIT does nothing.
 */
#include "hw/scsi/scsi-disk.h"

#include "scsi-disk-internal.h"
#include "scsi-xfer.h"

#define RC16_SA 0x10
#define LBA_STATUS_SA 0x12
#define RSOC_SA 0x0c

static const ScsiCmdTable hd_cmd_table;

static void read_capacity_16(ScsiDev *dev, ScsiReq *req)
{
    const ScsiDisk *disk = disk_of(dev);
    uint8_t out[32] = { 0 };

    if (disk_capacity_check(disk, req, get_be64(req->cdb + 2), req->cdb[14] & 1)) {
        put_be64(out, disk->blocks - 1);
        put_be32(out + 8, disk->block_size);
        for (uint64_t size = disk->block_size; size < disk->physical_block_size; size *= 2) {
            out[13]++; /* logical blocks per physical block, exponent */
        }
        out[14] = disk->thin ? 0x80 : 0; /* LBPME */
        scsi_req_reply(req, out, sizeof(out), get_be32(req->cdb + 10));
    }
}

#define LBA_STATUS_BYTES (8 + 16)
#define DEALLOCATED 1 /* provisioning status; 0: mapped, or not known */

/* One descriptor (SBC-3 5.4): what reads as zeros counts as deallocated, whether or not the image
 * has that written down. */
static void lba_status_known(Xfer *xfer, XferPart *part)
{
    uint32_t bs = xfer->disk->block_size;
    uint8_t out[LBA_STATUS_BYTES] = { 0 };
    uint64_t blocks = part->io.known / bs;

    if (part->io.res < 0) {
        xfer_fail(xfer, xfer_sense(part->io.res, false));
        return;
    }
    put_be32(out, sizeof(out) - 4);
    put_be64(out + 8, part->io.offset / bs);
    put_be32(out + 16, (uint32_t)MAX(blocks, 1));
    out[20] = blocks && (part->io.status & BLOCK_ZERO) ? DEALLOCATED : 0;
    memcpy(part->buf, out, part->len);
    xfer_show(part);
}

static void lba_status_moved(Xfer *xfer, XferPart *part)
{
    xfer_drop(part);
    xfer_good(xfer);
}

static const XferKind lba_status_kind = { .moved = lba_status_moved, .io_done = lba_status_known };

static void get_lba_status(ScsiDev *dev, ScsiReq *req)
{
    ScsiDisk *disk = disk_of(dev);
    uint64_t lba = get_be64(req->cdb + 2), bs = disk->block_size;
    uint32_t alloc = MIN(get_be32(req->cdb + 10), LBA_STATUS_BYTES);
    Xfer *xfer;

    if (!disk_check_range(disk, req, lba, 1)) {
        return;
    }
    if (!alloc) {
        scsi_req_good(req);
        return;
    }
    xfer = xfer_new(disk, req, &lba_status_kind);
    xfer->total = alloc;
    scsi_req_data(req, SCSI_DIR_IN, alloc);
    if (xfer_take(xfer, &xfer->part[0])) {
        xfer_submit(&xfer->part[0], BLOCK_STATUS, lba * bs,
                    MIN(disk->blocks - lba, UINT32_MAX) * bs, 0);
    }
}

static void report_opcodes(ScsiDev *dev, ScsiReq *req)
{
    scsi_report_opcodes(&hd_cmd_table, dev, req);
}

#define ALWAYS SCSI_CMD_ALWAYS
#define MEDIUM SCSI_CMD_MEDIUM
#define WRITES (SCSI_CMD_MEDIUM | SCSI_CMD_WRITE)
#define THIN (SCSI_CMD_MEDIUM | SCSI_CMD_WRITE | SCSI_CMD_THIN)

#define RESERVE_IN(sa, name)                                                                       \
    {                                                                                              \
        SCSI_PERSISTENT_RESERVE_IN, sa, 10, SCSI_CMD_SA, name, disk_cmd_reserve_in,                \
        {                                                                                          \
            0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 4                                                     \
        }                                                                                          \
    }
#define RESERVE_OUT(sa, name)                                                                      \
    {                                                                                              \
        SCSI_PERSISTENT_RESERVE_OUT, sa, 10, SCSI_CMD_SA, name, disk_cmd_reserve_out,              \
        {                                                                                          \
            0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 4                                            \
        }                                                                                          \
    }

#define LBA4 0xff, 0xff, 0xff, 0xff
#define LBA8 LBA4, LBA4

static const ScsiCmd hd_cmds[] = {
    { SCSI_READ_10, 0, 10, MEDIUM, "READ(10)", disk_cmd_read, { 0xf8, LBA4, 0, 0xff, 0xff, 4 } },
    { SCSI_WRITE_10, 0, 10, WRITES, "WRITE(10)", disk_cmd_write, { 0xf8, LBA4, 0, 0xff, 0xff, 4 } },
    { SCSI_SYNCHRONIZE_CACHE_10,
      0,
      10,
      MEDIUM,
      "SYNCHRONIZE CACHE(10)",
      disk_cmd_synchronize_cache,
      { 0x02, LBA4, 0, 0xff, 0xff, 4 } },
    { SCSI_READ_16, 0, 16, MEDIUM, "READ(16)", disk_cmd_read, { 0xf8, LBA8, LBA4, 0, 4 } },
    { SCSI_WRITE_16, 0, 16, WRITES, "WRITE(16)", disk_cmd_write, { 0xf8, LBA8, LBA4, 0, 4 } },
    { SCSI_SYNCHRONIZE_CACHE_16,
      0,
      16,
      MEDIUM,
      "SYNCHRONIZE CACHE(16)",
      disk_cmd_synchronize_cache,
      { 0x02, LBA8, LBA4, 0, 4 } },
    { SCSI_UNMAP, 0, 10, THIN, "UNMAP", disk_cmd_unmap, { 1, 0, 0, 0, 0, 0, 0xff, 0xff, 4 } },
    { SCSI_WRITE_SAME_16,
      0,
      16,
      WRITES,
      "WRITE SAME(16)",
      disk_cmd_write_same,
      { 0xf9, LBA8, LBA4, 0, 4 } },
    { SCSI_WRITE_SAME_10,
      0,
      10,
      WRITES,
      "WRITE SAME(10)",
      disk_cmd_write_same,
      { 0xf8, LBA4, 0, 0xff, 0xff, 4 } },
    { SCSI_TEST_UNIT_READY,
      0,
      6,
      0,
      "TEST UNIT READY",
      disk_cmd_test_unit_ready,
      { 0, 0, 0, 0, 4 } },
    { SCSI_REQUEST_SENSE,
      0,
      6,
      ALWAYS,
      "REQUEST SENSE",
      scsi_cmd_request_sense,
      { 1, 0, 0, 0xff, 4 } },
    { SCSI_INQUIRY, 0, 6, ALWAYS, "INQUIRY", disk_cmd_inquiry, { 3, 0xff, 0xff, 0xff, 4 } },
    { SCSI_REPORT_LUNS,
      0,
      12,
      ALWAYS,
      "REPORT LUNS",
      scsi_cmd_report_luns,
      { 0, 0xff, 0, 0, 0, LBA4, 0, 4 } },
    { SCSI_READ_6, 0, 6, MEDIUM, "READ(6)", disk_cmd_read, { 0x1f, 0xff, 0xff, 0xff, 4 } },
    { SCSI_WRITE_6, 0, 6, WRITES, "WRITE(6)", disk_cmd_write, { 0x1f, 0xff, 0xff, 0xff, 4 } },
    { SCSI_READ_12, 0, 12, MEDIUM, "READ(12)", disk_cmd_read, { 0xf8, LBA4, LBA4, 0, 4 } },
    { SCSI_WRITE_12, 0, 12, WRITES, "WRITE(12)", disk_cmd_write, { 0xf8, LBA4, LBA4, 0, 4 } },
    { SCSI_WRITE_AND_VERIFY_10,
      0,
      10,
      WRITES,
      "WRITE AND VERIFY(10)",
      disk_cmd_write_and_verify,
      { 0xf6, LBA4, 0, 0xff, 0xff, 4 } },
    { SCSI_WRITE_AND_VERIFY_12,
      0,
      12,
      WRITES,
      "WRITE AND VERIFY(12)",
      disk_cmd_write_and_verify,
      { 0xf6, LBA4, LBA4, 0, 4 } },
    { SCSI_WRITE_AND_VERIFY_16,
      0,
      16,
      WRITES,
      "WRITE AND VERIFY(16)",
      disk_cmd_write_and_verify,
      { 0xf6, LBA8, LBA4, 0, 4 } },
    { SCSI_COMPARE_AND_WRITE,
      0,
      16,
      WRITES,
      "COMPARE AND WRITE",
      disk_cmd_compare_and_write,
      { 0xf8, LBA8, 0, 0, 0, 0xff, 0, 4 } },
    { SCSI_VERIFY_10,
      0,
      10,
      MEDIUM,
      "VERIFY(10)",
      disk_cmd_verify,
      { 0xf6, LBA4, 0, 0xff, 0xff, 4 } },
    { SCSI_VERIFY_12, 0, 12, MEDIUM, "VERIFY(12)", disk_cmd_verify, { 0xf6, LBA4, LBA4, 0, 4 } },
    { SCSI_VERIFY_16, 0, 16, MEDIUM, "VERIFY(16)", disk_cmd_verify, { 0xf6, LBA8, LBA4, 0, 4 } },
    { SCSI_READ_CAPACITY_10,
      0,
      10,
      MEDIUM,
      "READ CAPACITY(10)",
      disk_cmd_read_capacity_10,
      { 0, LBA4, 0, 0, 1, 4 } },
    { SCSI_SERVICE_ACTION_IN_16,
      RC16_SA,
      16,
      MEDIUM | SCSI_CMD_SA,
      "READ CAPACITY(16)",
      read_capacity_16,
      { 0x1f, LBA8, LBA4, 1, 4 } },
    { SCSI_SERVICE_ACTION_IN_16,
      LBA_STATUS_SA,
      16,
      MEDIUM | SCSI_CMD_SA | SCSI_CMD_THIN,
      "GET LBA STATUS",
      get_lba_status,
      { 0x1f, LBA8, LBA4, 0, 4 } },
    { SCSI_LOG_SENSE,
      0,
      10,
      0,
      "LOG SENSE",
      disk_cmd_log_sense,
      { 3, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 4 } },
    { SCSI_MODE_SENSE_6,
      0,
      6,
      0,
      "MODE SENSE(6)",
      disk_cmd_mode_sense,
      { 8, 0xff, 0xff, 0xff, 4 } },
    { SCSI_MODE_SENSE_10,
      0,
      10,
      0,
      "MODE SENSE(10)",
      disk_cmd_mode_sense,
      { 8, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 4 } },
    { SCSI_MODE_SELECT_6,
      0,
      6,
      0,
      "MODE SELECT(6)",
      disk_cmd_mode_select,
      { 0x11, 0, 0, 0xff, 4 } },
    { SCSI_MODE_SELECT_10,
      0,
      10,
      0,
      "MODE SELECT(10)",
      disk_cmd_mode_select,
      { 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 4 } },
    { SCSI_START_STOP_UNIT, 0, 6, 0, "START STOP UNIT", disk_cmd_start_stop, { 1, 0, 0, 0xf7, 4 } },
    { SCSI_PREVENT_ALLOW,
      0,
      6,
      0,
      "PREVENT ALLOW MEDIUM REMOVAL",
      disk_cmd_prevent_allow,
      { 0, 0, 0, 1, 4 } },
    { SCSI_RESERVE_6, 0, 6, 0, "RESERVE(6)", disk_cmd_reserve, { 0x1f, 0, 0, 0, 4 } },
    { SCSI_RELEASE_6, 0, 6, 0, "RELEASE(6)", disk_cmd_release, { 0x1f, 0, 0, 0, 4 } },
    { SCSI_RESERVE_10,
      0,
      10,
      0,
      "RESERVE(10)",
      disk_cmd_reserve,
      { 0x1f, 0, 0, 0, 0, 0, 0, 0, 4 } },
    { SCSI_RELEASE_10,
      0,
      10,
      0,
      "RELEASE(10)",
      disk_cmd_release,
      { 0x1f, 0, 0, 0, 0, 0, 0, 0, 4 } },
    RESERVE_IN(0, "READ KEYS"),
    RESERVE_IN(1, "READ RESERVATION"),
    RESERVE_IN(2, "REPORT CAPABILITIES"),
    RESERVE_IN(3, "READ FULL STATUS"),
    RESERVE_OUT(0, "REGISTER"),
    RESERVE_OUT(1, "RESERVE"),
    RESERVE_OUT(2, "RELEASE"),
    RESERVE_OUT(3, "CLEAR"),
    RESERVE_OUT(4, "PREEMPT"),
    RESERVE_OUT(5, "PREEMPT AND ABORT"),
    RESERVE_OUT(6, "REGISTER AND IGNORE EXISTING KEY"),
    { SCSI_REZERO_UNIT, 0, 6, MEDIUM, "REZERO UNIT", scsi_cmd_noop, { 0, 0, 0, 0, 4 } },
    { SCSI_SEEK_6, 0, 6, MEDIUM, "SEEK(6)", disk_cmd_seek, { 0x1f, 0xff, 0xff, 0, 4 } },
    { SCSI_SEEK_10, 0, 10, MEDIUM, "SEEK(10)", disk_cmd_seek, { 0, LBA4, 0, 0, 0, 4 } },
    { SCSI_MAINTENANCE_IN,
      RSOC_SA,
      12,
      SCSI_CMD_SA,
      "REPORT SUPPORTED OPERATION CODES",
      report_opcodes,
      { 0x1f, 0x87, 0xff, 0xff, 0xff, LBA4, 0, 4 } },
};

static unsigned hd_hidden(const ScsiDev *dev)
{
    const ScsiDisk *disk = (const ScsiDisk *)dev;

    return disk->thin ? 0 : SCSI_CMD_THIN;
}

static const ScsiCmdTable hd_cmd_table = {
    .cmds = hd_cmds,
    .n = G_N_ELEMENTS(hd_cmds),
    .hidden = hd_hidden,
    .ready = disk_is_ready,
};

static const ScsiDevOps hd_ops = {
    .pdt = 0,
    .attach = disk_attach,
    .detach = disk_detach,
    .start = disk_start,
    .read = disk_read_direct,
    .more = xfer_more,
    .cancel = xfer_cancel,
    .reset = disk_reset,
    .save = disk_save,
    .load = disk_load,
    .power_on = disk_power_on,
    .drain = xfer_drain,
    .resume = xfer_resume,
};

static const OptDesc hd_props[] = {
    DISK_COMMON_PROPS("QEMU HARDDISK"),
    DISK_PROP("removable", OPT_BOOL, removable),
    DISK_PROP("rotation_rate", OPT_U16, rotation_rate, .help = "1: solid state; 0: not told"),
    DISK_PROP("dpofua", OPT_BOOL, dpofua, .help = "announce DPO and FUA"),
    DISK_PROP("max_unmap_size", OPT_U64, max_unmap_size, .def = 1 << 30, .help = "bytes"),
    DISK_PROP("cyls", OPT_U32, cyls, .min = 0, .max = 0xffffff),
    DISK_PROP("heads", OPT_U32, heads, .min = 0, .max = 255),
    DISK_PROP("secs", OPT_U32, secs, .min = 0, .max = 255),
    DISK_PROP("lcyls", OPT_U32, ignored_u32),
    DISK_PROP("lheads", OPT_U32, ignored_u32),
    DISK_PROP("lsecs", OPT_U32, ignored_u32),
    DISK_PROP("quirk_mode_page_vendor_specific_apple", OPT_BOOL, ignored_bool),
    { .type = OPT_END },
};

static bool hd_realize(Device *dev, GError **errp)
{
    return disk_realize(dev, &hd_ops, &hd_cmd_table, errp);
}

const DeviceType scsi_hd_type = {
    .name = "scsi-hd",
    .desc = "virtual SCSI disk",
    .bus_kind = BUS_SCSI,
    .props = hd_props,
    .size = sizeof(ScsiDisk),
    .realize = hd_realize,
    .unrealize = disk_unrealize,
    .plug = scsi_dev_hot_plug,
    .unplug = scsi_dev_hot_unplug,
};
