/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Storage and limits that fail while the process serves, or when it starts: the guest's command
 * ends with a sense that fits, or the process says in one line why it can't begin. It never
 * crashes, and what can be served afterwards is.
 *
 *   test-trouble --as WAY LOG PROGRAM ARGS...
 *
 * is how it starts the remote: with its standard error in LOG, under the limit or filter WAY names.
 */
#include "tests/bench/bench-client.h"
#include "tests/bench/bench-driver.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * KIB, CHUNK = 64 * KIB, SECTOR = 512 };
enum { GOOD = 0, CHECK_CONDITION = 2 };

static const char *self;

/* ---- the remote, under a limit ---- */

static void set_limit(int what, rlim_t to)
{
    const struct rlimit limit = { to, to };

    if (setrlimit(what, &limit) < 0) {
        bench_die("setrlimit: %s", strerror(errno));
    }
}

/* As a kernel without it, or a container's filter, answers. */
static void deny_io_uring(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { G_N_ELEMENTS(code), code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        bench_die("seccomp: %s", strerror(errno));
    }
}

static void G_GNUC_NORETURN run_as(const char *way, const char *log, char **argv)
{
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    dup2(fd, STDERR_FILENO);
    close(fd);
    if (strcmp(way, "no-io-uring") == 0) {
        deny_io_uring(ENOSYS);
    } else if (strcmp(way, "forbidden-io-uring") == 0) {
        deny_io_uring(EPERM);
    } else if (strcmp(way, "small-files") == 0) {
        set_limit(RLIMIT_FSIZE, MIB);
    } else if (strcmp(way, "no-locked-memory") == 0) {
        set_limit(RLIMIT_MEMLOCK, 0);
    } else if (g_str_has_prefix(way, "files=")) {
        set_limit(RLIMIT_NOFILE, strtoul(way + 6, NULL, 10));
    }
    execv(argv[0], argv);
    bench_die("%s: %s", argv[0], strerror(errno));
}

typedef struct Place {
    char *dir, *image, *log;
    char *device; /* on the image, or NULL */
    int device_fd;
    bool mounted;
    BenchProcess remote;
    BenchDriver driver;
} Place;

static void spawn(Place *p, const char *way, const char *drive)
{
    g_autofree char *option = g_strdup_printf("if=none,id=d,format=raw,file=%s%s",
                                              p->device ? p->device : p->image, drive);
    const char *argv[] = {
        self,
        "--as",
        way,
        p->log,
        g_getenv("QEMU_REMOTE"),
        "-machine",
        "x-remote",
        "-nodefaults",
        "-display",
        "none",
        "-device",
        "lsi53c895a,id=l",
        "-drive",
        option,
        "-device",
        "scsi-hd,drive=d,bus=l.0",
        "-object",
        "x-remote-object,id=o,devid=l,fd=FD",
        NULL,
    };

    bench_spawn(&p->remote, (char **)argv);
}

static void serve(Place *p, const char *way, const char *drive)
{
    spawn(p, way, drive);
    bench_driver_start(&p->driver, &bench_mpqemu_ops, p->remote.sock);
}

static char *read_log(const Place *p)
{
    char *text = NULL;

    g_assert_true(g_file_get_contents(p->log, &text, NULL, NULL));
    return text;
}

static void expect_log(const Place *p, const char *words)
{
    g_autofree char *text = read_log(p);

    if (!strstr(text, words)) {
        g_error("not in the log: %s; but: %s", words, text);
    }
}

/* ---- commands ---- */

/* At byte `at`; what is written is a pattern of it. */
static uint8_t transfer(Place *p, bool in, uint32_t at, uint32_t bytes)
{
    const uint32_t lba = at / SECTOR, count = bytes / SECTOR;
    const BenchCommand command = {
        .cdb = { in ? 0x28 : 0x2a, 0, lba >> 24, lba >> 16, lba >> 8, lba, 0, count >> 8, count },
        .cdb_len = 10,
        .in = in,
        .len = bytes,
        .segments = 1,
    };

    memset(bench_driver_buffer(&p->driver, 0), in ? 0xee : (int)(at / CHUNK + 1), bytes);
    return bench_driver_run(&p->driver, &command);
}

static void expect_bytes(Place *p, uint32_t at, uint32_t bytes, uint8_t value)
{
    g_assert_cmpint(transfer(p, true, at, bytes), ==, GOOD);
    for (uint32_t i = 0; i < bytes; i++) {
        g_assert_cmphex(bench_driver_buffer(&p->driver, 0)[i], ==, value);
    }
}

/* Sense key, code and qualifier. */
static uint32_t sense(Place *p)
{
    const BenchCommand command = {
        .cdb = { 0x03, 0, 0, 0, 18 },
        .cdb_len = 6,
        .in = true,
        .len = 18,
        .segments = 1,
    };
    const uint8_t *data = bench_driver_buffer(&p->driver, 0);

    g_assert_cmpint(bench_driver_run(&p->driver, &command), ==, GOOD);
    return (data[2] & 0xfu) << 16 | (uint32_t)data[12] << 8 | data[13];
}

/* ---- cases ---- */

