/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The LSI 53C895A, 53C810 and 53C810A PCI SCSI host adapters: what the registry needs. */
#ifndef HW_SCSI_LSI_H
#define HW_SCSI_LSI_H

#include "hw/core/device.h"

extern const DeviceType lsi53c895a_type; /* lsi53c895a, alias lsi */
extern const DeviceType lsi53c810_type;  /* lsi53c810 */
extern const DeviceType lsi53c810a_type; /* lsi53c810a */

#endif
