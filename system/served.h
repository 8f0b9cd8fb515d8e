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
    bool auto_shutdown; /* known before prepare() */
    ConnectionPolling polling;
    /* the rest */
    int fd; /* the launcher's socket until it goes to listener or conn; -1: none */
    bool fd_listens;
    bool stopping;
    Listener listener;
    Connection *conn;
} Served;

/* What a wake-up by another CPU takes in a VM. On one with faster ones less is used of it: the
 * window grows only as far as it pays. */
#define SERVED_POLL_MAX_NS 131072

/* Properties that all of them have, for their OptDesc arrays; type: the state's, member: Served's
 * polling in it. The names are those of QEMU's iothread. */
#define SERVED_POLL_PROPS(type_, member)                                                           \
    { .name = "poll-max-ns",                                                                       \
      .type = OPT_U64,                                                                             \
      .offset = offsetof(type_, member.max_ns),                                                    \
      .max = 1000000000,                                                                           \
      .def = SERVED_POLL_MAX_NS,                                                                   \
      .help = "longest time to look for events before a sleep; 0: none" },                         \
        { .name = "poll-grow",                                                                     \
          .type = OPT_U32,                                                                         \
          .offset = offsetof(type_, member.grow),                                                  \
          .help = "factor by which that time grows; 0: 2" },                                       \
    {                                                                                              \
        .name = "poll-shrink", .type = OPT_U32, .offset = offsetof(type_, member.shrink),          \
        .def = 2, .help = "divisor by which it shrinks; 0: to nothing at once"                     \
    }

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
