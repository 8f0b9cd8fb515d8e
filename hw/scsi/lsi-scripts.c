/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCRIPTS executor (895A manual, chapter 5): lsi_run() is the only place that executes
 * instructions, it is deferred work of the machine's loop and never nests. Register writes that
 * start SCRIPTS, completions and bus events only wake it.
 *
 *   STOPPED -> RUNNING (DSP, STD) -> WAIT_MOVE, WAIT_PHASE, WAIT_RESELECT, WAIT_DISCONNECT
 *   -> RUNNING ... -> STOPPED (interrupt)
 *
 * A slice ends when the script waits or stops, or after a fixed number of instructions and bytes;
 * then the work yields, so that the socket is served in between: a script may spin on guest memory
 * as long as it likes; only its own guest waits. Instructions are decoded from memory each time,
 * since drivers patch them while they run; the program counter is the DSP register itself.
 */
#include "hw/scsi/lsi-internal.h"

#include <string.h>

/* One slice: some 50 us. Linux executes up to 225 instructions between two waits. */
#define SLICE_INSNS 1000
#define SLICE_BYTES (1u << 20)

enum {
    OP_SELECT = 0,
    OP_WAIT_DISCONNECT = 1,
    OP_WAIT_RESELECT = 2,
    OP_SET = 3,
    OP_CLEAR = 4,
    OP_SFBR_TO_REG = 5,
    OP_REG_TO_SFBR = 6,
    OP_REG_TO_REG = 7,
};

enum { TC_JUMP = 0, TC_CALL = 1, TC_RETURN = 2, TC_INT = 3 };

void lsi_scripts_start(Lsi *s)
{
    if (!s->executing) {
        lsi_bus_finish_if_complete(s);
        loop_defer(&s->run_work);
    }
    s->st.run = LSI_RUNNING;
}

void lsi_scripts_stop(Lsi *s)
{
    s->st.run = LSI_STOPPED;
}

void lsi_scripts_wake(Lsi *s)
{
    if (!s->executing && s->st.run >= LSI_WAIT_RESELECT) {
        loop_defer(&s->run_work);
    }
}

void lsi_illegal(Lsi *s)
{
    trace(LSI, "illegal instruction %08x at %08x", lsi_get32(s, LSI_DBC), s->st.insn_addr);
    lsi_dma_irq(s, DSTAT_IID);
}

/* SELECT found nobody: SIST1.STO at the first instruction that needs the target. */
static void selection_timeout(Lsi *s)
{
    s->st.absent = false;
    lsi_scsi_irq(s, 0, SIST1_STO);
}

/* The second dword as an address, relative to the next instruction if bit `rel` is set. */
static uint32_t jump_target(const Lsi *s, uint32_t insn, unsigned rel)
{
    uint32_t dsps = lsi_get32(s, LSI_DSPS);

    return (insn & (1u << rel)) ? lsi_get32(s, LSI_DSP) + lsi_sext24(dsps) : dsps;
}

/* ---- I/O instructions ---- */

static void insn_select(Lsi *s, uint32_t insn)
{
    unsigned id = insn >> 16 & 0x0f;
    uint32_t entry;

    lsi_put32(s, LSI_DNAD, jump_target(s, insn, 26));
    if (insn & (1u << 25)) {
        uint32_t addr = lsi_get32(s, LSI_DSA) + lsi_sext24(insn);
        if (!lsi_fetch32(s, lsi_addr64(s, LSI_DRS, addr), &entry)) {
            return;
        }
        id = entry >> 16 & 0x0f;
        lsi_reg_write8(s, LSI_SCNTL3, entry >> 24, true);
        lsi_reg_write8(s, LSI_SXFER, entry >> 8, true);
    }
    if (lsi_bus_resel_pending(s) && lsi_bus_reselect(s)) {
        lsi_put32(s, LSI_DSP, lsi_get32(s, LSI_DNAD)); /* lost to a reselection */
        return;
    }
    lsi_bus_select(s, id, insn & (1u << 24));
}

static void insn_wait_reselect(Lsi *s, uint32_t insn)
{
    lsi_put32(s, LSI_DNAD, jump_target(s, insn, 26));
    lsi_bus_finish_if_complete(s);
    if (s->st.connected && s->st.reselected) {
        return; /* the alternate of a SELECT that has lost to it */
    }
    if (s->st.run == LSI_RUNNING) {
        s->st.run = LSI_WAIT_RESELECT;
    }
}

static void insn_wait_disconnect(Lsi *s, uint32_t insn G_GNUC_UNUSED)
{
    lsi_bus_finish_if_complete(s);
    if (s->st.run == LSI_RUNNING) {
        s->st.run = LSI_WAIT_DISCONNECT;
    }
}

static void insn_set(Lsi *s, uint32_t insn)
{
    if (insn & (1u << 9)) {
        lsi_illegal(s); /* target mode */
        return;
    }
    if (insn & (1u << 10)) {
        s->st.carry = true;
    }
    s->st.reg[LSI_SOCL] |= insn & (SOCL_ACK | SOCL_ATN);
    if ((insn & SOCL_ATN) && !s->st.req) {
        lsi_bus_settle(s);
    }
}

