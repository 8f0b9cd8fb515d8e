/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What -machine chooses: the world that devices are put in. Main thread, at start.
 */
#ifndef SYSTEM_MACHINE_TYPE_H
#define SYSTEM_MACHINE_TYPE_H

#include "hw/core/device.h"
#include "system/object.h"

typedef struct BoardType BoardType; /* system/board.h */

/* A byte stream with a name: a UNIX stream socket by one of fd and path, or one of the others. */
typedef enum ChardevKind { CHARDEV_SOCKET, CHARDEV_STDIO, CHARDEV_NULL } ChardevKind;
typedef struct Chardev {
    ChardevKind kind;
    char *id;
    char *fd; /* number of an inherited socket, checked; or NULL */
    bool fd_listens;
    char *path;
    bool server; /* listen on path */
    bool wait;   /* for a client, before anything is served */
    bool used;   /* something has taken it */
} Chardev;

/* What a machine type may use when the devices are there. */
typedef struct MachineWorld {
    DeviceTree *devices;
    ObjectSet *objects;
    const GPtrArray *chardevs; /* Chardev * */
} MachineWorld;

typedef struct MachineType {
    const char *name;
    const char *alias; /* second name or NULL */
    const char *desc;  /* one line for -machine help */
    const OptDesc *props;
    size_t size; /* of the instance that props are stored in */
    /* After -device and -object: adds what the machine's properties ask for. origin: the -machine
     * option as typed. */
    bool (*complete)(void *state, const MachineWorld *world, const char *origin, GError **errp);
    const BoardType *board; /* what runs in this process; NULL: it only serves devices */
} MachineType;

extern const MachineType remote_machine_type; /* x-remote, alias remote */
extern const MachineType pc_machine_type;     /* pc */

#endif
