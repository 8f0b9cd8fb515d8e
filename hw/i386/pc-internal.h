/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the board, for each other. All on the board's thread. */
#ifndef HW_I386_PC_INTERNAL_H
#define HW_I386_PC_INTERNAL_H

#include "hw/i386/pc.h"

/* --- pc-output.c: bytes to a descriptor that may be slow --- */

#define PC_OUTPUT_SIZE 16384

typedef struct PcOutput {
    Loop *loop;
    int fd; /* a duplicate; -1: nobody listens */
    LoopFd watch;
    uint8_t pending[PC_OUTPUT_SIZE];
    unsigned n;
    void (*drained)(void *opaque); /* nothing is pending any more; may be NULL */
    void *opaque;
} PcOutput;

void pc_output_init(PcOutput *out, Loop *loop, int fd, void (*drained)(void *), void *opaque);
void pc_output_fini(PcOutput *out);
/* False: dropped, as too much is pending. */
bool pc_output_put(PcOutput *out, uint8_t byte);

/* --- pc-serial.c --- */

#define PC_SERIAL_FIFO 16

typedef struct PcSerial {
    uint8_t ier, lcr, mcr, scr, fcr;
    uint16_t divisor;
    uint8_t rx[PC_SERIAL_FIFO];
    unsigned rx_n;
    uint8_t lsr_errors;
    bool thr_pending; /* "THR empty" has not been taken notice of */
    bool level;
    /* live */
    PcOutput out;
    LoopFd in;
    int in_fd;
    Loop *loop;
    void (*set_irq)(void *opaque, bool level);
    void *opaque;
} PcSerial;

void pc_serial_init(PcSerial *s, Loop *loop, int in_fd, int out_fd,
                    void (*set_irq)(void *, bool), void *opaque);
void pc_serial_fini(PcSerial *s);
void pc_serial_reset(PcSerial *s);
uint8_t pc_serial_read(PcSerial *s, unsigned reg);
void pc_serial_write(PcSerial *s, unsigned reg, uint8_t value);

/* --- the board --- */

#define PC_SERIAL_PORT 0x3f8
#define PC_SERIAL_GSI 4
#define PC_DEBUG_PORT 0xe9
#define PC_EXIT_PORT 0x501
#define PC_EXIT_PORTS 4
#define PC_PORT_CFG_ADDRESS 0xcf8
#define PC_RESET_PORT 0xcf9
#define PC_PORT_CFG_DATA 0xcfc

#define PC_PIRQS 4
/* PIIX3 (Intel 290550), 4.1.10: PIRQRC[A-D] */
#define PIIX3_PIRQRC 0x60
#define PIIX3_PIRQRC_OFF 0x80

/* What a function has handed over instead of set_irq(). */
typedef struct PcIrqfd {
    int irqfd, resamplefd; /* not owned; irqfd -1: nothing */
    int gsi;               /* that the sink has it on; -1: none */
} PcIrqfd;

struct Pc {
    Loop *loop;
    PcSink sink;
    /* memory */
    int ram_fd;
    uint64_t ram_size;
    MemoryMap *map;
    GuestMemory *mem;
    /* PCI */
    PciBus bus;
    PciHost host;
    PciDev host_bridge, isa_bridge;
    uint32_t config_address;
    GPtrArray *devices; /* PciDev *: those that were added, not the bridges */
    /* interrupts */
    bool intx[PCI_DEVFN_MAX]; /* by devfn: the pin's level */
    PcIrqfd irqfd[PCI_DEVFN_MAX];
    bool serial_irq;
    uint32_t gsis; /* levels that the sink knows */
    /* ports */
    PcSerial serial;
    PcOutput debug;
    uint8_t reset_control;
    /* reset and stop: each may wait for the one drain */
    unsigned draining; /* devices not idle yet, and one for pc_drain() itself */
    LoopWork drained;
    LoopFn *reset_done, *stop_done;
    void *reset_opaque, *stop_opaque;
    LogLimit limit;
};

/* pc-pci-host.c */
void pc_host_bridge_init(Pc *pc);
uint32_t pc_config_read(Pc *pc, unsigned byte, unsigned size);
void pc_config_write(Pc *pc, unsigned byte, uint32_t value, unsigned size);

/* pc-piix3.c */
void pc_isa_bridge_init(Pc *pc);
/* The GSI of a PIRQ as routed now; -1: none. */
int pc_pirq_gsi(const Pc *pc, unsigned pirq);

/* pc-irq.c */
extern const PciHostOps pc_pci_host_ops;
void pc_irq_init(Pc *pc);
/* A source or the routing has changed. */
void pc_irq_update(Pc *pc);
void pc_irq_rebind(Pc *pc);

#endif
