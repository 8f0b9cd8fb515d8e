/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls under everything: of the C library and GLib for memory, threads, locks, time
 * and the end of the process, and of the main thread's own loop. Modules declare only what they
 * need beyond (util/sandbox.h).
 *
 * What could bring code or a process into being is taken by its arguments: memory that is never
 * executable, clone() with just the flags of a thread. clone3() takes its flags by a pointer, which
 * a filter can't follow, so it is said not to exist, and the C library falls back to clone(). A
 * futex is for plain waiting and waking; priority inheritance, whose code in the kernel has had its
 * share of holes, is not used here. Signals go to this process alone.
 *
 * Some calls are a mere convenience: without madvise() an arena keeps memory that was freed,
 * without mremap() a block that grows is copied. They are refused by an error, which the C library
 * takes in its stride.
 *
 * Sanitizers do more at run time: they read /proc, start a process that looks for leaks, open
 * sources for a report. A build with one of them is a test's, and has its calls on top.
 */
#include "system/sandbox.h"
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#ifdef __SANITIZE_ADDRESS__
#include <fcntl.h>
#include <sanitizer/lsan_interface.h>
#include <unistd.h>

/* LeakSanitizer looks from a process that traces this one, which the sandbox is there to prevent:
 * where Landlock is missing it waits without end, instead of giving up. Without a descriptor it
 * can't list the threads and ends with an error. What runs unconfined, as unit tests do, is looked
 * at. */
int __lsan_is_turned_off(void)
{
    int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || close(fd) < 0 || prctl(PR_GET_SECCOMP) != 0;
}
#endif

/* clang-format off */
#define THREAD_FLAGS                                                                               \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |            \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
#define FUTEX_COMMAND (FUTEX_CMD_MASK & 0xffffffffu) /* without the bits for private and clock */
#define FUTEX(op) { .name = "futex", .args = { SANDBOX_MASKED(1, FUTEX_COMMAND, op) } }

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZER_CALLS                                                                            \
    { .name = "clone" }, { .name = "getdents64" }, { .name = "getppid" }, { .name = "lseek" },     \
        { .name = "madvise" }, { .name = "nanosleep" },                                            \
        { .name = "newfstatat" }, { .name = "openat" }, { .name = "pipe2" }, { .name = "prctl" },  \
        { .name = "pread64" }, { .name = "process_vm_readv" }, { .name = "ptrace" },               \
        { .name = "readlink" }, { .name = "readlinkat" }, { .name = "sched_getaffinity" },         \
        { .name = "sched_yield" }, { .name = "getrandom" }, { .name = "gettimeofday" },            \
        { .name = "sigaltstack" }, { .name = "uname" }, { .name = "wait4" },
#else
#define SANITIZER_CALLS
#endif

const SandboxCalls sandbox_base = {
    .module = "process",
    .calls = (const SandboxCall[]){
        SANITIZER_CALLS
        { .name = "brk" },
        { .name = "clock_gettime" },
        { .name = "clone", .args = { SANDBOX_EQUALS(0, THREAD_FLAGS) } },
        { .name = "clone3", .answer = ENOSYS },
        { .name = "close" },
        { .name = "exit" },
        { .name = "exit_group" },
        FUTEX(FUTEX_WAIT),
        FUTEX(FUTEX_WAKE),
        FUTEX(FUTEX_WAIT_BITSET),
        { .name = "getpid" },
        { .name = "gettid" },
        { .name = "madvise", .answer = ENOSYS },
        { .name = "mmap", .args = { SANDBOX_CLEAR(2, PROT_EXEC) } },
        { .name = "mprotect", .args = { SANDBOX_CLEAR(2, PROT_EXEC) } },
        { .name = "mremap", .answer = ENOMEM },
        { .name = "munmap" },
        { .name = "poll" },
        { .name = "prctl", .args = { SANDBOX_EQUALS(0, PR_SET_NAME) } },
        { .name = "read" },
        { .name = "restart_syscall" },
        { .name = "rseq" },
        { .name = "rt_sigaction" },
        { .name = "rt_sigprocmask" },
        { .name = "rt_sigreturn" },
        { .name = "sched_getaffinity", .answer = ENOSYS }, /* for the number of arenas */
        { .name = "set_robust_list", .answer = ENOSYS },
        { .name = "tgkill", .args = { SANDBOX_OWN_PID(0) } },
        { .name = "write" },
        { .name = NULL } },
};
/* clang-format on */
