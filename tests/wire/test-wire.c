/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Odd peers against the real program ($QEMU_REMOTE): cut off at every byte, byte by byte, many
 * messages in one segment, descriptors too many or too few, sizes and commands that do not exist,
 * senseless content, peers that do not read, RAM files that shrink, interrupt descriptors that are
 * full. After each the process must still serve the next client, without a descriptor more.
 *
 * Most cases use one process that listens on a path, as that allows a thousand connections. The
 * LSI 53C895A behind it is used for two things only: a one-instruction SCRIPTS program in guest
 * memory that interrupts (INT), and the bus fault it reports when that can't be fetched.
 */
#include "mpq-client.h"
#include "util/fd.h"
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096u
#define LSI_IDS 0x00121000u
#define IO_BASE 0xc000u
#define MMIO_BASE 0xfebf0000u
#define RAM_BASE 0xfebf2000u
#define LSI_DSTAT 0x0c
#define LSI_ISTAT 0x14
#define LSI_DSP 0x2c
#define LSI_DIEN 0x39
#define ISTAT_DIP 0x01
#define DSTAT_BF 0x20
#define DSTAT_SIR 0x04
#define SCRIPT_INT 0x98080000u

typedef struct Fixture {
    char *dir, *path;
    MpqProcess *p;
} Fixture;

/* ---- processes and connections ---- */

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *drive = NULL;
    g_autofree char *disk = NULL;

    f->dir = g_dir_make_tmp("wire-XXXXXX", NULL);
    g_assert_nonnull(f->dir);
    f->path = g_build_filename(f->dir, "s", NULL);
    disk = g_build_filename(f->dir, "disk", NULL);
    g_assert_true(g_file_set_contents(disk, "", 0, NULL));
    g_assert_cmpint(truncate(disk, 1 << 20), ==, 0);
    drive = g_strdup_printf("if=none,id=drive0,format=raw,file=%s", disk);

    f->p = mpq_process_new(g_getenv("QEMU_REMOTE"));
    mpq_process_args(f->p, "-machine", "x-remote", "-nodefaults", "-display", "none", "-device",
                     "lsi53c895a,id=lsi0", "-drive", drive, "-device",
                     "scsi-hd,drive=drive0,bus=lsi0.0,scsi-id=0", NULL);
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const files[] = { "s", "disk", "ram" };

    if (g_test_verbose()) {
        g_test_message("%s", mpq_process_output(f->p));
    }
    mpq_process_free(f->p);
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *file = g_build_filename(f->dir, files[i], NULL);

        unlink(file);
    }
    rmdir(f->dir);
    g_free(f->dir);
    g_free(f->path);
}

/* The two ways to start: for one client, or for any number of them. */
static MpqClient *start_connected(Fixture *f)
{
    MpqClient *c = mpq_process_connect(f->p, "lsi0");

    mpq_process_start(f->p);
    return c;
}

/* Descriptors of the process while one client is served; that the last one is gone is known when
 * the next one gets an answer. */
static unsigned fds_with_client(Fixture *f)
{
    MpqClient *c = mpq_client_open(f->p, f->path);
    unsigned n;

    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    n = mpq_process_count_fds(f->p);
    mpq_client_free(c);
    return n;
}

static unsigned start_listening(Fixture *f)
{
    mpq_process_listen(f->p, "lsi0", f->path);
    mpq_process_start(f->p);
    return fds_with_client(f);
}

static unsigned count_text(Fixture *f, const char *what)
{
    unsigned n = 0;

    for (const char *at = mpq_process_output(f->p); (at = strstr(at, what)); at++) {
        n++;
    }
    return n;
}

/* ---- the device ---- */

static void program_bars(MpqClient *c)
{
    g_assert_cmphex(mpq_cfg_write(c, 0x10, IO_BASE, 4), ==, 0);
    g_assert_cmphex(mpq_cfg_write(c, 0x14, MMIO_BASE, 4), ==, 0);
    g_assert_cmphex(mpq_cfg_write(c, 0x18, RAM_BASE, 4), ==, 0);
    g_assert_cmphex(mpq_cfg_write(c, 0x04, 7, 2), ==, 0);
}

