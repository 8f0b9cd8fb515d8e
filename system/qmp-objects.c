/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * object-add and object-del: connections of a process that runs. An object goes through the steps
 * of one from the command line (system/object.h), alone.
 *
 * fd= says which of the descriptors that were passed the object gets: by a name of getfd, which is
 * gone then unless the object is refused; by a number that add-fd has answered, or /dev/fdset/N,
 * both of which stay. It's always a copy. A number that isn't in a set is none of the client's
 * business: it may be an image, or the client's own connection.
 *
 * Main thread.
 */
#include "monitor/fds.h"
#include "system/monitors.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>

#define FDSET_FOLDER "/dev/fdset/"

static const QmpType object_add_args = {
    .kind = QMP_OBJECT,
    .name = "ObjectOptions",
    .members = QMP_MEMBERS(QMP_MEMBER("qom-type", qmp_str, "see `-object help`"),
                           QMP_MEMBER("id", qmp_str, NULL)),
    .open = true,
};
static QMP_STRUCT(object_del_args, "q_obj_object-del-arg", QMP_MEMBER("id", qmp_str, NULL));

/* The option that says which descriptor, or NULL. */
static const char *fd_option(const Opts *opts)
{
    static const char *const keys[] = { "fd", "socket.str" };

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *value = opts_peek(opts, keys[i]);

        if (value && *value) {
            return keys[i];
        }
    }
    return NULL;
}

static bool is_name(const char *text)
{
    return !g_ascii_isdigit(*text) && !g_str_has_prefix(text, FDSET_FOLDER);
}

/* A copy of the descriptor that text stands for; -1 and an error if it isn't there. */
static int copy_passed(MonitorFds *fds, const char *text, GError **errp)
{
    int copy = -1;
    uint64_t number;

    if (is_name(text)) {
        AUTO_FD named = monitor_fds_take(fds, text);

        if (named < 0) {
            error_set(errp, "File descriptor named '%s' not found", text);
            return -1;
        }
        copy = fcntl(named, F_DUPFD_CLOEXEC, 0);
        monitor_fds_put(fds, fd_steal(&named), text);
    } else if (g_ascii_isdigit(*text)) {
        if (!opt_parse_u64("fd", text, 0, INT_MAX, &number, errp)) {
            return -1;
        }
        copy = monitor_fds_copy(fds, (int64_t)number);
    } else {
        copy = monitor_fds_open(fds, text, O_RDWR);
    }
    if (copy < 0) {
        error_set(errp, "File descriptor '%s' was not passed to this monitor: %s", text,
                  g_strerror(errno));
    }
    return copy;
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

static bool add_with_fd(System *sys, Opts *opts, const char *key, GError **errp)
{
    g_autofree char *text = g_strdup(opts_peek(opts, key));
    g_autofree char *number = NULL;
    int copy = copy_passed(sys->fds, text, errp);

    if (copy < 0) {
        return false;
    }
    number = g_strdup_printf("%d", copy);
    opts_set(opts, key, number);
    if (!add(sys, opts, copy, errp)) {
        return false;
    }
    if (is_name(text)) {
        int used = monitor_fds_take(sys->fds, text);
        fd_clear(&used);
    }
    return true;
}

static void do_object_add(QmpRequest *req)
{
    System *sys = qmp_system(req);
    GError *err = NULL;
    g_autoptr(Opts) opts = qmp_arg_opts(req, &err);
    const char *key = opts ? fd_option(opts) : NULL;

    if (opts && (key ? add_with_fd(sys, opts, key, &err) : add(sys, opts, -1, &err))) {
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
      .help = "Creates an object as `-object` does, and starts it: a device is served. `fd` (or "
              "`socket.str`) is a descriptor that was passed: a name of `getfd`, a number of "
              "`add-fd`, or `/dev/fdset/N`." },
    { .name = "object-del", .args = &object_del_args, .when = QMP_READY, .changes = true,
      .run = do_object_del,
      .help = "Ends an object: its client is disconnected as if it had left, and the device can be "
              "removed or served by another object. Returns when that is done. The process goes on "
              "also without an object." },
    { .name = NULL }
};
/* clang-format on */
