/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy's vfio-user half: with the real server and a machine in another thread, beside the same
 * function on a board of its own, values, interrupt level and what the function saw must agree; and
 * with a scripted server that answers what it is told to, right or wrong.
 */
#include "fake-pci.h"
#include "proxy-fixture.h"
#include "remote/vfio-user-proto.h"
#include "remote/vfio-user.h"
#include "util/fd.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STEPS 3000

/* --- the remote's thread --- */

typedef struct Remote {
    Loop *loop;
    FakePci *fake;
    RemoteMachine *m;
    VfioUserServer *server;
    GThread *thread;
    unsigned ended;
    bool violation;
} Remote;

static void on_ended(void *opaque, bool violation)
{
    Remote *r = opaque;

    r->ended++;
    r->violation = violation;
    vfio_user_server_free(g_steal_pointer(&r->server));
    loop_quit(r->loop);
}

static void *remote_thread(void *opaque)
{
    Remote *r = opaque;

    guest_memory_thread_use(r->m->mem);
    loop_run(r->loop);
    guest_memory_thread_use(NULL);
    return NULL;
}

static void remote_start(Remote *r, int fd)
{
    *r = (Remote){ .loop = loop_new("remote", NULL), .fake = fake_new() };
    r->m = machine_new_messages("remote", r->loop, &r->fake->pci, NULL);
    g_assert_nonnull(r->m);
    r->server = vfio_user_server_new(r->m, fd, on_ended, r);
    g_assert_nonnull(r->server);
    r->thread = g_thread_new("remote", remote_thread, r);
}

/* The proxy has hung up. */
static void remote_finish(Remote *r)
{
    g_thread_join(r->thread);
    g_assert_cmpuint(r->ended, ==, 1);
    g_assert_false(r->violation);
    machine_free(r->m);
    fake_free(r->fake);
    loop_free(r->loop);
}

static void stop(void *opaque)
{
    vfio_user_server_stop(((Remote *)opaque)->server);
}

/* --- the function beside it --- */

typedef struct Fixture {
    ProxyBoard board;
    Remote remote;
    FakePci *fake;
    PciHost host;
    bool level;
    PciDev *proxy, *plain;
} Fixture;

static void local_set_irq(void *opaque, PciDev *dev G_GNUC_UNUSED, bool level)
{
    ((Fixture *)opaque)->level = level;
}

static const PciHostOps local_ops = { .set_irq = local_set_irq };

static void setup_host(Fixture *f, bool binds)
{
    g_autofree char *fd_prop = NULL;
    g_autofree char *props = NULL;
    GError *err = NULL;

    board_init(&f->board, binds);
    remote_start(&f->remote, socket_pair(&fd_prop));
    props = g_strdup_printf("%s,protocol=vfio-user", fd_prop);
    g_assert_nonnull(board_device(&f->board, props, NULL));
    board_attach(&f->board, &err);
    g_assert_no_error(err);
    f->proxy = f->board.pci;

    f->fake = fake_new();
    f->host = (PciHost){ .ops = &local_ops, .opaque = f, .loop = f->board.loop };
    f->plain = &f->fake->pci;
    g_assert_true(pci_dev_attach(f->plain, &f->host, NULL));
}

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    setup_host(f, false);
}

static void setup_binds(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    setup_host(f, true);
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pci_dev_detach(f->plain);
    fake_free(f->fake);
    g_assert_cmpuint(log_count(&f->board, "p0: "), ==, 0);
    board_fini(&f->board);
    remote_finish(&f->remote);
}

/* What was posted is done when a later read is answered. */
static void agree(Fixture *f)
{
    pci_cfg_read(f->proxy, PCI_VENDOR_ID, 2);
    board_settle(&f->board);
    g_assert_cmpint(f->board.level, ==, f->level);
}

static uint64_t cfg_read(Fixture *f, unsigned addr, unsigned len)
{
    uint32_t value = pci_cfg_read(f->proxy, addr, len);

    g_assert_cmphex(value, ==, pci_cfg_read(f->plain, addr, len));
    agree(f);
    return value;
}

