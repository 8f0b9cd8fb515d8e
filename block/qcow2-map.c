/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a place on the guest's disk to a place in the file: L1 table (in memory) -> L2 slice (cache)
 * -> entry. What an entry may say is checked here, as each is used, since a table can hold
 * anything: a cluster that is not aligned, or lies beyond what can be addressed, is an error of the
 * request that needs it, and nothing else. Whether it lies in the file is seen by who reads it.
 *
 * Units: without subclusters a cluster is one unit. With them (extended L2 entries) a cluster has
 * 32, with an "allocated" and a "reads as zeros" bit each in the second half of the entry.
 */
#include "qcow2-internal.h"
#include <errno.h>

typedef struct Unit {
    Qcow2Kind kind;
    bool writable;
    uint64_t entry;
    uint64_t host; /* of its first byte */
} Unit;

static int check_table(const Qcow2State *s, uint64_t offset)
{
    return offset % s->cluster_size || offset + s->cluster_size > QCOW2_OFFSET_MAX ? -EIO : 0;
}

/* Bits 9..55 of an L2 entry are the cluster's offset; bit 0, and 56..61, are something else. */
static int read_plain(const Qcow2State *s, uint64_t entry, uint64_t bitmap, unsigned unit, Unit *u)
{
    uint64_t host = entry & QCOW2_OFFSET_MASK;
    bool zero, data;

    if (s->units == 1) {
        zero = s->h.version >= 3 && (entry & QCOW2_ZERO);
        data = !zero && host;
    } else {
        zero = bitmap >> (32 + unit) & 1;
        data = bitmap >> unit & 1;
        if (zero && data) {
            return -EIO;
        }
    }
    if (host % s->cluster_size || (data && !host)) {
        return -EIO;
    }
    u->kind = zero ? QCOW2_ZEROS : data ? QCOW2_DATA : QCOW2_UNALLOCATED;
    u->host = host + (uint64_t)unit * s->unit_size;
    u->writable = data && (entry & QCOW2_COPIED);
    return 0;
}

static int read_unit(const Qcow2State *s, const uint8_t *at, unsigned unit, Unit *u)
{
    uint64_t entry = be64(at);

    *u = (Unit){ .entry = entry };
    if (entry & QCOW2_COMPRESSED) {
        u->kind = QCOW2_PACKED;
        return 0;
    }
    return read_plain(s, entry, s->units > 1 ? be64(at + 8) : 0, unit, u);
}

/* The low x bits of the entry are its offset in bytes, the rest the number of whole sectors after
 * the one it begins in. */
void qcow2_packed_range(const Qcow2State *s, uint64_t entry, uint64_t *host, uint64_t *bytes)
{
    unsigned x = 62 - (s->h.cluster_bits - 8);
    uint64_t sectors = (entry & (QCOW2_COMPRESSED - 1)) >> x;

    *host = entry & ((UINT64_C(1) << x) - 1);
    *bytes = (sectors + 1) * 512 - *host % 512;
}

/* Does u go on where the map ends? */
static bool continues(const Qcow2Map *map, const Unit *u)
{
    if (u->kind != map->kind || map->kind == QCOW2_PACKED) {
        return false;
    }
    return map->kind != QCOW2_DATA ||
           (u->writable == map->writable && u->host == map->host + map->bytes);
}

static int l2_slice(Qcow2State *s, uint64_t guest, Qcow2Wait *wait, Qcow2Slice **slice,
                    unsigned *index)
{
    uint64_t table = s->l1[qcow2_l1_index(s, guest)] & QCOW2_OFFSET_MASK;
    unsigned in_slice = s->l2_cache.slice_bytes / s->l2_entry_bytes;
    unsigned entry = (guest >> s->h.cluster_bits) & ((1u << s->l2_bits) - 1);
    int res = check_table(s, table);

    *index = entry % in_slice;
    if (res < 0) {
        return res;
    }
    return qcow2_cache_get(
        &s->l2_cache, table + (uint64_t)(entry / in_slice) * s->l2_cache.slice_bytes, wait, slice);
}

int qcow2_entry(Qcow2State *s, uint64_t guest, Qcow2Wait *wait, Qcow2Slice **slice, uint8_t **at)
{
    unsigned index;
    int res = l2_slice(s, guest, wait, slice, &index);

    if (!res) {
        *at = (*slice)->data + index * s->l2_entry_bytes;
    }
    return res;
}

/* The first unit decides what it is; the following ones make it longer, to the slice's end. */
static int map_units(const Qcow2State *s, const uint8_t *at, const uint8_t *end, uint64_t guest,
                     uint64_t bytes, Qcow2Map *map)
{
    unsigned unit = guest % s->cluster_size / s->unit_size;
    uint32_t skip = guest % s->unit_size;
    Unit u;
    int res = read_unit(s, at, unit, &u);

    if (res < 0) {
        return res;
    }
    *map = (Qcow2Map){ .kind = u.kind, .writable = u.writable, .entry = u.entry };
    map->host = u.host + skip;
    map->bytes = s->unit_size - skip;
    if (u.kind == QCOW2_PACKED) {
        map->bytes = s->cluster_size - guest % s->cluster_size;
        qcow2_packed_range(s, map->entry, &map->host, &map->packed);
    }
    while (map->bytes < bytes && u.kind != QCOW2_PACKED) {
        if (++unit == s->units) {
            unit = 0;
            at += s->l2_entry_bytes;
        }
        if (at == end || read_unit(s, at, unit, &u) < 0 || !continues(map, &u)) {
            break;
        }
        map->bytes += s->unit_size;
    }
    map->bytes = MIN(map->bytes, bytes);
    return 0;
}

int qcow2_map(Qcow2State *s, uint64_t guest, uint64_t bytes, Qcow2Wait *wait, Qcow2Map *map)
{
    uint64_t reach = (uint64_t)s->cluster_size << s->l2_bits;
    Qcow2Slice *slice;
    unsigned index;
    int res;

    if (!(s->l1[qcow2_l1_index(s, guest)] & QCOW2_OFFSET_MASK)) {
        *map = (Qcow2Map){ .kind = QCOW2_UNALLOCATED };
        map->bytes = MIN(bytes, reach - guest % reach);
        return 0;
    }
    res = l2_slice(s, guest, wait, &slice, &index);
    if (res) {
        return res;
    }
    return map_units(s, slice->data + index * s->l2_entry_bytes,
                     slice->data + s->l2_cache.slice_bytes, guest, bytes, map);
}
