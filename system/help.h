/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What -help, -version and `-OPTION help` print, on standard output: OptionDesc.show(). */
#ifndef SYSTEM_HELP_H
#define SYSTEM_HELP_H

#include "system/registry.h"

bool help_usage(const Registry *registry, const char *value);
bool help_version(const Registry *registry, const char *value);
bool help_capabilities(const Registry *registry, const char *value); /* capabilities.c */
bool help_machine(const Registry *registry, const char *value);
bool help_accel(const Registry *registry, const char *value);
bool help_device(const Registry *registry, const char *value);
bool help_object(const Registry *registry, const char *value);
bool help_preload(const Registry *registry, const char *value);
bool help_chardev(const Registry *registry, const char *value);
bool help_qmp(const Registry *registry, const char *value);
bool help_trace(const Registry *registry, const char *value);

#endif
