/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QMP can say, as constant tables: types, commands, events. The same tables check what comes
 * in, are what query-qmp-schema answers, and are printed as the reference manual.
 */
#ifndef MONITOR_SCHEMA_H
#define MONITOR_SCHEMA_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct QmpType QmpType;
typedef struct QmpRequest QmpRequest; /* monitor/monitor.h */

typedef enum QmpKind {
    QMP_STR,
    QMP_INT,
    QMP_NUMBER,
    QMP_BOOL,
    QMP_ANY,
    QMP_ENUM,
    QMP_OBJECT,
    QMP_ARRAY,
} QmpKind;

typedef struct QmpMember {
    const char *name;
    const QmpType *type;
    bool optional;
    const char *help; /* for the manual; NULL where name and type say it all */
} QmpMember;

struct QmpType {
    QmpKind kind;
    const char *name;
    const char *const *values; /* QMP_ENUM: NULL-terminated */
    const QmpMember *members;  /* QMP_OBJECT: ended by a NULL name; NULL: none */
    const QmpType *of;         /* QMP_ARRAY: the elements */
    bool open;                 /* QMP_OBJECT: has other members besides, any */
};

/* Tables of members. */
#define QMP_MEMBER(name_, type_, help_)                                                            \
    {                                                                                              \
        .name = (name_), .type = &(type_), .help = (help_)                                         \
    }
#define QMP_OPTIONAL(name_, type_, help_)                                                          \
    {                                                                                              \
        .name = (name_), .type = &(type_), .optional = true, .help = (help_)                       \
    }
#define QMP_MEMBERS(...)                                                                           \
    (const QmpMember[])                                                                            \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            .name = NULL                                                                           \
        }                                                                                          \
    }
/* Types. */
#define QMP_STRUCT(var_, name_, ...)                                                               \
    const QmpType var_ = {                                                                         \
        .kind = QMP_OBJECT,                                                                        \
        .name = (name_),                                                                           \
        .members = QMP_MEMBERS(__VA_ARGS__),                                                       \
    }
#define QMP_LIST(var_, name_, of_)                                                                 \
    const QmpType var_ = { .kind = QMP_ARRAY, .name = (name_), .of = &(of_) }
#define QMP_CHOICE(var_, name_, ...)                                                               \
    const QmpType var_ = {                                                                         \
        .kind = QMP_ENUM,                                                                          \
        .name = (name_),                                                                           \
        .values = (const char *const[]){ __VA_ARGS__, NULL },                                      \
    }

extern const QmpType qmp_str, qmp_int, qmp_number, qmp_bool, qmp_any, qmp_strs, qmp_anys;
extern const QmpType qmp_empty; /* object without members */

/* When a command may run. */
enum {
    QMP_NEGOTIATING = 1u << 0, /* the client has not sent qmp_capabilities */
    QMP_RUNNING = 1u << 1,
    QMP_STOPPED = 1u << 2,
    QMP_ENDING = 1u << 3, /* the process is about to end */
    QMP_READY = QMP_RUNNING | QMP_STOPPED,
    QMP_ALWAYS = QMP_READY | QMP_ENDING, /* but before the negotiation */
};

typedef struct QmpCommand {
    const char *name;
    const QmpType *args; /* an object; NULL: none */
    const QmpType *ret;  /* NULL: an empty object */
    unsigned when;       /* QMP_* states */
    bool changes;        /* is not run while another one that changes something is under way */
    /* req->args fits args. Answers by qmp_return() or qmp_error(), now or later. */
    void (*run)(QmpRequest *req);
    const char *help;
} QmpCommand;

typedef struct QmpEvent {
    const char *name;
    const QmpType *data; /* NULL: none */
    const char *help;
} QmpEvent;

/* Everything that one program has. */
typedef struct QmpSchema {
    const QmpCommand *const *commands; /* groups, ended by NULL; each is ended by a NULL name */
    const QmpEvent *const *events;     /* the same */
} QmpSchema;

/* Does value have that type? False and an error in QEMU's words; name: of the value for it, NULL
 * for a command's arguments. */
bool qmp_type_check(const QmpType *type, const json_t *value, const char *name, GError **errp);
const QmpCommand *qmp_command_find(const QmpSchema *schema, const char *name);
const QmpEvent *qmp_event_find(const QmpSchema *schema, const char *name);
/* What query-qmp-schema answers; the caller's. */
json_t *qmp_introspect(const QmpSchema *schema);
/* The reference manual, in Markdown; the caller frees it. */
char *qmp_reference(const QmpSchema *schema);

#endif
