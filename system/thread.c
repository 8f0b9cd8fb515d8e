/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads of connections and boards. They begin with the signals blocked that util/thread.h says,
 * so that none is lost to them in their first moments.
 *
 * Main thread.
 */
#include "system/thread.h"
#include "util/thread.h"
#include <pthread.h>

GThread *thread_start(const char *name, GThreadFunc fn, void *opaque, GError **errp)
{
    sigset_t before;

    thread_block_signals(&before);
    GThread *thread = g_thread_try_new(name, fn, opaque, errp);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return thread;
}
