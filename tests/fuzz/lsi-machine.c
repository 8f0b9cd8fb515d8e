/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See lsi-machine.h. The targets: a disk, one with 4096-byte blocks that can UNMAP, one that is
 * read-only, one whose medium fails in the middle, one with nothing on it, a CD, an empty drive,
 * and the first one's LUN 3. Their medium is memory; its requests can be kept, and be answered
 * later.
 *
 * STEP_COMMAND is what makes CDBs come far: a script that does what a driver's does, with data
 * tables of random lengths. Everything else has no idea of what it is doing. After each program the
 * device must still come to rest and answer.
 */
#include "lsi-machine.h"

#include "hw/scsi/lsi-internal.h"
#include "hw/scsi/lsi.h"
#include "scsi-fixture.h"
#include <unistd.h>

#define RAM_SIZE 0x40000u
#define HIGH_RAM UINT64_C(0x100000000)
#define HIGH_SIZE 0x10000u
#define BAR_IO 0xc000u
#define BAR_REGS 0xfe000000u
#define BAR_RAM 0xfe002000u
#define SCRIPT 0x1000u
#define SCRIPT_MAX 256u
#define DRIVER 0x3000u /* STEP_COMMAND's script */
#define TABLE 0x4000u
#define MESSAGES 0x4100u
#define CDB_AT 0x4180u
#define BYTES_AT 0x4200u
#define DATA 0x8000u

typedef struct Machine {
    Loop *loop;
    GuestMemory *mem;
    PciHost host;
    BlockGraph *blocks;
    DeviceTree *tree;
    PciDev *pci;
    Lsi *s;
    Device *cd;
    MemDisk *disk[6];
    uint8_t *ram, *high;
    unsigned n_insns, next; /* of the script: instructions, and where the next one goes */
    uint16_t insn[SCRIPT_MAX];
    bool irq;
    const uint8_t *data;
    size_t left;
} Machine;

/* ---- the machine ---- */

static const DeviceType *const types[] = {
    &lsi53c895a_type, &lsi53c810_type, &lsi53c810a_type, &scsi_hd_type, &scsi_cd_type, NULL,
};

static void set_irq(void *opaque, PciDev *dev G_GNUC_UNUSED, bool level)
{
    ((Machine *)opaque)->irq = level;
}

static const PciHostOps host_ops = { .set_irq = set_irq };

static Device *add(Machine *m, const char *text)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opts) opts = opts_parse(text, "driver", &err);
    Device *dev;

    g_assert_no_error(err);
    dev = device_new(m->tree, opts, &err);
    g_assert_no_error(err);
    return dev;
}

static void plug(Machine *m, const char *model)
{
    static const BlockDriver *const drivers[] = { &mem_driver, NULL };
    static const BlockEngineType *const engines[] = { &block_engine_threads, NULL };
    static const char *const nodes[] = {
        "mem,node-name=n0,size=4M",
        "mem,node-name=n1,size=4M,can-discard=on,discard=unmap",
        "mem,node-name=n2,size=1M,ro=on,read-only=on",
        "mem,node-name=n3,size=1M",
        "mem,node-name=n4,size=0",
        "mem,node-name=n5,size=1M,ro=on",
    };
    static const char *const units[] = {
        "scsi-hd,drive=n0,share-rw=on,scsi-id=0,serial=A",
        "scsi-hd,drive=n0,share-rw=on,scsi-id=0,lun=3,write-cache=off",
        "scsi-hd,drive=n1,scsi-id=1,logical_block_size=4096,physical_block_size=4096,dpofua=on",
        "scsi-hd,drive=n2,scsi-id=2",
        "scsi-hd,drive=n3,scsi-id=3,removable=on",
        "scsi-hd,drive=n4,scsi-id=4",
        "scsi-cd,scsi-id=6",
    };
    g_autoptr(GError) err = NULL;
    g_autofree char *lsi = g_strdup_printf("%s,id=lsi", model);

    m->blocks = block_graph_new(drivers, engines);
    m->tree = device_tree_new(types, m->blocks);
    for (unsigned i = 0; i < G_N_ELEMENTS(nodes); i++) {
        g_autoptr(Opts) opts = opts_parse(nodes[i], "driver", NULL);
        BlockNode *node = block_open(m->blocks, opts, &err);

        g_assert_no_error(err);
        m->disk[i] = node->state;
    }
    m->disk[3]->fail[BLOCK_READ] = m->disk[3]->fail[BLOCK_WRITE] = -EIO;
    m->disk[3]->fail_at = 512 * 1024;
    add(m, lsi);
    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++) {
        add(m, units[i]);
    }
    m->cd = add(m, "scsi-cd,drive=n5,scsi-id=5,id=cd");
    m->pci = device_find(m->tree, "lsi")->state;
    m->s = (Lsi *)m->pci;
    g_assert_true(pci_dev_attach(m->pci, &m->host, &err));
}

