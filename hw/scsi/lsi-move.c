/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCRIPTS instructions that move bytes: block moves between the SCSI bus and memory, memory moves,
 * load and store (895A manual, 5.3, 5.6, 5.7).
 *
 * A block move is decoded once into LsiMove and goes on from there, in the state LSI_WAIT_MOVE,
 * as REQ and the slice's byte budget allow; DBC, DNAD and SBC follow it. The target ends its phase
 * when it has no more: the move then ends in a phase mismatch, which is an interrupt (M/A) or a
 * jump (CCNTL0.ENPMJ) with the remainder left in RBC, UA and IA.
 *
 * Data goes straight between the request's window and guest memory, or is there already (see
 * lsi-gather.c). A write into the chip's own registers may reset it in mid-move: the epoch and the
 * run state are looked at after each one.
 */
#include "hw/scsi/lsi-internal.h"

#define MOVE_PIECE 64u /* of messages, CDBs and memory moves */

static bool is_data_phase(unsigned phase)
{
    return phase == PHASE_DATA_OUT || phase == PHASE_DATA_IN;
}

/* ---- block move: decoding ---- */

/* Upper dword of a table entry's address (fact sheet 3.1). False: illegal index. */
static bool table_upper(const Lsi *s, uint8_t top, uint32_t *upper)
{
    static const uint8_t selectors[] = { LSI_MMRS, LSI_MMWS, LSI_SFS, LSI_DRS, LSI_SBMS, LSI_DBMS };
    uint8_t ccntl1 = s->st.reg[LSI_CCNTL1];
    unsigned index = top & 0x1f;

    if (!(ccntl1 & CCNTL1_EN64TIBMV)) {
        *upper = lsi_get32(s, LSI_SBMS);
    } else if (ccntl1 & CCNTL1_64TIMOD) {
        *upper = top; /* 40-bit addresses */
    } else if (index < 16) {
        *upper = lsi_get32(s, LSI_SCRATCHC + 4 * index);
    } else if (index - 16 < G_N_ELEMENTS(selectors)) {
        *upper = lsi_get32(s, selectors[index - 16]);
    } else {
        return false;
    }
    return true;
}

/* False: illegal index. */
static bool take_entry(const Lsi *s, uint32_t count, uint32_t addr, LsiMove *mv)
{
    uint32_t upper = 0;

    if (s->model->has_895a_regs && !(s->st.reg[LSI_CCNTL1] & CCNTL1_DDAC) &&
        !table_upper(s, count >> 24, &upper)) {
        return false;
    }
    mv->count = count & 0xffffff;
    mv->addr = (uint64_t)upper << 32 | addr;
    mv->rbc_top = count >> 24;
    return true;
}

static bool decode_table(Lsi *s, LsiMove *mv)
{
    uint32_t entry = lsi_get32(s, LSI_DSA) + lsi_sext24(lsi_get32(s, LSI_DSPS));
    uint64_t at = lsi_addr64(s, LSI_DRS, entry);
    uint32_t count, addr;

    if (!lsi_fetch32(s, at, &count) || !lsi_fetch32(s, at + 4, &addr)) {
        return false;
    }
    mv->entry_addr = entry;
    if (!take_entry(s, count, addr, mv)) {
        lsi_illegal(s);
        return false;
    }
    return true;
}

bool lsi_move_peek(Lsi *s, const uint8_t *insn, LsiMove *mv)
{
    const uint32_t op = lsi_le32(insn), operand = lsi_le32(insn + 4);
    uint8_t entry[8];

    *mv = (LsiMove){ .phase = PHASE_DATA_IN };
    if ((op >> 24 & ~(1u << 3 | 1u << 4)) != PHASE_DATA_IN) {
        return false; /* another one, or indirect */
    }
    if (op & (1u << 28)) {
        uint32_t at = lsi_get32(s, LSI_DSA) + lsi_sext24(operand);

        return lsi_mem_peek(s, lsi_addr64(s, LSI_DRS, at), entry, sizeof(entry)) &&
               take_entry(s, lsi_le32(entry), lsi_le32(entry + 4), mv);
    }
    if (s->model->has_895a_regs && (s->st.reg[LSI_CCNTL1] & CCNTL1_EN64DBMV)) {
        return false; /* three dwords */
    }
    mv->count = op & 0xffffff;
    mv->addr = lsi_addr64(s, LSI_SBMS, operand);
    return true;
}

