/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which module is loaded from where, and what is refused before any of its code could run. That
 * real ones load, and what they are then, is shown with the program itself (tests/cli). */
#include "util/module.h"
#include <glib/gstdio.h>
#include <string.h>

#define STAMP "test-build:0123456789abcdef"

static const int interface;
static const Module builtin = {
    .stamp = "of no interest", .kind = "block", .name = "builtin", .interface = &interface
};

static const ModuleDesc descs[] = {
    { .kind = "block", .name = "builtin", .help = "", .builtin = &builtin },
    { .kind = "block", .name = "filed", .help = "" },
    { .kind = "codec", .name = "filed2", .help = "" },
    { .name = NULL },
};

typedef struct Place {
    char *first, *second;
    ModuleSet *set;
} Place;

static void place_enter(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    p->first = g_dir_make_tmp("mod-XXXXXX", NULL);
    p->second = g_dir_make_tmp("mod-XXXXXX", NULL);
    p->set = module_set_new(descs, STAMP, (const char *const[]){ p->first, p->second, NULL });
}

static void place_leave(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    for (unsigned i = 0; i < 2; i++) {
        char *dir = i ? p->second : p->first;
        g_autofree char *path = g_build_filename(dir, "block-filed.so", NULL);

        g_remove(path);
        g_assert_cmpint(g_rmdir(dir), ==, 0);
        g_free(dir);
    }
    module_set_free(p->set);
}

static void put(const char *dir, const char *bytes, size_t len)
{
    g_autofree char *path = g_build_filename(dir, "block-filed.so", NULL);

    g_assert_true(g_file_set_contents(path, bytes, len, NULL));
}

static void refused(Place *p, const char *words)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(module_get(p->set, "block", "filed", &err));
    g_test_message("%s", err->message);
    g_assert_nonnull(strstr(err->message, words));
    g_assert_null(strchr(err->message, '\n'));
}

static void test_builtin(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_true(module_get(p->set, "block", "builtin", NULL) == &interface);
    module_set_seal(p->set);
    g_assert_true(module_get(p->set, "block", "builtin", NULL) == &interface);
    g_assert_true(module_preload(p->set, "builtin", NULL));
}

static void test_known(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    g_assert_true(module_known(p->set, "block", "filed"));
    g_assert_false(module_known(p->set, "codec", "filed"));
    g_assert_false(module_known(p->set, "block", "nosuch"));
    g_assert_false(module_known(p->set, "block", "../block-filed"));
    g_assert_null(module_get(p->set, "codec", "filed", &err));
    g_assert_cmpstr(err->message, ==, "There is no module 'filed' for this program");
    g_clear_error(&err);
    g_assert_false(module_preload(p->set, "builtin,nosuch", &err));
    g_assert_nonnull(strstr(err->message, "'nosuch'"));
}

static void test_not_installed(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *where = g_strdup_printf("no block-filed.so in %s or %s", p->first, p->second);

    refused(p, where);
}

static void test_another_build(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    put(p->first, "", 0);
    refused(p, "from another build");
    /* all but the last byte of the stamp */
    put(p->first, STAMP, strlen(STAMP) - 1);
    refused(p, "from another build");
}

static void test_stamp_alone(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    put(p->first, "\177ELF\0" STAMP, 5 + strlen(STAMP));
    refused(p, "can't be loaded");
    /* an error of the second folder does not hide that of the first */
    put(p->second, "x", 1);
    refused(p, p->first);
}

static void test_sealed(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    put(p->first, STAMP, strlen(STAMP));
    module_set_seal(p->set);
    refused(p, "start it with -preload filed");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Place *, gconstpointer);
    } tests[] = {
        { "builtin", test_builtin },
        { "known", test_known },
        { "not-installed", test_not_installed },
        { "another-build", test_another_build },
        { "stamp-alone", test_stamp_alone },
        { "sealed", test_sealed },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/module/", tests[i].name, NULL);

        g_test_add(path, Place, NULL, place_enter, tests[i].fn, place_leave);
    }
    return g_test_run();
}
