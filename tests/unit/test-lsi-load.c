/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LSI's saved state as a stream: whole, cut, for another machine, or with any field changed.
 */
#include "hw/scsi/lsi.h"
#include "lsi-tasks.h"

#include <string.h>

/* A device with all sorts of things under way, saved. */
static GByteArray *rich_state(void)
{
    LsiTest *t = lt_new("lsi53c895a", 2);
    GByteArray *state;

    tasks_start(t);
    lt_hold(false);
    while (t->s->resel.length < 2) {
        loop_turn(t->loop, 100);
    }
    lt_hold(true);
    lt_w8(t, LSI_STIME1, 0x0f);
    li_put_rw10(t, 0x28, 5, 3);
    li_emit_command(t, 1, 10);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 100), LT_DATA);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 2000), LT_DATA);
    lt_start(t, LT_SCRIPT);
    lt_hold(false);
    lt_turns(t, 30);
    state = lt_save(t);
    lt_free(t);
    return state;
}

/* Whatever it has been told it is: it can be used, and reset. */
static void poke(LsiTest *t)
{
    lt_turns(t, 3);
    for (unsigned off = 0; off < 0x100; off += 4) {
        lt_r32(t, off);
    }
    lt_w8(t, LSI_ISTAT0, ISTAT0_SIGP);
    lt_turns(t, 3);
    lt_w8(t, LSI_SCNTL1, SCNTL1_RST);
    lt_settle(t);
    pci_dev_reset(t->pci);
    lt_settle(t);
}

/* A refusal leaves no trace. */
static bool try_load(LsiTest *t, const GByteArray *state)
{
    g_autoptr(GError) err = NULL;
    g_autofree LsiState *before = g_memdup2(&t->s->st, sizeof(LsiState));

    if (lt_load(t, state, &err)) {
        poke(t);
        return true;
    }
    g_assert_nonnull(err);
    g_assert_cmpmem(before, sizeof(*before), &t->s->st, sizeof(LsiState));
    g_assert_cmpuint(t->s->n_tasks, ==, 0);
    return false;
}

static bool in_ram(guint i)
{
    const guint ram = 6 + PCI_CONFIG_SIZE + LSI_REGS;

    return i >= ram + 16 && i < ram + LSI_RAM_SIZE - 16;
}

static void test_load_every_field(void)
{
    static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    g_autoptr(GByteArray) state = rich_state();
    LsiTest *t = lt_new("lsi53c895a", 2);
    unsigned good = 0, bad = 0;

    g_assert_true(try_load(t, state));
    for (guint i = 0; i < state->len; i++) {
        uint8_t was = state->data[i];

        for (unsigned v = 0; v <= G_N_ELEMENTS(values) && !in_ram(i); v++) {
            state->data[i] = v < G_N_ELEMENTS(values) ? values[v] : g_test_rand_int_range(0, 256);
            if (try_load(t, state)) {
                good++;
            } else {
                bad++;
            }
        }
        state->data[i] = was;
    }
    g_test_message("%u accepted, %u refused", good, bad);
    g_assert_cmpuint(good, >, 100);
    g_assert_cmpuint(bad, >, 100);
    lt_free(t);
}

static void test_load_random(void)
{
    g_autoptr(GByteArray) state = rich_state();
    g_autofree uint8_t *orig = g_memdup2(state->data, state->len);
    LsiTest *t = lt_new("lsi53c895a", 2);

    for (unsigned i = 0; i < 2000; i++) {
        for (unsigned n = g_test_rand_int_range(1, 12); n-- > 0;) {
            guint at;

            do {
                at = g_test_rand_int_range(0, state->len);
            } while (in_ram(at));
            state->data[at] =
                g_test_rand_bit() ? g_test_rand_int_range(0, 256) : g_test_rand_int_range(0, 4);
        }
        try_load(t, state);
        memcpy(state->data, orig, state->len);
    }
    lt_free(t);
}

static void test_load_truncated(void)
{
    g_autoptr(GByteArray) state = rich_state();
    LsiTest *t = lt_new("lsi53c895a", 2);

    for (guint len = 0; len < state->len; len++) {
        g_autofree uint8_t *part = g_memdup2(state->data, len ? len : 1);
        GByteArray cut_off = { .data = part, .len = len };

        if (!in_ram(len)) {
            g_assert_false(try_load(t, &cut_off));
        }
    }
    g_byte_array_append(state, (const guint8 *)"", 1);
    g_assert_false(try_load(t, state));
    lt_free(t);
}

