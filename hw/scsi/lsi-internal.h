/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LSI 53C895A / 53C810 family, inside: state, registers, and what its files offer each other.
 *
 * "895A manual" is LSI's 53C895A technical manual; "fact sheet" collects what it, other manuals and
 * drivers say.
 *
 *   lsi53c895a.c, lsi53c810.c   the models
 *   lsi.c          what they share as PCI functions: resets, drain
 *   lsi-regs.c     the register file: one table of reset value, write mask and side effects
 *   lsi-irq.c      DSTAT, SIST, ISTAT and the INTA# level; the timers
 *   lsi-dma.c      addresses: script RAM, own registers, guest memory
 *   lsi-scripts.c  the SCRIPTS executor: fetch, transfer control, I/O and register instructions
 *   lsi-move.c     block moves and phase mismatch, memory move, load and store
 *   lsi-bus.c      the SCSI bus: selection, reselection, phases, tasks
 *   lsi-msg.c      message bytes in both directions
 *   lsi-state.c    save and restore
 */
#ifndef HW_SCSI_LSI_INTERNAL_H
#define HW_SCSI_LSI_INTERNAL_H

#include "hw/pci/pci.h"
#include "hw/scsi/scsi.h"
#include "util/loop.h"
#include "util/trace.h"

/* Register offsets (895A manual, chapter 4). */
enum {
    LSI_SCNTL0 = 0x00,
    LSI_SCNTL1 = 0x01,
    LSI_SCNTL2 = 0x02,
    LSI_SCNTL3 = 0x03,
    LSI_SCID = 0x04,
    LSI_SXFER = 0x05,
    LSI_SDID = 0x06,
    LSI_GPREG = 0x07,
    LSI_SFBR = 0x08,
    LSI_SOCL = 0x09,
    LSI_SSID = 0x0a,
    LSI_SBCL = 0x0b,
    LSI_DSTAT = 0x0c,
    LSI_SSTAT0 = 0x0d,
    LSI_SSTAT1 = 0x0e,
    LSI_SSTAT2 = 0x0f,
    LSI_DSA = 0x10,
    LSI_ISTAT0 = 0x14,
    LSI_ISTAT1 = 0x15,
    LSI_MBOX0 = 0x16,
    LSI_MBOX1 = 0x17,
    LSI_CTEST0 = 0x18,
    LSI_CTEST1 = 0x19,
    LSI_CTEST2 = 0x1a,
    LSI_CTEST3 = 0x1b,
    LSI_TEMP = 0x1c,
    LSI_DFIFO = 0x20,
    LSI_CTEST4 = 0x21,
    LSI_CTEST5 = 0x22,
    LSI_CTEST6 = 0x23,
    LSI_DBC = 0x24,
    LSI_DCMD = 0x27,
    LSI_DNAD = 0x28,
    LSI_DSP = 0x2c,
    LSI_DSPS = 0x30,
    LSI_SCRATCHA = 0x34,
    LSI_DMODE = 0x38,
    LSI_DIEN = 0x39,
    LSI_SBR = 0x3a,
    LSI_DCNTL = 0x3b,
    LSI_ADDER = 0x3c,
    LSI_SIEN0 = 0x40,
    LSI_SIEN1 = 0x41,
    LSI_SIST0 = 0x42,
    LSI_SIST1 = 0x43,
    LSI_SLPAR = 0x44,
    LSI_SWIDE = 0x45,
    LSI_MACNTL = 0x46,
    LSI_GPCNTL = 0x47,
    LSI_STIME0 = 0x48,
    LSI_STIME1 = 0x49,
    LSI_RESPID0 = 0x4a,
    LSI_RESPID1 = 0x4b,
    LSI_STEST0 = 0x4c,
    LSI_STEST1 = 0x4d,
    LSI_STEST2 = 0x4e,
    LSI_STEST3 = 0x4f,
    LSI_SIDL = 0x50,
    LSI_STEST4 = 0x52,
    LSI_SODL = 0x54,
    LSI_CCNTL0 = 0x56,
    LSI_CCNTL1 = 0x57,
    LSI_SBDL = 0x58,
    LSI_SCRATCHB = 0x5c,
    LSI_SCRATCHC = 0x60, /* up to SCRATCHR at 0x9c */
    LSI_MMRS = 0xa0,
    LSI_MMWS = 0xa4,
    LSI_SFS = 0xa8,
    LSI_DRS = 0xac,
    LSI_SBMS = 0xb0,
    LSI_DBMS = 0xb4,
    LSI_DNAD64 = 0xb8,
    LSI_PMJAD1 = 0xc0,
    LSI_PMJAD2 = 0xc4,
    LSI_RBC = 0xc8,
    LSI_UA = 0xcc,
    LSI_ESA = 0xd0,
    LSI_IA = 0xd4,
    LSI_SBC = 0xd8,
    LSI_CSBC = 0xdc,
};

