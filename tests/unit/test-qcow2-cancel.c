/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 requests that are given up while the image's tables don't come. The file lies behind a
 * gate, which keeps reads while it is shut, until they are cancelled or it is opened.
 */
#include "block/filter.h"
#include "qcow2-harness.h"

#define FAR (512 * MIB) /* another L2 table's */
#define UNIT (64 * KIB)

typedef struct Gate {
    bool shut;
    GPtrArray *held; /* of BlockReq */
    unsigned n_cancelled;
} Gate;

static const OptDesc gate_opts[] = { { 0 } };

static bool gate_open(BlockNode *node, Opts *opts, GError **errp)
{
    Gate *s = node->state;

    if (!filter_open(node, opts, "file", errp)) {
        return false;
    }
    node->can_grow = node->file->can_grow;
    s->held = g_ptr_array_new();
    return true;
}

static void gate_close(BlockNode *node)
{
    g_ptr_array_unref(((Gate *)node->state)->held);
}

static void gate_submit(BlockNode *node, BlockReq *req)
{
    Gate *s = node->state;

    if (s->shut && req->op == BLOCK_READ) {
        g_ptr_array_add(s->held, req);
    } else {
        filter_pass(node->file, req);
    }
}

static void gate_cancel(BlockNode *node, BlockReq *req)
{
    Gate *s = node->state;

    if (g_ptr_array_remove(s->held, req)) {
        s->n_cancelled++;
        block_complete(req, -ECANCELED);
    } else {
        filter_cancel(node->file, req);
    }
}

static const BlockDriver gate_driver = {
    .name = "gate",
    .state_size = sizeof(Gate),
    .opts = gate_opts,
    .open = gate_open,
    .close = gate_close,
    .submit = gate_submit,
    .cancel = gate_cancel,
};

static const BlockDriver *const drivers[] = {
    &block_file_driver,
    &block_qcow2_driver,
    &gate_driver,
    NULL,
};

typedef struct Place {
    Image im;
    Gate *gate;
    uint8_t buf[4096];
} Place;

static void open_gate(Place *p)
{
    p->gate->shut = false;
    while (p->gate->held->len) {
        filter_pass(p->im.node->file->file, g_ptr_array_steal_index(p->gate->held, 0));
    }
}

static void turn_until_held(Place *p, unsigned n)
{
    int64_t end = loop_now_ns() + DEADLINE_NS;

    while (p->gate->held->len < n) {
        g_assert_cmpint(loop_now_ns(), <, end);
        loop_turn(p->im.loop, 100);
    }
    g_assert_cmpuint(p->gate->held->len, ==, n);
}

/* Data at 0 and at FAR, each behind an L2 table of its own, neither of which is in the cache. */
static void place_enter(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;

    if (!have_tools()) {
        g_test_skip("no qemu-img");
        return;
    }
    image_init(&p->im);
    g_assert_cmpint(shell(p->im.dir, "qemu-img create -q -f qcow2 q.qcow2 1G && qemu-io -f qcow2 "
                                     "-c 'write -P 7 0 64k' -c 'write -P 9 512M 128k' q.qcow2"),
                    ==, 0);
    p->im.graph = block_graph_new(drivers, all_engines);
    text = g_strdup_printf("driver=qcow2,node-name=q,discard=unmap,file.driver=gate,"
                           "file.file.driver=file,file.file.filename=%s",
                           p->im.path);
    p->im.node = open_text(p->im.graph, false, &err, text);
    g_assert_no_error(err);
    g_assert_true(block_attach(p->im.node, p->im.loop, NULL));
    p->gate = p->im.node->file->state;
}

static int io(Place *p, BlockOp op, uint64_t offset)
{
    return do_io(p->im.node, op, offset, p->buf, sizeof(p->buf));
}

/* All works, and the image is as it should be. */
static void place_leave(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    if (!p->im.node) {
        return;
    }
    open_gate(p);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(io(p, BLOCK_READ, i * FAR), ==, 0);
        g_assert_cmpint(p->buf[0], ==, i ? 9 : 7);
        g_assert_cmpint(io(p, BLOCK_WRITE, i * FAR + 16 * UNIT), ==, 0);
    }
    image_close(&p->im);
    g_assert_cmpint(shell(p->im.dir, "qemu-img check -q q.qcow2"), ==, 0);
    image_fini(&p->im);
}

