/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The repair of an image that is marked dirty, when it is opened for writing: a writer with lazy
 * refcounts was killed, so its refcounts may be anything, while its L1 and L2 tables are in order.
 *
 * What the tables name is counted, by the active L1 table and by those of snapshots, into refcount
 * blocks of their own. They are written with a table of theirs behind everything that is in use,
 * and then one write within one sector of the header names the new table and clears the dirty bit.
 * Until then the image is as it was, so a power cut in between changes nothing.
 *
 * That repairs what lazy refcounts do to an image, and nothing else. With tables that contradict
 * each other (something lies outside of the file, has more owners than its entry says, or owners
 * that may not share it) the image is left as it is, and so it is where counting would take more
 * memory or reading than an image of this kind ought to. Then clusters are taken at its end alone
 * (qcow2-refcount.c), and `qemu-img check -r all` has to see to the rest.
 *
 * On the main thread.
 */
#include "qcow2-internal.h"

#define BLOCKS_MAX (64u << 20) /* bytes; with clusters of 64 KiB a file of 2 TiB has that */
#define READ_MAX (UINT64_C(1) << 30)
#define CHUNK 65536u
/* Of the header, from the refcount table's place to the feature bits, in one write. */
#define IN_WRITE(offset) ((offset)-QCOW2_HEADER_REFTABLE)
#define HEADER_WRITE IN_WRITE(QCOW2_HEADER_INCOMPATIBLE + 8)

typedef struct Repair {
    Qcow2State *s;
    uint8_t *blocks;   /* refcounts from cluster 0 on, as in the file */
    uint64_t n;        /* clusters of the file */
    uint64_t end;      /* the first cluster behind all that is in use */
    uint64_t may_read; /* bytes */
    uint8_t *l2;       /* a cluster */
    const char *why;   /* it can't be done */
    int res;           /* of what was written to the header */
} Repair;

static bool fail(Repair *r, const char *why)
{
    r->why = why;
    return false;
}

static bool read_file(Repair *r, uint64_t offset, void *buf, uint64_t bytes)
{
    if (bytes > r->may_read) {
        return fail(r, "its tables are too many");
    }
    r->may_read -= bytes;
    return block_setup_io(r->s->file, BLOCK_READ, offset, buf, bytes) == 0 ||
           fail(r, "a table can't be read");
}

/* ---- counting ---- */

static void in_use(Repair *r, uint64_t offset, uint64_t bytes)
{
    uint64_t end = (offset + bytes - 1) >> r->s->h.cluster_bits;

    r->end = MAX(r->end, end + 1);
}

static bool refer(Repair *r, uint64_t offset, uint64_t bytes)
{
    const Qcow2Header *h = &r->s->h;
    uint64_t max = UINT64_MAX >> (64 - (1u << h->refcount_order));

    if (!bytes) {
        return true;
    }
    if (offset > QCOW2_OFFSET_MAX || bytes > QCOW2_OFFSET_MAX ||
        (offset + bytes - 1) >> h->cluster_bits >= r->n) {
        return fail(r, "a table names what lies outside of the file");
    }
    for (uint64_t i = offset >> h->cluster_bits; i <= (offset + bytes - 1) >> h->cluster_bits;
         i++) {
        uint64_t count = qcow2_refcount_get(r->blocks, h->refcount_order, i);

        if (count == max) {
            return fail(r, "a cluster has more owners than can be counted");
        }
        qcow2_refcount_set(r->blocks, h->refcount_order, i, count + 1);
    }
    in_use(r, offset, bytes);
    return true;
}

static bool refer_entry(Repair *r, uint64_t entry)
{
    const Qcow2State *s = r->s;
    uint64_t host = entry & QCOW2_OFFSET_MASK, bytes = s->cluster_size;

    if (entry & QCOW2_COMPRESSED) {
        qcow2_packed_range(s, entry, &host, &bytes);
    } else if (host % s->cluster_size) {
        return fail(r, "an L2 entry is invalid");
    }
    return (!host && !(entry & QCOW2_COMPRESSED)) || refer(r, host, bytes);
}

