/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSI and MSI-X on the test device: what the guest programs, what reaches the host. */
#include "hw/misc/pci-testdev.h"
#include "hw/pci/msi.h"

#include <sys/mman.h>
#include <unistd.h>

#define CAP_MSI 0x50
#define CAP_MSIX 0x70

typedef struct Fixture {
    DeviceTree *tree;
    PciDev *pci;
    Loop *loop;
    GuestMemory *mem;
    PciHost host;
    GString *log; /* "m3 " MSI vector 3, "x3 " MSI-X, "+" and "-" INTA# */
} Fixture;

static void set_irq(void *opaque, PciDev *dev G_GNUC_UNUSED, bool level)
{
    g_string_append_c(((Fixture *)opaque)->log, level ? '+' : '-');
}

static void signal_vector(void *opaque, PciDev *dev G_GNUC_UNUSED, bool msix, unsigned vector)
{
    g_string_append_printf(((Fixture *)opaque)->log, "%c%u ", msix ? 'x' : 'm', vector);
}

static const PciHostOps with_messages = { .set_irq = set_irq, .signal = signal_vector };
static const PciHostOps without_messages = { .set_irq = set_irq };

static void setup(Fixture *f, gconstpointer data)
{
    static const DeviceType *const types[] = { &pci_testdev_type, NULL };
    g_autoptr(Opts) opts = opts_parse("x-pci-testdev,id=t", "driver", NULL);

    f->loop = loop_new("test", NULL);
    f->mem = guest_memory_new("test");
    f->log = g_string_new(NULL);
    f->tree = device_tree_new(types, NULL);
    f->pci = device_new(f->tree, opts, NULL)->state;
    f->host = (PciHost){ .ops = data ? data : &with_messages,
                         .opaque = f,
                         .loop = f->loop,
                         .mem = f->mem };
    g_assert_true(pci_dev_attach(f->pci, &f->host, NULL));
    pci_dev_reset(f->pci);
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pci_dev_detach(f->pci);
    device_tree_free(f->tree);
    guest_memory_free(f->mem);
    loop_free(f->loop);
    g_string_free(f->log, TRUE);
}

static void check_log(Fixture *f, const char *expected)
{
    g_assert_cmpstr(f->log->str, ==, expected);
    g_string_truncate(f->log, 0);
}

static void reg(Fixture *f, unsigned off, uint32_t value)
{
    pci_bar_write(f->pci, 0, off, value, 4);
}

static bool has_cap(Fixture *f, uint8_t id)
{
    unsigned at = pci_cfg_read(f->pci, PCI_CAP_PTR, 1);

    if (!(pci_cfg_read(f->pci, PCI_STATUS, 2) & PCI_STATUS_CAPS)) {
        g_assert_cmphex(at, ==, 0);
    }
    for (; at; at = pci_cfg_read(f->pci, at + 1, 1)) {
        if (pci_cfg_read(f->pci, at, 1) == id) {
            return true;
        }
    }
    return false;
}

static void test_capabilities(Fixture *f, gconstpointer data)
{
    bool messages = !data;

    g_assert_cmpint(has_cap(f, 0x05), ==, messages);
    g_assert_cmpint(has_cap(f, 0x11), ==, messages);
    if (!messages) {
        pci_cfg_write(f->pci, CAP_MSI + 2, 1, 2);
        reg(f, TESTDEV_MSI, 0);
        pci_cfg_write(f->pci, CAP_MSIX + 2, 0x8000, 2);
        reg(f, TESTDEV_MSIX, 0);
        check_log(f, "");
    }
}

/* ---- MSI ---- */

static void msi_enable(Fixture *f, unsigned log2)
{
    pci_cfg_write(f->pci, CAP_MSI + 2, 1 | log2 << 4, 2);
}

static void test_msi_control(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmphex(pci_cfg_read(f->pci, CAP_MSI + 2, 2), ==, 0x0186); /* 64-bit, masks, 8 */
    pci_cfg_write(f->pci, CAP_MSI + 2, 0xffff, 2);
    g_assert_cmphex(pci_cfg_read(f->pci, CAP_MSI + 2, 2), ==, 0x01f7);
    pci_cfg_write(f->pci, CAP_MSI + 4, 0xfee01003, 4);
    g_assert_cmphex(pci_cfg_read(f->pci, CAP_MSI + 4, 4), ==, 0xfee01000);
    pci_cfg_write(f->pci, CAP_MSI + 16, 0xffffffff, 4);
    g_assert_cmphex(pci_cfg_read(f->pci, CAP_MSI + 16, 4), ==, 0xff);
}

static void test_msi_vectors(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    reg(f, TESTDEV_MSI, 0);
    check_log(f, ""); /* not enabled */
    for (unsigned log2 = 0; log2 <= 7; log2++) {
        unsigned n = MIN(1u << log2, TESTDEV_VECTORS);
        msi_enable(f, log2);
        for (unsigned v = 0; v < TESTDEV_VECTORS; v++) {
            g_autofree char *expected = g_strdup_printf("m%u ", v % n);
            reg(f, TESTDEV_MSI, v);
            check_log(f, expected);
        }
    }
    reg(f, TESTDEV_MSI, UINT32_MAX);
    check_log(f, "m7 ");
}