static uint64_t reg(MpqClient *c, unsigned off)
{
    return mpq_bar_read(c, MMIO_BASE + off, 1, true);
}

/* Runs what is at guest address 0 until the chip interrupts; reading DSTAT takes that back. */
static void start_script(MpqClient *c)
{
    g_assert_cmphex(mpq_bar_write(c, MMIO_BASE + LSI_DIEN, 0x7d, 1, true), ==, 0);
    g_assert_cmphex(mpq_bar_write(c, MMIO_BASE + LSI_DSP, 0, 4, true), ==, 0);
    while (!(reg(c, LSI_ISTAT) & ISTAT_DIP)) {
        g_thread_yield();
    }
}

static uint64_t run_script(MpqClient *c)
{
    start_script(c);
    return reg(c, LSI_DSTAT);
}

static void put_script(uint8_t *ram)
{
    static const uint32_t script[] = { GUINT32_TO_LE(SCRIPT_INT), 0 };

    memcpy(ram, script, sizeof(script));
}

/* ---- the messages ---- */

static const struct {
    const char *name;
    size_t payload;
    unsigned fds_min, fds_max;
} messages[MPQ_CMDS] = {
    [MPQ_SYNC_SYSMEM] = { "SYNC_SYSMEM", 192, 1, 8 },
    [MPQ_RET] = { "RET", 8, 1, 0 }, /* never legal */
    [MPQ_PCI_CFGWRITE] = { "PCI_CFGWRITE", 12, 0, 0 },
    [MPQ_PCI_CFGREAD] = { "PCI_CFGREAD", 12, 0, 0 },
    [MPQ_BAR_WRITE] = { "BAR_WRITE", 24, 0, 0 },
    [MPQ_BAR_READ] = { "BAR_READ", 24, 0, 0 },
    [MPQ_SET_IRQFD] = { "SET_IRQFD", 0, 2, 2 },
    [MPQ_DEVICE_RESET] = { "DEVICE_RESET", 0, 0, 0 },
};

/* ---- the plain things first ---- */

static void test_hangup_exit(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = start_connected(f);

    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
    g_assert_cmpstr(mpq_process_output(f->p), ==, "");
}

