/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI messages as the targets behind the LSI speak them (SPI-2, 10; SCSI-2, 6.6).
 *
 * MSG OUT comes byte by byte, in whatever pieces the block moves have: the parser keeps the
 * message it is in, and the target stays in MSG OUT until that one is whole. Abort-type messages
 * cancel tasks of the adapter's own list and make the target go bus free; the remaining bytes of
 * such a move are swallowed. Nothing is indexed by what a message says of itself.
 *
 * Negotiation is answered, so that a driver's agreement settles: SDTR and PPR with what the model
 * can do at best, WDTR with its width. The transfer itself has no clock, so the agreement needs
 * no memory.
 */
#include "hw/scsi/lsi-internal.h"

#include <string.h>

enum {
    MSG_COMPLETE = 0x00,
    MSG_EXTENDED = 0x01,
    MSG_INITIATOR_ERROR = 0x05,
    MSG_ABORT = 0x06,
    MSG_REJECT = 0x07,
    MSG_NOP = 0x08,
    MSG_PARITY_ERROR = 0x09,
    MSG_BUS_DEVICE_RESET = 0x0c,
    MSG_ABORT_TAG = 0x0d,
    MSG_CLEAR_QUEUE = 0x0e,
    MSG_SIMPLE_TAG = 0x20,
    MSG_HEAD_TAG = 0x21,
    MSG_ORDERED_TAG = 0x22,
    MSG_IDENTIFY = 0x80,
    EXT_SDTR = 0x01,
    EXT_WDTR = 0x03,
    EXT_PPR = 0x04,
};

void lsi_msg_clear(Lsi *s)
{
    s->st.msg_in_len = s->st.msg_in_pos = 0;
    s->st.msg_out_len = s->st.msg_out_skip = 0;
    s->st.after = LSI_AFTER_NOTHING;
}

void lsi_msg_in_queue(Lsi *s, const uint8_t *bytes, unsigned n)
{
    LsiState *st = &s->st;

    if (st->msg_in_pos == st->msg_in_len) {
        st->msg_in_pos = st->msg_in_len = 0;
    }
    /* More answers than the initiator takes: it asked again and again in one MSG OUT. */
    if (n > sizeof(st->msg_in) - st->msg_in_len) {
        return;
    }
    memcpy(st->msg_in + st->msg_in_len, bytes, n);
    st->msg_in_len += n;
}

bool lsi_msg_out_partial(const Lsi *s)
{
    return s->st.msg_out_len || s->st.msg_out_skip;
}

static void msg_reject(Lsi *s)
{
    static const uint8_t reject = MSG_REJECT;

    lsi_msg_in_queue(s, &reject, 1);
}

/* REQ/ACK offset 0 is asynchronous; a faster period than the chip's is slowed down. */
static void msg_sdtr(Lsi *s, const uint8_t *m)
{
    uint8_t answer[] = { MSG_EXTENDED, 3, EXT_SDTR, MAX(m[3], s->model->min_period),
                         MIN(m[4], s->model->max_offset) };

    lsi_msg_in_queue(s, answer, sizeof(answer));
}

static void msg_wdtr(Lsi *s, const uint8_t *m)
{
    uint8_t answer[] = { MSG_EXTENDED, 2, EXT_WDTR, MIN(m[3], s->model->max_id > 8 ? 1 : 0) };

    lsi_msg_in_queue(s, answer, sizeof(answer));
}

/* Single transition only: protocol options 0. */
static void msg_ppr(Lsi *s, const uint8_t *m)
{
    uint8_t answer[] = {
        MSG_EXTENDED,
        6,
        EXT_PPR,
        MAX(m[3], s->model->min_period),
        0,
        MIN(m[5], s->model->max_offset),
        MIN(m[6], s->model->max_id > 8 ? 1 : 0),
        0,
    };

    lsi_msg_in_queue(s, answer, sizeof(answer));
}

typedef struct ExtMessage {
    uint8_t code, len;
    void (*answer)(Lsi *s, const uint8_t *m);
    const char *name;
} ExtMessage;

