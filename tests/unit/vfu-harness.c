/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's half. Everything is on one thread, so an answer that has not come when the server
 * has nothing more to do will not come; nothing here waits.
 */
#include "vfu-harness.h"
#include "util/fd.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

unsigned vfu_open_fds(void)
{
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

/* ---- life ---- */

static void on_ended(void *opaque, bool violation)
{
    Vfu *v = opaque;

    v->ended++;
    v->violation = violation;
}

void vfu_init(Vfu *v)
{
    v->fds = vfu_open_fds();
    v->loop = loop_new("test", NULL);
    v->fake = fake_new();
    v->ops = fake_ops;
    v->fake->pci.ops = &v->ops;
    v->fd = v->peer = -1;
}

void vfu_connect(Vfu *v)
{
    int sv[2];

    vfio_user_server_free(v->server);
    fd_clear(&v->peer);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    v->peer = sv[1];
    v->ended = 0;
    v->violation = false;
    v->server = vfio_user_server_new(v->m, sv[0], on_ended, v);
    g_assert_nonnull(v->server);
}

void vfu_start(Vfu *v)
{
    v->m = machine_new_messages("test", v->loop, &v->fake->pci, NULL);
    g_assert_nonnull(v->m);
    vfu_connect(v);
}

void vfu_settle(Vfu *v)
{
    unsigned turns = 0;

    while (loop_turn(v->loop, 0)) {
        g_assert_cmpuint(++turns, <, 10000); /* a busy loop */
    }
}

void vfu_fini(Vfu *v)
{
    fd_clear(&v->peer);
    fd_clear(&v->fd);
    vfu_settle(v);
    g_assert_cmpuint(v->ended, ==, 1);
    g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 0);
    g_assert_cmpuint(machine_regions(v->m)->n, ==, 0);
    vfio_user_server_free(v->server);
    machine_free(v->m);
    fake_free(v->fake);
    loop_free(v->loop);
    g_assert_cmpuint(vfu_open_fds(), ==, v->fds);
}

void vfu_setup_silent(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    vfu_init(v);
    vfu_start(v);
}

void vfu_setup(Vfu *v, gconstpointer data)
{
    vfu_setup_silent(v, data);
    vfu_version(v, VFU_QEMU_VERSION);
}

void vfu_teardown(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    vfu_fini(v);
}

/* ---- messages ---- */

size_t vfu_build(Vfu *v, uint8_t *buf, unsigned cmd, uint32_t flags, const void *payload,
                 size_t len)
{
    VfuHeader header = {
        .id = ++v->id,
        .cmd = cmd,
        .size = sizeof(header) + len,
        .flags = flags,
        .error = 0x5a5a5a5a, /* means nothing in a request */
    };

    memcpy(buf, &header, sizeof(header));
    if (len > 0) {
        memcpy(buf + sizeof(header), payload, len);
    }
    return sizeof(header) + len;
}

void vfu_put_raw(Vfu *v, const void *bytes, size_t len, const int *fds, unsigned nfds)
{
    struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };

    g_assert_cmpint(fd_send(v->peer, &iov, 1, fds, nfds, 0), ==, len);
}

void vfu_put(Vfu *v, unsigned cmd, uint32_t flags, const void *payload, size_t len, const int *fds,
             unsigned nfds)
{
    g_autofree uint8_t *buf = g_malloc(sizeof(VfuHeader) + len);

    vfu_put_raw(v, buf, vfu_build(v, buf, cmd, flags, payload, len), fds, nfds);
    vfu_settle(v);
}

static void take_fd(Vfu *v, struct msghdr *msg)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);

    fd_clear(&v->fd);
    if (cmsg) {
        g_assert_cmpuint(cmsg->cmsg_len, ==, CMSG_LEN(sizeof(int)));
        memcpy(&v->fd, CMSG_DATA(cmsg), sizeof(int));
    }
}

