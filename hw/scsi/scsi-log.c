/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LOG SENSE (SPC-4 6.6, 7.3): which pages there are; error counters of write, read and verify; and
 * informational exceptions, of which there are none.
 *
 * Of the error counters only those are there that have a meaning: bytes processed and uncorrected
 * errors, counted by scsi-xfer.c since power-on. What a medium corrects by itself is the business
 * of whatever lies below the block layer. Temperature is "not available", since a file has none;
 * start-stop cycles, self-tests and background scans are no pages here for the same reason.
 *
 * Counters are cumulative, so current and default values are the same, there are no thresholds, and
 * nothing can be saved.
 */
#include "scsi-disk-internal.h"

#define PPC 0x02
#define SP 0x01
#define SPF 0x40
#define SUBPAGE_ALL 0xff
#define NO_TEMPERATURE 0xff
#define DATA_COUNTER 0x02 /* format and linking: bounded data counter, */
#define BINARY_LIST 0x03  /* binary list */
#define PARAM_BYTES 0x0005
#define PARAM_UNCORRECTED 0x0006
#define LOG_MAX 64

typedef struct LogPage {
    uint8_t code, subpage;
    size_t (*fill)(const ScsiDisk *disk, const struct LogPage *page, uint16_t first, uint8_t *out);
} LogPage;

static size_t log_pages(const ScsiDisk *disk, const LogPage *page, uint16_t first, uint8_t *out);

static size_t put_counter(uint8_t *out, uint16_t param, uint16_t first, uint64_t value)
{
    if (param < first) {
        return 0;
    }
    put_be16(out, param);
    out[2] = DATA_COUNTER;
    out[3] = 8;
    put_be64(out + 4, value);
    return 12;
}

static size_t log_errors(const ScsiDisk *disk, const LogPage *page, uint16_t first, uint8_t *out)
{
    static const uint8_t kinds[] = {
        [0x02] = DISK_WRITES, [0x03] = DISK_READS, [0x05] = DISK_VERIFIES
    };
    const DiskCounter *c = &disk->counter[kinds[page->code]];
    size_t len = put_counter(out, PARAM_BYTES, first, c->bytes);

    return len + put_counter(out + len, PARAM_UNCORRECTED, first, c->errors);
}

static size_t log_exceptions(const ScsiDisk *disk G_GNUC_UNUSED, const LogPage *page G_GNUC_UNUSED,
                             uint16_t first, uint8_t *out)
{
    if (first) {
        return 0;
    }
    out[2] = BINARY_LIST;
    out[3] = 4;
    out[6] = NO_TEMPERATURE;
    return 8;
}

static const LogPage log_page_table[] = {
    { 0x00, 0, log_pages },  { 0x00, SUBPAGE_ALL, log_pages }, { 0x02, 0, log_errors },
    { 0x03, 0, log_errors }, { 0x05, 0, log_errors },          { 0x2f, 0, log_exceptions },
};

/* Codes; or, as subpage FF, code and subpage of each (SPC-4 7.3.16, 7.3.17). */
static size_t log_pages(const ScsiDisk *disk G_GNUC_UNUSED, const LogPage *page, uint16_t first,
                        uint8_t *out)
{
    size_t len = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(log_page_table) && !first; i++) {
        if (page->subpage) {
            out[len++] = log_page_table[i].code;
            out[len++] = log_page_table[i].subpage;
        } else if (!log_page_table[i].subpage) {
            out[len++] = log_page_table[i].code;
        }
    }
    return len;
}

static const LogPage *log_find(const ScsiReq *req)
{
    uint8_t code = req->cdb[2] & 0x3f, subpage = req->cdb[3];

    for (unsigned i = 0; i < G_N_ELEMENTS(log_page_table); i++) {
        if (log_page_table[i].code == code && log_page_table[i].subpage == subpage) {
            return &log_page_table[i];
        }
    }
    return NULL;
}

void disk_cmd_log_sense(ScsiDev *dev, ScsiReq *req)
{
    const LogPage *page = log_find(req);
    uint16_t first = get_be16(req->cdb + 5); /* parameter to begin with */
    uint8_t out[4 + LOG_MAX] = { 0 };
    size_t len = 0;

    if (page && !(req->cdb[1] & (PPC | SP))) {
        len = page->fill(disk_of(dev), page, first, out + 4);
    }
    if (len == 0) {
        scsi_bad_field(req);
        return;
    }
    out[0] = page->code | (page->subpage ? SPF : 0);
    out[1] = page->subpage;
    put_be16(out + 2, (uint16_t)len);
    scsi_req_reply(req, out, 4 + len, get_be16(req->cdb + 7));
}
