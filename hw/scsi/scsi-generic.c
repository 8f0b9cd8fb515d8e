/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device type scsi-generic: a SCSI device of the host, all commands as they are. What it does
 * is in scsi-passthrough.c, which scsi-block shares. Realized on the main thread.
 */
#include "hw/scsi/scsi-disk.h"

#include "scsi-passthrough.h"

static bool generic_realize(Device *dev, GError **errp)
{
    return passthrough_realize(dev, false, sg_io, errp);
}

static const OptDesc generic_props[] = {
    PASSTHROUGH_PROPS,
    { .type = OPT_END },
};

const DeviceType scsi_generic_type = {
    .name = "scsi-generic",
    .desc = "SCSI device of the host, commands as they are",
    .bus_kind = BUS_SCSI,
    .props = generic_props,
    .size = sizeof(Passthrough),
    .realize = generic_realize,
    .unrealize = passthrough_unrealize,
    .plug = scsi_dev_hot_plug,
    .unplug = scsi_dev_hot_unplug,
};