static void cfg_write(Fixture *f, unsigned addr, uint32_t value, unsigned len)
{
    pci_cfg_write(f->proxy, addr, value, len);
    pci_cfg_write(f->plain, addr, value, len);
    agree(f);
}

/* As a board decodes it. */
static bool decode(PciDev *pci, uint64_t addr, unsigned size, bool memory, unsigned *bar,
                   uint64_t *off)
{
    PciBus bus = { 0 };
    PciDev *found;

    g_assert_true(pci_bus_plug(&bus, pci, 8));
    return pci_bus_decode(&bus, addr, size, memory, &found, bar, off);
}

static uint64_t bus_read(PciDev *pci, uint64_t addr, unsigned size, bool memory)
{
    unsigned bar;
    uint64_t off;

    return decode(pci, addr, size, memory, &bar, &off) ? pci_bar_read(pci, bar, off, size)
                                                       : UINT64_MAX;
}

static void bus_write(PciDev *pci, uint64_t addr, uint64_t value, unsigned size, bool memory)
{
    unsigned bar;
    uint64_t off;

    if (decode(pci, addr, size, memory, &bar, &off)) {
        pci_bar_write(pci, bar, off, value, size);
    }
}

static void read_both(Fixture *f, uint64_t addr, unsigned size, bool memory)
{
    uint64_t value = bus_read(f->proxy, addr, size, memory);

    g_assert_cmphex(value, ==, bus_read(f->plain, addr, size, memory));
    agree(f);
}

static void write_both(Fixture *f, uint64_t addr, uint64_t value, unsigned size, bool memory)
{
    bus_write(f->proxy, addr, value, size, memory);
    bus_write(f->plain, addr, value, size, memory);
    agree(f);
}

static void program(Fixture *f)
{
    cfg_write(f, PCI_BAR0, IO_BASE, 4);
    cfg_write(f, PCI_BAR0 + 4, MEM_BASE, 4);
    cfg_write(f, PCI_COMMAND, 7, 2);
}

static void reset_both(Fixture *f)
{
    pci_dev_reset(f->proxy);
    pci_dev_reset(f->plain);
    agree(f);
}

/* --- with the server --- */

static void test_config(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    for (unsigned addr = 0; addr < PCI_CONFIG_SIZE; addr++) {
        for (unsigned len = 1; len <= 4 && addr + len <= PCI_CONFIG_SIZE; len *= 2) {
            cfg_read(f, addr, len);
        }
    }
    for (unsigned addr = PCI_BAR0; addr <= PCI_ROM_BAR; addr += 4) { /* sizing */
        uint32_t before = cfg_read(f, addr, 4);

        cfg_write(f, addr, UINT32_MAX, 4);
        cfg_read(f, addr, 4);
        cfg_write(f, addr, before, 4);
    }
    g_assert_cmphex(cfg_read(f, 0, 4), ==, 0x56781234);
    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        g_assert_cmpuint(pci_bar_size(f->proxy, i), ==, pci_bar_size(f->plain, i));
    }
}

static void test_interrupt(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    program(f);
    for (unsigned i = 0; i < 20; i++) {
        write_both(f, IO_BASE + FAKE_REG_IRQ, 1, 1, false);
        g_assert_true(f->board.level);
        read_both(f, IO_BASE, 4, false);
        read_both(f, MEM_BASE, 4, true);
        g_assert_true(f->board.level);
        write_both(f, IO_BASE + FAKE_REG_IRQ, 0, 1, false);
        g_assert_false(f->board.level);
    }
    g_assert_cmpuint(f->board.changes, ==, 40); /* it has never flickered */
}

/* Up and down before anybody looks: it must not stay masked. */
static void test_glitch(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    program(f);
    write_both(f, IO_BASE + FAKE_REG_IRQ, 1, 1, false); /* it has the status bit */
    write_both(f, IO_BASE + FAKE_REG_IRQ, 0, 1, false);
    for (unsigned i = 0; i < 20; i++) {
        bus_write(f->proxy, IO_BASE + FAKE_REG_IRQ, 1, 1, false);
        bus_write(f->proxy, IO_BASE + FAKE_REG_IRQ, 0, 1, false);
        agree(f);
    }
    write_both(f, IO_BASE + FAKE_REG_IRQ, 1, 1, false);
    g_assert_true(f->board.level);
}

