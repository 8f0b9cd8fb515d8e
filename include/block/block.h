/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block nodes: an opened image = driver + size + flags, and requests on it.
 *
 * Three rules. (1) block_submit() never calls done itself: done comes from the loop, also on
 * error. (2) Who submits owns the request and what iov points to until done, which comes exactly
 * once, also after block_cancel(). (3) A node belongs to one loop: the first machine that uses it
 * attaches it, all requests are submitted on that loop's thread, and all done callbacks come
 * there.
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include "util/loop.h"
#include "util/module.h"
#include "util/opts.h"
#include "util/sandbox.h"
#include <sys/uio.h>

typedef struct BlockNode BlockNode;
typedef struct BlockReq BlockReq;
typedef struct BlockGraph BlockGraph;

/* What an image is used for; 1 << n for the n of the image locks. */
enum {
    BLOCK_PERM_READ = 1u << 0, /* what is read makes sense together */
    BLOCK_PERM_WRITE = 1u << 1,
    BLOCK_PERM_RESIZE = 1u << 3,
};

typedef struct BlockAccess {
    uint32_t uses, refuses; /* BLOCK_PERM_*; refuses: that others use it */
} BlockAccess;

/* One wait for a node, embedded in the waiter's own struct; the block layer's until idle. */
typedef struct BlockDrain {
    void (*idle)(void *opaque);
    void *opaque;
    struct BlockDrain *next;
} BlockDrain;

typedef enum BlockOp {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH, /* what was written and completed before is on stable storage */
    BLOCK_DISCARD,
    BLOCK_WRITE_ZEROES,
    BLOCK_RESIZE, /* node->size becomes bytes; -ENOTSUP if the driver or the file can't */
    BLOCK_STATUS, /* what stands for the range: req->status */
    BLOCK_N_OPS,
} BlockOp;

enum {
    BLOCK_FUA = 1u << 0,       /* WRITE, WRITE_ZEROES: on stable storage at done */
    BLOCK_MAY_UNMAP = 1u << 1, /* WRITE_ZEROES: may deallocate */
    BLOCK_GROW = 1u << 2,      /* WRITE, WRITE_ZEROES of a format driver: may reach past the end of
                                  a node that can_grow; elsewhere that is -ENOSPC */
};

/* Of a range of a node. */
enum {
    BLOCK_ALLOCATED = 1u << 0, /* the node's own image has it, not one behind it; or nobody knows */
    BLOCK_ZERO = 1u << 1,      /* reads as zeros */
};

struct BlockReq {
    /* set by the submitter */
    BlockOp op;
    uint32_t flags;
    uint64_t offset; /* bytes; any alignment: the block layer bounces where the file needs it */
    uint64_t bytes;  /* READ, WRITE: sum of iov; RESIZE: the new size */
    const struct iovec *iov;
    unsigned niov;
    void (*done)(BlockReq *req);
    /* set at done: 0 or -errno. READ and WRITE are whole or failed, never short. */
    int res;
    /* STATUS: BLOCK_ALLOCATED, BLOCK_ZERO of the first `known` bytes, at least 1; what is behind
     * them is to be asked for anew. */
    uint32_t status;
    uint64_t known;
    /* the block layer's own until done */
    BlockNode *node;
    uint32_t how;       /* flags as a driver has to take them: write_cache, no_flush and
                           can_discard are settled */
    void *priv;         /* the driver's; NULL at submit */
    int64_t started_ns; /* for the node's counters */
    LoopWork work;      /* completion */
    LoopPost post;      /* from a worker thread to the loop */
    uint8_t round;      /* node->round when it was submitted */
    BlockReq *next;     /* of an engine's queue */
    uint32_t stage;     /* an engine's */
    uint64_t progress;  /* bytes transferred so far */
    struct iovec *rest; /* what of iov lies behind progress, after a short transfer; owned */
    struct BlockBounce *bounce;
    BlockReq *write_next, **write_prev; /* of node->writes */
    bool detected;                      /* submitted as a WRITE: op is that again at done */
    bool rmw;                           /* reads and writes more than its own range */
    bool waiting;                       /* for an earlier write that overlaps */
};

/* Something that an image of a format is or has. */
typedef struct BlockFact {
    const char *name; /* static; so is text */
    enum {
        BLOCK_FACT_BOOL, /* number != 0 */
        BLOCK_FACT_NUMBER,
        BLOCK_FACT_TEXT
    } kind;
    uint64_t number;
    const char *text;
} BlockFact;

#define BLOCK_FACTS_MAX 8

/* What a format has beyond a size. */
typedef struct BlockDetails {
    uint32_t cluster_size;
    bool dirty; /* to be repaired, if nobody closes it */
    const char *backing, *backing_format; /* as the image names them, or NULL; the node's */
    BlockFact facts[BLOCK_FACTS_MAX];
    unsigned n_facts;
} BlockDetails;

