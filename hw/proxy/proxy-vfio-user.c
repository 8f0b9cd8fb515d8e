/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio-user, the protocol of QEMU's vfio-user-pci, from the proxy's side.
 *
 * The handshake is VERSION, then what the device is: DEVICE_GET_INFO, the sizes of BARs and config
 * space, whether it has INTx. Nothing of VERSION's data matters here: messages have one descriptor
 * and a few bytes, which every server takes.
 *
 * Config space is region 7, BARs are regions 0 to 5, accessed by offset. Config accesses and reads
 * are answered; writes to BARs are posted, as on a bus. What comes behind them is handled behind
 * them, so a later look at the status register shows what they did; that it raised the interrupt
 * is known when the descriptor says so.
 *
 * Memory is told by differences: what went is unmapped first, then what came is mapped. A region
 * that the remote refuses is left out, with a line in the log; the rest of memory is there.
 *
 * INTx is masked by the remote when it signals. With a host that takes the descriptors (KVM) it is
 * unmasked by the resample descriptor, at the guest's EOI, else by a message: see proxy-irq.c. A
 * reset leaves it masked in the remote, so both ends begin anew with an unmask.
 *
 * MSI and MSI-X have no receiver on this board, so the guest must not find them: their capabilities
 * show the id of the null capability, which software steps over.
 */
#include "proxy-client.h"
#include "remote/vfio-user-proto.h"
#include "util/error.h"
#include "util/trace.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define VERSION_DATA                                                                               \
    "{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":1048576,"                         \
    "\"migration\":{\"pgsize\":4096}}}"
#define CAPS_MAX 48 /* that fit into config space */
#define BAR_IO 0x1u
#define BAR_FLAGS 0xfu

typedef struct Version {
    VfuVersion version;
    char data[sizeof(VERSION_DATA)];
} Version;

typedef struct RegionData {
    VfuRegionAccess access;
    uint64_t value;
} RegionData;

/* --- the wire --- */

static_assert(sizeof(VfuHeader) == PROXY_LINK_HEADER && sizeof(Version) <= PROXY_LINK_PAYLOAD,
              "what a link can send");
static_assert(sizeof(RegionData) <= PROXY_REPLY_MAX && sizeof(VfuRegionInfo) <= PROXY_REPLY_MAX,
              "what a link hands on");

static const char *command_name(unsigned cmd)
{
    static const char *const names[VFU_CMDS] = {
        [VFU_VERSION] = "VERSION",
        [VFU_DMA_MAP] = "DMA_MAP",
        [VFU_DMA_UNMAP] = "DMA_UNMAP",
        [VFU_DEVICE_GET_INFO] = "DEVICE_GET_INFO",
        [VFU_DEVICE_GET_REGION_INFO] = "DEVICE_GET_REGION_INFO",
        [VFU_DEVICE_GET_IRQ_INFO] = "DEVICE_GET_IRQ_INFO",
        [VFU_DEVICE_SET_IRQS] = "DEVICE_SET_IRQS",
        [VFU_REGION_READ] = "REGION_READ",
        [VFU_REGION_WRITE] = "REGION_WRITE",
        [VFU_DEVICE_RESET] = "DEVICE_RESET",
    };

    return names[cmd];
}

static void put_header(void *to, const ProxyMessage *message, uint16_t id, bool wants_reply)
{
    const VfuHeader header = {
        .id = id,
        .cmd = message->cmd,
        .size = sizeof(header) + message->size,
        .flags = VFU_TYPE_COMMAND | (wants_reply ? 0 : VFU_NO_REPLY),
    };

    memcpy(to, &header, sizeof(header));
}

static bool get_header(const void *from, uint16_t id, ProxyReply *reply)
{
    VfuHeader header;

    memcpy(&header, from, sizeof(header));
    if ((header.flags & VFU_TYPE_MASK) != VFU_TYPE_REPLY || header.id != id ||
        header.size < sizeof(header) || header.size > PROXY_LINK_FRAME) {
        return false;
    }
    reply->len = header.size - sizeof(header);
    reply->error = 0;
    if (header.flags & VFU_ERROR) {
        reply->error = header.error ? header.error : EIO;
    }
    return true;
}

