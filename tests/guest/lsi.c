/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver of the 53C895A for one target and one command at a time, in two styles:
 *
 * polled      as firmware does it: registers by port I/O, no interrupt enabled, a straight script,
 *             ISTAT read until the script has stopped.
 * interrupt   registers by MMIO; a script that dispatches on phases, and that goes through
 *             disconnection and reselection by itself, so that each command ends in exactly one
 *             INT, whatever the target chose to do. The data goes by a table of two entries.
 *
 * Where no interrupt comes (a proxy without KVM has no way for it), the driver notices that the
 * script has stopped, says so once, and polls.
 */
#include "guest.h"

#define LSI_IDS 0x00121000u
#define DISK 0 /* the target's id */
#define HOST_ID 7

enum {
    SCNTL2 = 0x02,
    SCNTL3 = 0x03,
    SCID = 0x04,
    DSTAT = 0x0c,
    DSA = 0x10,
    ISTAT0 = 0x14,
    DSP = 0x2c,
    DSPS = 0x30,
    DIEN = 0x39,
    SIEN0 = 0x40,
    SIEN1 = 0x41,
    SIST0 = 0x42,
    SIST1 = 0x43,
    STIME0 = 0x48,
    RESPID0 = 0x4a,
};
enum { ISTAT_DIP = 1, ISTAT_SIP = 2, ISTAT_SRST = 0x40, DSTAT_SIR = 4, SIST0_RSL = 0x10 };
enum { DATA_OUT, DATA_IN, COMMAND, STATUS, MSG_OUT = 6, MSG_IN };

/* SCRIPTS; the reference is chapter 5 of the chip's manual. */
#define MOVE(phase, n) (0x08000000u | (phase) << 24 | (n))
#define CHMOV(phase, n) ((phase) << 24 | (n))
#define MOVE_TABLE(phase) (0x18000000u | (phase) << 24)
#define SELECT (0x40000000u | DISK << 16)
#define SELECT_ATN (0x41000000u | DISK << 16)
#define WAIT_DISCONNECT 0x48000000u
#define WAIT_RESELECT 0x50000000u
#define CLEAR_ACK 0x60000040u
#define CLEAR_ACK_ATN 0x60000048u
#define SDU_OFF (0x7c000000u | SCNTL2 << 16 | 0x7f00) /* SCNTL2 &= 0x7f */
#define JUMP 0x80080000u
#define JUMP_RELATIVE_UNLESS_MSG_IN 0x87820000u
#define JUMP_IF(phase) (JUMP | 0x20000u | (phase) << 24)
#define JUMP_WHEN(phase) (JUMP | 0x30000u | (phase) << 24)
#define JUMP_DATA(byte) (JUMP | 0x40000u | (byte))
#define INT 0x98080000u

/* What INT tells; DSPS has it. */
enum { V_DONE = 0xd0, V_BAD_PHASE, V_BAD_MESSAGE, V_SIGNAL };

/* Places in the dispatching script, 0x40 bytes (8 instructions) each. */
enum {
    START,
    PHASES,
    SEND_COMMAND,
    DATA_IN_,
    DATA_OUT_,
    GET_STATUS,
    MESSAGE,
    POINTERS,
    DISCONNECT,
    RESELECTED,
    COMPLETE,
    BAD_MESSAGE,
    SIGNAL,
    PLACES
};
#define PLACE_WORDS 16

static struct {
    uint32_t script[PLACES * PLACE_WORDS];
    uint32_t table[4]; /* at DSA: length and address of both pieces */
    uint8_t cdb[16], msg_out[4], msg_in[8], status[4];
} shared __attribute__((aligned(64)));

static unsigned devfn, irq_line;
static uint16_t io;
static volatile uint8_t *regs;
static uint32_t *emit_at;

static volatile struct {
    bool done;
    uint8_t dstat, sist0, sist1;
} result;
volatile uint32_t lsi_interrupts, lsi_idle_interrupts;
bool lsi_deaf;

void on_lsi(void);

static uint32_t bus(const volatile void *p)
{
    return (uint32_t)p;
}

static void write32(unsigned reg, uint32_t v)
{
    *(volatile uint32_t *)(regs + reg) = v;
}

static uint32_t place(unsigned p)
{
    return bus(&shared.script[p * PLACE_WORDS]);
}

static void at(unsigned p)
{
    emit_at = &shared.script[p * PLACE_WORDS];
}

static void emit(uint32_t a, uint32_t b)
{
    *emit_at++ = a;
    *emit_at++ = b;
}

/* ---- interrupts ---- */

/* What has ended; false: nothing of the adapter's. */
static bool collect(void)
{
    uint8_t istat = regs[ISTAT0];

    if (!(istat & (ISTAT_DIP | ISTAT_SIP))) {
        return false;
    }
    if (istat & ISTAT_SIP) {
        result.sist0 = regs[SIST0];
        result.sist1 = regs[SIST1];
    }
    if (istat & ISTAT_DIP) {
        result.dstat = regs[DSTAT];
    }
    result.done = true;
    return true;
}

