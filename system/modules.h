/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The modules of a program. Main thread, at start. */
#ifndef SYSTEM_MODULES_H
#define SYSTEM_MODULES_H

#include "system/options.h"
#include "util/module.h"

/* Those of the registry, from where this program may load them. */
ModuleSet *modules_new(const Registry *registry);

#endif
