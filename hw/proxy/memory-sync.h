/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's RAM, told to a remote: a listener on the memory map. On the board's thread
 * (the main thread before that runs).
 */
#ifndef HW_PROXY_MEMORY_SYNC_H
#define HW_PROXY_MEMORY_SYNC_H

#include "hw/core/memory-map.h"
#include "proxy-client.h"

typedef struct MemorySync {
    ProxyClient *client;
    MemoryListener listener;
    GArray *regions; /* SyncRegion: what the remote has, or shall get when it is there */
} MemorySync;

/* Sends the map as it is now, and each change from now on. map NULL: there is none, and nothing is
 * sent. */
void memory_sync_init(MemorySync *sync, ProxyClient *client, MemoryMap *map);
/* No-op on one that was only zeroed. */
void memory_sync_fini(MemorySync *sync);
/* To a remote that has just been connected. False: the connection was lost over it. */
bool memory_sync_again(MemorySync *sync);

#endif
