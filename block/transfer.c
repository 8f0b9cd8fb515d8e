/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A READ or WRITE is whole or failed, but the kernel may move less than was asked for: at the end
 * of a file, at its limit of about 2 GiB, when a signal comes, or when the page cache has only the
 * first part and must not block. transfer_step() is the one place that decides what a count means,
 * for blocking calls and for io_uring's results alike.
 *
 * A short read at the end of the file is completed with zeros: an image may end within its last
 * sector, and one that is truncated while it is in use must not stop the guest. After a short
 * count fstat() says whether that was the end, since with O_DIRECT the next offset would not be
 * aligned and asking once more would only give EINVAL. A block device that ends early is one that
 * has been taken away, so that is an error.
 *
 * Steps are taken on the loop's thread or a worker's, whoever has the request. The zeros are
 * stored by transfer_complete() on the loop's thread: the buffer may be guest memory, and only
 * that thread is prepared for one that was torn away (SIGBUS).
 */
#include "block/transfer.h"
#include "util/fd.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

typedef void IovPieceFn(void *piece, size_t len, void *opaque);

static void iov_walk(const struct iovec *iov, unsigned niov, uint64_t pos, uint64_t len,
                     IovPieceFn *fn, void *opaque)
{
    for (unsigned i = 0; i < niov && len; i++) {
        size_t n;

        if (pos >= iov[i].iov_len) {
            pos -= iov[i].iov_len;
            continue;
        }
        n = MIN(iov[i].iov_len - pos, len);
        fn((char *)iov[i].iov_base + pos, n, opaque);
        len -= n;
        pos = 0;
    }
}

static void piece_zero(void *piece, size_t len, void *opaque G_GNUC_UNUSED)
{
    memset(piece, 0, len);
}

static void piece_fill(void *piece, size_t len, void *opaque)
{
    const char **buf = opaque;

    memcpy(piece, *buf, len);
    *buf += len;
}

static void piece_save(void *piece, size_t len, void *opaque)
{
    char **buf = opaque;

    memcpy(*buf, piece, len);
    *buf += len;
}

uint64_t iov_bytes(const struct iovec *iov, unsigned niov)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < niov; i++) {
        sum += iov[i].iov_len;
    }
    return sum;
}

void iov_zero(const struct iovec *iov, unsigned niov, uint64_t pos, uint64_t len)
{
    iov_walk(iov, niov, pos, len, piece_zero, NULL);
}

void iov_from_buf(const struct iovec *iov, unsigned niov, uint64_t pos, const void *buf, size_t len)
{
    iov_walk(iov, niov, pos, len, piece_fill, &buf);
}

void iov_to_buf(const struct iovec *iov, unsigned niov, uint64_t pos, void *buf, size_t len)
{
    iov_walk(iov, niov, pos, len, piece_save, &buf);
}

bool iov_is_zero(const struct iovec *iov, unsigned niov)
{
    for (unsigned i = 0; i < niov; i++) {
        if (!is_zero(iov[i].iov_base, iov[i].iov_len)) {
            return false;
        }
    }
    return true;
}

struct iovec *iov_part(const struct iovec *iov, unsigned niov, uint64_t pos, uint64_t len,
                       unsigned *parts)
{
    struct iovec *part = g_new(struct iovec, niov);
    unsigned n = 0;

    for (unsigned i = 0; i < niov && len > 0; i++) {
        if (pos >= iov[i].iov_len) {
            pos -= iov[i].iov_len;
            continue;
        }
        part[n].iov_base = (char *)iov[i].iov_base + pos;
        part[n].iov_len = MIN(iov[i].iov_len - pos, len);
        len -= part[n++].iov_len;
        pos = 0;
    }
    *parts = n;
    return part;
}

const struct iovec *transfer_rest(BlockReq *req, unsigned *niov)
{
    uint64_t skip = req->progress;
    unsigned i = 0;

    *niov = req->niov;
    if (!skip) {
        return req->iov;
    }
    while (i < req->niov && skip >= req->iov[i].iov_len) {
        skip -= req->iov[i++].iov_len;
    }
    g_assert(i < req->niov);
    *niov = req->niov - i;
    g_free(req->rest);
    req->rest = g_new(struct iovec, *niov);
    memcpy(req->rest, req->iov + i, *niov * sizeof(*req->rest));
    req->rest[0].iov_base = (char *)req->rest[0].iov_base + skip;
    req->rest[0].iov_len -= skip;
    return req->rest;
}

/* A read at pos has brought nothing, or less than was asked for up to there. */
static int short_read(int fd, uint64_t pos, bool nothing)
{
    struct stat st;

    if (fd_stat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return nothing ? -EIO : TRANSFER_MORE;
    }
    return nothing || (uint64_t)st.st_size <= pos ? 0 : TRANSFER_MORE;
}

int transfer_step(BlockReq *req, int fd, ssize_t res)
{
    if (res == -EINTR) {
        return TRANSFER_MORE;
    }
    if (res < 0) {
        return res;
    }
    req->progress += res;
    if (req->progress >= req->bytes) {
        return 0;
    }
    if (req->op == BLOCK_WRITE) {
        return res ? TRANSFER_MORE : -EIO; /* no progress and no reason: don't spin on it */
    }
    return short_read(fd, req->offset + req->progress, !res);
}

void transfer_complete(BlockReq *req, int res)
{
    if (!res && req->op == BLOCK_READ && req->progress < req->bytes) {
        iov_zero(req->iov, req->niov, req->progress, req->bytes - req->progress);
    }
    block_complete(req, res);
}
