/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of the qtest line protocol: one table with the number of arguments each needs and
 * the size of its access. The door for a tester's numbers: what is missing, no number or out of
 * range gets a FAIL, which is more than QEMU does (it ends).
 *
 * Forms of the replies are QEMU's: in* gives at least four digits, read* sixteen. Words are divided
 * by one space each; surplus ones are ignored, data shorter than its size is filled with zeros.
 *
 * The clock is a number that these commands move, and nothing else: devices use real time, so tests
 * wait for what they expect. What belongs to other machines (rtas, module_load) is unknown here.
 */
#include "qtest-internal.h"

#include <inttypes.h>
#include <string.h>

#define WORDS_MAX 6
#define MEMSET_CHUNK 65536u

typedef struct Command {
    const char *name;
    uint8_t args; /* at least */
    uint8_t size; /* bytes of the access */
    void (*run)(Accel *a, const struct Command *cmd, char *const *arg);
} Command;

/* ---- arguments ---- */

static bool get_u64(Accel *a, const char *text, uint64_t max, uint64_t *value)
{
    char *end;

    /* Not for strtoull: blanks and a plus sign. A minus is QEMU's, for all ones. */
    if (!g_ascii_isdigit(*text) && *text != '-') {
        qtest_put(a, "FAIL Not a number: '%.32s'", text);
        return false;
    }
    *value = g_ascii_strtoull(text, &end, 0);
    if (*end) {
        qtest_put(a, "FAIL Not a number: '%.32s'", text);
        return false;
    }
    if (*value > max) {
        qtest_put(a, "FAIL Out of range: '%.32s'", text);
        return false;
    }
    return true;
}

/* An address and the number of bytes there. */
static bool get_range(Accel *a, char *const *arg, uint64_t max_len, uint64_t *addr, uint64_t *len)
{
    if (!get_u64(a, arg[0], UINT64_MAX, addr) || !get_u64(a, arg[1], max_len, len)) {
        return false;
    }
    if (*len && *addr + (*len - 1) < *addr) {
        qtest_put(a, "FAIL Address wraps round");
        return false;
    }
    return true;
}

/* Two digits a byte, after "0x" or not; fills up to len. */
static bool get_hex(Accel *a, const char *text, uint8_t *buf, size_t len)
{
    size_t digits;

    if (g_str_has_prefix(text, "0x")) {
        text += 2;
    }
    digits = strlen(text);
    if (digits % 2 || digits / 2 > len) {
        qtest_put(a, "FAIL Data and size differ");
        return false;
    }
    for (size_t i = 0; i < digits / 2; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]), low = g_ascii_xdigit_value(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            qtest_put(a, "FAIL Not hexadecimal");
            return false;
        }
        buf[i] = high << 4 | low;
    }
    return true;
}

/* ---- ports and memory ---- */

static void cmd_in(Accel *a, const Command *cmd, char *const *arg)
{
    uint64_t port;

    if (get_u64(a, arg[0], 0xffff, &port)) {
        qtest_put(a, "OK 0x%04" PRIx32, pc_pio_read(a->pc, port, cmd->size));
    }
}

static uint64_t low_bytes(uint64_t value, unsigned size)
{
    return size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1);
}

static void cmd_out(Accel *a, const Command *cmd, char *const *arg)
{
    uint64_t port, value;

    if (get_u64(a, arg[0], 0xffff, &port) && get_u64(a, arg[1], UINT64_MAX, &value)) {
        pc_pio_write(a->pc, port, low_bytes(value, cmd->size), cmd->size);
        qtest_put(a, "OK");
    }
}

static void cmd_read_value(Accel *a, const Command *cmd, char *const *arg)
{
    uint8_t bytes[8];
    uint64_t addr, value = 0;

    if (!get_u64(a, arg[0], UINT64_MAX - cmd->size + 1, &addr)) {
        return;
    }
    pc_mem_read(a->pc, addr, bytes, cmd->size);
    for (unsigned i = cmd->size; i--;) {
        value = value << 8 | bytes[i];
    }
    qtest_put(a, "OK 0x%016" PRIx64, value);
}

