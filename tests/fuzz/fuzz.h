/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzz targets share. An input is a row of steps, each a sendmsg() of the peer:
 *
 *   u8 descriptors   low nibble: how many, high nibble: of which kind
 *   u16 len          little endian; cut at the input's end
 *   u8 bytes[len]
 *
 * After each step the server does all it can. The entry point is libFuzzer's; without libFuzzer,
 * replay.c calls it with a corpus.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "fake-pci.h"
#include "remote/machine.h"
#include "util/fd.h"
#include "util/log.h"
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define FUZZ_RAM 0x100000
#define FUZZ_STEP 3 /* bytes in front of a step's own */

typedef struct Fuzz {
    Loop *loop;
    FakePci *fake;
    int peer;
    unsigned ended;
} Fuzz;

static inline void fuzz_ended(void *opaque, bool violation G_GNUC_UNUSED)
{
    Fuzz *fuzz = opaque;

    fuzz->ended++;
}

/* The server's end of a new connection. */
static inline int fuzz_init(Fuzz *fuzz)
{
    int sv[2];

    fuzz->loop = loop_new("fuzz", NULL);
    fuzz->fake = fake_new();
    fuzz->ended = 0;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    fuzz->peer = sv[1];
    return sv[0];
}

static inline int fuzz_fd(unsigned kind)
{
    int fd;

    switch (kind) {
    case 0:
        fd = memfd_create("ram", MFD_CLOEXEC);
        g_assert_cmpint(ftruncate(fd, FUZZ_RAM), ==, 0);
        return fd;
    case 1:
        return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    case 2:
        return eventfd(1, EFD_CLOEXEC | EFD_SEMAPHORE);
    case 3:
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    default:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    }
}

static inline void fuzz_settle(Fuzz *fuzz)
{
    unsigned turns = 0;

    while (loop_turn(fuzz->loop, 0)) {
        g_assert_cmpuint(++turns, <, 10000); /* a busy loop */
    }
}

static inline bool fuzz_send(Fuzz *fuzz, const uint8_t *data, size_t len, const int *fds,
                             unsigned nfds)
{
    struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

    return fd_send(fuzz->peer, &iov, 1, fds, nfds, MSG_DONTWAIT) >= 0;
}

/* One step; the bytes of the input that it took, 0 at the end. */
static inline size_t fuzz_step(Fuzz *fuzz, const uint8_t *data, size_t size)
{
    uint8_t answers[4096];
    unsigned nfds, kind;
    size_t len;
    int fds[15] = { 0 };
    bool ok;

    if (size < FUZZ_STEP) {
        return 0;
    }
    nfds = data[0] & 0xf;
    kind = data[0] >> 4;
    len = MIN((size_t)(data[1] | data[2] << 8), size - FUZZ_STEP);
    if (len == 0) {
        return FUZZ_STEP;
    }
    for (unsigned i = 0; i < nfds; i++) {
        fds[i] = fuzz_fd(kind);
    }
    ok = fuzz_send(fuzz, data + FUZZ_STEP, len, fds, nfds);
    for (unsigned i = 0; i < nfds; i++) {
        close(fds[i]);
    }
    fuzz_settle(fuzz);
    while (recv(fuzz->peer, answers, sizeof(answers), MSG_DONTWAIT) > 0) {
        fuzz_settle(fuzz);
    }
    return ok ? FUZZ_STEP + len : 0;
}

/* All steps, then the peer hangs up; the server must have ended, once. */
static inline void fuzz_run(Fuzz *fuzz, const uint8_t *data, size_t size)
{
    size_t used;

    while (fuzz->ended == 0 && (used = fuzz_step(fuzz, data, size)) > 0) {
        data += used;
        size -= used;
    }
    fd_clear(&fuzz->peer);
    fuzz_settle(fuzz);
    g_assert_cmpuint(fuzz->ended, ==, 1);
}

static inline void fuzz_fini(Fuzz *fuzz)
{
    fake_free(fuzz->fake);
    loop_free(fuzz->loop);
}

#endif
