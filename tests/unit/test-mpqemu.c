/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mpqemu server and the machine under it: each message, senseless content, reset and hang-up
 * while the device still drains. What ends a connection is in test-mpqemu-framing.c.
 */
#include "mpqemu-peer.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

/* ---- messages ---- */

static void test_cfg(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmphex(cfg(f, MPQ_PCI_CFGREAD, 0, 0, 4), ==, 0x56781234);
    g_assert_cmphex(cfg(f, MPQ_PCI_CFGREAD, 2, 0, 2), ==, 0x5678);
    g_assert_cmphex(cfg(f, MPQ_PCI_CFGREAD, 0xff, 0, 1), ==, 0); /* the stock exits on this one */
    cfg(f, MPQ_PCI_CFGWRITE, PCI_BAR0, 0xffffffff, 4);
    g_assert_cmphex(cfg(f, MPQ_PCI_CFGREAD, PCI_BAR0, 0, 4), ==, 0xfffffff1);
}

static void test_cfg_senseless(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        uint32_t addr;
        int32_t len;
    } cases[] = {
        { 0, 0 },    { 0, 3 },     { 0, -1 },         { 0, 8 },          { 0xfd, 4 },
        { 0xff, 2 }, { 0x100, 1 }, { UINT32_MAX, 4 }, { UINT32_MAX, 1 }, { 0, INT32_MIN }
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmphex(cfg(f, MPQ_PCI_CFGREAD, cases[i].addr, 0, cases[i].len), ==, ALL_ONES);
        g_assert_cmphex(cfg(f, MPQ_PCI_CFGWRITE, cases[i].addr, ~0u, cases[i].len), ==, ALL_ONES);
    }
    g_assert_cmphex(cfg(f, MPQ_PCI_CFGREAD, 4, 0, 4), ==, 0);
}

static void test_bars(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmphex(bar(f, MPQ_BAR_READ, 0xc000, 0, 4, false), ==, ALL_ONES); /* not enabled */
    program(f);
    g_assert_cmphex(bar(f, MPQ_BAR_WRITE, 0xfe000010, 0x1122334455667788, 8, true), ==, 0);
    g_assert_cmphex(bar(f, MPQ_BAR_READ, 0xfe000010, 0, 8, true), ==, 0x1122334455667788);
    g_assert_cmphex(bar(f, MPQ_BAR_READ, 0xfe000013, 0, 1, true), ==, 0x55);
    g_assert_cmphex(bar(f, MPQ_BAR_WRITE, 0xc001, 0xffffffffffffff42, 1, false), ==, 0);
    g_assert_cmphex(bar(f, MPQ_BAR_READ, 0xc000, 0, 4, false), ==, 0x4200);
}

static void test_bars_senseless(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        uint64_t addr;
        uint32_t size;
        bool memory;
    } cases[] = {
        { 0xc000, 4, true },     { 0xfe000000, 4, false }, { 0xc00e, 4, false },
        { 0xc010, 1, false },    { 0xbfff, 1, false },     { 0xfe000000, 0, true },
        { 0xfe000000, 3, true }, { 0xfe000000, 16, true }, { 0xfe000000, UINT32_MAX, true },
        { UINT64_MAX, 8, true }, { 0, 4, true },           { 0x1fe000000, 4, true },
        { 0xfe000ffc, 8, true },
    };

    program(f);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmphex(bar(f, MPQ_BAR_READ, cases[i].addr, 0, cases[i].size, cases[i].memory), ==,
                        ALL_ONES);
        g_assert_cmphex(bar(f, MPQ_BAR_WRITE, cases[i].addr, 0, cases[i].size, cases[i].memory), ==,
                        ALL_ONES);
    }
    g_assert_cmpstr(f->fake->log->str, ==, "");
    g_assert_true(alive(f));
}

/* A write's deferred work has been done when the next frame is handled, though both came at
 * once; the reply doesn't wait for it. */
static void test_deferred(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqBar body = { .addr = 0xc000 + FAKE_REG_WORK, .value = 1, .size = 4 };
    uint8_t buf[256];
    size_t len;

    program(f);
    len = put_message(buf, MPQ_BAR_WRITE, &body, sizeof(body));
    len += put_message(buf + len, MPQ_BAR_READ, &body, sizeof(body));
    put_raw(f, buf, len, NULL, 0);
    settle(f);
    g_assert_cmphex(reply(f), ==, 0);
    g_assert_cmphex(reply(f), ==, 2);
}

