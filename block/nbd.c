/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nbd: an export of a Network Block Device server, through libnbd. A module, as that library
 * brings a TLS library with it.
 *
 * A request of the block layer becomes one NbdRequest, which goes through the export in pieces, one
 * after the other: of at most PIECE_MAX bytes, or what the server takes. Several requests are on
 * their way at the same time, answered in any order:
 *
 *   waiting ──pump──► sent ──libnbd's callback──► answered ──reap──► next piece: waiting
 *      ▲               │                                        └──► block_complete()
 *      └───────────────┴── recall: the connection was lost
 *
 * Data passes through a buffer of ours. The submitter's memory may be the guest's: pieces of it
 * would be separate commands, and memory that is torn away would end the connection for everybody.
 * It also is what makes it possible to give a read up: who waited is told, and the answer goes
 * where nobody looks. libnbd clears the buffer first, so that a server that leaves something out
 * shows nobody's old data.
 *
 * What a server can't do is done here: FUA is a flush behind the write, zeroes are written, a
 * discard is nothing. One without flush has no cache that could be flushed. Of one that doesn't
 * tell what it has allocated all counts as such.
 *
 * An export's size need not be a multiple of 512. As in QEMU the node is as large as the next one,
 * and reads zeros there; a write beyond the export fails.
 *
 * Opening is the main thread's, everything else the loop's; see nbd-connection.c.
 */
#include "block/drivers.h"
#include "block/graph.h"
#include "block/nbd-internal.h"
#include "block/transfer.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

/* clang-format off */
/* What it takes to go on with a connection, and to make another one. TLS reads its files again and
 * looks names up for that, and is told that it may not. */
static const SandboxCalls nbd_sandbox = {
    .module = "nbd",
    .on_demand = true,
    .network = true,
    .calls = (const SandboxCall[]){
        { .name = "access", .answer = EACCES },
        { .name = "connect" },
        { .name = "getrandom" },
        { .name = "getsockname" },
        { .name = "getsockopt" },
        { .name = "newfstatat", .args = { SANDBOX_EQUALS(3, AT_EMPTY_PATH) } }, /* fstat() */
        { .name = "openat", .answer = EACCES },
        { .name = "recvfrom" },
        { .name = "recvmsg" },
        { .name = "sendto" },
        { .name = "setsockopt" },
        { .name = "shutdown" },
        { .name = "socket", .args = { SANDBOX_EQUALS(0, AF_UNIX) } },
        { .name = "socket", .args = { SANDBOX_EQUALS(0, AF_INET) } },
        { .name = "socket", .args = { SANDBOX_EQUALS(0, AF_INET6) } },
        { .name = "socket", .answer = EACCES, .args = { SANDBOX_EQUALS(0, AF_NETLINK) } },
        { .name = NULL } },
};
/* clang-format on */

#define SECTOR 512
#define PIECE_MAX (1u << 20)
#define TRIM_MAX (1u << 30) /* bytes; a length has 32 bits */
#define SENT_BYTES_MAX (16u << 20)
#define SENT_MAX 128u

typedef struct NbdRequest {
    GList link; /* of waiting, sent or answered; data is the request */
    NbdState *s;
    BlockReq *req; /* NULL: given up */
    BlockOp op;    /* of this piece: zeroes may be a WRITE */
    uint32_t flags;
    uint64_t offset, bytes, pos;
    size_t len; /* of this piece */
    uint8_t *buf;
    size_t buf_size;
    uint32_t status; /* STATUS: of the first `known` bytes */
    uint64_t known;
    bool is_answered;
    int error; /* of the answer, positive */
} NbdRequest;

/* --- one request --- */

static void request_free(NbdRequest *r)
{
    if (r->buf) {
        block_buffer_put(r->s->node, r->buf, r->buf_size);
    }
    g_free(r);
}

static void request_finish(NbdRequest *r, int res)
{
    if (r->req) {
        block_complete(r->req, res);
    }
    request_free(r);
}

static NbdRequest *link_request(GList *link)
{
    return link ? link->data : NULL;
}

