/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One PCI function: 256 config bytes with write masks, the BAR door, the interrupt level.
 * Runs on the thread of the machine it is attached to; set up on the main thread.
 */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include "hw/core/device.h"
#include "hw/core/guest-memory.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/stream.h"

typedef struct PciDev PciDev;
typedef struct MemoryMap MemoryMap; /* hw/core/memory-map.h */

#define PCI_CONFIG_SIZE 256
#define PCI_NUM_BARS 6

/* PCI Local Bus 3.0, 6.1 */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS_PROG = 0x09,
    PCI_CLASS_DEVICE = 0x0a,
    PCI_CACHE_LINE = 0x0c,
    PCI_LATENCY = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYS_VENDOR = 0x2c,
    PCI_SUBSYS_ID = 0x2e,
    PCI_ROM_BAR = 0x30,
    PCI_CAP_PTR = 0x34,
    PCI_INT_LINE = 0x3c,
    PCI_INT_PIN = 0x3d,
};
enum {
    PCI_COMMAND_IO = 0x0001,
    PCI_COMMAND_MEM = 0x0002,
    PCI_COMMAND_MASTER = 0x0004,
    PCI_COMMAND_PARITY = 0x0040,
    PCI_COMMAND_SERR = 0x0100,
    PCI_COMMAND_INTX_OFF = 0x0400,
    PCI_STATUS_INTX = 0x0008,
    PCI_STATUS_CAPS = 0x0010,
    PCI_STATUS_W1C = 0xf900, /* parity, target and master abort, SERR */
};
enum {
    PCI_CAP_ID_PM = 0x01,
    PCI_CAP_ID_MSI = 0x05,
    PCI_CAP_ID_MSIX = 0x11,
    PCI_PM_CAP_SIZE = 8,
};

typedef enum PciBarKind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32 } PciBarKind;

/* A BAR: size a power of two, at least 16 (the stock proxy's least, mpqemu facts section 4).
 * Accesses reach read and write only if naturally aligned, inside the BAR and of a size from min
 * to max; larger ones are split into max-sized ones in ascending order, smaller ones never occur
 * at min 1. Values are right-aligned. */
typedef struct PciBar {
    PciBarKind kind;
    uint32_t size;
    uint8_t min, max;
    uint64_t (*read)(PciDev *dev, uint64_t off, unsigned size);
    void (*write)(PciDev *dev, uint64_t off, uint64_t value, unsigned size);
} PciBar;

/* Parts of a BAR that a client may map instead of accessing them by message. */
#define PCI_BAR_AREAS 4
typedef struct PciBarMap {
    int fd;           /* the device's */
    uint64_t offset;  /* of the BAR's first byte in fd; page aligned */
    unsigned n_areas; /* 0: all of the BAR */
    struct {
        uint64_t offset, size; /* in the BAR; page aligned */
    } area[PCI_BAR_AREAS];
} PciBarMap;

typedef struct PciDevOps {
    uint16_t vendor, device, subsys_vendor, subsys;
    uint32_t class_code; /* 24 bits: base, sub, prog-if */
    uint8_t revision;
    uint8_t int_pin;    /* 1 = INTA, 0 = none */
    const PciBar *bars; /* up to six, ended by PCI_BAR_NONE; index = BAR number */
    /* host, loop and mem are set: take what is below (bus, drives) to the loop. Main thread,
     * before the machine's thread starts. */
    bool (*attach)(PciDev *dev, GError **errp);
    /* The machine's thread is gone; nothing is in flight. Main thread. */
    void (*detach)(PciDev *dev);
    /* Stop, cancel what is in flight, flush, drop every pin; then idle from the loop, once. */
    void (*drain)(PciDev *dev, void (*idle)(void *), void *opaque);
    /* Optional, both or neither. pause: finish what is in flight, flush, begin no I/O until resume;
     * then idle from the loop, once. Not while a drain is under way, nor a drain meanwhile; one
     * after it comes as ever. */
    void (*pause)(PciDev *dev, void (*idle)(void *), void *opaque);
    void (*resume)(PciDev *dev);
    /* Power-on state; after drain. Config space is reset by pci_dev_reset(). */
    void (*reset)(PciDev *dev);
    /* Optional, for a function whose config space is elsewhere: the value that a read gets instead
     * of config[], and a write after config[] has taken it. */
    uint32_t (*cfg_read)(PciDev *dev, unsigned addr, unsigned len);
    void (*cfg_write)(PciDev *dev, unsigned addr, uint32_t value, unsigned len);
    /* Optional: false where BAR bar can't be mapped. */
    bool (*bar_map)(PciDev *dev, unsigned bar, PciBarMap *map);
} PciDevOps;

