/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -qmp, -qmp-pretty, -mon, -monitor: which chardev has a monitor, and which kind.
 *
 * Each is one session for one client at a time. One that listens accepts the next client when the
 * present one has left; who comes meanwhile waits in the socket's backlog, as with QEMU. Several
 * clients at once need several options. With wait=on (the default of a listening socket, as in
 * QEMU) nothing is served before the first client has come.
 *
 *   noted (option) ─► session, socket (prepare) ─► open ⇄ waiting for a client
 *
 * The middle of it all is monitor/monitor.c, made with the tables of the registry.
 *
 * Main thread.
 */
#include "system/monitors.h"
#include "monitor/hmp.h"
#include "system/chardev.h"
#include "system/socket.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One option. */
typedef struct Port {
    System *sys;
    Chardev *chardev;
    MonitorMode mode;
    bool pretty;
    MonitorSession *session; /* from prepare() on */
    Listener listener;
    int in, out; /* a client that is there from the start; -1: none */
    bool owned;
    bool came; /* the first client has come */
} Port;

struct Monitors {
    Monitor *monitor; /* from prepare() on */
    GPtrArray *ports; /* Port *, owned */
    unsigned unnamed; /* chardevs that were made here */
};

static void port_free(void *opaque)
{
    Port *port = opaque;

    listener_close(&port->listener);
    g_free(port);
}

static Monitors *monitors_of(System *sys)
{
    if (!sys->monitors) {
        sys->monitors = g_new0(Monitors, 1);
        sys->monitors->ports = g_ptr_array_new_with_free_func(port_free);
    }
    return sys->monitors;
}

/* --- options --- */

static const char *const mode_names[] = { "control", "readline", NULL };

typedef struct MonProps {
    char *chardev;
    int mode;
    bool pretty;
} MonProps;

static const OptDesc mon_props[] = { { .name = "chardev",
                                       .type = OPT_STRING,
                                       .offset = offsetof(MonProps, chardev),
                                       .help = "id of a -chardev" },
                                     { .name = "mode",
                                       .type = OPT_ENUM,
                                       .offset = offsetof(MonProps, mode),
                                       .def = MONITOR_READLINE,
                                       .names = mode_names,
                                       .help = "control: QMP; readline: for people" },
                                     { .name = "pretty",
                                       .type = OPT_BOOL,
                                       .offset = offsetof(MonProps, pretty),
                                       .help = "QMP over several lines" },
                                     { .type = OPT_END } };

static bool add_port(System *sys, Chardev *chardev, MonitorMode mode, bool pretty, GError **errp)
{
    Port *port;

    if (mode == MONITOR_READLINE && !sys->registry->hmp) {
        return error_set(errp, "this program was built without a monitor for people");
    }
    if (chardev->used) {
        return error_set(errp, "Chardev '%s' is in use already", chardev->id);
    }
    chardev->used = true;
    port = g_new0(Port, 1);
    port->sys = sys;
    port->chardev = chardev;
    port->mode = mode;
    port->pretty = pretty;
    port->listener.fd = port->in = port->out = -1;
    g_ptr_array_add(monitors_of(sys)->ports, port);
    return true;
}

static bool add_mon(System *sys, const char *text, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(text, "chardev", errp);
    MonProps props = { 0 };
    Chardev *chardev;
    bool ok;

    if (!opts) {
        return false;
    }
    opt_fields_default(mon_props, &props);
    ok = opt_fields_set(mon_props, &props, opts, errp) &&
         opts_check_used(opts, "Invalid parameter '%s'", errp);
    if (ok && !props.chardev) {
        ok = error_set(errp, "Parameter 'chardev' is missing");
    }
    chardev = ok ? chardev_find(sys->chardevs, props.chardev) : NULL;
    if (ok && !chardev) {
        ok = error_set(errp, "Chardev '%s' not found", props.chardev);
    }
    ok = ok && add_port(sys, chardev, props.mode, props.pretty, errp);
    opt_fields_clear(mon_props, &props);
    return ok;
}

static bool add_named(System *sys, const char *text, MonitorMode mode, bool pretty, GError **errp)
{
    g_autofree char *id = NULL;
    Chardev *chardev;

    if (strcmp(text, "none") == 0) {
        return true;
    }
    id = g_strdup_printf("compat_monitor%u", monitors_of(sys)->unnamed++);
    chardev = chardev_named(sys, text, id, errp);
    return chardev && add_port(sys, chardev, mode, pretty, errp);
}

static bool monitors_add(System *sys, const OptionItem *item, GError **errp)
{
    if (strcmp(item->desc->name, "mon") == 0) {
        return add_mon(sys, item->value, errp);
    }
    return add_named(sys, item->value,
                     strcmp(item->desc->name, "monitor") ? MONITOR_CONTROL : MONITOR_READLINE,
                     strcmp(item->desc->name, "qmp-pretty") == 0, errp);
}

/* --- clients --- */

static void client_came(void *opaque, int fd)
{
    Port *port = opaque;

    port->came = true;
    monitor_session_open(port->session, fd, fd, true);
}

