/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole clusters that become zeros, or nothing, by their L2 entries alone: WRITE_ZEROES in version
 * 3, and DISCARD.
 *
 *   WRITE_ZEROES                the zero flag; the cluster stays allocated
 *   ... with BLOCK_MAY_UNMAP    the zero flag alone
 *   DISCARD, version 3          the zero flag where there is a backing file, else nothing
 *   DISCARD, version 2          nothing; not at all where there is a backing file, since its old
 *                               data would come to light
 *
 * A discard is advice: of a range the clusters within are taken, and the last one if the disk ends
 * in it. Version 2 has no zero flag, so zeros are written as data there (qcow2-write.c).
 */
#include "qcow2-internal.h"
#include <errno.h>

static void zero_end(Qcow2Op *op, int res)
{
    uint64_t bytes = op->linked << op->s->h.cluster_bits;

    qcow2_lane_leave(op->s);
    op->len = MIN(bytes, op->req->bytes - op->pos);
    qcow2_change_end(op);
    op->zeroed(op, res);
}

static uint64_t new_entry(const Qcow2Op *op, uint64_t old)
{
    const Qcow2State *s = op->s;
    bool packed = old & QCOW2_COMPRESSED;
    bool unmap = op->req->op == BLOCK_DISCARD || (op->req->how & BLOCK_MAY_UNMAP);

    if (!packed && !unmap && (old & QCOW2_COPIED) && (old & QCOW2_OFFSET_MASK)) {
        return old | QCOW2_ZERO;
    }
    if (op->req->op == BLOCK_DISCARD && (!s->node->backing || s->h.version < 3)) {
        return 0;
    }
    return QCOW2_ZERO;
}

static void zero_entries(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    while (!res && op->linked < op->n) {
        Qcow2Slice *slice;
        uint64_t old, new;
        uint8_t *at;

        res = qcow2_entry(s, (op->first + op->linked) << s->h.cluster_bits,
                          qcow2_op_wait(op, zero_entries), &slice, &at);
        if (res == QCOW2_PENDING) {
            return;
        }
        if (res < 0) {
            break;
        }
        old = be64(at);
        new = new_entry(op, old);
        if (new != old) {
            if ((new &QCOW2_OFFSET_MASK) != (old & QCOW2_OFFSET_MASK) || old & QCOW2_COMPRESSED) {
                qcow2_free_entry(s, old);
            }
            set_be64(at, new);
            qcow2_cache_dirty(slice);
        }
        op->linked++;
    }
    zero_end(op, res);
}

/* No L2 table, and nothing below: there are zeros already. */
static bool nothing_there(const Qcow2Op *op)
{
    const Qcow2State *s = op->s;
    const BlockNode *backing = s->node->backing;
    uint64_t guest = op->first << s->h.cluster_bits;

    return !(s->l1[qcow2_l1_index(s, guest)] & QCOW2_OFFSET_MASK) &&
           (!backing || guest >= backing->size);
}

static void zero_start(Qcow2Op *op, int res G_GNUC_UNUSED)
{
    if (op->s->corrupt) {
        zero_end(op, -EIO);
    } else if (nothing_there(op)) {
        op->linked = op->n;
        zero_end(op, 0);
    } else {
        qcow2_need_table(op, op->first << op->s->h.cluster_bits, zero_entries);
    }
}

void qcow2_zero_clusters(Qcow2Op *op, uint64_t n, Qcow2Step *done)
{
    Qcow2State *s = op->s;
    uint64_t first = (op->req->offset + op->pos) >> s->h.cluster_bits;
    uint64_t table = UINT64_C(1) << s->l2_bits;

    op->zeroed = done;
    qcow2_change_begin(op, first, MIN(n, table - first % table));
    qcow2_lane_enter(op, zero_start);
}

/* ---- discard ---- */

static void discard_next(Qcow2Op *op);

static void discard_retry(Qcow2Op *op, int res)
{
    if (res < 0) {
        qcow2_op_end(op, res);
    } else {
        discard_next(op);
    }
}

static void discard_zeroed(Qcow2Op *op, int res)
{
    if (res < 0) {
        qcow2_op_end(op, res);
        return;
    }
    op->pos += op->len;
    discard_next(op);
}

static void discard_synced(Qcow2Op *op, int res)
{
    qcow2_lane_leave(op->s);
    qcow2_op_end(op, res);
}

static void discard_sync(Qcow2Op *op, int res G_GNUC_UNUSED)
{
    qcow2_sync(op, discard_synced);
}

static void discard_next(Qcow2Op *op)
{
    Qcow2State *s = op->s;
    uint64_t end = op->req->offset + op->req->bytes;
    uint64_t guest = op->req->offset + op->pos;
    uint64_t last = end == s->node->size ? s->cluster_size - 1 : 0;
    uint64_t n;

    op->pos += (s->cluster_size - guest % s->cluster_size) % s->cluster_size;
    guest = op->req->offset + op->pos;
    n = guest < end ? (end - guest + last) >> s->h.cluster_bits : 0;
    if (!n) {
        if (qcow2_must_sync(s)) {
            qcow2_lane_enter(op, discard_sync);
        } else {
            qcow2_op_end(op, 0);
        }
    } else if (!qcow2_op_blocked(op, guest, end - guest, discard_retry)) {
        qcow2_zero_clusters(op, n, discard_zeroed);
    }
}

void qcow2_discard(Qcow2Op *op)
{
    if (op->s->corrupt) {
        qcow2_op_end(op, -EIO);
    } else if (op->s->h.version < 3 && op->s->node->backing) {
        qcow2_op_end(op, 0);
    } else {
        discard_next(op);
    }
}
