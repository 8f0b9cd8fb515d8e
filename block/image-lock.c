/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image locks: who uses an image file for what, told to QEMU's programs and other processes of ours
 * by locks on single bytes of it (docs/devel/image-locks.md). All are shared (read) locks of open
 * file descriptions (OFD, fcntl(2)), so that any number of holders can have each, a read-only
 * descriptor suffices, and a second node of this process on the same file counts as somebody else.
 *
 *   byte 100 + n   permission n is in use
 *   byte 200 + n   permission n is not granted to others
 *
 * One takes one's own first and then looks for a contradiction: is what I use refused by another
 * one, is what I refuse in use? The look is F_OFD_GETLK for a write lock, which finds a foreign
 * read lock. Two that come at the same moment may both be refused, never both served.
 *
 * The kernel releases all when the description is closed. After SIGKILL that may be some time after
 * the end of the process: its ring has the description until what was in flight has ended. That
 * protects the image from late writes, and is why a contradiction is given a moment to go away, so
 * that whoever starts a killed process again isn't refused.
 */
#include "block/image-lock.h"
#include "block/engine.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

const SandboxCalls image_lock_sandbox = {
    .module = "image locks",
    .calls = (const SandboxCall[]){ { .name = "fcntl", .args = { SANDBOX_EQUALS(1, F_OFD_GETLK) } },
                                    { .name = "fcntl", .args = { SANDBOX_EQUALS(1, F_OFD_SETLK) } },
                                    { .name = NULL } },
};

enum { HELD_BASE = 100, REFUSED_BASE = 200, PERMS = 4 };
enum { PATIENCE_US = 300000, PAUSE_MS = 5 };

static const char *const perm_names[PERMS] = { "consistent read", "write", "write unchanged",
                                               "resize" };

static int lock_byte(int fd, int cmd, short type, off_t byte, short *found)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int res;

    do {
        res = fcntl(fd, cmd, &lock) < 0 ? -errno : 0;
    } while (res == -EINTR);
    if (found) {
        *found = lock.l_type;
    }
    return res;
}

int image_lock_probe(int fd)
{
    short found;

    return lock_byte(fd, F_OFD_GETLK, F_WRLCK, HELD_BASE, &found);
}

/* F_RDLCK or F_UNLCK on the bytes of these permissions. 0 or -errno; n: of which one. */
static int set_bytes(int fd, short type, off_t base, uint32_t perms, unsigned *n)
{
    int res = 0;

    for (unsigned i = 0; i < PERMS && !res; i++) {
        if (perms & 1u << i) {
            *n = i;
            res = lock_byte(fd, F_OFD_SETLK, type, base + i, NULL);
        }
    }
    return res;
}

/* -EAGAIN if another one has a lock on the byte of one of these permissions. */
static int look_at(int fd, off_t base, uint32_t perms, unsigned *n)
{
    for (unsigned i = 0; i < PERMS; i++) {
        short found = F_UNLCK;
        int res = perms & 1u << i ? lock_byte(fd, F_OFD_GETLK, F_WRLCK, base + i, &found) : 0;

        if (res || found != F_UNLCK) {
            *n = i;
            return res ? res : -EAGAIN;
        }
    }
    return 0;
}

/* What is in the way, for the message. */
typedef struct Conflict {
    const char *shared;
    unsigned n;
    int res;
} Conflict;

static bool refused(const char *filename, const Conflict *c, GError **errp)
{
    if (c->res == -EAGAIN) {
        return error_set(errp,
                         "Failed to get %s\"%s\" lock: is another process using the image '%s'?",
                         c->shared, perm_names[c->n], filename);
    }
    return error_set(errp, "Failed to get %s\"%s\" lock on '%s': %s", c->shared, perm_names[c->n],
                     filename, g_strerror(-c->res));
}

static int take(int fd, BlockAccess more, Conflict *c)
{
    c->shared = "";
    c->res = set_bytes(fd, F_RDLCK, HELD_BASE, more.uses, &c->n);
    if (c->res == 0) {
        c->res = look_at(fd, REFUSED_BASE, more.uses, &c->n);
    }
    if (c->res) {
        return c->res;
    }
    c->shared = "shared ";
    c->res = set_bytes(fd, F_RDLCK, REFUSED_BASE, more.refuses, &c->n);
    if (c->res == 0) {
        c->res = look_at(fd, HELD_BASE, more.refuses, &c->n);
    }
    return c->res;
}

static void drop(int fd, BlockAccess what)
{
    unsigned n;

    set_bytes(fd, F_UNLCK, HELD_BASE, what.uses, &n);
    set_bytes(fd, F_UNLCK, REFUSED_BASE, what.refuses, &n);
}

bool image_lock_change(int fd, const char *filename, BlockAccess from, BlockAccess to,
                       GError **errp)
{
    const BlockAccess more = { to.uses & ~from.uses, to.refuses & ~from.refuses };
    const BlockAccess less = { from.uses & ~to.uses, from.refuses & ~to.refuses };

    const gint64 end = g_get_monotonic_time() + PATIENCE_US;
    Conflict conflict = { 0 };

    while (take(fd, more, &conflict) != 0) {
        drop(fd, more);
        if (conflict.res != -EAGAIN || g_get_monotonic_time() >= end) {
            return refused(filename, &conflict, errp);
        }
        poll(NULL, 0, PAUSE_MS); /* a call that the process has in any case */
    }
    drop(fd, less);
    return true;
}
