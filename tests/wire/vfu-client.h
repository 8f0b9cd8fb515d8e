/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vfio-user client for the wire tests, in the way of mpq-client.h, which has the processes. Every
 * wait has a deadline.
 */
#ifndef TESTS_VFU_CLIENT_H
#define TESTS_VFU_CLIENT_H

#include "mpq-client.h"
#include "remote/vfio-user-proto.h"

typedef struct VfuClient {
    MpqProcess *process;
    int sock;
    int irqfd;
    int ram_fd;
    uint8_t *ram;
    size_t ram_size;
    uint16_t id;
    uint8_t data[8192]; /* of the last answer */
} VfuClient;

/* Adds an x-vfio-user-server for devid on path. Before the start. */
void vfuc_listen(MpqProcess *p, const char *devid, const char *path, bool auto_shutdown);
VfuClient *vfuc_open(MpqProcess *p, const char *path);
void vfuc_free(VfuClient *c); /* hangs up */
/* False if the server has closed. */
bool vfuc_send(VfuClient *c, unsigned cmd, uint32_t flags, const void *payload, size_t len,
               const int *fds, unsigned nfds);
/* The answer's error, 0 if it is none; -1 if the connection has ended instead. */
int vfuc_receive(VfuClient *c, size_t *len);
/* Both; the answer must be no error and have a payload of reply bytes, in c->data. */
void vfuc_ask(VfuClient *c, unsigned cmd, const void *payload, size_t len, const int *fds,
              unsigned nfds, size_t reply);
bool vfuc_version(VfuClient *c); /* false: closed */
uint32_t vfuc_read(VfuClient *c, uint32_t region, uint64_t off, unsigned size);
void vfuc_write(VfuClient *c, uint32_t region, uint64_t off, uint32_t value, unsigned size);
void vfuc_post(VfuClient *c, uint32_t region, uint64_t off, uint32_t value, unsigned size);
uint8_t *vfuc_map_ram(VfuClient *c, size_t size); /* at 0 */
void vfuc_set_irq(VfuClient *c);
bool vfuc_wait_irq(VfuClient *c, int timeout_ms);

#endif
