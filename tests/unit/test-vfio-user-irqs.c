/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SET_IRQS in its forms, the automasked INTx line under them, and the vectors of MSI and MSI-X,
 * which the fake function gets a capability for. Names of forms are those of the flags: 0x24 is
 * TRIGGER with descriptors, 0x21 without data, 0x09 MASK, 0x11 UNMASK, 0x14 UNMASK with one.
 */
#include "util/fd.h"
#include "vfu-harness.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FORM_FDS = 0x24, FORM_NONE = 0x21, FORM_MASK = 0x09, FORM_UNMASK = 0x11, FORM_EOI = 0x14 };
enum { MSI_VECTORS = 4, MSIX_VECTORS = 7 };
#define MSI_CAP 0x50
#define MSIX_CAP 0x60

static int event(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* What the counter had; 0 if nothing. */
static uint64_t take(int fd)
{
    uint64_t n = 0;

    return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void put(Vfu *v, int fd)
{
    uint64_t one = 1;

    g_assert_cmpint(write(fd, &one, sizeof(one)), ==, sizeof(one));
    vfu_settle(v);
}

static void set_level(Vfu *v, bool level)
{
    vfu_post(v, 0, FAKE_REG_IRQ, level, 4);
}

/* With both kinds of messages. */
static void setup_vectors(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    PciDev *pci;

    vfu_init(v);
    pci = &v->fake->pci;
    pci_add_capability(pci, PCI_CAP_ID_MSI, MSI_CAP, 14);
    pci->config[MSI_CAP + 2] = 2 << 1;
    pci_add_capability(pci, PCI_CAP_ID_MSIX, MSIX_CAP, 12);
    pci->config[MSIX_CAP + 2] = MSIX_VECTORS - 1;
    vfu_start(v);
    vfu_version(v, VFU_QEMU_VERSION);
}

/* ---- GET_IRQ_INFO ---- */

static void check_info(Vfu *v, const uint32_t *counts)
{
    for (uint32_t i = 0; i < VFU_IRQS; i++) {
        VfuIrqInfo info = { 16, 0xff, i, 99 };
        const VfuIrqInfo *got = vfu_ask(v, VFU_DEVICE_GET_IRQ_INFO, &info, 16, 16);

        g_assert_cmpuint(got->argsz, ==, 16);
        g_assert_cmpuint(got->index, ==, i);
        g_assert_cmpuint(got->count, ==, counts[i]);
        g_assert_cmphex(got->flags, ==, i == VFU_IRQ_INTX ? 7 : 1);
    }
}

static void test_info(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const uint32_t counts[] = { 1, 0, 0, 1, 1 };
    static const uint32_t bad[] = { 5, 6, 0x80000000, UINT32_MAX };

    check_info(v, counts);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        VfuIrqInfo info = { 16, 0, bad[i], 0 };

        vfu_ask_error(v, VFU_DEVICE_GET_IRQ_INFO, &info, 16, EINVAL);
    }
}

static void test_info_vectors(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const uint32_t counts[] = { 1, MSI_VECTORS, MSIX_VECTORS, 1, 1 };

    check_info(v, counts);
}

/* ---- bad SET_IRQS ---- */

static void test_bad_fields(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const VfuIrqSet sets[] = {
        { 20, 0x00, 0, 0, 0 },
        { 20, 0x01, 0, 0, 1 },
        { 20, 0x20, 0, 0, 1 },
        { 20, 0x23, 0, 0, 1 },
        { 20, 0x25, 0, 0, 1 },
        { 20, 0x27, 0, 0, 1 },
        { 20, 0x31, 0, 0, 1 },
        { 20, 0x19, 0, 0, 1 },
        { 20, 0x39, 0, 0, 1 },
        { 20, 0x61, 0, 0, 1 },
        { 20, 0x80000021, 0, 0, 1 },
        { 20, 0x21, 5, 0, 0 },
        { 20, 0x21, UINT32_MAX, 0, 0 },
        { 20, 0x21, 0, 1, 0 },
        { 20, 0x21, 0, 2, 0 },
        { 20, 0x21, 0, 0, 2 },
        { 20, 0x21, 0, 1, 1 },
        { 20, 0x24, 0, 0, 0 },
        { 20, 0x24, 0, 0, 2 },
        { 20, 0x24, 1, 4, 1 },
        { 20, 0x24, 1, 0, 5 },
        { 20, 0x24, 2, 6, 2 },
        { 20, 0x24, 2, UINT32_MAX, 2 },
        { 20, 0x24, 2, 2, UINT32_MAX },
        { 20, 0x24, 2, UINT32_MAX, UINT32_MAX },
        { 20, 0x09, 0, 0, 0 },
        { 20, 0x11, 0, 0, 0 },
        { 20, 0x14, 0, 0, 0 },
        { 20, 0x22, 0, 0, 1 },
        { 21, 0x22, 2, 0, 2 },
        { 20, 0x12, 0, 0, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(sets); i++) {
        vfu_ask_error(v, VFU_DEVICE_SET_IRQS, &sets[i], sizeof(sets[i]), EINVAL);
    }
    g_assert_true(vfu_alive(v));
}

/* What the protocol could say, and nothing here can do. */
static void test_unsupported(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        uint32_t flags, index;
    } cases[] = {
        { FORM_MASK, 1 }, { FORM_UNMASK, 1 }, { FORM_MASK, 2 }, { FORM_UNMASK, 3 },
        { FORM_MASK, 4 }, { 0x0c, 0 },        { 0x0c, 2 },      { FORM_EOI, 1 },
        { FORM_EOI, 2 },  { FORM_EOI, 3 },
    };
    AUTO_FD fd = event();
    unsigned before = vfu_open_fds();

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        bool fds = cases[i].flags & VFU_IRQ_DATA_EVENTFD;

        vfu_put_irqs(v, cases[i].flags, cases[i].index, 0, 1, &fd, fds);
        vfu_take_error(v, ENOTSUP);
        g_assert_cmpuint(vfu_open_fds(), ==, before);
    }
}

