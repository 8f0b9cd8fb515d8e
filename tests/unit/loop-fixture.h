/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Callbacks that write a letter into a log, and do what the case at hand asks of them. */
#ifndef LOOP_FIXTURE_H
#define LOOP_FIXTURE_H

#include "util/loop.h"
#include "util/fd.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define MS INT64_C(1000000)

typedef struct Fixture {
    Loop *loop;
    GString *log;
} Fixture;

/* Something with a letter, and what its callback does besides writing it down. */
typedef struct Item {
    Fixture *f;
    char letter;
    void (*also)(struct Item *item);
    struct Item *other;
    LoopWork work;
    LoopTimer timer;
    LoopPost post;
    LoopHook hook;
    LoopFd watch;
    int fd;
    unsigned count;
} Item;

static G_GNUC_UNUSED void note(void *opaque)
{
    Item *item = opaque;

    g_string_append_c(item->f->log, item->letter);
    item->count++;
    if (item->also) {
        item->also(item);
    }
}

static G_GNUC_UNUSED void note_fd(void *opaque, G_GNUC_UNUSED uint32_t events)
{
    note(opaque);
}

static G_GNUC_UNUSED void item_init(Item *item, Fixture *f, char letter)
{
    *item = (Item){ .f = f, .letter = letter, .fd = -1 };
    loop_work_init(&item->work, f->loop, note, item);
    loop_timer_init(&item->timer, f->loop, note, item);
    item->post = (LoopPost){ .fn = note, .opaque = item };
}

/* An eventfd that is ready to read, watched. */
static G_GNUC_UNUSED void item_watch(Item *item)
{
    item->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert_cmpint(item->fd, >=, 0);
    g_assert_cmpint(loop_fd_add(item->f->loop, &item->watch, item->fd, EPOLLIN, note_fd, item), ==,
                    0);
}

static G_GNUC_UNUSED void item_unwatch(Item *item)
{
    loop_fd_del(&item->watch);
    fd_clear(&item->fd);
}

static G_GNUC_UNUSED void expect(Fixture *f, const char *log)
{
    g_assert_cmpstr(f->log->str, ==, log);
    g_string_truncate(f->log, 0);
}

static G_GNUC_UNUSED void setup(Fixture *f, G_GNUC_UNUSED const void *data)
{
    f->loop = loop_new("test", NULL);
    g_assert_nonnull(f->loop);
    f->log = g_string_new(NULL);
}

static G_GNUC_UNUSED void teardown(Fixture *f, G_GNUC_UNUSED const void *data)
{
    loop_free(f->loop);
    g_string_free(f->log, true);
}

/* Runs the cases of a table; each has a fixture of its own. */
typedef struct Case {
    const char *name;
    void (*fn)(Fixture *f, const void *data);
} Case;

static G_GNUC_UNUSED int run_cases(int argc, char **argv, const Case *cases, size_t n)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < n; i++) {
        g_test_add(cases[i].name, Fixture, NULL, setup, cases[i].fn, teardown);
    }
    return g_test_run();
}

#endif
