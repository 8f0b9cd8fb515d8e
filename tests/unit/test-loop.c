/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: the order of a turn, deferred work, the bounds that keep one party from starving
 * another, hooks, the end, and the calls from other threads (worth running under TSan). Descriptors
 * and timers are test-loop-events.c.
 */
#include "loop-fixture.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

static void also_defer_other(Item *item)
{
    loop_defer(&item->other->work);
}

static void also_yield_self(Item *item)
{
    loop_yield(&item->work);
}

static void also_yield_other(Item *item)
{
    loop_yield(&item->other->work);
}

static void also_defer_self(Item *item)
{
    loop_defer(&item->work);
}

static void also_cancel_other(Item *item)
{
    loop_work_cancel(&item->other->work);
}

static void also_run_deferred(Item *item)
{
    loop_run_deferred(item->f->loop);
    g_string_append_c(item->f->log, '.');
}

static void also_quit(Item *item)
{
    loop_quit(item->f->loop);
}

/* Work */

static void test_name(Fixture *f, G_GNUC_UNUSED const void *data)
{
    g_assert_cmpstr(loop_name(f->loop), ==, "test");
    g_assert_false(loop_turn(f->loop, 0));
}

static void test_defer(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, c;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    a.also = also_defer_other;
    a.other = &c;
    loop_defer(&a.work);
    loop_defer(&b.work);
    loop_defer(&a.work);
    g_assert_true(loop_work_queued(&a.work));
    g_assert_true(loop_turn(f->loop, -1));
    expect(f, "abc");
    g_assert_false(loop_work_queued(&a.work));
    g_assert_false(loop_turn(f->loop, 0));
}

static void test_yield(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    a.also = also_yield_self;
    item_watch(&b);
    loop_defer(&a.work);
    loop_turn(f->loop, -1);
    expect(f, "ba");
    loop_turn(f->loop, -1);
    expect(f, "ba");
    a.also = NULL;
    loop_turn(f->loop, -1);
    expect(f, "ba");
    loop_turn(f->loop, -1);
    expect(f, "b");
    item_unwatch(&b);
}

/* In this turn, behind all that is deferred meanwhile; what it defers itself comes before the next
 * one of its kind. */
static void test_defer_last(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, c, d, e;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    item_init(&d, f, 'd');
    item_init(&e, f, 'e');
    loop_defer_last(&a.work);
    loop_defer_last(&b.work);
    loop_defer_last(&e.work);
    loop_work_cancel(&e.work);
    loop_defer(&c.work);
    c.also = also_defer_other;
    c.other = &d;
    a.also = also_defer_other;
    a.other = &e;
    loop_turn(f->loop, -1);
    expect(f, "cdaeb");
}

/* Yielded by a descriptor callback: not in this turn. Deferred afterwards: no change. */
static void test_yield_from_fd(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, c;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    item_watch(&a);
    a.also = also_yield_other;
    a.other = &b;
    loop_turn(f->loop, -1);
    expect(f, "a");
    loop_defer(&b.work);
    a.also = also_defer_other;
    a.other = &c;
    loop_turn(f->loop, -1);
    expect(f, "abc");
    item_unwatch(&a);
}

static void test_cancel(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item items[4];

    /* Each position of the queue; then its end must still take more. */
    for (unsigned gone = 0; gone < 3; gone++) {
        for (unsigned i = 0; i < 4; i++) {
            item_init(&items[i], f, 'a' + i);
        }
        loop_defer(&items[0].work);
        loop_defer(&items[1].work);
        loop_defer(&items[2].work);
        loop_work_cancel(&items[gone].work);
        loop_work_cancel(&items[gone].work);
        g_assert_false(loop_work_queued(&items[gone].work));
        loop_defer(&items[3].work);
        loop_turn(f->loop, -1);
        expect(f, gone == 0 ? "bcd" : gone == 1 ? "acd" : "abd");
    }
}

