/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-sandbox-test: does what somebody would who has taken over the process, when that serves, and
 * logs what came of it. For the project's own tests: no shipped profile has it.
 *
 *   -object x-sandbox-test,id=ID,attempt=NAME[,thread=on]
 *
 * With thread=on the attempt is made by a thread that was there before the filter.
 *
 * The attempts through io_uring use a ring of the process's own block engine, which has to be there
 * already: the object stands behind the one that serves the disk. Whoever has a ring's descriptor
 * can map it and put entries into it, without any call of liburing. Where things are in it is found
 * out before the filter, from a ring of the same size made for that.
 *
 * Main thread, or the one it starts.
 */
#include "system/object.h"
#include "system/thread.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096u
#define X32_BIT 0x40000000
#define RING_FDS 64 /* where the engine's is looked for */

/* Somebody else's ring, mapped a second time. */
typedef struct Ring {
    int fd;
    uint8_t *rings;
    struct io_uring_sqe *sqes;
    struct io_uring_params p;
} Ring;

typedef struct Attempt Attempt;

typedef struct SandboxTest {
    char *name;
    bool on_thread;
    const Attempt *attempt;
    void *page; /* of memory that may be written */
    Ring ring;
    GThread *thread;
    sem_t go;
} SandboxTest;

struct Attempt {
    const char *name;
    long (*run)(SandboxTest *t); /* as syscall() returns */
    bool needs_ring;
};

/* --- system calls --- */

static long try_execve(SandboxTest *t G_GNUC_UNUSED)
{
    char *const none[] = { NULL };

    return syscall(SYS_execve, "/bin/true", none, none);
}

