/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing back what was changed in memory, so that a power cut at any point leaves an image without
 * contradictions, with leaked clusters at most. In the lane, so nothing is changed meanwhile.
 *
 *   refcount blocks                      what is allocated is counted
 *   - flush - refcount table             which names blocks made before
 *   - flush - L2 tables                  which name the guest's data, written before, and clusters
 *                                        that are counted by now
 *   - flush - L1 table                   which names L2 tables made before
 *   - flush -                            all of it is there: the guest's flush is done
 *   frees                                what nothing names any more loses its reference
 *   refcount blocks                      which may reach the disk whenever they like
 *
 * Steps that have nothing to do are left out with the flush in front of them, so an overwrite costs
 * one flush and an allocation two. A step that fails leaves what it would have written dirty.
 *
 * Lazy refcounts: refcount blocks and table stay in memory until the image is closed, or the cache
 * is full of them. Before anything is written that they would have to precede, the dirty bit is set
 * in the header, with a flush; closing clears it. With the bit there L2 tables need no flush in
 * front if the clusters they name have only ever had this data or nothing, and lie where the file
 * reaches for sure. So that they do, the file is made longer ahead, once in a while; closing cuts
 * off what is left. Then an allocation costs one flush.
 *
 * A cluster that nobody has any more is discarded in the file before it can be taken again.
 */
#include "qcow2-internal.h"
#include <errno.h>

#define FREES_MAX 1024
#define AHEAD (4u << 20) /* bytes */

/* ---- what there is to do ---- */

static bool puts_off(const Qcow2State *s)
{
    return s->lazy && !qcow2_cache_full(&s->rb_cache);
}

static bool refcounts_due(const Qcow2State *s)
{
    return s->rb_cache.n_dirty > 0 && !puts_off(s);
}

static bool reftable_due(const Qcow2State *s)
{
    return s->reftable_dirty_lo != s->reftable_dirty_hi && !puts_off(s);
}

static bool mark_due(const Qcow2State *s)
{
    return s->lazy && !s->dirty &&
           (s->rb_cache.n_dirty > 0 || s->reftable_dirty_lo != s->reftable_dirty_hi);
}

static bool l2_dirty(const Qcow2State *s)
{
    return s->l2_cache.n_dirty > 0;
}

static bool ahead_due(const Qcow2State *s)
{
    return s->lazy && (s->dirty || mark_due(s)) && !s->no_ahead && s->file->can_grow &&
           s->file->driver->can_resize && l2_dirty(s) && s->fresh > s->stable_end &&
           s->file->size < s->fresh + AHEAD;
}

static bool l1_dirty(const Qcow2State *s)
{
    return s->l1_dirty_lo != s->l1_dirty_hi;
}

static bool has_frees(const Qcow2State *s)
{
    return s->frees->len > 0;
}

static bool always(const Qcow2State *s G_GNUC_UNUSED)
{
    return true;
}

bool qcow2_is_dirty(const Qcow2State *s)
{
    return refcounts_due(s) || reftable_due(s) || l2_dirty(s) || l1_dirty(s) || has_frees(s);
}

bool qcow2_must_sync(const Qcow2State *s)
{
    return qcow2_cache_full(&s->l2_cache) || qcow2_cache_full(&s->rb_cache) ||
           s->frees->len >= FREES_MAX;
}

static void sync_next(Qcow2Op *op, int res);

static void sync_end(Qcow2Op *op, int res)
{
    g_clear_pointer(&op->sync_buf, g_free);
    g_clear_pointer(&op->discards, g_array_unref);
    op->synced(op, res);
}

/* A child's request of the step is done: the next step. */
static void step_done(Qcow2Op *op, int res)
{
    op->sync_step++;
    sync_next(op, res);
}

static void file_flushed(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    if (!res) {
        s->stable_end = s->flush_end;
        s->data_unflushed = false;
    }
    op->flushed(op, res);
}

static void flush_file(Qcow2Op *op, Qcow2Step *step)
{
    op->flushed = step;
    op->s->flush_end = op->s->file->size;
    qcow2_op_buf(op, BLOCK_FLUSH, 0, 0, NULL, 0, file_flushed);
}

/* ---- a longer file ---- */

