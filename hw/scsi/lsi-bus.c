/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI bus behind the LSI, seen from both ends: the chip as initiator, and what the connected
 * target does (SPI-2; fact sheet section 4).
 *
 * One nexus is connected at a time. It begins with SELECT or with a reselection, and the target
 * then drives the phases: lsi_bus_settle() is its one decision, taken whenever the initiator has
 * let go (ACK released, a block move finished) or a command has made progress:
 *
 *   message bytes to send -> MSG IN        ATN, or half a message received -> MSG OUT
 *   no command yet -> COMMAND              data can be moved -> DATA IN, DATA OUT
 *   command finished -> STATUS, then MSG IN (COMMAND COMPLETE), then bus free
 *   otherwise the target is busy: no REQ; if IDENTIFY granted it, it disconnects
 *
 * The target thinks about disconnecting when nothing else is left to do in the turn in which it
 * became busy: commands answered from memory or the page cache stay connected, and of those that
 * are not, the script starts as many as it has, so that one system call submits them all.
 * Disconnected tasks that become ready queue for reselection, first come first served; the queue is
 * looked at by WAIT RESELECT, and by SELECT, to which a pending reselection loses a bounded number
 * of times.
 *
 * Tasks: s->tasks holds all that are alive; a cancelled one moves to s->zombies until the target
 * says done(). Nothing else refers to a zombie.
 */
#include "hw/scsi/lsi-internal.h"

#include <string.h>

/* ---- tasks ---- */

static void task_link(LsiTask **list, LsiTask *t)
{
    t->next = *list;
    t->prev = list;
    if (t->next) {
        t->next->prev = &t->next;
    }
    *list = t;
}

static void task_unlink(LsiTask *t)
{
    *t->prev = t->next;
    if (t->next) {
        t->next->prev = t->prev;
    }
}

static void task_free(LsiTask *t)
{
    task_unlink(t);
    t->s->n_tasks--;
    g_free(t);
}

/* A finished task whose status the initiator has now, or will never get. */
static void task_end(LsiTask *t)
{
    if (t->req.status == SCSI_CHECK_CONDITION) {
        scsi_status_sent(t->s->scsi, t->req.target, t->req.lun);
    }
    task_free(t);
}

static void task_cancel(LsiTask *t)
{
    Lsi *s = t->s;

    if (t == s->current) {
        s->current = NULL;
        s->epoch++;
    }
    if (t->pending) {
        g_queue_unlink(&s->resel, &t->link);
        t->pending = false;
    }
    if (t->finished) {
        task_end(t);
        return;
    }
    task_unlink(t);
    task_link(&s->zombies, t);
    t->zombie = true;
    scsi_cancel(&t->req);
}

void lsi_tasks_cancel(Lsi *s, int target, int lun, int tag)
{
    LsiTask *next;

    for (LsiTask *t = s->tasks; t; t = next) {
        next = t->next;
        if ((target < 0 || t->req.target == target) && (lun < 0 || t->req.lun == lun) &&
            (tag < 0 || (t->req.attr != SCSI_UNTAGGED && t->req.tag == tag))) {
            task_cancel(t);
        }
    }
}

void lsi_task_queue(LsiTask *t)
{
    if (!t->pending) {
        t->pending = true;
        g_queue_push_tail_link(&t->s->resel, &t->link);
    }
}

static void task_progress(LsiTask *t)
{
    Lsi *s = t->s;

    if (t == s->current) {
        lsi_bus_settle(s);
        return;
    }
    lsi_task_queue(t);
    if (s->st.run == LSI_WAIT_RESELECT) {
        lsi_scripts_wake(s);
    }
}

static void task_ready(ScsiReq *req)
{
    LsiTask *t = (LsiTask *)req;

    if (!t->zombie) {
        t->can_move = true;
        t->hold_bus = false;
        task_progress(t);
    }
}

static void task_done(ScsiReq *req)
{
    LsiTask *t = (LsiTask *)req;

    if (t->zombie) {
        task_free(t);
        return;
    }
    t->finished = true;
    t->can_move = false;
    task_progress(t);
}

static const ScsiReqOps lsi_req_ops = { .ready = task_ready, .done = task_done };

/* Bytes of a CDB by its group code (SPC-4, 4.2.5.1). Groups without a fixed length take what the
 * first COMMAND move brought. */
static unsigned cdb_length(uint8_t opcode, unsigned got)
{
    static const uint8_t by_group[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };
    unsigned len = by_group[opcode >> 5];

    return len ? len : got;
}

LsiTask *lsi_task_new(Lsi *s)
{
    LsiTask *t = g_new0(LsiTask, 1);

    t->s = s;
    t->link.data = t;
    t->req.ops = &lsi_req_ops;
    task_link(&s->tasks, t);
    s->n_tasks++;
    return t;
}

