/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of the stock QEMU, as far as there is a use for it here.
 *
 * One table says everything about an option: its name, its argument, its help, when it is acted
 * on and by whom. -help and the parser read it, and so does the test that holds the man page to
 * it. An option that isn't in it is an error. A few that launchers pass to every QEMU and that ask
 * for nothing here are taken silently; what they could ask for beyond that ("-vga std") is an
 * error as well, since a launcher that asks for a display wants to know that there is none.
 *
 * A program that has a machine of its own has some options more, and some that mean something
 * there where a remote process takes them silently: rows of the same name, with the programs that
 * they are for. What such options say is looked at when the board is made (system/board.c).
 *
 * Parsing only sorts argv: whatever has a value is looked at in its stage, by system/startup.c.
 * Both -OPTION and --OPTION are taken, as by QEMU, and the argument is the next word; or, as helper
 * daemons have it, what is behind the '=' of --OPTION=ARGUMENT.
 */
#include "system/options.h"
#include "system/help.h"
#include "system/monitors.h"
#include "util/error.h"
#include "util/log.h"
#include "util/trace.h"
#include <string.h>
#include <sys/prctl.h>

/* clang-format off */
const OptionDesc options[] = {
    { .name = "help", .alias = "h", .show = help_usage,
      .help = "display this help and exit" },
    { .name = "version", .show = help_version,
      .help = "display version information and exit" },
    { .name = "print-capabilities", .show = help_capabilities,
      .help = "describe this program as JSON, for launchers, and exit" },
    { .name = "machine", .alias = "M", .arg = "[type=]name[,prop=value...]",
      .stage = OPTION_MACHINE, .handle = option_machine, .show = help_machine,
      .help = "selects the machine ('-machine help' for list)\n"
              "chardev=id serves the only PCI device on a -chardev" },
    { .name = "preload", .arg = "module[,module...]",
      .stage = OPTION_SETTING, .handle = option_preload, .show = help_preload,
      .help = "loads modules that are to be used later ('-preload help' for list)" },
    { .name = "device", .arg = "driver[,prop=value...]",
      .stage = OPTION_DEVICE, .handle = option_device, .show = help_device,
      .help = "adds a device; key=value or JSON\n"
              "'-device help' lists drivers, '-device driver,help' properties" },
    { .name = "drive", .arg = "if=none,id=name,file=file[,format=f][,cache=c][,aio=a]...",
      .stage = OPTION_DRIVE, .handle = option_drive,
      .help = "opens a disk image for a device's drive=name" },
    { .name = "blockdev", .arg = "[driver=]driver,node-name=name[,prop=value...]",
      .stage = OPTION_BLOCKDEV, .handle = option_blockdev,
      .help = "opens a block node; key=value or JSON" },
    { .name = "object", .arg = "type,id=name[,prop=value...]",
      .stage = OPTION_OBJECT, .handle = option_object, .handle_early = option_object_early,
      .show = help_object,
      .help = "creates an object; key=value or JSON\n"
              "'-object help' lists types, '-object type,help' properties" },
    { .name = "chardev", .arg = "backend,id=name[,fd=number][,path=path[,server=on][,wait=off]]",
      .stage = OPTION_CHARDEV, .handle = option_chardev, .show = help_chardev,
      .help = "names a socket, for '-machine x-remote,chardev=name' (inherited) or a monitor\n"
              "'-chardev help' lists backends" },
    { .name = "qmp", .arg = "unix:path[,server=on][,wait=off]|fd:number|chardev:id|stdio|none",
      .use = OPTION_MONITOR, .stage = OPTION_MON, .handle = option_monitor, .show = help_qmp,
      .help = "serves QMP; may be given several times\n"
              "'-qmp help' prints the reference" },
    { .name = "qmp-pretty", .arg = "...", .use = OPTION_MONITOR,
      .stage = OPTION_MON, .handle = option_monitor, .show = help_qmp,
      .help = "the same, with indentation" },
    { .name = "mon", .arg = "[chardev=]id[,mode=control|readline][,pretty=on|off]",
      .use = OPTION_MONITOR, .stage = OPTION_MON, .handle = option_monitor,
      .help = "puts a monitor on a -chardev: QMP (control) or one for people (readline)" },
    { .name = "monitor", .arg = "unix:path[,server=on][,wait=off]|fd:number|chardev:id|stdio|none",
      .use = OPTION_MONITOR, .stage = OPTION_MON, .handle = option_monitor,
      .help = "a monitor for people (default: none)" },
    { .name = "name", .arg = "[guest=]string[,process=string][,debug-threads=on|off]",
      .stage = OPTION_SETTING, .handle = option_name,
      .help = "names the guest and the process; threads have names in any case" },
    { .name = "add-fd", .arg = "fd=number,set=number[,opaque=text]",
      .stage = OPTION_SETTING, .handle = option_add_fd, .handle_early = option_add_fd_done,
      .help = "puts an inherited descriptor into a set: the file name /dev/fdset/number" },
    { .name = "fd", .arg = "number", .use = OPTION_NO_BOARD,
      .stage = OPTION_SETTING, .handle = option_fd,
      .help = "serves the only PCI device on an inherited socket, without an -object:\n"
              "vfio-user with -machine x-remote,vfio-user=on, else mpqemu" },
    { .name = "socket-path", .arg = "path", .use = OPTION_NO_BOARD,
      .stage = OPTION_SETTING, .handle = option_socket_path,
      .help = "the same on a socket that is made at path" },
    { .name = "daemonize",
      .stage = OPTION_SETTING, .handle = option_daemonize,
      .help = "goes to the background when the process serves" },
    { .name = "sandbox", .arg = "on|off|log[,obsolete=...]...",
      .stage = OPTION_SETTING, .handle = option_sandbox, .last_wins = true,
      .help = "what the process gives up when it is set up (default: on): system calls that\n"
              "nothing here needs, files, capabilities, core dumps; log: names such system\n"
              "calls in the kernel's log, and lets them through" },
    { .name = "run-with", .arg = "[user=name|name:group|uid:gid][,chroot=dir]",
      .stage = OPTION_SETTING, .handle = option_run_with,
      .help = "the user and root folder to serve with, when everything is opened" },
    { .name = "runas", .arg = "name|name:group|uid:gid",
      .stage = OPTION_SETTING, .handle = option_runas,
      .help = "the same as -run-with user=" },
    { .name = "chroot", .arg = "dir",
      .stage = OPTION_SETTING, .handle = option_chroot,
      .help = "the same as -run-with chroot=" },
    { .name = "pidfile", .arg = "file",
      .stage = OPTION_PIDFILE, .handle = option_pidfile, .last_wins = true,
      .help = "writes the process id to file when the process is ready" },
    { .name = "D", .arg = "file",
      .stage = OPTION_LOGFILE, .handle = option_logfile, .last_wins = true,
      .help = "writes the log to file (default: stderr)" },
    { .name = "d", .arg = "group[,group...]",
      .stage = OPTION_SETTING, .handle = option_trace_groups, .show = help_trace,
      .help = "enables trace groups ('-d help' for list)" },
    { .name = "trace", .arg = "[enable=]pattern",
      .stage = OPTION_SETTING, .handle = option_trace, .show = help_trace,
      .help = "enables the trace groups that match pattern" },

    { .name = "accel", .arg = "name[,prop=value...]", .use = OPTION_BOARD,
      .stage = OPTION_SETTING, .handle = option_board, .show = help_accel,
      .help = "selects what drives the machine ('-accel help' for list)\n"
              "of several the first one that works" },
    { .name = "enable-kvm", .use = OPTION_BOARD,
      .stage = OPTION_SETTING, .handle = option_board,
      .help = "the same as -accel kvm" },
    { .name = "m", .arg = "[size=]megs", .use = OPTION_BOARD,
      .stage = OPTION_SETTING, .handle = option_board,
      .help = "sets the guest's memory (default: 128 MiB)" },
    { .name = "kernel", .arg = "file", .use = OPTION_BOARD,
      .stage = OPTION_SETTING, .handle = option_board,
      .help = "starts the guest at this ELF file: PVH or multiboot" },
    { .name = "append", .arg = "string", .use = OPTION_BOARD,
      .stage = OPTION_SETTING, .handle = option_board,
      .help = "the kernel's command line" },
    { .name = "serial", .arg = "stdio|file:path|unix:path|chardev:id|null|none",
      .use = OPTION_BOARD, .stage = OPTION_SETTING, .handle = option_board,
      .help = "the serial port's other end (default: none)" },
    { .name = "debugcon", .arg = "stdio|file:path|unix:path|chardev:id|null|none",
      .use = OPTION_BOARD, .stage = OPTION_SETTING, .handle = option_board,
      .help = "where output to port 0xe9 goes (default: none)" },
    { .name = "qtest", .arg = "unix:path[,server=on][,wait=off]|fd:number|[chardev:]id",
      .use = OPTION_BOARD, .stage = OPTION_SETTING, .handle = option_board,
      .help = "the socket of the test that drives the machine, see -accel qtest" },
    { .name = "qtest-log", .arg = "/dev/stderr|/dev/fd/2|/dev/null|none",
      .use = OPTION_BOARD, .stage = OPTION_SETTING, .handle = option_board,
      .help = "shows the test's conversation (default: none)" },
    { .name = "S", .use = OPTION_BOARD, .stage = OPTION_SETTING, .handle = option_board,
      .help = "does not start the CPU; a test drives the machine all the same" },

    { .name = "nodefaults", .help = "there are no default devices here" },
    { .name = "no-user-config", .help = "there are no configuration files here" },
    { .name = "no-reboot", .use = OPTION_BOARD, .help = "the process ends with the guest's reset" },
    { .name = "nographic", .help = "there is no display here" },
    { .name = "display", .arg = "none", .handle = option_none,
      .help = "there is no display here" },
    { .name = "serial", .arg = "none", .use = OPTION_NO_BOARD, .handle = option_none,
      .help = "there is no serial port here" },
    { .name = "monitor", .arg = "none", .use = OPTION_NO_MONITOR, .handle = option_none,
      .help = "there is no monitor here" },
    { .name = "net", .arg = "none", .use = OPTION_BOARD, .handle = option_none,
      .help = "there is no network here" },
    { .name = "nic", .arg = "none", .use = OPTION_BOARD, .handle = option_none,
      .help = "there is no network here" },
    { .name = "vga", .arg = "none", .handle = option_none,
      .help = "there is no display adapter here" },
    { .name = "m", .arg = "[size=]megs", .use = OPTION_NO_BOARD, .handle = option_memory,
      .help = "guest memory comes over the socket" },
    { .name = NULL }
};
/* clang-format on */

