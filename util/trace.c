/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which trace groups are on, and how their lines look: "PROGRAM: GROUP: text" through the log. The
 * mask is process-wide; it is set at start and by the monitor, and read by every thread without
 * order: a thread may see a change a few lines late.
 */
#include "util/trace.h"
#include "util/error.h"
#include "util/log.h"
#include <stdio.h>
#include <string.h>

#define TRACE_LINE_MAX 1024

unsigned trace_mask;

static const char *const group_names[TRACE_GROUPS] = {
    [TRACE_LOOP] = "loop", [TRACE_LINK] = "link",   [TRACE_PCI] = "pci",
    [TRACE_MEM] = "mem",   [TRACE_IRQ] = "irq",     [TRACE_LSI] = "lsi",
    [TRACE_SCSI] = "scsi", [TRACE_BLOCK] = "block", [TRACE_STATS] = "stats",
};

const char *trace_group_name(TraceGroup group)
{
    return group_names[group];
}

/* 0 if no group matches. */
static unsigned item_mask(const char *item)
{
    unsigned mask = 0;

    if (strcmp(item, "all") == 0) {
        return (1u << TRACE_GROUPS) - 1;
    }
    for (unsigned i = 0; i < TRACE_GROUPS; i++) {
        if (g_pattern_match_simple(item, group_names[i])) {
            mask |= 1u << i;
        }
    }
    return mask;
}

bool trace_enable(const char *items, GError **errp)
{
    g_auto(GStrv) list = g_strsplit(items, ",", -1);
    unsigned mask = 0;

    if (!list[0]) {
        return error_set(errp, "no trace group given");
    }
    for (char **item = list; *item; item++) {
        unsigned found = item_mask(*item);

        if (!found) {
            return error_set(errp, "unknown trace group '%s'", *item);
        }
        mask |= found;
    }
    __atomic_fetch_or(&trace_mask, mask, __ATOMIC_RELAXED);
    return true;
}

void trace_print(TraceGroup group, const char *fmt, ...)
{
    char text[TRACE_LINE_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    log_line(group_names[group], "%s", text);
}
