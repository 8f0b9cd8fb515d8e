/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPU on a board without devices, with guests of a few bytes: what leaves the kernel arrives
 * at the board and back, the ends (by the guest, by stop(), by a fault) each come once, irqfds are
 * bound and leave. Skipped where /dev/kvm can't be used.
 *
 * The guests are flat multiboot images; each test says in its comment what its bytes mean.
 */
#include "accel/accel.h"
#include "accel/kvm/kvm-internal.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define RAM (2u << 20)
#define LOAD 0x100000u
#define CODE_AT 32u /* behind the multiboot header */
#define CODE(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define DEADLINE_S 20

typedef struct KvmTest {
    Loop *loop;
    GThread *board;
    Pc *pc;
    Accel *accel;
    GAsyncQueue *ends; /* exit status + 1 */
    char *kernel;
    int debug[2];
    bool started;
} KvmTest;

static bool have_kvm(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
    bool have = vm >= 0;

    if (!have) {
        g_autofree char *why = g_strdup_printf("no machine from /dev/kvm: %s", g_strerror(errno));
        g_test_skip(why);
    }
    fd_clear(&vm);
    fd_clear(&kvm);
    return have;
}

static char *write_kernel(const uint8_t *code, size_t len)
{
    uint32_t image[64] = { 0x1badb002, 1u << 16,      -(0x1badb002 + (1u << 16)), LOAD, LOAD, 0,
                           0,          LOAD + CODE_AT };
    char *path;
    int fd = g_file_open_tmp("kvm-XXXXXX", &path, NULL);

    g_assert_cmpuint(CODE_AT + len, <=, sizeof(image));
    memcpy((uint8_t *)image + CODE_AT, code, len);
    g_assert_cmpint(write(fd, image, sizeof(image)), ==, sizeof(image));
    close(fd);
    return path;
}

static void on_ended(void *opaque, int code)
{
    KvmTest *t = opaque;

    g_async_queue_push(t->ends, GINT_TO_POINTER(code + 1));
}

static void *board_thread(void *opaque)
{
    loop_run(opaque);
    return NULL;
}

static KvmTest *kt_new(const uint8_t *code, size_t len)
{
    KvmTest *t = g_new0(KvmTest, 1);
    g_autoptr(GError) err = NULL;
    AccelOptions options = { .qtest_fd = -1 };

    g_assert_cmpint(pipe2(t->debug, O_NONBLOCK | O_CLOEXEC), ==, 0);
    t->ends = g_async_queue_new();
    t->loop = loop_new("board", NULL);
    t->kernel = write_kernel(code, len);
    PcConfig config = {
        .ram_size = RAM, .serial_in = -1, .serial_out = -1, .debug_out = t->debug[1]
    };
    t->pc = pc_new(t->loop, &config, &err);
    g_assert_no_error(err);
    options.kernel = t->kernel;
    t->accel = accel_kvm_type.create(t->pc, &options, on_ended, t, &err);
    g_assert_no_error(err);
    t->board = g_thread_new("board", board_thread, t->loop);
    return t;
}

static KvmTest *kt_start(const uint8_t *code, size_t len)
{
    KvmTest *t = kt_new(code, len);

    t->started = true;
    accel_kvm_type.start(t->accel);
    return t;
}

static int kt_wait(KvmTest *t)
{
    void *end = g_async_queue_timeout_pop(t->ends, DEADLINE_S * G_USEC_PER_SEC);

    g_assert_nonnull(end);
    return GPOINTER_TO_INT(end) - 1;
}

/* The debug port's output so far. */
static char *kt_output(KvmTest *t)
{
    char buf[256];
    ssize_t n = read(t->debug[0], buf, sizeof(buf));

    return g_strndup(buf, MAX(n, 0));
}

/* Stopped here, if not before: as it must be before the loop ends. */
static void kt_free(KvmTest *t)
{
    if (t->started) {
        accel_kvm_type.stop(t->accel);
    }
    loop_quit(t->loop);
    g_thread_join(t->board);
    accel_kvm_type.destroy(t->accel);
    pc_free(t->pc);
    loop_free(t->loop);
    g_assert_cmpint(g_async_queue_length(t->ends), ==, 0); /* once */
    g_async_queue_unref(t->ends);
    close(t->debug[0]);
    close(t->debug[1]);
    g_unlink(t->kernel);
    g_free(t->kernel);
    g_free(t);
}

