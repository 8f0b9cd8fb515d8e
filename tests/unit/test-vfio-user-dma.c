/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vfio-user server: DMA maps, and what waits for I/O, unmapping and reset, with the bad values
 * of every field.
 */
#include "vfu-harness.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- DMA ---- */

static void test_dma(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(16);
    VfuDmaUnmap unmap = { sizeof(unmap), 0, 4 * PAGE, 2 * PAGE };
    unsigned before = vfu_open_fds();
    char c = 0;

    vfu_map(v, 4 * PAGE, 2 * PAGE, ram, 8 * PAGE);
    g_assert_cmpuint(vfu_open_fds(), ==, before);
    g_assert_cmpint(guest_memory_write(v->m->mem, 5 * PAGE, "x", 1), ==, 0);
    g_assert_cmpint(pread(ram, &c, 1, 9 * PAGE), ==, 1);
    g_assert_cmpint(c, ==, 'x');
    g_assert_cmpmem(vfu_ask(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), sizeof(unmap)), sizeof(unmap),
                    &unmap, sizeof(unmap));
    g_assert_cmpint(guest_memory_write(v->m->mem, 5 * PAGE, "x", 1), ==, -EFAULT);
    vfu_ask_error(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), ENOENT);
}

static void test_dma_readonly(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(1);
    VfuDmaMap map = { sizeof(map), VFU_DMA_MAP_READ, 0, 0, PAGE };
    char c;

    vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &ram, 1);
    vfu_take(v, 0);
    g_assert_cmpint(guest_memory_read(v->m->mem, 0, &c, 1), ==, 0);
    g_assert_cmpint(guest_memory_write(v->m->mem, 0, "x", 1), ==, -EFAULT);
}

/* Accepted, no target, unmapped like any other. */
static void test_dma_without_fd(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(1);
    VfuDmaUnmap unmap = { sizeof(unmap), 0, 0xc0000, 0x20000 };
    VfuDmaMap map = { sizeof(map), VFU_DMA_MAP_READ, 0, 0xd0000, PAGE };
    char c;

    vfu_map(v, 0xc0000, 0x20000, -1, 0);
    g_assert_cmpint(guest_memory_read(v->m->mem, 0xc0000, &c, 1), ==, -EFAULT);
    vfu_ask_error(v, VFU_DMA_MAP, &map, sizeof(map), EEXIST);
    vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &ram, 1);
    vfu_take_error(v, EEXIST);
    vfu_ask(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), sizeof(unmap));
    vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &ram, 1);
    vfu_take(v, 0);
}

static void test_dma_overlap(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        uint64_t page, pages;
        int err;
    } cases[] = {
        { 10, 10, EEXIST }, { 9, 2, EEXIST },  { 19, 1, EEXIST }, { 19, 2, EEXIST },
        { 12, 1, EEXIST },  { 0, 40, EEXIST }, { 29, 2, EEXIST }, { 8, 2, 0 },
        { 20, 10, 0 },      { 0, 8, 0 },       { 0, 1, EEXIST },
    };
    AUTO_FD ram = vfu_ram(64);

    vfu_map(v, 10 * PAGE, 10 * PAGE, ram, 0);
    vfu_map(v, 30 * PAGE, 1 * PAGE, -1, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        VfuDmaMap map = { sizeof(map), 3, 0, cases[i].page * PAGE, cases[i].pages * PAGE };

        vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &ram, 1);
        if (cases[i].err) {
            vfu_take_error(v, cases[i].err);
        } else {
            vfu_take(v, 0);
        }
    }
    g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 4);
    g_assert_cmpuint(machine_regions(v->m)->n, ==, 4);
    g_assert_cmpuint(v->server->dma->len, ==, 5);
}

