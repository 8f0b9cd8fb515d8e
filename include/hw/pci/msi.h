/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Message-signalled interrupts of a PCI function: the MSI and MSI-X capabilities (PCI Local Bus
 * 3.0, 6.8). A function embeds PciMsi or PciMsix and asks for vectors by number; where the message
 * goes is the host's business (PciHostOps.signal), so address and data are kept for the guest and
 * not looked at.
 *
 * A host that can't deliver messages (mpqemu has none) has no signal: the capability is then
 * hidden from the guest, and the function uses INTA#.
 *
 * On the machine's thread but for init, which belongs to the type's realize.
 */
#ifndef HW_PCI_MSI_H
#define HW_PCI_MSI_H

#include "hw/pci/pci.h"

#define PCI_MSI_MAX 32
#define PCI_MSIX_MAX 2048
#define PCI_MSIX_ENTRY 16 /* bytes */

typedef struct PciMsi {
    PciDev *pci;
    uint8_t cap; /* offset in config space */
    uint8_t max; /* vectors that the function can have, a power of two */
} PciMsi;

typedef struct PciMsix {
    PciDev *pci;
    uint8_t cap;
    uint16_t n; /* vectors */
    uint32_t table, pba; /* offsets in the BAR */
    uint8_t *entries;    /* n * PCI_MSIX_ENTRY */
    uint64_t *pending;
} PciMsix;

/* Adds a 64-bit capability with per-vector masking (24 bytes) at offset. n: power of two up to
 * PCI_MSI_MAX. */
void pci_msi_init(PciMsi *msi, PciDev *pci, uint8_t offset, unsigned n);
bool pci_msi_enabled(const PciMsi *msi);
/* Raises a vector: goes out now, or is pending while masked. With fewer messages enabled than the
 * function has, vectors share them (6.8.3.4). Nothing happens while MSI is disabled. */
void pci_msi_notify(PciMsi *msi, unsigned vector);
/* From the function's cfg_write: sends what was pending and is no longer masked. */
void pci_msi_written(PciMsi *msi);

/* Adds the capability (12 bytes) at offset; table and pending bits are in BAR bar at these offsets,
 * multiples of 8. pci_msix_fini() in unrealize. */
void pci_msix_init(PciMsix *msix, PciDev *pci, uint8_t offset, unsigned n, unsigned bar,
                   uint32_t table, uint32_t pba);
void pci_msix_fini(PciMsix *msix);
bool pci_msix_enabled(const PciMsix *msix);
void pci_msix_notify(PciMsix *msix, unsigned vector);
void pci_msix_written(PciMsix *msix);
/* In the function's reset: all entries masked, nothing pending. */
void pci_msix_reset(PciMsix *msix);
/* From the BAR's functions: true if off is in the table or the pending bits, which then is served
 * here. size 4 or 8 as the specification wants it; others read 0 and are dropped. */
bool pci_msix_bar_read(PciMsix *msix, uint64_t off, unsigned size, uint64_t *value);
bool pci_msix_bar_write(PciMsix *msix, uint64_t off, uint64_t value, unsigned size);

#endif
