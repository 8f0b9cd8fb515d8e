/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Byte streams that have names, and the parameters that name sockets. Main thread. */
#ifndef SYSTEM_CHARDEV_H
#define SYSTEM_CHARDEV_H

#include "system/machine-type.h"

typedef struct System System; /* system/system.h */

/* NULL if there is none. */
Chardev *chardev_find(const GPtrArray *chardevs, const char *id);
/* One of "chardev:ID", or a new one with that id that text describes: "unix:PATH[,server=on]
 * [,wait=off]", "fd:NUMBER", "stdio", "null". It is sys's. */
Chardev *chardev_named(System *sys, const char *text, const char *id, GError **errp);
/* Takes server= and wait= from opts, also in the old form of bare words. What isn't there is left
 * as it is. */
bool chardev_flags(Opts *opts, bool *server, bool *wait, GError **errp);
/* As it was described, for query-chardev. The caller frees it. */
char *chardev_text(const Chardev *chardev);
void chardev_free(void *chardev);

#endif
