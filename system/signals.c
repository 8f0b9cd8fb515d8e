/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIGTERM, SIGINT and SIGHUP ask for the end of the process: what is in flight is written, caches
 * are flushed. That may never come to its end: a server of NBD or NFS doesn't answer, a disk is
 * broken. So a time is set with the first signal, after which the process ends without it, with an
 * exit status that says so.
 *
 * That works whatever else is stuck. A device's thread may be, and so may the main thread, which
 * opens and closes images and waits for device threads; hence a thread that does nothing but wait:
 *
 *   waiting ─ signal ─► asked, once ─ time's up ─► give_up() ─► exit
 *      └─────── over ───────┴─ over: the process has come to its end by itself
 *
 * Further signals change nothing: what is in flight has to be written either way. Before there are
 * threads these signals end the process at once, as there is nothing to save yet.
 */
#include "system/signals.h"
#include "system/thread.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/main-post.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EXIT_UNFINISHED 3 /* docs/man has them all */

void signals_init(Signals *signals)
{
    *signals = (Signals){ .fd = -1, .over_fd = -1 };
}

bool signals_catch(Signals *signals, GError **errp)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC);
    signals->over_fd = eventfd(0, EFD_CLOEXEC);
    return (signals->fd >= 0 && signals->over_fd >= 0) ||
           error_set(errp, "can't catch signals: %s", g_strerror(errno));
}

/* True when it is over; false: the time is up, or fd (-1: none) can be read. */
static bool wait_over(const Signals *signals, int fd, int ms)
{
    struct pollfd polled[] = {
        { .fd = signals->over_fd, .events = POLLIN },
        { .fd = fd, .events = POLLIN },
    };

    while (poll(polled, G_N_ELEMENTS(polled), ms) < 0 && errno == EINTR) {
        continue;
    }
    return polled[0].revents != 0;
}

static void asked_main(void *opaque)
{
    const Signals *signals = opaque;

    signals->ops->asked(signals->opaque);
}

static void *wait_for_signals(void *opaque)
{
    Signals *signals = opaque;
    struct signalfd_siginfo info;

    if (wait_over(signals, signals->fd, -1) ||
        read(signals->fd, &info, sizeof(info)) != sizeof(info)) {
        return NULL;
    }
    log_line(NULL, "terminating on signal %u from pid %u", info.ssi_signo, info.ssi_pid);
    main_post(asked_main, signals);
    if (!wait_over(signals, -1, SIGNALS_END_MS)) {
        log_line(NULL, "not done after %d ms: some I/O does not end, and may be lost",
                 SIGNALS_END_MS);
        signals->ops->give_up(signals->opaque);
        _exit(EXIT_UNFINISHED);
    }
    return NULL;
}

bool signals_serve(Signals *signals, const SignalsOps *ops, void *opaque, GError **errp)
{
    signals->ops = ops;
    signals->opaque = opaque;
    signals->thread = thread_start("signals", wait_for_signals, signals, errp);
    return signals->thread != NULL;
}

void signals_fini(Signals *signals)
{
    const uint64_t one = 1;

    if (signals->thread && write(signals->over_fd, &one, sizeof(one)) == sizeof(one)) {
        g_thread_join(signals->thread);
        signals->thread = NULL;
    }
    fd_clear(&signals->fd);
    fd_clear(&signals->over_fd);
}
