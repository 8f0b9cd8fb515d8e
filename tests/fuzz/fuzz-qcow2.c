/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The input is a qcow2 image: opened for writing, or else for reading only, then read whole and
 * written, zeroed, discarded and enlarged here and there. Whatever it says, requests end, with an
 * error or without, and memory and the file stay small.
 */
#include "block/codec.h"
#include "block/drivers.h"
#include "block/engine.h"
#include "fuzz.h"
#include <errno.h>

#define FILE_MAX (1u << 20)
#define CHUNK 65536u

/* ---- a file in memory ---- */

typedef struct MemFile {
    uint8_t *data;
} MemFile;

static bool mem_open(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp G_GNUC_UNUSED)
{
    MemFile *s = node->state;

    s->data = g_malloc0(FILE_MAX);
    node->can_grow = true;
    return true;
}

static void mem_close(BlockNode *node)
{
    MemFile *s = node->state;

    g_free(s->data);
}

static void mem_submit(BlockNode *node, BlockReq *req)
{
    MemFile *s = node->state;
    uint64_t at = req->offset;

    if (req->op > BLOCK_WRITE || req->offset + req->bytes > FILE_MAX) {
        block_complete(req, req->op > BLOCK_WRITE ? 0 : -ENOSPC);
        return;
    }
    for (unsigned i = 0; i < req->niov; i++) {
        void *mem = req->iov[i].iov_base, *file = s->data + at;
        bool read = req->op == BLOCK_READ;

        memcpy(read ? mem : file, read ? file : mem, req->iov[i].iov_len);
        at += req->iov[i].iov_len;
    }
    block_complete(req, 0);
}

static const OptDesc mem_opts[] = { { 0 } };

static const BlockDriver mem_driver = {
    .name = "mem",
    .state_size = sizeof(MemFile),
    .opts = mem_opts,
    .open = mem_open,
    .close = mem_close,
    .submit = mem_submit,
};

static const BlockDriver *const drivers[] = { &mem_driver, &block_qcow2_driver, NULL };
static const BlockEngineType *const engines[] = { &block_engine_threads, NULL };

/* ---- what is done to it ---- */

static BlockNode *open_text(BlockGraph *graph, const char *text)
{
    g_autoptr(Opts) opts = opts_parse(text, NULL, NULL);

    return block_open(graph, opts, NULL);
}

static void exercise(BlockNode *node)
{
    static const struct {
        BlockOp op;
        uint64_t offset, bytes;
    } steps[] = {
        { BLOCK_STATUS, 0, CHUNK },
        { BLOCK_WRITE, 512, 1024 },
        { BLOCK_WRITE_ZEROES, 2048, 8192 },
        { BLOCK_DISCARD, 4096, 65536 },
        { BLOCK_WRITE, 30000, 20000 },
        { BLOCK_FLUSH, 0, 0 },
        { BLOCK_WRITE, 4096, 65536 },
        { BLOCK_RESIZE, 0, 1u << 20 },
        { BLOCK_WRITE, (1u << 20) - 512, 512 },
        { BLOCK_WRITE_ZEROES, 0, 1u << 20 },
        { BLOCK_FLUSH, 0, 0 },
    };
    g_autofree uint8_t *buf = g_malloc0(CHUNK);

    for (uint64_t at = 0; at < MIN(node->size, 4 * CHUNK); at += CHUNK) {
        block_setup_io(node, BLOCK_READ, at, buf, MIN(CHUNK, node->size - at));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(steps) && !node->read_only; i++) {
        bool data = steps[i].op == BLOCK_WRITE;

        block_setup_io(node, steps[i].op, steps[i].offset, data ? buf : NULL, steps[i].bytes);
    }
}

/* Libraries have fuzzers of their own. */
static bool fake_unpack(const void *in, size_t in_len, void *out, size_t out_len)
{
    memset(out, *(const uint8_t *)in, out_len);
    return in_len % 3 != 0;
}

static const BlockCodec fake_codec = { .name = "zlib", .unpack = fake_unpack };

int LLVMFuzzerInitialize(int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
    log_set_file("/dev/null", NULL); /* what is wrong with each image */
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BlockGraph *graph = block_graph_new(drivers, engines);
    BlockNode *file = open_text(graph, "driver=mem,node-name=f"), *node;
    MemFile *s = file->state;

    block_graph_add_codec(graph, &fake_codec);
    size = MIN(size, FILE_MAX);
    if (size) {
        memcpy(s->data, data, size);
    }
    file->size = (size + 511) / 512 * 512;
    node = open_text(graph, "driver=qcow2,node-name=q,file=f,backing=,discard=unmap");
    if (!node) {
        node = open_text(graph, "driver=qcow2,node-name=q,file=f,backing=,read-only=on");
    }
    if (node && block_setup_begin(node, NULL)) {
        exercise(node);
        block_setup_end(node);
    }
    block_graph_free(graph);
    return 0;
}