void on_lsi(void)
{
    if (collect()) {
        lsi_interrupts++;
    } else {
        lsi_idle_interrupts++;
    }
    irq_end(irq_line);
}

static void wait_done(void)
{
    uint32_t since = ticks;

    while (!result.done) {
        wait_interrupt();
        /* Not regs[]: the adapter may be asked only where nothing else would tell. */
        if (!lsi_deaf && ticks - since < TICKS_PER_S) {
            continue;
        }
        irq_close(irq_line);
        if (!result.done && collect() && !lsi_deaf) {
            lsi_deaf = true;
            say("no interrupt: polling\n", NULL);
        }
        if (!lsi_deaf) {
            irq_open(irq_line);
        }
        if (ticks - since > 10 * TICKS_PER_S) {
            fail("a script that does not end");
        }
    }
}

/* ---- set-up ---- */

static void describe(void)
{
    uint32_t sizes[3];

    for (unsigned bar = 0; bar < 3; bar++) {
        sizes[bar] = pci_bar_size(devfn, bar);
    }
    say("lsi ", hex(pci_read(devfn, 0), 8), " class ", hex(pci_read(devfn, 8) >> 8, 6), " bars ",
        dec(sizes[0]), " ", dec(sizes[1]), " ", dec(sizes[2]), "\n", NULL);
}

void lsi_init(void)
{
    int found = pci_find(LSI_IDS);

    if (found < 0) {
        fail("no LSI 53C895A");
    }
    devfn = found;
    describe();
    io = pci_bar_base(devfn, 0, 0xc000);
    regs = (volatile uint8_t *)pci_bar_base(devfn, 1, 0xfe000000);
    pci_bar_base(devfn, 2, 0xfe002000);
    pci_write(devfn, 4, 7); /* I/O, memory, bus master */
    outb(io + ISTAT0, ISTAT_SRST);
    outb(io + ISTAT0, 0);
}

void lsi_route(unsigned line)
{
    if (irq_line) {
        irq_close(irq_line);
    }
    if (!pci_route(line)) {
        fail("no PIIX3");
    }
    pci_write(devfn, 0x3c, line);
    irq_line = line;
    irq_open(line);
}

static void set_up_interrupts(void)
{
    regs[SCNTL3] = 0;
    regs[SCID] = 0x40 | HOST_ID; /* may be reselected */
    regs[RESPID0] = 1 << HOST_ID;
    regs[STIME0] = 0x0c;
    regs[DIEN] = 0x7d;  /* all but the single step's and reserved ones */
    regs[SIEN0] = 0x8f; /* all but CMP, SEL, RSL */
    regs[SIEN1] = 0x04; /* STO */
}

/* ---- the polled style ---- */

static void poll_script(unsigned cdb_len, bool write, void *buf, uint32_t len)
{
    at(START);
    shared.msg_out[0] = 0x80;
    emit(SELECT, 0);
    emit(CHMOV(MSG_OUT, 1), bus(shared.msg_out));
    emit(CHMOV(COMMAND, cdb_len), bus(shared.cdb));
    emit(JUMP_RELATIVE_UNLESS_MSG_IN, 0x18); /* stays connected: over the next three */
    emit(CHMOV(MSG_IN, 2), bus(shared.msg_in));
    emit(WAIT_RESELECT, 0);
    emit(CHMOV(MSG_IN, 2), bus(shared.msg_in));
    if (len) {
        emit(CHMOV(write ? DATA_OUT : DATA_IN, len), bus(buf));
    }
    emit(CHMOV(STATUS, 1), bus(shared.status));
    emit(CHMOV(MSG_IN, 1), bus(shared.msg_in));
    emit(INT, V_DONE);
}

static void poll(void)
{
    uint32_t since = ticks;

    outl(io + DSA, 0);
    outl(io + DSP, place(START));
    for (;;) {
        uint8_t istat = inb(io + ISTAT0);
        if (istat & (ISTAT_DIP | ISTAT_SIP)) {
            break;
        }
        if (ticks - since > 10 * TICKS_PER_S) {
            fail("a polled script that does not end");
        }
    }
    result.sist0 = inb(io + SIST0);
    result.sist1 = inb(io + SIST1);
    result.dstat = inb(io + DSTAT);
}

/* ---- the interrupt-driven style ---- */

