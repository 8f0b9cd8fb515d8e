/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests on a descriptor by blocking system calls, and reads that must not block. */
#ifndef BLOCK_FILE_IO_H
#define BLOCK_FILE_IO_H

#include "block/block.h"
#include "util/sandbox.h"

typedef struct FileIo {
    int fd;
    bool blkdev;
    bool try_cache;  /* file_io_try() may find something: not O_DIRECT, and the kernel can */
    uint32_t sector; /* logical sector of a block device; 1 for a file */
} FileIo;

/* 0 or -errno. */
int file_io_init(FileIo *io, int fd);
/* Loop's thread: takes a READ as far as the page cache has it. True if that was all of it. */
bool file_io_try(FileIo *io, BlockReq *req);
/* Loop's thread: the bytes that the page cache has, from the first one on. */
size_t file_io_read_now(FileIo *io, uint64_t offset, const struct iovec *iov, unsigned niov);
/* Worker thread: the rest of req, or all of it; returns its result. */
int file_io_run(const FileIo *io, BlockReq *req);

#endif
