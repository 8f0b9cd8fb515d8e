/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every thread but the main one does about signals and its name. */
#ifndef UTIL_THREAD_H
#define UTIL_THREAD_H

#include <signal.h>

/* Blocks all signals in the calling thread but those that a fault raises on the spot. *before is
 * what was blocked, if not NULL. */
void thread_block_signals(sigset_t *before);
/* The first thing that a worker thread does: as above, and its name for ps and top. A thread can
 * name only itself, since another's name is a file. */
void thread_begin(const char *name);

#endif
