/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test device in the real program of the `test` profile ($QEMU_REMOTE_TEST), behind vfio-user:
 * MSI and MSI-X from the guest's config write to the eventfd, and two clients of one process, of
 * which neither reaches the other's memory. Behind mpqemu, which can deliver no messages, the
 * capabilities are not there.
 */
#include "hw/misc/pci-testdev.h"
#include "hw/pci/pci.h"
#include "util/fd.h"
#include "vfu-client.h"
#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CAP_MSI 0x50
#define CAP_MSIX 0x70
#define RAM_SIZE (1u << 20)

typedef struct Fixture {
    char *dir;
    char *path[2];
    MpqProcess *p;
} Fixture;

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->dir = g_dir_make_tmp("wire-XXXXXX", NULL);
    f->path[0] = g_build_filename(f->dir, "a", NULL);
    f->path[1] = g_build_filename(f->dir, "b", NULL);
    f->p = mpq_process_new(g_getenv("QEMU_REMOTE_TEST"));
    mpq_process_args(f->p, "-machine", "x-remote", "-device", "x-pci-testdev,id=t0", "-device",
                     "x-pci-testdev,id=t1", NULL);
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    mpq_process_free(f->p);
    for (unsigned i = 0; i < 2; i++) {
        g_unlink(f->path[i]);
        g_free(f->path[i]);
    }
    g_rmdir(f->dir);
    g_free(f->dir);
}

static VfuClient *client(Fixture *f, unsigned i)
{
    VfuClient *c = vfuc_open(f->p, f->path[i]);

    g_assert_true(vfuc_version(c));
    g_assert_cmphex(vfuc_read(c, 0, TESTDEV_ID, 4), ==, TESTDEV_ID_VALUE);
    vfuc_write(c, VFU_REGION_CONFIG, PCI_COMMAND, PCI_COMMAND_MEM | PCI_COMMAND_MASTER, 2);
    return c;
}

static VfuClient *start_one(Fixture *f)
{
    vfuc_listen(f->p, "t0", f->path[0], true);
    mpq_process_start(f->p);
    return client(f, 0);
}

