/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end of the wire, for tests: starts remote processes and plays the proxy towards them,
 * as politely or as badly as the test wants.
 *
 *   MpqProcess *p = mpq_process_new(getenv("QEMU_REMOTE"));
 *   mpq_process_args(p, "-machine", "x-remote", "-device", "lsi53c895a,id=lsi0", NULL);
 *   MpqClient *c = mpq_process_connect(p, "lsi0");   // adds -object x-remote-object,...,fd=N
 *   mpq_process_start(p);
 *   mpq_map_ram(c, 1 << 20);
 *   id = mpq_cfg_read(c, 0, 4);
 *   mpq_client_free(c);
 *   g_assert_cmpint(mpq_process_wait(p), ==, 0);
 *   mpq_process_free(p);
 *
 * Whatever waits gives up after MPQ_TIMEOUT_MS with g_error(), which prints what the process had
 * to say on its standard error.
 */
#ifndef TESTS_MPQ_CLIENT_H
#define TESTS_MPQ_CLIENT_H

#include "remote/mpqemu-proto.h"
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MPQ_TIMEOUT_MS 30000
#define MPQ_ALL_ONES UINT64_MAX

typedef struct MpqProcess MpqProcess;
typedef struct MpqClient MpqClient;

/* ---- a process ---- */

/* program: path of the remote; arguments follow. */
MpqProcess *mpq_process_new(const char *program);
/* Appends arguments, up to NULL. Before the start. */
void mpq_process_args(MpqProcess *p, const char *arg, ...) G_GNUC_NULL_TERMINATED;
/* A socketpair: the returned client has one end, the process inherits the other as the fd= of a
 * new x-remote-object for devid. Before the start. */
MpqClient *mpq_process_connect(MpqProcess *p, const char *devid);
/* The same with path= and auto-shutdown=off: the process listens on path, and each
 * mpq_client_open() after the start is a client of its own. */
void mpq_process_listen(MpqProcess *p, const char *devid, const char *path);
MpqClient *mpq_client_open(MpqProcess *p, const char *path);
void mpq_process_start(MpqProcess *p);
/* Exit status when it has ended by itself; 128 + the signal's number if it was one. */
int mpq_process_wait(MpqProcess *p);
bool mpq_process_running(MpqProcess *p);
int mpq_process_pid(const MpqProcess *p);
/* What it has printed on standard output and error so far; valid until the next call. */
const char *mpq_process_output(MpqProcess *p);
/* Waits until it has used no CPU time for a while. */
void mpq_process_wait_idle(MpqProcess *p);
/* Entries of /proc/PID/fd. */
unsigned mpq_process_count_fds(const MpqProcess *p);
/* The lines of /proc/PID/maps that have `what` in them. */
char *mpq_process_maps(const MpqProcess *p, const char *what);
/* Kills it if it still runs. Its clients are freed by their owners. */
void mpq_process_free(MpqProcess *p);

/* ---- a connection: raw ---- */

/* Hangs up. */
void mpq_client_free(MpqClient *c);
/* One sendmsg(); false if the peer has closed. fds may be NULL. */
bool mpq_send_raw(MpqClient *c, const void *bytes, size_t len, const int *fds, unsigned nfds);
/* As many of the bytes as go without waiting. */
size_t mpq_send_some(MpqClient *c, const void *bytes, size_t len);
/* Puts a whole message into buf (sizeof(MpqHeader) + len bytes), for mpq_send_raw(). */
size_t mpq_build(void *buf, int32_t cmd, const void *payload, size_t len);
bool mpq_send(MpqClient *c, int32_t cmd, const void *payload, size_t len, const int *fds,
              unsigned nfds);
/* Waits for a RET with a payload of 8 bytes, or (mpq_receive_empty) of none. */
uint64_t mpq_receive(MpqClient *c);
void mpq_receive_empty(MpqClient *c);
/* Waits for the peer to close; false if it sends something instead. */
bool mpq_wait_end(MpqClient *c);
/* Bytes that have arrived and were not received. */
size_t mpq_pending(MpqClient *c);

/* ---- a connection: the proxy's operations, with their answers ---- */

uint64_t mpq_cfg_read(MpqClient *c, uint32_t addr, int32_t len);
uint64_t mpq_cfg_write(MpqClient *c, uint32_t addr, uint32_t value, int32_t len);
uint64_t mpq_bar_read(MpqClient *c, uint64_t addr, uint32_t size, bool memory);
uint64_t mpq_bar_write(MpqClient *c, uint64_t addr, uint64_t value, uint32_t size, bool memory);
void mpq_reset(MpqClient *c);
/* SYNC_SYSMEM with n regions, all of file fd. */
void mpq_sync(MpqClient *c, const MpqSysmem *map, int fd, unsigned n);
/* A memfd of size bytes at guest address 0, announced and mapped here; freed with the client. */
uint8_t *mpq_map_ram(MpqClient *c, size_t size);
int mpq_ram_fd(const MpqClient *c);
/* SET_IRQFD. */
void mpq_set_irqfd(MpqClient *c, int irqfd, int resamplefd);
/* The same with two new eventfds, which the client keeps. */
void mpq_open_irq(MpqClient *c);
/* Waits for the irqfd and clears it. */
void mpq_wait_irq(MpqClient *c);
/* True, and cleared, if it is signalled now. */
bool mpq_take_irq(MpqClient *c);
/* The guest's EOI. */
void mpq_resample(MpqClient *c);

#endif
