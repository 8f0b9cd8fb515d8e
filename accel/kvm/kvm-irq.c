/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's interrupt lines, into the kernel's controllers. GSIs 0 to 15 are the lines of both
 * the 8259A pair and the I/O APIC, as the kernel routes them by itself.
 *
 * A device that has its level here uses the line itself (KVM_IRQ_LINE). One that is elsewhere
 * brings an eventfd: a signal raises the GSI, the guest's EOI lowers it and signals the resample
 * descriptor (KVM_IRQFD with KVM_IRQFD_FLAG_RESAMPLE; Documentation/virt/kvm/api.rst 4.75). The
 * kernel ORs all of them. A descriptor leaves its GSI before it is bound to another one.
 *
 * On the board's thread.
 */
#include "accel/kvm/kvm-internal.h"
#include "util/log.h"
#include "util/trace.h"
#include <errno.h>
#include <stdlib.h>

void kvm_set_gsi(void *opaque, unsigned gsi, bool level)
{
    Accel *accel = opaque;
    struct kvm_irq_level line = { .irq = gsi, .level = level };
    int ret = kvm_ioctl(accel->vm, KVM_IRQ_LINE, &line);

    if (ret < 0) {
        log_line(KVM_WHO, "interrupt line %u can't be set: %s", gsi, g_strerror(-ret));
        kvm_end(accel, EXIT_FAILURE);
    }
}

static int release(Accel *accel, unsigned i)
{
    struct kvm_irqfd bound = g_array_index(accel->irqfds, struct kvm_irqfd, i);

    bound.flags = KVM_IRQFD_FLAG_DEASSIGN;
    g_array_remove_index_fast(accel->irqfds, i);
    trace(IRQ, "irqfd %u leaves GSI %u", bound.fd, bound.gsi);
    return kvm_ioctl(accel->vm, KVM_IRQFD, &bound);
}

int kvm_bind_irqfd(void *opaque, int gsi, int irqfd, int resamplefd)
{
    Accel *accel = opaque;
    struct kvm_irqfd bind = {
        .fd = irqfd, .gsi = gsi, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = resamplefd
    };
    int ret = 0;

    for (unsigned i = 0; i < accel->irqfds->len; i++) {
        if ((int)g_array_index(accel->irqfds, struct kvm_irqfd, i).fd == irqfd) {
            ret = release(accel, i);
            break;
        }
    }
    if (gsi < 0) {
        return ret;
    }
    if (irqfd < 0 || resamplefd < 0) {
        return -EBADF;
    }
    ret = kvm_ioctl(accel->vm, KVM_IRQFD, &bind);
    if (ret < 0) {
        return ret;
    }
    trace(IRQ, "irqfd %d on GSI %d", irqfd, gsi);
    g_array_append_val(accel->irqfds, bind);
    return 0;
}

/* The kernel drops what is bound still when the machine goes. */
void kvm_irq_fini(Accel *accel)
{
    g_array_free(accel->irqfds, TRUE);
}
