/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests: what they do to the data, what is refused, and what a device of the host makes of them.
 * Many at a time, cancelled and drained, are test-block-flight.c.
 */
#include "disk-fixture.h"
#include <linux/loop.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

/* --- data --- */

/*
 * Rounds of requests that cover the disk side by side, cut at random places: neighbours share
 * blocks, so that read-modify-writes meet, but no two ranges overlap, so that the result is
 * settled.
 */
static void test_random(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    enum { MAX_REQS = 64 };
    g_autoptr(GRand) r = g_rand_new_with_seed(4711);
    g_autofree uint8_t *model = g_malloc0(SIZE);
    g_autofree uint8_t *mem = g_malloc0(SIZE + 16);
    static Req reqs[MAX_REQS];

    NEEDS_DISK(d);
    for (unsigned round = 0; round < 60; round++) {
        unsigned n = 0, pending = 0, pos = g_rand_int_range(r, 0, 2000);
        uint8_t *base = mem + g_rand_int_range(r, 0, 16);
        uint32_t unit = g_rand_boolean(r) ? 512 : 1;
        uint8_t *expect = g_memdup2(model, SIZE);

        pos -= pos % unit;
        memset(mem, 0xee, SIZE + 16);
        while (n < MAX_REQS && pos < SIZE) {
            unsigned len = g_rand_int_range(r, 1, 16000);
            BlockOp op = (BlockOp[]){ BLOCK_READ, BLOCK_READ, BLOCK_WRITE, BLOCK_WRITE,
                                      BLOCK_WRITE_ZEROES }[g_rand_int_range(r, 0, 5)];
            uint32_t flags = 0;

            len = MIN(len, SIZE - pos);
            len = MAX(len - len % unit, unit);
            if (op == BLOCK_WRITE) {
                fill(base + pos, len, g_rand_int(r));
                memcpy(expect + pos, base + pos, len);
                flags = g_rand_boolean(r) ? BLOCK_FUA : 0;
            } else if (op == BLOCK_WRITE_ZEROES) {
                memset(expect + pos, 0, len);
                flags = g_rand_int_range(r, 0, 4);
            }
            pending++;
            reqs[n].pending = &pending;
            req_submit(d->node, &reqs[n], op, pos, op == BLOCK_WRITE_ZEROES ? NULL : base + pos,
                       len, flags);
            n++;
            pos += len;
        }
        wait_zero(d->loop, &pending);
        for (unsigned i = 0; i < n; i++) {
            const BlockReq *req = &reqs[i].req;

            g_assert_cmpint(req->res, ==, 0);
            g_assert_cmpuint(reqs[i].n_done, ==, 1);
            if (req->op == BLOCK_READ) {
                g_assert_cmpmem(req->iov->iov_base, req->bytes, model + req->offset, req->bytes);
            }
        }
        memcpy(model, expect, SIZE);
        g_free(expect);
    }
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 0, mem, SIZE), ==, 0);
    g_assert_cmpmem(mem, SIZE, model, SIZE);
}

/* Two writes within one block, and one over both ends: none may undo its neighbour. */
static void test_rmw_neighbours(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    enum { N = 128 };
    static uint8_t src[N][100], dst[N * 100];
    static Req reqs[N];
    unsigned pending = N;

    NEEDS_DISK(d);
    for (unsigned i = 0; i < N; i++) {
        memset(src[i], i + 1, sizeof(src[i]));
        reqs[i].pending = &pending;
        req_submit(d->node, &reqs[i], BLOCK_WRITE, i * 100, src[i], 100, 0);
    }
    wait_zero(d->loop, &pending);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 0, dst, sizeof(dst)), ==, 0);
    g_assert_cmpmem(dst, sizeof(dst), src, sizeof(src));
}

