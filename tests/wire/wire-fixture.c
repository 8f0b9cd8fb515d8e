/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process of a wire test: an LSI 53C895A with one disk, in a folder of its own. The device is
 * used for two things only: a one-instruction SCRIPTS program in guest memory that interrupts
 * (INT), and the bus fault it reports when that can't be fetched.
 */
#include "wire-fixture.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LSI_ISTAT 0x14
#define LSI_DSP 0x2c
#define LSI_DIEN 0x39
#define ISTAT_DIP 0x01

/* ---- processes and connections ---- */

void wire_setup(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
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

void wire_teardown(WireFixture *f, gconstpointer data G_GNUC_UNUSED)
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

MpqClient *wire_start_connected(WireFixture *f)
{
    MpqClient *c = mpq_process_connect(f->p, "lsi0");

    mpq_process_start(f->p);
    return c;
}

/* One client is served at a time, so when this one gets an answer, the last one is gone. */
unsigned wire_count_fds(WireFixture *f)
{
    MpqClient *c = mpq_client_open(f->p, f->path);
    unsigned n;

    g_assert_cmphex(mpq_cfg_read(c, 0, 4), ==, LSI_IDS);
    n = mpq_process_count_fds(f->p);
    mpq_client_free(c);
    return n;
}

unsigned wire_start_listening(WireFixture *f)
{
    mpq_process_listen(f->p, "lsi0", f->path);
    mpq_process_start(f->p);
    return wire_count_fds(f);
}

unsigned wire_count_text(WireFixture *f, const char *what)
{
    unsigned n = 0;

    for (const char *at = mpq_process_output(f->p); (at = strstr(at, what)); at++) {
        n++;
    }
    return n;
}

/* ---- the device ---- */

void wire_program_bars(MpqClient *c)
{
    g_assert_cmphex(mpq_cfg_write(c, 0x10, IO_BASE, 4), ==, 0);
    g_assert_cmphex(mpq_cfg_write(c, 0x14, MMIO_BASE, 4), ==, 0);
    g_assert_cmphex(mpq_cfg_write(c, 0x18, RAM_BASE, 4), ==, 0);
    g_assert_cmphex(mpq_cfg_write(c, 0x04, 7, 2), ==, 0);
}

uint64_t wire_reg(MpqClient *c, unsigned off)
{
    return mpq_bar_read(c, MMIO_BASE + off, 1, true);
}

void wire_start_script(MpqClient *c)
{
    int64_t until = g_get_monotonic_time() + MPQ_TIMEOUT_MS * INT64_C(1000);

    g_assert_cmphex(mpq_bar_write(c, MMIO_BASE + LSI_DIEN, 0x7d, 1, true), ==, 0);
    g_assert_cmphex(mpq_bar_write(c, MMIO_BASE + LSI_DSP, 0, 4, true), ==, 0);
    while (!(wire_reg(c, LSI_ISTAT) & ISTAT_DIP)) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
}

uint64_t wire_run_script(MpqClient *c)
{
    wire_start_script(c);
    return wire_reg(c, LSI_DSTAT);
}

void wire_put_script(uint8_t *ram)
{
    static const uint32_t script[] = { GUINT32_TO_LE(SCRIPT_INT), 0 };

    memcpy(ram, script, sizeof(script));
}

/* ---- the messages ---- */

const WireMessage wire_messages[MPQ_CMDS] = {
    [MPQ_SYNC_SYSMEM] = { "SYNC_SYSMEM", 192, 1, 8 },
    [MPQ_RET] = { "RET", 8, 1, 0 }, /* never legal */
    [MPQ_PCI_CFGWRITE] = { "PCI_CFGWRITE", 12, 0, 0 },
    [MPQ_PCI_CFGREAD] = { "PCI_CFGREAD", 12, 0, 0 },
    [MPQ_BAR_WRITE] = { "BAR_WRITE", 24, 0, 0 },
    [MPQ_BAR_READ] = { "BAR_READ", 24, 0, 0 },
    [MPQ_SET_IRQFD] = { "SET_IRQFD", 0, 2, 2 },
    [MPQ_DEVICE_RESET] = { "DEVICE_RESET", 0, 0, 0 },
};

static void test_program_missing(void)
{
    g_test_skip("$QEMU_REMOTE is not a program");
}

void wire_test_init(int *argc, char ***argv)
{
    const char *program = g_getenv("QEMU_REMOTE");

    g_test_init(argc, argv, NULL);
    if (!program || access(program, X_OK) != 0) {
        g_test_add_func("/wire/program_missing", test_program_missing);
        exit(g_test_run());
    }
}
