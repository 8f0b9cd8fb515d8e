/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory-sync: what a memory map becomes on the wire. One thread; the test is the remote.
 */
#include "hw/proxy/memory-sync.h"
#include "remote/mpqemu-proto.h"
#include "util/fd.h"
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE UINT64_C(0x1000)

typedef struct Fixture {
    Loop *loop;
    ProxyClient client;
    MemoryMap *map;
    MemorySync sync;
    int peer;
    int ram, other; /* files */
    unsigned n;     /* of the last message */
    MpqSysmem got;
    int fds[MPQ_MAX_REGIONS];
} Fixture;

static void on_lost(void *opaque G_GNUC_UNUSED, const char *why G_GNUC_UNUSED)
{
}

static void on_answered(void *opaque G_GNUC_UNUSED, const ProxyReply *reply G_GNUC_UNUSED)
{
}

static const ProxyLinkOps ops = { .lost = on_lost, .answered = on_answered };

static int new_file(void)
{
    int fd = memfd_create("ram", MFD_CLOEXEC);

    g_assert_cmpint(ftruncate(fd, 64 * PAGE), ==, 0);
    return fd;
}

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    int sv[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    f->loop = loop_new("test", NULL);
    f->peer = sv[1];
    proxy_client_init(&f->client, PROXY_MPQEMU, f->loop, "test", 1000, &ops, f);
    g_assert_cmpint(proxy_link_open(&f->client.link, sv[0]), ==, 0);
    f->map = memory_map_new();
    f->ram = new_file();
    f->other = new_file();
}

static void forget(Fixture *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        fd_clear(&f->fds[i]);
    }
    f->n = 0;
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    forget(f);
    memory_sync_fini(&f->sync);
    memory_map_free(f->map);
    proxy_link_close(&f->client.link);
    fd_clear(&f->peer);
    fd_clear(&f->ram);
    fd_clear(&f->other);
    loop_free(f->loop);
}

static void start(Fixture *f)
{
    memory_sync_init(&f->sync, &f->client, f->map);
}

static void add_kind(Fixture *f, MemoryKind kind, uint64_t addr, uint64_t size, int fd,
                     uint64_t offset)
{
    MemorySection section = {
        .addr = addr,
        .size = size,
        .kind = kind,
        .host = (uint8_t *)0x100000000 + (fd < 0 ? addr : 0x1000000 * (uint64_t)fd + offset),
        .fd = fd,
        .fd_offset = offset,
    };

    g_assert_true(memory_map_add(f->map, &section));
}

static void add(Fixture *f, uint64_t addr, uint64_t size, int fd, uint64_t offset)
{
    add_kind(f, MEMORY_RAM, addr, size, fd, offset);
}

static void nothing_sent(Fixture *f)
{
    char byte;

    g_assert_cmpint(recv(f->peer, &byte, 1, MSG_DONTWAIT), ==, -1);
}

/* Exactly one message is there: takes it. */
static void take(Fixture *f)
{
    struct {
        MpqHeader header;
        MpqSysmem map;
    } msg;
    char control[CMSG_SPACE(sizeof(f->fds))];
    struct iovec iov = { .iov_base = &msg, .iov_len = sizeof(msg) };
    struct msghdr hdr = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };

    forget(f);
    g_assert_cmpint(recvmsg(f->peer, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), ==, sizeof(msg));
    g_assert_cmpint(msg.header.cmd, ==, MPQ_SYNC_SYSMEM);
    g_assert_cmpuint(msg.header.size, ==, sizeof(MpqSysmem));
    f->n = (CMSG_FIRSTHDR(&hdr)->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(f->fds, CMSG_DATA(CMSG_FIRSTHDR(&hdr)), f->n * sizeof(int));
    f->got = msg.map;
    nothing_sent(f);
}

static void region_is(Fixture *f, unsigned i, uint64_t gpa, uint64_t size, uint64_t offset)
{
    g_assert_cmpuint(i, <, f->n);
    g_assert_cmphex(f->got.gpa[i], ==, gpa);
    g_assert_cmphex(f->got.size[i], ==, size);
    g_assert_cmphex((uint64_t)f->got.offset[i], ==, offset);
}

