/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a submission waits for more, step by step. */
#include "util/burst.h"
#include <glib.h>

#define COST 20000

typedef struct Clock {
    Burst burst;
    int64_t now;
} Clock;

/* A request that comes gap after the last submission. Returns how long the next may be waited
 * for. */
static int64_t come(Clock *c, int64_t gap)
{
    c->now += gap;
    burst_begin(&c->burst, c->now);
    return burst_wait_ns(&c->burst);
}

static void submit(Clock *c, int64_t cost)
{
    burst_submitted(&c->burst, c->now, c->now + cost);
    c->now += cost;
}

static void one_by_one(Clock *c, unsigned n, int64_t gap)
{
    for (unsigned i = 0; i < n; i++) {
        come(c, gap);
        submit(c, COST);
    }
}

/* One request at a time: each comes when the last has been done. */
static void test_depth_one(void)
{
    Clock c = { 0 };

    for (unsigned i = 0; i < 1000; i++) {
        g_assert_cmpint(come(&c, 100000), ==, 0);
        submit(&c, COST);
    }
}

static void test_burst(void)
{
    Clock c = { 0 };
    unsigned alone = 0;

    one_by_one(&c, 10, 100000);
    while (!come(&c, 1000)) {
        submit(&c, COST);
        g_assert_cmpuint(++alone, <, 5);
    }
    g_assert_cmpint(burst_wait_ns(&c.burst), <=, COST);
    g_assert_cmpint(burst_wait_ns(&c.burst), >, COST / 2);
}

/* Sixteen requests, a wait in vain behind the last, a pause, and so on. */
static void test_again(void)
{
    Clock c = { 0 };

    one_by_one(&c, 10, 1000);
    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmpint(come(&c, 100000), >, 0);
        for (unsigned more = 1; more < 16; more++) {
            burst_waited(&c.burst, true);
        }
        burst_waited(&c.burst, false);
        submit(&c, COST);
    }
}

/* What comes in a row, but not as soon as a wait lasts: one wait in four submissions. */
static void test_vain(void)
{
    Clock c = { 0 };
    unsigned waits = 0;

    for (unsigned i = 0; i < 1000; i++) {
        if (come(&c, 1000)) {
            burst_waited(&c.burst, false);
            waits++;
        }
        submit(&c, COST);
    }
    g_assert_cmpuint(waits, >, 0);
    g_assert_cmpuint(waits, <, 1000 / 2);
}

static void test_ends(void)
{
    Clock c = { 0 };

    one_by_one(&c, 10, 1000);
    one_by_one(&c, 10, 100000);
    g_assert_cmpint(burst_wait_ns(&c.burst), ==, 0);
}

/* Never longer than a submission takes, nor than a bound. */
static void test_cost(void)
{
    Clock c = { 0 };

    for (unsigned i = 0; i < 100; i++) {
        come(&c, 0);
        submit(&c, 2000);
    }
    g_assert_cmpint(burst_wait_ns(&c.burst), <=, 2000);
    for (unsigned i = 0; i < 100; i++) {
        come(&c, 0);
        submit(&c, 1000000000);
    }
    g_assert_cmpint(burst_wait_ns(&c.burst), <=, 32000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/burst/depth_one", test_depth_one);
    g_test_add_func("/burst/burst", test_burst);
    g_test_add_func("/burst/again", test_again);
    g_test_add_func("/burst/vain", test_vain);
    g_test_add_func("/burst/ends", test_ends);
    g_test_add_func("/burst/cost", test_cost);
    return g_test_run();
}
