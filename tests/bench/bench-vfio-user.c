/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's half of vfio-user, for the bench: see bench-link.h. Register writes are posted, as
 * QEMU does when the server's VERSION agrees to it; INTx is unmasked by the eventfd that KVM
 * signals at the guest's EOI.
 */
#include "bench-client.h"
#include "bench-link.h"
#include "remote/vfio-user-proto.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { MAX_DATA = 256 }; /* of one message */

typedef struct Frame {
    VfuHeader header;
    uint8_t payload[MAX_DATA];
} Frame;

/* `fd` goes along if it isn't -1. */
static void send_request(BenchLink *link, VfuCmd cmd, uint32_t flags, Frame *frame, size_t len,
                         int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };

    frame->header = (VfuHeader){
        .id = link->id++,
        .cmd = cmd,
        .size = sizeof(VfuHeader) + len,
        .flags = flags,
    };
    struct iovec iov = { frame, frame->header.size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        *c = (struct cmsghdr){ CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS };
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    if (sendmsg(link->sock, &msg, MSG_NOSIGNAL) != (ssize_t)frame->header.size) {
        bench_die("command %d: can't be sent: %s", cmd, strerror(errno));
    }
}

/* Header and payload in one receive, as replies come whole. */
static void receive_reply(BenchLink *link, VfuCmd cmd, Frame *frame, size_t len)
{
    bench_receive(link->sock, frame, sizeof(frame->header) + len);
    if (frame->header.cmd != cmd || frame->header.flags != VFU_TYPE_REPLY ||
        frame->header.size != sizeof(frame->header) + len) {
        bench_die("command %d: reply with flags %#x, size %u, error %u", cmd, frame->header.flags,
                  frame->header.size, frame->header.error);
    }
}

static void negotiate(BenchLink *link)
{
    static const char wanted[] = "{\"capabilities\":{\"max_msg_fds\":16}}";
    const VfuVersion version = { 0, 0 };
    Frame frame;

    memcpy(frame.payload, &version, sizeof(version));
    memcpy(frame.payload + sizeof(version), wanted, sizeof(wanted));
    send_request(link, VFU_VERSION, 0, &frame, sizeof(version) + sizeof(wanted), -1);
    bench_receive(link->sock, &frame.header, sizeof(frame.header));
    if (frame.header.flags != VFU_TYPE_REPLY || frame.header.size > sizeof(frame) ||
        frame.header.size < sizeof(frame.header)) {
        bench_die("VERSION: reply with flags %#x, size %u", frame.header.flags, frame.header.size);
    }
    bench_receive(link->sock, frame.payload, frame.header.size - sizeof(frame.header));
}

static uint64_t region_read(BenchLink *link, uint32_t region, uint64_t offset, uint32_t count)
{
    VfuRegionAccess access = { .offset = offset, .region = region, .count = count };
    uint32_t value = 0;
    Frame frame;

    memcpy(frame.payload, &access, sizeof(access));
    send_request(link, VFU_REGION_READ, 0, &frame, sizeof(access), -1);
    receive_reply(link, VFU_REGION_READ, &frame, sizeof(access) + count);
    memcpy(&value, frame.payload + sizeof(access), count);
    return value;
}

static void region_write(BenchLink *link, uint32_t region, uint64_t offset, uint32_t count,
                         uint64_t value, bool posted)
{
    VfuRegionAccess access = { .offset = offset, .region = region, .count = count };
    Frame frame;

    memcpy(frame.payload, &access, sizeof(access));
    memcpy(frame.payload + sizeof(access), &value, count);
    send_request(link, VFU_REGION_WRITE, posted ? VFU_NO_REPLY : 0, &frame, sizeof(access) + count,
                 -1);
    if (!posted) {
        receive_reply(link, VFU_REGION_WRITE, &frame, sizeof(access));
    }
}

static uint64_t cfg_read(BenchLink *link, uint32_t addr, uint32_t size)
{
    return region_read(link, VFU_REGION_CONFIG, addr, size);
}

static void cfg_write(BenchLink *link, uint32_t addr, uint32_t value, uint32_t size)
{
    region_write(link, VFU_REGION_CONFIG, addr, size, value, false);
}

static uint64_t bar_read(BenchLink *link, unsigned bar, uint32_t off, uint32_t size)
{
    return region_read(link, bar, off, size);
}

static void bar_write(BenchLink *link, unsigned bar, uint32_t off, uint64_t value, uint32_t size)
{
    region_write(link, bar, off, size, value, true);
}

/* What is mapped goes, then come the pieces. */
static void map(BenchLink *link, unsigned regions)
{
    const uint64_t size = link->ram_size / regions & ~UINT64_C(0xfff);
    const VfuDmaUnmap all = { .argsz = sizeof(all), .flags = VFU_DMA_UNMAP_ALL };
    Frame frame;

    memcpy(frame.payload, &all, sizeof(all));
    send_request(link, VFU_DMA_UNMAP, 0, &frame, sizeof(all), -1);
    receive_reply(link, VFU_DMA_UNMAP, &frame, sizeof(all));
    for (unsigned i = 0; i < regions; i++) {
        VfuDmaMap map = {
            .argsz = sizeof(map),
            .flags = VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE,
            .offset = i * size,
            .iova = i * size,
            .size = i + 1 < regions ? size : link->ram_size - i * size,
        };
        memcpy(frame.payload, &map, sizeof(map));
        send_request(link, VFU_DMA_MAP, 0, &frame, sizeof(map), link->ram_fd);
        receive_reply(link, VFU_DMA_MAP, &frame, 0);
    }
}

static void set_eventfd(BenchLink *link, uint32_t action, int fd)
{
    const VfuIrqSet set = {
        .argsz = sizeof(set),
        .flags = VFU_IRQ_DATA_EVENTFD | action,
        .index = VFU_IRQ_INTX,
        .count = 1,
    };
    Frame frame;

    memcpy(frame.payload, &set, sizeof(set));
    send_request(link, VFU_DEVICE_SET_IRQS, 0, &frame, sizeof(set), fd);
    receive_reply(link, VFU_DEVICE_SET_IRQS, &frame, 0);
}

static void set_irq(BenchLink *link)
{
    set_eventfd(link, VFU_IRQ_TRIGGER, link->irq);
    set_eventfd(link, VFU_IRQ_UNMASK, link->resample);
}

const BenchLinkOps bench_vfio_user_ops = {
    .open = negotiate,
    .map = map,
    .set_irq = set_irq,
    .cfg_read = cfg_read,
    .cfg_write = cfg_write,
    .bar_read = bar_read,
    .bar_write = bar_write,
};