/* As many descriptors as vectors, or none. */
static void test_fd_counts(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD fd = event();
    unsigned before = vfu_open_fds();
    int fds[16];

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = fd;
    }
    for (uint32_t count = 1; count <= MSIX_VECTORS; count++) {
        for (unsigned n = 0; n <= 16; n++) {
            vfu_put_irqs(v, FORM_FDS, VFU_IRQ_MSIX, 0, count, fds, n);
            if (n == 0 || n == count) {
                vfu_take(v, 0);
            } else {
                vfu_take_error(v, EINVAL);
            }
        }
        vfu_set_irqs(v, FORM_NONE, VFU_IRQ_MSIX, 0, 0, NULL, 0);
        g_assert_cmpuint(vfu_open_fds(), ==, before);
    }
    /* Descriptors with a form that has none. */
    vfu_put_irqs(v, FORM_NONE, VFU_IRQ_MSIX, 0, 0, fds, 1);
    vfu_take_error(v, EINVAL);
    vfu_put_irqs(v, FORM_UNMASK, VFU_IRQ_INTX, 0, 1, fds, 1);
    vfu_take_error(v, EINVAL);
    g_assert_cmpuint(vfu_open_fds(), ==, before);
}

/* One bad descriptor in a message: none of it is done. */
static void test_no_eventfd(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    int fds[3] = { event(), -1, event() };
    AUTO_FD trigger = event();
    int pair[2];

    g_assert_cmpint(pipe2(pair, O_CLOEXEC), ==, 0);
    fds[1] = pair[1];
    vfu_put_irqs(v, FORM_FDS, VFU_IRQ_MSIX, 0, 3, fds, 3);
    vfu_take_error(v, EINVAL);
    for (unsigned i = 0; i < MSIX_VECTORS; i++) {
        g_assert_cmpint(v->m->iohub.vectors[IOHUB_MSIX][i].fd, ==, -1);
    }
    vfu_put_irqs(v, FORM_FDS, VFU_IRQ_INTX, 0, 1, &pair[1], 1);
    vfu_take_error(v, EINVAL);
    vfu_put_irqs(v, FORM_EOI, VFU_IRQ_INTX, 0, 1, &pair[0], 1);
    vfu_take_error(v, EINVAL);
    vfu_set_irqs(v, FORM_FDS, VFU_IRQ_INTX, 0, 1, &trigger, 1);
    vfu_put_irqs(v, FORM_EOI, VFU_IRQ_INTX, 0, 1, &trigger, 1); /* would answer itself */
    vfu_take_error(v, EINVAL);
    close(pair[0]);
    close(pair[1]);
    close(fds[0]);
    close(fds[2]);
    g_assert_true(vfu_alive(v));
}

