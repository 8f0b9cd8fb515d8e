/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where an NBD server is, in all the spellings that QEMU takes:
 *
 *   server.type=unix,server.path=P          server.type=inet,server.host=H,server.port=N
 *   server.type=fd,server.str=N             an inherited socket that is connected already
 *   path=P                                  host=H[,port=N]
 *   nbd:unix:P[:exportname=E]               nbd:H:N[:exportname=E]
 *   nbd+unix:///E?socket=P                  nbd://H[:N]/E, nbd+tcp://...
 *
 * The last two lines are for file=, and are turned into the first ones. A colon or a slash within
 * a part has to be written as URIs do, which is what those are for.
 *
 * Host names are looked up once, while the main thread opens the node: the resolver blocks, and a
 * confined process may not ask it any more. Reconnecting takes the addresses in turns. With X.509
 * credentials libnbd has to be given the name, to compare it with the certificate's, and looks it
 * up by itself each time.
 */
#include "block/nbd-internal.h"
#include "util/error.h"
#include "util/fd.h"
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/un.h>

#define DEFAULT_PORT "10809"
#define EXPORT_WORD ":exportname="

/* --- options --- */

static bool take_legacy(NbdState *s, GError **errp)
{
    if (s->type >= 0) {
        return !(s->host || s->port || s->path) ||
               error_set(errp, "Options 'server.*' and 'host', 'port', 'path' exclude each other");
    }
    if (!s->host && !s->path) {
        return error_set(errp, "Option 'server.type' is missing");
    }
    if (s->host && s->path) {
        return error_set(errp, "Options 'host' and 'path' exclude each other");
    }
    s->type = s->path ? NBD_UNIX : NBD_INET;
    s->server_host = g_strdup(s->host);
    s->server_port = g_strdup(s->port);
    s->server_path = g_strdup(s->path);
    return true;
}

static bool look_up(NbdState *s, GError **errp)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    int err = getaddrinfo(s->server_host, s->server_port, &hints, &list);

    if (err) {
        return error_set(errp, "Could not find '%s:%s': %s", s->server_host, s->server_port,
                         gai_strerror(err));
    }
    s->addresses = g_array_new(FALSE, TRUE, sizeof(NbdAddress));
    for (const struct addrinfo *info = list; info; info = info->ai_next) {
        NbdAddress address = { .len = info->ai_addrlen };

        memcpy(&address.addr, info->ai_addr, info->ai_addrlen);
        g_array_append_val(s->addresses, address);
    }
    freeaddrinfo(list);
    return true;
}

static bool settle_inet(NbdState *s, GError **errp)
{
    if (!s->server_host || !*s->server_host) {
        return error_set(errp, "Option 'server.host' is missing");
    }
    if (!s->server_port) {
        s->server_port = g_strdup(DEFAULT_PORT);
    }
    return (s->creds && !s->creds->psk) || look_up(s, errp);
}

static bool settle_unix(NbdState *s, GError **errp)
{
    size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    if (!s->server_path || !*s->server_path) {
        return error_set(errp, "Option 'server.path' is missing");
    }
    if (strlen(s->server_path) > max) {
        return error_set(errp, "A socket's path has at most %zu bytes, '%s' has %zu", max,
                         s->server_path, strlen(s->server_path));
    }
    return true;
}

static bool settle_fd(NbdState *s, GError **errp)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    uint64_t fd;

    if (!s->server_str) {
        return error_set(errp, "Option 'server.str' is missing");
    }
    if (!opt_parse_u64("server.str", s->server_str, 0, G_MAXINT, &fd, errp)) {
        return false;
    }
    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0) {
        return error_set(errp, "server.str=%s is not a connected socket: %s", s->server_str,
                         g_strerror(errno));
    }
    s->fd = fd;
    return true;
}

bool nbd_address_settle(NbdState *s, GError **errp)
{
    static bool (*const settle[])(NbdState *, GError **) = {
        [NBD_INET] = settle_inet,
        [NBD_UNIX] = settle_unix,
        [NBD_FD] = settle_fd,
    };

    s->fd = -1;
    if (!take_legacy(s, errp) || !settle[s->type](s, errp)) {
        return false;
    }
    if (s->creds && !s->creds->psk && s->creds->verify_peer && s->type != NBD_INET) {
        return error_set(errp,
                         "TLS with X.509 needs server.type=inet, as a certificate names a host; "
                         "take tls-creds-psk, or verify-peer=off");
    }
    return true;
}

