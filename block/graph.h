/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What -drive needs of the node graph beyond block.h. */
#ifndef BLOCK_GRAPH_H
#define BLOCK_GRAPH_H

#include "block/block.h"

/* NULL if this build has no such driver. */
const BlockDriver *block_driver_find(const BlockGraph *graph, const char *name);
/* Is it a possible node-name or id, but for its length? */
bool block_name_valid(const char *name);
/* False and an error if a node or -drive has that name. */
bool block_name_free(const BlockGraph *graph, const char *name, GError **errp);
/* id: of the -drive, else NULL; the node-name too if opts has none. nested: needs no name. */
BlockNode *block_node_open(BlockGraph *graph, Opts *opts, const char *id, bool nested,
                           GError **errp);
void block_close(BlockNode *node);
/* Gives what parent says about read-only, auto-read-only, cache.* and discard to child, where
 * child says nothing. */
void block_opts_inherit(const Opts *parent, Opts *child);

#endif
