/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An item is always in one of three hands, and changes them by one exchange of a pointer: the
 * writer's until it is put in; nobody's, in the box; the reader's, once it has looked. What the
 * writer takes out while it puts the next one in has not been seen, and never will be, so nobody
 * can be reading what is freed.
 */
#include "util/latest.h"
#include <stdatomic.h>

void latest_init(Latest *latest, GDestroyNotify free)
{
    atomic_init(&latest->unread, NULL);
    latest->read = NULL;
    latest->free = free;
}

static void free_item(const Latest *latest, void *item)
{
    if (item) {
        latest->free(item);
    }
}

void latest_fini(Latest *latest)
{
    free_item(latest, atomic_load(&latest->unread));
    free_item(latest, latest->read);
}

void latest_put(Latest *latest, void *item)
{
    free_item(latest, atomic_exchange(&latest->unread, item));
}

const void *latest_look(Latest *latest)
{
    void *item = atomic_exchange(&latest->unread, NULL);

    if (item) {
        free_item(latest, latest->read);
        latest->read = item;
    }
    return latest->read;
}
