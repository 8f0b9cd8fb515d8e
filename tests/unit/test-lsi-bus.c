/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI bus behind the LSI: nexus, phases, disconnection and reselection, messages.
 */
#include "lsi-initiator.h"

#include <string.h>

static void test_tagged_read_write(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 0x5c };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    Dispatch d = li_dispatch(t, 0, sizeof(msg), 10);

    li_put_msg(t, msg, sizeof(msg));
    li_put_table(t, M_DSA, LT_DATA, 1000, 1048);
    memset(t->ram + LT_DATA, 0x3c, 2048);
    li_put_rw10(t, 0x2a, 40, 4);
    li_run_to_complete(t, &d, d.start);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
    memset(t->ram + LT_DATA, 0, 2048);
    li_put_rw10(t, 0x28, 39, 4);
    li_run_to_complete(t, &d, d.start);
    g_assert_cmphex(t->ram[LT_DATA], ==, lt_pattern(0, 39));
    g_assert_cmphex(t->ram[LT_DATA + 512], ==, 0x3c);
    g_assert_cmphex(t->ram[LT_DATA + 2047], ==, 0x3c);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, 0); /* no UDC */
    lt_free(t);
}

/* The reselection: SSID, IDENTIFY, tag in SIDL, and RSL posted without stopping anything. */
static void test_reselect(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 0x77 };
    LsiTest *t = lt_new_ready("lsi53c895a", 2);
    Dispatch d = li_dispatch(t, 1, sizeof(msg), 10);

    li_put_msg(t, msg, sizeof(msg));
    li_put_table(t, M_DSA, LT_DATA, 512, 512);
    li_put_rw10(t, 0x28, 11, 2);
    lt_hold(true);
    lt_run(t, d.start);
    g_assert_cmphex(li_vector(t), ==, V_DISCONNECTED);
    g_assert_cmphex(lt_r8(t, LSI_SCNTL1) & SCNTL1_CON, ==, 0);
    lt_start(t, d.reselect);
    lt_turns(t, 5);
    g_assert_cmpint(t->s->st.run, ==, LSI_WAIT_RESELECT);
    lt_hold(false);
    lt_wait_stop(t);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_RSL);
    g_assert_cmphex(li_vector(t), ==, V_RESELECTED);
    g_assert_cmphex(lt_r8(t, LSI_SSID), ==, 0x81);
    g_assert_cmphex(t->ram[M_MSG_IN], ==, 0x80);
    g_assert_cmphex(t->ram[M_MSG_IN + 1], ==, 0x20);
    g_assert_cmphex(t->ram[M_MSG_IN + 2], ==, 0x77);
    g_assert_cmphex(lt_r8(t, LSI_SIDL), ==, 0x77);
    g_assert_cmphex(lt_r8(t, LSI_SCNTL2) & SCNTL2_SDU, ==, SCNTL2_SDU);
    li_run_to_complete(t, &d, d.phases);
    li_expect_blocks(t, 1, 11, 2);
    lt_free(t);
}

/* A script that leaves SDU set: that the bus goes free after DISCONNECT and COMMAND COMPLETE is not
 * unexpected. */
static void test_legal_disconnect(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 0x77 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    li_put_msg(t, msg, sizeof(msg));
    li_put_rw10(t, 0x28, 11, 1);
    lt_hold(true);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 3), M_MSG_OUT);
    lt_emit(t, I_MOVE(PHASE_COMMAND, 10), M_CDB);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 2), M_MSG_IN);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, V_DISCONNECTED);
    lt_emit(t, I_WAIT_RESEL, 0);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 3), M_MSG_IN);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_MOVE(PHASE_DATA_IN, 512), LT_DATA);
    lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_STATUS);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, V_COMPLETE);
    lt_run(t, LT_SCRIPT);
    g_assert_cmphex(lt_r8(t, LSI_SCNTL2) & SCNTL2_SDU, ==, SCNTL2_SDU);
    g_assert_cmphex(li_vector(t), ==, V_DISCONNECTED);
    lt_hold(false);
    lt_run(t, LT_SCRIPT + 7 * 8);
    g_assert_cmphex(li_vector(t), ==, V_COMPLETE);
    li_expect_blocks(t, 0, 11, 1);
    lt_free(t);
}

/* SIGP while commands are out: WAIT RESELECT takes its alternate, and nothing is lost. */
static void test_sigp_while_waiting(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 0x01 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    Dispatch d = li_dispatch(t, 0, sizeof(msg), 10);

    li_put_msg(t, msg, sizeof(msg));
    li_put_table(t, M_DSA, LT_DATA, 512, 512);
    li_put_rw10(t, 0x28, 20, 2);
    lt_hold(true);
    lt_run(t, d.start);
    g_assert_cmphex(li_vector(t), ==, V_DISCONNECTED);
    lt_start(t, d.reselect);
    lt_turns(t, 3);
    lt_w8(t, LSI_ISTAT0, ISTAT0_SIGP);
    lt_wait_stop(t);
    g_assert_cmphex(li_vector(t), ==, V_SIGP);
    lt_w8(t, LSI_ISTAT0, 0);
    lt_hold(false);
    li_run_to_complete(t, &d, d.reselect);
    li_expect_blocks(t, 0, 20, 2);
    lt_free(t);
}

