/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -kernel: an image into RAM, with what its entry point expects. */
#ifndef ACCEL_KVM_BOOT_H
#define ACCEL_KVM_BOOT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What the CPU starts with, in 32-bit flat protected mode, without paging and interrupts. */
typedef struct BootEntry {
    uint32_t eip, eax, ebx;
} BootEntry;

/* Loads path, a multiboot 1 image or an ELF one with a PVH entry, to ram (guest physical address
 * 0), and the start information with append (may be NULL) beside it. An error names the file; what
 * has been loaded by then stays. */
bool boot_load(const char *path, const char *append, uint8_t *ram, uint64_t ram_size,
               BootEntry *entry, GError **errp);

#endif
