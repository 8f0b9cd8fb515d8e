/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor for people: a prompt, one command a line, text in QEMU's layout. As in QEMU, most of
 * it is QMP in other words: a line is looked up, its words become the arguments of a QMP command,
 * and the answer is formatted. So nothing can be done here that QMP can't, and what needs a
 * device's thread waits for it in the same way. `human-monitor-command` is the reverse: a line
 * from QMP, its text as the answer.
 *
 * Editing is left to the terminal.
 *
 * Main thread.
 */
#include "monitor/hmp.h"
#include "monitor/commands.h"
#include "session.h"
#include "util/error.h"
#include <string.h>

#define LINE_MAX_BYTES 4096
#define PROMPT "(qemu) "

/* A line in work. */
typedef struct HmpLine {
    Monitor *monitor;
    const HmpCommand *command;
    GString *out;
    /* Takes the text; frees nothing of the line. */
    void (*done)(void *opaque, const char *text);
    void *opaque;
} HmpLine;

static void line_over(HmpLine *line)
{
    line->done(line->opaque, line->out->str);
    g_string_free(line->out, TRUE);
    g_free(line);
}

/* --- finding a command --- */

static const HmpCommand *find(const Monitor *monitor, const char *name)
{
    for (const HmpCommand *const *group = monitor->config.hmp; *group; group++) {
        for (const HmpCommand *command = *group; command->name; command++) {
            if (strcmp(command->name, name) == 0 || g_strcmp0(command->alias, name) == 0) {
                return command;
            }
        }
    }
    return NULL;
}

/* Words are divided by blanks; in double quotes a blank is none. */
static char **split(const char *text)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    const char *c = text;

    while (*(c += strspn(c, " \t\r\n"))) {
        GString *word = g_string_new(NULL);
        bool quoted = false;

        for (; *c && (quoted || !strchr(" \t\r\n", *c)); c++) {
            if (*c == '"') {
                quoted = !quoted;
            } else {
                g_string_append_c(word, *c);
            }
        }
        g_ptr_array_add(words, g_string_free(word, FALSE));
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

/* Takes the command's name off the words: returns how many these are, 0 if there is none. */
static unsigned match(const Monitor *monitor, char **words, const HmpCommand **command)
{
    if (words[0] && words[1]) {
        g_autofree char *two = g_strdup_printf("%s %s", words[0], words[1]);

        *command = find(monitor, two);
        if (*command) {
            return 2;
        }
    }
    *command = words[0] ? find(monitor, words[0]) : NULL;
    return *command ? 1 : 0;
}

/* "info WHAT", of which only WHAT tells whether there is such a command. */
static bool is_info(char **words)
{
    return words[0] && words[1] && strcmp(words[0], "info") == 0;
}

/* --- running it --- */

static void qmp_done(QmpRequest *req, json_t *value, const QmpError *error)
{
    HmpLine *line = req->opaque;

    if (error) {
        g_string_append_printf(line->out, "Error: %s\r\n", error->desc);
    } else if (line->command->format) {
        line->command->format(line->monitor, value, line->out);
    }
    line_over(line);
}

static json_t *make_args(const HmpCommand *command, char **words, GError **errp)
{
    unsigned n = g_strv_length(words);

    if (n < command->min || n > command->max) {
        error_set(errp, "%s: %s arguments", command->name,
                  n < command->min ? "not enough" : "too many");
        return NULL;
    }
    return command->args ? command->args(words, errp) : json_object();
}

static void run_command(HmpLine *line, MonitorSession *session, char **words)
{
    const HmpCommand *command = line->command;
    g_autoptr(GError) err = NULL;
    json_t *args = make_args(command, words, &err);

    if (!args) {
        g_string_append_printf(line->out, "%s\r\n", err->message);
        line_over(line);
    } else if (!command->qmp) {
        json_decref(args);
        command->format(line->monitor, NULL, line->out);
        line_over(line);
    } else {
        monitor_run(line->monitor, session,
                    qmp_command_find(&line->monitor->config.schema, command->qmp), args, qmp_done,
                    line);
    }
}

static void run_line(Monitor *monitor, MonitorSession *session, const char *text,
                     void (*done)(void *opaque, const char *text), void *opaque)
{
    HmpLine *line = g_new0(HmpLine, 1);
    g_auto(GStrv) words = split(text);
    unsigned used;

    line->monitor = monitor;
    line->out = g_string_new(NULL);
    line->done = done;
    line->opaque = opaque;
    used = match(monitor, words, &line->command);
    if (used && !(is_info(words) && used == 1)) {
        run_command(line, session, words + used);
        return;
    }
    if (words[0]) {
        g_string_append_printf(line->out, "unknown command: '%s%s%s'\r\n", words[0],
                               is_info(words) ? " " : "", is_info(words) ? words[1] : "");
    }
    line_over(line);
}

/* --- the session --- */

/* A line whose client has left in the meantime is nobody's. */
typedef struct LineClient {
    MonitorSession *session;
    uint64_t client;
} LineClient;

static void prompt(MonitorSession *session)
{
    session_send(session, PROMPT, strlen(PROMPT));
}

static void opened(MonitorSession *session)
{
    const MonitorConfig *config = &session->monitor->config;
    g_autofree char *hello = g_strdup_printf("%s %s monitor - type 'help' for more information\r\n",
                                             config->program, config->version);

    session_send(session, hello, strlen(hello));
    prompt(session);
}

static void closed(MonitorSession *session G_GNUC_UNUSED)
{
}

static void session_line_done(void *opaque, const char *text)
{
    LineClient *line = opaque;

    if (line->session->client == line->client) {
        session_send(line->session, text, strlen(text));
        prompt(line->session);
        session_done(line->session);
    }
    g_free(line);
}

static void take_line(MonitorSession *session)
{
    g_autofree char *text = g_utf8_make_valid(session->line->str, session->line->len);
    LineClient *line = g_new0(LineClient, 1);

    g_string_truncate(session->line, 0);
    line->session = session;
    line->client = session->client;
    session->busy = true;
    run_line(session->monitor, session, text, session_line_done, line);
}

static size_t input(MonitorSession *session, const uint8_t *bytes, size_t len)
{
    static const char too_long[] = "line too long\r\n";

    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            take_line(session);
            return i + 1;
        }
        if (session->line->len >= LINE_MAX_BYTES) {
            session_send(session, too_long, strlen(too_long));
            g_string_truncate(session->line, 0);
        }
        g_string_append_c(session->line, bytes[i] ? (char)bytes[i] : ' ');
    }
    return len;
}

