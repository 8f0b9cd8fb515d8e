/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * throttle: a filter whose requests wait until their group (throttle-group.c) lets them start. A
 * node names its group, an -object throttle-group; -drive throttling.* makes one of its own, or
 * shares one by throttling.group=.
 *
 * Flushes and questions of status move no data and don't wait, and neither does what is cancelled.
 *
 * On the node's loop.
 */
#include "block/throttle.h"
#include "block/drivers.h"
#include "block/filter.h"
#include "util/error.h"
#include <errno.h>

typedef struct ThrottleState {
    ThrottleMember member; /* must be first */
    char *group_id;
    ThrottleGroup *group;
    BlockNode *node;
} ThrottleState;

static void throttle_start(ThrottleMember *member, BlockReq *req)
{
    filter_pass(((ThrottleState *)member)->node->file, req);
}

static bool throttle_open(BlockNode *node, Opts *opts, GError **errp)
{
    ThrottleState *s = node->state;
    ThrottleGroup *group;

    if (!s->group_id) {
        return error_set(errp, "Option 'throttle-group' is missing");
    }
    group = block_graph_find_thing(node->graph, BLOCK_THROTTLE_GROUP, s->group_id);
    if (!group) {
        return error_set(errp, "Throttle group '%s' does not exist", s->group_id);
    }
    if (!filter_open(node, opts, "file", errp)) {
        return false;
    }
    s->group = throttle_group_ref(group);
    s->node = node;
    s->member.start = throttle_start;
    return true;
}

static void throttle_close(BlockNode *node)
{
    ThrottleState *s = node->state;

    if (throttle_group_unref(s->group)) {
        block_graph_remove_thing(node->graph, BLOCK_THROTTLE_GROUP, s->group_id);
    }
}

static bool throttle_attach(BlockNode *node, Loop *loop, GError **errp)
{
    ThrottleState *s = node->state;

    return throttle_member_attach(&s->member, s->group, loop, errp);
}

static void throttle_detach(BlockNode *node)
{
    ThrottleState *s = node->state;

    throttle_member_detach(&s->member);
}

static void throttle_submit(BlockNode *node, BlockReq *req)
{
    ThrottleState *s = node->state;

    if (req->op == BLOCK_FLUSH || req->op == BLOCK_STATUS) {
        filter_pass(node->file, req);
    } else {
        throttle_member_submit(&s->member, req);
    }
}

static void throttle_cancel(BlockNode *node, BlockReq *req)
{
    ThrottleState *s = node->state;

    if (throttle_member_withdraw(&s->member, req)) {
        block_complete(req, -ECANCELED);
    } else {
        filter_cancel(node->file, req);
    }
}

static const OptDesc throttle_opts[] = {
    { .name = "throttle-group",
      .type = OPT_STRING,
      .offset = offsetof(ThrottleState, group_id),
      .help = "id of an -object throttle-group" },
    { 0 },
};

const BlockDriver block_throttle_driver = {
    .name = "throttle",
    .state_size = sizeof(ThrottleState),
    .opts = throttle_opts,
    .open = throttle_open,
    .close = throttle_close,
    .attach = throttle_attach,
    .detach = throttle_detach,
    .submit = throttle_submit,
    .cancel = throttle_cancel,
};
