/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another user and another root folder. Both are looked up while options are taken, when the user
 * database can still be read, and change when all that is opened by name has been opened: images
 * and sockets may belong to whoever started the process.
 *
 * A user's supplementary groups are those of the user database; UID:GID, which need not be in it,
 * has none. Going back must be impossible, so it is tried.
 *
 * Main thread, at start. The C library changes the user of all threads.
 */
#include "system/privileges.h"
#include "util/error.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 65536 /* the kernel's NGROUPS_MAX */

static bool parse_id(const char *text, uint32_t *id)
{
    guint64 value;

    /* The last number means "as it is" to setuid(2) and its like. */
    if (!g_ascii_string_to_unsigned(text, 10, 0, UINT32_MAX - 1, &value, NULL)) {
        return false;
    }
    *id = value;
    return true;
}

static GArray *groups_of(const struct passwd *pw, gid_t gid)
{
    int n = 64;
    GArray *groups = g_array_new(FALSE, FALSE, sizeof(gid_t));

    g_array_set_size(groups, n);
    if (getgrouplist(pw->pw_name, gid, (gid_t *)(void *)groups->data, &n) < 0) {
        n = MIN(n, GROUPS_MAX);
        g_array_set_size(groups, n);
        getgrouplist(pw->pw_name, gid, (gid_t *)(void *)groups->data, &n);
    }
    g_array_set_size(groups, n);
    return groups;
}

static bool find_group(const char *name, gid_t *gid, GError **errp)
{
    const struct group *gr = parse_id(name, gid) ? NULL : getgrnam(name);

    if (gr) {
        *gid = gr->gr_gid;
    }
    return gr || parse_id(name, gid) || error_set(errp, "there is no group '%s'", name);
}

bool privileges_set_user(Privileges *p, const char *text, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", 2);
    const char *name = parts[0] ? parts[0] : "";
    const char *group = parts[0] ? parts[1] : NULL;
    const struct passwd *pw = getpwnam(name);

    g_clear_pointer(&p->groups, g_array_unref);
    p->change_user = true;
    if (pw) {
        p->uid = pw->pw_uid;
        p->gid = pw->pw_gid;
        if (group && !find_group(group, &p->gid, errp)) {
            return false;
        }
        p->groups = groups_of(pw, p->gid);
        return true;
    }
    if (!parse_id(name, &p->uid)) {
        return error_set(errp, "there is no user '%s'", name);
    }
    return group ? find_group(group, &p->gid, errp)
                 : error_set(errp, "user %s is in no database: say UID:GID", name);
}

bool privileges_set_chroot(Privileges *p, const char *folder, GError **errp)
{
    struct stat st;

    if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return error_set(errp, "'%s' is not a folder", folder);
    }
    g_free(p->chroot);
    p->chroot = g_strdup(folder);
    return true;
}

static bool change_user(const Privileges *p, GError **errp)
{
    const gid_t *groups = p->groups ? (gid_t *)(void *)p->groups->data : &p->gid;
    size_t n = p->groups ? p->groups->len : 1;

    if (setgroups(n, groups) < 0 || setresgid(p->gid, p->gid, p->gid) < 0 ||
        setresuid(p->uid, p->uid, p->uid) < 0) {
        return error_set(errp, "can't become user %u, group %u: %s", p->uid, p->gid,
                         g_strerror(errno));
    }
    return p->uid == 0 || (setuid(0) < 0 && seteuid(0) < 0) ||
           error_set(errp, "user %u can still become root", p->uid);
}

bool privileges_apply(const Privileges *p, GError **errp)
{
    if (p->chroot && (chroot(p->chroot) < 0 || chdir("/") < 0)) {
        return error_set(errp, "can't change the root folder to '%s': %s", p->chroot,
                         g_strerror(errno));
    }
    return !p->change_user || change_user(p, errp);
}

void privileges_clear(Privileges *p)
{
    g_clear_pointer(&p->groups, g_array_unref);
    g_free(p->chroot);
    p->chroot = NULL;
}
