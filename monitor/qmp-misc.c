/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP about the program and itself: capabilities, versions, what commands there are; and a few
 * queries that tools make of every QEMU and that have a fixed answer here, where there is no CPU,
 * no accelerator and no job.
 *
 * Main thread.
 */
#include "monitor/commands.h"
#include "session.h"
#include <string.h>

/* --- types --- */

/* clang-format off */

static QMP_STRUCT(version_triple_type, "VersionTriple",
    QMP_MEMBER("major", qmp_int, NULL),
    QMP_MEMBER("minor", qmp_int, NULL),
    QMP_MEMBER("micro", qmp_int, NULL));
QMP_STRUCT(qmp_version_type, "VersionInfo",
    QMP_MEMBER("qemu", version_triple_type, "version of this program"),
    QMP_MEMBER("package", qmp_str, "name of this program"));

static QMP_CHOICE(capability_type, "QMPCapability", "oob");
static QMP_LIST(capabilities_type, "[QMPCapability]", capability_type);
static QMP_STRUCT(capabilities_args, "q_obj_qmp_capabilities-arg",
    QMP_OPTIONAL("enable", capabilities_type, "capabilities to enable; there are none"));

static QMP_STRUCT(command_info_type, "CommandInfo",
    QMP_MEMBER("name", qmp_str, NULL));
static QMP_LIST(command_infos_type, "[CommandInfo]", command_info_type);
static QMP_STRUCT(name_type, "NameInfo",
    QMP_OPTIONAL("name", qmp_str, NULL));

static QMP_CHOICE(run_state_type, "RunState", "running", "paused", "io-error", "prelaunch",
           "shutdown");
static QMP_STRUCT(status_type, "StatusInfo",
    QMP_MEMBER("running", qmp_bool, "false: devices start no I/O"),
    QMP_MEMBER("singlestep", qmp_bool, "false"),
    QMP_MEMBER("status", run_state_type, NULL));

static QMP_STRUCT(uuid_type, "UuidInfo",
    QMP_MEMBER("UUID", qmp_str, NULL));
static QMP_STRUCT(kvm_type, "KvmInfo",
    QMP_MEMBER("enabled", qmp_bool, NULL),
    QMP_MEMBER("present", qmp_bool, NULL));
static QMP_STRUCT(target_type, "TargetInfo",
    QMP_MEMBER("arch", qmp_str, NULL));
/* clang-format on */

/* --- commands --- */

static void do_capabilities(QmpRequest *req)
{
    const json_t *enable = json_object_get(req->args, "enable");

    if (json_array_size(enable) > 0) {
        qmp_error(req, QMP_GENERIC, "Capability '%s' not available",
                  json_string_value(json_array_get(enable, 0)));
        return;
    }
    req->session->negotiated = true;
    qmp_return(req, NULL);
}

static void do_version(QmpRequest *req)
{
    qmp_return(req, qmp_version(req->monitor));
}

static void do_name(QmpRequest *req)
{
    const char *name = req->monitor->name;

    qmp_return(req, name ? json_pack("{s:s}", "name", name) : NULL);
}

static void do_status(QmpRequest *req)
{
    bool running = req->monitor->state == QMP_RUNNING;

    qmp_return(req, json_pack("{s:s, s:b, s:b}", "status", req->monitor->run_state, "singlestep", 0,
                              "running", running));
}

static void do_commands(QmpRequest *req)
{
    json_t *list = json_array();

    for (const QmpCommand *const *group = req->monitor->config.schema.commands; *group; group++) {
        for (const QmpCommand *command = *group; command->name; command++) {
            json_array_append_new(list, json_pack("{s:s}", "name", command->name));
        }
    }
    qmp_return(req, list);
}

static void do_schema(QmpRequest *req)
{
    qmp_return(req, qmp_introspect(&req->monitor->config.schema));
}

static void do_uuid(QmpRequest *req)
{
    qmp_return(req, json_pack("{s:s}", "UUID", "00000000-0000-0000-0000-000000000000"));
}

static void do_kvm(QmpRequest *req)
{
    qmp_return(req, json_pack("{s:b, s:b}", "enabled", 0, "present", 0));
}

static void do_target(QmpRequest *req)
{
    qmp_return(req, json_pack("{s:s}", "arch", "x86_64"));
}

static void do_nothing_there(QmpRequest *req)
{
    qmp_return(req, json_array());
}

/* clang-format off */
const QmpCommand qmp_misc_commands[] = {
    { .name = "qmp_capabilities", .args = &capabilities_args, .when = QMP_NEGOTIATING | QMP_READY,
      .run = do_capabilities,
      .help = "Ends the negotiation: the first command of a session, which no other goes before." },
    { .name = "query-version", .ret = &qmp_version_type, .when = QMP_ALWAYS, .run = do_version,
      .help = "The version of this program, as the greeting has it." },
    { .name = "query-name", .ret = &name_type, .when = QMP_ALWAYS, .run = do_name,
      .help = "The guest's name, if `-name` gave one." },
    { .name = "query-status", .ret = &status_type, .when = QMP_ALWAYS, .run = do_status,
      .help = "Whether devices run, and if not, why." },
    { .name = "query-commands", .ret = &command_infos_type, .when = QMP_ALWAYS, .run = do_commands,
      .help = "The commands of this program." },
    { .name = "query-qmp-schema", .ret = &qmp_anys, .when = QMP_ALWAYS, .run = do_schema,
      .help = "Commands, events and their types, in the form of QEMU's introspection." },
    { .name = "query-uuid", .ret = &uuid_type, .when = QMP_ALWAYS, .run = do_uuid,
      .help = "Always the nil UUID: the VM's is the VMM's affair." },
    { .name = "query-kvm", .ret = &kvm_type, .when = QMP_ALWAYS, .run = do_kvm,
      .help = "Always absent: nothing of the guest runs in this process." },
    { .name = "query-target", .ret = &target_type, .when = QMP_ALWAYS, .run = do_target,
      .help = "The architecture of the guests that are served." },
    { .name = "query-cpus-fast", .ret = &qmp_anys, .when = QMP_ALWAYS, .run = do_nothing_there,
      .help = "Always an empty list: there is no CPU." },
    { .name = "query-iothreads", .ret = &qmp_anys, .when = QMP_ALWAYS, .run = do_nothing_there,
      .help = "Always an empty list: each connection has a thread, see `query-remote`." },
    { .name = "query-jobs", .ret = &qmp_anys, .when = QMP_ALWAYS, .run = do_nothing_there,
      .help = "Always an empty list: there are no jobs." },
    { .name = "query-block-jobs", .ret = &qmp_anys, .when = QMP_ALWAYS, .run = do_nothing_there,
      .help = "Always an empty list: there are no jobs." },
    { .name = NULL }
};
/* clang-format on */