static void ahead_done(Qcow2Op *op, int res)
{
    op->s->no_ahead = res < 0;
    step_done(op, 0);
}

/* All that is being written lies before `fresh`, as clusters are taken in the lane. */
static void grow_ahead(Qcow2Op *op)
{
    qcow2_op_buf(op, BLOCK_RESIZE, 0, 0, NULL, op->s->fresh + AHEAD, ahead_done);
}

/* ---- the dirty bit ---- */

static void mark_stable(Qcow2Op *op, int res)
{
    if (!res) {
        op->s->h.incompatible |= QCOW2_INCOMPAT_DIRTY;
        op->s->dirty = true;
    }
    step_done(op, res);
}

static void mark_written(Qcow2Op *op, int res)
{
    if (res < 0) {
        sync_end(op, res);
    } else {
        flush_file(op, mark_stable);
    }
}

static void mark_dirty(Qcow2Op *op)
{
    set_be64(op->header, op->s->h.incompatible | QCOW2_INCOMPAT_DIRTY);
    qcow2_op_buf(op, BLOCK_WRITE, 0, QCOW2_HEADER_INCOMPATIBLE, op->header, 8, mark_written);
}

/* ---- caches ---- */

static void cache_written(void *opaque, int res)
{
    step_done(opaque, res);
}

static void write_refcounts(Qcow2Op *op)
{
    qcow2_cache_write(&op->s->rb_cache, cache_written, op);
}

static void write_l2(Qcow2Op *op, int res)
{
    if (res < 0) {
        sync_end(op, res);
    } else {
        qcow2_cache_write(&op->s->l2_cache, cache_written, op);
    }
}

static void flush_write_l2(Qcow2Op *op)
{
    if (op->s->dirty && !op->s->data_unflushed) {
        write_l2(op, 0);
    } else {
        flush_file(op, write_l2);
    }
}

/* ---- tables that are in memory whole ---- */

static void write_entries(Qcow2Op *op, const uint64_t *table, uint64_t at, uint32_t lo, uint32_t hi,
                          Qcow2Step *step)
{
    g_free(op->sync_buf);
    op->sync_buf = g_malloc((size_t)(hi - lo) * 8);
    for (uint32_t i = lo; i < hi; i++) {
        set_be64(op->sync_buf + (size_t)(i - lo) * 8, table[i]);
    }
    qcow2_op_buf(op, BLOCK_WRITE, 0, at + (uint64_t)lo * 8, op->sync_buf, (uint64_t)(hi - lo) * 8,
                 step);
}

static void reftable_written(Qcow2Op *op, int res)
{
    if (!res) {
        op->s->reftable_dirty_lo = op->s->reftable_dirty_hi = 0;
    }
    step_done(op, res);
}

static void write_reftable(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    if (res < 0) {
        sync_end(op, res);
        return;
    }
    write_entries(op, s->reftable, s->h.reftable_offset, s->reftable_dirty_lo, s->reftable_dirty_hi,
                  reftable_written);
}

static void flush_write_reftable(Qcow2Op *op)
{
    flush_file(op, write_reftable);
}

static void l1_written(Qcow2Op *op, int res)
{
    if (!res) {
        op->s->l1_dirty_lo = op->s->l1_dirty_hi = 0;
    }
    step_done(op, res);
}

static void write_l1(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    if (res < 0) {
        sync_end(op, res);
        return;
    }
    write_entries(op, s->l1, s->h.l1_offset, s->l1_dirty_lo, s->l1_dirty_hi, l1_written);
}

static void flush_write_l1(Qcow2Op *op)
{
    flush_file(op, write_l1);
}

static void flush_all(Qcow2Op *op)
{
    flush_file(op, step_done);
}

/* ---- frees ---- */

static void discard_next(Qcow2Op *op, int res G_GNUC_UNUSED)
{
    Qcow2Area *a;

    if (!op->discards || op->discards->len == 0) {
        step_done(op, 0); /* a discard that failed is no error: it's advice */
        return;
    }
    a = &g_array_index(op->discards, Qcow2Area, op->discards->len - 1);
    qcow2_op_buf(op, BLOCK_DISCARD, 0, a->start, NULL, a->end - a->start, discard_next);
    g_array_set_size(op->discards, op->discards->len - 1);
}

