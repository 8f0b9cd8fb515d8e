/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the proxy object adds to a round trip: a register read through x-pci-proxy-dev, beside the
 * bare exchange of as many bytes over a socket pair. tests/bench/bench-remote starts it and makes
 * the table.
 *
 *   bench-proxy N PROGRAM ARGS...    N samples of each, taken in turns of TURN
 *
 * In ARGS the FD of fd=FD stands for the number of the inherited descriptor; the device must be an
 * lsi53c895a. Each line of output is a name and a value in nanoseconds:
 *
 *   bare           send, poll(), recv() here; epoll_wait(), recv(), send() in a child
 *   proxy-echo     the proxy, and a child that answers like that one: the proxy's own share
 *   proxy-remote   the proxy, and the remote process
 *
 * The way of waiting is the same in all three, as is who waits for whom. The board has no thread
 * that sleeps in between: as under KVM, where the vCPU's access runs on it. bind_irqfd() is there,
 * as under KVM.
 */
#include "hw/proxy/pci-proxy-dev.h"
#include "hw/pci/pci.h"
#include "remote/mpqemu-proto.h"
#include "util/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TURN = 500,
    MMIO_BASE = 0xe0000000, /* BAR 1: the registers */
    REG_ISTAT0 = 0x14,
    SILENCE_MS = 5000,
};

typedef struct Request {
    MpqHeader header;
    MpqBar bar;
} Request;

static void G_GNUC_NORETURN die(const char *what)
{
    fprintf(stderr, "bench-proxy: %s\n", what);
    exit(1);
}

static int pair(int *other)
{
    int sv[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0) {
        die(strerror(errno));
    }
    *other = sv[1];
    return sv[0];
}

/* --- the other ends --- */

/* Answers each message that wants one by a RET, and does nothing else. */
static void G_GNUC_NORETURN echo(int sock)
{
    MpqRet ret = { .header = { .cmd = MPQ_RET, .size = 8 }, .value = 0 };
    int ep = epoll_create1(0);
    struct epoll_event ev = { .events = EPOLLIN };
    uint8_t message[sizeof(MpqHeader) + MPQ_MAX_PAYLOAD];

    epoll_ctl(ep, EPOLL_CTL_ADD, sock, &ev);
    while (epoll_wait(ep, &ev, 1, -1) == 1) {
        MpqHeader header;
        ssize_t n = recv(sock, message, sizeof(message), MSG_DONTWAIT);

        if (n <= 0) {
            break;
        }
        memcpy(&header, message, sizeof(header));
        /* the probe: an LSI's ids, one memory BAR */
        ret.value = UINT64_MAX;
        if (header.cmd == MPQ_PCI_CFGREAD) {
            MpqCfg cfg;

            memcpy(&cfg, message + sizeof(header), sizeof(cfg));
            ret.value = cfg.addr == PCI_BAR0 + 4 ? 0xfffff000 : cfg.addr == 0 ? 0x1000 : 0;
        } else if (header.cmd != MPQ_BAR_READ) {
            ret.value = 0;
        }
        if (header.cmd != MPQ_SYNC_SYSMEM && header.cmd != MPQ_SET_IRQFD &&
            send(sock, &ret, sizeof(ret), MSG_NOSIGNAL) != sizeof(ret)) {
            break;
        }
    }
    _exit(0);
}

static pid_t start_echo(int *sock)
{
    int other;
    pid_t pid;

    *sock = pair(&other);
    pid = fork();
    if (pid == 0) {
        close(*sock);
        echo(other);
    }
    close(other);
    return pid;
}

static pid_t start_remote(char **argv, int *sock)
{
    int other;
    pid_t pid;

    *sock = pair(&other);
    pid = fork();
    if (pid == 0) {
        g_autoptr(GString) text = g_string_new(NULL);

        fd_set_cloexec(other, false);
        for (char **arg = argv; *arg; arg++) {
            g_autofree char *option = g_strdup_printf("fd=%d", other);

            g_string_assign(text, *arg);
            g_string_replace(text, "fd=FD", option, 0);
            *arg = g_strdup(text->str);
        }
        execvp(argv[0], argv);
        _exit(127);
    }
    close(other);
    return pid;
}

