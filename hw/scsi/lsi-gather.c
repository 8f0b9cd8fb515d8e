/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data that the target puts straight into guest memory, for the block moves that will ask for it.
 *
 * A window without a pointer (scsi_req_window()) is data that the target can read in one go, once
 * it knows where to. The first block move that meets such a window has its own address, and looks
 * ahead in the script: the instructions behind it that are block moves of DATA IN, one after the
 * other, say where the rest will go. All of it is one scatter list for the target, which fills the
 * head of it.
 *
 * Each of these moves is then executed as ever, one instruction at a time, and finds its bytes in
 * their place: its address is compared with what was foreseen, and where that was wrong (a script
 * that changes its own table) the target is asked again. Only moves in a row are foreseen, since
 * between them nothing can come that would lead elsewhere; what a mismatch or an abort cuts off has
 * filled buffers that the driver had given for this command. A chip in single-step mode foresees
 * nothing. The own registers are neither looked at nor written to in this way.
 *
 * The places hold for one slice of lsi_run(): guest memory can't change within it.
 */
#include "hw/scsi/lsi-internal.h"

void lsi_places_clear(Lsi *s)
{
    s->places.n = s->places.next = 0;
}

/* False: no more can be added. */
static bool add_place(Lsi *s, uint64_t addr, size_t len)
{
    LsiPlaces *p = &s->places;
    size_t n = len;
    void *host = lsi_mem_ptr(s, addr, &n);

    if (!host) {
        return false;
    }
    p->addr[p->n] = addr;
    p->iov[p->n++] = (struct iovec){ .iov_base = host, .iov_len = n };
    return n == len && p->n < LSI_PLACES_MAX;
}

/* The places of the present move and of those behind it, for at most max bytes. */
static void foresee(Lsi *s, size_t max)
{
    uint32_t dsp = lsi_get32(s, LSI_DSP);
    LsiMove mv = s->st.move;
    size_t len = MIN(mv.left, max);
    uint8_t insn[8];

    lsi_places_clear(s);
    while (len && add_place(s, mv.addr, len)) {
        max -= len;
        if ((s->st.reg[LSI_DCNTL] & DCNTL_SSM) ||
            !lsi_mem_peek(s, lsi_addr64(s, LSI_SFS, dsp), insn, sizeof(insn)) ||
            !lsi_move_peek(s, insn, &mv)) {
            return;
        }
        dsp += sizeof(insn);
        len = MIN(mv.count, max);
    }
}

/* Has the next place what the present move wants? */
static bool foreseen(const Lsi *s, const ScsiReq *req)
{
    const LsiPlaces *p = &s->places;

    return p->next < p->n && p->req == req && p->moved == req->moved &&
           p->addr[p->next] == s->st.move.addr && p->iov[p->next].iov_len <= s->st.move.left;
}

/* Cuts the places to the n bytes that are there. */
static void keep(LsiPlaces *p, size_t n)
{
    unsigned i = 0;

    for (; i < p->n && n; i++) {
        p->iov[i].iov_len = MIN(p->iov[i].iov_len, n);
        n -= p->iov[i].iov_len;
    }
    p->n = i;
}

const uint8_t *lsi_gather(Lsi *s, size_t *len, size_t budget)
{
    LsiPlaces *p = &s->places;
    ScsiReq *req = &s->current->req;
    size_t window;

    if (!foreseen(s, req)) {
        scsi_req_window(req, &window);
        foresee(s, MIN(window, budget));
        keep(p, scsi_req_read(req, p->iov, p->n));
        p->req = req;
        p->moved = req->moved;
    }
    if (p->next == p->n) {
        return NULL;
    }
    *len = p->iov[p->next].iov_len;
    p->moved += *len;
    return p->iov[p->next++].iov_base;
}