static void discard_later(Qcow2Op *op, uint64_t cluster)
{
    Qcow2State *s = op->s;
    Qcow2Area area = { .start = cluster << s->h.cluster_bits };
    Qcow2Area *last = NULL;

    area.end = MIN(area.start + s->cluster_size, s->file->size);
    if (!s->pass_discard || area.start >= area.end) {
        return;
    }
    if (!op->discards) {
        op->discards = g_array_new(FALSE, FALSE, sizeof(Qcow2Area));
    }
    if (op->discards->len) {
        last = &g_array_index(op->discards, Qcow2Area, op->discards->len - 1);
    }
    if (last && last->end == area.start) {
        last->end = area.end;
    } else {
        g_array_append_val(op->discards, area);
    }
}

/* Of the requests in flight, but for the one that syncs, which is over with its data. */
static uint64_t oldest_seq(const Qcow2Op *op)
{
    const Qcow2Op *oldest = op->s->oldest;

    if (oldest == op) {
        oldest = oldest->next;
    }
    return oldest ? oldest->seq : UINT64_MAX;
}

static void frees_retry(Qcow2Op *op, int res);

/* Those before i are done. */
static void frees_end(Qcow2Op *op, unsigned i)
{
    g_array_remove_range(op->s->frees, 0, i);
    discard_next(op, 0);
}

/* Metadata that was replaced is none any more. */
static int may_free(Qcow2State *s, uint64_t cluster)
{
    uint64_t start = cluster << s->h.cluster_bits;

    return qcow2_areas_hit(s, start, s->cluster_size)
               ? qcow2_corrupt(s, "a cluster of the disk is metadata", start)
               : 0;
}

static void drop_frees(Qcow2Op *op)
{
    Qcow2State *s = op->s;
    uint64_t oldest = oldest_seq(op);
    unsigned i = 0;

    while (i < s->frees->len && g_array_index(s->frees, Qcow2Free, i).seq <= oldest) {
        Qcow2Free *f = &g_array_index(s->frees, Qcow2Free, i);
        bool freed;
        int res;

        if (!f->n) {
            i++;
            continue;
        }
        res = may_free(s, f->cluster);
        if (!res) {
            res = qcow2_refcount_drop(s, f->cluster, qcow2_op_wait(op, frees_retry), &freed);
        }
        if (res == QCOW2_PENDING) {
            return;
        }
        if (res < 0) { /* the cluster is leaked */
            sync_end(op, res);
            return;
        }
        if (freed) { /* it may have been an L2 table, and may become another one */
            qcow2_cache_forget(&s->l2_cache, f->cluster << s->h.cluster_bits, s->cluster_size);
            discard_later(op, f->cluster);
        }
        f->cluster++;
        f->n--;
    }
    frees_end(op, i);
}

static void frees_retry(Qcow2Op *op, int res)
{
    if (res < 0) {
        sync_end(op, res);
    } else {
        drop_frees(op);
    }
}

/* ---- all ---- */

static const struct SyncStep {
    bool (*needed)(const Qcow2State *s);
    void (*run)(Qcow2Op *op);
} steps[] = {
    { ahead_due, grow_ahead },
    { mark_due, mark_dirty },
    { refcounts_due, write_refcounts },
    { reftable_due, flush_write_reftable },
    { l2_dirty, flush_write_l2 },
    { l1_dirty, flush_write_l1 },
    { always, flush_all },
    { has_frees, drop_frees },
    { refcounts_due, write_refcounts },
};

static void sync_next(Qcow2Op *op, int res)
{
    while (!res && op->sync_step < G_N_ELEMENTS(steps) && !steps[op->sync_step].needed(op->s)) {
        op->sync_step++;
    }
    if (res < 0 || op->sync_step == G_N_ELEMENTS(steps)) {
        sync_end(op, res);
    } else {
        steps[op->sync_step].run(op);
    }
}

void qcow2_sync(Qcow2Op *op, Qcow2Step *synced)
{
    op->synced = synced;
    op->sync_step = 0;
    sync_next(op, op->s->corrupt ? -EIO : 0);
}
