/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load generator of the bench's guest: random reads of 4 KiB from a disk or file, past the page
 * cache, with so many in flight. Linked statically, it runs in an initramfs beside busybox.
 *
 *   guest-load DEVICE DEPTH MILLISECONDS [BYTES]     with BYTES: sequential reads of that size
 *
 * Prints "iops N". One thread with Linux's own asynchronous I/O (io_submit and io_getevents, whose
 * system calls the C library doesn't wrap): a thread for each request would measure the guest's
 * scheduler, as its CPU is an interpreter.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, DEPTH_MAX = 64 };

typedef struct Load {
    int fd;
    uint64_t size; /* of a read */
    uint64_t blocks;
    uint64_t random; /* state of a generator that never is 0; 0: sequential */
    uint64_t next;
    aio_context_t aio;
    struct iocb request[DEPTH_MAX];
} Load;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
    va_list args;

    fputs("guest-load: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, ": %s\n", strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* xorshift64 */
static uint64_t next_block(Load *load)
{
    if (!load->random) {
        return load->next++ % load->blocks;
    }
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return load->random % load->blocks;
}

static void set_up(Load *load, const char *device, unsigned depth)
{
    off_t bytes;
    void *buf;

    load->fd = open(device, O_RDONLY | O_DIRECT);
    if (load->fd < 0 || (bytes = lseek(load->fd, 0, SEEK_END)) < 0) {
        die("%s", device);
    }
    load->blocks = (uint64_t)bytes / load->size;
    if (load->blocks == 0 || syscall(SYS_io_setup, depth, &load->aio) < 0 ||
        posix_memalign(&buf, BLOCK, depth * load->size) != 0) {
        die("%u reads at a time of %s", depth, device);
    }
    for (unsigned i = 0; i < depth; i++) {
        load->request[i] = (struct iocb){
            .aio_lio_opcode = IOCB_CMD_PREAD,
            .aio_fildes = load->fd,
            .aio_buf = (uintptr_t)buf + i * load->size,
            .aio_nbytes = load->size,
        };
    }
}

static void submit(Load *load, struct iocb **requests, long n)
{
    for (long i = 0; i < n; i++) {
        requests[i]->aio_offset = next_block(load) * load->size;
    }
    if (n > 0 && syscall(SYS_io_submit, load->aio, n, requests) != n) {
        die("io_submit");
    }
}

/* Waits for one at least, and puts what has ended into requests[]. */
static long collect(const Load *load, struct iocb **requests, unsigned depth)
{
    struct io_event events[DEPTH_MAX];
    long n = syscall(SYS_io_getevents, load->aio, 1, depth, events, NULL);

    if (n < 1) {
        die("io_getevents");
    }
    for (long i = 0; i < n; i++) {
        if ((uint64_t)events[i].res != load->size) {
            errno = events[i].res < 0 ? -events[i].res : EIO;
            die("read");
        }
        requests[i] = (struct iocb *)(uintptr_t)events[i].obj;
    }
    return n;
}

int main(int argc, char **argv)
{
    unsigned long depth = argc >= 4 ? strtoul(argv[2], NULL, 10) : 0;
    uint64_t lasts = argc >= 4 ? strtoull(argv[3], NULL, 10) * 1000000u : 0;
    struct iocb *requests[DEPTH_MAX];
    static Load load = { .size = BLOCK };
    uint64_t begun, now, done = 0;
    long left, n;

    if (argc > 5 || depth < 1 || depth > DEPTH_MAX || lasts == 0) {
        fprintf(stderr, "usage: guest-load DEVICE DEPTH MILLISECONDS [BYTES]\n");
        return 2;
    }
    if (argc > 4) {
        load.size = strtoull(argv[4], NULL, 10);
    } else {
        load.random = now_ns() | 1;
    }
    set_up(&load, argv[1], depth);
    for (unsigned long i = 0; i < depth; i++) {
        requests[i] = &load.request[i];
    }
    begun = now_ns();
    submit(&load, requests, depth);
    for (left = depth; left > 0; left -= n) {
        n = collect(&load, requests, depth);
        done += n;
        now = now_ns();
        if (now - begun < lasts) {
            submit(&load, requests, n);
            left += n;
        }
    }
    printf("iops %llu\n", (unsigned long long)(done * 1000000000u / (now_ns() - begun)));
    return 0;
}
