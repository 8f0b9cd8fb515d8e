/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * New tables: an L2 table where there is none, a copy of one that a snapshot shares, and a longer
 * L1 table for a disk that grows. In the lane.
 *
 * An L2 table is written whole before the L1 entry that names it is changed in memory, and the
 * entry reaches the disk after a flush (qcow2-sync.c). The header is changed only when what it will
 * name is on stable storage, in one write within one sector.
 */
#include "qcow2-internal.h"
#include <errno.h>

#define L1_MAX ((32u << 20) / 8)

/* ---- L2 tables ---- */

static void table_end(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    if (op->tail) {
        block_buffer_put(s->node, g_steal_pointer(&op->tail), s->cluster_size);
    }
    if (res < 0 && op->got) {
        qcow2_free_later(s, op->cluster, 1);
    }
    op->table_there(op, res);
}

static void table_written(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;
    unsigned i = qcow2_l1_index(s, op->guest);
    uint64_t old = s->l1[i] & QCOW2_OFFSET_MASK;
    uint64_t offset = op->cluster << s->h.cluster_bits;

    if (res < 0) {
        table_end(op, res);
        return;
    }
    if (old) {
        qcow2_areas_del_table(s, old);
        qcow2_free_later(s, old >> s->h.cluster_bits, 1);
    }
    s->l1[i] = offset | QCOW2_COPIED;
    qcow2_mark(&s->l1_dirty_lo, &s->l1_dirty_hi, i, i + 1);
    qcow2_areas_add_table(s, offset);
    table_end(op, 0);
}

static void table_filled(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    if (res < 0) {
        table_end(op, res);
        return;
    }
    qcow2_op_buf(op, BLOCK_WRITE, BLOCK_GROW, op->cluster << s->h.cluster_bits, op->tail,
                 s->cluster_size, table_written);
}

static void table_allocated(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;
    uint64_t old = s->l1[qcow2_l1_index(s, op->guest)] & QCOW2_OFFSET_MASK;

    if (!res) {
        op->tail = block_buffer_get(s->node, s->cluster_size);
        res = op->tail ? 0 : -ENOMEM;
    }
    if (res < 0) {
        table_end(op, res);
    } else if (old) {
        qcow2_op_buf(op, BLOCK_READ, 0, old, op->tail, s->cluster_size, table_filled);
    } else {
        memset(op->tail, 0, s->cluster_size);
        table_filled(op, 0);
    }
}

void qcow2_need_table(Qcow2Op *op, uint64_t guest, Qcow2Step *there)
{
    op->guest = guest;
    op->table_there = there;
    op->got = 0;
    if (op->s->l1[qcow2_l1_index(op->s, guest)] & QCOW2_COPIED) {
        there(op, 0);
    } else {
        qcow2_alloc(op, 1, table_allocated);
    }
}

/* ---- a larger disk ---- */

static void resize_end(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    g_clear_pointer(&op->grow_buf, g_free);
    qcow2_lane_leave(s);
    qcow2_op_end(op, res);
}

static void resize_stable(Qcow2Op *op, int res)
{
    if (!res) {
        op->s->h.size = op->req->bytes;
    }
    resize_end(op, res);
}

static void size_written(Qcow2Op *op, int res)
{
    if (res < 0) {
        resize_end(op, res);
    } else {
        qcow2_op_buf(op, BLOCK_FLUSH, 0, 0, NULL, 0, resize_stable);
    }
}

static void write_size(Qcow2Op *op, int res)
{
    if (res < 0) {
        resize_end(op, res);
        return;
    }
    set_be64(op->header, op->req->bytes);
    qcow2_op_buf(op, BLOCK_WRITE, 0, QCOW2_HEADER_SIZE, op->header, 8, size_written);
}

