/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A SCSI device of the host as a unit of our bus: what its two device types share. */
#ifndef HW_SCSI_SCSI_PASSTHROUGH_H
#define HW_SCSI_SCSI_PASSTHROUGH_H

#include "scsi-disk-internal.h"
#include "scsi-sg.h"

typedef struct Passthrough {
    ScsiDisk disk;
    bool block; /* READ and WRITE by the block layer */
    uint8_t pdt;
    uint32_t io_timeout; /* seconds */
    SgIoFn *io;
    SgWorker *worker;
} Passthrough;

/* For DeviceType; io does SG_IO. Main thread. */
bool passthrough_realize(Device *dev, bool block, SgIoFn *io, GError **errp);
void passthrough_unrealize(Device *dev);

#define PASSTHROUGH_PROPS                                                                          \
    DISK_PROP("drive", OPT_STRING, drive, .help = "a host_device node"),                           \
        DISK_PROP("channel", OPT_I32, scsi.channel, .help = "only 0"),                             \
        DISK_PROP("scsi-id", OPT_I32, scsi.id, .def = -1, .help = "default: first free"),          \
        DISK_PROP("lun", OPT_I32, scsi.lun, .def = -1, .help = "default: 0"),                      \
        DISK_PROP("share-rw", OPT_BOOL, share_rw),                                                 \
        DISK_PROP("bootindex", OPT_I32, bootindex, .def = -1, .help = "for firmware elsewhere"),   \
    {                                                                                              \
        .name = "io_timeout", .type = OPT_U32, .offset = offsetof(Passthrough, io_timeout),        \
        .min = 1, .max = 4000000, .def = 30, .help = "seconds"                                     \
    }

#endif
