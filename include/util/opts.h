/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options: one spelling-independent list of dotted keys and string values, from key=value text or
 * from JSON ({"file":{"driver":"file"}} gives file.driver=file), and a table that moves them into
 * typed fields of a struct. Main thread only.
 */
#ifndef UTIL_OPTS_H
#define UTIL_OPTS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Opts Opts;

/*
 * text: "value-of-implied,key=value,key,..." (",," is a comma inside a value; a bare key is
 * key=on) or a JSON object when it starts with '{'. implied: name of the key of a first item
 * without '=', or NULL. A key given twice: the last one wins, as in QEMU. NULL and an error on
 * malformed text, an empty key, nested JSON arrays.
 */
Opts *opts_parse(const char *text, const char *implied, GError **errp);
Opts *opts_new(void);
void opts_free(Opts *opts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Opts, opts_free)

/* Value or NULL; valid until the option is set again or opts is freed. Does not mark it used. */
const char *opts_peek(const Opts *opts, const char *key);
/* As opts_peek(), and marks the option used. */
const char *opts_get(Opts *opts, const char *key);
void opts_set(Opts *opts, const char *key, const char *value);
/* Moves every option below PREFIX. into a new list, without the prefix ("file" takes
 * file.driver as driver). They count as used here. Never NULL; may be empty. */
Opts *opts_take_sub(Opts *opts, const char *prefix);
bool opts_empty(const Opts *opts);
/* False and an error naming the first option that nobody used: "%s 'KEY'" with `what` in front,
 * as "Property 'lsi53c895a.foo' not found" where what is given as a format with one %s. */
bool opts_check_used(const Opts *opts, const char *format, GError **errp);

typedef enum OptType {
    OPT_END,
    OPT_STRING, /* char *, owned, g_free()d by opt_fields_clear() */
    OPT_BOOL,   /* bool: on/off, also yes/no, true/false */
    OPT_TRI,    /* int: 0 off, 1 on, -1 auto */
    OPT_U8,     /* uint8_t; numbers are decimal or 0x hex */
    OPT_U16,
    OPT_U32,
    OPT_U64,
    OPT_I32,
    OPT_SIZE, /* uint64_t bytes with K, M, G, T suffix (powers of 1024) */
    OPT_ENUM, /* int: index into names */
} OptType;

typedef struct OptDesc {
    const char *name;
    OptType type;
    size_t offset;            /* of the field in the struct */
    int64_t min, max;         /* both 0: the type's whole range */
    int64_t def;              /* for numbers, bool, tri, enum */
    const char *def_str;      /* for OPT_STRING, may be NULL */
    const char *const *names; /* OPT_ENUM: NULL-terminated */
    const char *help;         /* one line for -device TYPE,help */
} OptDesc;

/* Sets every field to its default. base must be zeroed or previously defaulted. */
void opt_fields_default(const OptDesc *descs, void *base);
/* Takes the options that descs names out of opts (marks them used) and stores them. False and an
 * error that names option and value: "Parameter 'scsi-id' expects ..." . */
bool opt_fields_set(const OptDesc *descs, void *base, Opts *opts, GError **errp);
/* Frees the strings. */
void opt_fields_clear(const OptDesc *descs, void *base);
/* "lun=<uint32>" style text of a desc's type for help output; static. */
const char *opt_type_name(const OptDesc *desc);

/* Parse helpers with whole-string checking; false and an error naming `what`. */
bool opt_parse_u64(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out,
                   GError **errp);
bool opt_parse_size(const char *what, const char *text, uint64_t *out, GError **errp);
bool opt_parse_bool(const char *what, const char *text, bool *out, GError **errp);

#endif
