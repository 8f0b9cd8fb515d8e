/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board: configuration mechanism 1, interrupt routing and irqfds, memory and ports across
 * their borders, reset and stop, the serial port. Functions are those of fake-pci.h, the sink one
 * that records.
 */
#include "fake-pci.h"
#include "hw/i386/pc.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAM_SIZE (1 << 20)
#define ISA_BRIDGE 8
#define PIRQRC 0x60
#define COM 0x3f8

typedef struct Fixture {
    Loop *loop;
    Pc *pc;
    FakePci *fake[8];
    unsigned n_fakes;
    GString *log; /* of the sink */
    uint32_t gsis;
    int bind_error; /* that bind_irqfd gives */
    int serial[2];  /* [0] is the test's end */
    int debug[2];   /* a pipe */
    unsigned done;
} Fixture;

static void sink_gsi(void *opaque, unsigned gsi, bool level)
{
    Fixture *f = opaque;

    g_assert_cmpuint(gsi, <, PC_GSIS);
    g_assert_true(!(f->gsis >> gsi & 1) == level); /* changes only */
    f->gsis ^= 1u << gsi;
    g_string_append_printf(f->log, "%c%u ", level ? '+' : '-', gsi);
}

static int sink_irqfd(void *opaque, int gsi, int irqfd, int resamplefd)
{
    Fixture *f = opaque;

    g_string_append_printf(f->log, "fd%d,%d@%d ", irqfd, resamplefd, gsi);
    return gsi < 0 ? 0 : f->bind_error;
}

static void sink_exit(void *opaque, int code)
{
    Fixture *f = opaque;

    g_string_append_printf(f->log, "exit%d ", code);
}

static void set_up(Fixture *f, gconstpointer irqfds)
{
    g_autoptr(GError) error = NULL;

    f->loop = loop_new("test", &error);
    g_assert_no_error(error);
    f->log = g_string_new(NULL);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->serial), ==, 0);
    g_assert_cmpint(pipe2(f->debug, O_CLOEXEC), ==, 0);
    PcConfig config = { .ram_size = RAM_SIZE,
                        .serial_in = f->serial[1],
                        .serial_out = f->serial[1],
                        .debug_out = f->debug[1] };
    f->pc = pc_new(f->loop, &config, &error);
    g_assert_no_error(error);
    PcSink sink = { .set_gsi = sink_gsi,
                    .bind_irqfd = irqfds ? sink_irqfd : NULL,
                    .guest_exit = sink_exit,
                    .opaque = f };
    pc_set_sink(f->pc, &sink);
}

static void tear_down(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pc_free(f->pc);
    for (unsigned i = 0; i < f->n_fakes; i++) {
        loop_work_cancel(&f->fake[i]->work);
        fake_free(f->fake[i]);
    }
    loop_free(f->loop);
    g_string_free(f->log, TRUE);
    fd_clear(&f->serial[0]);
    fd_clear(&f->serial[1]);
    fd_clear(&f->debug[0]);
    fd_clear(&f->debug[1]);
}

static FakePci *add_fake(Fixture *f, int devfn)
{
    g_autoptr(GError) error = NULL;
    FakePci *fake = fake_new();

    f->fake[f->n_fakes++] = fake;
    pc_add_device(f->pc, &fake->pci, devfn, &error);
    g_assert_no_error(error);
    return fake;
}

static void assert_log(Fixture *f, const char *expected)
{
    g_assert_cmpstr(f->log->str, ==, expected);
    g_string_truncate(f->log, 0);
}

static uint32_t in(Fixture *f, uint16_t port, unsigned size)
{
    return pc_pio_read(f->pc, port, size);
}

static void out(Fixture *f, uint16_t port, uint32_t value, unsigned size)
{
    pc_pio_write(f->pc, port, value, size);
}

static void select_config(Fixture *f, unsigned devfn, unsigned reg)
{
    out(f, 0xcf8, 0x80000000 | devfn << 8 | (reg & 0xfc), 4);
}

