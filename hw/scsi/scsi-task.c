/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A logical unit's task set (SAM-5 section 8) and the life of one request.
 *
 * A request goes through: waiting -> started -> finished -> done. The list of a unit is the order
 * in which the task attributes want commands to run: arrival order, with HEAD OF QUEUE in front.
 * SIMPLE and untagged tasks wait for older HEAD and ORDERED ones, ORDERED for everything older,
 * HEAD for nothing. COMPARE AND WRITE, which others must see done or not begun, runs alone. A task
 * that was cancelled while its I/O is on the medium stays in the list until the I/O is back and
 * holds up all later ones: an initiator that was told of a reset tries its write again, and the
 * first try must not land on top of the second.
 *
 * Sense data belongs to one failed command at a time: while one's has been neither fetched nor
 * given up, the status of another that fails is parked. A parked task has ended but for its done(),
 * so it holds up nobody, least of all REQUEST SENSE. Nothing waits for ever: REQUEST SENSE, any
 * other command, a reset, or cancelling what is parked lets it go on.
 *
 * Nothing comes up from within a call of the adapter: ready() and done() go through the request's
 * LoopWork. A unit's start(), more() and cancel() are called directly, going down.
 *
 * Answers and parameter lists that fit in memory are moved here without help from the unit.
 *
 * All on the loop's thread.
 */
#include "scsi-internal.h"

#include <string.h>

#include "hw/scsi/scsi-cdb.h"
#include "util/trace.h"

/* Zeros behind an answer: as much as the largest fixed-size structure firmware asks for. */
#define REPLY_PAD_MAX 4096

void scsi_tasks_init(ScsiDev *dev)
{
    dev->tasks = NULL;
    dev->tasks_end = &dev->tasks;
    dev->n_tasks = dev->n_waiting = dev->n_barriers = 0;
    dev->n_parked = 0;
    dev->exclusive = NULL;
}

static bool is_exclusive(const ScsiReq *req)
{
    return req->cdb[0] == SCSI_COMPARE_AND_WRITE;
}

static bool is_queue_barrier(const ScsiReq *req)
{
    return req->attr == SCSI_HEAD || req->attr == SCSI_ORDERED || is_exclusive(req);
}

static void task_insert(ScsiDev *dev, ScsiReq *req)
{
    ScsiReq **at = req->attr == SCSI_HEAD ? &dev->tasks : dev->tasks_end;

    req->prev = at;
    req->next = *at;
    if (req->next) {
        req->next->prev = &req->next;
    } else {
        dev->tasks_end = &req->next;
    }
    *at = req;
    dev->n_tasks++;
    dev->n_waiting++;
    dev->n_barriers += is_queue_barrier(req);
}

static void task_remove(ScsiDev *dev, ScsiReq *req)
{
    *req->prev = req->next;
    if (req->next) {
        req->next->prev = req->prev;
    } else {
        dev->tasks_end = req->prev;
    }
    dev->n_tasks--;
    dev->n_barriers -= is_queue_barrier(req) || req->cancelling;
    req->next = NULL;
    req->prev = NULL;
    if (dev->exclusive == req) {
        dev->exclusive = NULL;
    }
}

static void task_start(ScsiReq *req)
{
    req->started = true;
    if (is_exclusive(req)) {
        req->dev->exclusive = req;
    }
    req->dev->n_waiting--;
    trace(SCSI, "%u:%u tag %02x: start %02x (%u bytes)", req->target, req->lun, req->tag,
          req->cdb[0], req->cdb_len);
    req->dev->ops->start(req->dev, req);
}

static bool must_wait(const ScsiDev *dev, const ScsiReq *req, bool older, bool barrier)
{
    bool running = dev->n_tasks > dev->n_waiting + dev->n_parked;

    return dev->exclusive || (is_exclusive(req) && (older || running)) ||
           (req->attr == SCSI_ORDERED && older) || (req->attr != SCSI_HEAD && barrier);
}

void scsi_tasks_pump(ScsiDev *dev)
{
    bool older = false, barrier = false, stale = false;

    for (ScsiReq *req = dev->tasks; req && dev->n_waiting && !scsi_bus_is_still(dev->bus);
         req = req->next) {
        if (req->parked) {
            continue;
        }
        if (!req->started && !stale && !must_wait(dev, req, older, barrier)) {
            task_start(req);
        }
        older = true;
        barrier |= is_queue_barrier(req);
        stale |= req->cancelling;
    }
}

static void task_park(ScsiReq *req)
{
    req->parked = true;
    req->dev->n_parked++;
    if (req->dev->exclusive == req) {
        req->dev->exclusive = NULL;
    }
    scsi_tasks_pump(req->dev);
}

static void task_unpark(ScsiReq *req)
{
    req->parked = false;
    req->dev->n_parked--;
    loop_defer(&req->work);
}

