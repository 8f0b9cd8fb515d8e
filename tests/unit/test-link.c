/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The framed stream over a socketpair, with a protocol of its own: a byte with the payload's
 * length (0xff: no frame), then the payload. The test turns the loop by hand.
 */
#include "remote/link.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_PAYLOAD 100
#define MAX_QUEUE 4096
#define BAD 0xff

typedef struct Fixture {
    Loop *loop;
    Link *link;
    int peer;
    GString *frames; /* "abc(2) " = payload abc with two descriptors */
    LoopWork work;   /* deferred by a frame "w": adds "W " */
    unsigned ended;
    const char *why;
    bool answer; /* send each frame's payload back */
    bool hold;   /* link_hold() in each frame */
    bool close;  /* link_close() in each frame */
    int keep;    /* descriptors to take from each frame */
    int kept[FDSET_MAX];
} Fixture;

static size_t on_header(void *opaque G_GNUC_UNUSED, const uint8_t *header, const char **why)
{
    if (header[0] == BAD) {
        *why = "bad header";
        return 0;
    }
    return 1 + header[0];
}

/* Those with two bytes don't. */
static bool on_fds(void *opaque G_GNUC_UNUSED, const uint8_t *header)
{
    return header[0] != 2;
}

static void on_frame(void *opaque, const uint8_t *frame, size_t len, FdSet *fds)
{
    Fixture *f = opaque;

    g_assert_cmpuint(len, ==, 1u + frame[0]);
    g_string_append_len(f->frames, (const char *)frame + 1, len - 1);
    if (fds->n > 0) {
        g_string_append_printf(f->frames, "(%u)", fds->n);
    }
    g_string_append_c(f->frames, ' ');
    for (int i = 0; i < f->keep; i++) {
        f->kept[i] = fdset_take(fds, i);
    }
    if (len == 2 && frame[1] == 'w') {
        loop_defer(&f->work);
    }
    if (f->answer) {
        link_send(f->link, frame, len, NULL, 0);
    }
    if (f->hold) {
        link_hold(f->link);
    }
    if (f->close) {
        link_close(f->link, "closed by frame");
    }
}

static void on_ended(void *opaque, const char *why)
{
    Fixture *f = opaque;

    f->ended++;
    f->why = why;
    link_free(g_steal_pointer(&f->link));
}

static void on_work(void *opaque)
{
    g_string_append(((Fixture *)opaque)->frames, "W ");
}

static const LinkProto proto = {
    .header_size = 1,
    .max_frame = 1 + MAX_PAYLOAD,
    .max_queue = MAX_QUEUE,
    .frame_size = on_header,
    .takes_fds = on_fds,
    .frame = on_frame,
    .ended = on_ended,
};

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    int sv[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    f->loop = loop_new("test", NULL);
    f->frames = g_string_new(NULL);
    f->peer = sv[1];
    loop_work_init(&f->work, f->loop, on_work, f);
    f->link = link_new(f->loop, sv[0], &proto, f);
    g_assert_nonnull(f->link);
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    link_free(f->link);
    fd_clear(&f->peer);
    loop_free(f->loop);
    g_string_free(f->frames, TRUE);
}

static void settle(Fixture *f)
{
    unsigned turns = 0;

    while (loop_turn(f->loop, 0)) {
        g_assert_cmpuint(++turns, <, 10000); /* a busy loop */
    }
}

/* Sends raw bytes with nfds descriptors that are dups of one eventfd. */
static void put_fds(Fixture *f, const void *bytes, size_t len, unsigned nfds)
{
    AUTO_FD fd = eventfd(0, EFD_CLOEXEC);
    struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
    int fds[64];

    g_assert_cmpuint(nfds, <=, G_N_ELEMENTS(fds));
    for (unsigned i = 0; i < nfds; i++) {
        fds[i] = fd;
    }
    g_assert_cmpint(fd_send(f->peer, &iov, 1, fds, nfds, 0), ==, len);
}

static void put(Fixture *f, const char *bytes, size_t len)
{
    put_fds(f, bytes, len, 0);
}

#define PUT(f, literal) put((f), (literal), sizeof(literal) - 1)

