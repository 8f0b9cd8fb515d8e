/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that clients have passed: by name (getfd), and in numbered sets that stand for a
 * file (add-fd, and -add-fd of the command line), opened as /dev/fdset/N. Main thread.
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
/* Closes all that are left. */
void monitor_fds_free(MonitorFds *fds);
/* Takes fd; name is copied. A descriptor of that name is closed and replaced. */
void monitor_fds_put(MonitorFds *fds, int fd, const char *name);
/* Takes fd into a set, made if there is none of that number; -1: the lowest unused number. opaque
 * is copied; or NULL. Returns the set's number. */
int64_t monitor_fds_add(MonitorFds *fds, int fd, int64_t set, const char *opaque);
/* The descriptor of that name, the caller's now; -1: there is none. */
int monitor_fds_take(MonitorFds *fds, const char *name);
/* A copy of the descriptor of a set that has the number fd, the caller's; -1 and errno, EBADF if
 * no set has it. */
int monitor_fds_copy(const MonitorFds *fds, int64_t fd);
/* Closes the descriptor of that number in a set, fd -1: all of the set. False: there is none. What
 * was opened with it stays. */
bool monitor_fds_remove(MonitorFds *fds, int64_t set, int64_t fd);
/* Opens "/dev/fdset/N": a copy of a descriptor of the set that can be used as flags, those of
 * open(), say; the caller's. -1 and errno: EINVAL if N is no number, ENOENT if there is no such
 * set, EACCES if none of it can be used so. opaque: MonitorFds. A BlockOpenFn. */
int monitor_fds_open(void *opaque, const char *name, int flags);
/* Of MonitorFd: those with a name first, then in order of set, then of coming. Valid until the next
 * call that changes it. */
const GPtrArray *monitor_fds_list(const MonitorFds *fds);

#endif