static void insn_clear(Lsi *s, uint32_t insn)
{
    bool atn = (insn & SOCL_ATN) && (s->st.reg[LSI_SOCL] & SOCL_ATN);

    if (insn & (1u << 10)) {
        s->st.carry = false;
    }
    s->st.reg[LSI_SOCL] &= ~(insn & (SOCL_ACK | SOCL_ATN));
    if (insn & SOCL_ACK) {
        lsi_bus_release_ack(s);
    } else if (atn && s->st.phase == PHASE_MSG_OUT) {
        lsi_bus_settle(s);
    }
}

/* ---- register instructions ---- */

static uint8_t alu(Lsi *s, unsigned op, uint8_t a, uint8_t b)
{
    unsigned sum;

    switch (op) {
    case 0: /* load */
        return b;
    case 1: /* shift left through carry */
        sum = a << 1 | s->st.carry;
        s->st.carry = a >> 7;
        return sum;
    case 2:
        return a | b;
    case 3:
        return a ^ b;
    case 4:
        return a & b;
    case 5: /* shift right through carry */
        sum = a >> 1 | s->st.carry << 7;
        s->st.carry = a & 1;
        return sum;
    default: /* 6 add, 7 add with carry */
        sum = a + b + (op == 7 ? s->st.carry : 0);
        s->st.carry = sum >> 8;
        return sum;
    }
}

static void insn_register(Lsi *s, uint32_t insn)
{
    unsigned op = insn >> 27 & 7, oper = insn >> 24 & 7;
    unsigned reg = ((insn >> 16 & 0x7f) | (insn & 0x80)) & s->model->reg_mask;
    uint8_t sfbr = s->st.reg[LSI_SFBR];
    uint8_t data = (insn & (1u << 23)) ? sfbr : insn >> 8;
    uint8_t a = 0;

    if (op == OP_SFBR_TO_REG) {
        a = sfbr;
    } else if (oper != 0) {
        a = lsi_reg_read8(s, reg);
    }
    a = alu(s, oper, a, data);
    lsi_reg_write8(s, op == OP_REG_TO_SFBR ? LSI_SFBR : reg, a, true);
}

static void insn_io(Lsi *s, uint32_t insn)
{
    static void (*const ops[])(Lsi *, uint32_t) = {
        [OP_SELECT] = insn_select,
        [OP_WAIT_DISCONNECT] = insn_wait_disconnect,
        [OP_WAIT_RESELECT] = insn_wait_reselect,
        [OP_SET] = insn_set,
        [OP_CLEAR] = insn_clear,
        [OP_SFBR_TO_REG] = insn_register,
        [OP_REG_TO_SFBR] = insn_register,
        [OP_REG_TO_REG] = insn_register,
    };
    unsigned op = insn >> 27 & 7;

    if (op > OP_SELECT && op < OP_SFBR_TO_REG && (insn & (1u << 24))) {
        lsi_illegal(s);
        return;
    }
    ops[op](s, insn);
}

/* ---- transfer control ---- */

/* Does the condition hold as bit 19 wants it? Without compares it counts as true. */
static bool condition_met(const Lsi *s, uint32_t insn)
{
    bool want = insn & (1u << 19);
    uint8_t mask = insn >> 8;

    if (insn & (1u << 21)) {
        return s->st.carry == want;
    }
    if (!(insn & (3u << 17))) {
        return want;
    }
    if ((insn & (1u << 17)) && (s->st.phase == (insn >> 24 & 7)) != want) {
        return false;
    }
    if ((insn & (1u << 18)) && !((s->st.reg[LSI_SFBR] ^ insn) & 0xff & ~mask) != want) {
        return false;
    }
    return true;
}

static void insn_int(Lsi *s, uint32_t insn)
{
    if (insn & (1u << 20)) {
        lsi_intfly(s);
        return;
    }
    trace(LSI, "INT %08x at %08x", lsi_get32(s, LSI_DSPS), s->st.insn_addr);
    lsi_bus_finish_if_complete(s);
    lsi_dma_irq(s, DSTAT_SIR);
}

static void insn_transfer(Lsi *s, uint32_t insn)
{
    LsiState *st = &s->st;
    unsigned op = insn >> 27 & 7;

    if (op > TC_INT || ((insn & (1u << 21)) && (insn & (3u << 17)))) {
        lsi_illegal(s);
        return;
    }
    /* WHEN: the phase counts only with REQ. */
    if ((insn & (1u << 16)) && (insn & (1u << 17)) && !(st->connected && st->req)) {
        if (st->absent) {
            selection_timeout(s);
        } else if (st->connected && st->ack_held) {
            lsi_bus_release_ack(s);
            st->run = LSI_WAIT_PHASE;
        } else {
            st->run = LSI_WAIT_PHASE;
        }
        return;
    }
    if (!condition_met(s, insn)) {
        return;
    }
    switch (op) {
    case TC_CALL:
        lsi_put32(s, LSI_TEMP, lsi_get32(s, LSI_DSP));
        /* fall through */
    case TC_JUMP:
        lsi_put32(s, LSI_DSP, jump_target(s, insn, 23));
        break;
    case TC_RETURN:
        lsi_put32(s, LSI_DSP, lsi_get32(s, LSI_TEMP));
        break;
    case TC_INT:
        insn_int(s, insn);
        break;
    }
}

