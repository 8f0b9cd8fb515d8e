/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The node graph: what the block layer's own files need beyond block.h. */
#ifndef BLOCK_GRAPH_H
#define BLOCK_GRAPH_H

#include "block/block.h"
#include "block/engine.h"
#include <pthread.h>

struct BlockGraph {
    const BlockDriver *const *drivers;
    const BlockEngineType *const *engines;
    GPtrArray *nodes;    /* children before parents */
    GHashTable *names;   /* of BlockNode by node-name and id; keys are the node's own */
    GPtrArray *codecs;   /* of const BlockCodec */
    GPtrArray *opening;  /* nodes whose drivers are opening, each for the one before it */
    ModuleSet *modules;  /* or NULL */
    SandboxNeeds *needs; /* or NULL */
    GHashTable *things;  /* by "KIND:ID" */
    GHashTable *empty;   /* ids of drives without a medium, EMPTY_FREE or EMPTY_USED */
    unsigned n_auto;
    Loop *setup_loop;    /* of block_setup_io(); NULL until it is needed */
    BlockSpares *spares; /* or NULL */
    pthread_mutex_t mutex;
    BlockOpenFn *opener;
    bool sealed;
    void *opener_opaque;
};

/* Guards users, loop and attached of every node. Any thread. */
void block_graph_lock(BlockGraph *graph);
void block_graph_unlock(BlockGraph *graph);

/* access.c: settles anew what is done with each node, and the image locks. On failure nothing has
 * changed. Under the graph's lock. */
bool block_access_update(BlockGraph *graph, GError **errp);

static inline unsigned block_n_children(const BlockNode *node)
{
    return node->children ? node->children->len : 0;
}

static inline BlockChild *block_child(const BlockNode *node, unsigned i)
{
    return &g_array_index(node->children, BlockChild, i);
}

/* Is there such a driver, if only in a module that may not be installed? */
bool block_driver_known(const BlockGraph *graph, const char *name);
/* NULL and an error if this build has no such driver ("Unknown WHAT 'NAME'"), or its module can't
 * be loaded. */
const BlockDriver *block_driver_find(const BlockGraph *graph, const char *name, const char *what,
                                     GError **errp);
/* Is it a possible node-name or id, but for its length? */
bool block_name_valid(const char *name);
/* False and an error if a node or -drive has that name. */
bool block_name_free(BlockGraph *graph, const char *name, GError **errp);
/* Gives a node its name, and the id of its -drive, if any. False and an error if that can't be. */
bool block_node_set_name(BlockNode *node, const char *name, const char *id, bool nested,
                         GError **errp);
/* id, which is free, becomes that of a drive without a medium. */
void block_empty_add(BlockGraph *graph, const char *id);
/* id: of the -drive, else NULL; the node-name too if opts has none. nested: needs no name. */
BlockNode *block_node_open(BlockGraph *graph, Opts *opts, const char *id, bool nested,
                           GError **errp);
void block_close(BlockNode *node);
/* Of a node that is closed, or whose opening has failed half way. */
void block_node_free(BlockNode *node);
/* Is path the file of a node whose driver is opening now? For a format that names other images. */
bool block_is_opening(const BlockGraph *graph, const char *path);
/* Makes child one of parent's, in a role that it has none of yet. */
void block_add_child(BlockNode *parent, BlockNode *child, const char *role, bool owned);
/* child, one of parent's, goes with it from now on. */
void block_own_child(BlockNode *parent, BlockNode *child);
/* open(), also of names that the graph's opener knows. */
int block_open_path(BlockGraph *graph, const char *path, int flags);
/* Gives what parent says about read-only, auto-read-only and cache.* to child, where child says
 * nothing. Who discards is the parent's decision: a child does what it is told, unless it says
 * discard=ignore itself. */
void block_opts_inherit(const Opts *parent, Opts *child);

#endif