bool option_applies(const OptionDesc *desc, const Registry *registry)
{
    switch (desc->use) {
    case OPTION_BOARD:
    case OPTION_NO_BOARD:
        return (desc->use == OPTION_BOARD) == registry_has_board(registry);
    case OPTION_MONITOR:
    case OPTION_NO_MONITOR:
        return (desc->use == OPTION_MONITOR) == (registry->monitor != NULL);
    default:
        return true;
    }
}

static const OptionDesc *option_find(const Registry *registry, const char *name)
{
    for (const OptionDesc *desc = options; desc->name; desc++) {
        bool named = strcmp(desc->name, name) == 0 || g_strcmp0(desc->alias, name) == 0;
        if (named && option_applies(desc, registry)) {
            return desc;
        }
    }
    return NULL;
}

char *option_text(const OptionItem *item)
{
    if (strchr(item->name, '=')) {
        return g_strdup(item->name);
    }
    return item->value ? g_strdup_printf("%s %s", item->name, item->value) : g_strdup(item->name);
}

/* Takes one option at argv[i]. Returns how many words it has, or 0 and an error. */
static int parse_one(const Registry *registry, GPtrArray *items, char **argv, GError **errp)
{
    const char *word = argv[0];

    if (word[0] != '-') {
        error_set(errp, "%s: there is no disk_image argument, only options", word);
        return 0;
    }
    const char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
    g_autofree char *name = g_strndup(word, equals ? (size_t)(equals - word) : strlen(word));
    const OptionDesc *desc = option_find(registry, name + (word[1] == '-' ? 2 : 1));
    if (!desc || (equals && !desc->arg)) {
        error_set(errp, "%s: invalid option", word);
        return 0;
    }
    if (desc->arg && !equals && !argv[1]) {
        error_set(errp, "%s: requires an argument", word);
        return 0;
    }
    OptionItem *item = g_new0(OptionItem, 1);
    item->desc = desc;
    item->name = word;
    item->value = !desc->arg ? NULL : equals ? equals + 1 : argv[1];
    g_ptr_array_add(items, item);
    return desc->arg && !equals ? 2 : 1;
}

