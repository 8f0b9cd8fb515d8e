/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * null-co: a disk of any size that keeps nothing. Writes are forgotten; reads leave the buffer as
 * it is, or clear it with read-zeroes=on. A disk served to a guest wants read-zeroes: without it
 * the guest sees what it has had in that memory, or an adapter's buffer. It is for measuring what
 * everything but the storage costs, and with latency-ns= for tests.
 *
 * On the node's loop.
 */
#include "block/drivers.h"
#include "block/transfer.h"
#include <errno.h>

#define SIZE_DEFAULT (INT64_C(1) << 30)

typedef struct NullState {
    uint64_t size;
    uint64_t latency_ns;
    bool read_zeroes;
} NullState;

/* A request that is to take its time. */
typedef struct NullWait {
    LoopTimer timer;
    BlockReq *req;
} NullWait;

static bool null_open(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp G_GNUC_UNUSED)
{
    const NullState *s = node->state;

    node->size = s->size;
    return true;
}

static void null_close(BlockNode *node G_GNUC_UNUSED)
{
}

static void wait_over(void *opaque)
{
    NullWait *wait = opaque;

    block_complete(wait->req, 0);
    g_free(wait);
}

static void null_submit(BlockNode *node, BlockReq *req)
{
    const NullState *s = node->state;
    NullWait *wait;

    if (req->op == BLOCK_READ && s->read_zeroes) {
        iov_zero(req->iov, req->niov, 0, req->bytes);
    }
    if (!s->latency_ns) {
        block_complete(req, 0);
        return;
    }
    wait = g_new0(NullWait, 1);
    wait->req = req;
    loop_timer_init(&wait->timer, node->loop, wait_over, wait);
    loop_timer_arm(&wait->timer, loop_now_ns() + s->latency_ns);
}

static const OptDesc null_opts[] = {
    { .name = "size",
      .type = OPT_SIZE,
      .offset = offsetof(NullState, size),
      .def = SIZE_DEFAULT,
      .help = "bytes" },
    { .name = "latency-ns",
      .type = OPT_U64,
      .offset = offsetof(NullState, latency_ns),
      .max = INT64_C(3600000000000),
      .help = "how long each request takes" },
    { .name = "read-zeroes",
      .type = OPT_BOOL,
      .offset = offsetof(NullState, read_zeroes),
      .help = "reads give zeros; off: they leave memory as it is" },
    { 0 },
};

const BlockDriver block_null_co_driver = {
    .name = "null-co",
    .state_size = sizeof(NullState),
    .opts = null_opts,
    .open = null_open,
    .close = null_close,
    .submit = null_submit,
};
