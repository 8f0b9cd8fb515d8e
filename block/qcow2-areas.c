/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of the file is metadata, so that nothing else is ever written there: neither the guest's
 * data, because an L2 entry says that it belongs there, nor a new cluster, because a refcount says
 * that it is free.
 *
 * Tables of a cluster (L2 tables, refcount blocks) are a sorted array of offsets, looked up by
 * bisection for each write; it is no longer than the tables that name them. The header, the L1 and
 * refcount tables, and the snapshots' tables are a handful of ranges. An image whose tables overlap
 * is not opened for writing.
 *
 * When a contradiction shows up later, the image is marked corrupt (incompatible feature bit 1, in
 * version 3) and not written any more; reading goes on.
 */
#include "qcow2-internal.h"
#include "util/error.h"
#include <errno.h>

#define SNAPSHOT_FIXED 40 /* bytes of a snapshot table entry before extra data, id and name */
#define SNAPSHOT_TABLE_MAX (64u << 20)

static bool overlap(const char *name, const char *what, uint64_t offset, GError **errp)
{
    return error_set(errp,
                     "qcow2 image '%s' is corrupt: %s at offset %#" G_GINT64_MODIFIER
                     "x overlaps other metadata or lies outside the file; it can be opened with "
                     "read-only=on",
                     name, what, offset);
}

