/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk for requests. Each case runs for each engine, with the page cache, with O_DIRECT, and with
 * an alignment of 4096 demanded of a file that needs none, so that the bounce code is tried where
 * the file system refuses O_DIRECT, too.
 */
#ifndef DISK_FIXTURE_H
#define DISK_FIXTURE_H

#include "block-harness.h"

#define SIZE (256u << 10)

typedef struct Variant {
    const char *name;
    const char *aio;
    bool direct;
    uint32_t align; /* forced; 0: what the file says */
} Variant;

static const Variant variants[] = {
    { "threads", "threads", .direct = false },
    { "threads-direct", "threads", .direct = true },
    { "threads-bounce", "threads", .align = 4096 },
    { "io_uring", "io_uring", .direct = false },
    { "io_uring-direct", "io_uring", .direct = true },
    { "io_uring-bounce", "io_uring", .align = 4096 },
};

typedef struct Disk {
    const Variant *v;
    char *dir, *path;
    BlockGraph *graph;
    BlockNode *node; /* NULL: skipped */
    Loop *loop;
} Disk;

static G_GNUC_UNUSED BlockNode *disk_open(Disk *d, const char *path, const char *more)
{
    g_autofree char *text =
        g_strdup_printf("id=disk,file=%s,discard=unmap,aio=%s,cache.direct=%s%s", path, d->v->aio,
                        d->v->direct ? "on" : "off", more);
    g_autoptr(GError) err = NULL;
    BlockNode *node = open_text(d->graph, true, &err, text);

    if (!node && d->v->direct && strstr(err->message, "O_DIRECT")) {
        g_test_skip(err->message);
        return NULL;
    }
    g_assert_no_error(err);
    if (d->v->align) {
        node->align = d->v->align;
    }
    g_assert_true(block_attach(node, d->loop, &err));
    return node;
}

static G_GNUC_UNUSED void disk_reopen(Disk *d, const char *more)
{
    block_detach(d->node);
    block_graph_free(d->graph);
    d->graph = block_graph_new(all_drivers, all_engines);
    d->node = disk_open(d, d->path, more);
}

static G_GNUC_UNUSED void disk_setup(Disk *d, gconstpointer data)
{
    d->v = data;
    d->dir = make_dir();
    d->path = make_image(d->dir, "disk.img", SIZE);
    d->graph = block_graph_new(all_drivers, all_engines);
    d->loop = loop_new("test", NULL);
    d->node = disk_open(d, d->path, ",format=raw");
}

static G_GNUC_UNUSED void disk_teardown(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    if (d->node) {
        drain(d->node);
        block_detach(d->node);
    }
    block_graph_free(d->graph);
    loop_free(d->loop);
    g_free(d->path);
    remove_dir(d->dir);
}

#define NEEDS_DISK(d)                                                                              \
    if (!(d)->node) {                                                                              \
        return;                                                                                    \
    }

static G_GNUC_UNUSED void fill(uint8_t *buf, size_t len, uint32_t seed)
{
    g_autoptr(GRand) r = g_rand_new_with_seed(seed);

    for (size_t i = 0; i < len; i++) {
        buf[i] = g_rand_int(r);
    }
}

typedef struct Case {
    const char *name;
    void (*fn)(Disk *d, gconstpointer data);
} Case;

static G_GNUC_UNUSED int run_cases(int argc, char **argv, const Case *cases, size_t n)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
        for (unsigned j = 0; j < n; j++) {
            g_autofree char *name =
                g_strdup_printf("/block/io/%s/%s", variants[i].name, cases[j].name);

            g_test_add(name, Disk, &variants[i], disk_setup, cases[j].fn, disk_teardown);
        }
    }
    return g_test_run();
}

#endif
