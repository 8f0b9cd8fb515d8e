/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a proxy asks its remote once: who it is, and which BARs it has. On the main thread. */
#ifndef HW_PROXY_PROXY_PROBE_H
#define HW_PROXY_PROXY_PROBE_H

#include "hw/pci/pci.h"
#include "proxy-link.h"

/* Ids, class and subsystem into pci->config. */
bool proxy_probe_ids(ProxyLink *link, PciDev *pci, GError **errp);
/* kind, size, min and max of PCI_NUM_BARS BARs; the remote's are as before afterwards. */
bool proxy_probe_bars(ProxyLink *link, PciBar *bars, GError **errp);

#endif
