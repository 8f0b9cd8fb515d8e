/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SCSI disk and CD-ROM units on a block node: what the registry needs. */
#ifndef HW_SCSI_SCSI_DISK_H
#define HW_SCSI_SCSI_DISK_H

#include "hw/core/device.h"

extern const DeviceType scsi_hd_type; /* scsi-hd */
extern const DeviceType scsi_cd_type; /* scsi-cd */

#endif
