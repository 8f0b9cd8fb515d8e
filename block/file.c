/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file and host_device: bytes of a regular file, or of a block device of the host.
 *
 * Opening settles what the layers above go by. Size: st_size, rounded up to a whole 512-byte
 * sector as QEMU does (the tail reads as zeros, and a write to it extends the file), or
 * BLKGETSIZE64. Alignment: 1 with the page cache; with O_DIRECT (cache.direct=on) what statx tells,
 * or else the least of 512 and 4096 that a trial read accepts. An image whose size is no multiple
 * of that would have to grow when its last sectors are written, and come back with another
 * capacity; it is served through the page cache instead, with a line in the log.
 *
 * O_DSYNC isn't used: write-through is FUA per request, so that the mode can change while the
 * guest runs. With auto-read-only=on a file that can't be opened for writing is opened for reading.
 *
 * Attaching starts the engine of aio=, on the node's loop; where the kernel refuses io_uring, or
 * this build is without it, the threads engine does the work and the log says so. aio=native,
 * which stands for Linux AIO in QEMU, means the same as io_uring here, and wants cache.direct=on
 * as it does there.
 */
#include "block/drivers.h"
#include "block/engine.h"
#include "block/file-io.h"
#include "block/graph.h"
#include "block/image-lock.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512
#define ALIGN_MAX 4096

enum { AIO_DEFAULT = -1, AIO_THREADS, AIO_NATIVE, AIO_IO_URING };
enum { LOCKING_OFF, LOCKING_ON, LOCKING_AUTO };

static const char *const aio_names[] = { "threads", "native", "io_uring", NULL };
static const char *const locking_names[] = { "off", "on", "auto", NULL };

typedef struct FileState {
    char *filename;
    int aio;
    int locking;
    int fd;
    const BlockEngineType *engine_type;
    const BlockEngineType *running; /* engine's: engine_type, or what it falls back to */
    BlockEngine *engine;
    FileIo io; /* for reads without waiting */
} FileState;

static const OptDesc file_opts[] = {
    { .name = "filename",
      .type = OPT_STRING,
      .offset = offsetof(FileState, filename),
      .help = "path of the image" },
    { .name = "aio",
      .type = OPT_ENUM,
      .offset = offsetof(FileState, aio),
      .def = AIO_DEFAULT,
      .names = aio_names,
      .help = "how requests reach the kernel; native: io_uring, for O_DIRECT" },
    { .name = "locking",
      .type = OPT_ENUM,
      .offset = offsetof(FileState, locking),
      .def = LOCKING_AUTO,
      .names = locking_names,
      .help = "image locks; auto: where the file system has them" },
    { 0 },
};

/* --- opening --- */

static bool open_failed(const FileState *s, int err, GError **errp)
{
    return error_set(errp, "Could not open '%s': %s", s->filename, g_strerror(err));
}

/* O_NONBLOCK so that a FIFO or a drive without a medium is refused rather than waited for. */
static int open_once(const BlockNode *node, const FileState *s)
{
    int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

    flags |= node->read_only ? O_RDONLY : O_RDWR;
    flags |= node->direct ? O_DIRECT : 0;
    return block_open_path(node->graph, s->filename, flags);
}

static int open_file(BlockNode *node, const FileState *s, GError **errp)
{
    int fd = open_once(node, s);

    if (fd < 0 && node->auto_read_only && !node->read_only &&
        (errno == EACCES || errno == EPERM || errno == EROFS)) {
        node->read_only = true;
        node->demoted = true;
        fd = open_once(node, s);
    }
    if (fd >= 0) {
        return fd;
    }
    if (errno == EINVAL && node->direct) {
        error_set(errp, "Could not open '%s': its file system has no O_DIRECT (cache.direct=on)",
                  s->filename);
    } else {
        open_failed(s, errno, errp);
    }
    return -1;
}

static bool check_kind(const FileState *s, const struct stat *st, bool want_device, GError **errp)
{
    if (S_ISDIR(st->st_mode)) {
        return open_failed(s, EISDIR, errp);
    }
    if (want_device && !S_ISBLK(st->st_mode)) {
        return error_set(errp, "'%s' is not a block device, which driver host_device needs",
                         s->filename);
    }
    if (!want_device && !S_ISREG(st->st_mode)) {
        return error_set(errp, "'%s' is not a regular file, which driver file needs", s->filename);
    }
    return true;
}

