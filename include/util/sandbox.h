/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a module says what it needs of the kernel while the process serves.
 *
 * Once everything is set up, and before the first byte of a peer is read, the process gives up
 * every system call that no module of its profile has declared; one that is made all the same ends
 * the process, with the call's name in the log. So code that runs after set-up (loop callbacks,
 * worker threads, what a monitor can ask for) declares its calls beside itself:
 *
 *     const SandboxCalls foo_sandbox = {
 *         .module = "foo",
 *         .calls = (const SandboxCall[]){
 *             { .name = "recvmsg" },
 *             { .name = "ioctl", .args = { SANDBOX_EQUALS(1, FOO_IOCTL) } },
 *             { .name = "mmap", .args = { SANDBOX_CLEAR(2, PROT_EXEC) } },
 *             { .name = "statx", .answer = ENOSYS },
 *             { .name = NULL } } };
 *
 * and stands in the array `sandbox` of system/registry.c. What only some command lines need (a
 * listener, a network block driver) is `on_demand`, and added by sandbox_need() while the command
 * line is worked off. Names are the kernel's, not the C library's: open() is openat,
 * pwrite() is pwrite64; `strace -f -c` tells. Several rows of one call widen each other, a row
 * without args allows all of it. Calls that open something by name (openat, socket, bind, connect,
 * execve) have no place here: after set-up such things come as descriptors. The exception are block
 * drivers whose library has to find its servers again: their modules declare that as `network`, and
 * it is there only along with a node of theirs. What the C library and
 * GLib need for memory, threads, locks, time and the end of the process is declared by
 * system/sandbox-base.c. `-sandbox log` names undeclared calls without ending.
 *
 * A test prints the calls by module, bounds their number, and holds docs/security.md to them.
 */
#ifndef UTIL_SANDBOX_H
#define UTIL_SANDBOX_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A condition on one argument: (argument & mask) == value. */
typedef struct SandboxArg {
    bool used;
    bool own_pid;  /* value is this process's id instead */
    uint8_t index; /* of the argument, from 0 */
    uint64_t mask, value;
} SandboxArg;

/* clang-format off */
/* All 64 bits as given. */
#define SANDBOX_EQUALS(i, v) { .used = true, .index = (i), .mask = UINT64_MAX, .value = (v) }
#define SANDBOX_MASKED(i, m, v) { .used = true, .index = (i), .mask = (m), .value = (v) }
/* None of these bits. */
#define SANDBOX_CLEAR(i, bits) SANDBOX_MASKED(i, bits, 0)
#define SANDBOX_OWN_PID(i) { .used = true, .own_pid = true, .index = (i), .mask = UINT32_MAX }
/* clang-format on */

#define SANDBOX_ARGS 2
typedef struct SandboxCall {
    const char *name;
    int answer;                    /* refused with this errno; 0: allowed */
    SandboxArg args[SANDBOX_ARGS]; /* all of them must hold */
} SandboxCall;

typedef struct SandboxCalls {
    const char *module;
    bool on_demand;           /* only if sandbox_need() has said so */
    bool network;             /* connects to others later on, which Landlock then leaves it, and
                                 the log says so */
    const SandboxCall *calls; /* ended by a NULL name; the rows of one call stand together */
} SandboxCalls;

/* What the process keeps when everything else is given up. Main thread, at start. */
typedef struct SandboxNeeds {
    GPtrArray *calls;   /* const SandboxCalls * */
    GPtrArray *folders; /* char *, owned: files in them may be removed by name */
} SandboxNeeds;

void sandbox_needs_init(SandboxNeeds *needs);
void sandbox_needs_fini(SandboxNeeds *needs);
/* More than once is as once. */
void sandbox_need(SandboxNeeds *needs, const SandboxCalls *calls);
/* Does anything of it connect to others later on? */
bool sandbox_needs_network(const SandboxNeeds *needs);
/* A line in the log for each part that does: by which calls it widens the list. */
void sandbox_log_network(const SandboxNeeds *needs);
/* path, absolute, is to be removed later if it still is the file that it was: `unlink`, `stat` and
 * `lstat` of it. */
void sandbox_need_removal(SandboxNeeds *needs, const char *path);
extern const SandboxCalls removal_sandbox;

#endif
