/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --fd, --socket-path, socket activation: one device on one socket, without an -object. Main
 * thread, at start. */
#ifndef SYSTEM_CONVENTION_H
#define SYSTEM_CONVENTION_H

#include "system/object.h"

/* The socket that such an option, or the service manager, has named. */
typedef struct Convention {
    char *origin; /* the option as typed, for errors; NULL: none was given */
    char *fd;     /* one of these two */
    char *path;
} Convention;

/* origin: copied. False and an error if there is one already. */
bool convention_set(Convention *c, const char *origin, const char *fd, const char *path,
                    GError **errp);
/* When all options have been taken: makes the object, of the protocol that the machine speaks, for
 * the only PCI device. listen_fds: what the service manager has passed; counts if no -object and no
 * option has named a socket. */
bool convention_apply(Convention *c, ObjectSet *objects, unsigned listen_fds, GError **errp);
void convention_clear(Convention *c);

/* NULL and an error: there is none, or more than one. what: that needs it, for the error. */
Device *convention_only_device(const DeviceTree *tree, const char *what, GError **errp);

#endif
