/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * object-add and object-del: connections of a process that runs. An object goes through the steps
 * of one from the command line (system/object.h), alone.
 *
 * fd= may be the name of a descriptor that getfd has passed; the object gets it, and the name is
 * gone. If the object is refused, the name stays.
 *
 * Main thread.
 */
#include "monitor/fds.h"
#include "system/monitors.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>

static const QmpType object_add_args = {
    .kind = QMP_OBJECT,
    .name = "ObjectOptions",
    .members = QMP_MEMBERS(QMP_MEMBER("qom-type", qmp_str, "see `-object help`"),
                           QMP_MEMBER("id", qmp_str, NULL)),
    .open = true,
};
static QMP_STRUCT(object_del_args, "q_obj_object-del-arg", QMP_MEMBER("id", qmp_str, NULL));

/* The option that may name a passed descriptor, or NULL. */
static const char *fd_option(const Opts *opts)
{
    static const char *const keys[] = { "fd", "socket.str" };

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *value = opts_peek(opts, keys[i]);

        if (value && *value && !g_ascii_isdigit(*value)) {
            return keys[i];
        }
    }
    return NULL;
}

/* fd: that opts has by its number; it is closed or the object's afterwards. -1: none. */
static bool add(System *sys, Opts *opts, int fd, GError **errp)
{
    g_autofree char *origin = g_strdup_printf("object-add %s", opts_peek(opts, "id"));
    Object *obj = object_new(sys->objects, opts, NULL, origin, errp);

    if (!obj) {
        fd_clear(&fd);
        return false;
    }
    return object_start(obj, errp);
}

/* The object gets a copy, so that the name can stay if it is refused. */
static bool add_named(System *sys, Monitor *monitor, Opts *opts, const char *key, GError **errp)
{
    g_autofree char *name = g_strdup(opts_peek(opts, key));
    g_autofree char *number = NULL;
    AUTO_FD fd = monitor_fds_take(monitor->fds, name);
    int copy;

    if (fd < 0) {
        return error_set(errp, "File descriptor named '%s' not found", name);
    }
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        error_set(errp, "File descriptor named '%s': %s", name, g_strerror(errno));
        monitor_fds_put(monitor->fds, fd_steal(&fd), name);
        return false;
    }
    number = g_strdup_printf("%d", copy);
    opts_set(opts, key, number);
    if (add(sys, opts, copy, errp)) {
        return true;
    }
    monitor_fds_put(monitor->fds, fd_steal(&fd), name);
    return false;
}

static void do_object_add(QmpRequest *req)
{
    System *sys = qmp_system(req);
    GError *err = NULL;
    g_autoptr(Opts) opts = qmp_arg_opts(req, &err);
    const char *key = opts ? fd_option(opts) : NULL;

    if (opts && (key ? add_named(sys, req->monitor, opts, key, &err) : add(sys, opts, -1, &err))) {
        qmp_return(req, NULL);
    } else {
        qmp_error_take(req, err);
    }
}

static void removed(void *opaque)
{
    qmp_return(opaque, NULL);
}

static void do_object_del(QmpRequest *req)
{
    const char *id = qmp_arg_str(req, "id");
    Object *obj = object_find(qmp_system(req)->objects, id);

    if (!obj) {
        qmp_error(req, QMP_GENERIC, "object '%s' not found", id);
    } else {
        object_remove(obj, removed, req);
    }
}

/* clang-format off */
const QmpCommand qmp_object_commands[] = {
    { .name = "object-add", .args = &object_add_args, .when = QMP_RUNNING, .changes = true,
      .run = do_object_add,
      .help = "Creates an object as `-object` does, and starts it: a device is served. `fd` may be "
              "the name of a descriptor that `getfd` has passed." },
    { .name = "object-del", .args = &object_del_args, .when = QMP_READY, .changes = true,
      .run = do_object_del,
      .help = "Ends an object: its client is disconnected as if it had left, and the device can be "
              "removed or served by another object. Returns when that is done. The process goes on "
              "also without an object." },
    { .name = NULL }
};
/* clang-format on */
