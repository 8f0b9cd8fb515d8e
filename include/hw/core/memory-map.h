/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An address space of a board: RAM, ROM and MMIO sections, with listeners that are told once for
 * each committed change. The remote machine has none: its memory comes over the link.
 *
 * Belongs to the board's thread; built on the main thread before that runs.
 */
#ifndef HW_CORE_MEMORY_MAP_H
#define HW_CORE_MEMORY_MAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MemoryMap MemoryMap;

typedef enum MemoryKind { MEMORY_RAM, MEMORY_ROM, MEMORY_MMIO } MemoryKind;

/* off is within the section; sizes 1, 2, 4, 8; values right-aligned. */
typedef struct MmioOps {
    uint64_t (*read)(void *opaque, uint64_t off, unsigned size);
    void (*write)(void *opaque, uint64_t off, uint64_t value, unsigned size);
} MmioOps;

typedef struct MemorySection {
    uint64_t addr, size; /* bytes */
    MemoryKind kind;
    uint8_t *host;      /* RAM, ROM: its bytes */
    int fd;             /* RAM: the file behind it, not owned; -1: none (no DMA from elsewhere) */
    uint64_t fd_offset; /* of addr in that file */
    const MmioOps *ops; /* MMIO */
    void *opaque;
    int priority; /* where sections overlap, the higher one is seen */
} MemorySection;

typedef struct MemoryListener {
    /* The map as it is now: sorted, without overlaps (a section hidden in part comes in pieces,
     * with host and fd_offset adjusted; neighbours that continue one another are merged). Called
     * from memory_map_commit(), and once when the listener is added. */
    void (*commit)(void *opaque, const MemorySection *flat, unsigned n);
    void *opaque;
    struct MemoryListener *next, **prev;
} MemoryListener;

MemoryMap *memory_map_new(void);
void memory_map_free(MemoryMap *map);

/* Changes between begin and commit, which nest, are one to the listeners. */
void memory_map_begin(MemoryMap *map);
void memory_map_commit(MemoryMap *map);
/* Outside begin/commit a change is committed at once. The section is copied. False on an empty or
 * wrapping one. */
bool memory_map_add(MemoryMap *map, const MemorySection *section);
/* Removes the section added with this addr, size and priority; false if there is none. */
bool memory_map_del(MemoryMap *map, uint64_t addr, uint64_t size, int priority);

void memory_map_listen(MemoryMap *map, MemoryListener *listener,
                       void (*commit)(void *, const MemorySection *, unsigned), void *opaque);
void memory_map_unlisten(MemoryListener *listener);

/* A CPU's access; may cross sections. Nobody there: all ones, false / dropped, false. Writes to ROM
 * are dropped, true. */
bool memory_map_read(MemoryMap *map, uint64_t addr, void *buf, size_t len);
bool memory_map_write(MemoryMap *map, uint64_t addr, const void *buf, size_t len);
/* How many of the len bytes at addr (at least one) belong to sections, *there, or to nobody, before
 * that changes. */
size_t memory_map_span(const MemoryMap *map, uint64_t addr, size_t len, bool *there);

#endif
