/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -daemonize: the process that was started waits on a pipe until its child serves, so that whoever
 * started it can go on right after it. The child writes a byte when it does; if it ends before, for
 * an error that it has printed, the pipe ends without one.
 *
 * sd_notify: a service manager names a datagram socket in $NOTIFY_SOCKET, by path or, with '@' in
 * front, by an abstract name, and waits for READY=1 there. The socket is connected before the
 * process gives up making any, and written to at the end. A manager that can't be reached is worth
 * a line, but no reason not to serve.
 *
 * Socket activation: $LISTEN_FDS sockets from number 3 on are for the process whose id is
 * $LISTEN_PID.
 *
 * Main thread, at start.
 */
#include "system/daemon.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- -daemonize --- */

G_GNUC_NORETURN static void wait_for_child(int fd)
{
    char byte;
    ssize_t n;

    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    /* Nothing of this process is to be flushed or removed: all is the child's. */
    _exit(n == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

bool daemon_fork(Daemon *d, GError **errp)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return error_set(errp, "can't make a pipe: %s", g_strerror(errno));
    }
    AUTO_FD reader = ends[0], writer = ends[1];
    AUTO_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);
    pid_t child = null < 0 ? -1 : fork();
    if (child < 0) {
        return error_set(errp, "can't go to the background: %s", g_strerror(errno));
    }
    if (child > 0) {
        fd_clear(&writer);
        wait_for_child(reader);
    }
    setsid();
    d->parent = fd_steal(&writer);
    d->null = fd_steal(&null);
    return true;
}

void daemon_detach(Daemon *d)
{
    if (d->null < 0) {
        return;
    }
    if (chdir("/") < 0) {
        log_line(NULL, "can't leave the folder: %s", g_strerror(errno));
    }
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        dup2(d->null, fd);
    }
    fd_clear(&d->null);
}

/* --- the service manager --- */

/* The address's length, or 0. */
static socklen_t notify_address(struct sockaddr_un *addr, const char *name)
{
    size_t len = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(addr->sun_path)) {
        return 0;
    }
    memcpy(addr->sun_path, name, len);
    if (name[0] == '@') {
        addr->sun_path[0] = '\0';
    }
    return offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/');
}

void daemon_find_manager(Daemon *d)
{
    const char *name = g_getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    if (!name) {
        return;
    }
    socklen_t len = notify_address(&addr, name);
    AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (len == 0) {
        log_line(NULL, "NOTIFY_SOCKET is no socket's name: '%s'", name);
    } else if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, len) < 0) {
        log_line(NULL, "NOTIFY_SOCKET '%s': %s", name, g_strerror(errno));
    } else {
        d->notify = fd_steal(&fd);
    }
}

void daemon_ready(Daemon *d)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "READY=1\nMAINPID=%ld\n", (long)getpid());

    if (d->notify >= 0 && write(d->notify, text, len) < 0) {
        log_line(NULL, "NOTIFY_SOCKET: %s", g_strerror(errno));
    }
    if (d->parent >= 0 && write(d->parent, "", 1) < 0) {
        log_line(NULL, "nobody waits for this process any more: %s", g_strerror(errno));
    }
    daemon_fini(d);
}

void daemon_fini(Daemon *d)
{
    fd_clear(&d->notify);
    fd_clear(&d->parent);
    fd_clear(&d->null);
}

unsigned daemon_listen_fds(void)
{
    const char *pid = g_getenv("LISTEN_PID"), *fds = g_getenv("LISTEN_FDS");
    guint64 value;

    if (!pid || !fds || !g_ascii_string_to_unsigned(pid, 10, 1, INT_MAX, &value, NULL) ||
        value != (guint64)getpid() ||
        !g_ascii_string_to_unsigned(fds, 10, 0, INT_MAX - LISTEN_FDS_START, &value, NULL)) {
        return 0;
    }
    return value;
}