static void task_start(Lsi *s)
{
    LsiState *st = &s->st;
    LsiTask *t = lsi_task_new(s);

    t->disc_priv = st->disc_priv;
    t->req.target = st->target;
    t->req.lun = st->lun;
    t->req.attr = st->attr;
    t->req.tag = st->tag;
    t->req.cdb_len = st->cdb_len;
    memcpy(t->req.cdb, st->cdb, sizeof(t->req.cdb));
    s->current = t;
    st->cdb_len = 0;
    trace(LSI, "command %02x to %u:%u tag %d", st->cdb[0], st->target, st->lun,
          st->attr == SCSI_UNTAGGED ? -1 : st->tag);
    if (s->n_tasks > LSI_MAX_TASKS) {
        t->req.status = SCSI_TASK_SET_FULL;
        t->finished = true;
        return;
    }
    scsi_submit(s->scsi, &t->req);
}

/* ---- the target's decision ---- */

static void bus_phase(Lsi *s, uint8_t phase)
{
    s->st.phase = phase;
    s->st.req = true;
    lsi_scripts_wake(s);
}

static bool bus_data_phase(Lsi *s)
{
    LsiTask *t = s->current;
    size_t len;

    if (!t->can_move) {
        return false;
    }
    scsi_req_window(&t->req, &len);
    if (!len) {
        t->can_move = false;
        return false;
    }
    bus_phase(s, t->req.dir == SCSI_DIR_IN ? PHASE_DATA_IN : PHASE_DATA_OUT);
    return true;
}

void lsi_bus_settle(Lsi *s)
{
    LsiState *st = &s->st;

    if (!st->connected || st->ack_held) {
        return;
    }
    st->req = false;
    if (st->msg_in_pos < st->msg_in_len) {
        bus_phase(s, PHASE_MSG_IN);
    } else if (st->after != LSI_AFTER_NOTHING) {
        lsi_bus_free(s);
    } else if ((st->reg[LSI_SOCL] & SOCL_ATN) || lsi_msg_out_partial(s)) {
        bus_phase(s, PHASE_MSG_OUT);
    } else if (!s->current && st->cdb_len < cdb_length(st->cdb[0], MAX(st->cdb_len, 1))) {
        bus_phase(s, PHASE_COMMAND);
    } else {
        if (!s->current) {
            task_start(s);
        }
        if (s->current->finished) {
            bus_phase(s, PHASE_STATUS);
        } else if (!bus_data_phase(s) && st->disc_priv) {
            loop_defer_last(&s->disc_work);
        }
    }
}

/* Still busy: SAVE DATA POINTER, DISCONNECT. Between two chunks of its data phase the
 * target holds the bus: the next one is on its way. */
void lsi_disc_work(void *opaque)
{
    static const uint8_t bytes[] = { 0x02, 0x04 };
    Lsi *s = opaque;
    LsiState *st = &s->st;
    const LsiTask *t = s->current;

    if (!st->connected || st->req || st->ack_held || !t || t->can_move || t->finished ||
        t->hold_bus || !st->disc_priv || st->after != LSI_AFTER_NOTHING ||
        (t->req.moved && t->req.moved < t->req.total)) {
        return;
    }
    lsi_msg_in_queue(s, bytes, sizeof(bytes));
    st->after = LSI_AFTER_DISCONNECT;
    lsi_bus_settle(s);
}

/* ---- connections ---- */

static void bus_connect(Lsi *s, unsigned target, bool reselected)
{
    LsiState *st = &s->st;

    lsi_msg_clear(s);
    st->connected = true;
    st->reselected = reselected;
    st->absent = false;
    st->ack_held = false;
    st->target = target;
    st->lun = 0;
    st->tag = 0;
    st->attr = SCSI_UNTAGGED;
    st->identified = false;
    st->disc_priv = false;
    st->cdb_len = 0;
    st->cdb[0] = 0;
    st->reg[LSI_SCNTL2] |= SCNTL2_SDU;
    st->reg[LSI_SSTAT2] = SSTAT2_LDSC; /* until the first block move */
}

/* Forgets the connection, without a word to anyone. */
void lsi_bus_forget(Lsi *s)
{
    LsiState *st = &s->st;

    lsi_msg_clear(s);
    st->connected = false;
    st->reselected = false;
    st->absent = false;
    st->req = false;
    st->ack_held = false;
    st->identified = false;
    st->cdb_len = 0;
    st->reg[LSI_SOCL] &= ~(SOCL_ACK | SOCL_ATN);
    s->current = NULL;
}

void lsi_bus_free(Lsi *s)
{
    LsiState *st = &s->st;
    LsiTask *t = s->current;
    /* Legal after COMMAND COMPLETE and DISCONNECT, whatever SDU says: SeaBIOS leaves it set. */
    bool unexpected = (st->reg[LSI_SCNTL2] & SCNTL2_SDU) && st->after != LSI_AFTER_COMPLETE &&
                      st->after != LSI_AFTER_DISCONNECT;

    lsi_bus_forget(s);
    if (t && (t->can_move || t->finished)) {
        task_progress(t); /* became ready while it was disconnecting */
    }
    if (unexpected) {
        lsi_scsi_irq(s, SIST0_UDC, 0);
    }
    lsi_scripts_wake(s);
}

void lsi_bus_finish_if_complete(Lsi *s)
{
    LsiState *st = &s->st;

    if (st->connected && st->after != LSI_AFTER_NOTHING && st->msg_in_pos == st->msg_in_len) {
        st->ack_held = false;
        lsi_bus_free(s);
    }
}

