/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: what the files of the driver share. Format: "The QCOW2 Image File Format" (the document
 * docs/interop/qcow2.rst of QEMU); all numbers in a file are big endian.
 *
 * Functions that need a table that may have to be read first are tried, not called: they return
 * QCOW2_PENDING and nothing has changed; wait->fn comes from the loop when it is worth trying
 * again, or with an error. Everything on the node's loop, but opening and closing.
 */
#ifndef BLOCK_QCOW2_INTERNAL_H
#define BLOCK_QCOW2_INTERNAL_H

#include "block/block.h"
#include "block/codec.h"
#include "block/steps.h"
#include "util/log.h"
#include <string.h>

#define QCOW2_PENDING 1

#define QCOW2_COPIED (UINT64_C(1) << 63)
#define QCOW2_COMPRESSED (UINT64_C(1) << 62)
#define QCOW2_ZERO UINT64_C(1)
#define QCOW2_OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define QCOW2_REFTABLE_MASK (~UINT64_C(0x1ff))
#define QCOW2_OFFSET_MAX (UINT64_C(1) << 56) /* of anything in the file */

enum { /* incompatible features */
       QCOW2_INCOMPAT_DIRTY = 1u << 0,
       QCOW2_INCOMPAT_CORRUPT = 1u << 1,
       QCOW2_INCOMPAT_DATA_FILE = 1u << 2,
       QCOW2_INCOMPAT_COMPRESSION = 1u << 3,
       QCOW2_INCOMPAT_EXTENDED_L2 = 1u << 4,
};

#define QCOW2_COMPAT_LAZY_REFCOUNTS 1u /* compatible feature */

enum { /* offsets in the header */
       QCOW2_HEADER_SIZE = 24,
       QCOW2_HEADER_L1 = 36,        /* l1_size, l1_table_offset */
       QCOW2_HEADER_REFTABLE = 48,  /* refcount_table_offset, refcount_table_clusters */
       QCOW2_HEADER_SNAPSHOTS = 60, /* nb_snapshots, snapshots_offset */
       QCOW2_HEADER_INCOMPATIBLE = 72,
       QCOW2_HEADER_AUTOCLEAR = 88,
};

typedef struct Qcow2Header {
    uint32_t version, cluster_bits, refcount_order;
    uint64_t size; /* of the guest's disk; bytes */
    uint32_t l1_size;
    uint64_t l1_offset;
    uint64_t reftable_offset;
    uint32_t reftable_clusters;
    uint32_t n_snapshots;
    uint64_t snapshots_offset;
    uint64_t incompatible, compatible, autoclear;
    uint8_t compression;
    char *backing_name, *backing_format; /* owned; NULL: none */
} Qcow2Header;

/* A range of the file that is metadata; bytes. */
typedef struct Qcow2Area {
    uint64_t start, end;
} Qcow2Area;

typedef struct Qcow2Cache Qcow2Cache;
typedef struct Qcow2Slice Qcow2Slice;

/* Somebody who waits for a table. */
typedef struct Qcow2Wait Qcow2Wait;
struct Qcow2Wait {
    void (*fn)(Qcow2Wait *wait, int res);
    Qcow2Wait *next;
    Qcow2Slice *slice; /* that is waited for, or NULL */
    bool given_up;     /* waits no more: -ECANCELED instead of QCOW2_PENDING */
};

/* A part of an L2 table or refcount block, in memory. */
struct Qcow2Slice {
    BlockReq io; /* must be first */
    struct iovec iov;
    Qcow2Cache *cache;
    uint64_t offset; /* in the file; key of the cache's table */
    uint8_t *data;   /* as in the file */
    bool loading, writing, dirty;
    bool unwanted; /* its load was cancelled */
    Qcow2Wait *waiters;
    Qcow2Slice *newer, *older;
};