GPtrArray *options_parse(const Registry *registry, int argc, char **argv, GError **errp)
{
    GPtrArray *items = g_ptr_array_new_with_free_func(g_free);

    for (int i = 1; i < argc;) {
        int words = parse_one(registry, items, argv + i, errp);
        if (!words) {
            g_ptr_array_free(items, TRUE);
            return NULL;
        }
        i += words;
    }
    return items;
}

bool option_none(System *sys G_GNUC_UNUSED, const OptionItem *item, GError **errp)
{
    return strcmp(item->value, "none") == 0 ||
           error_set(errp, "only 'none' is possible: %s", item->desc->help);
}

bool option_board(System *sys, const OptionItem *item, GError **errp G_GNUC_UNUSED)
{
    g_ptr_array_add(sys->board_items, (void *)item);
    return true;
}

bool option_monitor(System *sys, const OptionItem *item, GError **errp)
{
    return sys->registry->monitor->add(sys, item, errp);
}

bool option_memory(System *sys G_GNUC_UNUSED, const OptionItem *item, GError **errp)
{
    uint64_t bytes;
    g_autoptr(Opts) opts = opts_parse(item->value, "size", errp);

    if (!opts) {
        return false;
    }
    const char *size = opts_get(opts, "size");
    return (!size || opt_parse_size("size", size, &bytes, errp)) &&
           opts_check_used(opts, "Invalid parameter '%s'", errp);
}

