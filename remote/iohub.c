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
 * A loop that looks for messages before it sleeps asks for other descriptors only now and then, and
 * an EOI must not wait for that: so one of the last interrupt is taken before the next is signalled
 * (else that would wait for it, automasked, or be signalled twice), and one that comes while the
 * line is up is found by the same looks.
 *
 * Automasked INTx (vfio-user) differs in one thing: a signal leaves the line `unacked`, and until
 * that is taken back, by a message or by the resample descriptor, no further one is sent. It is
 * set before the descriptor is written, as the answer may come at once; and it belongs to that
 * descriptor, so a new one begins without it, or an interrupt that was signalled on the old one
 * and never seen would be the last.
 *
 * The resample descriptor is the guest's EOI. A message is sent by a QEMU that doesn't see that
 * (TCG), at the first access to a BAR of the guest's handler, which has yet to lower the line. So a
 * line that has been up since the signal is given some time then, or each interrupt would be
 * followed by a spurious one: QEMU's main loop would wake in the middle of the handler and wait for
 * its lock.
 *
 * On the machine's thread.
 */
#include "remote/iohub.h"
#include "remote/counters.h"
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
#include <sys/uio.h>
#include <unistd.h>

/* More events than this in one wakeup: not what one guest's EOIs can do. */
#define RESAMPLE_READS 16
/* For a handler under TCG to get from its first access to the one that lowers the line. */
#define HANDLER_NS INT64_C(250000)

const SandboxCalls iohub_sandbox = {
    .module = "iohub",
    .calls = (const SandboxCall[]){ { .name = "kcmp",
                                      .args = { SANDBOX_OWN_PID(0), SANDBOX_OWN_PID(1) } },
                                    { .name = "poll" },
                                    { .name = "preadv2" },
                                    { .name = "read" },
                                    { .name = "write" },
                                    { .name = NULL } },
};

/* --- signalling --- */

static void signal_fd(IoHub *hub, int *fd)
{
    struct pollfd room = { .fd = *fd, .events = POLLOUT };
    uint64_t one = 1;
    ssize_t ret;

    counter_add(&hub->signals, 1);
    if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT)) {
        return;
    }
    do {
        ret = write(*fd, &one, sizeof(one));
    } while (ret < 0 && errno == EINTR);
    if (ret < 0 && errno != EAGAIN) {
        log_line(loop_name(hub->loop), "interrupt descriptor dropped: %s", g_strerror(errno));
        fd_clear(fd);
    }
}

static void signal_irqfd(IoHub *hub)
{
    if (hub->irqfd < 0 || hub->masked || hub->unacked) {
        return;
    }
    hub->unacked = hub->automask;
    hub->news = false;
    signal_fd(hub, &hub->irqfd);
}

/* Without waiting, whatever has become of O_NONBLOCK. By one call from Linux 5.8 on. */
static ssize_t read_eventfd(int fd, uint64_t *count)
{
    struct iovec iov = { .iov_base = count, .iov_len = sizeof(*count) };
    struct pollfd filled = { .fd = fd, .events = POLLIN };
    ssize_t ret = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

    if (ret >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) {
        return ret;
    }
    if (poll(&filled, 1, 0) != 1) {
        errno = EAGAIN;
        return -1;
    }
    return read(fd, count, sizeof(*count));
}

/* The line has fallen before anyone took the signal: then there is nothing to take, as the guest's
 * handler has already done what it was about. Whoever finds the counter empty after all has not
 * seen it, and owes no unmask. */
static void take_back(IoHub *hub)
{
    uint64_t count;

    if (hub->irqfd >= 0 && hub->unacked && read_eventfd(hub->irqfd, &count) == sizeof(count)) {
        hub->unacked = false;
        counter_add(&hub->signals, -1);
    }
}

/* --- resample --- */

static void clear_resamplefd(IoHub *hub)
{
    loop_fd_del(&hub->watch);
    loop_poll_del(&hub->poll);
    fd_clear(&hub->resamplefd);
}

static void drop_resamplefd(IoHub *hub, const char *why)
{
    log_line(loop_name(hub->loop), "resample descriptor dropped: %s", why);
    clear_resamplefd(hub);
}

