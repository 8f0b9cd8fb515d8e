/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copy-on-read: what it leaves in the image, judged by qemu-img; writes that come in between; what
 * happens when a copy can't be written; -drive copy-on-read=on. And BLOCK_STATUS, by which it sees
 * what the image has.
 */
#include "qcow2-harness.h"

#define DISK (4 * MIB)
#define CLUSTER (64 * KIB)

static const BlockDriver *const drivers[] = {
    &block_file_driver,
    &block_raw_driver,
    &block_qcow2_driver,
    &block_blkdebug_driver,
    &block_throttle_driver,
    &block_copy_on_read_driver,
    NULL,
};

typedef struct Place {
    Image im;
    uint8_t *model; /* DISK bytes: what the disk has */
} Place;

/* Every other cluster of the first half has data; all else is zeros. */
static void make_images(Place *p)
{
    g_autofree char *base = g_build_filename(p->im.dir, "base", NULL);

    for (unsigned i = 0; i < DISK / 2; i++) {
        if (i / CLUSTER % 2 == 0) {
            p->model[i] = g_test_rand_int_range(1, 256);
        }
    }
    g_assert_true(g_file_set_contents(base, (char *)p->model, DISK, NULL));
    g_assert_cmpint(shell(p->im.dir,
                          "qemu-img create -q -f qcow2 -b base -F raw q.qcow2 && "
                          "qemu-io -f qcow2 -c 'write -P 9 128k 64k' q.qcow2 >/dev/null"),
                    ==, 0);
    memset(p->model + 128 * KIB, 9, CLUSTER);
}

/* options end with the image's "...file=" */
static void open_node(Place *p, bool drive, const char *options)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = g_strconcat(options, p->im.path, NULL);

    p->im.graph = block_graph_new(drivers, all_engines);
    p->im.node = open_text(p->im.graph, drive, &err, text);
    g_assert_no_error(err);
    g_assert_true(block_attach(p->im.node, p->im.loop, NULL));
    g_assert_cmpstr(p->im.node->driver->name, ==, "copy-on-read");
    g_assert_cmpuint(p->im.node->size, ==, DISK);
}

#define OVER_QCOW2                                                                                 \
    "driver=copy-on-read,node-name=n,file.driver=qcow2,file.file.driver=file,"                     \
    "file.file.filename="

static void check_read(Place *p, uint64_t offset, uint64_t bytes)
{
    g_autofree uint8_t *buf = g_malloc(bytes);

    g_assert_cmpint(do_io(p->im.node, BLOCK_READ, offset, buf, bytes), ==, 0);
    g_assert_cmpmem(buf, bytes, p->model + offset, bytes);
}

static uint32_t status_at(BlockNode *node, uint64_t offset, uint64_t bytes, uint64_t *known)
{
    unsigned pending = 1;
    Req r = { .pending = &pending };

    r.req = (BlockReq){ .op = BLOCK_STATUS, .offset = offset, .bytes = bytes, .done = req_done };
    block_submit(node, &r.req);
    wait_zero(node->loop, &pending);
    g_assert_cmpint(r.req.res, ==, 0);
    *known = r.req.known;
    return r.req.status;
}

static void expect_status(Place *p, uint64_t offset, uint64_t bytes, uint32_t status)
{
    for (uint64_t end = offset + bytes, known; offset < end; offset += known) {
        g_assert_cmphex(status_at(p->im.node, offset, end - offset, &known), ==, status);
        g_assert_cmpuint(known, >, 0);
        g_assert_cmpuint(known, <=, end - offset);
    }
}

static void place_enter(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    image_init(&p->im);
    p->model = g_malloc0(DISK);
}

static void place_leave(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    if (p->im.graph) {
        image_close(&p->im);
    }
    g_free(p->model);
    image_fini(&p->im);
}

static void leave_graph(Place *p)
{
    image_close(&p->im);
    p->im.graph = NULL;
}

/* Of the first `bytes`, the image has these clusters now; the rest is the backing file's. */
static void expect_map(Place *p, const char *of_image)
{
    g_autofree char *command = g_strdup_printf(
        "qemu-img map -U --output=json q.qcow2 | /usr/bin/python3 -c '\n"
        "import json, sys\n"
        "have = [(m[\"start\"] // 65536, (m[\"start\"] + m[\"length\"]) // 65536)\n"
        "        for m in json.load(sys.stdin) if m[\"depth\"] == 0 and m[\"data\"]]\n"
        "got = \" \".join(str(c) for a, b in have for c in range(a, b))\n"
        "sys.exit(0 if got == \"%s\" else print(got) or 1)'",
        of_image);

    g_assert_cmpint(shell(p->im.dir, "%s", command), ==, 0);
}

