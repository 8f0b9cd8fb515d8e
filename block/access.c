/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done with each node, and what others must not do with it meanwhile: the demands of its
 * devices and of the nodes above, summed up from the top of the graph to the bottom, where drivers
 * of files turn them into image locks.
 *
 * A node passes on what is asked of it. A format that keeps metadata in its file (driver->metadata)
 * uses that file for itself from when it begins to read it, with or without a device: nobody else
 * may write or resize it; so it asks the same whatever is above.
 *
 * All sums are made anew at each change (there are few nodes and fewer changes), then the drivers
 * whose sum is another one change their locks. If one can't, those before it go back.
 */
#include "block/graph.h"

static void add(BlockAccess *sum, BlockAccess more)
{
    sum->uses |= more.uses;
    sum->refuses |= more.refuses;
}

static BlockAccess of_users(const BlockNode *node)
{
    BlockAccess sum = { 0 };

    for (const BlockUser *user = node->users; user; user = user->next) {
        sum.uses |= BLOCK_PERM_READ | (node->read_only ? 0 : BLOCK_PERM_WRITE);
        sum.refuses |=
            (user->shared ? 0 : BLOCK_PERM_WRITE) | (user->fixed_size ? BLOCK_PERM_RESIZE : 0);
    }
    return sum;
}

static BlockAccess of_metadata(const BlockNode *node, const BlockChild *child)
{
    const bool writes = !node->read_only && child->node != node->backing;

    return (BlockAccess){
        .uses = BLOCK_PERM_READ | (writes ? BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE : 0),
        .refuses = BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE,
    };
}

static void pass_on(const BlockNode *node)
{
    for (unsigned i = 0; i < block_n_children(node); i++) {
        BlockChild *child = block_child(node, i);

        add(&child->node->wanted, node->driver->metadata ? of_metadata(node, child) : node->wanted);
    }
}

static bool same(BlockAccess a, BlockAccess b)
{
    return a.uses == b.uses && a.refuses == b.refuses;
}

static bool apply(GPtrArray *nodes, GError **errp)
{
    for (unsigned i = 0; i < nodes->len; i++) {
        BlockNode *node = g_ptr_array_index(nodes, i);

        if (node->driver->lock && !same(node->access, node->wanted) &&
            !node->driver->lock(node, node->access, node->wanted, errp)) {
            while (i-- > 0) {
                node = g_ptr_array_index(nodes, i);
                if (node->driver->lock && !same(node->access, node->wanted)) {
                    node->driver->lock(node, node->wanted, node->access, NULL);
                }
            }
            return false;
        }
    }
    return true;
}

bool block_access_update(BlockGraph *graph, GError **errp)
{
    GPtrArray *nodes = graph->nodes, *opening = graph->opening;

    for (unsigned i = 0; i < nodes->len; i++) {
        BlockNode *node = g_ptr_array_index(nodes, i);
        node->wanted = of_users(node);
    }
    for (unsigned i = 0; i < opening->len; i++) {
        pass_on(g_ptr_array_index(opening, i));
    }
    for (unsigned i = nodes->len; i-- > 0;) {
        pass_on(g_ptr_array_index(nodes, i));
    }
    if (!apply(nodes, errp)) {
        return false;
    }
    for (unsigned i = 0; i < nodes->len; i++) {
        BlockNode *node = g_ptr_array_index(nodes, i);
        node->access = node->wanted;
    }
    return true;
}