static bool find_size(BlockNode *node, const FileState *s, int fd, const struct stat *st,
                      GError **errp)
{
    if (!S_ISBLK(st->st_mode)) {
        node->size = ((uint64_t)st->st_size + SECTOR - 1) / SECTOR * SECTOR;
        node->can_grow = true;
        node->has_status = true;
        return true;
    }
    if (ioctl(fd, BLKGETSIZE64, &node->size) < 0) {
        return error_set(errp, "Could not get the size of '%s': %s", s->filename,
                         g_strerror(errno));
    }
    return true;
}

static bool trial_read(int fd, void *buf, uint32_t align)
{
    ssize_t n;

    do {
        n = pread(fd, buf, align, 0);
    } while (n < 0 && errno == EINTR);
    return n >= 0 || errno != EINVAL;
}

/* 0 if nothing that we could offer suits the file. */
static uint32_t probe_by_trial(int fd)
{
    uint8_t *buf =
        mmap(NULL, 2 * ALIGN_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t align = 0;

    if (buf == MAP_FAILED) {
        return ALIGN_MAX;
    }
    if (trial_read(fd, buf + SECTOR, SECTOR)) {
        align = SECTOR;
    } else if (trial_read(fd, buf, ALIGN_MAX)) {
        align = ALIGN_MAX;
    }
    munmap(buf, 2 * ALIGN_MAX);
    return align;
}

static uint32_t probe_align(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
        (stx.stx_mask & STATX_DIOALIGN)) {
        uint32_t align = MAX(stx.stx_dio_mem_align, stx.stx_dio_offset_align);

        return align <= ALIGN_MAX && stx.stx_dio_offset_align ? align : 0;
    }
#endif
    return probe_by_trial(fd);
}

/* The file's flags for good: O_NONBLOCK was for open() only, and O_DIRECT goes where it can't be
 * used. */
static bool find_align(BlockNode *node, const FileState *s, int fd, GError **errp)
{
    int flags = fcntl(fd, F_GETFL) & ~O_NONBLOCK;

    node->align = 1;
    if (node->direct) {
        uint32_t align = probe_align(fd);

        if (!align) {
            return error_set(errp, "'%s' can't be read with O_DIRECT (cache.direct=on)",
                             s->filename);
        }
        if (node->size % align) {
            log_line(NULL, "size of '%s' is not a multiple of %u: no O_DIRECT for it", s->filename,
                     align);
            flags &= ~O_DIRECT;
        } else {
            node->align = align;
        }
    }
    return fcntl(fd, F_SETFL, flags) == 0 || open_failed(s, errno, errp);
}

static bool choose_engine(BlockNode *node, FileState *s, GError **errp)
{
    const char *name = s->aio == AIO_THREADS ? "threads" : "io_uring";

    if (s->aio == AIO_NATIVE && !node->direct) {
        return error_set(errp, "aio=native needs cache.direct=on (cache=none or directsync)");
    }
    s->engine_type = block_engine_find(node->graph, s->aio == AIO_DEFAULT ? NULL : name);
    if (!s->engine_type) {
        s->engine_type = block_engine_find(node->graph, NULL);
        log_line(s->filename, "this build has no aio=%s, using aio=%s", name, s->engine_type->name);
    }
    return true;
}

static bool settle_locking(FileState *s, int fd, GError **errp)
{
    int res = s->locking == LOCKING_OFF ? 0 : image_lock_probe(fd);

    if (res && s->locking == LOCKING_ON) {
        return error_set(errp, "'%s' can't be locked (locking=on): %s", s->filename,
                         g_strerror(-res));
    }
    if (res) {
        log_line(NULL, "no image locks on '%s': %s", s->filename, g_strerror(-res));
        s->locking = LOCKING_OFF;
    }
    return true;
}

static bool file_open_kind(BlockNode *node, bool want_device, GError **errp)
{
    FileState *s = node->state;
    AUTO_FD fd = -1;
    struct stat st;

    s->fd = -1;
    if (!s->filename || !*s->filename) {
        return error_set(errp, "Option 'filename' is missing");
    }
    fd = open_file(node, s, errp);
    if (fd < 0) {
        return false;
    }
    if (fd_stat(fd, &st) < 0) {
        return open_failed(s, errno, errp);
    }
    if (!check_kind(s, &st, want_device, errp) || !find_size(node, s, fd, &st, errp) ||
        !find_align(node, s, fd, errp) || !choose_engine(node, s, errp) ||
        !settle_locking(s, fd, errp)) {
        return false;
    }
    node->filename = g_strdup(s->filename);
    s->fd = fd_steal(&fd);
    return true;
}