/* mov $0x501, %dx; mov $5, %al; out %al, %dx; jmp . */
static void test_guest_exit(void)
{
    if (have_kvm()) {
        KvmTest *t = kt_start(CODE(0x66, 0xba, 0x01, 0x05, 0xb0, 0x05, 0xee, 0xeb, 0xfe));
        g_assert_cmpint(kt_wait(t), ==, 11);
        kt_free(t);
    }
}

/* mov $LOAD + CODE_AT + 31, %esi; mov $5, %ecx; mov $0xe9, %dx; cld; rep outsb;
 * mov $'!', %al; out %al, $0xe9; mov $0x501, %dx; xor %eax, %eax; out %al, %dx; "hello" */
static void test_string_output(void)
{
    if (have_kvm()) {
        KvmTest *t =
            kt_start(CODE(0xbe, CODE_AT + 31, 0x00, 0x10, 0x00, 0xb9, 0x05, 0x00, 0x00, 0x00, 0x66,
                          0xba, 0xe9, 0x00, 0xfc, 0xf3, 0x6e, 0xb0, '!', 0xe6, 0xe9, 0x66, 0xba,
                          0x01, 0x05, 0x31, 0xc0, 0xee, 0xeb, 0xfe, 0x90, 'h', 'e', 'l', 'l', 'o'));
        g_assert_cmpint(kt_wait(t), ==, 1);
        g_autofree char *said = kt_output(t);
        g_assert_cmpstr(said, ==, "hello!");
        kt_free(t);
    }
}

/* mov %eax, 0xf0000000; mov 0xf0000000, %eax; shr $24, %eax; mov $0x501, %dx; out %al, %dx: nobody
 * is there, so the write is dropped and the read gives ones, whose code is cut to a byte. */
static void test_mmio(void)
{
    if (have_kvm()) {
        KvmTest *t = kt_start(CODE(0xa3, 0x00, 0x00, 0x00, 0xf0, 0xa1, 0x00, 0x00, 0x00, 0xf0, 0xc1,
                                   0xe8, 0x18, 0x66, 0xba, 0x01, 0x05, 0xee, 0xeb, 0xfe));
        g_assert_cmpint(kt_wait(t), ==, 0xff);
        kt_free(t);
    }
}

/* mov $0x80000000, %eax; mov $0xcf8, %dx; out %eax, %dx; mov $0xcfc, %dl; in %dx, %eax;
 * mov $0x501, %dx; shr $1, %eax; out %al, %dx: half the vendor's low byte, which is 0x86 */
static void test_port_input(void)
{
    if (have_kvm()) {
        KvmTest *t =
            kt_start(CODE(0xb8, 0x00, 0x00, 0x00, 0x80, 0x66, 0xba, 0xf8, 0x0c, 0xef, 0xb2, 0xfc,
                          0xed, 0x66, 0xba, 0x01, 0x05, 0xd1, 0xe8, 0xee, 0xeb, 0xfe));
        g_assert_cmpint(kt_wait(t), ==, 0x87);
        kt_free(t);
    }
}

/* What the loader promises: EAX is its magic, EBX points to information whose flags have bit 0.
 * cmp $0x2badb002, %eax; jne 1f; test $1, (%ebx); jz 1f; mov $3, %al; 1: mov $0x501, %dx;
 * out %al, %dx */
static void test_entry(void)
{
    if (have_kvm()) {
        KvmTest *t = kt_start(CODE(0x3d, 0x02, 0xb0, 0xad, 0x2b, 0x75, 0x07, 0xf6, 0x03, 0x01, 0x74,
                                   0x02, 0xb0, 0x03, 0x66, 0xba, 0x01, 0x05, 0xee, 0xeb, 0xfe));
        g_assert_cmpint(kt_wait(t), ==, 7);
        kt_free(t);
    }
}

static void check_stop(const uint8_t *code, size_t len, unsigned delay_ms)
{
    KvmTest *t = kt_start(code, len);

    g_usleep(delay_ms * 1000);
    accel_kvm_type.stop(t->accel);
    g_assert_cmpint(g_async_queue_length(t->ends), ==, 1); /* the thread is gone */
    g_assert_cmpint(kt_wait(t), ==, 0);
    kt_free(t);
}

/* At every distance from the start, out of a loop in the guest (jmp .), a hlt without interrupts
 * (cli; hlt), and a loop of port accesses (1: out %al, $0xe9; jmp 1b). */
