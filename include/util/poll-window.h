/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a loop looks for events before it sleeps: arithmetic without a clock, so that it can be
 * tested step by step.
 */
#ifndef UTIL_POLL_WINDOW_H
#define UTIL_POLL_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

typedef struct PollWindow {
    int64_t max_ns;  /* 0: never look */
    uint32_t grow;   /* factor; 0: 2 */
    uint32_t shrink; /* divisor; 0: to nothing at once */
    /* its own */
    int64_t ns;     /* the window now */
    uint32_t longs; /* waits beyond max_ns in a row */
    uint32_t vain;  /* windows that passed without an event, since the last that did not */
    uint32_t rest;  /* waits for which nothing is tried */
    uint32_t next_rest;
} PollWindow;

void poll_window_init(PollWindow *w, int64_t max_ns, uint32_t grow, uint32_t shrink);
/* How long to look; disk: it has requests of ours. */
int64_t poll_window_ns(const PollWindow *w, bool disk);
/* A wait has ended after ns; hit: within the window, without a sleep. */
void poll_window_waited(PollWindow *w, bool disk, int64_t ns, bool hit);

#endif