static void test_dma_bad(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const VfuDmaMap maps[] = {
        { 32, 0, 0, 0, PAGE },
        { 32, 4, 0, 0, PAGE },
        { 32, 7, 0, 0, PAGE },
        { 32, 0x80000003, 0, 0, PAGE },
        { 32, 3, 0, 0, 0 },
        { 32, 3, 0, UINT64_MAX - PAGE + 1, 2 * PAGE },
        { 32, 3, 0, PAGE, UINT64_MAX - PAGE + 2 },
        { 32, 3, 0, 1, PAGE }, /* from here on: with a file only */
        { 32, 3, 0, 0, PAGE + 1 },
        { 32, 3, 1, 0, PAGE },
        { 32, 3, PAGE, 0, 8 * PAGE }, /* beyond its end */
        { 32, 3, 8 * PAGE, 0, PAGE },
        { 32, 3, UINT64_MAX - PAGE + 1, 0, PAGE },
        { 32, 3, 1ull << 63, 0, PAGE },
    };
    AUTO_FD ram = vfu_ram(8);
    int two[] = { ram, ram };

    for (unsigned i = 0; i < G_N_ELEMENTS(maps); i++) {
        vfu_put(v, VFU_DMA_MAP, 0, &maps[i], sizeof(maps[i]), &ram, 1);
        vfu_take_error(v, EINVAL);
        if (i < 7) {
            vfu_ask_error(v, VFU_DMA_MAP, &maps[i], sizeof(maps[i]), EINVAL);
        }
    }
    VfuDmaMap good = { 32, 3, 0, 0, PAGE };
    vfu_put(v, VFU_DMA_MAP, 0, &good, sizeof(good), two, 2);
    vfu_take_error(v, EINVAL);
    g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 0);
    g_assert_cmpuint(v->server->dma->len, ==, 0);
}

static void test_dma_no_files(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaMap map = { 32, 3, 0, 0, PAGE };
    AUTO_FD ram = vfu_ram(8);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", ram);
    int fds[6], pair[2];

    g_assert_cmpint(pipe2(pair, O_CLOEXEC), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    fds[2] = eventfd(0, EFD_CLOEXEC);
    fds[3] = open("/dev/null", O_RDWR | O_CLOEXEC);
    fds[4] = open("/", O_RDONLY | O_CLOEXEC);
    fds[5] = open(path, O_RDONLY | O_CLOEXEC); /* a file, but not to be written */
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &fds[i], 1);
        vfu_take_error(v, EINVAL);
        close(fds[i]);
    }
    vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &pair[1], 1);
    vfu_take_error(v, EINVAL);
    close(pair[0]);
    close(pair[1]);
    g_assert_true(vfu_alive(v));
}

static void test_unmap_bad(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        VfuDmaUnmap unmap;
        int err;
    } cases[] = {
        { { 24, 0, 0, PAGE }, ENOENT },
        { { 24, 0, PAGE, PAGE }, ENOENT },
        { { 24, 0, 4 * PAGE, PAGE }, ENOENT },
        { { 24, 0, 5 * PAGE, PAGE }, ENOENT },
        { { 24, 0, 4 * PAGE, 3 * PAGE }, ENOENT },
        { { 24, 0, 0, 0 }, ENOENT },
        { { 24, 0, 0, UINT64_MAX }, ENOENT },
        { { 24, 0, UINT64_MAX, UINT64_MAX }, ENOENT },
        { { 24, 1, 4 * PAGE, 2 * PAGE }, EINVAL },
        { { 24, 4, 4 * PAGE, 2 * PAGE }, EINVAL },
        { { 24, 2, 4 * PAGE, 2 * PAGE }, EINVAL },
        { { 24, 2, 0, 1 }, EINVAL },
    };
    AUTO_FD ram = vfu_ram(8);

    vfu_map(v, 4 * PAGE, 2 * PAGE, ram, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        vfu_ask_error(v, VFU_DMA_UNMAP, &cases[i].unmap, sizeof(cases[i].unmap), cases[i].err);
    }
    g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 1);
    /* As SPDK's client does: its descriptor comes along again. */
    VfuDmaUnmap unmap = { 24, 0, 4 * PAGE, 2 * PAGE };
    vfu_put(v, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap), &ram, 1);
    vfu_take(v, sizeof(unmap));
}

static void test_unmap_all(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaUnmap unmap = { sizeof(unmap), VFU_DMA_UNMAP_ALL, 0, 0 };
    AUTO_FD ram = vfu_ram(8);

    for (unsigned i = 0; i < 8; i++) {
        vfu_map(v, 2 * i * PAGE, PAGE, i % 3 ? ram : -1, i * PAGE);
    }
    for (unsigned i = 0; i < 2; i++) {
        vfu_ask(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), sizeof(unmap));
        g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 0);
        g_assert_cmpuint(v->server->dma->len, ==, 0);
    }
}

