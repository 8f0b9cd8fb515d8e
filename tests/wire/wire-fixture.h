/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the wire tests share: a process with an LSI 53C895A and a disk, ready to be started. */
#ifndef TESTS_WIRE_FIXTURE_H
#define TESTS_WIRE_FIXTURE_H

#include "mpq-client.h"

#define PAGE 4096u
#define LSI_IDS 0x00121000u
#define IO_BASE 0xc000u
#define MMIO_BASE 0xfebf0000u
#define RAM_BASE 0xfebf2000u
#define DSTAT_BF 0x20
#define DSTAT_SIR 0x04
#define LSI_DSTAT 0x0c
#define SCRIPT_INT 0x98080000u

typedef struct WireFixture {
    char *dir, *path; /* path: of the listening socket */
    MpqProcess *p;    /* not started yet */
} WireFixture;

typedef struct WireMessage {
    const char *name;
    size_t payload;
    unsigned fds_min, fds_max;
} WireMessage;

extern const WireMessage wire_messages[MPQ_CMDS];

/* g_test_init(); without $QEMU_REMOTE the program ends here, with one skipped test. */
void wire_test_init(int *argc, char ***argv);
void wire_setup(WireFixture *f, gconstpointer data);
void wire_teardown(WireFixture *f, gconstpointer data);
#define WIRE_TEST(name)                                                                            \
    g_test_add("/wire/" #name, WireFixture, NULL, wire_setup, test_##name, wire_teardown)

/* Starts it for one client, or for any number of them on f->path; the latter returns
 * wire_count_fds(). */
MpqClient *wire_start_connected(WireFixture *f);
unsigned wire_start_listening(WireFixture *f);
/* Descriptors of a listening process while it serves a client. Every client before is gone. */
unsigned wire_count_fds(WireFixture *f);
/* How often the process has printed what. */
unsigned wire_count_text(WireFixture *f, const char *what);

void wire_program_bars(MpqClient *c);
uint64_t wire_reg(MpqClient *c, unsigned off);
/* An INT at address 0 of ram. */
void wire_put_script(uint8_t *ram);
/* Runs what is at guest address 0 until the chip interrupts; reading DSTAT takes that back, which
 * the second one does and returns it. */
void wire_start_script(MpqClient *c);
uint64_t wire_run_script(MpqClient *c);

#endif
