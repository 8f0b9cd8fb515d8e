/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: what is refused at opening and with which words, what a bad table does to requests,
 * backing files, images that QEMU's tools wrote, changes of size, and large and deep ones.
 */
#include "block/qcow2-internal.h"
#include "qcow2-harness.h"

#define DISK (4 * MIB)

static bool skip_without_tools(void)
{
    if (!have_tools()) {
        g_test_skip("no qemu-img");
        return true;
    }
    return false;
}

static void patch(const char *path, uint64_t offset, uint64_t value, unsigned bytes)
{
    uint64_t be = GUINT64_TO_BE(value << (64 - 8 * bytes));
    int fd = open(path, O_RDWR);

    g_assert_cmpint(pwrite(fd, &be, bytes, offset), ==, bytes);
    close(fd);
}

static uint64_t peek(const char *path, uint64_t offset, unsigned bytes)
{
    uint64_t be = 0;
    int fd = open(path, O_RDONLY);

    g_assert_cmpint(pread(fd, &be, bytes, offset), ==, bytes);
    close(fd);
    return GUINT64_FROM_BE(be) >> (64 - 8 * bytes);
}

static void assert_refused(Image *im, const char *more, const char *words)
{
    g_autoptr(GError) err = NULL;
    BlockNode *node = image_try_open(im, im->path, more, &err);

    if (node || !strstr(err->message, words)) {
        g_test_message("expected \"%s\": %s", words, err ? err->message : "opened");
        g_test_fail();
    }
    block_graph_free(im->graph);
}

/* ---- the header ---- */

typedef struct Bad {
    uint64_t offset, value;
    unsigned bytes;
    const char *words;
    bool write_only; /* it can be read */
} Bad;

static const Bad bad_headers[] = {
    { 0, 0x514649fa, 4, "is not a qcow2 image", false },
    { 4, 1, 4, "of version 1, and only 2 and 3", false },
    { 4, 4, 4, "of version 4, and only 2 and 3", false },
    { 20, 0, 4, "cluster size is not between", false },
    { 20, 8, 4, "cluster size is not between", false },
    { 20, 22, 4, "cluster size is not between", false },
    { 20, 0xffffffff, 4, "cluster size is not between", false },
    { 24, UINT64_MAX, 8, "its disk is too large", false },
    { 24, INT64_MAX, 8, "L1 table is too large", false },
    { 24, 1ull << 40, 8, "L1 table is too small", false },
    { 32, 1, 4, "is encrypted", false },
    { 32, 2, 4, "is encrypted", false },
    { 36, 0, 4, "L1 table is too small", false },
    { 36, 0xffffffff, 4, "L1 table is too large", false },
    { 36, 4 * MIB, 4, "L1 table does not lie in the file", false },
    { 40, 0, 8, "L1 table does not lie in the file", false },
    { 40, 0x30001, 8, "L1 table does not lie in the file", false },
    { 40, UINT64_MAX << 16, 8, "L1 table does not lie in the file", false },
    { 40, 0x10000, 8, "overlaps other metadata", true },
    { 48, 0, 8, "refcount table does not lie in the file", false },
    { 48, 0x10200, 8, "refcount table does not lie in the file", false },
    { 48, 1ull << 60, 8, "refcount table does not lie in the file", false },
    { 56, 0, 4, "it has no refcount table", false },
    { 56, 0xffffffff, 4, "refcount table is too large", false },
    { 56, 100, 4, "refcount table does not lie in the file", false },
    { 60, 0xffffffff, 4, "too many snapshots", false },
    { 60, 1, 4, "snapshot table does not lie in the file", false },
    { 72, 1ull << 1, 8, "is marked corrupt", true },
    { 72, 1ull << 2, 8, "'external data file'", false },
    { 72, 1ull << 3, 8, "compression type and feature bits", false },
    { 72, 1ull << 63, 8, "'incompatible bit 63'", false },
    { 96, 7, 4, "wider than 64 bits", false },
    { 100, 103, 4, "length of its header", false },
    { 100, 0xffffffff, 4, "length of its header", false },
    { 104, 1, 1, "compression type and feature bits", false },
    { 104, 2, 1, "compression type 2", false },
    { 116, 0xffffff, 4, "header extension reaches past", false },
    { 8, 0xfffffffffffffff0, 8, "name of its backing file", false },
};