static void unpark_next(ScsiDev *dev)
{
    ScsiReq *req = dev->n_parked && !dev->allegiance ? dev->tasks : NULL;

    while (req && !req->parked) {
        req = req->next;
    }
    if (req) {
        task_unpark(req);
    }
}

void scsi_allegiance_end(ScsiDev *dev)
{
    dev->sense = (ScsiSense){ 0 };
    dev->sense_info_valid = false;
    g_clear_pointer(&dev->sense_data, g_free);
    dev->allegiance = dev->status_due = false;
    unpark_next(dev);
}

/* The stand-in for missing LUNs has one answer for all, and keeps none. */
static void allegiance_begin(ScsiDev *dev, ScsiReq *req)
{
    if (dev == &dev->bus->absent) {
        return;
    }
    dev->sense = req->sense;
    dev->sense_info_valid = req->info_valid;
    dev->sense_info = req->info;
    dev->sense_data = g_steal_pointer(&req->sense_data);
    dev->sense_len = req->sense_len;
    dev->allegiance = true;
    dev->status_due = dev->bus->tells_status;
}

static void task_done(ScsiReq *req)
{
    ScsiDev *dev = req->dev;
    bool failed = !req->cancelling && req->status == SCSI_CHECK_CONDITION;
    ScsiBus *bus = dev->bus;

    if (failed && dev->allegiance && bus->leaving != dev) {
        task_park(req);
        return;
    }
    task_remove(dev, req);
    g_free(req->mem);
    req->mem = NULL;
    g_clear_pointer(&req->again, scsi_req_state_free);
    req->cancelled = req->cancelling && !req->evicted;
    if (req->evicted) {
        req->status = SCSI_CHECK_CONDITION;
    }
    if (failed) {
        allegiance_begin(dev, req);
    }
    g_clear_pointer(&req->sense_data, g_free);
    trace(SCSI, "%u:%u tag %02x: %s %02x, sense %02x/%02x/%02x, %" G_GUINT64_FORMAT " bytes",
          req->target, req->lun, req->tag, req->cancelled ? "cancelled" : "status", req->status,
          req->sense.key, req->sense.asc, req->sense.ascq, req->moved);
    req->ops->done(req);
    unpark_next(dev); /* if this one came to be cancelled after it was unparked itself */
    scsi_tasks_pump(dev);
    if (bus->leaving == dev) {
        scsi_leave_step(bus);
    }
}

static void task_work(void *opaque)
{
    ScsiReq *req = opaque;

    if (req->finished) {
        task_done(req);
    } else if (req->ready_due) {
        req->ready_due = false;
        if (scsi_again_move(req)) {
            req->ops->ready(req);
        }
    }
}

static void task_reset_state(ScsiDev *dev, ScsiReq *req)
{
    req->dev = dev;
    req->bus = dev->bus;
    req->dir = SCSI_DIR_NONE;
    req->total = req->moved = req->chunk_start = 0;
    req->status = SCSI_GOOD;
    req->cancelled = req->started = req->finished = req->cancelling = req->ready_due = false;
    req->parked = req->evicted = false;
    req->sense = (ScsiSense){ 0 };
    req->info_valid = false;
    req->info = 0;
    req->sense_data = NULL;
    req->sense_len = 0;
    req->mem = req->buf = NULL;
    req->direct = false;
    req->mem_len = req->buf_size = req->chunk_len = 0;
    req->params = NULL;
    req->priv = NULL;
    loop_work_init(&req->work, dev->bus->loop, task_work, req);
}

/* Bytes that were not sent read as 0, so that no decoder depends on what was there before. */
static void task_settle_cdb(ScsiReq *req)
{
    req->cdb_len = MIN(req->cdb_len, SCSI_CDB_MAX);
    memset(req->cdb + req->cdb_len, 0, SCSI_CDB_MAX - req->cdb_len);
}

void scsi_tasks_submit(ScsiDev *dev, ScsiReq *req, ScsiReqState *again)
{
    bool full = dev->n_tasks >= SCSI_MAX_TASKS;

    task_reset_state(dev, req);
    req->again = again;
    task_settle_cdb(req);
    task_insert(dev, req);
    if (full || scsi_again_begin(req)) {
        req->started = true;
        dev->n_waiting--;
        if (full) {
            scsi_req_finish(req, SCSI_TASK_SET_FULL);
        }
        return;
    }
    if (req->cdb[0] != SCSI_REQUEST_SENSE && !dev->status_due) {
        scsi_allegiance_end(dev);
    }
    if (dev->n_barriers == 0 && !scsi_bus_is_still(dev->bus)) {
        task_start(req);
    } else {
        scsi_tasks_pump(dev);
    }
}

void scsi_req_hide(ScsiReq *req)
{
    req->buf = NULL;
    req->direct = false;
    req->buf_size = 0;
    req->chunk_len = 0;
    req->ready_due = false;
}

