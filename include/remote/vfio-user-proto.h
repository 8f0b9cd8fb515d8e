/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wire structs of vfio-user 0.0: host byte order, no padding. One UNIX stream socket per device;
 * the client (VMM) connects, negotiates with VERSION, and asks; descriptors come with the first
 * byte of a message.
 */
#ifndef REMOTE_VFIO_USER_PROTO_H
#define REMOTE_VFIO_USER_PROTO_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

typedef enum VfuCmd {
    VFU_VERSION = 1,
    VFU_DMA_MAP = 2,
    VFU_DMA_UNMAP = 3,
    VFU_DEVICE_GET_INFO = 4,
    VFU_DEVICE_GET_REGION_INFO = 5,
    VFU_DEVICE_GET_REGION_IO_FDS = 6,
    VFU_DEVICE_GET_IRQ_INFO = 7,
    VFU_DEVICE_SET_IRQS = 8,
    VFU_REGION_READ = 9,
    VFU_REGION_WRITE = 10,
    VFU_DMA_READ = 11,  /* server to client */
    VFU_DMA_WRITE = 12, /* server to client */
    VFU_DEVICE_RESET = 13,
    VFU_REGION_WRITE_MULTI = 15,
    VFU_DEVICE_FEATURE = 16,
    VFU_MIG_DATA_READ = 17,
    VFU_MIG_DATA_WRITE = 18,
    VFU_CMDS
} VfuCmd;

typedef struct VfuHeader {
    uint16_t id; /* the sender's, echoed in the reply */
    uint16_t cmd;
    uint32_t size; /* of the message, header included */
    uint32_t flags;
    uint32_t error; /* positive errno, in replies with VFU_ERROR */
} VfuHeader;

enum {
    VFU_TYPE_MASK = 0xf,
    VFU_TYPE_COMMAND = 0,
    VFU_TYPE_REPLY = 1,
    VFU_NO_REPLY = 0x10,
    VFU_ERROR = 0x20,
    VFU_FLAGS = 0x3f, /* all of them */
};

typedef struct VfuVersion {
    uint16_t major, minor;
    /* then, optional, JSON text with its NUL */
} VfuVersion;

/* Limits of this implementation, as VERSION announces them. */
#define VFU_MAX_MSG_FDS 16
#define VFU_MAX_DATA 1048576u
#define VFU_MAX_DMA_MAPS 8192u
#define VFU_PAGE_SIZE 4096u
/* A VERSION message as a whole; what real ones need is a tenth of it. */
#define VFU_MAX_VERSION 4096u

enum { VFU_DMA_MAP_READ = 1, VFU_DMA_MAP_WRITE = 2 };
enum { VFU_DMA_UNMAP_DIRTY = 1, VFU_DMA_UNMAP_ALL = 2 };

typedef struct VfuDmaMap {
    uint32_t argsz, flags;
    uint64_t offset; /* in the file that comes along */
    uint64_t iova, size;
} VfuDmaMap;

typedef struct VfuDmaUnmap {
    uint32_t argsz, flags;
    uint64_t iova, size;
} VfuDmaUnmap;

enum { VFU_DEVICE_RESETS = 1, VFU_DEVICE_PCI = 2 };

typedef struct VfuDeviceInfo {
    uint32_t argsz, flags;
    uint32_t num_regions, num_irqs;
} VfuDeviceInfo;

/* Regions 0 to 5 are the BARs. */
enum { VFU_REGION_ROM = 6, VFU_REGION_CONFIG = 7, VFU_REGION_VGA = 8, VFU_REGIONS = 9 };
enum {
    VFU_REGION_F_READ = 1,
    VFU_REGION_F_WRITE = 2,
    VFU_REGION_F_MMAP = 4,
    VFU_REGION_F_CAPS = 8
};

typedef struct VfuRegionInfo {
    uint32_t argsz, flags, index;
    uint32_t cap_offset; /* from this struct; 0: none */
    uint64_t size, offset;
} VfuRegionInfo;

#define VFU_CAP_SPARSE_MMAP 1

typedef struct VfuSparseMmap {
    uint16_t id, version;
    uint32_t next; /* from VfuRegionInfo; 0: last */
    uint32_t nr_areas, reserved;
    /* then the areas */
} VfuSparseMmap;

typedef struct VfuArea {
    uint64_t offset, size; /* in the region */
} VfuArea;

enum { VFU_IRQ_INTX, VFU_IRQ_MSI, VFU_IRQ_MSIX, VFU_IRQ_ERR, VFU_IRQ_REQ, VFU_IRQS };
enum { VFU_IRQ_EVENTFD = 1, VFU_IRQ_MASKABLE = 2, VFU_IRQ_AUTOMASKED = 4, VFU_IRQ_NORESIZE = 8 };

typedef struct VfuIrqInfo {
    uint32_t argsz, flags, index, count;
} VfuIrqInfo;

enum {
    VFU_IRQ_DATA_NONE = 0x01,
    VFU_IRQ_DATA_BOOL = 0x02, /* a byte for each vector follows */
    VFU_IRQ_DATA_EVENTFD = 0x04,
    VFU_IRQ_DATA = 0x07,
    VFU_IRQ_MASK = 0x08,
    VFU_IRQ_UNMASK = 0x10,
    VFU_IRQ_TRIGGER = 0x20,
    VFU_IRQ_ACTION = 0x38,
};

typedef struct VfuIrqSet {
    uint32_t argsz, flags, index, start, count;
} VfuIrqSet;

typedef struct VfuRegionAccess {
    uint64_t offset;
    uint32_t region, count;
    /* then the data */
} VfuRegionAccess;

#define VFU_MULTI_DATA 8

typedef struct VfuMultiEntry {
    uint64_t offset;
    uint32_t region, count; /* at most VFU_MULTI_DATA */
    uint8_t data[VFU_MULTI_DATA];
} VfuMultiEntry;

static_assert(sizeof(VfuHeader) == 16 && offsetof(VfuHeader, flags) == 8, "vfio-user header");
static_assert(sizeof(VfuVersion) == 4, "VERSION");
static_assert(sizeof(VfuDmaMap) == 32 && offsetof(VfuDmaMap, iova) == 16, "DMA_MAP");
static_assert(sizeof(VfuDmaUnmap) == 24 && offsetof(VfuDmaUnmap, iova) == 8, "DMA_UNMAP");
static_assert(sizeof(VfuDeviceInfo) == 16, "DEVICE_GET_INFO");
static_assert(sizeof(VfuRegionInfo) == 32 && offsetof(VfuRegionInfo, size) == 16, "REGION_INFO");
static_assert(sizeof(VfuSparseMmap) == 16 && sizeof(VfuArea) == 16, "sparse mmap capability");
static_assert(sizeof(VfuIrqInfo) == 16, "DEVICE_GET_IRQ_INFO");
static_assert(sizeof(VfuIrqSet) == 20, "DEVICE_SET_IRQS");
static_assert(sizeof(VfuRegionAccess) == 16, "REGION_READ, REGION_WRITE");
static_assert(sizeof(VfuMultiEntry) == 24, "REGION_WRITE_MULTI");

#endif
