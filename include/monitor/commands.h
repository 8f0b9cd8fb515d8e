/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The groups of QMP commands and events of monitor/, for the registry; each is ended by a NULL
 * name. A group stands in a file of its own, monitor/qmp-GROUP.c, with the types that its commands
 * take and return; the registry has those that its profile's code can do. Those that need more than
 * devices and block nodes are in system/monitors.h.
 *
 * Main thread: a command's run() is called there, and events are sent from there.
 */
#ifndef MONITOR_COMMANDS_H
#define MONITOR_COMMANDS_H

#include "monitor/monitor.h"

extern const QmpCommand qmp_misc_commands[];   /* the protocol itself, version, status, name */
extern const QmpCommand qmp_fd_commands[];     /* descriptors that clients pass */
extern const QmpCommand qmp_block_commands[];  /* block nodes and their statistics */
extern const QmpCommand qmp_medium_commands[]; /* of scsi-cd */
extern const QmpCommand qmp_device_commands[]; /* coming, going, types and their properties */
extern const QmpCommand qmp_pci_commands[];    /* query-pci */
extern const QmpCommand qmp_hmp_commands[];    /* human-monitor-command; hmp.c */

extern const QmpEvent qmp_block_events[];
extern const QmpEvent qmp_medium_events[];
extern const QmpEvent qmp_device_events[];

/* Types that several of them have. */
extern const QmpType qmp_version_type; /* VersionInfo */

/* The value of a property, a new reference, of the type that the property has in -device's JSON; a
 * string that isn't set is "". base: what the properties are stored in, which doesn't change while
 * a device is there, so that it may be read whatever thread has the device. */
json_t *opt_value_json(const OptDesc *desc, const void *base);
/* {"qemu": ..., "package": ...}, a VersionInfo; a new reference. */
json_t *qmp_version(const Monitor *monitor);

#endif
