/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SG_IO blocks until the device has answered, up to a command's time-out, so it is called from a
 * worker thread, one for each unit: the loop's thread queues under the mutex, the worker takes the
 * oldest, and sends it back by loop_post(). What is still queued can be taken back; what the device
 * has can't.
 *
 * A request belongs to the loop's thread, then to the queue (mutex), then to the worker, then to
 * the loop's thread again.
 */
#include "scsi-sg.h"

#include <errno.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "hw/scsi/scsi-disk.h"
#include "util/error.h"
#include "util/thread.h"

struct SgWorker {
    Loop *loop;
    int fd;
    SgIoFn *io;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t cond;
    SgReq *first, **end;
    bool stopping;
};

const SandboxCalls scsi_sg_sandbox = {
    .module = "SCSI passthrough",
    .calls = (const SandboxCall[]){ { .name = "ioctl", .args = { SANDBOX_EQUALS(1, SG_IO) } },
                                    { .name = NULL } },
};

int sg_io(int fd, sg_io_hdr_t *hdr)
{
    int res;

    do {
        res = ioctl(fd, SG_IO, hdr) < 0 ? -errno : 0;
    } while (res == -EINTR);
    return res;
}

static void came_back(void *opaque)
{
    SgReq *req = opaque;

    req->done(req);
}

static SgReq *queue_pop(SgWorker *w)
{
    SgReq *req = w->first;

    if (req) {
        w->first = req->next;
        if (!w->first) {
            w->end = &w->first;
        }
    }
    return req;
}

static void *worker_run(void *opaque)
{
    SgWorker *w = opaque;

    thread_begin("scsi-sg");
    pthread_mutex_lock(&w->mutex);
    while (!w->stopping) {
        SgReq *req = queue_pop(w);

        if (!req) {
            pthread_cond_wait(&w->cond, &w->mutex);
            continue;
        }
        pthread_mutex_unlock(&w->mutex);
        req->res = w->io(w->fd, &req->hdr);
        loop_post(w->loop, &req->post);
        pthread_mutex_lock(&w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

SgWorker *sg_worker_new(Loop *loop, int fd, SgIoFn *io, GError **errp)
{
    SgWorker *w = g_new0(SgWorker, 1);
    int err;

    w->loop = loop;
    w->fd = fd;
    w->io = io;
    w->end = &w->first;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->cond, NULL);
    err = pthread_create(&w->thread, NULL, worker_run, w);
    if (err) {
        error_set(errp, "Could not start a thread: %s", g_strerror(err));
        pthread_mutex_destroy(&w->mutex);
        pthread_cond_destroy(&w->cond);
        g_free(w);
        return NULL;
    }
    return w;
}

void sg_worker_free(SgWorker *w)
{
    if (!w) {
        return;
    }
    pthread_mutex_lock(&w->mutex);
    g_assert(!w->first);
    w->stopping = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->cond);
    g_free(w);
}

void sg_submit(SgWorker *w, SgReq *req)
{
    req->hdr.interface_id = 'S';
    req->hdr.cmdp = req->cdb;
    req->hdr.sbp = req->sense;
    req->hdr.mx_sb_len = sizeof(req->sense);
    req->post = (LoopPost){ .fn = came_back, .opaque = req };
    req->next = NULL;
    pthread_mutex_lock(&w->mutex);
    *w->end = req;
    w->end = &req->next;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

bool sg_cancel(SgWorker *w, SgReq *req)
{
    SgReq **link;
    bool found;

    pthread_mutex_lock(&w->mutex);
    link = &w->first;
    while (*link && *link != req) {
        link = &(*link)->next;
    }
    found = *link != NULL;
    if (found) {
        *link = req->next;
        if (!req->next) {
            w->end = link;
        }
    }
    pthread_mutex_unlock(&w->mutex);
    return found;
}
