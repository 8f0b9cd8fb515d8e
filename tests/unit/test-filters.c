/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * null-co, and blkdebug over a file: which requests fail, how often, and with what; raw and qcow2
 * over a driver that keeps requests, and something of its own with each.
 */
#include "qcow2-harness.h"

#define SIZE (64u << 10)

/* A driver that never gets done with a request by itself, and marks it as its own. */
typedef struct Holder {
    unsigned n_held, n_cancelled;
} Holder;

static const OptDesc no_opts[] = { { 0 } };

static bool holder_open(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp G_GNUC_UNUSED)
{
    node->size = SIZE;
    return true;
}

static void holder_close(BlockNode *node G_GNUC_UNUSED)
{
}

static void holder_submit(BlockNode *node, BlockReq *req)
{
    if (req->op == BLOCK_FLUSH) {
        block_complete(req, 0);
    } else {
        req->priv = node->state;
        ((Holder *)node->state)->n_held++;
    }
}

static void holder_cancel(BlockNode *node, BlockReq *req)
{
    Holder *s = node->state;

    g_assert_true(req->priv == s);
    s->n_cancelled++;
    block_complete(req, -ECANCELED);
}

static const BlockDriver holder_driver = {
    .name = "holder",
    .state_size = sizeof(Holder),
    .opts = no_opts,
    .open = holder_open,
    .close = holder_close,
    .submit = holder_submit,
    .cancel = holder_cancel,
};

static const BlockDriver *const drivers[] = {
    &block_file_driver,
    &block_raw_driver,
    &block_null_co_driver,
    &block_blkdebug_driver,
    &holder_driver,
    &block_qcow2_driver,
    NULL,
};

typedef struct Place {
    char *dir, *path;
    BlockGraph *graph;
    Loop *loop;
    BlockNode *node;
    uint8_t buf[4096];
} Place;

static void place_enter(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    p->dir = make_dir();
    p->path = make_image(p->dir, "f", SIZE);
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
    g_free(p->path);
    remove_dir(p->dir);
}

static void open_node(Place *p, const char *text)
{
    g_autoptr(GError) err = NULL;

    p->node = open_text(p->graph, false, &err, text);
    g_assert_no_error(err);
    g_assert_true(block_attach(p->node, p->loop, NULL));
}

static void open_debug(Place *p, const char *rules)
{
    g_autofree char *text = g_strdup_printf(
        "driver=blkdebug,node-name=n,image.driver=file,image.filename=%s,%s", p->path, rules);

    open_node(p, text);
    g_assert_cmpuint(p->node->size, ==, SIZE);
}

static int io(Place *p, BlockOp op, unsigned sector)
{
    return do_io(p->node, op, sector * 512, op == BLOCK_FLUSH ? NULL : p->buf,
                 op == BLOCK_FLUSH ? 0 : 1024);
}

static void test_null(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_node(p, "driver=null-co,node-name=n,size=1M,read-zeroes=on");
    g_assert_cmpuint(p->node->size, ==, 1 << 20);
    memset(p->buf, 7, sizeof(p->buf));
    g_assert_cmpint(io(p, BLOCK_WRITE, 0), ==, 0);
    g_assert_cmpint(io(p, BLOCK_READ, 0), ==, 0);
    g_assert_cmpuint(p->buf[0] | p->buf[1023], ==, 0);
    g_assert_cmpuint(p->buf[1024], ==, 7);
    g_assert_cmpint(io(p, BLOCK_FLUSH, 0), ==, 0);
    g_assert_cmpint(do_io(p->node, BLOCK_READ, 1 << 20, p->buf, 512), ==, -EIO);
}

static void test_null_defaults(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_node(p, "driver=null-co,node-name=n");
    g_assert_cmpuint(p->node->size, ==, 1 << 30);
    memset(p->buf, 7, sizeof(p->buf));
    g_assert_cmpint(io(p, BLOCK_READ, 0), ==, 0);
    g_assert_cmpuint(p->buf[0], ==, 7);
}

static void test_null_latency(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    int64_t start = loop_now_ns();

    open_node(p, "driver=null-co,node-name=n,latency-ns=20000000");
    g_assert_cmpint(io(p, BLOCK_READ, 0), ==, 0);
    g_assert_cmpint(loop_now_ns() - start, >=, 20000000);
}

static void test_events(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_debug(p, "inject-error.0.event=write_aio,inject-error.0.errno=28,"
                  "inject-error.1.event=flush_to_disk");
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(io(p, BLOCK_WRITE, i), ==, -ENOSPC);
        g_assert_cmpint(io(p, BLOCK_FLUSH, 0), ==, -EIO);
        g_assert_cmpint(io(p, BLOCK_READ, i), ==, 0);
    }
    block_detach(p->node); /* the last flush of a drain would fail, too */
    p->node = NULL;
}

static void test_sector_once(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_debug(p, "inject-error.0.event=read_aio,inject-error.0.sector=5,inject-error.0.once=on");
    g_assert_cmpint(io(p, BLOCK_READ, 3), ==, 0); /* 3 and 4 */
    g_assert_cmpint(io(p, BLOCK_READ, 6), ==, 0);
    g_assert_cmpint(io(p, BLOCK_WRITE, 5), ==, 0);
    g_assert_cmpint(io(p, BLOCK_READ, 4), ==, -EIO);
    g_assert_cmpint(io(p, BLOCK_READ, 4), ==, 0);
}

