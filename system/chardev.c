/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -chardev: byte streams with names. Who takes one says what can be done with it.
 *
 *   socket,id=ID,fd=N                           an inherited socket, connected or listening
 *   socket,id=ID,path=P[,server=on][,wait=off]  connected to, or listened on
 *   stdio,id=ID                                 standard input and output
 *   null,id=ID                                  nothing in, and out into nowhere
 *
 * The first versions of multi-process QEMU gave the remote process its link as the first of these,
 * together with `-machine remote,chardev=ID`; launchers written for them work unchanged. A program
 * that has neither a board nor a monitor can do nothing else with one, and takes nothing else.
 *
 * A monitor can also be named without a -chardev, as in `-qmp unix:P,server=on`; it gets one then.
 *
 * Main thread, at start.
 */
#include "system/chardev.h"
#include "system/options.h"
#include "system/socket.h"
#include "util/error.h"
#include <string.h>

Chardev *chardev_find(const GPtrArray *chardevs, const char *id)
{
    for (unsigned i = 0; i < chardevs->len; i++) {
        Chardev *chardev = g_ptr_array_index(chardevs, i);
        if (strcmp(chardev->id, id) == 0) {
            return chardev;
        }
    }
    return NULL;
}

void chardev_free(void *opaque)
{
    Chardev *chardev = opaque;

    g_free(chardev->id);
    g_free(chardev->fd);
    g_free(chardev->path);
    g_free(chardev);
}

char *chardev_text(const Chardev *chardev)
{
    static const char *const plain[] = { [CHARDEV_STDIO] = "stdio", [CHARDEV_NULL] = "null" };

    if (chardev->kind != CHARDEV_SOCKET) {
        return g_strdup(plain[chardev->kind]);
    }
    if (chardev->fd) {
        return g_strdup_printf("fd:%s", chardev->fd);
    }
    return g_strdup_printf("unix:%s%s", chardev->path, chardev->server ? ",server=on" : "");
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

/* Can it be more than an inherited connection? */
static bool takes_all(const Registry *registry)
{
    return registry_has_board(registry) || registry->monitor;
}

static bool parse_socket(Chardev *chardev, Opts *opts, const Registry *registry, GError **errp)
{
    bool all = takes_all(registry);

    chardev->fd = g_strdup(opts_get(opts, "fd"));
    chardev->path = all ? g_strdup(opts_get(opts, "path")) : NULL;
    chardev->wait = true;
    if ((all && !chardev_flags(opts, &chardev->server, &chardev->wait, errp)) ||
        !opts_check_used(opts, "Invalid parameter '%s'", errp)) {
        return false;
    }
    if (chardev->fd && chardev->path) {
        return error_set(errp, "Parameters 'fd' and 'path' exclude each other");
    }
    if (chardev->path) {
        return true;
    }
    if (!chardev->fd) {
        return error_set(errp, "Parameter %s is missing", all ? "'fd' or 'path'" : "'fd'");
    }
    return socket_fd_check(chardev->fd, &chardev->fd_listens, errp) >= 0;
}

static bool parse_plain(Chardev *chardev G_GNUC_UNUSED, Opts *opts,
                        const Registry *registry G_GNUC_UNUSED, GError **errp)
{
    return opts_check_used(opts, "Invalid parameter '%s'", errp);
}

static const struct Backend {
    const char *name;
    bool (*parse)(Chardev *chardev, Opts *opts, const Registry *registry, GError **errp);
} backends[] = {
    [CHARDEV_SOCKET] = { "socket", parse_socket },
    [CHARDEV_STDIO] = { "stdio", parse_plain },
    [CHARDEV_NULL] = { "null", parse_plain },
};

static bool parse_backend(Chardev *chardev, Opts *opts, const Registry *registry, GError **errp)
{
    const char *name = opts_get(opts, "backend");
    unsigned n = takes_all(registry) ? G_N_ELEMENTS(backends) : CHARDEV_SOCKET + 1;

    for (unsigned i = 0; name && i < n; i++) {
        if (strcmp(backends[i].name, name) == 0) {
            chardev->kind = i;
            return backends[i].parse(chardev, opts, registry, errp);
        }
    }
    return error_set(errp, "'%s' is not a chardev backend of this program (see -chardev help)",
                     name ? name : "");
}

bool option_chardev(System *sys, const OptionItem *item, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(item->value, "backend", errp);
    const char *id;
    Chardev *chardev;

    if (!opts) {
        return false;
    }
    id = opts_get(opts, "id");
    if (!object_id_check(id, errp)) {
        return false;
    }
    if (chardev_find(sys->chardevs, id)) {
        return error_set(errp, "Duplicate ID '%s' for chardev", id);
    }
    chardev = g_new0(Chardev, 1);
    chardev->id = g_strdup(id);
    if (!parse_backend(chardev, opts, sys->registry, errp)) {
        chardev_free(chardev);
        return false;
    }
    g_ptr_array_add(sys->chardevs, chardev);
    return true;
}

/* "unix:PATH,server=on" and so on, as -chardev has it. */
static Opts *legacy_opts(const char *text, GError **errp)
{
    Opts *opts;

    if (g_str_has_prefix(text, "unix:")) {
        opts = opts_parse(text + strlen("unix:"), "path", errp);
    } else if (g_str_has_prefix(text, "fd:")) {
        opts = opts_parse(text + strlen("fd:"), "fd", errp);
    } else if (strcmp(text, "stdio") == 0 || strcmp(text, "null") == 0) {
        opts = opts_new();
        opts_set(opts, "backend", text);
    } else {
        error_set(errp, "expected unix:PATH, fd:NUMBER, chardev:ID, stdio, null or none");
        return NULL;
    }
    if (opts && !opts_peek(opts, "backend")) {
        opts_set(opts, "backend", "socket");
    }
    return opts;
}

Chardev *chardev_named(System *sys, const char *text, const char *id, GError **errp)
{
    g_autoptr(Opts) opts = NULL;
    Chardev *chardev;

    if (g_str_has_prefix(text, "chardev:")) {
        chardev = chardev_find(sys->chardevs, text + strlen("chardev:"));
        if (!chardev) {
            error_set(errp, "Chardev '%s' not found", text + strlen("chardev:"));
        }
        return chardev;
    }
    opts = legacy_opts(text, errp);
    if (!opts) {
        return NULL;
    }
    chardev = g_new0(Chardev, 1);
    chardev->id = g_strdup(id);
    if (!parse_backend(chardev, opts, sys->registry, errp)) {
        chardev_free(chardev);
        return NULL;
    }
    g_ptr_array_add(sys->chardevs, chardev);
    return chardev;
}
