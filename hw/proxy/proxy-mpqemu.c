/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mpqemu, the protocol of QEMU's own x-pci-proxy-dev, from the proxy's side. There is no handshake,
 * a reply is a value and says nothing of what it answers, and a value of all ones, 64 bits, is the
 * remote's way to refuse a config access. BARs are accessed by guest address. SYNC_SYSMEM replaces
 * the whole map and holds eight regions; it and SET_IRQFD have no reply.
 */
#include "proxy-client.h"
#include "remote/mpqemu-proto.h"
#include "util/trace.h"
#include <inttypes.h>
#include <string.h>

/* --- the wire --- */

static_assert(sizeof(MpqHeader) == PROXY_LINK_HEADER && MPQ_MAX_PAYLOAD <= PROXY_LINK_PAYLOAD &&
                  MPQ_MAX_REGIONS <= PROXY_LINK_FDS,
              "what a link can send");

static const char *command_name(unsigned cmd)
{
    static const char *const names[MPQ_CMDS] = {
        [MPQ_SYNC_SYSMEM] = "SYNC_SYSMEM",   [MPQ_RET] = "RET",
        [MPQ_PCI_CFGWRITE] = "PCI_CFGWRITE", [MPQ_PCI_CFGREAD] = "PCI_CFGREAD",
        [MPQ_BAR_WRITE] = "BAR_WRITE",       [MPQ_BAR_READ] = "BAR_READ",
        [MPQ_SET_IRQFD] = "SET_IRQFD",       [MPQ_DEVICE_RESET] = "DEVICE_RESET",
    };

    return names[cmd];
}

static void put_header(void *to, const ProxyMessage *message, uint16_t id G_GNUC_UNUSED,
                       bool wants_reply G_GNUC_UNUSED)
{
    const MpqHeader header = { .cmd = message->cmd, .size = message->size };

    memcpy(to, &header, sizeof(header));
}

static bool get_header(const void *from, uint16_t id G_GNUC_UNUSED, ProxyReply *reply)
{
    MpqHeader header;

    memcpy(&header, from, sizeof(header));
    if (header.cmd != MPQ_RET || header.size > sizeof(uint64_t)) {
        return false;
    }
    reply->error = 0;
    reply->len = header.size;
    return true;
}

static const ProxyWire wire = {
    .command_name = command_name,
    .put_header = put_header,
    .get_header = get_header,
};

/* Missing bytes are zero: a reset is answered without any. */
static uint64_t value_of(const ProxyReply *reply)
{
    uint64_t value;

    memcpy(&value, reply->payload, sizeof(value));
    return value;
}

static bool request(ProxyClient *client, MpqCmd cmd, const void *payload, size_t size,
                    uint64_t *value)
{
    const ProxyMessage message = { .cmd = cmd, .payload = payload, .size = size };
    ProxyReply reply;
    bool ok = proxy_link_request(&client->link, &message, &reply);

    *value = ok ? value_of(&reply) : UINT64_MAX;
    return ok;
}

/* --- config space --- */

static bool ask(ProxyClient *client, unsigned len)
{
    const MpqCfg cfg = { .addr = PCI_VENDOR_ID, .len = len };
    const ProxyMessage message = { MPQ_PCI_CFGREAD, &cfg, sizeof(cfg), NULL, 0 };

    return proxy_link_ask(&client->link, &message);
}

static bool cfg_read(ProxyClient *client, unsigned addr, unsigned len, uint32_t *value)
{
    const MpqCfg cfg = { .addr = addr, .len = len };
    uint64_t got;
    bool ok = request(client, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg), &got) && got != UINT64_MAX;

    *value = (uint32_t)got & (UINT32_MAX >> (32 - 8 * len));
    return ok;
}

static bool cfg_write(ProxyClient *client, unsigned addr, uint32_t value, unsigned len)
{
    const MpqCfg cfg = { .addr = addr, .value = value, .len = len };
    uint64_t got;

    return request(client, MPQ_PCI_CFGWRITE, &cfg, sizeof(cfg), &got) && got != UINT64_MAX;
}

/* As firmware does it (PCI Local Bus 3.0, 6.2.5.1): read, write all ones, read, write back. */
static bool bar_sized(ProxyClient *client, unsigned i, uint32_t *sized)
{
    unsigned addr = PCI_BAR0 + 4 * i;
    uint32_t before;

    return cfg_read(client, addr, 4, &before) && cfg_write(client, addr, UINT32_MAX, 4) &&
           cfg_read(client, addr, 4, sized) && cfg_write(client, addr, before, 4);
}

/* --- BARs --- */

static uint64_t bar_access(ProxyClient *client, MpqCmd cmd, const PciDev *pci, unsigned i,
                           uint64_t off, uint64_t value, unsigned size)
{
    MpqBar bar = { .value = value, .size = size, .memory = pci->bars[i].kind == PCI_BAR_MEM32 };
    uint64_t base;

    if (!pci_bar_base(pci, i, &base)) {
        return UINT64_MAX;
    }
    bar.addr = base + off;
    request(client, cmd, &bar, sizeof(bar), &value);
    return value;
}

static uint64_t bar_read(ProxyClient *client, const PciDev *pci, unsigned i, uint64_t off,
                         unsigned size)
{
    return bar_access(client, MPQ_BAR_READ, pci, i, off, 0, size);
}

static void bar_write(ProxyClient *client, const PciDev *pci, unsigned i, uint64_t off,
                      uint64_t value, unsigned size)
{
    bar_access(client, MPQ_BAR_WRITE, pci, i, off, value, size);
}

/* --- memory, interrupt, reset --- */

static bool send_memory(ProxyClient *client, const SyncRegion *old G_GNUC_UNUSED,
                        unsigned n_old G_GNUC_UNUSED, SyncRegion *new, unsigned n_new)
{
    int fds[MPQ_MAX_REGIONS];
    MpqSysmem map = { 0 };

    for (unsigned i = 0; i < n_new; i++) {
        map.gpa[i] = new[i].gpa;
        map.size[i] = new[i].size;
        map.offset[i] = new[i].offset;
        fds[i] = new[i].fd;
        trace(MEM, "%s: 0x%" PRIx64 " + 0x%" PRIx64 " is at 0x%" PRIx64, client->link.name,
              new[i].gpa, new[i].size, new[i].offset);
    }
    const ProxyMessage message = { MPQ_SYNC_SYSMEM, &map, sizeof(map), fds, n_new };
    return n_new == 0 || proxy_link_post(&client->link, &message);
}

static bool set_irqfds(ProxyClient *client, int irqfd, int resamplefd, bool host G_GNUC_UNUSED)
{
    const int fds[] = { irqfd, resamplefd };
    const ProxyMessage message = { MPQ_SET_IRQFD, NULL, 0, fds, G_N_ELEMENTS(fds) };

    return proxy_link_post(&client->link, &message);
}

static bool reset(ProxyClient *client)
{
    uint64_t value;

    return request(client, MPQ_DEVICE_RESET, NULL, 0, &value);
}

const ProxyClientOps proxy_mpqemu_ops = {
    .wire = &wire,
    .ask = ask,
    .answer = value_of,
    .memory = send_memory,
    .max_regions = MPQ_MAX_REGIONS,
    .cfg_read = cfg_read,
    .cfg_write = cfg_write,
    .bar_sized = bar_sized,
    .bar_read = bar_read,
    .bar_write = bar_write,
    .set_irqfds = set_irqfds,
    .reset = reset,
};
