/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that are waited for: what a format driver reads of its file while it opens, and writes
 * while it closes, and what a monitor does to a node that no device has.
 *
 * They take the same way as all others, so every driver has them without a line of its own. The
 * node is attached to a loop of the main thread for the while, which nobody else runs; a node that
 * belongs to a machine is refused by that. An engine is started with each outermost
 * block_setup_begin(), so whoever makes several requests puts a bracket round them all.
 */
#include "block/graph.h"

typedef struct SetupReq {
    BlockReq req; /* must be first */
    bool over;
} SetupReq;

static Loop *setup_loop(BlockGraph *graph, GError **errp)
{
    if (!graph->setup_loop) {
        graph->setup_loop = loop_new("block-setup", errp);
    }
    return graph->setup_loop;
}

bool block_setup_begin(BlockNode *node, GError **errp)
{
    Loop *loop = setup_loop(node->graph, errp);

    return loop && block_attach(node, loop, errp);
}

void block_setup_end(BlockNode *node)
{
    block_detach(node);
}

static void setup_done(BlockReq *req)
{
    ((SetupReq *)req)->over = true;
}

int block_setup_io(BlockNode *node, BlockOp op, uint64_t offset, void *buf, uint64_t bytes)
{
    struct iovec iov = { .iov_base = buf, .iov_len = bytes };
    SetupReq setup = {
        .req = {
            .op = op,
            .flags = op == BLOCK_WRITE ? BLOCK_GROW : 0,
            .offset = offset,
            .bytes = bytes,
            .iov = buf ? &iov : NULL,
            .niov = buf ? 1 : 0,
            .done = setup_done,
        },
    };

    block_submit(node, &setup.req);
    while (!setup.over) {
        loop_turn(node->loop, -1);
    }
    return setup.req.res;
}
