/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blklogwrites: its log, replayed, gives the file; entry by entry what was asked for; a log that is
 * gone on with; and qcow2 over it, of which each prefix of the log up to a flush is a good image.
 */
#include "qcow2-harness.h"

#define SIZE (1 * MIB)

enum { LOG_FLUSH = 1, LOG_FUA = 2, LOG_DISCARD = 4 };

static const BlockDriver *const drivers[] = {
    &block_file_driver,    &block_raw_driver,          &block_qcow2_driver,
    &block_null_co_driver, &block_blklogwrites_driver, NULL,
};

typedef struct Place {
    char *dir, *path, *log_path;
    BlockGraph *graph;
    BlockNode *node;
    Loop *loop;
    uint8_t *buf; /* SIZE */
} Place;

static void place_enter(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    p->dir = make_dir();
    p->path = make_image(p->dir, "f", SIZE);
    p->log_path = make_image(p->dir, "log", 0);
    p->loop = loop_new("test", NULL);
    p->buf = g_malloc0(SIZE);
}

static void place_leave(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    loop_free(p->loop);
    g_free(p->buf);
    g_free(p->path);
    g_free(p->log_path);
    remove_dir(p->dir);
}

static BlockNode *try_open(Place *p, const char *prefix, const char *more, GError **errp)
{
    g_autofree char *text = g_strdup_printf(
        "%s%sdriver=blklogwrites,%sfile.driver=file,%sfile.filename=%s,"
        "%slog.driver=file,%slog.filename=%s,%sdiscard=unmap%s%s",
        *prefix ? "driver=qcow2,node-name=q," : "node-name=n,", prefix, prefix, prefix, p->path,
        prefix, prefix, p->log_path, prefix, *more ? "," : "", more);

    p->graph = block_graph_new(drivers, all_engines);
    return open_text(p->graph, false, errp, text);
}

static void open_node(Place *p, const char *prefix, const char *more)
{
    g_autoptr(GError) err = NULL;

    p->node = try_open(p, prefix, more, &err);
    g_assert_no_error(err);
    g_assert_true(block_attach(p->node, p->loop, NULL));
}

static void close_node(Place *p)
{
    drain(p->node);
    block_detach(p->node);
    block_graph_free(p->graph);
}

/* ---- the log, as dm-log-writes has it ---- */

typedef struct Log {
    char *text;
    gsize len;
    uint64_t n, sector_size, at, i;
} Log;

typedef struct Entry {
    uint64_t sector, n, flags;
    const uint8_t *data;
} Entry;

static uint64_t le64(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return GUINT64_FROM_LE(v);
}

static void log_load(Place *p, Log *log)
{
    *log = (Log){ 0 };
    g_assert_true(g_file_get_contents(p->log_path, &log->text, &log->len, NULL));
    g_assert_cmphex(le64(log->text), ==, 0x6a736677736872);
    g_assert_cmpuint(le64(log->text + 8), ==, 1);
    log->n = le64(log->text + 16);
    log->sector_size = le64(log->text + 24) & 0xffffffff;
    log->at = log->sector_size;
}

static bool log_next(Log *log, Entry *e)
{
    const char *p = log->text + log->at;
    bool discard;

    if (log->i++ == log->n) {
        g_assert_cmpuint(log->at, ==, log->len);
        return false;
    }
    g_assert_cmpuint(log->at + log->sector_size, <=, log->len);
    *e = (Entry){ .sector = le64(p), .n = le64(p + 8), .flags = le64(p + 16) };
    g_assert_cmpuint(le64(p + 24), ==, 0);
    discard = e->flags & LOG_DISCARD;
    e->data = discard || !e->n ? NULL : (const uint8_t *)p + log->sector_size;
    log->at += (1 + (discard ? 0 : e->n)) * log->sector_size;
    return true;
}

static void write_at(int fd, const Log *log, const Entry *e)
{
    g_autofree uint8_t *zeros = g_malloc0(e->n * log->sector_size + 1);

    g_assert_cmpint(pwrite(fd, e->data ? e->data : zeros, e->n * log->sector_size,
                           e->sector * log->sector_size),
                    ==, e->n * log->sector_size);
}

/* ---- tests ---- */