static void make(Image *im, const char *options, const char *size)
{
    g_assert_cmpint(shell(im->dir, "qemu-img create -q -f qcow2 %s q.qcow2 %s", options, size), ==,
                    0);
}

static void test_header(void)
{
    g_autofree char *good = NULL;
    gsize len;
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    make(&im, "", "4M");
    g_assert_true(g_file_get_contents(im.path, &good, &len, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_headers); i++) {
        const Bad *b = &bad_headers[i];
        g_autoptr(GError) err = NULL;

        g_assert_true(g_file_set_contents_full(im.path, good, len, 0, 0666, NULL));
        patch(im.path, b->offset, b->value, b->bytes);
        if (b->offset == 8) {
            patch(im.path, 16, 10, 4);
        }
        assert_refused(&im, "", b->words);
        if (b->write_only) {
            g_assert_nonnull(image_try_open(&im, im.path, ",read-only=on", &err));
            block_graph_free(im.graph);
        } else {
            assert_refused(&im, ",read-only=on", b->words);
        }
    }
    image_fini(&im);
}

/* The name of a feature that nobody knows comes from the image. */
static void test_feature_name(void)
{
    Image im;
    uint64_t at = 104;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    make(&im, "", "4M");
    at = peek(im.path, 100, 4);
    g_assert_cmphex(peek(im.path, at, 4), ==, 0x6803f857);
    patch(im.path, at + 8, 0x0029, 2);              /* incompatible, bit 41 */
    patch(im.path, at + 10, 0x616c69656e000000, 8); /* "alien" */
    patch(im.path, 72, 1ull << 41, 8);
    assert_refused(&im, "", "needs the feature 'alien'");
    image_fini(&im);
}

/* Cut anywhere: refused, or errors, and never more than that. */
static void test_truncated(void)
{
    static uint8_t buf[DISK];
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    for (unsigned kib = 0; kib <= 512; kib += 24) {
        g_autoptr(GError) err = NULL;
        BlockNode *node;

        make(&im, "", "4M");
        g_assert_cmpint(shell(im.dir, "qemu-io -f qcow2 -c 'write 0 256k' q.qcow2"), ==, 0);
        g_assert_cmpint(truncate(im.path, kib * KIB + 100), ==, 0);
        node = image_try_open(&im, im.path, "", &err);
        if (node) {
            g_assert_true(block_attach(node, im.loop, NULL));
            do_io(node, BLOCK_READ, 0, buf, DISK);
            do_io(node, BLOCK_WRITE, 0, buf, DISK);
            do_io(node, BLOCK_FLUSH, 0, NULL, 0);
            block_detach(node);
        } else {
            g_assert_cmpuint(kib, <, 256);
        }
        block_graph_free(im.graph);
    }
    image_fini(&im);
}

/* ---- tables ---- */

/* An image with its first 256 KiB written; *l2 is where its L2 table lies. */
static void make_written(Image *im, uint64_t *l2)
{
    make(im, "", "4M");
    g_assert_cmpint(shell(im->dir, "qemu-io -f qcow2 -c 'write -P 7 0 256k' q.qcow2"), ==, 0);
    *l2 = peek(im->path, peek(im->path, 40, 8), 8) & 0x00fffffffffffe00;
}