/* Nobody asked anything: the VMM failed to start. */
static void test_hangup_at_once(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = mpq_process_connect(f->p, "lsi0");

    mpq_client_free(c);
    mpq_process_start(f->p);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* The peer is killed with an answer unread: a hang-up as well. */
static void test_hangup_unread(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = start_connected(f);
    MpqCfg cfg = { .len = 4 };

    mpq_send(c, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg), NULL, 0);
    mpq_process_wait_idle(f->p);
    g_assert_cmpuint(mpq_pending(c), ==, sizeof(MpqRet));
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

static void test_violation_exit(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = start_connected(f);

    mpq_send(c, 42, NULL, 0, NULL, 0);
    g_assert_true(mpq_wait_end(c));
    g_assert_cmpint(mpq_process_wait(f->p), <, 128);
    g_assert_cmpuint(count_text(f, "command 42"), ==, 1);
    mpq_client_free(c);
}

/* What the proxy does when it is realized. */
static void test_probe(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint32_t sizes[] = { 0xffffff01, 0xfffffc00, 0xffffe000, 0, 0, 0, 0 };
    MpqClient *c = start_connected(f);

    mpq_map_ram(c, 1 << 20);
    mpq_open_irq(c);
    g_assert_cmphex(mpq_cfg_read(c, 0x00, 2), ==, LSI_IDS & 0xffff);
    g_assert_cmphex(mpq_cfg_read(c, 0x02, 2), ==, LSI_IDS >> 16);
    g_assert_cmphex(mpq_cfg_read(c, 0x0a, 2), ==, 0x0100);
    g_assert_cmphex(mpq_cfg_read(c, 0x2e, 2), ==, 0x1000);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint32_t old = mpq_cfg_read(c, 0x10 + 4 * i, 4);

        g_assert_cmphex(mpq_cfg_write(c, 0x10 + 4 * i, 0xffffffff, 4), ==, 0);
        g_assert_cmphex(mpq_cfg_read(c, 0x10 + 4 * i, 4), ==, sizes[i]);
        g_assert_cmphex(mpq_cfg_write(c, 0x10 + 4 * i, old, 4), ==, 0);
    }
    mpq_reset(c);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

static void test_interrupt(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = start_connected(f);

    put_script(mpq_map_ram(c, 1 << 20));
    program_bars(c);
    start_script(c);
    mpq_open_irq(c); /* arrives with the line up */
    mpq_wait_irq(c);
    mpq_resample(c); /* the line still is */
    mpq_wait_irq(c);
    g_assert_cmphex(reg(c, LSI_DSTAT) & DSTAT_SIR, ==, DSTAT_SIR);
    mpq_resample(c);
    mpq_process_wait_idle(f->p);
    g_assert_false(mpq_take_irq(c));
    g_assert_cmphex(run_script(c) & DSTAT_SIR, ==, DSTAT_SIR);
    mpq_wait_irq(c);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

static void test_reset(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = start_connected(f);

    put_script(mpq_map_ram(c, 1 << 20));
    mpq_open_irq(c);
    for (unsigned i = 0; i < 3; i++) {
        program_bars(c);
        start_script(c);
        mpq_wait_irq(c);
        mpq_reset(c); /* with the line up */
        g_assert_cmphex(mpq_cfg_read(c, 0x04, 2), ==, 0);
        g_assert_cmphex(mpq_cfg_read(c, 0x14, 4), ==, 0);
        g_assert_cmphex(mpq_bar_read(c, MMIO_BASE, 1, true), ==, MPQ_ALL_ONES);
        mpq_resample(c);
        mpq_process_wait_idle(f->p);
        g_assert_false(mpq_take_irq(c));
    }
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* ---- splits ---- */

static void test_cut_off(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint8_t payload[MPQ_MAX_PAYLOAD];
    AUTO_FD fd = eventfd(0, EFD_CLOEXEC);
    int fds[] = { fd, fd };
    unsigned before = start_listening(f);

    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        uint8_t buf[sizeof(MpqHeader) + MPQ_MAX_PAYLOAD];
        size_t len = mpq_build(buf, cmd, payload, messages[cmd].payload);

        for (size_t cut = 1; cut < len && cmd != MPQ_RET; cut++) {
            MpqClient *c = mpq_client_open(f->p, f->path);

            g_assert_true(mpq_send_raw(c, buf, cut, fds, messages[cmd].fds_min));
            mpq_client_free(c);
        }
        g_assert_cmpuint(fds_with_client(f), ==, before);
        if (messages[cmd].payload > 0 && cmd != MPQ_RET) {
            g_autofree char *line =
                g_strdup_printf("%s: end of file inside the message", messages[cmd].name);

            g_assert_cmpuint(count_text(f, line), ==, messages[cmd].payload);
        }
    }
}

/* A hang-up behind a whole message, answer unread. */
static void test_message_and_hangup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint8_t payload[MPQ_MAX_PAYLOAD];
    AUTO_FD fd = eventfd(0, EFD_CLOEXEC);
    int fds[] = { fd, fd };
    unsigned before = start_listening(f);

    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        for (unsigned i = 0; i < 20 && cmd != MPQ_RET; i++) {
            MpqClient *c = mpq_client_open(f->p, f->path);

            mpq_send(c, cmd, payload, messages[cmd].payload, fds, messages[cmd].fds_min);
            mpq_client_free(c);
        }
        g_assert_cmpuint(fds_with_client(f), ==, before);
    }
}

/* Every kind of message once, into buf with the payload of what is harmless; offsets[] gets where
 * each begins. The last offset is the length. */
