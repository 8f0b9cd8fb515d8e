/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk or CD-ROM unit: what the files that make it up share. */
#ifndef HW_SCSI_SCSI_DISK_INTERNAL_H
#define HW_SCSI_SCSI_DISK_INTERNAL_H

#include "block/block.h"
#include "hw/scsi/scsi-disk.h"
#include "scsi-cmd.h"

#define DISK_BLOCK_MAX 32768u /* logical block size */
#define DISK_SERIAL_MAX 36
#define DISK_UNMAP_DESCRIPTORS 255 /* in one UNMAP, as the block limits page says */

/* RESERVE, PERSISTENT RESERVE OUT; one initiator, so whoever holds it is the one that asks */
typedef struct DiskReservation {
    bool legacy;         /* RESERVE(6) or (10) */
    bool registered;     /* ... with key */
    uint64_t key;
    uint8_t type;        /* of the persistent reservation; 0: none */
    uint32_t generation; /* PRGENERATION */
} DiskReservation;

typedef enum DiskIoStatus { DISK_IO_OK, DISK_IO_FAILED, DISK_IO_NO_SPACE } DiskIoStatus;

/* rerror=, werror= */
enum { ON_ERROR_AUTO, ON_ERROR_REPORT, ON_ERROR_IGNORE, ON_ERROR_ENOSPC, ON_ERROR_STOP };

/* Media events (MMC-5 6.7.2.5) */
enum {
    DISK_EVENT_NONE = 0,
    DISK_EVENT_EJECT_REQUEST = 1,
    DISK_EVENT_NEW = 2,
    DISK_EVENT_REMOVED = 3,
};

/* For LOG SENSE, since power-on. */
enum { DISK_WRITES, DISK_READS, DISK_VERIFIES, DISK_COUNTERS };
typedef struct DiskCounter {
    uint64_t bytes, errors; /* errors: uncorrected */
} DiskCounter;

typedef struct ScsiDisk {
    ScsiDev scsi;
    /* properties */
    char *drive, *vendor, *product, *ver, *serial, *device_id;
    uint64_t wwn, port_wwn;
    uint16_t port_index, rotation_rate;
    bool removable, dpofua, share_rw;
    int write_cache; /* OPT_TRI */
    int rerror, werror;
    int32_t bootindex, scsi_version;
    uint64_t logical_block_size, physical_block_size, min_io_size, opt_io_size;
    uint64_t discard_granularity, max_unmap_size, max_io_size;
    uint32_t cyls, heads, secs;
    int ignored_tri; /* accepted, means nothing here */
    bool ignored_bool;
    uint32_t ignored_u32;
    /* what follows from them, fixed after realize */
    const ScsiCmdTable *table;
    BlockNode *node; /* NULL: no medium, a CD's */
    BlockUser *user; /* its hold on node */
    bool cd;
    bool empty_drive; /* drive is a -drive that began without a medium, and is held */
    bool wce_default;    /* at power-on and after a reset */
    bool thin;           /* UNMAP works */
    uint32_t block_size; /* logical; bytes */
    uint64_t blocks;
    uint64_t max_blocks; /* of one transfer */
    /* state */
    bool wce; /* writes may stay in a volatile cache until SYNCHRONIZE CACHE */
    bool tray_open;
    bool locked; /* PREVENT ALLOW MEDIUM REMOVAL */
    DiskReservation reserved;
    uint8_t event; /* GET EVENT STATUS: medium event not yet reported */
    DiskCounter counter[DISK_COUNTERS];
    /* handles */
    unsigned in_flight; /* block requests */
    void (*idle)(void *opaque); /* a drain waits for in_flight to reach 0 */
    void *idle_opaque;
    BlockDrain drain;
    LoopWork idle_work;
    /* a change of medium that waits for in_flight to reach 0 */
    bool changing;
    BlockNode *next_node; /* NULL: none */
    BlockUser *next_user;
    bool close_tray; /* afterwards */
    void (*changed)(void *opaque, bool ok);
    void *changed_opaque;
    LoopWork change_work;
    DiskIoStatus io_status; /* what has stopped the guest */
} ScsiDisk;

