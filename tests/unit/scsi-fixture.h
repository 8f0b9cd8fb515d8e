/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of the SCSI target side: a block driver on memory whose requests can be held back,
 * failed and counted; a fake adapter with a SCSI bus; and a task that moves its data as the
 * adapter would, in steps of any size. Everything on one loop that the test turns itself.
 */
#ifndef TESTS_UNIT_SCSI_FIXTURE_H
#define TESTS_UNIT_SCSI_FIXTURE_H

#include <string.h>
#include <sys/mman.h>

#include "block/block.h"
#include "block/engine.h"
#include "hw/core/device.h"
#include "hw/scsi/scsi-cdb.h"
#include "hw/scsi/scsi-disk.h"
#include "hw/scsi/scsi.h"

/* ---- memory block driver ---- */

typedef struct MemDisk {
    uint64_t size;
    bool ro, discard, status;
    uint8_t *data;
    bool hold;         /* requests wait for mem_release() */
    GPtrArray *held;   /* BlockReq */
    int fail[BLOCK_N_OPS]; /* -errno by BlockOp, 0: none */
    uint64_t fail_at;  /* only requests that touch this byte; UINT64_MAX: all */
    unsigned count[BLOCK_N_OPS]; /* requests by BlockOp */
    unsigned fua;      /* of them with BLOCK_FUA */
    unsigned unmapped; /* WRITE_ZEROES with BLOCK_MAY_UNMAP */
    uint64_t max_bytes;
} MemDisk;