static void test_none_is_all(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_debug(p, "inject-error.0.event=none,inject-error.0.sector=5,inject-error.0.errno=5");
    g_assert_cmpint(io(p, BLOCK_READ, 4), ==, -EIO);
    g_assert_cmpint(io(p, BLOCK_WRITE, 5), ==, -EIO);
    g_assert_cmpint(io(p, BLOCK_READ, 0), ==, 0);
    g_assert_cmpint(io(p, BLOCK_FLUSH, 0), ==, 0);
}

static void check_raw_cancel(Place *p, const char *options)
{
    unsigned pending = 2;
    Req read = { .pending = &pending }, write = { .pending = &pending };
    const Holder *holder;

    open_node(p, options);
    holder = p->node->file->state;
    req_submit(p->node, &read, BLOCK_READ, 0, p->buf, 512, 0);
    req_submit(p->node, &write, BLOCK_WRITE, 1024, p->buf, 512, 0);
    block_cancel(&write.req);
    block_cancel(&read.req);
    wait_zero(p->loop, &pending);
    g_assert_cmpint(read.req.res, ==, -ECANCELED);
    g_assert_cmpint(write.req.res, ==, -ECANCELED);
    g_assert_cmpuint(holder->n_cancelled, ==, 2);
}

static void test_raw_cancel(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    check_raw_cancel(p, "driver=raw,node-name=n,file.driver=holder");
}

static void test_raw_part_cancel(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    check_raw_cancel(p, "driver=raw,node-name=n,offset=4096,file.driver=holder");
}

/* A backing file that doesn't answer holds up neither a read nor the copying for a write. */
static void test_qcow2_cancel(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    unsigned pending = 2;
    Req read = { .pending = &pending }, write = { .pending = &pending };
    g_autofree char *text = NULL;
    const Holder *holder;

    if (!have_tools()) {
        g_test_skip("no qemu-img");
        return;
    }
    g_assert_cmpint(shell(p->dir, "qemu-img create -q -f qcow2 f 64k"), ==, 0);
    text = g_strdup_printf("driver=qcow2,node-name=n,backing.driver=holder,file.driver=file,"
                           "file.filename=%s",
                           p->path);
    open_node(p, text);
    holder = p->node->backing->state;
    req_submit(p->node, &read, BLOCK_READ, 0, p->buf, 512, 0);
    req_submit(p->node, &write, BLOCK_WRITE, 1024, p->buf + 512, 512, 0);
    while (holder->n_held < 2) {
        loop_turn(p->loop, 100);
    }
    block_cancel(&write.req);
    block_cancel(&read.req);
    wait_zero(p->loop, &pending);
    g_assert_cmpint(read.req.res, ==, -ECANCELED);
    g_assert_cmpint(write.req.res, ==, -ECANCELED);
    g_assert_cmpuint(holder->n_cancelled, ==, 2);
    g_assert_cmpint(io(p, BLOCK_FLUSH, 0), ==, 0);
    drain(p->node);
    block_detach(p->node);
    g_assert_true(block_del(p->graph, "n", NULL));
    p->node = NULL;
    g_assert_cmpint(shell(p->dir, "qemu-img check -q f"), ==, 0);
}

static void test_refused(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const rows[][2] = {
        { "driver=blkdebug,node-name=n", "Option 'image' is missing" },
        { "driver=blkdebug,node-name=n,image=nope", "no block node 'nope'" },
        { "driver=blkdebug,node-name=n,image.driver=null-co,inject-error.0.errno=5",
          "'inject-error.event' is missing" },
        { "driver=blkdebug,node-name=n,image.driver=null-co,inject-error.0.event=l1_update",
          "'event'" },
        { "driver=blkdebug,node-name=n,image.driver=null-co,inject-error.0.event=none,"
          "inject-error.0.errno=0",
          "'errno'" },
        { "driver=blkdebug,node-name=n,image.driver=null-co,inject-error.0.event=none,"
          "inject-error.0.foo=0",
          "'inject-error.foo' is unknown" },
        { "driver=blkdebug,node-name=n,image.driver=null-co,inject-error.1.event=none",
          "no option 'inject-error.1.event'" },
        { "driver=null-co,node-name=n,size=x", "'size'" },
        { "driver=null-co,node-name=n,filename=x", "no option 'filename'" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_null(open_text(p->graph, false, &err, rows[i][0]));
        g_test_message("%s", err->message);
        g_assert_nonnull(strstr(err->message, rows[i][1]));
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Place *, gconstpointer);
    } tests[] = {
        { "null", test_null },
        { "null-defaults", test_null_defaults },
        { "null-latency", test_null_latency },
        { "events", test_events },
        { "sector-once", test_sector_once },
        { "none-is-all", test_none_is_all },
        { "raw-cancel", test_raw_cancel },
        { "raw-part-cancel", test_raw_part_cancel },
        { "qcow2-cancel", test_qcow2_cancel },
        { "refused", test_refused },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/filters/", tests[i].name, NULL);

        g_test_add(path, Place, NULL, place_enter, tests[i].fn, place_leave);
    }
    return g_test_run();
}