/* How much of what is left goes into the next piece, in bytes; 0 for a flush. */
static size_t piece_length(const NbdRequest *r)
{
    const NbdExport *e = &r->s->export;
    uint64_t left = r->bytes - r->pos;

    switch (r->op) {
    case BLOCK_FLUSH:
        return 0;
    case BLOCK_DISCARD:
    case BLOCK_STATUS:
        return MIN(left, TRIM_MAX);
    case BLOCK_WRITE_ZEROES:
        return MIN(left, e->max_block);
    default:
        return MIN(left, MIN(e->max_block, PIECE_MAX));
    }
}

static bool carries_data(const NbdRequest *r)
{
    return r->op == BLOCK_READ || r->op == BLOCK_WRITE;
}

/* Memory for all pieces, and what is to be written of this one. False: there is no memory. */
static bool piece_prepare(NbdRequest *r)
{
    const BlockReq *req = r->req;

    if (r->op == BLOCK_WRITE_ZEROES && !r->s->export.can_zero) {
        r->op = BLOCK_WRITE;
    }
    r->len = piece_length(r);
    r->known = r->len; /* if the server says nothing about it */
    r->status = BLOCK_ALLOCATED;
    if (!carries_data(r)) {
        return true;
    }
    if (!r->buf) {
        r->buf_size = r->len;
        r->buf = block_buffer_get(r->s->node, r->buf_size);
        if (!r->buf) {
            return false;
        }
    }
    r->len = MIN(r->len, r->buf_size); /* after a reconnection the server may take more */
    if (r->op == BLOCK_WRITE && req->op == BLOCK_WRITE) {
        iov_to_buf(req->iov, req->niov, r->pos, r->buf, r->len);
    } else if (r->op == BLOCK_WRITE) {
        memset(r->buf, 0, r->len);
    }
    return true;
}

/* Under libnbd's lock: no call of it from here. */
static int answered(void *opaque, int *error)
{
    NbdRequest *r = opaque;
    NbdState *s = r->s;

    r->error = *error;
    r->is_answered = true;
    g_queue_unlink(&s->sent, &r->link);
    s->sent_bytes -= r->len;
    g_queue_push_tail_link(&s->answered, &r->link);
    return 1;
}

/* Under libnbd's lock. The first extent is enough: who wants to know more asks again. */
static int extents(void *opaque, const char *context G_GNUC_UNUSED, uint64_t offset G_GNUC_UNUSED,
                   uint32_t *entries, size_t n, int *error G_GNUC_UNUSED)
{
    NbdRequest *r = opaque;

    if (n >= 2 && entries[0]) {
        r->known = MIN(entries[0], r->len);
        r->status = BLOCK_ALLOCATED | (entries[1] & LIBNBD_STATE_ZERO ? BLOCK_ZERO : 0);
    }
    return 0;
}

static int64_t piece_send(NbdRequest *r)
{
    struct nbd_handle *h = r->s->handle;
    const NbdExport *e = &r->s->export;
    nbd_completion_callback done = { .callback = answered, .user_data = r };
    uint64_t offset = r->offset + r->pos;
    uint32_t fua = (r->flags & BLOCK_FUA) && e->can_fua ? LIBNBD_CMD_FLAG_FUA : 0;
    uint32_t no_hole = r->flags & BLOCK_MAY_UNMAP ? 0 : LIBNBD_CMD_FLAG_NO_HOLE;

    switch (r->op) {
    case BLOCK_READ:
        return nbd_aio_pread(h, r->buf, r->len, offset, done, 0);
    case BLOCK_WRITE:
        return nbd_aio_pwrite(h, r->buf, r->len, offset, done, fua);
    case BLOCK_FLUSH:
        return nbd_aio_flush(h, done, 0);
    case BLOCK_STATUS:
        return nbd_aio_block_status(h, r->len, offset,
                                    (nbd_extent_callback){ .callback = extents, .user_data = r },
                                    done, LIBNBD_CMD_FLAG_REQ_ONE);
    case BLOCK_DISCARD:
        return nbd_aio_trim(h, r->len, offset, done, 0);
    default:
        return nbd_aio_zero(h, r->len, offset, done, fua | no_hole);
    }
}

