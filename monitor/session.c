/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transport under a monitor: bytes of one client at a time in, answers and events out.
 *
 * A client's bytes are given to the protocol (control: qmp.c, readline: hmp.c) one command at a
 * time. While a command is under way nothing more is read, so a client that sends without end
 * fills its own socket and not this process; the same holds while it leaves answers unread. Events
 * come nevertheless, so what a client doesn't read has a bound at which it is cut off.
 *
 *   no client ─► open ─► reading ⇄ busy (a command) ─► closed ─► no client
 *
 * A command outlives its client: the answer is dropped by the number of the client that asked.
 * Descriptors come beside the bytes (SCM_RIGHTS) and wait for the getfd or add-fd that takes them,
 * until others come: one whose command was refused is never taken for that of a later command.
 *
 * Pipes and terminals are neither made non-blocking, which would reach everybody who shares them,
 * nor written to further than poll() promises.
 *
 * Main thread.
 */
#include "session.h"
#include "util/fd.h"
#include "util/log.h"
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The main thread's, for sessions, and for what their commands open by descriptors: files of any
 * size, and connections with a thread and a loop of their own. */
const SandboxCalls monitor_sandbox = {
    .module = "monitor",
    .on_demand = true,
    .calls =
        (const SandboxCall[]){ { .name = "epoll_create1" },
                               { .name = "eventfd2" },
                               { .name = "fcntl", .args = { SANDBOX_EQUALS(1, F_DUPFD_CLOEXEC) } },
                               { .name = "ftruncate" },
                               { .name = "getpeername" },
                               { .name = "getsockopt" },
                               { .name = "ioctl", .args = { SANDBOX_EQUALS(1, BLKGETSIZE64) } },
                               { .name = "pread64" },
                               { .name = "recvmsg" },
                               { .name = "sendto" },
                               { .name = "statx", .args = { SANDBOX_MASKED(2, AT_EMPTY_PATH,
                                                                           AT_EMPTY_PATH) } },
                               { .name = NULL } }
};

#define READ_BYTES 4096
#define WRITE_BYTES 4096        /* a pipe that is writable takes so many (PIPE_BUF) */
#define OUTPUT_FULL (64u << 10) /* no further command is read */
#define OUTPUT_MAX (1u << 20)   /* the client is cut off */

static void session_close(MonitorSession *session);
static void session_update(MonitorSession *session);

MonitorSession *monitor_session_new(Monitor *monitor, const char *label, MonitorMode mode,
                                    bool pretty, void (*closed)(void *opaque), void *opaque)
{
    MonitorSession *session = g_new0(MonitorSession, 1);

    session->monitor = monitor;
    session->kind = mode == MONITOR_CONTROL ? &qmp_session_kind : &hmp_session_kind;
    session->label = g_strdup(label);
    session->pretty = pretty;
    session->on_closed = closed;
    session->opaque = opaque;
    session->in = session->out = -1;
    session->input = g_byte_array_new();
    session->output = g_byte_array_new();
    session->line = g_string_new(NULL);
    json_door_init(&session->door);
    g_ptr_array_add(monitor->sessions, session);
    return session;
}

bool monitor_session_is_open(const MonitorSession *session)
{
    return session->in >= 0;
}

const char *monitor_session_label(const MonitorSession *session)
{
    return session->label;
}

/* --- in --- */

static void drop_descriptors(MonitorSession *session)
{
    while (session->n_fds > 0) {
        fd_clear(&session->fds[--session->n_fds]);
    }
}

/* With bytes that hadn't been received when all earlier ones had been dealt with. */
static void take_descriptors(MonitorSession *session, struct msghdr *msg)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        drop_descriptors(session);
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
            if (session->n_fds < SESSION_FDS_MAX) {
                session->fds[session->n_fds++] = fd;
            } else {
                fd_clear(&fd);
            }
        }
    }
}

static ssize_t receive(MonitorSession *session, uint8_t *bytes, size_t len)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * SESSION_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec iov = { .iov_base = bytes, .iov_len = len };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n;

    if (!session->socket) {
        return read(session->in, bytes, len);
    }
    n = recvmsg(session->in, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n >= 0) {
        take_descriptors(session, &msg);
    }
    return n;
}

int monitor_session_take_fd(MonitorSession *session)
{
    int fd;

    if (session->n_fds == 0) {
        return -1;
    }
    fd = session->fds[0];
    session->n_fds--;
    memmove(session->fds, session->fds + 1, session->n_fds * sizeof(fd));
    return fd;
}

/* Gives what was received to the protocol, up to the first command that isn't answered at once. */
static void process(MonitorSession *session)
{
    uint64_t client = session->client;

    while (session->client == client && !session->busy && session->input->len > 0 &&
           session->output->len < OUTPUT_FULL) {
        size_t used = session->kind->input(session, session->input->data, session->input->len);

        if (session->client == client) {
            g_byte_array_remove_range(session->input, 0, used);
        }
    }
    if (session->client == client) {
        session_update(session);
    }
}

static gboolean input_ready(int fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
                            gpointer opaque)
{
    MonitorSession *session = opaque;
    uint8_t bytes[READ_BYTES];
    ssize_t n = receive(session, bytes, sizeof(bytes));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n <= 0) {
        session->eof = true;
    } else {
        g_byte_array_append(session->input, bytes, n);
    }
    process(session);
    return G_SOURCE_CONTINUE; /* unless it was removed */
}

