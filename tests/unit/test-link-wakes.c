/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a peer that sleeps in recv() until its answer comes notices of the link: one wake-up. And
 * bytes out of band, which a look and a receive see differently. A frame is two bytes, and is
 * answered by the same.
 */
#include "remote/link.h"
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FRAME 2

typedef struct Fixture {
    Loop *loop;
    Link *link;
    int peer;
    _Atomic pid_t peer_tid;
    unsigned frames, ended;
} Fixture;

static size_t on_header(void *opaque G_GNUC_UNUSED, const uint8_t *header G_GNUC_UNUSED,
                        const char **why G_GNUC_UNUSED)
{
    return FRAME;
}

static bool on_fds(void *opaque G_GNUC_UNUSED, const uint8_t *header G_GNUC_UNUSED)
{
    return false;
}

static char thread_state(pid_t tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/stat", tid);
    g_autofree char *stat = NULL;

    g_assert_true(g_file_get_contents(path, &stat, NULL, NULL));
    return strrchr(stat, ')')[2];
}

static void wait_asleep(const Fixture *f)
{
    while (!f->peer_tid || thread_state(f->peer_tid) != 'S') {
        g_usleep(1000);
    }
}

/* A peer that was woken by what has been done so far has time to sleep again. */
static void on_frame(void *opaque, const uint8_t *frame, size_t len, FdSet *fds G_GNUC_UNUSED)
{
    Fixture *f = opaque;

    f->frames++;
    if (f->peer_tid) {
        g_usleep(50000);
        wait_asleep(f);
    }
    link_send(f->link, frame, len, NULL, 0);
}

static void on_ended(void *opaque, const char *why G_GNUC_UNUSED)
{
    Fixture *f = opaque;

    f->ended++;
    link_free(g_steal_pointer(&f->link));
}

static const LinkProto proto = {
    .header_size = 1,
    .max_frame = FRAME,
    .max_queue = 1024,
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
    f->peer = sv[1];
    f->link = link_new(f->loop, sv[0], &proto, f);
    g_assert_nonnull(f->link);
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    link_free(f->link);
    fd_clear(&f->peer);
    loop_free(f->loop);
}

static void *peer_run(void *opaque)
{
    Fixture *f = opaque;
    struct rusage before, after;
    char bytes[FRAME] = "ab";

    g_assert_cmpint(send(f->peer, bytes, FRAME, 0), ==, FRAME);
    getrusage(RUSAGE_THREAD, &before);
    f->peer_tid = syscall(SYS_gettid);
    g_assert_cmpint(recv(f->peer, bytes, FRAME, MSG_WAITALL), ==, FRAME);
    getrusage(RUSAGE_THREAD, &after);
    return GINT_TO_POINTER(after.ru_nvcsw - before.ru_nvcsw);
}

static void test_one_wake(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    pthread_t peer;
    void *sleeps;

    g_assert_cmpint(pthread_create(&peer, NULL, peer_run, f), ==, 0);
    wait_asleep(f);
    while (f->frames == 0) {
        loop_turn(f->loop, -1);
    }
    pthread_join(peer, &sleeps);
    g_assert_cmpint(GPOINTER_TO_INT(sleeps), ==, 1);
}

/* Such a byte is in the way of either, now and then; no other peer sends one. The link may take it
 * for a frame's, skip it or end, but goes on or ends, and doesn't spin. */
static void test_out_of_band(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    for (unsigned shape = 0; shape < 64 && f->link; shape++) {
        for (unsigned i = 0; i < 6 && f->link; i++) {
            (void)!send(f->peer, "abc", 1 + i % 3,
                        MSG_NOSIGNAL | (shape >> i & 1 ? MSG_OOB : 0));
            if (i % 2) {
                loop_turn(f->loop, 0);
            }
        }
        for (unsigned turns = 0; f->link && loop_turn(f->loop, 0); turns++) {
            g_assert_cmpuint(turns, <, 1000);
        }
        for (char sink[64]; recv(f->peer, sink, sizeof(sink), MSG_DONTWAIT) > 0;) {
        }
    }
    g_assert_true(f->ended == 1 || f->frames > 0);
}

#define TEST(name) g_test_add("/link-wakes/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(one_wake);
    TEST(out_of_band);
    return g_test_run();
}
