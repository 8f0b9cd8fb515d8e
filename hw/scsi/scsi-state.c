/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests and units as bytes, and back (DESIGN.md section 9): what save, live upgrade and restart
 * need of the target side. The adapter has drained the bus, so no I/O is in flight, and a request
 * is in one of few conditions, listed in scsi.h.
 *
 * A request that is issued again goes through scsi_tasks_submit() like any other, so that it finds
 * its place between barriers. Its ScsiReqState stays with it until it is where it was: data that
 * had been moved is moved once more, here, before the adapter hears of the first ready(). What a
 * write had given to the medium before is not written twice: it begins again at its chunk.
 *
 * The stream is untrusted. A request that lies about itself meets the same checks as one that a
 * guest sends, and all that it can spoil is that guest's own data.
 *
 * On the loop's thread.
 */
#include "scsi-internal.h"

#include <string.h>

#include "hw/scsi/scsi-cdb.h"

#define SENSE_DATA_MAX 252
#define ANSWER_MAX (16u << 20)

typedef enum Kind { AGAIN, ANSWER, ENDED, N_KINDS } Kind;

struct ScsiReqState {
    Kind kind;
    uint8_t target, lun, attr, cdb_len;
    uint16_t tag;
    uint8_t cdb[SCSI_CDB_MAX];
    uint64_t restart; /* AGAIN: where its chunk began */
    uint64_t moved;
    uint8_t *data; /* ANSWER: all of it; AGAIN: data out from restart on; ENDED: sense data */
    uint32_t len;
    uint8_t status; /* ENDED */
    ScsiSense sense;
    bool info_valid;
    uint32_t info;
};

static void put_sense(GByteArray *out, ScsiSense sense)
{
    stream_put(out, sense.key, 1);
    stream_put(out, sense.asc, 1);
    stream_put(out, sense.ascq, 1);
}

static ScsiSense get_sense(StreamIn *in)
{
    ScsiSense sense = { 0 };

    sense.key = (uint8_t)stream_get(in, "sense key", 1, 0x0f);
    sense.asc = (uint8_t)stream_get(in, "asc", 1, UINT8_MAX);
    sense.ascq = (uint8_t)stream_get(in, "ascq", 1, UINT8_MAX);
    return sense;
}

static void put_bytes(GByteArray *out, const uint8_t *data, size_t len)
{
    stream_put(out, len, 4);
    if (len) {
        g_byte_array_append(out, data, (guint)len);
    }
}

/* NULL for 0 bytes. */
static uint8_t *get_bytes(StreamIn *in, const char *name, uint32_t max, uint32_t *len)
{
    const uint8_t *p;

    *len = (uint32_t)stream_get(in, name, 4, max);
    p = stream_get_bytes(in, name, *len);
    if (!p) {
        *len = 0;
    }
    return p && *len ? g_memdup2(p, *len) : NULL;
}

/* ---- a request, saved ---- */

static void put_again(GByteArray *out, const ScsiReq *req)
{
    const ScsiReqState *state = req->again; /* saved once more, before it was where it was */
    uint64_t restart = req->buf ? req->chunk_start : req->moved;
    bool has_data = req->dir == SCSI_DIR_OUT && req->buf;

    if (state) {
        stream_put(out, state->restart, 8);
        stream_put(out, state->moved, 8);
        put_bytes(out, state->data, state->len);
        return;
    }
    stream_put(out, restart, 8);
    stream_put(out, req->moved, 8);
    put_bytes(out, req->buf, has_data ? req->moved - restart : 0);
}

static void put_ended(GByteArray *out, const ScsiReq *req)
{
    static const ScsiSense lost = { SCSI_KEY_ABORTED_COMMAND, SCSI_ASC_TARGET_FAILURE, 0 };

    stream_put(out, req->finished ? req->status : SCSI_CHECK_CONDITION, 1);
    put_sense(out, req->finished ? req->sense : lost);
    stream_put(out, req->info_valid, 1);
    stream_put(out, req->info, 4);
    put_bytes(out, req->sense_data, req->sense_data ? req->sense_len : 0);
}