/* One image format or protocol. All function pointers are required but those said optional. */
typedef struct BlockDriver {
    const char *name;    /* driver= */
    size_t state_size;   /* of node->state */
    const OptDesc *opts; /* offsets into state */
    /* Optional, of a protocol: filename is "NAME:..." or "NAME+...:..." as -drive file= has it.
     * Sets the driver's options that say the same. */
    bool (*parse_filename)(const char *filename, Opts *opts, GError **errp);
    /* Main thread; options are in node->state, the common ones in node. Opens, sets node->size,
     * align, read_only, can_discard, can_grow, has_status, unit. Child nodes come by
     * block_open_child(), and block_setup_io() reads them. On failure nothing is left behind but
     * the children, and close() is not called. */
    bool (*open)(BlockNode *node, Opts *opts, GError **errp);
    /* Main thread, detached; children are still there. */
    void (*close)(BlockNode *node);
    /* Optional: the node's loop is known now. */
    bool (*attach)(BlockNode *node, Loop *loop, GError **errp);
    /* Optional: the loop is going away; nothing is in flight. */
    void (*detach)(BlockNode *node);
    /* Bounds, read-only, alignment and flags (req->how) are settled before. Requests to children
     * are the driver's own, by block_submit(node->file, ...). */
    void (*submit)(BlockNode *node, BlockReq *req);
    /* Optional, best effort; a write that was started is never cancelled. */
    void (*cancel)(BlockNode *node, BlockReq *req);
    /* Optional, see block_read_now(); within the node's size. */
    size_t (*read_now)(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned niov);
    /* Optional: the open device of the host that the node is, byte for byte; stays the node's. */
    int (*host_fd)(const BlockNode *node);
    /* Optional, of files: tells other processes, or refuses with an error if one is in the way;
     * giving up what one has never fails. Under the graph's lock, any thread. */
    bool (*lock)(BlockNode *node, BlockAccess from, BlockAccess to, GError **errp);
    bool metadata; /* keeps some of its own in its file, which so nobody else may write */
    /* Optional: the file's name. */
    const char *(*filename)(const BlockNode *node);
    /* Optional, of files: see block_allocated(). */
    int64_t (*allocated)(const BlockNode *node);
    /* Optional, of formats: for people and managers. On the node's loop. */
    void (*describe)(const BlockNode *node, BlockDetails *details);
    /* Optional: what it needs of the kernel while it serves, beyond what is declared anyway. Its
     * nodes are only opened before the sandbox is there. */
    const SandboxCalls *sandbox;
    /* Optional: can node do all that its options promise when no file can be opened by name any
     * more? Else an error that says what to do. Main thread. */
    bool (*may_seal)(const BlockNode *node, GError **errp);
    bool can_resize; /* submit takes BLOCK_RESIZE */
    bool caches;     /* keeps writes back itself, so FLUSH comes also with cache.no-flush */
} BlockDriver;

/* An edge of the graph: a node below another one. */
typedef struct BlockChild {
    char *role; /* "file", "backing", "log" ...: the option that names it */
    BlockNode *node;
    bool owned; /* made along with its parent, so it goes with it */
} BlockChild;

/* A device that has taken a node; embedded in it. */
typedef struct BlockUser BlockUser;
struct BlockUser {
    const char *name; /* for errors */
    bool shared;      /* others that are may have the node, too; other processes may write it */
    bool fixed_size;  /* nobody may resize it */
    /* Optional: node->size has changed. On the node's loop; takes or releases no node. */
    void (*resized)(void *opaque);
    void *opaque;
    BlockUser *next; /* the block layer's own */
};

/* What a node has done since it was opened, by BlockOp. Written on the node's loop; whoever reads
 * it from elsewhere posts. */
typedef struct BlockStats {
    uint64_t ops[BLOCK_N_OPS]; /* that succeeded */
    uint64_t failed[BLOCK_N_OPS];
    uint64_t bytes[BLOCK_N_OPS]; /* of those that succeeded */
    uint64_t ns[BLOCK_N_OPS];    /* from submit to done, all of them */
    uint64_t highest;            /* end of the write that reached furthest, in bytes */
} BlockStats;

/* detect-zeroes= */
typedef enum BlockDetect {
    BLOCK_DETECT_OFF,
    BLOCK_DETECT_ON,    /* a WRITE of zeros goes on as WRITE_ZEROES */
    BLOCK_DETECT_UNMAP, /* ... with BLOCK_MAY_UNMAP */
} BlockDetect;
extern const char *const block_detect_names[]; /* NULL-terminated */

