/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets that have names, and the parameters that name sockets. Main thread. */
#ifndef SYSTEM_CHARDEV_H
#define SYSTEM_CHARDEV_H

#include "system/machine-type.h"

/* NULL if there is none. */
const Chardev *chardev_find(const GPtrArray *chardevs, const char *id);
/* Takes server= and wait= from opts, also in the old form of bare words. What isn't there is left
 * as it is. */
bool chardev_flags(Opts *opts, bool *server, bool *wait, GError **errp);

#endif
