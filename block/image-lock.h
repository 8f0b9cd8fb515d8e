/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Image locks on an open file, as docs/devel/image-locks.md describes them. */
#ifndef BLOCK_IMAGE_LOCK_H
#define BLOCK_IMAGE_LOCK_H

#include "block/block.h"

/* Changes the locks on fd's open file description from those of one access to those of another.
 * False and an error that names the file, with nothing changed, if someone else's are in the way;
 * giving up what one has never fails. Any thread. */
bool image_lock_change(int fd, const char *filename, BlockAccess from, BlockAccess to,
                       GError **errp);

/* Has the file's file system such locks? 0 or -errno. */
int image_lock_probe(int fd);

#endif
