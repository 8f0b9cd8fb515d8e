/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The qtest line protocol. What is well-formed gets the same reply, to the byte, from this tree's
 * stock profile and from QEMU. What is not ends QEMU, so only the former is asked.
 */
#include "machine.h"

#include <string.h>
#include <sys/socket.h>

typedef struct Exchange {
    const char *line, *reply;
} Exchange;

static void converse(Machine *m, const Exchange *rows, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *reply = qtest_raw(m->q, rows[i].line);
        g_test_message("%s", rows[i].line);
        g_assert_cmpstr(reply, ==, rows[i].reply);
    }
}

static void test_replies(Machine *m)
{
    static const Exchange rows[] = {
        { "endianness", "OK little" },
        { "inb 0x70", "OK 0x00ff" },
        { "outl 0xcf8 0x80000000", "OK" },
        { "inl 0xcf8", "OK 0x80000000" },
        { "inw 0xcfc", "OK 0x8086" },
        { "inl 0xcfc extra", "OK 0x12378086" },
        { "writeq 0x1000 0x1122334455667788", "OK" },
        { "readb 0x1000", "OK 0x0000000000000088" },
        { "readw 0x1000", "OK 0x0000000000007788" },
        { "readl 4096", "OK 0x0000000055667788" },
        { "readq 010000", "OK 0x1122334455667788" },
        { "read 0x1000 8", "OK 0x8877665544332211" },
        { "writeb 0x1000 -1", "OK" },
        { "writew 0x1002 0x12345", "OK" },
        { "read 0x1000 0x8", "OK 0xff77452344332211" },
        { "write 0x1000 4 0xaabbccdd", "OK" },
        { "readl 0x1000", "OK 0x00000000ddccbbaa" },
        { "write 0x1000 4 0xab", "OK" },
        { "read 0x1000 5", "OK 0xab00000044" },
        { "b64write 0x1000 4 AQIDBA==", "OK" },
        { "b64read 0x1000 4", "OK AQIDBA==" },
        { "b64read 0x1000 3", "OK AQID" },
        { "memset 0x1001 2 0x15a", "OK" },
        { "memset 0x1001 0 1", "OK" },
        { "read 0x1000 4", "OK 0x015a5a04" },
        { "nonsense", "FAIL Unknown command 'nonsense'" },
        { " inb 0x70", "FAIL Unknown command ''" },
        { "rtas a 1 2 3 4", "FAIL Unknown command 'rtas'" },
        { "irq_intercept_in nosuch", "FAIL Unknown device" },
        { "irq_intercept_in ioapic", "OK" },
        { "irq_intercept_in ioapic", "OK" },
    };

    converse(m, rows, G_N_ELEMENTS(rows));
}

/* Levels from the interception on; a line for each change and no other. */
static void test_irq_lines(Machine *m)
{
    qtest_intercept_irqs(m->q, "ioapic");
    for (unsigned i = 0; i < 3; i++) {
        g_free(qtest_ask(m->q, "set_irq_in ioapic unnamed-gpio-in 5 1"));
        g_assert_true(qtest_irq(m->q, 5));
        g_free(qtest_ask(m->q, "set_irq_in ioapic unnamed-gpio-in 5 1"));
        g_assert_cmpuint(qtest_irq_raised(m->q, 5), ==, i + 1);
        g_free(qtest_ask(m->q, "set_irq_in ioapic unnamed-gpio-in 5 0"));
        g_assert_false(qtest_irq(m->q, 5));
    }
    g_assert_false(qtest_irq(m->q, 6));
}

/* Several lines in one segment, one line in many. */
static void test_segments(Machine *m)
{
    static const char many[] = "writeb 0x1000 1\nreadb 0x1000\nwriteb 0x1000 2\nreadb 0x1000\n";
    static const char *const replies[] = { "OK", "OK 0x0000000000000001", "OK",
                                           "OK 0x0000000000000002" };

    qtest_send_bytes(m->q, many, strlen(many));
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(replies); i++) {
        g_autofree char *reply = NULL;
        if (i == G_N_ELEMENTS(replies)) {
            for (const char *p = many; *p; p++) {
                qtest_send_bytes(m->q, p, 1);
            }
        }
        reply = qtest_reply(m->q);
        g_assert_cmpstr(reply, ==, replies[i % G_N_ELEMENTS(replies)]);
    }
}

/* A mebibyte in each direction, in one command. */
static void test_bulk(Machine *m)
{
    const size_t len = 1 << 20;
    g_autofree uint8_t *out = g_malloc(len), *in = g_malloc(len);
    g_autofree char *hex = NULL;

    for (size_t i = 0; i < len; i++) {
        out[i] = i * 7 + (i >> 8);
    }
    qtest_mem_write(m->q, QLSI_DATA, out, len);
    qtest_mem_read(m->q, QLSI_DATA, in, len);
    g_assert_true(memcmp(in, out, len) == 0);
    hex = qtest_ask(m->q, "read 0x%x 0x%zx", QLSI_DATA, len);
    g_assert_cmpuint(strlen(hex), ==, 2 + 2 * len);
    g_free(qtest_ask(m->q, "write 0x%x 0x%zx %s", QLSI_DATA + 0x200000, len, hex));
    memset(in, 0, len);
    qtest_mem_read(m->q, QLSI_DATA + 0x200000, in, len);
    g_assert_true(memcmp(in, out, len) == 0);
}

