/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2, versions 2 and 3: opening, options, and where requests go.
 *
 * Opening (main thread) reads the header, the L1 and the refcount table, whose sizes the header's
 * door bounds, and then the backing file: what backing= or backing.* say, or the name in the
 * header, relative to the folder of this image, as the format that is named there; where none is,
 * as qcow2 if it looks like that, else raw. It is opened read-only, with the cache mode of this
 * image. A file that is being opened already is a loop and refused.
 *
 * Written is what is understood: with the corrupt bit, with subclusters, or with tables that
 * overlap, an image is read-only or not opened. A writer has to clear autoclear bits that it
 * doesn't know (they say that bitmaps are up to date), and does when it opens.
 *
 * Requests: qcow2-read.c, qcow2-write.c, qcow2-zero.c, qcow2-table.c (resize). Metadata:
 * qcow2-map.c, qcow2-refcount.c, qcow2-cache.c, qcow2-sync.c, qcow2-areas.c; qcow2-repair.c puts
 * right what a writer that was killed has left. How a request goes on while it waits: qcow2-op.c.
 *
 * Whoever detaches a node has drained it, which has written everything back, but for lazy
 * refcounts. Closing writes those, and tries once more what has failed.
 */
#include "block/codec.h"
#include "block/drivers.h"
#include "block/graph.h"
#include "block/probe.h"
#include "qcow2-internal.h"
#include "util/error.h"
#include <errno.h>

#define HEADER_READ_MIN 512
#define SLICE_DEFAULT 4096u
#define L2_CACHE_MAX (32u << 20)
#define REFCOUNT_CACHE_CLUSTERS                                                                    \
    4 /* default refcount-cache-size, and the least that cache-size
                                     leaves to it */
#define CACHE_MAX (UINT64_C(1) << 40)

#define OPTION(n, t, field, ...)                                                                   \
    {                                                                                              \
        .name = n, .type = t, .offset = offsetof(Qcow2Options, field), __VA_ARGS__                 \
    }

static const OptDesc qcow2_opts[] = {
    OPTION("cache-size", OPT_SIZE, cache, .help = "bytes of tables in memory"),
    OPTION("l2-cache-size", OPT_SIZE, l2_cache, .help = "bytes of L2 tables in memory"),
    OPTION("refcount-cache-size", OPT_SIZE, refcount_cache, .help = "bytes of refcounts in memory"),
    OPTION("l2-cache-entry-size", OPT_SIZE, slice,
           .help = "bytes of a table that are read at once"),
    OPTION("cache-clean-interval", OPT_U32, clean_interval, .help = "taken, without effect"),
    OPTION("pass-discard-request", OPT_TRI, pass_discard, .def = -1,
           .help = "discard freed clusters in the file; default: as discard= says"),
    OPTION("pass-discard-snapshot", OPT_BOOL, pass_snapshot, .def = 1,
           .help = "taken, without effect"),
    OPTION("pass-discard-other", OPT_BOOL, pass_other, .help = "taken, without effect"),
    OPTION("lazy-refcounts", OPT_TRI, lazy_refcounts, .def = -1,
           .help = "write refcounts when the image is closed; default: as the image says"),
    { 0 },
};

static const char *image_name(const BlockNode *node)
{
    return node->file->filename ? node->file->filename : node->file->name;
}

/* ---- header and tables ---- */

static bool read_failed(const BlockNode *node, const char *what, int res, GError **errp)
{
    return error_set(errp, "Could not read %s of qcow2 image '%s': %s", what, image_name(node),
                     g_strerror(-res));
}

static bool read_header(BlockNode *node, Qcow2State *s, GError **errp)
{
    uint8_t start[HEADER_READ_MIN] = { 0 };
    uint64_t size = node->file->size;
    g_autofree uint8_t *buf = NULL;
    size_t len;
    unsigned bits;
    int res = block_setup_io(node->file, BLOCK_READ, 0, start, MIN(size, sizeof(start)));

    if (res < 0) {
        return read_failed(node, "the header", res, errp);
    }
    bits = qcow2_header_cluster_bits(start, image_name(node), errp);
    if (!bits) {
        return false;
    }
    len = MIN(size, UINT64_C(1) << bits);
    buf = g_malloc(len);
    res = block_setup_io(node->file, BLOCK_READ, 0, buf, len);
    if (res < 0) {
        return read_failed(node, "the header", res, errp);
    }
    return qcow2_header_parse(&s->h, buf, len, size, image_name(node), errp);
}

