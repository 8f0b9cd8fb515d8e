/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line per event, to stderr or the file of -D: "PROGRAM: WHO: text", WHO being the
 * connection's or object's id (NULL: none). A line is one write(2), so lines of different threads
 * never mix. Any thread.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* program: shown first in each line, must stay valid. */
void log_init(const char *program);
/* Sends log and trace lines to path (appended). Main thread, at start. */
bool log_set_file(const char *path, GError **errp);

void log_line(const char *who, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* The same from a signal handler: the parts, ended by NULL, one after the other. Allocates nothing
 * and locks nothing. */
void log_from_handler(const char *const *parts);

/* For lines that a guest or peer can trigger: at most `burst` lines in 5 s for each LogLimit; the
 * next line after a silence says how many were left out. Not shared between threads. */
typedef struct LogLimit {
    int64_t since_ns;
    unsigned seen;
} LogLimit;
#define LOG_LIMIT_BURST 5
void log_limited(LogLimit *limit, const char *who, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

#endif
