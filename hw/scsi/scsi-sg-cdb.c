/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What commands to a device of the host move, by table: direction, and where in the CDB the length
 * is and in what unit. SG_IO has to be told both before the device is asked, and the initiator's
 * word is all there is. It is the list of commands that are let through at the same time: of others
 * nobody knows how much they move, and none of them is worth guessing. What changes firmware or
 * takes the device from the host (WRITE BUFFER, FORMAT UNIT, SANITIZE, CHANGE DEFINITION, copy
 * commands) is not on it.
 */
#include "scsi-sg.h"

#include "hw/scsi/scsi-cdb.h"

typedef enum Unit { BYTES, BLOCKS, READ_6_BLOCKS, CD_SECTORS, FIXED } Unit;

enum { DISK = 1, CD = 2, ANY = 4 };

typedef struct SgCdb {
    uint8_t op, kinds;
    ScsiDir dir;
    uint8_t at, width; /* of the length in the CDB; width 0: at is the length itself */
    Unit unit;
} SgCdb;

#define IN SCSI_DIR_IN
#define OUT SCSI_DIR_OUT
#define NONE SCSI_DIR_NONE

static const SgCdb sg_cdbs[] = {
    { SCSI_TEST_UNIT_READY, ANY, NONE, 0, 0, FIXED },
    { SCSI_REZERO_UNIT, ANY, NONE, 0, 0, FIXED },
    { SCSI_REQUEST_SENSE, ANY, IN, 4, 1, BYTES },
    { SCSI_READ_6, DISK | CD, IN, 4, 1, READ_6_BLOCKS },
    { SCSI_WRITE_6, DISK, OUT, 4, 1, READ_6_BLOCKS },
    { SCSI_SEEK_6, DISK | CD, NONE, 0, 0, FIXED },
    { SCSI_INQUIRY, ANY, IN, 3, 2, BYTES },
    { SCSI_MODE_SELECT_6, ANY, OUT, 4, 1, BYTES },
    { SCSI_RESERVE_6, ANY, NONE, 0, 0, FIXED },
    { SCSI_RELEASE_6, ANY, NONE, 0, 0, FIXED },
    { SCSI_MODE_SENSE_6, ANY, IN, 4, 1, BYTES },
    { SCSI_START_STOP_UNIT, ANY, NONE, 0, 0, FIXED },
    { SCSI_PREVENT_ALLOW, ANY, NONE, 0, 0, FIXED },
    { SCSI_READ_CAPACITY_10, DISK | CD, IN, 8, 0, FIXED },
    { SCSI_READ_10, DISK | CD, IN, 7, 2, BLOCKS },
    { SCSI_WRITE_10, DISK | CD, OUT, 7, 2, BLOCKS },
    { SCSI_SEEK_10, DISK | CD, NONE, 0, 0, FIXED },
    { SCSI_WRITE_AND_VERIFY_10, DISK, OUT, 7, 2, BLOCKS },
    { SCSI_VERIFY_10, DISK | CD, NONE, 7, 2, BLOCKS },
    { SCSI_SYNCHRONIZE_CACHE_10, DISK | CD, NONE, 0, 0, FIXED },
    { SCSI_UNMAP, DISK, OUT, 7, 2, BYTES },
    { SCSI_READ_TOC, CD, IN, 7, 2, BYTES },
    { SCSI_GET_CONFIGURATION, CD, IN, 7, 2, BYTES },
    { SCSI_GET_EVENT_STATUS, CD, IN, 7, 2, BYTES },
    { SCSI_LOG_SENSE, ANY, IN, 7, 2, BYTES },
    { SCSI_READ_DISC_INFORMATION, CD, IN, 7, 2, BYTES },
    { SCSI_READ_TRACK_INFORMATION, CD, IN, 7, 2, BYTES },
    { SCSI_MODE_SELECT_10, ANY, OUT, 7, 2, BYTES },
    { SCSI_RESERVE_10, ANY, NONE, 0, 0, FIXED },
    { SCSI_RELEASE_10, ANY, NONE, 0, 0, FIXED },
    { SCSI_MODE_SENSE_10, ANY, IN, 7, 2, BYTES },
    { SCSI_PERSISTENT_RESERVE_IN, ANY, IN, 7, 2, BYTES },
    { SCSI_PERSISTENT_RESERVE_OUT, ANY, OUT, 5, 4, BYTES },
    { SCSI_READ_16, DISK, IN, 10, 4, BLOCKS },
    { SCSI_WRITE_16, DISK, OUT, 10, 4, BLOCKS },
    { SCSI_WRITE_AND_VERIFY_16, DISK, OUT, 10, 4, BLOCKS },
    { SCSI_VERIFY_16, DISK, NONE, 10, 4, BLOCKS },
    { SCSI_SYNCHRONIZE_CACHE_16, DISK, NONE, 0, 0, FIXED },
    { SCSI_SERVICE_ACTION_IN_16, DISK, IN, 10, 4, BYTES },
    { SCSI_REPORT_LUNS, ANY, IN, 6, 4, BYTES },
    { SCSI_MAINTENANCE_IN, ANY, IN, 6, 4, BYTES },
    { SCSI_READ_12, DISK | CD, IN, 6, 4, BLOCKS },
    { SCSI_WRITE_12, DISK | CD, OUT, 6, 4, BLOCKS },
    { SCSI_READ_DVD_STRUCTURE, CD, IN, 8, 2, BYTES },
    { SCSI_WRITE_AND_VERIFY_12, DISK, OUT, 6, 4, BLOCKS },
    { SCSI_VERIFY_12, DISK | CD, NONE, 6, 4, BLOCKS },
    { SCSI_SET_CD_SPEED, CD, NONE, 0, 0, FIXED },
    { SCSI_MECHANISM_STATUS, CD, IN, 8, 2, BYTES },
    { SCSI_READ_CD, CD, IN, 6, 3, CD_SECTORS },
};

