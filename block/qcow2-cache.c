/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * L2 tables and refcount blocks in memory, in slices of a few KiB, so that a random read of a large
 * image costs one small read of metadata and not a cluster's worth. A slice is read when somebody
 * asks for it; who does while it is being read waits for the same read. When the last of them gives
 * up, the read is cancelled; who comes before that is over asks anew.
 *
 * Memory: slices that are clean and idle are forgotten, the one used longest ago first, when there
 * are more than `max`. Dirty ones stay until they are written back, which the driver does when
 * qcow2_cache_full() says so, besides at each flush; as many requests as are in flight, so many
 * slices can be there beyond `max` for a while. Whatever an image's header claims, nothing else
 * grows with it.
 *
 * Order among writes is not decided here: qcow2-sync.c calls qcow2_cache_write() at the right time,
 * when nobody changes a slice. Slices are kept as they are in the file, big endian.
 */
#include "qcow2-internal.h"
#include <errno.h>

#define SLICES_MIN 16

void qcow2_cache_init(Qcow2Cache *cache, BlockNode *file, uint32_t slice_bytes, uint64_t bytes)
{
    *cache = (Qcow2Cache){
        .file = file,
        .slice_bytes = slice_bytes,
        .max = MAX(SLICES_MIN, MIN(bytes / slice_bytes, UINT32_MAX)),
        .slices = g_hash_table_new(g_int64_hash, g_int64_equal),
    };
}

static void list_remove(Qcow2Slice *slice)
{
    Qcow2Cache *cache = slice->cache;

    *(slice->newer ? &slice->newer->older : &cache->newest) = slice->older;
    *(slice->older ? &slice->older->newer : &cache->oldest) = slice->newer;
}

static void list_add(Qcow2Slice *slice)
{
    Qcow2Cache *cache = slice->cache;

    slice->newer = NULL;
    slice->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = slice;
    cache->newest = slice;
}

static void slice_free(Qcow2Slice *slice)
{
    g_assert(!slice->loading && !slice->writing && !slice->waiters);
    if (slice->dirty) {
        slice->cache->n_dirty--;
    }
    g_hash_table_remove(slice->cache->slices, &slice->offset);
    list_remove(slice);
    g_free(slice->data);
    g_free(slice);
}

void qcow2_cache_fini(Qcow2Cache *cache)
{
    while (cache->oldest) {
        slice_free(cache->oldest);
    }
    g_clear_pointer(&cache->slices, g_hash_table_unref);
}

static bool can_go(const Qcow2Slice *slice)
{
    return !slice->loading && !slice->writing && !slice->dirty;
}

/* Down to max, as far as slices can go; not the one that is about to be used. */
static void trim(Qcow2Cache *cache)
{
    Qcow2Slice *slice = cache->oldest;

    while (g_hash_table_size(cache->slices) > cache->max && slice != cache->newest) {
        Qcow2Slice *newer = slice->newer;

        if (can_go(slice)) {
            slice_free(slice);
        }
        slice = newer;
    }
}

bool qcow2_cache_full(const Qcow2Cache *cache)
{
    return cache->n_dirty >= cache->max;
}

static void wake(Qcow2Slice *slice, int res)
{
    Qcow2Wait *wait = g_steal_pointer(&slice->waiters);
    int others = slice->unwanted && res == -ECANCELED ? 0 : res; /* they try again */

    if (res < 0) {
        slice_free(slice);
    }
    while (wait) {
        Qcow2Wait *next = wait->next;

        wait->slice = NULL;
        wait->fn(wait, wait->given_up ? -ECANCELED : others);
        wait = next;
    }
}

static void loaded(BlockReq *req)
{
    Qcow2Slice *slice = (Qcow2Slice *)req;

    slice->loading = false;
    wake(slice, req->res);
}

static void add_waiter(Qcow2Slice *slice, Qcow2Wait *wait)
{
    wait->slice = slice;
    wait->next = slice->waiters;
    slice->waiters = wait;
}

