/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -chardev socket,id=ID,fd=N: a name for an inherited socket. The first versions of multi-process
 * QEMU gave the remote process its link in this way, together with `-machine remote,chardev=ID`;
 * launchers written for them work unchanged. There is nothing else in a remote process that a
 * character device could be connected to, so no other back end exists.
 *
 * A program with a board has a serial port and testers, so there the socket may be a path as well,
 * which is connected to, or with server=on listened on, by what uses the chardev.
 *
 * Main thread, at start.
 */
#include "system/chardev.h"
#include "system/options.h"
#include "system/socket.h"
#include "util/error.h"
#include <string.h>

const Chardev *chardev_find(const GPtrArray *chardevs, const char *id)
{
    for (unsigned i = 0; i < chardevs->len; i++) {
        const Chardev *chardev = g_ptr_array_index(chardevs, i);
        if (strcmp(chardev->id, id) == 0) {
            return chardev;
        }
    }
    return NULL;
}

bool chardev_flags(Opts *opts, bool *server, bool *wait, GError **errp)
{
    const char *server_text = opts_get(opts, "server");
    const char *wait_text = opts_get(opts, "wait");
    bool nowait = opts_get(opts, "nowait");

    if ((server_text && !opt_parse_bool("server", server_text, server, errp)) ||
        (wait_text && !opt_parse_bool("wait", wait_text, wait, errp))) {
        return false;
    }
    *wait = *wait && !nowait;
    return *server || !(wait_text || nowait) ||
           error_set(errp, "Parameter 'wait' is for a socket with server=on");
}

static bool chardev_check(System *sys, Opts *opts, bool *server, GError **errp)
{
    bool listening, wait = true;
    const char *backend = opts_get(opts, "backend");
    const char *id = opts_get(opts, "id");
    const char *fd = opts_get(opts, "fd");
    bool paths = registry_has_board(sys->registry);
    const char *path = paths ? opts_get(opts, "path") : NULL;

    if (!backend || strcmp(backend, "socket") != 0) {
        return error_set(errp, "'%s' is not a chardev backend of this program, only 'socket' is",
                         backend ? backend : "");
    }
    if (!object_id_check(id, errp)) {
        return false;
    }
    if (chardev_find(sys->chardevs, id)) {
        return error_set(errp, "Duplicate ID '%s' for chardev", id);
    }
    if (paths && !chardev_flags(opts, server, &wait, errp)) {
        return false;
    }
    if (!opts_check_used(opts, "Invalid parameter '%s'", errp)) {
        return false;
    }
    if (fd && path) {
        return error_set(errp, "Parameters 'fd' and 'path' exclude each other");
    }
    if (path) {
        return true;
    }
    if (!fd) {
        return error_set(errp, "Parameter %s is missing", paths ? "'fd' or 'path'" : "'fd'");
    }
    if (socket_fd_check(fd, &listening, errp) < 0) {
        return false;
    }
    return !listening || error_set(errp, "File descriptor '%s' is not a connected socket", fd);
}

bool option_chardev(System *sys, const OptionItem *item, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(item->value, "backend", errp);
    bool server = false;

    if (!opts || !chardev_check(sys, opts, &server, errp)) {
        return false;
    }
    Chardev *chardev = g_new0(Chardev, 1);
    chardev->id = g_strdup(opts_get(opts, "id"));
    chardev->fd = g_strdup(opts_get(opts, "fd"));
    chardev->path = g_strdup(opts_get(opts, "path"));
    chardev->server = server;
    g_ptr_array_add(sys->chardevs, chardev);
    return true;
}
