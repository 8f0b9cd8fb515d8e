/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UNIX stream sockets that the command line names: inherited descriptors, and listening ones on a
 * path with what accepts from them. Main thread. */
#ifndef SYSTEM_SOCKET_H
#define SYSTEM_SOCKET_H

#include "util/sandbox.h"
#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>

/* The descriptor whose number is text: open, a UNIX stream socket, and connected or listening
 * (*listening says which). It is close-on-exec then, and still the caller's to close. -1 and an
 * error otherwise. */
int socket_fd_check(const char *text, bool *listening, GError **errp);

/* A socket that is connected to path, the caller's; -1 and an error. */
int socket_connect(const char *path, GError **errp);

typedef struct Listener {
    int fd;     /* owned; -1: not listening */
    char *path; /* what listener_open() bound, absolute; NULL: none */
    dev_t dev;  /* of the socket file, so that another's is never removed */
    ino_t ino;
    unsigned watch; /* GSource id, 0: not accepting */
    unsigned pause; /* GSource id of the wait after a failed accept */
    /* Takes fd: non-blocking, close-on-exec. */
    void (*accepted)(void *opaque, int fd);
    void *opaque;
} Listener;

/* A socket of mode 0600 on path, which listens. A socket file that nobody listens on any more is
 * replaced; any other file, and a socket that is in use, is an error. */
bool listener_open(Listener *listener, const char *path, GError **errp);
/* Takes a socket that listens already. */
void listener_take(Listener *listener, int fd);
/* Accepts one client: accepted() comes from the main loop, and no other till the next call. Those
 * who connect meanwhile wait in the socket's backlog. */
void listener_accept(Listener *listener, void (*accepted)(void *, int), void *opaque);
bool listener_accepting(const Listener *listener);
/* Closes the socket and removes the socket file. No-op if it is closed. */
void listener_close(Listener *listener);

extern const SandboxCalls listener_sandbox;

#endif
