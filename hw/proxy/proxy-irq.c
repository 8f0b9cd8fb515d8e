/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A remote's INTA# on a pair of eventfds, as KVM's irqfd with resample defines them: the remote
 * writes irqfd when its line goes up, and writes it again when it finds resamplefd signalled with
 * the line still up. A line that goes down says nothing.
 *
 * A host that can take the pair (KVM) does all of it, and knows the moment to resample: the
 * guest's EOI. Elsewhere this file is that host, without an EOI to see. What lowers the line of a
 * PCI device is an access to it, and every access passes through the proxy, so the line is looked
 * at after each one, before the guest gets the result:
 *
 *   1. irqfd is read without waiting. What the access raised was signalled before its reply, so
 *      it is there already.
 *   2. If the line is up or was signalled, the interrupt status bit of the remote's status
 *      register (PCI 2.3) says what it is now. It is the function's own line, before INTX_OFF,
 *      which is what pci_irq_set() takes.
 *   3. If it is down: pin down, and resamplefd is written. A remote that has raised the line since
 *      signals again, and the loop reads that like any other signal.
 *
 * So the guest sees a level that stays up stay up, and one that its access took away gone, at the
 * same instruction as with a local device. Lowering the pin blindly and letting the remote's
 * answer raise it again would do as well for the level in the end, but show a guest that polls its
 * interrupt controller a line that flickers. A remote without the status bit gets just that.
 *
 * Step 1 comes before step 2, so a line that goes up in between is either in the status bit or
 * signals after it was read. A line that goes up later, from SCRIPTS or I/O, wakes the loop, and is
 * looked up in the status bit just so: QEMU's x-remote counts a line up once for each pin when
 * INTX_OFF is taken away, and from then on answers resample events of a line that is down. A signal
 * is only believed by itself while the bit was never seen set, as of a function without one.
 *
 * Such a remote would signal for ever if each of its signals were answered by a resample event, so
 * there is one at most until the line has been up or the guest was here again.
 *
 * A remote that speaks vfio-user masks its line with each signal, and evaluates it anew when it is
 * unmasked. That takes the place of the resample event here, and must follow every signal sooner
 * or later, as there is no other before it: at once if the line is found down, else when it is. As
 * writes to its BARs are posted, what one raises may also be signalled after step 1; then it is the
 * loop that finds it.
 */
#include "proxy-irq.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* Takes what was signalled; false if nothing was. The remote shares O_NONBLOCK with us and may
 * take it away, so not to wait is asked for in the call. */
static bool take_signal(ProxyIrq *irq)
{
    uint64_t count;
    struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
    bool taken = preadv2(irq->irqfd, &iov, 1, -1, RWF_NOWAIT) == sizeof(count);

    irq->masked |= taken && irq->ops->unmask;
    return taken;
}

static void unmask(ProxyIrq *irq)
{
    if (irq->masked) {
        irq->masked = false;
        irq->ops->unmask(irq->pci);
    }
}

/* A full counter needs no write: it is signalled already. */
static void signal_resamplefd(ProxyIrq *irq)
{
    struct pollfd room = { .fd = irq->resamplefd, .events = POLLOUT };
    uint64_t one = 1;
    ssize_t ret;

    if (irq->resampled) {
        return;
    }
    irq->resampled = true;
    if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT)) {
        return;
    }
    do {
        ret = write(irq->resamplefd, &one, sizeof(one));
    } while (ret < 0 && errno == EINTR);
}

static void set_level(ProxyIrq *irq, bool level)
{
    pci_irq_set(irq->pci, level);
    if (level) {
        irq->resampled = false;
    } else if (irq->ops->unmask) {
        unmask(irq);
    } else {
        signal_resamplefd(irq);
    }
}

static void on_signal(void *opaque, uint32_t events G_GNUC_UNUSED)
{
    ProxyIrq *irq = opaque;
    bool level;

    if (take_signal(irq) && irq->ops->ask(irq->pci, &level)) {
        irq->status_shows_it |= level;
        set_level(irq, level || !irq->status_shows_it);
    }
}

void proxy_irq_settle(ProxyIrq *irq)
{
    bool level = false;

    if (irq->host_takes_it) {
        return;
    }
    irq->resampled = false;
    if (take_signal(irq) || irq->pci->irq_level || irq->masked) {
        irq->ops->ask(irq->pci, &level);
        irq->status_shows_it |= level;
        set_level(irq, level);
    }
}

static bool host_takes(const ProxyIrq *irq)
{
    const PciHost *host = irq->pci->host;

    return host->ops->bind_irqfd &&
           host->ops->bind_irqfd(host->opaque, irq->pci, irq->irqfd, irq->resamplefd) == 0;
}

bool proxy_irq_init(ProxyIrq *irq, PciDev *pci, const ProxyIrqOps *ops, GError **errp)
{
    int ret = 0;

    *irq = (ProxyIrq){ .pci = pci, .ops = ops };
    irq->irqfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    irq->resamplefd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (irq->irqfd < 0 || irq->resamplefd < 0) {
        ret = -errno;
    } else {
        irq->host_takes_it = host_takes(irq);
        if (!irq->host_takes_it) {
            ret = loop_fd_add(pci->loop, &irq->watch, irq->irqfd, EPOLLIN, on_signal, irq);
        }
    }
    if (ret < 0) {
        proxy_irq_fini(irq);
        return error_set(errp, "can't make an interrupt line: %s", g_strerror(-ret));
    }
    return true;
}

void proxy_irq_fini(ProxyIrq *irq)
{
    if (!irq->pci) {
        return;
    }
    if (irq->host_takes_it) {
        const PciHost *host = irq->pci->host;

        host->ops->bind_irqfd(host->opaque, irq->pci, -1, -1);
    }
    loop_fd_del(&irq->watch);
    fd_clear(&irq->irqfd);
    fd_clear(&irq->resamplefd);
    irq->pci = NULL;
}

void proxy_irq_clear(ProxyIrq *irq)
{
    if (!irq->host_takes_it) {
        take_signal(irq);
        irq->masked = false;
        pci_irq_set(irq->pci, false);
    }
}
