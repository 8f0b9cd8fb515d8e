/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio-user, the protocol of QEMU's vfio-user-pci: a codec between its messages and the machine's
 * verbs. The table `commands` says what each must look like, and is consulted before any handler;
 * handlers check the fields of their own.
 *
 * Bad input. The size in a header tells where the next message begins, so whatever else is wrong
 * with one is answered with its errno, and the stream goes on; a client's VM may not survive the
 * end of a connection, which costs it every DMA map from then on. Only a size that can't be one, a
 * message cut off, or more descriptors than can be received ends it, alone.
 *
 * Answers are in the order of the messages. A message that is owed an answer (DMA_UNMAP,
 * DEVICE_RESET) holds the link, so that what is behind it stays in the socket. Clients give up
 * after 5 seconds, with the whole VM stopped, and a late answer ends the session; so after 4 it is
 * ETIMEDOUT. What was asked for goes on: nothing in flight can be cut off.
 *
 * Messages without an answer, posted writes above all, come in rows; the link runs the work that
 * one defers before it handles the next. An end of interrupt comes by descriptor and would overtake
 * them: the iohub has the socket drained before it acts on one.
 *
 * VERSION comes first and once. A client that leaves it half sent is not waited for; one that says
 * nothing at all may be a VM that is not started yet.
 *
 * Life: serving -> (hang-up, violation or stop) -> the machine disconnects -> ended(). On the
 * machine's thread.
 */
#include "remote/vfio-user.h"
#include "remote/vfio-user-internal.h"
#include "util/trace.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_NS (4 * INT64_C(1000000000))
#define HANDSHAKE_NS (5 * INT64_C(1000000000))

/* What a message of a fixed size may be longer: a client may leave room in it for the answer. */
#define SLACK 4096u

typedef struct VfuCommand {
    const char *name;
    uint32_t min, max; /* payload */
    VfuHandler *handler;
} VfuCommand;

/* --- answers --- */

static void out_begin(VfioUserServer *server, size_t payload)
{
    size_t len = sizeof(VfuHeader) + payload;

    if (len > server->out_room) {
        server->out = g_realloc(server->out, len);
        server->out_room = len;
    }
    memset(server->out, 0, len);
    server->out_len = len;
}

void *vfu_answer(VfioUserServer *server, size_t len)
{
    out_begin(server, len);
    return server->out + sizeof(VfuHeader);
}

static const VfuCommand *command_find(unsigned cmd);

/* ret: 0, then what is in out is sent, or -errno. */
static void answer(VfioUserServer *server, const VfuHeader *request, int ret)
{
    const VfuCommand *command = command_find(request->cmd);
    VfuHeader header = { .id = request->id, .cmd = request->cmd, .flags = VFU_TYPE_REPLY };

    trace(LINK, "%s: %s -> %d", server->m->name, command ? command->name : "?", ret);
    if (ret < 0) {
        machine_error(server->m, "%s (%u) refused: %s", command ? command->name : "message",
                      request->cmd, g_strerror(-ret));
        out_begin(server, 0);
        header.flags |= VFU_ERROR;
        header.error = -ret;
    }
    if (request->flags & VFU_NO_REPLY) {
        return;
    }
    header.size = server->out_len;
    memcpy(server->out, &header, sizeof(header));
    link_send(server->link, server->out, server->out_len, &server->out_fd,
              ret == 0 && server->out_fd >= 0 ? 1 : 0);
}

/* --- answers that come later --- */

static void wait_answer(VfuWait *wait, int ret)
{
    VfioUserServer *server = wait->server;

    server->wait = NULL;
    loop_timer_disarm(&server->patience);
    if (!server->link) {
        return;
    }
    server->out_fd = -1;
    out_begin(server, 0);
    if (wait->echo.argsz > 0) {
        memcpy(vfu_answer(server, sizeof(wait->echo)), &wait->echo, sizeof(wait->echo));
    }
    answer(server, &wait->request, ret);
    link_release(server->link);
}

