/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests that a file can't take as they are, and the order of overlapping writes. */
#ifndef BLOCK_BOUNCE_H
#define BLOCK_BOUNCE_H

#include "block/block.h"

typedef struct BlockBounce BlockBounce;

/* In block.c: prepares what is the block layer's own in req; finished runs at block_complete(). */
void block_req_begin(BlockNode *node, BlockReq *req, LoopFn *finished);

/* Gives req to the driver, in aligned pieces where it needs that, now or when earlier writes that
 * overlap are through. */
void bounce_submit(BlockReq *req);
/* req is complete: takes it off the books and starts those that waited for it. */
void bounce_end(BlockReq *req);
void bounce_cancel(BlockReq *req);

#endif
