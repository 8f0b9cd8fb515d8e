/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command descriptor blocks: operation codes (SPC-4 annex E, SBC-3, MMC-5), their lengths, sense
 * keys and additional sense codes, and big-endian field access.
 */
#ifndef HW_SCSI_SCSI_CDB_H
#define HW_SCSI_SCSI_CDB_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SCSI_TEST_UNIT_READY = 0x00,
    SCSI_REZERO_UNIT = 0x01,
    SCSI_REQUEST_SENSE = 0x03,
    SCSI_READ_6 = 0x08,
    SCSI_WRITE_6 = 0x0a,
    SCSI_SEEK_6 = 0x0b,
    SCSI_INQUIRY = 0x12,
    SCSI_MODE_SELECT_6 = 0x15,
    SCSI_RESERVE_6 = 0x16,
    SCSI_RELEASE_6 = 0x17,
    SCSI_MODE_SENSE_6 = 0x1a,
    SCSI_START_STOP_UNIT = 0x1b,
    SCSI_PREVENT_ALLOW = 0x1e,
    SCSI_READ_CAPACITY_10 = 0x25,
    SCSI_READ_10 = 0x28,
    SCSI_WRITE_10 = 0x2a,
    SCSI_SEEK_10 = 0x2b,
    SCSI_WRITE_AND_VERIFY_10 = 0x2e,
    SCSI_VERIFY_10 = 0x2f,
    SCSI_SYNCHRONIZE_CACHE_10 = 0x35,
    SCSI_WRITE_SAME_10 = 0x41,
    SCSI_UNMAP = 0x42,
    SCSI_READ_TOC = 0x43,
    SCSI_GET_CONFIGURATION = 0x46,
    SCSI_GET_EVENT_STATUS = 0x4a,
    SCSI_LOG_SENSE = 0x4d,
    SCSI_READ_DISC_INFORMATION = 0x51,
    SCSI_READ_TRACK_INFORMATION = 0x52,
    SCSI_MODE_SELECT_10 = 0x55,
    SCSI_RESERVE_10 = 0x56,
    SCSI_RELEASE_10 = 0x57,
    SCSI_MODE_SENSE_10 = 0x5a,
    SCSI_PERSISTENT_RESERVE_IN = 0x5e,
    SCSI_PERSISTENT_RESERVE_OUT = 0x5f,
    SCSI_READ_16 = 0x88,
    SCSI_COMPARE_AND_WRITE = 0x89,
    SCSI_WRITE_16 = 0x8a,
    SCSI_WRITE_AND_VERIFY_16 = 0x8e,
    SCSI_VERIFY_16 = 0x8f,
    SCSI_SYNCHRONIZE_CACHE_16 = 0x91,
    SCSI_WRITE_SAME_16 = 0x93,
    SCSI_SERVICE_ACTION_IN_16 = 0x9e, /* 10: READ CAPACITY(16), 12: GET LBA STATUS */
    SCSI_REPORT_LUNS = 0xa0,
    SCSI_MAINTENANCE_IN = 0xa3, /* 0C: REPORT SUPPORTED OPERATION CODES */
    SCSI_READ_12 = 0xa8,
    SCSI_WRITE_12 = 0xaa,
    SCSI_READ_DVD_STRUCTURE = 0xad,
    SCSI_WRITE_AND_VERIFY_12 = 0xae,
    SCSI_VERIFY_12 = 0xaf,
    SCSI_READ_CD_MSF = 0xb9,
    SCSI_SET_CD_SPEED = 0xbb,
    SCSI_MECHANISM_STATUS = 0xbd,
    SCSI_READ_CD = 0xbe,
};

enum {
    SCSI_KEY_NONE = 0x0,
    SCSI_KEY_NOT_READY = 0x2,
    SCSI_KEY_MEDIUM_ERROR = 0x3,
    SCSI_KEY_HARDWARE_ERROR = 0x4,
    SCSI_KEY_ILLEGAL_REQUEST = 0x5,
    SCSI_KEY_UNIT_ATTENTION = 0x6,
    SCSI_KEY_DATA_PROTECT = 0x7,
    SCSI_KEY_ABORTED_COMMAND = 0xb,
    SCSI_KEY_MISCOMPARE = 0xe,
};

/* Additional sense codes; the qualifier is 0 where none is named beside them. */
enum {
    SCSI_ASC_NOT_READY = 0x04,
    SCSI_ASC_WRITE_ERROR = 0x0c,
    SCSI_ASC_READ_ERROR = 0x11,
    SCSI_ASC_PARAM_LIST_LENGTH = 0x1a,
    SCSI_ASC_MISCOMPARE = 0x1d,
    SCSI_ASC_INVALID_OPCODE = 0x20,
    SCSI_ASC_LBA_RANGE = 0x21,
    SCSI_ASC_INVALID_FIELD = 0x24,
    SCSI_ASC_NO_LUN = 0x25,
    SCSI_ASC_INVALID_PARAM = 0x26,
    SCSI_ASC_WRITE_PROTECTED = 0x27, /* 07: space allocation failed */
    SCSI_ASC_MEDIUM_CHANGED = 0x28,
    SCSI_ASC_RESET = 0x29,
    SCSI_ASC_PARAM_CHANGED = 0x2a,       /* 09: capacity data has changed */
    SCSI_ASC_INCOMPATIBLE_MEDIUM = 0x30, /* 02: unknown format */
    SCSI_ASC_NO_SAVING = 0x39,
    SCSI_ASC_NO_MEDIUM = 0x3a, /* 02: tray open */
    SCSI_ASC_TARGET_CHANGED = 0x3f, /* 0e: reported LUNs data has changed */
    SCSI_ASC_TARGET_FAILURE = 0x44,
    SCSI_ASC_REMOVAL_PREVENTED = 0x53, /* 02 */
    SCSI_ASC_ILLEGAL_MODE = 0x64,
};

/* Bytes of a CDB by its group (SPC-4 table 20); 0 for variable length (7Fh) and vendor groups,
 * whose length only the initiator knows. */
static inline unsigned scsi_cdb_len(uint8_t opcode)
{
    static const uint8_t by_group[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };

    return by_group[opcode >> 5];
}

static inline uint16_t get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_be24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

static inline uint64_t get_be64(const uint8_t *p)
{
    return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

static inline void put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void put_be24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 16);
    put_be16(p + 1, (uint16_t)v);
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
    put_be16(p, (uint16_t)(v >> 16));
    put_be16(p + 2, (uint16_t)v);
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
    put_be32(p, (uint32_t)(v >> 32));
    put_be32(p + 4, (uint32_t)v);
}

#endif
