/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -accel kvm: a virtual machine with the kernel's interrupt controllers and timer (8259A pair, I/O
 * APIC, local APIC, 8254), the board's RAM as its one memory slot, and one vCPU. Everything else
 * that the guest touches leaves the kernel and is the board's (kvm-vcpu.c); the board's interrupt
 * lines go into the kernel (kvm-irq.c). There is no firmware, so there has to be a -kernel.
 *
 * States: created, running, ended. The end is an exit status, which the guest, a failure or stop()
 * sets; whoever sets it first wins, and the vCPU's thread, once it has seen it, reports it and is
 * gone. So ended() comes once, from that thread, and after it nobody enters the board any more;
 * stop() waits for that.
 *
 * create, start, stop and destroy: main thread. The sink: board's thread.
 */
#include "accel/accel.h"

#include "accel/kvm/kvm-internal.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define KVM_DEVICE "/dev/kvm"
/* Four pages for processors that can't run real mode by themselves, below the local APIC. */
#define KVM_IDENTITY_MAP 0xfffbc000u
#define KVM_TSS 0xfffbd000u

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
    int ret = ioctl(fd, request, arg);

    return ret < 0 ? -errno : ret;
}

/* ---- set-up ---- */

static bool check_capabilities(int kvm, GError **errp)
{
#define NEED(capability)                                                                           \
    {                                                                                              \
        capability, #capability                                                                    \
    }
    static const struct {
        unsigned long number;
        const char *name;
    } needed[] = {
        NEED(KVM_CAP_USER_MEMORY),    NEED(KVM_CAP_SET_TSS_ADDR),
        NEED(KVM_CAP_EXT_CPUID),      NEED(KVM_CAP_SET_IDENTITY_MAP_ADDR),
        NEED(KVM_CAP_IRQCHIP),        NEED(KVM_CAP_PIT2),
        NEED(KVM_CAP_IRQFD),          NEED(KVM_CAP_IRQFD_RESAMPLE),
        NEED(KVM_CAP_IMMEDIATE_EXIT),
    };
#undef NEED

    if (kvm_ioctl(kvm, KVM_GET_API_VERSION, NULL) != KVM_API_VERSION) {
        return error_set(errp, "-accel kvm: %s is not version %d of its interface", KVM_DEVICE,
                         KVM_API_VERSION);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (kvm_ioctl(kvm, KVM_CHECK_EXTENSION, (void *)needed[i].number) <= 0) {
            return error_set(errp, "-accel kvm: this host's KVM lacks %s", needed[i].name);
        }
    }
    return true;
}

static bool open_kvm(Accel *accel, GError **errp)
{
    accel->kvm = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
    if (accel->kvm < 0) {
        return error_set(errp, "-accel kvm: %s: %s", KVM_DEVICE, g_strerror(errno));
    }
    return check_capabilities(accel->kvm, errp);
}

static bool create_vm(Accel *accel, GError **errp)
{
    uint64_t identity_map = KVM_IDENTITY_MAP;
    struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    const char *what = "a virtual machine";
    int ret = kvm_ioctl(accel->kvm, KVM_CREATE_VM, NULL);

    if (ret >= 0) {
        accel->vm = ret;
        what = "its reserved pages";
        ret = kvm_ioctl(accel->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    }
    if (ret >= 0) {
        ret = kvm_ioctl(accel->vm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)KVM_TSS);
    }
    if (ret >= 0) {
        what = "the interrupt controllers";
        ret = kvm_ioctl(accel->vm, KVM_CREATE_IRQCHIP, NULL);
    }
    if (ret >= 0) {
        what = "the timer";
        ret = kvm_ioctl(accel->vm, KVM_CREATE_PIT2, &pit);
    }
    if (ret < 0) {
        return error_set(errp, "-accel kvm: can't make %s: %s", what, g_strerror(-ret));
    }
    return true;
}

static bool map_ram(Accel *accel, GError **errp)
{
    struct kvm_userspace_memory_region slot = { .memory_size = accel->ram_size };
    int ret;

    accel->ram =
        mmap(NULL, accel->ram_size, PROT_READ | PROT_WRITE, MAP_SHARED, pc_ram_fd(accel->pc), 0);
    if (accel->ram == MAP_FAILED) {
        accel->ram = NULL;
        return error_set(errp, "-accel kvm: can't map the guest's memory: %s", g_strerror(errno));
    }
    slot.userspace_addr = (uintptr_t)accel->ram;
    ret = kvm_ioctl(accel->vm, KVM_SET_USER_MEMORY_REGION, &slot);
    if (ret < 0) {
        return error_set(errp, "-accel kvm: the guest's memory is refused: %s", g_strerror(-ret));
    }
    return true;
}

/* ---- the accelerator ---- */

void kvm_end(Accel *accel, int code)
{
    if (g_atomic_int_compare_and_exchange(&accel->code, KVM_RUNNING, code)) {
        kvm_vcpu_kick(accel);
    }
}

static void guest_exit(void *opaque, int code)
{
    kvm_end(opaque, code);
}

static void accel_kvm_destroy(Accel *accel)
{
    static const PcSink nobody = { 0 };

    pc_set_sink(accel->pc, &nobody);
    kvm_vcpu_destroy(accel);
    kvm_irq_fini(accel);
    fd_clear(&accel->vm);
    fd_clear(&accel->kvm);
    if (accel->ram) {
        munmap(accel->ram, accel->ram_size);
    }
    g_free(accel);
}

static Accel *accel_kvm_create(Pc *pc, const AccelOptions *options,
                               void (*ended)(void *opaque, int code), void *opaque, GError **errp)
{
    Accel *accel;
    PcSink sink = {
        .set_gsi = kvm_set_gsi,
        .bind_irqfd = kvm_bind_irqfd,
        .guest_exit = guest_exit,
    };
    BootEntry entry;

    if (!options->kernel) {
        error_set(errp, "-accel kvm: there is no firmware, so -kernel is needed");
        return NULL;
    }
    accel = g_new0(Accel, 1);
    accel->pc = pc;
    accel->ended = ended;
    accel->opaque = opaque;
    accel->kvm = accel->vm = accel->vcpu = -1;
    accel->ram_size = pc_ram_size(pc);
    accel->code = KVM_RUNNING;
    accel->irqfds = g_array_new(FALSE, FALSE, sizeof(struct kvm_irqfd));
    if (!open_kvm(accel, errp) || !create_vm(accel, errp) || !map_ram(accel, errp) ||
        !boot_load(options->kernel, options->append, accel->ram, accel->ram_size, &entry, errp) ||
        !kvm_vcpu_create(accel, &entry, errp)) {
        accel_kvm_destroy(accel);
        return NULL;
    }
    sink.opaque = accel;
    pc_set_sink(pc, &sink);
    return accel;
}

static void accel_kvm_stop(Accel *accel)
{
    kvm_end(accel, EXIT_SUCCESS);
    kvm_vcpu_join(accel);
}

const AccelType accel_kvm_type = {
    .name = "kvm",
    .desc = "a vCPU by the kernel's virtual machines",
    .create = accel_kvm_create,
    .start = kvm_vcpu_start,
    .stop = accel_kvm_stop,
    .destroy = accel_kvm_destroy,
};
