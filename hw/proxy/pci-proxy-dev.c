/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-pci-proxy-dev: the PCI function whose other half is a remote process.
 *
 *   -device x-pci-proxy-dev,fd=N                 a connected socket, as QEMU's own takes it
 *   -device x-pci-proxy-dev,socket=P,reconnect=S a path, tried again every S seconds when lost
 *
 * and protocol=vfio-user where the remote speaks that rather than mpqemu.
 *
 * The remote is the source of truth: every access to config space and BARs is a message to it and
 * is answered by it. The own config[] is what the board decodes addresses by; writes go to both,
 * reads come from the remote. proxy-link.c is the conversation, proxy-mpqemu.c and
 * proxy-vfio-user.c its languages, proxy-probe.c its beginning, proxy-irq.c the interrupt,
 * memory-sync.c guest memory; here they become a device.
 *
 *   attach ─► ready ──────────────────────────────────────► detach
 *               ▲ └─ lost ─► down ─ timer: connected ─► (greeting ─►) asking
 *               └───── same ids: replay of the guest's config ─────────────┘
 *
 * Until it is ready, the function is like a slot that somebody has emptied: reads are all ones,
 * writes are dropped, the pin is down, and the machine goes on. Coming back, the remote gets the
 * memory map, the eventfds, BARs and command register, so it decodes as the guest believes; its
 * registers are those of a chip after power-on, which is for the guest's driver to find out and to
 * recover from, with its time-outs and resets. A remote that accepts late holds nobody up: its
 * first reply is waited for by the loop.
 *
 * A reset doesn't clear BARs and command of every remote (QEMU's x-remote keeps them), but does
 * those of a local function, so they are written to 0 after it.
 *
 * attach() and detach() on the main thread, all else on the board's.
 */
#include "hw/proxy/pci-proxy-dev.h"
#include "hw/pci/pci.h"
#include "memory-sync.h"
#include "proxy-client.h"
#include "proxy-irq.h"
#include "proxy-probe.h"
#include "proxy-socket.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/trace.h"
#include <inttypes.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)

typedef enum ProxyState { PROXY_DOWN, PROXY_GREETING, PROXY_ASKING, PROXY_READY } ProxyState;

typedef struct PciProxyDev {
    PciDev pci;
    /* properties */
    char *fd_text, *socket;
    int protocol;          /* ProxyProtocol */
    uint32_t reconnect;    /* seconds; 0: never */
    uint32_t timeout_ms;   /* of a reply */
    uint32_t heartbeat_ms; /* 0: none */
    /* the rest */
    int fd; /* that fd= names, until it goes to the link; -1: none */
    PciBar bars[PCI_NUM_BARS];
    ProxyState state;
    bool attached;
    ProxyClient client;
    MemorySync sync;
    ProxyIrq irq;
    LoopTimer heartbeat, retry;
    uint64_t seen; /* requests up to the last heartbeat */
    LoopWork idle_work;
    void (*idle)(void *opaque);
    void *idle_opaque;
} PciProxyDev;

static uint32_t config_get(const PciDev *pci, unsigned addr, unsigned len)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < len; i++) {
        value |= (uint32_t)pci->config[addr + i] << (8 * i);
    }
    return value;
}

static bool is_ready(const PciProxyDev *proxy)
{
    return proxy->state == PROXY_READY;
}

/* --- accesses --- */

static bool ask_irq_level(PciDev *pci, bool *level)
{
    PciProxyDev *proxy = (PciProxyDev *)pci;
    uint32_t status;

    *level = false;
    if (!is_ready(proxy) || !proxy_cfg_read(&proxy->client, PCI_STATUS, 2, &status)) {
        return false;
    }
    *level = status & PCI_STATUS_INTX;
    return true;
}

static void unmask_irq(PciDev *pci)
{
    PciProxyDev *proxy = (PciProxyDev *)pci;

    if (is_ready(proxy)) {
        proxy->client.ops->unmask(&proxy->client);
    }
}

static const ProxyIrqOps *irq_ops_of(const PciProxyDev *proxy)
{
    static const ProxyIrqOps plain = { .ask = ask_irq_level };
    static const ProxyIrqOps masked = { .ask = ask_irq_level, .unmask = unmask_irq };

    return proxy->client.ops->unmask ? &masked : &plain;
}