static void test_cancel_all(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    loop_yield(&a.work);
    loop_defer(&b.work);
    loop_work_cancel(&a.work);
    loop_work_cancel(&b.work);
    g_assert_false(loop_turn(f->loop, 0));
    loop_defer(&b.work);
    loop_yield(&a.work);
    loop_turn(f->loop, -1);
    expect(f, "ab");
}

/* In the turn in which yielded work is about to run, by a descriptor that comes before. */
static void test_cancel_resumed(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, c;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    item_watch(&a);
    a.also = also_cancel_other;
    a.other = &c;
    loop_yield(&b.work);
    loop_yield(&c.work);
    loop_turn(f->loop, -1);
    expect(f, "ab");
    item_unwatch(&a);
    loop_yield(&c.work);
    loop_turn(f->loop, -1);
    expect(f, "c");
}

static void test_run_deferred(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, c, d;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    item_init(&d, f, 'd');
    item_watch(&a);
    a.also = also_run_deferred;
    b.also = also_defer_other;
    b.other = &c;
    loop_yield(&d.work);
    loop_defer(&b.work);
    loop_turn(f->loop, -1);
    /* What was yielded waits until the descriptors are done. */
    expect(f, "abc.d");
    item_unwatch(&a);
}

/* Work that defers itself for ever: 1024 at a time, and descriptors in between. */
static void test_deferred_bound(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    a.also = also_defer_self;
    item_watch(&b);
    loop_defer(&a.work);
    for (unsigned i = 1; i <= 3; i++) {
        loop_turn(f->loop, -1);
        g_assert_cmpuint(a.count, ==, i * 1024);
        g_assert_cmpuint(b.count, ==, i);
    }
    loop_work_cancel(&a.work);
    item_unwatch(&b);
}

static void test_run_deferred_bound(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_watch(&b);
    a.also = also_defer_self;
    b.also = also_run_deferred;
    loop_defer(&a.work);
    loop_turn(f->loop, -1);
    g_assert_cmpuint(a.count, ==, 1024);
    loop_turn(f->loop, -1);
    g_assert_cmpuint(a.count, ==, 2048);
    loop_work_cancel(&a.work);
    item_unwatch(&b);
}

/* Descriptors */

static void test_turn_order(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item fd, timer, post, work, yielded, hook;

    item_init(&fd, f, 'f');
    item_init(&timer, f, 't');
    item_init(&post, f, 'p');
    item_init(&work, f, 'w');
    item_init(&yielded, f, 'y');
    item_init(&hook, f, 'h');
    item_watch(&fd);
    loop_defer(&work.work);
    loop_yield(&yielded.work);
    loop_timer_arm(&timer.timer, 0);
    loop_post(f->loop, &post.post);
    loop_hook_add(f->loop, &hook.hook, note, NULL, &hook);
    g_assert_true(loop_turn(f->loop, -1));
    expect(f, "hptfywh");
    item_unwatch(&fd);
    loop_hook_del(&hook.hook);
}

static void also_del_hook(Item *item)
{
    loop_hook_del(&item->other->hook);
}

static void test_hook_del(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, c;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    loop_hook_add(f->loop, &a.hook, note, NULL, &a);
    loop_hook_add(f->loop, &b.hook, note, NULL, &b);
    loop_hook_add(f->loop, &c.hook, note, NULL, &c);
    loop_turn(f->loop, 0);
    expect(f, "abcabc");
    a.also = also_del_hook;
    a.other = &b;
    b.other = &b;
    loop_turn(f->loop, 0);
    expect(f, "acac");
    a.other = &a;
    loop_turn(f->loop, 0);
    expect(f, "acc");
    loop_hook_del(&c.hook);
    loop_hook_del(&c.hook);
    loop_turn(f->loop, 0);
    expect(f, "");
}

/* A hook's work must not wait for an event. */
static void test_hook_defers(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, q;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&q, f, 'q');
    a.also = also_defer_other;
    a.other = &b;
    b.also = also_quit;
    loop_hook_add(f->loop, &a.hook, note, NULL, &a);
    loop_run(f->loop);
    expect(f, "aba");
    loop_work_cancel(&b.work);
    loop_hook_del(&a.hook);
}

/* Quit */

