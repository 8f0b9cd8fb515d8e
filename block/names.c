/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is found by a name.
 *
 * Nodes: node-names and the ids of -drive are one name space, as in QEMU. A nested node without a
 * name gets one that no user can give ("#block0"), for the log.
 *
 * Ids of drives without a medium, which are in that space, too, but are no nodes; and things that
 * nodes refer to by an id of their own kind, such as credentials.
 *
 * On the main thread.
 */
#include "block/graph.h"
#include "util/error.h"
#include <string.h>

#define NODE_NAME_MAX 31 /* as in QEMU */

enum { EMPTY_FREE = 1, EMPTY_USED };

/* ---- nodes ---- */

BlockNode *block_find(BlockGraph *graph, const char *name)
{
    return g_hash_table_lookup(graph->names, name);
}

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

bool block_node_set_name(BlockNode *node, const char *name, const char *id, bool nested,
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

/* ---- drives without a medium ---- */

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

/* ---- things ---- */

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