/* With INTX_OFF the pin is quiet, and comes back as it is then. */
static void test_intx_off(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    program(f);
    for (unsigned i = 0; i < 5; i++) {
        cfg_write(f, PCI_COMMAND, 0x407, 2);
        write_both(f, IO_BASE + FAKE_REG_IRQ, 1, 1, false);
        g_assert_false(f->board.level);
        cfg_write(f, PCI_COMMAND, 7, 2);
        g_assert_true(f->board.level);
        write_both(f, IO_BASE + FAKE_REG_IRQ, 0, 1, false);
    }
}

static bool readable(int fd)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };

    return poll(&ready, 1, 0) == 1;
}

static void take(int fd)
{
    uint64_t count;

    g_assert_cmpint(read(fd, &count, sizeof(count)), ==, sizeof(count));
}

static bool signalled(ProxyBoard *board)
{
    return readable(board->irqfd);
}

/* A host that takes the descriptors, as KVM does: the resample descriptor is the unmask. */
static void test_host_takes_it(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint64_t one = 1;

    pci_cfg_write(f->proxy, PCI_BAR0, IO_BASE, 4);
    pci_cfg_write(f->proxy, PCI_COMMAND, 7, 2);
    g_assert_cmpint(f->board.irqfd, >=, 0);
    bus_write(f->proxy, IO_BASE + FAKE_REG_IRQ, 1, 1, false);
    for (unsigned i = 0; i < 3; i++) { /* an EOI with the line still up */
        board_until(&f->board, signalled);
        take(f->board.irqfd);
        g_assert_cmpint(write(f->board.resamplefd, &one, sizeof(one)), ==, sizeof(one));
    }
    board_until(&f->board, signalled);
    take(f->board.irqfd);
    /* the posted write that lowers the line comes before the EOI */
    bus_write(f->proxy, IO_BASE + FAKE_REG_IRQ, 0, 1, false);
    g_assert_cmpint(write(f->board.resamplefd, &one, sizeof(one)), ==, sizeof(one));
    pci_cfg_read(f->proxy, 0, 2);
    g_assert_false(readable(f->board.irqfd));
    /* a reset ends a mask without an EOI */
    bus_write(f->proxy, IO_BASE + FAKE_REG_IRQ, 1, 1, false);
    board_until(&f->board, signalled);
    take(f->board.irqfd);
    pci_dev_reset(f->proxy);
    pci_cfg_write(f->proxy, PCI_BAR0, IO_BASE, 4);
    pci_cfg_write(f->proxy, PCI_COMMAND, 7, 2);
    bus_write(f->proxy, IO_BASE + FAKE_REG_IRQ, 1, 1, false);
    board_until(&f->board, signalled);
}

/* On the remote's thread. */
static void was_reset(void *opaque)
{
    Fixture *f = opaque;

    g_assert_cmpuint(f->remote.fake->resets, ==, 1);
}

static void test_reset(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    program(f);
    write_both(f, IO_BASE, 0x12345678, 4, false);
    write_both(f, IO_BASE + FAKE_REG_IRQ, 1, 4, false);
    reset_both(f);
    g_assert_false(f->board.level);
    for (unsigned addr = 0; addr < 0x40; addr += 4) {
        cfg_read(f, addr, 4);
    }
    program(f);
    read_both(f, IO_BASE, 4, false);
    loop_call(f->remote.loop, was_reset, f);
    /* and the interrupt works again */
    write_both(f, IO_BASE + FAKE_REG_IRQ, 1, 4, false);
    g_assert_true(f->board.level);
}

/* On the remote's thread: guest memory is the board's. */
static void dma(void *opaque)
{
    Fixture *f = opaque;
    uint8_t bytes[4];

    g_assert_cmpint(pci_dma_read(&f->remote.fake->pci, 0x1000, bytes, 4), ==, 0);
    g_assert_cmpmem(bytes, 4, "ping", 4);
    g_assert_cmpint(pci_dma_write(&f->remote.fake->pci, 0x2000, "pong", 4), ==, 0);
}