static void test_stop(void)
{
    if (have_kvm()) {
        for (unsigned delay = 0; delay < 4; delay++) {
            check_stop(CODE(0xeb, 0xfe), delay * delay);
            check_stop(CODE(0xfa, 0xf4, 0xeb, 0xfd), delay * delay);
            check_stop(CODE(0xe6, 0xe9, 0xeb, 0xfc), delay * delay);
        }
    }
}

static void test_never_started(void)
{
    if (have_kvm()) {
        KvmTest *t = kt_new(CODE(0xeb, 0xfe));
        kt_free(t);
    }
}

/* An exception without anybody to take it: ud2. The line about it goes to standard error. */
static void test_triple_fault(void)
{
    if (have_kvm()) {
        KvmTest *t = kt_start(CODE(0x0f, 0x0b));
        g_assert_cmpint(kt_wait(t), ==, 1);
        kt_free(t);
    }
}

static void test_irqfd(void)
{
    if (have_kvm()) {
        KvmTest *t = kt_new(CODE(0xeb, 0xfe));
        int irq = eventfd(0, EFD_NONBLOCK), resample = eventfd(0, EFD_NONBLOCK);
        int other = eventfd(0, EFD_NONBLOCK);

        g_assert_cmpint(kvm_bind_irqfd(t->accel, 10, irq, resample), ==, 0);
        g_assert_cmpint(kvm_bind_irqfd(t->accel, 10, other, resample), ==, 0); /* shared */
        g_assert_cmpuint(t->accel->irqfds->len, ==, 2);
        g_assert_cmpint(kvm_bind_irqfd(t->accel, -1, irq, resample), ==, 0);
        g_assert_cmpint(kvm_bind_irqfd(t->accel, 11, irq, resample), ==, 0);
        g_assert_cmpint(kvm_bind_irqfd(t->accel, 5, irq, resample), ==, 0); /* moves */
        g_assert_cmpuint(t->accel->irqfds->len, ==, 2);
        g_assert_cmpint(kvm_bind_irqfd(t->accel, -1, irq, resample), ==, 0);
        g_assert_cmpint(kvm_bind_irqfd(t->accel, -1, irq, resample), ==, 0); /* not there */
        g_assert_cmpint(kvm_bind_irqfd(t->accel, 5, irq, -1), ==, -EBADF);
        g_assert_cmpint(kvm_bind_irqfd(t->accel, 5, STDOUT_FILENO, resample), <, 0);
        g_assert_cmpuint(t->accel->irqfds->len, ==, 1);
        kt_free(t);
        close(irq);
        close(resample);
        close(other);
    }
}

static void test_no_kernel(void)
{
    Loop *loop = loop_new("board", NULL);
    PcConfig config = { .ram_size = RAM, .serial_in = -1, .serial_out = -1, .debug_out = -1 };
    Pc *pc = pc_new(loop, &config, NULL);
    AccelOptions options = { .qtest_fd = -1 };
    g_autoptr(GError) err = NULL;

    g_assert_null(accel_kvm_type.create(pc, &options, on_ended, NULL, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, "-kernel"));
    pc_free(pc);
    loop_free(loop);
}

static void test_bad_kernel(void)
{
    Loop *loop = loop_new("board", NULL);
    PcConfig config = { .ram_size = RAM, .serial_in = -1, .serial_out = -1, .debug_out = -1 };
    Pc *pc = pc_new(loop, &config, NULL);
    AccelOptions options = { .qtest_fd = -1, .kernel = "/nowhere/kernel" };
    g_autoptr(GError) err = NULL;

    if (have_kvm()) {
        g_assert_null(accel_kvm_type.create(pc, &options, on_ended, NULL, &err));
        g_assert_nonnull(strstr(err->message, "/nowhere/kernel"));
    }
    pc_free(pc);
    loop_free(loop);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm/guest-exit", test_guest_exit);
    g_test_add_func("/kvm/string-output", test_string_output);
    g_test_add_func("/kvm/mmio", test_mmio);
    g_test_add_func("/kvm/port-input", test_port_input);
    g_test_add_func("/kvm/entry", test_entry);
    g_test_add_func("/kvm/stop", test_stop);
    g_test_add_func("/kvm/never-started", test_never_started);
    g_test_add_func("/kvm/triple-fault", test_triple_fault);
    g_test_add_func("/kvm/irqfd", test_irqfd);
    g_test_add_func("/kvm/no-kernel", test_no_kernel);
    g_test_add_func("/kvm/bad-kernel", test_bad_kernel);
    return g_test_run();
}
