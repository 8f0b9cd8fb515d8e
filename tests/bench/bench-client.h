/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the clients of the bench share: a remote process at the other end of a socket, the clock,
 * and giving up. They depend on nothing but a C library.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { BENCH_SILENCE = 5 }; /* seconds without an answer that end the run */

typedef struct BenchProcess {
    pid_t pid;
    int sock;
} BenchProcess;

/* One line on standard error, after the program's name; exit status 1. */
void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

uint64_t bench_now_ns(void);

/* All of them, or the end. */
void bench_receive(int sock, void *buf, size_t size);

/* Waiting for an answer ends after BENCH_SILENCE. */
void bench_set_silence(int sock);

/* Starts a program with one end of a socket pair; the FD of fd=FD in its arguments stands for the
 * number. */
void bench_spawn(BenchProcess *process, char **argv);

/* Hangs up and waits; the program must end with status 0. */
void bench_finish(BenchProcess *process);

#endif