/* ---- INTx ---- */

static void test_intx(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irq = event();

    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, &irq, 1);
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 1);
    set_level(v, false); /* masked itself: nothing until the client unmasks */
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 0);
    vfu_set_irqs(v, FORM_UNMASK, 0, 0, 1, NULL, 0);
    g_assert_cmpuint(take(irq), ==, 1); /* still up */
    set_level(v, false);
    vfu_set_irqs(v, FORM_UNMASK, 0, 0, 1, NULL, 0);
    g_assert_cmpuint(take(irq), ==, 0);
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 1);
}

/* A signal that nobody has taken when the line falls is taken back, and needs no unmask. */
static void test_intx_taken_back(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irq = event();

    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, &irq, 1);
    for (unsigned i = 0; i < 3; i++) {
        set_level(v, true);
        set_level(v, false);
        g_assert_cmpuint(take(irq), ==, 0);
    }
    g_assert_cmpuint(machine_counters(v->m).interrupts, ==, 0);
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 1);
    g_assert_cmpuint(machine_counters(v->m).interrupts, ==, 1);
    vfu_set_irqs(v, FORM_UNMASK, 0, 0, 1, NULL, 0); /* too early: it is about to fall */
    set_level(v, false);
    g_assert_cmpuint(take(irq), ==, 0);
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 1);
    set_level(v, false); /* this one was taken: it is the client's to unmask */
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 0);
}

static void test_intx_mask(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irq = event();

    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, &irq, 1);
    vfu_set_irqs(v, FORM_MASK, 0, 0, 1, NULL, 0);
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 0);
    vfu_set_irqs(v, FORM_UNMASK, 0, 0, 1, NULL, 0);
    g_assert_cmpuint(take(irq), ==, 1);
    vfu_set_irqs(v, FORM_MASK, 0, 0, 1, NULL, 0);
    vfu_set_irqs(v, FORM_NONE, 0, 0, 0, NULL, 0); /* takes the mask with it */
    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, &irq, 1);
    g_assert_cmpuint(take(irq), ==, 1);
}

/* Command bit 10. */
static void test_intx_disabled(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irq = event();

    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, &irq, 1);
    vfu_write(v, VFU_REGION_CONFIG, PCI_COMMAND, PCI_COMMAND_INTX_OFF, 2);
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 0);
    vfu_write(v, VFU_REGION_CONFIG, PCI_COMMAND, 0, 2);
    g_assert_cmpuint(take(irq), ==, 1);
}

/* A level that was up before there was a descriptor, and descriptors that come and go. */
static void test_intx_replaced(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD first = event();
    AUTO_FD second = event();
    unsigned before = vfu_open_fds();

    set_level(v, true);
    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, &first, 1);
    g_assert_cmpuint(take(first), ==, 1);
    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, &second, 1); /* the old one's signal may never be seen */
    g_assert_cmpuint(take(second), ==, 1);
    g_assert_cmpuint(vfu_open_fds(), ==, before + 1);
    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, NULL, 0);
    g_assert_cmpuint(vfu_open_fds(), ==, before);
    vfu_set_irqs(v, FORM_UNMASK, 0, 0, 1, NULL, 0);
    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, &first, 1);
    g_assert_cmpuint(take(first), ==, 1);
    vfu_set_irqs(v, FORM_NONE, 0, 0, 0, NULL, 0);
    g_assert_cmpuint(vfu_open_fds(), ==, before);
    g_assert_cmpuint(take(first) + take(second), ==, 0);
}

