/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sockets that a proxy's properties name: UNIX stream sockets, connected. Any thread. */
#ifndef HW_PROXY_PROXY_SOCKET_H
#define HW_PROXY_PROXY_SOCKET_H

#include <glib.h>

/* The inherited descriptor whose number is text; close-on-exec then, and the caller's. -1 and an
 * error if it isn't one. */
int proxy_socket_from_fd(const char *text, GError **errp);
/* Connects to the socket that listens on path; never waits. -1 and an error. */
int proxy_socket_connect(const char *path, GError **errp);

#endif