/* Bits. */
enum {
    SCNTL1_CON = 0x10,
    SCNTL1_RST = 0x08,
    SCNTL2_SDU = 0x80,
    SCNTL2_CHM = 0x40,
    SCNTL2_WSS = 0x08,
    SCNTL2_WSR = 0x01,
    SCID_RRE = 0x40,
    SOCL_REQ = 0x80,
    SOCL_ACK = 0x40,
    SOCL_BSY = 0x20,
    SOCL_ATN = 0x08,
    SSID_VAL = 0x80,
    DSTAT_DFE = 0x80,
    DSTAT_BF = 0x20,
    DSTAT_ABRT = 0x10,
    DSTAT_SSI = 0x08,
    DSTAT_SIR = 0x04,
    DSTAT_IID = 0x01,
    SSTAT0_RST = 0x02,
    SSTAT2_LDSC = 0x02,
    ISTAT0_ABRT = 0x80,
    ISTAT0_SRST = 0x40,
    ISTAT0_SIGP = 0x20,
    ISTAT0_SEM = 0x10,
    ISTAT0_CON = 0x08,
    ISTAT0_INTF = 0x04,
    ISTAT0_SIP = 0x02,
    ISTAT0_DIP = 0x01,
    ISTAT1_SRUN = 0x02,
    ISTAT1_SI = 0x01,
    CTEST2_SIGP = 0x40,
    CTEST2_CIO = 0x20,
    CTEST2_CM = 0x10,
    CTEST2_PCICIE = 0x08,
    CTEST2_DACK = 0x01,
    DMODE_SIOM = 0x20,
    DMODE_DIOM = 0x10,
    DMODE_MAN = 0x01,
    DCNTL_SSM = 0x10,
    DCNTL_STD = 0x04,
    DCNTL_IRQD = 0x02,
    SIST0_MA = 0x80,
    SIST0_CMP = 0x40,
    SIST0_SEL = 0x20,
    SIST0_RSL = 0x10,
    SIST0_SGE = 0x08,
    SIST0_UDC = 0x04,
    SIST0_RST = 0x02,
    SIST0_PAR = 0x01,
    SIST1_SBMC = 0x10,
    SIST1_STO = 0x04,
    SIST1_GEN = 0x02,
    SIST1_HTH = 0x01,
    STIME1_GENSF = 0x20,
    STIME1_HTHSF = 0x10,
    STEST2_SLB = 0x10,
    CCNTL0_ENPMJ = 0x80,
    CCNTL0_PMJCTL = 0x40,
    CCNTL0_ENNDJ = 0x20,
    CCNTL1_DDAC = 0x08,
    CCNTL1_64TIMOD = 0x04,
    CCNTL1_EN64TIBMV = 0x02,
    CCNTL1_EN64DBMV = 0x01,
};

/* SCSI phases as MSG, C/D, I/O of SSTAT1 and of the instructions. */
enum {
    PHASE_DATA_OUT = 0,
    PHASE_DATA_IN = 1,
    PHASE_COMMAND = 2,
    PHASE_STATUS = 3,
    PHASE_MSG_OUT = 6,
    PHASE_MSG_IN = 7,
};

