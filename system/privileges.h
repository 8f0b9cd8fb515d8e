/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -runas, -run-with, -chroot: who the process is when it serves, and what it sees of the file
 * system. Main thread, at start. */
#ifndef SYSTEM_PRIVILEGES_H
#define SYSTEM_PRIVILEGES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Privileges {
    char *chroot; /* NULL: none */
    bool change_user;
    uid_t uid;
    gid_t gid;
    GArray *groups; /* gid_t; NULL: none but gid */
} Privileges;

/* NAME, NAME:GROUP, UID:GID, as found on this machine now. The last one counts. */
bool privileges_set_user(Privileges *p, const char *text, GError **errp);
/* The folder has to exist. */
bool privileges_set_chroot(Privileges *p, const char *folder, GError **errp);
/* Does both, for every thread. */
bool privileges_apply(const Privileges *p, GError **errp);
void privileges_clear(Privileges *p);

#endif
