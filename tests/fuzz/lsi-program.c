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

/* CDBs that mean something, to be changed here and there: op, length, and the rest. */
static const struct Cdb {
    uint8_t len, cdb[16];
} cdbs[] = {
    { 6, { 0x00 } },
    { 6, { 0x03, 0, 0, 0, 18 } },
    { 6, { 0x08, 0, 0, 1, 2 } },
    { 6, { 0x0a, 0, 0, 1, 2 } },
    { 6, { 0x12, 0, 0, 0, 36 } },
    { 6, { 0x12, 1, 0x00, 0, 64 } },
    { 6, { 0x12, 1, 0x80, 0, 64 } },
    { 6, { 0x12, 1, 0x83, 0, 64 } },
    { 6, { 0x12, 1, 0xb0, 0, 64 } },
    { 6, { 0x12, 1, 0xb1, 0, 64 } },
    { 6, { 0x12, 1, 0xb2, 0, 64 } },
    { 6, { 0x15, 0x10, 0, 0, 24 } },
    { 6, { 0x1a, 0, 0x3f, 0, 255 } },
    { 6, { 0x1a, 8, 0x08, 0, 64 } },
    { 6, { 0x1b, 0, 0, 0, 2 } },
    { 6, { 0x1b, 0, 0, 0, 3 } },
    { 6, { 0x1e, 0, 0, 0, 1 } },
    { 6, { 0x16 } },
    { 6, { 0x17 } },
    { 10, { 0x25 } },
    { 10, { 0x28, 0, 0, 0, 0, 1, 0, 0, 4 } },
    { 10, { 0x28, 0, 0, 0, 3, 0xf0, 0, 2, 0 } },
    { 10, { 0x2a, 0, 0, 0, 0, 1, 0, 0, 4 } },
    { 10, { 0x2a, 8, 0, 0, 3, 0xf0, 0, 2, 0 } },
    { 10, { 0x2b, 0, 0, 0, 0, 1 } },
    { 10, { 0x2e, 2, 0, 0, 0, 1, 0, 0, 4 } },
    { 10, { 0x2f, 0, 0, 0, 0, 1, 0, 0, 4 } },
    { 10, { 0x2f, 2, 0, 0, 0, 1, 0, 0, 4 } },
    { 10, { 0x2f, 6, 0, 0, 0, 1, 0, 0, 4 } },
    { 10, { 0x35 } },
    { 10, { 0x41, 0, 0, 0, 0, 1, 0, 0, 4 } },
    { 10, { 0x42, 0, 0, 0, 0, 0, 0, 0, 24 } },
    { 10, { 0x43, 0, 0, 0, 0, 0, 0, 0, 64 } },
    { 10, { 0x43, 2, 2, 0, 0, 0, 1, 0, 64 } },
    { 10, { 0x46, 0, 0, 0, 0, 0, 0, 0, 128 } },
    { 10, { 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 } },
    { 10, { 0x4d, 0, 0x40, 0, 0, 0, 0, 0, 64 } },
    { 10, { 0x4d, 0, 0x42, 0, 0, 0, 0, 0, 64 } },
    { 10, { 0x4d, 0, 0x6f, 0, 0, 0, 0, 0, 64 } },
    { 10, { 0x51, 0, 0, 0, 0, 0, 0, 0, 34 } },
    { 10, { 0x52, 1, 0, 0, 0, 1, 0, 0, 36 } },
    { 10, { 0x55, 0x10, 0, 0, 0, 0, 0, 0, 28 } },
    { 10, { 0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255 } },
    { 10, { 0x5e, 0, 0, 0, 0, 0, 0, 0, 64 } },
    { 10, { 0x5e, 3, 0, 0, 0, 0, 0, 0, 64 } },
    { 10, { 0x5f, 0, 0, 0, 0, 0, 0, 0, 24 } },
    { 10, { 0x5f, 1, 1, 0, 0, 0, 0, 0, 24 } },
    { 10, { 0x5f, 4, 1, 0, 0, 0, 0, 0, 24 } },
    { 10, { 0x5f, 6, 0, 0, 0, 0, 0, 0, 24 } },
    { 16, { 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4 } },
    { 16, { 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1 } },
    { 16, { 0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4 } },
    { 16, { 0x8e, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4 } },
    { 16, { 0x8f, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4 } },
    { 16, { 0x91 } },
    { 16, { 0x93, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4 } },
    { 16, { 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 64 } },
    { 16, { 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32 } },
    { 16, { 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64 } },
    { 12, { 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64 } },
    { 12, { 0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 1, 0 } },
    { 12, { 0xa3, 0x0c, 1, 0x28, 0, 0, 0, 0, 0, 64 } },
    { 12, { 0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 4 } },
    { 12, { 0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4 } },
    { 12, { 0xbb } },
    { 12, { 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8 } },
    { 12, { 0xbe, 0, 0, 0, 0, 1, 0, 0, 2, 0x10 } },
    { 12, { 0xb9, 0, 0, 0, 2, 1, 0, 2, 3, 0x10 } },
};

