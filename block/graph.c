/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All block nodes of the process: opened from options on the main thread before machines run, and
 * found by name. A node is a driver's; it may have one child, `file`, either made along with it
 * from the nested options "file." (then it goes with it) or an earlier node that file= names.
 *
 * Options come in two groups. Those every node has (node-name, read-only, cache.*, discard ...)
 * are read here into the node; the rest is the driver's, moved by its table into node->state. What
 * nobody took is an error. A nested node inherits what it doesn't say itself.
 *
 * Names: node-names and the ids of -drive are one name space, as in QEMU. A nested node without a
 * name gets one that no user can give ("#block0"), for the log.
 *
 * Children are always in the list before their parents, so closing runs backwards.
 */
#include "block/graph.h"
#include "block/engine.h"
#include "util/error.h"
#include <string.h>

#define NODE_NAME_MAX 31 /* as in QEMU */

struct BlockGraph {
    const BlockDriver *const *drivers;
    const BlockEngineType *const *engines;
    GPtrArray *nodes;  /* children before parents */
    GHashTable *names; /* of BlockNode by node-name and id; keys are the node's own */
    unsigned n_auto;
};

/* What every node takes. */
typedef struct CommonOpts {
    char *node_name;
    bool read_only, auto_read_only, direct, no_flush;
    int discard;
    int detect_zeroes;
} CommonOpts;

enum { DISCARD_IGNORE, DISCARD_UNMAP };
static const char *const discard_names[] = { "ignore", "unmap", NULL };
static const char *const detect_zeroes_names[] = { "off", NULL };

static const OptDesc common_opts[] = {
    { .name = "node-name",
      .type = OPT_STRING,
      .offset = offsetof(CommonOpts, node_name),
      .help = "name of this node" },
    { .name = "read-only",
      .type = OPT_BOOL,
      .offset = offsetof(CommonOpts, read_only),
      .help = "never write" },
    { .name = "auto-read-only",
      .type = OPT_BOOL,
      .offset = offsetof(CommonOpts, auto_read_only),
      .help = "read only if the file can't be written" },
    { .name = "cache.direct",
      .type = OPT_BOOL,
      .offset = offsetof(CommonOpts, direct),
      .help = "bypass the page cache (O_DIRECT)" },
    { .name = "cache.no-flush",
      .type = OPT_BOOL,
      .offset = offsetof(CommonOpts, no_flush),
      .help = "ignore flushes: unsafe" },
    { .name = "discard",
      .type = OPT_ENUM,
      .offset = offsetof(CommonOpts, discard),
      .names = discard_names,
      .help = "give discarded space back" },
    { .name = "detect-zeroes",
      .type = OPT_ENUM,
      .offset = offsetof(CommonOpts, detect_zeroes),
      .names = detect_zeroes_names,
      .help = "off" },
    { 0 },
};

/* --- the graph --- */

BlockGraph *block_graph_new(const BlockDriver *const *drivers,
                            const BlockEngineType *const *engines)
{
    BlockGraph *graph = g_new0(BlockGraph, 1);

    for (const BlockDriver *const *d = drivers; *d; d++) {
        g_assert((*d)->name && (*d)->opts && (*d)->open && (*d)->close && (*d)->submit);
    }
    g_assert(engines[0]);
    graph->drivers = drivers;
    graph->engines = engines;
    graph->nodes = g_ptr_array_new();
    graph->names = g_hash_table_new(g_str_hash, g_str_equal);
    return graph;
}

const BlockEngineType *block_engine_find(const BlockGraph *graph, const char *name)
{
    for (unsigned i = 0; graph->engines[i]; i++) {
        if (!name || !strcmp(graph->engines[i]->name, name)) {
            return graph->engines[i];
        }
    }
    return NULL;
}

const BlockDriver *block_driver_find(const BlockGraph *graph, const char *name)
{
    for (unsigned i = 0; graph->drivers[i]; i++) {
        if (!strcmp(graph->drivers[i]->name, name)) {
            return graph->drivers[i];
        }
    }
    return NULL;
}

BlockNode *block_find(const BlockGraph *graph, const char *name)
{
    return g_hash_table_lookup(graph->names, name);
}

/* Also of a node whose opening failed half way. */
static void node_free(BlockNode *node)
{
    BlockGraph *graph = node->graph;

    g_assert(!node->attached);
    g_ptr_array_remove(graph->nodes, node);
    if (node->name && block_find(graph, node->name) == node) {
        g_hash_table_remove(graph->names, node->name);
    }
    if (node->id && block_find(graph, node->id) == node) {
        g_hash_table_remove(graph->names, node->id);
    }
    if (node->owns_file) {
        block_close(node->file);
    }
    opt_fields_clear(node->driver->opts, node->state);
    g_free(node->state);
    g_free(node->name);
    g_free(node->id);
    g_free(node);
}

void block_close(BlockNode *node)
{
    node->driver->close(node);
    node_free(node);
}

void block_graph_free(BlockGraph *graph)
{
    while (graph->nodes->len) {
        block_close(g_ptr_array_index(graph->nodes, graph->nodes->len - 1));
    }
    g_ptr_array_unref(graph->nodes);
    g_hash_table_unref(graph->names);
    g_free(graph);
}