static void load(Qcow2Cache *cache, uint64_t offset, Qcow2Wait *wait)
{
    Qcow2Slice *slice = g_new0(Qcow2Slice, 1);

    slice->cache = cache;
    slice->offset = offset;
    slice->data = g_malloc(cache->slice_bytes);
    slice->loading = true;
    add_waiter(slice, wait);
    g_hash_table_insert(cache->slices, &slice->offset, slice);
    list_add(slice);
    trim(cache);
    slice->iov = (struct iovec){ .iov_base = slice->data, .iov_len = cache->slice_bytes };
    slice->io = (BlockReq){
        .op = BLOCK_READ,
        .offset = offset,
        .bytes = cache->slice_bytes,
        .iov = &slice->iov,
        .niov = 1,
        .done = loaded,
    };
    block_submit(cache->file, &slice->io);
}

int qcow2_cache_get(Qcow2Cache *cache, uint64_t offset, Qcow2Wait *wait, Qcow2Slice **found)
{
    Qcow2Slice *slice = g_hash_table_lookup(cache->slices, &offset);

    if ((!slice || slice->loading) && wait->given_up) {
        return -ECANCELED;
    }
    if (!slice) {
        load(cache, offset, wait);
        return QCOW2_PENDING;
    }
    if (slice->loading) {
        add_waiter(slice, wait);
        return QCOW2_PENDING;
    }
    if (slice != cache->newest) {
        list_remove(slice);
        list_add(slice);
    }
    *found = slice;
    return 0;
}

void qcow2_cache_give_up(Qcow2Wait *wait)
{
    Qcow2Slice *slice = wait->slice;
    Qcow2Wait **link;

    wait->given_up = true;
    if (!slice) {
        return;
    }
    if (slice->waiters == wait && !wait->next) {
        slice->unwanted = true;
        block_cancel(&slice->io);
        return;
    }
    for (link = &slice->waiters; *link != wait;) {
        link = &(*link)->next;
    }
    *link = wait->next;
    wait->slice = NULL;
    wait->fn(wait, -ECANCELED);
}

void qcow2_cache_dirty(Qcow2Slice *slice)
{
    g_assert(!slice->writing);
    if (!slice->dirty) {
        slice->dirty = true;
        slice->cache->n_dirty++;
    }
}

void qcow2_cache_forget(Qcow2Cache *cache, uint64_t start, uint64_t bytes)
{
    for (uint64_t at = start; at < start + bytes; at += cache->slice_bytes) {
        Qcow2Slice *slice = g_hash_table_lookup(cache->slices, &at);

        if (slice && !slice->loading && !slice->writing) {
            slice_free(slice);
        }
    }
}

static void slice_written(BlockReq *req)
{
    Qcow2Slice *slice = (Qcow2Slice *)req;
    Qcow2Cache *cache = slice->cache;

    slice->writing = false;
    if (req->res < 0) {
        cache->write_res = req->res;
    } else {
        slice->dirty = false;
        cache->n_dirty--;
    }
    if (--cache->n_writing == 0) {
        trim(cache);
        cache->written(cache->opaque, cache->write_res);
    }
}

static void slice_write(Qcow2Slice *slice)
{
    slice->writing = true;
    slice->cache->n_writing++;
    slice->io = (BlockReq){
        .op = BLOCK_WRITE,
        .flags = BLOCK_GROW,
        .offset = slice->offset,
        .bytes = slice->cache->slice_bytes,
        .iov = &slice->iov,
        .niov = 1,
        .done = slice_written,
    };
    block_submit(slice->cache->file, &slice->io);
}

void qcow2_cache_write(Qcow2Cache *cache, void (*written)(void *opaque, int res), void *opaque)
{
    g_assert(!cache->n_writing && cache->n_dirty);
    cache->written = written;
    cache->opaque = opaque;
    cache->write_res = 0;
    for (Qcow2Slice *slice = cache->oldest; slice; slice = slice->newer) {
        if (slice->dirty) {
            slice_write(slice);
        }
    }
}
