/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remote machine's memory manager: the verbs that change its guest memory. A change takes
 * effect at once for new accesses and waits for nothing; what is in flight keeps the mapping it
 * has pinned (hw/core/guest-memory.c). On the machine's thread.
 */
#include "remote/machine.h"

static bool report(RemoteMachine *m, bool ok, GError *err)
{
    if (!ok) {
        machine_error(m, "memory map refused: %s", err->message);
        g_error_free(err);
    }
    return ok;
}

bool machine_mem_replace(RemoteMachine *m, const GuestMap *maps, unsigned n)
{
    GError *err = NULL;
    bool ok = guest_memory_replace(m->mem, maps, n, &err);

    return report(m, ok, err);
}

bool machine_mem_map(RemoteMachine *m, const GuestMap *map)
{
    GError *err = NULL;
    bool ok = guest_memory_map(m->mem, map, &err);

    return report(m, ok, err);
}

int machine_mem_unmap(RemoteMachine *m, uint64_t gpa, uint64_t size, LoopFn *done, void *opaque)
{
    return guest_memory_unmap(m->mem, gpa, size, done, opaque);
}
