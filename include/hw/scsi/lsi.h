/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The LSI 53C895A, 53C810 and 53C810A PCI SCSI host adapters: what the registry needs; state. */
#ifndef HW_SCSI_LSI_H
#define HW_SCSI_LSI_H

#include "hw/core/device.h"
#include "hw/pci/pci.h"

extern const DeviceType lsi53c895a_type; /* lsi53c895a, alias lsi */
extern const DeviceType lsi53c810_type;  /* lsi53c810 */
extern const DeviceType lsi53c810a_type; /* lsi53c810a */

/*
 * State, on the loop's thread, for a device that is attached. To save: lsi_freeze(), and when idle
 * comes lsi_save() from within it; then the device is reset, or detached, or goes on after
 * lsi_thaw(). To restore: lsi_load() on a device of the same type with the same units and nothing
 * in flight: a new one, or one just reset. From lsi_freeze() until then the guest's accesses must
 * be kept away; reset and drain are for after idle.
 */
/* SCRIPTS stand still, I/O in flight comes back and is flushed; then idle, from the loop, once. */
void lsi_freeze(PciDev *pci, void (*idle)(void *opaque), void *opaque);
void lsi_thaw(PciDev *pci);
/* All that the guest can observe but its memory and its media; the caller's. */
GByteArray *lsi_save(PciDev *pci);
/* The device goes on where it was. False: data is nothing that lsi_save() wrote for such a device;
 * nothing has changed. */
bool lsi_load(PciDev *pci, const void *data, size_t len, GError **errp);

#endif
