/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What -object makes: named things that are neither devices nor block nodes, such as the end of a
 * connection that serves a device. All on the main thread.
 *
 * An object lives in steps, so that an error in any option leaves nothing behind: create() only
 * looks (properties, devices, descriptors) and claims; acquire() takes what has a name in the file
 * system, which is closed to the process after that; prepare() what else may be refused (threads);
 * serve() can't fail any more. Each step is done for every object before the next one begins.
 */
#ifndef SYSTEM_OBJECT_H
#define SYSTEM_OBJECT_H

#include "hw/core/device.h"
#include "util/sandbox.h"

typedef struct Object Object;
typedef struct ObjectSet ObjectSet;

typedef struct ObjectType {
    const char *name;     /* qom-type= */
    const char *desc;     /* one line for -object help */
    const char *protocol; /* that it serves a device with; NULL: it serves none */
    const OptDesc *props; /* offsets into obj->state; ended by OPT_END */
    size_t size;          /* of obj->state */
    bool early;           /* made before block nodes, which refer to it; serves nobody */
    /* Properties and obj->id are set. False and an error: destroy() does not follow. */
    bool (*create)(Object *obj, GError **errp);
    /* Opens sockets and files, and tells obj->set->needs what of them is needed later. Optional.
     * False and an error: destroy() follows. */
    bool (*acquire)(Object *obj, GError **errp);
    /* False and an error: destroy() follows. */
    bool (*prepare)(Object *obj, GError **errp);
    /* Starts to serve. object_ended() is called when it is over. */
    void (*serve)(Object *obj);
    /* Come to an orderly end soon: object_ended() follows, also from within. May be called at any
     * time after serve(), once. */
    void (*stop)(Object *obj);
    /* Gives everything back; has ended, or never served. */
    void (*destroy)(Object *obj);
} ObjectType;

/* How long a thread that serves a device looks for events before it sleeps: arguments of
 * loop_set_polling(). Of an object that serves, and of the machine for what such an object leaves
 * at -1. The properties' names are those of QEMU's iothread. */
typedef struct PollingProps {
    int32_t max_ns, grow, shrink;
} PollingProps;

/* For OptDesc arrays; type_: the state's, member: the PollingProps in it, lowest: of values, note_:
 * the end of the help texts. What follows are defaults. */
#define POLLING_PROPS(type_, member, lowest, note_, max_ns_, grow_, shrink_)                       \
    { .name = "poll-max-ns",                                                                       \
      .type = OPT_I32,                                                                             \
      .offset = offsetof(type_, member.max_ns),                                                    \
      .min = lowest,                                                                               \
      .max = 1000000000,                                                                           \
      .def = max_ns_,                                                                              \
      .help = "longest time to look for events before a sleep; 0: none" note_ },                   \
        { .name = "poll-grow",                                                                     \
          .type = OPT_I32,                                                                         \
          .offset = offsetof(type_, member.grow),                                                  \
          .min = lowest,                                                                           \
          .max = INT32_MAX,                                                                        \
          .def = grow_,                                                                            \
          .help = "factor by which that time grows; 0: 2" note_ },                                 \
    {                                                                                              \
        .name = "poll-shrink", .type = OPT_I32, .offset = offsetof(type_, member.shrink),          \
        .min = lowest, .max = INT32_MAX, .def = shrink_,                                           \
        .help = "divisor by which it shrinks; 0: to nothing at once" note_                         \
    }

/* What a wake-up by another CPU takes in a VM. On one with faster ones less is used of it: the
 * window grows only as far as it pays. */
#define POLLING_MAX_NS 131072
#define POLLING_GROW 0
#define POLLING_SHRINK 2

struct Object {
    const ObjectType *type;
    ObjectSet *set;
    char *id;
    char *origin;   /* "-object VALUE", for errors of later steps */
    Device *device; /* that it serves: chosen by the machine, or NULL until create() looks it up */
    void *state;
    bool created;
    bool live; /* serves, and has not ended */
    bool ended;
    /* object_remove(): who waits for the end; or NULL */
    void (*removed)(void *opaque);
    void *removed_opaque;
};

typedef struct ObjectSetOps {
    /* The last object that served has ended, by itself or by object_set_stop(). */
    void (*all_ended)(void *opaque);
    /* The client of an object that serves a device is gone. */
    void (*client_gone)(void *opaque, Object *obj);
} ObjectSetOps;

struct ObjectSet {
    const ObjectType *const *types; /* the registry's, NULL-terminated */
    GPtrArray *objects;             /* Object *, owned, in order of creation */
    DeviceTree *devices;            /* not owned */
    SandboxNeeds *needs;            /* not owned */
    bool sealed;                    /* nothing is opened by name any more: the sandbox is on */
    /* the machine's properties, from acquire() on */
    bool vfio_user, auto_shutdown;
    PollingProps polling; /* the usual ones where the machine has none */
    unsigned live;        /* served and not ended */
    bool violation;       /* what ended last did, for its client broke the protocol */
    const ObjectSetOps *ops;
    void *opaque;
};

ObjectSet *object_set_new(const ObjectType *const *types, DeviceTree *devices, SandboxNeeds *needs,
                          const ObjectSetOps *ops, void *opaque);
/* Destroys the objects in reverse order of creation. */
void object_set_free(ObjectSet *set);

const ObjectType *object_type_find(const ObjectSet *set, const char *name);
/* opts: qom-type=, id= and the type's properties. device: as Object.device. Unknown type or
 * property, an id used twice, what create() refuses: NULL and an error. origin: copied. */
Object *object_new(ObjectSet *set, Opts *opts, Device *device, const char *origin, GError **errp);
Object *object_find(const ObjectSet *set, const char *id);

/* acquire(), prepare() of each object. An error has the object's origin in front. */
bool object_set_acquire(ObjectSet *set, GError **errp);
bool object_set_prepare(ObjectSet *set, GError **errp);
void object_set_serve(ObjectSet *set);
void object_set_stop(ObjectSet *set);
/* An object that came later: acquire(), prepare() and serve() of it. False and an error, and it is
 * gone. */
bool object_start(Object *obj, GError **errp);
/* Ends it, if it has not ended, and destroys it; then removed(), from the main loop. Once. */
void object_remove(Object *obj, void (*removed)(void *opaque), void *opaque);
/* For types: see serve() and stop(). */
void object_ended(Object *obj);

/* An identifier as QEMU takes it: letters, digits, '-', '.', '_', beginning with a letter. False
 * and an error if id is NULL or none. */
bool object_id_check(const char *id, GError **errp);

extern const ObjectType remote_object_type;    /* x-remote-object */
extern const ObjectType vfio_user_object_type; /* x-vfio-user-server */
extern const ObjectType memory_backend_type;   /* memory-backend-memfd */
extern const ObjectType throttle_group_type;   /* throttle-group */
extern const ObjectType tls_creds_x509_type;   /* tls-creds-x509 */
extern const ObjectType tls_creds_psk_type;    /* tls-creds-psk */
extern const ObjectType sandbox_test_type;     /* x-sandbox-test */

#endif
