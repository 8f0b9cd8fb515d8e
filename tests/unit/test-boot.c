/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images for -kernel: what a good one leaves in memory, and one clear error for each way to be a
 * bad one. Images are made here, field by field, as files; memory is 2 MiB and ends in a page that
 * can't be touched.
 */
#include "accel/kvm/boot.h"
#include <elf.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAM (2u << 20)
#define BASE 0x100000u
#define TEXT_AT 0x400u /* in the file */
#define TEXT_LEN 0x100u
#define MEM_LEN 0x300u
#define MB_AT 0x200u
#define NOTE_AT 0x300u

/* An image being made: 32-bit headers or 64-bit ones, one PT_LOAD, one PT_NOTE. */
typedef struct Image {
    Elf32_Ehdr h32;
    Elf32_Phdr p32[3];
    Elf64_Ehdr h64;
    Elf64_Phdr p64[3];
    bool wide, no_elf;
    uint32_t mb[8];
    unsigned mb_at;
    uint32_t note[7];
    unsigned note_len;
    size_t len;
    const char *append;
} Image;

typedef struct Loaded {
    uint8_t *ram;
    BootEntry entry;
    char *error; /* NULL: loaded */
    char *path;
} Loaded;

static void set_checksum(Image *im)
{
    im->mb[2] = -(im->mb[0] + im->mb[1]);
}

/* A good one of 32 bits, for either protocol. Without mb_at it has no multiboot header, without
 * note_len no note. */
static Image image32(void)
{
    Image im = {
        .h32 = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
                 .e_type = ET_EXEC,
                 .e_machine = EM_386,
                 .e_version = 1,
                 .e_entry = BASE + 8,
                 .e_phoff = sizeof(Elf32_Ehdr),
                 .e_ehsize = sizeof(Elf32_Ehdr),
                 .e_phentsize = sizeof(Elf32_Phdr),
                 .e_phnum = 2 },
        .p32 = { { .p_type = PT_LOAD,
                   .p_offset = TEXT_AT,
                   .p_vaddr = BASE,
                   .p_paddr = BASE,
                   .p_filesz = TEXT_LEN,
                   .p_memsz = MEM_LEN },
                 { .p_type = PT_NOTE, .p_offset = NOTE_AT, .p_align = 4, .p_filesz = 20 } },
        .mb = { 0x1badb002, 2 },
        .mb_at = MB_AT,
        .note = { 4, 4, 18, 0x006e6558, BASE + 4 },
        .note_len = 20,
        .len = TEXT_AT + TEXT_LEN,
        .append = "one two",
    };

    set_checksum(&im);
    return im;
}

static Image image64(void)
{
    Image im = image32();

    im.wide = true;
    im.h64 = (Elf64_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
                           .e_type = ET_EXEC,
                           .e_machine = EM_X86_64,
                           .e_version = 1,
                           .e_entry = UINT64_C(0xffffffff81000000),
                           .e_phoff = sizeof(Elf64_Ehdr),
                           .e_phentsize = sizeof(Elf64_Phdr),
                           .e_phnum = 2 };
    im.p64[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
                              .p_offset = TEXT_AT,
                              .p_paddr = BASE,
                              .p_vaddr = UINT64_C(0xffffffff81000000),
                              .p_filesz = TEXT_LEN,
                              .p_memsz = MEM_LEN };
    im.p64[1] =
        (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTE_AT, .p_align = 4, .p_filesz = 20 };
    return im;
}

/* Not ELF: the addresses of the multiboot header say it all. */
static Image image_flat(void)
{
    Image im = image32();

    im.no_elf = true;
    im.mb[1] = 1u << 16;
    im.mb[3] = BASE + MB_AT;
    im.mb[4] = BASE;
    im.mb[5] = BASE + TEXT_AT + TEXT_LEN;
    im.mb[6] = BASE + 0x2000;
    im.mb[7] = BASE + TEXT_AT + 8;
    set_checksum(&im);
    return im;
}