static uint64_t *read_table(BlockNode *node, const char *what, uint64_t offset, uint32_t n,
                            GError **errp)
{
    uint64_t *table = g_new0(uint64_t, MAX(n, 1));
    int res = n ? block_setup_io(node->file, BLOCK_READ, offset, table, (uint64_t)n * 8) : 0;

    if (res < 0) {
        read_failed(node, what, res, errp);
        g_free(table);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        table[i] = GUINT64_FROM_BE(table[i]);
    }
    return table;
}

static void settle_geometry(Qcow2State *s)
{
    bool extended = s->h.incompatible & QCOW2_INCOMPAT_EXTENDED_L2;

    s->cluster_size = 1u << s->h.cluster_bits;
    s->l2_entry_bytes = extended ? 16 : 8;
    s->l2_bits = s->h.cluster_bits - (extended ? 4 : 3);
    s->units = extended ? 32 : 1;
    s->unit_size = s->cluster_size / s->units;
    s->rb_bits = s->h.cluster_bits + 3 - s->h.refcount_order;
}

static bool read_refcounts(BlockNode *node, Qcow2State *s, GError **errp)
{
    s->reftable_size = (uint64_t)s->h.reftable_clusters << (s->h.cluster_bits - 3);
    s->reftable =
        read_table(node, "the refcount table", s->h.reftable_offset, s->reftable_size, errp);
    return s->reftable && qcow2_areas_init(s, image_name(node), errp);
}

static bool read_tables(BlockNode *node, Qcow2State *s, GError **errp)
{
    s->l1 = read_table(node, "the L1 table", s->h.l1_offset, s->h.l1_size, errp);
    return s->l1 && (node->read_only || read_refcounts(node, s, errp));
}

/* As QEMU does with a dirty image, if that is all that is wrong with it. */
static bool repair(BlockNode *node, Qcow2State *s, GError **errp)
{
    const char *why;
    int res;

    if (node->read_only || !(s->h.incompatible & QCOW2_INCOMPAT_DIRTY)) {
        return true;
    }
    res = qcow2_repair(s, &why);
    if (res < 0) {
        return error_set(errp, "Could not repair qcow2 image '%s': %s", image_name(node),
                         g_strerror(-res));
    }
    if (why) {
        log_line(NULL,
                 "qcow2 image '%s' was not closed properly, and can't be repaired here (%s): it "
                 "grows at its end only, until `qemu-img check -r all` has been run",
                 image_name(node), why);
        s->append_only = true;
        return true;
    }
    log_line(NULL, "qcow2 image '%s' was not closed properly: its refcounts were counted anew",
             image_name(node));
    qcow2_areas_fini(s);
    g_free(s->reftable);
    return read_refcounts(node, s, errp);
}

/* ---- options ---- */

/* As QEMU divides them: cache-size is the sum of both, and the L2 tables' part is served first. */
static bool settle_caches(Qcow2State *s, GError **errp)
{
    const Qcow2Options *o = &s->opts;
    uint64_t least = (uint64_t)REFCOUNT_CACHE_CLUSTERS << s->h.cluster_bits;
    uint64_t all = ((s->h.size >> s->h.cluster_bits) + 1) * s->l2_entry_bytes;
    uint64_t l2 = o->l2_cache ? o->l2_cache : MIN(all, L2_CACHE_MAX);
    uint64_t refcount = o->refcount_cache ? o->refcount_cache : least;
    uint32_t slice = o->slice ? MIN(o->slice, UINT32_MAX) : MIN(SLICE_DEFAULT, s->cluster_size);

    if (o->cache && o->l2_cache && o->refcount_cache) {
        return error_set(errp, "cache-size, l2-cache-size and refcount-cache-size may not be set "
                               "at the same time");
    }
    if (o->cache && (o->l2_cache > o->cache || o->refcount_cache > o->cache)) {
        return error_set(errp, "l2-cache-size and refcount-cache-size may not exceed cache-size");
    }
    if (slice < 512 || slice > s->cluster_size || (slice & (slice - 1))) {
        return error_set(errp,
                         "l2-cache-entry-size must be a power of two between 512 and the cluster "
                         "size (%u)",
                         s->cluster_size);
    }
    if (o->cache && o->l2_cache) {
        refcount = o->cache - o->l2_cache;
    } else if (o->cache && o->refcount_cache) {
        l2 = o->cache - o->refcount_cache;
    } else if (o->cache) {
        l2 = MIN(all, o->cache > least ? o->cache - least : 0);
        refcount = o->cache - l2;
    }
    qcow2_cache_init(&s->l2_cache, s->file, slice, MIN(l2, CACHE_MAX));
    qcow2_cache_init(&s->rb_cache, s->file, MIN(SLICE_DEFAULT, s->cluster_size),
                     MIN(refcount, CACHE_MAX));
    return true;
}

