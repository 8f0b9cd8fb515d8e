/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -pidfile. Made among the last things that are opened by name, and written when everything else
 * is set up, so that the number in it says that the process serves; removed at an orderly exit.
 *
 * The file is locked in the way of the stock QEMU (a record lock of its first byte), so that two
 * processes never share one: the second is told so and leaves the file as it is. A file left
 * behind by a process that was killed isn't locked any more and is written over. Before the
 * number is written it is looked up again by its path, since the process that held it until now
 * removes it, and a lock on a file that has no name any more keeps nobody out.
 */
#include "system/pidfile.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIDFILE_TRIES 100

static bool lock_fd(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Is path the file that fd is? */
static bool same_file(const char *path, int fd)
{
    struct stat named, held;

    return stat(path, &named) == 0 && fd_stat(fd, &held) == 0 && named.st_dev == held.st_dev &&
           named.st_ino == held.st_ino;
}

/* Removes path if it is the file of fd, and not a device or pipe. */
static void remove_regular(const char *path, int fd)
{
    struct stat st;

    if (fd_stat(fd, &st) == 0 && S_ISREG(st.st_mode) && same_file(path, fd)) {
        unlink(path);
    }
}

static bool write_pid(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    struct stat st;

    if (fd_stat(fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0) {
        return false;
    }
    return write(fd, text, len) == len;
}

bool pidfile_create(PidFile *file, const char *path, GError **errp)
{
    for (unsigned tries = 0; tries < PIDFILE_TRIES; tries++) {
        AUTO_FD fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
        if (fd < 0) {
            return error_set(errp, "Can't create '%s': %s", path, g_strerror(errno));
        }
        if (!lock_fd(fd)) {
            return error_set(errp, "Can't lock '%s': %s", path,
                             errno == EAGAIN || errno == EACCES ? "in use by another process"
                                                                : g_strerror(errno));
        }
        if (!same_file(path, fd)) {
            continue;
        }
        file->path = g_canonicalize_filename(path, NULL);
        file->fd = fd_steal(&fd);
        return true;
    }
    return error_set(errp, "Can't lock '%s': it is replaced again and again", path);
}

bool pidfile_write(PidFile *file, GError **errp)
{
    return file->fd < 0 || write_pid(file->fd) ||
           error_set(errp, "Can't write '%s': %s", file->path, g_strerror(errno));
}

void pidfile_remove(PidFile *file)
{
    if (file->fd < 0) {
        return;
    }
    remove_regular(file->path, file->fd);
    fd_clear(&file->fd);
    g_free(file->path);
    file->path = NULL;
}
