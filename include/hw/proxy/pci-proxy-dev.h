/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The proxy object: a PCI device whose other half is a remote process. What the registry needs. */
#ifndef HW_PROXY_PCI_PROXY_DEV_H
#define HW_PROXY_PCI_PROXY_DEV_H

#include "hw/core/device.h"

extern const DeviceType pci_proxy_dev_type; /* x-pci-proxy-dev, alias pci-proxy-dev */

#endif
