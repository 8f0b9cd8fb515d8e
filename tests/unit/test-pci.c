/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Config space, the BAR door and the bus, on a function that records what reaches it.
 */
#include "fake-pci.h"
#include "hw/pci/pci-bus.h"
#include <errno.h>

typedef struct Fixture {
    FakePci *fake;
    PciDev *pci;
    Loop *loop;
    GuestMemory *mem;
    PciHost host;
    GString *irqs; /* "+" up, "-" down */
} Fixture;

static void set_irq(void *opaque, PciDev *dev G_GNUC_UNUSED, bool level)
{
    g_string_append_c(opaque, level ? '+' : '-');
}

static const PciHostOps host_ops = { .set_irq = set_irq };

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->fake = fake_new();
    f->pci = &f->fake->pci;
    f->loop = loop_new("test", NULL);
    f->mem = guest_memory_new("test");
    f->irqs = g_string_new(NULL);
    pci_add_pm_capability(f->pci, 0x40);
    f->host = (PciHost){ .ops = &host_ops, .opaque = f->irqs, .loop = f->loop, .mem = f->mem };
    g_assert_true(pci_dev_attach(f->pci, &f->host, NULL));
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pci_dev_detach(f->pci);
    guest_memory_free(f->mem);
    loop_free(f->loop);
    g_string_free(f->irqs, TRUE);
    fake_free(f->fake);
}

/* BARs at 0xc000 and 0xfe000000, everything on. */
static void program(Fixture *f)
{
    pci_cfg_write(f->pci, PCI_BAR0, 0xc001, 4);
    pci_cfg_write(f->pci, PCI_BAR0 + 4, 0xfe000000, 4);
    pci_cfg_write(f->pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER, 2);
}

static void check_log(Fixture *f, const char *expected)
{
    g_assert_cmpstr(f->fake->log->str, ==, expected);
    g_string_truncate(f->fake->log, 0);
}

static void test_ids(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmphex(pci_cfg_read(f->pci, 0, 4), ==, 0x56781234);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_REVISION, 4), ==, 0x01020304);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_SUBSYS_VENDOR, 4), ==, 0xdef09abc);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_INT_PIN, 1), ==, 1);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_HEADER_TYPE, 1), ==, 0);
    g_assert_cmphex(pci_cfg_read(f->pci, 0x01, 2), ==, 0x7812); /* unaligned is fine */
}

/* The proxy's probe: all seven dwords from 0x10 on, and the ROM BAR as the firmware does. */
static void test_sizing(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint32_t expected[] = { 0xfffffff1, 0xfffff000, 0, 0, 0, 0, 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
        uint32_t before = pci_cfg_read(f->pci, PCI_BAR0 + 4 * i, 4);

        pci_cfg_write(f->pci, PCI_BAR0 + 4 * i, 0xffffffff, 4);
        g_assert_cmphex(pci_cfg_read(f->pci, PCI_BAR0 + 4 * i, 4), ==, expected[i]);
        pci_cfg_write(f->pci, PCI_BAR0 + 4 * i, before, 4);
        g_assert_cmphex(pci_cfg_read(f->pci, PCI_BAR0 + 4 * i, 4), ==, before);
    }
    pci_cfg_write(f->pci, PCI_ROM_BAR, 0xffffffff, 4);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_ROM_BAR, 4), ==, 0);
}

static void test_command(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pci_cfg_write(f->pci, PCI_COMMAND, 0xffff, 2);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_COMMAND, 2), ==, 0x0547);
    pci_cfg_write(f->pci, PCI_COMMAND + 1, 0, 1);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_COMMAND, 2), ==, 0x0047);
    pci_cfg_write(f->pci, PCI_CACHE_LINE, 0x4010, 2);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_CACHE_LINE, 4), ==, 0x4010);
    pci_cfg_write(f->pci, PCI_INT_LINE, 0xff0b, 2);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_INT_LINE, 2), ==, 0x010b);
    pci_cfg_write(f->pci, 0, 0, 4);
    g_assert_cmphex(pci_cfg_read(f->pci, 0, 4), ==, 0x56781234);
}

