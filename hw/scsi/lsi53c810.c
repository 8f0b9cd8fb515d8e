/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plain 53C810: narrow, Fast-10, 128 registers seen twice, no script RAM, no LOAD and STORE.
 * Its revision is 0, for which drivers take their MEMORY MOVE firmware (revisions from 0x10 up are
 * the 810A). PCI ids and BARs as in the 810 manual.
 */
#include "hw/scsi/lsi.h"
#include "hw/scsi/lsi-internal.h"

static const PciBar bars[] = {
    LSI_REG_BAR(PCI_BAR_IO, 256),
    LSI_REG_BAR(PCI_BAR_MEM32, 256),
    { .kind = PCI_BAR_NONE },
};

static const LsiModel model = {
    .reg_mask = 0x7f,
    .max_id = 8,
    .max_offset = 8,
    .min_period = 25, /* Fast-10 */
    .pci = { .device = 0x0001, .bars = bars, LSI_PCI_OPS },
};

static bool realize(Device *dev, GError **errp G_GNUC_UNUSED)
{
    return lsi_realize(dev, &model);
}

const DeviceType lsi53c810_type = {
    .name = "lsi53c810",
    .desc = "LSI 53C810 SCSI host adapter",
    .bus_kind = BUS_PCI,
    .child_kind = BUS_SCSI,
    .props = lsi_props,
    .size = sizeof(Lsi),
    .realize = realize,
    .unrealize = lsi_unrealize,
};
