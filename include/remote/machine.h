/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remote machine: one guest's world. One PCI host with its root bus and the device on it,
 * guest memory, the interrupt hub, the loop. No vCPU, no memory of its own.
 *
 * The verbs below are the only door between protocols and devices. They are called on the
 * machine's thread and check what they are given: a protocol passes on what came over the wire.
 */
#ifndef REMOTE_MACHINE_H
#define REMOTE_MACHINE_H

#include "hw/core/guest-memory.h"
#include "hw/pci/pci-bus.h"
#include "remote/iohub.h"

typedef struct RemoteMachine {
    char *name; /* the connection's, for the log */
    Loop *loop;
    GuestMemory *mem;
    PciBus bus;  /* remote/pci-host.c decodes on it */
    PciDev *dev; /* the one behind this connection */
    IoHub iohub;
    LogLimit limit;
    /* a drain in progress */
    LoopFn *drained;
    void *drained_opaque;
} RemoteMachine;

/* Main thread. dev is not bound yet; it and everything below it goes to loop. loop stays the
 * caller's. */
RemoteMachine *machine_new(const char *name, Loop *loop, PciDev *dev, GError **errp);
/* Main thread, the loop no longer runs; after machine_stop(). */
void machine_free(RemoteMachine *m);

/* 1. cfg_read: len 1, 2, 4 within 256 bytes; anything else is all ones (64 bits). */
uint64_t machine_cfg_read(RemoteMachine *m, uint32_t addr, int32_t len);
/* 2. cfg_write: false, and nothing written, on a senseless access. */
bool machine_cfg_write(RemoteMachine *m, uint32_t addr, uint32_t value, int32_t len);
/* 3., 4. by BAR and offset (vfio-user). */
uint64_t machine_bar_read(RemoteMachine *m, unsigned bar, uint64_t off, unsigned size);
void machine_bar_write(RemoteMachine *m, unsigned bar, uint64_t off, uint64_t value, unsigned size);
/* 3., 4. by absolute bus address (mpqemu): the PCI host finds the BAR. No BAR: all ones of 64
 * bits / dropped; logged rate-limited. */
uint64_t machine_bus_read(RemoteMachine *m, uint64_t addr, unsigned size, bool memory);
void machine_bus_write(RemoteMachine *m, uint64_t addr, uint64_t value, unsigned size,
                       bool memory);
/* 5. mem_replace / mem_map: see guest-memory.h; errors are logged, once each. */
bool machine_mem_replace(RemoteMachine *m, const GuestMap *maps, unsigned n);
/* 6. mem_unmap(done). 0 or -errno. */
int machine_mem_unmap(RemoteMachine *m, uint64_t gpa, uint64_t size, LoopFn *done, void *opaque);
/* 7. irq_bind: takes both descriptors. */
int machine_irq_bind(RemoteMachine *m, int irqfd, int resamplefd);
/* 8. reset(done): drain, then power-on state; done from the loop, once. Guest memory and irqfds
 * stay. Must not be called while one is under way. */
void machine_reset(RemoteMachine *m, LoopFn *done, void *opaque);

/* The peer is gone: drain (writes in flight finish and are flushed), drop guest memory and irqfds,
 * reset; then done from the loop. */
void machine_disconnect(RemoteMachine *m, LoopFn *done, void *opaque);

#endif
