/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rbd: an image in a Ceph cluster, through librbd's asynchronous calls. A module.
 *
 * librbd has threads of its own, and calls completions there; they only post the request to the
 * node's loop. Data passes through a buffer of ours, since those threads copy it, and memory of the
 * guest may be torn away, for which the loop's thread alone is prepared. So a request goes through
 * the image in pieces, one after the other:
 *
 *   submit ─► piece_send ─► librbd ─► completed (its thread) ─post─► piece_done ─► next, or done
 *
 * There is no FUA in librbd: a flush follows the write. Nor is a change of size asynchronous there,
 * so a thread that lives for it alone waits. Nothing can be cancelled, and a cluster that doesn't
 * answer is waited for; rados_osd_op_timeout in its configuration bounds that.
 *
 * Opening connects to the cluster, on the main thread, which waits for at most MOUNT_TIMEOUT unless
 * the configuration says otherwise. All signals are blocked meanwhile, so that librbd's threads
 * leave them to the main thread.
 */
#include "block/drivers.h"
#include "block/transfer.h"
#include "util/error.h"
#include <errno.h>
#include <pthread.h>
#include <rbd/librbd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

/* clang-format off */
/* librbd's threads were there before the sandbox; they talk to the cluster, whose monitors and
 * storage daemons come and go. Files are what it asks for in vain. */
static const SandboxCalls rbd_sandbox = {
    .module = "rbd",
    .on_demand = true,
    .network = true,
    .calls = (const SandboxCall[]){
        { .name = "clock_nanosleep" },
        { .name = "connect" },
        { .name = "epoll_create1" },
        { .name = "eventfd2" },
        { .name = "getpeername" },
        { .name = "getrandom" },
        { .name = "getsockname" },
        { .name = "getsockopt" },
        { .name = "openat", .answer = EACCES },
        { .name = "pipe2" },
        { .name = "recvfrom" },
        { .name = "recvmsg" },
        { .name = "sched_yield" },
        { .name = "sendto" },
        { .name = "setsockopt" },
        { .name = "shutdown" },
        { .name = "socket", .args = { SANDBOX_EQUALS(0, AF_INET) } },
        { .name = "socket", .args = { SANDBOX_EQUALS(0, AF_INET6) } },
        { .name = "socket", .answer = EACCES, .args = { SANDBOX_EQUALS(0, AF_NETLINK) } },
        { .name = "unlink" }, /* its own socket for administrators, at the end */
        { .name = NULL } },
};
/* clang-format on */

#define SECTOR 512
#define PIECE_MAX (4u << 20)
#define MOUNT_TIMEOUT "30" /* s */

typedef struct RbdState {
    char *pool, *namespace, *image_name, *snapshot, *conf, *user;
    char *config; /* more of the cluster's options, "NAME=VALUE:..." of file=rbd: */
    rados_t cluster;
    rados_ioctx_t io;
    rbd_image_t image;
    BlockNode *node;
} RbdState;

typedef struct RbdRequest {
    LoopPost post; /* from librbd's thread, or the one of a RESIZE */
    RbdState *s;
    BlockReq *req;
    rbd_completion_t completion;
    uint64_t pos;
    size_t len;
    bool flushing;
    uint8_t *buf;
    size_t buf_size;
    int res; /* of the piece */
} RbdRequest;

/* --- requests --- */

static void request_finish(RbdRequest *r, int res)
{
    if (r->buf) {
        block_buffer_put(r->s->node, r->buf, r->buf_size);
    }
    block_complete(r->req, res);
    g_free(r);
}

static void piece_done(void *opaque);

/* On a thread of librbd's. */
static void completed(rbd_completion_t completion, void *opaque)
{
    RbdRequest *r = opaque;

    r->res = MIN(rbd_aio_get_return_value(completion), 0);
    rbd_aio_release(completion);
    loop_post(r->s->node->loop, &r->post);
}

static int piece_call(RbdRequest *r)
{
    const BlockReq *req = r->req;
    rbd_image_t image = r->s->image;
    uint64_t offset = req->offset + r->pos;
    int thick = req->how & BLOCK_MAY_UNMAP ? 0 : RBD_WRITE_ZEROES_FLAG_THICK_PROVISION;

    if (r->flushing) {
        return rbd_aio_flush(image, r->completion);
    }
    switch (req->op) {
    case BLOCK_READ:
        return rbd_aio_read(image, offset, r->len, (char *)r->buf, r->completion);
    case BLOCK_WRITE:
        iov_to_buf(req->iov, req->niov, r->pos, r->buf, r->len);
        return rbd_aio_write(image, offset, r->len, (const char *)r->buf, r->completion);
    case BLOCK_DISCARD:
        return rbd_aio_discard(image, offset, r->len, r->completion);
    default:
        return rbd_aio_write_zeroes(image, offset, r->len, r->completion, thick, 0);
    }
}

