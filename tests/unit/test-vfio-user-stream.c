/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio-user as a stream: order, what one segment may hold, peers that stop in the middle or don't
 * read, and the sessions of real clients. That of QEMU 11.1 is as it was observed; those of cloud-
 * hypervisor and of SPDK's client are from their sources, not observed.
 */
#include "util/fd.h"
#include "vfu-harness.h"
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEGMENT 8192

/* ---- order ---- */

/* What a posted write defers is done before the next message, though both came at once. */
static void test_posted_order(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuRegionAccess access = { FAKE_REG_WORK, 0, 4 };
    uint8_t buf[SEGMENT];
    size_t len = 0;

    for (unsigned i = 1; i <= 50; i++) {
        len += vfu_build_write(v, buf + len, VFU_NO_REPLY, 0, FAKE_REG_WORK, i, 4);
        len += vfu_build(v, buf + len, VFU_REGION_READ, 0, &access, sizeof(access));
    }
    vfu_put_raw(v, buf, len, NULL, 0);
    vfu_settle(v);
    v->id = 1; /* VERSION's */
    for (unsigned i = 1; i <= 50; i++) {
        v->id += 2;
        g_assert_cmpuint(((const uint8_t *)vfu_take(v, 20))[16], ==, i + 1);
    }
    vfu_take_nothing(v);
}

/* Answers come in the order of the messages, over one that waits. */
static void test_answer_order(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuRegionAccess access = { 0, VFU_REGION_CONFIG, 4 };
    uint8_t buf[SEGMENT];
    size_t len = 0;

    v->fake->hold_drain = true;
    len += vfu_build(v, buf + len, VFU_REGION_READ, 0, &access, sizeof(access));
    len += vfu_build(v, buf + len, VFU_DEVICE_RESET, 0, NULL, 0);
    len += vfu_build(v, buf + len, VFU_REGION_READ, 0, &access, sizeof(access));
    vfu_put_raw(v, buf, len, NULL, 0);
    vfu_settle(v);
    v->id -= 2;
    vfu_take(v, 20);
    vfu_take_nothing(v);
    fake_idle(v->fake);
    vfu_settle(v);
    v->id++;
    vfu_take(v, 0);
    v->id++;
    vfu_take(v, 20);
    v->fake->hold_drain = false;
}

/* ---- framing ---- */

static void test_wrong_sizes(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const uint32_t sizes[] = { 0, 1, 15, 16 + 16 + VFU_MAX_DATA + 1, 1u << 31, UINT32_MAX };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        VfuHeader header = { .id = 1, .cmd = VFU_REGION_READ, .size = sizes[i] };

        vfu_put_raw(v, &header, sizeof(header), NULL, 0);
        vfu_settle(v);
        g_assert_cmpuint(v->ended, ==, 1);
        g_assert_true(v->violation);
        vfu_connect(v);
        vfu_version(v, NULL);
        g_assert_true(vfu_alive(v));
    }
}

/* The largest message there is goes through the buffer and is answered; a client that only
 * announces it costs nothing. */
static void test_large_message(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    size_t len = sizeof(VfuRegionAccess) + VFU_MAX_DATA, sent = 0;
    g_autofree uint8_t *payload = g_malloc0(len);
    g_autofree uint8_t *message = g_malloc(sizeof(VfuHeader) + len);
    VfuRegionAccess access = { 0, 1, VFU_MAX_DATA };
    size_t size;

    memcpy(payload, &access, sizeof(access));
    size = vfu_build(v, message, VFU_REGION_WRITE, 0, payload, len);
    while (sent < size) {
        ssize_t n = send(v->peer, message + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        g_assert_true(n > 0 || errno == EAGAIN);
        sent += MAX(n, 0);
        vfu_settle(v);
    }
    vfu_take_error(v, EINVAL); /* the BAR isn't as large */
    g_assert_true(vfu_alive(v));
}

/* ---- hang-ups ---- */

/* A session of every kind of message, as one segment. */
static size_t build_session(Vfu *v, uint8_t *buf)
{
    static const VfuDmaMap map = { 32, 3, 0, 0, PAGE };
    static const VfuDmaUnmap unmap = { 24, 0, 0, PAGE };
    static const VfuIrqSet irqs = { 20, 0x24, 0, 0, 1 };
    static const VfuRegionInfo region = { .argsz = 32, .index = 1 };
    static const VfuRegionAccess access = { 0, 1, 8 };
    static const uint32_t info[4] = { 16 };
    size_t len = 0;

    len += vfu_build(v, buf + len, VFU_DEVICE_GET_INFO, 0, info, sizeof(info));
    len += vfu_build(v, buf + len, VFU_DEVICE_GET_REGION_INFO, 0, &region, sizeof(region));
    len += vfu_build(v, buf + len, VFU_DEVICE_GET_IRQ_INFO, 0, info, sizeof(info));
    len += vfu_build(v, buf + len, VFU_DMA_MAP, 0, &map, sizeof(map));
    len += vfu_build(v, buf + len, VFU_DEVICE_SET_IRQS, 0, &irqs, sizeof(irqs));
    len += vfu_build(v, buf + len, VFU_REGION_READ, 0, &access, sizeof(access));
    len += vfu_build_write(v, buf + len, VFU_NO_REPLY, 0, FAKE_REG_IRQ, 1, 4);
    len += vfu_build_write(v, buf + len, 0, 0, FAKE_REG_WORK, 1, 4);
    len += vfu_build(v, buf + len, VFU_DEVICE_RESET, 0, NULL, 0);
    len += vfu_build(v, buf + len, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap));
    return len;
}

