/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of a request through a node.
 *
 *   block_submit()   settle: bounds, read-only, what needs no driver at all, zeros, FUA
 *   bounce_submit()  alignment, order of overlapping writes
 *   driver->submit   format drivers pass on or make requests for node->file; file drivers give it
 *                    to their engine
 *   block_complete() by the driver, from within submit or later: only defers
 *   finished         from the loop: done()
 *
 * That completion is always deferred work is what makes the rule "a submit never calls done" hold
 * for every driver without their help, and keeps done callbacks off the stacks of others.
 *
 * A node knows one loop. Attaching is counted, as a file below two nodes is attached by both, and
 * takes all children along. Requests, their counters and the size are the loop's thread's alone and
 * know no lock; attaching, which threads of several machines may do, is under the graph's.
 *
 * Draining goes in rounds. A round begins by turning node->round, so that new requests are counted
 * apart from those that have to be waited for; when the old ones are done it flushes, if anything
 * was written, and then reports to all that wait. Who comes meanwhile waits for the next round.
 * Two devices that share a node can so be drained at the same time, and neither is held up by what
 * the other goes on doing.
 */
#include "block/block.h"
#include "block/bounce.h"
#include "block/buffer.h"
#include "block/graph.h"
#include "block/probe.h"
#include "block/transfer.h"
#include "util/error.h"
#include "util/log.h"
#include "util/trace.h"
#include <errno.h>
#include <limits.h>

/* --- submission and completion --- */

void block_req_begin(BlockNode *node, BlockReq *req, LoopFn *finished)
{
    g_assert(node->loop);
    req->res = 0;
    req->node = node;
    req->how = 0;
    req->next = NULL;
    req->stage = 0;
    req->progress = 0;
    req->rest = NULL;
    req->bounce = NULL;
    req->priv = NULL;
    req->write_next = NULL;
    req->write_prev = NULL;
    req->detected = false;
    req->rmw = false;
    req->waiting = false;
    loop_work_init(&req->work, node->loop, finished, req);
}

void block_complete(BlockReq *req, int res)
{
    req->res = res;
    loop_defer(&req->work);
}

static void count(BlockStats *stats, const BlockReq *req)
{
    stats->ns[req->op] += loop_now_ns() - req->started_ns;
    if (req->res < 0) {
        stats->failed[req->op]++;
        return;
    }
    stats->ops[req->op]++;
    if (req->op != BLOCK_FLUSH && req->op != BLOCK_RESIZE && req->op != BLOCK_STATUS) {
        stats->bytes[req->op] += req->bytes;
    }
    if (req->op == BLOCK_WRITE) {
        stats->highest = MAX(stats->highest, req->offset + req->bytes);
    }
}

static void resized(BlockNode *node, uint64_t size)
{
    node->size = size;
    block_graph_lock(node->graph);
    for (BlockUser *user = node->users; user; user = user->next) {
        if (user->resized) {
            user->resized(user->opaque);
        }
    }
    block_graph_unlock(node->graph);
}

static void request_finished(void *opaque)
{
    BlockReq *req = opaque;
    BlockNode *node = req->node;

    trace(BLOCK, "%s: op %d offset %" G_GUINT64_FORMAT " bytes %" G_GUINT64_FORMAT ": %d",
          node->name, req->op, req->offset, req->bytes, req->res);
    g_clear_pointer(&req->rest, g_free);
    bounce_end(req);
    if (req->detected) {
        req->op = BLOCK_WRITE;
    }
    count(&node->stats, req);
    if (req->op == BLOCK_RESIZE && !req->res) {
        resized(node, req->bytes);
    } else if ((req->flags & BLOCK_GROW) && !req->res) {
        node->size = MAX(node->size, req->offset + req->bytes);
    }
    node->in_flight[req->round]--;
    if (req->round != node->round && !node->in_flight[req->round]) {
        loop_defer(&node->drain_work); /* the last one that a drain waits for */
    }
    req->done(req);
}

/* Before the flags are settled. The submitter's memory may be the guest's: what it stores there
 * meanwhile is written later, or not, as with any write. */
static void detect_zeroes(const BlockNode *node, BlockReq *req)
{
    if (node->detect_zeroes != BLOCK_DETECT_OFF && req->op == BLOCK_WRITE &&
        iov_is_zero(req->iov, req->niov)) {
        req->op = BLOCK_WRITE_ZEROES;
        req->detected = true;
    }
}

