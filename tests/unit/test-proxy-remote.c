/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy with the real thing behind it: a remote machine and its mpqemu server in another
 * thread, serving the fake function; and the same function on a board of its own beside it. Each
 * access is made to both, and values, interrupt level and what the function itself saw must agree.
 */
#include "fake-pci.h"
#include "proxy-fixture.h"
#include "remote/mpqemu.h"
#include <sys/socket.h>

#define STEPS 3000

/* --- the remote's thread --- */

typedef struct Remote {
    Loop *loop;
    FakePci *fake;
    RemoteMachine *m;
    MpqemuServer *server;
    GThread *thread;
    unsigned ended;
    bool violation;
} Remote;

static void on_ended(void *opaque, bool violation)
{
    Remote *r = opaque;

    r->ended++;
    r->violation = violation;
    mpqemu_server_free(g_steal_pointer(&r->server));
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
    r->loop = loop_new("remote", NULL);
    r->fake = fake_new();
    r->m = machine_new("remote", r->loop, &r->fake->pci, NULL);
    g_assert_nonnull(r->m);
    r->server = mpqemu_server_new(r->m, fd, on_ended, r);
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

/* --- the function beside it --- */

typedef struct Local {
    FakePci *fake;
    PciHost host;
    bool level;
} Local;

static void local_set_irq(void *opaque, PciDev *dev G_GNUC_UNUSED, bool level)
{
    ((Local *)opaque)->level = level;
}

static const PciHostOps local_ops = { .set_irq = local_set_irq };

typedef struct Fixture {
    ProxyBoard board;
    Remote remote;
    Local local;
    PciDev *proxy, *plain;
} Fixture;

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *fd_prop = NULL;
    GError *err = NULL;

    board_init(&f->board, false);
    remote_start(&f->remote, socket_pair(&fd_prop));
    g_assert_nonnull(board_device(&f->board, fd_prop, NULL));
    board_attach(&f->board, &err);
    g_assert_no_error(err);
    f->proxy = f->board.pci;

    f->local.fake = fake_new();
    f->local.host = (PciHost){ .ops = &local_ops, .opaque = &f->local, .loop = f->board.loop };
    f->plain = &f->local.fake->pci;
    g_assert_true(pci_dev_attach(f->plain, &f->local.host, NULL));
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pci_dev_detach(f->plain);
    fake_free(f->local.fake);
    g_assert_cmpuint(log_count(&f->board, "p0: "), ==, 0);
    board_fini(&f->board);
    remote_finish(&f->remote);
}

static void agree(Fixture *f)
{
    /* what is deferred runs before the remote's next frame */
    board_settle(&f->board);
    g_assert_cmpint(f->board.level, ==, f->local.level);
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

/* --- tests --- */

static void test_config(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    for (unsigned addr = 0; addr < PCI_CONFIG_SIZE; addr++) {
        for (unsigned len = 1; len <= 4 && addr + len <= PCI_CONFIG_SIZE; len *= 2) {
            cfg_read(f, addr, len);
        }
    }
    /* sizing, as firmware does it */
    for (unsigned addr = PCI_BAR0; addr <= PCI_ROM_BAR; addr += 4) {
        uint32_t before = cfg_read(f, addr, 4);

        cfg_write(f, addr, UINT32_MAX, 4);
        cfg_read(f, addr, 4);
        cfg_write(f, addr, before, 4);
    }
    g_assert_cmphex(cfg_read(f, 0, 4), ==, 0x56781234);
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
    read_both(f, IO_BASE, 4, false); /* master abort */
    program(f);
    read_both(f, IO_BASE, 4, false);
    loop_call(f->remote.loop, was_reset, f);
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

static void test_memory(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    program(f);
    memcpy(f->board.ram + 0x1000, "ping", 4);
    loop_call(f->remote.loop, dma, f);
    g_assert_cmpmem(f->board.ram + 0x2000, 4, "pong", 4);
}

static void random_access(Fixture *f)
{
    static const uint64_t bases[] = { IO_BASE, MEM_BASE, MEM_BASE + 0x10000, 0xd000 };
    static const unsigned lens[] = { 1, 2, 4 };
    uint64_t value = (uint64_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
    uint64_t addr = bases[g_test_rand_int_range(0, 4)] + g_test_rand_int_range(0, 24);
    unsigned size = 1u << g_test_rand_int_range(0, 4);
    unsigned len = lens[g_test_rand_int_range(0, 3)];

    switch (g_test_rand_int_range(0, 16)) {
    case 0:
        cfg_write(f, PCI_COMMAND, value & 0x407, 2);
        break;
    case 1:
        cfg_write(f, PCI_BAR0, value & 1 ? IO_BASE : 0xd000, 4);
        break;
    case 2:
        cfg_write(f, PCI_BAR0 + 4, MEM_BASE + (value & 0x10000), 4);
        break;
    case 3:
        cfg_write(f, g_test_rand_int_range(0x0c, 0x10), value, 1);
        break;
    case 4:
        cfg_write(f, PCI_COMMAND, 7, 1);
        break;
    case 5:
        if (g_test_rand_int_range(0, 8) == 0) {
            reset_both(f);
            program(f);
        }
        break;
    case 6:
    case 7:
        cfg_read(f, g_test_rand_int_range(0, 0x40 - 4), len);
        break;
    case 8:
    case 9:
        write_both(f, IO_BASE + FAKE_REG_IRQ, value, 1, false);
        break;
    case 10:
    case 11:
    case 12:
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

    g_assert_cmpmem(f->remote.fake->io, FAKE_IO_SIZE, f->local.fake->io, FAKE_IO_SIZE);
    g_assert_cmpmem(f->remote.fake->ram, FAKE_MEM_SIZE, f->local.fake->ram, FAKE_MEM_SIZE);
    g_assert_cmpstr(f->remote.fake->log->str, ==, f->local.fake->log->str);
}

static void test_random(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    program(f);
    for (unsigned i = 0; i < STEPS; i++) {
        random_access(f);
    }
    loop_call(f->remote.loop, is_the_same, f);
}

#define ADD(name, test) g_test_add("/proxy-remote/" name, Fixture, NULL, setup, test, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("config", test_config);
    ADD("interrupt", test_interrupt);
    ADD("reset", test_reset);
    ADD("memory", test_memory);
    ADD("random", test_random);
    return g_test_run();
}
