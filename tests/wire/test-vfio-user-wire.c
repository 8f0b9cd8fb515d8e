/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio-user clients against the real program ($QEMU_REMOTE): one that uses the LSI, ones that come
 * while another is served, that flood, that shrink their RAM, that stop at every byte; and SIGTERM
 * under each of them.
 */
#include "util/fd.h"
#include "vfu-client.h"
#include "wire-fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LSI_BAR 1 /* the registers, in memory */
#define LSI_ISTAT 0x14
#define LSI_DIEN 0x39
#define LSI_DSP 0x2c

static void start(WireFixture *f, bool auto_shutdown)
{
    vfuc_listen(f->p, "lsi0", f->path, auto_shutdown);
    mpq_process_start(f->p);
}

/* A client with VERSION behind it; the one before may just be going. */
static VfuClient *next_client(WireFixture *f)
{
    VfuClient *c = vfuc_open(f->p, f->path);

    g_assert_true(vfuc_version(c));
    return c;
}

static void run_script(VfuClient *c)
{
    vfuc_write(c, VFU_REGION_CONFIG, 4, 7, 2);
    vfuc_post(c, LSI_BAR, LSI_DIEN, 0x7d, 1);
    vfuc_post(c, LSI_BAR, LSI_DSP, 0, 4);
    g_assert_true(vfuc_wait_irq(c, MPQ_TIMEOUT_MS));
}

