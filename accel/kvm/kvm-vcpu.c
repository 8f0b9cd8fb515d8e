/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPU: its first state, and the thread that runs it. KVM_RUN comes back for each access to a
 * port or an address that the kernel has not got; the thread then hands it to the board's thread
 * and waits (loop_call), so that devices see one access after another on their own thread and the
 * guest sees them in its order. hlt, interrupts and the timer stay in the kernel.
 *
 * Out of KVM_RUN at any time: immediate_exit makes the next entry return at once, a signal to the
 * thread ends the present one; both, in that order, leave no gap. The signal has a handler that
 * does nothing; only this thread is sent it.
 *
 * The end: the exit status is looked at before each entry. A vCPU that can't go on (triple fault,
 * what the kernel can't do) sets it to 1, with one line in the log.
 *
 * Set up on the main thread.
 */
#include "accel/kvm/kvm-internal.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define KICK_SIGNAL SIGRTMIN
#define CPUID_MAX 1024
/* Intel SDM 3A: descriptor types, 3.4.5.1 and 3.5; control registers, 2.5; RFLAGS, 2.3 */
enum { SEG_CODE = 0xb, SEG_DATA = 0x3, SEG_TSS_BUSY = 0xb };
enum { SELECTOR_CODE = 0x08, SELECTOR_DATA = 0x10 };
enum { CR0_PE = 1 << 0, CR0_ET = 1 << 4, RFLAGS_RESERVED = 1 << 1 };

/* ---- the first state ---- */

static int set_cpuid(Accel *accel)
{
    g_autofree struct kvm_cpuid2 *cpuid = NULL;
    int ret = -E2BIG;

    for (unsigned n = 64; ret == -E2BIG && n <= CPUID_MAX; n *= 2) {
        g_free(cpuid);
        cpuid = g_malloc0(sizeof(*cpuid) + n * sizeof(cpuid->entries[0]));
        cpuid->nent = n;
        ret = kvm_ioctl(accel->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
    }
    return ret < 0 ? ret : kvm_ioctl(accel->vcpu, KVM_SET_CPUID2, cpuid);
}

static struct kvm_segment flat(unsigned type, unsigned selector)
{
    return (struct kvm_segment){
        .limit = UINT32_MAX,
        .selector = selector,
        .type = type,
        .present = 1,
        .db = 1,
        .s = 1,
        .g = 1,
    };
}

/* 32-bit protected mode, segments over all 4 GiB, no paging, interrupts off. */
static int set_registers(Accel *accel, const BootEntry *entry)
{
    struct kvm_sregs s;
    struct kvm_regs r = {
        .rip = entry->eip, .rax = entry->eax, .rbx = entry->ebx, .rflags = RFLAGS_RESERVED
    };
    int ret = kvm_ioctl(accel->vcpu, KVM_GET_SREGS, &s);

    if (ret < 0) {
        return ret;
    }
    s.cs = flat(SEG_CODE, SELECTOR_CODE);
    s.ds = s.es = s.fs = s.gs = s.ss = flat(SEG_DATA, SELECTOR_DATA);
    s.tr = (struct kvm_segment){ .limit = 0x67, .type = SEG_TSS_BUSY, .present = 1 };
    s.cr0 = CR0_PE | CR0_ET;
    s.cr3 = s.cr4 = 0;
    s.efer = 0;
    ret = kvm_ioctl(accel->vcpu, KVM_SET_SREGS, &s);
    return ret < 0 ? ret : kvm_ioctl(accel->vcpu, KVM_SET_REGS, &r);
}

static int map_run(Accel *accel)
{
    int size = kvm_ioctl(accel->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
    void *run;

    if (size < (int)sizeof(struct kvm_run)) {
        return size < 0 ? size : -EINVAL;
    }
    run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, accel->vcpu, 0);
    if (run == MAP_FAILED) {
        return -errno;
    }
    accel->run = run;
    accel->run_size = size;
    return 0;
}

bool kvm_vcpu_create(Accel *accel, const BootEntry *entry, GError **errp)
{
    const char *what = "made";
    int ret = kvm_ioctl(accel->vm, KVM_CREATE_VCPU, NULL);

    if (ret >= 0) {
        accel->vcpu = ret;
        ret = map_run(accel);
    }
    if (ret >= 0) {
        what = "given its CPUID";
        ret = set_cpuid(accel);
    }
    if (ret >= 0) {
        what = "given its registers";
        ret = set_registers(accel, entry);
    }
    if (ret < 0) {
        return error_set(errp, "-accel kvm: a vCPU can't be %s: %s", what, g_strerror(-ret));
    }
    return true;
}

/* ---- what leaves the kernel; on the board's thread ---- */

static void do_pio(void *opaque)
{
    Accel *accel = opaque;
    struct kvm_run *run = accel->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;

    /* More than one for ins and outs with a repeat count. */
    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        uint32_t value = 0;
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            pc_pio_write(accel->pc, run->io.port, value, size);
        } else {
            value = pc_pio_read(accel->pc, run->io.port, size);
            memcpy(data, &value, size);
        }
    }
}

