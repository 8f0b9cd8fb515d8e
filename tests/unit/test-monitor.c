/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor's middle and its calls on devices' threads, without a process around: commands of
 * this test, a loop on a thread that can be kept busy, answers that come late or never.
 */
#include "block/engine.h"
#include "hw/core/device.h"
#include "monitor/call.h"
#include "monitor/fds.h"
#include "monitor/monitor.h"
#include <string.h>

typedef struct Fx {
    Monitor *monitor;
    MonitorFds *fds;
    DeviceTree *tree;
    BlockGraph *graph;
    Loop *loop;
    GThread *thread;
    GMutex busy; /* held: the thread does nothing */
    unsigned ran, finished, released;
    CallPart *later; /* a part that the test ends */
} Fx;

static Fx *fx;

/* --- commands --- */

static void part_run(CallPart *part)
{
    __atomic_add_fetch(&fx->ran, 1, __ATOMIC_RELAXED);
    call_done(part);
}

static void part_run_later(CallPart *part)
{
    __atomic_add_fetch(&fx->ran, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&fx->later, part, __ATOMIC_RELEASE);
}

static void parts_finish(QmpRequest *req, const GPtrArray *parts)
{
    fx->finished++;
    qmp_return(req, json_integer(parts->len));
}

static void part_release(void *data)
{
    fx->released++;
    g_free(data);
}

static void start(QmpRequest *req, const CallKind *kind, unsigned n)
{
    MonitorCall *call = call_new(req, kind);

    for (unsigned i = 0; i < n; i++) {
        call_add(call, i == 0 ? fx->loop : NULL, g_malloc(1));
    }
    call_start(call);
}

static void do_call(QmpRequest *req)
{
    static const CallKind kind = { part_run, parts_finish, part_release };

    start(req, &kind, 2);
}

static void do_single(QmpRequest *req)
{
    static const CallKind kind = { part_run, parts_finish, part_release };

    start(req, &kind, 1);
}

static void do_later(QmpRequest *req)
{
    static const CallKind kind = { part_run_later, parts_finish, part_release };

    start(req, &kind, 1);
}

static void do_none(QmpRequest *req)
{
    static const CallKind kind = { part_run, parts_finish, part_release };

    start(req, &kind, 0);
}

static const QmpCommand commands[] = {
    { .name = "query", .ret = &qmp_int, .when = QMP_ALWAYS, .run = do_call, .help = "x" },
    { .name = "query-none", .ret = &qmp_int, .when = QMP_ALWAYS, .run = do_none, .help = "x" },
    { .name = "query-later", .ret = &qmp_int, .when = QMP_ALWAYS, .run = do_later, .help = "x" },
    { .name = "change", .ret = &qmp_int, .when = QMP_READY, .changes = true, .run = do_single,
      .help = "x" },
    { .name = "change-later", .ret = &qmp_int, .when = QMP_READY, .changes = true, .run = do_later,
      .help = "x" },
    { .name = NULL }
};
static const QmpEvent events[] = { { .name = "STOP", .help = "x" }, { .name = NULL } };
static const QmpCommand *const command_groups[] = { commands, NULL };
static const QmpEvent *const event_groups[] = { events, NULL };

/* --- fixture --- */

static void nothing(void *opaque G_GNUC_UNUSED)
{
}

static void *thread_main(void *opaque)
{
    loop_run(opaque);
    return NULL;
}

/* A test says who is to lose patience; everything else gets its answer however long it takes. */
enum { SOON = 1, NEVER = G_MAXINT };

static void setup(unsigned answer_ms, unsigned wait_ms)
{
    static const DeviceType *const types[] = { NULL };
    static const BlockDriver *const drivers[] = { NULL };
    static const BlockEngineType *const engines[] = { &block_engine_threads, NULL };

    fx = g_new0(Fx, 1);
    g_mutex_init(&fx->busy);
    fx->graph = block_graph_new(drivers, engines);
    fx->tree = device_tree_new(types, fx->graph);
    fx->loop = loop_new("device", NULL);
    fx->thread = g_thread_new("device", thread_main, fx->loop);
    fx->fds = monitor_fds_new();
    fx->monitor = monitor_new(&(MonitorConfig){
        .program = "test",
        .version = "1.2.3",
        .schema = { .commands = command_groups, .events = event_groups },
        .devices = fx->tree,
        .blocks = fx->graph,
        .fds = fx->fds,
        .answer_ms = answer_ms,
        .wait_ms = wait_ms,
        .idle = nothing,
    });
}