/* ---- may it be written? ---- */

static bool check_writable(BlockNode *node, Qcow2State *s, GError **errp)
{
    const char *why = NULL;

    if (node->read_only) {
        return true;
    }
    if (node->file->read_only) {
        node->demoted = true;
        node->read_only = true;
        return true;
    }
    if (s->h.incompatible & QCOW2_INCOMPAT_CORRUPT) {
        why = "is marked corrupt";
    } else if (s->units > 1) {
        why = "has subclusters (extended L2 entries), which can only be read";
    }
    if (why && node->auto_read_only) {
        log_line(NULL, "qcow2 image '%s' %s: opened read-only", image_name(node), why);
        node->demoted = true;
        node->read_only = true;
        return true;
    }
    return !why || error_set(errp, "qcow2 image '%s' %s; it can be opened with read-only=on",
                             image_name(node), why);
}

static bool settle_lazy(const BlockNode *node, Qcow2State *s, GError **errp)
{
    int wanted = s->opts.lazy_refcounts;

    if (wanted > 0 && s->h.version < 3) {
        return error_set(errp, "lazy-refcounts needs an image of version 3, and '%s' is of 2",
                         image_name(node));
    }
    s->lazy = wanted > 0 || (wanted < 0 && (s->h.compatible & QCOW2_COMPAT_LAZY_REFCOUNTS));
    return true;
}

static bool clear_autoclear(BlockNode *node, Qcow2State *s, GError **errp)
{
    uint8_t zeros[8] = { 0 };
    int res;

    if (node->read_only || !s->h.autoclear) {
        return true;
    }
    res = block_setup_io(s->file, BLOCK_WRITE, QCOW2_HEADER_AUTOCLEAR, zeros, sizeof(zeros));
    s->h.autoclear = 0;
    return res == 0 || error_set(errp, "Could not write the header of qcow2 image '%s': %s",
                                 image_name(node), g_strerror(-res));
}

static void settle_allocation(BlockNode *node, Qcow2State *s)
{
    uint64_t end = (node->file->size + s->cluster_size - 1) >> s->h.cluster_bits;

    s->fresh = node->file->can_grow ? end << s->h.cluster_bits : UINT64_MAX;
    s->frees = g_array_new(FALSE, FALSE, sizeof(Qcow2Free));
    s->pass_discard = s->opts.pass_discard < 0 ? node->can_discard : s->opts.pass_discard;
    s->newest = &s->oldest;
    s->queue_end = &s->queue;
    if (s->append_only) {
        s->free_from = end;
        s->lazy = false; /* the bit is not ours to clear */
    }
}

/* ---- the backing file ---- */

/* A name in an image is a path, relative to that image's folder, or "file:" and a path. */
static char *backing_path(const BlockNode *node, const char *name, GError **errp)
{
    size_t word = strcspn(name, ":/");
    g_autofree char *dir = NULL;

    if (g_str_has_prefix(name, "file:")) {
        name += word + 1;
    } else if (name[word] == ':') {
        error_set(errp,
                  "Backing file '%s' of '%s': unknown protocol '%.*s'; backing= can name a "
                  "node for it",
                  name, image_name(node), (int)word, name);
        return NULL;
    }
    if (g_path_is_absolute(name) || !node->file->filename) {
        return g_strdup(name);
    }
    dir = g_path_get_dirname(node->file->filename);
    return g_strcmp0(dir, ".") && *dir ? g_build_filename(dir, name, NULL) : g_strdup(name);
}

