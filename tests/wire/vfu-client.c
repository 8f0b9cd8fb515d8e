/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's side of vfio-user: one message after the other, blocking, with a deadline. */
#include "vfu-client.h"
#include "util/fd.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void vfuc_listen(MpqProcess *p, const char *devid, const char *path, bool auto_shutdown)
{
    g_autofree char *object =
        g_strdup_printf("x-vfio-user-server,id=vfu-%s,device=%s,type=unix,path=%s,auto-shutdown=%s",
                        devid, devid, path, auto_shutdown ? "on" : "off");

    mpq_process_args(p, "-machine", "x-remote,vfio-user=on", "-object", object, NULL);
}

VfuClient *vfuc_open(MpqProcess *p, const char *path)
{
    int64_t until = g_get_monotonic_time() + MPQ_TIMEOUT_MS * INT64_C(1000);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    VfuClient *c = g_new0(VfuClient, 1);

    g_assert_cmpuint(strlen(path), <, sizeof(addr.sun_path));
    memcpy(addr.sun_path, path, strlen(path));
    c->process = p;
    c->irqfd = c->ram_fd = -1;
    c->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (connect(c->sock, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        g_assert_true(errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN);
        if (g_get_monotonic_time() > until) {
            g_error("no listening socket; the process said:\n%s", mpq_process_output(p));
        }
        g_usleep(5000);
    }
    return c;
}

void vfuc_free(VfuClient *c)
{
    if (!c) {
        return;
    }
    if (c->ram) {
        munmap(c->ram, c->ram_size);
    }
    fd_clear(&c->sock);
    fd_clear(&c->irqfd);
    fd_clear(&c->ram_fd);
    g_free(c);
}

bool vfuc_send(VfuClient *c, unsigned cmd, uint32_t flags, const void *payload, size_t len,
               const int *fds, unsigned nfds)
{
    VfuHeader header = { .id = ++c->id, .cmd = cmd, .size = sizeof(header) + len, .flags = flags };
    struct iovec iov[] = { { &header, sizeof(header) }, { (void *)payload, len } };

    return fd_send(c->sock, iov, len > 0 ? 2 : 1, fds, nfds, 0) == (ssize_t)header.size;
}

static bool receive_bytes(VfuClient *c, void *buf, size_t len)
{
    uint8_t *at = buf;

    while (len > 0) {
        struct pollfd pfd = { .fd = c->sock, .events = POLLIN };
        ssize_t n;

        if (poll(&pfd, 1, MPQ_TIMEOUT_MS) != 1) {
            g_error("no answer; the process said:\n%s", mpq_process_output(c->process));
        }
        n = recv(c->sock, at, len, 0);
        if (n <= 0) {
            return false;
        }
        at += n;
        len -= n;
    }
    return true;
}

int vfuc_receive(VfuClient *c, size_t *len)
{
    VfuHeader header;

    if (!receive_bytes(c, &header, sizeof(header))) {
        return -1;
    }
    *len = header.size - sizeof(header);
    g_assert_cmpuint(*len, <=, sizeof(c->data));
    g_assert_true(receive_bytes(c, c->data, *len));
    g_assert_cmpuint(header.id, ==, c->id);
    g_assert_cmphex(header.flags & VFU_TYPE_MASK, ==, VFU_TYPE_REPLY);
    return header.error;
}

void vfuc_ask(VfuClient *c, unsigned cmd, const void *payload, size_t len, const int *fds,
              unsigned nfds, size_t reply)
{
    size_t got;

    g_assert_true(vfuc_send(c, cmd, 0, payload, len, fds, nfds));
    g_assert_cmpint(vfuc_receive(c, &got), ==, 0);
    g_assert_cmpuint(got, ==, reply);
}

bool vfuc_version(VfuClient *c)
{
    VfuVersion version = { 0 };
    size_t len;

    return vfuc_send(c, VFU_VERSION, 0, &version, sizeof(version), NULL, 0) &&
           vfuc_receive(c, &len) == 0;
}

uint32_t vfuc_read(VfuClient *c, uint32_t region, uint64_t off, unsigned size)
{
    VfuRegionAccess access = { off, region, size };
    uint32_t value = 0;

    vfuc_ask(c, VFU_REGION_READ, &access, sizeof(access), NULL, 0, sizeof(access) + size);
    memcpy(&value, c->data + sizeof(access), size);
    return value;
}

static size_t build_write(uint8_t *payload, uint32_t region, uint64_t off, uint32_t value,
                          unsigned size)
{
    VfuRegionAccess access = { off, region, size };

    memcpy(payload, &access, sizeof(access));
    memcpy(payload + sizeof(access), &value, sizeof(value));
    return sizeof(access) + size;
}

void vfuc_write(VfuClient *c, uint32_t region, uint64_t off, uint32_t value, unsigned size)
{
    uint8_t payload[20];
    size_t len = build_write(payload, region, off, value, size);

    vfuc_ask(c, VFU_REGION_WRITE, payload, len, NULL, 0, sizeof(VfuRegionAccess));
}

void vfuc_post(VfuClient *c, uint32_t region, uint64_t off, uint32_t value, unsigned size)
{
    uint8_t payload[20];
    size_t len = build_write(payload, region, off, value, size);

    g_assert_true(vfuc_send(c, VFU_REGION_WRITE, VFU_NO_REPLY, payload, len, NULL, 0));
}

uint8_t *vfuc_map_ram(VfuClient *c, size_t size)
{
    VfuDmaMap map = { sizeof(map), VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE, 0, 0, size };

    c->ram_fd = memfd_create("guest-ram", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(c->ram_fd, size), ==, 0);
    c->ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->ram_fd, 0);
    g_assert_true(c->ram != MAP_FAILED);
    c->ram_size = size;
    vfuc_ask(c, VFU_DMA_MAP, &map, sizeof(map), &c->ram_fd, 1, 0);
    return c->ram;
}

void vfuc_set_irq(VfuClient *c)
{
    VfuIrqSet set = { sizeof(set), VFU_IRQ_DATA_EVENTFD | VFU_IRQ_TRIGGER, VFU_IRQ_INTX, 0, 1 };

    c->irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vfuc_ask(c, VFU_DEVICE_SET_IRQS, &set, sizeof(set), &c->irqfd, 1, 0);
}

bool vfuc_wait_irq(VfuClient *c, int timeout_ms)
{
    struct pollfd pfd = { .fd = c->irqfd, .events = POLLIN };
    uint64_t n;

    return poll(&pfd, 1, timeout_ms) == 1 && read(c->irqfd, &n, sizeof(n)) == sizeof(n);
}