static const ProxyWire wire = {
    .command_name = command_name,
    .put_header = put_header,
    .get_header = get_header,
};

/* least: bytes that the answer must have. */
static bool request(ProxyClient *client, const ProxyMessage *message, size_t least,
                    ProxyReply *reply)
{
    if (!proxy_link_request(&client->link, message, reply)) {
        return false;
    }
    if (reply->error != 0) {
        trace(LINK, "%s: %s refused: %s", client->link.name, command_name(message->cmd),
              g_strerror(reply->error));
        return false;
    }
    return reply->len >= least;
}

/* --- regions --- */

static bool region_read(ProxyClient *client, unsigned region, uint64_t off, unsigned size,
                        uint64_t *value)
{
    const VfuRegionAccess access = { .offset = off, .region = region, .count = size };
    const ProxyMessage message = { VFU_REGION_READ, &access, sizeof(access), NULL, 0 };
    ProxyReply reply;

    *value = UINT64_MAX;
    if (!request(client, &message, sizeof(access) + size, &reply)) {
        return false;
    }
    *value = 0;
    memcpy(value, reply.payload + sizeof(access), size);
    return true;
}

static bool ask(ProxyClient *client, unsigned len)
{
    const VfuRegionAccess access = { PCI_VENDOR_ID, VFU_REGION_CONFIG, len };
    const ProxyMessage message = { VFU_REGION_READ, &access, sizeof(access), NULL, 0 };

    return proxy_link_ask(&client->link, &message);
}

static uint64_t answer(const ProxyReply *reply)
{
    RegionData got = { 0 };

    memcpy(&got, reply->payload, sizeof(got));
    if (reply->error != 0 || reply->len < sizeof(got.access) + 2) {
        return UINT64_MAX;
    }
    return got.value; /* bytes beyond the answer are zero */
}

static bool cfg_read(ProxyClient *client, unsigned addr, unsigned len, uint32_t *value)
{
    uint64_t got;
    bool ok = region_read(client, VFU_REGION_CONFIG, addr, len, &got);

    for (unsigned i = 0; i < G_N_ELEMENTS(client->vfio.hidden); i++) {
        unsigned at = client->vfio.hidden[i];

        if (at > 0 && at >= addr && at < addr + len) {
            got &= ~(UINT64_C(0xff) << (8 * (at - addr)));
        }
    }
    *value = (uint32_t)got & (UINT32_MAX >> (32 - 8 * len));
    return ok;
}

static bool cfg_write(ProxyClient *client, unsigned addr, uint32_t value, unsigned len)
{
    const RegionData data = { { addr, VFU_REGION_CONFIG, len }, value };
    const ProxyMessage message = { VFU_REGION_WRITE, &data, sizeof(data.access) + len, NULL, 0 };
    ProxyReply reply;

    return request(client, &message, 0, &reply);
}

static bool bar_sized(ProxyClient *client, unsigned i, uint32_t *sized)
{
    uint64_t size = client->vfio.bar_size[i];
    uint32_t flags;

    *sized = 0;
    if (size == 0) {
        return true;
    }
    if (!cfg_read(client, PCI_BAR0 + 4 * i, 4, &flags)) {
        return false;
    }
    flags &= flags & BAR_IO ? BAR_IO : BAR_FLAGS;
    *sized = -(uint32_t)MIN(size, UINT32_MAX) | flags;
    return true;
}

static uint64_t bar_read(ProxyClient *client, const PciDev *pci G_GNUC_UNUSED, unsigned i,
                         uint64_t off, unsigned size)
{
    uint64_t value;

    region_read(client, i, off, size, &value);
    return value;
}

static void bar_write(ProxyClient *client, const PciDev *pci G_GNUC_UNUSED, unsigned i,
                      uint64_t off, uint64_t value, unsigned size)
{
    const RegionData data = { { off, i, size }, value };
    const ProxyMessage message = { VFU_REGION_WRITE, &data, sizeof(data.access) + size, NULL, 0 };

    proxy_link_post(&client->link, &message);
}

