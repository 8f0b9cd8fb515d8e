/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The QMP reference manual out of the schema, in Markdown: what `-qmp help` prints and
 * docs/system/qmp-reference.md holds. Commands and events first, in the order of their tables, then
 * the types that they refer to, by name.
 *
 * Main thread.
 */
#include "monitor/schema.h"
#include <string.h>

#define COLUMNS 100

typedef struct Manual {
    GString *text;
    GPtrArray *types; /* const QmpType *, objects and enums that are referred to */
} Manual;

static void note_type(Manual *manual, const QmpType *type)
{
    while (type->kind == QMP_ARRAY) {
        type = type->of;
    }
    if ((type->kind != QMP_OBJECT && type->kind != QMP_ENUM) ||
        g_ptr_array_find(manual->types, type, NULL)) {
        return;
    }
    g_ptr_array_add(manual->types, (void *)type);
    for (const QmpMember *m = type->members; m && m->name; m++) {
        note_type(manual, m->type);
    }
}

/* Words in lines, the first at a column that is given, the others after an indent. */
static void add_words(Manual *manual, unsigned column, unsigned indent, const char *words)
{
    g_auto(GStrv) list = g_strsplit(words, " ", -1);

    for (unsigned i = 0; list[i]; i++) {
        size_t len = strlen(list[i]);

        if (i > 0 && column + 1 + len > COLUMNS) {
            g_string_append_printf(manual->text, "\n%*s", (int)indent, "");
            column = indent;
        } else if (i > 0) {
            g_string_append_c(manual->text, ' ');
            column++;
        }
        g_string_append(manual->text, list[i]);
        column += len;
    }
    g_string_append_c(manual->text, '\n');
}

static void add_members(Manual *manual, const QmpType *type)
{
    for (const QmpMember *m = type->members; m && m->name; m++) {
        g_autofree char *line = g_strdup_printf("- `%s`: %s%s%s%s", m->name, m->type->name,
                                                m->optional ? ", optional" : "",
                                                m->help ? " - " : "", m->help ? m->help : "");

        add_words(manual, 0, 2, line);
        note_type(manual, m->type);
    }
    if (type->open) {
        add_words(manual, 0, 2, "- any other: as the options of the command line take it");
    }
}

static const char *when_text(unsigned when)
{
    if (when & QMP_NEGOTIATING) {
        return "Before any other command of a session.";
    }
    return when & QMP_ENDING ? NULL : "Not while the process ends.";
}

static void add_command(Manual *manual, const QmpCommand *command)
{
    const char *when = when_text(command->when);

    g_string_append_printf(manual->text, "\n### %s\n\n", command->name);
    add_words(manual, 0, 0, command->help);
    if (when) {
        g_string_append_printf(manual->text, "\n%s\n", when);
    }
    if (command->args && (command->args->members || command->args->open)) {
        g_string_append(manual->text, "\nArguments:\n\n");
        add_members(manual, command->args);
    }
    if (command->ret) {
        g_string_append_printf(manual->text, "\nReturns %s.\n", command->ret->name);
        note_type(manual, command->ret);
    }
}

static void add_event(Manual *manual, const QmpEvent *event)
{
    g_string_append_printf(manual->text, "\n### %s\n\n", event->name);
    add_words(manual, 0, 0, event->help);
    if (event->data) {
        g_string_append(manual->text, "\nData:\n\n");
        add_members(manual, event->data);
    }
}

static int by_name(const void *a, const void *b)
{
    const QmpType *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

static void add_types(Manual *manual)
{
    g_ptr_array_sort(manual->types, by_name);
    for (unsigned i = 0; i < manual->types->len; i++) {
        const QmpType *type = g_ptr_array_index(manual->types, i);

        g_string_append_printf(manual->text, "\n### %s\n\n", type->name);
        if (type->kind == QMP_ENUM) {
            g_autofree char *values = g_strjoinv("`, `", (char **)type->values);
            g_autofree char *line = g_strdup_printf("One of `%s`.", values);
            add_words(manual, 0, 0, line);
        } else {
            add_members(manual, type);
        }
    }
}

char *qmp_reference(const QmpSchema *schema)
{
    Manual manual = { .text = g_string_new(NULL), .types = g_ptr_array_new() };

    g_string_append(manual.text,
                    "# QMP reference\n\n"
                    "Made from the program's own tables by `qemu-system-x86_64-remote -qmp help`.\n"
                    "How to get at a monitor: [monitor.md](monitor.md).\n"
                    "\n## Commands\n");
    for (const QmpCommand *const *group = schema->commands; *group; group++) {
        for (const QmpCommand *command = *group; command->name; command++) {
            add_command(&manual, command);
        }
    }
    g_string_append(manual.text, "\n## Events\n");
    for (const QmpEvent *const *group = schema->events; *group; group++) {
        for (const QmpEvent *event = *group; event->name; event++) {
            add_event(&manual, event);
        }
    }
    g_string_append(manual.text, "\n## Types\n");
    add_types(&manual);
    g_ptr_array_free(manual.types, TRUE);
    return g_string_free(manual.text, FALSE);
}