/* First L2 entries that lead a write astray: into metadata, past the end, between clusters. */
static void test_entries(void)
{
    static const uint64_t places[] = {
        0,                /* replaced by the L2 table itself */
        0x10000,          /* the refcount table */
        0x20000,          /* a refcount block */
        0x30000,          /* the L1 table */
        0x10200,          /* not aligned */
        0x7fffff0000,     /* behind the end */
        0xffffffffff0000, /* as far as can be */
    };
    Image im;
    uint64_t l2;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *before = NULL, *after = NULL;
        uint8_t buf[4096] = { 1 };
        gsize len, len_after;

        make_written(&im, &l2);
        patch(im.path, l2, (places[i] ? places[i] : l2) | 1ull << 63, 8);
        g_assert_true(g_file_get_contents(im.path, &before, &len, NULL));
        image_open(&im, "");
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE, 512, buf, 4096), ==, -EIO);
        /* nothing is written any more, but read */
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE, 65536, buf, 4096), ==, -EIO);
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE_ZEROES, 0, NULL, 65536), ==, -EIO);
        g_assert_cmpint(do_io(im.node, BLOCK_READ, 65536, buf, 4096), ==, 0);
        g_assert_cmpint(buf[0], ==, 7);
        image_close(&im);
        g_assert_cmphex(peek(im.path, 72, 8), ==, 2);
        assert_refused(&im, "", "is marked corrupt");
        /* and that bit is all that was written */
        patch(im.path, 72, 0, 8);
        g_assert_true(g_file_get_contents(im.path, &after, &len_after, NULL));
        g_assert_cmpmem(before, len, after, len_after);
    }
    image_fini(&im);
}

/* Refcounts that say that metadata is free: an allocation must not take it. */
static void test_refcount_zero(void)
{
    uint8_t buf[4096] = { 1 };
    Image im;
    uint64_t l2;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    for (unsigned cluster = 0; cluster < 5; cluster++) {
        make_written(&im, &l2);
        g_assert_cmphex(l2, ==, 0x40000);
        patch(im.path, 0x20000 + cluster * 2, 0, 2);
        image_open(&im, "");
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE, MIB, buf, 4096), ==, -EIO);
        image_close(&im);
        g_assert_cmphex(peek(im.path, 72, 8), ==, 2);
    }
    image_fini(&im);
}

/* Two L1 entries with one table, an L2 table in the header, a block outside of the file. */
static void test_tables_overlap(void)
{
    static const struct {
        uint64_t offset, value;
    } bad[] = {
        { 0x30008, 0x40000 | 1ull << 63 },
        { 0x30008, 1ull << 63 | 0x200 },
        { 0x30008, 0x10000 | 1ull << 63 },
        { 0x30008, 0x7fffff0000 },
        { 0x10000, 0x7fffff0000 },
        { 0x10008, 0x20000 },
        { 0x10008, 0x30000 },
        { 0x10008, 0x12345600 },
        { 0x30000, 0x80000200 | 1ull << 63 },
    };
    Image im;
    uint64_t l2;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        static uint8_t buf[64 * KIB];
        BlockNode *node;

        make(&im, "", "1G");
        g_assert_cmpint(shell(im.dir, "qemu-io -f qcow2 -c 'write -P 7 0 64k' q.qcow2"), ==, 0);
        l2 = peek(im.path, 0x30000, 8) & 0x00fffffffffffe00;
        g_assert_cmphex(l2, ==, 0x40000);
        patch(im.path, bad[i].offset, bad[i].value, 8);
        assert_refused(&im, "", "overlaps other metadata or lies outside");
        node = image_try_open(&im, im.path, ",read-only=on", &err);
        g_assert_no_error(err);
        g_assert_true(block_attach(node, im.loop, NULL));
        do_io(node, BLOCK_READ, 0, buf, sizeof(buf));
        do_io(node, BLOCK_READ, 512 * MIB, buf, sizeof(buf));
        block_detach(node);
        block_graph_free(im.graph);
    }
    image_fini(&im);
}

/* ---- backing files ---- */

static void expect(Image *im, const char *more, uint64_t offset, uint8_t byte)
{
    uint8_t buf[512];

    image_open(im, more);
    g_assert_cmpint(do_io(im->node, BLOCK_READ, offset, buf, sizeof(buf)), ==, 0);
    g_assert_cmphex(buf[0], ==, byte);
    g_assert_cmphex(buf[511], ==, byte);
    image_close(im);
}