static void test_many_parts(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    enum { PARTS = 3000 };
    g_autofree struct iovec *iov = g_new0(struct iovec, PARTS);
    g_autofree uint8_t *src = g_malloc(PARTS * 3), *dst = g_malloc0(PARTS * 3);
    unsigned pending = 1;
    Req r = { .pending = &pending };

    NEEDS_DISK(d);
    fill(src, PARTS * 3, 1);
    for (unsigned i = 0; i < PARTS; i++) {
        iov[i] = (struct iovec){ .iov_base = src + i * 3, .iov_len = 3 };
    }
    r.req = (BlockReq){ .op = BLOCK_WRITE,
                        .offset = 777,
                        .bytes = PARTS * 3,
                        .iov = iov,
                        .niov = PARTS,
                        .done = req_done };
    block_submit(d->node, &r.req);
    wait_zero(d->loop, &pending);
    g_assert_cmpint(r.req.res, ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 777, dst, PARTS * 3), ==, 0);
    g_assert_cmpmem(dst, PARTS * 3, src, PARTS * 3);
}

static void test_large(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    size_t len = (3u << 20) + 1000; /* several pieces of the bounce code */
    g_autofree uint8_t *src = g_malloc(len), *dst = g_malloc0(len);

    NEEDS_DISK(d);
    g_assert_cmpint(truncate(d->path, 4u << 20), ==, 0);
    disk_reopen(d, ",format=raw");
    fill(src, len, 2);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 300, src, len), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 300, dst, len), ==, 0);
    g_assert_cmpmem(dst, len, src, len);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE_ZEROES, 700, NULL, len - 600), ==, 0);
    memset(src + 400, 0, len - 600);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 300, dst, len), ==, 0);
    g_assert_cmpmem(dst, len, src, len);
}

static void test_discard(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *buf = g_malloc(SIZE);

    NEEDS_DISK(d);
    memset(buf, 0xaa, SIZE);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 0, buf, SIZE), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_DISCARD, 1000, NULL, 100000), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 0, buf, SIZE), ==, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        bool inside = i >= 1000 && i < 101000;

        g_assert_true(buf[i] == 0xaa || (inside && buf[i] == 0));
    }
}

/* By sector, whether it is told to read as zeros. */
static void read_status(Disk *d, uint64_t begin, bool zero[SIZE / 512])
{
    for (uint64_t at = begin; at < SIZE;) {
        Req r = { 0 };
        unsigned pending = 1;

        r.pending = &pending;
        req_submit(d->node, &r, BLOCK_STATUS, at, NULL, SIZE - at, 0);
        wait_zero(d->loop, &pending);
        g_assert_cmpint(r.req.res, ==, 0);
        g_assert_cmphex(r.req.status & BLOCK_ALLOCATED, ==, BLOCK_ALLOCATED);
        g_assert_cmpuint(r.req.known, >, 0);
        g_assert_cmpuint(r.req.known, <=, SIZE - at);
        for (uint64_t end = at + r.req.known; at < end; at++) {
            zero[at / 512] = r.req.status & BLOCK_ZERO;
        }
    }
}

/* Holes of a sparse file, as far as its file system tells: never where there is data. */
static void test_status(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    const unsigned begin = SIZE / 2, end = begin + 65536;
    g_autofree uint8_t *buf = g_malloc(end - begin);
    int fd = open(d->path, O_RDONLY | O_CLOEXEC);
    bool holes = lseek(fd, 0, SEEK_DATA) < 0, zero[SIZE / 512];

    close(fd);
    NEEDS_DISK(d);
    read_status(d, 0, zero);
    g_assert_cmpint(zero[0], ==, holes);
    g_assert_cmpint(zero[SIZE / 512 - 1], ==, holes);
    fill(buf, end - begin, 5);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, begin, buf, end - begin), ==, 0);
    read_status(d, 0, zero);
    for (unsigned i = begin / 512; i < end / 512; i++) {
        g_assert_false(zero[i]);
    }
    g_assert_cmpint(zero[0], ==, holes);
    g_assert_cmpint(zero[SIZE / 512 - 1], ==, holes);
    read_status(d, begin + 512, zero); /* from the midst of what is written */
    g_assert_false(zero[begin / 512 + 1]);
    g_assert_cmpint(zero[SIZE / 512 - 1], ==, holes);
    g_assert_cmpint(do_io(d->node, BLOCK_DISCARD, begin, NULL, end - begin), ==, 0);
    read_status(d, 0, zero);
    g_assert_cmpint(zero[begin / 512], ==, holes);
}

