/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which clusters of the file are in use: refcount table (in memory) -> block -> refcount, 1 to 64
 * bits wide. In the lane.
 *
 * Allocation looks for clusters with refcount 0 from `free_from` on and takes a run of them, within
 * one slice, at once. Where the table has no block for a range, nothing there is in use: a block is
 * made in the first free cluster of the range itself. Where the table ends, a longer one is written
 * beside its new blocks, the header is pointed to it, and the old one is freed.
 *
 * Freeing is put off: a cluster that an L2 entry has left loses its reference only when the entry
 * is gone from the disk (qcow2-sync.c does both), and only when no older request is in flight. So a
 * power cut leaks at most, and no cluster gets a new owner under an old one's hands.
 *
 * An image with the dirty bit has refcounts that may be too low. Where it can't be repaired when it
 * is opened (qcow2-repair.c), clusters are taken behind its end alone and none is freed, and the
 * bit stays, so that `qemu-img check -r` puts it right later (append_only).
 */
#include "qcow2-internal.h"
#include <errno.h>

#define NO_BLOCK 2
#define REFTABLE_MAX (8u << 20) /* bytes */

/* ---- widths ---- */

uint64_t qcow2_refcount_get(const uint8_t *data, unsigned order, uint64_t i)
{
    switch (order) {
    case 6:
        return be64(data + i * 8);
    case 5:
        return be32(data + i * 4);
    case 4:
        return data[i * 2] << 8 | data[i * 2 + 1];
    case 3:
        return data[i];
    default: /* from the lowest bits of a byte up */
        return data[(i << order) / 8] >> ((i << order) % 8) & ((1u << (1u << order)) - 1);
    }
}

void qcow2_refcount_set(uint8_t *data, unsigned order, uint64_t i, uint64_t value)
{
    unsigned shift = (i << order) % 8;
    uint8_t mask;

    switch (order) {
    case 6:
        set_be64(data + i * 8, value);
        break;
    case 5:
        set_be32(data + i * 4, value);
        break;
    case 4:
        data[i * 2] = value >> 8;
        data[i * 2 + 1] = value;
        break;
    case 3:
        data[i] = value;
        break;
    default:
        mask = ((1u << (1u << order)) - 1) << shift;
        data[(i << order) / 8] = (data[(i << order) / 8] & ~mask) | (value << shift & mask);
    }
}

/* ---- finding ---- */

static unsigned slice_entries(const Qcow2State *s)
{
    return (s->rb_cache.slice_bytes * 8) >> s->h.refcount_order;
}

/* The slice that has cluster's refcount, and where in it. NO_BLOCK: there is none. */
static int find_slice(Qcow2State *s, uint64_t cluster, Qcow2Wait *wait, Qcow2Slice **slice,
                      unsigned *index)
{
    uint64_t block = cluster >> s->rb_bits;
    unsigned in_block = cluster & ((UINT64_C(1) << s->rb_bits) - 1);
    uint64_t offset = block < s->reftable_size ? s->reftable[block] & QCOW2_REFTABLE_MASK : 0;

    if (!offset) {
        return NO_BLOCK;
    }
    *index = in_block % slice_entries(s);
    return qcow2_cache_get(
        &s->rb_cache, offset + (uint64_t)(in_block / slice_entries(s)) * s->rb_cache.slice_bytes,
        wait, slice);
}

static unsigned free_run(const Qcow2State *s, const Qcow2Slice *slice, unsigned index,
                         uint64_t want)
{
    unsigned n = 0;

    while (n < want && index + n < slice_entries(s) &&
           qcow2_refcount_get(slice->data, s->h.refcount_order, index + n) == 0) {
        n++;
    }
    return n;
}

/* Moves free_from to the first free cluster; *n of them lie in *slice from *index on. */
static int find_free(Qcow2State *s, uint64_t want, Qcow2Wait *wait, Qcow2Slice **slice,
                     unsigned *index, unsigned *n)
{
    for (;;) {
        int res;

        if (s->free_from >= QCOW2_OFFSET_MAX >> s->h.cluster_bits) {
            return -ENOSPC;
        }
        res = find_slice(s, s->free_from, wait, slice, index);
        if (res) {
            return res;
        }
        while (*index < slice_entries(s)) {
            *n = free_run(s, *slice, *index, want);
            if (*n) {
                return 0;
            }
            ++*index;
            s->free_from++;
        }
    }
}

/* ---- taking ---- */

/* May clusters be taken there? */
static int check_place(Qcow2State *s, uint64_t cluster, uint64_t n)
{
    uint64_t start = cluster << s->h.cluster_bits, bytes = n << s->h.cluster_bits;

    if (qcow2_areas_hit(s, start, bytes)) {
        return qcow2_corrupt(s, "metadata lies in clusters with refcount 0", start);
    }
    if (!s->file->can_grow && start + bytes > s->file->size) {
        return -ENOSPC;
    }
    return 0;
}