/* Names are relative to the image that has them, not to where we are. */
static void test_backing_names(void)
{
    static const char *const creates[] = {
        "-b base.qcow2 -F qcow2",      "-b base.qcow2 -F qcow2 -o compat=0.10",
        "-b ./base.qcow2 -F qcow2",    "-b $PWD/base.qcow2 -F qcow2",
        "-b file:base.qcow2 -F qcow2",
    };
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    g_assert_cmpint(shell(im.dir, "qemu-img create -q -f qcow2 base.qcow2 4M && "
                                  "qemu-io -f qcow2 -c 'write -P 9 64k 64k' base.qcow2 && "
                                  "qemu-img create -q -f qcow2 other.qcow2 4M && "
                                  "qemu-io -f qcow2 -c 'write -P 8 64k 64k' other.qcow2"),
                    ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(creates); i++) {
        g_autofree char *other = g_strdup_printf(
            ",backing.driver=qcow2,backing.file.driver=file,backing.file.filename=%s/other.qcow2",
            im.dir);

        make(&im, creates[i], "4M");
        expect(&im, "", 64 * KIB, 9);
        expect(&im, ",backing=", 64 * KIB, 0);
        expect(&im, other, 64 * KIB, 8);
    }
    /* without a format it is what it looks like */
    make(&im, creates[0], "4M");
    g_assert_cmphex(peek(im.path, peek(im.path, 100, 4), 4), ==, 0xe2792aca);
    patch(im.path, peek(im.path, 100, 4), 0x12345678, 4);
    expect(&im, "", 64 * KIB, 9);
    image_fini(&im);
}

static void test_backing_refused(void)
{
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    make(&im, "-u -b nosuch.qcow2 -F qcow2", "4M");
    assert_refused(&im, "", "nosuch.qcow2': No such file");
    make(&im, "-u -b ./q.qcow2 -F qcow2", "4M");
    assert_refused(&im, "", "in its own chain of backing files");
    make(&im, "-u -b two.qcow2 -F qcow2", "4M");
    g_assert_cmpint(
        shell(im.dir, "qemu-img create -q -f qcow2 -u -b ./q.qcow2 -F qcow2 two.qcow2 4M"), ==, 0);
    assert_refused(&im, "", "in its own chain of backing files");
    make(&im, "-u -b nbd:unix:/x -F raw", "4M");
    assert_refused(&im, "", "unknown protocol 'nbd'");
    make(&im, "-u -b two.qcow2 -F qed", "4M");
    assert_refused(&im, "", "Unknown block driver 'qed'");
    make(&im, "", "4M");
    assert_refused(&im, ",backing=nope", "no block node 'nope'");
    image_fini(&im);
}

/* 16 images on top of each other, each with a cluster of its own; a shorter and a longer one. */
static void test_chain(void)
{
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    g_assert_cmpint(
        shell(im.dir,
              "qemu-img create -q -f raw c0 2M && qemu-io -f raw -c 'write -P 100 0 2M' c0 && "
              "f=raw && for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do "
              "qemu-img create -q -f qcow2 -o cluster_size=$((512 << i %% 8)) -b c$((i - 1)) "
              "-F $f c$i $((2 + i %% 3))M && f=qcow2 && "
              "qemu-io -f qcow2 -c \"write -P $i $((i * 64))k 64k\" c$i || exit 1; done && "
              "mv c15 q.qcow2"),
        ==, 0);
    for (unsigned i = 1; i < 16; i++) {
        expect(&im, "", i * 64 * KIB, i);
    }
    expect(&im, "", 0, 100);
    expect(&im, "", 2 * MIB - 512, 100);
    image_open(&im, "");
    for (unsigned i = 0; i < 16; i++) { /* copies what lies around from all the way down */
        uint8_t buf[512];

        memset(buf, 200 + i, sizeof(buf));
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE, i * 64 * KIB + 1024, buf, 512), ==, 0);
    }
    image_close(&im);
    for (unsigned i = 1; i < 16; i++) {
        expect(&im, "", i * 64 * KIB, i);
        expect(&im, "", i * 64 * KIB + 1024, 200 + i);
    }
    g_assert_cmpint(shell(im.dir, "qemu-img check -q q.qcow2"), ==, 0);
    image_fini(&im);
}

/* ---- sizes ---- */