static bool refer_l2(Repair *r, uint64_t l1_entry)
{
    const Qcow2State *s = r->s;
    uint64_t table = l1_entry & QCOW2_OFFSET_MASK;

    if (!table) {
        return true;
    }
    if (table % s->cluster_size) {
        return fail(r, "an L1 entry is invalid");
    }
    if (!refer(r, table, s->cluster_size) || !read_file(r, table, r->l2, s->cluster_size)) {
        return false;
    }
    for (uint32_t i = 0; i < s->cluster_size; i += 8) {
        if (!refer_entry(r, be64(r->l2 + i))) {
            return false;
        }
    }
    return true;
}

static bool refer_active(Repair *r)
{
    const Qcow2State *s = r->s;
    bool ok = refer(r, s->h.l1_offset, (uint64_t)s->h.l1_size * 8);

    for (uint32_t i = 0; ok && i < s->h.l1_size; i++) {
        ok = refer_l2(r, s->l1[i]);
    }
    return ok;
}

static bool refer_l1(Repair *r, uint64_t offset, uint64_t bytes)
{
    g_autofree uint8_t *chunk = g_malloc(CHUNK);
    bool ok = refer(r, offset, bytes);

    for (uint64_t at = 0; ok && at < bytes; at += CHUNK) {
        uint32_t len = MIN(CHUNK, bytes - at);

        ok = read_file(r, offset + at, chunk, len);
        for (uint32_t i = 0; ok && i < len; i += 8) {
            ok = refer_l2(r, be64(chunk + i));
        }
    }
    return ok;
}

static bool refer_snapshots(Repair *r)
{
    Qcow2State *s = r->s;
    uint64_t at = s->h.snapshots_offset;

    for (uint32_t i = 0; i < s->h.n_snapshots; i++) {
        uint64_t l1_offset, l1_bytes;

        if (!qcow2_snapshot_next(s, &at, &l1_offset, &l1_bytes)) {
            return fail(r, "its snapshots can't be read");
        }
        if (!refer_l1(r, l1_offset, l1_bytes)) {
            return false;
        }
    }
    return !s->h.n_snapshots || refer(r, s->h.snapshots_offset, at - s->h.snapshots_offset);
}

/* ---- is that how it ought to be? ---- */

static uint64_t count_at(const Repair *r, uint64_t offset)
{
    return qcow2_refcount_get(r->blocks, r->s->h.refcount_order, offset >> r->s->h.cluster_bits);
}

/* An entry that says that nobody else has its cluster. */
static bool owner_alone(const Repair *r, uint64_t entry)
{
    return !(entry & QCOW2_COPIED) || (entry & QCOW2_COMPRESSED) || !(entry & QCOW2_OFFSET_MASK) ||
           count_at(r, entry & QCOW2_OFFSET_MASK) == 1;
}

static bool check_active(Repair *r)
{
    const Qcow2State *s = r->s;

    for (uint32_t i = 0; i < s->h.l1_size; i++) {
        uint64_t table = s->l1[i] & QCOW2_OFFSET_MASK;

        if (!owner_alone(r, s->l1[i])) {
            return fail(r, "tables have parts in common");
        }
        if (table && !read_file(r, table, r->l2, s->cluster_size)) {
            return false;
        }
        for (uint32_t k = 0; table && k < s->cluster_size; k += 8) {
            if (!owner_alone(r, be64(r->l2 + k))) {
                return fail(r, "clusters have more owners than they say");
            }
        }
    }
    return true;
}

/* The old refcount structure is an area, or a table, too, but stays out of the count: nothing may
 * have a place in it. */
static bool check_areas(Repair *r)
{
    const Qcow2State *s = r->s;

    for (unsigned i = 0; i < s->areas->len; i++) {
        const Qcow2Area *a = &g_array_index(s->areas, Qcow2Area, i);
        uint64_t most = a->start == s->h.reftable_offset ? 0 : 1;

        for (uint64_t at = a->start; at < a->end; at += s->cluster_size) {
            if (count_at(r, at) > most) {
                return fail(r, "metadata has a second owner");
            }
        }
    }
    for (uint32_t i = 0; i < s->reftable_size; i++) {
        uint64_t block = s->reftable[i] & QCOW2_REFTABLE_MASK;

        if (block && count_at(r, block)) {
            return fail(r, "metadata has a second owner");
        }
        if (block) {
            in_use(r, block, s->cluster_size);
        }
    }
    in_use(r, s->h.reftable_offset, (uint64_t)s->reftable_size * 8);
    return true;
}

/* ---- the new structure ---- */

