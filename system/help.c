/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Help output, in the shape that the stock QEMU's has, since launchers read some of it to find out
 * what a binary can do ("-machine help", "-device help", "-device TYPE,help"). All of it comes from
 * the tables that the program works with: the options, the registry, the properties of a type.
 *
 * Main thread; nothing has been opened yet, and the process ends afterwards.
 */
#include "system/help.h"
#include "accel/accel.h"
#include "system/monitors.h"
#include "system/options.h"
#include "util/trace.h"
#include <stdio.h>
#include <string.h>

#define USAGE_COLUMN 16

static void print_option(const OptionDesc *desc)
{
    g_autofree char *alias = desc->alias ? g_strdup_printf("-%s or ", desc->alias) : g_strdup("");
    /* The list ends at an argument that is NULL. */
    g_autofree char *left =
        g_strconcat(alias, "-", desc->name, desc->arg ? " " : "", desc->arg, NULL);
    g_auto(GStrv) lines = g_strsplit(desc->help, "\n", -1);
    bool fits = strlen(left) < USAGE_COLUMN;

    printf(fits ? "%-*s" : "%-*s\n", fits ? USAGE_COLUMN : 0, left);
    for (unsigned i = 0; lines[i]; i++) {
        printf("%*s%s\n", i == 0 && fits ? 0 : USAGE_COLUMN, "", lines[i]);
    }
}

/* silent: those taken for the sake of launchers, of which nothing comes. */
static void print_options(const Registry *registry, bool silent)
{
    for (const OptionDesc *desc = options; desc->name; desc++) {
        bool is_silent = desc->stage == OPTION_CHECK && !desc->show;
        if (option_applies(desc, registry) && is_silent == silent) {
            print_option(desc);
        }
    }
}

bool help_usage(const Registry *registry, const char *value)
{
    help_version(registry, value);
    printf("usage: %s [options]\n\n"
           "%s.\n\n",
           registry->program,
           registry_has_board(registry) ? "Runs a small machine, or serves devices of one"
                                        : "Serves emulated devices to another QEMU, over a socket");
    print_options(registry, false);
    printf("\nTaken and without effect:\n");
    print_options(registry, true);
    return true;
}

bool help_version(const Registry *registry, const char *value G_GNUC_UNUSED)
{
    printf("%s version %s (%s)\n", registry->program, registry->version, registry->profile);
    return true;
}

static bool is_help(const char *text)
{
    return strcmp(text, "help") == 0 || strcmp(text, "?") == 0;
}

/* The type's name in "TYPE,help" or its JSON, or NULL if value doesn't ask for that. */
static char *type_to_explain(const char *value, const char *implied)
{
    g_autoptr(Opts) opts = opts_parse(value, implied, NULL);

    if (!opts || (!opts_peek(opts, "help") && !opts_peek(opts, "?"))) {
        return NULL;
    }
    return g_strdup(opts_peek(opts, implied));
}

static char *default_text(const OptDesc *desc)
{
    switch (desc->type) {
    case OPT_STRING:
        return g_strdup(desc->def_str);
    case OPT_BOOL:
        return g_strdup(desc->def ? "on" : "off");
    case OPT_TRI:
        return g_strdup(desc->def < 0 ? "auto" : desc->def ? "on" : "off");
    case OPT_ENUM:
        return g_strdup(desc->def < 0 ? NULL : desc->names[desc->def]);
    default:
        return g_strdup_printf("%" G_GINT64_FORMAT, desc->def);
    }
}

static void print_props(const char *type, const OptDesc *props)
{
    printf("%s options:\n", type);
    for (const OptDesc *desc = props; desc->type != OPT_END; desc++) {
        g_autofree char *left = g_strdup_printf("%s=<%s>", desc->name, opt_type_name(desc));
        g_autofree char *def = default_text(desc);

        printf("  %-22s - %s", left, desc->help ? desc->help : "");
        if (def) {
            printf(" (default: %s)", def);
        }
        printf("\n");
    }
}

bool help_machine(const Registry *registry, const char *value)
{
    g_autofree char *name = type_to_explain(value, "type");

    if (is_help(value)) {
        printf("Supported machines are:\n");
    }
    for (unsigned i = 0; registry->machines[i]; i++) {
        const MachineType *type = registry->machines[i];
        bool named = name && (strcmp(name, type->name) == 0 ||
                              (type->alias && strcmp(name, type->alias) == 0));
        if (is_help(value)) {
            if (type->alias) {
                printf("%-20s %s (alias of %s)\n", type->alias, type->desc, type->name);
            }
            printf("%-20s %s%s\n", type->name, type->desc, i == 0 ? " (default)" : "");
        } else if (named) {
            print_props(type->name, type->props);
            return true;
        }
    }
    return is_help(value);
}

bool help_accel(const Registry *registry, const char *value)
{
    if (!is_help(value)) {
        return false;
    }
    printf("Accelerators supported in QEMU binary:\n");
    for (unsigned i = 0; registry->accels[i]; i++) {
        printf("%s\n", registry->accels[i]->name);
    }
    return true;
}

static void print_device(const DeviceType *type)
{
    printf("name \"%s\", bus %s", type->name, type->bus_kind);
    if (type->alias) {
        printf(", alias \"%s\"", type->alias);
    }
    if (type->desc) {
        printf(", desc \"%s\"", type->desc);
    }
    printf("\n");
}

bool help_device(const Registry *registry, const char *value)
{
    g_autofree char *name = type_to_explain(value, "driver");

    for (unsigned i = 0; registry->devices[i]; i++) {
        const DeviceType *type = registry->devices[i];
        if (is_help(value)) {
            print_device(type);
        } else if (name && (strcmp(name, type->name) == 0 ||
                            (type->alias && strcmp(name, type->alias) == 0))) {
            print_props(type->name, type->props);
            return true;
        }
    }
    return is_help(value);
}

bool help_object(const Registry *registry, const char *value)
{
    g_autofree char *name = type_to_explain(value, "qom-type");

    if (is_help(value)) {
        printf("List of user creatable objects:\n");
    }
    for (unsigned i = 0; registry->objects[i]; i++) {
        const ObjectType *type = registry->objects[i];
        if (is_help(value)) {
            printf("  %s\n", type->name);
        } else if (name && strcmp(name, type->name) == 0) {
            print_props(type->name, type->props);
            return true;
        }
    }
    return is_help(value);
}

bool help_preload(const Registry *registry, const char *value)
{
    if (!is_help(value)) {
        return false;
    }
    printf("Modules, if they are installed:\n");
    for (const ModuleDesc *desc = registry->modules; desc->name; desc++) {
        printf("%-8s %s\n", desc->name, desc->help);
    }
    return true;
}

bool help_chardev(const Registry *registry, const char *value)
{
    if (is_help(value)) {
        printf("Available chardev backend types:\n  socket\n");
        if (registry->monitor) {
            printf("  stdio\n  null\n");
        }
    }
    return is_help(value);
}

bool help_trace(const Registry *registry G_GNUC_UNUSED, const char *value)
{
    if (!is_help(value)) {
        return false;
    }
    printf("Trace groups (comma separated, '*' and '?' match):\n");
    for (unsigned i = 0; i < TRACE_GROUPS; i++) {
        printf("%s\n", trace_group_name(i));
    }
    return true;
}

bool help_qmp(const Registry *registry, const char *value)
{
    if (is_help(value)) {
        g_autofree char *text = registry->monitor->reference(registry);
        printf("%s", text);
    }
    return is_help(value);
}
