/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monitors of the command line, and what of the process their commands act on. Main thread. */
#ifndef SYSTEM_MONITORS_H
#define SYSTEM_MONITORS_H

#include "monitor/monitor.h"
#include "system/options.h"
#include "system/system.h"

typedef struct Monitors Monitors;

/* What a program with monitors offers to startup.c, which knows none. */
struct MonitorType {
    /* -qmp, -qmp-pretty, -mon, -monitor: notes it. */
    bool (*add)(System *sys, const OptionItem *item, GError **errp);
    /* When the devices are there: makes the sessions and their sockets. False and an error. */
    bool (*prepare)(System *sys, GError **errp);
    /* Clients may come. Returns when those that are to be waited for have. */
    void (*serve)(System *sys);
    /* The process is about to end, for this reason, a name of QEMU's. */
    void (*end)(System *sys, bool guest, const char *reason);
    /* A client of an object is gone. */
    void (*client_gone)(System *sys, const Object *obj);
    /* Is a command under way? */
    bool (*busy)(const System *sys);
    void (*destroy)(System *sys);
    /* For -qmp help; the caller frees it. */
    char *(*reference)(const Registry *registry);
};

extern const MonitorType monitor_type;

/* The groups of commands and events in system/. */
extern const QmpCommand qmp_system_commands[];
extern const QmpCommand qmp_object_commands[];
extern const QmpCommand qmp_qom_commands[];
extern const QmpCommand qmp_remote_commands[];
extern const QmpEvent qmp_system_events[];
extern const QmpEvent qmp_remote_events[];

/* Events. */
void qmp_client_gone(Monitor *monitor, const Object *obj);

/* Of a command: whose it is. */
static inline System *qmp_system(const QmpRequest *req)
{
    return req->monitor->config.opaque;
}

#endif
