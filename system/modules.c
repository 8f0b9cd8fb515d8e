/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where this program's modules are, and -preload.
 *
 * An installed program has one folder for them, whose name is compiled in. One that lies elsewhere,
 * which is to say in a build folder, looks beside itself first. Nobody else has a say: there is no
 * option and no environment variable for it, since whoever chooses the folder chooses what runs
 * here with this process' rights. For the same reason the folder beside the program counts only if
 * it belongs to root or to the program's owner and not everybody can write to it, and never if the
 * process got rights from the program's file (setuid, file capabilities).
 *
 * Main thread, at start.
 */
#include "system/modules.h"
#include "config-host.h"
#include "util/error.h"
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>

static bool belongs_to_program(const char *dir, const char *program)
{
    struct stat st, prog;

    return stat(program, &prog) == 0 && lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) &&
           (st.st_uid == 0 || st.st_uid == prog.st_uid) && !(st.st_mode & S_IWOTH);
}

static char *dir_beside_program(void)
{
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = program ? g_path_get_dirname(program) : NULL;
    g_autofree char *dir = folder ? g_build_filename(folder, MODULE_BUILD_DIR, NULL) : NULL;

    if (!dir || getauxval(AT_SECURE) || !strcmp(folder, PROGRAM_DIR) ||
        !belongs_to_program(dir, program)) {
        return NULL;
    }
    return g_steal_pointer(&dir);
}

ModuleSet *modules_new(const Registry *registry)
{
    g_autofree char *beside = dir_beside_program();
    const char *const dirs[] = { beside ? beside : MODULE_DIR, beside ? MODULE_DIR : NULL, NULL };

    return module_set_new(registry->modules, registry->stamp, dirs);
}

bool option_preload(System *sys, const OptionItem *item, GError **errp)
{
    return module_preload(sys->modules, item->value, errp);
}
