/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * aio=threads: requests are done by worker threads with blocking system calls. Needs nothing of
 * the kernel, so it is what every other engine falls back to.
 *
 * The loop's thread queues under the mutex and wakes a worker; the worker takes the oldest request,
 * runs it outside of the mutex, and sends it back by loop_post(). One worker is made at start, so
 * that a refusal is a set-up error; others on demand, when more is queued than workers are idle,
 * up to WORKERS_MAX. They live until stop, which finds nothing queued and joins them.
 *
 * A request belongs to the loop's thread, then to the queue (mutex), then to one worker, then to
 * the loop's thread again. Cancelling takes it off the queue; what a worker has is left alone.
 * Reads that the page cache can serve never get here: file_io_try() completes them on the spot.
 *
 * Signals are for the main thread. pthread's own mutex and threads rather
 * than GLib's, so that ThreadSanitizer sees them.
 */
#include "block/engine.h"
#include "block/file-io.h"
#include "block/transfer.h"
#include "util/error.h"
#include "util/thread.h"
#include <errno.h>
#include <pthread.h>

#define WORKERS_MAX 16

struct BlockEngine {
    Loop *loop;
    FileIo io;
    pthread_t workers[WORKERS_MAX];
    unsigned n_workers; /* loop's thread */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;
    BlockReq *first, **end;
    unsigned n_queued;
    unsigned n_idle;
    bool stopping;
};

static void came_back(void *opaque)
{
    BlockReq *req = opaque;

    loop_at_disk(req->node->loop, -1);
    transfer_complete(req, req->res);
}

static BlockReq *queue_pop(BlockEngine *e)
{
    BlockReq *req = e->first;

    if (req) {
        e->first = req->next;
        if (!e->first) {
            e->end = &e->first;
        }
        e->n_queued--;
    }
    return req;
}

static void *worker_run(void *opaque)
{
    BlockEngine *e = opaque;

    thread_begin("block-worker");
    pthread_mutex_lock(&e->mutex);
    while (!e->stopping) {
        BlockReq *req = queue_pop(e);

        if (!req) {
            e->n_idle++;
            pthread_cond_wait(&e->cond, &e->mutex);
            e->n_idle--;
            continue;
        }
        pthread_mutex_unlock(&e->mutex);
        req->res = file_io_run(&e->io, req);
        loop_post(e->loop, &req->post);
        pthread_mutex_lock(&e->mutex);
    }
    pthread_mutex_unlock(&e->mutex);
    return NULL;
}

static bool worker_add(BlockEngine *e, GError **errp)
{
    int err = pthread_create(&e->workers[e->n_workers], NULL, worker_run, e);

    if (err) {
        return error_set(errp, "Could not start a thread: %s", g_strerror(err));
    }
    e->n_workers++;
    return true;
}

static void threads_stop(BlockEngine *e)
{
    pthread_mutex_lock(&e->mutex);
    g_assert(!e->first);
    e->stopping = true;
    pthread_cond_broadcast(&e->cond);
    pthread_mutex_unlock(&e->mutex);
    for (unsigned i = 0; i < e->n_workers; i++) {
        pthread_join(e->workers[i], NULL);
    }
    pthread_mutex_destroy(&e->mutex);
    pthread_cond_destroy(&e->cond);
    g_free(e);
}

static BlockEngine *threads_start(Loop *loop, int fd, BlockSpares *spares G_GNUC_UNUSED,
                                  GError **errp)
{
    BlockEngine *e = g_new0(BlockEngine, 1);
    int res;

    e->loop = loop;
    e->end = &e->first;
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->cond, NULL);
    res = file_io_init(&e->io, fd);
    if (res < 0) {
        error_set(errp, "Could not examine the file: %s", g_strerror(-res));
    } else if (worker_add(e, errp)) {
        return e;
    }
    threads_stop(e);
    return NULL;
}

static void threads_submit(BlockEngine *e, BlockReq *req)
{
    bool short_of_workers;

    if (file_io_try(&e->io, req)) {
        transfer_complete(req, 0);
        return;
    }
    loop_at_disk(e->loop, 1);
    req->post = (LoopPost){ .fn = came_back, .opaque = req };
    req->next = NULL;
    pthread_mutex_lock(&e->mutex);
    *e->end = req;
    e->end = &req->next;
    e->n_queued++;
    short_of_workers = e->n_queued > e->n_idle;
    pthread_cond_signal(&e->cond);
    pthread_mutex_unlock(&e->mutex);
    if (short_of_workers && e->n_workers < WORKERS_MAX) {
        worker_add(e, NULL); /* refused: those there are will do it */
    }
}

static void threads_cancel(BlockEngine *e, BlockReq *req)
{
    BlockReq **link;
    bool found;

    pthread_mutex_lock(&e->mutex);
    link = &e->first;
    while (*link && *link != req) {
        link = &(*link)->next;
    }
    found = *link != NULL;
    if (found) {
        *link = req->next;
        if (!req->next) {
            e->end = link;
        }
        e->n_queued--;
    }
    pthread_mutex_unlock(&e->mutex);
    if (found) {
        loop_at_disk(e->loop, -1);
        block_complete(req, -ECANCELED);
    }
}

const BlockEngineType block_engine_threads = {
    .name = "threads",
    .start = threads_start,
    .stop = threads_stop,
    .submit = threads_submit,
    .cancel = threads_cancel,
};
