/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the chips of the family have in common as PCI functions: realize, resets and drain. The
 * models themselves are lsi53c895a.c and lsi53c810.c.
 *
 * The chip lives on its machine's thread. Register accesses come from the BAR door, SCRIPTS run as
 * deferred work (lsi-scripts.c), completions come from the targets through the loop. A soft reset
 * (ISTAT0.SRST) takes effect at once: tasks are cancelled and forgotten, their I/O finishes as
 * zombies. A device reset or disconnect first drains: when nothing is in flight any more, the
 * power-on state is set.
 */
#include "hw/scsi/lsi.h"
#include "hw/scsi/lsi-internal.h"

#include <string.h>

/* Id of the adapter itself on its bus, which no disk may take. */
#define LSI_OWN_ID 7

/* The connection is forgotten, tasks are cancelled; SCSI RST is not asserted. */
void lsi_soft_reset(Lsi *s)
{
    trace(LSI, "soft reset");
    lsi_tasks_cancel(s, -1, -1, -1);
    loop_timer_disarm(&s->gen_timer);
    loop_timer_disarm(&s->hth_timer);
    lsi_bus_forget(s);
    lsi_regs_reset(s);
    s->st.run = LSI_STOPPED;
    s->st.carry = 0;
    s->st.rst = false;
    s->st.phase = 0;
    s->epoch++;
    lsi_irq_update(s);
}

bool lsi_attach(PciDev *pci, GError **errp)
{
    Lsi *s = (Lsi *)pci;

    loop_work_init(&s->run_work, pci->loop, lsi_run, s);
    loop_work_init(&s->disc_work, pci->loop, lsi_disc_work, s);
    loop_timer_init(&s->gen_timer, pci->loop, lsi_gen_timer_fired, s);
    loop_timer_init(&s->hth_timer, pci->loop, lsi_hth_timer_fired, s);
    return scsi_bus_attach(s->scsi, pci->loop, errp);
}

static void lsi_quiesce(Lsi *s)
{
    lsi_scripts_stop(s);
    loop_work_cancel(&s->run_work);
    loop_work_cancel(&s->disc_work);
    loop_timer_disarm(&s->gen_timer);
    loop_timer_disarm(&s->hth_timer);
    lsi_tasks_cancel(s, -1, -1, -1);
    lsi_bus_forget(s);
}

void lsi_detach(PciDev *pci)
{
    Lsi *s = (Lsi *)pci;

    lsi_quiesce(s);
    scsi_bus_detach(s->scsi);
}

void lsi_drain(PciDev *pci, void (*idle)(void *), void *opaque)
{
    Lsi *s = (Lsi *)pci;

    lsi_quiesce(s);
    scsi_bus_drain(s->scsi, idle, opaque);
}

/* The script stays where it is, and so do the bus and its timers: the guest, which is stopped as
 * well, finds everything as it was. */
void lsi_pause(PciDev *pci, void (*idle)(void *), void *opaque)
{
    Lsi *s = (Lsi *)pci;

    s->paused = true;
    loop_timer_disarm(&s->hth_timer);
    scsi_bus_hold(s->scsi, true);
    scsi_bus_drain(s->scsi, idle, opaque);
}

void lsi_resume(PciDev *pci)
{
    Lsi *s = (Lsi *)pci;

    s->paused = false;
    scsi_bus_hold(s->scsi, false);
    loop_defer(&s->run_work);
}

void lsi_reset(PciDev *pci)
{
    Lsi *s = (Lsi *)pci;

    lsi_soft_reset(s);
    /* Linux takes a stale "RAID" at the end of the RAM for a foreign card. */
    memset(s->st.ram, 0, sizeof(s->st.ram));
    s->st.resel_lost = 0;
    s->frozen = false;
    lsi_windows_update(s);
    scsi_bus_power_on(s->scsi);
}

void lsi_cfg_write(PciDev *pci, unsigned addr G_GNUC_UNUSED, uint32_t value G_GNUC_UNUSED,
                   unsigned len G_GNUC_UNUSED)
{
    lsi_windows_update((Lsi *)pci);
}

bool lsi_realize(Device *dev, const LsiModel *model, GError **errp)
{
    Lsi *s = dev->state;

    s->model = model;
    g_queue_init(&s->resel);
    if (!pci_dev_init(&s->pci, dev, &model->pci, errp)) {
        return false;
    }
    s->scsi = scsi_bus_new(dev, model->max_id, LSI_OWN_ID);
    scsi_bus_tells_status(s->scsi);
    dev->child->impl = s->scsi;
    lsi_regs_reset(s);
    return true;
}

void lsi_unrealize(Device *dev)
{
    Lsi *s = dev->state;

    scsi_bus_free(s->scsi);
}

const OptDesc lsi_props[] = { PCI_DEV_PROPS, { .type = OPT_END } };