static void test_start(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    add(f, 0, 16 * PAGE, f->ram, 0);
    start(f);
    take(f);
    g_assert_cmpuint(f->n, ==, 1);
    region_is(f, 0, 0, 16 * PAGE, 0);
    for (unsigned i = 1; i < MPQ_MAX_REGIONS; i++) {
        g_assert_cmphex(f->got.gpa[i] | f->got.size[i] | (uint64_t)f->got.offset[i], ==, 0);
    }
}

static void test_change(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    add(f, 0, 16 * PAGE, f->ram, 0);
    start(f);
    take(f);
    memory_map_begin(f->map);
    add(f, 32 * PAGE, PAGE, f->ram, 32 * PAGE);
    nothing_sent(f);
    add(f, 40 * PAGE, PAGE, f->other, PAGE);
    memory_map_commit(f->map);
    take(f);
    g_assert_cmpuint(f->n, ==, 3);
    region_is(f, 1, 32 * PAGE, PAGE, 32 * PAGE);
    region_is(f, 2, 40 * PAGE, PAGE, PAGE);
}

/* The same map is not sent twice, whatever else has changed. */
static void test_same(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const MmioOps mmio_ops;

    add(f, 0, 16 * PAGE, f->ram, 0);
    start(f);
    take(f);
    memory_map_begin(f->map);
    memory_map_commit(f->map);
    nothing_sent(f);
    MemorySection mmio = {
        .addr = 32 * PAGE, .size = PAGE, .kind = MEMORY_MMIO, .fd = -1, .ops = &mmio_ops
    };
    g_assert_true(memory_map_add(f->map, &mmio));
    nothing_sent(f);
    add_kind(f, MEMORY_ROM, 40 * PAGE, PAGE, -1, 0);
    nothing_sent(f);
}

/* The same numbers, but another file under the descriptor. */
static void test_other_file(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    add(f, 0, 16 * PAGE, f->ram, 0);
    start(f);
    take(f);
    memory_map_begin(f->map);
    g_assert_true(memory_map_del(f->map, 0, 16 * PAGE, 0));
    g_assert_cmpint(dup2(f->other, f->ram), ==, f->ram);
    add(f, 0, 16 * PAGE, f->ram, 0);
    memory_map_commit(f->map);
    take(f);
    region_is(f, 0, 0, 16 * PAGE, 0);
}

static void test_merge(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    add(f, 0, PAGE, f->ram, 0);
    add(f, PAGE, PAGE, f->ram, PAGE);           /* continues */
    add(f, 2 * PAGE, PAGE, f->ram, 3 * PAGE);   /* not in the file */
    add(f, 3 * PAGE, PAGE, f->other, 4 * PAGE); /* another file */
    add(f, 5 * PAGE, PAGE, f->other, 5 * PAGE); /* not in the guest */
    add(f, 6 * PAGE, 2 * PAGE, f->other, 6 * PAGE);
    start(f);
    take(f);
    g_assert_cmpuint(f->n, ==, 4);
    region_is(f, 0, 0, 2 * PAGE, 0);
    region_is(f, 1, 2 * PAGE, PAGE, 3 * PAGE);
    region_is(f, 2, 3 * PAGE, PAGE, 4 * PAGE);
    region_is(f, 3, 5 * PAGE, 3 * PAGE, 5 * PAGE);
}

/* Two sections that the map itself can't put together: only the file says that they are one. */
static void test_merge_by_file(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MemorySection low = { .size = PAGE, .host = (uint8_t *)0x10000, .fd = f->ram };
    MemorySection high = {
        .addr = PAGE, .size = PAGE, .host = (uint8_t *)0x900000, .fd = f->ram, .fd_offset = PAGE
    };

    g_assert_true(memory_map_add(f->map, &low));
    g_assert_true(memory_map_add(f->map, &high));
    start(f);
    take(f);
    g_assert_cmpuint(f->n, ==, 1);
    region_is(f, 0, 0, 2 * PAGE, 0);
}