/* NONE and BOOL signal the descriptor itself, and mask as well. */
static void test_intx_by_message(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t payload[21] = { 0 };
    VfuIrqSet set = { 21, 0x22, 0, 0, 1 };
    AUTO_FD irq = event();

    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, &irq, 1);
    vfu_set_irqs(v, FORM_NONE, 0, 0, 1, NULL, 0);
    g_assert_cmpuint(take(irq), ==, 1);
    for (unsigned i = 0; i < 3; i++) {
        memcpy(payload, &set, sizeof(set));
        payload[20] = i;
        vfu_ask(v, VFU_DEVICE_SET_IRQS, payload, sizeof(payload), 0);
        g_assert_cmpuint(take(irq), ==, i ? 1 : 0);
    }
    set.flags = VFU_IRQ_DATA_BOOL | VFU_IRQ_MASK;
    memcpy(payload, &set, sizeof(set));
    vfu_ask(v, VFU_DEVICE_SET_IRQS, payload, sizeof(payload), 0);
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 0);
    set.flags = VFU_IRQ_DATA_BOOL | VFU_IRQ_UNMASK;
    memcpy(payload, &set, sizeof(set));
    vfu_ask(v, VFU_DEVICE_SET_IRQS, payload, sizeof(payload), 0);
    g_assert_cmpuint(take(irq), ==, 1);
}

/* ---- INTx as KVM has it ---- */

/* QEMU 11.1's sequence: fd, mask, resample fd, unmask. */
static void enable_kvm(Vfu *v, int irq, int eoi)
{
    vfu_set_irqs(v, FORM_FDS, 0, 0, 1, &irq, 1);
    vfu_set_irqs(v, FORM_MASK, 0, 0, 1, NULL, 0);
    vfu_set_irqs(v, FORM_EOI, 0, 0, 1, &eoi, 1);
    vfu_set_irqs(v, FORM_UNMASK, 0, 0, 1, NULL, 0);
}

static void test_resample(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irq = event();
    AUTO_FD eoi = event();
    AUTO_FD other = event();
    unsigned before = vfu_open_fds();

    enable_kvm(v, irq, eoi);
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 1);
    put(v, eoi);
    g_assert_cmpuint(take(irq), ==, 1);
    set_level(v, false);
    put(v, eoi);
    g_assert_cmpuint(take(irq), ==, 0);
    set_level(v, true);
    g_assert_cmpuint(take(irq), ==, 1);
    vfu_set_irqs(v, FORM_EOI, 0, 0, 1, &other, 1); /* replaced */
    g_assert_cmpuint(vfu_open_fds(), ==, before + 2);
    put(v, eoi);
    g_assert_cmpuint(take(irq), ==, 0);
    put(v, other);
    g_assert_cmpuint(take(irq), ==, 1);
    vfu_set_irqs(v, FORM_EOI, 0, 0, 1, NULL, 0); /* taken away */
    g_assert_cmpuint(vfu_open_fds(), ==, before + 1);
    put(v, other);
    g_assert_cmpuint(take(irq), ==, 0);
    vfu_set_irqs(v, FORM_UNMASK, 0, 0, 1, NULL, 0);
    while (loop_timer_armed(&v->m->iohub.again)) { /* up ever since it was signalled */
        loop_turn(v->loop, -1);
    }
    g_assert_cmpuint(take(irq), ==, 1);
    vfu_set_irqs(v, FORM_NONE, 0, 0, 0, NULL, 0);
    g_assert_cmpuint(vfu_open_fds(), ==, before);
}

/* The guest's handler lowers the level by a posted write, then ends the interrupt: the descriptor
 * must not overtake the write, or the stale level is signalled again and again. */