static void client_left(void *opaque)
{
    Port *port = opaque;

    if (port->listener.fd >= 0) {
        listener_accept(&port->listener, client_came, port);
    }
}

static bool open_fd(Port *port, GError **errp)
{
    int fd = socket_fd_check(port->chardev->fd, &port->chardev->fd_listens, errp);

    if (fd < 0) {
        return false;
    }
    if (port->chardev->fd_listens) {
        listener_take(&port->listener, fd);
    } else {
        port->in = port->out = fd;
        port->owned = true;
    }
    return true;
}

static bool open_socket(Port *port, GError **errp)
{
    if (port->chardev->fd) {
        return open_fd(port, errp);
    }
    if (port->chardev->server) {
        if (!listener_open(&port->listener, port->chardev->path, errp)) {
            return false;
        }
        sandbox_need_removal(&port->sys->needs, port->listener.path);
        return true;
    }
    port->in = port->out = socket_connect(port->chardev->path, errp);
    port->owned = true;
    return port->in >= 0;
}

static bool open_port(Port *port, GError **errp)
{
    switch (port->chardev->kind) {
    case CHARDEV_SOCKET:
        return open_socket(port, errp);
    case CHARDEV_STDIO:
        port->in = STDIN_FILENO;
        port->out = STDOUT_FILENO;
        return true;
    case CHARDEV_NULL:
        return true;
    }
    g_assert_not_reached();
}

static void idle(void *opaque)
{
    system_check_over(opaque);
}

static bool monitors_prepare(System *sys, GError **errp)
{
    Monitors *monitors = sys->monitors;
    MonitorConfig config = {
        .program = sys->registry->program,
        .version = sys->registry->version,
        .schema = sys->registry->qmp,
        .hmp = sys->registry->hmp,
        .devices = sys->devices,
        .blocks = sys->blocks,
        .fds = sys->fds,
        .idle = idle,
        .opaque = sys,
    };

    if (!monitors) {
        return true;
    }
    sandbox_need(&sys->needs, &monitor_sandbox);
    sandbox_need(&sys->needs, &listener_sandbox); /* an object may come with one */
    monitors->monitor = monitor_new(&config);
    monitors->monitor->name = g_strdup(sys->name);
    if (!sys->machine->board) { /* which can't be stopped */
        monitor_watch(monitors->monitor);
    }
    for (unsigned i = 0; i < monitors->ports->len; i++) {
        Port *port = g_ptr_array_index(monitors->ports, i);

        port->session = monitor_session_new(monitors->monitor, port->chardev->id, port->mode,
                                            port->pretty, client_left, port);
        if (!open_port(port, errp)) {
            return false;
        }
    }
    return true;
}

/* A signal, or a command of another monitor, may end the wait. */
static void wait_for_client(System *sys, const Port *port)
{
    const Chardev *chardev = port->chardev;

    if (!chardev->server || !chardev->wait || port->came) {
        return;
    }
    log_line(NULL, "waiting for connection on: %s", chardev->path);
    while (!port->came && !sys->over) {
        g_main_context_iteration(NULL, TRUE);
    }
}

static void monitors_serve(System *sys)
{
    Monitors *monitors = sys->monitors;

    for (unsigned i = 0; monitors && i < monitors->ports->len; i++) {
        Port *port = g_ptr_array_index(monitors->ports, i);

        if (port->in >= 0) {
            monitor_session_open(port->session, port->in, port->out, port->owned);
        }
        client_left(port);
    }
    for (unsigned i = 0; monitors && i < monitors->ports->len; i++) {
        wait_for_client(sys, g_ptr_array_index(monitors->ports, i));
    }
}

/* --- the process --- */

static void monitors_end(System *sys, bool guest, const char *reason)
{
    Monitors *monitors = sys->monitors;

    if (monitors) {
        monitor_end(monitors->monitor);
        monitor_event(monitors->monitor, "SHUTDOWN",
                      json_pack("{s:b, s:s}", "guest", guest, "reason", reason));
    }
}

static void monitors_client_gone(System *sys, const Object *obj)
{
    if (sys->monitors) {
        qmp_client_gone(sys->monitors->monitor, obj);
    }
}

static bool monitors_busy(const System *sys)
{
    return sys->monitors && !monitor_is_idle(sys->monitors->monitor);
}

static void monitors_destroy(System *sys)
{
    Monitors *monitors = sys->monitors;

    if (!monitors) {
        return;
    }
    if (monitors->monitor) {
        monitor_free(monitors->monitor);
    }
    g_ptr_array_unref(monitors->ports);
    g_free(monitors);
    sys->monitors = NULL;
}

static char *monitors_reference(const Registry *registry)
{
    return qmp_reference(&registry->qmp);
}

const MonitorType monitor_type = {
    .add = monitors_add,
    .prepare = monitors_prepare,
    .serve = monitors_serve,
    .end = monitors_end,
    .client_gone = monitors_client_gone,
    .busy = monitors_busy,
    .destroy = monitors_destroy,
    .reference = monitors_reference,
};
