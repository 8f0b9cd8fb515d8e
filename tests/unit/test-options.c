/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of options, as far as it can be wrong without anybody noticing, and the parser that
 * sorts argv by it. What options do is tested with the real program, in tests/cli.
 */
#include "system/options.h"
#include <string.h>

typedef struct Case {
    const char *argv[5]; /* without the program */
    const char *error;   /* or NULL */
} Case;

/* Programs as the table tells them apart: one that only serves, and one with a board. */
static const MachineType serving = { .name = "serving" };
/* A board that nobody looks at. */
static const MachineType running = { .name = "running", .board = (const void *)&serving };
static const MachineType *const remote_machines[] = { &serving, NULL };
static const MachineType *const stock_machines[] = { &running, &serving, NULL };
static const Registry remote = { .program = "remote", .machines = remote_machines };
static const Registry stock = { .program = "stock", .machines = stock_machines };
static const Registry *const programs[] = { &remote, &stock };

static void check_names(gconstpointer program)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (const OptionDesc *desc = options; desc->name; desc++) {
        const char *names[] = { desc->name, desc->alias };
        for (unsigned i = 0; option_applies(desc, program) && i < G_N_ELEMENTS(names); i++) {
            if (names[i]) {
                g_assert_cmpint(names[i][0], !=, '-');
                g_assert_true(g_hash_table_add(seen, (void *)names[i]));
            }
        }
    }
}

static void test_table_rows(void)
{
    for (const OptionDesc *desc = options; desc->name; desc++) {
        g_test_message("-%s", desc->name);
        g_assert_true(desc->help && desc->help[0]);
        /* A value that nobody looks at would be taken silently whatever it is. */
        g_assert_true(!desc->arg || desc->handle);
        g_assert_true(desc->stage == OPTION_CHECK || desc->handle);
        g_assert_cmpint(desc->stage, <, OPTION_STAGES);
    }
}

static int count(const Case *c)
{
    int n = 0;

    while (c->argv[n]) {
        n++;
    }
    return n;
}

static GPtrArray *parse_for(const Registry *program, const Case *c, GError **errp)
{
    char *argv[8] = { (char *)"program" };

    for (int i = 0; i < count(c); i++) {
        argv[i + 1] = (char *)c->argv[i];
    }
    return options_parse(program, count(c) + 1, argv, errp);
}

static GPtrArray *parse(const Case *c, GError **errp)
{
    return parse_for(&remote, c, errp);
}

/* What means something to a board is no option of a program that has none. */
static void test_board(void)
{
    static const Case cases[] = {
        { { "-kernel", "x" }, "-kernel: invalid option" },
        { { "-kernel" }, "-kernel: invalid option" },
        { { "-qtest", "unix:x" }, "-qtest: invalid option" },
        { { "-accel", "kvm" }, "-accel: invalid option" },
        { { "-S" }, "-S: invalid option" },
    };
    static const Case both = { { "-m", "1G", "-serial", "none" }, NULL };
    OptionUse uses[] = { OPTION_NO_BOARD, OPTION_BOARD };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(parse(&cases[i], &error));
        g_assert_cmpstr(error->message, ==, cases[i].error);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        GPtrArray *items = cases[i].argv[1] || i == 4 ? parse_for(&stock, &cases[i], NULL) : NULL;
        g_assert_true(!items == (i == 1));
        g_clear_pointer(&items, g_ptr_array_unref);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(programs); i++) {
        GPtrArray *items = parse_for(programs[i], &both, NULL);
        g_assert_cmpint(items->len, ==, 2);
        for (unsigned k = 0; k < items->len; k++) {
            const OptionItem *item = g_ptr_array_index(items, k);
            g_assert_cmpint(item->desc->use, ==, uses[i]);
        }
        g_ptr_array_unref(items);
    }
}

static void test_refused(void)
{
    static const Case cases[] = {
        { { "-bogus" }, "-bogus: invalid option" },
        { { "--bogus" }, "--bogus: invalid option" },
        { { "---help" }, "---help: invalid option" },
        { { "-" }, "-: invalid option" },
        { { "--" }, "--: invalid option" },
        { { "-device" }, "-device: requires an argument" },
        { { "-nodefaults", "-m" }, "-m: requires an argument" },
        { { "-nodefaults", "none" }, "none: there is no disk_image argument, only options" },
        { { "" }, ": there is no disk_image argument, only options" },
        { { "-devic", "x" }, "-devic: invalid option" },
        { { "-device=x" }, "-device=x: invalid option" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(parse(&cases[i], &error));
        g_assert_nonnull(error);
        g_assert_cmpstr(error->message, ==, cases[i].error);
    }
}

static void test_taken(void)
{
    static const Case c = { { "-M", "--device", "--device", "-nodefaults" }, NULL };
    static const char *const texts[] = { "-M --device", "--device -nodefaults" };
    g_autoptr(GError) error = NULL;
    GPtrArray *items = parse(&c, &error);

    g_assert_no_error(error);
    g_assert_cmpint(items->len, ==, G_N_ELEMENTS(texts));
    for (unsigned i = 0; i < items->len; i++) {
        g_autofree char *text = option_text(g_ptr_array_index(items, i));
        g_assert_cmpstr(text, ==, texts[i]);
    }
    const OptionItem *machine = g_ptr_array_index(items, 0);
    g_assert_cmpstr(machine->desc->name, ==, "machine");
    g_ptr_array_free(items, TRUE);
}

static void test_none(void)
{
    static const Case c = { { NULL }, NULL };
    g_autoptr(GError) error = NULL;
    GPtrArray *items = parse(&c, &error);

    g_assert_no_error(error);
    g_assert_cmpint(items->len, ==, 0);
    g_ptr_array_free(items, TRUE);
}

static void test_ids(void)
{
    static const char *const good[] = { "a", "A0", "disk-0.x_y" };
    static const char *const bad[] = { NULL, "", "0", "-a", "_a", "a b", "a,b", "a\n", "\xc3\xa4" };

    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_true(object_id_check(good[i], NULL));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(object_id_check(bad[i], &error));
        g_assert_nonnull(strstr(error->message, "'id'"));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/options/table/names/remote", &remote, check_names);
    g_test_add_data_func("/options/table/names/stock", &stock, check_names);
    g_test_add_func("/options/parse/board", test_board);
    g_test_add_func("/options/table/rows", test_table_rows);
    g_test_add_func("/options/parse/refused", test_refused);
    g_test_add_func("/options/parse/taken", test_taken);
    g_test_add_func("/options/parse/nothing", test_none);
    g_test_add_func("/options/ids", test_ids);
    return g_test_run();
}
