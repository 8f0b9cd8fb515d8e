/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a client may send to a monitor: the JSON door, the envelope, every command's arguments. The
 * process around is small: a device tree, a block graph whose driver has no files, no threads. What
 * is sent are the bytes of the input's steps (fuzz.h), with the descriptors that they name.
 */
#include "block/engine.h"
#include "fuzz.h"
#include "hw/scsi/scsi-disk.h"
#include "hw/scsi/scsi.h"
#include "monitor/commands.h"
#include "monitor/fds.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"

/* --- a block driver and an adapter without anything behind them --- */

static bool null_open(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp G_GNUC_UNUSED)
{
    node->size = 1 << 20;
    return true;
}

static void null_close(BlockNode *node G_GNUC_UNUSED)
{
}

static void null_submit(BlockNode *node G_GNUC_UNUSED, BlockReq *req)
{
    block_complete(req, 0);
}

static const OptDesc no_opts[] = { { .type = OPT_END } };
static const BlockDriver null_driver = {
    .name = "null",
    .opts = no_opts,
    .open = null_open,
    .close = null_close,
    .submit = null_submit,
    .can_resize = true,
};

typedef struct Adapter {
    PciDev pci; /* the monitor looks for its loop there */
    ScsiBus *bus;
} Adapter;

static bool adapter_realize(Device *dev, GError **errp)
{
    Adapter *adapter = dev->state;

    adapter->bus = scsi_bus_new(dev, 8, 7);
    dev->child->impl = adapter->bus;
    return pci_dev_init(&adapter->pci, dev, &fake_ops, errp);
}

static void adapter_unrealize(Device *dev)
{
    scsi_bus_free(((Adapter *)dev->state)->bus);
}

static const DeviceType adapter_type = {
    .name = "lsi53c895a",
    .desc = "adapter",
    .bus_kind = BUS_PCI,
    .child_kind = BUS_SCSI,
    .props = no_opts,
    .size = sizeof(Adapter),
    .realize = adapter_realize,
    .unrealize = adapter_unrealize,
};

/* --- the schema --- */

static const QmpCommand *const commands[] = { qmp_misc_commands,   qmp_block_commands,
                                              qmp_medium_commands, qmp_pci_commands,
                                              qmp_device_commands, qmp_fd_commands,
                                              qmp_hmp_commands,    NULL };
static const QmpEvent *const events[] = { qmp_device_events, qmp_block_events, qmp_medium_events,
                                          NULL };
static const HmpCommand *const hmp[] = { hmp_medium_commands, NULL };

typedef struct QmpFuzz {
    Monitor *monitor;
    MonitorFds *fds;
    MonitorSession *session;
    DeviceTree *tree;
    BlockGraph *graph;
    int peer;
} QmpFuzz;

static void on_closed(void *opaque G_GNUC_UNUSED)
{
}

static void qmp_fuzz_init(QmpFuzz *fuzz)
{
    static const DeviceType *const types[] = { &adapter_type, &scsi_hd_type, &scsi_cd_type, NULL };
    static const BlockDriver *const drivers[] = { &null_driver, NULL };
    static const BlockEngineType *const engines[] = { &block_engine_threads, NULL };
    g_autoptr(Opts) opts = opts_parse("lsi53c895a,id=lsi0", "driver", NULL);
    int sv[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), ==, 0);
    fuzz->peer = sv[1];
    fuzz->graph = block_graph_new(drivers, engines);
    fuzz->tree = device_tree_new(types, fuzz->graph);
    g_assert_nonnull(device_new(fuzz->tree, opts, NULL));
    fuzz->fds = monitor_fds_new();
    block_set_opener(fuzz->graph, monitor_fds_open, fuzz->fds);
    fuzz->monitor = monitor_new(&(MonitorConfig){
        .program = "fuzz",
        .version = "1.2.3",
        .schema = { .commands = commands, .events = events },
        .hmp = hmp,
        .devices = fuzz->tree,
        .blocks = fuzz->graph,
        .fds = fuzz->fds,
        .idle = on_closed,
    });
    fuzz->session =
        monitor_session_new(fuzz->monitor, "s", MONITOR_CONTROL, false, on_closed, NULL);
    monitor_session_open(fuzz->session, sv[0], sv[0], true);
}

/* All that is answered has to be JSON, and the session must get on with what it has. */
static void settle(QmpFuzz *fuzz)
{
    char answers[4096];
    unsigned turns = 0;

    do {
        while (g_main_context_iteration(NULL, FALSE)) {
            g_assert_cmpuint(++turns, <, 100000); /* a busy loop */
            while (recv(fuzz->peer, answers, sizeof(answers), MSG_DONTWAIT) > 0) {
                continue;
            }
        }
    } while (!monitor_is_idle(fuzz->monitor));
}

static size_t step(QmpFuzz *fuzz, const uint8_t *data, size_t size)
{
    struct iovec iov;
    unsigned nfds;
    int fds[15];
    bool ok;

    if (size < FUZZ_STEP) {
        return 0;
    }
    nfds = data[0] & 0xf;
    iov.iov_base = (void *)(data + FUZZ_STEP);
    iov.iov_len = MIN((size_t)(data[1] | data[2] << 8), size - FUZZ_STEP);
    if (iov.iov_len == 0) {
        return FUZZ_STEP;
    }
    for (unsigned i = 0; i < nfds; i++) {
        fds[i] = fuzz_fd(data[0] >> 4);
    }
    ok = fd_send(fuzz->peer, &iov, 1, fds, nfds, MSG_DONTWAIT) >= 0;
    for (unsigned i = 0; i < nfds; i++) {
        close(fds[i]);
    }
    settle(fuzz);
    return ok && monitor_session_is_open(fuzz->session) ? FUZZ_STEP + iov.iov_len : 0;
}

int LLVMFuzzerInitialize(int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
    g_main_context_iteration(NULL, FALSE); /* makes the context's own descriptor */
    return !log_set_file("/dev/null", NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
    QmpFuzz fuzz;
    size_t used;

    qmp_fuzz_init(&fuzz);
    g_assert_cmpint(send(fuzz.peer, hello, strlen(hello), 0), ==, (int)strlen(hello));
    settle(&fuzz);
    while ((used = step(&fuzz, data, size)) > 0) {
        data += used;
        size -= used;
    }
    fd_clear(&fuzz.peer);
    settle(&fuzz);
    g_assert_false(monitor_session_is_open(fuzz.session));
    monitor_free(fuzz.monitor);
    monitor_fds_free(fuzz.fds);
    device_tree_free(fuzz.tree);
    block_graph_free(fuzz.graph);
    return 0;
}