static void program_bars(Machine *m)
{
    pci_cfg_write(m->pci, PCI_BAR0, BAR_IO, 4);
    pci_cfg_write(m->pci, PCI_BAR0 + 4, BAR_REGS, 4);
    pci_cfg_write(m->pci, PCI_BAR0 + 8, BAR_RAM, 4);
    pci_cfg_write(m->pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER, 2);
}

static void machine_init(Machine *m, unsigned model)
{
    static const char *const models[] = { "lsi53c895a", "lsi53c895a", "lsi53c810a", "lsi53c810" };
    g_autoptr(GError) err = NULL;
    int fd = memfd_create("ram", MFD_CLOEXEC);
    GuestMap maps[] = {
        { .gpa = 0, .size = RAM_SIZE, .fd = fd },
        { .gpa = HIGH_RAM, .size = HIGH_SIZE, .fd = fd, .offset = RAM_SIZE },
    };

    m->loop = loop_new("fuzz", NULL);
    m->mem = guest_memory_new("fuzz");
    m->host = (PciHost){ .ops = &host_ops, .opaque = m, .loop = m->loop, .mem = m->mem };
    g_assert_cmpint(ftruncate(fd, RAM_SIZE + HIGH_SIZE), ==, 0);
    m->ram = mmap(NULL, RAM_SIZE + HIGH_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(m->ram != MAP_FAILED);
    m->high = m->ram + RAM_SIZE;
    guest_memory_replace(m->mem, maps, G_N_ELEMENTS(maps), &err);
    g_assert_no_error(err);
    close(fd);
    plug(m, models[model % G_N_ELEMENTS(models)]);
    pci_dev_reset(m->pci);
    program_bars(m);
}

static void release(Machine *m, int fail)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(m->disk); i++) {
        int was = m->disk[i]->fail[BLOCK_READ];

        m->disk[i]->hold = false;
        if (fail) {
            m->disk[i]->fail[BLOCK_READ] = fail;
        }
        mem_release(m->disk[i]);
        m->disk[i]->fail[BLOCK_READ] = was;
    }
}

static void turns(Machine *m, unsigned n)
{
    while (n-- && loop_turn(m->loop, 0)) {
    }
}

static void on_idle(void *opaque)
{
    *(bool *)opaque = true;
}

/* A drain comes to its end whatever there is, within a number of turns. */
static void settle(Machine *m)
{
    bool idle = false;

    release(m, 0);
    m->pci->ops->drain(m->pci, on_idle, &idle);
    for (unsigned i = 0; !idle; i++) {
        g_assert_cmpuint(i, <, 10000);
        loop_turn(m->loop, 0);
    }
    g_assert_cmpuint(m->s->n_tasks, ==, 0);
}

static void machine_fini(Machine *m)
{
    settle(m);
    pci_dev_detach(m->pci);
    device_tree_free(m->tree);
    block_graph_free(m->blocks);
    guest_memory_free(m->mem);
    turns(m, 100);
    loop_free(m->loop);
    munmap(m->ram, RAM_SIZE + HIGH_SIZE);
}

/* ---- operands ---- */

static uint8_t take8(Machine *m)
{
    if (!m->left) {
        return 0;
    }
    m->left--;
    return *m->data++;
}

