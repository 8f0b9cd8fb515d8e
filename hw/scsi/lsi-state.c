/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The adapter's state as bytes, and back (DESIGN.md section 9): for save and restore of a machine,
 * live upgrade of the program, restart. lsi.h says who calls what when.
 *
 * The stream: magic, version, then in this order config space, LsiState field by field, timers,
 * tasks in the order in which they came, the queue of reselections, the bus with its units. All is
 * fixed-width and little-endian. A new field makes a new version; a loader of version n reads
 * versions 1 to n.
 *
 * SCRIPTS stand still where they are, whatever they wait for: LsiRun and LsiMove say that. Commands
 * are issued again as scsi.h describes; the one that is connected goes on where it was. In a data
 * phase REQ is down until the target has its data at hand again, and it holds the bus meanwhile.
 *
 * The loader is a door. It parses everything into memory of its own, checks every index, length
 * and enum (CVE-2018-18849 was a message length) and what must hold between fields, and only then
 * touches the device: a stream that is refused leaves it as it was.
 */
#include "hw/scsi/lsi.h"
#include "hw/scsi/lsi-internal.h"

#include <string.h>

#include "util/error.h"

#define LSI_STATE_MAGIC 0x53495343u /* "CSIS" */
#define LSI_STATE_VERSION 1
/* GEN and HTH: 2.048 s, 16 times that with the scale bit. */
#define TIMER_MAX_NS INT64_C(33000000000)
#define NO_INDEX 0xffff
/* Those past LSI_MAX_TASKS are refused, but wait for somebody to take their status. */
#define TASKS_MAX (4 * LSI_MAX_TASKS)

/* What a stream says, until it is known to be good. */
typedef struct Parsed {
    const uint8_t *config;
    LsiState st;
    int64_t gen_ns, hth_ns; /* left; 0: not armed */
    unsigned n_tasks;
    struct ParsedTask {
        bool disc_priv, finished, moving;
        ScsiReqState *req; /* NULL once issued, or if finished */
        uint8_t target, lun, attr, status;
        uint16_t tag;
    } * task;
    unsigned current; /* NO_INDEX: none */
    unsigned n_resel;
    uint16_t *resel; /* tasks */
    ScsiBusState *bus;
} Parsed;

/* ---- LsiState, field by field ---- */

typedef struct Field {
    const char *name;
    uint16_t offset, size;
    uint64_t max;
    bool bytes;
} Field;

#define INT(f, max_)                                                                               \
    {                                                                                              \
        .name = #f, .offset = offsetof(LsiState, f), .size = sizeof(((LsiState *)0)->f),           \
        .max = (max_)                                                                              \
    }
#define FLAG(f) INT(f, 1)
#define BYTES(f)                                                                                   \
    {                                                                                              \
        .name = #f, .offset = offsetof(LsiState, f), .size = sizeof(((LsiState *)0)->f),           \
        .bytes = true                                                                              \
    }

static const Field fields[] = {
    BYTES(reg),
    BYTES(ram),
    INT(run, LSI_WAIT_MOVE),
    FLAG(carry),
    INT(insn_addr, UINT32_MAX),
    BYTES(fetch),
    INT(move.addr, UINT64_MAX),
    INT(move.left, 0xffffff),
    INT(move.count, 0xffffff),
    INT(move.entry_addr, UINT32_MAX),
    INT(move.phase, 7),
    INT(move.rbc_top, UINT8_MAX),
    FLAG(move.first),
    FLAG(connected),
    FLAG(reselected),
    FLAG(absent),
    FLAG(req),
    INT(phase, 7),
    FLAG(ack_held),
    FLAG(rst),
    INT(target, SCSI_MAX_ID - 1),
    INT(lun, 0x3f),
    INT(tag, UINT8_MAX),
    INT(attr, SCSI_ORDERED),
    FLAG(identified),
    FLAG(disc_priv),
    INT(after, LSI_AFTER_ABORT),
    BYTES(msg_in),
    INT(msg_in_len, LSI_MSG_IN_MAX),
    INT(msg_in_pos, LSI_MSG_IN_MAX),
    BYTES(msg_out),
    INT(msg_out_len, LSI_MSG_OUT_MAX),
    INT(msg_out_skip, UINT8_MAX),
    BYTES(cdb),
    INT(cdb_len, SCSI_CDB_MAX),
    INT(resel_lost, LSI_RESEL_PATIENCE),
};