/* Flags as the driver has to take them. */
static uint32_t settle_flags(const BlockNode *node, const BlockReq *req)
{
    uint32_t how = req->flags;

    if (req->op != BLOCK_WRITE && req->op != BLOCK_WRITE_ZEROES) {
        return 0;
    }
    if (req->detected && node->detect_zeroes == BLOCK_DETECT_UNMAP) {
        how |= BLOCK_MAY_UNMAP;
    }
    if (!node->write_cache) {
        how |= BLOCK_FUA;
    }
    if (node->no_flush) {
        how &= ~BLOCK_FUA;
    }
    if (!node->can_discard) {
        how &= ~BLOCK_MAY_UNMAP;
    }
    return how;
}

static int past_the_end(const BlockNode *node, const BlockReq *req)
{
    if (!(req->flags & BLOCK_GROW)) {
        return -EIO;
    }
    return node->can_grow && req->offset <= INT64_MAX && req->bytes <= INT64_MAX - req->offset
               ? 0
               : -ENOSPC;
}

static int resize_refused(const BlockNode *node, uint64_t size)
{
    if (node->read_only) {
        return -EROFS;
    }
    if (!node->driver->can_resize) {
        return -ENOTSUP;
    }
    return size > INT64_MAX || size % node->align ? -EINVAL : 0;
}

/* What can be said without the driver. True if that leaves nothing to do: *res is the result. */
static bool settle(BlockNode *node, BlockReq *req, int *res)
{
    *res = 0;
    if (req->op == BLOCK_FLUSH) {
        return (node->no_flush && !node->driver->caches) || node->read_only;
    }
    if (req->op == BLOCK_RESIZE) {
        *res = resize_refused(node, req->bytes);
        node->written = true;
        return *res < 0;
    }
    if (req->bytes > node->size || req->offset > node->size - req->bytes) {
        *res = past_the_end(node, req);
        if (*res) {
            return true;
        }
    }
    if (req->op == BLOCK_STATUS) {
        req->status = BLOCK_ALLOCATED;
        req->known = req->bytes;
        return !req->bytes || !node->has_status;
    }
    if (req->op != BLOCK_READ) {
        if (node->read_only) {
            *res = -EROFS;
            return true;
        }
        if (node->probed && probe_partial(req)) {
            *res = -EPERM;
            return true;
        }
        node->written = true;
    }
    return !req->bytes || (req->op == BLOCK_DISCARD && !node->can_discard);
}

void block_submit(BlockNode *node, BlockReq *req)
{
    int res;

    g_assert((req->op != BLOCK_READ && req->op != BLOCK_WRITE) ||
             iov_bytes(req->iov, req->niov) == req->bytes);
    block_req_begin(node, req, request_finished);
    req->started_ns = loop_now_ns();
    req->round = node->round;
    node->in_flight[req->round]++;
    if (settle(node, req, &res)) {
        block_complete(req, res);
        return;
    }
    detect_zeroes(node, req);
    req->how = settle_flags(node, req);
    bounce_submit(req);
}

void block_cancel(BlockReq *req)
{
    bounce_cancel(req);
}

/* --- without waiting --- */

bool block_never_reads_now(const BlockNode *node)
{
    return !node->driver->read_now || node->align > 1;
}

size_t block_read_now(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned niov)
{
    uint64_t bytes = iov_bytes(iov, niov);
    int64_t begun;
    size_t n;

    if (block_never_reads_now(node) || niov > IOV_MAX || bytes > node->size ||
        offset > node->size - bytes) {
        return 0;
    }
    begun = loop_now_ns();
    n = node->driver->read_now(node, offset, iov, niov);
    if (n) {
        node->stats.ops[BLOCK_READ]++;
        node->stats.bytes[BLOCK_READ] += n;
        node->stats.ns[BLOCK_READ] += loop_now_ns() - begun;
    }
    return n;
}

int block_host_fd(const BlockNode *node)
{
    return node->driver->host_fd ? node->driver->host_fd(node) : -1;
}

/* --- draining --- */