static void test_copies(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    make_images(p);
    open_node(p, false, OVER_QCOW2);
    check_read(p, 0, 512);                           /* cluster 0 */
    check_read(p, 4 * CLUSTER + 4096, 512);          /* 4, from within */
    check_read(p, 6 * CLUSTER - 512, CLUSTER + 512); /* 5 is zeros, 6 */
    check_read(p, 128 * KIB, CLUSTER);               /* the image's own */
    leave_graph(p);
    expect_map(p, "0 2 4 6");
    g_assert_cmpint(shell(p->im.dir, "qemu-img check -q q.qcow2"), ==, 0);
}

static void test_all(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *want = g_build_filename(p->im.dir, "want", NULL);

    make_images(p);
    open_node(p, false, OVER_QCOW2);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t offset = g_test_rand_int_range(0, DISK / 512) * 512ull;

        uint64_t bytes = g_test_rand_int_range(1, 600) * 512ull;

        check_read(p, offset, MIN(bytes, DISK - offset));
    }
    check_read(p, 0, DISK);
    leave_graph(p);
    g_assert_true(g_file_set_contents(want, (char *)p->model, DISK, NULL));
    /* without its backing file it has everything, and zeros take no room */
    g_assert_cmpint(shell(p->im.dir, "qemu-img check -q q.qcow2 && "
                                     "qemu-img rebase -u -f qcow2 -b '' q.qcow2 && "
                                     "qemu-img compare -f qcow2 -F raw q.qcow2 want"),
                    ==, 0);
    expect_map(p, "0 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30");
}

static void test_status(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    make_images(p);
    open_node(p, false, OVER_QCOW2);
    expect_status(p, 0, CLUSTER, 0);
    expect_status(p, 2 * CLUSTER, CLUSTER, BLOCK_ALLOCATED);
    check_read(p, 0, 2 * CLUSTER);
    expect_status(p, 0, CLUSTER, BLOCK_ALLOCATED);
    expect_status(p, CLUSTER, CLUSTER, BLOCK_ALLOCATED | BLOCK_ZERO);
}

/* Reads and writes at once, over one another: what was written stays. */
static void test_race(Place *p, gconstpointer unused G_GNUC_UNUSED)
{
    enum { N = 8, SPAN = 8 * CLUSTER, ROUNDS = 60 };
    g_autofree uint8_t *bufs = g_malloc(2 * N * (size_t)CLUSTER);

    make_images(p);
    open_node(p, false, OVER_QCOW2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t base = round % 4 * SPAN;
        unsigned pending = 2 * N;
        Req reqs[2 * N];

        for (unsigned i = 0; i < N; i++) { /* writes lie beside each other, reads anywhere */
            uint8_t *data = bufs + 2 * i * CLUSTER;
            uint64_t len = g_test_rand_int_range(1, 128) * 512;
            uint64_t at = base + i * CLUSTER + g_test_rand_int_range(0, 128 - len / 512 + 1) * 512;

            reqs[2 * i].pending = reqs[2 * i + 1].pending = &pending;
            req_submit(p->im.node, &reqs[2 * i], BLOCK_READ,
                       base + g_test_rand_int_range(0, SPAN / 512 - 127) * 512, data + CLUSTER,
                       CLUSTER - 512, 0);
            memset(data, round + i + 1, len);
            memcpy(p->model + at, data, len);
            req_submit(p->im.node, &reqs[2 * i + 1], BLOCK_WRITE, at, data, len, 0);
        }
        wait_zero(p->im.loop, &pending);
        for (unsigned i = 0; i < 2 * N; i++) {
            g_assert_cmpint(reqs[i].req.res, ==, 0);
        }
        check_read(p, base, SPAN);
    }
    check_read(p, 0, DISK);
    leave_graph(p);
    g_assert_cmpint(shell(p->im.dir, "qemu-img check -q q.qcow2"), ==, 0);
}

static void test_copy_fails(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[1024];

    make_images(p);
    open_node(p, false,
              "driver=copy-on-read,node-name=n,file.driver=blkdebug,file.image.driver=qcow2,"
              "file.inject-error.0.event=write_aio,file.inject-error.0.errno=28,"
              "file.inject-error.0.once=on,file.image.file.driver=file,file.image.file.filename=");
    g_assert_cmpint(do_io(p->im.node, BLOCK_READ, 0, buf, sizeof(buf)), ==, -ENOSPC);
    expect_status(p, 0, CLUSTER, 0);
    check_read(p, 0, 1024);
    expect_status(p, 0, CLUSTER, BLOCK_ALLOCATED);
}

