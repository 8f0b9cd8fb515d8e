/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options: the two spellings give the same list, odd spellings are refused, and the field table
 * keeps to its ranges. Most cases are rows of a table.
 */
#include "util/opts.h"
#include "util/error.h"
#include <string.h>

static Opts *parse(const char *text, const char *implied)
{
    g_autoptr(GError) err = NULL;
    Opts *opts = opts_parse(text, implied, &err);

    g_assert_no_error(err);
    g_assert_nonnull(opts);
    return opts;
}

static void refuse(const char *text, const char *implied, const char *message)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(opts_parse(text, implied, &err));
    g_assert_error(err, SETUP_ERROR, 0);
    g_assert_cmpstr(err->message, ==, message);
}

static void test_text(void)
{
    static const struct {
        const char *text, *implied, *key, *value;
    } cases[] = {
        { "a=1,b=2", NULL, "a", "1" },
        { "a=1,b=2", NULL, "b", "2" },
        { "a=1,b=2,a=3", NULL, "a", "3" },
        { "a=1,", NULL, "a", "1" },
        { "a=", NULL, "a", "" },
        { "a=,b=2", NULL, "a", "" },
        { "a=x,,y,b=2", NULL, "a", "x,y" },
        { "a=x,,y,b=2", NULL, "b", "2" },
        { "a=,,,,", NULL, "a", ",," },
        { "a=b=c", NULL, "a", "b=c" },
        { "a", NULL, "a", "on" },
        { "b=1,a", NULL, "a", "on" },
        { "noa", NULL, "noa", "on" },
        { "noa", NULL, "a", NULL },
        { "lsi,id=x", "driver", "driver", "lsi" },
        { "lsi,id=x", "driver", "id", "x" },
        { "lsi,,x,id=y", "driver", "driver", "lsi,x" },
        { "a,,b=c", "driver", "driver", "a,b=c" },
        { "id=x,lsi", "driver", "lsi", "on" },
        { "id=x,lsi", "driver", "driver", NULL },
        { "driver=lsi", "driver", "driver", "lsi" },
        { "file.driver=file", NULL, "file.driver", "file" },
        { "", "driver", "driver", NULL },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Opts) opts = parse(cases[i].text, cases[i].implied);

        g_test_message("%s: %s", cases[i].text, cases[i].key);
        g_assert_cmpstr(opts_peek(opts, cases[i].key), ==, cases[i].value);
    }
}

static void test_text_refused(void)
{
    refuse("=x", NULL, "empty option name in '=x'");
    refuse("a=1,=x", NULL, "empty option name in 'a=1,=x'");
    refuse(",a=1", NULL, "empty option name in ',a=1'");
    refuse("a,,b", NULL, "empty option name in 'a,,b'");
    refuse("=x", "driver", "empty option name in '=x'");
}

static void test_json(void)
{
    g_autoptr(Opts) opts =
        parse("{\"driver\": \"raw\", \"ro\": true, \"rw\": false, \"n\": -5, \"big\": "
              "9223372036854775807, \"file\": {\"driver\": \"file\", \"deep\": {\"x\": \"a,b\"}}, "
              "\"backing\": null}",
              "implied");

    g_assert_cmpstr(opts_peek(opts, "driver"), ==, "raw");
    g_assert_cmpstr(opts_peek(opts, "ro"), ==, "on");
    g_assert_cmpstr(opts_peek(opts, "rw"), ==, "off");
    g_assert_cmpstr(opts_peek(opts, "n"), ==, "-5");
    g_assert_cmpstr(opts_peek(opts, "big"), ==, "9223372036854775807");
    g_assert_cmpstr(opts_peek(opts, "file.driver"), ==, "file");
    g_assert_cmpstr(opts_peek(opts, "file.deep.x"), ==, "a,b");
    g_assert_null(opts_peek(opts, "file"));
    g_assert_cmpstr(opts_peek(opts, "backing"), ==, "");
}

static void test_json_refused(void)
{
    refuse("{\"a\": [1]}", NULL, "Parameter 'a' can't be an array");
    refuse("{\"a\": 1.5}", NULL, "Parameter 'a' can't be a fraction");
    refuse("{\"\": 1}", NULL, "empty option name in JSON");
    refuse("{\"a.b\": \"1\", \"a\": {\"b\": \"2\"}}", NULL, "Parameter 'a.b' is given twice");
}

