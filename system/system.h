/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything that lives as long as the process, and the steps from the command line to it. Main
 * thread. */
#ifndef SYSTEM_SYSTEM_H
#define SYSTEM_SYSTEM_H

#include "system/convention.h"
#include "system/daemon.h"
#include "system/pidfile.h"
#include "system/privileges.h"
#include "system/registry.h"
#include "system/sandbox.h"
#include "system/signals.h"

typedef struct Board Board;           /* system/board.h */
typedef struct Monitors Monitors;     /* system/monitors.h */
typedef struct MonitorFds MonitorFds; /* monitor/fds.h */
typedef struct System System;

struct System {
    const Registry *registry;
    GMainLoop *main_loop;
    ModuleSet *modules;
    BlockGraph *blocks;
    DeviceTree *devices;
    ObjectSet *objects;
    GPtrArray *chardevs; /* Chardev *, owned */
    /* -machine */
    const MachineType *machine;
    void *machine_state;
    char *machine_origin;
    char *name;             /* -name, or NULL */
    MonitorFds *fds;        /* of -add-fd, and of monitors */
    Monitors *monitors;     /* or NULL */
    bool over;              /* the process ends when everything has */
    GPtrArray *board_items; /* OptionItem *: options that say something about a board */
    Board *board;           /* or NULL */
    bool board_live;        /* started, and has not ended */
    int status;             /* for exit() */
    PidFile pidfile;
    Convention convention;
    Daemon daemon;
    bool daemonize;
    SandboxMode sandbox_mode;
    SandboxNeeds needs;
    Privileges privileges;
    Signals signals;
};

void system_init(System *sys, const Registry *registry);
/* Takes the whole command line: sets up all that it asks for, or nothing. False with an error; or,
 * if it asked for help which has been printed now, without one. */
bool system_start(System *sys, int argc, char **argv, GError **errp);
/* Runs until the board has ended, or without one the last object; or SIGTERM, SIGINT or SIGHUP has
 * ended them all. Returns the exit status. */
int system_run(System *sys);
/* Ends everything in an orderly way, for a reason as QEMU names them. Once is as often. */
void system_end(System *sys, const char *reason);
/* Something that the end may have waited for is over. */
void system_check_over(System *sys);
/* After system_start(), whatever became of it. */
void system_fini(System *sys);

#endif