static uint64_t read_bar(PciDev *pci, unsigned i, uint64_t off, unsigned size)
{
    PciProxyDev *proxy = (PciProxyDev *)pci;
    uint64_t value;

    if (!is_ready(proxy)) {
        return UINT64_MAX;
    }
    value = proxy->client.ops->bar_read(&proxy->client, pci, i, off, size);
    proxy_irq_settle(&proxy->irq);
    return value;
}

static void write_bar(PciDev *pci, unsigned i, uint64_t off, uint64_t value, unsigned size)
{
    PciProxyDev *proxy = (PciProxyDev *)pci;

    if (is_ready(proxy)) {
        proxy->client.ops->bar_write(&proxy->client, pci, i, off, value, size);
        proxy_irq_settle(&proxy->irq);
    }
}

/* A BAR's door isn't told which BAR it is. */
#define BAR_DOOR(n)                                                                                \
    static uint64_t bar##n##_read(PciDev *pci, uint64_t off, unsigned size)                        \
    {                                                                                              \
        return read_bar(pci, n, off, size);                                                        \
    }                                                                                              \
    static void bar##n##_write(PciDev *pci, uint64_t off, uint64_t value, unsigned size)           \
    {                                                                                              \
        write_bar(pci, n, off, value, size);                                                       \
    }
BAR_DOOR(0)
BAR_DOOR(1)
BAR_DOOR(2)
BAR_DOOR(3)
BAR_DOOR(4)
BAR_DOOR(5)

static const struct {
    uint64_t (*read)(PciDev *pci, uint64_t off, unsigned size);
    void (*write)(PciDev *pci, uint64_t off, uint64_t value, unsigned size);
} bar_doors[PCI_NUM_BARS] = {
    { bar0_read, bar0_write }, { bar1_read, bar1_write }, { bar2_read, bar2_write },
    { bar3_read, bar3_write }, { bar4_read, bar4_write }, { bar5_read, bar5_write },
};

static uint32_t dev_cfg_read(PciDev *pci, unsigned addr, unsigned len)
{
    PciProxyDev *proxy = (PciProxyDev *)pci;
    unsigned skip = 0, wide = len;
    uint32_t value = UINT32_MAX;

    if (addr + sizeof(value) > PCI_CONFIG_SIZE) {
        /* QEMU's x-remote ends itself over a config access that would cross the end if it were of
         * four bytes. */
        skip = addr - (PCI_CONFIG_SIZE - sizeof(value));
        wide = sizeof(value);
    }
    if (is_ready(proxy)) {
        proxy_cfg_read(&proxy->client, addr - skip, wide, &value);
    }
    value = value >> (8 * skip) & (UINT32_MAX >> (32 - 8 * len));
    trace(PCI, "%s: config 0x%02x/%u -> 0x%x", pci_dev_name(pci), addr, len, value);
    return value;
}

static void dev_cfg_write(PciDev *pci, unsigned addr, uint32_t value, unsigned len)
{
    PciProxyDev *proxy = (PciProxyDev *)pci;

    if (is_ready(proxy)) {
        proxy_cfg_write(&proxy->client, addr, value, len);
        proxy_irq_settle(&proxy->irq);
    }
}

/* --- reset --- */

/* What pci_dev_reset() clears and a guest's set-up writes, command register last. */
static void config_replay(PciProxyDev *proxy)
{
    const PciDev *pci = &proxy->pci;
    ProxyClient *client = &proxy->client;

    for (unsigned i = 0; i < pci->n_bars; i++) {
        unsigned addr = PCI_BAR0 + 4 * i;

        if (pci->bars[i].kind != PCI_BAR_NONE) {
            proxy_cfg_write(client, addr, config_get(pci, addr, 4), 4);
        }
    }
    proxy_cfg_write(client, PCI_CACHE_LINE, config_get(pci, PCI_CACHE_LINE, 2), 2);
    proxy_cfg_write(client, PCI_INT_LINE, config_get(pci, PCI_INT_LINE, 1), 1);
    proxy_cfg_write(client, PCI_COMMAND, config_get(pci, PCI_COMMAND, 2), 2);
}