static void test_sync(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = new_ram(8);
    unsigned before = open_fds();
    char c;

    for (unsigned n = 1; n <= 8; n++) {
        sync_n(f, ram, n);
        g_assert_cmpuint(guest_memory_count(f->m->mem), ==, n);
        g_assert_cmpuint(machine_regions(f->m)->n, ==, n);
        g_assert_cmpuint(open_fds(), ==, before);
    }
    g_assert_cmpint(guest_memory_write(f->m->mem, 14 * PAGE, "x", 1), ==, 0);
    g_assert_cmpint(pread(ram, &c, 1, 7 * PAGE), ==, 1);
    g_assert_cmpint(c, ==, 'x');
    for (unsigned i = 0; i < 1000; i++) {
        sync_n(f, ram, 8);
    }
    g_assert_cmpuint(open_fds(), ==, before);
    g_assert_true(alive(f));
}

static void test_sync_senseless(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = new_ram(8);
    static const MpqSysmem maps[] = {
        { .gpa = { 0, 0 }, .size = { PAGE, PAGE } },                         /* overlap */
        { .gpa = { 0, PAGE }, .size = { PAGE, 0 } },                         /* empty */
        { .gpa = { 0, UINT64_MAX - PAGE + 1 }, .size = { PAGE, 2 * PAGE } }, /* wraps */
        { .gpa = { 0, 2 * PAGE }, .size = { PAGE, PAGE }, .offset = { 0, -4096 } },
        { .gpa = { 0, 2 * PAGE }, .size = { PAGE, 9 * PAGE } }, /* beyond the file */
        { .gpa = { 0, 2 * PAGE + 1 }, .size = { PAGE, PAGE } },
    };
    int fds[2] = { ram, ram };
    AUTO_FD null_fd = open("/dev/null", O_RDWR);

    for (unsigned i = 0; i < G_N_ELEMENTS(maps); i++) {
        sync_n(f, ram, 1);
        put(f, MPQ_SYNC_SYSMEM, &maps[i], sizeof(maps[i]), fds, 2);
        g_assert_cmpuint(guest_memory_count(f->m->mem), ==, 0);
        g_assert_true(alive(f));
    }
    sync_n(f, null_fd, 1);
    g_assert_cmpuint(guest_memory_count(f->m->mem), ==, 0);
    g_assert_true(alive(f));
}

static void test_irq(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int fds[2] = { irqfd, resamplefd };
    uint64_t n = 1;

    program(f);
    put(f, MPQ_SET_IRQFD, NULL, 0, fds, 2);
    no_reply(f);
    bar(f, MPQ_BAR_WRITE, 0xc000 + FAKE_REG_IRQ, 1, 1, false);
    g_assert_cmpint(read(irqfd, &n, 8), ==, 8);
    g_assert_cmpint(write(resamplefd, &n, 8), ==, 8);
    settle(f);
    g_assert_cmpint(read(irqfd, &n, 8), ==, 8);
    bar(f, MPQ_BAR_WRITE, 0xc000 + FAKE_REG_IRQ, 0, 1, false);
    g_assert_cmpint(write(resamplefd, &n, 8), ==, 8);
    settle(f);
    g_assert_cmpint(read(irqfd, &n, 8), ==, -1);
}

static void test_irq_senseless(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned before = open_fds();
    int sv[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), ==, 0);
    put(f, MPQ_SET_IRQFD, NULL, 0, sv, 2);
    close(sv[0]);
    close(sv[1]);
    g_assert_cmpuint(open_fds(), ==, before);
    g_assert_true(alive(f));
}

/* ---- counters ---- */

