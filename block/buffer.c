/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory for data in flight. Buffers are anonymous mappings of a power of two of bytes, so they
 * are page aligned, which suits every file's O_DIRECT. One that comes back goes to the free list
 * of its size class and is handed out again as it is: its pages are there, and a request costs no
 * page fault.
 *
 * Two bounds keep that from becoming a store of idle memory. The free lists of a node hold at most
 * CACHED_MAX bytes together; what is more goes back to the kernel at once. And IDLE_NS after the
 * last use a timer empties them all: it is armed by the first put and re-arms itself only while
 * buffers are being used, so an idle process is not woken again.
 *
 * All of it is called on the node's loop; there is no lock.
 */
#include "block/buffer.h"
#include <sys/mman.h>

#define CLASS_MIN_SHIFT 12 /* 4 KiB */
#define CLASS_MAX_SHIFT 22 /* 4 MiB; larger ones are not kept */
#define N_CLASSES (CLASS_MAX_SHIFT - CLASS_MIN_SHIFT + 1)
#define CACHED_MAX (4u << 20)
#define IDLE_NS INT64_C(5000000000)

/* At the start of a buffer that is on a free list. */
typedef struct FreeBuffer {
    struct FreeBuffer *next;
} FreeBuffer;

struct BlockBuffers {
    FreeBuffer *free[N_CLASSES];
    size_t cached; /* bytes on the free lists */
    unsigned out;  /* buffers handed out */
    bool used;     /* since the timer was armed */
    LoopTimer idle;
};

static unsigned class_shift(size_t bytes)
{
    unsigned shift = bytes > 1 ? g_bit_storage(bytes - 1) : 0;

    return MAX(shift, CLASS_MIN_SHIFT);
}

static void buffers_trim(BlockBuffers *b)
{
    for (unsigned i = 0; i < N_CLASSES; i++) {
        while (b->free[i]) {
            FreeBuffer *buf = b->free[i];

            b->free[i] = buf->next;
            munmap(buf, (size_t)1 << (i + CLASS_MIN_SHIFT));
        }
    }
    b->cached = 0;
}

static void idle_expired(void *opaque)
{
    BlockBuffers *b = opaque;

    if (b->used) {
        b->used = false;
        loop_timer_arm(&b->idle, loop_now_ns() + IDLE_NS);
    } else {
        buffers_trim(b);
    }
}

BlockBuffers *block_buffers_new(Loop *loop)
{
    BlockBuffers *b = g_new0(BlockBuffers, 1);

    loop_timer_init(&b->idle, loop, idle_expired, b);
    return b;
}

void block_buffers_free(BlockBuffers *b)
{
    g_assert(!b->out);
    loop_timer_disarm(&b->idle);
    buffers_trim(b);
    g_free(b);
}

void *block_buffer_get(BlockNode *node, size_t bytes)
{
    BlockBuffers *b = node->buffers;
    unsigned shift = class_shift(bytes);
    FreeBuffer **list = shift <= CLASS_MAX_SHIFT ? &b->free[shift - CLASS_MIN_SHIFT] : NULL;
    void *buf;

    b->used = true;
    if (list && *list) {
        buf = *list;
        *list = (*list)->next;
        b->cached -= (size_t)1 << shift;
    } else {
        buf = mmap(NULL, (size_t)1 << shift, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
        if (buf == MAP_FAILED) {
            return NULL;
        }
    }
    b->out++;
    return buf;
}

void block_buffer_put(BlockNode *node, void *buf, size_t bytes)
{
    BlockBuffers *b = node->buffers;
    unsigned shift = class_shift(bytes);
    size_t size = (size_t)1 << shift;
    FreeBuffer *head = buf;

    g_assert(b->out);
    b->out--;
    if (shift > CLASS_MAX_SHIFT || b->cached + size > CACHED_MAX) {
        munmap(buf, size);
        return;
    }
    head->next = b->free[shift - CLASS_MIN_SHIFT];
    b->free[shift - CLASS_MIN_SHIFT] = head;
    b->cached += size;
    if (!loop_timer_armed(&b->idle)) {
        b->used = false;
        loop_timer_arm(&b->idle, loop_now_ns() + IDLE_NS);
    }
}
