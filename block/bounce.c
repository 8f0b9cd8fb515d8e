/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Alignment, in one place for all drivers. A file opened with O_DIRECT takes only offsets, lengths
 * and memory that are multiples of node->align. Other requests are done through an aligned buffer,
 * in pieces of up to PIECE_MAX, by requests of our own straight to the driver:
 *
 *   read   READ the blocks around the piece, copy out what was asked for
 *   write  READ the first block if the piece begins within it, READ the last one if it ends within
 *          it, copy in, WRITE the whole
 *   zeroes that begin or end within a block are written in the same way
 *
 * Such a write rewrites bytes next to its own range, so a neighbour's write in between would be
 * lost. All writing requests of a node with align > 1 are therefore on node->writes in the order
 * of their arrival, with their ranges widened to blocks. One waits while an earlier one overlaps
 * and either of the two is such a read-modify-write; as only earlier ones are waited for, there is
 * no deadlock. Two aligned writes never wait for each other: that's the submitter's business, as
 * on a disk. Reads don't wait.
 *
 * Lists of more than IOV_MAX parts, which the kernel refuses, go through here as well, and so do
 * writes to the head of an image whose format was guessed (block/probe.c): they are judged in the
 * copy, since the submitter's memory may be the guest's and change under us.
 *
 * On the node's loop.
 */
#include "block/bounce.h"
#include "block/probe.h"
#include "block/transfer.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

#define PIECE_MAX (1u << 20)

typedef enum BounceStep {
    STEP_READ,
    STEP_HEAD,
    STEP_TAIL,
    STEP_WRITE,
} BounceStep;

struct BlockBounce {
    BlockReq sub; /* must be first */
    struct iovec iov;
    BlockReq *req;
    BounceStep step;
    bool cancelled;
    uint32_t align;
    uint8_t *buf;
    size_t buf_size;
    uint64_t pos;        /* bytes of req that are done */
    uint64_t start, end; /* this piece, in whole blocks */
};

static uint64_t round_down(uint64_t n, uint32_t align)
{
    return n - n % align;
}

static uint64_t round_up(uint64_t n, uint32_t align)
{
    return round_down(n + align - 1, align);
}

static bool is_writing(const BlockReq *req)
{
    return req->op == BLOCK_WRITE || req->op == BLOCK_WRITE_ZEROES || req->op == BLOCK_DISCARD;
}

static bool range_unaligned(const BlockReq *req)
{
    return (req->offset | req->bytes) % req->node->align != 0;
}

static bool iov_unaligned(const BlockReq *req)
{
    uintptr_t bits = 0;

    for (unsigned i = 0; i < req->niov; i++) {
        bits |= (uintptr_t)req->iov[i].iov_base | req->iov[i].iov_len;
    }
    return bits % req->node->align != 0;
}

static bool needs_bounce(const BlockReq *req)
{
    const BlockNode *node = req->node;

    switch (req->op) {
    case BLOCK_WRITE:
        if (node->probed && req->offset < PROBE_BYTES) {
            return true; /* what is looked at must be what is written */
        }
        /* fall through */
    case BLOCK_READ:
        return req->niov > IOV_MAX ||
               (node->align > 1 && (range_unaligned(req) || iov_unaligned(req)));
    case BLOCK_WRITE_ZEROES:
        return node->align > 1 && range_unaligned(req);
    default:
        return false; /* a discard is shortened by who executes it */
    }
}

/* --- pieces --- */

static void piece_begin(BlockBounce *b);

static void bounce_finish(BlockBounce *b, int res)
{
    BlockReq *req = b->req;

    block_buffer_put(req->node, b->buf, b->buf_size);
    req->bounce = NULL;
    g_free(b);
    block_complete(req, res);
}

/* The part of the piece that is req's own: where it begins in the buffer, and its length. */
static size_t piece_payload(const BlockBounce *b, size_t *skip)
{
    uint64_t from = b->req->offset + b->pos;

    *skip = from - b->start;
    return MIN(b->req->bytes - b->pos, b->end - from);
}

static void piece_end(BlockBounce *b)
{
    size_t skip;

    b->pos += piece_payload(b, &skip);
    if (b->pos == b->req->bytes) {
        bounce_finish(b, 0);
    } else if (b->cancelled) {
        bounce_finish(b, -ECANCELED);
    } else {
        piece_begin(b);
    }
}

static void bounce_next(void *opaque);

static void sub_submit(BlockBounce *b, BounceStep step, BlockOp op, uint64_t from, uint64_t to)
{
    BlockNode *node = b->req->node;

    b->step = step;
    b->iov = (struct iovec){ .iov_base = b->buf + (from - b->start), .iov_len = to - from };
    b->sub = (BlockReq){
        .op = op,
        .offset = from,
        .bytes = to - from,
        .iov = &b->iov,
        .niov = 1,
    };
    block_req_begin(node, &b->sub, bounce_next);
    b->sub.how = op == BLOCK_WRITE ? b->req->how & (BLOCK_FUA | BLOCK_GROW) : 0;
    node->driver->submit(node, &b->sub);
}

static bool head_needed(const BlockBounce *b)
{
    return b->start < b->req->offset + b->pos;
}

