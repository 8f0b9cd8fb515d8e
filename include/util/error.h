/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one error domain of set-up errors: a sentence for the operator, nothing to dispatch on. */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include <glib.h>

#define SETUP_ERROR (g_quark_from_static_string("setup-error"))

/* Sets *errp to the sentence; is false, so that `return error_set(errp, ...)` reads well. A
 * statement expression, because a comma expression warns where the value isn't used. */
#define error_set(errp, ...)                                                                       \
    ({                                                                                             \
        g_set_error((errp), SETUP_ERROR, 0, __VA_ARGS__);                                          \
        false;                                                                                     \
    })

#endif