static uint32_t take32(Machine *m)
{
    uint32_t v = take8(m);

    v |= (uint32_t)take8(m) << 8;
    v |= (uint32_t)take8(m) << 16;
    return v | (uint32_t)take8(m) << 24;
}

/* u8 where, u32 */
static uint32_t take_address(Machine *m)
{
    unsigned where = take8(m);
    uint32_t v = take32(m);

    switch (where % 8) {
    case 0:
        return BAR_REGS + v % LSI_REGS;
    case 1:
        return BAR_RAM + v % LSI_RAM_SIZE;
    case 2:
        return BAR_IO + v % LSI_REGS;
    case 3:
        return v;
    case 4:
        return SCRIPT + v % SCRIPT_MAX * 8;
    default:
        return v % RAM_SIZE;
    }
}

static void put_guest(Machine *m, uint32_t gpa, uint32_t v)
{
    if (gpa >= BAR_RAM && gpa - BAR_RAM <= LSI_RAM_SIZE - 4) {
        pci_bar_write(m->pci, 2, gpa - BAR_RAM, v, 4);
    } else if (gpa <= RAM_SIZE - 4) {
        memcpy(m->ram + gpa, &v, 4);
    }
}

/* ---- steps ---- */

static void step_reg_write(Machine *m)
{
    unsigned off = take8(m), size = 1u << take8(m) % 4;

    pci_bar_write(m->pci, size == 2 ? 0 : 1, off, take32(m), size);
}

static void step_reg_read(Machine *m)
{
    unsigned off = take8(m), size = 1u << take8(m) % 4;

    pci_bar_read(m->pci, size == 2 ? 0 : 1, off, size);
}

static void step_memory(Machine *m)
{
    uint32_t at = take_address(m);

    for (unsigned n = take8(m) % 32; n-- > 0; at += 4) {
        put_guest(m, at, take32(m));
    }
}

static void step_insn(Machine *m)
{
    uint32_t insn = take32(m), address = take_address(m), at;

    if (m->next > SCRIPT_MAX * 8 - 12) {
        m->next = 0;
    }
    m->insn[m->n_insns++ % SCRIPT_MAX] = m->next;
    at = SCRIPT + m->next;
    put_guest(m, at, insn);
    put_guest(m, at + 4, address);
    m->next += 8;
    if (insn >> 29 == 6) { /* memory move: both ends alike */
        put_guest(m, at + 8, (take_address(m) & ~3u) | (address & 3));
        m->next += 4;
    }
}

static void step_start(Machine *m)
{
    unsigned n = take8(m);
    uint32_t in_ram = BAR_RAM + (n & 0x7f) * 8, in_guest = SCRIPT + m->insn[n % SCRIPT_MAX];

    pci_bar_write(m->pci, 1, LSI_DSP, n % 8 == 0 ? in_ram : in_guest, 4);
    turns(m, 2);
}

static void step_turns(Machine *m)
{
    turns(m, take8(m) % 32);
}

static uint32_t emit(Machine *m, uint32_t at, uint32_t a, uint32_t b)
{
    put_guest(m, at, a);
    put_guest(m, at + 4, b);
    return at + 8;
}

/* Three data segments, the last one for all that is left; then the driver goes on with what phase
 * there is. */
