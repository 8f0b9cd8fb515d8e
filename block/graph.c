/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All block nodes of the process: opened from options on the main thread, found by name, and
 * closed at the end or by block_del(). A node is a driver's; below it are its children, each in a
 * role that is the name of the option it came by (file, backing, log), either made along with it
 * from the nested options "ROLE." (then it goes with it) or an earlier node that ROLE= names.
 *
 * What is above a node is counted: parents (n_parents), devices (the list of users) and the machine
 * that has attached it. Only a node with none of them can be removed. Devices of machines that run
 * take and leave nodes on threads of their own (a change of medium), so users, loop and attached
 * are under the graph's mutex; nodes and names change on the main thread only.
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
#include "block/codec.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define NODE_NAME_MAX 31 /* as in QEMU */

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

enum { EMPTY_FREE = 1, EMPTY_USED };

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

/* --- the graph --- */

BlockGraph *block_graph_new(const BlockDriver *const *drivers,
                            const BlockEngineType *const *engines)
{
    BlockGraph *graph = g_new0(BlockGraph, 1);

    for (const BlockEngineType *const *e = engines; *e; e++) {
        g_assert(!(*e)->spare_new == !(*e)->spare_free);
    }
    for (const BlockDriver *const *d = drivers; *d; d++) {
        g_assert((*d)->name && (*d)->opts && (*d)->open && (*d)->close && (*d)->submit);
    }
    g_assert(engines[0]);
    graph->drivers = drivers;
    graph->engines = engines;
    graph->nodes = g_ptr_array_new();
    graph->opening = g_ptr_array_new();
    graph->codecs = g_ptr_array_new();
    graph->names = g_hash_table_new(g_str_hash, g_str_equal);
    graph->things = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    graph->empty = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    pthread_mutex_init(&graph->mutex, NULL);
    return graph;
}

void block_graph_lock(BlockGraph *graph)
{
    pthread_mutex_lock(&graph->mutex);
}

void block_graph_unlock(BlockGraph *graph)
{
    pthread_mutex_unlock(&graph->mutex);
}

Loop *block_graph_setup_loop(BlockGraph *graph, GError **errp)
{
    if (!graph->setup_loop) {
        graph->setup_loop = loop_new("block-setup", errp);
    }
    return graph->setup_loop;
}

GPtrArray *block_graph_nodes(BlockGraph *graph)
{
    return graph->nodes;
}

