/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC under the guest: console on port 0xe9 and the first serial port, a pair of 8259A, the 8254
 * at 100 Hz, and PCI by ports 0xcf8 and 0xcfc. The local APIC, where there is one, is set to hand
 * the 8259A's interrupts through, as firmware does; on a board without firmware nobody has done it.
 *
 * While waiting, interrupts stay enabled over a hlt: a software KVM can miss a shorter window.
 */
#include "guest.h"

#include <stdarg.h>

#define DEBUG_PORT 0xe9
#define SERIAL 0x3f8
#define EXIT_PORT 0x501
#define PIC1 0x20
#define PIC2 0xa0
#define PIC_EOI 0x20
#define ELCR 0x4d0
#define PIT_HZ 1193182u
#define FIRST_VECTOR 0x20
#define CODE_SEGMENT 8
#define PIIX3_IDS 0x70008086u
#define PIIX3_PIRQA 0x60

typedef struct Gate {
    uint16_t low, segment, type, high;
} Gate;

static Gate idt[FIRST_VECTOR + 16];
volatile uint32_t ticks, spurious;

void isr_timer(void);
void isr_lsi(void);
void isr_spurious(void);
void isr_spurious_second(void);
void isr_fault(void);
void on_timer(void);
void on_spurious(void);
void on_spurious_second(void);
void on_fault(uint32_t top, uint32_t next);

/* gcc makes calls of these two by itself. */
void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);

void *memset(void *to, int c, size_t n)
{
    void *d = to;

    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    void *d = to;

    __asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
    return to;
}

/* ---- console ---- */

static void put(char c)
{
    outb(DEBUG_PORT, c);
    for (unsigned tries = 0; tries < 1000 && !(inb(SERIAL + 5) & 0x20); tries++) {
    }
    outb(SERIAL, c);
}

void say(const char *first, ...)
{
    va_list more;

    va_start(more, first);
    for (const char *s = first; s; s = va_arg(more, const char *)) {
        while (*s) {
            put(*s++);
        }
    }
    va_end(more);
}

static char *number_buffer(void)
{
    static char buffers[8][12];
    static unsigned next;

    return buffers[next++ % 8];
}

const char *hex(uint32_t v, unsigned digits)
{
    char *s = number_buffer();

    for (unsigned i = 0; i < digits; i++) {
        s[i] = "0123456789abcdef"[v >> 4 * (digits - 1 - i) & 15];
    }
    s[digits] = 0;
    return s;
}

const char *dec(uint32_t v)
{
    char *s = number_buffer() + 11;

    *s = 0;
    do {
        *--s = '0' + v % 10;
        v /= 10;
    } while (v);
    return s;
}

void quit(uint8_t code)
{
    outb(EXIT_PORT, code);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

void fail(const char *what)
{
    say("failed: ", what, "\n", NULL);
    quit(FAILED);
}

/* ---- interrupts ---- */

void on_timer(void)
{
    ticks++;
    outb(PIC1, PIC_EOI);
}

/* Line 7 or 15 without a request: its level fell before the CPU asked for the vector. Nobody opens
 * a line 7 or 15 of its own here. */
void on_spurious(void)
{
    spurious++;
}

/* The first PIC doesn't know, and would let no further line of the second through. */
void on_spurious_second(void)
{
    spurious++;
    outb(PIC1, PIC_EOI);
}

void on_fault(uint32_t top, uint32_t next)
{
    say("exception, stack ", hex(top, 8), " ", hex(next, 8), "\n", NULL);
    quit(FAILED);
}

static void gate_set(unsigned vector, void (*isr)(void))
{
    uint32_t addr = (uint32_t)isr;

    idt[vector] = (Gate){ addr & 0xffff, CODE_SEGMENT, 0x8e00, addr >> 16 };
}

static void idt_init(void)
{
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint32_t)idt };

    for (unsigned v = 0; v < FIRST_VECTOR; v++) {
        gate_set(v, isr_fault);
    }
    for (unsigned v = FIRST_VECTOR; v < FIRST_VECTOR + 16; v++) {
        gate_set(v, isr_lsi);
    }
    gate_set(FIRST_VECTOR, isr_timer);
    gate_set(FIRST_VECTOR + 7, isr_spurious);
    gate_set(FIRST_VECTOR + 15, isr_spurious_second);
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void apic_pass_through(void)
{
    uint32_t a = 1, b, c, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    if (d & 1 << 9) {
        *(volatile uint32_t *)0xfee000f0 = 0x1ff; /* enabled, spurious vector 0xff */
        *(volatile uint32_t *)0xfee00350 = 0x700; /* LINT0: ExtINT */
    }
}

