/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monitor for people: commands as tables, each one a way to say a QMP command. Main thread. */
#ifndef MONITOR_HMP_H
#define MONITOR_HMP_H

#include "monitor/monitor.h"

typedef struct HmpCommand HmpCommand;

struct HmpCommand {
    const char *name;   /* "info block" */
    const char *alias;  /* or NULL */
    const char *params; /* for help; NULL: none */
    const char *help;
    const char *qmp; /* the command that does it; NULL: format() alone, with value NULL */
    /* The QMP command's arguments from words, at least min and at most max of them; NULL with an
     * error. Optional: there are none. */
    json_t *(*args)(char **words, GError **errp);
    unsigned min, max;
    /* What is shown for the answer; appends whole lines. Optional: nothing is. */
    void (*format)(Monitor *monitor, const json_t *value, GString *out);
};

/* Groups for the registry; each is ended by a NULL name. */
extern const HmpCommand hmp_common_commands[];
extern const HmpCommand hmp_medium_commands[]; /* of scsi-cd */
extern const HmpCommand hmp_info_commands[];

#endif
