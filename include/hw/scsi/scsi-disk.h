/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SCSI disk and CD-ROM units on a block node: what the registry needs. */
#ifndef HW_SCSI_SCSI_DISK_H
#define HW_SCSI_SCSI_DISK_H

#include "hw/core/device.h"
#include "util/sandbox.h"

extern const DeviceType scsi_hd_type; /* scsi-hd */
extern const DeviceType scsi_cd_type; /* scsi-cd */

/* Devices of the host: all commands as they are; a disk, with READ and WRITE by the block layer. */
extern const DeviceType scsi_generic_type;
extern const DeviceType scsi_block_type;

/* What a SCSI unit is at the moment; on its loop's thread. */
typedef struct ScsiDiskInfo {
    bool removable, tray_open, locked;
    struct BlockNode *node; /* its medium, or NULL */
    const char *drive;      /* id of the -drive that it has; "": none */
    const char *io_status;  /* "ok", "failed" or "nospace": since scsi_bus_resume(); NULL: its
                               errors never stop the guest */
} ScsiDiskInfo;
void scsi_disk_info(const Device *dev, ScsiDiskInfo *info);
/* drive= that it was given, or NULL. Any thread. */
const char *scsi_disk_drive(const Device *dev);

/*
 * The operator's side of a scsi-cd that is attached, on its loop's thread.
 *
 * Eject opens the tray; what is being read fails. If the guest has locked the tray it is told of
 * the wish instead (GET EVENT STATUS NOTIFICATION), and the call fails; force opens it all the
 * same. Load closes it.
 */
bool scsi_cd_eject(Device *dev, bool force, GError **errp);
bool scsi_cd_load(Device *dev, GError **errp);
/* Comes from the loop, once, when the old node is free. ok false: the new one could not be
 * attached, or the loop is going away; the drive is empty, or has what it had. */
typedef void ScsiCdDone(void *opaque, bool ok);
/* Ejects as above, puts the node of that name in (NULL: nothing) and closes the tray. */
bool scsi_cd_change_medium(Device *dev, const char *name, bool force, ScsiCdDone *done,
                           void *opaque, GError **errp);
/* The halves of that, with the tray open before and after: false and an error if it is closed.
 * insert: also if there is a medium. remove: done comes also if there is none. */
bool scsi_cd_insert(Device *dev, const char *name, ScsiCdDone *done, void *opaque, GError **errp);
bool scsi_cd_remove(Device *dev, ScsiCdDone *done, void *opaque, GError **errp);

extern const SandboxCalls scsi_sg_sandbox;

#endif
