/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * raw: the image is the file below it, byte for byte. There is nothing to translate, so a request
 * goes to the child's driver as it is and completes on this node: no second request, no copy. What
 * the child would have settled for its own requests (limits, alignment, flags) is therefore taken
 * over from it when the node is opened.
 *
 * A raw node over a read-only one is read-only itself.
 */
#include "block/drivers.h"

static bool raw_open(BlockNode *node, Opts *opts, GError **errp)
{
    BlockNode *file = block_open_child(node, opts, errp);

    if (!file) {
        return false;
    }
    node->size = file->size;
    node->align = file->align;
    node->no_flush = node->no_flush || file->no_flush;
    node->can_discard = node->can_discard && file->can_discard;
    node->demoted = !node->read_only && file->read_only;
    node->read_only = node->read_only || file->read_only;
    return true;
}

static void raw_close(BlockNode *node G_GNUC_UNUSED)
{
}

static void raw_submit(BlockNode *node, BlockReq *req)
{
    node->file->driver->submit(node->file, req);
}

static void raw_cancel(BlockNode *node, BlockReq *req)
{
    if (node->file->driver->cancel) {
        node->file->driver->cancel(node->file, req);
    }
}

static int raw_host_fd(const BlockNode *node)
{
    return block_host_fd(node->file);
}

static const OptDesc raw_opts[] = {
    { 0 },
};

const BlockDriver block_raw_driver = {
    .name = "raw",
    .opts = raw_opts,
    .open = raw_open,
    .close = raw_close,
    .submit = raw_submit,
    .cancel = raw_cancel,
    .host_fd = raw_host_fd,
};
