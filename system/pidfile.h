/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -pidfile: the process id in a file that is locked while the process lives. Main thread. */
#ifndef SYSTEM_PIDFILE_H
#define SYSTEM_PIDFILE_H

#include <glib.h>
#include <stdbool.h>

typedef struct PidFile {
    int fd; /* holds the lock; -1: none */
    char *path;
} PidFile;

/* Makes and locks the file, still empty. */
bool pidfile_create(PidFile *file, const char *path, GError **errp);
/* Writes the process id into it. No-op if there is none. */
bool pidfile_write(PidFile *file, GError **errp);
/* Removes the file if it is still ours. No-op if there is none. */
void pidfile_remove(PidFile *file);

#endif
