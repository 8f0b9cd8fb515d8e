/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fuzz target without libFuzzer: each file of the folder in argv[1], whole and cut off at every
 * step of a stride, then a fixed number of variants with bytes changed at random from a fixed seed.
 * No input may leave a descriptor behind.
 */
#include "fuzz.h"
#include <glib.h>

#define STRIDE 7
#define VARIANTS 1000
#define CHANGES 6

static GPtrArray *corpus; /* GBytes */

static unsigned open_fds(void)
{
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

/* In a block of its own size, so that a sanitizer sees what is read beyond it. */
static void run(const uint8_t *data, size_t size)
{
    g_autofree uint8_t *copy = g_memdup2(data, size);

    LLVMFuzzerTestOneInput(copy, size);
}

static void test_corpus(void)
{
    unsigned before = open_fds();

    for (unsigned i = 0; i < corpus->len; i++) {
        size_t size;
        const uint8_t *data = g_bytes_get_data(corpus->pdata[i], &size);

        run(data, size);
        g_assert_cmpuint(open_fds(), ==, before);
    }
}

static void test_cut(void)
{
    unsigned before = open_fds();

    for (unsigned i = 0; i < corpus->len; i++) {
        size_t size;
        const uint8_t *data = g_bytes_get_data(corpus->pdata[i], &size);

        for (size_t len = 0; len < MIN(size, 1000); len += STRIDE) {
            run(data, len);
        }
    }
    g_assert_cmpuint(open_fds(), ==, before);
}

static void test_changed(void)
{
    unsigned before = open_fds();
    GRand *random = g_rand_new_with_seed(1);

    for (unsigned i = 0; i < VARIANTS; i++) {
        size_t size;
        const uint8_t *data = g_bytes_get_data(corpus->pdata[i % corpus->len], &size);
        g_autofree uint8_t *copy = g_memdup2(data, size);

        for (unsigned k = 0; k < CHANGES && size > 0; k++) {
            copy[g_rand_int_range(random, 0, size)] = g_rand_int(random);
        }
        LLVMFuzzerTestOneInput(copy, size);
        g_assert_cmpuint(open_fds(), ==, before);
    }
    g_rand_free(random);
}

static void load(const char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;

    g_assert_nonnull(dir);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        char *data;
        size_t size;

        g_assert_true(g_file_get_contents(path, &data, &size, NULL));
        g_ptr_array_add(corpus, g_bytes_new_take(data, size));
    }
    g_dir_close(dir);
    g_assert_cmpuint(corpus->len, >, 0);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(argc, ==, 2);
    corpus = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    load(argv[1]);
    g_assert_cmpint(LLVMFuzzerInitialize(&argc, &argv), ==, 0);
    g_test_add_func("/fuzz/corpus", test_corpus);
    g_test_add_func("/fuzz/cut", test_cut);
    g_test_add_func("/fuzz/changed", test_changed);
    ret = g_test_run();
    g_ptr_array_free(corpus, TRUE);
    return ret;
}