static bool name_backing(BlockNode *node, const Qcow2State *s, Opts *nested, GError **errp)
{
    const char *format = s->h.backing_format;
    g_autofree char *path = NULL;

    if (g_str_has_prefix(s->h.backing_name, "json:")) {
        return error_set(errp,
                         "Backing file '%s' of '%s': a name of options is not supported; "
                         "backing= can name a node for it",
                         s->h.backing_name, image_name(node));
    }
    path = backing_path(node, s->h.backing_name, errp);
    if (!path) {
        return false;
    }
    if (block_is_opening(node->graph, path)) {
        return error_set(errp, "Backing file '%s' of '%s' is in its own chain of backing files",
                         path, image_name(node));
    }
    if (!opts_peek(nested, "driver")) {
        format = format && *format ? format : probe_path(node->graph, path);
        opts_set(nested, "driver", format ? format : "raw");
    }
    probe_set_file(node->graph, nested, path);
    return true;
}

/* Do the options say themselves where the backing file is? */
static bool names_file(const Opts *nested)
{
    return opts_peek(nested, "filename") || opts_peek(nested, "file") ||
           opts_peek(nested, "file.filename") || opts_peek(nested, "file.driver");
}

static bool open_backing_named(BlockNode *node, Qcow2State *s, Opts *opts, Opts *nested,
                               GError **errp)
{
    if (s->h.backing_name && !names_file(nested) && !name_backing(node, s, nested, errp)) {
        return false;
    }
    opts_set(nested, "read-only", "on");
    block_opts_inherit(opts, nested);
    if (!block_open_child_opts(node, nested, "backing", errp)) {
        g_prefix_error(errp, "Backing file of '%s': ", image_name(node));
        return false;
    }
    return true;
}

static bool open_backing(BlockNode *node, Qcow2State *s, Opts *opts, GError **errp)
{
    const char *name = opts_peek(opts, "backing");
    g_autoptr(Opts) nested = NULL;

    if (name && !*name) { /* none, whatever the header says */
        opts_get(opts, "backing");
        return true;
    }
    if (name) {
        return block_open_child(node, opts, "backing", errp) != NULL;
    }
    nested = opts_take_sub(opts, "backing");
    return (opts_empty(nested) && !s->h.backing_name) ||
           open_backing_named(node, s, opts, nested, errp);
}

/* ---- opening and closing ---- */

static void qcow2_clear(Qcow2State *s)
{
    if (s->l2_cache.slices) {
        qcow2_cache_fini(&s->l2_cache);
        qcow2_cache_fini(&s->rb_cache);
    }
    qcow2_areas_fini(s);
    g_clear_error(&s->no_codec);
    g_clear_pointer(&s->frees, g_array_unref);
    g_clear_pointer(&s->l1, g_free);
    g_clear_pointer(&s->reftable, g_free);
    qcow2_header_clear(&s->h);
}

/* What is missing is said when a compressed cluster is read: most images have none. */
static void find_codec(BlockNode *node, Qcow2State *s)
{
    static const char *const names[] = { "zlib", "zstd" };

    if (s->h.compression < G_N_ELEMENTS(names)) {
        s->codec = block_codec_find(node->graph, names[s->h.compression], &s->no_codec);
    }
}

static bool open_image(BlockNode *node, Qcow2State *s, GError **errp)
{
    if (!read_header(node, s, errp)) {
        return false;
    }
    settle_geometry(s);
    if (!check_writable(node, s, errp) || !read_tables(node, s, errp) || !settle_caches(s, errp) ||
        !settle_lazy(node, s, errp) || !repair(node, s, errp) || !clear_autoclear(node, s, errp)) {
        return false;
    }
    settle_allocation(node, s);
    find_codec(node, s);
    node->size = s->h.size - s->h.size % 512;
    node->align = 1;
    node->has_status = true;
    node->unit = s->cluster_size;
    node->filename = g_strdup(node->file->filename);
    return true;
}

static bool qcow2_open(BlockNode *node, Opts *opts, GError **errp)
{
    Qcow2State *s = node->state;
    bool ok;

    s->node = node;
    s->file = block_open_child(node, opts, "file", errp);
    if (!s->file || !block_setup_begin(s->file, errp)) {
        return false;
    }
    ok = open_image(node, s, errp);
    block_setup_end(s->file);
    ok = ok && open_backing(node, s, opts, errp);
    if (!ok) {
        qcow2_clear(s);
    }
    return ok;
}

/* The refcounts of all that is in use are on stable storage. */
static int clear_dirty(Qcow2State *s)
{
    uint8_t value[8];
    int res;

    set_be64(value, s->h.incompatible & ~(uint64_t)QCOW2_INCOMPAT_DIRTY);
    res = block_setup_io(s->file, BLOCK_WRITE, QCOW2_HEADER_INCOMPATIBLE, value, sizeof(value));
    return res ? res : block_setup_io(s->file, BLOCK_FLUSH, 0, NULL, 0);
}

