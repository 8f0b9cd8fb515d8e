/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MSI-X capability (PCI Local Bus 3.0, 6.8.2): a table of address, data and vector control per
 * vector, and pending bits, both in a BAR. A vector is masked by its own control bit or by the
 * function mask; raised while masked, it is pending and goes out at the unmask.
 *
 * Some clients keep the table to themselves and forward only config space (QEMU does); then every
 * entry here stays masked although the guest has unmasked it. A host of that kind says so
 * (PciHost.owns_msix_table), and the vector controls are not looked at.
 */
#include "hw/pci/msi.h"
#include "pci-bytes.h"

#include <string.h>

#define MSIX_CAP_ID 0x11
#define MSIX_CAP_SIZE 12
#define MSIX_CONTROL 2
#define MSIX_TABLE 4
#define MSIX_PBA 8
#define MSIX_CONTROL_ENABLE 0x80 /* of the upper byte */
#define MSIX_CONTROL_FMASK 0x40
#define MSIX_ENTRY_CONTROL 12
#define MSIX_ENTRY_MASKED 0x01

static size_t pba_bytes(const PciMsix *msix)
{
    return (msix->n + 63) / 64 * sizeof(uint64_t);
}

void pci_msix_init(PciMsix *msix, PciDev *pci, uint8_t offset, unsigned n, unsigned bar,
                   uint32_t table, uint32_t pba)
{
    uint8_t *config = pci->config + offset;

    g_assert(n >= 1 && n <= PCI_MSIX_MAX && bar < PCI_NUM_BARS && !((table | pba) & 7));
    *msix = (PciMsix){ .pci = pci, .cap = offset, .n = n, .table = table, .pba = pba };
    msix->entries = g_malloc0(n * PCI_MSIX_ENTRY);
    msix->pending = g_malloc0(pba_bytes(msix));
    pci_msix_reset(msix);
    pci_add_capability(pci, MSIX_CAP_ID, offset, MSIX_CAP_SIZE);
    pci_cap_needs_messages(pci, offset);
    put16(config + MSIX_CONTROL, n - 1);
    pci->wmask[offset + MSIX_CONTROL + 1] = MSIX_CONTROL_ENABLE | MSIX_CONTROL_FMASK;
    put32(config + MSIX_TABLE, table | bar);
    put32(config + MSIX_PBA, pba | bar);
}

void pci_msix_fini(PciMsix *msix)
{
    g_clear_pointer(&msix->entries, g_free);
    g_clear_pointer(&msix->pending, g_free);
}

void pci_msix_reset(PciMsix *msix)
{
    memset(msix->entries, 0, msix->n * PCI_MSIX_ENTRY);
    memset(msix->pending, 0, pba_bytes(msix));
    for (unsigned i = 0; i < msix->n; i++) {
        msix->entries[i * PCI_MSIX_ENTRY + MSIX_ENTRY_CONTROL] = MSIX_ENTRY_MASKED;
    }
}

bool pci_msix_enabled(const PciMsix *msix)
{
    return msix->pci->host && msix->pci->host->ops->signal &&
           (msix->pci->config[msix->cap + MSIX_CONTROL + 1] & MSIX_CONTROL_ENABLE);
}

static bool is_masked(const PciMsix *msix, unsigned vector)
{
    if (msix->pci->config[msix->cap + MSIX_CONTROL + 1] & MSIX_CONTROL_FMASK) {
        return true;
    }
    return !msix->pci->host->owns_msix_table &&
           (msix->entries[vector * PCI_MSIX_ENTRY + MSIX_ENTRY_CONTROL] & MSIX_ENTRY_MASKED);
}

void pci_msix_notify(PciMsix *msix, unsigned vector)
{
    uint64_t bit = UINT64_C(1) << (vector % 64);

    if (vector >= msix->n || !pci_msix_enabled(msix)) {
        return;
    }
    if (is_masked(msix, vector)) {
        msix->pending[vector / 64] |= bit;
        return;
    }
    msix->pending[vector / 64] &= ~bit;
    msix->pci->host->ops->signal(msix->pci->host->opaque, msix->pci, true, vector);
}

void pci_msix_written(PciMsix *msix)
{
    for (unsigned vector = 0; vector < msix->n; vector++) {
        if (msix->pending[vector / 64] >> (vector % 64) & 1) {
            pci_msix_notify(msix, vector);
        }
    }
}

/* The bytes behind off, or NULL if it is neither in the table nor in the pending bits. */
static uint8_t *bar_bytes(PciMsix *msix, uint64_t off, unsigned size, bool *table)
{
    *table = off >= msix->table && off - msix->table < (uint64_t)msix->n * PCI_MSIX_ENTRY;
    if (*table && off - msix->table + size <= (uint64_t)msix->n * PCI_MSIX_ENTRY) {
        return msix->entries + (off - msix->table);
    }
    if (off >= msix->pba && off - msix->pba + size <= pba_bytes(msix)) {
        return (uint8_t *)msix->pending + (off - msix->pba);
    }
    return NULL;
}

bool pci_msix_bar_read(PciMsix *msix, uint64_t off, unsigned size, uint64_t *value)
{
    bool table;
    const uint8_t *bytes = bar_bytes(msix, off, size, &table);

    *value = 0;
    if (bytes && size >= 4) {
        memcpy(value, bytes, size);
    }
    return bytes;
}

bool pci_msix_bar_write(PciMsix *msix, uint64_t off, uint64_t value, unsigned size)
{
    bool table;
    uint8_t *bytes = bar_bytes(msix, off, size, &table);

    if (!bytes || !table || size < 4) {
        return bytes; /* the pending bits are read-only */
    }
    memcpy(bytes, &value, size);
    pci_msix_written(msix);
    return true;
}
