/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pause, resume, reset, power cycle and disconnect of a machine in every order that machine.h
 * allows, each also while others are under way: all sequences of up to STEPS steps, one of which is
 * that the device comes to the end of what it was told. The device holds the machine to pci.h: no
 * pause while it drains, no drain while it pauses, nothing twice. Each done comes once, when what
 * it tells of has happened, and the device is left paused or not as it was told last.
 */
#include "remote/machine.h"

enum { STEPS = 6 };

typedef enum Verb { RESET, CYCLE, DISCONNECT, PAUSE, VERBS } Verb;

typedef struct Fixture Fixture;

typedef struct Told {
    Fixture *f;
    Verb verb;
    bool under_way;
    unsigned resets; /* of the device, when it was asked for */
} Told;

struct Fixture {
    PciDev pci;
    Loop *loop;
    RemoteMachine *m;
    char steps[STEPS + 1];
    Told told[VERBS];
    bool paused, pausing, draining; /* the device */
    unsigned resets;
    LoopWork idle_work;
    void (*idle)(void *);
    void *idle_opaque;
    bool want_paused, pause_again;
    unsigned sequences;
};

#define CHECK(f, what)                                                                             \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            g_error("%s: not so: %s", (f)->steps, #what);                                          \
        }                                                                                          \
    } while (0)

/* ---- the device ---- */

static void come_to_the_end(void *opaque)
{
    Fixture *f = opaque;

    f->paused |= f->pausing;
    f->pausing = f->draining = false;
    f->idle(f->idle_opaque);
}

static bool device_attach(PciDev *pci, GError **errp G_GNUC_UNUSED)
{
    loop_work_init(&((Fixture *)pci)->idle_work, pci->loop, come_to_the_end, pci);
    return true;
}

static void device_detach(PciDev *pci G_GNUC_UNUSED)
{
}

static void begin(Fixture *f, bool *what, void (*idle)(void *), void *opaque)
{
    CHECK(f, !f->pausing && !f->draining);
    *what = true;
    f->idle = idle;
    f->idle_opaque = opaque;
}

static void device_drain(PciDev *pci, void (*idle)(void *), void *opaque)
{
    Fixture *f = (Fixture *)pci;

    begin(f, &f->draining, idle, opaque);
}

static void device_pause(PciDev *pci, void (*idle)(void *), void *opaque)
{
    Fixture *f = (Fixture *)pci;

    CHECK(f, !f->paused);
    begin(f, &f->pausing, idle, opaque);
}

static void device_resume(PciDev *pci)
{
    Fixture *f = (Fixture *)pci;

    CHECK(f, f->paused && !f->pausing);
    f->paused = false;
}

static void device_reset(PciDev *pci)
{
    Fixture *f = (Fixture *)pci;

    CHECK(f, !f->pausing && !f->draining);
    f->resets++;
}

static const PciBar no_bars[] = { { .kind = PCI_BAR_NONE } };

static const PciDevOps device_ops = {
    .vendor = 0x1234,
    .device = 0x5678,
    .class_code = 0x010203,
    .bars = no_bars,
    .attach = device_attach,
    .detach = device_detach,
    .drain = device_drain,
    .pause = device_pause,
    .resume = device_resume,
    .reset = device_reset,
};

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->loop = loop_new("test", NULL);
    pci_dev_init(&f->pci, NULL, &device_ops, NULL);
    f->m = machine_new("test", f->loop, &f->pci, NULL);
    g_assert_nonnull(f->m);
    for (Verb verb = 0; verb < VERBS; verb++) {
        f->told[verb] = (Told){ .f = f, .verb = verb };
    }
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    machine_free(f->m);
    loop_free(f->loop);
}

/* ---- the steps ---- */

static void verb_done(void *opaque);

static void pause_machine(Fixture *f)
{
    f->told[PAUSE].under_way = f->want_paused = true;
    machine_pause(f->m, verb_done, &f->told[PAUSE]);
}

