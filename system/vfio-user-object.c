/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-vfio-user-server: serves one PCI device over vfio-user to QEMU's vfio-user-pci and other
 * clients of the protocol. Spelled as upstream's x-remote has it, or flat:
 *
 *   -machine x-remote,vfio-user=on,auto-shutdown=on|off
 *   -object '{"qom-type":"x-vfio-user-server","id":ID,"device":DEVICE,
 *             "socket":{"type":"unix","path":P}}'
 *   -object x-vfio-user-server,id=ID,device=DEVICE,type=unix,path=P
 *   -object x-vfio-user-server,id=ID,device=DEVICE,fd=N     listening or connected; in JSON
 *                                                           "socket":{"type":"fd","str":N}
 *
 * The client connects once, when its VM starts, and waits for VERSION with the VM stopped; so a
 * second one must not wait in the backlog, and is closed at once.
 *
 * Main thread; what it shares with other protocols is system/served.c.
 */
#include "remote/vfio-user.h"
#include "system/served.h"
#include "util/error.h"

typedef struct VfioUserObject {
    Served served;
    /* properties */
    int auto_shutdown; /* -1: what the machine says */
    int type, socket_type;
    char *socket_path, *socket_fd;
} VfioUserObject;

enum { ADDRESS_NONE = -1, ADDRESS_UNIX, ADDRESS_FD };
static const char *const address_types[] = { "unix", "fd", NULL };

static const OptDesc vfio_user_object_props[] = {
    { .name = "device",
      .type = OPT_STRING,
      .offset = offsetof(VfioUserObject, served.device),
      .help = "id of the PCI device to serve" },
    { .name = "type",
      .type = OPT_ENUM,
      .offset = offsetof(VfioUserObject, type),
      .def = ADDRESS_NONE,
      .names = address_types,
      .help = "unix (with path) or fd; may be left out" },
    { .name = "path",
      .type = OPT_STRING,
      .offset = offsetof(VfioUserObject, served.path),
      .help = "UNIX socket to listen on" },
    { .name = "fd",
      .type = OPT_STRING,
      .offset = offsetof(VfioUserObject, served.fd_text),
      .help = "number of an inherited UNIX stream socket" },
    { .name = "socket.type",
      .type = OPT_ENUM,
      .offset = offsetof(VfioUserObject, socket_type),
      .def = ADDRESS_NONE,
      .names = address_types,
      .help = "unix or fd" },
    { .name = "socket.path",
      .type = OPT_STRING,
      .offset = offsetof(VfioUserObject, socket_path),
      .help = "same as path" },
    { .name = "socket.str",
      .type = OPT_STRING,
      .offset = offsetof(VfioUserObject, socket_fd),
      .help = "same as fd" },
    { .name = "auto-shutdown",
      .type = OPT_TRI,
      .offset = offsetof(VfioUserObject, auto_shutdown),
      .def = -1,
      .help = "end with the client; auto: as -machine says" },
    SERVED_POLL_PROPS(VfioUserObject, served.polling),
    { .type = OPT_END }
};

/* --- the protocol --- */

static void *server_new(RemoteMachine *m, int fd, void (*ended)(void *, bool), void *opaque)
{
    return vfio_user_server_new(m, fd, ended, opaque);
}

static void server_stop(void *server)
{
    vfio_user_server_stop(server);
}

static void server_free(void *server)
{
    vfio_user_server_free(server);
}

static bool server_connected(const void *server)
{
    return vfio_user_server_connected(server);
}

static const ConnectionKind kind = {
    .protocol = "vfio-user",
    .machine_new = machine_new_messages,
    .server_new = server_new,
    .server_stop = server_stop,
    .server_free = server_free,
    .server_connected = server_connected,
    .message_name = vfio_user_message_name,
};

/* --- the object --- */

/* One address out of the two spellings. */
static bool merge_address(VfioUserObject *vfio, GError **errp)
{
    Served *served = &vfio->served;

    if (vfio->socket_type != ADDRESS_NONE || vfio->socket_path || vfio->socket_fd) {
        if (vfio->type != ADDRESS_NONE || served->path || served->fd_text) {
            return error_set(errp, "Parameter 'socket' and a socket without it exclude each other");
        }
        if (vfio->socket_type == ADDRESS_NONE) {
            return error_set(errp, "Parameter 'socket.type' is missing");
        }
        vfio->type = vfio->socket_type;
        served->path = g_steal_pointer(&vfio->socket_path);
        served->fd_text = g_steal_pointer(&vfio->socket_fd);
    }
    if (vfio->type == ADDRESS_UNIX && !served->path) {
        return error_set(errp, "Parameter 'path' is missing");
    }
    if (vfio->type == ADDRESS_FD && !served->fd_text) {
        return error_set(errp, "Parameter 'fd' is missing");
    }
    return true;
}

static bool vfio_user_object_create(Object *obj, GError **errp)
{
    return merge_address(obj->state, errp) && served_create(obj, "device", errp);
}

/* The machine's properties are complete only now. */
static bool vfio_user_object_acquire(Object *obj, GError **errp)
{
    VfioUserObject *vfio = obj->state;
    Served *served = &vfio->served;

    if (!obj->set->vfio_user) {
        return error_set(errp, "'x-vfio-user-server' needs -machine x-remote,vfio-user=on");
    }
    if (vfio->auto_shutdown >= 0) {
        served->auto_shutdown = vfio->auto_shutdown;
    } else { /* nobody else can come to a socket that is connected */
        served->auto_shutdown = obj->set->auto_shutdown || (served->fd >= 0 && !served->fd_listens);
    }
    return served_acquire(obj, errp);
}

static bool vfio_user_object_prepare(Object *obj, GError **errp)
{
    return served_prepare(obj, &kind, errp);
}

const ObjectType vfio_user_object_type = {
    .name = "x-vfio-user-server",
    .desc = "serves a PCI device to QEMU's vfio-user-pci",
    .protocol = "vfio-user",
    .props = vfio_user_object_props,
    .size = sizeof(VfioUserObject),
    .create = vfio_user_object_create,
    .acquire = vfio_user_object_acquire,
    .prepare = vfio_user_object_prepare,
    .serve = served_serve,
    .stop = served_stop,
    .destroy = served_destroy,
};
