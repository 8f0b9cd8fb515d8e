/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the device is, and access to its regions: config space and BARs by offset.
 *
 * A region that isn't there is described with size 0 rather than refused, as clients ask for all
 * of them and take an error for the device's. The argsz protocol: who leaves too little room gets
 * the fixed part, with the size that he should leave.
 *
 * Writes are mostly posted: no answer, and errors are seen in the log alone. The entries of a
 * REGION_WRITE_MULTI are the same as so many messages, so the work that one defers runs before the
 * next. While a reset is still under way that the client has given up on, registers are out of
 * reach: the device must not be started again under its own drain.
 */
#include "remote/vfio-user-internal.h"
#include <errno.h>
#include <string.h>

/* --- what there is --- */

int vfu_do_get_info(VfioUserServer *server, const VfuRequest *req)
{
    VfuDeviceInfo info;

    memcpy(&info, req->payload, sizeof(info));
    if (info.argsz < sizeof(info)) {
        return -EINVAL;
    }
    info = (VfuDeviceInfo){
        .argsz = sizeof(info),
        .flags = VFU_DEVICE_RESETS | VFU_DEVICE_PCI,
        .num_regions = VFU_REGIONS,
        .num_irqs = VFU_IRQS,
    };
    memcpy(vfu_answer(server, sizeof(info)), &info, sizeof(info));
    return 0;
}

/* Flags are those of VFIO; a region that can be mapped in parts has a capability, too. */
static uint32_t region_flags(const MachineRegion *region)
{
    uint32_t flags = 0;

    if (region->flags & MACHINE_READ) {
        flags |= VFU_REGION_F_READ;
    }
    if (region->flags & MACHINE_WRITE) {
        flags |= VFU_REGION_F_WRITE;
    }
    if (region->flags & MACHINE_MMAP) {
        flags |= VFU_REGION_F_MMAP | (region->map.n_areas > 0 ? VFU_REGION_F_CAPS : 0);
    }
    return flags;
}

static void put_areas(uint8_t *to, const PciBarMap *map)
{
    VfuSparseMmap cap = { .id = VFU_CAP_SPARSE_MMAP, .version = 1, .nr_areas = map->n_areas };

    memcpy(to, &cap, sizeof(cap));
    to += sizeof(cap);
    for (unsigned i = 0; i < map->n_areas; i++) {
        VfuArea area = { .offset = map->area[i].offset, .size = map->area[i].size };

        memcpy(to, &area, sizeof(area));
        to += sizeof(area);
    }
}

int vfu_do_get_region_info(VfioUserServer *server, const VfuRequest *req)
{
    static const MachineRegion none;
    const MachineRegion *region = &none;
    VfuRegionInfo info;
    uint32_t room, need = sizeof(info);
    uint8_t *to;

    memcpy(&info, req->payload, sizeof(info));
    room = info.argsz;
    if (room < sizeof(info)) {
        return -EINVAL;
    }
    if (info.index < VFU_REGIONS) {
        region = &server->desc.region[info.index];
    }
    info = (VfuRegionInfo){ .index = info.index, .size = region->size };
    info.flags = region_flags(region);
    if (info.flags & VFU_REGION_F_MMAP) {
        info.offset = region->map.offset;
        server->out_fd = region->map.fd;
    }
    if (info.flags & VFU_REGION_F_CAPS) {
        need += sizeof(VfuSparseMmap) + region->map.n_areas * sizeof(VfuArea);
        info.cap_offset = sizeof(info);
    }
    info.argsz = need;
    to = vfu_answer(server, room < need ? sizeof(info) : need);
    memcpy(to, &info, sizeof(info));
    if (need > sizeof(info) && room >= need) {
        put_areas(to + sizeof(info), &region->map);
    }
    return 0;
}

/* --- access --- */

static int access_check(const VfioUserServer *server, const VfuRegionAccess *access)
{
    const MachineRegion *region = &server->desc.region[access->region % VFU_REGIONS];

    if (access->region >= VFU_REGIONS || access->count == 0 || access->count > VFU_MAX_DATA ||
        access->offset >= region->size || access->count > region->size - access->offset) {
        return -EINVAL;
    }
    return server->resetting ? -EBUSY : 0;
}

int vfu_do_region_read(VfioUserServer *server, const VfuRequest *req)
{
    VfuRegionAccess access;
    uint8_t *to;
    int ret;

    memcpy(&access, req->payload, sizeof(access));
    ret = access_check(server, &access);
    if (ret < 0) {
        return ret;
    }
    to = vfu_answer(server, sizeof(access) + access.count);
    memcpy(to, &access, sizeof(access));
    return machine_region_read(server->m, access.region, access.offset, to + sizeof(access),
                               access.count)
               ? 0
               : -EINVAL;
}

static int write_region(VfioUserServer *server, const VfuRegionAccess *access, const uint8_t *data)
{
    int ret = access_check(server, access);

    if (ret == 0 &&
        !machine_region_write(server->m, access->region, access->offset, data, access->count)) {
        ret = -EINVAL;
    }
    return ret;
}

int vfu_do_region_write(VfioUserServer *server, const VfuRequest *req)
{
    VfuRegionAccess access;
    int ret;

    memcpy(&access, req->payload, sizeof(access));
    if (access.count > req->len - sizeof(access)) {
        return -EINVAL;
    }
    ret = write_region(server, &access, req->payload + sizeof(access));
    if (ret == 0) {
        memcpy(vfu_answer(server, sizeof(access)), &access, sizeof(access));
    }
    return ret;
}

/* A bad entry doesn't keep the others from being done: as messages of their own, they would be. */
int vfu_do_region_write_multi(VfioUserServer *server, const VfuRequest *req)
{
    const uint8_t *at = req->payload + sizeof(uint64_t);
    uint64_t n;
    int ret = 0;

    memcpy(&n, req->payload, sizeof(n));
    if (!server->write_multiple) {
        return -ENOTSUP;
    }
    if (n > (req->len - sizeof(n)) / sizeof(VfuMultiEntry)) {
        return -EINVAL;
    }
    for (uint64_t i = 0; i < n; i++, at += sizeof(VfuMultiEntry)) {
        VfuMultiEntry entry;
        int err = -EINVAL;

        memcpy(&entry, at, sizeof(entry));
        if (entry.count <= VFU_MULTI_DATA) {
            VfuRegionAccess access = { entry.offset, entry.region, entry.count };

            err = write_region(server, &access, entry.data);
            loop_run_deferred(server->m->loop);
        }
        ret = ret ? ret : err;
    }
    if (ret == 0) {
        memcpy(vfu_answer(server, sizeof(n)), &n, sizeof(n));
    }
    return ret;
}