/* A piece within a single block has it from the head already. */
static bool tail_needed(const BlockBounce *b)
{
    return b->end > b->req->offset + b->req->bytes &&
           !(head_needed(b) && b->end - b->start == b->align);
}

static void piece_write(BlockBounce *b)
{
    BlockReq *req = b->req;
    size_t skip, len = piece_payload(b, &skip);

    if (req->op == BLOCK_WRITE) {
        iov_to_buf(req->iov, req->niov, b->pos, b->buf + skip, len);
    } else {
        memset(b->buf + skip, 0, len);
    }
    if (req->node->probed && !b->start && probe_format(b->buf)) {
        bounce_finish(b, -EPERM);
        return;
    }
    sub_submit(b, STEP_WRITE, BLOCK_WRITE, b->start, b->end);
}

static void piece_tail(BlockBounce *b)
{
    if (tail_needed(b)) {
        sub_submit(b, STEP_TAIL, BLOCK_READ, b->end - b->align, b->end);
    } else {
        piece_write(b);
    }
}

static void piece_begin(BlockBounce *b)
{
    BlockReq *req = b->req;

    b->start = round_down(req->offset + b->pos, b->align);
    b->end = MIN(round_up(req->offset + req->bytes, b->align), b->start + b->buf_size);
    if (req->op == BLOCK_READ) {
        sub_submit(b, STEP_READ, BLOCK_READ, b->start, b->end);
    } else if (head_needed(b)) {
        sub_submit(b, STEP_HEAD, BLOCK_READ, b->start, b->start + b->align);
    } else {
        piece_tail(b);
    }
}

/* A request of our own came back. */
static void bounce_next(void *opaque)
{
    BlockBounce *b = opaque; /* sub is its first member */
    size_t skip, len;

    g_clear_pointer(&b->sub.rest, g_free);
    if (b->sub.res < 0) {
        bounce_finish(b, b->sub.res);
        return;
    }
    switch (b->step) {
    case STEP_READ:
        len = piece_payload(b, &skip);
        iov_from_buf(b->req->iov, b->req->niov, b->pos, b->buf + skip, len);
        piece_end(b);
        break;
    case STEP_HEAD:
        piece_tail(b);
        break;
    case STEP_TAIL:
        piece_write(b);
        break;
    case STEP_WRITE:
        piece_end(b);
        break;
    }
}

static void bounce_start(BlockReq *req)
{
    BlockNode *node = req->node;
    uint32_t align = node->align;
    uint64_t span = round_up(req->offset + req->bytes, align) - round_down(req->offset, align);
    size_t size = MIN(span, PIECE_MAX);
    void *buf = block_buffer_get(node, size);
    BlockBounce *b;

    if (!buf) {
        block_complete(req, -ENOMEM);
        return;
    }
    b = g_new0(BlockBounce, 1);
    b->req = req;
    b->align = align;
    b->buf = buf;
    b->buf_size = size;
    req->bounce = b;
    piece_begin(b);
}

/* --- order of writes --- */

static void request_start(BlockReq *req)
{
    if (needs_bounce(req)) {
        bounce_start(req);
    } else {
        req->node->driver->submit(req->node, req);
    }
}

static bool overlaps(const BlockReq *a, const BlockReq *b)
{
    uint32_t align = a->node->align;

    return round_down(a->offset, align) < round_up(b->offset + b->bytes, align) &&
           round_down(b->offset, align) < round_up(a->offset + a->bytes, align);
}

static bool must_wait(const BlockReq *req)
{
    for (const BlockReq *w = req->node->writes; w != req; w = w->write_next) {
        if ((w->rmw || req->rmw) && overlaps(w, req)) {
            return true;
        }
    }
    return false;
}

void bounce_submit(BlockReq *req)
{
    BlockNode *node = req->node;

    if (node->align > 1 && is_writing(req)) {
        req->rmw = req->op != BLOCK_DISCARD && range_unaligned(req);
        req->write_prev = node->writes_end;
        *node->writes_end = req;
        node->writes_end = &req->write_next;
        req->waiting = must_wait(req);
    }
    if (!req->waiting) {
        request_start(req);
    }
}

void bounce_end(BlockReq *req)
{
    BlockNode *node = req->node;
    BlockReq *next = req->write_next;

    if (!req->write_prev) {
        return;
    }
    *req->write_prev = next;
    if (next) {
        next->write_prev = req->write_prev;
    } else {
        node->writes_end = req->write_prev;
    }
    req->write_prev = NULL;
    for (BlockReq *w = next; w; w = w->write_next) {
        if (w->waiting && !must_wait(w)) {
            w->waiting = false;
            request_start(w);
        }
    }
}

void bounce_cancel(BlockReq *req)
{
    BlockNode *node = req->node;
    BlockReq *target = req;

    if (loop_work_queued(&req->work)) {
        return;
    }
    if (req->waiting) {
        req->waiting = false;
        block_complete(req, -ECANCELED);
        return;
    }
    if (req->bounce) {
        if (is_writing(req) && req->bounce->pos) {
            return; /* a part is written */
        }
        req->bounce->cancelled = req->op == BLOCK_READ;
        target = &req->bounce->sub;
    }
    if (node->driver->cancel && !loop_work_queued(&target->work)) {
        node->driver->cancel(node, target);
    }
}
