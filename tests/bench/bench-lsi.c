/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The measuring half of `make bench-remote`: plays the VM's half towards a remote 53C895A with a
 * disk, and does what its standard input says, so that two of them can take turns.
 *
 *   bench-lsi mpqemu|vfio-user FD PID      a connected socket, and the process at its other end
 *   bench-lsi start N PROGRAM ARGS...      N times: fork, exec, first config reply (mpqemu); in
 *                                          ARGS, the FD of fd=FD is the descriptor's number
 *
 * Orders, one a line; each is answered by a line of names and values, times in nanoseconds:
 *
 *   regs N                                 N reads of ISTAT0 and N answered writes of SCRATCHA
 *   bare N                                 as many bytes over a socket pair, both ways, with a
 *                                          child that does nothing else
 *   posted N                               writes of SCRATCHA, and a read behind them
 *   load KIND BYTES DEPTH MS SEGMENTS [REGIONS]
 *                                          KIND: randread, randwrite, read, write; DEPTH commands
 *                                          of BYTES at a time, in SEGMENTS pieces; with REGIONS
 *                                          memory is announced anew, as so many, each millisecond
 *
 * Blocks are at multiples of BYTES all over the disk, from a seed that is always the same.
 */
#include "bench-client.h"
#include "bench-driver.h"
#include "remote/mpqemu-proto.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLES_MAX = 1 << 20, RESYNC_NS = 1000000 };

typedef struct Samples {
    uint64_t *ns;
    size_t n;
} Samples;

typedef struct Bench {
    BenchDriver driver;
    const BenchLinkOps *ops;
    pid_t pid;
    uint64_t blocks; /* of the disk, 512 bytes each */
    uint64_t random; /* state of a generator that never is 0 */
    Samples samples;
} Bench;

/* ---- samples ---- */

static void add_sample(Samples *s, uint64_t ns)
{
    if (s->n < SAMPLES_MAX) {
        s->ns[s->n++] = ns;
    }
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Prints name_p50 and name_p99, and forgets them. */
static void print_samples(Samples *s, const char *name)
{
    qsort(s->ns, s->n, sizeof(s->ns[0]), compare);
    if (s->n) {
        printf("%s_p50 %" PRIu64 " %s_p99 %" PRIu64 " ", name, s->ns[s->n / 2], name,
               s->ns[s->n * 99 / 100]);
    }
    s->n = 0;
}

/* ---- CPU time ---- */

static uint64_t cpu_ns(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) < 0) {
        bench_die("the remote has ended");
    }
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t remote_cpu_ns(const Bench *b)
{
    clockid_t clock;

    if (clock_getcpuclockid(b->pid, &clock) != 0) {
        bench_die("the remote has ended");
    }
    return cpu_ns(clock);
}

/* ---- registers ---- */

static void do_regs(Bench *b, long n)
{
    BenchLink *link = &b->driver.link;

    for (long i = 0; i < n; i++) {
        uint64_t begun = bench_now_ns();
        bench_reg_read(link, LSI_ISTAT0, 1);
        add_sample(&b->samples, bench_now_ns() - begun);
    }
    print_samples(&b->samples, "read");
    for (long i = 0; i < n; i++) {
        uint64_t begun = bench_now_ns();
        bench_reg_write(link, LSI_SCRATCHA, (uint64_t)i, 4);
        add_sample(&b->samples, bench_now_ns() - begun);
    }
    print_samples(&b->samples, "write");
}

static void do_posted(Bench *b, long n)
{
    BenchLink *link = &b->driver.link;
    uint64_t begun = bench_now_ns();

    for (long i = 1; i <= n; i++) {
        bench_reg_write(link, LSI_SCRATCHA, (uint64_t)i, 4);
    }
    if (bench_reg_read(link, LSI_SCRATCHA, 4) != (uint64_t)n) {
        bench_die("SCRATCHA does not have what was written last");
    }
    printf("per_second %" PRIu64 " ",
           (uint64_t)n * UINT64_C(1000000000) / (bench_now_ns() - begun));
}