static void cmd_write_value(Accel *a, const Command *cmd, char *const *arg)
{
    uint8_t bytes[8];
    uint64_t addr, value;

    if (!get_u64(a, arg[0], UINT64_MAX - cmd->size + 1, &addr) ||
        !get_u64(a, arg[1], UINT64_MAX, &value)) {
        return;
    }
    for (unsigned i = 0; i < cmd->size; i++) {
        bytes[i] = value >> 8 * i;
    }
    pc_mem_write(a->pc, addr, bytes, cmd->size);
    qtest_put(a, "OK");
}

static void cmd_read(Accel *a, const Command *cmd G_GNUC_UNUSED, char *const *arg)
{
    static const char digits[] = "0123456789abcdef";
    g_autofree uint8_t *buf = NULL;
    g_autofree char *text = NULL;
    uint64_t addr, len;

    if (!get_range(a, arg, QTEST_DATA_MAX, &addr, &len)) {
        return;
    }
    if (len == 0) {
        qtest_put(a, "FAIL Size is 0");
        return;
    }
    buf = g_malloc(len);
    text = g_malloc(2 * len + 1);
    pc_mem_read(a->pc, addr, buf, len);
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = digits[buf[i] >> 4];
        text[2 * i + 1] = digits[buf[i] & 15];
    }
    text[2 * len] = '\0';
    qtest_put(a, "OK 0x%s", text);
}

static void cmd_write(Accel *a, const Command *cmd G_GNUC_UNUSED, char *const *arg)
{
    g_autofree uint8_t *buf = NULL;
    uint64_t addr, len;

    if (!get_range(a, arg, QTEST_DATA_MAX, &addr, &len)) {
        return;
    }
    buf = g_malloc0(len);
    if (get_hex(a, arg[2], buf, len)) {
        pc_mem_write(a->pc, addr, buf, len);
        qtest_put(a, "OK");
    }
}

static void cmd_b64read(Accel *a, const Command *cmd G_GNUC_UNUSED, char *const *arg)
{
    g_autofree uint8_t *buf = NULL;
    g_autofree char *text = NULL;
    uint64_t addr, len;

    if (!get_range(a, arg, QTEST_DATA_MAX, &addr, &len)) {
        return;
    }
    buf = g_malloc(len);
    pc_mem_read(a->pc, addr, buf, len);
    text = g_base64_encode(buf, len);
    qtest_put(a, "OK %s", text);
}

static void cmd_b64write(Accel *a, const Command *cmd G_GNUC_UNUSED, char *const *arg)
{
    g_autofree guchar *data = NULL;
    g_autofree uint8_t *buf = NULL;
    uint64_t addr, len;
    gsize n = 0;

    if (!get_range(a, arg, QTEST_DATA_MAX, &addr, &len)) {
        return;
    }
    data = g_base64_decode(arg[2], &n);
    if ((n == 0 && len) || n > len) {
        qtest_put(a, "FAIL Data and size differ");
        return;
    }
    buf = g_malloc0(len);
    memcpy(buf, data, n);
    pc_mem_write(a->pc, addr, buf, len);
    qtest_put(a, "OK");
}

static void cmd_memset(Accel *a, const Command *cmd G_GNUC_UNUSED, char *const *arg)
{
    g_autofree uint8_t *buf = NULL;
    uint64_t addr, len, value;

    if (!get_range(a, arg, pc_ram_size(a->pc), &addr, &len) ||
        !get_u64(a, arg[2], UINT64_MAX, &value)) {
        return;
    }
    buf = g_malloc(MEMSET_CHUNK);
    memset(buf, (uint8_t)value, MEMSET_CHUNK);
    while (len) {
        size_t n = MIN(len, MEMSET_CHUNK);
        pc_mem_write(a->pc, addr, buf, n);
        addr += n;
        len -= n;
    }
    qtest_put(a, "OK");
}

static void cmd_endianness(Accel *a, const Command *cmd G_GNUC_UNUSED,
                           char *const *arg G_GNUC_UNUSED)
{
    qtest_put(a, "OK little");
}

/* ---- interrupts and time ---- */

/* The board's lines, by our name and by that of the controller where QEMU's clients look for
 * them; a path counts by its end. */
static bool is_irq_controller(Accel *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    if (g_str_equal(name, "gsi") || g_str_equal(name, "ioapic")) {
        return true;
    }
    qtest_put(a, "FAIL Unknown device");
    return false;
}

