/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line: the one table of options, and its parser. Main thread. */
#ifndef SYSTEM_OPTIONS_H
#define SYSTEM_OPTIONS_H

#include "system/registry.h"
#include "system/system.h"

typedef struct OptionDesc OptionDesc;

/* One option of the command line, as typed. */
typedef struct OptionItem {
    const OptionDesc *desc;
    const char *name;  /* "-M", "--device", "--fd=3" */
    const char *value; /* NULL if it takes none */
} OptionItem;

/* When an option is acted on. Within a stage the command line's order holds; between them it means
 * nothing. */
typedef enum OptionStage {
    OPTION_CHECK, /* taken silently: handle() only looks at the value */
    OPTION_SETTING,
    OPTION_CHARDEV,
    OPTION_MON,
    OPTION_MACHINE,
    OPTION_EARLY, /* what block nodes refer to: handle_early() */
    OPTION_BLOCKDEV,
    OPTION_DRIVE,
    OPTION_DEVICE,
    OPTION_OBJECT,
    /* what is left to do when all of the above is right */
    OPTION_LOGFILE,
    OPTION_PIDFILE,
    OPTION_STAGES
} OptionStage;

/* The programs that have an option. */
typedef enum OptionUse {
    OPTION_ALL,
    OPTION_BOARD,
    OPTION_NO_BOARD,
    OPTION_MONITOR,
    OPTION_NO_MONITOR,
} OptionUse;

struct OptionDesc {
    const char *name;  /* without '-' */
    const char *alias; /* or NULL */
    const char *arg;   /* for -help; NULL: takes none */
    const char *help;  /* lines for -help */
    OptionUse use;
    OptionStage stage;
    bool last_wins; /* of several only the last one counts */
    /* False and an error, without the option in front of it. */
    bool (*handle)(System *sys, const OptionItem *item, GError **errp);
    /* Optional: looked at in OPTION_EARLY, too. */
    bool (*handle_early)(System *sys, const OptionItem *item, GError **errp);
    /* Prints and returns true if the value asks for help; NULL: it can't. */
    bool (*show)(const Registry *registry, const char *value);
};

/* Ended by a NULL name. */
extern const OptionDesc options[];

/* Does a program with this registry have the option? */
bool option_applies(const OptionDesc *desc, const Registry *registry);
/* OptionItem *, in the order of the command line; value and name point into argv. NULL and an
 * error, the option in front of it, on an unknown option or a missing argument. */
GPtrArray *options_parse(const Registry *registry, int argc, char **argv, GError **errp);
/* "-OPTION VALUE". The caller frees it. */
char *option_text(const OptionItem *item);

/* Handlers, one for each option or kind of options. */
bool option_none(System *sys, const OptionItem *item, GError **errp);
bool option_memory(System *sys, const OptionItem *item, GError **errp);
bool option_name(System *sys, const OptionItem *item, GError **errp);
bool option_trace_groups(System *sys, const OptionItem *item, GError **errp);
bool option_trace(System *sys, const OptionItem *item, GError **errp);
bool option_logfile(System *sys, const OptionItem *item, GError **errp);
bool option_pidfile(System *sys, const OptionItem *item, GError **errp);
bool option_daemonize(System *sys, const OptionItem *item, GError **errp);
bool option_fd(System *sys, const OptionItem *item, GError **errp);
bool option_socket_path(System *sys, const OptionItem *item, GError **errp);
bool option_sandbox(System *sys, const OptionItem *item, GError **errp);
bool option_runas(System *sys, const OptionItem *item, GError **errp);
bool option_chroot(System *sys, const OptionItem *item, GError **errp);
bool option_run_with(System *sys, const OptionItem *item, GError **errp);
bool option_board(System *sys, const OptionItem *item, GError **errp);
bool option_monitor(System *sys, const OptionItem *item, GError **errp);
bool option_add_fd(System *sys, const OptionItem *item, GError **errp);      /* add-fd.c */
bool option_add_fd_done(System *sys, const OptionItem *item, GError **errp); /* early */
bool option_chardev(System *sys, const OptionItem *item, GError **errp);     /* chardev.c */
bool option_machine(System *sys, const OptionItem *item, GError **errp);     /* machine.c */
bool option_preload(System *sys, const OptionItem *item, GError **errp);     /* modules.c */
bool option_blockdev(System *sys, const OptionItem *item, GError **errp);    /* startup.c */
bool option_drive(System *sys, const OptionItem *item, GError **errp);
bool option_device(System *sys, const OptionItem *item, GError **errp);
bool option_object_early(System *sys, const OptionItem *item, GError **errp);
bool option_object(System *sys, const OptionItem *item, GError **errp);

#endif
