/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has been flushed is in the image whatever happens to the process: it is killed (SIGKILL) in
 * the middle of a load of writes, again and again, and the file is compared with what had been
 * promised. Once for each engine and cache mode.
 *
 * A child plays the guest, with the bench's driver: DEPTH commands at a time, each a write of one
 * block, some with FUA, and now and then a SYNCHRONIZE CACHE. A block says which one it is and how
 * often it has been written, under a checksum. In shared memory the child notes for each block the
 * last write that it sent, that was acknowledged, and that was promised: acknowledged before a
 * flush was sent that has come back, or with FUA, or with the write cache off. After so many
 * acknowledgements, a number from a fixed seed, the parent kills the remote; the child ends when
 * its socket does. Then no block may be older than promised, newer than sent, or torn.
 *
 *   $KILL_ROUNDS   kills for each way; default 2
 */
#include "tests/bench/bench-client.h"
#include "tests/bench/bench-driver.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BLOCK = 4096,
    BLOCKS = 256,
    DEPTH = 8,
    MAGIC = 0x6b696c6c,
    ACKS_MAX = 600,
    WAIT_S = 60,
};

typedef struct Content {
    uint32_t magic, block, version, sum;
    uint8_t data[BLOCK - 16];
} Content;
G_STATIC_ASSERT(sizeof(Content) == BLOCK);

typedef struct Block {
    uint32_t sent, acked, promised; /* versions */
} Block;

typedef struct Shared {
    gint acks;
    Block block[BLOCKS];
} Shared;

typedef struct Way {
    const char *aio, *cache;
    bool write_cache;
} Way;

/* ---- the guest ---- */

typedef enum What { WRITE, WRITE_FUA, FLUSH } What;

typedef struct Guest {
    BenchDriver driver;
    Shared *shared;
    GRand *rand;
    bool write_cache;
    bool busy[BLOCKS];
    What what[DEPTH];
    uint32_t block[DEPTH], version[DEPTH];
    uint32_t acked_before[DEPTH][BLOCKS]; /* of a flush */
} Guest;

static uint32_t checksum(const Content *c)
{
    uint32_t sum = c->block * 31 + c->version;

    for (size_t i = 0; i < sizeof(c->data); i++) {
        sum = sum * 16777619u ^ c->data[i];
    }
    return sum;
}

static void send_flush(Guest *g, unsigned i)
{
    const BenchCommand command = { .cdb = { 0x35 }, .cdb_len = 10 };

    g->what[i] = FLUSH;
    for (unsigned b = 0; b < BLOCKS; b++) {
        g->acked_before[i][b] = g->shared->block[b].acked;
    }
    bench_driver_submit(&g->driver, i, &command);
}

static void send_write(Guest *g, unsigned i)
{
    const bool fua = g_rand_int_range(g->rand, 0, 8) == 0;
    uint32_t b;

    do {
        b = g_rand_int_range(g->rand, 0, BLOCKS);
    } while (g->busy[b]); /* which of two would be the newer one? */
    g->busy[b] = true;
    g->what[i] = fua ? WRITE_FUA : WRITE;
    g->block[i] = b;
    g->version[i] = ++g->shared->block[b].sent;

    Content *c = (Content *)(void *)bench_driver_buffer(&g->driver, i);
    *c = (Content){ .magic = MAGIC, .block = b, .version = g->version[i] };
    memset(c->data, (int)g_rand_int(g->rand), sizeof(c->data));
    c->sum = checksum(c);
    const uint32_t lba = b * (BLOCK / 512);
    const BenchCommand command = {
        .cdb = { 0x2a, fua ? 0x08 : 0, 0, 0, lba >> 8, lba, 0, 0, BLOCK / 512 },
        .cdb_len = 10,
        .len = BLOCK,
        .segments = 1 + 3 * (b & 1),
    };
    bench_driver_submit(&g->driver, i, &command);
}

static void send_next(Guest *g, unsigned i)
{
    if (g_rand_int_range(g->rand, 0, 12) == 0) {
        send_flush(g, i);
    } else {
        send_write(g, i);
    }
}

static void acknowledged(Guest *g, unsigned i)
{
    Block *block = &g->shared->block[g->block[i]];

    if (g->what[i] == FLUSH) {
        for (unsigned b = 0; b < BLOCKS; b++) {
            Block *flushed = &g->shared->block[b];
            flushed->promised = MAX(flushed->promised, g->acked_before[i][b]);
        }
    } else {
        block->acked = g->version[i];
        if (g->what[i] == WRITE_FUA || !g->write_cache) {
            block->promised = g->version[i];
        }
        g->busy[g->block[i]] = false;
    }
    g_atomic_int_inc(&g->shared->acks);
}

/* Ends with the connection. */
static void G_GNUC_NORETURN play_guest(Shared *shared, const Way *way, int sock, uint32_t seed)
{
    unsigned done[LSI_SCRIPT_TASKS];
    static Guest g;

    g = (Guest){ .shared = shared, .rand = g_rand_new_with_seed(seed) };
    g.write_cache = way->write_cache;
    bench_driver_start(&g.driver, &bench_mpqemu_ops, sock);
    for (unsigned i = 0; i < DEPTH; i++) {
        send_next(&g, i);
    }
    for (;;) {
        unsigned n = bench_driver_wait(&g.driver, done);
        for (unsigned i = 0; i < n; i++) {
            acknowledged(&g, done[i]);
            send_next(&g, done[i]);
        }
    }
}

/* ---- the comparison ---- */