static long try_open(SandboxTest *t G_GNUC_UNUSED)
{
    return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static long try_stat(SandboxTest *t)
{
    return syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", t->page, 0);
}

static long try_unlink(SandboxTest *t G_GNUC_UNUSED)
{
    return syscall(SYS_unlink, "/etc/there-is-none");
}

static long try_socket(SandboxTest *t G_GNUC_UNUSED)
{
    return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static long try_ptrace(SandboxTest *t G_GNUC_UNUSED)
{
    return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static long try_mmap_exec(SandboxTest *t G_GNUC_UNUSED)
{
    return syscall(SYS_mmap, NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long try_mprotect_exec(SandboxTest *t)
{
    return syscall(SYS_mprotect, t->page, PAGE, PROT_READ | PROT_EXEC);
}

static long try_fork(SandboxTest *t G_GNUC_UNUSED)
{
    long child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (child == 0) {
        _exit(0);
    }
    return child;
}

/* A thread in a user namespace of its own would have all capabilities there. */
static long try_clone_namespace(SandboxTest *t G_GNUC_UNUSED)
{
    return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
}

static long try_clone3(SandboxTest *t)
{
    return syscall(SYS_clone3, t->page, 64);
}

static long try_kill(SandboxTest *t G_GNUC_UNUSED)
{
    return syscall(SYS_tgkill, 1, 1, 0);
}

static long try_ioctl(SandboxTest *t)
{
    return syscall(SYS_ioctl, STDIN_FILENO, FIONREAD, t->page);
}

static long try_prctl(SandboxTest *t G_GNUC_UNUSED)
{
    return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long try_futex(SandboxTest *t)
{
    return syscall(SYS_futex, t->page, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
}

static long try_ring_setup(SandboxTest *t)
{
    return syscall(SYS_io_uring_setup, 4, t->page);
}

static long try_ring_register(SandboxTest *t)
{
    return syscall(SYS_io_uring_register, t->ring.fd, IORING_REGISTER_PERSONALITY, NULL, 0);
}

static long try_x32(SandboxTest *t G_GNUC_UNUSED)
{
    return syscall(X32_BIT | SYS_getpid);
}

/* --- what the C library does late --- */

/* The heap of a thread shrinks. */
static long try_shrink(SandboxTest *t G_GNUC_UNUSED)
{
    void *blocks[64];

    for (unsigned i = 0; i < G_N_ELEMENTS(blocks); i++) {
        blocks[i] = g_malloc(100 << 10);
    }
    for (unsigned i = G_N_ELEMENTS(blocks); i > 0; i--) {
        g_free(blocks[i - 1]);
    }
    return 0;
}

/* What the text of an error takes, and that of a failed assertion. */
static long try_message(SandboxTest *t G_GNUC_UNUSED)
{
    g_autofree char *text = g_locale_from_utf8(g_strerror(EHWPOISON), -1, NULL, NULL, NULL);

    return text ? 0 : -1;
}

/* --- io_uring --- */

static uint32_t *ring_word(const Ring *ring, uint32_t offset)
{
    return (uint32_t *)(void *)(ring->rings + offset);
}

static bool map_ring(Ring *ring, GError **errp)
{
    size_t rings = ring->p.sq_off.array + ring->p.sq_entries * sizeof(uint32_t);
    size_t sqes = ring->p.sq_entries * sizeof(struct io_uring_sqe);
    int prot = PROT_READ | PROT_WRITE;

    ring->rings = mmap(NULL, rings, prot, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
    ring->sqes = mmap(NULL, sqes, prot, MAP_SHARED, ring->fd, IORING_OFF_SQES);
    return (ring->rings != MAP_FAILED && ring->sqes != MAP_FAILED) ||
           error_set(errp, "can't map the ring: %s", g_strerror(errno));
}

/* Fills in p as it is for a ring of that many entries. */
static bool learn_ring(Ring *ring, unsigned entries, GError **errp)
{
    memset(&ring->p, 0, sizeof(ring->p));
    AUTO_FD fd = syscall(SYS_io_uring_setup, entries, &ring->p);

    return fd >= 0 || error_set(errp, "no io_uring: %s", g_strerror(errno));
}

static int find_ring(void)
{
    for (int fd = STDERR_FILENO + 1; fd < RING_FDS; fd++) {
        char path[32], target[32] = "";

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof(target) - 1) > 0 &&
            strcmp(target, "anon_inode:[io_uring]") == 0) {
            return fd;
        }
    }
    return -1;
}

static bool open_ring(Ring *ring, GError **errp)
{
    ring->fd = find_ring();
    if (ring->fd < 0) {
        return error_set(errp, "no block engine of this process has an io_uring");
    }
    if (!learn_ring(ring, 1, errp)) {
        return false;
    }
    uint8_t *head = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
    if (head == MAP_FAILED) {
        return error_set(errp, "can't map the ring: %s", g_strerror(errno));
    }
    unsigned entries = *(uint32_t *)(void *)(head + ring->p.sq_off.ring_entries);
    munmap(head, PAGE);
    return learn_ring(ring, entries, errp) && map_ring(ring, errp);
}

/* One entry; what its completion says. The engine's thread may take the completion first, so it
 * isn't waited for in the kernel, which would go on for ever then. */
static long ring_run(Ring *ring, const struct io_uring_sqe *sqe)
{
    uint32_t tail = *ring_word(ring, ring->p.sq_off.tail);
    uint32_t mask = *ring_word(ring, ring->p.sq_off.ring_mask);
    uint32_t cq_head = *ring_word(ring, ring->p.cq_off.head);
    uint32_t cq_mask = *ring_word(ring, ring->p.cq_off.ring_mask);

    ring->sqes[tail & mask] = *sqe;
    ring_word(ring, ring->p.sq_off.array)[tail & mask] = tail & mask;
    atomic_store((_Atomic uint32_t *)ring_word(ring, ring->p.sq_off.tail), tail + 1);
    if (syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0) < 0) {
        return -1;
    }
    while (atomic_load((_Atomic uint32_t *)ring_word(ring, ring->p.cq_off.tail)) == cq_head) {
        poll(NULL, 0, 1);
    }
    const struct io_uring_cqe *cqes = (void *)(ring->rings + ring->p.cq_off.cqes);
    int res = cqes[cq_head & cq_mask].res;
    atomic_store((_Atomic uint32_t *)ring_word(ring, ring->p.cq_off.head), cq_head + 1);
    if (res < 0) {
        errno = -res;
        return -1;
    }
    return res;
}

static long try_ring_openat(SandboxTest *t)
{
    const struct io_uring_sqe sqe = {
        .opcode = IORING_OP_OPENAT,
        .fd = AT_FDCWD,
        .addr = (uintptr_t)"/etc/passwd",
        .open_flags = O_RDONLY,
    };

    return ring_run(&t->ring, &sqe);
}

static long try_ring_socket(SandboxTest *t)
{
    const struct io_uring_sqe sqe = {
        .opcode = IORING_OP_SOCKET,
        .fd = AF_INET,
        .off = SOCK_STREAM,
    };

    return ring_run(&t->ring, &sqe);
}

/* That an entry that the ring allows does run shows that those above were well made. It must be on
 * the registered file. */
static long try_ring_read(SandboxTest *t)
{
    const struct io_uring_sqe sqe = {
        .opcode = IORING_OP_READ,
        .flags = IOSQE_FIXED_FILE,
        .fd = 0,
        .addr = (uintptr_t)t->page,
        .len = 512,
    };

    return ring_run(&t->ring, &sqe);
}

/* --- the object --- */

static const Attempt attempts[] = {
    { "execve", try_execve, false },
    { "open", try_open, false },
    { "stat", try_stat, false },
    { "unlink", try_unlink, false },
    { "socket", try_socket, false },
    { "ptrace", try_ptrace, false },
    { "mmap-exec", try_mmap_exec, false },
    { "mprotect-exec", try_mprotect_exec, false },
    { "fork", try_fork, false },
    { "clone-namespace", try_clone_namespace, false },
    { "clone3", try_clone3, false },
    { "kill", try_kill, false },
    { "ioctl", try_ioctl, false },
    { "prctl", try_prctl, false },
    { "futex", try_futex, false },
    { "x32", try_x32, false },
    { "shrink", try_shrink, false },
    { "message", try_message, false },
    { "ring-setup", try_ring_setup, false },
    { "ring-register", try_ring_register, true },
    { "ring-openat", try_ring_openat, true },
    { "ring-socket", try_ring_socket, true },
    { "ring-read", try_ring_read, true },
};

static const OptDesc sandbox_test_props[] = {
    { .name = "attempt",
      .type = OPT_STRING,
      .offset = offsetof(SandboxTest, name),
      .help = "what to do" },
    { .name = "thread",
      .type = OPT_BOOL,
      .offset = offsetof(SandboxTest, on_thread),
      .help = "on: not on the main thread" },
    { .type = OPT_END }
};

static void run(SandboxTest *t)
{
    long res = t->attempt->run(t);

    if (res < 0) {
        log_line("sandbox-test", "%s: %s", t->name, g_strerror(errno));
    } else {
        log_line("sandbox-test", "%s: done, %ld", t->name, res);
    }
}

static void *run_on_thread(void *opaque)
{
    SandboxTest *t = opaque;

    sem_wait(&t->go);
    if (!t->attempt) {
        return NULL;
    }
    run(t);
    return NULL;
}

static bool sandbox_test_create(Object *obj, GError **errp)
{
    SandboxTest *t = obj->state;

    for (unsigned i = 0; i < G_N_ELEMENTS(attempts); i++) {
        if (g_strcmp0(attempts[i].name, t->name) == 0) {
            t->attempt = &attempts[i];
        }
    }
    return t->attempt || error_set(errp, "there is no attempt '%s'", t->name ? t->name : "");
}

static bool sandbox_test_prepare(Object *obj, GError **errp)
{
    SandboxTest *t = obj->state;

    sem_init(&t->go, 0, 0);
    t->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->page == MAP_FAILED || (t->attempt->needs_ring && !open_ring(&t->ring, errp))) {
        return false;
    }
    if (t->on_thread) {
        t->thread = thread_start("sandbox-test", run_on_thread, t, errp);
    }
    return !t->on_thread || t->thread;
}

static void sandbox_test_serve(Object *obj)
{
    SandboxTest *t = obj->state;

    if (t->thread) {
        sem_post(&t->go);
        g_thread_join(g_steal_pointer(&t->thread));
    } else {
        run(t);
    }
    object_ended(obj);
}

static void sandbox_test_stop(Object *obj G_GNUC_UNUSED)
{
}

static void sandbox_test_destroy(Object *obj)
{
    SandboxTest *t = obj->state;

    if (t->thread) { /* never served */
        t->attempt = NULL;
        sem_post(&t->go);
        g_thread_join(t->thread);
    }
    if (t->page && t->page != MAP_FAILED) {
        munmap(t->page, PAGE);
    }
}

const ObjectType sandbox_test_type = {
    .name = "x-sandbox-test",
    .desc = "does what the sandbox forbids",
    .props = sandbox_test_props,
    .size = sizeof(SandboxTest),
    .create = sandbox_test_create,
    .prepare = sandbox_test_prepare,
    .serve = sandbox_test_serve,
    .stop = sandbox_test_stop,
    .destroy = sandbox_test_destroy,
};
