/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The door for an image: its header and header extensions, from bytes to a struct, without I/O.
 *
 * Nothing of the header is used before it was looked at here. Numbers have bounds of their own
 * (cluster_bits 9..21, tables of so many entries at most), places must be aligned to clusters and
 * lie in the file, sums can't wrap. Incompatible features that this driver has no notion of refuse
 * the image, with the name that its feature name table has for them. What is wrong in the tables
 * that the header points to is found later, when they are used.
 *
 * Version 2 has 72 bytes; version 3 says the length of its header, which goes on at byte 72 with
 * feature bits. Extensions follow until the type 0, within the first cluster, and so does the name
 * of the backing file.
 */
#include "qcow2-internal.h"
#include "util/error.h"

#define MAGIC 0x514649fbu
#define CLUSTER_BITS_MIN 9
#define CLUSTER_BITS_MAX 21
#define CLUSTER_BITS_MIN_EXTENDED 14 /* subclusters of a sector at least */
#define REFCOUNT_ORDER_MAX 6
#define L1_BYTES_MAX (32u << 20)
#define REFTABLE_BYTES_MAX (8u << 20)
#define SNAPSHOTS_MAX 65536
#define BACKING_NAME_MAX 1023
#define HEADER_V3 104
#define COMPRESSION_MAX 1 /* 0 zlib, 1 zstd */

enum {
    EXT_END = 0,
    EXT_BACKING_FORMAT = 0xe2792aca,
    EXT_FEATURE_NAMES = 0x6803f857,
};

#define FEATURE_ENTRY 48 /* type, bit, 46 bytes of name */
#define KNOWN_INCOMPATIBLE                                                                         \
    (QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT | QCOW2_INCOMPAT_DATA_FILE |                    \
     QCOW2_INCOMPAT_COMPRESSION | QCOW2_INCOMPAT_EXTENDED_L2)

/* What is being parsed. */
typedef struct Source {
    const uint8_t *buf;
    size_t len;
    uint64_t file_size;
    const char *name;
} Source;

static bool bad(const Source *src, GError **errp, const char *what)
{
    return error_set(errp, "'%s' is not a valid qcow2 image: %s", src->name, what);
}

unsigned qcow2_header_cluster_bits(const uint8_t *buf, const char *name, GError **errp)
{
    const Source src = { .name = name };
    uint32_t bits = be32(buf + 20);

    if (be32(buf) != MAGIC) {
        error_set(errp, "'%s' is not a qcow2 image", name);
        return 0;
    }
    if (be32(buf + 4) != 2 && be32(buf + 4) != 3) {
        error_set(errp, "'%s' is a qcow image of version %u, and only 2 and 3 can be read", name,
                  be32(buf + 4));
        return 0;
    }
    if (bits < CLUSTER_BITS_MIN || bits > CLUSTER_BITS_MAX) {
        bad(&src, errp, "its cluster size is not between 512 bytes and 2 MiB");
        return 0;
    }
    return bits;
}

static bool table_fits(const Source *src, const Qcow2Header *h, uint64_t offset, uint64_t bytes)
{
    return offset % (UINT64_C(1) << h->cluster_bits) == 0 && offset != 0 &&
           offset < src->file_size && bytes <= src->file_size - offset;
}

/* ---- the fixed part ---- */

static void read_fixed(const Source *src, Qcow2Header *h)
{
    const uint8_t *p = src->buf;

    h->version = be32(p + 4);
    h->cluster_bits = be32(p + 20);
    h->size = be64(p + QCOW2_HEADER_SIZE);
    h->l1_size = be32(p + QCOW2_HEADER_L1);
    h->l1_offset = be64(p + QCOW2_HEADER_L1 + 4);
    h->reftable_offset = be64(p + QCOW2_HEADER_REFTABLE);
    h->reftable_clusters = be32(p + QCOW2_HEADER_REFTABLE + 8);
    h->n_snapshots = be32(p + QCOW2_HEADER_SNAPSHOTS);
    h->snapshots_offset = be64(p + QCOW2_HEADER_SNAPSHOTS + 4);
    h->refcount_order = 4;
}