static unsigned open_fds(void)
{
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

static void check_end(Fixture *f, const char *frames, const char *why)
{
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, frames);
    g_assert_cmpuint(f->ended, ==, 1);
    g_assert_cmpstr(f->why, ==, why);
}

/* To the peer: what it has sent has been received, else that is a reset. */
static void check_eof(Fixture *f)
{
    char byte;

    g_assert_cmpint(recv(f->peer, &byte, 1, MSG_DONTWAIT), ==, 0);
}

static void test_segments(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    PUT(f, "\3abc\0\1x\2yz\5hal");
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "abc  x yz ");
    PUT(f, "lo");
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "abc  x yz hallo ");
}

static void test_bytewise(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const char bytes[] = "\3abc\1x\2yz";

    f->answer = true;
    for (unsigned i = 0; i < sizeof(bytes) - 1; i++) {
        put(f, bytes + i, 1);
        settle(f);
    }
    g_assert_cmpstr(f->frames->str, ==, "abc x yz ");
}

/* More frames than the buffer holds at a time, and than a turn handles. */
static void test_row(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GString) expect = g_string_new(NULL);

    for (unsigned i = 0; i < 200; i++) {
        g_autofree char *payload = g_strdup_printf("%0*u", 1 + i % MAX_PAYLOAD, i);
        size_t len = strlen(payload);
        g_autofree char *frame = g_strdup_printf("%c%s", (char)len, payload);

        put(f, frame, 1 + len);
        g_string_append_printf(expect, "%s ", payload);
    }
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, expect->str);
    fd_clear(&f->peer);
    check_end(f, expect->str, NULL);
}

/* Deferred work runs between two frames, answered or not. */
static void test_deferred(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    PUT(f, "\1w\1a\1w\1b");
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "w W a w W b ");
    f->answer = true;
    PUT(f, "\1w\1c");
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "w W a w W b w W c ");
}

static void test_eof(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    PUT(f, "\1a");
    fd_clear(&f->peer);
    check_end(f, "a ", NULL);
}

static void test_eof_inside(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    PUT(f, "\1a\3bc");
    fd_clear(&f->peer);
    check_end(f, "a ", "end of file inside the message");
}

static void test_bad_header(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    PUT(f, "\1a\xff\1b");
    check_end(f, "a ", "bad header");
    check_eof(f);
}

static void test_too_long(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    PUT(f, "\1a\x65");
    check_end(f, "a ", "malformed header");
}

static void test_close_in_frame(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->close = true;
    PUT(f, "\1a\1b");
    check_end(f, "a ", "closed by frame");
    check_eof(f);
}

static void close_link(void *opaque)
{
    link_close(((Fixture *)opaque)->link, "closed by work");
}

/* The end must wait until the frame loop, which the work interrupts, is left. */
static void test_close_in_work(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    loop_work_init(&f->work, f->loop, close_link, f);
    PUT(f, "\1w\1b");
    check_end(f, "w ", "closed by work");
}

static void test_free_without_end(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    link_close(f->link, "never told");
    link_free(g_steal_pointer(&f->link));
    settle(f);
    g_assert_cmpuint(f->ended, ==, 0);
}

/* ---- descriptors ---- */

static void test_fds(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned before = open_fds();

    f->keep = 1;
    put_fds(f, "\1a", 2, 3);
    put_fds(f, "\1b", 2, 0);
    put_fds(f, "\1c\2de", 5, 2); /* come with the first byte, so they are c's */
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "a(3) b c(2) de ");
    g_assert_cmpuint(open_fds(), ==, before + 2); /* a's and c's first */
}

/* What was received along with an earlier frame waits with it. */
static void test_fds_behind(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned before = open_fds();

    f->hold = true;
    PUT(f, "\2aa");
    put_fds(f, "\1b", 2, 2);
    put_fds(f, "\3", 1, 1);
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "aa ");
    link_release(f->link);
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "aa b(2) ");
    put_fds(f, "ccc", 3, 1);
    link_release(f->link);
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "aa b(2) ccc(2) ");
    link_release(f->link);
    g_assert_cmpuint(open_fds(), ==, before);
}

static void test_fds_kept(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->keep = 2;
    put_fds(f, "\1a", 2, 3);
    settle(f);
    for (int i = 0; i < 2; i++) {
        g_assert_true(fcntl(f->kept[i], F_GETFD) & FD_CLOEXEC);
        close(f->kept[i]);
    }
}