/* SCRIPTS from guest memory, and the interrupt that ends them, as often as the line is unmasked. */
static void test_session(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuIrqSet unmask = { sizeof(unmask), VFU_IRQ_DATA_NONE | VFU_IRQ_UNMASK, 0, 0, 1 };
    VfuClient *c;

    start(f, true);
    c = next_client(f);
    g_assert_cmphex(vfuc_read(c, VFU_REGION_CONFIG, 0, 4), ==, LSI_IDS);
    wire_put_script(vfuc_map_ram(c, 1 << 20));
    vfuc_set_irq(c);
    for (unsigned i = 0; i < 3; i++) {
        run_script(c);
        g_assert_cmphex(vfuc_read(c, LSI_BAR, LSI_DSTAT, 1) & DSTAT_SIR, ==, DSTAT_SIR);
        vfuc_ask(c, VFU_DEVICE_SET_IRQS, &unmask, sizeof(unmask), NULL, 0, 0);
    }
    vfuc_ask(c, VFU_DEVICE_RESET, NULL, 0, NULL, 0, 0);
    g_assert_cmphex(vfuc_read(c, VFU_REGION_CONFIG, 4, 2), ==, 0);
    vfuc_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* The next client finds the device reset, and nothing of the last one's. */
static void test_next_client(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned fds = 0;

    start(f, false);
    for (unsigned i = 0; i < 50; i++) {
        VfuClient *c = next_client(f);

        g_assert_cmphex(vfuc_read(c, VFU_REGION_CONFIG, 4, 2), ==, 0);
        if (i == 0) {
            fds = mpq_process_count_fds(f->p);
        }
        g_assert_cmpuint(mpq_process_count_fds(f->p), ==, fds);
        wire_put_script(vfuc_map_ram(c, 1 << 20));
        vfuc_set_irq(c);
        run_script(c);
        vfuc_free(c);
    }
}

/* A second one is closed at once; a third one after that; the first goes on. */
static void test_second_client(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuClient *c;

    start(f, false);
    c = next_client(f);
    for (unsigned i = 0; i < 20; i++) {
        VfuClient *other = vfuc_open(f->p, f->path);

        g_assert_false(vfuc_version(other));
        vfuc_free(other);
        g_assert_cmphex(vfuc_read(c, VFU_REGION_CONFIG, 0, 4), ==, LSI_IDS);
    }
    g_assert_cmpuint(wire_count_text(f, "another client is refused"), ==, 20);
    vfuc_free(c);
    c = next_client(f);
    vfuc_free(c);
}

/* auto-shutdown=on: nobody listens any more. */
static void test_second_client_of_one(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuClient *c;

    start(f, true);
    c = next_client(f);
    g_assert_false(g_file_test(f->path, G_FILE_TEST_EXISTS));
    g_assert_cmphex(vfuc_read(c, VFU_REGION_CONFIG, 0, 4), ==, LSI_IDS);
    vfuc_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* Cut off at every byte of a message with a payload. */
static void test_hang_up(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    struct {
        VfuHeader header;
        VfuRegionAccess access;
    } message = { { 1, VFU_REGION_READ, sizeof(message), 0, 0 }, { 0, VFU_REGION_CONFIG, 4 } };
    VfuClient *c;
    unsigned fds;

    start(f, false);
    c = next_client(f);
    fds = mpq_process_count_fds(f->p);
    vfuc_free(c);
    for (size_t len = 0; len < sizeof(message); len++) {
        c = next_client(f);
        g_assert_cmpint(send(c->sock, &message, len, MSG_NOSIGNAL), ==, len);
        vfuc_free(c);
    }
    c = next_client(f);
    g_assert_cmpuint(mpq_process_count_fds(f->p), ==, fds);
    vfuc_free(c);
}

/* As many messages as it takes, none of the answers read. */
static void flood(VfuClient *c)
{
    VfuRegionAccess access = { 0, VFU_REGION_CONFIG, 256 };

    fcntl(c->sock, F_SETFL, O_NONBLOCK);
    while (vfuc_send(c, VFU_REGION_READ, 0, &access, sizeof(access), NULL, 0)) {
    }
}

static void test_flood(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuClient *c;

    start(f, false);
    c = next_client(f);
    flood(c);
    mpq_process_wait_idle(f->p);
    vfuc_free(c);
    c = next_client(f);
    g_assert_cmphex(vfuc_read(c, VFU_REGION_CONFIG, 0, 4), ==, LSI_IDS);
    flood(c);
    kill(mpq_process_pid(f->p), SIGTERM);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
    vfuc_free(c);
}

/* Half a message is a client like any other to SIGTERM. */
static void test_terminated(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuClient *c;

    start(f, false);
    c = vfuc_open(f->p, f->path);
    g_assert_cmpint(send(c->sock, "1234567", 7, MSG_NOSIGNAL), ==, 7);
    mpq_process_wait_idle(f->p);
    kill(mpq_process_pid(f->p), SIGTERM);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
    g_assert_false(g_file_test(f->path, G_FILE_TEST_EXISTS));
    vfuc_free(c);
}

/* The file behind the guest's RAM loses its pages: the device has a bus fault, the process goes
 * on. */
static void test_shrunk_ram(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuClient *c;

    start(f, false);
    c = next_client(f);
    wire_put_script(vfuc_map_ram(c, 1 << 20));
    vfuc_set_irq(c);
    g_assert_cmpint(ftruncate(c->ram_fd, 0), ==, 0);
    run_script(c);
    g_assert_cmphex(vfuc_read(c, LSI_BAR, LSI_DSTAT, 1) & DSTAT_BF, ==, DSTAT_BF);
    vfuc_free(c);
    c = next_client(f);
    vfuc_free(c);
}

/* The same with RAM that was never shared; the log has the remedy, once. */
static void test_unshared_ram(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaMap map = { sizeof(map), VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE, 0, 0, 1 << 20 };
    VfuClient *c;

    start(f, false);
    c = next_client(f);
    vfuc_ask(c, VFU_DMA_MAP, &map, sizeof(map), NULL, 0, 0);
    map.iova = 1 << 20;
    vfuc_ask(c, VFU_DMA_MAP, &map, sizeof(map), NULL, 0, 0);
    vfuc_set_irq(c);
    run_script(c);
    g_assert_cmphex(vfuc_read(c, LSI_BAR, LSI_DSTAT, 1) & DSTAT_BF, ==, DSTAT_BF);
    g_assert_cmpuint(wire_count_text(f, "share=on"), ==, 1);
    vfuc_free(c);
}

/* Two devices of one process, each with a client of its own, who map the same addresses. */
static void test_two_devices(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *second = g_strconcat(f->path, "2", NULL);
    VfuClient *a, *b;

    mpq_process_args(f->p, "-device", "lsi53c895a,id=lsi1", NULL);
    vfuc_listen(f->p, "lsi1", second, true);
    start(f, true);
    a = next_client(f);
    b = vfuc_open(f->p, second);
    g_assert_true(vfuc_version(b));
    wire_put_script(vfuc_map_ram(a, 1 << 20));
    vfuc_set_irq(a);
    vfuc_set_irq(b);
    run_script(b); /* which has no RAM */
    g_assert_cmphex(vfuc_read(b, LSI_BAR, LSI_DSTAT, 1) & DSTAT_BF, ==, DSTAT_BF);
    run_script(a);
    g_assert_cmphex(vfuc_read(a, LSI_BAR, LSI_DSTAT, 1) & DSTAT_SIR, ==, DSTAT_SIR);
    vfuc_map_ram(b, 1 << 20);
    vfuc_free(b);
    g_assert_cmphex(vfuc_read(a, VFU_REGION_CONFIG, 0, 4), ==, LSI_IDS);
    vfuc_free(a);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

int main(int argc, char **argv)
{
    wire_test_init(&argc, &argv);
    WIRE_TEST(session);
    WIRE_TEST(next_client);
    WIRE_TEST(second_client);
    WIRE_TEST(second_client_of_one);
    WIRE_TEST(hang_up);
    WIRE_TEST(flood);
    WIRE_TEST(terminated);
    WIRE_TEST(shrunk_ram);
    WIRE_TEST(unshared_ram);
    WIRE_TEST(two_devices);
    return g_test_run();
}