static void proxy_reset(PciDev *pci)
{
    PciProxyDev *proxy = (PciProxyDev *)pci;

    if (is_ready(proxy)) {
        proxy->client.ops->reset(&proxy->client);
        config_replay(proxy);
    }
    proxy_irq_clear(&proxy->irq);
}

/* Nothing is ever in flight here; what is in the remote ends with the reset that follows, or with
 * the connection. */
static void proxy_drain(PciDev *pci, void (*idle)(void *), void *opaque)
{
    PciProxyDev *proxy = (PciProxyDev *)pci;

    proxy->idle = idle;
    proxy->idle_opaque = opaque;
    loop_defer(&proxy->idle_work);
}

static void on_idle(void *opaque)
{
    PciProxyDev *proxy = opaque;

    proxy->idle(proxy->idle_opaque);
}

/* --- heartbeat --- */

static void heartbeat_arm(PciProxyDev *proxy)
{
    uint32_t ms = proxy->heartbeat_ms;

    if (ms > 0) {
        ms = proxy->client.link.owed > 0 ? MIN(ms, proxy->timeout_ms + 1) : ms;
        loop_timer_arm(&proxy->heartbeat, loop_now_ns() + ms * NS_PER_MS);
    }
}

/* Nothing was asked since the last one: is the remote still alive? */
static void on_heartbeat(void *opaque)
{
    PciProxyDev *proxy = opaque;
    ProxyLink *link = &proxy->client.link;

    if (link->owed > 0) {
        proxy_link_check(link);
    } else if (is_ready(proxy) && proxy->seen == link->requests) {
        proxy->client.ops->ask(&proxy->client, 2);
    }
    proxy->seen = link->requests;
    heartbeat_arm(proxy);
}

/* --- losing a remote, and finding it again --- */

static void retry_arm(PciProxyDev *proxy)
{
    if (proxy->reconnect > 0) {
        loop_timer_arm(&proxy->retry, loop_now_ns() + proxy->reconnect * NS_PER_SEC);
    }
}

static void on_lost(void *opaque, const char *why)
{
    PciProxyDev *proxy = opaque;
    bool was_ready = is_ready(proxy);

    proxy->state = PROXY_DOWN;
    if (!proxy->attached) {
        return; /* attach() fails, and says so */
    }
    if (was_ready) {
        log_line(proxy->client.link.name, "%s; %s", why,
                 proxy->reconnect > 0 ? "the device is gone until it is back"
                                      : "the device is gone");
        proxy_irq_clear(&proxy->irq);
    }
    retry_arm(proxy);
}

static bool send_irqfds(PciProxyDev *proxy)
{
    const ProxyIrq *irq = &proxy->irq;

    return proxy->client.ops->set_irqfds(&proxy->client, irq->irqfd, irq->resamplefd,
                                         irq->host_takes_it);
}

/* The remote that is there now is not the one for us. */
static void turn_away(PciProxyDev *proxy)
{
    if (proxy_link_is_open(&proxy->client.link)) {
        proxy_link_close(&proxy->client.link);
        proxy->state = PROXY_DOWN;
        retry_arm(proxy);
    }
}

static void start_asking(PciProxyDev *proxy)
{
    proxy->state = PROXY_ASKING;
    if (!memory_sync_again(&proxy->sync) || !send_irqfds(proxy) ||
        !proxy->client.ops->ask(&proxy->client, 4)) {
        turn_away(proxy);
    }
}

static void on_retry(void *opaque)
{
    PciProxyDev *proxy = opaque;
    ProxyClient *client = &proxy->client;
    int fd = proxy_socket_connect(proxy->socket, NULL);

    if (fd < 0 || proxy_link_open(&client->link, fd) < 0) {
        retry_arm(proxy);
    } else if (client->ops->greeting) {
        ProxyMessage message = client->ops->greeting();

        proxy->state = PROXY_GREETING;
        proxy_link_ask(&client->link, &message);
    } else {
        start_asking(proxy);
    }
}

static void on_greeted(PciProxyDev *proxy, const ProxyReply *reply)
{
    g_autoptr(GError) err = NULL;

    if (proxy->client.ops->greeted(&proxy->client, reply, &err)) {
        start_asking(proxy);
    } else {
        log_line(proxy->client.link.name, "'%s': %s", proxy->socket, err->message);
        turn_away(proxy);
    }
}

