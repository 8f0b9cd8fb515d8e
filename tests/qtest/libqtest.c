/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See libqtest.h.
 *
 * Lines are read into one buffer. IRQ lines may come at any time, also between a command and its
 * reply: they are taken out wherever a line is read.
 */
#include "libqtest.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct QTest {
    int sock;
    pid_t pid; /* 0: not ours */
    GString *in;
    bool level[QTEST_IRQS];
    unsigned raised[QTEST_IRQS];
};

static int64_t deadline_in(int64_t ms)
{
    return g_get_monotonic_time() + ms * 1000;
}

/* Readable within the deadline? */
static bool wait_readable(int fd, int64_t deadline_us)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    for (;;) {
        int64_t left = deadline_us - g_get_monotonic_time();
        int n = poll(&p, 1, left > 0 ? (left + 999) / 1000 : 0);
        if (n > 0) {
            return true;
        }
        if (n == 0 && left <= 0) {
            return false;
        }
        g_assert_true(n == 0 || errno == EINTR);
    }
}

/* ---- programs ---- */

static G_GNUC_NORETURN void child(const char *const *argv, int fd, pid_t parent)
{
    int null = open("/dev/null", O_RDONLY);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
    dup2(null, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (fd >= 0) {
        fcntl(fd, F_SETFD, 0);
    }
    execvp(argv[0], (char *const *)argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pid_t qtest_spawn(const char *const *argv, int fd)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        child(argv, fd, parent);
    }
    return pid;
}

int qtest_reap(pid_t pid)
{
    int64_t deadline = deadline_in(QTEST_DEADLINE_S * 1000);
    int status;

    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        g_assert_true(got >= 0 || errno == EINTR);
        if (got == pid) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (g_get_monotonic_time() > deadline) {
            kill(pid, SIGKILL);
            g_error("qtest: process %d does not end", (int)pid);
        }
        g_usleep(1000);
    }
}

int qtest_listen(char **path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    g_autofree char *dir = g_dir_make_tmp("qt-XXXXXX", NULL);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *path = g_strdup_printf("%s/s", dir);
    g_assert_cmpuint(strlen(*path), <, sizeof(addr.sun_path));
    g_strlcpy(addr.sun_path, *path, sizeof(addr.sun_path));
    g_assert_cmpint(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

int qtest_accept(int listener, char *path, pid_t pid, const char *program)
{
    g_autofree char *dir = g_path_get_dirname(path);
    int64_t deadline = deadline_in(QTEST_DEADLINE_S * 1000);
    int sock, status;

    while (!wait_readable(listener, deadline_in(50))) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            g_error("qtest: %s ended (wait status %#x) before it connected", program, status);
        }
        if (g_get_monotonic_time() > deadline) {
            g_error("qtest: %s does not connect", program);
        }
    }
    sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    g_assert_cmpint(sock, >=, 0);
    close(listener);
    g_unlink(path);
    g_rmdir(dir);
    g_free(path);
    return sock;
}

QTest *qtest_attach(int socket)
{
    QTest *q = g_new0(QTest, 1);

    q->sock = socket;
    q->in = g_string_new(NULL);
    return q;
}

QTest *qtest_start(const char *const *argv, int fd)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    g_autofree char *where = NULL;
    char *path;
    int listener = qtest_listen(&path);
    pid_t pid;
    QTest *q;

    for (unsigned i = 0; argv[i]; i++) {
        g_ptr_array_add(args, (char *)argv[i]);
    }
    where = g_strdup_printf("unix:%s", path);
    g_ptr_array_add(args, (char *)"-qtest");
    g_ptr_array_add(args, where);
    g_ptr_array_add(args, NULL);
    pid = qtest_spawn((const char *const *)args->pdata, fd);
    q = qtest_attach(qtest_accept(listener, path, pid, argv[0]));
    q->pid = pid;
    return q;
}

int qtest_hang_up(QTest *q)
{
    int status = 0;

    close(q->sock);
    if (q->pid) {
        status = qtest_reap(q->pid);
    }
    g_string_free(q->in, TRUE);
    g_free(q);
    return status;
}

void qtest_stop(QTest *q)
{
    if (q->pid) {
        kill(q->pid, SIGTERM);
    }
    qtest_hang_up(q);
}

pid_t qtest_pid(const QTest *q)
{
    return q->pid;
}

/* ---- lines ---- */

void qtest_send_bytes(QTest *q, const void *bytes, size_t len)
{
    const char *p = bytes;

    while (len) {
        ssize_t n = send(q->sock, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            g_error("qtest: send: %s", g_strerror(errno));
        }
        p += n;
        len -= n;
    }
}

/* False at the deadline. */
static bool receive(QTest *q, int64_t deadline_us)
{
    char buf[65536];
    ssize_t n;

    if (!wait_readable(q->sock, deadline_us)) {
        return false;
    }
    n = recv(q->sock, buf, sizeof(buf), 0);
    if (n <= 0) {
        g_error("qtest: the program has hung up (%s)", n < 0 ? g_strerror(errno) : "end of file");
    }
    g_string_append_len(q->in, buf, n);
    return true;
}

/* The first whole line of what has been received, or NULL. */
static char *take_line(QTest *q)
{
    char *end = memchr(q->in->str, '\n', q->in->len);
    char *line;

    if (!end) {
        return NULL;
    }
    line = g_strndup(q->in->str, end - q->in->str);
    g_string_erase(q->in, 0, end + 1 - q->in->str);
    return line;
}

