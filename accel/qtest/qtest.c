/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accelerator `qtest`: no CPU; a test drives the board over a stream socket, in the line
 * protocol that QEMU's qtest clients speak. A command is a line of words; each is answered by one
 * line, "OK ..." or "FAIL ...". "IRQ raise N" and "IRQ lower N" come between them, where they
 * happen, once irq_intercept_in has asked for them.
 *
 * Everything runs in the board's loop, so a command is to devices what a vCPU's exit is. Work that
 * a command defers (a started script, for one) runs before the next command, even if that has been
 * received already: the same order as between two frames of a proxy.
 *
 * One line at a time: while the socket does not take a reply, no further command is looked at, and
 * IRQ lines are put off until it does; the client then gets the levels as they are by then. A line
 * that is too long gets one FAIL. The client's end of file is the end of the machine, with status
 * 0, and so is stop(); an exit that the guest asks for comes after the reply to the command that
 * did it.
 */
#include "qtest-internal.h"
#include "util/error.h"
#include "util/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECEIVE_SIZE 65536

static void finish(Accel *a, int code)
{
    if (a->over) {
        return;
    }
    a->over = true;
    loop_fd_del(&a->watch);
    a->ended(a->opaque, code);
}

/* ---- output ---- */

static void log_conversation(Accel *a, char direction, const char *text, int len)
{
    if (a->log) {
        double seconds = (loop_now_ns() - a->started_ns) / 1e9;
        dprintf(STDERR_FILENO, "[%c +%.6f] %.*s\n", direction, seconds, len, text);
    }
}

void qtest_put(Accel *a, const char *fmt, ...)
{
    size_t start = a->out->len;
    va_list ap;

    va_start(ap, fmt);
    g_string_append_vprintf(a->out, fmt, ap);
    va_end(ap);
    log_conversation(a, 'S', a->out->str + start, a->out->len - start);
    g_string_append_c(a->out, '\n');
}

static void tell_irqs(Accel *a)
{
    uint32_t levels = a->intercepting ? a->levels : 0;
    uint32_t changed = levels ^ a->told;

    for (unsigned gsi = 0; gsi < PC_GSIS; gsi++) {
        if (changed >> gsi & 1) {
            qtest_put(a, "IRQ %s %u", levels >> gsi & 1 ? "raise" : "lower", gsi);
        }
    }
    a->told = levels;
}

/* Sends what is queued. False while some of it is left, or if the client is gone. */
static bool flush(Accel *a)
{
    size_t sent = 0;

    if (a->over) {
        return false;
    }
    while (sent < a->out->len) {
        ssize_t n = send(a->fd, a->out->str + sent, a->out->len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            finish(a, 0);
            return false;
        }
        if (n < 0) {
            break;
        }
        sent += n;
    }
    g_string_erase(a->out, 0, sent);
    return a->out->len == 0;
}

/* Sends all there is to send, and sets what to wait for. False while the client doesn't read. */
static bool send_out(Accel *a)
{
    bool done = flush(a);

    if (done && a->told != (a->intercepting ? a->levels : 0)) {
        tell_irqs(a);
        done = flush(a);
    }
    if (!a->over) {
        loop_fd_set(&a->watch, done ? EPOLLIN : EPOLLOUT);
    }
    return done;
}

/* ---- interrupt lines ---- */

/* A line was changed: told in its place among the replies, unless they are not being read. */
static void set_level(Accel *a, unsigned gsi, bool level)
{
    uint32_t bit = UINT32_C(1) << gsi;
    bool blocked = a->watch.events & EPOLLOUT;

    a->levels = level ? a->levels | bit : a->levels & ~bit;
    if (!a->intercepting || a->over || blocked) {
        return;
    }
    tell_irqs(a);
    if (!a->in_command) {
        send_out(a);
    }
}

static void set_gsi(void *opaque, unsigned gsi, bool level)
{
    Accel *a = opaque;
    uint32_t bit = UINT32_C(1) << gsi;

    a->board = level ? a->board | bit : a->board & ~bit;
    set_level(a, gsi, (a->board | a->injected) & bit);
}

void qtest_irq_inject(Accel *a, unsigned gsi, bool level)
{
    uint32_t bit = UINT32_C(1) << gsi;

    a->injected = level ? a->injected | bit : a->injected & ~bit;
    set_level(a, gsi, (a->board | a->injected) & bit);
}

void qtest_irq_intercept(Accel *a)
{
    if (!a->intercepting) {
        a->intercepting = true;
        a->levels = a->told = 0;
    }
}

