/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See lsi-harness.h. The disks are files in a temporary folder, served by the threads engine, so
 * that completions come from elsewhere as they do in the program.
 */
#include "lsi-harness.h"

#include "block/drivers.h"
#include "block/engine.h"
#include "hw/scsi/lsi.h"
#include "hw/scsi/scsi-disk.h"
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- a format driver that keeps requests back while the test says so ---- */

static bool holding;
static BlockReq *held;
static uint64_t at_hand; /* bytes of each image that read_now() finds */
static unsigned reads_now;

static bool hold_open(BlockNode *node, Opts *opts, GError **errp)
{
    BlockNode *file = block_open_child(node, opts, "file", errp);

    if (!file) {
        return false;
    }
    node->size = file->size;
    node->align = file->align;
    return true;
}

static void hold_close(BlockNode *node G_GNUC_UNUSED)
{
}

static void hold_submit(BlockNode *node, BlockReq *req)
{
    if (holding && req->op != BLOCK_FLUSH) {
        req->next = held;
        held = req;
    } else {
        node->file->driver->submit(node->file, req);
    }
}

static size_t hold_read_now(BlockNode *node, uint64_t offset, const struct iovec *iov,
                            unsigned niov)
{
    int fd = offset < at_hand ? open(node->file->filename, O_RDONLY) : -1;
    size_t done = 0;

    for (unsigned i = 0; fd >= 0 && i < niov && offset + done < at_hand; i++) {
        size_t n = MIN(iov[i].iov_len, at_hand - offset - done);

        g_assert_cmpint(pread(fd, iov[i].iov_base, n, offset + done), ==, n);
        done += n;
    }
    if (fd >= 0) {
        close(fd);
        reads_now++;
    }
    return done;
}

static const OptDesc hold_opts[] = { { 0 } };

static const BlockDriver hold_driver = {
    .name = "hold",
    .opts = hold_opts,
    .open = hold_open,
    .close = hold_close,
    .submit = hold_submit,
    .read_now = hold_read_now,
};

void lt_at_hand(uint64_t end)
{
    at_hand = end;
    reads_now = 0;
}

unsigned lt_reads_now(void)
{
    return reads_now;
}

void lt_hold(bool on)
{
    holding = on;
    while (!on && held) {
        BlockReq *req = held;
        held = req->next;
        req->node->file->driver->submit(req->node->file, req);
    }
}

static const DeviceType *const types[] = {
    &lsi53c895a_type, &lsi53c810_type, &lsi53c810a_type, &scsi_hd_type, NULL,
};
static const BlockDriver *const drivers[] = { &block_file_driver, &hold_driver, NULL };
static const BlockEngineType *const engines[] = { &block_engine_threads, NULL };

static void set_irq(void *opaque, PciDev *dev G_GNUC_UNUSED, bool level)
{
    LsiTest *t = opaque;

    if (level && !t->irq) {
        t->irqs++;
    }
    t->irq = level;
}

static const PciHostOps host_ops = { .set_irq = set_irq };

uint8_t lt_pattern(unsigned disk, uint64_t block)
{
    return 0x11 * (disk + 1) ^ (block * 7 + 3);
}

static char *disk_path(LsiTest *t, unsigned disk)
{
    return g_strdup_printf("%s/disk%u", t->dir, disk);
}

uint8_t lt_image_byte(LsiTest *t, unsigned disk, uint64_t off)
{
    g_autofree char *path = disk_path(t, disk);
    int fd = open(path, O_RDONLY);
    uint8_t b;

    g_assert_cmpint(pread(fd, &b, 1, off), ==, 1);
    close(fd);
    return b;
}

void lt_image_put(LsiTest *t, unsigned disk, uint64_t off, const void *data, size_t len)
{
    g_autofree char *path = disk_path(t, disk);
    int fd = open(path, O_WRONLY);

    g_assert_cmpint(pwrite(fd, data, len, (off_t)off), ==, len);
    close(fd);
}

static void add_device(LsiTest *t, const char *text)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opts) opts = opts_parse(text, "driver", &err);

    g_assert_no_error(err);
    device_new(t->tree, opts, &err);
    g_assert_no_error(err);
}