static void test_stale_level(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irq = event();
    AUTO_FD eoi = event();
    uint64_t seen = 0, one = 1;
    uint8_t buf[64];

    enable_kvm(v, irq, eoi);
    for (unsigned i = 0; i < 28; i++) {
        set_level(v, true);
        seen += take(irq);
        /* Both are there before the loop looks at either, the descriptor first. */
        g_assert_cmpint(write(eoi, &one, sizeof(one)), ==, sizeof(one));
        for (unsigned k = 0; k < 3; k++) { /* more than one frame */
            vfu_put_raw(v, buf, vfu_build_write(v, buf, VFU_NO_REPLY, 1, 0, k, 4), NULL, 0);
        }
        vfu_put_raw(v, buf, vfu_build_write(v, buf, VFU_NO_REPLY, 0, FAKE_REG_IRQ, 0, 4), NULL, 0);
        vfu_settle(v);
        seen += take(irq);
    }
    g_assert_cmpuint(seen, ==, 28);
}

/* The messages drained before a resample event end the connection, or take the interrupt away. */
static void test_resample_drains_the_end(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irq = event();
    AUTO_FD eoi = event();
    VfuIrqSet off = { 20, FORM_NONE, 0, 0, 0 };
    uint64_t one = 1;
    uint8_t buf[64];

    enable_kvm(v, irq, eoi);
    set_level(v, true);
    take(irq);
    g_assert_cmpint(write(eoi, &one, sizeof(one)), ==, sizeof(one));
    vfu_put_raw(v, buf, vfu_build(v, buf, VFU_DEVICE_SET_IRQS, 0, &off, sizeof(off)), NULL, 0);
    vfu_settle(v);
    vfu_take(v, 0);
    g_assert_cmpuint(take(irq), ==, 0);
    enable_kvm(v, irq, eoi);
    take(irq);
    g_assert_cmpint(write(eoi, &one, sizeof(one)), ==, sizeof(one));
    memset(buf, 0, sizeof(buf));
    vfu_put_raw(v, buf, 16, NULL, 0); /* size 0 */
    vfu_settle(v);
    g_assert_cmpuint(v->ended, ==, 1);
    g_assert_true(v->violation);
}

/* ---- vectors ---- */

static void test_vectors(Vfu *v, gconstpointer data)
{
    uint32_t index = GPOINTER_TO_UINT(data);
    unsigned n = index == VFU_IRQ_MSI ? MSI_VECTORS : MSIX_VECTORS;
    unsigned before = vfu_open_fds();
    int fds[16];

    for (unsigned i = 0; i < n; i++) {
        fds[i] = event();
    }
    vfu_set_irqs(v, FORM_FDS, index, 0, n, fds, n);
    g_assert_cmpuint(vfu_open_fds(), ==, before + 2 * n);
    for (unsigned i = 0; i < n; i++) {
        iohub_raise(&v->m->iohub, index, i);
        iohub_raise(&v->m->iohub, index, i);
        for (unsigned k = 0; k < n; k++) {
            g_assert_cmpuint(take(fds[k]), ==, k == i ? 2 : 0);
        }
    }
    vfu_set_irqs(v, FORM_NONE, index, 1, 2, NULL, 0); /* signals, as a test of the wiring */
    for (unsigned k = 0; k < n; k++) {
        g_assert_cmpuint(take(fds[k]), ==, k == 1 || k == 2 ? 1 : 0);
    }
    vfu_set_irqs(v, FORM_NONE, index, 0, 0, NULL, 0);
    for (unsigned i = 0; i < n; i++) {
        close(fds[i]);
    }
    g_assert_cmpuint(vfu_open_fds(), ==, before);
}

/* QEMU enables MSI-X with one vector and no descriptor, then adds vectors one by one. What was
 * raised meanwhile is not lost, and comes once. */
static void test_pending(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD fd = event();
    AUTO_FD again = event();

    vfu_set_irqs(v, FORM_FDS, VFU_IRQ_MSIX, 0, 1, NULL, 0);
    iohub_raise(&v->m->iohub, IOHUB_MSIX, 3);
    iohub_raise(&v->m->iohub, IOHUB_MSIX, 3);
    vfu_set_irqs(v, FORM_FDS, VFU_IRQ_MSIX, 2, 1, &again, 1);
    g_assert_cmpuint(take(again), ==, 0);
    vfu_set_irqs(v, FORM_FDS, VFU_IRQ_MSIX, 3, 1, &fd, 1);
    g_assert_cmpuint(take(fd), ==, 1);
    vfu_set_irqs(v, FORM_FDS, VFU_IRQ_MSIX, 3, 1, &again, 1);
    g_assert_cmpuint(take(again), ==, 0);
    iohub_raise(&v->m->iohub, IOHUB_MSIX, 4);
    vfu_set_irqs(v, FORM_NONE, VFU_IRQ_MSIX, 0, 0, NULL, 0); /* forgets what is pending */
    vfu_set_irqs(v, FORM_FDS, VFU_IRQ_MSIX, 4, 1, &fd, 1);
    g_assert_cmpuint(take(fd), ==, 0);
}

