/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory-backend-memfd: how the command lines of a VM with remote devices ask for memory that can
 * be shared,
 *
 *   -object memory-backend-memfd,id=ram,size=1G -machine pc,memory-backend=ram
 *
 * A board's memory is such a file in any case, so the object only says how much of it. It takes
 * what it would have to refuse otherwise: memory that isn't shared, or a file that isn't sealed.
 *
 * Main thread, at start.
 */
#include "system/board.h"
#include "util/error.h"

typedef struct MemoryBackend {
    uint64_t size;
    bool share, seal;
} MemoryBackend;

#define MEMORY_BACKEND(field) offsetof(MemoryBackend, field)

static const OptDesc memory_backend_props[] = {
    { .name = "size",
      .type = OPT_SIZE,
      .offset = MEMORY_BACKEND(size),
      .help = "bytes; has to be what -m says" },
    { .name = "share",
      .type = OPT_BOOL,
      .offset = MEMORY_BACKEND(share),
      .def = true,
      .help = "on: memory is shared with remote processes" },
    { .name = "seal",
      .type = OPT_BOOL,
      .offset = MEMORY_BACKEND(seal),
      .def = true,
      .help = "on: the file keeps its size" },
    { .type = OPT_END }
};

static bool memory_backend_create(Object *obj, GError **errp)
{
    const MemoryBackend *backend = obj->state;

    if (!backend->size) {
        return error_set(errp, "Parameter 'size' is missing, or 0");
    }
    return (backend->share && backend->seal) ||
           error_set(errp, "Parameter '%s' can't be off", backend->share ? "seal" : "share");
}

static bool memory_backend_prepare(Object *obj G_GNUC_UNUSED, GError **errp G_GNUC_UNUSED)
{
    return true;
}

static void memory_backend_nothing(Object *obj G_GNUC_UNUSED)
{
}

uint64_t memory_backend_size(const ObjectSet *objects, const char *id)
{
    const Object *obj = object_find(objects, id);

    return obj && obj->type == &memory_backend_type ? ((const MemoryBackend *)obj->state)->size : 0;
}

const ObjectType memory_backend_type = {
    .name = "memory-backend-memfd",
    .desc = "memory of a board",
    .props = memory_backend_props,
    .size = sizeof(MemoryBackend),
    .create = memory_backend_create,
    .prepare = memory_backend_prepare,
    .serve = object_ended, /* it has nothing to do that could end later */
    .stop = memory_backend_nothing,
    .destroy = memory_backend_nothing,
};
