/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -sandbox: what the process gives up once everything is set up. Main thread, at start, in two
 * steps: sandbox_confine() before there are other threads, as what it does holds for the calling
 * thread and those that come from it; sandbox_filter() when all is there, for every thread.
 */
#ifndef SYSTEM_SANDBOX_H
#define SYSTEM_SANDBOX_H

#include "util/sandbox.h"

typedef enum SandboxMode {
    SANDBOX_AUTO = -1, /* on, where the program has a filter and no board */
    SANDBOX_OFF,
    SANDBOX_ON,
    SANDBOX_LOG, /* a call that is not declared is named and let through */
} SandboxMode;

/* What the symbol SANDBOX brings. */
typedef struct SandboxFilter {
    /* For good, on all threads. False and an error if the kernel or the library refuses. */
    bool (*install)(const SandboxNeeds *needs, SandboxMode mode, GError **errp);
} SandboxFilter;

extern const SandboxFilter sandbox_filter_seccomp;

/* What the C library, GLib and the main thread need: always there. */
extern const SandboxCalls sandbox_base;

/* on, off or log; in the stock's spelling [enable=]on|off[,obsolete=allow|deny]
 * [,elevateprivileges=allow|deny|children][,spawn=allow|deny][,resourcecontrol=allow|deny], where
 * "allow" widens nothing, as none of that is in the list. */
bool sandbox_mode_parse(const char *text, SandboxMode *mode, GError **errp);

/* What the process is to do, with mode as the command line left it. False and an error if that
 * asks for what the program hasn't. */
bool sandbox_mode_settle(SandboxMode *mode, const SandboxFilter *filter, bool board, GError **errp);

/* Closes descriptors that nobody named, drops capabilities, privileges to come and core dumps, and
 * closes the file system. What the kernel has no means for is logged. No-op if mode is off. */
bool sandbox_confine(SandboxMode mode, const SandboxNeeds *needs, GError **errp);

/* sandbox-landlock.c: no file is opened, made or removed by name any more, but for removals in
 * the folders needed; no TCP port, but for connecting if that is needed, and no socket by an
 * abstract name. True if the kernel has no
 * Landlock, which is logged. */
bool sandbox_landlock(const SandboxNeeds *needs, GError **errp);

#endif
