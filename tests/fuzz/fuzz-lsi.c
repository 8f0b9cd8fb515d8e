/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LSI, driven by programs that libFuzzer makes up: lsi-machine.h. There is no corpus: now and
 * then a mutation is a program of random-lsi's instead, or has one at its end.
 */
#include "fuzz.h"
#include "lsi-machine.h"

#define FRESH 16 /* one mutation in as many */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

int LLVMFuzzerInitialize(int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
    return !log_set_file("/dev/null", NULL);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    g_autoptr(GByteArray) program = NULL;
    g_autoptr(GRand) rnd = NULL;
    size_t n;

    if (seed % FRESH) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    rnd = g_rand_new_with_seed(seed);
    program = lsi_program_random(rnd, g_rand_int_range(rnd, 0, N_PROFILES));
    size = g_rand_boolean(rnd) ? 0 : size;
    n = MIN(program->len, max_size - size);
    memcpy(data + size, program->data, n);
    return size + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lsi_program_run(data, size);
    return 0;
}