static void test_status_w1c(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->pci->config[PCI_STATUS + 1] = 0xf9;
    pci_cfg_write(f->pci, PCI_STATUS, 0x0800, 2);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_STATUS, 2), ==, 0xf110);
    pci_cfg_write(f->pci, PCI_COMMAND, 0xffff0000, 4);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_STATUS, 2), ==, 0x0010);
}

static void test_pm_capability(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_CAP_PTR, 4), ==, 0x40);
    g_assert_cmphex(pci_cfg_read(f->pci, 0x40, 4), ==, 0x06020001);
    pci_cfg_write(f->pci, 0x44, 0xffffffff, 4);
    g_assert_cmphex(pci_cfg_read(f->pci, 0x44, 4), ==, 3);
    pci_cfg_write(f->pci, 0x44, 0, 2);
    g_assert_cmphex(pci_cfg_read(f->pci, 0x44, 4), ==, 0);
}

static void test_capability_list(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pci_add_capability(f->pci, 0x09, 0x50, 4);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_CAP_PTR, 1), ==, 0x50);
    g_assert_cmphex(pci_cfg_read(f->pci, 0x50, 4), ==, 0x4009);
    g_assert_cmphex(pci_cfg_read(f->pci, 0x41, 1), ==, 0);
}

static void test_irq(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pci_irq_set(f->pci, true);
    pci_irq_set(f->pci, true);
    g_assert_cmpstr(f->irqs->str, ==, "+");
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_STATUS, 2), ==, 0x18);
    pci_cfg_write(f->pci, PCI_COMMAND, PCI_COMMAND_INTX_OFF, 2);
    g_assert_cmpstr(f->irqs->str, ==, "+-");
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_STATUS, 2), ==, 0x18);
    pci_irq_set(f->pci, false);
    pci_irq_set(f->pci, true);
    g_assert_cmpstr(f->irqs->str, ==, "+-");
    pci_cfg_write(f->pci, PCI_COMMAND, 0, 2);
    g_assert_cmpstr(f->irqs->str, ==, "+-+");
    pci_irq_set(f->pci, false);
    g_assert_cmpstr(f->irqs->str, ==, "+-+-");
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_STATUS, 2), ==, 0x10);
}

static void test_reset(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    program(f);
    pci_cfg_write(f->pci, PCI_INT_LINE, 11, 1);
    pci_cfg_write(f->pci, 0x44, 3, 1);
    pci_irq_set(f->pci, true);
    pci_dev_reset(f->pci);
    g_assert_cmpstr(f->irqs->str, ==, "+-");
    g_assert_cmpuint(f->fake->resets, ==, 1);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_COMMAND, 4), ==, 0x00100000);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_BAR0, 4), ==, 1);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_BAR0 + 4, 4), ==, 0);
    g_assert_cmphex(pci_cfg_read(f->pci, PCI_INT_LINE, 2), ==, 0x100);
    g_assert_cmphex(pci_cfg_read(f->pci, 0x44, 1), ==, 0);
    g_assert_cmphex(pci_cfg_read(f->pci, 0, 4), ==, 0x56781234);
}

/* The line must go down although INTX_OFF had hidden it. */
static void test_reset_intx_off(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pci_cfg_write(f->pci, PCI_COMMAND, PCI_COMMAND_INTX_OFF, 2);
    pci_irq_set(f->pci, true);
    pci_dev_reset(f->pci);
    g_assert_cmpstr(f->irqs->str, ==, "");
    pci_irq_set(f->pci, true);
    g_assert_cmpstr(f->irqs->str, ==, "+");
}

