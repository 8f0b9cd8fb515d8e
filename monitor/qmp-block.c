/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP on block nodes and the disks that have them.
 *
 * What a disk has for a medium, and what a node has done, belongs to the thread of their machine,
 * where the answer is put together; nodes that no machine has are the main thread's.
 *
 * Main thread but where said.
 */
#include "monitor/call.h"
#include "block-json.h"
#include "hw/scsi/scsi-disk.h"
#include "monitor/commands.h"
#include "util/error.h"
#include <string.h>

/* --- types --- */

/* clang-format off */

static QMP_LIST(nodes_type, "[BlockDeviceInfo]", block_node_type);

static QMP_CHOICE(io_status_type, "BlockDeviceIoStatus", "ok", "failed", "nospace");
static QMP_STRUCT(block_type, "BlockInfo",
    QMP_MEMBER("device", qmp_str, "id of a -drive; empty: it was not one"),
    QMP_MEMBER("qdev", qmp_str, "id or QOM path of the disk"),
    QMP_MEMBER("type", qmp_str, "unknown"),
    QMP_MEMBER("removable", qmp_bool, NULL),
    QMP_MEMBER("locked", qmp_bool, "the guest has locked the tray"),
    QMP_OPTIONAL("inserted", block_node_type, "the medium"),
    QMP_OPTIONAL("io-status", io_status_type, "of what has stopped the guest, until `cont`"),
    QMP_OPTIONAL("tray_open", qmp_bool, "of removable ones"));
static QMP_LIST(blocks_type, "[BlockInfo]", block_type);

static QMP_LIST(blockstats_list_type, "[BlockStats]", block_stats_type);
static QMP_STRUCT(blockstats_args, "q_obj_query-blockstats-arg",
    QMP_OPTIONAL("query-nodes", qmp_bool, "of all nodes, instead of disks"));
static QMP_STRUCT(named_nodes_args, "q_obj_query-named-block-nodes-arg",
    QMP_OPTIONAL("flat", qmp_bool, "without `backing-image`"));

static const QmpType blockdev_add_args = {
    .kind = QMP_OBJECT,
    .name = "BlockdevOptions",
    .members = QMP_MEMBERS(QMP_MEMBER("driver", qmp_str, NULL),
                           QMP_MEMBER("node-name", qmp_str, NULL)),
    .open = true,
};
static QMP_STRUCT(blockdev_del_args, "q_obj_blockdev-del-arg",
    QMP_MEMBER("node-name", qmp_str, NULL));
static QMP_STRUCT(resize_args, "q_obj_block_resize-arg",
    QMP_OPTIONAL("device", qmp_str, "id of a -drive; one of the two is given"),
    QMP_OPTIONAL("node-name", qmp_str, NULL),
    QMP_MEMBER("size", qmp_int, "bytes"));
/* clang-format on */

/* --- queries: a part for each loop, with what is asked about on it --- */

typedef struct Query {
    json_t *(*answer)(const void *item);
    unsigned *holds;  /* counted down at the end; or NULL */
    GPtrArray *items; /* not owned; alive at least until what is posted now has run */
    json_t *list;
} Query;

static void run_query(CallPart *part)
{
    Query *query = part->data;

    for (unsigned i = 0; i < query->items->len; i++) {
        json_array_append_new(query->list, query->answer(g_ptr_array_index(query->items, i)));
    }
    call_done(part);
}

static void query_over(QmpRequest *req, const GPtrArray *parts)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < parts->len; i++) {
        const CallPart *part = g_ptr_array_index(parts, i);
        const Query *query = part->data;

        json_array_extend(list, query->list);
    }
    qmp_return(req, list);
}

static void query_free(void *opaque)
{
    Query *query = opaque;

    if (query->holds) {
        --*query->holds;
    }
    g_ptr_array_unref(query->items);
    json_decref(query->list);
    g_free(query);
}

typedef struct QueryBuilder {
    MonitorCall *call;
    GHashTable *by_loop; /* Query by Loop */
    json_t *(*answer)(const void *item);
    unsigned *holds;
} QueryBuilder;

static QueryBuilder query_begin(QmpRequest *req, json_t *(*answer)(const void *item))
{
    static const CallKind kind = { .run = run_query, .finish = query_over, .release = query_free };

    return (QueryBuilder){ call_new(req, &kind), g_hash_table_new(NULL, NULL), answer, NULL };
}

static void query_add(QueryBuilder *builder, Loop *loop, const void *item)
{
    Query *query = g_hash_table_lookup(builder->by_loop, loop);

    if (!query) {
        query = g_new0(Query, 1);
        query->answer = builder->answer;
        query->holds = builder->holds;
        if (query->holds) {
            ++*query->holds;
        }
        query->items = g_ptr_array_new();
        query->list = json_array();
        g_hash_table_insert(builder->by_loop, loop, query);
        call_add(builder->call, loop, query);
    }
    g_ptr_array_add(query->items, (void *)item);
}

