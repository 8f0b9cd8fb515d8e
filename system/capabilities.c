/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --print-capabilities: what this program can do, as JSON for launchers and package managers, in
 * the way of the helper daemons of QEMU (docs/interop/vhost-user.rst, "Backend program
 * conventions"): one object on standard output, and status 0.
 *
 *   type          "remote-pci"
 *   program, version, profile
 *   features      what a launcher may rely on
 *   protocols     that devices are served with
 *   machines, devices, objects, block-drivers, aio     names, as options take them
 *   sandbox       modes; calls: what each module needs while it serves; on-demand: what only some
 *                 command lines add to that
 *
 * All of it comes from the registry. Main thread; nothing has been opened.
 */
#include "system/help.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const features[] = {
    "fd", "socket-path", "socket-activation", "sd-notify", "daemonize", "pidfile", "run-with", NULL,
};

static void add_name(json_t *array, const char *name)
{
    if (name) {
        json_array_append_new(array, json_string(name));
    }
}

static json_t *strings(const char *const *names)
{
    json_t *array = json_array();

    for (; *names; names++) {
        add_name(array, *names);
    }
    return array;
}

static json_t *device_list(const Registry *registry)
{
    json_t *array = json_array();

    for (unsigned i = 0; registry->devices[i]; i++) {
        const DeviceType *type = registry->devices[i];
        json_t *device = json_pack("{s:s, s:s}", "driver", type->name, "bus", type->bus_kind);
        if (type->alias) {
            json_object_set_new(device, "alias", json_string(type->alias));
        }
        json_array_append_new(array, device);
    }
    return array;
}

static void add_types(json_t *root, const Registry *registry)
{
    json_t *machines = json_array(), *objects = json_array(), *protocols = json_array();
    json_t *drivers = json_array(), *engines = json_array();

    for (unsigned i = 0; registry->machines[i]; i++) {
        add_name(machines, registry->machines[i]->name);
    }
    for (unsigned i = 0; registry->objects[i]; i++) {
        add_name(objects, registry->objects[i]->name);
        add_name(protocols, registry->objects[i]->protocol);
    }
    for (unsigned i = 0; registry->block_drivers[i]; i++) {
        add_name(drivers, registry->block_drivers[i]->name);
    }
    for (unsigned i = 0; registry->block_engines[i]; i++) {
        add_name(engines, registry->block_engines[i]->name);
    }
    json_object_set_new(root, "protocols", protocols);
    json_object_set_new(root, "machines", machines);
    json_object_set_new(root, "devices", device_list(registry));
    json_object_set_new(root, "objects", objects);
    json_object_set_new(root, "block-drivers", drivers);
    json_object_set_new(root, "aio", engines);
}

static json_t *calls_of(const SandboxCalls *calls)
{
    json_t *array = json_array();
    const char *last = "";

    for (const SandboxCall *call = calls->calls; call->name; call++) {
        if (!call->answer && strcmp(call->name, last) != 0) {
            add_name(array, call->name);
        }
        last = call->name;
    }
    return array;
}

static json_t *sandbox_section(const Registry *registry)
{
    static const char *const modes[] = { "on", "log", "off", NULL };
    json_t *calls = json_object(), *on_demand = json_object();

    for (unsigned i = 0; registry->sandbox[i]; i++) {
        const SandboxCalls *module = registry->sandbox[i];
        json_object_set_new(module->on_demand ? on_demand : calls, module->module,
                            calls_of(module));
    }
    return json_pack("{s:o, s:o, s:o}", "modes",
                     strings(registry->sandbox_filter ? modes : modes + 2), "calls", calls,
                     "on-demand", on_demand);
}

bool help_capabilities(const Registry *registry, const char *value G_GNUC_UNUSED)
{
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:o}", "type", "remote-pci", "program",
                             registry->program, "version", registry->version, "profile",
                             registry->profile, "features", strings(features));

    add_types(root, registry);
    json_object_set_new(root, "sandbox", sandbox_section(registry));
    char *text = json_dumps(root, JSON_INDENT(2));
    printf("%s\n", text);
    free(text);
    json_decref(root);
    return true;
}