static void test_bar_widths(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pci_bar_write(f->pci, 1, 8, 0x8877665544332211, 8);
    check_log(f, "w1+8/4 w1+12/4 ");
    g_assert_cmphex(pci_bar_read(f->pci, 1, 8, 8), ==, 0x8877665544332211);
    check_log(f, "r1+8/4 r1+12/4 ");
    g_assert_cmphex(pci_bar_read(f->pci, 1, 10, 2), ==, 0x4433);
    check_log(f, "r1+10/2 ");
    g_assert_cmphex(pci_bar_read(f->pci, 1, 9, 4), ==, 0x55443322);
    check_log(f, "r1+9/1 r1+10/1 r1+11/1 r1+12/1 ");
    pci_bar_write(f->pci, 1, 1, 0xffffffffffffa1b2, 2);
    check_log(f, "w1+1/1 w1+2/1 ");
    pci_bar_write(f->pci, 1, 4, 0xffffffffffffffab, 1); /* bits above the size do not count */
    check_log(f, "w1+4/1 ");
    g_assert_cmphex(pci_bar_read(f->pci, 1, 0, 8), ==, 0x000000ab00a1b200);
}

static void test_bar_senseless(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        unsigned bar;
        uint64_t off;
        unsigned size;
    } cases[] = {
        { 0, 16, 1 },   { 0, 14, 4 }, { 0, UINT64_MAX, 1 }, { 0, UINT64_MAX, 4 },
        { 2, 0, 4 },    { 6, 0, 4 },  { 1000000, 0, 4 },    { 1, 0, 0 },
        { 1, 0, 3 },    { 1, 0, 16 }, { 1, 4093, 4 },       { 1, 0, UINT_MAX },
        { 1, 4092, 8 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t ones = cases[i].size >= 8 ? UINT64_MAX : (UINT64_C(1) << 8 * cases[i].size) - 1;

        g_assert_cmphex(pci_bar_read(f->pci, cases[i].bar, cases[i].off, cases[i].size), ==, ones);
        pci_bar_write(f->pci, cases[i].bar, cases[i].off, 0, cases[i].size);
    }
    check_log(f, "");
    g_assert_cmpuint(pci_bar_size(f->pci, 0), ==, 16);
    g_assert_cmpuint(pci_bar_size(f->pci, 2), ==, 0);
    g_assert_cmpuint(pci_bar_size(f->pci, 99), ==, 0);
}

static void test_bar_base(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    uint64_t base, off;
    size_t len = 8;

    g_assert_false(pci_bar_base(f->pci, 0, &base));
    program(f);
    g_assert_true(pci_bar_base(f->pci, 0, &base));
    g_assert_cmphex(base, ==, 0xc000);
    g_assert_true(pci_bar_base(f->pci, 1, &base));
    g_assert_cmphex(base, ==, 0xfe000000);
    g_assert_false(pci_bar_base(f->pci, 2, &base));

    g_assert_true(pci_bar_contains(f->pci, 1, 0xfe000ffc, &off, &len));
    g_assert_cmphex(off, ==, 0xffc);
    g_assert_cmpuint(len, ==, 4);
    g_assert_false(pci_bar_contains(f->pci, 1, 0xfe001000, &off, &len));
    g_assert_false(pci_bar_contains(f->pci, 1, 0xfdffffff, &off, &len));

    pci_cfg_write(f->pci, PCI_BAR0, 0xffffffff, 4);
    g_assert_false(pci_bar_base(f->pci, 0, &base));
    pci_cfg_write(f->pci, PCI_COMMAND, PCI_COMMAND_IO, 2);
    g_assert_false(pci_bar_base(f->pci, 1, &base));
}