struct BlockNode {
    const BlockDriver *driver;
    BlockGraph *graph;
    char *name;     /* node-name, or the -drive's id, or made up */
    char *filename; /* of the image, if it is a file of the host's: set by the driver, owned */
    void *state;
    BlockNode *file; /* the child of that role, or NULL; so is backing */
    BlockNode *backing;
    Loop *loop;     /* NULL until attached */
    uint64_t size;  /* bytes */
    uint32_t align; /* of offset, length and memory that the file needs: 1, 512 or 4096 */
    bool can_grow;  /* a write past its end makes it longer: a regular file */
    bool read_only;
    bool demoted; /* read_only though read-only=on was not asked for, since the file can't be
                          written (auto-read-only) or the child is read-only: a disk that needs
                          to write refuses it */
    bool auto_read_only;
    bool direct;      /* cache.direct */
    bool probed;      /* raw only because no format was given: a write that makes the image look
                          like another format fails with -EPERM */
    bool write_cache; /* cache.writeback: writes may sit in a volatile cache until FLUSH; off:
                          block_submit() adds FUA to each write */
    bool no_flush;    /* cache=unsafe: FLUSH and FUA are not passed on */
    bool can_discard; /* discard=unmap and the driver can */
    uint8_t detect_zeroes; /* BlockDetect: of writes of zeros */
    bool has_status;       /* submit takes BLOCK_STATUS; else all is BLOCK_ALLOCATED */
    uint32_t unit;         /* bytes that are allocated together; 1: it makes no difference */
    BlockStats stats;
    /* the block layer's own */
    BlockUser *users;   /* devices that have taken it */
    BlockAccess access; /* by users and the nodes above; wanted: while that is settled anew */
    BlockAccess wanted;
    GArray *children;   /* of BlockChild; NULL: none */
    unsigned n_parents; /* edges from above */
    bool auto_named;
    bool written;            /* since the last drain's flush */
    char *id;                /* of the -drive, or NULL */
    unsigned attached;       /* how often; a node below several others is attached by each */
    unsigned in_flight[2];   /* by the round they were submitted in */
    uint8_t round;           /* 0 or 1: of new requests */
    BlockDrain *drains;      /* wait for the other round */
    BlockDrain *drains_next; /* came while those were waiting */
    LoopWork drain_work;
    BlockReq drain_req;
    BlockReq *writes, **writes_end; /* with align > 1: unfinished writes in order of arrival */
    struct BlockBuffers *buffers;
};

typedef struct BlockEngineType BlockEngineType; /* block/engine.h */

/* drivers, engines: NULL-terminated registry arrays; the first engine is the default. */
BlockGraph *block_graph_new(const BlockDriver *const *drivers,
                            const BlockEngineType *const *engines);
/* Drivers and codecs of modules (kinds "block" and "codec") are found by name, too. modules stays
 * the caller's. */
void block_graph_set_modules(BlockGraph *graph, ModuleSet *modules);
/* Where drivers' own system calls (BlockDriver.sandbox) are added to as their nodes are opened.
 * needs stays the caller's. */
void block_graph_set_needs(BlockGraph *graph, SandboxNeeds *needs);
/* What nodes refer to by an id that isn't a node's: a thing of a kind, such as credentials. The
 * caller keeps it until it's removed, or the graph has gone. */
void block_graph_add_thing(BlockGraph *graph, const char *kind, const char *id, void *thing);
void block_graph_remove_thing(BlockGraph *graph, const char *kind, const char *id);
void *block_graph_find_thing(const BlockGraph *graph, const char *kind, const char *id);
/* By aio= name; NULL if this build has no such engine. name NULL: the default. */
const BlockEngineType *block_engine_find(const BlockGraph *graph, const char *name);
/* Closes every node; all detached. */
void block_graph_free(BlockGraph *graph);
/* -blockdev: driver=, node-name=, read-only=, cache.direct=, cache.no-flush=, discard=,
 * auto-read-only=, and the driver's options, "file." for a nested node or file=NODE-NAME. Also
 * blockdev-add. Main thread, at any time. */
BlockNode *block_open(BlockGraph *graph, Opts *opts, GError **errp);
/* -drive: if=none, id=, file=, format=, cache=, readonly= / read-only=, aio=, discard=,
 * node-name=. A spelling that makes nodes as block_open() does; found by its id. */
BlockNode *block_open_drive(BlockGraph *graph, Opts *opts, GError **errp);
/* The same, of one that may have no medium: without file=, and anything else that would say what it
 * is, opts make an id for a removable device to begin with. */
bool block_add_drive(BlockGraph *graph, Opts *opts, GError **errp);
/* Is id that of a -drive without a medium? Main thread. */
bool block_drive_is_empty(const BlockGraph *graph, const char *id);
/* Takes it for a device, until block_empty_unuse(). False and an error if another one has it. Main
 * thread. */
