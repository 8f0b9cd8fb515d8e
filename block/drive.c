/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -drive, the older spelling of -blockdev: one option list for a file and the format on it.
 *
 * Its own words (cache=, readonly=, media=, file=PATH ...) are turned into those of block_open().
 * Then the file is opened as a node without a name, with what "file." says besides the path, and
 * the format over it; a driver that takes a path itself (format=file) is opened alone. What is
 * left over is the format driver's business, which refuses what it doesn't know.
 *
 * Without format= the image is what its signature says, or else raw, with a warning and a guard
 * (see block/probe.c).
 *
 * cache=        cache.direct  cache.no-flush  write cache
 * writeback     off           off             on            (default)
 * none          on            off             on
 * writethrough  off           off             off: each write is FUA
 * directsync    on            off             off
 * unsafe        off           on              on
 *
 * copy-on-read=on puts a copy-on-read node over the image, and throttling.* a throttle node over
 * that; the topmost has the drive's id in the image's place.
 *
 * As in QEMU an image that can't be written is opened for reading; node->demoted tells a disk,
 * which refuses it. if=none only: there is no board that could place a drive by itself.
 *
 * Without anything that says what the image is, a -drive is the id of an empty drive (graph.c keeps
 * these), for a scsi-cd that gets its medium from the monitor.
 */
#include "block/graph.h"
#include "block/probe.h"
#include "block/throttle.h"
#include "util/error.h"
#include "util/log.h"
#include <string.h>

typedef struct Drive {
    BlockGraph *graph;
    Opts *opts;       /* becomes those of the top node */
    Opts *file;       /* "file." */
    Opts *throttling; /* "throttling." */
    char *id;
    char *path;                  /* as file= has it; NULL: "file." says it in other words */
    const BlockDriver *protocol; /* a driver that takes no path, or NULL */
    const BlockDriver *driver;
    BlockNode *file_node; /* opened for probing; else NULL */
    bool write_cache;
    bool copy_on_read;
    bool probed;
} Drive;

static const struct CacheMode {
    const char *name, *direct, *no_flush;
    bool write_cache;
} cache_modes[] = {
    { "writeback", "off", "off", true },  { "none", "on", "off", true },
    { "off", "on", "off", true },         { "writethrough", "off", "off", false },
    { "directsync", "on", "off", false }, { "unsafe", "off", "on", true },
};

/* Options of QEMU's whose one value here is what happens anyway. */
static const struct Neutral {
    const char *key, *value;
} neutral[] = {
    { "snapshot", "off" },
    { "werror", "report" },
    { "rerror", "report" },
};

static void set_default(Opts *opts, const char *key, const char *value)
{
    if (!opts_peek(opts, key)) {
        opts_set(opts, key, value);
    }
}

static bool take_interface(Drive *d, GError **errp)
{
    const char *type = opts_get(d->opts, "if");

    if (type && strcmp(type, "none")) {
        return error_set(errp, "if=%s is not supported: give if=none and a -device", type);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(neutral); i++) {
        const char *value = opts_get(d->opts, neutral[i].key);

        if (value && strcmp(value, neutral[i].value)) {
            return error_set(errp, "%s=%s is not supported (only %s)", neutral[i].key, value,
                             neutral[i].value);
        }
    }
    return true;
}

static bool take_filters(Drive *d, GError **errp)
{
    const char *copy_on_read = opts_get(d->opts, "copy-on-read");

    return !copy_on_read || opt_parse_bool("copy-on-read", copy_on_read, &d->copy_on_read, errp);
}

static bool take_id(Drive *d, GError **errp)
{
    const char *id = opts_get(d->opts, "id");

    if (id && !block_name_valid(id)) {
        return error_set(errp,
                         "Invalid id '%s': it takes a letter, then letters, digits, '-', "
                         "'.' and '_'",
                         id);
    }
    if (id) {
        d->id = g_strdup(id);
    } else {
        for (unsigned i = 0; !d->id || !block_name_free(d->graph, d->id, NULL); i++) {
            g_free(d->id);
            d->id = g_strdup_printf("none%u", i);
        }
    }
    return block_name_free(d->graph, d->id, errp);
}

static const struct CacheMode *cache_mode_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cache_modes); i++) {
        if (!strcmp(cache_modes[i].name, name)) {
            return &cache_modes[i];
        }
    }
    return NULL;
}