static void test_json_malformed(void)
{
    static const char *const cases[] = {
        "{",
        "{\"a\": 1",
        "{\"a\": 1} x",
        "{\"a\": 1, \"a\": 2}",
        "{a: 1}",
        "{\"a\": \"\\u0000\"}",
        "{\"a\": \"\xff\"}",
        "{\"a\": 92233720368547758080}",
        "{\"a\": tru}",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;

        g_test_message("%s", cases[i]);
        g_assert_null(opts_parse(cases[i], NULL, &err));
        g_assert_error(err, SETUP_ERROR, 0);
        g_assert_true(g_str_has_prefix(err->message, "JSON parse error: "));
    }
}

static char *nested_json(unsigned depth)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 1; i < depth; i++) {
        g_string_append(text, "{\"a\":");
    }
    g_string_append(text, "{\"a\":1}");
    for (unsigned i = 1; i < depth; i++) {
        g_string_append_c(text, '}');
    }
    return g_string_free(text, false);
}

static void test_json_bounds(void)
{
    g_autofree char *deepest = nested_json(16);
    g_autofree char *too_deep = nested_json(17);
    g_autofree char *abyss = nested_json(100000);
    g_autofree char *blanks = g_strnfill(1u << 20, ' ');
    g_autofree char *huge = g_strconcat("{", blanks, "}", NULL);
    g_autoptr(Opts) opts = parse(deepest, NULL);
    g_autoptr(GError) err = NULL;

    g_assert_false(opts_empty(opts));
    refuse(too_deep, NULL, "JSON is nested deeper than 16 objects");
    refuse(huge, NULL, "JSON is longer than 1048576 bytes");
    g_assert_null(opts_parse(abyss, NULL, &err));
    g_assert_error(err, SETUP_ERROR, 0);
}

static void test_used(void)
{
    g_autoptr(Opts) opts = parse("a=1,b=2,c=3", NULL);
    g_autoptr(GError) err = NULL;

    g_assert_cmpstr(opts_get(opts, "a"), ==, "1");
    g_assert_cmpstr(opts_peek(opts, "b"), ==, "2");
    g_assert_false(opts_check_used(opts, "Property 'lsi.%s' not found", &err));
    g_assert_cmpstr(err->message, ==, "Property 'lsi.b' not found");
    g_assert_null(opts_get(opts, "d"));
    opts_get(opts, "b");
    opts_get(opts, "c");
    g_assert_true(opts_check_used(opts, "%s", NULL));
    opts_set(opts, "a", opts_peek(opts, "b"));
    g_assert_cmpstr(opts_peek(opts, "a"), ==, "2");
    g_assert_false(opts_check_used(opts, "%s", NULL));
}

static void test_take_sub(void)
{
    g_autoptr(Opts) opts = parse("file.driver=f,file=x,file.a.b=1,filed=2,z=3", NULL);
    g_autoptr(Opts) file = opts_take_sub(opts, "file");
    g_autoptr(Opts) none = opts_take_sub(opts, "file");

    g_assert_cmpstr(opts_peek(file, "driver"), ==, "f");
    g_assert_cmpstr(opts_peek(file, "a.b"), ==, "1");
    g_assert_null(opts_peek(file, "z"));
    g_assert_true(opts_empty(none));
    g_assert_null(opts_peek(opts, "file.driver"));
    g_assert_cmpstr(opts_get(opts, "file"), ==, "x");
    g_assert_cmpstr(opts_get(opts, "filed"), ==, "2");
    g_assert_cmpstr(opts_get(opts, "z"), ==, "3");
    g_assert_true(opts_check_used(opts, "%s", NULL));
}

typedef struct Fields {
    char *str, *str_def;
    bool flag;
    int tri, mode;
    uint8_t u8, lun;
    uint16_t u16;
    uint32_t u32;
    int32_t i32, id;
    uint64_t u64, size, block;
} Fields;

static const char *const modes[] = { "io_uring", "threads", NULL };