static bool file_open(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp)
{
    return file_open_kind(node, false, errp);
}

static bool host_device_open(BlockNode *node, Opts *opts G_GNUC_UNUSED, GError **errp)
{
    return file_open_kind(node, true, errp);
}

static bool file_lock(BlockNode *node, BlockAccess from, BlockAccess to, GError **errp)
{
    FileState *s = node->state;

    return s->locking == LOCKING_OFF || image_lock_change(s->fd, s->filename, from, to, errp);
}

static void file_close(BlockNode *node)
{
    FileState *s = node->state;

    /* The kernel may have the file for a while yet: a ring is closed in the background. */
    file_lock(node, node->access, (BlockAccess){ 0 }, NULL);
    fd_clear(&s->fd);
}

/* --- running --- */

/* For the few requests of opening and closing it makes no difference, so it isn't said then. */
static bool file_attach(BlockNode *node, Loop *loop, GError **errp)
{
    FileState *s = node->state;
    const BlockEngineType *fallback = block_engine_find(node->graph, "threads");
    BlockSpares *spares = node->graph->spares;
    g_autoptr(GError) err = NULL;

    file_io_init(&s->io, s->fd); /* what it can't find out, the engine will say */
    s->running = s->engine_type;
    s->engine = s->running->start(loop, s->fd, spares, &err);
    if (!s->engine && fallback && fallback != s->running) {
        if (loop != node->graph->setup_loop) {
            log_line(s->filename, "%s; using aio=%s", err->message, fallback->name);
            s->engine_type = fallback;
        }
        g_clear_error(&err);
        s->running = fallback;
        s->engine = fallback->start(loop, s->fd, spares, &err);
    }
    if (!s->engine) {
        return error_set(errp, "Block node '%s': %s", node->name, err->message);
    }
    return true;
}

static void file_detach(BlockNode *node)
{
    FileState *s = node->state;

    s->running->stop(g_steal_pointer(&s->engine));
}

static void file_submit(BlockNode *node, BlockReq *req)
{
    FileState *s = node->state;

    s->running->submit(s->engine, req);
}

static size_t file_read_now(BlockNode *node, uint64_t offset, const struct iovec *iov,
                            unsigned niov)
{
    FileState *s = node->state;

    return file_io_read_now(&s->io, offset, iov, niov);
}

static void file_cancel(BlockNode *node, BlockReq *req)
{
    FileState *s = node->state;

    if (s->running->cancel) {
        s->running->cancel(s->engine, req);
    }
}

static const char *file_filename(const BlockNode *node)
{
    const FileState *s = node->state;

    return s->filename;
}

/* The sandbox lets a process with a monitor call it. */
static int64_t file_allocated(const BlockNode *node)
{
    const FileState *s = node->state;
    struct statx stx;

    if (statx(s->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BLOCKS, &stx) < 0) {
        return -errno;
    }
    return (int64_t)stx.stx_blocks * 512; /* whatever the file system's are */
}

static int file_host_fd(const BlockNode *node)
{
    const FileState *s = node->state;

    return s->fd;
}

const BlockDriver block_file_driver = {
    .name = "file",
    .state_size = sizeof(FileState),
    .opts = file_opts,
    .open = file_open,
    .close = file_close,
    .attach = file_attach,
    .detach = file_detach,
    .submit = file_submit,
    .cancel = file_cancel,
    .read_now = file_read_now,
    .lock = file_lock,
    .filename = file_filename,
    .allocated = file_allocated,
    .can_resize = true,
};

const BlockDriver block_host_device_driver = {
    .name = "host_device",
    .state_size = sizeof(FileState),
    .opts = file_opts,
    .open = host_device_open,
    .close = file_close,
    .attach = file_attach,
    .detach = file_detach,
    .submit = file_submit,
    .cancel = file_cancel,
    .read_now = file_read_now,
    .lock = file_lock,
    .filename = file_filename,
    .allocated = file_allocated,
    .host_fd = file_host_fd,
};
