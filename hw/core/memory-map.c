/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An address space: the sections as they were added, and the flat view that follows from them.
 *
 * The flat view is made anew at each commit. The ends of all sections cut the space into
 * stretches; in each the section of the highest priority is seen (of equal ones the newest), and
 * then neighbours that continue one another are put together again. With a board's handful of
 * sections that is a few hundred comparisons, at the few moments a guest changes its map.
 *
 * A section may end at the very top of the space, where the address behind it can't be said; so
 * everything here is reckoned with last addresses.
 *
 * Accesses see the view of the last commit, also between begin and commit. A piece of an MMIO
 * section has to know how far into its section it begins, which MemorySection has no field for;
 * the views' second array has that.
 *
 * On the board's thread, called by the board for a CPU's accesses; listeners are the proxy object
 * (hw/proxy/memory-sync.c) and accelerators.
 */
#include "hw/core/memory-map.h"
#include <stdlib.h>
#include <string.h>

struct MemoryMap {
    GArray *sections; /* MemorySection, in order of addition */
    GArray *flat;     /* MemorySection, sorted by address */
    GArray *skip;     /* uint64_t, for each in flat: bytes of its section before it */
    MemoryListener *listeners;
    unsigned depth; /* of begin */
    bool dirty;     /* changed since begin */
};

static uint64_t last_of(const MemorySection *s)
{
    return s->addr + (s->size - 1);
}

static const MemorySection *flat_at(const MemoryMap *map, unsigned i)
{
    return &g_array_index(map->flat, MemorySection, i);
}

MemoryMap *memory_map_new(void)
{
    MemoryMap *map = g_new0(MemoryMap, 1);

    map->sections = g_array_new(FALSE, FALSE, sizeof(MemorySection));
    map->flat = g_array_new(FALSE, FALSE, sizeof(MemorySection));
    map->skip = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    return map;
}

void memory_map_free(MemoryMap *map)
{
    if (!map) {
        return;
    }
    g_assert(!map->listeners);
    g_array_free(map->sections, TRUE);
    g_array_free(map->flat, TRUE);
    g_array_free(map->skip, TRUE);
    g_free(map);
}

/* --- the flat view --- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Where what is seen may change: the first address of each section and the one behind each. */
static GArray *cuts_of(const MemoryMap *map)
{
    GArray *cuts = g_array_new(FALSE, FALSE, sizeof(uint64_t));

    for (unsigned i = 0; i < map->sections->len; i++) {
        const MemorySection *s = &g_array_index(map->sections, MemorySection, i);
        uint64_t behind = last_of(s) + 1;

        g_array_append_val(cuts, s->addr);
        if (behind != 0) {
            g_array_append_val(cuts, behind);
        }
    }
    if (cuts->len > 0) { /* else data is NULL */
        qsort(cuts->data, cuts->len, sizeof(uint64_t), compare_u64);
    }
    return cuts;
}

static const MemorySection *seen_at(const MemoryMap *map, uint64_t addr)
{
    const MemorySection *best = NULL;

    for (unsigned i = 0; i < map->sections->len; i++) {
        const MemorySection *s = &g_array_index(map->sections, MemorySection, i);

        if (addr >= s->addr && addr <= last_of(s) && (!best || s->priority >= best->priority)) {
            best = s;
        }
    }
    return best;
}

/* Does the section go on in s, which begins where it ends? */
static bool continues(const MemorySection *before, uint64_t before_skip, const MemorySection *s,
                      uint64_t skip)
{
    if (last_of(before) == UINT64_MAX || last_of(before) + 1 != s->addr ||
        before->kind != s->kind) {
        return false;
    }
    if (s->kind == MEMORY_MMIO) {
        return before->ops == s->ops && before->opaque == s->opaque &&
               before_skip + before->size == skip;
    }
    return before->host + before->size == s->host && before->fd == s->fd &&
           (s->fd < 0 || before->fd_offset + before->size == s->fd_offset);
}

static void flat_append(MemoryMap *map, const MemorySection *section, uint64_t addr, uint64_t last)
{
    MemorySection piece = *section;
    uint64_t skip = addr - section->addr;
    unsigned n = map->flat->len;

    piece.addr = addr;
    piece.size = last - addr + 1;
    if (piece.kind != MEMORY_MMIO) {
        piece.host += skip;
        piece.fd_offset += skip;
    }
    if (n > 0) {
        MemorySection *before = &g_array_index(map->flat, MemorySection, n - 1);

        if (continues(before, g_array_index(map->skip, uint64_t, n - 1), &piece, skip)) {
            before->size += piece.size;
            return;
        }
    }
    g_array_append_val(map->flat, piece);
    g_array_append_val(map->skip, skip);
}

static void flatten(MemoryMap *map)
{
    g_autoptr(GArray) cuts = cuts_of(map);

    g_array_set_size(map->flat, 0);
    g_array_set_size(map->skip, 0);
    for (unsigned i = 0; i < cuts->len; i++) {
        uint64_t addr = g_array_index(cuts, uint64_t, i);
        uint64_t last = UINT64_MAX;

        if (i + 1 < cuts->len) {
            uint64_t next = g_array_index(cuts, uint64_t, i + 1);
            if (next == addr) {
                continue;
            }
            last = next - 1;
        }
        const MemorySection *section = seen_at(map, addr);
        if (section) {
            flat_append(map, section, addr, last);
        }
    }
}

/* --- changes --- */

static void tell(const MemoryMap *map, const MemoryListener *listener)
{
    listener->commit(listener->opaque, (const MemorySection *)(void *)map->flat->data,
                     map->flat->len);
}

void memory_map_begin(MemoryMap *map)
{
    map->depth++;
}

