/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request on its way through the driver. It is a row of steps: each does what it can, and names
 * the next one for when a child's request, a table or the lane is there. Steps run on the loop, and
 * never from within a submit but the first one.
 *
 * The lane: whoever changes metadata holds it, one request at a time, in order of arrival. It is
 * held for the change alone and for the tables that it needs, not while data is written; so reads
 * and writes to clusters that are there already don't know of it.
 *
 * Requests that change the map of some clusters are listed with their range meanwhile, and later
 * writes to it wait: two requests that would both allocate the same cluster do so one after the
 * other. One that is listed waits for the lane and for I/O alone, so nobody waits in a circle.
 *
 * All requests in flight are kept in order: a cluster that is freed is given to somebody else only
 * when the requests that may still be reading or writing it, the older ones, are over.
 */
#include "qcow2-internal.h"
#include "block/transfer.h"
#include <errno.h>

Qcow2Op *qcow2_op_new(Qcow2State *s, BlockReq *req)
{
    Qcow2Op *op = g_new0(Qcow2Op, 1);

    op->s = s;
    op->req = req;
    req->priv = op;
    op->seq = s->seq++;
    op->prev = s->newest;
    *s->newest = op;
    s->newest = &op->next;
    return op;
}

static void put_buffer(Qcow2State *s, uint8_t **buf, size_t bytes)
{
    if (*buf) {
        block_buffer_put(s->node, g_steal_pointer(buf), bytes);
    }
}

static void op_free(Qcow2Op *op)
{
    Qcow2State *s = op->s;

    *op->prev = op->next;
    if (op->next) {
        op->next->prev = op->prev;
    } else {
        s->newest = op->prev;
    }
    put_buffer(s, &op->buf, op->buf_bytes);
    put_buffer(s, &op->head, s->cluster_size);
    put_buffer(s, &op->tail, s->cluster_size);
    g_free(op->iov);
    g_free(op);
}

static void complete(Qcow2Op *op, int res)
{
    BlockReq *req = op->req;

    op_free(op);
    req->priv = NULL;
    block_complete(req, res);
}

static void marked(Qcow2Op *op, int res)
{
    qcow2_lane_leave(op->s);
    if (res < 0) {
        log_line(op->s->node->name, "could not mark the image corrupt: %s", g_strerror(-res));
    }
    complete(op, -EIO);
}

static void mark_corrupt(Qcow2Op *op, int res G_GNUC_UNUSED)
{
    Qcow2State *s = op->s;

    s->h.incompatible |= QCOW2_INCOMPAT_CORRUPT;
    set_be64(op->header, s->h.incompatible);
    qcow2_op_buf(op, BLOCK_WRITE, BLOCK_FUA, QCOW2_HEADER_INCOMPATIBLE, op->header, 8, marked);
}

void qcow2_op_end(Qcow2Op *op, int res)
{
    if (op->s->mark_corrupt) { /* in the lane, since others change the same field */
        op->s->mark_corrupt = false;
        qcow2_lane_enter(op, mark_corrupt);
    } else {
        complete(op, res);
    }
}

void qcow2_op_cancel(Qcow2Op *op)
{
    if (op->copying && op->copy.priv) {
        qcow2_op_cancel(op->copy.priv);
    }
    if (op->sub_busy && (op->sub.op == BLOCK_READ || op->sub.op == BLOCK_STATUS)) {
        block_cancel(&op->sub);
    }
    qcow2_cache_give_up(&op->wait); /* comes last: op may be gone */
}

bool qcow2_op_given_up(const Qcow2Op *op)
{
    return op->wait.given_up;
}

/* ---- what a step waits for ---- */

BLOCK_STEPS_FUNCTIONS(Qcow2Op, op)

void qcow2_op_io(Qcow2Op *op, BlockNode *child, BlockReq io, Qcow2Step *step)
{
    op_io(op, child, io, step);
}

void qcow2_op_buf(Qcow2Op *op, BlockOp kind, uint32_t flags, uint64_t offset, void *buf,
                  uint64_t bytes, Qcow2Step *step)
{
    op_buf(op, op->s->file, kind, flags, offset, buf, bytes, step);
}

unsigned qcow2_op_slice(Qcow2Op *op, uint64_t pos, uint64_t len, const struct iovec **iov)
{
    const BlockReq *req = op->req;
    unsigned n;

    if (pos == 0 && len == req->bytes) {
        *iov = req->iov;
        return req->niov;
    }
    g_free(op->iov);
    op->iov = iov_part(req->iov, req->niov, pos, len, &n);
    *iov = op->iov;
    return n;
}

static void waited(Qcow2Wait *wait, int res)
{
    Qcow2Op *op = (Qcow2Op *)((char *)wait - offsetof(Qcow2Op, wait));

    op->step(op, res);
}

Qcow2Wait *qcow2_op_wait(Qcow2Op *op, Qcow2Step *step)
{
    op->step = step;
    op->wait.fn = waited;
    return &op->wait;
}

/* ---- the lane ---- */

static void job_run(Qcow2Job *job)
{
    Qcow2Op *op = (Qcow2Op *)((char *)job - offsetof(Qcow2Op, job));

    op->step(op, 0);
}

/* Not by recursion: a long queue may leave at once. */
static void pump(Qcow2State *s)
{
    if (s->pumping) {
        return;
    }
    s->pumping = true;
    while (!s->lane && s->queue) {
        s->lane = s->queue;
        s->queue = s->lane->next;
        if (!s->queue) {
            s->queue_end = &s->queue;
        }
        s->lane->run(s->lane);
    }
    s->pumping = false;
}

void qcow2_lane_enter(Qcow2Op *op, Qcow2Step *step)
{
    Qcow2State *s = op->s;

    op->step = step;
    op->job = (Qcow2Job){ .run = job_run };
    *s->queue_end = &op->job;
    s->queue_end = &op->job.next;
    pump(s);
}

void qcow2_lane_leave(Qcow2State *s)
{
    g_assert(s->lane);
    s->lane = NULL;
    pump(s);
}

/* ---- changes of the map ---- */

bool qcow2_op_blocked(Qcow2Op *op, uint64_t guest, uint64_t bytes, Qcow2Step *step)
{
    Qcow2State *s = op->s;
    uint64_t first = guest >> s->h.cluster_bits;
    uint64_t last = (guest + bytes - 1) >> s->h.cluster_bits;

    for (Qcow2Op *other = s->changing; other; other = other->next_changing) {
        if (other->first <= last && first < other->first + other->n) {
            op->step = step;
            op->next_blocked = other->blocked;
            other->blocked = op;
            return true;
        }
    }
    return false;
}

void qcow2_change_begin(Qcow2Op *op, uint64_t first, uint64_t n)
{
    g_assert(!op->changing);
    op->changing = true;
    op->first = first;
    op->n = n;
    op->linked = 0;
    op->next_changing = op->s->changing;
    op->s->changing = op;
}

/* Those that waited go on in the order in which they came. */
void qcow2_change_end(Qcow2Op *op)
{
    Qcow2Op **link = &op->s->changing;
    Qcow2Op *blocked = g_steal_pointer(&op->blocked), *in_order = NULL;

    while (*link != op) {
        link = &(*link)->next_changing;
    }
    *link = op->next_changing;
    op->changing = false;
    while (blocked) {
        Qcow2Op *next = blocked->next_blocked;

        blocked->next_blocked = in_order;
        in_order = blocked;
        blocked = next;
    }
    while (in_order) {
        Qcow2Op *next = in_order->next_blocked;

        in_order->step(in_order, 0);
        in_order = next;
    }
}