static void piece_send(RbdRequest *r)
{
    const BlockReq *req = r->req;
    bool data = req->op == BLOCK_READ || req->op == BLOCK_WRITE;
    int res;

    r->len = MIN(req->bytes - r->pos, data ? PIECE_MAX : UINT32_MAX);
    if (data && !r->buf) {
        r->buf_size = r->len;
        r->buf = block_buffer_get(r->s->node, r->buf_size);
    }
    if (data && !r->buf) {
        request_finish(r, -ENOMEM);
        return;
    }
    res = rbd_aio_create_completion(r, completed, &r->completion);
    if (res < 0) {
        request_finish(r, res);
        return;
    }
    r->post = (LoopPost){ .fn = piece_done, .opaque = r };
    res = piece_call(r);
    if (res < 0) {
        rbd_aio_release(r->completion);
        request_finish(r, res);
    }
}

static void piece_done(void *opaque)
{
    RbdRequest *r = opaque;
    const BlockReq *req = r->req;

    if (r->res < 0 || r->flushing) {
        request_finish(r, r->res);
        return;
    }
    if (req->op == BLOCK_READ) {
        iov_from_buf(req->iov, req->niov, r->pos, r->buf, r->len);
    }
    r->pos += r->len;
    if (r->pos == req->bytes) {
        r->flushing = req->how & BLOCK_FUA;
        if (!r->flushing) {
            request_finish(r, 0);
            return;
        }
    }
    piece_send(r);
}

static void resized(void *opaque)
{
    RbdRequest *r = opaque;

    request_finish(r, r->res);
}

static void *resize_run(void *opaque)
{
    RbdRequest *r = opaque;

    r->res = rbd_resize(r->s->image, r->req->bytes);
    loop_post(r->s->node->loop, &r->post);
    return NULL;
}

static void resize(RbdRequest *r)
{
    pthread_t thread;
    int err;

    r->post = (LoopPost){ .fn = resized, .opaque = r };
    err = pthread_create(&thread, NULL, resize_run, r);
    if (err) {
        request_finish(r, -err);
    } else {
        pthread_detach(thread);
    }
}

static void rbd_submit(BlockNode *node, BlockReq *req)
{
    RbdRequest *r = g_new0(RbdRequest, 1);

    r->s = node->state;
    r->req = req;
    r->flushing = req->op == BLOCK_FLUSH;
    if (req->op == BLOCK_RESIZE) {
        resize(r);
    } else {
        piece_send(r);
    }
}

/* --- opening --- */

static bool failed(const char *what, const char *name, int res, GError **errp)
{
    return error_set(errp, "%s '%s': %s", what, name, g_strerror(-res));
}

/* "NAME=VALUE:NAME=VALUE" */
static bool set_config(RbdState *s, GError **errp)
{
    g_auto(GStrv) items = g_strsplit(s->config ? s->config : "", ":", -1);

    for (unsigned i = 0; items[i]; i++) {
        char *value = strchr(items[i], '=');

        if (!value) {
            return error_set(errp, "'%s': expected NAME=VALUE", items[i]);
        }
        *value++ = '\0';
        if (rados_conf_set(s->cluster, items[i], value) < 0) {
            return error_set(errp, "'%s=%s' is no option of a Ceph cluster", items[i], value);
        }
    }
    return true;
}

static bool connect_cluster(RbdState *s, GError **errp)
{
    int res = rados_create(&s->cluster, s->user);

    if (res < 0) {
        return failed("Could not begin with Ceph as user", s->user ? s->user : "admin", res, errp);
    }
    rados_conf_set(s->cluster, "client_mount_timeout", MOUNT_TIMEOUT);
    res = rados_conf_read_file(s->cluster, s->conf);
    if (res < 0 && s->conf) {
        return failed("Could not read the Ceph configuration", s->conf, res, errp);
    }
    if (!set_config(s, errp)) {
        return false;
    }
    res = rados_connect(s->cluster);
    if (res < 0) {
        return failed("Could not connect to the Ceph cluster of", s->conf ? s->conf : "ceph.conf",
                      res, errp);
    }
    res = rados_ioctx_create(s->cluster, s->pool, &s->io);
    if (res < 0) {
        s->io = NULL;
        return failed("Could not open the pool", s->pool, res, errp);
    }
    if (s->namespace) {
        rados_ioctx_set_namespace(s->io, s->namespace);
    }
    return true;
}

static bool open_image(BlockNode *node, RbdState *s, GError **errp)
{
    uint64_t size;
    int res;

    if (s->snapshot && !node->read_only) {
        if (!node->auto_read_only) {
            return error_set(errp, "A snapshot is read-only: that needs read-only=on");
        }
        node->read_only = true;
        node->demoted = true;
    }
    res = node->read_only ? rbd_open_read_only(s->io, s->image_name, &s->image, s->snapshot)
                          : rbd_open(s->io, s->image_name, &s->image, s->snapshot);
    if (res < 0) {
        s->image = NULL;
        return failed("Could not open the RBD image", s->image_name, res, errp);
    }
    res = rbd_get_size(s->image, &size);
    if (res < 0) {
        return failed("Could not get the size of the RBD image", s->image_name, res, errp);
    }
    node->size = size - size % SECTOR;
    return true;
}

