/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy's channel alone, in one thread: replies are told by position, so the test can put them
 * into the socket before the request that they answer, or after it was given up.
 */
#include "hw/proxy/proxy-client.h"
#include "remote/mpqemu-proto.h"
#include "util/fd.h"
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_MS 20

typedef struct Fixture {
    Loop *loop;
    ProxyClient client;
    int peer;
    unsigned lost, answered;
    const char *why;
    uint64_t value; /* of answered() */
} Fixture;

static void on_lost(void *opaque, const char *why)
{
    Fixture *f = opaque;

    g_assert_false(proxy_link_is_open(&f->client.link));
    f->lost++;
    f->why = why;
}

static uint64_t value_of(const ProxyReply *reply)
{
    uint64_t value;

    g_assert_cmpint(reply->error, ==, 0);
    memcpy(&value, reply->payload, sizeof(value));
    return value;
}

static void on_answered(void *opaque, const ProxyReply *reply)
{
    Fixture *f = opaque;

    f->answered++;
    f->value = value_of(reply);
}

static const ProxyLinkOps ops = { .lost = on_lost, .answered = on_answered };

static void setup_timeout(Fixture *f, unsigned timeout_ms)
{
    int sv[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    f->loop = loop_new("test", NULL);
    f->peer = sv[1];
    proxy_client_init(&f->client, PROXY_MPQEMU, f->loop, "test", timeout_ms, &ops, f);
    f->client.link.quiet = true;
    g_assert_cmpint(proxy_link_open(&f->client.link, sv[0]), ==, 0);
}

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    setup_timeout(f, 20000); /* what must not expire */
}

static void setup_short(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    setup_timeout(f, TIMEOUT_MS);
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    proxy_link_close(&f->client.link);
    fd_clear(&f->peer);
    loop_free(f->loop);
}

static void settle(Fixture *f)
{
    unsigned turns = 0;

    while (loop_turn(f->loop, 0)) {
        g_assert_cmpuint(++turns, <, 1000);
    }
}

static void put(Fixture *f, const void *bytes, size_t len)
{
    g_assert_cmpint(send(f->peer, bytes, len, MSG_NOSIGNAL), ==, len);
}

static void put_reply(Fixture *f, uint64_t value)
{
    MpqRet ret = { .header = { .cmd = MPQ_RET, .pad = 0x5a5a5a5a, .size = 8 }, .value = value };

    put(f, &ret, sizeof(ret));
}

static bool request(Fixture *f, uint64_t *value)
{
    const MpqCfg cfg = { .addr = 4, .len = 2 };
    const ProxyMessage message = { MPQ_PCI_CFGREAD, &cfg, sizeof(cfg), NULL, 0 };
    ProxyReply reply;
    bool ok = proxy_link_request(&f->client.link, &message, &reply);

    *value = ok ? value_of(&reply) : UINT64_MAX;
    return ok;
}

static void request_fails(Fixture *f)
{
    uint64_t value = 1;

    g_assert_false(request(f, &value));
    g_assert_cmphex(value, ==, UINT64_MAX);
}

static void request_gives(Fixture *f, uint64_t wanted)
{
    uint64_t value;

    g_assert_true(request(f, &value));
    g_assert_cmphex(value, ==, wanted);
}

static void lost(Fixture *f, const char *why)
{
    g_assert_cmpuint(f->lost, ==, 1);
    g_assert_cmpstr(f->why, ==, why);
    request_fails(f);
    g_assert_cmpuint(f->lost, ==, 1); /* told once */
}

#define HUNG_UP "the remote has hung up"
#define NO_REPLY "the remote sent something that is no reply"
#define UNASKED "the remote sent a reply that nobody asked for"

static void test_request(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    struct {
        MpqHeader header;
        MpqCfg cfg;
    } __attribute__((packed)) seen;

    put_reply(f, 0x1122334455667788);
    request_gives(f, 0x1122334455667788);
    g_assert_cmpint(recv(f->peer, &seen, sizeof(seen), MSG_DONTWAIT), ==, sizeof(seen));
    g_assert_cmpint(seen.header.cmd, ==, MPQ_PCI_CFGREAD);
    g_assert_cmpuint(seen.header.pad, ==, 0);
    g_assert_cmpuint(seen.header.size, ==, 12);
    g_assert_cmpuint(seen.cfg.addr, ==, 4);
    g_assert_cmpint(seen.cfg.len, ==, 2);
    settle(f);
    g_assert_cmpuint(f->lost, ==, 0);
}