/* r begins at a block of the server's, and may reach beyond what was asked about. */
static bool take_status(const NbdRequest *r)
{
    BlockReq *req = r->req;
    uint64_t skip = req->offset - r->offset;

    if (r->known <= skip) {
        return false;
    }
    req->status = r->status;
    req->known = MIN(r->known - skip, req->bytes);
    return true;
}

/* Of a request whose piece went well. True if there is more of it to do. */
static bool piece_advance(NbdRequest *r)
{
    NbdState *s = r->s;

    if (r->op == BLOCK_READ) {
        iov_from_buf(r->req->iov, r->req->niov, r->pos, r->buf, r->len);
    }
    r->pos += r->len;
    if (r->op == BLOCK_FLUSH) {
        return false;
    }
    if (r->pos < r->bytes) {
        return true;
    }
    if ((r->flags & BLOCK_FUA) && !s->export.can_fua && s->export.can_flush) {
        r->op = BLOCK_FLUSH;
        return true;
    }
    return false;
}

/* --- all of them --- */

static bool is_cut_off(const NbdRequest *r)
{
    return r->error == ENOTCONN || r->error == ESHUTDOWN;
}

void nbd_requests_reap(NbdState *s, bool dead)
{
    GQueue again = G_QUEUE_INIT;
    NbdRequest *r;

    while ((r = link_request(g_queue_pop_head_link(&s->answered)))) {
        if (!r->req) {
            request_free(r);
        } else if (r->error && dead && is_cut_off(r)) {
            g_queue_push_tail_link(&again, &r->link);
        } else if (r->error) {
            request_finish(r, r->op == BLOCK_DISCARD && r->error == ENOTSUP ? 0 : -r->error);
        } else if (r->op == BLOCK_STATUS) {
            request_finish(r, take_status(r) ? 0 : -EIO);
        } else if (piece_advance(r)) {
            g_queue_push_tail_link(&s->waiting, &r->link);
        } else {
            request_finish(r, 0);
        }
    }
    while ((r = link_request(g_queue_pop_tail_link(&again)))) {
        g_queue_push_head_link(&s->waiting, &r->link);
    }
}

/* False: nothing more can be sent for now. */
static bool send_next(NbdState *s)
{
    NbdRequest *r = link_request(g_queue_peek_head_link(&s->waiting));

    if (!r || s->sent.length >= SENT_MAX || (s->sent.length && s->sent_bytes >= SENT_BYTES_MAX)) {
        return false;
    }
    g_queue_unlink(&s->waiting, &r->link);
    if (!piece_prepare(r)) {
        request_finish(r, -ENOMEM);
        return true;
    }
    r->is_answered = false;
    g_queue_push_tail_link(&s->sent, &r->link);
    s->sent_bytes += r->len;
    nbd_connection_expect(s);
    /* If the connection dies in there, the callback comes within the call, and what is returned
     * means nothing. */
    if (piece_send(r) >= 0 || r->is_answered) {
        return true;
    }
    /* The callback has not been called, and won't be. */
    g_queue_unlink(&s->sent, &r->link);
    s->sent_bytes -= r->len;
    if (nbd_aio_is_ready(s->handle) || nbd_aio_is_processing(s->handle)) {
        request_finish(r, nbd_get_errno() ? -nbd_get_errno() : -EIO);
        return true;
    }
    g_queue_push_head_link(&s->waiting, &r->link);
    return false;
}

void nbd_requests_pump(NbdState *s)
{
    while (send_next(s)) {
    }
}

void nbd_requests_recall(NbdState *s)
{
    NbdRequest *r;

    nbd_requests_reap(s, true);
    s->sent_bytes = 0;
    while ((r = link_request(g_queue_pop_tail_link(&s->sent)))) {
        if (r->req) {
            g_queue_push_head_link(&s->waiting, &r->link);
        } else {
            request_free(r);
        }
    }
}