static void test_end_of_file(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *src = g_malloc(SIZE), *dst = g_malloc(SIZE);
    struct stat st;

    NEEDS_DISK(d);
    fill(src, SIZE, 3);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 0, src, SIZE), ==, 0);
    /* cut under us */
    g_assert_cmpint(truncate(d->path, 5000), ==, 0);
    memset(src + 5000, 0, SIZE - 5000);
    memset(dst, 0xee, SIZE);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 0, dst, SIZE), ==, 0);
    g_assert_cmpmem(dst, SIZE, src, SIZE);
    memset(dst, 0xee, SIZE);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 100000, dst, 10000), ==, 0);
    g_assert_cmpmem(dst, 10000, src + 100000, 10000);

    /* an image that ends within a sector; with an alignment of 4096 the page cache serves it */
    disk_reopen(d, ",format=raw");
    g_assert_cmpuint(d->node->size, ==, 5120);
    if (d->v->align) {
        return; /* forced, so it would grow to a whole block */
    }
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 4608, dst, 512), ==, 0);
    g_assert_cmpmem(dst, 512, src + 4608, 512);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 4608, dst, 512), ==, 0);
    g_assert_cmpint(stat(d->path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 5120);
}

/* --- what needs no data --- */

static void test_bounds(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    static uint8_t buf[8192];

    NEEDS_DISK(d);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, SIZE, buf, 1), ==, -EIO);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, SIZE - 1, buf, 2), ==, -EIO);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, UINT64_MAX - 10, buf, 100), ==, -EIO);
    g_assert_cmpint(do_io(d->node, BLOCK_DISCARD, 0, NULL, SIZE + 1), ==, -EIO);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, SIZE - 1, buf, 1), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, SIZE, NULL, 0), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 0, NULL, 0), ==, 0);

    disk_reopen(d, ",format=raw,read-only=on");
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 0, buf, 512), ==, -EROFS);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE_ZEROES, 0, NULL, 512), ==, -EROFS);
    g_assert_cmpint(do_io(d->node, BLOCK_DISCARD, 0, NULL, 512), ==, -EROFS);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 0, buf, 512), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
}

static uint32_t how_of(Disk *d, BlockOp op, uint32_t flags)
{
    static uint8_t buf[4096];
    unsigned pending = 1;
    Req r = { .pending = &pending };

    req_submit(d->node, &r, op, 0, op == BLOCK_WRITE ? buf : NULL, sizeof(buf), flags);
    wait_zero(d->loop, &pending);
    g_assert_cmpint(r.req.res, ==, 0);
    return r.req.how;
}

/* What was just written is in the page cache: parts that go to different places. With O_DIRECT, and
 * beyond the end, there's nothing to be had. */
static void test_read_now(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *src = g_malloc(SIZE), *dst = g_malloc0(SIZE);
    struct iovec iov[] = { { dst + 8000, 3000 }, { dst, 7000 } };
    size_t n;

    if (!d->node) {
        return;
    }
    for (unsigned i = 0; i < SIZE; i++) {
        src[i] = i * 7 + i / 251;
    }
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 0, src, SIZE), ==, 0);
    disk_reopen(d, ",format=raw,offset=4096");
    g_assert_cmpuint(block_read_now(d->node, SIZE - 4096 - 9999, iov, 2), ==, 0);
    g_assert_cmpuint(block_read_now(d->node, UINT64_MAX - 100, iov, 2), ==, 0);
    n = block_read_now(d->node, 5001, iov, 2);
    if (d->v->direct || d->v->align) {
        g_assert_true(block_never_reads_now(d->node));
        g_assert_cmpuint(n, ==, 0);
    } else if (n == 0) {
        g_test_skip("the file system has no RWF_NOWAIT");
    } else {
        g_assert_cmpuint(n, ==, 10000);
        g_assert_cmpmem(dst + 8000, 3000, src + 4096 + 5001, 3000);
        g_assert_cmpmem(dst, 7000, src + 4096 + 8001, 7000);
        g_assert_cmpuint(d->node->stats.bytes[BLOCK_READ], ==, n);
    }
}

