/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copy-on-read: a filter over an image with a backing file. What is read for the first time is
 * written into the image, so that the next read of it needs the backing file no more.
 *
 *   READ   ask ──► the image has it ──► read, straight into the submitter's memory
 *           ▲  └─► it doesn't: wait for its turn, ask again, and if so still:
 *           │          read whole clusters into a buffer, write them, copy out what was asked for
 *           └── next piece
 *
 * The copy must not undo a write that comes in between. So writes, and pieces that are being
 * copied, are on a list in order of arrival, a copied piece widened to the image's clusters. One
 * waits while an earlier one overlaps and either of the two is a copy; as only earlier ones are
 * waited for, there is no deadlock. Writes never wait for each other, and reads of what the image
 * has never wait at all.
 *
 * The data passes through a buffer of ours: the submitter's memory may be the guest's, which could
 * change it between the read and the write. Zeros are written as zeros, so a sparse image stays
 * sparse. If the copy can't be written the read fails, as in QEMU.
 *
 * On the node's loop.
 */
#include "block/drivers.h"
#include "block/filter.h"
#include "block/steps.h"
#include "block/transfer.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>

#define PIECE_MAX (1u << 20)

typedef struct CorOp CorOp;
typedef void CorStep(CorOp *op, int res);

struct CorOp {
    BLOCK_STEPS(CorOp); /* to the image */
    BlockNode *node;
    BlockReq *req;
    uint64_t pos;        /* bytes of a READ that are done */
    uint64_t len;        /* of the piece in hand */
    uint64_t start, end; /* on the list: what it changes */
    uint64_t written;    /* of a copy: up to where */
    struct iovec *part;  /* of the request's iov; owned */
    uint8_t *buf;
    size_t buf_bytes;
    CorOp *next, **prev; /* of the list, if prev */
    bool waiting;
};

typedef struct CorState {
    CorOp *first, **last; /* writes and copies, in order of arrival */
} CorState;

static void ask(CorOp *op);

/* ---- one request ---- */

static void put_buffer(CorOp *op)
{
    if (op->buf) {
        block_buffer_put(op->node, g_steal_pointer(&op->buf), op->buf_bytes);
    }
}

BLOCK_STEPS_FUNCTIONS(CorOp, image)

/* ---- the list ---- */

static bool is_copy(const CorOp *op)
{
    return op->req->op == BLOCK_READ;
}

static bool must_wait(const CorOp *op)
{
    const CorState *s = op->node->state;

    for (const CorOp *other = s->first; other != op; other = other->next) {
        if ((is_copy(other) || is_copy(op)) && other->start < op->end && op->start < other->end) {
            return true;
        }
    }
    return false;
}

/* step comes when it is op's turn. */
static void list_enter(CorOp *op, uint64_t start, uint64_t end, CorStep *step)
{
    CorState *s = op->node->state;

    op->start = start;
    op->end = end;
    op->step = step;
    op->next = NULL;
    op->prev = s->last;
    *s->last = op;
    s->last = &op->next;
    op->waiting = must_wait(op);
    if (!op->waiting) {
        step(op, 0);
    }
}

/* Who waited for it makes a request to the image now, which changes nothing about the list. */
static void list_leave(CorOp *op)
{
    CorState *s = op->node->state;

    *op->prev = op->next;
    if (op->next) {
        op->next->prev = op->prev;
    } else {
        s->last = op->prev;
    }
    op->prev = NULL;
    for (CorOp *other = op->next; other; other = other->next) {
        if (other->waiting && !must_wait(other)) {
            other->waiting = false;
            other->step(other, 0);
        }
    }
}

static void finish(CorOp *op, int res)
{
    BlockReq *req = op->req;

    put_buffer(op);
    if (op->prev) {
        list_leave(op);
    }
    g_free(op->part);
    g_free(op);
    req->priv = NULL;
    block_complete(req, res);
}

/* ---- what the image has ---- */

static void piece_done(CorOp *op, int res)
{
    if (res < 0) {
        finish(op, res);
        return;
    }
    op->pos += op->len;
    if (op->pos == op->req->bytes) {
        finish(op, 0);
    } else {
        ask(op);
    }
}

static void read_straight(CorOp *op)
{
    const BlockReq *req = op->req;
    BlockReq io = {
        .op = BLOCK_READ,
        .offset = req->offset + op->pos,
        .bytes = op->len,
        .iov = req->iov,
        .niov = req->niov,
    };

    if (op->len != req->bytes) {
        g_free(op->part);
        op->part = iov_part(req->iov, req->niov, op->pos, op->len, &io.niov);
        io.iov = op->part;
    }
    image_io(op, op->node->file, io, piece_done);
}

/* ---- what it doesn't have ---- */

static void copy_done(CorOp *op)
{
    uint64_t skip = op->req->offset + op->pos - op->start;

    iov_from_buf(op->req->iov, op->req->niov, op->pos, op->buf + skip, op->len);
    put_buffer(op);
    list_leave(op);
    piece_done(op, 0);
}

/* How many of the bytes from `at` on, in whole clusters, are all zeros or all not. */
static uint64_t run_length(const CorOp *op, uint64_t at, bool *zero)
{
    const uint8_t *p = op->buf + (at - op->start);
    uint64_t left = op->end - at, unit = op->node->unit, n = MIN(unit, left);

    *zero = is_zero(p, n);
    while (n < left && is_zero(p + n, MIN(unit, left - n)) == *zero) {
        n += MIN(unit, left - n);
    }
    return n;
}

