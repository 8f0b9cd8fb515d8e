/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blklogwrites: a filter for tests, which keeps a log of all that is written through it.
 *
 *   driver=blklogwrites,node-name=n,file.driver=...,log.driver=file,log.filename=LOG,
 *       log-sector-size=512,log-append=off,log-super-update-interval=4096
 *
 * The log is that of Linux' dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst,
 * drivers/md/dm-log-writes.c for the numbers), so its tools replay it. All is little endian, in
 * sectors of log-sector-size bytes: a superblock, then for each entry one sector that says what was
 * written where, and the data behind it.
 *
 * A write is logged when the file has done it, so a flush has those before it in the log that were
 * complete when it began, and maybe others. Its data is copied first: what is logged must be what
 * was written, and the submitter's memory may be the guest's. Entries are logged one after the
 * other, and the request is done after that. The superblock, which counts them, is written with
 * each flush, after every log-super-update-interval entries, and when the node is closed.
 *
 * Opening and closing on the main thread, everything else on the node's loop.
 */
#include "block/drivers.h"
#include "block/filter.h"
#include "block/steps.h"
#include "block/transfer.h"
#include "util/error.h"
#include "util/log.h"
#include <errno.h>
#include <string.h>

#define LOG_MAGIC UINT64_C(0x6a736677736872)
#define LOG_VERSION 1

enum { LOG_FLUSH = 1, LOG_FUA = 2, LOG_DISCARD = 4, LOG_MARK = 8 };

typedef struct LogSuper {
    uint64_t magic, version, nr_entries;
    uint32_t sectorsize;
} __attribute__((packed)) LogSuper;

typedef struct LogEntry {
    uint64_t sector, nr_sectors, flags;
    uint64_t data_len; /* of a mark's text, behind this in the sector */
} LogEntry;

G_STATIC_ASSERT(sizeof(LogSuper) == 28 && sizeof(LogEntry) == 32);

typedef struct LogOp LogOp;

struct LogOp {
    BLOCK_STEPS(LogOp);  /* to the file, or to the log */
    struct iovec iov[2]; /* of an entry */
    BlockNode *node;
    BlockReq *req;
    LogOp *next;     /* waits for the log */
    uint8_t *sector; /* of the log */
    uint8_t *data;   /* of a WRITE */
};

typedef struct LogState {
    uint64_t sector_size;
    uint64_t interval; /* entries */
    bool append;
    BlockNode *log;
    uint64_t n_entries;
    uint64_t end;         /* sectors of the log so far */
    bool unsaved;         /* the superblock on the disk counts less */
    LogOp *first, **last; /* the one that is being logged, and those that wait */
} LogState;

/* ---- opening ---- */

static void fill_super(const LogState *s, uint8_t *sector)
{
    LogSuper super = {
        .magic = GUINT64_TO_LE(LOG_MAGIC),
        .version = GUINT64_TO_LE(LOG_VERSION),
        .nr_entries = GUINT64_TO_LE(s->n_entries),
        .sectorsize = GUINT32_TO_LE((uint32_t)s->sector_size),
    };

    memset(sector, 0, s->sector_size);
    memcpy(sector, &super, sizeof(super));
}

static bool log_failed(const LogState *s, const char *what, int res, GError **errp)
{
    return error_set(errp, "Could not %s log '%s': %s", what, block_filename(s->log),
                     g_strerror(-res));
}

static int setup_sector(const LogState *s, BlockOp op, uint64_t sector, uint8_t *buf)
{
    return block_setup_io(s->log, op, sector * s->sector_size, buf, s->sector_size);
}

/* From entry to entry, to where the next one goes. */
static bool find_end(LogState *s, uint8_t *buf, GError **errp)
{
    uint64_t sectors = s->log->size / s->sector_size;

    for (uint64_t i = 0; i < s->n_entries; i++) {
        LogEntry e;
        uint64_t n;
        int res = s->end < sectors ? setup_sector(s, BLOCK_READ, s->end, buf) : -EINVAL;

        if (res < 0) {
            return log_failed(s, "go on with", res, errp);
        }
        memcpy(&e, buf, sizeof(e));
        n = GUINT64_FROM_LE(e.flags) & LOG_DISCARD ? 0 : GUINT64_FROM_LE(e.nr_sectors);
        if (n > sectors - s->end - 1) {
            return log_failed(s, "go on with", -EINVAL, errp);
        }
        s->end += 1 + n;
    }
    return true;
}

