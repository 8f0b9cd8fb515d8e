/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An mpqemu server on a machine with the fake function, and its peer, in one thread: the test
 * writes to the socket, turns the loop, and reads what has been answered by then.
 */
#ifndef TESTS_MPQEMU_PEER_H
#define TESTS_MPQEMU_PEER_H

#include "fake-pci.h"
#include "remote/mpqemu-proto.h"
#include "remote/mpqemu.h"
#include "util/fd.h"
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096u
#define ALL_ONES UINT64_MAX

typedef struct Fixture {
    Loop *loop;
    FakePci *fake;
    RemoteMachine *m;
    MpqemuServer *server;
    int peer;
    unsigned ended;
    bool violation;
} Fixture;

static inline void on_ended(void *opaque, bool violation)
{
    Fixture *f = opaque;

    f->ended++;
    f->violation = violation;
}

static inline void connect_peer(Fixture *f)
{
    int sv[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    f->peer = sv[1];
    f->ended = 0;
    f->violation = false;
    f->server = mpqemu_server_new(f->m, sv[0], on_ended, f);
    g_assert_nonnull(f->server);
}

static inline void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->loop = loop_new("test", NULL);
    f->fake = fake_new();
    f->m = machine_new("test", f->loop, &f->fake->pci, NULL);
    g_assert_nonnull(f->m);
    connect_peer(f);
}

static inline void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    mpqemu_server_free(f->server);
    fd_clear(&f->peer);
    machine_free(f->m);
    g_assert_null(f->fake->pci.loop);
    fake_free(f->fake);
    loop_free(f->loop);
}

static inline void settle(Fixture *f)
{
    unsigned turns = 0;

    while (loop_turn(f->loop, 0)) {
        g_assert_cmpuint(++turns, <, 10000); /* a busy loop */
    }
}

/* ---- the peer ---- */

static inline void put_raw(Fixture *f, const void *bytes, size_t len, const int *fds, unsigned nfds)
{
    struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };

    g_assert_cmpint(fd_send(f->peer, &iov, 1, fds, nfds, 0), ==, len);
}

static inline size_t put_message(uint8_t *buf, int32_t cmd, const void *payload, size_t len)
{
    MpqHeader header = { .cmd = cmd, .pad = 0x5a5a5a5a, .size = len };

    memcpy(buf, &header, sizeof(header));
    if (len > 0) {
        memcpy(buf + sizeof(header), payload, len);
    }
    return sizeof(header) + len;
}

static inline void put(Fixture *f, int32_t cmd, const void *payload, size_t len, const int *fds,
                       unsigned nfds)
{
    uint8_t buf[256];

    put_raw(f, buf, put_message(buf, cmd, payload, len), fds, nfds);
    settle(f);
}

static inline void no_reply(Fixture *f)
{
    char byte;

    g_assert_cmpint(recv(f->peer, &byte, 1, MSG_DONTWAIT), ==, -1);
}

static inline uint64_t reply(Fixture *f)
{
    MpqRet ret;

    g_assert_cmpint(recv(f->peer, &ret, sizeof(ret), MSG_DONTWAIT), ==, sizeof(ret));
    g_assert_cmpint(ret.header.cmd, ==, MPQ_RET);
    g_assert_cmpuint(ret.header.pad, ==, 0);
    g_assert_cmpuint(ret.header.size, ==, 8);
    return ret.value;
}

static inline void reset_reply(Fixture *f)
{
    MpqHeader ret;

    g_assert_cmpint(recv(f->peer, &ret, sizeof(ret), MSG_DONTWAIT), ==, sizeof(ret));
    g_assert_cmpint(ret.cmd, ==, MPQ_RET);
    g_assert_cmpuint(ret.size, ==, 0);
}

static inline uint64_t cfg(Fixture *f, int32_t cmd, uint32_t addr, uint32_t value, int32_t len)
{
    MpqCfg body = { .addr = addr, .value = value, .len = len };

    put(f, cmd, &body, sizeof(body), NULL, 0);
    return reply(f);
}

static inline uint64_t bar(Fixture *f, int32_t cmd, uint64_t addr, uint64_t value, uint32_t size,
                           bool memory)
{
    MpqBar body = {
        .addr = addr, .value = value, .size = size, .memory = memory, .pad = { 1, 2, 3 }
    };

    put(f, cmd, &body, sizeof(body), NULL, 0);
    return reply(f);
}

/* I/O at 0xc000, memory at 0xfe000000. */
static inline void program(Fixture *f)
{
    g_assert_cmphex(cfg(f, MPQ_PCI_CFGWRITE, PCI_BAR0, 0xc000, 4), ==, 0);
    g_assert_cmphex(cfg(f, MPQ_PCI_CFGWRITE, PCI_BAR0 + 4, 0xfe000000, 4), ==, 0);
    g_assert_cmphex(cfg(f, MPQ_PCI_CFGWRITE, PCI_COMMAND, 7, 2), ==, 0);
}

static inline int new_ram(unsigned pages)
{
    int fd = memfd_create("ram", MFD_CLOEXEC);

    g_assert_cmpint(ftruncate(fd, pages * PAGE), ==, 0);
    return fd;
}

/* n regions of a page each, two pages apart, all of one file. */
static inline void sync_n(Fixture *f, int fd, unsigned n)
{
    MpqSysmem map = { 0 };
    int fds[MPQ_MAX_REGIONS];

    for (unsigned i = 0; i < n; i++) {
        map.gpa[i] = i * 2 * PAGE;
        map.size[i] = PAGE;
        map.offset[i] = i * PAGE;
        fds[i] = fd;
    }
    put(f, MPQ_SYNC_SYSMEM, &map, sizeof(map), fds, n);
    no_reply(f);
}

static inline unsigned open_fds(void)
{
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

static inline bool alive(Fixture *f)
{
    return f->ended == 0 && cfg(f, MPQ_PCI_CFGREAD, 0, 0, 4) == 0x56781234;
}

#endif