static void dma_fails(void *opaque)
{
    Fixture *f = opaque;
    uint8_t bytes[4];

    g_assert_cmpint(pci_dma_read(&f->remote.fake->pci, 0x1000, bytes, 4), ==, -EFAULT);
    g_assert_cmpint(pci_dma_write(&f->remote.fake->pci, 0x2000, "pong", 4), ==, 0);
}

/* A hole in the RAM, as a window of the chipset's opens one, and back. */
static void test_memory(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    const MemorySection hole = {
        .addr = 0x1000,
        .size = 0x1000,
        .kind = MEMORY_ROM,
        .host = f->board.ram,
        .fd = -1,
        .priority = 1,
    };

    program(f);
    memcpy(f->board.ram + 0x1000, "ping", 4);
    loop_call(f->remote.loop, dma, f);
    g_assert_cmpmem(f->board.ram + 0x2000, 4, "pong", 4);
    g_assert_true(memory_map_add(f->board.map, &hole));
    loop_call(f->remote.loop, dma_fails, f);
    g_assert_true(memory_map_del(f->board.map, hole.addr, hole.size, hole.priority));
    loop_call(f->remote.loop, dma, f);
}

/* More regions than mpqemu can express. */
static void test_many_regions(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    program(f);
    memory_map_begin(f->board.map);
    for (unsigned i = 0; i < 12; i++) {
        const MemorySection more = {
            .addr = 0x100000 + 0x2000 * i,
            .size = 0x1000,
            .kind = MEMORY_RAM,
            .host = f->board.ram,
            .fd = f->board.ram_fd,
        };
        g_assert_true(memory_map_add(f->board.map, &more));
    }
    memory_map_commit(f->board.map);
    memcpy(f->board.ram + 0x1000, "ping", 4);
    loop_call(f->remote.loop, dma, f);
}

static void random_access(Fixture *f)
{
    static const uint64_t bases[] = { IO_BASE, MEM_BASE, MEM_BASE + 0x10000, 0xd000 };
    uint64_t value = (uint64_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
    uint64_t addr = bases[g_test_rand_int_range(0, 4)] + g_test_rand_int_range(0, 24);
    unsigned size = 1u << g_test_rand_int_range(0, 4);

    switch (g_test_rand_int_range(0, 12)) {
    case 0:
        cfg_write(f, PCI_COMMAND, value & 0x407, 2);
        break;
    case 1:
        cfg_write(f, PCI_BAR0, value & 1 ? IO_BASE : 0xd000, 4);
        break;
    case 2:
        cfg_write(f, PCI_COMMAND, 7, 1);
        break;
    case 3:
        if (g_test_rand_int_range(0, 8) == 0) {
            reset_both(f);
            program(f);
        }
        break;
    case 4:
        cfg_read(f, g_test_rand_int_range(0, 0x40 - 4), MIN(size, 4));
        break;
    case 5:
    case 6:
        write_both(f, IO_BASE + FAKE_REG_IRQ, value, 1, false);
        break;
    case 7:
    case 8:
        write_both(f, addr, value, size, g_test_rand_bit());
        break;
    default:
        read_both(f, addr, size, g_test_rand_bit());
        break;
    }
}

/* On the remote's thread. */
static void is_the_same(void *opaque)
{
    Fixture *f = opaque;

    g_assert_cmpmem(f->remote.fake->io, FAKE_IO_SIZE, f->fake->io, FAKE_IO_SIZE);
    g_assert_cmpmem(f->remote.fake->ram, FAKE_MEM_SIZE, f->fake->ram, FAKE_MEM_SIZE);
}

static void test_random(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    program(f);
    for (unsigned i = 0; i < STEPS; i++) {
        random_access(f);
    }
    loop_call(f->remote.loop, is_the_same, f);
}

/* --- losing the server, and finding another --- */

typedef struct Again {
    ProxyBoard board;
    Remote remote;
    char *dir, *path;
    int listener;
} Again;

static void again_setup(Again *a, gconstpointer data G_GNUC_UNUSED)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    g_autofree char *props = NULL;
    GError *err = NULL;

    a->dir = g_dir_make_tmp("vfu-XXXXXX", NULL);
    a->path = g_build_filename(a->dir, "s", NULL);
    g_strlcpy(addr.sun_path, a->path, sizeof(addr.sun_path));
    a->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(a->listener, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(a->listener, 5), ==, 0);
    board_init(&a->board, false);
    props = g_strdup_printf("socket=%s,reconnect=1,protocol=vfio-user,reply-timeout=500", a->path);
    g_assert_nonnull(board_device(&a->board, props, NULL));
    /* Nobody serves the socket: attach gives up. */
    g_assert_false(board_attach(&a->board, &err));
    g_assert_nonnull(strstr(err->message, "does not answer"));
    g_error_free(err);
    close(accept(a->listener, NULL, NULL));
}