static void test_quit_before_run(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a;

    item_init(&a, f, 'a');
    loop_hook_add(f->loop, &a.hook, note, NULL, &a);
    loop_quit(f->loop);
    loop_run(f->loop);
    expect(f, "aa");
    loop_quit(f->loop);
    loop_run(f->loop);
    loop_hook_del(&a.hook);
}

static void test_quit_finishes_turn(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, h;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&h, f, 'h');
    item_watch(&a);
    a.also = also_quit;
    loop_defer(&b.work);
    loop_hook_add(f->loop, &h.hook, note, NULL, &h);
    loop_run(f->loop);
    expect(f, "habh");
    loop_hook_del(&h.hook);
    item_unwatch(&a);
}

static void do_nothing(G_GNUC_UNUSED int sig)
{
}

/* A signal ends a wait, not the loop. */
static void test_signal(Fixture *f, G_GNUC_UNUSED const void *data)
{
    struct itimerval often = { .it_interval.tv_usec = 500, .it_value.tv_usec = 500 };
    struct itimerval off = { .it_value.tv_usec = 0 };
    struct sigaction act = { .sa_handler = do_nothing };

    g_assert_cmpint(sigaction(SIGALRM, &act, NULL), ==, 0);
    g_assert_cmpint(setitimer(ITIMER_REAL, &often, NULL), ==, 0);
    for (int i = 0; i < 3; i++) {
        g_assert_false(loop_turn(f->loop, -1));
    }
    setitimer(ITIMER_REAL, &off, NULL);
}

/* Other threads */

static void also_post_self(Item *item)
{
    loop_post(item->f->loop, &item->post);
}

static void test_post_order(Fixture *f, G_GNUC_UNUSED const void *data)
{
    Item a, b, c;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    loop_post(f->loop, &a.post);
    loop_post(f->loop, &b.post);
    loop_post(f->loop, &c.post);
    a.also = also_post_self;
    g_assert_true(loop_turn(f->loop, -1));
    expect(f, "abc");
    a.also = NULL;
    g_assert_true(loop_turn(f->loop, -1));
    expect(f, "a");
    g_assert_false(loop_turn(f->loop, 0));
}

static void free_post(void *opaque)
{
    g_free(opaque);
}

static void test_post_freed(Fixture *f, G_GNUC_UNUSED const void *data)
{
    for (int i = 0; i < 3; i++) {
        LoopPost *post = g_new0(LoopPost, 1);

        *post = (LoopPost){ .fn = free_post, .opaque = post };
        loop_post(f->loop, post);
    }
    g_assert_true(loop_turn(f->loop, -1));
}

#define POSTERS 3
#define POSTS 5000

typedef struct Poster {
    Loop *loop;
    unsigned next;  /* as seen by the loop */
    unsigned *left; /* of all posters; the loop's */
} Poster;

typedef struct Numbered {
    LoopPost post;
    Poster *poster;
    unsigned number;
} Numbered;

static void numbered_run(void *opaque)
{
    Numbered *numbered = opaque;
    Poster *poster = numbered->poster;

    g_assert_cmpuint(numbered->number, ==, poster->next);
    poster->next++;
    if (--*poster->left == 0) {
        loop_quit(poster->loop);
    }
    g_free(numbered);
}

static void *poster_thread(void *opaque)
{
    Poster *poster = opaque;

    for (unsigned i = 0; i < POSTS; i++) {
        Numbered *numbered = g_new0(Numbered, 1);

        numbered->post = (LoopPost){ .fn = numbered_run, .opaque = numbered };
        numbered->poster = poster;
        numbered->number = i;
        loop_post(poster->loop, &numbered->post);
    }
    return NULL;
}

static void test_post_threads(Fixture *f, G_GNUC_UNUSED const void *data)
{
    unsigned left = POSTERS * POSTS;
    Poster posters[POSTERS];
    GThread *threads[POSTERS];

    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (Poster){ .loop = f->loop, .left = &left };
        threads[i] = g_thread_new("poster", poster_thread, &posters[i]);
    }
    loop_run(f->loop);
    for (unsigned i = 0; i < POSTERS; i++) {
        g_thread_join(threads[i]);
        g_assert_cmpuint(posters[i].next, ==, POSTS);
    }
}

