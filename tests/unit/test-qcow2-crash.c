/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power cuts. The image lies on a driver that keeps it in memory and logs each write and flush.
 * Then the log is replayed: for every prefix of it, what was written before the last flush is
 * there, and of what came after a random part, sector by sector, in no order. Each such image has
 * to be free of contradictions but leaked clusters, by a check here and, for a sample, by qemu-img
 * check; and each sector of the disk has to hold what it held at the last flush that the guest had
 * an answer to, or something written later.
 *
 * With lazy refcounts an image may be marked dirty. Then its refcounts may be anything, but what
 * its tables name may not have two owners, and once repaired it has to be as good as the others.
 */
#include "qcow2-harness.h"

#define DISK (2 * MIB)
#define SECTORS (DISK / 512)
#define FILE_MAX (8 * MIB)
#define OPS 60
#define CUTS 2     /* tries for each prefix */
#define SAMPLE 150 /* every so many images are shown to qemu-img */

/* ---- a file that logs ---- */

typedef struct Entry {
    bool flush, resize;
    uint64_t offset, bytes;
    uint8_t *data;
} Entry;

typedef struct LogState {
    uint8_t *data;
    GArray *log; /* of Entry */
    bool no_resize;
} LogState;

static bool log_open(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp G_GNUC_UNUSED)
{
    LogState *s = node->state;

    s->data = g_malloc0(FILE_MAX);
    s->log = g_array_new(FALSE, FALSE, sizeof(Entry));
    node->can_grow = true;
    return true;
}

static void log_close(BlockNode *node)
{
    LogState *s = node->state;

    for (unsigned i = 0; i < s->log->len; i++) {
        g_free(g_array_index(s->log, Entry, i).data);
    }
    g_array_unref(s->log);
    g_free(s->data);
}

static void log_submit(BlockNode *node, BlockReq *req)
{
    LogState *s = node->state;
    Entry e = { .flush = req->op == BLOCK_FLUSH, .offset = req->offset, .bytes = req->bytes };
    uint64_t at = req->offset;

    if (req->op == BLOCK_RESIZE && (s->no_resize || req->bytes > FILE_MAX)) {
        block_complete(req, -EFBIG);
        return;
    }
    e.resize = req->op == BLOCK_RESIZE;
    g_assert_cmpuint(req->offset + req->bytes, <=, FILE_MAX);
    for (unsigned i = 0; i < req->niov && req->op <= BLOCK_WRITE; i++) {
        void *mem = req->iov[i].iov_base, *file = s->data + at;
        bool read = req->op == BLOCK_READ;

        memcpy(read ? mem : file, read ? file : mem, req->iov[i].iov_len);
        at += req->iov[i].iov_len;
    }
    if (req->op == BLOCK_WRITE) {
        e.data = g_memdup2(s->data + req->offset, req->bytes);
    }
    if (req->op == BLOCK_WRITE || req->op == BLOCK_FLUSH || req->op == BLOCK_RESIZE) {
        g_array_append_val(s->log, e);
    }
    if (req->op == BLOCK_WRITE && (req->how & BLOCK_FUA)) {
        Entry flush = { .flush = true };

        g_array_append_val(s->log, flush); /* more than was asked for, as a file may do */
    }
    block_complete(req, 0);
}

static const OptDesc log_opts[] = { { 0 } };

static const BlockDriver log_driver = {
    .name = "log",
    .state_size = sizeof(LogState),
    .opts = log_opts,
    .open = log_open,
    .close = log_close,
    .submit = log_submit,
    .can_resize = true,
};

static const BlockDriver *const crash_drivers[] = { &log_driver, &block_qcow2_driver, NULL };

/* ---- an independent check ---- */

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return GUINT64_FROM_BE(v);
}

static uint32_t get32(const uint8_t *p)
{
    return get64(p) >> 32;
}

typedef struct Check {
    const uint8_t *image;
    uint64_t size;
    unsigned bits, order;
    bool dirty;
    uint32_t *refs;  /* by cluster */
    uint32_t owners; /* that a cluster may have while the image is dirty */
    uint64_t n_clusters;
    const char *wrong;
    uint64_t where;
    uint64_t *stamps; /* the first 8 bytes of each sector of the disk */
} Check;

static void wrong(Check *c, const char *what, uint64_t where)
{
    if (!c->wrong) {
        c->wrong = what;
        c->where = where;
    }
}

static bool refer(Check *c, const char *what, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset >> c->bits, last = (offset + bytes - 1) >> c->bits;

    if (last >= c->n_clusters || offset % (1u << c->bits)) {
        wrong(c, what, offset);
        return false;
    }
    for (uint64_t i = first; i <= last; i++) {
        c->refs[i]++;
    }
    return true;
}

