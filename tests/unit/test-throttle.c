/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Throttle groups on a clock that the test turns: how many requests get through until when, who is
 * next, and what contradicts itself. The timers of the loop go by the real clock, which is far
 * ahead of this one, so they fire at once and the group asks its own clock again.
 */
#include "block-harness.h"
#include "block/throttle.h"

#define N 64
#define MS INT64_C(1000000)

static const BlockDriver *const drivers[] = {
    &block_null_co_driver,
    &block_throttle_driver,
    NULL,
};

/* The group's clock has no argument. */
static int64_t clock_ns;

static int64_t fake_now(void)
{
    return clock_ns;
}

typedef struct Place {
    BlockGraph *graph;
    Loop *loop;
    ThrottleGroup *group;
    BlockNode *node[2];
    Req reqs[2][N];
    uint8_t buf[1 << 16];
} Place;

static void place_enter(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    p->graph = block_graph_new(drivers, all_engines);
    p->loop = loop_new("test", NULL);
    clock_ns = 1;
}

static ThrottleLimits limits_from(const char *text, GError **errp)
{
    static const OptDesc descs[] = { THROTTLE_OPTS("", 0), { 0 } };
    g_autoptr(Opts) opts = opts_parse(text, NULL, NULL);
    ThrottleLimits limits;

    opt_fields_default(descs, &limits);
    g_assert_true(opt_fields_set(descs, &limits, opts, NULL));
    throttle_limits_check(&limits, errp);
    return limits;
}

static void open_group(Place *p, const char *text)
{
    g_autoptr(GError) err = NULL;
    ThrottleLimits limits = limits_from(text, &err);

    g_assert_no_error(err);
    p->group = throttle_group_new("g", &limits);
    throttle_group_set_clock(p->group, fake_now);
    block_graph_add_thing(p->graph, BLOCK_THROTTLE_GROUP, "g", p->group);
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *opts = g_strdup_printf("driver=throttle,node-name=n%u,throttle-group=g,"
                                                "discard=unmap,file.driver=null-co",
                                                i);

        p->node[i] = open_text(p->graph, false, &err, opts);
        g_assert_no_error(err);
        g_assert_true(block_attach(p->node[i], p->loop, NULL));
    }
}

static void cancel_all(Place *p)
{
    for (unsigned i = 0; i < 2 * N; i++) {
        Req *r = &p->reqs[i / N][i % N];

        if (r->req.done && !r->n_done) {
            block_cancel(&r->req);
        }
    }
}

static void place_leave(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    if (p->group) {
        cancel_all(p);
        drain(p->node[0]);
        drain(p->node[1]);
        block_detach(p->node[0]);
        block_detach(p->node[1]);
        throttle_group_unref(p->group);
    }
    block_graph_free(p->graph);
    loop_free(p->loop);
}

static void put(Place *p, unsigned which, BlockOp op, unsigned first, unsigned n, size_t bytes)
{
    for (unsigned i = first; i < first + n; i++) {
        p->reqs[which][i] = (Req){ 0 };
        req_submit(p->node[which], &p->reqs[which][i], op, i * 512, p->buf, bytes, 0);
    }
}

/* How many of a node's first n requests are done, when nothing more happens at this time. */
static unsigned done(Place *p, unsigned which, unsigned n)
{
    unsigned count = 0;

    for (unsigned i = 0; i < 2 * N; i++) {
        loop_turn(p->loop, 0);
    }
    for (unsigned i = 0; i < n; i++) {
        count += p->reqs[which][i].n_done;
    }
    return count;
}

static void test_iops(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_group(p, "iops-total=100"); /* a bucket of 10: 11 start at once, then one each 10 ms */
    put(p, 0, BLOCK_READ, 0, 40, 512);
    g_assert_cmpuint(done(p, 0, 40), ==, 11);
    for (unsigned i = 1; i < 5; i++) {
        clock_ns += 10 * MS + 1000;
        g_assert_cmpuint(done(p, 0, 40), ==, 11 + i);
    }
    clock_ns += 100 * MS;
    g_assert_cmpuint(done(p, 0, 40), ==, 25);
    clock_ns += 3600 * 1000 * MS; /* a long rest fills nothing but the bucket */
    g_assert_cmpuint(done(p, 0, 40), ==, 36);
    clock_ns += 1000 * MS;
    g_assert_cmpuint(done(p, 0, 40), ==, 40);
}

