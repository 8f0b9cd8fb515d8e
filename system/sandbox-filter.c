/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system call filter: what the modules have declared, as a seccomp filter made by libseccomp,
 * on every thread at once (TSYNC).
 *
 * A call that no module has declared raises SIGSYS on the thread that made it, before it has done
 * anything. The handler writes the call's name into the log and lets the process die of the signal,
 * so that a parent sees "killed by SIGSYS". It works with a table made by the build, since it may
 * have come in the middle of anything and can allocate nothing. Calls of another architecture (the
 * 32-bit and x32 entries of a 64-bit kernel) kill the process without a word.
 *
 * The filter sees numbers and register arguments, never what a pointer points to. So nothing that
 * takes a name is allowed at all, and clone3(), whose flags are behind a pointer, doesn't exist.
 *
 * Main thread, at start; the handler on any.
 */
#include "system/sandbox.h"
#include "syscall-names.h"
#include "util/error.h"
#include "util/log.h"
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* --- the end --- */

/* Decimal digits, in a buffer's end. */
static const char *decimal(unsigned value, char *buf, size_t size)
{
    char *c = buf + size - 1;

    *c = '\0';
    do {
        *--c = '0' + value % 10;
        value /= 10;
    } while (value > 0 && c > buf);
    return c;
}

static const char *call_name(int nr)
{
    bool known = nr >= 0 && (unsigned)nr < G_N_ELEMENTS(syscall_names) && syscall_names[nr][0];

    return known ? syscall_names[nr] : "?";
}

static void on_sigsys(int sig, siginfo_t *info, void *context G_GNUC_UNUSED)
{
    char number[12];
    const char *const text[] = { "sandbox: system call ",
                                 call_name(info->si_syscall),
                                 " (number ",
                                 decimal(info->si_syscall, number, sizeof(number)),
                                 ") is not allowed, ending",
                                 NULL };

    log_from_handler(text);
    signal(sig, SIG_DFL);
    raise(sig); /* delivered when this handler returns */
}

static void catch_sigsys(void)
{
    struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };

    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSYS, &action, NULL) != 0) {
        g_assert_not_reached(); /* fails for a bad signal number or pointer only */
    }
}

/* --- the filter --- */

#define BINARY_TREE 2 /* of SCMP_FLTATR_CTL_OPTIMIZE */

static struct scmp_arg_cmp compare(const SandboxArg *arg)
{
    return (struct scmp_arg_cmp){ .arg = arg->index,
                                  .op = SCMP_CMP_MASKED_EQ,
                                  .datum_a = arg->mask,
                                  .datum_b = arg->own_pid ? (uint64_t)getpid() : arg->value };
}

static bool add_call(scmp_filter_ctx ctx, const char *module, const SandboxCall *call,
                     GError **errp)
{
    uint32_t action = call->answer ? SCMP_ACT_ERRNO(call->answer) : SCMP_ACT_ALLOW;
    int nr = seccomp_syscall_resolve_name(call->name);
    struct scmp_arg_cmp args[SANDBOX_ARGS];
    unsigned n = 0;

    if (nr == __NR_SCMP_ERROR) {
        return error_set(errp, "%s: libseccomp knows no system call '%s'", module, call->name);
    }
    while (n < SANDBOX_ARGS && call->args[n].used) {
        args[n] = compare(&call->args[n]);
        n++;
    }
    int err = seccomp_rule_add_array(ctx, action, nr, n, args);
    return err == 0 || err == -EEXIST ||
           error_set(errp, "%s: system call '%s': %s", module, call->name, g_strerror(-err));
}

static bool add_calls(scmp_filter_ctx ctx, const SandboxCalls *calls, bool allowed, GError **errp)
{
    for (const SandboxCall *call = calls->calls; call->name; call++) {
        if (allowed == !call->answer && !add_call(ctx, calls->module, call, errp)) {
            return false;
        }
    }
    return true;
}

/* What one module is allowed no other takes away by an answer: libseccomp keeps the first. */
static bool add_needs(scmp_filter_ctx ctx, const SandboxNeeds *needs, GError **errp)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < needs->calls->len; i++) {
            if (!add_calls(ctx, g_ptr_array_index(needs->calls, i), pass == 0, errp)) {
                return false;
            }
        }
    }
    return true;
}

static bool filter_load(scmp_filter_ctx ctx, GError **errp)
{
    int err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

    if (err == 0) {
        err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    }
    if (err == 0) { /* the kernel runs it for each number when it takes it */
        err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE);
    }
    if (err == 0) { /* the kernel's errno rather than one for all of its refusals */
        err = seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);
    }
    if (err == 0) {
        err = seccomp_load(ctx);
    }
    return err == 0 || error_set(errp, "the kernel refuses the system call filter (seccomp): %s",
                                 g_strerror(-err));
}

static bool filter_install(const SandboxNeeds *needs, SandboxMode mode, GError **errp)
{
    scmp_filter_ctx ctx = seccomp_init(mode == SANDBOX_LOG ? SCMP_ACT_LOG : SCMP_ACT_TRAP);
    bool ok = ctx != NULL;

    if (!ok) {
        return error_set(errp, mode == SANDBOX_LOG ? "the kernel can't log system calls (seccomp)"
                                                   : "libseccomp has no filter for this machine");
    }
    ok = add_needs(ctx, needs, errp);
    if (ok && mode == SANDBOX_ON) {
        catch_sigsys();
    }
    ok = ok && filter_load(ctx, errp);
    seccomp_release(ctx);
    return ok;
}

const SandboxFilter sandbox_filter_seccomp = { .install = filter_install };