/* A pending reselection loses to some selections, then SELECT takes its alternate. */
static void test_reselect_races_select(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 0x02 }, tur[6] = { 0 };
    LsiTest *t = lt_new_ready("lsi53c895a", 2);
    Dispatch d = li_dispatch(t, 0, sizeof(msg), 10);
    unsigned won = 0;

    lt_w8(t, LSI_SCID, 0x47);
    li_put_msg(t, msg, sizeof(msg));
    li_put_table(t, M_DSA, LT_DATA, 512, 512);
    li_put_rw10(t, 0x28, 30, 2);
    lt_hold(true);
    lt_run(t, d.start);
    g_assert_cmphex(li_vector(t), ==, V_DISCONNECTED);
    lt_hold(false);
    while (g_queue_is_empty(&t->s->resel)) {
        loop_turn(t->loop, 100);
    }
    li_put_cdb(t, tur, 6);
    d = li_dispatch(t, 1, sizeof(msg), 6); /* the alternate is WAIT RESELECT, which falls through */
    for (;; won++) {
        lt_run(t, d.start);
        if (li_vector(t) == V_RESELECTED) {
            break;
        }
        g_assert_cmpuint(won, <, 100);
    }
    g_assert_cmpuint(won, >, 0);
    g_assert_cmphex(lt_r8(t, LSI_SSID), ==, 0x80);
    li_put_table(t, M_DSA, LT_DATA, 512, 512);
    li_run_to_complete(t, &d, d.phases);
    li_expect_blocks(t, 0, 30, 2);
    lt_free(t);
}

