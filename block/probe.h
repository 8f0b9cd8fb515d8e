/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Image formats by their first bytes, for a -drive without format=. */
#ifndef BLOCK_PROBE_H
#define BLOCK_PROBE_H

#include "block/block.h"

/* Bytes at the start of an image that tell its format. */
#define PROBE_BYTES 512

/* Name of the format that head (PROBE_BYTES of it; zeros where the image is shorter) shows, or
 * NULL if it can only be raw. */
const char *probe_format(const uint8_t *head);
/* The same of a file; NULL also if it can't be read, which its driver will report. */
const char *probe_path(BlockGraph *graph, const char *path);
/* Is there a block device at path? */
bool probe_is_device(BlockGraph *graph, const char *path);
/* Sets file.driver and file.filename for what is at path. */
void probe_set_file(BlockGraph *graph, Opts *opts, const char *path);
/* Does this writing request change only a part of the first PROBE_BYTES? */
bool probe_partial(const BlockReq *req);

#endif
