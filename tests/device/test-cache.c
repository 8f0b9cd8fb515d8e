/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each way to the host's file: cache= by aio=. Random reads and writes from a fixed seed go over
 * one part of a raw disk again and again, several at a time, of one block to many, mostly at no
 * multiple of 4 KiB and to guest memory of any alignment. Every read must bring what was written
 * last, and so must the image itself when the processes have ended.
 *
 * Commands that are out at the same time don't overlap where one of them writes: their order would
 * be the device's choice. aio=native is O_DIRECT's alone. An engine that the host does not give is
 * replaced by another one, and the log says so: that case has tested nothing new, and is skipped.
 */
#include "machine.h"

#include "hw/scsi/scsi-cdb.h"
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512u
#define SEED 0xcac4eu

enum {
    COMMANDS = 100,
    DEPTH = 8,
    BLOCKS = 1024, /* of the disk: few, so that each is written several times */
    BLOCKS_EACH = 320,
    FUA = 1 << 3, /* in byte 1 of the CDB */
};

typedef struct Mode {
    const char *cache, *aio;
    bool direct;
} Mode;

typedef struct Slot {
    QLsiJob job;
    uint32_t buffer, lba, blocks; /* blocks: 0 if it touches none */
    bool out;
} Slot;

typedef struct Load {
    Machine *m;
    GRand *rand;
    uint8_t disk[DISK_BLOCKS * BLOCK]; /* as it must be */
    Slot slots[DEPTH];
    unsigned issued;
} Load;

/* ---- one command ---- */

static bool collides(const Load *load, const Slot *slot)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        const Slot *other = &load->slots[i];
        if (other != slot && other->out && slot->lba < other->lba + other->blocks &&
            other->lba < slot->lba + slot->blocks &&
            (slot->job.dir == QLSI_OUT || other->job.dir == QLSI_OUT)) {
            return true;
        }
    }
    return false;
}

static void choose_blocks(Load *load, Slot *slot)
{
    static const int most[] = { 8, 8, 8, 8, 128, 128, 128, BLOCKS_EACH };
    const int max = most[g_rand_int_range(load->rand, 0, G_N_ELEMENTS(most))];

    do {
        slot->blocks = g_rand_int_range(load->rand, 1, max + 1);
        slot->lba = g_rand_int_range(load->rand, 0, BLOCKS - slot->blocks + 1);
    } while (collides(load, slot));
    put_be32(slot->job.cdb + 2, slot->lba);
    put_be16(slot->job.cdb + 7, slot->blocks);
    slot->job.len = slot->blocks * BLOCK;
    slot->job.addr = slot->buffer + g_rand_int_range(load->rand, 0, 0x1000);
}

static void fill(Load *load, const Slot *slot)
{
    uint8_t *data = load->disk + slot->lba * BLOCK;

    for (uint32_t i = 0; i < slot->job.len; i += 4) {
        put_be32(data + i, g_rand_int(load->rand));
    }
    qtest_mem_write(load->m->q, slot->job.addr, data, slot->job.len);
}

/* A flush among sixteen, of the others half are writes, some with FUA. */
static void issue(Load *load, Slot *slot)
{
    const unsigned kind = g_rand_int_range(load->rand, 0, 16);

    slot->job = (QLsiJob){ .cdb_len = 10 };
    slot->blocks = 0;
    if (kind == 0) {
        slot->job.cdb[0] = SCSI_SYNCHRONIZE_CACHE_10;
    } else if (kind < 8) {
        slot->job.cdb[0] = SCSI_READ_10;
        slot->job.dir = QLSI_IN;
        choose_blocks(load, slot);
        qtest_mem_set(load->m->q, slot->job.addr, 0xee, slot->job.len);
    } else {
        slot->job.cdb[0] = SCSI_WRITE_10;
        slot->job.cdb[1] = kind < 11 ? FUA : 0;
        slot->job.dir = QLSI_OUT;
        choose_blocks(load, slot);
        fill(load, slot);
    }
    slot->out = true;
    load->issued++;
    qlsi_submit(load->m->lsi, &slot->job);
}

