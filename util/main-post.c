/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Posts to the main loop, for what a thread has to tell and for what main can't do right where it
 * is. GLib's queue of sources does the work; not g_main_context_invoke(), which
 * runs the function on the thread that calls it as long as the main loop doesn't run.
 *
 * The function goes by an atomic pair of store and load, which orders what was written before the
 * post and what is read after it. GLib's locks do that, too; but ThreadSanitizer sees only what
 * this program is compiled from.
 */
#include "util/main-post.h"
#include <glib.h>

typedef struct Post {
    void (*fn)(void *);
    void *opaque;
} Post;

static gboolean run(gpointer opaque)
{
    const Post *post = opaque;
    void (*fn)(void *) = __atomic_load_n(&post->fn, __ATOMIC_ACQUIRE);

    fn(post->opaque);
    return G_SOURCE_REMOVE;
}

void main_post(void (*fn)(void *opaque), void *opaque)
{
    Post *post = g_new(Post, 1);

    post->opaque = opaque;
    __atomic_store_n(&post->fn, fn, __ATOMIC_RELEASE);
    g_idle_add_full(G_PRIORITY_DEFAULT, run, post, g_free);
}