static uint32_t config_read(Fixture *f, unsigned devfn, unsigned reg, unsigned size)
{
    select_config(f, devfn, reg);
    return in(f, 0xcfc + (reg & 3), size);
}

static void config_write(Fixture *f, unsigned devfn, unsigned reg, uint32_t value, unsigned size)
{
    select_config(f, devfn, reg);
    out(f, 0xcfc + (reg & 3), value, size);
}

static void done(void *opaque)
{
    Fixture *f = opaque;

    f->done++;
}

/* --- PCI --- */

static void test_config(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    add_fake(f, -1);
    g_assert_cmphex(config_read(f, 0, 0, 4), ==, 0x12378086);
    g_assert_cmphex(config_read(f, 0, 8, 4) >> 8, ==, 0x060000);
    g_assert_cmphex(config_read(f, ISA_BRIDGE, 0, 4), ==, 0x70008086);
    g_assert_cmphex(config_read(f, ISA_BRIDGE, 0xa, 2), ==, 0x0601);
    g_assert_cmphex(config_read(f, ISA_BRIDGE, 0xe, 1), ==, 0x80);
    g_assert_cmphex(config_read(f, 0x10, 0, 4), ==, 0x56781234); /* the first free slot is 2 */
    g_assert_cmphex(config_read(f, 0x10, 2, 2), ==, 0x5678);
    g_assert_cmphex(config_read(f, 0x10, 1, 1), ==, 0x12);
    g_assert_cmphex(config_read(f, 0x10, 3, 1), ==, 0x56);
    config_write(f, 0x10, 0x3c, 0xab, 1);
    g_assert_cmphex(config_read(f, 0x10, 0x3c, 2), ==, 0x01ab);

    /* The address register is read back, and only a dword sets it. */
    select_config(f, 0x10, 0x3c);
    g_assert_cmphex(in(f, 0xcf8, 4), ==, 0x8000103c);
    out(f, 0xcf8, 0, 2);
    out(f, 0xcf8, 0, 1);
    g_assert_cmphex(in(f, 0xcf8, 4), ==, 0x8000103c);
    g_assert_cmphex(in(f, 0xcf8, 2), ==, 0x00ff); /* 0xcf9 is a port of its own */

    /* Nobody: another function, slot, bus; or not enabled. */
    g_assert_cmphex(config_read(f, 0x11, 0, 4), ==, UINT32_MAX);
    g_assert_cmphex(config_read(f, 0xf8, 0, 2), ==, 0xffff);
    out(f, 0xcf8, 0x80010000, 4);
    g_assert_cmphex(in(f, 0xcfc, 4), ==, UINT32_MAX);
    out(f, 0xcfc, 0, 4);
    out(f, 0xcf8, 0, 4);
    g_assert_cmphex(in(f, 0xcfc, 1), ==, 0xff);
    /* Across the end of the register: only what is of it. */
    select_config(f, 0, 0);
    g_assert_cmphex(in(f, 0xcfe, 4), ==, 0xffff1237);
}

static void test_add_device(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) taken = NULL, refused = NULL, again = NULL;
    FakePci *fake = add_fake(f, 5 << 3);
    FakePci *other = fake_new();

    f->fake[f->n_fakes++] = other;
    g_assert_false(pc_add_device(f->pc, &other->pci, 5 << 3, &taken));
    g_assert_nonnull(strstr(taken->message, "05.0"));
    g_assert_false(pc_add_device(f->pc, &fake->pci, -1, &again));
    g_assert_nonnull(again);
    other->refuse_attach = true;
    g_assert_false(pc_add_device(f->pc, &other->pci, -1, &refused));
    g_assert_nonnull(refused);
    g_assert_cmphex(config_read(f, 0x10, 0, 4), ==, UINT32_MAX);
    g_assert_true(fake->pci.host->map == pc_memory(f->pc));
}

