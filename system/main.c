/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remote process: sets up what the command line asks for, serves it, and ends with status 0
 * when nobody is left to be served or a signal asks for it; with status 2 if whoever was served
 * last has been cut off for breaking the protocol; with status 1 and one line on standard error
 * when the command line can't be satisfied. Where a machine runs in the process, it ends with that,
 * and with the status that its guest chose.
 *
 * Before anything is opened, descriptors 0 to 2 are made sure to exist: an image that got number 2
 * would receive the log.
 */
#include "hw/core/guest-memory.h"
#include "system/system.h"
#include "util/log.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* open() takes the lowest free number, which is fd as those below are open. */
static void fill_standard_fds(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) {
            _exit(EXIT_FAILURE);
        }
    }
}

/* One line, whatever an option's value had in it. */
static void report(const char *program, const GError *error)
{
    g_autofree char *line = g_strdup_printf("%s: %s", program, error->message);

    for (char *c = line; *c; c++) {
        if (g_ascii_iscntrl(*c)) {
            *c = ' ';
        }
    }
    fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    System sys;
    int status = EXIT_SUCCESS;

    fill_standard_fds();
    /* All text here is UTF-8; else GLib opens tables of character sets for a message, later on. */
    g_setenv("CHARSET", "UTF-8", TRUE);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write past RLIMIT_FSIZE fails with EFBIG instead */
    log_init(target_registry.program);
    guest_memory_sigbus_init();
    system_init(&sys, &target_registry);
    if (system_start(&sys, argc, argv, &error)) {
        status = system_run(&sys);
    }
    system_fini(&sys);
    if (error) {
        report(target_registry.program, error);
        return EXIT_FAILURE;
    }
    /* Of -help into a full file, say. */
    return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}
