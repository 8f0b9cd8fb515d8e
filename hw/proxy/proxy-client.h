/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocol half of the proxy: what a device asks of its remote, and the two protocols it can be
 * asked in. On the board's thread (the main thread before that runs).
 */
#ifndef HW_PROXY_PROXY_CLIENT_H
#define HW_PROXY_PROXY_CLIENT_H

#include "hw/pci/pci.h"
#include "proxy-link.h"
#include <sys/types.h>

/* Order of the names of protocol=. */
typedef enum ProxyProtocol { PROXY_MPQEMU, PROXY_VFIO_USER } ProxyProtocol;

/* Guest memory behind a file. */
typedef struct SyncRegion {
    uint64_t gpa, size, offset;
    int fd; /* the board's */
    dev_t dev;
    ino_t ino;
    bool refused; /* by the remote */
} SyncRegion;

/* dev and ino 0: unknown, equal to none. */
static inline bool sync_region_same(const SyncRegion *a, const SyncRegion *b)
{
    return a->gpa == b->gpa && a->size == b->size && a->offset == b->offset && a->dev == b->dev &&
           a->ino == b->ino && a->ino != 0;
}

typedef struct ProxyClient ProxyClient;

/* True or a value: the remote has answered. False: it has not in time, refuses, or the connection
 * is lost. Values are all ones then. */
typedef struct ProxyClientOps {
    const ProxyWire *wire;
    /* Optional, the handshake: its question, and what follows once that is answered. */
    ProxyMessage (*greeting)(void);
    bool (*greeted)(ProxyClient *client, const ProxyReply *reply, GError **errp);
    /* A config read of the vendor id, len bytes, whose reply isn't waited for; its value, or all 64
     * bits. */
    bool (*ask)(ProxyClient *client, unsigned len);
    uint64_t (*answer)(const ProxyReply *reply);
    /* Guest memory was old, which the remote has (n_old 0: nothing), and is now new. False: the
     * connection is lost. */
    bool (*memory)(ProxyClient *client, const SyncRegion *old, unsigned n_old, SyncRegion *new,
                   unsigned n_new);
    unsigned max_regions; /* of it */
    bool (*cfg_read)(ProxyClient *client, unsigned addr, unsigned len, uint32_t *value);
    bool (*cfg_write)(ProxyClient *client, unsigned addr, uint32_t value, unsigned len);
    /* What BAR i reads back after all ones were written. */
    bool (*bar_sized)(ProxyClient *client, unsigned i, uint32_t *sized);
    /* pci knows where the BAR is. */
    uint64_t (*bar_read)(ProxyClient *client, const PciDev *pci, unsigned i, uint64_t off,
                         unsigned size);
    void (*bar_write)(ProxyClient *client, const PciDev *pci, unsigned i, uint64_t off,
                      uint64_t value, unsigned size);
    /* irqfd and resamplefd as ProxyIrq has them; host: their other ends are the host's. */
    bool (*set_irqfds)(ProxyClient *client, int irqfd, int resamplefd, bool host);
    /* Optional, where a line that was signalled stays masked until this; else by resamplefd. */
    void (*unmask)(ProxyClient *client);
    bool (*reset)(ProxyClient *client);
} ProxyClientOps;

struct ProxyClient {
    const ProxyClientOps *ops;
    ProxyLink link;
    /* vfio-user: what the remote has said of itself */
    struct {
        bool resets, intx;
        uint64_t bar_size[PCI_NUM_BARS];
        uint8_t hidden[2]; /* places in config space of capabilities without a use; 0: none */
    } vfio;
};

extern const ProxyClientOps proxy_mpqemu_ops, proxy_vfio_user_ops;

/* name: must stay valid. */
static inline void proxy_client_init(ProxyClient *client, ProxyProtocol protocol, Loop *loop,
                                     const char *name, unsigned timeout_ms, const ProxyLinkOps *ops,
                                     void *opaque)
{
    *client = (ProxyClient){ 0 };
    client->ops = protocol == PROXY_VFIO_USER ? &proxy_vfio_user_ops : &proxy_mpqemu_ops;
    proxy_link_init(&client->link, loop, name, timeout_ms, client->ops->wire, ops, opaque);
}

static inline bool proxy_cfg_read(ProxyClient *client, unsigned addr, unsigned len, uint32_t *value)
{
    return client->ops->cfg_read(client, addr, len, value);
}
static inline bool proxy_cfg_write(ProxyClient *client, unsigned addr, uint32_t value, unsigned len)
{
    return client->ops->cfg_write(client, addr, value, len);
}

#endif
