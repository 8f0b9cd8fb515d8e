/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-pci-proxy-dev and a remote that is lost, slow or wrong: no answer, late, wrong or missing, does
 * more than empty the slot; and a remote that comes back fills it again.
 */
#include "proxy-fixture.h"
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* --- a remote that is lost, slow or wrong --- */

static void test_lost(void)
{
    static const Fault faults[] = { FAULT_DIE,     FAULT_CUT,  FAULT_HEADER,
                                    FAULT_COMMAND, FAULT_SIZE, FAULT_TWICE };

    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        ProxyBoard b;

        board_start(&b, false, "");
        reg_write(&b, FAKE_REG_IRQ, 1, 1);
        g_assert_true(b.level);
        fake_remote_fault(b.remote, faults[i], 0);
        g_assert_cmphex(reg_read(&b, 0, 4), ==, 0xffffffff);
        board_is_gone(&b);
        g_assert_cmpuint(log_count(&b, "p0: "), ==, 1);
        g_assert_cmpuint(log_count(&b, "the device is gone"), ==, 1);
        board_fini(&b);
    }
}

/* It dies while the line is asked for, in a config access, in a reset. */
static void test_lost_elsewhere(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    reg_write(&b, FAKE_REG_IRQ, 1, 1);
    fake_remote_fault(b.remote, FAULT_DIE, 1);
    g_assert_cmphex(reg_read(&b, FAKE_REG_IRQ, 1), ==, 1);
    board_is_gone(&b);
    board_fini(&b);

    board_start(&b, false, "");
    fake_remote_fault(b.remote, FAULT_DIE, 0);
    g_assert_cmphex(pci_cfg_read(b.pci, 4, 1), ==, 0xff);
    board_is_gone(&b);
    board_fini(&b);

    for (unsigned at = 0; at < 6; at++) {
        board_start(&b, true, "");
        fake_remote_fault(b.remote, FAULT_DIE, at);
        pci_dev_reset(b.pci);
        board_is_gone(&b);
        board_fini(&b);
    }
}

static bool gone_is_logged(ProxyBoard *b)
{
    return log_count(b, "hung up") == 1;
}

/* A hang-up is told although nobody touches the device. */
static void test_lost_idle(void)
{
    ProxyBoard b;

    board_start(&b, false, "heartbeat=0");
    reg_write(&b, FAKE_REG_IRQ, 1, 1);
    fake_remote_hang_up(b.remote);
    board_until(&b, gone_is_logged);
    g_assert_false(b.level);
    board_is_gone(&b);
    board_fini(&b);
}

static void test_refused(void)
{
    ProxyBoard b;

    board_start(&b, false, "");
    fake_remote_fault(b.remote, FAULT_REFUSE, 0);
    g_assert_cmphex(pci_cfg_read(b.pci, 0, 2), ==, 0xffff);
    g_assert_cmphex(pci_cfg_read(b.pci, 0, 2), ==, 0x1234);
    g_assert_cmpuint(log_count(&b, "p0: "), ==, 0);
    board_fini(&b);
}

static void test_late(void)
{
    ProxyBoard b;

    board_start(&b, false, "reply-timeout=300,heartbeat=0");
    reg_write(&b, 0, 0x55, 1);
    fake_remote_fault(b.remote, FAULT_SILENT, 0);
    g_assert_cmphex(reg_read(&b, 0, 1), ==, 0xff);
    g_assert_cmphex(reg_read(&b, 0, 1), ==, 0xff);
    g_assert_cmphex(pci_cfg_read(b.pci, 0, 4), ==, 0xffffffff);
    g_assert_cmpuint(log_count(&b, "does not answer BAR_READ within 300 ms"), ==, 1);
    fake_remote_release(b.remote);
    g_assert_cmphex(reg_read(&b, 0, 1), ==, 0x55);
    g_assert_cmphex(pci_cfg_read(b.pci, 0, 4), ==, 0x56781234);
    g_assert_cmpuint(log_count(&b, "3 late replies discarded"), ==, 1);
    g_assert_cmpuint(log_count(&b, "p0: "), ==, 2);
    board_fini(&b);
}