struct Qcow2Cache {
    BlockNode *file;
    uint32_t slice_bytes;
    unsigned max;       /* slices, but for dirty ones and those in use */
    GHashTable *slices; /* by offset */
    Qcow2Slice *newest, *oldest;
    unsigned n_dirty;
    /* a write-back that waits for n_writing to reach 0 */
    unsigned n_writing;
    int write_res;
    void (*written)(void *opaque, int res);
    void *opaque;
};

/* A turn of the lane: who holds it may change metadata. */
typedef struct Qcow2Job Qcow2Job;
struct Qcow2Job {
    void (*run)(Qcow2Job *job);
    Qcow2Job *next;
};

/* A range of clusters that lose one reference when what referred to them is gone from the disk. */
typedef struct Qcow2Free {
    uint64_t cluster, n;
    uint64_t seq; /* requests before this one may still use them */
} Qcow2Free;

typedef struct Qcow2Options {
    uint64_t cache, l2_cache, refcount_cache, slice; /* bytes; 0: not given */
    uint32_t clean_interval;
    int pass_discard, lazy_refcounts; /* OPT_TRI */
    bool pass_snapshot, pass_other;
} Qcow2Options;

typedef struct Qcow2State Qcow2State;
typedef struct Qcow2Op Qcow2Op;
typedef void Qcow2Step(Qcow2Op *op, int res);

/* A request on its way. */
struct Qcow2Op {
    BLOCK_STEPS(Qcow2Op); /* to the file, or to backing; steps also come when a table or the lane
                             is there */
    Qcow2State *s;
    BlockReq *req;
    Qcow2Op *next, **prev; /* in flight, by seq */
    uint64_t seq;
    Qcow2Wait wait;
    Qcow2Job job;
    uint64_t pos, len; /* bytes done, and of the piece in hand */
    struct iovec *iov; /* of the piece, if it is not the request's */
    uint8_t *buf;      /* a cluster's worth, or buf_bytes */
    size_t buf_bytes;
    uint8_t *head, *tail; /* copied around the piece; cluster_size each */
    /* change of the map: guest clusters [first, first + n) */
    bool changing;
    Qcow2Op *next_changing;
    Qcow2Op *blocked, *next_blocked; /* those that wait for this one */
    uint64_t first, n;
    uint64_t host;   /* clusters that were allocated for them */
    uint64_t linked; /* entries that are done */
    bool from_zeros; /* what is there now reads as zeros */
    bool fresh;      /* host was never written */
    BlockReq copy;   /* a read of this node, for head and tail */
    bool copying;    /* it is in flight */
    struct iovec copy_iov;
    /* continuations of what is shared by several kinds of requests, in the lane */
    uint64_t want, got; /* clusters to allocate */
    uint64_t cluster;   /* the first that was */
    uint64_t guest;     /* whose L2 table is needed */
    Qcow2Step *allocated, *table_there, *synced, *zeroed, *flushed;
    int result; /* of the write of the data */
    uint64_t grow_blocks, grow_clusters;
    uint8_t *grow_buf;
    uint8_t header[12]; /* what is written to the image's */
    unsigned sync_step;
    uint8_t *sync_buf;
    GArray *discards; /* of Qcow2Area */
};

