/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client of QEMU's qtest line protocol: starts a program, drives its board, knows its interrupt
 * lines. Works on this tree's stock profile (-accel qtest) and on the distribution's QEMU
 * (-accel tcg -S), which both connect to -qtest unix:PATH.
 *
 * For tests: what goes wrong (no reply within 60 s, a FAIL where an OK is due, a program that ends)
 * ends the test program with a message. Children die with the test program.
 */
#ifndef TESTS_QTEST_LIBQTEST_H
#define TESTS_QTEST_LIBQTEST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define QTEST_IRQS 32
#define QTEST_DEADLINE_S 60

typedef struct QTest QTest;

/* Starts argv (NULL-terminated, searched in PATH) with standard input from /dev/null and standard
 * output to standard error, since that of a test carries TAP. fd, unless it is -1, is inherited
 * under the same number; it stays the caller's. */
pid_t qtest_spawn(const char *const *argv, int fd);
/* Waits for the end of a spawned program: its exit status, or 128 + the signal. */
int qtest_reap(pid_t pid);

/* A listening UNIX socket in a new folder; *path is its path. */
int qtest_listen(char **path);
/* The connection that pid, of this program, makes to it; the socket and its folder are gone then,
 * and path freed. */
int qtest_accept(int listener, char *path, pid_t pid, const char *program);

/* qtest_spawn(argv, fd) with "-qtest unix:PATH" appended, and its connection accepted. */
QTest *qtest_start(const char *const *argv, int fd);
/* Over a connected socket, which is taken, to a program that is somebody else's. */
QTest *qtest_attach(int socket);
/* Ends the connection and the program. */
void qtest_stop(QTest *q);
/* Only ends the connection; the program's exit status as of qtest_reap(). Frees q. */
int qtest_hang_up(QTest *q);
pid_t qtest_pid(const QTest *q);

/* Sends a line (without the newline) and returns the reply to it, which is never an IRQ line. */
char *qtest_raw(QTest *q, const char *line);
/* As it is, for what is no line; and the next line that is no IRQ line. */
void qtest_send_bytes(QTest *q, const void *bytes, size_t len);
char *qtest_reply(QTest *q);
/* Sends a line that must be answered by OK; returns what follows that. */
char *qtest_ask(QTest *q, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Port I/O and memory, size 1, 2, 4 (memory also 8). */
uint32_t qtest_in(QTest *q, uint16_t port, unsigned size);
void qtest_out(QTest *q, uint16_t port, uint32_t value, unsigned size);
uint64_t qtest_read(QTest *q, uint64_t addr, unsigned size);
void qtest_write(QTest *q, uint64_t addr, uint64_t value, unsigned size);
/* Guest memory in bulk. */
void qtest_mem_read(QTest *q, uint64_t addr, void *buf, size_t len);
void qtest_mem_write(QTest *q, uint64_t addr, const void *buf, size_t len);
void qtest_mem_set(QTest *q, uint64_t addr, uint8_t value, size_t len);

/* Asks for the IRQ lines of an interrupt controller, of which there can be one. */
void qtest_intercept_irqs(QTest *q, const char *path);
/* A line's level, as far as the lines received up to now tell. */
bool qtest_irq(const QTest *q, unsigned irq);
/* How often it was raised since the start. */
unsigned qtest_irq_raised(const QTest *q, unsigned irq);
/* True as soon as the line has the level, false if it hasn't got it in ms milliseconds. */
bool qtest_wait_irq(QTest *q, unsigned irq, bool level, unsigned ms);

#endif
