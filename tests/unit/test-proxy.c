/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-pci-proxy-dev against a scripted remote in another thread: what it says and when, what it makes
 * of the answers, and interrupts. What becomes of a remote that is lost is test-proxy-lost.c.
 */
#include "proxy-fixture.h"
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROBE_REQUESTS (4 + 6 * 4)

/* --- start --- */

static void test_probe_order(void)
{
    ProxyBoard b;
    g_autoptr(GString) wanted = g_string_new("sync:1 irqfd r00/2 r02/2 r0a/2 r2e/2");

    board_init(&b, false);
    board_remote(&b, "");
    g_assert_true(board_attach(&b, NULL));
    for (unsigned i = 0; i < 6; i++) {
        unsigned at = 0x10 + 4 * i;

        g_string_append_printf(wanted, " r%02x/4 w%02x/4=ffffffff r%02x/4 w%02x/4=%x", at, at, at,
                               at, i == 0);
    }
    board_asked(&b, wanted->str);
    g_assert_cmphex(b.remote->map.size[0], ==, RAM_SIZE);
    g_assert_cmphex(b.pci->config[PCI_DEVICE_ID], ==, 0x78);
    g_assert_cmpuint(b.pci->config[PCI_INT_PIN], ==, 1);
    g_assert_cmpuint(pci_bar_size(b.pci, 0), ==, 16);
    g_assert_cmpuint(pci_bar_size(b.pci, 1), ==, 4096);
    g_assert_cmpuint(pci_bar_size(b.pci, 2), ==, 0);
    board_fini(&b);
}

/* Holes, narrow I/O BARs, I/O BARs of 16 bits, 64 bits, the largest one. */
static void test_bars(void)
{
    ProxyBoard b;
    uint64_t base;

    board_init(&b, false);
    board_remote(&b, "");
    fake_remote_bar(b.remote, 0, 0);
    fake_remote_bar(b.remote, 1, 0xfffffffd);
    fake_remote_bar(b.remote, 2, 0x0000ff01);
    fake_remote_bar(b.remote, 3, 0xffffc00c);
    fake_remote_bar(b.remote, 4, 0xffffffff);
    fake_remote_bar(b.remote, 5, 0x80000008);
    g_assert_true(board_attach(&b, NULL));
    g_assert_cmpuint(pci_bar_size(b.pci, 0), ==, 0);
    g_assert_cmpuint(pci_bar_size(b.pci, 1), ==, 16);
    g_assert_cmpuint(pci_bar_size(b.pci, 2), ==, 256);
    g_assert_cmpuint(pci_bar_size(b.pci, 3), ==, 0x4000);
    g_assert_cmpuint(pci_bar_size(b.pci, 4), ==, 0);
    g_assert_cmpuint(pci_bar_size(b.pci, 5), ==, 0x80000000);
    g_assert_cmpuint(log_count(&b, "64 bits"), ==, 1);
    pci_cfg_write(b.pci, PCI_BAR0 + 4 * 2, 0xd000, 4);
    pci_cfg_write(b.pci, PCI_COMMAND, 3, 2);
    g_assert_true(pci_bar_base(b.pci, 2, &base));
    g_assert_cmphex(base, ==, 0xd000);
    g_assert_false(pci_bar_base(b.pci, 0, &base));
    g_assert_cmphex(pci_bar_read(b.pci, 0, 0, 4), ==, 0xffffffff);
    board_fini(&b);
}

static void attach_fails(ProxyBoard *b, const char *text)
{
    GError *err = NULL;

    g_assert_false(board_attach(b, &err));
    g_assert_nonnull(err);
    if (text && !strstr(err->message, text)) {
        g_error("'%s' is not in '%s'", text, err->message);
    }
    g_error_free(err);
    g_assert_null(b->pci->host);
    g_assert_cmpint(b->irqfd, ==, -1);
    g_assert_cmpuint(log_count(b, "p0"), ==, 0); /* the caller has the error */
}

static void test_bad_bar(void)
{
    ProxyBoard b;

    board_init(&b, false);
    board_remote(&b, "");
    fake_remote_bar(b.remote, 2, 0xf0fff000);
    attach_fails(&b, "BAR 2 of the remote reads f0fff000 when sized");
    board_fini(&b);
}

