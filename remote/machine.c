/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remote machine: what a PCI function needs to live without a board. It owns one guest's
 * memory and interrupt hub, puts one function on its root bus, and offers the verbs through which
 * a protocol server drives it. Which verb is where: config space, BARs by number, interrupts,
 * reset and disconnect here; BARs by address in pci-host.c; what there is, and access by region, in
 * machine-regions.c; memory in memory.c.
 *
 * Every verb checks what it gets, as it comes from a peer as it is: senseless ones have no effect,
 * answer all ones where there is an answer, and are logged at a limited rate.
 *
 * Reset and disconnect are the same thing up to a point: drain the device, then put it back into
 * its power-on state. A peer may hang up while its reset still drains, and a monitor may reset at
 * any time, so there are three that can wait for one drain. A pause drains without resetting; it
 * and the others take turns.
 *
 * Built and freed on the main thread; the verbs run on the machine's.
 */
#include "remote/machine.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <inttypes.h>

static void set_irq(void *opaque, PciDev *dev G_GNUC_UNUSED, bool level)
{
    RemoteMachine *m = opaque;

    iohub_set_level(&m->iohub, level);
}

static void signal_vector(void *opaque, PciDev *dev G_GNUC_UNUSED, bool msix, unsigned vector)
{
    RemoteMachine *m = opaque;

    iohub_raise(&m->iohub, msix ? IOHUB_MSIX : IOHUB_MSI, vector);
}

static const PciHostOps host_ops = { .set_irq = set_irq };
static const PciHostOps host_ops_messages = { .set_irq = set_irq, .signal = signal_vector };

static void set_irq_counts(RemoteMachine *m)
{
    MachineDesc desc;

    machine_describe(m, &desc);
    for (unsigned i = 0; i < IOHUB_IRQS; i++) {
        iohub_set_count(&m->iohub, i, desc.irq[i].count);
    }
}

static RemoteMachine *new_machine(const char *name, Loop *loop, PciDev *dev, bool messages,
                                  GError **errp)
{
    RemoteMachine *m;

    if (dev->loop) {
        error_set(errp, "device '%s' is in use already", pci_dev_name(dev));
        return NULL;
    }
    m = g_new0(RemoteMachine, 1);
    m->name = g_strdup(name);
    m->loop = loop;
    m->dev = dev;
    m->mem = guest_memory_new(m->name);
    latest_init(&m->regions, g_free);
    latest_init(&m->last_error, g_free);
    iohub_init(&m->iohub, loop);
    m->host = (PciHost){
        .ops = messages ? &host_ops_messages : &host_ops,
        .opaque = m,
        .loop = loop,
        .mem = m->mem,
        .owns_msix_table = messages,
    };
    pci_bus_plug(&m->bus, dev, -1);
    if (!pci_dev_attach(dev, &m->host, errp)) {
        m->dev = NULL;
        machine_free(m);
        return NULL;
    }
    set_irq_counts(m);
    return m;
}

RemoteMachine *machine_new(const char *name, Loop *loop, PciDev *dev, GError **errp)
{
    return new_machine(name, loop, dev, false, errp);
}

RemoteMachine *machine_new_messages(const char *name, Loop *loop, PciDev *dev, GError **errp)
{
    return new_machine(name, loop, dev, true, errp);
}

void machine_free(RemoteMachine *m)
{
    if (!m) {
        return;
    }
    g_assert(!m->draining);
    if (m->dev) {
        pci_dev_detach(m->dev);
    }
    iohub_fini(&m->iohub);
    guest_memory_free(m->mem);
    latest_fini(&m->regions);
    latest_fini(&m->last_error);
    g_free(m->name);
    g_free(m);
}

/* --- config space --- */

static bool cfg_check(RemoteMachine *m, const char *what, uint32_t addr, int32_t len)
{
    if ((len == 1 || len == 2 || len == 4) && addr <= PCI_CONFIG_SIZE - (uint32_t)len) {
        return true;
    }
    machine_error(m, "config %s of %" PRId32 " bytes at 0x%" PRIx32 " ignored", what, len, addr);
    return false;
}

uint64_t machine_cfg_read(RemoteMachine *m, uint32_t addr, int32_t len)
{
    if (!cfg_check(m, "read", addr, len)) {
        return UINT64_MAX;
    }
    counter_add(&m->counters.cfg_reads, 1);
    return pci_cfg_read(m->dev, addr, len);
}

bool machine_cfg_write(RemoteMachine *m, uint32_t addr, uint32_t value, int32_t len)
{
    if (!cfg_check(m, "write", addr, len)) {
        return false;
    }
    counter_add(&m->counters.cfg_writes, 1);
    pci_cfg_write(m->dev, addr, value, len);
    return true;
}

/* --- BARs by number: all the checks are the BAR door's --- */

uint64_t machine_bar_read(RemoteMachine *m, unsigned bar, uint64_t off, unsigned size)
{
    if (bar < PCI_NUM_BARS) {
        counter_add(&m->counters.bar_reads[bar], 1);
    }
    return pci_bar_read(m->dev, bar, off, size);
}

void machine_bar_write(RemoteMachine *m, unsigned bar, uint64_t off, uint64_t value, unsigned size)
{
    if (bar < PCI_NUM_BARS) {
        counter_add(&m->counters.bar_writes[bar], 1);
    }
    pci_bar_write(m->dev, bar, off, value, size);
}

