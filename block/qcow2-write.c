/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * WRITE, the parts of WRITE_ZEROES that are no whole clusters, and FLUSH. Piece by piece:
 *
 *   ours already   the data to its place, and nothing else
 *   otherwise      in the lane: the L2 table, clusters
 *                  beside it: what lies around the piece in its first and last cluster is read
 *                  (by a READ of this node: backing file, compressed or shared clusters, zeros) and
 *                  written along with the data, in one request
 *                  in the lane: the entries
 *
 * Around zeros in clusters that the file has never had, nothing need be read or written: what a
 * file has not been written reads as zeros. So a small write to a new cluster stays small.
 *
 * Nothing is written outside of clusters that the map gives this place: each is held against the
 * metadata, and has to begin in the file, or is one that was just allocated.
 */
#include "qcow2-internal.h"
#include "block/bounce.h"
#include <errno.h>

#define ZEROS_MAX (64u << 10) /* bytes of zeros that are written at once, if clusters are smaller */
#define RUN_MAX (4u << 20)    /* bytes that are allocated at once, if clusters are smaller */

static void write_next(Qcow2Op *op);

static void write_retry(Qcow2Op *op, int res)
{
    if (res < 0) {
        qcow2_op_end(op, res);
    } else {
        write_next(op);
    }
}

/* ---- the end ---- */

static void write_synced(Qcow2Op *op, int res)
{
    qcow2_lane_leave(op->s);
    qcow2_op_end(op, res);
}

static void sync_in_lane(Qcow2Op *op, int res G_GNUC_UNUSED)
{
    qcow2_sync(op, write_synced);
}

static void write_end(Qcow2Op *op)
{
    Qcow2State *s = op->s;

    if (qcow2_must_sync(s) || ((op->req->how & BLOCK_FUA) && qcow2_is_dirty(s))) {
        qcow2_lane_enter(op, sync_in_lane);
    } else {
        qcow2_op_end(op, 0);
    }
}

void qcow2_flush(Qcow2Op *op)
{
    if (qcow2_is_dirty(op->s) && !op->s->corrupt) {
        qcow2_lane_enter(op, sync_in_lane);
    } else {
        qcow2_op_buf(op, BLOCK_FLUSH, 0, 0, NULL, 0, qcow2_op_end);
    }
}

/* ---- the data ---- */

static void data_in_place(Qcow2Op *op, int res)
{
    if (res < 0) {
        qcow2_op_end(op, res);
        return;
    }
    op->pos += op->len;
    write_next(op);
}

/* The piece's data: the request's, or zeros. */
static unsigned payload(Qcow2Op *op, const struct iovec **iov)
{
    if (op->req->op == BLOCK_WRITE) {
        return qcow2_op_slice(op, op->pos, op->len, iov);
    }
    op->copy_iov = (struct iovec){ .iov_base = op->buf, .iov_len = op->len };
    *iov = &op->copy_iov;
    return 1;
}

static int check_host(Qcow2State *s, uint64_t host, uint64_t bytes)
{
    uint64_t last = host + bytes - 1;

    if (host + bytes > QCOW2_OFFSET_MAX || last - last % s->cluster_size >= s->file->size) {
        return qcow2_corrupt(s, "a cluster of the disk lies behind the end of the file", host);
    }
    if (qcow2_areas_hit(s, host, bytes)) {
        return qcow2_corrupt(s, "a cluster of the disk is metadata", host);
    }
    return 0;
}

static void write_in_place(Qcow2Op *op, const Qcow2Map *map)
{
    Qcow2State *s = op->s;
    BlockReq io = { .op = BLOCK_WRITE, .offset = map->host, .bytes = op->len };
    int res = check_host(s, map->host, op->len);

    if (res < 0) {
        qcow2_op_end(op, res);
        return;
    }
    io.flags = BLOCK_GROW | (op->req->how & BLOCK_FUA);
    io.niov = payload(op, &io.iov);
    qcow2_op_io(op, s->file, io, data_in_place);
}

/* ---- new clusters ---- */

static void change_failed(Qcow2Op *op, int res)
{
    qcow2_change_end(op);
    qcow2_op_end(op, res);
}

static void put_edges(Qcow2Op *op)
{
    Qcow2State *s = op->s;

    if (op->head) {
        block_buffer_put(s->node, g_steal_pointer(&op->head), s->cluster_size);
    }
    if (op->tail) {
        block_buffer_put(s->node, g_steal_pointer(&op->tail), s->cluster_size);
    }
}

static void link_done(Qcow2Op *op)
{
    qcow2_lane_leave(op->s);
    op->pos += op->len;
    qcow2_change_end(op);
    write_next(op);
}

