/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the command line to a process that serves, in this order:
 *
 *   parse ─► help, if anything asks for it ─► settings, modules, chardevs, machine ─► objects that
 *   block nodes refer to ─► block nodes ─► devices ─► other objects ─► sockets, the board, log and
 *   pid file ─► no modules from here on ─► sandbox ─► threads ─► filter ─► serve
 *
 * The order of kinds is fixed, as in QEMU, so that the command line may have them in any. An error
 * ends the process with one sentence, and what was done up to there is undone: up to "objects"
 * things are only looked at (images are opened, not written), and what leaves a trace outside
 * comes after that. When everything that has a name is open the process gives up what it had for
 * opening it: user, root folder, capabilities, files; and when its threads are there, all system
 * calls but the declared ones. No byte of a peer has been read by then.
 *
 * The main thread then runs a GMainLoop: listeners, signals (signals.c), and the message of each
 * connection that has ended.
 */
#include "monitor/fds.h"
#include "system/board.h"
#include "system/chardev.h"
#include "system/machine.h"
#include "system/modules.h"
#include "system/monitors.h"
#include "system/options.h"
#include "system/system.h"
#include "util/error.h"

#define EXIT_VIOLATION 2 /* docs/man has them all */
/* Files that a monitor adds beyond these use threads. Some 20 KiB each. */
#define SPARE_FILES 4

static bool is_over(const System *sys)
{
    const MonitorType *monitor = sys->registry->monitor;

    return sys->over && !sys->board_live && sys->objects->live == 0 &&
           !(monitor && monitor->busy(sys));
}

void system_check_over(System *sys)
{
    if (is_over(sys)) {
        g_main_loop_quit(sys->main_loop);
    }
}

/* From here on there is no way back. */
static void begin_end(System *sys, bool guest, const char *reason)
{
    if (!sys->over && sys->registry->monitor) {
        sys->registry->monitor->end(sys, guest, reason);
    }
    sys->over = true;
}

/* Objects beside a board live as long as that does, if they don't end before. */
static void all_objects_ended(void *opaque)
{
    System *sys = opaque;

    if (!sys->board_live) {
        begin_end(sys, true, "guest-shutdown");
    }
    system_check_over(sys);
}

static void client_gone(void *opaque, Object *obj)
{
    System *sys = opaque;

    if (sys->registry->monitor) {
        sys->registry->monitor->client_gone(sys, obj);
    }
}

static const ObjectSetOps object_set_ops = {
    .all_ended = all_objects_ended,
    .client_gone = client_gone,
};

static void board_ended(void *opaque, int status)
{
    System *sys = opaque;

    sys->board_live = false;
    sys->status = status;
    begin_end(sys, true, "guest-shutdown");
    object_set_stop(sys->objects);
    system_check_over(sys);
}

void system_end(System *sys, const char *reason)
{
    if (sys->over) {
        return;
    }
    begin_end(sys, false, reason);
    if (sys->board_live) {
        sys->machine->board->stop(sys->board);
    } else {
        object_set_stop(sys->objects);
    }
    system_check_over(sys);
}

void system_init(System *sys, const Registry *registry)
{
    *sys = (System){ .registry = registry,
                     .pidfile = { .fd = -1 },
                     .daemon = DAEMON_NONE,
                     .sandbox_mode = SANDBOX_AUTO };
    signals_init(&sys->signals);
    sandbox_needs_init(&sys->needs);
    sys->main_loop = g_main_loop_new(NULL, FALSE);
    sys->modules = modules_new(registry);
    sys->blocks = block_graph_new(registry->block_drivers, registry->block_engines);
    block_graph_set_modules(sys->blocks, sys->modules);
    block_graph_set_needs(sys->blocks, &sys->needs);
    sys->fds = monitor_fds_new();
    block_set_opener(sys->blocks, monitor_fds_open, sys->fds);
    sys->devices = device_tree_new(registry->devices, sys->blocks);
    sys->objects =
        object_set_new(registry->objects, sys->devices, &sys->needs, &object_set_ops, sys);
    sys->chardevs = g_ptr_array_new_with_free_func(chardev_free);
    sys->board_items = g_ptr_array_new();
}

bool option_blockdev(System *sys, const OptionItem *item, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(item->value, "driver", errp);

    return opts && block_open(sys->blocks, opts, errp);
}

bool option_drive(System *sys, const OptionItem *item, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(item->value, NULL, errp);

    return opts && block_add_drive(sys->blocks, opts, errp);
}

bool option_device(System *sys, const OptionItem *item, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(item->value, "driver", errp);

    return opts && device_new(sys->devices, opts, errp);
}