static void test_dma_limit(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaMap map = { 32, 3, 0, VFU_MAX_DMA_MAPS * PAGE, PAGE };

    for (uint64_t i = 0; i < VFU_MAX_DMA_MAPS; i++) {
        vfu_map(v, (i * 7919 % VFU_MAX_DMA_MAPS) * PAGE, PAGE, -1, 0);
    }
    vfu_ask_error(v, VFU_DMA_MAP, &map, sizeof(map), ENOSPC);
}

static void test_dma_shrunk(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(8);

    vfu_map(v, 0, 8 * PAGE, ram, 0);
    guest_memory_thread_use(v->m->mem);
    g_assert_cmpint(ftruncate(ram, PAGE), ==, 0);
    g_assert_cmpint(guest_memory_write(v->m->mem, 4 * PAGE, "x", 1), ==, -EFAULT);
    guest_memory_thread_use(NULL);
    g_assert_true(vfu_alive(v));
}

/* ---- what waits ---- */

static GuestRegion *pin(Vfu *v, uint64_t gpa)
{
    GuestRegion *region;
    size_t len = 1;

    g_assert_nonnull(guest_memory_ptr(v->m->mem, gpa, &len, true, &region));
    guest_region_pin(region);
    return region;
}

/* The answer comes with the last pin, and what is behind it waits. */
static void test_unmap_pinned(Vfu *v, gconstpointer data)
{
    VfuDmaUnmap unmap = { sizeof(unmap), GPOINTER_TO_INT(data), 0, PAGE };
    AUTO_FD ram = vfu_ram(2);
    GuestRegion *regions[2];
    uint16_t id;

    if (unmap.flags) {
        unmap.size = 0;
    }
    vfu_map(v, 0, PAGE, ram, 0);
    vfu_map(v, PAGE, PAGE, ram, PAGE);
    regions[0] = pin(v, 0);
    regions[1] = pin(v, PAGE);
    vfu_put(v, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
    id = v->id;
    g_assert_cmpint(guest_memory_write(v->m->mem, 0, "x", 1), ==, -EFAULT); /* at once */
    vfu_put(v, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
    vfu_take_nothing(v);
    guest_region_unpin(regions[0]);
    if (unmap.flags) {
        vfu_settle(v);
        vfu_take_nothing(v);
    }
    guest_region_unpin(regions[1]);
    vfu_settle(v);
    v->id = id;
    vfu_take(v, sizeof(unmap));
    v->id++;
    vfu_take(v, 0);
}

/* Runs the loop until an answer is there. */
static void wait_answer(Vfu *v)
{
    struct timespec pause = { .tv_nsec = 1000000 };
    int64_t until = loop_now_ns() + 20 * INT64_C(1000000000);
    char byte;

    while (recv(v->peer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1) {
        g_assert_cmpint(loop_now_ns(), <, until);
        nanosleep(&pause, NULL);
        vfu_settle(v);
    }
}

static void test_unmap_timeout(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaUnmap unmap = { sizeof(unmap), 0, 0, PAGE };
    AUTO_FD ram = vfu_ram(2);
    GuestRegion *region;

    v->server->patience_ns = 1;
    vfu_map(v, 0, PAGE, ram, 0);
    for (unsigned i = 0; i < 3; i++) {
        region = pin(v, 0);
        vfu_put(v, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
        wait_answer(v);
        vfu_take_error(v, ETIMEDOUT);
        g_assert_true(vfu_alive(v));
        vfu_ask_error(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), ENOENT);
        vfu_map(v, 0, PAGE, ram, PAGE); /* the place is free */
        guest_region_unpin(region);
        vfu_settle(v);
        vfu_take_nothing(v); /* no second answer */
    }
}

/* The client is gone before its unmap is done; pins go when the device drains. */
static void test_unmap_hang_up(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaUnmap unmap = { sizeof(unmap), 0, 0, PAGE };
    AUTO_FD ram = vfu_ram(2);
    GuestRegion *region;

    vfu_map(v, 0, PAGE, ram, 0);
    region = pin(v, 0);
    v->fake->hold_drain = true;
    vfu_put(v, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
    vfio_user_server_stop(v->server);
    vfu_settle(v);
    g_assert_cmpuint(v->fake->drains, ==, 1);
    g_assert_cmpuint(v->ended, ==, 0);
    guest_region_unpin(region);
    fake_idle(v->fake);
    vfu_settle(v);
    g_assert_cmpuint(v->ended, ==, 1);
    g_assert_false(v->violation);
}

static void test_reset(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(1);
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    vfu_map(v, 0, PAGE, ram, 0);
    vfu_set_irqs(v, 0x24, 0, 0, 1, &irqfd, 1);
    vfu_write(v, VFU_REGION_CONFIG, PCI_COMMAND, 7, 2);
    vfu_write(v, 0, 0, 0xff, 1);
    vfu_ask(v, VFU_DEVICE_RESET, NULL, 0, 0);
    g_assert_cmpuint(v->fake->resets, ==, 1);
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, PCI_COMMAND, 2), ==, 0);
    g_assert_cmphex(vfu_read(v, 0, 0, 1), ==, 0);
    g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 1); /* survives it */
    g_assert_cmpint(v->m->iohub.irqfd, >=, 0);
    vfu_put(v, VFU_DEVICE_RESET, VFU_NO_REPLY, NULL, 0, NULL, 0);
    vfu_take_nothing(v);
    g_assert_cmpuint(v->fake->resets, ==, 2);
    g_assert_true(vfu_alive(v));
}

/* Given up on at the deadline; registers are out of reach until it is done, the rest works, and
 * another reset waits for the same. */
static void test_reset_timeout(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuRegionAccess access = { 0, 0, 4 };
    uint8_t payload[20] = { 0 };
    AUTO_FD ram = vfu_ram(1);

    v->server->patience_ns = 1;
    v->fake->hold_drain = true;
    memcpy(payload, &access, sizeof(access));
    for (unsigned i = 0; i < 3; i++) {
        vfu_put(v, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
        wait_answer(v);
        vfu_take_error(v, ETIMEDOUT);
        vfu_ask_error(v, VFU_REGION_READ, payload, 16, EBUSY);
        vfu_ask_error(v, VFU_REGION_WRITE, payload, 20, EBUSY);
        vfu_map(v, i * PAGE, PAGE, ram, 0);
    }
    g_assert_cmpuint(v->fake->drains, ==, 1);
    v->server->patience_ns = INT64_C(1000000000) * 1000;
    vfu_put(v, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
    vfu_take_nothing(v);
    fake_idle(v->fake);
    vfu_settle(v);
    vfu_take(v, 0);
    g_assert_cmpuint(v->fake->resets, ==, 1);
    g_assert_true(vfu_alive(v));
    v->fake->hold_drain = false;
}

static void test_reset_hang_up(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    v->fake->hold_drain = true;
    vfu_put(v, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
    vfio_user_server_stop(v->server);
    vfu_settle(v);
    g_assert_cmpuint(v->ended, ==, 0);
    fake_idle(v->fake);
    vfu_settle(v);
    g_assert_cmpuint(v->ended, ==, 1);
}

#define TEST(name) g_test_add("/vfio-user/" #name, Vfu, NULL, vfu_setup, test_##name, vfu_teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    guest_memory_sigbus_init();
    TEST(dma);
    TEST(dma_readonly);
    TEST(dma_without_fd);
    TEST(dma_overlap);
    TEST(dma_bad);
    TEST(dma_no_files);
    TEST(unmap_bad);
    TEST(unmap_all);
    TEST(dma_limit);
    TEST(dma_shrunk);
    g_test_add("/vfio-user/unmap_pinned", Vfu, GINT_TO_POINTER(0), vfu_setup, test_unmap_pinned,
               vfu_teardown);
    g_test_add("/vfio-user/unmap_all_pinned", Vfu, GINT_TO_POINTER(VFU_DMA_UNMAP_ALL), vfu_setup,
               test_unmap_pinned, vfu_teardown);
    TEST(unmap_timeout);
    TEST(unmap_hang_up);
    TEST(reset);
    TEST(reset_timeout);
    TEST(reset_hang_up);
    return g_test_run();
}
