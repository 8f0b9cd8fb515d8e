/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines. A line is put together on the stack and leaves by one write(2); it is cut to PIPE_BUF
 * bytes, so that even a pipe keeps lines of different threads and processes apart. Text may come
 * from a guest, a peer or a file name, so control characters are replaced: nobody can forge a
 * second line or talk to the operator's terminal.
 *
 * Where lines go and the program's name are process-wide and set once at start, before there is a
 * second thread. errno is kept, as error paths log before they return it. A line that can't be
 * written (disk full, nobody reads the pipe) is lost without a word: there is no other place.
 */
#include "util/log.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_WINDOW_NS INT64_C(5000000000)
#define CUT_MARK "..."

static struct {
    const char *program;
    int fd;
} log_to = { .fd = STDERR_FILENO };

typedef struct Line {
    size_t len;
    char text[PIPE_BUF];
} Line;

void log_init(const char *program)
{
    log_to.program = program;
}

bool log_set_file(const char *path, GError **errp)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);

    if (fd < 0) {
        return error_set(errp, "cannot open log file '%s': %s", path, g_strerror(errno));
    }
    if (log_to.fd != STDERR_FILENO) {
        close(log_to.fd);
    }
    log_to.fd = fd;
    return true;
}

/* The last byte is kept for the newline. */
G_GNUC_PRINTF(2, 0) static void line_vadd(Line *line, const char *fmt, va_list args)
{
    size_t room = sizeof(line->text) - line->len;
    int n = vsnprintf(line->text + line->len, room, fmt, args);

    if (n < 0) {
        return;
    }
    if ((size_t)n >= room) {
        line->len = sizeof(line->text) - 1;
        memcpy(line->text + line->len - strlen(CUT_MARK), CUT_MARK, strlen(CUT_MARK));
    } else {
        line->len += n;
    }
}

G_GNUC_PRINTF(2, 3) static void line_add(Line *line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    line_vadd(line, fmt, args);
    va_end(args);
}

static void line_begin(Line *line, const char *who)
{
    line->len = 0;
    if (log_to.program) {
        line_add(line, "%s: ", log_to.program);
    }
    if (who) {
        line_add(line, "%s: ", who);
    }
}

static void line_write(Line *line)
{
    ssize_t ret;

    for (size_t i = 0; i < line->len; i++) {
        if (g_ascii_iscntrl(line->text[i])) {
            line->text[i] = ' ';
        }
    }
    line->text[line->len] = '\n';
    do {
        ret = write(log_to.fd, line->text, line->len + 1);
    } while (ret < 0 && errno == EINTR);
}

void log_line(const char *who, const char *fmt, ...)
{
    int saved_errno = errno;
    va_list args;
    Line line;

    line_begin(&line, who);
    errno = saved_errno; /* for %m */
    va_start(args, fmt);
    line_vadd(&line, fmt, args);
    va_end(args);
    line_write(&line);
    errno = saved_errno;
}

static void line_append(Line *line, const char *text)
{
    size_t n = MIN(strlen(text), sizeof(line->text) - 1 - line->len);

    memcpy(line->text + line->len, text, n);
    line->len += n;
}

void log_from_handler(const char *const *parts)
{
    Line line = { .len = 0 };

    line_append(&line, log_to.program ? log_to.program : "?");
    line_append(&line, ": ");
    for (; *parts; parts++) {
        line_append(&line, *parts);
    }
    line_write(&line);
}

/* How many lines were left out before this one; -1 if this one is left out as well. */
static int limit_pass(LogLimit *limit)
{
    int64_t now = g_get_monotonic_time() * 1000;
    unsigned left_out = 0;

    if (now - limit->since_ns >= LIMIT_WINDOW_NS) {
        if (limit->seen > LOG_LIMIT_BURST) {
            left_out = limit->seen - LOG_LIMIT_BURST;
        }
        limit->since_ns = now;
        limit->seen = 0;
    }
    if (limit->seen < INT_MAX) {
        limit->seen++;
    }
    return limit->seen > LOG_LIMIT_BURST ? -1 : (int)left_out;
}

void log_limited(LogLimit *limit, const char *who, const char *fmt, ...)
{
    int saved_errno = errno;
    int left_out = limit_pass(limit);
    va_list args;
    Line line;

    if (left_out < 0) {
        return;
    }
    line_begin(&line, who);
    errno = saved_errno; /* for %m */
    va_start(args, fmt);
    line_vadd(&line, fmt, args);
    va_end(args);
    if (left_out) {
        line_add(&line, " (%d more left out before)", left_out);
    }
    line_write(&line);
    errno = saved_errno;
}
