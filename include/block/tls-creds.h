/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Credentials of a client, for block drivers that speak TLS.
 *
 * -object tls-creds-x509 and tls-creds-psk (system/tls-creds-object.c) make them, before the block
 * nodes, and keep them until all nodes are closed; a driver finds them by their id as the graph's
 * thing of kind BLOCK_TLS_CREDS, and points to them. They never change: any thread may read them.
 *
 * Here are names of files, not what is in them: the driver's library reads that for each
 * connection. Under the sandbox it can't after the start, so a driver says in may_seal() what it
 * would promise in vain. File names are QEMU's (docs/system/tls.rst).
 */
#ifndef BLOCK_TLS_CREDS_H
#define BLOCK_TLS_CREDS_H

#include <stdbool.h>

#define BLOCK_TLS_CREDS "tls-creds"

typedef struct BlockTlsCreds {
    bool psk;         /* a pre-shared key, in keys.psk; else X.509: ca-cert.pem, and for servers
                          that want to know their clients client-cert.pem, client-key.pem */
    char *dir;        /* folder of these files; not NULL; the object's */
    char *username;   /* psk: whose key; NULL: of "qemu"; the object's */
    bool verify_peer; /* X.509: the server's certificate has to be good */
} BlockTlsCreds;

#endif