/* Slot and pin to PIRQ to GSI, for every combination. */
static void test_routing(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint8_t gsis[4] = { 5, 9, 10, 11 };

    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmphex(config_read(f, ISA_BRIDGE, PIRQRC + i, 1), ==, 0x80);
        config_write(f, ISA_BRIDGE, PIRQRC + i, gsis[i] | 0x70, 1);
        g_assert_cmphex(config_read(f, ISA_BRIDGE, PIRQRC + i, 1), ==, gsis[i]);
    }
    for (unsigned slot = 2; slot < 6; slot++) {
        FakePci *fake = add_fake(f, slot << 3);
        for (unsigned pin = 1; pin <= 4; pin++) {
            g_autofree char *expected = g_strdup_printf(
                "+%u -%u ", gsis[(slot + (pin - 1) - 1) & 3], gsis[(slot + (pin - 1) - 1) & 3]);
            fake->pci.config[PCI_INT_PIN] = pin;
            pci_irq_set(&fake->pci, true);
            pci_irq_set(&fake->pci, false);
            assert_log(f, expected);
        }
    }
}

static void test_wired_or(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    FakePci *a = add_fake(f, 2 << 3), *b = add_fake(f, 6 << 3), *c = add_fake(f, 3 << 3);

    /* Off, then routed with the pin up. */
    pci_irq_set(&a->pci, true);
    assert_log(f, "");
    config_write(f, ISA_BRIDGE, PIRQRC + 1, 4, 1); /* PIRQB: slots 2 and 6; GSI 4 is the serial's */
    assert_log(f, "+4 ");
    pci_irq_set(&b->pci, true);
    pci_irq_set(&a->pci, false);
    assert_log(f, "");
    out(f, COM + 1, 2, 1); /* THR is empty: the serial port wants it too */
    pci_irq_set(&b->pci, false);
    assert_log(f, "");
    in(f, COM + 2, 1);
    assert_log(f, "-4 ");
    /* Two PIRQs on one GSI; one moves away, one is switched off, each with its pin up. */
    pci_irq_set(&a->pci, true);
    pci_irq_set(&c->pci, true);
    config_write(f, ISA_BRIDGE, PIRQRC + 2, 4, 1);
    assert_log(f, "+4 ");
    config_write(f, ISA_BRIDGE, PIRQRC, 0x80800b80, 4); /* all four at once */
    assert_log(f, "-4 +11 ");
    config_write(f, ISA_BRIDGE, PIRQRC + 1, 0x80, 1);
    assert_log(f, "-11 ");
}

static void test_irqfd(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    FakePci *fake = add_fake(f, 2 << 3);
    const PciHost *host = fake->pci.host;

    /* Not routed yet: it is kept. */
    g_assert_cmpint(host->ops->bind_irqfd(host->opaque, &fake->pci, 40, 41), ==, 0);
    assert_log(f, "");
    config_write(f, ISA_BRIDGE, PIRQRC + 1, 10, 1);
    assert_log(f, "fd40,41@10 ");
    config_write(f, ISA_BRIDGE, PIRQRC + 1, 11, 1);
    assert_log(f, "fd40,41@-1 fd40,41@11 ");
    config_write(f, ISA_BRIDGE, PIRQRC + 1, 11, 1); /* no change */
    config_write(f, ISA_BRIDGE, PIRQRC + 2, 10, 1); /* of no concern */
    assert_log(f, "");
    config_write(f, ISA_BRIDGE, PIRQRC + 1, 0x80, 1);
    assert_log(f, "fd40,41@-1 ");
    config_write(f, ISA_BRIDGE, PIRQRC + 1, 10, 1);
    assert_log(f, "fd40,41@10 ");
    g_assert_cmpint(host->ops->bind_irqfd(host->opaque, &fake->pci, 50, -1), ==, 0);
    assert_log(f, "fd40,41@-1 fd50,-1@10 ");
    g_assert_cmpint(host->ops->bind_irqfd(host->opaque, &fake->pci, -1, -1), ==, 0);
    assert_log(f, "fd50,-1@-1 ");
    config_write(f, ISA_BRIDGE, PIRQRC + 1, 11, 1);
    assert_log(f, "");
    f->bind_error = -ENOSPC;
    g_assert_cmpint(host->ops->bind_irqfd(host->opaque, &fake->pci, 60, 61), ==, -ENOSPC);
    assert_log(f, "fd60,61@11 ");
    config_write(f, ISA_BRIDGE, PIRQRC + 1, 10, 1); /* it was not kept */
    assert_log(f, "");
    /* Reset switches routing off. */
    f->bind_error = 0;
    g_assert_cmpint(host->ops->bind_irqfd(host->opaque, &fake->pci, 60, 61), ==, 0);
    pc_reset(f->pc, done, f);
    while (!f->done) {
        loop_turn(f->loop, -1);
    }
    assert_log(f, "fd60,61@10 fd60,61@-1 ");
}