#define LSI_REGS 256
#define LSI_RAM_SIZE 8192
#define LSI_MSG_IN_MAX 16
#define LSI_MSG_OUT_MAX 16 /* the longest message that is understood has 8 bytes */
#define LSI_MAX_TASKS 1024
#define LSI_RESEL_PATIENCE 8 /* selections that a reselection may lose to: but not for ever */

typedef enum LsiRun {
    LSI_STOPPED,
    LSI_RUNNING,
    LSI_WAIT_RESELECT,   /* WAIT RESELECT: a reselection or SIGP */
    LSI_WAIT_DISCONNECT, /* WAIT DISCONNECT: bus free */
    LSI_WAIT_PHASE,      /* JUMP etc. WHEN: REQ; the instruction is executed again */
    LSI_WAIT_MOVE,       /* block move under way: REQ; goes on from LsiMove */
} LsiRun;

/* What the target does when the initiator has taken the last message byte (CLEAR ACK). */
typedef enum LsiAfter {
    LSI_AFTER_NOTHING,
    LSI_AFTER_COMPLETE,   /* bus free, the task is over */
    LSI_AFTER_DISCONNECT, /* bus free, the task goes on */
    LSI_AFTER_ABORT,      /* bus free at once, after an abort-type message */
} LsiAfter;

/* A block move in execution. */
typedef struct LsiMove {
    uint64_t addr;       /* of the next byte */
    uint32_t left;       /* bytes */
    uint32_t count;      /* bytes in all */
    uint32_t entry_addr; /* of the table entry, or of the instruction */
    uint8_t phase;       /* the instruction's */
    uint8_t rbc_top;     /* top byte of RBC on a phase mismatch */
    uint8_t first;       /* no byte moved yet */
} LsiMove;

/*
 * All that a guest can observe or influence, but for the tasks; plain data (DESIGN.md section 9).
 */
typedef struct LsiState {
    uint8_t reg[LSI_REGS];
    uint8_t ram[LSI_RAM_SIZE];
    uint8_t run; /* LsiRun */
    uint8_t carry;
    uint32_t insn_addr; /* of the instruction in execution */
    uint8_t fetch[8];   /* its first two dwords, as they were in memory */
    LsiMove move;

    /* the bus, as target and initiator drive it */
    uint8_t connected;
    uint8_t reselected; /* this connection is the target's doing */
    uint8_t absent;     /* SELECT of an id that nobody answers to: times out */
    uint8_t req;        /* the target asserts REQ: phase is valid */
    uint8_t phase;
    uint8_t ack_held; /* ACK of the last MSG IN byte stays until CLEAR ACK */
    uint8_t rst;      /* SCNTL1.RST is held */

    /* the nexus that is connected */
    uint8_t target;
    uint8_t lun;
    uint8_t tag;
    uint8_t attr; /* ScsiAttr */
    uint8_t identified;
    uint8_t disc_priv;
    uint8_t after; /* LsiAfter */
    uint8_t msg_in[LSI_MSG_IN_MAX];
    uint8_t msg_in_len, msg_in_pos;
    uint8_t msg_out[LSI_MSG_OUT_MAX]; /* the message being received */
    uint8_t msg_out_len;
    uint8_t msg_out_skip; /* bytes of an unknown extended message still to swallow */
    uint8_t cdb[SCSI_CDB_MAX];
    uint8_t cdb_len;
    uint8_t resel_lost; /* selections that the first pending reselection has lost to */
} LsiState;

typedef struct Lsi Lsi;

/* One command, from its CDB to the target's done(). */
typedef struct LsiTask {
    ScsiReq req; /* target, lun, tag, attr, CDB: enough to issue it again */
    Lsi *s;
    struct LsiTask *next, **prev; /* s->tasks, or s->zombies once cancelled */
    bool disc_priv;
    bool can_move; /* ready() came: data can be moved */
    bool finished; /* done() came: status is to be delivered */
    bool zombie;   /* cancelled; freed at done() */
    bool pending;  /* in s->resel */
    bool hold_bus; /* restored in its data phase: no disconnection before it can move again */
    GList link;    /* in s->resel */
} LsiTask;