static void enter(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    p->dir = g_strdup("/var/tmp/trouble-XXXXXX");
    g_assert_nonnull(g_mkdtemp(p->dir));
    p->image = g_strdup_printf("%s/image", p->dir);
    p->log = g_strdup_printf("%s.log", p->dir);
}

static void make_image(const Place *p, off_t size)
{
    int fd = open(p->image, O_RDWR | O_CREAT, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    close(fd);
}

/* The process has lived through it all. */
static void leave(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    if (p->remote.pid) {
        bench_finish(&p->remote);
    }
    if (p->device) {
        ioctl(p->device_fd, LOOP_CLR_FD, 0);
        close(p->device_fd);
        g_free(p->device);
    }
    g_unlink(p->image);
    if (p->mounted) { /* the kernel may not be done with the ring of a process that has ended */
        g_assert_cmpint(umount2(p->dir, MNT_DETACH), ==, 0);
    }
    g_assert_cmpint(g_rmdir(p->dir), ==, 0);
    g_unlink(p->log);
    g_free(p->dir);
    g_free(p->image);
    g_free(p->log);
}

static bool mount_small(Place *p)
{
    p->mounted = unshare(CLONE_NEWNS) == 0 &&
                 mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                 mount("tmpfs", p->dir, "tmpfs", 0, "size=1m") == 0;
    if (!p->mounted) {
        g_test_skip("no right to mount a small file system");
    }
    return p->mounted;
}

/* Writes until one fails; returns where. */
static uint32_t fill(Place *p)
{
    uint32_t at = 0;

    while (transfer(p, false, at, CHUNK) == GOOD) {
        at += CHUNK;
        g_assert_cmpuint(at, <, 4 * MIB);
    }
    return at;
}

static void test_full(Place *p, gconstpointer drive)
{
    g_autofree char *ballast = g_strdup_printf("%s/ballast", p->dir);
    static const char bytes[256 * KIB] = { 1 };
    uint32_t at;

    if (!mount_small(p)) {
        return;
    }
    g_assert_true(g_file_set_contents(ballast, bytes, sizeof(bytes), NULL));
    make_image(p, 4 * MIB);
    serve(p, "usual", drive);
    at = fill(p);
    g_assert_cmphex(sense(p), ==, 0x072707); /* DATA PROTECT, space allocation failed */
    expect_bytes(p, 0, CHUNK, 1);
    g_unlink(ballast);
    g_assert_cmpint(transfer(p, false, at, CHUNK), ==, GOOD);
    expect_bytes(p, at, CHUNK, (uint8_t)(at / CHUNK + 1));
}

static void test_file_size_limit(Place *p, gconstpointer drive)
{
    make_image(p, 4 * MIB);
    serve(p, "small-files", drive);
    g_assert_cmpuint(fill(p), ==, MIB);
    g_assert_cmphex(sense(p), ==, 0x030c00); /* MEDIUM ERROR, write error */
    expect_bytes(p, 0, CHUNK, 1);
    expect_bytes(p, 2 * MIB, CHUNK, 0);
}

/* What is gone reads as zeros, and can be written again. */
static void test_truncated(Place *p, gconstpointer drive)
{
    make_image(p, 4 * MIB);
    serve(p, "usual", drive);
    g_assert_cmpint(transfer(p, false, 0, CHUNK), ==, GOOD);
    g_assert_cmpint(transfer(p, false, 2 * MIB, CHUNK), ==, GOOD);
    g_assert_cmpint(truncate(p->image, CHUNK / 2), ==, 0);
    expect_bytes(p, 0, CHUNK / 2, 1);
    expect_bytes(p, CHUNK / 2, CHUNK, 0);
    expect_bytes(p, 2 * MIB, CHUNK, 0);
    g_assert_cmpint(transfer(p, false, 3 * MIB, CHUNK), ==, GOOD);
    expect_bytes(p, 3 * MIB, CHUNK, 3 * MIB / CHUNK + 1);
}

static void test_deleted(Place *p, gconstpointer drive)
{
    make_image(p, MIB);
    serve(p, "usual", drive);
    g_unlink(p->image);
    g_assert_cmpint(transfer(p, false, CHUNK, CHUNK), ==, GOOD);
    expect_bytes(p, CHUNK, CHUNK, 2);
}

/* A block device on the image. */
static bool make_device(Place *p)
{
    const struct loop_info64 info = { .lo_flags = LO_FLAGS_AUTOCLEAR }; /* if this ends early */
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), image, res = -1;

    p->device_fd = -1;
    for (int tries = 0; control >= 0 && res < 0 && tries < 10; tries++) { /* others want it, too */
        g_autofree char *path = g_strdup_printf("/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));

        p->device_fd = open(path, O_RDWR | O_CLOEXEC);
        image = open(p->image, O_RDWR | O_CLOEXEC);
        res = p->device_fd < 0 ? -1 : ioctl(p->device_fd, LOOP_SET_FD, image);
        close(image);
        if (res == 0) {
            ioctl(p->device_fd, LOOP_SET_STATUS64, &info);
            p->device = g_steal_pointer(&path);
        } else {
            close(p->device_fd);
        }
    }
    close(control);
    if (!p->device) {
        g_test_skip("no loop device to be had");
    }
    return p->device != NULL;
}

/* It is there, and has no blocks any more, as the kernel leaves a disk that is unplugged. */
static void test_vanished(Place *p, gconstpointer drive)
{
    make_image(p, 4 * MIB);
    if (!make_device(p)) {
        return;
    }
    serve(p, "usual", drive);
    g_assert_cmpint(transfer(p, false, CHUNK, CHUNK), ==, GOOD);
    expect_bytes(p, CHUNK, CHUNK, 2);
    g_assert_cmpint(truncate(p->image, 0), ==, 0);
    g_assert_cmpint(ioctl(p->device_fd, LOOP_SET_CAPACITY, 0), ==, 0);
    g_assert_cmpint(transfer(p, true, CHUNK, CHUNK), ==, CHECK_CONDITION);
    g_assert_cmphex(sense(p), ==, 0x031100); /* MEDIUM ERROR, unrecovered read error */
    g_assert_cmpint(transfer(p, false, CHUNK, CHUNK), ==, CHECK_CONDITION);
    g_assert_cmphex(sense(p), !=, 0);

    g_assert_cmpint(truncate(p->image, 4 * MIB), ==, 0);
    g_assert_cmpint(ioctl(p->device_fd, LOOP_SET_CAPACITY, 0), ==, 0);
    g_assert_cmpint(transfer(p, false, 2 * CHUNK, CHUNK), ==, GOOD);
    expect_bytes(p, 2 * CHUNK, CHUNK, 3);
}

/* Without a ring: the threads engine, and the log says so. */
static void test_no_io_uring(Place *p, gconstpointer way)
{
    make_image(p, MIB);
    serve(p, way, ",aio=io_uring");
    g_assert_cmpint(transfer(p, false, CHUNK, CHUNK), ==, GOOD);
    expect_bytes(p, CHUNK, CHUNK, 2);
    expect_log(p, "using aio=threads");
}

static void test_no_locked_memory(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    make_image(p, MIB);
    serve(p, "no-locked-memory", "");
    g_assert_cmpint(transfer(p, false, CHUNK, CHUNK), ==, GOOD);
    expect_bytes(p, CHUNK, CHUNK, 2);
}

/* With each number of descriptors it serves, or ends with status 1 and one line. */
static void test_few_descriptors(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    unsigned refused = 0, files = 6;
    bool served = false;

    make_image(p, MIB);
    for (; !served && files < 64; files++) {
        g_autofree char *way = g_strdup_printf("files=%u", files);
        char byte;
        int status;

        spawn(p, way, "");
        shutdown(p->remote.sock, SHUT_WR); /* who serves ends now, with status 0 */
        while (recv(p->remote.sock, &byte, 1, 0) > 0) {
        }
        close(p->remote.sock);
        waitpid(p->remote.pid, &status, 0);
        g_assert_true(WIFEXITED(status));
        served = WEXITSTATUS(status) == 0;
        if (!served) {
            g_autofree char *text = read_log(p);
            g_assert_cmpint(WEXITSTATUS(status), ==, 1);
            g_assert_true(g_str_has_prefix(text, "qemu-system-x86_64-remote: "));
            g_assert_cmpint(strchr(text, '\n') - text + 1, ==, strlen(text));
            refused++;
        }
    }
    p->remote.pid = 0;
    g_assert_true(served);
    g_assert_cmpuint(refused, >, 0);
}

#define CASE(name, data, fn) g_test_add("/trouble/" name, Place, data, enter, fn, leave)

int main(int argc, char **argv)
{
    if (argc > 4 && strcmp(argv[1], "--as") == 0) {
        run_as(argv[2], argv[3], argv + 4);
    }
    self = argv[0];
    g_test_init(&argc, &argv, NULL);
    if (!g_getenv("QEMU_REMOTE")) {
        g_print("1..0 # SKIP QEMU_REMOTE is not set\n");
        return 0;
    }
    CASE("full/io_uring", ",aio=io_uring", test_full);
    CASE("full/threads", ",aio=threads", test_full);
    CASE("file-size-limit/io_uring", ",aio=io_uring", test_file_size_limit);
    CASE("file-size-limit/threads", ",aio=threads", test_file_size_limit);
    CASE("truncated/io_uring", ",aio=io_uring", test_truncated);
    CASE("truncated/threads", ",aio=threads", test_truncated);
    CASE("deleted", "", test_deleted);
    CASE("vanished/io_uring", ",aio=io_uring", test_vanished);
    CASE("vanished/io_uring-direct", ",aio=io_uring,cache=none", test_vanished);
    CASE("vanished/threads", ",aio=threads", test_vanished);
    CASE("vanished/threads-direct", ",aio=threads,cache=none", test_vanished);
    CASE("no-io_uring/missing", "no-io-uring", test_no_io_uring);
    CASE("no-io_uring/forbidden", "forbidden-io-uring", test_no_io_uring);
    CASE("no-locked-memory", NULL, test_no_locked_memory);
    CASE("few-descriptors", NULL, test_few_descriptors);
    return g_test_run();
}