/* Takes an IRQ line. */
static bool take_irq(QTest *q, const char *line)
{
    unsigned irq;
    char verb[8];

    if (!g_str_has_prefix(line, "IRQ ")) {
        return false;
    }
    g_assert_cmpint(sscanf(line, "IRQ %7s %u", verb, &irq), ==, 2);
    g_assert_cmpuint(irq, <, QTEST_IRQS);
    q->level[irq] = g_str_equal(verb, "raise");
    g_assert_true(q->level[irq] || g_str_equal(verb, "lower"));
    q->raised[irq] += q->level[irq];
    return true;
}

char *qtest_reply(QTest *q)
{
    int64_t deadline = deadline_in(QTEST_DEADLINE_S * 1000);

    for (;;) {
        char *line = take_line(q);
        if (line && !take_irq(q, line)) {
            return line;
        }
        g_free(line);
        if (!line && !receive(q, deadline)) {
            g_error("qtest: no reply in %u s", QTEST_DEADLINE_S);
        }
    }
}

char *qtest_raw(QTest *q, const char *line)
{
    g_autofree char *text = g_strconcat(line, "\n", NULL);

    qtest_send_bytes(q, text, strlen(text));
    return qtest_reply(q);
}

char *qtest_ask(QTest *q, const char *fmt, ...)
{
    g_autofree char *line = NULL;
    g_autofree char *reply = NULL;
    va_list ap;

    va_start(ap, fmt);
    line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    reply = qtest_raw(q, line);
    if (!g_str_has_prefix(reply, "OK")) {
        g_error("qtest: '%.80s' was answered by '%s'", line, reply);
    }
    return g_strdup(reply[2] == ' ' ? reply + 3 : reply + 2);
}

/* ---- accesses ---- */

static char letter(unsigned size)
{
    g_assert_true(size == 1 || size == 2 || size == 4 || size == 8);
    return ".bw.l...q"[size];
}

static uint64_t number(const char *text)
{
    uint64_t value;

    if (!g_ascii_string_to_unsigned(g_str_has_prefix(text, "0x") ? text + 2 : text, 16, 0,
                                    UINT64_MAX, &value, NULL)) {
        g_error("qtest: '%s' is no number", text);
    }
    return value;
}

uint32_t qtest_in(QTest *q, uint16_t port, unsigned size)
{
    g_autofree char *text = qtest_ask(q, "in%c 0x%x", letter(size), port);

    return number(text);
}

void qtest_out(QTest *q, uint16_t port, uint32_t value, unsigned size)
{
    g_free(qtest_ask(q, "out%c 0x%x 0x%x", letter(size), port, value));
}

uint64_t qtest_read(QTest *q, uint64_t addr, unsigned size)
{
    g_autofree char *text = qtest_ask(q, "read%c 0x%" PRIx64, letter(size), addr);

    return number(text);
}

void qtest_write(QTest *q, uint64_t addr, uint64_t value, unsigned size)
{
    g_free(qtest_ask(q, "write%c 0x%" PRIx64 " 0x%" PRIx64, letter(size), addr, value));
}

void qtest_mem_read(QTest *q, uint64_t addr, void *buf, size_t len)
{
    g_autofree char *text = NULL;
    g_autofree guchar *bytes = NULL;
    gsize n;

    if (len == 0) {
        return;
    }
    text = qtest_ask(q, "b64read 0x%" PRIx64 " 0x%zx", addr, len);
    bytes = g_base64_decode(text, &n);
    g_assert_cmpuint(n, ==, len);
    memcpy(buf, bytes, len);
}

void qtest_mem_write(QTest *q, uint64_t addr, const void *buf, size_t len)
{
    g_autofree char *text = NULL;

    if (len == 0) {
        return;
    }
    text = g_base64_encode(buf, len);
    g_free(qtest_ask(q, "b64write 0x%" PRIx64 " 0x%zx %s", addr, len, text));
}

void qtest_mem_set(QTest *q, uint64_t addr, uint8_t value, size_t len)
{
    g_free(qtest_ask(q, "memset 0x%" PRIx64 " 0x%zx 0x%x", addr, len, value));
}

/* ---- interrupt lines ---- */

void qtest_intercept_irqs(QTest *q, const char *path)
{
    g_free(qtest_ask(q, "irq_intercept_in %s", path));
}

bool qtest_irq(const QTest *q, unsigned irq)
{
    return q->level[irq];
}

unsigned qtest_irq_raised(const QTest *q, unsigned irq)
{
    return q->raised[irq];
}

/* Takes IRQ lines that have come; what is no IRQ line nobody has asked for. */
static void take_irqs(QTest *q)
{
    for (char *line; (line = take_line(q)); g_free(line)) {
        if (!take_irq(q, line)) {
            g_error("qtest: unexpected '%s'", line);
        }
    }
}

bool qtest_wait_irq(QTest *q, unsigned irq, bool level, unsigned ms)
{
    int64_t deadline = deadline_in(ms);

    take_irqs(q);
    while (q->level[irq] != level) {
        if (!receive(q, deadline)) {
            return false;
        }
        take_irqs(q);
    }
    return true;
}
