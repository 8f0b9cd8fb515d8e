/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NBD driver against nbdkit, whose filters make servers that can do less or say no, and against
 * qemu-nbd; the spellings of addresses; TLS. What happens when servers go away or lie is in
 * test-nbd-lost.c.
 */
#include "loop-window.h"
#include "nbd-client.h"
#include "block/tls-creds.h"
#include <sys/socket.h>
#include <sys/un.h>

/* --- what servers can --- */

typedef struct Kind {
    const char *name;
    const char *words;
} Kind;

static const Kind kinds[] = {
    { "all", "memory 1M" },
    { "blocks-of-4k", "--filter=blocksize-policy memory 1M blocksize-minimum=4096 "
                      "blocksize-error-policy=error" },
    { "pieces-of-8k", "--filter=blocksize-policy memory 1M blocksize-maximum=8k "
                      "blocksize-error-policy=error" },
    { "no-zero", "--filter=nozero memory 1M" },
    { "no-fua", "--filter=fua memory 1M" },
    { "no-structured-replies", "--no-sr memory 1M" },
    { "slow", "--filter=delay memory 1M rdelay=1ms wdelay=1ms" },
    { "read-and-write-alone", "eval get_size='echo 1048576' "
                              "pread='dd if=f skip=$4 count=$3 iflag=skip_bytes,count_bytes' "
                              "can_write='exit 0' "
                              "pwrite='dd of=f seek=$4 conv=notrunc oflag=seek_bytes'" },
};

static void test_kind(Client *c, gconstpointer data)
{
    const Kind *kind = data;
    bool by_shell = g_str_has_prefix(kind->words, "eval");

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    if (by_shell) {
        g_autofree char *path = make_image(c->server->dir, "f", NBD_SIZE);
        g_autofree char *words = g_strdup(kind->words);
        g_auto(GStrv) parts = g_strsplit(words, "=f ", -1);
        g_autofree char *where = g_strdup_printf("=%s ", path);
        g_autofree char *real = g_strjoinv(where, parts);

        nbd_server_start(c->server, real);
    } else {
        nbd_server_start(c->server, kind->words);
    }
    client_open(c, "");
    g_assert_cmpuint(c->node->size, ==, NBD_SIZE);
    g_assert_false(c->node->read_only);
    client_load(c, by_shell ? 4 : 32, by_shell ? 40 : 600, NULL);
    client_check(c);
}