static void guest_exit(void *opaque, int code)
{
    Accel *a = opaque;

    if (a->in_command) {
        a->exiting = true;
        a->exit_code = code;
    } else {
        finish(a, code);
    }
}

/* ---- input ---- */

static void execute(Accel *a, char *line, size_t len)
{
    log_conversation(a, 'R', line, len);
    a->in_command = true;
    if (strlen(line) != len) {
        qtest_put(a, "FAIL Zero byte in command");
    } else {
        qtest_command(a, line);
    }
    loop_run_deferred(pc_loop(a->pc));
    a->in_command = false;
    send_out(a);
    if (a->exiting) {
        finish(a, a->exit_code);
    }
}

static void overlong(Accel *a)
{
    if (!a->skipping) {
        qtest_put(a, "FAIL Line too long");
        a->skipping = true;
        send_out(a);
    }
    g_string_truncate(a->in, 0);
    a->scanned = 0;
}

/* Executes the lines that are complete, as long as their replies are taken. */
static void execute_lines(Accel *a)
{
    size_t start = 0;

    while (!a->over && a->out->len == 0) {
        char *from = a->in->str + start + a->scanned;
        char *end = memchr(from, '\n', a->in->len - start - a->scanned);
        if (!end) {
            a->scanned = a->in->len - start;
            break;
        }
        char *line = a->in->str + start;
        size_t len = end - line;
        start += len + 1;
        a->scanned = 0;
        *end = '\0';
        if (a->skipping) {
            a->skipping = false;
        } else {
            execute(a, line, len);
        }
    }
    g_string_erase(a->in, 0, start);
    if (a->scanned >= QTEST_LINE_MAX) {
        overlong(a);
    }
}

static void receive(Accel *a)
{
    char buf[RECEIVE_SIZE];
    ssize_t n = recv(a->fd, buf, sizeof(buf), 0);

    if (n > 0) {
        g_string_append_len(a->in, buf, n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        finish(a, 0);
    }
}

static void on_socket(void *opaque, uint32_t events)
{
    Accel *a = opaque;

    if (events & EPOLLOUT && send_out(a)) {
        execute_lines(a);
    }
    if (!a->over && a->out->len == 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        receive(a);
        execute_lines(a);
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        finish(a, 0); /* replies that nobody will read any more */
    }
}

/* ---- the accelerator ---- */

static void on_stop(void *opaque)
{
    finish(opaque, 0);
}

static bool connect_tester(Accel *a, GError **errp)
{
    struct stat st;
    int err;

    if (fstat(a->fd, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        return error_set(errp, "-qtest: not a socket");
    }
    err = fd_set_nonblock(a->fd, true);
    if (err == 0) {
        err = loop_fd_add(pc_loop(a->pc), &a->watch, a->fd, EPOLLIN, on_socket, a);
    }
    if (err < 0) {
        return error_set(errp, "-qtest: %s", g_strerror(-err));
    }
    return true;
}

static void qtest_destroy(Accel *a)
{
    loop_fd_del(&a->watch);
    fd_clear(&a->fd);
    g_string_free(a->in, TRUE);
    g_string_free(a->out, TRUE);
    g_free(a);
}

static Accel *qtest_create(Pc *pc, const AccelOptions *options,
                           void (*ended)(void *opaque, int code), void *opaque, GError **errp)
{
    Accel *a = g_new0(Accel, 1);
    const PcSink sink = { .set_gsi = set_gsi, .guest_exit = guest_exit, .opaque = a };

    a->pc = pc;
    a->ended = ended;
    a->opaque = opaque;
    a->fd = options->qtest_fd;
    a->log = options->qtest_log;
    a->started_ns = loop_now_ns();
    a->stop = (LoopPost){ .fn = on_stop, .opaque = a };
    a->in = g_string_new(NULL);
    a->out = g_string_new(NULL);
    if (a->fd >= 0 && !connect_tester(a, errp)) {
        qtest_destroy(a);
        return NULL;
    }
    pc_set_sink(pc, &sink);
    return a;
}

static void qtest_start(Accel *a G_GNUC_UNUSED)
{
    /* The socket is in the board's loop already. */
}

static void qtest_stop(Accel *a)
{
    loop_post(pc_loop(a->pc), &a->stop);
}

const AccelType accel_qtest_type = {
    .name = "qtest",
    .desc = "a test drives the board (-qtest)",
    .create = qtest_create,
    .start = qtest_start,
    .stop = qtest_stop,
    .destroy = qtest_destroy,
};