static void test_empty_slot(void)
{
    ProxyBoard b;

    board_init(&b, false);
    board_remote(&b, "");
    memset(b.remote->config, 0xff, 4);
    attach_fails(&b, "no PCI function");
    board_fini(&b);
}

/* Every way to go wrong, at each request of the start. */
static void test_start_fails(void)
{
    static const Fault faults[] = { FAULT_DIE,  FAULT_CUT,   FAULT_HEADER, FAULT_COMMAND,
                                    FAULT_SIZE, FAULT_TWICE, FAULT_REFUSE };

    ProxyBoard b;

    board_init(&b, false); /* what is opened once and stays */
    board_fini(&b);
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        for (unsigned at = 0; at < PROBE_REQUESTS; at++) {
            unsigned before = open_fds();

            board_init(&b, true);
            board_remote(&b, "");
            fake_remote_fault(b.remote, faults[i], at);
            attach_fails(&b, "the remote");
            board_fini(&b);
            g_assert_cmpuint(open_fds(), ==, before);
        }
    }
}

static void test_start_silent(void)
{
    static const unsigned when[] = { 0, 4, PROBE_REQUESTS - 1 };

    for (unsigned i = 0; i < G_N_ELEMENTS(when); i++) {
        ProxyBoard b;

        board_init(&b, false);
        board_remote(&b, "reply-timeout=20");
        fake_remote_fault(b.remote, FAULT_SILENT, when[i]);
        attach_fails(&b, "does not answer");
        board_fini(&b);
    }
}

/* Odd, but answers all the same. */
static void test_start_drips(void)
{
    ProxyBoard b;

    board_init(&b, false);
    board_remote(&b, "");
    for (unsigned at = 0; at < 2; at++) {
        fake_remote_fault(b.remote, FAULT_DRIP, at);
    }
    g_assert_true(board_attach(&b, NULL));
    board_program(&b);
    fake_remote_fault(b.remote, FAULT_SHORT, 0);
    g_assert_cmphex(reg_read(&b, 0, 4), ==, 0);
    fake_remote_fault(b.remote, FAULT_DRIP, 0);
    g_assert_cmphex(pci_cfg_read(b.pci, 0, 4), ==, 0x56781234);
    board_fini(&b);
}

static void property_fails(const char *props, const char *text)
{
    ProxyBoard b;
    GError *err = NULL;

    board_init(&b, false);
    g_assert_null(board_device(&b, props, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, text)) {
        g_error("'%s' is not in '%s'", text, err->message);
    }
    g_error_free(err);
    board_fini(&b);
}

static void test_properties(void)
{
    g_autofree char *fd_prop = NULL;
    int peer = socket_pair(&fd_prop);
    g_autofree char *both = g_strdup_printf("%s,socket=/x", fd_prop);
    g_autofree char *again = g_strdup_printf("%s,reconnect=1", fd_prop);
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_autofree char *unconnected = g_strdup_printf("fd=%d", sock);
    int event = eventfd(0, EFD_CLOEXEC);
    g_autofree char *no_socket = g_strdup_printf("fd=%d", event);

    property_fails("", "'fd' or 'socket' is missing");
    property_fails(both, "exclude each other");
    property_fails(again, "'reconnect' needs 'socket'");
    property_fails(unconnected, "not a connected socket");
    property_fails(no_socket, "not a UNIX stream socket");
    property_fails("fd=12345", "not open");
    property_fails("fd=x", "not a file descriptor number");
    property_fails("socket=/x,reply-timeout=0", "reply-timeout");
    property_fails("socket=/x,heartbeat=-1", "heartbeat");
    property_fails("socket=/x,reconnect=soon", "reconnect");
    property_fails("socket=/x,nothing=1", "nothing");
    close(peer);
    close(sock);
    close(event);
    close(atoi(fd_prop + 3));
}

static void test_tolerated_properties(void)
{
    ProxyBoard b;

    board_init(&b, false);
    board_remote(&b, "addr=04.0,multifunction=off,rombar=0,romfile=");
    g_assert_true(board_attach(&b, NULL));
    board_fini(&b);
}

