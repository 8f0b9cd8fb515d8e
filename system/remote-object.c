/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-remote-object: serves one PCI device over the mpqemu protocol to the proxy in a QEMU.
 *
 *   -object x-remote-object,id=ID,devid=DEVICE,fd=N         a connected socket, as the stock has it
 *   -object x-remote-object,id=ID,devid=DEVICE,path=P       listens on P
 *
 * fd=N may be a listening socket too (a service manager's), and is then treated as a path that
 * somebody else looks after. auto-shutdown=on, the default: the object ends with its client, and a
 * listening one stops listening when it has one, so that whoever comes too late is refused at
 * once. auto-shutdown=off: the device is reset and the next client accepted; one that comes while
 * another is served waits in the socket's backlog, as a VM that is restarted must be able to come
 * before the last one is quite gone.
 *
 *   created ─► prepared ─► waiting ◄────────────────┐ auto-shutdown=off
 *                            └─ accepted ─► busy ───┴─► ended
 *
 * Main thread; the other half is system/connection.c.
 */
#include "system/connection.h"
#include "system/object.h"
#include "system/socket.h"
#include "util/error.h"
#include "util/fd.h"
#include <string.h>

typedef struct RemoteObject {
    /* properties */
    char *devid, *fd_text, *path;
    bool auto_shutdown;
    /* the rest */
    int fd; /* the launcher's socket until it goes to listener or conn; -1: none */
    bool fd_listens;
    bool stopping;
    Listener listener;
    Connection *conn;
} RemoteObject;

#define REMOTE_OBJECT(field) offsetof(RemoteObject, field)

static const OptDesc remote_object_props[] = {
    { .name = "devid",
      .type = OPT_STRING,
      .offset = REMOTE_OBJECT(devid),
      .help = "id of the PCI device to serve" },
    { .name = "fd",
      .type = OPT_STRING,
      .offset = REMOTE_OBJECT(fd_text),
      .help = "number of an inherited UNIX stream socket" },
    { .name = "path",
      .type = OPT_STRING,
      .offset = REMOTE_OBJECT(path),
      .help = "UNIX socket to listen on" },
    { .name = "auto-shutdown",
      .type = OPT_BOOL,
      .offset = REMOTE_OBJECT(auto_shutdown),
      .def = true,
      .help = "end with the client; off (listening only): wait for the next one" },
    { .type = OPT_END }
};

static bool fd_is_taken(const Object *obj, int fd)
{
    for (unsigned i = 0; i < obj->set->objects->len; i++) {
        const Object *other = g_ptr_array_index(obj->set->objects, i);
        if (other->type == obj->type && ((const RemoteObject *)other->state)->fd == fd) {
            return true;
        }
    }
    return false;
}

static bool find_socket(Object *obj, GError **errp)
{
    RemoteObject *remote = obj->state;

    if (!remote->fd_text == !remote->path) {
        return error_set(errp, remote->path ? "Parameters 'fd' and 'path' exclude each other"
                                            : "Parameter 'fd' or 'path' is missing");
    }
    if (remote->path) {
        return true;
    }
    int fd = socket_fd_check(remote->fd_text, &remote->fd_listens, errp);
    if (fd < 0) {
        return false;
    }
    if (fd_is_taken(obj, fd)) {
        return error_set(errp, "File descriptor '%s' is used by another object", remote->fd_text);
    }
    if (!remote->auto_shutdown && !remote->fd_listens) {
        return error_set(errp, "Parameter 'auto-shutdown' can't be off for a connected socket");
    }
    remote->fd = fd;
    return true;
}

static bool find_device(Object *obj, GError **errp)
{
    const RemoteObject *remote = obj->state;

    if (!obj->device && !remote->devid) {
        return error_set(errp, "Parameter 'devid' is missing");
    }
    if (!obj->device) {
        obj->device = device_find(obj->set->devices, remote->devid);
    }
    if (!obj->device) {
        return error_set(errp, "Device '%s' not found", remote->devid);
    }
    if (strcmp(obj->device->type->bus_kind, BUS_PCI) != 0) {
        return error_set(errp, "Device '%s' is not a PCI device", device_name(obj->device));
    }
    if (obj->device->bound) {
        return error_set(errp, "Device '%s' is served by another object", device_name(obj->device));
    }
    return true;
}

static bool remote_object_create(Object *obj, GError **errp)
{
    RemoteObject *remote = obj->state;

    remote->fd = -1;
    remote->listener.fd = -1;
    if (!find_device(obj, errp) || !find_socket(obj, errp)) {
        return false;
    }
    obj->device->bound = true;
    return true;
}

static void remote_object_accepted(void *opaque, int fd)
{
    Object *obj = opaque;
    RemoteObject *remote = obj->state;

    if (remote->auto_shutdown) {
        listener_close(&remote->listener);
    }
    connection_serve(remote->conn, fd);
}

static void remote_object_client_gone(void *opaque)
{
    Object *obj = opaque;
    RemoteObject *remote = obj->state;

    if (remote->auto_shutdown || remote->stopping) {
        object_ended(obj);
    } else {
        listener_accept(&remote->listener, remote_object_accepted, obj);
    }
}

static bool remote_object_prepare(Object *obj, GError **errp)
{
    RemoteObject *remote = obj->state;

    remote->conn =
        connection_new(obj->id, obj->device->state, remote_object_client_gone, obj, errp);
    if (!remote->conn) {
        return false;
    }
    return !remote->path || listener_open(&remote->listener, remote->path, errp);
}

static void remote_object_serve(Object *obj)
{
    RemoteObject *remote = obj->state;

    if (remote->fd_listens) {
        listener_take(&remote->listener, fd_steal(&remote->fd));
    }
    if (remote->listener.fd >= 0) {
        listener_accept(&remote->listener, remote_object_accepted, obj);
    } else {
        connection_serve(remote->conn, fd_steal(&remote->fd));
    }
}

static void remote_object_stop(Object *obj)
{
    RemoteObject *remote = obj->state;

    remote->stopping = true;
    listener_close(&remote->listener);
    if (connection_busy(remote->conn)) {
        connection_stop(remote->conn);
    } else {
        object_ended(obj);
    }
}

static void remote_object_destroy(Object *obj)
{
    RemoteObject *remote = obj->state;

    listener_close(&remote->listener);
    if (remote->conn) {
        connection_free(remote->conn);
    }
    fd_clear(&remote->fd);
    obj->device->bound = false;
}

const ObjectType remote_object_type = {
    .name = "x-remote-object",
    .desc = "serves a PCI device to QEMU's x-pci-proxy-dev",
    .props = remote_object_props,
    .size = sizeof(RemoteObject),
    .create = remote_object_create,
    .prepare = remote_object_prepare,
    .serve = remote_object_serve,
    .stop = remote_object_stop,
    .destroy = remote_object_destroy,
};
