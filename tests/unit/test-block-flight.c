/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests in flight: more than there is room for, cancelled at every stage, drained while others
 * share the node or never let it be idle.
 */
#include "disk-fixture.h"
#include "block/bounce.h"
#include "loop-window.h"

/* --- many, cancelled, drained --- */

#define MANY 1000

static void submit_many(Disk *d, Req *reqs, uint8_t *mem, BlockOp op, unsigned *pending)
{
    *pending = MANY;
    for (unsigned i = 0; i < MANY; i++) {
        reqs[i].pending = pending;
        req_submit(d->node, &reqs[i], op, i % 63 * 4096, mem + i % 63 * 4096, 4096, 0);
    }
}

static void test_backlog(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *mem = g_malloc0(SIZE);
    g_autofree Req *reqs = g_new0(Req, MANY);
    unsigned pending;

    NEEDS_DISK(d);
    for (BlockOp op = BLOCK_READ; op <= BLOCK_WRITE; op++) {
        submit_many(d, reqs, mem, op, &pending);
        wait_zero(d->loop, &pending);
        for (unsigned i = 0; i < MANY; i++) {
            g_assert_cmpint(reqs[i].req.res, ==, 0);
            g_assert_cmpuint(reqs[i].n_done, ==, 1);
        }
    }
}

typedef struct Row {
    Disk *d;
    LoopPoll poll;
    Req *reqs;
    uint8_t *mem;
    unsigned n, pending;
} Row;

/* One for each look, as a peer sends that waits for an answer to each. */
static bool one_comes(void *opaque)
{
    Row *row = opaque;
    unsigned i = row->n;
    BlockOp op = i % 3 ? BLOCK_READ : BLOCK_WRITE;

    if (i == MANY) {
        return false;
    }
    row->n++;
    row->reqs[i] = (Req){ .pending = &row->pending };
    req_submit(row->d->node, &row->reqs[i], op, i % 63 * 4096, row->mem + i % 63 * 4096, 4096, 0);
    return true;
}

/* Submissions that wait for the next request lose none, the last one included. */
static void test_one_by_one(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *mem = g_malloc0(SIZE);
    g_autofree Req *reqs = g_new0(Req, MANY);
    Row row = { .d = d, .reqs = reqs, .mem = mem, .pending = MANY };

    NEEDS_DISK(d);
    loop_open_window(d->loop, INT64_C(1000000000));
    loop_poll_add(d->loop, &row.poll, one_comes, &row);
    wait_zero(d->loop, &row.pending);
    loop_poll_del(&row.poll);
    for (unsigned i = 0; i < MANY; i++) {
        g_assert_cmpint(reqs[i].req.res, ==, 0);
        g_assert_cmpuint(reqs[i].n_done, ==, 1);
    }
}

static void check_cancelled(const Req *reqs, bool some)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MANY; i++) {
        g_assert_true(reqs[i].req.res == 0 || reqs[i].req.res == -ECANCELED);
        g_assert_cmpuint(reqs[i].n_done, ==, 1);
        n += reqs[i].req.res == -ECANCELED;
    }
    g_assert_true(!some || n);
}

static void test_cancel(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *mem = g_malloc0(SIZE);
    g_autofree Req *reqs = g_new0(Req, MANY);
    unsigned pending;

    NEEDS_DISK(d);
    for (unsigned turns = 0; turns < 4; turns++) {
        for (BlockOp op = BLOCK_READ; op <= BLOCK_WRITE; op++) {
            submit_many(d, reqs, mem, op, &pending);
            for (unsigned i = 0; i < turns; i++) {
                loop_turn(d->loop, 0);
            }
            for (unsigned i = MANY; i-- > 0;) {
                if (!reqs[i].n_done) {
                    block_cancel(&reqs[i].req);
                    block_cancel(&reqs[i].req);
                }
            }
            wait_zero(d->loop, &pending);
            /* a ring takes nothing before the end of the turn; a worker may be through by now */
            check_cancelled(reqs,
                            op == BLOCK_WRITE && turns == 0 && !strcmp(d->v->aio, "io_uring"));
        }
    }
}

