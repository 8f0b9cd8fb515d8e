/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of options that stands between the command line's two spellings and the typed fields.
 * Values stay text, as the key=value spelling knows no types; who takes an option says what it
 * has to be (opts-fields.c). Keys are flat, with dots where JSON nests (opts-json.c).
 *
 * Every option remembers whether somebody has asked for it. Whoever took the list has the rest
 * refused with opts_check_used(), so that a misspelt option never goes unnoticed.
 *
 * Lists have a handful of entries and are searched in order; the order is that of the command
 * line, and an error names the first culprit. Main thread only.
 */
#include "util/opts.h"
#include "util/opts-internal.h"
#include "util/error.h"
#include <string.h>

typedef struct OptItem {
    char *key;
    char *value;
    bool used;
} OptItem;

struct Opts {
    GPtrArray *items; /* OptItem * */
};

static void item_free(void *opaque)
{
    OptItem *item = opaque;

    g_free(item->key);
    g_free(item->value);
    g_free(item);
}

Opts *opts_new(void)
{
    Opts *opts = g_new0(Opts, 1);

    opts->items = g_ptr_array_new_with_free_func(item_free);
    return opts;
}

void opts_free(Opts *opts)
{
    if (opts) {
        g_ptr_array_free(opts->items, true);
        g_free(opts);
    }
}

static OptItem *find(const Opts *opts, const char *key)
{
    for (unsigned i = 0; i < opts->items->len; i++) {
        OptItem *item = g_ptr_array_index(opts->items, i);

        if (strcmp(item->key, key) == 0) {
            return item;
        }
    }
    return NULL;
}

const char *opts_peek(const Opts *opts, const char *key)
{
    const OptItem *item = find(opts, key);

    return item ? item->value : NULL;
}

const char *opts_get(Opts *opts, const char *key)
{
    OptItem *item = find(opts, key);

    if (!item) {
        return NULL;
    }
    item->used = true;
    return item->value;
}

void opts_set(Opts *opts, const char *key, const char *value)
{
    OptItem *item = find(opts, key);
    char *copy = g_strdup(value); /* value may be the one that is replaced */

    if (!item) {
        item = g_new0(OptItem, 1);
        item->key = g_strdup(key);
        g_ptr_array_add(opts->items, item);
    }
    g_free(item->value);
    item->value = copy;
    item->used = false;
}

Opts *opts_take_sub(Opts *opts, const char *prefix)
{
    size_t len = strlen(prefix);
    Opts *sub = opts_new();
    unsigned i = 0;

    while (i < opts->items->len) {
        OptItem *item = g_ptr_array_index(opts->items, i);

        if (strncmp(item->key, prefix, len) != 0 || item->key[len] != '.') {
            i++;
            continue;
        }
        opts_set(sub, item->key + len + 1, item->value);
        g_ptr_array_remove_index(opts->items, i);
    }
    return sub;
}

bool opts_empty(const Opts *opts)
{
    return opts->items->len == 0;
}

bool opts_check_used(const Opts *opts, const char *format, GError **errp)
{
    const char *place = strstr(format, "%s");

    g_assert(place);
    for (unsigned i = 0; i < opts->items->len; i++) {
        const OptItem *item = g_ptr_array_index(opts->items, i);

        if (!item->used) {
            return error_set(errp, "%.*s%s%s", (int)(place - format), format, item->key,
                             place + strlen("%s"));
        }
    }
    return true;
}

/* Copies a value up to a comma that has no second one behind it; ",," becomes ",". */
static char *scan_value(const char **pos)
{
    GString *value = g_string_new(NULL);
    const char *p = *pos;

    while (*p && (p[0] != ',' || p[1] == ',')) {
        g_string_append_c(value, *p);
        p += *p == ',' ? 2 : 1;
    }
    *pos = p;
    return g_string_free(value, false);
}

static bool add_text(Opts *opts, const char *text, const char *implied, GError **errp)
{
    const char *p = text;

    while (*p) {
        size_t len = strcspn(p, "=,");
        g_autofree char *key = g_strndup(p, len);
        g_autofree char *value = NULL;

        if (p[len] == '=') {
            p += len + 1;
            value = scan_value(&p);
        } else if (p == text && implied) {
            g_free(key);
            key = g_strdup(implied);
            value = scan_value(&p);
        } else {
            p += len;
            value = g_strdup("on");
        }
        if (!*key) {
            return error_set(errp, "empty option name in '%s'", text);
        }
        opts_set(opts, key, value);
        if (*p == ',') {
            p++;
        }
    }
    return true;
}

Opts *opts_parse(const char *text, const char *implied, GError **errp)
{
    g_autoptr(Opts) opts = opts_new();
    bool ok;

    if (*text == '{') {
        ok = opts_add_json(opts, text, errp);
    } else {
        ok = add_text(opts, text, implied, errp);
    }
    return ok ? g_steal_pointer(&opts) : NULL;
}