static void test_fds_bytewise(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned before = open_fds();

    put_fds(f, "\2", 1, 2);
    settle(f);
    put_fds(f, "x", 1, 1);
    settle(f);
    put_fds(f, "y", 1, 0);
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "xy(3) ");
    g_assert_cmpuint(open_fds(), ==, before);
}

static void test_fds_max(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    put_fds(f, "\1a", 2, FDSET_MAX);
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "a(32) ");
}

static void test_fds_too_many(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned before = open_fds();

    put_fds(f, "\1a", 2, FDSET_MAX + 1);
    check_end(f, "", "more descriptors than can be received");
    g_assert_cmpuint(open_fds(), ==, before - 1); /* the link's own */
}

static void test_fds_too_many_in_parts(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned before = open_fds();

    put_fds(f, "\2", 1, 20);
    put_fds(f, "a", 1, 20);
    put_fds(f, "b", 1, 0);
    check_end(f, "", "more descriptors than can be received");
    g_assert_cmpuint(open_fds(), ==, before - 1);
}

static void test_fds_cut_off(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned before = open_fds();

    put_fds(f, "\2a", 2, 5);
    fd_clear(&f->peer);
    check_end(f, "", "end of file inside the message");
    g_assert_cmpuint(open_fds(), ==, before - 2);
}

/* No room in the descriptor table: the kernel drops what doesn't fit. */
static void test_fds_no_room(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    struct rlimit old, tight;

    put_fds(f, "\1a", 2, 8);
    getrlimit(RLIMIT_NOFILE, &old);
    tight = old;
    tight.rlim_cur = open_fds() + 1;
    setrlimit(RLIMIT_NOFILE, &tight);
    settle(f);
    setrlimit(RLIMIT_NOFILE, &old);
    check_end(f, "", "more descriptors than can be received");
}

static void test_send_fds(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    char control[CMSG_SPACE(sizeof(int) * 4)];
    char byte;
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    int fds[2] = { f->peer, f->peer };

    link_send(f->link, "z", 1, fds, 2);
    g_assert_cmpint(recvmsg(f->peer, &msg, MSG_CMSG_CLOEXEC), ==, 1);
    g_assert_cmpuint(CMSG_FIRSTHDR(&msg)->cmsg_len, ==, CMSG_LEN(2 * sizeof(int)));
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fds));
    close(fds[0]);
    close(fds[1]);
}

/* ---- peers that do not read ---- */

static size_t drain_peer(Fixture *f)
{
    char buf[4096];
    size_t total = 0;
    ssize_t n;

    while ((n = recv(f->peer, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
        total += n;
    }
    return total;
}

/* Sends until the link has to queue. */
static void choke(Fixture *f)
{
    static const char junk[1000];
    size_t total = 0;
    int arrived;

    do {
        link_send(f->link, junk, sizeof(junk), NULL, 0);
        total += sizeof(junk);
        g_assert_cmpint(ioctl(f->peer, FIONREAD, &arrived), ==, 0);
    } while (total == (size_t)arrived);
}

static void test_stuck_peer(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const char junk[1000];
    int small = 4096;
    unsigned sends = 0;

    g_assert_cmpint(setsockopt(f->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), ==, 0);
    while (f->ended == 0) {
        link_send(f->link, junk, sizeof(junk), NULL, 0);
        settle(f);
        g_assert_cmpuint(++sends, <, 100000);
    }
    g_assert_cmpstr(f->why, ==, "the peer does not read its answers");
}

/* What was queued arrives whole and in order once the peer reads, and only then the next frame is
 * read. */
static void test_slow_peer(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    char frame[1 + MAX_PAYLOAD];
    unsigned asked = 0;
    size_t got = 0;

    f->answer = true;
    frame[0] = MAX_PAYLOAD;
    memset(frame + 1, 'q', MAX_PAYLOAD);
    /* Both directions fill up: the link stops reading as soon as an answer does not fit. */
    while (send(f->peer, frame, sizeof(frame), MSG_DONTWAIT) == sizeof(frame)) {
        asked++;
        settle(f);
        g_assert_cmpuint(asked, <, 1000000);
    }
    g_assert_cmpuint(f->ended, ==, 0);
    for (unsigned i = 0; i < 100000 && got < (size_t)asked * sizeof(frame); i++) {
        got += drain_peer(f);
        settle(f);
    }
    g_assert_cmpuint(got, >=, (size_t)asked * sizeof(frame));
    g_assert_cmpuint(f->ended, ==, 0);
}

/* The peer is gone before its answers are sent: what it sent is still handled. */
static void test_deaf_peer(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->answer = true;
    PUT(f, "\1a\1b\1c");
    fd_clear(&f->peer);
    check_end(f, "a b c ", NULL);
}

static void test_unread_answers(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->answer = true;
    PUT(f, "\1a");
    settle(f);
    fd_clear(&f->peer); /* with an answer unread: our side sees ECONNRESET */
    check_end(f, "a ", NULL);
}

/* ---- hold ---- */

static void test_hold(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->hold = true;
    PUT(f, "\1a\1b");
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "a ");
    link_hold(f->link);
    link_release(f->link);
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "a ");
    link_release(f->link);
    settle(f);
    g_assert_cmpstr(f->frames->str, ==, "a b ");
}