bool vfu_receive(Vfu *v)
{
    char control[CMSG_SPACE(sizeof(int) * 4)] __attribute__((aligned(8)));
    struct iovec iov = { .iov_base = &v->reply, .iov_len = sizeof(v->reply) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    msg.msg_control = control;
    msg.msg_controllen = sizeof(control);
    if (recvmsg(v->peer, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(v->reply)) {
        return false;
    }
    take_fd(v, &msg);
    v->len = v->reply.size - sizeof(v->reply);
    g_assert_cmpuint(v->len, <=, sizeof(v->data));
    if (v->len > 0) {
        g_assert_cmpint(recv(v->peer, v->data, v->len, MSG_DONTWAIT), ==, v->len);
    }
    return true;
}

const void *vfu_take(Vfu *v, size_t len)
{
    g_assert_true(vfu_receive(v));
    g_assert_cmpuint(v->reply.id, ==, v->id);
    g_assert_cmphex(v->reply.flags, ==, VFU_TYPE_REPLY);
    g_assert_cmpuint(v->reply.error, ==, 0);
    g_assert_cmpuint(v->len, ==, len);
    return v->data;
}

void vfu_take_error(Vfu *v, int err)
{
    g_assert_true(vfu_receive(v));
    g_assert_cmpuint(v->reply.id, ==, v->id);
    g_assert_cmphex(v->reply.flags, ==, VFU_TYPE_REPLY | VFU_ERROR);
    g_assert_cmpuint(v->reply.error, ==, err);
    g_assert_cmpuint(v->len, ==, 0);
    g_assert_cmpint(v->fd, ==, -1);
}

void vfu_take_nothing(Vfu *v)
{
    char byte;

    g_assert_cmpint(recv(v->peer, &byte, 1, MSG_DONTWAIT), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
}

const void *vfu_ask(Vfu *v, unsigned cmd, const void *payload, size_t len, size_t reply)
{
    vfu_put(v, cmd, 0, payload, len, NULL, 0);
    vfu_take(v, reply);
    g_assert_cmpuint(v->reply.cmd, ==, cmd);
    return v->data;
}

void vfu_ask_error(Vfu *v, unsigned cmd, const void *payload, size_t len, int err)
{
    vfu_put(v, cmd, 0, payload, len, NULL, 0);
    vfu_take_error(v, err);
    g_assert_cmpuint(v->reply.cmd, ==, cmd);
}

/* ---- what a client does ---- */

void vfu_version(Vfu *v, const char *json)
{
    size_t len = json ? strlen(json) + 1 : 0;
    g_autofree uint8_t *payload = g_malloc0(sizeof(VfuVersion) + len);

    if (json) {
        memcpy(payload + sizeof(VfuVersion), json, len);
    }
    vfu_put(v, VFU_VERSION, 0, payload, sizeof(VfuVersion) + len, NULL, 0);
    g_assert_true(vfu_receive(v));
    g_assert_cmphex(v->reply.flags, ==, VFU_TYPE_REPLY);
}

uint64_t vfu_read(Vfu *v, uint32_t region, uint64_t off, unsigned size)
{
    VfuRegionAccess access = { off, region, size };
    uint64_t value = 0;

    vfu_ask(v, VFU_REGION_READ, &access, sizeof(access), sizeof(access) + size);
    g_assert_cmpmem(v->data, sizeof(access), &access, sizeof(access));
    memcpy(&value, v->data + sizeof(access), size);
    return value;
}

size_t vfu_build_write(Vfu *v, uint8_t *buf, uint32_t flags, uint32_t region, uint64_t off,
                       uint64_t value, unsigned size)
{
    VfuRegionAccess access = { off, region, size };
    uint8_t payload[sizeof(access) + sizeof(value)];

    memcpy(payload, &access, sizeof(access));
    memcpy(payload + sizeof(access), &value, sizeof(value));
    return vfu_build(v, buf, VFU_REGION_WRITE, flags, payload, sizeof(access) + size);
}

void vfu_post(Vfu *v, uint32_t region, uint64_t off, uint64_t value, unsigned size)
{
    uint8_t buf[64];

    vfu_put_raw(v, buf, vfu_build_write(v, buf, VFU_NO_REPLY, region, off, value, size), NULL, 0);
    vfu_settle(v);
}

void vfu_write(Vfu *v, uint32_t region, uint64_t off, uint64_t value, unsigned size)
{
    VfuRegionAccess access = { off, region, size };
    uint8_t buf[64];

    vfu_put_raw(v, buf, vfu_build_write(v, buf, 0, region, off, value, size), NULL, 0);
    vfu_settle(v);
    g_assert_cmpmem(vfu_take(v, sizeof(access)), sizeof(access), &access, sizeof(access));
}

void vfu_put_irqs(Vfu *v, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                  const int *fds, unsigned nfds)
{
    VfuIrqSet set = { sizeof(set), flags, index, start, count };

    vfu_put(v, VFU_DEVICE_SET_IRQS, 0, &set, sizeof(set), fds, nfds);
}

void vfu_set_irqs(Vfu *v, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                  const int *fds, unsigned nfds)
{
    vfu_put_irqs(v, flags, index, start, count, fds, nfds);
    vfu_take(v, 0);
}

int vfu_ram(unsigned pages)
{
    int fd = memfd_create("ram", MFD_CLOEXEC);

    g_assert_cmpint(ftruncate(fd, pages * PAGE), ==, 0);
    return fd;
}

void vfu_map(Vfu *v, uint64_t iova, uint64_t size, int fd, uint64_t offset)
{
    VfuDmaMap map = {
        .argsz = sizeof(map),
        .flags = VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE,
        .offset = offset,
        .iova = iova,
        .size = size,
    };

    vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &fd, fd >= 0);
    vfu_take(v, 0);
}

bool vfu_alive(Vfu *v)
{
    return v->ended == 0 && vfu_read(v, VFU_REGION_CONFIG, 0, 4) == FAKE_IDS;
}