static void test_fd_twice(void)
{
    ProxyBoard b;
    GError *err = NULL;
    g_autofree char *fd_prop = NULL;
    g_autofree char *text = NULL;
    int peer = socket_pair(&fd_prop);

    board_init(&b, false);
    g_assert_nonnull(board_device(&b, fd_prop, NULL));
    text = g_strdup_printf("driver=x-pci-proxy-dev,id=p1,%s", fd_prop);
    g_autoptr(Opts) opts = opts_parse(text, NULL, NULL);
    g_assert_null(device_new(b.tree, opts, &err));
    g_assert_nonnull(strstr(err->message, "used by another device"));
    g_error_free(err);
    board_fini(&b);
    close(peer);
}

static void test_nobody_listens(void)
{
    ProxyBoard b;

    board_init(&b, false);
    g_assert_nonnull(board_device(&b, "socket=/nowhere/at/all,reconnect=1", NULL));
    attach_fails(&b, "Can't connect to '/nowhere/at/all'");
    board_fini(&b);
}

/* --- forwarding --- */

static void test_config(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    b.remote->wmask[0x40] = b.remote->wmask[0x41] = 0xff;
    g_assert_cmphex(pci_cfg_read(b.pci, 0, 4), ==, 0x56781234);
    g_assert_cmphex(pci_cfg_read(b.pci, 1, 2), ==, 0x7812);
    g_assert_cmphex(pci_cfg_read(b.pci, 3, 1), ==, 0x56);
    pci_cfg_write(b.pci, 0x40, 0x1234, 2);
    pci_cfg_write(b.pci, 0x41, 0xab, 1);
    g_assert_cmphex(pci_cfg_read(b.pci, 0x40, 4), ==, 0xab34);
    board_asked(&b, "r00/4 r01/2 r03/1 w40/2=1234 w41/1=ab r40/4");
    /* the last bytes are read in a way that QEMU's remote survives */
    b.remote->config[0xfc] = 1;
    b.remote->config[0xfd] = 2;
    b.remote->config[0xfe] = 3;
    b.remote->config[0xff] = 4;
    g_assert_cmphex(pci_cfg_read(b.pci, 0xfc, 4), ==, 0x04030201);
    g_assert_cmphex(pci_cfg_read(b.pci, 0xfc, 1), ==, 0x01);
    g_assert_cmphex(pci_cfg_read(b.pci, 0xfd, 2), ==, 0x0302);
    g_assert_cmphex(pci_cfg_read(b.pci, 0xff, 1), ==, 0x04);
    board_asked(&b, "rfc/4 rfc/1 rfc/4 rfc/4");
    board_fini(&b);
}

static void test_bar(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    reg_write(&b, 0, 0x8877665544332211, 8);
    g_assert_cmphex(reg_read(&b, 0, 8), ==, 0x8877665544332211);
    g_assert_cmphex(reg_read(&b, 4, 4), ==, 0x88776655);
    g_assert_cmphex(reg_read(&b, 2, 2), ==, 0x4433);
    g_assert_cmphex(reg_read(&b, 7, 1), ==, 0x88);
    board_asked(
        &b, "Wmfe000000/8=8877665544332211 Rmfe000000/8 Rmfe000004/4 Rmfe000002/2 Rmfe000007/1");
    g_assert_cmphex(pci_bar_read(b.pci, 0, 1, 1), ==, 0x22);
    pci_bar_write(b.pci, 0, 12, 0x123456789, 4);
    board_asked(&b, "Ric001/1 Wic00c/4=23456789");
    /* unaligned: bytes */
    g_assert_cmphex(reg_read(&b, 1, 4), ==, 0x55443322);
    board_asked(&b, "Rmfe000001/1 Rmfe000002/1 Rmfe000003/1 Rmfe000004/1");
    /* moved, and off */
    pci_cfg_write(b.pci, PCI_BAR0 + 4, 0xe0001000, 4);
    reg_read(&b, 0, 1);
    pci_cfg_write(b.pci, PCI_COMMAND, 0, 2);
    g_assert_cmphex(reg_read(&b, 0, 1), ==, 0xff);
    reg_write(&b, 0, 0, 1);
    board_asked(&b, "w14/4=e0001000 Rme0001000/1 w04/2=0");
    board_fini(&b);
}

