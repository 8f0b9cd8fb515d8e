/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-remote: each connection, who is on it and what it has done.
 *
 * The counters are plain fields that the connection's thread writes; it copies them when asked, and
 * does no more than that, so that a monitor that asks all the time costs the guest's I/O nothing
 * that could be measured. JSON is made of the copy on the main thread.
 *
 * Main thread but where said.
 */
#include "monitor/call.h"
#include "system/monitors.h"
#include "system/served.h"
#include <string.h>

#define REGIONS_MAX 64 /* that are told one by one */

/* --- types --- */

/* clang-format off */

static QMP_STRUCT(region_type, "RemoteMemoryRegion",
    QMP_MEMBER("gpa", qmp_int, "guest physical address"),
    QMP_MEMBER("size", qmp_int, "bytes"));
static QMP_LIST(regions_type, "[RemoteMemoryRegion]", region_type);
static QMP_STRUCT(message_type, "RemoteMessageCount",
    QMP_MEMBER("name", qmp_str, "of the protocol's message"),
    QMP_MEMBER("count", qmp_int, NULL));
static QMP_LIST(messages_type, "[RemoteMessageCount]", message_type);
static QMP_STRUCT(bar_type, "RemoteBarCount",
    QMP_MEMBER("bar", qmp_int, NULL),
    QMP_MEMBER("reads", qmp_int, NULL),
    QMP_MEMBER("writes", qmp_int, NULL));
static QMP_LIST(bars_type, "[RemoteBarCount]", bar_type);
static QMP_CHOICE(protocol_type, "RemoteProtocol", "mpqemu", "vfio-user");
static QMP_CHOICE(state_type, "RemoteState", "waiting", "connected", "ended");
static QMP_STRUCT(remote_type, "RemoteInfo",
    QMP_MEMBER("id", qmp_str, "of the object"),
    QMP_MEMBER("protocol", protocol_type, NULL),
    QMP_MEMBER("device", qmp_str, "that is served"),
    QMP_MEMBER("driver", qmp_str, "of the device"),
    QMP_MEMBER("state", state_type, "waiting: for a client; ended: there will be none any more"),
    QMP_OPTIONAL("peer-pid", qmp_int, "of the client, also of one that has left"),
    QMP_OPTIONAL("path", qmp_str, "that is listened on"),
    QMP_MEMBER("memory-regions", regions_type, "the guest's RAM as the client has mapped it"),
    QMP_MEMBER("messages", messages_type, "received from this client; those that came"),
    QMP_MEMBER("config-reads", qmp_int, "of config space"),
    QMP_MEMBER("config-writes", qmp_int, NULL),
    QMP_MEMBER("bars", bars_type, "accesses to registers; the BARs that had any"),
    QMP_MEMBER("interrupts", qmp_int, "signalled to this client"),
    QMP_MEMBER("slowest-turn-ns", qmp_int,
               "the longest that the thread was at work without a look at this client's socket"),
    QMP_MEMBER("errors", qmp_int, "messages or descriptors that were refused"),
    QMP_OPTIONAL("last-error", qmp_str, NULL));
static QMP_LIST(remotes_type, "[RemoteInfo]", remote_type);

static QMP_STRUCT(hangup_data, "q_obj_VFU_CLIENT_HANGUP-arg",
    QMP_MEMBER("vfu-id", qmp_str, "id of the object"),
    QMP_MEMBER("vfu-qom-path", qmp_str, NULL),
    QMP_MEMBER("dev-id", qmp_str, "id of the device"),
    QMP_MEMBER("dev-qom-path", qmp_str, NULL));
/* clang-format on */

/* --- query-remote --- */

typedef struct RemoteCopy {
    const RemoteMachine *machine;
    RemoteMessageName *message_name;
    json_t *info; /* what the main thread knows */
    /* the connection's thread fills in */
    RemoteCounters counters;
    GuestMap region[REGIONS_MAX];
    unsigned n_regions;
} RemoteCopy;

static void run_copy(CallPart *part)
{
    RemoteCopy *copy = part->data;
    const GuestMemory *mem = copy->machine->mem;

    copy->counters = machine_counters(copy->machine);
    while (copy->n_regions < REGIONS_MAX &&
           guest_memory_region(mem, copy->n_regions, &copy->region[copy->n_regions])) {
        copy->n_regions++;
    }
    call_done(part);
}

static json_t *messages_json(const RemoteCopy *copy)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < REMOTE_MESSAGES; i++) {
        const char *name = copy->message_name(i);

        if (name && copy->counters.messages[i]) {
            json_array_append_new(list, json_pack("{s:s, s:I}", "name", name, "count",
                                                  (json_int_t)copy->counters.messages[i]));
        }
    }
    return list;
}

