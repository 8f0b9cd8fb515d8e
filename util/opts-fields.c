/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From option text to typed struct fields, led by a table of OptDesc. Numbers are decimal or 0x
 * hex and never octal; a text is taken as a whole or refused, in a sentence that names the
 * option, what it expects and what it got. A default is stored as it is and may lie outside the
 * allowed range: that is how a field says "not given". Main thread only.
 */
#include "util/opts.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>

/* What the table knows of a type; min and max are those of the integers. */
static const struct {
    const char *name;
    int64_t min;
    uint64_t max;
} types[] = {
    [OPT_STRING] = { "str", 0, 0 },
    [OPT_BOOL] = { "bool", 0, 1 },
    [OPT_TRI] = { "OnOffAuto", -1, 1 },
    [OPT_U8] = { "uint8", 0, UINT8_MAX },
    [OPT_U16] = { "uint16", 0, UINT16_MAX },
    [OPT_U32] = { "uint32", 0, UINT32_MAX },
    [OPT_U64] = { "uint64", 0, UINT64_MAX },
    [OPT_I32] = { "int32", INT32_MIN, INT32_MAX },
    [OPT_SIZE] = { "size", 0, UINT64_MAX },
    [OPT_ENUM] = { "enum", 0, INT32_MAX },
};

/* Digits in either base, at least one, and nothing else up to *end; false also on overflow. */
static bool scan_digits(const char *text, uint64_t *out, const char **end)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = hex ? text + 2 : text;
    char *stop;

    /* g_ascii_strtoull() itself would also take blanks, a sign and a second 0x. */
    if (hex ? !g_ascii_isxdigit(digits[0]) : !g_ascii_isdigit(digits[0])) {
        return false;
    }
    if (hex && g_ascii_tolower(digits[1]) == 'x') {
        return false;
    }
    errno = 0;
    *out = g_ascii_strtoull(digits, &stop, hex ? 16 : 10);
    *end = stop;
    return errno == 0;
}

static bool scan_u64(const char *text, uint64_t *out)
{
    const char *end;

    return scan_digits(text, out, &end) && !*end;
}

