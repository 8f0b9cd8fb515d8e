/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the vfio-user server: its state, its requests, and what its handlers may use. */
#ifndef REMOTE_VFIO_USER_INTERNAL_H
#define REMOTE_VFIO_USER_INTERNAL_H

#include "remote/link.h"
#include "remote/vfio-user-proto.h"
#include "remote/vfio-user.h"

/* A request whose answer comes later; the link is held until then. */
typedef struct VfuWait {
    VfioUserServer *server;
    VfuHeader request;
    VfuDmaUnmap echo; /* DMA_UNMAP's answer */
    unsigned pending; /* of its events that have not come yet */
} VfuWait;

/* A DMA_MAP that is in force. */
typedef struct VfuDma {
    uint64_t iova, size;
    bool mapped; /* in the machine's memory */
} VfuDma;

struct VfioUserServer {
    RemoteMachine *m;
    Link *link; /* NULL once it has ended */
    VfioUserEnded *ended;
    void *opaque;
    MachineDesc desc;
    bool negotiated;     /* VERSION has been answered */
    bool write_multiple; /* both ends know REGION_WRITE_MULTI */
    bool stopping, violation;
    bool said_unshared;
    char why[80]; /* what is wrong with the frame in work */
    LoopTimer handshake;
    bool half_sent; /* the message in front of the last tick of handshake is still not whole */
    /* the answer being made: header and payload */
    uint8_t *out;
    size_t out_room, out_len;
    int out_fd; /* not owned; -1: none */
    /* owed answers */
    VfuWait *wait;       /* NULL: none */
    VfuWait *reset_wait; /* of the last DEVICE_RESET; while resetting */
    bool resetting;
    LoopTimer patience;
    int64_t patience_ns;
    GArray *dma; /* VfuDma, by iova */
};

typedef struct VfuRequest {
    VfuHeader header;
    const uint8_t *payload; /* not aligned for more than a byte */
    uint32_t len;
    FdSet *fds; /* what is not taken is closed */
} VfuRequest;

/* Returned by a handler: the answer comes later. */
#define VFU_LATER 1
/* A handler returns 0 (the answer is what it made, by default bare), -errno or VFU_LATER. The
 * request has at least its command's smallest payload. */
typedef int VfuHandler(VfioUserServer *server, const VfuRequest *req);

/* Room for a payload of len bytes (zeroed) in the answer; any earlier one is discarded. */
void *vfu_answer(VfioUserServer *server, size_t len);
/* Holds the link and starts the clock. The answer is echo, or a bare header if that is NULL; it
 * goes out when vfu_wait_event() has been called `pending` times, after which the wait is gone. */
VfuWait *vfu_wait_new(VfioUserServer *server, const VfuRequest *req, const VfuDmaUnmap *echo,
                      unsigned pending);
void vfu_wait_event(void *opaque);

/* vfio-user-version.c: *write_multiple says whether the client offers it. False and a reason: not
 * a version data text. */
bool vfu_version_parse(const char *json, size_t len, bool *write_multiple, const char **why);
/* The version data of the answer, without its NUL. */
const char *vfu_version_text(bool write_multiple);

/* vfio-user-dma.c */
VfuHandler vfu_do_dma_map, vfu_do_dma_unmap;
/* vfio-user-regions.c */
VfuHandler vfu_do_get_info, vfu_do_get_region_info;
VfuHandler vfu_do_region_read, vfu_do_region_write, vfu_do_region_write_multi;
/* vfio-user-irqs.c */
VfuHandler vfu_do_get_irq_info, vfu_do_set_irqs;

#endif
