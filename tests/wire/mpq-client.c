/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Remote processes and connections for tests. Sockets are blocking, and every wait is a poll()
 * with the deadline in front, so a remote that hangs fails the test instead of hanging it, and
 * none that is merely slow does. The process's output goes to a memfd, which can be read at any
 * time and never fills up.
 */
#include "mpq-client.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_FDS 64
#define STEP_MS 5

struct MpqProcess {
    GPtrArray *args;  /* char * */
    GArray *inherit;  /* int: closed here once started */
    unsigned objects; /* for their ids */
    int output;       /* memfd */
    char *text;
    pid_t pid; /* 0: not started, or waited for */
    int status;
};

struct MpqClient {
    MpqProcess *process;
    int sock;
    int irqfd, resamplefd;
    int ram_fd;
    uint8_t *ram;
    size_t ram_size;
};

static int64_t deadline(void)
{
    return g_get_monotonic_time() + MPQ_TIMEOUT_MS * INT64_C(1000);
}

static void give_up(MpqProcess *p, const char *what)
{
    g_error("no %s after %d s; the process said:\n%s", what, MPQ_TIMEOUT_MS / 1000,
            mpq_process_output(p));
}

/* One step of a wait for what can't be polled for. */
static void step(MpqProcess *p, int64_t until, const char *what)
{
    if (g_get_monotonic_time() > until) {
        give_up(p, what);
    }
    g_usleep(STEP_MS * 1000);
}

static void wait_fd(MpqProcess *p, int fd, short events, const char *what)
{
    struct pollfd pfd = { .fd = fd, .events = events };
    int ret;

    do {
        ret = poll(&pfd, 1, MPQ_TIMEOUT_MS);
    } while (ret < 0 && errno == EINTR);
    if (ret != 1) {
        give_up(p, what);
    }
}

/* ---- a process ---- */

MpqProcess *mpq_process_new(const char *program)
{
    MpqProcess *p = g_new0(MpqProcess, 1);

    p->args = g_ptr_array_new_with_free_func(g_free);
    p->inherit = g_array_new(FALSE, FALSE, sizeof(int));
    p->output = memfd_create("output", MFD_CLOEXEC);
    g_assert_cmpint(p->output, >=, 0);
    g_ptr_array_add(p->args, g_strdup(program));
    return p;
}

void mpq_process_args(MpqProcess *p, const char *arg, ...)
{
    va_list ap;

    va_start(ap, arg);
    for (; arg; arg = va_arg(ap, const char *)) {
        g_ptr_array_add(p->args, g_strdup(arg));
    }
    va_end(ap);
}

static MpqClient *client_new(MpqProcess *p, int sock)
{
    MpqClient *c = g_new0(MpqClient, 1);

    c->process = p;
    c->sock = sock;
    c->irqfd = c->resamplefd = c->ram_fd = -1;
    return c;
}

MpqClient *mpq_process_connect(MpqProcess *p, const char *devid)
{
    g_autofree char *object = NULL;
    int sv[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    g_array_append_val(p->inherit, sv[1]);
    object =
        g_strdup_printf("x-remote-object,id=robj%u,devid=%s,fd=%d", p->objects++, devid, sv[1]);
    mpq_process_args(p, "-object", object, NULL);
    return client_new(p, sv[0]);
}

void mpq_process_listen(MpqProcess *p, const char *devid, const char *path)
{
    g_autofree char *object = g_strdup_printf(
        "x-remote-object,id=robj%u,devid=%s,path=%s,auto-shutdown=off", p->objects++, devid, path);

    mpq_process_args(p, "-object", object, NULL);
}

MpqClient *mpq_client_open(MpqProcess *p, const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int64_t until = deadline();

    g_assert_cmpuint(strlen(path), <, sizeof(addr.sun_path));
    memcpy(addr.sun_path, path, strlen(path));
    while (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        g_assert_true(errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN);
        step(p, until, "listening socket");
    }
    return client_new(p, sock);
}

static void child(MpqProcess *p)
{
    int null_fd = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null_fd, 0);
    dup2(p->output, 1);
    dup2(p->output, 2);
    for (unsigned i = 0; i < p->inherit->len; i++) {
        fd_set_cloexec(g_array_index(p->inherit, int, i), false);
    }
    execv(p->args->pdata[0], (char **)p->args->pdata);
    dprintf(2, "%s: %s\n", (char *)p->args->pdata[0], strerror(errno));
    _exit(127);
}

void mpq_process_start(MpqProcess *p)
{
    g_ptr_array_add(p->args, NULL);
    p->pid = fork();
    g_assert_cmpint(p->pid, >=, 0);
    if (p->pid == 0) {
        child(p);
    }
    for (unsigned i = 0; i < p->inherit->len; i++) {
        close(g_array_index(p->inherit, int, i));
    }
    g_array_set_size(p->inherit, 0);
}

