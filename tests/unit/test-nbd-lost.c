/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Servers that go away, come back, fall silent or lie: what was asked for is done once they are
 * back, or fails; nothing hangs, and nothing that was answered is lost.
 *
 * The liar is a thread of this program. It speaks the protocol's oldest handshake, which is a
 * greeting and no more, and answers each request as the test says.
 */
#include "nbd-client.h"
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SOON_NS INT64_C(5000000000) /* for what must not wait for anything */

static uint64_t be64(uint64_t v)
{
    return GUINT64_TO_BE(v);
}

/* --- a server that goes and comes back --- */

static void start_file_server(Client *c)
{
    g_autofree char *words = g_strdup_printf("file %s/f", c->server->dir);

    nbd_server_start(c->server, words);
}

static bool begin(Client *c, const char *more)
{
    if (!nbd_server_have("nbdkit")) {
        return false;
    }
    g_free(make_image(c->server->dir, "f", NBD_SIZE));
    start_file_server(c);
    client_open(c, more);
    return true;
}

static void restart(void *opaque)
{
    start_file_server(opaque);
}

/* Tries until the server is back. */
static void wait_until_back(Client *c)
{
    int64_t end = loop_now_ns() + DEADLINE_NS;
    uint8_t buf[512];

    while (do_io(c->node, BLOCK_READ, 0, buf, sizeof(buf))) {
        g_assert_cmpint(loop_now_ns(), <, end);
        loop_turn(c->loop, 100);
    }
}

static void kill_and_restart(Client *c, unsigned left)
{
    if (left % 300 == 150) {
        nbd_server_kill(c->server);
        start_file_server(c);
    }
}

static void test_restart_under_load(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    if (!begin(c, ",reconnect-delay=60")) {
        return;
    }
    client_load(c, 32, 900, kill_and_restart);
    client_check(c);
}

static LoopTimer *back; /* brings the server back */

static void kill_once(Client *c, unsigned left)
{
    if (left == 150) {
        nbd_server_kill(c->server);
        loop_timer_arm(back, loop_now_ns() + INT64_C(300000000));
    }
}

/* For a while nobody listens, and everything waits. */
static void test_restart_later(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    LoopTimer timer;

    if (!begin(c, ",reconnect-delay=60")) {
        return;
    }
    loop_timer_init(&timer, c->loop, restart, c);
    back = &timer;
    client_load(c, 16, 300, kill_once);
    g_assert_false(loop_timer_armed(&timer));
    g_assert_cmpint(c->server->pid, !=, 0);
    client_check(c);
}

static void test_idle(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    if (!begin(c, ",reconnect-delay=60")) {
        return;
    }
    client_load(c, 4, 20, NULL);
    nbd_server_kill(c->server);
    loop_turn(c->loop, 10);
    start_file_server(c);
    client_load(c, 4, 20, NULL);
    client_check(c);
}

/* While no machine has the node, nobody looks after the connection. */
static void test_detached(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    if (!begin(c, ",reconnect-delay=60")) {
        return;
    }
    client_load(c, 4, 20, NULL);
    drain(c->node);
    block_detach(c->node);
    nbd_server_kill(c->server);
    start_file_server(c);
    g_assert_true(block_attach(c->node, c->loop, NULL));
    client_load(c, 4, 20, NULL);
    client_check(c);
}

static void test_no_delay(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[512];

    if (!begin(c, "")) {
        return;
    }
    nbd_server_kill(c->server);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(do_io(c->node, BLOCK_WRITE, 0, buf, sizeof(buf)), ==, -EIO);
    }
    start_file_server(c);
    wait_until_back(c);
    client_load(c, 4, 20, NULL);
    client_check(c);
}