static void test_hang_up_at_every_byte(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[SEGMENT];
    size_t len = build_session(v, buf), cut, at = 0;

    for (cut = 0; cut <= len; cut++) {
        VfuHeader header;
        bool whole;

        memcpy(&header, buf + at, sizeof(header));
        if (cut > at && cut - at == header.size && cut < len) {
            at = cut;
        }
        whole = cut == at || cut == len;
        if (cut > 0) {
            vfu_put_raw(v, buf, cut, NULL, 0);
        }
        if (cut % 2) { /* with and without answers unread */
            vfu_settle(v);
        }
        fd_clear(&v->peer);
        vfu_settle(v);
        g_assert_cmpuint(v->ended, ==, 1);
        g_assert_cmpint(v->violation, ==, !whole);
        vfu_connect(v);
        vfu_version(v, NULL);
    }
    g_assert_true(vfu_alive(v));
}

static void test_byte_by_byte(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[SEGMENT];
    size_t len = build_session(v, buf);
    unsigned answers = 0;

    for (size_t i = 0; i < len; i++) {
        vfu_put_raw(v, buf + i, 1, NULL, 0);
        vfu_settle(v);
    }
    while (vfu_receive(v)) {
        answers++;
        g_assert_cmphex(v->reply.flags, ==, VFU_TYPE_REPLY);
    }
    g_assert_cmpuint(answers, ==, 9);
}

/* Cut off after some bytes of VERSION, for longer than a client needs. */
static void test_half_version(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuHeader header = { .cmd = VFU_VERSION, .size = 100 };

    for (unsigned i = 0; i < 3; i++) { /* silence alone is no offence */
        loop_timer_arm(&v->server->handshake, 0);
        vfu_settle(v);
        g_assert_cmpuint(v->ended, ==, 0);
    }
    vfu_put_raw(v, &header, sizeof(header), NULL, 0);
    vfu_settle(v);
    loop_timer_arm(&v->server->handshake, 0);
    vfu_settle(v);
    g_assert_cmpuint(v->ended, ==, 0);
    loop_timer_arm(&v->server->handshake, 0);
    vfu_settle(v);
    g_assert_cmpuint(v->ended, ==, 1);
    g_assert_true(v->violation);
}

/* ---- a client that does not read ---- */

