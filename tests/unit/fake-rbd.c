/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See fake-rbd.h. A GThreadPool plays librbd's threads. */
#include "fake-rbd.h"
#include <errno.h>
#include <glib.h>
#include <rbd/librbd.h>
#include <string.h>

FakeRbd fake_rbd;

typedef struct Work {
    rbd_callback_t fn;
    void *arg;
    int op; /* 'r', 'w', 'z', 'f' */
    uint64_t offset;
    size_t len;
    char *buf;
    int res;
} Work;

static GThreadPool *pool;

/* librbd's functions return before the completion comes, in any order. */
static void work_run(gpointer data, gpointer opaque G_GNUC_UNUSED)
{
    Work *w = data;
    int op = __atomic_load_n(&w->op, __ATOMIC_ACQUIRE);

    g_usleep(w->offset / 4096 % 7 * 50);
    w->res = fake_rbd.fail_with;
    if (!w->res && op == 'r') {
        memcpy(w->buf, fake_rbd.data + w->offset, w->len);
        w->res = w->len;
    } else if (!w->res && op == 'w') {
        memcpy(fake_rbd.data + w->offset, w->buf, w->len);
    } else if (!w->res && op == 'z') {
        memset(fake_rbd.data + w->offset, 0, w->len);
    } else if (!w->res) {
        g_atomic_int_inc(&fake_rbd.n_flushes);
    }
    w->fn(w, w->arg);
}

static int start(rbd_completion_t c, int op, uint64_t offset, size_t len, char *buf)
{
    Work *w = c;

    g_assert_cmpuint(offset + len, <=, FAKE_RBD_SIZE);
    w->offset = offset;
    w->len = len;
    w->buf = buf;
    __atomic_store_n(&w->op, op,
                     __ATOMIC_RELEASE); /* as ThreadSanitizer doesn't see GLib's locks */
    g_thread_pool_push(pool, w, NULL);
    return 0;
}

int rbd_aio_create_completion(void *arg, rbd_callback_t fn, rbd_completion_t *c)
{
    Work *w = g_new0(Work, 1);

    w->fn = fn;
    w->arg = arg;
    *c = w;
    return 0;
}

ssize_t rbd_aio_get_return_value(rbd_completion_t c)
{
    return ((Work *)c)->res;
}

void rbd_aio_release(rbd_completion_t c)
{
    g_free(c);
}

int rbd_aio_read(rbd_image_t image G_GNUC_UNUSED, uint64_t off, size_t len, char *buf,
                 rbd_completion_t c)
{
    return start(c, 'r', off, len, buf);
}

int rbd_aio_write(rbd_image_t image G_GNUC_UNUSED, uint64_t off, size_t len, const char *buf,
                  rbd_completion_t c)
{
    return start(c, 'w', off, len, (char *)buf);
}

int rbd_aio_discard(rbd_image_t image G_GNUC_UNUSED, uint64_t off, uint64_t len, rbd_completion_t c)
{
    return start(c, 'z', off, len, NULL);
}

int rbd_aio_write_zeroes(rbd_image_t image G_GNUC_UNUSED, uint64_t off, size_t len,
                         rbd_completion_t c, int zero_flags G_GNUC_UNUSED,
                         int op_flags G_GNUC_UNUSED)
{
    return start(c, 'z', off, len, NULL);
}

int rbd_aio_flush(rbd_image_t image G_GNUC_UNUSED, rbd_completion_t c)
{
    return start(c, 'f', 0, 0, NULL);
}

static int open_image(const char *name, rbd_image_t *image, const char *snapshot, bool read_only)
{
    if (strcmp(name, "image")) {
        return -ENOENT;
    }
    g_strlcpy(fake_rbd.snapshot, snapshot ? snapshot : "", sizeof(fake_rbd.snapshot));
    fake_rbd.read_only = read_only;
    fake_rbd.n_open++;
    *image = &fake_rbd;
    return 0;
}

int rbd_open(rados_ioctx_t io G_GNUC_UNUSED, const char *name, rbd_image_t *image,
             const char *snapshot)
{
    return open_image(name, image, snapshot, false);
}

int rbd_open_read_only(rados_ioctx_t io G_GNUC_UNUSED, const char *name, rbd_image_t *image,
                       const char *snapshot)
{
    return open_image(name, image, snapshot, true);
}

int rbd_resize(rbd_image_t image G_GNUC_UNUSED, uint64_t size)
{
    fake_rbd.size = fake_rbd.fail_with ? fake_rbd.size : size;
    return fake_rbd.fail_with;
}

int rbd_get_size(rbd_image_t image G_GNUC_UNUSED, uint64_t *size)
{
    *size = FAKE_RBD_SIZE;
    return 0;
}

int rbd_close(rbd_image_t image G_GNUC_UNUSED)
{
    fake_rbd.n_open--;
    return 0;
}

int rados_create(rados_t *cluster, const char *const id)
{
    if (!pool) {
        pool = g_thread_pool_new(work_run, NULL, 4, TRUE, NULL);
    }
    g_strlcpy(fake_rbd.user, id ? id : "", sizeof(fake_rbd.user));
    fake_rbd.config[0] = '\0';
    fake_rbd.n_open++;
    *cluster = &fake_rbd;
    return 0;
}

int rados_conf_read_file(rados_t cluster G_GNUC_UNUSED, const char *path)
{
    return path && strcmp(path, "/good.conf") ? -ENOENT : 0;
}

int rados_conf_set(rados_t cluster G_GNUC_UNUSED, const char *option, const char *value)
{
    if (!strcmp(option, "bad")) {
        return -ENOENT;
    }
    if (strcmp(option, "client_mount_timeout")) {
        g_strlcat(fake_rbd.config, option, sizeof(fake_rbd.config));
        g_strlcat(fake_rbd.config, value, sizeof(fake_rbd.config));
    }
    return 0;
}

int rados_connect(rados_t cluster G_GNUC_UNUSED)
{
    return strcmp(fake_rbd.user, "nobody") ? 0 : -ETIMEDOUT;
}

void rados_shutdown(rados_t cluster G_GNUC_UNUSED)
{
    fake_rbd.n_open--;
}

int rados_ioctx_create(rados_t cluster G_GNUC_UNUSED, const char *name, rados_ioctx_t *io)
{
    if (strcmp(name, "pool")) {
        return -ENOENT;
    }
    fake_rbd.namespace[0] = '\0';
    fake_rbd.n_open++;
    *io = &fake_rbd;
    return 0;
}

void rados_ioctx_set_namespace(rados_ioctx_t io G_GNUC_UNUSED, const char *namespace)
{
    g_strlcpy(fake_rbd.namespace, namespace, sizeof(fake_rbd.namespace));
}

void rados_ioctx_destroy(rados_ioctx_t io G_GNUC_UNUSED)
{
    fake_rbd.n_open--;
}
