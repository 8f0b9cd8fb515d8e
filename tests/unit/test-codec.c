/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Codecs: what the libraries have packed comes out whole, and anything else is refused. */
#include "block/codec.h"
#include <glib.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define PLAIN (64u << 10)
#define PACKED (128u << 10)

typedef struct Kind {
    const char *name;
    const BlockCodec *codec;
    size_t (*pack)(const void *in, size_t in_len, void *out, size_t out_len);
} Kind;

/* As qemu-img does: no header, a window of 4 KiB. */
static size_t pack_zlib(const void *in, size_t in_len, void *out, size_t out_len)
{
    z_stream z = {
        .next_in = (Bytef *)in, .avail_in = in_len, .next_out = out, .avail_out = out_len
    };

    g_assert_cmpint(deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY),
                    ==, Z_OK);
    g_assert_cmpint(deflate(&z, Z_FINISH), ==, Z_STREAM_END);
    deflateEnd(&z);
    return out_len - z.avail_out;
}

static size_t pack_zstd(const void *in, size_t in_len, void *out, size_t out_len)
{
    size_t n = ZSTD_compress(out, out_len, in, in_len, 3);

    g_assert_false(ZSTD_isError(n));
    return n;
}

static const Kind kinds[] = {
    { "zlib", &block_codec_zlib, pack_zlib },
    { "zstd", &block_codec_zstd, pack_zstd },
};

typedef struct Data {
    const Kind *kind;
    uint8_t plain[PLAIN], packed[PACKED], out[PLAIN];
    size_t packed_len;
} Data;

/* Half noise, half text, so that both stored and compressed blocks come up. */
static void data_make(Data *d, gconstpointer kind)
{
    g_autoptr(GRand) r = g_rand_new_with_seed(7);

    d->kind = kind;
    for (unsigned i = 0; i < PLAIN; i++) {
        d->plain[i] = i < PLAIN / 2 ? g_rand_int(r) : (uint8_t) "a few words "[i % 12];
    }
    d->packed_len = d->kind->pack(d->plain, PLAIN, d->packed, PACKED);
    memset(d->packed + d->packed_len, 0x5a, PACKED - d->packed_len); /* behind the stream */
}

static void data_free(Data *d G_GNUC_UNUSED, gconstpointer kind G_GNUC_UNUSED)
{
}

static void test_whole(Data *d, gconstpointer kind G_GNUC_UNUSED)
{
    g_assert_cmpstr(d->kind->codec->name, ==, d->kind->name);
    g_assert_true(d->kind->codec->unpack(d->packed, d->packed_len, d->out, PLAIN));
    g_assert_cmpmem(d->out, PLAIN, d->plain, PLAIN);
    memset(d->out, 0, sizeof(d->out));
    g_assert_true(d->kind->codec->unpack(d->packed, PACKED, d->out, PLAIN));
    g_assert_cmpmem(d->out, PLAIN, d->plain, PLAIN);
}

static void test_cut(Data *d, gconstpointer kind G_GNUC_UNUSED)
{
    for (size_t len = 0; len < d->packed_len - 16; len += 331) {
        g_assert_false(d->kind->codec->unpack(d->packed, len, d->out, PLAIN));
    }
}

/* An output that is larger than what was packed. */
static void test_too_little(Data *d, gconstpointer kind G_GNUC_UNUSED)
{
    size_t len = d->kind->pack(d->plain, PLAIN / 4, d->packed, PACKED);

    g_assert_false(d->kind->codec->unpack(d->packed, len, d->out, PLAIN));
}

/* Nothing of it may be read or written out of bounds; most of it is refused. */
static void test_damaged(Data *d, gconstpointer kind G_GNUC_UNUSED)
{
    g_autoptr(GRand) r = g_rand_new_with_seed(8);
    g_autofree uint8_t *bad = NULL;
    unsigned refused = 0;

    for (unsigned round = 0; round < 300; round++) {
        g_free(bad);
        bad = g_memdup2(d->packed, d->packed_len);
        for (unsigned i = 0; i < 1 + round % 8; i++) {
            bad[g_rand_int_range(r, 0, d->packed_len)] ^= 1u << g_rand_int_range(r, 0, 8);
        }
        refused += !d->kind->codec->unpack(bad, d->packed_len, d->out, PLAIN);
    }
    g_assert_cmpuint(refused, >, 0);
}

static void test_frames(void)
{
    static Data d;
    size_t half;

    data_make(&d, &kinds[1]);
    half = pack_zstd(d.plain, PLAIN / 2, d.packed, PACKED);
    half += pack_zstd(d.plain + PLAIN / 2, PLAIN / 2, d.packed + half, PACKED - half);
    g_assert_true(block_codec_zstd.unpack(d.packed, half + 100, d.out, PLAIN));
    g_assert_cmpmem(d.out, PLAIN, d.plain, PLAIN);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Data *, gconstpointer);
    } tests[] = {
        { "whole", test_whole },
        { "cut", test_cut },
        { "too-little", test_too_little },
        { "damaged", test_damaged },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
            g_autofree char *path = g_strdup_printf("/codec/%s/%s", kinds[k].name, tests[i].name);

            g_test_add(path, Data, &kinds[k], data_make, tests[i].fn, data_free);
        }
    }
    g_test_add_func("/codec/zstd/frames", test_frames);
    return g_test_run();
}