static void test_owed_too_many(void)
{
    ProxyBoard b;

    board_start(&b, false, "reply-timeout=300,heartbeat=0");
    fake_remote_fault(b.remote, FAULT_SILENT, 0);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmphex(reg_read(&b, 0, 1), ==, 0xff);
    }
    g_assert_cmpuint(log_count(&b, "owes too many replies; the device is gone"), ==, 1);
    board_is_gone(&b);
    g_assert_cmpuint(log_count(&b, "p0: "), ==, 2);
    board_fini(&b);
}

static bool heart_beats(ProxyBoard *b)
{
    g_autofree char *log = fake_remote_log(b->remote);

    return strstr(log, "r00/2");
}

static void test_heartbeat(void)
{
    ProxyBoard b;

    board_start(&b, false, "heartbeat=2");
    board_until(&b, heart_beats);
    board_until(&b, heart_beats);
    g_assert_cmphex(pci_cfg_read(b.pci, 0, 4), ==, 0x56781234);
    board_fini(&b);
}

static bool stuck_is_logged(ProxyBoard *b)
{
    return log_count(b, "does not answer") == 1;
}

static bool recovery_is_logged(ProxyBoard *b)
{
    return log_count(b, "answers again") == 1;
}

static void test_heartbeat_stuck(void)
{
    ProxyBoard b;

    board_start(&b, false, "heartbeat=2,reply-timeout=300");
    fake_remote_fault(b.remote, FAULT_SILENT, 0);
    board_until(&b, stuck_is_logged);
    for (unsigned i = 0; i < 20; i++) {
        loop_turn(b.loop, 5);
    }
    g_assert_cmpuint(log_count(&b, "p0: "), ==, 1);
    fake_remote_release(b.remote);
    board_until(&b, recovery_is_logged);
    g_assert_cmphex(pci_cfg_read(b.pci, 0, 4), ==, 0x56781234);
    board_fini(&b);
}

/* --- coming back --- */

typedef struct Listener {
    char *dir, *path;
} Listener;

static int listen_on(Listener *l)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (!l->dir) {
        l->dir = g_dir_make_tmp("proxy-XXXXXX", NULL);
        l->path = g_strdup_printf("%s/s", l->dir);
    }
    g_strlcpy(addr.sun_path, l->path, sizeof(addr.sun_path));
    g_unlink(l->path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(fd, 4), ==, 0);
    return fd;
}

static void listener_clear(Listener *l)
{
    g_unlink(l->path);
    g_rmdir(l->dir);
    g_free(l->path);
    g_free(l->dir);
}

static void start_listening(ProxyBoard *b, Listener *l)
{
    g_autofree char *props = NULL;
    GError *err = NULL;

    board_init(b, false);
    b->remote = fake_remote_new(listen_on(l), true);
    props = g_strdup_printf("socket=%s,reconnect=1,heartbeat=0", l->path);
    g_assert_nonnull(board_device(b, props, NULL));
    board_attach(b, &err);
    g_assert_no_error(err);
    board_program(b);
    pci_cfg_write(b->pci, PCI_INT_LINE, 11, 1);
    g_free(fake_remote_log(b->remote));
}

static bool is_back(ProxyBoard *b)
{
    return log_count(b, "the remote is back") == 1;
}

static void test_reconnect(void)
{
    ProxyBoard b;
    Listener l = { 0 };

    start_listening(&b, &l);
    reg_write(&b, 4, 0x77, 1);
    fake_remote_fault(b.remote, FAULT_DIE, 0);
    g_assert_cmphex(reg_read(&b, 4, 1), ==, 0xff);
    g_assert_cmpuint(log_count(&b, "the device is gone until it is back"), ==, 1);
    /* the guest goes on to write while nobody is there */
    pci_cfg_write(b.pci, PCI_BAR0 + 4, 0xe0000000, 4);
    g_free(fake_remote_log(b.remote));
    board_until(&b, is_back);
    board_asked(&b, "sync:1 irqfd r00/4 w10/4=c001 w14/4=e0000000 w0c/2=0 w3c/1=b w04/2=7");
    g_assert_cmpuint(b.remote->connections, ==, 2);
    g_assert_cmphex(reg_read(&b, 4, 1), ==, 0x77);
    board_asked(&b, "Rme0000004/1");
    reg_write(&b, FAKE_REG_IRQ, 1, 1);
    g_assert_true(b.level);
    g_assert_cmpuint(log_count(&b, "p0: "), ==, 2);
    board_fini(&b);
    listener_clear(&l);
}

