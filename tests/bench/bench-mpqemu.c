/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timing half of `make bench-remote`: plays the proxy towards one remote process and takes the
 * time of what it does. tests/bench/bench-remote starts it and makes tables of what it prints.
 *
 *   bench-mpqemu start N PROGRAM ARGS...     N times: fork, exec, first config reply
 *   bench-mpqemu run N PROGRAM ARGS...       one process: memory after one disk read through the
 *                                            LSI, then N register reads, then N disk reads
 *   bench-mpqemu bare N                      N exchanges of the same sizes over a socket pair
 *                                            with a child that does nothing else
 *
 * In ARGS the word FD stands for the number of the inherited descriptor, DISK must be at SCSI id 0.
 * Each line of output is a name and a value; times are in nanoseconds, sizes in KiB.
 *
 * A disk read is what a firmware driver does (53C895A manual, SCRIPTS): a script in guest memory
 * selects the disk, sends IDENTIFY and the CDB, takes data, status and message, and interrupts.
 * The interrupt is waited for on the eventfd, as KVM would; nothing is polled.
 */
#include "bench-client.h"
#include "remote/mpqemu-proto.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    RAM_SIZE = 16 << 20,
    SCRIPT_AT = 0x1000, /* guest addresses of what a command needs */
    IDENTIFY_AT = 0x2000,
    CDB_AT = 0x2010,
    STATUS_AT = 0x2020,
    MESSAGE_AT = 0x2030,
    DATA_AT = 0x10000,

    MMIO_BASE = 0xe0000000, /* BAR 1: the registers */
    REG_ISTAT0 = 0x14,
    REG_DSTAT = 0x0c,
    REG_DSP = 0x2c,
    REG_DIEN = 0x39,
    REG_SIEN0 = 0x40,
    REG_SIEN1 = 0x41,
    REG_SIST0 = 0x42,
    DSTAT_SIR = 0x04,

    BLOCK = 4096,
    SECTOR = 512,
};

typedef struct Remote {
    BenchProcess process;
    int irq;
    int resample;
    int ram_fd;
    uint8_t *ram;
} Remote;

static void send_message(int sock, MpqCmd cmd, const void *payload, size_t size, const int *fds,
                         size_t n_fds)
{
    MpqHeader header = { .cmd = cmd, .size = size };
    struct iovec iov[] = { { &header, sizeof(header) }, { (void *)payload, size } };
    union {
        char bytes[CMSG_SPACE(sizeof(int) * MPQ_MAX_REGIONS)];
        struct cmsghdr align;
    } control;
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = size ? 2 : 1 };

    if (n_fds) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    if (sendmsg(sock, &msg, MSG_NOSIGNAL) != (ssize_t)(sizeof(header) + size)) {
        bench_die("command %d: can't be sent: %s", cmd, strerror(errno));
    }
}

static uint64_t reply(int sock)
{
    MpqHeader header;
    uint64_t value = 0;

    bench_receive(sock, &header, sizeof(header));
    if (header.cmd != MPQ_RET || header.size > sizeof(value)) {
        bench_die("not a reply: command %d, size %" PRIu64, header.cmd, header.size);
    }
    bench_receive(sock, &value, header.size);
    return value;
}

static uint64_t config_read(const Remote *r, uint32_t addr, int32_t len)
{
    MpqCfg cfg = { .addr = addr, .len = len };

    send_message(r->process.sock, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg), NULL, 0);
    return reply(r->process.sock);
}

static void config_write(const Remote *r, uint32_t addr, uint32_t value, int32_t len)
{
    MpqCfg cfg = { .addr = addr, .value = value, .len = len };

    send_message(r->process.sock, MPQ_PCI_CFGWRITE, &cfg, sizeof(cfg), NULL, 0);
    reply(r->process.sock);
}

static uint64_t reg_read(const Remote *r, uint32_t reg, uint32_t size)
{
    MpqBar bar = { .addr = MMIO_BASE + (uint64_t)reg, .size = size, .memory = 1 };

    send_message(r->process.sock, MPQ_BAR_READ, &bar, sizeof(bar), NULL, 0);
    return reply(r->process.sock);
}

static void reg_write(const Remote *r, uint32_t reg, uint32_t size, uint64_t value)
{
    MpqBar bar = { .addr = MMIO_BASE + (uint64_t)reg, .value = value, .size = size, .memory = 1 };

    send_message(r->process.sock, MPQ_BAR_WRITE, &bar, sizeof(bar), NULL, 0);
    reply(r->process.sock);
}