/* --- out --- */

static ssize_t transmit(MonitorSession *session)
{
    size_t len = MIN(session->output->len, WRITE_BYTES);

    return session->socket ? send(session->out, session->output->data, session->output->len,
                                  MSG_DONTWAIT | MSG_NOSIGNAL)
                           : write(session->out, session->output->data, len);
}

static gboolean output_ready(int fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
                             gpointer opaque)
{
    MonitorSession *session = opaque;
    ssize_t n = transmit(session);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n < 0) {
        session_close(session);
        return G_SOURCE_REMOVE;
    }
    g_byte_array_remove_range(session->output, 0, n);
    process(session);
    return G_SOURCE_CONTINUE; /* unless it was removed */
}

static gboolean end_later(gpointer opaque)
{
    MonitorSession *session = opaque;

    session->ending = 0;
    session_close(session);
    return G_SOURCE_REMOVE;
}

/* The caller may be in the midst of something with the session. */
static void close_soon(MonitorSession *session)
{
    if (!session->ending) {
        session->ending = g_idle_add_full(G_PRIORITY_DEFAULT, end_later, session, NULL);
    }
}

void session_send(MonitorSession *session, const char *bytes, size_t len)
{
    if (session->in < 0 || session->ending) {
        return;
    }
    if (session->output->len + len > OUTPUT_MAX) {
        log_line(session->label, "the client does not read; connection ended");
        g_byte_array_set_size(session->output, 0);
        close_soon(session);
        return;
    }
    g_byte_array_append(session->output, (const uint8_t *)bytes, len);
    if (session->socket && session->output->len == len) {
        ssize_t n = transmit(session);
        if (n > 0) {
            g_byte_array_remove_range(session->output, 0, n);
        }
    }
    session_update(session);
}

void session_done(MonitorSession *session)
{
    session->busy = false;
    session_update(session);
}

/* --- a client's coming and going --- */

static void source_clear(unsigned *id)
{
    if (*id) {
        g_source_remove(*id);
        *id = 0;
    }
}

static gboolean process_later(int fd, GIOCondition condition, gpointer opaque);

/* Watches what there is to be waited for. Commands that wait in the input are taken up by the
 * output side's being ready, so that one client never keeps the main loop to itself. */
static void session_update(MonitorSession *session)
{
    bool full = session->busy || session->output->len >= OUTPUT_FULL;
    bool waiting = session->input->len > 0 && !session->busy;

    if (session->in < 0 || session->ending) {
        return;
    }
    if (session->eof && !session->busy && session->input->len == 0 && session->output->len == 0) {
        close_soon(session);
        return;
    }
    if (full || session->eof || session->input->len > 0) {
        source_clear(&session->watch_in);
    } else if (!session->watch_in) {
        session->watch_in =
            g_unix_fd_add(session->in, G_IO_IN | G_IO_HUP | G_IO_ERR, input_ready, session);
    }
    if (session->output->len == 0 && !waiting) {
        source_clear(&session->watch_out);
    } else if (!session->watch_out) {
        session->watch_out =
            g_unix_fd_add(session->out, G_IO_OUT | G_IO_HUP | G_IO_ERR, process_later, session);
    }
}

static gboolean process_later(int fd, GIOCondition condition, gpointer opaque)
{
    MonitorSession *session = opaque;

    if (session->output->len > 0) {
        return output_ready(fd, condition, session);
    }
    process(session);
    return G_SOURCE_CONTINUE; /* unless it was removed */
}

static bool is_socket(int fd)
{
    struct stat st;

    return fd_stat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

void monitor_session_open(MonitorSession *session, int in, int out, bool owned)
{
    g_assert(session->in < 0);
    session->in = in;
    session->out = out;
    session->owned = owned;
    session->socket = in == out && is_socket(in);
    session->eof = false;
    session->client++;
    session->kind->opened(session);
    session_update(session);
}

static void session_clear(MonitorSession *session)
{
    source_clear(&session->watch_in);
    source_clear(&session->watch_out);
    source_clear(&session->ending);
    if (session->owned) {
        if (session->out != session->in) {
            fd_clear(&session->out);
        }
        fd_clear(&session->in);
    }
    session->in = session->out = -1;
    drop_descriptors(session);
    g_byte_array_set_size(session->input, 0);
    g_byte_array_set_size(session->output, 0);
    g_string_truncate(session->line, 0);
    json_door_reset(&session->door);
    g_clear_pointer(&session->id, json_decref);
    session->busy = session->negotiated = false;
    session->client++;
}

static void session_close(MonitorSession *session)
{
    if (session->in < 0) {
        return;
    }
    session_clear(session);
    session->kind->closed(session);
    session->on_closed(session->opaque);
}

void monitor_session_free(MonitorSession *session)
{
    /* What a client was still to be told: of the end, for one. */
    if (session->in >= 0 && session->output->len > 0 && !session->ending) {
        transmit(session);
    }
    session_clear(session);
    json_door_fini(&session->door);
    g_byte_array_unref(session->input);
    g_byte_array_unref(session->output);
    g_string_free(session->line, TRUE);
    g_free(session->label);
    g_free(session);
}
