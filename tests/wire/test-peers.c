/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Peers against the real program ($QEMU_REMOTE): a polite one, then those that ask for nonsense,
 * do not read, shrink the RAM file, send interrupt descriptors that are full or never fall silent;
 * several at a time, and one after the other.
 */
#include "util/fd.h"
#include "wire-fixture.h"
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the plain things first ---- */

static void test_hangup_exit(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = wire_start_connected(f);

    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
    g_assert_cmpstr(mpq_process_output(f->p), ==, "");
}

/* Nobody asked anything: the VMM failed to start. */
static void test_hangup_at_once(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = mpq_process_connect(f->p, "lsi0");

    mpq_client_free(c);
    mpq_process_start(f->p);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* The peer is killed with an answer unread: a hang-up as well. */
static void test_hangup_unread(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = wire_start_connected(f);
    MpqCfg cfg = { .len = 4 };

    mpq_send(c, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg), NULL, 0);
    mpq_process_wait_idle(f->p);
    g_assert_cmpuint(mpq_pending(c), ==, sizeof(MpqRet));
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

static void test_violation_exit(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = wire_start_connected(f);

    mpq_send(c, 42, NULL, 0, NULL, 0);
    g_assert_true(mpq_wait_end(c));
    g_assert_cmpint(mpq_process_wait(f->p), ==, 2);
    g_assert_cmpuint(wire_count_text(f, "command 42"), ==, 1);
    mpq_client_free(c);
}

/* What the proxy does when it is realized. */
static void test_probe(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const uint32_t sizes[] = { 0xffffff01, 0xfffffc00, 0xffffe000, 0, 0, 0, 0 };
    MpqClient *c = wire_start_connected(f);

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

static void test_interrupt(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = wire_start_connected(f);

    wire_put_script(mpq_map_ram(c, 1 << 20));
    wire_program_bars(c);
    wire_start_script(c);
    mpq_open_irq(c); /* arrives with the line up */
    mpq_wait_irq(c);
    mpq_resample(c); /* the line still is */
    mpq_wait_irq(c);
    g_assert_cmphex(wire_reg(c, LSI_DSTAT) & DSTAT_SIR, ==, DSTAT_SIR);
    mpq_resample(c);
    mpq_process_wait_idle(f->p);
    g_assert_false(mpq_take_irq(c));
    g_assert_cmphex(wire_run_script(c) & DSTAT_SIR, ==, DSTAT_SIR);
    mpq_wait_irq(c);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

static void test_reset(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = wire_start_connected(f);

    wire_put_script(mpq_map_ram(c, 1 << 20));
    mpq_open_irq(c);
    for (unsigned i = 0; i < 3; i++) {
        wire_program_bars(c);
        wire_start_script(c);
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

/* ---- content ---- */

static void test_senseless(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
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
    MpqClient *c = wire_start_connected(f);

    wire_program_bars(c);
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
static void test_senseless_maps(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
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
    MpqClient *c = wire_start_connected(f);
    int sv[2];

    wire_put_script(mpq_map_ram(c, 1 << 20));
    wire_program_bars(c);
    for (unsigned i = 0; i < G_N_ELEMENTS(maps); i++) {
        g_assert_cmphex(wire_run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);
        mpq_sync(c, &maps[i], mpq_ram_fd(c), 2);
        g_assert_cmphex(wire_run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
        mpq_sync(c, &good, mpq_ram_fd(c), 1);
    }
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    mpq_sync(c, &good, sv[0], 1);
    g_assert_cmphex(wire_run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
    mpq_sync(c, &good, null_fd, 1);
    mpq_set_irqfd(c, sv[0], sv[1]);
    mpq_set_irqfd(c, null_fd, null_fd);
    close(sv[0]);
    close(sv[1]);
    g_assert_cmphex(wire_run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
    mpq_process_wait_idle(f->p);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

static void test_eight_regions(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqSysmem map = { 0 };
    MpqClient *c = wire_start_connected(f);

    wire_put_script(mpq_map_ram(c, 1 << 20));
    wire_program_bars(c);
    for (unsigned i = 0; i < 8; i++) {
        map.gpa[i] = (7 - i) * 2 * PAGE;
        map.size[i] = PAGE;
        map.offset[i] = (7 - i) * PAGE;
    }
    mpq_sync(c, &map, mpq_ram_fd(c), 8);
    g_assert_cmphex(wire_run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);
    g_assert_cmpstr(mpq_process_output(f->p), ==, "");
    mpq_client_free(c);
}

/* ---- memory ---- */

static void test_sync_leaks(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const MpqSysmem a = { .size = { PAGE }, .offset = { PAGE } };
    static const MpqSysmem b = { .gpa = { 0, 4 * PAGE }, .size = { 2 * PAGE, PAGE } };
    MpqClient *c = wire_start_connected(f);
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

static void test_sync_keeps_mapping(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqSysmem map = { .gpa = { 0, 1 << 20 },
                      .size = { 0xa0000, 1 << 20 },
                      .offset = { 0, 1 << 20 } };
    MpqClient *c = wire_start_connected(f);
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
static void test_truncated_ram(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const MpqSysmem map = { .size = { 16 * PAGE } };
    g_autofree char *name = g_build_filename(f->dir, "ram", NULL);
    AUTO_FD file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    MpqClient *c = wire_start_connected(f);

    g_assert_cmpint(ftruncate(file, 16 * PAGE), ==, 0);
    g_assert_cmpint(pwrite(file, &(uint32_t){ GUINT32_TO_LE(SCRIPT_INT) }, 4, 0), ==, 4);
    mpq_sync(c, &map, file, 1);
    wire_program_bars(c);
    g_assert_cmphex(wire_run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);
    g_assert_cmpint(ftruncate(file, 0), ==, 0);
    g_assert_cmphex(wire_run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
    g_assert_cmphex(wire_run_script(c) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
    g_assert_cmpuint(wire_count_text(f, "truncated"), ==, 1);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* ---- interrupts ---- */

static void test_full_irqfd(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC); /* blocking, too */
    AUTO_FD resamplefd = eventfd(0, EFD_CLOEXEC);
    uint64_t n = UINT64_MAX - 1;
    MpqClient *c = wire_start_connected(f);

    g_assert_cmpint(write(irqfd, &n, sizeof(n)), ==, sizeof(n));
    wire_put_script(mpq_map_ram(c, 1 << 20));
    wire_program_bars(c);
    mpq_set_irqfd(c, irqfd, resamplefd);
    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    g_assert_cmpint(fd_set_nonblock(irqfd, false), ==, 0);
    wire_start_script(c);
    n = 1;
    g_assert_cmpint(write(resamplefd, &n, sizeof(n)), ==, sizeof(n));
    mpq_process_wait_idle(f->p);
    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* One eventfd for both ends, a semaphore that never runs dry: no busy loop. */
static void test_endless_resample(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    AUTO_FD semaphore = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    uint64_t n = UINT64_MAX - 1;
    MpqClient *c = wire_start_connected(f);

    g_assert_cmpint(write(semaphore, &n, sizeof(n)), ==, sizeof(n));
    wire_put_script(mpq_map_ram(c, 1 << 20));
    wire_program_bars(c);
    wire_start_script(c);
    mpq_set_irqfd(c, irqfd, irqfd);
    mpq_process_wait_idle(f->p);
    mpq_set_irqfd(c, irqfd, semaphore);
    mpq_process_wait_idle(f->p);
    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    mpq_client_free(c);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* ---- peers that do not read ---- */

static void test_unread(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = wire_start_connected(f);
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

static void test_unread_hangup(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *c = wire_start_connected(f);
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
static void test_two_objects(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MpqClient *a, *b;

    mpq_process_args(f->p, "-device", "lsi53c895a,id=lsi1", NULL);
    a = mpq_process_connect(f->p, "lsi0");
    b = mpq_process_connect(f->p, "lsi1");
    mpq_process_start(f->p);
    wire_program_bars(a);
    wire_program_bars(b);

    wire_put_script(mpq_map_ram(a, 1 << 20));
    g_assert_cmphex(wire_run_script(a) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);
    g_assert_cmphex(wire_run_script(b) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_BF);
    wire_put_script(mpq_map_ram(b, 1 << 20));
    g_assert_cmphex(wire_run_script(b) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);

    mpq_send(a, 42, NULL, 0, NULL, 0);
    g_assert_true(mpq_wait_end(a));
    mpq_client_free(a);
    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmphex(wire_run_script(b) & (DSTAT_SIR | DSTAT_BF), ==, DSTAT_SIR);
    }
    mpq_reset(b);
    mpq_client_free(b);
    g_assert_cmpint(mpq_process_wait(f->p), ==, 0);
}

/* One peer doesn't read, the other is served as ever. */
static void test_two_objects_one_stuck(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
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
static void test_many_clients(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned before = wire_start_listening(f);
    g_autofree char *maps = NULL;
    MpqClient *last;

    for (unsigned i = 0; i < 100; i++) {
        MpqClient *c = mpq_client_open(f->p, f->path);

        wire_put_script(mpq_map_ram(c, 1 << 20));
        mpq_open_irq(c);
        g_assert_cmphex(mpq_cfg_read(c, 0x04, 2), ==, 0); /* as new */
        wire_program_bars(c);
        g_assert_cmphex(wire_run_script(c) & DSTAT_SIR, ==, DSTAT_SIR);
        mpq_client_free(c);
    }
    g_assert_cmpuint(wire_count_fds(f), ==, before);
    last = mpq_client_open(f->p, f->path);
    g_assert_cmphex(mpq_cfg_read(last, 0, 4), ==, LSI_IDS);
    maps = mpq_process_maps(f->p, "guest-ram");
    g_assert_cmpstr(maps, ==, "");
    mpq_client_free(last);
}

int main(int argc, char **argv)
{
    wire_test_init(&argc, &argv);
    WIRE_TEST(hangup_exit);
    WIRE_TEST(hangup_at_once);
    WIRE_TEST(hangup_unread);
    WIRE_TEST(violation_exit);
    WIRE_TEST(probe);
    WIRE_TEST(interrupt);
    WIRE_TEST(reset);
    WIRE_TEST(senseless);
    WIRE_TEST(senseless_maps);
    WIRE_TEST(eight_regions);
    WIRE_TEST(sync_leaks);
    WIRE_TEST(sync_keeps_mapping);
    WIRE_TEST(truncated_ram);
    WIRE_TEST(full_irqfd);
    WIRE_TEST(endless_resample);
    WIRE_TEST(unread);
    WIRE_TEST(unread_hangup);
    WIRE_TEST(two_objects);
    WIRE_TEST(two_objects_one_stuck);
    WIRE_TEST(many_clients);
    return g_test_run();
}
