/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bare-metal guest that drives an LSI 53C895A; see main.c. */
#ifndef TESTS_GUEST_H
#define TESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- platform.c: console, memory, interrupts, PCI ---- */

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;

    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;

    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
/* Until the next interrupt. */
static inline void wait_interrupt(void)
{
    __asm__ volatile("sti; hlt" : : : "memory");
}

/* Each string, up to a NULL; a number by hex() or dec(), which are valid for a few calls. */
void say(const char *first, ...);
const char *hex(uint32_t v, unsigned digits);
const char *dec(uint32_t v);
/* Ends the guest by isa-debug-exit: QEMU's status is (code << 1) | 1. */
_Noreturn void quit(uint8_t code);
#define PASSED 0x10
#define FAILED 0x11
_Noreturn void fail(const char *what);

#define TICKS_PER_S 100
extern volatile uint32_t ticks, spurious;
/* PIC, PIT and IDT; interrupts on, all lines but the timer's closed. */
void interrupts_init(void);
/* Level-triggered on that line of the PICs; opens it. */
void irq_open(unsigned line);
void irq_close(unsigned line);
void irq_end(unsigned line);

/* devfn of the first function with these ids on bus 0; -1: none. */
int pci_find(uint32_t ids);
uint32_t pci_read(unsigned devfn, unsigned reg);
void pci_write(unsigned devfn, unsigned reg, uint32_t v);
uint32_t pci_bar_size(unsigned devfn, unsigned bar);
/* The BAR's address: what firmware gave it, else preset. */
uint32_t pci_bar_base(unsigned devfn, unsigned bar, uint32_t preset);
/* All four PIRQs on one line; false where there is no such ISA bridge. */
bool pci_route(unsigned line);

/* ---- lsi.c ---- */

enum LsiMode { LSI_POLLED, LSI_INTERRUPT, LSI_INTERRUPT_TAGGED };

/* Finds, resets and describes the adapter. */
void lsi_init(void);
/* Moves the adapter's interrupt to another line. */
void lsi_route(unsigned line);
/* A command to target 0; the SCSI status. Direction by write; len 0: no data. */
uint8_t lsi_command(enum LsiMode mode, const uint8_t *cdb, unsigned cdb_len, bool write, void *buf,
                    uint32_t len);
/* Interrupts of finished scripts, and such that had no cause in the adapter. */
extern volatile uint32_t lsi_interrupts, lsi_idle_interrupts;
/* The interrupt of a finished script did not come within a second; from then on all is polled. */
extern bool lsi_deaf;

#endif
