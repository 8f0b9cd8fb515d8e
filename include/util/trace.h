/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace points: compiled in always, one bit tested, switched by -d GROUP[,GROUP] and -trace
 * PATTERN. trace(LSI, "dsp=%08x", dsp) prints "lsi: dsp=..." to the log.
 */
#ifndef UTIL_TRACE_H
#define UTIL_TRACE_H

#include <glib.h>
#include <stdbool.h>

typedef enum TraceGroup {
    TRACE_LOOP,
    TRACE_LINK, /* messages of the wire */
    TRACE_PCI,  /* config and BAR accesses */
    TRACE_MEM,  /* guest memory maps */
    TRACE_IRQ,
    TRACE_LSI,
    TRACE_SCSI,
    TRACE_BLOCK,
    TRACE_STATS, /* counters of a connection, when it ends */
    TRACE_GROUPS
} TraceGroup;

extern unsigned trace_mask; /* bit per TraceGroup; written at start and by the monitor only */

/* Adds to what is on. items: comma-separated group names, patterns with '*' and '?', or "all". An
 * item that matches no group is an error, and then nothing is changed. "help" is the caller's. */
bool trace_enable(const char *items, GError **errp);
/* "loop", "link", ...: for -d help; static. */
const char *trace_group_name(TraceGroup group);
void trace_print(TraceGroup group, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

#define trace_on(group)                                                                            \
    G_UNLIKELY(__atomic_load_n(&trace_mask, __ATOMIC_RELAXED) & (1u << TRACE_##group))
#define trace(group, ...)                                                                          \
    do {                                                                                           \
        if (trace_on(group)) {                                                                     \
            trace_print(TRACE_##group, __VA_ARGS__);                                               \
        }                                                                                          \
    } while (0)

#endif