VfuWait *vfu_wait_new(VfioUserServer *server, const VfuRequest *req, const VfuDmaUnmap *echo,
                      unsigned pending)
{
    VfuWait *wait = g_new0(VfuWait, 1);

    g_assert(!server->wait && pending > 0);
    wait->server = server;
    wait->request = req->header;
    wait->pending = pending;
    if (echo) {
        wait->echo = *echo;
    }
    server->wait = wait;
    link_hold(server->link);
    loop_timer_arm(&server->patience, loop_now_ns() + server->patience_ns);
    return wait;
}

void vfu_wait_event(void *opaque)
{
    VfuWait *wait = opaque;

    if (--wait->pending > 0) {
        return;
    }
    if (wait->server->wait == wait) {
        wait_answer(wait, 0);
    }
    g_free(wait);
}

static void on_impatient(void *opaque)
{
    VfioUserServer *server = opaque;

    wait_answer(server->wait, -ETIMEDOUT);
}

/* --- VERSION and DEVICE_RESET --- */

static int do_version(VfioUserServer *server, const VfuRequest *req)
{
    const char *why, *text;
    VfuVersion version;
    uint8_t *to;

    memcpy(&version, req->payload, sizeof(version));
    if (version.major != 0) {
        return -EINVAL;
    }
    if (req->len > sizeof(version) &&
        !vfu_version_parse((const char *)req->payload + sizeof(version), req->len - sizeof(version),
                           &server->write_multiple, &why)) {
        machine_error(server->m, "VERSION: %s", why);
        return -EINVAL;
    }
    server->negotiated = true;
    loop_timer_disarm(&server->handshake);
    text = vfu_version_text(server->write_multiple);
    version = (VfuVersion){ 0 }; /* 0.0: what every client can do */
    to = vfu_answer(server, sizeof(version) + strlen(text) + 1);
    memcpy(to, &version, sizeof(version));
    memcpy(to + sizeof(version), text, strlen(text) + 1);
    return 0;
}

static void on_handshake_timer(void *opaque)
{
    VfioUserServer *server = opaque;
    bool half = false;
    size_t len;

    if (server->link) {
        link_partial(server->link, &len);
        half = len > 0;
    }
    if (half && server->half_sent) {
        link_close(server->link, "not completed in time");
        return;
    }
    server->half_sent = half;
    loop_timer_arm(&server->handshake, loop_now_ns() + HANDSHAKE_NS);
}

static void on_reset(void *opaque)
{
    VfioUserServer *server = opaque;
    VfuWait *wait = g_steal_pointer(&server->reset_wait);

    server->resetting = false;
    vfu_wait_event(wait);
}

static int do_reset(VfioUserServer *server, const VfuRequest *req)
{
    g_free(server->reset_wait); /* of a reset that was given up on, and is still under way */
    server->reset_wait = vfu_wait_new(server, req, NULL, 1);
    if (!server->resetting) {
        server->resetting = true;
        machine_reset(server->m, on_reset, server);
    }
    return VFU_LATER;
}

/* --- messages --- */