/* Whole range of int64_t. */
static bool scan_i64(const char *text, int64_t *out)
{
    bool negative = text[0] == '-';
    uint64_t magnitude;

    if (!scan_u64(text + negative, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *out = negative ? (int64_t)-magnitude : (int64_t)magnitude;
    return true;
}

static bool scan_size(const char *text, uint64_t *out)
{
    static const char suffixes[] = "KMGT";
    const char *suffix;
    const char *end;
    unsigned shift;

    if (!scan_digits(text, out, &end)) {
        return false;
    }
    if (!*end) {
        return true;
    }
    suffix = strchr(suffixes, g_ascii_toupper(*end));
    if (!suffix || end[1]) {
        return false;
    }
    shift = 10 * (suffix - suffixes + 1);
    if (*out > UINT64_MAX >> shift) {
        return false;
    }
    *out <<= shift;
    return true;
}

static bool scan_bool(const char *text, bool *out)
{
    static const char *const on[] = { "on", "yes", "true", NULL };
    static const char *const off[] = { "off", "no", "false", NULL };

    *out = g_strv_contains(on, text);
    return *out || g_strv_contains(off, text);
}

bool opt_parse_u64(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out,
                   GError **errp)
{
    uint64_t value;

    if (!scan_u64(text, &value) || value < min || value > max) {
        return error_set(errp,
                         "Parameter '%s' expects a number between %" G_GUINT64_FORMAT
                         " and %" G_GUINT64_FORMAT ", not '%s'",
                         what, min, max, text);
    }
    *out = value;
    return true;
}

bool opt_parse_size(const char *what, const char *text, uint64_t *out, GError **errp)
{
    uint64_t value;

    if (!scan_size(text, &value)) {
        return error_set(errp,
                         "Parameter '%s' expects a number of bytes below 2^64, with K, M, G, T or "
                         "nothing behind it, not '%s'",
                         what, text);
    }
    *out = value;
    return true;
}

bool opt_parse_bool(const char *what, const char *text, bool *out, GError **errp)
{
    bool value;

    if (!scan_bool(text, &value)) {
        return error_set(errp, "Parameter '%s' expects 'on' or 'off', not '%s'", what, text);
    }
    *out = value;
    return true;
}

static bool has_range(const OptDesc *desc)
{
    return desc->min || desc->max;
}

static int64_t desc_min(const OptDesc *desc)
{
    return has_range(desc) ? MAX(desc->min, types[desc->type].min) : types[desc->type].min;
}

static uint64_t desc_max(const OptDesc *desc)
{
    uint64_t limit = types[desc->type].max;

    /* min alone is a lower bound; only a signed field can have a max that is not above 0. */
    if (!has_range(desc) || desc->max < desc->min) {
        return limit;
    }
    return desc->max < 0 ? (uint64_t)desc->max : MIN((uint64_t)desc->max, limit);
}

static bool parse_i32(const OptDesc *desc, const char *text, uint64_t *out, GError **errp)
{
    int64_t min = desc_min(desc);
    int64_t max = (int64_t)desc_max(desc);
    int64_t value;

    if (!scan_i64(text, &value) || value < min || value > max) {
        return error_set(errp,
                         "Parameter '%s' expects a number between %" G_GINT64_FORMAT
                         " and %" G_GINT64_FORMAT ", not '%s'",
                         desc->name, min, max, text);
    }
    *out = (uint64_t)value;
    return true;
}

static bool parse_size(const OptDesc *desc, const char *text, uint64_t *out, GError **errp)
{
    uint64_t min = desc_min(desc);
    uint64_t max = desc_max(desc);

    if (!opt_parse_size(desc->name, text, out, errp)) {
        return false;
    }
    if (*out < min || *out > max) {
        return error_set(errp,
                         "Parameter '%s' expects between %" G_GUINT64_FORMAT
                         " and %" G_GUINT64_FORMAT " bytes, not '%s'",
                         desc->name, min, max, text);
    }
    return true;
}

static bool parse_tri(const OptDesc *desc, const char *text, uint64_t *out, GError **errp)
{
    bool on;

    if (strcmp(text, "auto") == 0) {
        *out = (uint64_t)-1;
        return true;
    }
    if (!scan_bool(text, &on)) {
        return error_set(errp, "Parameter '%s' expects 'on', 'off' or 'auto', not '%s'", desc->name,
                         text);
    }
    *out = on;
    return true;
}

static bool parse_enum(const OptDesc *desc, const char *text, uint64_t *out, GError **errp)
{
    g_autofree char *choice = NULL;

    for (unsigned i = 0; desc->names[i]; i++) {
        if (strcmp(desc->names[i], text) == 0) {
            *out = i;
            return true;
        }
    }
    choice = g_strjoinv("', '", (char **)desc->names);
    return error_set(errp, "Parameter '%s' expects one of '%s', not '%s'", desc->name, choice,
                     text);
}

/* The number behind text for every type but OPT_STRING; negative ones in two's complement. */
static bool parse_number(const OptDesc *desc, const char *text, uint64_t *out, GError **errp)
{
    bool on;

    switch (desc->type) {
    case OPT_BOOL:
        if (!opt_parse_bool(desc->name, text, &on, errp)) {
            return false;
        }
        *out = on;
        return true;
    case OPT_TRI:
        return parse_tri(desc, text, out, errp);
    case OPT_I32:
        return parse_i32(desc, text, out, errp);
    case OPT_SIZE:
        return parse_size(desc, text, out, errp);
    case OPT_ENUM:
        return parse_enum(desc, text, out, errp);
    default:
        return opt_parse_u64(desc->name, text, desc_min(desc), desc_max(desc), out, errp);
    }
}

static void store_number(const OptDesc *desc, void *base, uint64_t value)
{
    void *field = (char *)base + desc->offset;

    switch (desc->type) {
    case OPT_BOOL:
        *(bool *)field = value != 0;
        break;
    case OPT_TRI:
    case OPT_ENUM:
        *(int *)field = (int)value;
        break;
    case OPT_U8:
        *(uint8_t *)field = (uint8_t)value;
        break;
    case OPT_U16:
        *(uint16_t *)field = (uint16_t)value;
        break;
    case OPT_U32:
        *(uint32_t *)field = (uint32_t)value;
        break;
    case OPT_I32:
        *(int32_t *)field = (int32_t)value;
        break;
    case OPT_U64:
    case OPT_SIZE:
        *(uint64_t *)field = value;
        break;
    default:
        g_assert_not_reached();
    }
}

static void store_string(const OptDesc *desc, void *base, const char *value)
{
    char **field = (char **)(void *)((char *)base + desc->offset);
    char *old = *field;

    *field = g_strdup(value);
    g_free(old);
}

void opt_fields_default(const OptDesc *descs, void *base)
{
    for (const OptDesc *desc = descs; desc->type != OPT_END; desc++) {
        if (desc->type == OPT_STRING) {
            store_string(desc, base, desc->def_str);
        } else {
            store_number(desc, base, (uint64_t)desc->def);
        }
    }
}

bool opt_fields_set(const OptDesc *descs, void *base, Opts *opts, GError **errp)
{
    for (const OptDesc *desc = descs; desc->type != OPT_END; desc++) {
        const char *text = opts_get(opts, desc->name);
        uint64_t value;

        if (!text) {
            continue;
        }
        if (desc->type == OPT_STRING) {
            store_string(desc, base, text);
            continue;
        }
        if (!parse_number(desc, text, &value, errp)) {
            return false;
        }
        store_number(desc, base, value);
    }
    return true;
}

void opt_fields_clear(const OptDesc *descs, void *base)
{
    for (const OptDesc *desc = descs; desc->type != OPT_END; desc++) {
        if (desc->type == OPT_STRING) {
            store_string(desc, base, NULL);
        }
    }
}

const char *opt_type_name(const OptDesc *desc)
{
    return types[desc->type].name;
}
