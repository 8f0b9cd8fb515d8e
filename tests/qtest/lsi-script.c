/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See lsi-script.h.
 *
 * Every block has its own room, so that addresses are known beforehand. Data is a list of one
 * table-indirect move for each segment that can be; a command with fewer enters it further down
 * (TEMP and RETURN make the jump to where its table says). Behind the list the table's pointer is
 * set to an INT, so a target that wants more is noticed. A mismatch within a segment stops the
 * chip: lsi_script_mismatch() makes the entry and the pointer say what is left.
 *
 * When queueing, DSA is first the slot and then its task; a slot is given up only behind the
 * SELECT, which goes to RESELECT if a target was faster. SIGP is taken back before the slot is
 * looked at, so none is lost. The tag is byte 1 of the task's address.
 */
#include "lsi-script.h"

#include <string.h>

enum {
    DATA = 0x180,
    COMMAND = 0x1c0,
    STATUS = 0x200,
    MESSAGE = 0x240,
    POINTERS = 0x280,
    DISCONNECT = 0x2c0,
    COMPLETE = 0x300,
    SIGP = 0x340,

    LIST = 8 * LSI_SCRIPT_SEGMENTS,
};
static_assert(LSI_SCRIPT_IN + LIST + 16 <= LSI_SCRIPT_OUT, "the lists have room");
static_assert(LSI_SCRIPT_OUT + LIST + 16 <= LSI_SCRIPT_SIZE, "the lists have room");

typedef struct Assembler {
    const LsiScript *script;
    uint32_t *words;
    unsigned at;
} Assembler;

static void org(Assembler *a, unsigned offset)
{
    a->at = offset / 4;
}

static void emit(Assembler *a, uint32_t first, uint32_t second)
{
    a->words[a->at++] = first;
    a->words[a->at++] = second;
}

/* With a second word that is one of the script's own blocks. */
static void emit_to(Assembler *a, uint32_t first, unsigned block)
{
    emit(a, first, a->script->base + block);
}

static uint32_t var(const Assembler *a, size_t offset)
{
    return a->script->vars + (uint32_t)offset;
}

static void emit_select(Assembler *a)
{
    org(a, LSI_SCRIPT_NEXT);
    emit(a, I_LOAD(LSI_DSA, 4), var(a, offsetof(LsiScriptVars, slot)));
    emit(a, I_LOAD(LSI_SCRATCHA, 4) | I_DSA, offsetof(LsiScriptSlot, next));
    emit(a, I_LOAD(LSI_DSA, 4) | I_DSA, offsetof(LsiScriptSlot, task));
    emit(a, I_LOAD(LSI_TEMP, 4) | I_DSA, offsetof(LsiScriptTask, go));
    emit(a, I_RETURN, 0);
    org(a, LSI_SCRIPT_SELECT);
    emit_to(a, I_SELECT_TBL_ATN(offsetof(LsiScriptTask, select)), LSI_SCRIPT_RESELECT);
    if (a->script->queueing) {
        emit(a, I_STORE(LSI_SCRATCHA, 4), var(a, offsetof(LsiScriptVars, slot)));
    }
    emit(a, I_MOVE_TBL(PHASE_MSG_OUT), offsetof(LsiScriptTask, msg_out));
    emit_to(a, I_JUMP, LSI_SCRIPT_PHASES);
}

static void emit_data(Assembler *a, unsigned list, unsigned phase)
{
    org(a, list);
    for (unsigned i = 0; i < LSI_SCRIPT_SEGMENTS; i++) {
        emit(a, I_CHMOV_TBL(phase), offsetof(LsiScriptTask, segment[i]));
    }
    emit(a, I_STORE(LSI_SCRATCHB, 4) | I_DSA, offsetof(LsiScriptTask, data_at));
    emit_to(a, I_JUMP, LSI_SCRIPT_PHASES);
}

static void emit_phases(Assembler *a)
{
    org(a, LSI_SCRIPT_PHASES);
    emit_to(a, I_JUMP | C_WHEN(PHASE_COMMAND), COMMAND);
    emit_to(a, I_JUMP | C_IF(PHASE_DATA_IN), DATA);
    emit_to(a, I_JUMP | C_IF(PHASE_DATA_OUT), DATA);
    emit_to(a, I_JUMP | C_IF(PHASE_STATUS), STATUS);
    emit_to(a, I_JUMP | C_IF(PHASE_MSG_IN), MESSAGE);
    emit(a, I_INT, LSI_SCRIPT_BAD);
    org(a, COMMAND);
    emit(a, I_MOVE_TBL(PHASE_COMMAND), offsetof(LsiScriptTask, cdb));
    emit_to(a, I_JUMP, LSI_SCRIPT_PHASES);
    org(a, DATA);
    emit(a, I_LOAD(LSI_TEMP, 4) | I_DSA, offsetof(LsiScriptTask, data_at));
    emit(a, I_RETURN, 0);
    org(a, LSI_SCRIPT_OVERRUN);
    emit(a, I_INT, LSI_SCRIPT_MORE);
    org(a, STATUS);
    emit(a, I_MOVE_TBL(PHASE_STATUS), offsetof(LsiScriptTask, status));
    emit_to(a, I_JUMP, LSI_SCRIPT_PHASES);
}

/* What follows an event: the next slot, or the driver. */
static void emit_event(Assembler *a, uint32_t vector)
{
    if (a->script->queueing) {
        emit_to(a, I_JUMP, LSI_SCRIPT_NEXT);
    } else {
        emit(a, I_INT, vector);
    }
}