#define FIELD(member) .name = #member, .offset = offsetof(Fields, member)

static const OptDesc descs[] = {
    { FIELD(str), .type = OPT_STRING },
    { FIELD(str_def), .type = OPT_STRING, .def_str = "default" },
    { FIELD(flag), .type = OPT_BOOL, .def = 1 },
    { FIELD(tri), .type = OPT_TRI, .def = -1 },
    { FIELD(mode), .type = OPT_ENUM, .names = modes, .def = 1 },
    { FIELD(u8), .type = OPT_U8 },
    { FIELD(lun), .type = OPT_U8, .max = 7, .def = 0xff },
    { FIELD(u16), .type = OPT_U16 },
    { FIELD(u32), .type = OPT_U32, .def = -1 },
    { FIELD(i32), .type = OPT_I32 },
    { FIELD(id), .type = OPT_I32, .min = -1, .max = 15, .def = -1 },
    { FIELD(u64), .type = OPT_U64, .def = -1 },
    { FIELD(size), .type = OPT_SIZE, .def = 512 },
    { FIELD(block), .type = OPT_SIZE, .min = 512, .max = 4096, .def = 512 },
    { .type = OPT_END },
};

static void test_fields_default(void)
{
    Fields f = { 0 };

    opt_fields_default(descs, &f);
    g_assert_null(f.str);
    g_assert_cmpstr(f.str_def, ==, "default");
    g_assert_true(f.flag);
    g_assert_cmpint(f.tri, ==, -1);
    g_assert_cmpint(f.mode, ==, 1);
    g_assert_cmpuint(f.u8, ==, 0);
    g_assert_cmpuint(f.lun, ==, 0xff);
    g_assert_cmpuint(f.u32, ==, UINT32_MAX);
    g_assert_cmpint(f.id, ==, -1);
    g_assert_cmpuint(f.u64, ==, UINT64_MAX);
    g_assert_cmpuint(f.size, ==, 512);
    opt_fields_default(descs, &f);
    g_assert_cmpstr(f.str_def, ==, "default");
    opt_fields_clear(descs, &f);
    g_assert_null(f.str_def);
}

static void test_fields_set(void)
{
    g_autoptr(Opts) opts =
        parse("str=a,str_def=b,flag=no,tri=off,mode=io_uring,u8=255,lun=7,u16=0xFFff,"
              "u32=4294967295,i32=-2147483648,id=15,u64=0xffffffffffffffff,size=3k,block=4K,"
              "other=1",
              NULL);
    g_autoptr(GError) err = NULL;
    Fields f = { 0 };

    opt_fields_default(descs, &f);
    g_assert_true(opt_fields_set(descs, &f, opts, &err));
    g_assert_no_error(err);
    g_assert_cmpstr(f.str, ==, "a");
    g_assert_cmpstr(f.str_def, ==, "b");
    g_assert_false(f.flag);
    g_assert_cmpint(f.tri, ==, 0);
    g_assert_cmpint(f.mode, ==, 0);
    g_assert_cmpuint(f.u8, ==, 255);
    g_assert_cmpuint(f.lun, ==, 7);
    g_assert_cmpuint(f.u16, ==, 0xffff);
    g_assert_cmpuint(f.u32, ==, UINT32_MAX);
    g_assert_cmpint(f.i32, ==, INT32_MIN);
    g_assert_cmpint(f.id, ==, 15);
    g_assert_cmpuint(f.u64, ==, UINT64_MAX);
    g_assert_cmpuint(f.size, ==, 3072);
    g_assert_cmpuint(f.block, ==, 4096);
    g_assert_false(opts_check_used(opts, "'%s'", &err));
    g_assert_cmpstr(err->message, ==, "'other'");
    opt_fields_clear(descs, &f);
}

static void refuse_field(const char *text, const char *message)
{
    g_autoptr(Opts) opts = parse(text, NULL);
    g_autoptr(GError) err = NULL;
    Fields f = { 0 };

    opt_fields_default(descs, &f);
    g_assert_false(opt_fields_set(descs, &f, opts, &err));
    g_assert_error(err, SETUP_ERROR, 0);
    if (message) {
        g_assert_cmpstr(err->message, ==, message);
    }
    opt_fields_clear(descs, &f);
}