static void test_large(void)
{
    uint8_t buf[4096];
    const Qcow2State *s;
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    make(&im, "", "1T");
    image_open(&im, ",l2-cache-size=64K"); /* 16 slices */
    s = im.node->state;
    for (unsigned i = 0; i < 64;
         i++) { /* each in an L2 table of its own: more than the cache has */
        memset(buf, i + 1, sizeof(buf));
        g_assert_cmpint(
            do_io(im.node, BLOCK_WRITE, i * 16 * UINT64_C(1073741000) / 4096 * 4096, buf, 4096), ==,
            0);
        g_assert_cmpuint(g_hash_table_size(s->l2_cache.slices), <=, 17);
    }
    image_close(&im);
    g_assert_cmpint(shell(im.dir, "qemu-img check -q q.qcow2"), ==, 0);
    for (unsigned i = 0; i < 64; i += 9) {
        expect(&im, "", i * 16 * UINT64_C(1073741000) / 4096 * 4096, i + 1);
    }
    image_fini(&im);
}

static int resize(BlockNode *node, uint64_t size)
{
    unsigned pending = 1;
    Req r = { .pending = &pending, .req = { .op = BLOCK_RESIZE, .bytes = size } };

    r.req.done = req_done;
    block_submit(node, &r.req);
    wait_zero(node->loop, &pending);
    return r.req.res;
}

static void test_resize(void)
{
    static const char *const options[] = { "-o cluster_size=64k", "-o cluster_size=512",
                                           "-o compat=0.10,cluster_size=4k" };
    uint8_t buf[512];
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        make(&im, options[i], "1M");
        image_open(&im, "");
        memset(buf, 5, sizeof(buf));
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE, MIB - 512, buf, 512), ==, 0);
        g_assert_cmpint(resize(im.node, 512 * KIB), ==, -ENOTSUP);
        g_assert_cmpint(resize(im.node, 2 * MIB + 100), ==, -EINVAL);
        for (uint64_t size = 2 * MIB; size <= 64 * MIB; size *= 2) {
            g_assert_cmpint(resize(im.node, size), ==, 0);
            g_assert_cmpuint(im.node->size, ==, size);
            g_assert_cmpint(do_io(im.node, BLOCK_WRITE, size - 512, buf, 512), ==, 0);
        }
        image_close(&im);
        g_assert_cmpint(shell(im.dir, "qemu-img check -q q.qcow2"), ==, 0);
        for (uint64_t size = MIB; size <= 64 * MIB; size *= 2) {
            expect(&im, "", size - 512, 5);
            expect(&im, "", size - 1024, 0);
        }
    }
    image_fini(&im);
}

/* ---- what QEMU's tools write ---- */

static void test_theirs(void)
{
    static const char *const options[] = {
        "-o compat=1.1",
        "-o compat=0.10",
        "-o compat=1.1,cluster_size=512",
        "-o compat=1.1,preallocation=metadata",
        "-o compat=1.1,preallocation=full,cluster_size=2M",
        "-o compat=1.1,extended_l2=on",
        "-o compat=1.1,extended_l2=on,cluster_size=16k",
    };
    g_autofree uint8_t *got = g_malloc(DISK);
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        g_autofree char *raw = g_build_filename(im.dir, "t.raw", NULL);
        g_autofree char *want = NULL;
        gsize len;

        make(&im, options[i], "4M");
        g_assert_cmpint(shell(im.dir, "qemu-io -f qcow2 -c 'write -P 1 1k 70k' "
                                      "-c 'write -P 2 200k 3k' -c 'write -P 3 1M 1M' "
                                      "-c 'write -z 1100k 100k' -c 'write -z -u 1500k 200k' "
                                      "-c 'discard 128k 64k' -c 'write -P 4 4095k 1k' q.qcow2 && "
                                      "qemu-img convert -q -O raw q.qcow2 t.raw"),
                        ==, 0);
        g_assert_true(g_file_get_contents(raw, &want, &len, NULL));
        g_assert_cmpuint(len, ==, DISK);
        image_open(&im, ",read-only=on");
        g_assert_cmpint(do_io(im.node, BLOCK_READ, 0, got, DISK), ==, 0);
        g_assert_cmpmem(got, DISK, want, DISK);
        image_close(&im);
    }
    assert_refused(&im, "", "has subclusters");
    image_fini(&im);
}

