/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs for lsi-machine.c at random. A profile is how often each step comes; the operands lean
 * towards what says something, since of all instructions and CDBs most are refused at once.
 */
#include "lsi-machine.h"

const char *const lsi_profile_names[N_PROFILES] = { "registers", "scripts", "cdbs" };

/* In hundredths; what is left are turns. */
static const uint8_t weights[N_PROFILES][N_STEPS] = {
    [PROFILE_REGS] = { [STEP_REG_WRITE] = 55,
                       [STEP_REG_READ] = 15,
                       [STEP_INSN] = 5,
                       [STEP_START] = 5,
                       [STEP_COMMAND] = 5,
                       [STEP_CONFIG] = 3,
                       [STEP_RESET] = 3,
                       [STEP_STATE] = 1,
                       [STEP_HOLD] = 2 },
    [PROFILE_SCRIPTS] = { [STEP_REG_WRITE] = 8,
                          [STEP_MEMORY] = 8,
                          [STEP_INSN] = 55,
                          [STEP_START] = 12,
                          [STEP_COMMAND] = 4,
                          [STEP_RESET] = 2,
                          [STEP_STATE] = 1,
                          [STEP_HOLD] = 3 },
    [PROFILE_CDBS] = { [STEP_COMMAND] = 70,
                       [STEP_MEMORY] = 6,
                       [STEP_RESET] = 3,
                       [STEP_HOLD] = 8,
                       [STEP_STATE] = 2,
                       [STEP_MEDIUM] = 2,
                       [STEP_REG_WRITE] = 1 },
};

static LsiStep pick_step(GRand *rnd, LsiProfile profile)
{
    int n = g_rand_int_range(rnd, 0, 100);

    for (unsigned i = 0; i < N_STEPS; i++) {
        n -= weights[profile][i];
        if (n < 0) {
            return i;
        }
    }
    return STEP_TURNS;
}

static void put_random(GByteArray *out, GRand *rnd, unsigned n)
{
    while (n--) {
        uint8_t b = g_rand_int(rnd);

        g_byte_array_append(out, &b, 1);
    }
}

/* Instructions that say something: of 32 random bits, most are illegal. */
static uint32_t random_insn(GRand *rnd)
{
    uint32_t low = g_rand_int(rnd) & 0xffffff;

    switch (g_rand_int_range(rnd, 0, 10)) {
    case 0:
        return g_rand_int(rnd);
    case 1: /* block moves, of few bytes */
    case 2:
        return (uint32_t)g_rand_int_range(rnd, 0, 0x40) << 24 | (low & 0xfff);
    case 3: /* SELECT */
        return 0x40000000u | (uint32_t)g_rand_int_range(rnd, 0, 8) << 24 | (low & 0x0fff00);
    case 4: /* WAIT, SET, CLEAR */
        return 0x40000000u | (uint32_t)g_rand_int_range(rnd, 1, 5) << 27 | (low & 0x748);
    case 5: /* register arithmetic */
        return 0x40000000u | (uint32_t)g_rand_int_range(rnd, 5, 8) << 27 | (low & 0xffffff) |
               (uint32_t)g_rand_int_range(rnd, 0, 8) << 24;
    case 6:
    case 7: /* transfer control */
        return 0x80000000u | (uint32_t)g_rand_int_range(rnd, 0, 4) << 27 | low |
               (uint32_t)g_rand_int_range(rnd, 0, 8) << 24;
    case 8: /* memory move */
        return 0xc0000000u | (low & 0x1fff);
    default: /* load, store */
        return 0xe0000000u | (uint32_t)g_rand_int_range(rnd, 0, 32) << 24 | (low & 0xff0004) |
               g_rand_int_range(rnd, 1, 5);
    }
}

static void put_command(GByteArray *out, GRand *rnd)
{
    static const uint8_t ops[] = {
        0x00, 0x01, 0x03, 0x04, 0x08, 0x0a, 0x0b, 0x12, 0x15, 0x16, 0x17, 0x1a, 0x1b, 0x1d, 0x1e,
        0x25, 0x28, 0x2a, 0x2b, 0x2e, 0x2f, 0x35, 0x3b, 0x3c, 0x41, 0x42, 0x43, 0x46, 0x4a, 0x4c,
        0x4d, 0x51, 0x52, 0x55, 0x56, 0x57, 0x5a, 0x5e, 0x5f, 0x88, 0x89, 0x8a, 0x8e, 0x8f, 0x91,
        0x93, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa, 0xad, 0xae, 0xaf, 0xb9, 0xbb, 0xbd, 0xbe,
    };
    static const uint8_t lengths[8] = { 6, 10, 10, 16, 16, 12, 10, 10 };
    uint8_t op = g_rand_int_range(rnd, 0, 20) ? ops[g_rand_int_range(rnd, 0, sizeof(ops))]
                                              : (uint8_t)g_rand_int(rnd);
    uint8_t n_cdb = g_rand_int_range(rnd, 0, 16) ? lengths[op >> 5] : g_rand_int_range(rnd, 0, 18);
    uint8_t head[5];

    head[0] = g_rand_int_range(rnd, 0, 7);
    head[1] = g_rand_int_range(rnd, 0, 5);
    head[2] = g_rand_int(rnd) & (g_rand_int_range(rnd, 0, 8) ? 0x5f : 0xff);
    head[3] = g_rand_int_range(rnd, 0, 12);
    head[4] = n_cdb;
    g_byte_array_append(out, head, sizeof(head));
    put_random(out, rnd, head[2] & 0x20 ? head[3] : 0);
    for (unsigned i = 0; i < n_cdb; i++) {
        uint8_t b = i == 0 ? op : 0;

        if (i && g_rand_int_range(rnd, 0, 3) == 0) {
            b = (uint8_t)g_rand_int(rnd) & (g_rand_boolean(rnd) ? 0x07 : 0xff);
        }
        g_byte_array_append(out, &b, 1);
    }
    put_random(out, rnd, 3);
}

static void put_operands(GByteArray *out, GRand *rnd, LsiStep step)
{
    static const uint8_t fixed[N_STEPS] = {
        [STEP_REG_WRITE] = 6, [STEP_REG_READ] = 2, [STEP_START] = 1,
        [STEP_TURNS] = 1,     [STEP_HOLD] = 1,     [STEP_CONFIG] = 2,
        [STEP_RESET] = 1,     [STEP_STATE] = 1,    [STEP_MEDIUM] = 1,
    };
    uint32_t insn;
    uint8_t n;

    switch (step) {
    case STEP_INSN:
        insn = random_insn(rnd);
        for (unsigned i = 0; i < 4; i++) {
            n = insn >> (8 * i);
            g_byte_array_append(out, &n, 1);
        }
        put_random(out, rnd, 5);
        break;
    case STEP_MEMORY:
        put_random(out, rnd, 5);
        n = g_rand_int_range(rnd, 0, 32);
        g_byte_array_append(out, &n, 1);
        put_random(out, rnd, 4 * n);
        break;
    case STEP_COMMAND:
        put_command(out, rnd);
        break;
    default:
        put_random(out, rnd, fixed[step]);
    }
}

GByteArray *lsi_program_random(GRand *rnd, LsiProfile profile)
{
    GByteArray *out = g_byte_array_new();

    put_random(out, rnd, 1);
    for (unsigned n = g_rand_int_range(rnd, 20, 400); n-- > 0;) {
        uint8_t step = pick_step(rnd, profile);

        g_byte_array_append(out, &step, 1);
        put_operands(out, rnd, step);
    }
    return out;
}
