/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Throttle groups: leaky buckets, and whose turn it is.
 *
 * For each limit there is a bucket. What goes through is poured in, and it leaks at the limit's
 * rate. A request may start while the bucket is no fuller than its capacity; it is then poured in
 * whole, so that one larger than the capacity is possible, too, and those behind it wait for it to
 * leak away. Without max the capacity is what leaks in 100 ms. With it, the capacity is that of
 * the whole burst, max for max-length seconds; and if that is more than one second, a second bucket
 * which leaks at max, again of 100 ms, sees to it that the burst isn't spent at once.
 *
 * Reads and writes wait in queues of their own, as their limits differ. Within a direction the
 * members of a group that have something waiting take turns, one request each; whoever comes while
 * others wait, waits. One timer a direction says when the next one may start.
 *
 * Levels are doubles: units are bytes and requests, and times are differences of a clock that only
 * goes forward, so there is nothing to overflow and no rounding that anybody would notice.
 *
 * Main thread at set-up, the machine's loop afterwards.
 */
#include "block/throttle.h"
#include "util/error.h"

#define NS_PER_S 1e9
#define REST_S 0.1                           /* a bucket's capacity where there is no burst */
#define VALUE_MAX UINT64_C(1000000000000000) /* as in QEMU */

typedef struct Bucket {
    double leak, capacity; /* units a second, units; leak 0: no limit */
    double level;
} Bucket;

struct ThrottleGroup {
    char *id;
    unsigned refs;
    uint64_t iops_size;
    Bucket bucket[THROTTLE_KINDS], burst[THROTTLE_KINDS];
    int64_t (*now_ns)(void);
    int64_t leaked_ns;       /* up to when the buckets have leaked */
    Loop *loop;              /* NULL: no member is attached */
    ThrottleMember *members; /* a ring, or NULL */
    ThrottleMember *last[2]; /* whose turn it was */
    LoopTimer timer[2];
};

/* --- limits --- */

static const char *const kind_names[THROTTLE_KINDS] = {
    "bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write",
};

static bool check_limit(const ThrottleLimit *l, const char *name, GError **errp)
{
    if (l->rate > VALUE_MAX || l->max > VALUE_MAX) {
        return error_set(errp, "'%s' and '%s-max' can be %" G_GUINT64_FORMAT " at most", name, name,
                         VALUE_MAX);
    }
    if (l->max && !l->rate) {
        return error_set(errp, "'%s-max' needs '%s'", name, name);
    }
    if (l->max && l->max < l->rate) {
        return error_set(errp, "'%s-max' is less than '%s'", name, name);
    }
    if (!l->length || (l->length > 1 && !l->max)) {
        return error_set(errp, "'%s-max-length' is %s", name, l->length ? "for '-max' alone" : "0");
    }
    if (l->max && l->length > VALUE_MAX / l->max) {
        return error_set(errp, "'%s-max' for '%s-max-length' seconds is too much", name, name);
    }
    return true;
}

static bool check_total(const ThrottleLimits *limits, ThrottleKind total, GError **errp)
{
    const ThrottleLimit *l = &limits->limit[total];

    return !l[0].rate || (!l[1].rate && !l[2].rate) ||
           error_set(errp, "'%s' excludes '%s' and '%s'", kind_names[total], kind_names[total + 1],
                     kind_names[total + 2]);
}

bool throttle_limits_check(const ThrottleLimits *limits, GError **errp)
{
    bool iops = false;

    for (ThrottleKind k = 0; k < THROTTLE_KINDS; k++) {
        if (!check_limit(&limits->limit[k], kind_names[k], errp)) {
            return false;
        }
        iops = iops || (k >= THROTTLE_IOPS_TOTAL && limits->limit[k].rate);
    }
    if (limits->iops_size && !iops) {
        return error_set(errp, "'iops-size' needs a limit of requests");
    }
    return check_total(limits, THROTTLE_BPS_TOTAL, errp) &&
           check_total(limits, THROTTLE_IOPS_TOTAL, errp);
}

bool throttle_limits_any(const ThrottleLimits *limits)
{
    bool any = false;

    for (ThrottleKind k = 0; k < THROTTLE_KINDS; k++) {
        any = any || limits->limit[k].rate;
    }
    return any;
}

/* --- buckets --- */

static void bucket_leak(Bucket *b, double seconds)
{
    b->level = MAX(0, b->level - b->leak * seconds);
}

/* Seconds until something may be poured in. */
static double bucket_wait(const Bucket *b)
{
    return b->leak > 0 && b->level > b->capacity ? (b->level - b->capacity) / b->leak : 0;
}

static void leak_all(ThrottleGroup *g)
{
    int64_t now = g->now_ns();
    double seconds = (now - g->leaked_ns) / NS_PER_S;

    for (ThrottleKind k = 0; k < THROTTLE_KINDS; k++) {
        bucket_leak(&g->bucket[k], seconds);
        bucket_leak(&g->burst[k], seconds);
    }
    g->leaked_ns = now;
}

static bool concerns(ThrottleKind kind, bool writing)
{
    ThrottleKind of_kind = kind % THROTTLE_IOPS_TOTAL;

    return of_kind == THROTTLE_BPS_TOTAL ||
           of_kind == (writing ? THROTTLE_BPS_WRITE : THROTTLE_BPS_READ);
}

/* Nanoseconds until a request may start. */
static int64_t group_wait(ThrottleGroup *g, bool writing)
{
    double wait = 0;

    leak_all(g);
    for (ThrottleKind k = 0; k < THROTTLE_KINDS; k++) {
        if (concerns(k, writing)) {
            wait = MAX(wait, bucket_wait(&g->bucket[k]));
            wait = MAX(wait, bucket_wait(&g->burst[k]));
        }
    }
    return MIN(wait * NS_PER_S, G_MAXINT64 / 4);
}