static void test_no_irqfd(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    FakePci *fake = add_fake(f, 2 << 3);
    const PciHost *host = fake->pci.host;

    g_assert_cmpint(host->ops->bind_irqfd(host->opaque, &fake->pci, 40, 41), <, 0);
    g_assert_cmpint(host->ops->bind_irqfd(host->opaque, &fake->pci, -1, -1), ==, 0);
    config_write(f, ISA_BRIDGE, PIRQRC + 1, 10, 1);
}

/* --- memory and ports --- */

static void test_memory(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    FakePci *fake = add_fake(f, 2 << 3);
    uint8_t buf[16];
    uint32_t value = 0x44332211;

    pc_mem_write(f->pc, 0x1000, &value, 4);
    g_assert_cmpint(guest_memory_read(fake->pci.mem, 0x1000, buf, 4), ==, 0);
    g_assert_cmpmem(buf, 4, &value, 4);
    g_assert_cmpint(pread(pc_ram_fd(f->pc), buf, 4, 0x1000), ==, 4);
    g_assert_cmpmem(buf, 4, &value, 4);

    /* BAR 1 right behind RAM. */
    config_write(f, 0x10, PCI_BAR0 + 4, RAM_SIZE, 4);
    pc_mem_read(f->pc, RAM_SIZE, buf, 4);
    g_assert_cmpmem(buf, 4, "\xff\xff\xff\xff", 4); /* not enabled */
    config_write(f, 0x10, PCI_COMMAND, PCI_COMMAND_MEM | PCI_COMMAND_IO, 2);
    pc_mem_write(f->pc, RAM_SIZE + 8, &value, 4);
    g_assert_cmpstr(fake->log->str, ==, "w1+8/4 ");
    g_string_truncate(fake->log, 0);
    memset(buf, 0x5a, sizeof(buf));
    pc_mem_write(f->pc, RAM_SIZE - 4, buf, 12);
    g_assert_cmpstr(fake->log->str, ==, "w1+0/4 w1+4/4 ");
    memset(buf, 0, sizeof(buf));
    pc_mem_read(f->pc, RAM_SIZE - 4, buf, 16);
    for (unsigned i = 0; i < 12; i++) {
        g_assert_cmphex(buf[i], ==, 0x5a);
    }
    g_assert_cmpmem(buf + 12, 4, &value, 4);
    /* Across the BAR's end, and beyond. */
    fake->ram[FAKE_MEM_SIZE - 1] = 0x77;
    pc_mem_read(f->pc, RAM_SIZE + FAKE_MEM_SIZE - 1, buf, 2);
    g_assert_cmpmem(buf, 2, "\x77\xff", 2);
    pc_mem_write(f->pc, RAM_SIZE + FAKE_MEM_SIZE - 2, &value, 4);
    g_assert_cmpint(fake->ram[FAKE_MEM_SIZE - 1], ==, 0x22);
    pc_mem_read(f->pc, UINT64_MAX - 7, buf, 8);
    g_assert_cmpmem(buf, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    /* What a section hides isn't the bus's any more. */
    MemorySection rom = { .addr = RAM_SIZE, .size = 16, .kind = MEMORY_ROM, .fd = -1, .host = buf };
    g_assert_true(memory_map_add(pc_memory(f->pc), &rom));
    g_string_truncate(fake->log, 0);
    pc_mem_read(f->pc, RAM_SIZE, &value, 4);
    g_assert_cmphex(value, ==, UINT32_MAX);
    g_assert_cmpstr(fake->log->str, ==, "");
}

static void test_ram_is_sealed(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    int seals = fcntl(pc_ram_fd(f->pc), F_GET_SEALS);

    g_assert_cmpint(seals & F_SEAL_SHRINK, ==, F_SEAL_SHRINK);
    g_assert_cmpint(ftruncate(pc_ram_fd(f->pc), 0), ==, -1);
    g_assert_cmpuint(pc_ram_size(f->pc), ==, RAM_SIZE);
}

static void test_ram_sizes(void)
{
    static const uint64_t bad[] = { 0, 1, RAM_SIZE + 1, (UINT64_C(3) << 30) + 4096, UINT64_MAX };
    g_autoptr(GError) none = NULL;
    Loop *loop = loop_new("test", &none);

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        PcConfig config = { bad[i], -1, -1, -1 };
        g_assert_null(pc_new(loop, &config, &error));
        g_assert_nonnull(error);
    }
    PcConfig most = { UINT64_C(3) << 30, -1, -1, -1 };
    Pc *pc = pc_new(loop, &most, &none);
    g_assert_no_error(none);
    pc_free(pc);
    loop_free(loop);
}

