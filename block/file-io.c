/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each request is in system calls, for worker threads, which may block: preadv2 and pwritev2
 * (FUA is RWF_DSYNC), fdatasync, fallocate, ftruncate and lseek for files, BLKDISCARD and
 * BLKZEROOUT for block devices.
 * The io_uring engine leaves all but reads, writes and flushes to it as well: they are rare, and
 * have no place in a ring.
 *
 * Zeroes: if the space may be given back, a hole; else a range that stays allocated; where the
 * file system or device has neither, zeros are written. A discard that the kernel can't do is no
 * error, as a discard is advice. A block device takes both only in whole logical sectors: of a
 * discard the part within is taken, zeroes fall back to writing.
 *
 * file_io_read_now() is the exception that runs on the loop's thread: preadv2 with RWF_NOWAIT
 * copies what the page cache has and returns at once, which is cheaper than any hand-over. What
 * file_io_try() gets by it counts as the request's progress, the rest goes the ordinary way.
 */
#include "block/file-io.h"
#include "block/engine.h"
#include "block/transfer.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZEROS_BYTES (256u << 10)

const SandboxCalls file_io_sandbox = {
    .module = "file I/O",
    .calls = (const SandboxCall[]){ { .name = "fallocate" },
                                    { .name = "fdatasync" },
                                    { .name = "ioctl", .args = { SANDBOX_EQUALS(1, BLKDISCARD) } },
                                    { .name = "ioctl", .args = { SANDBOX_EQUALS(1, BLKSSZGET) } },
                                    { .name = "ioctl", .args = { SANDBOX_EQUALS(1, BLKZEROOUT) } },
                                    { .name = "lseek", .answer = ENOSYS },
                                    { .name = "preadv2" },
                                    { .name = "pwritev2" },
                                    { .name = NULL } },
};

int file_io_init(FileIo *io, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    int sector = 1;
    struct stat st;

    if (flags < 0 || fd_stat(fd, &st) < 0) {
        return -errno;
    }
    if (S_ISBLK(st.st_mode) && ioctl(fd, BLKSSZGET, &sector) < 0) {
        return -errno;
    }
    *io = (FileIo){
        .fd = fd,
        .blkdev = S_ISBLK(st.st_mode),
        .try_cache = !(flags & O_DIRECT),
        .sector = sector,
    };
    return 0;
}

/* 0 is the end of the file or nothing cached on some kernels: the real read will tell. */
size_t file_io_read_now(FileIo *io, uint64_t offset, const struct iovec *iov, unsigned niov)
{
    ssize_t n;

    if (!io->try_cache) {
        return 0;
    }
    n = preadv2(io->fd, iov, niov, offset, RWF_NOWAIT);
    if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)) {
        io->try_cache = false;
    }
    return MAX(n, 0);
}

bool file_io_try(FileIo *io, BlockReq *req)
{
    size_t n = 0;

    if (req->op == BLOCK_READ) {
        n = file_io_read_now(io, req->offset, req->iov, req->niov);
    }
    return n > 0 && transfer_step(req, io->fd, n) == 0;
}

static int run_transfer(const FileIo *io, BlockReq *req)
{
    int flags = req->op == BLOCK_WRITE && (req->how & BLOCK_FUA) ? RWF_DSYNC : 0;
    int res;

    do {
        unsigned niov;
        const struct iovec *iov = transfer_rest(req, &niov);
        off_t pos = req->offset + req->progress;
        ssize_t n = req->op == BLOCK_READ ? preadv2(io->fd, iov, niov, pos, flags)
                                          : pwritev2(io->fd, iov, niov, pos, flags);

        res = transfer_step(req, io->fd, n < 0 ? -errno : n);
    } while (res == TRANSFER_MORE);
    return res;
}

static int run_flush(const FileIo *io)
{
    int res;

    do {
        res = fdatasync(io->fd) < 0 ? -errno : 0;
    } while (res == -EINTR);
    return res;
}

/* Is it the lack of the operation, so that another way may do, and not a failure of it? */
static bool unsupported(int res)
{
    return res == -EOPNOTSUPP || res == -ENOSYS || res == -ENOTTY || res == -EINVAL ||
           res == -ENODEV;
}

static int run_fallocate(const FileIo *io, int mode, uint64_t offset, uint64_t bytes)
{
    int res;

    do {
        res = fallocate(io->fd, mode | FALLOC_FL_KEEP_SIZE, offset, bytes) < 0 ? -errno : 0;
    } while (res == -EINTR);
    return res;
}