static void test_does_not_read(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuRegionAccess access = { 0, 1, FAKE_MEM_SIZE };
    uint8_t buf[64];
    size_t len;
    unsigned sent = 0, got = 0;

    for (unsigned idle = 0; idle < 3;) {
        len = vfu_build(v, buf, VFU_REGION_READ, 0, &access, sizeof(access));
        if (send(v->peer, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len) {
            sent++;
            idle = 0;
        } else {
            idle++;
        }
        vfu_settle(v);
        g_assert_cmpuint(sent, <, 100000); /* it must stop taking them */
    }
    g_assert_cmpuint(v->ended, ==, 0);
    do {
        while (vfu_receive(v)) {
            g_assert_cmphex(v->reply.flags, ==, VFU_TYPE_REPLY);
            got++;
        }
        vfu_settle(v);
    } while (got < sent);
    vfu_take_nothing(v);
    g_assert_true(vfu_alive(v));
}

/* ---- sessions ---- */

static uint64_t region_size(Vfu *v, uint32_t index, uint32_t argsz, size_t request)
{
    uint8_t payload[256] = { 0 };
    VfuRegionInfo info = { .argsz = argsz, .index = index };

    memcpy(payload, &info, sizeof(info));
    memcpy(&info, vfu_ask(v, VFU_DEVICE_GET_REGION_INFO, payload, request, sizeof(info)),
           sizeof(info));
    return info.size;
}

/* Its realize, the first reset, an interrupt under TCG, DMA of both kinds, and the end. */
static void test_qemu(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDeviceInfo info = { .argsz = 16 };
    VfuIrqInfo irq = { .argsz = 16, .index = VFU_IRQ_ERR };
    VfuRegionAccess config = { 0, VFU_REGION_CONFIG, 256 };
    AUTO_FD ram = vfu_ram(256);
    AUTO_FD intx = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    VfuDmaMap rom = { 32, VFU_DMA_MAP_READ, 0, 0xc0000, 0x20000 };
    VfuDmaUnmap unmap = { 24, 0, 0xc0000, 0x20000 };
    uint64_t n;

    vfu_version(v, VFU_QEMU_VERSION);
    vfu_map(v, 0, 0xc0000, ram, 0);
    vfu_ask(v, VFU_DMA_MAP, &rom, sizeof(rom), 0);
    vfu_ask(v, VFU_DEVICE_GET_INFO, &info, sizeof(info), 16);
    for (uint32_t i = 0; i < 6; i++) {
        region_size(v, i, 32, 32);
    }
    g_assert_cmpuint(region_size(v, VFU_REGION_CONFIG, 32, 32), ==, 256);
    vfu_ask(v, VFU_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq), 16);
    vfu_ask(v, VFU_REGION_READ, &config, sizeof(config), 16 + 256);
    vfu_read(v, VFU_REGION_CONFIG, PCI_ROM_BAR, 4);
    vfu_write(v, VFU_REGION_CONFIG, PCI_ROM_BAR, 0xfffff800, 4);
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, PCI_ROM_BAR, 4), ==, 0);
    vfu_write(v, VFU_REGION_CONFIG, PCI_ROM_BAR, 0, 4);
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, PCI_BAR0, 4), ==, 1);
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, PCI_INT_PIN, 1), ==, 1);
    vfu_set_irqs(v, 0x24, 0, 0, 1, &intx, 1);
    vfu_set_irqs(v, 0x21, 0, 0, 0, NULL, 0);
    vfu_write(v, VFU_REGION_CONFIG, PCI_COMMAND, 0, 2);
    vfu_ask(v, VFU_DEVICE_RESET, NULL, 0, 0);
    vfu_set_irqs(v, 0x24, 0, 0, 1, &intx, 1);
    for (unsigned at = PCI_BAR0; at <= 0x24; at += 4) {
        vfu_write(v, VFU_REGION_CONFIG, at, 0, 4);
    }
    /* The guest runs. */
    vfu_ask(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), sizeof(unmap));
    vfu_map(v, 0xc0000, 0x3000, ram, 0xc0000);
    vfu_write(v, VFU_REGION_CONFIG, PCI_COMMAND, 7, 2);
    vfu_post(v, 0, FAKE_REG_IRQ, 1, 4);
    g_assert_cmpint(read(intx, &n, sizeof(n)), ==, sizeof(n));
    vfu_post(v, 0, FAKE_REG_IRQ, 0, 4);
    vfu_set_irqs(v, 0x11, 0, 0, 1, NULL, 0);
    g_assert_cmpint(read(intx, &n, sizeof(n)), ==, -1);
    g_assert_true(vfu_alive(v));
}

/* Not observed. VERSION 0.1; answers of fixed sizes; all BARs sized through the server; an UNMASK
 * after every BAR access; DEVICE_RESET whether it is offered or not; no posted writes. */
static void test_cloud_hypervisor(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const char version[] =
        "\0\0\1\0{\"capabilities\":{\"max_msg_fds\":1,"
        "\"max_data_xfer_size\":1048576,\"migration\":{\"pgsize\":4096}}}";
    static const uint32_t want[] = { 0xfffffff1, 0xfffff000, 0, 0, 0, 0 };
    VfuDeviceInfo info = { .argsz = 32 };
    AUTO_FD ram = vfu_ram(16);
    AUTO_FD intx = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    VfuDmaUnmap unmap = { 24, 0, 0, 16 * PAGE };

    vfu_put(v, VFU_VERSION, 0, version, sizeof(version), NULL, 0);
    g_assert_true(vfu_receive(v));
    g_assert_cmpmem(v->data, 20, "\0\0\0\0{\"capabilities\":", 20);
    g_assert_cmpint(v->data[v->len - 1], ==, 0);
    vfu_ask(v, VFU_DEVICE_GET_INFO, &info, sizeof(info), 16);
    for (uint32_t i = 0; i < VFU_REGIONS; i++) {
        region_size(v, i, 32, 32);
    }
    for (uint32_t i = 0; i < 3; i++) {
        VfuIrqInfo irq = { .argsz = 16, .index = i };
        const VfuIrqInfo *got = vfu_ask(v, VFU_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq), 16);

        g_assert_cmpuint(got->count, ==, i == VFU_IRQ_INTX);
    }
    vfu_ask(v, VFU_DEVICE_RESET, NULL, 0, 0);
    for (unsigned i = 0; i < 6; i++) {
        vfu_write(v, VFU_REGION_CONFIG, PCI_BAR0 + 4 * i, UINT32_MAX, 4);
        g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, PCI_BAR0 + 4 * i, 4), ==, want[i]);
    }
    vfu_map(v, 0, 16 * PAGE, ram, 0);
    vfu_set_irqs(v, 0x24, 0, 0, 1, &intx, 1);
    for (unsigned i = 0; i < 4; i++) {
        vfu_write(v, 1, 8 * i, i, 4);
        vfu_set_irqs(v, 0x11, 0, 0, 1, NULL, 0);
        g_assert_cmphex(vfu_read(v, 1, 8 * i, 4), ==, i);
        vfu_set_irqs(v, 0x11, 0, 0, 1, NULL, 0);
    }
    vfu_ask(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), 24);
}