static void test_ports(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    FakePci *fake = add_fake(f, 2 << 3);
    char c[4];

    g_assert_cmphex(in(f, 0xe9, 1), ==, 0xe9);
    g_assert_cmphex(in(f, 0xe8, 4), ==, 0xffffe9ff); /* the bytes have different owners */
    out(f, 0xe9, 'x', 1);
    g_assert_cmpint(read(f->debug[0], c, sizeof(c)), ==, 1);
    g_assert_cmpint(c[0], ==, 'x');
    g_assert_cmphex(in(f, 0x1000, 2), ==, 0xffff);
    g_assert_cmphex(in(f, 0x1000, 3), ==, UINT32_MAX);
    out(f, 0x1000, 0, 3);

    config_write(f, 0x10, PCI_BAR0, 0xc000, 4);
    g_assert_cmphex(in(f, 0xc000, 4), ==, UINT32_MAX);
    config_write(f, 0x10, PCI_COMMAND, PCI_COMMAND_IO, 2);
    out(f, 0xc000, 0x04030201, 4);
    g_assert_cmphex(in(f, 0xc002, 2), ==, 0x0403);
    g_assert_cmphex(in(f, 0xc00f, 2), ==, 0xff00); /* half of it is beyond the BAR */
    g_assert_cmpstr(fake->log->str, ==, "w0+0/4 r0+2/2 r0+15/1 ");
    g_assert_cmphex(in(f, 0xffff, 4), ==, UINT32_MAX); /* port numbers wrap */
}

static void test_exit(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    out(f, 0x501, 0x10, 1);
    out(f, 0x501, 0x11, 2);
    out(f, 0x501, 0x12, 4);
    g_assert_cmphex(in(f, 0x501, 1), ==, 0);
    assert_log(f, "exit33 exit35 exit37 ");
    out(f, 0xcf9, 0x02, 1);
    assert_log(f, "");
    out(f, 0xcf9, 0x06, 1);
    assert_log(f, "exit0 ");
    g_assert_cmphex(in(f, 0xcf9, 1), ==, 0x06);
    out(f, 0xcf9, 0x06, 1); /* no change */
    assert_log(f, "");
}

