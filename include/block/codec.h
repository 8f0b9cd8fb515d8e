/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decompression of image data. Each codec is a module of kind "codec". */
#ifndef BLOCK_CODEC_H
#define BLOCK_CODEC_H

#include "block/block.h"

typedef struct BlockCodec {
    const char *name; /* as images call their type of compression: "zlib", "zstd" */
    /* Fills out with the first out_len bytes of what in holds. Behind the compressed data, in may
     * go on with anything: an image knows its length in whole sectors only. False if in is
     * malformed or holds less; out is undefined then. Allocates no more than a fixed amount,
     * whatever in claims. Any thread. */
    bool (*unpack)(const void *in, size_t in_len, void *out, size_t out_len);
} BlockCodec;

/* codec stays as long as graph. Main thread. */
void block_graph_add_codec(BlockGraph *graph, const BlockCodec *codec);
/* By name, one of these or a module; NULL and an error if there is none. Main thread. */
const BlockCodec *block_codec_find(BlockGraph *graph, const char *name, GError **errp);

extern const BlockCodec block_codec_zlib; /* raw deflate, RFC 1951 */
extern const BlockCodec block_codec_zstd; /* frames of RFC 8878 */

#endif
