/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine type x-remote: no vCPU, no memory of its own, a PCI host for each device that is
 * served. What it is made of at run time is remote/machine.c, one instance a connection; here is
 * only what -machine can say about it.
 *
 * chardev=ID is the spelling of the first versions of multi-process QEMU, whose remote process had
 * one device and one link: the only PCI device of the command line is served on that socket. It
 * becomes an x-remote-object with the chardev's id.
 *
 * vfio-user=on and auto-shutdown are for the x-vfio-user-server objects, poll-max-ns, poll-grow and
 * poll-shrink for all that serve and do not say otherwise themselves.
 *
 * Main thread, at start.
 */
#include "system/machine-type.h"
#include "system/chardev.h"
#include "system/convention.h"
#include "util/error.h"

typedef struct RemoteMachineProps {
    char *chardev;
    bool vfio_user, auto_shutdown;
    PollingProps polling;
} RemoteMachineProps;

static const OptDesc remote_machine_props[] = {
    { .name = "chardev",
      .type = OPT_STRING,
      .offset = offsetof(RemoteMachineProps, chardev),
      .help = "id of the -chardev that the only PCI device is served on" },
    { .name = "vfio-user",
      .type = OPT_BOOL,
      .offset = offsetof(RemoteMachineProps, vfio_user),
      .help = "allow x-vfio-user-server objects" },
    { .name = "auto-shutdown",
      .type = OPT_BOOL,
      .offset = offsetof(RemoteMachineProps, auto_shutdown),
      .def = true,
      .help = "x-vfio-user-server objects end with their client; off: wait for the next one" },
    POLLING_PROPS(RemoteMachineProps, polling, 0, "", POLLING_MAX_NS, POLLING_GROW, POLLING_SHRINK),
    { .type = OPT_END }
};

static bool remote_machine_complete(void *state, const MachineWorld *world, const char *origin,
                                    GError **errp)
{
    const RemoteMachineProps *props = state;

    world->objects->vfio_user = props->vfio_user;
    world->objects->auto_shutdown = props->auto_shutdown;
    world->objects->polling = props->polling;
    if (!props->chardev) {
        return true;
    }
    const Chardev *chardev = chardev_find(world->chardevs, props->chardev);
    if (!chardev) {
        return error_set(errp, "Chardev '%s' not found", props->chardev);
    }
    if (!chardev->fd || chardev->fd_listens) {
        return error_set(errp, "Chardev '%s' is not a connected socket", props->chardev);
    }
    Device *dev = convention_only_device(world->devices, "'chardev'", errp);
    if (!dev) {
        return false;
    }
    g_autoptr(Opts) opts = opts_new();
    opts_set(opts, "qom-type", "x-remote-object");
    opts_set(opts, "id", chardev->id);
    opts_set(opts, "fd", chardev->fd);
    return object_new(world->objects, opts, dev, origin, errp) != NULL;
}

const MachineType remote_machine_type = {
    .name = "x-remote",
    .alias = "remote",
    .desc = "Remote process that serves devices to other QEMUs",
    .props = remote_machine_props,
    .size = sizeof(RemoteMachineProps),
    .complete = remote_machine_complete,
};