void memory_map_commit(MemoryMap *map)
{
    g_assert(map->depth > 0);
    if (--map->depth > 0 || !map->dirty) {
        return;
    }
    map->dirty = false;
    flatten(map);
    for (MemoryListener *l = map->listeners, *next; l; l = next) {
        next = l->next; /* it may take itself off */
        tell(map, l);
    }
}

bool memory_map_add(MemoryMap *map, const MemorySection *section)
{
    if (section->size == 0 || last_of(section) < section->addr) {
        return false;
    }
    memory_map_begin(map);
    g_array_append_val(map->sections, *section);
    map->dirty = true;
    memory_map_commit(map);
    return true;
}

bool memory_map_del(MemoryMap *map, uint64_t addr, uint64_t size, int priority)
{
    for (unsigned i = 0; i < map->sections->len; i++) {
        const MemorySection *s = &g_array_index(map->sections, MemorySection, i);

        if (s->addr == addr && s->size == size && s->priority == priority) {
            memory_map_begin(map);
            g_array_remove_index(map->sections, i);
            map->dirty = true;
            memory_map_commit(map);
            return true;
        }
    }
    return false;
}

void memory_map_listen(MemoryMap *map, MemoryListener *listener,
                       void (*commit)(void *, const MemorySection *, unsigned), void *opaque)
{
    listener->commit = commit;
    listener->opaque = opaque;
    listener->next = map->listeners;
    listener->prev = &map->listeners;
    if (listener->next) {
        listener->next->prev = &listener->next;
    }
    map->listeners = listener;
    tell(map, listener);
}

void memory_map_unlisten(MemoryListener *listener)
{
    if (!listener->prev) {
        return;
    }
    *listener->prev = listener->next;
    if (listener->next) {
        listener->next->prev = listener->prev;
    }
    listener->next = NULL;
    listener->prev = NULL;
}

/* --- accesses --- */

/* The first section of the view that ends at or behind addr: index, or the view's length. */
static unsigned flat_find(const MemoryMap *map, uint64_t addr)
{
    unsigned low = 0, high = map->flat->len;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (last_of(flat_at(map, middle)) < addr) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The widest naturally aligned access at addr that fits in len. */
static unsigned part_size(uint64_t addr, size_t len)
{
    unsigned size = 8;

    while (size > len || addr % size) {
        size /= 2;
    }
    return size;
}

/* The section by value: what is behind it may change the map. */
static void mmio_read(MemorySection s, uint64_t addr, uint64_t off, uint8_t *p, size_t len)
{
    for (unsigned size; len > 0; addr += size, off += size, p += size, len -= size) {
        size = part_size(addr, len);
        uint64_t value = GUINT64_TO_LE(s.ops->read(s.opaque, off, size));
        memcpy(p, &value, size);
    }
}

static void mmio_write(MemorySection s, uint64_t addr, uint64_t off, const uint8_t *p, size_t len)
{
    for (unsigned size; len > 0; addr += size, off += size, p += size, len -= size) {
        uint64_t value = 0;

        size = part_size(addr, len);
        memcpy(&value, p, size);
        s.ops->write(s.opaque, off, GUINT64_FROM_LE(value), size);
    }
}

/* How many of len bytes at addr are of the view's section *s; *s is NULL: of none. */
static size_t stretch(const MemoryMap *map, uint64_t addr, size_t len, const MemorySection **s,
                      uint64_t *off)
{
    unsigned i = flat_find(map, addr);
    const MemorySection *found = i < map->flat->len ? flat_at(map, i) : NULL;
    uint64_t last = UINT64_MAX;

    *s = NULL;
    if (found && found->addr > addr) {
        last = found->addr - 1;
    } else if (found) {
        *s = found;
        *off = addr - found->addr;
        last = last_of(found);
    }
    return last - addr < len ? last - addr + 1 : len;
}

bool memory_map_read(MemoryMap *map, uint64_t addr, void *buf, size_t len)
{
    uint8_t *p = buf;
    bool there = true;

    while (len > 0) {
        const MemorySection *s;
        uint64_t off;
        size_t n = stretch(map, addr, len, &s, &off);

        if (!s) {
            memset(p, 0xff, n);
            there = false;
        } else if (s->kind == MEMORY_MMIO) {
            uint64_t skip = g_array_index(map->skip, uint64_t, s - flat_at(map, 0));
            mmio_read(*s, addr, skip + off, p, n);
        } else {
            memcpy(p, s->host + off, n);
        }
        addr += n;
        p += n;
        len -= n;
    }
    return there;
}

bool memory_map_write(MemoryMap *map, uint64_t addr, const void *buf, size_t len)
{
    const uint8_t *p = buf;
    bool there = true;

    while (len > 0) {
        const MemorySection *s;
        uint64_t off;
        size_t n = stretch(map, addr, len, &s, &off);

        if (!s) {
            there = false;
        } else if (s->kind == MEMORY_MMIO) {
            uint64_t skip = g_array_index(map->skip, uint64_t, s - flat_at(map, 0));
            mmio_write(*s, addr, skip + off, p, n);
        } else if (s->kind == MEMORY_RAM) {
            memcpy(s->host + off, p, n);
        }
        addr += n;
        p += n;
        len -= n;
    }
    return there;
}

size_t memory_map_span(const MemoryMap *map, uint64_t addr, size_t len, bool *there)
{
    const MemorySection *s;
    uint64_t off;
    size_t n = stretch(map, addr, len, &s, &off);

    *there = s;
    while (n < len && addr + n != 0) {
        size_t more = stretch(map, addr + n, len - n, &s, &off);

        if (!s == *there) {
            break;
        }
        n += more;
    }
    return n;
}