static uint64_t refcount(const Check *c, uint64_t cluster)
{
    unsigned rb_bits = c->bits + 3 - c->order;
    uint64_t table = get64(c->image + 48), block = cluster >> rb_bits, at, value;
    unsigned i = cluster & ((1u << rb_bits) - 1), width = 1u << c->order;

    if (block >= (uint64_t)get32(c->image + 56) << (c->bits - 3)) {
        return 0;
    }
    at = get64(c->image + table + block * 8);
    if (!at) {
        return 0;
    }
    if (width < 8) {
        return c->image[at + i * width / 8] >> (i * width % 8) & ((1u << width) - 1);
    }
    value = 0;
    for (unsigned k = 0; k < width / 8; k++) {
        value = value << 8 | c->image[at + i * (width / 8) + k];
    }
    return value;
}

static void check_l2(Check *c, uint64_t table, uint64_t guest, bool active)
{
    uint64_t cluster = 1u << c->bits;

    for (uint64_t i = 0; i < cluster / 8; i++, guest += cluster) {
        uint64_t entry = get64(c->image + table + i * 8);
        uint64_t host = entry & 0x00fffffffffffe00;

        if (host && !refer(c, "data outside of the file", host, cluster)) {
            return;
        }
        if (active && host && (entry >> 63) && !c->dirty && refcount(c, host >> c->bits) != 1) {
            wrong(c, "a copied cluster whose refcount is not 1", host);
        }
        for (uint64_t s = 0; active && s < cluster && guest + s < DISK; s += 512) {
            c->stamps[(guest + s) / 512] = host && !(entry & 1) ? get64(c->image + host + s) : 0;
        }
    }
}

static void check_l1(Check *c, uint64_t table, uint32_t size, bool active)
{
    uint64_t reach = (uint64_t)1 << (2 * c->bits - 3);

    if (!refer(c, "an L1 table outside of the file", table, (uint64_t)size * 8)) {
        return;
    }
    for (uint32_t i = 0; i < size; i++) {
        uint64_t l2 = get64(c->image + table + i * 8) & 0x00fffffffffffe00;

        if (l2 && refer(c, "an L2 table outside of the file", l2, 1u << c->bits)) {
            check_l2(c, l2, i * reach, active);
        }
    }
}

static void check_refcounts(Check *c)
{
    uint64_t table = get64(c->image + 48), bytes = (uint64_t)get32(c->image + 56) << c->bits;

    if (!refer(c, "a refcount table outside of the file", table, bytes)) {
        return;
    }
    for (uint64_t i = 0; i < bytes / 8 && !c->dirty; i++) {
        uint64_t block = get64(c->image + table + i * 8);

        if (block && !refer(c, "a refcount block outside of the file", block, 1u << c->bits)) {
            return;
        }
    }
    for (uint64_t i = 0; i < c->n_clusters && !c->wrong; i++) {
        if (c->refs[i] > (c->dirty ? c->owners : refcount(c, i))) {
            wrong(c, "more references than the refcount says", i << c->bits);
        }
    }
}

static void check_snapshots(Check *c)
{
    uint64_t at = get64(c->image + 64), start = at;

    for (uint32_t i = 0; i < get32(c->image + 60); i++) {
        const uint8_t *p = c->image + at;

        check_l1(c, get64(p), get32(p + 8), false);
        at += 40 + get32(p + 36) + (p[12] << 8 | p[13]) + (p[14] << 8 | p[15]);
        at = (at + 7) / 8 * 8;
    }
    if (at != start) {
        refer(c, "a snapshot table outside of the file", start, at - start);
    }
}

static void check_image(Check *c)
{
    const uint8_t *p = c->image;

    c->bits = get32(p + 20);
    c->order = get32(p + 4) == 3 ? get32(p + 96) : 4;
    c->dirty = get32(p + 4) == 3 && (get64(p + 72) & 1);
    c->owners = get32(p + 60) + 1;
    c->n_clusters = (c->size + (1u << c->bits) - 1) >> c->bits;
    c->refs = g_new0(uint32_t, c->n_clusters);
    c->stamps = g_new0(uint64_t, SECTORS);
    c->wrong = NULL;
    refer(c, "the header", 0, 1);
    check_snapshots(c);
    check_l1(c, get64(p + 40), get32(p + 36), true);
    check_refcounts(c);
    g_free(c->refs);
}

/* ---- what the guest did ---- */

