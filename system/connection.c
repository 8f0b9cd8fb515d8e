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
 *   main:    new ─► serve(fd) ─────────────► [stop] ─────────────► ended ─► serve(fd) ... free
 *   thread:  idle ─► server_new ─► frames... ─► server_stop ─► disconnect ─► server_free
 */
#include "system/connection.h"
#include "remote/machine.h"
#include "remote/mpqemu.h"
#include "system/thread.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/loop.h"
#include <errno.h>

struct Connection {
    char *name;
    Loop *loop;
    RemoteMachine *machine;
    GThread *thread;
    /* main thread */
    ConnectionEnded *ended;
    void *opaque;
    bool busy, stopping;
    /* mailbox: written by main before the post, read by the thread after it */
    int fd;
    LoopPost serve_post, stop_post, quit_post;
    /* the thread's */
    MpqemuServer *server;
};

static gboolean connection_ended_main(gpointer opaque)
{
    Connection *conn = opaque;

    conn->busy = false;
    conn->ended(conn->opaque);
    return G_SOURCE_REMOVE;
}

/* Not g_main_context_invoke(), which runs the function here if the main loop doesn't run yet. */
static void tell_main(Connection *conn)
{
    g_idle_add_full(G_PRIORITY_DEFAULT, connection_ended_main, conn, NULL);
}

static void server_ended(void *opaque, bool violation G_GNUC_UNUSED)
{
    Connection *conn = opaque;

    mpqemu_server_free(conn->server);
    conn->server = NULL;
    tell_main(conn);
}

static void serve_on_thread(void *opaque)
{
    Connection *conn = opaque;

    conn->server = mpqemu_server_new(conn->machine, fd_steal(&conn->fd), server_ended, conn);
    if (!conn->server) {
        log_line(conn->name, "can't serve the connection: %s", g_strerror(errno));
        tell_main(conn);
    }
}

static void stop_on_thread(void *opaque)
{
    Connection *conn = opaque;

    if (conn->server) {
        mpqemu_server_stop(conn->server);
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

Connection *connection_new(const char *name, PciDev *pci, ConnectionEnded *ended, void *opaque,
                           GError **errp)
{
    Connection *conn = g_new0(Connection, 1);

    conn->name = g_strdup(name);
    conn->fd = -1;
    conn->ended = ended;
    conn->opaque = opaque;
    conn->serve_post = (LoopPost){ .fn = serve_on_thread, .opaque = conn };
    conn->stop_post = (LoopPost){ .fn = stop_on_thread, .opaque = conn };
    conn->quit_post = (LoopPost){ .fn = quit_on_thread, .opaque = conn };
    conn->loop = loop_new(conn->name, errp);
    if (conn->loop) {
        conn->machine = machine_new(conn->name, conn->loop, pci, errp);
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

void connection_serve(Connection *conn, int fd)
{
    g_assert(!conn->busy);
    conn->busy = true;
    conn->stopping = false;
    conn->fd = fd;
    loop_post(conn->loop, &conn->serve_post);
}

void connection_stop(Connection *conn)
{
    if (conn->busy && !conn->stopping) {
        conn->stopping = true;
        loop_post(conn->loop, &conn->stop_post);
    }
}

bool connection_busy(const Connection *conn)
{
    return conn->busy;
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
    g_free(conn->name);
    g_free(conn);
}