static inline ScsiDisk *disk_of(ScsiDev *dev)
{
    return (ScsiDisk *)dev; /* its first member */
}

/* scsi-disk.c */
/* Tells the bus's watch if it moves. */
void disk_set_tray(ScsiDisk *disk, bool open);
bool disk_has_medium(const ScsiDisk *disk);
bool disk_read_only(const ScsiDisk *disk);
bool disk_is_ready(ScsiDev *dev, unsigned flags, ScsiSense *sense);
/* False: 05/21/00 was reported. */
bool disk_check_range(const ScsiDisk *disk, ScsiReq *req, uint64_t lba, uint64_t n);
/* The common part of realize; node may be left out only for a CD. */
bool disk_realize(Device *dev, const ScsiDevOps *ops, const ScsiCmdTable *table, GError **errp);
void disk_unrealize(Device *dev);
/* A hold on node for disk's device dev; NULL and an error if another device has it. */
BlockUser *disk_claim_node(ScsiDisk *disk, const Device *dev, BlockNode *node, GError **errp);
/* No-op for NULL. */
void disk_drop_claim(BlockNode *node, BlockUser *user);
/* Makes node (NULL: none), which user is the hold on, the medium: what follows from it. */
void disk_settle_node(ScsiDisk *disk, BlockNode *node, BlockUser *user);
void disk_release_node(ScsiDisk *disk);
/* scsi-xfer.c: in_flight has been counted down. */
void disk_io_back(ScsiDisk *disk);
/* For ScsiDevOps. */
bool disk_attach(ScsiDev *dev, Loop *loop, GError **errp);
void disk_detach(ScsiDev *dev);
void disk_start(ScsiDev *dev, ScsiReq *req);
void disk_reset(ScsiDev *dev);
void disk_save(const ScsiDev *dev, GByteArray *out);
void disk_load(ScsiDev *dev, StreamIn *in, bool apply);
/* A property, and those that scsi-hd and scsi-cd share, for their OptDesc arrays. */
#define DISK_PROP(n, t, f, ...)                                                                    \
    { .name = n, .type = t, .offset = offsetof(ScsiDisk, f), __VA_ARGS__ }
#define DISK_COMMON_PROPS(default_product)                                                         \
    DISK_PROP("drive", OPT_STRING, drive, .help = "node name or -drive id of the medium"),         \
    DISK_PROP("channel", OPT_I32, scsi.channel, .help = "only 0"),                                 \
    DISK_PROP("scsi-id", OPT_I32, scsi.id, .def = -1, .help = "default: first free"),              \
    DISK_PROP("lun", OPT_I32, scsi.lun, .def = -1, .help = "default: 0"),                          \
    DISK_PROP("vendor", OPT_STRING, vendor, .def_str = "QEMU"),                                    \
    DISK_PROP("product", OPT_STRING, product, .def_str = default_product),                         \
    DISK_PROP("ver", OPT_STRING, ver, .def_str = "2.5+"),                                          \
    DISK_PROP("serial", OPT_STRING, serial, .help = "at most 36 characters count"),                \
    DISK_PROP("device_id", OPT_STRING, device_id,                                                  \
              .help = "default: serial, or the drive's name"),                                     \
    DISK_PROP("wwn", OPT_U64, wwn),                                                                \
    DISK_PROP("port_wwn", OPT_U64, port_wwn),                                                      \
    DISK_PROP("port_index", OPT_U16, port_index),                                                  \
    DISK_PROP("scsi_version", OPT_I32, scsi_version, .min = 0, .max = 7, .def = 5),                \
    DISK_PROP("logical_block_size", OPT_SIZE, logical_block_size),                                 \
    DISK_PROP("physical_block_size", OPT_SIZE, physical_block_size),                               \
    DISK_PROP("min_io_size", OPT_SIZE, min_io_size),                                               \
    DISK_PROP("opt_io_size", OPT_SIZE, opt_io_size),                                               \
    DISK_PROP("max_io_size", OPT_U64, max_io_size, .def = INT32_MAX, .help = "bytes"),             \
    DISK_PROP("discard_granularity", OPT_SIZE, discard_granularity, .def = UINT32_MAX),            \
    DISK_PROP("write-cache", OPT_TRI, write_cache, .def = -1),                                     \
    DISK_PROP("share-rw", OPT_BOOL, share_rw),                                                     \
    DISK_PROP("rerror", OPT_ENUM, rerror, .names = disk_on_error_names),                           \
    DISK_PROP("werror", OPT_ENUM, werror, .names = disk_on_error_names),                           \
    DISK_PROP("bootindex", OPT_I32, bootindex, .def = -1, .help = "for firmware elsewhere"),       \
    DISK_PROP("account-invalid", OPT_TRI, ignored_tri, .def = -1),                                 \
    DISK_PROP("account-failed", OPT_TRI, ignored_tri, .def = -1),                                  \
    DISK_PROP("backend_defaults", OPT_TRI, ignored_tri, .def = -1)
