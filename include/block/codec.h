/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decompression of image data, for formats that have compressed clusters.
 *
 * Each codec is a module of kind "codec" (util/module.h) whose interface is one BlockCodec; a
 * format driver asks for it by the name that its images have for it, when it opens one. Compressed
 * data comes from an image and so from anywhere: a codec trusts no length in it, and says no rather
 * than write behind out.
 */
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

/* A codec that is found before any module: of tests, or one that is linked in. codec stays the
 * caller's and has to last as long as graph. Main thread. */
void block_graph_add_codec(BlockGraph *graph, const BlockCodec *codec);
/* By name, one of these or of a module, which is loaded if need be. It lasts as long as graph; NULL
 * and an error that says why if there is none. Main thread. */
const BlockCodec *block_codec_find(BlockGraph *graph, const char *name, GError **errp);

extern const BlockCodec block_codec_zlib; /* raw deflate, RFC 1951 */
extern const BlockCodec block_codec_zstd; /* frames of RFC 8878 */

#endif