static void on_identified(PciProxyDev *proxy, uint64_t ids)
{
    const ProxyLink *link = &proxy->client.link;

    if (ids != config_get(&proxy->pci, PCI_VENDOR_ID, 4)) {
        log_line(link->name, "another device is on '%s': ids %08" PRIx64, proxy->socket, ids);
        turn_away(proxy);
        return;
    }
    config_replay(proxy);
    if (proxy_link_is_open(link)) {
        proxy->state = PROXY_READY;
        log_line(link->name, "the remote is back");
    }
}

static void on_answered(void *opaque, const ProxyReply *reply)
{
    PciProxyDev *proxy = opaque;

    if (proxy->state == PROXY_GREETING) {
        on_greeted(proxy, reply);
    } else if (proxy->state == PROXY_ASKING) {
        on_identified(proxy, proxy->client.ops->answer(reply));
    } /* else a heartbeat */
}

static const ProxyLinkOps link_ops = { .lost = on_lost, .answered = on_answered };

/* --- life --- */

static bool open_link(PciProxyDev *proxy, GError **errp)
{
    int fd, ret;

    if (proxy->socket) {
        fd = proxy_socket_connect(proxy->socket, errp);
    } else {
        fd = fd_steal(&proxy->fd);
    }
    if (fd < 0) {
        return !proxy->socket ? error_set(errp, "the socket was used before") : false;
    }
    ret = proxy_link_open(&proxy->client.link, fd);
    return ret == 0 || error_set(errp, "can't watch the socket: %s", g_strerror(-ret));
}

static bool greet(PciProxyDev *proxy, GError **errp)
{
    ProxyClient *client = &proxy->client;
    ProxyMessage message;
    ProxyReply reply;

    if (!client->ops->greeting) {
        return true;
    }
    message = client->ops->greeting();
    if (!proxy_link_request(&client->link, &message, &reply)) {
        return proxy_no_answer(client, errp);
    }
    return client->ops->greeted(client, &reply, errp);
}

static bool probe(PciProxyDev *proxy, GError **errp)
{
    PciDev *pci = &proxy->pci;

    if (!proxy_probe_ids(&proxy->client, pci, errp) ||
        !proxy_probe_bars(&proxy->client, proxy->bars, errp)) {
        return false;
    }
    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        proxy->bars[i].read = bar_doors[i].read;
        proxy->bars[i].write = bar_doors[i].write;
    }
    pci_dev_set_bars(pci, proxy->bars);
    return true;
}

static void proxy_detach(PciDev *pci)
{
    PciProxyDev *proxy = (PciProxyDev *)pci;

    proxy->attached = false;
    proxy->state = PROXY_DOWN;
    loop_work_cancel(&proxy->idle_work);
    loop_timer_disarm(&proxy->heartbeat);
    loop_timer_disarm(&proxy->retry);
    memory_sync_fini(&proxy->sync);
    proxy_irq_fini(&proxy->irq);
    proxy_link_close(&proxy->client.link);
}

static bool begin(PciProxyDev *proxy, GError **errp)
{
    PciDev *pci = &proxy->pci;

    if (!open_link(proxy, errp) || !greet(proxy, errp)) {
        return false;
    }
    memory_sync_init(&proxy->sync, &proxy->client, pci->host->map);
    if (!proxy_irq_init(&proxy->irq, pci, irq_ops_of(proxy), errp)) {
        return false;
    }
    if (!send_irqfds(proxy) && proxy_link_is_open(&proxy->client.link)) {
        return error_set(errp, "the remote does not take the descriptors of its interrupt");
    }
    return probe(proxy, errp); /* which also says why the link is lost */
}

static bool proxy_attach(PciDev *pci, GError **errp)
{
    PciProxyDev *proxy = (PciProxyDev *)pci;

    loop_work_init(&proxy->idle_work, pci->loop, on_idle, proxy);
    loop_timer_init(&proxy->heartbeat, pci->loop, on_heartbeat, proxy);
    loop_timer_init(&proxy->retry, pci->loop, on_retry, proxy);
    proxy_client_init(&proxy->client, proxy->protocol, pci->loop, pci_dev_name(pci),
                      proxy->timeout_ms, &link_ops, proxy);
    proxy->client.link.quiet = true;
    if (!begin(proxy, errp)) {
        proxy_detach(pci);
        g_prefix_error(errp, "device '%s': ", pci_dev_name(pci));
        return false;
    }
    proxy->client.link.quiet = false;
    proxy->attached = true;
    proxy->state = PROXY_READY;
    heartbeat_arm(proxy);
    return true;
}