void nbd_address_clear(NbdState *s)
{
    g_clear_pointer(&s->addresses, g_array_unref);
    fd_clear(&s->fd);
}

char *nbd_address_text(const NbdState *s)
{
    switch (s->type) {
    case NBD_UNIX:
        return g_strdup_printf("unix:%s", s->server_path);
    case NBD_INET:
        return g_strdup_printf("%s:%s", s->server_host, s->server_port);
    default:
        return g_strdup_printf("fd:%s", s->server_str);
    }
}

/* --- spellings of file= --- */

static void set_unix(Opts *opts, const char *path)
{
    opts_set(opts, "server.type", "unix");
    opts_set(opts, "server.path", path);
}

static void set_inet(Opts *opts, const char *host, const char *port)
{
    opts_set(opts, "server.type", "inet");
    opts_set(opts, "server.host", host);
    opts_set(opts, "server.port", port);
}

/* HOST:PORT, [HOST]:PORT */
static bool parse_host_port(char *text, Opts *opts)
{
    char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;

    if (!colon || !colon[1] || !len) {
        return false;
    }
    *colon = '\0';
    if (text[0] == '[' && text[len - 1] == ']') {
        text[len - 1] = '\0';
        text++;
    }
    set_inet(opts, text, colon + 1);
    return *text != '\0';
}

static bool parse_plain(const char *filename, Opts *opts, GError **errp)
{
    g_autofree char *text = g_strdup(filename + strlen("nbd:"));
    char *name = strstr(text, EXPORT_WORD);

    if (name) {
        *name = '\0';
        opts_set(opts, "export", name + strlen(EXPORT_WORD));
    }
    if (g_str_has_prefix(text, "unix:")) {
        set_unix(opts, text + strlen("unix:"));
        return true;
    }
    return parse_host_port(text, opts) ||
           error_set(errp, "'%s': expected nbd:unix:PATH or nbd:HOST:PORT", filename);
}

/* The only one that unix URIs have, and inet URIs don't. */
static bool parse_query(GUri *uri, bool is_unix, char **socket_path)
{
    const char *query = g_uri_get_query(uri);

    if (!is_unix || !query) {
        return !is_unix && !query;
    }
    if (!g_str_has_prefix(query, "socket=") || strchr(query, '&')) {
        return false;
    }
    *socket_path = g_uri_unescape_string(query + strlen("socket="), NULL);
    return *socket_path && **socket_path;
}

static bool parse_uri(const char *filename, Opts *opts, GError **errp)
{
    g_autoptr(GUri) uri = g_uri_parse(filename, G_URI_FLAGS_ENCODED_QUERY, errp);
    g_autofree char *path = NULL;
    const char *host = uri ? g_uri_get_host(uri) : NULL;
    bool is_unix = g_str_has_prefix(filename, "nbd+unix:");

    if (!uri) {
        g_prefix_error(errp, "'%s': ", filename);
        return false;
    }
    if (g_uri_get_userinfo(uri) || g_uri_get_fragment(uri) || !parse_query(uri, is_unix, &path) ||
        is_unix == (host && *host)) {
        return error_set(errp,
                         "'%s': expected nbd://HOST[:PORT]/EXPORT or "
                         "nbd+unix:///EXPORT?socket=PATH",
                         filename);
    }
    if (is_unix) {
        set_unix(opts, path);
    } else {
        int port = g_uri_get_port(uri);
        g_autofree char *text = port > 0 ? g_strdup_printf("%d", port) : g_strdup(DEFAULT_PORT);

        set_inet(opts, host, text);
    }
    if (strlen(g_uri_get_path(uri)) > 1) {
        opts_set(opts, "export", g_uri_get_path(uri) + 1);
    }
    return true;
}

bool nbd_parse_filename(const char *filename, Opts *opts, GError **errp)
{
    static const char *const schemes[] = { "nbd://", "nbd+tcp://", "nbd+unix://" };

    for (unsigned i = 0; i < G_N_ELEMENTS(schemes); i++) {
        if (g_str_has_prefix(filename, schemes[i])) {
            return parse_uri(filename, opts, errp);
        }
    }
    if (g_str_has_prefix(filename, "nbd:")) {
        return parse_plain(filename, opts, errp);
    }
    return error_set(errp,
                     "'%s': expected nbd:, nbd:// or nbd+unix:// (TLS is asked for by "
                     "file.tls-creds)",
                     filename);
}
