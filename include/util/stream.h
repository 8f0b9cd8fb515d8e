/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A byte stream of fixed-width little-endian fields, for saved state. What is written is trusted;
 * what is read is not: a reader that has met something wrong, or the end, keeps the first error and
 * gives zeros from then on, so that a parser checks once, at its end. Any thread.
 */
#ifndef UTIL_STREAM_H
#define UTIL_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* size is 1, 2, 4 or 8. */
void stream_put(GByteArray *out, uint64_t value, unsigned size);

typedef struct StreamIn {
    const uint8_t *data; /* not owned */
    size_t len, pos;
    GError *error; /* the first one */
} StreamIn;

/* A value of size bytes, at most max; name is for the message. */
uint64_t stream_get(StreamIn *in, const char *name, unsigned size, uint64_t max);
/* len bytes in place, good as long as the data is; NULL if there are not as many. */
const uint8_t *stream_get_bytes(StreamIn *in, const char *name, size_t len);
/* Is false, and keeps the sentence unless there is an error already. */
bool stream_fail(StreamIn *in, const char *format, ...) G_GNUC_PRINTF(2, 3);
static inline bool stream_failed(const StreamIn *in)
{
    return in->error != NULL;
}
/* Everything was read, and nothing was wrong. Moves the error to *errp. */
bool stream_end(StreamIn *in, GError **errp);

#endif
