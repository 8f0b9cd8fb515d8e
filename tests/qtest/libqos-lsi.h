/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two drivers for the LSI 53C895A over libqtest, and what they need of a PC: PCI config space by
 * ports 0xcf8 and 0xcfc, BARs, the PIIX3's interrupt routing.
 *
 * The polled one is what firmware does: a straight script with SELECT without ATN, no interrupts,
 * one command at a time (SeaBIOS' and OVMF's, fact sheet 5.2). The other one is what an operating
 * system does, as small as it goes: IDENTIFY with the privilege to disconnect and a tag, a script
 * that dispatches on phases, table-indirect moves, INTx for everything that happens.
 *
 * Guest memory: [QLSI_MEM, QLSI_DATA) is theirs but for QLSI_TEST_SCRIPT; what is behind is handed
 * out by qlsi_buffer().
 */
#ifndef TESTS_QTEST_LIBQOS_LSI_H
#define TESTS_QTEST_LIBQOS_LSI_H

#include "libqtest.h"
#include "lsi-script.h" /* instructions; names of registers and bits */

#define QLSI_BAR_IO 0xc000u
#define QLSI_BAR_REGS 0xfe000000u
#define QLSI_BAR_RAM 0xfe002000u
#define QLSI_IRQ 11u

#define QLSI_MEM 0x100000u
#define QLSI_TEST_SCRIPT 0x180000u /* up to QLSI_DATA for a test's own */
#define QLSI_DATA 0x200000u
#define QLSI_DATA_END 0x3000000u
#define QLSI_TAGS 64

/* ---- PCI ---- */

uint32_t qpci_read(QTest *q, unsigned devfn, unsigned reg, unsigned size);
void qpci_write(QTest *q, unsigned devfn, unsigned reg, uint32_t value, unsigned size);
/* The devfn of the first function with these ids on bus 0; -1: there is none. */
int qpci_find(QTest *q, uint16_t vendor, uint16_t device);

/* ---- the adapter ---- */

typedef struct QLsiJob QLsiJob;

typedef enum QLsiMode { QLSI_RESET, QLSI_POLLED, QLSI_INTERRUPTS } QLsiMode;

typedef struct QLsi {
    QTest *q;
    unsigned devfn;
    bool by_port;        /* registers by BAR0 instead of BAR1 */
    uint32_t pc;         /* of qlsi_emit() */
    uint32_t buffer_end; /* of qlsi_buffer() */
    QLsiMode mode;
    /* the dispatching driver */
    QLsiJob *job[QLSI_TAGS];
    QLsiJob *current; /* its nexus is connected, or being selected */
    bool waiting;     /* the script is in WAIT RESELECT */
    unsigned interrupts, disconnects, reselections, mismatches, lost_selections;
} QLsi;

/* Finds the adapter, programs its BARs, routes INTA# to QLSI_IRQ, enables it, intercepts IRQs. */
QLsi *qlsi_new(QTest *q);
void qlsi_free(QLsi *l);
/* BARs, command register and routing, again. */
void qlsi_enable(QLsi *l);

uint8_t qlsi_r8(QLsi *l, unsigned off);
uint32_t qlsi_r32(QLsi *l, unsigned off);
void qlsi_w8(QLsi *l, unsigned off, uint8_t value);
void qlsi_w32(QLsi *l, unsigned off, uint32_t value);
/* Soft reset, as a pulse; the driver's own set-up is gone, too. */
void qlsi_soft_reset(QLsi *l);
/* Soft reset, then bus reset with its interrupt taken. */
void qlsi_bus_reset(QLsi *l);

/* ---- a test's own scripts ---- */

/* Where the next instruction goes. */
void qlsi_org(QLsi *l, uint32_t addr);
void qlsi_emit1(QLsi *l, uint32_t a);
uint32_t qlsi_emit(QLsi *l, uint32_t a, uint32_t b); /* its address */
/* Waits until ISTAT0 has one of these bits; returns it. */
uint8_t qlsi_wait_istat(QLsi *l, uint8_t bits);
/* Starts at dsp and waits for the stop, which must be INT vector alone. */
void qlsi_run_int(QLsi *l, uint32_t dsp, uint32_t vector);

/* ---- commands ---- */

typedef enum QLsiDir { QLSI_NONE, QLSI_IN, QLSI_OUT } QLsiDir;

/* In the place of a SCSI status. */
enum {
    QLSI_NO_TARGET = 0x100, /* selection timeout */
    QLSI_MISMATCH,          /* polled: another phase than the script's; the target is left in it */
    QLSI_BUS_ERROR,         /* anything else: see sist0, sist1, dstat */
};

struct QLsiJob {
    /* the caller's */
    unsigned id, lun;
    uint8_t cdb[16];
    unsigned cdb_len;
    QLsiDir dir;
    uint32_t addr, len; /* guest memory */
    bool no_disconnect; /* IDENTIFY without the privilege, and no tag */
    /* the driver's answer */
    unsigned status;
    uint32_t left; /* of len, not moved (dispatching driver) */
    uint8_t sist0, sist1, dstat;
    bool done, started;
    unsigned tag;
};

/* Guest memory of len bytes, never used before. */
uint32_t qlsi_buffer(QLsi *l, uint32_t len);

/* One command by firmware's script. */
void qlsi_poll(QLsi *l, QLsiJob *job);

/* Hands a command to the dispatching driver, at most QLSI_TAGS of them. */
void qlsi_submit(QLsi *l, QLsiJob *job);
/* Waits for one interrupt and handles it. */
void qlsi_step(QLsi *l);
/* Serves the adapter until all submitted commands are done. */
void qlsi_serve(QLsi *l);
/* qlsi_submit() and qlsi_serve(). */
void qlsi_run(QLsi *l, QLsiJob *job);

#endif