/* Guest memory, interrupt and BAR as a VM's firmware would leave them. */
static void set_up(Remote *r)
{
    const MpqSysmem map = { .size = { RAM_SIZE } };

    r->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    if (r->ram_fd < 0 || ftruncate(r->ram_fd, RAM_SIZE) < 0) {
        bench_die("memfd: %s", strerror(errno));
    }
    r->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, r->ram_fd, 0);
    if (r->ram == MAP_FAILED) {
        bench_die("mmap: %s", strerror(errno));
    }
    r->irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->resample = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    send_message(r->process.sock, MPQ_SYNC_SYSMEM, &map, sizeof(map), &r->ram_fd, 1);
    send_message(r->process.sock, MPQ_SET_IRQFD, NULL, 0, (const int[]){ r->irq, r->resample }, 2);
    send_message(r->process.sock, MPQ_DEVICE_RESET, NULL, 0, NULL, 0);
    reply(r->process.sock);
    if (config_read(r, 0, 4) != 0x00121000) {
        bench_die("not a 53C895A: ids %08" PRIx64, config_read(r, 0, 4));
    }
    config_write(r, 0x14, MMIO_BASE, 4);
    config_write(r, 0x04, 6, 2); /* memory, bus master */
    reg_write(r, REG_DIEN, 1, 0x7d);
    reg_write(r, REG_SIEN0, 1, 0x8f);
    reg_write(r, REG_SIEN1, 1, 0x04);
}

static void put_script(const Remote *r, uint32_t cdb_len, uint32_t data_len)
{
    const uint32_t script[] = {
        0x40000000, 0,                                  /* select id 0 */
        0x06000001, IDENTIFY_AT,                        /* MSG-OUT */
        0x02000000 | cdb_len, CDB_AT,                   /* COMMAND */
        0x87820000, 0x18,                               /* jump over three unless MSG-IN */
        0x07000002, MESSAGE_AT,                         /* SAVE DATA POINTERS, DISCONNECT */
        0x50000000, 0,                                  /* wait for reselection */
        0x07000002, MESSAGE_AT,                         /* IDENTIFY */
        data_len ? 0x01000000 | data_len : 0x80000000, data_len ? DATA_AT : 0, /* DATA-IN or none */
        0x03000001, STATUS_AT,                          /* STATUS */
        0x07000001, MESSAGE_AT,                         /* COMMAND COMPLETE */
        0x98080000, 0,                                  /* interrupt */
    };

    memcpy(r->ram + SCRIPT_AT, script, sizeof(script));
    r->ram[IDENTIFY_AT] = 0x80;
}

/* Starts the script and waits for its interrupt; returns the SCSI status. */
static uint8_t run_script(const Remote *r)
{
    struct pollfd irq = { .fd = r->irq, .events = POLLIN };
    uint64_t count;

    r->ram[STATUS_AT] = 0xff;
    reg_write(r, REG_DSP, 4, SCRIPT_AT);
    if (poll(&irq, 1, BENCH_SILENCE * 1000) != 1) {
        bench_die("no interrupt; ISTAT0 %02" PRIx64, reg_read(r, REG_ISTAT0, 1));
    }
    if (read(r->irq, &count, sizeof(count)) != sizeof(count)) {
        bench_die("eventfd: %s", strerror(errno));
    }
    uint64_t dstat = reg_read(r, REG_DSTAT, 1);
    if (!(dstat & DSTAT_SIR)) {
        bench_die("the script stopped: DSTAT %02" PRIx64 " SIST %04" PRIx64 " DSP %08" PRIx64,
                  dstat, reg_read(r, REG_SIST0, 2), reg_read(r, REG_DSP, 4));
    }
    return r->ram[STATUS_AT];
}

/* The first command after a reset gets UNIT ATTENTION. */
static void wait_ready(const Remote *r)
{
    put_script(r, 6, 0);
    memset(r->ram + CDB_AT, 0, 16);
    for (int tries = 0; run_script(r) != 0; tries++) {
        if (tries == 5) {
            bench_die("the disk does not become ready: status %02x", r->ram[STATUS_AT]);
        }
    }
}