static void do_mmio(void *opaque)
{
    Accel *accel = opaque;
    struct kvm_run *run = accel->run;

    if (run->mmio.is_write) {
        pc_mem_write(accel->pc, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
    } else {
        pc_mem_read(accel->pc, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
    }
}

/* ---- the thread ---- */

/* what is taken. */
static void fail(Accel *accel, char *what)
{
    struct kvm_regs r = { 0 };

    kvm_ioctl(accel->vcpu, KVM_GET_REGS, &r);
    log_line(KVM_WHO, "%s at 0x%" PRIx64, what, (uint64_t)r.rip);
    g_free(what);
    kvm_end(accel, EXIT_FAILURE);
}

static char *describe_internal_error(const struct kvm_run *run)
{
    if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
        return g_strdup("KVM can't emulate the guest's instruction");
    }
    return g_strdup_printf("internal error %u of KVM", run->internal.suberror);
}

static void handle_exit(Accel *accel)
{
    struct kvm_run *run = accel->run;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        loop_call(pc_loop(accel->pc), do_pio, accel);
        break;
    case KVM_EXIT_MMIO:
        loop_call(pc_loop(accel->pc), do_mmio, accel);
        break;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        break;
    case KVM_EXIT_SHUTDOWN:
        fail(accel, g_strdup("the guest has shut down by a triple fault"));
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        fail(accel, describe_internal_error(run));
        break;
    case KVM_EXIT_FAIL_ENTRY:
        fail(accel, g_strdup_printf("the processor refuses the guest's state, reason 0x%" PRIx64,
                                    (uint64_t)run->fail_entry.hardware_entry_failure_reason));
        break;
    default:
        fail(accel, g_strdup_printf("unexpected exit %u from KVM", run->exit_reason));
    }
}

static void *vcpu_thread(void *opaque)
{
    Accel *accel = opaque;
    int code;

    /* Before the first look at the status: who sets that later finds a thread to kick. */
    accel->tid = pthread_self();
    g_atomic_int_set(&accel->has_tid, true);
    while ((code = g_atomic_int_get(&accel->code)) == KVM_RUNNING) {
        int ret = kvm_ioctl(accel->vcpu, KVM_RUN, NULL);
        if (ret == 0) {
            handle_exit(accel);
        } else if (ret != -EINTR && ret != -EAGAIN) {
            fail(accel, g_strdup_printf("the vCPU can't run: %s", g_strerror(-ret)));
        }
    }
    accel->ended(accel->opaque, code);
    return NULL;
}

static void on_kick(int number G_GNUC_UNUSED)
{
}

void kvm_vcpu_start(Accel *accel)
{
    const struct sigaction action = { .sa_handler = on_kick };
    g_autoptr(GError) err = NULL;
    sigset_t blocked, before;

    sigaction(KICK_SIGNAL, &action, NULL);
    sigfillset(&blocked);
    sigdelset(&blocked, KICK_SIGNAL);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    accel->thread = g_thread_try_new("vcpu0", vcpu_thread, accel, &err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!accel->thread) {
        log_line(KVM_WHO, "%s", err->message);
        accel->ended(accel->opaque, EXIT_FAILURE);
    }
}

void kvm_vcpu_kick(Accel *accel)
{
    __atomic_store_n(&accel->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (g_atomic_int_get(&accel->has_tid)) {
        pthread_kill(accel->tid, KICK_SIGNAL);
    }
}

void kvm_vcpu_join(Accel *accel)
{
    if (accel->thread) {
        g_thread_join(g_steal_pointer(&accel->thread));
        g_atomic_int_set(&accel->has_tid, false);
    }
}

void kvm_vcpu_destroy(Accel *accel)
{
    g_assert(!accel->thread);
    if (accel->run) {
        munmap(accel->run, accel->run_size);
    }
    fd_clear(&accel->vcpu);
}