/* cache.direct= and the like win over cache=, as in QEMU. */
static bool take_cache(Drive *d, GError **errp)
{
    const char *name = opts_get(d->opts, "cache");
    const char *write_cache = opts_get(d->opts, "cache.writeback");
    const struct CacheMode *mode = cache_mode_find(name ? name : "writeback");

    if (!mode) {
        return error_set(errp,
                         "cache=%s: expected none, writeback, writethrough, directsync or "
                         "unsafe",
                         name);
    }
    set_default(d->opts, "cache.direct", mode->direct);
    set_default(d->opts, "cache.no-flush", mode->no_flush);
    d->write_cache = mode->write_cache;
    return !write_cache || opt_parse_bool("cache.writeback", write_cache, &d->write_cache, errp);
}

static bool take_access(Drive *d, GError **errp)
{
    const char *readonly = opts_get(d->opts, "readonly");
    const char *media = opts_get(d->opts, "media");
    const char *discard = opts_get(d->opts, "discard");

    if (media && strcmp(media, "disk") && strcmp(media, "cdrom")) {
        return error_set(errp, "media=%s: expected disk or cdrom", media);
    }
    if (readonly) {
        set_default(d->opts, "read-only", readonly);
    }
    if (media && !strcmp(media, "cdrom")) {
        opts_set(d->opts, "read-only", "on");
    }
    set_default(d->opts, "auto-read-only", "on");
    if (discard && (!strcmp(discard, "on") || !strcmp(discard, "off"))) {
        opts_set(d->opts, "discard", !strcmp(discard, "on") ? "unmap" : "ignore");
    }
    return true;
}

/* --- the image --- */

static bool takes_path(const BlockDriver *driver)
{
    const OptDesc *desc = driver->opts;

    while (desc->name && strcmp(desc->name, "filename")) {
        desc++;
    }
    return desc->name != NULL;
}

/* "PROTOCOL:..." or "PROTOCOL+VARIANT:...". */
static bool take_protocol(Drive *d, const char *path, GError **errp)
{
    g_autofree char *name = g_strndup(path, strcspn(path, "+:"));

    if (block_driver_known(d->graph, name)) {
        d->protocol = block_driver_find(d->graph, name, "protocol", errp);
        if (!d->protocol) {
            return false;
        }
    }
    if (!d->protocol || !d->protocol->parse_filename) {
        return error_set(errp, "Unknown protocol '%s' (a path with a colon can be given as ./NAME)",
                         name);
    }
    set_default(d->file, "driver", d->protocol->name);
    return d->protocol->parse_filename(path, d->file, errp);
}

/* Without file=: "file." may name a driver that needs no path. */
static bool take_file_driver(Drive *d, GError **errp)
{
    const char *name = opts_peek(d->file, "driver");

    if (name) {
        d->protocol = block_driver_find(d->graph, name, "block driver", errp);
        if (!d->protocol) {
            return false;
        }
    }
    return (name && !takes_path(d->protocol)) || error_set(errp, "Option 'file' is missing");
}

/* "file:PATH" is PATH; another protocol isn't a path at all. */
static bool take_path(Drive *d, GError **errp)
{
    const char *path = opts_get(d->opts, "file");
    size_t word;

    if (path && opts_peek(d->file, "filename")) {
        return error_set(errp, "Options 'file' and 'file.filename' exclude each other");
    }
    path = path ? path : opts_get(d->file, "filename");
    if (!path || !*path) {
        return take_file_driver(d, errp);
    }
    word = strcspn(path, ":/");
    if (g_str_has_prefix(path, "file:")) {
        path += word + 1;
    } else if (path[word] == ':' && !take_protocol(d, path, errp)) {
        return false;
    }
    d->path = g_strdup(path);
    return true;
}

static const char *image_name(const Drive *d)
{
    return d->path ? d->path : d->id;
}

static BlockNode *open_file(Drive *d, GError **errp)
{
    const char *aio = opts_get(d->opts, "aio");

    if (!d->protocol) {
        opts_set(d->file, "filename", d->path);
        set_default(d->file, "driver", probe_is_device(d->graph, d->path) ? "host_device" : "file");
    }
    if (aio) {
        set_default(d->file, "aio", aio);
    }
    block_opts_inherit(d->opts, d->file);
    return block_node_open(d->graph, d->file, NULL, true, errp);
}

