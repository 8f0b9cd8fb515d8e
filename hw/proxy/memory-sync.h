/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's RAM, told to a remote: a listener on the memory map that sends SYNC_SYSMEM. On the
 * board's thread (the main thread before that runs).
 */
#ifndef HW_PROXY_MEMORY_SYNC_H
#define HW_PROXY_MEMORY_SYNC_H

#include "hw/core/memory-map.h"
#include "proxy-link.h"
#include <sys/types.h>

typedef struct SyncRegion {
    uint64_t gpa, size, offset;
    int fd; /* the board's */
    dev_t dev;
    ino_t ino;
} SyncRegion;

typedef struct MemorySync {
    ProxyLink *link;
    MemoryListener listener;
    SyncRegion region[MPQ_MAX_REGIONS]; /* what the remote has, or shall get when it is there */
    unsigned n;                         /* 0: nothing was sent yet */
} MemorySync;

/* Sends the map as it is now, and each change from now on. map NULL: there is none, and nothing is
 * sent. */
void memory_sync_init(MemorySync *sync, ProxyLink *link, MemoryMap *map);
/* No-op on one that was only zeroed. */
void memory_sync_fini(MemorySync *sync);
/* To a remote that has just been connected. False: the connection was lost over it. */
bool memory_sync_again(MemorySync *sync);

#endif
