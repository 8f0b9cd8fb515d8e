/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An nbd node on a loop, and a load on it that knows what has to be where. */
#ifndef TESTS_NBD_CLIENT_H
#define TESTS_NBD_CLIENT_H

#include "block-harness.h"
#include "nbd-server.h"

#define NBD_SIZE (1u << 20)

static const BlockDriver *const nbd_drivers[] = {
    &block_file_driver,
    &block_raw_driver,
    &block_nbd_driver,
    NULL,
};

typedef struct Client {
    NbdServer *server;
    BlockGraph *graph;
    Loop *loop;
    BlockNode *node; /* NULL: none yet, or skipped */
    uint8_t *model;
    GRand *rand;
} Client;

static inline void client_new(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    c->server = nbd_server_new();
    c->graph = block_graph_new(nbd_drivers, all_engines);
    c->loop = loop_new("test", NULL);
    c->model = g_malloc0(NBD_SIZE);
    c->rand = g_rand_new_with_seed(99);
}

static inline void client_close(Client *c)
{
    if (c->node) {
        drain(c->node);
        block_detach(c->node);
        g_assert_true(block_del(c->graph, c->node->name, NULL));
        c->node = NULL;
    }
}

static inline void client_free(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    client_close(c);
    block_graph_free(c->graph);
    loop_free(c->loop);
    nbd_server_free(c->server);
    g_free(c->model);
    g_rand_free(c->rand);
}

/* more: options behind those that say where the server is, ",NAME=VALUE". */
static inline BlockNode *client_try(Client *c, const char *more, GError **errp)
{
    g_autofree char *text =
        g_strdup_printf("driver=nbd,node-name=n,discard=unmap,server.type=unix,server.path=%s%s",
                        c->server->socket, more);

    return open_text(c->graph, false, errp, text);
}

static inline void client_open(Client *c, const char *more)
{
    g_autoptr(GError) err = NULL;

    c->node = client_try(c, more, &err);
    g_assert_no_error(err);
    g_assert_true(block_attach(c->node, c->loop, &err));
}

typedef struct Load {
    Client *c;
    unsigned left; /* requests to begin */
    unsigned busy; /* lanes that have one */
    void (*step)(Client *c, unsigned left);
} Load;

/* One lane writes and reads a stripe of its own, so that what has to be where is settled with any
 * number of lanes on their way. */
typedef struct Lane {
    BlockReq req; /* must be first */
    struct iovec iov[2];
    Load *load;
    uint32_t start, size;
    uint8_t *mem;
} Lane;

static inline void lane_next(Lane *lane);

static inline void lane_done(BlockReq *req)
{
    Lane *lane = (Lane *)req;
    Client *c = lane->load->c;

    g_assert_cmpint(req->res, ==, 0);
    if (req->op == BLOCK_READ) {
        g_assert_cmpmem(lane->mem, req->bytes, c->model + req->offset, req->bytes);
    }
    lane->load->busy--;
    lane_next(lane);
}

static inline void lane_fill(Lane *lane, uint64_t offset, size_t bytes)
{
    Client *c = lane->load->c;

    for (size_t i = 0; i < bytes; i++) {
        lane->mem[i] = g_rand_int(c->rand);
    }
    memcpy(c->model + offset, lane->mem, bytes);
}

static inline void lane_next(Lane *lane)
{
    static const BlockOp ops[] = {
        BLOCK_WRITE, BLOCK_WRITE, BLOCK_READ, BLOCK_READ, BLOCK_WRITE_ZEROES, BLOCK_FLUSH,
    };
    Load *load = lane->load;
    GRand *r = load->c->rand;
    size_t at = g_rand_int_range(r, 0, lane->size - 1);
    size_t bytes = 1 + g_rand_int_range(r, 0, lane->size - at);
    BlockOp op = ops[g_rand_int_range(r, 0, G_N_ELEMENTS(ops))];

    if (!load->left) {
        return;
    }
    load->left--;
    if (load->step) {
        load->step(load->c, load->left);
    }
    lane->req = (BlockReq){ .op = op,
                            .offset = lane->start + at,
                            .bytes = bytes,
                            .flags = g_rand_int_range(r, 0, 4),
                            .done = lane_done };
    if (op == BLOCK_FLUSH) {
        lane->req.offset = lane->req.bytes = 0;
    } else if (op == BLOCK_WRITE_ZEROES) {
        memset(load->c->model + lane->req.offset, 0, bytes);
    } else {
        if (op == BLOCK_WRITE) {
            lane_fill(lane, lane->req.offset, bytes);
        }
        lane->iov[0] = (struct iovec){ lane->mem, bytes / 2 };
        lane->iov[1] = (struct iovec){ lane->mem + bytes / 2, bytes - bytes / 2 };
        lane->req.iov = lane->iov;
        lane->req.niov = 2;
    }
    load->busy++;
    block_submit(load->c->node, &lane->req);
}

/* n requests in all, over `lanes` lanes at once. step: before each, or NULL. */
static inline void client_load(Client *c, unsigned lanes, unsigned n,
                               void (*step)(Client *, unsigned))
{
    Load load = { .c = c, .left = n, .step = step };
    g_autofree Lane *all = g_new0(Lane, lanes);

    for (unsigned i = 0; i < lanes; i++) {
        all[i].load = &load;
        all[i].size = NBD_SIZE / lanes;
        all[i].start = i * all[i].size;
        all[i].mem = g_malloc(all[i].size);
        lane_next(&all[i]);
    }
    wait_zero(c->loop, &load.busy);
    for (unsigned i = 0; i < lanes; i++) {
        g_free(all[i].mem);
    }
}

/* All of it, in one request. */
static inline void client_check(Client *c)
{
    g_autofree uint8_t *all = g_malloc(NBD_SIZE);

    g_assert_cmpint(do_io(c->node, BLOCK_READ, 0, all, NBD_SIZE), ==, 0);
    g_assert_cmpmem(all, NBD_SIZE, c->model, NBD_SIZE);
}

#endif