/* One read. False if there was nothing in it, or if it was dropped. */
static bool take_resample(IoHub *hub)
{
    uint64_t count;
    ssize_t ret = read_eventfd(hub->resamplefd, &count);

    if (ret < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (ret != sizeof(count)) {
        drop_resamplefd(hub, ret < 0 ? g_strerror(errno) : "not an eventfd");
        return false;
    }
    return true;
}

static void end_automask(IoHub *hub)
{
    if (hub->automask) {
        hub->masked = hub->unacked = false;
    }
}

static void eoi(IoHub *hub)
{
    if (hub->before_resample) {
        hub->before_resample(hub->opaque);
    }
    trace(IRQ, "%s: resample, line %d", loop_name(hub->loop), hub->level);
    end_automask(hub);
    if (hub->level) {
        signal_irqfd(hub);
    }
}

/* A semaphore may hold 2^64 of them. */
static void on_resample(void *opaque, uint32_t events G_GNUC_UNUSED)
{
    IoHub *hub = opaque;
    unsigned n = 0;

    while (n < RESAMPLE_READS && take_resample(hub)) {
        n++;
    }
    if (n == RESAMPLE_READS) {
        drop_resamplefd(hub, "it is signalled without end");
    } else if (n > 0) {
        eoi(hub);
    }
}

/* With the line down there is nothing that could not wait. */
static bool on_poll(void *opaque)
{
    IoHub *hub = opaque;

    if (!hub->level || !take_resample(hub)) {
        return false;
    }
    eoi(hub);
    return true;
}

/* --- the line --- */

/* Of the interrupt before this one. */
static void take_last_eoi(IoHub *hub)
{
    if (hub->resamplefd >= 0 && take_resample(hub)) {
        end_automask(hub);
    }
}

void iohub_set_level(IoHub *hub, bool level)
{
    bool was = hub->level;

    hub->level = level;
    if (level && !was) {
        take_last_eoi(hub);
        hub->news = hub->unacked;
        signal_irqfd(hub);
    } else if (was && !level) {
        loop_timer_disarm(&hub->again);
        take_back(hub);
    }
}

/* Still up. */
static void on_again(void *opaque)
{
    signal_irqfd(opaque);
}

void iohub_mask(IoHub *hub, bool masked)
{
    bool early = hub->unacked && !hub->news && !masked;

    hub->masked = masked;
    if (!masked) {
        hub->unacked = false;
    }
    if (hub->level && early) {
        loop_timer_arm(&hub->again, loop_now_ns() + HANDLER_NS);
    } else if (hub->level) {
        signal_irqfd(hub);
    }
}

void iohub_init(IoHub *hub, Loop *loop)
{
    *hub = (IoHub){ .loop = loop, .irqfd = -1, .resamplefd = -1 };
    loop_timer_init(&hub->again, loop, on_again, hub);
}

void iohub_fini(IoHub *hub)
{
    iohub_unbind(hub);
    for (unsigned i = 0; i < IOHUB_IRQS; i++) {
        g_free(hub->vectors[i]);
    }
}

/* --- descriptors --- */

/* Pipes, sockets, files and devices have a type in st_mode; anonymous kernel objects have none. */
static int check_eventfd(int fd)
{
    struct stat st;

    if (fd_stat(fd, &st) < 0) {
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
    int ret = irqfd >= 0 ? check_eventfd(irqfd) : 0;

    if (ret == 0 && resamplefd >= 0) {
        ret = check_eventfd(resamplefd);
    }
    if (ret == 0 && irqfd >= 0 && resamplefd >= 0 && same_file(irqfd, resamplefd)) {
        ret = -EINVAL;
    }
    return ret;
}

/* Takes fd (-1: none); -errno if it can't be watched, and there is none then. */
static int set_resamplefd(IoHub *hub, int fd)
{
    int ret;

    clear_resamplefd(hub);
    if (fd < 0) {
        return 0;
    }
    hub->resamplefd = fd;
    ret = loop_fd_add(hub->loop, &hub->watch, fd, EPOLLIN, on_resample, hub);
    if (ret < 0) {
        fd_clear(&hub->resamplefd);
        return ret;
    }
    loop_poll_add(hub->loop, &hub->poll, on_poll, hub);
    return 0;
}

static void unbind_intx(IoHub *hub)
{
    clear_resamplefd(hub);
    fd_clear(&hub->irqfd);
    loop_timer_disarm(&hub->again);
    hub->masked = hub->automask = hub->unacked = false;
}

void iohub_unbind(IoHub *hub)
{
    for (unsigned i = 0; i < IOHUB_IRQS; i++) {
        iohub_disable(hub, i);
    }
}

int iohub_bind(IoHub *hub, int irqfd, int resamplefd)
{
    int ret = irqfd >= 0 ? check_pair(irqfd, resamplefd) : -EBADF;

    clear_resamplefd(hub);
    fd_clear(&hub->irqfd);
    hub->automask = hub->unacked = false;
    if (ret == 0) {
        ret = set_resamplefd(hub, fd_steal(&resamplefd));
    }
    if (ret < 0) {
        fd_clear(&irqfd);
        fd_clear(&resamplefd);
        return ret;
    }
    hub->irqfd = irqfd;
    trace(IRQ, "%s: irqfd bound, line %d", loop_name(hub->loop), hub->level);
    if (hub->level) {
        signal_irqfd(hub);
    }
    return 0;
}

/* --- vectors --- */

void iohub_set_count(IoHub *hub, IoIrq irq, unsigned count)
{
    g_assert(!hub->vectors[irq] && (irq != IOHUB_INTX || count <= 1));
    hub->n_vectors[irq] = count;
    if (irq == IOHUB_INTX) {
        return;
    }
    hub->vectors[irq] = g_new(IoVector, count);
    for (unsigned i = 0; i < count; i++) {
        hub->vectors[irq][i] = (IoVector){ .fd = -1 };
    }
}

static void set_intx(IoHub *hub, int fd)
{
    fd_clear(&hub->irqfd);
    hub->irqfd = fd;
    hub->automask = true;
    hub->unacked = false;
    trace(IRQ, "%s: INTx descriptor %s, line %d", loop_name(hub->loop), fd < 0 ? "gone" : "set",
          hub->level);
    if (hub->level) {
        signal_irqfd(hub);
    }
}

static void set_vector(IoHub *hub, IoVector *vector, int fd)
{
    fd_clear(&vector->fd);
    vector->fd = fd;
    if (fd >= 0 && vector->pending) {
        vector->pending = false;
        signal_fd(hub, &vector->fd);
    }
}

int iohub_set_vectors(IoHub *hub, IoIrq irq, unsigned start, unsigned n, const int *fds)
{
    int ret = 0;

    g_assert(start <= hub->n_vectors[irq] && n <= hub->n_vectors[irq] - start);
    for (unsigned i = 0; i < n && ret == 0; i++) {
        ret = check_pair(fds[i], irq == IOHUB_INTX ? hub->resamplefd : -1);
    }
    for (unsigned i = 0; i < n; i++) {
        int fd = fds[i];

        if (ret < 0) {
            fd_clear(&fd);
        } else if (irq == IOHUB_INTX) {
            set_intx(hub, fd);
        } else {
            set_vector(hub, &hub->vectors[irq][start + i], fd);
        }
    }
    return ret;
}

int iohub_set_resample(IoHub *hub, int fd)
{
    int ret = check_pair(hub->irqfd, fd);

    if (ret < 0) {
        fd_clear(&fd);
        return ret;
    }
    return set_resamplefd(hub, fd);
}

void iohub_disable(IoHub *hub, IoIrq irq)
{
    if (irq == IOHUB_INTX) {
        unbind_intx(hub);
        return;
    }
    for (unsigned i = 0; i < hub->n_vectors[irq]; i++) {
        fd_clear(&hub->vectors[irq][i].fd);
        hub->vectors[irq][i].pending = false;
    }
}

void iohub_raise(IoHub *hub, IoIrq irq, unsigned vector)
{
    IoVector *v;

    g_assert(vector < hub->n_vectors[irq]);
    if (irq == IOHUB_INTX) {
        if (hub->irqfd >= 0) {
            signal_fd(hub, &hub->irqfd);
        }
        return;
    }
    v = &hub->vectors[irq][vector];
    v->pending = v->fd < 0;
    if (!v->pending) {
        signal_fd(hub, &v->fd);
    }
}