/* What waits for an L2 table, for a refcount block, and for those. */
static void test_all(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        BlockOp op;
        uint64_t offset;
        int res;
    } rows[] = {
        { BLOCK_READ, 0, -ECANCELED },
        { BLOCK_READ, 8 * KIB, -ECANCELED },
        { BLOCK_WRITE, 16 * KIB, -ECANCELED },
        { BLOCK_STATUS, 24 * KIB, -ECANCELED },
        { BLOCK_WRITE, FAR + 2 * UNIT, -ECANCELED },
        { BLOCK_WRITE, FAR + 2 * UNIT + 4 * KIB, -ECANCELED }, /* after the one before */
        { BLOCK_WRITE, FAR + 4 * UNIT, -ECANCELED },
        { BLOCK_WRITE_ZEROES, FAR + UNIT, 0 }, /* needs what is there already */
        { BLOCK_DISCARD, 0, -ECANCELED },
    };
    Req reqs[G_N_ELEMENTS(rows)] = { 0 };
    unsigned pending = G_N_ELEMENTS(rows);

    if (!p->im.node) {
        return;
    }
    g_assert_cmpint(io(p, BLOCK_READ, FAR), ==, 0);
    p->gate->shut = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        bool data_moves = rows[i].op == BLOCK_READ || rows[i].op == BLOCK_WRITE;

        reqs[i].pending = &pending;
        req_submit(p->im.node, &reqs[i], rows[i].op, rows[i].offset, data_moves ? p->buf : NULL,
                   data_moves ? sizeof(p->buf) : UNIT, 0);
    }
    turn_until_held(p, 2);
    g_assert_cmpuint(pending, ==, G_N_ELEMENTS(rows));
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        block_cancel(&reqs[i].req);
    }
    wait_zero(p->im.loop, &pending);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpint(reqs[i].req.res, ==, rows[i].res);
    }
    g_assert_cmpuint(p->gate->n_cancelled, ==, 2);
}

/* Who doesn't give up gets the table that another one has asked for. */
static void test_one_of_two(Place *p, gconstpointer first)
{
    unsigned left = 1, pending = 1;
    Req gone = { .pending = &left }, stays = { .pending = &pending };
    uint8_t buf[4096];

    if (!p->im.node) {
        return;
    }
    p->gate->shut = true;
    req_submit(p->im.node, first ? &gone : &stays, BLOCK_READ, 0, first ? p->buf : buf, 4096, 0);
    req_submit(p->im.node, first ? &stays : &gone, BLOCK_READ, 0, first ? buf : p->buf, 4096, 0);
    turn_until_held(p, 1);
    block_cancel(&gone.req);
    wait_zero(p->im.loop, &left);
    g_assert_cmpint(gone.req.res, ==, -ECANCELED);
    g_assert_cmpuint(p->gate->n_cancelled, ==, 0);
    g_assert_cmpuint(pending, ==, 1);
    open_gate(p);
    wait_zero(p->im.loop, &pending);
    g_assert_cmpint(stays.req.res, ==, 0);
    g_assert_cmpint(buf[0], ==, 7);
}

/* Nor does the end of a read that was given up reach who came to wait for it meanwhile. */
static void test_late(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    unsigned left = 1, pending = 1;
    Req gone = { .pending = &left }, late = { .pending = &pending };
    uint8_t buf[4096];

    if (!p->im.node) {
        return;
    }
    p->gate->shut = true;
    req_submit(p->im.node, &gone, BLOCK_READ, 0, p->buf, 4096, 0);
    turn_until_held(p, 1);
    block_cancel(&gone.req);
    req_submit(p->im.node, &late, BLOCK_READ, 0, buf, 4096, 0);
    wait_zero(p->im.loop, &left);
    g_assert_cmpint(gone.req.res, ==, -ECANCELED);
    turn_until_held(p, 1);
    open_gate(p);
    wait_zero(p->im.loop, &pending);
    g_assert_cmpint(late.req.res, ==, 0);
    g_assert_cmpint(buf[0], ==, 7);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Place *, gconstpointer);
        const void *data;
    } tests[] = {
        { "all", test_all, NULL },
        { "first-of-two", test_one_of_two, "first" },
        { "second-of-two", test_one_of_two, NULL },
        { "late", test_late, NULL },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/qcow2/cancel/", tests[i].name, NULL);

        g_test_add(path, Place, tests[i].data, place_enter, tests[i].fn, place_leave);
    }
    return g_test_run();
}