static uint32_t disk_blocks(const Remote *r)
{
    put_script(r, 10, 8);
    memset(r->ram + CDB_AT, 0, 16);
    r->ram[CDB_AT] = 0x25; /* READ CAPACITY(10) */
    if (run_script(r) != 0) {
        bench_die("READ CAPACITY: status %02x", r->ram[STATUS_AT]);
    }
    const uint8_t *last = r->ram + DATA_AT;
    uint32_t sectors = ((uint32_t)last[0] << 24 | last[1] << 16 | last[2] << 8 | last[3]) + 1;
    return sectors / (BLOCK / SECTOR);
}

static void read_block(const Remote *r, uint32_t block)
{
    uint32_t lba = block * (BLOCK / SECTOR);
    const uint8_t cdb[16] = {
        0x28, 0, lba >> 24, lba >> 16, lba >> 8, lba, 0, 0, BLOCK / SECTOR,
    };

    memcpy(r->ram + CDB_AT, cdb, sizeof(cdb));
    if (run_script(r) != 0) {
        bench_die("READ: status %02x", r->ram[STATUS_AT]);
    }
}

static void print_memory(pid_t pid)
{
    char path[64];
    char line[512];
    char name[512] = "";
    unsigned libraries = 0;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        unsigned long kib;
        if (sscanf(line, "Pss: %lu", &kib) == 1) {
            printf("pss %lu\n", kib);
        } else if (sscanf(line, "Private_Dirty: %lu", &kib) == 1) {
            printf("private_dirty %lu\n", kib);
        } else if (sscanf(line, "Rss: %lu", &kib) == 1) {
            printf("rss %lu\n", kib);
        }
    }
    if (file) {
        fclose(file);
    }

    /* The mappings of one file stand together. */
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        char *slash = strchr(line, '/');
        if (slash && strstr(slash, ".so") && strcmp(slash, name) != 0) {
            strcpy(name, slash);
            libraries++;
        }
    }
    if (file) {
        fclose(file);
    }
    printf("libraries %u\n", libraries);
}

static int measure_start(long n, char **argv)
{
    for (long i = 0; i < n; i++) {
        Remote r = { 0 };
        uint64_t begun = bench_now_ns();

        bench_spawn(&r.process, argv);
        config_read(&r, 0, 2);
        printf("start %" PRIu64 "\n", bench_now_ns() - begun);
        bench_finish(&r.process);
    }
    return 0;
}

static int measure_run(long n, char **argv)
{
    Remote r = { 0 };

    bench_spawn(&r.process, argv);
    set_up(&r);
    wait_ready(&r);
    uint32_t blocks = disk_blocks(&r);
    if (blocks < 1) {
        bench_die("the disk is too small");
    }
    put_script(&r, 10, BLOCK);
    read_block(&r, 0);
    print_memory(r.process.pid);

    for (long i = 0; i < n; i++) {
        uint64_t begun = bench_now_ns();
        reg_read(&r, REG_ISTAT0, 1);
        printf("register %" PRIu64 "\n", bench_now_ns() - begun);
    }
    for (long i = 0; i < n; i++) {
        uint64_t begun = bench_now_ns();
        read_block(&r, (uint32_t)((uint64_t)i * 7919 % blocks));
        printf("read %" PRIu64 "\n", bench_now_ns() - begun);
    }
    bench_finish(&r.process);
    return 0;
}

static int measure_bare(long n)
{
    struct {
        MpqHeader header;
        MpqBar bar;
    } request = { .header = { .cmd = MPQ_BAR_READ, .size = sizeof(MpqBar) } };
    MpqRet ret = { .header = { .cmd = MPQ_RET, .size = 8 } };
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
        bench_die("socketpair: %s", strerror(errno));
    }
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
        printf("bare %" PRIu64 "\n", bench_now_ns() - begun);
    }
    close(pair[0]);
    waitpid(child, NULL, 0);
    return 0;
}

int main(int argc, char **argv)
{
    long n = argc > 2 ? strtol(argv[2], NULL, 10) : 0;

    if (n > 0 && argc > 3 && strcmp(argv[1], "start") == 0) {
        return measure_start(n, argv + 3);
    }
    if (n > 0 && argc > 3 && strcmp(argv[1], "run") == 0) {
        return measure_run(n, argv + 3);
    }
    if (n > 0 && argc == 3 && strcmp(argv[1], "bare") == 0) {
        return measure_bare(n);
    }
    fprintf(stderr, "usage: bench-mpqemu start|run N PROGRAM ARGS... | bench-mpqemu bare N\n");
    return 2;
}
