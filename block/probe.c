/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guessing an image's format, and why a guess needs a guard. Where format= is not given, the image
 * is what its first bytes are the signature of, and raw if they are none; a format that this build
 * has no driver for is refused. But the first bytes of a raw image are the guest's to write: it
 * could put a qcow2 header there that names any file of the host as backing file, and whoever opens
 * the image next without format= would read that file to it. So on a node whose format was guessed
 * as raw, a write that would leave a signature behind fails (EPERM), and so does one that changes
 * only a part of the first PROBE_BYTES, as that may complete one. With format=raw nothing of this
 * applies.
 *
 * The signatures are those of the formats that QEMU's tools know and that sit at the start of the
 * file.
 */
#include "block/probe.h"
#include "block/graph.h"
#include "util/fd.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct Signature {
    const char *format;
    uint16_t offset;
    uint8_t len;
    const char *bytes;
} signatures[] = {
    { "qcow", 0, 4, "QFI\xfb" }, /* qcow2 as well, told apart by a version */
    { "qed", 0, 4, "QED\0" },
    { "vmdk", 0, 4, "KDMV" },
    { "vmdk", 0, 4, "COWD" },
    { "vmdk", 0, 21, "# Disk DescriptorFile" },
    { "vdi", 64, 4, "\x7f\x10\xda\xbe" },
    { "vhdx", 0, 8, "vhdxfile" },
    { "vpc", 0, 8, "conectix" },
    { "parallels", 0, 16, "WithoutFreeSpace" },
    { "parallels", 0, 16, "WithouFreSpacExt" },
    { "luks", 0, 6, "LUKS\xba\xbe" },
    { "bochs", 0, 22, "Bochs Virtual HD Image" },
    { "cloop", 0, 24, "#!/bin/sh\n#V2.0 Format\n" },
};

const char *probe_format(const uint8_t *head)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(signatures); i++) {
        const struct Signature *s = &signatures[i];

        if (!memcmp(head + s->offset, s->bytes, s->len)) {
            if (!strcmp(s->format, "qcow")) {
                return head[7] >= 2 ? "qcow2" : "qcow";
            }
            return s->format;
        }
    }
    return NULL;
}

const char *probe_path(BlockGraph *graph, const char *path)
{
    AUTO_FD fd = block_open_path(graph, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint8_t head[PROBE_BYTES] = { 0 };

    return fd >= 0 && pread(fd, head, sizeof(head), 0) > 0 ? probe_format(head) : NULL;
}

bool probe_is_device(BlockGraph *graph, const char *path)
{
    AUTO_FD fd = block_open_path(graph, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    return fd >= 0 && fd_stat(fd, &st) == 0 && S_ISBLK(st.st_mode);
}

void probe_set_file(BlockGraph *graph, Opts *opts, const char *path)
{
    opts_set(opts, "file.driver", probe_is_device(graph, path) ? "host_device" : "file");
    opts_set(opts, "file.filename", path);
}

bool probe_partial(const BlockReq *req)
{
    return req->bytes && req->offset < PROBE_BYTES && (req->offset > 0 || req->bytes < PROBE_BYTES);
}
