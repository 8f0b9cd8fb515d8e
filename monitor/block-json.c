/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QMP says of a block node: what it is (BlockDeviceInfo, with the ImageInfo of a chain of
 * backing images in it), and what it has done (BlockStats, down to the files).
 *
 * On the node's thread; on main, if no machine has it. So nothing here asks for anything that could
 * take its time: how much space a file takes is what the kernel knows without asking a server.
 */
#include "block-json.h"
#include "block/block.h"

/* clang-format off */
static QMP_STRUCT(cache_type, "BlockdevCacheInfo",
    QMP_MEMBER("writeback", qmp_bool, NULL),
    QMP_MEMBER("direct", qmp_bool, NULL),
    QMP_MEMBER("no-flush", qmp_bool, NULL));
static QMP_STRUCT(specific_type, "ImageInfoSpecific",
    QMP_MEMBER("type", qmp_str, "the format"),
    QMP_MEMBER("data", qmp_any, "what it has, by name"));
static const QmpType image_type; /* it has itself below it */
static const QmpType image_type = {
    .kind = QMP_OBJECT,
    .name = "ImageInfo",
    .members = QMP_MEMBERS(
        QMP_MEMBER("filename", qmp_str, NULL),
        QMP_MEMBER("format", qmp_str, NULL),
        QMP_MEMBER("virtual-size", qmp_int, "bytes"),
        QMP_OPTIONAL("actual-size", qmp_int, "bytes that it takes on the host's file system"),
        QMP_MEMBER("dirty-flag", qmp_bool, "to be repaired, if nobody closes it"),
        QMP_OPTIONAL("cluster-size", qmp_int, "bytes"),
        QMP_OPTIONAL("backing-filename", qmp_str, "as the image has it"),
        QMP_OPTIONAL("backing-filename-format", qmp_str, "as the image has it"),
        QMP_OPTIONAL("full-backing-filename", qmp_str, "of the node that is there"),
        QMP_OPTIONAL("backing-image", image_type, "that node's"),
        QMP_OPTIONAL("format-specific", specific_type, NULL)),
};
QMP_STRUCT(block_node_type, "BlockDeviceInfo",
    QMP_MEMBER("file", qmp_str, "name of the file"),
    QMP_MEMBER("node-name", qmp_str, NULL),
    QMP_MEMBER("ro", qmp_bool, NULL),
    QMP_MEMBER("drv", qmp_str, NULL),
    QMP_OPTIONAL("backing_file", qmp_str, "name of the backing image's file"),
    QMP_MEMBER("backing_file_depth", qmp_int, NULL),
    QMP_MEMBER("encrypted", qmp_bool, "false"),
    QMP_MEMBER("detect_zeroes", qmp_str, "off, on or unmap"),
    QMP_MEMBER("bps", qmp_int, "0: no limit; so are the others"),
    QMP_MEMBER("bps_rd", qmp_int, NULL),
    QMP_MEMBER("bps_wr", qmp_int, NULL),
    QMP_MEMBER("iops", qmp_int, NULL),
    QMP_MEMBER("iops_rd", qmp_int, NULL),
    QMP_MEMBER("iops_wr", qmp_int, NULL),
    QMP_MEMBER("image", image_type, NULL),
    QMP_MEMBER("cache", cache_type, NULL),
    QMP_MEMBER("write_threshold", qmp_int, "0: none"));