static void group_pour(ThrottleGroup *g, const BlockReq *req, bool writing)
{
    double n = g->iops_size && req->bytes > g->iops_size ? (double)req->bytes / g->iops_size : 1;

    for (ThrottleKind k = 0; k < THROTTLE_KINDS; k++) {
        double units = k < THROTTLE_IOPS_TOTAL ? req->bytes : n;

        if (concerns(k, writing)) {
            g->bucket[k].level += units;
            g->burst[k].level += units;
        }
    }
}

/* --- turns --- */

static ThrottleMember *next_waiting(const ThrottleGroup *g, bool writing)
{
    ThrottleMember *m = g->last[writing];

    for (;;) {
        m = m->next;
        if (m->first[writing]) {
            return m;
        }
        if (m == g->last[writing]) {
            return NULL;
        }
    }
}

static BlockReq *queue_pop(ThrottleMember *m, bool writing)
{
    BlockReq *req = m->first[writing];

    m->first[writing] = req->next;
    if (!req->next) {
        m->end[writing] = &m->first[writing];
    }
    req->next = NULL;
    return req;
}

static void group_run(ThrottleGroup *g, bool writing)
{
    ThrottleMember *m;

    while ((m = next_waiting(g, writing))) {
        int64_t wait = group_wait(g, writing);
        BlockReq *req;

        if (wait > 0) {
            loop_timer_arm(&g->timer[writing], g->now_ns() + wait);
            return;
        }
        g->last[writing] = m;
        req = queue_pop(m, writing);
        group_pour(g, req, writing);
        m->start(m, req);
    }
}

static void read_timer(void *opaque)
{
    group_run(opaque, false);
}

static void write_timer(void *opaque)
{
    group_run(opaque, true);
}

void throttle_member_submit(ThrottleMember *m, BlockReq *req)
{
    bool writing = req->op != BLOCK_READ;

    req->next = NULL;
    *m->end[writing] = req;
    m->end[writing] = &req->next;
    if (!loop_timer_armed(&m->group->timer[writing])) {
        group_run(m->group, writing);
    }
}

bool throttle_member_withdraw(ThrottleMember *m, BlockReq *req)
{
    bool writing = req->op != BLOCK_READ;
    BlockReq **link = &m->first[writing];

    while (*link && *link != req) {
        link = &(*link)->next;
    }
    if (!*link) {
        return false;
    }
    *link = req->next;
    if (!req->next) {
        m->end[writing] = link;
    }
    return true;
}

/* --- groups and members --- */

ThrottleGroup *throttle_group_new(const char *id, const ThrottleLimits *limits)
{
    ThrottleGroup *g = g_new0(ThrottleGroup, 1);

    g->id = g_strdup(id);
    g->refs = 1;
    g->iops_size = limits->iops_size;
    g->now_ns = loop_now_ns;
    for (ThrottleKind k = 0; k < THROTTLE_KINDS; k++) {
        const ThrottleLimit *l = &limits->limit[k];

        g->bucket[k].leak = l->rate;
        g->bucket[k].capacity = l->max ? (double)l->max * l->length : l->rate * REST_S;
        if (l->max && l->length > 1) {
            g->burst[k].leak = l->max;
            g->burst[k].capacity = l->max * REST_S;
        }
    }
    return g;
}

ThrottleGroup *throttle_group_ref(ThrottleGroup *g)
{
    g->refs++;
    return g;
}

bool throttle_group_unref(ThrottleGroup *g)
{
    if (--g->refs) {
        return false;
    }
    g_assert(!g->members);
    g_free(g->id);
    g_free(g);
    return true;
}

const char *throttle_group_id(const ThrottleGroup *g)
{
    return g->id;
}

void throttle_group_set_clock(ThrottleGroup *g, int64_t (*now_ns)(void))
{
    g->now_ns = now_ns;
}

static void group_start(ThrottleGroup *g, Loop *loop)
{
    g->loop = loop;
    g->leaked_ns = g->now_ns();
    loop_timer_init(&g->timer[false], loop, read_timer, g);
    loop_timer_init(&g->timer[true], loop, write_timer, g);
}

bool throttle_member_attach(ThrottleMember *m, ThrottleGroup *g, Loop *loop, GError **errp)
{
    if (g->loop && g->loop != loop) {
        return error_set(errp, "Throttle group '%s' is in use by another machine", g->id);
    }
    if (!g->loop) {
        group_start(g, loop);
    }
    m->group = g;
    for (unsigned i = 0; i < 2; i++) {
        m->first[i] = NULL;
        m->end[i] = &m->first[i];
    }
    if (g->members) {
        m->next = g->members->next;
        g->members->next = m;
    } else {
        m->next = m;
        g->members = g->last[false] = g->last[true] = m;
    }
    return true;
}

void throttle_member_detach(ThrottleMember *m)
{
    ThrottleGroup *g = m->group;
    ThrottleMember *before = m;

    g_assert(!m->first[false] && !m->first[true]);
    while (before->next != m) {
        before = before->next;
    }
    before->next = m->next;
    if (before == m) {
        before = NULL;
        g->loop = NULL;
        loop_timer_disarm(&g->timer[false]);
        loop_timer_disarm(&g->timer[true]);
    }
    g->members = before;
    for (unsigned i = 0; i < 2; i++) {
        if (g->last[i] == m) {
            g->last[i] = before;
        }
    }
}
