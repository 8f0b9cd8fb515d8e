/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RESERVE and RELEASE (SPC-2 7.22), PERSISTENT RESERVE IN and OUT (SPC-4 5.12, 6.15, 6.16).
 *
 * The bus has one initiator, so nobody is ever locked out and no command needs a check: what is
 * left is the book-keeping that cluster software and multipath tools test, and the conflicts an
 * initiator can have with itself: a wrong key, no registration, another type than it holds, and
 * the two kinds of reservation beside each other. A RESERVE by who is registered is GOOD and
 * changes nothing (CRH of REPORT CAPABILITIES).
 *
 * Registration and reservation outlive resets of the bus, but not power-on: APTPL is refused, as
 * there is no place to keep them.
 */
#include "scsi-disk-internal.h"

#include <string.h>

#include "scsi-internal.h"

#define SA(cdb) ((cdb)[1] & 0x1f)
#define PARAMS_LEN 24
#define PARAM_KEY 0
#define PARAM_SA_KEY 8
#define PARAM_FLAGS 20
#define SPEC_I_PT 0x08
#define ALL_TG_PT 0x04
#define APTPL 0x01
#define RELATIVE_PORT 1

#define CRH 0x10
#define TYPES_VALID 0x80 /* TMV */
#define TYPE_MASK 0xea   /* 7, 6, 5, 3, 1 */
#define TYPE_MASK_2 0x01 /* 8 */

enum { READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS };
enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE };

static void conflict(ScsiReq *req)
{
    scsi_req_finish(req, SCSI_RESERVATION_CONFLICT);
}

static void bad_param(ScsiReq *req, uint8_t ascq)
{
    scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_PARAM, ascq);
}

/* ---- RESERVE and RELEASE ---- */

void disk_cmd_reserve(ScsiDev *dev, ScsiReq *req)
{
    DiskReservation *r = &disk_of(dev)->reserved;

    if (SA(req->cdb)) { /* third parties, long ids, extents */
        scsi_bad_field(req);
        return;
    }
    r->legacy = !r->registered;
    scsi_req_good(req);
}

void disk_cmd_release(ScsiDev *dev, ScsiReq *req)
{
    if (SA(req->cdb)) {
        scsi_bad_field(req);
        return;
    }
    disk_of(dev)->reserved.legacy = false;
    scsi_req_good(req);
}

void disk_power_on(ScsiDev *dev)
{
    disk_of(dev)->reserved = (DiskReservation){ 0 };
    memset(disk_of(dev)->counter, 0, sizeof(disk_of(dev)->counter));
}

/* ---- PERSISTENT RESERVE IN ---- */

static bool is_all_registrants(uint8_t type)
{
    return type >= 7;
}

static size_t read_keys(const ScsiDisk *disk, uint8_t *out)
{
    if (!disk->reserved.registered) {
        return 0;
    }
    put_be64(out, disk->reserved.key);
    return 8;
}

static size_t read_reservation(const ScsiDisk *disk, uint8_t *out)
{
    const DiskReservation *r = &disk->reserved;

    if (!r->type) {
        return 0;
    }
    put_be64(out, is_all_registrants(r->type) ? 0 : r->key);
    out[13] = r->type; /* scope 0: the logical unit */
    return 16;
}

static size_t read_full_status(const ScsiDisk *disk, uint8_t *out)
{
    const DiskReservation *r = &disk->reserved;

    if (!r->registered) {
        return 0;
    }
    put_be64(out, r->key);
    out[12] = r->type ? 1 : 0; /* R_HOLDER */
    out[13] = r->type;
    put_be16(out + 18, RELATIVE_PORT);
    put_be32(out + 20, 24);
    out[24] = 0x01; /* TransportID of parallel SCSI (SPC-4 7.6.4.3) */
    put_be16(out + 26, (uint16_t)disk->scsi.bus->own_id);
    put_be16(out + 30, RELATIVE_PORT);
    return 24 + 24;
}

static void report_capabilities(ScsiReq *req)
{
    static const uint8_t out[8] = { 0, 8, CRH, TYPES_VALID, TYPE_MASK, TYPE_MASK_2 };

    scsi_req_reply(req, out, sizeof(out), get_be16(req->cdb + 7));
}

