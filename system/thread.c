/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads of connections and boards. Signals are the main thread's business: all are blocked here
 * but those that a fault raises on the spot, since the kernel kills a process that blocks one of
 * these, and SIGBUS has a handler that keeps a truncated RAM file from being fatal.
 *
 * Main thread.
 */
#include "system/thread.h"
#include <pthread.h>
#include <signal.h>

GThread *thread_start(const char *name, GThreadFunc fn, void *opaque, GError **errp)
{
    static const int faults[] = { SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS };
    sigset_t blocked, before;

    sigfillset(&blocked);
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        sigdelset(&blocked, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    GThread *thread = g_thread_try_new(name, fn, opaque, errp);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return thread;
}
