/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a loop that polls finds without the kernel's list of events: it asks its sources one after
 * the other, before a sleep for as long as the window says (util/poll-window.h), and at the end of
 * a turn, before a submission that may wait for more (util/burst.h).
 *
 * The latter makes one submission of requests that come one by one. It is over when nothing more
 * has come in time, when a hook has enough, or after the longest window: descriptors and timers
 * wait meanwhile. The time spent looking is no work, so it is taken out of the turn's.
 */
#include "loop-int.h"

void loop_set_polling(Loop *loop, int64_t max_ns, uint32_t grow, uint32_t shrink)
{
    poll_window_init(&loop->window, max_ns, grow, shrink);
}

void loop_at_disk(Loop *loop, int change)
{
    g_assert(change >= 0 || loop->n_at_disk >= (unsigned)-change);
    loop->n_at_disk += change;
}

void loop_poll_add(Loop *loop, LoopPoll *poll, LoopPollFn *fn, void *opaque)
{
    *poll = (LoopPoll){ .loop = loop, .fn = fn, .opaque = opaque, .prev = &loop->polls };
    poll->next = loop->polls;
    if (poll->next) {
        poll->next->prev = &poll->next;
    }
    loop->polls = poll;
}

void loop_poll_del(LoopPoll *poll)
{
    if (!poll->prev) {
        return;
    }
    if (poll->loop->next_poll == poll) {
        poll->loop->next_poll = poll->next;
    }
    *poll->prev = poll->next;
    if (poll->next) {
        poll->next->prev = poll->prev;
    }
    poll->next = NULL;
    poll->prev = NULL;
}

static bool look_once(Loop *loop)
{
    LoopPoll *poll = loop->polls;
    bool found = false;

    while (poll) {
        loop->next_poll = poll->next;
        found |= poll->fn(poll->opaque);
        poll = loop->next_poll;
    }
    loop->ran |= found;
    return found;
}

static bool must_stop(Loop *loop)
{
    return atomic_load(&loop->posts) || atomic_load(&loop->quit);
}

bool loop_look(Loop *loop, int64_t begin, int64_t limit)
{
    int64_t window = poll_window_ns(&loop->window, loop->n_at_disk > 0);

    if (limit >= 0) {
        window = MIN(window, limit);
    }
    loop->woke_ns = begin;
    do {
        if (look_once(loop)) {
            return true;
        }
        if (must_stop(loop)) {
            return false;
        }
        loop->woke_ns = loop_now_ns();
    } while (loop->woke_ns - begin < window);
    return false;
}

/* What the hooks have that may wait; 0 if that is nothing, or if some of it must not. */
static unsigned count_held(const Loop *loop)
{
    unsigned sum = 0;

    for (const LoopHook *hook = loop->hooks; hook; hook = hook->next) {
        int n = hook->held ? hook->held(hook->opaque) : 0;

        if (n < 0) {
            return 0;
        }
        sum += n;
    }
    return sum;
}

/* Until there is more than `held`, or no more may wait, or the time is over. Returns what there is
 * then. */
static unsigned look_for_more(Loop *loop, unsigned held, int64_t until)
{
    int64_t begin = loop_now_ns(), now;

    for (;;) {
        bool found = look_once(loop);
        unsigned n = held;

        if (found) {
            loop_run_deferred(loop);
            n = count_held(loop);
        }
        now = loop_now_ns();
        if (!found) {
            loop->woke_ns += now - begin;
        }
        if (n != held || now >= until || must_stop(loop)) {
            return n;
        }
        begin = now;
    }
}

bool loop_gather(Loop *loop)
{
    unsigned held = count_held(loop), n;
    int64_t now, end, wait;

    if (!held) {
        return false;
    }
    now = loop_now_ns();
    end = now + loop->window.max_ns;
    burst_begin(&loop->burst, loop->woke_ns);
    while (now < end && (wait = burst_wait_ns(&loop->burst)) > 0) {
        n = look_for_more(loop, held, MIN(now + wait, end));
        burst_waited(&loop->burst, n != held);
        if (n <= held) {
            break;
        }
        held = n;
        now = loop_now_ns();
    }
    return true;
}
