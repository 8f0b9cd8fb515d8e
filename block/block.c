/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of a request through a node.
 *
 *   block_submit()   settle: bounds, read-only, what needs no driver at all, FUA
 *   bounce_submit()  alignment, order of overlapping writes
 *   driver->submit   format drivers pass on or make requests for node->file; file drivers give it
 *                    to their engine
 *   block_complete() by the driver, from within submit or later: only defers
 *   finished         from the loop: done()
 *
 * That completion is always deferred work is what makes the rule "a submit never calls done" hold
 * for every driver without their help, and keeps done callbacks off the stacks of others.
 *
 * A node knows one loop. Attaching is counted, as a file below two nodes is attached by both;
 * everything but attach and detach happens on the loop's thread, without a lock.
 *
 * Draining: once nothing is in flight, idle_work flushes if anything was written since the last
 * time, and then reports. It is deferred again each time the count falls to zero, and does nothing
 * while it isn't zero, so a late request only delays it.
 */
#include "block/block.h"
#include "block/bounce.h"
#include "block/buffer.h"
#include "block/probe.h"
#include "block/transfer.h"
#include "util/error.h"
#include "util/log.h"
#include "util/trace.h"
#include <errno.h>

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
    req->write_next = NULL;
    req->write_prev = NULL;
    req->rmw = false;
    req->waiting = false;
    loop_work_init(&req->work, node->loop, finished, req);
}

void block_complete(BlockReq *req, int res)
{
    req->res = res;
    loop_defer(&req->work);
}

static void request_finished(void *opaque)
{
    BlockReq *req = opaque;
    BlockNode *node = req->node;

    trace(BLOCK, "%s: op %d offset %" G_GUINT64_FORMAT " bytes %" G_GUINT64_FORMAT ": %d",
          node->name, req->op, req->offset, req->bytes, req->res);
    g_clear_pointer(&req->rest, g_free);
    bounce_end(req);
    node->in_flight--;
    req->done(req);
    if (node->idle && !node->in_flight) {
        loop_defer(&node->idle_work);
    }
}

/* Flags as the driver has to take them. */
static uint32_t settle_flags(const BlockNode *node, const BlockReq *req)
{
    uint32_t how = req->flags;

    if (req->op != BLOCK_WRITE && req->op != BLOCK_WRITE_ZEROES) {
        return 0;
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

/* What can be said without the driver. True if that leaves nothing to do: *res is the result. */
static bool settle(BlockNode *node, BlockReq *req, int *res)
{
    *res = 0;
    if (req->op == BLOCK_FLUSH) {
        return node->no_flush || node->read_only;
    }
    if (req->bytes > node->size || req->offset > node->size - req->bytes) {
        *res = -EIO;
        return true;
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
    node->in_flight++;
    if (settle(node, req, &res)) {
        block_complete(req, res);
        return;
    }
    req->how = settle_flags(node, req);
    bounce_submit(req);
}

void block_cancel(BlockReq *req)
{
    bounce_cancel(req);
}

int block_host_fd(const BlockNode *node)
{
    return node->driver->host_fd ? node->driver->host_fd(node) : -1;
}

/* --- draining --- */

static void drain_flushed(BlockReq *req)
{
    if (req->res < 0) {
        log_line(req->node->name, "flush failed: %s", g_strerror(-req->res));
    }
    req->node->written = false;
}

static void drain_step(void *opaque)
{
    BlockNode *node = opaque;
    void (*idle)(void *) = node->idle;

    if (node->in_flight) {
        return;
    }
    if (node->written) {
        node->drain_req = (BlockReq){ .op = BLOCK_FLUSH, .done = drain_flushed };
        block_submit(node, &node->drain_req);
        return;
    }
    node->idle = NULL;
    idle(node->idle_opaque);
}

void block_drain(BlockNode *node, void (*idle)(void *), void *opaque)
{
    g_assert(node->loop && !node->idle);
    node->idle = idle;
    node->idle_opaque = opaque;
    if (!node->in_flight) {
        loop_defer(&node->idle_work);
    }
}

/* --- the node's loop --- */

static bool attach_first(BlockNode *node, Loop *loop, GError **errp)
{
    if (node->file && !block_attach(node->file, loop, errp)) {
        return false;
    }
    node->loop = loop;
    node->buffers = block_buffers_new(loop);
    node->writes = NULL;
    node->writes_end = &node->writes;
    loop_work_init(&node->idle_work, loop, drain_step, node);
    if (!node->driver->attach || node->driver->attach(node, loop, errp)) {
        return true;
    }
    block_buffers_free(g_steal_pointer(&node->buffers));
    node->loop = NULL;
    if (node->file) {
        block_detach(node->file);
    }
    return false;
}

bool block_attach(BlockNode *node, Loop *loop, GError **errp)
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

void block_detach(BlockNode *node)
{
    g_assert(node->attached);
    if (--node->attached) {
        return;
    }
    g_assert(!node->in_flight && !node->idle);
    if (node->driver->detach) {
        node->driver->detach(node);
    }
    loop_work_cancel(&node->idle_work);
    block_buffers_free(g_steal_pointer(&node->buffers));
    node->loop = NULL;
    if (node->file) {
        block_detach(node->file);
    }
}