/* Messages of a register access's sizes, answered by a child that does nothing else. */
static void do_bare(Bench *b, long n)
{
    struct {
        MpqHeader header;
        MpqBar bar;
    } request = { .header = { .cmd = MPQ_BAR_READ, .size = sizeof(MpqBar) } };
    MpqRet ret = { .header = { .cmd = MPQ_RET, .size = 8 } };
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        bench_die("socketpair: %s", strerror(errno));
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        while (recv(pair[1], &request, sizeof(request), MSG_WAITALL) == sizeof(request) &&
               send(pair[1], &ret, sizeof(ret), MSG_NOSIGNAL) == sizeof(ret)) {
        }
        _exit(0);
    }
    close(pair[1]);
    for (long i = 0; i < n; i++) {
        uint64_t begun = bench_now_ns();
        if (send(pair[0], &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request)) {
            bench_die("send: %s", strerror(errno));
        }
        bench_receive(pair[0], &ret, sizeof(ret));
        add_sample(&b->samples, bench_now_ns() - begun);
    }
    close(pair[0]);
    waitpid(child, NULL, 0);
    print_samples(&b->samples, "bare");
}

/* ---- load ---- */

typedef struct Load {
    char kind[16];
    unsigned bytes, depth, ms, segments, regions;
    bool in, random;
    uint64_t next; /* sequential: block of so many bytes */
    uint64_t begun[LSI_SCRIPT_TASKS];
    uint64_t synced;
} Load;

/* xorshift64 */
static uint64_t next_random(Bench *b)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

/* READ or WRITE, as short as the disk allows. */
static void make_cdb(const Bench *b, const Load *load, uint64_t lba, BenchCommand *command)
{
    const bool large = b->blocks > UINT32_MAX;
    const unsigned width = large ? 8 : 4, length_at = large ? 12 : 7, count = load->bytes / 512;
    uint8_t *cdb = command->cdb;

    command->cdb_len = large ? 16 : 10;
    cdb[0] = (large ? 0x88 : 0x28) | (load->in ? 0 : 2);
    for (unsigned i = 0; i < width; i++) {
        cdb[2 + i] = (uint8_t)(lba >> 8 * (width - 1 - i));
    }
    cdb[length_at] = (uint8_t)(count >> 8);
    cdb[length_at + 1] = (uint8_t)count;
}

static void submit(Bench *b, Load *load, unsigned index)
{
    const uint64_t places = b->blocks * 512 / load->bytes;
    const uint64_t place = load->random ? next_random(b) % places : load->next++ % places;
    BenchCommand command = { .in = load->in, .len = load->bytes, .segments = load->segments };

    make_cdb(b, load, place * (load->bytes / 512), &command);
    load->begun[index] = bench_now_ns();
    bench_driver_submit(&b->driver, index, &command);
}

static void resync(Bench *b, Load *load, uint64_t now)
{
    if (load->regions && now - load->synced >= RESYNC_NS) {
        bench_link_map(&b->driver.link, load->regions);
        load->synced = now;
    }
}

/* Returns how many have been completed; `now` is when the last one was. */
static uint64_t run_load(Bench *b, Load *load, uint64_t begun, uint64_t *now)
{
    unsigned done[LSI_SCRIPT_TASKS], out = load->depth;
    uint64_t total = 0;

    for (unsigned i = 0; i < load->depth; i++) {
        submit(b, load, i);
    }
    while (out > 0) {
        unsigned n = bench_driver_wait(&b->driver, done);
        *now = bench_now_ns();
        resync(b, load, *now);
        for (unsigned i = 0; i < n; i++) {
            add_sample(&b->samples, *now - load->begun[done[i]]);
        }
        total += n;
        out -= n;
        for (unsigned i = 0; i < n && *now - begun < load->ms * UINT64_C(1000000); i++, out++) {
            submit(b, load, done[i]);
        }
    }
    return total;
}

