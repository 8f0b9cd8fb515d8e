/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vfio-user server: a thin codec from the messages of one connection to the machine's verbs,
 * for QEMU's vfio-user-pci and other clients of the protocol. On the machine's thread.
 */
#ifndef REMOTE_VFIO_USER_H
#define REMOTE_VFIO_USER_H

#include "remote/machine.h"

typedef struct VfioUserServer VfioUserServer;

/* Comes once, from the loop, after the machine has been disconnected (drained, flushed). violation:
 * the peer broke the protocol (already logged); false: it hung up. */
typedef void VfioUserEnded(void *opaque, bool violation);

/* Takes fd. NULL with errno if the socket can't be used. */
VfioUserServer *vfio_user_server_new(RemoteMachine *m, int fd, VfioUserEnded *ended, void *opaque);
/* The client is there: neither has it hung up nor did the server end the connection. */
bool vfio_user_server_connected(const VfioUserServer *server);
/* Ends the connection in an orderly way: as if the peer had hung up, ended() follows. */
void vfio_user_server_stop(VfioUserServer *server);
/* In or after ended(). */
void vfio_user_server_free(VfioUserServer *server);
/* For the counters. Any thread. */
RemoteMessageName vfio_user_message_name;

#endif