const SessionKind hmp_session_kind = { .opened = opened, .input = input, .closed = closed };

/* --- human-monitor-command --- */

static QMP_STRUCT(human_args, "q_obj_human-monitor-command-arg",
                  QMP_MEMBER("command-line", qmp_str, NULL),
                  QMP_OPTIONAL("cpu-index", qmp_int, "without effect"));

static void human_done(void *opaque, const char *text)
{
    qmp_return(opaque, json_string(text));
}

static void do_human(QmpRequest *req)
{
    run_line(req->monitor, req->session, qmp_arg_str(req, "command-line"), human_done, req);
}

/* clang-format off */
const QmpCommand qmp_hmp_commands[] = {
    { .name = "human-monitor-command", .args = &human_args, .ret = &qmp_str, .when = QMP_ALWAYS,
      .run = do_human,
      .help = "Runs a command of the monitor for people, and returns its text." },
    { .name = NULL }
};
/* clang-format on */

/* --- commands --- */

static json_t *word_args(const char *name, const char *value)
{
    return json_pack("{s:s}", name, value);
}

static json_t *id_args(char **words, GError **errp G_GNUC_UNUSED)
{
    return word_args("id", words[0]);
}

static json_t *name_args(char **words, GError **errp G_GNUC_UNUSED)
{
    return word_args("node-name", words[0]);
}

/* "driver,prop=value" as -device has it; each value is text, which the options take as well. */
static json_t *option_args(const char *text, const char *implied, GError **errp)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    json_t *args = json_object();

    for (unsigned i = 0; items[i]; i++) {
        char *equals = strchr(items[i], '=');

        if (equals) {
            *equals = '\0';
            json_object_set_new(args, items[i], json_string(equals + 1));
        } else if (i == 0) {
            json_object_set_new(args, implied, json_string(items[i]));
        } else {
            error_set(errp, "Invalid parameter '%s'", items[i]);
            json_decref(args);
            return NULL;
        }
    }
    return args;
}

static json_t *device_args(char **words, GError **errp)
{
    return option_args(words[0], "driver", errp);
}

static json_t *object_args(char **words, GError **errp)
{
    return option_args(words[0], "qom-type", errp);
}