static Kind kind_of(const ScsiReq *req)
{
    if (req->again) {
        return req->again->kind;
    }
    if (req->finished || (req->dir == SCSI_DIR_OUT && req->moved && !req->buf)) {
        return ENDED;
    }
    return req->mem && req->dir == SCSI_DIR_IN ? ANSWER : AGAIN;
}

void scsi_req_save(const ScsiReq *req, GByteArray *out)
{
    Kind kind = kind_of(req);

    stream_put(out, kind, 1);
    stream_put(out, req->target, 1);
    stream_put(out, req->lun, 1);
    stream_put(out, req->attr, 1);
    stream_put(out, req->tag, 2);
    stream_put(out, req->cdb_len, 1);
    g_byte_array_append(out, req->cdb, sizeof(req->cdb));
    switch (kind) {
    case AGAIN:
        put_again(out, req);
        break;
    case ANSWER:
        stream_put(out, req->again ? req->again->moved : req->moved, 8);
        put_bytes(out, req->mem, req->total);
        break;
    default:
        put_ended(out, req);
    }
}

/* ---- a request, parsed ---- */

static void get_again(ScsiReqState *state, StreamIn *in)
{
    state->restart = stream_get(in, "restart", 8, UINT64_MAX);
    state->moved = stream_get(in, "moved", 8, UINT64_MAX);
    state->data = get_bytes(in, "data out", ANSWER_MAX, &state->len);
    if (state->restart > state->moved ||
        (state->len && state->len != state->moved - state->restart)) {
        stream_fail(in, "saved state has a command whose lengths contradict each other");
    }
}

static void get_answer(ScsiReqState *state, StreamIn *in)
{
    state->moved = stream_get(in, "moved", 8, ANSWER_MAX);
    state->data = get_bytes(in, "answer", ANSWER_MAX, &state->len);
    if (state->moved >= state->len) {
        stream_fail(in, "saved state has an answer of which nothing is left");
    }
}

static void get_ended(ScsiReqState *state, StreamIn *in)
{
    state->status = (uint8_t)stream_get(in, "status", 1, UINT8_MAX);
    state->sense = get_sense(in);
    state->info_valid = stream_get(in, "info valid", 1, 1);
    state->info = (uint32_t)stream_get(in, "info", 4, UINT32_MAX);
    state->data = get_bytes(in, "sense data", SENSE_DATA_MAX, &state->len);
}

ScsiReqState *scsi_req_parse(StreamIn *in)
{
    static void (*const get[N_KINDS])(ScsiReqState *, StreamIn *) = { get_again, get_answer,
                                                                      get_ended };
    ScsiReqState *state = g_new0(ScsiReqState, 1);
    const uint8_t *cdb;

    state->kind = (Kind)stream_get(in, "command kind", 1, N_KINDS - 1);
    state->target = (uint8_t)stream_get(in, "target", 1, SCSI_MAX_ID - 1);
    state->lun = (uint8_t)stream_get(in, "lun", 1, 0x3f);
    state->attr = (uint8_t)stream_get(in, "attr", 1, SCSI_ORDERED);
    state->tag = (uint16_t)stream_get(in, "tag", 2, UINT8_MAX);
    state->cdb_len = (uint8_t)stream_get(in, "cdb length", 1, SCSI_CDB_MAX);
    cdb = stream_get_bytes(in, "cdb", SCSI_CDB_MAX);
    if (cdb) {
        memcpy(state->cdb, cdb, SCSI_CDB_MAX);
    }
    get[state->kind](state, in);
    if (stream_failed(in)) {
        g_clear_pointer(&state, scsi_req_state_free);
    }
    return state;
}

void scsi_req_state_free(ScsiReqState *state)
{
    if (state) {
        g_free(state->data);
        g_free(state);
    }
}

void scsi_req_state_nexus(const ScsiReqState *state, uint8_t *target, uint8_t *lun)
{
    *target = state->target;
    *lun = state->lun;
}

/* ---- a request, issued again ---- */