/* *length: of the header. */
static bool read_features(const Source *src, Qcow2Header *h, uint32_t *length, GError **errp)
{
    const uint8_t *p = src->buf;

    *length = QCOW2_HEADER_MIN;
    if (h->version == 2) {
        return true;
    }
    if (src->len < HEADER_V3) {
        return bad(src, errp, "it ends within its header");
    }
    h->incompatible = be64(p + QCOW2_HEADER_INCOMPATIBLE);
    h->compatible = be64(p + 80);
    h->autoclear = be64(p + QCOW2_HEADER_AUTOCLEAR);
    h->refcount_order = be32(p + 96);
    *length = be32(p + 100);
    if (*length < HEADER_V3 || *length > src->len || *length % 8) {
        return bad(src, errp, "the length of its header is wrong");
    }
    h->compression = *length > HEADER_V3 ? p[HEADER_V3] : 0;
    return true;
}

static bool check_encryption(const Source *src, GError **errp)
{
    return be32(src->buf + 32) == 0 ||
           error_set(errp, "qcow2 image '%s' is encrypted, which is not supported", src->name);
}

static bool check_l1(const Source *src, const Qcow2Header *h, GError **errp)
{
    unsigned entry_bits = h->incompatible & QCOW2_INCOMPAT_EXTENDED_L2 ? 4 : 3;
    unsigned shift = 2 * h->cluster_bits - entry_bits; /* bytes that an L2 table maps */
    uint64_t needed;

    if (h->size > INT64_MAX) {
        return bad(src, errp, "its disk is too large");
    }
    needed = (h->size >> shift) + (h->size % (UINT64_C(1) << shift) != 0);
    if (h->l1_size > L1_BYTES_MAX / 8 || needed > L1_BYTES_MAX / 8) {
        return bad(src, errp, "its L1 table is too large");
    }
    if (h->l1_size < needed) {
        return bad(src, errp, "its L1 table is too small for the size of its disk");
    }
    if (h->l1_size && !table_fits(src, h, h->l1_offset, (uint64_t)h->l1_size * 8)) {
        return bad(src, errp, "its L1 table does not lie in the file");
    }
    return true;
}

static bool check_reftable(const Source *src, const Qcow2Header *h, GError **errp)
{
    uint64_t bytes = (uint64_t)h->reftable_clusters << h->cluster_bits;

    if (h->refcount_order > REFCOUNT_ORDER_MAX) {
        return bad(src, errp, "its refcounts are wider than 64 bits");
    }
    if (h->reftable_clusters == 0) {
        return bad(src, errp, "it has no refcount table");
    }
    if (bytes > REFTABLE_BYTES_MAX) {
        return bad(src, errp, "its refcount table is too large");
    }
    if (!table_fits(src, h, h->reftable_offset, bytes)) {
        return bad(src, errp, "its refcount table does not lie in the file");
    }
    return true;
}

static bool check_snapshots(const Source *src, const Qcow2Header *h, GError **errp)
{
    if (h->n_snapshots > SNAPSHOTS_MAX) {
        return bad(src, errp, "it has too many snapshots");
    }
    if (h->n_snapshots && !table_fits(src, h, h->snapshots_offset, 1)) {
        return bad(src, errp, "its snapshot table does not lie in the file");
    }
    return true;
}

/* ---- features ---- */

/* The name that a feature name table has for an incompatible bit, or NULL. */
static char *feature_name(const uint8_t *table, size_t len, unsigned bit)
{
    for (size_t i = 0; i + FEATURE_ENTRY <= len; i += FEATURE_ENTRY) {
        if (table[i] == 0 && table[i + 1] == bit) {
            g_autofree char *raw = g_strndup((const char *)table + i + 2, FEATURE_ENTRY - 2);

            return g_str_to_ascii(raw, "C");
        }
    }
    return NULL;
}

