/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MSI capability (PCI Local Bus 3.0, 6.8.1): message control, 64-bit address, data, mask bits,
 * pending bits. All of its state is in config space; the guest writes control, address, data and
 * masks, the pending bits follow from notifications.
 */
#include "hw/pci/msi.h"
#include "pci-bytes.h"

#define MSI_CAP_ID 0x05
#define MSI_CAP_SIZE 24
#define MSI_CONTROL 2
#define MSI_ADDRESS 4
#define MSI_DATA 12
#define MSI_MASK 16
#define MSI_PENDING 20
#define MSI_CONTROL_ENABLE 0x01
#define MSI_CONTROL_MMC_SHIFT 1 /* multiple message capable */
#define MSI_CONTROL_MME_SHIFT 4 /* multiple message enable */
#define MSI_CONTROL_64BIT 0x80
#define MSI_CONTROL_MASKING 0x01 /* of the upper byte */

void pci_msi_init(PciMsi *msi, PciDev *pci, uint8_t offset, unsigned n)
{
    uint8_t *config = pci->config + offset, *wmask = pci->wmask + offset;

    g_assert(n >= 1 && n <= PCI_MSI_MAX && (n & (n - 1)) == 0);
    *msi = (PciMsi){ .pci = pci, .cap = offset, .max = n };
    pci_add_capability(pci, MSI_CAP_ID, offset, MSI_CAP_SIZE);
    pci_cap_needs_messages(pci, offset);
    config[MSI_CONTROL] = MSI_CONTROL_64BIT | g_bit_nth_lsf(n, -1) << MSI_CONTROL_MMC_SHIFT;
    config[MSI_CONTROL + 1] = MSI_CONTROL_MASKING;
    wmask[MSI_CONTROL] = MSI_CONTROL_ENABLE | 7 << MSI_CONTROL_MME_SHIFT;
    put32(wmask + MSI_ADDRESS, 0xfffffffc);
    put32(wmask + MSI_ADDRESS + 4, 0xffffffff);
    put32(wmask + MSI_DATA, 0xffff);
    put32(wmask + MSI_MASK, n == 32 ? UINT32_MAX : (1u << n) - 1);
}

bool pci_msi_enabled(const PciMsi *msi)
{
    return msi->pci->host && msi->pci->host->ops->signal &&
           (msi->pci->config[msi->cap + MSI_CONTROL] & MSI_CONTROL_ENABLE);
}

/* Messages that the guest has given; it may write more than there are. */
static unsigned enabled_messages(const PciMsi *msi)
{
    unsigned log2 = msi->pci->config[msi->cap + MSI_CONTROL] >> MSI_CONTROL_MME_SHIFT & 7;

    return MIN(1u << log2, msi->max);
}

void pci_msi_notify(PciMsi *msi, unsigned vector)
{
    uint8_t *config = msi->pci->config + msi->cap;
    uint32_t bit;

    if (!pci_msi_enabled(msi)) {
        return;
    }
    vector %= enabled_messages(msi);
    bit = 1u << vector;
    if (get32(config + MSI_MASK) & bit) {
        put32(config + MSI_PENDING, get32(config + MSI_PENDING) | bit);
    } else {
        msi->pci->host->ops->signal(msi->pci->host->opaque, msi->pci, false, vector);
    }
}

void pci_msi_written(PciMsi *msi)
{
    uint8_t *config = msi->pci->config + msi->cap;
    uint32_t due = get32(config + MSI_PENDING) & ~get32(config + MSI_MASK);

    if (!pci_msi_enabled(msi)) {
        put32(config + MSI_PENDING, 0);
        return;
    }
    put32(config + MSI_PENDING, get32(config + MSI_PENDING) & ~due);
    for (unsigned vector = 0; due; vector++, due >>= 1) {
        if (due & 1) {
            pci_msi_notify(msi, vector);
        }
    }
}
