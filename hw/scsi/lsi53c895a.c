/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 53C895A: wide, Fast-40, script RAM, phase mismatch jumps, 64-bit addressing, LOAD and
 * STORE. PCI ids, BARs and capability as in the 895A manual, 4.1.
 */
#include "hw/scsi/lsi.h"
#include "hw/scsi/lsi-internal.h"

static const PciBar bars[] = {
    LSI_REG_BAR(PCI_BAR_IO, 256),
    LSI_REG_BAR(PCI_BAR_MEM32, 1024),
    { .kind = PCI_BAR_MEM32,
      .size = LSI_RAM_SIZE,
      .min = 1,
      .max = 8,
      .read = lsi_ram_read,
      .write = lsi_ram_write },
    { .kind = PCI_BAR_NONE },
};

static const LsiModel model = {
    .reg_mask = 0xff,
    .max_id = 16,
    .max_offset = 31,
    .min_period = 10, /* Fast-40 */
    .chip_type = 0xf0,
    .has_895a_regs = true,
    .load_store = true,
    .pci = { .device = 0x0012, .bars = bars, LSI_PCI_OPS },
};

static bool realize(Device *dev, GError **errp)
{
    if (!lsi_realize(dev, &model, errp)) {
        return false;
    }
    pci_add_pm_capability(dev->state, 0x40);
    return true;
}

const DeviceType lsi53c895a_type = {
    .name = "lsi53c895a",
    .alias = "lsi",
    .desc = "LSI 53C895A SCSI host adapter",
    .bus_kind = BUS_PCI,
    .child_kind = BUS_SCSI,
    .props = lsi_props,
    .size = sizeof(Lsi),
    .realize = realize,
    .unrealize = lsi_unrealize,
};