GPtrArray *block_graph_opening(BlockGraph *graph)
{
    return graph->opening;
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

void block_graph_add_codec(BlockGraph *graph, const BlockCodec *codec)
{
    g_ptr_array_add(graph->codecs, (void *)codec);
}

static const BlockDriver *builtin_driver(const BlockGraph *graph, const char *name)
{
    for (unsigned i = 0; graph->drivers[i]; i++) {
        if (!strcmp(graph->drivers[i]->name, name)) {
            return graph->drivers[i];
        }
    }
    return NULL;
}

bool block_driver_known(const BlockGraph *graph, const char *name)
{
    return builtin_driver(graph, name) ||
           (graph->modules && module_known(graph->modules, "block", name));
}

const BlockDriver *block_driver_find(const BlockGraph *graph, const char *name, const char *what,
                                     GError **errp)
{
    const BlockDriver *driver = builtin_driver(graph, name);

    if (driver) {
        return driver;
    }
    if (graph->modules && module_known(graph->modules, "block", name)) {
        return module_get(graph->modules, "block", name, errp);
    }
    error_set(errp, "Unknown %s '%s'", what, name);
    return NULL;
}

const BlockCodec *block_codec_find(BlockGraph *graph, const char *name, GError **errp)
{
    for (unsigned i = 0; i < graph->codecs->len; i++) {
        const BlockCodec *codec = g_ptr_array_index(graph->codecs, i);

        if (!strcmp(codec->name, name)) {
            return codec;
        }
    }
    if (graph->modules && module_known(graph->modules, "codec", name)) {
        return module_get(graph->modules, "codec", name, errp);
    }
    error_set(errp, "This build can't unpack images of compression type '%s'", name);
    return NULL;
}

void block_graph_set_modules(BlockGraph *graph, ModuleSet *modules)
{
    graph->modules = modules;
}

void block_graph_set_needs(BlockGraph *graph, SandboxNeeds *needs)
{
    graph->needs = needs;
}

void block_graph_add_thing(BlockGraph *graph, const char *kind, const char *id, void *thing)
{
    g_hash_table_insert(graph->things, g_strdup_printf("%s:%s", kind, id), thing);
}

void block_graph_remove_thing(BlockGraph *graph, const char *kind, const char *id)
{
    g_autofree char *key = g_strdup_printf("%s:%s", kind, id);

    g_hash_table_remove(graph->things, key);
}

void *block_graph_find_thing(const BlockGraph *graph, const char *kind, const char *id)
{
    g_autofree char *key = g_strdup_printf("%s:%s", kind, id);

    return g_hash_table_lookup(graph->things, key);
}

BlockNode *block_find(BlockGraph *graph, const char *name)
{
    return g_hash_table_lookup(graph->names, name);
}

/* --- drives without a medium --- */

void block_empty_add(BlockGraph *graph, const char *id)
{
    g_hash_table_insert(graph->empty, g_strdup(id), GINT_TO_POINTER(EMPTY_FREE));
}

bool block_drive_is_empty(const BlockGraph *graph, const char *id)
{
    return g_hash_table_contains(graph->empty, id);
}

bool block_empty_use(BlockGraph *graph, const char *id, GError **errp)
{
    if (GPOINTER_TO_INT(g_hash_table_lookup(graph->empty, id)) != EMPTY_FREE) {
        return error_set(errp, "Drive '%s' is already in use by another device", id);
    }
    g_hash_table_insert(graph->empty, g_strdup(id), GINT_TO_POINTER(EMPTY_USED));
    return true;
}

void block_empty_unuse(BlockGraph *graph, const char *id)
{
    block_empty_add(graph, id);
}

/* --- edges --- */

void block_add_child(BlockNode *parent, BlockNode *child, const char *role, bool owned)
{
    BlockChild edge = { .role = g_strdup(role), .node = child, .owned = owned };

    if (!parent->children) {
        parent->children = g_array_new(FALSE, FALSE, sizeof(BlockChild));
    }
    g_array_append_val(parent->children, edge);
    child->n_parents++;
    if (!strcmp(role, "file")) {
        parent->file = child;
    } else if (!strcmp(role, "backing")) {
        parent->backing = child;
    }
}

void block_own_child(BlockNode *parent, BlockNode *child)
{
    for (unsigned i = 0; i < block_n_children(parent); i++) {
        if (block_child(parent, i)->node == child) {
            block_child(parent, i)->owned = true;
        }
    }
}

static void drop_children(BlockNode *node)
{
    for (unsigned i = block_n_children(node); i > 0; i--) {
        BlockChild *edge = block_child(node, i - 1);

        edge->node->n_parents--;
        if (edge->owned) {
            block_close(edge->node);
        }
        g_free(edge->role);
    }
    node->file = NULL;
    node->backing = NULL;
    g_clear_pointer(&node->children, g_array_unref);
}

bool block_use(BlockNode *node, BlockUser *user, GError **errp)
{
    BlockUser *other;
    bool ok;

    block_graph_lock(node->graph);
    other = node->users;
    ok = !other || (other->shared && user->shared);
    if (!ok) {
        error_set(errp, "Drive '%s' is already in use by another device", node->name);
    } else {
        user->next = other;
        node->users = user;
        ok = block_access_update(node->graph, errp);
        node->users = ok ? user : other;
    }
    block_graph_unlock(node->graph);
    return ok;
}

void block_unuse(BlockNode *node, BlockUser *user)
{
    BlockUser **link = &node->users;

    block_graph_lock(node->graph);
    while (*link != user) {
        g_assert(*link);
        link = &(*link)->next;
    }
    *link = user->next;
    block_access_update(node->graph, NULL);
    block_graph_unlock(node->graph);
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
    drop_children(node);
    opt_fields_clear(node->driver->opts, node->state);
    g_free(node->state);
    g_free(node->name);
    g_free(node->filename);
    g_free(node->id);
    g_free(node);
    block_graph_lock(graph);
    block_access_update(graph, NULL);
    block_graph_unlock(graph);
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
    g_ptr_array_unref(graph->opening);
    g_ptr_array_unref(graph->codecs);
    g_hash_table_unref(graph->names);
    g_hash_table_unref(graph->things);
    g_hash_table_unref(graph->empty);
    g_clear_pointer(&graph->setup_loop, loop_free);
    block_spares_free(graph->spares);
    pthread_mutex_destroy(&graph->mutex);
    g_free(graph);
}

/* Who is above node, or NULL if there is nothing. */
static char *node_used_by(BlockNode *node)
{
    char *by = NULL;

    if (node->n_parents) {
        return g_strdup("another block node");
    }
    block_graph_lock(node->graph);
    if (node->users) {
        by = g_strdup_printf("device '%s'", node->users->name);
    } else if (node->attached) {
        by = g_strdup("a machine");
    }
    block_graph_unlock(node->graph);
    return by;
}

bool block_del(BlockGraph *graph, const char *name, GError **errp)
{
    BlockNode *node = block_find(graph, name);
    g_autofree char *by = node ? node_used_by(node) : NULL;

    if (!node) {
        return error_set(errp, "Failed to find node with node-name='%s'", name);
    }
    if (by) {
        return error_set(errp, "Block node '%s' is in use by %s", name, by);
    }
    block_close(node);
    return true;
}

unsigned block_count(const BlockGraph *graph)
{
    return graph->nodes->len;
}

BlockNode *block_at(const BlockGraph *graph, unsigned i)
{
    return g_ptr_array_index(graph->nodes, i);
}

Loop *block_loop(BlockNode *node)
{
    Loop *loop;

    block_graph_lock(node->graph);
    loop = node->loop;
    block_graph_unlock(node->graph);
    return loop;
}

const char *block_filename(const BlockNode *node)
{
    while (!node->driver->filename && node->file) {
        node = node->file;
    }
    return node->driver->filename ? node->driver->filename(node) : "";
}

void block_set_opener(BlockGraph *graph, BlockOpenFn *fn, void *opaque)
{
    graph->opener = fn;
    graph->opener_opaque = opaque;
}

int block_open_path(BlockGraph *graph, const char *path, int flags)
{
    if (graph->opener && g_str_has_prefix(path, "/dev/fdset/")) {
        return graph->opener(graph->opener_opaque, path, flags);
    }
    if (graph->sealed) {
        errno = EACCES;
        return -1;
    }
    return open(path, flags);
}

bool block_may_seal(const BlockGraph *graph, GError **errp)
{
    for (unsigned i = 0; i < graph->nodes->len; i++) {
        const BlockNode *node = g_ptr_array_index(graph->nodes, i);

        if (node->driver->may_seal && !node->driver->may_seal(node, errp)) {
            return false;
        }
    }
    return true;
}

void block_seal(BlockGraph *graph)
{
    graph->sealed = true;
}

void block_make_spares(BlockGraph *graph, unsigned n)
{
    for (unsigned i = 0; graph->engines[i] && !graph->spares; i++) {
        if (graph->engines[i]->spare_new) {
            graph->spares = block_spares_new(graph->engines[i], n);
        }
    }
}

BlockSpares *block_graph_spares(BlockGraph *graph)
{
    return graph->spares;
}

/* --- names --- */

bool block_name_valid(const char *name)
{
    return g_ascii_isalpha(*name) &&
           strspn(name, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "-._") == strlen(name);
}

bool block_name_free(BlockGraph *graph, const char *name, GError **errp)
{
    const BlockNode *other = block_find(graph, name);

    if (block_drive_is_empty(graph, name)) {
        return error_set(errp, "Duplicate ID '%s' for drive", name);
    }
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
         node_set_name(node, common.node_name, id, nested, errp);
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
        node_free(node);
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
