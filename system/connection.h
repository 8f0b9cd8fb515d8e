/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that serves one device to one client at a time: its loop, its remote machine and,
 * while a client is there, its server. Every function is called on the main thread.
 */
#ifndef SYSTEM_CONNECTION_H
#define SYSTEM_CONNECTION_H

#include "remote/machine.h"
#include "system/object.h"
#include <sys/types.h>

typedef struct Connection Connection;

/* A protocol. Its functions but machine_new are called on the connection's thread. */
typedef struct ConnectionKind {
    const char *protocol;
    RemoteMachine *(*machine_new)(const char *name, Loop *loop, PciDev *dev, GError **errp);
    /* Takes fd; NULL with errno. ended() follows once, from the loop, and is when it is freed. */
    void *(*server_new)(RemoteMachine *m, int fd, void (*ended)(void *opaque, bool violation),
                        void *opaque);
    void (*server_stop)(void *server);
    void (*server_free)(void *server);
    /* Optional: the client has neither hung up nor been ended. With it, clients can be offered
     * while another is served. */
    bool (*server_connected)(const void *server);
    RemoteMessageName *message_name; /* any thread */
} ConnectionKind;

/* Main loop: the client is gone, what was in flight is done and flushed, the machine is reset. */
typedef void ConnectionEnded(void *opaque);

/* Main loop: the client that was offered has been refused. */
typedef void ConnectionRefused(void *opaque);

/* Hands pci and everything below it to a new thread, which waits for a client. name: of the
 * thread and in the log; copied. polling: none of it -1. NULL and an error if anything is
 * refused. */
Connection *connection_new(const char *name, PciDev *pci, const ConnectionKind *kind,
                           const PollingProps *polling, ConnectionEnded *ended,
                           ConnectionRefused *refused, void *opaque, GError **errp);
/* Takes fd, a connected socket. There must be no client; ended() follows once. */
void connection_serve(Connection *conn, int fd);
/* Takes fd, a client that has come while another is served. If that one is still there, the new
 * one is closed at once, and refused() follows; else it is kept, and connection_take_offer() has
 * it in ended(). One at a time; the kind must have server_connected. */
void connection_offer(Connection *conn, int fd);
/* In or after ended(): the client that was kept, now the caller's, or -1. */
int connection_take_offer(Connection *conn);
/* Ends the present client as if it had hung up. Harmless if it is just going. */
void connection_stop(Connection *conn);
bool connection_busy(const Connection *conn);
/* In or after ended(): the client was cut off as it broke the protocol. */
bool connection_violated(const Connection *conn);
/* For what is posted to the thread; they live as long as conn. */
Loop *connection_loop(const Connection *conn);
RemoteMachine *connection_machine(const Connection *conn);
/* Process id of the present client, or of the last one; 0: not known. */
pid_t connection_peer(const Connection *conn);
const char *connection_protocol(const Connection *conn);
RemoteMessageName *connection_message_name(const Connection *conn);
bool connection_takes_offers(const Connection *conn);
/* Ends the thread. There must be no client. */
void connection_free(Connection *conn);

#endif
