/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first conversation with a remote, in the order in which QEMU's own proxy has it, as that is
 * what a remote has been tested with: vendor, device, class, subsystem; then each BAR is sized.
 *
 * The answers become sizes and masks of the board's address decoding, so they are checked: the
 * address bits of a BAR must be one run up to bit 31. An I/O BAR may leave the upper half zero,
 * which an x86 needs no more than the lower. One below 16 bytes is taken for 16, the board's least
 * (the address that the guest programs still has its lower bits in the remote). A 64-bit BAR is
 * decoded below 4 GiB: its upper half is no BAR, and the guest that leaves it 0 sees no difference.
 */
#include "proxy-probe.h"
#include "util/error.h"
#include "util/log.h"
#include <string.h>

#define BAR_SIZE_MIN 16u
#define BAR_IO 0x1u
#define BAR_TYPE 0x6u
#define BAR_TYPE_64 0x4u
#define BAR_MEM_FLAGS 0xfu
#define BAR_IO_FLAGS 0x3u
#define NO_FUNCTION 0xffffu /* vendor id of an empty slot */

bool proxy_no_answer(const ProxyClient *client, GError **errp)
{
    if (!proxy_link_is_open(&client->link)) {
        return error_set(errp, "the remote has hung up, or sent what is no reply");
    }
    return error_set(errp, "the remote does not answer, or refuses what every function has");
}

static bool read_into(ProxyClient *client, PciDev *pci, unsigned addr, GError **errp)
{
    uint32_t value;

    if (!proxy_cfg_read(client, addr, 2, &value)) {
        return proxy_no_answer(client, errp);
    }
    pci->config[addr] = value;
    pci->config[addr + 1] = value >> 8;
    return true;
}

bool proxy_probe_ids(ProxyClient *client, PciDev *pci, GError **errp)
{
    static const uint8_t where[] = { PCI_VENDOR_ID, PCI_DEVICE_ID, PCI_CLASS_DEVICE,
                                     PCI_SUBSYS_ID };

    for (unsigned i = 0; i < G_N_ELEMENTS(where); i++) {
        if (!read_into(client, pci, where[i], errp)) {
            return false;
        }
    }
    if ((pci->config[PCI_VENDOR_ID] | pci->config[PCI_VENDOR_ID + 1] << 8) == NO_FUNCTION) {
        return error_set(errp, "the remote has no PCI function");
    }
    return true;
}

/* sized: what a BAR reads back after all ones were written. */
static bool decode(unsigned i, uint32_t sized, PciBar *bar, GError **errp)
{
    bool io = sized & BAR_IO;
    uint32_t mask = sized & ~(io ? BAR_IO_FLAGS : BAR_MEM_FLAGS);

    memset(bar, 0, sizeof(*bar));
    if (mask == 0) {
        return true;
    }
    if (io && mask >> 16 == 0) {
        mask |= 0xffff0000u;
    }
    if (~mask & (~mask + 1)) {
        return error_set(errp, "BAR %u of the remote reads %08x when sized", i, sized);
    }
    bar->kind = io ? PCI_BAR_IO : PCI_BAR_MEM32;
    bar->size = MAX(-mask, BAR_SIZE_MIN);
    bar->min = 1;
    bar->max = 8;
    return true;
}

bool proxy_probe_bars(ProxyClient *client, PciBar *bars, GError **errp)
{
    bool upper_half = false;

    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        uint32_t sized;

        if (!client->ops->bar_sized(client, i, &sized)) {
            return proxy_no_answer(client, errp);
        }
        if (upper_half) {
            upper_half = false;
            memset(&bars[i], 0, sizeof(bars[i]));
            continue;
        }
        if (!decode(i, sized, &bars[i], errp)) {
            return false;
        }
        upper_half = !(sized & BAR_IO) && (sized & BAR_TYPE) == BAR_TYPE_64;
        if (upper_half) {
            log_line(client->link.name, "BAR %u has 64 bits; it is decoded below 4 GiB", i);
        }
    }
    return true;
}
