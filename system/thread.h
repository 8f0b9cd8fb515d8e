/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads beside the main one. */
#ifndef SYSTEM_THREAD_H
#define SYSTEM_THREAD_H

#include <glib.h>

/* A thread that takes no signals but those that a fault of its own raises. NULL and an error if
 * the kernel gives none. */
GThread *thread_start(const char *name, GThreadFunc fn, void *opaque, GError **errp);

#endif
