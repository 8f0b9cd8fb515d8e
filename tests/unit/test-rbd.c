/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The RBD driver over a cluster in memory: spellings, requests in any order, what fails. */
#include "block-harness.h"
#include "fake-rbd.h"

static const BlockDriver *const drivers[] = { &block_raw_driver, &block_rbd_driver, NULL };

typedef struct Place {
    BlockGraph *graph;
    Loop *loop;
    BlockNode *node;
} Place;

static void place_enter(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    fake_rbd = (FakeRbd){ .data = g_malloc0(FAKE_RBD_SIZE) };
    p->graph = block_graph_new(drivers, all_engines);
    p->loop = loop_new("test", NULL);
}

static void place_leave(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    if (p->node) {
        drain(p->node);
        block_detach(p->node);
    }
    block_graph_free(p->graph);
    loop_free(p->loop);
    g_assert_cmpuint(fake_rbd.n_open, ==, 0);
    g_free(fake_rbd.data);
}

static void open_image(Place *p)
{
    g_autoptr(GError) err = NULL;

    p->node = open_text(p->graph, false, &err,
                        "driver=rbd,node-name=n,pool=pool,image=image,discard=unmap");
    g_assert_no_error(err);
    g_assert_cmpuint(p->node->size, ==, FAKE_RBD_SIZE);
    g_assert_true(block_attach(p->node, p->loop, NULL));
}

/* Many at once, each on a stripe of its own. */
static void test_data(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    enum { N = 64, STRIPE = FAKE_RBD_SIZE / N };
    g_autofree uint8_t *mem = g_malloc(FAKE_RBD_SIZE), *back = g_malloc0(FAKE_RBD_SIZE);
    static Req reqs[N];
    unsigned pending = N;

    open_image(p);
    for (unsigned i = 0; i < FAKE_RBD_SIZE; i++) {
        mem[i] = i * 7 + i / 4096;
    }
    for (unsigned i = 0; i < N; i++) {
        reqs[i] = (Req){ .pending = &pending };
        req_submit(p->node, &reqs[i], BLOCK_WRITE, i * STRIPE, mem + i * STRIPE, STRIPE, 0);
    }
    wait_zero(p->loop, &pending);
    g_assert_cmpmem(fake_rbd.data, FAKE_RBD_SIZE, mem, FAKE_RBD_SIZE);
    g_assert_cmpint(do_io(p->node, BLOCK_READ, 0, back, FAKE_RBD_SIZE), ==, 0); /* in pieces */
    g_assert_cmpmem(back, FAKE_RBD_SIZE, mem, FAKE_RBD_SIZE);
    g_assert_cmpint(do_io(p->node, BLOCK_READ, 513, back, 3), ==, 0);
    g_assert_cmpmem(back, 3, mem + 513, 3);
}

static void test_zeroes(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_image(p);
    memset(fake_rbd.data, 1, FAKE_RBD_SIZE);
    g_assert_cmpint(do_io(p->node, BLOCK_WRITE_ZEROES, 512, NULL, 1024), ==, 0);
    g_assert_cmpint(do_io(p->node, BLOCK_DISCARD, 8192, NULL, 4096), ==, 0);
    g_assert_cmpuint(fake_rbd.data[511] & fake_rbd.data[1536] & fake_rbd.data[8191], ==, 1);
    g_assert_cmpuint(fake_rbd.data[512] | fake_rbd.data[1535] | fake_rbd.data[8192], ==, 0);
}

