/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -kernel: opens the file, asks each kind of image whether it is its own (multiboot 1 first, as
 * the distribution's QEMU does), and keeps book of where in RAM something has been loaded.
 *
 * The file is an operator's choice, but nobody's word is taken for its contents: all offsets,
 * lengths and addresses go through boot_read() and boot_piece(), which are the only two that touch
 * the file and the RAM, in 64 bits and without additions that could wrap. The start information is
 * placed where the image is not: at the end of conventional memory, else behind the image.
 *
 * Main thread, before the vCPU runs.
 */
#include "accel/kvm/boot.h"

#include "accel/kvm/boot-internal.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u

static bool pread_all(BootImage *image, uint64_t off, uint8_t *to, uint64_t len, GError **errp)
{
    while (len > 0) {
        ssize_t n = pread(image->fd, to, MIN(len, 1u << 30), off);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return error_set(errp, "-kernel %s: %s", image->path,
                             n < 0 ? g_strerror(errno) : "the file has become shorter");
        }
        to += n;
        off += n;
        len -= n;
    }
    return true;
}

bool boot_read(BootImage *image, uint64_t off, void *buf, uint64_t len, const char *what,
               GError **errp)
{
    if (off > image->size || len > image->size - off) {
        return error_set(errp, "-kernel %s: %s lies beyond the end of the file", image->path, what);
    }
    return pread_all(image, off, buf, len, errp);
}

static bool hits(const BootPiece *piece, uint64_t addr, uint64_t size)
{
    return addr < piece->addr + piece->size && piece->addr < addr + size;
}

static const BootPiece *find_hit(const BootImage *image, uint64_t addr, uint64_t size)
{
    for (unsigned i = 0; i < image->n_pieces; i++) {
        if (hits(&image->pieces[i], addr, size)) {
            return &image->pieces[i];
        }
    }
    return NULL;
}

bool boot_piece(BootImage *image, uint64_t off, uint64_t file_size, uint64_t addr,
                uint64_t mem_size, uint64_t vaddr, GError **errp)
{
    const BootPiece *other;

    if (mem_size == 0 && file_size == 0) {
        return true;
    }
    if (file_size > mem_size) {
        return error_set(errp, "-kernel %s: a segment is larger in the file than in memory",
                         image->path);
    }
    if (addr > image->ram_size || mem_size > image->ram_size - addr) {
        return error_set(errp,
                         "-kernel %s: a segment of %" PRIu64 " bytes at 0x%" PRIx64
                         " does not fit in the memory of %" PRIu64 " bytes",
                         image->path, mem_size, addr, image->ram_size);
    }
    other = find_hit(image, addr, mem_size);
    if (other) {
        return error_set(errp,
                         "-kernel %s: the segments at 0x%" PRIx64 " and 0x%" PRIx64 " overlap",
                         image->path, other->addr, addr);
    }
    if (image->n_pieces == BOOT_MAX_PIECES) {
        return error_set(errp, "-kernel %s: more than %d segments", image->path, BOOT_MAX_PIECES);
    }
    if (!boot_read(image, off, image->ram + addr, file_size, "a segment", errp)) {
        return false;
    }
    memset(image->ram + addr + file_size, 0, mem_size - file_size);
    image->pieces[image->n_pieces++] = (BootPiece){ addr, mem_size, vaddr };
    return true;
}

bool boot_loaded(const BootImage *image, uint64_t addr)
{
    return find_hit(image, addr, 1) != NULL;
}

bool boot_place(BootImage *image, uint64_t len, uint32_t *addr, GError **errp)
{
    uint64_t low_end = MIN(image->ram_size, BOOT_LOW_END), at = 0;

    /* Page 0 stays free: null pointers, the vectors of real mode. */
    if (low_end >= PAGE && len <= low_end - PAGE) {
        at = (low_end - len) & ~UINT64_C(15);
    }
    if (at < PAGE || find_hit(image, at, len)) {
        at = BOOT_HIGH_START;
        for (unsigned i = 0; i < image->n_pieces; i++) {
            at = MAX(at, image->pieces[i].addr + image->pieces[i].size);
        }
        at = (at + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    }
    if (at > image->ram_size || len > image->ram_size - at) {
        return error_set(errp, "-kernel %s: no memory left for the start information", image->path);
    }
    memset(image->ram + at, 0, len);
    *addr = at;
    return true;
}

unsigned boot_ranges(const BootImage *image, BootRange *ranges)
{
    unsigned n = 0;

    ranges[n++] = (BootRange){ 0, MIN(image->ram_size, BOOT_LOW_END), true };
    if (image->ram_size > BOOT_HIGH_START) {
        ranges[n++] = (BootRange){ BOOT_LOW_END, BOOT_HIGH_START - BOOT_LOW_END, false };
        ranges[n++] = (BootRange){ BOOT_HIGH_START, image->ram_size - BOOT_HIGH_START, true };
    }
    return n;
}

/* O_NONBLOCK: a FIFO is refused, not waited for. */
static bool open_image(BootImage *image, GError **errp)
{
    struct stat st;

    image->fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (image->fd < 0 || fstat(image->fd, &st) < 0) {
        return error_set(errp, "-kernel %s: %s", image->path, g_strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(errp, "-kernel %s: not a regular file", image->path);
    }
    image->size = st.st_size;
    return true;
}

static bool load(BootImage *image, BootEntry *entry, GError **errp)
{
    bool ours = false;

    if (!boot_multiboot(image, &ours, entry, errp)) {
        return false;
    }
    if (!ours && !boot_pvh(image, &ours, entry, errp)) {
        return false;
    }
    if (!ours) {
        return error_set(errp,
                         "-kernel %s: neither a multiboot image nor an ELF one with a PVH "
                         "entry",
                         image->path);
    }
    if (!boot_loaded(image, entry->eip)) {
        return error_set(errp, "-kernel %s: nothing is loaded at the entry point 0x%x", image->path,
                         entry->eip);
    }
    return true;
}

bool boot_load(const char *path, const char *append, uint8_t *ram, uint64_t ram_size,
               BootEntry *entry, GError **errp)
{
    BootImage image = {
        .path = path, .append = append ? append : "", .fd = -1, .ram = ram, .ram_size = ram_size
    };
    bool ok = open_image(&image, errp) && load(&image, entry, errp);

    fd_clear(&image.fd);
    return ok;
}
