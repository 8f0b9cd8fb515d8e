/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options from JSON. Jansson reads the text; here the tree becomes the flat list: members of a
 * nested object get their parents' names and a dot in front, booleans become on and off, integers
 * their decimal text, null (as in "backing": null) the empty text. Arrays and fractions have no
 * counterpart in the key=value spelling and are refused by name, as is a name given twice, be it
 * once flat and once nested.
 *
 * Text from a monitor or file may be hostile: its size and depth are bounded, and Jansson bounds
 * its own recursion. Main thread only.
 */
#include "util/opts-internal.h"
#include "util/error.h"
#include <jansson.h>
#include <string.h>

#define JSON_BYTES_MAX (1u << 20)
#define JSON_DEPTH_MAX 16

static bool add_object(Opts *opts, const char *parent, const json_t *object, unsigned depth,
                       GError **errp);

/* Text of a plain value; NULL for what has none. */
static char *scalar_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return g_strdup(json_string_value(value));
    case JSON_INTEGER:
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_TRUE:
        return g_strdup("on");
    case JSON_FALSE:
        return g_strdup("off");
    case JSON_NULL:
        return g_strdup("");
    default:
        return NULL;
    }
}

static const char *type_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_ARRAY:
        return "an array";
    default:
        return "a fraction";
    }
}

static bool add_value(Opts *opts, const char *key, const json_t *value, unsigned depth,
                      GError **errp)
{
    g_autofree char *text = NULL;

    if (json_is_object(value)) {
        return add_object(opts, key, value, depth + 1, errp);
    }
    text = scalar_text(value);
    if (!text) {
        return error_set(errp, "Parameter '%s' can't be %s", key, type_text(value));
    }
    if (opts_peek(opts, key)) {
        return error_set(errp, "Parameter '%s' is given twice", key);
    }
    opts_set(opts, key, text);
    return true;
}

static bool add_object(Opts *opts, const char *parent, const json_t *object, unsigned depth,
                       GError **errp)
{
    const char *name;
    json_t *value;

    if (depth > JSON_DEPTH_MAX) {
        return error_set(errp, "JSON is nested deeper than %d objects", JSON_DEPTH_MAX);
    }
    /* Jansson's iteration takes a non-const object, and doesn't change it. */
    json_object_foreach((json_t *)object, name, value)
    {
        g_autofree char *key = parent ? g_strconcat(parent, ".", name, NULL) : g_strdup(name);

        if (!*name) {
            return error_set(errp, "empty option name in JSON");
        }
        if (!add_value(opts, key, value, depth, errp)) {
            return false;
        }
    }
    return true;
}

bool opts_add_json(Opts *opts, const char *text, GError **errp)
{
    size_t len = strnlen(text, JSON_BYTES_MAX + 1);
    json_error_t where;
    json_t *root;
    bool ok;

    if (len > JSON_BYTES_MAX) {
        return error_set(errp, "JSON is longer than %u bytes", JSON_BYTES_MAX);
    }
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        return error_set(errp, "JSON parse error: %s", where.text);
    }
    ok = add_object(opts, NULL, root, 1, errp);
    json_decref(root);
    return ok;
}