/* --- interrupts --- */

int machine_irq_bind(RemoteMachine *m, int irqfd, int resamplefd)
{
    int ret = iohub_bind(&m->iohub, irqfd, resamplefd);

    if (ret < 0) {
        machine_error(m, "interrupt descriptors refused: %s", g_strerror(-ret));
    }
    return ret;
}

static bool vectors_exist(const RemoteMachine *m, IoIrq irq, uint32_t start, uint32_t n)
{
    uint32_t count = irq < IOHUB_IRQS ? m->iohub.n_vectors[irq] : 0;

    return start <= count && n <= count - start;
}

int machine_irq_trigger(RemoteMachine *m, IoIrq irq, uint32_t start, uint32_t n, const int *fds)
{
    int ret;

    if (!vectors_exist(m, irq, start, n)) {
        for (uint32_t i = 0; i < n; i++) {
            int fd = fds[i];

            fd_clear(&fd);
        }
        return -EINVAL;
    }
    ret = iohub_set_vectors(&m->iohub, irq, start, n, fds);
    if (ret < 0) {
        machine_error(m, "interrupt descriptors refused: %s", g_strerror(-ret));
    }
    return ret;
}

int machine_irq_unmask_fd(RemoteMachine *m, int fd)
{
    int ret;

    if (!vectors_exist(m, IOHUB_INTX, 0, 1)) {
        fd_clear(&fd);
        return -EINVAL;
    }
    ret = iohub_set_resample(&m->iohub, fd);
    if (ret < 0) {
        machine_error(m, "resample descriptor refused: %s", g_strerror(-ret));
    }
    return ret;
}

int machine_irq_mask(RemoteMachine *m, bool masked)
{
    if (!vectors_exist(m, IOHUB_INTX, 0, 1)) {
        return -EINVAL;
    }
    iohub_mask(&m->iohub, masked);
    return 0;
}

int machine_irq_raise(RemoteMachine *m, IoIrq irq, uint32_t vector)
{
    if (!vectors_exist(m, irq, vector, 1)) {
        return -EINVAL;
    }
    iohub_raise(&m->iohub, irq, vector);
    return 0;
}

void machine_irq_disable(RemoteMachine *m, IoIrq irq)
{
    iohub_disable(&m->iohub, irq);
}

/* --- reset, disconnect, pause --- */

static void drain(RemoteMachine *m);

static void tell(LoopFn **done, void *opaque)
{
    LoopFn *fn = g_steal_pointer(done);

    if (fn) {
        fn(opaque);
    }
}

static void pause_idle(void *opaque)
{
    RemoteMachine *m = opaque;

    m->pausing = false;
    tell(&m->pause_done, m->pause_opaque);
    if (m->reset_done || m->cycle_done || m->disconnect_done) {
        drain(m);
    }
}

/* Where nothing has to be waited for. */
static void pause_soon(RemoteMachine *m)
{
    loop_work_init(&m->pause_work, m->loop, pause_idle, m);
    loop_defer(&m->pause_work);
}

static void pause_begin(RemoteMachine *m)
{
    m->pausing = true;
    if (m->dev->ops->pause && !m->paused) {
        m->dev->ops->pause(m->dev, pause_idle, m);
    } else {
        pause_soon(m);
    }
    m->paused = true;
}

static void on_idle(void *opaque)
{
    RemoteMachine *m = opaque;

    m->draining = false;
    if (m->disconnect_done) {
        machine_mem_clear(m);
        iohub_unbind(&m->iohub);
    }
    pci_dev_reset(m->dev);
    tell(&m->cycle_done, m->cycle_opaque);
    tell(&m->reset_done, m->reset_opaque);
    tell(&m->disconnect_done, m->disconnect_opaque);
    if (m->pause_done && !m->draining && !m->pausing) {
        pause_begin(m);
    }
}

static void drain(RemoteMachine *m)
{
    if (!m->draining && !m->pausing) {
        m->draining = true;
        m->dev->ops->drain(m->dev, on_idle, m);
    }
}

void machine_reset(RemoteMachine *m, LoopFn *done, void *opaque)
{
    g_assert(!m->reset_done && !m->disconnect_done);
    m->reset_done = done;
    m->reset_opaque = opaque;
    drain(m);
}

void machine_power_cycle(RemoteMachine *m, LoopFn *done, void *opaque)
{
    g_assert(!m->cycle_done);
    m->cycle_done = done;
    m->cycle_opaque = opaque;
    drain(m);
}

void machine_disconnect(RemoteMachine *m, LoopFn *done, void *opaque)
{
    g_assert(!m->disconnect_done);
    m->disconnect_done = done;
    m->disconnect_opaque = opaque;
    drain(m);
}

void machine_pause(RemoteMachine *m, LoopFn *done, void *opaque)
{
    g_assert(!m->pause_done);
    m->pause_done = done;
    m->pause_opaque = opaque;
    if (!m->draining) {
        pause_begin(m);
    }
}

void machine_resume(RemoteMachine *m)
{
    g_assert(!m->pause_done);
    if (m->paused && m->dev->ops->resume) {
        m->dev->ops->resume(m->dev);
    }
    m->paused = false;
}
