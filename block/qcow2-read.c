/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * READ: piece by piece, each as long as the map says the same of it.
 *
 *   data          from the file, straight into the submitter's memory
 *   zeros         stored
 *   unallocated   from the backing node, as far as that goes; else zeros
 *   compressed    the packed bytes from the file, unpacked, and the part that was asked for copied
 *
 * Most requests are one piece: one request to the file and no copy. A cluster that begins in the
 * file and ends behind it is zeros there (the last one of an image that was never written to its
 * end); one that begins behind the end is an error, as of an image that was truncated.
 *
 * STATUS is the map's first piece. Whether an unallocated one reads as zeros the backing node says.
 */
#include "qcow2-internal.h"
#include "block/transfer.h"
#include <errno.h>

static void read_next(Qcow2Op *op);

static void read_retry(Qcow2Op *op, int res)
{
    if (res < 0) {
        qcow2_op_end(op, res);
    } else {
        read_next(op);
    }
}

static void piece_read(Qcow2Op *op, int res)
{
    if (res < 0) {
        qcow2_op_end(op, res);
        return;
    }
    op->pos += op->len;
    read_next(op);
}

static void read_from(Qcow2Op *op, BlockNode *child, uint64_t offset, uint64_t len)
{
    BlockReq io = { .op = BLOCK_READ, .offset = offset, .bytes = len };

    op->len = len;
    io.niov = qcow2_op_slice(op, op->pos, len, &io.iov);
    qcow2_op_io(op, child, io, piece_read);
}

static void fill_zeros(Qcow2Op *op, uint64_t len)
{
    iov_zero(op->req->iov, op->req->niov, op->pos, len);
    op->pos += len;
}

/* False: it was done at once, or has failed with *res. */
static bool read_data(Qcow2Op *op, const Qcow2Map *map, int *res)
{
    Qcow2State *s = op->s;
    uint64_t end = s->file->size;
    uint64_t cluster = map->host - map->host % s->cluster_size;

    if (cluster >= end) {
        *res = -EIO;
    } else if (map->host >= end) {
        fill_zeros(op, MIN(map->bytes, s->cluster_size - map->host % s->cluster_size));
    } else {
        read_from(op, s->file, map->host, MIN(map->bytes, end - map->host));
        return true;
    }
    return false;
}

static bool read_backing(Qcow2Op *op, const Qcow2Map *map)
{
    BlockNode *backing = op->s->node->backing;
    uint64_t guest = op->req->offset + op->pos;

    if (!backing || guest >= backing->size) {
        fill_zeros(op, map->bytes);
        return false;
    }
    read_from(op, backing, guest, MIN(map->bytes, backing->size - guest));
    return true;
}

/* ---- compressed ---- */

static void unpack(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;
    uint32_t skip = (op->req->offset + op->pos) % s->cluster_size;
    uint8_t *cluster = op->buf;

    if (!res && !s->codec->unpack(cluster + s->cluster_size, op->sub_iov.iov_len, cluster,
                                  s->cluster_size)) {
        res = -EIO;
    }
    if (!res) {
        iov_from_buf(op->req->iov, op->req->niov, op->pos, cluster + skip, op->len);
    }
    piece_read(op, res);
}

/* op->buf: the cluster, and behind it what it is made from, at most twice as much. */
static bool read_packed(Qcow2Op *op, const Qcow2Map *map, int *res)
{
    Qcow2State *s = op->s;
    uint64_t end = s->file->size;

    if (!s->codec) {
        log_limited(&s->limit, s->node->name, "qcow2: a compressed cluster: %s",
                    s->no_codec->message);
        *res = -ENOTSUP;
        return false;
    }
    if (map->host >= end || map->packed > 3 * s->cluster_size) {
        *res = -EIO;
        return false;
    }
    if (!op->buf) {
        op->buf_bytes = 4 * (size_t)s->cluster_size;
        op->buf = block_buffer_get(s->node, op->buf_bytes);
    }
    if (!op->buf) {
        *res = -ENOMEM;
        return false;
    }
    op->len = map->bytes;
    qcow2_op_buf(op, BLOCK_READ, 0, map->host, op->buf + s->cluster_size,
                 MIN(map->packed, end - map->host), unpack);
    return true;
}

/* ---- all ---- */

/* True: step comes. */
static bool read_piece(Qcow2Op *op, const Qcow2Map *map, int *res)
{
    switch (map->kind) {
    case QCOW2_DATA:
        return read_data(op, map, res);
    case QCOW2_PACKED:
        return read_packed(op, map, res);
    case QCOW2_UNALLOCATED:
        return read_backing(op, map);
    case QCOW2_ZEROS:
        break;
    }
    fill_zeros(op, map->bytes);
    return false;
}

static void read_next(Qcow2Op *op)
{
    BlockReq *req = op->req;
    int res = qcow2_op_given_up(op) ? -ECANCELED : 0;

    while (op->pos < req->bytes && !res) {
        Qcow2Map map;

        res = qcow2_map(op->s, req->offset + op->pos, req->bytes - op->pos,
                        qcow2_op_wait(op, read_retry), &map);
        if (res == QCOW2_PENDING || (!res && read_piece(op, &map, &res))) {
            return;
        }
    }
    qcow2_op_end(op, res);
}

void qcow2_read(Qcow2Op *op)
{
    read_next(op);
}

/* ---- status ---- */

static void backing_said(Qcow2Op *op, int res)
{
    op->req->status = op->sub.status & BLOCK_ZERO;
    op->req->known = op->sub.known;
    qcow2_op_end(op, res);
}

static void status_of(Qcow2Op *op, const Qcow2Map *map)
{
    BlockNode *backing = op->s->node->backing;
    BlockReq *req = op->req;

    req->known = map->bytes;
    if (map->kind != QCOW2_UNALLOCATED) {
        req->status = BLOCK_ALLOCATED | (map->kind == QCOW2_ZEROS ? BLOCK_ZERO : 0);
        qcow2_op_end(op, 0);
    } else if (!backing || req->offset >= backing->size) {
        req->status = BLOCK_ZERO;
        qcow2_op_end(op, 0);
    } else {
        qcow2_op_io(op, backing,
                    (BlockReq){
                        .op = BLOCK_STATUS,
                        .offset = req->offset,
                        .bytes = MIN(map->bytes, backing->size - req->offset),
                    },
                    backing_said);
    }
}

static void status_try(Qcow2Op *op, int res)
{
    Qcow2Map map;

    if (!res) {
        res =
            qcow2_map(op->s, op->req->offset, op->req->bytes, qcow2_op_wait(op, status_try), &map);
    }
    if (!res) {
        status_of(op, &map);
    } else if (res != QCOW2_PENDING) {
        qcow2_op_end(op, res);
    }
}

void qcow2_status(Qcow2Op *op)
{
    status_try(op, 0);
}