/* Output that is not taken is kept, up to a bound, and the board goes on. */
static void test_debug_not_read(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static char buf[1 << 16];
    unsigned sent = 0, received = 0;
    ssize_t n;
    /* The last ones are lost, which is said in the log. */
    int size = fcntl(f->debug[1], F_SETPIPE_SZ, 4096);

    for (; sent < (unsigned)size + 40000; sent++) {
        out(f, 0xe9, sent % 251, 1);
    }
    g_assert_cmpint(fcntl(f->debug[0], F_SETFL, O_NONBLOCK), ==, 0);
    for (;;) {
        n = read(f->debug[0], buf, sizeof(buf));
        if (n < 0 && !loop_turn(f->loop, 0)) {
            break;
        }
        for (ssize_t i = 0; i < n; i++) {
            g_assert_cmpint((uint8_t)buf[i], ==, received++ % 251);
        }
    }
    g_assert_cmpuint(received, >=, 16384);
    g_assert_cmpuint(received, <, sent);
    out(f, 0xe9, '!', 1); /* and there is room again */
    g_assert_cmpint(read(f->debug[0], buf, sizeof(buf)), ==, 1);
    g_assert_cmpint(buf[0], ==, '!');
    close(f->debug[0]);
    f->debug[0] = -1;
    out(f, 0xe9, '!', 1); /* nobody is there any more, and nobody minds */
    out(f, 0xe9, '!', 1);
}

/* --- reset and stop --- */

static void test_reset(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    FakePci *a = add_fake(f, 2 << 3), *b = add_fake(f, 3 << 3);

    config_write(f, ISA_BRIDGE, PIRQRC + 1, 10, 1);
    config_write(f, 0x10, PCI_COMMAND, 7, 2);
    pci_irq_set(&a->pci, true);
    out(f, COM + 7, 0x55, 1);
    assert_log(f, "+10 ");
    a->hold_drain = true;
    pc_reset(f->pc, done, f);
    g_assert_cmpuint(f->done, ==, 0);
    loop_turn(f->loop, 0);
    loop_turn(f->loop, 0);
    g_assert_cmpuint(f->done, ==, 0);
    g_assert_cmpuint(b->resets, ==, 0);
    fake_idle(a);
    while (!f->done) {
        loop_turn(f->loop, -1);
    }
    g_assert_cmpuint(a->drains + b->drains, ==, 2);
    g_assert_cmpuint(a->resets + b->resets, ==, 2);
    assert_log(f, "-10 ");
    g_assert_cmphex(in(f, 0xcf8, 4), ==, 0);
    g_assert_cmphex(config_read(f, ISA_BRIDGE, PIRQRC + 1, 1), ==, 0x80);
    g_assert_cmphex(config_read(f, 0x10, PCI_COMMAND, 2), ==, 0);
    g_assert_cmphex(config_read(f, 0, PCI_COMMAND, 2), ==, 6);
    g_assert_cmphex(in(f, COM + 7, 1), ==, 0);
}

static void test_stop_during_reset(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    FakePci *a = add_fake(f, 2 << 3);

    a->hold_drain = true;
    pc_reset(f->pc, done, f);
    pc_stop(f->pc, done, f);
    g_assert_cmpuint(a->drains, ==, 1);
    fake_idle(a);
    while (f->done < 2) {
        loop_turn(f->loop, -1);
    }
    g_assert_cmpuint(a->resets, ==, 1);
    a->hold_drain = false;
    pc_stop(f->pc, done, f);
    while (f->done < 3) {
        loop_turn(f->loop, -1);
    }
    g_assert_cmpuint(a->drains, ==, 2);
    g_assert_cmpuint(a->resets, ==, 1); /* a stop is no reset */
}

static void test_stop_without_devices(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pc_stop(f->pc, done, f);
    g_assert_cmpuint(f->done, ==, 0); /* from the loop */
    loop_turn(f->loop, 0);
    g_assert_cmpuint(f->done, ==, 1);
}

/* --- serial port --- */

static uint8_t com(Fixture *f, unsigned reg)
{
    return in(f, COM + reg, 1);
}

static void com_set(Fixture *f, unsigned reg, uint8_t value)
{
    out(f, COM + reg, value, 1);
}

