/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drivers, engines and codecs by name: those that are built in, and those of modules, which are
 * loaded when they are asked for.
 *
 * On the main thread.
 */
#include "block/graph.h"
#include "block/codec.h"
#include "util/error.h"
#include <string.h>

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
