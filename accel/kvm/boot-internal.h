/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ACCEL_KVM_BOOT_INTERNAL_H
#define ACCEL_KVM_BOOT_INTERNAL_H

#include "accel/kvm/boot.h"

#define BOOT_MAX_PIECES 64
/* Conventional memory ends where a PC has its extended BIOS data area. */
#define BOOT_LOW_END 0x9fc00u
#define BOOT_HIGH_START 0x100000u

typedef struct BootPiece {
    uint64_t addr, size, vaddr;
} BootPiece;

/* An image being loaded. */
typedef struct BootImage {
    const char *path;
    const char *append; /* not NULL */
    int fd;
    uint64_t size; /* of the file */
    uint8_t *ram;
    uint64_t ram_size;
    BootPiece pieces[BOOT_MAX_PIECES]; /* loaded so far */
    unsigned n_pieces;
} BootImage;

typedef struct BootRange {
    uint64_t addr, size;
    bool usable;
} BootRange;
#define BOOT_RANGES 3

/* Reads len bytes at off; what: for the message. */
bool boot_read(BootImage *image, uint64_t off, void *buf, uint64_t len, const char *what,
               GError **errp);
/* Loads file_size bytes at off to addr, zeroes up to mem_size. Checks both ends and that it hits
 * none of the others. */
bool boot_piece(BootImage *image, uint64_t off, uint64_t file_size, uint64_t addr,
                uint64_t mem_size, uint64_t vaddr, GError **errp);
/* Is addr in what has been loaded? */
bool boot_loaded(const BootImage *image, uint64_t addr);
/* Room for len bytes that nothing has been loaded to, below 4 GiB; zeroed. */
bool boot_place(BootImage *image, uint64_t len, uint32_t *addr, GError **errp);
/* The memory map; returns how many of ranges[BOOT_RANGES] there are. */
unsigned boot_ranges(const BootImage *image, BootRange *ranges);

/* boot-elf.c */
typedef enum BootClass { BOOT_NO_ELF, BOOT_ELF32, BOOT_ELF64 } BootClass;
/* By the identification alone. */
BootClass boot_elf_class(BootImage *image);
/* Loads every PT_LOAD to its physical address; *entry is e_entry as it stands. */
bool boot_elf_load(BootImage *image, uint64_t *entry, GError **errp);
/* The value of the Xen note PHYS32_ENTRY: *found tells whether there is one. */
bool boot_elf_pvh_entry(BootImage *image, bool *found, uint32_t *entry, GError **errp);

/* boot-multiboot.c, boot-pvh.c: *ours false: not such an image, and nothing has been done. */
bool boot_multiboot(BootImage *image, bool *ours, BootEntry *entry, GError **errp);
bool boot_pvh(BootImage *image, bool *ours, BootEntry *entry, GError **errp);

#endif