static bool read_log(LogState *s, uint8_t *buf, GError **errp)
{
    LogSuper super;
    int res = s->log->size < s->sector_size ? -EINVAL : setup_sector(s, BLOCK_READ, 0, buf);

    if (res < 0) {
        return log_failed(s, "go on with", res, errp);
    }
    memcpy(&super, buf, sizeof(super));
    if (super.magic != GUINT64_TO_LE(LOG_MAGIC) || super.version != GUINT64_TO_LE(LOG_VERSION) ||
        super.sectorsize != GUINT32_TO_LE((uint32_t)s->sector_size)) {
        return error_set(errp,
                         "'%s' is no log of version %u with sectors of %" G_GUINT64_FORMAT " bytes",
                         block_filename(s->log), LOG_VERSION, s->sector_size);
    }
    s->n_entries = GUINT64_FROM_LE(super.nr_entries);
    return find_end(s, buf, errp);
}

static int write_super(LogState *s, uint8_t *buf)
{
    int res;

    fill_super(s, buf);
    if (s->log->size < s->sector_size) {
        res = block_setup_io(s->log, BLOCK_RESIZE, 0, NULL, s->sector_size);
        if (res < 0) {
            return res;
        }
    }
    res = setup_sector(s, BLOCK_WRITE, 0, buf);
    s->unsaved = s->unsaved && res < 0;
    return res;
}

static bool begin_log(LogState *s, GError **errp)
{
    g_autofree uint8_t *buf = g_malloc0(s->sector_size);
    bool ok;
    int res;

    s->end = 1;
    if (!block_setup_begin(s->log, errp)) {
        return false;
    }
    if (s->append) {
        ok = read_log(s, buf, errp);
    } else {
        res = write_super(s, buf);
        ok = !res || log_failed(s, "begin", res, errp);
    }
    block_setup_end(s->log);
    return ok;
}

static bool check_options(const LogState *s, GError **errp)
{
    if (s->sector_size < 512 || s->sector_size > 65536 || (s->sector_size & (s->sector_size - 1))) {
        return error_set(errp, "log-sector-size must be a power of two between 512 and 65536");
    }
    return s->interval > 0 || error_set(errp, "log-super-update-interval must be 1 or more");
}

static bool log_open(BlockNode *node, Opts *opts, GError **errp)
{
    LogState *s = node->state;

    s->last = &s->first;
    if (!check_options(s, errp) || !filter_open(node, opts, "file", errp)) {
        return false;
    }
    if (node->size % s->sector_size) {
        return error_set(errp, "The size of '%s' is not a multiple of log-sector-size",
                         block_filename(node->file));
    }
    node->align = MAX(node->align, s->sector_size);
    node->can_grow = node->file->can_grow;
    s->log = block_open_child(node, opts, "log", errp);
    return s->log && begin_log(s, errp);
}

static void log_close(BlockNode *node)
{
    LogState *s = node->state;
    g_autofree uint8_t *buf = g_malloc0(s->sector_size);

    if (s->unsaved && block_setup_begin(s->log, NULL)) {
        write_super(s, buf);
        block_setup_end(s->log);
    }
    if (s->unsaved) {
        log_line(node->name, "the log's superblock could not be written");
    }
}

/* ---- one request ---- */

static void op_free(LogOp *op)
{
    const LogState *s = op->node->state;

    if (op->data) {
        block_buffer_put(op->node, op->data, op->req->bytes);
    }
    if (op->sector) {
        block_buffer_put(op->node, op->sector, s->sector_size);
    }
    g_free(op);
}

static void finish(LogOp *op, int res)
{
    BlockReq *req = op->req;

    op_free(op);
    block_complete(req, res);
}

BLOCK_STEPS_FUNCTIONS(LogOp, op)

/* ---- the log ---- */

static void log_next(LogState *s);

static void logged(LogOp *op, int res)
{
    LogState *s = op->node->state;

    s->first = op->next;
    if (!s->first) {
        s->last = &s->first;
    }
    finish(op, res);
    log_next(s);
}

static void super_written(LogOp *op, int res)
{
    LogState *s = op->node->state;

    if (res < 0) {
        logged(op, res);
        return;
    }
    s->unsaved = false;
    op_buf(op, s->log, BLOCK_FLUSH, 0, 0, NULL, 0, logged);
}

static void save_super(LogOp *op)
{
    LogState *s = op->node->state;

    fill_super(s, op->sector);
    op_buf(op, s->log, BLOCK_WRITE, 0, 0, op->sector, s->sector_size, super_written);
}

static void entry_written(LogOp *op, int res)
{
    LogState *s = op->node->state;
    uint64_t sectors = op->req->bytes / s->sector_size;

    if (res < 0) {
        logged(op, res);
        return;
    }
    s->end += 1 + (op->req->op == BLOCK_DISCARD ? 0 : sectors);
    s->n_entries++;
    s->unsaved = true;
    if (op->req->op == BLOCK_FLUSH || s->n_entries % s->interval == 0) {
        save_super(op);
    } else {
        logged(op, 0);
    }
}