/* What tells the chips apart (895A and 810 manuals; Linux' chip table). */
typedef struct LsiModel {
    uint8_t reg_mask;   /* of register offsets; 0x7f: the file is seen twice */
    uint8_t max_id;     /* 16 wide, 8 narrow */
    uint8_t max_offset; /* REQ/ACK offset in SDTR */
    uint8_t min_period; /* SDTR period factor: 10 Fast-40, 25 Fast-10 */
    uint8_t chip_type;  /* MACNTL 7-4 */
    bool has_895a_regs; /* ISTAT1, MBOX, STEST4, CCNTL, 0x60 and up */
    bool load_store;
    PciDevOps pci;
} LsiModel;

/* An own BAR as the chip's bus master meets it; size 0: not at all. */
typedef struct LsiWindow {
    uint64_t base;
    uint32_t size;
} LsiWindow;

/* Data that the target has put where a run of block moves will want it: see lsi-gather.c. */
enum { LSI_PLACES_MAX = 128 };
typedef struct LsiPlaces {
    const ScsiReq *req;
    uint64_t moved; /* req->moved of the next place */
    unsigned next, n;
    uint64_t addr[LSI_PLACES_MAX];
    struct iovec iov[LSI_PLACES_MAX];
} LsiPlaces;

enum { LSI_BAR_IO, LSI_BAR_REGS, LSI_BAR_RAM, LSI_BARS };

struct Lsi {
    PciDev pci;
    const LsiModel *model;
    LsiState st;
    /* live handles: can be rebuilt from config space, st and the tasks */
    LsiWindow window[LSI_BARS];
    ScsiBus *scsi;
    LsiTask *current; /* connected now; NULL before the CDB is complete */
    LsiTask *tasks, *zombies;
    unsigned n_tasks;
    GQueue resel;       /* LsiTask: wait for reselection, first come first served */
    LoopWork run_work;  /* lsi_run() */
    LoopWork disc_work; /* the target thinks about disconnecting */
    LoopTimer gen_timer, hth_timer;
    LsiPlaces places;
    uint64_t epoch; /* changes when a reset or abort takes a move's ground away */
    bool executing; /* inside lsi_run() */
    bool frozen;    /* SCRIPTS stand still, whatever st.run says */
    bool paused;    /* by a monitor: SCRIPTS wait as they are */
};

/* Offsets in instructions: signed, 24 bits. */
static inline int32_t lsi_sext24(uint32_t v)
{
    return (int32_t)(v << 8) >> 8;
}