static void conversation(uint8_t *buf, size_t *offsets)
{
    MpqSysmem map = { .size = { PAGE } };
    MpqCfg cfg = { .addr = 0x3c, .value = 0x5a, .len = 1 };
    MpqBar bar = { .addr = MMIO_BASE, .size = 4, .memory = 1 };
    static const int32_t order[] = { MPQ_SYNC_SYSMEM,  MPQ_SET_IRQFD,   MPQ_DEVICE_RESET,
                                     MPQ_PCI_CFGWRITE, MPQ_PCI_CFGREAD, MPQ_BAR_WRITE,
                                     MPQ_BAR_READ };
    const void *payloads[MPQ_CMDS] = {
        [MPQ_SYNC_SYSMEM] = &map, [MPQ_PCI_CFGWRITE] = &cfg, [MPQ_PCI_CFGREAD] = &cfg,
        [MPQ_BAR_WRITE] = &bar,   [MPQ_BAR_READ] = &bar,
    };

    offsets[0] = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        offsets[i + 1] = offsets[i] + mpq_build(buf + offsets[i], order[i], payloads[order[i]],
                                                messages[order[i]].payload);
    }
}

#define CONVERSATION 7

static void check_answers(MpqClient *c)
{
    mpq_receive_empty(c);
    g_assert_cmphex(mpq_receive(c), ==, 0);
    g_assert_cmphex(mpq_receive(c), ==, 0x5a);
    g_assert_cmphex(mpq_receive(c), ==, MPQ_ALL_ONES); /* no BAR is programmed */
    g_assert_cmphex(mpq_receive(c), ==, MPQ_ALL_ONES);
}

static void test_bytewise(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = start_connected(f);
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    size_t offsets[CONVERSATION + 1];
    uint8_t buf[1024];
    int fds[2] = { irqfd, resamplefd };

    mpq_map_ram(c, PAGE);
    conversation(buf, offsets);
    for (size_t i = 0; i < offsets[CONVERSATION]; i++) {
        int ram = mpq_ram_fd(c);

        if (i == offsets[0]) {
            mpq_send_raw(c, buf + i, 1, &ram, 1);
        } else if (i == offsets[1]) {
            mpq_send_raw(c, buf + i, 1, fds, 2);
        } else {
            mpq_send_raw(c, buf + i, 1, NULL, 0);
        }
    }
    check_answers(c);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* All that needs no descriptors in one segment, a hundred times over in pieces of odd sizes. */
static void test_segments(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = start_connected(f);
    size_t offsets[CONVERSATION + 1], len;
    uint8_t one[1024];
    GByteArray *all = g_byte_array_new();

    conversation(one, offsets);
    len = offsets[CONVERSATION] - offsets[2];
    for (unsigned i = 0; i < 100; i++) {
        g_byte_array_append(all, one + offsets[2], len);
    }
    g_assert_true(mpq_send_raw(c, one + offsets[2], len, NULL, 0));
    check_answers(c);
    for (size_t at = 0, piece = 1; at < all->len; at += piece) {
        piece = MIN(piece % 301 + 17, all->len - at);
        g_assert_true(mpq_send_raw(c, all->data + at, piece, NULL, 0));
    }
    for (unsigned i = 0; i < 100; i++) {
        check_answers(c);
    }
    g_assert_cmpuint(mpq_pending(c), ==, 0);
    g_byte_array_free(all, TRUE);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* ---- framing ---- */

static void test_fd_counts(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint8_t payload[MPQ_MAX_PAYLOAD];
    static const unsigned counts[] = { 0, 1, 2, 3, 8, 9, 32, 33, 64 };
    AUTO_FD fd = eventfd(0, EFD_CLOEXEC);
    unsigned before = start_listening(f);
    int fds[64];

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = fd;
    }
    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        unsigned bad = 0;

        for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
            MpqClient *c;

            if (counts[i] >= messages[cmd].fds_min && counts[i] <= messages[cmd].fds_max) {
                continue;
            }
            c = mpq_client_open(f->p, f->path);
            mpq_send(c, cmd, payload, messages[cmd].payload, fds, counts[i]);
            g_assert_true(mpq_wait_end(c));
            mpq_client_free(c);
            bad++;
        }
        g_assert_cmpuint(fds_with_client(f), ==, before);
        g_assert_cmpuint(count_text(f, messages[cmd].name), ==, bad); /* a line each, no more */
    }
}

