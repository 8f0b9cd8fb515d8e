/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2 images made, changed and judged by qemu-img and qemu-io, and nodes on them. */
#ifndef TESTS_QCOW2_HARNESS_H
#define TESTS_QCOW2_HARNESS_H

#include "block-harness.h"
#include "block/codec.h"
#include <sys/wait.h>

#define KIB 1024u
#define MIB (1024u * KIB)

static inline bool have_tools(void)
{
    g_autofree char *img = g_find_program_in_path("qemu-img");
    g_autofree char *io = g_find_program_in_path("qemu-io");

    return img && io;
}

/* A shell command in folder dir: its exit status. What it says goes to the log if that isn't 0. */
static inline G_GNUC_PRINTF(2, 3) int shell(const char *dir, const char *format, ...)
{
    g_autofree char *command = NULL, *all = NULL, *text = NULL;
    g_autoptr(GError) err = NULL;
    int status;
    va_list ap;

    va_start(ap, format);
    command = g_strdup_vprintf(format, ap);
    va_end(ap);
    all = g_strdup_printf("cd '%s' && ( %s ) 2>&1", dir, command);
    g_spawn_sync(NULL, (char *[]){ (char *)"/bin/sh", (char *)"-c", all, NULL }, NULL, 0, NULL,
                 NULL, &text, NULL, &status, &err);
    g_assert_no_error(err);
    g_assert_true(WIFEXITED(status));
    if (status) {
        g_test_message("%s: exit status %d\n%s", command, WEXITSTATUS(status), text);
    }
    return WEXITSTATUS(status);
}

typedef struct Image {
    char *dir, *path;
    BlockGraph *graph;
    BlockNode *node;
    Loop *loop;
} Image;

static inline void image_init(Image *im)
{
    im->dir = make_dir();
    im->path = g_build_filename(im->dir, "q.qcow2", NULL);
    im->loop = loop_new("test", NULL);
}

static inline BlockNode *image_try_open(Image *im, const char *path, const char *more,
                                        GError **errp)
{
    g_autofree char *text =
        g_strdup_printf("driver=qcow2,node-name=q,file.driver=file,file.filename=%s%s", path, more);

    im->graph = block_graph_new(all_drivers, all_engines);
    block_graph_add_codec(im->graph, &block_codec_zlib);
    block_graph_add_codec(im->graph, &block_codec_zstd);
    return open_text(im->graph, false, errp, text);
}

static inline void image_open(Image *im, const char *more)
{
    g_autoptr(GError) err = NULL;

    im->node = image_try_open(im, im->path, more, &err);
    g_assert_no_error(err);
    g_assert_true(block_attach(im->node, im->loop, NULL));
}

static inline void image_close(Image *im)
{
    drain(im->node);
    block_detach(im->node);
    block_graph_free(im->graph);
    im->node = NULL;
}

static inline void image_fini(Image *im)
{
    loop_free(im->loop);
    g_free(im->path);
    remove_dir(im->dir);
}

#endif
