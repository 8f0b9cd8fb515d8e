/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IOHUB: a level-triggered line on a pair of eventfds, as KVM's irqfd with resample has it. The
 * irqfd is written when the line goes up. KVM keeps the guest's line high until the guest's EOI,
 * lowers it then and signals the resample descriptor; if the device's line is still up at that
 * moment, the irqfd is written again. A line that goes down says nothing.
 *
 * Both descriptors come from the peer, who may be hostile. They must be anonymous kernel objects
 * (so no pipe, socket or file: none that could block in another way or raise SIGPIPE), they are
 * made non-blocking, and as the peer shares that flag and may take it away again, a write is done
 * only where poll() sees room. A full counter needs no write: the interrupt is pending already.
 * What could spin is refused or dropped: the same eventfd for both ends, a resample descriptor
 * that can't be read although it is readable, or stays readable however often it is read.
 *
 * On the machine's thread.
 */
#include "remote/iohub.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/trace.h"
#include <errno.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More events than this in one wakeup: not what one guest's EOIs can do. */
#define RESAMPLE_READS 16

void iohub_init(IoHub *hub, Loop *loop)
{
    *hub = (IoHub){ .loop = loop, .irqfd = -1, .resamplefd = -1 };
}

void iohub_fini(IoHub *hub)
{
    iohub_unbind(hub);
}

/* --- signalling --- */

static void signal_irqfd(IoHub *hub)
{
    struct pollfd room = { .fd = hub->irqfd, .events = POLLOUT };
    uint64_t one = 1;
    ssize_t ret;

    if (hub->irqfd < 0 || hub->masked) {
        return;
    }
    hub->signals++;
    if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT)) {
        return;
    }
    do {
        ret = write(hub->irqfd, &one, sizeof(one));
    } while (ret < 0 && errno == EINTR);
    if (ret < 0 && errno != EAGAIN) {
        log_line(loop_name(hub->loop), "interrupt descriptor dropped: %s", g_strerror(errno));
        fd_clear(&hub->irqfd);
    }
}

void iohub_set_level(IoHub *hub, bool level)
{
    bool up = level && !hub->level;

    hub->level = level;
    if (up) {
        signal_irqfd(hub);
    }
}

void iohub_mask(IoHub *hub, bool masked)
{
    hub->masked = masked;
    if (hub->level) {
        signal_irqfd(hub);
    }
}

/* --- resample --- */

static void drop_resamplefd(IoHub *hub, const char *why)
{
    log_line(loop_name(hub->loop), "resample descriptor dropped: %s", why);
    loop_fd_del(&hub->watch);
    fd_clear(&hub->resamplefd);
}

/* Empties the counter. False if there was nothing in it, or if it was dropped. */
static bool take_resample(IoHub *hub)
{
    for (unsigned i = 0; i < RESAMPLE_READS; i++) {
        struct pollfd filled = { .fd = hub->resamplefd, .events = POLLIN };
        uint64_t count;
        ssize_t ret;

        if (poll(&filled, 1, 0) != 1) {
            return i > 0;
        }
        ret = read(hub->resamplefd, &count, sizeof(count));
        if (ret < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (ret != sizeof(count)) {
            drop_resamplefd(hub, ret < 0 ? g_strerror(errno) : "not an eventfd");
            return false;
        }
    }
    drop_resamplefd(hub, "it is signalled without end");
    return false;
}

static void on_resample(void *opaque, uint32_t events G_GNUC_UNUSED)
{
    IoHub *hub = opaque;

    if (!take_resample(hub)) {
        return;
    }
    if (hub->before_resample) {
        hub->before_resample(hub->opaque);
    }
    trace(IRQ, "%s: resample, line %d", loop_name(hub->loop), hub->level);
    if (hub->level) {
        signal_irqfd(hub);
    }
}

/* --- descriptors --- */

/* Pipes, sockets, files and devices have a type in st_mode; anonymous kernel objects have none. */
static int check_eventfd(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (st.st_mode & S_IFMT) {
        return -EINVAL;
    }
    return fd_set_nonblock(fd, true);
}

/* With one eventfd on both ends each signal would be its own resample event. */
static bool same_file(int a, int b)
{
    pid_t self = getpid();

    return syscall(SYS_kcmp, self, self, KCMP_FILE, a, b) == 0;
}

static int check_pair(int irqfd, int resamplefd)
{
    int ret = check_eventfd(irqfd);

    if (ret < 0 || resamplefd < 0) {
        return ret;
    }
    ret = check_eventfd(resamplefd);
    if (ret < 0) {
        return ret;
    }
    return same_file(irqfd, resamplefd) ? -EINVAL : 0;
}

void iohub_unbind(IoHub *hub)
{
    loop_fd_del(&hub->watch);
    fd_clear(&hub->irqfd);
    fd_clear(&hub->resamplefd);
}

int iohub_bind(IoHub *hub, int irqfd, int resamplefd)
{
    int ret = check_pair(irqfd, resamplefd);

    iohub_unbind(hub);
    if (ret == 0 && resamplefd >= 0) {
        ret = loop_fd_add(hub->loop, &hub->watch, resamplefd, EPOLLIN, on_resample, hub);
    }
    hub->irqfd = irqfd;
    hub->resamplefd = resamplefd;
    if (ret < 0) {
        fd_clear(&hub->irqfd);
        fd_clear(&hub->resamplefd);
        return ret;
    }
    trace(IRQ, "%s: irqfd bound, line %d", loop_name(hub->loop), hub->level);
    if (hub->level) {
        signal_irqfd(hub);
    }
    return 0;
}