/* Who a function is attached to: the remote machine, a board, a test. */
typedef struct PciHostOps {
    /* INTA# has another level now. */
    void (*set_irq)(void *opaque, PciDev *dev, bool level);
    /* Optional: takes INTx by descriptors instead, which stay the caller's and valid until the
     * next call (-1, -1: no more): irqfd raises the line, the host lowers it at the guest's EOI
     * and signals resamplefd. 0, or -errno where it can't. */
    int (*bind_irqfd)(void *opaque, PciDev *dev, int irqfd, int resamplefd);
    /* Optional: the message of an enabled and unmasked MSI or MSI-X vector. A host without it
     * delivers none: functions then have no such capability. */
    void (*signal)(void *opaque, PciDev *dev, bool msix, unsigned vector);
} PciHostOps;

typedef struct PciHost {
    const PciHostOps *ops;
    void *opaque; /* for ops */
    Loop *loop;
    GuestMemory *mem; /* DMA */
    MemoryMap *map;   /* the board's address space, to listen to; NULL without a board */
    /* The guest's MSI-X table is kept on the other side of the wire: vectors are masked there. */
    bool owns_msix_table;
} PciHost;

struct PciDev {
    const PciDevOps *ops;
    Device *dev;
    /* properties, by PCI_DEV_PROPS */
    char *addr, *romfile;
    bool multifunction;
    int32_t rombar;
    int devfn; /* that addr= asks for; -1: any */
    /* set by pci_dev_attach() */
    const PciHost *host;
    Loop *loop;
    GuestMemory *mem;
    /* state */
    uint8_t config[PCI_CONFIG_SIZE];
    bool irq_level; /* the device's pin, before INTX_OFF */
    bool irq_out;   /* what the host was told last */
    /* constant after set-up */
    uint8_t wmask[PCI_CONFIG_SIZE];   /* writable bits */
    uint8_t w1cmask[PCI_CONFIG_SIZE]; /* write-one-to-clear bits */
    const PciBar *bars;               /* ops->bars, or pci_dev_set_bars()'s */
    struct {
        uint8_t offset;
        bool messages; /* needs a host that delivers them */
    } caps[4];         /* in order of addition */
    unsigned n_caps;
    unsigned n_bars;
    LogLimit limit;
};

/* ---- for devices ---- */

/* What every PCI function's property table has besides its own. A remote's place is decided by the
 * VMM's proxy; on a board addr= decides. */
#define PCI_DEV_PROPS                                                                              \
    { .name = "addr",                                                                              \
      .type = OPT_STRING,                                                                          \
      .offset = offsetof(PciDev, addr),                                                            \
      .help = "SLOT[.FUNCTION] on a board's bus" },                                                \
        { .name = "multifunction",                                                                 \
          .type = OPT_BOOL,                                                                        \
          .offset = offsetof(PciDev, multifunction),                                               \
          .help = "taken, without effect" },                                                       \
        { .name = "rombar",                                                                        \
          .type = OPT_I32,                                                                         \
          .offset = offsetof(PciDev, rombar),                                                      \
          .def = 1,                                                                                \
          .help = "taken, without effect" },                                                       \
    {                                                                                              \
        .name = "romfile", .type = OPT_STRING, .offset = offsetof(PciDev, romfile),                \
        .help = "taken, without effect"                                                            \
    }

/* In the type's realize. Config bytes from ops; add capabilities after it. False if a property is
 * malformed. */
bool pci_dev_init(PciDev *pci, Device *dev, const PciDevOps *ops, GError **errp);
/* For a function that learns its BARs later than pci_dev_init(): PCI_NUM_BARS of them, which stay
 * the caller's; PCI_BAR_NONE ones may stand between others. Before the guest sees the function. */