/* Old requests first; if there are none, drain_work is next anyway. */
static void drain_begin(BlockNode *node)
{
    node->drains = g_steal_pointer(&node->drains_next);
    node->round = !node->round;
    if (!node->in_flight[!node->round]) {
        loop_defer(&node->drain_work);
    }
}

static void drain_end(BlockNode *node)
{
    BlockDrain *drain = g_steal_pointer(&node->drains), *next;

    if (node->drains_next) {
        drain_begin(node);
    }
    for (; drain; drain = next) {
        next = drain->next; /* idle may free it, and the last one the node */
        drain->idle(drain->opaque);
    }
}

static void drain_flushed(BlockReq *req)
{
    if (req->res < 0) {
        log_line(req->node->name, "flush failed: %s", g_strerror(-req->res));
    }
    drain_end(req->node);
}

static void drain_step(void *opaque)
{
    BlockNode *node = opaque;

    if (node->written) {
        node->written = false; /* by what comes from now on, it is again */
        node->drain_req = (BlockReq){ .op = BLOCK_FLUSH, .done = drain_flushed };
        block_submit(node, &node->drain_req);
    } else {
        drain_end(node);
    }
}

void block_drain(BlockNode *node, BlockDrain *drain, void (*idle)(void *), void *opaque)
{
    g_assert(node->loop);
    *drain = (BlockDrain){ .idle = idle, .opaque = opaque, .next = node->drains_next };
    node->drains_next = drain;
    if (!node->drains) {
        drain_begin(node);
    }
}

/* --- the node's loop --- */

static bool attach_locked(BlockNode *node, Loop *loop, GError **errp);
static void detach_locked(BlockNode *node);

static void detach_children(BlockNode *node, unsigned n)
{
    while (n > 0) {
        detach_locked(block_child(node, --n)->node);
    }
}

static bool attach_children(BlockNode *node, Loop *loop, GError **errp)
{
    for (unsigned i = 0; i < block_n_children(node); i++) {
        if (!attach_locked(block_child(node, i)->node, loop, errp)) {
            detach_children(node, i);
            return false;
        }
    }
    return true;
}

static bool attach_first(BlockNode *node, Loop *loop, GError **errp)
{
    if (!attach_children(node, loop, errp)) {
        return false;
    }
    node->loop = loop;
    node->buffers = block_buffers_new(loop);
    node->writes = NULL;
    node->writes_end = &node->writes;
    loop_work_init(&node->drain_work, loop, drain_step, node);
    if (!node->driver->attach || node->driver->attach(node, loop, errp)) {
        return true;
    }
    block_buffers_free(g_steal_pointer(&node->buffers));
    node->loop = NULL;
    detach_children(node, block_n_children(node));
    return false;
}

static bool attach_locked(BlockNode *node, Loop *loop, GError **errp)
{
    if (node->loop && node->loop != loop) {
        return error_set(errp, "Block node '%s' is in use by another machine", node->name);
    }
    if (!node->attached && !attach_first(node, loop, errp)) {
        return false;
    }
    node->attached++;
    return true;
}

static void detach_locked(BlockNode *node)
{
    g_assert(node->attached);
    if (--node->attached) {
        return;
    }
    g_assert(!node->in_flight[0] && !node->in_flight[1] && !node->drains);
    if (node->driver->detach) {
        node->driver->detach(node);
    }
    loop_work_cancel(&node->drain_work);
    block_buffers_free(g_steal_pointer(&node->buffers));
    node->loop = NULL;
    detach_children(node, block_n_children(node));
}

bool block_attach(BlockNode *node, Loop *loop, GError **errp)
{
    bool ok;

    block_graph_lock(node->graph);
    ok = attach_locked(node, loop, errp);
    block_graph_unlock(node->graph);
    return ok;
}

void block_detach(BlockNode *node)
{
    block_graph_lock(node->graph);
    detach_locked(node);
    block_graph_unlock(node->graph);
}

int64_t block_allocated(const BlockNode *node)
{
    int64_t sum = 0;

    if (node->driver->allocated) {
        return node->driver->allocated(node);
    }
    for (unsigned i = 0; i < block_n_children(node); i++) {
        const BlockNode *child = block_child(node, i)->node;
        int64_t bytes = child == node->backing ? 0 : block_allocated(child);

        if (bytes < 0) {
            return bytes;
        }
        sum += bytes;
    }
    return block_n_children(node) ? sum : -ENOTSUP;
}
