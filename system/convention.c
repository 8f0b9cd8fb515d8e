/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conventions of QEMU's helper daemons for who serves one thing: --socket-path=PATH to listen
 * on, --fd=N to inherit, or the socket that a service manager passes. With one PCI device and no
 * -object, the object that serves it is made here:
 *
 *   qemu-system-x86_64-remote -machine x-remote,vfio-user=on -device lsi53c895a ... --fd=3
 *
 * The machine says what is spoken: vfio-user with vfio-user=on, mpqemu without.
 *
 * Main thread, at start.
 */
#include "system/convention.h"
#include "system/daemon.h"
#include "util/error.h"
#include <string.h>

#define OBJECT_ID "server"

bool convention_set(Convention *c, const char *origin, const char *fd, const char *path,
                    GError **errp)
{
    if (c->origin) {
        return error_set(errp, "%s has named a socket already", c->origin);
    }
    c->origin = g_strdup(origin);
    c->fd = g_strdup(fd);
    c->path = g_strdup(path);
    return true;
}

void convention_clear(Convention *c)
{
    g_free(c->origin);
    g_free(c->fd);
    g_free(c->path);
    *c = (Convention){ 0 };
}

Device *convention_only_device(const DeviceTree *tree, const char *what, GError **errp)
{
    Device *only = NULL;

    for (unsigned i = 0; i < tree->devices->len; i++) {
        Device *dev = g_ptr_array_index(tree->devices, i);
        if (strcmp(dev->type->bus_kind, BUS_PCI) != 0) {
            continue;
        }
        if (only) {
            error_set(errp, "%s serves one PCI device, but there are several: use -object", what);
            return NULL;
        }
        only = dev;
    }
    if (!only) {
        error_set(errp, "%s serves a PCI device, but there is none", what);
    }
    return only;
}

static const ObjectType *type_by_protocol(const ObjectSet *objects, const char *protocol)
{
    for (unsigned i = 0; objects->types[i]; i++) {
        if (g_strcmp0(objects->types[i]->protocol, protocol) == 0) {
            return objects->types[i];
        }
    }
    return NULL;
}

static bool make_object(const Convention *c, ObjectSet *objects, GError **errp)
{
    const char *protocol = objects->vfio_user ? "vfio-user" : "mpqemu";
    const ObjectType *type = type_by_protocol(objects, protocol);
    Device *dev = convention_only_device(objects->devices, "it", errp);
    g_autoptr(Opts) opts = opts_new();

    if (!dev) {
        return false;
    }
    if (!type) {
        return error_set(errp, "this program does not speak %s", protocol);
    }
    opts_set(opts, "qom-type", type->name);
    opts_set(opts, "id", OBJECT_ID);
    opts_set(opts, c->fd ? "fd" : "path", c->fd ? c->fd : c->path);
    return object_new(objects, opts, dev, c->origin, errp) != NULL;
}

bool convention_apply(Convention *c, ObjectSet *objects, unsigned listen_fds, GError **errp)
{
    bool served = objects->objects->len > 0;

    if (!c->origin && !served && listen_fds > 0) {
        convention_set(c, "LISTEN_FDS", G_STRINGIFY(LISTEN_FDS_START), NULL, NULL);
        if (listen_fds > 1) {
            return error_set(errp, "LISTEN_FDS: %u sockets for one device: use -object",
                             listen_fds);
        }
    }
    if (!c->origin) {
        return true;
    }
    if (served) {
        return error_set(errp, "%s: -object says already what is served", c->origin);
    }
    if (!make_object(c, objects, errp)) {
        g_prefix_error(errp, "%s: ", c->origin);
        return false;
    }
    return true;
}
