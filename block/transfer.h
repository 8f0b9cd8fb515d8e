/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scatter lists, and how a READ or WRITE goes on after the kernel moved only a part of it. */
#ifndef BLOCK_TRANSFER_H
#define BLOCK_TRANSFER_H

#include "block/block.h"
#include <string.h>
#include <sys/types.h>

uint64_t iov_bytes(const struct iovec *iov, unsigned niov);
/* Bytes [pos, pos + len) of the list. */
void iov_zero(const struct iovec *iov, unsigned niov, uint64_t pos, uint64_t len);
void iov_from_buf(const struct iovec *iov, unsigned niov, uint64_t pos, const void *buf,
                  size_t len);
void iov_to_buf(const struct iovec *iov, unsigned niov, uint64_t pos, void *buf, size_t len);

bool iov_is_zero(const struct iovec *iov, unsigned niov);
static inline bool is_zero(const uint8_t *p, size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}
/* Bytes [pos, pos + len) as a list of their own, of *parts; the caller frees it. */
struct iovec *iov_part(const struct iovec *iov, unsigned niov, uint64_t pos, uint64_t len,
                       unsigned *parts);

/* The part of req's iov that has not been transferred; valid until the next step. */
const struct iovec *transfer_rest(BlockReq *req, unsigned *niov);

/* What the system call on fd gave, a count or -errno: TRANSFER_MORE if the rest, from req->offset +
 * req->progress on, is to be tried again, else the request's result, 0 or -errno. Touches no data:
 * any thread. */
#define TRANSFER_MORE 1
int transfer_step(BlockReq *req, int fd, ssize_t res);
/* block_complete(); what lay behind the end of the file reads as zeros. */
void transfer_complete(BlockReq *req, int res);

#endif