/* --- names --- */

bool block_name_valid(const char *name)
{
    return g_ascii_isalpha(*name) &&
           strspn(name, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "-._") == strlen(name);
}

bool block_name_free(const BlockGraph *graph, const char *name, GError **errp)
{
    const BlockNode *other = block_find(graph, name);

    if (!other) {
        return true;
    }
    if (other->id && !strcmp(other->id, name)) {
        return error_set(errp, "Duplicate ID '%s' for drive", name);
    }
    return error_set(errp, "Duplicate node-name '%s'", name);
}

static bool node_set_name(BlockNode *node, const char *name, const char *id, bool nested,
                          GError **errp)
{
    BlockGraph *graph = node->graph;

    if (!name && !id && !nested) {
        return error_set(errp, "Option 'node-name' is missing");
    }
    if (name && (!block_name_valid(name) || strlen(name) > NODE_NAME_MAX)) {
        return error_set(errp,
                         "Invalid node-name '%s': it takes a letter, then letters, digits, "
                         "'-', '.' and '_', %d at most",
                         name, NODE_NAME_MAX);
    }
    if ((name && !block_name_free(graph, name, errp)) ||
        (id && !block_name_free(graph, id, errp))) {
        return false;
    }
    node->auto_named = !name && !id;
    node->id = g_strdup(id);
    node->name = node->auto_named ? g_strdup_printf("#block%u", graph->n_auto++)
                                  : g_strdup(name ? name : id);
    g_hash_table_insert(graph->names, node->name, node);
    if (name && id) {
        g_hash_table_insert(graph->names, node->id, node);
    }
    return true;
}

/* --- opening --- */

static bool node_set_common(BlockNode *node, Opts *opts, const char *id, bool nested, GError **errp)
{
    CommonOpts common = { 0 };
    bool ok;

    opt_fields_default(common_opts, &common);
    ok = opt_fields_set(common_opts, &common, opts, errp) &&
         node_set_name(node, common.node_name, id, nested, errp);
    node->read_only = common.read_only;
    node->auto_read_only = common.auto_read_only;
    node->direct = common.direct;
    node->no_flush = common.no_flush;
    node->can_discard = common.discard == DISCARD_UNMAP;
    node->write_cache = true;
    node->align = 1;
    opt_fields_clear(common_opts, &common);
    return ok;
}

static bool node_open_driver(BlockNode *node, Opts *opts, GError **errp)
{
    const BlockDriver *driver = node->driver;
    g_autofree char *unused = NULL;

    opt_fields_default(driver->opts, node->state);
    if (!opt_fields_set(driver->opts, node->state, opts, errp) || !driver->open(node, opts, errp)) {
        return false;
    }
    unused = g_strdup_printf("Block driver '%s' has no option '%%s'", driver->name);
    if (!opts_check_used(opts, unused, errp)) {
        driver->close(node);
        return false;
    }
    return true;
}

BlockNode *block_node_open(BlockGraph *graph, Opts *opts, const char *id, bool nested,
                           GError **errp)
{
    const char *name = opts_get(opts, "driver");
    const BlockDriver *driver = name ? block_driver_find(graph, name) : NULL;
    BlockNode *node;

    if (!name) {
        error_set(errp, "Option 'driver' is missing");
        return NULL;
    }
    if (!driver) {
        error_set(errp, "Unknown block driver '%s'", name);
        return NULL;
    }
    node = g_new0(BlockNode, 1);
    node->graph = graph;
    node->driver = driver;
    node->state = g_malloc0(MAX(driver->state_size, 1));
    if (!node_set_common(node, opts, id, nested, errp) || !node_open_driver(node, opts, errp)) {
        node_free(node);
        return NULL;
    }
    g_ptr_array_add(graph->nodes, node);
    return node;
}

BlockNode *block_open(BlockGraph *graph, Opts *opts, GError **errp)
{
    return block_node_open(graph, opts, NULL, false, errp);
}

void block_opts_inherit(const Opts *parent, Opts *child)
{
    static const char *const keys[] = {
        "read-only", "auto-read-only", "cache.direct", "cache.no-flush", "discard",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *value = opts_peek(parent, keys[i]);

        if (value && !opts_peek(child, keys[i])) {
            opts_set(child, keys[i], value);
        }
    }
}

BlockNode *block_open_child(BlockNode *parent, Opts *opts, GError **errp)
{
    const char *name = opts_get(opts, "file");
    g_autoptr(Opts) nested = opts_take_sub(opts, "file");

    if (name && !opts_empty(nested)) {
        error_set(errp, "Options 'file' and 'file.*' exclude each other");
    } else if (name) {
        parent->file = block_find(parent->graph, name);
        if (!parent->file) {
            error_set(errp, "There is no block node '%s'", name);
        }
    } else if (opts_empty(nested)) {
        error_set(errp, "Option 'file' is missing");
    } else {
        block_opts_inherit(opts, nested);
        parent->file = block_node_open(parent->graph, nested, NULL, true, errp);
        parent->owns_file = parent->file != NULL;
    }
    return parent->file;
}
