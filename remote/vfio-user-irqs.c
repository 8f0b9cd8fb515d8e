/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GET_IRQ_INFO and SET_IRQS: five kinds of interrupts, each an array of vectors.
 *
 * SET_IRQS has one kind of data and one action. Which pairs there are:
 *
 *            NONE, count 0   NONE       BOOL                  EVENTFD
 *   TRIGGER  disable all     signal     signal where not 0    set, or take away without descriptors
 *   MASK     -               mask       mask where not 0      -
 *   UNMASK   -               unmask     unmask where not 0    the descriptor that unmasks
 *
 * Only INTx can be masked, which GET_IRQ_INFO says. Each message is checked as a whole before it
 * changes anything.
 */
#include "remote/vfio-user-internal.h"
#include <errno.h>
#include <string.h>

static_assert(VFU_IRQ_INTX == (int)IOHUB_INTX && VFU_IRQ_MSI == (int)IOHUB_MSI &&
                  VFU_IRQ_MSIX == (int)IOHUB_MSIX && VFU_IRQ_ERR == (int)IOHUB_ERR &&
                  VFU_IRQ_REQ == (int)IOHUB_REQ && VFU_IRQS == (int)IOHUB_IRQS,
              "interrupts are numbered as in VFIO");

int vfu_do_get_irq_info(VfioUserServer *server, const VfuRequest *req)
{
    const MachineIrq *irq;
    VfuIrqInfo info;

    memcpy(&info, req->payload, sizeof(info));
    if (info.argsz < sizeof(info) || info.index >= VFU_IRQS) {
        return -EINVAL;
    }
    irq = &server->desc.irq[info.index];
    info.argsz = sizeof(info);
    info.count = irq->count;
    /* Not VFU_IRQ_NORESIZE: with it, clients take all vectors down to add one. */
    info.flags = VFU_IRQ_EVENTFD;
    if (irq->flags & MACHINE_IRQ_MASKABLE) {
        info.flags |= VFU_IRQ_MASKABLE;
    }
    if (irq->flags & MACHINE_IRQ_AUTOMASKED) {
        info.flags |= VFU_IRQ_AUTOMASKED;
    }
    memcpy(vfu_answer(server, sizeof(info)), &info, sizeof(info));
    return 0;
}

/* --- SET_IRQS --- */

typedef struct IrqSet {
    VfuIrqSet set;
    uint32_t data, action;
    const uint8_t *bools; /* count bytes, with VFU_IRQ_DATA_BOOL */
    FdSet *fds;
} IrqSet;

static int set_eventfds(VfioUserServer *server, const IrqSet *irq)
{
    uint32_t count = irq->set.count;
    g_autofree int *fds = NULL;

    if (irq->fds->n != 0 && irq->fds->n != count) {
        return -EINVAL;
    }
    if (irq->action == VFU_IRQ_UNMASK && irq->set.index == VFU_IRQ_INTX) {
        return machine_irq_unmask_fd(server->m, fdset_take(irq->fds, 0));
    }
    if (irq->action != VFU_IRQ_TRIGGER) {
        return -ENOTSUP;
    }
    fds = g_new(int, count);
    for (uint32_t i = 0; i < count; i++) {
        fds[i] = fdset_take(irq->fds, i);
    }
    return machine_irq_trigger(server->m, irq->set.index, irq->set.start, count, fds);
}

static int act_on(VfioUserServer *server, const IrqSet *irq, uint32_t vector)
{
    if (irq->action == VFU_IRQ_TRIGGER) {
        return machine_irq_raise(server->m, irq->set.index, vector);
    }
    return machine_irq_mask(server->m, irq->action == VFU_IRQ_MASK);
}

static int act_on_each(VfioUserServer *server, const IrqSet *irq)
{
    int ret = 0;

    if (irq->action != VFU_IRQ_TRIGGER &&
        !(server->desc.irq[irq->set.index].flags & MACHINE_IRQ_MASKABLE)) {
        return -ENOTSUP;
    }
    for (uint32_t i = 0; i < irq->set.count && ret == 0; i++) {
        if (!irq->bools || irq->bools[i]) {
            ret = act_on(server, irq, irq->set.start + i);
        }
    }
    return ret;
}

static bool one_bit(uint32_t bits)
{
    return bits && !(bits & (bits - 1));
}

/* Fills in what the message says. */
static int irq_set_check(const VfioUserServer *server, const VfuRequest *req, IrqSet *irq)
{
    const VfuIrqSet *set = &irq->set;
    uint32_t vectors;

    if (set->argsz < sizeof(*set) || (set->flags & ~(VFU_IRQ_DATA | VFU_IRQ_ACTION)) ||
        !one_bit(irq->data) || !one_bit(irq->action) || set->index >= VFU_IRQS) {
        return -EINVAL;
    }
    vectors = server->desc.irq[set->index].count;
    if (set->start > vectors || set->count > vectors - set->start) {
        return -EINVAL;
    }
    if (irq->data != VFU_IRQ_DATA_EVENTFD && req->fds->n > 0) {
        return -EINVAL;
    }
    if (irq->data == VFU_IRQ_DATA_BOOL) {
        if (set->argsz - sizeof(*set) < set->count || req->len - sizeof(*set) < set->count) {
            return -EINVAL;
        }
        irq->bools = req->payload + sizeof(*set);
    }
    return 0;
}

int vfu_do_set_irqs(VfioUserServer *server, const VfuRequest *req)
{
    IrqSet irq = { .fds = req->fds };
    int ret;

    memcpy(&irq.set, req->payload, sizeof(irq.set));
    irq.data = irq.set.flags & VFU_IRQ_DATA;
    irq.action = irq.set.flags & VFU_IRQ_ACTION;
    ret = irq_set_check(server, req, &irq);
    if (ret < 0) {
        return ret;
    }
    if (irq.set.count == 0) {
        if (irq.data != VFU_IRQ_DATA_NONE || irq.action != VFU_IRQ_TRIGGER || irq.set.start != 0) {
            return -EINVAL;
        }
        machine_irq_disable(server->m, irq.set.index);
        return 0;
    }
    return irq.data == VFU_IRQ_DATA_EVENTFD ? set_eventfds(server, &irq)
                                            : act_on_each(server, &irq);
}