void disk_cmd_reserve_in(ScsiDev *dev, ScsiReq *req)
{
    static size_t (*const fill[])(const ScsiDisk *, uint8_t *) = {
        [READ_KEYS] = read_keys,
        [READ_RESERVATION] = read_reservation,
        [READ_FULL_STATUS] = read_full_status,
    };
    const ScsiDisk *disk = disk_of(dev);
    uint8_t out[8 + 48] = { 0 };
    size_t len;

    if (disk->reserved.legacy) {
        conflict(req);
    } else if (SA(req->cdb) == REPORT_CAPABILITIES) {
        report_capabilities(req);
    } else {
        len = fill[SA(req->cdb)](disk, out + 8);
        put_be32(out, disk->reserved.generation);
        put_be32(out + 4, (uint32_t)len);
        scsi_req_reply(req, out, 8 + len, get_be16(req->cdb + 7));
    }
}

/* ---- PERSISTENT RESERVE OUT: each has the parameter list in req->mem ---- */

static void out_register(DiskReservation *r, ScsiReq *req)
{
    uint64_t key = get_be64(req->mem + PARAM_KEY), new_key = get_be64(req->mem + PARAM_SA_KEY);
    bool ignore = SA(req->cdb) == REGISTER_AND_IGNORE;

    if (req->mem[PARAM_FLAGS] & (SPEC_I_PT | ALL_TG_PT | APTPL)) {
        bad_param(req, 0);
        return;
    }
    if (!ignore && key != (r->registered ? r->key : 0)) {
        conflict(req);
        return;
    }
    if (new_key == 0) { /* the only registrant goes, and with it the reservation */
        r->type = 0;
    }
    if (new_key || r->registered) {
        r->generation++;
    }
    r->registered = new_key != 0;
    r->key = new_key;
    scsi_req_good(req);
}

static void out_reserve(DiskReservation *r, ScsiReq *req)
{
    uint8_t type = req->cdb[2] & 0x0f;

    if (r->type && r->type != type) {
        conflict(req);
        return;
    }
    r->type = type;
    scsi_req_good(req);
}

static void out_release(DiskReservation *r, ScsiReq *req)
{
    if (r->type && r->type != (req->cdb[2] & 0x0f)) {
        bad_param(req, 0x04); /* invalid release of persistent reservation */
        return;
    }
    r->type = 0;
    scsi_req_good(req);
}

static void out_clear(DiskReservation *r, ScsiReq *req)
{
    *r = (DiskReservation){ .generation = r->generation + 1 };
    scsi_req_good(req);
}

/* The only key that can be preempted is one's own: the registration stays, and the reservation, if
 * there is one, gets the new type. Key 0 means everyone else where all registrants hold it. */
static void out_preempt(DiskReservation *r, ScsiReq *req)
{
    uint64_t key = get_be64(req->mem + PARAM_SA_KEY);

    if (key == 0 && !is_all_registrants(r->type)) {
        bad_param(req, 0);
        return;
    }
    if (key != 0 && key != r->key) {
        conflict(req);
        return;
    }
    if (r->type && (key == 0 || !is_all_registrants(r->type))) {
        r->type = req->cdb[2] & 0x0f;
    }
    r->generation++;
    scsi_req_good(req);
}

static void reserve_out_params(ScsiDev *dev, ScsiReq *req)
{
    static void (*const act[])(DiskReservation *, ScsiReq *) = {
        [REGISTER] = out_register, [RESERVE] = out_reserve,
        [RELEASE] = out_release,   [CLEAR] = out_clear,
        [PREEMPT] = out_preempt,   [PREEMPT_AND_ABORT] = out_preempt,
        [REGISTER_AND_IGNORE] = out_register,
    };
    DiskReservation *r = &disk_of(dev)->reserved;
    unsigned sa = SA(req->cdb);
    bool registers = sa == REGISTER || sa == REGISTER_AND_IGNORE;

    if (!registers && (!r->registered || get_be64(req->mem + PARAM_KEY) != r->key)) {
        conflict(req);
    } else {
        act[sa](r, req);
    }
}

/* Scope and type mean something to these only. */
static bool type_fits(const ScsiReq *req)
{
    unsigned sa = SA(req->cdb), scope = req->cdb[2] >> 4, type = req->cdb[2] & 0x0f;
    unsigned known = TYPE_MASK | TYPE_MASK_2 << 8;

    if (sa != RESERVE && sa != RELEASE && sa != PREEMPT && sa != PREEMPT_AND_ABORT) {
        return true;
    }
    return scope == 0 && (known >> type & 1);
}

void disk_cmd_reserve_out(ScsiDev *dev, ScsiReq *req)
{
    if (disk_of(dev)->reserved.legacy) {
        conflict(req);
    } else if (!type_fits(req)) {
        scsi_bad_field(req);
    } else if (get_be32(req->cdb + 5) != PARAMS_LEN) {
        scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_PARAM_LIST_LENGTH, 0);
    } else {
        scsi_req_params(req, PARAMS_LEN, reserve_out_params);
    }
}
