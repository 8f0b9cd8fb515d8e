/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ACCEL_KVM_INTERNAL_H
#define ACCEL_KVM_INTERNAL_H

#include "accel/accel.h"
#include "accel/kvm/boot.h"
#include <linux/kvm.h>
#include <pthread.h>

#define KVM_WHO "kvm" /* in log lines */
#define KVM_RUNNING (-1)

struct Accel {
    Pc *pc;
    void (*ended)(void *opaque, int code);
    void *opaque;
    /* the virtual machine */
    int kvm, vm; /* descriptors of the system and of the machine */
    uint8_t *ram;
    uint64_t ram_size;
    GArray *irqfds; /* struct kvm_irqfd: the bound ones. Board's thread. */
    /* the vCPU */
    int vcpu;
    struct kvm_run *run; /* shared with the kernel; NULL: not mapped */
    size_t run_size;
    GThread *thread;
    pthread_t tid; /* valid once has_tid, atomic */
    int has_tid;
    int code; /* the exit status, or KVM_RUNNING; atomic, set once */
};

/* 0 or more, or -errno. */
int kvm_ioctl(int fd, unsigned long request, void *arg);
/* The first code given is the exit status; any thread. The vCPU stops at once. */
void kvm_end(Accel *accel, int code);

/* kvm-irq.c; board's thread */
void kvm_set_gsi(void *opaque, unsigned gsi, bool level);
int kvm_bind_irqfd(void *opaque, int gsi, int irqfd, int resamplefd);
void kvm_irq_fini(Accel *accel);

/* kvm-vcpu.c; main thread */
bool kvm_vcpu_create(Accel *accel, const BootEntry *entry, GError **errp);
void kvm_vcpu_start(Accel *accel);
/* Any thread: out of KVM_RUN. */
void kvm_vcpu_kick(Accel *accel);
/* Waits for its thread, once there is an exit status for it to see. */
void kvm_vcpu_join(Accel *accel);
void kvm_vcpu_destroy(Accel *accel);

#endif
