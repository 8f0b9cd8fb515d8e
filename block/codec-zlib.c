/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compression type "zlib" of qcow2: despite the name a raw deflate stream (RFC 1951), without
 * zlib's header and checksum. Images are written with a window of 4 KiB; inflating with the largest
 * window takes any, for 32 KiB of memory that are bounded.
 *
 * The stream need not be at its end when the output is full. Called on the loop of the node that
 * reads; no state between calls.
 */
#include "block/codec.h"
#include <glib.h>
#include <limits.h>
#include <zlib.h>

#define WINDOW_BITS (-15) /* negative: no header */

static bool zlib_unpack(const void *in, size_t in_len, void *out, size_t out_len)
{
    z_stream z = {
        .next_in = (Bytef *)in, .avail_in = in_len, .next_out = out, .avail_out = out_len
    };

    if (in_len > UINT_MAX || out_len > UINT_MAX || inflateInit2(&z, WINDOW_BITS) != Z_OK) {
        return false;
    }
    /* One call does it: there is room for all the output that is wanted. */
    inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return z.avail_out == 0;
}

const BlockCodec block_codec_zlib = {
    .name = "zlib",
    .unpack = zlib_unpack,
};