/* --- the proxy --- */

typedef struct Proxy {
    DeviceTree *tree;
    PciHost host;
    PciDev *pci;
} Proxy;

static void set_irq(void *opaque G_GNUC_UNUSED, PciDev *dev G_GNUC_UNUSED, bool level G_GNUC_UNUSED)
{
}

static int bind_irqfd(void *opaque G_GNUC_UNUSED, PciDev *dev G_GNUC_UNUSED,
                      int irqfd G_GNUC_UNUSED, int resamplefd G_GNUC_UNUSED)
{
    return 0;
}

static void proxy_start(Proxy *p, Loop *loop, int sock)
{
    static const DeviceType *const types[] = { &pci_proxy_dev_type, NULL };
    static const PciHostOps ops = { .set_irq = set_irq, .bind_irqfd = bind_irqfd };
    g_autofree char *text = g_strdup_printf("x-pci-proxy-dev,fd=%d", sock);
    g_autoptr(Opts) opts = opts_parse(text, "driver", NULL);
    g_autoptr(GError) err = NULL;
    Device *dev;

    p->tree = device_tree_new(types, NULL);
    p->host = (PciHost){ .ops = &ops, .loop = loop };
    dev = device_new(p->tree, opts, &err);
    if (!dev || !pci_dev_attach(dev->state, &p->host, &err)) {
        die(err->message);
    }
    p->pci = dev->state;
    pci_cfg_write(p->pci, PCI_BAR0 + 4, MMIO_BASE, 4);
    pci_cfg_write(p->pci, PCI_COMMAND, PCI_COMMAND_MEM, 2);
}

static void proxy_stop(Proxy *p)
{
    pci_dev_detach(p->pci);
    device_tree_free(p->tree);
}

/* --- samples --- */

static void sample_proxy(const char *name, Proxy *p, Loop *loop, unsigned n)
{
    loop_turn(loop, 0);
    for (unsigned i = 0; i < n; i++) {
        int64_t begun = loop_now_ns();

        pci_bar_read(p->pci, 1, REG_ISTAT0, 1);
        printf("%s %" PRId64 "\n", name, loop_now_ns() - begun);
    }
}

static void sample_bare(int sock, unsigned n)
{
    Request request = { .header = { .cmd = MPQ_BAR_READ, .size = sizeof(MpqBar) } };

    for (unsigned i = 0; i < n; i++) {
        struct pollfd ready = { .fd = sock, .events = POLLIN };
        int64_t begun = loop_now_ns();
        MpqRet ret;

        if (send(sock, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request) ||
            poll(&ready, 1, SILENCE_MS) != 1 ||
            recv(sock, &ret, sizeof(ret), MSG_DONTWAIT) != sizeof(ret)) {
            die("the child does not answer");
        }
        printf("bare %" PRId64 "\n", loop_now_ns() - begun);
    }
}

int main(int argc, char **argv)
{
    long n = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    int bare, echoed, served;
    pid_t pid[3];
    Proxy echo_proxy, remote_proxy;
    Loop *loop;

    if (n <= 0) {
        fprintf(stderr, "usage: bench-proxy N PROGRAM ARGS...\n");
        return 2;
    }
    pid[0] = start_echo(&bare);
    pid[1] = start_echo(&echoed);
    pid[2] = start_remote(argv + 2, &served);
    loop = loop_new("bench", NULL);
    proxy_start(&echo_proxy, loop, echoed);
    proxy_start(&remote_proxy, loop, served);
    for (long left = n; left > 0; left -= TURN) {
        unsigned turn = MIN(left, TURN);

        sample_bare(bare, turn);
        sample_proxy("proxy-echo", &echo_proxy, loop, turn);
        sample_proxy("proxy-remote", &remote_proxy, loop, turn);
    }
    proxy_stop(&echo_proxy);
    proxy_stop(&remote_proxy);
    close(bare);
    for (unsigned i = 0; i < G_N_ELEMENTS(pid); i++) {
        waitpid(pid[i], NULL, 0);
    }
    loop_free(loop);
    return 0;
}