static json_t *bars_json(const RemoteCounters *counters)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        if (counters->bar_reads[i] || counters->bar_writes[i]) {
            json_array_append_new(list, json_pack("{s:i, s:I, s:I}", "bar", i, "reads",
                                                  (json_int_t)counters->bar_reads[i], "writes",
                                                  (json_int_t)counters->bar_writes[i]));
        }
    }
    return list;
}

static json_t *regions_json(const RemoteCopy *copy)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < copy->n_regions; i++) {
        json_array_append_new(list, json_pack("{s:I, s:I}", "gpa", (json_int_t)copy->region[i].gpa,
                                              "size", (json_int_t)copy->region[i].size));
    }
    return list;
}

static json_t *copy_json(const RemoteCopy *copy)
{
    const RemoteCounters *counters = &copy->counters;
    json_t *info = json_incref(copy->info);

    json_object_set_new(info, "memory-regions", regions_json(copy));
    json_object_set_new(info, "messages", messages_json(copy));
    json_object_set_new(info, "config-reads", json_integer(counters->cfg_reads));
    json_object_set_new(info, "config-writes", json_integer(counters->cfg_writes));
    json_object_set_new(info, "bars", bars_json(counters));
    json_object_set_new(info, "interrupts", json_integer(counters->interrupts));
    json_object_set_new(info, "slowest-turn-ns", json_integer(counters->slowest_turn_ns));
    json_object_set_new(info, "errors", json_integer(counters->errors));
    if (counters->last_error[0]) {
        g_autofree char *valid = g_utf8_make_valid(counters->last_error, -1);
        json_object_set_new(info, "last-error", json_string(valid));
    }
    return info;
}

static void copied(QmpRequest *req, const GPtrArray *parts)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < parts->len; i++) {
        const CallPart *part = g_ptr_array_index(parts, i);
        json_array_append_new(list, copy_json(part->data));
    }
    qmp_return(req, list);
}

static void copy_free(void *opaque)
{
    RemoteCopy *copy = opaque;

    json_decref(copy->info);
    g_free(copy);
}

static json_t *known_json(const Object *obj, const Connection *conn)
{
    const Served *served = obj->state;
    const char *state = obj->ended ? "ended" : connection_busy(conn) ? "connected" : "waiting";
    json_t *info = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", obj->id, "protocol",
                             connection_protocol(conn), "device", device_name(obj->device),
                             "driver", obj->device->type->name, "state", state);

    if (connection_peer(conn) > 0) {
        json_object_set_new(info, "peer-pid", json_integer(connection_peer(conn)));
    }
    if (served->listener.fd >= 0 && served->path) {
        g_autofree char *valid = g_utf8_make_valid(served->path, -1);
        json_object_set_new(info, "path", json_string(valid));
    }
    return info;
}

static void do_query_remote(QmpRequest *req)
{
    static const CallKind kind = { .run = run_copy, .finish = copied, .release = copy_free };
    const GPtrArray *objects = qmp_system(req)->objects->objects;
    MonitorCall *call = call_new(req, &kind);

    for (unsigned i = 0; i < objects->len; i++) {
        const Object *obj = g_ptr_array_index(objects, i);
        const Connection *conn = served_connection(obj);
        RemoteCopy *copy;

        if (!conn) {
            continue;
        }
        copy = g_new0(RemoteCopy, 1);
        copy->machine = connection_machine(conn);
        copy->message_name = connection_message_name(conn);
        copy->info = known_json(obj, conn);
        call_add(call, connection_loop(conn), copy);
    }
    call_start(call);
}

/* clang-format off */
const QmpCommand qmp_remote_commands[] = {
    { .name = "query-remote", .ret = &remotes_type, .when = QMP_ALWAYS, .run = do_query_remote,
      .help = "The connections: who is on each, and what it has done." },
    { .name = NULL }
};
/* clang-format on */

/* --- events --- */

void qmp_client_gone(Monitor *monitor, const Object *obj)
{
    const char *dev = device_name(obj->device);
    g_autofree char *obj_path = g_strdup_printf("/objects/%s", obj->id);
    g_autofree char *dev_path = g_strdup_printf("/machine/peripheral/%s", dev);

    monitor_event(monitor, "VFU_CLIENT_HANGUP",
                  json_pack("{s:s, s:s, s:s, s:s}", "vfu-id", obj->id, "vfu-qom-path", obj_path,
                            "dev-id", dev, "dev-qom-path", dev_path));
}

/* clang-format off */
const QmpEvent qmp_remote_events[] = {
    { .name = "VFU_CLIENT_HANGUP", .data = &hangup_data,
      .help = "The client of an object that serves a device is gone, whatever its protocol; what "
              "it had in flight is done and flushed." },
    { .name = NULL }
};
/* clang-format on */