static QMP_STRUCT(stats_type, "BlockDeviceStats",
    QMP_MEMBER("rd_bytes", qmp_int, NULL),
    QMP_MEMBER("wr_bytes", qmp_int, NULL),
    QMP_MEMBER("unmap_bytes", qmp_int, NULL),
    QMP_MEMBER("rd_operations", qmp_int, NULL),
    QMP_MEMBER("wr_operations", qmp_int, NULL),
    QMP_MEMBER("flush_operations", qmp_int, NULL),
    QMP_MEMBER("unmap_operations", qmp_int, NULL),
    QMP_MEMBER("rd_total_time_ns", qmp_int, NULL),
    QMP_MEMBER("wr_total_time_ns", qmp_int, NULL),
    QMP_MEMBER("flush_total_time_ns", qmp_int, NULL),
    QMP_MEMBER("unmap_total_time_ns", qmp_int, NULL),
    QMP_MEMBER("wr_highest_offset", qmp_int, "end of the write that reached furthest"),
    QMP_MEMBER("rd_merged", qmp_int, "0"),
    QMP_MEMBER("wr_merged", qmp_int, "0"),
    QMP_MEMBER("unmap_merged", qmp_int, "0"),
    QMP_MEMBER("failed_rd_operations", qmp_int, NULL),
    QMP_MEMBER("failed_wr_operations", qmp_int, NULL),
    QMP_MEMBER("failed_flush_operations", qmp_int, NULL),
    QMP_MEMBER("failed_unmap_operations", qmp_int, NULL),
    QMP_MEMBER("invalid_rd_operations", qmp_int, "0"),
    QMP_MEMBER("invalid_wr_operations", qmp_int, "0"),
    QMP_MEMBER("invalid_flush_operations", qmp_int, "0"),
    QMP_MEMBER("invalid_unmap_operations", qmp_int, "0"),
    QMP_MEMBER("account_invalid", qmp_bool, "false"),
    QMP_MEMBER("account_failed", qmp_bool, "true"),
    QMP_MEMBER("timed_stats", qmp_anys, "empty"));
static QMP_STRUCT(driver_stats_type, "BlockStatsSpecific",
    QMP_MEMBER("driver", qmp_str, NULL),
    QMP_MEMBER("discard-nb-ok", qmp_int, NULL),
    QMP_MEMBER("discard-nb-failed", qmp_int, NULL),
    QMP_MEMBER("discard-bytes-ok", qmp_int, NULL));
const QmpType block_stats_type = {
    .kind = QMP_OBJECT,
    .name = "BlockStats",
    .members = QMP_MEMBERS(QMP_OPTIONAL("device", qmp_str, "as in `query-block`"),
                           QMP_OPTIONAL("qdev", qmp_str, "as in `query-block`"),
                           QMP_OPTIONAL("node-name", qmp_str, NULL),
                           QMP_MEMBER("stats", stats_type, NULL),
                           QMP_OPTIONAL("parent", block_stats_type, "the node below"),
                           QMP_OPTIONAL("backing", block_stats_type, "the backing image's node"),
                           QMP_OPTIONAL("driver-specific", driver_stats_type, "of files")),
};
/* clang-format on */

/* --- nodes --- */

static json_t *valid_string(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    return json_string(valid);
}

static unsigned backing_depth(const BlockNode *node)
{
    unsigned depth = 0;

    while (node->backing) {
        node = node->backing;
        depth++;
    }
    return depth;
}

static void add_string(json_t *json, const char *name, const char *text)
{
    if (text) {
        json_object_set_new(json, name, valid_string(text));
    }
}

static json_t *fact_json(const BlockFact *fact)
{
    switch (fact->kind) {
    case BLOCK_FACT_BOOL:
        return json_boolean(fact->number != 0);
    case BLOCK_FACT_NUMBER:
        return json_integer((json_int_t)fact->number);
    default:
        return json_string(fact->text);
    }
}

static void add_format(json_t *image, const BlockNode *node)
{
    BlockDetails details = { 0 };
    json_t *data;

    if (!node->driver->describe) {
        return;
    }
    node->driver->describe(node, &details);
    data = json_object();
    for (unsigned i = 0; i < details.n_facts; i++) {
        json_object_set_new(data, details.facts[i].name, fact_json(&details.facts[i]));
    }
    json_object_set_new(image, "format-specific",
                        json_pack("{s:s, s:o}", "type", node->driver->name, "data", data));
    json_object_set_new(image, "cluster-size", json_integer(details.cluster_size));
    json_object_set_new(image, "dirty-flag", json_boolean(details.dirty));
    add_string(image, "backing-filename", details.backing);
    add_string(image, "backing-filename-format", details.backing_format);
}

/* Backing images alone are followed: as deep as they were when they were opened. */
static json_t *image_json(const BlockNode *node, bool flat)
{
    int64_t allocated = block_allocated(node);
    json_t *image = json_pack("{s:I, s:o, s:s, s:b}", "virtual-size", (json_int_t)node->size,
                              "filename", valid_string(block_filename(node)), "format",
                              node->driver->name, "dirty-flag", 0);

    if (allocated >= 0) {
        json_object_set_new(image, "actual-size", json_integer(allocated));
    }
    add_format(image, node);
    if (node->backing) {
        add_string(image, "full-backing-filename", block_filename(node->backing));
        if (!flat) {
            json_object_set_new(image, "backing-image", image_json(node->backing, false));
        }
    }
    return image;
}