static void test_counters(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int fds[2] = { irqfd, resamplefd };
    RemoteCounters counters;

    program(f); /* 3 config writes */
    put(f, MPQ_SET_IRQFD, NULL, 0, fds, 2);
    bar(f, MPQ_BAR_WRITE, 0xc000 + FAKE_REG_IRQ, 1, 1, false);
    bar(f, MPQ_BAR_READ, 0xc000, 0, 4, false);
    bar(f, MPQ_BAR_READ, 0xfe000000, 0, 4, true);
    bar(f, MPQ_BAR_READ, 0xfe000000, 0, 4, true);
    counters = machine_counters(f->m);
    g_assert_cmpuint(counters.messages[MPQ_PCI_CFGWRITE], ==, 3);
    g_assert_cmpuint(counters.messages[MPQ_BAR_READ], ==, 3);
    g_assert_cmpuint(counters.messages[MPQ_SET_IRQFD], ==, 1);
    g_assert_cmpuint(counters.cfg_writes, ==, 3);
    g_assert_cmpuint(counters.cfg_reads, ==, 0);
    g_assert_cmpuint(counters.bar_writes[0], ==, 1);
    g_assert_cmpuint(counters.bar_reads[0], ==, 1);
    g_assert_cmpuint(counters.bar_reads[1], ==, 2);
    g_assert_cmpuint(counters.interrupts, ==, 1);
    g_assert_cmpuint(counters.errors, ==, 0);
    g_assert_cmpstr(machine_last_error(f->m), ==, "");
    g_assert_cmpstr(mpqemu_message_name(MPQ_BAR_READ), ==, "BAR_READ");
    g_assert_null(mpqemu_message_name(MPQ_CMDS));
}

static void test_counters_error(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    RemoteCounters counters;

    bar(f, MPQ_BAR_READ, 0xc000, 0, 4, false);
    counters = machine_counters(f->m);
    g_assert_cmpuint(counters.errors, ==, 1);
    g_assert_cmpstr(machine_last_error(f->m), ==,
                    "I/O read of 4 bytes at 0xc000 ignored: no BAR there");
    g_assert_cmpuint(counters.bar_reads[0], ==, 0);
    put(f, MPQ_CMDS, NULL, 0, NULL, 0);
    counters = machine_counters(f->m); /* it outlives the connection */
    g_assert_cmpuint(f->ended, ==, 1);
    g_assert_cmpuint(counters.errors, ==, 2);
    g_assert_cmpstr(machine_last_error(f->m), ==, "command 8: not a request; connection ended");
    machine_counters_clear(f->m);
    counters = machine_counters(f->m);
    g_assert_cmpuint(counters.messages[MPQ_BAR_READ], ==, 0);
    g_assert_cmpstr(machine_last_error(f->m), ==, "");
}

/* ---- reset ---- */

static void test_reset(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD ram = new_ram(1);
    int fds[2] = { irqfd, resamplefd };

    program(f);
    put(f, MPQ_SET_IRQFD, NULL, 0, fds, 2);
    sync_n(f, ram, 1);
    bar(f, MPQ_BAR_WRITE, 0xc000 + FAKE_REG_IRQ, 1, 1, false);
    put(f, MPQ_DEVICE_RESET, NULL, 0, NULL, 0);
    reset_reply(f);
    g_assert_cmpuint(f->fake->resets, ==, 1);
    g_assert_false(f->m->iohub.level);
    g_assert_cmpint(f->m->iohub.irqfd, >=, 0);
    g_assert_cmpuint(guest_memory_count(f->m->mem), ==, 1);
    g_assert_cmphex(cfg(f, MPQ_PCI_CFGREAD, PCI_BAR0 + 4, 0, 4), ==, 0);
    g_assert_cmphex(cfg(f, MPQ_PCI_CFGREAD, PCI_COMMAND, 0, 2), ==, 0);
}

/* The answer waits for the drain, and so does every frame behind it. */
static void test_reset_drains(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqCfg body = { .len = 4 };

    f->fake->hold_drain = true;
    put(f, MPQ_DEVICE_RESET, NULL, 0, NULL, 0);
    put(f, MPQ_PCI_CFGREAD, &body, sizeof(body), NULL, 0);
    no_reply(f);
    loop_defer(&f->fake->idle_work);
    settle(f);
    reset_reply(f);
    g_assert_cmphex(reply(f), ==, 0x56781234);
}

static void test_reset_hangup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->fake->hold_drain = true;
    put(f, MPQ_DEVICE_RESET, NULL, 0, NULL, 0);
    fd_clear(&f->peer);
    settle(f);
    g_assert_cmpuint(f->ended, ==, 0);
    f->fake->hold_drain = false;
    loop_defer(&f->fake->idle_work);
    settle(f);
    g_assert_cmpuint(f->ended, ==, 1);
    g_assert_false(f->violation);
}

