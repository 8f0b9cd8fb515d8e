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
#include "remote/counters.h"
#include "remote/iohub.h"
#include "util/latest.h"

/* The regions and interrupts of a function, numbered as VFIO has them. */
enum {
    MACHINE_REGION_ROM = 6, /* below: the BARs */
    MACHINE_REGION_CONFIG = 7,
    MACHINE_REGION_VGA = 8,
    MACHINE_REGIONS = 9,
};
enum { MACHINE_READ = 1, MACHINE_WRITE = 2, MACHINE_MMAP = 4 };
enum { MACHINE_IRQ_MASKABLE = 1, MACHINE_IRQ_AUTOMASKED = 2 };

typedef struct MachineRegion {
    uint64_t size;  /* 0: there is no such region */
    uint32_t flags; /* MACHINE_READ, MACHINE_WRITE, MACHINE_MMAP */
    PciBarMap map;  /* with MACHINE_MMAP; its descriptor stays the device's */
} MachineRegion;

typedef struct MachineIrq {
    uint32_t count; /* vectors; 0: there is no such interrupt */
    uint32_t flags; /* MACHINE_IRQ_* */
} MachineIrq;

typedef struct MachineDesc {
    MachineRegion region[MACHINE_REGIONS];
    MachineIrq irq[IOHUB_IRQS];
} MachineDesc;

typedef struct RemoteMachine {
    char *name; /* the connection's, for the log */
    Loop *loop;
    GuestMemory *mem;
    PciBus bus; /* remote/pci-host.c decodes on it */
    PciHost host;
    PciDev *dev; /* the one behind this connection */
    IoHub iohub;
    LogLimit limit;
    RemoteCounters counters;    /* as far as they are the machine's own: machine_counters() */
    Latest regions, last_error; /* RemoteRegions; text. The main thread looks. */
    /* a drain is in progress, and who waits for it */
    bool draining;
    LoopFn *reset_done, *disconnect_done, *cycle_done; /* or NULL */
    void *reset_opaque, *disconnect_opaque, *cycle_opaque;
    /* the monitor's stop; while pausing, a drain waits */
    bool paused, pausing;
    LoopFn *pause_done;
    LoopWork pause_work;
    void *pause_opaque;
} RemoteMachine;

/* Main thread. dev is not bound yet; it and everything below it goes to loop. loop stays the
 * caller's. */
RemoteMachine *machine_new(const char *name, Loop *loop, PciDev *dev, GError **errp);
/* The same for a protocol that carries the messages of MSI and MSI-X, and whose other end keeps the
 * guest's MSI-X table: without that, the function has neither capability. */
RemoteMachine *machine_new_messages(const char *name, Loop *loop, PciDev *dev, GError **errp);
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
/* 1. to 4. by region (vfio-user), len bytes from off: BARs and config space. Cut into naturally
 * aligned accesses of at most 8 bytes (config space: 4) in ascending order. False, and nothing has
 * been read or written: no such region, or not inside it. */
bool machine_region_read(RemoteMachine *m, uint32_t region, uint64_t off, void *buf, size_t len);
bool machine_region_write(RemoteMachine *m, uint32_t region, uint64_t off, const void *buf,
                          size_t len);
/* 5. mem_replace / mem_map: see guest-memory.h; errors are logged, once each. */
bool machine_mem_replace(RemoteMachine *m, const GuestMap *maps, unsigned n);
bool machine_mem_map(RemoteMachine *m, const GuestMap *map);
/* 6. mem_unmap(done). 0 or -errno. */
int machine_mem_unmap(RemoteMachine *m, uint64_t gpa, uint64_t size, LoopFn *done, void *opaque);
/* All of it. */
void machine_mem_clear(RemoteMachine *m);
/* 7. irq_bind: takes both descriptors; see iohub.h. 0 or -errno, logged. */
int machine_irq_bind(RemoteMachine *m, int irqfd, int resamplefd);
/* 7. irq_bind, by index and vector; see iohub.h. Vectors beyond what describe has: -EINVAL. All
 * descriptors are taken. trigger: each vector gets its descriptor (-1: none). */
int machine_irq_trigger(RemoteMachine *m, IoIrq irq, uint32_t start, uint32_t n, const int *fds);
int machine_irq_unmask_fd(RemoteMachine *m, int fd); /* INTx: signalled = unmask; -1: none */
int machine_irq_mask(RemoteMachine *m, bool masked); /* INTx */
int machine_irq_raise(RemoteMachine *m, IoIrq irq, uint32_t vector);
void machine_irq_disable(RemoteMachine *m, IoIrq irq);
/* 8. reset(done): drain, then power-on state; done from the loop, once. Guest memory and irqfds
 * stay. Must not be called while one is under way. */
void machine_reset(RemoteMachine *m, LoopFn *done, void *opaque);

/* The peer is gone: drain (writes in flight finish and are flushed), drop guest memory and irqfds,
 * reset; then done from the loop. May come while a reset is under way, whose done comes first.
 * Afterwards the machine is as new and can serve the next peer. */
void machine_disconnect(RemoteMachine *m, LoopFn *done, void *opaque);

/* The monitor's reset: as machine_reset(), and may come while one or a disconnect is under way. One
 * at a time. */
void machine_power_cycle(RemoteMachine *m, LoopFn *done, void *opaque);
/* The device finishes the I/O that it has, flushes, and begins no more until machine_resume();
 * then done from the loop, once. Register accesses, resets and disconnects go on as ever. Already
 * paused is as good. */
void machine_pause(RemoteMachine *m, LoopFn *done, void *opaque);
/* Not while a pause is under way. I/O that failed and was kept is done again. */
void machine_resume(RemoteMachine *m);

/* Read-only: what there is. Constant once the machine exists. */
void machine_describe(RemoteMachine *m, MachineDesc *desc);

/* The counters of the connection, complete. They outlive it, until the next one clears them. Any
 * thread: each number is whole, though another may be of a moment later. */
RemoteCounters machine_counters(const RemoteMachine *m);
/* Main thread. Good until its next call. */
const RemoteRegions *machine_regions(RemoteMachine *m);
/* Main thread. The last line that was counted as an error; "": none. Good until its next call. */
const char *machine_last_error(RemoteMachine *m);
void machine_counters_clear(RemoteMachine *m);
/* One line of `-d stats`. */
void machine_counters_trace(const RemoteMachine *m, RemoteMessageName *name);
/* The peer did something senseless: counted, kept as the last error, logged at a limited rate.
 * machine_error_last() is for what ends the connection, and is always logged. */
void machine_error(RemoteMachine *m, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
void machine_error_last(RemoteMachine *m, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

#endif
