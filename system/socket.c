/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UNIX stream sockets of the command line.
 *
 * fd=N names a descriptor inherited from the launcher. Everything about it is asked of the kernel
 * before it is used, since a wrong number may well be a descriptor of ours, an image for instance.
 * Only UNIX sockets carry the descriptors of guest memory and interrupts, so no others are taken.
 *
 * path=P binds a listening socket. A process that was killed leaves its socket file behind, and the
 * next one must be able to start, so a dead socket is replaced; whether it is dead is found out by
 * connecting with the wrong type of socket, which the kernel refuses in different ways for a live
 * and a dead one, and which its owner never sees. Only sockets are ever removed, and at the end
 * only the one that was bound here.
 *
 * A listener accepts one client each time it is told to; there is one machine behind it. With no
 * descriptors left, accept() fails and the client stays in the backlog: the listener waits a
 * second then, instead of spinning on a descriptor that remains readable.
 */
#include "system/socket.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 8
#define ACCEPT_PAUSE_MS 1000

const SandboxCalls listener_sandbox = {
    .module = "listener",
    .on_demand = true,
    .calls = (const SandboxCall[]){ { .name = "accept4" }, { .name = NULL } },
};

static bool socket_option(int fd, int name, int *value)
{
    socklen_t len = sizeof(*value);

    return getsockopt(fd, SOL_SOCKET, name, value, &len) == 0;
}

int socket_fd_check(const char *text, bool *listening, GError **errp)
{
    int type = 0, domain = 0, accepts = 0;
    int fd = fd_from_string(text, errp);

    if (fd < 0) {
        return -1;
    }
    if (!socket_option(fd, SO_TYPE, &type) || !socket_option(fd, SO_DOMAIN, &domain)) {
        error_set(errp, "File descriptor '%s' is not a socket", text);
        return -1;
    }
    if (domain != AF_UNIX || type != SOCK_STREAM) {
        error_set(errp, "File descriptor '%s' is not a UNIX stream socket", text);
        return -1;
    }
    struct sockaddr_un peer;
    socklen_t len = sizeof(peer);
    if (!socket_option(fd, SO_ACCEPTCONN, &accepts) ||
        (!accepts && getpeername(fd, (struct sockaddr *)&peer, &len) < 0)) {
        error_set(errp, "File descriptor '%s' is a socket that is neither connected nor listening",
                  text);
        return -1;
    }
    *listening = accepts;
    return fd;
}

/* Removes the socket file of addr if its owner is gone. */
static bool remove_dead_socket(const struct sockaddr_un *addr, GError **errp)
{
    struct stat st;

    if (lstat(addr->sun_path, &st) < 0) {
        return errno == ENOENT ||
               error_set(errp, "Can't look at '%s': %s", addr->sun_path, g_strerror(errno));
    }
    if (!S_ISSOCK(st.st_mode)) {
        return error_set(errp, "'%s' exists and is not a socket", addr->sun_path);
    }
    AUTO_FD probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return error_set(errp, "Can't make a socket: %s", g_strerror(errno));
    }
    if (connect(probe, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EPROTOTYPE) {
        return error_set(errp, "Socket '%s' is in use", addr->sun_path);
    }
    if (errno != ECONNREFUSED) {
        return error_set(errp, "Can't tell whether socket '%s' is in use: %s", addr->sun_path,
                         g_strerror(errno));
    }
    if (unlink(addr->sun_path) < 0 && errno != ENOENT) {
        return error_set(errp, "Can't remove dead socket '%s': %s", addr->sun_path,
                         g_strerror(errno));
    }
    return true;
}

