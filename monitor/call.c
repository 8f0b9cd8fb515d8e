/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands on devices' threads.
 *
 * Everything of a machine belongs to its thread, so a command posts what it wants there and goes on
 * when the post has run. The thread may be busy for long, with a file system that hangs, say; then
 * the client gets an answer nevertheless, and the late one is dropped.
 *
 * A call is owned by whoever finishes last: it is freed when its last part is back, whether its
 * request waits for that or was answered long ago. A part is the thread's from call_start() until
 * call_done(), and main's otherwise; the loop that it was posted to can't end meanwhile, as the
 * post that ends it comes behind (system/connection.c), and as commands that take longer than
 * their post are waited for before anything is taken away (monitor_is_idle()).
 *
 *   main:    call_start ─► ... ─► time's up: 'busy' ─────► part_back ─► finish, if in time; free
 *   thread:            run ─► ... ─► call_done ─────────┘
 */
#include "monitor/call.h"
#include "hw/pci/pci.h"
#include "session.h"
#include "util/main-post.h"
#include <string.h>

/* Of a part: who is first decides whether it runs. */
enum { PART_WAITS, PART_RUNS, PART_CALLED_OFF };

struct MonitorCall {
    Monitor *monitor;
    const CallKind *kind;
    QmpRequest *req; /* NULL: answered */
    GPtrArray *parts;
    unsigned pending; /* parts that are not back */
    unsigned timer;
};

MonitorCall *call_new(QmpRequest *req, const CallKind *kind)
{
    MonitorCall *call = g_new0(MonitorCall, 1);

    call->monitor = req->monitor;
    call->kind = kind;
    call->req = req;
    call->parts = g_ptr_array_new();
    return call;
}

static void part_free(MonitorCall *call, CallPart *part)
{
    if (call->kind->release) {
        call->kind->release(part->data);
    }
    g_clear_error(&part->error);
    g_free(part);
}

static void call_finish(MonitorCall *call)
{
    Monitor *monitor = call->monitor;

    if (call->timer) {
        g_source_remove(call->timer);
    }
    if (call->req) {
        call->kind->finish(call->req, call->parts);
    }
    for (unsigned i = 0; i < call->parts->len; i++) {
        part_free(call, g_ptr_array_index(call->parts, i));
    }
    g_ptr_array_free(call->parts, TRUE);
    g_free(call);
    monitor->posted--;
    monitor_tell_idle(monitor);
}

static void part_back(void *opaque)
{
    CallPart *part = opaque;

    if (--part->call->pending == 0) {
        call_finish(part->call);
    }
}

void call_done(CallPart *part)
{
    main_post(part_back, part);
}

static void part_run(void *opaque)
{
    CallPart *part = opaque;
    int waits = PART_WAITS;

    if (__atomic_compare_exchange_n(&part->state, &waits, PART_RUNS, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        part->call->kind->run(part);
    } else {
        call_done(part);
    }
}

/* A command of several parts would be half done. */
static bool call_off(MonitorCall *call)
{
    CallPart *part = g_ptr_array_index(call->parts, 0);
    int waits = PART_WAITS;

    return call->parts->len == 1 &&
           __atomic_compare_exchange_n(&part->state, &waits, PART_CALLED_OFF, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static gboolean time_is_up(gpointer opaque)
{
    MonitorCall *call = opaque;

    call->timer = 0;
    if (!call->req->command->changes || call_off(call)) {
        qmp_error(g_steal_pointer(&call->req), QMP_GENERIC,
                  "busy: the device's thread does not answer");
    }
    return G_SOURCE_REMOVE;
}

void call_add(MonitorCall *call, Loop *loop, void *data)
{
    CallPart *part = g_new0(CallPart, 1);

    part->call = call;
    part->loop = loop;
    part->data = data;
    part->state = PART_WAITS;
    part->post = (LoopPost){ .fn = part_run, .opaque = part };
    g_ptr_array_add(call->parts, part);
}

void call_start(MonitorCall *call)
{
    unsigned n = call->parts->len;

    call->monitor->posted++;
    call->pending = n;
    if (n == 0) {
        call_finish(call);
        return;
    }
    call->timer = g_timeout_add(call->monitor->config.answer_ms, time_is_up, call);
    for (unsigned i = 0; i < n; i++) {
        CallPart *part = g_ptr_array_index(call->parts, i);

        if (part->loop) {
            loop_post(part->loop, &part->post);
        } else {
            part_run(part);
        }
    }
}

Loop *monitor_device_loop(const Device *dev)
{
    while (dev->bus->owner) {
        dev = dev->bus->owner;
    }
    return strcmp(dev->type->bus_kind, BUS_PCI) == 0 ? ((const PciDev *)dev->state)->loop : NULL;
}
