/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What scsi-cd answers, for its command table (scsi-cd-cmds.c). */
#ifndef HW_SCSI_SCSI_CD_INTERNAL_H
#define HW_SCSI_SCSI_CD_INTERNAL_H

#include "scsi-disk-internal.h"

void cd_read_cd(ScsiDev *dev, ScsiReq *req); /* READ CD, READ CD MSF */
void cd_read_toc(ScsiDev *dev, ScsiReq *req);
void cd_get_configuration(ScsiDev *dev, ScsiReq *req);
void cd_get_event_status(ScsiDev *dev, ScsiReq *req);
void cd_read_disc_information(ScsiDev *dev, ScsiReq *req);
void cd_read_track_information(ScsiDev *dev, ScsiReq *req);
void cd_read_dvd_structure(ScsiDev *dev, ScsiReq *req);
void cd_mechanism_status(ScsiDev *dev, ScsiReq *req);

#endif