static const PciBar no_bars[] = { { .kind = PCI_BAR_NONE } };

static const PciDevOps proxy_ops = {
    .int_pin = 1,
    .bars = no_bars,
    .attach = proxy_attach,
    .detach = proxy_detach,
    .drain = proxy_drain,
    .reset = proxy_reset,
    .cfg_read = dev_cfg_read,
    .cfg_write = dev_cfg_write,
};

static bool fd_is_taken(const Device *dev, int fd)
{
    for (unsigned i = 0; i < dev->bus->children->len; i++) {
        const Device *other = g_ptr_array_index(dev->bus->children, i);

        if (other->type == dev->type && ((const PciProxyDev *)other->state)->fd == fd) {
            return true;
        }
    }
    return false;
}

static bool proxy_realize(Device *dev, GError **errp)
{
    PciProxyDev *proxy = dev->state;
    int fd = -1;

    proxy->fd = -1;
    if (!pci_dev_init(&proxy->pci, dev, &proxy_ops, errp)) {
        return false;
    }
    if (!proxy->fd_text == !proxy->socket) {
        return error_set(errp, proxy->socket ? "Parameters 'fd' and 'socket' exclude each other"
                                             : "Parameter 'fd' or 'socket' is missing");
    }
    if (proxy->fd_text && proxy->reconnect > 0) {
        return error_set(errp, "Parameter 'reconnect' needs 'socket': nobody can connect 'fd' "
                               "again");
    }
    if (proxy->fd_text) {
        fd = proxy_socket_from_fd(proxy->fd_text, errp);
        if (fd < 0) {
            return false;
        }
        if (fd_is_taken(dev, fd)) {
            return error_set(errp, "File descriptor '%s' is used by another device",
                             proxy->fd_text);
        }
    }
    proxy->fd = fd;
    return true;
}

static void proxy_unrealize(Device *dev)
{
    PciProxyDev *proxy = dev->state;

    fd_clear(&proxy->fd);
}

#define PROXY(field) offsetof(PciProxyDev, field)

static const char *const protocol_names[] = { "mpqemu", "vfio-user", NULL };

static const OptDesc proxy_props[] = {
    { .name = "fd",
      .type = OPT_STRING,
      .offset = PROXY(fd_text),
      .help = "number of an inherited UNIX stream socket" },
    { .name = "socket",
      .type = OPT_STRING,
      .offset = PROXY(socket),
      .help = "UNIX socket that the remote listens on" },
    { .name = "protocol",
      .type = OPT_ENUM,
      .offset = PROXY(protocol),
      .def = PROXY_MPQEMU,
      .names = protocol_names,
      .help = "what the remote speaks: mpqemu or vfio-user" },
    { .name = "reconnect",
      .type = OPT_U32,
      .offset = PROXY(reconnect),
      .max = 86400,
      .help = "seconds between attempts to connect to a lost remote again; 0: none" },
    { .name = "reply-timeout",
      .type = OPT_U32,
      .offset = PROXY(timeout_ms),
      .min = 1,
      .max = 3600000,
      .def = 5000,
      .help = "milliseconds that a reply may take" },
    { .name = "heartbeat",
      .type = OPT_U32,
      .offset = PROXY(heartbeat_ms),
      .max = 86400000,
      .def = 5000,
      .help = "milliseconds without an access after which the remote is asked for life; 0: never" },
    PCI_DEV_PROPS,
    { .type = OPT_END }
};

const DeviceType pci_proxy_dev_type = {
    .name = "x-pci-proxy-dev",
    .alias = "pci-proxy-dev",
    .desc = "PCI device whose other half is a remote process",
    .bus_kind = BUS_PCI,
    .props = proxy_props,
    .size = sizeof(PciProxyDev),
    .realize = proxy_realize,
    .unrealize = proxy_unrealize,
};