void scsi_resubmit(ScsiBus *bus, ScsiReq *req, ScsiReqState *state)
{
    ScsiDev *dev = scsi_bus_unit(bus, state->target, state->lun);
    unsigned n_ua = dev->n_ua;

    req->target = state->target;
    req->lun = state->lun;
    req->attr = (ScsiAttr)state->attr;
    req->tag = state->tag;
    req->cdb_len = state->cdb_len;
    memcpy(req->cdb, state->cdb, sizeof(req->cdb));
    if (state->kind == AGAIN && !state->moved) {
        g_clear_pointer(&state, scsi_req_state_free);
    }
    dev->n_ua = 0; /* what the unit has to tell is for commands that begin later */
    scsi_tasks_submit(dev, req, state);
    dev->n_ua = n_ua;
}

bool scsi_again_begin(ScsiReq *req)
{
    ScsiReqState *state = req->again;

    if (!state || state->kind == AGAIN) {
        return false;
    }
    if (state->kind == ANSWER) {
        scsi_req_reply(req, state->data, state->len, state->len);
        return true;
    }
    req->sense = state->sense;
    req->info_valid = state->info_valid;
    req->info = state->info;
    req->sense_len = state->len;
    req->sense_data = g_steal_pointer(&state->data);
    scsi_req_finish(req, state->status);
    g_clear_pointer(&req->again, scsi_req_state_free);
    return true;
}

uint64_t scsi_req_restart(const ScsiReq *req)
{
    return req->again && !req->mem ? req->again->restart : 0;
}

static void again_copy(const ScsiReq *req, uint8_t *window, size_t n)
{
    const ScsiReqState *state = req->again;
    uint64_t at = req->moved - state->restart;

    if (req->dir == SCSI_DIR_OUT && req->moved >= state->restart && at < state->len) {
        memcpy(window, state->data + at, MIN(n, state->len - at));
    }
}

bool scsi_again_move(ScsiReq *req)
{
    size_t len;

    if (!req->again) {
        return true;
    }
    while (req->moved < req->again->moved) {
        uint8_t *window = scsi_req_window(req, &len);
        size_t n = MIN(len, req->again->moved - req->moved);

        if (!n) {
            return false; /* the next chunk is on its way, or the end */
        }
        again_copy(req, window, n);
        scsi_req_advance(req, n);
    }
    g_clear_pointer(&req->again, scsi_req_state_free);
    scsi_req_window(req, &len);
    return len && !req->ready_due;
}

/* ---- units ---- */

typedef struct UnitState {
    ScsiDev *dev;
    ScsiSense ua[4], sense;
    uint8_t n_ua;
    bool info_valid, allegiance, status_due;
    uint32_t info, sense_len;
    uint8_t *sense_data;
    uint32_t own_len;
    uint8_t *own; /* of dev->ops->load() */
} UnitState;

struct ScsiBusState {
    unsigned n;
    UnitState unit[SCSI_MAX_ID * SCSI_MAX_LUN];
};

static void unit_save(const ScsiDev *dev, GByteArray *out)
{
    g_autoptr(GByteArray) own = g_byte_array_new();

    stream_put(out, (uint64_t)dev->id, 1);
    stream_put(out, (uint64_t)dev->lun, 1);
    stream_put(out, dev->ops->pdt, 1);
    stream_put(out, dev->n_ua, 1);
    for (unsigned i = 0; i < dev->n_ua; i++) {
        put_sense(out, dev->ua[i]);
    }
    put_sense(out, dev->sense);
    stream_put(out, dev->sense_info_valid, 1);
    stream_put(out, dev->sense_info, 4);
    put_bytes(out, dev->sense_data, dev->sense_data ? dev->sense_len : 0);
    stream_put(out, dev->allegiance, 1);
    stream_put(out, dev->status_due, 1);
    if (dev->ops->save) {
        dev->ops->save(dev, own);
    }
    put_bytes(out, own->data, own->len);
}

static void unit_own_parse(UnitState *u, StreamIn *in)
{
    StreamIn own = { 0 };

    u->own = get_bytes(in, "unit", 1024, &u->own_len);
    own.data = u->own;
    own.len = u->own_len;
    if (!stream_failed(in) && u->dev->ops->load) {
        u->dev->ops->load(u->dev, &own, false);
    }
    if (!stream_failed(in)) {
        stream_end(&own, &in->error);
    }
}