static void test_reset(void)
{
    ProxyBoard b;
    uint64_t base;

    board_start(&b, false, "");
    reg_write(&b, FAKE_REG_IRQ, 1, 1);
    g_assert_true(b.level);
    g_free(fake_remote_log(b.remote));
    pci_dev_reset(b.pci);
    g_assert_false(b.level);
    g_assert_false(pci_bar_base(b.pci, 1, &base));
    board_asked(&b, "reset w10/4=1 w14/4=0 w0c/2=0 w3c/1=0 w04/2=0");
    board_settle(&b);
    g_assert_false(b.level);
    board_program(&b);
    g_assert_cmphex(reg_read(&b, FAKE_REG_IRQ, 1), ==, 0);
    board_fini(&b);
}

static void on_idle(void *opaque)
{
    (*(unsigned *)opaque)++;
}

static void test_drain(void)
{
    ProxyBoard b;
    unsigned idle = 0;

    board_start(&b, false, "");
    b.pci->ops->drain(b.pci, on_idle, &idle);
    g_assert_cmpuint(idle, ==, 0);
    board_settle(&b);
    g_assert_cmpuint(idle, ==, 1);
    board_fini(&b);
}

static void test_memory(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    g_assert_true(memory_map_del(b.map, 0, RAM_SIZE, 0));
    MemorySection half = { .size = RAM_SIZE / 2, .host = b.ram, .fd = b.ram_fd };
    g_assert_true(memory_map_add(b.map, &half));
    pci_cfg_read(b.pci, 0, 4);
    board_asked(&b, "sync:1 r00/4");
    g_assert_cmphex(b.remote->map.size[0], ==, RAM_SIZE / 2);
    board_fini(&b);
}

/* --- interrupts --- */

static bool is_up(ProxyBoard *b)
{
    return b->level;
}

static void test_irq_watched(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    fake_remote_line(b.remote, true);
    board_until(&b, is_up);
    g_assert_cmpuint(b.changes, ==, 1);
    /* an access that leaves it up: never down in between */
    g_free(fake_remote_log(b.remote));
    g_assert_cmphex(reg_read(&b, FAKE_REG_IRQ, 1), ==, 1);
    board_asked(&b, "Rmfe000008/1 r06/2");
    board_settle(&b);
    g_assert_cmpuint(b.changes, ==, 1);
    /* one that takes it down */
    reg_write(&b, FAKE_REG_IRQ, 0, 1);
    g_assert_false(b.level);
    g_assert_cmpuint(b.changes, ==, 2);
    board_settle(&b);
    g_assert_false(b.level);
    /* the resample event has been sent, and does nothing with the line down */
    g_free(fake_remote_log(b.remote));
    reg_read(&b, 0, 1);
    board_asked(&b, "resample Rmfe000000/1");
    board_settle(&b);
    g_assert_cmpuint(b.changes, ==, 2);
    board_fini(&b);
}

/* What an access raises is up when it is over, without a turn of the loop. */
static void test_irq_at_once(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    for (unsigned i = 0; i < 3; i++) {
        reg_write(&b, FAKE_REG_IRQ, 1, 1);
        g_assert_true(b.level);
        reg_write(&b, FAKE_REG_IRQ, 0, 1);
        g_assert_false(b.level);
    }
    g_assert_cmpuint(b.changes, ==, 6);
    board_fini(&b);
}

/* A line that comes and goes before anyone looks is no interrupt. */
static void test_irq_stale(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    fake_remote_line(b.remote, true);
    fake_remote_line(b.remote, false);
    reg_read(&b, 0, 1);
    board_settle(&b);
    g_assert_cmpuint(b.changes, ==, 0);
    board_fini(&b);
}

static void test_irq_intx_off(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    reg_write(&b, FAKE_REG_IRQ, 1, 1);
    pci_cfg_write(b.pci, PCI_COMMAND, 0x407, 2);
    g_assert_false(b.level);
    pci_cfg_write(b.pci, PCI_COMMAND, 0x007, 2);
    g_assert_true(b.level);
    board_fini(&b);
}

