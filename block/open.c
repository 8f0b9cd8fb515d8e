/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From options to a node.
 *
 * Options come in two groups. Those every node has (node-name, read-only, cache.*, discard ...)
 * are read here into the node; the rest is the driver's, moved by its table into node->state. What
 * nobody took is an error. A nested node inherits what it doesn't say itself.
 *
 * A driver's open() opens its children first, each of them made from the nested options "ROLE.", or
 * an earlier node that ROLE= names. So children are always in the graph's list before their
 * parents; nodes whose opening is under way are on a list of their own.
 *
 * On the main thread.
 */
#include "block/graph.h"
#include "util/error.h"
#include <sys/stat.h>

/* What every node takes. */
typedef struct CommonOpts {
    char *node_name;
    bool read_only, auto_read_only, direct, no_flush;
    int discard;
    int detect_zeroes;
} CommonOpts;

enum { DISCARD_IGNORE, DISCARD_UNMAP };
static const char *const discard_names[] = { "ignore", "unmap", NULL };
const char *const block_detect_names[] = { "off", "on", "unmap", NULL };

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
      .names = block_detect_names,
      .help = "write zeros as zeros, not as data; unmap: they may be deallocated" },
    { 0 },
};

/* ---- a node ---- */

/* A system call that the filter doesn't know would end the process. */
static const BlockDriver *find_driver_to_open(BlockGraph *graph, const char *name, GError **errp)
{
    const BlockDriver *driver = block_driver_find(graph, name, "block driver", errp);

    if (driver && driver->sandbox && graph->sealed) {
        error_set(errp, "A node of driver '%s' can only be made at start, as the sandbox is on",
                  name);
        return NULL;
    }
    return driver;
}

static bool check_common(const CommonOpts *common, GError **errp)
{
    return common->detect_zeroes != BLOCK_DETECT_UNMAP || common->discard == DISCARD_UNMAP ||
           error_set(errp, "setting detect-zeroes to unmap is not allowed without setting discard "
                           "operation to unmap");
}

static bool node_set_common(BlockNode *node, Opts *opts, const char *id, bool nested, GError **errp)
{
    CommonOpts common = { 0 };
    bool ok;

    opt_fields_default(common_opts, &common);
    ok = opt_fields_set(common_opts, &common, opts, errp) && check_common(&common, errp) &&
         block_node_set_name(node, common.node_name, id, nested, errp);
    node->read_only = common.read_only;
    node->auto_read_only = common.auto_read_only;
    node->direct = common.direct;
    node->no_flush = common.no_flush;
    node->can_discard = common.discard == DISCARD_UNMAP;
    node->detect_zeroes = common.detect_zeroes;
    node->write_cache = true;
    node->align = 1;
    node->unit = 1;
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
    const BlockDriver *driver;
    BlockNode *node;
    bool ok;

    if (!name) {
        error_set(errp, "Option 'driver' is missing");
        return NULL;
    }
    driver = find_driver_to_open(graph, name, errp);
    if (!driver) {
        return NULL;
    }
    node = g_new0(BlockNode, 1);
    node->graph = graph;
    node->driver = driver;
    node->state = g_malloc0(MAX(driver->state_size, 1));
    g_ptr_array_add(graph->opening, node);
    ok = node_set_common(node, opts, id, nested, errp) && node_open_driver(node, opts, errp);
    g_ptr_array_set_size(graph->opening, graph->opening->len - 1);
    if (!ok) {
        block_node_free(node);
        return NULL;
    }
    g_ptr_array_add(graph->nodes, node);
    if (graph->needs && driver->sandbox) {
        sandbox_need(graph->needs, driver->sandbox);
    }
    return node;
}

bool block_is_opening(const BlockGraph *graph, const char *path)
{
    for (unsigned i = 0; i < graph->opening->len; i++) {
        const BlockNode *node = g_ptr_array_index(graph->opening, i);
        struct stat a, b;

        if (node->filename && stat(node->filename, &a) == 0 && stat(path, &b) == 0 &&
            a.st_dev == b.st_dev && a.st_ino == b.st_ino) {
            return true;
        }
    }
    return false;
}

BlockNode *block_open(BlockGraph *graph, Opts *opts, GError **errp)
{
    return block_node_open(graph, opts, NULL, false, errp);
}

void block_opts_inherit(const Opts *parent, Opts *child)
{
    static const char *const keys[] = {
        "read-only",
        "auto-read-only",
        "cache.direct",
        "cache.no-flush",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *value = opts_peek(parent, keys[i]);

        if (value && !opts_peek(child, keys[i])) {
            opts_set(child, keys[i], value);
        }
    }
    if (!opts_peek(child, "discard")) {
        opts_set(child, "discard", "unmap");
    }
}

/* The driver reads the child from now on. */
static BlockNode *adopt(BlockNode *parent, BlockNode *child, const char *role, bool owned,
                        GError **errp)
{
    bool ok;

    block_graph_lock(parent->graph);
    block_add_child(parent, child, role, owned);
    ok = block_access_update(parent->graph, errp);
    block_graph_unlock(parent->graph);
    return ok ? child : NULL;
}

BlockNode *block_open_child_opts(BlockNode *parent, Opts *nested, const char *role, GError **errp)
{
    BlockNode *child = block_node_open(parent->graph, nested, NULL, true, errp);

    return child ? adopt(parent, child, role, true, errp) : NULL;
}

BlockNode *block_open_child(BlockNode *parent, Opts *opts, const char *role, GError **errp)
{
    const char *name = opts_get(opts, role);
    g_autoptr(Opts) nested = opts_take_sub(opts, role);
    BlockNode *child = NULL;

    if (name && !opts_empty(nested)) {
        error_set(errp, "Options '%s' and '%s.*' exclude each other", role, role);
    } else if (name) {
        child = block_find(parent->graph, name);
        if (child) {
            child = adopt(parent, child, role, false, errp);
        } else {
            error_set(errp, "There is no block node '%s'", name);
        }
    } else if (opts_empty(nested)) {
        error_set(errp, "Option '%s' is missing", role);
    } else {
        block_opts_inherit(opts, nested);
        child = block_open_child_opts(parent, nested, role, errp);
    }
    return child;
}
