/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor's middle: between sessions, on which text comes and goes, and the commands.
 *
 * A command may answer later, since what it asks for may be on a device's thread. Commands that
 * change something run one at a time, whoever gave them: a device is not removed while its machine
 * is being stopped, and no device is removed twice. Another one waits, up to wait_ms, and is then
 * answered 'busy'; so nothing hangs on I/O that hangs. Queries wait for nothing.
 *
 * When the process ends, everything but queries is refused, also what has waited.
 *
 * Main thread.
 */
#include "monitor/monitor.h"
#include "notify.h"
#include "session.h"
#include "util/error.h"
#include <stdarg.h>

Monitor *monitor_new(const MonitorConfig *config)
{
    Monitor *monitor = g_new0(Monitor, 1);

    for (const QmpCommand *const *group = config->schema.commands; *group; group++) {
        for (const QmpCommand *command = *group; command->name; command++) {
            g_assert(command->when && command->run && command->help);
        }
    }
    monitor->config = *config;
    monitor->config.answer_ms = config->answer_ms ? config->answer_ms : MONITOR_PATIENCE_MS;
    monitor->config.wait_ms = config->wait_ms ? config->wait_ms : MONITOR_PATIENCE_MS;
    monitor->state = QMP_RUNNING;
    monitor->run_state = "running";
    monitor->sessions = g_ptr_array_new();
    monitor->fds = config->fds;
    monitor->media = g_ptr_array_new_with_free_func(g_free);
    g_queue_init(&monitor->waiting);
    return monitor;
}

void monitor_free(Monitor *monitor)
{
    g_assert(monitor_is_idle(monitor) && g_queue_is_empty(&monitor->waiting));
    for (unsigned i = 0; i < monitor->sessions->len; i++) {
        monitor_session_free(g_ptr_array_index(monitor->sessions, i));
    }
    g_ptr_array_free(monitor->sessions, TRUE);
    g_ptr_array_free(monitor->media, TRUE);
    g_free(monitor->name);
    g_free(monitor);
}

bool monitor_is_idle(const Monitor *monitor)
{
    return !monitor->changing && monitor->posted == 0;
}

void monitor_watch(Monitor *monitor)
{
    const GPtrArray *devices = monitor->config.devices->devices;

    monitor->watches = true;
    for (unsigned i = 0; i < devices->len; i++) {
        monitor_watch_device(monitor, g_ptr_array_index(devices, i));
    }
}

/* --- running commands --- */

static void request_start(QmpRequest *req)
{
    if (req->command->changes) {
        req->holds = true;
        req->monitor->changing = true;
    }
    req->command->run(req);
}

/* False: the request has been answered. */
static bool check_state(QmpRequest *req)
{
    if (req->command->when & req->monitor->state) {
        return true;
    }
    qmp_error(req, QMP_GENERIC, "'%s' is not possible: %s", req->command->name,
              req->monitor->state == QMP_ENDING ? "the process is about to end" : "stopped");
    return false;
}

static gboolean wait_over(gpointer opaque)
{
    QmpRequest *req = opaque;

    req->wait = 0;
    g_queue_remove(&req->monitor->waiting, req);
    qmp_error(req, QMP_GENERIC, "busy: another command is still under way");
    return G_SOURCE_REMOVE;
}

static void request_stop_waiting(QmpRequest *req)
{
    if (req->wait) {
        g_source_remove(req->wait);
        req->wait = 0;
    }
}

static void start_next(Monitor *monitor)
{
    while (!monitor->changing && !g_queue_is_empty(&monitor->waiting)) {
        QmpRequest *req = g_queue_pop_head(&monitor->waiting);

        request_stop_waiting(req);
        if (check_state(req)) {
            request_start(req);
        }
    }
}

void monitor_end(Monitor *monitor)
{
    monitor->state = QMP_ENDING;
    monitor->run_state = "shutdown";
    start_next(monitor);
}

