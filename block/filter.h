/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drivers that hold requests up, or look at them, and let them go to the file below as they are:
 * to the child's driver, to be completed on the filter's own node. What the child would have
 * settled for requests of its own (limits, alignment, flags) is therefore taken over from it.
 */
#ifndef BLOCK_FILTER_H
#define BLOCK_FILTER_H

#include "block/block.h"

/* Opens the child that opts has in that role, and makes node look like it. NULL and an error. */
BlockNode *filter_open(BlockNode *node, Opts *opts, const char *role, GError **errp);
/* req, submitted to the filter, goes on to its child. */
static inline void filter_pass(BlockNode *child, BlockReq *req)
{
    child->driver->submit(child, req);
}
/* Cancels what has been passed. */
void filter_cancel(BlockNode *child, BlockReq *req);

#endif