static void again_teardown(Again *a, gconstpointer data G_GNUC_UNUSED)
{
    board_fini(&a->board);
    close(a->listener);
    unlink(a->path);
    rmdir(a->dir);
    g_free(a->path);
    g_free(a->dir);
}

static bool is_lost(ProxyBoard *board)
{
    return log_count(board, "the device is gone until it is back") == 1;
}

static bool is_back(ProxyBoard *board)
{
    return log_count(board, "the remote is back") == 1;
}

static gpointer serve(gpointer opaque)
{
    Again *a = opaque;

    remote_start(&a->remote, accept(a->listener, NULL, NULL));
    return NULL;
}

static void test_again(Again *a, gconstpointer data G_GNUC_UNUSED)
{
    GThread *thread = g_thread_new("accept", serve, a);

    g_assert_true(board_attach(&a->board, NULL));
    g_thread_join(thread);
    board_program(&a->board);
    g_assert_cmphex(pci_cfg_read(a->board.pci, 0, 4), ==, 0x56781234);
    loop_call(a->remote.loop, stop, &a->remote);
    board_until(&a->board, is_lost);
    remote_finish(&a->remote);
    g_assert_cmphex(pci_cfg_read(a->board.pci, 0, 4), ==, UINT32_MAX);
    g_assert_cmphex(bus_read(a->board.pci, IO_BASE, 4, false), ==, UINT32_MAX);

    thread = g_thread_new("accept", serve, a);
    board_until(&a->board, is_back);
    g_thread_join(thread);
    g_assert_cmphex(pci_cfg_read(a->board.pci, PCI_BAR0, 4), ==, IO_BASE | 1);
    bus_write(a->board.pci, IO_BASE + FAKE_REG_IRQ, 1, 1, false);
    pci_cfg_read(a->board.pci, 0, 4);
    board_settle(&a->board);
    g_assert_true(a->board.level);
    pci_dev_detach(a->board.pci);
    remote_finish(&a->remote);
}

/* --- a server that answers wrong --- */

typedef enum Wrong {
    WRONG_NOTHING,
    WRONG_ID,
    WRONG_SIZE,
    WRONG_LENGTH,
    WRONG_TYPE,
    WRONG_MAJOR,
    WRONG_SHORT,
    WRONG_ERROR,
    WRONG_HANG_UP,
    WRONGS
} Wrong;

typedef struct Liar {
    int fd;
    Wrong wrong;
} Liar;

