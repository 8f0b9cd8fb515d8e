/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What helper daemons have in common: -daemonize, and sd_notify(3) without its library. Main
 * thread, at start. */
#ifndef SYSTEM_DAEMON_H
#define SYSTEM_DAEMON_H

#include <glib.h>
#include <stdbool.h>

typedef struct Daemon {
    int parent; /* a pipe to who waits for the process to serve; -1: nobody */
    int null;   /* /dev/null, for the standard descriptors; -1: they stay */
    int notify; /* the service manager's socket, connected; -1: none */
} Daemon;

#define DAEMON_NONE                                                                                \
    {                                                                                              \
        .parent = -1, .null = -1, .notify = -1                                                     \
    }

/* Goes on in a child, in a session of its own. The caller's process waits in here, and ends with
 * status 0 when the child serves, or with 1 when it has ended before. There must be no threads. */
bool daemon_fork(Daemon *d, GError **errp);
/* Looks for $NOTIFY_SOCKET. */
void daemon_find_manager(Daemon *d);
/* Leaves folder and standard descriptors, if daemon_fork() has been called: the last thing before
 * the system call filter. */
void daemon_detach(Daemon *d);
/* Says that the process serves, to whoever waits for it. */
void daemon_ready(Daemon *d);
void daemon_fini(Daemon *d);

/* How many sockets a service manager has passed (LISTEN_FDS), from LISTEN_FDS_START on. */
#define LISTEN_FDS_START 3
unsigned daemon_listen_fds(void);

#endif
