/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PCI function for tests, in the `test` profile only: its registers, and the registry's line. */
#ifndef HW_MISC_PCI_TESTDEV_H
#define HW_MISC_PCI_TESTDEV_H

#include "hw/core/device.h"

/* BAR 0, 4 KiB of memory, dword registers. */
enum {
    TESTDEV_ID = 0x00,        /* "TDEV", read-only */
    TESTDEV_INTX = 0x04,      /* bit 0: level of INTA# */
    TESTDEV_MSI = 0x08,       /* write: raise this MSI vector */
    TESTDEV_MSIX = 0x0c,      /* write: raise this MSI-X vector */
    TESTDEV_DMA_LO = 0x10,    /* address of the DMA below */
    TESTDEV_DMA_HI = 0x14,
    TESTDEV_DMA_DATA = 0x18,  /* write: store a dword there; read: load it */
    TESTDEV_DMA_ERROR = 0x1c, /* errno of the last DMA */
    TESTDEV_COUNT = 0x20,     /* write: add to it, as deferred work; read */
    TESTDEV_SCRATCH = 0x24,
};
/* BAR 1, 4 KiB of memory: the MSI-X table at 0, its pending bits at 0x800. */
#define TESTDEV_BAR_SIZE 4096
#define TESTDEV_PBA 0x800
#define TESTDEV_VECTORS 8 /* of MSI and of MSI-X */
#define TESTDEV_ID_VALUE 0x56454454u

extern const DeviceType pci_testdev_type; /* x-pci-testdev */

#endif
