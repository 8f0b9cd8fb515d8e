/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tls-creds-x509 and tls-creds-psk: what a block driver needs to speak TLS with its server. The
 * files have QEMU's names, which are also those of the library that reads them:
 *
 *   -object tls-creds-x509,id=tls,endpoint=client,dir=/etc/pki/qemu     ca-cert.pem ...
 *   -object tls-creds-psk,id=tls,endpoint=client,dir=D[,username=U]     keys.psk
 *
 * Here is only looked whether they can be read. They are read when a connection is made, so new
 * ones count from the next connection on.
 *
 * Main thread, at start, before the block nodes.
 */
#include "system/object.h"
#include "block/block.h"
#include "block/tls-creds.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *const endpoints[] = { "client", NULL };

typedef struct TlsCreds {
    BlockTlsCreds creds; /* what drivers see */
    int endpoint;
} TlsCreds;

#define TLS(field) offsetof(TlsCreds, field)

#define DIR_AND_ENDPOINT                                                                           \
    { .name = "dir",                                                                               \
      .type = OPT_STRING,                                                                          \
      .offset = TLS(creds.dir),                                                                    \
      .help = "folder of the credentials" },                                                       \
    {                                                                                              \
        .name = "endpoint", .type = OPT_ENUM, .offset = TLS(endpoint), .names = endpoints,         \
        .help = "client: there is no server here"                                                  \
    }

static const OptDesc x509_props[] = { DIR_AND_ENDPOINT,
                                      { .name = "verify-peer",
                                        .type = OPT_BOOL,
                                        .offset = TLS(creds.verify_peer),
                                        .def = true,
                                        .help = "refuse a server whose certificate is not good" },
                                      { .type = OPT_END } };

static const OptDesc psk_props[] = { DIR_AND_ENDPOINT,
                                     { .name = "username",
                                       .type = OPT_STRING,
                                       .offset = TLS(creds.username),
                                       .def_str = "qemu",
                                       .help = "whose key it is" },
                                     { .type = OPT_END } };

static BlockGraph *graph_of(const Object *obj)
{
    return obj->set->devices->blocks;
}

static bool create(Object *obj, const char *file, GError **errp)
{
    TlsCreds *tls = obj->state;
    g_autofree char *path = NULL;

    if (!tls->creds.dir) {
        return error_set(errp, "Parameter 'dir' is missing");
    }
    path = g_build_filename(tls->creds.dir, file, NULL);
    if (access(path, R_OK) < 0) {
        return error_set(errp, "Could not read '%s': %s", path, g_strerror(errno));
    }
    tls->creds.psk = !strcmp(file, "keys.psk");
    block_graph_add_thing(graph_of(obj), BLOCK_TLS_CREDS, obj->id, &tls->creds);
    return true;
}

static bool x509_create(Object *obj, GError **errp)
{
    return create(obj, "ca-cert.pem", errp);
}

static bool psk_create(Object *obj, GError **errp)
{
    return create(obj, "keys.psk", errp);
}

static bool tls_creds_prepare(Object *obj G_GNUC_UNUSED, GError **errp G_GNUC_UNUSED)
{
    return true;
}

static void tls_creds_stop(Object *obj G_GNUC_UNUSED)
{
}

static void tls_creds_destroy(Object *obj)
{
    block_graph_remove_thing(graph_of(obj), BLOCK_TLS_CREDS, obj->id);
}

const ObjectType tls_creds_x509_type = {
    .name = "tls-creds-x509",
    .desc = "certificates for TLS",
    .props = x509_props,
    .size = sizeof(TlsCreds),
    .early = true,
    .create = x509_create,
    .prepare = tls_creds_prepare,
    .serve = object_ended,
    .stop = tls_creds_stop,
    .destroy = tls_creds_destroy,
};

const ObjectType tls_creds_psk_type = {
    .name = "tls-creds-psk",
    .desc = "pre-shared keys for TLS",
    .props = psk_props,
    .size = sizeof(TlsCreds),
    .early = true,
    .create = psk_create,
    .prepare = tls_creds_prepare,
    .serve = object_ended,
    .stop = tls_creds_stop,
    .destroy = tls_creds_destroy,
};