static bool make_object(System *sys, const OptionItem *item, bool early, GError **errp)
{
    g_autofree char *origin = option_text(item);
    g_autoptr(Opts) opts = opts_parse(item->value, "qom-type", errp);
    const char *name = opts ? opts_peek(opts, "qom-type") : NULL;
    const ObjectType *type = name ? object_type_find(sys->objects, name) : NULL;

    if (opts && (type && type->early) != early) {
        return true; /* that is the other one's */
    }
    return opts && object_new(sys->objects, opts, NULL, origin, errp);
}

bool option_object_early(System *sys, const OptionItem *item, GError **errp)
{
    return make_object(sys, item, true, errp);
}

bool option_object(System *sys, const OptionItem *item, GError **errp)
{
    return make_object(sys, item, false, errp);
}

static bool is_superseded(const GPtrArray *items, unsigned i)
{
    const OptionItem *item = g_ptr_array_index(items, i);

    for (unsigned k = i + 1; item->desc->last_wins && k < items->len; k++) {
        if (((const OptionItem *)g_ptr_array_index(items, k))->desc == item->desc) {
            return true;
        }
    }
    return false;
}

/* Of a stage; true if there is nothing to do in it. */
static bool handle_item(System *sys, const OptionItem *item, OptionStage stage, GError **errp)
{
    if (stage == OPTION_EARLY && item->desc->handle_early) {
        return item->desc->handle_early(sys, item, errp);
    }
    return item->desc->stage != stage || !item->desc->handle || item->desc->handle(sys, item, errp);
}

/* Acts on the options of stages first to last. */
static bool run_stages(System *sys, const GPtrArray *items, OptionStage first, OptionStage last,
                       GError **errp)
{
    for (OptionStage stage = first; stage <= last; stage++) {
        for (unsigned i = 0; i < items->len; i++) {
            const OptionItem *item = g_ptr_array_index(items, i);
            if (is_superseded(items, i) || handle_item(sys, item, stage, errp)) {
                continue;
            }
            g_autofree char *text = option_text(item);
            g_prefix_error(errp, "%s: ", text);
            return false;
        }
    }
    return true;
}

static bool complete_machine(System *sys, GError **errp)
{
    const MachineWorld world = { .devices = sys->devices,
                                 .objects = sys->objects,
                                 .chardevs = sys->chardevs };

    if (!sys->machine->complete(sys->machine_state, &world, sys->machine_origin, errp)) {
        g_prefix_error(errp, "%s: ", sys->machine_origin);
        return false;
    }
    return true;
}

static void asked_to_end(void *opaque)
{
    system_end(opaque, "host-signal");
}

/* Not on the main thread, which is still to come to its signals_fini(). */
static void give_up(void *opaque)
{
    System *sys = opaque;

    pidfile_remove(&sys->pidfile);
}

static const SignalsOps signals_ops = { .asked = asked_to_end, .give_up = give_up };

/* A machine without a board does something for its objects only. */
static bool check_served(const System *sys, GError **errp)
{
    if (sys->board_items->len > 0) {
        g_autofree char *text = option_text(g_ptr_array_index(sys->board_items, 0));
        return error_set(errp, "%s: nothing of the machine '%s' runs in this process", text,
                         sys->machine->name);
    }
    for (unsigned i = 0; i < sys->objects->objects->len; i++) {
        if (!((const Object *)g_ptr_array_index(sys->objects->objects, i))->type->early) {
            return true;
        }
    }
    return sys->monitors ||
           error_set(errp, "nothing to serve: no -object is given (see -object help)");
}

static bool make_monitors(System *sys, GError **errp)
{
    const MonitorType *type = sys->registry->monitor;

    return !type || type->prepare(sys, errp);
}

static bool make_board(System *sys, GError **errp)
{
    const BoardType *type = sys->machine->board;

    if (type) {
        sys->board = type->create(sys, board_ended, sys, errp);
    }
    return !type || sys->board;
}

static bool confine(System *sys, GError **errp)
{
    if (!privileges_apply(&sys->privileges, errp)) {
        return false;
    }
    if (!sandbox_confine(sys->sandbox_mode, &sys->needs, errp)) {
        g_prefix_error(errp, "sandbox: ");
        return false;
    }
    return true;
}

static bool filter_calls(System *sys, GError **errp)
{
    const Registry *registry = sys->registry;

    if (sys->sandbox_mode == SANDBOX_OFF) {
        return true;
    }
    for (unsigned i = 0; registry->sandbox[i]; i++) {
        if (!registry->sandbox[i]->on_demand) {
            sandbox_need(&sys->needs, registry->sandbox[i]);
        }
    }
    sandbox_log_network(&sys->needs);
    if (!registry->sandbox_filter->install(&sys->needs, sys->sandbox_mode, errp)) {
        g_prefix_error(errp, "sandbox: ");
        return false;
    }
    return true;
}

