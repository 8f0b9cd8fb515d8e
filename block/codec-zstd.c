/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compression type "zstd" of qcow2: one or several zstd frames (RFC 8878), with anything behind
 * them. Frames are unpacked whole, straight into the output: the streaming way would allocate the
 * window that the frame's header asks for, up to 128 MiB. How long a frame is, is found by walking
 * its block headers.
 *
 * Each turn of the loop consumes input, so it ends. Called on the loop of the node that reads; no
 * state between calls.
 */
#include "block/codec.h"
#include <glib.h>
#include <zstd.h>

static bool zstd_unpack(const void *in, size_t in_len, void *out, size_t out_len)
{
    while (out_len) {
        size_t frame = ZSTD_findFrameCompressedSize(in, in_len);
        size_t got;

        if (ZSTD_isError(frame) || !frame) {
            return false;
        }
        got = ZSTD_decompress(out, out_len, in, frame);
        if (ZSTD_isError(got)) {
            return false;
        }
        in = (const char *)in + frame;
        in_len -= frame;
        out = (char *)out + got;
        out_len -= got;
    }
    return true;
}

const BlockCodec block_codec_zstd = {
    .name = "zstd",
    .unpack = zstd_unpack,
};
