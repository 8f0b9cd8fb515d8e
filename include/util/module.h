/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of the program that are files of their own, because they need a library that most who run
 * it have no use for: KIND-NAME.so, loaded when something asks for it. What a module gives is one
 * pointer, and its kind says to what: "block" to a BlockDriver, "codec" to a BlockCodec.
 *
 * Main thread only.
 */
#ifndef UTIL_MODULE_H
#define UTIL_MODULE_H

#include <glib.h>
#include <stdbool.h>

typedef struct ModuleSet ModuleSet;

/* What a module's file exports, as `remote_module`. */
typedef struct Module {
    const char *stamp; /* of the build that it is from */
    const char *kind;
    const char *name;
    const void *interface;
} Module;

/* One that this program knows, whether its file is installed or not. */
typedef struct ModuleDesc {
    const char *kind;
    const char *name;      /* also what -preload calls it */
    const char *help;      /* one line */
    const Module *builtin; /* linked into the program; NULL: in a file */
} ModuleDesc;

/* descs: ended by a NULL name. stamp: of this build; a file that doesn't have it is not loaded.
 * dirs: NULL-terminated, where files are, the first one first; copied. */
ModuleSet *module_set_new(const ModuleDesc *descs, const char *stamp, const char *const *dirs);
/* What has been loaded stays. */
void module_set_free(ModuleSet *set);
const ModuleDesc *module_set_descs(const ModuleSet *set);

/* Is there such a module, installed or not? */
bool module_known(const ModuleSet *set, const char *kind, const char *name);
/* Loads the module if that has not been done yet. NULL and an error if it is unknown, not
 * installed, from another build, can't be linked (its library is missing), or if the set is
 * sealed. */
const void *module_get(ModuleSet *set, const char *kind, const char *name, GError **errp);
/* By names alone, separated by commas, as -preload takes them: loads each. */
bool module_preload(ModuleSet *set, const char *names, GError **errp);
/* From now on nothing is loaded any more. */
void module_set_seal(ModuleSet *set);

#endif
