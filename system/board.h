/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine that runs in this process, as startup.c sees it, and the parts of it for each other.
 * Main thread; the board itself has a thread of its own.
 */
#ifndef SYSTEM_BOARD_H
#define SYSTEM_BOARD_H

#include "system/options.h"
#include "system/system.h"

struct BoardType {
    /* Takes what the command line has said: sys's board_items, machine and devices. ended() comes
     * once, from the main loop, when the machine has stopped and everything is flushed. */
    Board *(*create)(System *sys, void (*ended)(void *opaque, int status), void *opaque,
                     GError **errp);
    void (*start)(Board *board);
    /* After start(): come to an end soon. More than once is as once. */
    void (*stop)(Board *board);
    /* Has ended, or never started. */
    void (*destroy)(Board *board);
};

extern const BoardType pc_board_type;

/* What -machine pc can say. */
typedef struct PcMachineProps {
    char *accel;          /* names, ':' between them */
    char *memory_backend; /* id of an object */
} PcMachineProps;

/* The size of the memory-backend-memfd with that id; 0: there is none. */
uint64_t memory_backend_size(const ObjectSet *objects, const char *id);

/* --- board-io.c --- */

/* Where a serial port, a debug port or a tester is. */
typedef struct BoardIo {
    int in, out;      /* -1: nothing */
    bool owned;       /* the descriptor, which then is in and out, or only out, is to be closed */
    bool truncate;    /* a file, to be emptied when everything is right */
    const char *path; /* listen there; points into argv or a Chardev */
    char *copy;       /* that path points to, or NULL */
} BoardIo;

/* -serial and -debugcon: stdio, file:, unix:, chardev:, null, none. */
bool board_io_open(BoardIo *io, const System *sys, const char *text, GError **errp);
/* -qtest: unix:, fd:, chardev:, or the id of a chardev. in is a connected socket, or path set. */
bool board_io_open_tester(BoardIo *io, const System *sys, const char *text, GError **errp);
void board_io_close(BoardIo *io);

#endif
