/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP: descriptors that a client passes beside its commands. With the sandbox on this is how a
 * process that runs comes to a new image file or socket.
 *
 * Main thread.
 */
#include "monitor/fds.h"
#include "monitor/commands.h"
#include "util/fd.h"

#define NO_FD "No file descriptor supplied via SCM_RIGHTS"

/* --- types --- */

/* clang-format off */

static QMP_STRUCT(getfd_args, "q_obj_getfd-arg",
    QMP_MEMBER("fdname", qmp_str, NULL));

static QMP_STRUCT(add_fd_args, "q_obj_add-fd-arg",
    QMP_OPTIONAL("fdset-id", qmp_int, "the set; default: a new one"),
    QMP_OPTIONAL("opaque", qmp_str, "any text, for `query-fdsets`"));
static QMP_STRUCT(fd_ref_type, "AddfdInfo",
    QMP_MEMBER("fdset-id", qmp_int, NULL),
    QMP_MEMBER("fd", qmp_int, "its number in this process"));
static QMP_STRUCT(remove_fd_args, "q_obj_remove-fd-arg",
    QMP_MEMBER("fdset-id", qmp_int, NULL),
    QMP_OPTIONAL("fd", qmp_int, "default: all of the set"));

static QMP_STRUCT(fdset_fd_type, "FdsetFdInfo",
    QMP_MEMBER("fd", qmp_int, NULL),
    QMP_OPTIONAL("opaque", qmp_str, NULL));
static QMP_LIST(fdset_fds_type, "[FdsetFdInfo]", fdset_fd_type);
static QMP_STRUCT(fdset_type, "FdsetInfo",
    QMP_MEMBER("fdset-id", qmp_int, NULL),
    QMP_MEMBER("fds", fdset_fds_type, NULL));
static QMP_LIST(fdsets_type, "[FdsetInfo]", fdset_type);
/* clang-format on */

/* --- commands --- */

static void do_getfd(QmpRequest *req)
{
    const char *name = qmp_arg_str(req, "fdname");
    AUTO_FD fd = monitor_session_take_fd(req->session);

    if (fd < 0) {
        qmp_error(req, QMP_GENERIC, NO_FD);
    } else if (!*name || g_ascii_isdigit(*name)) {
        qmp_error(req, QMP_GENERIC, "Parameter 'fdname' expects a name not starting with a digit");
    } else {
        monitor_fds_put(req->monitor->fds, fd_steal(&fd), name);
        qmp_return(req, NULL);
    }
}

static void do_closefd(QmpRequest *req)
{
    const char *name = qmp_arg_str(req, "fdname");
    AUTO_FD fd = monitor_fds_take(req->monitor->fds, name);

    if (fd < 0) {
        qmp_error(req, QMP_GENERIC, "File descriptor named '%s' not found", name);
    } else {
        qmp_return(req, NULL);
    }
}

static void do_add_fd(QmpRequest *req)
{
    const json_t *set = json_object_get(req->args, "fdset-id");
    AUTO_FD fd = monitor_session_take_fd(req->session);
    int number = fd;

    if (fd < 0) {
        qmp_error(req, QMP_GENERIC, NO_FD);
    } else if (set && json_integer_value(set) < 0) {
        qmp_error(req, QMP_GENERIC, "Parameter 'fdset-id' expects a non-negative value");
    } else {
        int64_t id =
            monitor_fds_add(req->monitor->fds, fd_steal(&fd), set ? json_integer_value(set) : -1,
                            qmp_arg_str(req, "opaque"));
        qmp_return(req, json_pack("{s:I, s:i}", "fdset-id", (json_int_t)id, "fd", number));
    }
}

static void do_remove_fd(QmpRequest *req)
{
    const json_t *fd = json_object_get(req->args, "fd");
    int64_t set = json_integer_value(json_object_get(req->args, "fdset-id"));

    if (set < 0 || !monitor_fds_remove(req->monitor->fds, set, fd ? json_integer_value(fd) : -1)) {
        g_autofree char *which =
            fd ? g_strdup_printf(", fd:%" JSON_INTEGER_FORMAT, json_integer_value(fd))
               : g_strdup("");
        qmp_error(req, QMP_GENERIC,
                  "File descriptor named 'fdset-id:%" G_GINT64_FORMAT "%s' not found", set, which);
    } else {
        qmp_return(req, NULL);
    }
}

static void do_query_fdsets(QmpRequest *req)
{
    const GPtrArray *fds = monitor_fds_list(req->monitor->fds);
    json_t *list = json_array();
    json_t *members = NULL; /* of the set in work */
    int64_t set = -1;

    for (unsigned i = 0; i < fds->len; i++) {
        const MonitorFd *entry = g_ptr_array_index(fds, i);
        json_t *member;

        if (entry->name) {
            continue;
        }
        if (!members || entry->set != set) {
            members = json_array();
            set = entry->set;
            json_array_append_new(
                list, json_pack("{s:o, s:I}", "fds", members, "fdset-id", (json_int_t)set));
        }
        member = json_pack("{s:i}", "fd", entry->fd);
        if (entry->opaque) {
            json_object_set_new(member, "opaque", json_string(entry->opaque));
        }
        json_array_append_new(members, member);
    }
    qmp_return(req, list);
}

/* clang-format off */
const QmpCommand qmp_fd_commands[] = {
    { .name = "getfd", .args = &getfd_args, .when = QMP_READY, .run = do_getfd,
      .help = "Names the descriptor that came with the command (SCM_RIGHTS), for an option that "
              "takes the number of one. A name that is used gets the new one." },
    { .name = "closefd", .args = &getfd_args, .when = QMP_READY, .run = do_closefd,
      .help = "Closes a descriptor that `getfd` named." },
    { .name = "add-fd", .args = &add_fd_args, .ret = &fd_ref_type, .when = QMP_READY,
      .run = do_add_fd,
      .help = "Puts the descriptor that came with the command into a set. A file name "
              "`/dev/fdset/N` opens set N." },
    { .name = "remove-fd", .args = &remove_fd_args, .when = QMP_READY, .run = do_remove_fd,
      .help = "Closes a descriptor of a set, or all of them. What was opened with it stays." },
    { .name = "query-fdsets", .ret = &fdsets_type, .when = QMP_ALWAYS, .run = do_query_fdsets,
      .help = "The sets and their descriptors." },
    { .name = NULL }
};
/* clang-format on */