static void link_entries(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    s->data_unflushed = s->data_unflushed || !op->fresh || !op->from_zeros ||
                        op->host + (op->n << s->h.cluster_bits) > s->stable_end;
    while (!res && op->linked < op->n) {
        uint64_t host = op->host + (op->linked << s->h.cluster_bits);
        Qcow2Slice *slice;
        uint8_t *at;

        res = qcow2_entry(s, (op->first + op->linked) << s->h.cluster_bits,
                          qcow2_op_wait(op, link_entries), &slice, &at);
        if (res == QCOW2_PENDING) {
            return;
        }
        if (!res) {
            qcow2_free_entry(s, be64(at));
            set_be64(at, host | QCOW2_COPIED);
            qcow2_cache_dirty(slice);
            op->linked++;
        }
    }
    if (res < 0) {
        qcow2_free_later(s, (op->host >> s->h.cluster_bits) + op->linked, op->n - op->linked);
        qcow2_lane_leave(s);
        change_failed(op, res);
    } else {
        link_done(op);
    }
}

static void give_back(Qcow2Op *op, int res G_GNUC_UNUSED)
{
    Qcow2State *s = op->s;

    qcow2_free_later(s, op->host >> s->h.cluster_bits, op->n);
    qcow2_lane_leave(s);
    change_failed(op, op->result);
}

static void data_written(Qcow2Op *op, int res)
{
    put_edges(op);
    op->result = res;
    qcow2_lane_enter(op, res < 0 ? give_back : link_entries);
}

static uint32_t head_bytes(const Qcow2Op *op)
{
    return (op->req->offset + op->pos) % op->s->cluster_size;
}

static uint32_t tail_bytes(const Qcow2Op *op)
{
    uint64_t end = op->req->offset + op->pos + op->len;

    return (op->s->cluster_size - end % op->s->cluster_size) % op->s->cluster_size;
}

static void write_new(Qcow2Op *op)
{
    Qcow2State *s = op->s;
    const struct iovec *data;
    unsigned n = payload(op, &data), first = op->head ? 1 : 0;
    struct iovec *iov = g_new(struct iovec, n + 2);
    BlockReq io = { .op = BLOCK_WRITE, .flags = BLOCK_GROW, .offset = op->host, .iov = iov };

    memcpy(iov + first, data, n * sizeof(*iov));
    io.niov = first + n;
    io.bytes = op->len;
    if (op->head) {
        iov[0] = (struct iovec){ op->head, head_bytes(op) };
        io.bytes += head_bytes(op);
    } else {
        io.offset += head_bytes(op);
    }
    if (op->tail) {
        iov[io.niov++] = (struct iovec){ op->tail, tail_bytes(op) };
        io.bytes += tail_bytes(op);
    }
    g_free(op->iov);
    op->iov = iov;
    qcow2_op_io(op, s->file, io, data_written);
}

/* ---- what lies around the piece ---- */

static void edge_read(void *opaque)
{
    BlockReq *req = opaque;
    Qcow2Op *op = (Qcow2Op *)((char *)req - offsetof(Qcow2Op, copy));

    op->copying = false;
    op->step(op, req->res);
}

/* Reads [guest, guest + bytes) of this node; what lies behind the disk's end is zeros. */
static void read_edge(Qcow2Op *op, uint8_t *buf, uint64_t guest, uint32_t bytes, Qcow2Step *step)
{
    Qcow2State *s = op->s;
    uint64_t end = MIN(guest + bytes, s->node->size);

    op->step = step;
    memset(buf, 0, bytes);
    if (op->from_zeros || guest >= end || qcow2_op_given_up(op)) {
        step(op, qcow2_op_given_up(op) ? -ECANCELED : 0);
        return;
    }
    op->copy_iov = (struct iovec){ .iov_base = buf, .iov_len = end - guest };
    op->copy = (BlockReq){
        .op = BLOCK_READ,
        .offset = guest,
        .bytes = end - guest,
        .iov = &op->copy_iov,
        .niov = 1,
    };
    block_req_begin(s->node, &op->copy, edge_read);
    op->copying = true;
    qcow2_read(qcow2_op_new(s, &op->copy));
}

static void edges_read(Qcow2Op *op, int res)
{
    if (res < 0) {
        data_written(op, res);
    } else {
        write_new(op);
    }
}

static void read_tail(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    if (res < 0 || !tail_bytes(op)) {
        edges_read(op, res);
        return;
    }
    op->tail = block_buffer_get(s->node, s->cluster_size);
    if (!op->tail) {
        edges_read(op, -ENOMEM);
        return;
    }
    read_edge(op, op->tail, op->req->offset + op->pos + op->len, tail_bytes(op), edges_read);
}

static void read_head(Qcow2Op *op)
{
    Qcow2State *s = op->s;

    if (op->fresh && op->from_zeros) {
        write_new(op);
        return;
    }
    if (!head_bytes(op)) {
        read_tail(op, 0);
        return;
    }
    op->head = block_buffer_get(s->node, s->cluster_size);
    if (!op->head) {
        edges_read(op, -ENOMEM);
        return;
    }
    read_edge(op, op->head, op->first << s->h.cluster_bits, head_bytes(op), read_tail);
}