/* Without DiscPriv the target holds the bus. */
static void test_no_disc_priv(void)
{
    static const uint8_t msg[] = { 0x80 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    Dispatch d = li_dispatch(t, 0, sizeof(msg), 10);

    li_put_msg(t, msg, sizeof(msg));
    for (unsigned i = 0; i < 20; i++) {
        li_put_table(t, M_DSA, LT_DATA, 512, 512);
        li_put_rw10(t, 0x28, i, 2);
        lt_run(t, d.start);
        g_assert_cmphex(li_vector(t), ==, V_COMPLETE);
        li_expect_blocks(t, 0, i, 2);
    }
    lt_free(t);
}

/* Many tagged commands on two targets at once, each served exactly once. */
static void test_many_tags(void)
{
    enum { N = 128 };
    LsiTest *t = lt_new_ready("lsi53c895a", 2);
    unsigned done = 0, issued = 0;
    uint8_t seen[N] = { 0 };
    uint32_t dsp;
    int tag = -1;

    while (done < N) {
        Dispatch d = li_dispatch(t, issued & 1, 3, 10);
        if (tag < 0 && issued < N) {
            const uint8_t msg[] = { 0xc0, 0x20, issued };
            tag = issued++;
            li_put_msg(t, msg, 3);
            li_put_rw10(t, 0x28, tag, 1);
            dsp = d.start;
        } else {
            dsp = tag < 0 ? d.reselect : d.phases;
        }
        li_put_table(t, M_DSA, LT_DATA + 512 * MAX(tag, 0), 256, 256);
        lt_run(t, dsp);
        switch (li_vector(t)) {
        case V_COMPLETE:
            g_assert_cmpuint(seen[tag]++, ==, 0);
            g_assert_cmphex(t->ram[LT_DATA + 512 * tag], ==, lt_pattern(tag & 1, tag));
            g_assert_cmphex(t->ram[LT_DATA + 512 * tag + 511], ==, lt_pattern(tag & 1, tag));
            done++;
            tag = -1;
            break;
        case V_DISCONNECTED:
            tag = -1;
            break;
        case V_RESELECTED: /* also where SELECT lost to it: then that command is to be repeated */
            if (dsp == d.start) {
                issued--;
            }
            tag = lt_r8(t, LSI_SIDL);
            g_assert_cmphex(lt_r8(t, LSI_SSID) & 0xf, ==, tag & 1);
            break;
        default:
            g_assert_not_reached();
        }
    }
    lt_free(t);
}

#define TARGETS 4
#define TAGS 64

/* One data block for each, where the tag and the target say. */
static uint32_t data_of(unsigned target, unsigned tag)
{
    return LT_DATA + (target * TAGS + tag) * 512;
}

/* 64 commands on each of four targets at once; each comes back with its own data. */
static void test_depth(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", TARGETS);
    bool seen[TARGETS][TAGS] = { 0 };

    lt_hold(true);
    for (unsigned i = 0; i < TARGETS * TAGS; i++) {
        li_put_rw10(t, 0x28, i, 1);
        li_put_msg(t, (const uint8_t[]){ 0xc0, 0x20, i / TARGETS }, 3);
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_SELECT_ATN(i % TARGETS), 0);
        lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
        lt_emit(t, I_MOVE(PHASE_MSG_OUT, 3), M_MSG_OUT);
        lt_emit(t, I_MOVE(PHASE_COMMAND, 10), M_CDB);
        lt_emit(t, I_MOVE(PHASE_MSG_IN, 2), M_MSG_IN);
        lt_emit(t, I_CLEAR(I_ACK), 0);
        lt_emit(t, I_WAIT_DISC, 0);
        lt_emit(t, I_INT, 2);
        lt_run_int(t, LT_SCRIPT, 2);
    }
    g_assert_cmpuint(t->s->n_tasks, ==, TARGETS * TAGS);
    lt_hold(false);
    for (unsigned i = 0; i < TARGETS * TAGS; i++) {
        unsigned target, tag;

        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_WAIT_RESEL, 0);
        lt_emit(t, I_MOVE(PHASE_MSG_IN, 3), M_MSG_IN);
        lt_emit(t, I_INT, 3);
        lt_run_int(t, LT_SCRIPT, 3);
        target = lt_r8(t, LSI_SSID) & 0x0f;
        tag = lt_r8(t, LSI_SIDL);
        g_assert_cmpuint(target, <, TARGETS);
        g_assert_cmpuint(tag, <, TAGS);
        g_assert_false(seen[target][tag]);
        seen[target][tag] = true;
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_CLEAR(I_ACK), 0);
        lt_emit(t, I_MOVE(PHASE_DATA_IN, 512), data_of(target, tag));
        lt_emit(t, I_MOVE(PHASE_STATUS, 1), M_STATUS);
        lt_emit(t, I_MOVE(PHASE_MSG_IN, 1), M_MSG_IN);
        lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
        lt_emit(t, I_CLEAR(I_ACK), 0);
        lt_emit(t, I_WAIT_DISC, 0);
        lt_emit(t, I_INT, 4);
        lt_run(t, LT_SCRIPT);
        lt_r8(t, LSI_DSTAT);
        lt_r8(t, LSI_SIST0);
        g_assert_cmphex(lt_r32(t, LSI_DSPS), ==, 4);
        g_assert_cmphex(t->ram[data_of(target, tag) + 511], ==,
                        lt_pattern(target, tag * TARGETS + target));
    }
    g_assert_cmpuint(t->s->n_tasks, ==, 0);
    lt_free(t);
}

/* Two tagged commands fail at depth two: each REQUEST SENSE finds what its own command left, though
 * the second was on its way before the status of the first was told. */
static void test_sense_at_depth(void)
{
    enum { N = 2 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    unsigned failed = 0;
    uint32_t dsp = 0;

    for (unsigned i = 0; i < N; i++) {
        const uint8_t msg[] = { 0xc0, 0x20, i };
        Dispatch d = li_dispatch(t, 0, 3, 10);
        li_put_msg(t, msg, 3);
        li_put_table(t, M_DSA, LT_DATA, 256, 256);
        li_put_rw10(t, 0x28, i ? LT_DISK_BLOCKS : 3, 1); /* the second one is out of range */
        lt_hold(i == 0);
        lt_run(t, d.start);
        if (li_vector(t) == V_COMPLETE) {
            g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_CHECK_CONDITION);
            failed++;
        } else {
            dsp = d.reselect;
        }
    }
    g_assert_cmpuint(failed, ==, 1);
    li_firmware_sense(t, 0, 0x05, 0x21, 0x00);
    lt_hold(false);
    Dispatch d = li_dispatch(t, 0, 3, 10);
    li_put_table(t, M_DSA, LT_DATA, 256, 256);
    li_run_to_complete(t, &d, dsp);
    g_assert_cmphex(t->ram[M_STATUS], ==, SCSI_GOOD);
    li_expect_blocks(t, 0, 3, 1);
    lt_free(t);
}

