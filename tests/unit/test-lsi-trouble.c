/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LSI with I/O in flight when the ground is taken away: messages that abort, resets, moves
 * without a command.
 */
#include "lsi-initiator.h"

#include <string.h>

/* The script sends msg to target 0, which disconnects for good; then vector. */
static void emit_message(LsiTest *t, const uint8_t *msg, unsigned len, uint32_t vector)
{
    li_put_msg(t, msg, len);
    lt_org(t, LT_SCRIPT);
    lt_emit(t, I_SELECT_ATN(0), 0);
    lt_emit(t, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    lt_emit(t, I_MOVE(PHASE_MSG_OUT, len), M_MSG_OUT);
    lt_emit(t, I_WAIT_DISC, 0);
    lt_emit(t, I_INT, vector);
}

/* CVE-2022-0216 and commit 5297a0fc65's bug: any permutation of abort-type messages in one MSG OUT,
 * with none, one and many requests alive. Under ASan this is the use-after-free test. */
static void test_abort_messages(void)
{
    static const uint8_t codes[] = { 0x06, 0x0d, 0x0e, 0x0c };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned perm = 0; perm < 256; perm++) {
        uint8_t msg[12] = { 0xc0, 0x20, perm % 5 };
        unsigned n = 3;
        li_put_in_flight(t, perm % 7);
        for (unsigned i = 0; i < 4; i++) {
            msg[n++] = codes[perm >> (2 * i) & 3];
            if (i == 1) {
                msg[n++] = 0x20;
                msg[n++] = perm % 3;
            }
        }
        emit_message(t, msg, n, 0x55);
        lt_run(t, LT_SCRIPT);
        g_assert_cmphex(li_vector(t), ==, 0x55);
        g_assert_cmphex(lt_r8(t, LSI_ISTAT0) & ISTAT0_CON, ==, 0);
        if (perm & 16) {
            lt_hold(false); /* some finish between, some stay with the next round */
            lt_turns(t, perm % 11);
        }
    }
    lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
    lt_free(t);
}

/* ABORT TAG of one of three: the other two complete. */
static void test_abort_tag(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 1, 0x0d };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    unsigned left;

    li_put_in_flight(t, 3);
    g_assert_cmpuint(t->s->n_tasks, ==, 3);
    left = 3;
    emit_message(t, msg, sizeof(msg), 0x56);
    lt_run_int(t, LT_SCRIPT, 0x56);
    for (LsiTask *k = t->s->tasks; k; k = k->next) {
        g_assert_cmpuint(k->req.tag, !=, 1);
        left--;
    }
    g_assert_cmpuint(left, ==, 1); /* the aborted one */
    lt_free(t);
}

/* Issues 84, 305, 552: data moves with no command, after reset, disconnection and abort. */
static void test_move_without_nexus(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned phase = 0; phase < 8; phase++) {
        lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_MOVE(phase, 64), LT_DATA);
        lt_emit(t, I_INT, 1);
        lt_start(t, LT_SCRIPT);
        lt_turns(t, 3);
        g_assert_cmpint(t->s->st.run, ==, LSI_WAIT_MOVE); /* as on the chip: no REQ */
        lt_w8(t, LSI_ISTAT0, ISTAT0_ABRT);
        g_assert_cmphex(lt_r8(t, LSI_DSTAT), ==, DSTAT_DFE | DSTAT_ABRT);
    }
    lt_free(t);
}

/* Soft reset, bus reset and device reset after each number of turns of a running command; then
 * the disk still answers. The unit attention tells a bus reset from a soft one. */
static void test_reset_in_flight(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 9 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    for (unsigned how = 0; how < 3; how++) {
        for (unsigned turns = 0; turns < 12; turns++) {
            Dispatch d = li_dispatch(t, 0, 3, 10);
            li_put_msg(t, msg, 3);
            li_put_table(t, M_DSA, LT_DATA, 60000, 5536);
            li_put_rw10(t, turns & 1 ? 0x2a : 0x28, 0, 128);
            lt_start(t, d.start);
            lt_turns(t, turns);
            if (how == 0) {
                lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
            } else if (how == 1) {
                lt_w8(t, LSI_SCNTL1, SCNTL1_RST);
                lt_w8(t, LSI_SCNTL1, 0);
                g_assert_cmphex(lt_r8(t, LSI_SIST0) & SIST0_RST, ==, SIST0_RST);
                lt_r8(t, LSI_DSTAT);
            } else {
                lt_settle(t);
                pci_dev_reset(t->pci);
                pci_cfg_write(t->pci, PCI_BAR0 + 4, LT_BAR_REGS, 4);
                pci_cfg_write(t->pci, PCI_COMMAND, PCI_COMMAND_MEM | PCI_COMMAND_MASTER, 2);
            }
            li_firmware_sense(t, 0, how ? 0x06 : 0x00, how ? 0x29 : 0, how == 1 ? 0x02 : 0);
        }
    }
    lt_free(t);
}

/* BUS DEVICE RESET of a target that has disconnected from three commands: it never comes back for
 * them, and reports what has happened. Another target's command goes on. */
