/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Multiboot Specification, version 0.6.96: a header in the first 8 KiB of the file, 4-byte
 * aligned, whose first three words sum to 0. Where flag bit 16 is set it says what to load and
 * where; else the image is a 32-bit ELF one. It is entered with the loader's magic in EAX and the
 * address of the information structure in EBX: memory sizes and map, command line (the image's
 * name first), loader's name.
 *
 * Not done: video modes (flag bit 2), as the board has no display; modules.
 */
#include "accel/kvm/boot-internal.h"
#include "util/error.h"
#include <string.h>

#define SEARCH 8192u
#define HEADER_MAGIC 0x1badb002u
#define LOADER_MAGIC 0x2badb002u
#define LOADER_NAME "qemu-remote"
enum {
    WANT_ALIGNED = 1u << 0, /* modules on pages */
    WANT_MEMORY = 1u << 1,
    MUST_UNDERSTAND = 0xffffu,
    HAS_ADDRESSES = 1u << 16,
};
enum { INFO_MEMORY = 1u << 0, INFO_CMDLINE = 1u << 2, INFO_MAP = 1u << 6, INFO_NAME = 1u << 9 };
enum { MAP_RAM = 1, MAP_RESERVED = 2 };

typedef struct Header {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
} Header;
#define HEADER_LEAST 12u

typedef struct MultibootInfo {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
    uint32_t apm_table;
} MultibootInfo;
G_STATIC_ASSERT(sizeof(MultibootInfo) == 72);

/* size does not count itself; addresses are not aligned to 8. */
typedef struct MapEntry {
    uint32_t size;
    uint64_t addr, length;
    uint32_t type;
} __attribute__((packed)) MapEntry;
G_STATIC_ASSERT(sizeof(MapEntry) == 24);

typedef struct Info {
    MultibootInfo info;
    MapEntry map[BOOT_RANGES];
    char name[sizeof(LOADER_NAME)];
    char cmdline[];
} Info;

static bool find_header(BootImage *image, bool *found, Header *header, uint32_t *at, GError **errp)
{
    uint8_t start[SEARCH + sizeof(*header)] = { 0 }; /* the tail of a last header, or zeroes */
    uint64_t len = MIN(image->size, sizeof(start));

    *found = false;
    if (!boot_read(image, 0, start, len, "the multiboot header", errp)) {
        return false;
    }
    for (*at = 0; *at + HEADER_LEAST <= MIN(len, SEARCH); *at += 4) {
        memcpy(header, start + *at, sizeof(*header));
        if (header->magic == HEADER_MAGIC &&
            header->magic + header->flags + header->checksum == 0) {
            *found = true;
            break;
        }
    }
    return true;
}

static bool load_by_addresses(BootImage *image, const Header *h, uint32_t at, GError **errp)
{
    uint32_t before = h->header_addr - h->load_addr;
    uint64_t off, file_size, mem_size;

    if (h->load_addr > h->header_addr || before > at ||
        (h->load_end_addr && h->load_end_addr < h->load_addr)) {
        return error_set(errp, "-kernel %s: senseless addresses in the multiboot header",
                         image->path);
    }
    off = at - before;
    file_size = h->load_end_addr ? h->load_end_addr - h->load_addr : image->size - off;
    mem_size = file_size;
    if (h->bss_end_addr) {
        if (h->bss_end_addr < h->load_addr || h->bss_end_addr - h->load_addr < file_size) {
            return error_set(errp,
                             "-kernel %s: a bss that ends before the data, in the multiboot "
                             "header",
                             image->path);
        }
        mem_size = h->bss_end_addr - h->load_addr;
    }
    return boot_piece(image, off, file_size, h->load_addr, mem_size, h->load_addr, errp);
}

/* e_entry is a virtual address, and pages are off. */
static uint64_t physical(const BootImage *image, uint64_t vaddr)
{
    for (unsigned i = 0; i < image->n_pieces; i++) {
        const BootPiece *p = &image->pieces[i];
        if (vaddr >= p->vaddr && vaddr - p->vaddr < p->size) {
            return vaddr - p->vaddr + p->addr;
        }
    }
    return vaddr;
}

static void fill_map(const BootImage *image, Info *info, uint32_t addr)
{
    BootRange ranges[BOOT_RANGES];
    unsigned n = boot_ranges(image, ranges);

    for (unsigned i = 0; i < n; i++) {
        info->map[i] = (MapEntry){ sizeof(MapEntry) - 4, ranges[i].addr, ranges[i].size,
                                   ranges[i].usable ? MAP_RAM : MAP_RESERVED };
    }
    info->info.mmap_addr = addr + offsetof(Info, map);
    info->info.mmap_length = n * sizeof(MapEntry);
    info->info.mem_lower = ranges[0].size / 1024;
    info->info.mem_upper = n > 1 ? ranges[n - 1].size / 1024 : 0;
}

static bool make_info(BootImage *image, uint32_t *addr, GError **errp)
{
    g_autofree char *cmdline =
        g_strjoin(" ", image->path, *image->append ? image->append : NULL, NULL);
    size_t text = strlen(cmdline) + 1;
    Info info = { .name = LOADER_NAME };

    if (!boot_place(image, sizeof(info) + text, addr, errp)) {
        return false;
    }
    fill_map(image, &info, *addr);
    info.info.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MAP | INFO_NAME;
    info.info.cmdline = *addr + offsetof(Info, cmdline);
    info.info.boot_loader_name = *addr + offsetof(Info, name);
    memcpy(image->ram + *addr, &info, sizeof(info));
    memcpy(image->ram + info.info.cmdline, cmdline, text);
    return true;
}

bool boot_multiboot(BootImage *image, bool *ours, BootEntry *entry, GError **errp)
{
    uint32_t at, info;
    uint64_t start;
    Header h;

    if (!find_header(image, ours, &h, &at, errp)) {
        return false;
    }
    /* A 64-bit image may have both headers, and starts by the other one. */
    *ours = *ours && (h.flags & HAS_ADDRESSES || boot_elf_class(image) != BOOT_ELF64);
    if (!*ours) {
        return true;
    }
    if (h.flags & MUST_UNDERSTAND & ~(WANT_ALIGNED | WANT_MEMORY)) {
        return error_set(errp,
                         "-kernel %s: the multiboot header asks for what there is not: "
                         "flags 0x%x",
                         image->path, h.flags);
    }
    if (h.flags & HAS_ADDRESSES) {
        start = h.entry_addr;
        if (!load_by_addresses(image, &h, at, errp)) {
            return false;
        }
    } else if (boot_elf_class(image) == BOOT_NO_ELF) {
        return error_set(errp,
                         "-kernel %s: a multiboot header without addresses in what is no "
                         "ELF file",
                         image->path);
    } else {
        if (!boot_elf_load(image, &start, errp)) {
            return false;
        }
        start = physical(image, start);
    }
    if (!make_info(image, &info, errp)) {
        return false;
    }
    *entry = (BootEntry){ .eip = start, .eax = LOADER_MAGIC, .ebx = info };
    return true;
}
