/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the objects that serve a PCI device have in common, whatever the protocol: the device, the
 * socket, clients that come and go. An object type's state begins with Served; its acquire,
 * prepare, serve, stop and destroy are these functions. Main thread.
 */
#ifndef SYSTEM_SERVED_H
#define SYSTEM_SERVED_H

#include "system/connection.h"
#include "system/object.h"
#include "system/socket.h"

typedef struct Served {
    /* properties */
    char *device, *fd_text, *path;
    bool auto_shutdown;   /* known before prepare() */
    PollingProps polling; /* without -1 after acquire() */
    /* the rest */
    int fd; /* the launcher's socket until it goes to listener or conn; -1: none */
    bool fd_listens;
    bool stopping;
    Listener listener;
    Connection *conn;
} Served;

/* Properties that all of them have, for their OptDesc arrays; type_: the state's, member: Served's
 * polling in it. */
#define SERVED_POLL_PROPS(type_, member)                                                           \
    POLLING_PROPS(type_, member, -1, "; -1: as -machine says", -1, -1, -1)

/* Looks the device and the socket up, claims the device. property: the name of the one that names
 * the device, for errors. */
bool served_create(Object *obj, const char *property, GError **errp);
bool served_acquire(Object *obj, GError **errp);
bool served_prepare(Object *obj, const ConnectionKind *kind, GError **errp);
void served_serve(Object *obj);
void served_stop(Object *obj);
void served_destroy(Object *obj);

/* Of any object: NULL if it serves no device, or is not prepared. */
Connection *served_connection(const Object *obj);

#endif
