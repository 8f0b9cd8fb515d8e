/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blkdebug: a filter for tests, which fails requests on purpose.
 *
 *   driver=blkdebug,image=NODE,inject-error.0.event=write_aio,inject-error.0.errno=28,
 *       inject-error.0.sector=8,inject-error.0.once=on,inject-error.1.event=...
 *
 * Each rule says which requests it is for: by event (read_aio, write_aio, flush_to_disk, or none
 * for all), and if sector is given, those whose range has it. The first one that applies decides;
 * with once=on it is used up by that. Names and defaults are QEMU's; of its events these are the
 * ones that are not about the inside of an image format, and there is no state machine.
 *
 * On the node's loop.
 */
#include "block/drivers.h"
#include "block/filter.h"
#include "util/error.h"
#include <errno.h>

#define SECTOR 512
#define RULES_MAX 64

static const char *const event_names[] = { "none", "read_aio", "write_aio", "flush_to_disk", NULL };

typedef enum Event { EVENT_NONE, EVENT_READ, EVENT_WRITE, EVENT_FLUSH } Event;

typedef struct Rule {
    int event;
    int error; /* positive errno */
    int64_t sector;
    bool once, used;
} Rule;

/* Of the options; typed as they can be written. */
typedef struct RuleOpts {
    int event;
    uint32_t error;
    char *sector;
    bool once;
} RuleOpts;

typedef struct BlkdebugState {
    BlockNode *image;
    GArray *rules; /* of Rule */
} BlkdebugState;

static const OptDesc rule_opts[] = {
    { .name = "event",
      .type = OPT_ENUM,
      .offset = offsetof(RuleOpts, event),
      .def = -1,
      .names = event_names },
    { .name = "errno",
      .type = OPT_U32,
      .offset = offsetof(RuleOpts, error),
      .min = 1,
      .max = 4095,
      .def = EIO },
    { .name = "sector", .type = OPT_STRING, .offset = offsetof(RuleOpts, sector) },
    { .name = "once", .type = OPT_BOOL, .offset = offsetof(RuleOpts, once) },
    { 0 },
};

static bool rule_from(Opts *opts, Rule *rule, GError **errp)
{
    RuleOpts o = { 0 };
    uint64_t sector = 0;
    bool ok;

    opt_fields_default(rule_opts, &o);
    ok = opt_fields_set(rule_opts, &o, opts, errp) &&
         opts_check_used(opts, "Option 'inject-error.%s' is unknown", errp) &&
         (!o.sector || opt_parse_u64("sector", o.sector, 0, INT64_MAX / SECTOR, &sector, errp));
    if (ok && o.event < 0) {
        ok = error_set(errp, "Option 'inject-error.event' is missing");
    }
    *rule = (Rule){ .event = o.event, .error = o.error, .once = o.once };
    rule->sector = o.sector ? (int64_t)sector : -1;
    opt_fields_clear(rule_opts, &o);
    return ok;
}

static bool take_rules(BlkdebugState *s, Opts *opts, GError **errp)
{
    s->rules = g_array_new(FALSE, FALSE, sizeof(Rule));
    for (unsigned i = 0; i < RULES_MAX; i++) {
        g_autofree char *prefix = g_strdup_printf("inject-error.%u", i);
        g_autoptr(Opts) sub = opts_take_sub(opts, prefix);
        Rule rule;

        if (opts_empty(sub)) {
            break;
        }
        if (!rule_from(sub, &rule, errp)) {
            return false;
        }
        g_array_append_val(s->rules, rule);
    }
    return true;
}

static void blkdebug_close(BlockNode *node)
{
    BlkdebugState *s = node->state;

    g_clear_pointer(&s->rules, g_array_unref);
}

static bool blkdebug_open(BlockNode *node, Opts *opts, GError **errp)
{
    BlkdebugState *s = node->state;

    if (take_rules(s, opts, errp)) {
        s->image = filter_open(node, opts, "image", errp);
    }
    if (!s->image) {
        blkdebug_close(node);
    }
    return s->image != NULL;
}

static Event event_of(const BlockReq *req)
{
    switch (req->op) {
    case BLOCK_READ:
        return EVENT_READ;
    case BLOCK_FLUSH:
        return EVENT_FLUSH;
    default:
        return EVENT_WRITE;
    }
}

static bool applies(const Rule *rule, const BlockReq *req)
{
    uint64_t at = (uint64_t)rule->sector * SECTOR;

    if (req->op == BLOCK_STATUS || rule->used ||
        (rule->event != EVENT_NONE && rule->event != (int)event_of(req))) {
        return false;
    }
    return rule->sector < 0 ||
           (req->op != BLOCK_FLUSH && at < req->offset + req->bytes && at + SECTOR > req->offset);
}

static void blkdebug_submit(BlockNode *node, BlockReq *req)
{
    BlkdebugState *s = node->state;

    for (unsigned i = 0; i < s->rules->len; i++) {
        Rule *rule = &g_array_index(s->rules, Rule, i);

        if (applies(rule, req)) {
            rule->used = rule->once;
            block_complete(req, -rule->error);
            return;
        }
    }
    filter_pass(s->image, req);
}

static void blkdebug_cancel(BlockNode *node, BlockReq *req)
{
    const BlkdebugState *s = node->state;

    filter_cancel(s->image, req);
}

static const OptDesc blkdebug_opts[] = {
    { 0 },
};

const BlockDriver block_blkdebug_driver = {
    .name = "blkdebug",
    .state_size = sizeof(BlkdebugState),
    .opts = blkdebug_opts,
    .open = blkdebug_open,
    .close = blkdebug_close,
    .submit = blkdebug_submit,
    .cancel = blkdebug_cancel,
};