static json_t *resize_args(char **words, GError **errp)
{
    uint64_t size;

    if (!opt_parse_size("size", words[1], &size, errp)) {
        return NULL;
    }
    return json_pack("{s:s, s:I}", "node-name", words[0], "size", (json_int_t)size);
}

static void add_help(GString *out, const HmpCommand *command)
{
    g_string_append_printf(out, "%s%s%s%s%s -- %s\r\n", command->name, command->alias ? "|" : "",
                           command->alias ? command->alias : "", command->params ? " " : "",
                           command->params ? command->params : "", command->help);
}

static void help_matching(Monitor *monitor, bool info, GString *out)
{
    for (const HmpCommand *const *group = monitor->config.hmp; *group; group++) {
        for (const HmpCommand *command = *group; command->name; command++) {
            if (g_str_has_prefix(command->name, "info ") == info) {
                add_help(out, command);
            }
        }
    }
}

static void format_help(Monitor *monitor, const json_t *value G_GNUC_UNUSED, GString *out)
{
    help_matching(monitor, false, out);
    g_string_append(out, "info [subcommand] -- show various information about the process\r\n");
}

static void format_info(Monitor *monitor, const json_t *value G_GNUC_UNUSED, GString *out)
{
    help_matching(monitor, true, out);
}

/* clang-format off */
const HmpCommand hmp_common_commands[] = {
    { .name = "help", .alias = "?", .help = "show the help", .format = format_help, .max = 1 },
    { .name = "info", .help = "show what information there is", .format = format_info },
    { .name = "device_add", .params = "driver[,prop=value][,...]", .qmp = "device_add",
      .help = "add device, like -device on the command line", .args = device_args, .min = 1,
      .max = 1 },
    { .name = "device_del", .params = "device", .qmp = "device_del", .help = "remove device",
      .args = id_args, .min = 1, .max = 1 },
    { .name = "object_add", .params = "[qom-type=]type,id=id[,prop=value][,...]",
      .qmp = "object-add", .help = "create object, like -object on the command line",
      .args = object_args, .min = 1, .max = 1 },
    { .name = "object_del", .params = "id", .qmp = "object-del", .help = "end and remove object",
      .args = id_args, .min = 1, .max = 1 },
    { .name = "block_resize", .params = "node size", .qmp = "block_resize",
      .help = "resize a block image", .args = resize_args, .min = 2, .max = 2 },
    { .name = "blockdev_del", .params = "node", .qmp = "blockdev-del", .help = "close a block node",
      .args = name_args, .min = 1, .max = 1 },
    { .name = "stop", .alias = "s", .qmp = "stop", .help = "devices start no more I/O" },
    { .name = "cont", .alias = "c", .qmp = "cont", .help = "devices go on" },
    { .name = "system_reset", .qmp = "system_reset", .help = "reset the devices" },
    { .name = "quit", .alias = "q", .qmp = "quit", .help = "end the process" },
    { .name = NULL }
};
/* clang-format on */

static json_t *drive_args(char **words, GError **errp)
{
    bool force = strcmp(words[0], "-f") == 0;

    if (!words[force ? 1 : 0]) {
        error_set(errp, "eject: not enough arguments");
        return NULL;
    }
    return json_pack("{s:s, s:b}", "id", words[force ? 1 : 0], "force", force);
}

static json_t *change_args(char **words, GError **errp)
{
    unsigned first = 1, n = g_strv_length(words);
    bool force = n > 1 && strcmp(words[1], "-f") == 0;
    json_t *args;

    first += force;
    if (n <= first || n > first + 2) {
        error_set(errp, "change: expected device [-f] filename [format]");
        return NULL;
    }
    args = json_pack("{s:s, s:s, s:b}", "id", words[0], "filename", words[first], "force", force);
    if (words[first + 1]) {
        json_object_set_new(args, "format", json_string(words[first + 1]));
    }
    return args;
}

/* clang-format off */
const HmpCommand hmp_medium_commands[] = {
    { .name = "eject", .params = "[-f] device", .qmp = "eject",
      .help = "eject a removable medium (use -f to force it)", .args = drive_args, .min = 1,
      .max = 2 },
    { .name = "change", .params = "device [-f] filename [format]", .qmp = "blockdev-change-medium",
      .help = "change a removable medium", .args = change_args, .min = 2, .max = 4 },
    { .name = NULL }
};
/* clang-format on */
