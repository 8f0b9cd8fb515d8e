/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of units and of their commands outlives a save and a restore into another bus with the same
 * units. The adapter's side of it is in test-lsi-state.
 */
#include "scsi-fixture.h"

#define MAX_TASKS 4

/* A disk, a removable one, a CD. */
typedef struct Machine {
    Fx fx;
    MemDisk *mem[3];
} Machine;

static void on_error(void *opaque G_GNUC_UNUSED, ScsiDev *dev G_GNUC_UNUSED,
                     const ScsiIoError *error G_GNUC_UNUSED)
{
}

static void on_tray(void *opaque G_GNUC_UNUSED, ScsiDev *dev G_GNUC_UNUSED,
                    bool open G_GNUC_UNUSED)
{
}

static const ScsiBusWatch watch = { .error = on_error, .tray = on_tray };

static void machine_init(Machine *m, bool first)
{
    fx_init(&m->fx, "hba,id=h");
    m->mem[0] = fx_node(&m->fx, "mem,node-name=a,size=4M");
    m->mem[1] = fx_node(&m->fx, "mem,node-name=b,size=1M");
    m->mem[2] = fx_node(&m->fx, "mem,node-name=c,size=1M,ro=on,read-only=on");
    fx_add(&m->fx, "scsi-hd,drive=a,rerror=stop,werror=stop");
    fx_add(&m->fx, "scsi-hd,drive=b,removable=on");
    fx_add(&m->fx, "scsi-cd,drive=c");
    scsi_bus_watch(m->fx.bus, &watch, NULL, NULL);
    fx_attach(&m->fx);
    for (unsigned id = 0; first && id < 3; id++) {
        fx_clear_ua(&m->fx, id, 0);
    }
}

typedef struct Saving {
    ScsiBus *bus;
    Task *task[MAX_TASKS];
    GByteArray *out;
} Saving;

static void on_idle(void *opaque)
{
    Saving *s = opaque;

    s->out = g_byte_array_new();
    for (unsigned i = 0; i < MAX_TASKS && s->task[i]; i++) {
        scsi_req_save(&s->task[i]->req, s->out);
    }
    scsi_bus_save(s->bus, s->out);
}

/* The bus and those of its commands that are not done. */
static GByteArray *save(Machine *m, Task *tasks, unsigned n)
{
    Saving s = { .bus = m->fx.bus };

    for (unsigned i = 0, at = 0; i < n; i++) {
        if (!tasks[i].n_done) {
            s.task[at++] = &tasks[i];
        }
    }
    scsi_bus_drain(m->fx.bus, on_idle, &s);
    while (!s.out) {
        g_assert_true(loop_turn(m->fx.loop, 0));
    }
    return s.out;
}

/* Into a new machine; tasks as they were given to save(). */
static void load(Machine *m, const GByteArray *state, Task *tasks, unsigned n)
{
    StreamIn in = { .data = state->data, .len = state->len };
    ScsiReqState *req[MAX_TASKS] = { NULL };
    g_autoptr(GError) err = NULL;
    ScsiBusState *bus;

    machine_init(m, false);
    for (unsigned i = 0; i < n; i++) {
        req[i] = scsi_req_parse(&in);
    }
    bus = scsi_bus_parse(m->fx.bus, &in);
    stream_end(&in, &err);
    g_assert_no_error(err);
    for (unsigned i = 0; i < n; i++) {
        tasks[i].fx = &m->fx;
        tasks[i].req.ops = &task_ops;
        scsi_resubmit(m->fx.bus, &tasks[i].req, req[i]);
    }
    scsi_bus_load(bus);
}

static void machine_end(Machine *m, Task *tasks, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!tasks[i].n_done) {
            scsi_cancel(&tasks[i].req);
        }
    }
    fx_fini(&m->fx);
}

/* ---- units ---- */

/* Write cache off, a reservation, what has been read; an open tray; a lock. */
static void test_units(void)
{
    static uint8_t data[64];
    g_autoptr(GByteArray) state = NULL;
    Task t = { .data = data, .size = sizeof(data) };
    Machine a, b;

    machine_init(&a, true);
    memcpy(data, "\0\0\0\0\x08\x12\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    task_run(&a.fx, &t, 0, 0, CDB(0x15, 0x10, 0, 0, 24, 0));
    assert_good(&t);
    memset(data, 0, sizeof(data));
    data[15] = 0x77;
    task_run(&a.fx, &t, 0, 0, CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0)); /* REGISTER */
    assert_good(&t);
    memset(data, 0, sizeof(data));
    data[7] = 0x77;
    task_run(&a.fx, &t, 0, 0, CDB(0x5f, 1, 3, 0, 0, 0, 0, 0, 24, 0)); /* RESERVE */
    assert_good(&t);
    task_run(&a.fx, &t, 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 3, 0));
    assert_good(&t);
    task_run(&a.fx, &t, 1, 0, CDB(0x1b, 0, 0, 0, 2, 0)); /* LOEJ */
    assert_good(&t);
    task_run(&a.fx, &t, 2, 0, CDB(0x1e, 0, 0, 0, 1, 0));
    assert_good(&t);
    state = save(&a, NULL, 0);
    machine_end(&a, NULL, 0);

    load(&b, state, NULL, 0);
    task_run(&b.fx, &t, 0, 0, CDB(0x1a, 8, 8, 0, 64, 0));
    assert_good(&t); /* not power-on's unit attention */
    g_assert_cmphex(data[6], ==, 0);
    task_run(&b.fx, &t, 0, 0, CDB(0x5e, 1, 0, 0, 0, 0, 0, 0, 24, 0));
    assert_good(&t);
    g_assert_cmphex(data[15], ==, 0x77);
    g_assert_cmphex(data[21], ==, 3);
    task_run(&b.fx, &t, 0, 0, CDB(0x4d, 0, 0x43, 0, 0, 0, 0, 0, 64, 0));
    assert_good(&t);
    g_assert_cmpuint(get_be64(data + 8), ==, 3 * 512);
    task_run(&b.fx, &t, 1, 0, CDB(0, 0, 0, 0, 0, 0));
    assert_sense(&t, 2, 0x3a, 2);
    task_run(&b.fx, &t, 2, 0, CDB(0x1b, 0, 0, 0, 2, 0));
    assert_sense(&t, 5, 0x53, 2); /* locked */
    machine_end(&b, NULL, 0);
}