static void test_err_req(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD fd = event();
    unsigned before = vfu_open_fds();

    for (uint32_t index = VFU_IRQ_ERR; index <= VFU_IRQ_REQ; index++) {
        vfu_set_irqs(v, FORM_FDS, index, 0, 1, &fd, 1);
        g_assert_cmpuint(vfu_open_fds(), ==, before + 1);
        vfu_set_irqs(v, FORM_NONE, index, 0, 1, NULL, 0);
        g_assert_cmpuint(take(fd), ==, 1);
        vfu_set_irqs(v, FORM_NONE, index, 0, 0, NULL, 0);
        g_assert_cmpuint(vfu_open_fds(), ==, before);
    }
}

/* Absent kinds can be disabled, and nothing else. */
static void test_absent(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD fd = event();

    for (uint32_t index = VFU_IRQ_MSI; index <= VFU_IRQ_MSIX; index++) {
        vfu_set_irqs(v, FORM_NONE, index, 0, 0, NULL, 0);
        vfu_put_irqs(v, FORM_FDS, index, 0, 1, &fd, 1);
        vfu_take_error(v, EINVAL);
        vfu_put_irqs(v, FORM_NONE, index, 0, 1, NULL, 0);
        vfu_take_error(v, EINVAL);
    }
}

/* The next client finds nothing of the last one's. */
static void test_next_client(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irq = event();
    AUTO_FD eoi = event();

    enable_kvm(v, irq, eoi);
    vfu_set_irqs(v, FORM_FDS, VFU_IRQ_MSIX, 0, 1, &irq, 1);
    iohub_raise(&v->m->iohub, IOHUB_MSIX, 5);
    vfu_set_irqs(v, FORM_MASK, 0, 0, 1, NULL, 0);
    fd_clear(&v->peer);
    vfu_settle(v);
    vfu_connect(v);
    vfu_version(v, NULL);
    g_assert_cmpint(v->m->iohub.irqfd, ==, -1);
    g_assert_cmpint(v->m->iohub.resamplefd, ==, -1);
    g_assert_false(v->m->iohub.masked);
    g_assert_false(v->m->iohub.vectors[IOHUB_MSIX][5].pending);
    g_assert_cmpint(v->m->iohub.vectors[IOHUB_MSIX][0].fd, ==, -1);
}

#define TEST(name)                                                                                 \
    g_test_add("/vfio-user-irqs/" #name, Vfu, NULL, vfu_setup, test_##name, vfu_teardown)
#define VECTORS(name, fn, data)                                                                    \
    g_test_add("/vfio-user-irqs/" #name, Vfu, GUINT_TO_POINTER(data), setup_vectors, test_##fn,    \
               vfu_teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(info);
    VECTORS(info_vectors, info_vectors, 0);
    VECTORS(bad_fields, bad_fields, 0);
    VECTORS(unsupported, unsupported, 0);
    VECTORS(fd_counts, fd_counts, 0);
    VECTORS(no_eventfd, no_eventfd, 0);
    TEST(intx);
    TEST(intx_taken_back);
    TEST(intx_mask);
    TEST(intx_disabled);
    TEST(intx_replaced);
    TEST(intx_by_message);
    TEST(resample);
    TEST(stale_level);
    TEST(resample_drains_the_end);
    VECTORS(msi, vectors, VFU_IRQ_MSI);
    VECTORS(msix, vectors, VFU_IRQ_MSIX);
    VECTORS(pending, pending, 0);
    TEST(err_req);
    TEST(absent);
    VECTORS(next_client, next_client, 0);
    return g_test_run();
}