/* A sector's content, from its submission on. */
typedef struct Version {
    uint64_t stamp;
    unsigned submitted, completed; /* positions in the log */
} Version;

typedef struct Run {
    const char *options;
    bool snapshot;
    Image im;
    LogState *log;
    uint8_t *start; /* of the file, before anything */
    GRand *random;
    GArray *versions[SECTORS]; /* of Version */
    GArray *flushes;           /* pairs of log positions: submitted, completed */
    uint64_t stamp;
    unsigned n_images, n_dirty;
} Run;

typedef struct Guest {
    Req r;
    uint64_t first, n; /* sectors */
    uint8_t *buf;
    unsigned submitted;
    unsigned pending;
    bool writes;
} Guest;

static void guest_submit(Run *run, Guest *g, bool aligned)
{
    static const BlockOp ops[] = { BLOCK_WRITE,        BLOCK_WRITE,   BLOCK_WRITE,
                                   BLOCK_WRITE_ZEROES, BLOCK_DISCARD, BLOCK_FLUSH };
    BlockOp op = ops[g_rand_int_range(run->random, 0, G_N_ELEMENTS(ops))];
    unsigned unit = aligned || op == BLOCK_DISCARD ? 128 : 1;

    memset(g, 0, sizeof(*g));
    g->pending = 1;
    g->r.pending = &g->pending;
    g->submitted = run->log->log->len;
    if (op == BLOCK_FLUSH) {
        req_submit(run->im.node, &g->r, op, 0, NULL, 0, 0);
        return;
    }
    g->writes = true;
    g->n = g_rand_int_range(run->random, 1, unit > 1 ? 4 : 60) * unit;
    g->first = g_rand_int_range(run->random, 0, (SECTORS - g->n) / unit) * unit;
    g->buf = g_malloc0(g->n * 512);
    for (uint64_t i = 0; i < g->n; i++) {
        Version v = { .submitted = g->submitted, .completed = UINT_MAX };

        v.stamp = op == BLOCK_WRITE ? ++run->stamp : 0;
        memcpy(g->buf + i * 512, &(uint64_t){ GUINT64_TO_BE(v.stamp) }, 8);
        g_array_append_val(run->versions[g->first + i], v);
    }
    req_submit(run->im.node, &g->r, op, g->first * 512, op == BLOCK_WRITE ? g->buf : NULL,
               g->n * 512, op == BLOCK_WRITE_ZEROES ? BLOCK_MAY_UNMAP : 0);
}

/* Some at once, each in a part of the disk of its own by chance or not: overlapping ones are what
 * the versions allow, in any order. */
static void guest_wait(Run *run, Guest *g)
{
    wait_zero(run->im.loop, &g->pending);
    g_assert_cmpint(g->r.req.res, ==, 0);
    if (!g->writes) {
        unsigned pair[2] = { g->submitted, run->log->log->len };

        g_array_append_vals(run->flushes, pair, 2);
        return;
    }
    for (uint64_t i = 0; i < g->n; i++) {
        GArray *versions = run->versions[g->first + i];

        for (unsigned k = 0; k < versions->len; k++) {
            Version *v = &g_array_index(versions, Version, k);

            if (v->submitted == g->submitted && v->completed == UINT_MAX) {
                v->completed = run->log->log->len;
            }
        }
    }
    g_free(g->buf);
}

static void play(Run *run)
{
    for (unsigned i = 0; i < OPS; i += 3) {
        Guest guests[3];

        for (unsigned k = 0; k < 3; k++) {
            guest_submit(run, &guests[k], i % 2);
        }
        for (unsigned k = 0; k < 3; k++) {
            guest_wait(run, &guests[k]);
        }
    }
}

/* ---- cuts ---- */

/* May the sector hold stamp after a cut at position cut? */
static bool may_hold(const Run *run, unsigned sector, uint64_t stamp, unsigned cut)
{
    const GArray *versions = run->versions[sector];
    unsigned durable = 0; /* a flush began there, and was answered before the cut */
    bool older_gone = false;

    for (unsigned i = 0; i < run->flushes->len; i += 2) {
        if (g_array_index(run->flushes, unsigned, i + 1) <= cut) {
            durable = MAX(durable, g_array_index(run->flushes, unsigned, i));
        }
    }
    for (unsigned i = versions->len; i-- > 0;) {
        const Version *v = &g_array_index(versions, Version, i);

        if (v->submitted > cut) {
            continue;
        }
        if (v->stamp == stamp) {
            return true;
        }
        if (v->completed <= durable) {
            /* what was overwritten by this one for sure is gone; a concurrent one is not */
            older_gone = true;
            for (unsigned k = 0; k < i; k++) {
                const Version *other = &g_array_index(versions, Version, k);

                older_gone =
                    other->stamp == stamp && other->completed > v->submitted ? false : older_gone;
            }
            return !older_gone;
        }
    }
    return stamp == 0;
}

