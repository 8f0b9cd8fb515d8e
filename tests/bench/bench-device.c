/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the LSI itself costs, in one process and on one thread: no socket, no other side.
 *
 *   bench-device ROUNDS
 *
 * Prints lines of a name and a number: nanoseconds of CPU time for each access of a register at the
 * device's door (reg-read, reg-write), for each SCRIPTS instruction out of script RAM and out of
 * guest memory (insn-ram, insn-guest), and from the start of a script that selects a target which
 * is not there to its selection time-out (absent). One line of each for a round.
 */
#include "lsi-harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ACCESSES 200000
#define ABSENT 2000
#define LOOPS 0x40000u

/* Of this thread alone: what else the machine does is not the device's cost. */
static int64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void report(const char *name, int64_t ns, double n)
{
    printf("%s %.2f\n", name, (double)ns / n);
}

static void bench_registers(LsiTest *t)
{
    int64_t begun = cpu_ns();

    for (unsigned i = 0; i < ACCESSES; i++) {
        pci_bar_read(t->pci, 1, LSI_ISTAT0, 1);
    }
    report("reg-read", cpu_ns() - begun, ACCESSES);
    begun = cpu_ns();
    for (unsigned i = 0; i < ACCESSES; i++) {
        pci_bar_write(t->pci, 1, LSI_SCRATCHA, i, 4);
    }
    report("reg-write", cpu_ns() - begun, ACCESSES);
}

/*
 * What drivers' scripts consist of between two block moves: loads and stores by DSA, arithmetic,
 * compares and jumps, none of which is taken but the last. SCRATCHA counts the rounds.
 */
static unsigned emit_loop(LsiTest *t, uint32_t at, uint32_t table)
{
    uint32_t top = at + 8;

    lt_w32(t, LSI_DSA, table);
    lt_w32(t, LSI_SCRATCHA, -(int32_t)LOOPS);
    lt_org(t, at);
    lt_emit(t, I_NOP, 0);
    lt_emit(t, I_LOAD(LSI_SCRATCHB, 4) | I_DSA, 0);
    lt_emit(t, I_REG_TO_SFBR(A_AND, LSI_SCRATCHB, 0x7f), 0);
    lt_emit(t, I_JUMP | C_DATA(0x55, 0), 0);
    lt_emit(t, I_JUMP | C_DATA(0x80, 0x7f), 0);
    lt_emit(t, I_STORE(LSI_SCRATCHB, 4) | I_DSA, 8);
    lt_emit(t, I_REG_REG(A_OR, LSI_SBR, 1), 0);
    lt_emit(t, I_JUMP | C_IF(PHASE_MSG_IN), 0);
    lt_emit(t, I_REG_REG(A_ADD, LSI_SCRATCHA, 1), 0);
    lt_emit(t, I_REG_REG(A_ADDC, LSI_SCRATCHA + 1, 0), 0);
    lt_emit(t, I_REG_REG(A_ADDC, LSI_SCRATCHA + 2, 0), 0);
    lt_emit(t, (I_JUMP | C_CARRY) ^ C_NOT, top);
    lt_emit(t, I_INT, 1);
    return 12;
}

static void bench_scripts(LsiTest *t, const char *name, uint32_t at, uint32_t table)
{
    unsigned insns = emit_loop(t, at, table);
    int64_t begun = cpu_ns(), ns;

    lt_start(t, at);
    while (t->s->st.run != LSI_STOPPED) {
        loop_turn(t->loop, 0);
    }
    ns = cpu_ns() - begun;
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
    report(name, ns, (double)LOOPS * insns);
}

static void bench_absent(LsiTest *t)
{
    int64_t begun = cpu_ns();

    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(5), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), LT_TABLE);
    for (unsigned i = 0; i < ABSENT; i++) {
        lt_start(t, LT_SCRIPT);
        while (t->s->st.run != LSI_STOPPED) {
            loop_turn(t->loop, 0);
        }
        g_assert_cmphex(pci_bar_read(t->pci, 1, LSI_SIST0, 2), ==, SIST1_STO << 8);
    }
    report("absent", cpu_ns() - begun, ABSENT);
}

int main(int argc, char **argv)
{
    long rounds = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    LsiTest *t;

    if (rounds <= 0) {
        fprintf(stderr, "usage: bench-device ROUNDS\n");
        return 2;
    }
    t = lt_new("lsi53c895a", 1);
    while (rounds--) {
        bench_registers(t);
        bench_scripts(t, "insn-ram", LT_BAR_RAM, LT_BAR_RAM + 0x800);
        bench_scripts(t, "insn-guest", LT_SCRIPT, LT_TABLE);
        bench_absent(t);
    }
    lt_free(t);
    return 0;
}