/* 0 and 4 bytes count as the value's lower ones. */
static void test_short_reply(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqRet ret = { .header = { .cmd = MPQ_RET }, .value = 0xffffffff12345678 };

    put(f, &ret, sizeof(ret.header));
    request_gives(f, 0);
    ret.header.size = 4;
    put(f, &ret, sizeof(ret.header) + 4);
    request_gives(f, 0x12345678);
}

static void test_late(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->client.link.quiet = false;
    request_fails(f);
    request_fails(f);
    g_assert_cmpuint(f->client.link.owed, ==, 2);
    g_assert_true(f->client.link.stuck);
    put_reply(f, 1);
    put_reply(f, 2);
    put_reply(f, 3);
    request_gives(f, 3);
    g_assert_cmpuint(f->client.link.owed, ==, 0);
    g_assert_cmpuint(f->client.link.late, ==, 2);
    g_assert_false(f->client.link.stuck);
    put_reply(f, 4);
    request_gives(f, 4);
}

/* Late ones that come when nobody waits are taken off by the loop. */
static void test_late_by_loop(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    request_fails(f);
    request_fails(f);
    put_reply(f, 1);
    settle(f);
    g_assert_cmpuint(f->client.link.owed, ==, 1);
    g_assert_cmpuint(f->answered, ==, 0);
    put_reply(f, 2);
    settle(f);
    g_assert_cmpuint(f->client.link.owed, ==, 0);
    g_assert_cmpuint(f->answered, ==, 1);
    put_reply(f, 3);
    request_gives(f, 3);
}

/* A part of a late reply before the request, the rest with the next one. */
static void test_late_in_parts(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqRet late = { .header = { .cmd = MPQ_RET, .size = 8 }, .value = 1 };

    request_fails(f);
    put(f, &late, 11);
    settle(f);
    put(f, (uint8_t *)&late + 11, sizeof(late) - 11);
    put_reply(f, 2);
    request_gives(f, 2);
}

static void test_owed_too_many(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    for (unsigned i = 0; i < PROXY_LINK_OWED_MAX; i++) {
        request_fails(f);
        g_assert_true(proxy_link_is_open(&f->client.link));
    }
    request_fails(f);
    lost(f, "the remote owes too many replies");
}

static void test_wrong_command(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqRet ret = { .header = { .cmd = MPQ_BAR_READ, .size = 8 } };

    put(f, &ret, sizeof(ret));
    request_fails(f);
    lost(f, NO_REPLY);
}

static void test_wrong_size(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqRet ret = { .header = { .cmd = MPQ_RET, .size = 9 } };

    put(f, &ret, sizeof(ret));
    request_fails(f);
    lost(f, NO_REPLY);
}

static void test_wrong_late_frame(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqRet ret = { .header = { .cmd = -1, .size = 8 } };

    request_fails(f);
    put(f, &ret, sizeof(ret));
    settle(f);
    lost(f, NO_REPLY);
}

static void test_twice(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    put_reply(f, 1);
    put_reply(f, 1);
    request_fails(f);
    lost(f, UNASKED);
}

static void test_unasked(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    put_reply(f, 1);
    settle(f);
    lost(f, UNASKED);
}

static void test_noise(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    put(f, "x", 1);
    settle(f);
    lost(f, UNASKED);
}

/* More late replies than are owed, and more than the buffer holds. */
static void test_flood(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    request_fails(f);
    for (unsigned i = 0; i < 100; i++) {
        put_reply(f, i);
    }
    settle(f);
    lost(f, UNASKED);
}

static void test_hang_up(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    fd_clear(&f->peer);
    request_fails(f);
    lost(f, HUNG_UP);
}

static void test_hang_up_idle(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    fd_clear(&f->peer);
    settle(f);
    lost(f, HUNG_UP);
}

static void test_hang_up_inside(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqRet ret = { .header = { .cmd = MPQ_RET, .size = 8 } };

    put(f, &ret, sizeof(ret) - 1);
    g_assert_cmpint(shutdown(f->peer, SHUT_WR), ==, 0);
    request_fails(f);
    lost(f, HUNG_UP);
}

/* What was answered before the hang-up still counts. */
static void test_hang_up_behind_reply(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    put_reply(f, 7);
    g_assert_cmpint(shutdown(f->peer, SHUT_WR), ==, 0);
    request_gives(f, 7);
    settle(f);
    lost(f, HUNG_UP);
}

/* Nobody reads: the socket fills up, and then a message would have to be cut off. */
static void test_nobody_reads(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    const MpqSysmem map = { 0 };
    const ProxyMessage message = { MPQ_SYNC_SYSMEM, &map, sizeof(map), NULL, 0 };
    unsigned n = 0;

    while (proxy_link_post(&f->client.link, &message)) {
        g_assert_cmpuint(++n, <, 1000000);
    }
    g_assert_cmpuint(n, >, 0);
    lost(f, "the remote does not read its requests");
}

