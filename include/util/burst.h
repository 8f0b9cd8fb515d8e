/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a submission should wait a moment for the next request: arithmetic without a clock, so
 * that it can be tested step by step. Times are of loop_now_ns(). On one thread.
 */
#ifndef UTIL_BURST_H
#define UTIL_BURST_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Burst { /* begins as zeros */
    int64_t cost_ns;   /* what a submission takes, smoothed */
    int64_t last_ns;   /* when the last one was over */
    unsigned score;    /* of how often a wait would have paid, or has */
} Burst;

/* There is something to be submitted, by what came at that time. */
void burst_begin(Burst *b, int64_t came);
/* How long to wait for more of it at most; 0: not at all. */
int64_t burst_wait_ns(const Burst *b);
/* Such a wait has ended; hit: more came within it. */
void burst_waited(Burst *b, bool hit);
/* What there was has been submitted, from begin to end. */
void burst_submitted(Burst *b, int64_t begin, int64_t end);

#endif
