/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chosen machine of a System. Main thread, at start. */
#ifndef SYSTEM_MACHINE_H
#define SYSTEM_MACHINE_H

#include "system/system.h"

/* Makes type the machine, with its properties at their defaults, unless it is already. */
void machine_choose(System *sys, const MachineType *type);
void machine_clear(System *sys);

#endif