void monitor_run(Monitor *monitor, MonitorSession *session, const QmpCommand *command, json_t *args,
                 void (*done)(QmpRequest *req, json_t *value, const QmpError *error), void *opaque)
{
    QmpRequest *req = g_new0(QmpRequest, 1);
    g_autoptr(GError) err = NULL;

    req->monitor = monitor;
    req->session = session;
    req->client = session ? session->client : 0;
    req->command = command;
    req->args = args ? args : json_object();
    req->done = done;
    req->opaque = opaque;
    if (!qmp_type_check(command->args ? command->args : &qmp_empty, req->args, NULL, &err)) {
        qmp_error_take(req, g_steal_pointer(&err));
    } else if (!check_state(req)) {
        return;
    } else if (command->changes && monitor->changing) {
        g_queue_push_tail(&monitor->waiting, req);
        req->wait = session ? g_timeout_add(monitor->config.wait_ms, wait_over, req) : 0;
    } else {
        request_start(req);
    }
}

void monitor_set_stopped(Monitor *monitor, const char *run_state)
{
    if (monitor->state == QMP_RUNNING) {
        monitor->state = QMP_STOPPED;
        monitor->run_state = run_state;
        monitor_event(monitor, "STOP", NULL);
    }
}

static void nobody_asked(QmpRequest *req G_GNUC_UNUSED, json_t *value G_GNUC_UNUSED,
                         const QmpError *error G_GNUC_UNUSED)
{
}

void monitor_stop_on_error(Monitor *monitor)
{
    if (monitor->state == QMP_RUNNING) {
        monitor_set_stopped(monitor, "io-error");
        monitor_run(monitor, NULL, qmp_command_find(&monitor->config.schema, "stop"), NULL,
                    nobody_asked, NULL);
    }
}

bool monitor_request_wanted(const QmpRequest *req)
{
    return !req->session || req->client == req->session->client;
}

/* --- answers --- */

void monitor_keep(QmpRequest *req)
{
    req->holds = false;
}

void monitor_release(Monitor *monitor)
{
    monitor->changing = false;
    start_next(monitor);
    monitor_tell_idle(monitor);
}

static void answer(QmpRequest *req, json_t *value, const QmpError *error)
{
    Monitor *monitor = req->monitor;
    bool held = req->holds;

    req->done(req, value, error);
    json_decref(value);
    json_decref(req->args);
    g_free(req);
    if (held) {
        monitor_release(monitor);
    }
}

void qmp_return(QmpRequest *req, json_t *value)
{
    answer(req, value ? value : json_object(), NULL);
}

/* What a client has sent may be quoted in it. */
static void answer_error(QmpRequest *req, QmpClass class, const char *desc)
{
    QmpError error = { .class = class, .desc = g_utf8_make_valid(desc, -1) };

    answer(req, NULL, &error);
    g_free(error.desc);
}

void qmp_error(QmpRequest *req, QmpClass class, const char *fmt, ...)
{
    g_autofree char *desc = NULL;
    va_list ap;

    va_start(ap, fmt);
    desc = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    answer_error(req, class, desc);
}

void qmp_error_take(QmpRequest *req, GError *err)
{
    answer_error(req, QMP_GENERIC, err->message);
    g_error_free(err);
}

void monitor_tell_idle(Monitor *monitor)
{
    if (monitor_is_idle(monitor)) {
        monitor->config.idle(monitor->config.opaque);
    }
}

/* --- arguments --- */

const char *qmp_arg_str(const QmpRequest *req, const char *name)
{
    return json_string_value(json_object_get(req->args, name));
}

bool qmp_arg_bool(const QmpRequest *req, const char *name, bool def)
{
    const json_t *value = json_object_get(req->args, name);

    return value ? json_is_true(value) : def;
}

Opts *qmp_arg_opts(const QmpRequest *req, GError **errp)
{
    char *text = json_dumps(req->args, 0);
    Opts *opts = opts_parse(text, NULL, errp);

    free(text);
    return opts;
}

/* --- events --- */

void monitor_event(Monitor *monitor, const char *name, json_t *data)
{
    const QmpEvent *desc = qmp_event_find(&monitor->config.schema, name);
    int64_t now = g_get_real_time();
    json_t *event;

    g_assert(desc && !desc->data == !data);
    event =
        json_pack("{s:{s:I, s:I}, s:s}", "timestamp", "seconds", (json_int_t)(now / G_USEC_PER_SEC),
                  "microseconds", (json_int_t)(now % G_USEC_PER_SEC), "event", name);
    if (data) {
        json_object_set_new(event, "data", data);
    }
    for (unsigned i = 0; i < monitor->sessions->len; i++) {
        qmp_session_event(g_ptr_array_index(monitor->sessions, i), event);
    }
    json_decref(event);
}