/* Of what a protocol has; a node of it is needed in any case. */
static bool read_head_by_protocol(Drive *d, uint8_t *head, GError **errp)
{
    int res;

    d->file_node = open_file(d, errp);
    if (!d->file_node || !block_setup_begin(d->file_node, errp)) {
        return false;
    }
    res = block_setup_io(d->file_node, BLOCK_READ, 0, head, MIN(PROBE_BYTES, d->file_node->size));
    block_setup_end(d->file_node);
    return !res || error_set(errp, "Could not read '%s': %s", image_name(d), g_strerror(-res));
}

/* *format: the driver's name, or "raw". What can't be opened or read is reported by the driver. */
static bool probe_image(Drive *d, const char **format, GError **errp)
{
    uint8_t head[PROBE_BYTES] = { 0 };

    if (d->protocol && !read_head_by_protocol(d, head, errp)) {
        return false;
    }
    *format = d->protocol ? probe_format(head) : probe_path(d->graph, d->path);
    if (*format && !block_driver_known(d->graph, *format)) {
        return error_set(errp,
                         "'%s' looks like a %s image, which this build can't read; "
                         "format=raw serves its bytes as they are",
                         image_name(d), *format);
    }
    if (!*format) {
        *format = "raw";
        d->probed = true;
    }
    return true;
}

static bool take_format(Drive *d, GError **errp)
{
    const char *format = opts_get(d->opts, "format");
    const char *driver = opts_get(d->opts, "driver");

    if (format && driver) {
        return error_set(errp, "Options 'format' and 'driver' exclude each other");
    }
    format = format ? format : driver;
    if (!format && !probe_image(d, &format, errp)) {
        return false;
    }
    d->driver = block_driver_find(d->graph, format, "image format", errp);
    if (!d->driver) {
        return false;
    }
    opts_set(d->opts, "driver", d->driver->name);
    return true;
}

static BlockNode *open_format(Drive *d, bool nested, GError **errp)
{
    BlockNode *file = d->file_node ? g_steal_pointer(&d->file_node) : open_file(d, errp);
    BlockNode *node;

    if (!file) {
        return NULL;
    }
    opts_set(d->opts, "file", file->name);
    node = block_node_open(d->graph, d->opts, nested ? NULL : d->id, nested, errp);
    if (!node) {
        block_close(file);
        return NULL;
    }
    block_own_child(node, file);
    return node;
}

static BlockNode *open_plain(Drive *d, bool nested, GError **errp)
{
    if (!opts_check_used(d->file, "Option 'file.%s' needs a format driver", errp)) {
        return NULL;
    }
    if (!d->path) {
        error_set(errp, "Option 'file' is missing");
        return NULL;
    }
    opts_set(d->opts, "filename", d->path);
    return block_node_open(d->graph, d->opts, nested ? NULL : d->id, nested, errp);
}

/* --- throttling.* --- */

/* The group of throttling.group=, or else of this drive: one that is there, or a new one. NULL and
 * an error. The caller has a reference. */
static ThrottleGroup *take_group(Drive *d, GError **errp)
{
    static const OptDesc opts[] = { THROTTLE_OPTS("", 0), { 0 } };
    const char *id = opts_get(d->throttling, "group");
    ThrottleLimits limits;
    ThrottleGroup *group;

    id = id ? id : d->id;
    group = block_graph_find_thing(d->graph, BLOCK_THROTTLE_GROUP, id);
    opt_fields_default(opts, &limits);
    if (!opt_fields_set(opts, &limits, d->throttling, errp) ||
        !opts_check_used(d->throttling, "Option 'throttling.%s' is unknown", errp) ||
        !throttle_limits_check(&limits, errp)) {
        return NULL;
    }
    if (group && throttle_limits_any(&limits)) {
        error_set(errp, "Throttle group '%s' has its limits from another option", id);
        return NULL;
    }
    if (group) {
        return throttle_group_ref(group);
    }
    group = throttle_group_new(id, &limits);
    block_graph_add_thing(d->graph, BLOCK_THROTTLE_GROUP, id, group);
    return group;
}

/* ---- nodes over the image ---- */

/* opts has the driver. Takes image along; it is closed if that fails. */
static BlockNode *open_over(Drive *d, BlockNode *image, Opts *opts, bool nested, GError **errp)
{
    BlockNode *node;

    opts_set(opts, "file", image->name);
    opts_set(opts, "discard", image->can_discard ? "unmap" : "ignore");
    node = block_node_open(d->graph, opts, nested ? NULL : d->id, nested, errp);
    if (!node) {
        block_close(image);
        return NULL;
    }
    block_own_child(node, image);
    node->demoted = image->demoted;
    return node;
}

