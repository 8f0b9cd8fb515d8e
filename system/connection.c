/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection: a thread with its own loop, which owns a remote machine with everything that
 * can be reached from it, the device's block nodes included.
 *
 * Built on the main thread while nobody else runs. The thread starts idle; a client comes as a
 * descriptor in a mailbox, posted to the loop, and the server made from it lives on the thread
 * alone. When the peer hangs up, breaks the protocol or is stopped, the server has the machine
 * drained, flushed and reset, and tells so on the thread; from there one message goes to the main
 * loop. Then the machine is as new, and the next client may come.
 *
 * A client that comes while another is served is offered to the thread, as only there can be said
 * whether that other is still connected: a VM that was killed and started again is not to be
 * refused for what its predecessor has in flight. Main waits for the answer before it goes on with
 * anything else about clients, so each mailbox has one writer at a time.
 *
 *   main:    new ─► serve(fd) ─────────────► [stop] ─────────────► ended ─► serve(fd) ... free
 *   thread:  idle ─► server_new ─► frames... ─► server_stop ─► disconnect ─► server_free
 */
#include "system/connection.h"
#include "system/thread.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/main-post.h"
#include <errno.h>
#include <sys/socket.h>

struct Connection {
    char *name;
    Loop *loop;
    RemoteMachine *machine;
    GThread *thread;
    /* main thread */
    const ConnectionKind *kind;
    ConnectionEnded *ended;
    ConnectionRefused *refused;
    void *opaque;
    bool busy, stopping;
    pid_t peer;
    bool offering;     /* the thread has not answered yet */
    bool ended_behind; /* what is to be told when it has */
    /* mailbox: written by main before the post, read by the thread after it */
    int fd, offered;
    LoopPost serve_post, offer_post, stop_post, quit_post;
    /* the thread's */
    void *server;
    bool violation; /* read by main after the message that the client is gone */
};

static void tell_ended(Connection *conn)
{
    conn->busy = false;
    conn->ended_behind = false;
    conn->ended(conn->opaque);
}

static void connection_ended_main(void *opaque)
{
    Connection *conn = opaque;

    conn->ended_behind = true;
    if (!conn->offering) {
        tell_ended(conn);
    }
}

static void offer_answered_main(void *opaque)
{
    Connection *conn = opaque;

    conn->offering = false;
    if (conn->offered < 0) {
        conn->refused(conn->opaque);
    }
    if (conn->ended_behind) {
        tell_ended(conn);
    }
}

static void server_ended(void *opaque, bool violation)
{
    Connection *conn = opaque;

    conn->violation = violation;
    conn->kind->server_free(conn->server);
    conn->server = NULL;
    machine_counters_trace(conn->machine, conn->kind->message_name);
    main_post(connection_ended_main, conn);
}

static void serve_on_thread(void *opaque)
{
    Connection *conn = opaque;

    machine_counters_clear(conn->machine);
    conn->violation = false;
    conn->server = conn->kind->server_new(conn->machine, fd_steal(&conn->fd), server_ended, conn);
    if (!conn->server) {
        log_line(conn->name, "can't serve the connection: %s", g_strerror(errno));
        main_post(connection_ended_main, conn);
    }
}

static void offer_on_thread(void *opaque)
{
    Connection *conn = opaque;

    if (conn->server && conn->kind->server_connected(conn->server)) {
        log_line(conn->name, "another client is refused: one is connected");
        fd_clear(&conn->offered);
    }
    main_post(offer_answered_main, conn);
}

static void stop_on_thread(void *opaque)
{
    Connection *conn = opaque;

    if (conn->server) {
        conn->kind->server_stop(conn->server);
    }
}

/* Posted, so that a stop that was overtaken by the client's own end has run before. */
static void quit_on_thread(void *opaque)
{
    Connection *conn = opaque;

    loop_quit(conn->loop);
}

static void *connection_thread(void *opaque)
{
    Connection *conn = opaque;

    guest_memory_thread_use(conn->machine->mem);
    loop_run(conn->loop);
    guest_memory_thread_use(NULL);
    return NULL;
}

Connection *connection_new(const char *name, PciDev *pci, const ConnectionKind *kind,
                           const PollingProps *polling, ConnectionEnded *ended,
                           ConnectionRefused *refused, void *opaque, GError **errp)
{
    Connection *conn = g_new0(Connection, 1);

    conn->name = g_strdup(name);
    conn->fd = conn->offered = -1;
    conn->kind = kind;
    conn->ended = ended;
    conn->refused = refused;
    conn->opaque = opaque;
    conn->serve_post = (LoopPost){ .fn = serve_on_thread, .opaque = conn };
    conn->offer_post = (LoopPost){ .fn = offer_on_thread, .opaque = conn };
    conn->stop_post = (LoopPost){ .fn = stop_on_thread, .opaque = conn };
    conn->quit_post = (LoopPost){ .fn = quit_on_thread, .opaque = conn };
    conn->loop = loop_new(conn->name, errp);
    if (conn->loop) {
        loop_set_polling(conn->loop, polling->max_ns, polling->grow, polling->shrink);
        conn->machine = kind->machine_new(conn->name, conn->loop, pci, errp);
    }
    if (conn->machine) {
        conn->thread = thread_start(conn->name, connection_thread, conn, errp);
    }
    if (!conn->thread) {
        connection_free(conn);
        return NULL;
    }
    return conn;
}

static pid_t peer_of(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 ? cred.pid : 0;
}

void connection_serve(Connection *conn, int fd)
{
    g_assert(!conn->busy);
    conn->busy = true;
    conn->stopping = false;
    conn->peer = peer_of(fd);
    conn->fd = fd;
    loop_post(conn->loop, &conn->serve_post);
}

void connection_offer(Connection *conn, int fd)
{
    g_assert(conn->busy && !conn->offering && conn->offered < 0);
    conn->offering = true;
    conn->offered = fd;
    loop_post(conn->loop, &conn->offer_post);
}

bool connection_takes_offers(const Connection *conn)
{
    return conn->kind->server_connected != NULL;
}

int connection_take_offer(Connection *conn)
{
    return fd_steal(&conn->offered);
}

void connection_stop(Connection *conn)
{
    if (conn->busy && !conn->stopping) {
        conn->stopping = true;
        loop_post(conn->loop, &conn->stop_post);
    }
}

bool connection_violated(const Connection *conn)
{
    return conn->violation;
}

bool connection_busy(const Connection *conn)
{
    return conn->busy;
}

Loop *connection_loop(const Connection *conn)
{
    return conn->loop;
}

RemoteMachine *connection_machine(const Connection *conn)
{
    return conn->machine;
}

const char *connection_protocol(const Connection *conn)
{
    return conn->kind->protocol;
}

RemoteMessageName *connection_message_name(const Connection *conn)
{
    return conn->kind->message_name;
}

pid_t connection_peer(const Connection *conn)
{
    return conn->peer;
}

void connection_free(Connection *conn)
{
    g_assert(!conn->busy);
    if (conn->thread) {
        loop_post(conn->loop, &conn->quit_post);
        g_thread_join(conn->thread);
    }
    if (conn->machine) {
        machine_free(conn->machine);
    }
    if (conn->loop) {
        loop_free(conn->loop);
    }
    fd_clear(&conn->offered);
    g_free(conn->name);
    g_free(conn);
}
