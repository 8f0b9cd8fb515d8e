/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that clients have passed, kept until they are used or given up. One list for both
 * kinds: those with a name belong to whoever asks for it next, those in a set stand for one file
 * that can be opened again and again, with each way of access that the set has a descriptor for.
 *
 * Main thread.
 */
#include "monitor/fds.h"
#include "util/fd.h"
#include "util/opts.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct MonitorFds {
    GPtrArray *list; /* MonitorFd *, owned */
};

static void entry_free(void *opaque)
{
    MonitorFd *entry = opaque;

    fd_clear(&entry->fd);
    g_free(entry->name);
    g_free(entry->opaque);
    g_free(entry);
}

MonitorFds *monitor_fds_new(void)
{
    MonitorFds *fds = g_new0(MonitorFds, 1);

    fds->list = g_ptr_array_new_with_free_func(entry_free);
    return fds;
}

void monitor_fds_free(MonitorFds *fds)
{
    g_ptr_array_unref(fds->list);
    g_free(fds);
}

int monitor_fds_take(MonitorFds *fds, const char *name)
{
    for (unsigned i = 0; i < fds->list->len; i++) {
        MonitorFd *entry = g_ptr_array_index(fds->list, i);
        int fd = entry->fd;

        if (g_strcmp0(entry->name, name) == 0) {
            entry->fd = -1;
            g_ptr_array_remove_index(fds->list, i);
            return fd;
        }
    }
    return -1;
}

void monitor_fds_put(MonitorFds *fds, int fd, const char *name)
{
    MonitorFd *entry = g_new0(MonitorFd, 1);
    int old = monitor_fds_take(fds, name);

    fd_clear(&old);
    entry->fd = fd;
    entry->name = g_strdup(name);
    entry->set = -1;
    g_ptr_array_insert(fds->list, 0, entry);
}

static int64_t unused_set(const MonitorFds *fds)
{
    int64_t set = 0;

    for (unsigned i = 0; i < fds->list->len; i++) { /* in order of set */
        const MonitorFd *entry = g_ptr_array_index(fds->list, i);
        set += entry->set == set;
    }
    return set;
}

int64_t monitor_fds_add(MonitorFds *fds, int fd, int64_t set, const char *opaque)
{
    MonitorFd *entry = g_new0(MonitorFd, 1);
    unsigned at = 0;

    entry->fd = fd;
    entry->set = set < 0 ? unused_set(fds) : set;
    entry->opaque = g_strdup(opaque);
    while (at < fds->list->len &&
           ((const MonitorFd *)g_ptr_array_index(fds->list, at))->set <= entry->set) {
        at++;
    }
    g_ptr_array_insert(fds->list, (int)at, entry);
    return entry->set;
}

int monitor_fds_copy(const MonitorFds *fds, int64_t fd)
{
    for (unsigned i = 0; i < fds->list->len; i++) {
        const MonitorFd *entry = g_ptr_array_index(fds->list, i);

        if (entry->fd == fd && !entry->name) {
            return fcntl(entry->fd, F_DUPFD_CLOEXEC, 0);
        }
    }
    errno = EBADF;
    return -1;
}

bool monitor_fds_remove(MonitorFds *fds, int64_t set, int64_t fd)
{
    bool found = false;

    for (unsigned i = fds->list->len; i > 0; i--) {
        const MonitorFd *entry = g_ptr_array_index(fds->list, i - 1);

        if (entry->set == set && !entry->name && (fd < 0 || entry->fd == fd)) {
            g_ptr_array_remove_index(fds->list, i - 1);
            found = true;
        }
    }
    return found;
}

const GPtrArray *monitor_fds_list(const MonitorFds *fds)
{
    return fds->list;
}

/* Read-only users may get a descriptor that can do more. */
static bool access_fits(int have, int want)
{
    return (have & O_ACCMODE) == (want & O_ACCMODE) ||
           ((have & O_ACCMODE) == O_RDWR && (want & O_ACCMODE) == O_RDONLY);
}

static int copy_with(int fd, int have, int want)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy >= 0 && (want & O_DIRECT) && !(have & O_DIRECT) &&
        fcntl(copy, F_SETFL, have | O_DIRECT) < 0) {
        fd_clear(&copy);
    }
    return copy;
}

int monitor_fds_open(void *opaque, const char *name, int flags)
{
    const MonitorFds *fds = opaque;
    const char *number = strrchr(name, '/') + 1;
    bool found = false;
    uint64_t set;

    if (!opt_parse_u64("set", number, 0, INT64_MAX, &set, NULL)) {
        errno = EINVAL;
        return -1;
    }
    for (unsigned i = 0; i < fds->list->len; i++) {
        const MonitorFd *entry = g_ptr_array_index(fds->list, i);
        int have = entry->name || entry->set != (int64_t)set ? -1 : fcntl(entry->fd, F_GETFL);

        found |= have >= 0;
        if (have >= 0 && access_fits(have, flags)) {
            return copy_with(entry->fd, have, flags);
        }
    }
    errno = found ? EACCES : ENOENT;
    return -1;
}