static bool decode_direct(Lsi *s, uint32_t insn, LsiMove *mv)
{
    uint32_t dsps = lsi_get32(s, LSI_DSPS), upper, ptr;
    uint32_t dsp = lsi_get32(s, LSI_DSP);

    mv->count = insn & 0xffffff;
    mv->entry_addr = s->st.insn_addr;
    mv->rbc_top = insn >> 24;
    if (insn & (1u << 29)) {
        if (!lsi_fetch32(s, lsi_addr64(s, LSI_SFS, dsps), &ptr)) {
            return false;
        }
        mv->addr = lsi_addr64(s, LSI_SBMS, ptr);
    } else if (s->model->has_895a_regs && (s->st.reg[LSI_CCNTL1] & CCNTL1_EN64DBMV)) {
        if (!lsi_fetch32(s, lsi_addr64(s, LSI_SFS, dsp), &upper)) {
            return false;
        }
        lsi_put32(s, LSI_DSP, dsp + 4);
        lsi_put32(s, LSI_DBMS, upper);
        mv->addr = lsi_addr64(s, LSI_DBMS, dsps);
    } else {
        mv->addr = lsi_addr64(s, LSI_SBMS, dsps);
    }
    return true;
}

/* Registers as they stand with mv->left bytes to go. */
static void move_regs(Lsi *s)
{
    const LsiMove *mv = &s->st.move;

    lsi_put24(s, LSI_DBC, mv->left);
    lsi_put32(s, LSI_DNAD, mv->addr);
    if (s->model->has_895a_regs) {
        lsi_put32(s, LSI_DNAD64, mv->addr >> 32);
        lsi_put24(s, LSI_SBC, mv->count - mv->left);
    }
}

void lsi_block_move(Lsi *s, uint32_t insn)
{
    LsiState *st = &s->st;
    LsiMove *mv = &st->move;
    bool table = insn & (1u << 28), indirect = insn & (1u << 29);

    if (!insn) {
        /* SeaBIOS' TEST UNIT READY has a move of two zero dwords (quirk Q4); OpenServer one zero
         * dword behind a move. Skipping a dword serves both. */
        lsi_put32(s, LSI_DSP, st->insn_addr + 4);
        return;
    }
    *mv = (LsiMove){ .phase = insn >> 24 & 7, .first = true };
    if (table && indirect) {
        lsi_illegal(s);
        return;
    }
    if (!(table ? decode_table(s, mv) : decode_direct(s, insn, mv))) {
        return;
    }
    if (!mv->count) {
        lsi_illegal(s);
        return;
    }
    mv->left = mv->count;
    if (insn & (1u << 27)) {
        st->reg[LSI_SCNTL2] &= ~SCNTL2_CHM;
    } else {
        st->reg[LSI_SCNTL2] |= SCNTL2_CHM;
    }
    st->reg[LSI_SSTAT2] &= ~SSTAT2_LDSC;
    move_regs(s);
    if (st->connected && st->ack_held) {
        lsi_bus_release_ack(s); /* firmware never clears ACK (quirk Q6) */
    }
    if (st->run == LSI_RUNNING) {
        st->run = LSI_WAIT_MOVE;
    }
}

/* ---- block move: phase mismatch ---- */

static uint32_t mismatch_target(const Lsi *s)
{
    const LsiState *st = &s->st;
    bool second;

    if (st->reg[LSI_CCNTL0] & CCNTL0_PMJCTL) {
        second = st->move.phase & 1; /* I/O: input phases */
    } else {
        second = st->reg[LSI_SCNTL2] & SCNTL2_WSR;
    }
    return lsi_get32(s, second ? LSI_PMJAD2 : LSI_PMJAD1);
}

static void phase_mismatch(Lsi *s)
{
    LsiState *st = &s->st;
    const LsiMove *mv = &st->move;
    uint8_t ccntl0 = s->model->has_895a_regs ? st->reg[LSI_CCNTL0] : 0;

    trace(LSI, "phase mismatch at %08x: %u instead of %u, %u bytes left", st->insn_addr, st->phase,
          mv->phase, mv->left);
    if (s->model->has_895a_regs) {
        lsi_put32(s, LSI_RBC, mv->left | (uint32_t)mv->rbc_top << 24);
        lsi_put32(s, LSI_UA, mv->addr);
        lsi_put32(s, LSI_ESA, mv->entry_addr);
        lsi_put32(s, LSI_IA, st->insn_addr);
    }
    if ((ccntl0 & CCNTL0_ENPMJ) && (is_data_phase(mv->phase) || (ccntl0 & CCNTL0_ENNDJ))) {
        lsi_put32(s, LSI_DSP, mismatch_target(s));
        st->run = LSI_RUNNING;
    } else {
        lsi_scsi_irq(s, SIST0_MA, 0);
    }
}

