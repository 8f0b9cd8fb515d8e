/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other ends of a board's ports: what -serial, -debugcon and -qtest name.
 *
 * A port's other end is there before the machine starts: standard input and output, a file (output
 * only), or a socket that somebody else listens on. A tester may come later, too: with server=on
 * the path is only noted here, and the board waits for the tester before it does anything.
 *
 * A file is created here, but emptied when the rest of the command line has turned out right.
 *
 * Main thread, at start.
 */
#include "system/board.h"
#include "system/chardev.h"
#include "system/socket.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char *after(const char *text, const char *prefix)
{
    return g_str_has_prefix(text, prefix) ? text + strlen(prefix) : NULL;
}

static bool connect_path(BoardIo *io, const char *path, GError **errp)
{
    io->in = io->out = socket_connect(path, errp);
    io->owned = io->in >= 0;
    return io->owned;
}

static bool take_fd(BoardIo *io, const char *text, GError **errp)
{
    bool listening;
    int fd = socket_fd_check(text, &listening, errp);

    if (fd < 0) {
        return false;
    }
    if (listening) {
        return error_set(errp, "File descriptor '%s' is not a connected socket", text);
    }
    io->in = io->out = fd;
    io->owned = true;
    return true;
}

/* "path[,server=on|off][,wait=on|off]" */
static bool open_unix(BoardIo *io, const char *text, GError **errp)
{
    bool server = false, wait = true;
    g_autoptr(Opts) opts = opts_parse(text, "path", errp);

    if (!opts) {
        return false;
    }
    const char *path = opts_get(opts, "path");
    if (!path) {
        return error_set(errp, "Parameter 'path' is missing");
    }
    if (!chardev_flags(opts, &server, &wait, errp) ||
        !opts_check_used(opts, "Invalid parameter '%s'", errp)) {
        return false;
    }
    if (server) {
        io->path = io->copy = g_strdup(path);
        return true;
    }
    return connect_path(io, path, errp);
}

static bool open_chardev(BoardIo *io, const System *sys, const char *id, GError **errp)
{
    const Chardev *chardev = chardev_find(sys->chardevs, id);

    if (!chardev) {
        return error_set(errp, "Chardev '%s' not found", id);
    }
    if (chardev->kind != CHARDEV_SOCKET) {
        return error_set(errp, "Chardev '%s' is not a socket", id);
    }
    if (chardev->fd) {
        return take_fd(io, chardev->fd, errp);
    }
    if (chardev->server) {
        io->path = chardev->path;
        return true;
    }
    return connect_path(io, chardev->path, errp);
}

static bool open_file(BoardIo *io, const char *path, GError **errp)
{
    io->out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    io->owned = io->out >= 0;
    io->truncate = io->owned;
    return io->owned || error_set(errp, "Can't open '%s': %s", path, g_strerror(errno));
}

static bool open_port(BoardIo *io, const System *sys, const char *text, GError **errp)
{
    const char *rest;

    if (strcmp(text, "none") == 0 || strcmp(text, "null") == 0) {
        return true;
    }
    if (strcmp(text, "stdio") == 0) {
        io->in = STDIN_FILENO;
        io->out = STDOUT_FILENO;
        return true;
    }
    if ((rest = after(text, "file:"))) {
        return open_file(io, rest, errp);
    }
    if ((rest = after(text, "unix:"))) {
        return open_unix(io, rest, errp);
    }
    if ((rest = after(text, "chardev:"))) {
        return open_chardev(io, sys, rest, errp);
    }
    return error_set(errp, "expected stdio, file:PATH, unix:PATH, chardev:ID, null or none");
}

bool board_io_open(BoardIo *io, const System *sys, const char *text, GError **errp)
{
    *io = (BoardIo){ .in = -1, .out = -1 };
    if (!open_port(io, sys, text, errp)) {
        return false;
    }
    if (io->path) {
        error_set(errp, "only a tester can be waited for with server=on");
        board_io_close(io);
        return false;
    }
    return true;
}

bool board_io_open_tester(BoardIo *io, const System *sys, const char *text, GError **errp)
{
    const char *rest;

    *io = (BoardIo){ .in = -1, .out = -1 };
    if ((rest = after(text, "unix:"))) {
        return open_unix(io, rest, errp);
    }
    if ((rest = after(text, "fd:"))) {
        return take_fd(io, rest, errp);
    }
    if ((rest = after(text, "chardev:"))) {
        return open_chardev(io, sys, rest, errp);
    }
    if (chardev_find(sys->chardevs, text)) {
        return open_chardev(io, sys, text, errp);
    }
    return error_set(errp, "expected unix:PATH, fd:NUMBER or the id of a -chardev");
}

void board_io_close(BoardIo *io)
{
    if (io->owned) {
        fd_clear(&io->out);
    }
    g_free(io->copy);
    *io = (BoardIo){ .in = -1, .out = -1 };
}