static char *write_image(const Image *im)
{
    uint8_t file[0x4000] = { 0 };
    char *path;
    int fd = g_file_open_tmp("boot-XXXXXX", &path, NULL);

    if (im->no_elf) {
        memset(file, 0x5a, 16);
    } else if (im->wide) {
        memcpy(file, &im->h64, sizeof(im->h64));
        memcpy(file + sizeof(im->h64), im->p64, sizeof(im->p64));
    } else {
        memcpy(file, &im->h32, sizeof(im->h32));
        memcpy(file + sizeof(im->h32), im->p32, sizeof(im->p32));
    }
    memcpy(file + NOTE_AT, im->note, im->note_len);
    memset(file + TEXT_AT, 0xc3, TEXT_LEN);
    if (im->mb_at) {
        memcpy(file + im->mb_at, im->mb, sizeof(im->mb));
    }
    g_assert_cmpint(write(fd, file, im->len), ==, im->len);
    close(fd);
    return path;
}

static Loaded load_path(char *path, const char *append)
{
    Loaded l = { .path = path };
    g_autoptr(GError) err = NULL;

    l.ram = mmap(NULL, RAM + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(l.ram != MAP_FAILED);
    g_assert_cmpint(mprotect(l.ram, RAM, PROT_READ | PROT_WRITE), ==, 0);
    memset(l.ram, 0xee, RAM);
    if (!boot_load(path, append, l.ram, RAM, &l.entry, &err)) {
        g_assert_nonnull(err);
        g_assert_nonnull(strstr(err->message, path));
        g_assert_null(strchr(err->message, '\n'));
        l.error = g_strdup(err->message);
    }
    return l;
}

static Loaded load(const Image *im)
{
    return load_path(write_image(im), im->append);
}

static void loaded_free(Loaded *l)
{
    munmap(l->ram, RAM + 4096);
    g_unlink(l->path);
    g_free(l->path);
    g_free(l->error);
}

static void good(Loaded *l)
{
    g_assert_cmpstr(l->error, ==, NULL);
}

/* It must fail with these words. */
static void bad(const Image *im, const char *words)
{
    Loaded l = load(im);

    g_assert_nonnull(l.error);
    g_test_message("%s", l.error);
    g_assert_nonnull(strstr(l.error, words));
    loaded_free(&l);
}

static uint32_t word(const Loaded *l, uint32_t addr)
{
    uint32_t v;

    g_assert_cmpuint(addr, <=, RAM - 4);
    memcpy(&v, l->ram + addr, 4);
    return v;
}

static void check_text(const Loaded *l)
{
    g_assert_cmphex(l->ram[BASE - 1], ==, 0xee);
    g_assert_cmphex(l->ram[BASE], ==, 0xc3);
    g_assert_cmphex(l->ram[BASE + TEXT_LEN - 1], ==, 0xc3);
    g_assert_cmphex(l->ram[BASE + TEXT_LEN], ==, 0);
    g_assert_cmphex(l->ram[BASE + MEM_LEN - 1], ==, 0);
    g_assert_cmphex(l->ram[BASE + MEM_LEN], ==, 0xee);
}

/* ---- good ones ---- */

static void check_multiboot_info(const Loaded *l, const char *cmdline)
{
    uint32_t info = l->entry.ebx, map = word(l, info + 48);

    g_assert_cmphex(l->entry.eax, ==, 0x2badb002);
    g_assert_cmphex(word(l, info), ==, 0x245);
    g_assert_cmpuint(word(l, info + 4), ==, 639);
    g_assert_cmpuint(word(l, info + 8), ==, 1024);
    g_assert_cmpstr((char *)l->ram + word(l, info + 16), ==, cmdline);
    g_assert_cmpuint(word(l, info + 44), ==, 3 * 24);
    g_assert_cmpuint(word(l, map), ==, 20);
    g_assert_cmphex(word(l, map + 12), ==, 0x9fc00);
    g_assert_cmpuint(word(l, map + 20), ==, 1);
    g_assert_cmpuint(word(l, map + 44), ==, 2); /* up to 1 MiB */
    g_assert_cmphex(word(l, map + 52), ==, BASE);
    g_assert_cmphex(word(l, map + 60), ==, RAM - BASE);
    g_assert_cmpstr((char *)l->ram + word(l, info + 64), ==, "qemu-remote");
}

static void test_multiboot_elf(void)
{
    Image im = image32();
    Loaded l = load(&im);
    g_autofree char *cmdline = g_strdup_printf("%s one two", l.path);

    good(&l);
    g_assert_cmphex(l.entry.eip, ==, BASE + 8);
    check_text(&l);
    check_multiboot_info(&l, cmdline);
    loaded_free(&l);
}

/* Entered where the virtual address lies physically. */
static void test_multiboot_virtual(void)
{
    Image im = image32();

    im.h32.e_entry = 0xc0000010;
    im.p32[0].p_vaddr = 0xc0000000;
    im.append = "";
    Loaded l = load(&im);
    good(&l);
    g_assert_cmphex(l.entry.eip, ==, BASE + 0x10);
    check_multiboot_info(&l, l.path);
    loaded_free(&l);
}

static void test_multiboot_flat(void)
{
    Image im = image_flat();
    Loaded l = load(&im);

    good(&l);
    g_assert_cmphex(l.entry.eip, ==, BASE + TEXT_AT + 8);
    g_assert_cmphex(l.ram[BASE], ==, 0x5a);
    g_assert_cmphex(l.ram[BASE + TEXT_AT + TEXT_LEN - 1], ==, 0xc3);
    g_assert_cmphex(l.ram[BASE + TEXT_AT + TEXT_LEN], ==, 0);
    g_assert_cmphex(l.ram[BASE + 0x1fff], ==, 0);
    g_assert_cmphex(l.ram[BASE + 0x2000], ==, 0xee);
    loaded_free(&l);
}

/* No ends: to the end of the file, no bss. The header is the file's last word it can be. */
static void test_multiboot_flat_rest(void)
{
    Image im = image_flat();

    im.mb[5] = im.mb[6] = 0;
    im.len = 0x2400;
    im.mb_at = 8192 - 12;
    im.mb[3] = BASE + im.mb_at;
    Loaded l = load(&im);
    good(&l);
    g_assert_cmphex(l.ram[BASE + 0x23ff], ==, 0);
    g_assert_cmphex(l.ram[BASE + 0x2400], ==, 0xee);
    loaded_free(&l);
    im.mb_at += 4;
    bad(&im, "neither");
}

static void check_start_info(const Loaded *l)
{
    uint32_t info = l->entry.ebx, map = word(l, info + 40);

    g_assert_cmphex(word(l, info), ==, 0x336ec578);
    g_assert_cmpuint(word(l, info + 4), ==, 1);
    g_assert_cmpuint(word(l, info + 12), ==, 0);
    g_assert_cmpstr((char *)l->ram + word(l, info + 24), ==, "one two");
    g_assert_cmpuint(word(l, info + 48), ==, 3);
    g_assert_cmphex(word(l, map + 8), ==, 0x9fc00);
    g_assert_cmpuint(word(l, map + 16), ==, 1);
    g_assert_cmpuint(word(l, map + 40), ==, 2);
    g_assert_cmphex(word(l, map + 48), ==, BASE);
    g_assert_cmphex(word(l, map + 56), ==, RAM - BASE);
}

static void test_pvh(void)
{
    for (int wide = 0; wide < 2; wide++) {
        Image im = wide ? image64() : image32();
        im.mb_at = wide ? MB_AT : 0; /* not for 64-bit images */
        Loaded l = load(&im);
        good(&l);
        g_assert_cmphex(l.entry.eip, ==, BASE + 4);
        g_assert_cmphex(l.entry.eax, ==, 0);
        check_text(&l);
        check_start_info(&l);
        loaded_free(&l);
    }
}

/* An 8-byte value, and 8-byte alignment; other notes before it. */
static void test_pvh_notes(void)
{
    Image im = image64();

    memcpy(im.note, (uint32_t[]){ 4, 8, 18, 0x006e6558, BASE + 12, 0 }, 24);
    im.p64[1].p_align = 8;
    im.note_len = im.p64[1].p_filesz = 24;
    Loaded l = load(&im);
    good(&l);
    g_assert_cmphex(l.entry.eip, ==, BASE + 12);
    loaded_free(&l);

    im = image64();
    memcpy(im.note, (uint32_t[]){ 0, 0, 1, 3, 1, 18, 0x006e6558 },
           28); /* an empty one, a cut one */
    im.note_len = im.p64[1].p_filesz = 28;
    bad(&im, "neither");
}

/* Where the image itself lies in low memory, the information goes behind it. */
static void test_placement(void)
{
    Image im = image32();

    im.p32[0].p_paddr = im.p32[0].p_vaddr = 0x9f000;
    im.p32[0].p_memsz = 0x1000;
    im.h32.e_entry = 0x9f000;
    Loaded l = load(&im);
    good(&l);
    g_assert_cmphex(l.entry.ebx, ==, BASE);
    loaded_free(&l);
    im.p32[0].p_memsz = RAM - 0x9f000; /* all that there is */
    bad(&im, "no memory left for the start information");
}

static void test_long_command_line(void)
{
    g_autofree char *append = g_strnfill(RAM, 'x');
    Image im = image32();

    im.append = append;
    bad(&im, "no memory left for the start information");
    append[1000000] = 0; /* more than low memory has */
    Loaded l = load(&im);
    good(&l);
    g_assert_cmphex(l.entry.ebx, >, BASE);
    loaded_free(&l);
}

/* ---- bad ones ---- */

static void test_not_a_file(void)
{
    g_autofree char *dir = g_dir_make_tmp("boot-XXXXXX", NULL);
    g_autofree char *fifo = g_build_filename(dir, "fifo", NULL);
    static const struct {
        bool fifo;
        const char *words;
    } cases[] = { { false, "not a regular file" }, { true, "not a regular file" } };

    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Loaded l = load_path(g_strdup(cases[i].fifo ? fifo : dir), NULL);
        g_assert_nonnull(strstr(l.error, cases[i].words));
        munmap(l.ram, RAM + 4096);
        g_free(l.path);
        g_free(l.error);
    }
    g_unlink(fifo);
    g_rmdir(dir);
}