/* Nobody listens for a while; then somebody else does. */
static void test_reconnect_later(void)
{
    ProxyBoard b;
    Listener l = { 0 };
    int64_t until_ns;

    start_listening(&b, &l);
    fake_remote_free(b.remote);
    b.remote = NULL;
    until_ns = loop_now_ns() + INT64_C(1500000000);
    while (loop_now_ns() < until_ns) {
        g_assert_cmphex(reg_read(&b, 4, 1), ==, 0xff);
        loop_turn(b.loop, 10);
    }
    b.remote = fake_remote_new(listen_on(&l), true);
    board_until(&b, is_back);
    g_assert_cmphex(pci_cfg_read(b.pci, 0, 4), ==, 0x56781234);
    board_fini(&b);
    listener_clear(&l);
}

static bool other_is_logged(ProxyBoard *b)
{
    return log_count(b, "another device is on") > 0;
}

static void test_reconnect_other_device(void)
{
    ProxyBoard b;
    Listener l = { 0 };

    start_listening(&b, &l);
    b.remote->config[0] = 0x99;
    fake_remote_fault(b.remote, FAULT_DIE, 0);
    reg_read(&b, 4, 1);
    board_until(&b, other_is_logged);
    board_is_gone(&b);
    pthread_mutex_lock(&b.remote->lock);
    b.remote->config[0] = 0x34;
    pthread_mutex_unlock(&b.remote->lock);
    board_until(&b, is_back);
    board_fini(&b);
    listener_clear(&l);
}

/* The new remote goes wrong at each request of the replay. */
static void test_reconnect_fails(void)
{
    ProxyBoard b;
    Listener l = { 0 };

    start_listening(&b, &l);
    fake_remote_fault(b.remote, FAULT_DIE, 0);
    reg_read(&b, 4, 1);
    fake_remote_fault(b.remote, FAULT_CUT, 3);
    board_until(&b, is_back);
    g_assert_cmpuint(b.remote->connections, ==, 3);
    g_assert_cmphex(pci_cfg_read(b.pci, 0, 4), ==, 0x56781234);
    board_fini(&b);
    listener_clear(&l);
}

/* It is connected, but not served: nobody waits for it. */
static void test_reconnect_not_accepted(void)
{
    ProxyBoard b;
    Listener l = { 0 };
    int fd;
    int64_t until_ns;

    start_listening(&b, &l);
    fake_remote_free(b.remote);
    b.remote = NULL;
    fd = listen_on(&l);
    until_ns = loop_now_ns() + INT64_C(1500000000);
    while (loop_now_ns() < until_ns) {
        int64_t begun_ns = loop_now_ns();

        g_assert_cmphex(reg_read(&b, 4, 1), ==, 0xff);
        g_assert_cmpint(loop_now_ns() - begun_ns, <, INT64_C(1000000000));
        loop_turn(b.loop, 10);
    }
    b.remote = fake_remote_new(fd, true);
    board_until(&b, is_back);
    board_fini(&b);
    listener_clear(&l);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/proxy/lost/access", test_lost);
    g_test_add_func("/proxy/lost/elsewhere", test_lost_elsewhere);
    g_test_add_func("/proxy/lost/idle", test_lost_idle);
    g_test_add_func("/proxy/refused", test_refused);
    g_test_add_func("/proxy/late", test_late);
    g_test_add_func("/proxy/owed-too-many", test_owed_too_many);
    g_test_add_func("/proxy/heartbeat/idle", test_heartbeat);
    g_test_add_func("/proxy/heartbeat/stuck", test_heartbeat_stuck);
    g_test_add_func("/proxy/reconnect/replay", test_reconnect);
    g_test_add_func("/proxy/reconnect/later", test_reconnect_later);
    g_test_add_func("/proxy/reconnect/other-device", test_reconnect_other_device);
    g_test_add_func("/proxy/reconnect/fails", test_reconnect_fails);
    g_test_add_func("/proxy/reconnect/not-accepted", test_reconnect_not_accepted);
    return g_test_run();
}