static void test_entries(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    static const Entry want[] = {
        { .sector = 8, .n = 2 },
        { .n = 0, .flags = LOG_FLUSH },
        { .sector = 16, .n = 1, .flags = LOG_FUA },
        { .sector = 100, .n = 32 }, /* zeros */
        { .sector = 256, .n = 128, .flags = LOG_DISCARD },
        { .sector = 3, .n = 1 }, /* widened to a sector */
        { .n = 0, .flags = LOG_FLUSH },
    };
    unsigned i = 0;
    Log log;
    Entry e;

    open_node(p, "", "");
    memset(p->buf, 5, SIZE);
    g_assert_cmpint(do_io(p->node, BLOCK_WRITE, 4096, p->buf, 1024), ==, 0);
    g_assert_cmpint(do_io(p->node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    g_assert_cmpint(do_io_flags(p->node, BLOCK_WRITE, 8192, p->buf, 512, BLOCK_FUA), ==, 0);
    g_assert_cmpint(do_io(p->node, BLOCK_WRITE_ZEROES, 51200, NULL, 16384), ==, 0);
    g_assert_cmpint(do_io(p->node, BLOCK_DISCARD, 131072, NULL, 65536), ==, 0);
    g_assert_cmpint(do_io(p->node, BLOCK_READ, 0, p->buf, 4096), ==, 0);
    g_assert_cmpint(do_io(p->node, BLOCK_WRITE, 1600, p->buf, 10), ==, 0);
    close_node(p);
    log_load(p, &log);
    g_assert_cmpuint(log.sector_size, ==, 512);
    while (log_next(&log, &e)) {
        g_assert_cmpuint(i, <, G_N_ELEMENTS(want));
        g_assert_cmpuint(e.sector, ==, want[i].sector);
        g_assert_cmpuint(e.n, ==, want[i].n);
        g_assert_cmpuint(e.flags, ==, want[i].flags);
        i++;
    }
    g_assert_cmpuint(i, ==, G_N_ELEMENTS(want));
    g_free(log.text);
}

static void write_some(Place *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned pending = 4;
        Req reqs[4];

        for (unsigned k = 0; k < 4; k++) { /* side by side */
            uint64_t at = k * SIZE / 4 + g_test_rand_int_range(0, 448) * 512;
            uint64_t len = g_test_rand_int_range(1, 64) * 512;
            BlockOp op = k == 3 && i % 3 == 0 ? BLOCK_WRITE_ZEROES : BLOCK_WRITE;

            reqs[k].pending = &pending;
            memset(p->buf + k * SIZE / 4, i * 4 + k + 1, len);
            req_submit(p->node, &reqs[k], op, at, op == BLOCK_WRITE ? p->buf + k * SIZE / 4 : NULL,
                       len, 0);
        }
        wait_zero(p->loop, &pending);
        for (unsigned k = 0; k < 4; k++) {
            g_assert_cmpint(reqs[k].req.res, ==, 0);
        }
    }
}

static void check_replay(Place *p, unsigned n)
{
    g_autofree char *copy = make_image(p->dir, "copy", SIZE);
    int fd = open(copy, O_WRONLY);
    unsigned got = 0;
    Log log;
    Entry e;

    log_load(p, &log);
    while (log_next(&log, &e)) {
        write_at(fd, &log, &e);
        got += e.n > 0;
    }
    close(fd);
    g_free(log.text);
    g_assert_cmpuint(got, ==, n);
    g_assert_cmpint(shell(p->dir, "cmp f copy"), ==, 0);
}

static void test_replay(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_node(p, "", "log-sector-size=512");
    write_some(p, 50);
    close_node(p);
    check_replay(p, 200);
}

static void test_append(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    open_node(p, "", "log-super-update-interval=1");
    write_some(p, 5);
    close_node(p);
    open_node(p, "", "log-append=on");
    write_some(p, 5);
    close_node(p);
    check_replay(p, 40);
    open_node(p, "", ""); /* anew */
    close_node(p);
    g_assert_cmpint(shell(p->dir, "test $(od -An -tu8 -j16 -N8 log) -eq 0"), ==, 0);
}

static void test_qcow2(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *copy = g_build_filename(p->dir, "copy", NULL);
    unsigned n_checked = 0;
    Log log;
    Entry e;
    int fd;

    if (!have_tools()) {
        g_test_skip("no qemu-img");
        return;
    }
    g_assert_cmpint(shell(p->dir, "qemu-img create -q -f qcow2 f 1M && cp f copy"), ==, 0);
    open_node(p, "file.", "");
    for (unsigned i = 0; i < 8; i++) {
        write_some(p, 1);
        g_assert_cmpint(do_io(p->node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    }
    close_node(p);
    log_load(p, &log);
    fd = open(copy, O_WRONLY);
    while (log_next(&log, &e)) {
        write_at(fd, &log, &e);
        if (e.flags & LOG_FLUSH) { /* 0: clean; 3: leaks alone */
            g_assert_cmpint(shell(p->dir, "qemu-img check -q copy || test $? -eq 3"), ==, 0);
            n_checked++;
        }
    }
    close(fd);
    g_free(log.text);
    g_assert_cmpuint(n_checked, >=, 8);
    g_assert_cmpint(shell(p->dir, "qemu-img compare -q f copy"), ==, 0);
}

static void test_refused(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const rows[][2] = {
        { "log-sector-size=100", "power of two" },
        { "log-sector-size=0", "power of two" },
        { "log-super-update-interval=0", "must be 1 or more" },
        { "log-append=on", "log" },
        { "bogus=1", "no option 'bogus'" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_null(try_open(p, "", rows[i][0], &err));
        g_test_message("%s", err->message);
        g_assert_nonnull(strstr(err->message, rows[i][1]));
        block_graph_free(p->graph);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Place *, gconstpointer);
    } tests[] = {
        { "entries", test_entries }, { "replay", test_replay },   { "append", test_append },
        { "qcow2", test_qcow2 },     { "refused", test_refused },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/blklogwrites/", tests[i].name, NULL);

        g_test_add(path, Place, NULL, place_enter, tests[i].fn, place_leave);
    }
    return g_test_run();
}