void lsi_bus_select(Lsi *s, unsigned id, bool atn)
{
    LsiState *st = &s->st;

    lsi_bus_finish_if_complete(s);
    if (st->connected) {
        /* The driver starts anew after a failure: the old nexus is abandoned (quirk Q7). */
        if (s->current) {
            task_cancel(s->current);
        }
        lsi_bus_forget(s);
    }
    lsi_reg_write8(s, LSI_SDID, id, true);
    if (st->resel_lost < LSI_RESEL_PATIENCE && !g_queue_is_empty(&s->resel)) {
        st->resel_lost++;
    }
    if (id >= s->model->max_id || !scsi_bus_has_target(s->scsi, id)) {
        st->absent = true;
        return;
    }
    bus_connect(s, id, false);
    if (atn) {
        st->reg[LSI_SOCL] |= SOCL_ATN;
    }
    /* Without ATN too: firmware selects so and still sends IDENTIFY (quirk Q2). */
    bus_phase(s, PHASE_MSG_OUT);
}

bool lsi_bus_resel_pending(const Lsi *s)
{
    return !g_queue_is_empty((GQueue *)&s->resel) && !s->st.connected &&
           s->st.resel_lost >= LSI_RESEL_PATIENCE && (s->st.reg[LSI_SCID] & SCID_RRE);
}

bool lsi_bus_reselect(Lsi *s)
{
    LsiState *st = &s->st;
    uint8_t msg[3];
    unsigned n = 1;
    LsiTask *t;
    GList *l;

    if (st->connected || !(l = g_queue_pop_head_link(&s->resel))) {
        return false;
    }
    t = l->data;
    t->pending = false;
    bus_connect(s, t->req.target, true);
    st->lun = t->req.lun;
    st->attr = t->req.attr;
    st->tag = t->req.tag;
    st->identified = true;
    st->disc_priv = t->disc_priv;
    st->resel_lost = 0;
    st->reg[LSI_SSID] = SSID_VAL | t->req.target;
    s->current = t;
    msg[0] = 0x80 | t->req.lun;
    if (t->req.attr != SCSI_UNTAGGED) {
        msg[n++] = 0x20; /* SIMPLE, as SPI-2 wants it on reselection */
        msg[n++] = t->req.tag;
    }
    lsi_msg_in_queue(s, msg, n);
    trace(LSI, "reselected by %u:%u", st->target, st->lun);
    lsi_bus_settle(s);
    lsi_scsi_irq(s, SIST0_RSL, 0);
    return true;
}

void lsi_bus_release_ack(Lsi *s)
{
    s->st.ack_held = false;
    s->st.reg[LSI_SOCL] &= ~SOCL_ACK;
    lsi_bus_settle(s);
}

void lsi_bus_reset(Lsi *s)
{
    lsi_tasks_cancel(s, -1, -1, -1);
    lsi_bus_forget(s);
    s->epoch++;
    scsi_reset_bus(s->scsi, 0x02);
    lsi_scsi_irq(s, SIST0_RST, 0);
}

/* ---- bytes ---- */

size_t lsi_bus_out(Lsi *s, const uint8_t *buf, size_t len)
{
    LsiState *st = &s->st;

    for (size_t i = 0; i < len; i++) {
        if (st->phase == PHASE_MSG_OUT) {
            lsi_msg_out(s, buf[i]);
        } else if (st->cdb_len < sizeof(st->cdb)) {
            st->cdb[st->cdb_len++] = buf[i];
        }
        /* Padding behind the CDB is swallowed (quirk Q3). */
    }
    return len;
}

uint8_t *lsi_bus_out_window(Lsi *s, size_t *len)
{
    *len = 0;
    return s->current ? scsi_req_window(&s->current->req, len) : NULL;
}

const uint8_t *lsi_bus_in_window(Lsi *s, size_t *len)
{
    LsiState *st = &s->st;

    switch (st->phase) {
    case PHASE_MSG_IN:
        *len = st->msg_in_len - st->msg_in_pos;
        return st->msg_in + st->msg_in_pos;
    case PHASE_STATUS:
        *len = s->current ? 1 : 0;
        return s->current ? &s->current->req.status : NULL;
    default:
        return lsi_bus_out_window(s, len);
    }
}

void lsi_bus_in_advance(Lsi *s, size_t n)
{
    static const uint8_t complete = 0x00;
    LsiState *st = &s->st;

    switch (st->phase) {
    case PHASE_MSG_IN:
        st->msg_in_pos += n;
        break;
    case PHASE_STATUS:
        task_end(g_steal_pointer(&s->current));
        lsi_msg_in_queue(s, &complete, 1);
        st->after = LSI_AFTER_COMPLETE;
        lsi_bus_settle(s);
        break;
    default:
        scsi_req_advance(&s->current->req, n);
        lsi_bus_settle(s);
        break;
    }
}

void lsi_bus_out_advance(Lsi *s, size_t n)
{
    scsi_req_advance(&s->current->req, n);
    lsi_bus_settle(s);
}