/* ---- allocation ---- */

static void clusters_there(Qcow2Op *op, int res)
{
    Qcow2State *s = op->s;

    qcow2_lane_leave(s);
    if (res < 0) {
        change_failed(op, res);
        return;
    }
    op->host = op->cluster << s->h.cluster_bits;
    op->n = op->got;
    op->len = MIN(op->len, (op->n << s->h.cluster_bits) - head_bytes(op));
    read_head(op);
}

static void table_there(Qcow2Op *op, int res)
{
    if (res < 0) {
        clusters_there(op, res);
    } else {
        qcow2_alloc(op, op->n, clusters_there);
    }
}

static void alloc_start(Qcow2Op *op, int res G_GNUC_UNUSED)
{
    qcow2_need_table(op, op->first << op->s->h.cluster_bits, table_there);
}

static void write_alloc(Qcow2Op *op, const Qcow2Map *map)
{
    Qcow2State *s = op->s;
    uint64_t guest = op->req->offset + op->pos;
    uint64_t first = guest >> s->h.cluster_bits;
    uint64_t last;

    op->len = MIN(op->len, MAX(RUN_MAX, s->cluster_size) - guest % s->cluster_size);
    last = (guest + op->len - 1) >> s->h.cluster_bits;
    op->from_zeros = map->kind == QCOW2_ZEROS;
    if (map->kind == QCOW2_UNALLOCATED) {
        op->from_zeros = !s->node->backing || first << s->h.cluster_bits >= s->node->backing->size;
    }
    qcow2_change_begin(op, first, last - first + 1);
    qcow2_lane_enter(op, alloc_start);
}

/* ---- all ---- */

/* Zeros to write where zeros are: nothing to do. */
static bool is_zero_already(const Qcow2Op *op, const Qcow2Map *map)
{
    const BlockNode *backing = op->s->node->backing;

    return op->req->op == BLOCK_WRITE_ZEROES &&
           (map->kind == QCOW2_ZEROS || (map->kind == QCOW2_UNALLOCATED &&
                                         (!backing || op->req->offset + op->pos >= backing->size)));
}

static bool zeros_ready(Qcow2Op *op)
{
    Qcow2State *s = op->s;

    if (op->req->op == BLOCK_WRITE || op->buf) {
        return true;
    }
    op->buf_bytes = MAX(ZEROS_MAX, s->cluster_size);
    op->buf = block_buffer_get(s->node, op->buf_bytes);
    if (op->buf) {
        memset(op->buf, 0, op->buf_bytes);
    }
    return op->buf != NULL;
}

static void write_piece(Qcow2Op *op, const Qcow2Map *map)
{
    Qcow2State *s = op->s;
    uint64_t guest = op->req->offset + op->pos;

    op->len = map->bytes;
    if (is_zero_already(op, map)) {
        data_in_place(op, 0);
        return;
    }
    if (op->req->op != BLOCK_WRITE) {
        op->len = MIN(op->len, MAX(ZEROS_MAX, s->cluster_size) - guest % s->cluster_size);
    }
    if (!zeros_ready(op)) {
        qcow2_op_end(op, -ENOMEM);
    } else if (map->kind == QCOW2_DATA && map->writable) {
        write_in_place(op, map);
    } else {
        write_alloc(op, map);
    }
}

/* Whole clusters that can be made zeros by their entries alone. */
static uint64_t whole_clusters(const Qcow2Op *op)
{
    const Qcow2State *s = op->s;
    uint64_t guest = op->req->offset + op->pos, left = op->req->bytes - op->pos;
    uint64_t n = left >> s->h.cluster_bits;

    if (op->req->op != BLOCK_WRITE_ZEROES || s->h.version < 3 || guest % s->cluster_size) {
        return 0;
    }
    return n + (guest + left == s->node->size && left % s->cluster_size != 0);
}

static void write_next(Qcow2Op *op)
{
    Qcow2State *s = op->s;
    BlockReq *req = op->req;
    uint64_t guest = req->offset + op->pos, left = req->bytes - op->pos;
    uint64_t whole = left ? whole_clusters(op) : 0;
    Qcow2Map map;
    int res;

    if (!left) {
        write_end(op);
        return;
    }
    if (s->corrupt || qcow2_op_given_up(op)) {
        qcow2_op_end(op, s->corrupt ? -EIO : -ECANCELED);
        return;
    }
    if (qcow2_op_blocked(op, guest, left, write_retry)) {
        return;
    }
    if (whole) {
        qcow2_zero_clusters(op, whole, data_in_place);
        return;
    }
    res = qcow2_map(s, guest, left, qcow2_op_wait(op, write_retry), &map);
    if (res < 0) {
        qcow2_op_end(op, qcow2_corrupt(s, "an L2 entry is invalid", guest));
    } else if (!res) {
        write_piece(op, &map);
    }
}

void qcow2_write(Qcow2Op *op)
{
    write_next(op);
}