void nbd_requests_fail(NbdState *s)
{
    NbdRequest *r;

    while ((r = link_request(g_queue_pop_head_link(&s->waiting)))) {
        request_finish(r, -EIO);
    }
}

/* --- the driver --- */

/* True if nothing is left to do; *res is the result. */
static bool beyond_export(const NbdState *s, BlockReq *req, int *res)
{
    uint64_t end = req->offset + req->bytes;

    *res = 0;
    if (req->op == BLOCK_FLUSH) {
        return !s->export.can_flush;
    }
    if (req->op == BLOCK_DISCARD && !s->export.can_trim) {
        return true;
    }
    if (req->op == BLOCK_STATUS && (!s->export.can_status || req->offset >= s->export.size)) {
        req->status = BLOCK_ALLOCATED;
        req->known = req->bytes;
        return true;
    }
    if (end <= s->export.size) {
        return false;
    }
    if (req->op == BLOCK_WRITE) {
        *res = -ENOSPC;
        return true;
    }
    if (req->op == BLOCK_READ) {
        uint64_t from = MAX(req->offset, s->export.size);

        iov_zero(req->iov, req->niov, from - req->offset, end - from);
    }
    return req->offset >= s->export.size;
}

static void nbd_submit(BlockNode *node, BlockReq *req)
{
    NbdState *s = node->state;
    NbdRequest *r;
    int res;

    if (beyond_export(s, req, &res)) {
        block_complete(req, res);
        return;
    }
    if (s->gave_up) {
        block_complete(req, -EIO);
        return;
    }
    r = g_new0(NbdRequest, 1);
    r->link.data = r;
    r->s = s;
    r->req = req;
    r->op = req->op;
    r->flags = req->how;
    r->offset = req->offset;
    if (req->op != BLOCK_FLUSH) {
        r->bytes = MIN(req->bytes, s->export.size - req->offset);
    }
    if (req->op == BLOCK_STATUS) {
        r->offset -= req->offset % s->export.min_block;
        r->bytes += req->offset - r->offset;
        r->bytes += (s->export.min_block - r->bytes % s->export.min_block) % s->export.min_block;
    }
    g_queue_push_tail_link(&s->waiting, &r->link);
    if (s->phase == NBD_READY) {
        nbd_connection_settle(s);
    }
}

static NbdRequest *find_request(const GQueue *queue, const BlockReq *req)
{
    for (GList *link = queue->head; link; link = link->next) {
        NbdRequest *r = link->data;

        if (r->req == req) {
            return r;
        }
    }
    return NULL;
}

/* What waits goes, even if an earlier connection has seen it. Of what is sent a read goes. */
static void nbd_cancel(BlockNode *node, BlockReq *req)
{
    NbdState *s = node->state;
    NbdRequest *r = find_request(&s->waiting, req);

    if (r && (r->pos == 0 || r->op == BLOCK_READ || s->phase != NBD_READY)) {
        g_queue_unlink(&s->waiting, &r->link);
        request_finish(r, -ECANCELED);
        return;
    }
    r = find_request(&s->sent, req);
    if (r && r->op == BLOCK_READ) {
        r->req = NULL;
        block_complete(req, -ECANCELED);
    }
}

static bool find_creds(NbdState *s, GError **errp)
{
    if (s->tls_creds) {
        s->creds = block_graph_find_thing(s->node->graph, BLOCK_TLS_CREDS, s->tls_creds);
    }
    return !s->tls_creds || s->creds ||
           error_set(errp, "No TLS credentials with id '%s'", s->tls_creds);
}

static bool take_export(BlockNode *node, const NbdExport *e, GError **errp)
{
    if (e->read_only && !node->read_only) {
        if (!node->auto_read_only) {
            return error_set(errp, "The export is read-only: that needs read-only=on");
        }
        node->read_only = true;
        node->demoted = true;
    }
    node->size = (e->size + SECTOR - 1) / SECTOR * SECTOR;
    node->align = e->min_block;
    node->can_discard = node->can_discard && e->can_trim;
    node->has_status = e->can_status;
    return true;
}