/* An image whose refcounts a writer that was killed hadn't written. */
static void make_dirty(Image *im, const char *options)
{
    make(im, options, "4M");
    g_assert_cmpint(shell(im->dir, "qemu-io -f qcow2 -c 'write -P 7 0 1M' -c 'abort' q.qcow2; "
                                   "[ $? -gt 1 ]"),
                    ==, 0);
    g_assert_cmphex(peek(im->path, 72, 8), ==, 1);
}

/* Who reads it leaves it as it is; who writes repairs it first. */
static void test_dirty(void)
{
    static const char *const options[] = {
        "-o lazy_refcounts=on",
        "-o lazy_refcounts=on,cluster_size=512",
        "-o lazy_refcounts=on,cluster_size=4k,refcount_bits=1",
        "-o lazy_refcounts=on,cluster_size=512,refcount_bits=64",
        "-o lazy_refcounts=on,cluster_size=2M",
    };
    uint8_t buf[512] = { 6 };
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        make_dirty(&im, options[i]);
        expect(&im, ",read-only=on", MIB - 512, 7);
        g_assert_cmphex(peek(im.path, 72, 8), ==, 1);
        image_open(&im, ",lazy-refcounts=off");
        g_assert_cmphex(peek(im.path, 72, 8), ==, 0);
        g_assert_cmpint(shell(im.dir, "qemu-img check -q -U q.qcow2"), ==, 0);
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE, 3 * MIB, buf, 512), ==, 0);
        image_close(&im);
        g_assert_cmpint(shell(im.dir, "qemu-img check -q q.qcow2"), ==, 0);
        expect(&im, "", 3 * MIB + 512, 0);
        expect(&im, "", MIB - 512, 7);
    }
    image_fini(&im);
}

/* One that would take much memory to count is not counted. */
static void test_dirty_and_large(void)
{
    uint8_t buf[512] = { 6 };
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    make_dirty(&im, "-o lazy_refcounts=on,cluster_size=512");
    g_assert_cmpint(truncate(im.path, INT64_C(32) << 30), ==, 0);
    image_open(&im, "");
    g_assert_cmpint(do_io(im.node, BLOCK_WRITE, 3 * MIB, buf, 512), ==, 0);
    image_close(&im);
    g_assert_cmphex(peek(im.path, 72, 8), ==, 1);
    expect(&im, ",read-only=on", MIB - 512, 7);
    image_fini(&im);
}

/* With more wrong than that it grows, nothing is freed, and the bit stays until a check repairs
 * it. */
