/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What -device makes: an instance of a type from the registry, with properties, on a bus, with an
 * id. This is the set-up side only (main thread); the running state is the instance, whose first
 * member is PciDev or ScsiDev after the bus it sits on.
 */
#ifndef HW_CORE_DEVICE_H
#define HW_CORE_DEVICE_H

#include "util/opts.h"

typedef struct Device Device;
typedef struct Bus Bus;
typedef struct BlockGraph BlockGraph;

#define BUS_PCI "PCI"
#define BUS_SCSI "SCSI"

typedef struct DeviceType {
    const char *name;       /* "lsi53c895a" */
    const char *alias;      /* second name or NULL */
    const char *desc;       /* one line for -device help */
    const char *bus_kind;   /* BUS_PCI: the instance begins with PciDev; BUS_SCSI: with ScsiDev */
    const char *child_kind; /* kind of the bus it offers, named ID.0; or NULL */
    const OptDesc *props;   /* offsets into the instance; ended by OPT_END */
    size_t size;            /* of the instance */
    /* Main thread, properties set. Checks them, opens what it needs, announces itself on
     * dev->bus->impl; sets dev->child->impl if it offers a bus. False and an error: device_free()
     * follows without unrealize. */
    bool (*realize)(Device *dev, GError **errp);
    /* Main thread; nothing is in flight any more. */
    void (*unrealize)(Device *dev);
    /* Optional, both or neither; for buses that can be changed while a thread runs them, on that
     * thread. plug: after realize, which leaves the running side alone. False and an error: it is
     * unrealized. */
    bool (*plug)(Device *dev, GError **errp);
    /* Takes no new work, ends what it has, flushes; then gone(), from the loop, once. unrealize
     * follows. */
    void (*unplug)(Device *dev, void (*gone)(void *opaque), void *opaque);
} DeviceType;

struct Bus {
    const char *kind;
    char *name;
    Device *owner;       /* NULL: the root bus */
    void *impl;          /* ScsiBus * for BUS_SCSI; NULL for the root PCI bus */
    GPtrArray *children; /* Device *, not owned */
};

struct Device {
    const DeviceType *type;
    char *id;   /* NULL if none was given */
    Bus *bus;   /* where it sits */
    Bus *child; /* or NULL */
    void *state;
    bool realized;
    const char *bound;  /* id of the object that serves it; NULL: none does */
    bool leaving; /* the main thread's: is being removed, and nobody starts anything with it */
    BlockGraph *blocks;
};

/* Every device and bus of the process; owned by system/. */
typedef struct DeviceTree {
    const DeviceType *const *types; /* the registry's, NULL-terminated */
    GPtrArray *devices;             /* Device *, owned, in order of creation */
    GPtrArray *buses;               /* Bus *, owned by the tree */
    BlockGraph *blocks;             /* for drive= properties; not owned */
} DeviceTree;

/* The stock remote machine's name for its root PCI bus; bus_find() takes BUS_ROOT_ALIAS, the usual
 * board's, for it as well. */
#define BUS_ROOT_NAME "remote-pci"
#define BUS_ROOT_ALIAS "pci.0"

/* With the root PCI bus in it. types: every member but alias, child_kind is required. */
DeviceTree *device_tree_new(const DeviceType *const *types, BlockGraph *blocks);
/* Unrealizes and frees in the reverse order of creation. */
void device_tree_free(DeviceTree *tree);

const DeviceType *device_type_find(const DeviceTree *tree, const char *name);
/* opts: driver=, id=, bus= and the type's properties. Unknown type, property or bus, an id used
 * twice, a value out of range, a realize error: NULL and an error, and the tree is as before.
 * Without bus=: the newest bus of the right kind, as in the stock, so that a -device of a disk
 * goes to the adapter named last before it. */
Device *device_new(DeviceTree *tree, Opts *opts, GError **errp);
/* Unrealizes and frees dev, which has no children, is not bound, and has been unplugged if its bus
 * runs. */
void device_del(DeviceTree *tree, Device *dev);
Device *device_find(const DeviceTree *tree, const char *id);
Bus *bus_find(const DeviceTree *tree, const char *name);
/* id, or the type's name; for messages. */
const char *device_name(const Device *dev);

#endif