static BlockNode *open_copy_on_read(Drive *d, BlockNode *image, bool nested, GError **errp)
{
    g_autoptr(Opts) opts = opts_new();

    opts_set(opts, "driver", "copy-on-read");
    return open_over(d, image, opts, nested, errp);
}

static BlockNode *open_throttle(Drive *d, BlockNode *image, GError **errp)
{
    ThrottleGroup *group = take_group(d, errp);
    g_autoptr(Opts) opts = opts_new();
    BlockNode *node;

    if (!group) {
        block_close(image);
        return NULL;
    }
    opts_set(opts, "driver", "throttle");
    opts_set(opts, "throttle-group", throttle_group_id(group));
    node = open_over(d, image, opts, false, errp);
    if (throttle_group_unref(group)) {
        block_graph_remove_thing(d->graph, BLOCK_THROTTLE_GROUP, d->id);
    }
    return node;
}

static BlockNode *open_image(Drive *d, bool throttled, GError **errp)
{
    bool nested = d->copy_on_read || throttled;
    BlockNode *node =
        takes_path(d->driver) ? open_plain(d, nested, errp) : open_format(d, nested, errp);

    if (node && d->copy_on_read) {
        node = open_copy_on_read(d, node, throttled, errp);
    }
    return node && throttled ? open_throttle(d, node, errp) : node;
}

static BlockNode *drive_open(Drive *d, GError **errp)
{
    bool throttled = !opts_empty(d->throttling);
    BlockNode *node;

    if (!take_interface(d, errp) || !take_filters(d, errp) || !take_id(d, errp) ||
        !take_cache(d, errp) || !take_access(d, errp) || !take_path(d, errp) ||
        !take_format(d, errp)) {
        return NULL;
    }
    node = open_image(d, throttled, errp);
    if (!node) {
        return NULL;
    }
    node->write_cache = d->write_cache;
    node->probed = d->probed && !node->read_only;
    if (node->probed) {
        log_line(NULL,
                 "no format given for '%s', taken as raw: writes that make it look like "
                 "another format will fail; format=raw lifts that",
                 image_name(d));
    }
    return node;
}

static void drive_clear(Drive *d)
{
    if (d->file_node) {
        block_close(d->file_node);
    }
    opts_free(d->file);
    opts_free(d->throttling);
    g_free(d->id);
    g_free(d->path);
}

BlockNode *block_open_drive(BlockGraph *graph, Opts *opts, GError **errp)
{
    Drive d = { .graph = graph, .opts = opts };
    BlockNode *node;

    d.file = opts_take_sub(opts, "file");
    d.throttling = opts_take_sub(opts, "throttling");
    node = drive_open(&d, errp);
    drive_clear(&d);
    return node;
}

/* ---- a drive without a medium ---- */

/* Does anything say what the image is, or what is to be put over it? */
static bool says_image(const Opts *opts, const Drive *d)
{
    static const char *const keys[] = { "file", "format", "driver", "node-name" };

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (opts_peek(opts, keys[i])) {
            return true;
        }
    }
    return !opts_empty(d->file) || !opts_empty(d->throttling);
}

/* As for a drive with an image; it is opened by who changes the medium, in ways of its own. */
static bool add_empty(Drive *d, GError **errp)
{
    static const char *const unused[] = { "read-only",    "auto-read-only", "aio",
                                          "cache.direct", "cache.no-flush", "discard",
                                          "detect-zeroes" };

    if (!take_interface(d, errp) || !take_filters(d, errp) || !take_id(d, errp) ||
        !take_cache(d, errp) || !take_access(d, errp)) {
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(unused); i++) {
        opts_get(d->opts, unused[i]);
    }
    if (!opts_check_used(d->opts, "Block format 'none' does not support the option '%s'", errp)) {
        return false;
    }
    block_empty_add(d->graph, d->id);
    return true;
}

bool block_add_drive(BlockGraph *graph, Opts *opts, GError **errp)
{
    Drive d = { .graph = graph, .opts = opts };
    bool empty, ok;

    d.file = opts_take_sub(opts, "file");
    d.throttling = opts_take_sub(opts, "throttling");
    empty = !says_image(opts, &d);
    ok = empty ? add_empty(&d, errp) : drive_open(&d, errp) != NULL;
    drive_clear(&d);
    return ok;
}
