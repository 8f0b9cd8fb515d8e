/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Items between two threads: whole, in order, each freed once. */
#include "util/latest.h"
#include <string.h>

#define ITEMS 200000

typedef struct Item {
    unsigned *freed;
    unsigned value, copies[30];
} Item;

static void item_free(void *opaque)
{
    Item *item = opaque;

    __atomic_fetch_add(item->freed, 1, __ATOMIC_RELAXED);
    memset(item, 0xff, sizeof(*item));
    g_free(item);
}

static Item *item_new(unsigned *freed, unsigned value)
{
    Item *item = g_new(Item, 1);

    item->freed = freed;
    item->value = value;
    for (unsigned i = 0; i < G_N_ELEMENTS(item->copies); i++) {
        item->copies[i] = value;
    }
    return item;
}

static void test_one_thread(void)
{
    Latest latest;
    unsigned freed = 0;
    const Item *item;

    latest_init(&latest, item_free);
    g_assert_null(latest_look(&latest));
    latest_put(&latest, item_new(&freed, 1));
    item = latest_look(&latest);
    g_assert_cmpuint(item->value, ==, 1);
    g_assert_true(latest_look(&latest) == item);
    latest_put(&latest, item_new(&freed, 2));
    latest_put(&latest, item_new(&freed, 3));
    g_assert_cmpuint(freed, ==, 1); /* which nobody has seen */
    g_assert_cmpuint(item->value, ==, 1);
    item = latest_look(&latest);
    g_assert_cmpuint(item->value, ==, 3);
    latest_put(&latest, item_new(&freed, 4));
    latest_fini(&latest);
    g_assert_cmpuint(freed, ==, 4);
}

typedef struct Writer {
    Latest *latest;
    unsigned freed;
} Writer;

static void *write_items(void *opaque)
{
    Writer *writer = opaque;

    for (unsigned i = 1; i <= ITEMS; i++) {
        latest_put(writer->latest, item_new(&writer->freed, i));
    }
    return NULL;
}

static void test_two_threads(void)
{
    Latest latest;
    Writer writer = { .latest = &latest };
    unsigned last = 0;

    latest_init(&latest, item_free);
    GThread *thread = g_thread_new("writer", write_items, &writer);
    while (last < ITEMS) {
        const Item *item = latest_look(&latest);
        if (!item) {
            continue;
        }
        g_assert_cmpuint(item->value, >=, last);
        last = item->value;
        for (unsigned i = 0; i < G_N_ELEMENTS(item->copies); i++) {
            g_assert_cmpuint(item->copies[i], ==, last);
        }
    }
    g_thread_join(thread);
    latest_fini(&latest);
    g_assert_cmpuint(writer.freed, ==, ITEMS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/latest/one-thread", test_one_thread);
    g_test_add_func("/latest/two-threads", test_two_threads);
    return g_test_run();
}
