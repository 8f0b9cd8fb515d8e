/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The free lists behind block_buffer_get() and block_buffer_put(), one set per attached node. */
#ifndef BLOCK_BUFFER_H
#define BLOCK_BUFFER_H

#include "block/block.h"

typedef struct BlockBuffers BlockBuffers;

BlockBuffers *block_buffers_new(Loop *loop);
/* Every buffer has been put back. */
void block_buffers_free(BlockBuffers *buffers);

#endif
