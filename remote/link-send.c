/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sending goes to the socket directly; what it doesn't take is queued with duplicates of its
 * descriptors, and the link waits for room instead of for frames. So a peer that doesn't read
 * isn't read from either, and what is queued for it stays bounded.
 *
 * On the loop's thread.
 */
#include "link-int.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

typedef struct Chunk {
    size_t len, sent;
    int fd[FDSET_MAX]; /* duplicates, sent with the first byte */
    unsigned nfds;
    uint8_t data[];
} Chunk;

static void chunk_free(void *opaque)
{
    Chunk *chunk = opaque;

    for (unsigned i = 0; i < chunk->nfds; i++) {
        fd_clear(&chunk->fd[i]);
    }
    g_free(chunk);
}

void link_drop_queue(Link *link)
{
    g_queue_clear_full(&link->queue, chunk_free);
    link->queued = 0;
}

static ssize_t send_some(int sock, const uint8_t *data, size_t len, const int *fds, unsigned nfds)
{
    struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

    return fd_send(sock, &iov, 1, fds, nfds, MSG_DONTWAIT);
}

/* Sending has failed for good. */
static void send_failed(Link *link, int err)
{
    link_drop_queue(link);
    if (err == EPIPE || err == ECONNRESET) {
        link->deaf = true;
    } else {
        link_close(link, g_intern_string(g_strerror(err)));
    }
}

static void enqueue(Link *link, const uint8_t *data, size_t len, const int *fds, unsigned nfds)
{
    Chunk *chunk;

    if (len > link->proto->max_queue - link->queued) {
        link_drop_queue(link);
        link_close(link, "the peer does not read its answers");
        return;
    }
    chunk = g_malloc(sizeof(*chunk) + len);
    *chunk = (Chunk){ .len = len };
    memcpy(chunk->data, data, len);
    g_queue_push_tail(&link->queue, chunk);
    link->queued += len;
    for (unsigned i = 0; i < nfds; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

        if (fd < 0) {
            send_failed(link, errno);
            return;
        }
        chunk->fd[chunk->nfds++] = fd;
    }
    link_watch(link);
}

void link_send(Link *link, const void *buf, size_t len, const int *fds, unsigned nfds)
{
    const uint8_t *data = buf;
    ssize_t ret = 0;

    g_assert(len > 0 && nfds <= FDSET_MAX);
    link->answered = true;
    if (link->ending || link->deaf) {
        return;
    }
    if (link->queued == 0) {
        ret = send_some(link->fd, data, len, fds, nfds);
    }
    if (ret < 0 && ret != -EAGAIN) {
        send_failed(link, -ret);
        return;
    }
    if (ret > 0) {
        data += ret;
        len -= ret;
        nfds = 0;
    }
    if (len > 0) {
        enqueue(link, data, len, fds, nfds);
    }
}

void link_flush(Link *link)
{
    Chunk *chunk;

    while ((chunk = g_queue_peek_head(&link->queue))) {
        ssize_t ret = send_some(link->fd, chunk->data + chunk->sent, chunk->len - chunk->sent,
                                chunk->fd, chunk->sent == 0 ? chunk->nfds : 0);

        if (ret == -EAGAIN) {
            return;
        }
        if (ret < 0) {
            send_failed(link, -ret);
            return;
        }
        chunk->sent += ret;
        link->queued -= ret;
        if (chunk->sent == chunk->len) {
            chunk_free(g_queue_pop_head(&link->queue));
        }
    }
}