static void make_image(LsiTest *t, unsigned disk)
{
    g_autofree char *path = disk_path(t, disk);
    g_autofree uint8_t *image = g_malloc(LT_DISK_BLOCKS * 512);

    for (unsigned b = 0; b < LT_DISK_BLOCKS; b++) {
        memset(image + 512 * b, lt_pattern(disk, b), 512);
    }
    g_assert_true(g_file_set_contents(path, (char *)image, LT_DISK_BLOCKS * 512, NULL));
}

static void add_disk(LsiTest *t, unsigned disk)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *path = disk_path(t, disk);
    g_autofree char *drive = g_strdup_printf("if=none,id=d%u,format=hold,file=%s", disk, path);
    g_autofree char *dev = g_strdup_printf(
        "scsi-hd,id=hd%u,drive=d%u,bus=lsi0.0,scsi-id=%u,serial=S%u", disk, disk, disk, disk);
    g_autoptr(Opts) opts = opts_parse(drive, NULL, NULL);

    block_open_drive(t->blocks, opts, &err);
    g_assert_no_error(err);
    add_device(t, dev);
}

static void map_ram(LsiTest *t)
{
    g_autoptr(GError) err = NULL;
    int fd = memfd_create("ram", MFD_CLOEXEC);
    GuestMap map = { .gpa = 0, .size = LT_RAM_SIZE, .fd = fd };

    g_assert_cmpint(ftruncate(fd, LT_RAM_SIZE), ==, 0);
    t->ram = mmap(NULL, LT_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(t->ram != MAP_FAILED);
    guest_memory_replace(t->mem, &map, 1, &err);
    g_assert_no_error(err);
    close(fd);
}

/* The device at power-on, on the disks that there are. */
static void plug(LsiTest *t)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *dev = g_strdup_printf("%s,id=lsi0", t->model);

    t->blocks = block_graph_new(drivers, engines);
    t->tree = device_tree_new(types, t->blocks);
    add_device(t, dev);
    for (unsigned d = 0; d < t->n_disks; d++) {
        add_disk(t, d);
    }
    t->pci = device_find(t->tree, "lsi0")->state;
    t->s = (Lsi *)t->pci;
    t->host = (PciHost){ .ops = &host_ops, .opaque = t, .loop = t->loop, .mem = t->mem };
    g_assert_true(pci_dev_attach(t->pci, &t->host, &err));
    g_assert_no_error(err);
    pci_dev_reset(t->pci);
}

LsiTest *lt_new(const char *model, unsigned disks)
{
    LsiTest *t = g_new0(LsiTest, 1);

    t->model = model;
    t->dir = g_dir_make_tmp("lsi-XXXXXX", NULL);
    t->loop = loop_new("test", NULL);
    t->mem = guest_memory_new("test");
    t->n_disks = disks;
    map_ram(t);
    for (unsigned d = 0; d < disks; d++) {
        make_image(t, d);
    }
    plug(t);
    pci_cfg_write(t->pci, PCI_BAR0, LT_BAR_IO, 4);
    pci_cfg_write(t->pci, PCI_BAR0 + 4, LT_BAR_REGS, 4);
    pci_cfg_write(t->pci, PCI_BAR0 + 8, LT_BAR_RAM, 4);
    pci_cfg_write(t->pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER, 2);
    lt_org(t, LT_SCRIPT);
    return t;
}

static void on_idle(void *opaque)
{
    *(bool *)opaque = true;
}

bool lt_no_tasks(LsiTest *t)
{
    return t->s->n_tasks == 0;
}

void lt_settle(LsiTest *t)
{
    int64_t end = loop_now_ns() + 10 * INT64_C(1000000000);
    bool idle = false;

    lt_hold(false);
    t->pci->ops->drain(t->pci, on_idle, &idle);
    while (!idle) {
        loop_turn(t->loop, 100);
        g_assert_cmpint(loop_now_ns(), <, end);
    }
}

static void unplug(LsiTest *t)
{
    lt_settle(t);
    g_assert_cmpuint(t->s->n_tasks, ==, 0);
    pci_dev_detach(t->pci);
    device_tree_free(t->tree);
    block_graph_free(t->blocks);
}

typedef struct Saving {
    LsiTest *t;
    GByteArray *state;
} Saving;

static void on_frozen(void *opaque)
{
    Saving *s = opaque;

    s->state = lsi_save(s->t->pci);
}

