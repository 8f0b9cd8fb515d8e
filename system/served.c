/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI device on a socket: fd=N, connected or listening (a service manager's), or path=P, which is
 * bound here.
 *
 * auto-shutdown=on: the object ends with its client, and a listening one stops listening when it
 * has one, so that whoever comes too late is refused at once. auto-shutdown=off: the device is
 * reset and the next client accepted. One that comes while another is served waits in the socket's
 * backlog; or, with a protocol whose client would wait for the first answer with its VM stopped, is
 * accepted and closed at once, unless the other one is just going.
 *
 *   created ─► acquired ─► prepared ─► waiting ◄────────────────┐ auto-shutdown=off
 *                                        └─ accepted ─► busy ───┴─► ended
 *
 * Main thread; the other half is system/connection.c.
 */
#include "system/served.h"
#include "util/error.h"
#include "util/fd.h"
#include <string.h>

static bool fd_is_taken(const Object *obj, int fd)
{
    for (unsigned i = 0; i < obj->set->objects->len; i++) {
        const Object *other = g_ptr_array_index(obj->set->objects, i);
        if (other->type->serve == served_serve && ((const Served *)other->state)->fd == fd) {
            return true;
        }
    }
    return false;
}

static bool find_socket(Object *obj, GError **errp)
{
    Served *served = obj->state;

    if (!served->fd_text == !served->path) {
        return error_set(errp, served->path ? "Parameters 'fd' and 'path' exclude each other"
                                            : "Parameter 'fd' or 'path' is missing");
    }
    if (served->path) {
        return true;
    }
    int fd = socket_fd_check(served->fd_text, &served->fd_listens, errp);
    if (fd < 0) {
        return false;
    }
    if (fd_is_taken(obj, fd)) {
        return error_set(errp, "File descriptor '%s' is used by another object", served->fd_text);
    }
    served->fd = fd;
    return true;
}

static bool find_device(Object *obj, const char *property, GError **errp)
{
    const Served *served = obj->state;

    if (!obj->device && !served->device) {
        return error_set(errp, "Parameter '%s' is missing", property);
    }
    if (!obj->device) {
        obj->device = device_find(obj->set->devices, served->device);
    }
    if (!obj->device) {
        return error_set(errp, "Device '%s' not found", served->device);
    }
    if (strcmp(obj->device->type->bus_kind, BUS_PCI) != 0) {
        return error_set(errp, "Device '%s' is not a PCI device", device_name(obj->device));
    }
    if (obj->device->bound) {
        return error_set(errp, "Device '%s' is served by object '%s'", device_name(obj->device),
                         obj->device->bound);
    }
    return true;
}

bool served_create(Object *obj, const char *property, GError **errp)
{
    Served *served = obj->state;

    served->fd = -1;
    served->listener.fd = -1;
    if (!find_device(obj, property, errp) || !find_socket(obj, errp)) {
        return false;
    }
    obj->device->bound = obj->id;
    return true;
}

/* --- clients --- */

static void client_came(void *opaque, int fd);

static void accept_next(Object *obj)
{
    Served *served = obj->state;

    if (served->listener.fd >= 0 && !listener_accepting(&served->listener)) {
        listener_accept(&served->listener, client_came, obj);
    }
}

static void serve_client(Object *obj, int fd)
{
    Served *served = obj->state;

    if (served->auto_shutdown) {
        listener_close(&served->listener); /* before the first answer tells that it is served */
    }
    connection_serve(served->conn, fd);
    if (!served->auto_shutdown && connection_takes_offers(served->conn)) {
        accept_next(obj);
    }
}

static void client_came(void *opaque, int fd)
{
    Object *obj = opaque;
    Served *served = obj->state;

    if (connection_busy(served->conn)) {
        connection_offer(served->conn, fd);
    } else {
        serve_client(obj, fd);
    }
}

static void client_refused(void *opaque)
{
    accept_next(opaque);
}

static void client_gone(void *opaque)
{
    Object *obj = opaque;
    Served *served = obj->state;

    obj->set->ops->client_gone(obj->set->opaque, obj);
    if (served->auto_shutdown || served->stopping) {
        obj->set->violation = connection_violated(served->conn);
        object_ended(obj);
        return;
    }
    int next = connection_take_offer(served->conn);
    if (next >= 0) {
        serve_client(obj, next);
    } else {
        accept_next(obj);
    }
}

/* --- steps of an object --- */

static void settle_polling(PollingProps *own, const PollingProps *machines)
{
    own->max_ns = own->max_ns < 0 ? machines->max_ns : own->max_ns;
    own->grow = own->grow < 0 ? machines->grow : own->grow;
    own->shrink = own->shrink < 0 ? machines->shrink : own->shrink;
}

bool served_acquire(Object *obj, GError **errp)
{
    Served *served = obj->state;

    settle_polling(&served->polling, &obj->set->polling);
    if (!served->auto_shutdown && served->fd >= 0 && !served->fd_listens) {
        return error_set(errp, "Parameter 'auto-shutdown' can't be off for a connected socket");
    }
    if (served->path && obj->set->sealed) {
        return error_set(errp, "Parameter 'path' is for the command line: with the sandbox on, a "
                               "socket comes as 'fd'");
    }
    if (served->path && !listener_open(&served->listener, served->path, errp)) {
        return false;
    }
    if (served->path) {
        sandbox_need_removal(obj->set->needs, served->listener.path);
    }
    if (served->path || served->fd_listens) {
        sandbox_need(obj->set->needs, &listener_sandbox);
    }
    return true;
}

bool served_prepare(Object *obj, const ConnectionKind *kind, GError **errp)
{
    Served *served = obj->state;

    served->conn = connection_new(obj->id, obj->device->state, kind, &served->polling, client_gone,
                                  client_refused, obj, errp);
    return served->conn != NULL;
}

void served_serve(Object *obj)
{
    Served *served = obj->state;

    if (served->fd_listens) {
        listener_take(&served->listener, fd_steal(&served->fd));
    }
    if (served->listener.fd >= 0) {
        accept_next(obj);
    } else {
        connection_serve(served->conn, fd_steal(&served->fd));
    }
}

void served_stop(Object *obj)
{
    Served *served = obj->state;

    served->stopping = true;
    listener_close(&served->listener);
    if (connection_busy(served->conn)) {
        connection_stop(served->conn);
    } else {
        object_ended(obj);
    }
}

void served_destroy(Object *obj)
{
    Served *served = obj->state;

    listener_close(&served->listener);
    if (served->conn) {
        connection_free(served->conn);
    }
    fd_clear(&served->fd);
    obj->device->bound = NULL;
}

Connection *served_connection(const Object *obj)
{
    return obj->type->serve == served_serve ? ((const Served *)obj->state)->conn : NULL;
}