struct Qcow2State {
    Qcow2Options opts; /* must be first */
    /* the image; fixed after opening, but for size and the places of tables */
    BlockNode *node, *file;
    Qcow2Header h;
    uint32_t cluster_size;
    unsigned l2_bits;        /* log2 of the entries of an L2 table */
    unsigned l2_entry_bytes; /* 8, or 16 with subclusters */
    unsigned units;          /* of a cluster that are mapped each for itself: 1 or 32 */
    uint32_t unit_size;
    unsigned rb_bits;        /* log2 of the entries of a refcount block */
    const BlockCodec *codec; /* NULL: compressed clusters can't be read */
    GError *no_codec;        /* why */
    /* tables in memory, in host order */
    uint64_t *l1, *reftable;
    uint32_t reftable_size;            /* entries */
    uint32_t l1_dirty_lo, l1_dirty_hi; /* entries; lo == hi: clean */
    uint32_t reftable_dirty_lo, reftable_dirty_hi;
    Qcow2Cache l2_cache, rb_cache;
    /* where not to write: clusters of L2 tables and refcount blocks, sorted offsets; the rest */
    GArray *tables;    /* of uint64_t */
    GArray *areas;     /* of Qcow2Area */
    bool corrupt;      /* nothing is written any more */
    bool mark_corrupt; /* the request that ends next sets the bit in the header */
    /* allocation */
    bool pass_discard;   /* what is freed is discarded in the file */
    bool append_only;    /* refcounts are not to be trusted: allocate at the end, free nothing */
    bool lazy;           /* refcounts are written when the image is closed */
    bool dirty;          /* the bit in the header is set, by us */
    bool data_unflushed; /* new entries name what a flush has to make sure of first */
    bool no_ahead;       /* the file can't be made longer ahead */
    uint64_t flush_end;  /* the file's size when the flush began that is under way */
    uint64_t stable_end; /* that a power cut leaves of it */
    uint64_t free_from;  /* cluster index: all before it are in use */
    uint64_t fresh;      /* offset: from here on the file has never been written */
    GArray *frees;       /* of Qcow2Free */
    uint64_t seq;
    /* requests */
    Qcow2Op *oldest, **newest; /* in flight, by seq */
    Qcow2Op *changing;         /* those that change the map */
    Qcow2Job *lane, *queue, **queue_end;
    bool pumping;
    LogLimit limit;
};

static inline uint32_t be32(const void *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return GUINT32_FROM_BE(v);
}

static inline uint64_t be64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return GUINT64_FROM_BE(v);
}

static inline void set_be32(void *p, uint32_t v)
{
    v = GUINT32_TO_BE(v);
    memcpy(p, &v, sizeof(v));
}

static inline void set_be64(void *p, uint64_t v)
{
    v = GUINT64_TO_BE(v);
    memcpy(p, &v, sizeof(v));
}

/* ---- qcow2-header.c: no I/O ---- */

#define QCOW2_HEADER_MIN 72 /* bytes of the file that cluster_bits needs */

/* log2 of the cluster size that the first QCOW2_HEADER_MIN bytes give; 0 and an error if they are
 * no header. */
unsigned qcow2_header_cluster_bits(const uint8_t *buf, const char *name, GError **errp);
/* buf: the first cluster, or the whole file if that is shorter. Everything the header says is
 * checked: alone, and against the size of the file. */
bool qcow2_header_parse(Qcow2Header *h, const uint8_t *buf, size_t len, uint64_t file_size,
                        const char *name, GError **errp);
void qcow2_header_clear(Qcow2Header *h);

/* ---- qcow2-cache.c ---- */

void qcow2_cache_init(Qcow2Cache *cache, BlockNode *file, uint32_t slice_bytes, uint64_t bytes);
/* Nothing is loading or being written. */
void qcow2_cache_fini(Qcow2Cache *cache);
/* The slice at offset, valid until the next call of the loop: 0, QCOW2_PENDING or -errno. */
int qcow2_cache_get(Qcow2Cache *cache, uint64_t offset, Qcow2Wait *wait, Qcow2Slice **slice);
/* wait, if it waits, gets -ECANCELED: at once, or, if nobody else wants the slice, when the file
 * has given up reading it. */
void qcow2_cache_give_up(Qcow2Wait *wait);
void qcow2_cache_dirty(Qcow2Slice *slice);
/* Forgets what lies in the range, which nobody refers to any more. */
void qcow2_cache_forget(Qcow2Cache *cache, uint64_t start, uint64_t bytes);
/* Writes all that is dirty; written comes from the loop. Nobody changes a slice meanwhile. */
void qcow2_cache_write(Qcow2Cache *cache, void (*written)(void *opaque, int res), void *opaque);
/* Too many slices, and none that can go. */
bool qcow2_cache_full(const Qcow2Cache *cache);

