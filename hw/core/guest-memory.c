/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: from guest physical addresses to mappings of the VMM's RAM files.
 *
 * Each region is one mmap() and stands in two places. The table is an array of pointers sorted by
 * address, without overlaps: a lookup tries the region that was hit last and else bisects. The
 * list `mapped` holds every region that has a mapping, those included that have left the table
 * and are only pinned yet; it is what the SIGBUS handler walks.
 *
 * Life of a region: mapped -> in the table -> retired (out of the table, at a replace, unmap or
 * clear) -> destroyed, at once without a pin, else by the last unpin. Replacing reuses a region
 * as it is if the new entry names the same bytes of the same file at the same place: a guest's
 * boot repeats the same map some fifty times, and I/O in flight goes on undisturbed.
 *
 * Dead regions: the handler of guest-memory-sigbus.c found that the file no longer backs them.
 * From then on they are holes (-EFAULT) until the map is replaced; they are never reused. The
 * flag can change under any access to guest memory, so copies look at it again afterwards.
 *
 * Everything here is called on the machine's thread.
 */
#include "hw/core/guest-memory.h"
#include "guest-memory-int.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/trace.h"
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct GuestRegion {
    uint64_t gpa, size, offset;
    dev_t dev;
    ino_t ino;
    bool readonly;
    bool in_table;
    bool reported;    /* its death was logged */
    atomic_bool dead; /* set by the signal handler */
    unsigned pins;
    uint8_t *host;
    /* what was mapped around it: whole pages of the file, which are bigger on hugetlbfs */
    uint8_t *map;
    size_t map_len;
    GuestMemory *mem;
    _Atomic(GuestRegion *) next; /* in mem->mapped */
    void (*done)(void *);
    void *opaque;
};

struct GuestMemory {
    const char *name;
    GuestRegion **table; /* by gpa */
    unsigned n;
    GuestRegion *last; /* hit by the last lookup; in the table */
    _Atomic(GuestRegion *) mapped;
    LogLimit limit;
};

/* A checked entry of a new map. */
typedef struct Entry {
    const GuestMap *map;
    struct stat st;
    GuestRegion *region; /* reused or new */
    bool reused;
} Entry;

GuestMemory *guest_memory_new(const char *name)
{
    GuestMemory *mem = g_new0(GuestMemory, 1);

    mem->name = name;
    return mem;
}

void guest_memory_free(GuestMemory *mem)
{
    if (!mem) {
        return;
    }
    guest_memory_clear(mem);
    g_assert(!mem->mapped);
    guest_memory_thread_forget(mem);
    g_free(mem);
}

/* --- mappings --- */

const SandboxCalls guest_memory_sandbox = {
    .module = "guest memory",
    .calls = (const SandboxCall[]){ { .name = "fstatfs" },
                                    { .name = "mmap", .args = { SANDBOX_CLEAR(2, PROT_EXEC) } },
                                    { .name = "munmap" },
                                    { .name = "rt_sigaction" }, /* SIGBUS of other addresses */
                                    { .name = NULL } },
};

/* Size of the pages that fd can be mapped in. */
static size_t file_page_size(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC && fs.f_bsize > 0) {
        return fs.f_bsize;
    }
    return sysconf(_SC_PAGESIZE);
}

/* Neither pages of the guest in a core dump of this process nor swap reserved for what the VMM
 * has accounted for already. */
static GuestRegion *region_new(GuestMemory *mem, const Entry *entry, GError **errp)
{
    const GuestMap *map = entry->map;
    size_t page = file_page_size(map->fd);
    uint64_t head = map->offset % page;
    uint64_t len = (head + map->size + page - 1) / page * page;
    int prot = map->readonly ? PROT_READ : PROT_READ | PROT_WRITE;
    GuestRegion *region;
    void *host;

    host = mmap(NULL, len, prot, MAP_SHARED | MAP_NORESERVE, map->fd, map->offset - head);
    if (host == MAP_FAILED) {
        error_set(errp, "memory at 0x%" PRIx64 ": cannot be mapped: %s", map->gpa,
                  g_strerror(errno));
        return NULL;
    }
    madvise(host, len, MADV_DONTDUMP);

    region = g_new(GuestRegion, 1);
    *region = (GuestRegion){
        .gpa = map->gpa,
        .size = map->size,
        .offset = map->offset,
        .dev = entry->st.st_dev,
        .ino = entry->st.st_ino,
        .readonly = map->readonly,
        .host = (uint8_t *)host + head,
        .map = host,
        .map_len = len,
        .mem = mem,
        .next = mem->mapped,
    };
    mem->mapped = region;
    trace(MEM, "%s: map 0x%" PRIx64 " size 0x%" PRIx64 " offset 0x%" PRIx64 "%s", mem->name,
          map->gpa, map->size, map->offset, map->readonly ? " ro" : "");
    return region;
}

