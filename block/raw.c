/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * raw: the image is the file below it, byte for byte, or a part of it (offset=, size=). Where it is
 * all of the file there is nothing to translate, so a request goes to the child's driver as it is
 * and completes on this node: no second request, no copy. What the child would have settled for its
 * own requests (limits, alignment, flags) is therefore taken over from it when the node is opened.
 * With an offset, and for a change of size, each request makes one of its own.
 *
 * A raw node over a read-only one is read-only itself.
 */
#include "block/drivers.h"
#include "block/filter.h"
#include "util/error.h"
#include <errno.h>

typedef struct RawState {
    uint64_t offset; /* of the image in the file; bytes */
    uint64_t size;   /* 0: to the end of the file */
} RawState;

/* A request to the child on behalf of one to the node. */
typedef struct RawSub {
    BlockReq sub; /* must be first */
    BlockReq *req;
} RawSub;

static bool check_part(const RawState *s, const BlockNode *file, GError **errp)
{
    if (s->offset > file->size || s->size > file->size - s->offset) {
        return error_set(errp,
                         "Offset %" G_GUINT64_FORMAT " and size %" G_GUINT64_FORMAT
                         " of a raw image reach past the end of '%s', which has %" G_GUINT64_FORMAT
                         " bytes",
                         s->offset, s->size, file->name, file->size);
    }
    if ((s->offset | s->size) % MAX(file->align, 512)) {
        return error_set(errp, "Offset and size of a raw image must be multiples of %u",
                         MAX(file->align, 512));
    }
    return true;
}

static bool raw_open(BlockNode *node, Opts *opts, GError **errp)
{
    RawState *s = node->state;
    BlockNode *file = filter_open(node, opts, "file", errp);

    if (!file || !check_part(s, file, errp)) {
        return false;
    }
    node->filename = g_strdup(file->filename);
    node->size = s->size ? s->size : file->size - s->offset;
    node->can_grow = file->can_grow && !s->size;
    return true;
}

static void raw_close(BlockNode *node G_GNUC_UNUSED)
{
}

static void sub_done(BlockReq *req)
{
    RawSub *raw = (RawSub *)req;

    raw->req->priv = NULL;
    raw->req->status = req->status;
    raw->req->known = req->known;
    block_complete(raw->req, req->res);
    g_free(raw);
}

static void submit_shifted(BlockNode *node, BlockReq *req, uint64_t shift)
{
    RawSub *raw = g_new0(RawSub, 1);
    bool resize = req->op == BLOCK_RESIZE;

    raw->req = req;
    raw->sub = (BlockReq){
        .op = req->op,
        .flags = req->how,
        .offset = resize ? 0 : req->offset + shift,
        .bytes = resize ? req->bytes + shift : req->bytes,
        .iov = req->iov,
        .niov = req->niov,
        .done = sub_done,
    };
    req->priv = raw;
    block_submit(node->file, &raw->sub);
}

/* Or else the child's driver has the request itself, and its priv. */
static bool takes_sub(const RawState *s, const BlockReq *req)
{
    return s->offset || req->op == BLOCK_RESIZE;
}

static void raw_submit(BlockNode *node, BlockReq *req)
{
    const RawState *s = node->state;

    if (req->op == BLOCK_RESIZE && (s->size || req->bytes > UINT64_MAX - s->offset)) {
        block_complete(req, -ENOTSUP); /* the operator has fixed it */
    } else if (takes_sub(s, req)) {
        submit_shifted(node, req, s->offset);
    } else {
        filter_pass(node->file, req);
    }
}

static void raw_cancel(BlockNode *node, BlockReq *req)
{
    RawSub *raw = req->priv;

    if (!takes_sub(node->state, req)) {
        filter_cancel(node->file, req);
    } else if (raw) {
        block_cancel(&raw->sub);
    }
}

static size_t raw_read_now(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned niov)
{
    const RawState *s = node->state;

    return block_read_now(node->file, offset + s->offset, iov, niov);
}

/* A part of the device is not the device. */
static int raw_host_fd(const BlockNode *node)
{
    const RawState *s = node->state;

    return s->offset || s->size ? -1 : block_host_fd(node->file);
}

static const OptDesc raw_opts[] = {
    { .name = "offset",
      .type = OPT_SIZE,
      .offset = offsetof(RawState, offset),
      .help = "where the image begins in the file" },
    { .name = "size",
      .type = OPT_SIZE,
      .offset = offsetof(RawState, size),
      .help = "bytes of the image; default: to the end of the file" },
    { 0 },
};

const BlockDriver block_raw_driver = {
    .name = "raw",
    .state_size = sizeof(RawState),
    .opts = raw_opts,
    .open = raw_open,
    .close = raw_close,
    .submit = raw_submit,
    .cancel = raw_cancel,
    .read_now = raw_read_now,
    .host_fd = raw_host_fd,
    .can_resize = true,
};