static void test_descriptors(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    int fd = eventfd(3, EFD_CLOEXEC);
    int fds[MPQ_MAX_REGIONS], got[MPQ_MAX_REGIONS];
    const ProxyMessage message = { MPQ_SET_IRQFD, NULL, 0, fds, G_N_ELEMENTS(fds) };
    char control[CMSG_SPACE(sizeof(fds))];
    MpqHeader header;
    struct iovec iov = { .iov_base = &header, .iov_len = sizeof(header) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };

    for (unsigned i = 0; i < MPQ_MAX_REGIONS; i++) {
        fds[i] = fd;
    }
    g_assert_true(proxy_link_post(&f->client.link, &message));
    g_assert_cmpint(recvmsg(f->peer, &msg, MSG_CMSG_CLOEXEC), ==, sizeof(header));
    g_assert_cmpuint(CMSG_FIRSTHDR(&msg)->cmsg_len, ==, CMSG_LEN(sizeof(fds)));
    memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(got));
    for (unsigned i = 0; i < MPQ_MAX_REGIONS; i++) {
        g_assert_cmpint(got[i], !=, fd);
        close(got[i]);
    }
    close(fd);
}

static void test_ask(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_true(f->client.ops->ask(&f->client, 2));
    settle(f);
    g_assert_cmpuint(f->answered, ==, 0);
    put_reply(f, 42);
    settle(f);
    g_assert_cmpuint(f->answered, ==, 1);
    g_assert_cmpuint(f->value, ==, 42);
    /* a request that comes before the answer */
    g_assert_true(f->client.ops->ask(&f->client, 2));
    put_reply(f, 43);
    put_reply(f, 44);
    request_gives(f, 44);
    settle(f);
    g_assert_cmpuint(f->answered, ==, 1);
    g_assert_cmpuint(f->client.link.late, ==, 0);
}

static void test_ask_overdue(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->client.link.quiet = false;
    g_assert_true(f->client.ops->ask(&f->client, 2));
    while (!f->client.link.stuck) {
        loop_turn(f->loop, 1);
        proxy_link_check(&f->client.link);
    }
    put_reply(f, 1);
    settle(f);
    g_assert_false(f->client.link.stuck);
    g_assert_cmpuint(f->client.link.late, ==, 1);
}

static void test_config(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    uint32_t value;

    put_reply(f, 0xdeadbeef);
    g_assert_true(proxy_cfg_read(&f->client, 0, 4, &value));
    g_assert_cmphex(value, ==, 0xdeadbeef);
    put_reply(f, 0xdeadbeef);
    g_assert_true(proxy_cfg_read(&f->client, 0, 1, &value));
    g_assert_cmphex(value, ==, 0xef);
    put_reply(f, UINT64_MAX);
    g_assert_false(proxy_cfg_read(&f->client, 0, 2, &value));
    g_assert_cmphex(value, ==, 0xffff);
    put_reply(f, UINT64_MAX);
    g_assert_false(proxy_cfg_write(&f->client, 0, 1, 1));
    put_reply(f, 0);
    g_assert_true(proxy_cfg_write(&f->client, 0, 1, 1));
    g_assert_true(proxy_link_is_open(&f->client.link));
}

#define ADD(name, set_up, test)                                                                    \
    g_test_add("/proxy-link/" name, Fixture, NULL, set_up, test, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("request", setup, test_request);
    ADD("short-reply", setup, test_short_reply);
    ADD("late", setup_short, test_late);
    ADD("late-by-loop", setup_short, test_late_by_loop);
    ADD("late-in-parts", setup_short, test_late_in_parts);
    ADD("owed-too-many", setup_short, test_owed_too_many);
    ADD("wrong-command", setup, test_wrong_command);
    ADD("wrong-size", setup, test_wrong_size);
    ADD("wrong-late-frame", setup_short, test_wrong_late_frame);
    ADD("twice", setup, test_twice);
    ADD("unasked", setup, test_unasked);
    ADD("noise", setup, test_noise);
    ADD("flood", setup_short, test_flood);
    ADD("hang-up", setup, test_hang_up);
    ADD("hang-up-idle", setup, test_hang_up_idle);
    ADD("hang-up-inside", setup, test_hang_up_inside);
    ADD("hang-up-behind-reply", setup, test_hang_up_behind_reply);
    ADD("nobody-reads", setup_short, test_nobody_reads);
    ADD("descriptors", setup, test_descriptors);
    ADD("ask", setup, test_ask);
    ADD("ask-overdue", setup_short, test_ask_overdue);
    ADD("config", setup, test_config);
    return g_test_run();
}