static void *run_thread(void *opaque)
{
    loop_run(opaque);
    return NULL;
}

static void *quit_thread(void *opaque)
{
    loop_quit(opaque);
    return NULL;
}

static void quit_loop(void *opaque)
{
    loop_quit(opaque);
}

static void *post_quit_thread(void *opaque)
{
    LoopPost *post = opaque;

    loop_post(post->opaque, post);
    return NULL;
}

/* The loop goes as soon as the post has run, which may be before its poster has returned. */
static void test_free_race(G_GNUC_UNUSED Fixture *f, G_GNUC_UNUSED const void *data)
{
    for (int i = 0; i < 500; i++) {
        Loop *loop = loop_new("short", NULL);
        LoopPost post = { .fn = quit_loop, .opaque = loop };
        GThread *thread = i & 1 ? g_thread_new("quit", quit_thread, loop)
                                : g_thread_new("post", post_quit_thread, &post);

        loop_run(loop);
        loop_free(loop);
        g_thread_join(thread);
    }
}

static void increment(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void test_call(Fixture *f, G_GNUC_UNUSED const void *data)
{
    GThread *thread = g_thread_new("loop", run_thread, f->loop);
    unsigned count = 0; /* written by the loop, read here: loop_call() orders them */

    for (unsigned i = 0; i < 1000; i++) {
        g_assert_cmpuint(count, ==, i);
        loop_call(f->loop, increment, &count);
    }
    loop_quit(f->loop);
    g_thread_join(thread);
    g_assert_cmpuint(count, ==, 1000);
}

static void count_turn(void *opaque)
{
    atomic_fetch_add((atomic_uint *)opaque, 1);
}

/* A loop without anything to do stays asleep: turns are counted by its hook. */
static void test_idle(Fixture *f, G_GNUC_UNUSED const void *data)
{
    atomic_uint turns = 0;
    unsigned before, nothing = 0;
    LoopHook hook;
    GThread *thread;

    loop_hook_add(f->loop, &hook, count_turn, NULL, &turns);
    thread = g_thread_new("loop", run_thread, f->loop);
    loop_call(f->loop, increment, &nothing);
    /* Until the hook of that turn has run: before the first wait, and after the call. */
    while (atomic_load(&turns) < 2) {
        g_thread_yield();
    }
    before = atomic_load(&turns);
    g_usleep(20000);
    g_assert_cmpuint(atomic_load(&turns), ==, before);
    loop_quit(f->loop);
    g_thread_join(thread);
    loop_hook_del(&hook);
}

int main(int argc, char **argv)
{
    static const Case cases[] = {
        { "/loop/name", test_name },
        { "/loop/defer", test_defer },
        { "/loop/defer-last", test_defer_last },
        { "/loop/yield", test_yield },
        { "/loop/yield-from-fd", test_yield_from_fd },
        { "/loop/cancel", test_cancel },
        { "/loop/cancel-all", test_cancel_all },
        { "/loop/cancel-resumed", test_cancel_resumed },
        { "/loop/run-deferred", test_run_deferred },
        { "/loop/deferred-bound", test_deferred_bound },
        { "/loop/run-deferred-bound", test_run_deferred_bound },
        { "/loop/turn-order", test_turn_order },
        { "/loop/hook-del", test_hook_del },
        { "/loop/hook-defers", test_hook_defers },
        { "/loop/quit-before-run", test_quit_before_run },
        { "/loop/quit-finishes-turn", test_quit_finishes_turn },
        { "/loop/signal", test_signal },
        { "/loop/post-order", test_post_order },
        { "/loop/post-freed", test_post_freed },
        { "/loop/post-threads", test_post_threads },
        { "/loop/free-race", test_free_race },
        { "/loop/call", test_call },
        { "/loop/idle", test_idle },
    };

    return run_cases(argc, argv, cases, G_N_ELEMENTS(cases));
}
