/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remote machine: one guest's world. One PCI host with its root bus and the device on it,
 * guest memory, the interrupt hub, the loop. No vCPU, no memory of its own.
 *
 * The verbs below are the only door between protocols and devices. They are called on the
 * machine's thread and check what they are given: a protocol passes on what came over the wire.
 * That thread has called guest_memory_thread_use(m->mem).
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
    PciBus bus; /* remote/pci-host.c decodes on it */
    PciHost host;
    PciDev *dev; /* the one behind this connection */
    IoHub iohub;
    LogLimit limit;
    /* a drain is in progress, and who waits for it */
    bool draining;
    LoopFn *reset_done, *disconnect_done; /* or NULL */
    void *reset_opaque, *disconnect_opaque;
} RemoteMachine;

/* Main thread. dev is not bound yet; it and everything below it goes to loop. loop stays the
 * caller's. */
RemoteMachine *machine_new(const char *name, Loop *loop, PciDev *dev, GError **errp);
/* Main thread, the loop no longer runs; after machine_disconnect()'s done, or without any frame
 * ever. dev can be given to a new machine then. */
void machine_free(RemoteMachine *m);

/* 1. cfg_read: len 1, 2, 4 within 256 bytes; anything else is all ones (64 bits). */
uint64_t machine_cfg_read(RemoteMachine *m, uint32_t addr, int32_t len);
/* 2. cfg_write: false, and nothing written, on a senseless access. */
bool machine_cfg_write(RemoteMachine *m, uint32_t addr, uint32_t value, int32_t len);
/* 3., 4. by BAR and offset (vfio-user). */
uint64_t machine_bar_read(RemoteMachine *m, unsigned bar, uint64_t off, unsigned size);
void machine_bar_write(RemoteMachine *m, unsigned bar, uint64_t off, uint64_t value, unsigned size);
/* 3., 4. by absolute bus address (mpqemu): the PCI host finds the BAR. No BAR, or a size that is
 * not 1, 2, 4 or 8: all ones of 64 bits / false and dropped; logged rate-limited. */
uint64_t machine_bus_read(RemoteMachine *m, uint64_t addr, unsigned size, bool memory);
bool machine_bus_write(RemoteMachine *m, uint64_t addr, uint64_t value, unsigned size, bool memory);
/* 5. mem_replace / mem_map: see guest-memory.h; errors are logged, once each. */
bool machine_mem_replace(RemoteMachine *m, const GuestMap *maps, unsigned n);
bool machine_mem_map(RemoteMachine *m, const GuestMap *map);
/* 6. mem_unmap(done). 0 or -errno. */
int machine_mem_unmap(RemoteMachine *m, uint64_t gpa, uint64_t size, LoopFn *done, void *opaque);
/* 7. irq_bind: takes both descriptors; see iohub.h. 0 or -errno, logged. */
int machine_irq_bind(RemoteMachine *m, int irqfd, int resamplefd);
/* 8. reset(done): drain, then power-on state; done from the loop, once. Guest memory and irqfds
 * stay. Must not be called while one is under way. */
void machine_reset(RemoteMachine *m, LoopFn *done, void *opaque);

/* The peer is gone: drain (writes in flight finish and are flushed), drop guest memory and irqfds,
 * reset; then done from the loop. May come while a reset is under way, whose done comes first.
 * Afterwards the machine is as new and can serve the next peer. */
void machine_disconnect(RemoteMachine *m, LoopFn *done, void *opaque);

#endif
