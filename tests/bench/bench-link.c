/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See bench-link.h: what does not depend on the protocol. The protocols are bench-mpqemu.c and
 * bench-vfio-user.c.
 */
#include "bench-link.h"

#include "bench-client.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CFG_ID = 0x00, CFG_COMMAND = 0x04, CFG_BAR1 = 0x14, CFG_BAR2 = 0x18 };

static void make_ram(BenchLink *link, size_t size)
{
    link->ram_size = size;
    link->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    if (link->ram_fd < 0 || ftruncate(link->ram_fd, (off_t)size) < 0) {
        bench_die("memfd: %s", strerror(errno));
    }
    link->ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, link->ram_fd, 0);
    if (link->ram == MAP_FAILED) {
        bench_die("mmap: %s", strerror(errno));
    }
}

void bench_link_open(BenchLink *link, const BenchLinkOps *ops, int sock, size_t ram_size)
{
    *link = (BenchLink){ .ops = ops, .sock = sock };
    bench_set_silence(sock);
    make_ram(link, ram_size);
    link->irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    link->resample = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ops->open(link);
    ops->map(link, 1);
    ops->set_irq(link);
    uint64_t id = ops->cfg_read(link, CFG_ID, 4);
    if (id != 0x00121000) {
        bench_die("not a 53C895A: ids %08" PRIx64, id);
    }
    ops->cfg_write(link, CFG_BAR1, BENCH_REGS_BASE, 4);
    ops->cfg_write(link, CFG_BAR2, BENCH_RAM_BASE, 4);
    ops->cfg_write(link, CFG_COMMAND, 6, 2); /* memory, bus master */
}

void bench_link_map(BenchLink *link, unsigned regions)
{
    link->ops->map(link, regions);
}

uint64_t bench_reg_read(BenchLink *link, uint32_t reg, uint32_t size)
{
    link->reads++;
    return link->ops->bar_read(link, BENCH_BAR_REGS, reg, size);
}

void bench_reg_write(BenchLink *link, uint32_t reg, uint64_t value, uint32_t size)
{
    link->writes++;
    link->ops->bar_write(link, BENCH_BAR_REGS, reg, value, size);
}

void bench_irq_wait(BenchLink *link)
{
    struct pollfd fds[] = { { .fd = link->irq, .events = POLLIN }, { .fd = link->sock } };
    uint64_t count;

    /* of the socket, only that it has been closed */
    if (poll(fds, 2, BENCH_SILENCE * 1000) < 1 || !(fds[0].revents & POLLIN) ||
        read(link->irq, &count, sizeof(count)) != sizeof(count)) {
        bench_die("no interrupt");
    }
    link->irqs++;
}

void bench_irq_eoi(BenchLink *link)
{
    const uint64_t one = 1;

    if (write(link->resample, &one, sizeof(one)) != sizeof(one)) {
        bench_die("eventfd: %s", strerror(errno));
    }
}