static void teardown(void)
{
    g_assert_true(monitor_is_idle(fx->monitor));
    monitor_free(fx->monitor);
    monitor_fds_free(fx->fds);
    loop_quit(fx->loop);
    g_thread_join(fx->thread);
    loop_free(fx->loop);
    device_tree_free(fx->tree);
    block_graph_free(fx->graph);
    g_mutex_clear(&fx->busy);
    g_free(fx);
}

typedef struct Answer {
    bool there;
    json_int_t value;
    char *error;
} Answer;

static void take_answer(QmpRequest *req, json_t *value, const QmpError *error)
{
    Answer *answer = req->opaque;

    g_assert_false(answer->there);
    answer->there = true;
    answer->value = json_integer_value(value);
    answer->error = error ? g_strdup(error->desc) : NULL;
}

static MonitorSession *session;

static void run(const char *name, Answer *answer)
{
    *answer = (Answer){ 0 };
    monitor_run(fx->monitor, session, qmp_command_find(&fx->monitor->config.schema, name), NULL,
                take_answer, answer);
}

static void wait_for(const Answer *answer)
{
    while (!answer->there) {
        g_main_context_iteration(NULL, TRUE);
    }
}

static void wait_idle(void)
{
    while (!monitor_is_idle(fx->monitor)) {
        g_main_context_iteration(NULL, TRUE);
    }
}

static void hold(void *opaque G_GNUC_UNUSED)
{
    g_mutex_lock(&fx->busy);
    g_mutex_unlock(&fx->busy);
}

/* From here to thread_go() the thread does nothing. */
static void thread_stall(LoopPost *post)
{
    *post = (LoopPost){ .fn = hold };
    g_mutex_lock(&fx->busy);
    loop_post(fx->loop, post);
}

static void thread_go(void)
{
    g_mutex_unlock(&fx->busy);
}

static void later_done(void *opaque)
{
    call_done(opaque);
}

/* --- cases --- */

static void test_answers(void)
{
    Answer one, two;

    setup(NEVER, NEVER);
    run("query", &one);
    run("query-none", &two);
    wait_for(&one);
    wait_for(&two);
    g_assert_cmpint(one.value, ==, 2);
    g_assert_cmpint(two.value, ==, 0);
    wait_idle();
    g_assert_cmpuint(fx->released, ==, 2);
    teardown();
}

/* What clients are promised. */
static void test_patience(void)
{
    setup(0, 0);
    g_assert_cmpuint(fx->monitor->config.answer_ms, ==, 1000);
    g_assert_cmpuint(fx->monitor->config.wait_ms, ==, 1000);
    teardown();
}

/* The query that comes too late has been answered; what it brings is dropped. */
static void test_busy_query(void)
{
    LoopPost post;
    Answer answer;

    setup(SOON, NEVER);
    thread_stall(&post);
    run("query", &answer);
    wait_for(&answer);
    g_assert_nonnull(strstr(answer.error, "busy"));
    g_assert_false(monitor_is_idle(fx->monitor));
    thread_go();
    wait_idle();
    g_assert_cmpuint(fx->ran, ==, 2);
    g_assert_cmpuint(fx->finished, ==, 0);
    g_assert_cmpuint(fx->released, ==, 2);
    g_free(answer.error);
    teardown();
}

/* A change that has not begun is called off. */
static void test_busy_change(void)
{
    LoopPost post;
    Answer answer;

    setup(SOON, NEVER);
    thread_stall(&post);
    run("change", &answer);
    wait_for(&answer);
    g_assert_nonnull(strstr(answer.error, "busy"));
    thread_go();
    wait_idle();
    g_assert_cmpuint(fx->ran, ==, 0);
    g_assert_cmpuint(fx->released, ==, 1);
    g_free(answer.error);
    teardown();
}

/* One that has begun is waited for; others that change something are not let in meanwhile, unless
 * there is no session that would wait for them. */
