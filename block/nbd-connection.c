/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to an NBD server: libnbd's state machine on our loop.
 *
 *            attach                    ready
 *   IDLE ────────────► CONNECTING ─────────────► READY
 *                        ▲      │ refused, dead,   │ dead, stalled
 *                  retry │      ▼ NBD_CONNECT_NS   ▼
 *                        └───────────── WAITING ◄──┘ reconnect-delay begins
 *
 * libnbd says which socket it waits for and in which direction; the loop tells it when that is
 * ready. It closes the socket by itself when the connection dies, possibly to open another one of
 * the same number, and an epoll set must not lose a descriptor like that. So a duplicate is
 * watched, which lives until we have seen that libnbd went on; which socket it is of, its inode
 * tells.
 *
 * The first connection is made by the main thread, which waits for it. When one is lost while the
 * node is in use, everything unanswered goes back into the queue, and attempts follow, the first
 * at once, then after 1, 2, 4 ... 16 seconds. For reconnect-delay seconds requests wait for them;
 * after that, or at once if it is 0, they fail. Attempts go on even so. A server that comes back
 * has to offer the same export, or it is none.
 *
 * A server can also fall silent with its connection open. Then nothing would ever end: neither the
 * guest's request nor, as a started write is never given up, the reset or the end of the process
 * that waits for it. So a connection on which nothing comes for stall-timeout seconds, though
 * answers are owed, counts as lost.
 *
 * Requests sent again may be executed twice by the server; each writes the same bytes to the same
 * place. What a server had answered but not flushed is its own to keep: it is said in the log that
 * this one has been replaced.
 */
#include "block/nbd-internal.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/trace.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
#define BACKOFF_MAX 16                /* s */
#define MIN_BLOCK_MAX (64u << 10)     /* as the protocol has it */
#define MAX_BLOCK_DEFAULT (32u << 20) /* ... for a server that says nothing */

static const char *connection_name(const NbdState *s)
{
    return s->node->name;
}

/* --- a handle --- */

static bool set_tls(struct nbd_handle *h, const BlockTlsCreds *creds)
{
    g_autofree char *keys = NULL;

    if (!creds) {
        return nbd_set_tls(h, LIBNBD_TLS_DISABLE) == 0;
    }
    if (nbd_set_tls(h, LIBNBD_TLS_REQUIRE) < 0) {
        return false;
    }
    if (!creds->psk) {
        return nbd_set_tls_certificates(h, creds->dir) == 0 &&
               nbd_set_tls_verify_peer(h, creds->verify_peer) == 0;
    }
    keys = g_build_filename(creds->dir, "keys.psk", NULL);
    return nbd_set_tls_psk_file(h, keys) == 0 &&
           nbd_set_tls_username(h, creds->username ? creds->username : "qemu") == 0;
}

static int start_connecting(NbdState *s, struct nbd_handle *h)
{
    const NbdAddress *a;

    switch (s->type) {
    case NBD_UNIX:
        return nbd_aio_connect_unix(h, s->server_path);
    case NBD_FD:
        return nbd_aio_connect_socket(h, fd_steal(&s->fd));
    default:
        if (!s->addresses) {
            return nbd_aio_connect_tcp(h, s->server_host, s->server_port);
        }
        a = &g_array_index(s->addresses, NbdAddress, s->n_attempts % s->addresses->len);
        return nbd_aio_connect(h, (const struct sockaddr *)&a->addr, a->len);
    }
}

/* Errors of libnbd begin with the name of its function. */
static void set_why(NbdState *s, const char *why)
{
    const char *text = why && g_str_has_prefix(why, "nbd_") ? strstr(why, ": ") : NULL;

    if (text) {
        why = text + strlen(": ");
    }
    if (why != s->why) {
        g_free(s->why);
        s->why = g_strdup(why);
    }
}

