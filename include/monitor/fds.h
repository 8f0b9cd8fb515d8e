/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that clients have passed: by name (getfd), and in numbered sets that stand for a
 * file (add-fd), opened as /dev/fdset/N. Main thread.
 */
#ifndef MONITOR_FDS_H
#define MONITOR_FDS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MonitorFds MonitorFds;

typedef struct MonitorFd {
    int fd;       /* owned */
    char *name;   /* of getfd; or NULL */
    int64_t set;  /* of add-fd; -1: none */
    char *opaque; /* of add-fd; or NULL */
} MonitorFd;

MonitorFds *monitor_fds_new(void);
void monitor_fds_free(MonitorFds *fds);
/* Takes fd. A descriptor of that name is replaced. */
void monitor_fds_put(MonitorFds *fds, int fd, const char *name);
/* Takes fd into a set; -1: the lowest unused number. Returns the number. */
int64_t monitor_fds_add(MonitorFds *fds, int fd, int64_t set, const char *opaque);
/* The descriptor of that name, the caller's now; -1: there is none. */
int monitor_fds_take(MonitorFds *fds, const char *name);
/* False: there is no such set; fd -1: all of the set. */
bool monitor_fds_remove(MonitorFds *fds, int64_t set, int64_t fd);
/* Opens "/dev/fdset/N": a copy of a descriptor of the set that can be used as flags say, the
 * caller's; -1 and errno. opaque: MonitorFds. A BlockOpenFn. */
int monitor_fds_open(void *opaque, const char *name, int flags);
/* In order of set, then of coming. */
const GPtrArray *monitor_fds_list(const MonitorFds *fds);

#endif
