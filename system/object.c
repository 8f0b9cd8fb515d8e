/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The objects of the process: creation from options, the steps of their life, and the count that
 * ends the process.
 *
 * An object is created once its type, id and properties are right. When every option of the
 * command line has been taken, all objects acquire, then all are prepared, then all are served.
 * From then on the set counts those that have not ended; the last one calls all_ended, and the
 * process goes. An object that has ended stays in the set, with its device claimed, until it is
 * removed or the set is freed. One that a monitor adds or removes goes through the same steps
 * alone; that the last one was removed is no reason to end.
 *
 * Main thread only.
 */
#include "system/object.h"
#include "util/error.h"
#include "util/main-post.h"
#include <string.h>

ObjectSet *object_set_new(const ObjectType *const *types, DeviceTree *devices, SandboxNeeds *needs,
                          const ObjectSetOps *ops, void *opaque)
{
    ObjectSet *set = g_new0(ObjectSet, 1);

    set->types = types;
    set->objects = g_ptr_array_new();
    set->devices = devices;
    set->needs = needs;
    set->polling = (PollingProps){ POLLING_MAX_NS, POLLING_GROW, POLLING_SHRINK };
    set->ops = ops;
    set->opaque = opaque;
    return set;
}

static void object_free(Object *obj)
{
    if (obj->created) {
        obj->type->destroy(obj);
    }
    opt_fields_clear(obj->type->props, obj->state);
    g_free(obj->state);
    g_free(obj->origin);
    g_free(obj->id);
    g_free(obj);
}

void object_set_free(ObjectSet *set)
{
    for (unsigned i = set->objects->len; i > 0; i--) {
        object_free(g_ptr_array_index(set->objects, i - 1));
    }
    g_ptr_array_free(set->objects, TRUE);
    g_free(set);
}

const ObjectType *object_type_find(const ObjectSet *set, const char *name)
{
    for (unsigned i = 0; set->types[i]; i++) {
        if (strcmp(set->types[i]->name, name) == 0) {
            return set->types[i];
        }
    }
    return NULL;
}

Object *object_find(const ObjectSet *set, const char *id)
{
    for (unsigned i = 0; i < set->objects->len; i++) {
        Object *obj = g_ptr_array_index(set->objects, i);
        if (strcmp(obj->id, id) == 0) {
            return obj;
        }
    }
    return NULL;
}

bool object_id_check(const char *id, GError **errp)
{
    if (!id) {
        return error_set(errp, "Parameter 'id' is missing");
    }
    bool ok = g_ascii_isalpha(id[0]);
    for (const char *c = id; ok && *c; c++) {
        ok = g_ascii_isalnum(*c) || strchr("-._", *c);
    }
    if (!ok) {
        return error_set(errp, "Parameter 'id' expects an identifier: letters, digits, '-', '.', "
                               "'_', starting with a letter");
    }
    return true;
}

static bool object_configure(Object *obj, Opts *opts, GError **errp)
{
    g_autofree char *unknown = g_strdup_printf("Property '%s.%%s' not found", obj->type->name);

    opt_fields_default(obj->type->props, obj->state);
    return opt_fields_set(obj->type->props, obj->state, opts, errp) &&
           opts_check_used(opts, unknown, errp) && obj->type->create(obj, errp);
}

Object *object_new(ObjectSet *set, Opts *opts, Device *device, const char *origin, GError **errp)
{
    const char *name = opts_get(opts, "qom-type");
    if (!name) {
        error_set(errp, "Parameter 'qom-type' is missing");
        return NULL;
    }
    const ObjectType *type = object_type_find(set, name);
    if (!type) {
        error_set(errp, "'%s' is not an object type of this program", name);
        return NULL;
    }
    const char *id = opts_get(opts, "id");
    if (!object_id_check(id, errp)) {
        return NULL;
    }
    if (object_find(set, id)) {
        error_set(errp, "Duplicate ID '%s' for object", id);
        return NULL;
    }

    Object *obj = g_new0(Object, 1);
    obj->type = type;
    obj->set = set;
    obj->id = g_strdup(id);
    obj->origin = g_strdup(origin);
    obj->device = device;
    obj->state = g_malloc0(type->size);
    obj->created = object_configure(obj, opts, errp);
    if (!obj->created) {
        object_free(obj);
        return NULL;
    }
    g_ptr_array_add(set->objects, obj);
    return obj;
}

bool object_set_acquire(ObjectSet *set, GError **errp)
{
    for (unsigned i = 0; i < set->objects->len; i++) {
        Object *obj = g_ptr_array_index(set->objects, i);
        if (obj->type->acquire && !obj->type->acquire(obj, errp)) {
            g_prefix_error(errp, "%s: ", obj->origin);
            return false;
        }
    }
    return true;
}

bool object_set_prepare(ObjectSet *set, GError **errp)
{
    for (unsigned i = 0; i < set->objects->len; i++) {
        Object *obj = g_ptr_array_index(set->objects, i);
        if (!obj->type->prepare(obj, errp)) {
            g_prefix_error(errp, "%s: ", obj->origin);
            return false;
        }
    }
    return true;
}

void object_set_serve(ObjectSet *set)
{
    set->live = set->objects->len; /* before the first one ends */
    for (unsigned i = 0; i < set->objects->len; i++) {
        Object *obj = g_ptr_array_index(set->objects, i);
        obj->live = true;
        obj->type->serve(obj);
    }
}

void object_set_stop(ObjectSet *set)
{
    for (unsigned i = 0; i < set->objects->len; i++) {
        Object *obj = g_ptr_array_index(set->objects, i);
        if (!obj->ended && !obj->removed) {
            obj->type->stop(obj);
        }
    }
}

bool object_start(Object *obj, GError **errp)
{
    if ((obj->type->acquire && !obj->type->acquire(obj, errp)) || !obj->type->prepare(obj, errp)) {
        g_ptr_array_remove(obj->set->objects, obj);
        object_free(obj);
        return false;
    }
    obj->set->live++;
    obj->live = true;
    obj->type->serve(obj);
    return true;
}

static void remove_now(void *opaque)
{
    Object *obj = opaque;
    void (*removed)(void *) = obj->removed;
    void *removed_opaque = obj->removed_opaque;

    g_ptr_array_remove(obj->set->objects, obj);
    object_free(obj);
    removed(removed_opaque);
}

/* Not from within: the object may be in the midst of telling that it has ended. */
static void remove_soon(Object *obj)
{
    main_post(remove_now, obj);
}

void object_remove(Object *obj, void (*removed)(void *opaque), void *opaque)
{
    g_assert(!obj->removed);
    obj->removed = removed;
    obj->removed_opaque = opaque;
    if (obj->live) {
        obj->type->stop(obj);
    } else {
        remove_soon(obj);
    }
}

void object_ended(Object *obj)
{
    ObjectSet *set = obj->set;

    g_assert(!obj->ended && set->live > 0);
    obj->ended = true;
    obj->live = false;
    set->live--;
    if (obj->removed) {
        remove_soon(obj);
    } else if (set->live == 0) {
        set->ops->all_ended(set->opaque);
    }
}