void scsi_cancel(ScsiReq *req)
{
    if (req->cancelling) {
        req->evicted = false; /* nobody wants to be told any more */
        return;
    }
    req->dev->n_barriers += !is_queue_barrier(req);
    req->cancelling = true;
    scsi_req_hide(req);
    if (req->parked) {
        task_unpark(req);
    }
    if (req->finished) {
        return;
    }
    if (!req->started) {
        req->started = true;
        req->dev->n_waiting--;
        scsi_req_finish(req, SCSI_GOOD);
    } else if (req->mem && (req->dir == SCSI_DIR_IN || req->params)) {
        scsi_req_finish(req, SCSI_GOOD);
    } else {
        req->dev->ops->cancel(req->dev, req);
    }
}

void scsi_tasks_evict(ScsiDev *dev)
{
    for (ScsiReq *req = dev->tasks; req; req = req->next) {
        if (!req->cancelling && (!req->finished || req->parked)) {
            scsi_cancel(req);
            req->evicted = true;
        }
    }
}

void scsi_tasks_cancel(ScsiDev *dev, int target, int lun)
{
    for (ScsiReq *req = dev->tasks; req; req = req->next) {
        if ((target < 0 || req->target == target) && (lun < 0 || req->lun == lun)) {
            scsi_cancel(req);
        }
    }
}

uint8_t *scsi_req_window(ScsiReq *req, size_t *len)
{
    uint64_t used = req->moved - req->chunk_start;

    if (!req->buf) {
        *len = req->direct ? req->chunk_len - used : 0;
        return NULL;
    }
    *len = req->chunk_len - used;
    return req->buf + used;
}

size_t scsi_req_read(ScsiReq *req, const struct iovec *iov, unsigned niov)
{
    g_assert(req->direct);
    return req->dev->ops->read(req->dev, req, iov, niov);
}

static void mem_moved(ScsiReq *req)
{
    void (*params)(ScsiDev *, ScsiReq *) = req->params;

    if (req->dir == SCSI_DIR_IN) {
        scsi_req_good(req);
    } else {
        req->params = NULL;
        params(req->dev, req);
    }
}

void scsi_req_advance(ScsiReq *req, size_t n)
{
    size_t left;

    scsi_req_window(req, &left);
    g_assert(n <= left);
    req->moved += n;
    if (n < left || n == 0) {
        return;
    }
    scsi_req_hide(req);
    if (req->mem) {
        mem_moved(req);
    } else {
        req->dev->ops->more(req->dev, req);
    }
}

void scsi_req_data(ScsiReq *req, ScsiDir dir, uint64_t total)
{
    req->dir = dir;
    req->total = total;
}

static void show(ScsiReq *req, size_t len)
{
    g_assert(!req->finished && !req->cancelling && !req->buf && !req->direct);
    g_assert(len > 0 && len <= req->total - req->moved);
    req->buf_size = len;
    req->chunk_start = req->moved;
    req->chunk_len = len;
    req->ready_due = true;
    loop_defer(&req->work);
}

void scsi_req_chunk(ScsiReq *req, uint8_t *buf, size_t len)
{
    show(req, len);
    req->buf = buf;
}

void scsi_req_direct(ScsiReq *req, size_t len)
{
    show(req, len);
    req->direct = true;
}

void scsi_req_reply(ScsiReq *req, const void *data, size_t len, uint64_t alloc)
{
    size_t padded = MAX(len, MIN(alloc, REPLY_PAD_MAX));
    size_t total = MIN(padded, alloc);

    if (total == 0) {
        scsi_req_good(req);
        return;
    }
    req->mem = g_malloc0(padded);
    req->mem_len = padded;
    memcpy(req->mem, data, len);
    scsi_req_data(req, SCSI_DIR_IN, total);
    scsi_req_chunk(req, req->mem, total);
}

void scsi_req_params(ScsiReq *req, size_t len, void (*fn)(ScsiDev *dev, ScsiReq *req))
{
    req->mem = g_malloc0(len);
    req->mem_len = len;
    req->params = fn;
    scsi_req_data(req, SCSI_DIR_OUT, len);
    scsi_req_chunk(req, req->mem, len);
}

void scsi_req_finish(ScsiReq *req, uint8_t status)
{
    g_assert(!req->finished);
    scsi_req_hide(req);
    req->finished = true;
    req->status = status;
    loop_defer(&req->work);
}

void scsi_req_good(ScsiReq *req)
{
    scsi_req_finish(req, SCSI_GOOD);
}

void scsi_req_check(ScsiReq *req, uint8_t key, uint8_t asc, uint8_t ascq)
{
    req->sense = (ScsiSense){ key, asc, ascq };
    scsi_req_finish(req, SCSI_CHECK_CONDITION);
}
