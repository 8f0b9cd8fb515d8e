/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A peer that awaits the answer to each of its messages sends requests one by one, even if it has
 * many, and each would be submitted alone. A submission may cost more than the request itself (a
 * virtual disk's doorbell, a thread that is woken), and the peer's next message comes while it is
 * under way. Then waiting pays, and for how long is the old question of when to stop renting skis:
 * no longer than what could be saved costs.
 *
 * Whether more comes in time is known without waiting: the next submission then follows the last
 * one at once. Two of these in a row begin a burst, in which waits are tried; those that were in
 * vain end it. With one request at a time no submission follows another at once, so it is never
 * kept waiting.
 */
#include "util/burst.h"
#include <glib.h>

#define COST_MAX_NS 32000 /* what a submission counts for, even if it takes longer */
#define SCORE_MAX 8
#define SCORE_BURST 4
#define VAIN 3 /* hits that a wait in vain outweighs */

static void worse(Burst *b, unsigned by)
{
    b->score -= MIN(b->score, by);
}

static void better(Burst *b)
{
    b->score = MIN(b->score + 1, SCORE_MAX);
}

void burst_begin(Burst *b, int64_t came)
{
    if (came - b->last_ns < b->cost_ns) {
        better(b);
    } else {
        worse(b, 1);
    }
}

int64_t burst_wait_ns(const Burst *b)
{
    return b->score >= SCORE_BURST ? b->cost_ns : 0;
}

void burst_waited(Burst *b, bool hit)
{
    if (hit) {
        better(b);
    } else {
        worse(b, VAIN);
    }
}

void burst_submitted(Burst *b, int64_t begin, int64_t end)
{
    int64_t cost = MIN(end - begin, COST_MAX_NS);

    b->cost_ns += (cost - b->cost_ns) / 4;
    b->last_ns = end;
}