/* ---- execution ---- */

/* Its two dwords go to DBC and DCMD, and to DSPS. False: bus fault. */
static bool fetch(Lsi *s, uint32_t dsp, uint32_t *insn)
{
    uint64_t addr = lsi_addr64(s, LSI_SFS, dsp);
    const uint8_t *p = lsi_ram_at(s, addr, 8);
    uint8_t words[8];

    if (p) {
        memcpy(words, p, sizeof(words));
    } else if (lsi_mem_read(s, addr, words, sizeof(words))) {
        lsi_dma_irq(s, DSTAT_BF);
        return false;
    }
    memcpy(s->st.fetch, words, sizeof(words));
    memcpy(&s->st.reg[LSI_DBC], words, 4);
    memcpy(&s->st.reg[LSI_DSPS], words + 4, 4);
    *insn = lsi_le32(words);
    return true;
}

static void step(Lsi *s)
{
    LsiState *st = &s->st;
    uint32_t dsp = lsi_get32(s, LSI_DSP), insn;

    st->insn_addr = dsp;
    if (dsp & 3) {
        lsi_illegal(s);
        return;
    }
    if (!fetch(s, dsp, &insn)) {
        return;
    }
    lsi_put32(s, LSI_DSP, dsp + 8);
    trace(LSI, "%08x: %08x %08x", dsp, insn, lsi_get32(s, LSI_DSPS));
    switch (insn >> 30) {
    case 0:
        memcpy(&st->reg[LSI_DNAD], st->fetch + 4, 4);
        lsi_block_move(s, insn);
        break;
    case 1:
        insn_io(s, insn);
        break;
    case 2:
        insn_transfer(s, insn);
        break;
    default:
        if (insn & (1u << 29)) {
            lsi_load_store(s, insn);
        } else {
            lsi_memory_move(s, insn);
        }
        break;
    }
}

static bool wait_reselect_over(Lsi *s)
{
    LsiState *st = &s->st;

    if (lsi_bus_reselect(s)) {
        if (st->run == LSI_WAIT_RESELECT) { /* unless RSL is enabled and has stopped it */
            st->run = LSI_RUNNING;
        }
        return true;
    }
    if (st->reg[LSI_ISTAT0] & ISTAT0_SIGP) {
        lsi_put32(s, LSI_DSP, lsi_get32(s, LSI_DNAD));
        st->run = LSI_RUNNING;
        return true;
    }
    return false;
}

/* One instruction, or what a waiting one can do now. False: it waits on, or SCRIPTS are stopped. */
static bool advance(Lsi *s, size_t *bytes)
{
    LsiState *st = &s->st;

    switch ((LsiRun)st->run) {
    case LSI_RUNNING:
        step(s);
        return true;
    case LSI_WAIT_MOVE:
        if (st->absent) {
            selection_timeout(s);
            return false;
        }
        if (!st->req) {
            return false;
        }
        lsi_move_continue(s, bytes);
        return true;
    case LSI_WAIT_PHASE:
        if (!st->req) {
            return false;
        }
        lsi_put32(s, LSI_DSP, st->insn_addr);
        st->run = LSI_RUNNING;
        return true;
    case LSI_WAIT_RESELECT:
        return wait_reselect_over(s);
    case LSI_WAIT_DISCONNECT:
        if (st->connected) {
            return false;
        }
        st->run = LSI_RUNNING;
        return true;
    case LSI_STOPPED:
        break;
    }
    return false;
}

void lsi_run(void *opaque)
{
    Lsi *s = opaque;
    unsigned insns = SLICE_INSNS;
    size_t bytes = SLICE_BYTES;
    bool more = true;

    if (s->frozen || s->paused) {
        return;
    }
    s->executing = true;
    lsi_places_clear(s);
    while (insns && bytes && (more = advance(s, &bytes))) {
        insns--;
        if ((s->st.reg[LSI_DCNTL] & DCNTL_SSM) && s->st.run == LSI_RUNNING) {
            lsi_dma_irq(s, DSTAT_SSI);
        }
    }
    if (!more && s->st.absent && s->st.run != LSI_RUNNING) {
        selection_timeout(s); /* the script stopped or waits for something else */
    }
    s->executing = false;
    lsi_hth_timer_set(s);
    if (more && s->st.run != LSI_STOPPED) {
        loop_yield(&s->run_work);
    }
}