static void test_bps(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_group(p, "bps-write=10240"); /* a bucket of 1024 */
    put(p, 0, BLOCK_READ, 0, 20, 512);
    g_assert_cmpuint(done(p, 0, 20), ==, 20); /* reads are not meant */
    put(p, 0, BLOCK_WRITE, 0, 10, 512);
    g_assert_cmpuint(done(p, 0, 10), ==, 3);
    clock_ns += 50 * MS + 1000;
    g_assert_cmpuint(done(p, 0, 10), ==, 4);
    clock_ns += 1000 * MS;
    g_assert_cmpuint(done(p, 0, 10), ==, 7); /* what leaks while none comes is lost */
}

/* One larger than the bucket goes, and those behind it wait for it. */
static void test_large(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_group(p, "bps-total=10240");
    put(p, 0, BLOCK_WRITE, 0, 1, 10240 + 1024);
    g_assert_cmpuint(done(p, 0, 1), ==, 1);
    put(p, 0, BLOCK_READ, 0, 1, 512);
    clock_ns += 900 * MS;
    g_assert_cmpuint(done(p, 0, 1), ==, 0);
    clock_ns += 101 * MS;
    g_assert_cmpuint(done(p, 0, 1), ==, 1);
}

static void test_iops_size(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_group(p, "iops-total=100,iops-size=1024");
    put(p, 0, BLOCK_READ, 0, 20, 5 * 1024); /* each counts five times */
    g_assert_cmpuint(done(p, 0, 20), ==, 3);
}

static void test_burst(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_group(p, "iops-total=10,iops-total-max=100,iops-total-max-length=2");
    put(p, 0, BLOCK_READ, 0, 60, 512);
    g_assert_cmpuint(done(p, 0, 60), ==, 11); /* 100 ms of the burst's rate */
    clock_ns += 101 * MS;
    g_assert_cmpuint(done(p, 0, 60), ==, 21);
    clock_ns += 101 * MS;
    g_assert_cmpuint(done(p, 0, 60), ==, 31);
}

static void test_burst_at_once(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_group(p, "iops-total=10,iops-total-max=30");
    put(p, 0, BLOCK_READ, 0, 60, 512);
    g_assert_cmpuint(done(p, 0, 60), ==, 31);
    clock_ns += 101 * MS;
    g_assert_cmpuint(done(p, 0, 60), ==, 32);
}

/* Members take turns however many requests each has; whoever comes late waits no longer. */
static void test_fair(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_group(p, "iops-total=10"); /* a bucket of 1 */
    put(p, 0, BLOCK_READ, 0, 40, 512);
    g_assert_cmpuint(done(p, 0, 40), ==, 2);
    put(p, 1, BLOCK_READ, 0, 10, 512);
    for (unsigned i = 1; i <= 10; i++) {
        clock_ns += 100 * MS + 1000;
        g_assert_cmpuint(done(p, 0, 40) + done(p, 1, 10), ==, 2 + i);
    }
    g_assert_cmpuint(done(p, 0, 40), ==, 7);
    g_assert_cmpuint(done(p, 1, 10), ==, 5);
}

static void test_reads_and_writes(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_group(p, "iops-read=10,iops-write=100");
    put(p, 0, BLOCK_READ, 0, 20, 512);
    g_assert_cmpuint(done(p, 0, 20), ==, 2);
    put(p, 1, BLOCK_WRITE, 0, 20, 512);
    g_assert_cmpuint(done(p, 1, 20), ==, 11);
}

static void test_flush_passes(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_group(p, "iops-total=1");
    put(p, 0, BLOCK_WRITE, 0, 10, 512);
    p->reqs[0][20] = (Req){ 0 };
    req_submit(p->node[0], &p->reqs[0][20], BLOCK_FLUSH, 0, NULL, 0, 0);
    done(p, 0, 1);
    g_assert_cmpuint(p->reqs[0][20].n_done, ==, 1);
    g_assert_cmpuint(done(p, 0, 10), <, 10);
}

static void test_cancel(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_group(p, "iops-total=10");
    put(p, 0, BLOCK_READ, 0, 20, 512);
    g_assert_cmpuint(done(p, 0, 20), ==, 2);
    for (unsigned i = 0; i < 20; i += 2) {
        if (!p->reqs[0][i].n_done) {
            block_cancel(&p->reqs[0][i].req);
        }
    }
    g_assert_cmpuint(done(p, 0, 20), ==, 11);
    for (unsigned i = 2; i < 20; i++) {
        if (i % 2) {
            block_cancel(&p->reqs[0][i].req);
        } else {
            g_assert_cmpint(p->reqs[0][i].req.res, ==, -ECANCELED);
        }
    }
    g_assert_cmpuint(done(p, 0, 20), ==, 20);
    put(p, 0, BLOCK_READ, 0, 1, 512);
    clock_ns += 100 * MS + 1000;
    g_assert_cmpuint(done(p, 0, 1), ==, 1);
}