static void test_discard(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[8192];

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    nbd_server_start(c->server, "memory 1M");
    client_open(c, "");
    g_assert_true(c->node->can_discard);
    memset(buf, 7, sizeof(buf));
    g_assert_cmpint(do_io(c->node, BLOCK_WRITE, 0, buf, sizeof(buf)), ==, 0);
    g_assert_cmpint(do_io(c->node, BLOCK_DISCARD, 0, NULL, NBD_SIZE), ==, 0);
    g_assert_cmpint(do_io(c->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, 0);
    for (unsigned i = 0; i < sizeof(buf); i++) {
        g_assert_cmpuint(buf[i], ==, 0);
    }
}

static bool finds_nothing(void *opaque G_GNUC_UNUSED)
{
    return false;
}

/* The loop finds an answer while it looks, which it would do for longer than the server takes. */
static void test_polled(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    const int64_t window_ns = INT64_C(20000000000);
    uint8_t buf[4096];
    unsigned pending = 1;
    Req r = { .pending = &pending };
    LoopPoll poll = { 0 };
    int64_t begun;

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    nbd_server_start(c->server, "memory 1M");
    client_open(c, "");
    loop_poll_add(c->loop, &poll, finds_nothing, NULL);
    loop_open_window(c->loop, window_ns);
    begun = loop_now_ns();
    req_submit(c->node, &r, BLOCK_READ, 0, buf, sizeof(buf), 0);
    while (pending) {
        loop_turn(c->loop, -1);
    }
    g_assert_cmpint(r.req.res, ==, 0);
    g_assert_cmpint(loop_now_ns() - begun, <, window_ns);
    loop_poll_del(&poll);
}

static void expect_status(Client *c, uint64_t offset, uint64_t bytes, uint32_t status,
                          uint64_t known)
{
    unsigned pending = 1;
    Req r = { .pending = &pending };

    r.req = (BlockReq){ .op = BLOCK_STATUS, .offset = offset, .bytes = bytes, .done = req_done };
    block_submit(c->node, &r.req);
    wait_zero(c->loop, &pending);
    g_assert_cmpint(r.req.res, ==, 0);
    g_assert_cmphex(r.req.status, ==, status);
    g_assert_cmpuint(r.req.known, ==, known);
}

static void test_status(Client *c, gconstpointer data)
{
    const char *words = data;
    uint32_t hole = BLOCK_ALLOCATED | BLOCK_ZERO;
    uint8_t buf[4096];

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    nbd_server_start(c->server, words);
    client_open(c, "");
    memset(buf, 7, sizeof(buf));
    g_assert_cmpint(do_io(c->node, BLOCK_WRITE, 0, buf, sizeof(buf)), ==, 0);
    if (strstr(words, "--no-sr")) {
        g_assert_false(c->node->has_status);
        expect_status(c, 512, NBD_SIZE - 512, BLOCK_ALLOCATED, NBD_SIZE - 512);
        return;
    }
    g_assert_true(c->node->has_status);
    expect_status(c, 512, 1024, BLOCK_ALLOCATED, 1024);
    expect_status(c, 512 * 1024, 512 * 1024, hole, 512 * 1024);
    expect_status(c, 512 * 1024 + 512, 512, hole, 512);
}

static void test_errors(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[4096] = { 0 };

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    nbd_server_start(c->server, "--filter=error memory 1M error-pread=EIO error-pread-rate=100% "
                                "error-pwrite=ENOSPC error-pwrite-rate=100%");
    client_open(c, "");
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(do_io(c->node, BLOCK_READ, 0, buf, sizeof(buf)), ==, -EIO);
        g_assert_cmpint(do_io(c->node, BLOCK_WRITE, 0, buf, sizeof(buf)), ==, -ENOSPC);
        g_assert_cmpint(do_io(c->node, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    }
}

static void test_read_only(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    uint8_t buf[512];

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    nbd_server_start(c->server, "-r pattern 1M");
    g_assert_null(client_try(c, "", &err));
    g_assert_nonnull(strstr(err->message, "read-only=on"));
    client_open(c, ",auto-read-only=on");
    g_assert_true(c->node->read_only && c->node->demoted);
    g_assert_cmpint(do_io(c->node, BLOCK_READ, 512, buf, sizeof(buf)), ==, 0);
    g_assert_cmpuint(buf[6] << 8 | buf[7], ==, 512); /* its own offset, big-endian */
    client_close(c);
    client_open(c, ",read-only=on");
    g_assert_true(c->node->read_only && !c->node->demoted);
}

/* The last sector is there, and ends with zeros; a write to what the export doesn't have fails. */
static void test_odd_size(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[1024];

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    nbd_server_start(c->server, "memory 1000");
    client_open(c, "");
    g_assert_cmpuint(c->node->size, ==, 1024);
    memset(buf, 9, sizeof(buf));
    g_assert_cmpint(do_io(c->node, BLOCK_WRITE, 0, buf, 1000), ==, 0);
    g_assert_cmpint(do_io(c->node, BLOCK_WRITE, 512, buf, 512), ==, -ENOSPC);
    g_assert_cmpint(do_io(c->node, BLOCK_WRITE_ZEROES, 900, NULL, 124), ==, 0);
    g_assert_cmpint(do_io(c->node, BLOCK_READ, 0, buf, 1024), ==, 0);
    for (unsigned i = 0; i < sizeof(buf); i++) {
        g_assert_cmpuint(buf[i], ==, i < 900 ? 9 : 0);
    }
    memset(buf, 9, sizeof(buf));
    g_assert_cmpint(do_io(c->node, BLOCK_READ, 1010, buf, 14), ==, 0);
    g_assert_cmpuint(buf[0] | buf[13], ==, 0);
}

static void test_export_name(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *image = make_image(c->server->dir, "f", NBD_SIZE);
    g_autofree char *command = g_strdup_printf("qemu-nbd -k %%s -t -e 8 -f raw -x disk %s", image);
    BlockNode *node;

    if (!nbd_server_have("qemu-nbd")) {
        return;
    }
    nbd_server_start_as(c->server, command);
    g_assert_null(client_try(c, "", &err));
    g_clear_error(&err);
    g_assert_null(client_try(c, ",export=other", &err));
    g_assert_nonnull(strstr(err->message, c->server->socket));
    client_open(c, ",export=disk");
    client_load(c, 16, 300, NULL);
    client_check(c);
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *text =
            g_strdup_printf(i ? "id=d%u,format=raw,file=nbd:unix:%s:exportname=disk"
                              : "id=d%u,file=nbd+unix:///d%%69sk?socket=%s",
                            i, c->server->socket);

        node = open_text(c->graph, true, NULL, text);
        g_assert_nonnull(node);
        g_assert_cmpuint(node->size, ==, NBD_SIZE);
        g_assert_cmpint(node->probed, ==, !i);
    }
}

/* --- addresses --- */

static void test_spellings(void)
{
    static const struct {
        const char *filename, *type, *where, *port, *export;
    } rows[] = {
        { "nbd:unix:/a/b", "unix", "/a/b", NULL, NULL },
        { "nbd:unix:/a/b:exportname=c:d", "unix", "/a/b", NULL, "c:d" },
        { "nbd:host:10", "inet", "host", "10", NULL },
        { "nbd:host:nbd:exportname=x", "inet", "host", "nbd", "x" },
        { "nbd:[::1]:10809", "inet", "::1", "10809", NULL },
        { "nbd://host", "inet", "host", "10809", NULL },
        { "nbd://host/", "inet", "host", "10809", NULL },
        { "nbd://host:1/e%20f/g", "inet", "host", "1", "e f/g" },
        { "nbd+tcp://[::1]:1//e", "inet", "::1", "1", "/e" },
        { "nbd+unix:///?socket=/a%3ab", "unix", "/a:b", NULL, NULL },
        { "nbd+unix:///e?socket=/a", "unix", "/a", NULL, "e" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Opts) opts = opts_new();
        bool is_unix = !strcmp(rows[i].type, "unix");

        g_test_message("%s", rows[i].filename);
        g_assert_true(block_nbd_driver.parse_filename(rows[i].filename, opts, NULL));
        g_assert_cmpstr(opts_get(opts, "server.type"), ==, rows[i].type);
        g_assert_cmpstr(opts_get(opts, is_unix ? "server.path" : "server.host"), ==, rows[i].where);
        g_assert_cmpstr(opts_get(opts, "server.port"), ==, rows[i].port);
        g_assert_cmpstr(opts_get(opts, "export"), ==, rows[i].export);
        g_assert_true(opts_check_used(opts, "%s", NULL));
    }
}

static void test_refused(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        bool drive;
        const char *text, *words;
    } rows[] = {
        { true, "file=nbd:", "expected nbd:unix:PATH" },
        { true, "file=nbd:host", "expected nbd:unix:PATH" },
        { true, "file=nbd::1", "expected nbd:unix:PATH" },
        { true, "file=nbd:unix:", "'server.path' is missing" },
        { true, "file=nbd:///x", "expected nbd://HOST" },
        { true, "file=nbd://u@h/x", "expected nbd://HOST" },
        { true, "file=nbd://h/x?socket=/a", "expected nbd://HOST" },
        { true, "file=nbd://h:99999/x", "nbd://h:99999/x" },
        { true, "file=nbd+unix:///x", "expected nbd://HOST" },
        { true, "file=nbd+unix://h/x?socket=/a", "expected nbd://HOST" },
        { true, "file=nbd+unix:///x?socket=/a&b=c", "expected nbd://HOST" },
        { true, "file=nbd+vsock://1/x", "expected nbd:, nbd://" },
        { true, "file=nbd:unix:/nosuch/s", "'unix:/nosuch/s': connect: No such file" },
        { true, "file=nbd:unix:/nosuch/s,file.bogus=1", "'unix:/nosuch/s'" },
        { true, "file=nbd:unix:/nosuch/s,format=bogus", "Unknown image format 'bogus'" },
        { true, "format=nbd", "Option 'file' is missing" },
        { false, "", "Option 'server.type' is missing" },
        { false, ",server.type=tcp", "'server.type'" },
        { false, ",server.type=unix", "Option 'server.path' is missing" },
        { false, ",server.type=inet,server.port=1", "Option 'server.host' is missing" },
        { false, ",server.type=fd", "Option 'server.str' is missing" },
        { false, ",server.type=fd,server.str=x", "'server.str'" },
        { false, ",server.type=fd,server.str=0", "not a connected socket" },
        { false, ",server.type=unix,server.path=/x,host=h", "exclude each other" },
        { false, ",host=h,path=/x", "exclude each other" },
        { false, ",host=nosuch.invalid", "Could not find 'nosuch.invalid:10809'" },
        { false, ",path=/nosuch/s", "No such file" },
        { false, ",host=127.0.0.1,port=1", "'127.0.0.1:1': connect: Connection refused" },
        { false, ",path=/x,tls-creds=none", "No TLS credentials with id 'none'" },
        { false, ",path=/x,reconnect-delay=-1", "'reconnect-delay'" },
        { false,
          ",path=/"
          "01234567890123456789012345678901234567890123456789012345678901234567"
          "0123456789012345678901234567890123456789",
          "at most 107 bytes" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text =
            g_strconcat(rows[i].drive ? "id=x," : "driver=nbd,node-name=x", rows[i].text, NULL);
        g_autoptr(GError) err = NULL;
        BlockNode *node = open_text(c->graph, rows[i].drive, &err, text);

        if (node || !strstr(err->message, rows[i].words)) {
            g_test_message("%s: %s", text, err ? err->message : "opened");
            g_test_fail();
        }
    }
}

/* An inherited socket that somebody else has connected. */
static void test_fd(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    int fd;

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    nbd_server_start(c->server, "memory 1M");
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(addr.sun_path, c->server->socket, sizeof(addr.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    text = g_strdup_printf("driver=nbd,node-name=n,server.type=fd,server.str=%d", fd);
    c->node = open_text(c->graph, false, &err, text);
    g_assert_no_error(err);
    g_assert_true(block_attach(c->node, c->loop, NULL));
    client_load(c, 8, 100, NULL);
    client_check(c);
}

static void test_inet(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    text = g_strdup_printf("id=n,format=raw,file=nbd://localhost:%u/x",
                           nbd_server_start_tcp(c->server, "memory 1M"));
    c->node = open_text(c->graph, true, &err, text);
    g_assert_no_error(err);
    g_assert_true(block_attach(c->node, c->loop, NULL));
    client_load(c, 8, 100, NULL);
    client_check(c);
}

/* --- TLS --- */

static void put_file(const char *dir, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static BlockNode *try_tls(Client *c, BlockTlsCreds *creds, const char *where, GError **errp)
{
    g_autofree char *text =
        g_strdup_printf("driver=nbd,node-name=n,discard=unmap,tls-creds=tls,%s", where);

    block_graph_add_thing(c->graph, BLOCK_TLS_CREDS, "tls", creds);
    return open_text(c->graph, false, errp, text);
}

static void load_tls(Client *c, BlockTlsCreds *creds, const char *where)
{
    g_autoptr(GError) err = NULL;

    c->node = try_tls(c, creds, where, &err);
    g_assert_no_error(err);
    g_assert_true(block_attach(c->node, c->loop, NULL));
    client_load(c, 16, 300, NULL);
    client_check(c);
    client_close(c);
}

static void test_tls_psk(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    BlockTlsCreds creds = { .psk = true, .dir = c->server->dir, .username = (char *)"me" };
    g_autofree char *words = NULL, *where = NULL;
    g_autoptr(GError) err = NULL;

    if (!nbd_server_have("nbdkit")) {
        return;
    }
    put_file(c->server->dir, "keys.psk", "me:00112233445566778899aabbccddeeff\n");
    put_file(c->server->dir, "server.psk", "me:00112233445566778899aabbccddeeff\n");
    words = g_strdup_printf("--tls=require --tls-psk=%s/server.psk memory 1M", c->server->dir);
    where = g_strdup_printf("path=%s", c->server->socket);
    nbd_server_start(c->server, words);
    load_tls(c, &creds, where);

    put_file(c->server->dir, "keys.psk", "me:ffffffffffffffffffffffffffffffff\n");
    g_assert_null(try_tls(c, &creds, where, &err));
    g_clear_error(&err);
    g_assert_null(client_try(c, "", &err));
    g_assert_nonnull(strstr(err->message, "TLS"));
    nbd_server_kill(c->server);

    /* a server that doesn't speak it is no fallback */
    nbd_server_start(c->server, "memory 1M");
    g_clear_error(&err);
    g_assert_null(try_tls(c, &creds, where, &err));
}

static void certtool(const char *dir, const char *words)
{
    g_autofree char *command = g_strconcat("certtool ", words, NULL);
    g_auto(GStrv) argv = NULL;
    int status = -1;

    g_assert_true(g_shell_parse_argv(command, NULL, &argv, NULL));
    g_assert_true(
        g_spawn_sync(dir, argv, NULL,
                     G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                     NULL, NULL, NULL, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
}

/* A CA of its own in dir, and a certificate for a server called name. */
static void make_certificates(const char *dir, const char *name)
{
    g_autofree char *info = g_strdup_printf("cn=%s\ndns_name=%s\ntls_www_server\n"
                                            "signing_key\nencryption_key\n",
                                            name, name);

    put_file(dir, "ca.info", "cn=test\nca\ncert_signing_key\n");
    put_file(dir, "server.info", info);
    certtool(dir, "--generate-privkey --key-type=ecdsa --outfile ca-key.pem");
    certtool(dir, "--generate-privkey --key-type=ecdsa --outfile server-key.pem");
    certtool(dir, "--generate-self-signed --load-privkey ca-key.pem --template ca.info "
                  "--outfile ca-cert.pem");
    certtool(dir, "--generate-certificate --load-ca-certificate ca-cert.pem "
                  "--load-ca-privkey ca-key.pem --load-privkey server-key.pem "
                  "--template server.info --outfile server-cert.pem");
}

static void start_x509(Client *c, const char *name, char **where)
{
    g_autofree char *words =
        g_strdup_printf("--tls=require --tls-certificates=%s memory 1M", c->server->dir);

    make_certificates(c->server->dir, name);
    *where = g_strdup_printf("server.type=inet,server.host=localhost,server.port=%u",
                             nbd_server_start_tcp(c->server, words));
}

static void test_tls_x509(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    BlockTlsCreds creds = { .dir = c->server->dir, .verify_peer = true };
    BlockTlsCreds careless = { .dir = c->server->dir };
    g_autofree char *where = NULL;
    g_autoptr(GError) err = NULL;

    if (!nbd_server_have("nbdkit") || !nbd_server_have("certtool")) {
        return;
    }
    start_x509(c, "localhost", &where);
    load_tls(c, &creds, where);

    /* another authority */
    make_certificates(c->server->dir, "localhost");
    g_assert_null(try_tls(c, &creds, where, &err));
    g_test_message("%s", err->message);
    load_tls(c, &careless, where);

    g_clear_error(&err);
    g_assert_null(try_tls(c, &creds, "path=/nosuch", &err));
    g_assert_nonnull(strstr(err->message, "a certificate names a host"));
}

static void test_tls_another_name(Client *c, gconstpointer data G_GNUC_UNUSED)
{
    BlockTlsCreds creds = { .dir = c->server->dir, .verify_peer = true };
    g_autofree char *where = NULL;
    g_autoptr(GError) err = NULL;

    if (!nbd_server_have("nbdkit") || !nbd_server_have("certtool")) {
        return;
    }
    start_x509(c, "elsewhere.invalid", &where);
    g_assert_null(try_tls(c, &creds, where, &err));
    g_test_message("%s", err->message);
}

typedef void ClientTest(Client *, gconstpointer);

static void add(const char *name, gconstpointer data, ClientTest *fn)
{
    g_autofree char *path = g_strconcat("/nbd/", name, NULL);

    g_test_add(path, Client, data, client_new, fn, client_free);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nbd/spellings", test_spellings);
    add("refused", NULL, test_refused);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *name = g_strconcat("kind/", kinds[i].name, NULL);

        add(name, &kinds[i], test_kind);
    }
    add("discard", NULL, test_discard);
    add("polled", NULL, test_polled);
    add("status", "memory 1M", test_status);
    add("status-of-blocks",
        "--filter=blocksize-policy memory 1M blocksize-minimum=4096 blocksize-error-policy=error",
        test_status);
    add("no-status", "--no-sr memory 1M", test_status);
    add("errors", NULL, test_errors);
    add("read-only", NULL, test_read_only);
    add("odd-size", NULL, test_odd_size);
    add("export-name", NULL, test_export_name);
    add("fd", NULL, test_fd);
    add("inet", NULL, test_inet);
    add("tls-psk", NULL, test_tls_psk);
    add("tls-x509", NULL, test_tls_x509);
    add("tls-another-name", NULL, test_tls_another_name);
    return g_test_run();
}
