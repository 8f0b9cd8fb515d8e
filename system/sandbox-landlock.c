/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Landlock: a second lock on the file system and the network, which does not depend on the list of
 * system calls being right. It knows objects where the filter knows numbers: with it, no file can
 * be opened, made, renamed or removed by any call of any thread, also none that a later kernel
 * adds. What is open stays open.
 *
 * The one exception are the folders that have a pid file or socket of ours: files may be removed
 * in them, by whoever the process is. A block driver that has to find its server again keeps
 * connecting by TCP.
 *
 * Each version of the interface knows more rights than the one before; those of the kernel that
 * runs are denied, all of them. The structure is declared here, since the build's headers may be
 * older than that kernel; an older one takes a shorter structure.
 */
#include "system/sandbox.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's landlock_ruleset_attr since version 6. */
typedef struct Ruleset {
    uint64_t fs, net, scoped;
} Ruleset;

#define CONNECT_TCP (UINT64_C(1) << 1) /* of net; LANDLOCK_ACCESS_NET_CONNECT_TCP */

/* Number of rights and size of the structure by version; from Linux's security/landlock. */
typedef struct Version {
    unsigned fs_rights, net_rights, scopes;
    size_t size;
} Version;

static const Version versions[] = {
    { 13, 0, 0, offsetof(Ruleset, net) },    /* 1, Linux 5.13 */
    { 14, 0, 0, offsetof(Ruleset, net) },    /* 2: REFER */
    { 15, 0, 0, offsetof(Ruleset, net) },    /* 3: TRUNCATE */
    { 15, 2, 0, offsetof(Ruleset, scoped) }, /* 4: TCP */
    { 16, 2, 0, offsetof(Ruleset, scoped) }, /* 5: IOCTL_DEV */
    { 16, 2, 2, sizeof(Ruleset) },           /* 6: abstract sockets, signals */
};

static uint64_t lowest_bits(unsigned n)
{
    return (UINT64_C(1) << n) - 1;
}

static bool allow_removal(int ruleset, const char *folder, GError **errp)
{
    AUTO_FD fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct landlock_path_beneath_attr rule = {
        .allowed_access = LANDLOCK_ACCESS_FS_REMOVE_FILE,
        .parent_fd = fd,
    };

    if (fd < 0 ||
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0) {
        return error_set(errp, "Landlock: '%s': %s", folder, g_strerror(errno));
    }
    return true;
}

bool sandbox_landlock(const SandboxNeeds *needs, GError **errp)
{
    const GPtrArray *folders = needs->folders;
    long known = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (known < 1) {
        log_line(NULL, "sandbox: no Landlock, the system call filter alone guards files: %s",
                 g_strerror(errno));
        return true;
    }
    const Version *version = &versions[MIN(known, (long)G_N_ELEMENTS(versions)) - 1];
    const Ruleset attr = {
        .fs = lowest_bits(version->fs_rights),
        .net = lowest_bits(version->net_rights) & ~(sandbox_needs_network(needs) ? CONNECT_TCP : 0),
        .scoped = lowest_bits(version->scopes),
    };
    AUTO_FD ruleset = syscall(SYS_landlock_create_ruleset, &attr, version->size, 0);

    for (unsigned i = 0; ruleset >= 0 && i < folders->len; i++) {
        if (!allow_removal(ruleset, g_ptr_array_index(folders, i), errp)) {
            return false;
        }
    }
    if (ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
        return error_set(errp, "Landlock: %s", g_strerror(errno));
    }
    return true;
}
