/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIGBUS: what the kernel sends when a mapping is touched behind the end of its file, which for
 * guest memory means that the other side truncated a RAM file after it had been checked.
 *
 * The handler is one for the process and finds the table of the faulting thread by a thread-local
 * pointer. If the address is in one of the table's mappings, zero pages are put over it and the
 * access is repeated: the copy that was under way ends normally, on zeros, and the region is dead
 * for everything that follows (guest-memory.c). No jump out of the handler, so no code on the way
 * needs to be prepared for one. Every other address gets the default action, at the instruction
 * that faulted, so that a core dump shows the culprit.
 *
 * Only threads that touch guest memory by themselves need the pointer: the kernel's own accesses
 * (read(2), io_uring) return EFAULT instead. A thread must not block SIGBUS.
 */
#include "guest-memory-int.h"
#include <errno.h>
#include <signal.h>

static _Thread_local GuestMemory *current;

static void on_sigbus(int sig, siginfo_t *info, void *context G_GNUC_UNUSED)
{
    int saved_errno = errno;

    /* si_code > 0: from the kernel, for an access; others come from kill(2). */
    if (info->si_code > 0 && current && guest_memory_torn(current, info->si_addr)) {
        errno = saved_errno;
        return;
    }
    signal(sig, SIG_DFL);
    if (info->si_code <= 0) {
        raise(sig); /* delivered when this handler returns */
    }
}

void guest_memory_sigbus_init(void)
{
    struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, NULL) != 0) {
        g_assert_not_reached(); /* fails for a bad signal number or pointer only */
    }
}

void guest_memory_thread_use(GuestMemory *mem)
{
    current = mem;
}

void guest_memory_thread_forget(const GuestMemory *mem)
{
    if (current == mem) {
        current = NULL;
    }
}