static int write_back(BlockNode *node)
{
    Qcow2State *s = node->state;
    int res = 0;

    for (unsigned i = 0; i < 3 && !res && qcow2_is_dirty(s); i++) {
        res = block_setup_io(node, BLOCK_FLUSH, 0, NULL, 0);
    }
    if (res || !s->dirty || s->corrupt || qcow2_is_dirty(s)) {
        return res;
    }
    if (s->file->can_grow && s->file->driver->can_resize && s->file->size > s->fresh) {
        block_setup_io(s->file, BLOCK_RESIZE, 0, NULL, s->fresh); /* it may also stay */
    }
    return clear_dirty(s);
}

static void qcow2_close(BlockNode *node)
{
    Qcow2State *s = node->state;
    g_autoptr(GError) err = NULL;
    int res = 0;

    s->lazy = false; /* what was put off is due */
    if (!node->read_only && !s->corrupt && (qcow2_is_dirty(s) || s->dirty)) {
        if (block_setup_begin(node, &err)) {
            res = write_back(node);
            block_setup_end(node);
        }
        if (err || res) {
            log_line(node->name, "qcow2: what was not flushed is lost%s: %s",
                     s->dirty ? ", and the image stays marked dirty" : "",
                     err ? err->message : g_strerror(-res));
        }
    }
    qcow2_clear(s);
}

/* ---- requests ---- */

static void (*const starts[BLOCK_N_OPS])(Qcow2Op *op) = {
    [BLOCK_READ] = qcow2_read,          [BLOCK_WRITE] = qcow2_write,
    [BLOCK_FLUSH] = qcow2_flush,        [BLOCK_DISCARD] = qcow2_discard,
    [BLOCK_WRITE_ZEROES] = qcow2_write, [BLOCK_RESIZE] = qcow2_resize,
    [BLOCK_STATUS] = qcow2_status,
};

static void qcow2_submit(BlockNode *node, BlockReq *req)
{
    starts[req->op](qcow2_op_new(node->state, req));
}

static void qcow2_cancel(BlockNode *node G_GNUC_UNUSED, BlockReq *req)
{
    if (req->priv) {
        qcow2_op_cancel(req->priv);
    }
}

static void qcow2_describe(const BlockNode *node, BlockDetails *details)
{
    const Qcow2State *s = node->state;
    const Qcow2Header *h = &s->h;
    const BlockFact facts[] = {
        { .name = "compat", .kind = BLOCK_FACT_TEXT, .text = h->version >= 3 ? "1.1" : "0.10" },
        { .name = "compression-type",
          .kind = BLOCK_FACT_TEXT,
          .text = h->compression ? "zstd" : "zlib" },
        { .name = "refcount-bits", .kind = BLOCK_FACT_NUMBER, .number = 1u << h->refcount_order },
        /* of version 3 */
        { .name = "lazy-refcounts", .number = h->compatible & QCOW2_COMPAT_LAZY_REFCOUNTS },
        { .name = "corrupt", .number = s->corrupt || h->incompatible & QCOW2_INCOMPAT_CORRUPT },
        { .name = "extended-l2", .number = h->incompatible & QCOW2_INCOMPAT_EXTENDED_L2 },
    };

    details->cluster_size = s->cluster_size;
    details->dirty = h->incompatible & QCOW2_INCOMPAT_DIRTY;
    details->backing = h->backing_name;
    details->backing_format = h->backing_format;
    details->n_facts = h->version >= 3 ? G_N_ELEMENTS(facts) : 3;
    memcpy(details->facts, facts, details->n_facts * sizeof(facts[0]));
}

/* The file is made longer ahead for lazy refcounts, and cut when it is closed. */
const SandboxCalls qcow2_sandbox = {
    .module = "qcow2",
    .calls = (const SandboxCall[]){ { .name = "ftruncate" }, { .name = NULL } },
};

const BlockDriver block_qcow2_driver = {
    .name = "qcow2",
    .state_size = sizeof(Qcow2State),
    .opts = qcow2_opts,
    .open = qcow2_open,
    .close = qcow2_close,
    .submit = qcow2_submit,
    .cancel = qcow2_cancel,
    .describe = qcow2_describe,
    .metadata = true,
    .can_resize = true,
    .caches = true,
};