static void test_bus(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    FakePci *other = fake_new();
    PciBus bus = { 0 };
    PciDev *dev;
    unsigned bar;
    uint64_t off;

    g_assert_true(pci_bus_plug(&bus, f->pci, -1));
    g_assert_true(pci_bus_plug(&bus, &other->pci, -1));
    g_assert_true(bus.dev[0] == f->pci && bus.dev[8] == &other->pci);
    g_assert_false(pci_bus_plug(&bus, f->pci, 8));
    g_assert_false(pci_bus_plug(&bus, f->pci, 256));
    g_assert_false(pci_bus_plug(&bus, f->pci, -2));

    g_assert_false(pci_bus_decode(&bus, 0xc000, 4, false, &dev, &bar, &off));
    program(f);
    pci_cfg_write(&other->pci, PCI_BAR0 + 4, 0xfe001000, 4);
    pci_cfg_write(&other->pci, PCI_COMMAND, PCI_COMMAND_MEM, 2);
    g_assert_true(pci_bus_decode(&bus, 0xc004, 4, false, &dev, &bar, &off));
    g_assert_true(dev == f->pci && bar == 0 && off == 4);
    g_assert_false(pci_bus_decode(&bus, 0xc004, 4, true, &dev, &bar, &off));
    g_assert_true(pci_bus_decode(&bus, 0xfe001ff8, 8, true, &dev, &bar, &off));
    g_assert_true(dev == &other->pci && bar == 1 && off == 0xff8);
    g_assert_false(pci_bus_decode(&bus, 0xfe001ffc, 8, true, &dev, &bar, &off));
    g_assert_false(pci_bus_decode(&bus, UINT64_MAX, 8, true, &dev, &bar, &off));

    pci_bus_unplug(&bus, &other->pci);
    g_assert_cmpuint(bus.end, ==, 1);
    g_assert_false(pci_bus_decode(&bus, 0xfe001ff8, 8, true, &dev, &bar, &off));
    fake_free(other);
}

static void test_dma(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    uint32_t word;

    g_assert_cmpint(pci_dma_read(f->pci, 0, &word, 4), ==, -EPERM);
    g_assert_cmpint(pci_dma_write(f->pci, 0, &word, 4), ==, -EPERM);
    program(f);
    g_assert_cmpint(pci_dma_read(f->pci, 0, &word, 4), ==, -EFAULT);
}

/* A BAR that takes nothing but aligned dwords. */
static uint64_t wide_read(PciDev *pci G_GNUC_UNUSED, uint64_t off, unsigned size)
{
    g_assert_cmpuint(size, ==, 4);
    g_assert_cmpuint(off % 4, ==, 0);
    return 0x44332211;
}

static void wide_write(PciDev *pci, uint64_t off G_GNUC_UNUSED, uint64_t value G_GNUC_UNUSED,
                       unsigned size)
{
    g_assert_cmpuint(size, ==, 4);
    ((FakePci *)pci)->resets++;
}

static void test_min_width(void)
{
    static const PciBar bars[] = {
        { .kind = PCI_BAR_MEM32,
          .size = 16,
          .min = 4,
          .max = 4,
          .read = wide_read,
          .write = wide_write },
        { .kind = PCI_BAR_NONE },
    };
    PciDevOps ops = fake_ops;
    FakePci fake = { 0 };

    ops.bars = bars;
    pci_dev_init(&fake.pci, NULL, &ops, NULL);
    g_assert_cmphex(pci_bar_read(&fake.pci, 0, 5, 1), ==, 0x22);
    g_assert_cmphex(pci_bar_read(&fake.pci, 0, 2, 2), ==, 0x4433);
    g_assert_cmphex(pci_bar_read(&fake.pci, 0, 8, 8), ==, 0x4433221144332211);
    pci_bar_write(&fake.pci, 0, 4, 0, 2);
    pci_bar_write(&fake.pci, 0, 2, 0, 4);
    g_assert_cmpuint(fake.resets, ==, 0);
    pci_bar_write(&fake.pci, 0, 0, 0, 8);
    g_assert_cmpuint(fake.resets, ==, 2);
}

#define TEST(name) g_test_add("/pci/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(ids);
    TEST(sizing);
    TEST(command);
    TEST(status_w1c);
    TEST(pm_capability);
    TEST(capability_list);
    TEST(irq);
    TEST(reset);
    TEST(reset_intx_off);
    TEST(bar_widths);
    TEST(bar_senseless);
    TEST(bar_base);
    TEST(bus);
    TEST(dma);
    g_test_add_func("/pci/min_width", test_min_width);
    return g_test_run();
}
