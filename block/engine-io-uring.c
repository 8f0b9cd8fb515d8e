/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * aio=io_uring: one ring per open file and loop; no thread, no lock, one system call per turn.
 *
 * A submitted request waits in `pending`. The loop's hook at the end of the turn moves as many as
 * the ring has room for into it and enters the kernel once; what is over DEPTH stays pending until
 * completions make room. The ring's descriptor is in the loop's epoll set: readable means
 * completions. Those that are there right after the submission (the kernel had the data) are
 * reaped in the next turn without a sleep. A short transfer goes back to the head of `pending`.
 *
 *   pending --hook--> in the ring --completion--> block_complete()
 *      \--cancel--> -ECANCELED       \--short, EINTR--> pending     \--EAGAIN--> threads engine
 *
 * Buffered reads are first tried with file_io_try(): a hit costs less than a ring entry. What is
 * neither read, write nor flush, and what a ring refuses with EAGAIN, goes to an instance of the
 * threads engine, made when the first one comes.
 *
 * The ring can do nothing but read, write, sync and cancel, and only on this file, which is its
 * only registered one: it is created disabled, restricted, then enabled. So it's no way round a
 * system call filter. Where the kernel refuses a ring or the restrictions (before 5.10, seccomp,
 * io_uring_disabled, RLIMIT_MEMLOCK), start fails and the file uses threads.
 *
 * Once the filter is there, no ring is made nor is anything registered with one. A file that comes
 * then takes a spare ring, made before. That one names the file by its descriptor, so it could do
 * the same four things to any other one, which is what read() and write() can, too.
 *
 * Everything here runs on the loop's thread.
 */
#include "block/engine.h"
#include "block/file-io.h"
#include "block/transfer.h"
#include "util/error.h"
#include "util/log.h"
#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH 128
#define HELD_MAX 4 /* requests that wait for more of them while the disk has nothing to do */
#define RETRY_NS INT64_C(1000000)
#define ONE_MAX (1u << 30) /* bytes of one entry, whose result is an int */

/* req->stage */
enum {
    STAGE_PENDING = 1,
    STAGE_RING,
    STAGE_HELPER,
    STAGE_DONE,
};

struct BlockEngine {
    Loop *loop;
    FileIo io;
    struct io_uring ring;
    BlockSpares *spares; /* where the ring is from, or NULL */
    int ring_file;       /* fd and flags of an entry: the file, as the ring knows it */
    unsigned ring_flags;
    LoopFd ring_fd;
    LoopPoll poll;
    LoopHook hook;
    LoopWork reap;   /* completions are there already */
    LoopTimer retry; /* the kernel took nothing and nothing will wake us */
    LogLimit limit;
    BlockReq *first, **end; /* pending */
    unsigned n_pending;
    unsigned in_ring;    /* requests */
    BlockEngine *helper; /* of the threads engine, or NULL */
};

static void pending_append(BlockEngine *e, BlockReq *req)
{
    req->stage = STAGE_PENDING;
    req->next = NULL;
    *e->end = req;
    e->end = &req->next;
    e->n_pending++;
}

static void pending_prepend(BlockEngine *e, BlockReq *req)
{
    req->stage = STAGE_PENDING;
    req->next = e->first;
    e->first = req;
    if (!req->next) {
        e->end = &req->next;
    }
    e->n_pending++;
}

static BlockReq *pending_pop(BlockEngine *e)
{
    BlockReq *req = e->first;

    e->first = req->next;
    if (!e->first) {
        e->end = &e->first;
    }
    e->n_pending--;
    return req;
}

static void finish(BlockReq *req, int res)
{
    req->stage = STAGE_DONE;
    transfer_complete(req, res);
}

static void to_helper(BlockEngine *e, BlockReq *req)
{
    g_autoptr(GError) err = NULL;

    if (!e->helper) {
        e->helper = block_engine_threads.start(e->loop, e->io.fd, NULL, &err);
    }
    if (!e->helper) {
        log_limited(&e->limit, loop_name(e->loop), "no thread for a block request: %s",
                    err->message);
        finish(req, -EAGAIN);
        return;
    }
    req->stage = STAGE_HELPER;
    block_engine_threads.submit(e->helper, req);
}

/* --- into the kernel --- */

static void prepare(const BlockEngine *e, struct io_uring_sqe *sqe, BlockReq *req)
{
    int file = e->ring_file;
    unsigned niov;
    const struct iovec *iov;

    if (req->op == BLOCK_FLUSH) {
        io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
    } else {
        uint64_t pos = req->offset + req->progress;

        iov = transfer_rest(req, &niov);
        if (req->op == BLOCK_READ && niov == 1) {
            io_uring_prep_read(sqe, file, iov->iov_base, MIN(iov->iov_len, ONE_MAX), pos);
        } else if (req->op == BLOCK_READ) {
            io_uring_prep_readv(sqe, file, iov, niov, pos);
        } else if (niov == 1) {
            io_uring_prep_write(sqe, file, iov->iov_base, MIN(iov->iov_len, ONE_MAX), pos);
        } else {
            io_uring_prep_writev(sqe, file, iov, niov, pos);
        }
        if (req->op == BLOCK_WRITE && (req->how & BLOCK_FUA)) {
            sqe->rw_flags = RWF_DSYNC;
        }
    }
    io_uring_sqe_set_flags(sqe, e->ring_flags);
    io_uring_sqe_set_data(sqe, req);
}

