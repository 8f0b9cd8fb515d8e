/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory-sync: keeps a remote's idea of guest memory like the board's. Each commit that changes
 * anything of it is told: RAM that has a file, neighbours in the guest that are neighbours in the
 * same file as one region. A device can't write ROM and can't reach MMIO or RAM of this process
 * alone, so they are left out. Whether the remote gets all of it anew or what has changed is the
 * protocol's affair.
 *
 * A guest's boot commits some dozens of times, mostly changes of no RAM: BARs that move, windows
 * that open. A map equal to the one sent last isn't sent again. Equal is told by the file, not by
 * the descriptor's number, which a new file may have been given.
 *
 * mpqemu's message holds eight regions. A map of more isn't sent, nor is a part of it: a remote
 * that lacks a region reports bus errors to a guest that did nothing wrong, and so does one whose
 * map is the one before, so the log says it. An empty map can't be expressed there at all (the
 * remote takes one to eight descriptors), and a board without RAM leaves its remote with none from
 * the start; so it isn't told in either protocol.
 */
#include "memory-sync.h"
#include "util/log.h"
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

/* 0 and 0 where the kernel can't tell, which then is equal to none. */
static void identify(SyncRegion *region)
{
    struct stat st;

    if (fstat(region->fd, &st) == 0) {
        region->dev = st.st_dev;
        region->ino = st.st_ino;
    }
}

static GArray *collect(const MemorySection *flat, unsigned n_flat)
{
    GArray *regions = g_array_new(FALSE, FALSE, sizeof(SyncRegion));

    for (unsigned i = 0; i < n_flat; i++) {
        const MemorySection *section = &flat[i];
        SyncRegion *last =
            regions->len > 0 ? &g_array_index(regions, SyncRegion, regions->len - 1) : NULL;
        if (!is_shared_ram(section)) {
            continue;
        }
        if (last && continues(last, section)) {
            last->size += section->size;
        } else {
            SyncRegion region = { .gpa = section->addr,
                                  .size = section->size,
                                  .offset = section->fd_offset,
                                  .fd = section->fd };
            identify(&region);
            g_array_append_val(regions, region);
        }
    }
    return regions;
}

static bool same(const GArray *a, const GArray *b)
{
    if (a->len != b->len) {
        return false;
    }
    for (unsigned i = 0; i < a->len; i++) {
        if (!sync_region_same(&g_array_index(a, SyncRegion, i), &g_array_index(b, SyncRegion, i))) {
            return false;
        }
    }
    return true;
}

static bool send_change(MemorySync *sync, const GArray *old)
{
    const SyncRegion *had = old ? (const SyncRegion *)old->data : NULL;

    return sync->regions->len == 0 ||
           sync->client->ops->memory(sync->client, had, old ? old->len : 0,
                                     (SyncRegion *)sync->regions->data, sync->regions->len);
}

bool memory_sync_again(MemorySync *sync)
{
    return send_change(sync, NULL);
}

static void on_commit(void *opaque, const MemorySection *flat, unsigned n_flat)
{
    MemorySync *sync = opaque;
    const ProxyLink *link = &sync->client->link;
    unsigned max = sync->client->ops->max_regions;
    g_autoptr(GArray) regions = collect(flat, n_flat);
    g_autoptr(GArray) old = NULL;

    if (regions->len > max) {
        log_line(link->name,
                 "guest memory has %u regions, and a remote takes %u: its map stays as it was",
                 regions->len, max);
        return;
    }
    if (regions->len == 0) {
        if (sync->regions->len > 0) {
            log_line(link->name, "no guest memory is left: the remote's map stays as it was");
        }
        return;
    }
    if (same(regions, sync->regions)) {
        return;
    }
    old = sync->regions;
    sync->regions = g_steal_pointer(&regions);
    if (proxy_link_is_open(link)) {
        send_change(sync, old);
    }
}

void memory_sync_init(MemorySync *sync, ProxyClient *client, MemoryMap *map)
{
    *sync = (MemorySync){ .client = client };
    sync->regions = g_array_new(FALSE, FALSE, sizeof(SyncRegion));
    if (map) {
        memory_map_listen(map, &sync->listener, on_commit, sync);
    }
}

void memory_sync_fini(MemorySync *sync)
{
    if (sync->listener.prev) {
        memory_map_unlisten(&sync->listener);
    }
    g_clear_pointer(&sync->regions, g_array_unref);
}
