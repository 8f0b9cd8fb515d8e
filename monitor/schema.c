/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The schema's two uses inside QMP: checking, and introspection in QEMU's form.
 *
 * Checking is strict, as in QEMU: a member that the type doesn't have is an error, and so is one
 * that is missing and not optional; JSON's numbers are integers or not by how they are written.
 * Only objects that are marked open (the arguments of device_add and its like, which a table of
 * properties checks later) take more.
 *
 * Introspection walks the types from commands and events downwards and lists each once. Types have
 * readable names where QEMU hides them behind numbers; clients must go by references either way.
 * Arguments that are nobody else's type get the name that QEMU's generator gives them.
 *
 * Main thread.
 */
#include "monitor/schema.h"
#include "util/error.h"
#include <string.h>

const QmpType qmp_str = { .kind = QMP_STR, .name = "str" };
const QmpType qmp_int = { .kind = QMP_INT, .name = "int" };
const QmpType qmp_number = { .kind = QMP_NUMBER, .name = "number" };
const QmpType qmp_bool = { .kind = QMP_BOOL, .name = "bool" };
const QmpType qmp_any = { .kind = QMP_ANY, .name = "any" };
const QmpType qmp_strs = { .kind = QMP_ARRAY, .name = "[str]", .of = &qmp_str };
const QmpType qmp_anys = { .kind = QMP_ARRAY, .name = "[any]", .of = &qmp_any };
const QmpType qmp_empty = { .kind = QMP_OBJECT, .name = "q_empty" };

/* By QmpKind, as QEMU names them. */
static const char *const json_types[] = {
    "string", "int", "number", "boolean", "value", "string", "object", "array",
};

/* --- checking --- */

static bool check_enum(const QmpType *type, const json_t *value, const char *name, GError **errp)
{
    const char *text = json_string_value(value);

    return g_strv_contains(type->values, text) ||
           error_set(errp, "Parameter '%s' does not accept value '%s'", name, text);
}

static const QmpMember *member_find(const QmpType *type, const char *name)
{
    for (const QmpMember *m = type->members; m && m->name; m++) {
        if (strcmp(m->name, name) == 0) {
            return m;
        }
    }
    return NULL;
}

static char *member_name(const char *parent, const char *name)
{
    return parent ? g_strdup_printf("%s.%s", parent, name) : g_strdup(name);
}

static bool check_object(const QmpType *type, const json_t *value, const char *name, GError **errp)
{
    const char *key;
    json_t *sub;

    for (const QmpMember *m = type->members; m && m->name; m++) {
        g_autofree char *full = member_name(name, m->name);

        sub = json_object_get(value, m->name);
        if (!sub && !m->optional) {
            return error_set(errp, "Parameter '%s' is missing", full);
        }
        if (sub && !qmp_type_check(m->type, sub, full, errp)) {
            return false;
        }
    }
    /* Jansson's iteration takes a non-const object, and doesn't change it. */
    json_object_foreach((json_t *)value, key, sub) {
        if (!type->open && !member_find(type, key)) {
            g_autofree char *full = member_name(name, key);
            return error_set(errp, "Parameter '%s' is unexpected", full);
        }
    }
    return true;
}

static bool check_array(const QmpType *type, const json_t *value, const char *name, GError **errp)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        g_autofree char *full = g_strdup_printf("%s[%zu]", name, i);

        if (!qmp_type_check(type->of, json_array_get(value, i), full, errp)) {
            return false;
        }
    }
    return true;
}

static bool kind_fits(QmpKind kind, const json_t *value)
{
    switch (kind) {
    case QMP_STR:
    case QMP_ENUM:
        return json_is_string(value);
    case QMP_INT:
        return json_is_integer(value);
    case QMP_NUMBER:
        return json_is_number(value);
    case QMP_BOOL:
        return json_is_boolean(value);
    case QMP_OBJECT:
        return json_is_object(value);
    case QMP_ARRAY:
        return json_is_array(value);
    case QMP_ANY:
        return true;
    }
    g_assert_not_reached();
}

bool qmp_type_check(const QmpType *type, const json_t *value, const char *name, GError **errp)
{
    if (!kind_fits(type->kind, value)) {
        return error_set(errp, "Invalid parameter type for '%s', expected: %s",
                         name ? name : "arguments", json_types[type->kind]);
    }
    switch (type->kind) {
    case QMP_ENUM:
        return check_enum(type, value, name, errp);
    case QMP_OBJECT:
        return check_object(type, value, name, errp);
    case QMP_ARRAY:
        return check_array(type, value, name, errp);
    default:
        return true;
    }
}

