/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine type pc: the one that runs in this process. Its board is hw/i386, its life
 * system/board.c; here is what -machine can say about it.
 *
 * Main thread, at start.
 */
#include "system/board.h"
#include "util/error.h"

static const OptDesc pc_machine_props[] = {
    { .name = "accel",
      .type = OPT_STRING,
      .offset = offsetof(PcMachineProps, accel),
      .help = "what drives the machine, as -accel; several with ':' between them" },
    { .name = "memory-backend",
      .type = OPT_STRING,
      .offset = offsetof(PcMachineProps, memory_backend),
      .help = "id of a memory-backend-memfd that says how much memory there is" },
    { .type = OPT_END }
};

static bool pc_machine_complete(void *state, const MachineWorld *world,
                                const char *origin G_GNUC_UNUSED, GError **errp)
{
    const PcMachineProps *props = state;

    return !props->memory_backend || memory_backend_size(world->objects, props->memory_backend) ||
           error_set(errp, "Memory backend '%s' not found", props->memory_backend);
}

const MachineType pc_machine_type = {
    .name = "pc",
    .desc = "Small PC that runs in this process (i440FX and PIIX3, without firmware)",
    .props = pc_machine_props,
    .size = sizeof(PcMachineProps),
    .complete = pc_machine_complete,
    .board = &pc_board_type,
};