static const struct Message {
    uint8_t len, bytes[8];
} messages[] = {
    { 5, { 1, 3, 1, 12, 31 } },
    { 4, { 1, 2, 3, 1 } },
    { 8, { 1, 6, 4, 9, 0, 62, 1, 2 } },
    { 1, { 0x06 } },
    { 1, { 0x0d } },
    { 1, { 0x0e } },
    { 1, { 0x0c } },
    { 2, { 0x22, 3 } },
    { 3, { 1, 0, 9 } },
    { 2, { 0x07, 0x08 } },
};

/* Parameter lists: MODE SELECT, UNMAP, PERSISTENT RESERVE OUT. */
static const struct Params {
    uint8_t len, bytes[28];
} params[] = {
    { 24, { 0, 0, 0, 0, 0x08, 0x12, 0x04 } },
    { 24, { 0, 0, 0, 0, 0x08, 0x12, 0x00 } },
    { 24, { 0, 22, 0, 16, [15] = 8, [19] = 8 } },
    { 24, { [15] = 5 } },
    { 24, { [7] = 5, [15] = 6 } },
    { 24, { [7] = 5 } },
    { 28, { [8] = 0x08, [9] = 0x12, [10] = 0x04 } },
};

static void put_command(GByteArray *out, GRand *rnd)
{
    struct Cdb c = cdbs[g_rand_int_range(rnd, 0, G_N_ELEMENTS(cdbs))];
    const struct Message *msg = &messages[g_rand_int_range(rnd, 0, G_N_ELEMENTS(messages))];
    const struct Params *p = &params[g_rand_int_range(rnd, 0, G_N_ELEMENTS(params))];
    uint8_t head[4], n = g_rand_int_range(rnd, 0, 12);

    while (g_rand_int_range(rnd, 0, 3) == 0) {
        c.cdb[g_rand_int_range(rnd, 0, 16)] = g_rand_int(rnd) & (g_rand_boolean(rnd) ? 7 : 0xff);
    }
    if (g_rand_int_range(rnd, 0, 20) == 0) {
        c.cdb[0] = g_rand_int(rnd);
        c.len = g_rand_int_range(rnd, 0, 17);
    }
    head[0] = g_rand_int_range(rnd, 0, 7);
    head[1] = g_rand_int_range(rnd, 0, 5);
    head[2] = g_rand_int(rnd) & (g_rand_int_range(rnd, 0, 8) ? 0x5f : 0xff);
    head[3] = g_rand_boolean(rnd) ? msg->len : n;
    g_byte_array_append(out, head, sizeof(head));
    g_byte_array_append(out, &c.len, 1);
    if (head[2] & 0x20) {
        if (head[3] == msg->len) {
            g_byte_array_append(out, msg->bytes, msg->len);
        } else {
            put_random(out, rnd, n);
        }
    }
    g_byte_array_append(out, c.cdb, c.len);
    put_random(out, rnd, 2);
    head[0] = 0;
    head[1] = g_rand_boolean(rnd) ? p->len : n;
    g_byte_array_append(out, head, 2);
    if (head[1] == p->len) {
        g_byte_array_append(out, p->bytes, p->len);
    } else {
        put_random(out, rnd, n);
    }
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
        put_random(out, rnd, insn >> 29 == 6 ? 10 : 5);
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