GByteArray *lt_save(LsiTest *t)
{
    Saving s = { t, NULL };
    bool was_holding = holding;

    lt_hold(false);
    lsi_freeze(t->pci, on_frozen, &s);
    while (!s.state) {
        loop_turn(t->loop, 100);
    }
    lt_hold(was_holding);
    return s.state;
}

bool lt_load(LsiTest *t, const GByteArray *state, GError **errp)
{
    return lsi_load(t->pci, state->data, state->len, errp);
}

void lt_replug(LsiTest *t)
{
    bool was_holding = holding;

    unplug(t);
    t->irqs -= t->irq; /* it will be raised once more */
    t->irq = false;
    plug(t);
    lt_hold(was_holding);
}

void lt_reborn(LsiTest *t)
{
    g_autoptr(GByteArray) state = lt_save(t);
    g_autoptr(GError) err = NULL;

    lt_replug(t);
    lt_load(t, state, &err);
    g_assert_no_error(err);
}

void lt_free(LsiTest *t)
{
    unplug(t);
    guest_memory_free(t->mem);
    loop_free(t->loop);
    munmap(t->ram, LT_RAM_SIZE);
    for (unsigned d = 0; d < t->n_disks; d++) {
        g_autofree char *path = disk_path(t, d);
        g_unlink(path);
    }
    g_rmdir(t->dir);
    g_free(t->dir);
    g_free(t);
}

uint8_t lt_r8(LsiTest *t, unsigned off)
{
    return pci_bar_read(t->pci, 1, off, 1);
}

uint32_t lt_r32(LsiTest *t, unsigned off)
{
    return pci_bar_read(t->pci, 1, off, 4);
}

void lt_w8(LsiTest *t, unsigned off, uint8_t v)
{
    pci_bar_write(t->pci, 1, off, v, 1);
}

void lt_w32(LsiTest *t, unsigned off, uint32_t v)
{
    pci_bar_write(t->pci, 1, off, v, 4);
}

void lt_put32(LsiTest *t, uint32_t gpa, uint32_t v)
{
    if (gpa >= LT_BAR_RAM) {
        pci_bar_write(t->pci, 2, gpa - LT_BAR_RAM, v, 4);
    } else {
        memcpy(t->ram + gpa, &v, 4);
    }
}

uint32_t lt_get32(LsiTest *t, uint32_t gpa)
{
    uint32_t v;

    memcpy(&v, t->ram + gpa, 4);
    return v;
}

void lt_org(LsiTest *t, uint32_t gpa)
{
    t->pc = gpa;
}

void lt_emit1(LsiTest *t, uint32_t a)
{
    lt_put32(t, t->pc, a);
    t->pc += 4;
}

uint32_t lt_emit(LsiTest *t, uint32_t a, uint32_t b)
{
    uint32_t at = t->pc;

    lt_emit1(t, a);
    lt_emit1(t, b);
    return at;
}

void lt_until(LsiTest *t, bool (*cond)(LsiTest *t))
{
    for (int64_t end = loop_now_ns() + 10 * INT64_C(1000000000); !cond(t);) {
        loop_turn(t->loop, 100);
        if (loop_now_ns() > end) {
            g_error("timed out: run %u at %08x, connected %u phase %u req %u", t->s->st.run,
                    t->s->st.insn_addr, t->s->st.connected, t->s->st.phase, t->s->st.req);
        }
    }
}

void lt_turns(LsiTest *t, unsigned n)
{
    while (n--) {
        loop_turn(t->loop, 0);
    }
}

static bool stopped(LsiTest *t)
{
    return t->s->st.run == LSI_STOPPED || (t->s->st.run == LSI_WAIT_RESELECT && !t->s->n_tasks &&
                                           !(t->s->st.reg[LSI_ISTAT0] & ISTAT0_SIGP));
}

void lt_start(LsiTest *t, uint32_t dsp)
{
    lt_w32(t, LSI_DSP, dsp);
}

void lt_wait_stop(LsiTest *t)
{
    lt_until(t, stopped);
}

void lt_run(LsiTest *t, uint32_t dsp)
{
    lt_start(t, dsp);
    lt_wait_stop(t);
}

void lt_run_int(LsiTest *t, uint32_t dsp, uint32_t vector)
{
    lt_run(t, dsp);
    g_assert_cmphex(lt_r8(t, LSI_ISTAT0) & (ISTAT0_SIP | ISTAT0_DIP), ==, ISTAT0_DIP);
    g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_SIR);
    g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, vector);
}