static void verb_done(void *opaque)
{
    Told *told = opaque;
    Fixture *f = told->f;

    CHECK(f, told->under_way);
    told->under_way = false;
    if (told->verb == PAUSE) {
        CHECK(f, f->paused && !f->pausing && !f->draining);
    } else {
        CHECK(f, f->resets > told->resets);
    }
    if (f->pause_again) {
        f->pause_again = false;
        pause_machine(f);
    }
}

static bool under_way(const Fixture *f, Verb verb)
{
    return f->told[verb].under_way;
}

static bool do_verb(Fixture *f, Verb verb, void (*fn)(RemoteMachine *, LoopFn *, void *))
{
    Told *told = &f->told[verb];

    if (told->under_way || (verb == RESET && under_way(f, DISCONNECT))) {
        return false;
    }
    told->under_way = true;
    told->resets = f->resets;
    fn(f->m, verb_done, told);
    CHECK(f, told->under_way); /* from the loop only */
    return true;
}

static void finish(Fixture *f)
{
    if (f->pausing || f->draining) {
        loop_defer(&f->idle_work);
    }
    while (loop_turn(f->loop, 0)) {
    }
}

static const char alphabet[] = "RCDPUF";

/* False: not allowed now. */
static bool step(Fixture *f, char what)
{
    switch (what) {
    case 'R':
        return do_verb(f, RESET, machine_reset);
    case 'C':
        return do_verb(f, CYCLE, machine_power_cycle);
    case 'D':
        return do_verb(f, DISCONNECT, machine_disconnect);
    case 'P':
        if (under_way(f, PAUSE)) {
            return false;
        }
        pause_machine(f);
        return true;
    case 'U':
        if (under_way(f, PAUSE)) {
            return false;
        }
        machine_resume(f->m);
        f->want_paused = false;
        return true;
    default:
        finish(f);
        return true;
    }
}

static bool busy(const Fixture *f)
{
    return under_way(f, RESET) || under_way(f, CYCLE) || under_way(f, DISCONNECT) ||
           under_way(f, PAUSE);
}

/* Whatever was asked for comes about, and the machine is as at first. */
static void come_to_rest(Fixture *f)
{
    for (unsigned n = 0; busy(f); n++) {
        CHECK(f, n < 2 * VERBS);
        finish(f);
    }
    CHECK(f, !f->pausing && !f->draining);
    CHECK(f, f->paused == f->want_paused);
    machine_resume(f->m);
    f->want_paused = false;
    CHECK(f, !f->paused);
}

static void run_sequence(Fixture *f, unsigned number)
{
    unsigned n = 0;

    for (; n < STEPS; number /= sizeof(alphabet) - 1) {
        f->steps[n++] = alphabet[number % (sizeof(alphabet) - 1)];
        f->steps[n] = '\0';
        if (!step(f, f->steps[n - 1])) {
            break; /* others have what came before */
        }
    }
    come_to_rest(f);
    f->sequences += n == STEPS;
}

static void test_all_orders(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    unsigned all = 1;

    for (unsigned n = 0; n < STEPS; n++) {
        all *= sizeof(alphabet) - 1;
    }
    for (unsigned number = 0; number < all; number++) {
        run_sequence(f, number);
    }
    g_test_message("%u of %u sequences are allowed", f->sequences, all);
    g_assert_cmpuint(f->sequences, >, all / 10);
}

/* Who is told of an end asks for a pause at once. */
static void test_pause_when_told(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const before[] = { "R", "C", "D", "RC", "RD", "CD", "RCD", "P", "PR", "PD" };

    for (unsigned i = 0; i < G_N_ELEMENTS(before); i++) {
        g_strlcpy(f->steps, before[i], sizeof(f->steps));
        for (const char *at = before[i]; *at; at++) {
            g_assert_true(step(f, *at));
        }
        f->pause_again = true;
        come_to_rest(f);
        g_assert_false(f->pause_again);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/machine-pause/all-orders", Fixture, NULL, setup, test_all_orders, teardown);
    g_test_add("/machine-pause/when-told", Fixture, NULL, setup, test_pause_when_told, teardown);
    return g_test_run();
}
