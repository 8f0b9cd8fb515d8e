/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block nodes as QMP shows them. On the node's thread; on main, if no machine has it. */
#ifndef MONITOR_BLOCK_JSON_H
#define MONITOR_BLOCK_JSON_H

#include "block/block.h"
#include "monitor/schema.h"

extern const QmpType block_node_type;  /* BlockDeviceInfo */
extern const QmpType block_stats_type; /* BlockStats */

/* flat: without what its backing images are. */
json_t *block_node_json(const BlockNode *node, bool flat);
/* With those of the nodes below, and of its backing images if chain is set; NULL: of a drive
 * without a medium. */
json_t *block_stats_json(const BlockNode *node, bool chain);

#endif
