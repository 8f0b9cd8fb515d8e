/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random requests to qcow2 images of every kind, several at once, held against a model in memory.
 * Then the judge is QEMU's: qemu-img check must find nothing, and compare nothing that differs. And
 * the other way round: images that qemu-io wrote are read here.
 */
#include "qcow2-harness.h"

#define SIZE (6 * MIB + 3584) /* no multiple of any cluster size */
#define DEPTH 8
#define REQUESTS 400

typedef struct Kind {
    const char *name;
    const char *create; /* -o of qemu-img */
    const char *open;
    bool backing;
    bool compressed; /* starts as one that was converted with -c */
    bool snapshot;
} Kind;

static const Kind kinds[] = {
    { .name = "v3-64k", .create = "compat=1.1", .open = "" },
    { .name = "v3-64k-discard", .create = "compat=1.1", .open = ",discard=unmap" },
    { .name = "v2-64k", .create = "compat=0.10", .open = ",discard=unmap" },
    { .name = "v3-512", .create = "compat=1.1,cluster_size=512", .open = ",discard=unmap" },
    { .name = "v2-512", .create = "compat=0.10,cluster_size=512", .open = "" },
    { .name = "v3-4k",
      .create = "compat=1.1,cluster_size=4k",
      .open = ",discard=unmap,cache-size=8K" },
    { .name = "v3-2M", .create = "compat=1.1,cluster_size=2M", .open = ",discard=unmap" },
    { .name = "v3-4k-refcount1",
      .create = "compat=1.1,cluster_size=4k,refcount_bits=1",
      .open = ",discard=unmap" },
    { .name = "v3-512-refcount2",
      .create = "compat=1.1,cluster_size=512,refcount_bits=2",
      .open = ",discard=unmap" },
    { .name = "v3-4k-refcount4",
      .create = "compat=1.1,cluster_size=4k,refcount_bits=4",
      .open = ",discard=unmap" },
    { .name = "v3-4k-refcount8",
      .create = "compat=1.1,cluster_size=4k,refcount_bits=8",
      .open = ",discard=unmap" },
    { .name = "v3-512-refcount32",
      .create = "compat=1.1,cluster_size=512,refcount_bits=32",
      .open = ",discard=unmap" },
    { .name = "v3-512-refcount64",
      .create = "compat=1.1,cluster_size=512,refcount_bits=64",
      .open = ",discard=unmap" },
    { .name = "v3-lazy", .create = "compat=1.1,lazy_refcounts=on", .open = ",discard=unmap" },
    { .name = "v3-backing", .create = "compat=1.1", .open = ",discard=unmap", .backing = true },
    { .name = "v2-backing",
      .create = "compat=0.10,cluster_size=4k",
      .open = ",discard=unmap",
      .backing = true },
    { .name = "v3-backing-512",
      .create = "compat=1.1,cluster_size=512",
      .open = "",
      .backing = true },
    { .name = "v3-compressed",
      .create = "compat=1.1",
      .open = ",discard=unmap",
      .compressed = true },
    { .name = "v3-compressed-4k",
      .create = "compat=1.1,cluster_size=4k",
      .open = ",discard=unmap",
      .compressed = true },
    { .name = "v3-zstd",
      .create = "compat=1.1,compression_type=zstd",
      .open = "",
      .compressed = true },
    { .name = "v3-snapshot", .create = "compat=1.1", .open = ",discard=unmap", .snapshot = true },
    { .name = "v2-snapshot-4k",
      .create = "compat=0.10,cluster_size=4k",
      .open = ",discard=unmap",
      .snapshot = true },
    { .name = "v3-unmap-file",
      .create = "compat=1.1,cluster_size=4k",
      .open = ",pass-discard-request=on,discard=unmap" },
};

typedef struct Slot {
    Req r;
    bool busy;
    uint64_t offset, bytes;
    uint8_t *buf;
} Slot;

typedef struct Run {
    const Kind *kind;
    Image im;
    GRand *random;
    uint8_t *model;
    Slot slots[DEPTH];
    unsigned pending;
} Run;