static void test_fua(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    NEEDS_DISK(d);
    g_assert_cmpuint(how_of(d, BLOCK_WRITE, 0), ==, 0);
    g_assert_cmpuint(how_of(d, BLOCK_WRITE, BLOCK_FUA), ==, BLOCK_FUA);
    g_assert_cmpuint(how_of(d, BLOCK_WRITE_ZEROES, BLOCK_FUA | BLOCK_MAY_UNMAP), ==,
                     BLOCK_FUA | BLOCK_MAY_UNMAP);
    d->node->write_cache = false;
    g_assert_cmpuint(how_of(d, BLOCK_WRITE, 0), ==, BLOCK_FUA);
    g_assert_cmpuint(how_of(d, BLOCK_WRITE_ZEROES, 0), ==, BLOCK_FUA);
    d->node->no_flush = true;
    g_assert_cmpuint(how_of(d, BLOCK_WRITE, BLOCK_FUA), ==, 0);
    d->node->can_discard = false;
    g_assert_cmpuint(how_of(d, BLOCK_WRITE_ZEROES, BLOCK_MAY_UNMAP), ==, 0);
}

static void test_probed(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    static uint8_t buf[4096];

    NEEDS_DISK(d);
    disk_reopen(d, "");
    g_assert_true(d->node->probed);
    if (d->v->align) {
        d->node->align = d->v->align;
    }
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 0, buf, 4096), ==, 0);
    memcpy(buf, "QFI\xfb\0\0\0\2", 8);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 0, buf, 4096), ==, -EPERM);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 0, buf, 512), ==, -EPERM);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 0, buf, 4), ==, -EPERM);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE_ZEROES, 3, NULL, 1), ==, -EPERM);
    g_assert_cmpint(do_io(d->node, BLOCK_DISCARD, 3, NULL, 1000), ==, -EPERM);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 512, buf, 512), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE_ZEROES, 0, NULL, 512), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 0, buf, 512), ==, 0);
    for (unsigned i = 0; i < 512; i++) {
        g_assert_cmpuint(buf[i], ==, 0);
    }
}

/* --- refusals of the kernel --- */

static void test_no_space(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *mem = g_malloc0(SIZE);
    struct rlimit old, small;

    NEEDS_DISK(d);
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &old), ==, 0);
    small = (struct rlimit){ .rlim_cur = 64 << 10, .rlim_max = old.rlim_max };
    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 0, mem, 32 << 10), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 128 << 10, mem, 4096), ==, -EFBIG);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE, 60 << 10, mem, 8192), ==, -EFBIG);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 128 << 10, mem, 4096), ==, 0);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &old), ==, 0);
    signal(SIGXFSZ, SIG_DFL);
}

/* Without a free descriptor there is no ring; the threads engine needs none. */
static void test_fallback(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    static uint8_t buf[4096];
    g_autoptr(GError) err = NULL;
    struct rlimit old, none;
    int next;

    NEEDS_DISK(d);
    block_detach(d->node);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
    next = dup(0);
    close(next);
    none = (struct rlimit){ .rlim_cur = next, .rlim_max = old.rlim_max };
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    g_assert_true(block_attach(d->node, d->loop, &err));
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, 0);
}

/* --- buffers --- */