static void test_flush(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[512] = { 0 };

    open_image(p);
    g_assert_cmpint(do_io(p->node, BLOCK_WRITE, 0, buf, sizeof(buf)), ==, 0);
    g_assert_cmpuint(fake_rbd.n_flushes, ==, 0);
    g_assert_cmpint(do_io_flags(p->node, BLOCK_WRITE, 0, buf, sizeof(buf), BLOCK_FUA), ==, 0);
    g_assert_cmpuint(fake_rbd.n_flushes, ==, 1);
    g_assert_cmpint(do_io(p->node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    g_assert_cmpuint(fake_rbd.n_flushes, ==, 2);
}

static void test_resize(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_image(p);
    g_assert_cmpint(do_io(p->node, BLOCK_RESIZE, 0, NULL, FAKE_RBD_SIZE / 2), ==, 0);
    g_assert_cmpuint(p->node->size, ==, FAKE_RBD_SIZE / 2);
    g_assert_cmpuint(fake_rbd.size, ==, FAKE_RBD_SIZE / 2);
    fake_rbd.fail_with = -EDQUOT;
    g_assert_cmpint(do_io(p->node, BLOCK_RESIZE, 0, NULL, FAKE_RBD_SIZE), ==, -EDQUOT);
    g_assert_cmpuint(p->node->size, ==, FAKE_RBD_SIZE / 2);
    fake_rbd.fail_with = 0;
}

static void test_errors(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[512] = { 0 };

    open_image(p);
    fake_rbd.fail_with = -ETIMEDOUT;
    g_assert_cmpint(do_io(p->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, -ETIMEDOUT);
    g_assert_cmpint(do_io(p->node, BLOCK_WRITE, 0, buf, sizeof(buf)), ==, -ETIMEDOUT);
    g_assert_cmpint(do_io(p->node, BLOCK_FLUSH, 0, NULL, 0), ==, -ETIMEDOUT);
    fake_rbd.fail_with = 0;
    g_assert_cmpint(do_io(p->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, 0);
}

static void test_spellings(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        const char *text, *user, *namespace, *snapshot, *config;
        bool read_only;
    } rows[] = {
        { "file=rbd:pool/image", "", "", "", "", false },
        { "file=rbd:pool/space/image", "", "space", "", "", false },
        { "file=rbd:pool/image@snap", "", "", "snap", "", true },
        { "file=rbd:pool/image@s\\:\\@x", "", "", "s:@x", "", true },
        { "file=rbd:pool/image:id=me:conf=/good.conf", "me", "", "", "", false },
        { "file=rbd:pool/image:a_b=1:c=2:id=x", "x", "", "", "a_b1c2", false },
        { "file.driver=rbd,file.pool=pool,file.image=image,file.user=u", "u", "", "", "", false },
        { "file=rbd:pool/image,read-only=on", "", "", "", "", true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdup_printf("id=d%u,format=raw,%s", i, rows[i].text);
        g_autofree char *id = g_strdup_printf("d%u", i);
        g_autoptr(GError) err = NULL;
        BlockNode *node = open_text(p->graph, true, &err, text);

        g_test_message("%s", text);
        g_assert_no_error(err);
        g_assert_cmpstr(fake_rbd.user, ==, rows[i].user);
        g_assert_cmpstr(fake_rbd.namespace, ==, rows[i].namespace);
        g_assert_cmpstr(fake_rbd.snapshot, ==, rows[i].snapshot);
        g_assert_cmpstr(fake_rbd.config, ==, rows[i].config);
        g_assert_cmpint(fake_rbd.read_only, ==, rows[i].read_only);
        g_assert_cmpint(node->read_only, ==, rows[i].read_only);
        g_assert_true(block_del(p->graph, id, NULL));
    }
}

static void test_refused(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const rows[][2] = {
        { "file=rbd:", "expected rbd:POOL/" },
        { "file=rbd:image", "expected rbd:POOL/" },
        { "file=rbd:/image", "expected rbd:POOL/" },
        { "file=rbd:pool/image@", "expected rbd:POOL/" },
        { "file=rbd:pool/image:x", "'x': expected NAME=VALUE" },
        { "file=rbd:pool/image:bad=1", "'bad=1' is no option" },
        { "file=rbd:pool/image:conf=/bad.conf", "Could not read the Ceph configuration" },
        { "file=rbd:pool/image:id=nobody", "Could not connect to the Ceph cluster" },
        { "file=rbd:pools/image", "Could not open the pool 'pools'" },
        { "file=rbd:pool/images", "Could not open the RBD image 'images'" },
        { "file.driver=rbd,file.image=image", "Option 'pool' is missing" },
        { "file=rbd:pool/image,file.bogus=1", "'rbd' has no option 'bogus'" },
        { "file=rbd:pool/image@s,auto-read-only=off", "A snapshot is read-only" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strconcat("id=d,format=raw,", rows[i][0], NULL);
        g_autoptr(GError) err = NULL;

        g_assert_null(open_text(p->graph, true, &err, text));
        g_test_message("%s", err->message);
        g_assert_nonnull(strstr(err->message, rows[i][1]));
        g_assert_cmpuint(fake_rbd.n_open, ==, 0);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Place *, gconstpointer);
    } tests[] = {
        { "data", test_data },     { "zeroes", test_zeroes },       { "flush", test_flush },
        { "errors", test_errors }, { "spellings", test_spellings }, { "refused", test_refused },
        { "resize", test_resize },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/rbd/", tests[i].name, NULL);

        g_test_add(path, Place, NULL, place_enter, tests[i].fn, place_leave);
    }
    return g_test_run();
}