static void line_in(Fixture *f, const char *text)
{
    g_assert_cmpint(write(f->serial[0], text, strlen(text)), ==, (ssize_t)strlen(text));
    loop_turn(f->loop, 0);
}

/* As Linux' 8250 driver finds out what it has. */
static void test_serial_probe(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    com_set(f, 1, 0);
    g_assert_cmphex(com(f, 1), ==, 0);
    com_set(f, 1, 0xff);
    g_assert_cmphex(com(f, 1), ==, 0x0f);
    com_set(f, 1, 0);
    com_set(f, 4, 0x1a); /* loop, OUT2, RTS */
    g_assert_cmphex(com(f, 6) & 0xf0, ==, 0x90);
    com_set(f, 4, 0);
    g_assert_cmphex(com(f, 6), ==, 0xb0);
    com_set(f, 2, 0);
    g_assert_cmphex(com(f, 2), ==, 0x01);
    com_set(f, 2, 1);
    g_assert_cmphex(com(f, 2), ==, 0xc1); /* a 16550A */
    com_set(f, 7, 0xa5);
    g_assert_cmphex(com(f, 7), ==, 0xa5);
    com_set(f, 3, 0x83);
    com_set(f, 0, 0x34);
    com_set(f, 1, 0x12);
    g_assert_cmphex(com(f, 0), ==, 0x34);
    g_assert_cmphex(com(f, 1), ==, 0x12);
    com_set(f, 3, 0x03);
    g_assert_cmphex(com(f, 3), ==, 0x03);
    g_assert_cmphex(com(f, 1), ==, 0);
}

static void test_serial_polled(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    char buf[8];

    for (const char *c = "abc"; *c; c++) {
        g_assert_cmphex(com(f, 5), ==, 0x60);
        com_set(f, 0, *c);
    }
    g_assert_cmpint(read(f->serial[0], buf, sizeof(buf)), ==, 3);
    g_assert_cmpmem(buf, 3, "abc", 3);
    line_in(f, "xy");
    g_assert_cmphex(com(f, 5), ==, 0x61); /* without FIFOs one at a time */
    g_assert_cmpint(com(f, 0), ==, 'x');
    g_assert_cmphex(com(f, 5), ==, 0x60);
    loop_turn(f->loop, 0);
    g_assert_cmpint(com(f, 0), ==, 'y');
    g_assert_cmpint(com(f, 0), ==, 0);
    assert_log(f, "");
}

static void test_serial_receive(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    com_set(f, 2, 0x41); /* FIFOs, trigger at 4 */
    com_set(f, 1, 1);
    line_in(f, "0123456789abcdefgh");
    assert_log(f, "+4 ");
    g_assert_cmphex(com(f, 2), ==, 0xc4);
    for (const char *c = "0123456789ab"; *c; c++) {
        g_assert_cmpint(com(f, 0), ==, *c);
    }
    g_assert_cmphex(com(f, 2), ==, 0xc4); /* four are left of 16 */
    g_assert_cmpint(com(f, 0), ==, 'c');
    g_assert_cmphex(com(f, 2), ==, 0xcc); /* time-out */
    loop_turn(f->loop, 0);                /* the rest comes in now */
    for (const char *c = "defgh"; *c; c++) {
        g_assert_cmpint(com(f, 0), ==, *c);
    }
    assert_log(f, "-4 ");
    g_assert_cmphex(com(f, 2), ==, 0xc1);
    line_in(f, "zz");
    com_set(f, 2, 0x43); /* clear */
    g_assert_cmphex(com(f, 5), ==, 0x60);
    assert_log(f, "+4 -4 ");
    close(f->serial[0]);
    f->serial[0] = -1;
    loop_turn(f->loop, 0);
    g_assert_false(loop_turn(f->loop, 0)); /* it doesn't spin on the end of the line */
    com_set(f, 0, 'x');
    g_assert_cmphex(com(f, 5), ==, 0x60);
}

