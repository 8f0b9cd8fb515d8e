/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What filter drivers have in common; see filter.h. There is no request of a filter's own, and no
 * copy of data, so a filter costs one function call more.
 */
#include "block/filter.h"

BlockNode *filter_open(BlockNode *node, Opts *opts, const char *role, GError **errp)
{
    BlockNode *child = block_open_child(node, opts, role, errp);

    if (!child) {
        return NULL;
    }
    node->size = child->size;
    node->align = child->align;
    node->no_flush = node->no_flush || child->no_flush;
    node->can_discard = node->can_discard && child->can_discard;
    node->has_status = child->has_status;
    node->unit = child->unit;
    node->demoted = !node->read_only && child->read_only;
    node->read_only = node->read_only || child->read_only;
    return child;
}

void filter_cancel(BlockNode *child, BlockReq *req)
{
    if (child->driver->cancel) {
        child->driver->cancel(child, req);
    }
}
