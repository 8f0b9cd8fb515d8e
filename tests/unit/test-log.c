/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines and trace groups, by what arrives in the file of -D. */
#include "util/log.h"
#include "util/error.h"
#include "util/trace.h"
#include <errno.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

typedef struct Fixture {
    char *dir;
    char *path;
} Fixture;

static void setup(Fixture *f, G_GNUC_UNUSED const void *data)
{
    f->dir = g_dir_make_tmp("log-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "log", NULL);
    log_init("prog");
    g_assert_true(log_set_file(f->path, NULL));
    trace_mask = 0;
}

static void teardown(Fixture *f, G_GNUC_UNUSED const void *data)
{
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
}

static char *content(Fixture *f)
{
    char *text = NULL;

    g_assert_true(g_file_get_contents(f->path, &text, NULL, NULL));
    return text;
}

static void expect(Fixture *f, const char *lines)
{
    g_autofree char *text = content(f);

    g_assert_cmpstr(text, ==, lines);
    g_assert_cmpint(truncate(f->path, 0), ==, 0);
}

static void test_lines(Fixture *f, G_GNUC_UNUSED const void *data)
{
    log_line(NULL, "plain %d", 1);
    log_line("obj0", "text %s", "x");
    expect(f, "prog: plain 1\nprog: obj0: text x\n");
    log_init(NULL);
    log_line("obj0", "y");
    expect(f, "obj0: y\n");
}

static void test_file_refused(Fixture *f, G_GNUC_UNUSED const void *data)
{
    g_autofree char *path = g_build_filename(f->dir, "none", "log", NULL);
    g_autofree char *message =
        g_strdup_printf("cannot open log file '%s': No such file or directory", path);
    g_autoptr(GError) err = NULL;

    g_assert_false(log_set_file(path, &err));
    g_assert_error(err, SETUP_ERROR, 0);
    g_assert_cmpstr(err->message, ==, message);
    log_line(NULL, "goes where it went");
    expect(f, "prog: goes where it went\n");
}

static void test_file_appends(Fixture *f, G_GNUC_UNUSED const void *data)
{
    log_line(NULL, "a");
    g_assert_true(log_set_file(f->path, NULL));
    log_line(NULL, "b");
    expect(f, "prog: a\nprog: b\n");
}

static void test_errno(Fixture *f, G_GNUC_UNUSED const void *data)
{
    LogLimit limit = { 0 };

    errno = ENOENT;
    log_line(NULL, "%m");
    g_assert_cmpint(errno, ==, ENOENT);
    log_limited(&limit, NULL, "%m");
    g_assert_cmpint(errno, ==, ENOENT);
    expect(f, "prog: No such file or directory\nprog: No such file or directory\n");
}

/* One event, one line, whatever a peer puts into it. */
static void test_control_characters(Fixture *f, G_GNUC_UNUSED const void *data)
{
    log_line("i\nd", "a\nprog: b\r\x1b[1m\x7f.\xc3\xa4");
    expect(f, "prog: i d: a prog: b  [1m .\xc3\xa4\n");
}

static void test_long_line(Fixture *f, G_GNUC_UNUSED const void *data)
{
    g_autofree char *lots = g_strnfill(3 * PIPE_BUF, 'x');
    g_autofree char *fits = g_strnfill(PIPE_BUF - 1 - strlen("prog: "), 'x');
    g_autofree char *whole = g_strdup_printf("prog: %s\n", fits);
    g_autofree char *cut = NULL;

    log_line(NULL, "%s", fits);
    expect(f, whole);
    log_line(NULL, "%s", lots);
    cut = content(f);
    g_assert_cmpuint(strlen(cut), ==, PIPE_BUF);
    g_assert_true(g_str_has_suffix(cut, "x...\n"));
}

/* Lets the window of five seconds pass. */
static void age(LogLimit *limit)
{
    limit->since_ns -= INT64_C(5000000000);
}

static void test_limit(Fixture *f, G_GNUC_UNUSED const void *data)
{
    LogLimit limit = { 0 };
    LogLimit other = { 0 };

    for (int i = 0; i < 12; i++) {
        log_limited(&limit, "g", "%d", i);
    }
    expect(f, "prog: g: 0\nprog: g: 1\nprog: g: 2\nprog: g: 3\nprog: g: 4\n");
    log_limited(&other, "h", "%d", 0);
    expect(f, "prog: h: 0\n");
    age(&limit);
    log_limited(&limit, "g", "again");
    log_limited(&limit, "g", "again");
    expect(f, "prog: g: again (7 more left out before)\nprog: g: again\n");
    age(&limit);
    log_limited(&limit, "g", "later");
    expect(f, "prog: g: later\n");
}

#define WRITERS 3
#define LINES 400

static void *writer_thread(void *opaque)
{
    g_autofree char *text = g_strnfill(100, *(char *)opaque);

    for (int i = 0; i < LINES; i++) {
        log_line(NULL, "%s", text);
    }
    return NULL;
}

static void test_threads(Fixture *f, G_GNUC_UNUSED const void *data)
{
    char letters[WRITERS] = { 'a', 'b', 'c' };
    GThread *threads[WRITERS];
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    for (unsigned i = 0; i < WRITERS; i++) {
        threads[i] = g_thread_new("writer", writer_thread, &letters[i]);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        g_thread_join(threads[i]);
    }
    text = content(f);
    lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, WRITERS * LINES + 1);
    for (unsigned i = 0; i < WRITERS * LINES; i++) {
        const char *run = lines[i] + strlen("prog: ");

        g_assert_cmpuint(strlen(run), ==, 100);
        g_assert_cmpuint(strspn(run, (char[]){ run[0], 0 }), ==, 100);
    }
}

