/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LOG SENSE (SPC-4 6.6, 7.3): the list of pages, and informational exceptions, of which there are
 * none; the most recent temperature is "not available", since a file has none. smartctl and
 * Linux' tools take this for a healthy disk. No counters are kept, so current, threshold and
 * default values are the same, and nothing can be saved.
 */
#include "scsi-disk-internal.h"

#define PPC 0x02
#define SP 0x01
#define NO_TEMPERATURE 0xff

static size_t log_pages(uint8_t *out)
{
    out[0] = 0x00;
    out[1] = 0x2f;
    return 2;
}

static size_t log_exceptions(uint8_t *out)
{
    out[2] = 0x03; /* format and linking: binary list; parameter 0000h */
    out[3] = 4;
    out[6] = NO_TEMPERATURE;
    return 8;
}

typedef struct LogPage {
    uint8_t code;
    size_t (*fill)(uint8_t *out);
} LogPage;

static const LogPage log_page_table[] = {
    { 0x00, log_pages },
    { 0x2f, log_exceptions },
};

static const LogPage *log_find(const ScsiReq *req)
{
    uint8_t code = req->cdb[2] & 0x3f, subpage = req->cdb[3];

    for (unsigned i = 0; i < G_N_ELEMENTS(log_page_table); i++) {
        if (log_page_table[i].code == code && subpage == 0) {
            return &log_page_table[i];
        }
    }
    return NULL;
}

void disk_cmd_log_sense(ScsiDev *dev G_GNUC_UNUSED, ScsiReq *req)
{
    const LogPage *page = log_find(req);
    uint8_t out[16] = { 0 };
    size_t len;

    /* the pointer says at which parameter to begin: there is but parameter 0 */
    if (!page || (req->cdb[1] & (PPC | SP)) || get_be16(req->cdb + 5) != 0) {
        scsi_bad_field(req);
        return;
    }
    out[0] = page->code;
    len = page->fill(out + 4);
    put_be16(out + 2, (uint16_t)len);
    scsi_req_reply(req, out, 4 + len, get_be16(req->cdb + 7));
}