static bool take_fresh(Qcow2State *s, uint64_t cluster, uint64_t n)
{
    uint64_t start = cluster << s->h.cluster_bits, end = (cluster + n) << s->h.cluster_bits;
    bool fresh = start >= s->fresh;

    if (end > s->fresh) {
        s->fresh = end;
    }
    return fresh;
}

static void make_block(Qcow2Op *op);

static void alloc_try(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;
    Qcow2Slice *slice;
    unsigned index, n = 0;

    if (!res) {
        res = find_free(s, op->want, qcow2_op_wait(op, alloc_try), &slice, &index, &n);
    }
    if (res == QCOW2_PENDING) {
        return;
    }
    if (res == NO_BLOCK) {
        make_block(op);
        return;
    }
    res = res ? res : check_place(s, s->free_from, n);
    if (res) {
        op->allocated(op, res);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        qcow2_refcount_set(slice->data, s->h.refcount_order, index + i, 1);
    }
    qcow2_cache_dirty(slice);
    op->cluster = s->free_from;
    op->got = n;
    op->fresh = take_fresh(s, op->cluster, n);
    s->free_from += n;
    op->allocated(op, 0);
}

void qcow2_alloc(Qcow2Op *op, uint64_t want, Qcow2Step *allocated)
{
    op->want = want;
    op->allocated = allocated;
    alloc_try(op, op->s->corrupt ? -EIO : 0);
}

/* ---- a block for a range that has none ---- */

static void block_made(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;
    uint64_t block = s->free_from >> s->rb_bits;
    uint64_t offset = s->free_from << s->h.cluster_bits;

    block_buffer_put(s->node, g_steal_pointer(&op->tail), s->cluster_size);
    if (!res) {
        s->reftable[block] = offset;
        qcow2_mark(&s->reftable_dirty_lo, &s->reftable_dirty_hi, block, block + 1);
        qcow2_areas_add_table(s, offset);
    }
    alloc_try(op, res);
}

static void grow_table(Qcow2Op *op);

static void make_block(Qcow2Op *op)
{
    Qcow2State *s = op->s;
    uint64_t cluster = s->free_from;
    int res;

    if (cluster >> s->rb_bits >= s->reftable_size) {
        grow_table(op);
        return;
    }
    res = check_place(s, cluster, 1);
    if (!res && !op->tail) {
        op->tail = block_buffer_get(s->node, s->cluster_size);
        res = op->tail ? 0 : -ENOMEM;
    }
    if (res) {
        op->allocated(op, res);
        return;
    }
    take_fresh(s, cluster, 1);
    memset(op->tail, 0, s->cluster_size);
    qcow2_refcount_set(op->tail, s->h.refcount_order, cluster & ((UINT64_C(1) << s->rb_bits) - 1),
                       1);
    qcow2_op_buf(op, BLOCK_WRITE, BLOCK_GROW, cluster << s->h.cluster_bits, op->tail,
                 s->cluster_size, block_made);
}

/* ---- a longer table ---- */

static void grow_end(Qcow2Op *op, int res)
{
    g_clear_pointer(&op->grow_buf, g_free);
    alloc_try(op, res);
}

static void grow_flushed(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;
    uint64_t start = s->free_from << s->h.cluster_bits;
    uint64_t table = start + (op->grow_blocks << s->h.cluster_bits);
    uint64_t old = s->h.reftable_offset;
    uint32_t size = op->grow_clusters << (s->h.cluster_bits - 3);
    uint64_t first = s->free_from >> s->rb_bits;

    if (res < 0) {
        grow_end(op, res);
        return;
    }
    s->reftable = g_renew(uint64_t, s->reftable, size);
    memset(s->reftable + s->reftable_size, 0, (size - s->reftable_size) * sizeof(uint64_t));
    s->reftable_size = size;
    for (uint64_t i = 0; i < op->grow_blocks; i++) {
        s->reftable[first + i] = start + (i << s->h.cluster_bits);
        qcow2_areas_add_table(s, s->reftable[first + i]);
    }
    qcow2_free_later(s, old >> s->h.cluster_bits, s->h.reftable_clusters);
    s->h.reftable_offset = table;
    s->h.reftable_clusters = op->grow_clusters;
    s->reftable_dirty_lo = s->reftable_dirty_hi = 0;
    qcow2_areas_move(s, old, table, op->grow_clusters << s->h.cluster_bits);
    grow_end(op, 0);
}

static void grow_header_written(Qcow2Op *op, int res)
{
    if (res < 0) {
        grow_end(op, res);
    } else {
        qcow2_op_buf(op, BLOCK_FLUSH, 0, 0, NULL, 0, grow_flushed);
    }
}

static void grow_stable(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;
    uint64_t table = (s->free_from + op->grow_blocks) << s->h.cluster_bits;

    if (res < 0) {
        grow_end(op, res);
        return;
    }
    set_be64(op->header, table);
    set_be32(op->header + 8, op->grow_clusters);
    qcow2_op_buf(op, BLOCK_WRITE, 0, QCOW2_HEADER_REFTABLE, op->header, 12, grow_header_written);
}