/* One read-modify-write runs, others wait for it: those can be cancelled, and the rest goes on. */
static void test_cancel_waiting(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    static uint8_t ones[3][100], dst[300];
    Req reqs[3] = { 0 };
    unsigned pending = 3;

    NEEDS_DISK(d);
    if (d->node->align == 1) {
        g_test_skip("needs an alignment");
        return;
    }
    memset(ones, 1, sizeof(ones));
    for (unsigned i = 0; i < 3; i++) {
        reqs[i].pending = &pending;
        req_submit(d->node, &reqs[i], BLOCK_WRITE, i * 100, ones[i], 100, 0);
    }
    block_cancel(&reqs[1].req);
    wait_zero(d->loop, &pending);
    g_assert_cmpint(reqs[0].req.res, ==, 0);
    g_assert_cmpint(reqs[1].req.res, ==, -ECANCELED);
    g_assert_cmpint(reqs[2].req.res, ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 0, dst, sizeof(dst)), ==, 0);
    for (unsigned i = 0; i < 300; i++) {
        g_assert_cmpuint(dst[i], ==, i / 100 != 1);
    }
}

static void piped_done(void *opaque)
{
    Req *r = opaque;

    g_clear_pointer(&r->req.rest, g_free);
    req_done(&r->req);
}

/*
 * Reads that can't finish: of an empty pipe, with the offset that means "none". Sixteen of them
 * occupy the workers, so the others are sure to be queued; a ring has them all.
 */
static void test_cancel_started(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    enum { N = 40, WORKERS = 16 };
    static char bytes[N];
    static Req reqs[N];
    const BlockEngineType *type = block_engine_find(d->graph, d->v->aio);
    BlockNode node = { .loop = d->loop };
    BlockEngine *engine;
    unsigned pending = N, cancelled = 0;
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    engine = type->start(d->loop, fds[0], NULL, NULL);
    g_assert_nonnull(engine);
    for (unsigned i = 0; i < N; i++) {
        reqs[i] = (Req){ .pending = &pending, .iov = { &bytes[i], 1 } };
        reqs[i].req = (BlockReq){
            .op = BLOCK_READ, .offset = UINT64_MAX, .bytes = 1, .iov = &reqs[i].iov, .niov = 1
        };
        block_req_begin(&node, &reqs[i].req, piped_done);
        type->submit(engine, &reqs[i].req);
    }
    loop_turn(d->loop, 0);
    for (unsigned i = 0; i < N; i++) {
        type->cancel(engine, &reqs[i].req);
    }
    while (pending > WORKERS) {
        loop_turn(d->loop, 100);
    }
    g_assert_cmpint(write(fds[1], bytes, N), ==, N);
    wait_zero(d->loop, &pending);
    for (unsigned i = 0; i < N; i++) {
        g_assert_cmpuint(reqs[i].n_done, ==, 1);
        g_assert_true(reqs[i].req.res == 0 || reqs[i].req.res == -ECANCELED);
        cancelled += reqs[i].req.res != 0;
    }
    g_assert_cmpuint(cancelled, >=, N - WORKERS);
    type->stop(engine);
    close(fds[0]);
    close(fds[1]);
}

static void test_drain(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *mem = g_malloc0(SIZE);
    g_autofree Req *reqs = g_new0(Req, MANY);
    unsigned pending, busy = 1;
    BlockDrain wait;

    NEEDS_DISK(d);
    submit_many(d, reqs, mem, BLOCK_WRITE, &pending);
    g_assert_true(d->node->written);
    block_drain(d->node, &wait, set_flag, &busy);
    g_assert_cmpuint(busy, ==, 1);
    wait_zero(d->loop, &busy);
    g_assert_cmpuint(pending, ==, 0);
    g_assert_cmpuint(d->node->in_flight[0] + d->node->in_flight[1], ==, 0);
    g_assert_false(d->node->written);
    drain(d->node); /* idle already */
}

/* --- drains of a node that several share --- */

typedef struct Waiter {
    BlockDrain drain;
    BlockNode *node;
    const unsigned *pending; /* must be 0 at idle, if given */
    unsigned busy;
    struct Waiter *again; /* drained by this one's idle */
} Waiter;

static void waiter_idle(void *opaque);

