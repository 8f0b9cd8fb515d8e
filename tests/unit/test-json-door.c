/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stream of JSON values: where one ends, what is refused, what the next one suffers from it. */
#include "monitor/json-door.h"
#include <string.h>

/* Feeds all of text in pieces; "V" for each value, "E" for each error. */
static char *feed(JsonDoor *door, const char *text, size_t len, size_t piece)
{
    GString *seen = g_string_new(NULL);

    while (len > 0) {
        size_t n = MIN(len, piece);
        g_autofree uint8_t *copy = g_memdup2(text, n);
        g_autoptr(GError) err = NULL;
        json_t *value;
        size_t used = json_door_feed(door, copy, n, &value, &err);

        g_assert_cmpuint(used, <=, n);
        g_assert_true(used > 0 || value || err);
        if (value || err) {
            g_string_append_c(seen, value ? 'V' : 'E');
        }
        json_decref(value);
        text += used;
        len -= used;
    }
    return g_string_free(seen, FALSE);
}

static void test_streams(void)
{
    static const struct {
        const char *text, *seen;
    } rows[] = {
        { "", "" },
        { " \r\n\t", "" },
        { "{}", "V" },
        { "{}{}[]\"\"", "VVVV" },
        { "{\"a\":{\"b\":[1,2,{}]}}", "V" },
        { "{\"a\":\"}\"}", "V" },
        { "{\"a\":\"\\\"}\"}", "V" },
        { "{\"a\":\"\\\\\"}", "V" },
        { "1 true null ", "VVV" },
        { "1{}", "VV" },
        { "true\"x\"", "VV" },
        { "nonsense {}", "EV" },
        { "{]{}", "EV" },
        { "}{}", "EV" },
        { "]]]", "EEE" },
        { "{nonsense}{}", "EV" },
        { "{\"a\":\"\n{}", "EV" },
        { "{\"a\":\"\x01{}", "EV" },
        { "[[[[\xff{}", "EV" },
        { "\xff", "E" },
        { "\"abc\xff{}", "EV" },
        { "abc\xff{}", "EEV" },
        { "{\"a\":1", "" },
        { "{\"a\":1,\"a\":2}{}", "EV" },
        { "{\"\\u0000\":1}{}", "EV" },
        { "\"\xc3\x28\"{}", "EV" },
        { ",:", "" },
        { ",: {}", "EV" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (size_t piece = 1; piece < 30; piece++) {
            g_autofree char *seen = NULL;
            JsonDoor door;

            json_door_init(&door);
            seen = feed(&door, rows[i].text, strlen(rows[i].text), piece);
            g_assert_cmpstr(seen, ==, rows[i].seen);
            json_door_fini(&door);
        }
    }
}

static void repeat(GString *text, const char *what, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_string_append(text, what);
    }
}

static void check_door(const char *text, size_t len, const char *expected)
{
    g_autofree char *seen = NULL;
    JsonDoor door;

    json_door_init(&door);
    seen = feed(&door, text, len, 4096);
    g_assert_cmpstr(seen, ==, expected);
    g_assert_cmpuint(door.text->len, ==, 0);
    json_door_fini(&door);
}

static void test_depth(void)
{
    static const int over[] = { 0, 1, 100000 };

    for (unsigned i = 0; i < G_N_ELEMENTS(over); i++) {
        g_autoptr(GString) text = g_string_new(NULL);

        repeat(text, "[", JSON_DOOR_DEPTH_MAX + over[i]);
        repeat(text, "]", JSON_DOOR_DEPTH_MAX + over[i]);
        g_string_append(text, "{}");
        check_door(text->str, text->len, over[i] ? "EV" : "VV");
    }
}

static void test_size(void)
{
    static const int over[] = { 0, 1, 1 << 20 };

    for (unsigned i = 0; i < G_N_ELEMENTS(over); i++) {
        g_autoptr(GString) text = g_string_new("\"");

        repeat(text, "x", JSON_DOOR_BYTES_MAX - 2 + over[i]);
        g_string_append(text, "\"{}");
        check_door(text->str, text->len, over[i] ? "EV" : "VV");
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-door/streams", test_streams);
    g_test_add_func("/json-door/depth", test_depth);
    g_test_add_func("/json-door/size", test_size);
    return g_test_run();
}