/* Collects it if it has ended. */
static bool reap(MpqProcess *p, int flags)
{
    int status;

    if (p->pid == 0) {
        return true;
    }
    if (waitpid(p->pid, &status, flags) != p->pid) {
        return false;
    }
    p->pid = 0;
    p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

int mpq_process_wait(MpqProcess *p)
{
    int64_t until = deadline();

    while (!reap(p, WNOHANG)) {
        step(p, until, "exit");
    }
    return p->status;
}

bool mpq_process_running(MpqProcess *p)
{
    return !reap(p, WNOHANG);
}

int mpq_process_pid(const MpqProcess *p)
{
    return p->pid;
}

const char *mpq_process_output(MpqProcess *p)
{
    off_t size = lseek(p->output, 0, SEEK_END);
    ssize_t n;

    g_free(p->text);
    p->text = g_malloc0(size + 1);
    n = pread(p->output, p->text, size, 0);
    g_assert_cmpint(n, ==, size);
    return p->text;
}

/* User and system time of all its threads, in ticks. */
static uint64_t cpu_ticks(const MpqProcess *p)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", p->pid);
    g_autofree char *text = NULL;
    unsigned long long user, sys;
    const char *rest;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    rest = strrchr(text, ')'); /* the name may have anything in it */
    g_assert_nonnull(rest);
    g_assert_cmpint(
        sscanf(rest + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &user, &sys), ==,
        2);
    return user + sys;
}

void mpq_process_wait_idle(MpqProcess *p)
{
    int64_t until = deadline();
    uint64_t before = cpu_ticks(p);
    unsigned quiet = 0;

    while (quiet < 20) { /* ten ticks of 10 ms: a loop that spins would show */
        uint64_t now;

        step(p, until, "rest");
        now = cpu_ticks(p);
        quiet = now == before ? quiet + 1 : 0;
        before = now;
    }
}

unsigned mpq_process_count_fds(const MpqProcess *p)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", p->pid);
    GDir *dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    g_assert_nonnull(dir);
    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

char *mpq_process_maps(const MpqProcess *p, const char *what)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", p->pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    GString *found = g_string_new(NULL);

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (strstr(*line, what)) {
            g_string_append_printf(found, "%s\n", *line);
        }
    }
    return g_string_free(found, FALSE);
}

void mpq_process_free(MpqProcess *p)
{
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        reap(p, 0);
    }
    for (unsigned i = 0; i < p->inherit->len; i++) {
        close(g_array_index(p->inherit, int, i));
    }
    g_array_free(p->inherit, TRUE);
    g_ptr_array_free(p->args, TRUE);
    fd_clear(&p->output);
    g_free(p->text);
    g_free(p);
}

/* ---- raw ---- */

void mpq_client_free(MpqClient *c)
{
    if (!c) {
        return;
    }
    if (c->ram) {
        munmap(c->ram, c->ram_size);
    }
    fd_clear(&c->sock);
    fd_clear(&c->irqfd);
    fd_clear(&c->resamplefd);
    fd_clear(&c->ram_fd);
    g_free(c);
}

bool mpq_send_raw(MpqClient *c, const void *bytes, size_t len, const int *fds, unsigned nfds)
{
    struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
    ssize_t ret;

    wait_fd(c->process, c->sock, POLLOUT, "room in the socket");
    ret = fd_send(c->sock, &iov, 1, fds, nfds, 0);
    if (ret < 0) {
        g_assert_true(ret == -EPIPE || ret == -ECONNRESET);
        return false;
    }
    g_assert_cmpint(ret, ==, len);
    return true;
}

