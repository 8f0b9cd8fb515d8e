/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between guest-memory.c and guest-memory-sigbus.c only. */
#ifndef HW_CORE_GUEST_MEMORY_INT_H
#define HW_CORE_GUEST_MEMORY_INT_H

#include "hw/core/guest-memory.h"

/* Is addr inside a mapping of mem, one that is only pinned yet included? Then zero pages are put
 * over the whole mapping and its region is dead. Signal-safe. */
bool guest_memory_torn(GuestMemory *mem, const void *addr);
/* mem is about to be freed on this thread. */
void guest_memory_thread_forget(const GuestMemory *mem);

#endif