/* clang-format off */
#define FIXED(type) sizeof(type), sizeof(type) + SLACK
static const VfuCommand commands[VFU_CMDS] = {
    /* name, payload min and max, handler (none: not supported) */
    [VFU_VERSION]                  = { "VERSION", sizeof(VfuVersion), VFU_MAX_VERSION, do_version },
    [VFU_DMA_MAP]                  = { "DMA_MAP", FIXED(VfuDmaMap), vfu_do_dma_map },
    [VFU_DMA_UNMAP]                = { "DMA_UNMAP", FIXED(VfuDmaUnmap), vfu_do_dma_unmap },
    [VFU_DEVICE_GET_INFO]          = { "DEVICE_GET_INFO", FIXED(VfuDeviceInfo), vfu_do_get_info },
    [VFU_DEVICE_GET_REGION_INFO]   = { "DEVICE_GET_REGION_INFO", FIXED(VfuRegionInfo),
                                       vfu_do_get_region_info },
    [VFU_DEVICE_GET_REGION_IO_FDS] = { "DEVICE_GET_REGION_IO_FDS", 0, 0, NULL },
    [VFU_DEVICE_GET_IRQ_INFO]      = { "DEVICE_GET_IRQ_INFO", FIXED(VfuIrqInfo),
                                       vfu_do_get_irq_info },
    [VFU_DEVICE_SET_IRQS]          = { "DEVICE_SET_IRQS", FIXED(VfuIrqSet), vfu_do_set_irqs },
    [VFU_REGION_READ]              = { "REGION_READ", FIXED(VfuRegionAccess), vfu_do_region_read },
    [VFU_REGION_WRITE]             = { "REGION_WRITE", sizeof(VfuRegionAccess),
                                       sizeof(VfuRegionAccess) + VFU_MAX_DATA,
                                       vfu_do_region_write },
    [VFU_DMA_READ]                 = { "DMA_READ", 0, 0, NULL },
    [VFU_DMA_WRITE]                = { "DMA_WRITE", 0, 0, NULL },
    [VFU_DEVICE_RESET]             = { "DEVICE_RESET", 0, SLACK, do_reset },
    [VFU_REGION_WRITE_MULTI]       = { "REGION_WRITE_MULTI", sizeof(uint64_t), VFU_MAX_DATA,
                                       vfu_do_region_write_multi },
    [VFU_DEVICE_FEATURE]           = { "DEVICE_FEATURE", 0, 0, NULL },
    [VFU_MIG_DATA_READ]            = { "MIG_DATA_READ", 0, 0, NULL },
    [VFU_MIG_DATA_WRITE]           = { "MIG_DATA_WRITE", 0, 0, NULL },
};
/* clang-format on */

#define MAX_FRAME (sizeof(VfuHeader) + sizeof(VfuRegionAccess) + VFU_MAX_DATA)

G_STATIC_ASSERT((unsigned)VFU_CMDS <= REMOTE_MESSAGES);

const char *vfio_user_message_name(unsigned message)
{
    return message < VFU_CMDS ? commands[message].name : NULL;
}

/* NULL: a number without a command. */
static const VfuCommand *command_find(unsigned cmd)
{
    return cmd < VFU_CMDS && commands[cmd].name ? &commands[cmd] : NULL;
}

static int request_check(const VfioUserServer *server, const VfuRequest *req)
{
    const VfuCommand *command = command_find(req->header.cmd);

    if ((req->header.flags & VFU_TYPE_MASK) != VFU_TYPE_COMMAND ||
        (req->header.flags & (~(uint32_t)VFU_FLAGS | VFU_ERROR))) {
        return -EINVAL;
    }
    if ((req->header.cmd == VFU_VERSION) == server->negotiated) {
        return -EINVAL;
    }
    if (!command || !command->handler) {
        return -ENOTSUP;
    }
    if (req->len < command->min || req->len > command->max || req->fds->n > VFU_MAX_MSG_FDS) {
        return -EINVAL;
    }
    return 0;
}

static void on_frame(void *opaque, const uint8_t *frame, size_t len, FdSet *fds)
{
    VfioUserServer *server = opaque;
    VfuRequest req = {
        .payload = frame + sizeof(VfuHeader),
        .len = len - sizeof(VfuHeader),
        .fds = fds,
    };
    int ret;

    memcpy(&req.header, frame, sizeof(req.header));
    if ((req.header.flags & VFU_TYPE_MASK) == VFU_TYPE_REPLY) { /* never answered: it could go on */
        machine_error(server->m, "a reply to nothing (command %u) ignored", req.header.cmd);
        return;
    }
    if (req.header.cmd < REMOTE_MESSAGES) {
        counter_add(&server->m->counters.messages[req.header.cmd], 1);
    }
    server->out_fd = -1;
    out_begin(server, 0);
    ret = request_check(server, &req);
    if (ret == 0) {
        ret = commands[req.header.cmd].handler(server, &req);
    }
    if (ret != VFU_LATER) {
        answer(server, &req.header, ret);
    }
}