bool block_empty_use(BlockGraph *graph, const char *id, GError **errp);
void block_empty_unuse(BlockGraph *graph, const char *id);
/* For drivers: opens the nested node "ROLE." of opts, or finds the one ROLE=NAME names, and makes
 * it parent's child of that role (a static string or one that is copied). */
BlockNode *block_open_child(BlockNode *parent, Opts *opts, const char *role, GError **errp);
/* The same where the options are the driver's: an image that another one names. */
BlockNode *block_open_child_opts(BlockNode *parent, Opts *nested, const char *role, GError **errp);
/* By node-name or -drive id; NULL if there is none. Main thread, or while it waits. */
BlockNode *block_find(BlockGraph *graph, const char *name);
/* blockdev-del: closes the node by that name and the children made along with it. False and an
 * error that says who has it, if a parent, a device or a machine has. Main thread. */
bool block_del(BlockGraph *graph, const char *name, GError **errp);

/* Takes node for a device, until block_unuse(). False and an error if another one, or another
 * process, has it. Any thread. */
bool block_use(BlockNode *node, BlockUser *user, GError **errp);
void block_unuse(BlockNode *node, BlockUser *user);

/* The loop's thread, or before it runs. False if it belongs to another loop already. Takes
 * children along. Each attach needs its detach. */
bool block_attach(BlockNode *node, Loop *loop, GError **errp);
/* On the loop's thread, or after it ended. By the last one nothing is in flight, no drain is under
 * way and no buffer is out. */
void block_detach(BlockNode *node);

void block_submit(BlockNode *node, BlockReq *req);
void block_cancel(BlockReq *req);
/* Reads without waiting, as far as the bytes are in the host's memory: how many that was, and 0 for
 * whatever keeps more from being had, be it an error; a request finds out. On the node's loop. */
size_t block_read_now(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned niov);
/* Has the node no way to do that, for none of its bytes? */
bool block_never_reads_now(const BlockNode *node);
/* Waits for every request submitted so far, then flushes (if anything was written), then calls
 * idle from the loop, once. Requests that come later, of others that share the node, are not waited
 * for, so they can't hold it up; several drains may be under way. */
void block_drain(BlockNode *node, BlockDrain *drain, void (*idle)(void *), void *opaque);

/* Requests on the main thread that are waited for, on a node that no machine has: a driver's open
 * and close read and write their children so, and a monitor resizes an unused node. begin and end
 * bracket any number of them and nest; false and an error if node belongs to a machine. */
bool block_setup_begin(BlockNode *node, GError **errp);
void block_setup_end(BlockNode *node);
/* 0 or -errno. Between begin and end. A write may make a file longer, as with BLOCK_GROW. */
int block_setup_io(BlockNode *node, BlockOp op, uint64_t offset, void *buf, uint64_t bytes);

/* Memory for data in flight, aligned for node (page aligned); recycled, so that a request costs
 * no page faults. bytes is rounded up to a power of two; put takes the same number as get. On the
 * node's loop, while it is attached. NULL if the kernel has no memory for it. */
void *block_buffer_get(BlockNode *node, size_t bytes);
void block_buffer_put(BlockNode *node, void *buf, size_t bytes);

/* What there is, for monitors: children before parents. Main thread. */
unsigned block_count(const BlockGraph *graph);
BlockNode *block_at(const BlockGraph *graph, unsigned i);
/* The loop that node is attached to at the moment; NULL: none. Any thread. */
Loop *block_loop(BlockNode *node);
/* Name of the file that is at the bottom; "": there is none. Valid as long as the node. */
const char *block_filename(const BlockNode *node);
/* Bytes that the host's file system has given to node's image, not its backing images, as far as
 * the kernel knows without asking a server; -errno if nobody knows. On node's loop. */
int64_t block_allocated(const BlockNode *node);
/* Who opens names that are no paths, "/dev/fdset/N": returns a descriptor that has these flags, the
 * caller's, or -1 with errno. NULL, the default: nobody. */
typedef int BlockOpenFn(void *opaque, const char *name, int flags);
void block_set_opener(BlockGraph *graph, BlockOpenFn *fn, void *opaque);

/* Is there no node that block_seal() would break a promise of? Main thread. */
bool block_may_seal(const BlockGraph *graph, GError **errp);
/* No path is opened any more, as the sandbox is on: EACCES; and no node of a driver with system
 * calls of its own. Main thread. */
void block_seal(BlockGraph *graph);

/* Before the sandbox is on, in a process that files may be added to: makes n files' worth of what
 * the engines of this build need of the kernel then. Files beyond that use threads. Main thread,
 * once. */
void block_make_spares(BlockGraph *graph, unsigned n);

/* Descriptor of the host's device below node, for SCSI commands to it; -1 if there is none. */
int block_host_fd(const BlockNode *node);

/* For drivers: done from the loop, with res. On the loop's thread, from within submit or later. */
void block_complete(BlockReq *req, int res);

#endif
