/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals are the main thread's business: all are blocked in the others but those that a fault
 * raises on the spot, since the kernel kills a process that blocks one of these. Two of them have
 * handlers: SIGBUS, which keeps a truncated RAM file from being fatal, and SIGSYS, which says what
 * system call the sandbox has stopped.
 *
 * Any thread.
 */
#include "util/thread.h"
#include <glib.h>
#include <pthread.h>
#include <sys/prctl.h>

void thread_block_signals(sigset_t *before)
{
    static const int faults[] = { SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS };
    sigset_t blocked;

    sigfillset(&blocked);
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        sigdelset(&blocked, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

void thread_begin(const char *name)
{
    thread_block_signals(NULL);
    prctl(PR_SET_NAME, name);
}