/* A hang-up while an answer is owed must not make the loop spin, and is seen on release. */
static void test_hold_hangup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->hold = true;
    PUT(f, "\1a\1b");
    settle(f);
    fd_clear(&f->peer);
    settle(f);
    g_assert_false(loop_turn(f->loop, 10));
    g_assert_cmpuint(f->ended, ==, 0);
    f->hold = false;
    link_send(f->link, "x", 1, NULL, 0);
    link_release(f->link);
    check_end(f, "a b ", NULL);
}

static void test_hold_choked(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    link_hold(f->link);
    choke(f);
    settle(f);
    g_assert_cmpuint(f->ended, ==, 0);
    fd_clear(&f->peer);
    settle(f);
    g_assert_false(loop_turn(f->loop, 10));
    link_release(f->link);
    check_end(f, "", NULL);
}

/* ---- drain ---- */

static void test_drain(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->answer = true;
    PUT(f, "\1a\1w\1b");
    link_drain(f->link);
    g_assert_cmpstr(f->frames->str, ==, "a w W b ");
    fd_clear(&f->peer);
    link_drain(f->link);
    g_assert_cmpuint(f->ended, ==, 0); /* comes from the loop */
    check_end(f, "a w W b ", NULL);
}

/* ---- descriptors that are no socket ---- */

static void test_refused(void)
{
    Loop *loop = loop_new("test", NULL);
    int fds[] = {
        eventfd(0, EFD_CLOEXEC),         socket(AF_UNIX, SOCK_DGRAM, 0),
        socket(AF_UNIX, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0),
        open("/dev/null", O_RDWR),       -1,
    };
    const int expected[] = { ENOTSOCK, EPROTOTYPE, ENOTCONN, EAFNOSUPPORT, ENOTSOCK, EBADF };

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        g_assert_null(link_new(loop, fds[i], &proto, NULL));
        g_assert_cmpint(errno, ==, expected[i]);
        g_assert_cmpint(fcntl(fds[i], F_GETFD), ==, -1);
    }
    loop_free(loop);
}

#define TEST(name) g_test_add("/link/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(segments);
    TEST(bytewise);
    TEST(row);
    TEST(deferred);
    TEST(eof);
    TEST(eof_inside);
    TEST(bad_header);
    TEST(too_long);
    TEST(close_in_frame);
    TEST(close_in_work);
    TEST(free_without_end);
    TEST(fds);
    TEST(fds_behind);
    TEST(fds_kept);
    TEST(fds_bytewise);
    TEST(fds_max);
    TEST(fds_too_many);
    TEST(fds_too_many_in_parts);
    TEST(fds_cut_off);
    TEST(fds_no_room);
    TEST(send_fds);
    TEST(stuck_peer);
    TEST(slow_peer);
    TEST(deaf_peer);
    TEST(unread_answers);
    TEST(hold);
    TEST(hold_hangup);
    TEST(hold_choked);
    TEST(drain);
    g_test_add_func("/link/refused", test_refused);
    return g_test_run();
}
