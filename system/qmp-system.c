/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP on the process as a whole: its end, stopping and going on, reset, and its chardevs.
 *
 * `stop` is for whoever wants the images to be still: each device finishes the I/O that it has,
 * flushes, and starts none until `cont`. The guest's register accesses are answered meanwhile, as
 * nothing here can stop its CPUs: that is the VMM's own `stop`, which goes first.
 *
 * Main thread; the devices' part is on their threads.
 */
#include "monitor/call.h"
#include "system/chardev.h"
#include "system/monitors.h"
#include "system/served.h"

/* --- types --- */

/* clang-format off */

static QMP_STRUCT(chardev_type, "ChardevInfo",
    QMP_MEMBER("label", qmp_str, "its id"),
    QMP_MEMBER("filename", qmp_str, "what it is"),
    QMP_MEMBER("frontend-open", qmp_bool, "something in this process uses it"));
static QMP_LIST(chardevs_type, "[ChardevInfo]", chardev_type);

static QMP_CHOICE(cause_type, "ShutdownCause", "host-qmp-quit", "host-qmp-system-reset",
                  "host-signal", "guest-shutdown");
static QMP_STRUCT(shutdown_data, "q_obj_SHUTDOWN-arg",
    QMP_MEMBER("guest", qmp_bool, "the last client has left"),
    QMP_MEMBER("reason", cause_type, NULL));
static QMP_STRUCT(reset_data, "q_obj_RESET-arg",
    QMP_MEMBER("guest", qmp_bool, "false"),
    QMP_MEMBER("reason", cause_type, NULL));
/* clang-format on */

/* --- commands --- */

static void do_quit(QmpRequest *req)
{
    System *sys = qmp_system(req);

    qmp_return(req, NULL);
    system_end(sys, "host-qmp-quit");
}

static void do_query_chardev(QmpRequest *req)
{
    const System *sys = qmp_system(req);
    json_t *list = json_array();

    for (unsigned i = 0; i < sys->chardevs->len; i++) {
        const Chardev *chardev = g_ptr_array_index(sys->chardevs, i);
        g_autofree char *text = chardev_text(chardev);
        g_autofree char *valid = g_utf8_make_valid(text, -1);

        json_array_append_new(list, json_pack("{s:b, s:s, s:s}", "frontend-open", chardev->used,
                                              "filename", valid, "label", chardev->id));
    }
    qmp_return(req, list);
}

/* Answers, and is false, where more would have to stop than devices. */
static bool check_board(QmpRequest *req)
{
    if (qmp_system(req)->board) {
        qmp_error(req, QMP_GENERIC, "'%s' is not possible: a board runs in this process",
                  req->command->name);
        return false;
    }
    return true;
}

/* A part for each machine, which is its data. */
static void call_machines(QmpRequest *req, const CallKind *kind)
{
    const System *sys = qmp_system(req);
    MonitorCall *call = call_new(req, kind);

    for (unsigned i = 0; i < sys->objects->objects->len; i++) {
        Connection *conn = served_connection(g_ptr_array_index(sys->objects->objects, i));

        if (conn) {
            call_add(call, connection_loop(conn), connection_machine(conn));
        }
    }
    call_start(call);
}

static void part_over(void *opaque)
{
    call_done(opaque);
}

static void run_stop(CallPart *part)
{
    machine_pause(part->data, part_over, part);
}

static void stopped(QmpRequest *req, const GPtrArray *parts G_GNUC_UNUSED)
{
    qmp_return(req, NULL);
}

static void do_stop(QmpRequest *req)
{
    static const CallKind kind = { .run = run_stop, .finish = stopped };

    if (check_board(req)) {
        monitor_set_stopped(req->monitor, "paused");
        call_machines(req, &kind);
    }
}

static void run_cont(CallPart *part)
{
    machine_resume(part->data);
    call_done(part);
}

static void resumed(QmpRequest *req, const GPtrArray *parts G_GNUC_UNUSED)
{
    Monitor *monitor = req->monitor;

    if (monitor->state == QMP_STOPPED) {
        monitor->state = QMP_RUNNING;
        monitor->run_state = "running";
        monitor_event(monitor, "RESUME", NULL);
    }
    qmp_return(req, NULL);
}

static void do_cont(QmpRequest *req)
{
    static const CallKind kind = { .run = run_cont, .finish = resumed };

    if (check_board(req)) {
        call_machines(req, &kind);
    }
}

static void run_reset(CallPart *part)
{
    machine_power_cycle(part->data, part_over, part);
}

static void reset_over(QmpRequest *req, const GPtrArray *parts G_GNUC_UNUSED)
{
    if (req->monitor->state == QMP_STOPPED) {
        req->monitor->run_state = "prelaunch"; /* as QEMU calls it: nothing is under way any more */
    }
    monitor_event(req->monitor, "RESET",
                  json_pack("{s:b, s:s}", "guest", 0, "reason", "host-qmp-system-reset"));
    qmp_return(req, NULL);
}

static void do_reset(QmpRequest *req)
{
    static const CallKind kind = { .run = run_reset, .finish = reset_over };

    if (check_board(req)) {
        call_machines(req, &kind);
    }
}

/* clang-format off */
const QmpCommand qmp_system_commands[] = {
    { .name = "quit", .when = QMP_ALWAYS, .run = do_quit,
      .help = "Ends the process in an orderly way: I/O in flight is finished and flushed." },
    { .name = "stop", .when = QMP_READY, .changes = true, .run = do_stop,
      .help = "Devices finish the I/O that they have begun, flush, and start no more. Registers "
              "are still answered for. Returns when all is still." },
    { .name = "cont", .when = QMP_READY, .changes = true, .run = do_cont,
      .help = "Devices go on; I/O that failed and was kept (`rerror=stop`, `werror=stop`) is done "
              "again." },
    { .name = "system_reset", .when = QMP_READY, .changes = true, .run = do_reset,
      .help = "Puts the devices into their power-on state. The guest is not told: it is the "
              "VMM's own `system_reset` that resets a VM, and its devices here with it." },
    { .name = "query-chardev", .ret = &chardevs_type, .when = QMP_ALWAYS, .run = do_query_chardev,
      .help = "The chardevs, those that `-qmp` and `-monitor` made included." },
    { .name = NULL }
};

const QmpEvent qmp_system_events[] = {
    { .name = "SHUTDOWN", .data = &shutdown_data, .help = "The process is about to end." },
    { .name = "STOP", .help = "Devices start no I/O any more." },
    { .name = "RESUME", .help = "Devices go on." },
    { .name = "RESET", .data = &reset_data,
      .help = "Devices have been reset by a monitor. A reset that the client asks for "
              "(DEVICE_RESET of either protocol: a guest's or its VMM's) sends none, as with the "
              "stock remote; `query-remote` counts those." },
    { .name = NULL }
};
/* clang-format on */
