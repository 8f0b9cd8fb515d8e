/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy's half of mpqemu, for the bench: see bench-link.h. This protocol names registers by the
 * addresses that the BARs are programmed to.
 */
#include "bench-client.h"
#include "bench-link.h"
#include "remote/mpqemu-proto.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

static uint64_t bar_addr(unsigned bar, uint32_t off)
{
    return (bar == BENCH_BAR_RAM ? BENCH_RAM_BASE : BENCH_REGS_BASE) + (uint64_t)off;
}

static void send_message(BenchLink *link, MpqCmd cmd, const void *payload, size_t size,
                         const int *fds, size_t n_fds)
{
    MpqHeader header = { .cmd = cmd, .size = size };
    struct iovec iov[] = { { &header, sizeof(header) }, { (void *)payload, size } };
    union {
        char bytes[CMSG_SPACE(sizeof(int) * MPQ_MAX_REGIONS)];
        struct cmsghdr align;
    } control;
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = size ? 2 : 1 };

    if (n_fds) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    if (sendmsg(link->sock, &msg, MSG_NOSIGNAL) != (ssize_t)(sizeof(header) + size)) {
        bench_die("command %d: can't be sent: %s", cmd, strerror(errno));
    }
}

/* Whole, as RET comes in one piece; the answer to DEVICE_RESET has no value. */
static uint64_t receive_reply(BenchLink *link)
{
    MpqRet ret = { .value = 0 };

    bench_receive(link->sock, &ret, sizeof(ret));
    if (ret.header.cmd != MPQ_RET || ret.header.size != sizeof(ret.value)) {
        bench_die("not a reply: command %d, size %" PRIu64, ret.header.cmd, ret.header.size);
    }
    return ret.value;
}

static uint64_t access_cfg(BenchLink *link, MpqCmd cmd, uint32_t addr, uint32_t value,
                           uint32_t size)
{
    MpqCfg cfg = { .addr = addr, .value = value, .len = (int32_t)size };

    send_message(link, cmd, &cfg, sizeof(cfg), NULL, 0);
    return receive_reply(link);
}

static uint64_t cfg_read(BenchLink *link, uint32_t addr, uint32_t size)
{
    return access_cfg(link, MPQ_PCI_CFGREAD, addr, 0, size);
}

static void cfg_write(BenchLink *link, uint32_t addr, uint32_t value, uint32_t size)
{
    access_cfg(link, MPQ_PCI_CFGWRITE, addr, value, size);
}

static uint64_t access_bar(BenchLink *link, MpqCmd cmd, uint64_t addr, uint64_t value,
                           uint32_t size)
{
    MpqBar bar = { .addr = addr, .value = value, .size = size, .memory = 1 };

    send_message(link, cmd, &bar, sizeof(bar), NULL, 0);
    return receive_reply(link);
}

static uint64_t bar_read(BenchLink *link, unsigned bar, uint32_t off, uint32_t size)
{
    return access_bar(link, MPQ_BAR_READ, bar_addr(bar, off), 0, size);
}

static void bar_write(BenchLink *link, unsigned bar, uint32_t off, uint64_t value, uint32_t size)
{
    access_bar(link, MPQ_BAR_WRITE, bar_addr(bar, off), value, size);
}

static void map(BenchLink *link, unsigned regions)
{
    const uint64_t size = link->ram_size / regions & ~UINT64_C(0xfff);
    MpqSysmem map = { 0 };
    int fds[BENCH_REGIONS_MAX];

    for (unsigned i = 0; i < regions; i++) {
        map.gpa[i] = i * size;
        map.offset[i] = (int64_t)(i * size);
        map.size[i] = i + 1 < regions ? size : link->ram_size - i * size;
        fds[i] = link->ram_fd;
    }
    send_message(link, MPQ_SYNC_SYSMEM, &map, sizeof(map), fds, regions);
}

static void set_irq(BenchLink *link)
{
    send_message(link, MPQ_SET_IRQFD, NULL, 0, (const int[]){ link->irq, link->resample }, 2);
}

static void open_device(BenchLink *link)
{
    MpqHeader header;

    send_message(link, MPQ_DEVICE_RESET, NULL, 0, NULL, 0);
    bench_receive(link->sock, &header, sizeof(header));
    if (header.size) {
        uint64_t value;
        bench_receive(link->sock, &value, sizeof(value));
    }
}

const BenchLinkOps bench_mpqemu_ops = {
    .open = open_device,
    .map = map,
    .set_irq = set_irq,
    .cfg_read = cfg_read,
    .cfg_write = cfg_write,
    .bar_read = bar_read,
    .bar_write = bar_write,
};