static void fill(Run *run, uint8_t *buf, size_t bytes)
{
    uint32_t seed = g_rand_int(run->random);

    for (size_t i = 0; i < bytes; i++) {
        if (i % 512 == 0) {
            seed = seed * 1664525 + 1013904223;
        }
        buf[i] = seed >> (i % 3 * 8);
    }
}

/* A raw file of the model's size with some data, for what the image begins with. */
static void make_start(Run *run)
{
    g_autofree char *raw = make_image(run->im.dir, "start.raw", SIZE);
    int fd = open(raw, O_RDWR);

    for (unsigned i = 0; i < 12; i++) {
        size_t bytes = g_rand_int_range(run->random, 1, 400) * 512;
        uint64_t at = g_rand_int_range(run->random, 0, (SIZE - bytes) / 512) * UINT64_C(512);

        fill(run, run->model + at, bytes);
        g_assert_cmpint(pwrite(fd, run->model + at, bytes, at), ==, bytes);
    }
    close(fd);
}

static void make_qcow2(Run *run)
{
    const Kind *k = run->kind;
    const char *dir = run->im.dir;

    if (k->backing) {
        make_start(run);
        g_assert_cmpint(
            shell(dir, "qemu-img create -q -f qcow2 -o %s -b start.raw -F raw q.qcow2", k->create),
            ==, 0);
    } else if (k->compressed || k->snapshot) {
        make_start(run);
        g_assert_cmpint(shell(dir, "qemu-img convert -q %s -O qcow2 -o %s start.raw q.qcow2",
                              k->compressed ? "-c" : "", k->create),
                        ==, 0);
    } else {
        g_assert_cmpint(shell(dir, "qemu-img create -q -f qcow2 -o %s q.qcow2 %u", k->create, SIZE),
                        ==, 0);
    }
    if (k->snapshot) {
        g_assert_cmpint(shell(dir, "qemu-img snapshot -c one q.qcow2"), ==, 0);
    }
}

/* ---- requests ---- */

static bool overlaps_busy(const Run *run, uint64_t offset, uint64_t bytes)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        const Slot *s = &run->slots[i];

        if (s->busy && offset < s->offset + s->bytes && s->offset < offset + bytes) {
            return true;
        }
    }
    return false;
}

static void pick_range(Run *run, uint64_t *offset, uint64_t *bytes)
{
    unsigned max = g_rand_int_range(run->random, 0, 8) == 0 ? 1500 : 40;

    do {
        *bytes = g_rand_int_range(run->random, 1, max) * 512;
        *offset = g_rand_int_range(run->random, 0, SIZE / 512) * UINT64_C(512);
        *bytes = MIN(*bytes, SIZE - *offset);
    } while (overlaps_busy(run, *offset, *bytes));
}

static void check_read(const Run *run, const Slot *s)
{
    for (uint64_t i = 0; i < s->bytes; i++) {
        if (s->buf[i] != run->model[s->offset + i]) {
            g_error("%s: byte %" G_GUINT64_FORMAT " is %02x, not %02x", run->kind->name,
                    s->offset + i, s->buf[i], run->model[s->offset + i]);
        }
    }
}

/* A discarded range is zeros, or what it was, in pieces that are the driver's to choose. */
static void adopt_discard(Run *run, const Slot *s)
{
    g_assert_cmpint(do_io(run->im.node, BLOCK_READ, s->offset, s->buf, s->bytes), ==, 0);
    for (uint64_t i = 0; i < s->bytes; i += 512) {
        uint8_t zeros[512] = { 0 };

        if (memcmp(s->buf + i, run->model + s->offset + i, 512)) {
            g_assert_cmpmem(s->buf + i, 512, zeros, 512);
        }
    }
    memcpy(run->model + s->offset, s->buf, s->bytes);
}

static void settle(Run *run, Slot *s)
{
    g_assert_cmpint(s->r.n_done, ==, 1);
    g_assert_cmpint(s->r.req.res, ==, 0);
    s->busy = false;
    if (s->r.req.op == BLOCK_READ) {
        check_read(run, s);
    } else if (s->r.req.op == BLOCK_DISCARD) {
        adopt_discard(run, s);
    }
}