/* Who waits for another one's copy can be taken back; the copy goes on. */
static void test_cancel(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    unsigned pending = 3;
    Req reqs[3] = { { .pending = &pending }, { .pending = &pending }, { .pending = &pending } };
    uint8_t bufs[3][512] = { { 0 } };

    make_images(p);
    open_node(p, false, OVER_QCOW2);
    check_read(p, 16 * CLUSTER, 512); /* the tables are in memory */
    req_submit(p->im.node, &reqs[0], BLOCK_READ, 0, bufs[0], 512, 0);
    req_submit(p->im.node, &reqs[1], BLOCK_WRITE, 1024, bufs[1], 512, 0);
    loop_turn(p->im.loop, 0); /* the read's question is answered behind the write */
    req_submit(p->im.node, &reqs[2], BLOCK_READ, 512, bufs[2], 512, 0);
    block_cancel(&reqs[0].req);
    wait_zero(p->im.loop, &pending);
    g_assert_true(reqs[0].req.res == 0 || reqs[0].req.res == -ECANCELED);
    g_assert_cmpint(reqs[1].req.res, ==, 0);
    g_assert_cmpint(reqs[2].req.res, ==, 0);
    g_assert_cmpmem(bufs[2], 512, p->model + 512, 512);
    memset(p->model + 1024, 0, 512);
    check_read(p, 0, CLUSTER);
}

static void test_drive(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    make_images(p);
    open_node(p, true, "if=none,id=d,copy-on-read=on,file=");
    g_assert_cmpstr(p->im.node->name, ==, "d");
    check_read(p, 0, 512);
    leave_graph(p);
    expect_map(p, "0 2");
}

static void test_throttled(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL;

    make_images(p);
    p->im.graph = block_graph_new(drivers, all_engines);
    text = g_strdup_printf("if=none,id=d,copy-on-read=on,throttling.iops-total=100000,file=%s",
                           p->im.path);
    p->im.node = open_text(p->im.graph, true, &err, text);
    g_assert_no_error(err);
    g_assert_cmpstr(p->im.node->driver->name, ==, "throttle");
    g_assert_cmpstr(p->im.node->file->driver->name, ==, "copy-on-read");
    g_assert_true(block_attach(p->im.node, p->im.loop, NULL));
    check_read(p, 0, 512);
    expect_status(p, 0, CLUSTER, BLOCK_ALLOCATED);
}

static void test_refused(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        bool drive;
        const char *options, *words;
    } rows[] = {
        { true, "if=none,id=d,copy-on-read=on,readonly=on,file=", "on read-only device" },
        { true, "if=none,id=d,copy-on-read=maybe,file=", "copy-on-read" },
        { false,
          "driver=copy-on-read,node-name=n,read-only=on,file.driver=qcow2,"
          "file.file.driver=file,file.file.filename=",
          "on read-only device" },
        { false,
          "driver=copy-on-read,node-name=n,bottom=x,file.driver=qcow2,"
          "file.file.driver=file,file.file.filename=",
          "no option 'bottom'" },
        { false, "driver=copy-on-read,node-name=n,foo=", "Option 'file' is missing" },
    };

    make_images(p);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        g_autofree char *text = g_strconcat(rows[i].options, p->im.path, NULL);
        BlockGraph *graph = block_graph_new(drivers, all_engines);

        g_assert_null(open_text(graph, rows[i].drive, &err, text));
        g_test_message("%s", err->message);
        g_assert_nonnull(strstr(err->message, rows[i].words));
        block_graph_free(graph);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Place *, gconstpointer);
    } tests[] = {
        { "copies", test_copies },         { "all", test_all },
        { "status", test_status },         { "race", test_race },
        { "copy-fails", test_copy_fails }, { "cancel", test_cancel },
        { "drive", test_drive },           { "throttled", test_throttled },
        { "refused", test_refused },
    };

    g_test_init(&argc, &argv, NULL);
    if (!have_tools()) {
        g_print("1..0 # SKIP no qemu-img\n");
        return 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/copy-on-read/", tests[i].name, NULL);

        g_test_add(path, Place, NULL, place_enter, tests[i].fn, place_leave);
    }
    return g_test_run();
}
