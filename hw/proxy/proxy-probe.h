/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a proxy asks its remote once: who it is, and which BARs it has. On the main thread. */
#ifndef HW_PROXY_PROXY_PROBE_H
#define HW_PROXY_PROXY_PROBE_H

#include "proxy-client.h"

/* The error of a request that has failed. False. */
bool proxy_no_answer(const ProxyClient *client, GError **errp);
/* Ids, class and subsystem into pci->config. */
bool proxy_probe_ids(ProxyClient *client, PciDev *pci, GError **errp);
/* kind, size, min and max of PCI_NUM_BARS BARs; the remote's are as before afterwards. */
bool proxy_probe_bars(ProxyClient *client, PciBar *bars, GError **errp);

#endif