static int run_range_ioctl(const FileIo *io, unsigned long cmd, uint64_t start, uint64_t end)
{
    uint64_t range[2] = { start, end - start };

    return ioctl(io->fd, cmd, range) < 0 ? -errno : 0;
}

static int run_discard(const FileIo *io, const BlockReq *req)
{
    int res;

    if (io->blkdev) {
        uint64_t start = (req->offset + io->sector - 1) / io->sector * io->sector;
        uint64_t end = (req->offset + req->bytes) / io->sector * io->sector;

        res = start < end ? run_range_ioctl(io, BLKDISCARD, start, end) : 0;
    } else {
        res = run_fallocate(io, FALLOC_FL_PUNCH_HOLE, req->offset, req->bytes);
    }
    return unsupported(res) ? 0 : res;
}

static int write_zeros(const FileIo *io, const BlockReq *req)
{
    size_t size = MIN(req->bytes, ZEROS_BYTES);
    void *zeros = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t done = 0;
    int res = 0;

    if (zeros == MAP_FAILED) {
        return -ENOMEM;
    }
    while (done < req->bytes && !res) {
        const struct iovec iov = { .iov_base = zeros, .iov_len = MIN(size, req->bytes - done) };
        ssize_t n = pwritev2(io->fd, &iov, 1, req->offset + done, 0);

        if (n > 0) {
            done += n;
        } else if (n == 0) {
            res = -EIO;
        } else if (errno != EINTR) {
            res = -errno;
        }
    }
    munmap(zeros, size);
    return res;
}

static int run_zeroes(const FileIo *io, const BlockReq *req)
{
    int res = -EOPNOTSUPP;

    if (io->blkdev && (req->offset | req->bytes) % io->sector == 0) {
        res = run_range_ioctl(io, BLKZEROOUT, req->offset, req->offset + req->bytes);
    } else if (!io->blkdev) {
        if (req->how & BLOCK_MAY_UNMAP) {
            res = run_fallocate(io, FALLOC_FL_PUNCH_HOLE, req->offset, req->bytes);
        }
        if (unsupported(res)) {
            res = run_fallocate(io, FALLOC_FL_ZERO_RANGE, req->offset, req->bytes);
        }
    }
    if (unsupported(res)) {
        res = write_zeros(io, req);
    }
    return res;
}

static int run_resize(const FileIo *io, const BlockReq *req)
{
    int res;

    if (io->blkdev) {
        return -ENOTSUP;
    }
    do {
        res = ftruncate(io->fd, req->bytes) < 0 ? -errno : 0;
    } while (res == -EINTR);
    return res;
}

const SandboxCalls file_holes_sandbox = {
    .module = "holes",
    .calls = (const SandboxCall[]){ { .name = "lseek" }, { .name = NULL } },
};

/* A hole, or space that was never written, reads as zeros. Where the file system can't tell, and on
 * a block device, all is data. */
static int run_status(const FileIo *io, BlockReq *req)
{
    const off_t begin = (off_t)req->offset, end = begin + (off_t)req->bytes;
    off_t data, hole;

    req->status = BLOCK_ALLOCATED;
    req->known = req->bytes;
    if (io->blkdev) {
        return 0;
    }
    data = lseek(io->fd, begin, SEEK_DATA);
    if (data > begin || (data < 0 && errno == ENXIO)) { /* the latter: no data up to the end */
        req->status |= BLOCK_ZERO;
        req->known = (uint64_t)(data < 0 ? end : MIN(data, end)) - req->offset;
    } else if (data == begin) {
        hole = lseek(io->fd, begin, SEEK_HOLE);
        req->known = (uint64_t)(hole > begin ? MIN(hole, end) : end) - req->offset;
    }
    return 0;
}

int file_io_run(const FileIo *io, BlockReq *req)
{
    int res;

    switch (req->op) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        return run_transfer(io, req);
    case BLOCK_FLUSH:
        return run_flush(io);
    case BLOCK_DISCARD:
        return run_discard(io, req);
    case BLOCK_WRITE_ZEROES:
        res = run_zeroes(io, req);
        return !res && (req->how & BLOCK_FUA) ? run_flush(io) : res;
    case BLOCK_RESIZE:
        return run_resize(io, req);
    case BLOCK_STATUS:
        return run_status(io, req);
    case BLOCK_N_OPS:
        break;
    }
    g_assert_not_reached();
}
