/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LSI, driven by programs at random (lsi-machine.h), without libFuzzer.
 *
 *   random-lsi                          the suite's: a fixed seed and number of programs
 *   random-lsi --endless [SEED]         until it is stopped; a seed of each batch is printed
 *   random-lsi --batch SEED             that batch again
 *
 * What a program does follows from its seed alone, and nothing here depends on time.
 */
#include "fuzz.h"
#include "lsi-machine.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 100

/* In the suite: some 10 s of CPU time for each profile. */
static const unsigned programs[N_PROFILES] = {
    [PROFILE_REGS] = 6000,
    [PROFILE_SCRIPTS] = 6000,
    [PROFILE_CDBS] = 1600,
};

static void run_batch(LsiProfile profile, uint32_t seed, unsigned n)
{
    g_autoptr(GRand) rnd = g_rand_new_with_seed(seed);

    while (n--) {
        g_autoptr(GByteArray) program = lsi_program_random(rnd, profile);
        g_autofree uint8_t *copy = g_memdup2(program->data, program->len);

        lsi_program_run(copy, program->len);
    }
}

static void test_profile(gconstpointer data)
{
    const LsiProfile profile = GPOINTER_TO_UINT(data);

    run_batch(profile, 53895, programs[profile]);
}

static void G_GNUC_NORETURN endless(uint32_t seed)
{
    for (;; seed++) {
        fprintf(stderr, "--batch %u\n", seed);
        run_batch(seed % N_PROFILES, seed, BATCH);
    }
}

int main(int argc, char **argv)
{
    uint32_t seed = argc > 2 ? strtoul(argv[2], NULL, 0) : g_random_int();

    log_set_file("/dev/null", NULL); /* what a guest does wrong is worth a line each */
    if (argc > 1 && !strcmp(argv[1], "--endless")) {
        endless(seed);
    }
    if (argc > 2 && !strcmp(argv[1], "--batch")) {
        run_batch(seed % N_PROFILES, seed, BATCH);
        return 0;
    }
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < N_PROFILES; i++) {
        g_autofree char *name = g_strdup_printf("/fuzz/lsi/%s", lsi_profile_names[i]);

        g_test_add_data_func(name, GUINT_TO_POINTER(i), test_profile);
    }
    return g_test_run();
}