const QmpCommand *qmp_command_find(const QmpSchema *schema, const char *name)
{
    for (const QmpCommand *const *group = schema->commands; *group; group++) {
        for (const QmpCommand *command = *group; command->name; command++) {
            if (strcmp(command->name, name) == 0) {
                return command;
            }
        }
    }
    return NULL;
}

const QmpEvent *qmp_event_find(const QmpSchema *schema, const char *name)
{
    for (const QmpEvent *const *group = schema->events; *group; group++) {
        for (const QmpEvent *event = *group; event->name; event++) {
            if (strcmp(event->name, name) == 0) {
                return event;
            }
        }
    }
    return NULL;
}

/* --- introspection --- */

typedef struct Walk {
    json_t *list;
    GHashTable *seen; /* names of types in list; the names are the schema's */
} Walk;

static void add_type(Walk *walk, const QmpType *type);

static void add_entity(Walk *walk, json_t *entity)
{
    json_array_append_new(walk->list, entity);
}

static json_t *members_json(Walk *walk, const QmpType *type)
{
    json_t *members = json_array();

    for (const QmpMember *m = type->members; m && m->name; m++) {
        json_t *member = json_pack("{s:s, s:s}", "name", m->name, "type", m->type->name);

        add_type(walk, m->type);
        if (m->optional) { /* the default is not told, as QEMU has it */
            json_object_set_new(member, "default", json_null());
        }
        json_array_append_new(members, member);
    }
    return members;
}

static json_t *enum_json(const QmpType *type)
{
    json_t *values = json_array();
    json_t *members = json_array();

    for (unsigned i = 0; type->values[i]; i++) {
        json_array_append_new(values, json_string(type->values[i]));
        json_array_append_new(members, json_pack("{s:s}", "name", type->values[i]));
    }
    return json_pack("{s:s, s:s, s:o, s:o}", "name", type->name, "meta-type", "enum", "members",
                     members, "values", values);
}

static void add_type(Walk *walk, const QmpType *type)
{
    if (!g_hash_table_add(walk->seen, (void *)type->name)) {
        return;
    }
    switch (type->kind) {
    case QMP_OBJECT:
        add_entity(walk, json_pack("{s:s, s:s, s:o}", "name", type->name, "meta-type", "object",
                                   "members", members_json(walk, type)));
        break;
    case QMP_ARRAY:
        add_type(walk, type->of);
        add_entity(walk, json_pack("{s:s, s:s, s:s}", "name", type->name, "meta-type", "array",
                                   "element-type", type->of->name));
        break;
    case QMP_ENUM:
        add_entity(walk, enum_json(type));
        break;
    default:
        add_entity(walk, json_pack("{s:s, s:s, s:s}", "name", type->name, "meta-type", "builtin",
                                   "json-type", json_types[type->kind]));
        break;
    }
}

static void add_command(Walk *walk, const QmpCommand *command)
{
    const QmpType *args = command->args ? command->args : &qmp_empty;
    const QmpType *ret = command->ret ? command->ret : &qmp_empty;

    add_type(walk, args);
    add_type(walk, ret);
    add_entity(walk, json_pack("{s:s, s:s, s:s, s:s}", "name", command->name, "meta-type",
                               "command", "arg-type", args->name, "ret-type", ret->name));
}

static void add_event(Walk *walk, const QmpEvent *event)
{
    const QmpType *data = event->data ? event->data : &qmp_empty;

    add_type(walk, data);
    add_entity(walk, json_pack("{s:s, s:s, s:s}", "name", event->name, "meta-type", "event",
                               "arg-type", data->name));
}

json_t *qmp_introspect(const QmpSchema *schema)
{
    Walk walk = { .list = json_array(), .seen = g_hash_table_new(g_str_hash, g_str_equal) };

    for (const QmpCommand *const *group = schema->commands; *group; group++) {
        for (const QmpCommand *command = *group; command->name; command++) {
            add_command(&walk, command);
        }
    }
    for (const QmpEvent *const *group = schema->events; *group; group++) {
        for (const QmpEvent *event = *group; event->name; event++) {
            add_event(&walk, event);
        }
    }
    g_hash_table_unref(walk.seen);
    return walk.list;
}