static void script_outward(unsigned msg_len, unsigned cdb_len)
{
    at(START);
    emit(SELECT_ATN, place(RESELECTED));
    emit(MOVE(MSG_OUT, msg_len), bus(shared.msg_out));
    emit(JUMP, place(PHASES));
    at(PHASES);
    emit(JUMP_WHEN(COMMAND), place(SEND_COMMAND));
    emit(JUMP_IF(DATA_IN), place(DATA_IN_));
    emit(JUMP_IF(DATA_OUT), place(DATA_OUT_));
    emit(JUMP_IF(STATUS), place(GET_STATUS));
    emit(JUMP_IF(MSG_IN), place(MESSAGE));
    emit(INT, V_BAD_PHASE);
    at(SEND_COMMAND);
    emit(MOVE(COMMAND, cdb_len), bus(shared.cdb));
    emit(JUMP, place(PHASES));
    at(DATA_IN_);
    emit(MOVE_TABLE(DATA_IN), 0);
    emit(MOVE_TABLE(DATA_IN), 8);
    emit(JUMP, place(PHASES));
    at(DATA_OUT_);
    emit(MOVE_TABLE(DATA_OUT), 0);
    emit(MOVE_TABLE(DATA_OUT), 8);
    emit(JUMP, place(PHASES));
    at(GET_STATUS);
    emit(MOVE(STATUS, 1), bus(shared.status));
    emit(JUMP, place(PHASES));
}

static void script_messages(bool tagged)
{
    at(MESSAGE);
    emit(MOVE(MSG_IN, 1), bus(shared.msg_in));
    emit(JUMP_DATA(0x00), place(COMPLETE));
    emit(JUMP_DATA(0x02), place(POINTERS));
    emit(JUMP_DATA(0x04), place(DISCONNECT));
    emit(JUMP, place(BAD_MESSAGE));
    at(POINTERS);
    emit(CLEAR_ACK, 0);
    emit(JUMP, place(PHASES));
    at(DISCONNECT);
    emit(SDU_OFF, 0);
    emit(CLEAR_ACK, 0);
    emit(WAIT_DISCONNECT, 0);
    emit(JUMP, place(RESELECTED));
    at(RESELECTED);
    emit(WAIT_RESELECT, place(SIGNAL));
    emit(MOVE(MSG_IN, 1), bus(shared.msg_in));
    emit(CLEAR_ACK, 0);
    if (tagged) {
        emit(MOVE(MSG_IN, 2), bus(shared.msg_in + 1));
        emit(CLEAR_ACK, 0);
    }
    emit(JUMP, place(PHASES));
    at(COMPLETE);
    emit(SDU_OFF, 0);
    emit(CLEAR_ACK_ATN, 0);
    emit(WAIT_DISCONNECT, 0);
    emit(INT, V_DONE);
    at(BAD_MESSAGE);
    emit(INT, V_BAD_MESSAGE);
    at(SIGNAL);
    emit(INT, V_SIGNAL);
}

static void dispatch_script(bool tagged, unsigned cdb_len, void *buf, uint32_t len)
{
    static uint8_t tag;
    uint32_t first = len > 100 ? 100 : len; /* no multiple of anything */

    shared.msg_out[0] = 0xc0; /* may disconnect */
    shared.msg_out[1] = 0x20;
    shared.msg_out[2] = tag++;
    shared.table[0] = first;
    shared.table[1] = bus(buf);
    shared.table[2] = len - first;
    shared.table[3] = bus(buf) + first;
    script_outward(tagged ? 3 : 1, cdb_len);
    script_messages(tagged);
}

static void run_by_interrupt(void)
{
    result.done = false;
    set_up_interrupts();
    write32(DSA, bus(shared.table));
    write32(DSP, place(START));
    wait_done();
}

/* ---- both ---- */

static void check_end(uint32_t vector)
{
    if (result.dstat & DSTAT_SIR && vector == V_DONE && !(result.sist0 & ~SIST0_RSL) &&
        !result.sist1) {
        return;
    }
    say("dstat ", hex(result.dstat, 2), " sist ", hex(result.sist1, 2), hex(result.sist0, 2),
        " dsps ", hex(vector, 8), "\n", NULL);
    fail("a script that ends in another way");
}

uint8_t lsi_command(enum LsiMode mode, const uint8_t *cdb, unsigned cdb_len, bool write, void *buf,
                    uint32_t len)
{
    for (unsigned i = 0; i < sizeof(shared.cdb); i++) {
        shared.cdb[i] = i < cdb_len ? cdb[i] : 0;
    }
    shared.status[0] = 0xff;
    result.dstat = result.sist0 = result.sist1 = 0;
    if (mode == LSI_POLLED) {
        poll_script(cdb_len, write, buf, len);
        poll();
        check_end(inl(io + DSPS));
    } else {
        dispatch_script(mode == LSI_INTERRUPT_TAGGED, cdb_len, buf, len);
        run_by_interrupt();
        check_end(*(volatile uint32_t *)(regs + DSPS));
    }
    return *(volatile uint8_t *)shared.status;
}
