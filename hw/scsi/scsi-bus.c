/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI bus as its targets see it: which logical unit has which id and LUN, the way of a
 * request to it, resets, unit attention, and draining.
 *
 * The bus is made on the main thread by its adapter and filled by the units' realize; from
 * scsi_bus_attach() on everything happens on one loop's thread. A LUN that nobody has is answered
 * for by a stand-in (scsi-core-cmds.c), which has a task set like any unit, so that cancelling and
 * resetting know no special case.
 *
 * A reset cancels tasks and leaves one unit attention 29h in each unit; older conditions are
 * dropped then, since it implies them (SPC-4 section 5.14.4). Conditions are reported one per
 * command in the order they arose.
 *
 * Draining goes from unit to unit, one at a time, so that it needs no count of who is still at it.
 */
#include "hw/scsi/scsi.h"

#include <string.h>

#include "hw/scsi/scsi-cdb.h"
#include "scsi-internal.h"
#include "util/error.h"
#include "util/trace.h"

#define UNITS (SCSI_MAX_ID * SCSI_MAX_LUN)

static ScsiDev *unit_at(const ScsiBus *bus, unsigned i)
{
    return bus->units[i / SCSI_MAX_LUN][i % SCSI_MAX_LUN];
}

static void drain_step(void *opaque);

ScsiBus *scsi_bus_new(Device *dev, unsigned max_id, unsigned own_id)
{
    ScsiBus *bus = g_new0(ScsiBus, 1);

    g_assert(max_id <= SCSI_MAX_ID);
    bus->dev = dev;
    bus->max_id = max_id;
    bus->own_id = own_id;
    bus->absent = (ScsiDev){ .ops = &scsi_absent_ops, .bus = bus };
    scsi_tasks_init(&bus->absent);
    return bus;
}

void scsi_bus_free(ScsiBus *bus)
{
    if (bus) {
        g_assert(!bus->loop);
        if (bus->watch_release) {
            bus->watch_release(bus->watch_opaque);
        }
        g_free(bus);
    }
}

bool scsi_bus_attach(ScsiBus *bus, Loop *loop, GError **errp)
{
    bus->loop = loop;
    loop_work_init(&bus->drain_work, loop, drain_step, bus);
    for (unsigned i = 0; i < UNITS; i++) {
        ScsiDev *dev = unit_at(bus, i);

        if (!dev || !dev->ops->attach || dev->ops->attach(dev, loop, errp)) {
            continue;
        }
        while (i-- > 0) {
            dev = unit_at(bus, i);
            if (dev && dev->ops->detach) {
                dev->ops->detach(dev);
            }
        }
        bus->loop = NULL;
        return false;
    }
    return true;
}

void scsi_bus_detach(ScsiBus *bus)
{
    for (unsigned i = 0; bus->loop && i < UNITS; i++) {
        ScsiDev *dev = unit_at(bus, i);

        if (dev && dev->ops->detach) {
            dev->ops->detach(dev);
        }
    }
    loop_work_cancel(&bus->drain_work);
    bus->loop = NULL;
}

bool scsi_bus_has_target(const ScsiBus *bus, unsigned target)
{
    for (unsigned lun = 0; target < SCSI_MAX_ID && lun < SCSI_MAX_LUN; lun++) {
        if (bus->units[target][lun]) {
            return true;
        }
    }
    return false;
}

ScsiDev *scsi_bus_unit(ScsiBus *bus, unsigned target, unsigned lun)
{
    ScsiDev *dev = NULL;

    if (target < SCSI_MAX_ID && lun < SCSI_MAX_LUN) {
        dev = bus->units[target][lun];
    }
    return dev ? dev : &bus->absent;
}

void scsi_submit(ScsiBus *bus, ScsiReq *req)
{
    scsi_tasks_submit(scsi_bus_unit(bus, req->target, req->lun), req, NULL);
}

void scsi_bus_tells_status(ScsiBus *bus)
{
    bus->tells_status = true;
}

void scsi_status_sent(ScsiBus *bus, unsigned target, unsigned lun)
{
    if (target < SCSI_MAX_ID && lun < SCSI_MAX_LUN && bus->units[target][lun]) {
        bus->units[target][lun]->status_due = false;
    }
}

