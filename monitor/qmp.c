/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP on a session: the greeting, the envelope of commands, answers and events.
 *
 * A client is greeted, and may then send qmp_capabilities only; with that, commands. Each is an
 * object with "execute", maybe "arguments", maybe an "id" that comes back with the answer. What is
 * wrong with one costs an answer of QEMU's classes and nothing else. No capability is offered:
 * commands are answered in order, and none is ever stuck behind a device that hangs.
 *
 * Main thread.
 */
#include "monitor/commands.h"
#include "session.h"
#include "util/error.h"
#include <stdlib.h>
#include <string.h>

/* By QmpClass. */
static const char *const class_names[] = {
    "GenericError",
    "CommandNotFound",
    "DeviceNotFound",
    "DeviceNotActive",
};

static void send_json(MonitorSession *session, const json_t *value)
{
    char *text = json_dumps(value, session->pretty ? JSON_INDENT(4) : 0);
    g_autofree char *line = g_strconcat(text, "\r\n", NULL);

    free(text);
    session_send(session, line, strlen(line));
}

static void send_answer(MonitorSession *session, json_t *answer)
{
    if (session->id) {
        json_object_set_new(answer, "id", g_steal_pointer(&session->id));
    }
    send_json(session, answer);
    json_decref(answer);
}

static void send_error(MonitorSession *session, QmpClass class, const char *desc)
{
    g_autofree char *valid = g_utf8_make_valid(desc, -1);

    send_answer(session,
                json_pack("{s:{s:s, s:s}}", "error", "class", class_names[class], "desc", valid));
}

json_t *qmp_version(const Monitor *monitor)
{
    g_auto(GStrv) part = g_strsplit(monitor->config.version, ".", 3);
    int n[3] = { 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(n) && part[i]; i++) {
        n[i] = atoi(part[i]);
    }
    return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "micro", n[2], "minor", n[1], "major",
                     n[0], "package", monitor->config.program);
}

static void opened(MonitorSession *session)
{
    json_t *greeting = json_pack("{s:{s:o, s:[]}}", "QMP", "version", qmp_version(session->monitor),
                                 "capabilities");

    send_json(session, greeting);
    json_decref(greeting);
}

static void closed(MonitorSession *session G_GNUC_UNUSED)
{
}

/* --- commands --- */

static void command_done(QmpRequest *req, json_t *value, const QmpError *error)
{
    MonitorSession *session = req->session;

    if (!monitor_request_wanted(req)) {
        return;
    }
    if (error) {
        send_error(session, error->class, error->desc);
    } else {
        send_answer(session, json_pack("{s:O}", "return", value));
    }
    session_done(session);
}

static bool check_envelope(const json_t *object, GError **errp)
{
    const json_t *execute = json_object_get(object, "execute");
    const char *key;
    json_t *value;

    if (!json_is_object(object)) {
        return error_set(errp, "QMP input must be a JSON object");
    }
    json_object_foreach((json_t *)object, key, value) {
        if (strcmp(key, "execute") == 0 && !json_is_string(value)) {
            return error_set(errp, "QMP input member 'execute' must be a string");
        }
        if (strcmp(key, "arguments") == 0 && !json_is_object(value)) {
            return error_set(errp, "QMP input member 'arguments' must be an object");
        }
        if (strcmp(key, "execute") && strcmp(key, "arguments") && strcmp(key, "id")) {
            return error_set(errp, "QMP input member '%s' is unexpected", key);
        }
    }
    return execute || error_set(errp, "QMP input lacks member 'execute'");
}

static void dispatch(MonitorSession *session, const json_t *object, const char *name)
{
    const QmpCommand *command = qmp_command_find(&session->monitor->config.schema, name);
    g_autofree char *text = NULL;

    if (!session->negotiated && !(command && command->when & QMP_NEGOTIATING)) {
        send_error(session, QMP_COMMAND_NOT_FOUND,
                   "Expecting capabilities negotiation with 'qmp_capabilities'");
    } else if (!command) {
        text = g_strdup_printf("The command %s has not been found", name);
        send_error(session, QMP_COMMAND_NOT_FOUND, text);
    } else if (session->negotiated && command->when & QMP_NEGOTIATING) {
        send_error(session, QMP_COMMAND_NOT_FOUND,
                   "Capabilities negotiation is already complete, command ignored");
    } else {
        session->busy = true;
        monitor_run(session->monitor, session, command,
                    json_incref(json_object_get(object, "arguments")), command_done, NULL);
    }
}

static void take_value(MonitorSession *session, json_t *object)
{
    g_autoptr(GError) err = NULL;

    session->id = json_incref(json_object_get(object, "id"));
    if (check_envelope(object, &err)) {
        dispatch(session, object, json_string_value(json_object_get(object, "execute")));
    } else {
        send_error(session, QMP_GENERIC, err->message);
    }
}

static size_t input(MonitorSession *session, const uint8_t *bytes, size_t len)
{
    g_autoptr(GError) err = NULL;
    json_t *value;
    size_t used = json_door_feed(&session->door, bytes, len, &value, &err);

    if (err) {
        send_error(session, QMP_GENERIC, err->message);
    } else if (value) {
        take_value(session, value);
        json_decref(value);
    }
    return used;
}

void qmp_session_event(MonitorSession *session, const json_t *event)
{
    if (session->negotiated) {
        send_json(session, event);
    }
}

const SessionKind qmp_session_kind = { .opened = opened, .input = input, .closed = closed };
