/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images in a temporary folder, a graph with every driver, and requests that are waited for. */
#ifndef TESTS_BLOCK_HARNESS_H
#define TESTS_BLOCK_HARNESS_H

#include "block/drivers.h"
#include "block/engine.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEADLINE_NS INT64_C(60000000000)

static const BlockDriver *const all_drivers[] = {
    &block_file_driver,
    &block_host_device_driver,
    &block_raw_driver,
    &block_qcow2_driver,
    NULL,
};

static const BlockEngineType *const all_engines[] = {
    &block_engine_io_uring,
    &block_engine_threads,
    NULL,
};

typedef struct Req {
    BlockReq req;
    struct iovec iov;
    unsigned *pending; /* counted down at done, or NULL */
    unsigned n_done;
    bool in_submit;
} Req;

static inline char *make_dir(void)
{
    /* on a disk file system where there is one: tmpfs may refuse O_DIRECT */
    char *dir = g_strdup("/var/tmp/blk-XXXXXX");

    g_assert_nonnull(mkdtemp(dir));
    return dir;
}

static inline void remove_dir(char *dir)
{
    g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        g_remove(path);
    }
    g_assert_cmpint(g_rmdir(dir), ==, 0);
    g_free(dir);
}

static inline char *make_image(const char *dir, const char *name, uint64_t size)
{
    char *path = g_build_filename(dir, name, NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    close(fd);
    return path;
}

static inline BlockNode *open_text(BlockGraph *graph, bool drive, GError **errp, const char *text)
{
    g_autoptr(Opts) opts = opts_parse(text, NULL, errp);

    if (!opts) {
        return NULL;
    }
    return drive ? block_open_drive(graph, opts, errp) : block_open(graph, opts, errp);
}

static inline void req_done(BlockReq *req)
{
    Req *r = (Req *)req;

    g_assert_false(r->in_submit);
    r->n_done++;
    if (r->pending) {
        (*r->pending)--;
    }
}

static inline void req_submit(BlockNode *node, Req *r, BlockOp op, uint64_t offset, void *buf,
                              size_t bytes, uint32_t flags)
{
    r->iov = (struct iovec){ .iov_base = buf, .iov_len = bytes };
    r->req.op = op;
    r->req.flags = flags;
    r->req.offset = offset;
    r->req.bytes = bytes;
    r->req.iov = buf ? &r->iov : NULL;
    r->req.niov = buf ? 1 : 0;
    r->req.done = req_done;
    r->n_done = 0;
    r->in_submit = true;
    block_submit(node, &r->req);
    r->in_submit = false;
}

static inline void wait_zero(Loop *loop, const unsigned *count)
{
    int64_t end = loop_now_ns() + DEADLINE_NS;

    while (*count) {
        g_assert_cmpint(loop_now_ns(), <, end);
        loop_turn(loop, 100);
    }
}

static inline int do_io_flags(BlockNode *node, BlockOp op, uint64_t offset, void *buf, size_t bytes,
                              uint32_t flags)
{
    unsigned pending = 1;
    Req r = { .pending = &pending };

    req_submit(node, &r, op, offset, buf, bytes, flags);
    wait_zero(node->loop, &pending);
    g_assert_cmpuint(r.n_done, ==, 1);
    return r.req.res;
}

static inline int do_io(BlockNode *node, BlockOp op, uint64_t offset, void *buf, size_t bytes)
{
    return do_io_flags(node, op, offset, buf, bytes, 0);
}

static inline void set_flag(void *opaque)
{
    *(unsigned *)opaque = 0;
}

static inline void drain(BlockNode *node)
{
    unsigned busy = 1;
    BlockDrain d;

    block_drain(node, &d, set_flag, &busy);
    wait_zero(node->loop, &busy);
}

#endif