static void test_msi_mask(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    msi_enable(f, 3);
    pci_cfg_write(f->pci, CAP_MSI + 16, 0x0a, 4);
    reg(f, TESTDEV_MSI, 1);
    reg(f, TESTDEV_MSI, 1);
    reg(f, TESTDEV_MSI, 3);
    reg(f, TESTDEV_MSI, 2);
    check_log(f, "m2 ");
    g_assert_cmphex(pci_cfg_read(f->pci, CAP_MSI + 20, 4), ==, 0x0a);
    pci_cfg_write(f->pci, CAP_MSI + 16, 0x08, 4);
    check_log(f, "m1 "); /* once */
    pci_cfg_write(f->pci, CAP_MSI + 2, 0, 2);
    pci_cfg_write(f->pci, CAP_MSI + 16, 0, 4);
    msi_enable(f, 3);
    check_log(f, ""); /* what was pending is forgotten with the disable */
}

/* ---- MSI-X ---- */

static void msix_control(Fixture *f, uint16_t control)
{
    pci_cfg_write(f->pci, CAP_MSIX + 2, control, 2);
}

static void vector_mask(Fixture *f, unsigned vector, bool masked)
{
    pci_bar_write(f->pci, 1, vector * 16 + 12, masked, 4);
}

static uint64_t pba(Fixture *f)
{
    return pci_bar_read(f->pci, 1, TESTDEV_PBA, 8);
}

static void test_msix_table(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmphex(pci_cfg_read(f->pci, CAP_MSIX + 2, 2), ==, TESTDEV_VECTORS - 1);
    g_assert_cmphex(pci_cfg_read(f->pci, CAP_MSIX + 4, 4), ==, 0x001);
    g_assert_cmphex(pci_cfg_read(f->pci, CAP_MSIX + 8, 4), ==, TESTDEV_PBA | 1);
    pci_bar_write(f->pci, 1, 16, UINT64_C(0x1122334455667788), 8);
    g_assert_cmphex(pci_bar_read(f->pci, 1, 20, 4), ==, 0x11223344);
    pci_bar_write(f->pci, 1, 16, 0xff, 1); /* narrower than a dword: dropped */
    g_assert_cmphex(pci_bar_read(f->pci, 1, 16, 4), ==, 0x55667788);
    g_assert_cmphex(pci_bar_read(f->pci, 1, 16, 2), ==, 0);
    g_assert_cmphex(pci_bar_read(f->pci, 1, 12, 4), ==, 1); /* masked at reset */
    pci_bar_write(f->pci, 1, TESTDEV_PBA, 0xff, 8);
    g_assert_cmphex(pba(f), ==, 0);
    pci_bar_write(f->pci, 1, TESTDEV_VECTORS * 16, 0xff, 4); /* behind the table */
    g_assert_cmphex(pci_bar_read(f->pci, 1, TESTDEV_VECTORS * 16, 4), ==, 0);
}

static void test_msix_mask(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    reg(f, TESTDEV_MSIX, 0);
    check_log(f, "");
    g_assert_cmphex(pba(f), ==, 0); /* disabled: not even pending */
    msix_control(f, 0x8000);
    reg(f, TESTDEV_MSIX, 2);
    check_log(f, "");
    g_assert_cmphex(pba(f), ==, 4);
    vector_mask(f, 2, false);
    check_log(f, "x2 ");
    g_assert_cmphex(pba(f), ==, 0);
    reg(f, TESTDEV_MSIX, 2);
    check_log(f, "x2 ");
    msix_control(f, 0xc000); /* function mask */
    reg(f, TESTDEV_MSIX, 2);
    reg(f, TESTDEV_MSIX, 2);
    check_log(f, "");
    msix_control(f, 0x8000);
    check_log(f, "x2 ");
    reg(f, TESTDEV_MSIX, TESTDEV_VECTORS);
    reg(f, TESTDEV_MSIX, UINT32_MAX);
    check_log(f, "");
}

/* The other side of the wire keeps the table: vector controls here mean nothing. */
static void test_msix_remote_table(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->host.owns_msix_table = true;
    msix_control(f, 0x8000);
    reg(f, TESTDEV_MSIX, 5);
    check_log(f, "x5 ");
    msix_control(f, 0xc000);
    reg(f, TESTDEV_MSIX, 5);
    check_log(f, "");
    msix_control(f, 0x8000);
    check_log(f, "x5 ");
}

static void test_reset(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    msix_control(f, 0x8000);
    vector_mask(f, 0, false);
    reg(f, TESTDEV_MSIX, 1);
    msi_enable(f, 3);
    pci_cfg_write(f->pci, CAP_MSI + 16, 2, 4);
    reg(f, TESTDEV_MSI, 1);
    reg(f, TESTDEV_INTX, 1);
    pci_dev_reset(f->pci);
    check_log(f, "+-");
    g_assert_cmphex(pba(f), ==, 0);
    g_assert_cmphex(pci_bar_read(f->pci, 1, 12, 4), ==, 1);
    g_assert_cmphex(pci_cfg_read(f->pci, CAP_MSI + 2, 2), ==, 0x0186);
    g_assert_cmphex(pci_cfg_read(f->pci, CAP_MSI + 20, 4), ==, 0);
    g_assert_true(has_cap(f, 0x05));
}

#define ADD(path, data, fn) g_test_add(path, Fixture, data, setup, fn, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/msi/capabilities", NULL, test_capabilities);
    ADD("/msi/capabilities-hidden", &without_messages, test_capabilities);
    ADD("/msi/control", NULL, test_msi_control);
    ADD("/msi/vectors", NULL, test_msi_vectors);
    ADD("/msi/mask", NULL, test_msi_mask);
    ADD("/msix/table", NULL, test_msix_table);
    ADD("/msix/mask", NULL, test_msix_mask);
    ADD("/msix/remote-table", NULL, test_msix_remote_table);
    ADD("/msi/reset", NULL, test_reset);
    return g_test_run();
}
