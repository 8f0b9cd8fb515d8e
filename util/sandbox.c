/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of what the process keeps under its sandbox, while it is put together: the modules of
 * the profile first, from the registry, then what the command line turns out to need. The filter
 * made of it is in system/.
 *
 * Files that are removed at the end (a pid file, a socket's) are the one thing that is still
 * reached by name, so the calls for that are added with the first such file only, and the folders
 * are kept for Landlock, which allows removal nowhere else.
 *
 * Main thread, at start.
 */
#include "util/sandbox.h"
#include "util/log.h"
#include <fcntl.h>
#include <string.h>

/* fd_stat() needs neither, so that AT_EMPTY_PATH isn't among the flags. */
const SandboxCalls removal_sandbox = {
    .module = "removal",
    .on_demand = true,
    .calls =
        (const SandboxCall[]){
            { .name = "unlink" },
            { .name = "newfstatat", .args = { SANDBOX_CLEAR(3, (uint64_t)~AT_SYMLINK_NOFOLLOW) } },
            { .name = NULL } }
};

void sandbox_needs_init(SandboxNeeds *needs)
{
    needs->calls = g_ptr_array_new();
    needs->folders = g_ptr_array_new_with_free_func(g_free);
}

void sandbox_needs_fini(SandboxNeeds *needs)
{
    g_ptr_array_free(needs->calls, TRUE);
    g_ptr_array_free(needs->folders, TRUE);
}

void sandbox_need(SandboxNeeds *needs, const SandboxCalls *calls)
{
    if (!g_ptr_array_find(needs->calls, calls, NULL)) {
        g_ptr_array_add(needs->calls, (void *)calls);
    }
}

bool sandbox_needs_network(const SandboxNeeds *needs)
{
    for (unsigned i = 0; i < needs->calls->len; i++) {
        if (((const SandboxCalls *)g_ptr_array_index(needs->calls, i))->network) {
            return true;
        }
    }
    return false;
}

static void log_allowed(const SandboxCalls *calls)
{
    g_autoptr(GString) names = g_string_new(NULL);
    const char *last = "";

    for (const SandboxCall *call = calls->calls; call->name; call++) {
        if (!call->answer && strcmp(call->name, last) != 0) {
            g_string_append_printf(names, "%s%s", *last ? ", " : "", call->name);
            last = call->name;
        }
    }
    log_line(NULL, "sandbox: widened for %s by %s", calls->module, names->str);
}

void sandbox_log_network(const SandboxNeeds *needs)
{
    for (unsigned i = 0; i < needs->calls->len; i++) {
        const SandboxCalls *calls = g_ptr_array_index(needs->calls, i);
        if (calls->network) {
            log_allowed(calls);
        }
    }
}

void sandbox_need_removal(SandboxNeeds *needs, const char *path)
{
    sandbox_need(needs, &removal_sandbox);
    g_ptr_array_add(needs->folders, g_path_get_dirname(path));
}