/* First index whose offset is not below. */
static unsigned table_find(const Qcow2State *s, uint64_t offset)
{
    unsigned lo = 0, hi = s->tables->len;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (g_array_index(s->tables, uint64_t, mid) < offset) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static bool in_area(const Qcow2State *s, uint64_t start, uint64_t bytes)
{
    for (unsigned i = 0; i < s->areas->len; i++) {
        const Qcow2Area *a = &g_array_index(s->areas, Qcow2Area, i);

        if (start < a->end && a->start < start + bytes) {
            return true;
        }
    }
    return false;
}

bool qcow2_areas_hit(const Qcow2State *s, uint64_t start, uint64_t bytes)
{
    uint64_t from = start - start % s->cluster_size;
    unsigned i = table_find(s, from);

    return in_area(s, start, bytes) ||
           (i < s->tables->len && g_array_index(s->tables, uint64_t, i) < start + bytes);
}

void qcow2_areas_add_table(Qcow2State *s, uint64_t offset)
{
    g_array_insert_val(s->tables, table_find(s, offset), offset);
}

void qcow2_areas_del_table(Qcow2State *s, uint64_t offset)
{
    unsigned i = table_find(s, offset);

    if (i < s->tables->len && g_array_index(s->tables, uint64_t, i) == offset) {
        g_array_remove_index(s->tables, i);
    }
}

/* Tables begin with a cluster, and nothing else lies in their last one. */
static Qcow2Area whole_clusters(const Qcow2State *s, uint64_t start, uint64_t bytes)
{
    uint64_t mask = s->cluster_size - 1;

    return (Qcow2Area){ start, (start + bytes + mask) & ~mask };
}

void qcow2_areas_add(Qcow2State *s, uint64_t start, uint64_t bytes)
{
    Qcow2Area area = whole_clusters(s, start, bytes);

    g_array_append_val(s->areas, area);
}

void qcow2_areas_move(Qcow2State *s, uint64_t old_start, uint64_t start, uint64_t bytes)
{
    for (unsigned i = 0; i < s->areas->len; i++) {
        Qcow2Area *a = &g_array_index(s->areas, Qcow2Area, i);

        if (a->start == old_start) {
            *a = whole_clusters(s, start, bytes);
            return;
        }
    }
    g_assert_not_reached();
}

/* ---- at opening ---- */

static bool add_area(Qcow2State *s, const char *name, const char *what, uint64_t start,
                     uint64_t bytes, GError **errp)
{
    if (!bytes) {
        return true;
    }
    if (start % s->cluster_size || start > QCOW2_OFFSET_MAX || bytes > QCOW2_OFFSET_MAX ||
        in_area(s, start, bytes)) {
        return overlap(name, what, start, errp);
    }
    qcow2_areas_add(s, start, bytes);
    return true;
}

bool qcow2_snapshot_next(const Qcow2State *s, uint64_t *at, uint64_t *l1_offset, uint64_t *l1_bytes)
{
    uint8_t buf[SNAPSHOT_FIXED];
    uint64_t length;

    if (*at > s->file->size || s->file->size - *at < sizeof(buf) ||
        block_setup_io(s->file, BLOCK_READ, *at, buf, sizeof(buf)) < 0) {
        return false;
    }
    *l1_offset = be64(buf);
    *l1_bytes = (uint64_t)be32(buf + 8) * 8;
    length = sizeof(buf) + (uint64_t)be32(buf + 36) + (buf[12] << 8 | buf[13]) +
             (buf[14] << 8 | buf[15]);
    *at += (length + 7) & ~UINT64_C(7);
    return true;
}

static bool add_snapshot(Qcow2State *s, const char *name, uint64_t *at, GError **errp)
{
    uint64_t l1_offset, l1_bytes;

    if (!qcow2_snapshot_next(s, at, &l1_offset, &l1_bytes)) {
        return error_set(errp, "Could not read the snapshot table of qcow2 image '%s'", name);
    }
    if (*at - s->h.snapshots_offset > SNAPSHOT_TABLE_MAX) {
        return error_set(errp, "The snapshot table of qcow2 image '%s' is too large", name);
    }
    return add_area(s, name, "a snapshot's L1 table", l1_offset, l1_bytes, errp);
}

static bool add_snapshots(Qcow2State *s, const char *name, GError **errp)
{
    uint64_t at = s->h.snapshots_offset;

    for (unsigned i = 0; i < s->h.n_snapshots; i++) {
        if (!add_snapshot(s, name, &at, errp)) {
            return false;
        }
    }
    return add_area(s, name, "the snapshot table", s->h.snapshots_offset,
                    s->h.n_snapshots ? at - s->h.snapshots_offset : 0, errp);
}

static bool collect(Qcow2State *s, const char *name, const char *what, const uint64_t *entries,
                    uint32_t n, uint64_t mask, GError **errp)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t offset = entries[i] & mask;

        if (!offset) {
            continue;
        }
        if (offset % s->cluster_size || offset >= s->file->size ||
            in_area(s, offset, s->cluster_size)) {
            return overlap(name, what, offset, errp);
        }
        g_array_append_val(s->tables, offset);
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static bool all_differ(const Qcow2State *s, const char *name, GError **errp)
{
    for (unsigned i = 1; i < s->tables->len; i++) {
        uint64_t offset = g_array_index(s->tables, uint64_t, i);

        if (offset == g_array_index(s->tables, uint64_t, i - 1)) {
            return overlap(name, "a table", offset, errp);
        }
    }
    return true;
}

bool qcow2_areas_init(Qcow2State *s, const char *name, GError **errp)
{
    s->areas = g_array_new(FALSE, FALSE, sizeof(Qcow2Area));
    s->tables = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    if (!add_area(s, name, "the header", 0, s->cluster_size, errp) ||
        !add_area(s, name, "the L1 table", s->h.l1_offset, (uint64_t)s->h.l1_size * 8, errp) ||
        !add_area(s, name, "the refcount table", s->h.reftable_offset,
                  (uint64_t)s->reftable_size * 8, errp) ||
        !add_snapshots(s, name, errp) ||
        !collect(s, name, "an L2 table", s->l1, s->h.l1_size, QCOW2_OFFSET_MASK, errp) ||
        !collect(s, name, "a refcount block", s->reftable, s->reftable_size, QCOW2_REFTABLE_MASK,
                 errp)) {
        return false;
    }
    g_array_sort(s->tables, compare);
    return all_differ(s, name, errp);
}

void qcow2_areas_fini(Qcow2State *s)
{
    g_clear_pointer(&s->areas, g_array_unref);
    g_clear_pointer(&s->tables, g_array_unref);
}

/* ---- later ---- */

int qcow2_corrupt(Qcow2State *s, const char *why, uint64_t offset)
{
    log_limited(&s->limit, s->node->name,
                "qcow2: %s (offset %#" G_GINT64_MODIFIER "x): the image is corrupt%s", why, offset,
                s->node->read_only ? "" : ", and will not be written any more");
    if (!s->corrupt && !s->node->read_only) {
        s->corrupt = true;
        s->mark_corrupt = s->h.version >= 3;
    }
    return -EIO;
}