size_t mpq_send_some(MpqClient *c, const void *bytes, size_t len)
{
    ssize_t ret = send(c->sock, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    return ret < 0 ? 0 : ret;
}

size_t mpq_build(void *buf, int32_t cmd, const void *payload, size_t len)
{
    MpqHeader header = { .cmd = cmd, .size = len };

    memcpy(buf, &header, sizeof(header));
    if (len > 0) {
        memcpy((uint8_t *)buf + sizeof(header), payload, len);
    }
    return sizeof(header) + len;
}

bool mpq_send(MpqClient *c, int32_t cmd, const void *payload, size_t len, const int *fds,
              unsigned nfds)
{
    g_autofree uint8_t *buf = g_malloc(sizeof(MpqHeader) + len);

    return mpq_send_raw(c, buf, mpq_build(buf, cmd, payload, len), fds, nfds);
}

static void receive_bytes(MpqClient *c, void *buf, size_t len)
{
    uint8_t *at = buf;

    while (len > 0) {
        ssize_t n;

        wait_fd(c->process, c->sock, POLLIN, "answer");
        n = recv(c->sock, at, len, 0);
        if (n <= 0) {
            g_error("the connection ended instead of an answer; the process said:\n%s",
                    mpq_process_output(c->process));
        }
        at += n;
        len -= n;
    }
}

static void receive_header(MpqClient *c, uint64_t size)
{
    MpqHeader header;

    receive_bytes(c, &header, sizeof(header));
    g_assert_cmpint(header.cmd, ==, MPQ_RET);
    g_assert_cmpuint(header.pad, ==, 0);
    g_assert_cmpuint(header.size, ==, size);
}

uint64_t mpq_receive(MpqClient *c)
{
    uint64_t value;

    receive_header(c, sizeof(value));
    receive_bytes(c, &value, sizeof(value));
    return value;
}

void mpq_receive_empty(MpqClient *c)
{
    receive_header(c, 0);
}

bool mpq_wait_end(MpqClient *c)
{
    char byte;
    ssize_t n;

    wait_fd(c->process, c->sock, POLLIN, "end of the connection");
    n = recv(c->sock, &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET); /* reset: it left bytes of ours unread */
}

size_t mpq_pending(MpqClient *c)
{
    int n = 0;

    g_assert_cmpint(ioctl(c->sock, FIONREAD, &n), ==, 0);
    return n;
}

/* ---- the proxy's operations ---- */

static uint64_t ask(MpqClient *c, int32_t cmd, const void *payload, size_t len)
{
    mpq_send(c, cmd, payload, len, NULL, 0);
    return mpq_receive(c);
}

uint64_t mpq_cfg_read(MpqClient *c, uint32_t addr, int32_t len)
{
    MpqCfg cfg = { .addr = addr, .len = len };

    return ask(c, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg));
}

uint64_t mpq_cfg_write(MpqClient *c, uint32_t addr, uint32_t value, int32_t len)
{
    MpqCfg cfg = { .addr = addr, .value = value, .len = len };

    return ask(c, MPQ_PCI_CFGWRITE, &cfg, sizeof(cfg));
}

uint64_t mpq_bar_read(MpqClient *c, uint64_t addr, uint32_t size, bool memory)
{
    MpqBar bar = { .addr = addr, .size = size, .memory = memory };

    return ask(c, MPQ_BAR_READ, &bar, sizeof(bar));
}

uint64_t mpq_bar_write(MpqClient *c, uint64_t addr, uint64_t value, uint32_t size, bool memory)
{
    MpqBar bar = { .addr = addr, .value = value, .size = size, .memory = memory };

    return ask(c, MPQ_BAR_WRITE, &bar, sizeof(bar));
}

void mpq_reset(MpqClient *c)
{
    mpq_send(c, MPQ_DEVICE_RESET, NULL, 0, NULL, 0);
    mpq_receive_empty(c);
}

void mpq_sync(MpqClient *c, const MpqSysmem *map, int fd, unsigned n)
{
    int fds[MAX_FDS];

    for (unsigned i = 0; i < n; i++) {
        fds[i] = fd;
    }
    mpq_send(c, MPQ_SYNC_SYSMEM, map, sizeof(*map), fds, n);
}

uint8_t *mpq_map_ram(MpqClient *c, size_t size)
{
    MpqSysmem map = { .size = { size } };

    g_assert_null(c->ram);
    c->ram_fd = memfd_create("guest-ram", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(c->ram_fd, size), ==, 0);
    c->ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->ram_fd, 0);
    g_assert_true(c->ram != MAP_FAILED);
    c->ram_size = size;
    mpq_sync(c, &map, c->ram_fd, 1);
    return c->ram;
}

int mpq_ram_fd(const MpqClient *c)
{
    return c->ram_fd;
}

void mpq_set_irqfd(MpqClient *c, int irqfd, int resamplefd)
{
    int fds[] = { irqfd, resamplefd };

    mpq_send(c, MPQ_SET_IRQFD, NULL, 0, fds, 2);
}

void mpq_open_irq(MpqClient *c)
{
    fd_clear(&c->irqfd);
    fd_clear(&c->resamplefd);
    c->irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->resamplefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mpq_set_irqfd(c, c->irqfd, c->resamplefd);
}

void mpq_wait_irq(MpqClient *c)
{
    wait_fd(c->process, c->irqfd, POLLIN, "interrupt");
    g_assert_true(mpq_take_irq(c));
}

bool mpq_take_irq(MpqClient *c)
{
    uint64_t n;

    return read(c->irqfd, &n, sizeof(n)) == sizeof(n);
}

void mpq_resample(MpqClient *c)
{
    uint64_t one = 1;

    g_assert_cmpint(write(c->resamplefd, &one, sizeof(one)), ==, sizeof(one));
}