static uint64_t field_value(const LsiState *st, const Field *f)
{
    const uint8_t *p = (const uint8_t *)st + f->offset;
    uint64_t v64;
    uint32_t v32;

    switch (f->size) {
    case 1:
        return *p;
    case 4:
        memcpy(&v32, p, 4);
        return v32;
    default:
        memcpy(&v64, p, 8);
        return v64;
    }
}

static void field_set(LsiState *st, const Field *f, uint64_t value)
{
    uint8_t *p = (uint8_t *)st + f->offset;
    uint32_t v32 = (uint32_t)value;

    switch (f->size) {
    case 1:
        *p = (uint8_t)value;
        break;
    case 4:
        memcpy(p, &v32, 4);
        break;
    default:
        memcpy(p, &value, 8);
        break;
    }
}

static void fields_save(const LsiState *st, GByteArray *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        const Field *f = &fields[i];

        if (f->bytes) {
            g_byte_array_append(out, (const uint8_t *)st + f->offset, f->size);
        } else {
            stream_put(out, field_value(st, f), f->size);
        }
    }
}

static void fields_parse(LsiState *st, StreamIn *in)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        const Field *f = &fields[i];

        if (f->bytes) {
            const uint8_t *p = stream_get_bytes(in, f->name, f->size);

            if (p) {
                memcpy((uint8_t *)st + f->offset, p, f->size);
            }
        } else {
            field_set(st, f, stream_get(in, f->name, f->size, f->max));
        }
    }
}

/* ---- save ---- */

static int64_t timer_left(const LoopTimer *timer)
{
    int64_t left = timer->deadline_ns - loop_now_ns(); /* once: MAX() takes its arguments twice */

    return loop_timer_armed(timer) ? MAX(left, 1) : 0;
}

static void task_save(const Lsi *s, const LsiTask *t, GByteArray *out)
{
    stream_put(out, t->disc_priv, 1);
    stream_put(out, t->finished, 1);
    stream_put(out, t->can_move || t->hold_bus, 1);
    stream_put(out, t == s->current, 1);
    if (!t->finished) {
        scsi_req_save(&t->req, out);
        return;
    }
    stream_put(out, t->req.target, 1);
    stream_put(out, t->req.lun, 1);
    stream_put(out, t->req.attr, 1);
    stream_put(out, t->req.tag, 2);
    stream_put(out, t->req.status, 1);
}

static void tasks_save(const Lsi *s, GByteArray *out)
{
    g_autoptr(GPtrArray) tasks = g_ptr_array_new();
    guint at;

    for (LsiTask *t = s->tasks; t; t = t->next) {
        g_ptr_array_insert(tasks, 0, t); /* the list has the newest first */
    }
    stream_put(out, tasks->len, 2);
    for (guint i = 0; i < tasks->len; i++) {
        task_save(s, tasks->pdata[i], out);
    }
    stream_put(out, s->resel.length, 2);
    for (GList *l = s->resel.head; l; l = l->next) {
        if (g_ptr_array_find(tasks, l->data, &at)) {
            stream_put(out, at, 2);
        }
    }
}

GByteArray *lsi_save(PciDev *pci)
{
    Lsi *s = (Lsi *)pci;
    GByteArray *out = g_byte_array_new();

    g_assert(s->frozen && !s->executing && !s->zombies);
    stream_put(out, LSI_STATE_MAGIC, 4);
    stream_put(out, LSI_STATE_VERSION, 2);
    pci_dev_save(pci, out);
    fields_save(&s->st, out);
    stream_put(out, (uint64_t)timer_left(&s->gen_timer), 8);
    stream_put(out, (uint64_t)timer_left(&s->hth_timer), 8);
    tasks_save(s, out);
    scsi_bus_save(s->scsi, out);
    return out;
}