static void test_delay_is_over(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[512];
    int64_t start = loop_now_ns();

    if (!begin(c, ",reconnect-delay=1")) {
        return;
    }
    nbd_server_kill(c->server);
    g_assert_cmpint(do_io(c->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, -EIO);
    g_assert_cmpint(loop_now_ns() - start, >=, INT64_C(900000000));
    g_assert_cmpint(do_io(c->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, -EIO);
    start_file_server(c);
    wait_until_back(c);
}

static void test_another_export(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const others[] = { "memory 512K", "-r memory 1M" };
    uint8_t buf[512] = { 0 };

    if (!begin(c, ",reconnect-delay=1")) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        nbd_server_kill(c->server);
        nbd_server_start(c->server, others[i]);
        g_assert_cmpint(do_io(c->node, BLOCK_WRITE, 0, buf, sizeof(buf)), ==, -EIO);
        nbd_server_kill(c->server);
        start_file_server(c);
        wait_until_back(c);
    }
}

/* --- a server that is stopped --- */

static void test_stall(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[512] = { 0 };

    if (!begin(c, ",x-stall-timeout=1")) {
        return;
    }
    nbd_server_signal(c->server, SIGSTOP);
    g_assert_cmpint(do_io(c->node, BLOCK_WRITE, 0, buf, sizeof(buf)), ==, -EIO);
    nbd_server_signal(c->server, SIGCONT);
    wait_until_back(c);
}

static void test_cancel(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    enum { N = 40 };
    static Req reqs[N];
    static uint8_t bufs[N][4096];
    unsigned pending = N;
    int64_t end = loop_now_ns() + SOON_NS;

    if (!begin(c, ",reconnect-delay=60")) {
        return;
    }
    nbd_server_signal(c->server, SIGSTOP);
    for (unsigned i = 0; i < N; i++) {
        reqs[i] = (Req){ .pending = &pending };
        memset(bufs[i], 0x5a, sizeof(bufs[i]));
        req_submit(c->node, &reqs[i], BLOCK_READ, i * 4096, bufs[i], 4096, 0);
    }
    loop_turn(c->loop, 10);
    for (unsigned i = 0; i < N; i++) {
        block_cancel(&reqs[i].req);
    }
    wait_zero(c->loop, &pending);
    g_assert_cmpint(loop_now_ns(), <, end);
    for (unsigned i = 0; i < N; i++) {
        g_assert_cmpint(reqs[i].req.res, ==, -ECANCELED);
    }
    nbd_server_signal(c->server, SIGCONT);
    client_check(c);
    for (unsigned i = 0; i < N; i++) { /* the answers that came late went nowhere */
        g_assert_cmpuint(bufs[i][0] & bufs[i][4095], ==, 0x5a);
    }
}

/* Detaching waits for nobody, as nothing is in flight for the block layer. */
static void test_detach_after_cancel(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    unsigned pending = 1;
    Req req = { .pending = &pending };
    uint8_t buf[512];

    if (!begin(c, ",reconnect-delay=60")) {
        return;
    }
    nbd_server_signal(c->server, SIGSTOP);
    req_submit(c->node, &req, BLOCK_READ, 0, buf, sizeof(buf), 0);
    loop_turn(c->loop, 10);
    block_cancel(&req.req);
    wait_zero(c->loop, &pending);
    block_detach(c->node);
    nbd_server_signal(c->server, SIGCONT);
    g_assert_true(block_attach(c->node, c->loop, NULL));
    client_check(c);
}

/* --- a server that lies --- */

#define REQUEST_MAGIC 0x25609513u
#define REPLY_MAGIC 0x67446698u
#define STRUCTURED_MAGIC 0x668e33efu

typedef struct __attribute__((packed)) Request {
    uint32_t magic;
    uint16_t flags, type;
    uint64_t handle, offset;
    uint32_t length;
} Request;

typedef struct __attribute__((packed)) Reply {
    uint32_t magic, error;
    uint64_t handle;
} Reply;

typedef struct __attribute__((packed)) Greeting {
    char word[8];
    uint64_t magic, size;
    uint16_t global_flags, flags;
    uint8_t zeros[124];
} Greeting;

typedef struct Liar Liar;
/* Answers one request in its way. False: hangs up. */
typedef bool LieFn(Liar *liar, int fd, const Request *req);

struct Liar {
    int listener;
    pthread_t thread;
    size_t greeting_bytes; /* how much of it is sent before it hangs up; 0: all */
    bool silent;           /* after that it is not heard any more, rather than hanging up */
    gint lies;             /* how many requests are lied to; atomic */
    LieFn *lie;
    unsigned param;
};

static bool put(int fd, const void *data, size_t len)
{
    return send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static Reply honest_reply(const Request *req)
{
    return (Reply){ .magic = GUINT32_TO_BE(REPLY_MAGIC), .handle = req->handle };
}

/* Every byte of its disk is 0x42. */
static bool honest(Liar *liar G_GNUC_UNUSED, int fd, const Request *req)
{
    uint32_t len = GUINT32_FROM_BE(req->length);
    g_autofree uint8_t *data = g_malloc(len + 1);
    Reply reply = honest_reply(req);

    if (GUINT16_FROM_BE(req->type) == 1 && recv(fd, data, len, MSG_WAITALL) != (ssize_t)len) {
        return false;
    }
    memset(data, 0x42, len);
    return put(fd, &reply, sizeof(reply)) &&
           (GUINT16_FROM_BE(req->type) != 0 || put(fd, data, len));
}

static bool lie_hang_up(Liar *liar G_GNUC_UNUSED, int fd G_GNUC_UNUSED,
                        const Request *req G_GNUC_UNUSED)
{
    return false;
}

static bool lie_wrong_handle(Liar *liar G_GNUC_UNUSED, int fd, const Request *req)
{
    Reply reply = honest_reply(req);

    reply.handle = ~reply.handle;
    return put(fd, &reply, sizeof(reply));
}

static bool lie_wrong_magic(Liar *liar G_GNUC_UNUSED, int fd, const Request *req)
{
    Reply reply = honest_reply(req);

    reply.magic = ~reply.magic;
    return put(fd, &reply, sizeof(reply));
}

static bool lie_structured(Liar *liar G_GNUC_UNUSED, int fd, const Request *req)
{
    uint8_t chunk[20 + 64] = { 0 };
    Reply reply = honest_reply(req);

    reply.magic = GUINT32_TO_BE(STRUCTURED_MAGIC);
    memcpy(chunk, &reply, sizeof(reply));
    memset(chunk + 16, 0xff, 4); /* 4 GiB of it */
    return put(fd, chunk, sizeof(chunk));
}

/* param bytes of header and data. */
static bool lie_cut(Liar *liar, int fd, const Request *req)
{
    uint8_t answer[16 + 4096];
    Reply reply = honest_reply(req);

    memset(answer, 0x42, sizeof(answer));
    memcpy(answer, &reply, sizeof(reply));
    put(fd, answer, liar->param);
    return false;
}

static bool lie_error(Liar *liar, int fd, const Request *req)
{
    Reply reply = honest_reply(req);

    reply.error = GUINT32_TO_BE(liar->param);
    return put(fd, &reply, sizeof(reply));
}

static bool greet(Liar *liar, int fd)
{
    Greeting greeting = {
        .word = "NBDMAGIC",
        .magic = be64(0x420281861253),
        .size = be64(NBD_SIZE),
        .flags = GUINT16_TO_BE(1 | 4 | 8), /* flags, FLUSH, FUA */
    };
    size_t len = liar->greeting_bytes ? liar->greeting_bytes : sizeof(greeting);

    return put(fd, &greeting, len) && len == sizeof(greeting);
}

static void serve(Liar *liar, int fd)
{
    Request req;
    bool going_on = greet(liar, fd);

    if (liar->silent) {
        while (recv(fd, &req, sizeof(req), 0) > 0) {
        }
    }
    while (going_on && recv(fd, &req, sizeof(req), MSG_WAITALL) == sizeof(req)) {
        bool lies = req.type != GUINT16_TO_BE(2) && g_atomic_int_get(&liar->lies) > 0;

        g_assert_cmpuint(GUINT32_FROM_BE(req.magic), ==, REQUEST_MAGIC);
        if (lies) {
            g_atomic_int_add(&liar->lies, -1);
        }
        going_on = (lies ? liar->lie : honest)(liar, fd, &req);
    }
}

static void *liar_run(void *opaque)
{
    Liar *liar = opaque;
    int fd;

    while ((fd = accept4(liar->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        serve(liar, fd);
        close(fd);
    }
    return NULL;
}

static void liar_start(Liar *liar, Client *c)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    g_strlcpy(addr.sun_path, c->server->socket, sizeof(addr.sun_path));
    liar->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(liar->listener, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(liar->listener, 4), ==, 0);
    g_assert_cmpint(pthread_create(&liar->thread, NULL, liar_run, liar), ==, 0);
}

/* The client's connections are closed. */
static void liar_stop(Liar *liar)
{
    shutdown(liar->listener, SHUT_RDWR);
    pthread_join(liar->thread, NULL);
    close(liar->listener);
}

typedef struct Lie {
    const char *name;
    LieFn *fn;
    unsigned first, last, step; /* of param */
} Lie;

static const Lie lies[] = {
    { "hang-up", lie_hang_up, 0, 0, 1 },         { "wrong-handle", lie_wrong_handle, 0, 0, 1 },
    { "wrong-magic", lie_wrong_magic, 0, 0, 1 }, { "structured", lie_structured, 0, 0, 1 },
    { "cut-header", lie_cut, 1, 15, 7 },         { "cut-data", lie_cut, 16, 16 + 4095, 1361 },
};

/* The read fails, or with a delay is asked for again and then answered. */
static void test_lie(Client *c, gconstpointer data)
{
    const Lie *lie = data;
    uint8_t buf[4096];

    for (unsigned param = lie->first; param <= lie->last; param += lie->step) {
        Liar liar = { .lies = 1, .lie = lie->fn, .param = param };

        liar_start(&liar, c);
        client_open(c, "");
        g_assert_cmpint(do_io(c->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, -EIO);
        wait_until_back(c);
        g_atomic_int_set(&liar.lies, 1);
        client_close(c);

        client_open(c, ",reconnect-delay=60");
        g_assert_cmpint(do_io(c->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, 0);
        g_assert_cmpuint(buf[0] & buf[4095], ==, 0x42);
        g_assert_cmpint(g_atomic_int_get(&liar.lies), ==, 0);
        client_close(c);
        liar_stop(&liar);
        g_remove(c->server->socket);
    }
}

static void test_error_numbers(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        uint32_t number;
        int res;
    } rows[] = {
        { 1, -EPERM },           { 5, -EIO },      { 12, -ENOMEM },
        { 22, -EINVAL },         { 28, -ENOSPC },  { 0xffffffff, -EINVAL },
        { 0x80000000, -EINVAL }, { 107, -EINVAL },
    };
    Liar liar = { .lie = lie_error };
    uint8_t buf[512] = { 0 };

    liar_start(&liar, c);
    client_open(c, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        liar.param = rows[i].number;
        g_atomic_int_set(&liar.lies, 1);
        g_assert_cmpint(do_io(c->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, rows[i].res);
        g_assert_cmpint(do_io(c->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, 0);
    }
    client_close(c);
    liar_stop(&liar);
    g_remove(c->server->socket);
}

static void test_greeting_cut(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    for (unsigned n = 1; n < sizeof(Greeting); n += 15) {
        Liar liar = { .greeting_bytes = n, .lie = honest };
        g_autoptr(GError) err = NULL;

        liar_start(&liar, c);
        g_assert_null(client_try(c, "", &err));
        g_assert_nonnull(strstr(err->message, c->server->socket));
        liar_stop(&liar);
        g_remove(c->server->socket);
    }
}

/* Takes as long as a connection may take to come up. */
static void test_greeting_silent(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    Liar liar = { .greeting_bytes = 20, .silent = true, .lie = honest };
    g_autoptr(GError) err = NULL;

    liar_start(&liar, c);
    g_assert_null(client_try(c, "", &err));
    g_assert_nonnull(strstr(err->message, "the server does not answer"));
    liar_stop(&liar);
    g_remove(c->server->socket);
}

/* --- before there is one --- */

typedef struct Late {
    Client *c;
    gint over; /* atomic */
} Late;

/* The server would end with the thread that has started it. */
static void *start_late(void *opaque)
{
    Late *late = opaque;

    g_usleep(G_USEC_PER_SEC / 2);
    start_file_server(late->c);
    while (!g_atomic_int_get(&late->over)) {
        g_usleep(1000);
    }
    return NULL;
}

static void test_open_timeout(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    Late late = { .c = c };
    pthread_t thread;

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    g_free(make_image(c->server->dir, "f", NBD_SIZE));
    pthread_create(&thread, NULL, start_late, &late);
    client_open(c, ",open-timeout=60");
    client_check(c);
    g_atomic_int_set(&late.over, 1);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(Client *, gconstpointer);
    } tests[] = {
        { "restart-under-load", test_restart_under_load },
        { "restart-later", test_restart_later },
        { "idle", test_idle },
        { "detached", test_detached },
        { "no-delay", test_no_delay },
        { "delay-is-over", test_delay_is_over },
        { "another-export", test_another_export },
        { "stall", test_stall },
        { "cancel", test_cancel },
        { "detach-after-cancel", test_detach_after_cancel },
        { "error-numbers", test_error_numbers },
        { "greeting-cut", test_greeting_cut },
        { "greeting-silent", test_greeting_silent },
        { "open-timeout", test_open_timeout },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/nbd/", tests[i].name, NULL);

        g_test_add(path, Client, NULL, client_new, tests[i].fn, client_free);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
        g_autofree char *path = g_strconcat("/nbd/lie/", lies[i].name, NULL);

        g_test_add(path, Client, &lies[i], client_new, test_lie, client_free);
    }
    return g_test_run();
}