static void enable(const char *items, unsigned mask)
{
    g_autoptr(GError) err = NULL;

    trace_mask = 0;
    g_assert_true(trace_enable(items, &err));
    g_assert_no_error(err);
    g_assert_cmphex(trace_mask, ==, mask);
}

static void test_trace_enable(G_GNUC_UNUSED Fixture *f, G_GNUC_UNUSED const void *data)
{
    enable("lsi", 1u << TRACE_LSI);
    enable("lsi,pci", 1u << TRACE_LSI | 1u << TRACE_PCI);
    enable("l*", 1u << TRACE_LSI | 1u << TRACE_LINK | 1u << TRACE_LOOP);
    enable("lsi*", 1u << TRACE_LSI);
    enable("?si", 1u << TRACE_LSI);
    enable("all", (1u << TRACE_GROUPS) - 1);
    enable("*", (1u << TRACE_GROUPS) - 1);
    g_assert_true(trace_enable("irq", NULL));
    g_assert_cmphex(trace_mask, ==, (1u << TRACE_GROUPS) - 1);
    for (unsigned i = 0; i < TRACE_GROUPS; i++) {
        enable(trace_group_name(i), 1u << i);
    }
}

static void test_trace_refused(G_GNUC_UNUSED Fixture *f, G_GNUC_UNUSED const void *data)
{
    static const char *const cases[][2] = {
        { "foo", "unknown trace group 'foo'" }, { "lsi,foo", "unknown trace group 'foo'" },
        { "x*", "unknown trace group 'x*'" },   { "lsi,", "unknown trace group ''" },
        { "", "no trace group given" },         { "LSI", "unknown trace group 'LSI'" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_false(trace_enable(cases[i][0], &err));
        g_assert_error(err, SETUP_ERROR, 0);
        g_assert_cmpstr(err->message, ==, cases[i][1]);
        g_assert_cmphex(trace_mask, ==, 0);
    }
}

static unsigned evaluated(unsigned *count)
{
    return ++*count;
}

static void test_trace_lines(Fixture *f, G_GNUC_UNUSED const void *data)
{
    unsigned count = 0;

    trace(LSI, "dsp=%08x", evaluated(&count));
    expect(f, "");
    g_assert_cmpuint(count, ==, 0);
    g_assert_true(trace_enable("lsi", NULL));
    trace(LSI, "dsp=%08x", evaluated(&count));
    trace(PCI, "no");
    expect(f, "prog: lsi: dsp=00000001\n");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Fixture *f, const void *data);
    } tests[] = {
        { "/log/lines", test_lines },
        { "/log/file-refused", test_file_refused },
        { "/log/file-appends", test_file_appends },
        { "/log/errno", test_errno },
        { "/log/control-characters", test_control_characters },
        { "/log/long-line", test_long_line },
        { "/log/limit", test_limit },
        { "/log/threads", test_threads },
        { "/trace/enable", test_trace_enable },
        { "/trace/refused", test_trace_refused },
        { "/trace/lines", test_trace_lines },
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].name, Fixture, NULL, setup, tests[i].fn, teardown);
    }
    return g_test_run();
}
