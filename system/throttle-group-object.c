/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * throttle-group: limits that block nodes of driver throttle share,
 *
 *   -object throttle-group,id=ID,x-iops-total=N                in QEMU's two spellings
 *   -object throttle-group,id=ID,limits.iops-total=N
 *
 * Main thread, at start, before the block nodes. What the limits do is block/throttle-group.c.
 */
#include "system/object.h"
#include "block/throttle.h"
#include "util/error.h"

typedef struct ThrottleGroupState {
    ThrottleLimits limits;
    ThrottleGroup *group;
} ThrottleGroupState;

static const OptDesc throttle_group_props[] = {
    THROTTLE_OPTS("x-", offsetof(ThrottleGroupState, limits)),
    THROTTLE_OPTS("limits.", offsetof(ThrottleGroupState, limits)),
    { .type = OPT_END }
};

static BlockGraph *graph_of(const Object *obj)
{
    return obj->set->devices->blocks;
}

static bool throttle_group_create(Object *obj, GError **errp)
{
    ThrottleGroupState *s = obj->state;

    if (!throttle_limits_check(&s->limits, errp)) {
        return false;
    }
    s->group = throttle_group_new(obj->id, &s->limits);
    block_graph_add_thing(graph_of(obj), BLOCK_THROTTLE_GROUP, obj->id, s->group);
    return true;
}

static bool throttle_group_prepare(Object *obj G_GNUC_UNUSED, GError **errp G_GNUC_UNUSED)
{
    return true;
}

static void throttle_group_stop(Object *obj G_GNUC_UNUSED)
{
}

/* Nodes of it may be there still. */
static void throttle_group_destroy(Object *obj)
{
    ThrottleGroupState *s = obj->state;

    block_graph_remove_thing(graph_of(obj), BLOCK_THROTTLE_GROUP, obj->id);
    throttle_group_unref(s->group);
}

const ObjectType throttle_group_type = {
    .name = "throttle-group",
    .desc = "limits that block nodes share",
    .props = throttle_group_props,
    .size = sizeof(ThrottleGroupState),
    .early = true,
    .create = throttle_group_create,
    .prepare = throttle_group_prepare,
    .serve = object_ended,
    .stop = throttle_group_stop,
    .destroy = throttle_group_destroy,
};
