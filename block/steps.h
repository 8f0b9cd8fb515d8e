/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request that its driver serves in steps: each makes a request to a node below and names the
 * step that comes when that is done. The struct that such a request has at the driver begins with
 * BLOCK_STEPS, and BLOCK_STEPS_FUNCTIONS, behind it, defines what makes requests of it:
 *
 *   typedef struct LogOp LogOp;
 *   struct LogOp {
 *       BLOCK_STEPS(LogOp);
 *       ...
 *   };
 *   BLOCK_STEPS_FUNCTIONS(LogOp, log)
 *
 *   static void written(LogOp *op, int res) ...
 *
 *       log_io(op, node->file, (BlockReq){ .op = BLOCK_FLUSH }, flushed);
 *       log_buf(op, node->file, BLOCK_WRITE, 0, offset, buf, bytes, written);
 *
 * A step comes once, from the loop, with the request's result; op may be gone when it returns. One
 * request at a time: `sub`, which is in flight while `sub_busy` and can be cancelled then. `step`
 * is the driver's to set and to call as well, for whatever else its requests wait for.
 */
#ifndef BLOCK_STEPS_H
#define BLOCK_STEPS_H

#include "block/block.h"

#define BLOCK_STEPS(Op)                                                                            \
    BlockReq sub;         /* must be first */                                                      \
    struct iovec sub_iov; /* of NAME_buf() */                                                      \
    bool sub_busy;                                                                                 \
    void (*step)(Op *, int res)

/* NAME_io(): io goes to child; then step. NAME_buf(): one with a single piece of memory, or
 * none. */
#define BLOCK_STEPS_FUNCTIONS(Op, name)                                                            \
    static void name##_sub_done(BlockReq *sub)                                                     \
    {                                                                                              \
        Op *op = (Op *)sub;                                                                        \
                                                                                                   \
        op->sub_busy = false;                                                                      \
        op->step(op, sub->res);                                                                    \
    }                                                                                              \
                                                                                                   \
    static inline void name##_io(Op *op, BlockNode *child, BlockReq io, void (*step)(Op *, int))   \
    {                                                                                              \
        op->step = step;                                                                           \
        op->sub = io;                                                                              \
        op->sub.done = name##_sub_done;                                                            \
        op->sub_busy = true;                                                                       \
        block_submit(child, &op->sub);                                                             \
    }                                                                                              \
                                                                                                   \
    static inline void name##_buf(Op *op, BlockNode *child, BlockOp kind, uint32_t flags,          \
                                  uint64_t offset, void *buf, uint64_t bytes,                      \
                                  void (*step)(Op *, int))                                         \
    {                                                                                              \
        BlockReq io = { .op = kind, .flags = flags, .offset = offset, .bytes = bytes };            \
                                                                                                   \
        op->sub_iov = (struct iovec){ .iov_base = buf, .iov_len = bytes };                         \
        io.iov = buf ? &op->sub_iov : NULL;                                                        \
        io.niov = buf ? 1 : 0;                                                                     \
        name##_io(op, child, io, step);                                                            \
    }

#endif
