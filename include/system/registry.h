/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a target is made of: plain arrays, each ended by NULL, filled in by system/registry.c from
 * the Kconfig profile. The one place that knows every type; handed down at start.
 */
#ifndef SYSTEM_REGISTRY_H
#define SYSTEM_REGISTRY_H

#include "block/block.h"
#include "block/engine.h"
#include "hw/core/device.h"
#include "monitor/schema.h"
#include "system/machine-type.h"
#include "system/object.h"
#include "util/module.h"
#include "util/sandbox.h"

typedef struct AccelType AccelType;         /* accel/accel.h */
typedef struct HmpCommand HmpCommand;       /* monitor/hmp.h */
typedef struct MonitorType MonitorType;     /* system/monitors.h */
typedef struct SandboxFilter SandboxFilter; /* system/sandbox.h */

typedef struct Registry {
    const char *program; /* "qemu-system-x86_64-remote" */
    const char *version;
    const char *profile; /* "x86_64-remote-softmmu, default" */
    const DeviceType *const *devices;
    const BlockDriver *const *block_drivers;
    const BlockEngineType *const *block_engines; /* the first one is the default */
    const MachineType *const *machines;          /* the first one is the default */
    const ObjectType *const *objects;
    const ModuleDesc *modules;                   /* ended by a NULL name */
    const char *stamp;                           /* of this build, as its modules have it */
    const AccelType *const *accels;      /* what drives a board; the first one is the default */
    const SandboxCalls *const *sandbox;  /* what the modules need of the kernel */
    const SandboxFilter *sandbox_filter; /* NULL: built without */
    const MonitorType *monitor;          /* NULL: nobody can ask this program anything */
    QmpSchema qmp;
    const HmpCommand *const *hmp;        /* NULL: there is no monitor for people */
} Registry;

extern const Registry target_registry;

/* Can a machine run in this process, or does it only serve devices? */
static inline bool registry_has_board(const Registry *registry)
{
    for (unsigned i = 0; registry->machines[i]; i++) {
        if (registry->machines[i]->board) {
            return true;
        }
    }
    return false;
}

#endif