/* The kernel goes on with what a ring had in flight; the image locks last as long. */
static void wait_unlocked(const char *path)
{
    const gint64 end = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct flock lock;

    g_assert_cmpint(fd, >=, 0);
    do {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        lock = (struct flock){ .l_type = F_WRLCK, .l_start = 100, .l_len = 200 };
        g_assert_cmpint(fcntl(fd, F_OFD_GETLK, &lock), ==, 0);
        g_usleep(lock.l_type == F_UNLCK ? 0 : 1000);
    } while (lock.l_type != F_UNLCK);
    close(fd);
}

static void check_image(const char *path, const Shared *shared)
{
    Content c;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    for (unsigned b = 0; b < BLOCKS; b++) {
        const Block *block = &shared->block[b];

        g_assert_cmpint(pread(fd, &c, sizeof(c), (off_t)b * BLOCK), ==, sizeof(c));
        if (c.magic == 0 && c.sum == 0) { /* never written */
            g_assert_cmpuint(block->promised, ==, 0);
            continue;
        }
        g_assert_cmphex(c.magic, ==, MAGIC);
        g_assert_cmpuint(c.block, ==, b);
        g_assert_cmphex(c.sum, ==, checksum(&c));
        g_assert_cmpuint(c.version, >=, block->promised);
        g_assert_cmpuint(c.version, <=, block->sent);
    }
    close(fd);
}

/* A write that was under way may have been done or not; the next round counts from what is there.
 */
static void take_over(const char *path, Shared *shared)
{
    Content c;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    for (unsigned b = 0; b < BLOCKS; b++) {
        Block *block = &shared->block[b];
        g_assert_cmpint(pread(fd, &c, sizeof(c), (off_t)b * BLOCK), ==, sizeof(c));
        block->sent = block->acked = c.version;
    }
    close(fd);
}

/* ---- the cases ---- */

static void spawn_remote(BenchProcess *process, const Way *way, const char *path)
{
    g_autofree char *drive = g_strdup_printf("if=none,id=d,format=raw,file=%s,cache=%s,aio=%s",
                                             path, way->cache, way->aio);
    char *argv[] = { (char *)g_getenv("QEMU_REMOTE"),
                     (char *)"-machine",
                     (char *)"x-remote",
                     (char *)"-nodefaults",
                     (char *)"-display",
                     (char *)"none",
                     (char *)"-device",
                     (char *)"lsi53c895a,id=l",
                     (char *)"-drive",
                     drive,
                     (char *)"-device",
                     (char *)"scsi-hd,drive=d,bus=l.0",
                     (char *)"-object",
                     (char *)"x-remote-object,id=o,devid=l,fd=FD",
                     NULL };

    bench_spawn(process, argv);
}

static void kill_once(const Way *way, const char *path, Shared *shared, GRand *rand)
{
    const gint enough = g_rand_int_range(rand, 1, ACKS_MAX);
    const uint32_t seed = g_rand_int(rand);
    const gint64 end = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;
    BenchProcess remote;
    int status;

    shared->acks = 0;
    spawn_remote(&remote, way, path);
    pid_t guest = fork();
    if (guest == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO); /* what it says of the end */
        play_guest(shared, way, remote.sock, seed);
    }
    close(remote.sock);
    while (g_atomic_int_get(&shared->acks) < enough && waitpid(guest, &status, WNOHANG) == 0) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(100);
    }
    g_assert_cmpint(shared->acks, >=, enough); /* it hasn't ended before */
    g_assert_cmpint(kill(remote.pid, SIGKILL), ==, 0);
    waitpid(remote.pid, &status, 0);
    g_assert_true(WIFSIGNALED(status));
    waitpid(guest, &status, 0);
    wait_unlocked(path);
    check_image(path, shared);
    take_over(path, shared);
}

static unsigned rounds(void)
{
    const char *text = g_getenv("KILL_ROUNDS");

    return text ? (unsigned)strtoul(text, NULL, 10) : 2;
}

static void test_kill(gconstpointer data)
{
    const Way *way = data;
    g_autofree char *path = g_strdup("/var/tmp/kill-XXXXXX");
    g_autoptr(GRand) rand = g_rand_new_with_seed(6021977);
    int fd = g_mkstemp(path);
    Shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, BLOCKS * BLOCK), ==, 0);
    close(fd);
    fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (fd < 0 && (strcmp(way->cache, "none") == 0 || strcmp(way->cache, "directsync") == 0)) {
        g_test_skip("no O_DIRECT in /var/tmp");
    } else {
        for (unsigned n = rounds(); n > 0; n--) {
            kill_once(way, path, shared, rand);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    munmap(shared, sizeof(*shared));
    g_unlink(path);
}

int main(int argc, char **argv)
{
    static const Way ways[] = {
        { "io_uring", "none", true },          { "io_uring", "writeback", true },
        { "io_uring", "writethrough", false }, { "io_uring", "directsync", false },
        { "threads", "none", true },           { "threads", "writeback", true },
        { "threads", "writethrough", false },  { "threads", "directsync", false },
    };

    g_test_init(&argc, &argv, NULL);
    if (!g_getenv("QEMU_REMOTE")) {
        g_print("1..0 # SKIP QEMU_REMOTE is not set\n");
        return 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        g_autofree char *name = g_strdup_printf("/kill/%s/%s", ways[i].aio, ways[i].cache);
        g_test_add_data_func(name, &ways[i], test_kill);
    }
    return g_test_run();
}