static bool bind_path(int fd, const struct sockaddr_un *addr, GError **errp)
{
    const struct sockaddr *sa = (const struct sockaddr *)addr;

    /* The file inherits the socket's mode, so that it never exists with another one. */
    if (fchmod(fd, 0600) < 0) {
        return error_set(errp, "Can't set a socket's mode: %s", g_strerror(errno));
    }
    if (bind(fd, sa, sizeof(*addr)) == 0) {
        return true;
    }
    if (errno == EADDRINUSE) {
        if (!remove_dead_socket(addr, errp)) {
            return false;
        }
        if (bind(fd, sa, sizeof(*addr)) == 0) {
            return true;
        }
    }
    return error_set(errp, "Can't bind socket to '%s': %s", addr->sun_path, g_strerror(errno));
}

static bool address_set(struct sockaddr_un *addr, const char *path, GError **errp)
{
    *addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (!path[0] || strlen(path) >= sizeof(addr->sun_path)) {
        return error_set(errp, "Socket path must have 1 to %zu bytes, '%s' has %zu",
                         sizeof(addr->sun_path) - 1, path, strlen(path));
    }
    memcpy(addr->sun_path, path, strlen(path));
    return true;
}

int socket_connect(const char *path, GError **errp)
{
    struct sockaddr_un addr;
    AUTO_FD fd = -1;

    if (!address_set(&addr, path, errp)) {
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        error_set(errp, "Can't make a socket: %s", g_strerror(errno));
    } else if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        error_set(errp, "Can't connect to '%s': %s", path, g_strerror(errno));
        fd_clear(&fd);
    }
    return fd_steal(&fd);
}

bool listener_open(Listener *listener, const char *path, GError **errp)
{
    struct sockaddr_un addr;
    struct stat st;

    listener->fd = -1;
    if (!address_set(&addr, path, errp)) {
        return false;
    }
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return error_set(errp, "Can't make a socket: %s", g_strerror(errno));
    }
    if (!bind_path(fd, &addr, errp)) {
        return false;
    }
    if (lstat(path, &st) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
        error_set(errp, "Can't listen on '%s': %s", path, g_strerror(errno));
        unlink(path);
        return false;
    }
    listener->dev = st.st_dev;
    listener->ino = st.st_ino;
    listener->path = g_canonicalize_filename(path, NULL);
    listener->fd = fd_steal(&fd);
    return true;
}

void listener_take(Listener *listener, int fd)
{
    listener->fd = fd;
    listener->path = NULL;
}

static gboolean listener_resume(gpointer opaque)
{
    Listener *listener = opaque;

    listener->pause = 0;
    listener_accept(listener, listener->accepted, listener->opaque);
    return G_SOURCE_REMOVE;
}

static gboolean listener_ready(int fd, GIOCondition condition G_GNUC_UNUSED, gpointer opaque)
{
    Listener *listener = opaque;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (client < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) {
            return G_SOURCE_CONTINUE;
        }
        log_line(NULL, "can't accept a connection: %s", g_strerror(errno));
        listener->watch = 0;
        listener->pause = g_timeout_add(ACCEPT_PAUSE_MS, listener_resume, listener);
        return G_SOURCE_REMOVE;
    }
    listener->watch = 0;
    listener->accepted(listener->opaque, client);
    return G_SOURCE_REMOVE;
}

void listener_accept(Listener *listener, void (*accepted)(void *, int), void *opaque)
{
    g_assert(listener->fd >= 0 && !listener_accepting(listener));
    listener->accepted = accepted;
    listener->opaque = opaque;
    listener->watch = g_unix_fd_add(listener->fd, G_IO_IN, listener_ready, listener);
}

bool listener_accepting(const Listener *listener)
{
    return listener->watch || listener->pause;
}

static void source_clear(unsigned *id)
{
    if (*id) {
        g_source_remove(*id);
        *id = 0;
    }
}

void listener_close(Listener *listener)
{
    struct stat st;

    if (listener->fd < 0) {
        return;
    }
    source_clear(&listener->watch);
    source_clear(&listener->pause);
    if (listener->path && lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
        st.st_ino == listener->ino) {
        unlink(listener->path);
    }
    g_free(listener->path);
    listener->path = NULL;
    fd_clear(&listener->fd);
}