static void wait_all(Run *run)
{
    wait_zero(run->im.loop, &run->pending);
    for (unsigned i = 0; i < DEPTH; i++) {
        if (run->slots[i].busy) {
            settle(run, &run->slots[i]);
        }
    }
}

static void start_one(Run *run, Slot *s)
{
    static const BlockOp ops[] = { BLOCK_READ,  BLOCK_READ,         BLOCK_WRITE,
                                   BLOCK_WRITE, BLOCK_WRITE_ZEROES, BLOCK_DISCARD };
    BlockOp op = ops[g_rand_int_range(run->random, 0, G_N_ELEMENTS(ops))];
    uint32_t flags = g_rand_int_range(run->random, 0, 10) == 0 ? BLOCK_FUA : 0;

    pick_range(run, &s->offset, &s->bytes);
    s->busy = true;
    s->r.pending = &run->pending;
    run->pending++;
    if (op == BLOCK_WRITE) {
        fill(run, s->buf, s->bytes);
        memcpy(run->model + s->offset, s->buf, s->bytes);
    } else if (op == BLOCK_WRITE_ZEROES) {
        memset(run->model + s->offset, 0, s->bytes);
        flags |= g_rand_boolean(run->random) ? BLOCK_MAY_UNMAP : 0;
    } else {
        memset(s->buf, 0xa5, s->bytes);
    }
    req_submit(run->im.node, &s->r, op, s->offset,
               op == BLOCK_READ || op == BLOCK_WRITE ? s->buf : NULL, s->bytes, flags);
}

static void requests(Run *run, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        Slot *s = &run->slots[i % DEPTH];

        if (s->busy) {
            wait_all(run);
        }
        start_one(run, s);
        if (i % 97 == 96) {
            wait_all(run);
            g_assert_cmpint(do_io(run->im.node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
        }
    }
    wait_all(run);
}

/* ---- the judge ---- */

static void judge(Run *run)
{
    g_autofree char *raw = g_build_filename(run->im.dir, "model.raw", NULL);

    g_assert_true(g_file_set_contents(raw, (char *)run->model, SIZE, NULL));
    g_assert_cmpint(shell(run->im.dir, "qemu-img check -q q.qcow2"), ==, 0);
    g_assert_cmpint(shell(run->im.dir, "qemu-img compare -q -f raw -F qcow2 model.raw q.qcow2"), ==,
                    0);
    if (run->kind->snapshot) {
        g_assert_cmpint(shell(run->im.dir,
                              "qemu-img convert -q -l snapshot.name=one -O raw q.qcow2 one.raw && "
                              "qemu-img compare -q -f raw -F raw one.raw start.raw"),
                        ==, 0);
    }
}

static void test_random(gconstpointer data)
{
    Run run = { .kind = data, .random = g_rand_new_with_seed(7) };

    if (!have_tools()) {
        g_test_skip("no qemu-img");
        return;
    }
    image_init(&run.im);
    run.model = g_malloc0(SIZE);
    for (unsigned i = 0; i < DEPTH; i++) {
        run.slots[i].buf = g_malloc(1500 * 512);
    }
    make_qcow2(&run);
    for (unsigned round = 0; round < 2; round++) {
        g_autofree char *more = g_strconcat(",cache.no-flush=on", run.kind->open, NULL);

        image_open(&run.im, more);
        g_assert_cmpuint(run.im.node->size, ==, SIZE);
        requests(&run, REQUESTS);
        image_close(&run.im);
        judge(&run);
    }
    for (unsigned i = 0; i < DEPTH; i++) {
        g_free(run.slots[i].buf);
    }
    g_free(run.model);
    g_rand_free(run.random);
    image_fini(&run.im);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *name = g_strconcat("/qcow2/random/", kinds[i].name, NULL);

        g_test_add_data_func(name, &kinds[i], test_random);
    }
    return g_test_run();
}