static void expect_same(const uint8_t *found, const uint8_t *wanted, uint32_t len, uint32_t lba)
{
    for (uint32_t i = 0; i < len; i++) {
        if (found[i] != wanted[i]) {
            g_error("byte %u from LBA %u on is %02x, not %02x", i, lba, found[i], wanted[i]);
        }
    }
}

static void finish(Load *load, Slot *slot)
{
    g_assert_cmphex(slot->job.status, ==, 0);
    g_assert_cmpuint(slot->job.left, ==, 0);
    if (slot->job.dir == QLSI_IN) {
        g_autofree uint8_t *data = g_malloc(slot->job.len);

        qtest_mem_read(load->m->q, slot->job.addr, data, slot->job.len);
        expect_same(data, load->disk + slot->lba * BLOCK, slot->job.len, slot->lba);
    }
    slot->out = false;
}

/* ---- the load ---- */

static void make_ready(QLsi *l)
{
    QLsiJob job = { .cdb = { SCSI_TEST_UNIT_READY }, .cdb_len = 6 };

    qlsi_run(l, &job);
    g_assert_cmphex(job.status, ==, 2); /* the unit attention of power-on */
    qlsi_run(l, &job);
    g_assert_cmphex(job.status, ==, 0);
}

static void run_load(Load *load)
{
    QLsi *l = load->m->lsi;
    unsigned finished = 0;

    for (unsigned i = 0; i < DEPTH; i++) {
        load->slots[i].buffer = qlsi_buffer(l, BLOCKS_EACH * BLOCK + 0x1000);
    }
    while (finished < COMMANDS) {
        for (unsigned i = 0; i < DEPTH && load->issued < COMMANDS; i++) {
            if (!load->slots[i].out) {
                issue(load, &load->slots[i]);
            }
        }
        qlsi_step(l);
        for (unsigned i = 0; i < DEPTH; i++) {
            if (load->slots[i].out && load->slots[i].job.done) {
                finish(load, &load->slots[i]);
                finished++;
            }
        }
    }
}

static bool have_direct(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("direct-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    g_unlink(path);
    return fd >= 0 && close(fd) == 0;
}

static void run_mode(const Mode *mode)
{
    g_autofree char *drive = g_strdup_printf(",cache=%s,aio=%s", mode->cache, mode->aio);
    g_autofree Load *load = g_new0(Load, 1);
    g_autofree uint8_t *image = g_malloc(sizeof(load->disk));
    g_autofree char *log = NULL;

    load->rand = g_rand_new_with_seed(SEED);
    load->m = machine_start(WAY_VFIO_USER, 1, &(MachineOptions){ .drive = drive, .log = true });
    machine_image_read(load->m, 0, 0, load->disk, DISK_BLOCKS);
    load->m->lsi = qlsi_new(load->m->q);
    make_ready(load->m->lsi);
    run_load(load);
    machine_end(load->m);
    machine_image_read(load->m, 0, 0, image, DISK_BLOCKS);
    expect_same(image, load->disk, sizeof(load->disk), 0);
    log = machine_log(load->m);
    if (strstr(log, "using aio=")) {
        g_test_skip(g_strchomp(log));
    } else {
        g_assert_cmpstr(log, ==, "");
    }
    machine_stop(load->m);
    g_rand_free(load->rand);
}

static void test_mode(gconstpointer data)
{
    const Mode *mode = data;
    const char *missing = machine_missing(WAY_VFIO_USER);

    if (missing) {
        g_test_skip(missing);
    } else if (mode->direct && !have_direct()) {
        g_test_skip("the file system of the folder for temporary files has no O_DIRECT");
    } else {
        run_mode(mode);
    }
}

int main(int argc, char **argv)
{
    static const Mode modes[] = {
        { "none", "io_uring", true },         { "none", "native", true },
        { "none", "threads", true },          { "writeback", "io_uring", false },
        { "writeback", "threads", false },    { "writethrough", "io_uring", false },
        { "writethrough", "threads", false }, { "directsync", "io_uring", true },
        { "directsync", "native", true },     { "directsync", "threads", true },
        { "unsafe", "io_uring", false },      { "unsafe", "threads", false },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autofree char *path = g_strdup_printf("/%s/%s", modes[i].cache, modes[i].aio);
        g_test_add_data_func(path, &modes[i], test_mode);
    }
    return g_test_run();
}
