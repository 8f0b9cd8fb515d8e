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

/* For whoever asks: a new list each time, as one that somebody looks at can't change. */
static void publish(RemoteMachine *m)
{
    RemoteRegions *regions = g_new0(RemoteRegions, 1);

    while (regions->n < REMOTE_REGIONS &&
           guest_memory_region(m->mem, regions->n, &regions->region[regions->n])) {
        regions->n++;
    }
    latest_put(&m->regions, regions);
}

const RemoteRegions *machine_regions(RemoteMachine *m)
{
    static const RemoteRegions none = { 0 };
    const RemoteRegions *regions = latest_look(&m->regions);

    return regions ? regions : &none;
}

bool machine_mem_replace(RemoteMachine *m, const GuestMap *maps, unsigned n)
{
    GError *err = NULL;
    bool ok = guest_memory_replace(m->mem, maps, n, &err);

    publish(m);
    return report(m, ok, err);
}

bool machine_mem_map(RemoteMachine *m, const GuestMap *map)
{
    GError *err = NULL;
    bool ok = guest_memory_map(m->mem, map, &err);

    publish(m);
    return report(m, ok, err);
}

int machine_mem_unmap(RemoteMachine *m, uint64_t gpa, uint64_t size, LoopFn *done, void *opaque)
{
    int ret = guest_memory_unmap(m->mem, gpa, size, done, opaque);

    publish(m);
    return ret;
}

void machine_mem_clear(RemoteMachine *m)
{
    guest_memory_clear(m->mem);
    publish(m);
}