static void copy_write(CorOp *op, int res)
{
    uint64_t at = op->written, bytes;
    bool zero;

    if (res < 0) {
        finish(op, res);
        return;
    }
    if (at == op->end) {
        copy_done(op);
        return;
    }
    bytes = run_length(op, at, &zero);
    op->written += bytes;
    image_buf(op, op->node->file, zero ? BLOCK_WRITE_ZEROES : BLOCK_WRITE,
              zero ? BLOCK_MAY_UNMAP : 0, at, zero ? NULL : op->buf + (at - op->start), bytes,
              copy_write);
}

/* An earlier one on the list may have been about the same clusters. */
static void copy_asked(CorOp *op, int res)
{
    uint64_t at = op->req->offset + op->pos, unit = op->node->unit;

    if (res < 0) {
        finish(op, res);
        return;
    }
    if (op->sub.status & BLOCK_ALLOCATED) {
        list_leave(op);
        ask(op);
        return;
    }
    op->len = MIN(op->len, op->sub.known);
    op->end = MIN(op->end, (at + op->len + unit - 1) / unit * unit);
    op->buf_bytes = op->end - op->start;
    op->buf = block_buffer_get(op->node, op->buf_bytes);
    if (!op->buf) {
        finish(op, -ENOMEM);
        return;
    }
    op->written = op->start;
    if ((op->sub.status & BLOCK_ZERO) && op->start == at && op->end == at + op->len) {
        memset(op->buf, 0, op->buf_bytes);
        copy_write(op, 0);
        return;
    }
    image_buf(op, op->node->file, BLOCK_READ, 0, op->start, op->buf, op->buf_bytes, copy_write);
}

static void copy_turn(CorOp *op, int res G_GNUC_UNUSED)
{
    image_buf(op, op->node->file, BLOCK_STATUS, 0, op->req->offset + op->pos, NULL, op->len,
              copy_asked);
}

/* The piece is at most PIECE_MAX, or a cluster if that is more, from the beginning of its first. */
static void copy_piece(CorOp *op)
{
    uint64_t at = op->req->offset + op->pos, unit = op->node->unit;
    uint64_t start = at / unit * unit;

    op->len = MIN(op->len, start + MAX(PIECE_MAX, unit) - at);
    list_enter(op, start, MIN((at + op->len + unit - 1) / unit * unit, op->node->size), copy_turn);
}

static void asked(CorOp *op, int res)
{
    if (res < 0) {
        finish(op, res);
        return;
    }
    op->len = op->sub.known;
    if (op->sub.status & BLOCK_ALLOCATED) {
        read_straight(op);
    } else {
        copy_piece(op);
    }
}

static void ask(CorOp *op)
{
    image_buf(op, op->node->file, BLOCK_STATUS, 0, op->req->offset + op->pos, NULL,
              op->req->bytes - op->pos, asked);
}

/* ---- writes ---- */

static void write_turn(CorOp *op, int res G_GNUC_UNUSED)
{
    const BlockReq *req = op->req;

    image_io(op, op->node->file,
             (BlockReq){
                 .op = req->op,
                 .flags = req->how,
                 .offset = req->offset,
                 .bytes = req->bytes,
                 .iov = req->iov,
                 .niov = req->niov,
             },
             finish);
}

/* ---- the driver ---- */

static bool cor_open(BlockNode *node, Opts *opts, GError **errp)
{
    CorState *s = node->state;

    s->last = &s->first;
    if (!filter_open(node, opts, "file", errp)) {
        return false;
    }
    return !node->read_only || error_set(errp, "Can't use copy-on-read on read-only device");
}

static void cor_close(BlockNode *node G_GNUC_UNUSED)
{
}

static void cor_submit(BlockNode *node, BlockReq *req)
{
    CorOp *op;

    if (req->op == BLOCK_FLUSH || req->op == BLOCK_STATUS) {
        filter_pass(node->file, req);
        return;
    }
    op = g_new0(CorOp, 1);
    op->node = node;
    op->req = req;
    req->priv = op;
    if (req->op == BLOCK_READ) {
        ask(op);
    } else if (req->op == BLOCK_RESIZE) {
        write_turn(op, 0);
    } else {
        list_enter(op, req->offset, req->offset + req->bytes, write_turn);
    }
}

/* A copy that is being written is let through: it is soon over. */
static void cor_cancel(BlockNode *node, BlockReq *req)
{
    CorOp *op = req->priv;

    if (req->op == BLOCK_FLUSH || req->op == BLOCK_STATUS) {
        filter_cancel(node->file, req);
    } else if (op && op->waiting) {
        op->waiting = false;
        finish(op, -ECANCELED);
    } else if (op && (op->step != copy_write || op->sub.op == BLOCK_READ)) {
        block_cancel(&op->sub);
    }
}

static const OptDesc cor_opts[] = {
    { 0 },
};

const BlockDriver block_copy_on_read_driver = {
    .name = "copy-on-read",
    .state_size = sizeof(CorState),
    .opts = cor_opts,
    .open = cor_open,
    .close = cor_close,
    .submit = cor_submit,
    .cancel = cor_cancel,
    .can_resize = true,
};