static void test_fields_messages(void)
{
    refuse_field("lun=8", "Parameter 'lun' expects a number between 0 and 7, not '8'");
    refuse_field("u8=256", "Parameter 'u8' expects a number between 0 and 255, not '256'");
    refuse_field("id=-2", "Parameter 'id' expects a number between -1 and 15, not '-2'");
    refuse_field("flag=maybe", "Parameter 'flag' expects 'on' or 'off', not 'maybe'");
    refuse_field("tri=x", "Parameter 'tri' expects 'on', 'off' or 'auto', not 'x'");
    refuse_field("mode=native",
                 "Parameter 'mode' expects one of 'io_uring', 'threads', not 'native'");
    refuse_field("block=256", "Parameter 'block' expects between 512 and 4096 bytes, not '256'");
    refuse_field("size=1X", "Parameter 'size' expects a number of bytes below 2^64, with K, M, G, "
                            "T or nothing behind it, not '1X'");
}

static void test_fields_refused(void)
{
    static const char *const cases[] = {
        "u8=",
        "u8= 1",
        "u8=1 ",
        "u8=+1",
        "u8=-1",
        "u8=x",
        "u8=1x",
        "u8=0x",
        "u8=0x0x1",
        "u8=1.0",
        "u16=65536",
        "u32=4294967296",
        "i32=--1",
        "i32=-",
        "i32=2147483648",
        "i32=-2147483649",
        "i32=9223372036854775808",
        "i32=-18446744073709551615",
        "u64=-1",
        "u64=18446744073709551616",
        "size=1KB",
        "size=K",
        "size=16777216T",
        "size=-1",
        "flag=ON",
        "flag=",
        "mode=",
        "tri=AUTO",
        "id=16",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s", cases[i]);
        refuse_field(cases[i], NULL);
    }
}

static void test_parse_helpers(void)
{
    g_autoptr(GError) err = NULL;
    uint64_t number = 5;
    bool flag = false;

    /* No octal: a leading zero means nothing. */
    g_assert_true(opt_parse_u64("n", "010", 0, 10, &number, NULL));
    g_assert_cmpuint(number, ==, 10);
    g_assert_false(opt_parse_u64("n", "11", 1, 10, &number, &err));
    g_assert_cmpstr(err->message, ==, "Parameter 'n' expects a number between 1 and 10, not '11'");
    g_assert_cmpuint(number, ==, 10);
    g_assert_true(opt_parse_size("s", "16777215T", &number, NULL));
    g_assert_cmpuint(number, ==, UINT64_C(16777215) << 40);
    g_assert_true(opt_parse_size("s", "0x10", &number, NULL));
    g_assert_cmpuint(number, ==, 16);
    g_assert_true(opt_parse_bool("b", "yes", &flag, NULL));
    g_assert_true(flag);
    g_assert_true(opt_parse_bool("b", "false", &flag, NULL));
    g_assert_false(flag);
}

static void test_type_names(void)
{
    for (const OptDesc *desc = descs; desc->type != OPT_END; desc++) {
        g_assert_nonnull(opt_type_name(desc));
    }
    g_assert_cmpstr(opt_type_name(&descs[2]), ==, "bool");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/opts/text", test_text);
    g_test_add_func("/opts/text-refused", test_text_refused);
    g_test_add_func("/opts/json", test_json);
    g_test_add_func("/opts/json-refused", test_json_refused);
    g_test_add_func("/opts/json-malformed", test_json_malformed);
    g_test_add_func("/opts/json-bounds", test_json_bounds);
    g_test_add_func("/opts/used", test_used);
    g_test_add_func("/opts/take-sub", test_take_sub);
    g_test_add_func("/opts/fields-default", test_fields_default);
    g_test_add_func("/opts/fields-set", test_fields_set);
    g_test_add_func("/opts/fields-messages", test_fields_messages);
    g_test_add_func("/opts/fields-refused", test_fields_refused);
    g_test_add_func("/opts/parse-helpers", test_parse_helpers);
    g_test_add_func("/opts/type-names", test_type_names);
    return g_test_run();
}
