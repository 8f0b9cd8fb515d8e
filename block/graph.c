/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All block nodes of the process: opened from options on the main thread (open.c), found by name
 * (names.c), and closed at the end or by block_del(). A node is a driver's; below it are its
 * children, each in a role that is the name of the option it came by (file, backing, log). One that
 * was made along with its parent goes with it.
 *
 * What is above a node is counted: parents (n_parents), devices (the list of users) and the machine
 * that has attached it. Only a node with none of them can be removed. Devices of machines that run
 * take and leave nodes on threads of their own (a change of medium), so users, loop and attached
 * are under the graph's mutex; nodes and names change on the main thread only.
 *
 * Children are always in the list before their parents, so closing runs backwards.
 */
#include "block/graph.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* ---- the graph ---- */

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

void block_graph_set_modules(BlockGraph *graph, ModuleSet *modules)
{
    graph->modules = modules;
}

void block_graph_set_needs(BlockGraph *graph, SandboxNeeds *needs)
{
    graph->needs = needs;
}

/* ---- edges ---- */

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

void block_node_free(BlockNode *node)
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
    block_node_free(node);
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
