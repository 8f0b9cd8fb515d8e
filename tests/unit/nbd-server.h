/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NBD servers for tests: nbdkit and qemu-nbd as processes, and one of our own that says what it is
 * told to. Each listens on the unix socket "s" of a folder. */
#ifndef TESTS_NBD_SERVER_H
#define TESTS_NBD_SERVER_H

#include <glib.h>
#include <stdbool.h>

typedef struct NbdServer {
    char *dir;
    char *socket;
    GPid pid; /* 0: not running */
} NbdServer;

/* Is the program there? Otherwise the test is skipped with that reason. */
bool nbd_server_have(const char *program);
/* In a new folder. */
NbdServer *nbd_server_new(void);
/* nbdkit with these words behind those that say where it listens; returns when it does. */
void nbd_server_start(NbdServer *server, const char *words);
/* The same on a TCP port of localhost. Returns the port. */
unsigned nbd_server_start_tcp(NbdServer *server, const char *words);
/* The same with the whole command line; %s stands for the socket's path, at most twice. */
void nbd_server_start_as(NbdServer *server, const char *command);
void nbd_server_signal(NbdServer *server, int signal);
/* kill -9, and its socket's path goes. */
void nbd_server_kill(NbdServer *server);
/* Removes the folder, too. */
void nbd_server_free(NbdServer *server);

#endif
