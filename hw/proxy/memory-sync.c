/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory-sync: keeps a remote's idea of guest memory like the board's. SYNC_SYSMEM replaces the
 * whole map, so each commit that changes anything of it sends one message with all of it: RAM that
 * has a file, neighbours in the guest that are neighbours in the same file as one region. A device
 * can't write ROM and can't reach MMIO or RAM of this process alone, so they are left out.
 *
 * A guest's boot commits some dozens of times, mostly changes of no RAM: BARs that move, windows
 * that open. A map equal to the one sent last isn't sent again. Equal is told by the file, not by
 * the descriptor's number, which a new file may have been given.
 *
 * The message holds eight regions. A map of more isn't sent, nor is a part of it: a remote that
 * lacks a region reports bus errors to a guest that did nothing wrong, and so does one whose map
 * is the one before, so the log says it. An empty map can't be expressed at all (the remote takes
 * one to eight descriptors); a board without RAM leaves its remote with none from the start.
 */
#include "memory-sync.h"
#include "util/log.h"
#include "util/trace.h"
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static bool is_shared_ram(const MemorySection *section)
{
    return section->kind == MEMORY_RAM && section->fd >= 0;
}

static bool continues(const SyncRegion *region, const MemorySection *section)
{
    return region->fd == section->fd && region->gpa + region->size == section->addr &&
           region->offset + region->size == section->fd_offset;
}

/* The regions of the map; more than fit are counted only. */
static unsigned collect(const MemorySection *flat, unsigned n_flat, SyncRegion *region)
{
    SyncRegion last = { .fd = -1 };
    unsigned n = 0;

    for (const MemorySection *section = flat; section < flat + n_flat; section++) {
        if (!is_shared_ram(section)) {
            continue;
        }
        if (n > 0 && continues(&last, section)) {
            last.size += section->size;
        } else {
            last = (SyncRegion){ .gpa = section->addr,
                                 .size = section->size,
                                 .offset = section->fd_offset,
                                 .fd = section->fd };
            n++;
        }
        if (n <= MPQ_MAX_REGIONS) {
            region[n - 1] = last;
        }
    }
    return n;
}

/* 0 and 0 where the kernel can't tell, which then is equal to none. */
static void identify(SyncRegion *region, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct stat st;

        if (fstat(region[i].fd, &st) == 0) {
            region[i].dev = st.st_dev;
            region[i].ino = st.st_ino;
        }
    }
}

static bool same(const SyncRegion *a, const SyncRegion *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (a[i].gpa != b[i].gpa || a[i].size != b[i].size || a[i].offset != b[i].offset ||
            a[i].dev != b[i].dev || a[i].ino != b[i].ino || a[i].ino == 0) {
            return false;
        }
    }
    return true;
}

bool memory_sync_again(MemorySync *sync)
{
    int fds[MPQ_MAX_REGIONS];
    MpqSysmem map = { 0 };

    for (unsigned i = 0; i < sync->n; i++) {
        const SyncRegion *region = &sync->region[i];

        map.gpa[i] = region->gpa;
        map.size[i] = region->size;
        map.offset[i] = region->offset;
        fds[i] = region->fd;
        trace(MEM, "%s: 0x%" PRIx64 " + 0x%" PRIx64 " is at 0x%" PRIx64, sync->link->name,
              region->gpa, region->size, region->offset);
    }
    return sync->n == 0 ||
           proxy_link_post(sync->link, MPQ_SYNC_SYSMEM, &map, sizeof(map), fds, sync->n);
}

static void on_commit(void *opaque, const MemorySection *flat, unsigned n_flat)
{
    MemorySync *sync = opaque;
    SyncRegion region[MPQ_MAX_REGIONS] = { 0 };
    unsigned n = collect(flat, n_flat, region);

    if (n > MPQ_MAX_REGIONS) {
        log_line(sync->link->name,
                 "guest memory has %u regions, and a remote takes %d: its map stays as it was", n,
                 MPQ_MAX_REGIONS);
        return;
    }
    if (n == 0) {
        if (sync->n > 0) {
            log_line(sync->link->name, "no guest memory is left: the remote's map stays as it was");
        }
        return;
    }
    identify(region, n);
    if (n == sync->n && same(region, sync->region, n)) {
        return;
    }
    memcpy(sync->region, region, sizeof(region));
    sync->n = n;
    if (proxy_link_is_open(sync->link)) {
        memory_sync_again(sync);
    }
}

void memory_sync_init(MemorySync *sync, ProxyLink *link, MemoryMap *map)
{
    *sync = (MemorySync){ .link = link };
    if (map) {
        memory_map_listen(map, &sync->listener, on_commit, sync);
    }
}

void memory_sync_fini(MemorySync *sync)
{
    if (sync->listener.prev) {
        memory_map_unlisten(&sync->listener);
    }
}