static void write_entry(LogOp *op, int res)
{
    LogState *s = op->node->state;
    BlockReq io = {
        .op = BLOCK_WRITE,
        .flags = BLOCK_GROW,
        .offset = s->end * s->sector_size,
        .bytes = s->sector_size,
        .iov = op->iov,
        .niov = 1,
    };

    if (res < 0) {
        logged(op, res);
        return;
    }
    op->iov[0] = (struct iovec){ op->sector, s->sector_size };
    if (op->data) {
        op->iov[1] = (struct iovec){ op->data, op->req->bytes };
        io.bytes += op->req->bytes;
        io.niov = 2;
    }
    op_io(op, s->log, io, entry_written);
}

static void fill_entry(const LogOp *op)
{
    const LogState *s = op->node->state;
    const BlockReq *req = op->req;
    uint64_t flags = (req->op == BLOCK_FLUSH ? LOG_FLUSH : 0) |
                     (req->op == BLOCK_DISCARD ? LOG_DISCARD : 0) |
                     (req->how & BLOCK_FUA ? LOG_FUA : 0);
    LogEntry e = {
        .sector = GUINT64_TO_LE(req->offset / s->sector_size),
        .nr_sectors = GUINT64_TO_LE(req->bytes / s->sector_size),
        .flags = GUINT64_TO_LE(flags),
    };

    memset(op->sector, 0, s->sector_size);
    memcpy(op->sector, &e, sizeof(e));
}

/* The first one that waits; zeros are their data before their entry. */
static void log_next(LogState *s)
{
    LogOp *op = s->first;

    if (!op) {
        return;
    }
    fill_entry(op);
    if (op->req->op != BLOCK_WRITE_ZEROES) {
        write_entry(op, 0);
        return;
    }
    op_buf(op, s->log, BLOCK_WRITE_ZEROES, BLOCK_GROW, (s->end + 1) * s->sector_size, NULL,
           op->req->bytes, write_entry);
}

static void file_done(LogOp *op, int res)
{
    LogState *s = op->node->state;
    bool idle = !s->first;

    if (res < 0) {
        finish(op, res);
        return;
    }
    *s->last = op;
    s->last = &op->next;
    if (idle) {
        log_next(s);
    }
}

/* ---- the driver ---- */

static bool take_memory(LogOp *op)
{
    const LogState *s = op->node->state;
    const BlockReq *req = op->req;

    op->sector = block_buffer_get(op->node, s->sector_size);
    if (!op->sector || req->op != BLOCK_WRITE) {
        return op->sector != NULL;
    }
    op->data = block_buffer_get(op->node, req->bytes);
    if (op->data) {
        iov_to_buf(req->iov, req->niov, 0, op->data, req->bytes);
    }
    return op->data != NULL;
}

static void log_submit(BlockNode *node, BlockReq *req)
{
    const LogState *s = node->state;
    LogOp *op;

    if (req->op == BLOCK_READ || req->op == BLOCK_STATUS) {
        filter_pass(node->file, req);
        return;
    }
    if (req->op == BLOCK_DISCARD && (req->offset | req->bytes) % s->sector_size) {
        block_complete(req, 0); /* it is advice, and could not be logged */
        return;
    }
    op = g_new0(LogOp, 1);
    op->node = node;
    op->req = req;
    if (!take_memory(op)) {
        finish(op, -ENOMEM);
        return;
    }
    op_buf(op, node->file, req->op, req->how, req->offset, op->data, req->bytes, file_done);
}

static void log_cancel(BlockNode *node, BlockReq *req)
{
    if (req->op == BLOCK_READ) {
        filter_cancel(node->file, req);
    }
}

static const OptDesc log_opts[] = {
    { .name = "log-sector-size",
      .type = OPT_SIZE,
      .offset = offsetof(LogState, sector_size),
      .def = 512,
      .help = "bytes" },
    { .name = "log-append",
      .type = OPT_BOOL,
      .offset = offsetof(LogState, append),
      .help = "go on with the log that is there" },
    { .name = "log-super-update-interval",
      .type = OPT_U64,
      .offset = offsetof(LogState, interval),
      .def = 4096,
      .help = "entries after which the superblock is written" },
    { 0 },
};

const BlockDriver block_blklogwrites_driver = {
    .name = "blklogwrites",
    .state_size = sizeof(LogState),
    .opts = log_opts,
    .open = log_open,
    .close = log_close,
    .submit = log_submit,
    .cancel = log_cancel,
};