json_t *block_node_json(const BlockNode *node, bool flat)
{
    json_t *info =
        json_pack("{s:s, s:o, s:b, s:s, s:s, s:b, s:i, s:i, s:o}", "detect_zeroes",
                  block_detect_names[node->detect_zeroes], "image", image_json(node, flat), "ro",
                  node->read_only, "node-name", node->name, "drv", node->driver->name, "encrypted",
                  0, "backing_file_depth", flat ? 0 : backing_depth(node), "write_threshold", 0,
                  "file", valid_string(block_filename(node)));
    static const char *const limits[] = { "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr" };

    add_string(info, "backing_file", node->backing ? block_filename(node->backing) : NULL);
    json_object_set_new(info, "cache",
                        json_pack("{s:b, s:b, s:b}", "no-flush", node->no_flush, "direct",
                                  node->direct, "writeback", node->write_cache));
    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++) {
        json_object_set_new(info, limits[i], json_integer(0));
    }
    return info;
}

static const char *const not_counted[] = {
    "rd_merged",
    "wr_merged",
    "unmap_merged",
    "invalid_rd_operations",
    "invalid_wr_operations",
    "invalid_flush_operations",
    "invalid_unmap_operations",
};

/* A member for each of what BlockStats has by operation. */
static const struct Counted {
    const char *prefix;
    BlockOp op, also; /* as QEMU, which has zeroes among the writes */
    bool bytes;
} counted[] = {
    { "rd", BLOCK_READ, BLOCK_READ, true },
    { "wr", BLOCK_WRITE, BLOCK_WRITE_ZEROES, true },
    { "flush", BLOCK_FLUSH, BLOCK_FLUSH, false },
    { "unmap", BLOCK_DISCARD, BLOCK_DISCARD, true },
};

static void add_count(json_t *json, const char *before, const char *behind, const struct Counted *c,
                      const uint64_t *by_op)
{
    g_autofree char *name = g_strconcat(before, c->prefix, behind, NULL);
    uint64_t n = by_op[c->op] + (c->also != c->op ? by_op[c->also] : 0);

    json_object_set_new(json, name, json_integer((json_int_t)n));
}

/* NULL: of a drive without a medium. */
static json_t *stats_json(const BlockNode *node)
{
    static const BlockStats none;
    const BlockStats *stats = node ? &node->stats : &none;
    json_t *json = json_pack("{s:b, s:b, s:[], s:I}", "account_invalid", 0, "account_failed", 1,
                             "timed_stats", "wr_highest_offset", (json_int_t)stats->highest);

    for (unsigned i = 0; i < G_N_ELEMENTS(counted); i++) {
        const struct Counted *c = &counted[i];

        if (c->bytes) {
            add_count(json, "", "_bytes", c, stats->bytes);
        }
        add_count(json, "", "_operations", c, stats->ops);
        add_count(json, "", "_total_time_ns", c, stats->ns);
        add_count(json, "failed_", "_operations", c, stats->failed);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(not_counted); i++) {
        json_object_set_new(json, not_counted[i], json_integer(0));
    }
    return json;
}

static json_t *discards_json(const BlockNode *node)
{
    const BlockStats *stats = &node->stats;

    return json_pack("{s:s, s:I, s:I, s:I}", "driver", node->driver->name, "discard-nb-ok",
                     (json_int_t)stats->ops[BLOCK_DISCARD], "discard-nb-failed",
                     (json_int_t)stats->failed[BLOCK_DISCARD], "discard-bytes-ok",
                     (json_int_t)stats->bytes[BLOCK_DISCARD]);
}

json_t *block_stats_json(const BlockNode *node, bool chain)
{
    json_t *json = json_pack("{s:o}", "stats", stats_json(node));

    if (!node) {
        return json;
    }
    json_object_set_new(json, "node-name", json_string(node->name));
    if (node->driver->allocated) {
        json_object_set_new(json, "driver-specific", discards_json(node));
    }
    if (node->file) {
        json_object_set_new(json, "parent", block_stats_json(node->file, chain));
    }
    if (node->backing && chain) {
        json_object_set_new(json, "backing", block_stats_json(node->backing, chain));
    }
    return json;
}
