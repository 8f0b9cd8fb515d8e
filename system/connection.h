/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that serves one device to one client at a time: its loop, its remote machine and,
 * while a client is there, its mpqemu server. Every function is called on the main thread.
 */
#ifndef SYSTEM_CONNECTION_H
#define SYSTEM_CONNECTION_H

#include "hw/pci/pci.h"

typedef struct Connection Connection;

/* Main loop: the client is gone, what was in flight is done and flushed, the machine is reset. */
typedef void ConnectionEnded(void *opaque);

/* Hands pci and everything below it to a new thread, which waits for a client. name: of the
 * thread and in the log; copied. NULL and an error if anything is refused. */
Connection *connection_new(const char *name, PciDev *pci, ConnectionEnded *ended, void *opaque,
                           GError **errp);
/* Takes fd, a connected socket. There must be no client; ended() follows once. */
void connection_serve(Connection *conn, int fd);
/* Ends the present client as if it had hung up. Harmless if it is just going. */
void connection_stop(Connection *conn);
bool connection_busy(const Connection *conn);
/* Ends the thread. There must be no client. */
void connection_free(Connection *conn);

#endif
