/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From any thread to the main loop. */
#ifndef UTIL_MAIN_POST_H
#define UTIL_MAIN_POST_H

/* Calls fn(opaque) from the main loop, once, in the order of posts and never from within, also if
 * it is the main thread that posts. What was written before is seen by fn. Never called if the main
 * loop has ended for good. Any thread. */
void main_post(void (*fn)(void *opaque), void *opaque);

#endif
