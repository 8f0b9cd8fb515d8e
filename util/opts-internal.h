/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of the opts module. */
#ifndef UTIL_OPTS_INTERNAL_H
#define UTIL_OPTS_INTERNAL_H

#include "util/opts.h"

/* Adds what the JSON object in text says to opts, nested objects as dotted keys. */
bool opts_add_json(Opts *opts, const char *text, GError **errp);

#endif