/* Blocks that count all before cluster `end`, themselves and the table of `clusters`. */
static void measure(const Qcow2State *s, uint64_t end, uint64_t *n_blocks, uint64_t *clusters)
{
    *n_blocks = *clusters = 1;
    while (end + *n_blocks + *clusters > *n_blocks << s->rb_bits) {
        ++*n_blocks;
        *clusters = (*n_blocks * 8 + s->cluster_size - 1) >> s->h.cluster_bits;
    }
}

static bool write_structure(Repair *r, uint64_t n_blocks, uint64_t clusters)
{
    const Qcow2State *s = r->s;
    uint64_t start = r->end << s->h.cluster_bits;
    uint64_t bytes = (n_blocks + clusters) << s->h.cluster_bits;
    uint64_t table = start + (n_blocks << s->h.cluster_bits);
    g_autofree uint8_t *entries = g_malloc0(clusters << s->h.cluster_bits);

    if (!s->file->can_grow && start + bytes > s->file->size) {
        return fail(r, "there is no room");
    }
    for (uint64_t i = 0; i < n_blocks + clusters; i++) {
        qcow2_refcount_set(r->blocks, s->h.refcount_order, r->end + i, 1);
    }
    for (uint64_t i = 0; i < n_blocks; i++) {
        set_be64(entries + i * 8, start + (i << s->h.cluster_bits));
    }
    return (block_setup_io(s->file, BLOCK_WRITE, start, r->blocks, table - start) == 0 &&
            block_setup_io(s->file, BLOCK_WRITE, table, entries, start + bytes - table) == 0 &&
            block_setup_io(s->file, BLOCK_FLUSH, 0, NULL, 0) == 0) ||
           fail(r, "it can't be written");
}

static bool name_structure(Repair *r, uint64_t table, uint32_t clusters)
{
    Qcow2Header *h = &r->s->h;
    uint64_t incompatible = h->incompatible & ~(uint64_t)QCOW2_INCOMPAT_DIRTY;
    uint8_t buf[HEADER_WRITE];

    set_be64(buf, table);
    set_be32(buf + 8, clusters);
    set_be32(buf + IN_WRITE(QCOW2_HEADER_SNAPSHOTS), h->n_snapshots);
    set_be64(buf + IN_WRITE(QCOW2_HEADER_SNAPSHOTS) + 4, h->snapshots_offset);
    set_be64(buf + IN_WRITE(QCOW2_HEADER_INCOMPATIBLE), incompatible);
    r->res = block_setup_io(r->s->file, BLOCK_WRITE, QCOW2_HEADER_REFTABLE, buf, sizeof(buf));
    if (!r->res) {
        r->res = block_setup_io(r->s->file, BLOCK_FLUSH, 0, NULL, 0);
    }
    if (r->res) {
        return false;
    }
    h->reftable_offset = table;
    h->reftable_clusters = clusters;
    h->incompatible = incompatible;
    return true;
}

static bool replace(Repair *r)
{
    const Qcow2State *s = r->s;
    uint64_t n_blocks, clusters;

    measure(s, r->end, &n_blocks, &clusters);
    return write_structure(r, n_blocks, clusters) &&
           name_structure(r, (r->end + n_blocks) << s->h.cluster_bits, clusters);
}

/* Memory for what may be needed at most: where the file is in use to its end. */
static bool take_memory(Repair *r)
{
    const Qcow2State *s = r->s;
    uint64_t n_blocks, clusters;

    r->n = (s->file->size + s->cluster_size - 1) >> s->h.cluster_bits;
    if (r->n > (BLOCKS_MAX * UINT64_C(8)) >> s->h.refcount_order) {
        return fail(r, "it is too large");
    }
    measure(s, r->n, &n_blocks, &clusters);
    r->blocks = g_try_malloc0(n_blocks << s->h.cluster_bits);
    r->l2 = g_try_malloc(s->cluster_size);
    return (r->blocks && r->l2) || fail(r, "there is no memory for it");
}

int qcow2_repair(Qcow2State *s, const char **why)
{
    Repair r = { .s = s, .may_read = READ_MAX };

    if (take_memory(&r) && refer(&r, 0, s->cluster_size) && refer_active(&r) &&
        refer_snapshots(&r) && check_areas(&r) && check_active(&r)) {
        replace(&r);
    }
    g_free(r.blocks);
    g_free(r.l2);
    *why = r.why;
    return r.res;
}