static void emit_messages(Assembler *a)
{
    org(a, MESSAGE);
    emit(a, I_MOVE(PHASE_MSG_IN, 1), var(a, offsetof(LsiScriptVars, msg_in)));
    emit_to(a, I_JUMP | C_DATA(0x00, 0), COMPLETE);
    emit_to(a, I_JUMP | C_DATA(0x02, 0), POINTERS);
    emit_to(a, I_JUMP | C_DATA(0x04, 0), DISCONNECT);
    emit(a, I_INT, LSI_SCRIPT_BAD);
    org(a, POINTERS);
    emit(a, I_CLEAR(I_ACK), 0);
    emit_to(a, I_JUMP, LSI_SCRIPT_PHASES);
    org(a, DISCONNECT);
    emit(a, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    emit(a, I_CLEAR(I_ACK), 0);
    emit(a, I_WAIT_DISC, 0);
    emit_event(a, LSI_SCRIPT_DISCONNECTED);
    org(a, COMPLETE);
    emit(a, I_REG_REG(A_AND, LSI_SCNTL2, 0x7f), 0);
    emit(a, I_CLEAR(I_ACK | I_ATN), 0);
    emit(a, I_WAIT_DISC, 0);
    if (a->script->queueing) {
        emit(a, I_STORE(LSI_SCRATCHB, 4) | I_DSA, offsetof(LsiScriptTask, done));
        emit(a, I_INTFLY, 0);
    }
    emit_event(a, LSI_SCRIPT_COMPLETE);
}

/* Each command that may disconnect has a tag. */
static void emit_reselect(Assembler *a)
{
    org(a, LSI_SCRIPT_RESELECT);
    emit_to(a, I_WAIT_RESEL, SIGP);
    for (unsigned i = 0; i < 3; i++) { /* IDENTIFY, SIMPLE, the tag */
        emit(a, I_MOVE(PHASE_MSG_IN, 1), var(a, offsetof(LsiScriptVars, msg_in[i])));
        emit(a, I_CLEAR(I_ACK), 0);
    }
    if (a->script->queueing) {
        emit(a, I_LOAD(LSI_DSA, 4), var(a, offsetof(LsiScriptVars, tasks)));
        emit(a, I_SFBR_TO_REG(A_OR, LSI_DSA + 1, 0), 0);
        emit_to(a, I_JUMP, LSI_SCRIPT_PHASES);
    } else {
        emit(a, I_INT, LSI_SCRIPT_RESELECTED);
    }
    org(a, SIGP);
    if (a->script->queueing) {
        emit(a, I_REG_TO_SFBR(A_OR, LSI_CTEST2, 0), 0); /* reading clears it */
    }
    emit_event(a, LSI_SCRIPT_SIGP);
}

void lsi_script_build(const LsiScript *script, uint32_t *words)
{
    Assembler a = { .script = script, .words = words };

    memset(words, 0, LSI_SCRIPT_SIZE);
    emit_select(&a);
    emit_phases(&a);
    emit_messages(&a);
    emit_reselect(&a);
    emit_data(&a, LSI_SCRIPT_IN, PHASE_DATA_IN);
    emit_data(&a, LSI_SCRIPT_OUT, PHASE_DATA_OUT);
}

void lsi_script_task_init(const LsiScript *script, LsiScriptTask *task, unsigned index, unsigned id,
                          uint8_t identify, unsigned cdb_len)
{
    const uint32_t at = lsi_script_task(script, index);
    const uint8_t msg[] = { identify, 0x20, lsi_script_tag(index) };

    memset(task, 0, sizeof(*task));
    task->go = script->base + LSI_SCRIPT_SELECT;
    task->select = id << 16;
    task->msg_out = (LsiTableEntry){ identify & 0x40 ? sizeof(msg) : 1,
                                     at + offsetof(LsiScriptTask, msg_out_bytes) };
    task->cdb = (LsiTableEntry){ cdb_len, at + offsetof(LsiScriptTask, cdb_bytes) };
    task->status = (LsiTableEntry){ 1, at + offsetof(LsiScriptTask, status_byte) };
    /* One empty segment: QEMU's device waits in DATA IN for a command without data to complete. */
    task->data_at = lsi_script_data(script, true, 1);
    memcpy(task->msg_out_bytes, msg, sizeof(msg));
}

/* The segment whose move is at addr; -1: none. */
static int segment_at(const LsiScript *script, uint32_t addr)
{
    const uint32_t in = addr - script->base - LSI_SCRIPT_IN;
    const uint32_t out = addr - script->base - LSI_SCRIPT_OUT;

    return in < LIST ? (int)(in / 8) : out < LIST ? (int)(out / 8) : -1;
}

bool lsi_script_mismatch(const LsiScript *script, LsiScriptTask *task, uint32_t dsp, uint32_t left)
{
    int i = segment_at(script, dsp - 8);

    if (i < 0 || left > task->segment[i].count) {
        return false;
    }
    task->segment[i].addr += task->segment[i].count - left;
    task->segment[i].count = left;
    task->data_at = dsp - 8;
    return true;
}

uint32_t lsi_script_left(const LsiScript *script, const LsiScriptTask *task)
{
    int i = segment_at(script, task->data_at);
    uint32_t left = 0;

    while (i >= 0 && i < LSI_SCRIPT_SEGMENTS) {
        left += task->segment[i++].count;
    }
    return left;
}
