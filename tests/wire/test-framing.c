/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing against the real program ($QEMU_REMOTE): messages that are cut off at every byte, come
 * byte by byte or many in one segment; descriptors too many or too few, sizes and commands that do
 * not exist. After each, the process must still serve the next client, without a descriptor more:
 * most cases use one that listens on a path, as that allows a thousand connections.
 */
#include "util/fd.h"
#include "wire-fixture.h"
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- splits ---- */

static void test_cut_off(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint8_t payload[MPQ_MAX_PAYLOAD];
    AUTO_FD fd = eventfd(0, EFD_CLOEXEC);
    int fds[] = { fd, fd };
    unsigned before = wire_start_listening(f);

    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        uint8_t buf[sizeof(MpqHeader) + MPQ_MAX_PAYLOAD];
        size_t len = mpq_build(buf, cmd, payload, wire_messages[cmd].payload);

        for (size_t cut = 1; cut < len && cmd != MPQ_RET; cut++) {
            MpqClient *c = mpq_client_open(f->p, f->path);

            g_assert_true(mpq_send_raw(c, buf, cut, fds, wire_messages[cmd].fds_min));
            mpq_client_free(c);
        }
        g_assert_cmpuint(wire_count_fds(f), ==, before);
        if (wire_messages[cmd].payload > 0 && cmd != MPQ_RET) {
            g_autofree char *line =
                g_strdup_printf("%s: end of file inside the message", wire_messages[cmd].name);

            g_assert_cmpuint(wire_count_text(f, line), ==, wire_messages[cmd].payload);
        }
    }
}

/* A hang-up behind a whole message, answer unread. */
static void test_message_and_hangup(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint8_t payload[MPQ_MAX_PAYLOAD];
    AUTO_FD fd = eventfd(0, EFD_CLOEXEC);
    int fds[] = { fd, fd };
    unsigned before = wire_start_listening(f);

    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        for (unsigned i = 0; i < 20 && cmd != MPQ_RET; i++) {
            MpqClient *c = mpq_client_open(f->p, f->path);

            mpq_send(c, cmd, payload, wire_messages[cmd].payload, fds, wire_messages[cmd].fds_min);
            mpq_client_free(c);
        }
        g_assert_cmpuint(wire_count_fds(f), ==, before);
    }
}

/* Every kind of message once, into buf with the payload of what is harmless; offsets[] gets where
 * each begins. The last offset is the length. */
static void conversation(uint8_t *buf, size_t *offsets)
{
    MpqSysmem map = { .size = { PAGE } };
    MpqCfg cfg = { .addr = 0x3c, .value = 0x5a, .len = 1 };
    MpqBar bar = { .addr = MMIO_BASE, .size = 4, .memory = 1 };
    static const int32_t order[] = { MPQ_SYNC_SYSMEM,  MPQ_SET_IRQFD,   MPQ_DEVICE_RESET,
                                     MPQ_PCI_CFGWRITE, MPQ_PCI_CFGREAD, MPQ_BAR_WRITE,
                                     MPQ_BAR_READ };
    const void *payloads[MPQ_CMDS] = {
        [MPQ_SYNC_SYSMEM] = &map, [MPQ_PCI_CFGWRITE] = &cfg, [MPQ_PCI_CFGREAD] = &cfg,
        [MPQ_BAR_WRITE] = &bar,   [MPQ_BAR_READ] = &bar,
    };

    offsets[0] = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        offsets[i + 1] = offsets[i] + mpq_build(buf + offsets[i], order[i], payloads[order[i]],
                                                wire_messages[order[i]].payload);
    }
}

#define CONVERSATION 7

static void check_answers(MpqClient *c)
{
    mpq_receive_empty(c);
    g_assert_cmphex(mpq_receive(c), ==, 0);
    g_assert_cmphex(mpq_receive(c), ==, 0x5a);
    g_assert_cmphex(mpq_receive(c), ==, MPQ_ALL_ONES); /* no BAR is programmed */
    g_assert_cmphex(mpq_receive(c), ==, MPQ_ALL_ONES);
}

