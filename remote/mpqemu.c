/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mpqemu, the protocol of x-pci-proxy-dev: a codec between its eight messages and the machine's
 * verbs. The table `messages` says what each must look like, and is consulted before any handler.
 *
 * Two kinds of bad input, kept apart. A message that does not look as the table has it (unknown
 * command, wrong payload size, wrong number of descriptors, cut off) leaves no way to tell where
 * the next one begins or what a reply would answer: the connection ends with one line in the log.
 * A message that looks right and asks for something senseless is the verbs' affair: it is answered
 * with all ones, which the proxy takes for a failure, or its map is refused, and the stream goes
 * on. A legal config read is 32 bits zero-extended, so it is never mistaken for a failure.
 *
 * Stricter than the stock remote: that one survives a DEVICE_RESET with a payload and a stray
 * descriptor on the messages without. No proxy sends either. More tolerant: the stock exits on
 * what is senseless only, and on eight regions, which a proxy does send.
 *
 * Replies are written by the handler, before any work that the access deferred. DEVICE_RESET is
 * answered when the device has been drained and reset; until then nothing further is read.
 *
 * Life: serving -> (hang-up, violation or stop) -> the machine disconnects -> ended(). On the
 * machine's thread.
 */
#include "remote/mpqemu.h"
#include "remote/link.h"
#include "remote/mpqemu-proto.h"
#include "util/trace.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct MpqemuServer {
    RemoteMachine *m;
    Link *link; /* NULL once it has ended */
    MpqemuEnded *ended;
    void *opaque;
    bool stopping;
    bool violation;
    char why[80]; /* what is wrong with the frame in work */
};

typedef struct MpqMessage {
    const char *name;
    uint32_t payload_min, payload_max;
    uint32_t fds_min, fds_max;
    bool reply;
    /* payload is a whole one; NULL: not for us to receive. The reply's value is returned, and
     * ignored if there is none or it comes later. */
    uint64_t (*handler)(MpqemuServer *server, const void *payload, FdSet *fds);
} MpqMessage;

/* --- replies --- */

static void reply(MpqemuServer *server, uint64_t value)
{
    MpqRet ret = {
        .header = { .cmd = MPQ_RET, .size = sizeof(ret.value) },
        .value = value,
    };

    link_send(server->link, &ret, sizeof(ret), NULL, 0);
}

/* As the stock remote answers a reset. */
static void reply_empty(MpqemuServer *server)
{
    MpqHeader ret = { .cmd = MPQ_RET };

    link_send(server->link, &ret, sizeof(ret), NULL, 0);
}

/* --- handlers --- */

static uint64_t do_sync_sysmem(MpqemuServer *server, const void *payload, FdSet *fds)
{
    GuestMap maps[MPQ_MAX_REGIONS];
    MpqSysmem map;

    memcpy(&map, payload, sizeof(map));
    for (unsigned i = 0; i < fds->n; i++) {
        maps[i] = (GuestMap){
            .gpa = map.gpa[i],
            .size = map.size[i],
            .offset = map.offset[i], /* a negative one is beyond the end of any file */
            .fd = fds->fd[i],
        };
    }
    machine_mem_replace(server->m, maps, fds->n);
    return 0;
}

static uint64_t do_cfg_write(MpqemuServer *server, const void *payload, FdSet *fds G_GNUC_UNUSED)
{
    MpqCfg cfg;

    memcpy(&cfg, payload, sizeof(cfg));
    return machine_cfg_write(server->m, cfg.addr, cfg.value, cfg.len) ? 0 : UINT64_MAX;
}

static uint64_t do_cfg_read(MpqemuServer *server, const void *payload, FdSet *fds G_GNUC_UNUSED)
{
    MpqCfg cfg;

    memcpy(&cfg, payload, sizeof(cfg));
    return machine_cfg_read(server->m, cfg.addr, cfg.len);
}

static uint64_t do_bar_write(MpqemuServer *server, const void *payload, FdSet *fds G_GNUC_UNUSED)
{
    MpqBar bar;

    memcpy(&bar, payload, sizeof(bar));
    return machine_bus_write(server->m, bar.addr, bar.value, bar.size, bar.memory) ? 0 : UINT64_MAX;
}

static uint64_t do_bar_read(MpqemuServer *server, const void *payload, FdSet *fds G_GNUC_UNUSED)
{
    MpqBar bar;

    memcpy(&bar, payload, sizeof(bar));
    return machine_bus_read(server->m, bar.addr, bar.size, bar.memory);
}

static uint64_t do_set_irqfd(MpqemuServer *server, const void *payload G_GNUC_UNUSED, FdSet *fds)
{
    int irqfd = fdset_take(fds, 0);
    int resamplefd = fdset_take(fds, 1);

    machine_irq_bind(server->m, irqfd, resamplefd);
    return 0;
}

static void reset_done(void *opaque)
{
    MpqemuServer *server = opaque;

    if (server->link) {
        reply_empty(server);
        link_release(server->link);
    }
}

static uint64_t do_device_reset(MpqemuServer *server, const void *payload G_GNUC_UNUSED,
                                FdSet *fds G_GNUC_UNUSED)
{
    link_hold(server->link);
    machine_reset(server->m, reset_done, server);
    return 0;
}

/* clang-format off */
#define CFG sizeof(MpqCfg), sizeof(MpqCfg)
#define BAR sizeof(MpqBar), sizeof(MpqBar)
#define SYSMEM sizeof(MpqSysmem), sizeof(MpqSysmem)

