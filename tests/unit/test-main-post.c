/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Posts to the main loop: in order, never from within, from any thread. */
#include "util/main-post.h"
#include <glib.h>

typedef struct Told {
    GString *order;
    unsigned seen;
} Told;

static Told *told;

static void take(void *opaque)
{
    g_string_append_c(told->order, (char)GPOINTER_TO_INT(opaque));
}

static void post_from_within(void *opaque)
{
    main_post(take, GINT_TO_POINTER('d'));
    take(opaque);
}

static void run_main(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {
        continue;
    }
}

static void test_order(void)
{
    told = g_new0(Told, 1);
    told->order = g_string_new(NULL);
    main_post(take, GINT_TO_POINTER('a'));
    main_post(post_from_within, GINT_TO_POINTER('b'));
    main_post(take, GINT_TO_POINTER('c'));
    g_assert_cmpstr(told->order->str, ==, "");
    run_main();
    g_assert_cmpstr(told->order->str, ==, "abcd");
    run_main();
    g_assert_cmpstr(told->order->str, ==, "abcd");
    g_string_free(told->order, TRUE);
    g_free(told);
}

static void see(void *opaque)
{
    told->seen += *(unsigned *)opaque;
    g_free(opaque);
}

static void *post_many(void *opaque G_GNUC_UNUSED)
{
    for (unsigned i = 1; i <= 100; i++) {
        unsigned *value = g_new(unsigned, 1);

        *value = i;
        main_post(see, value);
    }
    return NULL;
}

static void test_threads(void)
{
    GThread *threads[2];

    told = g_new0(Told, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("poster", post_many, NULL);
    }
    while (told->seen < G_N_ELEMENTS(threads) * 5050) {
        g_main_context_iteration(NULL, TRUE);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_thread_join(threads[i]);
    }
    run_main();
    g_assert_cmpuint(told->seen, ==, G_N_ELEMENTS(threads) * 5050);
    g_free(told);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/main-post/order", test_order);
    g_test_add_func("/main-post/threads", test_threads);
    return g_test_run();
}