static void grow_written(Qcow2Op *op, int res)
{
    if (res < 0) {
        grow_end(op, res);
    } else {
        qcow2_op_buf(op, BLOCK_FLUSH, 0, 0, NULL, 0, grow_stable);
    }
}

/* New blocks from free_from on, then the table; the blocks count both. */
static void grow_fill(Qcow2Op *op)
{
    Qcow2State *s = op->s;
    uint64_t first = s->free_from >> s->rb_bits;
    uint64_t at = s->free_from - (first << s->rb_bits);
    uint8_t *table = op->grow_buf + (op->grow_blocks << s->h.cluster_bits);

    for (uint64_t i = 0; i < op->grow_blocks + op->grow_clusters; i++, at++) {
        qcow2_refcount_set(op->grow_buf + ((at >> s->rb_bits) << s->h.cluster_bits),
                           s->h.refcount_order, at & ((UINT64_C(1) << s->rb_bits) - 1), 1);
    }
    for (uint32_t i = 0; i < s->reftable_size; i++) {
        set_be64(table + (size_t)i * 8, s->reftable[i]);
    }
    for (uint64_t i = 0; i < op->grow_blocks; i++) {
        set_be64(table + (first + i) * 8, (s->free_from + i) << s->h.cluster_bits);
    }
}

/* So many blocks that they have refcounts for themselves and for a table that names them all. */
static void grow_measure(Qcow2Op *op)
{
    const Qcow2State *s = op->s;
    uint64_t first = s->free_from >> s->rb_bits;
    uint64_t at = s->free_from - (first << s->rb_bits);
    uint64_t blocks = 0, clusters = 0, end;

    do {
        uint64_t entries = MAX(first + ++blocks, s->reftable_size * UINT64_C(3) / 2);

        clusters = (entries * 8 + s->cluster_size - 1) >> s->h.cluster_bits;
        end = at + blocks + clusters;
    } while (end > blocks << s->rb_bits);
    op->grow_blocks = blocks;
    op->grow_clusters = clusters;
}

static void grow_table(Qcow2Op *op)
{
    Qcow2State *s = op->s;
    uint64_t n;
    int res;

    grow_measure(op);
    n = op->grow_blocks + op->grow_clusters;
    if (op->grow_clusters << s->h.cluster_bits > REFTABLE_MAX) {
        op->allocated(op, -EFBIG);
        return;
    }
    res = check_place(s, s->free_from, n);
    op->grow_buf = res ? NULL : g_try_malloc0(n << s->h.cluster_bits);
    if (!op->grow_buf) {
        op->allocated(op, res ? res : -ENOMEM);
        return;
    }
    take_fresh(s, s->free_from, n);
    grow_fill(op);
    qcow2_op_buf(op, BLOCK_WRITE, BLOCK_GROW, s->free_from << s->h.cluster_bits, op->grow_buf,
                 n << s->h.cluster_bits, grow_written);
}

/* ---- freeing ---- */

void qcow2_free_later(Qcow2State *s, uint64_t cluster, uint64_t n)
{
    Qcow2Free entry = { .cluster = cluster, .n = n, .seq = s->seq };
    Qcow2Free *last = s->frees->len ? &g_array_index(s->frees, Qcow2Free, s->frees->len - 1) : NULL;

    if (s->append_only) {
        return;
    }
    if (last && last->cluster + last->n == cluster && last->seq == entry.seq) {
        last->n += n;
    } else {
        g_array_append_val(s->frees, entry);
    }
}

void qcow2_free_entry(Qcow2State *s, uint64_t entry)
{
    uint64_t host, bytes;

    if (!(entry & QCOW2_COMPRESSED)) {
        host = entry & QCOW2_OFFSET_MASK;
        if (host) {
            qcow2_free_later(s, host >> s->h.cluster_bits, 1);
        }
        return;
    }
    qcow2_packed_range(s, entry, &host, &bytes);
    qcow2_free_later(s, host >> s->h.cluster_bits,
                     ((host + bytes - 1) >> s->h.cluster_bits) - (host >> s->h.cluster_bits) + 1);
}

int qcow2_refcount_drop(Qcow2State *s, uint64_t cluster, Qcow2Wait *wait, bool *freed)
{
    Qcow2Slice *slice;
    uint64_t refcount;
    unsigned index;
    int res = find_slice(s, cluster, wait, &slice, &index);

    *freed = false;
    if (res == QCOW2_PENDING || res < 0) {
        return res;
    }
    refcount = res == NO_BLOCK ? 0 : qcow2_refcount_get(slice->data, s->h.refcount_order, index);
    if (refcount == 0) {
        return qcow2_corrupt(s, "a cluster that was in use has refcount 0",
                             cluster << s->h.cluster_bits);
    }
    qcow2_refcount_set(slice->data, s->h.refcount_order, index, refcount - 1);
    qcow2_cache_dirty(slice);
    if (refcount == 1) {
        *freed = true;
        s->free_from = MIN(s->free_from, cluster);
    }
    return 0;
}
