/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What engines can't get of the kernel any more once the sandbox is on, kept ready for files that
 * come later: io_urings, as it happens. A few are made ahead; an engine that starts takes one, and
 * gives it back when it stops, so that disks may come and go for as long as the process lives.
 *
 * An engine starts on the thread of the machine that its file belongs to, or on the main thread,
 * hence the mutex.
 */
#include "block/engine.h"
#include <pthread.h>

struct BlockSpares {
    const BlockEngineType *type;
    pthread_mutex_t mutex;
    GPtrArray *list; /* the engine's own */
};

BlockSpares *block_spares_new(const BlockEngineType *type, unsigned n)
{
    BlockSpares *spares = g_new0(BlockSpares, 1);

    spares->type = type;
    spares->list = g_ptr_array_new_with_free_func(type->spare_free);
    pthread_mutex_init(&spares->mutex, NULL);
    for (unsigned i = 0; i < n; i++) {
        void *spare = type->spare_new();

        if (!spare) {
            break; /* nor would it be there for a file of the command line */
        }
        g_ptr_array_add(spares->list, spare);
    }
    if (!spares->list->len) {
        g_clear_pointer(&spares, block_spares_free);
    }
    return spares;
}

void block_spares_free(BlockSpares *spares)
{
    if (spares) {
        g_ptr_array_unref(spares->list);
        pthread_mutex_destroy(&spares->mutex);
        g_free(spares);
    }
}

void *block_spares_take(BlockSpares *spares)
{
    void *spare = NULL;

    if (spares) {
        pthread_mutex_lock(&spares->mutex);
        if (spares->list->len) {
            spare = g_ptr_array_steal_index(spares->list, spares->list->len - 1);
        }
        pthread_mutex_unlock(&spares->mutex);
    }
    return spare;
}

void block_spares_give(BlockSpares *spares, void *spare)
{
    pthread_mutex_lock(&spares->mutex);
    g_ptr_array_add(spares->list, spare);
    pthread_mutex_unlock(&spares->mutex);
}