static void waiter_start(Waiter *w, BlockNode *node, const unsigned *pending)
{
    w->node = node;
    w->pending = pending;
    w->busy = 1;
    block_drain(node, &w->drain, waiter_idle, w);
    g_assert_cmpuint(w->busy, ==, 1);
}

static void waiter_idle(void *opaque)
{
    Waiter *w = opaque;

    g_assert_cmpuint(w->busy, ==, 1);
    w->busy = 0;
    g_assert_true(!w->pending || *w->pending == 0);
    memset(&w->drain, 0x5a, sizeof(w->drain)); /* it is the waiter's again */
    if (w->again) {
        waiter_start(w->again, w->node, NULL);
    }
}

/* Three wait at once, and one more begins at the end of the first. */
static void test_drain_shared(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *mem = g_malloc0(SIZE);
    g_autofree Req *reqs = g_new0(Req, MANY);
    Waiter w[4] = { { .again = &w[3] } };
    unsigned pending;

    NEEDS_DISK(d);
    waiter_start(&w[0], d->node, NULL); /* nothing to wait for */
    submit_many(d, reqs, mem, BLOCK_WRITE, &pending);
    waiter_start(&w[1], d->node, &pending);
    waiter_start(&w[2], d->node, &pending);
    wait_zero(d->loop, &w[0].busy);
    wait_zero(d->loop, &w[1].busy);
    g_assert_cmpuint(w[2].busy, ==, 0); /* of the same round */
    wait_zero(d->loop, &w[3].busy);
    g_assert_false(d->node->written);
}

typedef struct Busy {
    Req r; /* must be first */
    Disk *d;
    bool stop, over;
    uint8_t buf[4096];
} Busy;

static void busy_done(BlockReq *req);

static void busy_submit(Busy *b)
{
    req_submit(b->d->node, &b->r, BLOCK_WRITE, 0, b->buf, sizeof(b->buf), 0);
    b->r.req.done = busy_done;
}

static void busy_done(BlockReq *req)
{
    Busy *b = (Busy *)req;

    g_assert_cmpint(req->res, ==, 0);
    b->over = b->stop;
    if (!b->stop) {
        busy_submit(b);
    }
}

/* One device of two never pauses; the other one's drain comes to its end all the same. */
static void test_drain_busy(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree Busy *b = g_new0(Busy, 1);

    NEEDS_DISK(d);
    b->d = d;
    busy_submit(b);
    for (unsigned i = 0; i < 10; i++) {
        Waiter w = { 0 };

        waiter_start(&w, d->node, NULL);
        wait_zero(d->loop, &w.busy);
        g_assert_cmpuint(d->node->in_flight[0] + d->node->in_flight[1], ==, 1);
    }
    b->stop = true;
    while (!b->over) {
        loop_turn(d->loop, 100);
    }
    drain(d->node);
}

typedef struct Chain {
    Req r; /* must be first */
    Disk *d;
    unsigned left;
    uint8_t buf[4096];
} Chain;

static void chain_done(BlockReq *req)
{
    Chain *c = (Chain *)req;

    g_assert_cmpint(req->res, ==, 0);
    if (--c->left) {
        req_submit(c->d->node, &c->r, c->left % 2 ? BLOCK_READ : BLOCK_WRITE, c->left * 512, c->buf,
                   512, 0);
        req->done = chain_done;
    }
}

/* A request is the submitter's again at done, and may be submitted from there. */
static void test_chain(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree Chain *c = g_new0(Chain, 1);

    NEEDS_DISK(d);
    c->d = d;
    c->left = 200;
    req_submit(d->node, &c->r, BLOCK_READ, 0, c->buf, 512, 0);
    c->r.req.done = chain_done;
    wait_zero(d->loop, &c->left);
}

int main(int argc, char **argv)
{
    static const Case cases[] = {
        { "backlog", test_backlog },
        { "one-by-one", test_one_by_one },
        { "cancel", test_cancel },
        { "cancel-waiting", test_cancel_waiting },
        { "cancel-started", test_cancel_started },
        { "drain", test_drain },
        { "drain-shared", test_drain_shared },
        { "drain-busy", test_drain_busy },
        { "chain", test_chain },
    };

    return run_cases(argc, argv, cases, G_N_ELEMENTS(cases));
}