/* --- handshake --- */

static ProxyMessage greeting(void)
{
    static const Version version = { .data = VERSION_DATA };

    return (ProxyMessage){ VFU_VERSION, &version, sizeof(version), NULL, 0 };
}

static bool get_info(ProxyClient *client)
{
    VfuDeviceInfo info = { .argsz = sizeof(info) };
    const ProxyMessage message = { VFU_DEVICE_GET_INFO, &info, sizeof(info), NULL, 0 };
    ProxyReply reply;

    if (!request(client, &message, sizeof(info), &reply)) {
        return false;
    }
    memcpy(&info, reply.payload, sizeof(info));
    client->vfio.resets = info.flags & VFU_DEVICE_RESETS;
    client->vfio.intx = info.num_irqs > VFU_IRQ_INTX;
    return (info.flags & VFU_DEVICE_PCI) && info.num_regions > VFU_REGION_CONFIG;
}

static bool get_region_size(ProxyClient *client, unsigned region, uint64_t *size)
{
    VfuRegionInfo info = { .argsz = sizeof(info), .index = region };
    const ProxyMessage message = { VFU_DEVICE_GET_REGION_INFO, &info, sizeof(info), NULL, 0 };
    ProxyReply reply;

    if (!request(client, &message, sizeof(info), &reply)) {
        return false;
    }
    memcpy(&info, reply.payload, sizeof(info));
    *size = info.size;
    return true;
}

static bool get_intx(ProxyClient *client)
{
    VfuIrqInfo info = { .argsz = sizeof(info), .index = VFU_IRQ_INTX };
    const ProxyMessage message = { VFU_DEVICE_GET_IRQ_INFO, &info, sizeof(info), NULL, 0 };
    ProxyReply reply;

    if (!client->vfio.intx) {
        return true;
    }
    if (!request(client, &message, sizeof(info), &reply)) {
        return false;
    }
    memcpy(&info, reply.payload, sizeof(info));
    client->vfio.intx = info.count > 0;
    return true;
}

static bool hide_messages(ProxyClient *client)
{
    uint8_t *to = client->vfio.hidden;
    uint32_t status, at, cap = 0;

    if (!cfg_read(client, PCI_STATUS, 2, &status)) {
        return false;
    }
    if (!(status & PCI_STATUS_CAPS) || !cfg_read(client, PCI_CAP_PTR, 1, &at)) {
        return !(status & PCI_STATUS_CAPS);
    }
    for (unsigned i = 0; i < CAPS_MAX && at >= 0x40; i++, at = cap >> 8) {
        at &= ~3u;
        if (!cfg_read(client, at, 2, &cap)) {
            return false;
        }
        if ((uint8_t)cap == PCI_CAP_ID_MSI) {
            to[0] = at;
        } else if ((uint8_t)cap == PCI_CAP_ID_MSIX) {
            to[1] = at;
        }
    }
    return true;
}

static bool greeted(ProxyClient *client, const ProxyReply *reply, GError **errp)
{
    uint64_t config_size = 0;
    VfuVersion version;
    bool ok;

    memset(&client->vfio, 0, sizeof(client->vfio));
    memcpy(&version, reply->payload, sizeof(version));
    if (reply->error != 0) {
        return error_set(errp, "the remote refuses version 0.0 of vfio-user: %s",
                         g_strerror(reply->error));
    }
    if (reply->len < sizeof(version) || version.major != 0) {
        return error_set(errp, "the remote speaks another version of vfio-user");
    }
    ok = get_info(client) && get_region_size(client, VFU_REGION_CONFIG, &config_size) &&
         config_size >= PCI_CONFIG_SIZE;
    for (unsigned i = 0; ok && i < PCI_NUM_BARS; i++) {
        ok = get_region_size(client, i, &client->vfio.bar_size[i]);
    }
    if (!ok || !get_intx(client) || !hide_messages(client)) {
        return error_set(errp, "the remote does not say what it is, or is no PCI function");
    }
    return true;
}