static bool mem_open(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp G_GNUC_UNUSED)
{
    MemDisk *mem = node->state;

    mem->data = mmap(NULL, mem->size + 1, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert(mem->data != MAP_FAILED);
    mem->held = g_ptr_array_new();
    mem->fail_at = UINT64_MAX;
    node->size = mem->size;
    node->align = 1;
    node->read_only |= mem->ro;
    node->can_discard = mem->discard;
    node->has_status = mem->status;
    return true;
}

static void mem_close(BlockNode *node)
{
    MemDisk *mem = node->state;

    munmap(mem->data, mem->size + 1);
    g_clear_pointer(&mem->held, g_ptr_array_unref);
}

static bool mem_is_zero(const MemDisk *mem, uint64_t at)
{
    return !mem->data[at] && !memcmp(mem->data + at, mem->data + at + 1, 511);
}

static void mem_run(MemDisk *mem, BlockReq *req)
{
    bool hit = mem->fail_at == UINT64_MAX ||
               (mem->fail_at >= req->offset && mem->fail_at - req->offset < req->bytes);
    uint64_t at = req->offset;

    if (mem->fail[req->op] && hit) {
        block_complete(req, mem->fail[req->op]);
        return;
    }
    for (unsigned i = 0; i < req->niov && req->op <= BLOCK_WRITE; i++) {
        if (req->op == BLOCK_READ) {
            memcpy(req->iov[i].iov_base, mem->data + at, req->iov[i].iov_len);
        } else {
            memcpy(mem->data + at, req->iov[i].iov_base, req->iov[i].iov_len);
        }
        at += req->iov[i].iov_len;
    }
    if (req->op == BLOCK_STATUS) { /* in units of 512 bytes */
        bool zero = mem_is_zero(mem, at);

        req->status = zero ? BLOCK_ZERO : BLOCK_ALLOCATED;
        for (req->known = 512; req->known < req->bytes; req->known += 512) {
            if (mem_is_zero(mem, at + req->known) != zero) {
                break;
            }
        }
    }
    if (req->op == BLOCK_DISCARD || req->op == BLOCK_WRITE_ZEROES) {
        memset(mem->data + req->offset, 0, req->bytes);
    }
    block_complete(req, 0);
}

static void mem_submit(BlockNode *node, BlockReq *req)
{
    MemDisk *mem = node->state;

    mem->count[req->op]++;
    mem->fua += !!(req->how & BLOCK_FUA);
    mem->unmapped += req->op == BLOCK_WRITE_ZEROES && (req->how & BLOCK_MAY_UNMAP);
    mem->max_bytes = MAX(mem->max_bytes, req->bytes);
    if (mem->hold) {
        g_ptr_array_add(mem->held, req);
    } else {
        mem_run(mem, req);
    }
}

/* The i-th of the requests held back goes on; all: mem_release(). */
static G_GNUC_UNUSED void mem_release_one(MemDisk *mem, unsigned i)
{
    g_assert_cmpuint(i, <, mem->held->len);
    mem_run(mem, g_ptr_array_remove_index(mem->held, i));
}

static G_GNUC_UNUSED void mem_release(MemDisk *mem)
{
    while (mem->held->len) {
        mem_release_one(mem, 0);
    }
}

/* For what a fake SG_IO answers: nobody uses it. */
static int mem_host_fd(const BlockNode *node G_GNUC_UNUSED)
{
    return 0;
}

static const OptDesc mem_opts[] = {
    { .name = "size", .type = OPT_SIZE, .offset = offsetof(MemDisk, size) },
    { .name = "ro", .type = OPT_BOOL, .offset = offsetof(MemDisk, ro) },
    { .name = "can-discard", .type = OPT_BOOL, .offset = offsetof(MemDisk, discard) },
    { .name = "status", .type = OPT_BOOL, .offset = offsetof(MemDisk, status) },
    { .type = OPT_END },
};

static const BlockDriver mem_driver = {
    .name = "mem",
    .state_size = sizeof(MemDisk),
    .opts = mem_opts,
    .open = mem_open,
    .close = mem_close,
    .submit = mem_submit,
    .host_fd = mem_host_fd,
    .can_resize = true, /* smaller only */
};

/* ---- fake adapter ---- */

typedef struct FakeHba {
    uint32_t max_id;
    ScsiBus *bus;
} FakeHba;

static bool hba_realize(Device *dev, GError **errp G_GNUC_UNUSED)
{
    FakeHba *hba = dev->state;

    hba->bus = scsi_bus_new(dev, hba->max_id, 7);
    dev->child->impl = hba->bus;
    return true;
}

static void hba_unrealize(Device *dev)
{
    FakeHba *hba = dev->state;

    scsi_bus_free(hba->bus);
}

static const OptDesc hba_props[] = {
    { .name = "max-id", .type = OPT_U32, .offset = offsetof(FakeHba, max_id), .def = 16 },
    { .type = OPT_END },
};

static const DeviceType hba_type = {
    .name = "hba",
    .desc = "fake adapter",
    .bus_kind = BUS_PCI,
    .child_kind = BUS_SCSI,
    .props = hba_props,
    .size = sizeof(FakeHba),
    .realize = hba_realize,
    .unrealize = hba_unrealize,
};

/* ---- fixture ---- */

typedef struct Fx {
    Loop *loop;
    BlockGraph *graph;
    DeviceTree *tree;
    ScsiBus *bus;
    unsigned order; /* counts done() */
} Fx;

static Device *fx_device(Fx *fx, const char *text, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(text, "driver", NULL);

    g_assert_nonnull(opts);
    return device_new(fx->tree, opts, errp);
}

/* -blockdev, as driver=mem,node-name=NAME,size=N,... */
static G_GNUC_UNUSED MemDisk *fx_node(Fx *fx, const char *text)
{
    g_autoptr(Opts) opts = opts_parse(text, "driver", NULL);
    g_autoptr(GError) err = NULL;
    BlockNode *node = block_open(fx->graph, opts, &err);

    g_assert_no_error(err);
    return node->state;
}

static G_GNUC_UNUSED void fx_init_types(Fx *fx, const char *hba, const DeviceType *const *types)
{
    static const BlockDriver *const drivers[] = { &mem_driver, NULL };
    static const BlockEngineType *const engines[] = { &block_engine_threads, NULL };
    Device *dev;

    *fx = (Fx){ 0 };
    fx->loop = loop_new("test", NULL);
    fx->graph = block_graph_new(drivers, engines);
    fx->tree = device_tree_new(types, fx->graph);
    dev = fx_device(fx, hba, NULL);
    g_assert_nonnull(dev);
    fx->bus = dev->child->impl;
}

static G_GNUC_UNUSED void fx_init(Fx *fx, const char *hba)
{
    static const DeviceType *const types[] = { &hba_type, &scsi_hd_type, &scsi_cd_type, NULL };

    fx_init_types(fx, hba, types);
}

static G_GNUC_UNUSED Device *fx_add(Fx *fx, const char *text)
{
    g_autoptr(GError) err = NULL;
    Device *dev = fx_device(fx, text, &err);

    g_assert_no_error(err);
    return dev;
}

static G_GNUC_UNUSED void fx_attach(Fx *fx)
{
    g_autoptr(GError) err = NULL;

    scsi_bus_attach(fx->bus, fx->loop, &err);
    g_assert_no_error(err);
}

/* Until nothing runs any more. */
static G_GNUC_UNUSED void fx_settle(Fx *fx)
{
    for (unsigned i = 0; loop_turn(fx->loop, 0); i++) {
        g_assert_cmpuint(i, <, 100000);
    }
}

static G_GNUC_UNUSED void fx_fini(Fx *fx)
{
    fx_settle(fx);
    scsi_bus_detach(fx->bus);
    device_tree_free(fx->tree);
    block_graph_free(fx->graph);
    loop_free(fx->loop);
}

/* ---- task ---- */

typedef struct Task {
    ScsiReq req;
    Fx *fx;
    uint8_t *data; /* moved in or out; room for size bytes */
    size_t size;
    size_t step;   /* most bytes moved at once; 0: all */
    size_t limit;  /* stops moving there (underrun of the initiator); 0: none */
    bool stay;     /* looks at the window after an advance without waiting for ready() */
    unsigned n_ready, n_done;
    unsigned order; /* which done() of the fixture it was, from 1 */
} Task;

static bool task_move(Task *t)
{
    size_t len;
    uint8_t *window = scsi_req_window(&t->req, &len);

    g_assert((window != NULL) == (len > 0));
    if (t->step) {
        len = MIN(len, t->step);
    }
    if (t->limit) {
        len = MIN(len, t->limit - t->req.moved);
    }
    if (!len) {
        return false;
    }
    g_assert_cmpuint(t->req.moved + len, <=, t->req.total);
    if (t->req.moved < t->size) {
        size_t n = MIN(len, t->size - t->req.moved);

        if (t->req.dir == SCSI_DIR_IN) {
            memcpy(t->data + t->req.moved, window, n);
        } else {
            memcpy(window, t->data + t->req.moved, n);
        }
    }
    scsi_req_advance(&t->req, len);
    return true;
}

static void task_ready(ScsiReq *req)
{
    Task *t = (Task *)req;
    uint64_t start = req->chunk_start;

    g_assert_cmpuint(t->n_done, ==, 0);
    t->n_ready++;
    while (task_move(t) && (t->stay || req->chunk_start == start)) {
    }
}

static void task_done(ScsiReq *req)
{
    Task *t = (Task *)req;

    g_assert_cmpuint(t->n_done, ==, 0);
    t->n_done++;
    t->order = ++t->fx->order;
}

static const ScsiReqOps task_ops = { task_ready, task_done };

static G_GNUC_UNUSED void task_submit(Fx *fx, Task *t, unsigned target, unsigned lun,
                                      const uint8_t *cdb, size_t len)
{
    t->fx = fx;
    t->n_ready = t->n_done = t->order = 0;
    t->req.ops = &task_ops;
    t->req.target = (uint8_t)target;
    t->req.lun = (uint8_t)lun;
    t->req.cdb_len = (uint8_t)len;
    memset(t->req.cdb, 0xff, sizeof(t->req.cdb)); /* what is not sent must not matter */
    memcpy(t->req.cdb, cdb, MIN(len, SCSI_CDB_MAX));
    scsi_submit(fx->bus, &t->req);
    g_assert_cmpuint(t->n_ready + t->n_done, ==, 0);
}

/* Runs a command to its end; its data is in t->data. */
static G_GNUC_UNUSED void task_run(Fx *fx, Task *t, unsigned target, unsigned lun,
                                   const uint8_t *cdb, size_t len)
{
    task_submit(fx, t, target, lun, cdb, len);
    fx_settle(fx);
    g_assert_cmpuint(t->n_done, ==, 1);
    g_assert_false(t->req.cancelled);
}

#define CDB(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

#define assert_good(t) g_assert_cmphex((t)->req.status, ==, SCSI_GOOD)
#define assert_sense(t, k, a, q)                                                                   \
    do {                                                                                           \
        g_assert_cmphex((t)->req.status, ==, SCSI_CHECK_CONDITION);                                \
        g_assert_cmphex((t)->req.sense.key, ==, k);                                                \
        g_assert_cmphex((t)->req.sense.asc, ==, a);                                                \
        g_assert_cmphex((t)->req.sense.ascq, ==, q);                                               \
    } while (0)

/* Takes away the power-on unit attention. */
static G_GNUC_UNUSED void fx_clear_ua(Fx *fx, unsigned target, unsigned lun)
{
    Task t = { 0 };

    task_run(fx, &t, target, lun, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&t, 6, 0x29, 0);
}

/* READ and WRITE(10) CDBs. */
static G_GNUC_UNUSED void rw10(uint8_t cdb[10], uint8_t op, uint32_t lba, uint16_t n)
{
    memset(cdb, 0, 10);
    cdb[0] = op;
    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, n);
}

static G_GNUC_UNUSED void fill_random(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        p[i] = (uint8_t)g_test_rand_int();
    }
}

/* ---- one scsi-hd at id 0 ---- */

typedef struct DiskFx {
    Fx fx;
    MemDisk *mem;
    Device *disk;
    Task t;
    uint8_t data[1 << 16];
} DiskFx;

static G_GNUC_UNUSED void disk_setup(DiskFx *d, const char *node, const char *device)
{
    g_autofree char *text = g_strconcat("mem,node-name=d0,", node, NULL);
    g_autofree char *dev = g_strconcat("scsi-hd,drive=d0,", device, NULL);

    *d = (DiskFx){ .t = { .data = d->data, .size = sizeof(d->data) } };
    fx_init(&d->fx, "hba,id=h");
    d->mem = fx_node(&d->fx, text);
    d->disk = fx_add(&d->fx, dev);
    fx_attach(&d->fx);
    fx_clear_ua(&d->fx, 0, 0);
}

static G_GNUC_UNUSED void disk_teardown(DiskFx *d)
{
    fx_fini(&d->fx);
}

#define RUN(d, ...) task_run(&(d)->fx, &(d)->t, 0, 0, CDB(__VA_ARGS__))

#endif