static void query_start(QueryBuilder *builder)
{
    g_hash_table_unref(builder->by_loop);
    call_start(builder->call);
}

static void query_disks(QmpRequest *req, json_t *(*answer)(const void *item))
{
    const GPtrArray *devices = req->monitor->config.devices->devices;
    QueryBuilder builder = query_begin(req, answer);

    for (unsigned i = 0; i < devices->len; i++) {
        const Device *dev = g_ptr_array_index(devices, i);

        if (!dev->leaving && strcmp(dev->type->bus_kind, BUS_SCSI) == 0) {
            query_add(&builder, monitor_device_loop(dev), dev);
        }
    }
    query_start(&builder);
}

static void query_nodes(QmpRequest *req, json_t *(*answer)(const void *item))
{
    BlockGraph *blocks = req->monitor->config.blocks;
    QueryBuilder builder = query_begin(req, answer);

    builder.holds = &req->monitor->node_queries;
    for (unsigned i = block_count(blocks); i > 0; i--) { /* parents first, as QEMU has them */
        BlockNode *node = block_at(blocks, i - 1);

        query_add(&builder, block_loop(node), node);
    }
    query_start(&builder);
}

static json_t *qdev_json(const Device *dev)
{
    g_autofree char *path = monitor_device_path(dev);

    return json_string(dev->id ? dev->id : path);
}

static json_t *disk_json(const void *item)
{
    const Device *dev = item;
    ScsiDiskInfo disk;
    json_t *info;

    scsi_disk_info(dev, &disk);
    info = json_pack("{s:s, s:b, s:b, s:o, s:s}", "device", disk.drive, "locked", disk.locked,
                     "removable", disk.removable, "qdev", qdev_json(dev), "type", "unknown");
    if (disk.node) {
        json_object_set_new(info, "inserted", block_node_json(disk.node, false));
    }
    if (disk.io_status) {
        json_object_set_new(info, "io-status", json_string(disk.io_status));
    }
    if (disk.removable) {
        json_object_set_new(info, "tray_open", json_boolean(disk.tray_open));
    }
    return info;
}

static json_t *disk_stats_json(const void *item)
{
    const Device *dev = item;
    ScsiDiskInfo disk;
    json_t *json;

    scsi_disk_info(dev, &disk);
    json = block_stats_json(disk.node, true);
    json_object_set_new(json, "device", json_string(disk.drive));
    json_object_set_new(json, "qdev", qdev_json(dev));
    return json;
}

static json_t *item_node_json(const void *item)
{
    return block_node_json(item, false);
}

static json_t *item_node_flat_json(const void *item)
{
    return block_node_json(item, true);
}

static json_t *item_node_stats_json(const void *item)
{
    return block_stats_json(item, false);
}

static void do_query_block(QmpRequest *req)
{
    query_disks(req, disk_json);
}

static void do_query_nodes(QmpRequest *req)
{
    query_nodes(req, qmp_arg_bool(req, "flat", false) ? item_node_flat_json : item_node_json);
}

static void do_query_blockstats(QmpRequest *req)
{
    if (qmp_arg_bool(req, "query-nodes", false)) {
        query_nodes(req, item_node_stats_json);
    } else {
        query_disks(req, disk_stats_json);
    }
}

/* --- changes --- */

static void do_blockdev_add(QmpRequest *req)
{
    GError *err = NULL;
    g_autoptr(Opts) opts = qmp_arg_opts(req, &err);

    if (opts && block_open(req->monitor->config.blocks, opts, &err)) {
        qmp_return(req, NULL);
    } else {
        qmp_error_take(req, err);
    }
}

static void do_blockdev_del(QmpRequest *req)
{
    const char *name = qmp_arg_str(req, "node-name");
    BlockGraph *blocks = req->monitor->config.blocks;
    GError *err = NULL;

    if (!block_find(blocks, name)) {
        qmp_error(req, QMP_GENERIC, "Failed to find node with node-name='%s'", name);
    } else if (req->monitor->node_queries) {
        qmp_error(req, QMP_GENERIC, "busy: a query of block nodes is under way");
    } else if (block_del(blocks, name, &err)) {
        qmp_return(req, NULL);
    } else {
        qmp_error_take(req, err);
    }
}

typedef struct Resize {
    BlockReq io;
    BlockNode *node;
    CallPart *part;
    int res;
} Resize;

static void resize_done(BlockReq *io)
{
    Resize *resize = (Resize *)io; /* its first member */

    resize->res = io->res;
    call_done(resize->part);
}

/* The node's thread; or main, if it has none. */
static void run_resize(CallPart *part)
{
    Resize *resize = part->data;

    resize->part = part;
    if (part->loop) {
        block_submit(resize->node, &resize->io);
        return;
    }
    if (block_setup_begin(resize->node, &part->error)) {
        resize->res = block_setup_io(resize->node, BLOCK_RESIZE, 0, NULL, resize->io.bytes);
        block_setup_end(resize->node);
    }
    call_done(part);
}