void scsi_abort_lun(ScsiBus *bus, unsigned target, unsigned lun)
{
    if (target < SCSI_MAX_ID && lun < SCSI_MAX_LUN && bus->units[target][lun]) {
        scsi_tasks_cancel(bus->units[target][lun], -1, -1);
    }
    scsi_tasks_cancel(&bus->absent, (int)target, (int)lun);
}

static void unit_reset(ScsiDev *dev, uint8_t ascq)
{
    scsi_tasks_cancel(dev, -1, -1);
    scsi_allegiance_end(dev);
    if (dev->ops->reset) {
        dev->ops->reset(dev);
    }
    scsi_unit_attention(dev, SCSI_ASC_RESET, ascq);
}

void scsi_reset_target(ScsiBus *bus, unsigned target, uint8_t ascq)
{
    for (unsigned lun = 0; target < SCSI_MAX_ID && lun < SCSI_MAX_LUN; lun++) {
        if (bus->units[target][lun]) {
            unit_reset(bus->units[target][lun], ascq);
        }
    }
    scsi_tasks_cancel(&bus->absent, (int)target, -1);
}

void scsi_reset_bus(ScsiBus *bus, uint8_t ascq)
{
    trace(SCSI, "bus reset, ascq %02x", ascq);
    for (unsigned i = 0; i < UNITS; i++) {
        if (unit_at(bus, i)) {
            unit_reset(unit_at(bus, i), ascq);
        }
    }
    scsi_tasks_cancel(&bus->absent, -1, -1);
}

void scsi_bus_power_on(ScsiBus *bus)
{
    scsi_reset_bus(bus, 0);
    for (unsigned i = 0; i < UNITS; i++) {
        ScsiDev *dev = unit_at(bus, i);

        if (dev && dev->ops->power_on) {
            dev->ops->power_on(dev);
        }
    }
}

/* ---- unit attention ---- */

void scsi_unit_attention(ScsiDev *dev, uint8_t asc, uint8_t ascq)
{
    ScsiSense ua = { SCSI_KEY_UNIT_ATTENTION, asc, ascq };

    if (asc == SCSI_ASC_RESET) {
        dev->n_ua = 0;
    }
    for (unsigned i = 0; i < dev->n_ua; i++) {
        if (dev->ua[i].asc == asc && dev->ua[i].ascq == ascq) {
            return;
        }
    }
    if (dev->n_ua == G_N_ELEMENTS(dev->ua)) {
        dev->n_ua--; /* the initiator will look at everything anyway; the newest counts */
    }
    dev->ua[dev->n_ua++] = ua;
}

bool scsi_take_attention(ScsiDev *dev, ScsiSense *sense)
{
    if (dev->n_ua == 0) {
        return false;
    }
    *sense = dev->ua[0];
    dev->n_ua--;
    memmove(dev->ua, dev->ua + 1, dev->n_ua * sizeof(dev->ua[0]));
    return true;
}

/* ---- stop and resume ---- */

void scsi_bus_watch(ScsiBus *bus, const ScsiBusWatch *watch, void *opaque,
                    void (*release)(void *opaque))
{
    g_assert(!bus->watch);
    bus->watch = watch;
    bus->watch_opaque = opaque;
    bus->watch_release = release;
}

void scsi_bus_resume(ScsiBus *bus)
{
    bus->resuming = bus->draining;
    for (unsigned i = 0; !bus->draining && i < UNITS; i++) {
        ScsiDev *dev = unit_at(bus, i);

        if (dev && dev->ops->resume) {
            dev->ops->resume(dev);
        }
    }
}

/* ---- drain ---- */

static void pump_all(ScsiBus *bus)
{
    if (bus->resuming && !bus->held) {
        scsi_bus_resume(bus);
    }
    for (unsigned i = 0; i < UNITS; i++) {
        ScsiDev *dev = unit_at(bus, i);

        if (dev && dev->ops->drained) {
            dev->ops->drained(dev);
        }
        if (dev) {
            scsi_tasks_pump(dev);
        }
    }
    scsi_tasks_pump(&bus->absent);
}