/* Without the status bit the remote's second signal has to do. */
static void test_irq_no_status(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    b.remote->no_status_bit = true;
    fake_remote_line(b.remote, true);
    board_until(&b, is_up);
    reg_read(&b, 0, 1);
    g_assert_false(b.level);
    fake_remote_resample(b.remote);
    board_until(&b, is_up);
    reg_write(&b, FAKE_REG_IRQ, 0, 1);
    fake_remote_resample(b.remote);
    board_settle(&b);
    g_assert_false(b.level);
    board_fini(&b);
}

/* A remote that signals with the line down is not believed, nor asked for more of it. */
static void test_irq_leaky(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    b.remote->leaky = true;
    fake_remote_line(b.remote, true);
    board_until(&b, is_up);
    reg_write(&b, FAKE_REG_IRQ, 0, 1);
    g_assert_false(b.level);
    g_free(fake_remote_log(b.remote));
    for (unsigned i = 0; i < 3; i++) {
        fake_remote_resample(b.remote);
        board_settle(&b);
        g_assert_false(b.level);
    }
    g_assert_cmpuint(b.changes, ==, 2);
    board_asked(&b, "resample r06/2");
    fake_remote_line(b.remote, true);
    board_until(&b, is_up);
    board_fini(&b);
}

static void test_irq_bound(void)
{
    ProxyBoard b;
    uint64_t count;

    board_start(&b, true, "");
    g_assert_cmpint(b.irqfd, >=, 0);
    g_assert_cmpint(b.resamplefd, >=, 0);
    reg_write(&b, FAKE_REG_IRQ, 1, 1);
    board_settle(&b);
    g_assert_cmpuint(b.changes, ==, 0);
    g_assert_cmpint(read(b.irqfd, &count, sizeof(count)), ==, sizeof(count));
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpint(read(b.resamplefd, &count, sizeof(count)), ==, -1);
    board_asked(&b, "Wmfe000008/1=1"); /* and no second look */
    pci_dev_detach(b.pci);
    g_assert_cmpint(b.irqfd, ==, -1);
    board_fini(&b);
}

static void test_irq_bind_refused(void)
{
    ProxyBoard b;

    board_init(&b, true);
    b.bind_result = -ENOTSUP;
    board_remote(&b, "");
    g_assert_true(board_attach(&b, NULL));
    board_program(&b);
    g_assert_cmpint(b.irqfd, ==, -1);
    reg_write(&b, FAKE_REG_IRQ, 1, 1);
    g_assert_true(b.level);
    board_fini(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/proxy/start/order", test_probe_order);
    g_test_add_func("/proxy/start/bars", test_bars);
    g_test_add_func("/proxy/start/bad-bar", test_bad_bar);
    g_test_add_func("/proxy/start/empty-slot", test_empty_slot);
    g_test_add_func("/proxy/start/fails", test_start_fails);
    g_test_add_func("/proxy/start/silent", test_start_silent);
    g_test_add_func("/proxy/start/drips", test_start_drips);
    g_test_add_func("/proxy/start/properties", test_properties);
    g_test_add_func("/proxy/start/tolerated-properties", test_tolerated_properties);
    g_test_add_func("/proxy/start/fd-twice", test_fd_twice);
    g_test_add_func("/proxy/start/nobody-listens", test_nobody_listens);
    g_test_add_func("/proxy/config", test_config);
    g_test_add_func("/proxy/bar", test_bar);
    g_test_add_func("/proxy/reset", test_reset);
    g_test_add_func("/proxy/drain", test_drain);
    g_test_add_func("/proxy/memory", test_memory);
    g_test_add_func("/proxy/irq/watched", test_irq_watched);
    g_test_add_func("/proxy/irq/at-once", test_irq_at_once);
    g_test_add_func("/proxy/irq/stale", test_irq_stale);
    g_test_add_func("/proxy/irq/intx-off", test_irq_intx_off);
    g_test_add_func("/proxy/irq/no-status", test_irq_no_status);
    g_test_add_func("/proxy/irq/leaky", test_irq_leaky);
    g_test_add_func("/proxy/irq/bound", test_irq_bound);
    g_test_add_func("/proxy/irq/bind-refused", test_irq_bind_refused);
    return g_test_run();
}