/* False and s->why if it has failed already. */
static bool handle_start(NbdState *s)
{
    g_assert(!s->handle);
    s->handle = nbd_create();
    s->phase = NBD_CONNECTING;
    if (s->handle && nbd_set_export_name(s->handle, s->export_name) == 0 &&
        nbd_add_meta_context(s->handle, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0 &&
        set_tls(s->handle, s->creds) && start_connecting(s, s->handle) == 0) {
        return true;
    }
    set_why(s, nbd_get_error());
    return false;
}

static void unwatch(NbdState *s)
{
    int fd = s->watch.fd;

    if (s->watch.loop) {
        loop_fd_del(&s->watch);
        close(fd);
    }
}

static void handle_close(NbdState *s)
{
    unwatch(s);
    if (s->handle && nbd_aio_is_ready(s->handle)) {
        nbd_aio_disconnect(s->handle, 0); /* a server that wasn't told may complain in its log */
    }
    nbd_close(s->handle);
    s->handle = NULL;
}

static bool is_dead(const NbdState *s)
{
    return nbd_aio_is_dead(s->handle) || nbd_aio_is_closed(s->handle);
}

/* libnbd's error is the thread's last one, so it is asked at once. */
static void notify(NbdState *s, bool readable, bool writable)
{
    unsigned direction = nbd_aio_get_direction(s->handle);
    int res = 0;

    if (readable && (direction & LIBNBD_AIO_DIRECTION_READ)) {
        res = nbd_aio_notify_read(s->handle);
    } else if (writable && (direction & LIBNBD_AIO_DIRECTION_WRITE)) {
        res = nbd_aio_notify_write(s->handle);
    }
    if (res < 0) {
        set_why(s, nbd_get_error());
    }
}

/* --- the export --- */

static bool find_blocks(NbdState *s, NbdExport *e, GError **errp)
{
    int64_t min = nbd_get_block_size(s->handle, LIBNBD_SIZE_MINIMUM);
    int64_t max = nbd_get_block_size(s->handle, LIBNBD_SIZE_MAXIMUM);

    min = min > 0 ? min : 1;
    max = max > 0 ? MIN(max, MAX_BLOCK_DEFAULT) : MAX_BLOCK_DEFAULT;
    if (min > MIN_BLOCK_MAX || (min & (min - 1)) || max < min) {
        return error_set(errp, "the server's block sizes make no sense");
    }
    if (e->size % min) {
        return error_set(errp, "the export's size is not a multiple of its block size");
    }
    e->min_block = min;
    e->max_block = max - max % min;
    return true;
}

static bool find_export(NbdState *s, NbdExport *e, GError **errp)
{
    int64_t size = nbd_get_size(s->handle);

    if (size < 0) {
        return error_set(errp, "%s", nbd_get_error());
    }
    *e = (NbdExport){
        .size = size,
        .read_only = nbd_is_read_only(s->handle) > 0,
        .can_flush = nbd_can_flush(s->handle) > 0,
        .can_fua = nbd_can_fua(s->handle) > 0,
        .can_trim = nbd_can_trim(s->handle) > 0,
        .can_zero = nbd_can_zero(s->handle) > 0,
        .can_status = nbd_can_meta_context(s->handle, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0,
    };
    return find_blocks(s, e, errp);
}

/* Is it what the node has been so far? */
static bool take_export_again(NbdState *s, GError **errp)
{
    NbdExport e;

    if (!find_export(s, &e, errp)) {
        return false;
    }
    if (e.size < s->export.size) {
        return error_set(errp, "the export has become smaller");
    }
    if (e.read_only && !s->node->read_only) {
        return error_set(errp, "the export has become read-only");
    }
    if (e.min_block > s->node->align) {
        return error_set(errp, "the export has larger blocks now");
    }
    e.size = s->export.size;
    s->export = e;
    return true;
}

/* --- waiting for it, on the main thread --- */

static void wait_for(NbdState *s, int64_t end_ns)
{
    int64_t left = (end_ns - loop_now_ns()) / 1000000;
    unsigned direction = nbd_aio_get_direction(s->handle);
    struct pollfd p = { .fd = nbd_aio_get_fd(s->handle) };

    p.events |= direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0;
    p.events |= direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0;
    if (poll(&p, 1, CLAMP(left, 0, 1000)) > 0) {
        notify(s, p.revents & ~POLLOUT, p.revents & ~POLLIN);
    }
}

/* One attempt. */
static bool connect_once(NbdState *s)
{
    int64_t end_ns = loop_now_ns() + NBD_CONNECT_NS;

    if (!handle_start(s)) {
        return false;
    }
    while (!nbd_aio_is_ready(s->handle) && !is_dead(s)) {
        if (loop_now_ns() >= end_ns) {
            set_why(s, "the server does not answer");
            return false;
        }
        wait_for(s, end_ns);
    }
    return !is_dead(s);
}

bool nbd_connect_now(NbdState *s, GError **errp)
{
    g_autofree char *where = nbd_address_text(s);
    g_autoptr(GError) err = NULL;
    int64_t end_ns = loop_now_ns() + s->open_timeout * NS_PER_S;

    while (!connect_once(s)) {
        handle_close(s);
        s->n_attempts++;
        if (!s->why) {
            set_why(s, "the connection was closed");
        }
        if (s->type == NBD_FD || loop_now_ns() >= end_ns) {
            return error_set(errp, "Could not connect to NBD server '%s': %s", where, s->why);
        }
        g_usleep(G_USEC_PER_SEC / 5);
    }
    if (!find_export(s, &s->export, &err)) {
        handle_close(s);
        return error_set(errp, "NBD server '%s': %s", where, err->message);
    }
    s->n_attempts = 0;
    s->phase = NBD_READY;
    g_clear_pointer(&s->why, g_free);
    return true;
}

/* --- on the loop --- */

static void retry_later(NbdState *s)
{
    int64_t wait = s->n_attempts ? MIN(INT64_C(1) << MIN(s->n_attempts - 1, 8), BACKOFF_MAX) : 0;

    s->phase = NBD_WAITING;
    if (s->type != NBD_FD) {
        loop_timer_arm(&s->retry, loop_now_ns() + wait * NS_PER_S);
    }
    s->n_attempts++;
}

static void give_up(void *opaque)
{
    NbdState *s = opaque;

    s->gave_up = true;
    nbd_requests_fail(s);
}

static void lose_connection(NbdState *s)
{
    log_limited(&s->limit, connection_name(s), "connection to the NBD server lost: %s", s->why);
    s->n_attempts = 0;
    retry_later(s);
    if (s->reconnect_delay && s->type != NBD_FD) {
        loop_timer_arm(&s->give_up, loop_now_ns() + s->reconnect_delay * NS_PER_S);
    } else {
        give_up(s);
    }
}

void nbd_connection_drop(NbdState *s, const char *why)
{
    bool was_ready = s->phase == NBD_READY;

    set_why(s, why ? why : "the connection was closed");
    handle_close(s);
    loop_timer_disarm(&s->retry);
    loop_timer_disarm(&s->stall);
    nbd_requests_recall(s);
    if (was_ready) {
        lose_connection(s);
    } else {
        log_limited(&s->limit, connection_name(s), "no connection to the NBD server: %s", s->why);
        retry_later(s);
        if (!loop_timer_armed(&s->give_up)) {
            give_up(s);
        }
    }
}

static void connection_ready(NbdState *s)
{
    g_autoptr(GError) err = NULL;

    if (!take_export_again(s, &err)) {
        nbd_connection_drop(s, err->message);
        return;
    }
    log_limited(&s->limit, connection_name(s), "connected to the NBD server again");
    loop_timer_disarm(&s->retry);
    loop_timer_disarm(&s->give_up);
    s->n_attempts = 0;
    s->gave_up = false;
    s->phase = NBD_READY;
    g_clear_pointer(&s->why, g_free);
}

static void socket_ready(void *opaque, uint32_t events)
{
    NbdState *s = opaque;

    s->heard = true;
    notify(s, events & ~EPOLLOUT, events & ~EPOLLIN);
    nbd_connection_settle(s);
}

/* A loop that polls doesn't see the socket meanwhile. What comes of it without ending a request is
 * left to socket_ready(). */
static bool socket_polled(void *opaque)
{
    NbdState *s = opaque;

    if (s->phase != NBD_READY || !s->sent.length) {
        return false;
    }
    notify(s, true, false);
    if (!s->answered.length && !is_dead(s)) {
        return false;
    }
    s->heard = true;
    nbd_connection_settle(s);
    return true;
}

static int watch_add(NbdState *s, int fd, uint64_t ino)
{
    AUTO_FD copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int res;

    if (copy < 0) {
        return -errno;
    }
    res = loop_fd_add(s->loop, &s->watch, copy, 0, socket_ready, s);
    if (res == 0) {
        fd_steal(&copy);
        s->watch_ino = ino;
    }
    return res;
}

/* Watches the socket that libnbd has now, for what it waits for. */
static int watch_update(NbdState *s)
{
    unsigned direction = nbd_aio_get_direction(s->handle);
    uint32_t events = 0;
    int res = 0;

    if (s->phase == NBD_CONNECTING || !s->watch.loop) {
        int fd = nbd_aio_get_fd(s->handle);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0) {
            return -EBADF;
        }
        if (!s->watch.loop || s->watch_ino != st.st_ino) {
            unwatch(s);
            res = watch_add(s, fd, st.st_ino);
        }
    }
    if (res < 0) {
        return res;
    }
    events |= direction & LIBNBD_AIO_DIRECTION_READ ? EPOLLIN : 0;
    events |= direction & LIBNBD_AIO_DIRECTION_WRITE ? EPOLLOUT : 0;
    loop_fd_set(&s->watch, events);
    return 0;
}

void nbd_connection_settle(NbdState *s)
{
    int res;

    if (!s->handle) {
        return;
    }
    if (s->phase == NBD_CONNECTING && nbd_aio_is_ready(s->handle)) {
        connection_ready(s);
    }
    if (!s->handle) {
        return;
    }
    /* With TLS an answer may have come along with earlier ones, and be there when more is sent. */
    do {
        if (s->phase == NBD_READY && !is_dead(s)) {
            nbd_requests_reap(s, false);
            nbd_requests_pump(s);
        }
    } while (s->answered.length && !is_dead(s));
    if (is_dead(s)) {
        nbd_connection_drop(s, s->why);
        return;
    }
    res = watch_update(s);
    if (res < 0) {
        nbd_connection_drop(s, g_strerror(-res));
    }
}

static void retry_expired(void *opaque)
{
    NbdState *s = opaque;

    if (s->phase == NBD_CONNECTING) {
        nbd_connection_drop(s, "the server does not answer");
        return;
    }
    if (handle_start(s)) {
        loop_timer_arm(&s->retry, loop_now_ns() + NBD_CONNECT_NS);
        nbd_connection_settle(s);
    } else {
        nbd_connection_drop(s, s->why);
    }
}

static void stall_expired(void *opaque)
{
    NbdState *s = opaque;

    if (!s->sent.length) {
        return;
    }
    if (s->heard) {
        s->heard = false;
        loop_timer_arm(&s->stall, loop_now_ns() + s->stall_timeout * NS_PER_S);
    } else {
        nbd_connection_drop(s, "the server owes answers and has fallen silent");
    }
}

void nbd_connection_expect(NbdState *s)
{
    if (s->stall_timeout && !loop_timer_armed(&s->stall)) {
        s->heard = false;
        loop_timer_arm(&s->stall, loop_now_ns() + s->stall_timeout * NS_PER_S);
    }
}

void nbd_connection_attach(NbdState *s, Loop *loop)
{
    s->loop = loop;
    loop_timer_init(&s->retry, loop, retry_expired, s);
    loop_timer_init(&s->give_up, loop, give_up, s);
    loop_timer_init(&s->stall, loop, stall_expired, s);
    loop_poll_add(loop, &s->poll, socket_polled, s);
    if (s->handle) {
        nbd_connection_settle(s);
        return;
    }
    s->gave_up = false;
    retry_later(s);
    if (s->reconnect_delay) {
        loop_timer_arm(&s->give_up, loop_now_ns() + s->reconnect_delay * NS_PER_S);
    }
}

void nbd_connection_detach(NbdState *s)
{
    loop_poll_del(&s->poll);
    loop_timer_disarm(&s->retry);
    loop_timer_disarm(&s->give_up);
    loop_timer_disarm(&s->stall);
    if (s->handle && (s->phase != NBD_READY || s->sent.length)) {
        handle_close(s);
    }
    unwatch(s);
    if (!s->handle) {
        s->phase = NBD_IDLE;
        s->n_attempts = 0;
    }
    s->loop = NULL;
}

void nbd_connection_close(NbdState *s)
{
    if (s->handle) {
        handle_close(s);
    }
    g_clear_pointer(&s->why, g_free);
}
