/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox, apart from its two pieces that talk to the kernel at length, the system call filter
 * (sandbox-filter.c) and Landlock (sandbox-landlock.c).
 *
 *   set-up: files, sockets, users ─► sandbox_confine() ─► threads, rings ─► filter ─► serve
 *
 * Capabilities, no_new_privs and Landlock are the calling thread's, and pass to the threads that it
 * starts, so they come before there are others. A thread needs none of it: all that it works on
 * has been opened.
 *
 * Descriptors that came from the parent and that no option has named are closed: whoever takes over
 * the process shall find nothing that was left open by accident. Everything that is opened here is
 * close-on-exec, and so is, from the moment it is looked at, what an option names; an inherited
 * descriptor isn't, or it would not have been inherited. So what is not close-on-exec is a stray.
 *
 * Core dumps would have the disk's data and keys in them, and a process that can be dumped can also
 * be debugged by others of its user: both end here. `-sandbox off` leaves them, for debugging.
 *
 * Main thread, at start.
 */
#include "system/sandbox.h"
#include "util/error.h"
#include "util/log.h"
#include "util/opts.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/capability.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- -sandbox --- */

static const char *const mode_names[] = { "off", "on", "log", NULL };

typedef struct StockWord {
    const char *name;
    const char *const *values;
} StockWord;

static const char *const allow_deny[] = { "allow", "deny", NULL };
static const char *const allow_deny_children[] = { "allow", "deny", "children", NULL };

static const StockWord stock_words[] = {
    { "obsolete", allow_deny },
    { "elevateprivileges", allow_deny_children },
    { "spawn", allow_deny },
    { "resourcecontrol", allow_deny },
};

static bool check_stock_words(Opts *opts, GError **errp)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(stock_words); i++) {
        const StockWord *word = &stock_words[i];
        const char *value = opts_get(opts, word->name);
        if (value && !g_strv_contains(word->values, value)) {
            g_autofree char *list = g_strjoinv(", ", (char **)word->values);
            return error_set(errp, "Parameter '%s' expects one of %s: '%s'", word->name, list,
                             value);
        }
    }
    return opts_check_used(opts, "Invalid parameter '%s'", errp);
}

bool sandbox_mode_parse(const char *text, SandboxMode *mode, GError **errp)
{
    g_autoptr(Opts) opts = opts_parse(text, "enable", errp);

    if (!opts) {
        return false;
    }
    const char *name = opts_get(opts, "enable");
    if (!name) {
        return error_set(errp, "Parameter 'enable' is missing");
    }
    for (unsigned i = 0; mode_names[i]; i++) {
        if (strcmp(name, mode_names[i]) == 0) {
            *mode = i;
            return check_stock_words(opts, errp);
        }
    }
    return error_set(errp, "Parameter 'enable' expects one of off, on, log: '%s'", name);
}

bool sandbox_mode_settle(SandboxMode *mode, const SandboxFilter *filter, bool board, GError **errp)
{
    if (*mode == SANDBOX_AUTO) {
        *mode = filter && !board ? SANDBOX_ON : SANDBOX_OFF;
    }
    if (*mode == SANDBOX_OFF) {
        return true;
    }
    if (board) {
        return error_set(errp, "-sandbox: there is none for a machine that runs in this process");
    }
    return filter || error_set(errp, "-sandbox: this program was built without");
}

/* --- descriptors --- */

static void close_stray(int fd)
{
    int flags = fcntl(fd, F_GETFD);

    if (fd > STDERR_FILENO && flags >= 0 && !(flags & FD_CLOEXEC)) {
        close(fd);
    }
}

static void close_strays(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct rlimit limit;

    if (dir) {
        for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
            close_stray(atoi(entry->d_name));
        }
        closedir(dir);
    } else if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        for (rlim_t fd = 0; fd < limit.rlim_cur; fd++) {
            close_stray(fd);
        }
    }
}

/* --- privileges --- */

/* By number up to the last one of this kernel, which may know more than its headers here; or up to
 * none, if it is not ours to change: with no_new_privs it means nothing, either. */
static void empty_bounding_set(void)
{
    int cap = 0;

    while (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) {
        cap++;
    }
}

static bool drop_capabilities(GError **errp)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

    empty_bounding_set();
    return syscall(SYS_capset, &header, none) == 0 ||
           error_set(errp, "can't drop capabilities: %s", g_strerror(errno));
}

static bool drop_privileges(GError **errp)
{
    const struct rlimit no_core = { 0, 0 };

    if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return error_set(errp, "can't turn core dumps off: %s", g_strerror(errno));
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return error_set(errp, "can't set no_new_privs: %s", g_strerror(errno));
    }
    return drop_capabilities(errp);
}

static int compare_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 1);
}

/* What libraries would open or ask for when they are first used:
 * - glibc, how the kernel overcommits memory, when the heap of a thread that is not the first one
 *   shrinks: no heap shrinks any more. Large blocks are mappings of their own, and do go back.
 * - jansson, /dev/urandom for its hash tables.
 * - glibc, the size of memory, to sort more than a kilobyte. */
static void forestall_late_opening(void)
{
    char many[64][32] = { "" };
    uint32_t seed = 0; /* jansson finds one by itself */

    mallopt(M_TRIM_THRESHOLD, -1);
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed)) {
        seed = 0;
    }
    json_object_seed(seed);
    qsort(many, G_N_ELEMENTS(many), sizeof(many[0]), compare_bytes);
}

bool sandbox_confine(SandboxMode mode, const SandboxNeeds *needs, GError **errp)
{
    if (mode == SANDBOX_OFF) {
        return true;
    }
    forestall_late_opening();
    close_strays();
    return drop_privileges(errp) && (mode == SANDBOX_LOG || sandbox_landlock(needs, errp));
}
