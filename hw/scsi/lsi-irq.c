/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts of the LSI: DSTAT, SIST0/1, ISTAT0 and the INTA# level (895A manual, 2.2.19).
 *
 * Three sources meet at the pin: DMA conditions (DSTAT, gated by DIEN), SCSI conditions (SIST,
 * gated by SIEN) and interrupt on the fly (ISTAT0.INTF). A fatal condition stops SCRIPTS whether
 * or not its pin is enabled; CMP, SEL, RSL, GEN and HTH are fatal only where enabled. SIP and DIP
 * are derived from the status registers and never stored.
 *
 * The silicon stacks conditions in two levels; here they are ORed into one, which loses none: a
 * driver reads SIST and DSTAT until SIP and DIP are both clear. The level is recomputed after
 * each change of status or mask, so a level without a cause can't exist.
 */
#include "hw/scsi/lsi-internal.h"

/* Bits that stop SCRIPTS and count for SIP even when masked. */
#define SIST0_FATAL (SIST0_MA | SIST0_SGE | SIST0_UDC | SIST0_RST | SIST0_PAR)
#define SIST1_FATAL (SIST1_SBMC | SIST1_STO)
#define DSTAT_IRQ 0x7f /* all but DFE, which is pure status */

static bool lsi_sip(const Lsi *s)
{
    const uint8_t *r = s->st.reg;
    return (r[LSI_SIST0] & (r[LSI_SIEN0] | SIST0_FATAL)) ||
           (r[LSI_SIST1] & (r[LSI_SIEN1] | SIST1_FATAL));
}

uint8_t lsi_istat0(const Lsi *s)
{
    uint8_t v = s->st.reg[LSI_ISTAT0];

    if (s->st.connected) {
        v |= ISTAT0_CON;
    }
    if (lsi_sip(s)) {
        v |= ISTAT0_SIP;
    }
    if (s->st.reg[LSI_DSTAT] & DSTAT_IRQ) {
        v |= ISTAT0_DIP;
    }
    return v;
}

void lsi_irq_update(Lsi *s)
{
    const uint8_t *r = s->st.reg;
    bool level = (r[LSI_ISTAT0] & ISTAT0_INTF) || (r[LSI_DSTAT] & r[LSI_DIEN] & DSTAT_IRQ) ||
                 (r[LSI_SIST0] & r[LSI_SIEN0]) || (r[LSI_SIST1] & r[LSI_SIEN1]);

    if (r[LSI_DCNTL] & DCNTL_IRQD) {
        level = false;
    } else if (r[LSI_ISTAT1] & ISTAT1_SI) {
        level &= s->pci.irq_level; /* holds back new ones, not the one that is being served */
    }
    pci_irq_set(&s->pci, level);
}

void lsi_dma_irq(Lsi *s, uint8_t dstat)
{
    trace(LSI, "DSTAT |= %02x at %08x", dstat, s->st.insn_addr);
    s->st.reg[LSI_DSTAT] |= dstat;
    lsi_scripts_stop(s);
    lsi_irq_update(s);
}

void lsi_scsi_irq(Lsi *s, uint8_t sist0, uint8_t sist1)
{
    uint8_t *r = s->st.reg;

    trace(LSI, "SIST |= %02x %02x at %08x", sist0, sist1, s->st.insn_addr);
    r[LSI_SIST0] |= sist0;
    r[LSI_SIST1] |= sist1;
    if ((sist0 & (r[LSI_SIEN0] | SIST0_FATAL)) || (sist1 & (r[LSI_SIEN1] | SIST1_FATAL))) {
        lsi_scripts_stop(s);
    }
    lsi_irq_update(s);
}

void lsi_intfly(Lsi *s)
{
    s->st.reg[LSI_ISTAT0] |= ISTAT0_INTF;
    lsi_irq_update(s);
}

uint8_t lsi_dstat_read(Lsi *s)
{
    uint8_t v = s->st.reg[LSI_DSTAT];

    /* An abort bit that is still set fires again (895A manual, ISTAT0 bit 7). */
    s->st.reg[LSI_DSTAT] = (s->st.reg[LSI_ISTAT0] & ISTAT0_ABRT) ? DSTAT_ABRT : 0;
    lsi_irq_update(s);
    return v | DSTAT_DFE;
}

/* Code n of STIME0 and STIME1 is 125 us << (n - 1), 0 disables; the scale bits multiply by 16. */
static void timer_set(LoopTimer *timer, unsigned code, bool scaled)
{
    int64_t ns = INT64_C(125000) << (code - 1);

    loop_timer_arm(timer, loop_now_ns() + (scaled ? 16 * ns : ns));
}

/* A new value restarts the timer. */
void lsi_gen_timer_set(Lsi *s)
{
    uint8_t v = s->st.reg[LSI_STIME1];

    if (v & 0x0f) {
        timer_set(&s->gen_timer, v & 0x0f, v & STIME1_GENSF);
    } else {
        loop_timer_disarm(&s->gen_timer);
    }
}

void lsi_hth_timer_set(Lsi *s)
{
    const LsiState *st = &s->st;
    unsigned code = st->reg[LSI_STIME0] >> 4;
    bool waits = st->connected && !st->req &&
                 (st->run == LSI_WAIT_MOVE || st->run == LSI_WAIT_PHASE);

    if (!code || !waits) {
        loop_timer_disarm(&s->hth_timer);
    } else if (!loop_timer_armed(&s->hth_timer)) {
        timer_set(&s->hth_timer, code, st->reg[LSI_STIME1] & STIME1_HTHSF);
    }
}

void lsi_hth_timer_fired(void *opaque)
{
    lsi_scsi_irq(opaque, 0, SIST1_HTH);
}

void lsi_gen_timer_fired(void *opaque)
{
    lsi_scsi_irq(opaque, 0, SIST1_GEN);
}
