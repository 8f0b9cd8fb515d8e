/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a file's requests reach the kernel: aio=io_uring|threads (native is taken as io_uring).
 * One engine instance per open file and loop. On the loop's thread but where said.
 */
#ifndef BLOCK_ENGINE_H
#define BLOCK_ENGINE_H

#include "block/block.h"
#include "util/sandbox.h"

typedef struct BlockEngine BlockEngine;
typedef struct BlockSpares BlockSpares;

struct BlockEngineType {
    const char *name; /* aio= */
    /* NULL and an error if the kernel or a limit refuses. fd stays the caller's, and so does
     * spares, which may be NULL: where to get what the kernel gives no more, until stop(). */
    BlockEngine *(*start)(Loop *loop, int fd, BlockSpares *spares, GError **errp);
    void (*stop)(BlockEngine *engine); /* nothing in flight */
    /* READ, WRITE, FLUSH, DISCARD, WRITE_ZEROES, RESIZE on the file as they are in req (offset, iov
     * are aligned as the file needs); block_complete() from the loop. Short transfers are
     * continued; end of file reads as zeros. */
    void (*submit)(BlockEngine *engine, BlockReq *req);
    void (*cancel)(BlockEngine *engine, BlockReq *req); /* optional, best effort */
    /* Optional, both or neither: what a file needs that comes when the sandbox is on. NULL if the
     * kernel refuses. */
    void *(*spare_new)(void);
    void (*spare_free)(void *spare);
};

/* n of type's spares, which must have such; fewer if the kernel refuses, NULL if it gives none. */
BlockSpares *block_spares_new(const BlockEngineType *type, unsigned n);
/* All have been given back. spares may be NULL. */
void block_spares_free(BlockSpares *spares);
/* For engines, on any thread. The caller's, until it is given back; NULL: there is none left, or
 * spares is NULL. */
void *block_spares_take(BlockSpares *spares);
void block_spares_give(BlockSpares *spares, void *spare);

extern const BlockEngineType block_engine_threads;
extern const BlockEngineType block_engine_io_uring;

extern const SandboxCalls file_io_sandbox;
extern const SandboxCalls file_holes_sandbox;
extern const SandboxCalls io_uring_sandbox;
extern const SandboxCalls image_lock_sandbox;

#endif