static void test_dirty_and_worse(void)
{
    static uint8_t buf[MIB];
    uint64_t l2;
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    make_dirty(&im, "-o lazy_refcounts=on");
    l2 = peek(im.path, peek(im.path, 40, 8), 8) & 0x00fffffffffffe00;
    patch(im.path, l2 + 17 * 8, peek(im.path, l2, 8), 8); /* two owners */
    image_open(&im, ",discard=unmap");
    memset(buf, 6, sizeof(buf));
    g_assert_cmpint(do_io(im.node, BLOCK_DISCARD, 0, NULL, 512 * KIB), ==, 0);
    g_assert_cmpint(do_io(im.node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    g_assert_cmpint(do_io(im.node, BLOCK_WRITE, 2 * MIB, buf, MIB), ==, 0);
    image_close(&im);
    g_assert_cmphex(peek(im.path, 72, 8), ==, 1);
    g_assert_cmpint(shell(im.dir, "qemu-img check -q -r all q.qcow2; qemu-img check -q q.qcow2"),
                    ==, 0);
    expect(&im, "", 0, 0);
    expect(&im, "", MIB - 512, 7);
    expect(&im, "", 3 * MIB - 512, 6);
    image_fini(&im);
}

/* Flushes of the file that a write to a new cluster and a flush take. */
static uint64_t flushes_of_write(Image *im, uint64_t offset)
{
    uint64_t before = im->node->file->stats.ops[BLOCK_FLUSH];
    uint8_t buf[512] = { 1 };

    g_assert_cmpint(do_io(im->node, BLOCK_WRITE, offset, buf, sizeof(buf)), ==, 0);
    g_assert_cmpint(do_io(im->node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    return im->node->file->stats.ops[BLOCK_FLUSH] - before;
}

/* The dirty bit is there from the first allocation to the end, and flushes are saved. */
static void test_lazy(void)
{
    static const struct {
        const char *create, *more;
        bool lazy;
    } rows[] = {
        { "-o compat=1.1", ",discard=unmap", false },
        { "-o compat=1.1", ",discard=unmap,lazy-refcounts=on", true },
        { "-o lazy_refcounts=on", ",discard=unmap", true },
        { "-o lazy_refcounts=on", ",discard=unmap,lazy-refcounts=off", false },
        { "-o compat=0.10", ",discard=unmap,lazy-refcounts=off", false },
    };
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t flushes = rows[i].lazy ? 1 : 2;

        make(&im, rows[i].create, "1G");
        g_assert_cmpint(shell(im.dir, "qemu-io -f qcow2 -c 'write -P 7 0 64k' q.qcow2"), ==, 0);
        image_open(&im, rows[i].more);
        g_assert_cmpuint(flushes_of_write(&im, 0), ==, 1);
        g_assert_cmphex(peek(im.path, 72, 8) & 1, ==, 0); /* an overwrite changes no refcount */
        g_assert_cmpuint(flushes_of_write(&im, 64 * KIB), ==, 2);
        g_assert_cmphex(peek(im.path, 72, 8) & 1, ==, rows[i].lazy);
        g_assert_cmpuint(flushes_of_write(&im, 128 * KIB), ==, flushes);
        g_assert_cmpuint(flushes_of_write(&im, 192 * KIB), ==, flushes);
        /* a cluster that had other data: that is overwritten before it is named */
        g_assert_cmpint(do_io(im.node, BLOCK_DISCARD, 64 * KIB, NULL, 64 * KIB), ==, 0);
        g_assert_cmpint(do_io(im.node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
        g_assert_cmpuint(flushes_of_write(&im, 64 * KIB), ==, 2);
        image_close(&im);
        g_assert_cmphex(peek(im.path, 72, 8) & 1, ==, 0);
        g_assert_cmpint(shell(im.dir, "qemu-img check -q q.qcow2 && "
                                      "[ $(stat -c %%s q.qcow2) -lt 1048576 ]"),
                        ==, 0);
        expect(&im, "", 512, 7);
    }
    make(&im, "-o compat=0.10", "4M");
    assert_refused(&im, ",lazy-refcounts=on", "lazy-refcounts needs an image of version 3");
    image_fini(&im);
}

/* Bitmaps are of no use when their image was written by who doesn't know them. */
static void test_autoclear(void)
{
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    make(&im, "", "4M");
    patch(im.path, 88, 3, 8);
    expect(&im, ",read-only=on", 0, 0);
    g_assert_cmphex(peek(im.path, 88, 8), ==, 3);
    expect(&im, "", 0, 0);
    g_assert_cmphex(peek(im.path, 88, 8), ==, 0);
    image_fini(&im);
}

static uint32_t status_at(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    unsigned pending = 1;
    Req r = { .pending = &pending };

    r.req = (BlockReq){ .op = BLOCK_STATUS, .offset = offset, .bytes = bytes, .done = req_done };
    block_submit(node, &r.req);
    wait_zero(node->loop, &pending);
    g_assert_cmpint(r.req.res, ==, 0);
    g_assert_cmpuint(r.req.known, ==, bytes);
    return r.req.status;
}

/* What a write of zeros, of all but zeros, and of zeros but for the last byte leave. */
static void test_detect_zeroes(void)
{
    static const struct {
        const char *more;
        uint32_t status;
    } rows[] = {
        { ",detect-zeroes=off", BLOCK_ALLOCATED },
        { ",detect-zeroes=on", BLOCK_ALLOCATED | BLOCK_ZERO },
        { ",discard=unmap,detect-zeroes=unmap", BLOCK_ALLOCATED | BLOCK_ZERO },
    };
    g_autofree uint8_t *buf = g_malloc0(64 * KIB);
    Image im;

    if (skip_without_tools()) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        image_init(&im);
        make(&im, "", "4M");
        image_open(&im, rows[i].more);
        memset(buf, 1, 64 * KIB);
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE, 0, buf, 64 * KIB), ==, 0);
        memset(buf, 0, 64 * KIB);
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE, 0, buf, 64 * KIB), ==, 0);
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE, 128 * KIB, buf, 64 * KIB), ==, 0);
        buf[64 * KIB - 1] = 1;
        g_assert_cmpint(do_io(im.node, BLOCK_WRITE, 64 * KIB, buf, 64 * KIB), ==, 0);
        g_assert_cmpuint(im.node->stats.ops[BLOCK_WRITE], ==, 4);
        g_assert_cmphex(status_at(im.node, 0, 64 * KIB), ==, rows[i].status);
        g_assert_cmphex(status_at(im.node, 64 * KIB, 64 * KIB), ==, BLOCK_ALLOCATED);
        g_assert_cmphex(status_at(im.node, 128 * KIB, 64 * KIB), ==,
                        i == 0 ? BLOCK_ALLOCATED : rows[i].status);
        image_close(&im);
        g_assert_cmpint(shell(im.dir, "qemu-img check -q q.qcow2 && "
                                      "qemu-io -r -f qcow2 -c 'read -P 0 0 65536' "
                                      "-c 'read -P 1 131071 1' q.qcow2 >o && ! grep -q fail o"),
                        ==, 0);
        image_fini(&im);
    }
}