static void end_one(Fixture *f, VfuClient *c)
{
    vfuc_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

static unsigned irq_count(VfuClient *c, unsigned index)
{
    VfuIrqInfo info = { .argsz = sizeof(info), .index = index };

    vfuc_ask(c, VFU_DEVICE_GET_IRQ_INFO, &info, sizeof(info), NULL, 0, sizeof(info));
    memcpy(&info, c->data, sizeof(info));
    return info.count;
}

static void set_vectors(VfuClient *c, unsigned index, unsigned n, int *fds)
{
    VfuIrqSet set = { sizeof(set), VFU_IRQ_DATA_EVENTFD | VFU_IRQ_TRIGGER, index, 0, n };

    for (unsigned i = 0; i < n; i++) {
        fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    vfuc_ask(c, VFU_DEVICE_SET_IRQS, &set, sizeof(set), fds, n, 0);
}

/* Events of the one that fires; every other stays silent. */
static void check_fired(const int *fds, unsigned n, unsigned which)
{
    struct pollfd p = { .fd = fds[which], .events = POLLIN };
    uint64_t count;

    g_assert_cmpint(poll(&p, 1, MPQ_TIMEOUT_MS), ==, 1);
    for (unsigned i = 0; i < n; i++) {
        ssize_t ret = read(fds[i], &count, sizeof(count));
        g_assert_cmpint(ret, ==, i == which ? (ssize_t)sizeof(count) : -1);
        g_assert_true(i != which || count == 1);
    }
}

static void close_all(int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fd_clear(&fds[i]);
    }
}

static void test_msi(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuClient *c = start_one(f);
    int fds[4];

    g_assert_cmpuint(irq_count(c, VFU_IRQ_MSI), ==, TESTDEV_VECTORS);
    vfuc_write(c, VFU_REGION_CONFIG, CAP_MSI + 2, 1 | 2 << 4, 2); /* enabled, four messages */
    set_vectors(c, VFU_IRQ_MSI, 4, fds);
    for (unsigned v = 0; v < TESTDEV_VECTORS; v++) {
        vfuc_write(c, 0, TESTDEV_MSI, v, 4);
        check_fired(fds, 4, v % 4);
    }
    vfuc_write(c, VFU_REGION_CONFIG, CAP_MSI + 16, 1 << 2, 4); /* masked: pending, then sent */
    vfuc_write(c, 0, TESTDEV_MSI, 2, 4);
    g_assert_cmphex(vfuc_read(c, VFU_REGION_CONFIG, CAP_MSI + 20, 4), ==, 1 << 2);
    vfuc_write(c, VFU_REGION_CONFIG, CAP_MSI + 16, 0, 4);
    check_fired(fds, 4, 2);
    close_all(fds, 4);
    end_one(f, c);
}

/* The table is the client's, as QEMU has it: vectors go out without an entry having been unmasked
 * here. One raised before it has a descriptor is kept for it. */
static void test_msix(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuClient *c = start_one(f);
    int fds[TESTDEV_VECTORS];

    g_assert_cmpuint(irq_count(c, VFU_IRQ_MSIX), ==, TESTDEV_VECTORS);
    vfuc_write(c, VFU_REGION_CONFIG, CAP_MSIX + 2, 0x8000, 2);
    vfuc_write(c, 0, TESTDEV_MSIX, 5, 4);
    set_vectors(c, VFU_IRQ_MSIX, TESTDEV_VECTORS, fds);
    check_fired(fds, TESTDEV_VECTORS, 5);
    for (unsigned v = 0; v < TESTDEV_VECTORS; v++) {
        vfuc_write(c, 0, TESTDEV_MSIX, v, 4);
        check_fired(fds, TESTDEV_VECTORS, v);
    }
    vfuc_write(c, VFU_REGION_CONFIG, CAP_MSIX + 2, 0xc000, 2); /* function mask */
    vfuc_write(c, 0, TESTDEV_MSIX, 3, 4);
    vfuc_write(c, VFU_REGION_CONFIG, CAP_MSIX + 2, 0x8000, 2);
    check_fired(fds, TESTDEV_VECTORS, 3);
    close_all(fds, TESTDEV_VECTORS);
    end_one(f, c);
}

static void dma_addr(VfuClient *c, uint64_t addr)
{
    vfuc_write(c, 0, TESTDEV_DMA_LO, addr, 4);
    vfuc_write(c, 0, TESTDEV_DMA_HI, addr >> 32, 4);
}

/* Two clients of one process have the same addresses; each device sees its own client's memory
 * there, and nothing where only the other one has some. */
static void test_isolation(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuClient *c[2];
    uint8_t *ram[2];

    vfuc_listen(f->p, "t0", f->path[0], true);
    vfuc_listen(f->p, "t1", f->path[1], true);
    mpq_process_start(f->p);
    for (unsigned i = 0; i < 2; i++) {
        c[i] = client(f, i);
        ram[i] = vfuc_map_ram(c[i], i ? 2 * RAM_SIZE : RAM_SIZE);
        memset(ram[i], 0x11 * (i + 1), RAM_SIZE);
    }
    for (unsigned i = 0; i < 2; i++) {
        dma_addr(c[i], 0x1000);
        g_assert_cmphex(vfuc_read(c[i], 0, TESTDEV_DMA_DATA, 4), ==, 0x11111111u * (i + 1));
        vfuc_write(c[i], 0, TESTDEV_DMA_DATA, 0xa0 + i, 4);
    }
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmphex(ram[i][0x1000], ==, 0xa0 + i);
    }
    dma_addr(c[0], RAM_SIZE); /* there is RAM at this address in the other VM only */
    vfuc_write(c[0], 0, TESTDEV_DMA_DATA, 0xbad, 4);
    g_assert_cmpuint(vfuc_read(c[0], 0, TESTDEV_DMA_ERROR, 4), ==, EFAULT);
    g_assert_cmphex(ram[1][RAM_SIZE], ==, 0);
    dma_addr(c[1], RAM_SIZE);
    vfuc_write(c[1], 0, TESTDEV_DMA_DATA, 0x600d, 4);
    g_assert_cmpuint(vfuc_read(c[1], 0, TESTDEV_DMA_ERROR, 4), ==, 0);
    vfuc_free(c[0]);
    dma_addr(c[1], 0x2000); /* the other one's end changes nothing */
    g_assert_cmphex(vfuc_read(c[1], 0, TESTDEV_DMA_DATA, 4), ==, 0x22222222);
    end_one(f, c[1]);
}

/* Deferred work of a posted write is done before the next message, in one segment or not. */
static void test_deferred(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuClient *c = start_one(f);

    for (unsigned i = 1; i <= 100; i++) {
        vfuc_post(c, 0, TESTDEV_COUNT, 1, 4);
        vfuc_post(c, 0, TESTDEV_COUNT, 1, 4);
        g_assert_cmpuint(vfuc_read(c, 0, TESTDEV_COUNT, 4), ==, 2 * i);
    }
    end_one(f, c);
}

static void test_mpqemu_has_no_messages(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = mpq_process_connect(f->p, "t0");

    mpq_process_start(f->p);
    g_assert_cmphex(mpq_cfg_read(c, PCI_CAP_PTR, 1), ==, 0);
    g_assert_cmphex(mpq_cfg_read(c, PCI_STATUS, 2) & PCI_STATUS_CAPS, ==, 0);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

#define TESTDEV_TEST(name)                                                                         \
    g_test_add("/wire/testdev/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!g_getenv("QEMU_REMOTE_TEST")) {
        g_print("1..0 # SKIP QEMU_REMOTE_TEST names no program of the test profile\n");
        return 0;
    }
    TESTDEV_TEST(msi);
    TESTDEV_TEST(msix);
    TESTDEV_TEST(isolation);
    TESTDEV_TEST(deferred);
    TESTDEV_TEST(mpqemu_has_no_messages);
    return g_test_run();
}
