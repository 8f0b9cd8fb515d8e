/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one connection has done so far. Plain numbers, written by the machine's thread alone; who
 * is on another thread has that thread copy them (machine_counters()).
 */
#ifndef REMOTE_COUNTERS_H
#define REMOTE_COUNTERS_H

#include "hw/pci/pci.h"
#include <stdint.h>

/* Room for the messages of every protocol; each server asserts that its own fit. */
#define REMOTE_MESSAGES 20
#define REMOTE_ERROR_MAX 160

typedef struct RemoteCounters {
    uint64_t messages[REMOTE_MESSAGES]; /* received, by the protocol's own number */
    /* Accesses as the device sees them: what a message's bytes were cut into. */
    uint64_t cfg_reads, cfg_writes;
    uint64_t bar_reads[PCI_NUM_BARS], bar_writes[PCI_NUM_BARS];
    uint64_t interrupts; /* signalled to the peer, INTx and messages, but for those taken back */
    int64_t slowest_turn_ns; /* that the thread was at work without a look at its socket */
    uint64_t errors;         /* what was wrong with messages, each as a line of the log has it */
    char last_error[REMOTE_ERROR_MAX]; /* the last of those lines; "": none */
} RemoteCounters;

/* The name of a protocol's message; NULL: no message has this number. */
typedef const char *RemoteMessageName(unsigned message);

#endif