static void test_left_out(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    add(f, 0, PAGE, f->ram, 0);
    add_kind(f, MEMORY_ROM, 2 * PAGE, PAGE, -1, 0);
    add_kind(f, MEMORY_ROM, 3 * PAGE, PAGE, f->other, 0);
    add(f, 5 * PAGE, PAGE, -1, 0);
    add(f, 7 * PAGE, PAGE, f->ram, 7 * PAGE);
    start(f);
    take(f);
    g_assert_cmpuint(f->n, ==, 2);
    region_is(f, 0, 0, PAGE, 0);
    region_is(f, 1, 7 * PAGE, PAGE, 7 * PAGE);
}

/* ROM on top of RAM cuts it in two. */
static void test_cut(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MemorySection rom = { .addr = 4 * PAGE,
                          .size = 2 * PAGE,
                          .kind = MEMORY_ROM,
                          .host = (uint8_t *)0x20000,
                          .fd = -1,
                          .priority = 1 };

    add(f, 0, 16 * PAGE, f->ram, 0);
    start(f);
    take(f);
    g_assert_true(memory_map_add(f->map, &rom));
    take(f);
    g_assert_cmpuint(f->n, ==, 2);
    region_is(f, 0, 0, 4 * PAGE, 0);
    region_is(f, 1, 6 * PAGE, 10 * PAGE, 6 * PAGE);
    g_assert_true(memory_map_del(f->map, 4 * PAGE, 2 * PAGE, 1));
    take(f);
    g_assert_cmpuint(f->n, ==, 1);
}

static void add_n(Fixture *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        add(f, i * 2 * PAGE, PAGE, f->ram, i * PAGE);
    }
}

static void test_eight(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    add_n(f, 8);
    start(f);
    take(f);
    g_assert_cmpuint(f->n, ==, 8);
    region_is(f, 7, 14 * PAGE, PAGE, 7 * PAGE);
}

static void test_nine(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    add_n(f, 9);
    start(f);
    nothing_sent(f);
    /* one less: sent again */
    g_assert_true(memory_map_del(f->map, 0, PAGE, 0));
    take(f);
    g_assert_cmpuint(f->n, ==, 8);
    /* one more, and less again: the remote has it still */
    add(f, 0, PAGE, f->ram, 0);
    nothing_sent(f);
    g_assert_true(memory_map_del(f->map, 0, PAGE, 0));
    nothing_sent(f);
}

/* Many sections that are eight regions. */
static void test_nine_merged(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    add_n(f, 8);
    add(f, 15 * PAGE, PAGE, f->ram, 8 * PAGE);
    start(f);
    take(f);
    g_assert_cmpuint(f->n, ==, 8);
    region_is(f, 7, 14 * PAGE, 2 * PAGE, 7 * PAGE);
}

static void test_empty(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    start(f);
    nothing_sent(f);
    add(f, 0, PAGE, f->ram, 0);
    take(f);
    g_assert_true(memory_map_del(f->map, 0, PAGE, 0));
    nothing_sent(f);
}

/* Changes while there is no remote are there when it comes. */
static void test_again(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    int sv[2];

    add(f, 0, PAGE, f->ram, 0);
    start(f);
    take(f);
    proxy_link_close(&f->client.link);
    fd_clear(&f->peer);
    add(f, 2 * PAGE, PAGE, f->ram, 2 * PAGE);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    f->peer = sv[1];
    g_assert_cmpint(proxy_link_open(&f->client.link, sv[0]), ==, 0);
    g_assert_true(memory_sync_again(&f->sync));
    take(f);
    g_assert_cmpuint(f->n, ==, 2);
}

static void test_no_map(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    memory_sync_init(&f->sync, &f->client, NULL);
    g_assert_true(memory_sync_again(&f->sync));
    nothing_sent(f);
}

#define ADD(name, test) g_test_add("/memory-sync/" name, Fixture, NULL, setup, test, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("start", test_start);
    ADD("change", test_change);
    ADD("same", test_same);
    ADD("other-file", test_other_file);
    ADD("merge", test_merge);
    ADD("merge-by-file", test_merge_by_file);
    ADD("left-out", test_left_out);
    ADD("cut", test_cut);
    ADD("eight", test_eight);
    ADD("nine", test_nine);
    ADD("nine-merged", test_nine_merged);
    ADD("empty", test_empty);
    ADD("again", test_again);
    ADD("no-map", test_no_map);
    return g_test_run();
}