static void cmd_irq_intercept_in(Accel *a, const Command *cmd G_GNUC_UNUSED, char *const *arg)
{
    if (is_irq_controller(a, arg[0])) {
        qtest_irq_intercept(a);
        qtest_put(a, "OK");
    }
}

/* The controller's output goes to no CPU, so there is nothing to intercept. */
static void cmd_irq_intercept_out(Accel *a, const Command *cmd G_GNUC_UNUSED, char *const *arg)
{
    if (is_irq_controller(a, arg[0])) {
        qtest_put(a, "OK");
    }
}

static void cmd_set_irq_in(Accel *a, const Command *cmd G_GNUC_UNUSED, char *const *arg)
{
    uint64_t gsi, level;

    if (is_irq_controller(a, arg[0]) && get_u64(a, arg[2], PC_GSIS - 1, &gsi) &&
        get_u64(a, arg[3], UINT64_MAX, &level)) {
        qtest_irq_inject(a, gsi, level);
        qtest_put(a, "OK");
    }
}

static void cmd_clock_step(Accel *a, const Command *cmd G_GNUC_UNUSED, char *const *arg)
{
    uint64_t step = 1; /* there is no next deadline to go to */

    if (!arg[0] || get_u64(a, arg[0], INT64_MAX - a->clock_ns, &step)) {
        a->clock_ns += step;
        qtest_put(a, "OK %" PRId64, a->clock_ns);
    }
}

static void cmd_clock_set(Accel *a, const Command *cmd G_GNUC_UNUSED, char *const *arg)
{
    uint64_t to;

    if (get_u64(a, arg[0], INT64_MAX, &to)) {
        a->clock_ns = MAX(a->clock_ns, (int64_t)to);
        qtest_put(a, "OK %" PRId64, a->clock_ns);
    }
}

static const Command commands[] = {
    { "inb", 1, 1, cmd_in },
    { "inw", 1, 2, cmd_in },
    { "inl", 1, 4, cmd_in },
    { "outb", 2, 1, cmd_out },
    { "outw", 2, 2, cmd_out },
    { "outl", 2, 4, cmd_out },
    { "readb", 1, 1, cmd_read_value },
    { "readw", 1, 2, cmd_read_value },
    { "readl", 1, 4, cmd_read_value },
    { "readq", 1, 8, cmd_read_value },
    { "writeb", 2, 1, cmd_write_value },
    { "writew", 2, 2, cmd_write_value },
    { "writel", 2, 4, cmd_write_value },
    { "writeq", 2, 8, cmd_write_value },
    { "read", 2, 0, cmd_read },
    { "write", 3, 0, cmd_write },
    { "b64read", 2, 0, cmd_b64read },
    { "b64write", 3, 0, cmd_b64write },
    { "memset", 3, 0, cmd_memset },
    { "endianness", 0, 0, cmd_endianness },
    { "irq_intercept_in", 1, 0, cmd_irq_intercept_in },
    { "irq_intercept_out", 1, 0, cmd_irq_intercept_out },
    { "set_irq_in", 4, 0, cmd_set_irq_in },
    { "clock_step", 0, 0, cmd_clock_step },
    { "clock_set", 1, 0, cmd_clock_set },
};

/* Divides line at its spaces; word is NULL behind the last one. */
static unsigned split(char *line, char *word[WORDS_MAX + 1])
{
    unsigned n = 0;

    while (line && n < WORDS_MAX) {
        char *space = strchr(line, ' ');
        word[n++] = line;
        if (space) {
            *space++ = '\0';
        }
        line = space;
    }
    word[n] = NULL;
    return n;
}

void qtest_command(Accel *a, char *line)
{
    char *word[WORDS_MAX + 1];
    unsigned args = split(line, word) - 1;

    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (!g_str_equal(word[0], commands[i].name)) {
            continue;
        }
        if (args < commands[i].args) {
            qtest_put(a, "FAIL Command '%s' needs more arguments", word[0]);
        } else {
            commands[i].run(a, &commands[i], word + 1);
        }
        return;
    }
    qtest_put(a, "FAIL Unknown command '%.64s'", word[0]);
}
