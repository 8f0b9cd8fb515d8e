/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between scsi-bus.c (who is on the bus) and scsi-task.c (what runs), and the units' buffers. */
#ifndef HW_SCSI_SCSI_INTERNAL_H
#define HW_SCSI_SCSI_INTERNAL_H

#include "hw/scsi/scsi.h"

/* Past this many bytes in chunks, commands get small ones and nothing is read ahead. It is no
 * hard limit: a command that can't have memory would hold the bus and never let go of it. */
#define SCSI_BUFFER_SOFT_LIMIT (16u << 20)

struct ScsiBus {
    Device *dev;
    Loop *loop; /* NULL until attached */
    unsigned max_id, own_id;
    ScsiDev *units[SCSI_MAX_ID][SCSI_MAX_LUN];
    ScsiDev absent; /* answers for every LUN that is not there */
    bool tells_status; /* the adapter calls scsi_status_sent() */
    const ScsiBusWatch *watch; /* or NULL */
    void *watch_opaque;
    void (*watch_release)(void *opaque);
    bool resuming; /* wanted while a drain was under way */
    size_t buffered; /* bytes in chunks of all units */
    bool held; /* scsi_bus_hold() */
    bool draining;
    ScsiDev *drained; /* the unit that is being drained now */
    /* scsi-hotplug.c: a unit that is not in units any more, but still has work */
    ScsiDev *leaving;
    LoopWork leave_work;
    void (*gone)(void *opaque);
    void *gone_opaque;
    unsigned drain_next; /* unit to look at next, id * SCSI_MAX_LUN + lun */
    LoopWork drain_work;
    void (*idle)(void *opaque);
    void *idle_opaque;
};

/* scsi-bus.c: who answers for a nexus. */
ScsiDev *scsi_bus_unit(ScsiBus *bus, unsigned target, unsigned lun);

/* May neither a command start nor data be asked for? */
static inline bool scsi_bus_is_still(const ScsiBus *bus)
{
    return bus->draining || bus->held;
}

/* scsi-task.c */
/* Nothing more can be moved, and no ready() comes. */
void scsi_req_hide(ScsiReq *req);
void scsi_tasks_init(ScsiDev *dev);
/* again: NULL, or what is known of its first life; taken. */
void scsi_tasks_submit(ScsiDev *dev, ScsiReq *req, ScsiReqState *again);
/* Starts what may start. */
void scsi_tasks_pump(ScsiDev *dev);
/* Cancels the tasks addressed to target and lun; -1: any. */
void scsi_tasks_cancel(ScsiDev *dev, int target, int lun);
/* Cancels all of them, but each ends as if its LUN did not exist. */
void scsi_tasks_evict(ScsiDev *dev);

/* Sense data was fetched or given up: the next status that waits for that goes on. */
void scsi_allegiance_end(ScsiDev *dev);

/* scsi-state.c */
/* Where the chunk began that a request which is issued again was in; 0 for any other. */
uint64_t scsi_req_restart(const ScsiReq *req);
/* Ends a request that is issued again at once, if that is how it was. */
bool scsi_again_begin(ScsiReq *req);
/* Moves what had been moved before; false until it is all there. */
bool scsi_again_move(ScsiReq *req);

/* scsi-hotplug.c: looks whether the unit that leaves can go on. */
void scsi_leave_step(ScsiBus *bus);
/* scsi-bus.c: it is gone. */
void scsi_bus_left(ScsiBus *bus);

/* scsi-core-cmds.c: the stand-in for missing LUNs */
extern const ScsiDevOps scsi_absent_ops;


#endif