/* ---- block move: bytes ---- */

static void move_advance(Lsi *s, size_t n)
{
    LsiMove *mv = &s->st.move;

    mv->addr += n;
    mv->left -= n;
    mv->first = false;
    if (is_data_phase(mv->phase) && s->model->has_895a_regs) {
        lsi_put32(s, LSI_CSBC, lsi_get32(s, LSI_CSBC) + n);
    }
    move_regs(s);
}

/* Of data that is where it has to be already. */
static size_t move_placed(Lsi *s, size_t n, size_t budget)
{
    LsiState *st = &s->st;
    const uint8_t *p = lsi_gather(s, &n, budget);

    if (!p) {
        lsi_bus_settle(s);
        return 0;
    }
    if (st->move.first) {
        st->reg[LSI_SFBR] = p[0];
    }
    st->reg[LSI_SIDL] = p[n - 1];
    move_advance(s, n);
    lsi_bus_in_advance(s, n);
    return n;
}

/* One contiguous piece. Returns its length, 0 on a fault or when the ground was taken away. */
static size_t move_in(Lsi *s, size_t budget)
{
    LsiState *st = &s->st;
    LsiMove *mv = &st->move;
    uint64_t epoch = s->epoch;
    size_t n;
    const uint8_t *p = lsi_bus_in_window(s, &n);
    uint8_t first, last;

    n = MIN(n, mv->left);
    if (!n) {
        st->req = false; /* the command has gone under the move */
        return 0;
    }
    if (!p) {
        return move_placed(s, n, budget);
    }
    first = p[0];
    last = p[n - 1];
    if (lsi_mem_write(s, mv->addr, p, n)) {
        lsi_dma_irq(s, DSTAT_BF);
        return 0;
    }
    if (s->epoch != epoch || st->run != LSI_WAIT_MOVE) {
        return 0;
    }
    if (mv->first) {
        st->reg[LSI_SFBR] = first;
    }
    st->reg[LSI_SIDL] = last;
    move_advance(s, n);
    lsi_bus_in_advance(s, n);
    return n;
}

static size_t move_out(Lsi *s)
{
    LsiMove *mv = &s->st.move;
    uint8_t piece[MOVE_PIECE], *p = piece;
    size_t n = sizeof(piece);

    if (mv->phase == PHASE_DATA_OUT) {
        p = lsi_bus_out_window(s, &n);
    }
    n = MIN(n, mv->left);
    if (!n) {
        s->st.req = false;
        return 0;
    }
    if (lsi_mem_read(s, mv->addr, p, n)) {
        lsi_dma_irq(s, DSTAT_BF);
        return 0;
    }
    move_advance(s, n);
    if (mv->phase == PHASE_DATA_OUT) {
        lsi_bus_out_advance(s, n);
    } else {
        lsi_bus_out(s, p, n);
    }
    return n;
}

static void move_finish(Lsi *s)
{
    LsiState *st = &s->st;

    st->run = LSI_RUNNING;
    switch (st->move.phase) {
    case PHASE_MSG_IN:
        st->ack_held = true;
        st->reg[LSI_SOCL] |= SOCL_ACK;
        break;
    case PHASE_MSG_OUT:
        st->reg[LSI_SOCL] &= ~SOCL_ATN;
        lsi_bus_settle(s);
        break;
    case PHASE_COMMAND:
        lsi_bus_settle(s);
        break;
    default:
        break;
    }
}

/* MSG IN has no more bytes for a move that wants some. */
static void move_msg_in_short(Lsi *s)
{
    if (s->st.after != LSI_AFTER_NOTHING) {
        move_finish(s); /* OVMF asks two bytes for COMMAND COMPLETE (quirk Q5) */
    } else {
        lsi_bus_settle(s); /* the next phase, or more messages */
    }
}

