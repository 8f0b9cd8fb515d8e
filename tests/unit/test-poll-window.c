/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the polling window follows what has paid, wait by wait. */
#include "util/poll-window.h"
#include <glib.h>

#define MAX_NS 32000

static void init(PollWindow *w)
{
    poll_window_init(w, MAX_NS, 2, 2);
}

/* An event that comes after ns: a hit if the window was as long as that. */
static bool wait(PollWindow *w, int64_t ns)
{
    bool hit = w->ns >= ns;

    poll_window_waited(w, false, ns, hit);
    return hit;
}

static void test_off(void)
{
    PollWindow w;

    poll_window_init(&w, 0, 2, 2);
    for (unsigned i = 0; i < 100; i++) {
        poll_window_waited(&w, false, 1, false);
        g_assert_cmpint(w.ns, ==, 0);
    }
}

static void test_grows(void)
{
    PollWindow w;
    unsigned sleeps = 0;

    init(&w);
    while (!wait(&w, 14000)) {
        g_assert_cmpuint(++sleeps, <, 5);
    }
    g_assert_cmpint(w.ns, ==, 16000); /* and no further, as that is enough */
    for (unsigned i = 0; i < 1000; i++) {
        g_assert_true(wait(&w, 14000));
    }
    g_assert_cmpint(w.ns, ==, 16000);
}

static void test_factor(void)
{
    PollWindow w;

    poll_window_init(&w, MAX_NS, 3, 0);
    poll_window_waited(&w, false, 20000, false);
    g_assert_cmpint(w.ns, ==, 4000);
    poll_window_waited(&w, false, 20000, false);
    g_assert_cmpint(w.ns, ==, 12000);
    poll_window_waited(&w, false, 20000, false);
    g_assert_cmpint(w.ns, ==, MAX_NS);
    poll_window_waited(&w, false, 2 * MAX_NS, false);
    g_assert_cmpint(w.ns, ==, MAX_NS);
    poll_window_waited(&w, false, 2 * MAX_NS, false);
    g_assert_cmpint(w.ns, ==, 0);
}

/* One long wait between short ones is a disk at work. */
static void test_one_long(void)
{
    PollWindow w;

    init(&w);
    while (!wait(&w, 14000)) {
    }
    for (unsigned i = 0; i < 100; i++) {
        g_assert_false(wait(&w, 10 * MAX_NS));
        g_assert_true(wait(&w, 14000));
    }
}

/* More of them are idleness: after a few, nothing is looked for. */
static void test_idle(void)
{
    PollWindow w;
    int64_t burnt = 0;

    init(&w);
    while (!wait(&w, 30000)) {
    }
    for (unsigned i = 0; i < 10; i++) {
        burnt += w.ns;
        wait(&w, 100 * MAX_NS);
    }
    g_assert_cmpint(w.ns, ==, 0);
    g_assert_cmpint(burnt, <=, 4 * MAX_NS);
    for (unsigned i = 0; i < 1000; i++) {
        wait(&w, 100 * MAX_NS);
        g_assert_cmpint(w.ns, ==, 0);
    }
}

/* The other end shares the CPU: its event comes when the window is over, whatever its length. */
static void test_in_vain(void)
{
    PollWindow w;
    int64_t burnt = 0;
    const unsigned waits = 20000;

    init(&w);
    for (unsigned i = 0; i < waits; i++) {
        burnt += w.ns;
        poll_window_waited(&w, false, w.ns + 10000, false);
    }
    g_assert_cmpint(burnt / waits, <, 500); /* of the 10000 that each would wait anyway */
}

/* ... until it has moved: then that is found out within a bounded number of waits. */
static void test_pays_again(void)
{
    PollWindow w;
    unsigned sleeps = 0;

    init(&w);
    for (unsigned i = 0; i < 20000; i++) {
        poll_window_waited(&w, false, w.ns + 10000, false);
    }
    while (!wait(&w, 10000)) {
        g_assert_cmpuint(++sleeps, <, 1100);
    }
    for (unsigned i = 0; i < 100; i++) {
        g_assert_true(wait(&w, 10000));
    }
}

/* While a disk has requests: not for long, and nothing is learnt but that it paid. */
static void test_disk(void)
{
    PollWindow w;

    init(&w);
    g_assert_cmpint(poll_window_ns(&w, true), ==, 0);
    while (!wait(&w, 30000)) {
    }
    g_assert_cmpint(poll_window_ns(&w, false), ==, MAX_NS);
    g_assert_cmpint(poll_window_ns(&w, true), ==, 4000);
    for (unsigned i = 0; i < 1000; i++) {
        poll_window_waited(&w, true, 80000, false);
    }
    g_assert_cmpint(w.ns, ==, MAX_NS);
    poll_window_waited(&w, false, 80000, false);
    poll_window_waited(&w, true, 2000, true);
    poll_window_waited(&w, false, 80000, false);
    g_assert_cmpint(w.ns, ==, MAX_NS);
    poll_window_waited(&w, false, 80000, false);
    g_assert_cmpint(w.ns, <, MAX_NS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/poll-window/off", test_off);
    g_test_add_func("/poll-window/grows", test_grows);
    g_test_add_func("/poll-window/factor", test_factor);
    g_test_add_func("/poll-window/one-long", test_one_long);
    g_test_add_func("/poll-window/idle", test_idle);
    g_test_add_func("/poll-window/in-vain", test_in_vain);
    g_test_add_func("/poll-window/pays-again", test_pays_again);
    g_test_add_func("/poll-window/disk", test_disk);
    return g_test_run();
}
