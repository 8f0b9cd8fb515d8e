/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA_MAP and DMA_UNMAP: the client's RAM, section by section.
 *
 * A map with a descriptor is guest memory, mapped read-only if the client says so. One without is
 * remembered and nothing more: RAM that is not shared, ROM, or a BAR of another device. The
 * protocol has messages to read and write it, but the client that is common today serves them in
 * the loop that waits for our answers, so the device gets a bus fault there, and the operator one
 * line with the remedy. A region for which no descriptor can come, since it is read-only, is none
 * of the operator's business.
 *
 * Unmaps name a map exactly, or all of them. The answer comes when nothing is in flight to it any
 * more and it is unmapped; if that takes too long, ETIMEDOUT, and the mapping goes when it can. It
 * is out of the device's reach at once in both cases.
 *
 * The number of maps is bounded, as each is a mapping of this process, which other clients share.
 */
#include "remote/vfio-user-internal.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static VfuDma *dma_at(const VfioUserServer *server, unsigned i)
{
    return &g_array_index(server->dma, VfuDma, i);
}

/* The first map that ends at or behind iova. */
static unsigned dma_find(const VfioUserServer *server, uint64_t iova)
{
    unsigned lo = 0, hi = server->dma->len;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        const VfuDma *dma = dma_at(server, mid);

        if (dma->iova + (dma->size - 1) < iova) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* --- DMA_MAP --- */

static int map_check(const VfioUserServer *server, const VfuDmaMap *map, unsigned fds)
{
    if (map->argsz < sizeof(*map) || fds > 1 || map->size == 0 ||
        map->size - 1 > UINT64_MAX - map->iova) {
        return -EINVAL;
    }
    if (map->flags == 0 || (map->flags & ~(VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE))) {
        return -EINVAL;
    }
    return server->dma->len < VFU_MAX_DMA_MAPS ? 0 : -ENOSPC;
}

static void say_unshared(VfioUserServer *server, const VfuDmaMap *map)
{
    if (server->said_unshared || !(map->flags & VFU_DMA_MAP_WRITE)) {
        return;
    }
    server->said_unshared = true;
    log_line(server->m->name,
             "the RAM at 0x%" PRIx64 " is not shared, the device can't reach it: "
             "give the VM a memory backend with share=on",
             map->iova);
}

int vfu_do_dma_map(VfioUserServer *server, const VfuRequest *req)
{
    VfuDmaMap map;
    unsigned at;
    int ret;

    memcpy(&map, req->payload, sizeof(map));
    ret = map_check(server, &map, req->fds->n);
    if (ret < 0) {
        return ret;
    }
    at = dma_find(server, map.iova);
    if (at < server->dma->len && dma_at(server, at)->iova <= map.iova + (map.size - 1)) {
        return -EEXIST;
    }
    VfuDma dma = { .iova = map.iova, .size = map.size, .mapped = req->fds->n > 0 };
    if (dma.mapped) {
        const GuestMap entry = {
            .gpa = map.iova,
            .size = map.size,
            .offset = map.offset,
            .fd = req->fds->fd[0],
            .readonly = !(map.flags & VFU_DMA_MAP_WRITE),
        };
        if (!machine_mem_map(server->m, &entry)) {
            return -EINVAL;
        }
    } else {
        say_unshared(server, &map);
    }
    g_array_insert_val(server->dma, at, dma);
    return 0;
}

/* --- DMA_UNMAP --- */

static void unmap_one(VfuWait *wait, const VfuDma *dma)
{
    RemoteMachine *m = wait->server->m;

    if (!dma->mapped || machine_mem_unmap(m, dma->iova, dma->size, vfu_wait_event, wait) < 0) {
        vfu_wait_event(wait);
    }
}

static int unmap_range(VfioUserServer *server, const VfuRequest *req, const VfuDmaUnmap *unmap,
                       unsigned at, unsigned n)
{
    /* Copied: an event may answer, and let the next request in. */
    g_autofree VfuDma *gone = g_memdup2(dma_at(server, at), n * sizeof(VfuDma));
    VfuWait *wait = vfu_wait_new(server, req, unmap, n);

    g_array_remove_range(server->dma, at, n);
    for (unsigned i = 0; i < n; i++) {
        unmap_one(wait, &gone[i]);
    }
    return VFU_LATER;
}

int vfu_do_dma_unmap(VfioUserServer *server, const VfuRequest *req)
{
    VfuDmaUnmap unmap;
    unsigned at;

    memcpy(&unmap, req->payload, sizeof(unmap));
    if (unmap.argsz < sizeof(unmap) || (unmap.flags & ~VFU_DMA_UNMAP_ALL)) {
        return -EINVAL;
    }
    if (unmap.flags & VFU_DMA_UNMAP_ALL) {
        if (unmap.iova || unmap.size) {
            return -EINVAL;
        }
        if (server->dma->len > 0) {
            return unmap_range(server, req, &unmap, 0, server->dma->len);
        }
        memcpy(vfu_answer(server, sizeof(unmap)), &unmap, sizeof(unmap));
        return 0;
    }
    at = dma_find(server, unmap.iova);
    if (at == server->dma->len || dma_at(server, at)->iova != unmap.iova ||
        dma_at(server, at)->size != unmap.size) {
        return -ENOENT;
    }
    return unmap_range(server, req, &unmap, at, 1);
}