static void test_bytewise(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = wire_start_connected(f);
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    size_t offsets[CONVERSATION + 1];
    uint8_t buf[1024];
    int fds[2] = { irqfd, resamplefd };

    mpq_map_ram(c, PAGE);
    conversation(buf, offsets);
    for (size_t i = 0; i < offsets[CONVERSATION]; i++) {
        int ram = mpq_ram_fd(c);

        if (i == offsets[0]) {
            mpq_send_raw(c, buf + i, 1, &ram, 1);
        } else if (i == offsets[1]) {
            mpq_send_raw(c, buf + i, 1, fds, 2);
        } else {
            mpq_send_raw(c, buf + i, 1, NULL, 0);
        }
    }
    check_answers(c);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* All that needs no descriptors in one segment, a hundred times over in pieces of odd sizes. */
static void test_segments(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = wire_start_connected(f);
    size_t offsets[CONVERSATION + 1], len;
    uint8_t one[1024];
    GByteArray *all = g_byte_array_new();

    conversation(one, offsets);
    len = offsets[CONVERSATION] - offsets[2];
    for (unsigned i = 0; i < 100; i++) {
        g_byte_array_append(all, one + offsets[2], len);
    }
    g_assert_true(mpq_send_raw(c, one + offsets[2], len, NULL, 0));
    check_answers(c);
    for (size_t at = 0, piece = 1; at < all->len; at += piece) {
        piece = MIN(piece % 301 + 17, all->len - at);
        g_assert_true(mpq_send_raw(c, all->data + at, piece, NULL, 0));
    }
    for (unsigned i = 0; i < 100; i++) {
        check_answers(c);
    }
    g_assert_cmpuint(mpq_pending(c), ==, 0);
    g_byte_array_free(all, TRUE);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* ---- framing ---- */

static void test_fd_counts(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint8_t payload[MPQ_MAX_PAYLOAD];
    static const unsigned counts[] = { 0, 1, 2, 3, 8, 9, 32, 33, 64 };
    AUTO_FD fd = eventfd(0, EFD_CLOEXEC);
    unsigned before = wire_start_listening(f);
    int fds[64];

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = fd;
    }
    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        unsigned bad = 0;

        for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
            MpqClient *c;

            if (counts[i] >= wire_messages[cmd].fds_min &&
                counts[i] <= wire_messages[cmd].fds_max) {
                continue;
            }
            c = mpq_client_open(f->p, f->path);
            mpq_send(c, cmd, payload, wire_messages[cmd].payload, fds, counts[i]);
            g_assert_true(mpq_wait_end(c));
            mpq_client_free(c);
            bad++;
        }
        g_assert_cmpuint(wire_count_fds(f), ==, before);
        g_assert_cmpuint(wire_count_text(f, wire_messages[cmd].name), ==,
                         bad); /* a line each, no more */
    }
}

static void test_sizes(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint64_t sizes[] = { 0,         1,          4,          8,         11,
                                      12,        13,         16,         23,        24,
                                      25,        32,         191,        192,       193,
                                      1 << 20,   UINT32_MAX, 1ull << 32, INT64_MAX, UINT64_MAX - 15,
                                      UINT64_MAX };
    unsigned before = wire_start_listening(f);

    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
            MpqHeader header = { .cmd = cmd, .size = sizes[i] };
            MpqClient *c;

            if (cmd != MPQ_RET && sizes[i] == wire_messages[cmd].payload) {
                continue;
            }
            c = mpq_client_open(f->p, f->path);
            mpq_send_raw(c, &header, sizeof(header), NULL, 0); /* the payload never comes */
            g_assert_true(mpq_wait_end(c));
            mpq_client_free(c);
        }
    }
    g_assert_cmpuint(wire_count_fds(f), ==, before);
}

static void test_commands(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const int32_t cmds[] = { MPQ_RET, 8, 9, 100, -1, INT32_MIN, INT32_MAX };
    unsigned before = wire_start_listening(f);

    for (unsigned i = 0; i < G_N_ELEMENTS(cmds); i++) {
        MpqClient *c = mpq_client_open(f->p, f->path);

        mpq_send(c, cmds[i], "12345678", 8, NULL, 0);
        g_assert_true(mpq_wait_end(c));
        mpq_client_free(c);
    }
    g_assert_cmpuint(wire_count_fds(f), ==, before);
}

int main(int argc, char **argv)
{
    wire_test_init(&argc, &argv);
    WIRE_TEST(cut_off);
    WIRE_TEST(message_and_hangup);
    WIRE_TEST(bytewise);
    WIRE_TEST(segments);
    WIRE_TEST(fd_counts);
    WIRE_TEST(sizes);
    WIRE_TEST(commands);
    return g_test_run();
}
