/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is asked of a file when devices and formats above it come and go: a driver of files that
 * notes it down, and a format with metadata. The locks themselves are test_locks' business.
 */
#include "block/block.h"
#include "block/engine.h"
#include "util/error.h"

#include <string.h>

#define R BLOCK_PERM_READ
#define W BLOCK_PERM_WRITE
#define Z BLOCK_PERM_RESIZE

/* ---- drivers ---- */

static const char *refuse; /* name of the node whose lock fails */

static bool note_open(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp G_GNUC_UNUSED)
{
    node->size = 512;
    return true;
}

static void nothing(BlockNode *node G_GNUC_UNUSED)
{
}

static void no_submit(BlockNode *node G_GNUC_UNUSED, BlockReq *req G_GNUC_UNUSED)
{
    g_assert_not_reached();
}

static bool note_lock(BlockNode *node, BlockAccess from, BlockAccess to, GError **errp)
{
    BlockAccess *now = node->state;

    g_assert_cmphex(now->uses, ==, from.uses);
    g_assert_cmphex(now->refuses, ==, from.refuses);
    if (!g_strcmp0(node->name, refuse) && (to.uses & ~from.uses || to.refuses & ~from.refuses)) {
        return error_set(errp, "no");
    }
    *now = to;
    return true;
}

/* Two children, and the second one may be missing. */
static bool meta_open(BlockNode *node, Opts *opts, GError **errp)
{
    const bool two = opts_peek(opts, "backing") || opts_peek(opts, "backing.driver");

    if (two && !block_open_child(node, opts, "backing", errp)) {
        return false;
    }
    return block_open_child(node, opts, "file", errp) != NULL;
}

static const OptDesc none[] = { { 0 } };

static const BlockDriver note_driver = {
    .name = "note",
    .state_size = sizeof(BlockAccess),
    .opts = none,
    .open = note_open,
    .close = nothing,
    .submit = no_submit,
    .lock = note_lock,
};
static const BlockDriver plain_driver = {
    .name = "plain",
    .opts = none,
    .open = meta_open,
    .close = nothing,
    .submit = no_submit,
};
static const BlockDriver meta_driver = {
    .name = "meta",
    .opts = none,
    .open = meta_open,
    .close = nothing,
    .submit = no_submit,
    .metadata = true,
};
static const BlockDriver *const drivers[] = { &note_driver, &plain_driver, &meta_driver, NULL };
static const BlockEngineType *const engines[] = { &block_engine_threads, NULL };

/* ---- cases ---- */

static BlockNode *open_node(BlockGraph *graph, const char *text)
{
    g_autoptr(Opts) opts = opts_parse(text, NULL, NULL);

    return block_open(graph, opts, NULL);
}

static void expect(BlockGraph *graph, const char *name, uint32_t uses, uint32_t refuses)
{
    const BlockAccess *now = block_find(graph, name)->state;

    g_assert_cmphex(now->uses, ==, uses);
    g_assert_cmphex(now->refuses, ==, refuses);
}

static void test_users(void)
{
    BlockGraph *graph = block_graph_new(drivers, engines);
    BlockNode *file = open_node(graph, "driver=note,node-name=f");
    BlockUser alone = { .name = "a" }, cd = { .name = "b", .fixed_size = true, .shared = true };

    open_node(graph, "driver=plain,node-name=p,file=f");
    expect(graph, "f", 0, 0);
    g_assert_true(block_use(block_find(graph, "p"), &alone, NULL));
    expect(graph, "f", R | W, W);
    g_assert_true(block_use(file, &cd, NULL)); /* another node: they add up */
    expect(graph, "f", R | W, W | Z);
    block_unuse(block_find(graph, "p"), &alone);
    expect(graph, "f", R | W, Z);
    block_unuse(file, &cd);
    expect(graph, "f", 0, 0);
    file->read_only = true;
    g_assert_true(block_use(file, &alone, NULL));
    expect(graph, "f", R, W);
    block_unuse(file, &alone);
    block_graph_free(graph);
}

/* Held from the opening on, with no device; the backing file is only read. */
static void test_metadata(void)
{
    BlockGraph *graph = block_graph_new(drivers, engines);
    BlockUser disk = { .name = "a", .shared = true };

    open_node(graph, "driver=note,node-name=b");
    open_node(graph, "driver=note,node-name=f");
    open_node(graph, "driver=meta,node-name=m,file=f,backing.driver=meta,backing.file=b");
    expect(graph, "f", R | W | Z, W | Z);
    expect(graph, "b", R | W | Z, W | Z);
    block_find(graph, "m")->backing->read_only = true;
    g_assert_true(block_use(block_find(graph, "m"), &disk, NULL));
    expect(graph, "f", R | W | Z, W | Z);
    expect(graph, "b", R, W | Z);
    block_unuse(block_find(graph, "m"), &disk);
    g_assert_true(block_del(graph, "m", NULL));
    expect(graph, "f", 0, 0);
    expect(graph, "b", 0, 0);
    block_graph_free(graph);
}

/* Who is refused leaves everything as it was. */
static void test_refused(void)
{
    BlockGraph *graph = block_graph_new(drivers, engines);
    g_autoptr(GError) err = NULL;
    BlockUser disk = { .name = "a" };
    BlockNode *top;

    open_node(graph, "driver=note,node-name=first");
    open_node(graph, "driver=note,node-name=second");
    top = open_node(graph, "driver=plain,node-name=p,file=first,backing=second");
    refuse = "second";
    g_assert_false(block_use(top, &disk, &err));
    g_assert_cmpstr(err->message, ==, "no");
    g_assert_null(top->users);
    g_assert_null(open_node(graph, "driver=meta,node-name=m,file=second"));
    expect(graph, "first", 0, 0);
    expect(graph, "second", 0, 0);
    refuse = NULL;
    g_assert_true(block_use(top, &disk, NULL));
    expect(graph, "first", R | W, W);
    expect(graph, "second", R | W, W);
    block_unuse(top, &disk);
    block_graph_free(graph);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/block/access/users", test_users);
    g_test_add_func("/block/access/metadata", test_metadata);
    g_test_add_func("/block/access/refused", test_refused);
    return g_test_run();
}