static void unit_parse(const ScsiBus *bus, UnitState *u, StreamIn *in)
{
    unsigned id = (unsigned)stream_get(in, "unit id", 1, SCSI_MAX_ID - 1);
    unsigned lun = (unsigned)stream_get(in, "unit lun", 1, SCSI_MAX_LUN - 1);
    uint8_t pdt = (uint8_t)stream_get(in, "unit type", 1, UINT8_MAX);

    u->dev = bus->units[id][lun];
    if (!u->dev || u->dev->ops->pdt != pdt) {
        stream_fail(in, "saved state has a unit of type %u with scsi-id %u lun %u", pdt, id, lun);
        return;
    }
    u->n_ua = (uint8_t)stream_get(in, "unit attentions", 1, G_N_ELEMENTS(u->ua));
    for (unsigned i = 0; i < u->n_ua; i++) {
        u->ua[i] = get_sense(in);
    }
    u->sense = get_sense(in);
    u->info_valid = stream_get(in, "info valid", 1, 1);
    u->info = (uint32_t)stream_get(in, "info", 4, UINT32_MAX);
    u->sense_data = get_bytes(in, "sense data", SENSE_DATA_MAX, &u->sense_len);
    u->allegiance = stream_get(in, "allegiance", 1, 1);
    u->status_due = stream_get(in, "status due", 1, u->allegiance && bus->tells_status);
    unit_own_parse(u, in);
}

void scsi_bus_save(const ScsiBus *bus, GByteArray *out)
{
    unsigned n = 0;
    guint at = out->len;

    stream_put(out, 0, 1);
    for (unsigned i = 0; i < SCSI_MAX_ID * SCSI_MAX_LUN; i++) {
        const ScsiDev *dev = bus->units[i / SCSI_MAX_LUN][i % SCSI_MAX_LUN];

        if (dev) {
            unit_save(dev, out);
            n++;
        }
    }
    out->data[at] = (uint8_t)n;
}

static unsigned count_units(const ScsiBus *bus)
{
    unsigned n = 0;

    for (unsigned i = 0; i < SCSI_MAX_ID * SCSI_MAX_LUN; i++) {
        n += bus->units[i / SCSI_MAX_LUN][i % SCSI_MAX_LUN] != NULL;
    }
    return n;
}

ScsiBusState *scsi_bus_parse(const ScsiBus *bus, StreamIn *in)
{
    ScsiBusState *state = g_new0(ScsiBusState, 1);
    unsigned n = (unsigned)stream_get(in, "units", 1, G_N_ELEMENTS(state->unit));

    if (n != count_units(bus)) {
        stream_fail(in, "saved state has %u units, the bus of '%s' has %u", n,
                    device_name(bus->dev), count_units(bus));
    }
    while (state->n < n && !stream_failed(in)) {
        UnitState *u = &state->unit[state->n++];

        unit_parse(bus, u, in);
        for (unsigned i = 0; i + 1 < state->n; i++) {
            if (state->unit[i].dev == u->dev) {
                stream_fail(in, "saved state has the same unit twice");
            }
        }
    }
    if (stream_failed(in)) {
        g_clear_pointer(&state, scsi_bus_state_free);
    }
    return state;
}

void scsi_bus_state_free(ScsiBusState *state)
{
    for (unsigned i = 0; state && i < state->n; i++) {
        g_free(state->unit[i].sense_data);
        g_free(state->unit[i].own);
    }
    g_free(state);
}

static void unit_load(UnitState *u)
{
    StreamIn own = { .data = u->own, .len = u->own_len };
    ScsiDev *dev = u->dev;

    memcpy(dev->ua, u->ua, sizeof(dev->ua));
    dev->n_ua = u->n_ua;
    dev->sense = u->sense;
    dev->sense_info_valid = u->info_valid;
    dev->sense_info = u->info;
    g_free(dev->sense_data);
    dev->sense_data = g_steal_pointer(&u->sense_data);
    dev->sense_len = u->sense_len;
    dev->allegiance = u->allegiance;
    dev->status_due = u->status_due;
    if (dev->ops->load) {
        dev->ops->load(dev, &own, true);
    }
}

void scsi_bus_load(ScsiBusState *state)
{
    for (unsigned i = 0; i < state->n; i++) {
        unit_load(&state->unit[i]);
    }
    scsi_bus_state_free(state);
}
