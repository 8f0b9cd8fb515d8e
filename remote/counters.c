/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters of one connection: how they are begun, read and shown, and the one way by which
 * what a peer does wrong is counted, kept and logged.
 *
 * Each counter is a field of the machine, incremented where the thing happens: messages in the
 * protocol's server, accesses in the verbs, interrupts in the hub, time in the loop. One thread
 * writes them, by stores that whoever reads meanwhile can't see half of; that costs no more than a
 * plain one. What is longer than a number, the last error, is put where the main thread takes it
 * (util/latest.h). So a monitor that asks all the time takes nothing from the guest's I/O, and gets
 * its answer though the thread hangs. They live on after the connection, as why it ended is asked
 * for afterwards; the next one begins with none.
 *
 * `-d stats` shows them when a connection ends.
 */
#include "remote/counters.h"
#include "remote/machine.h"
#include "util/trace.h"
#include <inttypes.h>
#include <stdio.h>

void machine_counters_clear(RemoteMachine *m)
{
    uint64_t *number = (uint64_t *)&m->counters;

    for (unsigned i = 0; i < sizeof(m->counters) / sizeof(*number); i++) {
        counter_add(&number[i], -(int64_t)number[i]);
    }
    counter_add(&m->iohub.signals, -(int64_t)m->iohub.signals);
    loop_forget_slowest_turn(m->loop);
    latest_put(&m->last_error, g_strdup(""));
}

RemoteCounters machine_counters(const RemoteMachine *m)
{
    RemoteCounters counters;
    const uint64_t *from = (const uint64_t *)&m->counters;
    uint64_t *to = (uint64_t *)&counters;

    for (unsigned i = 0; i < sizeof(counters) / sizeof(*to); i++) {
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    }
    counters.interrupts = __atomic_load_n(&m->iohub.signals, __ATOMIC_RELAXED);
    counters.slowest_turn_ns = loop_slowest_turn_ns(m->loop);
    return counters;
}

const char *machine_last_error(RemoteMachine *m)
{
    const char *text = latest_look(&m->last_error);

    return text ? text : "";
}

/* The text first: who sees the number finds it. */
static void note(RemoteMachine *m, const char *text)
{
    latest_put(&m->last_error, g_strdup(text));
    counter_add(&m->counters.errors, 1);
}

void machine_error(RemoteMachine *m, const char *fmt, ...)
{
    char text[REMOTE_ERROR_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    note(m, text);
    log_limited(&m->limit, m->name, "%s", text);
}

void machine_error_last(RemoteMachine *m, const char *fmt, ...)
{
    char text[REMOTE_ERROR_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    note(m, text);
    log_line(m->name, "%s", text);
}

void machine_counters_trace(const RemoteMachine *m, RemoteMessageName *name)
{
    RemoteCounters counters = machine_counters(m);
    g_autoptr(GString) text = g_string_new(NULL);

    if (!trace_on(STATS)) {
        return;
    }
    for (unsigned i = 0; i < REMOTE_MESSAGES; i++) {
        if (counters.messages[i] > 0 && name(i)) {
            g_string_append_printf(text, " %s=%" PRIu64, name(i), counters.messages[i]);
        }
    }
    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        if (counters.bar_reads[i] > 0 || counters.bar_writes[i] > 0) {
            g_string_append_printf(text, " bar%u-reads=%" PRIu64 " bar%u-writes=%" PRIu64, i,
                                   counters.bar_reads[i], i, counters.bar_writes[i]);
        }
    }
    trace(STATS,
          "%s:%s config-reads=%" PRIu64 " config-writes=%" PRIu64 " interrupts=%" PRIu64
          " errors=%" PRIu64,
          m->name, text->str, counters.cfg_reads, counters.cfg_writes, counters.interrupts,
          counters.errors);
}