void pci_dev_set_bars(PciDev *pci, const PciBar *bars);
/* The capability at offset is for message-signalled interrupts: left out of the list while the host
 * can't deliver any. */
void pci_cap_needs_messages(PciDev *pci, uint8_t offset);
/* Adds a capability of size bytes (zeroed) at offset, a multiple of 4 from 0x40 up, to the head of
 * the list, with its id and link in the first two bytes. The device fills in the rest of config[]
 * and the wmask[] of what is writable. */
void pci_add_capability(PciDev *pci, uint8_t id, uint8_t offset, uint8_t size);
/* Power management as in PCI PM 1.1: states D0 to D3hot can be set and are read back; nothing
 * else happens in them. No PME#. */
void pci_add_pm_capability(PciDev *pci, uint8_t offset);
/* Sets the INTA# level; a no-op if it has it already. Reflected in the status register, and passed
 * on unless PCI_COMMAND_INTX_OFF. */
void pci_irq_set(PciDev *pci, bool level);
/* DMA as bus master: -EPERM when bus mastering is off, -EFAULT as guest memory says. */
int pci_dma_read(PciDev *pci, uint64_t gpa, void *buf, size_t len);
int pci_dma_write(PciDev *pci, uint64_t gpa, const void *buf, size_t len);
/* Where the bytes from gpa on are, for a bus master that writes: *len is cut to what is in one
 * piece. NULL where pci_dma_write() would fail. Good until the caller returns to the loop. */
void *pci_dma_ptr(PciDev *pci, uint64_t gpa, size_t *len);
/* For messages. */
static inline const char *pci_dev_name(const PciDev *pci)
{
    return pci->dev ? device_name(pci->dev) : "pci";
}
static inline bool pci_bus_master(const PciDev *pci)
{
    return pci->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}
/* Does [addr, addr + len) begin in BAR bar as decoded now (address programmed, space enabled)?
 * *off is the offset in the BAR, and *len is cut to its end. For self-DMA. */
bool pci_bar_contains(const PciDev *pci, unsigned bar, uint64_t addr, uint64_t *off, size_t *len);

/* ---- for hosts (machine, board, tests) ---- */

/* host must stay valid until the detach. */
bool pci_dev_attach(PciDev *pci, const PciHost *host, GError **errp);
void pci_dev_detach(PciDev *pci);
/* Config space: every writable bit (command, BARs, 0x0c, 0x0d, 0x3c, power state) to 0; interrupt
 * down; ops->reset. */
void pci_dev_reset(PciDev *pci);

/* State: what of config space can be written. The interrupt level is the device's to set again. */
void pci_dev_save(const PciDev *pci, GByteArray *out);
/* The config bytes in the stream, for pci_dev_load() when everything else has been checked, too.
 * NULL: they are of another kind of function, or missing. */
const uint8_t *pci_dev_check(const PciDev *pci, StreamIn *in);
void pci_dev_load(PciDev *pci, const uint8_t *config);

/* len 1, 2 or 4 and addr + len <= 256, which the caller has checked; need not be aligned. */
uint32_t pci_cfg_read(PciDev *pci, unsigned addr, unsigned len);
void pci_cfg_write(PciDev *pci, unsigned addr, uint32_t value, unsigned len);

/* The BAR door, by BAR and offset: checks bounds, size (1, 2, 4, 8) and splits or widens to what
 * the BAR takes. Senseless ones: all ones of that size, writes dropped, logged rate-limited. An
 * unaligned access is done as bytes, and a write narrower than the BAR's min is dropped. */
uint64_t pci_bar_read(PciDev *pci, unsigned bar, uint64_t off, unsigned size);
void pci_bar_write(PciDev *pci, unsigned bar, uint64_t off, uint64_t value, unsigned size);
uint32_t pci_bar_size(const PciDev *pci, unsigned bar); /* 0: not implemented */
/* Base address as programmed; false while its space is disabled in the command register or the
 * BAR holds no address (0 or all ones). */
bool pci_bar_base(const PciDev *pci, unsigned bar, uint64_t *base);

#endif
