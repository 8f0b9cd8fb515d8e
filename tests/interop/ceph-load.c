/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ceph-load OPTIONS FILE, for test_ceph.py: opens the block node of a -blockdev's options with the
 * real librbd, puts the verifying load of the NBD tests on its first MiB, makes it larger and back
 * again, and writes what has to be there to FILE.
 */
#include "nbd-client.h"
#include <stdio.h>

static const BlockDriver *const drivers[] = { &block_raw_driver, &block_rbd_driver, NULL };

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    uint64_t size;
    Client c = { .graph = block_graph_new(drivers, all_engines), .loop = loop_new("test", NULL) };

    g_assert_cmpint(argc, ==, 3);
    c.node = open_text(c.graph, false, &err, argv[1]);
    if (!c.node) {
        fprintf(stderr, "%s\n", err->message);
        return 1;
    }
    c.model = g_malloc0(NBD_SIZE);
    c.rand = g_rand_new_with_seed(1);
    g_assert_true(block_attach(c.node, c.loop, NULL));
    client_load(&c, 16, 400, NULL);
    client_check(&c);
    size = c.node->size;
    g_assert_cmpint(do_io(c.node, BLOCK_RESIZE, 0, NULL, size + NBD_SIZE), ==, 0);
    g_assert_cmpint(do_io(c.node, BLOCK_WRITE, size, c.model, NBD_SIZE), ==, 0);
    g_assert_cmpint(do_io(c.node, BLOCK_RESIZE, 0, NULL, size), ==, 0);
    g_assert_cmpint(do_io(c.node, BLOCK_READ, size, c.model, 512), ==, -EIO);
    client_close(&c);
    g_assert_true(g_file_set_contents(argv[2], (const char *)c.model, NBD_SIZE, NULL));
    block_graph_free(c.graph);
    loop_free(c.loop);
    g_free(c.model);
    g_rand_free(c.rand);
    return 0;
}
