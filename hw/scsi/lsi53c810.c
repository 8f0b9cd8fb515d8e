/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 53C810: narrow, Fast-10, 128 registers seen twice, no script RAM; and the 53C810A, which has
 * LOAD and STORE besides. They share PCI ids, and drivers tell them by the revision: below 0x10
 * they take their MEMORY MOVE firmware. PCI ids and BARs as in the 810 manual.
 */
#include "hw/scsi/lsi.h"
#include "hw/scsi/lsi-internal.h"

static const PciBar bars[] = {
    LSI_REG_BAR(PCI_BAR_IO, 256),
    LSI_REG_BAR(PCI_BAR_MEM32, 256),
    { .kind = PCI_BAR_NONE },
};

#define LSI810_MODEL .reg_mask = 0x7f, .max_id = 8, .max_offset = 8, .min_period = 25 /* Fast-10 */
#define LSI810_PCI .device = 0x0001, .bars = bars, LSI_PCI_OPS

static const LsiModel model = { LSI810_MODEL, .pci = { LSI810_PCI, .revision = 0x00 } };
static const LsiModel model_a = {
    LSI810_MODEL,
    .load_store = true,
    .pci = { LSI810_PCI, .revision = 0x12 },
};

static bool realize(Device *dev, GError **errp)
{
    return lsi_realize(dev, &model, errp);
}

static bool realize_a(Device *dev, GError **errp)
{
    return lsi_realize(dev, &model_a, errp);
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

const DeviceType lsi53c810a_type = {
    .name = "lsi53c810a",
    .desc = "LSI 53C810A SCSI host adapter",
    .bus_kind = BUS_PCI,
    .child_kind = BUS_SCSI,
    .props = lsi_props,
    .size = sizeof(Lsi),
    .realize = realize_a,
    .unrealize = lsi_unrealize,
};
