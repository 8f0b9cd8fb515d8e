/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-mpqemu's counterpart for vfio-user: plays QEMU's vfio-user-pci towards one remote process
 * that has a 53C895A, one system call to each message and one answer awaited at a time, as QEMU
 * does.
 *
 *   bench-vfio-user N PROGRAM ARGS...    N register reads; then register writes, 8 N of them with
 *                                        an answer, and 8 N posted ones
 *
 * In ARGS the word FD stands for the number of the inherited descriptor. Each line of output is a
 * name and a value: `region`, nanoseconds of one read of ISTAT0; `answered` and `posted`, writes of
 * SCRATCHA per second. The posted ones are over when a read behind them has found what the last one
 * wrote, so it is the rate at which they are done, not at which a socket takes them.
 */
#include "bench-client.h"
#include "remote/vfio-user-proto.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    BAR_MMIO = 1,
    REG_ISTAT0 = 0x14,
    REG_SCRATCHA = 0x34,
    CFG_ID = 0x00,
    CFG_COMMAND = 0x04,

    MAX_DATA = 256, /* of one message */
    CHUNK = 2000,   /* writes in one figure */
    WRITES = 8,     /* for each read */
};

typedef struct Frame {
    VfuHeader header;
    uint8_t payload[MAX_DATA];
} Frame;

typedef struct Client {
    BenchProcess process;
    uint16_t id;
} Client;

static void send_request(Client *c, VfuCmd cmd, uint32_t flags, Frame *frame, size_t len)
{
    frame->header = (VfuHeader){
        .id = c->id++,
        .cmd = cmd,
        .size = sizeof(VfuHeader) + len,
        .flags = flags,
    };
    if (send(c->process.sock, frame, frame->header.size, MSG_NOSIGNAL) !=
        (ssize_t)frame->header.size) {
        bench_die("command %d: can't be sent: %s", cmd, strerror(errno));
    }
}

/* Header and payload in one receive, as replies come whole. */
static void receive_reply(Client *c, VfuCmd cmd, Frame *frame, size_t len)
{
    bench_receive(c->process.sock, frame, sizeof(frame->header) + len);
    if (frame->header.cmd != cmd || frame->header.flags != VFU_TYPE_REPLY ||
        frame->header.size != sizeof(frame->header) + len) {
        bench_die("command %d: reply with flags %#x, size %u, error %u", cmd, frame->header.flags,
                  frame->header.size, frame->header.error);
    }
}

static void negotiate(Client *c)
{
    static const char wanted[] = "{\"capabilities\":{\"max_msg_fds\":16}}";
    const VfuVersion version = { 0, 0 };
    Frame frame;

    memcpy(frame.payload, &version, sizeof(version));
    memcpy(frame.payload + sizeof(version), wanted, sizeof(wanted));
    send_request(c, VFU_VERSION, 0, &frame, sizeof(version) + sizeof(wanted));
    bench_receive(c->process.sock, &frame.header, sizeof(frame.header));
    if (frame.header.flags != VFU_TYPE_REPLY || frame.header.size > sizeof(frame) ||
        frame.header.size < sizeof(frame.header)) {
        bench_die("VERSION: reply with flags %#x, size %u", frame.header.flags, frame.header.size);
    }
    bench_receive(c->process.sock, frame.payload, frame.header.size - sizeof(frame.header));
}

static uint32_t region_read(Client *c, uint32_t region, uint64_t offset, uint32_t count)
{
    VfuRegionAccess access = { .offset = offset, .region = region, .count = count };
    uint32_t value = 0;
    Frame frame;

    memcpy(frame.payload, &access, sizeof(access));
    send_request(c, VFU_REGION_READ, 0, &frame, sizeof(access));
    receive_reply(c, VFU_REGION_READ, &frame, sizeof(access) + count);
    memcpy(&value, frame.payload + sizeof(access), count);
    return value;
}

static void region_write(Client *c, uint32_t region, uint64_t offset, uint32_t count,
                         uint32_t value, bool posted)
{
    VfuRegionAccess access = { .offset = offset, .region = region, .count = count };
    Frame frame;

    memcpy(frame.payload, &access, sizeof(access));
    memcpy(frame.payload + sizeof(access), &value, count);
    send_request(c, VFU_REGION_WRITE, posted ? VFU_NO_REPLY : 0, &frame, sizeof(access) + count);
    if (!posted) {
        receive_reply(c, VFU_REGION_WRITE, &frame, sizeof(access));
    }
}

static void measure_reads(Client *c, long n)
{
    for (long i = 0; i < n; i++) {
        uint64_t begun = bench_now_ns();
        region_read(c, BAR_MMIO, REG_ISTAT0, 1);
        printf("region %" PRIu64 "\n", bench_now_ns() - begun);
    }
}

static void measure_writes(Client *c, long n, bool posted)
{
    for (long done = 0; done < n; done += CHUNK) {
        uint64_t begun = bench_now_ns();
        for (uint32_t i = 1; i <= CHUNK; i++) {
            region_write(c, BAR_MMIO, REG_SCRATCHA, 4, i, posted);
        }
        if (region_read(c, BAR_MMIO, REG_SCRATCHA, 4) != CHUNK) {
            bench_die("SCRATCHA does not have what was written last");
        }
        printf("%s %" PRIu64 "\n", posted ? "posted" : "answered",
               CHUNK * UINT64_C(1000000000) / (bench_now_ns() - begun));
    }
}

int main(int argc, char **argv)
{
    long n = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    Client c = { 0 };

    if (n <= 0) {
        fprintf(stderr, "usage: bench-vfio-user N PROGRAM ARGS...\n");
        return 2;
    }
    bench_spawn(&c.process, argv + 2);
    negotiate(&c);
    if (region_read(&c, VFU_REGION_CONFIG, CFG_ID, 4) != 0x00121000) {
        bench_die("not a 53C895A");
    }
    region_write(&c, VFU_REGION_CONFIG, CFG_COMMAND, 2, 6, false); /* memory, bus master */
    measure_reads(&c, n);
    measure_writes(&c, WRITES * n, false);
    measure_writes(&c, WRITES * n, true);
    bench_finish(&c.process);
    return 0;
}
