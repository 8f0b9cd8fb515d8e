/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-remote-object: serves one PCI device over the mpqemu protocol to the proxy in a QEMU.
 *
 *   -object x-remote-object,id=ID,devid=DEVICE,fd=N         a connected socket, as the stock has it
 *   -object x-remote-object,id=ID,devid=DEVICE,path=P       listens on P
 *
 * fd=N may be a listening socket too. With auto-shutdown=off, a client that comes while another is
 * served waits in the socket's backlog: the proxy has no handshake that would time out.
 *
 * Main thread; what it shares with other protocols is system/served.c.
 */
#include "system/served.h"
#include "remote/mpqemu.h"
#include "util/error.h"

static void *server_new(RemoteMachine *m, int fd, void (*ended)(void *, bool), void *opaque)
{
    return mpqemu_server_new(m, fd, ended, opaque);
}

static void server_stop(void *server)
{
    mpqemu_server_stop(server);
}

static void server_free(void *server)
{
    mpqemu_server_free(server);
}

static const ConnectionKind kind = {
    .protocol = "mpqemu",
    .machine_new = machine_new,
    .server_new = server_new,
    .server_stop = server_stop,
    .server_free = server_free,
    .message_name = mpqemu_message_name,
};

static const OptDesc remote_object_props[] = {
    { .name = "devid",
      .type = OPT_STRING,
      .offset = offsetof(Served, device),
      .help = "id of the PCI device to serve" },
    { .name = "fd",
      .type = OPT_STRING,
      .offset = offsetof(Served, fd_text),
      .help = "number of an inherited UNIX stream socket" },
    { .name = "path",
      .type = OPT_STRING,
      .offset = offsetof(Served, path),
      .help = "UNIX socket to listen on" },
    { .name = "auto-shutdown",
      .type = OPT_BOOL,
      .offset = offsetof(Served, auto_shutdown),
      .def = true,
      .help = "end with the client; off (listening only): wait for the next one" },
    SERVED_POLL_PROPS(Served, polling),
    { .type = OPT_END }
};

static bool remote_object_create(Object *obj, GError **errp)
{
    return served_create(obj, "devid", errp);
}

static bool remote_object_prepare(Object *obj, GError **errp)
{
    return served_prepare(obj, &kind, errp);
}

const ObjectType remote_object_type = {
    .name = "x-remote-object",
    .desc = "serves a PCI device to QEMU's x-pci-proxy-dev",
    .protocol = "mpqemu",
    .props = remote_object_props,
    .size = sizeof(Served),
    .create = remote_object_create,
    .acquire = served_acquire,
    .prepare = remote_object_prepare,
    .serve = served_serve,
    .stop = served_stop,
    .destroy = served_destroy,
};