static inline uint32_t lsi_le32(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint32_t lsi_get32(const Lsi *s, unsigned off)
{
    return lsi_le32(&s->st.reg[off]);
}

static inline void lsi_put32(Lsi *s, unsigned off, uint32_t v)
{
    uint8_t *p = &s->st.reg[off];
    p[0] = v;
    p[1] = v >> 8;
    p[2] = v >> 16;
    p[3] = v >> 24;
}

static inline void lsi_put24(Lsi *s, unsigned off, uint32_t v)
{
    s->st.reg[off] = v;
    s->st.reg[off + 1] = v >> 8;
    s->st.reg[off + 2] = v >> 16;
}

/* ---- lsi.c ---- */
void lsi_soft_reset(Lsi *s);
bool lsi_attach(PciDev *pci, GError **errp);
void lsi_detach(PciDev *pci);
void lsi_drain(PciDev *pci, void (*idle)(void *), void *opaque);
void lsi_pause(PciDev *pci, void (*idle)(void *), void *opaque);
void lsi_resume(PciDev *pci);
void lsi_reset(PciDev *pci);
void lsi_cfg_write(PciDev *pci, unsigned addr, uint32_t value, unsigned len);
bool lsi_realize(Device *dev, const LsiModel *model, GError **errp);
void lsi_unrealize(Device *dev);
extern const OptDesc lsi_props[];

/* What the models' PciDevOps have in common. */
#define LSI_PCI_OPS                                                                                \
    .vendor = 0x1000, .subsys_vendor = 0x1000, .subsys = 0x1000, .class_code = 0x010000,           \
    .int_pin = 1, .attach = lsi_attach, .detach = lsi_detach, .drain = lsi_drain,                  \
    .pause = lsi_pause, .resume = lsi_resume,                                                      \
    .reset = lsi_reset, .cfg_write = lsi_cfg_write
#define LSI_REG_BAR(kind_, size_)                                                                  \
    {                                                                                              \
        .kind = (kind_), .size = (size_), .min = 1, .max = 4, .read = lsi_reg_read,                \
        .write = lsi_reg_write                                                                     \
    }

/* ---- lsi-regs.c ---- */
void lsi_regs_reset(Lsi *s);
/* Could reg be a register file of this model? */
bool lsi_regs_valid(const Lsi *s, const uint8_t *reg);
/* One byte register, with its side effects; off is below 256. by_script: SCRIPTS may write SFBR. */
uint8_t lsi_reg_read8(Lsi *s, unsigned off);
void lsi_reg_write8(Lsi *s, unsigned off, uint8_t val, bool by_script);
/* PciBar doors of BAR 0 and 1, and of BAR 2. */
uint64_t lsi_reg_read(PciDev *pci, uint64_t off, unsigned size);
void lsi_reg_write(PciDev *pci, uint64_t off, uint64_t val, unsigned size);
uint64_t lsi_ram_read(PciDev *pci, uint64_t off, unsigned size);
void lsi_ram_write(PciDev *pci, uint64_t off, uint64_t val, unsigned size);

/* ---- lsi-irq.c ---- */
/* Recomputes the INTA# level. */
void lsi_irq_update(Lsi *s);
/* A DMA interrupt condition (DSTAT bits): stops SCRIPTS. */
void lsi_dma_irq(Lsi *s, uint8_t dstat);
/* A SCSI interrupt condition: stops SCRIPTS if fatal or enabled. */
void lsi_scsi_irq(Lsi *s, uint8_t sist0, uint8_t sist1);
void lsi_intfly(Lsi *s);
uint8_t lsi_istat0(const Lsi *s);
uint8_t lsi_dstat_read(Lsi *s);
void lsi_gen_timer_set(Lsi *s);
void lsi_gen_timer_fired(void *opaque);
/* After each slice: the handshake timer runs while the script waits for a connected target. */
void lsi_hth_timer_set(Lsi *s);
void lsi_hth_timer_fired(void *opaque);

/* ---- lsi-dma.c ---- */
/* 0 or -errno; a failure is a bus fault. Own BARs are served without the bus. */
int lsi_mem_read(Lsi *s, uint64_t addr, void *buf, size_t len);
int lsi_mem_write(Lsi *s, uint64_t addr, const void *buf, size_t len);
/* len bytes of script RAM in place, NULL if they are not there. */
static inline uint8_t *lsi_ram_at(Lsi *s, uint64_t addr, size_t len)
{
    const LsiWindow *w = &s->window[LSI_BAR_RAM];
    uint64_t off = addr - w->base;

    return off < w->size && len <= w->size - off ? s->st.ram + off : NULL;
}
/* In I/O space (SIOM, DIOM): the own BAR 0 only. */
int lsi_io_read(Lsi *s, uint32_t addr, void *buf, size_t len);
int lsi_io_write(Lsi *s, uint32_t addr, const void *buf, size_t len);
/* Memory that a write would reach, in place; *len is cut to what is in one piece. NULL: none, or
 * the own registers and RAM. Good until lsi_run() returns. */
void *lsi_mem_ptr(Lsi *s, uint64_t addr, size_t *len);
/* As lsi_mem_read(), but not of the own registers, which have side effects. */
bool lsi_mem_peek(Lsi *s, uint64_t addr, void *buf, size_t len);
/* A little-endian dword. False: bus fault raised. */
bool lsi_fetch32(Lsi *s, uint64_t addr, uint32_t *val);
/* Config space has changed: where the own windows are now. */
void lsi_windows_update(Lsi *s);
/* addr with the upper dword from register upper, where the chip has one. */
static inline uint64_t lsi_addr64(const Lsi *s, unsigned upper, uint32_t addr)
{
    if (!s->model->has_895a_regs || (s->st.reg[LSI_CCNTL1] & CCNTL1_DDAC)) {
        return addr;
    }
    return (uint64_t)lsi_get32(s, upper) << 32 | addr;
}

/* ---- lsi-scripts.c ---- */
/* Starts or continues at DSP. */
void lsi_scripts_start(Lsi *s);
/* What is waited for may have come: runs in this turn. */
void lsi_scripts_wake(Lsi *s);
void lsi_scripts_stop(Lsi *s);
void lsi_run(void *opaque);
/* Illegal instruction. */
void lsi_illegal(Lsi *s);

/* ---- lsi-move.c ---- */
/* insn is the first dword; the second is in DSPS. */
void lsi_block_move(Lsi *s, uint32_t insn);
/* Goes on with st.move; false if it waits or stopped. */
void lsi_move_continue(Lsi *s, size_t *bytes_left);
/* The move that the two dwords at insn are, if it's one of DATA IN, not indirect and not of three
 * dwords. Changes nothing. */
bool lsi_move_peek(Lsi *s, const uint8_t *insn, LsiMove *mv);
void lsi_memory_move(Lsi *s, uint32_t insn);
void lsi_load_store(Lsi *s, uint32_t insn);

/* ---- lsi-bus.c ---- */
/* SELECT: id is 0..15. */
void lsi_bus_select(Lsi *s, unsigned id, bool atn);
/* Takes the first pending reselection, if any and if the bus is free. */
bool lsi_bus_reselect(Lsi *s);
bool lsi_bus_resel_pending(const Lsi *s);
/* The initiator has released ACK, dropped or raised ATN: what does the target do next? */
void lsi_bus_settle(Lsi *s);
void lsi_bus_release_ack(Lsi *s);
/* The connection is over; finish the nexus that the initiator left without CLEAR ACK (quirk Q6). */
void lsi_bus_finish_if_complete(Lsi *s);
void lsi_bus_free(Lsi *s);
/* As lsi_bus_free(), without a word to anyone. */
void lsi_bus_forget(Lsi *s);
/* SCNTL1.RST rose. */
void lsi_bus_reset(Lsi *s);
/* Moves up to len bytes from or to buf in the present phase; the caller checked REQ and phase.
 * Returns bytes moved; 0 when the target wants no more in this phase. */
size_t lsi_bus_out(Lsi *s, const uint8_t *buf, size_t len);
/* The window of IN data that can be taken now, and what was taken of it. */
const uint8_t *lsi_bus_in_window(Lsi *s, size_t *len);
void lsi_bus_in_advance(Lsi *s, size_t n);
uint8_t *lsi_bus_out_window(Lsi *s, size_t *len);
void lsi_bus_out_advance(Lsi *s, size_t n);
void lsi_disc_work(void *opaque);
/* A task in s->tasks, for scsi_submit(). */
LsiTask *lsi_task_new(Lsi *s);
/* At the end of the queue for reselection. */
void lsi_task_queue(LsiTask *t);
/* Cancels what matches; target or lun -1: any. tag -1: any, else with tag only. */
void lsi_tasks_cancel(Lsi *s, int target, int lun, int tag);

/* ---- lsi-gather.c ---- */
/* Forgets what has been placed. */
void lsi_places_clear(Lsi *s);
/* The data window has no pointer: the next *len bytes of st.move, in guest memory where they are
 * already; at most budget are asked for. NULL: the target has none at hand, and the window is
 * another one now. */
const uint8_t *lsi_gather(Lsi *s, size_t *len, size_t budget);

/* ---- lsi-msg.c ---- */
/* One byte of MSG OUT. */
void lsi_msg_out(Lsi *s, uint8_t byte);
/* A message is half received: the target stays in MSG OUT. */
bool lsi_msg_out_partial(const Lsi *s);
void lsi_msg_in_queue(Lsi *s, const uint8_t *bytes, unsigned n);
void lsi_msg_clear(Lsi *s);
/* Is msg_out a state that the parser can be in? */
bool lsi_msg_out_valid(const LsiState *st);

#endif