static void do_load(Bench *b, Load *load)
{
    BenchLink *link = &b->driver.link;
    uint64_t now = 0;

    load->in = strstr(load->kind, "read") != NULL;
    load->random = strncmp(load->kind, "rand", 4) == 0;
    if (load->bytes < 512 || load->bytes > DRIVER_BUFFER || load->bytes % 512 || load->depth < 1 ||
        load->depth > LSI_SCRIPT_TASKS || load->segments < 1 ||
        load->segments > LSI_SCRIPT_SEGMENTS || load->bytes % load->segments ||
        load->regions > BENCH_REGIONS_MAX) {
        bench_die("load: can't be done");
    }
    link->reads = link->writes = link->irqs = 0;
    const uint64_t remote = remote_cpu_ns(b), own = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
    const uint64_t begun = bench_now_ns();
    const uint64_t ios = run_load(b, load, begun, &now);
    printf("ios %" PRIu64 " ns %" PRIu64 " cpu_remote %" PRIu64 " cpu_client %" PRIu64
           " irqs %lu reg_reads %lu reg_writes %lu ",
           ios, now - begun, remote_cpu_ns(b) - remote, cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - own,
           link->irqs, link->reads, link->writes);
    print_samples(&b->samples, "io");
}

/* ---- orders ---- */

static void obey(Bench *b, const char *line)
{
    Load load = { 0 };
    char name[16];
    long n = 0;

    if (sscanf(line, "load %15s %u %u %u %u %u", load.kind, &load.bytes, &load.depth, &load.ms,
               &load.segments, &load.regions) >= 5) {
        do_load(b, &load);
    } else if (sscanf(line, "%15s %ld", name, &n) != 2 || n < 1) {
        bench_die("not an order: %s", line);
    } else if (strcmp(name, "regs") == 0) {
        do_regs(b, n);
    } else if (strcmp(name, "posted") == 0) {
        do_posted(b, n);
    } else if (strcmp(name, "bare") == 0) {
        do_bare(b, n);
    } else {
        bench_die("not an order: %s", line);
    }
    putchar('\n');
    fflush(stdout);
}

static int serve(const BenchLinkOps *ops, int sock, pid_t pid)
{
    static Bench b;
    char line[256];

    b = (Bench){ .ops = ops, .pid = pid, .random = 88172645463325252u };
    b.samples.ns = malloc(SAMPLES_MAX * sizeof(b.samples.ns[0]));
    if (!b.samples.ns) {
        bench_die("out of memory");
    }
    bench_driver_start(&b.driver, ops, sock);
    b.blocks = bench_driver_blocks(&b.driver);
    for (size_t i = 0; i < (size_t)LSI_SCRIPT_TASKS * DRIVER_BUFFER; i += 8) {
        uint64_t word = next_random(&b);
        memcpy(b.driver.link.ram + DRIVER_DATA + i, &word, sizeof(word));
    }
    printf("blocks %" PRIu64 "\n", b.blocks);
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        obey(&b, line);
    }
    return 0;
}

static int measure_start(long n, char **argv)
{
    for (long i = 0; i < n; i++) {
        const struct {
            MpqHeader header;
            MpqCfg cfg;
        } __attribute__((packed)) request = {
            .header = { .cmd = MPQ_PCI_CFGREAD, .size = sizeof(MpqCfg) },
            .cfg = { .len = 2 },
        };
        BenchProcess process;
        MpqRet ret;
        uint64_t begun = bench_now_ns();

        bench_spawn(&process, argv);
        if (send(process.sock, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request)) {
            bench_die("send: %s", strerror(errno));
        }
        bench_receive(process.sock, &ret, sizeof(ret));
        printf("start %" PRIu64 "\n", bench_now_ns() - begun);
        bench_finish(&process);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "start") == 0) {
        return measure_start(strtol(argv[2], NULL, 10), argv + 3);
    }
    if (argc == 4 && strcmp(argv[1], "mpqemu") == 0) {
        return serve(&bench_mpqemu_ops, atoi(argv[2]), atoi(argv[3]));
    }
    if (argc == 4 && strcmp(argv[1], "vfio-user") == 0) {
        return serve(&bench_vfio_user_ops, atoi(argv[2]), atoi(argv[3]));
    }
    fprintf(stderr, "usage: bench-lsi mpqemu|vfio-user FD PID | start N PROGRAM ARGS...\n");
    return 2;
}