static void rbd_close_node(BlockNode *node)
{
    RbdState *s = node->state;

    if (s->image) {
        rbd_close(s->image);
    }
    if (s->io) {
        rados_ioctx_destroy(s->io);
    }
    if (s->cluster) {
        rados_shutdown(s->cluster);
    }
}

static bool rbd_open_node(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp)
{
    RbdState *s = node->state;
    sigset_t all, before;
    bool ok;

    if (!s->pool || !s->image_name) {
        return error_set(errp, "Option '%s' is missing", s->pool ? "image" : "pool");
    }
    s->node = node;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    ok = connect_cluster(s, errp) && open_image(node, s, errp);
    if (!ok) {
        rbd_close_node(node);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

/* --- file=rbd:[POOL/[NAMESPACE/]]IMAGE[@SNAPSHOT][:NAME=VALUE...] --- */

/* Cuts the text at the first of the separators; a backslash takes the next character out of that,
 * and is itself taken out. NULL: there is none. */
static char *cut(char *text, char separator)
{
    char *to = text;

    for (char *from = text; *from; from++) {
        if (*from == separator) {
            *to = '\0';
            return from + 1;
        }
        if (*from == '\\' && from[1]) {
            *to++ = *from++;
        }
        *to++ = *from;
    }
    *to = '\0';
    return NULL;
}

static void set_unescaped(Opts *opts, const char *key, const char *text)
{
    g_autofree char *value = g_strdup(text);
    char *to = value;

    for (const char *from = text; *from; from++) {
        from += *from == '\\' && from[1];
        *to++ = *from;
    }
    *to = '\0';
    opts_set(opts, key, value);
}

static bool parse_settings(char *text, Opts *opts, GError **errp)
{
    g_autoptr(GString) config = g_string_new(NULL);

    while (text) {
        char *next = cut(text, ':');
        char *value = strchr(text, '=');

        if (!value || value == text) {
            return error_set(errp, "'%s': expected NAME=VALUE", text);
        }
        *value++ = '\0';
        if (!strcmp(text, "conf")) {
            set_unescaped(opts, "conf", value);
        } else if (!strcmp(text, "id")) {
            set_unescaped(opts, "user", value);
        } else {
            g_string_append_printf(config, "%s%s=%s", config->len ? ":" : "", text, value);
        }
        text = next;
    }
    if (config->len) {
        opts_set(opts, "x-config", config->str);
    }
    return true;
}

static bool rbd_parse_filename(const char *filename, Opts *opts, GError **errp)
{
    g_autofree char *text = NULL;
    char *settings, *image, *second, *snapshot;

    if (!g_str_has_prefix(filename, "rbd:")) {
        return error_set(errp, "'%s': expected rbd:POOL/IMAGE", filename);
    }
    text = g_strdup(filename + strlen("rbd:"));
    settings = cut(text, ':');
    image = cut(text, '/');
    second = image ? cut(image, '/') : NULL;
    if (second) {
        set_unescaped(opts, "namespace", image);
        image = second;
    }
    snapshot = image ? cut(image, '@') : NULL;
    if (!image || !*image || !*text || (snapshot && !*snapshot)) {
        return error_set(errp, "'%s': expected rbd:POOL/[NAMESPACE/]IMAGE[@SNAPSHOT]", filename);
    }
    set_unescaped(opts, "pool", text);
    set_unescaped(opts, "image", image);
    if (snapshot) {
        set_unescaped(opts, "snapshot", snapshot);
    }
    return parse_settings(settings, opts, errp);
}

#define RBD_OPT(field) offsetof(RbdState, field)

static const OptDesc rbd_opts[] = {
    { .name = "pool", .type = OPT_STRING, .offset = RBD_OPT(pool), .help = "the image's pool" },
    { .name = "namespace",
      .type = OPT_STRING,
      .offset = RBD_OPT(namespace),
      .help = "... and its namespace there" },
    { .name = "image",
      .type = OPT_STRING,
      .offset = RBD_OPT(image_name),
      .help = "name of the image" },
    { .name = "snapshot",
      .type = OPT_STRING,
      .offset = RBD_OPT(snapshot),
      .help = "one of its snapshots: read-only" },
    { .name = "conf",
      .type = OPT_STRING,
      .offset = RBD_OPT(conf),
      .help = "the cluster's configuration file (default: Ceph's)" },
    { .name = "user",
      .type = OPT_STRING,
      .offset = RBD_OPT(user),
      .help = "Ceph user, without 'client.' (default: admin)" },
    { .name = "x-config",
      .type = OPT_STRING,
      .offset = RBD_OPT(config),
      .help = "more of the cluster's options: NAME=VALUE:..." },
    { 0 },
};

const BlockDriver block_rbd_driver = {
    .name = "rbd",
    .state_size = sizeof(RbdState),
    .opts = rbd_opts,
    .parse_filename = rbd_parse_filename,
    .open = rbd_open_node,
    .close = rbd_close_node,
    .submit = rbd_submit,
    .sandbox = &rbd_sandbox,
    .can_resize = true,
};
