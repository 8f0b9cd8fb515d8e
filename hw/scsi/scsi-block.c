/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device type scsi-block: a SCSI disk of the host, READ and WRITE by the block layer, other
 * commands as they are. What it does is in scsi-passthrough.c, which scsi-generic shares. Realized
 * on the main thread.
 */
#include "hw/scsi/scsi-disk.h"

#include "scsi-passthrough.h"

static bool block_realize(Device *dev, GError **errp)
{
    return passthrough_realize(dev, true, sg_io, errp);
}

static const OptDesc block_props[] = {
    PASSTHROUGH_PROPS,
    DISK_PROP("rerror", OPT_ENUM, rerror, .names = disk_on_error_names),
    DISK_PROP("werror", OPT_ENUM, werror, .names = disk_on_error_names),
    DISK_PROP("max_io_size", OPT_U64, max_io_size, .def = INT32_MAX, .help = "bytes"),
    { .type = OPT_END },
};

const DeviceType scsi_block_type = {
    .name = "scsi-block",
    .desc = "SCSI disk of the host",
    .bus_kind = BUS_SCSI,
    .props = block_props,
    .size = sizeof(Passthrough),
    .realize = block_realize,
    .unrealize = passthrough_unrealize,
    .plug = scsi_dev_hot_plug,
    .unplug = scsi_dev_hot_unplug,
};