static void test_other_files(void)
{
    Image im = image32();

    im.mb_at = 0;
    im.note_len = 0;
    bad(&im, "neither");
    im.no_elf = true;
    bad(&im, "neither");
    im.len = 0;
    bad(&im, "neither");
    im.len = 3;
    bad(&im, "neither");
}

static void test_elf_header(void)
{
    static const struct {
        size_t off;
        uint16_t value;
        const char *words;
    } cases[] = {
        { EI_CLASS, ELFCLASSNONE | ELFDATA2LSB << 8, "not for x86" },
        { EI_CLASS, ELFCLASS32 | ELFDATA2MSB << 8, "not for x86" },
        { offsetof(Elf32_Ehdr, e_machine), EM_ARM, "not for x86" },
        { offsetof(Elf32_Ehdr, e_type), ET_REL, "no executable" },
        { offsetof(Elf32_Ehdr, e_phnum), 0, "program headers" },
        { offsetof(Elf32_Ehdr, e_phnum), 65, "program headers" },
        { offsetof(Elf32_Ehdr, e_phnum), 0xffff, "program headers" },
        { offsetof(Elf32_Ehdr, e_phentsize), sizeof(Elf64_Phdr), "program headers" },
        { offsetof(Elf32_Ehdr, e_phoff) + 2, 0xffff, "beyond the end" },
        { offsetof(Elf32_Ehdr, e_phoff), TEXT_AT + TEXT_LEN - 33, "beyond the end" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (int multiboot = 0; multiboot < 2; multiboot++) {
            Image im = image32();
            im.mb_at = multiboot ? MB_AT : 0;
            memcpy((uint8_t *)&im.h32 + cases[i].off, &cases[i].value, 2);
            bad(&im, cases[i].words);
        }
    }
}

static void test_elf_cut(void)
{
    for (unsigned len = 16; len < TEXT_AT + TEXT_LEN; len += 13) {
        Image im = image32();
        im.len = len;
        im.mb_at = 0;
        Loaded l = load(&im);
        g_assert_nonnull(l.error);
        loaded_free(&l);
    }
}

static void bad_segment(uint64_t off, uint64_t paddr, uint64_t file_size, uint64_t mem_size,
                        const char *words)
{
    Image im = image64();

    im.p64[0].p_offset = off;
    im.p64[0].p_paddr = paddr;
    im.p64[0].p_filesz = file_size;
    im.p64[0].p_memsz = mem_size;
    bad(&im, words);
}

static void test_segments(void)
{
    const char *fit = "does not fit in the memory", *beyond = "beyond the end of the file";

    bad_segment(TEXT_AT, BASE, TEXT_LEN, TEXT_LEN - 1, "larger in the file");
    bad_segment(TEXT_AT, BASE, TEXT_LEN, RAM - BASE + 1, fit);
    bad_segment(TEXT_AT, RAM, 1, 1, fit);
    bad_segment(TEXT_AT, RAM + 1, 1, 1, fit);
    bad_segment(TEXT_AT, UINT64_MAX, 1, 1, fit);
    bad_segment(TEXT_AT, UINT64_MAX - 1, TEXT_LEN, UINT64_MAX, fit);
    bad_segment(TEXT_AT, BASE, UINT64_MAX, UINT64_MAX, fit);
    bad_segment(TEXT_AT, BASE, TEXT_LEN + 1, TEXT_LEN + 1, beyond);
    bad_segment(UINT64_MAX, BASE, 1, 1, beyond);
    bad_segment(UINT64_MAX - 7, BASE, 16, 16, beyond);
    bad_segment(TEXT_AT, BASE, 0, 0, "without a segment");
    bad_segment(TEXT_AT, BASE + 0x1000, TEXT_LEN, MEM_LEN, "entry point");
}

/* The whole memory is just not too much. */
static void test_segment_to_the_end(void)
{
    Image im = image64();

    im.p64[0].p_memsz = RAM - BASE;
    Loaded l = load(&im);
    good(&l);
    g_assert_cmphex(l.ram[RAM - 1], ==, 0);
    loaded_free(&l);
}

static void test_overlap(void)
{
    Image im = image64();

    im.h64.e_phnum = 3;
    im.p64[2] = im.p64[0];
    bad(&im, "overlap");
    im.p64[2].p_paddr = BASE + MEM_LEN - 1;
    bad(&im, "overlap");
    im.p64[2].p_paddr = BASE - MEM_LEN + 1;
    bad(&im, "overlap");
    im.p64[2].p_paddr = BASE + MEM_LEN;
    Loaded l = load(&im);
    good(&l);
    loaded_free(&l);
}

static void test_pvh_entry(void)
{
    Image im = image64();

    im.note[4] = BASE + MEM_LEN;
    bad(&im, "entry point");
    im.note[1] = 8;
    im.note[4] = BASE;
    im.note[5] = 1;
    im.note_len = im.p64[1].p_filesz = 24;
    bad(&im, "above 4 GiB");
}

static void test_pvh_note_bounds(void)
{
    Image im = image64();

    im.p64[1].p_offset = UINT64_MAX;
    bad(&im, "beyond the end of the file");
    im = image64();
    im.p64[1].p_filesz = UINT64_MAX; /* no note of ours is that long */
    bad(&im, "neither");
    for (unsigned len = 0; len < 20; len++) {
        im = image64();
        im.p64[1].p_filesz = len;
        bad(&im, "neither");
    }
    for (unsigned field = 0; field < 2; field++) {
        im = image64();
        im.note[field] = UINT32_MAX;
        bad(&im, "neither");
    }
}

static void test_multiboot_flags(void)
{
    for (unsigned bit = 0; bit < 16; bit++) {
        Image im = image32();
        im.mb[1] = 1u << bit;
        set_checksum(&im);
        if (bit >= 2) {
            bad(&im, "what there is not");
        } else {
            Loaded l = load(&im);
            good(&l);
            loaded_free(&l);
        }
    }
}

static void test_multiboot_checksum(void)
{
    Image im = image32();

    im.mb[2]++;
    im.note_len = 0;
    bad(&im, "neither");
    im.no_elf = true;
    set_checksum(&im);
    bad(&im, "what is no ELF file");
}

static void test_multiboot_addresses(void)
{
    static const struct {
        unsigned field;
        uint32_t value;
        const char *words;
    } cases[] = {
        { 3, BASE - 1, "senseless" },         /* header before the image */
        { 3, BASE + MB_AT + 1, "senseless" }, /* image before the file */
        { 3, UINT32_MAX, "senseless" },
        { 4, BASE + MB_AT + 4, "senseless" },
        { 5, BASE - 1, "senseless" },
        { 5, UINT32_MAX, "bss that ends before" },
        { 6, BASE + TEXT_AT, "bss that ends before" },
        { 6, BASE - 1, "bss that ends before" },
        { 6, UINT32_MAX, "does not fit" },
        { 7, BASE - 1, "entry point" },
        { 7, UINT32_MAX, "entry point" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Image im = image_flat();
        im.mb[cases[i].field] = cases[i].value;
        bad(&im, cases[i].words);
    }
    Image im = image_flat();
    im.mb[5] = im.mb[6] = BASE + 0x10000;
    bad(&im, "beyond the end of the file");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/boot/multiboot/elf", test_multiboot_elf);
    g_test_add_func("/boot/multiboot/virtual", test_multiboot_virtual);
    g_test_add_func("/boot/multiboot/flat", test_multiboot_flat);
    g_test_add_func("/boot/multiboot/flat-rest", test_multiboot_flat_rest);
    g_test_add_func("/boot/pvh/both-classes", test_pvh);
    g_test_add_func("/boot/pvh/notes", test_pvh_notes);
    g_test_add_func("/boot/placement", test_placement);
    g_test_add_func("/boot/long-command-line", test_long_command_line);
    g_test_add_func("/boot/bad/not-a-file", test_not_a_file);
    g_test_add_func("/boot/bad/other-files", test_other_files);
    g_test_add_func("/boot/bad/elf-header", test_elf_header);
    g_test_add_func("/boot/bad/elf-cut", test_elf_cut);
    g_test_add_func("/boot/bad/segments", test_segments);
    g_test_add_func("/boot/segment-to-the-end", test_segment_to_the_end);
    g_test_add_func("/boot/bad/overlap", test_overlap);
    g_test_add_func("/boot/bad/pvh-entry", test_pvh_entry);
    g_test_add_func("/boot/bad/pvh-note-bounds", test_pvh_note_bounds);
    g_test_add_func("/boot/bad/multiboot-flags", test_multiboot_flags);
    g_test_add_func("/boot/bad/multiboot-checksum", test_multiboot_checksum);
    g_test_add_func("/boot/bad/multiboot-addresses", test_multiboot_addresses);
    return g_test_run();
}
