/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The latest of something that one thread makes anew now and then and another one looks at, each
 * without waiting for the other: a mailbox with room for one item. An item belongs to whoever has
 * taken it out last, and never changes once it is put in.
 */
#ifndef UTIL_LATEST_H
#define UTIL_LATEST_H

#include <glib.h>

typedef struct Latest {
    void *_Atomic unread; /* NULL: nothing since the last look */
    void *read;           /* the reader's */
    GDestroyNotify free;
} Latest;

void latest_init(Latest *latest, GDestroyNotify free);
/* When neither thread uses it any more. */
void latest_fini(Latest *latest);
/* The writer's thread. Takes item, which replaces the one before. */
void latest_put(Latest *latest, void *item);
/* The reader's thread. NULL: there was none yet. Good until the next look. */
const void *latest_look(Latest *latest);

#endif