static void region_destroy(GuestRegion *region)
{
    _Atomic(GuestRegion *) *at = &region->mem->mapped;
    void (*done)(void *) = region->done;
    void *opaque = region->opaque;

    while (*at != region) {
        GuestRegion *here = *at;

        at = &here->next;
    }
    *at = region->next;
    trace(MEM, "%s: unmap 0x%" PRIx64 " size 0x%" PRIx64, region->mem->name, region->gpa,
          region->size);
    munmap(region->map, region->map_len);
    g_free(region);
    if (done) {
        done(opaque);
    }
}

/* It has left the table. */
static void region_retire(GuestRegion *region)
{
    if (region->mem->last == region) {
        region->mem->last = NULL;
    }
    region->in_table = false;
    if (region->pins == 0) {
        region_destroy(region);
    }
}

void guest_region_pin(GuestRegion *region)
{
    region->pins++;
}

void guest_region_unpin(GuestRegion *region)
{
    g_assert(region->pins > 0);
    if (--region->pins == 0 && !region->in_table) {
        region_destroy(region);
    }
}

bool guest_memory_torn(GuestMemory *mem, const void *addr)
{
    for (GuestRegion *region = mem->mapped; region; region = region->next) {
        if ((uintptr_t)addr - (uintptr_t)region->map < region->map_len) {
            region->dead = true;
            return mmap(region->map, region->map_len, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                        0) != MAP_FAILED;
        }
    }
    return false;
}

/* --- changes of the table --- */

static bool entry_check(Entry *entry, GError **errp)
{
    const GuestMap *map = entry->map;
    uint64_t page = sysconf(_SC_PAGESIZE);

    if (map->size == 0) {
        return error_set(errp, "memory at 0x%" PRIx64 ": is empty", map->gpa);
    }
    if ((map->gpa | map->size | map->offset) % page) {
        return error_set(errp,
                         "memory at 0x%" PRIx64 ": size 0x%" PRIx64 ", offset 0x%" PRIx64
                         ": not in whole pages",
                         map->gpa, map->size, map->offset);
    }
    if (map->size - 1 > UINT64_MAX - map->gpa) {
        return error_set(errp, "memory at 0x%" PRIx64 ": size 0x%" PRIx64 " wraps", map->gpa,
                         map->size);
    }
    if (fd_stat(map->fd, &entry->st) != 0) {
        return error_set(errp, "memory at 0x%" PRIx64 ": no descriptor: %s", map->gpa,
                         g_strerror(errno));
    }
    if (!S_ISREG(entry->st.st_mode)) {
        return error_set(errp, "memory at 0x%" PRIx64 ": its descriptor is not a file", map->gpa);
    }
    if (map->offset > INT64_MAX || map->size > INT64_MAX - map->offset ||
        map->offset + map->size > (uint64_t)entry->st.st_size) {
        return error_set(errp,
                         "memory at 0x%" PRIx64 ": offset 0x%" PRIx64 " and size 0x%" PRIx64
                         " reach beyond the file's end (0x%" PRIx64 ")",
                         map->gpa, map->offset, map->size, (uint64_t)entry->st.st_size);
    }
    return true;
}

static int entry_order(const void *a, const void *b)
{
    const Entry *x = a, *y = b;

    return x->map->gpa < y->map->gpa ? -1 : x->map->gpa > y->map->gpa;
}