void lsi_move_continue(Lsi *s, size_t *bytes_left)
{
    LsiState *st = &s->st;
    LsiMove *mv = &st->move;
    size_t n;

    if (mv->phase == PHASE_COMMAND && st->phase == PHASE_MSG_OUT && !st->identified &&
        !(st->reg[LSI_SOCL] & SOCL_ATN) && !lsi_msg_out_partial(s)) {
        st->phase = PHASE_COMMAND; /* selected without ATN, and no message follows: SCSI-1 */
    }
    if (st->phase != mv->phase) {
        phase_mismatch(s);
        return;
    }
    n = (mv->phase & 1) ? move_in(s, *bytes_left) : move_out(s);
    *bytes_left -= MIN(n, *bytes_left);
    if (!n || st->run != LSI_WAIT_MOVE) {
        return;
    }
    if (!mv->left) {
        move_finish(s);
    } else if (mv->phase == PHASE_MSG_IN && st->msg_in_pos == st->msg_in_len) {
        move_msg_in_short(s);
    }
}

/* ---- memory move, load and store ---- */

static int mm_read(Lsi *s, uint64_t addr, void *buf, size_t n)
{
    return (s->st.reg[LSI_DMODE] & DMODE_SIOM) ? lsi_io_read(s, addr, buf, n)
                                               : lsi_mem_read(s, addr, buf, n);
}

static int mm_write(Lsi *s, uint64_t addr, const void *buf, size_t n)
{
    return (s->st.reg[LSI_DMODE] & DMODE_DIOM) ? lsi_io_write(s, addr, buf, n)
                                               : lsi_mem_write(s, addr, buf, n);
}

/* Up to 16 MiB in one instruction: it is not interrupted, but then it is a memcpy. TEMP survives
 * it, as Linux' cache test on the 810 needs: its script moves TEMP itself. */
void lsi_memory_move(Lsi *s, uint32_t insn)
{
    uint32_t left = insn & 0xffffff, dsp = lsi_get32(s, LSI_DSP), dest;
    uint64_t src, dst, epoch = s->epoch;
    uint8_t piece[4096];

    if (!lsi_fetch32(s, lsi_addr64(s, LSI_SFS, dsp), &dest)) {
        return;
    }
    lsi_put32(s, LSI_DSP, dsp + 4);
    src = lsi_addr64(s, LSI_MMRS, lsi_get32(s, LSI_DSPS));
    dst = lsi_addr64(s, LSI_MMWS, dest);
    if (!left || ((src ^ dst) & 3)) {
        lsi_illegal(s);
        return;
    }
    while (left) {
        size_t n = MIN(left, sizeof(piece));
        if (mm_read(s, src, piece, n) || mm_write(s, dst, piece, n)) {
            lsi_dma_irq(s, DSTAT_BF);
            return;
        }
        if (s->epoch != epoch || s->st.run != LSI_RUNNING) {
            return;
        }
        src += n;
        dst += n;
        left -= n;
    }
    lsi_put24(s, LSI_DBC, 0);
}

void lsi_load_store(Lsi *s, uint32_t insn)
{
    unsigned n = insn & 7, reg = insn >> 16 & 0xff;
    bool load = insn & (1u << 24);
    uint32_t addr = lsi_get32(s, LSI_DSPS);
    uint64_t at;
    uint8_t b[4];

    if (insn & (1u << 28)) {
        at = lsi_addr64(s, LSI_DRS, lsi_get32(s, LSI_DSA) + lsi_sext24(addr));
    } else {
        at = lsi_addr64(s, load ? LSI_MMRS : LSI_MMWS, addr);
    }
    reg &= s->model->reg_mask;
    if (!s->model->load_store || !n || n > 4 || ((reg ^ at) & 3) || (reg & 3) + n > 4 ||
        (load && reg <= LSI_SFBR && reg + n > LSI_SFBR)) {
        lsi_illegal(s);
        return;
    }
    if (load) {
        if (lsi_mem_read(s, at, b, n)) {
            lsi_dma_irq(s, DSTAT_BF);
            return;
        }
        for (unsigned i = 0; i < n; i++) {
            lsi_reg_write8(s, reg + i, b[i], true);
        }
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        b[i] = lsi_reg_read8(s, reg + i);
    }
    if (lsi_mem_write(s, at, b, n)) {
        lsi_dma_irq(s, DSTAT_BF);
    }
}