/* --- the link's side --- */

static size_t on_header(void *opaque, const uint8_t *bytes, const char **why)
{
    VfioUserServer *server = opaque;
    VfuHeader header;

    memcpy(&header, bytes, sizeof(header));
    if (header.size < sizeof(header) || header.size > MAX_FRAME) {
        snprintf(server->why, sizeof(server->why), "wrong message size %" PRIu32, header.size);
        *why = server->why;
        return 0;
    }
    return header.size;
}

static bool on_fds(void *opaque G_GNUC_UNUSED, const uint8_t *bytes)
{
    VfuHeader header;

    memcpy(&header, bytes, sizeof(header));
    return header.cmd == VFU_DMA_MAP || header.cmd == VFU_DEVICE_SET_IRQS;
}

/* Names the command as far as it has come over the wire. */
static void log_violation(const VfioUserServer *server, const char *why)
{
    const VfuCommand *command = NULL;
    const uint8_t *frame;
    VfuHeader header;
    size_t len;

    frame = link_partial(server->link, &len);
    if (len >= sizeof(header)) {
        memcpy(&header, frame, sizeof(header));
        command = command_find(header.cmd);
    }
    machine_error_last(server->m, "%s: %s; connection ended", command ? command->name : "message",
                       why);
}

static void on_disconnected(void *opaque)
{
    VfioUserServer *server = opaque;

    server->ended(server->opaque, server->violation);
}

static void on_ended(void *opaque, const char *why)
{
    VfioUserServer *server = opaque;

    if (why && !server->stopping) {
        server->violation = true;
        log_violation(server, why);
    }
    server->m->iohub.before_resample = NULL;
    loop_timer_disarm(&server->handshake);
    loop_timer_disarm(&server->patience);
    server->wait = NULL; /* its events still come, and free it */
    link_free(g_steal_pointer(&server->link));
    machine_disconnect(server->m, on_disconnected, server);
}

static const LinkProto proto = {
    .header_size = sizeof(VfuHeader),
    .max_frame = MAX_FRAME,
    .max_queue = MAX_FRAME, /* the answers of one turn */
    .frame_size = on_header,
    .takes_fds = on_fds,
    .frame = on_frame,
    .ended = on_ended,
};

static void before_resample(void *opaque)
{
    VfioUserServer *server = opaque;

    link_drain(server->link);
}

VfioUserServer *vfio_user_server_new(RemoteMachine *m, int fd, VfioUserEnded *ended, void *opaque)
{
    VfioUserServer *server = g_new0(VfioUserServer, 1);

    server->m = m;
    server->ended = ended;
    server->opaque = opaque;
    server->out_fd = -1;
    server->patience_ns = PATIENCE_NS;
    server->link = link_new(m->loop, fd, &proto, server);
    if (!server->link) {
        g_free(server);
        return NULL;
    }
    machine_describe(m, &server->desc);
    server->dma = g_array_new(FALSE, FALSE, sizeof(VfuDma));
    loop_timer_init(&server->patience, m->loop, on_impatient, server);
    loop_timer_init(&server->handshake, m->loop, on_handshake_timer, server);
    loop_timer_arm(&server->handshake, loop_now_ns() + HANDSHAKE_NS);
    m->iohub.before_resample = before_resample;
    m->iohub.opaque = server;
    return server;
}

bool vfio_user_server_connected(const VfioUserServer *server)
{
    return server->link && !link_hung_up(server->link);
}

void vfio_user_server_stop(VfioUserServer *server)
{
    if (server->link && !server->stopping) {
        server->stopping = true;
        link_close(server->link, "stopped");
    }
}

void vfio_user_server_free(VfioUserServer *server)
{
    if (!server) {
        return;
    }
    loop_timer_disarm(&server->handshake);
    loop_timer_disarm(&server->patience);
    server->m->iohub.before_resample = NULL;
    link_free(server->link);
    g_array_free(server->dma, TRUE);
    g_free(server->reset_wait);
    g_free(server->out);
    g_free(server);
}