static void put_driver(Machine *m, unsigned id, unsigned n_msg, unsigned n_cdb)
{
    const uint32_t phases = DRIVER + 0x20, cmd = DRIVER + 0x80, in = DRIVER + 0xa0;
    const uint32_t out = DRIVER + 0xe0, status = DRIVER + 0x120, msg = DRIVER + 0x140;
    const uint32_t clear = DRIVER + 0x180, gone = DRIVER + 0x190, over = DRIVER + 0x1c0;
    uint32_t at = DRIVER;

    at = emit(m, at, 0x41000000u | id << 16, gone + 8);
    emit(m, at, 0x0e000000u | n_msg, MESSAGES);
    at = emit(m, phases - 16, 0x80880000u, 0);
    at = emit(m, phases - 8, 0x80080000u, phases);
    at = emit(m, phases, 0x820b0000u, cmd); /* WHEN COMMAND */
    at = emit(m, at, 0x810a0000u, in);
    at = emit(m, at, 0x800a0000u, out);
    at = emit(m, at, 0x830a0000u, status);
    at = emit(m, at, 0x870a0000u, msg);
    emit(m, at, 0x98080000u, 1);
    at = emit(m, cmd, 0x0a000000u | n_cdb, CDB_AT);
    emit(m, at, 0x80080000u, phases);
    for (unsigned i = 0; i < 3; i++) {
        emit(m, in + 8 * i, 0x11000000u, 8 * i);
        emit(m, out + 8 * i, 0x10000000u, 8 * i);
    }
    emit(m, in + 24, 0x80080000u, in + 16);
    emit(m, out + 24, 0x80080000u, out + 16);
    at = emit(m, status, 0x0b000001u, BYTES_AT);
    emit(m, at, 0x80080000u, phases);
    at = emit(m, msg, 0x0f000001u, BYTES_AT + 1);
    at = emit(m, at, 0x800c0000u, over); /* COMMAND COMPLETE */
    at = emit(m, at, 0x800c0004u, gone - 8);
    at = emit(m, at, 0x60000040u, 0);
    emit(m, at, 0x80080000u, phases);
    at = emit(m, clear, 0x60000040u, 0);
    emit(m, gone - 8, 0x60000040u, 0);
    at = emit(m, gone, 0x48000000u, 0);
    at = emit(m, at, 0x50000000u, over); /* WAIT RESELECT */
    at = emit(m, at, 0x0f000001u, BYTES_AT + 2);
    at = emit(m, at, 0x60000040u, 0);
    emit(m, at, 0x80080000u, phases);
    at = emit(m, over, 0x60000040u, 0);
    emit(m, at, 0x98080000u, 2);
}

static void step_command(Machine *m)
{
    unsigned id = take8(m) % 8, lun = take8(m) & 7, flags = take8(m);
    unsigned extra = take8(m) % 12, n_cdb = take8(m) % 18, n_msg = 0;
    uint8_t *msg = m->ram + MESSAGES;

    msg[n_msg++] = 0x80 | (flags & 0x40) | (flags & 0x80 ? lun : 0);
    if (flags & 0x03) {
        msg[n_msg++] = 0x1f + (flags & 0x03);
        msg[n_msg++] = flags >> 2 & 7;
    }
    if (flags & 0x20) {
        while (extra--) {
            msg[n_msg++] = take8(m);
        }
    }
    for (unsigned i = 0; i < 18; i++) {
        m->ram[CDB_AT + i] = i < n_cdb ? take8(m) : 0;
    }
    for (unsigned i = 0; i < 3; i++) {
        uint32_t len = take8(m);

        len = len & 0x80 ? (len & 0x3f) << 9 : len & 0x7f;
        put_guest(m, TABLE + 8 * i, i == 2 ? 0x8000 : len + 1);
        put_guest(m, TABLE + 8 * i + 4, DATA + 0x8000 * i);
    }
    for (unsigned n = take8(m) % 64, i = 0; i < n; i++) {
        m->ram[DATA + i] = take8(m); /* of a parameter list, say */
    }
    put_driver(m, id, n_msg, n_cdb ? n_cdb : 1);
    pci_bar_write(m->pci, 1, LSI_DSA, TABLE, 4);
    pci_bar_write(m->pci, 1, LSI_DSP, DRIVER, 4);
    for (unsigned i = 0; i < 8; i++) {
        turns(m, 8);
        if (m->s->st.run != LSI_STOPPED) {
            break;
        }
        pci_bar_read(m->pci, 1, LSI_SIST0, 2);
        if (!(pci_bar_read(m->pci, 1, LSI_ISTAT0, 1) & ISTAT0_CON)) {
            break;
        }
        pci_bar_read(m->pci, 1, LSI_DSTAT, 1);
        pci_bar_write(m->pci, 1, LSI_DSP, DRIVER + 0x20, 4); /* on with the phase there is */
    }
}