/* ---- this tree's only ---- */

static void test_malformed(Machine *m)
{
    static const char *const lines[] = {
        "",
        " ",
        "inb",
        "inb zz",
        "inb 1.5",
        "inb  0x70",
        "inb 0x10000",
        "outb 0x70",
        "outb 0x70 ",
        "outb 0x70 x",
        "readb 0x1000\r",
        "readq 0xfffffffffffffffd",
        "readb 99999999999999999999999x",
        "read 0x1000 0",
        "read 0x1000 0x100001",
        "read 0xffffffffffffff00 0x200",
        "read 0x1000",
        "write 0x1000 4",
        "write 0x1000 4 0xaab",
        "write 0x1000 4 0xzz",
        "write 0x1000 4 0xaabbccddee",
        "b64read 0x1000 0xffffffffffffffff",
        "b64write 0x1000 4 !!",
        "b64write 0x1000 2 AQIDBA==",
        "memset 0x1000 4",
        "memset 0 0xffffffffffffffff 1",
        "irq_intercept_in",
        "irq_intercept_out nosuch",
        "set_irq_in ioapic x 24 1",
        "set_irq_in nosuch x 1 1",
        "set_irq_in ioapic x",
        "clock_step -1",
        "clock_set 0x8000000000000000",
        "INB 0x70",
        "inb\t0x70",
    };
    g_autofree char *zero = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autofree char *reply = qtest_raw(m->q, lines[i]);
        g_test_message("'%s': %s", lines[i], reply);
        g_assert_true(g_str_has_prefix(reply, "FAIL "));
    }
    qtest_send_bytes(m->q, "inb\0 0x70\n", 10);
    zero = qtest_reply(m->q);
    g_assert_cmpstr(zero, ==, "FAIL Zero byte in command");
    g_free(qtest_ask(m->q, "endianness"));
}

/* 8 MiB without a newline: one FAIL, at most. */
static void test_overlong(Machine *m)
{
    g_autofree char *chunk = g_strnfill(1 << 16, 'x');
    g_autofree char *reply = NULL;

    for (unsigned i = 0; i < 128; i++) {
        qtest_send_bytes(m->q, chunk, 1 << 16);
    }
    qtest_send_bytes(m->q, "\n", 1);
    reply = qtest_reply(m->q);
    g_assert_true(g_str_has_prefix(reply, "FAIL "));
    g_free(qtest_ask(m->q, "endianness"));
}

/* A tester that sends and doesn't read is served as far as the socket goes; no reply is lost. */
static void test_backlog(Machine *m)
{
    enum { N = 60 };

    for (unsigned i = 0; i < N; i++) { /* 8 KiB each */
        g_autofree char *line = g_strdup_printf("read 0x%x 0x1000\n", 0x1000 * i);
        qtest_send_bytes(m->q, line, strlen(line));
    }
    for (unsigned i = 0; i < N; i++) {
        g_autofree char *reply = qtest_reply(m->q);
        g_assert_cmpuint(strlen(reply), ==, strlen("OK 0x") + 0x2000);
    }
}

static void test_clock(Machine *m)
{
    static const Exchange rows[] = {
        { "clock_step 100", "OK 100" },        { "clock_step", "OK 101" },
        { "clock_set 1000000", "OK 1000000" }, { "clock_set 5", "OK 1000000" },
        { "irq_intercept_out ioapic", "OK" },  { "irq_intercept_in gsi", "OK" },
    };

    converse(m, rows, G_N_ELEMENTS(rows));
}

/* isa-debug-exit: the reply comes, then the end with QEMU's status. */
static void test_guest_exit(Machine *m)
{
    QTest *q = m->q;

    qtest_out(q, 0x501, 0x10, 1);
    m->q = NULL;
    g_assert_cmpint(qtest_hang_up(q), ==, 0x10 << 1 | 1);
}

static const MachineTest tests[] = {
    { "qtest/replies", test_replies, 0, 1 << WAY_LOCAL | 1 << WAY_REFERENCE },
    { "qtest/irq-lines", test_irq_lines, 0, 1 << WAY_LOCAL | 1 << WAY_REFERENCE },
    { "qtest/segments", test_segments, 0, 1 << WAY_LOCAL | 1 << WAY_REFERENCE },
    { "qtest/bulk", test_bulk, 0, 1 << WAY_LOCAL | 1 << WAY_REFERENCE },
    { "qtest/malformed", test_malformed, 0, 1 << WAY_LOCAL },
    { "qtest/overlong", test_overlong, 0, 1 << WAY_LOCAL },
    { "qtest/backlog", test_backlog, 0, 1 << WAY_LOCAL },
    { "qtest/clock", test_clock, 0, 1 << WAY_LOCAL },
    { "qtest/guest-exit", test_guest_exit, 0, 1 << WAY_LOCAL },
    { NULL, NULL, 0, 0 },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_add_tests(tests);
    return g_test_run();
}