static void open_log(Run *run, uint64_t size)
{
    g_autoptr(GError) err = NULL;
    BlockNode *file;

    run->im.graph = block_graph_new(crash_drivers, all_engines);
    file = open_text(run->im.graph, false, NULL, "driver=log,node-name=f");
    run->log = file->state;
    memcpy(run->log->data, run->start, size);
    file->size = (size + 511) / 512 * 512;
    run->im.node =
        open_text(run->im.graph, false, &err, "driver=qcow2,node-name=q,file=f,discard=unmap");
    g_assert_no_error(err);
    g_assert_true(block_attach(run->im.node, run->im.loop, NULL));
    run->flushes = g_array_new(FALSE, FALSE, sizeof(unsigned));
    for (unsigned i = 0; i < SECTORS; i++) {
        run->versions[i] = g_array_new(FALSE, FALSE, sizeof(Version));
    }
}

static void clear_log(Run *run)
{
    image_close(&run->im);
    for (unsigned i = 0; i < SECTORS; i++) {
        g_array_unref(run->versions[i]);
    }
    g_array_unref(run->flushes);
    g_free(run->start);
}

static void cut_everywhere(Run *run, uint64_t start_size);

/* Power cuts while it is repaired. */
static void cut_repair(const Run *run, const Check *c)
{
    Run again = { .im.loop = run->im.loop, .random = run->random, .n_images = 1 };

    again.start = g_memdup2(c->image, FILE_MAX);
    open_log(&again, c->size);
    g_assert_cmpuint(again.log->log->len, >, 3);
    for (unsigned i = 0; i < SECTORS; i++) {
        Version v = { .stamp = c->stamps[i] };

        g_array_append_val(again.versions[i], v);
    }
    cut_everywhere(&again, c->size);
    g_assert_cmpuint(again.n_images, <, SAMPLE);
    clear_log(&again);
}

static void check_repaired(const char *path, const Check *before)
{
    Check c = { 0 };
    char *data = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(path, &data, &size, NULL));
    g_assert_cmpuint(size, <=, FILE_MAX);
    data = g_realloc(data, FILE_MAX);
    memset(data + size, 0, FILE_MAX - size);
    c.image = (const uint8_t *)data;
    c.size = size;
    check_image(&c);
    g_assert_cmpstr(c.wrong, ==, NULL);
    g_assert_false(c.dirty);
    g_assert_cmpmem(c.stamps, SECTORS * 8, before->stamps, SECTORS * 8);
    g_free(c.stamps);
    g_free(data);
}

/* By qemu-img, and by being opened here, which must not be worse when it is cut off. */
static void repair(Run *run, const char *path, const Check *c)
{
    g_autoptr(GError) err = NULL;
    Image im = { .loop = run->im.loop };

    g_assert_cmpint(shell(run->im.dir, "cp cut.qcow2 theirs && "
                                       "qemu-img check -q -r all -f qcow2 theirs"),
                    ==, 0);
    im.node = image_try_open(&im, path, "", &err);
    g_assert_no_error(err);
    block_graph_free(im.graph);
    check_repaired(path, c);
    g_assert_cmpint(shell(run->im.dir, "qemu-img check -q -f qcow2 cut.qcow2 && "
                                       "mv theirs cut.qcow2"),
                    ==, 0);
    check_repaired(path, c);
    cut_repair(run, c);
}

static void show_qemu(Run *run, const Check *c)
{
    g_autofree char *path = g_build_filename(run->im.dir, "cut.qcow2", NULL);
    int status;

    g_assert_true(g_file_set_contents(path, (const char *)c->image, c->size, NULL));
    if (c->dirty) {
        repair(run, path, c);
    }
    status = shell(run->im.dir, "qemu-img check -q -f qcow2 cut.qcow2 || [ $? = 3 ]");
    g_assert_cmpint(status, ==, 0);
}

/* What lies behind the end that is there after a power cut is lost with it. */
static void apply(Run *run, uint8_t *image, uint64_t *size, const Entry *e, bool all)
{
    uint64_t end = e->offset + e->bytes;

    if (end > *size && (all || g_rand_boolean(run->random))) {
        *size = end;
    }
    for (uint64_t at = e->offset; !e->resize && at < MIN(end, *size);) {
        uint64_t next = MIN((at / 512 + 1) * 512, MIN(end, *size));

        if (all || g_rand_boolean(run->random)) {
            memcpy(image + at, e->data + (at - e->offset), next - at);
        }
        at = next;
    }
}