static void test_sizes(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint64_t sizes[] = { 0,         1,          4,          8,         11,
                                      12,        13,         16,         23,        24,
                                      25,        32,         191,        192,       193,
                                      1 << 20,   UINT32_MAX, 1ull << 32, INT64_MAX, UINT64_MAX - 15,
                                      UINT64_MAX };
    unsigned before = start_listening(f);

    for (int32_t cmd = 0; cmd < MPQ_CMDS; cmd++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
            MpqHeader header = { .cmd = cmd, .size = sizes[i] };
            MpqClient *c;

            if (cmd != MPQ_RET && sizes[i] == messages[cmd].payload) {
                continue;
            }
            c = mpq_client_open(f->p, f->path);
            mpq_send_raw(c, &header, sizeof(header), NULL, 0); /* the payload never comes */
            g_assert_true(mpq_wait_end(c));
            mpq_client_free(c);
        }
    }
    g_assert_cmpuint(fds_with_client(f), ==, before);
}

static void test_commands(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const int32_t cmds[] = { MPQ_RET, 8, 9, 100, -1, INT32_MIN, INT32_MAX };
    unsigned before = start_listening(f);

    for (unsigned i = 0; i < G_N_ELEMENTS(cmds); i++) {
        MpqClient *c = mpq_client_open(f->p, f->path);

        mpq_send(c, cmds[i], "12345678", 8, NULL, 0);
        g_assert_true(mpq_wait_end(c));
        mpq_client_free(c);
    }
    g_assert_cmpuint(fds_with_client(f), ==, before);
}

/* ---- content ---- */

static void test_senseless(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const MpqCfg cfgs[] = { { 0, 0, 0 },    { 0, 0, 3 },     { 0, 0, -1 },
                                   { 0xfd, 0, 4 }, { 0x100, 0, 1 }, { UINT32_MAX, 0, 4 } };
    static const MpqBar bars[] = {
        { .addr = 0, .size = 4, .memory = 1 },
        { .addr = UINT64_MAX, .size = 8, .memory = 1 },
        { .addr = MMIO_BASE, .size = 0, .memory = 1 },
        { .addr = MMIO_BASE, .size = 3, .memory = 1 },
        { .addr = MMIO_BASE, .size = 16, .memory = 1 },
        { .addr = MMIO_BASE, .size = UINT32_MAX, .memory = 1 },
        { .addr = MMIO_BASE, .size = 4, .memory = 0 },
        { .addr = MMIO_BASE + 0x3fc, .size = 8, .memory = 1 },
        { .addr = IO_BASE + 0xfe, .size = 4, .memory = 0 },
    };
    MpqClient *c = start_connected(f);

    program_bars(c);
    for (unsigned i = 0; i < G_N_ELEMENTS(cfgs); i++) {
        g_assert_cmphex(mpq_cfg_read(c, cfgs[i].addr, cfgs[i].len), ==, MPQ_ALL_ONES);
        g_assert_cmphex(mpq_cfg_write(c, cfgs[i].addr, 1, cfgs[i].len), ==, MPQ_ALL_ONES);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bars); i++) {
        g_assert_cmphex(mpq_bar_read(c, bars[i].addr, bars[i].size, bars[i].memory), ==,
                        MPQ_ALL_ONES);
        g_assert_cmphex(mpq_bar_write(c, bars[i].addr, 1, bars[i].size, bars[i].memory), ==,
                        MPQ_ALL_ONES);
    }
    g_assert_cmphex(mpq_cfg_read(c, 0xff, 1), ==, 0); /* ends the stock remote */
    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* A refused map leaves none behind: the script that ran before can't be fetched any more. */
