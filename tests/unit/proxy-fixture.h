/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A proxy device on a host of the test's, and a scripted remote in a thread of its own at the other
 * end of its socket: a small PCI function of 16 registers that writes down what it is asked, and
 * does as it is told at one request: stay silent, die, answer nonsense.
 */
#ifndef TESTS_PROXY_FIXTURE_H
#define TESTS_PROXY_FIXTURE_H

#include "hw/core/memory-map.h"
#include "hw/pci/pci.h"
#include "hw/proxy/pci-proxy-dev.h"
#include "remote/mpqemu-proto.h"
#include <pthread.h>

/* --- the remote --- */

typedef enum Fault {
    FAULT_NONE,
    FAULT_SILENT,  /* no answer to this one, and none to any later one */
    FAULT_SKIP,    /* held back; sent by fake_remote_release() */
    FAULT_DIE,     /* hangs up before the answer */
    FAULT_CUT,     /* hangs up inside of the answer */
    FAULT_HEADER,  /* hangs up inside of the answer's header */
    FAULT_COMMAND, /* an answer that is no RET */
    FAULT_SIZE,    /* a RET that is too long */
    FAULT_TWICE,   /* two answers */
    FAULT_DRIP,    /* byte by byte */
    FAULT_SHORT,   /* a RET without a value */
    FAULT_REFUSE,  /* 64 one-bits */
    FAULTS
} Fault;

#define FAKE_REGS 16
#define FAKE_REG_IRQ 8 /* bit 0: the line */

typedef struct FakeRemote {
    int fd; /* connected, or listening */
    bool listens;
    pthread_t thread;
    pthread_mutex_t lock; /* for what follows; not GLib's, which ThreadSanitizer doesn't see */
    GString *log;         /* "sync:1 irqfd r10/4 w10/4=ffffffff R m fe000004/4 ..." */
    unsigned requests;    /* that want an answer, since the start */
    unsigned fault_at;    /* number of such a request, 1: the first; 0: none */
    Fault fault;
    unsigned held; /* answers held back */
    unsigned connections;
    int conn; /* the one that is served; -1: none */
    uint8_t config[256], wmask[256];
    uint8_t regs[FAKE_REGS];
    bool no_status_bit; /* the status register doesn't show the line */
    bool leaky;         /* answers resample events of a line that is down, as x-remote may */
    int irqfd, resamplefd;
    MpqSysmem map; /* of the last SYNC_SYSMEM */
} FakeRemote;

/* fd is taken; with listens, it accepts one connection after the other. */
FakeRemote *fake_remote_new(int fd, bool listens);
/* Shuts the socket down, and waits for the thread. */
void fake_remote_free(FakeRemote *remote);
/* BAR i decodes what mask says, as it reads back when sized. */
void fake_remote_bar(FakeRemote *remote, unsigned i, uint32_t mask);
/* The next request but `after` gets this fault. */
void fake_remote_fault(FakeRemote *remote, Fault fault, unsigned after);
/* Sends what was held back. */
void fake_remote_release(FakeRemote *remote);
/* Ends the connection, and accepts no other. */
void fake_remote_hang_up(FakeRemote *remote);
/* What was logged since the last call; the caller frees it. */
char *fake_remote_log(FakeRemote *remote);
/* Looks at the resample event, as a remote's loop does, and this one only when it is asked. */
void fake_remote_resample(FakeRemote *remote);
/* The line, from outside of any access: signals as a remote does. */
void fake_remote_line(FakeRemote *remote, bool level);

/* --- the board --- */

typedef struct ProxyBoard {
    Loop *loop;
    MemoryMap *map;
    int ram_fd;
    uint8_t *ram;
    PciHostOps ops;
    PciHost host;
    bool level; /* of INTA# */
    unsigned changes;
    int irqfd, resamplefd; /* as handed over; -1: not */
    int bind_result;
    DeviceTree *tree;
    Device *dev;
    PciDev *pci;
    FakeRemote *remote; /* NULL: none was made */
    char *log_path;
} ProxyBoard;

#define RAM_SIZE 0x10000u
#define IO_BASE 0xc000u
#define MEM_BASE 0xfe000000u

/* binds: the host has a bind_irqfd(). Lines of the log go to a file, see log_count(). */
void board_init(ProxyBoard *board, bool binds);
void board_fini(ProxyBoard *board);
/* A device with these properties; NULL and an error. */
Device *board_device(ProxyBoard *board, const char *props, GError **errp);
/* A fake remote, and a device on its socket with more properties, not attached yet. */
void board_remote(ProxyBoard *board, const char *props);
/* The same, attached, with BAR 0 (I/O) and BAR 1 (memory) programmed. */
void board_start(ProxyBoard *board, bool binds, const char *props);
void board_program(ProxyBoard *board);
bool board_attach(ProxyBoard *board, GError **errp);
/* Turns the loop until done() or a deadline, which fails the test. */
void board_until(ProxyBoard *board, bool (*done)(ProxyBoard *));
/* Everything that is ready now. */
void board_settle(ProxyBoard *board);
/* What the remote has been asked for since it was looked at last. */
void board_asked(ProxyBoard *board, const char *wanted);
/* Of BAR 1. */
uint64_t reg_read(ProxyBoard *board, unsigned reg, unsigned size);
void reg_write(ProxyBoard *board, unsigned reg, uint64_t value, unsigned size);
/* The function is like a slot that is empty, and no connection is left to try. */
void board_is_gone(ProxyBoard *board);
/* How many log lines so far contain this text. */
unsigned log_count(ProxyBoard *board, const char *text);
/* fd of one end of a socket pair; the other is put into the text "fd=N". */
int socket_pair(char **fd_prop);
unsigned open_fds(void);

#endif