static void test_another_machine(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    Loop *other = loop_new("other", NULL);
    g_autoptr(GError) err = NULL;

    open_group(p, "iops-total=10");
    block_detach(p->node[1]);
    g_assert_false(block_attach(p->node[1], other, &err));
    g_assert_nonnull(strstr(err->message, "Throttle group 'g' is in use by another machine"));
    block_detach(p->node[0]);
    g_assert_true(block_attach(p->node[1], other, NULL));
    block_detach(p->node[1]);
    g_assert_true(block_attach(p->node[0], p->loop, NULL));
    g_assert_true(block_attach(p->node[1], p->loop, NULL));
    loop_free(other);
}

static void test_refused(void)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        { "iops-total=1,iops-read=1", "'iops-total' excludes" },
        { "bps-total=1,bps-write=1", "'bps-total' excludes" },
        { "bps-total-max=1", "'bps-total-max' needs 'bps-total'" },
        { "iops-read=5,iops-read-max=4", "is less than" },
        { "iops-read=5,iops-read-max-length=4", "for '-max' alone" },
        { "iops-read=5,iops-read-max=6,iops-read-max-length=0", "is 0" },
        { "bps-total=1,iops-size=512", "'iops-size' needs" },
        { "bps-total=1000000000000001", "at most" },
        { "bps-total=1,bps-total-max=1000000000000000,bps-total-max-length=2", "too much" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;

        limits_from(rows[i].text, &err);
        g_assert_nonnull(err);
        g_test_message("%s", err->message);
        g_assert_nonnull(strstr(err->message, rows[i].words));
    }
}

/* -drive throttling.*: a node over the image, which has the drive's name. */
static void test_drive(void)
{
    static const BlockDriver *const with_files[] = { &block_file_driver, &block_raw_driver,
                                                     &block_throttle_driver, NULL };
    BlockGraph *graph = block_graph_new(with_files, all_engines);
    char *dir = make_dir();
    g_autofree char *path = make_image(dir, "f", 1 << 20);
    static const char *const more[] = { "iops-total=10", "iops-total=5,throttling.group=d0" };

    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *text =
            g_strdup_printf("id=d%u,file=%s,format=raw,cache=writethrough,throttling.%s", i, path,
                            i < 2 ? more[i] : "group=d0");
        g_autoptr(GError) err = NULL;
        BlockNode *node = open_text(graph, true, &err, text);

        if (i == 1) {
            g_assert_null(node);
            g_assert_nonnull(strstr(err->message, "has its limits from another option"));
            continue;
        }
        g_assert_no_error(err);
        g_assert_cmpstr(node->driver->name, ==, "throttle");
        g_assert_cmpstr(node->file->driver->name, ==, "raw");
        g_assert_true(block_find(graph, node->id ? node->id : node->name) == node);
        g_assert_false(node->write_cache);
        g_assert_cmpuint(node->size, ==, 1 << 20);
    }
    g_assert_nonnull(block_graph_find_thing(graph, BLOCK_THROTTLE_GROUP, "d0"));
    g_assert_true(block_del(graph, "d0", NULL));
    g_assert_nonnull(block_graph_find_thing(graph, BLOCK_THROTTLE_GROUP, "d0"));
    g_assert_true(block_del(graph, "d2", NULL));
    g_assert_null(block_graph_find_thing(graph, BLOCK_THROTTLE_GROUP, "d0"));
    block_graph_free(graph);
    remove_dir(dir);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Place *, gconstpointer);
    } tests[] = {
        { "iops", test_iops },
        { "bps", test_bps },
        { "large", test_large },
        { "iops-size", test_iops_size },
        { "burst", test_burst },
        { "burst-at-once", test_burst_at_once },
        { "fair", test_fair },
        { "reads-and-writes", test_reads_and_writes },
        { "flush-passes", test_flush_passes },
        { "cancel", test_cancel },
        { "another-machine", test_another_machine },
    };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/throttle/refused", test_refused);
    g_test_add_func("/throttle/drive", test_drive);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/throttle/", tests[i].name, NULL);

        g_test_add(path, Place, NULL, place_enter, tests[i].fn, place_leave);
    }
    return g_test_run();
}
