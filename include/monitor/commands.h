/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The groups of QMP commands and events of monitor/, for the registry; each is ended by a NULL
 * name. */
#ifndef MONITOR_COMMANDS_H
#define MONITOR_COMMANDS_H

#include "monitor/monitor.h"

extern const QmpCommand qmp_misc_commands[];
extern const QmpCommand qmp_fd_commands[];
extern const QmpCommand qmp_block_commands[];
extern const QmpCommand qmp_medium_commands[]; /* of scsi-cd */
extern const QmpCommand qmp_device_commands[];
extern const QmpCommand qmp_pci_commands[];
extern const QmpCommand qmp_hmp_commands[];

extern const QmpEvent qmp_block_events[];
extern const QmpEvent qmp_medium_events[];
extern const QmpEvent qmp_device_events[];

/* Types that several of them have. */
extern const QmpType qmp_version_type;

/* The value of a property; base: what the properties are stored in. */
json_t *opt_value_json(const OptDesc *desc, const void *base);
/* {"qemu": ..., "package": ...} */
json_t *qmp_version(const Monitor *monitor);

#endif