/* --- memory --- */

static bool has(const SyncRegion *regions, unsigned n, const SyncRegion *region)
{
    for (unsigned i = 0; i < n; i++) {
        if (sync_region_same(&regions[i], region)) {
            return !regions[i].refused;
        }
    }
    return false;
}

static void unmap(ProxyClient *client, const SyncRegion *region)
{
    const VfuDmaUnmap unmap = { .argsz = sizeof(unmap), .iova = region->gpa, .size = region->size };
    const ProxyMessage message = { VFU_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0 };
    ProxyReply reply;

    if (!request(client, &message, 0, &reply) && proxy_link_is_open(&client->link)) {
        log_line(client->link.name, "the remote does not let go of guest memory at 0x%" PRIx64,
                 region->gpa);
    }
}

static void map(ProxyClient *client, SyncRegion *region)
{
    const VfuDmaMap map = {
        .argsz = sizeof(map),
        .flags = VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE,
        .offset = region->offset,
        .iova = region->gpa,
        .size = region->size,
    };
    const ProxyMessage message = { VFU_DMA_MAP, &map, sizeof(map), &region->fd, 1 };
    ProxyReply reply;

    trace(MEM, "%s: 0x%" PRIx64 " + 0x%" PRIx64 " is at 0x%" PRIx64, client->link.name, region->gpa,
          region->size, region->offset);
    region->refused = false;
    if (proxy_link_request(&client->link, &message, &reply) && reply.error != 0) {
        region->refused = true;
        log_line(client->link.name, "the remote refuses guest memory at 0x%" PRIx64 ": %s",
                 region->gpa, g_strerror(reply.error));
    }
}

static bool send_memory(ProxyClient *client, const SyncRegion *old, unsigned n_old, SyncRegion *new,
                        unsigned n_new)
{
    for (unsigned i = 0; i < n_old; i++) {
        if (!old[i].refused && !has(new, n_new, &old[i])) {
            unmap(client, &old[i]);
        }
    }
    for (unsigned i = 0; i < n_new; i++) {
        if (!has(old, n_old, &new[i])) {
            map(client, &new[i]);
        }
    }
    return proxy_link_is_open(&client->link);
}

/* --- interrupt and reset --- */

static bool set_irqs(ProxyClient *client, uint32_t flags, int fd)
{
    const VfuIrqSet set = { sizeof(set), flags, VFU_IRQ_INTX, 0, 1 };
    const ProxyMessage message = { VFU_DEVICE_SET_IRQS, &set, sizeof(set), &fd, fd >= 0 ? 1 : 0 };
    ProxyReply reply;

    return !client->vfio.intx || request(client, &message, 0, &reply);
}

static bool set_irqfds(ProxyClient *client, int irqfd, int resamplefd, bool host)
{
    return set_irqs(client, VFU_IRQ_DATA_EVENTFD | VFU_IRQ_TRIGGER, irqfd) &&
           (!host || set_irqs(client, VFU_IRQ_DATA_EVENTFD | VFU_IRQ_UNMASK, resamplefd));
}

static void unmask(ProxyClient *client)
{
    set_irqs(client, VFU_IRQ_DATA_NONE | VFU_IRQ_UNMASK, -1);
}

static bool reset(ProxyClient *client)
{
    const ProxyMessage message = { .cmd = VFU_DEVICE_RESET };
    ProxyReply reply;
    bool ok = !client->vfio.resets || request(client, &message, 0, &reply);

    unmask(client);
    return ok;
}

const ProxyClientOps proxy_vfio_user_ops = {
    .wire = &wire,
    .greeting = greeting,
    .greeted = greeted,
    .ask = ask,
    .answer = answer,
    .memory = send_memory,
    .max_regions = UINT_MAX,
    .cfg_read = cfg_read,
    .cfg_write = cfg_write,
    .bar_sized = bar_sized,
    .bar_read = bar_read,
    .bar_write = bar_write,
    .set_irqfds = set_irqfds,
    .unmask = unmask,
    .reset = reset,
};