static gpointer lie(gpointer opaque)
{
    const Liar *liar = opaque;
    struct {
        VfuHeader header;
        uint8_t payload[512];
    } m = { 0 };
    VfuVersion version = { .major = liar->wrong == WRONG_MAJOR };

    g_assert_cmpint(recv(liar->fd, &m, sizeof(m.header), MSG_WAITALL), ==, sizeof(m.header));
    g_assert_cmpuint(m.header.cmd, ==, VFU_VERSION);
    g_assert_cmpint(recv(liar->fd, m.payload, m.header.size - sizeof(m.header), MSG_WAITALL), >, 0);
    m.header.flags = liar->wrong == WRONG_TYPE ? VFU_TYPE_COMMAND : VFU_TYPE_REPLY;
    m.header.id += liar->wrong == WRONG_ID;
    m.header.size = sizeof(m.header) + (liar->wrong == WRONG_SHORT ? 2 : sizeof(version));
    if (liar->wrong == WRONG_ERROR) {
        m.header.flags |= VFU_ERROR;
        m.header.error = EINVAL;
        m.header.size = sizeof(m.header);
    }
    memcpy(m.payload, &version, sizeof(version));
    size_t len = m.header.size;
    if (liar->wrong == WRONG_SIZE) {
        m.header.size = 15;
    } else if (liar->wrong == WRONG_LENGTH) {
        m.header.size = UINT32_MAX;
    }
    if (liar->wrong != WRONG_HANG_UP) {
        g_assert_cmpint(send(liar->fd, &m, len, MSG_NOSIGNAL), ==, len);
    }
    if (liar->wrong == WRONG_NOTHING) { /* and refuses all else */
        while (recv(liar->fd, &m, sizeof(m.header), MSG_WAITALL) == sizeof(m.header)) {
            recv(liar->fd, m.payload, m.header.size - sizeof(m.header), MSG_WAITALL);
            m.header.flags = VFU_TYPE_REPLY | VFU_ERROR;
            m.header.error = ENOTSUP;
            m.header.size = sizeof(m.header);
            send(liar->fd, &m, sizeof(m.header), MSG_NOSIGNAL);
        }
    }
    close(liar->fd);
    return NULL;
}

static void test_wrong(gconstpointer data)
{
    static const char *const errors[WRONGS] = {
        [WRONG_NOTHING] = "does not say what it is",
        [WRONG_ID] = "no reply",
        [WRONG_SIZE] = "no reply",
        [WRONG_LENGTH] = "no reply",
        [WRONG_TYPE] = "no reply",
        [WRONG_MAJOR] = "another version",
        [WRONG_SHORT] = "another version",
        [WRONG_ERROR] = "refuses version",
        [WRONG_HANG_UP] = "hung up",
    };
    Liar liar = { .wrong = GPOINTER_TO_INT(data) };
    g_autofree char *fd_prop = NULL;
    g_autofree char *props = NULL;
    g_autoptr(GError) err = NULL;
    ProxyBoard board;
    GThread *thread;

    board_init(&board, false);
    liar.fd = socket_pair(&fd_prop);
    props = g_strdup_printf("%s,protocol=vfio-user", fd_prop);
    g_assert_nonnull(board_device(&board, props, NULL));
    thread = g_thread_new("liar", lie, &liar);
    g_assert_false(board_attach(&board, &err));
    g_test_message("%s", err->message);
    g_assert_nonnull(strstr(err->message, errors[liar.wrong]));
    board_fini(&board);
    g_thread_join(thread);
}

static void test_property(void)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *fd_prop = NULL;
    g_autofree char *props = NULL;
    ProxyBoard board;
    int fd;

    board_init(&board, false);
    fd = socket_pair(&fd_prop);
    props = g_strdup_printf("%s,protocol=scsi", fd_prop);
    g_assert_null(board_device(&board, props, &err));
    g_assert_nonnull(strstr(err->message, "protocol"));
    close(fd);
    close(atoi(fd_prop + strlen("fd=")));
    board_fini(&board);
}

#define ADD(name, set_up, test)                                                                    \
    g_test_add("/proxy-vfio-user/" name, Fixture, NULL, set_up, test, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("config", setup, test_config);
    ADD("interrupt", setup, test_interrupt);
    ADD("glitch", setup, test_glitch);
    ADD("intx-off", setup, test_intx_off);
    ADD("host-takes-it", setup_binds, test_host_takes_it);
    ADD("reset", setup, test_reset);
    ADD("memory", setup, test_memory);
    ADD("many-regions", setup, test_many_regions);
    ADD("random", setup, test_random);
    g_test_add("/proxy-vfio-user/again", Again, NULL, again_setup, test_again, again_teardown);
    for (Wrong wrong = 0; wrong < WRONGS; wrong++) {
        g_autofree char *name = g_strdup_printf("/proxy-vfio-user/wrong/%d", (int)wrong);
        g_test_add_data_func(name, GINT_TO_POINTER(wrong), test_wrong);
    }
    g_test_add_func("/proxy-vfio-user/property", test_property);
    return g_test_run();
}