static void l1_stable(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;
    uint64_t old_clusters = ((uint64_t)s->h.l1_size * 8 + s->cluster_size - 1) >> s->h.cluster_bits;
    uint64_t old = s->h.l1_offset, offset = op->cluster << s->h.cluster_bits;
    uint32_t size = op->want;

    if (res < 0) {
        resize_end(op, res);
        return;
    }
    if (s->h.l1_size) {
        qcow2_areas_move(s, old, offset, (uint64_t)size * 8);
        qcow2_free_later(s, old >> s->h.cluster_bits, old_clusters);
    } else {
        qcow2_areas_add(s, offset, (uint64_t)size * 8);
    }
    s->l1 = g_renew(uint64_t, s->l1, size);
    memset(s->l1 + s->h.l1_size, 0, (size - s->h.l1_size) * sizeof(uint64_t));
    s->h.l1_size = size;
    s->h.l1_offset = offset;
    write_size(op, 0);
}

static void l1_named(Qcow2Op *op, int res)
{
    if (res < 0) {
        resize_end(op, res);
    } else {
        qcow2_op_buf(op, BLOCK_FLUSH, 0, 0, NULL, 0, l1_stable);
    }
}

static void name_l1(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    if (res < 0) {
        resize_end(op, res);
        return;
    }
    set_be32(op->header, op->want);
    set_be64(op->header + 4, op->cluster << s->h.cluster_bits);
    qcow2_op_buf(op, BLOCK_WRITE, 0, QCOW2_HEADER_L1, op->header, 12, l1_named);
}

/* The new cluster's refcount, and the tables that the copy names, come before the header. */
static void l1_written(Qcow2Op *op, int res)
{
    if (res < 0) {
        resize_end(op, res);
    } else {
        qcow2_sync(op, name_l1);
    }
}

static uint32_t l1_needed(const Qcow2State *s, uint64_t size)
{
    uint64_t reach = (uint64_t)s->cluster_size << s->l2_bits;
    uint64_t needed = size / reach + (size % reach != 0);

    return MIN(needed, UINT32_MAX);
}

static void l1_allocated(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;
    uint32_t size = l1_needed(s, op->req->bytes);
    uint64_t clusters = ((uint64_t)size * 8 + s->cluster_size - 1) >> s->h.cluster_bits;

    if (!res && op->got < clusters) { /* they have to lie together */
        qcow2_free_later(s, op->cluster, op->got);
        qcow2_alloc(op, clusters, l1_allocated);
        return;
    }
    op->grow_buf = res ? NULL : g_try_malloc0(clusters << s->h.cluster_bits);
    if (!op->grow_buf) {
        resize_end(op, res ? res : -ENOMEM);
        return;
    }
    for (uint32_t i = 0; i < s->h.l1_size; i++) {
        set_be64(op->grow_buf + (size_t)i * 8, s->l1[i]);
    }
    op->want = size;
    qcow2_op_buf(op, BLOCK_WRITE, BLOCK_GROW, op->cluster << s->h.cluster_bits, op->grow_buf,
                 clusters << s->h.cluster_bits, l1_written);
}

static int check_resize(const Qcow2State *s, uint64_t size)
{
    const BlockNode *backing = s->node->backing;

    if (s->corrupt) {
        return -EIO;
    }
    /* what is beyond the end may not come to light by growing: neither old data nor the backing
     * file's */
    if (size < s->node->size || (backing && backing->size > s->node->size)) {
        return -ENOTSUP;
    }
    return size % 512 ? -EINVAL : l1_needed(s, size) > L1_MAX ? -EFBIG : 0;
}

static void resize_start(Qcow2Op *op, int res G_GNUC_UNUSED)
{
    Qcow2State *s = op->s;
    uint32_t needed = l1_needed(s, op->req->bytes);
    uint64_t clusters = ((uint64_t)needed * 8 + s->cluster_size - 1) >> s->h.cluster_bits;

    if (needed <= s->h.l1_size) {
        write_size(op, 0);
    } else if (clusters >= s->rb_cache.slice_bytes * UINT64_C(8) >> s->h.refcount_order) {
        resize_end(op, -EFBIG); /* never allocated together, as a run lies in one slice */
    } else {
        qcow2_alloc(op, clusters, l1_allocated);
    }
}

void qcow2_resize(Qcow2Op *op)
{
    int res = check_resize(op->s, op->req->bytes);

    if (res < 0) {
        qcow2_op_end(op, res);
    } else {
        qcow2_lane_enter(op, resize_start);
    }
}