/* ---- qcow2-map.c ---- */

typedef enum Qcow2Kind {
    QCOW2_UNALLOCATED, /* backing, or zeros */
    QCOW2_ZEROS,
    QCOW2_DATA,
    QCOW2_PACKED, /* compressed */
} Qcow2Kind;

typedef struct Qcow2Map {
    Qcow2Kind kind;
    bool writable;   /* DATA: nobody else refers to it */
    uint64_t host;   /* DATA: of the byte asked for; PACKED: where it begins */
    uint64_t entry;  /* of the first cluster, as in the table */
    uint64_t bytes;  /* from the byte asked for, of the same kind; contiguous, if DATA */
    uint64_t packed; /* PACKED: most bytes it takes in the file */
} Qcow2Map;

/* What stands for [guest, guest + bytes). */
int qcow2_map(Qcow2State *s, uint64_t guest, uint64_t bytes, Qcow2Wait *wait, Qcow2Map *map);
/* Where the bytes of a compressed cluster lie, by its entry; at most so many. */
void qcow2_packed_range(const Qcow2State *s, uint64_t entry, uint64_t *host, uint64_t *bytes);
/* The L2 entry of guest, to be changed: its slice, and where it is in it. The table exists. */
int qcow2_entry(Qcow2State *s, uint64_t guest, Qcow2Wait *wait, Qcow2Slice **slice, uint8_t **at);
static inline unsigned qcow2_l1_index(const Qcow2State *s, uint64_t guest)
{
    return guest >> (s->h.cluster_bits + s->l2_bits);
}

/* ---- qcow2-areas.c ---- */

/* Collects what is metadata, and checks that nothing overlaps. False and an error if it does. */
bool qcow2_areas_init(Qcow2State *s, const char *name, GError **errp);
void qcow2_areas_fini(Qcow2State *s);
/* Of the snapshot whose entry is at *at, which moves to the next one: where its L1 table is. False
 * if that can't be read. While the file can be read on the main thread. */
bool qcow2_snapshot_next(const Qcow2State *s, uint64_t *at, uint64_t *l1_offset,
                         uint64_t *l1_bytes);
/* Is any of it metadata, but for the areas that are tables themselves? */
bool qcow2_areas_hit(const Qcow2State *s, uint64_t start, uint64_t bytes);
void qcow2_areas_add_table(Qcow2State *s, uint64_t offset);
void qcow2_areas_del_table(Qcow2State *s, uint64_t offset);
void qcow2_areas_add(Qcow2State *s, uint64_t start, uint64_t bytes);
void qcow2_areas_move(Qcow2State *s, uint64_t old_start, uint64_t start, uint64_t bytes);
/* Says why, ends all writing, and has the image's corrupt bit set. Returns -EIO. */
int qcow2_corrupt(Qcow2State *s, const char *why, uint64_t offset);

/* ---- qcow2-op.c ---- */

Qcow2Op *qcow2_op_new(Qcow2State *s, BlockReq *req);
/* Completes the request and frees op. */
void qcow2_op_end(Qcow2Op *op, int res);
/* Gives up what only reads: data, for the request or for the edges of one that writes, and tables.
 * The request ends where it next would have to wait for such. What is being written goes on. */
void qcow2_op_cancel(Qcow2Op *op);
/* Was it, so that no more is to be read for it? */
bool qcow2_op_given_up(const Qcow2Op *op);
/* A request to a child; then step. */
void qcow2_op_io(Qcow2Op *op, BlockNode *child, BlockReq io, Qcow2Step *step);
/* The same with one piece of memory. */
void qcow2_op_buf(Qcow2Op *op, BlockOp kind, uint32_t flags, uint64_t offset, void *buf,
                  uint64_t bytes, Qcow2Step *step);