/* m holds 01, length, code. */
static const ExtMessage *ext_find(const uint8_t *m)
{
    static const ExtMessage known[] = {
        { EXT_SDTR, 3, msg_sdtr, "SDTR" },
        { EXT_WDTR, 2, msg_wdtr, "WDTR" },
        { EXT_PPR, 6, msg_ppr, "PPR" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(known); i++) {
        if (m[2] == known[i].code && m[1] == known[i].len) {
            return &known[i];
        }
    }
    return NULL;
}

/* msg_out holds 01, length, code and what follows so far. Returns true when it is dealt with. */
static bool msg_extended(Lsi *s)
{
    const uint8_t *m = s->st.msg_out;
    unsigned len = s->st.msg_out_len;
    const ExtMessage *ext;

    if (len < 3) {
        return false;
    }
    ext = ext_find(m);
    if (ext) {
        if (len < 2u + ext->len) {
            return false;
        }
        trace(SCSI, "%u: %s", s->st.target, ext->name);
        ext->answer(s, m);
        return true;
    }
    /* Length 0 means 256 (SPI-2); code is one byte of it, and swallowed already. */
    s->st.msg_out_skip = (m[1] ? m[1] : 256) - 1;
    msg_reject(s);
    return true;
}

bool lsi_msg_out_valid(const LsiState *st)
{
    const uint8_t *m = st->msg_out;

    switch (st->msg_out_len) {
    case 0:
        return true;
    case 1:
        return m[0] == MSG_EXTENDED || (m[0] >= MSG_SIMPLE_TAG && m[0] <= MSG_ORDERED_TAG);
    case 2:
        return m[0] == MSG_EXTENDED;
    default:
        return m[0] == MSG_EXTENDED && ext_find(m) && st->msg_out_len < 2u + m[1];
    }
}

static void msg_abort(Lsi *s, uint8_t code)
{
    LsiState *st = &s->st;

    trace(LSI, "abort message %02x target %u lun %u tag %u", code, st->target, st->lun, st->tag);
    if (code == MSG_BUS_DEVICE_RESET) {
        lsi_tasks_cancel(s, st->target, -1, -1);
        scsi_reset_target(s->scsi, st->target, 0x03);
    } else if (st->identified) {
        bool one = code == MSG_ABORT_TAG && st->attr != SCSI_UNTAGGED;
        /* A tagged ABORT still concerns the whole nexus of the LUN (SCSI-2, 6.6.2). */
        lsi_tasks_cancel(s, st->target, st->lun, one ? st->tag : -1);
    }
    st->after = LSI_AFTER_ABORT;
}

/* The first byte of a message. Returns true if the message is whole with it. */
static bool msg_first(Lsi *s, uint8_t b)
{
    LsiState *st = &s->st;

    if (b & MSG_IDENTIFY) {
        /* Six bits of LUN as SPI-2 has it; SCSI-2's three are the same below 8. */
        st->lun = b & 0x3f;
        st->disc_priv = !!(b & 0x40);
        st->identified = true;
        return true;
    }
    switch (b) {
    case MSG_EXTENDED:
    case MSG_SIMPLE_TAG:
    case MSG_HEAD_TAG:
    case MSG_ORDERED_TAG:
        return false;
    case MSG_ABORT:
    case MSG_ABORT_TAG:
    case MSG_CLEAR_QUEUE:
    case MSG_BUS_DEVICE_RESET:
        msg_abort(s, b);
        return true;
    case MSG_REJECT: /* of a negotiation's answer: the agreement was never more than words */
    case MSG_NOP:
    case MSG_PARITY_ERROR:
    case MSG_INITIATOR_ERROR:
        return true;
    default:
        msg_reject(s);
        return true;
    }
}

static void msg_tag(Lsi *s)
{
    static const uint8_t attrs[] = { SCSI_SIMPLE, SCSI_HEAD, SCSI_ORDERED };

    s->st.attr = attrs[s->st.msg_out[0] - MSG_SIMPLE_TAG];
    s->st.tag = s->st.msg_out[1];
}

void lsi_msg_out(Lsi *s, uint8_t byte)
{
    LsiState *st = &s->st;
    bool whole;

    if (st->after == LSI_AFTER_ABORT) {
        return;
    }
    if (st->msg_out_skip) {
        st->msg_out_skip--;
        return;
    }
    st->msg_out[st->msg_out_len++] = byte;
    if (st->msg_out_len == 1) {
        whole = msg_first(s, byte);
    } else if (st->msg_out[0] == MSG_EXTENDED) {
        whole = msg_extended(s);
    } else {
        msg_tag(s);
        whole = true;
    }
    if (whole) {
        st->msg_out_len = 0;
    }
}