/* ---- parse ---- */

static void finished_parse(struct ParsedTask *t, StreamIn *in)
{
    t->target = (uint8_t)stream_get(in, "target", 1, SCSI_MAX_ID - 1);
    t->lun = (uint8_t)stream_get(in, "lun", 1, 0x3f);
    t->attr = (uint8_t)stream_get(in, "attr", 1, SCSI_ORDERED);
    t->tag = (uint16_t)stream_get(in, "tag", 2, UINT8_MAX);
    t->status = (uint8_t)stream_get(in, "status", 1, UINT8_MAX);
}

static void task_parse(Parsed *p, unsigned i, StreamIn *in)
{
    struct ParsedTask *t = &p->task[i];
    bool current;

    t->disc_priv = stream_get(in, "task disc_priv", 1, 1);
    t->finished = stream_get(in, "task finished", 1, 1);
    t->moving = stream_get(in, "task moving", 1, !t->finished);
    current = stream_get(in, "task current", 1, p->current == NO_INDEX);
    if (current) {
        p->current = i;
    }
    if (t->finished) {
        finished_parse(t, in);
        return;
    }
    t->req = scsi_req_parse(in);
    if (t->req) {
        scsi_req_state_nexus(t->req, &t->target, &t->lun);
    }
}

static void resel_parse(Parsed *p, StreamIn *in)
{
    unsigned n = (unsigned)stream_get(in, "reselections", 2, p->n_tasks);

    p->resel = g_new0(uint16_t, n);
    while (p->n_resel < n && !stream_failed(in)) {
        unsigned at = (unsigned)stream_get(in, "reselection", 2, p->n_tasks - 1);

        for (unsigned i = 0; i < p->n_resel; i++) {
            if (p->resel[i] == at) {
                stream_fail(in, "saved state has a task twice in the reselection queue");
            }
        }
        p->resel[p->n_resel++] = (uint16_t)at;
    }
}