static void pic_init(uint16_t port, uint8_t vector, uint8_t cascade, uint8_t mask)
{
    outb(port, 0x11);
    outb(port + 1, vector);
    outb(port + 1, cascade);
    outb(port + 1, 1);
    outb(port + 1, mask);
}

void interrupts_init(void)
{
    idt_init();
    apic_pass_through();
    pic_init(PIC1, FIRST_VECTOR, 1 << 2, 0xfa);
    pic_init(PIC2, FIRST_VECTOR + 8, 2, 0xff);
    outb(0x43, 0x34); /* channel 0, both bytes, rate generator */
    outb(0x40, PIT_HZ / TICKS_PER_S & 0xff);
    outb(0x40, PIT_HZ / TICKS_PER_S >> 8);
    __asm__ volatile("sti");
}

static uint16_t mask_port(unsigned line)
{
    return line < 8 ? PIC1 + 1 : PIC2 + 1;
}

void irq_open(unsigned line)
{
    uint16_t elcr = ELCR + line / 8, port = mask_port(line);

    outb(elcr, inb(elcr) | 1 << line % 8);
    outb(port, inb(port) & ~(1 << line % 8));
}

void irq_close(unsigned line)
{
    uint16_t port = mask_port(line);

    outb(port, inb(port) | 1 << line % 8);
}

void irq_end(unsigned line)
{
    if (line >= 8) {
        outb(PIC2, PIC_EOI);
    }
    outb(PIC1, PIC_EOI);
}

/* ---- PCI ---- */

static void pci_select(unsigned devfn, unsigned reg)
{
    outl(0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc));
}

uint32_t pci_read(unsigned devfn, unsigned reg)
{
    pci_select(devfn, reg);
    return inl(0xcfc);
}

void pci_write(unsigned devfn, unsigned reg, uint32_t v)
{
    pci_select(devfn, reg);
    outl(0xcfc, v);
}

int pci_find(uint32_t ids)
{
    for (unsigned devfn = 0; devfn < 256; devfn += 8) {
        if (pci_read(devfn, 0) == ids) {
            return devfn;
        }
    }
    return -1;
}

uint32_t pci_bar_size(unsigned devfn, unsigned bar)
{
    unsigned reg = 0x10 + 4 * bar;
    uint32_t old = pci_read(devfn, reg), mask;

    pci_write(devfn, reg, 0xffffffff);
    mask = pci_read(devfn, reg);
    pci_write(devfn, reg, old);
    return -(mask & (mask & 1 ? ~3u : ~15u));
}

uint32_t pci_bar_base(unsigned devfn, unsigned bar, uint32_t preset)
{
    unsigned reg = 0x10 + 4 * bar;
    uint32_t v = pci_read(devfn, reg);

    if (!(v & ~15u)) {
        pci_write(devfn, reg, preset);
        v = pci_read(devfn, reg);
    }
    return v & (v & 1 ? ~3u : ~15u);
}

bool pci_route(unsigned line)
{
    int bridge = pci_find(PIIX3_IDS);

    if (bridge >= 0) {
        pci_write(bridge, PIIX3_PIRQA, line * 0x01010101u);
    }
    return bridge >= 0;
}