static guint field_at(const GByteArray *state, const char *name)
{
    /* behind config, registers and RAM: run carry insn_addr fetch move(8 4 4 4 1 1 1) ... */
    guint at = 6 + PCI_CONFIG_SIZE + LSI_REGS + LSI_RAM_SIZE;
    static const struct {
        const char *name;
        guint off;
    } offsets[] = {
        { "run", 0 },         { "phase", 41 },      { "target", 44 },      { "after", 50 },
        { "msg_in_len", 67 }, { "msg_in_pos", 68 }, { "msg_out_len", 85 }, { "cdb_len", 103 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(offsets); i++) {
        if (!strcmp(offsets[i].name, name)) {
            g_assert_cmpuint(at + offsets[i].off, <, state->len);
            return at + offsets[i].off;
        }
    }
    g_assert_not_reached();
}

/* The fields that index something, each just past its limit; CVE-2018-18849 was the first. */
static void test_load_cve_2018_18849(void)
{
    static const struct {
        const char *name;
        uint8_t limit;
    } fields[] = {
        { "msg_in_len", LSI_MSG_IN_MAX },
        { "msg_in_pos", LSI_MSG_IN_MAX },
        { "msg_out_len", LSI_MSG_OUT_MAX },
        { "cdb_len", SCSI_CDB_MAX },
        { "run", LSI_WAIT_MOVE },
        { "phase", 7 },
        { "target", 15 },
        { "after", LSI_AFTER_ABORT },
    };
    g_autoptr(GByteArray) state = rich_state();
    LsiTest *t = lt_new("lsi53c895a", 2);

    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        guint at = field_at(state, fields[i].name);
        uint8_t was = state->data[at];

        g_assert_cmpuint(was, <=, fields[i].limit);
        for (unsigned v = fields[i].limit + 1; v < 256; v++) {
            g_autoptr(GError) err = NULL;

            state->data[at] = v;
            g_assert_false(lt_load(t, state, &err));
            g_assert_nonnull(strstr(err->message, fields[i].name));
        }
        state->data[at] = was;
    }
    g_assert_true(try_load(t, state));
    lt_free(t);
}

/* Another model, fewer or more disks. */
static void test_load_elsewhere(void)
{
    g_autoptr(GByteArray) state = rich_state();
    static const struct {
        const char *model, *says;
        unsigned disks;
    } others[] = {
        { "lsi53c810", "saved state is of a device 1000:0012", 2 },
        { "lsi53c895a", "has 2 units, the bus of 'lsi0' has 1", 1 },
        { "lsi53c895a", "has 2 units, the bus of 'lsi0' has 3", 3 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        LsiTest *t = lt_new(others[i].model, others[i].disks);
        g_autoptr(GError) err = NULL;

        g_assert_false(lt_load(t, state, &err));
        g_assert_nonnull(strstr(err->message, others[i].says));
        lt_free(t);
    }
}

/* What was saved and loaded is saved as the same bytes. */
static void test_round_trip(void)
{
    g_autoptr(GByteArray) state = rich_state(), again = NULL;
    LsiTest *t = lt_new("lsi53c895a", 2);
    g_autoptr(GError) err = NULL;
    const guint timers = 6 + PCI_CONFIG_SIZE + LSI_REGS + LSI_RAM_SIZE + 105;

    lt_load(t, state, &err);
    g_assert_no_error(err);
    again = lt_save(t);
    g_assert_cmpmem(state->data, timers, again->data, timers);
    lt_free(t);
}

/* A freeze that is not followed by anything: the device goes on. */
static void test_thaw(void)
{
    LsiTest *t = lt_new("lsi53c895a", 2);
    uint32_t resel = tasks_start(t);

    for (unsigned done = 0; done < N_TASKS;) {
        g_autoptr(GByteArray) state = NULL;

        lt_start(t, resel);
        state = lt_save(t);
        lt_turns(t, 3);
        lsi_thaw(t->pci);
        lt_hold(false);
        lt_wait_stop(t);
        done += tasks_vector(t) == 0xe0;
    }
    tasks_check(t);
    lt_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lsi/state/thaw", test_thaw);
    g_test_add_func("/lsi/state/round-trip", test_round_trip);
    g_test_add_func("/lsi/state/load-every-field", test_load_every_field);
    g_test_add_func("/lsi/state/load-random", test_load_random);
    g_test_add_func("/lsi/state/load-truncated", test_load_truncated);
    g_test_add_func("/lsi/state/load-cve-2018-18849", test_load_cve_2018_18849);
    g_test_add_func("/lsi/state/load-elsewhere", test_load_elsewhere);
    return g_test_run();
}
