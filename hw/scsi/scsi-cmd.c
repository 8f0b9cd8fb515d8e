/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoding by table. A command starts here when the task set lets it: the CDB's opcode (and
 * service action) picks a row, and what is the same for all commands is decided before the row's
 * handler runs, in the order of SPC-4 5.14: unit attention, unknown opcode, a CDB too short for
 * its command, NACA, medium and write protection. So a handler can't forget a check, and reads no
 * byte of the CDB that the initiator did not send.
 *
 * The same rows answer REPORT SUPPORTED OPERATION CODES.
 *
 * On the loop's thread.
 */
#include "scsi-cmd.h"

#include <string.h>

#define SA_MASK 0x1f
#define CONTROL_NACA 0x04

enum { RSOC_ALL = 0, RSOC_OPCODE = 1, RSOC_OPCODE_SA = 2, RSOC_EITHER = 3 };

void scsi_bad_field(ScsiReq *req)
{
    scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD, 0);
}

static bool is_hidden(const ScsiCmdTable *table, const ScsiDev *dev, const ScsiCmd *cmd)
{
    return table->hidden && (table->hidden(dev) & cmd->flags);
}

/* NULL: no such command; *has_op tells whether it is the service action that is unknown. */
static const ScsiCmd *cmd_find(const ScsiCmdTable *table, const ScsiDev *dev, uint8_t op,
                               uint8_t sa, bool *has_op)
{
    *has_op = false;
    for (unsigned i = 0; i < table->n; i++) {
        const ScsiCmd *cmd = &table->cmds[i];

        if (cmd->op != op || is_hidden(table, dev, cmd)) {
            continue;
        }
        *has_op = true;
        if (!(cmd->flags & SCSI_CMD_SA) || cmd->sa == sa) {
            return cmd;
        }
    }
    return NULL;
}

void scsi_cmd_run(const ScsiCmdTable *table, ScsiDev *dev, ScsiReq *req)
{
    bool has_op;
    const ScsiCmd *cmd = cmd_find(table, dev, req->cdb[0], req->cdb[1] & SA_MASK, &has_op);
    ScsiSense sense;

    if (!(cmd && (cmd->flags & SCSI_CMD_ALWAYS)) && scsi_take_attention(dev, &sense)) {
        scsi_req_check(req, sense.key, sense.asc, sense.ascq);
    } else if (!cmd) {
        scsi_req_check(req, SCSI_KEY_ILLEGAL_REQUEST,
                       has_op ? SCSI_ASC_INVALID_FIELD : SCSI_ASC_INVALID_OPCODE, 0);
    } else if (req->cdb_len < cmd->len || (req->cdb[cmd->len - 1] & CONTROL_NACA)) {
        scsi_bad_field(req);
    } else if (!table->ready(dev, cmd->flags, &sense)) {
        scsi_req_check(req, sense.key, sense.asc, sense.ascq);
    } else {
        cmd->run(dev, req);
    }
}

static void opcodes_all(const ScsiCmdTable *table, ScsiDev *dev, ScsiReq *req, bool timeouts)
{
    size_t row = timeouts ? 20 : 8;
    g_autofree uint8_t *out = g_malloc0(4 + table->n * row);
    size_t len = 4;

    for (unsigned i = 0; i < table->n; i++) {
        const ScsiCmd *cmd = &table->cmds[i];
        uint8_t *p = out + len;

        if (is_hidden(table, dev, cmd)) {
            continue;
        }
        p[0] = cmd->op;
        put_be16(p + 2, cmd->sa);
        p[5] = (timeouts ? 2 : 0) | (cmd->flags & SCSI_CMD_SA ? 1 : 0);
        put_be16(p + 6, cmd->len);
        if (timeouts) {
            put_be16(p + 8, 0x0a); /* a descriptor without any time in it */
        }
        len += row;
    }
    put_be32(out, (uint32_t)(len - 4));
    scsi_req_reply(req, out, len, get_be32(req->cdb + 6));
}

static void opcodes_one(ScsiReq *req, const ScsiCmd *cmd, bool timeouts)
{
    uint8_t out[4 + SCSI_CDB_MAX + 12] = { 0 };
    size_t len = 4;

    out[1] = 1; /* not supported */
    if (cmd) {
        out[1] = 3; /* supported as the standard says */
        put_be16(out + 2, cmd->len);
        out[4] = cmd->op;
        memcpy(out + 5, cmd->usage, cmd->len - 1u);
        out[5] |= cmd->flags & SCSI_CMD_SA ? cmd->sa : 0;
        len += cmd->len;
        if (timeouts) {
            out[1] |= 0x80;
            put_be16(out + len, 0x0a);
            len += 12;
        }
    }
    scsi_req_reply(req, out, len, get_be32(req->cdb + 6));
}

void scsi_report_opcodes(const ScsiCmdTable *table, ScsiDev *dev, ScsiReq *req)
{
    bool timeouts = req->cdb[2] & 0x80, has_op, takes_sa;
    unsigned option = req->cdb[2] & 7;
    uint16_t sa = get_be16(req->cdb + 4);
    const ScsiCmd *cmd;

    if (option == RSOC_ALL) {
        opcodes_all(table, dev, req, timeouts);
        return;
    }
    cmd = cmd_find(table, dev, req->cdb[3], sa > SA_MASK ? 0xff : (uint8_t)sa, &has_op);
    takes_sa = has_op && (!cmd || (cmd->flags & SCSI_CMD_SA));
    if (option > RSOC_EITHER || (option == RSOC_OPCODE && takes_sa) ||
        (option == RSOC_OPCODE_SA && has_op && !takes_sa)) {
        scsi_bad_field(req);
        return;
    }
    opcodes_one(req, option == RSOC_EITHER && !takes_sa && sa != 0 ? NULL : cmd, timeouts);
}
