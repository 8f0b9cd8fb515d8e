/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest memory of one machine: a table from guest physical address (GPA) to host pointer,
 * made of file mappings. The only door for DMA. Belongs to the machine's thread.
 *
 * A region that is replaced or unmapped leaves the table at once, so that no new access finds
 * it; its mapping goes when the last pin is dropped. RAM without a descriptor is no DMA target.
 *
 * A file that shrinks under its mapping: guest_memory_sigbus_init() installs a process-wide
 * SIGBUS handler that puts zero pages over the torn region, marks it dead and goes on; other
 * addresses keep the default action. It finds the table by a thread-local pointer.
 */
#ifndef HW_CORE_GUEST_MEMORY_H
#define HW_CORE_GUEST_MEMORY_H

#include "util/sandbox.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct GuestMemory GuestMemory;
typedef struct GuestRegion GuestRegion;

typedef struct GuestMap {
    uint64_t gpa;    /* page aligned, as is size */
    uint64_t size;   /* bytes */
    uint64_t offset; /* into the file, page aligned */
    int fd;          /* not taken: the mapping outlives it; the caller closes it */
    bool readonly;
} GuestMap;

/* name: connection's name for the log, must stay valid. */
GuestMemory *guest_memory_new(const char *name);
/* No pin may be left. */
void guest_memory_free(GuestMemory *mem);

/* Replaces the whole table by n entries. Entries equal to a present region in gpa, size, offset
 * and file (st_dev, st_ino) keep its mapping. On an error (empty, unaligned, wrapping or
 * overlapping entry, not a mappable file, beyond the file's end, mmap refused) the old table is
 * gone and the new one empty. */
bool guest_memory_replace(GuestMemory *mem, const GuestMap *maps, unsigned n, GError **errp);
/* Adds one region; an error changes nothing. */
bool guest_memory_map(GuestMemory *mem, const GuestMap *map, GError **errp);
/* Removes the region that is exactly gpa, size. done comes once, when the last pin is gone and the
 * memory is unmapped: from within the call if there is no pin, else from guest_region_unpin().
 * done may be NULL. Returns 0 or -ENOENT (then done never comes). */
int guest_memory_unmap(GuestMemory *mem, uint64_t gpa, uint64_t size, void (*done)(void *),
                       void *opaque);
/* Removes everything (disconnect). */
void guest_memory_clear(GuestMemory *mem);

/* Copies; may cross adjacent regions. 0 or -EFAULT (some byte is in no region, in a dead or, for
 * write, a read-only one): then nothing, or a leading part, was copied. */
int guest_memory_read(GuestMemory *mem, uint64_t gpa, void *buf, size_t len);
int guest_memory_write(GuestMemory *mem, uint64_t gpa, const void *buf, size_t len);

/* Host pointer for gpa; *len is cut to what is contiguous in its region. NULL if gpa is in no
 * (live, writable if write) region. The pointer is valid until the next map change unless pinned;
 * *region (may be NULL) receives the region to pin. */
void *guest_memory_ptr(GuestMemory *mem, uint64_t gpa, size_t *len, bool write,
                       GuestRegion **region);
void guest_region_pin(GuestRegion *region);
void guest_region_unpin(GuestRegion *region);

/* For `query` and tests. */
unsigned guest_memory_count(const GuestMemory *mem);
bool guest_memory_region(const GuestMemory *mem, unsigned i, GuestMap *out);

/* Once, on the main thread. */
void guest_memory_sigbus_init(void);
/* Makes mem the table that the SIGBUS handler consults on the calling thread (NULL: none). */
void guest_memory_thread_use(GuestMemory *mem);

extern const SandboxCalls guest_memory_sandbox;

#endif
