/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of a few KiB without firmware, kernel or library under it. It says how it was started,
 * finds the LSI by a scan of the PCI bus, reads and writes blocks of the disk with SCSI id 0 first
 * polled and then by interrupts, moves the interrupt to another line half-way, and shows a sum of
 * each transfer: runs on different machines must show the same ones. Then the count of interrupts,
 * and the end by isa-debug-exit.
 *
 * Any PC that loads multiboot 1 or PVH images can run it. Its memory lies at 1 MiB.
 */
#include "guest.h"

#define BLOCK 512u
#define MAX_BLOCKS 64u
#define FIRST_LINE 11u
#define SECOND_LINE 10u

typedef struct MultibootInfo {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4],
        mmap_length, mmap_addr;
} MultibootInfo;

typedef struct PvhInfo {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    uint32_t memmap_entries, reserved;
} PvhInfo;

typedef struct Transfer {
    enum LsiMode mode;
    bool write;
    uint32_t lba, blocks;
} Transfer;

static const Transfer transfers[] = {
    { LSI_POLLED, false, 0, 1 },
    { LSI_POLLED, false, 5, 8 },
    { LSI_POLLED, false, 1000, MAX_BLOCKS },
    { LSI_POLLED, true, 2000, 2 },
    { LSI_POLLED, false, 1999, 4 },
    { LSI_INTERRUPT, false, 0, 1 },
    { LSI_INTERRUPT, false, 1000, MAX_BLOCKS },
    { LSI_INTERRUPT_TAGGED, false, 7, 3 },
    { LSI_INTERRUPT_TAGGED, true, 2010, 16 },
    { LSI_INTERRUPT_TAGGED, false, 2009, 18 },
    { LSI_INTERRUPT, true, 2012, 1 },
    { LSI_INTERRUPT, false, 2000, 32 },
};
#define N_TRANSFERS (sizeof(transfers) / sizeof(transfers[0]))
#define FIRST_ON_SECOND_LINE 9

static uint32_t buffer[MAX_BLOCKS * BLOCK / 4] __attribute__((aligned(4096)));

void guest_main(bool multiboot, uint32_t info);

/* ---- how we were started ---- */

static void check_map_multiboot(const MultibootInfo *info)
{
    uint32_t end = info->mmap_addr + info->mmap_length, top = 0;

    for (uint32_t p = info->mmap_addr; p < end; p += *(uint32_t *)p + 4) {
        const uint32_t *entry = (const uint32_t *)(p + 4); /* base, length: 64 bits; type */
        if (entry[4] == 1 && entry[0] == 0x100000) {
            top = entry[0] + entry[2];
        }
    }
    if (!(info->flags & 1 << 6) || top < (uint32_t)(buffer + sizeof(buffer) / 4)) {
        fail("a memory map without the memory we lie in");
    }
}

static void check_map_pvh(const PvhInfo *info)
{
    const uint32_t *entry = (const uint32_t *)(uint32_t)info->memmap_paddr;
    bool found = false;

    for (uint32_t i = 0; info->version >= 1 && i < info->memmap_entries; i++, entry += 6) {
        found |= entry[4] == 1 && entry[0] <= 0x100000 && !entry[1] &&
                 entry[0] + entry[2] >= (uint32_t)(buffer + sizeof(buffer) / 4);
    }
    if (!found) {
        fail("a memory map without the memory we lie in");
    }
}

static void tell_start(bool multiboot, uint32_t info)
{
    const char *cmdline;

    if (multiboot) {
        const MultibootInfo *mb = (const MultibootInfo *)info;
        check_map_multiboot(mb);
        cmdline = mb->flags & 1 << 2 ? (const char *)mb->cmdline : "";
    } else {
        const PvhInfo *pvh = (const PvhInfo *)info;
        if (pvh->magic != 0x336ec578) {
            fail("no start info");
        }
        check_map_pvh(pvh);
        cmdline = pvh->cmdline_paddr ? (const char *)(uint32_t)pvh->cmdline_paddr : "";
    }
    say("start ", multiboot ? "multiboot" : "pvh", " [", cmdline, "]\n", NULL);
}

/* ---- the disk ---- */

static void expect_good(uint8_t status, const char *what)
{
    if (status) {
        say("status ", hex(status, 2), "\n", NULL);
        fail(what);
    }
}

/* A disk reports that it has been reset before it does anything. */
static void make_ready(void)
{
    static const uint8_t ready[6] = { 0 }, sense[6] = { 0x03, 0, 0, 0, 18 };

    for (unsigned tries = 0; lsi_command(LSI_POLLED, ready, 6, false, NULL, 0); tries++) {
        if (tries == 3) {
            fail("the disk is not ready");
        }
        expect_good(lsi_command(LSI_POLLED, sense, 6, false, buffer, 18), "REQUEST SENSE");
    }
}

static void tell_disk(void)
{
    static const uint8_t inquiry[6] = { 0x12, 0, 0, 0, 36 }, capacity[10] = { 0x25 };
    char *text = (char *)buffer;

    expect_good(lsi_command(LSI_POLLED, inquiry, 6, false, buffer, 36), "INQUIRY");
    text[32] = 0;
    say("disk [", text + 8, "] ", NULL);
    expect_good(lsi_command(LSI_POLLED, capacity, 10, false, buffer, 8), "READ CAPACITY");
    say(dec(__builtin_bswap32(buffer[0]) + 1), " blocks of ", dec(__builtin_bswap32(buffer[1])),
        "\n", NULL);
}

/* Each word depends on its block, its place and the transfer. */
static void fill(unsigned number, uint32_t lba, uint32_t blocks)
{
    for (uint32_t i = 0; i < blocks * BLOCK / 4; i++) {
        buffer[i] = (lba * 128 + i) * 2654435761u + number;
    }
}

static uint32_t sum(uint32_t blocks)
{
    uint32_t s = 0;

    for (uint32_t i = 0; i < blocks * BLOCK / 4; i++) {
        s = (s << 5 | s >> 27) + buffer[i];
    }
    return s;
}

static void transfer(unsigned number, const Transfer *t)
{
    static const char *const modes[] = { "polled", "interrupt", "tagged" };
    const uint8_t cdb[10] = {
        t->write ? 0x2a : 0x28, 0, t->lba >> 24, t->lba >> 16, t->lba >> 8, t->lba, 0, 0, t->blocks
    };

    if (t->write) {
        fill(number, t->lba, t->blocks);
    } else {
        for (uint32_t i = 0; i < t->blocks * BLOCK / 4; i++) {
            buffer[i] = 0xdeadbeef;
        }
    }
    expect_good(lsi_command(t->mode, cdb, 10, t->write, buffer, t->blocks * BLOCK), "a transfer");
    say(modes[t->mode], t->write ? " write " : " read ", dec(t->lba), "+", dec(t->blocks), " sum ",
        hex(sum(t->blocks), 8), "\n", NULL);
}

void guest_main(bool multiboot, uint32_t info)
{
    tell_start(multiboot, info);
    interrupts_init();
    lsi_init();
    make_ready();
    tell_disk();
    lsi_route(FIRST_LINE);
    for (unsigned i = 0; i < N_TRANSFERS; i++) {
        if (i == FIRST_ON_SECOND_LINE && !lsi_deaf) {
            lsi_route(SECOND_LINE);
        }
        transfer(i, &transfers[i]);
    }
    say("interrupts ", dec(lsi_interrupts), " idle ", dec(lsi_idle_interrupts), " spurious ",
        dec(spurious), "\n", NULL);
    say("passed\n", NULL);
    quit(PASSED);
}