static const MpqMessage messages[MPQ_CMDS] = {
    /*                      name            payload  descriptors         reply  handler */
    [MPQ_SYNC_SYSMEM]  = { "SYNC_SYSMEM",  SYSMEM, 1, MPQ_MAX_REGIONS, false, do_sync_sysmem },
    [MPQ_RET]          = { "RET",          0, 0,   0, 0,               false, NULL },
    [MPQ_PCI_CFGWRITE] = { "PCI_CFGWRITE", CFG,    0, 0,               true,  do_cfg_write },
    [MPQ_PCI_CFGREAD]  = { "PCI_CFGREAD",  CFG,    0, 0,               true,  do_cfg_read },
    [MPQ_BAR_WRITE]    = { "BAR_WRITE",    BAR,    0, 0,               true,  do_bar_write },
    [MPQ_BAR_READ]     = { "BAR_READ",     BAR,    0, 0,               true,  do_bar_read },
    [MPQ_SET_IRQFD]    = { "SET_IRQFD",    0, 0,   2, 2,               false, do_set_irqfd },
    [MPQ_DEVICE_RESET] = { "DEVICE_RESET", 0, 0,   0, 0,               false, do_device_reset },
};
/* clang-format on */

G_STATIC_ASSERT((unsigned)MPQ_CMDS <= REMOTE_MESSAGES);

const char *mpqemu_message_name(unsigned message)
{
    return message < MPQ_CMDS ? messages[message].name : NULL;
}

/* NULL: nothing that a proxy may send. */
static const MpqMessage *message_find(int32_t cmd)
{
    if (cmd < 0 || cmd >= MPQ_CMDS || !messages[cmd].handler) {
        return NULL;
    }
    return &messages[cmd];
}

/* --- the link's side --- */

static size_t on_header(void *opaque, const uint8_t *bytes, const char **why)
{
    MpqemuServer *server = opaque;
    const MpqMessage *message;
    MpqHeader header;

    memcpy(&header, bytes, sizeof(header));
    *why = server->why;
    message = message_find(header.cmd);
    if (!message) {
        *why = "not a request";
        return 0;
    }
    if (header.size < message->payload_min || header.size > message->payload_max) {
        snprintf(server->why, sizeof(server->why), "wrong payload size %" PRIu64, header.size);
        return 0;
    }
    return sizeof(header) + header.size;
}

static bool on_fds(void *opaque G_GNUC_UNUSED, const uint8_t *header)
{
    int32_t cmd;

    memcpy(&cmd, header, sizeof(cmd));
    return messages[cmd].fds_max > 0; /* on_header() let it pass */
}

static void on_frame(void *opaque, const uint8_t *frame, size_t len G_GNUC_UNUSED, FdSet *fds)
{
    MpqemuServer *server = opaque;
    const MpqMessage *message;
    int32_t cmd;
    uint64_t value;

    memcpy(&cmd, frame, sizeof(cmd));
    message = &messages[cmd]; /* on_header() let it pass */
    if (fds->n < message->fds_min || fds->n > message->fds_max) {
        snprintf(server->why, sizeof(server->why), "wrong number of descriptors %u", fds->n);
        link_close(server->link, server->why);
        return;
    }
    counter_add(&server->m->counters.messages[cmd], 1);
    value = message->handler(server, frame + sizeof(MpqHeader), fds);
    if (message->reply) {
        reply(server, value);
    }
    trace(LINK, "%s: %s -> 0x%" PRIx64, server->m->name, message->name, value);
}

/* Names the command as far as it has come over the wire. */
static void log_violation(const MpqemuServer *server, const char *why)
{
    char name[32] = "message";
    const uint8_t *frame;
    int32_t cmd;
    size_t len;

    frame = link_partial(server->link, &len);
    if (len >= sizeof(cmd)) {
        memcpy(&cmd, frame, sizeof(cmd));
        if (cmd >= 0 && cmd < MPQ_CMDS) {
            g_strlcpy(name, messages[cmd].name, sizeof(name));
        } else {
            snprintf(name, sizeof(name), "command %" PRId32, cmd);
        }
    }
    machine_error_last(server->m, "%s: %s; connection ended", name, why);
}

static void on_disconnected(void *opaque)
{
    MpqemuServer *server = opaque;

    server->ended(server->opaque, server->violation);
}

static void on_ended(void *opaque, const char *why)
{
    MpqemuServer *server = opaque;

    if (why && !server->stopping) {
        server->violation = true;
        log_violation(server, why);
    }
    link_free(g_steal_pointer(&server->link));
    machine_disconnect(server->m, on_disconnected, server);
}

static const LinkProto proto = {
    .header_size = sizeof(MpqHeader),
    .max_frame = sizeof(MpqHeader) + MPQ_MAX_PAYLOAD,
    .max_queue = 16 * sizeof(MpqRet), /* a proxy has one request outstanding */
    .frame_size = on_header,
    .takes_fds = on_fds,
    .frame = on_frame,
    .ended = on_ended,
};

MpqemuServer *mpqemu_server_new(RemoteMachine *m, int fd, MpqemuEnded *ended, void *opaque)
{
    MpqemuServer *server = g_new0(MpqemuServer, 1);

    server->m = m;
    server->ended = ended;
    server->opaque = opaque;
    server->link = link_new(m->loop, fd, &proto, server);
    if (!server->link) {
        g_free(server);
        return NULL;
    }
    return server;
}

void mpqemu_server_stop(MpqemuServer *server)
{
    if (server->link && !server->stopping) {
        server->stopping = true;
        link_close(server->link, "stopped");
    }
}

void mpqemu_server_free(MpqemuServer *server)
{
    if (server) {
        link_free(server->link);
        g_free(server);
    }
}
