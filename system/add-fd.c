/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -add-fd fd=N,set=M[,opaque=TEXT]: an inherited descriptor, as the monitor's command add-fd takes
 * one that a client has sent. The file name /dev/fdset/M is that file from then on: for images on
 * the command line, and for what a monitor opens or serves when the sandbox is on.
 *
 * The set gets a copy, so several of these options may name one descriptor, and the descriptor
 * itself is closed when all of them have been looked at, as by QEMU: a socket's other end is to see
 * a hang-up when its user here has closed it.
 *
 * Main thread, at start.
 */
#include "monitor/fds.h"
#include "system/options.h"
#include "util/error.h"
#include <fcntl.h>
#include <unistd.h>

typedef struct AddFd {
    int fd, set;
    char *opaque;
} AddFd;

static const OptDesc add_fd_props[] = {
    { .name = "fd", .type = OPT_I32, .offset = offsetof(AddFd, fd), .def = -1 },
    { .name = "set", .type = OPT_I32, .offset = offsetof(AddFd, set), .def = -1 },
    { .name = "opaque", .type = OPT_STRING, .offset = offsetof(AddFd, opaque) },
    { .type = OPT_END }
};

static bool parse(AddFd *add, const char *text, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(text, NULL, errp);

    *add = (AddFd){ .fd = -1 };
    opt_fields_default(add_fd_props, add);
    return opts && opt_fields_set(add_fd_props, add, opts, errp) &&
           opts_check_used(opts, "Invalid parameter '%s'", errp);
}

/* Inherited, and not opened by us: that would be close-on-exec. */
static bool is_inherited(int fd)
{
    int flags = fcntl(fd, F_GETFD);

    return flags >= 0 && !(flags & FD_CLOEXEC);
}

static bool add_to_set(MonitorFds *fds, const AddFd *add, GError **errp)
{
    if (add->fd < 0) {
        return error_set(errp, "fd option is required and must be non-negative");
    }
    if (add->fd <= STDERR_FILENO) {
        return error_set(errp, "fd cannot be a standard I/O stream");
    }
    if (add->set < 0) {
        return error_set(errp, "set option is required and must be non-negative");
    }
    int copy = is_inherited(add->fd) ? fcntl(add->fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0) {
        return error_set(errp, "fd is not valid or already in use");
    }
    monitor_fds_add(fds, copy, add->set, add->opaque);
    return true;
}

bool option_add_fd(System *sys, const OptionItem *item, GError **errp)
{
    AddFd add;
    bool ok = parse(&add, item->value, errp) && add_to_set(sys->fds, &add, errp);

    opt_fields_clear(add_fd_props, &add);
    return ok;
}

bool option_add_fd_done(System *sys G_GNUC_UNUSED, const OptionItem *item, GError **errp)
{
    AddFd add;
    bool ok = parse(&add, item->value, errp);

    if (ok && is_inherited(add.fd)) {
        close(add.fd);
    }
    opt_fields_clear(add_fd_props, &add);
    return ok;
}