static void step_hold(Machine *m)
{
    unsigned how = take8(m);

    if (how % 4 == 0) {
        for (unsigned i = 0; i < G_N_ELEMENTS(m->disk); i++) {
            m->disk[i]->hold = true;
        }
    } else {
        release(m, how % 4 == 3 ? -EIO : 0);
    }
}

static void step_config(Machine *m)
{
    unsigned at = take8(m);

    pci_cfg_write(m->pci, at, take8(m), 1);
    if (at % 3) {
        program_bars(m); /* not for long, or nothing works any more */
    }
}

static void step_reset(Machine *m)
{
    switch (take8(m) % 4) {
    case 0:
        pci_bar_write(m->pci, 1, LSI_ISTAT0, ISTAT0_SRST, 1);
        break;
    case 1:
        pci_bar_write(m->pci, 1, LSI_SCNTL1, SCNTL1_RST, 1);
        pci_bar_write(m->pci, 1, LSI_SCNTL1, 0, 1);
        break;
    case 2:
        pci_bar_write(m->pci, 1, LSI_ISTAT0, ISTAT0_ABRT, 1);
        pci_bar_write(m->pci, 1, LSI_ISTAT0, 0, 1);
        break;
    default:
        settle(m);
        pci_dev_reset(m->pci);
        program_bars(m);
    }
}

typedef struct Saving {
    Machine *m;
    GByteArray *state;
} Saving;

static void on_frozen(void *opaque)
{
    Saving *s = opaque;

    s->state = lsi_save(s->m->pci);
}

static void step_state(Machine *m)
{
    Saving s = { m, NULL };
    g_autoptr(GError) err = NULL;
    bool restore = take8(m) & 1;

    lsi_freeze(m->pci, on_frozen, &s);
    for (unsigned i = 0; !s.state; i++) {
        g_assert_cmpuint(i, <, 10000);
        release(m, 0);
        loop_turn(m->loop, 0);
    }
    if (restore) {
        settle(m);
        pci_dev_reset(m->pci);
        lsi_load(m->pci, s.state->data, s.state->len, &err);
        g_assert_no_error(err); /* what it has written it takes */
    } else {
        lsi_thaw(m->pci);
    }
    g_byte_array_unref(s.state);
}

static void step_medium(Machine *m)
{
    unsigned how = take8(m);

    if (how & 1) {
        scsi_cd_eject(m->cd, how & 2, NULL);
    } else {
        scsi_cd_load(m->cd, NULL);
    }
}

/* Nothing that was done to it has broken it. */
static void still_alive(Machine *m)
{
    pci_bar_write(m->pci, 1, LSI_ISTAT0, ISTAT0_SRST, 1);
    settle(m);
    pci_dev_reset(m->pci);
    program_bars(m);
    emit(m, SCRIPT, 0x98080000u, 0x600d);
    pci_bar_write(m->pci, 1, LSI_DSP, SCRIPT, 4);
    turns(m, 10);
    g_assert_cmphex(pci_bar_read(m->pci, 1, LSI_DSTAT, 1), ==, DSTAT_DFE | DSTAT_SIR);
    g_assert_cmphex(pci_bar_read(m->pci, 1, LSI_DSPS, 4), ==, 0x600d);
}

void lsi_program_run(const uint8_t *data, size_t size)
{
    static void (*const steps[N_STEPS])(Machine *) = {
        [STEP_REG_WRITE] = step_reg_write, [STEP_REG_READ] = step_reg_read,
        [STEP_MEMORY] = step_memory,       [STEP_INSN] = step_insn,
        [STEP_START] = step_start,         [STEP_TURNS] = step_turns,
        [STEP_COMMAND] = step_command,     [STEP_HOLD] = step_hold,
        [STEP_CONFIG] = step_config,       [STEP_RESET] = step_reset,
        [STEP_STATE] = step_state,         [STEP_MEDIUM] = step_medium,
    };
    Machine m = { .data = data, .left = size };

    machine_init(&m, take8(&m));
    while (m.left) {
        steps[take8(&m) % N_STEPS](&m);
    }
    still_alive(&m);
    machine_fini(&m);
}
