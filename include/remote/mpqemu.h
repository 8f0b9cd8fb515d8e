/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mpqemu server: a thin codec from the messages of one connection to the machine's verbs.
 * On the machine's thread.
 */
#ifndef REMOTE_MPQEMU_H
#define REMOTE_MPQEMU_H

#include "remote/machine.h"

typedef struct MpqemuServer MpqemuServer;

/* Comes once, from the loop, after the machine has been disconnected (drained, flushed). violation:
 * the peer broke the protocol (already logged); false: it hung up. */
typedef void MpqemuEnded(void *opaque, bool violation);

/* Takes fd. NULL with errno if the socket can't be used. */
MpqemuServer *mpqemu_server_new(RemoteMachine *m, int fd, MpqemuEnded *ended, void *opaque);
/* Ends the connection in an orderly way: as if the peer had hung up, ended() follows. */
void mpqemu_server_stop(MpqemuServer *server);
/* In or after ended(). */
void mpqemu_server_free(MpqemuServer *server);
/* For the counters. Any thread. */
RemoteMessageName mpqemu_message_name;

#endif