bool option_name(System *sys, const OptionItem *item, GError **errp)
{
    bool named = true;
    g_autoptr(Opts) opts = opts_parse(item->value, "guest", errp);

    if (!opts) {
        return false;
    }
    g_free(sys->name);
    sys->name = g_strdup(opts_get(opts, "guest"));
    const char *process = opts_get(opts, "process");
    const char *threads = opts_get(opts, "debug-threads");
    if ((threads && !opt_parse_bool("debug-threads", threads, &named, errp)) ||
        !opts_check_used(opts, "Invalid parameter '%s'", errp)) {
        return false;
    }
    if (process) {
        prctl(PR_SET_NAME, process);
    }
    return true;
}

/* What the stock QEMU calls guest_errors and unimp is logged here always, at a limited rate. */
bool option_trace_groups(System *sys G_GNUC_UNUSED, const OptionItem *item, GError **errp)
{
    static const char *const always[] = { "guest_errors", "unimp", NULL };
    g_auto(GStrv) groups = g_strsplit(item->value, ",", -1);

    for (unsigned i = 0; groups[i]; i++) {
        if (!g_strv_contains(always, groups[i]) && !trace_enable(groups[i], errp)) {
            return false;
        }
    }
    return true;
}

bool option_trace(System *sys G_GNUC_UNUSED, const OptionItem *item, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(item->value, "enable", errp);

    if (!opts) {
        return false;
    }
    const char *pattern = opts_get(opts, "enable");
    return opts_check_used(opts, "Invalid parameter '%s'", errp) &&
           (!pattern || trace_enable(pattern, errp));
}

bool option_fd(System *sys, const OptionItem *item, GError **errp)
{
    g_autofree char *origin = option_text(item);

    return convention_set(&sys->convention, origin, item->value, NULL, errp);
}

bool option_socket_path(System *sys, const OptionItem *item, GError **errp)
{
    g_autofree char *origin = option_text(item);

    return convention_set(&sys->convention, origin, NULL, item->value, errp);
}

bool option_daemonize(System *sys, const OptionItem *item G_GNUC_UNUSED,
                      GError **errp G_GNUC_UNUSED)
{
    sys->daemonize = true;
    return true;
}

bool option_sandbox(System *sys, const OptionItem *item, GError **errp)
{
    return sandbox_mode_parse(item->value, &sys->sandbox_mode, errp);
}

bool option_runas(System *sys, const OptionItem *item, GError **errp)
{
    return privileges_set_user(&sys->privileges, item->value, errp);
}

bool option_chroot(System *sys, const OptionItem *item, GError **errp)
{
    return privileges_set_chroot(&sys->privileges, item->value, errp);
}

/* There is no guest memory here whose release could take long: async-teardown has nothing to do. */
bool option_run_with(System *sys, const OptionItem *item, GError **errp)
{
    bool teardown;
    g_autoptr(Opts) opts = opts_parse(item->value, NULL, errp);

    if (!opts) {
        return false;
    }
    const char *user = opts_get(opts, "user");
    const char *folder = opts_get(opts, "chroot");
    const char *async = opts_get(opts, "async-teardown");
    return (!async || opt_parse_bool("async-teardown", async, &teardown, errp)) &&
           opts_check_used(opts, "Invalid parameter '%s'", errp) &&
           (!user || privileges_set_user(&sys->privileges, user, errp)) &&
           (!folder || privileges_set_chroot(&sys->privileges, folder, errp));
}

bool option_logfile(System *sys G_GNUC_UNUSED, const OptionItem *item, GError **errp)
{
    return log_set_file(item->value, errp);
}

bool option_pidfile(System *sys, const OptionItem *item, GError **errp)
{
    if (!pidfile_create(&sys->pidfile, item->value, errp)) {
        return false;
    }
    sandbox_need_removal(&sys->needs, sys->pidfile.path);
    return true;
}