static void test_buffers(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    static const size_t sizes[] = { 1, 4096, 4097, 65536, 100000, 4u << 20, (4u << 20) + 1 };
    void *bufs[G_N_ELEMENTS(sizes)];
    void *again;

    NEEDS_DISK(d);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
            bufs[i] = block_buffer_get(d->node, sizes[i]);
            g_assert_nonnull(bufs[i]);
            g_assert_cmpuint((uintptr_t)bufs[i] % 4096, ==, 0);
            memset(bufs[i], 0x55, sizes[i]);
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
            block_buffer_put(d->node, bufs[i], sizes[i]);
        }
    }
    bufs[0] = block_buffer_get(d->node, 70000);
    block_buffer_put(d->node, bufs[0], 70000);
    again = block_buffer_get(d->node, 131072);
    g_assert_true(again == bufs[0]);
    block_buffer_put(d->node, again, 131072);
}

/* --- a block device --- */

static int loop_device(const char *path, char **device)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    int backing = open(path, O_RDWR | O_CLOEXEC);
    int fd = -1;

    if (number >= 0) {
        *device = g_strdup_printf("/dev/loop%d", number);
        fd = open(*device, O_RDWR | O_CLOEXEC);
    }
    if (fd >= 0 && ioctl(fd, LOOP_SET_FD, backing) < 0) {
        close(fd);
        fd = -1;
    }
    close(backing);
    close(control);
    return fd;
}

static void test_host_device(Disk *d, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *src = g_malloc(SIZE), *dst = g_malloc0(SIZE);
    g_autofree char *device = NULL;
    int fd;

    NEEDS_DISK(d);
    fd = loop_device(d->path, &device);
    if (fd < 0) {
        g_test_skip("no loop device to be had");
        return;
    }
    block_detach(d->node);
    block_graph_free(d->graph);
    d->graph = block_graph_new(all_drivers, all_engines);
    d->node = disk_open(d, device, ",format=raw");
    g_assert_cmpstr(d->node->file->driver->name, ==, "host_device");
    g_assert_cmpuint(d->node->size, ==, SIZE);
    fill(src, SIZE, 5);
    g_assert_cmpint(do_io_flags(d->node, BLOCK_WRITE, 0, src, SIZE, BLOCK_FUA), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE_ZEROES, 4096, NULL, 8192), ==, 0);
    memset(src + 4096, 0, 8192);
    g_assert_cmpint(do_io(d->node, BLOCK_WRITE_ZEROES, 20000, NULL, 1000), ==, 0);
    memset(src + 20000, 0, 1000);
    g_assert_cmpint(do_io(d->node, BLOCK_DISCARD, 100, NULL, 300), ==, 0); /* no whole sector */
    g_assert_cmpint(do_io(d->node, BLOCK_DISCARD, 65000, NULL, 9000), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    g_assert_cmpint(do_io(d->node, BLOCK_READ, 0, dst, SIZE), ==, 0);
    g_assert_cmpmem(dst, 65000, src, 65000);
    g_assert_cmpmem(dst + 74000, SIZE - 74000, src + 74000, SIZE - 74000);
    drain(d->node);
    block_detach(g_steal_pointer(&d->node));
    block_graph_free(d->graph);
    d->graph = block_graph_new(all_drivers, all_engines);
    ioctl(fd, LOOP_CLR_FD, 0);
    close(fd);
}

int main(int argc, char **argv)
{
    static const Case cases[] = {
        { "random", test_random },
        { "rmw-neighbours", test_rmw_neighbours },
        { "many-parts", test_many_parts },
        { "large", test_large },
        { "discard", test_discard },
        { "status", test_status },
        { "end-of-file", test_end_of_file },
        { "bounds", test_bounds },
        { "read-now", test_read_now },
        { "fua", test_fua },
        { "probed", test_probed },
        { "no-space", test_no_space },
        { "fallback", test_fallback },
        { "buffers", test_buffers },
        { "host-device", test_host_device },
    };

    return run_cases(argc, argv, cases, G_N_ELEMENTS(cases));
}