static void test_cache_options(void)
{
    static const char *const bad[][2] = {
        { ",cache-size=1M,l2-cache-size=1M,refcount-cache-size=1M", "at the same time" },
        { ",cache-size=1M,l2-cache-size=2M", "may not exceed cache-size" },
        { ",cache-size=1M,refcount-cache-size=2M", "may not exceed cache-size" },
        { ",l2-cache-entry-size=100", "power of two" },
        { ",l2-cache-entry-size=128K", "power of two" },
        { ",l2-cache-entry-size=3K", "power of two" },
        { ",l2-cache-size=x", "l2-cache-size" },
        { ",bogus=1", "'qcow2' has no option 'bogus'" },
    };
    Image im;

    if (skip_without_tools()) {
        return;
    }
    image_init(&im);
    make(&im, "", "4M");
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_refused(&im, bad[i][0], bad[i][1]);
    }
    expect(&im, ",cache-size=1M,l2-cache-size=512K", 0, 0);
    expect(&im, ",l2-cache-entry-size=64K,lazy-refcounts=on,cache-clean-interval=60", 0, 0);
    image_fini(&im);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qcow2/header", test_header);
    g_test_add_func("/qcow2/feature-name", test_feature_name);
    g_test_add_func("/qcow2/truncated", test_truncated);
    g_test_add_func("/qcow2/entries", test_entries);
    g_test_add_func("/qcow2/refcount-zero", test_refcount_zero);
    g_test_add_func("/qcow2/tables-overlap", test_tables_overlap);
    g_test_add_func("/qcow2/backing-names", test_backing_names);
    g_test_add_func("/qcow2/backing-refused", test_backing_refused);
    g_test_add_func("/qcow2/chain", test_chain);
    g_test_add_func("/qcow2/large", test_large);
    g_test_add_func("/qcow2/resize", test_resize);
    g_test_add_func("/qcow2/theirs", test_theirs);
    g_test_add_func("/qcow2/dirty", test_dirty);
    g_test_add_func("/qcow2/dirty-and-large", test_dirty_and_large);
    g_test_add_func("/qcow2/dirty-and-worse", test_dirty_and_worse);
    g_test_add_func("/qcow2/lazy", test_lazy);
    g_test_add_func("/qcow2/detect-zeroes", test_detect_zeroes);
    g_test_add_func("/qcow2/autoclear", test_autoclear);
    g_test_add_func("/qcow2/cache-options", test_cache_options);
    return g_test_run();
}
