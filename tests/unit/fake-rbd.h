/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Ceph cluster of one pool with one image, in memory: the functions of librados and librbd that
 * the driver calls, linked in their place. Completions come on a thread of its own. */
#ifndef TESTS_FAKE_RBD_H
#define TESTS_FAKE_RBD_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_RBD_SIZE (8u << 20)

typedef struct FakeRbd {
    uint8_t *data; /* FAKE_RBD_SIZE of it */
    uint64_t size; /* that it was given last; 0: never */
    int fail_with; /* -errno for requests; 0: they succeed. Set while nothing is in flight. */
    unsigned n_flushes, n_open; /* flushes that were done; images, pools, clusters that are open */
    char user[32], namespace[32], snapshot[32], config[64];
    bool read_only;
} FakeRbd;

extern FakeRbd fake_rbd;

#endif