static void test_device_reset(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 9 }, reset[] = { 0x0c }, tur[6] = { 0 };
    LsiTest *t = lt_new_ready("lsi53c895a", 2);
    Dispatch d;

    li_put_in_flight(t, 3);
    d = li_dispatch(t, 1, sizeof(msg), 10);
    li_put_msg(t, msg, sizeof(msg));
    li_put_rw10(t, 0x28, 40, 2);
    lt_run_int(t, d.start, V_DISCONNECTED);
    g_assert_cmpuint(t->s->n_tasks, ==, 4);
    emit_message(t, reset, sizeof(reset), 0x57);
    lt_run_int(t, LT_SCRIPT, 0x57);
    lt_hold(false);
    lt_run(t, d.reselect);
    g_assert_cmphex(li_vector(t), ==, V_RESELECTED);
    g_assert_cmphex(lt_r8(t, LSI_SSID), ==, 0x81);
    li_run_to_complete(t, &d, d.phases);
    li_expect_blocks(t, 1, 40, 2);
    lt_until(t, lt_no_tasks);
    li_firmware_sense(t, 0, 0x06, 0x29, 0x03);
    li_put_cdb(t, tur, sizeof(tur));
    li_firmware_good(t, (Firmware){ .id = 1 });
    lt_free(t);
}

/* d459131ff5 and kin: data that lands in the own registers, resetting the chip in mid-transfer. */
static void test_data_into_self(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    memset(t->ram + LT_DATA, 0xff, 512);
    li_put_rw10(t, 0x2a, 7, 1);
    li_firmware_good(t, (Firmware){ .data_phase = PHASE_DATA_OUT, .data_len = 512 });
    for (unsigned off = 0; off < 256; off += 4) {
        li_put_in_flight(t, 3);
        li_put_rw10(t, 0x28, 7, 1);
        t->ram[M_MSG_OUT] = 0x80;
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_SELECT(0), 0);
        lt_emit(t, I_CHMOV(PHASE_MSG_OUT, 1), M_MSG_OUT);
        lt_emit(t, I_CHMOV(PHASE_COMMAND, 16), M_CDB);
        lt_emit(t, I_CHMOV(PHASE_DATA_IN, 512), LT_BAR_REGS + off);
        lt_emit(t, I_INT, 1);
        lt_start(t, LT_SCRIPT);
        lt_turns(t, 5);
        lt_hold(false);
        lt_turns(t, 30);
        lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
        lt_w8(t, LSI_SCNTL1, 0);
    }
    lt_settle(t);
    lt_w8(t, LSI_ISTAT0, ISTAT0_SRST);
    li_firmware(t, (Firmware){ 0 });
    lt_free(t);
}

/* MSG IN with no message (e497e6a557's read at index -1), in each state a script can reach. */
static void test_msg_in_without_message(void)
{
    LsiTest *t = lt_new_ready("lsi53c895a", 1);

    t->ram[M_MSG_OUT] = 0x80;
    for (unsigned n = 1; n < 4; n++) {
        lt_org(t, LT_SCRIPT);
        lt_emit(t, I_SELECT_ATN(0), 0);
        lt_emit(t, I_MOVE(n & 1 ? PHASE_MSG_IN : PHASE_MSG_OUT, 1), M_MSG_OUT);
        lt_emit(t, I_MOVE(PHASE_MSG_IN, n), M_MSG_IN);
        lt_run(t, LT_SCRIPT);
        g_assert_cmphex(lt_r8(t, LSI_SIST0), ==, SIST0_MA);
    }
    lt_free(t);
}

/* The device is drained in mid-command, as on disconnect: what was written is there. */
static void test_drain_write(void)
{
    static const uint8_t msg[] = { 0xc0, 0x20, 9 };
    LsiTest *t = lt_new_ready("lsi53c895a", 1);
    Dispatch d = li_dispatch(t, 0, 3, 10);

    li_put_msg(t, msg, 3);
    memset(t->ram + LT_DATA, 0xd7, 1024);
    li_put_table(t, M_DSA, LT_DATA, 512, 512);
    li_put_rw10(t, 0x2a, 200, 2);
    li_run_to_complete(t, &d, d.start);
    lt_settle(t);
    g_assert_cmphex(lt_image_byte(t, 0, 201 * 512 + 511), ==, 0xd7);
    lt_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lsi/msg/abort-cve-2022-0216", test_abort_messages);
    g_test_add_func("/lsi/msg/abort-tag", test_abort_tag);
    g_test_add_func("/lsi/trouble/move-without-nexus", test_move_without_nexus);
    g_test_add_func("/lsi/trouble/reset-in-flight", test_reset_in_flight);
    g_test_add_func("/lsi/trouble/device-reset", test_device_reset);
    g_test_add_func("/lsi/trouble/data-into-self", test_data_into_self);
    g_test_add_func("/lsi/trouble/msg-in-without-message", test_msg_in_without_message);
    g_test_add_func("/lsi/trouble/drain-write", test_drain_write);
    return g_test_run();
}
