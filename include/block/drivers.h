/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The block drivers: what the registry needs. */
#ifndef BLOCK_DRIVERS_H
#define BLOCK_DRIVERS_H

#include "block/block.h"

extern const BlockDriver block_file_driver; /* file, host_device by the same code */
extern const BlockDriver block_host_device_driver;
extern const BlockDriver block_raw_driver;          /* raw */
extern const BlockDriver block_qcow2_driver;        /* qcow2 */
extern const BlockDriver block_throttle_driver;     /* throttle */
extern const BlockDriver block_copy_on_read_driver; /* copy-on-read */
extern const BlockDriver block_null_co_driver;      /* null-co */
extern const BlockDriver block_blkdebug_driver;     /* blkdebug */
extern const BlockDriver block_blklogwrites_driver; /* blklogwrites */

/* What images of it need where they are files, also of those that come later. */
extern const SandboxCalls qcow2_sandbox;

/* In modules. */
extern const BlockDriver block_nbd_driver; /* nbd */
extern const BlockDriver block_rbd_driver; /* rbd */

#endif
