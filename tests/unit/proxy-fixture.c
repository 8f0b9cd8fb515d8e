/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See proxy-fixture.h. The remote's thread blocks in recvmsg(); what it shares with the test is
 * under its lock, and a test that waits for it turns its loop to a deadline.
 */
#include "proxy-fixture.h"
#include "util/fd.h"
#include "util/log.h"
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_NS INT64_C(20000000000)

/* --- the remote --- */

typedef struct Message {
    MpqHeader header;
    union {
        uint8_t bytes[MPQ_MAX_PAYLOAD];
        MpqCfg cfg;
        MpqBar bar;
        MpqSysmem map;
    } u;
    int fd[MPQ_MAX_REGIONS];
    unsigned nfds;
} Message;

static bool receive_exactly(int fd, void *buf, size_t len)
{
    return len == 0 || recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static bool receive_message(int fd, Message *m)
{
    char control[CMSG_SPACE(sizeof(int) * MPQ_MAX_REGIONS)];
    struct iovec iov = { .iov_base = &m->header, .iov_len = sizeof(m->header) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *c;

    memset(m, 0, sizeof(*m));
    if (recvmsg(fd, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(m->header)) {
        return false;
    }
    c = CMSG_FIRSTHDR(&msg);
    if (c) {
        m->nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(m->fd, CMSG_DATA(c), m->nfds * sizeof(int));
    }
    g_assert_cmpuint(m->header.pad, ==, 0);
    g_assert_cmpuint(m->header.size, <=, sizeof(m->u));
    return receive_exactly(fd, m->u.bytes, m->header.size);
}

static void set_line(FakeRemote *r, bool level)
{
    bool up = level && !(r->regs[FAKE_REG_IRQ] & 1);
    uint64_t one = 1;

    r->regs[FAKE_REG_IRQ] = level;
    if (!r->no_status_bit) {
        r->config[PCI_STATUS] = level ? PCI_STATUS_INTX : 0;
    }
    if (up && r->irqfd >= 0) {
        g_assert_cmpint(write(r->irqfd, &one, sizeof(one)), ==, sizeof(one));
    }
}

static void take_resample(FakeRemote *r)
{
    uint64_t count, one = 1;

    if (r->resamplefd >= 0 && read(r->resamplefd, &count, sizeof(count)) == sizeof(count)) {
        g_string_append(r->log, "resample ");
        if ((r->regs[FAKE_REG_IRQ] & 1) || r->leaky) {
            g_assert_cmpint(write(r->irqfd, &one, sizeof(one)), ==, sizeof(one));
        }
    }
}

static uint64_t config_access(FakeRemote *r, const Message *m, bool write)
{
    const MpqCfg *cfg = &m->u.cfg;
    uint32_t value = 0;

    g_assert_cmpuint(m->header.size, ==, sizeof(*cfg));
    g_assert_cmpuint(cfg->addr + (uint32_t)cfg->len, <=, 256);
    if (write) {
        g_string_append_printf(r->log, "w%02x/%d=%x ", cfg->addr, cfg->len, cfg->value);
    } else {
        g_assert_cmpuint(cfg->value, ==, 0);
        g_string_append_printf(r->log, "r%02x/%d ", cfg->addr, cfg->len);
    }
    for (int i = 0; i < cfg->len; i++) {
        uint8_t *byte = &r->config[cfg->addr + i], mask = r->wmask[cfg->addr + i];

        if (write) {
            *byte = (*byte & ~mask) | (cfg->value >> (8 * i) & mask);
        }
        value |= (uint32_t)*byte << (8 * i);
    }
    return write ? 0 : value;
}

static uint64_t bar_access(FakeRemote *r, const Message *m, bool write)
{
    const MpqBar *bar = &m->u.bar;
    unsigned off = bar->addr % FAKE_REGS;
    uint64_t value = 0;

    g_assert_cmpuint(m->header.size, ==, sizeof(*bar));
    g_string_append_printf(r->log, "%c%c%" G_GINT64_MODIFIER "x/%u", write ? 'W' : 'R',
                           bar->memory ? 'm' : 'i', bar->addr, bar->size);
    g_string_append_printf(r->log, write ? "=%" G_GINT64_MODIFIER "x " : " ", bar->value);
    if (!write) {
        memcpy(&value, r->regs + off, bar->size);
        return value;
    }
    if (off == FAKE_REG_IRQ) {
        set_line(r, bar->value & 1);
    } else {
        memcpy(r->regs + off, &bar->value, bar->size);
    }
    return 0;
}

static uint64_t do_sync(FakeRemote *r, const Message *m)
{
    g_assert_cmpuint(m->header.size, ==, sizeof(MpqSysmem));
    g_string_append_printf(r->log, "sync:%u ", m->nfds);
    r->map = m->u.map;
    for (unsigned i = 0; i < m->nfds; i++) {
        close(m->fd[i]);
    }
    return 0;
}

static uint64_t do_irqfd(FakeRemote *r, const Message *m)
{
    g_assert_cmpuint(m->nfds, ==, 2);
    fd_clear(&r->irqfd);
    fd_clear(&r->resamplefd);
    r->irqfd = m->fd[0];
    r->resamplefd = m->fd[1];
    g_string_append(r->log, "irqfd ");
    return 0;
}

static uint64_t answer_to(FakeRemote *r, const Message *m)
{
    switch (m->header.cmd) {
    case MPQ_SYNC_SYSMEM:
        return do_sync(r, m);
    case MPQ_SET_IRQFD:
        return do_irqfd(r, m);
    case MPQ_PCI_CFGWRITE:
    case MPQ_PCI_CFGREAD:
        return config_access(r, m, m->header.cmd == MPQ_PCI_CFGWRITE);
    case MPQ_BAR_WRITE:
    case MPQ_BAR_READ:
        return bar_access(r, m, m->header.cmd == MPQ_BAR_WRITE);
    case MPQ_DEVICE_RESET:
        g_string_append(r->log, "reset ");
        memset(r->regs, 0, sizeof(r->regs));
        r->config[PCI_STATUS] = 0;
        return 0;
    default:
        g_assert_not_reached();
    }
}

static void send_bytes(int fd, const void *bytes, size_t len)
{
    send(fd, bytes, len, MSG_NOSIGNAL); /* the proxy may be gone */
}

/* False: hang up. */
static bool send_answer(FakeRemote *r, int fd, Fault fault, uint64_t value)
{
    MpqRet ret = { .header = { .cmd = MPQ_RET, .size = 8 }, .value = value };
    MpqRet twice[] = { ret, ret };

    switch (fault) {
    case FAULT_DIE:
        return false;
    case FAULT_CUT:
        send_bytes(fd, &ret, sizeof(ret) - 3);
        return false;
    case FAULT_HEADER:
        send_bytes(fd, &ret, 7);
        return false;
    case FAULT_COMMAND:
        ret.header.cmd = MPQ_BAR_READ;
        break;
    case FAULT_SIZE:
        ret.header.size = 16;
        break;
    case FAULT_TWICE:
        send_bytes(fd, twice, sizeof(twice));
        return true;
    case FAULT_DRIP:
        for (unsigned i = 0; i < sizeof(ret); i++) {
            send_bytes(fd, (uint8_t *)&ret + i, 1);
        }
        return true;
    case FAULT_SHORT:
        ret.header.size = 0;
        send_bytes(fd, &ret, sizeof(ret.header));
        return true;
    case FAULT_REFUSE:
        ret.value = UINT64_MAX;
        break;
    case FAULT_SILENT:
    case FAULT_SKIP:
        r->held++;
        return true;
    default:
        break;
    }
    send_bytes(fd, &ret, sizeof(ret));
    return true;
}

/* One message; false: the connection is over. */
static bool serve_one(FakeRemote *r, int fd)
{
    Message m;
    uint64_t value;
    bool go_on = true;

    if (!receive_message(fd, &m)) {
        return false;
    }
    pthread_mutex_lock(&r->lock);
    take_resample(r);
    value = answer_to(r, &m);
    if (m.header.cmd != MPQ_SYNC_SYSMEM && m.header.cmd != MPQ_SET_IRQFD) {
        bool silent = r->fault == FAULT_SILENT && r->fault_at && r->requests + 1 > r->fault_at;

        r->requests++;
        go_on =
            send_answer(r, fd, r->requests == r->fault_at || silent ? r->fault : FAULT_NONE, value);
    }
    pthread_mutex_unlock(&r->lock);
    return go_on;
}

static int served(FakeRemote *r)
{
    return r->listens ? accept4(r->fd, NULL, NULL, SOCK_CLOEXEC) : dup(r->fd);
}

static void *remote_thread(void *opaque)
{
    FakeRemote *r = opaque;

    do {
        int fd = served(r);

        if (fd < 0) {
            break;
        }
        pthread_mutex_lock(&r->lock);
        r->connections++;
        r->conn = fd;
        pthread_mutex_unlock(&r->lock);
        while (serve_one(r, fd)) {
        }
        pthread_mutex_lock(&r->lock);
        shutdown(fd, SHUT_RDWR);
        fd_clear(&r->conn);
        pthread_mutex_unlock(&r->lock);
    } while (r->listens);
    return NULL;
}

FakeRemote *fake_remote_new(int fd, bool listens)
{
    static const uint8_t ids[] = { 0x34, 0x12, 0x78, 0x56 };
    FakeRemote *r = g_new0(FakeRemote, 1);

    r->fd = fd;
    r->listens = listens;
    r->log = g_string_new(NULL);
    r->irqfd = r->resamplefd = r->conn = -1;
    memcpy(r->config, ids, sizeof(ids));
    r->config[PCI_CLASS_DEVICE + 1] = 1;
    memset(r->wmask + PCI_COMMAND, 0x07, 1);
    r->wmask[PCI_COMMAND + 1] = 0x04;
    r->wmask[PCI_INT_LINE] = r->wmask[PCI_CACHE_LINE] = 0xff;
    fake_remote_bar(r, 0, 0xfffffff1);
    fake_remote_bar(r, 1, 0xfffff000);
    pthread_mutex_init(&r->lock, NULL);
    g_assert_cmpint(pthread_create(&r->thread, NULL, remote_thread, r), ==, 0);
    return r;
}

void fake_remote_free(FakeRemote *r)
{
    fake_remote_hang_up(r);
    pthread_join(r->thread, NULL);
    pthread_mutex_destroy(&r->lock);
    fd_clear(&r->fd);
    fd_clear(&r->irqfd);
    fd_clear(&r->resamplefd);
    g_string_free(r->log, TRUE);
    g_free(r);
}

void fake_remote_bar(FakeRemote *r, unsigned i, uint32_t mask)
{
    for (unsigned byte = 0; byte < 4; byte++) {
        unsigned at = PCI_BAR0 + 4 * i + byte;

        r->wmask[at] = mask >> (8 * byte);
        r->config[at] = 0;
    }
    r->config[PCI_BAR0 + 4 * i] = mask & 0xf;
    r->wmask[PCI_BAR0 + 4 * i] &= 0xf0;
}

void fake_remote_fault(FakeRemote *r, Fault fault, unsigned after)
{
    pthread_mutex_lock(&r->lock);
    r->fault = fault;
    r->fault_at = r->requests + 1 + after;
    pthread_mutex_unlock(&r->lock);
}

void fake_remote_release(FakeRemote *r)
{
    MpqRet ret = { .header = { .cmd = MPQ_RET, .size = 8 }, .value = 0xdead };

    pthread_mutex_lock(&r->lock);
    r->fault = FAULT_NONE;
    for (; r->held > 0; r->held--) {
        send_bytes(r->conn, &ret, sizeof(ret));
    }
    pthread_mutex_unlock(&r->lock);
}

void fake_remote_hang_up(FakeRemote *r)
{
    pthread_mutex_lock(&r->lock);
    shutdown(r->fd, SHUT_RDWR);
    if (r->conn >= 0) {
        shutdown(r->conn, SHUT_RDWR);
    }
    pthread_mutex_unlock(&r->lock);
}

char *fake_remote_log(FakeRemote *r)
{
    char *text;

    pthread_mutex_lock(&r->lock);
    text = g_strdup(r->log->str);
    g_string_truncate(r->log, 0);
    pthread_mutex_unlock(&r->lock);
    return text;
}

void fake_remote_resample(FakeRemote *r)
{
    pthread_mutex_lock(&r->lock);
    take_resample(r);
    pthread_mutex_unlock(&r->lock);
}

void fake_remote_line(FakeRemote *r, bool level)
{
    pthread_mutex_lock(&r->lock);
    set_line(r, level);
    pthread_mutex_unlock(&r->lock);
}

/* --- the board --- */

static void host_set_irq(void *opaque, PciDev *dev G_GNUC_UNUSED, bool level)
{
    ProxyBoard *board = opaque;

    board->level = level;
    board->changes++;
}

static int host_bind(void *opaque, PciDev *dev G_GNUC_UNUSED, int irqfd, int resamplefd)
{
    ProxyBoard *board = opaque;

    if (irqfd >= 0 && board->bind_result < 0) {
        return board->bind_result;
    }
    board->irqfd = irqfd;
    board->resamplefd = resamplefd;
    return 0;
}

static void add_ram(ProxyBoard *board)
{
    MemorySection section = { .size = RAM_SIZE, .kind = MEMORY_RAM };

    board->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(board->ram_fd, RAM_SIZE), ==, 0);
    board->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, board->ram_fd, 0);
    g_assert_true(board->ram != MAP_FAILED);
    section.host = board->ram;
    section.fd = board->ram_fd;
    g_assert_true(memory_map_add(board->map, &section));
}

void board_init(ProxyBoard *board, bool binds)
{
    static const DeviceType *const types[] = { &pci_proxy_dev_type, NULL };
    int fd;

    memset(board, 0, sizeof(*board));
    board->loop = loop_new("test", NULL);
    board->map = memory_map_new();
    board->irqfd = board->resamplefd = -1;
    add_ram(board);
    board->ops = (PciHostOps){ .set_irq = host_set_irq, .bind_irqfd = binds ? host_bind : NULL };
    board->host =
        (PciHost){ .ops = &board->ops, .opaque = board, .loop = board->loop, .map = board->map };
    board->tree = device_tree_new(types, NULL);
    fd = g_file_open_tmp("proxy-XXXXXX.log", &board->log_path, NULL);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(log_set_file(board->log_path, NULL));
}

void board_fini(ProxyBoard *board)
{
    if (board->pci && board->pci->host) {
        pci_dev_detach(board->pci);
    }
    device_tree_free(board->tree);
    if (board->remote) {
        fake_remote_free(board->remote);
    }
    memory_map_free(board->map);
    munmap(board->ram, RAM_SIZE);
    close(board->ram_fd);
    loop_free(board->loop);
    log_set_file("/dev/stderr", NULL);
    g_unlink(board->log_path);
    g_free(board->log_path);
}

Device *board_device(ProxyBoard *board, const char *props, GError **errp)
{
    g_autofree char *text = g_strdup_printf("pci-proxy-dev,id=p0%s%s", *props ? "," : "", props);
    g_autoptr(Opts) opts = opts_parse(text, "driver", NULL);

    g_assert_nonnull(opts);
    board->dev = device_new(board->tree, opts, errp);
    board->pci = board->dev ? board->dev->state : NULL;
    return board->dev;
}

int socket_pair(char **fd_prop)
{
    int sv[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    *fd_prop = g_strdup_printf("fd=%d", sv[0]);
    return sv[1];
}

void board_remote(ProxyBoard *board, const char *props)
{
    g_autofree char *fd_prop = NULL;
    int fd = socket_pair(&fd_prop);
    g_autofree char *all = g_strdup_printf("%s%s%s", fd_prop, *props ? "," : "", props);

    board->remote = fake_remote_new(fd, false);
    g_assert_nonnull(board_device(board, all, NULL));
}

bool board_attach(ProxyBoard *board, GError **errp)
{
    return pci_dev_attach(board->pci, &board->host, errp);
}

void board_program(ProxyBoard *board)
{
    pci_cfg_write(board->pci, PCI_BAR0, IO_BASE, 4);
    pci_cfg_write(board->pci, PCI_BAR0 + 4, MEM_BASE, 4);
    pci_cfg_write(board->pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER,
                  2);
}

void board_start(ProxyBoard *board, bool binds, const char *props)
{
    GError *err = NULL;

    board_init(board, binds);
    board_remote(board, props);
    board_attach(board, &err);
    g_assert_no_error(err);
    board_program(board);
    g_free(fake_remote_log(board->remote));
}

void board_until(ProxyBoard *board, bool (*done)(ProxyBoard *))
{
    int64_t deadline_ns = loop_now_ns() + DEADLINE_NS;

    while (!done(board)) {
        g_assert_cmpint(loop_now_ns(), <, deadline_ns);
        loop_turn(board->loop, 5);
    }
}

void board_settle(ProxyBoard *board)
{
    unsigned turns = 0;

    while (loop_turn(board->loop, 0)) {
        g_assert_cmpuint(++turns, <, 10000);
    }
}

unsigned log_count(ProxyBoard *board, const char *text)
{
    g_autofree char *all = NULL;
    unsigned n = 0;

    g_assert_true(g_file_get_contents(board->log_path, &all, NULL, NULL));
    for (const char *at = all; (at = strstr(at, text)); at += strlen(text)) {
        n++;
    }
    return n;
}

unsigned open_fds(void)
{
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

void board_asked(ProxyBoard *b, const char *wanted)
{
    g_autofree char *log = fake_remote_log(b->remote);

    g_assert_cmpstr(g_strchomp(log), ==, wanted);
}

uint64_t reg_read(ProxyBoard *b, unsigned reg, unsigned size)
{
    return pci_bar_read(b->pci, 1, reg, size);
}

void reg_write(ProxyBoard *b, unsigned reg, uint64_t value, unsigned size)
{
    pci_bar_write(b->pci, 1, reg, value, size);
}

void board_is_gone(ProxyBoard *b)
{
    g_assert_cmphex(reg_read(b, 0, 4), ==, 0xffffffff);
    g_assert_cmphex(pci_bar_read(b->pci, 0, 0, 1), ==, 0xff);
    g_assert_cmphex(pci_cfg_read(b->pci, 0, 2), ==, 0xffff);
    g_assert_cmphex(pci_cfg_read(b->pci, 0, 4), ==, 0xffffffff);
    g_assert_false(b->level);
    reg_write(b, 0, 1, 1);
    pci_cfg_write(b->pci, PCI_INT_LINE, 1, 1);
    pci_dev_reset(b->pci);
    board_program(b);
    board_settle(b);
}
