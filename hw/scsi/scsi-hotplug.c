/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Units that come and go while the bus runs.
 *
 * One that comes is attached to the loop and then on the bus: the next command finds it. One that
 * goes is off the bus first, so that whatever comes is answered by the stand-in for LUNs that don't
 * exist, and a drain of the bus doesn't meet it half gone. Then, one step after the other:
 *
 *   its commands end (I/O on the medium is waited for) ─► flush ─► detached ─► gone
 *
 * The end of a command goes to the adapter by itself; each one that ends looks whether the next
 * step can be taken. A drain of the bus that had reached the unit before is let finish first, and
 * one that comes meanwhile ends only after the unit has gone. One unit goes at a time.
 *
 * The other LUNs of the target report it, as SPC-4 6.21 and SAM-5 5.14 have it.
 *
 * On the loop's thread.
 */
#include "hw/scsi/scsi.h"

#include "hw/scsi/scsi-cdb.h"
#include "scsi-internal.h"

static void luns_changed(ScsiBus *bus, const ScsiDev *dev)
{
    for (unsigned lun = 0; lun < SCSI_MAX_LUN; lun++) {
        ScsiDev *other = bus->units[dev->id][lun];

        if (other && other != dev) {
            scsi_unit_attention(other, SCSI_ASC_TARGET_CHANGED, 0x0e);
        }
    }
}

bool scsi_dev_hot_plug(Device *device, GError **errp)
{
    ScsiDev *dev = device->state;
    ScsiBus *bus = dev->bus;

    if (dev->ops->attach && !dev->ops->attach(dev, bus->loop, errp)) {
        return false;
    }
    bus->units[dev->id][dev->lun] = dev;
    luns_changed(bus, dev);
    return true;
}

static void leave_end(void *opaque)
{
    ScsiBus *bus = opaque;
    ScsiDev *dev = bus->leaving;

    if (dev->ops->detach) {
        dev->ops->detach(dev);
    }
    bus->leaving = NULL;
    luns_changed(bus, dev);
    scsi_bus_left(bus);
    bus->gone(bus->gone_opaque);
}

/* Deferred, since what calls scsi_leave_step() goes on with the unit afterwards. */
static void leave_work(void *opaque)
{
    ScsiBus *bus = opaque;
    ScsiDev *dev = bus->leaving;

    if (dev->ops->drain) {
        dev->ops->drain(dev, leave_end, bus);
    } else {
        leave_end(bus);
    }
}

void scsi_leave_step(ScsiBus *bus)
{
    ScsiDev *dev = bus->leaving;

    if (dev && !dev->tasks && bus->drained != dev) {
        loop_defer(&bus->leave_work);
    }
}

void scsi_dev_hot_unplug(Device *device, void (*gone)(void *opaque), void *opaque)
{
    ScsiDev *dev = device->state;
    ScsiBus *bus = dev->bus;

    g_assert(!bus->leaving);
    bus->units[dev->id][dev->lun] = NULL;
    bus->leaving = dev;
    bus->gone = gone;
    bus->gone_opaque = opaque;
    loop_work_init(&bus->leave_work, bus->loop, leave_work, bus);
    scsi_tasks_evict(dev);
    scsi_leave_step(bus);
}
