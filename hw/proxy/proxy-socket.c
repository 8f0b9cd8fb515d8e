/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two ways to a remote: a socket that the launcher made, one end for each process, or a path
 * on which the remote listens. What isn't a connected UNIX stream socket is refused here by name,
 * as a wrong number could be any file of this process.
 *
 * Connecting a UNIX socket never takes time: it has a place in the listener's backlog at once, or
 * is refused. A remote that serves somebody else may take its time to accept, so being connected
 * doesn't mean to be served; that is for the first reply to tell.
 */
#include "proxy-socket.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static bool has_option(int fd, int option, int wanted)
{
    socklen_t len = sizeof(int);
    int value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

int proxy_socket_from_fd(const char *text, GError **errp)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int fd = fd_from_string(text, errp);

    if (fd < 0) {
        return -1;
    }
    if (!has_option(fd, SO_DOMAIN, AF_UNIX) || !has_option(fd, SO_TYPE, SOCK_STREAM)) {
        error_set(errp, "file descriptor %d is not a UNIX stream socket", fd);
        return -1;
    }
    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0) {
        error_set(errp, "file descriptor %d is not a connected socket", fd);
        return -1;
    }
    return fd;
}

int proxy_socket_connect(const char *path, GError **errp)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    AUTO_FD fd = -1;

    if (!path[0] || strlen(path) >= sizeof(addr.sun_path)) {
        error_set(errp, "Socket path must have 1 to %zu bytes, '%s' has %zu",
                  sizeof(addr.sun_path) - 1, path, strlen(path));
        return -1;
    }
    memcpy(addr.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        error_set(errp, "Can't connect to '%s': %s", path, g_strerror(errno));
        return -1;
    }
    return fd_steal(&fd);
}
