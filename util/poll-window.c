/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sleep costs two switches and, when the event comes from another CPU, a wake-up that takes
 * longer than most of what a message asks for. Looking for a while before the sleep avoids that,
 * and burns the CPU when nothing comes; so the window follows what has paid.
 *
 * A wait that ended a little behind the window widens it, up to the maximum. One that ended beyond
 * the maximum would have been in vain with any window: a single one is the peer at work between two
 * messages, but from the second in a row on the window shrinks, so an idle loop soon looks for
 * nothing at all, and wakes for nothing.
 *
 * A disk is another matter: it takes longer, and its interrupt may go to the very CPU on which we
 * look. In a VM a CPU that is kept busy gets it late, 75 to 85 us after the request rather than 25
 * to 33. So while a disk has requests, the window is what a sleep costs, and waits teach nothing
 * but that a message came in time.
 *
 * The other end may share our CPU: then it can't send what we look for until we stop, and the event
 * always comes just behind the window, however wide. So windows in vain are counted, too: after
 * VAIN_MAX without one that paid, looking rests for a number of waits, which doubles each time it
 * was tried in vain again, up to REST_MAX.
 *
 * max, grow and shrink are those of QEMU's iothread; the rests and the first long wait are not.
 */
#include "util/poll-window.h"
#include <glib.h>

#define FIRST_NS 4000
#define DISK_NS 4000
#define VAIN_MAX 8
#define REST_MIN 16
#define REST_MAX 1024

void poll_window_init(PollWindow *w, int64_t max_ns, uint32_t grow, uint32_t shrink)
{
    *w = (PollWindow){ .max_ns = max_ns, .grow = grow, .shrink = shrink, .next_rest = REST_MIN };
}

int64_t poll_window_ns(const PollWindow *w, bool disk)
{
    return disk ? MIN(w->ns, DISK_NS) : w->ns;
}

static void widen(PollWindow *w)
{
    int64_t factor = w->grow ? w->grow : 2;

    if (w->ns == 0) {
        w->ns = MIN(FIRST_NS, w->max_ns);
    } else {
        w->ns = w->ns > w->max_ns / factor ? w->max_ns : w->ns * factor;
    }
}

static void narrow(PollWindow *w)
{
    w->ns = w->shrink ? w->ns / w->shrink : 0;
    if (w->ns < FIRST_NS) {
        w->ns = 0;
    }
}

/* True: looking has not paid for some time, and rests now. */
static bool gave_up(PollWindow *w)
{
    if (w->ns == 0 || ++w->vain < VAIN_MAX) {
        return false;
    }
    w->ns = 0;
    w->vain = 0;
    w->rest = w->next_rest;
    w->next_rest = MIN(2 * w->next_rest, REST_MAX);
    return true;
}

void poll_window_waited(PollWindow *w, bool disk, int64_t ns, bool hit)
{
    if (hit) {
        w->longs = w->vain = 0;
        w->next_rest = REST_MIN;
        return;
    }
    if (disk) {
        return;
    }
    if (w->rest > 0) {
        w->rest--;
        return;
    }
    if (gave_up(w)) {
        return;
    }
    if (ns <= w->max_ns) {
        w->longs = 0;
        widen(w);
    } else if (++w->longs > 1) {
        narrow(w);
    }
}
