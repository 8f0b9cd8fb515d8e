/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -chardev socket,id=ID,fd=N: a name for an inherited socket. The first versions of multi-process
 * QEMU gave the remote process its link in this way, together with `-machine remote,chardev=ID`;
 * launchers written for them work unchanged. There is nothing else here that a character device
 * could be connected to, so no other back end exists.
 *
 * Main thread, at start.
 */
#include "system/options.h"
#include "system/socket.h"
#include "util/error.h"
#include <string.h>

static bool chardev_exists(const System *sys, const char *id)
{
    for (unsigned i = 0; i < sys->chardevs->len; i++) {
        const Chardev *chardev = g_ptr_array_index(sys->chardevs, i);
        if (strcmp(chardev->id, id) == 0) {
            return true;
        }
    }
    return false;
}

static bool chardev_check(System *sys, Opts *opts, GError **errp)
{
    bool listening;
    const char *backend = opts_get(opts, "backend");
    const char *id = opts_get(opts, "id");
    const char *fd = opts_get(opts, "fd");

    if (!backend || strcmp(backend, "socket") != 0) {
        return error_set(errp, "'%s' is not a chardev backend of this program, only 'socket' is",
                         backend ? backend : "");
    }
    if (!object_id_check(id, errp)) {
        return false;
    }
    if (chardev_exists(sys, id)) {
        return error_set(errp, "Duplicate ID '%s' for chardev", id);
    }
    if (!opts_check_used(opts, "Invalid parameter '%s'", errp)) {
        return false;
    }
    if (!fd) {
        return error_set(errp, "Parameter 'fd' is missing");
    }
    if (socket_fd_check(fd, &listening, errp) < 0) {
        return false;
    }
    return !listening || error_set(errp, "File descriptor '%s' is not a connected socket", fd);
}

bool option_chardev(System *sys, const OptionItem *item, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(item->value, "backend", errp);

    if (!opts || !chardev_check(sys, opts, errp)) {
        return false;
    }
    Chardev *chardev = g_new0(Chardev, 1);
    chardev->id = g_strdup(opts_get(opts, "id"));
    chardev->fd = g_strdup(opts_get(opts, "fd"));
    g_ptr_array_add(sys->chardevs, chardev);
    return true;
}
