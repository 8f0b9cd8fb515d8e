/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-remote: each connection, who is on it and what it has done.
 *
 * The connection's thread is not asked: what it counts can be read from here (remote/counters.c).
 *
 * Main thread.
 */
#include "monitor/monitor.h"
#include "system/monitors.h"
#include "system/served.h"

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

static json_t *messages_json(const RemoteCounters *counters, RemoteMessageName *name_of)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < REMOTE_MESSAGES; i++) {
        const char *name = name_of(i);

        if (name && counters->messages[i]) {
            json_array_append_new(list, json_pack("{s:s, s:I}", "name", name, "count",
                                                  (json_int_t)counters->messages[i]));
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

static json_t *regions_json(const RemoteRegions *regions)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < regions->n; i++) {
        json_array_append_new(list,
                              json_pack("{s:I, s:I}", "gpa", (json_int_t)regions->region[i].gpa,
                                        "size", (json_int_t)regions->region[i].size));
    }
    return list;
}

/* What only the main thread knows. */
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

static json_t *remote_json(const Object *obj, const Connection *conn)
{
    RemoteMachine *m = connection_machine(conn);
    const RemoteCounters counters = machine_counters(m);
    const char *last_error = machine_last_error(m);
    json_t *info = known_json(obj, conn);

    json_object_set_new(info, "memory-regions", regions_json(machine_regions(m)));
    json_object_set_new(info, "messages", messages_json(&counters, connection_message_name(conn)));
    json_object_set_new(info, "config-reads", json_integer(counters.cfg_reads));
    json_object_set_new(info, "config-writes", json_integer(counters.cfg_writes));
    json_object_set_new(info, "bars", bars_json(&counters));
    json_object_set_new(info, "interrupts", json_integer(counters.interrupts));
    json_object_set_new(info, "slowest-turn-ns", json_integer(counters.slowest_turn_ns));
    json_object_set_new(info, "errors", json_integer(counters.errors));
    if (last_error[0]) {
        g_autofree char *valid = g_utf8_make_valid(last_error, -1);
        json_object_set_new(info, "last-error", json_string(valid));
    }
    return info;
}

static void do_query_remote(QmpRequest *req)
{
    const GPtrArray *objects = qmp_system(req)->objects->objects;
    json_t *list = json_array();

    for (unsigned i = 0; i < objects->len; i++) {
        const Object *obj = g_ptr_array_index(objects, i);
        const Connection *conn = served_connection(obj);
        if (conn) {
            json_array_append_new(list, remote_json(obj, conn));
        }
    }
    qmp_return(req, list);
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
