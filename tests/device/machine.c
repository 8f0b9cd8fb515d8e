/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See machine.h. The command lines are the documented ones, the same for this tree's programs and
 * the distribution's but for the accelerator: that one has no -accel qtest, and stands still under
 * TCG instead.
 */
#include "machine.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAM_MIB "64"

static const char *const way_names[WAYS] = {
    [WAY_LOCAL] = "local",         [WAY_PROXY] = "proxy",     [WAY_VFIO_USER] = "vfio-user",
    [WAY_REFERENCE] = "reference", [WAY_FOREIGN] = "foreign",
};

/* ---- programs ---- */

static const char *vm_program(void)
{
    const char *name = g_getenv("QEMU_VM");

    return name ? name : "qemu-system-x86_64";
}

static const char *vm_missing(void)
{
    g_autofree char *path = g_find_program_in_path(vm_program());

    return path ? NULL : "the distribution's qemu-system-x86_64 is not installed";
}

static bool is_built(const char *variable)
{
    const char *path = g_getenv(variable);

    return path && g_file_test(path, G_FILE_TEST_IS_EXECUTABLE);
}

const char *machine_missing(Way way)
{
    if (way != WAY_REFERENCE && !is_built("QEMU_STOCK")) {
        return "$QEMU_STOCK is not built";
    }
    if ((way == WAY_PROXY || way == WAY_VFIO_USER) && !is_built("QEMU_REMOTE")) {
        return "$QEMU_REMOTE is not built";
    }
    return way == WAY_REFERENCE || way == WAY_FOREIGN ? vm_missing() : NULL;
}

/* ---- disks ---- */

uint8_t machine_pattern(unsigned disk, uint64_t block)
{
    return 0x35 * (disk + 1) ^ (block * 11 + 5);
}

static char *image_path(const Machine *m, unsigned disk)
{
    return g_strdup_printf("%s/disk%u", m->dir, disk);
}

static char *log_path(const Machine *m)
{
    return g_strdup_printf("%s/log", m->dir);
}

char *machine_log(const Machine *m)
{
    g_autofree char *path = log_path(m);
    char *text;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static void G_GNUC_PRINTF(1, 2) shell(const char *format, ...)
{
    g_autofree char *command = NULL;
    va_list ap;

    va_start(ap, format);
    command = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_assert_cmpint(system(command), ==, 0);
}

static void make_image(const Machine *m, unsigned disk)
{
    g_autofree char *path = image_path(m, disk);
    g_autofree char *bytes = g_malloc(DISK_BLOCKS * 512);

    for (unsigned b = 0; b < DISK_BLOCKS; b++) {
        memset(bytes + b * 512, machine_pattern(disk, b), 512);
    }
    g_assert_true(g_file_set_contents(path, bytes, DISK_BLOCKS * 512, NULL));
    if (m->options.qcow2) {
        shell("qemu-img convert -q -f raw -O qcow2 '%s' '%s.new' && mv '%s.new' '%s'", path, path,
              path, path);
    }
}

void machine_image_read(Machine *m, unsigned disk, uint64_t block, void *buf, unsigned blocks)
{
    g_autofree char *path = image_path(m, disk);
    g_autofree char *raw = g_strconcat(path, m->options.qcow2 ? ".raw" : "", NULL);
    int fd;

    if (m->options.qcow2) {
        shell("qemu-img convert -q -U -f qcow2 -O raw '%s' '%s'", path, raw);
    }
    fd = open(raw, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pread(fd, buf, blocks * 512, block * 512), ==, blocks * 512);
    close(fd);
}

/* ---- command lines ---- */

static void add(GPtrArray *args, const char *first, ...) G_GNUC_NULL_TERMINATED;

static void add(GPtrArray *args, const char *first, ...)
{
    va_list ap;

    va_start(ap, first);
    for (const char *arg = first; arg; arg = va_arg(ap, const char *)) {
        g_ptr_array_add(args, g_strdup(arg));
    }
    va_end(ap);
}

static void add_device(const Machine *m, GPtrArray *args)
{
    add(args, "-device", "lsi53c895a,id=lsi0", NULL);
    for (unsigned d = 0; d < m->disks; d++) {
        g_autofree char *path = image_path(m, d);
        g_autofree char *drive = g_strdup_printf("if=none,id=drive%u,format=%s,file=%s%s", d,
                                                 m->options.qcow2 ? "qcow2" : "raw", path,
                                                 m->options.drive ? m->options.drive : "");
        g_autofree char *device = g_strdup_printf(
            "scsi-hd,id=disk%u,drive=drive%u,bus=lsi0.0,scsi-id=%u,serial=SN%u", d, d, d, d);
        add(args, "-drive", drive, "-device", device, NULL);
    }
}

/* QEMU's remote serves its socket before it resets the machine at the end of its start-up, when the
 * disks are drained: what a proxy has written until then is lost. Its monitor knows. */
static void wait_running(int monitor)
{
    static const char ask[] = "{\"execute\":\"qmp_capabilities\"}\n";
    static const char status[] = "{\"execute\":\"query-status\"}\n";
    FILE *in = fdopen(monitor, "r");
    char line[4096];

    g_assert_cmpint(send(monitor, ask, strlen(ask), MSG_NOSIGNAL), ==, strlen(ask));
    do {
        g_assert_cmpint(send(monitor, status, strlen(status), MSG_NOSIGNAL), ==, strlen(status));
        do {
            g_assert_nonnull(fgets(line, sizeof(line), in));
        } while (!strstr(line, "\"running\""));
    } while (!strstr(line, "\"running\": true"));
    fclose(in);
}

static void start_remote(Machine *m, int fd)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);
    const bool vfio_user = m->way == WAY_VFIO_USER;
    g_autofree char *object =
        g_strdup_printf(vfio_user ? "x-vfio-user-server,id=robj0,device=lsi0,fd=%d"
                                  : "x-remote-object,id=robj0,devid=lsi0,fd=%d",
                        fd);
    const bool foreign = m->way == WAY_FOREIGN;
    const char *program = foreign ? vm_program() : g_getenv("QEMU_REMOTE");
    char *path = NULL;
    int listener = -1;

    add(args, program, "-machine", vfio_user ? "x-remote,vfio-user=on" : "x-remote", "-nodefaults",
        "-display", "none", NULL);
    if (foreign) {
        g_autofree char *qmp = NULL;
        listener = qtest_listen(&path);
        qmp = g_strdup_printf("unix:%s", path);
        add(args, "-qmp", qmp, NULL);
    }
    if (m->options.log) {
        g_autofree char *log = log_path(m);
        add(args, "-D", log, NULL);
    }
    add_device(m, args);
    add(args, "-object", object, NULL);
    g_ptr_array_add(args, NULL);
    m->remote = qtest_spawn((const char *const *)args->pdata, fd);
    if (foreign) {
        wait_running(qtest_accept(listener, path, m->remote, program));
    }
}

