/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What makes a module of a driver or codec: the one symbol that util/module.c looks up. Compiled
 * for each module, with MODULE_KIND, MODULE_NAME and MODULE_INTERFACE from meson.build; the code
 * itself is compiled once and, as in the unit tests, can as well be linked into a program.
 *
 * The stamp is also what the loader looks for in the file before it opens it.
 */
#include "block/codec.h"
#include "block/drivers.h"
#include "build-stamp.h"
#include "util/module.h"

extern const Module remote_module;

__attribute__((visibility("default"))) const Module remote_module = {
    .stamp = BUILD_STAMP,
    .kind = MODULE_KIND,
    .name = MODULE_NAME,
    .interface = &MODULE_INTERFACE,
};