static bool check_features(const Source *src, const Qcow2Header *h, const uint8_t *names,
                           size_t names_len, GError **errp)
{
    uint64_t unknown = h->incompatible & ~(uint64_t)KNOWN_INCOMPATIBLE;

    if (h->incompatible & QCOW2_INCOMPAT_DATA_FILE) {
        return error_set(errp,
                         "qcow2 image '%s' needs the feature 'external data file', which is not "
                         "supported",
                         src->name);
    }
    if (unknown) {
        unsigned bit = __builtin_ctzll(unknown);
        g_autofree char *name = feature_name(names, names_len, bit);
        g_autofree char *number = g_strdup_printf("incompatible bit %u", bit);

        return error_set(errp, "qcow2 image '%s' needs the feature '%s', which is not supported",
                         src->name, name && *name ? name : number);
    }
    if ((h->incompatible & QCOW2_INCOMPAT_EXTENDED_L2) &&
        h->cluster_bits < CLUSTER_BITS_MIN_EXTENDED) {
        return bad(src, errp, "its clusters are too small for subclusters");
    }
    if (h->compression > COMPRESSION_MAX) {
        return error_set(errp, "qcow2 image '%s' has compression type %u, which is not supported",
                         src->name, h->compression);
    }
    if (!!(h->incompatible & QCOW2_INCOMPAT_COMPRESSION) != (h->compression != 0)) {
        return bad(src, errp, "its compression type and feature bits contradict each other");
    }
    return true;
}

/* ---- extensions and the backing file's name ---- */

static bool read_extensions(const Source *src, Qcow2Header *h, size_t at, size_t end,
                            const uint8_t **names, size_t *names_len, GError **errp)
{
    while (end - at >= 8) {
        uint32_t type = be32(src->buf + at);
        uint32_t len = be32(src->buf + at + 4);

        if (type == EXT_END) {
            return true;
        }
        at += 8;
        if (len > end - at) {
            return bad(src, errp, "a header extension reaches past its first cluster");
        }
        if (type == EXT_BACKING_FORMAT) {
            g_free(h->backing_format);
            h->backing_format = g_strndup((const char *)src->buf + at, len);
        } else if (type == EXT_FEATURE_NAMES) {
            *names = src->buf + at;
            *names_len = len;
        }
        at += MIN((len + UINT64_C(7)) & ~UINT64_C(7), end - at);
    }
    return true;
}

static bool read_backing(const Source *src, Qcow2Header *h, uint64_t offset, uint32_t len,
                         GError **errp)
{
    if (!offset) {
        return true;
    }
    if (len > BACKING_NAME_MAX || offset > src->len || len > src->len - offset) {
        return bad(src, errp, "the name of its backing file is not in its first cluster");
    }
    h->backing_name = g_strndup((const char *)src->buf + offset, len);
    if (strlen(h->backing_name) != len) {
        return bad(src, errp, "the name of its backing file has a zero byte");
    }
    if (!len) {
        g_clear_pointer(&h->backing_name, g_free);
    }
    return true;
}

void qcow2_header_clear(Qcow2Header *h)
{
    g_free(h->backing_name);
    g_free(h->backing_format);
    *h = (Qcow2Header){ 0 };
}

static bool parse(Qcow2Header *h, const Source *src, GError **errp)
{
    const uint8_t *names = NULL;
    size_t names_len = 0, end = src->len;
    uint64_t backing = be64(src->buf + 8);
    uint32_t length;

    read_fixed(src, h);
    if (!check_encryption(src, errp) || !read_features(src, h, &length, errp)) {
        return false;
    }
    if (backing && backing > length && backing < end) {
        end = backing;
    }
    return read_extensions(src, h, length, end, &names, &names_len, errp) &&
           check_features(src, h, names, names_len, errp) && check_l1(src, h, errp) &&
           check_reftable(src, h, errp) && check_snapshots(src, h, errp) &&
           read_backing(src, h, backing, be32(src->buf + 16), errp);
}

bool qcow2_header_parse(Qcow2Header *h, const uint8_t *buf, size_t len, uint64_t file_size,
                        const char *name, GError **errp)
{
    const Source src = { .buf = buf, .len = len, .file_size = file_size, .name = name };

    *h = (Qcow2Header){ 0 };
    if (len < QCOW2_HEADER_MIN) {
        return bad(&src, errp, "it ends within its header");
    }
    if (!qcow2_header_cluster_bits(buf, name, errp)) {
        return false;
    }
    if (!parse(h, &src, errp)) {
        qcow2_header_clear(h);
        return false;
    }
    return true;
}
