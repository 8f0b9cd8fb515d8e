/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Credentials of a client, for block drivers that speak TLS. Made by objects, found by their id in
 * the node graph (block_graph_find_thing(), kind BLOCK_TLS_CREDS); never changed. */
#ifndef BLOCK_TLS_CREDS_H
#define BLOCK_TLS_CREDS_H

#include <stdbool.h>

#define BLOCK_TLS_CREDS "tls-creds"

typedef struct BlockTlsCreds {
    bool psk;         /* a pre-shared key, in keys.psk; else X.509: ca-cert.pem, and for servers
                          that want to know their clients client-cert.pem, client-key.pem */
    char *dir;        /* folder of these files */
    char *username;   /* psk: whose key; NULL: of "qemu" */
    bool verify_peer; /* X.509: the server's certificate has to be good */
} BlockTlsCreds;

#endif