static void test_slow_change(void)
{
    LoopPost post = { .fn = later_done };
    Answer slow, other, query, inner;

    setup(NEVER, SOON);
    run("change-later", &slow);
    run("query", &query);
    wait_for(&query);
    session = monitor_session_new(fx->monitor, "s", MONITOR_CONTROL, false, nothing, NULL);
    run("change", &other);
    session = NULL;
    run("change", &inner);
    wait_for(&other);
    g_assert_nonnull(strstr(other.error, "busy: another command"));
    g_assert_false(slow.there);
    g_assert_false(inner.there);
    post.opaque = __atomic_load_n(&fx->later, __ATOMIC_ACQUIRE);
    g_assert_nonnull(post.opaque);
    loop_post(fx->loop, &post);
    wait_for(&slow);
    wait_for(&inner);
    g_assert_cmpint(slow.value, ==, 1);
    g_assert_cmpint(inner.value, ==, 1);
    wait_idle();
    g_free(other.error);
    teardown();
}

static void test_ending(void)
{
    LoopPost post = { .fn = later_done };
    Answer slow, waiting, late, query;

    setup(NEVER, NEVER);
    run("change-later", &slow);
    run("change", &waiting);
    while (!__atomic_load_n(&fx->later, __ATOMIC_ACQUIRE)) {
        g_thread_yield();
    }
    monitor_end(fx->monitor);
    run("change", &late);
    g_assert_nonnull(strstr(late.error, "about to end"));
    run("query", &query);
    wait_for(&query);
    g_assert_null(query.error);
    post.opaque = fx->later;
    loop_post(fx->loop, &post);
    wait_for(&slow);
    wait_for(&waiting);
    g_assert_null(slow.error);
    g_assert_nonnull(strstr(waiting.error, "about to end"));
    wait_idle();
    g_free(late.error);
    g_free(waiting.error);
    teardown();
}

/* --- the schema --- */

static QMP_CHOICE(choice, "Choice", "a", "b");
static QMP_STRUCT(inner, "Inner", QMP_MEMBER("n", qmp_int, NULL));
static QMP_LIST(inners, "[Inner]", inner);
static QMP_STRUCT(type, "Outer",
    QMP_MEMBER("s", qmp_str, NULL),
    QMP_OPTIONAL("c", choice, NULL),
    QMP_OPTIONAL("l", inners, NULL),
    QMP_OPTIONAL("x", qmp_number, NULL));

static void test_types(void)
{
    static const struct {
        const char *json, *error;
    } rows[] = {
        { "{'s':''}", NULL },
        { "{'s':'','c':'b','l':[{'n':1}],'x':1.5}", NULL },
        { "{'s':'','x':2}", NULL },
        { "{}", "Parameter 's' is missing" },
        { "{'s':1}", "Invalid parameter type for 's', expected: string" },
        { "{'s':'','c':'z'}", "Parameter 'c' does not accept value 'z'" },
        { "{'s':'','c':1}", "Invalid parameter type for 'c', expected: string" },
        { "{'s':'','l':{}}", "Invalid parameter type for 'l', expected: array" },
        { "{'s':'','l':[{'n':1},{}]}", "Parameter 'l[1].n' is missing" },
        { "{'s':'','l':[{'n':1.0}]}", "Invalid parameter type for 'l[0].n', expected: int" },
        { "{'s':'','l':[{'n':1,'m':2}]}", "Parameter 'l[0].m' is unexpected" },
        { "{'s':'','y':2}", "Parameter 'y' is unexpected" },
        { "[]", "Invalid parameter type for 'arguments', expected: object" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdelimit(g_strdup(rows[i].json), "'", '"');
        json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
        g_autoptr(GError) err = NULL;

        g_assert_nonnull(value);
        g_assert_cmpint(qmp_type_check(&type, value, NULL, &err), ==, !rows[i].error);
        g_assert_cmpstr(err ? err->message : NULL, ==, rows[i].error);
        json_decref(value);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/monitor/answers", test_answers);
    g_test_add_func("/monitor/patience", test_patience);
    g_test_add_func("/monitor/busy-query", test_busy_query);
    g_test_add_func("/monitor/busy-change", test_busy_change);
    g_test_add_func("/monitor/slow-change", test_slow_change);
    g_test_add_func("/monitor/ending", test_ending);
    g_test_add_func("/monitor/types", test_types);
    return g_test_run();
}
