/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits on how many bytes and requests a second go through a group of nodes. Names and meanings
 * are QEMU's: a rate, and optionally a higher one (max) that may be used for some seconds
 * (max-length) after a time of rest.
 *
 * A group is a leaky bucket for each limit: what passes fills it, time empties it at the limit's
 * rate, and while one is full the members' requests wait, in turns, in the order each got them.
 *
 * A group belongs to the machine whose nodes use it: made and freed on the main thread, attached,
 * used and detached on that machine's loop. References are counted without a lock, on the main
 * thread.
 */
#ifndef BLOCK_THROTTLE_H
#define BLOCK_THROTTLE_H

#include "block/block.h"

typedef enum ThrottleKind {
    THROTTLE_BPS_TOTAL,
    THROTTLE_BPS_READ,
    THROTTLE_BPS_WRITE,
    THROTTLE_IOPS_TOTAL,
    THROTTLE_IOPS_READ,
    THROTTLE_IOPS_WRITE,
    THROTTLE_KINDS
} ThrottleKind;

typedef struct ThrottleLimit {
    uint64_t rate;   /* units a second; 0: no limit */
    uint64_t max;    /* units a second in a burst; 0: no burst beyond 100 ms of rate */
    uint64_t length; /* s that a burst may last */
} ThrottleLimit;

typedef struct ThrottleLimits {
    ThrottleLimit limit[THROTTLE_KINDS];
    uint64_t iops_size; /* a request counts once for each begun so many bytes; 0: once */
} ThrottleLimits;

/* Options that set a ThrottleLimits at `offset` of a struct: PREFIX "iops-total" and so on. */
#define THROTTLE_OPT(prefix, opt, base, field, text)                                               \
    {                                                                                              \
        .name = prefix opt, .type = OPT_U64, .offset = (base) + offsetof(ThrottleLimits, field),   \
        .help = text                                                                               \
    }
#define THROTTLE_OPT_LENGTH(prefix, opt, base, field, text)                                        \
    {                                                                                              \
        .name = prefix opt, .type = OPT_U64, .offset = (base) + offsetof(ThrottleLimits, field),   \
        .def = 1, .help = text                                                                     \
    }
#define THROTTLE_OPTS_OF(prefix, opt, base, kind, text)                                            \
    THROTTLE_OPT(prefix, opt, base, limit[kind].rate, text " a second"),                           \
        THROTTLE_OPT(prefix, opt "-max", base, limit[kind].max, text " a second in a burst"),      \
        THROTTLE_OPT_LENGTH(prefix, opt "-max-length", base, limit[kind].length,                   \
                            "seconds that such a burst may last")
#define THROTTLE_OPTS(prefix, base)                                                                \
    THROTTLE_OPTS_OF(prefix, "bps-total", base, THROTTLE_BPS_TOTAL, "bytes"),                      \
        THROTTLE_OPTS_OF(prefix, "bps-read", base, THROTTLE_BPS_READ, "bytes read"),               \
        THROTTLE_OPTS_OF(prefix, "bps-write", base, THROTTLE_BPS_WRITE, "bytes written"),          \
        THROTTLE_OPTS_OF(prefix, "iops-total", base, THROTTLE_IOPS_TOTAL, "requests"),             \
        THROTTLE_OPTS_OF(prefix, "iops-read", base, THROTTLE_IOPS_READ, "reads"),                  \
        THROTTLE_OPTS_OF(prefix, "iops-write", base, THROTTLE_IOPS_WRITE, "writes"),               \
        THROTTLE_OPT(prefix, "iops-size", base, iops_size, "bytes that count as one request")

/* False and an error, in the words of the options, if they contradict each other or are too large
 * to count with. Any thread. */
bool throttle_limits_check(const ThrottleLimits *limits, GError **errp);

/* Is there a limit at all? Any thread. */
bool throttle_limits_any(const ThrottleLimits *limits);

/* --- groups --- */

typedef struct ThrottleGroup ThrottleGroup;
typedef struct ThrottleMember ThrottleMember;

/* A node of a group; embedded in its state. start is set by the node before it attaches; the rest
 * is the group's. */
struct ThrottleMember {
    ThrottleGroup *group; /* NULL: not attached */
    BlockReq *first[2], **end[2]; /* requests that wait, by req->next: reads and writes */
    void (*start)(ThrottleMember *member, BlockReq *req);
    ThrottleMember *next; /* of the group, in a ring */
};

#define BLOCK_THROTTLE_GROUP "throttle-group" /* of block_graph_find_thing() */

/* limits have passed throttle_limits_check(); id and limits are copied. Never NULL; the caller has
 * a reference. Nodes find it as the graph's thing of kind BLOCK_THROTTLE_GROUP, which the caller
 * sees to. Main thread, as are ref and unref. */
ThrottleGroup *throttle_group_new(const char *id, const ThrottleLimits *limits);
ThrottleGroup *throttle_group_ref(ThrottleGroup *group);
/* True if it was the last one: the group is gone, its thing has to be removed from the graph. */
bool throttle_group_unref(ThrottleGroup *group);
/* Valid as long as the group. Any thread. */
const char *throttle_group_id(const ThrottleGroup *group);
/* For tests: what stands for loop_now_ns(), in ns. Before the first member attaches. */
void throttle_group_set_clock(ThrottleGroup *group, int64_t (*now_ns)(void));

/* The member's node is on a loop now. False and an error if the group is on another one. */
bool throttle_member_attach(ThrottleMember *member, ThrottleGroup *group, Loop *loop,
                            GError **errp);
/* Nothing of it waits; on the loop's thread. */
void throttle_member_detach(ThrottleMember *member);
/* Calls member->start(req) when it is its turn: within the call, or from the loop. Until then req
 * is the group's, linked by req->next. On the loop's thread. */
void throttle_member_submit(ThrottleMember *member, BlockReq *req);
/* True if req was waiting: it is not started, and is the caller's to complete. False: it has been
 * started. On the loop's thread. */
bool throttle_member_withdraw(ThrottleMember *member, BlockReq *req);

#endif
