/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -machine: finds the type by name or alias and stores its properties. Without the option the
 * registry's first type is the machine. Several -machine options add up, the last value of each
 * property counts, as with the stock QEMU; one that names another type begins anew.
 *
 * Main thread, at start.
 */
#include "system/machine.h"
#include "system/options.h"
#include "util/error.h"
#include <string.h>

static const MachineType *machine_find(const Registry *registry, const char *name)
{
    for (unsigned i = 0; registry->machines[i]; i++) {
        const MachineType *type = registry->machines[i];
        if (strcmp(type->name, name) == 0 || (type->alias && strcmp(type->alias, name) == 0)) {
            return type;
        }
    }
    return NULL;
}

void machine_choose(System *sys, const MachineType *type)
{
    if (sys->machine == type) {
        return;
    }
    machine_clear(sys);
    sys->machine = type;
    sys->machine_state = g_malloc0(type->size);
    opt_fields_default(type->props, sys->machine_state);
}

void machine_clear(System *sys)
{
    if (sys->machine) {
        opt_fields_clear(sys->machine->props, sys->machine_state);
    }
    g_free(sys->machine_state);
    g_free(sys->machine_origin);
    sys->machine = NULL;
    sys->machine_state = NULL;
    sys->machine_origin = NULL;
}

bool option_machine(System *sys, const OptionItem *item, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(item->value, "type", errp);

    if (!opts) {
        return false;
    }
    const char *name = opts_get(opts, "type");
    const MachineType *type = name ? machine_find(sys->registry, name) : NULL;
    if (name && !type) {
        return error_set(errp, "unsupported machine type '%s' (use -machine help to list them)",
                         name);
    }
    if (type) {
        machine_choose(sys, type);
    }
    g_autofree char *unknown =
        g_strdup_printf("Property '%s-machine.%%s' not found", sys->machine->name);
    g_free(sys->machine_origin);
    sys->machine_origin = option_text(item);
    return opt_fields_set(sys->machine->props, sys->machine_state, opts, errp) &&
           opts_check_used(opts, unknown, errp);
}