static void start_vm(Machine *m, int fd)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);

    if (m->way == WAY_REFERENCE) {
        add(args, vm_program(), "-accel", "tcg", "-S", "-qtest-log", "none", NULL);
    } else {
        add(args, g_getenv("QEMU_STOCK"), "-accel", "qtest", NULL);
    }
    add(args, "-machine", "pc", "-m", RAM_MIB, "-nodefaults", "-display", "none", NULL);
    if (fd >= 0) {
        g_autofree char *proxy =
            g_strdup_printf("x-pci-proxy-dev,id=lsi0,protocol=%s,fd=%d",
                            m->way == WAY_VFIO_USER ? "vfio-user" : "mpqemu", fd);
        add(args, "-device", proxy, NULL);
    } else {
        add_device(m, args);
    }
    g_ptr_array_add(args, NULL);
    m->q = qtest_start((const char *const *)args->pdata, fd);
}

Machine *machine_start(Way way, unsigned disks, const MachineOptions *options)
{
    Machine *m = g_new0(Machine, 1);

    m->way = way;
    m->disks = disks;
    if (options) {
        m->options = *options;
    }
    m->dir = g_dir_make_tmp("machine-XXXXXX", NULL);
    for (unsigned d = 0; d < disks; d++) {
        make_image(m, d);
    }
    if (machine_is_proxied(m)) {
        int pair[2];
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
        start_remote(m, pair[0]);
        close(pair[0]);
        start_vm(m, pair[1]);
        close(pair[1]);
    } else {
        start_vm(m, -1);
    }
    return m;
}

/* This tree's stock profile ends with its tester; a remote ends with its proxy. Both by status 0,
 * which is how sanitizers say that they have found nothing. */
void machine_end(Machine *m)
{
    if (m->lsi) {
        qlsi_free(g_steal_pointer(&m->lsi));
    }
    if (!m->q) {
        /* the test has seen its end */
    } else if (m->way == WAY_REFERENCE) {
        qtest_stop(g_steal_pointer(&m->q));
    } else {
        g_assert_cmpint(qtest_hang_up(g_steal_pointer(&m->q)), ==, 0);
    }
    if (m->remote) {
        g_assert_cmpint(qtest_reap(m->remote), ==, 0);
        m->remote = 0;
    }
}

void machine_stop(Machine *m)
{
    g_autofree char *log = log_path(m);

    machine_end(m);
    for (unsigned d = 0; d < m->disks; d++) {
        g_autofree char *path = image_path(m, d);
        g_autofree char *raw = g_strconcat(path, ".raw", NULL);

        if (m->options.qcow2) {
            shell("qemu-img check -q '%s'", path);
            g_unlink(raw);
        }
        g_unlink(path);
    }
    g_unlink(log);
    g_rmdir(m->dir);
    g_free(m->dir);
    g_free(m);
}

/* ---- the list ---- */

typedef struct Case {
    const MachineTest *test;
    Way way;
} Case;

static void run_case(gconstpointer data)
{
    const Case *c = data;
    const bool qcow2 = c->test->ways & MACHINE_QCOW2;
    const char *missing = machine_missing(c->way);
    g_autofree char *tool = g_find_program_in_path("qemu-img");
    Machine *m;

    if (missing) {
        g_test_skip(missing);
        return;
    }
    if (qcow2 && !tool) {
        g_test_skip("no qemu-img");
        return;
    }
    m = machine_start(c->way, c->test->disks, &(MachineOptions){ .qcow2 = qcow2 });
    m->lsi = qlsi_new(m->q);
    c->test->fn(m);
    machine_stop(m);
}

void machine_add_tests(const MachineTest *tests)
{
    for (Way way = 0; way < WAYS; way++) {
        for (const MachineTest *t = tests; t->name; t++) {
            g_autofree char *path = g_strdup_printf("/%s/%s", way_names[way], t->name);
            Case *c;
            const unsigned ways = t->ways & ~MACHINE_QCOW2;
            if (ways && !(ways >> way & 1)) {
                continue;
            }
            c = g_new(Case, 1);
            *c = (Case){ t, way };
            g_test_add_data_func_full(path, c, run_case, g_free);
        }
    }
}