/* The last things that are opened by name. */
static bool acquire(System *sys, const GPtrArray *items, GError **errp)
{
    if (!signals_catch(&sys->signals, errp) || !object_set_acquire(sys->objects, errp) ||
        !make_monitors(sys, errp) || !make_board(sys, errp) ||
        !run_stages(sys, items, OPTION_LOGFILE, OPTION_PIDFILE, errp)) {
        return false;
    }
    daemon_find_manager(&sys->daemon);
    return true;
}

/* From there to the first thing that a peer can ask for. */
static bool settle_down(System *sys, GError **errp)
{
    if (!confine(sys, errp) || !signals_serve(&sys->signals, &signals_ops, sys, errp)) {
        return false;
    }
    if (sys->monitors && sys->sandbox_mode != SANDBOX_OFF) {
        block_make_spares(sys->blocks, SPARE_FILES);
    }
    if (!object_set_prepare(sys->objects, errp) || !pidfile_write(&sys->pidfile, errp)) {
        return false;
    }
    daemon_detach(&sys->daemon);
    return filter_calls(sys, errp);
}

static bool start(System *sys, const GPtrArray *items, GError **errp)
{
    if (!sys->registry->machines[0]) {
        return error_set(errp, "this program was built without a machine type");
    }
    machine_choose(sys, sys->registry->machines[0]);
    if (!run_stages(sys, items, OPTION_CHECK, OPTION_SETTING, errp)) {
        return false;
    }
    unsigned listen_fds = daemon_listen_fds(); /* for the process that was started */
    if (sys->daemonize && !daemon_fork(&sys->daemon, errp)) {
        return false;
    }
    if (!run_stages(sys, items, OPTION_SETTING + 1, OPTION_OBJECT, errp) ||
        !complete_machine(sys, errp)) {
        return false;
    }
    if (!sys->machine->board &&
        (!convention_apply(&sys->convention, sys->objects, listen_fds, errp) ||
         !check_served(sys, errp))) {
        return false;
    }
    if (!sandbox_mode_settle(&sys->sandbox_mode, sys->registry->sandbox_filter,
                             sys->machine->board != NULL, errp) ||
        (sys->sandbox_mode != SANDBOX_OFF && !block_may_seal(sys->blocks, errp)) ||
        !acquire(sys, items, errp) || !settle_down(sys, errp)) {
        return false;
    }
    module_set_seal(sys->modules);
    daemon_ready(&sys->daemon);
    if (sys->sandbox_mode != SANDBOX_OFF) {
        block_seal(sys->blocks);
        sys->objects->sealed = true;
    }
    sys->board_live = sys->board != NULL;
    if (sys->registry->monitor) {
        sys->registry->monitor->serve(sys);
    }
    object_set_serve(sys->objects);
    if (sys->board) {
        sys->machine->board->start(sys->board);
    }
    return true;
}

static bool show_help(const System *sys, const GPtrArray *items)
{
    for (unsigned i = 0; i < items->len; i++) {
        const OptionItem *item = g_ptr_array_index(items, i);
        if (item->desc->show && item->desc->show(sys->registry, item->value)) {
            return true;
        }
    }
    return false;
}

bool system_start(System *sys, int argc, char **argv, GError **errp)
{
    GPtrArray *items = options_parse(sys->registry, argc, argv, errp);
    bool started;

    if (!items) {
        return false;
    }
    started = !show_help(sys, items) && start(sys, items, errp);
    g_ptr_array_free(items, TRUE);
    return started;
}

int system_run(System *sys)
{
    while (!is_over(sys)) { /* what was dispatched beside the end may have begun something */
        g_main_loop_run(sys->main_loop);
    }
    if (!sys->board && sys->objects->violation) {
        return EXIT_VIOLATION;
    }
    return sys->status;
}

void system_fini(System *sys)
{
    if (sys->board) {
        sys->machine->board->destroy(sys->board);
    }
    if (sys->registry->monitor) {
        sys->registry->monitor->destroy(sys);
    }
    object_set_free(sys->objects);
    device_tree_free(sys->devices);
    block_graph_free(sys->blocks);
    monitor_fds_free(sys->fds);
    module_set_free(sys->modules);
    machine_clear(sys);
    g_ptr_array_free(sys->chardevs, TRUE);
    g_ptr_array_free(sys->board_items, TRUE);
    g_free(sys->name);
    signals_fini(&sys->signals); /* it watched over all that */
    g_main_loop_unref(sys->main_loop);
    pidfile_remove(&sys->pidfile);
    privileges_clear(&sys->privileges);
    convention_clear(&sys->convention);
    daemon_fini(&sys->daemon);
    sandbox_needs_fini(&sys->needs);
}
