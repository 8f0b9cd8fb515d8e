/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Byte streams of saved state: what is put comes back, and nothing else does. */
#include "util/stream.h"

#include <string.h>

static GByteArray *four(void)
{
    GByteArray *out = g_byte_array_new();

    stream_put(out, 0x12, 1);
    stream_put(out, 0x3456, 2);
    stream_put(out, 0x789abcde, 4);
    stream_put(out, UINT64_C(0xf0e1d2c3b4a59687), 8);
    return out;
}

static void test_round_trip(void)
{
    static const uint8_t wire[] = { 0x12, 0x56, 0x34, 0xde, 0xbc, 0x9a, 0x78, 0x87,
                                    0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0 };
    g_autoptr(GByteArray) out = four();
    StreamIn in = { .data = out->data, .len = out->len };
    g_autoptr(GError) err = NULL;

    g_assert_cmpmem(out->data, out->len, wire, sizeof(wire));
    g_assert_cmphex(stream_get(&in, "a", 1, UINT8_MAX), ==, 0x12);
    g_assert_cmphex(stream_get(&in, "b", 2, UINT16_MAX), ==, 0x3456);
    g_assert_cmphex(stream_get(&in, "c", 4, UINT32_MAX), ==, 0x789abcde);
    g_assert_true(stream_get_bytes(&in, "d", 8) == out->data + 7);
    g_assert_true(stream_end(&in, &err));
    g_assert_no_error(err);
}

/* The first error counts, and all that follows reads as nothing. */
static void test_limit(void)
{
    g_autoptr(GByteArray) out = four();
    StreamIn in = { .data = out->data, .len = out->len };
    g_autoptr(GError) err = NULL;

    g_assert_cmphex(stream_get(&in, "a", 1, 0x11), ==, 0);
    g_assert_true(stream_failed(&in));
    g_assert_cmphex(stream_get(&in, "b", 2, UINT16_MAX), ==, 0);
    g_assert_null(stream_get_bytes(&in, "c", 0));
    g_assert_false(stream_fail(&in, "later"));
    g_assert_false(stream_end(&in, &err));
    g_assert_cmpstr(err->message, ==, "saved state has 18 for 'a', which is at most 17");
}

static void test_short(void)
{
    g_autoptr(GByteArray) out = four();

    for (size_t len = 0; len < out->len; len++) {
        StreamIn in = { .data = out->data, .len = len };
        g_autoptr(GError) err = NULL;

        stream_get(&in, "a", 1, UINT8_MAX);
        stream_get(&in, "b", 2, UINT16_MAX);
        stream_get(&in, "c", 4, UINT32_MAX);
        stream_get_bytes(&in, "d", 8);
        g_assert_false(stream_end(&in, &err));
        g_assert_true(g_str_has_prefix(err->message, "saved state ends before '"));
    }
}

static void test_long(void)
{
    g_autoptr(GByteArray) out = four();
    StreamIn in = { .data = out->data, .len = out->len };
    g_autoptr(GError) err = NULL;

    g_assert_null(stream_get_bytes(&in, "all", SIZE_MAX));
    g_clear_error(&in.error);
    stream_get_bytes(&in, "most", out->len - 1);
    g_assert_false(stream_end(&in, &err));
    g_assert_cmpstr(err->message, ==, "saved state goes on behind its end");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stream/round-trip", test_round_trip);
    g_test_add_func("/stream/limit", test_limit);
    g_test_add_func("/stream/short", test_short);
    g_test_add_func("/stream/long", test_long);
    return g_test_run();
}