static void judge(Run *run, const uint8_t *image, uint64_t size, unsigned cut)
{
    Check c = { .image = image, .size = size };

    check_image(&c);
    if (c.wrong) {
        g_error("cut at %u: %s (offset %#" G_GINT64_MODIFIER "x)", cut, c.wrong, c.where);
    }
    for (unsigned i = 0; i < SECTORS; i++) {
        if (!may_hold(run, i, c.stamps[i], cut)) {
            g_error("cut at %u: sector %u holds %" G_GUINT64_FORMAT, cut, i, c.stamps[i]);
        }
    }
    run->n_dirty += c.dirty;
    if (run->n_images++ % SAMPLE == 0) {
        show_qemu(run, &c);
    }
    g_free(c.stamps);
}

static void cut_everywhere(Run *run, uint64_t start_size)
{
    const GArray *log = run->log->log;
    uint8_t *stable = g_memdup2(run->start, FILE_MAX), *image = g_malloc(FILE_MAX);
    uint64_t stable_size = start_size;
    unsigned flushed = 0;

    for (unsigned cut = 0; cut <= log->len; cut++) {
        for (unsigned k = 0; k < CUTS; k++) {
            uint64_t size = stable_size, used = MAX(stable_size, run->im.node->file->size);

            memcpy(image, stable, used);
            memset(image + used, 0, FILE_MAX - used);
            for (unsigned i = flushed; i < cut; i++) {
                apply(run, image, &size, &g_array_index(log, Entry, i), false);
            }
            judge(run, image, size, cut);
        }
        if (cut < log->len && g_array_index(log, Entry, cut).flush) {
            for (; flushed <= cut; flushed++) {
                apply(run, stable, &stable_size, &g_array_index(log, Entry, flushed), true);
            }
        }
    }
    g_free(stable);
    g_free(image);
}

/* ---- all ---- */

static uint64_t make_start(Run *run)
{
    char *data;
    gsize size;

    g_assert_cmpint(
        shell(run->im.dir, "qemu-img create -q -f qcow2 -o %s q.qcow2 %u", run->options, DISK), ==,
        0);
    if (run->snapshot) {
        g_assert_cmpint(shell(run->im.dir, "qemu-io -f qcow2 -c 'write -z 0 300k' q.qcow2 && "
                                           "qemu-img snapshot -c one q.qcow2"),
                        ==, 0);
    }
    g_assert_true(g_file_get_contents(run->im.path, &data, &size, NULL));
    run->start = g_malloc0(FILE_MAX);
    memcpy(run->start, data, size);
    g_free(data);
    return size;
}

static void test_cuts(gconstpointer data)
{
    const char *options = data;
    bool snapshot = g_str_has_suffix(options, "+snapshot");
    g_autofree char *plain = g_strndup(options, strlen(options) - (snapshot ? 9 : 0));

    if (!have_tools()) {
        g_test_skip("no qemu-img");
        return;
    }
    for (unsigned seed = 1; seed <= 2; seed++) {
        Run *run = g_new0(Run, 1);
        uint64_t size;

        run->options = plain;
        run->snapshot = snapshot;
        run->random = g_rand_new_with_seed(seed);
        image_init(&run->im);
        size = make_start(run);
        open_log(run, size);
        run->log->no_resize = seed == 2;
        play(run);
        cut_everywhere(run, size);
        g_assert_cmpint(run->n_dirty > 0, ==, strstr(options, "lazy") != NULL);
        clear_log(run);
        g_rand_free(run->random);
        image_fini(&run->im);
        g_free(run);
    }
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {
        "compat=1.1,cluster_size=64k",
        "compat=1.1,cluster_size=4k",
        "compat=1.1,cluster_size=512",
        "compat=1.1,cluster_size=512,refcount_bits=64",
        "compat=0.10,cluster_size=4k",
        "compat=1.1,cluster_size=4k+snapshot",
        "compat=1.1,lazy_refcounts=on",
        "compat=1.1,lazy_refcounts=on,cluster_size=512,refcount_bits=64",
        "compat=1.1,lazy_refcounts=on,cluster_size=4k+snapshot",
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *name = g_strconcat("/qcow2/crash/", kinds[i], NULL);

        g_test_add_data_func(name, kinds[i], test_cuts);
    }
    return g_test_run();
}
