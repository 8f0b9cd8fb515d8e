/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing of the mpqemu server: what ends a connection as a violation, each time a new one, and
 * what must not: single bytes, many messages at once.
 */
#include "mpqemu-peer.h"
#include <errno.h>
#include <sys/eventfd.h>

/* ---- violations: a new connection for each ---- */

static void violated(Fixture *f, unsigned fds_before)
{
    char byte;
    ssize_t ret;

    settle(f);
    g_assert_cmpuint(f->ended, ==, 1);
    g_assert_true(f->violation);
    ret = recv(f->peer, &byte, 1, MSG_DONTWAIT);
    g_assert_true(ret == 0 || (ret < 0 && errno == ECONNRESET)); /* with bytes unread: reset */
    g_assert_cmpuint(open_fds(), ==, fds_before - 1);
    mpqemu_server_free(f->server);
    fd_clear(&f->peer);
    connect_peer(f);
    g_assert_true(alive(f));
}

static const struct {
    size_t payload;
    unsigned fds_min, fds_max;
} legal[MPQ_CMDS] = {
    [MPQ_SYNC_SYSMEM] = { 192, 1, 8 }, [MPQ_RET] = { 8, 1, 0 }, /* never */
    [MPQ_PCI_CFGWRITE] = { 12, 0, 0 }, [MPQ_PCI_CFGREAD] = { 12, 0, 0 },
    [MPQ_BAR_WRITE] = { 24, 0, 0 },    [MPQ_BAR_READ] = { 24, 0, 0 },
    [MPQ_SET_IRQFD] = { 0, 2, 2 },     [MPQ_DEVICE_RESET] = { 0, 0, 0 },
};

static void test_wrong_sizes(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint64_t sizes[] = { 0,
                                      1,
                                      8,
                                      11,
                                      12,
                                      13,
                                      23,
                                      24,
                                      25,
                                      191,
                                      192,
                                      193,
                                      200,
                                      1 << 20,
                                      UINT32_MAX,
                                      UINT64_MAX,
                                      UINT64_MAX - 15 };

    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
            MpqHeader header = { .cmd = cmd, .size = sizes[i] };
            unsigned before = open_fds();

            if (cmd != MPQ_RET && sizes[i] == legal[cmd].payload) {
                continue;
            }
            put_raw(f, &header, sizeof(header), NULL, 0); /* no payload: the header is enough */
            violated(f, before);
        }
    }
}

static void test_unknown_commands(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const int32_t cmds[] = { MPQ_RET, 8, 9, 255, -1, INT32_MIN, INT32_MAX };

    for (unsigned i = 0; i < G_N_ELEMENTS(cmds); i++) {
        unsigned before = open_fds();

        put(f, cmds[i], "12345678", 8, NULL, 0);
        violated(f, before);
    }
}

static void test_wrong_fd_counts(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint8_t payload[MPQ_MAX_PAYLOAD];
    AUTO_FD fd = eventfd(0, EFD_CLOEXEC);
    int fds[64];

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = fd;
    }
    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        for (unsigned n = 0; n <= 40; n++) {
            unsigned before = open_fds();

            if (n >= legal[cmd].fds_min && n <= legal[cmd].fds_max) {
                continue;
            }
            put(f, cmd, payload, legal[cmd].payload, fds, n);
            violated(f, before);
        }
    }
    g_assert_cmpuint(f->fake->log->len, ==, 0);
}

/* Each command cut off at each byte, with the descriptors it may have: a hang-up inside. */
static void test_cut_off(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint8_t payload[MPQ_MAX_PAYLOAD];
    AUTO_FD fd = eventfd(0, EFD_CLOEXEC);
    int fds[] = { fd, fd };

    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        uint8_t buf[256];
        size_t len = put_message(buf, cmd, payload, legal[cmd].payload);

        for (size_t cut = 1; cut < len && cmd != MPQ_RET; cut++) {
            unsigned before = open_fds();

            put_raw(f, buf, cut, fds, legal[cmd].fds_min);
            settle(f);
            g_assert_cmpuint(f->ended, ==, 0);
            fd_clear(&f->peer);
            settle(f);
            g_assert_cmpuint(f->ended, ==, 1);
            g_assert_true(f->violation);
            g_assert_cmpuint(open_fds(), ==, before - 2);
            mpqemu_server_free(f->server);
            connect_peer(f);
        }
    }
    g_assert_true(alive(f));
}

static void test_bytewise(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqSysmem map = { .size = { PAGE } };
    AUTO_FD ram = new_ram(1);
    MpqCfg body = { .len = 4 };
    uint8_t buf[512];
    size_t sync = put_message(buf, MPQ_SYNC_SYSMEM, &map, sizeof(map));
    size_t len = sync + put_message(buf + sync, MPQ_PCI_CFGREAD, &body, sizeof(body));
    int fd = ram;

    for (size_t i = 0; i < len; i++) {
        put_raw(f, buf + i, 1, &fd, i == 0);
        settle(f);
    }
    g_assert_cmpuint(guest_memory_count(f->m->mem), ==, 1);
    g_assert_cmphex(reply(f), ==, 0x56781234);
}

static void test_many_in_one(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqCfg body = { .len = 2 };
    uint8_t buf[100 * 28];
    size_t len = 0;

    for (unsigned i = 0; i < 100; i++) {
        len += put_message(buf + len, MPQ_PCI_CFGREAD, &body, sizeof(body));
    }
    put_raw(f, buf, len, NULL, 0);
    settle(f);
    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmphex(reply(f), ==, 0x1234);
    }
    no_reply(f);
}

#define TEST(name) g_test_add("/mpqemu-framing/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(wrong_sizes);
    TEST(unknown_commands);
    TEST(wrong_fd_counts);
    TEST(cut_off);
    TEST(bytewise);
    TEST(many_in_one);
    return g_test_run();
}