/* Last byte, so that a region may end at the top of the address space. */
static uint64_t last_byte(uint64_t gpa, uint64_t size)
{
    return gpa + (size - 1);
}

/* Checks each entry and sorts them. */
static bool entries_check(Entry *entries, unsigned n, GError **errp)
{
    for (unsigned i = 0; i < n; i++) {
        if (!entry_check(&entries[i], errp)) {
            return false;
        }
    }
    if (n > 1) {
        qsort(entries, n, sizeof(*entries), entry_order);
    }
    for (unsigned i = 1; i < n; i++) {
        const GuestMap *below = entries[i - 1].map;

        if (entries[i].map->gpa <= last_byte(below->gpa, below->size)) {
            return error_set(errp, "memory at 0x%" PRIx64 ": overlaps that at 0x%" PRIx64,
                             entries[i].map->gpa, below->gpa);
        }
    }
    return true;
}

static bool entry_matches(const Entry *entry, const GuestRegion *region)
{
    const GuestMap *map = entry->map;

    return !region->dead && region->gpa == map->gpa && region->size == map->size &&
           region->offset == map->offset && region->readonly == map->readonly &&
           region->dev == entry->st.st_dev && region->ino == entry->st.st_ino;
}

/* Index of the first region that ends at or behind gpa. */
static unsigned table_find(const GuestMemory *mem, uint64_t gpa)
{
    unsigned lo = 0, hi = mem->n;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (last_byte(mem->table[mid]->gpa, mem->table[mid]->size) < gpa) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Gives each entry its region: one of the present table or a new mapping. On an error the new
 * ones are gone again. */
static bool entries_map(GuestMemory *mem, Entry *entries, unsigned n, GError **errp)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned at = table_find(mem, entries[i].map->gpa);

        entries[i].reused = at < mem->n && entry_matches(&entries[i], mem->table[at]);
        entries[i].region = entries[i].reused ? mem->table[at] : region_new(mem, &entries[i], errp);
        if (entries[i].region) {
            continue;
        }
        while (i-- > 0) {
            if (!entries[i].reused) {
                region_destroy(entries[i].region);
            }
        }
        return false;
    }
    return true;
}

/* Makes the entries the table, and retires what was in it and isn't any more. */
static void table_set(GuestMemory *mem, const Entry *entries, unsigned n)
{
    g_autofree GuestRegion **old = mem->table;
    unsigned n_old = mem->n;

    for (unsigned i = 0; i < n_old; i++) {
        old[i]->in_table = false;
    }
    mem->table = g_new(GuestRegion *, n);
    mem->n = n;
    for (unsigned i = 0; i < n; i++) {
        mem->table[i] = entries[i].region;
        mem->table[i]->in_table = true;
    }
    for (unsigned i = 0; i < n_old; i++) {
        if (!old[i]->in_table) {
            region_retire(old[i]);
        }
    }
}

bool guest_memory_replace(GuestMemory *mem, const GuestMap *maps, unsigned n, GError **errp)
{
    g_autofree Entry *entries = g_new0(Entry, n);

    for (unsigned i = 0; i < n; i++) {
        entries[i].map = &maps[i];
    }
    if (!entries_check(entries, n, errp) || !entries_map(mem, entries, n, errp)) {
        guest_memory_clear(mem);
        return false;
    }
    table_set(mem, entries, n);
    return true;
}

bool guest_memory_map(GuestMemory *mem, const GuestMap *map, GError **errp)
{
    Entry entry = { .map = map };
    unsigned at;

    if (!entry_check(&entry, errp)) {
        return false;
    }
    at = table_find(mem, map->gpa);
    if (at < mem->n && mem->table[at]->gpa <= last_byte(map->gpa, map->size)) {
        return error_set(errp, "memory at 0x%" PRIx64 ": overlaps that at 0x%" PRIx64, map->gpa,
                         mem->table[at]->gpa);
    }
    entry.region = region_new(mem, &entry, errp);
    if (!entry.region) {
        return false;
    }
    mem->table = g_renew(GuestRegion *, mem->table, mem->n + 1);
    memmove(&mem->table[at + 1], &mem->table[at], (mem->n - at) * sizeof(*mem->table));
    mem->table[at] = entry.region;
    mem->n++;
    entry.region->in_table = true;
    return true;
}