static void expect_answer(LsiTest *t, const char *model, const uint8_t *msg, unsigned len,
                          const uint8_t *answer)
{
    Dispatch d = li_dispatch(t, 0, len, 6);

    li_put_msg(t, msg, len);
    li_put_cdb(t, (const uint8_t[6]){ 0 }, 6);
    lt_run(t, d.start);
    g_assert_cmphex(li_vector(t), ==, V_EXTENDED);
    g_assert_cmphex(t->ram[M_MSG_IN + 1], ==, answer[1]);
    lt_org(t, LT_SCRIPT + 0x600);
    lt_emit(t, I_MOVE(PHASE_MSG_IN, answer[1]), M_MSG_IN + 2);
    lt_emit(t, I_CLEAR(I_ACK), 0);
    lt_emit(t, I_JUMP, d.phases);
    lt_run(t, LT_SCRIPT + 0x600);
    g_assert_cmphex(li_vector(t), ==, V_COMPLETE);
    g_test_message("%s", model);
    g_assert_cmpmem(t->ram + M_MSG_IN + 2, answer[1], answer + 2, answer[1]);
}

static void test_negotiation(void)
{
    static const uint8_t sdtr[] = { 0x80, 1, 3, 1, 9, 63 }, wdtr[] = { 0x80, 1, 2, 3, 2 },
                         ppr[] = { 0x80, 1, 6, 4, 8, 0, 99, 1, 2 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    expect_answer(t, "895a", sdtr, sizeof(sdtr), (const uint8_t[]){ 1, 3, 1, 10, 31 });
    expect_answer(t, "895a", wdtr, sizeof(wdtr), (const uint8_t[]){ 1, 2, 3, 1 });
    expect_answer(t, "895a", ppr, sizeof(ppr), (const uint8_t[]){ 1, 6, 4, 10, 0, 31, 1, 0 });
    lt_free(t);
    t = lt_new_ready("lsi53c810", 1);
    expect_answer(t, "810", sdtr, sizeof(sdtr), (const uint8_t[]){ 1, 3, 1, 25, 8 });
    expect_answer(t, "810", wdtr, sizeof(wdtr), (const uint8_t[]){ 1, 2, 3, 0 });
    lt_free(t);
}

/* Unknown messages are rejected, an unknown extended one swallowed whole, and the nexus goes on. */
static void test_reject(void)
{
    static const struct {
        uint8_t msg[8];
        unsigned len;
    } rows[] = {
        { { 0x80, 0x7f }, 2 },
        { { 0x80, 0x01, 0x04, 0x55, 1, 2, 3 }, 7 },
        { { 0x80, 0x01, 0x03, 0x03, 1, 2 }, 6 }, /* WDTR with SDTR's length */
    };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Dispatch d = li_dispatch(t, 0, rows[i].len, 6);
        li_put_msg(t, rows[i].msg, rows[i].len);
        li_put_cdb(t, (const uint8_t[6]){ 0 }, 6);
        lt_run(t, d.start);
        g_assert_cmphex(li_vector(t), ==, V_REJECT);
        lt_run(t, d.phases);
        g_assert_cmphex(li_vector(t), ==, V_COMPLETE);
    }
    lt_free(t);
}

/* One message over several block moves: the target stays in MSG OUT until it is whole. */
static void test_split_message(void)
{
    static const uint8_t msg[] = { 0x80, 1, 3, 1, 12, 16 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    Dispatch d = li_dispatch(t, 0, 1, 6);

    li_put_msg(t, msg, sizeof(msg));
    li_put_cdb(t, (const uint8_t[6]){ 0 }, 6);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 3), M_MSG_OUT);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 2), M_MSG_OUT + 3);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 1), M_MSG_OUT + 5);
    lt_emit(t, I_JUMP, d.phases);
    lt_run(t, LT_SCRIPT);
    g_assert_cmphex(li_vector(t), ==, V_EXTENDED);
    lt_free(t);
}

/* Bus free with SDU still set is unexpected. */
static void test_udc(void)
{
    static const uint8_t msg[] = { 0x80, 0x06 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    li_put_msg(t, msg, sizeof(msg));
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, 2), M_MSG_OUT);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_run(t, LT_SCRIPT);
    g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_UDC);
    lt_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lsi/bus/tagged-read-write", test_tagged_read_write);
    g_test_add_func("/lsi/bus/reselect", test_reselect);
    g_test_add_func("/lsi/bus/legal-disconnect", test_legal_disconnect);
    g_test_add_func("/lsi/bus/sigp-while-waiting", test_sigp_while_waiting);
    g_test_add_func("/lsi/bus/reselect-races-select", test_reselect_races_select);
    g_test_add_func("/lsi/bus/no-disc-priv", test_no_disc_priv);
    g_test_add_func("/lsi/bus/many-tags", test_many_tags);
    g_test_add_func("/lsi/bus/depth-64-256", test_depth);
    g_test_add_func("/lsi/bus/udc", test_udc);
    g_test_add_func("/lsi/bus/sense-at-depth", test_sense_at_depth);
    g_test_add_func("/lsi/msg/negotiation", test_negotiation);
    g_test_add_func("/lsi/msg/reject", test_reject);
    g_test_add_func("/lsi/msg/split", test_split_message);
    return g_test_run();
}