static void resize_over(QmpRequest *req, const GPtrArray *parts)
{
    CallPart *part = g_ptr_array_index(parts, 0);
    const Resize *resize = part->data;

    if (part->error) {
        qmp_error_take(req, g_steal_pointer(&part->error));
    } else if (resize->res == -ENOTSUP) {
        qmp_error(req, QMP_GENERIC, "Image format driver does not support resize");
    } else if (resize->res < 0) {
        qmp_error(req, QMP_GENERIC, "Failed to resize '%s': %s", resize->node->name,
                  g_strerror(-resize->res));
    } else {
        qmp_return(req, NULL);
    }
}

/* The node that a command names, or NULL and an answer. */
static BlockNode *named_node(QmpRequest *req)
{
    const char *device = qmp_arg_str(req, "device");
    const char *name = qmp_arg_str(req, "node-name");
    BlockNode *node = NULL;

    if (!device == !name) {
        qmp_error(req, QMP_GENERIC, "Need exactly one of 'device' and 'node-name'");
        return NULL;
    }
    node = block_find(req->monitor->config.blocks, device ? device : name);
    if (!node) {
        qmp_error(req, device ? QMP_DEVICE_NOT_FOUND : QMP_GENERIC,
                  "Cannot find device='%s' nor node-name='%s'", device ? device : "",
                  name ? name : "");
    }
    return node;
}

static void do_resize(QmpRequest *req)
{
    static const CallKind kind = { .run = run_resize, .finish = resize_over, .release = g_free };
    json_int_t size = json_integer_value(json_object_get(req->args, "size"));
    MonitorCall *call;
    BlockNode *node;
    Resize *resize;

    if (size < 0) {
        qmp_error(req, QMP_GENERIC, "Parameter 'size' expects a >0 size");
        return;
    }
    node = named_node(req);
    if (!node) {
        return;
    }
    resize = g_new0(Resize, 1);
    resize->node = node;
    resize->io = (BlockReq){ .op = BLOCK_RESIZE, .bytes = size, .done = resize_done };
    call = call_new(req, &kind);
    call_add(call, block_loop(node), resize);
    call_start(call);
}

static QMP_CHOICE(action_type, "BlockErrorAction", "ignore", "report", "stop");
static QMP_CHOICE(operation_type, "IoOperationType", "read", "write");
static QMP_STRUCT(
    io_error_data, "q_obj_BLOCK_IO_ERROR-arg",
    QMP_MEMBER("device", qmp_str, "id of a -drive, or empty"),
    QMP_MEMBER("id", qmp_str, "id or driver of the disk"), QMP_OPTIONAL("node-name", qmp_str, NULL),
    QMP_MEMBER("operation", operation_type, NULL),
    QMP_MEMBER("action", action_type, "what is done about it, see `rerror` and `werror`"),
    QMP_MEMBER("nospace", qmp_bool, NULL), QMP_MEMBER("reason", qmp_str, "for people"));

/* clang-format off */
const QmpEvent qmp_block_events[] = {
    { .name = "BLOCK_IO_ERROR", .data = &io_error_data,
      .help = "A disk's I/O has failed. With the action \"stop\", STOP follows, and `cont` does "
              "the I/O again. Of the others not more than 20 in a second are told." },
    { .name = NULL }
};

const QmpCommand qmp_block_commands[] = {
    { .name = "query-block", .ret = &blocks_type, .when = QMP_ALWAYS, .run = do_query_block,
      .help = "The disks and drives, and what is in them." },
    { .name = "query-blockstats", .args = &blockstats_args, .ret = &blockstats_list_type,
      .when = QMP_ALWAYS, .run = do_query_blockstats,
      .help = "What the disks' nodes have done since they were opened." },
    { .name = "query-named-block-nodes", .args = &named_nodes_args, .ret = &nodes_type,
      .when = QMP_ALWAYS, .run = do_query_nodes,
      .help = "All block nodes." },
    { .name = "blockdev-add", .args = &blockdev_add_args, .when = QMP_READY, .changes = true,
      .run = do_blockdev_add,
      .help = "Opens a block node as `-blockdev` does. With the sandbox on, a file is given as "
              "`/dev/fdset/N`, see `add-fd`." },
    { .name = "blockdev-del", .args = &blockdev_del_args, .when = QMP_READY, .changes = true,
      .run = do_blockdev_del,
      .help = "Closes a block node that nothing uses." },
    { .name = "block_resize", .args = &resize_args, .when = QMP_READY, .changes = true,
      .run = do_resize,
      .help = "Changes the size of an image, also of one that a guest uses; a disk reports it "
              "(06/2A/09)." },
    { .name = NULL }
};
/* clang-format on */
