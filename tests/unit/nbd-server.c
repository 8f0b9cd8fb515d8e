/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NBD servers as child processes. They are started in the foreground and known by their pid; that
 * one listens is seen by connecting to it.
 */
#include "nbd-server.h"
#include <arpa/inet.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

bool nbd_server_have(const char *program)
{
    g_autofree char *path = g_find_program_in_path(program);

    if (!path) {
        g_autofree char *reason = g_strdup_printf("%s is not installed", program);

        g_test_skip(reason);
    }
    return path != NULL;
}

NbdServer *nbd_server_new(void)
{
    NbdServer *server = g_new0(NbdServer, 1);

    /* in memory where that can be had: what is flushed need not wait for a busy disk */
    server->dir = g_strdup("/dev/shm/nbd-XXXXXX");
    if (!mkdtemp(server->dir)) {
        g_free(server->dir);
        server->dir = g_dir_make_tmp("nbd-XXXXXX", NULL);
    }
    g_assert_nonnull(server->dir);
    server->socket = g_build_filename(server->dir, "s", NULL);
    return server;
}

static bool listens(const NbdServer *server, unsigned port)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = g_htons(port),
                              .sin_addr.s_addr = g_htonl(INADDR_LOOPBACK) };
    const void *addr = port ? (const void *)&in : &un;
    int fd = socket(port ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok;

    g_strlcpy(un.sun_path, server->socket, sizeof(un.sun_path));
    ok = connect(fd, addr, port ? sizeof(in) : sizeof(un)) == 0;
    close(fd);
    return ok;
}

static unsigned free_port(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = g_htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&in, len), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&in, &len), ==, 0);
    close(fd);
    return g_ntohs(in.sin_port);
}

/* So that a test that aborts leaves no server behind. */
static void die_with_parent(gpointer opaque G_GNUC_UNUSED)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void start(NbdServer *server, const char *command, unsigned port)
{
    g_auto(GStrv) parts = g_strsplit(command, "%s", -1);
    g_autofree char *line = g_strjoinv(server->socket, parts);
    g_auto(GStrv) argv = NULL;
    g_autoptr(GError) err = NULL;
    int64_t end = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;

    g_assert_cmpint(server->pid, ==, 0);
    g_assert_true(g_shell_parse_argv(line, NULL, &argv, &err));
    g_test_message("%s", line);
    g_spawn_async(server->dir, argv, NULL,
                  G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL |
                      G_SPAWN_STDERR_TO_DEV_NULL,
                  die_with_parent, NULL, &server->pid, &err);
    g_assert_no_error(err);
    while (!listens(server, port)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_assert_cmpint(waitpid(server->pid, NULL, WNOHANG), ==, 0);
        g_usleep(5000);
    }
}

void nbd_server_start_as(NbdServer *server, const char *command)
{
    start(server, command, 0);
}

unsigned nbd_server_start_tcp(NbdServer *server, const char *words)
{
    unsigned port = free_port();
    g_autofree char *command = g_strdup_printf("nbdkit -f -i 127.0.0.1 -p %u %s", port, words);

    start(server, command, port);
    return port;
}

void nbd_server_start(NbdServer *server, const char *words)
{
    g_autofree char *command = g_strconcat("nbdkit -f -U %s ", words, NULL);

    nbd_server_start_as(server, command);
}

void nbd_server_signal(NbdServer *server, int signal)
{
    g_assert_cmpint(server->pid, >, 0);
    g_assert_cmpint(kill(server->pid, signal), ==, 0);
    if (signal == SIGSTOP) { /* it may still answer a moment longer */
        siginfo_t info;

        g_assert_cmpint(waitid(P_PID, server->pid, &info, WSTOPPED), ==, 0);
    }
}

void nbd_server_kill(NbdServer *server)
{
    if (server->pid) {
        nbd_server_signal(server, SIGKILL);
        while (waitpid(server->pid, NULL, 0) < 0) {
            g_assert_cmpint(errno, ==, EINTR);
        }
        server->pid = 0;
        g_unlink(server->socket);
    }
}

void nbd_server_free(NbdServer *server)
{
    g_autoptr(GDir) dir = NULL;
    const char *name;

    nbd_server_kill(server);
    dir = g_dir_open(server->dir, 0, NULL);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(server->dir, name, NULL);

        g_remove(path);
    }
    g_assert_cmpint(g_rmdir(server->dir), ==, 0);
    g_free(server->dir);
    g_free(server->socket);
    g_free(server);
}
