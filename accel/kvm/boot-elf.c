/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ELF executables for x86, 32 and 64 bits: the program headers, both classes brought into one form;
 * PT_LOAD segments by their physical addresses; and the PT_NOTE segments, for the note by which Xen
 * and others find the 32-bit entry point of a PVH image (owner "Xen", type 18, a value of 4 or 8
 * bytes). Section headers are not looked at. System V ABI, chapters 4 and 5; Xen's elfnote.h.
 */
#include "accel/kvm/boot-internal.h"
#include "util/error.h"
#include <elf.h>
#include <inttypes.h>
#include <string.h>

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define MAX_NOTES (64u << 10) /* bytes of one segment */

typedef struct Elf {
    uint64_t entry, phoff;
    unsigned phentsize, phnum;
    bool wide;
} Elf;

typedef struct Segment {
    uint32_t type;
    uint64_t offset, vaddr, paddr, file_size, mem_size, align;
} Segment;

BootClass boot_elf_class(BootImage *image)
{
    uint8_t ident[EI_NIDENT];

    if (image->size < sizeof(ident) ||
        !boot_read(image, 0, ident, sizeof(ident), "the ELF header", NULL) ||
        memcmp(ident, ELFMAG, SELFMAG) != 0) {
        return BOOT_NO_ELF;
    }
    return ident[EI_CLASS] == ELFCLASS64 ? BOOT_ELF64 : BOOT_ELF32;
}

static bool read_header(BootImage *image, Elf *elf, GError **errp)
{
    union {
        uint8_t ident[EI_NIDENT];
        Elf32_Ehdr narrow;
        Elf64_Ehdr wide;
    } h = { 0 };
    unsigned machine, type, want;

    elf->wide = boot_elf_class(image) == BOOT_ELF64;
    if (!boot_read(image, 0, &h, elf->wide ? sizeof(h.wide) : sizeof(h.narrow), "the ELF header",
                   errp)) {
        return false;
    }
#define FIELD(name) (elf->wide ? h.wide.name : h.narrow.name)
    machine = FIELD(e_machine);
    type = FIELD(e_type);
    elf->entry = FIELD(e_entry);
    elf->phoff = FIELD(e_phoff);
    elf->phentsize = FIELD(e_phentsize);
    elf->phnum = FIELD(e_phnum);
#undef FIELD
    want = elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    if (h.ident[EI_CLASS] < ELFCLASS32 || h.ident[EI_CLASS] > ELFCLASS64 ||
        h.ident[EI_DATA] != ELFDATA2LSB || (machine != EM_386 && machine != EM_X86_64)) {
        return error_set(errp, "-kernel %s: an ELF file, but not for x86", image->path);
    }
    if (type != ET_EXEC && type != ET_DYN) {
        return error_set(errp, "-kernel %s: an ELF file, but no executable", image->path);
    }
    if (elf->phentsize != want || elf->phnum == 0 || elf->phnum > BOOT_MAX_PIECES) {
        return error_set(errp, "-kernel %s: %u program headers of %u bytes; 1 to %d of %u expected",
                         image->path, elf->phnum, elf->phentsize, BOOT_MAX_PIECES, want);
    }
    if (elf->phoff > image->size || (uint64_t)elf->phnum * want > image->size - elf->phoff) {
        return error_set(errp, "-kernel %s: the program headers lie beyond the end of the file",
                         image->path);
    }
    return true;
}

static bool read_segment(BootImage *image, const Elf *elf, unsigned i, Segment *segment,
                         GError **errp)
{
    union {
        Elf32_Phdr narrow;
        Elf64_Phdr wide;
    } p;

    if (!boot_read(image, elf->phoff + (uint64_t)i * elf->phentsize, &p, elf->phentsize,
                   "a program header", errp)) {
        return false;
    }
#define FIELD(name) (elf->wide ? p.wide.name : p.narrow.name)
    *segment = (Segment){
        .type = FIELD(p_type),
        .offset = FIELD(p_offset),
        .vaddr = FIELD(p_vaddr),
        .paddr = FIELD(p_paddr),
        .file_size = FIELD(p_filesz),
        .mem_size = FIELD(p_memsz),
        .align = FIELD(p_align),
    };
#undef FIELD
    return true;
}

bool boot_elf_load(BootImage *image, uint64_t *entry, GError **errp)
{
    Segment s;
    Elf elf;

    if (!read_header(image, &elf, errp)) {
        return false;
    }
    for (unsigned i = 0; i < elf.phnum; i++) {
        if (!read_segment(image, &elf, i, &s, errp)) {
            return false;
        }
        if (s.type == PT_LOAD &&
            !boot_piece(image, s.offset, s.file_size, s.paddr, s.mem_size, s.vaddr, errp)) {
            return false;
        }
    }
    if (image->n_pieces == 0) {
        return error_set(errp, "-kernel %s: an ELF file without a segment to load", image->path);
    }
    *entry = elf.entry;
    return true;
}

/* ---- notes ---- */

static uint64_t padded(uint64_t n, unsigned align)
{
    return (n + align - 1) & ~(uint64_t)(align - 1);
}

/* Looks through one segment's notes; a note that does not fit ends it. */
static bool find_pvh_note(const uint8_t *notes, uint64_t size, unsigned align, uint64_t *value)
{
    Elf32_Nhdr n; /* the 64-bit one is the same */

    for (uint64_t at = 0; size - at >= sizeof(n);) {
        uint64_t name = at + sizeof(n), desc, next;

        memcpy(&n, notes + at, sizeof(n));
        desc = padded(name + n.n_namesz, align);
        next = padded(desc + n.n_descsz, align);
        if (desc > size || n.n_descsz > size - desc) {
            return false;
        }
        if (n.n_type == XEN_ELFNOTE_PHYS32_ENTRY && n.n_namesz == 4 &&
            memcmp(notes + name, "Xen", 4) == 0 && (n.n_descsz == 4 || n.n_descsz == 8)) {
            *value = 0;
            memcpy(value, notes + desc, n.n_descsz);
            return true;
        }
        if (next > size) {
            return false;
        }
        at = next;
    }
    return false;
}

static bool search_segment(BootImage *image, const Segment *s, bool *found, uint64_t *value,
                           GError **errp)
{
    g_autofree uint8_t *notes = NULL;

    if (s->file_size > MAX_NOTES) {
        return true; /* nobody's notes for us */
    }
    notes = g_malloc(MAX(s->file_size, 1));
    if (!boot_read(image, s->offset, notes, s->file_size, "a note", errp)) {
        return false;
    }
    *found = find_pvh_note(notes, s->file_size, s->align == 8 ? 8 : 4, value);
    return true;
}

bool boot_elf_pvh_entry(BootImage *image, bool *found, uint32_t *entry, GError **errp)
{
    uint64_t value = 0;
    Segment s;
    Elf elf;

    *found = false;
    if (!read_header(image, &elf, errp)) {
        return false;
    }
    for (unsigned i = 0; i < elf.phnum && !*found; i++) {
        if (!read_segment(image, &elf, i, &s, errp) ||
            (s.type == PT_NOTE && !search_segment(image, &s, found, &value, errp))) {
            return false;
        }
    }
    if (value > UINT32_MAX) {
        return error_set(errp, "-kernel %s: the PVH entry point 0x%" PRIx64 " is above 4 GiB",
                         image->path, value);
    }
    *entry = value;
    return true;
}