/* Sense data that nobody has fetched, with its INFORMATION field. */
static void test_sense(void)
{
    static uint8_t data[64];
    g_autoptr(GByteArray) state = NULL;
    Task t = { .data = data, .size = sizeof(data) };
    Machine a, b;

    machine_init(&a, true);
    memset(data, 1, sizeof(data));
    task_run(&a.fx, &t, 0, 0, CDB(0x2f, 2, 0, 0, 0, 0, 0, 0, 1, 0));
    assert_sense(&t, 0xe, 0x1d, 0);
    scsi_status_sent(a.fx.bus, 0, 0);
    state = save(&a, NULL, 0);
    machine_end(&a, NULL, 0);
    load(&b, state, NULL, 0);
    task_run(&b.fx, &t, 0, 0, CDB(3, 0, 0, 0, 18, 0));
    assert_good(&t);
    g_assert_cmphex(data[2] & 0xf, ==, 0xe);
    g_assert_cmphex(data[12], ==, 0x1d);
    machine_end(&b, NULL, 0);
}

/* ---- commands ---- */

/* I/O that failed and waits for the guest to go on: what has its data at hand begins again, a write
 * whose data is gone is reported as aborted, for the initiator to try it again. */
static void test_kept(void)
{
    g_autofree uint8_t *out = g_malloc0(4096), *in = g_malloc0(4096);
    g_autoptr(GByteArray) state = NULL;
    Task t[2] = { { .data = out, .size = 4096, .req.attr = SCSI_SIMPLE },
                  { .data = in, .size = 4096, .req.attr = SCSI_SIMPLE, .req.tag = 1 } };
    Task again[2] = { { .data = out, .size = 4096 }, { .data = in, .size = 4096 } };
    Machine a, b;

    machine_init(&a, true);
    a.mem[0]->fail[BLOCK_READ] = a.mem[0]->fail[BLOCK_WRITE] = -EIO;
    task_submit(&a.fx, &t[0], 0, 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0));
    task_submit(&a.fx, &t[1], 0, 0, CDB(0x28, 0, 0, 0, 0, 64, 0, 0, 8, 0));
    fx_settle(&a.fx);
    g_assert_cmpuint(t[0].n_done + t[1].n_done, ==, 0);
    state = save(&a, t, 2);
    machine_end(&a, t, 2);

    memset(in, 0x5c, 4096);
    load(&b, state, again, 2);
    fx_settle(&b.fx);
    assert_sense(&again[0], 0xb, 0x44, 0);
    assert_good(&again[1]);
    g_assert_cmphex(in[4095], ==, 0); /* of the new machine's medium */
    g_assert_cmpuint(again[1].req.tag, ==, 1);
    machine_end(&b, again, 2);
}

/* What waits behind an ORDERED one keeps its place. */
static void test_order(void)
{
    static const ScsiAttr attrs[] = { SCSI_SIMPLE, SCSI_ORDERED, SCSI_SIMPLE, SCSI_HEAD };
    g_autoptr(GByteArray) state = NULL;
    Task t[4] = { 0 }, again[4] = { 0 };
    Machine a, b;

    machine_init(&a, true);
    for (unsigned i = 0; i < 4; i++) {
        t[i].req.attr = attrs[i];
        t[i].limit = 1; /* takes a byte, no more: nothing comes to its end */
        task_submit(&a.fx, &t[i], 0, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    }
    fx_settle(&a.fx);
    state = save(&a, t, 4);
    machine_end(&a, t, 4);
    load(&b, state, again, 4);
    fx_settle(&b.fx);
    for (unsigned i = 0; i < 4; i++) {
        assert_good(&again[i]);
    }
    g_assert_cmpuint(again[1].order, >, again[0].order);
    g_assert_cmpuint(again[2].order, >, again[1].order);
    machine_end(&b, again, 4);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-state/units", test_units);
    g_test_add_func("/scsi-state/sense", test_sense);
    g_test_add_func("/scsi-state/kept", test_kept);
    g_test_add_func("/scsi-state/order", test_order);
    return g_test_run();
}