static void test_serial_transmit_interrupt(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    com_set(f, 1, 2);
    assert_log(f, "+4 ");
    g_assert_cmphex(com(f, 2), ==, 0x02);
    assert_log(f, "-4 "); /* by having been read */
    g_assert_cmphex(com(f, 2), ==, 0x01);
    com_set(f, 0, 'a');
    assert_log(f, "+4 ");
    com_set(f, 0, 'b');
    assert_log(f, "-4 +4 "); /* an edge for each */
    com_set(f, 1, 0);
    assert_log(f, "-4 ");
    com_set(f, 1, 2);
    assert_log(f, "+4 ");
}

/* A receiver that doesn't take it: THR isn't empty until it does, and nothing is lost. */
static void test_serial_backpressure(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned sent = 0, received = 0;
    uint8_t buf[4096];
    ssize_t n;

    com_set(f, 1, 2);
    while (com(f, 5) & 0x20) {
        com_set(f, 0, sent++ % 253);
    }
    com(f, 2);
    g_string_truncate(f->log, 0);
    g_assert_cmpuint(sent, >, 16);
    loop_turn(f->loop, 0);
    g_assert_cmphex(com(f, 5) & 0x60, ==, 0);
    int64_t deadline = loop_now_ns() + INT64_C(20000000000);
    do {
        g_assert_cmpint(loop_now_ns(), <, deadline);
        while ((n = recv(f->serial[0], buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
            for (ssize_t i = 0; i < n; i++) {
                g_assert_cmpint(buf[i], ==, received++ % 253);
            }
        }
        loop_turn(f->loop, 0);
    } while (received < sent);
    g_assert_cmphex(com(f, 5) & 0x60, ==, 0x60);
    assert_log(f, "+4 ");
}

static void test_serial_loopback(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    char c;

    com_set(f, 4, 0x10);
    com_set(f, 1, 4);
    com_set(f, 0, 'a');
    com_set(f, 0, 'b');
    assert_log(f, "+4 ");
    g_assert_cmphex(com(f, 2), ==, 0x06);
    g_assert_cmphex(com(f, 5), ==, 0x63); /* an overrun */
    assert_log(f, "-4 ");
    g_assert_cmphex(com(f, 5), ==, 0x61);
    g_assert_cmpint(com(f, 0), ==, 'a');
    g_assert_cmpint(recv(f->serial[0], &c, 1, MSG_DONTWAIT), ==, -1);
}

/* Registers are a byte wide: a wider access is several. */
static void test_serial_wide(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    out(f, COM + 6, 0xa500, 2);
    g_assert_cmphex(in(f, COM + 6, 2), ==, 0xa5b0);
    g_assert_cmphex(in(f, COM + 5, 4), ==, 0xffa5b060);
}

#define TEST(name, fn) g_test_add("/pc/" name, Fixture, NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    TEST("pci/config", test_config);
    TEST("pci/add-device", test_add_device);
    TEST("irq/routing", test_routing);
    TEST("irq/wired-or", test_wired_or);
    g_test_add("/pc/irq/irqfd", Fixture, "irqfds", set_up, test_irqfd, tear_down);
    TEST("irq/no-irqfd", test_no_irqfd);
    TEST("memory", test_memory);
    TEST("ram/sealed", test_ram_is_sealed);
    g_test_add_func("/pc/ram/sizes", test_ram_sizes);
    TEST("ports", test_ports);
    TEST("exit", test_exit);
    TEST("debug-not-read", test_debug_not_read);
    TEST("reset", test_reset);
    TEST("stop/during-reset", test_stop_during_reset);
    TEST("stop/without-devices", test_stop_without_devices);
    TEST("serial/probe", test_serial_probe);
    TEST("serial/polled", test_serial_polled);
    TEST("serial/receive", test_serial_receive);
    TEST("serial/transmit-interrupt", test_serial_transmit_interrupt);
    TEST("serial/backpressure", test_serial_backpressure);
    TEST("serial/loopback", test_serial_loopback);
    TEST("serial/wide", test_serial_wide);
    return g_test_run();
}
