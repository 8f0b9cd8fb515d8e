/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one connection has done so far. The machine's thread alone writes it, and never waits for
 * whoever looks.
 */
#ifndef REMOTE_COUNTERS_H
#define REMOTE_COUNTERS_H

#include "hw/core/guest-memory.h"
#include "hw/pci/pci.h"
#include <stdint.h>

/* Room for the messages of every protocol; each server asserts that its own fit. */
#define REMOTE_MESSAGES 20
#define REMOTE_ERROR_MAX 160
#define REMOTE_REGIONS 64

typedef struct RemoteCounters {
    uint64_t messages[REMOTE_MESSAGES]; /* received, by the protocol's own number */
    /* Accesses as the device sees them: what a message's bytes were cut into. */
    uint64_t cfg_reads, cfg_writes;
    uint64_t bar_reads[PCI_NUM_BARS], bar_writes[PCI_NUM_BARS];
    uint64_t interrupts; /* signalled to the peer, INTx and messages, but for those taken back */
    uint64_t slowest_turn_ns; /* that the thread was at work without a look at its socket */
    uint64_t errors;          /* what was wrong with messages, each as a line of the log has it */
} RemoteCounters;

/* They are copied one by one. */
G_STATIC_ASSERT(sizeof(RemoteCounters) % sizeof(uint64_t) == 0);

/* The guest's RAM as the peer has mapped it: the first of its regions. */
typedef struct RemoteRegions {
    unsigned n;
    GuestMap region[REMOTE_REGIONS];
} RemoteRegions;

/* The machine's thread: one more (or less: -1). Whoever reads meanwhile gets the number before or
 * after it. */
static inline void counter_add(uint64_t *counter, int64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* The name of a protocol's message; NULL: no message has this number. */
typedef const char *RemoteMessageName(unsigned message);

#endif
