/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Modules: looking for the file, and what is looked at before any code of it runs.
 *
 * A module is linked against structs of this program, not against a stable interface, so only one
 * of the very same build will do. The build's stamp (scripts/build-stamp) is a text that stands in
 * the program and in each of its modules. It is looked for in the file's bytes first, because
 * opening a shared object runs its constructors and those of its libraries; once it is open, the
 * exported Module says the same thing again, and which module it is. That guards against a mixed
 * installation, not against malice: whoever can write into the folder has the program. So the
 * folders are for the caller to choose with care (system/modules.c); no environment variable is
 * asked here.
 *
 * Loading needs what a confined process must not have, to open and map code. So everything is
 * loaded at start, and then the set is sealed; a module that is asked for later is refused with
 * the words that help. What has been loaded is never unloaded: libraries below have threads and
 * thread-local state, and there is nothing to gain.
 */
#include "util/module.h"
#include "util/error.h"
#include <dlfcn.h>
#include <string.h>

struct ModuleSet {
    const ModuleDesc *descs;
    const char *stamp;
    char **dirs;
    GHashTable *loaded; /* const ModuleDesc * -> const Module * */
    bool sealed;
};

ModuleSet *module_set_new(const ModuleDesc *descs, const char *stamp, const char *const *dirs)
{
    ModuleSet *set = g_new0(ModuleSet, 1);

    set->descs = descs;
    set->stamp = stamp;
    set->dirs = g_strdupv((char **)dirs);
    set->loaded = g_hash_table_new(NULL, NULL);
    return set;
}

void module_set_free(ModuleSet *set)
{
    g_hash_table_unref(set->loaded);
    g_strfreev(set->dirs);
    g_free(set);
}

const ModuleDesc *module_set_descs(const ModuleSet *set)
{
    return set->descs;
}

void module_set_seal(ModuleSet *set)
{
    set->sealed = true;
}

/* kind NULL: any. */
static const ModuleDesc *desc_find(const ModuleSet *set, const char *kind, const char *name)
{
    for (const ModuleDesc *desc = set->descs; desc->name; desc++) {
        if (!strcmp(desc->name, name) && (!kind || !strcmp(desc->kind, kind))) {
            return desc;
        }
    }
    return NULL;
}

bool module_known(const ModuleSet *set, const char *kind, const char *name)
{
    return desc_find(set, kind, name) != NULL;
}

static bool has_stamp(const char *path, const char *stamp, GError **errp)
{
    g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, errp);

    if (!file) {
        return false;
    }
    const char *contents = g_mapped_file_get_contents(file); /* NULL: an empty file */

    return (contents &&
            memmem(contents, g_mapped_file_get_length(file), stamp, strlen(stamp))) ||
           error_set(errp, "'%s' is from another build of this program", path);
}

/* NULL with an error, or without one if there is no such file. */
static const Module *load_file(const ModuleSet *set, const ModuleDesc *desc, const char *path,
                               GError **errp)
{
    const Module *module = NULL;
    void *file;

    if (!g_file_test(path, G_FILE_TEST_EXISTS) || !has_stamp(path, set->stamp, errp)) {
        return NULL;
    }
    file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!file) {
        error_set(errp, "%s", dlerror());
        return NULL;
    }
    module = dlsym(file, "remote_module");
    if (!module || strcmp(module->stamp, set->stamp) || strcmp(module->kind, desc->kind) ||
        strcmp(module->name, desc->name)) {
        error_set(errp, "'%s' is not the module '%s'", path, desc->name);
        dlclose(file);
        return NULL;
    }
    return module;
}

/* A file of another build hides no good one that lies in a later folder. */
static const Module *load(const ModuleSet *set, const ModuleDesc *desc, GError **errp)
{
    g_autofree char *name = g_strdup_printf("%s-%s.so", desc->kind, desc->name);
    g_autoptr(GError) first = NULL;

    for (unsigned i = 0; set->dirs[i]; i++) {
        g_autofree char *path = g_build_filename(set->dirs[i], name, NULL);
        g_autoptr(GError) err = NULL;
        const Module *module = load_file(set, desc, path, &err);

        if (module) {
            return module;
        }
        if (err && !first) {
            first = g_steal_pointer(&err);
        }
    }
    if (first) {
        error_set(errp, "Module '%s' can't be loaded: %s", desc->name, first->message);
    } else {
        g_autofree char *dirs = g_strjoinv(" or ", set->dirs);

        error_set(errp, "Module '%s' is not installed: there is no %s in %s", desc->name, name,
                  dirs);
    }
    return NULL;
}

static const Module *get(ModuleSet *set, const ModuleDesc *desc, GError **errp)
{
    const Module *module = desc->builtin;

    if (!module) {
        module = g_hash_table_lookup(set->loaded, desc);
    }
    if (!module && set->sealed) {
        error_set(errp,
                  "'%s' is a module, and those are loaded when the process starts: start it with "
                  "-preload %s",
                  desc->name, desc->name);
    } else if (!module) {
        module = load(set, desc, errp);
        if (module) {
            g_hash_table_insert(set->loaded, (gpointer)desc, (gpointer)module);
        }
    }
    return module;
}

const void *module_get(ModuleSet *set, const char *kind, const char *name, GError **errp)
{
    const ModuleDesc *desc = desc_find(set, kind, name);
    const Module *module = NULL;

    if (desc) {
        module = get(set, desc, errp);
    } else {
        error_set(errp, "There is no module '%s' for this program", name);
    }
    return module ? module->interface : NULL;
}

bool module_preload(ModuleSet *set, const char *names, GError **errp)
{
    g_auto(GStrv) list = g_strsplit(names, ",", -1);

    for (unsigned i = 0; list[i]; i++) {
        const ModuleDesc *desc = desc_find(set, NULL, list[i]);

        if (!desc) {
            return error_set(errp, "There is no module '%s' for this program", list[i]);
        }
        if (!get(set, desc, errp)) {
            return false;
        }
    }
    return true;
}