static void nbd_close_node(BlockNode *node)
{
    NbdState *s = node->state;

    nbd_connection_close(s);
    nbd_address_clear(s);
}

static bool nbd_open(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp)
{
    NbdState *s = node->state;

    s->node = node;
    if (find_creds(s, errp) && nbd_address_settle(s, errp) && nbd_connect_now(s, errp) &&
        take_export(node, &s->export, errp)) {
        return true;
    }
    nbd_close_node(node);
    return false;
}

static bool nbd_may_seal(const BlockNode *node, GError **errp)
{
    const NbdState *s = node->state;

    return !s->creds || !s->reconnect_delay ||
           error_set(errp,
                     "Block node '%s': with tls-creds a connection can't be made anew under the "
                     "sandbox, as the credentials' files are read for each: leave out "
                     "reconnect-delay, or give -sandbox off",
                     node->name);
}

static bool nbd_attach(BlockNode *node, Loop *loop, GError **errp G_GNUC_UNUSED)
{
    nbd_connection_attach(node->state, loop);
    return true;
}

static void nbd_detach(BlockNode *node)
{
    NbdState *s = node->state;

    nbd_connection_detach(s);
    nbd_requests_recall(s); /* only what was given up is left */
}

#define NBD_OPT(field) offsetof(NbdState, field)

static const char *const type_names[] = { "inet", "unix", "fd", NULL };

static const OptDesc nbd_opts[] = {
    { .name = "server.type",
      .type = OPT_ENUM,
      .offset = NBD_OPT(type),
      .def = -1,
      .names = type_names,
      .help = "how the server is reached" },
    { .name = "server.host",
      .type = OPT_STRING,
      .offset = NBD_OPT(server_host),
      .help = "inet: name or address" },
    { .name = "server.port",
      .type = OPT_STRING,
      .offset = NBD_OPT(server_port),
      .help = "inet: number or service (default: 10809)" },
    { .name = "server.path",
      .type = OPT_STRING,
      .offset = NBD_OPT(server_path),
      .help = "unix: the socket" },
    { .name = "server.str",
      .type = OPT_STRING,
      .offset = NBD_OPT(server_str),
      .help = "fd: number of an inherited, connected socket" },
    { .name = "host",
      .type = OPT_STRING,
      .offset = NBD_OPT(host),
      .help = "the same as server.type=inet,server.host" },
    { .name = "port", .type = OPT_STRING, .offset = NBD_OPT(port), .help = "... server.port" },
    { .name = "path",
      .type = OPT_STRING,
      .offset = NBD_OPT(path),
      .help = "the same as server.type=unix,server.path" },
    { .name = "export",
      .type = OPT_STRING,
      .offset = NBD_OPT(export_name),
      .def_str = "",
      .help = "name of the export" },
    { .name = "tls-creds",
      .type = OPT_STRING,
      .offset = NBD_OPT(tls_creds),
      .help = "id of a tls-creds-x509 or tls-creds-psk object" },
    { .name = "reconnect-delay",
      .type = OPT_U32,
      .offset = NBD_OPT(reconnect_delay),
      .help = "seconds that requests wait for a lost server to come back" },
    { .name = "open-timeout",
      .type = OPT_U32,
      .offset = NBD_OPT(open_timeout),
      .help = "seconds to go on trying to connect at start" },
    { .name = "x-stall-timeout",
      .type = OPT_U32,
      .offset = NBD_OPT(stall_timeout),
      .def = 60,
      .help = "seconds of silence that end a connection while answers are owed; 0: never" },
    { 0 },
};

const BlockDriver block_nbd_driver = {
    .name = "nbd",
    .state_size = sizeof(NbdState),
    .opts = nbd_opts,
    .parse_filename = nbd_parse_filename,
    .open = nbd_open,
    .close = nbd_close_node,
    .attach = nbd_attach,
    .detach = nbd_detach,
    .submit = nbd_submit,
    .cancel = nbd_cancel,
    .sandbox = &nbd_sandbox,
    .may_seal = nbd_may_seal,
};