static void test_senseless_maps(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const MpqSysmem maps[] = {
        { .gpa = { 0, 0 }, .size = { PAGE, PAGE } },
        { .gpa = { 0, PAGE }, .size = { PAGE, 0 } },
        { .gpa = { 0, UINT64_MAX - PAGE + 1 }, .size = { PAGE, 2 * PAGE } },
        { .gpa = { 0, PAGE }, .size = { PAGE, PAGE }, .offset = { 0, -4096 } },
        { .gpa = { 0, PAGE }, .size = { PAGE, PAGE }, .offset = { 0, INT64_MAX - 4095 } },
        { .gpa = { 0, PAGE }, .size = { PAGE, 1 << 21 } },
        { .gpa = { 0, PAGE + 1 }, .size = { PAGE, PAGE } },
        { .gpa = { 0, PAGE }, .size = { PAGE, PAGE - 1 } },
    };
    static const MpqSysmem good = { .size = { 1 << 20 } };
    AUTO_FD null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    MpqClient *c = start_connected(f);
    int sv[2];

    put_script(mpq_map_ram(c, 1 << 20));
    program_bars(c);
    for (unsigned i = 0; i < G_N_ELEMENTS(maps); i++) {
        g_assert_cmphex(run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);
        mpq_sync(c, &maps[i], mpq_ram_fd(c), 2);
        g_assert_cmphex(run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
        mpq_sync(c, &good, mpq_ram_fd(c), 1);
    }
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    mpq_sync(c, &good, sv[0], 1);
    g_assert_cmphex(run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
    mpq_sync(c, &good, null_fd, 1);
    mpq_set_irqfd(c, sv[0], sv[1]);
    mpq_set_irqfd(c, null_fd, null_fd);
    close(sv[0]);
    close(sv[1]);
    g_assert_cmphex(run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
    mpq_process_wait_idle(f->p);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

static void test_eight_regions(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqSysmem map = { 0 };
    MpqClient *c = start_connected(f);

    put_script(mpq_map_ram(c, 1 << 20));
    program_bars(c);
    for (unsigned i = 0; i < 8; i++) {
        map.gpa[i] = (7 - i) * 2 * PAGE;
        map.size[i] = PAGE;
        map.offset[i] = (7 - i) * PAGE;
    }
    mpq_sync(c, &map, mpq_ram_fd(c), 8);
    g_assert_cmphex(run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);
    g_assert_cmpstr(mpq_process_output(f->p), ==, "");
    mpq_client_free(c);
}

/* ---- memory ---- */

static void test_sync_leaks(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const MpqSysmem a = { .size = { PAGE }, .offset = { PAGE } };
    static const MpqSysmem b = { .gpa = { 0, 4 * PAGE }, .size = { 2 * PAGE, PAGE } };
    MpqClient *c = start_connected(f);
    g_autofree char *maps = NULL;
    g_auto(GStrv) lines = NULL;
    unsigned before;

    mpq_map_ram(c, 1 << 20);
    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    before = mpq_process_count_fds(f->p);
    for (unsigned i = 0; i < 500; i++) {
        mpq_sync(c, &a, mpq_ram_fd(c), 1);
        mpq_sync(c, &b, mpq_ram_fd(c), 2);
        mpq_open_irq(c);
    }
    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    g_assert_cmpuint(mpq_process_count_fds(f->p), ==, before + 2); /* the irqfd pair */
    maps = mpq_process_maps(f->p, "guest-ram");
    lines = g_strsplit(maps, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 2 + 1); /* two mappings, and behind the last line */
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

static void test_sync_keeps_mapping(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqSysmem map = { .gpa = { 0, 1 << 20 },
                      .size = { 0xa0000, 1 << 20 },
                      .offset = { 0, 1 << 20 } };
    MpqClient *c = start_connected(f);
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;

    mpq_map_ram(c, 2 << 20);
    mpq_sync(c, &map, mpq_ram_fd(c), 2);
    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    before = mpq_process_maps(f->p, "guest-ram");
    g_assert_cmpstr(before, !=, "");
    for (unsigned i = 0; i < 50; i++) {
        mpq_sync(c, &map, mpq_ram_fd(c), 2);
        g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    }
    after = mpq_process_maps(f->p, "guest-ram");
    g_assert_cmpstr(before, ==, after);
    mpq_client_free(c);
}

/* The file shrinks after it was mapped: a bus fault for the device, and nothing else. */
static void test_truncated_ram(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const MpqSysmem map = { .size = { 16 * PAGE } };
    g_autofree char *name = g_build_filename(f->dir, "ram", NULL);
    AUTO_FD file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    MpqClient *c = start_connected(f);

    g_assert_cmpint(ftruncate(file, 16 * PAGE), ==, 0);
    g_assert_cmpint(pwrite(file, &(uint32_t){ GUINT32_TO_LE(SCRIPT_INT) }, 4, 0), ==, 4);
    mpq_sync(c, &map, file, 1);
    program_bars(c);
    g_assert_cmphex(run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);
    g_assert_cmpint(ftruncate(file, 0), ==, 0);
    g_assert_cmphex(run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
    g_assert_cmphex(run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
    g_assert_cmpuint(count_text(f, "truncated"), ==, 1);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* ---- interrupts ---- */

static void test_full_irqfd(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC); /* blocking, too */
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC);
    uint64_t n = UINT64_MAX - 1;
    MpqClient *c = start_connected(f);

    g_assert_cmpint(write(irqfd, &n, sizeof(n)), ==, sizeof(n));
    put_script(mpq_map_ram(c, 1 << 20));
    program_bars(c);
    mpq_set_irqfd(c, irqfd, resamplefd);
    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    g_assert_cmpint(fd_set_nonblock(irqfd, false), ==, 0);
    start_script(c);
    n = 1;
    g_assert_cmpint(write(resamplefd, &n, sizeof(n)), ==, sizeof(n));
    mpq_process_wait_idle(f->p);
    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* One eventfd for both ends, a semaphore that never runs dry: no busy loop. */
static void test_endless_resample(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD semaphore = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    uint64_t n = UINT64_MAX - 1;
    MpqClient *c = start_connected(f);

    g_assert_cmpint(write(semaphore, &n, sizeof(n)), ==, sizeof(n));
    put_script(mpq_map_ram(c, 1 << 20));
    program_bars(c);
    start_script(c);
    mpq_set_irqfd(c, irqfd, irqfd);
    mpq_process_wait_idle(f->p);
    mpq_set_irqfd(c, irqfd, semaphore);
    mpq_process_wait_idle(f->p);
    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* ---- peers that do not read ---- */

static void test_unread(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = start_connected(f);
    MpqCfg cfg = { .len = 4 };
    uint8_t one[64];
    size_t len = mpq_build(one, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg)), sent = 0, more;
    GByteArray *many = g_byte_array_new();

    for (unsigned i = 0; i < 1000; i++) {
        g_byte_array_append(many, one, len);
    }
    /* Until it takes nothing more: its answers have filled our side, our requests its. */
    do {
        mpq_process_wait_idle(f->p);
        for (more = 0; sent + more < (size_t)len * 1000000;) {
            size_t n = mpq_send_some(c, many->data + (sent + more) % len, many->len - len);

            if (n == 0) {
                break;
            }
            more += n;
        }
        sent += more;
    } while (more > 0);
    mpq_process_wait_idle(f->p);
    g_assert_true(mpq_process_running(f->p));

    /* A peer that begins to read gets an answer for each request that was complete. */
    for (size_t i = 0; i < sent / len; i++) {
        g_assert_cmphex(mpq_receive(c), ==, LSI_IDS);
    }
    g_byte_array_free(many, TRUE);
    mpq_client_free(c);
    mpq_process_wait(f->p);
}

static void test_unread_hangup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = start_connected(f);
    MpqCfg cfg = { .len = 4 };
    uint8_t one[64];
    size_t len = mpq_build(one, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg));

    do {
        while (mpq_send_some(c, one, len) == len) {
        }
        mpq_process_wait_idle(f->p);
    } while (mpq_send_some(c, one, len) == len);
    mpq_client_free(c);
    mpq_process_wait(f->p);
}

/* ---- several connections in one process ---- */

/* Each has its own memory; what one peer breaks is its own affair. */
static void test_two_objects(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *a, *b;

    mpq_process_args(f->p, "-device", "lsi53c895a,id=lsi1", NULL);
    a = mpq_process_connect(f->p, "lsi0");
    b = mpq_process_connect(f->p, "lsi1");
    mpq_process_start(f->p);
    program_bars(a);
    program_bars(b);

    put_script(mpq_map_ram(a, 1 << 20));
    g_assert_cmphex(run_script(a) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);
    g_assert_cmphex(run_script(b) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
    put_script(mpq_map_ram(b, 1 << 20));
    g_assert_cmphex(run_script(b) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);

    mpq_send(a, 42, NULL, 0, NULL, 0);
    g_assert_true(mpq_wait_end(a));
    mpq_client_free(a);
    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmphex(run_script(b) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);
    }
    mpq_reset(b);
    mpq_client_free(b);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* One peer doesn't read, the other is served as ever. */
static void test_two_objects_one_stuck(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *stuck, *b;
    MpqCfg cfg = { .len = 4 };
    uint8_t one[64];
    size_t len = mpq_build(one, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg));

    mpq_process_args(f->p, "-device", "lsi53c895a,id=lsi1", NULL);
    stuck = mpq_process_connect(f->p, "lsi0");
    b = mpq_process_connect(f->p, "lsi1");
    mpq_process_start(f->p);
    for (unsigned i = 0; i < 2000; i++) {
        mpq_send_some(stuck, one, len);
        g_assert_cmphex(mpq_cfg_read(b, 0, 4), ==, LSI_IDS);
    }
    mpq_client_free(b);
    g_assert_true(mpq_process_running(f->p));
    mpq_client_free(stuck);
    mpq_process_wait(f->p);
}

/* Clients that come and go leave nothing behind, the last one's memory included. */
static void test_many_clients(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned before = start_listening(f);
    g_autofree char *maps = NULL;
    MpqClient *last;

    for (unsigned i = 0; i < 100; i++) {
        MpqClient *c = mpq_client_open(f->p, f->path);

        put_script(mpq_map_ram(c, 1 << 20));
        mpq_open_irq(c);
        g_assert_cmphex(mpq_cfg_read(c, 0x04, 2), ==, 0); /* as new */
        program_bars(c);
        g_assert_cmphex(run_script(c) & DSTAT_SIR, ==, DSTAT_SIR);
        mpq_client_free(c);
    }
    g_assert_cmpuint(fds_with_client(f), ==, before);
    last = mpq_client_open(f->p, f->path);
    g_assert_cmphex(mpq_cfg_read(last, 0, 4), ==, LSI_IDS);
    maps = mpq_process_maps(f->p, "guest-ram");
    g_assert_cmpstr(maps, ==, "");
    mpq_client_free(last);
}

static void test_program_missing(void)
{
    g_test_skip("$QEMU_REMOTE is not a program");
}

#define TEST(name) g_test_add("/wire/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    const char *program = g_getenv("QEMU_REMOTE");

    g_test_init(&argc, &argv, NULL);
    if (!program || access(program, X_OK) != 0) {
        g_test_add_func("/wire/program_missing", test_program_missing);
        return g_test_run();
    }
    TEST(hangup_exit);
    TEST(hangup_at_once);
    TEST(hangup_unread);
    TEST(violation_exit);
    TEST(probe);
    TEST(interrupt);
    TEST(reset);
    TEST(cut_off);
    TEST(message_and_hangup);
    TEST(bytewise);
    TEST(segments);
    TEST(fd_counts);
    TEST(sizes);
    TEST(commands);
    TEST(senseless);
    TEST(senseless_maps);
    TEST(eight_regions);
    TEST(sync_leaks);
    TEST(sync_keeps_mapping);
    TEST(truncated_ram);
    TEST(full_irqfd);
    TEST(endless_resample);
    TEST(unread);
    TEST(unread_hangup);
    TEST(two_objects);
    TEST(two_objects_one_stuck);
    TEST(many_clients);
    return g_test_run();
}