/* Entries that the kernel didn't take stay in the ring for the next time. */
static void enter(BlockEngine *e)
{
    int res = io_uring_submit(&e->ring);

    if (res < 0 && res != -EINTR && res != -EAGAIN && res != -EBUSY) {
        log_limited(&e->limit, loop_name(e->loop), "io_uring takes no requests, trying on: %s",
                    g_strerror(-res));
    }
    if (io_uring_sq_ready(&e->ring) && !loop_timer_armed(&e->retry)) {
        loop_timer_arm(&e->retry, loop_now_ns() + RETRY_NS);
    }
    if (io_uring_cq_ready(&e->ring)) {
        loop_yield(&e->reap);
    }
}

static void submit_hook(void *opaque)
{
    BlockEngine *e = opaque;

    while (e->first && e->in_ring < DEPTH) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&e->ring);
        BlockReq *req;

        if (!sqe) {
            break;
        }
        req = pending_pop(e);
        prepare(e, sqe, req);
        req->stage = STAGE_RING;
        e->in_ring++;
        loop_at_disk(e->loop, 1);
    }
    if (io_uring_sq_ready(&e->ring) && !loop_timer_armed(&e->retry)) {
        enter(e);
    }
}

/* Few enough for the disk not to be kept waiting: no more than it has already, and some. */
static int held(void *opaque)
{
    const BlockEngine *e = opaque;

    if (io_uring_sq_ready(&e->ring) || e->n_pending >= e->in_ring + HELD_MAX) {
        return -1;
    }
    return e->n_pending;
}

/* A turn is all it takes: the hook does the rest. */
static void retry_expired(void *opaque G_GNUC_UNUSED)
{
}

/* --- out of the kernel --- */

static void completed(BlockEngine *e, BlockReq *req, int res)
{
    e->in_ring--;
    loop_at_disk(e->loop, -1);
    if (res == -EAGAIN) {
        to_helper(e, req);
        return;
    }
    if (res == -ECANCELED) {
        finish(req, res);
        return;
    }
    if (req->op != BLOCK_FLUSH) {
        res = transfer_step(req, e->io.fd, res);
    } else if (res == -EINTR) {
        res = TRANSFER_MORE;
    }
    if (res == TRANSFER_MORE) {
        pending_prepend(e, req);
    } else {
        finish(req, res);
    }
}

static void reap(void *opaque)
{
    BlockEngine *e = opaque;
    struct io_uring_cqe *cqe;

    while (io_uring_peek_cqe(&e->ring, &cqe) == 0) {
        BlockReq *req = io_uring_cqe_get_data(cqe);
        int res = cqe->res;

        io_uring_cqe_seen(&e->ring, cqe);
        if (req) { /* else what became of a cancel, which the request itself tells */
            completed(e, req, res);
        }
    }
}

static void ring_readable(void *opaque, uint32_t events G_GNUC_UNUSED)
{
    reap(opaque);
}

/* Two words of memory to look at. */
static bool ring_polled(void *opaque)
{
    BlockEngine *e = opaque;

    if (!io_uring_cq_ready(&e->ring)) {
        return false;
    }
    reap(e);
    return true;
}

/* --- the engine --- */

/* A ring made later could be one without restrictions. */
const SandboxCalls io_uring_sandbox = {
    .module = "io_uring",
    .calls = (const SandboxCall[]){ { .name = "io_uring_enter" },
                                    { .name = "io_uring_setup", .answer = ENOSYS },
                                    { .name = NULL } },
};

/* liburing 2.3 (Debian 12) declares functions for these two but doesn't export them. */
static int ring_register(struct io_uring *ring, unsigned opcode, const void *arg, unsigned n)
{
    return syscall(__NR_io_uring_register, ring->ring_fd, opcode, arg, n) < 0 ? -errno : 0;
}

/* registered: on the registered file alone. */
static int ring_restrict(struct io_uring *ring, bool registered)
{
    static const uint8_t ops[] = {
        IORING_OP_READ,   IORING_OP_READV, IORING_OP_WRITE,
        IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_ASYNC_CANCEL,
    };
    struct io_uring_restriction r[G_N_ELEMENTS(ops) + 2] = { 0 };
    unsigned n = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        r[n].opcode = IORING_RESTRICTION_SQE_OP;
        r[n++].sqe_op = ops[i];
    }
    if (registered) {
        r[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
        r[n++].sqe_flags = IOSQE_FIXED_FILE;
        r[n].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
        r[n++].sqe_flags = IOSQE_FIXED_FILE;
    }
    return ring_register(ring, IORING_REGISTER_RESTRICTIONS, r, n);
}

