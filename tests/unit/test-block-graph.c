/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The node graph: edges and who holds a node, removing and adding nodes, changes of size, counters,
 * requests on the main thread, and raw images that are a part of a file.
 */
#include "block-harness.h"

#define MIB (1u << 20)

typedef struct Place {
    char *dir;
    char *path;
    BlockGraph *graph;
    Loop *loop;
} Place;

static void place_enter(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    p->dir = make_dir();
    p->path = make_image(p->dir, "a.img", MIB);
    p->graph = block_graph_new(all_drivers, all_engines);
    p->loop = loop_new("test", NULL);
}

static void place_leave(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    block_graph_free(p->graph);
    loop_free(p->loop);
    g_free(p->path);
    remove_dir(p->dir);
}

/* A node by these options on a file node of the image. */
static BlockNode *add(Place *p, const char *head)
{
    g_autofree char *text = g_strdup_printf("%s,file.driver=file,file.filename=%s", head, p->path);
    g_autoptr(GError) err = NULL;
    BlockNode *node = open_text(p->graph, false, &err, text);

    g_assert_no_error(err);
    return node;
}

static void assert_in_use(Place *p, const char *name, const char *words)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(block_del(p->graph, name, &err));
    g_assert_nonnull(strstr(err->message, words));
    g_assert_nonnull(block_find(p->graph, name));
}

static void test_del(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    BlockNode *top, *node = add(p, "driver=raw,node-name=a,file.node-name=f");

    g_assert_false(block_del(p->graph, "nope", &err));
    g_assert_nonnull(strstr(err->message, "'nope'"));
    assert_in_use(p, "f", "'f' is in use by another block node");
    top = open_text(p->graph, false, NULL, "driver=raw,node-name=b,file=a");
    g_assert_true(top->file == node);
    assert_in_use(p, "a", "'a' is in use by another block node");
    g_assert_true(block_attach(top, p->loop, NULL));
    assert_in_use(p, "b", "'b' is in use by a machine");
    block_detach(top);
    g_assert_true(block_del(p->graph, "b", NULL));
    g_assert_null(block_find(p->graph, "b"));
    /* a was not made along with b, f was with a */
    g_assert_true(block_find(p->graph, "a") == node);
    g_assert_true(block_del(p->graph, "a", NULL));
    g_assert_null(block_find(p->graph, "f"));
    /* the names are free again */
    add(p, "driver=raw,node-name=a,file.node-name=f");
}