/* op->iov: [pos, pos + len) of the request's. Returns the number of its parts. */
unsigned qcow2_op_slice(Qcow2Op *op, uint64_t pos, uint64_t len, const struct iovec **iov);
/* Sets what goes on when a table is there; returns what to give to those that may wait. */
Qcow2Wait *qcow2_op_wait(Qcow2Op *op, Qcow2Step *step);
/* step comes when the lane is op's, until it leaves. */
void qcow2_lane_enter(Qcow2Op *op, Qcow2Step *step);
void qcow2_lane_leave(Qcow2State *s);
/* Is another one changing the map of [guest, guest + bytes)? Then step comes when it is over. */
bool qcow2_op_blocked(Qcow2Op *op, uint64_t guest, uint64_t bytes, Qcow2Step *step);
void qcow2_change_begin(Qcow2Op *op, uint64_t first, uint64_t n);
void qcow2_change_end(Qcow2Op *op);

/* ---- qcow2-read.c ---- */

void qcow2_read(Qcow2Op *op);
void qcow2_status(Qcow2Op *op);

/* ---- qcow2-repair.c ---- */

/* Gives an image that is marked dirty refcounts that are right, and takes the mark away. *why, if
 * not NULL: that could not be done, and nothing was changed. -errno: what the header says now is
 * unknown. While it is opened for writing; the refcount table and the areas have to be read
 * anew. */
int qcow2_repair(Qcow2State *s, const char **why);

/* ---- qcow2-refcount.c: in the lane, but the first two ---- */

/* The i-th of refcounts of 1 << order bits, as in a file. */
uint64_t qcow2_refcount_get(const uint8_t *data, unsigned order, uint64_t i);
void qcow2_refcount_set(uint8_t *data, unsigned order, uint64_t i, uint64_t value);
/* Takes up to want clusters that lie together: op->cluster, op->got, op->fresh. */
void qcow2_alloc(Qcow2Op *op, uint64_t want, Qcow2Step *allocated);
/* The clusters lose a reference when what is dirty now has been written. */
void qcow2_free_later(Qcow2State *s, uint64_t cluster, uint64_t n);
/* Those that an L2 entry refers to. */
void qcow2_free_entry(Qcow2State *s, uint64_t entry);
/* One cluster of the list loses its reference: 0, QCOW2_PENDING or -errno. *freed: nobody has it
 * any more. */
int qcow2_refcount_drop(Qcow2State *s, uint64_t cluster, Qcow2Wait *wait, bool *freed);

/* ---- qcow2-table.c: in the lane ---- */

/* Sees to it that the L2 table of guest is there, and nobody else's. */
void qcow2_need_table(Qcow2Op *op, uint64_t guest, Qcow2Step *there);
/* The disk becomes larger. */
void qcow2_resize(Qcow2Op *op);

/* ---- qcow2-sync.c: in the lane ---- */

/* Has a flush anything to write back? */
bool qcow2_is_dirty(const Qcow2State *s);
/* Should a request that has changed something see to it that it is written, to bound memory? */
bool qcow2_must_sync(const Qcow2State *s);
/* Writes what is dirty, in order, flushes, and frees clusters. */
void qcow2_sync(Qcow2Op *op, Qcow2Step *synced);
static inline void qcow2_mark(uint32_t *lo, uint32_t *hi, uint32_t from, uint32_t to)
{
    *lo = *lo == *hi ? from : MIN(*lo, from);
    *hi = MAX(*hi, to);
}

/* ---- qcow2-write.c ---- */

void qcow2_write(Qcow2Op *op);
void qcow2_flush(Qcow2Op *op);
/* ---- qcow2-zero.c ---- */

/* The whole clusters at op->pos, of WRITE_ZEROES or DISCARD; then done. */
void qcow2_zero_clusters(Qcow2Op *op, uint64_t n, Qcow2Step *done);
void qcow2_discard(Qcow2Op *op);

#endif
