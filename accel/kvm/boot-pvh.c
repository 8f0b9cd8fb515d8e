/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PVH boot protocol (Xen's docs/misc/pvh.pandoc and start_info.h): an ELF image with the note
 * PHYS32_ENTRY is entered there with the address of a start info in EBX: version 1, with the
 * command line and a memory map, without modules and without an ACPI RSDP, which this board does
 * not have.
 */
#include "accel/kvm/boot-internal.h"
#include <string.h>

#define START_MAGIC 0x336ec578u
#define START_VERSION 1
enum { MAP_RAM = 1, MAP_RESERVED = 2 };

typedef struct StartInfo {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist, cmdline, rsdp, memmap;
    uint32_t memmap_entries, reserved;
} StartInfo;
G_STATIC_ASSERT(sizeof(StartInfo) == 56);

typedef struct MapEntry {
    uint64_t addr, size;
    uint32_t type, reserved;
} MapEntry;
G_STATIC_ASSERT(sizeof(MapEntry) == 24);

typedef struct Info {
    StartInfo start;
    MapEntry map[BOOT_RANGES];
    char cmdline[];
} Info;

static bool make_info(BootImage *image, uint32_t *addr, GError **errp)
{
    size_t text = strlen(image->append) + 1;
    BootRange ranges[BOOT_RANGES];
    unsigned n = boot_ranges(image, ranges);
    Info info = { 0 };

    if (!boot_place(image, sizeof(info) + text, addr, errp)) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        info.map[i] = (MapEntry){ ranges[i].addr, ranges[i].size,
                                  ranges[i].usable ? MAP_RAM : MAP_RESERVED, 0 };
    }
    info.start = (StartInfo){
        .magic = START_MAGIC,
        .version = START_VERSION,
        .cmdline = *addr + offsetof(Info, cmdline),
        .memmap = *addr + offsetof(Info, map),
        .memmap_entries = n,
    };
    memcpy(image->ram + *addr, &info, sizeof(info));
    memcpy(image->ram + info.start.cmdline, image->append, text);
    return true;
}

bool boot_pvh(BootImage *image, bool *ours, BootEntry *entry, GError **errp)
{
    uint32_t eip, info;
    uint64_t unused;

    *ours = false;
    if (boot_elf_class(image) == BOOT_NO_ELF) {
        return true;
    }
    if (!boot_elf_pvh_entry(image, ours, &eip, errp)) {
        return false;
    }
    if (!*ours) {
        return true;
    }
    if (!boot_elf_load(image, &unused, errp) || !make_info(image, &info, errp)) {
        return false;
    }
    *entry = (BootEntry){ .eip = eip, .ebx = info };
    return true;
}