/* Not observed. VERSION without data; ids all 0; GET_REGION_INFO with room behind it; UNMAP with a
 * descriptor; no interrupts. */
static void test_spdk(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(16);
    VfuDmaUnmap unmap = { 24, 0, 0, 16 * PAGE };
    VfuDeviceInfo info = { .argsz = 16 };

    v->id = UINT16_MAX;
    vfu_version(v, NULL);
    v->id = UINT16_MAX;
    vfu_ask(v, VFU_DEVICE_GET_INFO, &info, sizeof(info), 16);
    for (uint32_t i = 0; i < VFU_REGIONS; i++) {
        v->id = UINT16_MAX;
        region_size(v, i, 32 + 8 * 16 + 16, 32 + 8 * 16 + 16);
    }
    v->id = UINT16_MAX;
    vfu_map(v, 0, 16 * PAGE, ram, 0);
    v->id = UINT16_MAX;
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, 0, 4), ==, FAKE_IDS);
    v->id = UINT16_MAX;
    vfu_put(v, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap), &ram, 1);
    vfu_take(v, 24);
}

/* ---- two devices of one process ---- */

/* Each client has the same addresses for its own RAM. */
static void test_two_servers(Vfu *a, gconstpointer data G_GNUC_UNUSED)
{
    Vfu *b = g_new0(Vfu, 1);
    AUTO_FD ram_a = vfu_ram(2);
    AUTO_FD ram_b = vfu_ram(2);
    VfuDmaUnmap unmap = { 24, 0, 0, PAGE };
    char c = 0;

    vfu_init(b);
    vfu_start(b);
    vfu_version(b, NULL);
    vfu_map(a, 0, 2 * PAGE, ram_a, 0);
    vfu_write(a, VFU_REGION_CONFIG, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    vfu_write(b, VFU_REGION_CONFIG, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    g_assert_cmpint(pci_dma_write(&b->fake->pci, 0, "b", 1), ==, -EFAULT);
    g_assert_cmpint(pci_dma_read(&b->fake->pci, PAGE, &c, 1), ==, -EFAULT);
    vfu_ask_error(b, VFU_DMA_UNMAP, &unmap, sizeof(unmap), ENOENT);
    vfu_map(b, 0, PAGE, ram_b, 0);
    g_assert_cmpint(pci_dma_write(&a->fake->pci, 0, "a", 1), ==, 0);
    g_assert_cmpint(pci_dma_write(&b->fake->pci, 0, "b", 1), ==, 0);
    g_assert_cmpint(pci_dma_write(&b->fake->pci, PAGE, "b", 1), ==, -EFAULT);
    g_assert_cmpint(pread(ram_a, &c, 1, 0), ==, 1);
    g_assert_cmpint(c, ==, 'a');
    g_assert_cmpint(pread(ram_b, &c, 1, 0), ==, 1);
    g_assert_cmpint(c, ==, 'b');
    vfu_ask(b, VFU_DEVICE_RESET, NULL, 0, 0);
    vfu_fini(b);
    g_free(b);
    g_assert_cmpint(pci_dma_write(&a->fake->pci, PAGE, "a", 1), ==, 0);
    g_assert_cmpuint(a->fake->resets, ==, 0);
    g_assert_true(vfu_alive(a));
}

#define TEST(name)                                                                                 \
    g_test_add("/vfio-user-stream/" #name, Vfu, NULL, vfu_setup, test_##name, vfu_teardown)
#define SILENT(name)                                                                               \
    g_test_add("/vfio-user-stream/" #name, Vfu, NULL, vfu_setup_silent, test_##name, vfu_teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(posted_order);
    TEST(answer_order);
    TEST(wrong_sizes);
    TEST(large_message);
    TEST(hang_up_at_every_byte);
    TEST(byte_by_byte);
    SILENT(half_version);
    TEST(does_not_read);
    SILENT(qemu);
    SILENT(cloud_hypervisor);
    SILENT(spdk);
    TEST(two_servers);
    return g_test_run();
}
