/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens on devices' threads and monitors are told of. Main thread. */
#ifndef MONITOR_NOTIFY_H
#define MONITOR_NOTIFY_H

#include "monitor/monitor.h"

/* Of a device that is new in the tree, and not attached to a thread, or not yet seen by it. */
void monitor_watch_device(Monitor *monitor, Device *dev);

#endif
