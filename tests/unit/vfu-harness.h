/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vfio-user server over a socketpair, with its machine and the fake function of fake-pci.h under
 * it, all on the test's thread; the test is the client. Messages go out with vfu_put*(), which let
 * the server do all it can, and answers are taken with vfu_take*().
 */
#ifndef TESTS_VFU_HARNESS_H
#define TESTS_VFU_HARNESS_H

#include "fake-pci.h"
#include "remote/vfio-user-internal.h"

#define PAGE 4096u
#define FAKE_IDS 0x56781234u
#define VFU_ROOM (64 * 1024)

typedef struct Vfu {
    Loop *loop;
    FakePci *fake;
    PciDevOps ops; /* of fake; may be changed before vfu_start() */
    RemoteMachine *m;
    VfioUserServer *server;
    int peer;
    uint16_t id; /* of the last request */
    unsigned ended;
    bool violation;
    unsigned fds; /* of the process before vfu_start() */
    VfuHeader reply;
    uint8_t data[VFU_ROOM] __attribute__((aligned(8))); /* of the last answer */
    size_t len;
    int fd; /* that came with it; -1: none. The harness closes it. */
} Vfu;

/* Everything but the machine; then the machine and a connected client without VERSION. */
void vfu_init(Vfu *v);
void vfu_start(Vfu *v);
/* Another client for the same machine, after the last one's end. */
void vfu_connect(Vfu *v);
/* Hangs up, lets the server end, frees it all; checks that no descriptor is left. */
void vfu_fini(Vfu *v);
/* For g_test_add(): vfu_init(), vfu_start(), VERSION; vfu_fini(). */
void vfu_setup(Vfu *v, gconstpointer data);
void vfu_setup_silent(Vfu *v, gconstpointer data); /* without VERSION */
void vfu_teardown(Vfu *v, gconstpointer data);
void vfu_settle(Vfu *v);
unsigned vfu_open_fds(void);

/* Puts a message into buf; returns its length. */
size_t vfu_build(Vfu *v, uint8_t *buf, unsigned cmd, uint32_t flags, const void *payload,
                 size_t len);
void vfu_put_raw(Vfu *v, const void *bytes, size_t len, const int *fds, unsigned nfds);
void vfu_put(Vfu *v, unsigned cmd, uint32_t flags, const void *payload, size_t len, const int *fds,
             unsigned nfds);
/* The next answer there is: false, if there is none. */
bool vfu_receive(Vfu *v);
/* The answer to the last request: no error and a payload of len bytes. */
const void *vfu_take(Vfu *v, size_t len);
/* The answer is a bare header with this errno. */
void vfu_take_error(Vfu *v, int err);
void vfu_take_nothing(Vfu *v);
/* Request and answer; err 0: an answer of reply bytes. */
const void *vfu_ask(Vfu *v, unsigned cmd, const void *payload, size_t len, size_t reply);
void vfu_ask_error(Vfu *v, unsigned cmd, const void *payload, size_t len, int err);

void vfu_version(Vfu *v, const char *json); /* NULL: none */
#define VFU_QEMU_VERSION                                                                           \
    "{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \"max_dma_maps\": 65535, "        \
    "\"max_data_xfer_size\": 1048576, \"migration\": {\"max_bitmap_size\": 268435456, "            \
    "\"pgsize\": 4096}, \"write_multiple\": true}}"
uint64_t vfu_read(Vfu *v, uint32_t region, uint64_t off, unsigned size);
void vfu_write(Vfu *v, uint32_t region, uint64_t off, uint64_t value, unsigned size);
void vfu_post(Vfu *v, uint32_t region, uint64_t off, uint64_t value, unsigned size);
/* Puts such a message into buf. */
size_t vfu_build_write(Vfu *v, uint8_t *buf, uint32_t flags, uint32_t region, uint64_t off,
                       uint64_t value, unsigned size);
/* SET_IRQS; its answer is left to the caller. */
void vfu_put_irqs(Vfu *v, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                  const int *fds, unsigned nfds);
void vfu_set_irqs(Vfu *v, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                  const int *fds, unsigned nfds);
int vfu_ram(unsigned pages); /* a memfd */
void vfu_map(Vfu *v, uint64_t iova, uint64_t size, int fd, uint64_t offset);
/* The connection works. */
bool vfu_alive(Vfu *v);

#endif