/* fd -1: for whatever file. */
static int ring_init(struct io_uring *ring, int fd)
{
    struct io_uring_params params = { .flags = IORING_SETUP_R_DISABLED };
    int res = -EINVAL;

#ifdef IORING_SETUP_COOP_TASKRUN /* no interrupt for a completion: every turn looks anyway */
    params.flags |= IORING_SETUP_COOP_TASKRUN;
    res = io_uring_queue_init_params(DEPTH, ring, &params);
#endif
    if (res == -EINVAL) {
        params = (struct io_uring_params){ .flags = IORING_SETUP_R_DISABLED };
        res = io_uring_queue_init_params(DEPTH, ring, &params);
    }
    if (res < 0) {
        return res;
    }
    if (fd >= 0) {
        res = io_uring_register_files(ring, &fd, 1);
    }
    if (res >= 0) {
        res = ring_restrict(ring, fd >= 0);
    }
    if (res >= 0) {
        res = ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    }
    if (res < 0) {
        io_uring_queue_exit(ring);
    }
    return res;
}

static void *spare_new(void)
{
    g_autofree struct io_uring *ring = g_new(struct io_uring, 1);

    return ring_init(ring, -1) < 0 ? NULL : g_steal_pointer(&ring);
}

static void spare_free(void *spare)
{
    io_uring_queue_exit(spare);
    g_free(spare);
}

static bool ring_open(BlockEngine *e, int fd, BlockSpares *spares, GError **errp)
{
    int res = ring_init(&e->ring, fd);
    g_autofree struct io_uring *spare = res < 0 ? block_spares_take(spares) : NULL;

    if (spare) {
        e->ring = *spare;
        e->spares = spares;
        e->ring_file = fd;
        return true;
    }
    e->ring_flags = IOSQE_FIXED_FILE;
    return res >= 0 || error_set(errp, "The kernel refuses io_uring%s: %s",
                                 spares ? ", and no spare one is left" : "", g_strerror(-res));
}

static void ring_close(BlockEngine *e)
{
    if (e->spares) {
        block_spares_give(e->spares, g_memdup2(&e->ring, sizeof(e->ring)));
    } else {
        io_uring_queue_exit(&e->ring);
    }
}

static BlockEngine *uring_start(Loop *loop, int fd, BlockSpares *spares, GError **errp)
{
    g_autofree BlockEngine *e = g_new0(BlockEngine, 1);
    int res = file_io_init(&e->io, fd);

    if (res < 0) {
        error_set(errp, "Could not examine the file: %s", g_strerror(-res));
        return NULL;
    }
    if (!ring_open(e, fd, spares, errp)) {
        return NULL;
    }
    res = loop_fd_add(loop, &e->ring_fd, e->ring.ring_fd, EPOLLIN, ring_readable, e);
    if (res < 0) {
        error_set(errp, "Could not watch an io_uring: %s", g_strerror(-res));
        ring_close(e);
        return NULL;
    }
    e->loop = loop;
    e->end = &e->first;
    loop_hook_add(loop, &e->hook, submit_hook, held, e);
    loop_poll_add(loop, &e->poll, ring_polled, e);
    loop_work_init(&e->reap, loop, reap, e);
    loop_timer_init(&e->retry, loop, retry_expired, e);
    return g_steal_pointer(&e);
}

static void uring_stop(BlockEngine *e)
{
    g_assert(!e->first && !e->in_ring);
    if (e->helper) {
        block_engine_threads.stop(e->helper);
    }
    loop_timer_disarm(&e->retry);
    loop_work_cancel(&e->reap);
    loop_hook_del(&e->hook);
    loop_poll_del(&e->poll);
    loop_fd_del(&e->ring_fd);
    ring_close(e);
    g_free(e);
}

static void uring_submit(BlockEngine *e, BlockReq *req)
{
    if (req->op != BLOCK_READ && req->op != BLOCK_WRITE && req->op != BLOCK_FLUSH) {
        to_helper(e, req);
    } else if (file_io_try(&e->io, req)) {
        finish(req, 0);
    } else {
        pending_append(e, req);
    }
}

static void cancel_pending(BlockEngine *e, BlockReq *req)
{
    BlockReq **link = &e->first;

    while (*link != req) {
        link = &(*link)->next;
    }
    *link = req->next;
    if (!req->next) {
        e->end = link;
    }
    e->n_pending--;
    finish(req, -ECANCELED);
}

/* The entry goes into the ring before any that a reuse of req's address could make. */
static void cancel_in_ring(BlockEngine *e, BlockReq *req)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&e->ring);

    if (sqe) {
        io_uring_prep_cancel(sqe, req, 0);
        io_uring_sqe_set_flags(sqe, e->ring_flags);
        io_uring_sqe_set_data(sqe, NULL);
    }
}

static void uring_cancel(BlockEngine *e, BlockReq *req)
{
    if (req->stage == STAGE_PENDING) {
        cancel_pending(e, req);
    } else if (req->stage == STAGE_HELPER) {
        block_engine_threads.cancel(e->helper, req);
    } else if (req->stage == STAGE_RING && req->op == BLOCK_READ) {
        cancel_in_ring(e, req);
    }
}

const BlockEngineType block_engine_io_uring = {
    .name = "io_uring",
    .start = uring_start,
    .stop = uring_stop,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .spare_new = spare_new,
    .spare_free = spare_free,
};
