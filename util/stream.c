/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See stream.h. Every read goes through take(), the one place that compares a length with what is
 * left; a value is compared with its limit before the parser sees it, and reads 0 where it is past
 * that, so that no index, length or enum of a parser is ever one that the stream made up.
 */
#include "util/stream.h"
#include "util/error.h"
#include <stdarg.h>

void stream_put(GByteArray *out, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    for (unsigned i = 0; i < size; i++) {
        bytes[i] = value >> (8 * i);
    }
    g_byte_array_append(out, bytes, size);
}

bool stream_fail(StreamIn *in, const char *format, ...)
{
    va_list ap;

    if (!in->error) {
        va_start(ap, format);
        in->error = g_error_new_valist(SETUP_ERROR, 0, format, ap);
        va_end(ap);
    }
    return false;
}

static const uint8_t *take(StreamIn *in, const char *name, size_t len)
{
    const uint8_t *p = in->data + in->pos;

    if (in->error) {
        return NULL;
    }
    if (len > in->len - in->pos) {
        stream_fail(in, "saved state ends before '%s'", name);
        return NULL;
    }
    in->pos += len;
    return p;
}

uint64_t stream_get(StreamIn *in, const char *name, unsigned size, uint64_t max)
{
    const uint8_t *p = take(in, name, size);
    uint64_t value = 0;

    for (unsigned i = 0; p && i < size; i++) {
        value |= (uint64_t)p[i] << (8 * i);
    }
    if (value > max) {
        stream_fail(in,
                    "saved state has %" G_GUINT64_FORMAT
                    " for '%s', which is at most %" G_GUINT64_FORMAT,
                    value, name, max);
        return 0;
    }
    return value;
}

const uint8_t *stream_get_bytes(StreamIn *in, const char *name, size_t len)
{
    return take(in, name, len);
}

bool stream_end(StreamIn *in, GError **errp)
{
    if (!in->error && in->pos < in->len) {
        stream_fail(in, "saved state goes on behind its end");
    }
    if (in->error) {
        g_propagate_error(errp, g_steal_pointer(&in->error));
        return false;
    }
    return true;
}