extern const char *const disk_on_error_names[];

/* scsi-disk-cmds.c: small commands of both */
void disk_cmd_test_unit_ready(ScsiDev *dev, ScsiReq *req);
void disk_cmd_read_capacity_10(ScsiDev *dev, ScsiReq *req);
void disk_cmd_start_stop(ScsiDev *dev, ScsiReq *req);
void disk_cmd_prevent_allow(ScsiDev *dev, ScsiReq *req);
bool disk_capacity_check(const ScsiDisk *disk, ScsiReq *req, uint64_t lba, bool pmi);
void disk_cmd_seek(ScsiDev *dev, ScsiReq *req);

typedef struct DiskRange {
    uint64_t lba;
    uint32_t n;
} DiskRange;

/* scsi-disk-rw.c: READ and WRITE of 6, 10, 12 and 16 bytes */
void disk_cmd_read(ScsiDev *dev, ScsiReq *req);
void disk_cmd_write(ScsiDev *dev, ScsiReq *req);
/* Sends a range, which is not empty and was checked. */
void disk_read_range(ScsiDisk *disk, ScsiReq *req, DiskRange range);
/* Address and length of a CDB of that form. False: the request is finished, maybe since there are
 * no blocks to be moved. */
bool disk_rw_check(const ScsiDisk *disk, ScsiReq *req, DiskRange *range);
/* BLOCK_FUA where the CDB or the write cache asks for it. */
uint32_t disk_rw_flags(const ScsiDisk *disk, const ScsiReq *req);

/* scsi-disk-verify.c: of 10, 12 and 16 bytes; COMPARE AND WRITE */
void disk_cmd_write_and_verify(ScsiDev *dev, ScsiReq *req);
void disk_cmd_compare_and_write(ScsiDev *dev, ScsiReq *req);
uint8_t disk_caw_max(const ScsiDisk *disk); /* blocks */
void disk_cmd_verify(ScsiDev *dev, ScsiReq *req);

/* scsi-disk-thin.c */
void disk_cmd_synchronize_cache(ScsiDev *dev, ScsiReq *req);
void disk_cmd_unmap(ScsiDev *dev, ScsiReq *req);
void disk_cmd_write_same(ScsiDev *dev, ScsiReq *req);
/* GOOD when the node is flushed. */
void disk_flush(ScsiDisk *disk, ScsiReq *req);

/* scsi-reserve.c */
void disk_cmd_reserve(ScsiDev *dev, ScsiReq *req);
void disk_cmd_release(ScsiDev *dev, ScsiReq *req);
void disk_cmd_reserve_in(ScsiDev *dev, ScsiReq *req);
void disk_cmd_reserve_out(ScsiDev *dev, ScsiReq *req);
void disk_power_on(ScsiDev *dev); /* for ScsiDevOps */

/* scsi-log.c: LOG SENSE */
void disk_cmd_log_sense(ScsiDev *dev, ScsiReq *req);

/* scsi-inquiry.c */
void disk_cmd_inquiry(ScsiDev *dev, ScsiReq *req);

/* scsi-mode.c: (6) and (10) of each */
void disk_cmd_mode_sense(ScsiDev *dev, ScsiReq *req);
void disk_cmd_mode_select(ScsiDev *dev, ScsiReq *req);

#endif