static void count_resized(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void test_users(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    BlockNode *node = add(p, "driver=raw,node-name=a");
    BlockUser one = { .name = "disk0" }, two = { .name = "disk1" };
    g_autoptr(GError) err = NULL;

    for (unsigned shared = 0; shared < 4; shared++) {
        one.shared = shared & 1;
        two.shared = shared & 2;
        g_assert_true(block_use(node, &one, NULL));
        g_assert_cmpint(block_use(node, &two, &err), ==, shared == 3);
        if (shared == 3) {
            block_unuse(node, &one);
            assert_in_use(p, "a", "device 'disk1'");
            block_unuse(node, &two);
        } else {
            g_assert_nonnull(strstr(err->message, "already in use by another device"));
            g_clear_error(&err);
            assert_in_use(p, "a", "device 'disk0'");
            block_unuse(node, &one);
        }
    }
    g_assert_true(block_del(p->graph, "a", NULL));
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

static uint64_t file_size(const char *path)
{
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    return st.st_size;
}

static void test_resize(Place *p, gconstpointer data)
{
    g_autofree char *head =
        g_strdup_printf("driver=raw,node-name=a,file.aio=%s", (const char *)data);
    BlockNode *node = add(p, head);
    unsigned n = 0;
    BlockUser user = { .name = "disk0", .resized = count_resized, .opaque = &n };
    char byte = 1;

    g_assert_true(block_use(node, &user, NULL));
    g_assert_true(block_attach(node, p->loop, NULL));
    g_assert_cmpint(do_io(node, BLOCK_WRITE, 2 * MIB - 1, &byte, 1), ==, -EIO);
    g_assert_cmpint(resize(node, 2 * MIB), ==, 0);
    g_assert_cmpuint(node->size, ==, 2 * MIB);
    g_assert_cmpuint(node->file->size, ==, 2 * MIB);
    g_assert_cmpuint(file_size(p->path), ==, 2 * MIB);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpint(do_io(node, BLOCK_WRITE, 2 * MIB - 1, &byte, 1), ==, 0);
    g_assert_cmpint(resize(node, UINT64_MAX), ==, -EINVAL);
    g_assert_cmpint(resize(node, MIB), ==, 0);
    g_assert_cmpuint(file_size(p->path), ==, MIB);
    g_assert_cmpuint(n, ==, 2);
    block_detach(node);
    block_unuse(node, &user);
}

static void test_resize_refused(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    BlockNode *ro = add(p, "driver=raw,node-name=ro,read-only=on");
    BlockNode *part = add(p, "driver=raw,node-name=part,size=4096");

    g_assert_true(block_attach(ro, p->loop, NULL));
    g_assert_true(block_attach(part, p->loop, NULL));
    g_assert_cmpint(resize(ro, 2 * MIB), ==, -EROFS);
    g_assert_cmpint(resize(part, 8192), ==, -ENOTSUP);
    g_assert_cmpuint(part->size, ==, 4096);
    g_assert_cmpuint(file_size(p->path), ==, MIB);
    block_detach(ro);
    block_detach(part);
}

static void test_grow(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    BlockNode *node = add(p, "driver=raw,node-name=a");
    BlockNode *part = add(p, "driver=raw,node-name=part,size=4096");
    char buf[512] = "new", got[512];

    g_assert_true(block_attach(node, p->loop, NULL));
    g_assert_true(block_attach(part, p->loop, NULL));
    g_assert_cmpint(do_io(node, BLOCK_WRITE, 3 * MIB, buf, 512), ==, -EIO);
    g_assert_cmpint(do_io_flags(part, BLOCK_WRITE, 4096, buf, 512, BLOCK_GROW), ==, -ENOSPC);
    g_assert_cmpint(do_io_flags(node, BLOCK_WRITE, UINT64_MAX - 100, buf, 512, BLOCK_GROW), ==,
                    -ENOSPC);
    g_assert_cmpint(do_io_flags(node, BLOCK_WRITE, 3 * MIB, buf, 512, BLOCK_GROW), ==, 0);
    g_assert_cmpuint(node->size, ==, 3 * MIB + 512);
    g_assert_cmpuint(file_size(p->path), ==, 3 * MIB + 512);
    g_assert_cmpint(do_io(node, BLOCK_READ, 3 * MIB, got, 512), ==, 0);
    g_assert_cmpmem(got, 512, buf, 512);
    block_detach(node);
    block_detach(part);
}

static void test_stats(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    BlockNode *node = add(p, "driver=raw,node-name=a,discard=unmap");
    const BlockStats *stats = &node->stats;
    char buf[4096] = "";

    g_assert_true(block_attach(node, p->loop, NULL));
    g_assert_cmpint(do_io(node, BLOCK_WRITE, 8192, buf, 4096), ==, 0);
    g_assert_cmpint(do_io(node, BLOCK_WRITE, 0, buf, 512), ==, 0);
    g_assert_cmpint(do_io(node, BLOCK_READ, 0, buf, 1024), ==, 0);
    g_assert_cmpint(do_io(node, BLOCK_READ, MIB, buf, 1024), ==, -EIO);
    g_assert_cmpint(do_io(node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    g_assert_cmpint(do_io(node, BLOCK_DISCARD, 0, NULL, 2048), ==, 0);
    g_assert_cmpuint(stats->ops[BLOCK_WRITE], ==, 2);
    g_assert_cmpuint(stats->bytes[BLOCK_WRITE], ==, 4608);
    g_assert_cmpuint(stats->ops[BLOCK_READ], ==, 1);
    g_assert_cmpuint(stats->bytes[BLOCK_READ], ==, 1024);
    g_assert_cmpuint(stats->failed[BLOCK_READ], ==, 1);
    g_assert_cmpuint(stats->ops[BLOCK_FLUSH], ==, 1);
    g_assert_cmpuint(stats->bytes[BLOCK_DISCARD], ==, 2048);
    g_assert_cmpuint(stats->highest, ==, 12288);
    g_assert_cmpuint(stats->ns[BLOCK_WRITE], >, 0);
    block_detach(node);
}

static void test_setup_io(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    BlockNode *node = add(p, "driver=raw,node-name=a");
    g_autoptr(GError) err = NULL;
    char buf[512] = "setup", got[512] = "";

    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(block_setup_begin(node, NULL));
        g_assert_true(block_setup_begin(node->file, NULL));
        g_assert_cmpint(block_setup_io(node, BLOCK_WRITE, 1024, buf, 512), ==, 0);
        g_assert_cmpint(block_setup_io(node->file, BLOCK_READ, 1024, got, 512), ==, 0);
        g_assert_cmpint(block_setup_io(node, BLOCK_READ, 8 * MIB, got, 512), ==, -EIO);
        g_assert_cmpint(block_setup_io(node, BLOCK_RESIZE, 0, NULL, (2 + i) * MIB), ==, 0);
        g_assert_cmpmem(got, 512, buf, 512);
        block_setup_end(node->file);
        block_setup_end(node);
    }
    g_assert_cmpuint(node->size, ==, 3 * MIB);
    g_assert_true(block_attach(node, p->loop, NULL));
    g_assert_false(block_setup_begin(node, &err));
    g_assert_nonnull(strstr(err->message, "in use by another machine"));
    block_detach(node);
}

static void test_raw_part(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    BlockNode *whole = add(p, "driver=raw,node-name=whole");
    BlockNode *part = add(p, "driver=raw,node-name=part,offset=4096,size=8192");
    BlockNode *tail = add(p, "driver=raw,node-name=tail,offset=4096");
    char buf[512] = "part", got[512];

    g_assert_cmpuint(part->size, ==, 8192);
    g_assert_cmpuint(tail->size, ==, MIB - 4096);
    g_assert_true(block_attach(whole, p->loop, NULL));
    g_assert_true(block_attach(part, p->loop, NULL));
    g_assert_true(block_attach(tail, p->loop, NULL));
    g_assert_cmpint(do_io(part, BLOCK_WRITE, 512, buf, 512), ==, 0);
    g_assert_cmpint(do_io(part, BLOCK_WRITE, 8192, buf, 512), ==, -EIO);
    g_assert_cmpint(do_io(part, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    g_assert_cmpint(do_io(whole, BLOCK_READ, 4608, got, 512), ==, 0);
    g_assert_cmpmem(got, 512, buf, 512);
    g_assert_cmpint(do_io(tail, BLOCK_READ, 512, got, 512), ==, 0);
    g_assert_cmpmem(got, 512, buf, 512);
    g_assert_cmpint(do_io(tail, BLOCK_WRITE_ZEROES, 512, NULL, 512), ==, 0);
    g_assert_cmpint(do_io(whole, BLOCK_READ, 4608, got, 512), ==, 0);
    g_assert_cmpint(got[0], ==, 0);
    g_assert_cmpint(resize(tail, 2 * MIB - 4096), ==, 0);
    g_assert_cmpuint(file_size(p->path), ==, 2 * MIB);
    block_detach(whole);
    block_detach(part);
    block_detach(tail);
}

static void test_raw_part_refused(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const parts[][2] = {
        { "offset=2M", "reach past the end" },
        { "size=2M", "reach past the end" },
        { "offset=512K,size=1M", "reach past the end" },
        { "offset=16E,size=1", "" },
        { "offset=100", "multiples of 512" },
        { "size=100", "multiples of 512" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *text = g_strdup_printf(
            "driver=raw,node-name=r,%s,file.driver=file,file.filename=%s", parts[i][0], p->path);
        g_autoptr(GError) err = NULL;

        g_assert_null(open_text(p->graph, false, &err, text));
        g_assert_nonnull(strstr(err->message, parts[i][1]));
        g_assert_null(block_find(p->graph, "r"));
    }
}

#define CASE(name, fn, data)                                                                       \
    g_test_add("/block/graph/" name, Place, data, place_enter, fn, place_leave)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE("del", test_del, NULL);
    CASE("users", test_users, NULL);
    CASE("resize/threads", test_resize, "threads");
    CASE("resize/io_uring", test_resize, "io_uring");
    CASE("resize-refused", test_resize_refused, NULL);
    CASE("grow", test_grow, NULL);
    CASE("stats", test_stats, NULL);
    CASE("setup-io", test_setup_io, NULL);
    CASE("raw-part", test_raw_part, NULL);
    CASE("raw-part-refused", test_raw_part_refused, NULL);
    return g_test_run();
}