int guest_memory_unmap(GuestMemory *mem, uint64_t gpa, uint64_t size, void (*done)(void *),
                       void *opaque)
{
    unsigned at = table_find(mem, gpa);
    GuestRegion *region;

    if (at == mem->n || mem->table[at]->gpa != gpa || mem->table[at]->size != size) {
        return -ENOENT;
    }
    region = mem->table[at];
    mem->n--;
    memmove(&mem->table[at], &mem->table[at + 1], (mem->n - at) * sizeof(*mem->table));
    region->done = done;
    region->opaque = opaque;
    region_retire(region);
    return 0;
}

void guest_memory_clear(GuestMemory *mem)
{
    g_autofree GuestRegion **old = g_steal_pointer(&mem->table);
    unsigned n = mem->n;

    mem->n = 0;
    for (unsigned i = 0; i < n; i++) {
        region_retire(old[i]);
    }
}

/* --- accesses --- */

/* The region is a hole now; said once. */
static void region_report(GuestRegion *region)
{
    if (!region->reported) {
        region->reported = true;
        log_limited(&region->mem->limit, region->mem->name,
                    "memory at 0x%" PRIx64 ": its file was truncated; no access to it any more",
                    region->gpa);
    }
}

static GuestRegion *find(GuestMemory *mem, uint64_t gpa)
{
    GuestRegion *region = mem->last;
    unsigned at;

    if (G_LIKELY(region && gpa - region->gpa < region->size)) {
        return region;
    }
    at = table_find(mem, gpa);
    if (at == mem->n || gpa < mem->table[at]->gpa) {
        return NULL;
    }
    mem->last = mem->table[at];
    return mem->last;
}

void *guest_memory_ptr(GuestMemory *mem, uint64_t gpa, size_t *len, bool write,
                       GuestRegion **region)
{
    GuestRegion *found = find(mem, gpa);
    uint64_t off;

    if (G_UNLIKELY(!found || (write && found->readonly))) {
        return NULL;
    }
    if (G_UNLIKELY(found->dead)) {
        region_report(found);
        return NULL;
    }
    off = gpa - found->gpa;
    if (*len > found->size - off) {
        *len = found->size - off;
    }
    if (region) {
        *region = found;
    }
    return found->host + off;
}

/* One of from and to is NULL: the guest's side. */
static int copy(GuestMemory *mem, uint64_t gpa, void *to, const void *from, size_t len)
{
    while (len > 0) {
        size_t n = len;
        GuestRegion *region;
        void *host = guest_memory_ptr(mem, gpa, &n, from != NULL, &region);

        if (!host) {
            return -EFAULT;
        }
        if (from) {
            memcpy(host, from, n);
            from = (const uint8_t *)from + n;
        } else {
            memcpy(to, host, n);
            to = (uint8_t *)to + n;
        }
        atomic_signal_fence(memory_order_seq_cst); /* the copy, and only then the flag */
        if (G_UNLIKELY(region->dead)) {
            region_report(region);
            return -EFAULT;
        }
        gpa += n;
        len -= n;
        if (len > 0 && gpa == 0) { /* DMA does not wrap */
            return -EFAULT;
        }
    }
    return 0;
}

int guest_memory_read(GuestMemory *mem, uint64_t gpa, void *buf, size_t len)
{
    return copy(mem, gpa, buf, NULL, len);
}

int guest_memory_write(GuestMemory *mem, uint64_t gpa, const void *buf, size_t len)
{
    return copy(mem, gpa, NULL, buf, len);
}

/* --- looking at it --- */

unsigned guest_memory_count(const GuestMemory *mem)
{
    return mem->n;
}

bool guest_memory_region(const GuestMemory *mem, unsigned i, GuestMap *out)
{
    if (i >= mem->n) {
        return false;
    }
    *out = (GuestMap){
        .gpa = mem->table[i]->gpa,
        .size = mem->table[i]->size,
        .offset = mem->table[i]->offset,
        .fd = -1,
        .readonly = mem->table[i]->readonly,
    };
    return true;
}
