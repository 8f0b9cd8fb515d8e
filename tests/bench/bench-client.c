/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of the bench's clients that is no protocol: starting a remote with its descriptor,
 * waiting for its answers with a limit, ending it. Whatever goes wrong ends the client with one
 * line, which bench-remote hands on.
 */
#include "bench-client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void bench_die(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_receive(int sock, void *buf, size_t size)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = recv(sock, (char *)buf + have, size - have, 0);
        if (n == 0) {
            bench_die("the remote has hung up");
        }
        if (n < 0 && errno != EINTR) {
            bench_die("no reply: %s", strerror(errno));
        }
        have += n > 0 ? (size_t)n : 0;
    }
}

/* A copy of the argument list with the descriptor's number in each fd=FD. */
static char **with_fd(char **argv, int fd)
{
    size_t n = 0;

    while (argv[n]) {
        n++;
    }
    char **out = calloc(n + 1, sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        const char *at = strstr(argv[i], "fd=FD"); /* a path may have the two letters, too */
        int length = !at ? asprintf(&out[i], "%s", argv[i])
                         : asprintf(&out[i], "%.*sfd=%d%s", (int)(at - argv[i]), argv[i], fd,
                                    at + 5);
        if (length < 0) {
            bench_die("out of memory");
        }
    }
    return out;
}

static void free_args(char **args)
{
    for (size_t i = 0; args[i]; i++) {
        free(args[i]);
    }
    free(args);
}

void bench_set_silence(int sock)
{
    const struct timeval silence = { .tv_sec = BENCH_SILENCE };

    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
}

void bench_spawn(BenchProcess *process, char **argv)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
        bench_die("socketpair: %s", strerror(errno));
    }
    char **args = with_fd(argv, pair[1]);
    process->pid = fork();
    if (process->pid < 0) {
        bench_die("fork: %s", strerror(errno));
    }
    if (process->pid == 0) {
        close(pair[0]);
        execvp(args[0], args);
        bench_die("%s: %s", args[0], strerror(errno));
    }
    close(pair[1]);
    free_args(args);
    process->sock = pair[0];
    bench_set_silence(process->sock);
}

void bench_finish(BenchProcess *process)
{
    int status;

    close(process->sock);
    if (waitpid(process->pid, &status, 0) < 0 || status != 0) {
        bench_die("the remote ended with status %#x", (unsigned)status);
    }
}