/* A drain ends with this work deferred once more, to start what was held up; idle() may take the
 * bus away before that. */
static void drain_step(void *opaque)
{
    ScsiBus *bus = opaque;

    if (!bus->draining) {
        pump_all(bus);
        return;
    }
    if (bus->drained) {
        bus->drained = NULL;
        scsi_leave_step(bus);
    }
    while (bus->drain_next < UNITS) {
        ScsiDev *dev = unit_at(bus, bus->drain_next++);

        if (dev && dev->ops->drain) {
            bus->drained = dev;
            dev->ops->drain(dev, drain_step, bus);
            return;
        }
    }
    if (bus->leaving) {
        return; /* comes again when it is gone */
    }
    bus->draining = false;
    loop_defer(&bus->drain_work);
    bus->idle(bus->idle_opaque);
}

void scsi_bus_hold(ScsiBus *bus, bool held)
{
    bus->held = held;
    if (!held) {
        scsi_bus_resume(bus);
    }
    if (!held && !bus->draining) {
        loop_defer(&bus->drain_work); /* which starts what was held up */
    }
}

void scsi_bus_left(ScsiBus *bus)
{
    if (bus->draining && !bus->drained && bus->drain_next == UNITS) {
        loop_defer(&bus->drain_work);
    }
}

void scsi_bus_drain(ScsiBus *bus, void (*idle)(void *), void *opaque)
{
    g_assert(!bus->draining);
    bus->draining = true;
    bus->drain_next = 0;
    bus->idle = idle;
    bus->idle_opaque = opaque;
    loop_defer(&bus->drain_work);
}

/* ---- plugging ---- */

static bool pick_id(ScsiBus *bus, ScsiDev *dev, GError **errp)
{
    for (unsigned id = 0; id < bus->max_id; id++) {
        if (id != bus->own_id && !bus->units[id][dev->lun]) {
            dev->id = (int32_t)id;
            return true;
        }
    }
    return error_set(errp, "no free target");
}

static bool check_address(ScsiBus *bus, ScsiDev *dev, GError **errp)
{
    ScsiDev *there;

    if (dev->channel != 0) {
        return error_set(errp, "bad scsi channel id: %d", dev->channel);
    }
    if (dev->id != -1 && (dev->id < 0 || dev->id >= (int32_t)bus->max_id)) {
        return error_set(errp, "bad scsi device id: %d", dev->id);
    }
    if (dev->lun != -1 && (dev->lun < 0 || dev->lun >= SCSI_MAX_LUN)) {
        return error_set(errp, "bad scsi device lun: %d", dev->lun);
    }
    if (dev->lun == -1) {
        dev->lun = 0;
    }
    if (dev->id == -1) {
        return pick_id(bus, dev, errp);
    }
    if (dev->id == (int32_t)bus->own_id) {
        return error_set(errp, "scsi device id %d is the adapter's own", dev->id);
    }
    there = bus->units[dev->id][dev->lun];
    if (there) {
        return error_set(errp, "scsi-id %d lun %d is already used by '%s'", dev->id, dev->lun,
                         device_name(there->dev));
    }
    return true;
}

bool scsi_dev_plug(ScsiDev *dev, Device *device, const ScsiDevOps *ops, GError **errp)
{
    ScsiBus *bus = device->bus->impl;

    if (!check_address(bus, dev, errp)) {
        return false;
    }
    dev->ops = ops;
    dev->dev = device;
    dev->bus = bus;
    dev->n_ua = 0;
    dev->sense = (ScsiSense){ 0 };
    scsi_tasks_init(dev);
    scsi_unit_attention(dev, SCSI_ASC_RESET, 0);
    if (!bus->loop) { /* else scsi_dev_hot_plug() follows */
        bus->units[dev->id][dev->lun] = dev;
    }
    return true;
}

void scsi_dev_unplug(ScsiDev *dev)
{
    g_assert(!dev->tasks);
    g_clear_pointer(&dev->sense_data, g_free);
    if (dev->bus->units[dev->id][dev->lun] == dev) {
        dev->bus->units[dev->id][dev->lun] = NULL;
    }
    dev->bus = NULL;
}