/* What must hold between fields, else a later step would act on what is not there. */
static void check_bus(const Lsi *s, const Parsed *p, StreamIn *in)
{
    const LsiState *st = &p->st;
    const struct ParsedTask *cur = p->current == NO_INDEX ? NULL : &p->task[p->current];
    const struct {
        bool wrong;
        const char *what;
    } checks[] = {
        { st->target >= s->model->max_id, "target" },
        { st->msg_in_pos > st->msg_in_len, "msg_in_pos" },
        { !lsi_msg_out_valid(st), "msg_out" },
        { st->move.left > st->move.count, "move.left" },
        { st->run == LSI_WAIT_MOVE && !st->move.left, "move.left" },
        { st->connected && st->absent, "absent" },
        { !st->connected && (st->req || st->ack_held || st->reselected || cur), "connected" },
        { cur && (cur->target != st->target || cur->lun != st->lun), "current task" },
        { st->req && st->phase == PHASE_STATUS && !(cur && cur->finished), "phase" },
        { !lsi_regs_valid(s, st->reg), "reg" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(checks); i++) {
        if (checks[i].wrong) {
            stream_fail(in, "saved state contradicts itself in '%s'", checks[i].what);
            return;
        }
    }
    for (unsigned i = 0; i < p->n_resel; i++) {
        if (p->resel[i] == p->current) {
            stream_fail(in, "saved state has the connected task in the reselection queue");
        }
    }
}

static void parse(const Lsi *s, Parsed *p, StreamIn *in)
{
    *p = (Parsed){ .current = NO_INDEX };
    if (stream_get(in, "magic", 4, UINT32_MAX) != LSI_STATE_MAGIC) {
        stream_fail(in, "this is no saved state of an LSI adapter");
    }
    if (stream_get(in, "version", 2, UINT16_MAX) != LSI_STATE_VERSION) {
        stream_fail(in, "saved state of an LSI adapter has a version other than %u",
                    LSI_STATE_VERSION);
    }
    p->config = pci_dev_check(&s->pci, in);
    fields_parse(&p->st, in);
    p->gen_ns = (int64_t)stream_get(in, "gen timer", 8, TIMER_MAX_NS);
    p->hth_ns = (int64_t)stream_get(in, "hth timer", 8, TIMER_MAX_NS);
    p->n_tasks = (unsigned)stream_get(in, "tasks", 2, TASKS_MAX);
    p->task = g_new0(struct ParsedTask, p->n_tasks);
    for (unsigned i = 0; i < p->n_tasks && !stream_failed(in); i++) {
        task_parse(p, i, in);
    }
    resel_parse(p, in);
    p->bus = scsi_bus_parse(s->scsi, in);
    if (!stream_failed(in)) {
        check_bus(s, p, in);
    }
}

static void parsed_free(Parsed *p)
{
    for (unsigned i = 0; i < p->n_tasks; i++) {
        scsi_req_state_free(p->task[i].req);
    }
    g_free(p->task);
    g_free(p->resel);
    scsi_bus_state_free(p->bus);
}

/* ---- load ---- */

static void timer_load(LoopTimer *timer, int64_t left)
{
    loop_timer_disarm(timer);
    if (left) {
        loop_timer_arm(timer, loop_now_ns() + left);
    }
}

/* Finished ones queue for reselection at once, in their order; the others when they are ready. */
static void tasks_load(Lsi *s, Parsed *p)
{
    g_autofree LsiTask **tasks = g_new(LsiTask *, p->n_tasks);

    for (unsigned i = 0; i < p->n_tasks; i++) {
        struct ParsedTask *t = &p->task[i];

        tasks[i] = lsi_task_new(s);
        tasks[i]->disc_priv = t->disc_priv;
        tasks[i]->hold_bus = t->moving && i == p->current;
        if (t->req) {
            scsi_resubmit(s->scsi, &tasks[i]->req, g_steal_pointer(&t->req));
        } else {
            tasks[i]->finished = true;
            tasks[i]->req.target = t->target;
            tasks[i]->req.lun = t->lun;
            tasks[i]->req.attr = (ScsiAttr)t->attr;
            tasks[i]->req.tag = t->tag;
            tasks[i]->req.status = t->status;
        }
    }
    s->current = p->current == NO_INDEX ? NULL : tasks[p->current];
    for (unsigned i = 0; i < p->n_resel; i++) {
        if (tasks[p->resel[i]]->finished) {
            lsi_task_queue(tasks[p->resel[i]]);
        }
    }
}

bool lsi_load(PciDev *pci, const void *data, size_t len, GError **errp)
{
    Lsi *s = (Lsi *)pci;
    StreamIn in = { .data = data, .len = len };
    Parsed p;

    g_assert(!s->tasks && !s->zombies && !s->executing);
    parse(s, &p, &in);
    if (!stream_end(&in, errp)) {
        parsed_free(&p);
        return false;
    }
    pci_dev_load(pci, p.config);
    s->st = p.st;
    s->epoch++;
    if (s->st.phase == PHASE_DATA_IN || s->st.phase == PHASE_DATA_OUT) {
        s->st.req = false; /* until the target has its data again */
    }
    tasks_load(s, &p);
    scsi_bus_load(g_steal_pointer(&p.bus));
    timer_load(&s->gen_timer, p.gen_ns);
    timer_load(&s->hth_timer, p.hth_ns);
    lsi_irq_update(s);
    lsi_thaw(pci);
    parsed_free(&p);
    return true;
}

/* ---- standing still ---- */

void lsi_freeze(PciDev *pci, void (*idle)(void *opaque), void *opaque)
{
    Lsi *s = (Lsi *)pci;

    s->frozen = true;
    scsi_bus_drain(s->scsi, idle, opaque);
}

void lsi_thaw(PciDev *pci)
{
    Lsi *s = (Lsi *)pci;

    s->frozen = false;
    loop_defer(&s->run_work);
    loop_yield(&s->disc_work);
}