#define RAW_SECTOR 2448 /* 2352 and 96 of subchannels: the most there can be */

static uint64_t field(const uint8_t *p, unsigned width)
{
    uint64_t v = 0;

    while (width--) {
        v = v << 8 | *p++;
    }
    return v;
}

static uint64_t cdb_bytes(const SgCdb *desc, const uint8_t *cdb, uint32_t block_size)
{
    uint64_t n = desc->width ? field(cdb + desc->at, desc->width) : desc->at;

    switch (desc->unit) {
    case READ_6_BLOCKS:
        return (n ? n : 256) * block_size;
    case BLOCKS:
        return n * block_size;
    case CD_SECTORS:
        return n * RAW_SECTOR;
    default:
        return n;
    }
}

/* BYTCHK 1 makes VERIFY send its data. */
static bool is_verify(uint8_t op)
{
    return op == SCSI_VERIFY_10 || op == SCSI_VERIFY_12 || op == SCSI_VERIFY_16;
}

bool sg_cdb_decode(const uint8_t *cdb, uint8_t pdt, uint32_t block_size, SgTransfer *transfer)
{
    unsigned kind = pdt == 0 || pdt == 7 ? DISK : pdt == 5 ? CD : 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(sg_cdbs); i++) {
        const SgCdb *desc = &sg_cdbs[i];

        if (desc->op != cdb[0] || !(desc->kinds & (kind | ANY))) {
            continue;
        }
        *transfer = (SgTransfer){ desc->dir, cdb_bytes(desc, cdb, block_size) };
        if (is_verify(cdb[0])) {
            unsigned bytchk = cdb[1] >> 1 & 3;

            transfer->dir = bytchk ? OUT : NONE;
            transfer->bytes = bytchk == 3 ? MIN(transfer->bytes, block_size) : transfer->bytes;
        }
        if (transfer->dir == NONE || transfer->bytes == 0) {
            *transfer = (SgTransfer){ NONE, 0 };
        }
        return true;
    }
    return false;
}