/* Stopped while the reset drains: one drain serves both. */
static void test_reset_stop(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->fake->hold_drain = true;
    put(f, MPQ_DEVICE_RESET, NULL, 0, NULL, 0);
    mpqemu_server_stop(f->server);
    mpqemu_server_stop(f->server);
    settle(f);
    g_assert_cmpuint(f->ended, ==, 0);
    loop_defer(&f->fake->idle_work);
    settle(f);
    g_assert_cmpuint(f->ended, ==, 1);
    g_assert_false(f->violation);
    g_assert_cmpuint(f->fake->drains, ==, 1);
}

/* ---- the end ---- */

static void test_hangup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD ram = new_ram(1);
    int fds[2] = { irqfd, resamplefd };

    program(f);
    put(f, MPQ_SET_IRQFD, NULL, 0, fds, 2);
    sync_n(f, ram, 1);
    f->fake->hold_drain = true;
    fd_clear(&f->peer);
    settle(f);
    g_assert_cmpuint(f->fake->drains, ==, 1);
    g_assert_cmpuint(guest_memory_count(f->m->mem), ==, 1); /* DMA in flight may need it */
    g_assert_cmpuint(f->ended, ==, 0);
    loop_defer(&f->fake->idle_work);
    settle(f);
    g_assert_cmpuint(f->ended, ==, 1);
    g_assert_false(f->violation);
    g_assert_cmpuint(guest_memory_count(f->m->mem), ==, 0);
    g_assert_cmpint(f->m->iohub.irqfd, ==, -1);
    g_assert_cmpuint(f->fake->resets, ==, 1);
}

/* The same machine serves the next peer. */
static void test_next_peer(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    for (unsigned i = 0; i < 3; i++) {
        program(f);
        fd_clear(&f->peer);
        settle(f);
        g_assert_cmpuint(f->ended, ==, 1);
        mpqemu_server_free(f->server);
        connect_peer(f);
        g_assert_cmphex(cfg(f, MPQ_PCI_CFGREAD, PCI_COMMAND, 0, 2), ==, 0);
    }
}

static void test_stop(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    char byte;

    mpqemu_server_stop(f->server);
    settle(f);
    g_assert_cmpuint(f->ended, ==, 1);
    g_assert_false(f->violation);
    g_assert_cmpint(recv(f->peer, &byte, 1, MSG_DONTWAIT), ==, 0);
    mpqemu_server_stop(f->server);
    settle(f);
    g_assert_cmpuint(f->ended, ==, 1);
}

/* ---- set-up ---- */

static void test_refused_attach(void)
{
    Loop *loop = loop_new("test", NULL);
    FakePci *fake = fake_new();
    g_autoptr(GError) err = NULL;

    fake->refuse_attach = true;
    g_assert_null(machine_new("test", loop, &fake->pci, &err));
    g_assert_cmpstr(err->message, ==, "refused");
    g_assert_null(fake->pci.loop);
    fake_free(fake);
    loop_free(loop);
}

static void test_device_in_use(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(machine_new("second", f->loop, &f->fake->pci, &err));
    g_assert_nonnull(strstr(err->message, "in use"));
}

static void test_not_a_socket(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    g_assert_null(mpqemu_server_new(f->m, fd, on_ended, f));
    g_assert_cmpint(errno, ==, ENOTSOCK);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
}

#define TEST(name) g_test_add("/mpqemu/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(cfg);
    TEST(cfg_senseless);
    TEST(bars);
    TEST(bars_senseless);
    TEST(deferred);
    TEST(sync);
    TEST(sync_senseless);
    TEST(irq);
    TEST(irq_senseless);
    TEST(counters);
    TEST(counters_error);
    TEST(reset);
    TEST(reset_drains);
    TEST(reset_hangup);
    TEST(reset_stop);
    TEST(hangup);
    TEST(next_peer);
    TEST(stop);
    TEST(device_in_use);
    TEST(not_a_socket);
    g_test_add_func("/mpqemu/refused_attach", test_refused_attach);
    return g_test_run();
}
