/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters of one connection: how they are begun, read and shown, and the one way by which
 * what a peer does wrong is counted, kept and logged.
 *
 * Each counter is a plain field of the machine, incremented where the thing happens: messages in
 * the protocol's server, accesses in the verbs, interrupts in the hub, time in the loop. Nothing is
 * shared between threads, so nothing is atomic. They live on after the connection, as why it ended
 * is asked for afterwards; the next one begins with none.
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
    m->counters = (RemoteCounters){ 0 };
    m->iohub.signals = 0;
    loop_forget_slowest_turn(m->loop);
}

RemoteCounters machine_counters(const RemoteMachine *m)
{
    RemoteCounters counters = m->counters;

    counters.interrupts = m->iohub.signals;
    counters.slowest_turn_ns = loop_slowest_turn_ns(m->loop);
    return counters;
}

G_GNUC_PRINTF(2, 0) static void note(RemoteMachine *m, const char *fmt, va_list args)
{
    m->counters.errors++;
    vsnprintf(m->counters.last_error, sizeof(m->counters.last_error), fmt, args);
}

void machine_error(RemoteMachine *m, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    note(m, fmt, args);
    va_end(args);
    log_limited(&m->limit, m->name, "%s", m->counters.last_error);
}

void machine_error_last(RemoteMachine *m, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    note(m, fmt, args);
    va_end(args);
    log_line(m->name, "%s", m->counters.last_error);
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
